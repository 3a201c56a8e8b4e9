package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"contactsync"
	fakegitlab "contactsync/internal/fakes/gitlab"
	fakezendesk "contactsync/internal/fakes/zendesk"
	"contactsync/store"
)

// diagnosis is the document, as programs see it.
type diagnosis struct {
	Project      int64
	Path         string
	Organization *contactsync.Organization
	Findings     []contactsync.Finding
	Requests     contactsync.Requests
	Error        *contactsync.Failure
	Warnings     []struct{ Message, Remedy string }
}

// left returns the checks of what is not fixed.
func (d diagnosis) left() (checks []contactsync.Check) {
	for _, f := range d.Findings {
		if !f.Fixed {
			checks = append(checks, f.Check)
		}
	}
	return checks
}

// patient is a home with a project that was set up, and is healthy.
type patient struct {
	*home
	project int64
}

func newPatient(t testing.TB, change func(*fakegitlab.Options)) *patient {
	t.Helper()
	h := newHome(t, change)
	made, got := h.setup()
	if got.status != 0 {
		t.Fatalf("status %d\n%s\n%s%s", got.status, made.told(), got.stdout, got.stderr)
	}
	h.forge.Settle()
	h.forge.ForgetRequests()
	h.desk.ResetRequests()
	return &patient{h, made.Project}
}

// examined runs doctor, and checks the status and what is left.
func (p *patient) examined(status int, left []contactsync.Check, more ...string) diagnosis {
	p.Helper()
	var document diagnosis
	got := p.json(&document, append([]string{"doctor", fmt.Sprint(p.project)}, more...)...)
	if got.status != status || !slices.Equal(document.left(), left) {
		p.Errorf("%s: status %d and %v left, want %d and %v\n%s%s", got.command(), got.status, document.left(), status, left, got.stdout, got.stderr)
	}
	return document
}

// gitlab does something at GitLab by its API, as an administrator in a browser would.
func (p *patient) gitlab(method, below string, body any) []byte {
	p.Helper()
	content, err := json.Marshal(body)
	if err != nil {
		p.Fatal(err)
	}
	request, err := http.NewRequestWithContext(p.Context(), method, fmt.Sprintf("%s/api/v4/projects/%d%s", p.forge.URL(), p.project, below), bytes.NewReader(content))
	if err != nil {
		p.Fatal(err)
	}
	request.Header.Set("PRIVATE-TOKEN", token)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode >= 300 {
		p.Fatalf("%s %s: %s, %v", method, below, response.Status, err)
	}
	return answer
}

// hook returns the path of the project's first hook.
func (p *patient) hook() string {
	p.Helper()
	var hooks []struct{ ID int64 }
	if err := json.Unmarshal(p.gitlab("GET", "/hooks", nil), &hooks); err != nil || len(hooks) == 0 {
		p.Fatal("there is no hook: ", err)
	}
	return fmt.Sprintf("/hooks/%d", hooks[0].ID)
}

// procedures returns what the audit trail has of that kind.
func (p *patient) procedures(kind contactsync.ProcedureKind) []contactsync.Procedure {
	p.Helper()
	history, err := store.Open(p.Context(), "sqlite:"+filepath.Join(p.dir, "contactsync.db"), store.Options{Desk: p.deskURL + " cmp_id"})
	if err != nil {
		p.Fatal(err)
	}
	defer history.Close()
	found, err := history.Procedures(p.Context(), store.ProcedureFilter{Kind: kind})
	if err != nil {
		p.Fatal(err)
	}
	return found
}

func (p *patient) write(files map[string]string, removed ...string) {
	p.Helper()
	if _, err := p.forge.Commit(p.project, fakegitlab.Commit{Files: files, Deleted: removed}); err != nil {
		p.Fatal(err)
	}
	p.forge.Settle()
}

// mallory makes somebody a maintainer of the project.
func (p *patient) mallory(name string) {
	p.Helper()
	p.forge.AddUser(fakegitlab.User{ID: 666, Username: "mallory", Name: name})
	if err := p.forge.AddMember(p.project, fakegitlab.Member{User: 666, Level: 40}); err != nil {
		p.Fatal(err)
	}
}

func (p *patient) level(user int64) int {
	p.Helper()
	members, err := p.forge.Members(p.project)
	if err != nil {
		p.Fatal(err)
	}
	for _, m := range members {
		if m.User == user {
			return m.Level
		}
	}
	return 0
}

// writes counts the requests that changed something, at GitLab and at the desk.
func (p *patient) writes() (all []string) {
	for _, r := range p.forge.Requests() {
		if r.Method != http.MethodGet && !strings.HasSuffix(r.Path, "/git-upload-pack") {
			all = append(all, r.Method+" "+r.Path)
		}
	}
	for _, r := range p.desk.Requests() {
		if isWrite(r.Method, r.Path) {
			all = append(all, r.Method+" "+r.Path)
		}
	}
	return all
}

// fail lets some pushes go unheard.
func (p *patient) fail(pushes int) {
	p.refusing.Store(true)
	for i := range pushes {
		p.write(map[string]string{"notes.txt": fmt.Sprint(i)})
	}
	p.refusing.Store(false)
}

// A healthy project is told of in a line, for eight requests to GitLab, and nothing is written: neither there nor at the
// desk nor in the audit trail.
func TestDoctorHealthy(t *testing.T) {
	t.Parallel()
	p := newPatient(t, nil)
	healthy := p.examined(0, nil)
	if healthy.Requests.GitLab > 8 || healthy.Requests.Git > 4 {
		t.Errorf("took %+v, at most 8 to GitLab are allowed", healthy.Requests)
	}
	if len(healthy.Warnings) > 0 {
		t.Errorf("warns of %v", healthy.Warnings)
	}
	if got := healthy.Requests.GitLab + healthy.Requests.Git; got != len(p.forge.Requests()) {
		t.Errorf("counted %+v, and %d requests arrived", healthy.Requests, len(p.forge.Requests()))
	}
	t.Logf("%+v", healthy.Requests)
	if len(p.writes()) > 0 {
		t.Errorf("wrote %v", p.writes())
	}
	p.examined(0, nil, "--fix", "--yes")
	if len(p.writes()) > 0 {
		t.Errorf("with --fix wrote %v", p.writes())
	}
	p.run("doctor", fmt.Sprint(p.project)).ends(0).says("Engines (organization ", "healthy\n", "Healthy.\n").keepsQuietOf("What to do")
	p.set("CONTACTSYNC_STORE=sqlite:" + filepath.Join(p.dir, "none.db")) // on a machine that knows nothing of it
	p.examined(0, nil)
}

// Every disease is found, and after the repair the next examination finds what is said to be left.
func TestDoctorFindings(t *testing.T) {
	t.Parallel()
	one := func(checks ...contactsync.Check) []contactsync.Check { return checks }
	for _, test := range []struct {
		name   string
		infect func(*patient)
		finds  []contactsync.Check
		left   []contactsync.Check // after --fix --yes
		status int                 // then
		says   string
	}{
		{name: "settings", infect: func(p *patient) {
			p.gitlab("PUT", "", map[string]any{"wiki_access_level": "enabled", "lfs_enabled": true})
		}, finds: one(contactsync.CheckSettings), says: "Wiki (wiki_access_level) is enabled, and is to be disabled"},
		{name: "visibility", infect: func(p *patient) { p.gitlab("PUT", "", map[string]any{"visibility": "public"}) },
			finds: one(contactsync.CheckSettings), says: "Project visibility"},
		{name: "default branch", infect: func(p *patient) {
			if _, err := p.forge.Commit(p.project, fakegitlab.Commit{Branch: "main", Files: map[string]string{"a": "b"}}); err != nil {
				p.Fatal(err)
			}
			p.gitlab("PUT", "", map[string]any{"default_branch": "main"})
		}, finds: one(contactsync.CheckDefaultBranch), says: `"main"`},
		{name: "unprotected", infect: func(p *patient) { p.gitlab("DELETE", "/protected_branches/master", nil) },
			finds: one(contactsync.CheckProtection), says: "not protected"},
		{name: "force push", infect: func(p *patient) {
			p.gitlab("PATCH", "/protected_branches/master", map[string]any{"allow_force_push": true})
		}, finds: one(contactsync.CheckProtection), says: "a force push is allowed"},
		{name: "hook deleted", infect: func(p *patient) { p.gitlab("DELETE", p.hook(), nil) }, finds: one(contactsync.CheckHookMissing)},
		{name: "hook changed", infect: func(p *patient) {
			p.gitlab("PUT", p.hook(), map[string]any{"push_events_branch_filter": "main"})
		}, finds: one(contactsync.CheckHookDifferent), says: "filter by the branch master"},
		{name: "two hooks", infect: func(p *patient) {
			p.gitlab("POST", "/hooks", map[string]any{"url": p.receiver + "/hooks/gitlab", "token": hookToken, "push_events": true,
				"merge_requests_events": true, "push_events_branch_filter": "master", "enable_ssl_verification": true})
		}, finds: one(contactsync.CheckHookDouble)},
		{name: "a hook to somebody else", infect: func(p *patient) {
			p.gitlab("POST", "/hooks", map[string]any{"url": "https://hooks.example.com/secret/x?token=hidden", "push_events": true})
		}, finds: one(contactsync.CheckHookElsewhere), left: one(contactsync.CheckHookElsewhere), says: "of pushes: https://hooks.example.com Remedy"},
		{name: "hook failing", infect: func(p *patient) { p.fail(2) }, finds: one(contactsync.CheckHookFailing), says: "the last with status 401"},
		{name: "hook disabled", infect: func(p *patient) { p.fail(5) },
			finds: one(contactsync.CheckHookDisabled, contactsync.CheckHookFailing), says: "temporarily_disabled"},
		{name: "a maintainer", infect: func(p *patient) { p.mallory("Mallory") }, finds: one(contactsync.CheckMemberAbove), says: "@mallory (Mallory) is Maintainer"},
		{name: "a maintainer by invitation", infect: func(p *patient) {
			if err := p.forge.AddInvitation(p.project, fakegitlab.Invitation{Address: "eve@example.com", Level: 40}); err != nil {
				p.Fatal(err)
			}
		}, finds: one(contactsync.CheckInvitationAbove), says: "eve@example.com is invited as Maintainer"},
		{name: "nobody edits", infect: func(p *patient) {
			p.gitlab("DELETE", "/invitations/ada@example.com", nil)
			p.gitlab("DELETE", "/invitations/grace@example.com", nil)
		}, finds: one(contactsync.CheckNobodyEdits), left: one(contactsync.CheckNobodyEdits), status: 3, says: "setup --organization"},
		{name: "many edit", infect: func(p *patient) {
			for i := range 4 {
				if err := p.forge.AddInvitation(p.project, fakegitlab.Invitation{Address: fmt.Sprintf("e%d@example.com", i), Level: 30}); err != nil {
					p.Fatal(err)
				}
			}
		}, finds: one(contactsync.CheckManyEdit), left: one(contactsync.CheckManyEdit), says: "6 people"},
		{name: "not linked", infect: func(p *patient) { p.desk.SetField(p.org, "cmp_id", nil) }, finds: one(contactsync.CheckLinkMissing), says: "(Engines)"},
		{name: "linked elsewhere", infect: func(p *patient) { p.desk.SetField(p.org, "cmp_id", 4711) },
			finds: one(contactsync.CheckLinkMissing), left: one(contactsync.CheckLinkMissing), status: 3, says: "is linked to project 4711"},
		{name: "linked twice", infect: func(p *patient) { p.organization("Impostor", p.project); p.desk.Reindex() },
			finds: one(contactsync.CheckLinkDouble), left: one(contactsync.CheckLinkDouble), status: 3, says: `"Impostor"`},
		{name: "gone", infect: func(p *patient) {
			if err := p.forge.PurgeProject(p.project); err != nil {
				p.Fatal(err)
			}
		}, finds: one(contactsync.CheckGone), left: one(contactsync.CheckGone), status: 3, says: "GitLab shows no such project"},
		{name: "deleted", infect: func(p *patient) { p.gitlab("DELETE", "", nil) },
			finds: one(contactsync.CheckDeleted), left: one(contactsync.CheckDeleted), status: 3, says: "marked for deletion"},
		{name: "renamed", infect: func(p *patient) { p.gitlab("PUT", "", map[string]any{"name": "Contacts of Engines"}) },
			finds: one(contactsync.CheckName), says: "Contacts of Engines"},
		{name: "another path", infect: func(p *patient) { p.gitlab("PUT", "", map[string]any{"path": "engines"}) },
			finds: one(contactsync.CheckMoved), says: homeGroup + "/engines"},
		{name: "another organization's project", infect: func(p *patient) {
			p.gitlab("PUT", "", map[string]any{"name": "Organization 5", "path": "organization-5", "wiki_access_level": "enabled"})
		}, finds: one(contactsync.CheckMoved, contactsync.CheckName, contactsync.CheckSettings),
			left: one(contactsync.CheckMoved, contactsync.CheckName, contactsync.CheckSettings), status: 3, says: "whose project it is first"},
		{name: "file deleted", infect: func(p *patient) { p.write(nil, "contacts.yaml") }, finds: one(contactsync.CheckFileMissing)},
		{name: "guide deleted", infect: func(p *patient) { p.write(nil, "CONTACTS.md") }, finds: one(contactsync.CheckGuideMissing)},
		{name: "file broken", infect: func(p *patient) {
			p.write(map[string]string{"contacts.yaml": "- name: Ada\n  email: ada@example.com\n- name: [\n"})
		}, finds: one(contactsync.CheckFileInvalid), left: one(contactsync.CheckFileInvalid), status: 3, says: "contacts.yaml line 3"},
		{name: "another organization's file", infect: func(p *patient) {
			p.write(map[string]string{"contacts.yaml": "organization: 5\ncontacts:\n- name: Ada\n  email: ada@example.com\n"})
		}, finds: one(contactsync.CheckFileInvalid), left: one(contactsync.CheckFileInvalid), status: 3, says: "organization: 5"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPatient(t, nil)
			test.infect(p)
			status := 3
			if slices.Contains([]contactsync.Check{contactsync.CheckHookElsewhere, contactsync.CheckManyEdit, contactsync.CheckGuideMissing}, test.finds[0]) {
				status = 0 // notes
			}
			found := p.examined(status, test.finds)
			if text := fmt.Sprintf("%+v", found.Findings); !strings.Contains(text, test.says) {
				t.Errorf("does not say %q: %s", test.says, text)
			}
			for _, f := range found.Findings {
				if f.Message == "" || f.Remedy == "" {
					t.Errorf("%+v tells people nothing", f)
				}
			}
			fixed := p.examined(test.status, test.left, "--fix", "--yes")
			for _, f := range fixed.Findings {
				if f.Error != nil {
					t.Errorf("the repair failed: %+v", f.Error)
				}
			}
			p.examined(test.status, test.left)
			if violations := p.desk.Violations(); len(violations) > 0 {
				t.Error(violations)
			}
		})
	}
}

// A token that may not write is told of once, and makes no project unhealthy. It costs nothing: whose the token is
// has to be asked anyway.
func TestDoctorTellsOfAMuteToken(t *testing.T) {
	t.Parallel()
	p := newPatient(t, nil)
	self := regexp.MustCompile("/personal_access_tokens/self$")
	answer := func(scopes string) fakegitlab.Fault {
		return fakegitlab.Fault{Path: self, Status: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
			Body: `{"id":1,"user_id":1,"name":"contactsync","active":true,"revoked":false,"scopes":` + scopes + `}`}
	}
	asked := func(want int) {
		t.Helper()
		got := 0
		for _, r := range p.forge.Requests() {
			if self.MatchString(r.Path) {
				got++
			}
		}
		if p.forge.ForgetRequests(); got != want {
			t.Errorf("asked %d times what the token may, want %d", got, want)
		}
	}
	remove := p.forge.Inject(answer(`["read_api","read_repository"]`))
	found := p.examined(0, nil)
	if len(found.Warnings) != 1 || !strings.Contains(found.Warnings[0].Message, "may not write") || !strings.Contains(found.Warnings[0].Remedy, "scope api") ||
		!strings.Contains(found.Warnings[0].Remedy, "role Maintainer") {
		t.Errorf("warns of %+v", found.Warnings)
	}
	asked(1)
	text := p.run("doctor", fmt.Sprint(p.project)).ends(0).says("healthy\nWarning: the token for GitLab may not write", "What to do: Make a token with the scope api", "Healthy.\n")
	if n := strings.Count(text.stdout, "Warning"); n != 1 {
		t.Errorf("warns %d times:\n%s", n, text.stdout)
	}
	asked(1)

	// With --all it is said once, beside the results, however many there are.
	id, err := p.forge.CreateProject(fakegitlab.Project{Path: homeGroup + "/other"})
	if err != nil {
		t.Fatal(err)
	}
	p.organization("Other", id)
	p.desk.Reindex()
	p.forge.ForgetRequests()
	var all struct {
		Results  []diagnosis
		Requests contactsync.Requests
		Warnings []struct{ Message, Remedy string }
	}
	p.json(&all, "doctor", "--all").ends(3)
	if len(all.Results) < 2 || len(all.Warnings) != 1 {
		t.Errorf("warns of %+v beside %d results", all.Warnings, len(all.Results))
	}
	for _, d := range all.Results {
		if len(d.Warnings) > 0 {
			t.Errorf("project %d: warns of %+v", d.Project, d.Warnings)
		}
	}
	if got := all.Requests.GitLab + all.Requests.Git; got != len(p.forge.Requests()) {
		t.Errorf("counted %+v, and %d requests arrived", all.Requests, len(p.forge.Requests()))
	}
	asked(1)

	p.set(silent...)
	if quiet := p.examined(0, nil); len(quiet.Warnings) > 0 || quiet.Requests.GitLab > 8 {
		t.Errorf("warns of %+v, took %+v", quiet.Warnings, quiet.Requests)
	}
	asked(1)

	// Where GitLab does not tell at first, whose the token is is asked again.
	p.set("CONTACTSYNC_REPORT_STATUSES=true")
	remove()
	p.forge.Inject(fakegitlab.Fault{Path: self, Status: http.StatusNotFound, Times: 1})
	if found := p.examined(0, nil); len(found.Warnings) > 0 {
		t.Errorf("warns of %+v", found.Warnings)
	}
	asked(2)
}

// Without a yes nothing is written that takes one, whether nobody can be asked or somebody says no. A yes to one thing is no
// yes to another.
func TestDoctorAsks(t *testing.T) {
	t.Parallel()
	p := newPatient(t, nil)
	p.mallory("Mallory")
	p.gitlab("PUT", "", map[string]any{"name": "Other"})
	p.forge.ForgetRequests()
	p.desk.ResetRequests()
	both := []contactsync.Check{contactsync.CheckName, contactsync.CheckMemberAbove}
	p.examined(3, both)
	p.examined(3, both, "--fix")
	p.answers = strings.NewReader("n\nnonsense\n")
	p.examined(3, both, "--fix")
	if len(p.writes()) > 0 {
		t.Errorf("wrote %v", p.writes())
	}
	if got := p.level(666); got != 40 {
		t.Errorf("mallory has %d", got)
	}
	p.run("doctor", fmt.Sprint(p.project)).says("2 repairs wait for your yes")
	p.answers = strings.NewReader("no\nY\n")
	p.run("doctor", fmt.Sprint(p.project), "--fix").ends(3).says(
		"member_above: @mallory (Mallory) is Maintainer, and is to be Developer\n  Make them a developer? [y/N]",
		"Rename the project? [y/N]", "(fixed)", "Not healthy, 1 fixed, 1 problem left.")
	if got := p.level(666); got != 30 {
		t.Errorf("mallory has %d", got)
	}
	if writes := p.writes(); len(writes) != 1 || !strings.HasPrefix(writes[0], "PUT /api/v4/projects/"+fmt.Sprint(p.project)+"/members/666") {
		t.Errorf("wrote %v", writes)
	}
}

// readerFunc reads what the function says.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(into []byte) (int, error) { return f(into) }

// Who gives up at a question has changed nothing, and need not press a key.
func TestDoctorStopsAtQuestion(t *testing.T) {
	t.Parallel()
	p := newPatient(t, nil)
	p.mallory("Mallory")
	ctx, stop := context.WithCancel(t.Context())
	p.answers = readerFunc(func([]byte) (int, error) {
		stop()
		<-t.Context().Done()
		return 0, io.EOF
	})
	p.runFor(ctx, "doctor", fmt.Sprint(p.project), "--fix").ends(1).says("stopped before its end")
	if got := p.level(666); got != 40 {
		t.Errorf("mallory has %d", got)
	}
}

// A person whose level is lowered is named, in the output and in the audit trail.
func TestDoctorNamesPeople(t *testing.T) {
	t.Parallel()
	p := newPatient(t, nil)
	p.mallory("Mallory")
	p.run("doctor", fmt.Sprint(p.project), "--fix", "--yes", "--by", "Ada Lovelace").ends(0).says("@mallory (Mallory) is Maintainer", "(fixed)")
	history := p.procedures(contactsync.ProcedureRepair)
	if len(history) != 1 || history[0].State != contactsync.ProcedureDone || history[0].By != "Ada Lovelace" || history[0].Project != p.project ||
		!strings.Contains(fmt.Sprint(history[0].Steps), "made @mallory (Mallory) a developer, who was Maintainer") {
		t.Errorf("the audit trail has %+v", history)
	}
}

// A name cannot colour the terminal, nor move its cursor.
func TestDoctorHostileNames(t *testing.T) {
	t.Parallel()
	p := newPatient(t, nil)
	p.mallory("\x1b[2J\u202eevil")
	p.gitlab("PUT", "", map[string]any{"name": "x\x1b[31my"})
	p.answers = strings.NewReader("n\nn\n")
	p.run("doctor", fmt.Sprint(p.project), "--fix").ends(3).keepsQuietOf("\x1b", "\u202e")
}

// A project that is none of ours is not changed, whatever a wrong number at the desk says.
func TestDoctorLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	p := newPatient(t, nil)
	other, err := p.forge.CreateProject(fakegitlab.Project{Path: "elsewhere/precious"})
	if err != nil {
		t.Fatal(err)
	}
	p.desk.SetField(p.org, "cmp_id", other)
	p.forge.ForgetRequests()
	p.desk.ResetRequests()
	var found diagnosis
	p.json(&found, "doctor", fmt.Sprint(other), "--fix", "--yes").ends(3)
	if !slices.Contains(found.left(), contactsync.CheckMoved) || !slices.Contains(found.left(), contactsync.CheckHookMissing) {
		t.Errorf("found %v", found.left())
	}
	if len(p.writes()) > 0 {
		t.Errorf("wrote %v", p.writes())
	}
	nobodys, err := p.forge.CreateProject(fakegitlab.Project{Path: homeGroup + "/notes"})
	if err != nil {
		t.Fatal(err)
	}
	var unlinked diagnosis
	p.json(&unlinked, "doctor", fmt.Sprint(nobodys), "--fix", "--yes").ends(3)
	if !slices.Equal(unlinked.left(), []contactsync.Check{contactsync.CheckLinkMissing}) || len(p.writes()) > 0 {
		t.Errorf("found %v, wrote %v", unlinked.left(), p.writes())
	}
	p.run("doctor", "999999").ends(1).says("(invalid_project_id)")
	p.run("doctor", "nonsense").ends(1).says("(invalid_project_id)")
}

// What contactsync cannot repair says so, and keeps it from nothing else.
func TestDoctorFailedRepair(t *testing.T) {
	t.Parallel()
	p := newPatient(t, nil)
	p.gitlab("PUT", "", map[string]any{"wiki_access_level": "enabled"})
	p.gitlab("DELETE", p.hook(), nil)
	p.refusing.Store(true) // as if serve did not run
	left := []contactsync.Check{contactsync.CheckHookMissing}
	fixed := p.examined(3, left, "--fix")
	if f := fixed.Findings; len(f) != 2 || f[0].Check != contactsync.CheckSettings || !f[0].Fixed ||
		f[1].Error == nil || !strings.Contains(f[1].Error.Remedy, "contactsync serve") {
		t.Errorf("got %+v", f)
	}
	p.refusing.Store(false)
	p.examined(0, nil, "--fix")
	p.examined(0, nil)
	if n := len(p.procedures(contactsync.ProcedureRepair)); n != 2 {
		t.Errorf("the audit trail has %d repairs, want 2", n)
	}
}

// A hook with another secret than ours cannot be told from the right one, but its deliveries fail: it is made anew.
func TestDoctorRenewsHook(t *testing.T) {
	t.Parallel()
	p := newPatient(t, nil)
	p.wanted.Store("other")
	p.write(map[string]string{"notes.txt": "1"})
	p.set("CONTACTSYNC_WEBHOOK_TOKEN=other")
	p.examined(3, []contactsync.Check{contactsync.CheckHookFailing})
	before := p.hook()
	p.examined(0, nil, "--fix")
	p.examined(0, nil)
	if before == p.hook() {
		t.Error("it is still the former hook")
	}
}

// All projects are examined, whatever is wrong with one of them, and double links, projects that are gone, and projects
// that are nobody's are found.
func TestDoctorAll(t *testing.T) {
	t.Parallel()
	p := newPatient(t, nil)
	make := func(path, name string) int64 {
		id, err := p.forge.CreateProject(fakegitlab.Project{Path: homeGroup + "/" + path, Name: name})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	notes := make("notes", "Notes")
	free := p.organization("Free", 0)
	p.desk.AddUser(fakezendesk.User{Name: "Emmy Noether", Email: "emmy@example.com", Organizations: []int64{free}})
	orphan := make(fmt.Sprintf("organization-%d", free), fmt.Sprintf("Organization %d", free))
	nobody := make("organization-5", "Organization 5")
	twice := make("twice", "Twice")
	p.organization("One", twice)
	p.organization("Two", twice)
	unreadable := make("unreadable", "Unreadable")
	p.organization("Unreadable", unreadable)
	template := make("template", "Template")
	p.set(fmt.Sprintf("CONTACTSYNC_GITLAB_TEMPLATE_PROJECT=%d", template))
	defer p.forge.Inject(fakegitlab.Fault{Path: regexp.MustCompile(fmt.Sprintf("/api/v4/projects/%d$", unreadable)), Status: 500, Body: "{}"})()

	var document struct {
		Results  []diagnosis
		Requests contactsync.Requests
	}
	p.json(&document, "doctor", "--all").ends(3)
	found := map[int64]diagnosis{}
	var order []int64
	for _, d := range document.Results {
		found[d.Project] = d
		order = append(order, d.Project)
	}
	if !slices.IsSorted(order) || len(order) != 7 {
		t.Errorf("examined %v", order)
	}
	for id, want := range map[int64]contactsync.Check{
		project: contactsync.CheckGone, notes: contactsync.CheckLinkMissing, orphan: contactsync.CheckLinkMissing,
		nobody: contactsync.CheckLinkMissing, twice: contactsync.CheckLinkDouble,
	} {
		if !slices.Contains(found[id].left(), want) {
			t.Errorf("project %d: found %v, want %s (%+v)", id, found[id].left(), want, found[id].Error)
		}
	}
	if d := found[p.project]; len(d.Findings) > 0 || d.Requests.GitLab > 7 || d.Requests.Desk > 0 || d.Error != nil {
		t.Errorf("the healthy one: %+v", d)
	}
	if d := found[unreadable]; d.Error == nil || d.Error.Class != contactsync.ClassRepositoryUnreachable {
		t.Errorf("the unreadable one: %+v", d)
	}
	if d := found[notes]; d.Findings[0].Severity != contactsync.SeverityNote || d.Requests.GitLab > 0 {
		t.Errorf("what is named after nobody: %+v", d)
	}
	if d := found[orphan]; d.Findings[0].Severity != contactsync.SeverityProblem || d.Findings[0].Fix != contactsync.FixAsk {
		t.Errorf("what is named after an organization without a project: %+v", d)
	}
	if r := document.Requests; r.GitLab > 25 || r.Desk == 0 {
		t.Errorf("took %+v", r)
	}
	p.run("doctor", "--all").ends(3).says("2 of 7 projects healthy", "1 could not be examined", "What to do: ")
	p.json(&document, "doctor", "--all", "--fix", "--yes").ends(3)
	for _, d := range document.Results {
		switch left := d.left(); d.Project {
		case orphan:
			if !slices.Equal(left, []contactsync.Check{contactsync.CheckNobodyEdits}) {
				t.Errorf("after the repair %v is left: %+v", left, d)
			}
		case notes:
			if d.Findings[0].Severity != contactsync.SeverityNote {
				t.Errorf("what is named after nobody: %+v", d)
			}
		}
	}
	if o, _ := p.desk.Organization(free); fmt.Sprint(o.Fields["cmp_id"]) != fmt.Sprint(orphan) {
		t.Errorf("organization %d carries %v, want %d", free, o.Fields["cmp_id"], orphan)
	}
}

// A hook for the original trigger address is as good as ours, but not beside it.
func TestDoctorLegacyHook(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	h.set("CONTACTSYNC_WEBHOOK_TRIGGER_TOKEN=token-of-the-trigger")
	made, got := h.setup("--legacy-trigger")
	if got.status != 0 {
		t.Fatalf("status %d\n%s%s", got.status, got.stdout, got.stderr)
	}
	p := &patient{h, made.Project}
	p.examined(0, nil)
	p.gitlab("POST", "/hooks", map[string]any{"url": p.receiver + "/hooks/gitlab", "token": hookToken, "push_events": true,
		"merge_requests_events": true, "push_events_branch_filter": "master", "enable_ssl_verification": true})
	p.examined(3, []contactsync.Check{contactsync.CheckHookDouble})
	p.examined(0, nil, "--fix")
	p.examined(0, nil)
}

// A GitLab that is too old to tell which deliveries failed is asked for the rest.
func TestDoctorOldGitLab(t *testing.T) {
	t.Parallel()
	p := newPatient(t, nil)
	p.fail(2)
	defer p.forge.Inject(fakegitlab.Fault{
		Path: regexp.MustCompile("/events$"), Status: 404, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"error":"404 Not Found"}`,
	})()
	p.examined(0, nil)
}

// A repair whose process died is not left open for ever: the next one ends it, also when there is nothing to do any more.
func TestDoctorEndsRepairThatDied(t *testing.T) {
	t.Parallel()
	p := newPatient(t, nil)
	history, err := store.Open(t.Context(), "sqlite:"+filepath.Join(p.dir, "contactsync.db"), store.Options{Desk: p.deskURL + " cmp_id"})
	if err != nil {
		t.Fatal(err)
	}
	died := contactsync.Procedure{
		ID: "died", Kind: contactsync.ProcedureRepair, State: contactsync.ProcedureRunning, Project: p.project,
		Organization: contactsync.Organization{ID: fmt.Sprint(p.org), Name: "Engines"}, Command: []string{"doctor", fmt.Sprint(p.project), "--fix"},
	}
	if err := history.SaveProcedure(t.Context(), &died); err != nil {
		t.Fatal(err)
	}
	history.Close()
	p.run("setup", "--resume").ends(0).says("contactsync doctor")
	p.examined(0, nil, "--fix")
	p.run("setup", "--resume").ends(0).says("Nothing is unfinished.")
	if all := p.procedures(contactsync.ProcedureRepair); len(all) != 1 || all[0].ID != "died" {
		t.Errorf("the audit trail has %+v", all)
	}
}

// A project whose setup stopped half-way is not called healthy, and the way on is named.
func TestDoctorUnfinishedSetup(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	h.refusing.Store(true)
	stopped, got := h.setup()
	if got.status != 1 || stopped.Project == 0 {
		t.Fatalf("status %d\n%s%s", got.status, got.stdout, got.stderr)
	}
	h.refusing.Store(false)
	p := &patient{h, stopped.Project}
	p.examined(3, []contactsync.Check{contactsync.CheckSetup, contactsync.CheckHookMissing, contactsync.CheckNobodyEdits})
	p.examined(3, []contactsync.Check{contactsync.CheckSetup, contactsync.CheckNobodyEdits}, "--fix")
	if _, got := h.setup(); got.status != 0 {
		t.Fatalf("status %d\n%s%s", got.status, got.stdout, got.stderr)
	}
	p.examined(0, nil)
}

// Wrong usage is told of before anything is asked of anybody.
func TestDoctorUsage(t *testing.T) {
	t.Parallel()
	p := newHome(t, nil)
	for _, args := range [][]string{{}, {"1", "--all"}, {"1", "--yes"}, {"1", "2"}} {
		p.run(append([]string{"doctor"}, args...)...).ends(2)
	}
	if len(p.desk.Requests()) > 0 {
		t.Error("the desk was asked")
	}
}

// The page shows what the program says.
func TestDoctorPage(t *testing.T) {
	t.Parallel()
	p := newPatient(t, nil)
	p.gitlab("PUT", "", map[string]any{"wiki_access_level": "enabled"})
	p.mallory("Mallory")
	page, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	if got := p.run("doctor", fmt.Sprint(p.project)); got.status != 3 || !strings.Contains(string(page), "$ contactsync doctor 1\n"+got.stdout+"```") {
		t.Errorf("status %d; the page does not show\n%s", got.status, got.stdout)
	}
}

// A restoring that stopped because people would be removed is not finished by the doctor: that would remove them.
func TestDoctorWaitsForARestore(t *testing.T) {
	t.Parallel()
	p := newPatient(t, nil)
	p.run("remove", fmt.Sprint(p.project)).ends(0)
	p.member("Mary Somerville", "mary@example.com")
	p.run("remove", fmt.Sprint(p.project), "--restore").ends(1)
	p.forge.ForgetRequests()
	p.desk.ResetRequests()
	var found diagnosis
	p.json(&found, "doctor", fmt.Sprint(p.project), "--fix", "--yes").ends(3)
	if left := found.left(); !slices.Contains(left, contactsync.CheckSetup) || !slices.Contains(left, contactsync.CheckLinkMissing) || len(p.writes()) > 0 {
		t.Errorf("found %v, wrote %v", left, p.writes())
	}
	p.run("remove", fmt.Sprint(p.project), "--restore", "--yes").ends(0)
	p.examined(0, nil)
}

// With report.gate a merge waits for the status of the plan: doctor finds a project in which it does not, makes it so, and
// leaves it alone afterwards; without, the other way round. A gate without a status is refused.
func TestGate(t *testing.T) {
	t.Parallel()
	p := newPatient(t, nil)
	gated := func() bool {
		var project struct {
			Gate bool `json:"only_allow_merge_if_pipeline_succeeds"`
		}
		p.ask(fmt.Sprintf("/projects/%d", p.project), &project)
		return project.Gate
	}
	p.examined(0, nil)
	for _, gate := range []bool{true, false} {
		p.set(fmt.Sprintf("CONTACTSYNC_REPORT_GATE=%v", gate))
		p.examined(3, []contactsync.Check{contactsync.CheckSettings})
		p.examined(0, nil, "--fix")
		if gated() != gate {
			t.Errorf("with report.gate: %v, merges wait: %v", gate, gated())
		}
		p.examined(0, nil)
	}
	p.set("CONTACTSYNC_REPORT_GATE=true", "CONTACTSYNC_REPORT_STATUSES=false")
	if got := p.run("doctor", fmt.Sprint(p.project)); got.status != 2 || !strings.Contains(got.stderr, "report.gate") {
		t.Errorf("status %d\n%s", got.status, got.stderr)
	}
}
