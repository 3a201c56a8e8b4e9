// Package templates is the embedded texts: project files, ticket replies, what is said about commits and merge requests,
// and notices for operators. Operators can replace each by a file of their own, in the language of text/template.
//
// What is filled in comes from customers and from other systems, so it can do nothing but be read: every value is one
// line without control characters. In Markdown and in chats what is more than words is a code span besides, in which
// nothing is a link, an image, a mention or a quick action.
package templates

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"unicode/utf8"
)

//go:embed texts
var embedded embed.FS

// Reply is the name of a text that answers a ticket.
type Reply string

// The replies.
const (
	Intro        Reply = "intro"         // asks who may edit the contacts file
	NotQualified Reply = "not_qualified" // says why there is no project
	SetUp        Reply = "set_up"        // the project is there
	Removed      Reply = "removed"       // it is gone
	OverLimit    Reply = "over_limit"    // there are too many contacts
)

// Replies returns all replies.
func Replies() []Reply { return []Reply{Intro, NotQualified, SetUp, Removed, OverLimit} }

func (r Reply) file() string { return string(r) + ".txt" }

// guideFile is the guide for customers' administrators. In a project it has the same name.
const guideFile = "CONTACTS.md"

// Text words a reply with the embedded text; see Set.Text.
func Text(reply Reply, data Data) (string, error) {
	set, err := New("")
	if err != nil {
		return "", err
	}
	return set.Text(reply, data)
}

// Guide returns the embedded CONTACTS.md; see Set.Guide.
func Guide(data GuideData) ([]byte, error) {
	set, err := New("")
	if err != nil {
		return nil, err
	}
	return set.Guide(data)
}

// Set is one version of all texts. Get one from New. It may be used by several goroutines.
type Set struct{ texts map[string]*template.Template } // by the names of their files

// New returns the embedded texts, and in their place those that lie in the folder dir, under the same names: CONTACTS.md,
// NAME.txt for each reply, status.txt, commit_note.md, request_note.md, badge.svg, notice.txt and notice_FORMAT.json for
// each format of NoticeBody. "" is no folder. Names that begin with a dot are not looked at: Kubernetes keeps its own among the files
// that it mounts.
//
// Each text is tried with sample data. The error, if any, names every file that is of no use, and the line in it.
func New(dir string) (*Set, error) {
	all := samples()
	own, problems := ownNames(dir, all)
	set := &Set{texts: map[string]*template.Template{}}
	for _, name := range sorted(all) {
		var err error
		if own[name] {
			set.texts[name], err = readOwn(filepath.Join(dir, name), name, all[name])
		} else {
			set.texts[name], err = readEmbedded(name)
		}
		if err != nil {
			problems = append(problems, err)
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("reading texts: %w", errors.Join(problems...))
	}
	return set, nil
}

// ownNames returns the names of the texts in a folder.
func ownNames(dir string, known map[string][]any) (names map[string]bool, problems []error) {
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, []error{err}
	}
	names = map[string]bool{}
	for _, entry := range entries {
		name := entry.Name()
		if known[name] != nil {
			names[name] = true
		} else if !strings.HasPrefix(name, ".") {
			problems = append(problems, fmt.Errorf("%s: no text has this name; the names are %s",
				filepath.Join(dir, name), strings.Join(sorted(known), ", ")))
		}
	}
	return names, problems
}

func sorted[V any](named map[string]V) []string { return slices.Sorted(maps.Keys(named)) }

// readEmbedded returns one of the program's own texts. That they are good is for the tests to say, and not for every command.
func readEmbedded(name string) (*template.Template, error) {
	content, err := embedded.ReadFile("texts/" + name)
	if err != nil {
		return nil, err
	}
	return parse("texts/"+name, content)
}

// readOwn reads a text of the operator's, and tries it with data.
func readOwn(path, name string, data []any) (*template.Template, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	if !utf8.Valid(content) {
		return nil, fmt.Errorf("%s: the text is not UTF-8", path)
	}
	text, err := parse(path, content)
	if err != nil {
		return nil, err
	}
	if problems := checkSource(path, name, content); len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	for _, sample := range data {
		if _, err := word(text, sample); err != nil {
			return nil, err
		}
	}
	return text, nil
}

func parse(path string, content []byte) (*template.Template, error) {
	return template.New(path).Option("missingkey=error").Funcs(functions).Parse(strings.ReplaceAll(string(content), "\r\n", "\n"))
}

// execute returns a text without blank lines around it.
func execute(text *template.Template, data any) (string, error) {
	var made strings.Builder
	if err := text.Execute(&made, data); err != nil {
		return "", err
	}
	trimmed := strings.TrimSpace(made.String())
	if trimmed == "" {
		return "", fmt.Errorf("%s: the text says nothing", text.Name())
	}
	return trimmed, nil
}

// Text words a reply, as plain text. The data must be of the reply's own kind.
func (s *Set) Text(reply Reply, data Data) (string, error) {
	if data == nil || data.reply() != reply {
		return "", fmt.Errorf("the reply %q cannot be worded with %T", reply, data)
	}
	return execute(s.texts[reply.file()], data.clean())
}

// Guide returns CONTACTS.md, the guide that lies beside the contacts file in each project, as Markdown.
func (s *Set) Guide(data GuideData) ([]byte, error) {
	text, err := execute(s.texts[guideFile], data.clean())
	return []byte(text + "\n"), err
}
