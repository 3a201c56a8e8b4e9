package templates

import (
	"encoding/json"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// functions are what texts can use besides those of text/template.
var functions = template.FuncMap{
	"count": count,
	"sum":   sum,
	"join":  join,
	"list":  list,
	"utc":   utc,
	"json":  jsonText,
	"width": width,
}

// count says how many there are of something: count 2 "contact" "contacts". Where one form is given, it serves for any
// number. Of nothing it says nothing.
func count(n int, one string, many ...string) string {
	switch {
	case n == 0:
		return ""
	case n != 1 && len(many) > 0:
		one = many[0]
	}
	return strconv.Itoa(n) + " " + one
}

func sum(numbers ...int) (total int) {
	for _, n := range numbers {
		total += n
	}
	return total
}

// join puts a separator between those texts that say something.
func join(separator string, texts ...string) string { return strings.Join(filled(texts), separator) }

// list makes a list of those texts that say something: "a, b and c".
func list(texts ...string) string {
	texts = filled(texts)
	if len(texts) < 2 {
		return strings.Join(texts, "")
	}
	last := len(texts) - 1
	return strings.Join(texts[:last], ", ") + " and " + texts[last]
}

func filled(texts []string) (kept []string) {
	for _, text := range texts {
		if text != "" {
			kept = append(kept, text)
		}
	}
	return kept
}

// utc writes a time to the minute; "" for the zero time.
func utc(at time.Time) string {
	if at.IsZero() {
		return ""
	}
	return at.UTC().Format("2006-01-02 15:04") + " UTC"
}

// jsonText writes a value as JSON: a text with its quotation marks, a number, true or false, a time or, for the zero
// time, null.
func jsonText(value any) (string, error) {
	if at, ok := value.(time.Time); ok {
		if at.IsZero() {
			return "null", nil
		}
		value = at.UTC().Format(time.RFC3339)
	}
	made, err := json.Marshal(value)
	return string(made), err
}

// advances are the widths of characters in Verdana, in units of which there are 2,048 to an em, by what they are for.
var advances = map[rune]int{
	' ': 720, '.': 745, ',': 745, ':': 930, '-': 930, '·': 745, '\'': 550, '(': 930, ')': 930,
	'f': 720, 'i': 562, 'j': 705, 'l': 562, 'r': 874, 't': 807, 's': 1067, 'c': 1067, 'z': 1076, 'm': 1992, 'w': 1676,
	'I': 862, 'M': 1726, 'W': 2025,
}

// width is how wide a text is in a badge, in pixels: in 11 pixels of Verdana, and near enough in others, since the badge
// says how wide its texts are.
func width(text string) int {
	total := 0
	for _, r := range text {
		advance, known := advances[r]
		switch {
		case known:
		case 'a' <= r && r <= 'z':
			advance = 1255
		default:
			advance = 1400
		}
		total += advance
	}
	return (total*11 + 2047) / 2048
}
