package gitlab_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"contactsync"
	"contactsync/gitlab"
	fake "contactsync/internal/fakes/gitlab"
)

// wanted is what setting up asks of a default branch.
var wanted = contactsync.Protection{
	Branch: "master", Push: []contactsync.AccessLevel{contactsync.AccessDeveloper}, Merge: []contactsync.AccessLevel{contactsync.AccessDeveloper},
}

func maintainers(branch string) fake.Protection {
	return fake.Protection{Branch: branch, Push: []fake.Grant{{Level: fake.Maintainer}}, Merge: []fake.Grant{{Level: fake.Maintainer}}}
}

func developers(branch string) fake.Protection {
	return fake.Protection{Branch: branch, Push: []fake.Grant{{Level: fake.Developer}}, Merge: []fake.Grant{{Level: fake.Developer}}}
}

// wantRule fails the test unless the branch has exactly one rule, which is so.
func wantRule(t *testing.T, h *house, want fake.Protection) {
	t.Helper()
	rules, err := h.Protections(h.id)
	if err != nil {
		t.Fatal(err)
	}
	rules = slices.DeleteFunc(rules, func(p fake.Protection) bool { return p.Branch != want.Branch })
	if len(rules) != 1 || fmt.Sprint(rules[0]) != fmt.Sprint(want) {
		t.Errorf("the rules are %+v, want %+v", rules, want)
	}
}

// methods are the requests that arrived, in order.
func (h *house) methods() string {
	var methods []string
	for _, r := range h.Requests() {
		methods = append(methods, r.Method)
	}
	return strings.Join(methods, " ")
}

func (h *house) protect(t *testing.T, rule fake.Protection) {
	t.Helper()
	if err := h.Protect(h.id, rule); err != nil {
		t.Fatal(err)
	}
}

// TestProtection guards what is read of a rule: roles in order, people apart from roles, nobody apart from not told, and
// names with slashes and dots.
func TestProtection(t *testing.T) {
	h := newHouse(t, nil)
	client := h.client(t, nil)
	if _, found, err := client.Protection(t.Context(), h.id, "master"); found || err != nil {
		t.Errorf("without a rule: %v, %v", found, err)
	}
	h.protect(t, fake.Protection{Branch: "rel/1.*", Push: []fake.Grant{{Level: 40}, {Level: 30}}, ForcePush: true, CodeOwners: true})
	h.protect(t, fake.Protection{Branch: "keys", Push: []fake.Grant{{Level: 0}}, Merge: []fake.Grant{{Level: 30}, {User: 7}}})
	h.Inject(fake.Fault{Path: regexp.MustCompile("/custom$"), Status: 200, Header: http.Header{"Content-Type": {"application/json"}},
		Body: `{"name":"custom","push_access_levels":[{"id":1,"access_level":null,"member_role_id":5}],"merge_access_levels":[]}`})
	for branch, want := range map[string]contactsync.Protection{
		"custom":  {Branch: "custom", Push: []contactsync.AccessLevel{0}, Merge: []contactsync.AccessLevel{0}, Others: true},
		"rel/1.*": {Branch: "rel/1.*", Push: []contactsync.AccessLevel{30, 40}, Merge: []contactsync.AccessLevel{0}, ForcePush: true, CodeOwners: true},
		"keys":    {Branch: "keys", Push: []contactsync.AccessLevel{0}, Merge: []contactsync.AccessLevel{30}, Others: true},
	} {
		h.ForgetRequests()
		got, found, err := client.Protection(t.Context(), h.id, branch)
		if err != nil || !found || fmt.Sprint(got) != fmt.Sprint(want) || len(h.Requests()) != 1 {
			t.Errorf("read %+v, %v, %v for %d requests, want %+v", got, found, err, len(h.Requests()), want)
		}
	}
}

// TestProtect guards that the rule becomes exactly what was asked for from whatever it was, on both tiers, for no more
// requests than it takes, that it is left alone when it is so already, and that other rules stay.
func TestProtect(t *testing.T) {
	open := developers("master")
	open.ForcePush = true
	crowded := developers("master")
	crowded.Push = append(crowded.Push, fake.Grant{Level: 40}, fake.Grant{User: 7}, fake.Grant{DeployKey: 8})
	crowded.CodeOwners = true
	nobody := developers("master")
	nobody.Push, nobody.Merge = nil, []fake.Grant{{Level: 0}}
	const free, premium = true, false
	tests := []struct {
		name  string
		free  bool
		rule  *fake.Protection
		takes string
	}{
		{"no rule", premium, nil, "GET POST GET"},
		{"no rule on Free", free, nil, "GET POST GET"},
		{"so already", premium, new(developers("master")), "GET"},
		{"so already on Free", free, new(developers("master")), "GET"},
		{"GitLab's own", premium, new(maintainers("master")), "GET PATCH GET"},
		{"GitLab's own on Free", free, new(maintainers("master")), "GET PATCH GET DELETE POST GET"},
		{"force push", premium, &open, "GET PATCH GET"},
		{"force push on Free", free, &open, "GET PATCH GET"},
		{"people, keys and code owners", premium, &crowded, "GET PATCH GET"},
		{"nobody", premium, &nobody, "GET PATCH GET"},
		{"nobody on Free", free, &nobody, "GET PATCH GET DELETE POST GET"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t, func(o *fake.Options) { o.Free = test.free })
			h.protect(t, maintainers("*"))
			if test.rule != nil {
				h.protect(t, *test.rule)
			}
			client := h.client(t, nil)
			if err := client.Protect(t.Context(), h.id, wanted); err != nil {
				t.Fatal(err)
			}
			if h.methods() != test.takes {
				t.Errorf("it took %s, want %s", h.methods(), test.takes)
			}
			wantRule(t, h, developers("master"))
			wantRule(t, h, maintainers("*"))
			h.ForgetRequests()
			if err := client.Protect(t.Context(), h.id, wanted); err != nil || h.methods() != "GET" {
				t.Errorf("the second time: %v, %s", err, h.methods())
			}
		})
	}
}

// TestProtectSeveralRoles guards that a rule with several roles can be made on Premium, and that Free, which has none,
// is not said to have made it.
func TestProtectSeveralRoles(t *testing.T) {
	several := wanted
	several.Push = []contactsync.AccessLevel{30, 40}
	h := newHouse(t, nil)
	if err := h.client(t, nil).Protect(t.Context(), h.id, several); err != nil {
		t.Error(err)
	}
	free := newHouse(t, func(o *fake.Options) { o.Free = true })
	err := free.client(t, nil).Protect(t.Context(), free.id, several)
	wantClass(t, err, contactsync.ClassGitLabRefused, "master", "keeps another rule", "push from the levels [30]")
	wantRule(t, free, developers("master"))
	several.Others = true
	wantClass(t, h.client(t, nil).Protect(t.Context(), h.id, several), contactsync.ClassInternal)
}

// TestProtectRace guards that the rule which GitLab makes by itself meanwhile, when the first commit arrives, is changed.
func TestProtectRace(t *testing.T) {
	h := newHouse(t, func(o *fake.Options) { o.ProtectDefault = true })
	h.Inject(fake.Fault{Method: http.MethodPost, Times: 1, Wait: func(context.Context) error {
		_, err := h.Commit(h.id, fake.Commit{Files: map[string]string{"a": "1"}})
		return err
	}})
	if err := h.client(t, nil).Protect(t.Context(), h.id, wanted); err != nil {
		t.Fatal(err)
	}
	if want := "GET POST GET PATCH GET"; h.methods() != want {
		t.Errorf("it took %s, want %s", h.methods(), want)
	}
	wantRule(t, h, developers("master"))
}

// TestProtectFaults guards that no answer is taken for a yes, that what got through is seen, that nothing is sent twice
// while the branch is protected, and that a branch which is not is told of.
func TestProtectFaults(t *testing.T) {
	json := http.Header{"Content-Type": {"application/json"}}
	broken := fake.Fault{Status: 500, Header: json, Body: `{"message":"500 Internal Server Error"}`, Times: 1}
	proxy := fake.Fault{Status: 200, Header: http.Header{"Content-Type": {"text/html"}}, Body: "<html>", Times: 1}
	refused := fake.Fault{Status: 403, Header: json, Body: `{"message":"403 Forbidden"}`, Times: 1}
	with := func(f fake.Fault, method string, after bool, times int) fake.Fault {
		f.Method, f.After, f.Times = method, after, times
		return f
	}
	cut := fake.Fault{Reset: true}
	tests := []struct {
		name   string
		free   bool
		rule   bool // GitLab's own
		fault  fake.Fault
		class  contactsync.Class // "" for success
		words  string
		takes  string
		leaves string // the rule: developers, maintainers or none
	}{
		{"made, and lost", false, false, with(broken, "POST", true, 1), "", "", "GET POST GET", "developers"},
		{"made, and cut", false, false, with(cut, "POST", true, 1), "", "", "GET POST GET", "developers"},
		{"not made", false, false, with(broken, "POST", false, 1), contactsync.ClassRepositoryUnreachable, "500", "GET POST GET", "none"},
		{"a proxy's yes", false, false, with(proxy, "POST", false, 1), contactsync.ClassRepositoryUnreachable, "not GitLab's API", "GET POST GET", "none"},
		{"making is refused", false, false, with(refused, "POST", false, 1), contactsync.ClassGitLabRefused, "403 Forbidden", "GET POST", "none"},
		{"changed, and lost", false, true, with(broken, "PATCH", true, 1), "", "", "GET PATCH GET", "developers"},
		{"not changed", false, true, with(broken, "PATCH", false, 1), contactsync.ClassRepositoryUnreachable, "500", "GET PATCH GET", "maintainers"},
		{"a proxy's yes to a change", false, true, with(proxy, "PATCH", false, 1), contactsync.ClassRepositoryUnreachable, "not GitLab's API", "GET PATCH GET", "maintainers"},
		{"changing is refused", false, true, with(refused, "PATCH", false, 1), contactsync.ClassGitLabRefused, "403 Forbidden", "GET PATCH", "maintainers"},
		{"too often", false, true, with(fake.Fault{Status: 429, Body: "Retry later"}, "PATCH", false, 1), contactsync.ClassRepositoryUnreachable, "429", "GET PATCH", "maintainers"},
		{"deleted, and lost", true, true, with(cut, "DELETE", true, 1), "", "", "GET PATCH GET DELETE POST GET", "developers"},
		{"deleted by somebody else", true, true, with(fake.Fault{Status: 404, Header: json, Body: `{"message":"404 Not found"}`}, "DELETE", true, 1), "", "", "GET PATCH GET DELETE POST GET", "developers"},
		{"not deleted", true, true, with(broken, "DELETE", false, 1), contactsync.ClassRepositoryUnreachable, "500", "GET PATCH GET DELETE POST GET", "maintainers"},
		{"a proxy's no such thing", true, true, with(fake.Fault{Status: 404, Body: "<html>"}, "DELETE", false, 1), contactsync.ClassRepositoryUnreachable, "check gitlab.url", "GET PATCH GET DELETE", "maintainers"},
		{"deleting is refused", true, true, with(refused, "DELETE", false, 1), contactsync.ClassGitLabRefused, "403 Forbidden", "GET PATCH GET DELETE", "maintainers"},
		{"made anew, and lost", true, true, with(cut, "POST", true, 1), "", "", "GET PATCH GET DELETE POST GET", "developers"},
		{"made anew at the second try", true, true, with(broken, "POST", false, 1), "", "", "GET PATCH GET DELETE POST GET POST GET", "developers"},
		{"not made anew", true, true, with(broken, "POST", false, 2), contactsync.ClassRepositoryUnreachable, "NOT PROTECTED", "GET PATCH GET DELETE POST GET POST GET", "none"},
		{"making anew is refused", true, true, with(refused, "POST", false, 1), contactsync.ClassGitLabRefused, "NOT PROTECTED", "GET PATCH GET DELETE POST GET", "none"},
		{"a proxy makes it anew", true, true, with(proxy, "POST", false, 2), contactsync.ClassRepositoryUnreachable, "NOT PROTECTED", "GET PATCH GET DELETE POST GET POST GET", "none"},
		{"unreadable", false, true, fake.Fault{Method: "GET", Status: 200, Header: json, Body: `{"name":"main"}`}, contactsync.ClassRepositoryUnreachable, `"main"`, "GET", "maintainers"},
		{"a proxy's page", false, true, with(proxy, "GET", false, 1), contactsync.ClassRepositoryUnreachable, "cannot be understood", "GET", "maintainers"},
		{"a proxy has nothing", false, false, fake.Fault{Method: "GET", Status: 404, Body: "<html>"}, contactsync.ClassRepositoryUnreachable, "check gitlab.url", "GET", "none"},
		{"reading fails for a moment", false, true, with(broken, "GET", false, 2), "", "", "GET GET GET PATCH GET", "developers"},
		{"no token", false, true, fake.Fault{Status: 401, Header: json, Body: `{"message":"401 Unauthorized"}`}, contactsync.ClassRepositoryUnreachable, "refuses the token", "GET", "maintainers"},
		{"no such project", false, true, fake.Fault{Status: 404, Header: json, Body: `{"message":"404 Project Not Found"}`}, contactsync.ClassInvalidProjectID, "no such project", "GET", "maintainers"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t, func(o *fake.Options) { o.Free = test.free })
			if test.rule {
				h.protect(t, maintainers("master"))
			}
			h.Inject(test.fault)
			err := h.client(t, nil).Protect(t.Context(), h.id, wanted)
			if test.class == "" && err != nil {
				t.Fatal(err)
			}
			if test.class != "" {
				wantClass(t, err, test.class, test.words, "master", "4711")
			}
			if failure := contactsync.FailureOf(err); test.words == "NOT PROTECTED" && !strings.Contains(failure.Remedy, "by hand") {
				t.Errorf("the remedy is %q", failure.Remedy)
			}
			if h.methods() != test.takes {
				t.Errorf("it took %s, want %s", h.methods(), test.takes)
			}
			switch test.leaves {
			case "developers":
				wantRule(t, h, developers("master"))
			case "maintainers":
				wantRule(t, h, maintainers("master"))
			default:
				if rules, err := h.Protections(h.id); err != nil || len(rules) != 0 {
					t.Errorf("%+v, %v", rules, err)
				}
			}
		})
	}
}

// TestProtectGivenUp guards that a caller who gives up while the rule is being made anew leaves the branch protected.
func TestProtectGivenUp(t *testing.T) {
	h := newHouse(t, func(o *fake.Options) { o.Free = true })
	h.protect(t, maintainers("master"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h.Inject(fake.Fault{Method: http.MethodDelete, Wait: func(context.Context) error { cancel(); return nil }})
	if err := h.client(t, nil).Protect(ctx, h.id, wanted); err != nil {
		t.Error(err)
	}
	wantRule(t, h, developers("master"))
}

// TestFences guards that every write asks the fence first, each one of Protect too, and that a closed fence lets none
// through. The writes are counted by method.
func TestFences(t *testing.T) {
	lost := errors.New("the lease was lost")
	h := newHouse(t, func(o *fake.Options) {
		o.Free = true
		o.Users = []fake.User{{ID: 7, Username: "ada", Email: "ada@example.com"}}
	})
	if err := h.AddMember(h.id, fake.Member{User: 7, Level: 20}); err != nil {
		t.Fatal(err)
	}
	client := h.client(t, nil)
	calls := map[string]func(context.Context) error{
		"protect": func(ctx context.Context) error { return client.Protect(ctx, h.id, wanted) },
		"hook": func(ctx context.Context) error {
			_, err := client.CreateHook(ctx, h.id, contactsync.NewHook{URL: "https://example.com"})
			return err
		},
		"delete": func(ctx context.Context) error { return client.DeleteHook(ctx, h.id, 1) },
		"invite": func(ctx context.Context) error {
			_, err := client.Invite(ctx, h.id, []contactsync.Email{"grace@example.com"})
			return err
		},
		"withdraw":  func(ctx context.Context) error { return client.Withdraw(ctx, h.id, "grace@example.com") },
		"developer": func(ctx context.Context) error { return client.MakeDeveloper(ctx, h.id, 7) },
	}
	for name, call := range calls {
		// The fence lets so many writes through, and then no more.
		for lets := 0; ; lets++ {
			h.protect(t, maintainers("master"))
			h.ForgetRequests()
			passed := 0
			ctx := contactsync.WithFence(t.Context(), func(context.Context) error {
				if passed == lets {
					return lost
				}
				passed++
				return nil
			})
			err := call(ctx)
			writes := 0
			for _, r := range h.Requests() {
				if r.Method != http.MethodGet {
					writes++
				}
			}
			if writes > passed {
				t.Errorf("%s: %d writes, and the fence was asked %d times", name, writes, passed)
			}
			if err == nil {
				break
			}
			if !errors.Is(err, lost) || lets > 6 {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}

// TestRemedies guards that a refusal for want of rights says which are needed.
func TestRemedies(t *testing.T) {
	h := newHouse(t, func(o *fake.Options) { o.Access = 30 })
	err := h.client(t, nil).Protect(t.Context(), h.id, wanted)
	wantClass(t, err, contactsync.ClassGitLabRefused, "403 Forbidden")
	if failure := contactsync.FailureOf(err); !errors.Is(err, gitlab.ErrNotAllowed) || !strings.Contains(failure.Remedy, "Maintainer") {
		t.Errorf("%v: %s", err, failure.Remedy)
	}
	reader := newHouse(t, func(o *fake.Options) { o.Scopes = []string{"read_api"} })
	err = reader.client(t, nil).Protect(t.Context(), reader.id, wanted)
	wantClass(t, err, contactsync.ClassGitLabRefused, "insufficient_scope")
	if failure := contactsync.FailureOf(err); !strings.Contains(failure.Remedy, "scope api") {
		t.Errorf("%v: %s", err, failure.Remedy)
	}
	busy := newHouse(t, nil)
	busy.Inject(fake.Fault{Path: regexp.MustCompile("protected"), Method: http.MethodPost, Status: 429, Header: http.Header{"Retry-After": {"60"}}})
	failure := contactsync.FailureOf(busy.client(t, nil).Protect(t.Context(), busy.id, wanted))
	if failure == nil || failure.Retry != contactsync.RetryWhenTold || failure.RetryAt.IsZero() {
		t.Errorf("a GitLab that asks to wait: %+v", failure)
	}
}
