package zendesk_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"contactsync"
	fake "contactsync/internal/fakes/zendesk"
	"contactsync/zendesk"
)

// answering is a desk that answers every reading of organization 1 with the given headers, status and body.
type answering struct {
	mu      sync.Mutex
	clock   *clock
	times   []time.Time // of the requests
	answers []answer    // one a request; the last one goes on
}

type answer struct {
	status int
	header map[string]string
	body   string
}

func (a *answering) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.answers[min(len(a.times), len(a.answers)-1)]
	a.times = append(a.times, a.clock.Now())
	for name, value := range now.header {
		w.Header().Set(name, value)
	}
	if now.status == 0 {
		now.status, now.body = http.StatusOK, `{"organization":{"id":1,"name":"Example"}}`
	}
	w.WriteHeader(now.status)
	_, _ = w.Write([]byte(now.body))
}

// between returns how long after the first request each of the others came.
func (a *answering) between() []time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	var gaps []time.Duration
	for _, at := range a.times[1:] {
		gaps = append(gaps, at.Sub(a.times[0]).Round(time.Second))
	}
	return gaps
}

func newAnswering(t *testing.T, change func(*zendesk.Options), answers ...answer) (*answering, *zendesk.Desk) {
	t.Helper()
	a := &answering{clock: newClock(), answers: answers}
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	o := zendesk.Options{URL: server.URL, Email: agentEmail, Token: agentToken, Now: a.clock.Now, Wait: a.clock.Wait}
	if change != nil {
		change(&o)
	}
	desk, err := zendesk.New(o)
	wantNoError(t, err)
	return a, desk
}

func read(ctx context.Context, t *testing.T, desk *zendesk.Desk, times int) {
	t.Helper()
	for range times {
		_, err := desk.OrganizationByID(ctx, "1")
		wantNoError(t, err)
	}
}

// However the desk says for how long to stay away, it is obeyed to the second, and the request is then repeated.
func TestRefusalsForTheLimitAreObeyed(t *testing.T) {
	at := newClock().Now().Add(40 * time.Second).Format(http.TimeFormat)
	for name, test := range map[string]struct {
		first answer
		want  time.Duration
	}{
		"seconds":           {answer{429, map[string]string{"Retry-After": "17"}, `{"error":"TooManyRequests"}`}, 17 * time.Second},
		"date":              {answer{429, map[string]string{"Retry-After": at}, `{}`}, 40 * time.Second},
		"reset":             {answer{429, map[string]string{"ratelimit-reset": "9", "ratelimit-remaining": "0"}, `{}`}, 9 * time.Second},
		"endpoint":          {answer{429, map[string]string{"zendesk-ratelimit-search-index": "total=10; remaining=0; resets=23"}, `{}`}, 23 * time.Second},
		"edge":              {answer{429, nil, `{"detail":"Too many","status":"429","title":"Automated response"}`}, time.Second},
		"unavailable":       {answer{503, map[string]string{"Retry-After": "5"}, `{}`}, 5 * time.Second},
		"remaining nothing": {answer{0, map[string]string{"x-rate-limit": "400", "x-rate-limit-remaining": "0", "ratelimit-reset": "31"}, ""}, 31 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			a, desk := newAnswering(t, nil, test.first, answer{})
			read(t.Context(), t, desk, 1)
			if test.first.status == 0 {
				read(t.Context(), t, desk, 1)
			}
			gaps := a.between()
			if len(gaps) != 1 || gaps[0] < test.want || gaps[0] > test.want+time.Second {
				t.Errorf("the second request came after %v, want %v", gaps, test.want)
			}
		})
	}
}

// A wait that is longer than a run may last is an error that says when to come back; nothing is sent until then.
func TestLongRefusalsAreReturned(t *testing.T) {
	a, desk := newAnswering(t, nil, answer{429, map[string]string{"Retry-After": "3600"}, `{}`}, answer{})
	for range 3 {
		_, err := desk.OrganizationByID(t.Context(), "1")
		wantClass(t, err, contactsync.ClassRateLimited)
		failure := contactsync.FailureOf(err)
		if want := newClock().Now().Add(time.Hour); !failure.RetryAt.Equal(want) || failure.Retry != contactsync.RetryWhenTold {
			t.Errorf("%+v, want to be told %v", failure, want)
		}
	}
	if n := len(a.times); n != 1 {
		t.Errorf("%d requests were sent, want 1", n)
	}
	wantNoError(t, a.clock.Wait(t.Context(), time.Hour))
	read(t.Context(), t, desk, 1)
}

// In any minute after the first burst no more than the budget's share of the limit is used, whether the limit is
// assumed, learnt or configured.
func TestBudgetIsKept(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*zendesk.Options)
		header map[string]string
		perMin int
	}{
		"assumed":    {nil, nil, 100},
		"learnt":     {nil, map[string]string{"x-rate-limit": "700"}, 350},
		"learnt too": {nil, map[string]string{"ratelimit-limit": "20"}, 10},
		"configured": {func(o *zendesk.Options) { o.RequestsPerMinute, o.Budget = 400, 0.25 }, map[string]string{"x-rate-limit": "2500"}, 100},
	} {
		t.Run(name, func(t *testing.T) {
			a, desk := newAnswering(t, test.change, answer{header: test.header})
			read(t.Context(), t, desk, 4*test.perMin)
			took := a.clock.Waited()
			// One bucket full at once, three more at the budget's pace.
			if want := 3 * time.Minute; took < want-5*time.Second || took > want+5*time.Second {
				t.Errorf("%d requests took %v, want about %v", 4*test.perMin, took, want)
			}
		})
	}
}

// People who watch are told the budget as it is: full, used, refilled by the minute, and nothing while the desk says so.
func TestBudget(t *testing.T) {
	a, desk := newAnswering(t, func(o *zendesk.Options) { o.RequestsPerMinute = 400 },
		answer{}, answer{}, answer{429, map[string]string{"Retry-After": "3600"}, `{}`})
	want := func(when string, want float64) {
		t.Helper()
		if perMinute, left := desk.Budget(); perMinute != 200 || left != want {
			t.Errorf("%s: %v of %v a minute left, want %v of 200", when, left, perMinute, want)
		}
	}
	want("at first", 200)
	read(t.Context(), t, desk, 2)
	want("after two requests", 198)
	wantNoError(t, a.clock.Wait(t.Context(), time.Minute))
	want("a minute later", 200)
	_, err := desk.OrganizationByID(t.Context(), "1")
	wantClass(t, err, contactsync.ClassRateLimited)
	want("while the desk refuses", 0)
}

// What others have left of the account's minute bounds us, too.
func TestRemainingBoundsTheBurst(t *testing.T) {
	a, desk := newAnswering(t, nil, answer{header: map[string]string{"x-rate-limit": "400", "x-rate-limit-remaining": "3"}})
	read(t.Context(), t, desk, 4)
	if a.clock.Waited() != 0 {
		t.Errorf("waited %v for what remained", a.clock.Waited())
	}
	a, desk = newAnswering(t, nil, answer{header: map[string]string{"x-rate-limit": "400", "x-rate-limit-remaining": "3"}})
	read(t.Context(), t, desk, 20)
	if a.clock.Waited() == 0 {
		t.Error("did not slow down although the account was nearly used up")
	}
}

// Requests that can wait leave a quarter of the budget to those that somebody waits for.
func TestBackgroundLeavesAShare(t *testing.T) {
	a, desk := newAnswering(t, nil, answer{})
	read(contactsync.InBackground(t.Context()), t, desk, 75)
	if a.clock.Waited() != 0 {
		t.Fatalf("waited %v within the share", a.clock.Waited())
	}
	read(t.Context(), t, desk, 25)
	if a.clock.Waited() != 0 {
		t.Errorf("interactive requests waited %v behind the background", a.clock.Waited())
	}
	read(contactsync.InBackground(t.Context()), t, desk, 1)
	if a.clock.Waited() < 15*time.Second {
		t.Errorf("the background waited %v, want until a quarter is free again", a.clock.Waited())
	}
	// A budget so small that the share is less than one request still lets the background through.
	_, desk = newAnswering(t, func(o *zendesk.Options) { o.RequestsPerMinute = 2 }, answer{})
	read(contactsync.InBackground(t.Context()), t, desk, 2)
}

// Whole runs stay within an account's limit even when it is small, without a single refusal once it is known.
func TestRunsStayWithinASmallLimit(t *testing.T) {
	w := newWorld(t)
	w.Configure(func(s *fake.Settings) { s.RateLimit = 40 })
	w.addMembers(1000)
	desk := w.desk()
	for range 5 {
		readAll(t, t.Context(), desk)
	}
	refused := 0
	for _, r := range w.Requests() {
		if r.Status == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused > 0 {
		t.Errorf("%d requests were refused", refused)
	}
}

// Reads are tried again after failures of the desk or the network, three times in all, and then named.
func TestReadsAreTriedAgain(t *testing.T) {
	for name, first := range map[string]answer{
		"500": {500, nil, "<html>"}, "502": {502, nil, ""}, "no JSON": {200, nil, "<html>maintenance</html>"}, "half": {200, nil, `{"organization":`},
	} {
		t.Run(name, func(t *testing.T) {
			a, desk := newAnswering(t, nil, first, first, answer{})
			read(t.Context(), t, desk, 1)
			if len(a.times) != 3 {
				t.Errorf("%d requests, want 3", len(a.times))
			}
			a, desk = newAnswering(t, nil, first)
			_, err := desk.OrganizationByID(t.Context(), "1")
			wantClass(t, err, contactsync.ClassDeskUnreadable)
			if len(a.times) != 3 {
				t.Errorf("%d requests, want 3", len(a.times))
			}
		})
	}
}

// Every kind of error body that Zendesk is known to send becomes one sentence, with the request it answered.
func TestErrorsAreOneSentence(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		class  contactsync.Class
		says   string
	}{
		"validation": {422, `{"error":"RecordInvalid","description":"Record validation errors","details":{"email":[{"description":"Email: x is bad","error":"InvalidValue"}]}}`,
			contactsync.ClassDeskUnreadable, "GET /organizations/1 answered 422: RecordInvalid: Record validation errors: Email: x is bad"},
		"object":      {400, `{"error":{"title":"Invalid attribute","message":"You passed an invalid value"}}`, contactsync.ClassDeskUnreadable, "You passed an invalid value"},
		"list":        {400, `{"errors":[{"code":"InvalidPaginationDepth","title":"Too deep","detail":"Use cursors"}]}`, contactsync.ClassDeskUnreadable, "Use cursors"},
		"bare string": {401, `{"error":"Couldn't authenticate you"}`, contactsync.ClassDeskUnauthorized, "answered 401: Couldn't authenticate you"},
		"forbidden":   {403, `{"error":"Forbidden","description":"You do not have access"}`, contactsync.ClassDeskUnauthorized, "You do not have access"},
		"a page":      {404, `<html><body>Not here</body></html>`, contactsync.ClassNoOrgFound, ""},
		"a page, 400": {400, "<html>\n<body>\x00Bad</body></html>", contactsync.ClassDeskUnreadable, "instead of JSON"},
		"nothing":     {418, ``, contactsync.ClassDeskUnreadable, "no reason given"},
		"very long":   {400, `{"error":"` + strings.Repeat("x ", 5000) + `"}`, contactsync.ClassDeskUnreadable, "…"},
	} {
		t.Run(name, func(t *testing.T) {
			_, desk := newAnswering(t, nil, answer{test.status, nil, test.body})
			_, err := desk.OrganizationByID(t.Context(), "1")
			wantClass(t, err, test.class)
			if !strings.Contains(err.Error(), test.says) || strings.ContainsAny(err.Error(), "\n\x00") || len(err.Error()) > 600 {
				t.Errorf("%q, want %q in it", err, test.says)
			}
		})
	}
}

// An answer without end does not fill the memory.
func TestAnswersAreBounded(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		block := []byte(strings.Repeat(" ", 1<<20))
		for range 64 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	clock := newClock()
	desk, err := zendesk.New(zendesk.Options{URL: server.URL, Email: agentEmail, Token: agentToken, Now: clock.Now, Wait: clock.Wait})
	wantNoError(t, err)
	_, err = desk.OrganizationByID(t.Context(), "1")
	wantClass(t, err, contactsync.ClassDeskUnreadable)
	if !strings.Contains(err.Error(), "larger than") {
		t.Errorf("%v", err)
	}
}

// A desk that cannot be reached is named as such; writes are tried again, because nothing was sent.
func TestUnreachable(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	address := server.URL
	server.Close()
	clock := newClock()
	desk, err := zendesk.New(zendesk.Options{URL: address, Email: agentEmail, Token: agentToken, Now: clock.Now, Wait: clock.Wait})
	wantNoError(t, err)
	_, err = desk.OrganizationByID(t.Context(), "1")
	wantClass(t, err, contactsync.ClassDeskUnreadable)
	var tally contactsync.Tally
	outcomes, err := desk.Add(contactsync.WithTally(t.Context(), &tally), contactsync.Organization{ID: "1"}, []contactsync.Addition{creation("new@example.com")})
	wantClass(t, err, contactsync.ClassSyncFailed)
	if outcomes != nil || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("%v, %v", outcomes, err)
	}
	if n := tally.Requests().Desk; n != 3 {
		t.Errorf("%d attempts, want 3", n)
	}
	if text := fmt.Sprint(err); strings.Contains(text, agentToken) {
		t.Errorf("the error tells the secret: %v", err)
	}
}
