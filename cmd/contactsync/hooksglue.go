package main

import (
	"context"
	"time"

	"contactsync/gitlab"
	"contactsync/worker"
)

// hooks is GitLab as the worker wants it.
type hooks struct{ *gitlab.Client }

func (hooks) LookAtHook(context.Context, int64, time.Time) (worker.HookReport, error) {
	return worker.HookReport{}, nil
}
func (hooks) WakeHook(context.Context, int64, int64) error { return nil }
