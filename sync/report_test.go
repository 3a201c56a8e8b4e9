package sync_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"contactsync"
	"contactsync/sync"
	"contactsync/templates"
)

// told is a teller over a forge and a ledger in memory.
type told struct {
	*sync.Teller
	*bench
	forge  *memoryForge
	ledger *memoryLedger
	t      testing.TB
}

func newTold(t testing.TB, change func(*sync.TellerOptions)) *told {
	t.Helper()
	words, err := templates.New("")
	if err != nil {
		t.Fatal(err)
	}
	r := &told{bench: newBench(), forge: newMemoryForge(), ledger: newMemoryLedger(), t: t}
	options := sync.TellerOptions{
		Reporter: r.forge, Ledger: r.ledger, Words: words, Proposals: r.forge, Pipeline: r.pipeline(),
		Branch: "master", File: "contacts.yaml", Statuses: true, Notes: true, Requests: true,
		Pictures: sync.Pictures{Drawn: "https://contacts.example.com/badges/"},
	}
	if change != nil {
		change(&options)
	}
	r.Teller = sync.NewTeller(options)
	return r
}

// tell tells of a run of a commit, and returns how many requests that took.
func (r *told) tell(run contactsync.Run) int {
	r.t.Helper()
	r.runs++
	run.ID, run.ProjectURL = fmt.Sprintf("run%d", r.runs), "https://gitlab.example.com/support/organization-42"
	r.ledger.run = run
	before := r.forge.used
	if err := r.Tell(r.t.Context(), 7); err != nil {
		r.t.Fatal(err)
	}
	return r.forge.used - before
}

func (r *told) status(commit, name string) contactsync.CommitStatus {
	return r.forge.statuses[commit+" "+name]
}

// note returns the one note of a thread, nil for none.
func (r *told) note(thread contactsync.Thread) *memoryNote {
	r.t.Helper()
	switch notes := r.forge.notes[thread]; len(notes) {
	case 0:
		return nil
	case 1:
		return notes[0]
	default:
		r.t.Fatalf("%d notes in %+v", len(notes), thread)
		return nil
	}
}

func onCommit(commit string) contactsync.Thread {
	return contactsync.Thread{Project: 7, Commit: commit}
}

func failedWith(class contactsync.Class, format string, args ...any) contactsync.Run {
	err := contactsync.Errorf(class, format, args...)
	if class == contactsync.ClassEmailInvalid {
		err.Problems = []contactsync.FileProblem{{Line: 2, Column: 10, Rule: "email-invalid", Class: class, Message: "There is no dot in it.", Corrected: "  email: ada@example.com"}}
	}
	return contactsync.Run{Status: contactsync.StatusFailed, Commit: commit("a"), Error: contactsync.FailureOf(err)}
}

// ends are runs as they can end, and what people are told of each.
func ends() map[string]struct {
	run    contactsync.Run
	state  contactsync.CommitState
	status string // in it
	note   string // in it; "" for no note
} {
	type end = struct {
		run    contactsync.Run
		state  contactsync.CommitState
		status string
		note   string
	}
	run := func(status contactsync.Status, summary contactsync.Summary) contactsync.Run {
		return contactsync.Run{Status: status, Commit: commit("a"), Summary: summary}
	}
	return map[string]end{
		"succeeded": {run(contactsync.StatusSucceeded, contactsync.Summary{Create: 1, Add: 1, Remove: 1, Unchanged: 6}), contactsync.CommitSuccess, "2 added, 1 removed, 6 unchanged", ""},
		"unchanged": {run(contactsync.StatusUnchanged, contactsync.Summary{Unchanged: 8}), contactsync.CommitSuccess, "nothing to change, 8 unchanged", ""},
		"held":      {run(contactsync.StatusHeld, contactsync.Summary{Held: 5, Unchanged: 3}), contactsync.CommitFailed, "Held: 5 changes wait", ""},
		"partial": {run(contactsync.StatusPartial, contactsync.Summary{Add: 1, Conflicts: 1}), contactsync.CommitFailed,
			"1 contact needs support; we are on it. Reference: run", ""},
		"the file is wrong": {failedWith(contactsync.ClassEmailInvalid, "line 2"), contactsync.CommitFailed, "Invalid e-mail address: see the note", "There is no dot in it."},
		"no file": {failedWith(contactsync.ClassFileMissing, "branch master has no contacts.yaml"), contactsync.CommitFailed,
			"see the note", "branch master has no `contacts.yaml`"},
		"an operator's": {failedWith(contactsync.ClassNoOrgFound, "field cmp_id is empty"), contactsync.CommitFailed, "No org found: we are on it. Reference: run", ""},
		"nobody's":      {failedWith(contactsync.ClassDeskUnreadable, "page 2 of 3"), contactsync.CommitFailed, "we are on it", ""},
	}
}

// Each end of a run is told in words beside the commit; a note is written where whoever edits the file has to mend it,
// and nowhere else, and nothing is told of what only operators understand.
func TestTell(t *testing.T) {
	for name, end := range ends() {
		t.Run(name, func(t *testing.T) {
			r := newTold(t, nil)
			r.tell(end.run)
			status := r.status(commit("a"), sync.StatusName)
			if status.State != end.state || !strings.Contains(status.Description, end.status) || status.Ref != "master" ||
				status.Target != "https://gitlab.example.com/support/organization-42/-/commit/"+commit("a") {
				t.Errorf("the status is %+v", status)
			}
			note := r.note(onCommit(commit("a")))
			if (note != nil) != (end.note != "") || note != nil && !strings.Contains(note.text, end.note) {
				t.Errorf("the note is %+v", note)
			}
			for _, inner := range []string{"cmp_id", "page 2 of 3"} {
				if strings.Contains(status.Description, inner) {
					t.Errorf("the status tells %q", status.Description)
				}
			}
			badge := r.forge.badges[sync.BadgeName]
			if badge.Link != status.Target || badge.Image != "https://contacts.example.com/badges/key.svg" {
				t.Errorf("the badge is %+v", badge)
			}
		})
	}
}

// Telling takes at most three requests after a run that found nothing to do, and five after any other, whatever came
// before; and what was told is not told again.
func TestTellBudget(t *testing.T) {
	for _, static := range []bool{false, true} {
		for before, first := range ends() {
			for name, end := range ends() {
				for _, newer := range []bool{false, true} {
					r := newTold(t, func(o *sync.TellerOptions) {
						if static {
							o.Pictures = sync.Pictures{Synced: "https://example.com/good.svg", Failed: "https://example.com/bad.svg"}
						}
					})
					r.tell(first.run)
					if newer {
						end.run.Commit = commit("b")
					}
					most := 5
					if name == "unchanged" {
						most = 3
					}
					if used := r.tell(end.run); used > most {
						t.Errorf("%s after %s (another commit: %v, static: %v): %d requests", name, before, newer, static, used)
					}
					calls := r.forge.calls
					if err := r.Tell(t.Context(), 7); err != nil || r.forge.calls != calls {
						t.Errorf("%s after %s is told again: %v", name, before, err)
					}
				}
			}
		}
	}
}

// The same commit, run again, has its note reworded and not repeated; once nothing is left to mend, the note says so.
func TestNoteIsUpdated(t *testing.T) {
	r := newTold(t, nil)
	r.tell(failedWith(contactsync.ClassTooManyContacts, "31 contacts, and the limit is 30"))
	first := r.note(onCommit(commit("a")))
	r.tell(failedWith(contactsync.ClassTooManyContacts, "31 contacts, and the limit is 29"))
	if note := r.note(onCommit(commit("a"))); note != first || note.edits != 1 || !strings.Contains(note.text, "29") {
		t.Errorf("the note is %+v", note)
	}
	r.tell(contactsync.Run{Status: contactsync.StatusSucceeded, Commit: commit("a")})
	if note := r.note(onCommit(commit("a"))); !strings.Contains(note.text, "settled") || strings.Contains(note.text, "29") {
		t.Errorf("the note is %+v", note)
	}
	r.tell(contactsync.Run{Status: contactsync.StatusUnchanged, Commit: commit("b")})
	if note := r.note(onCommit(commit("b"))); note != nil {
		t.Errorf("a good commit has a note: %+v", note)
	}
	// Somebody deleted the note, and then there is something new to say.
	r.tell(failedWith(contactsync.ClassFileEmpty, "it lists nobody"))
	r.forge.notes = map[contactsync.Thread][]*memoryNote{}
	r.tell(failedWith(contactsync.ClassFileMissing, "it is not there"))
	if note := r.note(onCommit(commit("a"))); note == nil || !strings.Contains(note.text, "it is not there") {
		t.Errorf("the note is %+v", note)
	}
}

// A note is called mended by a run that read the file to its end, and only if it told of something wrong.
func TestMendedIsTrue(t *testing.T) {
	r := newTold(t, func(o *sync.TellerOptions) { o.Names = true })
	r.tell(failedWith(contactsync.ClassEmailInvalid, "line 2"))
	r.tell(failedWith(contactsync.ClassNoOrgFound, "field cmp_id is empty"))
	if note := r.note(onCommit(commit("a"))); note.edits != 0 {
		t.Errorf("a run that failed before it came to the file says\n%s", note.text)
	}
	changed := contactsync.Run{Status: contactsync.StatusSucceeded, Commit: commit("b"), Summary: contactsync.Summary{Add: 1},
		Changes: []contactsync.Change{{Action: contactsync.ActionAdd, Name: "Mary", Email: "mary@example.com", Result: contactsync.ResultDone}}}
	r.tell(changed)
	r.tell(contactsync.Run{Status: contactsync.StatusUnchanged, Commit: commit("b"), Summary: contactsync.Summary{Unchanged: 1}})
	if note := r.note(onCommit(commit("b"))); note.edits != 0 || !strings.Contains(note.text, "Mary") {
		t.Errorf("what was changed is forgotten:\n%s", note.text)
	}
}

// A run that is still to come is told beside the newest commit, once, and its end replaces that.
func TestTellWaiting(t *testing.T) {
	r := newTold(t, nil)
	r.tell(contactsync.Run{Status: contactsync.StatusUnchanged, Commit: commit("a")})
	r.forge.head, r.ledger.owed = commit("b"), true
	for range 2 {
		if err := r.Tell(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
	}
	r.ledger.owed = false
	r.tell(contactsync.Run{Status: contactsync.StatusSucceeded, Commit: commit("b"), Summary: contactsync.Summary{Add: 1}})
	want := "aaaa contactsync success, bbbb contactsync pending, bbbb contactsync success"
	if got := strings.Join(r.forge.settings, ", "); got != want {
		t.Errorf("statuses were set as %s, want %s", got, want)
	}
	// A run of the same commit: what is told before and after it must both arrive.
	r.ledger.owed = true
	if err := r.Tell(t.Context(), 7); err != nil || r.status(commit("b"), sync.StatusName).State != contactsync.CommitPending {
		t.Errorf("the status is %+v, %v", r.status(commit("b"), sync.StatusName), err)
	}
	r.ledger.owed = false
	r.tell(contactsync.Run{Status: contactsync.StatusUnchanged, Commit: commit("b")})
	if got := r.status(commit("b"), sync.StatusName); got.State != contactsync.CommitSuccess {
		t.Errorf("the status is %+v", got)
	}
	r.forge.head, r.ledger.owed = "", true // an empty repository has no commit to tell it beside
	if err := r.Tell(t.Context(), 7); err != nil {
		t.Error(err)
	}
}

// No commit waits for ever: one that a newer one took the run of is told so, and one whose run failed before it came to the
// file is told that.
func TestNobodyWaitsForEver(t *testing.T) {
	r := newTold(t, nil)
	wait := func(head string) {
		t.Helper()
		r.forge.head, r.ledger.owed = commit(head), true
		if err := r.Tell(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
		r.ledger.owed = false
	}
	again := func() {
		t.Helper()
		if r.ledger.again != 1 {
			t.Errorf("another telling was asked for %d times", r.ledger.again)
		}
		r.ledger.again = 0
		if err := r.Tell(t.Context(), 7); err != nil || r.ledger.again != 0 {
			t.Errorf("%v, and another telling is asked for %d times", err, r.ledger.again)
		}
	}
	wait("a")
	if used := r.tell(contactsync.Run{Status: contactsync.StatusUnchanged, Commit: commit("b")}); used > 3 {
		t.Errorf("%d requests", used)
	}
	again()
	if got := r.status(commit("a"), sync.StatusName); got.State != contactsync.CommitCanceled || !strings.Contains(got.Description, "a newer commit was read") {
		t.Errorf("the commit that was passed over: %+v", got)
	}

	wait("c")
	wait("d")
	if got := r.status(commit("c"), sync.StatusName).State; got != contactsync.CommitCanceled {
		t.Errorf("a commit that a newer one waits instead of: %s", got)
	}
	lost := failedWith(contactsync.ClassNoOrgFound, "nothing is linked")
	lost.Commit, lost.ID = "", "lost"
	r.ledger.run = lost
	r.forge.fail = func(int, string) (error, bool) { return errLost, false }
	if err := r.Tell(t.Context(), 7); err == nil {
		t.Error("nobody heard that it failed")
	}
	r.forge.fail = nil
	if err := r.Tell(t.Context(), 7); err != nil {
		t.Error(err)
	}
	if got := r.status(commit("d"), sync.StatusName); got.State != contactsync.CommitFailed || !strings.Contains(got.Description, "we are on it") || r.ledger.again != 0 {
		t.Errorf("the commit whose run failed early: %+v", got)
	}
	calls := r.forge.calls
	if err := r.Tell(t.Context(), 7); err != nil || r.forge.calls != calls {
		t.Errorf("what is over is told again: %v", err)
	}
}

// Who was added, renamed and removed is told by name only where that is wanted.
func TestNames(t *testing.T) {
	run := contactsync.Run{
		Status: contactsync.StatusHeld, Commit: commit("a"), Summary: contactsync.Summary{Add: 1, Rename: 1, Held: 1},
		Changes: []contactsync.Change{
			{Action: contactsync.ActionAdd, Name: "Mary", Email: "mary@example.com", Result: contactsync.ResultDone},
			{Action: contactsync.ActionRename, Name: "Grace", Email: "grace@example.com", Result: contactsync.ResultDone},
			{Action: contactsync.ActionRemove, Name: "Alan", Email: "alan@example.com", Result: contactsync.ResultHeld},
			{Action: contactsync.ActionCreate, Name: "Emmy", Email: "emmy@example.com", Result: contactsync.ResultFailed},
		},
	}
	for _, names := range []bool{false, true} {
		r := newTold(t, func(o *sync.TellerOptions) { o.Names = names })
		r.tell(run)
		text := r.status(commit("a"), sync.StatusName).Description
		if note := r.note(onCommit(commit("a"))); note != nil {
			text += note.text
		}
		for _, name := range []string{"Mary", "grace@example.com", "Alan"} {
			if strings.Contains(text, name) != names {
				t.Errorf("names %v: %s", names, text)
			}
		}
		if strings.Contains(text, "Emmy") {
			t.Errorf("somebody is told of who was not added: %s", text)
		}
	}
}

// What is switched off is not told, and does not keep the rest from being told.
func TestSwitches(t *testing.T) {
	r := newTold(t, func(o *sync.TellerOptions) { o.Statuses, o.Notes, o.Pictures = false, false, sync.Pictures{} })
	r.tell(failedWith(contactsync.ClassEmailInvalid, "line 2"))
	r.ledger.owed, r.forge.head = true, commit("a")
	if err := r.Tell(t.Context(), 7); err != nil || r.forge.calls != 0 {
		t.Errorf("%d calls, %v", r.forge.calls, err)
	}
	r = newTold(t, func(o *sync.TellerOptions) { o.Notes = false })
	r.tell(failedWith(contactsync.ClassEmailInvalid, "line 2"))
	if status := r.status(commit("a"), sync.StatusName); strings.Contains(status.Description, "note") || r.note(onCommit(commit("a"))) != nil {
		t.Errorf("the status is %+v", status)
	}
}

// The original's two pictures follow how runs end.
func TestPictures(t *testing.T) {
	r := newTold(t, func(o *sync.TellerOptions) {
		o.Pictures = sync.Pictures{Synced: "https://example.com/good.svg", Failed: "https://example.com/bad.svg"}
	})
	for name, end := range ends() {
		r.tell(end.run)
		want := "https://example.com/bad.svg"
		if end.state == contactsync.CommitSuccess {
			want = "https://example.com/good.svg"
		}
		if got := r.forge.badges[sync.BadgeName].Image; got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// A badge that somebody has deleted is made again, by the next try.
func TestBadgeIsMadeAgain(t *testing.T) {
	r := newTold(t, nil)
	r.tell(ends()["unchanged"].run)
	r.forge.badges = map[string]contactsync.Badge{}
	r.ledger.run.ID, r.ledger.run.Commit = "next", commit("b")
	if err := r.Tell(t.Context(), 7); contactsync.FailureOf(err).Retry != contactsync.RetrySoon {
		t.Errorf("got %v", err)
	}
	if err := r.Tell(t.Context(), 7); err != nil || !strings.HasSuffix(r.forge.badges[sync.BadgeName].Link, commit("b")) {
		t.Errorf("got %v, %+v", err, r.forge.badges)
	}
}

// Whatever fails while people are told, and whether or not it had its effect, telling again brings everything to where it
// would be without: one note, the right words, and nothing in front of what is left.
func TestTellingSurvivesFailures(t *testing.T) {
	for name, end := range ends() {
		for call := 1; call <= 6; call++ {
			for _, after := range []bool{false, true} {
				r := newTold(t, nil)
				r.tell(failedWith(contactsync.ClassFileEmpty, "before"))
				base := r.forge.calls
				r.forge.fail = func(n int, _ string) (error, bool) {
					if n == base+call {
						return errLost, after
					}
					return nil, false
				}
				end.run.ID, end.run.Commit, end.run.ProjectURL = "again", commit("b"), "https://gitlab.example.com/x/y"
				r.ledger.run = end.run
				first := r.Tell(t.Context(), 7)
				if err := r.Tell(t.Context(), 7); err != nil {
					t.Errorf("%s, call %d: the second time %v", name, call, err)
				}
				if failed := r.forge.calls > base+call; first == nil && failed && contactsync.ClassOf(first) != "" {
					t.Errorf("%s, call %d: nobody heard of the failure", name, call)
				}
				status, note := r.status(commit("b"), sync.StatusName), r.note(onCommit(commit("b")))
				if status.State != end.state || (note != nil) != (end.note != "") || r.forge.badges[sync.BadgeName].Link == "" {
					t.Errorf("%s, call %d: status %+v, note %+v, badge %+v", name, call, status, note, r.forge.badges)
				}
			}
		}
	}
}

// A status that GitLab refuses for good does not keep the note from being written, and what can be tried again decides.
func TestRefusalsDoNotStopTheRest(t *testing.T) {
	refused := contactsync.Errorf(contactsync.ClassGitLabRefused, "the branch is protected")
	r := newTold(t, nil)
	r.forge.fail = func(_ int, name string) (error, bool) {
		if name == "status" {
			return refused, false
		}
		return nil, false
	}
	r.ledger.run = failedWith(contactsync.ClassEmailInvalid, "line 2")
	r.ledger.run.ID, r.ledger.run.ProjectURL = "run", "https://gitlab.example.com/x/y"
	if err := r.Tell(t.Context(), 7); contactsync.ClassOf(err) != contactsync.ClassGitLabRefused || r.note(onCommit(commit("a"))) == nil || len(r.forge.badges) == 0 {
		t.Errorf("got %v, notes %v, badges %v", err, r.forge.notes, r.forge.badges)
	}
	r.forge.fail = func(_ int, name string) (error, bool) {
		switch name {
		case "status":
			return refused, false
		case "badge":
			return errLost, false
		}
		return nil, false
	}
	r.ledger.shown.Link = ""
	if err := r.Tell(t.Context(), 7); contactsync.FailureOf(err).Retry != contactsync.RetrySoon {
		t.Errorf("what could be tried again is behind what cannot: %v", err)
	}
}

// Over any history of runs with any failures on the way, there is never a second note, and in the end everything is as the
// last run left it.
func TestTellingConverges(t *testing.T) {
	var names []string
	all := ends()
	for name := range all {
		names = append(names, name)
	}
	rapid.Check(t, func(rt *rapid.T) {
		r := newTold(t, nil)
		var last string
		for range rapid.IntRange(1, 8).Draw(rt, "runs") {
			last = rapid.SampledFrom(names).Draw(rt, "end")
			run := all[last].run
			run.ProjectURL, run.ID = "https://gitlab.example.com/x/y", fmt.Sprint("run", r.forge.calls, len(r.forge.settings), last)
			run.Commit = commit(rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "commit"))
			r.ledger.run, r.forge.head = run, run.Commit
			r.ledger.owed = rapid.Bool().Draw(rt, "owed")
			broken := rapid.SliceOfN(rapid.IntRange(0, 2), 0, 6).Draw(rt, "failures")
			base := r.forge.calls
			r.forge.fail = func(n int, _ string) (error, bool) {
				if i := n - base - 1; i < len(broken) && broken[i] > 0 {
					return errLost, broken[i] == 2
				}
				return nil, false
			}
			_ = r.Tell(t.Context(), 7) // what failed is told below
		}
		r.forge.fail, r.ledger.owed = nil, false
		r.ledger.run.ID += "-last"
		if err := r.Tell(t.Context(), 7); err != nil {
			rt.Fatal(err)
		}
		want, at := all[last], r.ledger.run.Commit
		note := r.note(onCommit(at))
		if got := r.status(at, sync.StatusName); got.State != want.state || !strings.Contains(got.Description, want.status) {
			rt.Fatalf("%s: the status is %+v", last, got)
		}
		if want.note != "" && (note == nil || !strings.Contains(note.text, want.note)) || want.note == "" && want.run.Error == nil && note != nil && !strings.Contains(note.text, "settled") {
			rt.Fatalf("%s: the note is %+v", last, note)
		}
	})
}
