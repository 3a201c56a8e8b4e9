package sync_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"contactsync"
	"contactsync/contacts"
	"contactsync/sync"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// defaultPolicy and defaultSweep are the written design's numbers; that the configuration has the same ones is its own
// test's business.
func defaultPolicy() sync.Policy {
	return sync.Policy{
		PeopleElsewhere: sync.RefuseElsewhere,
		Names:           sync.NamesFromFile,
		HoldRemovals:    sync.Threshold{Floor: 3, Percent: 30},
		HoldAdditions:   sync.Threshold{Floor: 100, Percent: 100},
	}
}

var defaultSweep = sync.SweepThreshold{Organizations: 3, Contacts: sync.Threshold{Floor: 50, Percent: 5}}

// bench is a pipeline over a desk, a store and a file that a test can change.
type bench struct {
	desk       *memoryDesk
	store      *memoryStore
	policy     sync.Policy
	file       string
	projectErr error
	fileErr    error
	runs       int
	now        time.Time
}

func newBench() *bench {
	return &bench{desk: newMemoryDesk(), store: newMemoryStore(), policy: defaultPolicy(), now: now}
}

func (b *bench) Project(_ context.Context, id int64) (contactsync.Project, error) {
	return contactsync.Project{ID: id}, b.projectErr
}

func (b *bench) Read(context.Context, contactsync.Project) (contactsync.File, error) {
	return contactsync.File{Content: []byte(b.file), Commit: strings.Repeat("a", 40), Committer: "Ada <ada@example.com>"}, b.fileErr
}

func (b *bench) pipeline() *sync.Pipeline {
	return sync.New(sync.Options{
		Forge: b, Repository: b, Desk: b.desk, Store: b.store, Policy: b.policy,
		Now: func() time.Time { return b.now },
		NewID: func() string {
			b.runs++
			return fmt.Sprintf("run-%d", b.runs)
		},
	})
}

func (b *bench) sync(t testing.TB) contactsync.Run {
	t.Helper()
	return b.pipeline().Sync(t.Context(), "7", contactsync.TriggerCommand)
}

// list writes the file with these addresses, each also its name.
func (b *bench) list(addresses ...contactsync.Email) {
	var file strings.Builder
	for _, address := range addresses {
		fmt.Fprintf(&file, "- name: %s\n  email: %s\n", address, address)
	}
	b.file = file.String()
}

// members puts that many plain members into the organization and returns their addresses.
func (b *bench) members(count int) []contactsync.Email {
	var addresses []contactsync.Email
	for i := range count {
		address := contactsync.Email(fmt.Sprintf("member%03d@example.com", i))
		b.desk.put(fmt.Sprintf("Member %d", i), []contactsync.Email{address}, "42")
		addresses = append(addresses, address)
	}
	return addresses
}

func change(t testing.TB, run contactsync.Run, address contactsync.Email) contactsync.Change {
	t.Helper()
	i := slices.IndexFunc(run.Changes, func(c contactsync.Change) bool { return c.Email == address })
	if i < 0 {
		t.Fatalf("no change for %s in %+v", address, run.Changes)
	}
	return run.Changes[i]
}

func wantStatus(t testing.TB, run contactsync.Run, want contactsync.Status) {
	t.Helper()
	if run.Status != want {
		t.Fatalf("status = %s, want %s; error %+v, changes %+v, conflicts %+v", run.Status, want, run.Error, run.Changes, run.Conflicts)
	}
}

// A run makes the members equal to the file, in one pass, and the next run finds nothing to do.
func TestSyncConverges(t *testing.T) {
	b := newBench()
	stay := b.desk.put("Stay", []contactsync.Email{"stay@example.com"}, "42")
	b.desk.put("Old Name", []contactsync.Email{"renamed@example.com"}, "42")
	b.desk.put("Leaves", []contactsync.Email{"leaves@example.com"}, "42")
	b.desk.put("Known", []contactsync.Email{"known@example.com"})
	b.file = `
- {name: Stay, email: stay@example.com}
- {name: New Name, email: renamed@example.com}
- {name: Known, email: known@example.com}
- {name: Fresh, email: fresh@example.com}
`
	run := b.sync(t)
	wantStatus(t, run, contactsync.StatusSucceeded)
	if want := (contactsync.Summary{Create: 1, Add: 1, Rename: 1, Remove: 1, Unchanged: 1}); run.Summary != want {
		t.Errorf("summary = %+v, want %+v", run.Summary, want)
	}
	want := []contactsync.Email{"fresh@example.com", "known@example.com", "renamed@example.com", "stay@example.com"}
	if got := b.desk.membersOf("42"); !slices.Equal(got, want) {
		t.Errorf("members = %v, want %v", got, want)
	}
	if b.desk.touched[stay.ID] {
		t.Error("a contact that needs nothing was written to")
	}
	if order := []string{"add fresh@example.com", "add known@example.com", "rename renamed@example.com", "remove leaves@example.com"}; !slices.Equal(b.desk.writes, order) {
		t.Errorf("writes = %v, want %v", b.desk.writes, order)
	}
	again := b.sync(t)
	wantStatus(t, again, contactsync.StatusUnchanged)
	if again.Summary.Unchanged != 4 || len(again.Changes) != 0 {
		t.Errorf("second run: %+v", again)
	}
}

// A plan writes nothing, and a sync of the same state has the same digest.
func TestPlanWritesNothingAndHasTheDigestOfTheSync(t *testing.T) {
	b := newBench()
	b.list(append(b.members(3)[1:], "new@example.com")...)
	plan := b.pipeline().Plan(t.Context(), "7")
	wantStatus(t, plan, contactsync.StatusPlanned)
	if len(b.desk.writes)+len(b.store.runs)+len(b.store.baselines) != 0 {
		t.Errorf("the plan wrote: desk %v, runs %v, baselines %v", b.desk.writes, b.store.runs, b.store.baselines)
	}
	local := b.pipeline().PlanFile(t.Context(), []byte(b.file), "42")
	run := b.sync(t)
	if plan.Digest == "" || plan.Digest != run.Digest || local.Digest != run.Digest {
		t.Errorf("digests differ: plan %q, file %q, sync %q", plan.Digest, local.Digest, run.Digest)
	}
	if after := b.pipeline().Plan(t.Context(), "7"); after.Status != contactsync.StatusUnchanged || after.Digest == plan.Digest {
		t.Errorf("the plan afterwards: %s %s", after.Status, after.Digest)
	}
}

// A desk that does not tell who has a project leaves a file of this machine to the limit of those that have one, and a
// file for setting up is never held to that of organizations without.
func TestPlanFileLimits(t *testing.T) {
	for _, with := range []int{0, 3, 2} {
		b := newBench()
		b.list(b.members(3)...)
		b.policy.MaxContacts, b.policy.MaxContactsWithout = with, 1
		for _, run := range []contactsync.Run{
			b.pipeline().PlanFileAsIs(t.Context(), []byte(b.file), "42"), b.pipeline().PlanFile(t.Context(), []byte(b.file), "42"),
		} {
			if refused := run.Error != nil; refused != (with == 2) {
				t.Errorf("with a limit of %d the plan is %s: %+v", with, run.Status, run.Error)
			}
		}
	}
}

// Every failure before the plan ends the run with its name, and nothing is written.
func TestFailuresBeforeThePlan(t *testing.T) {
	trouble := func(class contactsync.Class) error { return contactsync.Errorf(class, "trouble") }
	tests := []struct {
		name    string
		project contactsync.ProjectRef
		break_  func(*bench)
		want    contactsync.Class
	}{
		{"no number", "abc", func(*bench) {}, contactsync.ClassInvalidProjectID},
		{"zero", "0", func(*bench) {}, contactsync.ClassInvalidProjectID},
		{"unknown project", "7", func(b *bench) { b.projectErr = trouble(contactsync.ClassInvalidProjectID) }, contactsync.ClassInvalidProjectID},
		{"unlinked", "8", func(*bench) {}, contactsync.ClassNoOrgFound},
		{"no file", "7", func(b *bench) { b.fileErr = trouble(contactsync.ClassFileMissing) }, contactsync.ClassFileMissing},
		{"empty file", "7", func(b *bench) { b.file = "" }, contactsync.ClassFileEmpty},
		{"empty list", "7", func(b *bench) { b.file = "[]" }, contactsync.ClassFileEmpty},
		{"broken file", "7", func(b *bench) { b.file += "- name: x\n" }, contactsync.ClassContactIncomplete},
		{"another organization's file", "7", func(b *bench) {
			b.file = "organization: 43\ncontacts:\n- {name: A, email: a@example.com}\n"
		}, contactsync.ClassOrganizationMismatch},
		{"everybody expired", "7", func(b *bench) { b.file = "contacts:\n- {name: A, email: a@example.com, expires: 2026-11-20}\n" }, contactsync.ClassFileEmpty},
		{"over the limit", "7", func(b *bench) { b.policy.MaxContacts = 2 }, contactsync.ClassTooManyContacts},
		{"unreadable desk", "7", func(b *bench) { b.desk.failMembers = trouble(contactsync.ClassDeskUnreadable) }, contactsync.ClassDeskUnreadable},
		{"the project comes before the organization", "8", func(b *bench) { b.projectErr = trouble(contactsync.ClassRepositoryUnreachable) }, contactsync.ClassRepositoryUnreachable},
		{"the organization comes before the file", "8", func(b *bench) { b.file = "" }, contactsync.ClassNoOrgFound},
		{"the file comes before the members", "7", func(b *bench) {
			b.file = ""
			b.desk.failMembers = trouble(contactsync.ClassDeskUnreadable)
		}, contactsync.ClassFileEmpty},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench()
			b.list(b.members(5)[:3]...)
			tt.break_(b)
			run := b.pipeline().Sync(t.Context(), tt.project, contactsync.TriggerCommand)
			wantStatus(t, run, contactsync.StatusFailed)
			if run.Error.Class != tt.want {
				t.Errorf("class = %s (%s), want %s", run.Error.Class, run.Error.Detail, tt.want)
			}
			if len(b.desk.writes) != 0 {
				t.Errorf("written: %v", b.desk.writes)
			}
			if len(b.store.runs) != 1 || b.store.runs[0].Status != contactsync.StatusFailed {
				t.Errorf("history = %+v", b.store.runs)
			}
		})
	}
}

// A desk that had members and now shows none is not believed, however often it says so.
func TestFallToZeroStopsTheRun(t *testing.T) {
	b := newBench()
	b.list(b.members(4)...)
	wantStatus(t, b.sync(t), contactsync.StatusUnchanged)
	b.desk.hide = true
	for range 2 {
		run := b.sync(t)
		wantStatus(t, run, contactsync.StatusFailed)
		if run.Error.Class != contactsync.ClassDeskUnreadable {
			t.Errorf("class = %s", run.Error.Class)
		}
	}
	if len(b.desk.writes) != 0 {
		t.Errorf("written: %v", b.desk.writes)
	}
}

// Too many removals wait for an approval of exactly that plan, while everything else goes on.
func TestRemovalsHeldAndApproved(t *testing.T) {
	b := newBench()
	members := b.members(10)
	b.list(append(members[:6:6], "new@example.com")...)
	run := b.sync(t)
	wantStatus(t, run, contactsync.StatusHeld)
	if run.Summary.Held != 4 || run.Summary.Create != 1 {
		t.Errorf("summary = %+v", run.Summary)
	}
	if got := change(t, run, members[9]); got.Result != contactsync.ResultHeld || got.Error != contactsync.ClassRemovalsHeld {
		t.Errorf("held change = %+v", got)
	}
	if got := len(b.desk.membersOf("42")); got != 11 {
		t.Fatalf("members = %d, want 11", got)
	}

	refused := b.pipeline().Approve(t.Context(), "7", "sha256:other", "ops")
	wantStatus(t, refused, contactsync.StatusFailed)
	if refused.Error.Class != contactsync.ClassPlanChanged || !strings.Contains(refused.Error.Detail, refused.Digest) {
		t.Errorf("refusal = %+v", refused.Error)
	}
	if refused.Summary.Remove != 0 {
		t.Errorf("a refused run counts removals: %+v", refused.Summary)
	}
	approved := b.pipeline().Approve(t.Context(), "7", run.Digest, "ops")
	wantStatus(t, approved, contactsync.StatusSucceeded)
	if approved.ApprovedBy != "ops" {
		t.Errorf("approved by %q", approved.ApprovedBy)
	}
	if approved.Summary.Remove != 4 || len(b.desk.membersOf("42")) != 7 {
		t.Errorf("approved: %+v, members %v", approved.Summary, b.desk.membersOf("42"))
	}
	if len(b.store.approvals) != 0 {
		t.Error("the approval is still open")
	}
}

// An approval does not cover a removal that came after it.
func TestApprovalOfAnOlderPlanIsRefused(t *testing.T) {
	b := newBench()
	members := b.members(10)
	b.list(members[:6]...)
	run := b.sync(t)
	b.list(members[:5]...)
	refused := b.pipeline().Approve(t.Context(), "7", run.Digest, "ops")
	if refused.Error == nil || refused.Error.Class != contactsync.ClassPlanChanged {
		t.Fatalf("error = %+v", refused.Error)
	}
	if len(b.desk.writes) != 0 {
		t.Errorf("written: %v", b.desk.writes)
	}
}

// A commit that makes the plan small again releases it without an approval.
func TestSmallerPlanReleasesItself(t *testing.T) {
	b := newBench()
	members := b.members(10)
	b.list(members[:4]...)
	wantStatus(t, b.sync(t), contactsync.StatusHeld)
	b.list(members[:8]...)
	wantStatus(t, b.sync(t), contactsync.StatusSucceeded)
}

// Additions held hold the removals with them; renames go on.
func TestAdditionsHeld(t *testing.T) {
	b := newBench()
	members := b.members(4)
	b.policy.HoldAdditions = sync.Threshold{Floor: 2, Percent: 50}
	b.file = "- {name: Renamed, email: member000@example.com}\n- {name: Member 1, email: member001@example.com}\n- {name: Member 2, email: member002@example.com}\n"
	for i := range 3 {
		b.file += fmt.Sprintf("- {name: New, email: new%d@example.com}\n", i)
	}
	run := b.sync(t)
	wantStatus(t, run, contactsync.StatusHeld)
	if want := (contactsync.Summary{Rename: 1, Unchanged: 2, Held: 4}); run.Summary != want {
		t.Errorf("summary = %+v, want %+v", run.Summary, want)
	}
	if got := change(t, run, members[3]); got.Result != contactsync.ResultHeld {
		t.Errorf("removal = %+v", got)
	}
}

// Putting back people whom somebody removed at the desk by hand is not a trip, however many they are.
func TestRestoringIsNotHeld(t *testing.T) {
	b := newBench()
	b.policy.HoldAdditions = sync.Threshold{Floor: 2, Percent: 10}
	members := b.members(10)
	b.list(members...)
	wantStatus(t, b.sync(t), contactsync.StatusUnchanged)
	for _, address := range members[:9] {
		delete(b.desk.holder(address).orgs, "42")
	}
	run := b.sync(t)
	wantStatus(t, run, contactsync.StatusSucceeded)
	if run.Summary.Add != 9 {
		t.Errorf("summary = %+v", run.Summary)
	}
}

// Protected people are never touched: a member who is not listed stays, one who is listed but no member is a conflict.
func TestProtectedPeople(t *testing.T) {
	kinds := map[string]func(*bench, *person){
		"agent":      func(_ *bench, p *person) { p.Role = contactsync.RoleAgent },
		"admin":      func(_ *bench, p *person) { p.Role = contactsync.RoleAdmin },
		"suspended":  func(_ *bench, p *person) { p.Suspended = true },
		"shared":     func(_ *bench, p *person) { p.Shared = true },
		"configured": func(b *bench, p *person) { b.policy.Protected = []contactsync.Email{p.Primary()} },
	}
	for name, protect := range kinds {
		t.Run(name, func(t *testing.T) {
			b := newBench()
			b.list(b.members(2)...)
			p := b.desk.put("Boss", []contactsync.Email{"boss@example.com"}, "42")
			protect(b, p)
			run := b.sync(t)
			wantStatus(t, run, contactsync.StatusUnchanged)
			if got := change(t, run, "boss@example.com"); got.Action != contactsync.ActionRemove || got.Result != contactsync.ResultSkipped || got.Error != contactsync.ClassContactProtected {
				t.Errorf("change = %+v", got)
			}

			b.file += "- {name: Another Name, email: boss@example.com}\n"
			wantStatus(t, b.sync(t), contactsync.StatusUnchanged)

			delete(p.orgs, "42")
			run = b.sync(t)
			wantStatus(t, run, contactsync.StatusPartial)
			if len(run.Conflicts) != 1 || run.Conflicts[0].Error != contactsync.ClassContactProtected {
				t.Errorf("conflicts = %+v", run.Conflicts)
			}
			if b.desk.touched[p.ID] {
				t.Error("a protected person was touched")
			}
		})
	}
}

// A person of another organization is not taken over, and does not block the others.
func TestPeopleElsewhere(t *testing.T) {
	b := newBench()
	theirs := b.desk.put("Theirs", []contactsync.Email{"theirs@example.com"}, "99")
	b.list("theirs@example.com", "new@example.com")
	run := b.sync(t)
	wantStatus(t, run, contactsync.StatusPartial)
	if len(run.Conflicts) != 1 || run.Conflicts[0].Error != contactsync.ClassContactElsewhere || run.Conflicts[0].Line != 1 {
		t.Errorf("conflicts = %+v", run.Conflicts)
	}
	if b.desk.touched[theirs.ID] || !slices.Equal(b.desk.membersOf("42"), []contactsync.Email{"new@example.com"}) {
		t.Errorf("members = %v", b.desk.membersOf("42"))
	}
	b.policy.PeopleElsewhere = sync.AddElsewhere
	b.desk.exclusive = true
	if plan := b.pipeline().Plan(t.Context(), "7"); len(plan.Conflicts) != 1 || len(plan.Changes) != 0 {
		t.Errorf("a desk that would move the person: %+v", plan)
	}
	b.desk.exclusive = false
	wantStatus(t, b.sync(t), contactsync.StatusSucceeded)
	if !theirs.orgs["42"] || !theirs.orgs["99"] {
		t.Errorf("organizations = %v", theirs.orgs)
	}
}

// Somebody listed by a second address of theirs is that person, and stays.
func TestSecondaryAddress(t *testing.T) {
	for _, lazy := range []bool{false, true} {
		b := newBench()
		b.desk.lazy = lazy
		b.desk.put("Ada", []contactsync.Email{"ada@example.com", "ada@work.example.com"}, "42")
		b.list("ada@work.example.com")
		wantStatus(t, b.sync(t), contactsync.StatusUnchanged)
	}
}

// "previously" gives a member a new address, once, and keeps the person.
func TestPreviously(t *testing.T) {
	b := newBench()
	b.desk.lazy = true
	ada := b.desk.put("Ada", []contactsync.Email{"ada@old.example.com"}, "42")
	b.file = "contacts:\n- {name: Ada, email: ada@example.com, previously: ada@old.example.com}\n"
	run := b.sync(t)
	wantStatus(t, run, contactsync.StatusSucceeded)
	got := change(t, run, "ada@example.com")
	if got.Action != contactsync.ActionRename || got.WasEmail != "ada@old.example.com" || got.Person != ada.ID {
		t.Errorf("change = %+v", got)
	}
	if ada.Primary() != "ada@example.com" {
		t.Errorf("primary = %s", ada.Primary())
	}
	wantStatus(t, b.sync(t), contactsync.StatusUnchanged)
}

// A change of address that a dead process left halfway, the new address beside the former one, is finished.
func TestPreviouslyHalfway(t *testing.T) {
	b := newBench()
	b.desk.lazy = true
	ada := b.desk.put("Ada", []contactsync.Email{"ada@old.example.com", "ada@example.com"}, "42")
	b.file = "contacts:\n- {name: Ada, email: ada@example.com, previously: ada@old.example.com}\n"
	wantStatus(t, b.sync(t), contactsync.StatusSucceeded)
	if ada.Primary() != "ada@example.com" {
		t.Errorf("primary = %s", ada.Primary())
	}
	wantStatus(t, b.sync(t), contactsync.StatusUnchanged)
}

// A customer cannot give a person who also belongs to another organization a new address or name.
func TestSharedMembersAreNotRenamed(t *testing.T) {
	b := newBench()
	b.desk.lazy = true
	eve := b.desk.put("Eve", []contactsync.Email{"eve@example.com"}, "42", "99")
	b.file = "contacts:\n- {name: Mine, email: mine@example.com, previously: eve@example.com}\n"
	run := b.sync(t)
	wantStatus(t, run, contactsync.StatusPartial)
	if len(run.Conflicts) != 1 || run.Conflicts[0].Error != contactsync.ClassContactElsewhere {
		t.Errorf("conflicts = %+v", run.Conflicts)
	}
	if got := change(t, run, "eve@example.com"); got.Result != contactsync.ResultSkipped {
		t.Errorf("change = %+v", got)
	}
	b.file = "- {name: Mallory, email: eve@example.com}\n"
	wantStatus(t, b.sync(t), contactsync.StatusUnchanged)
	if b.desk.touched[eve.ID] {
		t.Error("the person was touched")
	}
}

// A member leaves only once the new address that replaces theirs is in.
func TestReplacedMemberStaysUntilTheNewAddressIsIn(t *testing.T) {
	b := newBench()
	b.desk.put("Ada", []contactsync.Email{"ada@old.example.com"}, "42")
	b.desk.put("Ada New", []contactsync.Email{"ada@example.com"})
	b.file = "contacts:\n- {name: Ada New, email: ada@example.com, previously: ada@old.example.com}\n- {name: Bob, email: bob@example.com}\n"
	b.desk.refuse["ada@example.com"] = contactsync.Errorf(contactsync.ClassSyncFailed, "refused")
	run := b.sync(t)
	wantStatus(t, run, contactsync.StatusPartial)
	if got := b.desk.membersOf("42"); !slices.Equal(got, []contactsync.Email{"ada@old.example.com", "bob@example.com"}) {
		t.Errorf("members = %v", got)
	}
	delete(b.desk.refuse, "ada@example.com")
	wantStatus(t, b.sync(t), contactsync.StatusSucceeded)
	if got := b.desk.membersOf("42"); !slices.Equal(got, []contactsync.Email{"ada@example.com", "bob@example.com"}) {
		t.Errorf("members = %v", got)
	}
}

// A contact's last day counts, the day after does not.
func TestExpires(t *testing.T) {
	b := newBench()
	b.file = "contacts:\n- {name: A, email: a@example.com}\n- {name: B, email: b@example.com, expires: 2026-11-21}\n"
	wantStatus(t, b.sync(t), contactsync.StatusSucceeded)
	b.now = now.AddDate(0, 0, 1)
	run := b.sync(t)
	wantStatus(t, run, contactsync.StatusSucceeded)
	if got := change(t, run, "b@example.com"); got.Action != contactsync.ActionRemove {
		t.Errorf("change = %+v", got)
	}
}

// One contact that the desk refuses never blocks the others; only when all are refused has the run failed.
func TestRefusals(t *testing.T) {
	refusal := &contactsync.Error{Class: contactsync.ClassSyncFailed, Detail: "the desk says no", Who: contactsync.WhoCustomer, Retry: contactsync.RetryOnCommit}
	tests := []struct {
		name   string
		refuse []contactsync.Email
		list   []contactsync.Email
		status contactsync.Status
		class  contactsync.Class
	}{
		{"one of several", []contactsync.Email{"new@example.com"}, []contactsync.Email{"member000@example.com", "new@example.com"}, contactsync.StatusPartial, ""},
		{"all", []contactsync.Email{"new@example.com", "member001@example.com"}, []contactsync.Email{"member000@example.com", "new@example.com"}, contactsync.StatusFailed, contactsync.ClassSyncFailed},
		{"removals only", []contactsync.Email{"member001@example.com"}, []contactsync.Email{"member000@example.com"}, contactsync.StatusFailed, contactsync.ClassRemovalFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench()
			b.members(2)
			b.list(tt.list...)
			for _, address := range tt.refuse {
				b.desk.refuse[address] = refusal
			}
			run := b.sync(t)
			wantStatus(t, run, tt.status)
			if tt.class == "" {
				return
			}
			if run.Error.Class != tt.class || run.Error.Retry != contactsync.RetryOnCommit || run.Error.Who != contactsync.WhoCustomer {
				t.Errorf("error = %+v", run.Error)
			}
		})
	}
}

// An addition that cannot be proved by reading stops the run before any removal.
func TestUnprovenAdditionsStopRemovals(t *testing.T) {
	b := newBench()
	members := b.members(2)
	b.list(members[0], "new@example.com")
	b.desk.failPresent = contactsync.Errorf(contactsync.ClassDeskUnreadable, "not now")
	run := b.sync(t)
	wantStatus(t, run, contactsync.StatusFailed)
	if run.Error.Class != contactsync.ClassDeskUnreadable {
		t.Errorf("class = %s", run.Error.Class)
	}
	if !slices.Contains(b.desk.membersOf("42"), members[1]) {
		t.Error("somebody was removed")
	}
	if got := change(t, run, "new@example.com"); got.Result != contactsync.ResultFailed || run.Summary.Create != 0 {
		t.Errorf("an unproven change counts as made: %+v, %+v", got, run.Summary)
	}
	b.desk.failPresent, b.desk.denyPresent = nil, true
	b.list(members[0], "other@example.com")
	run = b.sync(t)
	if got := change(t, run, "other@example.com"); got.Result != contactsync.ResultFailed || got.Error != contactsync.ClassSyncFailed {
		t.Errorf("change = %+v", got)
	}
}

// A run that lost its lease writes nothing more, and its history says so.
func TestLostLease(t *testing.T) {
	b := newBench()
	b.list(append(b.members(2)[:1], "new@example.com")...)
	lost := contactsync.Errorf(contactsync.ClassInternal, "another run has taken over project 7")
	b.store.fence = func(context.Context) error { return lost }
	run := b.sync(t)
	wantStatus(t, run, contactsync.StatusFailed)
	if len(b.desk.writes) != 0 || !strings.Contains(run.Error.Detail, "taken over") {
		t.Errorf("writes %v, error %+v", b.desk.writes, run.Error)
	}
}

// What a run is about to write is in the history before the first write; without it nothing is written.
func TestIntentComesBeforeWrites(t *testing.T) {
	b := newBench()
	b.list("new@example.com")
	b.store.failPlan = errors.New("disk full")
	run := b.sync(t)
	wantStatus(t, run, contactsync.StatusFailed)
	if len(b.desk.writes) != 0 {
		t.Errorf("written: %v", b.desk.writes)
	}
	b.store.failPlan = nil
	wantStatus(t, b.sync(t), contactsync.StatusSucceeded)
	planned := b.store.planned[len(b.store.planned)-1]
	if len(planned.Changes) != 1 || planned.Changes[0].Result != contactsync.ResultPlanned || planned.Commit == "" || planned.Committer == "" {
		t.Errorf("intent = %+v", planned)
	}
}

// A list of members that lacks somebody whose own record names the organization is not believed.
func TestMembersThatContradictARecord(t *testing.T) {
	b := newBench()
	members := b.members(6)
	b.list(members...)
	b.desk.lost = map[string]bool{b.desk.holder(members[3]).ID: true}
	run := b.sync(t)
	wantStatus(t, run, contactsync.StatusFailed)
	if run.Error.Class != contactsync.ClassDeskUnreadable || len(b.desk.writes) != 0 {
		t.Errorf("error %+v, writes %v", run.Error, b.desk.writes)
	}
}

// A removal that cannot be proved is not recorded as done.
func TestUnprovenRemoval(t *testing.T) {
	b := newBench()
	members := b.members(4)
	b.list(members[1:]...)
	b.desk.failPresent = contactsync.Errorf(contactsync.ClassDeskUnreadable, "not now")
	run := b.sync(t)
	wantStatus(t, run, contactsync.StatusFailed)
	if got := change(t, run, members[0]); got.Result != contactsync.ResultFailed || run.Summary.Remove != 0 || run.Summary.Failed != 1 {
		t.Errorf("change %+v, summary %+v", got, run.Summary)
	}
}

// A cancelled run is named as what it is: nobody's defect, whether a step tells that it was cancelled or why.
func TestCancelled(t *testing.T) {
	why := errors.New("the process is to end")
	for _, err := range []error{context.Canceled, fmt.Errorf("reading: %w", why)} {
		b := newBench()
		b.list("new@example.com")
		ctx, cancel := context.WithCancelCause(t.Context())
		b.desk.failMembers = err
		cancel(why)
		run := b.pipeline().Sync(ctx, "7", contactsync.TriggerCommand)
		wantStatus(t, run, contactsync.StatusFailed)
		if run.Error.Who != contactsync.WhoNobody || run.Error.Retry != contactsync.RetrySoon || !strings.Contains(run.Error.Detail, why.Error()) {
			t.Errorf("error = %+v", run.Error)
		}
	}
}

// Members that a contacts file cannot list stay, and do not disturb.
func TestUnlistableMembersStay(t *testing.T) {
	b := newBench()
	b.list(b.members(1)...)
	b.desk.put("Phone only", nil, "42")
	b.desk.put("Intranet", []contactsync.Email{"ops@localhost"}, "42")
	run := b.sync(t)
	wantStatus(t, run, contactsync.StatusUnchanged)
	if len(run.Changes) != 2 || len(b.desk.writes) != 0 {
		t.Errorf("changes %+v, writes %v", run.Changes, b.desk.writes)
	}
}

// An export, synced back, changes nothing, whatever names and addresses the desk holds.
func TestExportSyncsToNoChange(t *testing.T) {
	b := newBench()
	b.desk.put("No", []contactsync.Email{"a@example.com"}, "42")
	b.desk.put(" spaced ", []contactsync.Email{"b@example.com"}, "42")
	b.desk.put("tab\there", []contactsync.Email{"c@example.com"}, "42")
	b.desk.put(strings.Repeat("x", 300), []contactsync.Email{"d@example.com"}, "42")
	b.desk.put("", []contactsync.Email{"e@localhost", "e@example.com"}, "42")
	b.desk.put("Phone only", nil, "42")
	b.desk.put("Agent", []contactsync.Email{"agent@example.com"}, "42").Role = contactsync.RoleAgent
	members, err := b.desk.Members(t.Context(), contactsync.Organization{ID: "42"})
	if err != nil {
		t.Fatal(err)
	}
	content, err := contacts.Render(sync.Export(members))
	if err != nil {
		t.Fatal(err)
	}
	b.file = string(content)
	run := b.sync(t)
	wantStatus(t, run, contactsync.StatusUnchanged)
	if len(b.desk.writes) != 0 {
		t.Errorf("written: %v", b.desk.writes)
	}
}
