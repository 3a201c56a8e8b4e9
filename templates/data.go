package templates

import (
	"slices"
	"strings"
	"unicode"
)

// GuideData is what CONTACTS.md says. Its texts reach the template as code spans of Markdown.
type GuideData struct {
	Organization string // its id
	Name         string // its name; "" takes the id
	File         string // the contacts file's path in the project
	Branch       string // the one that is read
}

func (d GuideData) clean() any {
	if clean(d.Name) == "" {
		d.Name = d.Organization
	}
	return GuideData{Organization: code(d.Organization), Name: code(d.Name), File: code(d.File), Branch: code(d.Branch)}
}

// Data is what a reply says: IntroData, NotQualifiedData, SetUpData, RemovedData or OverLimitData.
type Data interface {
	reply() Reply
	clean() any // the same, with texts that can do nothing but be read
}

// IntroData is what Intro says.
type IntroData struct {
	Organization string // its name
	File         string // the contacts file's path
	Limit        int    // how many people may edit it at most; 0: no limit
}

func (IntroData) reply() Reply { return Intro }

func (d IntroData) clean() any {
	d.Organization, d.File = clean(d.Organization), clean(d.File)
	return d
}

// NotQualifiedData is what NotQualified says.
type NotQualifiedData struct {
	Organization string      // its name
	Criteria     []Criterion // those that are not met or unknown
}

// Criterion is one that is not met, or unknown.
type Criterion struct {
	Title   string // a clause, such as "it has at least 50 seats"
	Unknown bool   // no source tells
	Remedy  string // a sentence for the requester: what would mend it; "" for none, and where it is unknown
}

func (NotQualifiedData) reply() Reply { return NotQualified }

func (d NotQualifiedData) clean() any {
	d.Organization, d.Criteria = clean(d.Organization), slices.Clone(d.Criteria)
	for i, c := range d.Criteria {
		d.Criteria[i] = Criterion{Title: clean(c.Title), Unknown: c.Unknown, Remedy: clean(c.Remedy)}
	}
	return d
}

// SetUpData is what SetUp says.
type SetUpData struct {
	Organization string   // its name
	Project      string   // the project's address
	Invited      []string // the addresses that were invited to edit it
	File         string   // the contacts file's path in the project
	Branch       string   // the one that is read
}

func (SetUpData) reply() Reply { return SetUp }

func (d SetUpData) clean() any {
	d.Organization, d.Project, d.File, d.Branch = clean(d.Organization), clean(d.Project), clean(d.File), clean(d.Branch)
	d.Invited = slices.Clone(d.Invited)
	for i, address := range d.Invited {
		d.Invited[i] = clean(address)
	}
	return d
}

// RemovedData is what Removed says.
type RemovedData struct {
	Organization string // its name
	Limit        int    // how many contacts it may have without a project; 0: no limit
	Until        string // the day on which the project is gone for good, such as 2027-01-31; "" where nobody tells
}

func (RemovedData) reply() Reply { return Removed }

func (d RemovedData) clean() any {
	d.Organization, d.Until = clean(d.Organization), clean(d.Until)
	return d
}

// OverLimitData is what OverLimit says.
type OverLimitData struct {
	Organization string // its name
	Limit        int
	File         string // the contacts file's path where the organization has a project, else ""
	Contacts     []Contact
}

// Contact is a present contact.
type Contact struct{ Name, Email string }

func (OverLimitData) reply() Reply { return OverLimit }

func (d OverLimitData) clean() any {
	d.Organization, d.File, d.Contacts = clean(d.Organization), clean(d.File), slices.Clone(d.Contacts)
	for i, c := range d.Contacts {
		d.Contacts[i] = Contact{Name: clean(c.Name), Email: clean(c.Email)}
	}
	return d
}

// clean makes a text one line that is only read: without control characters, and without those that turn the direction
// of reading or are not seen. What desks would take for a placeholder of theirs ("{{ticket.id}}", "{% if %}") is taken
// apart.
func clean(text string) string {
	var line strings.Builder
	var last rune
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		switch {
		case unicode.IsControl(r), unicode.IsSpace(r): // line and paragraph separators are spaces, too
			r = ' '
		case isInvisible(r):
			continue
		case last == '{' && (r == '{' || r == '%'):
			line.WriteByte(' ')
		}
		if r != ' ' || last != ' ' {
			line.WriteRune(r)
		}
		last = r
	}
	return strings.TrimSpace(line.String())
}

// isInvisible reports whether a character is not seen, or turns the direction of reading. The joiners are letters to
// some scripts.
func isInvisible(r rune) bool { return unicode.Is(unicode.Cf, r) && r != '\u200c' && r != '\u200d' }

// graveAccent looks like a backtick, and means nothing to Markdown.
const graveAccent = "\u02cb"

// code makes a text a code span, whose only special character is the backtick
// (https://spec.commonmark.org/0.31.2/#code-spans). GitLab looks for no references in it.
func code(text string) string {
	text = strings.ReplaceAll(clean(text), "`", graveAccent)
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// samples are what each text is tried with: nothing, and everything.
func samples() map[string][]any {
	all := map[string][]any{guideFile: {
		GuideData{}.clean(), GuideData{Organization: "42", Name: "Example", File: "contacts.yaml", Branch: "master"}.clean(),
	}}
	for _, data := range []Data{
		IntroData{}, IntroData{Organization: "Example", File: "contacts.yaml", Limit: 5},
		NotQualifiedData{}, NotQualifiedData{Organization: "Example", Criteria: []Criterion{
			{Title: "it has at least 50 seats", Remedy: "Have the number corrected."}, {Title: "it is active", Unknown: true},
		}},
		SetUpData{}, SetUpData{Organization: "Example", Project: "https://gitlab.example.com/organization-42",
			Invited: []string{"ada@example.com"}, File: "contacts.yaml", Branch: "master"},
		RemovedData{}, RemovedData{Organization: "Example", Limit: 30, Until: "2027-01-31"},
		OverLimitData{}, OverLimitData{Organization: "Example", Limit: 1, File: "contacts.yaml", Contacts: []Contact{
			{Name: "Ada Lovelace", Email: "ada@example.com"}, {Email: "grace@example.com"},
		}},
	} {
		name := data.reply().file()
		all[name] = append(all[name], data.clean())
	}
	addSamples(all)
	return all
}
