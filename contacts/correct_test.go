package contacts_test

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"contactsync"
	"contactsync/contacts"
)

// The lines of one contact, in a file in which all else is right.
const (
	before = "# who may open tickets\n- name: Ada\n  email: ada@example.com\n"
	after  = "- name: Bob\n  email: bob@example.com\n"
)

// correctedCases are lines in the middle of a file, and what they should be; "" where nobody can know.
var correctedCases = []struct{ name, line, want string }{
	{"mistyped key", "  emial: eve@example.com", "  email: eve@example.com"},
	{"key with a comment behind", "  emial: eve@example.com   # since May", "  email: eve@example.com   # since May"},
	{"key in another case", "  Email: eve@example.com", "  email: eve@example.com"},
	{"key with a blank in its quotes", "  'email ': eve@example.com", "  'email': eve@example.com"},
	{"key of a value that is wrong, too", "  emial: eve@example", ""},
	{"key that would be there twice", "  emial: eve@example.com\n  email: eve@example.com", ""},
	{"key with an address that is listed", "  emial: Bob@example.com", ""},
	{"key that is written twice", "  emial: eve@example.com\n  emial: eve@example.org", ""},
	{"two keys that mean one", "  emial: eve@example.com\n  mail: eve@example.org", ""},
	{"key without a value", "  email: eve@example.com\n  expire:", ""},
	{"key that is like none", "  email: eve@example.com\n  zodiac: libra", ""},
	{"key of a date", "  email: eve@example.com\n  expire: 2027-01-31", "  expires: 2027-01-31"},
	{"key of an earlier address that is listed", "  email: eve@example.com\n  previous: ada@example.com", ""},
	{"key of an earlier address", "  email: eve@example.com\n  previous: eve@example.org", "  previously: eve@example.org"},
	{"key of an earlier address that is wrong, too", "  email: eve@example.com\n  previosly: mailto:eve@example.org", ""},

	{"angle brackets", "  email: <eve@example.com>", "  email: eve@example.com"},
	{"name in front", "  email: Eve Example <eve@example.com>", "  email: eve@example.com"},
	{"name in front, in quotes", "  email: 'Eve Example <eve@example.com>'  # her", "  email: 'eve@example.com'  # her"},
	{"bracket that is not closed", "  email: <eve@example.com", ""},
	{"mailto", "  email: mailto:eve@example.com", "  email: eve@example.com"},
	{"mailto in brackets and capitals", "  email: <MAILTO:Eve@example.com>;", ""}, // what follows the bracket is not understood
	{"mailto with a code", "  email: mailto:eve%2Bdesk@example.com", ""},
	{"mailto with a query", "  email: mailto:eve@example.com?subject=hello", ""},
	{"full stop behind", "  email: eve@example.com.", "  email: eve@example.com"},
	{"comma behind", "  email: \"eve@example.com,\"", "  email: \"eve@example.com\""},
	{"semicolon behind", "  email: eve@example.com ; # x", "  email: eve@example.com # x"},
	{"three full stops", "  email: eve@example.com...", ""},
	{"blank before the at sign", "  email: eve @example.com", "  email: eve@example.com"},
	{"blanks around the at sign", "  email: \"eve @ example.com\"", "  email: \"eve@example.com\""},
	{"blank in the name", "  email: eve example@example.com", ""},
	{"comma for the only dot", "  email: eve@example,com", "  email: eve@example.com"},
	{"comma beside a dot", "  email: eve@example,com.au", ""},
	{"comma before the at sign", "  email: eve,example@example.com", ""},
	{"two addresses", "  email: eve@example.com, eve@example.org", ""},
	{"two at signs", "  email: eve@@example.com", ""},
	{"no end", "  email: eve@example", ""},
	{"no end, and a full stop", "  email: eve@example.", ""},
	{"no domain", "  email: eve", ""},
	{"invisible character", "  email: eve@example.com\u200b", "  email: eve@example.com"},
	{"escapes", "  email: \"<eve\\u0040example.com>\"", ""},
	{"number in front", "  email: <1eve@example.com>", "  email: 1eve@example.com"},
	{"sign that would need quotes", "  email: <*eve@example.com>", ""},
	{"sign that has quotes", "  email: '<*eve@example.com>'", "  email: '*eve@example.com'"},
	{"apostrophe in such quotes", "  email: '<o''eve@example.com>'", ""},
	{"address that is listed", "  email: <Bob@Example.com>", ""},
	{"earlier address", "  email: eve@example.com\n  previously: mailto:eve@example.org", "  previously: eve@example.org"},
	{"earlier address that is listed", "  email: eve@example.com\n  previously: mailto:ada@example.com", ""},
	{"earlier address of oneself", "  email: eve@example.com\n  previously: <eve@example.com>", ""},

	{"slashes", expires("2027/01/31"), "  expires: 2027-01-31"},
	{"full stops", expires("2027.01.31"), "  expires: 2027-01-31"},
	{"digits alone", expires("20270131 # soon"), "  expires: 2027-01-31 # soon"},
	{"no zeros", expires("2027-1-31"), "  expires: 2027-01-31"},
	{"blanks in quotes", expires("' 2027-01-31 '"), "  expires: '2027-01-31'"},
	{"day first", expires("31.1.2027"), "  expires: 2027-01-31"},
	{"day second", expires("1/31/2027"), "  expires: 2027-01-31"},
	{"day and month alike", expires("2/2/2027"), "  expires: 2027-02-02"},
	{"day or month first", expires("1.2.2027"), ""},
	{"no day of the calendar", expires("2027/02/30"), ""},
	{"two separators", expires("2027/01-31"), ""},
	{"year of two digits", expires("31.01.27"), ""},
	{"date with a time", expires("2027-01-31T00:00:00Z"), ""},

	{"yes", manager("yes"), "  manager: true"},
	{"no", manager("\"No\""), "  manager: \"false\""},
	{"True", manager("True # x"), "  manager: true # x"},
	{"off", manager("off"), "  manager: false"},
	{"perhaps", manager("perhaps"), ""},

	{"tab", "\temail: eve@example.com", "  email: eve@example.com"},
	{"tab after blanks", " \temail: eve@example.com # x", "  email: eve@example.com # x"},
	{"two lines with tabs", "\temail: eve@example.com\n\tphone: 1", ""}, // with the first mended, the second shows
	{"no blank after the colon", "  email:eve@example.com", "  email: eve@example.com"},
	{"tab and no blank after the colon", "\temail:eve@example.com", "  email: eve@example.com"},
	{"no blank after the colon, twice", "  email:eve@example.com\n  phone:1", ""},
	{"no colon", "  email eve@example.com", ""},
	{"no blank after the dash", "  email: eve@example.com\n-name: Ann\n  email: ann@example.com", "- name: Ann"},

	{"all on one line", "  email: eve@example.com\n- {naem: Ann, email: 'ann@example,com', expires: 2027/1/1} # é",
		"- {name: Ann, email: 'ann@example.com', expires: 2027-01-01} # é"},
	{"beyond other alphabets", "  email: eve@example.com\n- {name: 日本🙂, email: <ann@例え.jp>}", "- {name: 日本🙂, email: ann@例え.jp}"},
	{"part of a line", "  email: eve@example.com\n- {naem: Ann, email: ann@example}", "- {name: Ann, email: ann@example}"},
	{"block", "  email: >\n    <eve@example.com>", ""},
	{"text on two lines", "  email: eve\n    @example.com", ""},
	{"long line", "  email: <eve@example.com> # " + strings.Repeat("x", 1024), ""},
}

func expires(text string) string { return "  email: eve@example.com\n  expires: " + text }

func manager(text string) string { return "  email: eve@example.com\n  manager: " + text }

// Where it is certain what a line should be, the problem says so, with all else of the line as it is; elsewhere it says
// nothing. That does not depend on the breaks of lines and the mark of their encoding.
func TestCorrected(t *testing.T) {
	t.Parallel()
	for _, tc := range correctedCases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			text := before + "- name: Eve\n" + tc.line + "\n" + after
			for _, content := range []string{text, "\ufeff" + strings.ReplaceAll(text, "\n", "\r\n"), strings.ReplaceAll(text, "\n", "\r")} {
				_, problems := contacts.Parse([]byte(content))
				if len(problems) == 0 {
					t.Fatalf("there is no problem in %q", content)
				}
				var got []string
				for _, p := range problems {
					if p.Corrected != "" && !slices.Contains(got, p.Corrected) {
						got = append(got, p.Corrected)
					}
				}
				if strings.Join(got, "\n") != tc.want {
					t.Errorf("%q should be %q, got %q\n%v", tc.line, tc.want, got, problems)
				}
				checkCorrected(t, []byte(content), problems)
			}
		})
	}
}

// So it is at the top of the extended form.
func TestCorrectedTop(t *testing.T) {
	t.Parallel()
	const list = "  - name: Ada\n    email: ada@example.com\n"
	for _, tc := range []struct{ content, want string }{
		{"Contacts: # all\n" + list, "contacts: # all"},
		{"contact:\n" + list + "  - name: Bob\n", ""},
		{"contact:\n" + list + list, ""},
		{"contact: []\n", ""},
		{"organisation: 42\ncontacts:\n" + list, "organization: 42"},
		{"organisation: 4 2\ncontacts:\n" + list, ""},
		{"organization: ' 42 '\ncontacts:\n" + list, "organization: '42'"},
		{"contacts:\n\t- name: Ada\n    email: ada@example.com\n", "  - name: Ada"},
		{"contacts:\n" + list + "\t- name: Bob\n    email: bob@example.com\n", "  - name: Bob"},
		{"contacts:\n" + list + "\t\tphone: 1\n", "    phone: 1"},
		{"contacts:\n" + list + "    # her number\n\n   \tphone:1\n", "    phone: 1"},
		{"\tcontacts:\n" + list, ""},
	} {
		_, problems := contacts.Parse([]byte(tc.content))
		if len(problems) == 0 || problems[0].Corrected != tc.want {
			t.Errorf("Parse(%q): got %+v, want %q", tc.content, problems, tc.want)
		}
		checkCorrected(t, []byte(tc.content), problems)
	}
}

// Of two lines that would get one address, only the first is corrected: with both there would be a new problem.
func TestCorrectedTogether(t *testing.T) {
	t.Parallel()
	content := []byte("- name: A\n  email: <ada@example.com>\n- name: B\n  emial: ada@example.com\n- name: C\n  email: c@example.com\n  previously: ada@example.com.\n")
	_, problems := contacts.Parse(content)
	var lines []int
	for _, p := range problems {
		if p.Corrected != "" {
			lines = append(lines, p.Line)
		}
	}
	if !slices.Equal(lines, []int{2}) {
		t.Errorf("lines %v are corrected, want line 2: %v", lines, problems)
	}
	checkCorrected(t, content, problems)
}

// kind is what a problem is beside its words and column, which an edit before it can change.
type kind struct {
	line int
	rule string
}

// checkCorrected applies corrected lines, each alone and all together: their problems are gone, and there is no new one.
func checkCorrected(t interface {
	Helper()
	Errorf(string, ...any)
}, content []byte, problems []contacts.Problem,
) {
	t.Helper()
	lines := make(map[int]string)
	left, all := make(map[kind]int), make(map[kind]int)
	for _, p := range problems {
		k := kind{p.Line, p.Rule}
		all[k]++
		if p.Corrected == "" {
			left[k]++
			continue
		}
		if other, ok := lines[p.Line]; ok && other != p.Corrected {
			t.Errorf("line %d should be both %q and %q", p.Line, other, p.Corrected)
		}
		lines[p.Line] = p.Corrected
	}
	check := func(only int) {
		mended := replaceLines(content, func(number int, line string) string {
			if only == 0 || number == only {
				return cmp.Or(lines[number], line)
			}
			return line
		})
		_, now := contacts.Parse([]byte(mended))
		if len(problems) > 1000 { // of which not all are listed
			if was, is := countOf(problems), countOf(now); is >= was {
				t.Errorf("there were %d problems and are %d, with line %d of %q mended", was, is, only, content)
			}
			return
		}
		counts := make(map[kind]int)
		for _, p := range now {
			k := kind{p.Line, p.Rule}
			counts[k]++
			allowed := all[k]
			if only == 0 || only == p.Line {
				allowed = left[k]
			}
			if counts[k] > allowed {
				t.Errorf("%v is new, with line %d of %q mended as %v", p, only, content, lines)
			}
		}
	}
	for number := range lines {
		check(number)
	}
	if len(lines) > 1 {
		check(0)
	}
}

// countOf is how many problems there are, also those that are not listed.
func countOf(problems []contacts.Problem) int {
	var classed *contactsync.Error
	if !errors.As(contacts.Err(problems), &classed) {
		return 0
	}
	return len(classed.Problems) + classed.Unlisted
}

// replaceLines returns the content with other lines, and the same breaks and mark.
func replaceLines(content []byte, by func(number int, line string) string) string {
	var whole strings.Builder
	text, marked := strings.CutPrefix(string(content), "\ufeff")
	if marked {
		whole.WriteString("\ufeff")
	}
	for number := 1; ; number++ {
		end := strings.IndexAny(text, "\r\n")
		if end < 0 {
			whole.WriteString(by(number, text))
			return whole.String()
		}
		next := end + 1
		if strings.HasPrefix(text[end:], "\r\n") {
			next++
		}
		whole.WriteString(by(number, text[:end]) + text[end:next])
		text = text[next:]
	}
}

// slips are ways in which a good line goes wrong that can be undone with certainty, by the key of the line.
var slips = map[string][]func(line string) string{
	"name":       {swap("name", "naem"), swap("name", "Name"), swap("name: ", "name "), swap("- name", "-name")},
	"email":      append(addressSlips, swap("email:", "e-mail:"), swap("email:", "EMAIL:"), swap("email: ", "email:"), swap("  email", "\temail")),
	"previously": append(addressSlips, swap("previously:", "previosly:"), swap("previously: ", "previously:")),
	"expires":    {swap("-", "/"), swap("-", "."), swap("-", ""), swap("-0", "-"), swap("expires", "expire")},
	"manager":    {swap("true", "yes"), swap("true", "True"), swap("true", "on"), swap("manager", "manger")},
	"phone":      {swap("phone", "fone"), swap("phone", "Phone"), swap("phone: ", "phone:"), swap("  phone", "\tphone")},
}

var addressSlips = []func(line string) string{
	swap("@", " @"), swap("@", "@ "), swap(": ", ": mailto:"), swap("com", "com."), swap("com", "com;"), swap("com", "com\u200b"),
	swap("example.com", "example,com"),
	func(line string) string { return swap("com", "com>")(swap(": ", ": <")(line)) },
}

func swap(old, replacement string) func(string) string {
	return func(line string) string { return strings.ReplaceAll(line, old, replacement) }
}

// anyLines draws the lines of a good file; a day and an address can be mistaken in every way.
func anyLines(t *rapid.T) []string {
	var lines []string
	comment := rapid.SampledFrom([]string{"", "", " # c", "   # é: 'x'"})
	for i := range rapid.IntRange(1, 4).Draw(t, "contacts") {
		write := func(key, value string) {
			lead := "  "
			if key == "name" {
				lead = "- "
			}
			lines = append(lines, lead+key+": "+value+comment.Draw(t, "comment"))
		}
		write("name", rapid.SampledFrom([]string{"Ada", "日本🙂", "Ada Lovelace", `"A: b"`}).Draw(t, "name"))
		write("email", fmt.Sprintf("p%d@example.com", i))
		if rapid.Bool().Draw(t, "more") {
			write("previously", fmt.Sprintf("q%d@example.com", i))
			write("expires", rapid.SampledFrom([]string{"2027-01-31", "2028-02-09", "2030-12-13"}).Draw(t, "day"))
			write("manager", "true")
			write("phone", `"1"`)
		}
		if rapid.Bool().Draw(t, "gap") {
			lines = append(lines, "")
		}
	}
	return lines
}

// slip makes a line wrong, or leaves it as it is.
func slip(t *rapid.T, line string) string {
	value, comment, commented := strings.Cut(line, " #")
	key := strings.Trim(strings.SplitN(line, ":", 2)[0], "- ")
	if slips[key] == nil {
		return line
	}
	value = rapid.SampledFrom(slips[key]).Draw(t, "slip")(value)
	if commented {
		value += " #" + comment
	}
	return value
}

// A slip in a good file that makes a problem of its line is undone: the line should be what it was.
func TestCorrectedIsWhatItWas(t *testing.T) {
	t.Parallel()
	undone := 0
	rapid.Check(t, func(t *rapid.T) {
		lines := anyLines(t)
		which := rapid.IntRange(0, len(lines)-1).Draw(t, "line")
		was := lines[which]
		lines[which] = slip(t, was)
		content := []byte(strings.Join(lines, "\n") + "\n")
		_, problems := contacts.Parse(content)
		checkCorrected(t, content, problems)
		for _, p := range problems {
			if p.Corrected == "" {
				continue
			}
			undone++
			if p.Line != which+1 || p.Corrected != was {
				t.Errorf("%v: line %d should be %q, but was %q on line %d", p, p.Line, p.Corrected, was, which+1)
			}
		}
	})
	if undone == 0 {
		t.Error("nothing was corrected")
	}
}

// Whatever slips a file has at once, each correction helps, alone and with the others.
func TestCorrectedManySlips(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		lines := anyLines(t)
		for i, line := range lines {
			if rapid.Bool().Draw(t, "wrong") {
				lines[i] = slip(t, slip(t, line))
			}
		}
		content := []byte(strings.Join(lines, rapid.SampledFrom([]string{"\n", "\r\n", "\r"}).Draw(t, "break")))
		_, problems := contacts.Parse(content)
		checkProblems(t, content, problems)
		checkCorrected(t, content, problems)
	})
}

// Whatever the octets, a corrected line mends its problem and makes no new one.
func FuzzCorrected(f *testing.F) {
	for _, tc := range correctedCases {
		f.Add([]byte(before + "- name: Eve\n" + tc.line + "\n" + after))
	}
	for _, tc := range problemCases {
		if len(tc.content) < 1000 {
			f.Add([]byte(tc.content))
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) > 1<<14 {
			return
		}
		_, problems := contacts.Parse(content)
		checkCorrected(t, content, problems)
	})
}

// However many problems a file has, and however they lie, corrections cost a constant factor: they are counted in what
// is allocated beside a file of the same size whose problems have none.
func TestCorrectedCost(t *testing.T) {
	type text struct{ lead, piece, end string }
	for name, tc := range map[string]struct{ corrected, plain text }{
		"addresses":       {text{"", "- name: A\n  email: <a%06d@example.com>\n", ""}, text{"", "- name: A\n  email: a%06d@example com\n", ""}},
		"all on one line": {text{"[", "{emial: a%06d@example.com},", "]"}, text{"[", "{zodiac: a%06d@example.com},", "]"}},
		"the whole list":  {text{"Contacts:\n", "- email: <a%06d@example.com>\n", ""}, text{"contacts:\n", "- email: a%06d@example com\n", ""}},
		"a tab at the end": {text{"", "- name: A\n  email: a%06d@example.com\n", "\tphone: 1\n"},
			text{"", "- name: A\n  email: a%06d@example.com\n", "  phone 1\n"}},
	} {
		size := contacts.MaxBytes / 8
		if name == "addresses" {
			size = contacts.MaxBytes // one in full: all of them take too long with the race detector
		}
		cost := func(made text) uint64 {
			var content strings.Builder
			content.WriteString(made.lead)
			for i := 0; content.Len() < size-100; i++ {
				fmt.Fprintf(&content, made.piece, i)
			}
			content.WriteString(made.end)
			var start, stop runtime.MemStats
			runtime.ReadMemStats(&start)
			_, problems := contacts.Parse([]byte(content.String()))
			runtime.ReadMemStats(&stop)
			corrected := 0
			for _, p := range problems {
				corrected += len(p.Corrected)
			}
			if corrected > 100*1100 {
				t.Errorf("%s: the corrected lines have %d octets", name, corrected)
			}
			return stop.TotalAlloc - start.TotalAlloc
		}
		with, without := cost(tc.corrected), cost(tc.plain)
		if with > 3*without {
			t.Errorf("%s: %d octets are allocated with corrections, %d without", name, with, without)
		}
	}
}
