package zendesk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"contactsync"
	"contactsync/zendesk/internal/wire"
)

const (
	apiPath = "/api/v2"
	// maxBody bounds one answer. The largest honest ones, a thousand organizations, are under 3 MB.
	maxBody = 16 << 20
	// attempts is how often a read is tried before its failure is believed.
	attempts = 3
	// refusals is how often one request may be answered 429; the patience usually ends before.
	refusals = 8
	// retryPause is the first wait after a failed attempt; it doubles.
	retryPause = 500 * time.Millisecond
)

// failure is a request that did not come to a good end.
type failure struct {
	Method string
	Path   string // without its query
	Status int    // 0: no answer
	Code   string // the desk's name of the error
	Reason string // one sentence, for people
	// Duplicate: refused because the address is in use.
	Duplicate bool
	// Sent says that the request may have reached the desk.
	Sent bool
	Err  error
}

func (f *failure) Error() string {
	if f.Status == 0 {
		return fmt.Sprintf("%s %s: %s", f.Method, f.Path, f.Reason)
	}
	return fmt.Sprintf("%s %s answered %d: %s", f.Method, f.Path, f.Status, f.Reason)
}

func (f *failure) Unwrap() error { return f.Err }

// ambiguous says that the desk may or may not have done what was asked: the answer is missing, is the desk's own
// failure, or cannot be read although it reports success.
func (f *failure) ambiguous() bool {
	switch {
	case !f.Sent:
		return false
	case f.Status == 0, f.Status >= 500, f.Status == http.StatusRequestTimeout:
		return true
	}
	return f.Status/100 == 2
}

// isAmbiguous says the same of any error of this package.
func isAmbiguous(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.ambiguous()
}

// unsentError is why a request was held back: the limit, the credentials, the fence, or the caller's giving up.
type unsentError struct{ err error }

func (e unsentError) Error() string { return e.err.Error() }
func (e unsentError) Unwrap() error { return e.err }

// nothingDone says that the request behind an error changed nothing for certain, and that this had nothing to do with
// what it was about: it was never sent, or turned away at the door.
func nothingDone(err error) bool {
	var held unsentError
	var f *failure
	switch {
	case errors.As(err, &held):
		return true
	case errors.As(err, &f):
		return !f.Sent || f.Status == http.StatusUnauthorized || f.Status == http.StatusForbidden || f.Status == http.StatusTooManyRequests
	}
	return false
}

// transport sends requests: within the limit, signed, counted, fenced, and again where that is safe. It reads each
// body whole, so that a cut one is noticed here and not taken for a short list.
type transport struct {
	base    http.RoundTripper
	sign    func(context.Context) (authorization string, err error)
	forget  func(ctx context.Context, authorization string) bool // after a 401; true when signing again may help
	limit   *limiter
	wait    func(context.Context, time.Duration) error
	maxWait time.Duration
	timeout time.Duration // of one attempt
	agent   string
}

// mode is what may be done with a request.
type mode struct {
	read bool // nothing changes: it may be sent again
	open bool // it carries its own credentials: not signed, not fenced
	// stamped: it names the state that it changes, so a conflict is for the caller to look at.
	stamped bool
}

// RoundTrip makes transport an http.RoundTripper for the client library. An error that is a *failure comes from the
// request itself; any other means that the request was not sent.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	path := strings.TrimPrefix(req.URL.Path, apiPath)
	return t.send(req, mode{read: req.Method == http.MethodGet, stamped: kindOf(req.Method, path) == updateTicket})
}

func (t *transport) send(req *http.Request, m mode) (*http.Response, error) {
	path := strings.TrimPrefix(req.URL.Path, apiPath)
	kind := kindOf(req.Method, path)
	tried := progress{patience: t.maxWait, pause: retryPause}
	for {
		authorization, err := t.admit(req.Context(), kind, m, &tried.patience)
		if err != nil {
			return nil, unsentError{err}
		}
		resp, body, failed := t.exchange(req, path, authorization)
		if resp != nil && resp.StatusCode == http.StatusTooManyRequests && wire.JobsFull(body) {
			return answered(req, resp, body), nil // whoever starts jobs follows them meanwhile
		}
		if resp != nil {
			t.limit.learn(kind, resp.StatusCode, resp.Header, tried.refused)
		}
		again, pause := tried.next(m, resp, body, failed)
		if again && pause == renewal {
			again, pause = t.forget(req.Context(), authorization), 0
		}
		if again && req.Context().Err() == nil {
			if pause > 0 {
				if err := t.wait(req.Context(), pause); err != nil {
					return nil, unsentError{err}
				}
			}
			continue
		}
		if failed != nil {
			return nil, failed
		}
		return answered(req, resp, body), nil
	}
}

// answered is an answer with the body that was read of it.
func answered(req *http.Request, resp *http.Response, body []byte) *http.Response {
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.Request = req
	return resp
}

// admit waits for the limit, signs, and asks the fence last, so that nothing comes between its word and the write.
func (t *transport) admit(ctx context.Context, kind string, m mode, patience *time.Duration) (authorization string, err error) {
	if err := t.limit.take(ctx, kind, patience); err != nil || m.open {
		return "", err
	}
	if authorization, err = t.sign(ctx); err != nil {
		return "", err
	}
	if !m.read {
		if err := contactsync.CheckFence(ctx); err != nil {
			return "", fmt.Errorf("may not write any more: %w", err)
		}
	}
	return authorization, nil
}

// progress is what has become of a request so far.
type progress struct {
	failed   int // attempts that failed in a way that a read survives
	unsent   int // attempts that never left
	refused  int // answers 429
	clashed  bool
	renewed  bool
	pause    time.Duration
	patience time.Duration // what may still be waited for the limit
}

// renewal, as a pause, asks for a fresh token instead.
const renewal time.Duration = -1

// next decides whether to send the request again, and after which pause. It is asked once per attempt.
func (p *progress) next(m mode, resp *http.Response, body []byte, failed *failure) (again bool, pause time.Duration) {
	switch {
	case failed != nil && !failed.Sent:
		p.unsent++ // refused connections and unknown hosts: nothing was done, so writes too may try again
		again = p.unsent < attempts
	case failed != nil, resp.StatusCode >= 500, resp.StatusCode == http.StatusRequestTimeout:
		p.failed++
		again = m.read && p.failed < attempts
	case resp.StatusCode == http.StatusTooManyRequests:
		p.refused++
		return p.refused < refusals, 0 // the limiter knows how long
	case resp.StatusCode == http.StatusUnauthorized && !m.open && !p.renewed:
		p.renewed = true
		return true, renewal
	case resp.StatusCode == http.StatusConflict && !m.read && !m.stamped && !p.clashed:
		// Another write got in between. Nothing that we send depends on what it replaces: addresses and memberships
		// are unique, renames and deletions are the same twice. So once more is safe.
		p.clashed, again = true, true
	case resp.StatusCode/100 == 2 && m.read && !json.Valid(body):
		p.failed++
		again = p.failed < attempts
	}
	if !again {
		return false, 0
	}
	pause = p.pause
	p.pause *= 2
	return true, pause
}

// exchange sends the request once and reads the whole answer.
func (t *transport) exchange(req *http.Request, path, authorization string) (*http.Response, []byte, *failure) {
	ctx, cancel := context.WithTimeout(req.Context(), t.timeout)
	defer cancel()
	out := req.Clone(ctx) // a RoundTripper must leave the request alone
	if req.GetBody != nil {
		body, err := req.GetBody()
		if err != nil {
			return nil, nil, &failure{Method: req.Method, Path: path, Reason: "its body cannot be copied", Err: err}
		}
		out.Body = body
	}
	out.Header.Set("User-Agent", t.agent)
	out.Header.Set("Accept", "application/json")
	if authorization != "" {
		out.Header.Set("Authorization", authorization)
	}
	contactsync.CountRequest(ctx, contactsync.SystemDesk)
	resp, err := t.base.RoundTrip(out)
	if err != nil {
		return nil, nil, t.broken(req, path, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, nil, t.broken(req, path, err)
	}
	if len(body) > maxBody {
		return nil, nil, &failure{Method: req.Method, Path: path, Status: resp.StatusCode, Sent: true,
			Reason: fmt.Sprintf("the answer is larger than %d MB", maxBody>>20)}
	}
	return resp, body, nil
}

// broken describes an attempt that brought no whole answer.
func (t *transport) broken(req *http.Request, path string, err error) *failure {
	f := &failure{Method: req.Method, Path: path, Sent: true, Err: err, Reason: "the connection broke off: " + err.Error()}
	var op *net.OpError
	var dns *net.DNSError
	switch {
	case req.Context().Err() != nil:
		f.Err, f.Reason = req.Context().Err(), "given up by the caller"
	case errors.Is(err, context.DeadlineExceeded):
		// Our own limit. The cause is left out: a deadline in the chain would read as the caller's giving up.
		f.Err, f.Reason = nil, fmt.Sprintf("no whole answer within %s", t.timeout)
	case errors.As(err, &dns), errors.As(err, &op) && op.Op == "dial":
		f.Sent, f.Reason = false, "the desk cannot be reached: "+err.Error()
	}
	return f
}
