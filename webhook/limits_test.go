package webhook_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"contactsync"
	"contactsync/webhook"
)

// A body of exactly the limit is read and one byte more is not, whether its length is announced or not.
func TestBodyLimit(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	text := sample(t, "push")
	for size, want := range map[int]int{webhook.DefaultBodyLimit: 202, webhook.DefaultBodyLimit + 1: 413, 3 * webhook.DefaultBodyLimit: 413} {
		d := hook("Push Hook", text+strings.Repeat(" ", size-len(text))).token(s.token)
		for _, announced := range []bool{true, false} {
			request := d.request()
			if !announced {
				request.ContentLength = -1
			}
			recorder := httptest.NewRecorder()
			s.ServeHTTP(recorder, request)
			if recorder.Code != want || (recorder.Header().Get("Connection") == "close") != (want == 413) {
				t.Errorf("%d bytes, announced %t: answered %d %v", size, announced, recorder.Code, recorder.Header())
			}
		}
	}
	if s.counted("hook too_large") != 4 || s.counted("hook accepted") != 2 {
		t.Errorf("counted %v", s.answered)
	}
	huge := hook("Push Hook", text+strings.Repeat(" ", webhook.DefaultBodyLimit)).triggered(s.trigger, "42")
	if got := s.send(huge); got.status != 413 {
		t.Errorf("trigger: answered %d", got.status)
	}
}

// What a stranger sends is not even read: a hook without a right token costs no more than its headers.
func TestStrangersAreNotRead(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	for _, d := range []delivery{
		push(t), push(t).token("wrong"), push(t).token("cs1.1.42.AAAA"), push(t).signed(s.signing, now.Add(-time.Hour)), push(t).with("Webhook-Signature", "v1,"),
		push(t).triggered("wrong", "42"), push(t).signed(s.signing, now.Add(-time.Hour)).triggered(s.trigger, "42"),
	} {
		request := d.request()
		request.Body = io.NopCloser(iotest.ErrReader(errors.New("read")))
		recorder := httptest.NewRecorder()
		s.ServeHTTP(recorder, request)
		if recorder.Code != 401 && recorder.Code != 404 {
			t.Errorf("%s %v: answered %d", d.path, d.header, recorder.Code)
		}
	}
	if s.counted("hook unauthorized") != 5 || s.counted("trigger unauthorized") != 2 {
		t.Errorf("counted %v", s.answered)
	}
	// Nor is what is announced to be too large, nor anything at a trigger address that no token could open.
	closed := newScene(t, func(_ *scene, o *webhook.Options) { o.Credentials.TriggerTokens = nil })
	large := push(t).token(closed.token).request()
	large.ContentLength = webhook.DefaultBodyLimit + 1
	for request, want := range map[*http.Request]int{large: 413, push(t).triggered("", "42").request(): 404} {
		request.Body = io.NopCloser(iotest.ErrReader(errors.New("read")))
		recorder := httptest.NewRecorder()
		closed.ServeHTTP(recorder, request)
		if recorder.Code != want {
			t.Errorf("answered %d, want %d", recorder.Code, want)
		}
	}
}

// A sender that breaks off in the middle of the body has said nothing; that is no failure of the store's.
func TestBodyBreaksOff(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	request := push(t).token(s.token).request()
	request.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"project_id":42,`), iotest.ErrReader(io.ErrUnexpectedEOF)))
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, request)
	if recorder.Code != 400 || s.counted("hook aborted") != 1 || len(s.answered) != 1 {
		t.Errorf("answered %d, counted %v", recorder.Code, s.answered)
	}
	s.untouched(t)
}

// pipes is a listener whose connections are made in memory, so that their deadlines follow a test's clock.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if conn, ok := <-p; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}
func (p pipes) Close() error   { close(p); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p pipes) dial() net.Conn {
	client, server := net.Pipe()
	p <- server
	return client
}

// serve runs the product's server until the test's bubble ends.
func serve(t *testing.T, handler http.Handler) pipes {
	listener := make(pipes)
	server := webhook.NewServer(handler)
	done := make(chan error)
	go func() { done <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		<-time.After(time.Second) // of the bubble's time: net/http lingers on connections that it gave up
	})
	return listener
}

// Whoever dawdles is cut off: a body has five seconds in all, however steadily it drips, and headers have ten. Nobody
// else waits meanwhile.
func TestSlowSenders(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		head   string
		drip   bool
		after  time.Duration
		status int // 0: the connection is closed without a word
	}{
		"nothing of the body":            {"X-Gitlab-Token: TOKEN\r\nContent-Length: 100\r\n\r\n", false, 5 * time.Second, 408},
		"a body that drips":              {"X-Gitlab-Token: TOKEN\r\nContent-Length: 100\r\n\r\n", true, 5 * time.Second, 408},
		"a body of unknown length":       {"X-Gitlab-Token: TOKEN\r\nTransfer-Encoding: chunked\r\n\r\n", false, 5 * time.Second, 408},
		"a stranger's body":              {"X-Gitlab-Token: wrong\r\nContent-Length: 100\r\n\r\n", true, 5 * time.Second, 401},
		"a stranger's body, endless":     {"X-Gitlab-Token: wrong\r\nContent-Length: 900000000\r\n\r\n", false, 0, 401},
		"headers that do not end":        {"X-Gitlab-Token: wrong\r\n", false, 10 * time.Second, 0},
		"headers that do not end, drops": {"X-Gitlab-Token: wrong\r\nX-Other: ", true, 10 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, func(_ *scene, o *webhook.Options) { o.Credentials.Tokens = []string{"TOKEN"} })
				listener := serve(t, s)
				conn := listener.dial()
				defer conn.Close()
				start := time.Now()
				fmt.Fprintf(conn, "POST /hooks/gitlab HTTP/1.1\r\nHost: example.com\r\n%s", test.head)
				if test.drip {
					stop := make(chan struct{})
					defer close(stop)
					go drip(conn, stop)
				}
				response, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if took := time.Since(start); took != test.after {
					t.Errorf("cut off after %v, want %v", took, test.after)
				}
				if test.status == 0 {
					if err == nil {
						t.Errorf("answered %d", response.StatusCode)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if response.StatusCode != test.status || !response.Close {
					t.Errorf("answered %d, closing %t", response.StatusCode, response.Close)
				}
				s.untouched(t)
			})
		})
	}
}

// drip sends a byte a second.
func drip(conn net.Conn, stop <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if _, err := conn.Write([]byte(" ")); err != nil {
				return
			}
		case <-stop:
			return
		}
	}
}

// GitLab waits ten seconds: with the slowest body and a store that does not answer, the answer comes after nine. The
// store's own patience is five.
func TestAnswerComesInTime(t *testing.T) {
	t.Parallel()
	for dawdle, want := range map[time.Duration]time.Duration{0: 5 * time.Second, 2 * time.Second: 7 * time.Second, 4900 * time.Millisecond: 9 * time.Second} {
		t.Run(fmt.Sprint("body after ", dawdle), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, nil)
				s.intake.accept = func(ctx context.Context, _ contactsync.Delivery) (contactsync.Receipt, error) {
					<-ctx.Done()
					return contactsync.Receipt{}, ctx.Err()
				}
				conn := serve(t, s).dial()
				defer conn.Close()
				body := sample(t, "push")
				start := time.Now()
				fmt.Fprintf(conn, "POST /hooks/gitlab HTTP/1.1\r\nHost: example.com\r\nX-Gitlab-Token: %s\r\nContent-Length: %d\r\n\r\n", s.token, len(body))
				<-time.After(dawdle)
				fmt.Fprint(conn, body)
				response, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				if took := time.Since(start); took != want || response.StatusCode != 503 || response.Header.Get("Retry-After") != "30" || response.Close {
					t.Errorf("answered %d after %v, closing %t; want 503 after %v", response.StatusCode, took, response.Close, want)
				}
			})
		})
	}
}

// A store that fails is answered 503 with a time to come again, and not a word of why; the next delivery is welcome.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	broken := true
	s.intake.accept = func(context.Context, contactsync.Delivery) (contactsync.Receipt, error) {
		if broken {
			return contactsync.Receipt{}, errors.New("the disk is full")
		}
		return contactsync.Receipt{ID: "d1"}, nil
	}
	got := s.send(push(t).token(s.token))
	if got.status != 503 || got.header.Get("Retry-After") != "30" || got.body != `{"accepted":false,"error":"unavailable"}` {
		t.Errorf("answered %d %v %s", got.status, got.header, got.body)
	}
	if s.counted("hook unavailable") != 1 || !strings.Contains(s.log.String(), "the disk is full") {
		t.Errorf("counted %v, logged %s", s.answered, &s.log)
	}
	broken = false
	if got := s.send(push(t).token(s.token)); got.status != 202 {
		t.Errorf("afterwards: answered %d", got.status)
	}
}

// When as many deliveries as may already wait for the store, the next is turned away at once; strangers and events
// that mean nothing are answered as ever, and there is room again when one of them is through.
func TestLoadShedding(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, func(_ *scene, o *webhook.Options) { o.Waiting = 3 })
		release := make(chan struct{})
		s.intake.accept = func(context.Context, contactsync.Delivery) (contactsync.Receipt, error) {
			<-release
			return contactsync.Receipt{ID: "d1"}, nil
		}
		answers := make(chan int, 3)
		for range 3 {
			go func() { answers <- s.send(push(t).token(s.token)).status }()
		}
		synctest.Wait()
		for d, want := range map[*delivery]int{
			ptr(push(t).token(s.token)): 503, ptr(push(t).triggered(s.trigger, "42")): 503, ptr(push(t).triggered(s.trigger, "43")): 503,
			ptr(push(t).token("wrong")): 401, ptr(hook("Note Hook", sample(t, "note")).token(s.token)): 200,
		} {
			if got := s.send(*d); got.status != want || (got.header.Get("Retry-After") != "") != (want == 503) {
				t.Errorf("%s: answered %d %v, want %d", d.path, got.status, got.header, want)
			}
		}
		if len(s.intake.accepted) != 3 || len(s.intake.refused) != 0 {
			t.Errorf("the store was given %d and %d", len(s.intake.accepted), len(s.intake.refused))
		}
		release <- struct{}{}
		if status := <-answers; status != 202 {
			t.Errorf("released: answered %d", status)
		}
		close(release)
		if got := s.send(push(t).token(s.token)); got.status != 202 {
			t.Errorf("with room again: answered %d", got.status)
		}
		<-answers
		<-answers
	})
}

func ptr[T any](value T) *T { return &value }

// GitLab does not come again, so a delivery is stored even when its sender has hung up; that is no failure.
func TestSenderHangsUp(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	atStore, release, handled := make(chan context.Context, 1), make(chan struct{}), make(chan struct{})
	s.intake.accept = func(ctx context.Context, _ contactsync.Delivery) (contactsync.Receipt, error) {
		atStore <- ctx
		<-release
		return contactsync.Receipt{ID: "d1"}, ctx.Err()
	}
	var hungUp atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hungUp.Store(r.Context().Done())
		s.ServeHTTP(w, r)
		close(handled)
	}))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	body := sample(t, "push")
	fmt.Fprintf(conn, "POST /hooks/gitlab HTTP/1.1\r\nHost: example.com\r\nX-Gitlab-Token: %s\r\nContent-Length: %d\r\n\r\n%s", s.token, len(body), body)
	ctx := <-atStore
	conn.Close()
	<-hungUp.Load().(<-chan struct{})
	if ctx.Err() != nil {
		t.Errorf("the store is told to stop: %v", ctx.Err())
	}
	close(release)
	<-handled
	if s.counted("hook accepted") != 1 || len(s.answered) != 1 || strings.Contains(s.log.String(), "level=ERROR") {
		t.Errorf("counted %v, logged %s", s.answered, &s.log)
	}
}

// Refusing costs no connection: a sender with a wrong token and a usual body keeps its own, so that being refused
// 20,000 times a second does not mean 20,000 handshakes.
func TestRefusalKeepsTheConnection(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(s)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	for _, d := range []delivery{push(t), push(t).token("wrong"), push(t).signed("whsec_"+randomText(32), time.Now()), push(t).token(s.token)} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+d.path, bytes.NewReader([]byte(d.body)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header = d.header
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	if got := connections.Load(); got != 1 {
		t.Errorf("%d connections for four hooks", got)
	}
}

// Headers over 64 KiB are refused by the server before the receiver sees them.
func TestHeaderLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, nil)
		conn := serve(t, s).dial()
		defer conn.Close()
		go func() { // the server stops reading before the end
			fmt.Fprintf(conn, "POST /hooks/gitlab HTTP/1.1\r\nHost: example.com\r\nX-Gitlab-Token: %s\r\n\r\n", strings.Repeat("x", 128<<10))
		}()
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge || len(s.answered) != 0 {
			t.Errorf("answered %d, counted %v", response.StatusCode, s.answered)
		}
	})
}

// Where a read deadline can be set it is, before anything is read, and taken away once the body is there, so that it
// does not look to the server as if the sender had gone.
func TestReadDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, nil)
		w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		s.ServeHTTP(w, push(t).token(s.token).request())
		if len(w.set) != 2 || !w.set[0].Equal(time.Now().Add(webhook.DefaultReadTimeout)) || !w.set[1].IsZero() {
			t.Errorf("deadlines %v", w.set)
		}
		w = &deadlines{ResponseRecorder: httptest.NewRecorder()}
		request := push(t).token(s.token).request()
		request.Body = io.NopCloser(iotest.ErrReader(os.ErrDeadlineExceeded))
		s.ServeHTTP(w, request)
		if w.Code != 408 || len(w.set) != 1 || s.counted("hook timeout") != 1 {
			t.Errorf("answered %d, deadlines %v, counted %v", w.Code, w.set, s.answered)
		}
	})
}

type deadlines struct {
	*httptest.ResponseRecorder
	set []time.Time
}

func (d *deadlines) SetReadDeadline(at time.Time) error {
	d.set = append(d.set, at)
	return nil
}
