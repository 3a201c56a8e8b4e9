package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"contactsync"
	"contactsync/notify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// words are the simplest.
type words struct{ err error }

func (w words) Text(e notify.Event) (string, error) { return "told: " + e.Key, w.err }

func (w words) Body(format string, e notify.Event) ([]byte, error) {
	body, err := json.Marshal(map[string]string{format: e.Key})
	return body, errors.Join(err, w.err)
}

const path = "/services/s3cret?key=s3cret" // of every receiver: whoever has it can write there

var event = notify.Event{Key: "held/7/abc", Event: contactsync.NoticeHeld, Project: 7}

// receiver answers each request as the test says.
func receiver(t *testing.T, answer http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return server
}

func webhook(t *testing.T, address string, change func(*notify.WebhookOptions)) *notify.Webhook {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	o := notify.WebhookOptions{
		Name: "slack#1", Format: "slack", Address: address, Words: words{}, Transport: transport, UserAgent: "contactsync/test",
		Now: func() time.Time { return noon },
	}
	if change != nil {
		change(&o)
	}
	w, err := notify.NewWebhook(o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func quiet(t *testing.T, text string) {
	t.Helper()
	for _, secret := range []string{"s3cret", "127.0.0.1", "example.com"} {
		if strings.Contains(text, secret) {
			t.Errorf("an address is told: %s", text)
		}
	}
}

// An event is one POST of JSON with its key, to the address as it was configured.
func TestWebhook(t *testing.T) {
	var asked *http.Request
	var body []byte
	server := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r
		body, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, strings.Repeat("ok", 1<<20))
	})
	w := webhook(t, server.URL+path, nil)
	if outcome := w.Tell(t.Context(), event); outcome != (notify.Outcome{}) {
		t.Fatalf("it ended with %+v", outcome)
	}
	if asked.Method != http.MethodPost || asked.URL.String() != path || asked.Header.Get("Content-Type") != "application/json" ||
		asked.Header.Get("Idempotency-Key") != event.Key || asked.Header.Get("User-Agent") != "contactsync/test" {
		t.Errorf("the request is %s %s %v", asked.Method, asked.URL, asked.Header)
	}
	if string(body) != `{"slack":"held/7/abc"}` {
		t.Errorf("the body is %s", body)
	}
	if w.Name() != "slack#1" {
		t.Errorf("its name is %s", w.Name())
	}
}

// What a receiver may mend by itself is worth another try, at its time; everything else is final. No problem tells the
// address.
func TestWebhookAnswers(t *testing.T) {
	for status, want := range map[int]notify.Outcome{
		200: {}, 204: {},
		301: {Final: true}, 307: {Final: true}, 400: {Final: true}, 401: {Final: true}, 403: {Final: true}, 404: {Final: true}, 410: {Final: true},
		408: {}, 425: {}, 429: {After: noon.Add(90 * time.Second)}, 500: {}, 502: {}, 503: {After: noon.Add(90 * time.Second)},
	} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			requests := 0
			server := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
				requests++
				w.Header().Set("Location", "/elsewhere")
				if !want.After.IsZero() {
					w.Header().Set("Retry-After", "90")
				}
				w.WriteHeader(status)
			})
			got := webhook(t, server.URL+path, nil).Tell(t.Context(), event)
			if status >= 300 {
				want.Problem = got.Problem
				if !strings.HasPrefix(got.Problem, fmt.Sprintf("it answers %d", status)) {
					t.Errorf("the problem is %q", got.Problem)
				}
			}
			if got != want || requests != 1 {
				t.Errorf("%d requests end with %+v, want %+v", requests, got, want)
			}
			quiet(t, got.Problem)
		})
	}
}

// A receiver that does not answer is given up soon and tried again; why, is said without its address.
func TestWebhookWithoutAnswer(t *testing.T) {
	hanging := receiver(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then the server sees that the caller goes away
		<-r.Context().Done()
	})
	tls := httptest.NewTLSServer(http.NotFoundHandler())
	tls.Config.ErrorLog = log.New(io.Discard, "", 0) // of the refused certificate
	t.Cleanup(tls.Close)
	broken := receiver(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	closed, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for name, test := range map[string]struct {
		address string
		change  func(*notify.WebhookOptions)
		want    string
	}{
		"hangs":       {hanging.URL, func(o *notify.WebhookOptions) { o.Timeout = time.Millisecond }, "it does not answer within 1ms"},
		"refuses":     {"http://" + closed.Addr().String(), nil, "it cannot be reached: connection refused"},
		"breaks":      {broken.URL, nil, "the connection broke"},
		"certificate": {tls.URL, nil, "its certificate is not trusted"},
		"unknown": {"https://hooks.example.com", func(o *notify.WebhookOptions) {
			o.Transport = failing{&net.DNSError{Err: "no such host", Name: "hooks.example.com", IsNotFound: true}}
		}, "its host is not known"},
		"proxy": {"https://hooks.example.com", func(o *notify.WebhookOptions) {
			o.Transport = failing{errors.New("proxyconnect tcp: hooks.example.com" + path)}
		}, "the connection broke"},
		"no words": {broken.URL, func(o *notify.WebhookOptions) { o.Words = words{errors.New("a template fails")} }, "it cannot be put into words: a template fails"},
	} {
		t.Run(name, func(t *testing.T) {
			got := webhook(t, test.address+path, test.change).Tell(t.Context(), event)
			if got != (notify.Outcome{Problem: test.want}) {
				t.Errorf("it ended with %+v, want %q", got, test.want)
			}
			quiet(t, got.Problem)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := webhook(t, hanging.URL+path, nil).Tell(ctx, event); got.Problem != "it was interrupted" || got.Final {
		t.Errorf("it ended with %+v", got)
	}
}

type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

// Nobody is told over a connection that others can read, and what is wrong with an address is said without it.
func TestWebhookAddresses(t *testing.T) {
	for _, address := range []string{"", "hooks", "http://hooks.example.com" + path, "ftp://hooks.example.com" + path, "https://", "https://%zz.example.com" + path} {
		_, err := notify.NewWebhook(notify.WebhookOptions{Name: "slack#1", Address: address})
		if err == nil || !strings.Contains(err.Error(), "slack#1") {
			t.Errorf("%q: %v", address, err)
			continue
		}
		quiet(t, err.Error())
	}
}

// desk is a Replier.
type desk struct {
	replies []contactsync.Reply
	waits   bool // in the background
	err     error
}

func (d *desk) Reply(ctx context.Context, _ string, reply contactsync.Reply) (contactsync.Replied, error) {
	d.replies = append(d.replies, reply)
	d.waits = contactsync.IsBackground(ctx)
	return contactsync.Replied{}, d.err
}

// A ticket gets an internal note, with the same mark for the same event and another one for each other.
func TestTicket(t *testing.T) {
	d := &desk{}
	target := &notify.Ticket{Number: "42", Desk: d, Words: words{}}
	other := event
	other.Key = "held/7-abc"
	for _, e := range []notify.Event{event, event, other} {
		if outcome := target.Tell(t.Context(), e); outcome != (notify.Outcome{}) {
			t.Fatalf("it ended with %+v", outcome)
		}
	}
	first := d.replies[0]
	if first.Public || first.Text != "told: held/7/abc" || first.Macro != "" || !d.waits || target.Name() != "ticket" {
		t.Errorf("the reply is %+v", first)
	}
	if first.Mark == "" || strings.Trim(first.Mark, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" ||
		d.replies[1].Mark != first.Mark || d.replies[2].Mark == first.Mark {
		t.Errorf("the marks are %q, %q and %q", first.Mark, d.replies[1].Mark, d.replies[2].Mark)
	}
	d.err = &contactsync.Error{Class: contactsync.ClassRateLimited, Detail: "the limit\nis reached", RetryAt: noon}
	if got := target.Tell(t.Context(), event); got != (notify.Outcome{Problem: "the limit is reached", After: noon}) {
		t.Errorf("it ended with %+v", got)
	}
	target.Words = words{errors.New("a template fails")}
	if got := target.Tell(t.Context(), event); got.Problem != "it cannot be put into words: a template fails" || got.Final {
		t.Errorf("it ended with %+v", got)
	}
}
