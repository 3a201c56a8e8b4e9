package proof_test

import (
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"contactsync/internal/postgrestest"
)

// The PostgreSQL of the store goes away under a running process, and comes back. Meanwhile hooks are refused in a way
// that lets them come again, the process says that it is not ready, and a run under way writes nothing once its lease
// is over. Afterwards everything goes on by itself.
func TestPostgreSQLUnreachable(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct{ begin, end func(*wire) }{
		"connections are refused": {(*wire).cut, (*wire).mend},
		"nothing moves":           {(*wire).stop, (*wire).move},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := postgrestest.New(t)
			w := newWorld(t, address, 4)
			wire, through := newWire(t, address, nil)
			p := w.start("worker", "CONTACTSYNC_STORE="+through)
			load := w.load(rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0)), p)
			w.waitFor("hooks to be stored", w.hooks.stored.more(60))
			trap := w.ledger.hold(func(done write) bool { return len(done.joined) > 0 })
			caught := trap.caught(w)
			load.stop()

			fault.begin(wire)
			before, mark := len(w.ledger.all()), p.mark()
			lost := time.After(leaseTime)
			w.refused(p, 6)
			<-lost // nobody else says so
			trap.open()
			if status, body := p.get(newClient(t), "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, `"store","ok":false`) {
				t.Errorf("/readyz: %d %s", status, body)
			}
			fault.end(wire)
			ended, ok := p.await(mark, func(l line) bool { return l.ended(caught.project) })
			if !ok || ended.text("status") != "failed" {
				t.Errorf("the run that lost its lease ended so: %v\n%s", ended, p.log())
			}
			for _, late := range w.ledger.all()[before:] {
				if late.project == caught.project && late.at.Before(ended.at()) {
					t.Errorf("the run wrote without a lease: %v", late)
				}
			}
			w.recovers(p)
			w.allIsWell()
			p.stop()
		})
	}
}

// The other end of all connections vanishes without a word, as when a database moves to another machine. What waits
// for an answer gives up in time, new connections take over, and nothing hangs for ever.
func TestPostgreSQLVanishes(t *testing.T) {
	t.Parallel()
	address := postgrestest.New(t)
	w := newWorld(t, address, 4)
	wire, through := newWire(t, address, nil)
	p := w.start("worker", "CONTACTSYNC_STORE="+through)
	load := w.load(rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0)), p)
	w.waitFor("hooks to be stored", w.hooks.stored.more(60))
	wire.strand()
	began := time.Now()
	w.waitFor("hooks to be stored", w.hooks.stored.more(60))
	load.stop()
	w.recovers(p)
	t.Logf("all is done %s later; refused meanwhile: %v", time.Since(began).Round(time.Millisecond), w.hooks.refused)
	w.allIsWell()
	p.kill() // it would take leave of every dead connection for a quarter of a minute
}

// refused checks that hooks are refused while the store cannot be written.
func (w *world) refused(p *process, count int) {
	w.Helper()
	var group sync.WaitGroup
	for i := range count {
		group.Go(func() {
			if status, _ := w.hooks.send(p.address, hookFor(w.projects[i%len(w.projects)].id)); status != http.StatusServiceUnavailable {
				w.Errorf("a hook that cannot be stored is answered %d", status)
			}
		})
	}
	group.Wait()
	w.hooks.onlyUnavailable(w)
}

// recovers checks that the same process does everything again, once it can.
func (w *world) recovers(p *process) {
	w.Helper()
	w.becomesReady(p)
	for _, project := range w.projects {
		project.commit()
		if status, _ := w.hooks.send(p.address, hookFor(project.id)); status != http.StatusAccepted {
			w.Errorf("a hook is answered %d after all is well again", status)
		}
	}
	w.settles(p)
}

// becomesReady waits until /readyz says so. It remembers a bad answer for five seconds.
func (w *world) becomesReady(p *process) {
	w.Helper()
	client := newClient(w)
	limit := time.NewTimer(patience)
	defer limit.Stop()
	ticker := time.NewTicker(200 * time.Millisecond)
	defer ticker.Stop()
	began := time.Now()
	for {
		status, body := p.get(client, "/readyz")
		if status == http.StatusOK {
			w.Logf("ready again after %s", time.Since(began).Round(time.Millisecond))
			return
		}
		select {
		case <-ticker.C:
		case <-limit.C:
			w.Fatalf("%s does not become ready again: %d %s\n%s", p.name, status, body, p.log())
		}
	}
}
