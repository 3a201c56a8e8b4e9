package templates_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"contactsync/contacts"
	"contactsync/templates"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a text with the file of that name, to the byte.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

// replies are data for every reply, and how the golden file for them is called.
func replies() map[string]templates.Data {
	ada, grace := templates.Contact{Name: "Ada Lovelace", Email: "ada@example.com"}, templates.Contact{Email: "grace@example.com"}
	return map[string]templates.Data{
		"intro.txt":         templates.IntroData{Organization: "Example Ltd.", File: "contacts.yaml", Limit: 5},
		"intro_minimal.txt": templates.IntroData{Organization: "Example", File: "contacts.yaml"},
		"not_qualified.txt": templates.NotQualifiedData{Organization: "Example Ltd.", Criteria: []templates.Criterion{
			{Title: "it has at least 50 seats", Remedy: "If the number is wrong, have it corrected where it is kept."},
			{Title: "the subscription is active"},
			{Title: "the requester is its sold-to", Unknown: true, Remedy: "Attest it: --attest authorized=EVIDENCE."},
		}},
		"not_qualified_minimal.txt": templates.NotQualifiedData{Organization: "Example", Criteria: []templates.Criterion{{Title: "seats > 3"}}},
		"set_up.txt": templates.SetUpData{Organization: "Example Ltd.", Project: "https://gitlab.example.com/support/organization-42",
			Invited: []string{"ada@example.com", "grace@example.com"}, File: "contacts.yaml", Branch: "master"},
		"set_up_minimal.txt":     templates.SetUpData{Organization: "Example", Project: "https://gitlab.example.com/x", File: "contacts.yaml", Branch: "master"},
		"removed.txt":            templates.RemovedData{Organization: "Example Ltd.", Limit: 30, Until: "2027-01-31"},
		"removed_minimal.txt":    templates.RemovedData{Organization: "Example"},
		"over_limit.txt":         templates.OverLimitData{Organization: "Example Ltd.", Limit: 1, Contacts: []templates.Contact{ada, grace}},
		"over_limit_project.txt": templates.OverLimitData{Organization: "Example Ltd.", Limit: 1, File: "contacts.yaml", Contacts: []templates.Contact{ada, grace}},
	}
}

// replyOf is the reply that a golden file is about: the longest whose name it begins with.
func replyOf(t testing.TB, name string) (found templates.Reply) {
	t.Helper()
	for _, reply := range templates.Replies() {
		if strings.HasPrefix(name, string(reply)) && len(reply) > len(found) {
			found = reply
		}
	}
	if found == "" {
		t.Fatalf("%s is about no reply", name)
	}
	return found
}

func text(t testing.TB, reply templates.Reply, data templates.Data) string {
	t.Helper()
	got, err := templates.Text(reply, data)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func guideOf(t testing.TB, data templates.GuideData) string {
	t.Helper()
	got, err := templates.Guide(data)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

// What customers read is reviewed as they read it, with all that can be said and with as little as can be, and there is
// no golden file that nothing is held against.
func TestGolden(t *testing.T) {
	files := map[string]bool{"CONTACTS.md": true}
	for name, made := range feedback(t) {
		files[name] = true
		golden(t, name, []byte(made))
	}
	said := map[templates.Reply]bool{}
	for name, data := range replies() {
		files[name], said[replyOf(t, name)] = true, true
		golden(t, name, []byte(text(t, replyOf(t, name), data)+"\n"))
	}
	golden(t, "CONTACTS.md", []byte(guideOf(t, templates.GuideData{Organization: "42", Name: "Example Ltd.", File: "contacts.yaml", Branch: "master"})))
	for _, reply := range templates.Replies() {
		if !said[reply] {
			t.Errorf("the reply %s is not looked at", reply)
		}
	}
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !entry.IsDir() && !files[entry.Name()] { // rapid keeps what failed in a folder
			t.Errorf("testdata/%s is held against nothing", entry.Name())
		}
	}
}

// Every text is fit to be sent: no lines with blanks at their end, no gaps, nothing left of the template.
func TestTextsAreTidy(t *testing.T) {
	texts := feedback(t)
	texts["CONTACTS.md"] = guideOf(t, templates.GuideData{Organization: "42"})
	for name, data := range replies() {
		texts[name] = text(t, replyOf(t, name), data)
	}
	for name, text := range texts {
		for _, bad := range []string{" \n", "\n\n\n", "{{", "}}", "<no value>", "\t", "\r"} {
			if strings.Contains(text, bad) {
				t.Errorf("%s holds %q:\n%s", name, bad, text)
			}
		}
	}
}

// The lists that the guide shows are ones that a run takes.
func TestGuideExamples(t *testing.T) {
	blocks := strings.Split(guideOf(t, templates.GuideData{Organization: "42"}), "\n```yaml\n")[1:]
	if len(blocks) != 2 {
		t.Fatalf("the guide shows %d lists, want both forms", len(blocks))
	}
	for _, block := range blocks {
		example, _, _ := strings.Cut(block, "```")
		if file, problems := contacts.Parse([]byte(example)); len(problems) > 0 || len(file.Contacts) == 0 {
			t.Errorf("%v in\n%s", problems, example)
		}
	}
}

// Every text can be worded with no data at all: what is missing is never a failure in the middle of a setup.
func TestNothingToSay(t *testing.T) {
	for reply, data := range map[templates.Reply]templates.Data{
		templates.Intro: templates.IntroData{}, templates.NotQualified: templates.NotQualifiedData{}, templates.SetUp: templates.SetUpData{},
		templates.Removed: templates.RemovedData{}, templates.OverLimit: templates.OverLimitData{},
	} {
		if got := text(t, reply, data); !strings.HasPrefix(got, "Hello,") {
			t.Errorf("%s says %q", reply, got)
		}
	}
	if got := guideOf(t, templates.GuideData{}); !strings.HasPrefix(got, "# ") {
		t.Errorf("the guide says %q", got)
	}
}

// The data of one reply cannot be sent as another, nor can nothing.
func TestTextRefuses(t *testing.T) {
	for reply, data := range map[templates.Reply]templates.Data{
		templates.Intro: templates.RemovedData{}, templates.Removed: nil, "farewell": templates.IntroData{},
	} {
		if got, err := templates.Text(reply, data); err == nil || got != "" {
			t.Errorf("%s with %T: got %q, %v", reply, data, got, err)
		}
	}
}

var hostile = []string{
	"@all", "[here](https://example.org)", "![x](https://example.org/x.png)", "Example\n/close\n/assign @root", "a`b", "``", "`", "\\`x",
	"a\r\n\r\n# Heading", "<img src=https://example.org/x.png>", "https://example.org", "{{ticket.requester.email}}", "{{{ticket.id}}}",
	"{\u200b{ticket.id}}", "{% if true %}", "a\x00\x1b[31mb", "\u202eevil\u2066", "a\u2028/close\u2029b\u0085c", "\xff\xfe", "| a | b |", "   ", "", "a\u200bb",
	"```\n@all\n```", "~~~\n", "\ufeffa", "#1 !2 ~bug %m $3 &4", strings.Repeat("`", 9), "-->", "{", "}}",
}

// A hostile name is a line of text like any other: it makes no line, and no placeholder of the desk.
func TestHostileReplies(t *testing.T) {
	set := embedded(t)
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.SampledFrom(hostile), rapid.String()).Draw(t, "value")
		with := func(value string) map[templates.Reply]templates.Data {
			return map[templates.Reply]templates.Data{
				templates.Intro:        templates.IntroData{Organization: value, File: value},
				templates.NotQualified: templates.NotQualifiedData{Organization: value, Criteria: []templates.Criterion{{Title: value, Remedy: value}}},
				templates.SetUp:        templates.SetUpData{Organization: value, Project: value, Invited: []string{value}, File: value, Branch: value},
				templates.Removed:      templates.RemovedData{Organization: value, Until: "x" + value},
				templates.OverLimit:    templates.OverLimitData{Organization: value, File: "x" + value, Contacts: []templates.Contact{{Name: value, Email: value}}},
			}
		}
		for reply, data := range with(value) {
			got, err := set.Text(reply, data)
			if err != nil {
				t.Fatal(err)
			}
			benign, err := set.Text(reply, with("x")[reply])
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(got, "\n") != strings.Count(benign, "\n") {
				t.Errorf("%q makes other lines of %s:\n%s", value, reply, got)
			}
			checkReadable(t, got)
		}
	})
}

func checkReadable(t *rapid.T, text string) {
	t.Helper()
	for _, line := range strings.Split(text, "\n") {
		if i := strings.IndexFunc(line, func(r rune) bool {
			return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || unicode.In(r, unicode.Zl, unicode.Zp)
		}); i >= 0 {
			t.Errorf("a control character in %q", line)
		}
	}
	for _, placeholder := range []string{"{{", "{%"} {
		if strings.Contains(text, placeholder) {
			t.Errorf("%s in\n%s", placeholder, text)
		}
	}
}

// Whatever a value of the guide holds, it is one code span where a harmless one would be, so that Markdown makes nothing
// of it: no link, no image, no mention, no quick action.
func TestHostileGuide(t *testing.T) {
	// Words that come nowhere else, so that they can be found again.
	words := templates.GuideData{Organization: "xorganization", Name: "xname", File: "xfile", Branch: "xbranch"}
	benign, set := guideOf(t, words), embedded(t)
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.SampledFrom(hostile), rapid.String()).Draw(t, "value")
		data := templates.GuideData{Organization: "x" + value, Name: value, File: "x" + value, Branch: "x" + value}
		made, err := set.Guide(data)
		if err != nil {
			t.Fatal(err)
		}
		got := string(made)
		checkReadable(t, got)
		// Between the parts that are the same lies, each time, nothing but a code span.
		rest := got
		for i, part := range strings.FieldsFunc(strings.NewReplacer("`xorganization`", "\x00", "`xname`", "\x00", "`xfile`", "\x00", "`xbranch`", "\x00").Replace(benign),
			func(r rune) bool { return r == 0 }) {
			if i > 0 {
				span, after, closed := strings.Cut(strings.TrimPrefix(rest, "`"), "`")
				if !strings.HasPrefix(rest, "`") || !closed || span == "" || strings.Contains(span, "\n") || strings.TrimSpace(span) != span {
					t.Fatalf("%q broke out of its code span:\n%s", value, rest)
				}
				rest = after
			}
			if !strings.HasPrefix(rest, part) {
				t.Fatalf("%q changed the text around it:\n%s", value, rest)
			}
			rest = strings.TrimPrefix(rest, part)
		}
		if rest != "" {
			t.Fatalf("%q leaves %q", value, rest)
		}
	})
}

// Names stay as people write them: other scripts, accents, emoji of several parts.
func TestNamesStay(t *testing.T) {
	for given, want := range map[string]string{
		"Žižek & Söhne GmbH": "Žižek & Söhne GmbH", "شرکت نمونه\u200cها": "شرکت نمونه\u200cها", "👩‍💻 Ltd.": "👩‍💻 Ltd.",
		"  a \t b\u00a0c ": "a b c", "O'Brien <x>": "O'Brien <x>", "a\xffb": "a\ufffdb",
	} {
		got := text(t, templates.OverLimit, templates.OverLimitData{Contacts: []templates.Contact{{Name: given, Email: "ada@example.com"}}})
		if !strings.HasSuffix(got, "\n- "+want+" <ada@example.com>") {
			t.Errorf("%q became\n%s", given, got)
		}
	}
}

// folder makes a folder of texts.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The program's own texts are as good as an operator's have to be: whoever begins with a copy begins with one that works.
func TestEmbeddedTexts(t *testing.T) {
	set, err := templates.New("texts")
	if err != nil {
		t.Fatal(err)
	}
	data := templates.IntroData{Organization: "Example", File: "contacts.yaml"}
	if got, err := set.Text(templates.Intro, data); err != nil || got != text(t, templates.Intro, data) {
		t.Errorf("got %q, %v", got, err)
	}
}

// An operator's texts stand in the place of ours, each by itself, as editors of other systems save them, too.
func TestOwnTexts(t *testing.T) {
	dir := folder(t, map[string]string{
		"intro.txt":   "\ufeffDear customer,\r\n\r\nwho of {{.Organization}} may edit?\r\n",
		"CONTACTS.md": "# {{.Name}}\n\nBranch {{.Branch}}\n\n\n",
		"..data":      "what Kubernetes keeps there",
	})
	set, err := templates.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := set.Text(templates.Intro, templates.IntroData{Organization: "a\nb"})
	if want := "Dear customer,\n\nwho of a b may edit?"; err != nil || got != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
	guide, err := set.Guide(templates.GuideData{Organization: "42", Branch: "ma`in"})
	if want := "# `42`\n\nBranch `ma\u02cbin`\n"; err != nil || string(guide) != want {
		t.Errorf("got %q, %v; want %q", guide, err, want)
	}
	removed := templates.RemovedData{Organization: "Example"}
	if got, err := set.Text(templates.Removed, removed); err != nil || got != text(t, templates.Removed, removed) {
		t.Errorf("a text without a file of its own: got %q, %v", got, err)
	}
}

// What is wrong with an operator's texts is found before anything is sent, all of it, with file and line.
func TestOwnTextsAreChecked(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  []string // FILE stands for the folder
	}{
		"syntax":         {map[string]string{"intro.txt": "a\nb {{.Organization\n"}, []string{"FILE/intro.txt:2"}},
		"unknown field":  {map[string]string{"set_up.txt": "a\n\n{{.Wrong}}\n"}, []string{"FILE/set_up.txt:3:2", "can't evaluate field Wrong"}},
		"another's data": {map[string]string{"removed.txt": "{{.Invited}}"}, []string{"FILE/removed.txt:1:2", "can't evaluate field Invited"}},
		"rarely reached": {map[string]string{"not_qualified.txt": "x{{range .Criteria}}\n{{if .Unknown}}{{.Wrong}}{{end}}{{end}}"}, []string{"FILE/not_qualified.txt:2", "Wrong"}},
		"no function":    {map[string]string{"intro.txt": "{{shout .File}}"}, []string{"FILE/intro.txt:1", `"shout" not defined`}},
		"empty":          {map[string]string{"over_limit.txt": " \n{{/* later */}}"}, []string{"FILE/over_limit.txt: the text says nothing"}},
		"not UTF-8":      {map[string]string{"intro.txt": "caf\xe9"}, []string{"FILE/intro.txt: the text is not UTF-8"}},
		"unknown file":   {map[string]string{"intro.md": "x"}, []string{"FILE/intro.md: no text has this name; the names are CONTACTS.md, badge.svg, commit_note.md, intro.txt, not_qualified.txt, notice.txt, notice_google_chat.json, notice_json.json, notice_mattermost.json, notice_slack.json, over_limit.txt, removed.txt, request_note.md, set_up.txt, status.txt"}},
		"no JSON":        {map[string]string{"notice_slack.json": `{"text": "{{.Organization}}"}`}, []string{"FILE/notice_slack.json: what it makes is no JSON", "{{json .Text}}"}},
		"no JSON ever":   {map[string]string{"notice_json.json": "{{json .Text}},"}, []string{"FILE/notice_json.json: what it makes is no JSON"}},
		"no SVG":         {map[string]string{"badge.svg": "<svg><g></svg>"}, []string{"FILE/badge.svg: what it makes is no SVG: ", "line 1"}},
		"no picture":     {map[string]string{"badge.svg": "<p>{{.State}}</p>"}, []string{"FILE/badge.svg: what it makes is no SVG: it has no element svg"}},
		"own backticks":  {map[string]string{"commit_note.md": "x\n`{{.File}}`"}, []string{"FILE/commit_note.md:2: `{{: ", "FILE/commit_note.md:2: }}`: leave a value alone"}},
		"backslash":      {map[string]string{"request_note.md": `\{{.File}}`}, []string{`FILE/request_note.md:1: \{{: leave`}},
		"math":           {map[string]string{"request_note.md": "${{.File}}$"}, []string{"FILE/request_note.md:1: ${{: leave"}},
		"block in line":  {map[string]string{"commit_note.md": "x{{range .Problems}}\n\n| {{.Corrected}}{{end}}"}, []string{"FILE/commit_note.md: .Corrected is a block"}},
		"block below":    {map[string]string{"request_note.md": "x{{range .Problems}}\n{{.Corrected}}{{end}}"}, []string{"FILE/request_note.md: .Corrected is a block"}},
		"one kind":       {map[string]string{"status.txt": `x{{if eq .Kind "untouched"}}{{.Wrong}}{{end}}`}, []string{"FILE/status.txt:1", "Wrong"}},
		"one event":      {map[string]string{"notice.txt": `{{if ne .Event "sweep_held"}}x{{end}}`}, []string{"FILE/notice.txt: the text says nothing"}},
		"all at once":    {map[string]string{"b": "", "intro.txt": "{{", "removed.txt": ""}, []string{"FILE/b: ", "FILE/intro.txt:1", "FILE/removed.txt: the text says"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t, test.files)
			set, err := templates.New(dir)
			if err == nil || set != nil {
				t.Fatalf("got %v, %v", set, err)
			}
			for _, want := range test.want {
				if want = strings.Replace(want, "FILE", dir, 1); !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
		})
	}
	dir := folder(t, nil)
	if err := os.Mkdir(filepath.Join(dir, "intro.txt"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"a folder in a file's place": dir, "no folder": filepath.Join(dir, "none")} {
		if _, err := templates.New(dir); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// What is done with data leaves the caller's as it was.
func TestDataIsNotChanged(t *testing.T) {
	problems, changes, held := []templates.Problem{{Message: "@a"}}, []templates.NamedChange{{Name: "@a"}}, []string{"@a"}
	set := embedded(t)
	_, err := set.CommitNote(templates.CommitNoteData{Problems: problems, Changed: changes})
	_, err2 := set.RequestNote(templates.RequestNoteData{Conflicts: problems, Changes: changes, Held: held})
	if err != nil || err2 != nil || problems[0].Message != "@a" || changes[0].Name != "@a" || held[0] != "@a" {
		t.Errorf("the data became %v, %v and %v; %v, %v", problems, changes, held, err, err2)
	}
	data := templates.OverLimitData{Contacts: []templates.Contact{{Name: "a\nb"}}}
	invited := []string{"a\nb"}
	text(t, templates.OverLimit, data)
	text(t, templates.SetUp, templates.SetUpData{Invited: invited})
	if data.Contacts[0].Name != "a\nb" || !slices.Equal(invited, []string{"a\nb"}) {
		t.Errorf("the data became %q and %q", data.Contacts, invited)
	}
}
