package proof_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"contactsync/internal/postgrestest"
)

// stores are the addresses of both kinds.
var stores = map[string]func(testing.TB) string{
	"SQLite":     func(testing.TB) string { return "" },
	"PostgreSQL": postgrestest.New,
}

const rounds = 20

// The process is killed at random moments while hooks come in and runs are under way, and started again. Whatever was
// answered with success is stored and followed by a good run, nobody is created twice, and nobody is removed whom no
// file had left out.
func TestKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	for name, store := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, store(t), 6)
			seed := uint64(time.Now().UnixNano())
			t.Logf("seed %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			began := time.Now()
			for round := range rounds {
				if round%5 == 0 {
					w.killWhileStarting(random)
					continue
				}
				p := w.start("worker")
				load := w.load(random, p)
				w.moment(random, p)
				p.kill()
				load.stop()
			}
			took := time.Since(began)
			p := w.start("worker")
			w.hooks.again(p.address)
			w.settles(p)
			p.stop()
			w.allIsWell()
			t.Logf("%d kills in %s, %d deliveries answered with success, %s runs (%s of them closed for the dead), %d writes to the desk",
				rounds, took.Round(time.Second/10), len(w.hooks.all()), w.count(`SELECT COUNT(*) FROM run`),
				w.count(`SELECT COUNT(*) FROM run WHERE error LIKE '%the process ended before%'`), len(w.ledger.all()))
		})
	}
}

// killWhileStarting kills a process that has hardly begun; the first one makes the store.
func (w *world) killWhileStarting(random *rand.Rand) {
	w.Helper()
	p := w.launch("worker")
	timer := time.NewTimer(time.Duration(random.IntN(300)) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.exited:
		w.Errorf("the process ended by itself:\n%s", p.log())
	}
	p.kill()
}

// moment returns at a random one of those in which a kill could do harm.
func (w *world) moment(random *rand.Rand, p *process) {
	var event <-chan struct{}
	switch random.IntN(3) {
	case 0: // a hook has just been answered
		event = w.hooks.stored.more(1 + random.IntN(150))
	case 1: // the desk has just got something to do
		event = w.ledger.arrived.more(1 + random.IntN(12))
	case 2: // a run has ended
		event = p.runs.more(1 + random.IntN(12))
	}
	limit := time.NewTimer(3 * time.Second) // it need not come
	defer limit.Stop()
	select {
	case <-event:
	case <-limit.C:
	}
	later := time.NewTimer(time.Duration(random.IntN(20_000)) * time.Microsecond)
	defer later.Stop()
	<-later.C
}
