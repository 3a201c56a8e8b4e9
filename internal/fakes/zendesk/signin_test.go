package zendesk_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"contactsync/internal/fakes/zendesk"
)

func (w *world) token(input object) reply {
	w.t.Helper()
	body := object{"grant_type": "client_credentials", "client_id": clientID, "client_secret": clientSecret}
	for key, value := range input {
		body[key] = value
	}
	got, err := send(w.request("POST", "/oauth/tokens", body))
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

func (w *world) bearer(token, method, path string, body any) reply {
	w.t.Helper()
	request := w.request(method, path, body)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	got, err := send(request)
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

// A token is granted for client credentials, for as long as was asked within the limits, and says what it covers.
func TestTokenIsGranted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.want(w.token(object{"scope": "read write", "expires_in": 600}), http.StatusCreated)
	token, _ := got.get("access_token").(string)
	if token == "" || got.get("token_type") != "bearer" || got.get("scope") != "read write" || got.id("expires_in") != 600 {
		t.Fatalf("got %s", got.text)
	}
	w.want(w.bearer(token, "GET", "/api/v2/users", nil), 200)
	w.clock.Advance(600*time.Second - time.Nanosecond)
	w.want(w.bearer(token, "GET", "/api/v2/users", nil), 200)
	w.clock.Advance(time.Nanosecond)
	w.want(w.bearer(token, "GET", "/api/v2/users", nil), 401)
}

// Wrong credentials and life times outside the limits get no token.
func TestTokenIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, test := range map[string]struct {
		input  object
		status int
		code   string
	}{
		"secret":    {object{"client_secret": "wrong"}, 401, "invalid_client"},
		"client":    {object{"client_id": "other"}, 401, "invalid_client"},
		"grant":     {object{"grant_type": "password"}, 400, "unsupported_grant_type"},
		"too short": {object{"expires_in": 300}, 400, "invalid_request"},
		"too long":  {object{"expires_in": 172800}, 400, "invalid_request"},
	} {
		got := w.want(w.token(test.input), test.status)
		if got.get("error") != test.code || got.get("access_token") != nil {
			t.Errorf("%s: got %s", name, got.text)
		}
	}
	w.want(w.token(object{"expires_in": 301}), 201)
	w.want(w.token(object{"expires_in": 172799}), 201)
}

// A token covers what its scopes name: broad ones all of a kind, narrow ones one resource.
func TestScopes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		scope, method, path string
		status              int
	}{
		{"read", "GET", "/api/v2/users", 200},
		{"read", "POST", "/api/v2/users", 403},
		{"write", "GET", "/api/v2/users", 403},
		{"users:read", "GET", "/api/v2/users", 200},
		{"users:read", "GET", "/api/v2/organizations", 403},
		{"users:read", "GET", "/api/v2/job_statuses", 403},
		{"organizations:read", "GET", "/api/v2/organization_memberships", 200},
		{"read users:write", "POST", "/api/v2/users", 422},
		{"read users:write", "POST", "/api/v2/organization_memberships", 403},
		{"", "GET", "/api/v2/users", 403},
	} {
		t.Run(test.scope+" "+test.method+" "+test.path, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			token, _ := w.token(object{"scope": test.scope}).get("access_token").(string)
			var body any
			if test.method == "POST" {
				body = object{}
			}
			w.want(w.bearer(token, test.method, test.path, body), test.status)
		})
	}
}

// An unknown scope yields a token that is good for nothing; what was granted tells.
func TestUnknownScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.want(w.token(object{"scope": "read people:write"}), http.StatusCreated)
	if got.get("scope") != "read" {
		t.Errorf("granted %v", got.get("scope"))
	}
	token, _ := got.get("access_token").(string)
	w.want(w.bearer(token, "GET", "/api/v2/users", nil), http.StatusForbidden)
}

// A client is granted no more than it may have.
func TestScopesOfTheClient(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	limited := zendesk.New(zendesk.Options{Clock: w.clock.Now, ClientID: clientID, ClientSecret: clientSecret, Scopes: "read"})
	w.url = serve(t, limited)
	got := w.token(object{"scope": "read write"})
	if got.get("scope") != "read" {
		t.Errorf("granted %v", got.get("scope"))
	}
	token, _ := got.get("access_token").(string)
	w.want(w.bearer(token, "GET", "/api/v2/users", nil), 200)
	w.want(w.bearer(token, "POST", "/api/v2/users", object{}), 403)
}

// Without or with wrong credentials everything is refused, except that users/me answers 200 with nobody.
func TestAnonymous(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	me := "/api/v2/users/me.json"
	got := w.want(w.bearer("", "GET", me, nil), 200)
	if got.get("user", "id") != nil || got.get("user", "name") != "Anonymous user" {
		t.Errorf("got %s", got.text)
	}
	basic := func(user, password, path string) reply {
		request := w.request("GET", path, nil)
		request.SetBasicAuth(user, password)
		got, err := send(request)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := w.want(basic(agentEmail, "password", me), 200); got.get("user", "id") != nil {
		t.Errorf("a wrong password is somebody: %s", got.text)
	}
	w.want(basic(agentEmail+"/token", "wrong", me), 401)
	w.want(w.bearer("wrong", "GET", me, nil), 401)
	w.want(w.bearer("", "GET", "/api/v2/users", nil), 401)
	w.want(basic(agentEmail, "password", "/api/v2/users"), 401)
	if got := basic("other@example.com/token", agentToken, "/api/v2/users"); got.status != 401 || got.get("error") != "Couldn't authenticate you" {
		t.Errorf("got %d %s", got.status, got.text)
	}
	if got := w.call("GET", me, nil); got.get("user", "id") == nil {
		t.Errorf("signed in, yet nobody: %s", got.text)
	}
	w.want(w.bearer("", "GET", "/api/v2/nothing", nil), 401)
}

// A stand-in without credentials lets nobody in.
func TestNoCredentialsConfigured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.url = serve(t, zendesk.New(zendesk.Options{}))
	w.want(w.call("GET", "/api/v2/users", nil), 401)
	w.want(w.token(object{"client_id": "", "client_secret": ""}), 401)
}

// Revoked tokens are refused in the middle of work; a new one goes on.
func TestRevokedTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	token, _ := w.token(object{"scope": "read"}).get("access_token").(string)
	w.RevokeTokens()
	w.want(w.bearer(token, "GET", "/api/v2/users", nil), 401)
	token, _ = w.token(object{"scope": "read"}).get("access_token").(string)
	w.want(w.bearer(token, "GET", "/api/v2/users", nil), 200)
}

// The account's limit is told in headers, and enforced with Retry-After as seconds or as a date.
func TestAccountRateLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got := w.call("GET", "/api/v2/users", nil); got.header.Get("X-Rate-Limit") != "" {
		t.Errorf("headers without a limit: %v", got.header)
	}
	w.Configure(func(s *zendesk.Settings) { s.RateLimit = 3 })
	for left := 2; left >= 0; left-- {
		got := w.want(w.call("GET", "/api/v2/users", nil), 200)
		for name, want := range map[string]string{
			"X-Rate-Limit": "3", "Ratelimit-Limit": "3", "X-Rate-Limit-Remaining": strconv.Itoa(left),
			"Ratelimit-Remaining": strconv.Itoa(left), "Ratelimit-Reset": "60",
		} {
			if got.header.Get(name) != want {
				t.Errorf("%s: %q, want %q", name, got.header.Get(name), want)
			}
		}
	}
	w.clock.Advance(20 * time.Second)
	got := w.want(w.call("GET", "/api/v2/users", nil), 429)
	if got.header.Get("Retry-After") != "40" || got.get("error") != "APIRateLimitExceeded" {
		t.Errorf("got %v %s", got.header, got.text)
	}
	w.Configure(func(s *zendesk.Settings) { s.RetryAfterDate = true })
	got = w.want(w.call("GET", "/api/v2/users", nil), 429)
	at, err := http.ParseTime(got.header.Get("Retry-After"))
	if err != nil || !at.Equal(w.clock.Now().Add(40*time.Second)) {
		t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
	}
	w.clock.Advance(40 * time.Second)
	w.want(w.call("GET", "/api/v2/users", nil), 200)
	w.wantNoViolations()
}

// People are updated once a second, and each five times a minute; more is refused and noted, unless switched off.
func TestUpdateRateLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada, bob := w.person("Ada", "ada@example.com"), w.person("Bob", "bob@example.com")
	rename := func(id int64) reply { return w.call("PUT", userPath(id), object{"user": object{"name": "X"}}) }
	w.want(rename(ada), 200)
	w.wantNoViolations()
	if got := w.want(rename(bob), 429); got.header.Get("Retry-After") != "1" || got.header.Get("Zendesk-Ratelimit-Create-Update-User") == "" {
		t.Errorf("got %v", got.header)
	}
	w.wantViolation("faster than the documented limit")
	for range 4 {
		w.clock.Advance(time.Second)
		w.want(rename(ada), 200)
	}
	w.clock.Advance(time.Second)
	w.want(rename(ada), 429)
	w.clock.Advance(time.Second)
	w.want(rename(bob), 200)
	w.Configure(func(s *zendesk.Settings) { s.UpdateLimit = false })
	w.want(rename(ada), 200)
	w.want(rename(ada), 200)
}
