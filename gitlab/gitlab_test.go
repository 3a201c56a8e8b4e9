package gitlab_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"contactsync"
	"contactsync/gitlab"
	fake "contactsync/internal/fakes/gitlab"
)

const token = "glpat-swordfish"

// house is a stand-in GitLab with one project, and the pauses that the client took.
type house struct {
	*fake.Server
	id     int64
	pauses []time.Duration
}

func newHouse(t *testing.T, change func(*fake.Options)) *house {
	t.Helper()
	options := fake.Options{Dir: t.TempDir(), Token: token}
	if change != nil {
		change(&options)
	}
	server, err := fake.New(options)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server)
	t.Cleanup(func() { web.Close(); server.Close() })
	server.SetURL(web.URL)
	h := &house{Server: server}
	h.id, err = server.CreateProject(fake.Project{ID: 4711, Path: "support/organization-42"})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) client(t *testing.T, change func(*gitlab.Options)) *gitlab.Client {
	t.Helper()
	options := gitlab.Options{URL: h.URL(), Token: token, Wait: func(ctx context.Context, pause time.Duration) error {
		h.pauses = append(h.pauses, pause)
		return ctx.Err()
	}}
	if change != nil {
		change(&options)
	}
	client, err := gitlab.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// wantClass fails the test unless the error has the class and its text has all the words, and no secrets.
func wantClass(t *testing.T, err error, class contactsync.Class, words ...string) {
	t.Helper()
	if contactsync.ClassOf(err) != class {
		t.Fatalf("the error is %v, of class %q, want %q", err, contactsync.ClassOf(err), class)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error %q does not say %q", err, word)
		}
	}
	if strings.Contains(err.Error(), "swordfish") || strings.ContainsAny(err.Error(), "\r\n") || strings.Contains(err.Error(), "<html") {
		t.Errorf("the error %q tells the token, or is not fit for a line", err)
	}
}

// TestProject guards what is read of a project, and that it takes one request.
func TestProject(t *testing.T) {
	h := newHouse(t, nil)
	if _, err := h.Commit(h.id, fake.Commit{Files: map[string]string{"a": "1"}}); err != nil {
		t.Fatal(err)
	}
	var tally contactsync.Tally
	project, err := h.client(t, nil).Project(contactsync.WithTally(context.Background(), &tally), h.id)
	if err != nil {
		t.Fatal(err)
	}
	want := contactsync.Project{
		ID: 4711, Path: "support/organization-42", CloneURL: h.URL() + "/support/organization-42.git",
		WebURL: h.URL() + "/support/organization-42", DefaultBranch: "master",
	}
	if project != want {
		t.Errorf("read %+v, want %+v", project, want)
	}
	if got := tally.Requests(); got != (contactsync.Requests{GitLab: 1}) || len(h.Requests()) != 1 {
		t.Errorf("%+v requests were counted and %d arrived", got, len(h.Requests()))
	}
}

// TestProjectAddresses guards that requests with the token go to the configured GitLab, whatever its answers say.
func TestProjectAddresses(t *testing.T) {
	tests := []struct {
		name, path, answered, want string // the base is put in for BASE
	}{
		{"its own", "", "BASE/group/one.git", "BASE/group/one.git"},
		{"elsewhere", "", "https://example.org/group/one.git", "BASE/group/one.git"},
		{"another port", "", "http://127.0.0.1:1/group/one.git", "BASE/group/one.git"},
		{"another scheme", "", "https:BASE/group/one.git", "BASE/group/one.git"},
		{"with credentials", "", "http://mallory:secret@HOST/group/one.git?a=b#c", "BASE/group/one.git"},
		{"blank", "", "", "BASE/group/one.git"},
		{"below a path", "/gitlab/", "https://example.org/x.git", "BASE/gitlab/group/one.git"},
		{"below a path, with the API's", "/gitlab/api/v4", "https://example.org/x.git", "BASE/gitlab/group/one.git"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var web *httptest.Server
			web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if want := strings.TrimSuffix(strings.TrimSuffix(test.path, "/"), "/api/v4") + "/api/v4/projects/7"; r.URL.Path != want {
					t.Errorf("the request went to %s, want %s", r.URL.Path, want)
				}
				answered := strings.NewReplacer("BASE", web.URL, "HOST", r.Host).Replace(test.answered)
				w.Header().Set("Content-Type", "application/json")
				fmt.Fprintf(w, `{"id":7,"path_with_namespace":"group/one","http_url_to_repo":%q,"web_url":"https://example.org/one"}`, answered)
			}))
			defer web.Close()
			client, err := gitlab.New(gitlab.Options{URL: web.URL + test.path, Token: token})
			if err != nil {
				t.Fatal(err)
			}
			project, err := client.Project(context.Background(), 7)
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.Replace(test.want, "BASE", web.URL, 1); project.CloneURL != want {
				t.Errorf("the clone address is %s, want %s", project.CloneURL, want)
			}
			if !strings.HasPrefix(project.WebURL, web.URL) {
				t.Errorf("the web address is %s", project.WebURL)
			}
		})
	}
}

// TestProjectErrors guards which failures are about the number, and which about reaching GitLab: only the latter are
// tried again by themselves.
func TestProjectErrors(t *testing.T) {
	json := http.Header{"Content-Type": {"application/json"}}
	answer := func(status int, body string) func(*house) {
		return func(h *house) { h.Inject(fake.Fault{Status: status, Header: json, Body: body}) }
	}
	tests := []struct {
		name    string
		id      int64
		options func(*fake.Options)
		prepare func(*house)
		class   contactsync.Class
		words   []string
	}{
		{name: "no such project", id: 1, class: contactsync.ClassInvalidProjectID, words: []string{"reading project 1", "no such project"}},
		{name: "not a number of a project", id: -5, class: contactsync.ClassInvalidProjectID, words: []string{"above zero"}},
		{name: "marked for deletion", prepare: func(h *house) {
			if err := h.DeleteProject(h.id); err != nil {
				panic(err)
			}
		}, class: contactsync.ClassInvalidProjectID, words: []string{"marked for deletion on 20"}},
		{name: "wrong token", options: func(o *fake.Options) { o.Token = "another" }, class: contactsync.ClassRepositoryUnreachable, words: []string{"API refuses the token", "401 Unauthorized"}},
		{name: "expired token", options: func(o *fake.Options) { o.TokenExpires = time.Unix(0, 0) }, class: contactsync.ClassRepositoryUnreachable, words: []string{"Token is expired"}},
		{name: "token without the scope", options: func(o *fake.Options) { o.Scopes = []string{"read_repository"} }, class: contactsync.ClassRepositoryUnreachable, words: []string{"does not let the token", "insufficient_scope"}},
		{name: "not GitLab", prepare: func(h *house) { h.Inject(fake.Fault{Status: 404, Body: "<html>nothing here</html>"}) }, class: contactsync.ClassRepositoryUnreachable, words: []string{"status 404", "check gitlab.url"}},
		{name: "sign-in page", prepare: func(h *house) { h.Inject(fake.Fault{Status: 200, Body: "<html>sign in</html>"}) }, class: contactsync.ClassRepositoryUnreachable, words: []string{"cannot be understood"}},
		{name: "broken server", prepare: answer(500, `{"message":"500 Internal Server Error"}`), class: contactsync.ClassRepositoryUnreachable, words: []string{"status 500", "500 Internal Server Error"}},
		{name: "unknown to the server", prepare: answer(501, ``), class: contactsync.ClassRepositoryUnreachable, words: []string{"status 501"}},
		{name: "another project", prepare: answer(200, `{"id":8,"path_with_namespace":"a/b"}`), class: contactsync.ClassRepositoryUnreachable, words: []string{"about project 8"}},
		{name: "a path that leads away", prepare: answer(200, `{"id":4711,"path_with_namespace":"a/../../b"}`), class: contactsync.ClassRepositoryUnreachable, words: []string{"cannot be understood"}},
		{name: "a token repeated", prepare: answer(400, `{"message":"bad `+token+`\nno"}`), class: contactsync.ClassRepositoryUnreachable, words: []string{"bad [hidden] no"}},
		{name: "null", prepare: answer(200, `null`), class: contactsync.ClassRepositoryUnreachable, words: []string{"cannot be understood"}},
		{name: "half an answer", prepare: answer(200, `{"id":4711`), class: contactsync.ClassRepositoryUnreachable, words: []string{"cannot be understood"}},
		{name: "an answer without end", prepare: answer(200, `{"description":"`+strings.Repeat("a", 2<<20)), class: contactsync.ClassRepositoryUnreachable, words: []string{"more than 1024 KiB"}},
		{name: "cut connection", prepare: func(h *house) { h.Inject(fake.Fault{Reset: true}) }, class: contactsync.ClassRepositoryUnreachable, words: []string{"cannot be reached"}},
		{name: "cut answer", prepare: func(h *house) { h.Inject(fake.Fault{Truncate: 10}) }, class: contactsync.ClassRepositoryUnreachable, words: []string{"unexpected EOF"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t, test.options)
			if test.prepare != nil {
				test.prepare(h)
			}
			id := test.id
			if id == 0 {
				id = h.id
			}
			_, err := h.client(t, nil).Project(context.Background(), id)
			wantClass(t, err, test.class, test.words...)
		})
	}
}

// TestRetries guards what is sent again: reading, twice at most, and with the pause that GitLab asks for.
func TestRetries(t *testing.T) {
	after := func(seconds string) http.Header { return http.Header{"Retry-After": {seconds}} }
	tests := []struct {
		name     string
		fault    fake.Fault
		requests int
		pauses   []time.Duration
		works    bool
	}{
		{"once busy", fake.Fault{Status: 503, Times: 1}, 2, []time.Duration{300 * time.Millisecond}, true},
		{"once cut", fake.Fault{Reset: true, Times: 1}, 2, []time.Duration{300 * time.Millisecond}, true},
		{"twice busy", fake.Fault{Status: 502, Times: 2}, 3, []time.Duration{300 * time.Millisecond, 600 * time.Millisecond}, true},
		{"always busy", fake.Fault{Status: 504}, 3, []time.Duration{300 * time.Millisecond, 600 * time.Millisecond}, false},
		{"limited for two seconds", fake.Fault{Status: 429, Header: after("2"), Times: 1}, 2, []time.Duration{2 * time.Second}, true},
		{"limited for a minute", fake.Fault{Status: 429, Header: after("60"), Times: 1}, 1, nil, false},
		{"refused", fake.Fault{Status: 400, Times: 1}, 1, nil, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t, nil)
			h.Inject(test.fault)
			var tally contactsync.Tally
			_, err := h.client(t, nil).Project(contactsync.WithTally(context.Background(), &tally), h.id)
			if (err == nil) != test.works {
				t.Errorf("the error is %v", err)
			}
			if len(h.Requests()) != test.requests || tally.Requests().GitLab != test.requests {
				t.Errorf("%d requests arrived and %d were counted, want %d", len(h.Requests()), tally.Requests().GitLab, test.requests)
			}
			if !reflect.DeepEqual(h.pauses, test.pauses) {
				t.Errorf("the pauses are %v, want %v", h.pauses, test.pauses)
			}
		})
	}

	h := newHouse(t, nil)
	h.Inject(fake.Fault{Status: 429, Header: after("60")})
	_, err := h.client(t, nil).Project(context.Background(), h.id)
	failure := contactsync.FailureOf(err)
	if pause := time.Until(failure.RetryAt); failure.Retry != contactsync.RetryWhenTold || pause < 30*time.Second || pause > time.Minute {
		t.Errorf("it is to be tried again %s, in %s", failure.Retry, pause)
	}
}

// TestTime guards that a slow GitLab costs the time limit, and that a caller who gives up is known as such.
func TestTime(t *testing.T) {
	h := newHouse(t, nil)
	h.Inject(fake.Fault{Wait: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }})
	_, err := h.client(t, func(o *gitlab.Options) { o.Timeout = 30 * time.Millisecond }).Project(context.Background(), h.id)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "within 30ms")
	if contactsync.IsCanceled(err) {
		t.Errorf("a slow server counts as a caller who gave up: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = h.client(t, nil).Project(ctx, h.id)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "given up")
	if !contactsync.IsCanceled(err) {
		t.Errorf("the caller gave up, but the error is %v", err)
	}

	// A pause is given up with its context, with the clock as well as without.
	h = newHouse(t, nil)
	h.Inject(fake.Fault{Status: 429, Header: http.Header{"Retry-After": {"4"}}})
	_, err = h.client(t, func(o *gitlab.Options) { o.Timeout = 200 * time.Millisecond; o.Wait = nil }).Project(context.Background(), h.id)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "within 200ms")
}

// TestRedirects guards that the token never goes to another host.
func TestRedirects(t *testing.T) {
	var arrived atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived.Add(1) }))
	defer other.Close()
	h := newHouse(t, nil)
	remove := h.Inject(fake.Fault{Status: 302, Header: http.Header{"Location": {other.URL + "/api/v4/projects/4711"}}})
	_, err := h.client(t, nil).Project(context.Background(), h.id)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "another host, which is not followed")
	if arrived.Load() != 0 {
		t.Error("the other host was asked")
	}
	remove()
	h.Inject(fake.Fault{Path: regexp.MustCompile("/4711$"), Times: 1, Status: 302, Header: http.Header{"Location": {"/api/v4/projects/support%2Forganization-42"}}})
	if _, err := h.client(t, nil).Project(context.Background(), h.id); err != nil {
		t.Errorf("a redirect on the same host: %v", err)
	}
}

// TestCheckToken guards what config check can say about a token.
func TestCheckToken(t *testing.T) {
	tests := []struct {
		name     string
		options  func(*fake.Options)
		expires  contactsync.Date
		problems []string // a part of each
	}{
		{name: "good"},
		{name: "least", options: func(o *fake.Options) { o.Scopes = []string{"read_api", "read_repository"} }},
		{name: "no scope", options: func(o *fake.Options) { o.Scopes = []string{"read_user"} }, problems: []string{"read_api", "read_repository"}},
		{name: "cannot read repositories", options: func(o *fake.Options) { o.Scopes = []string{"read_api"} }, problems: []string{"read_repository"}},
		{name: "ends in a year", options: func(o *fake.Options) { o.TokenExpires = time.Date(2999, 6, 1, 0, 0, 0, 0, time.UTC) }, expires: "2999-06-01"},
		{name: "ends in two weeks", options: func(o *fake.Options) { o.TokenExpires = time.Date(2998, 6, 15, 0, 0, 0, 0, time.UTC) }, expires: "2998-06-15", problems: []string{"expires on 2998-06-15"}},
		{name: "ended", options: func(o *fake.Options) { o.TokenExpires = time.Date(2998, 6, 1, 0, 0, 0, 0, time.UTC) }, expires: "2998-06-01", problems: []string{"expired on 2998-06-01"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t, test.options)
			found, err := h.client(t, nil).CheckToken(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if !found.Active || found.User != 1 || found.Name == "" || found.Expires != test.expires {
				t.Errorf("the token is %+v", found)
			}
			problems := found.Problems("2998-06-01")
			if len(problems) != len(test.problems) {
				t.Fatalf("the problems are %q, want %q", problems, test.problems)
			}
			for i, part := range test.problems {
				if !strings.Contains(problems[i], part) {
					t.Errorf("problem %q does not say %q", problems[i], part)
				}
			}
		})
	}
	if problems := (gitlab.Token{Scopes: []string{"api"}}).Problems("2026-01-01"); len(problems) != 1 || !strings.Contains(problems[0], "not active") {
		t.Errorf("a token that is not active has the problems %q", problems)
	}

	h := newHouse(t, func(o *fake.Options) { o.TokenRevoked = true })
	_, err := h.client(t, nil).CheckToken(context.Background())
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "refuses the token", "Token was revoked")
}

// TestNew guards that options which cannot be are named at the start, without showing what may be secret in them.
func TestNew(t *testing.T) {
	for _, address := range []string{
		"", "gitlab.com", "ftp://gitlab.com", "http://gitlab.example.com", "https://", "https://user:swordfish@gitlab.com",
		"https://gitlab.com?token=swordfish", "https://gitlab.com#a", "https://user:swordfish@[::1",
	} {
		_, err := gitlab.New(gitlab.Options{URL: address, Token: token})
		if err == nil || strings.Contains(err.Error(), "swordfish") {
			t.Errorf("the address %q: %v", address, err)
		}
	}
	for _, address := range []string{"https://gitlab.com", "https://example.com/gitlab/", "http://localhost:8080", "http://127.0.0.1", "http://[::1]:80"} {
		if _, err := gitlab.New(gitlab.Options{URL: address, Token: token}); err != nil {
			t.Errorf("the address %q: %v", address, err)
		}
	}
	for _, bad := range []string{"", "two words", "line\n", "ünicode"} {
		_, err := gitlab.New(gitlab.Options{URL: "https://gitlab.com", Token: bad})
		if err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("the token %q: %v", bad, err)
		}
	}
}

// brokenTransport fails every request.
type brokenTransport struct{}

func (brokenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, errors.New("no route for " + r.Header.Get("PRIVATE-TOKEN"))
}

// TestHidesSecrets guards that not even a transport which repeats the token gets it into an error.
func TestHidesSecrets(t *testing.T) {
	h := newHouse(t, nil)
	_, err := h.client(t, func(o *gitlab.Options) { o.Transport = brokenTransport{} }).Project(context.Background(), 1)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "no route for [hidden]")
}
