package main

import (
	"context"
	"errors"
	"time"

	"contactsync"
	"contactsync/gitlab"
	"contactsync/worker"
)

// hooks is GitLab as the worker looks after hooks there.
type hooks struct {
	*gitlab.Client
	receiver gitlab.Receiver
}

// LookAtHook asks for the project's hooks, and for what failed of those that lead to us.
func (h hooks) LookAtHook(ctx context.Context, project int64, since time.Time, after int64) (worker.HookReport, error) {
	all, err := h.Hooks(ctx, project)
	if err != nil {
		return worker.HookReport{}, err
	}
	report := worker.HookReport{Missing: true}
	failures := map[int64][]contactsync.FailedDelivery{}
	for _, hook := range all {
		if !h.receiver.Gets(hook) {
			continue
		}
		report.Missing = false
		failed, err := h.FailedDeliveries(ctx, project, hook.ID, since)
		switch {
		case errors.Is(err, gitlab.ErrUnsupported): // an old GitLab tells only whether a hook is disabled
		case err != nil:
			report.Missed = true // for all we know
			return report, err
		}
		for _, delivery := range failed {
			report.Newest = max(report.Newest, delivery.ID)
			if delivery.ID > after {
				failures[hook.ID] = append(failures[hook.ID], delivery)
			}
		}
	}
	health := h.receiver.Examine(all, failures, since)
	report.Missed = health.Missed
	for _, hook := range health.Disabled {
		report.Disabled = append(report.Disabled, hook.ID)
	}
	return report, nil
}

// WakeHook sends a test delivery.
func (h hooks) WakeHook(ctx context.Context, project, hook int64) error {
	return h.TestHook(ctx, project, hook)
}
