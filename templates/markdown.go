package templates

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxValue     = 300  // characters of a value in a report; what is longer is cut
	maxCorrected = 1000 // characters of a corrected line; what is longer is not shown, because it could not be pasted
)

// markdown makes a text one line of Markdown in which nothing happens: no link, no image, no mention, no reference, no
// quick action. Words stay words. All else goes into code spans, in which GitLab looks for nothing
// (https://spec.commonmark.org/0.31.2/#code-spans). It may stand in a table
// (https://github.github.com/gfm/#tables-extension-): the pipe, which splits cells even within code, becomes ¦.
//
// What is known to be harmless is let through, instead of keeping out what is known to do harm: there is more of that
// in each version of GitLab.
func markdown(text string) string {
	tokens := strings.Fields(cut(clean(text), maxValue))
	var parts, span []string
	endSpan := func() {
		if len(span) > 0 {
			whole := strings.Join(span, " ")
			said := strings.TrimRight(whole, ".,;:")
			if said = strings.TrimSpace(said); said == "" {
				said = whole
			}
			parts, span = append(parts, literal(said)+whole[len(said):]), nil
		}
	}
	for at := 0; at < len(tokens); {
		next := at + quoted(tokens[at:])
		harmless := true
		for i := at; i < next; i++ {
			harmless = harmless && (isWord(tokens[i]) || isNumber(tokens[i]) && (i > 0 || !isItem(tokens[i])) || isSign(tokens[i]) && i > 0)
		}
		if harmless {
			endSpan()
			parts = append(parts, tokens[at:next]...)
		} else {
			span = append(span, tokens[at:next]...)
		}
		at = next
	}
	endSpan()
	return strings.Join(parts, " ")
}

// literal makes a text one code span, which may stand in a table; "" stays "".
func literal(text string) string { return code(strings.ReplaceAll(cut(text, maxValue), "|", "¦")) }

// quoted returns how many tokens belong together: those from a quotation mark to the next, which read better in one
// span, else one.
func quoted(tokens []string) int {
	odd := func(token string) bool { return strings.Count(token, `"`)%2 == 1 }
	if !odd(tokens[0]) {
		return 1
	}
	if end := slices.IndexFunc(tokens[1:], odd); end >= 0 {
		return end + 2
	}
	return 1
}

// core is a token without the punctuation that may stand around a word.
func core(token string) string {
	return strings.TrimRight(strings.TrimLeft(token, `("'`), `.,;:!?)"'…`)
}

// isWord reports whether a token is a word and nothing else: letters, marks and digits, with hyphens and apostrophes
// between letters. What trackers take for an issue (T123, ABC-1, CU-abc) or a commit (7 hex digits) is none, nor is what
// begins an address.
func isWord(token string) bool {
	runes := []rune(core(token))
	if strings.HasSuffix(strings.ToLower(string(runes)), "www") {
		return false
	}
	letters, digits := 0, 0
	for i, r := range runes {
		switch {
		case unicode.IsLetter(r), i > 0 && unicode.IsMark(r):
			letters++
		case unicode.IsDigit(r):
			digits++
		case strings.ContainsRune("'’-\u200c\u200d", r):
			if i == 0 || i == len(runes)-1 || !isLetter(runes[i-1]) || !isLetter(runes[i+1]) ||
				r == '-' && i > 1 && unicode.IsUpper(runes[i-1]) && unicode.IsUpper(runes[i-2]) {
				return false
			}
		default:
			return false
		}
	}
	return letters > 0 && (letters > 1 || digits == 0) && !holdsHash(runes)
}

// isItem reports whether a number would begin a list at the beginning of a line.
func isItem(token string) bool { return strings.HasSuffix(token, ".") || strings.HasSuffix(token, ")") }

// isNumber reports whether a token is a number, a date or a time of day.
func isNumber(token string) bool {
	runes := []rune(core(token))
	for i, r := range runes {
		switch {
		case isDigit(r):
		case i == 0 || i == len(runes)-1 || !strings.ContainsRune(".,:-", r) || !isDigit(runes[i-1]) || !isDigit(runes[i+1]):
			return false
		}
	}
	return len(runes) > 0 && !holdsHash(runes)
}

// isSign reports whether a token is one of those that stand between words, and do nothing there.
func isSign(token string) bool {
	return token == "&" || token == "-" || token == "–" || token == "—"
}

func isLetter(r rune) bool { return unicode.IsLetter(r) || unicode.IsMark(r) }

func isDigit(r rune) bool { return '0' <= r && r <= '9' }

// holdsHash reports whether there is what GitLab takes for a commit: 7 or more hex digits.
func holdsHash(runes []rune) bool {
	length := 0
	for _, r := range runes {
		if length++; !strings.ContainsRune("0123456789abcdefABCDEF", r) {
			length = 0
		}
		if length == 7 {
			return true
		}
	}
	return false
}

// fenced makes a line a block of YAML, to be pasted. It is indented, which Markdown takes away again, because GitLab
// looks for quick actions at the beginnings of lines before it looks for blocks of code. "" stays "".
func fenced(line string) string {
	line = strings.TrimRightFunc(strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
		case unicode.IsControl(r), unicode.In(r, unicode.Zl, unicode.Zp):
			return utf8.RuneError
		case isInvisible(r):
			return -1
		}
		return r
	}, strings.ToValidUTF8(line, "\uFFFD")), unicode.IsSpace)
	if line == "" || utf8.RuneCountInString(line) > maxCorrected {
		return ""
	}
	fence := "```"
	for strings.Contains(line, fence) {
		fence += "`"
	}
	return "  " + fence + "yaml\n  " + line + "\n  " + fence
}

// cut shortens a text to so many characters, with an ellipsis in the place of what is gone.
func cut(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	return strings.TrimSpace(string([]rune(text)[:most-1])) + "…"
}
