package contacts

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"contactsync"
)

const (
	maxMends     = 100  // problems of a file that get a corrected line
	maxCorrected = 1024 // octets of a line that is corrected: nobody reads a longer one

	mailto = "mailto:"
)

// mend is an edit within one line with which a problem would be gone.
type mend struct {
	problem  int // its index among the findings
	at       position
	old, new string
	brings   contactsync.Email // an address that the file does not have without it, or ""
}

// mend notes that the problem of that index would be gone if the text stood in place of the node's.
func (f *findings) mend(problem int, n *yaml.Node, text string, brings contactsync.Email) {
	if problem < 0 || len(f.mends) == maxMends || len(n.Value) > maxCorrected {
		return
	}
	quote := ""
	switch n.Style {
	case 0:
		if first, _ := utf8.DecodeRuneInString(text); !unicode.IsLetter(first) && !unicode.IsDigit(first) || !isPlain("x"+text) {
			return // it would need quotes
		}
	case yaml.DoubleQuotedStyle:
		quote = `"`
	case yaml.SingleQuotedStyle:
		quote = `'`
	default:
		return
	}
	if quote != "" && strings.ContainsAny(text, quote+`\`) {
		return
	}
	f.mends = append(f.mends, mend{problem, at(n), quote + n.Value + quote, quote + text + quote, brings})
}

// correct gives the problems the lines that mend them. The file with all of them is parsed once more, so that nothing
// is offered that does not help: that is all that corrections cost, however many problems there are.
func (w *walker) correct(content []byte) {
	mends := w.mends(content)
	if len(mends) == 0 {
		return
	}
	lines := make(map[int]string, len(mends)) // as they should be
	mended := make(map[string]int)            // problems of each rule that go with them
	offered := mends[:0]
	var whole bytes.Buffer
	rest := content
	if bytes.HasPrefix(rest, []byte(bom)) {
		whole.WriteString(bom)
		rest = rest[len(bom):]
	}
	for number := 1; len(rest) > 0; number++ {
		length := nextLine(rest)
		line := bytes.TrimRight(rest[:length], "\r\n")
		end := rest[len(line):length]
		rest = rest[length:]
		text := string(line)
		for len(mends) > 0 && mends[0].at.line <= number {
			m := mends[0]
			mends = mends[1:]
			if edited, ok := m.apply(text); ok {
				text, lines[number] = edited, edited
				mended[w.found.problems[m.problem].Rule]++
				offered = append(offered, m)
			}
		}
		whole.WriteString(text)
		whole.Write(end)
	}
	if len(offered) == 0 {
		return
	}
	again := parse(whole.Bytes())
	for rule, left := range again.found.counts {
		if left > w.found.counts[rule]-mended[rule] {
			return
		}
	}
	for _, m := range offered {
		w.found.problems[m.problem].Corrected = lines[m.at.line]
	}
}

// mends returns the edits that can be meant, by line, in each line the last one first: then the columns of the others
// still hold.
func (w *walker) mends(content []byte) []mend {
	if p := w.found.problems; len(p) == 1 && p[0].Rule == RuleSyntax {
		if m, ok := mendSyntax(bytes.TrimPrefix(content, []byte(bom)), p[0].Line); ok {
			return []mend{m}
		}
		return nil
	}
	if len(w.found.mends) == 0 {
		return nil
	}
	known := make(map[contactsync.Email]bool, len(w.was))
	for _, c := range w.was {
		known[c.email] = true
	}
	mends := slices.DeleteFunc(w.found.mends, func(m mend) bool {
		if m.brings == "" {
			return false
		}
		_, listed := w.lines[m.brings]
		again := listed || known[m.brings]
		known[m.brings] = true
		return again
	})
	slices.SortStableFunc(mends, func(a, b mend) int {
		return cmp.Or(cmp.Compare(a.at.line, b.at.line), cmp.Compare(b.at.column, a.at.column))
	})
	return mends
}

// apply returns the line with the edit. It fails where the line does not have the text literally, as with escapes, and
// where it is too long.
func (m mend) apply(line string) (string, bool) {
	if len(line) > maxCorrected {
		return "", false
	}
	offset := 0
	for range m.at.column - 1 {
		_, size := utf8.DecodeRuneInString(line[offset:])
		offset += size
	}
	rest, ok := strings.CutPrefix(line[offset:], m.old)
	return line[:offset] + m.new + rest, ok
}

// mendSyntax returns the whole line that is meant where blanks are missing, after the "-" of a contact or after the
// colon of a key, and where the line is indented with tabs.
func mendSyntax(content []byte, number int) (mend, bool) {
	lines := content[:lineEnds(content)[number-1]]
	above, text := cutLastLine(lines)
	if len(text) > maxCorrected {
		return mend{}, false
	}
	indent, dash, rest := splitLine(text)
	key, value, found := strings.Cut(rest, ":")
	if !found || !slices.Contains(entryKeys, key) && !slices.Contains(topKeys, key) {
		return mend{}, false
	}
	if first, _ := utf8.DecodeRuneInString(value); first == '"' || first == '\'' || first == '+' || unicode.IsLetter(first) || unicode.IsDigit(first) {
		value = " " + value
	}
	if dash == "-" {
		dash = "- "
	}
	if strings.Contains(indent, "\t") {
		width, ok := indentBelow(above, dash != "")
		if !ok {
			return mend{}, false
		}
		indent = strings.Repeat(" ", width)
	}
	corrected := indent + dash + key + ":" + value
	return mend{at: position{number, 1}, old: text, new: corrected}, corrected != text
}

// indentBelow returns the column, from 0, in which a line of a contact begins that follows these lines: its first line
// or another one.
func indentBelow(above []byte, first bool) (int, bool) {
	for below := ""; len(above) > 0; {
		var text string
		above, text = cutLastLine(above)
		indent, dash, rest := splitLine(text)
		switch {
		case rest == "" && dash == "" || rest != "" && rest[0] == '#':
			continue
		case strings.Contains(indent+dash, "\t"):
			return 0, false
		case !first:
			return len(indent) + len(dash), true
		case dash != "":
			return len(indent), true
		case below == "" && strings.HasPrefix(rest, topKeys[keyContacts]+":"):
			return len(indent) + 2, true
		}
		below = text
	}
	return 0, false
}

// cutLastLine takes the last line off, which it returns without its break.
func cutLastLine(content []byte) (above []byte, text string) {
	if n := len(content); n > 0 && content[n-1] == '\n' {
		content = content[:n-1]
	}
	if n := len(content); n > 0 && content[n-1] == '\r' {
		content = content[:n-1]
	}
	start := bytes.LastIndexAny(content, "\r\n") + 1
	return content[:start], string(content[start:])
}

// splitLine takes a line apart into its indentation, the "-" of an entry with what blanks follow it, and the rest.
func splitLine(text string) (indent, dash, rest string) {
	rest = strings.TrimLeft(text, " \t")
	indent = text[:len(text)-len(rest)]
	if entry, ok := strings.CutPrefix(rest, "-"); ok {
		entry = strings.TrimLeft(entry, " \t")
		dash, rest = rest[:len(rest)-len(entry)], entry
	}
	return indent, dash, rest
}

// invisible are characters that are pasted along unseen, and can be in no address.
var invisible = strings.NewReplacer("\u00ad", "", "\u200b", "", "\u200e", "", "\u200f", "", "\u2060", "")

// mendAddress returns the address that is meant, and its normal form, where a text can only mean one; or "". Nothing is
// added: an address that lost a part stays wrong.
func mendAddress(text string) (string, contactsync.Email) {
	text = strings.TrimSpace(invisible.Replace(text))
	if strings.Count(text, "@") != 1 {
		return "", "" // which one is meant, nobody knows
	}
	if _, inner, found := strings.Cut(text, "<"); found { // with a name in front, as in the header of a mail, or without
		inner, closed := strings.CutSuffix(inner, ">")
		if !closed {
			return "", ""
		}
		text = strings.TrimSpace(inner)
	}
	if len(text) > len(mailto) && strings.EqualFold(text[:len(mailto)], mailto) {
		if strings.Contains(text, "%") {
			return "", "" // in a URL, that begins the code of a character
		}
		text = strings.TrimSpace(text[len(mailto):])
	}
	if last := len(text) - 1; last >= 0 && strings.IndexByte(".,;", text[last]) >= 0 {
		text = strings.TrimSpace(text[:last]) // only one: three full stops stand for what was left out
	}
	local, domain, _ := strings.Cut(text, "@")
	local, domain = strings.TrimSpace(local), strings.TrimSpace(domain)
	if strings.Count(domain, ",") == 1 && !strings.Contains(domain, ".") {
		domain = strings.Replace(domain, ",", ".", 1) // without it, there would be no dot
	}
	text = local + "@" + domain
	email, fault := address(text)
	if fault != "" {
		return "", ""
	}
	return text, email
}

// The ways in which people write days, the year first or last.
var dateLayouts = []string{
	"2006-1-2", "2006/1/2", "2006.1.2", "20060102",
	"2-1-2006", "2/1/2006", "2.1.2006", "1-2-2006", "1/2/2006", "1.2.2006",
}

// mendDate returns the day that is meant where a text can only mean one, or "".
func mendDate(text string) string {
	text = strings.TrimSpace(text)
	only := ""
	for _, layout := range dateLayouts {
		day, err := time.Parse(layout, text)
		if err != nil {
			continue
		}
		date := day.Format(time.DateOnly)
		if only != "" && only != date {
			return "" // the second of January, or the first of February
		}
		only = date
	}
	return only
}

// mendTruth returns "true" or "false" for what other programs take for them, or "".
func mendTruth(text string) string {
	switch strings.ToLower(strings.TrimSpace(text)) {
	case "true", "yes", "y", "on":
		return "true"
	case "false", "no", "n", "off":
		return "false"
	}
	return ""
}
