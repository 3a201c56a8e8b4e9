package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"contactsync"
	"contactsync/store"
)

// fill begins a sweep of so many projects, all due now.
func fill(t *testing.T, s *store.Store, c *clock, projects int) store.Sweep {
	t.Helper()
	if begun, err := s.BeginSweep(t.Context(), c.Now()); err != nil || !begun {
		t.Fatalf("beginning: %v, %v", begun, err)
	}
	sweep, err := s.OpenSweep(t.Context())
	if err != nil || sweep.State != store.SweepListing {
		t.Fatalf("the sweep under way is %+v, %v", sweep, err)
	}
	var linked []store.Linked
	for n := range projects {
		linked = append(linked, store.Linked{Project: int64(n + 1), Due: c.Now(),
			Organization: contactsync.Organization{ID: fmt.Sprint(100 + n), Name: "Example"}})
	}
	for range 2 { // the second time is after a failure in between
		if err := s.FillSweep(t.Context(), sweep.ID, linked); err != nil {
			t.Fatal(err)
		}
	}
	return sweep
}

// A new schedule begins with its next moment, and no moment is begun twice or while another sweep is under way.
func TestSweepBegins(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now, Desk: "here"})
		start := c.Now()
		c.Advance(time.Hour)
		tick, err := s.LastTick(t.Context())
		if err != nil || !tick.Equal(c.Now()) {
			t.Errorf("a new schedule begins at %v, %v", tick, err)
		}
		first := c.Now()
		for _, want := range []bool{true, false} {
			if begun, err := s.BeginSweep(t.Context(), first); err != nil || begun != want {
				t.Errorf("begun: %v, %v; want %v", begun, err, want)
			}
		}
		c.Advance(24 * time.Hour)
		if begun, err := s.BeginSweep(t.Context(), c.Now()); err != nil || begun {
			t.Errorf("begun while another is under way: %v, %v", begun, err)
		}
		if tick, err := s.LastTick(t.Context()); err != nil || !tick.Equal(first) {
			t.Errorf("the last sweep was at %v, %v; want %v", tick, err, first)
		}
		sweep, err := s.OpenSweep(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.FillSweep(t.Context(), sweep.ID, nil); err != nil {
			t.Fatal(err)
		}
		if ended, err := s.JudgeSweep(t.Context(), func(store.Losses) bool { return true }); err != nil || ended.State != store.SweepPassed {
			t.Errorf("a sweep of nobody ended as %+v, %v", ended, err)
		}
		if begun, err := s.BeginSweep(t.Context(), start); err != nil || begun {
			t.Errorf("a moment before the last sweep was begun: %v, %v", begun, err)
		}
		other := mustOpen(t, address, store.Options{Now: c.Now, Desk: "elsewhere"})
		if begun, err := other.BeginSweep(t.Context(), first); err != nil || !begun {
			t.Errorf("another desk's sweep: %v, %v", begun, err)
		}
	})
}

// A sweep runs each project once and is judged when all are through: those that lose members are run again if it
// passes, and nobody is if it does not.
func TestSweepJudged(t *testing.T) {
	for name, pass := range map[string]bool{"passed": true, "held": false} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, address string) {
				const projects = 250
				c := newClock()
				s := mustOpen(t, address, store.Options{Now: c.Now})
				sweep := fill(t, s, c, projects)
				judged := make(chan store.Sweep, 1)
				again := make(chan int64, 10)
				w := startWork(t, s, func(ctx context.Context, job store.Job) error {
					switch job.Kind {
					case store.KindResync:
						linked, done, err := s.SweepProject(ctx, job.Sweep, job.Project)
						if err != nil || done || linked.Organization.ID != fmt.Sprint(99+job.Project) {
							return fmt.Errorf("%+v, %v, %w", linked, done, err)
						}
						removals := 0
						if job.Project%100 == 0 {
							removals = 3
						}
						return s.ThroughSweep(ctx, job.Sweep, job.Project, 10, removals)
					case store.KindSync:
						again <- job.Project
						return record(ctx, s, job.Project, contactsync.Run{Status: contactsync.StatusUnchanged})
					}
					if job.Chore == store.ChoreJudge {
						ended, err := s.JudgeSweep(ctx, func(store.Losses) bool { return pass })
						if ended.ID != "" {
							judged <- ended
						}
						return err
					}
					return nil
				})
				ended := <-judged
				want := store.Losses{Organizations: 2, Removals: 6, Members: 10 * projects}
				if ended.ID != sweep.ID || ended.Losses != want || (ended.State == store.SweepPassed) != pass {
					t.Errorf("the sweep ended as %+v", ended)
				}
				if pass {
					if a, b := <-again, <-again; a+b != 300 {
						t.Errorf("projects %d and %d were run again", a, b)
					}
				}
				if err := w.stop(); err != nil {
					t.Fatal(err)
				}
				runs := map[int64]int{}
				for _, job := range w.done {
					if job.Kind == store.KindResync {
						runs[job.Project]++
					}
				}
				if len(runs) != projects || len(again) > 0 {
					t.Errorf("%d projects were run, and %d more again", len(runs), len(again))
				}
				for project, n := range runs {
					if n != 1 {
						t.Errorf("project %d was run %d times", project, n)
					}
				}
			})
		})
	}
}

// A sweep goes on although its jobs are lost: its projects, and its judgement.
func TestSweepJobsLost(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now})
		sweep := fill(t, s, c, 3)
		lose(t, address)
		c.Advance(time.Minute)
		if err := s.Beat(t.Context()); err != nil {
			t.Fatal(err)
		}
		w := startWork(t, s, func(ctx context.Context, job store.Job) error {
			return s.ThroughSweep(ctx, job.Sweep, job.Project, 1, 0)
		})
		w.wait(4) // three projects and the judgement, which comes to nothing here
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		if err := s.NudgeSweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		startWork(t, s, nil).wait(1)
		if _, done, err := s.SweepProject(t.Context(), sweep.ID, 2); err != nil || !done {
			t.Errorf("a project that is through: %v, %v", done, err)
		}
	})
}

// What is older than its time goes, a little at once, and what the next run needs stays.
func TestPrune(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now})
		run := func(project int64, changes ...contactsync.Change) string {
			t.Helper()
			run := contactsync.Run{ID: newID(), Project: contactsync.ProjectRef(fmt.Sprint(project)), Started: c.Now(), Finished: c.Now(),
				Status: contactsync.StatusSucceeded, Changes: changes}
			if err := s.Hold(t.Context(), project, func(ctx context.Context) error {
				if err := s.BeginRun(ctx, run); err != nil {
					return err
				}
				return s.FinishRun(ctx, run)
			}); err != nil {
				t.Fatal(err)
			}
			return run.ID
		}
		added := contactsync.Change{Action: contactsync.ActionAdd, Email: "ada@example.com", Result: contactsync.ResultDone}
		for n := range 300 {
			accept(t, s, 1, fmt.Sprint(n))
		}
		run(1)
		changed := run(1, added)
		last := run(1)
		c.Advance(10 * 24 * time.Hour)
		accept(t, s, 2, "young")
		day := 24 * time.Hour
		for _, step := range []struct {
			keep store.Retention
			want int64
			left []string
		}{
			{store.Retention{}, 0, []string{last, changed}},
			{store.Retention{Deliveries: 20 * day, Runs: 20 * day, Audit: 20 * day}, 0, []string{last, changed}},
			{store.Retention{Deliveries: 5 * day, Runs: 5 * day, Audit: 20 * day}, 301, []string{last, changed}},
			{store.Retention{Deliveries: 5 * day, Runs: 5 * day, Audit: 5 * day}, 1, []string{last}},
		} {
			deleted, err := s.Prune(t.Context(), step.keep)
			if err != nil || deleted != step.want {
				t.Errorf("%+v: %d rows went, %v; want %d", step.keep, deleted, err, step.want)
			}
			for _, id := range step.left {
				if _, err := s.Run(t.Context(), id); err != nil {
					t.Errorf("%+v: run %s: %v", step.keep, id, err)
				}
			}
		}
		if again := accept(t, s, 2, "young"); !again.Joined {
			t.Error("a young delivery is forgotten")
		}
	})
}
