package main_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"contactsync"
	fakegitlab "contactsync/internal/fakes/gitlab"
	fakezendesk "contactsync/internal/fakes/zendesk"
)

// customers adds organizations, each with one contact, and returns their ids.
func (h *home) customers(count int) (ids []int64) {
	for i := range count {
		id := h.desk.AddOrganization(fakezendesk.Organization{Name: fmt.Sprintf("Customer %d", i)})
		h.desk.AddUser(fakezendesk.User{Name: "Ann", Email: fmt.Sprintf("ann%d@example.com", i), Organizations: []int64{id}})
		ids = append(ids, id)
	}
	h.desk.Reindex()
	return ids
}

func (h *home) file(name, content string) string {
	h.Helper()
	name = filepath.Join(h.dir, name)
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		h.Fatal(err)
	}
	return name
}

type procedures struct {
	Results []procedure `json:"results"`
}

// Many are set up from a file, in its order; one that fails keeps no other from it, and the same file goes on.
func TestSetupFromAFile(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	ids := h.customers(3)
	list := h.file("many.csv", fmt.Sprintf("\ufeffOrganization, Maintainers ,ticket,skip_eligibility\n%d,ann0@example.com,,agreed\n\n%d,\"ann1@example.com, ben@example.com\",,agreed\n%d,ann2@example.com;cy@example.com,,agreed\n",
		ids[0], ids[1], ids[2]))
	remove := h.forge.Inject(fakegitlab.Fault{Method: "POST", Path: regexp.MustCompile(`/projects/2/protected_branches`), Status: 403,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"message":"403 Forbidden"}`})

	h.forget()
	h.run("setup", "--from", list, "--dry-run").ends(0).says("3 of 3 could be set up: this was a dry run, 0 failed.")
	if sent := h.writes(); len(sent) > 0 {
		t.Errorf("a dry run wrote %q", sent)
	}
	var document procedures
	h.json(&document, "setup", "--from", list).ends(3)
	var states []string
	for _, one := range document.Results {
		states = append(states, string(one.State))
	}
	if got := strings.Join(states, " "); got != "done failed done" {
		t.Errorf("the results are %s", got)
	}
	remove()
	got := h.run("setup", "--from", list).ends(0).says("3 of 3 are set up, 0 failed.")
	if strings.Count(got.stdout, " done.\n") != 3 {
		t.Error(got.stdout)
	}
	var projects []map[string]any
	h.ask("/groups/support%2Fzd-global-orgs/projects", &projects)
	if len(projects) != 3 {
		t.Errorf("there are %d projects", len(projects))
	}
	for i := range ids {
		if invitations, err := h.forge.Invitations(int64(i + 1)); err != nil || len(invitations) != 1+min(i, 1) {
			t.Errorf("project %d has the invitations %v, %v", i+1, invitations, err)
		}
	}
}

// Whatever is wrong in the file is named with its line, all of it at once, before anything is done.
func TestSetupFromABadFile(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	h.forget()
	head := "organization,maintainers,requester\n"
	for _, test := range []struct {
		content string
		says    []string
	}{
		{"", []string{"the file is empty"}},
		{head, []string{"lists nobody"}},
		{"organization,colour\n", []string{`line 1: the column "colour" is not known`}},
		{"organization,Organization\n", []string{`line 1: the column "Organization" is there twice`}},
		{head + "1,ann,ann@example.com\n2,ann@example.com\n,ann@example.com,ann@example.com\n3,ann@example.com,\n3,b@example.com,b@example.com\n3,c@example.com,c@example.com\n",
			[]string{`line 2: --maintainers: "ann" is no e-mail address`, "line 3: it has 2 fields, and line 1 names 3 columns", "line 4: --organization is missing",
				"line 5: --requester is missing", "line 7: organization 3 is in line 6, too"}},
		{head + "1,\"ann", []string{`extraneous or missing " in quoted-field`}},
	} {
		h.run("setup", "--from", h.file("bad.csv", test.content)).ends(2).says(test.says...)
	}
	h.run("setup", "--from", h.dir+"/none.csv").ends(1).says("no such file")
	if sent := h.writes(); len(sent) > 0 {
		t.Errorf("it wrote %q", sent)
	}
}

// Those that were not begun when somebody stopped the command are counted, and it is no success.
func TestSetupFromAFileInterrupted(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	ids := h.customers(3)
	list := h.file("many.csv", fmt.Sprintf("organization,maintainers,skip_eligibility\n%d,ann0@example.com,agreed\n%d,ann1@example.com,agreed\n%d,ann2@example.com,agreed\n", ids[0], ids[1], ids[2]))
	ctx, stop := context.WithCancel(t.Context())
	h.transport = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/projects/2/hooks") {
				stop()
			}
			return next.RoundTrip(r)
		})
	}
	h.runFor(ctx, "setup", "--from", list).ends(3).says("1 of 3 are set up, 1 failed, 1 were not begun.")
	h.transport = nil
	h.run("setup", "--from", list).ends(0).says("3 of 3 are set up, 0 failed.")
}

// What is unfinished is listed, for people and for programs, with a command that a shell takes, and that goes on.
func TestSetupResume(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	h.run("setup", "--resume").ends(0).says("Nothing is unfinished.")
	configuration := h.file("contact sync.yaml", "limits:\n  maintainers: 3\n")
	reason := `it's "agreed"; echo $HOME > x`
	h.refusing.Store(true)
	h.run("--config", configuration, "setup", "--organization", fmt.Sprint(h.org), "--maintainers", " Ada@Example.com ", "--skip-eligibility", reason, "--by", "grace").
		ends(1).says("To continue: contactsync setup", "step 8 of 10, making the hook")
	var document struct {
		Procedures []contactsync.Procedure `json:"procedures"`
	}
	h.json(&document, "setup", "--resume").ends(0)
	if len(document.Procedures) != 1 || document.Procedures[0].State != contactsync.ProcedureFailed || document.Procedures[0].By != "grace" {
		t.Fatalf("the list is %+v", document)
	}
	got := h.run("setup", "--resume").ends(0).says("setup of organization "+fmt.Sprint(h.org)+" (Engines), by grace: stopped at hook: Repository cannot be read", "--config")
	_, line, _ := strings.Cut(got.stdout, "    contactsync ")
	out, err := exec.CommandContext(t.Context(), "sh", "-c", "printf '%s\\n' "+strings.TrimSpace(line)).Output()
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if !slices.Equal(words, document.Procedures[0].Command) || !slices.Contains(words, reason) {
		t.Errorf("a shell reads %q, want %q", words, document.Procedures[0].Command)
	}
	h.refusing.Store(false)
	h.run(words...).ends(0).says("not judged: "+reason, "done.")
	h.run("setup", "--resume").ends(0).says("Nothing is unfinished.")
}

// A dry run writes nothing, at the desk or at GitLab, whatever is there already, and names what would stop the setup.
func TestSetupDryRun(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	number := h.ticket(nil)
	dry := func(args ...string) result {
		h.forget()
		_, got := h.setup(append(args, "--dry-run")...)
		if sent := h.writes(); len(sent) > 0 {
			t.Errorf("a dry run wrote %q", sent)
		}
		return got
	}
	dry("--ticket", fmt.Sprint(number)).ends(0).says("would be made contacts", "would make the project", "would make 24 settings", "would protect master",
		"would write CONTACTS.md and contacts.yaml", "would link", "would make the hook", "would invite", "would answer ticket")
	h.rightful()
	dry().ends(0).says("would change 21 settings", "would protect master: it is not protected", "would link organization")
	h.desk.AddUser(fakezendesk.User{Name: "Emmy", Email: "emmy@example.org", Organizations: []int64{h.organization("Other", 0)}})
	dry("--maintainers", "emmy@example.org").ends(1).says("contact_elsewhere", "emmy@example.org cannot be a contact")
	ada, _ := h.desk.UserByEmail("ada@example.com")
	h.desk.UpdateUser(ada.ID, func(u *fakezendesk.User) { u.Secondary = append(u.Secondary, "lovelace@example.com") })
	dry("--maintainers", "lovelace@example.com").ends(0)
	if h.run("setup", "--resume").stdout != "Nothing is unfinished.\n" {
		t.Error("a dry run is kept as a setup")
	}
	if _, got := h.setup(); got.status != 0 {
		t.Fatal(got.stdout)
	}
	dry().ends(0).keepsQuietOf("would")
}

// The original trigger address is there with its token masked, and a real receiver takes what GitLab sends there.
func TestSetupForTheOriginalTrigger(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	h.unset("CONTACTSYNC_WEBHOOK_TOKEN")
	h.set("CONTACTSYNC_WEBHOOK_SIGNING_TOKEN=" + signingToken)
	h.run(h.setupArgs("--legacy-trigger")...).ends(2).says("webhook.trigger_token is missing")
	h.set("CONTACTSYNC_WEBHOOK_TRIGGER_TOKEN=" + hookToken)
	s := h.serve()
	h.set("CONTACTSYNC_WEBHOOK_URL=" + s.url)
	for range 2 {
		document, got := h.setup("--legacy-trigger")
		got.ends(0).keepsQuietOf(hookToken)
		if !slices.Contains(document.Command, "--legacy-trigger") {
			t.Errorf("what continues it is %v", document.Command)
		}
	}
	var hooks []map[string]any
	h.ask("/projects/1/hooks", &hooks)
	want := s.url + "/api/v4/projects/1/ref/master/trigger/pipeline?token={TOKEN}&variables[PROJECT_ID]=1"
	if len(hooks) != 1 || hooks[0]["url"] != want || fmt.Sprint(hooks[0]["url_variables"]) != "[map[key:TOKEN]]" || hooks[0]["push_events"] != true ||
		hooks[0]["merge_requests_events"] != false || hooks[0]["enable_ssl_verification"] != true || hooks[0]["push_events_branch_filter"] != "master" {
		t.Errorf("the hooks are %v, want one to %s", hooks, want)
	}
	events, err := h.forge.Events(1)
	if err != nil || len(events) != 2 || events[0].Status != http.StatusCreated {
		t.Errorf("the deliveries are %+v, %v", events, err)
	}
	s.until("run ended")
}

// With the real service and credentials of each project's own: the test is accepted, and so is what the customer pushes.
func TestSetupWithTheService(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	h.unset("CONTACTSYNC_WEBHOOK_TOKEN")
	h.set("CONTACTSYNC_WEBHOOK_MASTER_KEY=1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
	s := h.serve()
	h.set("CONTACTSYNC_WEBHOOK_URL=" + s.url)
	document, got := h.setup()
	got.ends(0).says("made hook 1, which delivers", "the first sync found nothing to do")
	if line := s.until("run ended"); line["status"] != "unchanged" || line["trigger"] != "hook" {
		t.Errorf("the test delivery led to %v", line)
	}
	content, err := h.forge.File(document.Project, "", "contacts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.forge.Commit(document.Project, fakegitlab.Commit{Files: map[string]string{"contacts.yaml": content + "- name: Emmy Noether\n  email: emmy@example.com\n"}}); err != nil {
		t.Fatal(err)
	}
	if line := s.until("run ended"); line["status"] != "succeeded" {
		t.Errorf("the customer's push led to %v", line)
	}
	if !slices.Contains(h.atDesk(), "Emmy Noether <emmy@example.com>") {
		t.Errorf("the contacts are %q", h.atDesk())
	}
	events, err := h.forge.Events(document.Project)
	if err != nil || len(events) != 2 {
		t.Fatalf("the deliveries are %+v, %v", events, err)
	}
	for _, e := range events {
		if e.Header.Get("Webhook-Signature") == "" || e.Status/100 != 2 {
			t.Errorf("delivery %d was answered %d; signature %q", e.ID, e.Status, e.Header.Get("Webhook-Signature"))
		}
	}
	// Whoever knows the configuration of one project has nothing for another.
	wrong, err := h.forge.CreateProject(fakegitlab.Project{Path: "contacts/other"})
	if err != nil {
		t.Fatal(err)
	}
	if document.Project == wrong {
		t.Error("a second project has the number of the first")
	}
	h.isClean()
}

// What people see: the golden file is the output of a dry run, a setup that stops, its continuation, and once more.
func TestSetupText(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	h.refusing.Store(true)
	var text strings.Builder
	for i, args := range [][]string{{"--dry-run"}, nil, nil, nil} {
		if i == 2 {
			h.refusing.Store(false)
		}
		got := h.run(h.setupArgs(args...)...)
		fmt.Fprintf(&text, "$ %s\n%s%s\n", got.command(), got.stdout, got.stderr)
	}
	text.WriteString("$ contactsync setup --resume\n" + h.run("setup", "--resume").stdout)
	is := steady(text.String())
	const name = "testdata/setup.golden"
	if *updatePages {
		if err := os.WriteFile(name, []byte(is), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if is != string(want) {
		t.Errorf("the output is\n%s\nwant\n%s", is, want)
	}
}

// The page about projects shows what the program really says.
func TestProjectsPage(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	h.ticket(nil)
	got := h.run("setup", "--organization", fmt.Sprint(h.org), "--maintainers", "ada@example.com,grace@example.com",
		"--ticket", fmt.Sprint(h.asked), "--skip-eligibility", "agreed").ends(0)
	page, err := os.ReadFile("../../docs/projects.md")
	if err != nil {
		t.Fatal(err)
	}
	if text := "$ " + got.command() + "\n" + got.stdout + "```\n"; !strings.Contains(steady(string(page)), steady(text)) {
		t.Errorf("docs/projects.md does not show\n%s", text)
	}
}
