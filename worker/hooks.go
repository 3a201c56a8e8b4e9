package worker

import (
	"context"
	"time"

	"contactsync"
	"contactsync/store"
)

// Hooks is the forge, as far as its hooks go.
type Hooks interface {
	// LookAtHook tells how the project's hooks to us fare. since is when that was last told, and after the newest failed
	// delivery that was seen then. With an error, the report is what is known all the same.
	LookAtHook(ctx context.Context, project int64, since time.Time, after int64) (HookReport, error)
	// WakeHook sends a test delivery through a disabled hook, which enables it when that arrives.
	WakeHook(ctx context.Context, project, hook int64) error
}

// HookReport is what was seen of a project's hooks.
type HookReport struct {
	Missing  bool    // the project has no hook that leads to us
	Missed   bool    // a push may have gone unheard since
	Disabled []int64 // hooks that are sent nothing now
	Newest   int64   // the newest failed delivery
}

// hooksAtOnce bounds one passage, so that it ends soon.
const hooksAtOnce = 100

func (w *Worker) askForHooks(ctx context.Context) error {
	if w.Hooks == nil || w.HooksEvery <= 0 {
		return nil
	}
	waiting, err := w.Store.HooksToLookAt(ctx, w.Now().Add(-w.HooksEvery), 1)
	if err != nil || len(waiting) == 0 {
		return err
	}
	return w.Store.AskFor(ctx, store.ChoreHooks)
}

// lookAtHooks looks at the hooks that were not looked at for the longest time.
func (w *Worker) lookAtHooks(ctx context.Context) error {
	hooks, err := w.Store.HooksToLookAt(ctx, w.Now().Add(-w.HooksEvery), hooksAtOnce)
	if err != nil {
		return err
	}
	for _, hook := range hooks {
		if err := w.lookAtHook(contactsync.InBackground(ctx), hook); err != nil {
			return err
		}
	}
	return nil
}

// lookAtHook makes good what a hook did not deliver: deliveries that failed start a run, and a disabled hook is told
// of and woken. What GitLab does not answer is told of once, and looked at again next time.
func (w *Worker) lookAtHook(ctx context.Context, hook store.Hook) error {
	log := w.Log.With("project", hook.Project)
	looked, problem := w.Now(), hook.Problem
	report, err := w.Hooks.LookAtHook(ctx, hook.Project, hook.Seen, hook.FailedEvent)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	hook.Looked, hook.Problem = looked, ""
	switch {
	case err != nil:
		hook.Problem = err.Error()
	case report.Missing:
		hook.Problem, hook.Disabled = "the project has no hook that leads here", false
	default:
		hook.Seen, hook.Disabled = looked, false
		hook.FailedEvent = max(hook.FailedEvent, report.Newest)
	}
	for _, id := range report.Disabled {
		log.Warn("GitLab has disabled a hook; a test delivery is sent to enable it", "hook", id)
		if err := w.Hooks.WakeHook(ctx, hook.Project, id); err != nil {
			hook.Disabled, hook.Problem = true, err.Error()
			continue
		}
		log.Info("the hook is enabled again", "hook", id)
	}
	if hook.Problem != "" && hook.Problem != problem {
		log.Warn("a hook cannot be looked after", "why", hook.Problem)
	}
	if report.Missed {
		log.Info("deliveries of a hook failed, so the project is run")
		if err := w.Store.Want(ctx, contactsync.TriggerHook, hook.Project); err != nil {
			return err
		}
	}
	return w.Store.SaveHook(ctx, hook)
}
