package templates

import (
	"slices"
	"time"
)

// StatusData is what a commit status says: one line, at most 255 characters.
type StatusData struct {
	// Kind is waiting, passed_over (where a newer commit was read), synced (with Counts), held, partial or failed, after a run; valid (with Counts) or invalid, for a
	// merge request, which is untouched where it does not change the file.
	Kind string
	File string // the contacts file's path; "" for a text that does without
	// Title is the error's; "" where there is none.
	Title string
	// Ours says that whoever edits the file need not do anything.
	Ours  bool
	Noted bool // a note on the commit says more
	// Counts are of the run, or of the plan.
	Counts    Counts
	Reference string // the run's id; "" for a merge request
}

func (d StatusData) with(text func(string) string) StatusData {
	d.File, d.Title, d.Reference = text(d.File), text(d.Title), text(d.Reference)
	return d
}

// Counts are a run's changes, or a plan's.
type Counts struct {
	Added     int // created ones among them
	Renamed   int
	Removed   int
	Unchanged int
	Held      int // changes that wait for an approval
	Conflicts int // contacts that cannot become members as they are written
	Failed    int
}

// CommitNoteData is the note on a commit whose file has to be mended, or which was mended from outside since.
type CommitNoteData struct {
	File      string // its path
	Settled   bool   // what an earlier version of the note said holds no more; nothing else but Reference is set
	Title     string // of the error
	Problems  []Problem
	More      int    // problems that are not listed
	Reason    string // what is wrong, where it is not about lines; "" with Problems
	Remedy    string // what to do, with Reason
	Reference string // the run's id

	// Changed are who was added, renamed and removed, where the operator wants names in GitLab. Counts are theirs. With
	// them nothing is wrong.
	Changed []NamedChange
	Counts  Counts
}

func (d CommitNoteData) clean() CommitNoteData {
	d.File, d.Title, d.Reason, d.Remedy, d.Reference = literal(d.File), markdown(d.Title), markdown(d.Reason), markdown(d.Remedy), markdown(d.Reference)
	d.Problems, d.Changed = cleanProblems(d.Problems), cleanChanges(d.Changed)
	return d
}

// Problem is a row of what has to be mended.
type Problem struct {
	Line    int    // from 1; 0 for none
	Message string // what is wrong
	Remedy  string // how to mend it
	// Corrected is what the line should be; "" where that is not certain.
	Corrected string
}

func cleanProblems(problems []Problem) []Problem {
	problems = slices.Clone(problems)
	for i, p := range problems {
		problems[i] = Problem{Line: p.Line, Message: markdown(p.Message), Remedy: markdown(p.Remedy), Corrected: fenced(p.Corrected)}
	}
	return problems
}

// NamedChange is a change of one contact.
type NamedChange struct {
	Action string // added, renamed or removed
	Name   string
	Email  string
	Held   bool // waits for an approval
}

func cleanChanges(changes []NamedChange) []NamedChange {
	changes = slices.Clone(changes)
	for i, c := range changes {
		changes[i] = NamedChange{Action: markdown(c.Action), Name: markdown(c.Name), Email: literal(c.Email), Held: c.Held}
	}
	return changes
}

// RequestNoteData is the note on a merge request that changes the file.
type RequestNoteData struct {
	File      string
	Commit    string // the request's newest commit, shortened
	Untouched bool   // the request does not change the file any more; nothing else but File and Commit is set

	// What is wrong with the file, as in CommitNoteData. Nothing, where Problems and Reason are empty.
	Problems []Problem
	More     int
	Reason   string
	Remedy   string

	// Planned says that a plan could be made: the rest is about it. Ours says that it could not, and that whoever edits
	// the file need not do anything about it.
	Planned   bool
	Ours      bool
	At        time.Time // when the contacts at the desk were read
	Contacts  int       // that the file lists, and that are wanted today
	Limit     int       // how many there may be; 0: no limit
	Counts    Counts
	Held      []string      // why changes would wait for an approval, one sentence each
	Conflicts []Problem     // contacts that would not become members: Line and Message
	Changes   []NamedChange // where the operator wants names in GitLab
	// Behind says that the target branch, Branch, has changed the file since the request began.
	Behind bool
	Branch string
}

func (d RequestNoteData) clean() RequestNoteData {
	d.File, d.Commit, d.Reason, d.Remedy, d.Branch = literal(d.File), literal(d.Commit), markdown(d.Reason), markdown(d.Remedy), literal(d.Branch)
	d.Problems, d.Conflicts, d.Changes = cleanProblems(d.Problems), cleanProblems(d.Conflicts), cleanChanges(d.Changes)
	d.Held = slices.Clone(d.Held)
	for i, reason := range d.Held {
		d.Held[i] = markdown(reason)
	}
	return d
}

// BadgeData is what the badge shows. It holds nothing that anybody else wrote.
type BadgeData struct {
	// State is synced, held, partial or failed, of the last run; stale where no sync succeeded for too long, and
	// unknown where none ever did.
	State    string
	Contacts int       // after the last successful sync
	Synced   time.Time // when that ended; zero for never
}

// NoticeData is what needs an operator.
type NoticeData struct {
	// Event is held, partial, quarantined, hook_disabled, credential_expires or sweep_held.
	Event         string
	Project       int64  // 0 where it is about none
	Organization  string // its name; "" where it is not known
	Changes       int    // held: how many wait; partial: contacts; sweep_held: removals
	Organizations int    // sweep_held: that would lose members
	Class         string // quarantined: the error's
	Title         string // quarantined: the error's
	Since         time.Time
	System        string // credential_expires: gitlab or desk
	Expires       string // credential_expires: the last day, 2027-01-31
	Detail        string // one line more; "" for none
	Command       string // what an operator types next, such as "contactsync runs 123"
	// Key names the event: the same event always has the same.
	Key string
}

func (d NoticeData) with(text func(string) string) NoticeData {
	for _, field := range []*string{&d.Organization, &d.Class, &d.Title, &d.Expires, &d.Detail, &d.Command, &d.Key} {
		*field = text(*field)
	}
	if d.System != "gitlab" && d.System != "desk" { // which texts ask for
		d.System = text(d.System)
	}
	return d
}
