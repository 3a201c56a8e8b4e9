package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"contactsync"
	"contactsync/contacts"
	fakegitlab "contactsync/internal/fakes/gitlab"
	fakezendesk "contactsync/internal/fakes/zendesk"
	"contactsync/store"
)

// changing is a world whose file asks for one change of each kind, and for one that cannot be.
func changing(t *testing.T) (*world, []contactsync.Contact) {
	t.Helper()
	w := newWorld(t)
	w.member("Ada Lovelace", "ada@example.com")
	w.member("Grace", "grace@example.com")
	w.member("Charles Babbage", "charles@example.com")
	w.desk.AddUser(fakezendesk.User{Name: "Mary Somerville", Email: "mary@example.com"})
	w.desk.AddUser(fakezendesk.User{Name: "Sophie Germain", Email: "sophie@example.com", Organizations: []int64{w.organization("Other", 0)}})
	good := append(founders(), contact("Mary Somerville", "mary@example.com"), contact("Emmy Noether", "emmy@example.com"))
	w.push(append(slices.Clone(good), contact("Sophie Germain", "sophie@example.com")))
	return w, good
}

// People read a plan from top to bottom: what it is about, one line for each change, a summary, and what comes next.
func TestPlanIsPleasantToRead(t *testing.T) {
	t.Parallel()
	w, _ := changing(t)
	got := w.run("plan", fmt.Sprint(project)).ends(0).stdout
	got = regexp.MustCompile(`[0-9a-f]{64}`).ReplaceAllString(got, "DIGEST")
	got = regexp.MustCompile(`commit [0-9a-f]{8}`).ReplaceAllString(got, "commit COMMIT")
	got = regexp.MustCompile(`desk \d+`).ReplaceAllString(got, "desk N")
	got = strings.ReplaceAll(got, fmt.Sprint(w.org), "ORGANIZATION")
	want, err := os.ReadFile("testdata/plan.golden")
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Colours are for terminals, and only where they are wanted.
func TestColours(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		terminal bool
		env      string
		args     []string
		want     bool
	}{
		{name: "terminal", terminal: true, want: true},
		{name: "pipe"},
		{name: "NO_COLOR", terminal: true, env: "NO_COLOR=1"},
		{name: "empty NO_COLOR", terminal: true, env: "NO_COLOR=", want: true},
		{name: "--no-color", terminal: true, args: []string{"--no-color"}},
		{name: "dumb", terminal: true, env: "TERM=dumb"},
		{name: "json", terminal: true, args: []string{"--output", "json"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, _ := changing(t)
			w.terminal = test.terminal
			w.set(test.env)
			r := w.run(append([]string{"plan", fmt.Sprint(project)}, test.args...)...).ends(0)
			if got := strings.Contains(r.stdout, "\x1b["); got != test.want {
				t.Errorf("colours: %v, want %v\n%q", got, test.want, r.stdout)
			}
		})
	}
}

// A plan writes nothing anywhere: not at the desk, not in the repository, not in the store; not on a first run either.
func TestPlanWritesNothing(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"no store yet", "a store"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := changing(t)
			if name == "a store" {
				w.run("sync", fmt.Sprint(project)).ends(3)
				w.push(founders())
			}
			people, files := fmt.Sprint(w.desk.Users()), snapshot(t, w.dir)
			head, err := w.forge.Head(project, "")
			if err != nil {
				t.Fatal(err)
			}
			w.desk.ResetRequests()
			var plan contactsync.Run
			w.json(&plan, "plan", fmt.Sprint(project), "--exit-code").ends(5)
			if plan.Status != contactsync.StatusPlanned || len(plan.Changes) == 0 {
				t.Errorf("the plan is %s with %d changes", plan.Status, len(plan.Changes))
			}
			if now := fmt.Sprint(w.desk.Users()); now != people {
				t.Errorf("the desk changed: %s, was %s", now, people)
			}
			for _, r := range w.desk.Requests() {
				if isWrite(r.Method, r.Path) {
					t.Errorf("%s %s was sent", r.Method, r.Path)
				}
			}
			if now := snapshot(t, w.dir); !maps.Equal(now, files) {
				t.Errorf("the store changed: %v, was %v", slices.Collect(maps.Keys(now)), slices.Collect(maps.Keys(files)))
			}
			if now, err := w.forge.Head(project, ""); now != head {
				t.Errorf("the repository changed (%v)", err)
			}
		})
	}
}

// snapshot reads all files of a folder.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		files[path] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// What a plan shows is what a sync of the same state does, under the same digest; afterwards there is nothing to do.
func TestSyncDoesWhatThePlanSays(t *testing.T) {
	t.Parallel()
	w, good := changing(t)
	var plan contactsync.Run
	w.json(&plan, "plan", fmt.Sprint(project)).ends(0)
	run, status := w.sync()
	if status != 3 || run.Status != contactsync.StatusPartial {
		t.Errorf("status %d, %s, want 3 and partial", status, run.Status)
	}
	if run.Digest != plan.Digest || run.Summary != plan.Summary || run.Commit != plan.Commit {
		t.Errorf("the plan was %s %+v, the sync is %s %+v", plan.Digest, plan.Summary, run.Digest, run.Summary)
	}
	for i, change := range run.Changes {
		if change.Result != contactsync.ResultDone || plan.Changes[i].Result != contactsync.ResultPlanned ||
			change.Email != plan.Changes[i].Email || change.Action != plan.Changes[i].Action {
			t.Errorf("planned %+v, did %+v", plan.Changes[i], change)
		}
	}
	w.hasExactly(good)

	w.push(good)
	if run, status := w.sync(); status != 0 || run.Status != contactsync.StatusUnchanged {
		t.Errorf("status %d, %s, want 0 and unchanged", status, run.Status)
	}
	w.run("plan", fmt.Sprint(project), "--exit-code").ends(0).says("Nothing to do: 4 contacts are as the file says.")
}

// A local file is planned against an organization, without a project and without GitLab.
func TestPlanOfALocalFile(t *testing.T) {
	t.Parallel()
	w, _ := changing(t)
	w.set("CONTACTSYNC_GITLAB_URL=", "CONTACTSYNC_GITLAB_TOKEN=")
	file := filepath.Join(t.TempDir(), "local.yaml")
	if err := os.WriteFile(file, []byte("- name: Ada Lovelace\n  email: ada@example.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"plan", "--file", file, "--organization", fmt.Sprint(w.org)}
	var plan contactsync.Run
	w.json(&plan, args...).ends(0)
	want := contactsync.Summary{Remove: 2, Unchanged: 1}
	if plan.Summary != want || plan.Project != "" || plan.Requests.GitLab+plan.Requests.Git != 0 {
		t.Errorf("got %+v", plan)
	}
	w.run(args...).ends(0).says("local.yaml", "Plan: 2 to remove, 1 unchanged.")

	var missing struct{ Error contactsync.Failure }
	w.json(&missing, "plan", "--file", file+".not", "--organization", fmt.Sprint(w.org)).ends(1)
	if missing.Error.Class != contactsync.ClassFileMissing {
		t.Errorf("a missing file is %s", missing.Error.Class)
	}
}

// Several projects are all tried, even when one fails, and the exit status is the worst of them.
func TestSyncOfSeveralProjects(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push(w.members(8))
	second := func(id, org int64, file string) string {
		t.Helper()
		if _, err := w.forge.CreateProject(fakegitlab.Project{ID: id, Path: fmt.Sprintf("contacts/p%d", id)}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.forge.Commit(id, fakegitlab.Commit{Files: map[string]string{"contacts.yaml": file}}); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(id)
	}
	good := fmt.Sprint(project)
	held := second(201, 0, "- name: Held 0\n  email: held0@example.com\n")
	heldOrg := w.organization("Held", 201)
	for i := range 8 {
		w.desk.AddUser(fakezendesk.User{Name: fmt.Sprintf("Held %d", i), Email: fmt.Sprintf("held%d@example.com", i), Organizations: []int64{heldOrg}})
	}
	partial := second(202, 0, "- name: Person 0000\n  email: p0000@example.com\n- name: New\n  email: new@example.com\n")
	w.organization("Partial", 202)
	failed := second(203, 0, "- name: [\n")
	w.organization("Failed", 203)

	for _, test := range []struct {
		projects []string
		status   int
		want     []contactsync.Status
	}{
		{[]string{good, held}, 4, []contactsync.Status{"unchanged", "held"}},
		{[]string{held, partial, good}, 3, []contactsync.Status{"held", "partial", "unchanged"}},
		{[]string{failed, "nonsense", partial, good}, 1, []contactsync.Status{"failed", "failed", "partial", "unchanged"}},
	} {
		var document struct{ Results []contactsync.Run }
		w.json(&document, append([]string{"sync"}, test.projects...)...).ends(test.status)
		var got []contactsync.Status
		for i, run := range document.Results {
			got = append(got, run.Status)
			if string(run.Project) != test.projects[i] {
				t.Errorf("result %d is of project %s, want %s", i, run.Project, test.projects[i])
			}
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("sync %v: %v, want %v", test.projects, got, test.want)
		}
	}
	w.run("sync", failed, good).ends(1).says("Error reading YAML file (yaml_unreadable)", "project 203: ", "Nothing to do: 8 contacts")
}

// Behind the original trigger the project comes from the environment; the answer is then one run, not a list.
func TestSyncOfTheProjectInTheEnvironment(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push(w.members(2))
	w.set("PROJECT_ID=" + fmt.Sprint(project))
	var run contactsync.Run
	w.json(&run, "sync").ends(0)
	if run.Project != contactsync.ProjectRef(fmt.Sprint(project)) || run.Status != contactsync.StatusUnchanged {
		t.Errorf("got %+v", run)
	}
	w.set("PROJECT_ID=$PROJECT_ID")
	w.json(&run, "sync").ends(1)
	if run.Project != "$PROJECT_ID" || run.Error == nil || run.Error.Class != contactsync.ClassInvalidProjectID {
		t.Errorf("got %+v", run)
	}
}

// Programs rely on the keys of a run: all are there, whatever became of it, and lists are never null.
func TestRunsHaveEveryKey(t *testing.T) {
	t.Parallel()
	required := []string{"project", "status", "run", "commit", "digest", "organization", "changes", "conflicts", "summary", "requests"}
	counts := []string{"create", "add", "rename", "remove", "unchanged", "held", "conflicts", "failed"}
	check := func(r result, without ...string) {
		t.Helper()
		var document map[string]json.RawMessage
		r.decodeLoosely(&document)
		for _, key := range required {
			if _, ok := document[key]; ok == slices.Contains(without, key) {
				t.Errorf("%s: the key %s is there: %v\n%s", r.command(), key, ok, r.stdout)
			}
		}
		for key, want := range map[string][]string{"summary": counts, "requests": {"desk", "gitlab", "git"}} {
			var numbers map[string]int
			if err := json.Unmarshal(document[key], &numbers); err != nil || len(numbers) != len(want) {
				t.Errorf("%s: %s is %s (%v)", r.command(), key, document[key], err)
			}
			for _, name := range want {
				if _, ok := numbers[name]; !ok {
					t.Errorf("%s: %s has no %s", r.command(), key, name)
				}
			}
		}
		for _, key := range []string{"changes", "conflicts"} {
			if !strings.HasPrefix(string(document[key]), "[") {
				t.Errorf("%s: %s is %s, not a list", r.command(), key, document[key])
			}
		}
	}
	w, _ := changing(t)
	p := fmt.Sprint(project)
	check(w.run("plan", p, "--output", "json"), "run")
	check(w.run("sync", p, "--output", "json"))
	check(w.run("sync", p, "--output", "json"))
	check(w.run("sync", "nonsense", "--output", "json"), "commit", "organization", "digest")
	var history struct{ Runs []struct{ Run string } }
	w.run("runs", "--output", "json").decodeLoosely(&history)
	for _, run := range history.Runs[1:] {
		check(w.run("runs", "show", run.Run, "--output", "json"))
	}
	if len(history.Runs) != 3 {
		t.Errorf("the history has %d runs, want 3", len(history.Runs))
	}
}

// Held changes wait for the approval of exactly their plan; any other digest is refused, with the new one named.
func TestApprove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := w.members(10)
	p := fmt.Sprint(project)
	w.push(all[:4])
	held, status := w.sync()
	if status != 4 || held.Status != contactsync.StatusHeld || held.Summary.Held != 6 {
		t.Fatalf("status %d, %+v", status, held)
	}
	w.hasExactly(all)
	w.run("sync", p).ends(4).says("= remove", "6 wait for approval", "contactsync approve "+p+" "+held.Digest, "Removals held (removals_held)")

	wrong := "sha256:" + strings.Repeat("5", 64)
	w.run("approve", p, wrong).ends(1).says("The plan has changed (plan_changed)", held.Digest, "Failed: nothing was changed.")
	w.hasExactly(all)

	w.push(append([]contactsync.Contact{contact("Emmy Noether", "emmy@example.com")}, all[:3]...))
	w.run("approve", p, held.Digest).ends(1).says("(plan_changed)", "Emmy Noether  (planned)", "Failed: nothing was changed.")
	w.hasExactly(all)
	w.push(all[:3])

	var plan, approved contactsync.Run
	w.json(&plan, "plan", p).ends(0)
	w.json(&approved, "approve", p, plan.Digest).ends(0)
	w.run("runs", "show", approved.ID).ends(0).says("started by approval", ", approved by tester, took ")
	if approved.Status != contactsync.StatusSucceeded || approved.Summary.Remove != 7 || approved.Trigger != contactsync.TriggerApproval {
		t.Errorf("got %+v", approved)
	}
	w.hasExactly(all[:3])
	if run, _ := w.sync(); run.Status != contactsync.StatusUnchanged {
		t.Errorf("after it a sync is %s", run.Status)
	}
}

// Whose word an approval was is in the history, also where no variable of the environment names them.
func TestApprovedBy(t *testing.T) {
	t.Parallel()
	account := fmt.Sprintf("uid %d", os.Getuid())
	if current, err := user.Current(); err == nil {
		account = current.Username
	}
	for _, test := range []struct {
		name, env string
		flags     []string
		want      string
	}{
		{name: "flag", flags: []string{"--by", "Ada Lovelace"}, want: "Ada Lovelace"},
		{name: "CI", env: "GITLAB_USER_LOGIN=grace", want: "grace"},
		{name: "account", env: "USER=", want: account},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.push(w.members(10)[:4])
			w.set(test.env)
			var plan, run contactsync.Run
			w.json(&plan, "plan", fmt.Sprint(project)).ends(0)
			w.json(&run, append([]string{"approve", fmt.Sprint(project), plan.Digest}, test.flags...)...).ends(0)
			if run.ApprovedBy != test.want {
				t.Errorf("approved by %q, want %q", run.ApprovedBy, test.want)
			}
			w.run("runs", "show", run.ID).ends(0).says(", approved by " + test.want + ", took ")
		})
	}
}

// runsDocument is what runs answers, every key of it.
type runsDocument struct {
	Runs     []listedRun
	Projects []store.Standing
}

// The history answers who did what, when and why not, newest first, as narrowly as it is asked.
func TestRuns(t *testing.T) {
	t.Parallel()
	w, good := changing(t)
	p := fmt.Sprint(project)
	w.run("runs").ends(0).says("No runs.")
	w.run("sync", p).ends(3)
	w.pushText("- name: [\n")
	w.run("sync", p, "nonsense").ends(1)
	w.push(good)
	w.run("sync", p).ends(0)

	count := func(want int, args ...string) []listedRun {
		t.Helper()
		var document runsDocument
		w.json(&document, append([]string{"runs"}, args...)...).ends(0)
		if len(document.Runs) != want {
			t.Errorf("runs %v: %d, want %d", args, len(document.Runs), want)
		}
		return document.Runs
	}
	all := count(4)
	if all[0].Status != contactsync.StatusUnchanged || all[3].Status != contactsync.StatusPartial || all[3].Summary.Create != 1 {
		t.Errorf("the order is wrong: %+v", all)
	}
	count(3, p)
	count(1, "nonsense")
	count(2, "--status", "failed")
	count(1, "--class", "yaml_unreadable")
	count(1, "--class", "invalid_project_id", "--status", "failed")
	count(2, "--limit", "2")
	count(4, "--since", "1h")
	count(4, "--since", "1d")
	count(4, "--since", "2001-01-31")
	count(0, "--since", "2101-01-31T00:00:00Z")
	w.run("runs").says("yaml_unreadable", "1 created, 1 added, 1 renamed, 1 removed, 1 conflict", "command")

	w.run("runs", "show", all[3].ID[:6]).ends(0).says("started by command", "+ create    emmy@example.com",
		"! conflict  sophie@example.com", "Partly done")
	w.run("runs", "show", all[2].ID, "--output", "json").ends(0).says(`"class": "yaml_unreadable"`)
	w.run("runs", "show", "nowhere").ends(2).says(`there is no run "nowhere"`)
}

// A run that failed for its file has the file's problems for programs, with what lines should be, now and in the
// history. People read each of them once.
func TestProblemsOfTheFileJSON(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pushText("- name: Ada\n  email: <ada@example.com>\n- name: Bob\n  email: bob\n")
	run, status := w.sync()
	if status != 1 || run.Error == nil || len(run.Error.Problems) != 2 || run.Error.Unlisted != 0 {
		t.Fatalf("exit status %d, error %+v", status, run.Error)
	}
	first, second := run.Error.Problems[0], run.Error.Problems[1]
	if first.Line != 2 || first.Column != 10 || first.Rule != contacts.RuleEmailInvalid || first.Class != contactsync.ClassEmailInvalid ||
		first.Message == "" || first.Corrected != "  email: ada@example.com" || second.Line != 4 || second.Corrected != "" {
		t.Errorf("got %+v", run.Error.Problems)
	}

	var document runsDocument
	w.json(&document, "runs").ends(0)
	if len(document.Runs) != 1 || !reflect.DeepEqual(document.Runs[0].Error, run.Error) {
		t.Errorf("the history has %+v", document.Runs)
	}
	for _, args := range [][]string{{"plan", fmt.Sprint(project)}, {"runs", "show", run.ID}} {
		got := w.run(args...)
		if n := strings.Count(got.stdout+got.stderr, second.Message); n != 1 {
			t.Errorf("%v says %d times %q:\n%s%s", args, n, second.Message, got.stdout, got.stderr)
		}
	}
}

// A run shows how far telling people on GitLab is, in one line and for programs; the history lists nothing of it.
func TestRunsShowWhoWasTold(t *testing.T) {
	t.Parallel()
	statuses := regexp.MustCompile("/statuses/")
	for name, test := range map[string]struct {
		scopes []string
		off    bool
		fault  *fakegitlab.Fault
		state  contactsync.ReportState
		line   string
	}{
		"told":      {state: contactsync.ReportTold, line: "On GitLab: people were told how it ended.\n"},
		"waiting":   {fault: &fakegitlab.Fault{Path: statuses, Status: 502}, state: contactsync.ReportWaiting, line: "On GitLab: people are still to be told how it ended: "},
		"given up":  {scopes: []string{"read_api", "read_repository"}, state: contactsync.ReportGivenUp, line: "On GitLab: people were not told how it ended, and that was given up: "},
		"asked not": {off: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorldAround(t, newForge(t, func(o *fakegitlab.Options) { o.Scopes = test.scopes }))
			if test.off {
				w.set(silent...)
			}
			if test.fault != nil {
				w.forge.Inject(*test.fault)
			}
			w.push(w.members(2))
			run, status := w.sync()
			if status != 0 {
				t.Fatalf("status %d, %+v", status, run.Error)
			}
			var shown contactsync.Run
			w.json(&shown, "runs", "show", run.ID).ends(0)
			text := w.run("runs", "show", run.ID).ends(0)
			if test.off {
				if shown.Report != nil {
					t.Errorf("the report is %+v", shown.Report)
				}
				text.keepsQuietOf("On GitLab")
			} else {
				if shown.Report == nil || shown.Report.State != test.state || (shown.Report.Problem == "") != (test.state == contactsync.ReportTold) {
					t.Errorf("the report is %+v", shown.Report)
				}
				text.says(test.line)
				if n := strings.Count(text.stdout, "On GitLab"); n != 1 || strings.Contains(text.stdout, "..") || strings.Contains(text.stdout, "\ufffd") {
					t.Errorf("says:\n%s", text.stdout)
				}
			}
			w.run("runs", "--output", "json").ends(0).keepsQuietOf("report")
		})
	}
}

// The beginning of an id that several runs share is as wrong as one that none has.
func TestAmbiguousRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, id := range []string{"abcd", "abef"} {
		w.record(contactsync.Run{ID: id, Project: "101", Started: time.Now()})
	}
	w.run("runs", "show", "abc").ends(0).says("Run abcd,")
	w.run("runs", "show", "ab").ends(2).says(`several runs begin with "ab": give more of the id`)
}

// Links that were found by one field say nothing about another: with a new one the organizations are read from the
// beginning again.
func TestAnotherProjectField(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push(w.members(2))
	w.desk.SetField(w.org, "cmp_id", nil)
	begins := func(atTheBeginning bool) {
		t.Helper()
		w.desk.ResetRequests()
		if err := w.clock.Wait(t.Context(), time.Hour); err != nil { // exports leave out what is very new
			t.Fatal(err)
		}
		w.run("sync", fmt.Sprint(project)).ends(1).says("(no_org_found)")
		var starts []string
		for _, r := range w.desk.Requests() {
			if strings.Contains(r.Path, "/incremental/organizations") {
				starts = append(starts, r.Query.Get("start_time"))
			}
		}
		if len(starts) != 1 || (starts[0] == "0") != atTheBeginning {
			t.Errorf("organizations were read from %q; from the beginning should be %v", starts, atTheBeginning)
		}
	}
	begins(true)
	begins(false)
	w.set("CONTACTSYNC_ZENDESK_PROJECT_FIELD=project_id")
	begins(true)
}

// listedRun is a run as the history lists it.
type listedRun struct {
	ID       string                 `json:"run"`
	Project  contactsync.ProjectRef `json:"project"`
	Status   contactsync.Status     `json:"status"`
	Error    *contactsync.Failure   `json:"error"`
	Trigger  contactsync.Trigger    `json:"trigger"`
	Commit   string                 `json:"commit"`
	Started  string                 `json:"started"`
	Finished string                 `json:"finished"`
	Summary  contactsync.Summary    `json:"summary"`
}

// What export writes syncs to no change: the way to begin with an organization that has contacts already.
func TestExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.member("Ada Lovelace", "ada@example.com")
	w.member("No", "0123@example.com")
	w.member("grace@example.com", "grace@example.com")
	w.desk.AddUser(fakezendesk.User{Name: "Agent", Email: "agent@example.com", Role: "agent", Organizations: []int64{w.org}})
	w.desk.AddUser(fakezendesk.User{Name: "Nameless", Organizations: []int64{w.org}}) // has no address
	w.desk.AddUser(fakezendesk.User{Name: "Odd", Email: "odd@localhost", Secondary: []string{"odd@example.com"}, Organizations: []int64{w.org}})
	out := filepath.Join(t.TempDir(), "contacts.yaml")
	org := fmt.Sprint(w.org)
	w.run("export", org, "--out", out).ends(0).says("5 contacts")
	written, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if r := w.run("export", org).ends(0); r.stdout != string(written) {
		t.Errorf("standard output has\n%s\nthe file\n%s", r.stdout, written)
	}
	w.pushText(string(written))
	run, status := w.sync()
	run.Changes = slices.DeleteFunc(run.Changes, func(c contactsync.Change) bool { return c.Name == "Nameless" && c.Result == "skipped" })
	if status != 0 || run.Status != contactsync.StatusUnchanged || len(run.Changes) > 0 {
		t.Errorf("what was exported does not sync to no change: %s %+v\n%s", run.Status, run.Changes, written)
	}
	w.run("export", org, "--out", out).ends(2).says("--force replaces it")
}

// Members whom a file cannot list are named with the reason, and they stay members.
func TestExportNamesWhomItLeavesOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org := fmt.Sprint(w.org)
	nameless := w.desk.AddUser(fakezendesk.User{Name: "Nameless\x1b[2J", Organizations: []int64{w.org}})
	odd := w.member("Odd", "odd@localhost")
	noAddress := fmt.Sprintf("person %d (Nameless\ufffd[2J) left out: has no e-mail address\n", nameless)
	noMail := fmt.Sprintf("person %d (Odd) left out: mail cannot reach odd@localhost\n", odd)
	w.run("export", org).ends(1).says("(file_empty)", "organization "+org+" has no members whom a contacts file can list", noAddress, noMail)

	w.member("Ada Lovelace", "ada@example.com")
	r := w.run("export", org).ends(0)
	if want := noAddress + noMail + "2 members are not in the file. They stay members: a sync never removes them.\n"; r.stderr != want {
		t.Errorf("standard error says\n%s\nwant\n%s", r.stderr, want)
	}
	w.pushText(r.stdout)
	var document struct {
		Organization, YAML string
		Contacts           int
		LeftOut            []struct{ Person, Name, Reason string } `json:"left_out"`
	}
	if r := w.json(&document, "export", org).ends(0); r.stderr != "" {
		t.Errorf("programs find it in the document, but standard error says %s", r.stderr)
	}
	if left := document.LeftOut; document.Contacts != 1 || len(left) != 2 || left[1].Person != fmt.Sprint(odd) || left[1].Name != "Odd" ||
		left[1].Reason != "mail cannot reach odd@localhost" {
		t.Errorf("got %+v", document)
	}
	w.run("sync", fmt.Sprint(project)).ends(0)
	if got := w.desk.MembersOf(w.org); len(got) != 3 {
		t.Errorf("%d people are members after the sync, want 3", len(got))
	}
}

// A failure tells what to do about this command: where nobody has pushed anything, nobody needs to push again.
func TestRemediesFitTheCommand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org, empty := fmt.Sprint(w.org), fmt.Sprint(w.organization("Empty", 0))
	for _, c := range numbered(contacts.MaxContacts + 1) {
		w.member(c.Name, string(c.Email))
	}
	table := "name,email\n"
	for _, c := range numbered(contacts.MaxContacts + 1) {
		table += c.Name + "," + string(c.Email) + "\n"
	}
	file := func(name, text string) string {
		name = filepath.Join(w.dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	good := file("good.yaml", "- name: Ada Lovelace\n  email: ada@example.com\n")
	for _, test := range []struct {
		args           []string
		class          contactsync.Class
		detail, remedy string
	}{
		{[]string{"export", "999999"}, contactsync.ClassNoOrgFound, "999999", ""},
		{[]string{"export", "abc"}, contactsync.ClassNoOrgFound, "abc", ""},
		{[]string{"plan", "--file", good, "--organization", "999999"}, contactsync.ClassNoOrgFound, "999999", ""},
		{[]string{"plan", "--file", good + ".not", "--organization", org}, contactsync.ClassFileMissing, "no such file", "Check the path"},
		{[]string{"export", empty}, contactsync.ClassFileEmpty, "organization " + empty + " has no members to export", "by hand"},
		{[]string{"export", org}, contactsync.ClassFileTooLarge, "5001", "export again"},
		{[]string{"import", good + ".not"}, contactsync.ClassFileMissing, "no such file", "Check the path"},
		{[]string{"import", file("large.csv", table)}, contactsync.ClassFileTooLarge, "5001", "import again"},
		{[]string{"import", file("none.csv", "name,email\n")}, contactsync.ClassFileEmpty, "no contacts below it", "import that file"},
		{[]string{"import", file("other.csv", "colour,size\nred,3\n")}, contactsync.ClassContactInvalid, "other.csv", "import again"},
	} {
		var document struct{ Error contactsync.Failure }
		w.run(append(test.args, "--output", "json")...).ends(1).decodeLoosely(&document)
		got := document.Error
		if got.Class != test.class || !strings.Contains(got.Detail, test.detail) || !strings.Contains(got.Remedy, test.remedy) ||
			strings.Contains(got.Remedy, "push") || got.Who != contactsync.WhoOperator || got.Retry != contactsync.RetryNo {
			t.Errorf("%v: got %+v", test.args, got)
		}
		if test.class == contactsync.ClassNoOrgFound && got.Remedy == test.class.Info().Remedy {
			t.Errorf("%v: %q is for organizations that a project lacks", test.args, got.Remedy)
		}
	}
}

// A run that is told to stop says so, and is no defect; the next one goes on.
func TestInterruptedSync(t *testing.T) {
	t.Parallel()
	w, good := changing(t)
	ctx, stop := context.WithCancel(t.Context())
	w.transport = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if isWrite(r.Method, r.URL.Path) {
				stop()
			}
			return next.RoundTrip(r)
		})
	}
	w.runFor(ctx, "sync", fmt.Sprint(project)).ends(1).says("stopped before its end")
	w.transport = nil
	w.isClean()
	w.run("sync", fmt.Sprint(project)).ends(3)
	w.hasExactly(good)
}
