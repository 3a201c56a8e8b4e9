package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"contactsync"
)

// makeHook gives the project its hook, and proves that it works: GitLab delivers a test, and the first sync finds nothing
// to do.
func (j *job) makeHook(ctx context.Context) (outcome, error) {
	wanted, err := j.Policy.Hook(j.project.ID, j.legacy)
	if err != nil {
		return outcome{}, err
	}
	if j.project.ID == 0 {
		return planned("would make the hook, and test it"), nil
	}
	hooks, err := j.Forge.Hooks(ctx, j.project.ID)
	if err != nil {
		return outcome{}, err
	}
	good, bad := sortHooks(hooks, wanted)
	if j.dry {
		if good == nil {
			return planned("would make the hook, and test it"), nil
		}
		return already("the hook is there"), nil
	}
	result, err := j.workingHook(ctx, wanted, good, bad)
	switch {
	case err != nil:
		return result, err
	case j.theirs:
		return result.with(j.ahead(ctx)), nil
	}
	run, err := j.firstSync(ctx)
	if err != nil {
		return outcome{}, err
	}
	return result.with(fmt.Sprintf("the first sync found nothing to do (run %s)", run)), nil
}

// workingHook makes sure that there is a hook by which GitLab delivers, the good one if that works, and deletes the bad
// ones.
func (j *job) workingHook(ctx context.Context, wanted contactsync.NewHook, good *contactsync.Hook, bad []contactsync.Hook) (outcome, error) {
	result, err := j.deliveringHook(ctx, good, wanted)
	if err != nil {
		return result, err
	}
	if good != nil && result.state == contactsync.StepDone {
		bad = append(bad, *good) // another one works in its place
	}
	for _, hook := range bad { // only now that there is one that works
		if err := j.Forge.DeleteHook(ctx, j.project.ID, hook.ID); err != nil {
			return outcome{}, err
		}
		result.state = contactsync.StepDone
		result = result.with(fmt.Sprintf("deleted hook %d: %s", hook.ID, cmp.Or(hookOf(hook, wanted), "another one does its work")))
	}
	return result, nil
}

// sortHooks returns the hook that is as it is to be, nil for none, and the others that lead to the same place.
func sortHooks(hooks []contactsync.Hook, wanted contactsync.NewHook) (good *contactsync.Hook, bad []contactsync.Hook) {
	for _, hook := range hooks {
		switch {
		case !leadsTo(hook, wanted):
		case good == nil && hookOf(hook, wanted) == "":
			good = &hook
		default:
			bad = append(bad, hook)
		}
	}
	return good, bad
}

// deliveringHook tests the hook that is there, nil for none. Where that delivers nothing, it may have been made with
// credentials that are not ours any more, which GitLab does not tell: then one is made that has them. One that was made
// and does not work is taken away again.
func (j *job) deliveringHook(ctx context.Context, present *contactsync.Hook, wanted contactsync.NewHook) (outcome, error) {
	if present != nil {
		err := j.Forge.TestHook(ctx, j.project.ID, present.ID)
		if err == nil {
			return already("hook %d was there, and delivers", present.ID), nil
		}
		if contactsync.ClassOf(err) != contactsync.ClassRepositoryUnreachable {
			return outcome{}, err
		}
		j.Step("making the hook anew, because it does not deliver")
	}
	made, err := j.Forge.CreateHook(ctx, j.project.ID, wanted)
	if err != nil {
		return outcome{}, err
	}
	result := done("made hook %d, which delivers", made.ID)
	switch {
	case wanted.SigningToken == "" || made.SigningTokenPresent:
	case wanted.Token != "":
		result = result.with("this GitLab is too old to sign deliveries: they carry the token instead")
	default:
		err = &contactsync.Error{
			Class: contactsync.ClassGitLabRefused, Detail: "this GitLab is too old to sign deliveries, and no token is configured that they could carry instead",
			Remedy: "Set webhook.token, or webhook.master_key, here and for contactsync serve. Then run the same command again.",
		}
	}
	if err == nil {
		since := j.Now().Add(-time.Minute) // clocks differ
		err = j.undelivered(ctx, j.Forge.TestHook(ctx, j.project.ID, made.ID), made.ID, since)
	}
	if err == nil {
		return result, nil
	}
	return outcome{}, errors.Join(err, j.Forge.DeleteHook(context.WithoutCancel(ctx), j.project.ID, made.ID))
}

// undelivered words the failure of a test for those who set up, with what the receiver answered where GitLab tells.
func (j *job) undelivered(ctx context.Context, err error, hook int64, since time.Time) error {
	var classed *contactsync.Error
	if !errors.As(err, &classed) || contactsync.ClassOf(err) != contactsync.ClassRepositoryUnreachable {
		return err
	}
	worded := &contactsync.Error{
		Class: classed.Class, Err: err, Detail: err.Error(), Who: classed.Who, Retry: classed.Retry, RetryAt: classed.RetryAt,
		Remedy: "Check that contactsync serve runs, that GitLab reaches it at webhook.url, and that it has the same credentials as here. Then run the same command again.",
	}
	// An older GitLab does not tell; the failure stays what it is.
	failures, readErr := j.Forge.FailedDeliveries(ctx, j.project.ID, hook, since)
	if readErr != nil || len(failures) == 0 {
		return worded
	}
	switch status := failures[0].Status; status {
	case 0:
		worded.Detail += "; nobody answered there"
	case 401, 403: // Unauthorized, Forbidden
		worded.Detail += fmt.Sprintf("; the receiver answered %d: it does not take these credentials", status)
	default:
		worded.Detail += fmt.Sprintf("; the receiver answered %d", status)
	}
	return worded
}

// firstSync makes sure that the project changes nobody: a plan first, and when it is empty a run, which the history keeps.
func (j *job) firstSync(ctx context.Context) (string, error) {
	project := contactsync.ProjectRef(fmt.Sprint(j.project.ID))
	j.Step("planning the first sync")
	if err := idle(j.Syncer.Plan(ctx, project)); err != nil {
		return "", err
	}
	run := j.Syncer.Sync(ctx, project, contactsync.TriggerCommand)
	return run.ID, idle(run)
}

// ahead says what a sync would do to a project that was set up before. What its file asks for is the customer's business.
func (j *job) ahead(ctx context.Context) string {
	j.Step("planning a sync")
	run := j.Syncer.Plan(ctx, contactsync.ProjectRef(fmt.Sprint(j.project.ID)))
	s := run.Summary
	switch {
	case run.Error != nil:
		return fmt.Sprintf("a sync would fail now: %s: %s", run.Error.Title, run.Error.Detail)
	case run.Status == contactsync.StatusUnchanged:
		return "a sync finds nothing to do"
	}
	return fmt.Sprintf("the next sync would create %d, add %d, rename %d and remove %d, with %d held and %d in conflict: contactsync plan %d",
		s.Create, s.Add, s.Rename, s.Remove, s.Held, s.Conflicts, j.project.ID)
}

func idle(run contactsync.Run) error {
	if run.Error != nil {
		return failed(run.Error)
	}
	if run.Status == contactsync.StatusUnchanged {
		return nil
	}
	s := run.Summary
	return conflict("Somebody changed the organization at the desk meanwhile. Run the same command again: it writes the file anew.",
		"the first sync must find nothing to do, but would create %d, add %d, rename %d and remove %d, with %d held and %d in conflict",
		s.Create, s.Add, s.Rename, s.Remove, s.Held, s.Conflicts)
}
