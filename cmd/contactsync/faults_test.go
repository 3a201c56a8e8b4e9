package main_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
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
			forge := newForge(t)
			newWorldAround(t, forge).push(s.file())
			requests := s.requestsOfACleanRun(t, newWorldAround(t, forge))
			for _, fault := range faults {
				for _, lasting := range []bool{false, true} {
					for n := range requests {
						name := fmt.Sprintf("%s at request %02d", fault.name, n+1)
						if lasting {
							name = fmt.Sprintf("%s from request %02d on", fault.name, n+1)
						}
						t.Run(name, func(t *testing.T) {
							t.Parallel()
							s.breakAt(newWorldAround(t, forge), fault.kind, n+1, lasting)
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
	p.transport = p.impatient
	run, status := p.sync()
	p.transport = nil
	if !p.struck() {
		return // a fault of lists at a request for something else
	}

	p.isUnharmed()
	if status == 0 && !p.isDone() {
		p.Errorf("the run says that it is done (%s), and is not", run.Status)
	}
	p.desk.ClearFaults()
	p.desk.Release()
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

// impatient gives up on answers of the desk that do not come at once, so that a slow desk does not make the test slow.
func (w *world) impatient(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if !w.isDesk(r) {
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
