package telemetry

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"contactsync"
)

// How long a check may take, and how long its answer holds. A probe each second then costs a desk two requests a
// minute, and whoever mends something is told so soon.
const (
	checkTimeout = 5 * time.Second
	keepGood     = 30 * time.Second
	keepBad      = 5 * time.Second
)

// Check is something that must work for the service to be ready.
type Check struct {
	Name    string
	Timeout time.Duration // 0: 5 s
	// Probe tries it. It must return when the context ends, and is never called twice at the same time.
	Probe func(ctx context.Context) error
}

// HealthOptions are a Health's parts.
type HealthOptions struct {
	Checks []Check
	Log    *slog.Logger     // told when a check begins to fail, and when it works again; nil: nobody
	Now    func() time.Time // nil: time.Now
}

// Health tells machines whether the service lives, and whether it can do its work. It is safe for use by several
// goroutines.
type Health struct {
	checks   []*check
	stopping atomic.Bool
	stop     context.CancelFunc
	probes   sync.WaitGroup
}

// NewHealth returns a health of which nothing has been checked yet. Close must be called.
func NewHealth(o HealthOptions) *Health {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	h := &Health{}
	ctx, stop := context.WithCancel(context.Background())
	h.stop = stop
	for _, c := range o.Checks {
		if c.Timeout <= 0 {
			c.Timeout = checkTimeout
		}
		h.checks = append(h.checks, &check{Check: c, ctx: ctx, probes: &h.probes, log: o.Log, now: o.Now})
	}
	return h
}

// Stopping makes the service not ready from now on, so that nothing new is sent to it while it comes to its end.
func (h *Health) Stopping() { h.stopping.Store(true) }

// Close ends the probes that are under way, and waits for them. It may be called twice.
func (h *Health) Close() {
	h.Stopping()
	for _, c := range h.checks {
		c.close()
	}
	h.stop()
	h.probes.Wait()
}

// Live is the handler of /healthz: 200 for as long as the process can answer at all.
func (h *Health) Live() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reply(w, r, http.StatusOK, map[string]string{"status": "alive"})
	})
}

// readyDocument is the answer of /readyz.
type readyDocument struct {
	Status string          `json:"status"` // ready, not_ready or stopping
	Checks []checkDocument `json:"checks,omitempty"`
}

type checkDocument struct {
	Name    string         `json:"name"`
	OK      bool           `json:"ok"`
	Checked time.Time      `json:"checked"`
	Error   *errorDocument `json:"error,omitempty"`
}

// errorDocument is a failure without its detail: probes are answered without a password.
type errorDocument struct {
	Class  contactsync.Class `json:"class"`
	Title  string            `json:"title"`
	Remedy string            `json:"remedy"`
}

// Ready is the handler of /readyz: 200 when every check is well, 503 when one is not, or when the service is stopping.
// Checks run side by side; callers at the same time share them, and their answers hold for a while.
func (h *Health) Ready() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.stopping.Load() {
			reply(w, r, http.StatusServiceUnavailable, readyDocument{Status: "stopping"})
			return
		}
		document := readyDocument{Status: "ready"}
		for _, c := range h.checks {
			c.begin()
		}
		for _, c := range h.checks {
			result, ok := c.wait(r.Context())
			if !ok { // nobody waits for the answer any more, or the service has stopped meanwhile
				reply(w, r, http.StatusServiceUnavailable, readyDocument{Status: "stopping"})
				return
			}
			document.Checks = append(document.Checks, result)
			if !result.OK {
				document.Status = "not_ready"
			}
		}
		status := http.StatusOK
		if document.Status != "ready" {
			status = http.StatusServiceUnavailable
		}
		reply(w, r, status, document)
	})
}

// reply answers a probe with a document. Only GET and HEAD ask for one.
func reply(w http.ResponseWriter, r *http.Request, status int, document any) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD are answered here", http.StatusMethodNotAllowed)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(document) // whoever asked is gone, if it fails
}

// check is a Check and what is known of it.
type check struct {
	Check
	ctx    context.Context // ends with the Health
	probes *sync.WaitGroup
	log    *slog.Logger
	now    func() time.Time

	mu      sync.Mutex
	closed  bool          // no probe begins any more
	running bool          // the probe has not returned yet
	settled chan struct{} // closed once the newest probe's result is known; nil before the first
	known   bool
	result  checkDocument
}

// begin sees to it that a result is there, or on its way.
func (c *check) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	keep := keepGood
	if !c.result.OK {
		keep = keepBad
	}
	fresh := c.known && c.now().Sub(c.result.Checked) < keep
	// A probe that hangs in spite of its time-out is not joined by a second one: its result stays.
	if fresh || c.running || c.closed {
		return
	}
	settled := make(chan struct{})
	c.running, c.settled, c.known = true, settled, false
	ctx, cancel := context.WithTimeout(c.ctx, c.Timeout)
	late := context.AfterFunc(ctx, func() { c.settle(settled, ctx.Err()) })
	c.probes.Go(func() {
		defer cancel()
		err := c.Probe(ctx)
		late()
		c.settle(settled, err)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.running = false
	})
}

func (c *check) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

// settle takes a probe's result, once.
func (c *check) settle(settled chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-settled:
		return
	default:
	}
	before := c.result
	c.known, c.result = true, checkDocument{Name: c.Name, OK: err == nil, Checked: c.now().UTC()}
	if contactsync.IsCanceled(err) && contactsync.ClassOf(err) == contactsync.ClassInternal { // nobody knew better
		err = &contactsync.Error{Class: contactsync.ClassInternal, Err: err,
			Remedy: "It did not answer in time. Look whether it is overloaded, or cannot be reached from here."}
	}
	if failure := contactsync.FailureOf(err); failure != nil {
		class, remedy := explain(failure)
		c.result.Error = &errorDocument{Class: class, Title: class.Info().Title, Remedy: remedy}
	}
	close(settled)
	switch {
	case c.closed: // which ends probes, and says nothing
	case !c.result.OK && (before.OK || before.Error == nil || before.Error.Class != c.result.Error.Class):
		c.log.WarnContext(c.ctx, "not ready", "check", c.Name, "class", string(c.result.Error.Class),
			"title", c.result.Error.Title, "remedy", c.result.Error.Remedy)
	case c.result.OK && before.Error != nil:
		c.log.InfoContext(c.ctx, "ready again", "check", c.Name)
	}
}

// wait returns the newest result; false if the context ends before there is one.
func (c *check) wait(ctx context.Context) (checkDocument, bool) {
	c.mu.Lock()
	settled := c.settled
	c.mu.Unlock()
	if settled == nil { // closed before anything was checked
		return checkDocument{}, false
	}
	select {
	case <-settled:
	case <-ctx.Done():
		return checkDocument{}, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.result, true
}
