package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"contactsync"
	fakegitlab "contactsync/internal/fakes/gitlab"
	fakezendesk "contactsync/internal/fakes/zendesk"
)

// refusal is a setup that stops, and what must hold then.
type refusal struct {
	name    string
	options func(*fakegitlab.Options)
	arrange func(*home)
	args    func(*home) []string
	step    string
	class   contactsync.Class
	says    []string
	// untouched says that nothing at all may have been written, at the desk or at GitLab.
	untouched bool
	// never are writes that may not have been sent: the ends of paths.
	never []string
	// repair mends what was wrong; then the same command must go on to the end.
	repair func(*home)
}

const signingToken = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="

// unset takes an environment variable away.
func (h *home) unset(name string) {
	h.env = slices.DeleteFunc(h.env, func(pair string) bool { return strings.HasPrefix(pair, name+"=") })
}

// place is where the organization's project belongs.
func (h *home) place() string { return fmt.Sprintf("%s/organization-%d", homeGroup, h.org) }

// made makes the project, as somebody would by hand.
func (h *home) made(name string) int64 {
	h.Helper()
	id, err := h.forge.CreateProject(fakegitlab.Project{Path: h.place(), Name: name})
	if err != nil {
		h.Fatal(err)
	}
	return id
}

func (h *home) rightful() int64 { return h.made(fmt.Sprintf("Organization %d", h.org)) }

// joins makes somebody with an account a member of the project.
func (h *home) joins(id int64, level int) {
	h.Helper()
	h.forge.AddUser(fakegitlab.User{ID: 71, Username: "mary", Name: "Mary Somerville"})
	if err := h.forge.AddMember(id, fakegitlab.Member{User: 71, Level: level}); err != nil {
		h.Fatal(err)
	}
}

func (h *home) invited(id int64, address string, level int) {
	h.Helper()
	if err := h.forge.AddInvitation(id, fakegitlab.Invitation{Address: address, Level: level}); err != nil {
		h.Fatal(err)
	}
}

// send sends a request to GitLab as somebody else would.
func (h *home) send(method, path string) { h.sendJSON(method, path, "") }

func (h *home) sendJSON(method, path, body string) {
	h.Helper()
	request, err := http.NewRequestWithContext(h.Context(), method, h.forge.URL()+"/api/v4"+path, strings.NewReader(body))
	if err != nil {
		h.Fatal(err)
	}
	request.Header.Set("Private-Token", token)
	request.Header.Set("Content-Type", "application/json")
	response, err := new(http.Client).Do(request)
	if err != nil {
		h.Fatal(err)
	}
	if err := response.Body.Close(); err != nil || response.StatusCode >= 300 {
		h.Fatalf("%s %s: status %d, %v", method, path, response.StatusCode, err)
	}
}

// rewritten changes the JSON of requests or answers of projects themselves.
func rewritten(method string, change func(map[string]any)) func(http.RoundTripper) http.RoundTripper {
	edit := func(body io.ReadCloser) (io.ReadCloser, int64, error) {
		content, err := io.ReadAll(body)
		if err != nil {
			return nil, 0, err
		}
		var document map[string]any
		if json.Unmarshal(content, &document) == nil {
			change(document)
			if content, err = json.Marshal(document); err != nil {
				return nil, 0, err
			}
		}
		return io.NopCloser(bytes.NewReader(content)), int64(len(content)), body.Close()
	}
	project := regexp.MustCompile(`^/api/v4/projects/[^/]+$`)
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			var err error
			if r.Method == method && method == http.MethodPut && project.MatchString(r.URL.EscapedPath()) {
				r = r.Clone(r.Context())
				if r.Body, r.ContentLength, err = edit(r.Body); err != nil {
					return nil, err
				}
			}
			response, err := next.RoundTrip(r)
			if err == nil && r.Method == method && method == http.MethodGet && project.MatchString(r.URL.EscapedPath()) {
				response.Body, response.ContentLength, err = edit(response.Body)
				response.Header.Del("Content-Length")
			}
			return response, err
		})
	}
}

func refusals() []refusal {
	ticket := func(h *home) []string { return []string{"--ticket", fmt.Sprint(h.asked)} }
	fault := func(method, path string, status int, body string) func(*home) {
		return func(h *home) {
			remove := h.forge.Inject(fakegitlab.Fault{Method: method, Path: regexp.MustCompile(path), Status: status,
				Header: http.Header{"Content-Type": {"application/json"}}, Body: body})
			h.mend = remove
		}
	}
	mend := func(h *home) { h.mend() }
	return []refusal{
		{name: "not eligible", step: "eligibility", class: contactsync.ClassNotEligible, untouched: true,
			arrange: func(h *home) { h.subscribed(map[string]any{"seats_decimal": 49.0}) },
			repair:  func(h *home) { h.subscribed(nil) }},
		{name: "six maintainers", step: "maintainers", class: contactsync.ClassTooManyContacts, untouched: true, says: []string{"limits.maintainers"},
			args: func(*home) []string {
				return []string{"--maintainers", "b@example.com,c@example.com,d@example.com,e@example.com"}
			}},
		{name: "a maintainer of another organization", step: "maintainers", class: contactsync.ClassContactElsewhere, untouched: true, says: []string{"emmy@example.org"},
			arrange: func(h *home) {
				h.desk.AddUser(fakezendesk.User{Name: "Emmy", Email: "emmy@example.org", Organizations: []int64{h.organization("Other", 0)}})
			}, args: func(*home) []string { return []string{"--maintainers", "emmy@example.org"} }},
		{name: "an agent", step: "maintainers", class: contactsync.ClassContactProtected, untouched: true, says: []string{"agent@example.com"},
			arrange: func(h *home) {
				h.desk.AddUser(fakezendesk.User{Name: "Agent", Email: "agent@example.com", Role: "agent"})
			},
			args: func(*home) []string { return []string{"--maintainers", "agent@example.com"} }},
		{name: "an agent who is a member", step: "maintainers", class: contactsync.ClassContactProtected, untouched: true, says: []string{"agent@example.com is no contact"},
			arrange: func(h *home) {
				h.desk.AddUser(fakezendesk.User{Name: "Agent", Email: "agent@example.com", Role: "agent", Organizations: []int64{h.org}})
			}, args: func(*home) []string { return []string{"--maintainers", "agent@example.com"} }},
		{name: "too many contacts", step: "maintainers", class: contactsync.ClassTooManyContacts, untouched: true, says: []string{"limits.contacts_with_project"},
			arrange: func(h *home) { h.set("CONTACTSYNC_LIMITS_CONTACTS_WITH_PROJECT=2") },
			repair:  func(h *home) { h.set("CONTACTSYNC_LIMITS_CONTACTS_WITH_PROJECT=3") }},
		{name: "too many contacts with the maintainers", step: "maintainers", class: contactsync.ClassTooManyContacts, untouched: true,
			arrange: func(h *home) { h.set("CONTACTSYNC_LIMITS_CONTACTS_WITH_PROJECT=3") },
			args:    func(*home) []string { return []string{"--maintainers", "mary@example.com"} },
			repair:  func(h *home) { h.set("CONTACTSYNC_LIMITS_CONTACTS_WITH_PROJECT=4") }},
		{name: "another name", step: "project", class: contactsync.ClassProjectConflict, untouched: true, says: []string{"Something else"},
			arrange: func(h *home) { h.made("Something else") }},
		{name: "another organization's project", step: "project", class: contactsync.ClassProjectConflict, untouched: true, says: []string{"linked to another organization", "Other"},
			arrange: func(h *home) { h.organization("Other", h.rightful()); h.desk.Reindex() }},
		{name: "linked elsewhere", step: "project", class: contactsync.ClassProjectConflict, untouched: true, says: []string{"linked to project 999"},
			arrange: func(h *home) { h.desk.SetField(h.org, "cmp_id", 999) },
			repair:  func(h *home) { h.desk.SetField(h.org, "cmp_id", nil) }},
		{name: "no right in the group", step: "project", class: contactsync.ClassGitLabRefused, never: []string{"/hooks", "/invitations"},
			arrange: fault("POST", `/projects$`, 403, `{"message":"403 Forbidden"}`), repair: mend},
		{name: "import failed", step: "project", class: contactsync.ClassGitLabRefused, says: []string{"no space left", "delete "}, never: []string{"/hooks", "/invitations"},
			options: func(o *fakegitlab.Options) { o.ImportError = "no space left" }, arrange: func(h *home) { h.template() }},
		{name: "import never ends", step: "project", class: contactsync.ClassGitLabRefused, says: []string{"still copying"}, never: []string{"/hooks", "/invitations"},
			options: func(o *fakegitlab.Options) { o.ImportPolls = -1 }, arrange: func(h *home) { h.template() },
			repair: func(h *home) {
				if err := h.forge.FinishImport(78, ""); err != nil {
					h.Fatal(err)
				}
			}},
		{name: "a setting is kept", step: "settings", class: contactsync.ClassGitLabRefused, says: []string{"Wiki (wiki_access_level) is enabled, and is to be disabled"},
			never: []string{"/hooks", "/invitations", "/protected_branches"},
			arrange: func(h *home) {
				h.transport = rewritten("PUT", func(d map[string]any) { delete(d, "wiki_access_level") })
			},
			repair: func(h *home) { h.transport = nil }},
		{name: "protection refused", step: "branch", class: contactsync.ClassGitLabRefused, never: []string{"/hooks", "/invitations", "/git-receive-pack"},
			arrange: fault("POST", `/protected_branches$`, 403, `{"message":"403 Forbidden"}`), repair: mend},
		{name: "a foreign list", step: "files", class: contactsync.ClassProjectConflict, says: []string{"not written over"},
			never: []string{"/hooks", "/invitations", "/git-receive-pack"},
			arrange: func(h *home) {
				h.template()
				if _, err := h.forge.Commit(h.rightful(), fakegitlab.Commit{Files: map[string]string{"contacts.yaml": "- name: X\n  email: x@example.com\n"}}); err != nil {
					h.Fatal(err)
				}
			}},
		{name: "the number is in use since a moment ago", step: "link", class: contactsync.ClassProjectConflict, never: []string{"/hooks", "/invitations"},
			arrange: func(h *home) {
				h.transport = func(next http.RoundTripper) http.RoundTripper {
					return roundTripper(func(r *http.Request) (*http.Response, error) {
						if strings.HasSuffix(r.URL.Path, "/git-receive-pack") {
							h.organization("Other", 1)
							h.desk.Reindex()
						}
						return next.RoundTrip(r)
					})
				}
			}},
		{name: "the test is refused", step: "hook", class: contactsync.ClassRepositoryUnreachable, never: []string{"/invitations"},
			says:    []string{"GitLab could not deliver it", "contactsync serve runs", "the receiver answered 401: it does not take these credentials"},
			arrange: func(h *home) { h.refusing.Store(true) }, repair: func(h *home) { h.refusing.Store(false) }},
		{name: "wrong credentials", step: "hook", class: contactsync.ClassRepositoryUnreachable, never: []string{"/invitations"},
			arrange: func(h *home) { h.set("CONTACTSYNC_WEBHOOK_TOKEN=another-token") },
			repair:  func(h *home) { h.set("CONTACTSYNC_WEBHOOK_TOKEN=" + hookToken) }},
		{name: "neither signatures nor a token", step: "hook", class: contactsync.ClassGitLabRefused, never: []string{"/invitations"}, says: []string{"webhook.token"},
			options: func(o *fakegitlab.Options) { o.OldHooks = true },
			arrange: func(h *home) {
				h.unset("CONTACTSYNC_WEBHOOK_TOKEN")
				h.set("CONTACTSYNC_WEBHOOK_SIGNING_TOKEN=" + signingToken)
			},
			repair: func(h *home) { h.set("CONTACTSYNC_WEBHOOK_TOKEN=" + hookToken) }},
		{name: "a maintainer of the project", step: "invitations", class: contactsync.ClassProjectConflict, says: []string{"@mary (Mary Somerville) is Maintainer", "doctor"},
			never: []string{"/invitations", "/members/71"}, arrange: func(h *home) { h.joins(h.rightful(), fakegitlab.Maintainer) },
			repair: func(h *home) { h.send("DELETE", "/projects/1/members/71") }},
		{name: "invited as Owner", step: "invitations", class: contactsync.ClassProjectConflict, says: []string{"mary@example.com is invited as Owner"},
			never: []string{"/invitations"}, arrange: func(h *home) { h.invited(h.rightful(), "mary@example.com", fakegitlab.Owner) },
			repair: func(h *home) { h.send("DELETE", "/projects/1/invitations/mary@example.com") }},
		{name: "a maintainer is invited as Guest", step: "invitations", class: contactsync.ClassProjectConflict, says: []string{"ada@example.com is invited as Guest"},
			never: []string{"/invitations"}, arrange: func(h *home) { h.invited(h.rightful(), "ada@example.com", 10) },
			repair: func(h *home) { h.send("DELETE", "/projects/1/invitations/ada@example.com") }},
		{name: "an address is refused", step: "invitations", class: contactsync.ClassGitLabRefused, says: []string{"grace@example.com: ", "domain"},
			arrange: fault("POST", `/invitations$`, 201, `{"status":"error","message":{"grace@example.com":"Invite email must be of the group's domain"}}`), repair: mend},
		{name: "an invitation is not there", step: "invitations", class: contactsync.ClassGitLabRefused, says: []string{"2 developers and invitations too few"},
			arrange: fault("POST", `/invitations$`, 201, `{"status":"success"}`), repair: mend},
		{name: "the ticket is closed", step: "eligibility", class: contactsync.ClassTicketNotAnswered, untouched: true, says: []string{"closed"},
			arrange: func(h *home) { h.ticket(func(t *fakezendesk.Ticket) { t.Status = "closed" }) }, args: ticket},
		{name: "the ticket is another organization's", step: "eligibility", class: contactsync.ClassProjectConflict, untouched: true, says: []string{"belongs to organization"},
			arrange: func(h *home) {
				h.ticket(func(t *fakezendesk.Ticket) { t.Organization = h.organization("Other", 0) })
			}, args: ticket},
		{name: "the ticket is unknown", step: "eligibility", class: contactsync.ClassTicketNotAnswered, untouched: true, says: []string{"no ticket 4711"},
			args: func(*home) []string { return []string{"--ticket", "4711"} }},
		{name: "the ticket is no number", step: "eligibility", class: contactsync.ClassTicketNotAnswered, untouched: true,
			args: func(*home) []string { return []string{"--ticket", "no-number"} }},
		{name: "the ticket cannot be changed", step: "ticket", class: contactsync.ClassTicketNotAnswered, args: ticket,
			arrange: func(h *home) {
				h.ticket(nil)
				h.desk.Inject(fakezendesk.Fault{Kind: fakezendesk.Conflict409, Match: func(r *http.Request, _ int) bool {
					return r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/tickets/")
				}})
			}, repair: func(h *home) { h.desk.ClearFaults() }},
	}
}

// writes are those that the desk and GitLab have received.
func (h *home) writes() (sent []string) {
	for _, r := range h.desk.Requests() {
		if isWrite(r.Method, r.Path) {
			sent = append(sent, r.Method+" "+r.Path)
		}
	}
	for _, r := range h.forge.Requests() {
		if isWrite(r.Method, r.Path) {
			sent = append(sent, r.Method+" "+r.Path)
		}
	}
	return sent
}

func (h *home) forget() {
	h.desk.ResetRequests()
	h.forge.ForgetRequests()
}

// A setup that may not go on names the step, the reason and the way on, writes nothing that was refused, and goes on with
// the same command once the reason is gone.
func TestSetupRefused(t *testing.T) {
	t.Parallel()
	for _, r := range refusals() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t, r.options)
			h.member("Grace Hopper", "grace@example.com") // so that a maintainer is made a contact only where a case says so
			if r.arrange != nil {
				r.arrange(h)
			}
			var args []string
			if r.args != nil {
				args = r.args(h)
			}
			h.forget()
			document, got := h.setup(args...)
			got.ends(1)
			last := document.Steps[len(document.Steps)-1]
			if last.Name != r.step || last.State != contactsync.StepFailed || document.State != contactsync.ProcedureFailed {
				t.Fatalf("it is %s, and stopped at %s, want %s\n%s%s", document.State, last.Name, r.step, document.told(), got.stdout)
			}
			if document.Error == nil || document.Error.Class != r.class || document.Error.Remedy == "" || !strings.Contains(document.Error.Detail, "step ") {
				t.Errorf("the error is %+v, want %s", document.Error, r.class)
			}
			got.says(r.says...)
			sent := h.writes()
			if r.untouched && len(sent) > 0 {
				t.Errorf("it wrote %q", sent)
			}
			for _, end := range r.never {
				if slices.ContainsFunc(sent, func(s string) bool { return strings.HasSuffix(s, end) }) {
					t.Errorf("it wrote %q", sent)
				}
			}
			if linked, _ := h.desk.Organization(h.org); r.step == "project" && r.name != "linked elsewhere" && linked.Fields["cmp_id"] != nil {
				t.Errorf("the organization is linked to %v", linked.Fields["cmp_id"])
			}
			h.run("setup", "--resume").ends(0).says("stopped at "+r.step, "contactsync setup --organization")
			if r.repair == nil {
				return
			}
			r.repair(h)
			document, got = h.setup(args...)
			if got.status != 0 || document.State != contactsync.ProcedureDone {
				t.Fatalf("the same command does not go on: status %d\n%s%s", got.status, document.told(), got.stdout)
			}
			var hooks []map[string]any
			h.ask(fmt.Sprintf("/projects/%d/hooks", document.Project), &hooks)
			if len(hooks) != 1 {
				t.Errorf("the project has %d hooks: %v", len(hooks), hooks)
			}
			h.run("setup", "--resume").ends(0).says("Nothing is unfinished.")
			h.isClean()
		})
	}
}

// What is wrong on the command line is said before anything is asked.
func TestSetupUsage(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	h.forget()
	org := fmt.Sprint(h.org)
	for _, test := range []struct{ args, says string }{
		{"", "--organization is missing"},
		{"--organization " + org, "--maintainers is missing"},
		{"--organization " + org + " --maintainers ,", "--maintainers is missing"},
		{"--organization " + org + " --maintainers ada@example.com", "--requester is missing"},
		{"--organization " + org + " --maintainers ada@example.com --requester ada", `--requester "ada" is no e-mail address`},
		{"--organization " + org + " --maintainers ada@example.com,grace --requester ada@example.com", `"grace" is no e-mail address`},
		{"--organization " + org + " --maintainers ada@example.com,Ada@Example.com --requester ada@example.com", "ada@example.com is named twice"},
		{"--organization " + org + " --maintainers ada@example.com --requester ada@example.com --attest luck=good", "no such criterion"},
		{"--organization " + org + " --maintainers ada@example.com --level 40", "unknown flag: --level"},
		{"--organization " + org + " more", "unexpected argument"},
		{"--resume --organization " + org, "--resume only lists"},
		{"--from x.csv --organization " + org, "columns of the file"},
	} {
		h.run(append([]string{"setup"}, strings.Fields(test.args)...)...).ends(2).says(test.says)
	}
	h.run("setup", "--organization", "1", "--maintainers", "ada@example.com", "--skip-eligibility", "a test").ends(1).says("no_org_found", "organization 1: stopped.")
	if sent := h.writes(); len(sent) > 0 {
		t.Errorf("it wrote %q", sent)
	}
	h.unset("CONTACTSYNC_WEBHOOK_URL")
	h.unset("CONTACTSYNC_WEBHOOK_TOKEN")
	h.run(h.setupArgs()...).ends(2).says("CONTACTSYNC_WEBHOOK_URL", "CONTACTSYNC_WEBHOOK_SIGNING_TOKEN")
}
