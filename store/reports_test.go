package store_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"contactsync"
	"contactsync/store"
)

// reporting is a store whose runs are told.
func reporting(t *testing.T, address string, c *clock) *store.Store {
	t.Helper()
	return mustOpen(t, address, store.Options{Now: c.Now, Wait: noWait(t), Reports: "some way"})
}

// ended records a run of project 7 that ended so, and returns its id.
func ended(t *testing.T, s *store.Store, run contactsync.Run) string {
	t.Helper()
	if err := record(t.Context(), s, 7, run); err != nil {
		t.Fatal(err)
	}
	latest, _, err := s.Latest(t.Context(), 7)
	if err != nil {
		t.Fatal(err)
	}
	return latest.ID
}

// tell has what is owed told, with that result, and returns whether anything was.
func tell(t *testing.T, s *store.Store, request int64, result error) (asked bool) {
	t.Helper()
	err := s.Report(t.Context(), 7, request, func(context.Context) error { asked = true; return result })
	if asked && !errors.Is(err, result) || !asked && err != nil {
		t.Errorf("telling: got %v, want %v", err, result)
	}
	return asked
}

func stateOf(t *testing.T, s *store.Store, run string) contactsync.Report {
	t.Helper()
	found, err := s.Run(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	if found.Report == nil {
		return contactsync.Report{}
	}
	return *found.Report
}

var (
	busy      = contactsync.Errorf(contactsync.ClassRepositoryUnreachable, "GitLab is busy")
	forbidden = contactsync.Errorf(contactsync.ClassGitLabRefused, "the token may not write")
)

// Each run is told once; one that found nothing new is told already; and a run of another commit is told again.
func TestReportOnce(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		s := reporting(t, address, newClock())
		first := ended(t, s, contactsync.Run{Status: contactsync.StatusSucceeded, Commit: "a", Summary: contactsync.Summary{Add: 1}})
		if got := stateOf(t, s, first); got.State != contactsync.ReportWaiting {
			t.Errorf("before it is told: %+v", got)
		}
		if !tell(t, s, 0, nil) || tell(t, s, 0, nil) {
			t.Error("the run is not told exactly once")
		}
		if got := stateOf(t, s, first); got.State != contactsync.ReportTold {
			t.Errorf("afterwards: %+v", got)
		}
		second := ended(t, s, contactsync.Run{Status: contactsync.StatusUnchanged, Commit: "a"})
		if tell(t, s, 0, nil) {
			t.Error("a run that found nothing new is told again")
		}
		if got := stateOf(t, s, second); got.State != contactsync.ReportTold {
			t.Errorf("a run that found nothing new: %+v", got)
		}
		ended(t, s, contactsync.Run{Status: contactsync.StatusUnchanged, Commit: "b"})
		if !tell(t, s, 0, nil) {
			t.Error("a run of another commit is not told")
		}
	})
}

// What is told differs where people would be told something else, and does not where a failure only repeats itself.
func TestReportsThatDiffer(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		s := reporting(t, address, newClock())
		failed := func(class contactsync.Class, detail string) contactsync.Run {
			return contactsync.Run{Status: contactsync.StatusFailed, Commit: "a", Error: contactsync.FailureOf(contactsync.Errorf(class, "%s", detail))}
		}
		for i, step := range []struct {
			run  contactsync.Run
			want bool
		}{
			{failed(contactsync.ClassNoOrgFound, "at 10:00"), true},
			{failed(contactsync.ClassNoOrgFound, "at 10:30"), false}, // operators' details are not told
			{failed(contactsync.ClassEmailInvalid, "line 1"), true},
			{failed(contactsync.ClassEmailInvalid, "line 2"), true},
			{contactsync.Run{Status: contactsync.StatusPartial, Commit: "a", Conflicts: []contactsync.Conflict{{Email: "a@example.com"}}}, true},
			{contactsync.Run{Status: contactsync.StatusPartial, Commit: "a", Conflicts: []contactsync.Conflict{{Email: "b@example.com"}}}, true},
			{contactsync.Run{Status: contactsync.StatusHeld, Commit: "a", Remainder: "sha256:1", Summary: contactsync.Summary{Held: 1}}, true},
			{contactsync.Run{Status: contactsync.StatusHeld, Commit: "a", Remainder: "sha256:1", Summary: contactsync.Summary{Held: 1}}, false},
			{contactsync.Run{Status: contactsync.StatusHeld, Commit: "a", Remainder: "sha256:2", Summary: contactsync.Summary{Held: 1}}, true},
			{contactsync.Run{Status: contactsync.StatusUnchanged, Commit: "a"}, true},
			{failed(contactsync.ClassInvalidProjectID, "gone"), false}, // there is no place to tell it
		} {
			ended(t, s, step.run)
			if got := tell(t, s, 0, nil); got != step.want {
				t.Errorf("step %d: told %v, want %v", i, got, step.want)
			}
		}
	})
}

// Telling has tries of its own: what may work is tried again, slower each time and for a day, what cannot work is given
// up at once. Either is told to whoever looks at the run, and none makes the project run again.
func TestReportRetries(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := reporting(t, address, c)
		run := ended(t, s, contactsync.Run{Status: contactsync.StatusSucceeded, Commit: "a"})
		tries := 0
		for hours := 0; hours < 48; {
			if !tell(t, s, 0, busy) {
				c.Advance(time.Minute)
				if c.Now().Minute() == 0 {
					hours++
				}
				if got := stateOf(t, s, run); got.State == contactsync.ReportGivenUp {
					break
				}
				continue
			}
			tries++
		}
		if got := stateOf(t, s, run); got.State != contactsync.ReportGivenUp || got.Problem != "GitLab is busy" {
			t.Errorf("after a day: %+v", got)
		}
		if tries < 48 || tries > 110 {
			t.Errorf("%d tries in a day", tries)
		}
		if got := standing(t, s, 7); got != (store.Standing{}) {
			t.Errorf("the project waits for something: %+v", got)
		}
		overview, err := s.Overview(t.Context())
		if err != nil || overview.Reports != 0 || overview.ReportsLost != 1 {
			t.Errorf("got %+v, %v", overview, err)
		}

		// The next run is a new chance, also where nothing is new.
		run = ended(t, s, contactsync.Run{Status: contactsync.StatusUnchanged, Commit: "a"})
		if !tell(t, s, 0, forbidden) {
			t.Error("what was given up is not told with the next run")
		}
		if got := stateOf(t, s, run); got.State != contactsync.ReportGivenUp || got.Problem != "the token may not write" || tell(t, s, 0, nil) {
			t.Errorf("what is forbidden: %+v", got)
		}
		ended(t, s, contactsync.Run{Status: contactsync.StatusUnchanged, Commit: "a"})
		tell(t, s, 0, nil)
		if overview, err := s.Overview(t.Context()); err != nil || overview.ReportsLost != 0 {
			t.Errorf("told at last: %+v, %v", overview, err)
		}
	})
}

// A time that GitLab names is waited for.
func TestReportWaitsWhenTold(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := reporting(t, address, c)
		run := ended(t, s, contactsync.Run{Status: contactsync.StatusSucceeded, Commit: "a"})
		later := &contactsync.Error{Class: contactsync.ClassRepositoryUnreachable, Detail: "60 notes a minute", Retry: contactsync.RetryWhenTold, RetryAt: c.Now().Add(time.Hour)}
		tell(t, s, 0, later)
		c.Advance(59 * time.Minute)
		if tell(t, s, 0, nil) {
			t.Error("told before the time")
		}
		if got := stateOf(t, s, run); got.State != contactsync.ReportWaiting || got.Problem != "60 notes a minute" {
			t.Errorf("meanwhile: %+v", got)
		}
		c.Advance(2 * time.Minute)
		if !tell(t, s, 0, nil) {
			t.Error("not told after the time")
		}
	})
}

// Telling that was given up because the process stops is no failed try: it is as owed as before, and not later.
func TestReportThatWasGivenUp(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		s := reporting(t, address, newClock())
		run := ended(t, s, contactsync.Run{Status: contactsync.StatusSucceeded, Commit: "a"})
		err := s.Report(t.Context(), 7, 0, func(context.Context) error { return context.Canceled })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		if got := stateOf(t, s, run); got != (contactsync.Report{State: contactsync.ReportWaiting}) {
			t.Errorf("afterwards: %+v", got)
		}
		if !tell(t, s, 0, nil) {
			t.Error("it is not told at once by whoever comes next")
		}
	})
}

// A run that ends while the one before it is being told is told as well.
func TestRunEndsWhileTelling(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		s := reporting(t, address, newClock())
		ended(t, s, contactsync.Run{Status: contactsync.StatusSucceeded, Commit: "a"})
		err := s.Report(t.Context(), 7, 0, func(context.Context) error {
			ended(t, s, contactsync.Run{Status: contactsync.StatusSucceeded, Commit: "b"})
			return nil
		})
		if err != nil || !tell(t, s, 0, nil) {
			t.Errorf("the second run is not told (%v)", err)
		}
	})
}

// Whoever tells can ask for another telling, which follows at once and says nothing about the fingerprint.
func TestTellAgain(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		s := reporting(t, address, newClock())
		ended(t, s, contactsync.Run{Status: contactsync.StatusUnchanged, Commit: "a"})
		err := s.Report(t.Context(), 7, 0, func(ctx context.Context) error { return s.Again(ctx, 7) })
		if err != nil || !tell(t, s, 0, nil) || tell(t, s, 0, nil) {
			t.Errorf("there is not exactly one more telling (%v)", err)
		}
		ended(t, s, contactsync.Run{Status: contactsync.StatusUnchanged, Commit: "a"})
		if tell(t, s, 0, nil) {
			t.Error("what was told already is told again")
		}
	})
}

// A run that is owed for some seconds is worth a word, once; one that comes at once is not. The end is told afterwards,
// even if it says the same as the end before.
func TestReportOfWaiting(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := reporting(t, address, c)
		ended(t, s, contactsync.Run{Status: contactsync.StatusUnchanged, Commit: "a"})
		tell(t, s, 0, nil)
		accept(t, s, 7, "key")
		beat := func() {
			if err := s.Beat(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		beat()
		if tell(t, s, 0, nil) {
			t.Error("a run that has just been asked for is told of")
		}
		c.Advance(4 * time.Second)
		beat()
		beat()
		if !tell(t, s, 0, nil) {
			t.Error("a run that is owed for seconds is not told of")
		}
		c.Advance(time.Minute)
		beat()
		if tell(t, s, 0, nil) {
			t.Error("it is told of twice")
		}
		ended(t, s, contactsync.Run{Status: contactsync.StatusUnchanged, Commit: "a"})
		if !tell(t, s, 0, nil) {
			t.Error("the end is not told")
		}
	})
}

// Hooks of a merge request are one wish until it was looked at; one that comes meanwhile is another.
func TestRequestsCoalesce(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		s := reporting(t, address, newClock())
		hook := func() contactsync.Receipt {
			receipt, err := s.Accept(t.Context(), contactsync.Delivery{Project: 7, Request: 3, Event: "merge_request", Key: newID()})
			if err != nil {
				t.Fatal(err)
			}
			return receipt
		}
		if first, second := hook(), hook(); first.Joined || !second.Joined {
			t.Errorf("got %+v and %+v", first, second)
		}
		if tell(t, s, 4, nil) {
			t.Error("another merge request is looked at")
		}
		err := s.Report(t.Context(), 7, 3, func(context.Context) error { hook(); return nil })
		if err != nil || !tell(t, s, 3, nil) || tell(t, s, 3, nil) {
			t.Errorf("a hook that came meanwhile does not lead to one more look (%v)", err)
		}
		if got := standing(t, s, 7); got != (store.Standing{}) {
			t.Errorf("a merge request makes the project wait for something: %+v", got)
		}
	})
}

// The queue hands out what is to be told, and a process that dies over it leaves it to the next.
func TestReportJobs(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		s := mustOpen(t, address, store.Options{Reports: "some way"})
		accept(t, s, 7, "key")
		if _, err := s.Accept(t.Context(), contactsync.Delivery{Project: 7, Request: 3, Event: "merge_request"}); err != nil {
			t.Fatal(err)
		}
		lose(t, address)
		told := make(chan store.Job, 10)
		w := startWork(t, s, func(ctx context.Context, job store.Job) error {
			if job.Kind == store.KindReport {
				told <- job
				return nil
			}
			return record(ctx, s, job.Project, contactsync.Run{Status: contactsync.StatusUnchanged, Commit: "a"})
		})
		if err := s.Want(t.Context(), contactsync.TriggerHook, 8); err != nil {
			t.Fatal(err)
		}
		w.wait(2)
		if job := <-told; job.Project != 8 || job.Request != 0 {
			t.Errorf("told %+v", job)
		}
		later := mustOpen(t, address, store.Options{Reports: "some way", Now: func() time.Time { return time.Now().Add(time.Hour) }})
		if err := later.Beat(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wait(5) // the lost run and its report, and the merge request
		for range 2 {
			if job := <-told; job.Project != 7 {
				t.Errorf("told %+v", job)
			}
		}
	})
}

// Where nobody is told anything, nothing is kept for it.
func TestNoReports(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		s := mustOpen(t, address, store.Options{})
		run := ended(t, s, contactsync.Run{Status: contactsync.StatusSucceeded, Commit: "a"})
		if tell(t, s, 0, nil) || stateOf(t, s, run) != (contactsync.Report{}) {
			t.Error("something is to be told")
		}
	})
}

// What stands on the forge comes back as it was left, for each place by itself, and goes when it is old.
func TestTold(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := reporting(t, address, c)
		want := contactsync.Told{Run: "run", Status: "success", Note: contactsync.Note{Discussion: "abc", ID: 4}, Noting: true, Text: "digest", Wrong: true, Resolved: true, Resolving: true}
		for subject, told := range map[string]contactsync.Told{"!3": want, "commit": {Run: "other"}} {
			if err := s.SaveTold(t.Context(), 7, subject, told); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.Told(t.Context(), 7, "!3"); err != nil || got != want {
			t.Errorf("got %+v, %v", got, err)
		}
		for _, place := range []struct {
			project int64
			subject string
		}{{7, "!4"}, {8, "!3"}} {
			if got, err := s.Told(t.Context(), place.project, place.subject); err != nil || got != (contactsync.Told{}) {
				t.Errorf("%v: got %+v, %v", place, got, err)
			}
		}
		c.Advance(100 * 24 * time.Hour)
		if n, err := s.Prune(t.Context(), store.Retention{Runs: 90 * 24 * time.Hour}); err != nil || n < 2 {
			t.Errorf("pruned %d rows, %v", n, err)
		}
		if got, err := s.Told(t.Context(), 7, "!3"); err != nil || got != (contactsync.Told{}) {
			t.Errorf("after its time: got %+v, %v", got, err)
		}
	})
}

// A badge keeps the address that nobody can guess, and tells of the last run and of the last one that was good.
func TestBadge(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := reporting(t, address, c)
		key, shown, err := s.Badge(t.Context(), 7)
		if err != nil || len(key) < 26 || key != strings.ToLower(key) || shown != (contactsync.Badge{}) {
			t.Fatalf("got %q, %+v, %v", key, shown, err)
		}
		if other, _, err := s.Badge(t.Context(), 8); err != nil || other == key {
			t.Errorf("another project's key is %q, %v", other, err)
		}
		want := contactsync.Badge{ID: 3, Link: "somewhere", Image: "picture"}
		if err := s.SaveBadge(t.Context(), 7, want); err != nil {
			t.Fatal(err)
		}
		if again, shown, err := s.Badge(t.Context(), 7); err != nil || again != key || shown != want {
			t.Errorf("got %q, %+v, %v", again, shown, err)
		}
		sight := func() store.Sight {
			sight, found, err := s.Sight(t.Context(), key)
			if err != nil || !found {
				t.Fatalf("found %v, %v", found, err)
			}
			return sight
		}
		if got := sight(); got != (store.Sight{}) {
			t.Errorf("before any run: %+v", got)
		}
		ended(t, s, contactsync.Run{Status: contactsync.StatusHeld, Contacts: 2, Summary: contactsync.Summary{Held: 1}})
		if got := sight(); got != (store.Sight{Status: contactsync.StatusHeld}) {
			t.Errorf("before any good run: %+v", got)
		}
		ended(t, s, contactsync.Run{Status: contactsync.StatusSucceeded, Contacts: 8})
		good := sight()
		if good.Status != contactsync.StatusSucceeded || good.Contacts != 8 || good.Synced.IsZero() {
			t.Errorf("after a good run: %+v", good)
		}
		ended(t, s, contactsync.Run{Status: contactsync.StatusFailed, Contacts: 3, Error: contactsync.FailureOf(busy)})
		if got := sight(); got.Status != contactsync.StatusFailed || got.Contacts != 8 || !got.Synced.Equal(good.Synced) {
			t.Errorf("after a failed one: %+v", got)
		}
		if _, found, err := s.Sight(t.Context(), strings.ToUpper(key)); err != nil || found {
			t.Errorf("another key is found: %v, %v", found, err)
		}
	})
}

// What a sweep has put back until it is judged is not told as held; what anybody else's run holds is.
func TestReportsLeaveSweepsAlone(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := reporting(t, address, c)
		fill(t, s, c, 10)
		held := contactsync.Run{ID: "run", Project: "7", Trigger: contactsync.TriggerSchedule, Started: c.Now(), Finished: c.Now(),
			Status: contactsync.StatusHeld, Commit: "a", Remainder: "sha256:1", Summary: contactsync.Summary{Held: 1}}
		end := func(run contactsync.Run) {
			if err := s.Hold(t.Context(), 7, func(ctx context.Context) error {
				if err := s.BeginRun(ctx, run); err != nil {
					return err
				}
				return s.FinishRun(ctx, run)
			}); err != nil {
				t.Fatal(err)
			}
		}
		end(held)
		if tell(t, s, 0, nil) {
			t.Error("a removal that the sweep has put back is told")
		}
		held.ID, held.Trigger = "other", contactsync.TriggerHook
		end(held)
		if !tell(t, s, 0, nil) {
			t.Error("a held push is not told")
		}
	})
}
