package zendesk_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"contactsync"
	fake "contactsync/internal/fakes/zendesk"
	"contactsync/zendesk"
)

const (
	clientID     = "contacts"
	clientSecret = "not a secret"
	agentEmail   = "integration@example.com"
	agentToken   = "not a token"
	project      = int64(4711)
)

// clock stands still until somebody waits: then it is later.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	waited time.Duration
	onWait func() // called after each wait
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Wait(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	c.now = c.now.Add(d)
	c.waited += d
	onWait := c.onWait
	c.mu.Unlock()
	if onWait != nil {
		onWait()
	}
	return ctx.Err()
}

func (c *clock) Waited() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waited
}

// world is a stand-in for Zendesk that listens, one organization in it, and the means to make desks.
type world struct {
	*fake.Server
	t     testing.TB
	clock *clock
	url   string
	org   contactsync.Organization
	orgID int64
	few   []contactsync.Member // some of its members, where a test has read them
}

func newWorld(t testing.TB, wrap ...func(http.Handler) http.Handler) *world {
	t.Helper()
	w := &world{t: t, clock: newClock()}
	w.Server = fake.New(fake.Options{
		Clock: w.clock.Now, ClientID: clientID, ClientSecret: clientSecret, Email: agentEmail, Token: agentToken,
	})
	var handler http.Handler = w.Server
	for _, with := range wrap {
		handler = with(handler)
	}
	listener := httptest.NewServer(handler)
	t.Cleanup(listener.Close)
	w.url = listener.URL
	w.orgID = w.AddOrganization(fake.Organization{Name: "Example", Fields: map[string]any{"cmp_id": strconv.FormatInt(project, 10)}})
	w.org = contactsync.Organization{ID: strconv.FormatInt(w.orgID, 10), Name: "Example"}
	w.Reindex()
	return w
}

// desk makes a desk without any memory.
func (w *world) desk(change ...func(*zendesk.Options)) *zendesk.Desk {
	w.t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	w.t.Cleanup(transport.CloseIdleConnections)
	options := zendesk.Options{
		URL: w.url, ClientID: clientID, ClientSecret: clientSecret,
		Now: w.clock.Now, Wait: w.clock.Wait, Transport: transport, Timeout: 20 * time.Second,
	}
	for _, c := range change {
		c(&options)
	}
	desk, err := zendesk.New(options)
	if err != nil {
		w.t.Fatalf("New: %v", err)
	}
	return desk
}

// addMembers adds members member0@example.com and so on, and returns their ids.
func (w *world) addMembers(n int) []int64 {
	ids := make([]int64, n)
	for i := range ids {
		ids[i] = w.AddUser(fake.User{
			Name: fmt.Sprintf("Member %d", i), Email: fmt.Sprintf("member%d@example.com", i), Organizations: []int64{w.orgID},
		})
	}
	w.Reindex()
	return ids
}

// linked adds organizations, changed one second after the other and every second one with a project.
func (w *world) linked(organizations int) {
	w.t.Helper()
	for i := range organizations {
		o := fake.Organization{Name: fmt.Sprintf("Organization %d", i)}
		if i%2 == 0 {
			o.Fields = map[string]any{"cmp_id": strconv.Itoa(100_000 + i)}
		}
		w.AddOrganization(o)
		wantNoError(w.t, w.clock.Wait(w.t.Context(), time.Second))
	}
	wantNoError(w.t, w.clock.Wait(w.t.Context(), time.Hour))
}

func (w *world) addPerson(u fake.User) int64 {
	id := w.AddUser(u)
	w.Reindex()
	return id
}

// isMember looks at the desk's own state.
func (w *world) isMember(user int64) bool {
	for _, u := range w.MembersOf(w.orgID) {
		if u.ID == user {
			return true
		}
	}
	return false
}

// counted runs something and returns how many requests the desk received meanwhile.
func (w *world) counted(do func(ctx context.Context)) int {
	w.t.Helper()
	w.ResetRequests()
	var tally contactsync.Tally
	do(contactsync.WithTally(context.Background(), &tally))
	received := len(w.Requests())
	if told := tally.Requests().Desk; told != received {
		w.t.Errorf("%d requests were counted, %d were received", told, received)
	}
	return received
}

// log shows the requests since the last reset.
func (w *world) log() string {
	text := ""
	for _, r := range w.Requests() {
		text += fmt.Sprintf("%3d %-6s %s %v -> %d %s\n", r.N, r.Method, r.Path, r.Query, r.Status, r.Fault)
	}
	return text
}

// clean fails the test when the desk saw what no careful client does.
func (w *world) clean() {
	w.t.Helper()
	if v := w.Violations(); len(v) > 0 {
		w.t.Errorf("violations: %q", v)
	}
	if m := w.Mails(); len(m) > 0 {
		w.t.Errorf("mail would have gone to %q", m)
	}
}

func contact(email string) contactsync.Contact {
	return contactsync.Contact{Name: "Name of " + email, Email: contactsync.NormalizeEmail(email)}
}

func creation(email string) contactsync.Addition {
	return contactsync.Addition{Contact: contact(email)}
}

func joining(email string, person int64) contactsync.Addition {
	return contactsync.Addition{Contact: contact(email), Person: strconv.FormatInt(person, 10)}
}

func wantClass(t testing.TB, err error, class contactsync.Class) {
	t.Helper()
	if got := contactsync.ClassOf(err); got != class {
		t.Fatalf("error class = %q, want %q (%v)", got, class, err)
	}
}

func wantNoError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error: %v", err)
	}
}

func wantDone(t testing.TB, outcomes []contactsync.Outcome, err error) {
	t.Helper()
	wantNoError(t, err)
	for i, o := range outcomes {
		if o.Err != nil {
			t.Errorf("outcome %d: %v", i, o.Err)
		}
	}
}
