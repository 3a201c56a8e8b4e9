package sync

import (
	"cmp"
	"slices"
	"strings"

	"contactsync"
	"contactsync/templates"
)

// What is said of a run, or of a plan. Everything here is pure.

// stateOf is how the commit status of a run stands. Success is only what left nothing to be done.
func stateOf(run contactsync.Run) contactsync.CommitState {
	switch run.Status {
	case contactsync.StatusSucceeded, contactsync.StatusUnchanged:
		return contactsync.CommitSuccess
	}
	return contactsync.CommitFailed
}

func (t *Teller) statusOf(run contactsync.Run) templates.StatusData {
	data := templates.StatusData{Kind: string(run.Status), File: t.File, Counts: countsOf(run), Reference: run.ID, Noted: t.Notes}
	switch run.Status {
	case contactsync.StatusSucceeded, contactsync.StatusUnchanged:
		data.Kind = "synced"
	case contactsync.StatusFailed:
		data.Title, data.Ours = run.Error.Title, run.Error.Who != contactsync.WhoCustomer
	case contactsync.StatusPartial:
		data.Ours = true // whatever is wrong with single contacts, an operator mends it
	}
	return data
}

func countsOf(run contactsync.Run) templates.Counts {
	s := run.Summary
	return templates.Counts{
		Added: s.Create + s.Add, Renamed: s.Rename, Removed: s.Remove, Unchanged: s.Unchanged,
		Held: s.Held, Conflicts: s.Conflicts, Failed: s.Failed,
	}
}

// commitNote returns what a note on the commit says, and whether there is anything to say: only what whoever edits the
// file has to mend, and who was changed, where names are wanted.
func (t *Teller) commitNote(run contactsync.Run) (templates.CommitNoteData, bool) {
	data := templates.CommitNoteData{File: t.File, Reference: run.ID, Counts: countsOf(run)}
	if failure := run.Error; failure != nil {
		if failure.Who != contactsync.WhoCustomer {
			return data, false
		}
		data.Title = failure.Title
		data.Problems, data.More, data.Reason, data.Remedy = toMend(failure)
		return data, true
	}
	if t.Names {
		data.Changed = namedChanges(run, contactsync.ResultDone)
	}
	return data, len(data.Changed) > 0
}

// toMend tells what is wrong with a file: its problems, or where those have no lines the reason and what to do.
func toMend(failure *contactsync.Failure) (problems []templates.Problem, more int, reason, remedy string) {
	if len(failure.Problems) == 0 {
		return nil, 0, withoutDoing(failure.Detail), failure.Remedy
	}
	for _, p := range failure.Problems {
		wrong, cure := parted(p.Message)
		problems = append(problems, templates.Problem{
			Line: p.Line, Message: wrong, Remedy: cmp.Or(cure, p.Class.Info().Remedy), Corrected: p.Corrected,
		})
	}
	return problems, failure.Unlisted, "", ""
}

// withoutDoing leaves out what was being done when something went wrong, which says nothing to whoever edits the file.
func withoutDoing(detail string) string {
	doing, what, found := strings.Cut(detail, ": ")
	if found && strings.HasPrefix(doing, "reading ") {
		return what
	}
	return detail
}

// parted splits what is said of a problem after its first sentence: what is wrong, and how to mend it, "" where that is
// not said. What stands between quotation marks, which people wrote, is not taken for the end of a sentence.
func parted(message string) (wrong, cure string) {
	quoted := false
	for i := 0; i < len(message); i++ {
		switch {
		case message[i] == '\\':
			i++
		case message[i] == '"':
			quoted = !quoted
		case !quoted && strings.HasPrefix(message[i:], ". "):
			return message[:i+1], message[i+2:]
		}
	}
	return message, ""
}

// namedChanges are the changes with that result, and those that are held, by name.
func namedChanges(run contactsync.Run, made contactsync.Result) (named []templates.NamedChange) {
	actions := map[contactsync.Action]string{
		contactsync.ActionCreate: "added", contactsync.ActionAdd: "added",
		contactsync.ActionRename: "renamed", contactsync.ActionRemove: "removed",
	}
	for _, c := range run.Changes {
		if c.Result == made || c.Result == contactsync.ResultHeld {
			named = append(named, templates.NamedChange{
				Action: actions[c.Action], Name: c.Name, Email: string(c.Email), Held: c.Result == contactsync.ResultHeld,
			})
		}
	}
	return named
}

// heldReasons are why changes are held, each once.
func heldReasons(run contactsync.Run) (reasons []string) {
	for _, c := range run.Changes {
		if reason := c.Error.Info().Title + ": " + c.Detail; c.Result == contactsync.ResultHeld && !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	return reasons
}
