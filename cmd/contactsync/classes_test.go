package main_test

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"contactsync"
	"contactsync/contacts"
	fakegitlab "contactsync/internal/fakes/gitlab"
	fakezendesk "contactsync/internal/fakes/zendesk"
)

// reach is a way to an error class through the command line.
type reach struct {
	class   contactsync.Class
	name    string
	arrange func(w *world)
	args    []string // nil: sync of the world's project
	status  int
	whole   bool // the run fails as a whole
	noRun   bool // the document is no run's
}

// Ada and Grace are members, and their file is right, before anything is arranged.
func reaches() []reach {
	broken := func(text string) func(*world) { return func(w *world) { w.pushText(text) } }
	return []reach{
		{class: contactsync.ClassInvalidProjectID, name: "no number", args: []string{"sync", "engines"}, status: 1, whole: true},
		{class: contactsync.ClassInvalidProjectID, name: "not positive", args: []string{"sync", "--", "-5"}, status: 1, whole: true},
		{class: contactsync.ClassInvalidProjectID, name: "unknown to GitLab", args: []string{"sync", "999"}, status: 1, whole: true},
		{class: contactsync.ClassInvalidProjectID, name: "about to be deleted", status: 1, whole: true, arrange: func(w *world) {
			if err := w.forge.DeleteProject(project); err != nil {
				w.Fatal(err)
			}
		}},
		{class: contactsync.ClassNoOrgFound, status: 1, whole: true, arrange: func(w *world) {
			w.desk.SetField(w.org, "cmp_id", nil)
		}},
		{class: contactsync.ClassTooManyOrgs, status: 1, whole: true, arrange: func(w *world) { w.organization("Other", project) }},
		{class: contactsync.ClassYAMLUnreadable, status: 1, whole: true, arrange: broken("- name: [\n")},
		{class: contactsync.ClassContactIncomplete, status: 1, whole: true, arrange: broken("- name: Ada Lovelace\n")},
		{class: contactsync.ClassFileMissing, name: "no file", status: 1, whole: true, arrange: func(w *world) {
			w.commit(fakegitlab.Commit{Deleted: []string{"contacts.yaml"}, Files: map[string]string{"README.md": "nothing"}})
		}},
		{class: contactsync.ClassFileMissing, name: "no branch", status: 1, whole: true, arrange: func(w *world) {
			w.set("CONTACTSYNC_GITLAB_BRANCH=main")
		}},
		{class: contactsync.ClassFileMissing, name: "a link", status: 1, whole: true, arrange: func(w *world) {
			w.commit(fakegitlab.Commit{Deleted: []string{"contacts.yaml"}, Links: map[string]string{"contacts.yaml": "/etc/passwd"}})
		}},
		{class: contactsync.ClassFileTooLarge, name: "bytes", status: 1, whole: true, arrange: broken(strings.Repeat("# large\n", 1<<18))},
		{class: contactsync.ClassFileTooLarge, name: "contacts", status: 1, whole: true, arrange: broken(breaking()[contacts.RuleTooMany])},
		{class: contactsync.ClassFileEmpty, status: 1, whole: true, arrange: broken("[]\n")},
		{class: contactsync.ClassFileEmpty, name: "all expired", status: 1, whole: true,
			arrange: broken("contacts:\n- name: Ada Lovelace\n  email: ada@example.com\n  expires: 2001-01-31\n")},
		{class: contactsync.ClassEmailInvalid, status: 1, whole: true, arrange: broken("- name: Ada Lovelace\n  email: ada\n")},
		{class: contactsync.ClassContactDuplicate, status: 1, whole: true,
			arrange: broken("- name: Ada\n  email: ada@example.com\n- name: Ada\n  email: ADA@example.com\n")},
		{class: contactsync.ClassContactInvalid, status: 1, whole: true,
			arrange: broken("contacts:\n- name: Ada\n  email: ada@example.com\n  expires: soon\n")},
		{class: contactsync.ClassOrganizationMismatch, status: 1, whole: true,
			arrange: broken("organization: 999\ncontacts:\n- name: Ada\n  email: ada@example.com\n")},
		{class: contactsync.ClassTooManyContacts, status: 1, whole: true, arrange: func(w *world) {
			w.set("CONTACTSYNC_LIMITS_CONTACTS_WITH_PROJECT=1")
		}},
		{class: contactsync.ClassContactElsewhere, status: 3, arrange: func(w *world) {
			other := w.organization("Other", 0)
			w.desk.AddUser(fakezendesk.User{Name: "Emmy Noether", Email: "emmy@example.com", Organizations: []int64{other}})
			w.push(append(founders(), contact("Emmy Noether", "emmy@example.com")))
		}},
		{class: contactsync.ClassContactProtected, name: "listed", status: 3, arrange: func(w *world) {
			w.desk.AddUser(fakezendesk.User{Name: "Agent", Email: "agent@example.com", Role: "agent"})
			w.push(append(founders(), contact("Agent", "agent@example.com")))
		}},
		{class: contactsync.ClassContactProtected, name: "member", status: 0, arrange: func(w *world) {
			w.desk.AddUser(fakezendesk.User{Name: "Agent", Email: "agent@example.com", Role: "agent", Organizations: []int64{w.org}})
		}},
		{class: contactsync.ClassContactProtected, name: "configured", status: 0, arrange: func(w *world) {
			w.set("CONTACTSYNC_SYNC_PROTECTED=grace@example.com")
			w.push(founders()[:1])
		}},
		{class: contactsync.ClassRemovalsHeld, status: 4, arrange: func(w *world) { w.members(8) }},
		{class: contactsync.ClassAdditionsHeld, status: 4, arrange: func(w *world) { w.push(append(founders(), numbered(101)...)) }},
		{class: contactsync.ClassRepositoryUnreachable, name: "wrong token", status: 1, whole: true, arrange: func(w *world) {
			w.set("CONTACTSYNC_GITLAB_TOKEN=wrong")
		}},
		{class: contactsync.ClassRepositoryUnreachable, name: "git is broken", status: 1, whole: true, arrange: func(w *world) {
			w.forge.Inject(fakegitlab.Fault{Path: regexp.MustCompile(`/info/refs$`), Status: 503})
		}},
		{class: contactsync.ClassDeskUnreadable, name: "no answer that can be read", status: 1, whole: true, arrange: func(w *world) {
			w.desk.Inject(fakezendesk.Fault{Kind: fakezendesk.NotJSON, Match: matching("GET", "")})
		}},
		{class: contactsync.ClassDeskUnreadable, name: "everybody gone", status: 1, whole: true, arrange: func(w *world) {
			w.run("sync", fmt.Sprint(project)).ends(0)
			for _, user := range w.desk.MembersOf(w.org) {
				w.desk.Detach(user.ID, w.org)
			}
		}},
		{class: contactsync.ClassDeskUnauthorized, status: 1, whole: true, arrange: func(w *world) {
			w.set("CONTACTSYNC_ZENDESK_CLIENT_SECRET=wrong")
		}},
		{class: contactsync.ClassRateLimited, status: 1, whole: true, arrange: func(w *world) {
			w.desk.Inject(fakezendesk.Fault{Kind: fakezendesk.RateLimited429, RetryAfter: time.Hour})
		}},
		{class: contactsync.ClassUserNotCreated, status: 3, arrange: func(w *world) {
			w.push(append(founders(), contact("Emmy Noether", "emmy@example.com"), contact("Hedy Lamarr", "hedy@example.com")))
			w.desk.AddUser(fakezendesk.User{Name: "Hedy Lamarr", Email: "hedy@example.com"})
			w.desk.Inject(fakezendesk.Fault{Kind: fakezendesk.ResetBefore, Match: matching("POST", "/users")})
		}},
		{class: contactsync.ClassSyncFailed, status: 1, whole: true, arrange: func(w *world) {
			w.push(append(founders(), contact("Emmy Noether", "emmy@example.com")))
			w.desk.Inject(fakezendesk.Fault{Kind: fakezendesk.Error500Before, Match: matching("POST", "/users")})
		}},
		{class: contactsync.ClassRemovalFailed, status: 1, whole: true, arrange: func(w *world) {
			w.push(founders()[:1])
			w.desk.Inject(fakezendesk.Fault{Kind: fakezendesk.Error500Before, Match: matching("DELETE", "")})
		}},
		{class: contactsync.ClassNotEligible, status: 1, whole: true, noRun: true, arrange: func(w *world) {
			w.subscribed(map[string]any{"seats_decimal": 49.0})
		}, args: []string{"eligibility", "--organization", "360000000001", "--requester", "ada@example.com"}},
		{class: contactsync.ClassProjectConflict, status: 1, whole: true, noRun: true, arrange: func(w *world) { w.homeless(project) }, args: setUpExample()},
		{class: contactsync.ClassGitLabRefused, status: 1, whole: true, noRun: true, arrange: func(w *world) {
			w.homeless(0)
			w.forge.Inject(fakegitlab.Fault{Method: "POST", Path: regexp.MustCompile(`/projects$`), Status: 403,
				Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"message":"403 Forbidden"}`})
		}, args: setUpExample()},
		{class: contactsync.ClassTicketNotAnswered, status: 1, whole: true, noRun: true, arrange: func(w *world) {
			w.homeless(0)
			w.desk.AddTicket(fakezendesk.Ticket{Subject: "A project, please", Organization: w.org, Status: "closed"})
		}, args: setUpExample("--ticket", "100001")},
		{class: contactsync.ClassPlanChanged, status: 1, whole: true,
			args: []string{"approve", fmt.Sprint(project), "sha256:" + strings.Repeat("0", 64)}},
		{class: contactsync.ClassInternal, name: "the store is damaged", status: 1, arrange: func(w *world) {
			path := filepath.Join(w.dir, "other.db")
			w.set("CONTACTSYNC_STORE=sqlite:" + path)
			w.run("sync", "none") // makes the store
			content, err := os.ReadFile(path)
			if err != nil {
				w.Fatal(err)
			}
			copy(content[100:4000], bytes.Repeat([]byte{0x55}, 3900)) // the first page, behind its header
			if err := os.WriteFile(path, content, 0o600); err != nil {
				w.Fatal(err)
			}
		}},
	}
}

func setUpExample(more ...string) []string {
	return append([]string{"setup", "--organization", "360000000001", "--maintainers", "ada@example.com", "--skip-eligibility", "agreed"}, more...)
}

// homeless links the organization to that project, 0 for none, and configures what setting up takes.
func (w *world) homeless(project int64) {
	w.Helper()
	w.desk.SetField(w.org, "cmp_id", nil)
	if project != 0 {
		w.desk.SetField(w.org, "cmp_id", project)
	}
	if _, err := w.forge.AddGroup(homeGroup); err != nil {
		w.Fatal(err)
	}
	w.set("CONTACTSYNC_GITLAB_GROUP="+homeGroup, "CONTACTSYNC_WEBHOOK_URL=https://contactsync.example.com", "CONTACTSYNC_WEBHOOK_TOKEN="+hookToken)
}

func founders() []contactsync.Contact {
	return []contactsync.Contact{contact("Ada Lovelace", "ada@example.com"), contact("Grace Hopper", "grace@example.com")}
}

// matching picks requests by their method, and by what their path ends with ("" for any), signing in apart.
func matching(method, suffix string) func(*http.Request, int) bool {
	return func(r *http.Request, _ int) bool {
		path := strings.TrimSuffix(r.URL.Path, ".json")
		return r.Method == method && strings.HasSuffix(path, suffix) && path != "/oauth/tokens"
	}
}

// Every error class is reached through the command line: with its exit status, its title and its remedy, in the
// document for programs and in the words for people.
func TestEveryClassIsReached(t *testing.T) {
	t.Parallel()
	for _, r := range reaches() {
		t.Run(strings.TrimSuffix(string(r.class)+"/"+r.name, "/"), func(t *testing.T) {
			t.Parallel()
			for _, output := range []string{"json", "text"} {
				w := newWorld(t)
				for _, c := range founders() {
					w.member(c.Name, string(c.Email))
				}
				w.push(founders())
				if r.arrange != nil {
					r.arrange(w)
				}
				args := r.args
				if args == nil {
					args = []string{"sync", fmt.Sprint(project)}
				}
				got := w.run(append([]string{"--output", output}, args...)...).ends(r.status)
				if output == "text" {
					got.says("("+string(r.class)+")", r.class.Info().Title)
					w.isClean()
					continue
				}
				checkReached(t, r, got)
			}
		})
	}
}

func checkReached(t *testing.T, r reach, got result) {
	t.Helper()
	if got.stderr != "" {
		t.Errorf("programs should find everything in the document, but standard error says %s", got.stderr)
	}
	var run contactsync.Run
	if r.noRun {
		got.decodeLoosely(&run)
	} else {
		got.decode(&run)
	}
	var found []contactsync.Class
	if run.Error != nil {
		found = append(found, run.Error.Class)
		if info := run.Error.Class.Info(); run.Error.Title != info.Title || run.Error.Detail == "" || run.Error.Remedy == "" ||
			run.Error.Who == "" || run.Error.Retry == "" {
			t.Errorf("the error is not complete: %+v", *run.Error)
		}
	} else if r.whole {
		t.Errorf("the run should fail as a whole, but has no error")
	}
	for _, change := range run.Changes {
		found = append(found, change.Error)
	}
	for _, conflict := range run.Conflicts {
		found = append(found, conflict.Error)
	}
	if !slices.Contains(found, r.class) {
		t.Errorf("found the classes %q, want %s:\n%s", found, r.class, got.stdout)
	}
}

// The set above is complete.
func TestNoClassIsForgotten(t *testing.T) {
	t.Parallel()
	reached := make(map[contactsync.Class]bool)
	for _, r := range reaches() {
		reached[r.class] = true
	}
	for _, info := range contactsync.Classes() {
		if !reached[info.Class] {
			t.Errorf("%s is not reached", info.Class)
		}
	}
}
