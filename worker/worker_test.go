package worker_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"contactsync"
	"contactsync/schedule"
	"contactsync/store"
	"contactsync/worker"
)

func parse(t *testing.T, text string) schedule.Schedule {
	t.Helper()
	s, err := schedule.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A stored delivery is followed by a run that says what started it.
func TestDeliveryIsRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.desk.set(7, []string{"ada"}, []string{"ada", "mary"})
	w.start(nil)
	w.push(7)
	run := w.next()
	if run.Status != contactsync.StatusSucceeded || run.Trigger != contactsync.TriggerHook || run.Project != "7" {
		t.Errorf("the run is %+v", run)
	}
	if got := w.desk.of(7); !slices.Equal(got, []string{"ada", "mary"}) {
		t.Errorf("the desk has %v", got)
	}
	kept, err := w.Run(t.Context(), run.ID)
	if err != nil || kept.Status != run.Status {
		t.Errorf("the history has %+v, %v", kept, err)
	}
}

// A run that is stopped with its process writes nothing more, says so, and goes on in the next process.
func TestStopAndGoOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.desk.set(7, []string{"ada"}, []string{"ada", "mary"})
	w.desk.entered = make(chan struct{}, 10)
	w.desk.block = func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	r := w.start(nil)
	w.push(7)
	<-w.desk.entered
	soft, cancel := context.WithCancel(t.Context())
	cancel()
	hard, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for range 2 { // it is safe to call twice
		if err := r.Stop(soft, hard); err != nil {
			t.Fatal(err)
		}
	}
	stopped := w.next()
	if stopped.Status != contactsync.StatusFailed || !strings.Contains(stopped.Error.Detail, "stopped before its end") {
		t.Errorf("the stopped run is %+v", stopped)
	}
	if got := w.desk.of(7); !slices.Equal(got, []string{"ada"}) {
		t.Errorf("the desk has %v", got)
	}
	w.desk.block = nil
	w.start(nil)
	if run := w.next(); run.Status != contactsync.StatusSucceeded {
		t.Errorf("the run after it is %+v", run)
	}
}

// Stop lets a run that needs no long time come to its end.
func TestStopWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.desk.set(7, []string{"ada"}, []string{"ada", "mary"})
	goOn := make(chan struct{})
	w.desk.entered = make(chan struct{}, 10)
	w.desk.block = func(context.Context) error { <-goOn; return nil }
	r := w.start(nil)
	w.push(7)
	<-w.desk.entered
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.stop()
	}()
	goOn <- struct{}{}
	<-stopped
	if run := w.next(); run.Status != contactsync.StatusSucceeded {
		t.Errorf("the run is %+v", run)
	}
}

// The schedule's sweep runs every linked project once, at its own time, and restarts neither skip nor repeat it.
func TestSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for project := int64(1); project <= 5; project++ {
		w.desk.set(project, []string{"ada"}, []string{"ada"})
	}
	w.desk.set(3, []string{"ada"}, []string{"ada", "mary"})
	nightly := func(o *worker.Options) { o.Schedule = parse(t, "17 3 * * *") }
	r := w.start(nightly)
	r.beat()
	r.stop()
	w.clock.Advance(24 * time.Hour) // nobody works when the sweep is due
	sweep := func() {
		t.Helper()
		for range 5 {
			if run := w.next(); run.Trigger != contactsync.TriggerSchedule || run.Error != nil {
				t.Errorf("the sweep has %+v", run)
			}
		}
	}
	r = w.start(nightly)
	sweep()
	for over := false; !over; r.beat() {
		open, err := w.OpenSweep(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		over = open.ID == ""
	}
	r.stop()
	r = w.start(nightly)
	r.beat()
	r.stop()
	if len(w.ended) > 0 {
		t.Errorf("a restart repeats the sweep: %+v", <-w.ended)
	}
	if got := w.desk.of(3); !slices.Equal(got, []string{"ada", "mary"}) {
		t.Errorf("the desk has %v", got)
	}
	w.clock.Advance(24 * time.Hour)
	w.start(nightly)
	sweep()
}

// A sweep that would take members from few organizations takes them once all have been looked at; one that would take
// them from many takes nobody, and says why.
func TestSweepRemovals(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		losing int64
		held   bool
	}{"few": {3, false}, "many": {4, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for project := int64(1); project <= 6; project++ {
				w.desk.set(project, []string{"ada", "alan"}, []string{"ada", "alan"})
				if project <= test.losing {
					w.desk.set(project, []string{"ada", "alan"}, []string{"ada"})
				}
			}
			r := w.start(func(o *worker.Options) { o.Schedule = parse(t, "*/5 * * * *") })
			r.beat() // the schedule begins here
			w.clock.Advance(6 * time.Minute)
			r.beat()
			for range 6 {
				run := w.next()
				if project, _ := run.Project.ID(); (run.Status == contactsync.StatusHeld) != (project <= test.losing) {
					t.Errorf("in the sweep, the run of project %s is %s", run.Project, run.Status)
				}
			}
			// A beat takes a job that is just being completed for a dead one: this clock is far ahead of the queue's.
			for left := int64(1); left > 0; {
				overview, err := w.Overview(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				left = overview.SweepLeft
			}
			if test.held {
				for !strings.Contains(w.log.String(), "a scheduled sweep is held") {
					r.beat()
				}
			} else {
				for range test.losing {
					if run := w.next(); run.Status != contactsync.StatusSucceeded || run.Trigger != contactsync.TriggerSchedule {
						t.Errorf("after the sweep, a run is %+v", run)
					}
				}
			}
			r.stop()
			if len(w.ended) > 0 {
				t.Errorf("one run too many: %+v", <-w.ended)
			}
			for project := int64(1); project <= 6; project++ {
				want := []string{"ada", "alan"}
				if project <= test.losing && !test.held {
					want = want[:1]
				}
				if got := w.desk.of(project); !slices.Equal(got, want) {
					t.Errorf("project %d: the desk has %v, want %v", project, got, want)
				}
			}
			overview, err := w.Overview(t.Context())
			if err != nil || (overview.Sweep.State == store.SweepHeld) != test.held {
				t.Errorf("the sweep is %+v, %v", overview.Sweep, err)
			}
		})
	}
}

// Spread gives every project one time within the sweep, in order, and nobody an organization that is in doubt.
func TestSpreadProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		start := time.Unix(1e9, 0)
		over := time.Duration(rapid.Int64Range(0, int64(8*time.Hour)).Draw(t, "over"))
		carriers := map[int64]int{}
		var links []contactsync.LinkedOrganization
		for i, project := range rapid.SliceOf(rapid.Int64Range(1, 20)).Draw(t, "projects") {
			carriers[project]++
			links = append(links, contactsync.LinkedOrganization{Project: project, Organization: organization(int64(i))})
		}
		got := worker.Spread(links, start, over, func() float64 { return rapid.Float64Range(0, 1).Draw(t, "jitter") })
		if len(got) != len(carriers) {
			t.Fatalf("%d projects of %d", len(got), len(carriers))
		}
		for i, p := range got {
			if i > 0 && (p.Project <= got[i-1].Project || p.Due.Before(got[i-1].Due)) {
				t.Fatalf("%+v comes after %+v", p, got[i-1])
			}
			if p.Due.Before(start) || p.Due.After(start.Add(over)) {
				t.Fatalf("%+v is outside of the sweep", p)
			}
			if (p.Organization.ID == "") != (carriers[p.Project] > 1) {
				t.Fatalf("%+v is carried by %d organizations", p, carriers[p.Project])
			}
		}
	})
}

// hooks is a forge whose hooks fare as the test says.
type hooks struct {
	report worker.HookReport
	err    error
	since  time.Time
	after  chan int64
	woken  chan int64
}

func (h *hooks) LookAtHook(_ context.Context, _ int64, since time.Time, after int64) (worker.HookReport, error) {
	h.since = since
	h.after <- after
	return h.report, h.err
}

func (h *hooks) WakeHook(_ context.Context, _, hook int64) error {
	h.woken <- hook
	return nil
}

// Deliveries that never arrived are made good: a failed one by a run, a disabled hook by waking it and a run. What was
// made good once is not made good again.
func TestHooks(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		report worker.HookReport
		err    error
		woken  int
		said   string
	}{
		"well":     {report: worker.HookReport{}},
		"failed":   {report: worker.HookReport{Missed: true, Newest: 12}, said: "deliveries of a hook failed"},
		"disabled": {report: worker.HookReport{Missed: true, Disabled: []int64{5}, Newest: 12}, woken: 1, said: "GitLab has disabled a hook"},
		"missing":  {report: worker.HookReport{Missing: true}, said: "no hook that leads here"},
		"unknown":  {err: errors.New("GitLab does not say"), said: "GitLab does not say"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.desk.set(7, []string{"ada"}, []string{"ada"})
			if err := w.SaveLinks(t.Context(), []contactsync.Link{{Project: 7, Organization: "1007"}}, time.Time{}); err != nil {
				t.Fatal(err)
			}
			h := &hooks{report: test.report, err: test.err, after: make(chan int64, 10), woken: make(chan int64, 10)}
			looksAfter := func(o *worker.Options) { o.Hooks, o.HooksEvery = h, 6*time.Hour }
			r := w.start(looksAfter)
			if after := <-h.after; after != 0 {
				t.Errorf("at first it is looked at what came after %d", after)
			}
			if test.report.Missed {
				if run := w.next(); run.Trigger != contactsync.TriggerHook {
					t.Errorf("the run is %+v", run)
				}
			}
			for seen := false; !seen; r.beat() { // what is seen is remembered by the same chore
				waiting, err := w.HooksToLookAt(t.Context(), w.clock.Now().Add(-time.Hour), 1)
				if err != nil {
					t.Fatal(err)
				}
				seen = len(waiting) == 0
			}
			r.stop()
			if len(h.woken) != test.woken || len(w.ended) > 0 {
				t.Errorf("%d hooks were woken, %d more runs", len(h.woken), len(w.ended))
			}
			if test.said != "" && strings.Count(w.log.String(), test.said) != 1 {
				t.Errorf("the log should say %q once:\n%s", test.said, w.log.String())
			}
			first := w.clock.Now().Truncate(time.Millisecond)
			w.clock.Advance(7 * time.Hour)
			h.report.Missed, h.report.Disabled = false, nil
			w.start(looksAfter)
			if after := <-h.after; after != test.report.Newest {
				t.Errorf("then it is looked at what came after %d, want %d", after, test.report.Newest)
			}
			if told := test.err == nil && !test.report.Missing; told != h.since.Equal(first) {
				t.Errorf("then it is looked at what came since %v; the first look was at %v", h.since, first)
			}
		})
	}
}
