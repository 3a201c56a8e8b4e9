package zendesk_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"contactsync"
	fake "contactsync/internal/fakes/zendesk"
	"contactsync/zendesk"
)

func tokensMinted(w *world) int {
	n := 0
	for _, r := range w.Requests() {
		if r.Path == "/oauth/tokens" {
			n++
		}
	}
	return n
}

// Options that cannot work are refused before anything is sent, with the name of the setting to mend.
func TestNewRefuses(t *testing.T) {
	good := zendesk.Options{URL: "https://example.zendesk.com", ClientID: "a", ClientSecret: "s3cret"}
	for name, test := range map[string]struct {
		change func(*zendesk.Options)
		says   string
	}{
		"no address":        {func(o *zendesk.Options) { o.URL = "" }, "zendesk.url"},
		"plain http":        {func(o *zendesk.Options) { o.URL = "http://example.zendesk.com" }, "https"},
		"another scheme":    {func(o *zendesk.Options) { o.URL = "ftp://127.0.0.1" }, "https"},
		"a path":            {func(o *zendesk.Options) { o.URL += "/api/v2" }, "zendesk.url"},
		"secrets in it":     {func(o *zendesk.Options) { o.URL = "https://a:s3cret@example.zendesk.com" }, "zendesk.url"},
		"half an OAuth":     {func(o *zendesk.Options) { o.ClientSecret = "" }, "zendesk.client_secret"},
		"half an API token": {func(o *zendesk.Options) { o.ClientID, o.ClientSecret, o.Token = "", "", "s3cret" }, "zendesk.email"},
		"no credentials":    {func(o *zendesk.Options) { o.ClientID, o.ClientSecret = "", "" }, "credentials"},
		"a large budget":    {func(o *zendesk.Options) { o.Budget = 1.5 }, "zendesk.budget"},
		"a negative limit":  {func(o *zendesk.Options) { o.RequestsPerMinute = -1 }, "zendesk.requests_per_minute"},
		"an odd bulk":       {func(o *zendesk.Options) { o.Bulk = "yes" }, "zendesk.bulk"},
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			test.change(&o)
			_, err := zendesk.New(o)
			if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("New: %v, want an error about %s without the secret", err, test.says)
			}
		})
	}
	for _, address := range []string{"https://example.zendesk.com/", "http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:1"} {
		o := good
		o.URL = address
		if _, err := zendesk.New(o); err != nil {
			t.Errorf("New with %s: %v", address, err)
		}
	}
}

// One token serves until shortly before its end, whoever asks and however many ask at once.
func TestTokenIsKeptAndRenewed(t *testing.T) {
	w := newWorld(t)
	desk := w.desk()
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if err := desk.Check(context.Background()); err != nil {
				t.Errorf("Check: %v", err)
			}
		})
	}
	group.Wait()
	if n := tokensMinted(w); n != 1 {
		t.Errorf("%d tokens were asked for at once, want 1", n)
	}
	for range 30 { // five hours, with tokens of two
		wantNoError(t, w.clock.Wait(t.Context(), 10*time.Minute))
		wantNoError(t, desk.Check(t.Context()))
	}
	if n := tokensMinted(w); n != 3 {
		t.Errorf("%d tokens in five hours, want 3", n)
	}
	for _, r := range w.Requests() {
		if r.Status == http.StatusUnauthorized {
			t.Errorf("a token was used after its end: %+v", r)
		}
	}
}

// A token that the desk withdraws is replaced once, for reads and writes; a second refusal is an error.
func TestTokenRefusedInTheMiddle(t *testing.T) {
	w := newWorld(t)
	desk := w.desk()
	wantNoError(t, desk.Check(t.Context()))
	w.Inject(fake.Fault{Kind: fake.Unauthorized401, Times: 1, Match: fake.On(http.MethodGet, "account/settings")})
	wantNoError(t, desk.Check(t.Context()))
	w.Inject(fake.Fault{Kind: fake.Unauthorized401, Times: 1, Match: fake.On(http.MethodPost, "users")})
	outcomes, err := desk.Add(t.Context(), w.org, []contactsync.Addition{creation("new@example.com")})
	wantDone(t, outcomes, err)
	w.Inject(fake.Fault{Kind: fake.Unauthorized401, Match: fake.On(http.MethodGet, "account/settings")})
	wantClass(t, desk.Check(t.Context()), contactsync.ClassDeskUnauthorized)
	if n := tokensMinted(w); n != 4 {
		t.Errorf("%d tokens, want 4", n)
	}
}

// Wrong credentials, in either mode, are named as such by Check and by every call, without the secret.
func TestWrongCredentials(t *testing.T) {
	for name, change := range map[string]func(*zendesk.Options){
		"OAuth client": func(o *zendesk.Options) { o.ClientSecret = "s3cret" },
		"API token": func(o *zendesk.Options) {
			o.ClientID, o.ClientSecret, o.Email, o.Token = "", "", agentEmail, "s3cret"
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			desk := w.desk(change)
			_, err := desk.Members(t.Context(), w.org)
			wantClass(t, err, contactsync.ClassDeskUnauthorized)
			outcomes, addErr := desk.Add(t.Context(), w.org, []contactsync.Addition{creation("new@example.com")})
			wantClass(t, addErr, contactsync.ClassDeskUnauthorized)
			if outcomes != nil {
				t.Errorf("outcomes %v came with the error", outcomes)
			}
			check := desk.Check(t.Context())
			wantClass(t, check, contactsync.ClassDeskUnauthorized)
			for _, e := range []error{err, addErr, check} {
				if strings.Contains(e.Error(), "s3cret") {
					t.Errorf("the error tells the secret: %v", e)
				}
			}
		})
	}
}

// Zendesk hands out tokens with fewer scopes than were asked for; that is noticed at once, and named.
func TestMissingScopesAreNamed(t *testing.T) {
	for granted, missing := range map[string]string{
		"read users:write":                     "organizations:write",
		"users:read users:write":               "read",
		"read write":                           "",
		"read organizations:write users:write": "",
		"":                                     "users:write",
	} {
		t.Run(granted, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/oauth/tokens" {
					w.WriteHeader(http.StatusCreated)
					_, _ = w.Write([]byte(`{"access_token":"t0ken","token_type":"bearer","expires_in":600,"scope":"` + granted + `"}`))
					return
				}
				_, _ = w.Write([]byte(`{"settings":{}}`))
			}))
			defer server.Close()
			desk, err := zendesk.New(zendesk.Options{URL: server.URL, ClientID: "a", ClientSecret: "b"})
			wantNoError(t, err)
			err = desk.Check(t.Context())
			if missing == "" {
				wantNoError(t, err)
				return
			}
			wantClass(t, err, contactsync.ClassDeskUnauthorized)
			if !strings.Contains(err.Error(), missing) || strings.Contains(err.Error(), "t0ken") {
				t.Errorf("%v: want %s named, and no token", err, missing)
			}
		})
	}
}

// The check is one request a time, and one that the desk answers to nobody but agents: being let in as nobody in
// particular, or as an end user, is not enough.
func TestCheck(t *testing.T) {
	for name, test := range map[string]struct {
		status int
		body   string
		class  contactsync.Class
	}{
		"agent":          {200, `{"settings":{"user":{"multiple_organizations":true}}}`, ""},
		"end user":       {403, `{"error":{"title":"Forbidden","message":"You do not have access to this page."}}`, contactsync.ClassDeskUnauthorized},
		"nobody":         {401, `{"error":"Couldn't authenticate you"}`, contactsync.ClassDeskUnauthorized},
		"another system": {200, `{"user":{"id":null,"name":"Anonymous user","role":"end-user"}}`, contactsync.ClassDeskUnreadable},
		"a list":         {200, `[]`, contactsync.ClassDeskUnreadable},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			}))
			defer server.Close()
			desk, err := zendesk.New(zendesk.Options{URL: server.URL, Email: agentEmail, Token: agentToken})
			wantNoError(t, err)
			wantClass(t, desk.Check(t.Context()), test.class)
		})
	}
	w := newWorld(t)
	desk := w.desk()
	for i, want := range []int{2, 1, 1} { // the token is asked for once
		wantNoError(t, w.clock.Wait(t.Context(), time.Minute))
		if n := w.counted(func(ctx context.Context) { wantNoError(t, desk.Check(ctx)) }); n != want {
			t.Errorf("check %d took %d requests, want %d:\n%s", i, n, want, w.log())
		}
	}
	w.Configure(func(s *fake.Settings) { s.MultipleOrganizations = true })
	wantNoError(t, desk.Check(t.Context()))
	if shares, err := desk.SharesPeople(t.Context()); err != nil || !shares {
		t.Errorf("SharesPeople = %v, %v: what the check read was not taken in", shares, err)
	}
}

// An API token works, and warns once with the day of its end.
func TestAPITokenWarns(t *testing.T) {
	w := newWorld(t)
	var warnings []string
	desk := w.desk(func(o *zendesk.Options) {
		o.ClientID, o.ClientSecret, o.Email, o.Token = "", "", agentEmail, agentToken
		o.Warn = func(text string) { warnings = append(warnings, text) }
	})
	wantNoError(t, desk.Check(t.Context()))
	wantNoError(t, desk.Check(t.Context()))
	if len(warnings) != 1 || !strings.Contains(warnings[0], "2027-04-30") || strings.Contains(warnings[0], agentToken) {
		t.Errorf("warnings %q", warnings)
	}
	if end := desk.CredentialsEnd(); end != "2027-04-30" {
		t.Errorf("the credentials end on %q", end)
	}
	if end := w.desk().CredentialsEnd(); end != "" {
		t.Errorf("an OAuth client ends on %q", end)
	}
}

// Credentials go to the configured address alone: a redirect is an error that names where it leads.
func TestRedirectsAreNotFollowed(t *testing.T) {
	var strangers []string
	stranger := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		strangers = append(strangers, r.Header.Get("Authorization"))
	}))
	defer stranger.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, stranger.URL+"/elsewhere?secret=1", http.StatusFound)
	}))
	defer server.Close()
	desk, err := zendesk.New(zendesk.Options{URL: server.URL, Email: agentEmail, Token: agentToken})
	wantNoError(t, err)
	_, err = desk.OrganizationByID(t.Context(), "1")
	wantClass(t, err, contactsync.ClassDeskUnreadable)
	host := strings.TrimPrefix(stranger.URL, "http://")
	if !strings.Contains(err.Error(), host) || len(strangers) > 0 {
		t.Errorf("%v; the stranger was asked %q", err, strangers)
	}
	if outcomes, err := desk.Remove(t.Context(), contactsync.Organization{ID: "1"}, []contactsync.Member{{Person: contactsync.Person{ID: "2", Role: contactsync.RoleContact}, Membership: "3"}}); err == nil && outcomes[0].Err == nil {
		t.Error("a redirected deletion is called done")
	}
}

// Desks in one process do not share anything, such as the library's one map of headers.
func TestUserAgent(t *testing.T) {
	var mu sync.Mutex
	var agents []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		agents = append(agents, r.Header.Get("User-Agent"))
		_, _ = w.Write([]byte(`{"settings":{}}`))
	}))
	defer server.Close()
	for _, agent := range []string{"", "contactsync/1.2"} {
		desk, err := zendesk.New(zendesk.Options{URL: server.URL, Email: agentEmail, Token: agentToken, UserAgent: agent})
		wantNoError(t, err)
		wantNoError(t, desk.Check(t.Context()))
	}
	if !slices.Equal(agents, []string{"contactsync", "contactsync/1.2"}) {
		t.Errorf("agents %q", agents)
	}
}
