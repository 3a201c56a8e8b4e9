package templates_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	source "github.com/yuin/goldmark/text"
	"pgregory.net/rapid"

	"contactsync/templates"
)

// attacks are names, addresses and values that would do something, were they Markdown, HTML, JSON or what chats write.
var attacks = []string{
	// Mentions.
	"@all", "@root", "hello @all!", "(@all)", "a@all", "\"@all\"", "&#64;all", "&commat;all", "\\@all", "@\u200ball", "＠all", "<!channel>", "<!here|here>", "<@U1>",
	"<!subteam^S1>", "@here", "@channel", "<users/all>", "<users/1>", "<!everyone>",
	// Quick actions and lines.
	"/close", "x\n/close", "x\r\n/assign @root", "\u2028/close", "\u0085/merge", "/label ~bug", "\v/close", "\f/approve", "x\n\n/close\n\ny",
	// Links and images.
	"[x](https://example.org)", "![x](https://example.org/x.png)", "[x][1]", "[1]: https://example.org", "<https://example.org>", "https://example.org", "http://example.org/x?a=b&c=d",
	"www.example.org", "www.", "ada@example.org", "mailto:ada@example.org", "xmpp:ada@example.org", "ftp://example.org", "![](x)", "!`x`", "[^1]", "[^1]: x", "[[_TOC_]]", "[TOC]",
	"[[x|https://example.org]]", "<https://example.org|Example>", "javascript:alert(1)", "[x](javascript:alert(1))",
	// HTML.
	"<img src=https://example.org/x.png>", "<script>alert(1)</script>", "<b>x</b>", "<!-- x", "-->", "<details>", "</sub>", "&lt;b&gt;", "&amp;", "<svg onload=alert(1)>", "<pre>", "<?x", "<![CDATA[x]]>",
	// Code.
	"`", "``", "```", "````yaml", "a`b`c", "`@all`", "``@all``", "\\`@all\\`", "```\n@all\n```", "~~~\n@all\n~~~", strings.Repeat("`", 200), "a ` b @all", "\\", "a\\", "@all\\", "`\\", "$`x`$", "$", "$$\nx\n$$", "a$",
	// Tables.
	"|", "a | b | c", "\\|", "`|`", "x |\n| y", "||", "\\\\|@all|", "|---|", "¦",
	// References.
	"#1", "!1", "$1", "~bug", "~\"a b\"", "%1", "%\"a b\"", "&1", "^1", "*iteration:1", "[vulnerability:1]", "[issue:1]", "[epic:x&1]", "[contact:ada@example.org]", "a/b#1", "GL-1", "ABC-123", "CU-abc", "T123",
	"abc1234", "0123456789abcdef0123456789abcdef01234567", "1234567", "defaced", "abc1234...def5678", "v1.0@abc1234", "#1+", "!1+s",
	// Blocks and emphasis.
	"# x", "#### x", "- x", "* x", "+ x", "1. x", "1) x", "1.", "> x", ">>>", ">>>\nx\n>>>", "    x", "\tx", "---", "===", "***", "**x**", "_x_", "~~x~~", "{+ x +}", "{- x -}", "[+ x +]", ":smile:", ":100:", "x:", "- [ ] x", "[ ] x",
	"::include{file=x}", "::: x", "---\ntitle: x\n---", "%{project_name}", "\"a @all b\"", "\"", "'", "(", ")", "a \" b", "x  ",
	// JSON.
	`"`, `\"`, `","text":"x`, `\u0040all`, "\\n", "{{.Text}}", "{{ticket.id}}", "{% if true %}", "</script>",
	// Nothing to be seen.
	"", " ", "\x00", "\x1b[31mx", "\u202eevil", "\u2066x\u2069", "\u200b", "\u200d", "\ufeffx", "\xff\xfe", "\u00a0", "\u0301", "x\u0301", "\u00ad", "{\u200b{x}}", "\U000e0041",
	strings.Repeat("@all ", 300), strings.Repeat("x", 5000), strings.Repeat("é", 301), strings.Repeat("x", 298) + " @all @all",
}

// value draws what somebody could call themselves.
func value() *rapid.Generator[string] {
	pieces := []string{"@all", "/close", "`", "``", "```", "|", "\\", "$", "!", "[x](y)", "<b>", "&#64;", "#1", "a", "Ada", "\"", "'", "(", ")", " ", "\n", "\t", "-", ".", ":", "1", "_", "*", "~", "{", "}", "é", "\u200d", "https://example.org"}
	mixed := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 12).Draw(t, "pieces"), "")
	})
	return rapid.OneOf(rapid.SampledFrom(attacks), mixed, rapid.String())
}

// isBlank reports whether nothing is left of a value.
func isBlank(value string) bool {
	return strings.TrimFunc(value, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d'
	}) == ""
}

// filled returns data in which each text that says something says that, except for those that are one of a few.
func filled[T any](data T, with string) T {
	if isBlank(with) {
		with = "x"
	}
	corrected := with
	if strings.TrimSpace(strings.ReplaceAll(corrected, "\u200d", "")) == "" || utf8.RuneCountInString(corrected) > 1000 {
		corrected = "x"
	}
	var fill func(reflect.Value) reflect.Value
	fill = func(v reflect.Value) reflect.Value {
		made := reflect.New(v.Type()).Elem()
		made.Set(v)
		switch {
		case v.Type() == reflect.TypeOf(at):
		case v.Kind() == reflect.String && v.String() != "":
			made.SetString(with)
		case v.Kind() == reflect.Slice && v.Len() > 0:
			made.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
			for i := range v.Len() {
				made.Index(i).Set(fill(v.Index(i)))
			}
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				switch name := v.Type().Field(i).Name; {
				case slices.Contains([]string{"Kind", "Event"}, name):
				case name == "Corrected" && v.Field(i).String() != "":
					made.Field(i).SetString(corrected)
				default:
					made.Field(i).Set(fill(v.Field(i)))
				}
			}
		}
		return made
	}
	return fill(reflect.ValueOf(data)).Interface().(T)
}

// page is what Markdown makes of a text.
type page struct {
	shape []string // every block and everything within lines that is neither text nor code, in order
	text  []string // the text of each block; · stands for code
	cells []string // the same with the code in it, of each cell of a table
	code  []string // the blocks of code
}

var gfm = goldmark.New(goldmark.WithExtensions(extension.GFM, extension.Footnote)).Parser()

func read(markdown string) (made page) {
	document := gfm.Parse(source.NewReader([]byte(markdown)))
	_ = ast.Walk(document, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch node := node.(type) {
		case *ast.Text, *ast.CodeSpan, *ast.String:
			return ast.WalkContinue, nil
		case *ast.Heading:
			made.shape = append(made.shape, fmt.Sprintf("heading %d", node.Level))
		case *ast.FencedCodeBlock:
			made.code = append(made.code, string(node.Lines().Value([]byte(markdown))))
		}
		made.shape = append(made.shape, node.Kind().String())
		if node.Type() == ast.TypeBlock && node.FirstChild() != nil && node.FirstChild().Type() == ast.TypeInline {
			outside, all := inline(node, markdown)
			made.text = append(made.text, outside)
			if node.Kind().String() == "TableCell" {
				made.cells = append(made.cells, all)
			}
		}
		return ast.WalkContinue, nil
	})
	return made
}

// inline returns the text of a block, without and with what is code.
func inline(block ast.Node, markdown string) (outside, all string) {
	var out, whole strings.Builder
	_ = ast.Walk(block, func(node ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		switch node := node.(type) {
		case *ast.CodeSpan:
			out.WriteString("·")
		case *ast.Text:
			value := node.Segment.Value([]byte(markdown))
			whole.Write(value)
			if _, code := node.Parent().(*ast.CodeSpan); !code {
				out.Write(value)
			}
			if node.SoftLineBreak() {
				out.WriteString("\n")
			}
		case *ast.String:
			out.Write(node.Value)
			whole.Write(node.Value)
		}
		return ast.WalkContinue, nil
	})
	return out.String(), whole.String()
}

// references are what GitLab, or a chat, makes something of outside of code.
var references = regexp.MustCompile(`(?m)[@$\\<>\[\]{}*_~^|+=%#\x60]|[!&]\w|://|www\.|:\w+:|&#?\w+;|\b[0-9a-fA-F]{7,40}\b|\b[A-Z][A-Z0-9_]+-\d|\bCU-\w|\bT\d+\b|^/|^\s*(?:[-+*]|\d+[.)])(?:\s|$)`)

type failer interface {
	Helper()
	Fatalf(string, ...any)
}

// checkMarkdown holds a text with a hostile value against the same with a harmless one, Zz.
func checkMarkdown(t failer, name, value, got, benign string) page {
	t.Helper()
	made, want := read(got), read(benign)
	if !slices.Equal(made.shape, want.shape) {
		t.Fatalf("%s: %q makes\n%v\nwhere a name makes\n%v\n%s", name, value, made.shape, want.shape, got)
	}
	for _, text := range made.text {
		if found := references.FindString(text); found != "" {
			t.Fatalf("%s: %q leaves %q outside of code: %q\n%s", name, value, found, text, got)
		}
	}
	lines, wanted := strings.Split(got, "\n"), strings.Split(benign, "\n")
	if len(lines) != len(wanted) {
		t.Fatalf("%s: %q makes %d lines of %d:\n%s", name, value, len(lines), len(wanted), got)
	}
	for i, line := range wanted {
		start, _, _ := strings.Cut(line, "Zz")
		start = strings.TrimSuffix(start, "`")
		if line != "" && start == "" {
			t.Fatalf("%s: a line begins with a value: %q", name, line)
		}
		if first := start[:min(1, len(start))]; !strings.HasPrefix(lines[i], first) {
			t.Fatalf("%s: %q begins a line: %q", name, value, lines[i])
		}
	}
	if i := strings.IndexFunc(got, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp) || r == '\u200b' || r == '\ufeff'
	}); i >= 0 {
		t.Fatalf("%s: %q leaves what is not seen: %q", name, value, got[i:])
	}
	return made
}

func must[T any](t failer, what string, made T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return made
}

// said is every note with a value in the place of each text, by the golden files' names.
func said(t failer, set *templates.Set, value string) map[string]string {
	t.Helper()
	made := map[string]string{}
	for name, data := range commitNotes() {
		note, err := set.CommitNote(filled(data, value))
		made[name] = must(t, name, note, err)
	}
	for name, data := range requestNotes() {
		note, err := set.RequestNote(filled(data, value))
		made[name] = must(t, name, note, err)
	}
	for name, data := range notices() {
		notice, err := set.Notice(filled(data, value))
		made[name] = must(t, name, notice, err)
		for _, format := range templates.NoticeFormats() {
			body, err := set.NoticeBody(format, filled(data, value))
			var fields struct{ Text string }
			if err := json.Unmarshal(must(t, name, body, err), &fields); err != nil || fields.Text == "" {
				t.Fatalf("%s: %q makes %s: %v", name, value, body, err)
			}
			made[name+" "+format] = fields.Text
		}
	}
	return made
}

var entity = regexp.MustCompile("&(?:amp|lt|gt);")

// checkEverywhere puts a value into every text, wherever a text can be, and compares with those that a harmless one makes.
func checkEverywhere(t failer, set *templates.Set, value string, benign map[string]string) {
	t.Helper()
	made := said(t, set, value)
	for name, got := range made {
		notice, format, _ := strings.Cut(name, " ")
		if strings.HasPrefix(name, "notice") && (format == "" || format == "json") { // nobody's message yet
			if strings.Count(got, "\n") != strings.Count(benign[name], "\n") || got != made[notice] {
				t.Fatalf("%s: %q makes other lines:\n%s", name, value, got)
			}
			continue
		}
		if format == "slack" {
			if strings.ContainsAny(entity.ReplaceAllString(got, ""), "&<>") {
				t.Fatalf("%s: %q is not escaped: %s", name, value, got)
			}
			got = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&").Replace(got)
		}
		if format == "google_chat" && strings.ContainsAny(got, "<>") {
			t.Fatalf("%s: %q can mention somebody: %s", name, value, got)
		}
		checkMarkdown(t, name, value, got, benign[name])
	}
	for _, data := range statuses() {
		got, err := set.Status(filled(data, value))
		must(t, data.Kind, got, err)
		if n := utf8.RuneCountInString(got); n == 0 || n > 255 || !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) {
			t.Fatalf("%s: %q makes a status of %d characters: %q", data.Kind, value, n, got)
		}
	}
}

// Whatever people are called, and whatever stands in their file, it is read and does nothing: in every text.
func TestAttacks(t *testing.T) {
	if len(attacks) < 50 {
		t.Fatalf("%d attacks are few", len(attacks))
	}
	set := embedded(t)
	benign := said(t, set, "Zz")
	for _, attack := range attacks {
		checkEverywhere(t, set, attack, benign)
	}
}

// The same for what nobody has thought of yet.
func TestUnknownAttacks(t *testing.T) {
	set := embedded(t)
	benign := said(t, set, "Zz")
	rapid.Check(t, func(t *rapid.T) { checkEverywhere(t, set, value().Draw(t, "value"), benign) })
}

// The same for what coverage finds.
func FuzzMarkdown(f *testing.F) {
	set := embedded(f)
	for _, attack := range attacks {
		f.Add(attack)
	}
	benign := said(f, set, "Zz")
	f.Fuzz(func(t *testing.T, value string) {
		for _, name := range []string{"commit_note.md", "commit_note_reason.md"} {
			got, err := set.CommitNote(filled(commitNotes()[name], value))
			checkMarkdown(t, name, value, must(t, name, got, err), benign[name])
		}
	})
}

// Nothing of a value is lost: what is read is what was written, but for what cannot be seen, backticks and pipes.
func TestValuesAreRead(t *testing.T) {
	set := embedded(t)
	rapid.Check(t, func(t *rapid.T) {
		given := rapid.OneOf(value(), rapid.SampledFrom(slices.Collect(maps.Keys(names)))).Draw(t, "value")
		if isBlank(given) || utf8.RuneCountInString(given) > 250 {
			given = "x"
		}
		note, err := set.CommitNote(templates.CommitNoteData{Changed: []templates.NamedChange{{Action: "added", Name: given, Email: given}}})
		cells := read(must(t, "note", note, err)).cells
		reply, err := set.Text(templates.OverLimit, templates.OverLimitData{Contacts: []templates.Contact{{Email: given}}})
		_, want, _ := strings.Cut(must(t, "reply", reply, err), "\n- <")
		want = strings.NewReplacer("`", "\u02cb", "|", "¦").Replace(strings.TrimSuffix(want, ">"))
		if len(cells) != 6 || cells[4] != want || cells[5] != want {
			t.Fatalf("%q is read as %q, want %q:\n%s", given, cells, want, note)
		}
	})
}

// names are what people are called, and how Markdown says it.
var names = map[string]string{
	"Ada Lovelace": "Ada Lovelace", "Jean-Luc O'Brien": "Jean-Luc O'Brien", "Žižek & Söhne GmbH": "Žižek & Söhne GmbH", "Dr. Ada Lovelace, Jr.": "Dr. Ada Lovelace, Jr.",
	"王小明": "王小明", "Nguyễn Thị Minh": "Nguyễn Thị Minh", "अनीता शर्मा": "अनीता शर्मा", "Зоя (Support)": "Зоя (Support)", "شرکت نمونه\u200cها": "شرکت نمونه\u200cها", "이지은": "이지은",
	"O’Neill": "O’Neill", "Jose\u0301": "Jose\u0301", "Ada \"the Countess\" Lovelace": "Ada \"the Countess\" Lovelace", "5 of 9 contacts": "5 of 9 contacts", "until 2027-01-31, 12:30": "until 2027-01-31, 12:30",
	"1,000 contacts!": "1,000 contacts!", "e-mail: missing?": "e-mail: missing?", "Ada – Support": "Ada – Support",
	// These need code, and no more of it than there must be.
	"👩‍💻 Ltd.": "`👩‍💻` Ltd.", "ada@example.com is there twice.": "`ada@example.com` is there twice.", "Write contacts.yaml, then push.": "Write `contacts.yaml`, then push.",
	`"a @b" has no domain.`: "`\"a @b\"` has no domain.", "a `b` c": "a `ˋbˋ` c", "a | b": "a `¦` b", "@all @here now": "`@all @here` now", "1. x": "`1`. x", "- x": "`-` x", "#1, #2.": "`#1, #2`.",
}

// Names stay as people write them, in all scripts, and code stands only where it must.
func TestNamesInMarkdown(t *testing.T) {
	set := embedded(t)
	for given, want := range names {
		note, err := set.CommitNote(templates.CommitNoteData{Reason: given})
		if must(t, "note", note, err); !strings.HasSuffix(note, "\n\nWhat is wrong: "+want) {
			t.Errorf("%q became\n%s\nwant %s", given, note, want)
		}
	}
}

// What is long is cut at a character, outside and inside of code.
func TestLongValues(t *testing.T) {
	set := embedded(t)
	for given, want := range map[string]string{
		strings.Repeat("é", 300): strings.Repeat("é", 300), strings.Repeat("é", 301): strings.Repeat("é", 299) + "…",
		strings.Repeat("@", 301): "`" + strings.Repeat("@", 299) + "…`",
	} {
		note, err := set.CommitNote(templates.CommitNoteData{Reason: given})
		if must(t, "note", note, err); !strings.HasSuffix(note, "\n\nWhat is wrong: "+want) {
			t.Errorf("%q became\n%s", given, note)
		}
	}
}

// A corrected line can be pasted as it is, whatever it holds, and nothing in it ends the block.
func TestCorrectedLines(t *testing.T) {
	set := embedded(t)
	for given, want := range map[string]string{
		"  email: ada@example.com": "  email: ada@example.com", "\t- name:\tAda": "\t- name:\tAda", "- name: \"`x` ```` \"": "- name: \"`x` ```` \"", "/close": "/close", "```": "```",
		"~~~": "~~~", "a\r\n```\n/close": "a��```�/close", "a\u2028b\x1bc": "a�b�c", "\u202ea\ufeff": "a", "x \t": "x", "": "", " \t": "", strings.Repeat("x", 1000): strings.Repeat("x", 1000),
		strings.Repeat("x", 1001): "", "\xff": "�", "    indented": "    indented", "name: ش\u200cن": "name: ش\u200cن",
	} {
		note, err := set.RequestNote(templates.RequestNoteData{Problems: []templates.Problem{{Line: 3, Corrected: given}}})
		blocks := read(must(t, "note", note, err)).code
		if want == "" && len(blocks) == 0 && !strings.Contains(note, "should be") {
			continue
		}
		if len(blocks) != 1 || blocks[0] != want+"\n" {
			t.Errorf("%q became %q, want %q:\n%s", given, blocks, want, note)
		}
		if strings.Contains(note, "\n/") {
			t.Errorf("a line begins with a quick action:\n%s", note)
		}
	}
}
