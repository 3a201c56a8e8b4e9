package zendesk_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"contactsync/internal/fakes/zendesk"
)

const (
	clientID     = "contacts"
	clientSecret = "not a secret"
	agentEmail   = "integration@example.com"
	agentToken   = "not a token"
)

// clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a stand-in that listens, its clock, and a client that is signed in.
type world struct {
	*zendesk.Server
	t     testing.TB
	clock *clock
	url   string
}

func newWorld(t testing.TB, wrap ...func(http.Handler) http.Handler) *world {
	t.Helper()
	time0 := &clock{now: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)}
	server := zendesk.New(zendesk.Options{
		Clock: time0.Now, ClientID: clientID, ClientSecret: clientSecret, Email: agentEmail, Token: agentToken,
	})
	var handler http.Handler = server
	for _, w := range wrap {
		handler = w(handler)
	}
	listener := httptest.NewServer(handler)
	t.Cleanup(listener.Close)
	return &world{Server: server, t: t, clock: time0, url: listener.URL}
}

// reply is an answer as a test looks at it.
type reply struct {
	status int
	header http.Header
	text   string
	body   map[string]any
}

// call sends a request with the API token and decodes what comes back.
func (w *world) call(method, path string, body any) reply {
	w.t.Helper()
	got, err := w.try(method, path, body)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return got
}

func (w *world) try(method, path string, body any) (reply, error) {
	w.t.Helper()
	request := w.request(method, path, body)
	request.SetBasicAuth(agentEmail+"/token", agentToken)
	return send(request)
}

func (w *world) request(method, path string, body any) *http.Request {
	w.t.Helper()
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			w.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	if !strings.HasPrefix(path, "http") {
		path = w.url + path
	}
	request, err := http.NewRequestWithContext(w.t.Context(), method, path, reader)
	if err != nil {
		w.t.Fatal(err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	return request
}

func send(request *http.Request) (reply, error) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return reply{}, err
	}
	text, err := io.ReadAll(response.Body)
	if closing := response.Body.Close(); err == nil {
		err = closing
	}
	if err != nil {
		return reply{}, err
	}
	got := reply{status: response.StatusCode, header: response.Header, text: string(text)}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&got.body) != nil {
		got.body = nil // no JSON: tests look at the text
	}
	return got, nil
}

// get reads a value by its keys; numbers are positions in lists.
func (r reply) get(path ...any) any {
	var here any = r.body
	for _, key := range path {
		switch key := key.(type) {
		case string:
			object, _ := here.(map[string]any)
			here = object[key]
		case int:
			list, _ := here.([]any)
			if key >= len(list) {
				return nil
			}
			here = list[key]
		}
	}
	return here
}

func (r reply) id(path ...any) int64 {
	number, _ := r.get(path...).(json.Number)
	id, err := number.Int64()
	if err != nil {
		return 0
	}
	return id
}

func (r reply) rows(name string) []map[string]any {
	list, _ := r.get(name).([]any)
	rows := make([]map[string]any, 0, len(list))
	for _, row := range list {
		object, _ := row.(map[string]any)
		rows = append(rows, object)
	}
	return rows
}

// ids are one field of all rows.
func (r reply) ids(list, field string) []int64 {
	var ids []int64
	for i := range r.rows(list) {
		ids = append(ids, r.id(list, i, field))
	}
	return ids
}

func (w *world) want(got reply, status int) reply {
	w.t.Helper()
	if got.status != status {
		w.t.Fatalf("got status %d, want %d: %s", got.status, status, got.text)
	}
	return got
}

// organization adds an organization with members named after it.
func (w *world) organization(name string, members int) (int64, []int64) {
	id := w.AddOrganization(zendesk.Organization{Name: name})
	var users []int64
	for i := range members {
		users = append(users, w.AddUser(zendesk.User{
			Name: fmt.Sprintf("%s %d", name, i), Email: fmt.Sprintf("%s%d@example.com", strings.ToLower(name), i),
			Organizations: []int64{id},
		}))
	}
	return id, users
}

func (w *world) person(name, email string, organizations ...int64) int64 {
	return w.AddUser(zendesk.User{Name: name, Email: email, Organizations: organizations})
}

func (w *world) organizationsOf(user int64) []int64 {
	w.t.Helper()
	u, ok := w.User(user)
	if !ok {
		w.t.Fatalf("no user %d", user)
	}
	return u.Organizations
}

func (w *world) wantOrganizations(user int64, want ...int64) {
	w.t.Helper()
	if got := w.organizationsOf(user); !slices.Equal(got, want) {
		w.t.Errorf("user %d belongs to %v, want %v", user, got, want)
	}
}

func (w *world) wantViolation(part string) {
	w.t.Helper()
	if !slices.ContainsFunc(w.Violations(), func(v string) bool { return strings.Contains(v, part) }) {
		w.t.Errorf("no violation with %q among %q", part, w.Violations())
	}
}

func (w *world) wantNoViolations() {
	w.t.Helper()
	if got := w.Violations(); len(got) > 0 {
		w.t.Errorf("violations: %q", got)
	}
}

type object = map[string]any

func userPath(id int64) string         { return fmt.Sprintf("/api/v2/users/%d", id) }
func organizationPath(id int64) string { return fmt.Sprintf("/api/v2/organizations/%d", id) }
func membershipOf(user, organization int64) object {
	return object{"user_id": user, "organization_id": organization}
}

func serve(t testing.TB, handler http.Handler) string {
	t.Helper()
	listener := httptest.NewServer(handler)
	t.Cleanup(listener.Close)
	return listener.URL
}

func number(n int64) json.Number { return json.Number(strconv.FormatInt(n, 10)) }

// decode reads an answer that was asked for without a network.
func decode(t interface{ Fatalf(string, ...any) }, got *httptest.ResponseRecorder) map[string]any {
	decoder := json.NewDecoder(got.Body)
	decoder.UseNumber()
	var body map[string]any
	if err := decoder.Decode(&body); err != nil || got.Code != http.StatusOK {
		t.Fatalf("got %d, %v", got.Code, err)
	}
	return body
}
