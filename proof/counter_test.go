package proof_test

import (
	"slices"
	"sync"
)

// counter counts what happens, and lets others wait for it to have happened so often. The zero counter is ready.
type counter struct {
	mu      sync.Mutex
	n       int
	waiting []waiter
}

type waiter struct {
	at      int
	reached chan struct{}
}

func (c *counter) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	c.waiting = slices.DeleteFunc(c.waiting, func(w waiter) bool {
		if w.at > c.n {
			return false
		}
		close(w.reached)
		return true
	})
}

// more returns what is closed once it has happened so many times more.
func (c *counter) more(times int) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := waiter{c.n + times, make(chan struct{})}
	c.waiting = append(c.waiting, w)
	return w.reached
}
