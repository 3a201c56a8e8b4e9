// Package docs_test holds the documentation against the code: what people are told must be what happens.
package docs_test

import (
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"contactsync"
	"contactsync/config"
	"contactsync/contacts"
	"contactsync/desktest"
	"contactsync/eligibility"
	"contactsync/templates"
	"contactsync/webhook"
	"contactsync/zendesk"
)

const root = ".." // the tests run in docs/

// Every error class has one page that carries its title and says who mends it and when it is tried again, so that
// nobody searches for an error and finds nothing, or finds something else.
func TestErrorPages(t *testing.T) {
	index := read(t, "docs/errors/README.md")
	for _, info := range contactsync.Classes() {
		t.Run(string(info.Class), func(t *testing.T) {
			page := read(t, fmt.Sprintf("docs/errors/%s.md", info.Class))
			if title, _, _ := strings.Cut(page, "\n"); title != "# "+info.Title {
				t.Errorf("the page begins with %q, want %q", title, "# "+info.Title)
			}
			want := fmt.Sprintf("| `%s` | %s | `%s`:", info.Class, info.Who, info.Retry)
			if !strings.Contains(page, want) {
				t.Errorf("the page lacks the line %q", want)
			}
			for _, heading := range []string{"What happened", "What to do", "What contactsync does meanwhile", "What it looks like"} {
				if !strings.Contains(page, "\n## "+heading+"\n") {
					t.Errorf("the page lacks the part %q", heading)
				}
			}
			row := fmt.Sprintf("| [`%s`](%s.md) | %s | %s | `%s` |", info.Class, info.Class, info.Title, info.Who, info.Retry)
			if !strings.Contains(index, row+"\n") {
				t.Errorf("docs/errors/README.md lacks the row %q", row)
			}
		})
	}
}

// A page for a class that is gone would send people the wrong way.
func TestNoPageWithoutClass(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs/errors/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		name := strings.TrimSuffix(filepath.Base(page), ".md")
		known := slices.ContainsFunc(contactsync.Classes(), func(info contactsync.ClassInfo) bool { return string(info.Class) == name })
		if !known && name != "README" {
			t.Errorf("docs/errors/%s.md is about no class", name)
		}
	}
}

// The README's table of errors is the code's.
func TestReadmeErrors(t *testing.T) {
	readme := read(t, "README.md")
	for _, info := range contactsync.Classes() {
		row := fmt.Sprintf("| [`%s`](docs/errors/%s.md) | %s | %s |", info.Class, info.Class, info.Title, info.Who)
		if !strings.Contains(readme, row+"\n") {
			t.Errorf("README.md lacks the row %q", row)
		}
	}
}

// Customers look a rule up by its id: each has an entry with its class and a cure, its example breaks that very rule,
// and there is no entry that nothing reports.
func TestContactsFileRules(t *testing.T) {
	_, part, found := strings.Cut(read(t, "docs/contacts-file.md"), "\n## Rules\n")
	if !found {
		t.Fatal("docs/contacts-file.md lacks the part \"Rules\"")
	}
	entries := make(map[string]string)
	for _, entry := range strings.Split(part, "\n### ")[1:] {
		heading, body, _ := strings.Cut(entry, "\n")
		entries[strings.Trim(heading, "`")] = body
	}
	for _, rule := range contacts.Rules() {
		t.Run(rule.ID, func(t *testing.T) {
			body, ok := entries[rule.ID]
			if !ok {
				t.Fatal("docs/contacts-file.md has no entry for it")
			}
			delete(entries, rule.ID)
			if want := fmt.Sprintf("Class [`%s`](errors/%s.md)", rule.Class, rule.Class); !strings.Contains(body, want) {
				t.Errorf("the entry does not say %q", want)
			}
			if !strings.Contains(body, "\nCure: ") {
				t.Error("the entry has no cure")
			}
			for _, example := range examples(body) {
				_, problems := contacts.Parse([]byte(example))
				if !slices.ContainsFunc(problems, func(p contacts.Problem) bool { return p.Rule == rule.ID }) {
					t.Errorf("the example does not break the rule; its problems are %v:\n%s", problems, example)
				}
			}
		})
	}
	for rule := range entries {
		t.Errorf("docs/contacts-file.md explains the rule %s, which nothing reports", rule)
	}
}

// What is shown as a good contacts file is one.
func TestContactsFileExamples(t *testing.T) {
	page, _, _ := strings.Cut(read(t, "docs/contacts-file.md"), "\n## Rules\n")
	good := append(examples(page), examples(read(t, "README.md"))...)
	checked := 0
	for _, example := range good {
		if !strings.Contains(example, "email: ada@example.com") {
			continue // the configuration, or an editor's line
		}
		checked++
		if _, problems := contacts.Parse([]byte(example)); len(problems) > 0 {
			t.Errorf("%v in the example\n%s", problems, example)
		}
	}
	if checked < 3 {
		t.Errorf("only %d examples were found, so little was checked", checked)
	}
}

// examples returns the YAML blocks of a text.
func examples(text string) []string {
	var blocks []string
	for _, block := range strings.Split(text, "\n```yaml\n")[1:] {
		example, _, _ := strings.Cut(block, "```")
		blocks = append(blocks, example)
	}
	return blocks
}

// The configuration page lists every key as the code has it, and shows the example that the code is tested with.
// Run with -update to write both anew.
func TestConfiguration(t *testing.T) {
	const name = "docs/configuration.md"
	page := read(t, name)
	want := replaceBetween(t, page, "\n| key |", "\n\n", "\n"+configurationTable())
	want = replaceBetween(t, want, "```yaml\n", "```\n", "```yaml\n"+string(config.Example()))
	if want == page {
		return
	}
	if !*update {
		t.Fatalf("%s differs from the code; go test ./docs/ -update writes it anew", name)
	}
	if err := os.WriteFile(filepath.Join(root, name), []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

var update = flag.Bool("update", false, "write the parts of the documentation that are made from the code")

func configurationTable() string {
	var table strings.Builder
	table.WriteString("| key | kind | default | what it is for |\n|---|---|---|---|")
	for _, key := range config.Reference() {
		value := ""
		if key.Default != "" {
			value = "`" + key.Default + "`"
		}
		fmt.Fprintf(&table, "\n| `%s` | %s | %s | %s |", key.Path, key.Type, value, strings.ReplaceAll(key.Text, "|", "\\|"))
	}
	return table.String()
}

// The page about eligibility lists the facts and the policy as the code has them, and its policy is one.
func TestEligibility(t *testing.T) {
	const name = "docs/eligibility.md"
	page := read(t, name)
	for _, c := range eligibility.Default(eligibility.DefaultSeats) {
		if row := fmt.Sprintf("| `%s` | %s |\n", c.ID, c.Title); !strings.Contains(page, row) {
			t.Errorf("%s lacks the row %q", name, row)
		}
	}
	table := "\n| fact | kind | what it says |\n|---|---|---|"
	for _, fact := range eligibility.FactTable() {
		table += fmt.Sprintf("\n| `%s` | %s | %s |", fact.Name, fact.Kind, fact.Text)
	}
	want := replaceBetween(t, page, "\n| fact | kind |", "\n\n", table)
	if want != page && *update {
		if err := os.WriteFile(filepath.Join(root, name), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != page {
		t.Errorf("%s differs from the code; go test ./docs/ -update writes it anew", name)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, config.FileName), []byte(examples(page)[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := config.Load(config.Sources{Dir: dir}); err != nil || len(c.Eligibility.Criteria) != 7 {
		t.Errorf("the policy of %s is %q, %v", name, c.Eligibility.Criteria, err)
	}
}

// Every event and every target of notifications is explained, and the example is a configuration.
func TestNotifications(t *testing.T) {
	const name = "docs/notifications.md"
	page := read(t, name)
	for _, event := range contactsync.NoticeEvents() {
		if !strings.Contains(page, fmt.Sprintf("\n| `%s` | ", event)) {
			t.Errorf("%s does not explain %s", name, event)
		}
	}
	dir := t.TempDir()
	for _, key := range config.Reference() {
		short, ours := strings.CutPrefix(key.Path, "notify.")
		if ours && short != "events" && !strings.Contains(page, fmt.Sprintf("\n| `%s` | ", key.Path)) {
			t.Errorf("%s does not explain %s", name, key.Path)
		}
	}
	example := examples(page)[0]
	for _, secret := range regexp.MustCompile(`_file: (\S+)`).FindAllStringSubmatch(example, -1) {
		example = strings.Replace(example, secret[1], filepath.Base(secret[1]), 1)
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(secret[1])), []byte("https://chat.example.com/hooks/secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, config.FileName), []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err := config.Load(config.Sources{Dir: dir}); err != nil || len(c.Notify.Slack) != 1 || len(c.Notify.Events) != 2 {
		t.Errorf("the example is %+v, %v", c.Notify, err)
	}
}

// Every check of doctor is explained, in the order in which it tells them, and no other.
func TestDoctorChecks(t *testing.T) {
	var want, listed []string
	for _, check := range contactsync.Checks() {
		want = append(want, string(check))
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(read(t, "docs/doctor.md"), -1) {
		listed = append(listed, row[1])
	}
	if !slices.Equal(listed, want) {
		t.Errorf("docs/doctor.md lists %q, want %q", listed, want)
	}
}

// Every check of an audit is explained, in the order in which it tells them, and no other.
func TestAuditChecks(t *testing.T) {
	var want, listed []string
	for _, check := range contactsync.AuditChecks() {
		want = append(want, string(check))
	}
	_, table, _ := strings.Cut(read(t, "docs/audit.md"), "\n## What it tells\n")
	table, _, _ = strings.Cut(table, "\n## ")
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(table, -1) {
		listed = append(listed, row[1])
	}
	if !slices.Equal(listed, want) {
		t.Errorf("docs/audit.md lists %q, want %q", listed, want)
	}
}

// Whoever writes texts of their own finds every file, and what can be filled in.
func TestTexts(t *testing.T) {
	page := read(t, "docs/texts.md")
	texts := map[string][]any{
		"CONTACTS.md":                           {templates.GuideData{}},
		string(templates.Intro) + ".txt":        {templates.IntroData{}},
		string(templates.NotQualified) + ".txt": {templates.NotQualifiedData{}, templates.Criterion{}},
		string(templates.SetUp) + ".txt":        {templates.SetUpData{}},
		string(templates.Removed) + ".txt":      {templates.RemovedData{}},
		string(templates.OverLimit) + ".txt":    {templates.OverLimitData{}, templates.Contact{}},
		"status.txt":                            {templates.StatusData{}, templates.Counts{}},
		"commit_note.md":                        {templates.CommitNoteData{}, templates.Problem{}, templates.NamedChange{}},
		"request_note.md":                       {templates.RequestNoteData{}},
		"badge.svg":                             {templates.BadgeData{}},
		"notice.txt":                            {templates.NoticeData{}},
	}
	for _, format := range templates.NoticeFormats() {
		texts["notice_"+format+".json"] = nil // what notice.txt has, and .Text
	}
	embedded, err := os.ReadDir(filepath.Join(root, "templates", "texts"))
	if err != nil {
		t.Fatal(err)
	}
	help := read(t, "config/config.go")
	for _, file := range embedded {
		data, known := texts[file.Name()]
		_, row, listed := strings.Cut(page, "\n| `"+file.Name()+"` | ")
		if !known || !listed {
			t.Errorf("docs/texts.md does not say what can be filled in into %s", file.Name())
		}
		if !strings.Contains(help, file.Name()) {
			t.Errorf("the help of templates.dir does not name %s", file.Name())
		}
		row, _, _ = strings.Cut(row, "\n")
		want, got := map[string]bool{}, map[string]bool{}
		for _, part := range data {
			for _, field := range reflect.VisibleFields(reflect.TypeOf(part)) {
				want[field.Name] = true
			}
		}
		for _, field := range regexp.MustCompile("`\\.(\\w+)`").FindAllStringSubmatch(row, -1) {
			got[field[1]] = true
		}
		for field := range want {
			if !got[field] {
				t.Errorf("docs/texts.md does not say of %s that it has %s", file.Name(), field)
			}
			delete(got, field)
		}
		if delete(got, "Text"); len(got) > 0 {
			t.Errorf("docs/texts.md says of %s that it has %v, and it has not", file.Name(), slices.Sorted(maps.Keys(got)))
		}
		delete(texts, file.Name())
	}
	if len(texts) > 0 {
		t.Errorf("there are no such texts: %v", slices.Sorted(maps.Keys(texts)))
	}
}

// replaceBetween replaces the text from the first begin up to the next end, which stays.
func replaceBetween(t *testing.T, text, begin, end, with string) string {
	t.Helper()
	start := strings.Index(text, begin)
	if start < 0 {
		t.Fatalf("the text lacks %q", begin)
	}
	length := strings.Index(text[start+len(begin):], end)
	if length < 0 {
		t.Fatalf("the text lacks %q after %q", end, begin)
	}
	return text[:start] + with + text[start+len(begin)+length:]
}

// Whoever looks up what a hook was answered, in GitLab or in the metrics, finds it.
func TestHookAnswers(t *testing.T) {
	page := read(t, "docs/hooks.md")
	for _, answer := range []string{
		webhook.AnswerAccepted, webhook.AnswerJoined, webhook.AnswerIgnored, webhook.AnswerRefused, webhook.AnswerUnauthorized,
		webhook.AnswerInvalid, webhook.AnswerTooLarge, webhook.AnswerTimeout, webhook.AnswerAborted, webhook.AnswerUnavailable,
		"branch", "deleted", "tag", "event", "test",
	} {
		if !strings.Contains(page, "`"+answer+"`") {
			t.Errorf("docs/hooks.md does not explain %s", answer)
		}
	}
	for _, key := range config.Reference() {
		if strings.HasPrefix(key.Path, "webhook.") && key.Secret && !strings.Contains(page, "`"+key.Path+"`") {
			t.Errorf("docs/hooks.md does not explain %s", key.Path)
		}
	}
}

// The README's configuration is one that a sync can work with.
func TestReadmeConfiguration(t *testing.T) {
	blocks := examples(read(t, "README.md"))
	i := slices.IndexFunc(blocks, func(block string) bool { return strings.HasPrefix(block, "gitlab:") })
	if i < 0 {
		t.Fatal("README.md shows no configuration")
	}
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(config.FileName, blocks[i])
	for _, secret := range regexp.MustCompile(`_file: (\S+)`).FindAllStringSubmatch(blocks[i], -1) {
		write(secret[1], "a secret\n")
	}
	c, err := config.Load(config.Sources{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if missing := c.Missing(config.ForSync); len(missing) > 0 {
		t.Errorf("a sync would miss %v", missing)
	}
}

// The README's table of dependencies is complete and names nothing that is not there.
func TestReadmeDependencies(t *testing.T) {
	_, table, _ := strings.Cut(read(t, "README.md"), "\n## Dependencies\n")
	table, _, _ = strings.Cut(table, "\n\nThe project")
	var listed []string
	for _, match := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(table, -1) {
		listed = append(listed, match[1])
	}
	required, indirect, _ := strings.Cut(read(t, "go.mod"), "\n)\n")
	for _, module := range listed {
		if !strings.Contains(required, "\t"+module+" ") {
			t.Errorf("README.md lists %s, which go.mod does not require directly", module)
		}
	}
	var source strings.Builder
	for _, name := range texts(t, ".go") {
		source.WriteString(read(t, name))
	}
	for line := range strings.Lines(required + indirect) {
		module, _, ok := strings.Cut(strings.TrimPrefix(line, "\t"), " v")
		imported := strings.Contains(source.String(), `"`+module+`"`) || strings.Contains(source.String(), `"`+module+"/")
		if ok && strings.HasPrefix(line, "\t") && !strings.Contains(line, "// indirect") && imported && !slices.Contains(listed, module) {
			t.Errorf("README.md does not list %s", module)
		}
	}
}

// The table of what each desk can do beyond the common interface is what the desks say of themselves.
func TestCapabilities(t *testing.T) {
	desks := []struct {
		name string
		desk contactsync.Desk
	}{{"Zendesk", (*zendesk.Desk)(nil)}}
	table, rule := "\n| ability |", "\n|---|"
	for _, d := range desks {
		table += " " + d.name + " |"
		rule += "---|"
	}
	table += rule
	for i, capability := range desktest.Capabilities(desks[0].desk) {
		table += "\n| " + capability.Name + " |"
		for _, d := range desks {
			table += map[bool]string{true: " yes |", false: " no |"}[desktest.Capabilities(d.desk)[i].Has]
		}
	}
	if !strings.Contains(read(t, "docs/architecture.md"), table+"\n\n") {
		t.Errorf("docs/architecture.md lacks the table%s", table)
	}
}

// Whoever follows a link inside the repository arrives.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, name := range texts(t, ".md") {
		for _, match := range link.FindAllStringSubmatch(read(t, name), -1) {
			target, err := url.Parse(match[1])
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if target.Scheme != "" {
				continue
			}
			path := name
			if target.Path != "" {
				path = filepath.Join(filepath.Dir(name), target.Path)
			}
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("%s links to %s, which is not there", name, match[1])
				continue
			}
			if target.Fragment != "" && !slices.Contains(anchors(read(t, path)), target.Fragment) {
				t.Errorf("%s links to %s, but %s has no such heading", name, match[1], path)
			}
		}
	}
}

// anchors are the fragments that a page's headings make, as GitLab and GitHub form them.
func anchors(page string) []string {
	var found []string
	dropped := regexp.MustCompile("[^a-z0-9 _-]")
	for line := range strings.Lines(page) {
		heading := strings.TrimLeft(line, "#")
		if heading == line {
			continue
		}
		text := dropped.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
		found = append(found, strings.ReplaceAll(text, " ", "-"))
	}
	return found
}

// Example data is nobody's: no paths of the machine it was written on, no addresses of real people.
func TestTextsAreNeutral(t *testing.T) {
	machine := regexp.MustCompile(`(?:^|[^A-Za-z0-9_.])/(?:work|root|home|Users)/`)
	address := regexp.MustCompile(`[\w.+-]+@([\w-]+(?:\.[\w-]+)*\.[a-zA-Z]{2,})`)
	for _, name := range texts(t, ".md") {
		text := read(t, name)
		if found := machine.FindString(text); found != "" {
			t.Errorf("%s names the path %q of some machine", name, found)
		}
		for _, match := range address.FindAllStringSubmatch(text, -1) {
			domain := strings.ToLower(match[1])
			if !regexp.MustCompile(`(^|\.)example\.(com|org|net)$`).MatchString(domain) {
				t.Errorf("%s holds the address %s; examples use example.com and example.org", name, match[0])
			}
		}
	}
}

// read returns a text by its path from the repository's root.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// texts returns the paths, from the repository's root, of all texts of that kind.
func texts(t *testing.T, extension string) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(root), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", "bin", "dist", "testdata"}, entry.Name()):
			return fs.SkipDir
		case !entry.IsDir() && strings.HasSuffix(path, extension):
			names = append(names, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 {
		t.Fatalf("no %s files were found, so nothing was checked", extension)
	}
	return names
}
