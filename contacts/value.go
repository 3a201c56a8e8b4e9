package contacts

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"contactsync"
)

const (
	maxLine  = 255 // characters in a name, position or phone number
	maxID    = 64  // characters in an organization's id
	maxLocal = 64  // octets before the "@" (RFC 5321, 4.5.3.1.1)
	maxEmail = 254 // octets in all (RFC 5321, 4.5.3.1.3, with the angle brackets of a path taken off)
	maxLabel = 63  // octets between two dots of a domain (RFC 1035, 2.3.4)
)

const lineHelp = "Write it as one short line of visible characters."

// lineFault says what keeps a trimmed text from being one line that people can read, or "".
func lineFault(text string) string {
	length := 0
	for _, r := range text {
		if unreadable(r) {
			return fmt.Sprintf("contains a line break or an invisible control character (U+%04X)", r)
		}
		length++
	}
	if length > maxLine {
		return fmt.Sprintf("has %d characters; the limit is %d", length, maxLine)
	}
	return ""
}

// unreadable reports whether a character is a control, breaks the line, or turns around the order in which a text is
// shown, so that people read another name than the one that is stored. Joiners stay: emoji and many scripts need them.
func unreadable(r rune) bool {
	switch {
	case unicode.IsControl(r):
		return true
	case r == '\u2028' || r == '\u2029': // line and paragraph separator
		return true
	case r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069': // direction overrides
		return true
	}
	return unusable(r)
}

// unusable reports whether a character must not be exchanged between programs: the byte-order mark, and what Unicode
// calls noncharacters in the basic plane.
func unusable(r rune) bool {
	return r == '\ufeff' || r >= '\ufdd0' && r <= '\ufdef' || r == '\ufffe' || r == '\uffff'
}

// CleanName returns the nearest name that a contacts.yaml can hold: one trimmed line of at most 255 visible
// characters, or the address where nothing of it is left. It is for names that come from elsewhere.
func CleanName(name string, email contactsync.Email) string {
	var clean strings.Builder
	length, gap := 0, false
	for _, r := range strings.TrimSpace(name) {
		if unreadable(r) {
			gap = gap || unicode.IsControl(r) || unicode.IsSpace(r)
			continue
		}
		if gap && !unicode.IsSpace(r) && length < maxLine {
			clean.WriteByte(' ')
			length++
		}
		gap = false
		if length == maxLine {
			break
		}
		clean.WriteRune(r)
		length++
	}
	if text := strings.TrimSpace(clean.String()); text != "" {
		return text
	}
	return string(email)
}

// address returns the normal form of an address that mail can reach, or a sentence that says what is wrong with it
// and how to mend it. The text has no surrounding blanks.
//
// Accepted are dot-atoms of RFC 5322 (of RFC 6531 where there are letters beyond ASCII) at a domain name of two labels
// or more, in ASCII or in its national spelling. Quoted local parts and address literals are legal mail, but no desk
// and hardly any person has them, while a typing slip often looks like one.
func address(text string) (contactsync.Email, string) {
	if hint := decorated(text); hint != "" {
		return "", hint
	}
	local, domain, found := strings.Cut(text, "@")
	switch {
	case !found:
		return "", fmt.Sprintf(`%s is not an e-mail address: it has no "@". Write it like ada@example.com.`, shown(text))
	case strings.Contains(domain, "@"):
		return "", fmt.Sprintf(`%s has more than one "@". Write one address for each contact.`, shown(text))
	}
	fault := localFault(local)
	if fault == "" {
		fault = domainFault(domain)
	}
	if fault != "" {
		return "", fmt.Sprintf("%s is not an address that mail can reach: %s.", shown(text), fault)
	}
	email := contactsync.NormalizeEmail(text)
	if len(email) > maxEmail {
		return "", fmt.Sprintf("%s is too long: %d octets, and mail allows %d. Check the address.", shown(text), len(email), maxEmail)
	}
	return email, ""
}

// decorated recognises an address with something around it.
func decorated(text string) string {
	inner := text
	if _, rest, found := strings.Cut(text, "<"); found {
		inner, _, _ = strings.Cut(rest, ">")
	}
	if len(inner) > 7 && strings.EqualFold(inner[:7], "mailto:") {
		inner = inner[7:]
	}
	inner = strings.Trim(inner, " ,;")
	if inner == text || strings.Count(inner, "@") != 1 || strings.ContainsFunc(inner, unicode.IsSpace) {
		return ""
	}
	return fmt.Sprintf("%s has something around the address. Write the address alone: %s", shown(text), shown(inner))
}

// localFault says what is wrong with the part before the "@", or "".
func localFault(local string) string {
	if local == "" {
		return `nothing is before the "@"`
	}
	for _, r := range local {
		if r != '.' && !isAtomText(r) {
			return fmt.Sprintf(`%s cannot be before the "@"`, character(r))
		}
	}
	// The octets that count are those of the normal form.
	if n := len(strings.ToLower(local)); n > maxLocal {
		return fmt.Sprintf(`%d octets are before the "@", and mail allows %d`, n, maxLocal)
	}
	if local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, "..") {
		return `before the "@", a dot can neither be first nor last nor follow another`
	}
	return ""
}

// isAtomText reports whether a character can stand before the "@" without quotes.
func isAtomText(r rune) bool {
	if r < utf8.RuneSelf {
		return isAlphanumeric(byte(r)) || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
	}
	return unicode.In(r, unicode.L, unicode.M, unicode.N)
}

// domainFault says what is wrong with the part after the "@", or "".
func domainFault(domain string) string {
	switch {
	case domain == "":
		return `nothing is after the "@"`
	case domain[0] == '[':
		return `a domain name must be after the "@", not a number`
	case !strings.Contains(domain, "."):
		return fmt.Sprintf("there is no dot in %s, so it is no full domain name like example.com", shown(domain))
	}
	ascii := true
	for _, r := range domain {
		ascii = ascii && r < utf8.RuneSelf
		if r == '.' || r == '-' || r < utf8.RuneSelf && isAlphanumeric(byte(r)) || r >= utf8.RuneSelf && unicode.In(r, unicode.L, unicode.M, unicode.N) {
			continue
		}
		return fmt.Sprintf(`%s cannot be in a domain name`, character(r))
	}
	// Plain names are judged by the rules of the mail and name standards alone: IDNA refuses some that exist, such as
	// those with two hyphens in the third and fourth place.
	if !ascii || strings.Contains(strings.ToLower(domain), "xn--") {
		encoded, err := idna.Lookup.ToASCII(strings.ToLower(domain))
		if err != nil {
			return fmt.Sprintf("%s is not a valid international domain name", shown(domain))
		}
		domain = encoded
	}
	labels := strings.Split(domain, ".")
	for _, label := range labels {
		switch {
		case label == "":
			return "in a domain name, a dot can neither be first nor last nor follow another"
		case len(label) > maxLabel:
			return fmt.Sprintf("a part of its domain name has %d octets, and %d are allowed", len(label), maxLabel)
		case label[0] == '-' || label[len(label)-1] == '-':
			return "no part of a domain name can begin or end with a hyphen"
		}
	}
	if last := labels[len(labels)-1]; !isLetter(last[0]) {
		return fmt.Sprintf("its domain name ends with %s, which is no top-level domain", shown(last))
	}
	return ""
}

func isLetter(b byte) bool { return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' }

func isAlphanumeric(b byte) bool { return isLetter(b) || b >= '0' && b <= '9' }

// validDate reports whether the text is a day of the calendar, written 2006-01-02.
func validDate(text string) bool {
	_, err := time.Parse(time.DateOnly, text)
	return err == nil
}

// validID reports whether the text can be an organization's id on any desk.
func validID(text string) bool {
	if text == "" || len(text) > maxID || !isAlphanumeric(text[0]) {
		return false
	}
	for i := range len(text) {
		if !isAlphanumeric(text[i]) && text[i] != '-' && text[i] != '_' {
			return false
		}
	}
	return true
}

// character names a character for people, also where it cannot be seen.
func character(r rune) string {
	switch {
	case r == ' ':
		return "a blank"
	case unicode.IsGraphic(r) && !unicode.IsSpace(r):
		return strconv.Quote(string(r))
	}
	return fmt.Sprintf("the invisible character U+%04X", r)
}

// maxShown bounds how much of the file is repeated in a message, in characters.
const maxShown = 80

// shown quotes a piece of the file for a message.
func shown(text string) string { return strconv.Quote(short(text)) }

// short cuts a piece of the file down to what a message can hold.
func short(text string) string {
	count := 0
	for i := range text {
		if count == maxShown {
			return text[:i] + "…"
		}
		count++
	}
	return text
}

// listed joins keys for a message.
func listed(keys []string) string { return strings.Join(keys, ", ") }

// suggestion names the known key that is nearest to a mistyped one, and tells its index where only one can be meant, or
// else -1.
func suggestion(key string, known []string) (hint string, which int) {
	folded := strings.ToLower(strings.TrimSpace(key))
	if i := slices.Index(known, folded); i >= 0 {
		return fmt.Sprintf("Write it %q: in small letters, without blanks.", folded), i
	}
	best, least, tied := -1, 0, false
	for i, candidate := range known {
		// In a short word, two slips make another word.
		allowed := max(1, len(candidate)/3)
		switch n := slips(folded, candidate, allowed); {
		case n > allowed:
		case best < 0 || n < least:
			best, least, tied = i, n, false
		case n == least:
			tied = true
		}
	}
	if best < 0 {
		return fmt.Sprintf("Delete it, or use one of %s.", listed(known)), -1
	}
	hint = fmt.Sprintf("Did you mean %q?", known[best])
	if tied {
		return hint, -1
	}
	return hint, best
}

// slips is the least number of octets to insert, delete, replace or swap with their neighbour that turns one word
// into the other; beyond the limit, some number above it.
func slips(a, b string, limit int) int {
	if len(a) > len(b)+limit || len(b) > len(a)+limit {
		return limit + 1
	}
	table := make([][]int, len(a)+1)
	for i := range table {
		table[i] = make([]int, len(b)+1)
		table[i][0] = i
	}
	for j := range table[0] {
		table[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := table[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			table[i][j] = min(table[i-1][j]+1, table[i][j-1]+1, replace)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				table[i][j] = min(table[i][j], table[i-2][j-2]+1)
			}
		}
	}
	return table[len(a)][len(b)]
}
