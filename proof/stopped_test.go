package proof_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// A process is told to end while hooks come in and runs are under way, again and again. It ends in its time and well,
// no hook that it answered with success is lost, and a run that could not come to its end says so and is done by the
// next process at once.
func TestToldToEnd(t *testing.T) {
	t.Parallel()
	for name, store := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, store(t), 4)
			random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
			var longest time.Duration
			for range 4 {
				p := w.start("worker")
				load := w.load(random, p)
				w.moment(random, p)
				longest = max(longest, p.stop())
				load.stop()
			}
			// The desk does not answer one run until the process is gone. Nothing but the run itself asks for the next one.
			p := w.start("worker")
			w.hooks.again(p.address)
			w.settles(p)
			x := w.projects[0]
			x.commit()
			trap := w.ledger.hold(func(done write) bool { return len(done.joined) > 0 })
			w.hooks.send(p.address, hookFor(x.id))
			caught := trap.caught(w)
			took := p.stop()
			if took < grace/2 {
				t.Errorf("the process ended after %s, and did not wait for its run", took)
			}
			stopped := p.all(func(l line) bool { return l.ended(caught.project) && l.text("status") == "failed" })
			if len(stopped) != 1 {
				t.Fatalf("the run that could not come to its end said: %v\n%s", stopped, p.log())
			}
			db := w.database()
			defer db.Close()
			if rows := w.ask(db, `SELECT status, error FROM run WHERE id = $1`, stopped[0].text("run")); len(rows) != 1 ||
				rows[0][0] != "failed" || !strings.Contains(rows[0][1], "the run was stopped before its end") {
				t.Errorf("the history says of the run that was stopped: %v", rows)
			}
			if rows := w.ask(db, `SELECT project FROM project WHERE project = $1 AND wanted > done`, caught.project); len(rows) != 1 {
				t.Error("the run that was stopped is not owed, and would wait for its next try")
			}

			p = w.start("worker")
			began := time.Now()
			if again, ok := p.await(0, func(l line) bool { return l.ended(caught.project) }); !ok || again.text("status") != "succeeded" {
				t.Errorf("the next process does not do it: %v\n%s", again, p.log())
			}
			again := time.Since(began)
			w.settles(p)
			w.allIsWell()
			p.stop()
			t.Logf("ended within %s, and within %s with a run that did not end, which was done %s after the next start; %d deliveries",
				longest.Round(time.Millisecond), took.Round(time.Millisecond), again.Round(time.Millisecond), len(w.hooks.all()))
		})
	}
}
