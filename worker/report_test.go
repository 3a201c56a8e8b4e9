package worker_test

import (
	"context"
	"slices"
	gosync "sync"
	"testing"
	"time"

	"contactsync"
	"contactsync/worker"
)

// teller tells nobody: it notes what it was asked to tell, and may hang.
type teller struct {
	asked chan [2]int64 // project and merge request
	hangs bool
}

func (f *teller) Tell(ctx context.Context, project int64) error { return f.Review(ctx, project, 0) }

func (f *teller) Review(ctx context.Context, project, request int64) error {
	f.asked <- [2]int64{project, request}
	if f.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// However many tellings hang, projects are run, the same and others, and the process stops. What was not told is told by
// the next process, and nobody is told meanwhile that it had failed.
func TestTellingHangs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Store = w.open("some way")
	forge := &teller{asked: make(chan [2]int64, 100), hangs: true}
	var mu gosync.Mutex
	var failed []error
	telling := func(o *worker.Options) {
		o.Teller = forge
		o.Reported = func(_ context.Context, _, _ int64, err error, _ contactsync.Requests) {
			mu.Lock()
			defer mu.Unlock()
			failed = append(failed, err)
		}
	}
	const projects = 5 // more than there are tellings at once
	r := w.start(telling)
	for range 2 {
		for project := range int64(projects) {
			w.desk.set(project+1, []string{"ada"}, []string{"ada"})
			w.push(project + 1)
		}
		for range projects {
			if run := w.next(); run.Status != contactsync.StatusUnchanged {
				t.Errorf("a run is %+v", run)
			}
		}
	}
	for range 4 {
		w.asked(forge)
	}
	stopping, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := r.Stop(stopping, stopping); err != nil {
		t.Errorf("telling keeps the process from stopping: %v", err)
	}
	if stopping.Err() != nil || len(failed) > 0 {
		t.Errorf("it was told that telling failed: %v", failed)
	}

	forge.hangs = false
	for len(forge.asked) > 0 {
		<-forge.asked
	}
	w.clock.Advance(time.Minute)
	r = w.start(telling)
	r.beat()
	var told []int64
	for range projects {
		told = append(told, w.asked(forge)[0])
	}
	if slices.Sort(told); !slices.Equal(told, []int64{1, 2, 3, 4, 5}) {
		t.Errorf("told were %v", told)
	}
	r.stop()
	if len(w.ended) > 0 || len(forge.asked) > 0 {
		t.Errorf("%d runs and %d tellings too many", len(w.ended), len(forge.asked))
	}
}

// asked returns what somebody is told next.
func (w *world) asked(f *teller) [2]int64 {
	w.t.Helper()
	select {
	case asked := <-f.asked:
		return asked
	case <-time.After(30 * time.Second):
		w.t.Fatalf("nobody is told; the log says\n%s", w.log.String())
		return [2]int64{}
	}
}
