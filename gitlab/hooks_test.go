package gitlab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"contactsync"
	"contactsync/gitlab"
	fake "contactsync/internal/fakes/gitlab"
)

// ward is a house with a clock, and a receiver of hooks that answers as a test says.
type ward struct {
	*house
	t        *testing.T
	receiver string
	status   atomic.Int32
	mu       sync.Mutex
	now      time.Time
	keys     []string // of the deliveries
}

func newWard(t *testing.T, change func(*fake.Options)) *ward {
	t.Helper()
	w := &ward{t: t, now: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}
	w.house = newHouse(t, func(o *fake.Options) {
		o.Now = func() time.Time {
			w.mu.Lock()
			defer w.mu.Unlock()
			return w.now
		}
		if change != nil {
			change(o)
		}
	})
	receiver := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		w.keys = append(w.keys, r.Header.Get("Idempotency-Key"))
		w.mu.Unlock()
		rw.WriteHeader(int(w.status.Load()))
		fmt.Fprint(rw, "the receiver's\nwords")
	}))
	t.Cleanup(receiver.Close)
	w.receiver = receiver.URL
	w.status.Store(200)
	return w
}

// advance makes it later.
func (w *ward) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// hook makes a hook by the API, which the client has no call for.
func (w *ward) hook(body string) {
	w.t.Helper()
	request, err := http.NewRequest(http.MethodPost, fmt.Sprintf("%s/api/v4/projects/%d/hooks", w.URL(), w.id), strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	request.Header.Set("PRIVATE-TOKEN", token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	answer, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || response.StatusCode != http.StatusCreated {
		w.t.Fatalf("making a hook: %d %s %v", response.StatusCode, answer, err)
	}
}

// push pushes while the receiver answers with the status, and waits for the hooks.
func (w *ward) push(status int) {
	w.t.Helper()
	w.status.Store(int32(status))
	w.advance(time.Second)
	if _, err := w.Commit(w.id, fake.Commit{Files: map[string]string{"a": w.now.String()}}); err != nil {
		w.t.Fatal(err)
	}
	w.Settle()
}

// TestHooks guards what is read of hooks, over all pages, and that no part of an address that can hold a secret is.
func TestHooks(t *testing.T) {
	w := newWard(t, nil)
	w.hook(`{"url":"https://ada:swordfish@Contacts.example.com/{PLACE}/hooks?token=swordfish#swordfish","push_events":false,
		"push_events_branch_filter":"ma*","token":"swordfish","url_variables":[{"key":"PLACE","value":"swordfish"}]}`)
	w.hook(`{"url":"` + w.receiver + `/hooks/gitlab","signing_token":"whsec_` + strings.Repeat("A", 43) + `="}`)
	for range 99 {
		w.hook(`{"url":"https://example.org","push_events":false}`)
	}
	for range 4 {
		w.push(503)
	}
	w.ForgetRequests()
	var tally contactsync.Tally
	hooks, err := w.client(t, nil).Hooks(contactsync.WithTally(context.Background(), &tally), w.id)
	if err != nil {
		t.Fatal(err)
	}
	if len(hooks) != 101 || tally.Requests().GitLab != 2 || len(w.Requests()) != 2 {
		t.Fatalf("%d hooks for %d requests", len(hooks), tally.Requests().GitLab)
	}
	if want := (contactsync.Hook{
		ID: 1, Address: "https://Contacts.example.com/{PLACE}/hooks", BranchFilter: "ma*", BranchStrategy: "wildcard",
		AlertStatus: "executable", TokenPresent: true, VerifyTLS: true,
	}); hooks[0] != want {
		t.Errorf("read %+v, want %+v", hooks[0], want)
	}
	if want := (contactsync.Hook{
		ID: 2, Address: w.receiver + "/hooks/gitlab", PushEvents: true, BranchStrategy: "wildcard",
		AlertStatus: "temporarily_disabled", DisabledUntil: w.now.Add(time.Minute), SigningTokenPresent: true, VerifyTLS: true,
	}); hooks[1] != want || !hooks[1].Disabled() || hooks[0].Disabled() {
		t.Errorf("read %+v, want %+v", hooks[1], want)
	}
	if strings.Contains(fmt.Sprint(hooks), "swordfish") {
		t.Errorf("the hooks tell secrets: %+v", hooks[0])
	}
}

// TestFailures guards which deliveries count as failed, since when, over which pages, and that an answer which does not
// tell when they were leaves that open.
func TestFailures(t *testing.T) {
	w := newWard(t, func(o *fake.Options) { o.KeepHooks = true })
	w.hook(`{"url":"` + w.receiver + `"}`)
	for range 15 {
		w.push(404)
		w.push(200)
		w.push(500)
	}
	client := w.client(t, nil)
	w.ForgetRequests()
	all, err := client.FailedDeliveries(context.Background(), w.id, 1, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 30 || len(w.Requests()) != 2 {
		t.Fatalf("%d failures for %d requests, want 30 for 2", len(all), len(w.Requests()))
	}
	if newest := all[0]; newest.ID != 45 || newest.Status != 500 || newest.Key != w.keys[44] || !newest.At.Equal(w.now) {
		t.Errorf("the newest failure is %+v", newest)
	}
	w.ForgetRequests()
	late, err := client.FailedDeliveries(context.Background(), w.id, 1, w.now.Add(-3*time.Second))
	if err != nil || len(w.Requests()) != 1 {
		t.Fatalf("%v, %d requests", err, len(w.Requests()))
	}
	if len(late) != 3 || late[2].Status != 500 || !late[2].At.Equal(w.now.Add(-3*time.Second)) {
		t.Errorf("the failures of the last three seconds are %+v", late)
	}

	events := `[{"id":9,"response_status":"internal error","request_headers":{"Idempotency-Key":"k"},"request_data":{"a":[1]}},
		{"id":8,"response_status":"502","request_headers":{}}]`
	w.Inject(fake.Fault{Path: regexp.MustCompile("/events$"), Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: events})
	older, err := client.FailedDeliveries(context.Background(), w.id, 1, w.now)
	if want := []contactsync.FailedDelivery{{ID: 9, Key: "k"}, {ID: 8, Status: 502}}; err != nil || !slices.Equal(older, want) {
		t.Errorf("without times: %+v, %v; want %+v", older, err, want)
	}
}

// TestFailuresAreBounded guards that neither many failures nor large ones are read without end.
func TestFailuresAreBounded(t *testing.T) {
	var requests atomic.Int64
	body := `[` + strings.Repeat(`{"id":7,"response_status":"500","created_at":"2026-11-21T09:00:00.000Z"},`, 19) + `{"id":7,"response_status":"500"}]`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := requests.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Next-Page", fmt.Sprint(n+1))
		if strings.Contains(r.URL.Path, "/hooks/2/") {
			io.WriteString(w, `[{"id":7,"response_status":"500","request_data":"`+strings.Repeat("a", 9<<20)+`"}]`)
			return
		}
		io.WriteString(w, body)
	}))
	defer server.Close()
	client, err := gitlab.New(gitlab.Options{URL: server.URL, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	failures, err := client.FailedDeliveries(context.Background(), 1, 1, time.Time{})
	if err != nil || len(failures) != 200 || requests.Load() != 10 {
		t.Errorf("%d failures for %d requests, %v", len(failures), requests.Load(), err)
	}
	_, err = client.FailedDeliveries(context.Background(), 1, 2, time.Time{})
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "hook 2", "more than 8192 KiB")
	if _, err = client.Hooks(context.Background(), 1); err == nil {
		t.Error("hooks without end were read")
	}
}

// TestTestHook guards that a test enables a hook which was disabled, and says why where it cannot.
func TestTestHook(t *testing.T) {
	w := newWard(t, nil)
	w.hook(`{"url":"` + w.receiver + `"}`)
	for range 4 {
		w.push(500)
	}
	client := w.client(t, nil)
	status := func() string {
		hooks, err := client.Hooks(context.Background(), w.id)
		if err != nil {
			t.Fatal(err)
		}
		return hooks[0].AlertStatus
	}
	err := client.TestHook(context.Background(), w.id, 1)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "testing hook 1 of project 4711", "the receiver's words")
	if !errors.Is(err, gitlab.ErrNotDelivered) || status() != "temporarily_disabled" {
		t.Errorf("%v; the hook is %s", err, status())
	}
	w.status.Store(202)
	if err := client.TestHook(context.Background(), w.id, 1); err != nil || status() != "executable" {
		t.Errorf("%v; the hook is %s", err, status())
	}
}

// TestResend guards that an event keeps its key when it is sent again, and what keeps it from being sent.
func TestResend(t *testing.T) {
	w := newWard(t, nil)
	w.hook(`{"url":"` + w.receiver + `"}`)
	w.push(500)
	client := w.client(t, nil)
	for _, status := range []int{200, 503} {
		w.status.Store(int32(status))
		if got, err := client.Resend(context.Background(), w.id, 1, 1); err != nil || got != status {
			t.Errorf("the receiver answered %d, the client says %d, %v", status, got, err)
		}
	}
	if slices.Sort(w.keys); len(slices.Compact(w.keys)) != 1 {
		t.Errorf("the keys are %v", w.keys)
	}
	for range 3 {
		w.push(500)
	}
	_, err := client.Resend(context.Background(), w.id, 1, 1)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "resending event 1", "Hook disabled")
	if !errors.Is(err, gitlab.ErrNotDelivered) {
		t.Errorf("a disabled hook: %v", err)
	}
}

// TestHookErrors guards that a caller can tell what is wrong with the token from what this GitLab cannot do, what is
// gone from what does not answer, and that nothing which changes something is sent twice.
func TestHookErrors(t *testing.T) {
	json := http.Header{"Content-Type": {"application/json"}}
	answer := func(status int, body string) func(*ward) {
		return func(w *ward) { w.Inject(fake.Fault{Status: status, Header: json, Body: body}) }
	}
	tests := []struct {
		name    string
		options func(*fake.Options)
		prepare func(*ward)
		project int64
		is      error // nil: none of the sentinels
		class   contactsync.Class
		words   string
		tries   int // of what only reads
	}{
		{"no maintainer", func(o *fake.Options) { o.Access = 30 }, nil, 0, gitlab.ErrNotAllowed, contactsync.ClassRepositoryUnreachable, "403 Forbidden", 1},
		{"a token for reading repositories", func(o *fake.Options) { o.Scopes = []string{"read_repository"} }, nil, 0, gitlab.ErrNotAllowed, contactsync.ClassRepositoryUnreachable, "insufficient_scope", 1},
		{"an older GitLab", nil, answer(404, `{"error":"404 Not Found"}`), 0, gitlab.ErrUnsupported, contactsync.ClassRepositoryUnreachable, "does not have that call", 1},
		{"no such hook", nil, nil, 0, gitlab.ErrGone, contactsync.ClassRepositoryUnreachable, "any more", 1},
		{"no such project", nil, nil, 1, nil, contactsync.ClassInvalidProjectID, "no such project", 1},
		{"not GitLab", nil, func(w *ward) { w.Inject(fake.Fault{Status: 404, Body: "<html>"}) }, 0, nil, contactsync.ClassRepositoryUnreachable, "check gitlab.url", 1},
		{"broken", nil, answer(500, `{"message":"500 Internal Server Error"}`), 0, nil, contactsync.ClassRepositoryUnreachable, "status 500", 3},
		{"too often", nil, answer(429, `{"message":{"error":"Try again later."}}`), 0, nil, contactsync.ClassRepositoryUnreachable, "Try again later", 3},
		{"cut after it was done", nil, func(w *ward) { w.Inject(fake.Fault{Reset: true, After: true}) }, 0, nil, contactsync.ClassRepositoryUnreachable, "cannot be reached", 3},
		{"no answer that can be read", nil, answer(200, `[{"id":0}]`), 0, nil, contactsync.ClassRepositoryUnreachable, "cannot be understood", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWard(t, test.options)
			if test.prepare != nil {
				test.prepare(w)
			}
			project := w.id
			if test.project != 0 {
				project = test.project
			}
			client := w.client(t, nil)
			calls := map[string]func() error{
				"GET hooks":  func() error { _, err := client.Hooks(t.Context(), project); return err },
				"GET events": func() error { _, err := client.FailedDeliveries(t.Context(), project, 99, time.Time{}); return err },
				"POST test":  func() error { return client.TestHook(t.Context(), project, 99) },
				"POST resend": func() error {
					_, err := client.Resend(t.Context(), project, 99, 1)
					return err
				},
			}
			for name, call := range calls {
				writes := strings.HasPrefix(name, "POST")
				if test.name == "no such hook" && name == "GET hooks" || test.name == "no answer that can be read" && name == "POST test" {
					continue // nothing is wrong there
				}
				w.ForgetRequests()
				err := call()
				wantClass(t, err, test.class, test.words)
				for _, sentinel := range []error{gitlab.ErrNotAllowed, gitlab.ErrUnsupported, gitlab.ErrGone, gitlab.ErrNotDelivered} {
					if errors.Is(err, sentinel) != (sentinel == test.is) { //nolint:errorlint // the very sentinel
						t.Errorf("%s: %v is %v: %v", name, err, sentinel, errors.Is(err, sentinel))
					}
				}
				want := test.tries
				if writes {
					want = 1
				}
				if len(w.Requests()) != want {
					t.Errorf("%s: %d requests, want %d", name, len(w.Requests()), want)
				}
				if failure := contactsync.FailureOf(err); test.is == gitlab.ErrNotAllowed && !strings.Contains(failure.Remedy, "maintainer") { //nolint:errorlint // the very sentinel
					t.Errorf("%s: the remedy is %q", name, failure.Remedy)
				}
			}
		})
	}
}
