package main_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"contactsync"
	fakegitlab "contactsync/internal/fakes/gitlab"
	fakezendesk "contactsync/internal/fakes/zendesk"
)

const homeGroup = "support/zd-global-orgs"

// home is a world in which projects are made: a group for them, an organization without a project, and a receiver that
// takes every delivery with the token, or signed, or at the original trigger address.
type home struct {
	*world
	repositories string // folder
	asked        int64  // number of the ticket, where there is one
	mend         func() // takes an injected fault away
	delivered    atomic.Int64
	refusing     atomic.Bool
	wanted       atomic.Value // the token that deliveries must carry, if it is another one
	receiver     string
}

func newHome(t testing.TB, change func(*fakegitlab.Options)) *home {
	t.Helper()
	options := fakegitlab.Options{Dir: t.TempDir(), Token: token, Access: fakegitlab.Owner}
	if change != nil {
		change(&options)
	}
	forge, err := fakegitlab.New(options)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(forge)
	t.Cleanup(forge.Close)
	t.Cleanup(server.Close)
	forge.SetURL(server.URL)
	if _, err := forge.AddGroup(homeGroup); err != nil {
		t.Fatal(err)
	}
	h := &home{world: newWorldAround(t, forge), repositories: options.Dir}
	h.wanted.Store(hookToken)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h.refusing.Load() || r.Header.Get("X-Gitlab-Token") != h.wanted.Load() && r.Header.Get("Webhook-Signature") == "" && r.URL.Query().Get("token") == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.delivered.Add(1)
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(receiver.Close)
	h.receiver = receiver.URL
	h.set("CONTACTSYNC_WEBHOOK_URL="+receiver.URL, "CONTACTSYNC_WEBHOOK_TOKEN="+hookToken, "CONTACTSYNC_GITLAB_GROUP="+homeGroup)
	h.org = h.desk.AddOrganization(fakezendesk.Organization{Name: "Engines"})
	h.member("Ada Lovelace", "ada@example.com")
	h.member("Alan Turing", "alan@example.com")
	h.subscribed(nil)
	return h
}

// procedure is the document, as programs see it.
type procedure struct {
	contactsync.Procedure
	Requests contactsync.Requests `json:"requests"`
	Error    *contactsync.Failure `json:"error"`
}

func (p procedure) told() string {
	var lines []string
	for _, s := range p.Steps {
		lines = append(lines, fmt.Sprintf("%s %s: %s", s.State, s.Name, strings.Join(s.Details, " / ")))
	}
	return strings.Join(lines, "\n")
}

func (h *home) setup(more ...string) (procedure, result) {
	h.Helper()
	var document procedure
	got := h.json(&document, h.setupArgs(more...)...)
	return document, got
}

func (h *home) setupArgs(more ...string) []string {
	return append([]string{"setup", "--organization", fmt.Sprint(h.org), "--maintainers", "ada@example.com,grace@example.com",
		"--requester", "ada@example.com", "--attest", "authorized=order 4711"}, more...)
}

// Setting up makes everything that a project needs, in at most 40 requests to GitLab, whatever it is made from and
// wherever; a second time it finds everything there, and changes nothing.
func TestSetup(t *testing.T) {
	t.Parallel()
	ways := append(settingsUp(), setting{name: "eligibility asks GitLab, group template, on Free with a ticket",
		options: func(o *fakegitlab.Options) { o.Free, o.ProtectDefault, o.ImportPolls = true, true, 7 },
		arrange: func(h *home) {
			h.template()
			h.ticket(nil)
			h.customer("premium", 50)
		}, args: []string{"--namespace", "engines", "--username", "ada"}})
	for _, s := range ways {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			h, args := s.home(t)
			first, got := h.setup(args...)
			if got.status != 0 || first.State != contactsync.ProcedureDone {
				t.Fatalf("status %d\n%s\n%s%s", got.status, first.told(), got.stdout, got.stderr)
			}
			if first.Requests.GitLab > 40 || first.Requests.GitLab < 10 {
				t.Errorf("took %d requests to GitLab, at most 40 are allowed", first.Requests.GitLab)
			}
			t.Logf("%s: %+v", s.name, first.Requests)
			h.isSetUp(first.Project)
			state := h.state()
			second, got := h.setup(args...)
			if got.status != 0 || slices.ContainsFunc(second.Steps, func(s contactsync.StepResult) bool { return s.State == contactsync.StepDone }) {
				t.Fatalf("status %d\n%s\n%s%s", got.status, second.told(), got.stdout, got.stderr)
			}
			if again := h.state(); leaveProcedures(again) != leaveProcedures(state) {
				t.Errorf("a second time changes the state to\n%s\nfrom\n%s", again, state)
			}
			h.isClean()
		})
	}
}

// leaveProcedures takes the journal's lines out of a state.
func leaveProcedures(state string) string {
	return regexp.MustCompile(`(?m)^procedure .*\n?`).ReplaceAllString(state, "")
}

// isSetUp checks, apart from the program, that everything is as the policy wants it.
func (h *home) isSetUp(id int64) {
	h.Helper()
	var projects []map[string]any
	h.ask("/groups/"+strings.ReplaceAll(homeGroup, "/", "%2F")+"/projects", &projects)
	if len(projects) != 1 {
		h.Fatalf("there are %d projects", len(projects))
	}
	p := projects[0]
	for key, want := range map[string]any{
		"name": fmt.Sprintf("Organization %d", h.org), "path_with_namespace": h.place(), "visibility": "private", "default_branch": "master",
		"lfs_enabled": false, "forking_access_level": "disabled", "builds_access_level": "disabled", "container_registry_access_level": "disabled",
		"analytics_access_level": "disabled", "requirements_access_level": "disabled", "security_and_compliance_access_level": "disabled",
		"wiki_access_level": "disabled", "snippets_access_level": "disabled", "package_registry_access_level": "disabled",
		"pages_access_level": "disabled", "monitor_access_level": "disabled", "environments_access_level": "disabled",
		"feature_flags_access_level": "disabled", "infrastructure_access_level": "disabled", "releases_access_level": "disabled",
	} {
		if p[key] != want {
			h.Errorf("%s is %v, want %v", key, p[key], want)
		}
	}
	rules, err := h.forge.Protections(id)
	developers := []fakegitlab.Grant{{Level: fakegitlab.Developer}}
	if err != nil || len(rules) != 1 || rules[0].Branch != "master" || !slices.Equal(rules[0].Push, developers) ||
		!slices.Equal(rules[0].Merge, developers) || rules[0].ForcePush || rules[0].CodeOwners {
		h.Errorf("the branch is protected by %+v, %v", rules, err)
	}
	content, err := h.forge.File(id, "master", "contacts.yaml")
	if err != nil || strings.Count(content, "email:") != len(h.atDesk()) {
		h.Errorf("contacts.yaml is %q, %v", content, err)
	}
	if content, err := h.forge.File(id, "master", "CONTACTS.md"); err != nil || content == "" {
		h.Errorf("CONTACTS.md is %q, %v", content, err)
	}
	organization, _ := h.desk.Organization(h.org)
	if got := fmt.Sprint(organization.Fields["cmp_id"]); got != fmt.Sprint(id) {
		h.Errorf("the organization is linked to %s", got)
	}
	var hooks []map[string]any
	h.ask(fmt.Sprintf("/projects/%d/hooks", id), &hooks)
	if len(hooks) != 1 || hooks[0]["push_events"] != true || hooks[0]["merge_requests_events"] != true || hooks[0]["enable_ssl_verification"] != true ||
		hooks[0]["push_events_branch_filter"] != "master" || hooks[0]["branch_filter_strategy"] != "wildcard" {
		h.Errorf("the hooks are %v", hooks)
	}
	if h.delivered.Load() == 0 {
		h.Error("no test was delivered")
	}
	invitations, err := h.forge.Invitations(id)
	if err != nil || len(invitations) != 2 {
		h.Errorf("the invitations are %v, %v", invitations, err)
	}
	for _, i := range invitations {
		if i.Level != fakegitlab.Developer {
			h.Errorf("%s is invited at level %d", i.Address, i.Level)
		}
	}
	h.run("sync", fmt.Sprint(id)).ends(0).says("Nothing to do")
}

// leveller looks at every request to GitLab for levels of access that somebody is given.
type leveller struct {
	testing.TB
	seen atomic.Int64
}

func (l *leveller) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if !strings.HasPrefix(r.URL.Path, "/api/v4/") {
			return next.RoundTrip(r)
		}
		for _, value := range r.URL.Query()["access_level"] {
			l.check(r, value)
		}
		if r.Body != nil {
			content, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			if err := r.Body.Close(); err != nil {
				return nil, err
			}
			r = r.Clone(r.Context())
			r.Body = io.NopCloser(bytes.NewReader(content))
			before := l.seen.Load()
			for _, found := range regexp.MustCompile(`"access_level"\s*:\s*("[^"]*"|[^,}\]\s]*)`).FindAllStringSubmatch(string(content), -1) {
				l.check(r, found[1])
			}
			grants := regexp.MustCompile(`/(members|invitations|share)(/|$)`).MatchString(r.URL.Path)
			if grants && r.Method != http.MethodGet && r.Method != http.MethodDelete && l.seen.Load() == before {
				l.Errorf("%s %s gives no level: %s", r.Method, r.URL.Path, content)
			}
		}
		return next.RoundTrip(r)
	})
}

func (l *leveller) check(r *http.Request, value string) {
	l.seen.Add(1)
	if value != "30" {
		l.Errorf("%s %s gives the level %s", r.Method, r.URL.Path, value)
	}
}

// Whatever is there before, nobody is given any level but that of a developer: from the command line to the wire.
func TestSetupGivesOneLevelAlone(t *testing.T) {
	t.Parallel()
	accounts := func(h *home) {
		h.forge.AddUser(fakegitlab.User{ID: 71, Username: "ada", Name: "Ada Lovelace", Email: "ada@example.com"})
	}
	for _, test := range []struct {
		name    string
		arrange func(*home)
		status  int
		says    string
	}{
		{name: "addresses", arrange: func(*home) {}, says: "invited as developers: ada@example.com, grace@example.com"},
		{name: "somebody with an account", arrange: accounts, says: "invited as developers: ada@example.com, grace@example.com"},
		{name: "a developer already", arrange: func(h *home) {
			accounts(h)
			h.member71(fakegitlab.Developer, false)
		}, says: "members or invited already: ada@example.com"},
		{name: "a reporter, whom GitLab does not show by address", arrange: func(h *home) {
			accounts(h)
			h.member71(20, false)
		}, says: "@ada (Ada Lovelace) is Reporter, which is left so"},
		{name: "a maintainer", arrange: func(h *home) {
			accounts(h)
			h.member71(fakegitlab.Maintainer, false)
		}, status: 1, says: "@ada (Ada Lovelace) is Maintainer"},
		{name: "an owner by the group", arrange: func(h *home) {
			accounts(h)
			h.member71(fakegitlab.Owner, true)
		}, status: 1, says: "inherited membership"},
		{name: "invited already", arrange: func(h *home) { h.invited(h.rightful(), "ada@example.com", fakegitlab.Developer) }, says: "invited as developers: grace@example.com"},
		{name: "somebody else is invited as Guest", arrange: func(h *home) { h.invited(h.rightful(), "emmy@example.com", 10) }, says: "emmy@example.com is invited as Guest, which is left so"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t, nil)
			test.arrange(h)
			before := h.levels()
			levels := &leveller{TB: t}
			h.transport = levels.wrap
			_, got := h.setup()
			got.ends(test.status).says(test.says)
			if test.status == 0 && levels.seen.Load() == 0 {
				t.Error("nobody was given any level")
			}
			for who, level := range h.levels() {
				if before[who] != level && level != fakegitlab.Developer {
					t.Errorf("%s has level %d, and had %d", who, level, before[who])
				}
			}
			for who, level := range before {
				if h.levels()[who] != level {
					t.Errorf("%s had level %d, which was changed", who, level)
				}
			}
		})
	}
}

func (h *home) member71(level int, inherited bool) {
	h.Helper()
	if err := h.forge.AddMember(h.rightful(), fakegitlab.Member{User: 71, Level: level, Inherited: inherited}); err != nil {
		h.Fatal(err)
	}
}

// levels are who may do what in the project, members and invitations; empty without one.
func (h *home) levels() map[string]int {
	levels := map[string]int{}
	members, err := h.forge.Members(1)
	if err != nil {
		return levels // there is no project yet
	}
	for _, m := range members {
		levels[fmt.Sprintf("user %d, inherited %v", m.User, m.Inherited)] = m.Level
	}
	invitations, err := h.forge.Invitations(1)
	if err != nil {
		h.Fatal(err)
	}
	for _, i := range invitations {
		levels[i.Address] = i.Level
	}
	return levels
}

// What a GitLab does not tell or know is named: settings to the operator, signatures where they are not made.
func TestSetupNamesWhatGitLabDoesNotKnow(t *testing.T) {
	t.Parallel()
	h := newHome(t, func(o *fakegitlab.Options) { o.OldHooks = true })
	h.set("CONTACTSYNC_WEBHOOK_SIGNING_TOKEN=" + signingToken)
	h.transport = rewritten(http.MethodGet, func(d map[string]any) {
		delete(d, "model_registry_access_level")
		delete(d, "requirements_access_level")
	})
	document, got := h.setup()
	got.ends(0).says("CVE ID requests in the issue sidebar, Requirements, Model registry", "too old to sign")
	if document.State != contactsync.ProcedureDone {
		t.Error(document.told())
	}
	h.setup()
	var hooks []map[string]any
	h.ask("/projects/1/hooks", &hooks)
	if len(hooks) != 1 {
		t.Errorf("a second setup leaves %d hooks", len(hooks))
	}
}

// A hook that was made with credentials that are not ours any more is replaced, once the new one works.
func TestSetupReplacesAHookThatDoesNotDeliver(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	if _, got := h.setup(); got.status != 0 {
		t.Fatal(got.stdout)
	}
	receiver := h.variable("CONTACTSYNC_WEBHOOK_URL")
	h.send(http.MethodDelete, "/projects/1/hooks/1")
	request := fmt.Sprintf(`{"url":"%s/hooks/gitlab","push_events":true,"merge_requests_events":true,"push_events_branch_filter":"master",
		"branch_filter_strategy":"wildcard","enable_ssl_verification":true,"token":"a former token"}`, receiver)
	for range 2 { // one that does not work is there twice
		h.sendJSON(http.MethodPost, "/projects/1/hooks", request)
	}
	document, got := h.setup()
	got.ends(0).says("made hook 4, which delivers", "deleted hook 2: another one does its work", "deleted hook 3")
	var hooks []map[string]any
	h.ask("/projects/1/hooks", &hooks)
	if len(hooks) != 1 {
		t.Errorf("%d hooks are left\n%s", len(hooks), document.told())
	}
	h.refusing.Store(true)
	_, got = h.setup()
	got.ends(1)
	if h.ask("/projects/1/hooks", &hooks); len(hooks) != 1 {
		t.Errorf("a receiver that is down leaves %d hooks", len(hooks))
	}
}

func (h *home) variable(name string) string {
	for _, pair := range slices.Backward(h.env) {
		if key, value, _ := strings.Cut(pair, "="); key == name {
			return value
		}
	}
	return ""
}

// A project that is its customer's by now is left as it is: nothing is written over, and what a sync would do is told.
func TestSetupLeavesTheCustomersFile(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	if _, got := h.setup(); got.status != 0 {
		t.Fatal(got.stdout)
	}
	text := "- name: Ada Lovelace\n  email: ada@example.com\n- name: Emmy Noether\n  email: emmy@example.com\n- name: Grace Hopper\n  email: grace@example.com\n"
	if _, err := h.forge.Commit(1, fakegitlab.Commit{Files: map[string]string{"contacts.yaml": text}}); err != nil {
		t.Fatal(err)
	}
	before := h.state()
	_, got := h.setup()
	got.ends(0).says("is the customer's by now", "the next sync would create 1, add 0, rename 1 and remove 1")
	if after := h.state(); leaveProcedures(after) != leaveProcedures(before) {
		t.Errorf("the state is\n%s\nand was\n%s", after, before)
	}
	if _, err := h.forge.Commit(1, fakegitlab.Commit{Files: map[string]string{"contacts.yaml": "- name: [\n"}}); err != nil {
		t.Fatal(err)
	}
	_, got = h.setup()
	got.ends(0).says("has mistakes: it is left alone", "a sync would fail now: Error reading YAML file")

	// Without a list nobody's is written over.
	if _, err := h.forge.Commit(1, fakegitlab.Commit{Deleted: []string{"contacts.yaml"}}); err != nil {
		t.Fatal(err)
	}
	_, got = h.setup()
	got.ends(0).says("wrote contacts.yaml, with the 3 present contacts", "the first sync found nothing to do")
}

// A ticket that was answered and is closed by now is no reason to fail, and is not answered again.
func TestSetupAnswersOnce(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	number := h.ticket(nil)
	args := []string{"--ticket", fmt.Sprint(number)}
	_, got := h.setup(args...)
	got.ends(0).says("answered ticket", doneMacro)
	h.desk.UpdateTicket(number, func(t *fakezendesk.Ticket) { t.Status = "closed" })
	_, got = h.setup(args...)
	got.ends(0).says("was answered already")
	if ticket, _ := h.desk.Ticket(number); len(ticket.Comments) != 1 || !ticket.Comments[0].Public {
		t.Errorf("the ticket has the comments %+v", ticket.Comments)
	}

	// Without the macro the text is the reply; the requester of the ticket is the one who is judged.
	h = newHome(t, nil)
	number = h.ticket(nil)
	h.set("CONTACTSYNC_REPLIES_SET_UP=No such macro")
	h.run("setup", "--organization", fmt.Sprint(h.org), "--maintainers", "ada@example.com", "--attest", "authorized=order 4711",
		"--ticket", fmt.Sprint(number)).ends(0).says("with the text of contactsync (public)")
	ticket, _ := h.desk.Ticket(number)
	if len(ticket.Comments) != 1 || !strings.Contains(ticket.Comments[0].Body, h.place()) || !strings.Contains(ticket.Comments[0].Body, "ada@example.com") {
		t.Errorf("the ticket has the comments %+v", ticket.Comments)
	}
}

// Of two processes with one setup the one that began last goes on, and the other writes nothing more.
func TestSetupTwiceAtOnce(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"/protected_branches/master", "/info/refs", "/hooks", "/invitations", "/members/all"} {
		t.Run(strings.ReplaceAll(at, "/", " "), func(t *testing.T) {
			t.Parallel()
			h := newHome(t, nil)
			reached, released := make(chan struct{}), make(chan struct{})
			var first atomic.Bool
			var second sync.Once
			h.transport = func(next http.RoundTripper) http.RoundTripper {
				if !first.CompareAndSwap(false, true) {
					return next // the second process
				}
				return roundTripper(func(r *http.Request) (*http.Response, error) {
					if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, at) {
						second.Do(func() {
							close(reached)
							<-released
						})
					}
					return next.RoundTrip(r)
				})
			}
			ended := make(chan result)
			go func() { ended <- h.run(append(h.setupArgs(), "--output", "json")...) }()
			<-reached
			_, got := h.setup()
			got.ends(0)
			state := h.state()
			h.forget()
			close(released)
			stopped := <-ended
			stopped.ends(1).says("another process")
			for _, write := range h.writes() {
				if !strings.HasSuffix(write, "/test/push_events") { // which changes nothing
					t.Errorf("the first process still wrote %s", write)
				}
			}
			if after := h.state(); after != state {
				t.Errorf("the state is\n%s\nand was\n%s", after, state)
			}
		})
	}
}
