package proof_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"contactsync/internal/postgrestest"
)

// Three processes share the work; one is killed while it writes. The others take over what it had, and no two runs of
// one project ever write in turns.
func TestOneOfThreeIsKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, postgrestest.New(t), 6)
	a, b, c := w.start("a"), w.start("b"), w.start("c")
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	load := w.load(random, a, b, c)
	w.waitFor("hooks to be stored", w.hooks.stored.more(100))
	trap := w.ledger.hold(func(done write) bool { return done.by == "a" })
	caught := trap.caught(w)
	a.kill()
	died := time.Now()
	load.stop()
	load = w.load(random, b, c)
	if _, ok := w.takenOver(caught.project, b, c); !ok {
		t.Errorf("nobody took project %d over", caught.project)
	}
	t.Logf("project %d was taken over within %s", caught.project, time.Since(died).Round(time.Millisecond))
	load.stop()
	w.hooks.again(b.address)
	w.settles(b, c)
	w.allIsWell()
	w.nobodyOverlaps(a, b, c)
	for _, p := range []*process{b, c} {
		p.stop()
	}
}

// takenOver waits until one of the processes ends a run of the project.
func (w *world) takenOver(project int64, processes ...*process) (by *process, ok bool) {
	w.Helper()
	ended := make(chan *process, len(processes))
	for _, p := range processes {
		mark := p.mark()
		go func() {
			if _, ok := p.await(mark, func(l line) bool { return l.ended(project) }); ok {
				ended <- p
			}
		}()
	}
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case p := <-ended:
		return p, true
	case <-limit.C:
		return nil, false
	}
}

// A process is frozen in the middle of a run, and wakes up when its lease has run out and another one has done the
// run. It sends no further write, says that it lost the lease, and works on.
func TestFrozenInTheMiddleOfARun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, postgrestest.New(t), 3)
	a, b := w.start("a"), w.start("b")
	for _, p := range w.projects {
		w.hooks.send(a.address, hookFor(p.id))
	}
	w.settles(a, b)

	// The second version adds two people and removes two. The answer to the first addition waits.
	x := w.projects[0]
	removable := x.wanted()
	x.commit()
	trap := w.ledger.hold(func(done write) bool { return done.project == x.id })
	w.hooks.send(a.address, hookFor(x.id))
	frozen, other := a, b
	if caught := trap.caught(w); caught.by == b.name {
		frozen, other = b, a
	}
	frozen.freeze()
	began := time.Now()
	mark := other.mark()
	if l, ok := other.await(mark, func(l line) bool { return l.ended(x.id) }); !ok || l.text("status") != "succeeded" {
		t.Fatalf("%s did not take over: %v\n%s", other.name, l, other.log())
	}
	t.Logf("taken over after %s", time.Since(began).Round(time.Millisecond))
	// Now the file lists again whom the frozen process is about to remove.
	mark = other.mark()
	x.mu.Lock()
	x.write(slices.Compact(slices.Sorted(slices.Values(slices.Concat(removable, x.now)))))
	x.mu.Unlock()
	w.hooks.send(other.address, hookFor(x.id))
	if l, ok := other.await(mark, func(l line) bool { return l.ended(x.id) && l.text("status") == "succeeded" }); !ok {
		t.Fatalf("%s does not go on: %v\n%s", other.name, l, other.log())
	}

	before := len(w.ledger.all())
	trap.open()
	frozen.thaw()
	l, ok := frozen.await(0, func(l line) bool { return l.ended(x.id) && l.text("status") == "failed" })
	if !ok {
		t.Fatalf("the frozen process does not say that its run failed:\n%s", frozen.log())
	}
	for _, late := range w.ledger.all()[before:] {
		if late.by == frozen.name {
			t.Errorf("the frozen process wrote after it woke up: %v", late)
		}
	}
	db := w.database()
	defer db.Close()
	if rows := w.ask(db, `SELECT status, error FROM run WHERE id = $1`, l.text("run")); len(rows) != 1 ||
		rows[0][0] != "failed" || !strings.Contains(rows[0][1], fmt.Sprintf("the lease of project %d was lost", x.id)) {
		t.Errorf("the history says of the frozen run: %v", rows)
	}
	// It works on, together with the other one.
	load := w.load(rand.New(rand.NewPCG(1, 1)), a, b)
	for _, p := range []*process{a, b} {
		w.waitFor("runs of "+p.name, p.runs.more(3))
	}
	load.stop()
	w.settles(a, b)
	w.allIsWell()
	w.nobodyOverlaps(a, b)
	a.stop()
	b.stop()
}

// A process is frozen while it stores a hook, in the middle of a transaction, with the project's row locked. Hooks of
// the project that come to others are stored all the same, as soon as the database has given up on the frozen one.
func TestFrozenInATransaction(t *testing.T) {
	t.Parallel()
	address := postgrestest.New(t)
	w := newWorld(t, address, 2)
	var frozen *process
	var once sync.Once
	armed, caught := make(chan struct{}), make(chan struct{})
	_, through := newWire(t, address, func(sent []byte) {
		select {
		case <-armed:
		default:
			return
		}
		// That is the last statement of the transaction; the project's row was written before.
		if bytes.Contains(sent, []byte("INSERT INTO delivery")) {
			once.Do(func() {
				frozen.freeze()
				close(caught)
			})
		}
	})
	frozen = w.start("frozen", "CONTACTSYNC_STORE="+through)
	other := w.start("other")
	close(armed)
	x := w.projects[0]
	var waiting sync.WaitGroup
	waiting.Go(func() { w.hooks.send(frozen.address, hookFor(x.id)) })
	w.waitFor("a hook to be stored", caught)
	began := time.Now()
	x.commit()
	for status := 0; status != 202; {
		if status, _ = w.hooks.send(other.address, hookFor(x.id)); time.Since(began) > patience {
			t.Fatalf("no hook of the project is stored any more: %d\n%s", status, other.log())
		}
	}
	stored := time.Since(began)
	frozen.thaw()
	waiting.Wait() // before what all senders have counted is read
	t.Logf("the first hook was stored after %s; refused: %v", stored.Round(time.Millisecond), w.hooks.refused)
	w.hooks.again(frozen.address)
	w.settles(frozen, other)
	w.hooks.send(frozen.address, hookFor(w.projects[1].id))
	w.settles(frozen, other)
	w.allIsWell()
	w.nobodyOverlaps(frozen, other)
	frozen.stop()
	other.stop()
}

// span is the time from the first write of a run to its last one.
type span struct {
	first, last write
}

// nobodyOverlaps checks that between the first and the last write of a run nobody else wrote for its project. A run's
// writes are those of its process up to the line that says that it ended.
func (w *world) nobodyOverlaps(processes ...*process) {
	w.Helper()
	writes := w.ledger.all()
	spans := 0
	for _, project := range w.projects {
		var all []span
		for _, p := range processes {
			var ends []time.Time
			for _, l := range p.all(func(l line) bool { return l.ended(project.id) }) {
				ends = append(ends, l.at())
			}
			run := -1
			for _, done := range writes {
				if done.by != p.name || done.project != project.id {
					continue
				}
				// The first end after the write is that of its run; a dead process's last run has none.
				at, _ := slices.BinarySearchFunc(ends, done.at, time.Time.Compare)
				if at != run {
					all = append(all, span{first: done})
					run = at
				}
				all[len(all)-1].last = done
			}
		}
		spans += len(all)
		slices.SortFunc(all, func(a, b span) int { return cmp.Or(a.first.at.Compare(b.first.at), a.last.at.Compare(b.last.at)) })
		for i := 1; i < len(all); i++ {
			if all[i].first.at.Before(all[i-1].last.at) {
				w.Errorf("two runs wrote in turns:\n%v\n%v\n%v\n%v", all[i-1].first, all[i-1].last, all[i].first, all[i].last)
			}
		}
	}
	w.Logf("%d runs wrote, %d writes in all", spans, len(writes))
}
