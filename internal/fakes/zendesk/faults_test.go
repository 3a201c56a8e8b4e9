package zendesk_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"contactsync/internal/fakes/zendesk"
)

// Faults that break the answer: what the client sees, and whether the work was done.
func TestFaultsOnWrites(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		kind   zendesk.FaultKind
		status int  // 0: no answer
		done   bool // the person was created
	}{
		{"500 before", zendesk.Error500Before, 500, false},
		{"500 after", zendesk.Error500After, 500, true},
		{"reset before", zendesk.ResetBefore, 0, false},
		{"reset after", zendesk.ResetAfter, 0, true},
		{"truncated", zendesk.TruncatedBody, 0, true},
		{"unauthorized", zendesk.Unauthorized401, 401, false},
		{"forbidden", zendesk.Forbidden403, 403, false},
		{"rate limited", zendesk.RateLimited429, 429, false},
		{"conflict", zendesk.Conflict409, 409, false},
		{"edge", zendesk.EdgeRateLimit, 429, false},
		{"no JSON", zendesk.NotJSON, 200, false},
		{"spoilt row", zendesk.MalformedRow, 201, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Inject(zendesk.Fault{Name: test.name, Kind: test.kind, Match: zendesk.On("POST", "users"), Times: 1})
			body := object{"user": object{"name": "Ada", "email": "ada@example.com", "skip_verify_email": true}}
			got, err := w.try("POST", "/api/v2/users", body)
			if (test.status == 0) != (err != nil) || got.status != test.status {
				t.Fatalf("got %d %q, %v", got.status, got.text, err)
			}
			if _, done := w.UserByEmail("ada@example.com"); done != test.done {
				t.Errorf("created: %v, want %v", done, test.done)
			}
			log := w.Requests()
			if len(log) != 1 || log[0].Fault != test.name {
				t.Errorf("got %+v", log)
			}
			again := w.call("POST", "/api/v2/users", body)
			if want := map[bool]int{true: 422, false: 201}[test.done]; again.status != want {
				t.Errorf("the second time: %d, want %d", again.status, want)
			}
		})
	}
}

// The two kinds of cut connections look different: a reset has no answer at all, a truncated body begins as a good one.
func TestCutConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Inject(zendesk.Fault{Kind: zendesk.ResetBefore, Times: 1})
	if _, err := w.try("POST", "/api/v2/users", object{}); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Errorf("reset: got %v", err)
	}
	w.Inject(zendesk.Fault{Kind: zendesk.TruncatedBody, Times: 1})
	if _, err := w.try("GET", "/api/v2/users", nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("truncated: got %v", err)
	}
}

// The kinds of 429 differ: the account's has Retry-After and a code, the edge's has neither.
func TestRateLimitFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Inject(zendesk.Fault{Kind: zendesk.RateLimited429, RetryAfter: 90 * time.Second, Times: 1})
	if got := w.call("GET", "/api/v2/users", nil); got.header.Get("Retry-After") != "90" {
		t.Errorf("got %v", got.header)
	}
	w.Configure(func(s *zendesk.Settings) { s.RetryAfterDate = true })
	w.Inject(zendesk.Fault{Kind: zendesk.RateLimited429, Times: 1})
	if got := w.call("GET", "/api/v2/users", nil); got.header.Get("Retry-After") != "Sat, 21 Nov 2026 09:00:01 GMT" {
		t.Errorf("got %v", got.header)
	}
	w.Inject(zendesk.Fault{Kind: zendesk.EdgeRateLimit, Times: 1})
	if got := w.call("GET", "/api/v2/users", nil); got.status != 429 || got.header.Get("Retry-After") != "" || got.get("title") != "Automated response" {
		t.Errorf("got %d %v %s", got.status, got.header, got.text)
	}
}

// Faults that falsify lists leave a well-formed 200 that is wrong in exactly one way.
func TestFaultsOnLists(t *testing.T) {
	t.Parallel()
	for _, paging := range []string{"per_page=2", "page[size]=2"} {
		for name, test := range map[string]struct {
			kind  zendesk.FaultKind
			check func(w *world, good, bad reply) bool
		}{
			"empty page": {zendesk.EmptyPage, func(_ *world, _, bad reply) bool {
				return len(bad.rows("organization_memberships")) == 0 && len(bad.rows("users")) == 0 && !more(bad) && bad.id("count") == 0
			}},
			"dropped page": {zendesk.DroppedPage, func(_ *world, good, bad reply) bool {
				return slices.Equal(members(good), members(bad)) && more(good) && !more(bad)
			}},
			"repeated cursor": {zendesk.RepeatedCursor, func(w *world, _, bad reply) bool {
				next, _ := bad.get("next_page").(string)
				if bad.get("links") != nil {
					next, _ = bad.get("links", "next").(string)
				}
				return more(bad) && slices.Equal(members(w.call("GET", next, nil)), members(bad))
			}},
			"malformed row": {zendesk.MalformedRow, func(_ *world, _, bad reply) bool {
				_, text := bad.get("organization_memberships", 0, "id").(string)
				return text && bad.id("organization_memberships", 1, "id") != 0
			}},
			"foreign row": {zendesk.ForeignRow, func(_ *world, good, bad reply) bool {
				return bad.id("organization_memberships", 0, "organization_id") != good.id("organization_memberships", 0, "organization_id")
			}},
			"duplicate row": {zendesk.DuplicateRow, func(_ *world, good, bad reply) bool {
				return slices.Equal(members(bad), []int64{members(good)[0], members(good)[0]})
			}},
			"wrong count": {zendesk.WrongCount, func(_ *world, good, bad reply) bool {
				return good.get("count") == nil || bad.id("count") == good.id("count")+1 && slices.Equal(members(good), members(bad))
			}},
			"missing side-load": {zendesk.MissingSideload, func(_ *world, good, bad reply) bool {
				return len(bad.rows("users")) == len(good.rows("users"))-1 && slices.Equal(members(good), members(bad))
			}},
		} {
			t.Run(name+" "+paging, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				org, _ := w.organization("One", 5)
				path := organizationPath(org) + "/organization_memberships?include=users&" + paging
				good := w.call("GET", path, nil)
				w.Inject(zendesk.Fault{Name: name, Kind: test.kind, Times: 1})
				if other := w.call("GET", userPath(1), nil); other.status != 404 {
					t.Errorf("an error is spoilt: %s", other.text)
				}
				bad := w.want(w.call("GET", path, nil), 200)
				if !test.check(w, good, bad) {
					t.Errorf("good %s\nbad %s", good.text, bad.text)
				}
				if good.text == bad.text {
					return // nothing to spoil: answers in cursor style have no count
				}
				log := w.Requests()
				if log[1].Fault != "" || log[2].Fault != name {
					t.Errorf("got %+v", log)
				}
				if again := w.call("GET", path, nil); again.text != good.text {
					t.Errorf("the fault strikes twice")
				}
			})
		}
	}
}

func members(r reply) []int64 { return r.ids("organization_memberships", "user_id") }

func more(r reply) bool { return r.get("next_page") != nil || r.get("meta", "has_more") == true }

// Exports can end early or lead back to their own page, too.
func TestFaultsOnExports(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 3 {
		w.organization("One", 1)
		w.clock.Advance(time.Second)
	}
	w.clock.Advance(time.Minute)
	w.Inject(zendesk.Fault{Kind: zendesk.DroppedPage, Times: 1})
	if got := w.call("GET", "/api/v2/incremental/organizations?start_time=0&per_page=1", nil); got.get("end_of_stream") != true {
		t.Errorf("got %s", got.text)
	}
	w.Inject(zendesk.Fault{Kind: zendesk.RepeatedCursor, Times: 1})
	got := w.call("GET", "/api/v2/incremental/organizations?start_time=0&per_page=1", nil)
	next, _ := got.get("next_page").(string)
	if got.get("end_of_stream") != false || got.id("end_time") != 0 || !strings.Contains(next, "start_time=0") {
		t.Errorf("got %s", got.text)
	}
	first := w.call("GET", "/api/v2/incremental/users/cursor?start_time=0&per_page=1", nil)
	next, _ = first.get("after_url").(string)
	w.Inject(zendesk.Fault{Kind: zendesk.RepeatedCursor, Times: 1})
	if got := w.call("GET", next, nil); got.get("after_cursor") != first.get("after_cursor") || got.get("end_of_stream") != false {
		t.Errorf("got %s", got.text)
	}
}

// A slow answer has done its work; it comes when it is released, or never if the client gives up.
func TestSlow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Inject(zendesk.Fault{Kind: zendesk.Slow, Match: zendesk.On("POST", "users")})
	body := func(email string) object {
		return object{"user": object{"name": "Ada", "email": email, "skip_verify_email": true}}
	}
	ctx, giveUp := context.WithCancel(t.Context())
	request := w.request("POST", "/api/v2/users", body("a@example.com")).WithContext(ctx)
	request.SetBasicAuth(agentEmail+"/token", agentToken)
	gone := make(chan error, 1)
	go func() { _, err := send(request); gone <- err }()
	w.waitFor("a@example.com")
	giveUp()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}

	released := make(chan reply, 1)
	go func() { got, _ := w.try("POST", "/api/v2/users", body("b@example.com")); released <- got }()
	w.waitFor("b@example.com")
	select {
	case got := <-released:
		t.Errorf("answered at once: %d", got.status)
	default:
	}
	w.Release()
	if got := <-released; got.status != 201 {
		t.Errorf("got %d %s", got.status, got.text)
	}
}

// waitFor waits until somebody with that address exists, by asking again and again through the stand-in's own door.
func (w *world) waitFor(address string) {
	w.t.Helper()
	for {
		if _, ok := w.UserByEmail(address); ok {
			return
		}
		if err := w.t.Context().Err(); err != nil {
			w.t.Fatal(err)
		}
		w.call("GET", "/api/v2/account/settings", nil)
	}
}

// Faults strike what they match, in the order of injection, as often as they say.
func TestFaultMatching(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Inject(zendesk.Fault{Name: "third", Kind: zendesk.Error500Before, Match: zendesk.Nth(3)})
	w.Inject(zendesk.Fault{Name: "twice", Kind: zendesk.Unauthorized401, Match: zendesk.On("GET", "users/*"), Times: 2})
	w.Inject(zendesk.Fault{Name: "body", Kind: zendesk.Forbidden403, Match: func(r *http.Request, _ int) bool {
		text, err := io.ReadAll(r.Body)
		return err == nil && strings.Contains(string(text), "Ada")
	}})
	var got []int
	for _, path := range []string{"users/1.json", "users", "users/1", "users/1", "users/1", "users"} {
		got = append(got, w.call("GET", "/api/v2/"+path, nil).status)
	}
	got = append(got, w.call("POST", "/api/v2/users", object{"user": object{"name": "Ada"}}).status)
	w.ClearFaults()
	got = append(got, w.call("POST", "/api/v2/users", object{"user": object{"name": "Ada"}}).status)
	if want := []int{401, 200, 500, 401, 404, 200, 403, 201}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	var names []string
	for i, r := range w.Requests() {
		names = append(names, r.Fault)
		if r.N != i+1 || r.Status != got[i] {
			t.Errorf("request %d is recorded as %+v", i+1, r)
		}
	}
	if want := []string{"twice", "", "third", "twice", "", "", "body", ""}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
	w.ResetRequests()
	w.call("GET", "/api/v2/users.json?role=agent", nil)
	if log := w.Requests(); len(log) != 1 || log[0].N != 1 || log[0].Path != "/api/v2/users.json" || log[0].Query.Get("role") != "agent" {
		t.Errorf("got %+v", log)
	}
}

// Latency is felt side by side: two requests are inside it at the same time.
func TestLatencyIsSideBySide(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var both sync.WaitGroup
	both.Add(2)
	w.Configure(func(s *zendesk.Settings) {
		s.Latency = func(*http.Request) {
			both.Done()
			both.Wait()
		}
	})
	done := make(chan int, 2)
	for range 2 {
		go func() {
			got, err := w.try("GET", "/api/v2/users", nil)
			if err != nil {
				t.Error(err)
			}
			done <- got.status
		}()
	}
	if a, b := <-done, <-done; a != 200 || b != 200 {
		t.Errorf("got %d and %d", a, b)
	}
}
