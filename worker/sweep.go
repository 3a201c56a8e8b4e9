package worker

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"contactsync"
	"contactsync/store"
	"contactsync/sync"
)

// beginSweep begins the sweep that the schedule wants by now.
func (w *Worker) beginSweep(ctx context.Context) error {
	if w.Schedule.Never() || w.Linker == nil {
		return nil
	}
	last, err := w.Store.LastTick(ctx)
	if err != nil {
		return err
	}
	due := w.Schedule.Due(last, w.Now())
	if due.IsZero() {
		return nil
	}
	begun, err := w.Store.BeginSweep(ctx, due)
	if begun {
		w.Log.Info("a scheduled sweep begins", "due", due)
	}
	return err
}

// fillSweep finds all linked projects and spreads their runs over the time that is configured.
func (w *Worker) fillSweep(ctx context.Context) error {
	sweep, err := w.Store.OpenSweep(ctx)
	if err != nil || sweep.State != store.SweepListing {
		return err
	}
	links, err := w.Linker.Links(contactsync.InBackground(ctx))
	if err != nil {
		return fmt.Errorf("finding all linked projects: %w", err)
	}
	projects := Spread(links, w.Now(), w.Spread, w.Jitter)
	w.Log.Info("a scheduled sweep is under way", "sweep", sweep.ID, "projects", len(projects))
	return w.Store.FillSweep(ctx, sweep.ID, projects)
}

// Spread gives each linked project its time in a sweep: evenly from start on, each at random within its own share. A
// project that several organizations carry is in it once, and without an organization: its run says what is wrong.
func Spread(links []contactsync.LinkedOrganization, start time.Time, over time.Duration, jitter func() float64) []store.Linked {
	links = slices.Clone(links)
	slices.SortFunc(links, func(a, b contactsync.LinkedOrganization) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), cmp.Compare(a.Organization.ID, b.Organization.ID))
	})
	var projects []store.Linked
	for _, link := range links {
		if n := len(projects); n > 0 && projects[n-1].Project == link.Project {
			projects[n-1].Organization = contactsync.Organization{}
			continue
		}
		projects = append(projects, store.Linked{Project: link.Project, Organization: link.Organization})
	}
	share := float64(over) / float64(max(1, len(projects)))
	for i := range projects {
		projects[i].Due = start.Add(time.Duration((float64(i) + jitter()) * share))
	}
	return projects
}

// resync runs a project within a sweep: behind whatever somebody waits for, and with its removals put back until the
// whole sweep has been looked at.
func (w *Worker) resync(ctx context.Context, job store.Job) error {
	linked, through, err := w.Store.SweepProject(ctx, job.Sweep, job.Project)
	if err != nil || through {
		return err
	}
	var loss sync.Loss
	w.run(contactsync.InBackground(ctx), job.Project, contactsync.TriggerSchedule,
		func(ctx context.Context, p *sync.Pipeline, ref contactsync.ProjectRef) (run contactsync.Run) {
			run, loss = p.Resync(ctx, ref, linked.Organization)
			return run
		})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	// A run that failed is tried again like any other; it holds up nobody.
	return w.Store.ThroughSweep(ctx, job.Sweep, job.Project, loss.Members, loss.Removals)
}

// judgeSweep decides about the removals of a sweep whose projects are all through.
func (w *Worker) judgeSweep(ctx context.Context) error {
	var why string
	ended, err := w.Store.JudgeSweep(ctx, func(losses store.Losses) bool {
		var suspect bool
		suspect, why = w.Threshold.Judge(sync.Losses(losses))
		return !suspect
	})
	if err != nil || ended.ID == "" {
		return err
	}
	told := []any{"sweep", ended.ID, "projects", ended.Projects, "organizations", ended.Losses.Organizations, "removals", ended.Losses.Removals}
	if why != "" {
		w.Log.Warn("a scheduled sweep is held", append(told, "why", why)...)
		return nil
	}
	w.Log.Info("a scheduled sweep is over", told...)
	return nil
}
