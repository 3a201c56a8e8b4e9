package main_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	fakezendesk "contactsync/internal/fakes/zendesk"
)

// The faults that befall requests to the desk, and what there must be for them to befall.
var faults = []struct {
	name  string
	kind  fakezendesk.FaultKind
	needs string // a "list", a "job" that the request starts, a "body", or nothing
}{
	{"empty page", fakezendesk.EmptyPage, "list"},
	{"dropped page", fakezendesk.DroppedPage, "list"},
	{"repeated cursor", fakezendesk.RepeatedCursor, "list"},
	{"duplicate row", fakezendesk.DuplicateRow, "list"},
	{"row of another organization", fakezendesk.ForeignRow, "list"},
	{"person left out", fakezendesk.MissingSideload, "list"},
	{"job rows fail", fakezendesk.JobRowFails, "job"},
	{"job fails", fakezendesk.JobFails, "job"},
	{"truncated body", fakezendesk.TruncatedBody, "body"},
	{"500 before", fakezendesk.Error500Before, ""},
	{"500 after commit", fakezendesk.Error500After, ""},
	{"reset before", fakezendesk.ResetBefore, ""},
	{"reset after commit", fakezendesk.ResetAfter, ""},
	{"401", fakezendesk.Unauthorized401, ""},
	{"429", fakezendesk.RateLimited429, ""},
	{"slow", fakezendesk.Slow, ""},
}

// The fault matrix: each request of a run × each fault, once and from then on. Whatever happens, nobody is removed
// whom the file lists, nobody is created twice, a run that says that it is done is done, and a clean run afterwards
// mends everything.
func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			forge, memory := newForge(t), new(recorder)
			newWorldAround(t, forge).push(s.file())
			for _, request := range s.requestsOfACleanRun(t, newWorldAround(t, forge)) {
				for _, fault := range faults {
					if fault.needs == "list" && request.method != http.MethodGet || fault.needs == "job" && !request.startsJob() {
						continue
					}
					for _, lasting := range []bool{false, true} {
						t.Run(request.String()+"/"+fault.name+when(lasting), func(t *testing.T) {
							t.Parallel()
							w := newWorldAround(t, forge)
							w.silent() // telling people has proofs of its own
							w.transport = func(next http.RoundTripper) http.RoundTripper {
								return w.besides(memory.watch(next), w.impatient(next))
							}
							struck := s.breakAt(w, fault.kind, request, lasting)
							if !struck && fault.needs == "" {
								t.Error("the request was not sent")
							}
						})
					}
				}
			}
		})
	}
}

func when(lasting bool) string {
	if lasting {
		return " from then on"
	}
	return ""
}

// breakAt runs the scene with a fault at one request, and checks what must hold. It reports whether the fault struck.
func (s scene) breakAt(w *world, kind fakezendesk.FaultKind, at request, lasting bool) bool {
	w.Helper()
	p := s.play(w)
	seen, began := 0, false
	p.desk.Inject(fakezendesk.Fault{Name: "the fault", Kind: kind, Match: func(r *http.Request, _ int) bool {
		if at.is(r.Method, r.URL) {
			seen++
		}
		now := seen == at.occurrence && at.is(r.Method, r.URL)
		began = began || now
		strikes := now || lasting && began
		if strikes && kind == fakezendesk.Slow {
			w.givesUp(r)
		}
		return strikes
	}})
	run, status := p.sync()
	if !p.struck() {
		return false
	}

	p.isUnharmed()
	if status == 0 && !p.isDone() {
		p.Errorf("the run says that it is done (%s), and is not", run.Status)
	}
	p.desk.ClearFaults()
	p.desk.Release()
	p.patient = true
	p.converges()

	if p.Failed() {
		var log strings.Builder
		for _, r := range p.desk.Requests() {
			fmt.Fprintf(&log, "%3d %s %s %d %s\n", r.N, r.Method, r.Path, r.Status, r.Fault)
		}
		p.Logf("the broken run ended with status %d, %s, %+v\n%s", status, run.Status, run.Error, log.String())
	}
	return true
}

func (p *played) struck() bool {
	for _, r := range p.desk.Requests() {
		if r.Fault != "" {
			return true
		}
	}
	return false
}

// besides sends what is for the desk one way, and the rest another.
func (w *world) besides(others, desk http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(w.deskURL, "//"+r.URL.Host) {
			return desk.RoundTrip(r)
		}
		return others.RoundTrip(r)
	})
}

// requestNumber is the header by which the desk's side names a request to impatient.
const requestNumber = "X-Number-Of-Request"

// impatient gives up on the answers that givesUp names, so that a slow desk does not make the test slow. No other answer
// has to be quick: the machine may be busy.
func (w *world) impatient(next http.RoundTripper) http.RoundTripper {
	var count atomic.Int64
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		ctx, cancel := context.WithCancel(r.Context())
		number := strconv.FormatInt(count.Add(1), 10)
		w.underWay.Store(number, cancel)
		r = r.Clone(ctx)
		r.Header.Set(requestNumber, number)
		response, err := next.RoundTrip(r)
		if err != nil {
			cancel()
			if _, waited := w.underWay.Load(number); !waited && errors.Is(err, context.Canceled) {
				err = context.DeadlineExceeded
			}
			return nil, err
		}
		response.Body = cancellingBody{response.Body, cancel}
		return response, nil
	})
}

// givesUp lets the client of a request that is held wait for as long as its work takes, and no longer.
func (w *world) givesUp(r *http.Request) {
	number := r.Header.Get(requestNumber)
	if cancel, ok := w.underWay.Load(number); ok && !w.patient {
		time.AfterFunc(time.Second/5, func() {
			w.underWay.Delete(number)
			cancel.(context.CancelFunc)()
		})
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// cancellingBody ends its request's context when it is closed.
type cancellingBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b cancellingBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// recorder answers a request that it has seen before as it was answered then. A matrix about the desk need not start
// git a few thousand times.
type recorder struct {
	mu      sync.Mutex
	answers map[string][]byte
}

func (m *recorder) watch(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(cmp.Or[io.Reader](r.Body, http.NoBody))
		if err != nil {
			return nil, err
		}
		key := r.Method + " " + r.URL.String() + "\n" + string(body)
		m.mu.Lock()
		defer m.mu.Unlock()
		if _, known := m.answers[key]; !known {
			sent := r.Clone(r.Context())
			sent.Body = io.NopCloser(bytes.NewReader(body))
			response, err := next.RoundTrip(sent)
			if err != nil {
				return nil, err
			}
			answer, err := httputil.DumpResponse(response, true)
			if err = errors.Join(err, response.Body.Close()); err != nil {
				return nil, err
			}
			if m.answers == nil {
				m.answers = make(map[string][]byte)
			}
			m.answers[key] = answer
		}
		return http.ReadResponse(bufio.NewReader(bytes.NewReader(m.answers[key])), r)
	})
}
