package worker

import (
	"context"
	"time"

	"contactsync"
	"contactsync/store"
)

// Hooks is the forge, as far as its hooks go.
type Hooks interface {
	// LookAtHook tells how the project's hook fares, and which of its deliveries failed after a time.
	LookAtHook(ctx context.Context, project int64, since time.Time) (HookReport, error)
	// WakeHook sends a test delivery through a disabled hook, which enables it when that arrives.
	WakeHook(ctx context.Context, project, hook int64) error
}

// HookReport is what was seen of a project's hook.
type HookReport struct {
	Hook     int64
	Missing  bool // the project has no hook of ours
	Disabled bool
	Failed   bool      // deliveries failed after the time that was asked about
	Until    time.Time // of the newest delivery that was seen
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
// of and woken. What GitLab does not answer is told of in the log, and looked at again next time.
func (w *Worker) lookAtHook(ctx context.Context, hook store.Hook) error {
	log := w.Log.With("project", hook.Project)
	looked := w.Now()
	report, err := w.Hooks.LookAtHook(ctx, hook.Project, hook.FailedUntil)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	was := hook
	hook.Looked, hook.Problem = looked, ""
	switch {
	case err != nil:
		hook.Problem = err.Error()
	case report.Missing:
		hook.Problem, hook.Disabled = "the project has no hook that leads here", false
	default:
		hook.Disabled = report.Disabled
		if report.Until.After(hook.FailedUntil) {
			hook.FailedUntil = report.Until
		}
	}
	if hook.Problem != "" && hook.Problem != was.Problem {
		log.Warn("a hook cannot be looked after", "why", hook.Problem)
	}
	if hook.Disabled {
		log.Warn("GitLab has disabled a hook; a test delivery is sent to enable it", "hook", report.Hook)
		if err := w.Hooks.WakeHook(ctx, hook.Project, report.Hook); err != nil {
			hook.Problem = err.Error()
			log.Warn("the test delivery failed", "hook", report.Hook, "why", hook.Problem)
		} else {
			hook.Disabled = false
			log.Info("the hook is enabled again", "hook", report.Hook)
		}
	}
	if report.Failed || report.Disabled {
		log.Info("deliveries of a hook failed, so the project is run", "hook", report.Hook)
		if err := w.Store.Want(ctx, contactsync.TriggerHook, hook.Project); err != nil {
			return err
		}
	}
	return w.Store.SaveHook(ctx, hook)
}
