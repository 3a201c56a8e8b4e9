package gitlab_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"contactsync/internal/fakes/gitlab"
)

// clock is later when a test says so.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// ward is a project with one hook, whose receiver answers as a test says.
type ward struct {
	*house
	*clock
	t      *testing.T
	id     int64
	hook   string       // its path in the API
	answer atomic.Int32 // status
	keys   []string     // Idempotency-Key of every delivery
	bodies []string
}

func newWard(t *testing.T, change func(*gitlab.Options)) *ward {
	t.Helper()
	w := &ward{t: t, clock: &clock{now: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}}
	w.house = newHouse(t, func(o *gitlab.Options) {
		o.Now = w.Now
		if change != nil {
			change(o)
		}
	})
	w.id = w.project(t, "support/one")
	w.answer.Store(200)
	var mu sync.Mutex
	receiver := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		w.keys, w.bodies = append(w.keys, r.Header.Get("Idempotency-Key")), append(w.bodies, string(body))
		mu.Unlock()
		rw.WriteHeader(int(w.answer.Load()))
	}))
	t.Cleanup(receiver.Close)
	w.want(201, "POST", "/hooks", map[string]any{"url": receiver.URL + "/{PLACE}", "url_variables": []map[string]string{{"key": "PLACE", "value": "here"}}})
	w.hook = "/hooks/1"
	return w
}

// want calls the project's API and checks the status.
func (w *ward) want(status int, method, path string, body any) any {
	w.t.Helper()
	got, answer := w.call(w.t, method, fmt.Sprintf("/projects/%d%s", w.id, path), body)
	if got != status {
		w.t.Fatalf("%s %s answered %d %v, want %d", method, path, got, answer, status)
	}
	return answer
}

// push pushes once, while the receiver answers with the status, and returns how many deliveries came of it.
func (w *ward) push(status int) int {
	w.t.Helper()
	w.answer.Store(int32(status))
	before := len(w.keys)
	w.commit(w.t, w.id, gitlab.Commit{Files: map[string]string{"a": strconv.FormatInt(w.Now().UnixNano(), 10) + fmt.Sprint(before)}})
	w.Settle()
	return len(w.keys) - before
}

// health is what the API says of the hook.
func (w *ward) health() (status string, until any) {
	w.t.Helper()
	described := w.want(200, "GET", w.hook, nil).(map[string]any)
	return described["alert_status"].(string), described["disabled_until"]
}

func (w *ward) wantHealth(when, status string, until any) {
	w.t.Helper()
	if got, gotUntil := w.health(); got != status || gotUntil != until {
		w.t.Errorf("%s: the hook is %s until %v, want %s until %v", when, got, gotUntil, status, until)
	}
}

// events returns the codes that the event log lists, the newest first.
func (w *ward) events(query string) []string {
	w.t.Helper()
	codes := []string{}
	for _, event := range w.want(200, "GET", w.hook+"/events"+query, nil).([]any) {
		codes = append(codes, event.(map[string]any)["response_status"].(string))
	}
	return codes
}

// TestAutoDisabling guards the documented rule since 17.11: four failures in a row disable a hook for a minute, then
// twice as long each time up to a day; it returns by itself; the fortieth disables it until a test succeeds.
func TestAutoDisabling(t *testing.T) {
	w := newWard(t, nil)
	for range 3 {
		w.push(404)
	}
	w.wantHealth("three failures", "executable", nil)
	w.push(302) // counts as success
	for range 3 {
		w.push(500)
	}
	w.wantHealth("three failures after a success", "executable", nil)
	pause := time.Minute
	for failure := 4; failure <= 40; failure++ {
		if n := w.push(500); n != 1 {
			t.Fatalf("failure %d: %d deliveries", failure, n)
		}
		until := w.Now().Add(pause).Format("2006-01-02T15:04:05Z")
		if failure == 40 {
			w.wantHealth("the fortieth failure", "disabled", until)
			break
		}
		w.wantHealth(fmt.Sprint("failure ", failure), "temporarily_disabled", until)
		if n := w.push(200); n != 0 {
			t.Fatalf("a disabled hook got %d deliveries", n)
		}
		w.advance(pause + time.Second)
		w.wantHealth("when the time is over", "executable", until)
		pause = min(2*pause, 24*time.Hour)
	}
	w.advance(30 * 24 * time.Hour)
	if n := w.push(200); n != 0 {
		t.Fatalf("a hook that is disabled for good got %d deliveries", n)
	}
	w.answer.Store(503)
	w.want(422, "POST", w.hook+"/test/push_events", nil)
	if status, _ := w.health(); status != "disabled" {
		t.Errorf("after a test that failed the hook is %s", status)
	}
	w.answer.Store(202)
	w.want(201, "POST", w.hook+"/test/push_events", nil)
	w.wantHealth("after a test that succeeded", "executable", nil)
	if n := w.push(200); n != 1 {
		t.Errorf("the hook got %d deliveries after the test", n)
	}
}

// TestHooksAreKept guards the other kind of GitLab, which disables nothing.
func TestHooksAreKept(t *testing.T) {
	w := newWard(t, func(o *gitlab.Options) { o.KeepHooks = true })
	for range 6 {
		if n := w.push(500); n != 1 {
			t.Fatalf("%d deliveries", n)
		}
	}
	w.wantHealth("six failures", "executable", nil)
}

// TestEventLog guards the filter of the event log, its pages, what an event tells, and for how long.
func TestEventLog(t *testing.T) {
	w := newWard(t, func(o *gitlab.Options) { o.KeepHooks = true })
	for _, status := range []int{200, 404, 500, 302, 401} {
		w.push(status)
		w.advance(time.Minute)
	}
	w.want(200, "PUT", w.hook, map[string]any{"url": "http://127.0.0.1:1/nobody", "url_variables": []any{}})
	w.push(200)
	for query, want := range map[string]string{
		"":                                      "[internal error 401 302 500 404 200]",
		"?status=successful":                    "[200]",
		"?status=client_failure":                "[401 404]",
		"?status=server_failure":                "[internal error 500]",
		"?status=302":                           "[302]",
		"?status=client_failure,server_failure": "[internal error 401 500 404]",
		"?status=client_failure,server_failure&per_page=3": "[internal error 401 500]",
		"?status=client_failure&per_page=1&page=2":         "[404]",
	} {
		if got := fmt.Sprint(w.events(query)); got != want {
			t.Errorf("%q lists %s, want %s", query, got, want)
		}
	}
	w.want(400, "GET", w.hook+"/events?status=failed", nil)
	w.want(400, "GET", w.hook+"/events?per_page=21", nil)
	event := w.want(200, "GET", w.hook+"/events?status=404", nil).([]any)[0].(map[string]any)
	if event["created_at"] != "2026-11-21T09:01:00.000Z" || event["trigger"] != "push_hooks" || !strings.HasSuffix(event["url"].(string), "/{PLACE}") {
		t.Errorf("the event is %v", event)
	}
	if key := event["request_headers"].(map[string]any)["Idempotency-Key"]; key != w.keys[1] {
		t.Errorf("the event's key is %v, it was delivered with %s", key, w.keys[1])
	}
	w.advance(7*24*time.Hour - 90*time.Second)
	if got := fmt.Sprint(w.events("")); got != "[internal error 401]" {
		t.Errorf("after a week the log lists %s", got)
	}
}

// TestResend guards that an event is sent again as what it was, unless the hook leads elsewhere or is disabled.
func TestResend(t *testing.T) {
	w := newWard(t, nil)
	w.push(500)
	event := w.hook + "/events/1/resend"
	w.answer.Store(200)
	if answer := w.want(201, "POST", event, nil).(map[string]any); answer["response_status"] != 200.0 {
		t.Errorf("the resend answered %v", answer)
	}
	w.answer.Store(503)
	if answer := w.want(201, "POST", event, nil).(map[string]any); answer["response_status"] != 503.0 {
		t.Errorf("a resend that the receiver refused answered %v", answer)
	}
	if w.keys[0] != w.keys[1] || w.keys[1] != w.keys[2] || w.bodies[0] != w.bodies[1] {
		t.Errorf("keys %v; the bodies are the same: %v", w.keys, w.bodies[0] == w.bodies[1])
	}
	if got := fmt.Sprint(w.events("")); got != "[503 200 500]" {
		t.Errorf("the log lists %s", got)
	}
	w.want(404, "POST", w.hook+"/events/99/resend", nil)
	w.want(404, "POST", "/hooks/99/events/1/resend", nil)
	for range 3 {
		w.push(500)
	}
	w.advance(30 * time.Second)
	w.want(422, "POST", event, nil) // disabled
	w.advance(time.Minute)
	w.want(200, "PUT", w.hook, map[string]any{"url": "http://127.0.0.1:1/elsewhere"})
	w.want(422, "POST", event, nil)
}

// TestTestOfAHook guards what a test sends: the last three commits under a key of its own, or somebody else's project.
func TestTestOfAHook(t *testing.T) {
	w := newWard(t, nil)
	w.want(201, "POST", w.hook+"/test/push_events", nil)
	if !strings.Contains(w.bodies[0], `"project_id":15,`) {
		t.Errorf("without commits the test says %s", w.bodies[0])
	}
	var hashes []string
	for i := range 4 {
		hashes = append(hashes, w.commit(t, w.id, gitlab.Commit{Files: map[string]string{"a": fmt.Sprint(i)}}))
	}
	w.Settle()
	w.want(201, "POST", w.hook+"/test/push_events", nil)
	body, key := w.bodies[len(w.bodies)-1], w.keys[len(w.keys)-1]
	for _, part := range []string{
		fmt.Sprintf(`"project_id":%d,`, w.id), fmt.Sprintf(`"before":"%s"`, hashes[1]), fmt.Sprintf(`"after":"%s"`, hashes[3]),
		`"ref":"refs/heads/master"`, `"total_commits_count":3`,
	} {
		if !strings.Contains(body, part) {
			t.Errorf("the test lacks %s: %s", part, body)
		}
	}
	if strings.Count(strings.Join(w.keys, " "), key) != 1 {
		t.Errorf("the key of the test, %s, is not its own: %v", key, w.keys)
	}
	w.want(400, "POST", w.hook+"/test/everything", nil)
	w.want(404, "POST", "/hooks/99/test/push_events", nil)
}

// TestHookOperationsAreLimited guards the five tests and the five resends a minute that a project allows.
func TestHookOperationsAreLimited(t *testing.T) {
	w := newWard(t, nil)
	w.push(200)
	for _, path := range []string{w.hook + "/test/push_events", w.hook + "/events/1/resend"} {
		for range 5 {
			w.want(201, "POST", path, nil)
		}
		w.want(429, "POST", path, nil)
		w.advance(time.Minute)
		w.want(201, "POST", path, nil)
	}
}

// TestHooksTakeAMaintainer guards that hooks are kept from everybody below.
func TestHooksTakeAMaintainer(t *testing.T) {
	h := newHouse(t, func(o *gitlab.Options) { o.Access = 30 })
	id := h.project(t, "support/one")
	for _, call := range [][2]string{
		{"GET", "/hooks"}, {"POST", "/hooks"}, {"GET", "/hooks/1"}, {"PUT", "/hooks/1"}, {"DELETE", "/hooks/1"},
		{"GET", "/hooks/1/events"}, {"POST", "/hooks/1/events/1/resend"}, {"POST", "/hooks/1/test/push_events"},
	} {
		if status, answer := h.call(t, call[0], fmt.Sprintf("/projects/%d%s", id, call[1]), nil); status != 403 {
			t.Errorf("%s %s answered %d %v", call[0], call[1], status, answer)
		}
	}
	if status, _ := h.call(t, "GET", fmt.Sprintf("/projects/%d", id), nil); status != 200 {
		t.Errorf("the project answered %d", status)
	}
}
