package gitlab_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"contactsync"
	"contactsync/gitlab"
	fake "contactsync/internal/fakes/gitlab"
)

// sent is a request as it left the client.
type sent struct {
	method, path string
	body         map[string]any
}

// tap keeps the requests that pass it.
type tap struct {
	t    *testing.T
	sent []sent
}

func (w *tap) RoundTrip(request *http.Request) (*http.Response, error) {
	passed := sent{method: request.Method, path: request.URL.Path}
	if request.Body != nil {
		body, err := io.ReadAll(request.Body)
		if err != nil {
			return nil, err
		}
		request.Body = io.NopCloser(bytes.NewReader(body))
		if len(body) > 0 {
			if err := json.Unmarshal(body, &passed.body); err != nil {
				w.t.Errorf("%s %s: %v", passed.method, passed.path, err)
			}
		}
	}
	w.sent = append(w.sent, passed)
	return http.DefaultTransport.RoundTrip(request)
}

func tapped(t *testing.T, h *house) (*gitlab.Client, *tap) {
	wire := &tap{t: t}
	return h.client(t, func(o *gitlab.Options) { o.Transport = wire }), wire
}

const signing = "whsec_c3dvcmRmaXNoc3dvcmRmaXNoc3dvcmRmaXNoc3dvcmQ="

// TestCreateHook guards what a new hook is asked for: all of it at once, no other event, TLS verified; and what is told
// of it, on a GitLab that knows signing tokens and on one that does not.
func TestCreateHook(t *testing.T) {
	for _, old := range []bool{false, true} {
		h := newHouse(t, func(o *fake.Options) { o.OldHooks = old })
		client, wire := tapped(t, h)
		hook, err := client.CreateHook(t.Context(), h.id, contactsync.NewHook{
			URL: "https://contacts.example.com/api/v4/projects/4711/ref/master/trigger/pipeline?token={TOKEN}", Variables: map[string]string{"TOKEN": "swordfish"},
			Branch: "master", MergeRequests: true, Token: "swordfish", SigningToken: signing,
		})
		if err != nil {
			t.Fatal(err)
		}
		want := contactsync.Hook{
			ID: 1, Address: "https://contacts.example.com/api/v4/projects/4711/ref/master/trigger/pipeline", PushEvents: true, MergeRequests: true,
			VerifyTLS: true, BranchFilter: "master", BranchStrategy: "wildcard", AlertStatus: "executable", TokenPresent: true, SigningTokenPresent: !old,
		}
		if hook != want {
			t.Errorf("made %+v, want %+v", hook, want)
		}
		if hooks, err := client.Hooks(t.Context(), h.id); err != nil || len(hooks) != 1 || hooks[0] != want {
			t.Errorf("GitLab has %+v, %v", hooks, err)
		}
		if len(wire.sent) != 3 || wire.sent[1].method != http.MethodPost {
			t.Fatalf("sent %+v", wire.sent)
		}
		body := wire.sent[1].body
		events := 0
		for name, value := range body {
			if strings.HasSuffix(name, "_events") {
				events++
				if value != (name == "push_events" || name == "merge_requests_events") {
					t.Errorf("%s is %v", name, value)
				}
			}
		}
		if events < 15 || body["enable_ssl_verification"] != true || body["branch_filter_strategy"] != "wildcard" {
			t.Errorf("sent %v", body)
		}
	}
}

// TestCreatePlainHook guards that what was not asked for is not sent: an empty token would be a token.
func TestCreatePlainHook(t *testing.T) {
	h := newHouse(t, nil)
	client, wire := tapped(t, h)
	hook, err := client.CreateHook(t.Context(), h.id, contactsync.NewHook{URL: "https://contacts.example.com/hooks/gitlab", Branch: "ma*"})
	if err != nil || hook.MergeRequests || hook.TokenPresent || hook.SigningTokenPresent {
		t.Errorf("%+v, %v", hook, err)
	}
	for _, name := range []string{"token", "signing_token", "url_variables"} {
		if _, ok := wire.sent[1].body[name]; ok {
			t.Errorf("%s was sent: %v", name, slices.Sorted(maps.Keys(wire.sent[1].body)))
		}
	}
}

// TestCreateHookFaults guards that a hook is asked for once, whatever comes of it; that one whose answer was lost is
// found, and no other is taken for it; and that nothing that was sent in confidence is in an error.
func TestCreateHookFaults(t *testing.T) {
	header := http.Header{"Content-Type": {"application/json"}}
	wish := contactsync.NewHook{URL: "https://contacts.example.com/{PART}/hooks/gitlab", Variables: map[string]string{"PART": "swordfish-part"},
		Branch: "master", Token: "swordfish-hook", SigningToken: signing}
	tests := []struct {
		name   string
		fault  fake.Fault
		class  contactsync.Class // "" for success
		words  string
		remedy string
		takes  string
		hooks  int // with the one that was there
	}{
		{"made, and lost", fake.Fault{Status: 502, After: true}, "", "", "", "GET POST GET", 2},
		{"made, and cut", fake.Fault{Reset: true, After: true}, "", "", "", "GET POST GET", 2},
		{"made, and told in HTML", fake.Fault{ContentType: "text/html"}, "", "", "", "GET POST GET", 2},
		{"made, and half told", fake.Fault{Truncate: 20}, "", "", "", "GET POST GET", 2},
		{"not made", fake.Fault{Status: 500, Header: header, Body: `{"message":"500 swordfish-hook"}`}, contactsync.ClassRepositoryUnreachable, "500 [hidden]", "before you run", "GET POST GET", 1},
		{"a proxy's yes", fake.Fault{Status: 200, Body: "<html>"}, contactsync.ClassRepositoryUnreachable, "cannot be understood", "before you run", "GET POST GET", 1},
		{"refused", fake.Fault{Status: 422, Header: header, Body: `{"error":"Invalid swordfish-part given to ` + signing + `"}`}, contactsync.ClassGitLabRefused, "Invalid [hidden] given to [hidden]", "", "GET POST", 1},
		{"too many", fake.Fault{Status: 400, Header: header, Body: `{"message":{"base":["Maximum number of project hooks (100) exceeded"]}}`}, contactsync.ClassGitLabRefused, "Maximum number", "", "GET POST", 1},
		{"too often", fake.Fault{Status: 429, Body: "Retry later"}, contactsync.ClassRepositoryUnreachable, "429", "", "GET POST", 1},
		{"no right", fake.Fault{Status: 403, Header: header, Body: `{"message":"403 Forbidden"}`}, contactsync.ClassGitLabRefused, "403", "Maintainer", "GET POST", 1},
		{"a proxy's no", fake.Fault{Status: 403, Body: "<html>"}, contactsync.ClassRepositoryUnreachable, "does not let", "", "GET POST", 1},
		{"an unknown token", fake.Fault{Status: 401, Header: header, Body: `{"message":"401 Unauthorized"}`}, contactsync.ClassRepositoryUnreachable, "refuses the token", "", "GET POST", 1},
		{"no project", fake.Fault{Status: 404, Header: header, Body: `{"message":"404 Project Not Found"}`}, contactsync.ClassInvalidProjectID, "no such project", "", "GET POST", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t, nil)
			// The same address, made before: it is not the one.
			if _, err := h.AddHook(h.id, fake.Hook{URL: wish.URL, Variables: wish.Variables}); err != nil {
				t.Fatal(err)
			}
			test.fault.Method = http.MethodPost
			h.Inject(test.fault)
			client := h.client(t, nil)
			hook, err := client.CreateHook(t.Context(), h.id, wish)
			if test.class == "" && (err != nil || hook.ID != 2 || !hook.SigningTokenPresent) {
				t.Errorf("%+v, %v", hook, err)
			}
			if test.class != "" {
				wantClass(t, err, test.class, test.words, "making a hook of project 4711")
				if failure := contactsync.FailureOf(err); !strings.Contains(failure.Remedy, test.remedy) || strings.Contains(failure.Detail, signing) {
					t.Errorf("%+v", failure)
				}
			}
			if h.methods() != test.takes {
				t.Errorf("it took %s, want %s", h.methods(), test.takes)
			}
			if hooks, err := client.Hooks(t.Context(), h.id); err != nil || len(hooks) != test.hooks {
				t.Errorf("there are %d hooks, %v", len(hooks), err)
			}
		})
	}
}

// TestCreateHookLost guards that of two new hooks with the address none is taken, because one is somebody else's, and
// that a GitLab which does not answer any more is told of as one that may have made it.
func TestCreateHookLost(t *testing.T) {
	wish := contactsync.NewHook{URL: "https://contacts.example.com/hooks/gitlab", Branch: "master"}
	h := newHouse(t, nil)
	client := h.client(t, nil)
	two := gitlab.Options{URL: h.URL(), Token: token, Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		response, err := http.DefaultTransport.RoundTrip(r)
		if err == nil && r.Method == http.MethodPost {
			response.StatusCode = http.StatusBadGateway
			if _, err := h.AddHook(h.id, fake.Hook{URL: wish.URL}); err != nil {
				t.Error(err)
			}
		}
		return response, err
	})}
	doubting, err := gitlab.New(two)
	if err != nil {
		t.Fatal(err)
	}
	_, err = doubting.CreateHook(t.Context(), h.id, wish)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "502")
	if hooks, err := client.Hooks(t.Context(), h.id); err != nil || len(hooks) != 2 {
		t.Errorf("%+v, %v", hooks, err)
	}

	h.ForgetRequests()
	h.Inject(fake.Fault{Method: http.MethodPost, Reset: true, After: true, Times: 1})
	h.Inject(fake.Fault{Method: http.MethodGet, Times: 1}) // the first list is fine
	h.Inject(fake.Fault{Method: http.MethodGet, Status: 503})
	_, err = client.CreateHook(t.Context(), h.id, wish)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "cannot be reached")
	if failure := contactsync.FailureOf(err); !strings.Contains(failure.Remedy, "before you run") || h.methods() != "GET POST GET GET GET" {
		t.Errorf("%+v for %s", failure, h.methods())
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestDeleteHook guards that a hook that is gone is no error, and that nothing else is taken for one.
func TestDeleteHook(t *testing.T) {
	h := newHouse(t, nil)
	if _, err := h.AddHook(h.id, fake.Hook{URL: "https://example.com"}); err != nil {
		t.Fatal(err)
	}
	client := h.client(t, nil)
	for range 2 {
		if err := client.DeleteHook(t.Context(), h.id, 1); err != nil {
			t.Error(err)
		}
	}
	if hooks, err := client.Hooks(t.Context(), h.id); err != nil || len(hooks) != 0 {
		t.Errorf("%+v, %v", hooks, err)
	}
	wantClass(t, client.DeleteHook(t.Context(), 99, 1), contactsync.ClassInvalidProjectID, "hook 1 of project 99")
	for _, fault := range []fake.Fault{
		{Status: 404, Body: "<html>"}, {Status: 200, Body: "<html>"}, {Status: 502, After: true}, {Reset: true},
	} {
		remove := h.Inject(fault)
		h.ForgetRequests()
		wantClass(t, client.DeleteHook(t.Context(), h.id, 1), contactsync.ClassRepositoryUnreachable, "hook 1")
		if h.methods() != http.MethodDelete {
			t.Errorf("it took %s", h.methods())
		}
		remove()
	}
}
