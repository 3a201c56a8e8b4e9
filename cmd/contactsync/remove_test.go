package main_test

import (
	"context"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"contactsync"
	"contactsync/contacts"
	"contactsync/gitlab"
	fakegitlab "contactsync/internal/fakes/gitlab"
	fakezendesk "contactsync/internal/fakes/zendesk"
	"contactsync/store"
)

// removal is a home whose organization has a project, the first one that GitLab made, and a ticket that asks to remove it.
type removal struct {
	*home
	number int64
	ticket int64
}

func newRemoval(t testing.TB) *removal {
	t.Helper()
	r := &removal{home: newHome(t, nil)}
	set, got := r.setup()
	if got.status != 0 {
		t.Fatalf("the setup ends with %d\n%s%s", got.status, set.told(), got.stderr)
	}
	r.number, r.ticket = set.Project, r.newTicket(r.org)
	return r
}

// newPlainRemoval is newRemoval with a project that nobody set up in any other way than the removal needs, which is
// cheaper, and gives restoring something to write.
func newPlainRemoval(t testing.TB) *removal {
	t.Helper()
	r := &removal{home: newHome(t, nil)}
	var err error
	if r.number, err = r.forge.CreateProject(fakegitlab.Project{
		Path: fmt.Sprintf("%s/organization-%d", homeGroup, r.org), Name: fmt.Sprintf("Organization %d", r.org),
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.forge.AddHook(r.number, fakegitlab.Hook{URL: r.receiver() + "/hooks/gitlab", Token: hookToken}); err != nil {
		t.Fatal(err)
	}
	if err := r.forge.AddInvitation(r.number, fakegitlab.Invitation{Address: "ada@example.com", Level: 30}); err != nil {
		t.Fatal(err)
	}
	r.file([]contactsync.Contact{contact("Ada Lovelace", "ada@example.com"), contact("Alan Turing", "alan@example.com")})
	r.desk.SetField(r.org, "cmp_id", r.number)
	r.ticket = r.newTicket(r.org)
	return r
}

// receiver is the address of our receiver.
func (r *removal) receiver() string {
	for _, pair := range r.env {
		if address, ok := strings.CutPrefix(pair, "CONTACTSYNC_WEBHOOK_URL="); ok {
			return address
		}
	}
	r.Fatal("the home has no receiver")
	return ""
}

// newTicket adds a ticket of an organization, and returns its number.
func (h *home) newTicket(organization int64) int64 {
	ada, _ := h.desk.UserByEmail("ada@example.com")
	return h.desk.AddTicket(fakezendesk.Ticket{Subject: "No project any more", Requester: ada.ID, Organization: organization})
}

func (r *removal) do(more ...string) (procedure, result) {
	r.Helper()
	var document procedure
	return document, r.json(&document, append([]string{"remove", fmt.Sprint(r.number)}, more...)...)
}

func (r *removal) withTicket() []string { return []string{"--ticket", fmt.Sprint(r.ticket)} }

func (r *removal) succeeds(more ...string) procedure {
	r.Helper()
	p, got := r.do(more...)
	if got.status != 0 || p.Error != nil {
		r.Fatalf("%v ends with %d\n%s\n%s%s", got.args, got.status, p.told(), got.stdout, got.stderr)
	}
	return p
}

// isRefused checks the error of a command that is refused, and that it wrote nothing but what is said in a ticket.
func (r *removal) isRefused(class contactsync.Class, words []string, more ...string) procedure {
	r.Helper()
	before := r.state()
	p, got := r.do(more...)
	if got.status != 1 || p.Error == nil || p.Error.Class != class {
		r.Fatalf("%v ends with %d, %+v; want %s\n%s", got.args, got.status, p.Error, class, p.told())
	}
	for _, word := range words {
		if !strings.Contains(p.Error.Detail+"\n"+p.Error.Remedy, word) {
			r.Errorf("the error does not say %q: %s\n%s", word, p.Error.Detail, p.Error.Remedy)
		}
	}
	if after := r.state(); after != before {
		r.Errorf("something was changed:\n%s\nwas\n%s", after, before)
	}
	return p
}

func (r *removal) client() *gitlab.Client {
	r.Helper()
	client, err := gitlab.New(gitlab.Options{URL: r.forge.URL(), Token: token})
	if err != nil {
		r.Fatal(err)
	}
	return client
}

// state is everything about the project that a removal or its restoring could change, as text.
func (r *removal) state() string {
	r.Helper()
	client, ctx := r.client(), context.Background()
	details, err := client.ProjectDetails(ctx, r.number)
	if err != nil {
		r.Fatal(err)
	}
	hooks, err := client.Hooks(ctx, r.number)
	if err != nil {
		r.Fatal(err)
	}
	protection, protected, err := client.Protection(ctx, r.number, "master")
	if err != nil {
		r.Fatal(err)
	}
	members, err := r.forge.Members(r.number)
	if err != nil {
		r.Fatal(err)
	}
	invitations, err := r.forge.Invitations(r.number)
	if err != nil {
		r.Fatal(err)
	}
	head, err := r.forge.Head(r.number, "master")
	if err != nil {
		r.Fatal(err)
	}
	lines := []string{
		fmt.Sprintf("%s %q deleted %t, head %t", details.Path, details.Name, details.Deletion != "", head != ""),
		fmt.Sprintf("settings %v", details.Settings),
		fmt.Sprintf("protection %t %+v", protected, protection),
		fmt.Sprintf("linked %v", r.linked()),
		fmt.Sprintf("members %d, invitations %d", len(members), len(invitations)),
		fmt.Sprintf("contacts %v", r.atDesk()),
	}
	for _, hook := range hooks {
		lines = append(lines, "hook "+regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(hook.Address, "receiver"))
	}
	return strings.Join(lines, "\n")
}

// linked is what the organization's project field holds.
func (r *removal) linked() any {
	org, _ := r.desk.Organization(r.org)
	return org.Fields["cmp_id"]
}

func (r *removal) comments() []fakezendesk.Comment {
	ticket, _ := r.desk.Ticket(r.ticket)
	return ticket.Comments
}

func (r *removal) file(list []contactsync.Contact) {
	r.Helper()
	text, err := contacts.Render(contacts.File{Contacts: list})
	if err != nil {
		r.Fatal(err)
	}
	if _, err := r.forge.Commit(r.number, fakegitlab.Commit{Files: map[string]string{"contacts.yaml": string(text)}}); err != nil {
		r.Fatal(err)
	}
}

// A project is removed and the ticket told; the same again finds everything done; restoring brings back exactly what was
// there, with nobody invited anew; and setting up again finds it complete.
func TestRemoveAndRestore(t *testing.T) {
	t.Parallel()
	r := newRemoval(t)
	before := r.state()

	dry, _ := r.do(append(r.withTicket(), "--dry-run")...)
	if dry.states() != "already already planned planned planned planned" || r.state() != before || len(r.comments()) != 0 {
		t.Errorf("the dry run: %s\n%s", dry.told(), r.state())
	}

	first := r.succeeds(r.withTicket()...)
	if first.states() != "already already done done done done" || first.Kind != contactsync.ProcedureRemoval ||
		first.State != contactsync.ProcedureDone || first.Organization.ID != fmt.Sprint(r.org) || first.By != "tester" {
		t.Errorf("the removal: %+v\n%s", first, first.told())
	}
	t.Logf("%s\n%+v", first.told(), first.Requests)
	if first.Requests != (contactsync.Requests{Desk: 11, GitLab: 5}) {
		t.Errorf("took %+v requests", first.Requests)
	}
	if org, _ := r.desk.Organization(r.org); org.Fields["cmp_id"] != nil {
		t.Errorf("the organization is linked to %v", org.Fields["cmp_id"])
	}
	day := time.Now().UTC().AddDate(0, 0, 30).Format(time.DateOnly)
	comments := r.comments()
	if len(comments) != 1 || !comments[0].Public || !strings.Contains(comments[0].Body, day) || !strings.Contains(first.told(), day) {
		t.Errorf("the ticket says %+v, want the day %s", comments, day)
	}
	gone := r.state()
	if !strings.Contains(gone, "deleted true") || strings.Contains(gone, "hook ") {
		t.Errorf("after the removal:\n%s", gone)
	}

	again := r.succeeds(r.withTicket()...)
	if again.states() != "already already already already already already" || r.state() != gone || len(r.comments()) != 1 {
		t.Errorf("the same again: %s\n%s", again.told(), r.state())
	}

	tested := r.delivered.Load()
	dry, _ = r.do("--restore", "--dry-run")
	if dry.states() != "already planned already already already planned planned" || r.state() != gone {
		t.Errorf("the dry run: %s\n%s", dry.told(), r.state())
	}
	restored := r.succeeds("--restore")
	if restored.states() != "already done already already already done done" || restored.Kind != contactsync.ProcedureRestore || r.delivered.Load() != tested+1 {
		t.Errorf("restoring: %s", restored.told())
	}
	t.Logf("%s\n%+v", restored.told(), restored.Requests)
	if after := r.state(); after != before {
		t.Errorf("restored is\n%s\nand was\n%s", after, before)
	}
	r.isRefused(contactsync.ClassProjectConflict, []string{"is not to be deleted", fmt.Sprint(r.org)}, "--restore")

	set, got := r.setup()
	if got.status != 0 || slices.ContainsFunc(set.Steps, func(s contactsync.StepResult) bool { return s.State == contactsync.StepDone }) {
		t.Errorf("setting up again ends with %d\n%s", got.status, set.told())
	}
	r.run("setup", "--resume").ends(0).says("Nothing is unfinished.")

	// And as people see it.
	r.run("remove", fmt.Sprint(r.number), "--by", "grace").ends(0).says("deleted hook", day, "contactsync remove 1 --restore", "Engines", "done.")
}

// One contact above the limit is refused, with everybody's name, and the ticket is told in public, once; at the limit the
// same command goes on.
func TestRemoveOverTheLimit(t *testing.T) {
	t.Parallel()
	r := newRemoval(t)
	list := slices.Concat(numbered(28), []contactsync.Contact{
		contact("Ada Lovelace", "ada@example.com"), contact("Alan Turing", "alan@example.com"), contact("grace@example.com", "grace@example.com"),
	})
	r.members(28)
	r.file(list)

	// A removal that is refused still leaves an empty ticket alone when none is named.
	p := r.isRefused(contactsync.ClassTooManyContacts, []string{"31 contacts", "Ada Lovelace <ada@example.com>", "Person 0027 <p0027@example.com>",
		"shortens contacts.yaml to 30", "then run the same command again"})
	if p.Error.Who != contactsync.WhoOperator || len(r.comments()) != 0 {
		t.Errorf("got %+v, %+v", p.Error, r.comments())
	}
	r.isRefused(contactsync.ClassTooManyContacts, nil, append(r.withTicket(), "--dry-run")...)
	if len(r.comments()) != 0 {
		t.Error("a dry run answers the ticket")
	}
	for range 2 {
		r.isRefused(contactsync.ClassTooManyContacts, nil, r.withTicket()...)
	}
	comments := r.comments()
	if len(comments) != 1 || !comments[0].Public || strings.Count(comments[0].Body, "@example.com>") != 31 || !strings.Contains(comments[0].Body, "contacts.yaml") {
		t.Errorf("the ticket says %+v", comments)
	}
	r.run("setup", "--resume").ends(0).says("removal of organization", "stopped at limit", fmt.Sprintf("contactsync remove %d --ticket %d", r.number, r.ticket))
	r.run("remove", fmt.Sprint(r.number)).ends(1).says("Too many contacts (too_many_contacts)", "  Ada Lovelace <ada@example.com>\n", "stopped.")

	// The desk's own macro does not keep the list from the customer.
	r.desk.AddMacro(fakezendesk.Macro{Title: "Support::Support Ops::Maximum contacts reached", Comment: "<b>Too many.</b>", HTML: true})
	plain := r.ticket
	r.ticket = r.newTicket(r.org)
	r.isRefused(contactsync.ClassTooManyContacts, nil, r.withTicket()...)
	if body := r.comments()[0].Body; !strings.HasPrefix(body, "<b>Too many.</b><p>") || strings.Count(body, "@example.com&gt;<br>") < 30 {
		t.Errorf("with a macro, the ticket says %s", body)
	}
	r.ticket = plain

	r.file(list[1:]) // 30
	r.run("sync", fmt.Sprint(r.number)).ends(0)
	if p := r.succeeds(r.withTicket()...); p.states() != "already already done done done done" || len(r.comments()) != 2 {
		t.Errorf("at the limit: %s\n%+v", p.told(), r.comments())
	}
	r.run("setup", "--resume").ends(0).says("Nothing is unfinished.")
}

// Without a limit nobody is counted.
func TestRemoveWithoutLimit(t *testing.T) {
	t.Parallel()
	r := newRemoval(t)
	r.set("CONTACTSYNC_LIMITS_CONTACTS_WITHOUT_PROJECT=0")
	r.members(31)
	if p := r.succeeds(); p.Steps[1].State != contactsync.StepSkipped {
		t.Errorf("got %s", p.told())
	}
}

// Every hook that leads to us goes, at whichever of our addresses, and no other; of the links only the project's own.
func TestRemoveLeavesWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	r := newRemoval(t)
	base := r.receiver()
	for _, address := range []string{
		base + "/hooks/gitlab", base + fmt.Sprintf("/api/v4/projects/%d/ref/master/trigger/pipeline?token={T}", r.number), "https://chat.example.com/hooks/gitlab",
	} {
		if _, err := r.forge.AddHook(r.number, fakegitlab.Hook{URL: address, Variables: map[string]string{"T": "hidden"}}); err != nil {
			t.Fatal(err)
		}
	}
	p := r.succeeds()
	if !strings.Contains(p.told(), "https://chat.example.com/hooks/gitlab), and is left alone") {
		t.Errorf("the hook that is left is not named: %s", p.told())
	}
	if state := r.state(); strings.Count(state, "hook ") != 1 || !strings.Contains(state, "hook https://chat.example.com/hooks/gitlab") {
		t.Errorf("left are\n%s", state)
	}

	// Afterwards the organization gets another project. The old one's removal does not touch it, nor can it be restored.
	set, got := r.setup()
	if got.status != 0 {
		t.Fatalf("%s%s", set.told(), got.stderr)
	}
	p = r.succeeds()
	if !strings.Contains(p.told(), fmt.Sprintf("linked to project %d, which is left alone", set.Project)) || fmt.Sprint(r.linked()) != fmt.Sprint(set.Project) {
		t.Errorf("linked to %v\n%s", r.linked(), p.told())
	}
	r.isRefused(contactsync.ClassProjectConflict, []string{fmt.Sprintf("linked to project %d by now", set.Project)}, "--restore")
}

// A project that is nobody's is removed only if it looks in every way like a project that contactsync made, and a ticket
// of somebody else is not answered.
func TestRemoveTheWrongProject(t *testing.T) {
	t.Parallel()
	r := newRemoval(t)
	made, other := r.number, r.organization("Other", 0)
	conflicts := func(words []string, more ...string) {
		t.Helper()
		r.isRefused(contactsync.ClassProjectConflict, words, more...)
	}
	conflicts([]string{"belongs to organization", "leave out --ticket"}, "--ticket", fmt.Sprint(r.newTicket(other)))
	create := func(path, name string) {
		t.Helper()
		var err error
		if r.number, err = r.forge.CreateProject(fakegitlab.Project{Path: path, Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	nobody := []string{"no organization is linked to project", "Check the number"}
	create("support/handbook", "Handbook")
	conflicts(nobody)
	create("support/organization-"+fmt.Sprint(other), fmt.Sprintf("Organization %d", other))
	conflicts(nobody)
	create(homeGroup+"/organization-"+fmt.Sprint(other), "Handbook")
	conflicts(nobody)
	create(homeGroup+"/sub/organization-"+fmt.Sprint(r.org), fmt.Sprintf("Organization %d", r.org))
	conflicts(nobody)

	full := r.organization("Full", made+1000)
	create(homeGroup+"/organization-"+fmt.Sprint(full), fmt.Sprintf("Organization %d", full))
	conflicts([]string{fmt.Sprintf("which is linked to project %d", made+1000)})

	empty := r.organization("Empty", 0)
	create(homeGroup+"/organization-"+fmt.Sprint(empty), fmt.Sprintf("Organization %d", empty))
	if p := r.succeeds(); p.Organization.ID != fmt.Sprint(empty) {
		t.Errorf("got %s", p.told())
	}

	r.run("remove", "99999").ends(1).says("Invalid project ID (invalid_project_id)", "project 99999: stopped.")
	r.run("remove", "handbook").ends(2)
	r.run("remove", fmt.Sprint(made), "--yes").ends(2)
	r.run("remove", fmt.Sprint(made), "--restore", "--ticket", "1").ends(2)
	r.run("setup", "--resume").ends(0).says("Nothing is unfinished.")
}

// Restoring stops before a file that would change contacts is linked, and goes on once the file is right, or the operator
// agrees.
func TestRestoreAnOldFile(t *testing.T) {
	t.Parallel()
	for name, goOn := range map[string]func(*removal) procedure{
		"the file is brought up to date": func(r *removal) procedure {
			r.file([]contactsync.Contact{
				contact("Ada Lovelace", "ada@example.com"), contact("Emmy Noether", "emmy@example.com"), contact("grace@example.com", "grace@example.com"),
			})
			return r.succeeds("--restore")
		},
		"agreed to": func(r *removal) procedure { return r.succeeds("--restore", "--yes") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRemoval(t)
			r.succeeds()
			r.member("Emmy Noether", "emmy@example.com")
			alan, _ := r.desk.UserByEmail("alan@example.com")
			r.desk.Detach(alan.ID, r.org)
			before := r.atDesk()

			p, got := r.do("--restore")
			if got.status != 1 || p.Error.Class != contactsync.ClassProjectConflict || r.linked() != nil {
				t.Fatalf("linked to %v: %s", r.linked(), p.told())
			}
			for _, word := range []string{"remove Emmy Noether <emmy@example.com>", "Alan Turing <alan@example.com>", "contactsync export", "--yes"} {
				if !strings.Contains(p.Error.Detail+p.Error.Remedy, word) {
					t.Errorf("it does not say %q: %+v", word, p.Error)
				}
			}
			goOn(r)
			if got := r.atDesk(); fmt.Sprint(r.linked()) != fmt.Sprint(r.number) || !slices.Equal(got, before) {
				t.Errorf("linked to %v, with %v", r.linked(), got)
			}
		})
	}
}

// A removal that stopped half-way is undone, too, and nobody can go on with it afterwards.
func TestRestoreHalfARemoval(t *testing.T) {
	t.Parallel()
	r := newRemoval(t)
	before := r.state()
	r.transport = refusing(http.MethodDelete, fmt.Sprintf("/api/v4/projects/%d", r.number))
	if p, got := r.do(); got.status != 1 || p.states() != "already already done done failed" {
		t.Fatalf("status %d: %s", got.status, p.told())
	}
	r.transport = nil
	r.run("setup", "--resume").ends(0).says("removal of organization", "stopped at project")
	r.run("sync", fmt.Sprint(r.number)).ends(1).says("no_org_found")
	if p := r.succeeds("--restore"); r.state() != before {
		t.Errorf("%s\nrestored is\n%s\nand was\n%s", p.told(), r.state(), before)
	}
	r.run("setup", "--resume").ends(0).says("Nothing is unfinished.")
}

// refusing answers one request with 403.
func refusing(method, path string) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			if request.Method == method && request.URL.Path == path {
				return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}, Body: http.NoBody, Request: request}, nil
			}
			return next.RoundTrip(request)
		})
	}
}

// A run that is under way ends before anything is removed, and one that is asked for meanwhile begins afterwards, and
// finds that the project is to be deleted.
func TestRemoveDuringRuns(t *testing.T) {
	t.Parallel()
	r := newRemoval(t)
	for _, pair := range r.env {
		if path, ok := strings.CutPrefix(pair, "CONTACTSYNC_STORE=sqlite:"); ok && filepath.IsAbs(path) {
			r.duringRuns(path)
			return
		}
	}
	t.Fatal("the world has no store")
}

func (r *removal) duringRuns(path string) {
	s, err := store.Open(r.Context(), "sqlite:"+path, store.Options{})
	if err != nil {
		r.Fatal(err)
	}
	defer s.Close()
	var group sync.WaitGroup
	asked, ended := make(chan struct{}), make(chan struct{})
	var late result
	var once sync.Once
	r.transport = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(request *http.Request) (*http.Response, error) {
			select {
			case <-ended:
			default:
				r.Errorf("%s %s was sent while a run was under way", request.Method, request.URL.Path)
			}
			if request.Method == http.MethodDelete {
				once.Do(func() {
					group.Go(func() { late = (&world{TB: r, env: r.env, clock: r.clock}).run("sync", fmt.Sprint(r.number)) })
					close(asked)
				})
			}
			return next.RoundTrip(request)
		})
	}
	var removed result
	err = s.Hold(r.Context(), r.number, func(context.Context) error {
		group.Go(func() { removed = r.run("remove", fmt.Sprint(r.number)) })
		close(ended)
		return nil
	})
	if err != nil {
		r.Fatal(err)
	}
	<-asked
	group.Wait()
	removed.ends(0)
	late.ends(1).says("invalid_project_id", "was marked for deletion")
	if len(r.atDesk()) != 3 {
		r.Errorf("the contacts became %v", r.atDesk())
	}
}

// Stop at every step: the process dies before and after each of its writes, and before what it reads first after one. The same command then ends
// exactly where one ends that did not die, with nothing there twice.
func TestStopRemovingAtEveryStep(t *testing.T) {
	t.Parallel()
	for name, command := range map[string]struct {
		prepare func(*removal)
		args    func(*removal) []string
	}{
		"removal": {func(*removal) {}, (*removal).withTicket},
		"restore": {func(r *removal) { r.succeeds(r.withTicket()...) }, func(*removal) []string { return []string{"--restore"} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clean := newPlainRemoval(t)
			command.prepare(clean)
			var mu sync.Mutex
			var writes []bool // by request
			clean.transport = func(next http.RoundTripper) http.RoundTripper {
				return roundTripper(func(request *http.Request) (*http.Response, error) {
					mu.Lock()
					writes = append(writes, isWrite(request.Method, request.URL.Path))
					mu.Unlock()
					return next.RoundTrip(request)
				})
			}
			done := clean.succeeds(command.args(clean)...)
			clean.transport = nil
			want := clean.state()
			t.Logf("%d requests", len(writes))
			for i, write := range writes {
				for _, after := range []bool{false, true} {
					if !write && (after || i > 0 && !writes[i-1]) {
						continue // between two reads nothing has changed outside, so that it is the same as before the first
					}
					t.Run(fmt.Sprintf("request %d after %t", i+1, after), func(t *testing.T) {
						t.Parallel()
						r := newPlainRemoval(t)
						command.prepare(r)
						r.dieAt(i+1, after, want, len(done.Steps), command.args(r))
					})
				}
			}
		})
	}
}

func (r *removal) dieAt(request int, after bool, want string, steps int, args []string) {
	r.Helper()
	contactsBefore := r.atDesk()
	if status := r.runDyingAt(dieAtRequest, request, after, append([]string{"remove", fmt.Sprint(r.number)}, args...)...); status != diedStatus {
		r.Fatalf("the process should have died at request %d, but ended with %d", request, status)
	}
	// What is there now syncs rightly, or not at all.
	r.now = func() time.Time { return time.Now().Add(2 * time.Minute) } // the lease of the dead is over
	got := r.run("sync", fmt.Sprint(r.number))
	if got.status != 0 && !strings.Contains(got.stderr, "(no_org_found)") && !strings.Contains(got.stderr, "was marked for deletion") {
		r.Errorf("a run ends with %d: %s", got.status, got.stderr)
	}
	var p procedure
	p, got = r.do(args...)
	if got.status != 0 || p.State != contactsync.ProcedureDone || len(p.Steps) != steps {
		r.Fatalf("the same command ends with %d: %s\n%s%s", got.status, p.told(), got.stdout, got.stderr)
	}
	if is := r.state(); is != want {
		r.Errorf("it ends in\n%s\nand without the death in\n%s", is, want)
	}
	if got := r.atDesk(); !slices.Equal(got, contactsBefore) {
		r.Errorf("the contacts became %v", got)
	}
	if n := len(r.comments()); n > 1 || n == 0 {
		r.Errorf("the ticket has %d comments, want 1", n)
	}
	r.run("setup", "--resume").ends(0).says("Nothing is unfinished.")
	r.isClean()
}

// states are those of the steps, in their order.
func (p procedure) states() string {
	var states []string
	for _, s := range p.Steps {
		states = append(states, string(s.State))
	}
	return strings.Join(states, " ")
}
