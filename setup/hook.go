package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"

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
	if err != nil {
		return outcome{}, err
	}
	if j.theirs {
		return result, nil
	}
	run, err := j.firstSync(ctx)
	if err != nil {
		return outcome{}, err
	}
	return result.with(fmt.Sprintf("the first sync found nothing to do (run %s)", run)), nil
}

// workingHook makes the hook if there is no good one, makes sure that GitLab delivers by it, and deletes the bad ones.
func (j *job) workingHook(ctx context.Context, wanted contactsync.NewHook, good *contactsync.Hook, bad []contactsync.Hook) (outcome, error) {
	result := already("hook %d was there, and delivers", numberOf(good))
	if good == nil {
		made, err := j.Forge.CreateHook(ctx, j.project.ID, wanted)
		if err != nil {
			return outcome{}, err
		}
		good = &made
		result = done("made hook %d, which delivers", made.ID)
		if wanted.SigningToken != "" && !made.SigningTokenPresent {
			result = result.with("this GitLab is too old to sign deliveries: they carry the token instead")
		}
	}
	if err := j.Forge.TestHook(ctx, j.project.ID, good.ID); err != nil {
		return outcome{}, undelivered(err, good.ID)
	}
	for _, hook := range bad { // only now that there is one that works
		if err := j.Forge.DeleteHook(ctx, j.project.ID, hook.ID); err != nil {
			return outcome{}, err
		}
		result.state = contactsync.StepDone
		result = result.with(fmt.Sprintf("deleted hook %d: %s", hook.ID, cmp.Or(hookOf(hook, wanted), "it was one too many")))
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

func numberOf(hook *contactsync.Hook) int64 {
	if hook == nil {
		return 0
	}
	return hook.ID
}

// undelivered words the failure of a test for those who set up.
func undelivered(err error, hook int64) error {
	var classed *contactsync.Error
	if !errors.As(err, &classed) || contactsync.ClassOf(err) != contactsync.ClassRepositoryUnreachable {
		return err
	}
	return &contactsync.Error{
		Class: classed.Class, Err: err, Detail: err.Error(), Who: classed.Who, Retry: classed.Retry, RetryAt: classed.RetryAt,
		Remedy: fmt.Sprintf("Check that contactsync serve runs, that GitLab reaches it at webhook.url, and that it has the same credentials as here. If the hook was made with other ones, delete hook %d. Then run the same command again.", hook),
	}
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
