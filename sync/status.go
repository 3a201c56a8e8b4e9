package sync

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"contactsync"
)

// conclude is the one place that decides how a run, or a plan of one, ended. Steps only return what they found.
func conclude(run contactsync.Run, plan Plan, err error, tally *contactsync.Tally) contactsync.Run {
	run.Changes, run.Conflicts = plan.Changes(), plan.Conflicts
	if run.Conflicts == nil {
		run.Conflicts = []contactsync.Conflict{}
	}
	run.Digest, run.Remainder, run.Contacts = plan.Digest(), plan.Remainder(), plan.Wanted
	counted := contactsync.ResultDone
	if run.Trigger == "" {
		counted = contactsync.ResultPlanned
	}
	run.Summary = summarize(plan, counted)
	run.Requests = tally.Requests()
	if err == nil {
		err = allFailed(plan)
	}
	run.Error = contactsync.FailureOf(err)
	run.Status = status(run)
	return run
}

func status(run contactsync.Run) contactsync.Status {
	s := run.Summary
	made := s.Create + s.Add + s.Rename + s.Remove
	switch {
	case run.Error != nil:
		return contactsync.StatusFailed
	case run.Trigger == "" && made+s.Held+s.Conflicts > 0:
		return contactsync.StatusPlanned
	case s.Failed > 0 || s.Conflicts > 0:
		return contactsync.StatusPartial
	case s.Held > 0:
		return contactsync.StatusHeld
	case made > 0:
		return contactsync.StatusSucceeded
	default:
		return contactsync.StatusUnchanged
	}
}

// summarize counts the plan's changes: by action those with the result given, which is done for a run and planned for
// a plan, and the others by what became of them.
func summarize(plan Plan, counted contactsync.Result) contactsync.Summary {
	summary := contactsync.Summary{Unchanged: plan.Unchanged, Conflicts: len(plan.Conflicts)}
	byAction := map[contactsync.Action]*int{
		contactsync.ActionCreate: &summary.Create, contactsync.ActionAdd: &summary.Add,
		contactsync.ActionRename: &summary.Rename, contactsync.ActionRemove: &summary.Remove,
	}
	for _, item := range plan.Items {
		switch item.Result {
		case contactsync.ResultHeld:
			summary.Held++
		case contactsync.ResultFailed:
			summary.Failed++
		case counted:
			*byAction[item.Action]++
		}
	}
	return summary
}

// soonest orders the retry classes by how soon they let a run try again.
var soonest = []contactsync.Retry{
	contactsync.RetrySoon, contactsync.RetryWhenTold, contactsync.RetryLater,
	contactsync.RetryOnCommit, contactsync.RetryOnApproval, contactsync.RetryNo,
}

// allFailed is the error of a run that tried changes and made none: sync_failed, or removal_failed when only removals
// were tried. Who mends it and when it is retried follow the cause that can be retried soonest.
func allFailed(plan Plan) error {
	class, failed := contactsync.ClassRemovalFailed, 0
	var cause *contactsync.Failure
	for _, item := range plan.Items {
		switch item.Result {
		case contactsync.ResultDone:
			return nil
		case contactsync.ResultFailed:
			failed++
			if item.Action != contactsync.ActionRemove {
				class = contactsync.ClassSyncFailed
			}
			failure := contactsync.FailureOf(item.cause)
			if cause == nil || slices.Index(soonest, failure.Retry) < slices.Index(soonest, cause.Retry) {
				cause = failure
			}
		}
	}
	if failed == 0 {
		return nil
	}
	return &contactsync.Error{
		Class:  class,
		Detail: fmt.Sprintf("none of the %d changes that were tried could be made; the first reason: %s", failed, cause.Detail),
		Who:    cause.Who, Retry: cause.Retry, Remedy: cause.Remedy, RetryAt: cause.RetryAt,
	}
}

// interrupted names the end of a run that was told to stop, so that nobody takes it for a defect.
func interrupted(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	why := context.Cause(ctx)
	if !contactsync.IsCanceled(err) && !errors.Is(err, why) {
		return err
	}
	if contactsync.ClassOf(why) != contactsync.ClassInternal {
		return why
	}
	return &contactsync.Error{
		Class:  contactsync.ClassInternal,
		Detail: fmt.Sprintf("the run was stopped before its end (%v); nothing more was written", why),
		Err:    why,
		Who:    contactsync.WhoNobody, Retry: contactsync.RetrySoon,
		Remedy: "Sync the project again. The next run goes on where this one stopped.",
	}
}
