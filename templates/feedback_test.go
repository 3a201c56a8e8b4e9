package templates_test

import (
	"strings"
	"testing"
	"time"

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
	return []templates.StatusData{
		of("waiting", templates.Counts{}),
		of("synced", counts), of("synced", templates.Counts{Added: 1}), of("synced", templates.Counts{Unchanged: 8}), of("synced", templates.Counts{}),
		of("held", templates.Counts{Held: 5}), of("held", templates.Counts{Added: 1, Unchanged: 2, Held: 1}), of("held", templates.Counts{}),
		of("partial", templates.Counts{Added: 2, Unchanged: 7, Conflicts: 1}), with(of("partial", templates.Counts{Added: 2, Unchanged: 7, Conflicts: 1, Failed: 2}), "Failed to sync contacts", true),
		with(of("partial", templates.Counts{}), "", true),
		with(of("failed", templates.Counts{}), "Invalid e-mail address", false), with(of("failed", templates.Counts{}), "No org found", true), of("failed", templates.Counts{}),
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
		"badge_waiting.svg": {State: "waiting", Contacts: 8, Synced: at},
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
