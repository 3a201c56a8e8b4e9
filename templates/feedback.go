package templates

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"
	"time"
)

// What tells people what became of their commit, and operators what waits for them.
const (
	statusFile      = "status.txt"
	commitNoteFile  = "commit_note.md"
	requestNoteFile = "request_note.md"
	badgeFile       = "badge.svg"
	noticeFile      = "notice.txt"
)

// The values that fields of the data may have.
var (
	statusKinds  = []string{"waiting", "passed_over", "synced", "held", "partial", "failed", "valid", "invalid", "untouched"}
	badgeStates  = []string{"synced", "held", "partial", "failed", "stale", "unknown"}
	noticeEvents = []string{"held", "partial", "quarantined", "hook_disabled", "credential_expires", "sweep_held"}
)

// maxStatus is how long GitLab lets a status be (https://docs.gitlab.com/api/commits/#set-commit-pipeline-status).
const maxStatus = 255

// Status words a commit status: one line of plain text, at most 255 characters. What is longer is cut.
func (s *Set) Status(data StatusData) (string, error) {
	if !slices.Contains(statusKinds, data.Kind) {
		return "", fmt.Errorf("no commit status is called %q", data.Kind)
	}
	made, err := s.word(statusFile, data.with(clean))
	return cut(clean(made), maxStatus), err
}

// CommitNote words a note on a commit, in GitLab's Markdown.
func (s *Set) CommitNote(data CommitNoteData) (string, error) {
	return s.word(commitNoteFile, data.clean())
}

// RequestNote words a note on a merge request, in GitLab's Markdown.
func (s *Set) RequestNote(data RequestNoteData) (string, error) {
	return s.word(requestNoteFile, data.clean())
}

// Badge draws the badge, as SVG.
func (s *Set) Badge(data BadgeData) ([]byte, error) {
	if !slices.Contains(badgeStates, data.State) {
		return nil, fmt.Errorf("no state of a badge is called %q", data.State)
	}
	made, err := s.word(badgeFile, data)
	if err != nil {
		return nil, err
	}
	return []byte(made + "\n"), nil
}

// Notice words what needs an operator, as plain text.
func (s *Set) Notice(data NoticeData) (string, error) {
	if !slices.Contains(noticeEvents, data.Event) {
		return "", fmt.Errorf("no event is called %q", data.Event)
	}
	return s.word(noticeFile, data.with(clean))
}

// noticeBody is what the body of a notice says: everything, and the notice in words.
type noticeBody struct {
	NoticeData
	Text string
}

// noticeFormat is what one kind of receiver understands.
type noticeFormat struct {
	value  func(string) string // makes a value harmless, as far as it can be before it is part of a text
	escape func(string) string // does the rest, to the whole text
}

// The formats. Slack: https://docs.slack.dev/messaging/formatting-message-text#escaping, Mattermost:
// https://developers.mattermost.com/integrate/webhooks/incoming/, Google Chat, which knows no escaping and makes a mention
// or a link of what stands between angle brackets: https://developers.google.com/workspace/chat/format-messages.
var noticeFormats = map[string]noticeFormat{
	"slack":       {markdown, strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace},
	"mattermost":  {markdown, strings.Clone},
	"google_chat": {markdown, strings.NewReplacer("<", "‹", ">", "›").Replace},
	"json":        {clean, strings.Clone},
}

func bodyFile(format string) string { return "notice_" + format + ".json" }

// NoticeFormats returns the formats of NoticeBody.
func NoticeFormats() []string { return sorted(noticeFormats) }

// NoticeBody words a notice as a receiver of that format takes it, in JSON: slack, mattermost and google_chat are those
// services' incoming webhooks, json is every field under its name, and the text.
func (s *Set) NoticeBody(format string, data NoticeData) ([]byte, error) {
	kind, known := noticeFormats[format]
	if !known {
		return nil, fmt.Errorf("no format of a notice is called %q; the formats are %s", format, strings.Join(NoticeFormats(), ", "))
	}
	if !slices.Contains(noticeEvents, data.Event) {
		return nil, fmt.Errorf("no event is called %q", data.Event)
	}
	text, err := s.word(noticeFile, data.with(kind.value))
	if err != nil {
		return nil, err
	}
	body := noticeBody{data.with(func(value string) string { return kind.escape(kind.value(value)) }), kind.escape(text)}
	made, err := s.word(bodyFile(format), body)
	if err != nil {
		return nil, err
	}
	return []byte(made + "\n"), nil
}

// word fills in a text.
func (s *Set) word(file string, data any) (string, error) { return word(s.texts[file], data) }

// word fills in a text, and looks at what it makes.
func word(text *template.Template, data any) (string, error) {
	made, err := execute(text, data)
	if err != nil {
		return "", err
	}
	if err := checkMade(text.Name(), data, made); err != nil {
		return "", err
	}
	return made, nil
}

// checkMade reports what nobody could read, or could be read otherwise than it is meant.
func checkMade(path string, data any, made string) error {
	switch data := data.(type) {
	case CommitNoteData:
		return checkBlocks(path, data.Problems, made)
	case RequestNoteData:
		return checkBlocks(path, data.Problems, made)
	case BadgeData:
		return checkXML(path, made)
	case noticeBody:
		if !json.Valid([]byte(made)) {
			return fmt.Errorf("%s: what it makes is no JSON; values are written {{json .Text}}, without quotation marks around them", path)
		}
	}
	return nil
}

// checkBlocks looks that corrected lines are blocks: within another line they would be read as Markdown.
func checkBlocks(path string, problems []Problem, made string) error {
	for _, p := range problems {
		if p.Corrected == "" {
			continue
		}
		parts := strings.Split("\n\n"+made+"\n", p.Corrected)
		for i, part := range parts {
			if i > 0 && !strings.HasPrefix(part, "\n") || i < len(parts)-1 && !strings.HasSuffix(part, "\n\n") {
				return fmt.Errorf("%s: .Corrected is a block: put it on a line of its own, at its beginning, with an empty line above", path)
			}
		}
	}
	return nil
}

func checkXML(path, made string) error {
	decoder, root := xml.NewDecoder(strings.NewReader(made)), ""
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%s: what it makes is no SVG: %w", path, err)
		}
		if start, is := token.(xml.StartElement); is && root == "" {
			root = start.Name.Local
		}
	}
	if root != "svg" {
		return fmt.Errorf("%s: what it makes is no SVG: it has no element svg around everything", path)
	}
	return nil
}

// checkSource looks at a text itself, where what is wrong would show with few values only: in notes a value comes with
// backticks of its own where it needs them, and they mean nothing beside others, a backslash or a dollar sign.
func checkSource(path, file string, content []byte) (problems []error) {
	if file != commitNoteFile && file != requestNoteFile {
		return nil
	}
	for i, line := range bytes.Split(content, []byte("\n")) {
		for _, bad := range []string{"`{{", "}}`", `\{{`, "${{"} {
			if bytes.Contains(line, []byte(bad)) {
				problems = append(problems, fmt.Errorf("%s:%d: %s: leave a value alone: it has the backticks that it needs", path, i+1, bad))
			}
		}
	}
	return problems
}

// addSamples adds what these texts are tried with: every case, with all that can be said and with as little as can be.
func addSamples(all map[string][]any) {
	add := func(file string, data any) { all[file] = append(all[file], data) }
	counts := Counts{Added: 1, Renamed: 2, Removed: 3, Unchanged: 4, Held: 5, Conflicts: 6, Failed: 7}
	at := time.Date(2026, 11, 25, 21, 22, 0, 0, time.UTC)
	for _, kind := range statusKinds {
		add(statusFile, StatusData{Kind: kind})
		for _, ours := range []bool{false, true} {
			add(statusFile, StatusData{Kind: kind, File: "contacts.yaml", Title: "Failed to sync contacts", Ours: ours, Counts: counts, Reference: "lgkooje3kba46bof"})
		}
	}
	problems := []Problem{
		{Line: 2, Message: `"ada@" has no domain.`, Remedy: "Correct the address.", Corrected: "  email: ada@example.com"},
		{Message: "The file is not UTF-8."},
	}
	changes := []NamedChange{{Action: "added", Name: "Ada Lovelace", Email: "ada@example.com"}, {Action: "removed", Email: "grace@example.com", Held: true}}
	for _, data := range []CommitNoteData{
		{}, {Settled: true, Reference: "lgkooje3kba46bof"},
		{File: "contacts.yaml", Title: "Invalid e-mail address", Problems: problems, More: 3, Reference: "lgkooje3kba46bof"},
		{File: "contacts.yaml", Title: "No contacts.yaml", Reason: "There is none.", Remedy: "Put it there.", Reference: "lgkooje3kba46bof"},
		{File: "contacts.yaml", Changed: changes, Counts: counts, Reference: "lgkooje3kba46bof"},
	} {
		add(commitNoteFile, data.clean())
	}
	for _, data := range []RequestNoteData{
		{}, {File: "contacts.yaml", Commit: "abc12345", Untouched: true},
		{File: "contacts.yaml", Commit: "abc12345", Problems: problems, More: 3},
		{File: "contacts.yaml", Commit: "abc12345", Reason: "There is none.", Remedy: "Put it there."},
		{File: "contacts.yaml", Commit: "abc12345", Ours: true},
		{File: "contacts.yaml", Commit: "abc12345", Planned: true, At: at},
		{File: "contacts.yaml", Commit: "abc12345", Planned: true, At: at, Contacts: 9, Limit: 30, Counts: counts,
			Held: []string{"3 of 9 contacts would be removed."}, Conflicts: problems, Changes: changes, Behind: true, Branch: "master"},
	} {
		add(requestNoteFile, data.clean())
	}
	for _, state := range badgeStates {
		add(badgeFile, BadgeData{State: state})
		add(badgeFile, BadgeData{State: state, Contacts: 8, Synced: at})
	}
	for _, event := range noticeEvents {
		for _, data := range []NoticeData{{Event: event}, {
			Event: event, Project: 123, Organization: `Example "Ltd." \`, Changes: 5, Organizations: 2, Class: "no_org_found", Title: "No org found",
			Since: at, System: "gitlab", Expires: "2027-01-31", Detail: "It was tried 5 times.", Command: "contactsync runs 123", Key: event + ":123",
		}} {
			add(noticeFile, data.with(clean))
			for format, kind := range noticeFormats {
				add(bodyFile(format), noticeBody{data.with(kind.value), "A\n\"B\""})
			}
		}
	}
}
