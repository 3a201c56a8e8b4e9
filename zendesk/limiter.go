package zendesk

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"contactsync"
	"contactsync/zendesk/internal/wire"
)

const (
	// assumedLimit is the smallest limit of the plans on sale; taken until the account's answers tell its own.
	assumedLimit = 200
	// backgroundKeeps is the share of the budget that requests which can wait leave to those that cannot.
	backgroundKeeps = 0.25
	// updateInterval spaces PUT /users/{id}: one a second for the whole account (bucket create-update-user).
	updateInterval = time.Second
	updateUser     = "PUT /users/#"
	updateTicket   = "PUT /tickets/#"
)

// limiter lets requests through at the share of the account's limit that contactsync may use. One limiter serves the
// whole process, because the limit is the account's.
//
// It is a bucket of one minute's worth: a run may burst, and the minute's sum stays within the budget. What the
// account says about itself (its limit, what is left of it, "Retry-After") overrides the bucket's own idea.
type limiter struct {
	now    func() time.Time
	wait   func(context.Context, time.Duration) error
	budget float64
	fixed  bool // the limit is configured, not learnt

	mu       sync.Mutex
	limit    float64 // the account's, a minute
	level    float64 // requests that may be sent now
	at       time.Time
	closed   time.Time            // nothing is sent before
	endpoint map[string]time.Time // nothing of this kind is sent before
}

func newLimiter(perMinute int, budget float64, now func() time.Time, wait func(context.Context, time.Duration) error) *limiter {
	l := &limiter{now: now, wait: wait, budget: budget, fixed: perMinute > 0, limit: float64(perMinute),
		at: now(), endpoint: map[string]time.Time{}}
	if !l.fixed {
		l.limit = assumedLimit
	}
	l.level = l.size()
	return l
}

// size is the bucket's, and the number of requests that flow into it in a minute.
func (l *limiter) size() float64 { return max(1, l.limit*l.budget) }

// budgetNow returns the bucket's size, and what is in it at this moment: nothing while the account tells us to wait.
func (l *limiter) budgetNow() (perMinute, left float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.refill(now)
	if now.Before(l.closed) {
		return l.size(), 0
	}
	return l.size(), max(0, l.level)
}

// take waits until a request of that kind may be sent. patience is what may still be waited, and is reduced by it;
// when it does not suffice, the error is rate_limited with the time to come back.
func (l *limiter) take(ctx context.Context, kind string, patience *time.Duration) error {
	for {
		delay := l.try(kind, contactsync.IsBackground(ctx))
		if delay <= 0 {
			return ctx.Err()
		}
		if delay > *patience {
			at := l.now().Add(delay)
			return &contactsync.Error{
				Class:   contactsync.ClassRateLimited,
				Detail:  "the desk's request limit is reached until " + at.UTC().Format(time.RFC3339),
				RetryAt: at,
			}
		}
		*patience -= delay
		if err := l.wait(ctx, delay); err != nil {
			return err
		}
	}
}

// try takes one request out of the bucket and returns 0, or returns how long to wait before trying again.
func (l *limiter) try(kind string, background bool) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.refill(now)
	need := 1.0
	if background {
		need += backgroundKeeps * l.size()
	}
	delay := max(l.closed.Sub(now), l.endpoint[kind].Sub(now))
	if l.level < need {
		// A whole bucket that is smaller than what the background must leave still lets one through when full.
		missing := min(need, l.size()) - l.level
		delay = max(delay, time.Duration(missing/l.size()*float64(time.Minute)))
	}
	if delay > 0 {
		return max(delay, time.Millisecond)
	}
	l.level--
	if kind == updateUser {
		l.endpoint[kind] = now.Add(updateInterval)
	}
	return 0
}

func (l *limiter) refill(now time.Time) {
	if passed := now.Sub(l.at); passed > 0 {
		l.level = min(l.size(), l.level+passed.Minutes()*l.size())
		l.at = now
	}
}

// learn takes in what an answer says. refusals is how often the request has been answered 429 in a row.
func (l *limiter) learn(kind string, status int, header http.Header, refusals int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	l.refill(now)
	said := wire.ReadLimits(header, now)
	if said.PerMinute > 0 && !l.fixed && float64(said.PerMinute) != l.limit {
		used := l.size() - l.level
		l.limit = float64(said.PerMinute)
		l.level = l.size() - used
	}
	if said.Remaining >= 0 {
		l.level = min(l.level, float64(said.Remaining))
		if said.Remaining == 0 && said.Reset > 0 {
			l.closed = later(l.closed, now.Add(said.Reset))
		}
	}
	if said.Endpoint > 0 {
		l.endpoint[kind] = later(l.endpoint[kind], now.Add(said.Endpoint))
	}
	told := status == http.StatusServiceUnavailable && said.RetryAfter > 0
	if status != http.StatusTooManyRequests && !told {
		return
	}
	pause := said.RetryAfter
	if pause == 0 {
		pause = max(said.Reset, said.Endpoint, time.Second<<min(refusals, 6))
	}
	if said.Endpoint > 0 {
		l.endpoint[kind] = later(l.endpoint[kind], now.Add(pause))
		return
	}
	l.closed = later(l.closed, now.Add(pause))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// kindOf names an endpoint: its method and its path with the numbers taken out.
func kindOf(method, path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if part != "" && strings.Trim(part, "0123456789") == "" {
			parts[i] = "#"
		}
	}
	return method + " " + strings.Join(parts, "/")
}
