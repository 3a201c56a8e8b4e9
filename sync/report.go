package sync

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"

	"contactsync"
	"contactsync/templates"
)

// Reporter is the forge, as far as it tells people what became of their commit, or would become of their merge request.
// What it is asked to write it writes once: whoever calls it again after an error does no harm.
//
// Errors: gitlab_refused for what will not work however often it is tried, such as a token that may not write;
// repository_unreachable for what may, with the time where the forge names one; invalid_project_id for a project that
// is gone.
type Reporter interface {
	// BranchHead returns the newest commit of a branch; "" where there is none.
	BranchHead(ctx context.Context, project int64, branch string) (string, error)
	// SetStatus sets a commit status. One that is so already is left alone.
	SetStatus(ctx context.Context, project int64, status contactsync.CommitStatus) error

	// FindNote looks for a note that CreateNote wrote in the thread, and returns false where there is none.
	FindNote(ctx context.Context, thread contactsync.Thread) (contactsync.Note, bool, error)
	// CreateNote writes a note of Markdown. After an error it may have been written: FindNote tells.
	CreateNote(ctx context.Context, thread contactsync.Thread, text string) (contactsync.Note, error)
	// UpdateNote rewords a note, and returns false where somebody has deleted it.
	UpdateNote(ctx context.Context, thread contactsync.Thread, note contactsync.Note, text string) (bool, error)
	// ResolveNote marks a note of a merge request as settled, or as open again; false where it has been deleted.
	ResolveNote(ctx context.Context, thread contactsync.Thread, note contactsync.Note, resolved bool) (bool, error)

	// SetBadge changes the badge with that ID, or without one makes or changes the project's badge of that name. It returns
	// the ID, and 0 where the one with the ID is gone.
	SetBadge(ctx context.Context, project int64, badge contactsync.Badge) (int64, error)

	// MergeRequest returns a merge request of the project.
	MergeRequest(ctx context.Context, project, number int64) (contactsync.MergeRequest, error)
}

// Ledger remembers what was told, so that it is changed and not repeated.
type Ledger interface {
	// Latest returns the last run of the project that ended, with an id of "" where there is none, and whether another has
	// been owed or under way for so long that people wonder.
	Latest(ctx context.Context, project int64) (run contactsync.Run, owed bool, err error)
	// Told returns what stands beside a commit, or in a merge request, whose subject is "!" and its number.
	Told(ctx context.Context, project int64, subject string) (contactsync.Told, error)
	SaveTold(ctx context.Context, project int64, subject string, told contactsync.Told) error
	// Badge returns the part of the badge's address that nobody can guess, and how it was last set.
	Badge(ctx context.Context, project int64) (key string, shown contactsync.Badge, err error)
	SaveBadge(ctx context.Context, project int64, shown contactsync.Badge) error
	// Again asks for another telling about the project, when this one has ended.
	Again(ctx context.Context, project int64) error
}

// Words are the texts.
type Words interface {
	Status(data templates.StatusData) (string, error)
	CommitNote(data templates.CommitNoteData) (string, error)
	RequestNote(data templates.RequestNoteData) (string, error)
}

// Proposals reads the contacts files of merge requests.
type Proposals interface {
	// Propose returns what the file is at head, held against base and against the branch that is read.
	// Errors: repository_unreachable.
	Propose(ctx context.Context, project contactsync.Project, head, base string) (contactsync.Proposal, error)
}

// The names under which people see us on the forge.
const (
	StatusName     = "contactsync"      // of a run
	PlanStatusName = "contactsync/plan" // of a merge request: what merging would do
	BadgeName      = "Sync Status"
)

// maxTarget is the longest address that a commit status may link to, in bytes.
const maxTarget = 255

// Pictures are where a badge's picture is. The zero Pictures are none.
type Pictures struct {
	// Drawn is the address below which each project's picture is drawn: its key and ".svg" follow.
	Drawn string
	// Synced and Failed are pictures that say no more than that; they come before Drawn.
	Synced, Failed string
}

// TellerOptions are a Teller's parts. All are required but the switches.
type TellerOptions struct {
	Reporter  Reporter
	Ledger    Ledger
	Words     Words
	Proposals Proposals
	Pipeline  *Pipeline

	Branch, File string // that are read

	Statuses bool // commit statuses
	Notes    bool // notes on commits
	Requests bool // notes on merge requests
	Names    bool // who was added, renamed and removed, by name
	Pictures Pictures
}

// Teller tells people on the forge what became of their commit, and what would become of their merge request. It may be
// used by several goroutines, but by one for each project.
type Teller struct{ TellerOptions }

// NewTeller returns a teller.
func NewTeller(options TellerOptions) *Teller { return &Teller{options} }

// Tell tells how the project's last run ended, and that another is to come where one is. What was told already is not
// told again. Errors are the Reporter's, those first that can be tried again; what is left is still told.
func (t *Teller) Tell(ctx context.Context, project int64) error {
	run, owed, err := t.Ledger.Latest(ctx, project)
	if err != nil {
		return err
	}
	waiting, err := t.Ledger.Told(ctx, project, waitingSubject)
	if err != nil {
		return err
	}
	if run.Commit == "" {
		run.Commit = waiting.Status // it failed before it came to a commit; this one waits for an answer
	}
	already, badgeErr := true, error(nil)
	if run.ID != "" {
		already, err = t.tellCommit(ctx, project, run)
		badgeErr = t.tellBadge(ctx, project, run)
	}
	if err != nil {
		return hopefulFirst([]error{err, badgeErr})
	}
	switch {
	case !already && (owed || waiting.Status != "" && waiting.Status != run.Commit):
		err = t.Ledger.Again(ctx, project) // so that no telling takes more requests than it may
	case owed:
		err = t.tellWaiting(ctx, project, waiting.Status)
	case waiting.Status != "":
		err = t.endWaiting(ctx, project, run, waiting.Status)
	}
	return hopefulFirst([]error{err, badgeErr})
}

// waitingSubject is where the ledger has, as its status, the commit that was last said to wait for its run.
const waitingSubject = "waiting"

// endWaiting sees to it that no commit waits for ever: where a newer one was read instead, it is told so.
func (t *Teller) endWaiting(ctx context.Context, project int64, run contactsync.Run, commit string) error {
	if commit != run.Commit {
		if err := t.passOver(ctx, project, commit); err != nil {
			return err
		}
	}
	return t.Ledger.SaveTold(ctx, project, waitingSubject, contactsync.Told{})
}

func (t *Teller) passOver(ctx context.Context, project int64, commit string) error {
	return t.setPlain(ctx, project, commit, contactsync.CommitCanceled, "passed_over")
}

// setPlain sets a status that says no more than its kind.
func (t *Teller) setPlain(ctx context.Context, project int64, commit string, state contactsync.CommitState, kind string) error {
	told, err := t.Ledger.Told(ctx, project, commit)
	if err != nil {
		return err
	}
	description, err := t.Words.Status(templates.StatusData{Kind: kind})
	if err != nil {
		return err
	}
	return t.setStatus(ctx, place{project: project, subject: commit}, &told, contactsync.CommitStatus{
		Commit: commit, Ref: t.Branch, Name: StatusName, State: state, Description: description,
	})
}

// hopefulFirst joins errors, those in front that trying again may mend: they decide.
func hopefulFirst(failed []error) error {
	rank := func(err error) int {
		switch contactsync.FailureOf(err).Retry {
		case contactsync.RetrySoon, contactsync.RetryWhenTold, contactsync.RetryLater:
			return 0
		}
		return 1
	}
	failed = slices.DeleteFunc(failed, func(err error) bool { return err == nil })
	slices.SortStableFunc(failed, func(a, b error) int { return cmp.Compare(rank(a), rank(b)) })
	return errors.Join(failed...)
}

// tellCommit tells beside the commit that was read how the run ended, and returns whether that was told already.
func (t *Teller) tellCommit(ctx context.Context, project int64, run contactsync.Run) (already bool, err error) {
	if run.Commit == "" {
		return true, nil
	}
	told, err := t.Ledger.Told(ctx, project, run.Commit)
	if err != nil || told.Run == run.ID {
		return told.Run == run.ID, err
	}
	at := place{project, run.Commit, contactsync.Thread{Project: project, Commit: run.Commit}}
	description, err := t.Words.Status(t.statusOf(run))
	if err != nil {
		return false, err
	}
	status := contactsync.CommitStatus{Commit: run.Commit, Ref: t.Branch, Name: StatusName, State: stateOf(run), Description: description}
	if target := commitPage(run); len(target) <= maxTarget {
		status.Target = target
	}
	failed := []error{t.setStatus(ctx, at, &told, status), t.noteEnd(ctx, at, &told, run)}
	if err := hopefulFirst(failed); err != nil {
		return false, err
	}
	told.Run = run.ID
	return false, t.Ledger.SaveTold(ctx, project, at.subject, told)
}

// commitPage is the page of the commit that a run read, "" where it is not known.
func commitPage(run contactsync.Run) string {
	if run.ProjectURL == "" || run.Commit == "" {
		return ""
	}
	return run.ProjectURL + "/-/commit/" + run.Commit
}

// noteEnd writes the note on the commit, if there is something to say that a status cannot.
func (t *Teller) noteEnd(ctx context.Context, at place, told *contactsync.Told, run contactsync.Run) error {
	if !t.Notes {
		return nil
	}
	data, needed := t.commitNote(run)
	if !needed {
		// Only a run that read the file to its end knows that what was wrong with it is mended.
		if !told.Wrong || run.Error != nil {
			return nil
		}
		data = templates.CommitNoteData{Settled: true, Reference: run.ID}
	}
	text, err := t.Words.CommitNote(data)
	if err != nil {
		return err
	}
	if needed {
		told.Wrong = run.Error != nil
	}
	if err := t.note(ctx, at, told, text, needed); err != nil {
		return err
	}
	told.Wrong = told.Wrong && needed
	return nil
}

// tellWaiting says beside the newest commit that its run is still to come, or under way. before is the commit of which that
// was said last.
func (t *Teller) tellWaiting(ctx context.Context, project int64, before string) error {
	if !t.Statuses {
		return nil
	}
	head, err := t.Reporter.BranchHead(ctx, project, t.Branch)
	if err != nil || head == "" {
		return err
	}
	if before != "" && before != head {
		if err := t.passOver(ctx, project, before); err != nil {
			return err
		}
	}
	if err := t.Ledger.SaveTold(ctx, project, waitingSubject, contactsync.Told{Status: head}); err != nil {
		return err
	}
	return t.setPlain(ctx, project, head, contactsync.CommitPending, "waiting")
}

// place is where something is told.
type place struct {
	project int64
	subject string // in the ledger
	thread  contactsync.Thread
}

func (t *Teller) setStatus(ctx context.Context, at place, told *contactsync.Told, status contactsync.CommitStatus) error {
	said := status.Commit + " " + string(status.State) + " " + status.Description
	if !t.Statuses || told.Status == said {
		return nil
	}
	if told.Status != "" { // until it is heard how it is, it is not known
		told.Status = ""
		if err := t.Ledger.SaveTold(ctx, at.project, at.subject, *told); err != nil {
			return err
		}
	}
	if err := t.Reporter.SetStatus(ctx, at.project, status); err != nil {
		return err
	}
	told.Status = said
	return t.Ledger.SaveTold(ctx, at.project, at.subject, *told)
}

// note has the note of that place say something. Where there is none yet, it is written only if needed.
func (t *Teller) note(ctx context.Context, at place, told *contactsync.Told, text string, needed bool) error {
	if needed || told.Noting {
		if err := t.find(ctx, at, told); err != nil {
			return err
		}
	}
	digest := digestOf(text)
	if told.Note.ID != 0 {
		if told.Text == digest {
			return nil
		}
		if told.Text != "" {
			told.Text = ""
			if err := t.Ledger.SaveTold(ctx, at.project, at.subject, *told); err != nil {
				return err
			}
		}
		there, err := t.Reporter.UpdateNote(ctx, at.thread, told.Note, text)
		if err != nil {
			return err
		}
		if there {
			told.Text, told.Noting = digest, false
			return t.Ledger.SaveTold(ctx, at.project, at.subject, *told)
		}
	}
	told.Note, told.Noting, told.Resolved, told.Resolving = contactsync.Note{}, needed, false, false
	if err := t.Ledger.SaveTold(ctx, at.project, at.subject, *told); err != nil || !needed {
		return err
	}
	written, err := t.Reporter.CreateNote(ctx, at.thread, text)
	if err != nil {
		return err
	}
	told.Note, told.Text, told.Noting = written, digest, false
	return t.Ledger.SaveTold(ctx, at.project, at.subject, *told)
}

// find looks for the note of that place, where none is known: it may have been written without our hearing of it, or by
// somebody with another store, and a second one must not be.
func (t *Teller) find(ctx context.Context, at place, told *contactsync.Told) error {
	if told.Note.ID != 0 {
		return nil
	}
	found, there, err := t.Reporter.FindNote(ctx, at.thread)
	if err != nil {
		return err
	}
	if there {
		told.Note, told.Text, told.Noting = found, "", false
	}
	return nil
}

func digestOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// tellBadge makes the badge lead to the last commit that was read, and show what it is to show.
func (t *Teller) tellBadge(ctx context.Context, project int64, run contactsync.Run) error {
	link := commitPage(run)
	if t.Pictures == (Pictures{}) || link == "" {
		return nil
	}
	key, shown, err := t.Ledger.Badge(ctx, project)
	if err != nil {
		return err
	}
	badge := contactsync.Badge{ID: shown.ID, Name: BadgeName, Link: link, Image: t.Pictures.of(key, run)}
	if shown.Link == badge.Link && shown.Image == badge.Image {
		return nil
	}
	if shown.Link != "" { // until it is heard how it is, it is not known
		if err := t.Ledger.SaveBadge(ctx, project, contactsync.Badge{ID: shown.ID}); err != nil {
			return err
		}
	}
	id, err := t.Reporter.SetBadge(ctx, project, badge)
	if err != nil {
		return err
	}
	if badge.ID = id; id != 0 {
		return t.Ledger.SaveBadge(ctx, project, badge)
	}
	// Looking for another one is the next try's, so that telling takes no more requests than it may.
	gone := contactsync.Errorf(contactsync.ClassRepositoryUnreachable, "somebody has deleted the project's badge %s; it is made again", BadgeName)
	return cmp.Or(t.Ledger.SaveBadge(ctx, project, contactsync.Badge{}), error(gone))
}

func (p Pictures) of(key string, run contactsync.Run) string {
	switch {
	case p.Synced == "":
		return p.Drawn + key + ".svg"
	case stateOf(run) == contactsync.CommitSuccess:
		return p.Synced
	default:
		return p.Failed
	}
}
