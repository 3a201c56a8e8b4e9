package store_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"contactsync"
	"contactsync/store"
)

const ttl = time.Minute

// waits collects everything that waits, and lets it go on when the test says so.
type waits struct {
	mu      sync.Mutex
	pending []waiting
}

type waiting struct {
	duration time.Duration
	over     chan struct{}
}

func (w *waits) Wait(ctx context.Context, d time.Duration) error {
	mine := waiting{d, make(chan struct{})}
	w.mu.Lock()
	w.pending = append(w.pending, mine)
	w.mu.Unlock()
	select {
	case <-mine.over:
		return nil
	case <-ctx.Done():
		w.take(func(other waiting) bool { return other.over == mine.over })
		return ctx.Err()
	}
}

// take removes and returns the first that fits.
func (w *waits) take(fits func(waiting) bool) (waiting, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.pending, fits)
	if i < 0 {
		return waiting{}, false
	}
	found := w.pending[i]
	w.pending = slices.Delete(w.pending, i, i+1)
	return found, true
}

// fire ends the wait of one that fits, and waits until everybody has come to rest again.
func (w *waits) fire(fits func(waiting) bool) bool {
	found, ok := w.take(fits)
	if ok {
		close(found.over)
		synctest.Wait()
	}
	return ok
}

func isBeat(w waiting) bool { return w.duration == ttl/3 }
func isPoll(w waiting) bool { return w.duration != ttl/3 }

// run is one Hold whose work does what the test tells it.
type run struct {
	project  int64
	entered  int // the how manieth to enter its project; 0: not yet
	commands chan func(context.Context) error
	cancel   context.CancelFunc
	ended    bool
	err      error
}

// race is a number of processes, each with a store of its own, that want the same projects.
type race struct {
	clock   *clock
	waits   *waits
	stores  []*store.Store
	runs    []*run
	entries map[int64]int
}

func newRace(t testing.TB, address string, processes int) *race {
	r := &race{clock: newClock(), waits: &waits{}, entries: map[int64]int{}}
	for range processes {
		s, err := store.Open(t.Context(), address, store.Options{Now: r.clock.Now, Wait: r.waits.Wait, LeaseTTL: ttl})
		if err != nil {
			t.Fatal(err)
		}
		r.stores = append(r.stores, s)
	}
	return r
}

func (r *race) close(t testing.TB) {
	for _, run := range r.runs {
		run.cancel()
		r.finish(run)
	}
	synctest.Wait()
	for _, run := range r.runs {
		if !run.ended {
			t.Error("a run that was told to end did not")
		}
	}
	for _, s := range r.stores {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// start lets a process ask for a project. All goroutines are at rest when it returns.
func (r *race) start(process int, project int64) *run {
	ctx, cancel := context.WithCancel(context.Background())
	started := &run{project: project, commands: make(chan func(context.Context) error), cancel: cancel}
	r.runs = append(r.runs, started)
	go func() {
		started.err = r.stores[process].Hold(ctx, project, func(ctx context.Context) error {
			r.entries[project]++
			started.entered = r.entries[project]
			for command := range started.commands {
				if err := command(ctx); err != nil {
					return err
				}
			}
			return nil
		})
		started.ended = true
	}()
	synctest.Wait()
	return started
}

func (r *run) inside() bool { return r.entered > 0 && !r.ended }

// tell makes the work of a run do something.
func (r *race) tell(run *run, command func(context.Context) error) {
	run.commands <- command
	synctest.Wait()
}

func (r *race) checkFence(run *run) (err error) {
	r.tell(run, func(ctx context.Context) error {
		err = contactsync.CheckFence(ctx)
		return nil
	})
	return err
}

func (r *race) finish(run *run) {
	if run.commands != nil {
		close(run.commands)
		run.commands = nil
	}
	synctest.Wait()
}

// inBubble gives the test a race in which waiting takes no time.
func inBubble(t *testing.T, processes int, test func(t *testing.T, r *race)) {
	t.Parallel()
	address := newAddress(t)
	synctest.Test(t, func(t *testing.T) {
		r := newRace(t, address, processes)
		defer r.close(t)
		test(t, r)
	})
}

// Two processes never hold one project at once; the second goes on when the first has ended.
func TestHoldExcludes(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, r *race) {
		first, second, other := r.start(0, 5), r.start(1, 5), r.start(1, 6)
		if !first.inside() || second.inside() || !other.inside() {
			t.Fatal("want the first inside, the second waiting, and another project's undisturbed")
		}
		if err := r.checkFence(first); err != nil {
			t.Errorf("the holder's fence: %v", err)
		}
		r.waits.fire(isPoll)
		if second.inside() {
			t.Fatal("the second came in beside the first")
		}
		r.finish(first)
		r.waits.fire(isPoll)
		if !second.inside() {
			t.Fatal("the second did not come in after the first had ended")
		}
		if first.err != nil {
			t.Errorf("the first: %v", first.err)
		}
	})
}

// A run of the same process waits, too.
func TestHoldExcludesWithinOneProcess(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, r *race) {
		first, second := r.start(0, 5), r.start(0, 5)
		if !first.inside() || second.inside() {
			t.Fatal("want the first inside and the second waiting")
		}
	})
}

// A run that was frozen and taken over writes nothing more, is cancelled when it wakes, and says why.
func TestTakenOver(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, r *race) {
		frozen := r.start(0, 5)
		r.clock.Advance(ttl)
		next := r.start(1, 5)
		if !next.inside() {
			t.Fatal("the lease of a frozen run was not taken over")
		}
		// The frozen one's clock may even be set back: the database knows better.
		r.clock.Advance(-ttl / 2)
		if err := r.checkFence(frozen); !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("the frozen run's fence: %v", err)
		}
		if err := r.checkFence(next); err != nil {
			t.Errorf("the next run's fence: %v", err)
		}
		r.waits.fire(isBeat) // the frozen one's heart, which began to wait first
		r.tell(frozen, func(ctx context.Context) error { return ctx.Err() })
		failure := contactsync.FailureOf(frozen.err)
		if !errors.Is(frozen.err, store.ErrLeaseLost) || failure.Class != contactsync.ClassInternal ||
			failure.Retry != contactsync.RetrySoon || failure.Who != contactsync.WhoNobody {
			t.Errorf("the frozen run: %v, %+v", frozen.err, failure)
		}
	})
}

// A lease whose time has passed lets nothing through, even when nobody has taken it.
func TestExpired(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, r *race) {
		late := r.start(0, 5)
		r.clock.Advance(ttl)
		if err := r.checkFence(late); !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("got %v", err)
		}
		r.clock.Advance(-ttl)
		if err := r.checkFence(late); !errors.Is(err, store.ErrLeaseLost) {
			t.Errorf("a lost lease came back: %v", err)
		}
	})
}

// Both the heartbeat and the fence keep a lease alive for as long as the run takes.
func TestRenewed(t *testing.T) {
	for name, renew := range map[string]func(r *race, held *run) error{
		"by the heartbeat": func(r *race, _ *run) error { r.waits.fire(isBeat); return nil },
		"by the fence":     func(r *race, held *run) error { return r.checkFence(held) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, 2, func(t *testing.T, r *race) {
				held := r.start(0, 5)
				waiting := r.start(1, 5)
				for range 10 {
					r.clock.Advance(ttl / 3)
					if err := renew(r, held); err != nil {
						t.Fatal(err)
					}
					r.waits.fire(isPoll)
					if waiting.inside() {
						t.Fatal("a living run was taken over")
					}
				}
				if err := r.checkFence(held); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// Work's error and panic come out as they are, and the project is free at once.
func TestHoldEndsClean(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		s := mustOpen(t, address, store.Options{Wait: noWait(t)})
		mistake := errors.New("a mistake")
		if err := s.Hold(t.Context(), 5, func(context.Context) error { return mistake }); !errors.Is(err, mistake) {
			t.Errorf("got %v", err)
		}
		func() {
			defer func() {
				if got := recover(); got != "boom" {
					t.Errorf("got %v", got)
				}
			}()
			_ = s.Hold(t.Context(), 5, func(context.Context) error { panic("boom") })
		}()
		// noWait would wait for ever for a project that is still taken.
		if err := s.Hold(t.Context(), 5, func(context.Context) error { return nil }); err != nil {
			t.Error(err)
		}
	})
}

// A caller that gives up keeps the project until its work has come to an end, but its fence is shut.
func TestGivingUpWithinHold(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, r *race) {
		stopping := r.start(0, 5)
		stopping.cancel()
		synctest.Wait()
		if err := r.checkFence(stopping); !errors.Is(err, context.Canceled) {
			t.Errorf("its fence: %v", err)
		}
		r.clock.Advance(ttl / 2)
		r.waits.fire(isBeat)
		r.clock.Advance(ttl / 2)
		if next := r.start(1, 5); next.inside() {
			t.Error("it was taken over while it was ending")
		}
	})
}

// A caller that gives up while waiting hears what it waited for.
func TestGivingUpWhileWaiting(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, r *race) {
		r.start(0, 5)
		waiting := r.start(1, 5)
		waiting.cancel()
		synctest.Wait()
		if !waiting.ended || !contactsync.IsCanceled(waiting.err) ||
			waiting.err.Error() != "waiting for the run of project 5 that is under way: context canceled" {
			t.Errorf("got %v", waiting.err)
		}
	})
}

// However processes ask, freeze, wake, renew and end: at no moment may two of them write for one project, and
// nobody may write once a later one was let in.
func TestHoldProperty(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		project := int64(0)
		var seen tally
		rapid.Check(t, func(rt *rapid.T) {
			project++ // of its own for each example, so that the file need not be made anew
			var thrown any
			synctest.Test(t, func(t *testing.T) {
				defer func() { thrown = recover() }() // rapid fails by panicking, and wants to see it on its own goroutine
				r := newRace(t, address, 3)
				defer r.close(t)
				rt.Repeat(actions(r, project, &seen))
			})
			if thrown != nil {
				panic(thrown)
			}
		})
		t.Logf("%+v", seen)
		if seen.passes == 0 || seen.refusals == 0 || seen.takeovers == 0 {
			t.Error("the examples did not get anywhere")
		}
	})
}

// tally tells whether the examples were worth looking at.
type tally struct{ passes, refusals, takeovers int }

func actions(r *race, project int64, seen *tally) map[string]func(*rapid.T) {
	inside := func() (found []*run) {
		for _, run := range r.runs {
			if run.inside() {
				found = append(found, run)
			}
		}
		return found
	}
	mayWrite := func(t *rapid.T, run *run) bool {
		err := r.checkFence(run)
		switch {
		case err == nil && run.entered < r.entries[project]:
			t.Fatalf("run %d may write after run %d was let in", run.entered, r.entries[project])
		case err == nil:
			seen.passes++
		case errors.Is(err, store.ErrLeaseLost):
			seen.refusals++
		default:
			t.Fatalf("run %d: %v", run.entered, err)
		}
		return err == nil
	}
	onOne := func(action func(*rapid.T, *run)) func(*rapid.T) {
		return func(t *rapid.T) {
			runs := inside()
			if len(runs) == 0 {
				t.Skip("nobody is inside")
			}
			action(t, rapid.SampledFrom(runs).Draw(t, "run"))
		}
	}
	return map[string]func(*rapid.T){
		"start": func(t *rapid.T) {
			if len(r.runs) >= 8 {
				t.Skip("enough")
			}
			before := len(inside())
			r.start(rapid.IntRange(0, len(r.stores)-1).Draw(t, "process"), project)
			if before > 0 && len(inside()) > before {
				seen.takeovers++
			}
		},
		"time passes": func(t *rapid.T) {
			r.clock.Advance(time.Duration(rapid.IntRange(0, 12).Draw(t, "eighths")) * ttl / 8)
		},
		"poll": func(*rapid.T) { r.waits.fire(isPoll) },
		"beat": func(t *rapid.T) {
			// Any heart may be the next to beat: processes freeze.
			skip := rapid.IntRange(0, 3).Draw(t, "skip")
			r.waits.fire(func(w waiting) bool {
				if isBeat(w) {
					skip--
				}
				return isBeat(w) && skip < 0
			})
		},
		"ask one": onOne(func(t *rapid.T, run *run) { mayWrite(t, run) }),
		"ask all": func(t *rapid.T) {
			through := 0
			for _, run := range inside() {
				if mayWrite(t, run) {
					through++
				}
			}
			if through > 1 {
				t.Fatalf("%d runs may write at once", through)
			}
		},
		"end": onOne(func(_ *rapid.T, run *run) { r.finish(run) }),
	}
}
