package store_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // lets tests reach behind the store

	"contactsync"
	"contactsync/internal/postgrestest"
	"contactsync/store"
)

// works runs jobs until the test ends, and lets it wait for them.
type works struct {
	t     *testing.T
	store *store.Store
	stop  func() error

	mu   sync.Mutex
	done []store.Job
	tell chan struct{}
}

// startWork does jobs of a store. The given function does the work of each; nil records an unchanged run.
func startWork(t *testing.T, s *store.Store, do func(context.Context, store.Job) error) *works {
	t.Helper()
	w := &works{t: t, store: s, tell: make(chan struct{}, 1000)}
	if do == nil {
		do = func(ctx context.Context, job store.Job) error {
			return record(ctx, s, job.Project, contactsync.Run{Status: contactsync.StatusUnchanged})
		}
	}
	workers, err := s.Work(t.Context(), store.WorkOptions{
		Runs: 4, Resyncs: 2, Chores: 2, Reports: 2, Timeout: time.Minute, Log: slog.New(slog.DiscardHandler),
	}, func(ctx context.Context, job store.Job) error {
		err := do(ctx, job)
		w.mu.Lock()
		w.done = append(w.done, job)
		w.mu.Unlock()
		w.tell <- struct{}{}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	w.stop = sync.OnceValue(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		return workers.Stop(ctx, ctx)
	})
	t.Cleanup(func() {
		if err := w.stop(); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return w
}

// record is a whole run of a project, under its lease, that ended as given.
func record(ctx context.Context, s *store.Store, project int64, run contactsync.Run) error {
	run.ID, run.Project, run.Trigger = newID(), contactsync.ProjectRef(fmt.Sprint(project)), contactsync.TriggerHook
	run.Started = time.Now()
	return s.Hold(ctx, project, func(ctx context.Context) error {
		if err := s.BeginRun(ctx, run); err != nil {
			return err
		}
		run.Finished = time.Now()
		return s.FinishRun(ctx, run)
	})
}

// wait returns once so many jobs were done in all.
func (w *works) wait(jobs int) {
	w.t.Helper()
	limit := time.After(30 * time.Second)
	for {
		w.mu.Lock()
		n := len(w.done)
		w.mu.Unlock()
		if n >= jobs {
			return
		}
		select {
		case <-w.tell:
		case <-limit:
			w.t.Fatalf("%d jobs were done, want %d", n, jobs)
		}
	}
}

func newID() string { return strings.ToLower(rand.Text()) }

// lose deletes all jobs behind the store's back.
func lose(t *testing.T, address string) { t.Helper(); tamper(t, address, `DELETE FROM river_job`) }

// strand makes all jobs look as a process leaves them that dies over them.
func strand(t *testing.T, address string) {
	t.Helper()
	tamper(t, address, `UPDATE river_job SET state = 'running', attempt = 1, attempted_at = CURRENT_TIMESTAMP`)
}

func tamper(t *testing.T, address, statement string) {
	t.Helper()
	driver, name := "sqlite", pathOf(address)
	if strings.HasPrefix(address, "postgres") {
		driver, name = "pgx", address
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

func accept(t *testing.T, s *store.Store, project int64, key string) contactsync.Receipt {
	t.Helper()
	receipt, err := s.Accept(t.Context(), contactsync.Delivery{Project: project, Key: key, Event: "push"})
	if err != nil {
		t.Fatal(err)
	}
	return receipt
}

// standing returns how the project stands; a zero one when it waits for nothing.
func standing(t *testing.T, s *store.Store, project int64) store.Standing {
	t.Helper()
	found, err := s.Standings(t.Context(), contactsync.ProjectRef(fmt.Sprint(project)))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		return store.Standing{}
	}
	return found[0]
}

// A delivery that was stored is followed by a run, also when nobody worked at that time.
func TestAcceptLeadsToRun(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		s := mustOpen(t, address, store.Options{})
		if receipt := accept(t, s, 7, "first"); receipt.ID == "" || receipt.Joined {
			t.Errorf("the receipt of a new delivery is %+v", receipt)
		}
		if got := standing(t, s, 7); got.State != store.StateWaiting || got.Since.IsZero() {
			t.Errorf("before the run the project stands as %+v", got)
		}
		w := startWork(t, s, nil)
		w.wait(1)
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		if got := standing(t, s, 7); got.State != "" {
			t.Errorf("after the run the project stands as %+v", got)
		}
		runs, err := s.Runs(t.Context(), store.Filter{Project: "7"})
		if err != nil || len(runs) != 1 {
			t.Errorf("the history is %v, %v", runs, err)
		}
	})
}

// Pushes that come before the run, or during it, become one run more and no further one; none is left behind.
func TestPushesCoalesce(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		s := mustOpen(t, address, store.Options{})
		for n := range 20 {
			accept(t, s, 7, fmt.Sprint("before ", n))
		}
		begun, goOn := make(chan struct{}, 10), make(chan struct{})
		w := startWork(t, s, func(ctx context.Context, job store.Job) error {
			return s.Hold(ctx, job.Project, func(ctx context.Context) error {
				run := contactsync.Run{ID: newID(), Project: "7", Status: contactsync.StatusUnchanged, Started: time.Now()}
				err := s.BeginRun(ctx, run)
				begun <- struct{}{}
				<-goOn
				return errors.Join(err, s.FinishRun(ctx, run))
			})
		})
		<-begun
		for n := range 20 {
			accept(t, s, 7, fmt.Sprint("during ", n))
		}
		goOn <- struct{}{}
		<-begun
		goOn <- struct{}{}
		w.wait(2)
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		if len(w.done) != 2 || standing(t, s, 7).State != "" {
			t.Errorf("40 pushes became %d runs, and the project stands as %+v", len(w.done), standing(t, s, 7))
		}
	})
}

// A delivery that is sent again joins the run to come, or the good one of a moment ago; later, or after a failure, it
// gets a run of its own.
func TestResentDeliveries(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now})
		first := accept(t, s, 7, "key")
		if again := accept(t, s, 7, "key"); !again.Joined || again.ID != first.ID {
			t.Errorf("before the run: %+v, the first was %+v", again, first)
		}
		if other := accept(t, s, 8, "key"); other.Joined {
			t.Error("the key of another project was taken for the same")
		}
		end := func(run contactsync.Run) {
			t.Helper()
			run.ID, run.Project, run.Started, run.Finished = newID(), "7", c.Now(), c.Now()
			if err := s.Hold(t.Context(), 7, func(ctx context.Context) error {
				return errors.Join(s.BeginRun(ctx, run), s.FinishRun(ctx, run))
			}); err != nil {
				t.Fatal(err)
			}
		}
		end(contactsync.Run{Status: contactsync.StatusSucceeded})
		if again := accept(t, s, 7, "key"); !again.Joined {
			t.Error("a moment after a good run it was run again")
		}
		c.Advance(2 * time.Minute)
		if again := accept(t, s, 7, "key"); again.Joined {
			t.Error("long after the run it was swallowed")
		}
		end(contactsync.Run{Status: contactsync.StatusFailed, Error: contactsync.FailureOf(contactsync.Errorf(contactsync.ClassEmailInvalid, "line 3"))})
		if again := accept(t, s, 7, "key"); again.Joined {
			t.Error("after a failure it was swallowed")
		}
	})
}

// What a run's end says about the next one: when, and how often before it is left alone.
func TestRetries(t *testing.T) {
	soon := contactsync.FailureOf(contactsync.Errorf(contactsync.ClassDeskUnreadable, "cut short"))
	linked := contactsync.FailureOf(contactsync.Errorf(contactsync.ClassNoOrgFound, "nobody"))
	later := contactsync.FailureOf(contactsync.Errorf(contactsync.ClassDeskUnauthorized, "no"))
	customer := contactsync.FailureOf(contactsync.Errorf(contactsync.ClassEmailInvalid, "line 3"))
	never := contactsync.FailureOf(contactsync.Errorf(contactsync.ClassTooManyOrgs, "two"))
	told := contactsync.FailureOf(&contactsync.Error{Class: contactsync.ClassRateLimited, RetryAt: newClock().Now().Add(7 * time.Minute)})
	failed := func(f *contactsync.Failure) contactsync.Run {
		return contactsync.Run{Status: contactsync.StatusFailed, Error: f}
	}
	partly := func(class contactsync.Class) contactsync.Run {
		return contactsync.Run{Status: contactsync.StatusPartial, Changes: []contactsync.Change{
			{Action: contactsync.ActionAdd, Result: contactsync.ResultDone},
			{Action: contactsync.ActionAdd, Result: contactsync.ResultFailed, Error: class},
		}}
	}
	for name, test := range map[string]struct {
		run         contactsync.Run
		times       int
		least, most time.Duration // until the next try; 0 and 0: not by itself
	}{
		"soon":                    {failed(soon), 1, 15 * time.Second, 30 * time.Second},
		"soon, doubling":          {failed(soon), 3, time.Minute, 2 * time.Minute},
		"soon, for long":          {failed(soon), 9, 450 * time.Second, 15 * time.Minute},
		"nobody linked, for long": {failed(linked), 12, 3 * time.Hour, 6 * time.Hour},
		"later":                   {failed(later), 1, 450 * time.Second, 15 * time.Minute},
		"later, for long":         {failed(later), 40, 3 * time.Hour, 6 * time.Hour},
		"a customer's mistake":    {failed(customer), 1, 0, 0},
		"not by itself":           {failed(never), 1, 0, 0},
		"when told":               {failed(told), 1, 7 * time.Minute, 7*time.Minute + time.Second},
		"some changes failed":     {partly(contactsync.ClassUserNotCreated), 1, 15 * time.Second, 30 * time.Second},
		"somebody is elsewhere":   {partly(contactsync.ClassContactElsewhere), 1, 0, 0},
		"all is well":             {contactsync.Run{Status: contactsync.StatusSucceeded}, 1, 0, 0},
		"held":                    {contactsync.Run{Status: contactsync.StatusHeld}, 1, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			s := mustOpen(t, newAddress(t), store.Options{Now: c.Now})
			for range test.times {
				run := test.run
				run.ID, run.Project, run.Started, run.Finished = newID(), "7", c.Now(), c.Now()
				if err := s.Hold(t.Context(), 7, func(ctx context.Context) error {
					return errors.Join(s.BeginRun(ctx, run), s.FinishRun(ctx, run))
				}); err != nil {
					t.Fatal(err)
				}
			}
			got := standing(t, s, 7)
			if test.most == 0 {
				if !got.RetryAt.IsZero() {
					t.Errorf("it is tried again at %v", got.RetryAt)
				}
				return
			}
			if pause := got.RetryAt.Sub(c.Now()); pause < test.least || pause > test.most || got.State != store.StateRetrying {
				t.Errorf("it stands as %+v, and is tried again after %v, want %v to %v", got, pause, test.least, test.most)
			}
		})
	}
}

// A project that fails for the same reason for a day is left alone for hours; another reason, or success, frees it.
func TestQuarantine(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now})
		end := func(class contactsync.Class) store.Standing {
			t.Helper()
			run := contactsync.Run{ID: newID(), Project: "7", Status: contactsync.StatusUnchanged, Started: c.Now(), Finished: c.Now()}
			if class != "" {
				run.Status, run.Error = contactsync.StatusFailed, contactsync.FailureOf(contactsync.Errorf(class, "broken"))
			}
			if err := s.Hold(t.Context(), 7, func(ctx context.Context) error {
				return errors.Join(s.BeginRun(ctx, run), s.FinishRun(ctx, run))
			}); err != nil {
				t.Fatal(err)
			}
			return standing(t, s, 7)
		}
		tries := 0
		for got := end(contactsync.ClassDeskUnreadable); got.State != store.StateQuarantined; got = end(contactsync.ClassDeskUnreadable) {
			if tries++; tries > 500 {
				t.Fatalf("it is never quarantined: %+v", got)
			}
			c.Advance(got.RetryAt.Sub(c.Now()))
		}
		got := standing(t, s, 7)
		if since := c.Now().Sub(got.Since); since < 24*time.Hour || since > 25*time.Hour {
			t.Errorf("it was quarantined after %v", since)
		}
		if pause := got.RetryAt.Sub(c.Now()); pause < 3*time.Hour || pause > 6*time.Hour {
			t.Errorf("in quarantine the next try is after %v", pause)
		}
		if got := end(contactsync.ClassRepositoryUnreachable); got.State != store.StateRetrying || got.Failures != 1 {
			t.Errorf("after another failure it stands as %+v", got)
		}
		if got := end(""); got.State != "" {
			t.Errorf("after success it stands as %+v", got)
		}
	})
}

// A push wakes a project that waits for its next try, and a command that succeeds makes the try needless.
func TestPushWakesRetry(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		s := mustOpen(t, address, store.Options{})
		unwell := contactsync.Run{Status: contactsync.StatusFailed,
			Error: contactsync.FailureOf(contactsync.Errorf(contactsync.ClassDeskUnauthorized, "no"))}
		first := true
		w := startWork(t, s, func(ctx context.Context, job store.Job) error {
			run := contactsync.Run{Status: contactsync.StatusUnchanged}
			if first {
				first, run = false, unwell
			}
			return record(ctx, s, job.Project, run)
		})
		accept(t, s, 7, "")
		w.wait(1)
		accept(t, s, 7, "")
		w.wait(2)
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		if got := standing(t, s, 7); got.State != "" {
			t.Errorf("it stands as %+v", got)
		}
		if err := record(t.Context(), s, 8, unwell); err != nil {
			t.Fatal(err)
		}
		if err := record(t.Context(), s, 8, contactsync.Run{Status: contactsync.StatusSucceeded}); err != nil {
			t.Fatal(err)
		}
		if got := standing(t, s, 8); got.State != "" {
			t.Errorf("after a command the project stands as %+v", got)
		}
	})
}

// A job whose run left no trace, because the store failed, say, is tried again, and one that is lost altogether is
// brought back by Beat.
func TestNothingIsLeftBehind(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now})
		accept(t, s, 7, "")
		tries := 0
		w := startWork(t, s, func(ctx context.Context, job store.Job) error {
			if tries++; tries == 1 {
				return nil // and no run was recorded
			}
			return record(ctx, s, job.Project, contactsync.Run{Status: contactsync.StatusUnchanged})
		})
		w.wait(2)
		if err := w.stop(); err != nil {
			t.Fatal(err)
		}
		if got := standing(t, s, 7); got.State != "" {
			t.Errorf("it stands as %+v", got)
		}
		accept(t, s, 8, "")
		lose(t, address)
		if err := s.Beat(t.Context()); err != nil {
			t.Fatal(err)
		}
		w = startWork(t, s, nil)
		c.Advance(time.Minute)
		if err := s.Beat(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wait(1)
	})
}

// Jobs of a worker that is dead become available again: at once on SQLite, and when its leases have run out where many
// processes work.
func TestDeadWorkers(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		address := newAddress(t)
		s := mustOpen(t, address, store.Options{})
		accept(t, s, 7, "")
		strand(t, address)
		w := startWork(t, s, nil)
		w.wait(1)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		address := postgrestest.New(t)
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now})
		accept(t, s, 7, "")
		strand(t, address)
		w := startWork(t, s, nil)
		if err := s.Beat(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(w.done) > 0 {
			t.Error("a job was taken from a worker that may be alive")
		}
		c.Advance(time.Since(c.Now()) + 10*time.Minute) // the job's own times are the database's
		if err := s.Beat(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.wait(1)
	})
}

// Only one process works on an SQLite store at a time.
func TestOneWorkerOnSQLite(t *testing.T) {
	t.Parallel()
	address := newAddress(t)
	w := startWork(t, mustOpen(t, address, store.Options{}), nil)
	second := mustOpen(t, address, store.Options{})
	_, err := second.Work(t.Context(), store.WorkOptions{Runs: 1, Resyncs: 1, Chores: 1, Timeout: time.Minute, Log: slog.New(slog.DiscardHandler)}, nil)
	if err == nil || !strings.Contains(err.Error(), "another process works on this store") {
		t.Errorf("a second process may work: %v", err)
	}
	if err := w.stop(); err != nil {
		t.Fatal(err)
	}
	startWork(t, second, nil)
}

// A refused delivery is in the history of the project that it named, and nothing follows from it.
func TestRefuse(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		s := mustOpen(t, address, store.Options{})
		reason := contactsync.Errorf(contactsync.ClassInvalidProjectID, "the hook of project 8 names project 7")
		if err := s.Refuse(t.Context(), contactsync.Delivery{Project: 8, Event: "push"}, "7", reason); err != nil {
			t.Fatal(err)
		}
		runs, err := s.Runs(t.Context(), store.Filter{Class: contactsync.ClassInvalidProjectID})
		if err != nil || len(runs) != 1 || runs[0].Project != "7" || runs[0].Status != contactsync.StatusFailed {
			t.Errorf("the history is %+v, %v", runs, err)
		}
		for _, project := range []int64{7, 8} {
			if got := standing(t, s, project); got.State != "" {
				t.Errorf("project %d stands as %+v", project, got)
			}
		}
	})
}

// What is waiting, and for how long, can be counted.
func TestOverview(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now})
		accept(t, s, 1, "")
		c.Advance(time.Minute)
		accept(t, s, 2, "")
		held := contactsync.Run{Status: contactsync.StatusHeld, Summary: contactsync.Summary{Held: 5}}
		if err := record(t.Context(), s, 3, held); err != nil {
			t.Fatal(err)
		}
		got, err := s.Overview(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got.Projects[store.StateWaiting] != 2 || got.OldestWaiting != time.Minute || got.Projects[store.StateHeld] != 1 || got.HeldChanges != 5 {
			t.Errorf("the overview is %+v", got)
		}
	})
}
