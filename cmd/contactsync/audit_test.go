package main_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"contactsync"
	"contactsync/contacts"
	fakegitlab "contactsync/internal/fakes/gitlab"
	fakezendesk "contactsync/internal/fakes/zendesk"
)

// auditDocument is the document, as programs see it.
type auditDocument struct {
	Findings      []contactsync.Finding `json:"findings"`
	Organizations int                   `json:"organizations"`
	Projects      int                   `json:"projects"`
	Skipped       []string              `json:"skipped"`
	Answered      string                `json:"answered"`
	Requests      contactsync.Requests  `json:"requests"`
	Error         *contactsync.Failure  `json:"error"`
}

// checks are the findings in short: check, organization, project.
func (d auditDocument) checks(h *home) (all []string) {
	for _, f := range d.Findings {
		organization := ""
		if f.Organization != nil {
			organization = f.Organization.ID
		}
		if organization == fmt.Sprint(h.org) {
			organization = "org"
		}
		all = append(all, fmt.Sprintf("%s %s %d", f.Check, organization, f.Project))
	}
	return all
}

// newAudited is a home in which all is well: an organization with two contacts, its project and the project's hook.
func newAudited(t testing.TB) (*home, int64) {
	t.Helper()
	h := newHome(t, nil)
	h.desk.DeleteOrganization(h.desk.OrganizationIDs()[0]) // whose project is none of this GitLab's
	return h, h.hasProject(h.org, contact("Ada Lovelace", "ada@example.com"), contact("Alan Turing", "alan@example.com"))
}

// hasProject gives an organization what setup would, with that list.
func (h *home) hasProject(org int64, list ...contactsync.Contact) int64 {
	h.Helper()
	id, err := h.forge.CreateProject(fakegitlab.Project{Path: fmt.Sprintf("%s/organization-%d", homeGroup, org), Name: fmt.Sprintf("Organization %d", org)})
	if err != nil {
		h.Fatal(err)
	}
	h.lists(id, list...)
	if _, err := h.forge.AddHook(id, fakegitlab.Hook{URL: h.variable("CONTACTSYNC_WEBHOOK_URL") + "/hooks/gitlab", BranchFilter: "master", Token: hookToken}); err != nil {
		h.Fatal(err)
	}
	h.desk.SetField(org, "cmp_id", id)
	return id
}

// lists commits a file.
func (h *home) lists(project int64, list ...contactsync.Contact) {
	h.Helper()
	text, err := contacts.Render(contacts.File{Contacts: list})
	if err != nil {
		h.Fatal(err)
	}
	h.writesFile(project, string(text))
}

func (h *home) writesFile(project int64, text string) {
	h.Helper()
	if _, err := h.forge.Commit(project, fakegitlab.Commit{Files: map[string]string{"contacts.yaml": text}}); err != nil {
		h.Fatal(err)
	}
}

// without adds an organization without a project, with so many contacts.
func (h *home) without(name string, contacts int) int64 {
	org := h.desk.AddOrganization(fakezendesk.Organization{Name: name})
	for i := range contacts {
		h.desk.AddUser(fakezendesk.User{Name: fmt.Sprintf("Person %d", i), Email: fmt.Sprintf("p%d@%d.example.com", i, org), Organizations: []int64{org}})
	}
	return org
}

func (h *home) audit(more ...string) (auditDocument, result) {
	h.Helper()
	var document auditDocument
	got := h.json(&document, append([]string{"audit"}, more...)...)
	return document, got
}

// Where all is well nothing is reported, nothing is written, and the bulk reads do most of the work.
func TestAuditClean(t *testing.T) {
	t.Parallel()
	for _, several := range []bool{true, false} {
		t.Run(fmt.Sprintf("several organizations a person %v", several), func(t *testing.T) {
			t.Parallel()
			h, _ := newAudited(t)
			h.desk.Configure(func(s *fakezendesk.Settings) { s.MultipleOrganizations = several })
			for i := range 19 {
				org := h.without(fmt.Sprintf("With %d", i), 1)
				h.hasProject(org, contact("Person 0", fmt.Sprintf("p0@%d.example.com", org)))
			}
			for i := range 180 {
				h.without(fmt.Sprintf("Without %d", i), 1)
			}
			h.forge.Settle()
			h.forget()
			document, got := h.audit()
			got.ends(0)
			if document.Organizations != 200 || document.Projects != 20 || len(document.Findings) > 0 || len(document.Skipped) > 0 {
				t.Errorf("the audit tells %+v", document)
			}
			t.Logf("requests: %+v", document.Requests)
			if r := document.Requests; r.GitLab != 1+2*20 || r.Git > 2*20 || r.Desk > 10+3*20 || r.Desk < 20 {
				t.Errorf("it takes %+v", r)
			}
			if sent := len(h.forge.Requests()); sent != document.Requests.GitLab+document.Requests.Git {
				t.Errorf("GitLab saw %d requests, and %+v are told", sent, document.Requests)
			}
			if writes := h.writes(); len(writes) > 0 {
				t.Errorf("an audit writes %v", writes)
			}
			h.forget()
			bulk, got := h.audit("--no-drift", "--no-hooks")
			got.ends(0)
			t.Logf("requests without drift and hooks: %+v", bulk.Requests)
			if r := bulk.Requests; r.GitLab != 1 || r.Git != 0 || r.Desk > 10 || !slices.Equal(bulk.Skipped, []string{"drift", "hooks"}) {
				t.Errorf("without drift and hooks it tells %+v", bulk)
			}
			h.run("audit").ends(0).says("Clean. Looked at 200 organizations and 20 projects.", "Requests: desk")
			h.run("audit", "--csv").ends(0)
			h.isClean()
		})
	}
}

// Each kind of trouble is told, alone, about the right organization and project, and not where it ends.
func TestAuditFindings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		arrange func(h *home, project int64)
		args    []string
		want    []string
		says    []string
	}{
		{name: "30 without a project", arrange: func(h *home, _ int64) { h.without("Small", 30) }},
		{name: "31 without a project", arrange: func(h *home, _ int64) { h.org = h.without("Large", 31) },
			want: []string{"over_limit org 0"}, says: []string{"Large", "has 31 contacts, and one without a project may have 30", "contactsync setup --organization"}},
		{name: "agents do not count", arrange: func(h *home, _ int64) {
			org := h.without("Small", 30)
			h.desk.AddUser(fakezendesk.User{Name: "Agent", Email: "agent@example.com", Role: "agent", Organizations: []int64{org}})
		}},
		{name: "agents do not count, whoever does", arrange: func(h *home, _ int64) {
			h.desk.Configure(func(s *fakezendesk.Settings) { s.MultipleOrganizations = true }) // the bulk read counts agents then
			org := h.without("Small", 30)
			h.desk.AddUser(fakezendesk.User{Name: "Agent", Email: "agent@example.com", Role: "agent", Organizations: []int64{org}})
			h.org = h.without("Large", 31)
			h.desk.AddUser(fakezendesk.User{Name: "Admin", Email: "admin@example.com", Role: "admin", Organizations: []int64{h.org}})
		}, want: []string{"over_limit org 0"}, says: []string{"has 31 contacts"}},
		{name: "another limit", arrange: func(h *home, _ int64) {
			h.without("Small", 2)
			h.org = h.without("Large", 3)
			h.set("CONTACTSYNC_LIMITS_CONTACTS_WITHOUT_PROJECT=2")
		}, want: []string{"over_limit org 0"}},
		{name: "no limit without", arrange: func(h *home, _ int64) {
			h.without("Large", 40)
			h.set("CONTACTSYNC_LIMITS_CONTACTS_WITHOUT_PROJECT=0")
		}},
		{name: "at the limit with a project", arrange: func(h *home, _ int64) { h.set("CONTACTSYNC_LIMITS_CONTACTS_WITH_PROJECT=2") }},
		{name: "over the limit with a project", arrange: func(h *home, _ int64) { h.set("CONTACTSYNC_LIMITS_CONTACTS_WITH_PROJECT=1") },
			want: []string{"over_limit org 1", "file_invalid org 1"}, says: []string{"one with a project may have 1", "too_many_contacts"}},
		{name: "one project of two organizations", arrange: func(h *home, project int64) {
			h.desk.SetField(h.without("Second", 1), "cmp_id", project)
		}, want: []string{"link_double org 1", "link_double 360000000003 1", "project_name 360000000003 1"}, says: []string{"is linked to project 1, as is organization"}},
		{name: "no such project", arrange: func(h *home, _ int64) {
			h.org = h.without("Lost", 1)
			h.desk.SetField(h.org, "cmp_id", 999)
		}, want: []string{"project_gone org 999"}},
		{name: "marked for deletion", arrange: func(h *home, project int64) {
			if err := h.forge.DeleteProject(project); err != nil {
				h.Fatal(err)
			}
		}, want: []string{"project_deleted org 1"}},
		{name: "outside the group", arrange: func(h *home, _ int64) {
			h.org = h.without("Outside", 1)
			id, err := h.forge.CreateProject(fakegitlab.Project{Path: "elsewhere/project"})
			if err != nil {
				h.Fatal(err)
			}
			h.lists(id, contact("Person 0", fmt.Sprintf("p0@%d.example.com", h.org)))
			h.desk.SetField(h.org, "cmp_id", id)
		}, want: []string{"project_moved org 2", "hook_missing org 2"}, says: []string{"elsewhere/project"}},
		{name: "another organization's project", arrange: func(h *home, project int64) {
			h.desk.SetField(h.org, "cmp_id", nil)
			h.org = h.without("Second", 1)
			h.desk.AddUser(fakezendesk.User{Name: "Ada Lovelace", Email: "ada2@example.com", Organizations: []int64{h.org}})
			h.desk.SetField(h.org, "cmp_id", project)
		}, args: []string{"--no-drift"}, want: []string{"project_name org 1"}},
		{name: "nobody is linked", arrange: func(h *home, _ int64) { h.desk.SetField(h.org, "cmp_id", nil) },
			want: []string{"link_missing org 1"}, says: []string{"setup --resume"}},
		{name: "named after nobody", arrange: func(h *home, _ int64) {
			if _, err := h.forge.CreateProject(fakegitlab.Project{Path: homeGroup + "/organization-4711", Name: "Organization 4711"}); err != nil {
				h.Fatal(err)
			}
		}, want: []string{"link_missing 4711 2"}, says: []string{"is not there at the desk"}},
		{name: "projects of another kind", arrange: func(h *home, _ int64) {
			if _, err := h.forge.CreateProject(fakegitlab.Project{Path: homeGroup + "/tools", Name: "Organization of tools"}); err != nil {
				h.Fatal(err)
			}
		}},
		{name: "drift", arrange: func(h *home, project int64) {
			h.lists(project, contact("Ada Lovelace", "ada@example.com"), contact("Alan Turing", "alan@example.com"), contact("Grace Hopper", "grace@example.com"))
		}, want: []string{"drift org 1"}, says: []string{"would create 1, add 0, rename 0 and remove 0"}},
		{name: "drift that nobody asks for", arrange: func(h *home, project int64) { h.lists(project, contact("Ada", "ada@example.com")) }, args: []string{"--no-drift"}},
		{name: "a conflict alone", arrange: func(h *home, project int64) {
			org := h.without("Second", 1)
			h.lists(project, contact("Ada Lovelace", "ada@example.com"), contact("Alan Turing", "alan@example.com"), contact("Person 0", fmt.Sprintf("p0@%d.example.com", org)))
		}, want: []string{"drift org 1"}, says: []string{"1 in conflict"}},
		{name: "a broken file", arrange: func(h *home, project int64) { h.writesFile(project, "- name: Ada\n  email: ada\n- name: [\n") },
			want: []string{"file_invalid org 1"}, says: []string{"yaml_unreadable"}},
		{name: "no file", arrange: func(h *home, project int64) {
			if _, err := h.forge.Commit(project, fakegitlab.Commit{Deleted: []string{"contacts.yaml"}, Files: map[string]string{"README.md": "x"}}); err != nil {
				h.Fatal(err)
			}
		}, want: []string{"file_missing org 1"}},
		{name: "git is broken", arrange: func(h *home, _ int64) {
			h.forge.Inject(fakegitlab.Fault{Path: regexp.MustCompile(`/info/refs$`), Status: 503})
		}, want: []string{"sync_fails org 1"}, says: []string{"repository_unreachable"}},
		{name: "no hook", arrange: func(h *home, _ int64) { h.send(http.MethodDelete, "/projects/1/hooks/1") }, want: []string{"hook_missing org 1"}},
		{name: "no hook, of which nobody asks", arrange: func(h *home, _ int64) { h.send(http.MethodDelete, "/projects/1/hooks/1") }, args: []string{"--no-hooks"}},
		{name: "a hook that leads elsewhere", arrange: func(h *home, _ int64) {
			h.send(http.MethodDelete, "/projects/1/hooks/1")
			if _, err := h.forge.AddHook(1, fakegitlab.Hook{URL: "https://elsewhere.example.com/hooks/gitlab"}); err != nil {
				h.Fatal(err)
			}
		}, want: []string{"hook_missing org 1"}},
		{name: "a hook for the original address", arrange: func(h *home, project int64) {
			h.send(http.MethodDelete, "/projects/1/hooks/1")
			h.set("CONTACTSYNC_WEBHOOK_TRIGGER_TOKEN=trigger-token")
			if _, err := h.forge.AddHook(project, fakegitlab.Hook{
				URL: fmt.Sprintf("%s/api/v4/projects/%d/ref/master/trigger/pipeline?token={TOKEN}&variables[PROJECT_ID]=%d", h.variable("CONTACTSYNC_WEBHOOK_URL"), project, project), Variables: map[string]string{"TOKEN": "trigger-token"},
			}); err != nil {
				h.Fatal(err)
			}
		}},
		{name: "a disabled hook", arrange: func(h *home, _ int64) {
			h.transport = answersWith("/hooks", `"alert_status":"executable"`, `"alert_status":"disabled"`)
		}, want: []string{"hook_disabled org 1"}, says: []string{"GitLab has disabled hook 1 (disabled)"}},
		{name: "hooks that cannot be read", arrange: func(h *home, _ int64) {
			h.forge.Inject(fakegitlab.Fault{Path: regexp.MustCompile(`/projects/1/hooks$`), Status: 403})
			org := h.without("Second", 1)
			h.lists(h.hasProject(org, contact("Person 0", "nobody@example.com")), contact("Person 0", fmt.Sprintf("p0@%d.example.com", org)), contact("Person 1", fmt.Sprintf("p1@%d.example.com", org)))
		}, want: []string{"drift 360000000003 2", "not_audited org 1"}, says: []string{"could not be looked at"}},
		{name: "held", arrange: func(h *home, project int64) {
			var many []contactsync.Contact
			for _, c := range numbered(10) {
				h.member(c.Name, string(c.Email))
				many = append(many, c)
			}
			h.lists(project, append(many, contact("Ada Lovelace", "ada@example.com"), contact("Alan Turing", "alan@example.com"))...)
			h.run("sync", fmt.Sprint(project)).ends(0)
			h.lists(project, contact("Ada Lovelace", "ada@example.com"), contact("Alan Turing", "alan@example.com"))
			h.run("sync", fmt.Sprint(project)).ends(4)
		}, want: []string{"drift org 1", "held org 1"}, says: []string{"held changes 10"}},
		{name: "quarantined", arrange: func(h *home, project int64) {
			now := time.Now().Add(-26 * time.Hour)
			h.now = func() time.Time { return now }
			remove := h.forge.Inject(fakegitlab.Fault{Path: regexp.MustCompile(`/info/refs$`), Status: 503})
			for range 10 {
				h.run("sync", fmt.Sprint(project)).ends(1)
				now = now.Add(2*time.Hour + 45*time.Minute)
			}
			remove()
		}, want: []string{"quarantined org 1"}, says: []string{"repository_unreachable"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h, project := newAudited(t)
			test.arrange(h, project)
			h.forge.Settle()
			h.forget()
			document, got := h.audit(test.args...)
			if found := document.checks(h); !slices.Equal(found, test.want) {
				t.Errorf("found %q, want %q\n%s", found, test.want, got.stdout)
			}
			status := 0
			if len(test.want) > 0 {
				status = 3
			}
			got.ends(status).says(test.says...)
			if writes := h.writes(); len(writes) > 0 {
				t.Errorf("an audit writes %v", writes)
			}
			h.run(append([]string{"audit"}, test.args...)...).ends(status)
		})
	}
}

// answersWith replaces a text in answers to requests with that end.
func answersWith(end, old, replaced string) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			response, err := next.RoundTrip(r)
			if err != nil || !strings.HasSuffix(r.URL.Path, end) {
				return response, err
			}
			content, err := io.ReadAll(response.Body)
			if err != nil {
				return nil, err
			}
			content = bytes.ReplaceAll(content, []byte(old), []byte(replaced))
			response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(content)), int64(len(content))
			response.Header.Del("Content-Length")
			return response, nil
		})
	}
}

// A bulk read that fails or is not whole is the failure of the audit, whatever else was read: it never looks clean.
func TestAuditNeedsEverything(t *testing.T) {
	t.Parallel()
	desk := func(kind fakezendesk.FaultKind, path string) func(*home) {
		return func(h *home) {
			h.desk.Inject(fakezendesk.Fault{Kind: kind, Match: func(r *http.Request, _ int) bool { return strings.HasPrefix(r.URL.Path, "/api/v2/"+path) }})
		}
	}
	memberships := func(kind fakezendesk.FaultKind) func(*home) {
		return func(h *home) {
			h.desk.Configure(func(s *fakezendesk.Settings) { s.MultipleOrganizations = true })
			desk(kind, "organization_memberships")(h)
		}
	}
	for name, break_ := range map[string]func(*home){
		"links cut":               desk(fakezendesk.TruncatedBody, "incremental/organizations"),
		"links unreadable":        desk(fakezendesk.NotJSON, "incremental/organizations"),
		"links miscounted":        desk(fakezendesk.WrongCount, "incremental/organizations"),
		"people cut":              desk(fakezendesk.TruncatedBody, "incremental/users"),
		"people refused":          desk(fakezendesk.Error500Before, "incremental/users"),
		"people twice":            desk(fakezendesk.DuplicateRow, "incremental/users"),
		"memberships refused":     memberships(fakezendesk.Error500Before),
		"memberships miscounted":  memberships(fakezendesk.WrongCount),
		"memberships cut":         memberships(fakezendesk.TruncatedBody),
		"settings not to be read": desk(fakezendesk.NotJSON, "account/settings"),
		"no longer authorized":    desk(fakezendesk.Unauthorized401, ""),
		"projects refused": func(h *home) {
			h.forge.Inject(fakegitlab.Fault{Path: regexp.MustCompile(`/groups/.*/projects$`), Status: 500})
		},
		"projects cut": func(h *home) {
			h.forge.Inject(fakegitlab.Fault{Path: regexp.MustCompile(`/groups/.*/projects$`), Truncate: 100})
		},
		"no such group": func(h *home) { h.set("CONTACTSYNC_GITLAB_GROUP=nobody/there") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, _ := newAudited(t)
			for i := range 3 {
				h.without(fmt.Sprintf("Large %d", i), 40)
			}
			break_(h)
			document, got := h.audit()
			got.ends(1)
			if document.Error == nil || len(document.Findings) > 0 {
				t.Errorf("the audit tells %+v", document)
			}
			h.run("audit").ends(1).says("What to do").keepsQuietOf("Clean", "Looked at")
			if table := h.run("audit", "--csv").ends(1); table.stdout != "" {
				t.Errorf("the table is %q", table.stdout)
			}
		})
	}
}

// An audit that is stopped says so, and is not clean.
func TestAuditStopped(t *testing.T) {
	t.Parallel()
	h, _ := newAudited(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	h.forge.Inject(fakegitlab.Fault{Path: regexp.MustCompile(`/hooks$`), Wait: func(context.Context) error { stop(); return nil }})
	h.runFor(ctx, "audit").ends(1).says("stopped before its end").keepsQuietOf("Clean")
}

// What changed since the bulk read is looked up before it is told.
func TestAuditLooksAgain(t *testing.T) {
	t.Parallel()
	h, _ := newAudited(t)
	lost, second, unlinked := h.without("Lost", 1), h.without("Second", 1), h.without("Unlinked", 1)
	h.desk.SetField(lost, "cmp_id", 999)
	h.desk.SetField(second, "cmp_id", 1)
	project := h.hasProject(unlinked, contact("Person 0", fmt.Sprintf("p0@%d.example.com", unlinked)))
	h.desk.SetField(unlinked, "cmp_id", nil)
	large := h.without("Large", 31)
	var mended sync.Once
	mend := func() {
		h.desk.SetField(lost, "cmp_id", nil)
		h.desk.SetField(second, "cmp_id", nil)
		h.desk.SetField(unlinked, "cmp_id", project)
		h.desk.SetField(large, "cmp_id", 4711)
	}
	h.transport = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/projects/999") || strings.Contains(r.URL.Path, fmt.Sprintf("/organizations/%d", large)) {
				mended.Do(mend) // the first two requests after the bulk reads
			}
			return next.RoundTrip(r)
		})
	}
	document, got := h.audit("--no-drift", "--no-hooks")
	got.ends(0)
	if len(document.Findings) > 0 {
		t.Errorf("found %q", document.checks(h))
	}

	// A link that is taken away before the file is planned is no failure of a sync.
	h, _ = newAudited(t)
	h.transport = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(strings.TrimSuffix(r.URL.Path, ".json"), fmt.Sprintf("/organizations/%d", h.org)) {
				h.desk.SetField(h.org, "cmp_id", nil)
				h.desk.Reindex()
			}
			return next.RoundTrip(r)
		})
	}
	document, got = h.audit("--no-hooks")
	got.ends(0)
	if len(document.Findings) > 0 {
		t.Errorf("found %q", document.checks(h))
	}
}

// Names of customers are no formulas in a spreadsheet, and the table is one.
func TestAuditCSV(t *testing.T) {
	t.Parallel()
	h, _ := newAudited(t)
	names := []string{`=HYPERLINK("https://example.org")`, "+1", "-1", "@SUM(1)", " =1", "\t=1", "Large, \"and\"\nmore", "＝1"}
	for _, name := range names {
		h.without(name, 31)
	}
	got := h.run("audit", "--csv").ends(3)
	rows, err := csv.NewReader(strings.NewReader(got.stdout)).ReadAll()
	if err != nil || len(rows) != len(names)+1 || strings.Join(rows[0], ",") != "check,severity,project,organization,name,contacts,limit,message,remedy" {
		t.Fatalf("%v\n%s", err, got.stdout)
	}
	for _, row := range rows[1:] {
		if row[0] != "over_limit" || row[1] != "problem" || row[5] != "31" || row[6] != "30" {
			t.Errorf("a row is %q", row)
		}
		for _, text := range row {
			if text = strings.TrimSpace(text); text != "" && strings.ContainsAny(text[:1], "=+-@") {
				t.Errorf("a cell begins like a formula: %q", text)
			}
		}
	}
	if rows[1][4] != "'"+names[0] {
		t.Errorf("a name is %q", rows[1][4])
	}
	h.run("audit", "--csv", "--output", "json").ends(2)
	h.run("audit", "--ticket", "1").ends(2)
}

// An organization over its limit is told once, with the list of its contacts; one that is not is told nothing.
func TestAuditAnswers(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	h.set("CONTACTSYNC_REPLIES_OVER_LIMIT=")
	for _, c := range numbered(28) {
		h.member(c.Name, string(c.Email))
	}
	number := h.ticket(nil)
	args := []string{"audit", "--organization", fmt.Sprint(h.org), "--ticket", fmt.Sprint(number)}
	h.run(args...).ends(0).says("Clean. Looked at 1 organization and 0 projects.", "was not answered")
	h.desk.AddUser(fakezendesk.User{Name: "Agent", Email: "agent@example.com", Role: "agent", Organizations: []int64{h.org}})
	h.run(args...).ends(0)
	if ticket, _ := h.desk.Ticket(number); len(ticket.Comments) != 0 {
		t.Fatalf("the ticket has the comments %+v", ticket.Comments)
	}
	h.member("Emmy Noether", "emmy@example.com")
	h.run(args...).ends(3).says("has 31 contacts", "Emmy Noether <emmy@example.com>", "Answered ticket")
	h.run(args...).ends(3).says("was answered already")
	ticket, _ := h.desk.Ticket(number)
	if len(ticket.Comments) != 1 || !ticket.Comments[0].Public {
		t.Fatalf("the ticket has the comments %+v", ticket.Comments)
	}
	body := ticket.Comments[0].Body
	if strings.Count(body, "\n- ") != 31 || !strings.Contains(body, "31 contacts, and the limit is 30") || strings.Contains(body, "agent@example.com") {
		t.Errorf("the reply is\n%s", body)
	}
	for _, user := range h.desk.MembersOf(h.org) {
		if user.Role != "agent" && !strings.Contains(body, user.Email) {
			t.Errorf("the reply lacks %s", user.Email)
		}
	}
	h.run("audit", "--organization", "4711").ends(1).says("no_org_found")
	other := h.desk.AddTicket(fakezendesk.Ticket{Subject: "Another's", Requester: ticket.Requester, Organization: h.without("Other", 1)})
	h.run("audit", "--organization", fmt.Sprint(h.org), "--ticket", fmt.Sprint(other)).ends(1).says("belongs to organization")
}

// An audit of one organization tells what an audit of all tells about it, without bulk reads.
func TestAuditOfOne(t *testing.T) {
	t.Parallel()
	h, project := newAudited(t)
	h.without("Large", 31)
	h.lists(project, contact("Ada Lovelace", "ada@example.com"))
	second := h.without("Second", 1)
	h.desk.SetField(second, "cmp_id", project)
	h.desk.Reindex()
	h.forge.Settle()
	h.forget()
	args := []string{"--organization", fmt.Sprint(h.org)}
	document, got := h.audit(args...)
	got.ends(3)
	if found := document.checks(h); !slices.Equal(found, []string{"link_double org 1"}) || document.Organizations != 1 || document.Projects != 1 {
		t.Errorf("found %q: %+v", found, document)
	}
	for _, r := range h.desk.Requests() {
		if strings.Contains(r.Path, "/incremental/") || strings.HasSuffix(r.Path, "/api/v2/organization_memberships.json") {
			t.Errorf("it reads in bulk: %s", r.Path)
		}
	}
	h.desk.SetField(second, "cmp_id", nil)
	h.desk.Reindex()
	h.send(http.MethodDelete, "/projects/1/hooks/1")
	document, got = h.audit(args...)
	got.ends(3)
	if found := document.checks(h); !slices.Equal(found, []string{"drift org 1", "hook_missing org 1"}) {
		t.Errorf("found %q", found)
	}
	t.Logf("requests: %+v", document.Requests)
	h.desk.SetField(h.org, "cmp_id", nil)
	document, _ = h.audit(args...)
	if found := document.checks(h); !slices.Equal(found, []string{"link_missing org 1"}) {
		t.Errorf("found %q", found)
	}
}

// Whatever comes first, the report is the same; and no more than four projects are looked at side by side.
func TestAuditIsDeterministic(t *testing.T) {
	t.Parallel()
	h, _ := newAudited(t)
	for i := range 6 {
		h.without(fmt.Sprintf("Large %d", i), 31)
		org := h.without(fmt.Sprintf("With %d", i), 1)
		h.hasProject(org, contact("Nobody", fmt.Sprintf("n%d@example.com", i)))
	}
	var now, most atomic.Int64
	h.transport = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if strings.HasSuffix(r.URL.Path, "/hooks") {
				defer now.Add(-1)
				most.Store(max(most.Load(), now.Add(1)))
			}
			return next.RoundTrip(r)
		})
	}
	var first string
	for range 3 {
		document, got := h.audit()
		got.ends(3)
		findings := fmt.Sprintf("%+v", document.checks(h))
		if first == "" {
			first = findings
		}
		if findings != first || len(document.Findings) < 12 {
			t.Errorf("the findings are\n%s\nand were\n%s", findings, first)
		}
	}
	if most.Load() > 4 || most.Load() < 1 {
		t.Errorf("%d projects were looked at side by side", most.Load())
	}
}

// A list of this machine is judged by the limit of the organization as it is, and the desk is only asked for that where
// it matters.
func TestPlanFileLimits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name       string
		linked     bool
		with       int
		listed     int
		status     int
		says       string
		expired    int
		moreNeeded bool
	}{
		{name: "30 without", listed: 30},
		{name: "31 without", listed: 31, status: 1, says: "an organization without a project may have 30 (limits.contacts_without_project)", moreNeeded: true},
		{name: "31 without, of whom one expired", listed: 30, expired: 1},
		{name: "31 with", linked: true, listed: 31, moreNeeded: true},
		{name: "at the limit with", linked: true, with: 40, listed: 40, moreNeeded: true},
		{name: "over the limit with", linked: true, with: 40, listed: 41, status: 1, says: "the limit for this organization is 40", moreNeeded: true},
		{name: "without, where that is the larger limit", with: 20, listed: 30, moreNeeded: true},
		{name: "with, where that is the smaller limit", linked: true, with: 20, listed: 21, status: 1, says: "the limit for this organization is 20", moreNeeded: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t, nil)
			h.set(fmt.Sprintf("CONTACTSYNC_LIMITS_CONTACTS_WITH_PROJECT=%d", test.with))
			if test.linked {
				h.desk.SetField(h.org, "cmp_id", 7)
			}
			list := numbered(test.listed + test.expired)
			for i := range test.expired {
				list[i].Expires = "2001-01-31"
			}
			text, err := contacts.Render(contacts.File{Contacts: list})
			if err != nil {
				t.Fatal(err)
			}
			file := h.dir + "/contacts.yaml"
			if err := os.WriteFile(file, text, 0o600); err != nil {
				t.Fatal(err)
			}
			h.forget()
			got := h.run("plan", "--file", file, "--organization", fmt.Sprint(h.org)).ends(test.status).says(test.says)
			if test.status != 0 {
				got.says("too_many_contacts")
			}
			if test.status != 0 && !test.linked {
				got.says("contactsync setup --organization")
			}
			asked := 0
			for _, r := range h.desk.Requests() {
				if r.Method == http.MethodGet && strings.HasSuffix(strings.TrimSuffix(r.Path, ".json"), fmt.Sprintf("/organizations/%d", h.org)) {
					asked++
				}
			}
			if want := map[bool]int{false: 1, true: 2}[test.moreNeeded]; asked != want {
				t.Errorf("the organization was read %d times, want %d", asked, want)
			}
		})
	}
}

// Whoever sets up is not held to the limit of organizations without a project, which is what a project is for.
func TestSetupOfManyContacts(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	for _, c := range numbered(40) {
		h.member(c.Name, string(c.Email))
	}
	_, got := h.setup("--dry-run")
	got.ends(0)
	_, got = h.setup()
	got.ends(0)
	h.run("audit").ends(3).keepsQuietOf("over_limit") // the world's other organization has lost its project
}

// The page about audits shows what is really said.
func TestAuditPage(t *testing.T) {
	t.Parallel()
	h, project := newAudited(t)
	h.without("Analytical Looms", 31)
	lost := h.without("Elastic Surfaces", 2)
	h.desk.SetField(lost, "cmp_id", 999)
	h.lists(project, contact("Ada Lovelace", "ada@example.com"), contact("Alan Turing", "alan@example.com"), contact("Grace Hopper", "grace@example.com"))
	got := h.run("audit").ends(3)
	page, err := os.ReadFile("../../docs/audit.md")
	if err != nil || !strings.Contains(string(page), "\n$ contactsync audit\n"+got.stdout+"```\n") {
		t.Errorf("%v: docs/audit.md does not show\n%s", err, got.stdout)
	}
}
