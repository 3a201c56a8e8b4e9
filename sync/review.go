package sync

import (
	"context"
	"strconv"

	"contactsync"
	"contactsync/templates"
)

// Review tells in a merge request whether the file that it proposes is valid, and what merging it would do. It plans and
// writes nothing to the desk. Requests that come from another project, lead to another branch or are no longer open are
// left alone. Errors are the Reporter's, and those of reading the request and the desk that may be mended by another try.
func (t *Teller) Review(ctx context.Context, project, number int64) error {
	if !t.Requests {
		return nil
	}
	request, err := t.Reporter.MergeRequest(ctx, project, number)
	if err != nil {
		return err
	}
	if !request.Open || request.Fork {
		return nil
	}
	subject := "!" + strconv.FormatInt(number, 10)
	told, err := t.Ledger.Told(ctx, project, subject)
	if err != nil {
		return err
	}
	at := place{project, subject, contactsync.Thread{Project: project, Request: number}}
	if request.Target != t.Branch {
		return t.settleNote(ctx, at, &told, request)
	}
	if request.Base == "" {
		return contactsync.Errorf(contactsync.ClassRepositoryUnreachable, "GitLab has not yet looked at what merge request %d changes", number)
	}
	proposal, err := t.Proposals.Propose(ctx, request.Project, request.Head, request.Base)
	if err != nil {
		return err
	}
	if !proposal.Changed {
		return hopefulFirst([]error{
			t.statusRequest(ctx, at, &told, request, templates.StatusData{Kind: "untouched", File: t.File}),
			t.settleNote(ctx, at, &told, request),
		})
	}
	run := contactsync.Run{Status: contactsync.StatusFailed, Error: contactsync.FailureOf(proposal.Err)}
	if proposal.Err == nil {
		if run, err = t.planOf(ctx, project, proposal.File.Content); err != nil {
			return err
		}
	}
	failed := []error{
		t.statusRequest(ctx, at, &told, request, t.planStatus(run)),
		t.noteRequest(ctx, at, &told, t.requestNote(request, proposal, run)),
	}
	if failure := run.Error; failure != nil && failure.Who != contactsync.WhoCustomer {
		// The comment says that there is no plan yet; another try may bring one.
		failed = append(failed, &contactsync.Error{Class: failure.Class, Detail: failure.Detail, Retry: failure.Retry, RetryAt: failure.RetryAt})
	}
	return hopefulFirst(failed)
}

// planOf plans what the request's file would do. The desk is asked behind whatever somebody waits for, and no more than by
// a run that finds nothing to do, unless many new people are to be looked up.
func (t *Teller) planOf(ctx context.Context, project int64, content []byte) (contactsync.Run, error) {
	last, _, err := t.Ledger.Latest(ctx, project)
	if err != nil {
		return contactsync.Run{}, err
	}
	var known contactsync.Organization
	if last.Organization != nil && stateOf(last) == contactsync.CommitSuccess {
		known = *last.Organization
	}
	return t.Pipeline.PlanProposed(contactsync.InBackground(ctx), project, known, content), nil
}

// requestNote is what the comment on a merge request says.
func (t *Teller) requestNote(request contactsync.MergeRequest, proposal contactsync.Proposal, run contactsync.Run) templates.RequestNoteData {
	data := templates.RequestNoteData{File: t.File, Commit: short(request.Head), Branch: t.Branch, Behind: proposal.Behind}
	if failure := run.Error; failure != nil {
		if data.Ours = failure.Who != contactsync.WhoCustomer; !data.Ours {
			data.Problems, data.More, data.Reason, data.Remedy = toMend(failure)
		}
		return data
	}
	data.Planned, data.At = true, t.Pipeline.Now().UTC()
	data.Contacts, data.Limit = run.Contacts, t.Pipeline.Policy.MaxContacts
	data.Counts, data.Held = countsOf(run), heldReasons(run)
	for _, c := range run.Conflicts {
		data.Conflicts = append(data.Conflicts, templates.Problem{Line: c.Line, Message: c.Error.Info().Title})
	}
	if t.Names {
		data.Changes = namedChanges(run, contactsync.ResultPlanned)
	}
	return data
}

func (t *Teller) planStatus(run contactsync.Run) templates.StatusData {
	data := templates.StatusData{Kind: "valid", File: t.File, Counts: countsOf(run)}
	if failure := run.Error; failure != nil {
		data.Title, data.Ours = failure.Title, failure.Who != contactsync.WhoCustomer
		if !data.Ours {
			data.Kind = "invalid"
		}
	}
	return data
}

// settleNote marks the comment on a request as settled, if there is one: the request does not change the file any more,
// or leads elsewhere.
func (t *Teller) settleNote(ctx context.Context, at place, told *contactsync.Told, request contactsync.MergeRequest) error {
	if told.Resolved && !told.Resolving || told.Note.ID == 0 && !told.Noting {
		return nil
	}
	doubtful := told.Noting // then looking for it is all that a look at the request may cost
	if err := t.find(ctx, at, told); err != nil {
		return err
	}
	if !doubtful {
		text, err := t.Words.RequestNote(templates.RequestNoteData{File: t.File, Commit: short(request.Head), Untouched: true})
		if err != nil {
			return err
		}
		if err := t.note(ctx, at, told, text, false); err != nil {
			return err
		}
	}
	told.Noting = false
	return t.resolve(ctx, at, told, true)
}

func (t *Teller) noteRequest(ctx context.Context, at place, told *contactsync.Told, data templates.RequestNoteData) error {
	text, err := t.Words.RequestNote(data)
	if err != nil {
		return err
	}
	if err := t.note(ctx, at, told, text, true); err != nil {
		return err
	}
	return t.resolve(ctx, at, told, false)
}

func (t *Teller) resolve(ctx context.Context, at place, told *contactsync.Told, resolved bool) error {
	if told.Note.ID == 0 || told.Resolved == resolved && !told.Resolving {
		return nil
	}
	told.Resolving = true
	if err := t.Ledger.SaveTold(ctx, at.project, at.subject, *told); err != nil {
		return err
	}
	there, err := t.Reporter.ResolveNote(ctx, at.thread, told.Note, resolved)
	if err != nil {
		return err
	}
	told.Resolved, told.Resolving = resolved && there, false
	return t.Ledger.SaveTold(ctx, at.project, at.subject, *told)
}

func (t *Teller) statusRequest(ctx context.Context, at place, told *contactsync.Told, request contactsync.MergeRequest, data templates.StatusData) error {
	description, err := t.Words.Status(data)
	if err != nil {
		return err
	}
	state := contactsync.CommitSuccess
	if data.Kind == "invalid" {
		state = contactsync.CommitFailed
	}
	return t.setStatus(ctx, at, told, contactsync.CommitStatus{
		Commit: request.Head, Ref: request.Source, Name: PlanStatusName, State: state, Description: description,
	})
}

// short is a commit as people are shown it.
func short(commit string) string { return commit[:min(len(commit), 8)] }
