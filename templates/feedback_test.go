package templates_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"contactsync/templates"
)

var at = time.Date(2026, 11, 25, 21, 22, 0, 0, time.UTC)

const run = "lgkooje3kba46bof"

// statuses are data for every kind of status.
func statuses() []templates.StatusData {
	counts := templates.Counts{Added: 2, Renamed: 1, Removed: 1, Unchanged: 7}
	of := func(kind string, counts templates.Counts) templates.StatusData {
		return templates.StatusData{Kind: kind, File: "contacts.yaml", Counts: counts, Reference: run}
	}
	with := func(d templates.StatusData, title string, ours bool) templates.StatusData {
		d.Title, d.Ours = title, ours
		return d
	}
	noted := func(d templates.StatusData) templates.StatusData {
		d.Noted = true
		return d
	}
	return []templates.StatusData{
		of("waiting", templates.Counts{}),
		of("passed_over", templates.Counts{}),
		of("synced", counts), of("synced", templates.Counts{Added: 1}), of("synced", templates.Counts{Unchanged: 8}), of("synced", templates.Counts{}),
		of("held", templates.Counts{Held: 5}), of("held", templates.Counts{Added: 1, Unchanged: 2, Held: 1}), of("held", templates.Counts{}),
		of("partial", templates.Counts{Added: 2, Unchanged: 7, Conflicts: 1}), with(of("partial", templates.Counts{Added: 2, Unchanged: 7, Conflicts: 1, Failed: 2}), "Failed to sync contacts", true),
		with(of("partial", templates.Counts{}), "", true),
		with(of("failed", templates.Counts{}), "Invalid e-mail address", false), noted(with(of("failed", templates.Counts{}), "Invalid e-mail address", false)),
		noted(with(of("failed", templates.Counts{}), "No org found", true)), with(of("failed", templates.Counts{}), "No org found", true), of("failed", templates.Counts{}),
		of("valid", templates.Counts{Added: 2, Removed: 1}), of("valid", templates.Counts{Unchanged: 9}), of("valid", templates.Counts{Added: 2, Renamed: 1, Removed: 7, Held: 7, Conflicts: 1}),
		with(of("valid", templates.Counts{}), "", true), {Kind: "valid"},
		of("invalid", templates.Counts{}), {Kind: "invalid"},
		of("untouched", templates.Counts{}), {Kind: "untouched"},
	}
}

var problems = []templates.Problem{
	{Line: 2, Message: `The key "e-mail" is not known here.`, Remedy: `Write it "email".`, Corrected: "  email: ada@example.com"},
	{Line: 5, Message: `"grace@" has no domain.`, Remedy: "Write the whole address."},
	{Message: "The file ends in the middle of a text.", Remedy: "Close the quotation mark."},
}

var changes = []templates.NamedChange{
	{Action: "added", Name: "Ada Lovelace", Email: "ada@example.com"},
	{Action: "renamed", Name: "Grace Hopper-Murray", Email: "grace@example.com"},
	{Action: "removed", Name: "Žižek & Söhne", Email: "office@example.com", Held: true},
}

// commitNotes are data for every variant of the note on a commit, by the golden file's name.
func commitNotes() map[string]templates.CommitNoteData {
	return map[string]templates.CommitNoteData{
		"commit_note.md": {File: "contacts.yaml", Title: "Error reading YAML file", Problems: problems, More: 3, Reference: run},
		"commit_note_messages.md": {File: "contacts.yaml", Title: "Invalid e-mail address", Reference: run, Problems: []templates.Problem{
			{Line: 1, Message: `"ada@" has no domain. Write the whole address.`, Corrected: "- {name: Ada, email: ada@example.com}"}}, More: 1},
		"commit_note_reason.md": {File: "contacts.yaml", Title: "No contacts.yaml", Reason: "The branch master has no file contacts.yaml.",
			Remedy: "Put contacts.yaml, as an ordinary file, at the root of the repository on the branch that is read, and push.", Reference: run},
		"commit_note_settled.md": {Settled: true, Reference: run},
		"commit_note_changed.md": {File: "contacts.yaml", Changed: changes, Counts: templates.Counts{Added: 1, Renamed: 1, Unchanged: 7, Held: 1}, Reference: run},
		"commit_note_minimal.md": {},
	}
}

// requestNotes are data for every variant of the note on a merge request, by the golden file's name.
func requestNotes() map[string]templates.RequestNoteData {
	const commit = "abc12345"
	return map[string]templates.RequestNoteData{
		"request_note.md": {File: "contacts.yaml", Commit: commit, Planned: true, At: at, Contacts: 9, Limit: 30,
			Counts: templates.Counts{Added: 2, Renamed: 1, Removed: 1, Unchanged: 7}},
		"request_note_all.md": {File: "contacts.yaml", Commit: commit, Planned: true, At: at, Contacts: 3, Limit: 30,
			Counts: templates.Counts{Added: 1, Renamed: 1, Removed: 6, Unchanged: 1, Held: 6, Conflicts: 1}, Changes: changes,
			Held:      []string{"6 of 9 contacts would be removed, and more than 5 are asked about.", "The list shrinks by more than a half."},
			Conflicts: []templates.Problem{{Line: 7, Message: "emmy@example.org belongs to another organization."}}, Behind: true, Branch: "master"},
		"request_note_nothing.md":   {File: "contacts.yaml", Commit: commit, Planned: true, At: at, Contacts: 1, Counts: templates.Counts{Unchanged: 1}},
		"request_note_removed.md":   {File: "contacts.yaml", Commit: commit, Planned: true, At: at, Contacts: 7, Counts: templates.Counts{Removed: 1, Unchanged: 7}},
		"request_note_invalid.md":   {File: "contacts.yaml", Commit: commit, Problems: problems, More: 1},
		"request_note_reason.md":    {File: "contacts.yaml", Commit: commit, Reason: "The list has 31 contacts, and the limit is 30.", Remedy: "Shorten the list to the limit and push again, or ask support to raise the limit."},
		"request_note_ours.md":      {File: "contacts.yaml", Commit: commit, Ours: true, Behind: true, Branch: "master"},
		"request_note_untouched.md": {File: "contacts.yaml", Commit: commit, Untouched: true},
		"request_note_minimal.md":   {},
	}
}

// badges are data for every state of the badge.
func badges() map[string]templates.BadgeData {
	return map[string]templates.BadgeData{
		"badge_synced.svg":  {State: "synced", Contacts: 8, Synced: at},
		"badge_held.svg":    {State: "held", Contacts: 1, Synced: at},
		"badge_partial.svg": {State: "partial", Contacts: 1234, Synced: at},
		"badge_failed.svg":  {State: "failed", Contacts: 8, Synced: at},
		"badge_stale.svg":   {State: "stale", Contacts: 8, Synced: at},
		"badge_unknown.svg": {State: "unknown"},
	}
}

// notices are data for every event.
func notices() map[string]templates.NoticeData {
	return map[string]templates.NoticeData{
		"notice_held": {Event: "held", Project: 123, Organization: "Example & Söhne", Changes: 5, Since: at,
			Detail: "5 of 9 contacts would be removed.", Command: "contactsync runs 123", Key: "held:123:lgkooje3kba46bof"},
		"notice_quarantined": {Event: "quarantined", Project: 123, Class: "no_org_found", Title: "No org found", Since: at,
			Command: "contactsync runs 123", Key: "quarantined:123"},
		"notice_hook_disabled":      {Event: "hook_disabled", Project: 123, Organization: "Example", Command: "contactsync doctor 123", Key: "hook_disabled:123"},
		"notice_credential_expires": {Event: "credential_expires", System: "gitlab", Expires: "2027-01-31", Command: "contactsync config check", Key: "credential_expires:gitlab:2027-01-31"},
		"notice_partial":            {Event: "partial", Project: 123, Organization: "Example Ltd.", Changes: 2, Since: at, Command: "contactsync runs show lgkooje3kba46bof", Key: "partial/123/0123456789abcdef"},
		"notice_sweep_held":         {Event: "sweep_held", Changes: 120, Organizations: 14, Since: at, Command: "contactsync sweep", Key: "sweep_held:1"},
	}
}

func embedded(t testing.TB) *templates.Set {
	t.Helper()
	set, err := templates.New("")
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// feedback words all of the above, by the golden files' names.
func feedback(t testing.TB) map[string]string {
	t.Helper()
	set, made := embedded(t), map[string]string{}
	keep := func(name, text string, err error) {
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		made[name] = strings.TrimSuffix(text, "\n") + "\n"
	}
	for _, data := range statuses() {
		text, err := set.Status(data)
		keep("status.txt", made["status.txt"]+text, err)
	}
	for name, data := range commitNotes() {
		text, err := set.CommitNote(data)
		keep(name, text, err)
	}
	for name, data := range requestNotes() {
		text, err := set.RequestNote(data)
		keep(name, text, err)
	}
	for name, data := range badges() {
		text, err := set.Badge(data)
		keep(name, string(text), err)
	}
	for name, data := range notices() {
		text, err := set.Notice(data)
		keep(name+".txt", text, err)
	}
	for _, format := range templates.NoticeFormats() {
		text, err := set.NoticeBody(format, notices()["notice_held"])
		keep("notice_held_"+format+".json", string(text), err)
	}
	return made
}

// A status, a badge or a notice of another kind than there are is a mistake, and says so.
func TestUnknownKinds(t *testing.T) {
	set := embedded(t)
	_, status := set.Status(templates.StatusData{Kind: "odd"})
	_, badge := set.Badge(templates.BadgeData{State: "odd"})
	_, notice := set.Notice(templates.NoticeData{Event: "odd"})
	_, body := set.NoticeBody("json", templates.NoticeData{Event: "odd"})
	_, format := set.NoticeBody("odd", templates.NoticeData{Event: "held"})
	for what, err := range map[string]error{"status": status, "badge": badge, "notice": notice, "body": body, "format": format} {
		if err == nil || !strings.Contains(err.Error(), `"odd"`) {
			t.Errorf("%s: got %v", what, err)
		}
	}
}

// Nothing is counted that is not there, and one is one: no status, note or notice says "0 added" or "1 contacts".
func TestCountsAreWords(t *testing.T) {
	wrong := regexp.MustCompile(`(?:^|[^\d.,-])0 [a-z]|(?:^|[^\d.,-])1 (?:contacts|changes|organizations|problems)\b|[2-9] (?:contact|change|organization|problem)\b`)
	for name, made := range feedback(t) {
		if found := wrong.FindString(made); found != "" {
			t.Errorf("%s says %q:\n%s", name, found, made)
		}
	}
}

// An operator's status can be too long for GitLab, and of several lines: it is made one that GitLab takes.
func TestLongStatus(t *testing.T) {
	set, err := templates.New(folder(t, map[string]string{"status.txt": "é\n{{.Kind}} {{printf \"%0300d\" 7}}"}))
	if err != nil {
		t.Fatal(err)
	}
	got, err := set.Status(templates.StatusData{Kind: "synced"})
	if want := "é synced " + strings.Repeat("0", 245) + "…"; err != nil || got != want || utf8.RuneCountInString(got) != 255 {
		t.Errorf("got %q, %v", got, err)
	}
}

// drawn is an element of an SVG.
type drawn struct {
	name  string
	attrs map[string]string
	text  string
}

func draw(t *testing.T, svg []byte) (elements []drawn) {
	t.Helper()
	decoder := xml.NewDecoder(bytes.NewReader(svg))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return elements
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, svg)
		}
		switch token := token.(type) {
		case xml.StartElement:
			element := drawn{name: token.Name.Local, attrs: map[string]string{}}
			for _, attr := range token.Attr {
				element.attrs[attr.Name.Local] = attr.Value
			}
			elements = append(elements, element)
		case xml.CharData:
			if len(elements) > 0 && elements[len(elements)-1].text == "" {
				elements[len(elements)-1].text = strings.TrimSpace(string(token))
			}
		case xml.Comment, xml.Directive, xml.ProcInst:
			t.Errorf("%T in\n%s", token, svg)
		}
	}
}

// luminance is how bright a colour is (https://www.w3.org/TR/WCAG21/#dfn-relative-luminance).
func luminance(t *testing.T, colour string) (total float64) {
	t.Helper()
	number, err := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 24)
	if err != nil || len(colour) != 7 {
		t.Fatalf("%q is no colour", colour)
	}
	for i, weight := range []float64{0.7152, 0.2126, 0.0722} {
		c := float64(number>>[]int{8, 16, 0}[i]&0xff) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		total += weight * c
	}
	return total
}

// A badge is a picture and nothing else, says to those who cannot see it what it shows, can be read, and is as wide as
// its texts, whatever there is to say.
func TestBadges(t *testing.T) {
	set := embedded(t)
	data := badges()
	data["many"] = templates.BadgeData{State: "partial", Contacts: math.MaxInt, Synced: at}
	data["odd"] = templates.BadgeData{State: "stale", Contacts: -1}
	for name, data := range data {
		svg, err := set.Badge(data)
		if err != nil {
			t.Fatal(err)
		}
		var names, texts []string
		var fills []string
		number := func(e drawn, attr string) float64 {
			n, err := strconv.ParseFloat(e.attrs[attr], 64)
			if err != nil {
				t.Fatalf("%s: %s is %q in\n%s", name, attr, e.attrs[attr], svg)
			}
			return n
		}
		elements := draw(t, svg)
		full := number(elements[0], "width")
		end := 0.0
		for _, e := range elements {
			names = append(names, e.name)
			if fill := e.attrs["fill"]; fill != "" {
				fills = append(fills, fill)
			}
			for attr, value := range e.attrs {
				if !slices.Contains([]string{"xmlns", "width", "height", "viewBox", "role", "rx", "fill", "d", "font-family", "font-size", "x", "y", "textLength"}, attr) ||
					attr != "xmlns" && strings.Contains(value, ":") {
					t.Errorf("%s: an attribute %s=%q", name, attr, value)
				}
			}
			if e.name == "text" {
				texts = append(texts, e.text)
				if x := number(e, "x"); x < end+6 {
					t.Errorf("%s: %q begins at %v, and there is something up to %v", name, e.text, x, end)
				}
				end = number(e, "x") + number(e, "textLength")
			}
		}
		if want := []string{"svg", "title", "rect", "path", "g", "text", "text"}; !slices.Equal(names, want) {
			t.Errorf("%s: the elements %v, want %v", name, names, want)
		}
		if elements[0].attrs["role"] != "img" || !strings.HasPrefix(elements[1].text, "Sync Status: ") || texts[0] != "Sync Status" {
			t.Errorf("%s is called %q, and labelled %q", name, elements[1].text, texts[0])
		}
		if end+6 != full {
			t.Errorf("%s: the text ends at %v of %v", name, end, full)
		}
		if len(fills) != 3 {
			t.Fatalf("%s: the colours %v", name, fills)
		}
		for _, ground := range fills[:2] {
			if contrast := (luminance(t, fills[2]) + 0.05) / (luminance(t, ground) + 0.05); contrast < 4.5 {
				t.Errorf("%s: text on %s has a contrast of %.1f", name, ground, contrast)
			}
		}
	}
}

// Programs get everything that is known about a notice, under its own name, each of its own kind.
func TestNoticeFields(t *testing.T) {
	set := embedded(t)
	for name, data := range notices() {
		made, err := set.NoticeBody("json", data)
		var got map[string]any
		if err := errors.Join(err, json.Unmarshal(made, &got)); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"text": textOr(set.Notice(data)), "since": nil}
		fields := reflect.ValueOf(data)
		for i := range fields.NumField() {
			key := strings.ToLower(fields.Type().Field(i).Name)
			switch value := fields.Field(i).Interface().(type) {
			case int:
				want[key] = float64(value)
			case int64:
				want[key] = float64(value)
			case time.Time:
				if !value.IsZero() {
					want[key] = value.Format(time.RFC3339)
				}
			default:
				want[key] = value
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

// textOr returns a text, or what kept it from being made.
func textOr(made string, err error) string {
	if err != nil {
		return err.Error()
	}
	return made
}

// An operator's own of these texts are taken as they are, with the same values in them.
func TestOwnFeedback(t *testing.T) {
	set, err := templates.New(folder(t, map[string]string{
		"status.txt":        "{{.Kind}}: {{list (count .Counts.Added \"one\" \"many\") (count .Counts.Removed \"gone\") (count .Counts.Held \"waits\" \"wait\")}}",
		"commit_note.md":    "{{range .Problems}}{{.Corrected}}\n\n{{end}}- {{.Title}}",
		"badge.svg":         `<svg xmlns="http://www.w3.org/2000/svg" width="{{width .State}}"/>`,
		"notice.txt":        "{{.Event}} <{{.Organization}}>",
		"notice_slack.json": `{"blocks": [{{json .Text}}, {{json .Organization}}, {{json .Project}}]}`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	same := []templates.Problem{{Corrected: "- x"}, {Corrected: "- x"}}
	status, err1 := set.Status(templates.StatusData{Kind: "held", Counts: templates.Counts{Added: 1, Removed: 2, Held: 3}})
	note, err2 := set.CommitNote(templates.CommitNoteData{Title: "@all x", Problems: same})
	badge, err3 := set.Badge(templates.BadgeData{State: "held"})
	body, err4 := set.NoticeBody("slack", templates.NoticeData{Event: "held", Organization: "<@U1> & \"x\"", Project: 7})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		status:        "held: 1 one, 2 gone and 3 wait",
		note:          "```yaml\n  - x\n  ```\n\n  ```yaml\n  - x\n  ```\n\n- `@all` x",
		string(badge): `<svg xmlns="http://www.w3.org/2000/svg" width="24"/>` + "\n",
		string(body):  `{"blocks": ["held \u0026lt;` + "`\\u0026lt;@U1\\u0026gt;` \\u0026amp; \\\"x\\\"\\u0026gt;\", \"`\\u0026lt;@U1\\u0026gt;` \\u0026amp; \\\"x\\\"\", 7]}\n",
	} {
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}
