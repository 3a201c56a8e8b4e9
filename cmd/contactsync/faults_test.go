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
	"strings"
	"sync"
	"testing"
	"time"

	fakezendesk "contactsync/internal/fakes/zendesk"
)

// The faults that befall requests to the desk.
var faults = []struct {
	name string
	kind fakezendesk.FaultKind
}{
	{"empty page", fakezendesk.EmptyPage},
	{"dropped page", fakezendesk.DroppedPage},
	{"repeated cursor", fakezendesk.RepeatedCursor},
	{"truncated body", fakezendesk.TruncatedBody},
	{"500 before", fakezendesk.Error500Before},
	{"500 after commit", fakezendesk.Error500After},
	{"reset before", fakezendesk.ResetBefore},
	{"reset after commit", fakezendesk.ResetAfter},
	{"401", fakezendesk.Unauthorized401},
	{"429", fakezendesk.RateLimited429},
	{"slow", fakezendesk.Slow},
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
			requests := s.requestsOfACleanRun(t, newWorldAround(t, forge))
			world := func(t *testing.T) *world {
				w := newWorldAround(t, forge)
				w.transport = func(next http.RoundTripper) http.RoundTripper {
					return w.besides(memory.watch(next), w.impatient(next))
				}
				return w
			}
			for _, fault := range faults {
				for _, lasting := range []bool{false, true} {
					for n := range requests {
						name := fmt.Sprintf("%s at request %02d", fault.name, n+1)
						if lasting {
							name = fmt.Sprintf("%s from request %02d on", fault.name, n+1)
						}
						t.Run(name, func(t *testing.T) {
							t.Parallel()
							s.breakAt(world(t), fault.kind, n+1, lasting)
						})
					}
				}
			}
		})
	}
}

// requestsOfACleanRun counts the requests to the desk, and proves that the scene needs every kind of change.
func (s scene) requestsOfACleanRun(t *testing.T, w *world) int {
	t.Helper()
	p := s.play(w)
	run, status := p.sync()
	if status != 0 || !p.isDone() {
		t.Fatalf("the scene does not work without any fault: %s, %+v %+v", run.Status, run.Error, run.Conflicts)
	}
	sum := run.Summary
	if sum.Create != s.create || sum.Add != s.add || sum.Rename != s.rename+s.readdress || sum.Remove != s.remove {
		t.Fatalf("the scene is not what it should be: %+v", sum)
	}
	return len(w.desk.Requests())
}

// breakAt runs the scene with a fault at one request, and checks what must hold.
func (s scene) breakAt(w *world, kind fakezendesk.FaultKind, at int, lasting bool) {
	w.Helper()
	p := s.play(w)
	p.desk.Inject(fakezendesk.Fault{Name: "the fault", Kind: kind, Match: func(_ *http.Request, n int) bool {
		return n == at || lasting && n > at
	}})
	run, status := p.sync()
	if !p.struck() {
		return // a fault of lists at a request for something else
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

// impatient gives up on answers that do not come at once, so that a slow desk does not make the test slow.
func (w *world) impatient(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if w.patient {
			return next.RoundTrip(r)
		}
		ctx, cancel := context.WithTimeout(r.Context(), time.Second/10)
		response, err := next.RoundTrip(r.WithContext(ctx))
		if err != nil {
			cancel()
			return nil, err
		}
		response.Body = cancellingBody{response.Body, cancel}
		return response, nil
	})
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
