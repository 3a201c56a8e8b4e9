package sync_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"contactsync"
	fake "contactsync/internal/fakes/zendesk"
	"contactsync/sync"
	"contactsync/zendesk"
)

// example is what the bulk reading says of project 7.
var example = contactsync.Organization{ID: "42", Name: "Example"}

func (b *bench) resync(t testing.TB) (contactsync.Run, sync.Loss) {
	t.Helper()
	return b.pipeline().Resync(t.Context(), "7", example)
}

// wantBaseline checks that what the next run knows is who the members are.
func (b *bench) wantBaseline(t testing.TB) {
	t.Helper()
	got := slices.Sorted(slices.Values(b.store.baselines["42"].Members))
	var want []string
	for id, p := range b.desk.people {
		if p.orgs["42"] {
			want = append(want, id)
		}
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("baseline = %v, the members are %v", got, want)
	}
}

// A project that needs nothing is done with what the bulk reading said, and counts with its members.
func TestResyncOfAnUnchangedProject(t *testing.T) {
	b := newBench()
	b.list(b.members(5)...)
	b.desk.put("Agent", []contactsync.Email{"agent@example.com"}, "42").Role = contactsync.RoleAgent
	run, loss := b.resync(t)
	wantStatus(t, run, contactsync.StatusUnchanged)
	if run.Trigger != contactsync.TriggerSchedule || loss != (sync.Loss{Members: 6}) {
		t.Errorf("trigger %s, loss %+v", run.Trigger, loss)
	}
	if b.desk.resolved != 0 || len(b.store.runs) != 1 {
		t.Errorf("the organization was looked up %d times; history %+v", b.desk.resolved, b.store.runs)
	}
	b.wantBaseline(t)
}

// In the first half of a sweep nobody is removed: everything else goes on, what waits is counted, and an ordinary run
// makes it when the sweep has passed.
func TestResyncPutsRemovalsBack(t *testing.T) {
	b := newBench()
	members := b.members(10)
	b.list(append(members[3:], "new@example.com")...)
	b.file += "- {name: Another Name, email: member002@example.com}\n"
	run, loss := b.resync(t)
	wantStatus(t, run, contactsync.StatusHeld)
	if want := (contactsync.Summary{Create: 1, Rename: 1, Unchanged: 7, Held: 2}); run.Summary != want || loss != (sync.Loss{Members: 10, Removals: 2}) {
		t.Errorf("loss %+v, summary %+v", loss, run.Summary)
	}
	if got := change(t, run, members[0]); got.Error != contactsync.ClassRemovalsHeld || !strings.Contains(got.Detail, "the whole sweep") {
		t.Errorf("removal = %+v", got)
	}
	if b.desk.resolved != 1 {
		t.Errorf("the organization was looked up %d times before writing, want once", b.desk.resolved)
	}
	b.wantBaseline(t)
	after := b.pipeline().Sync(t.Context(), "7", contactsync.TriggerSchedule)
	wantStatus(t, after, contactsync.StatusSucceeded)
	if after.Summary.Remove != 2 {
		t.Errorf("summary = %+v", after.Summary)
	}
}

// Removals that the organization's own guard holds do not count: they threaten nobody. With an approval they count, and
// wait all the same, and the approval is still there for the run that makes them.
func TestResyncAndApprovals(t *testing.T) {
	b := newBench()
	members := b.members(10)
	b.list(members[:5]...)
	run, loss := b.resync(t)
	wantStatus(t, run, contactsync.StatusHeld)
	if loss.Removals != 0 || run.Summary.Held != 5 {
		t.Errorf("loss %+v, summary %+v", loss, run.Summary)
	}
	b.store.approvals = []contactsync.Approval{{Digest: run.Digest}}
	for _, c := range run.Changes {
		b.store.approvals[0].Changes = append(b.store.approvals[0].Changes, c.Key())
	}
	run, loss = b.resync(t)
	wantStatus(t, run, contactsync.StatusHeld)
	if loss.Removals != 5 || len(b.store.approvals) != 1 {
		t.Errorf("loss %+v, approvals %+v", loss, b.store.approvals)
	}
	if got := len(b.desk.membersOf("42")); got != 10 {
		t.Fatalf("members = %d", got)
	}
	b.wantBaseline(t)
	wantStatus(t, b.pipeline().Sync(t.Context(), "7", contactsync.TriggerSchedule), contactsync.StatusSucceeded)
	if got := len(b.desk.membersOf("42")); got != 5 || len(b.store.approvals) != 0 {
		t.Errorf("members = %d, approvals %+v", got, b.store.approvals)
	}
}

// A link that changed after the bulk reading is never acted on: the run is done for the organization that carries the
// project now, or fails as an ordinary one would.
func TestResyncOfAChangedLink(t *testing.T) {
	moved := contactsync.Organization{ID: "43", Name: "Moved"}
	tests := []struct {
		name   string
		change func(*bench)
		class  contactsync.Class // of the failure, if it is one
		org    *contactsync.Organization
	}{
		{"moved", func(b *bench) { b.desk.orgs[7] = moved }, "", &moved},
		{"moved, and the file says so", func(b *bench) {
			b.desk.orgs[7] = moved
			b.file = "organization: 43\ncontacts:\n" + b.file
		}, "", &moved},
		{"gone", func(b *bench) { delete(b.desk.orgs, 7) }, contactsync.ClassNoOrgFound, nil},
		{"the same, and another organization's file", func(b *bench) {
			b.file = "organization: 43\ncontacts:\n" + b.file
		}, contactsync.ClassOrganizationMismatch, &example},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench()
			members := b.members(6)
			b.list("new@example.com", "known@example.com")
			b.desk.put("Known", []contactsync.Email{"known@example.com"}, "43")
			b.desk.put("Other", []contactsync.Email{"other@example.com"}, "43")
			tt.change(b)
			run, loss := b.resync(t)
			if tt.class == "" {
				wantStatus(t, run, contactsync.StatusHeld)
				want := contactsync.Summary{Create: 1, Unchanged: 1, Held: 1}
				if run.Summary != want || loss != (sync.Loss{Members: 2, Removals: 1}) || len(b.desk.membersOf("43")) != 3 {
					t.Errorf("summary %+v, loss %+v, members %v", run.Summary, loss, b.desk.membersOf("43"))
				}
			} else {
				wantStatus(t, run, contactsync.StatusFailed)
				if run.Error.Class != tt.class || loss != (sync.Loss{}) || len(b.desk.writes) != 0 {
					t.Errorf("error %+v, loss %+v, writes %v", run.Error, loss, b.desk.writes)
				}
			}
			if (run.Organization == nil) != (tt.org == nil) || tt.org != nil && *run.Organization != *tt.org {
				t.Errorf("organization %+v, want %+v", run.Organization, tt.org)
			}
			if got := b.desk.membersOf("42"); !slices.Equal(got, members) {
				t.Errorf("members of the old organization: %v", got)
			}
		})
	}
}

// For any file and any desk: the first half of a sweep removes nobody, tells what it left, spoils nothing that the
// next run knows, and that run ends where it would have ended without the sweep.
func TestResyncProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		run, loss := w.resync(t)
		if run.Status == contactsync.StatusFailed {
			rt.Fatalf("failed: %+v", run.Error)
		}
		put := 0
		for _, c := range run.Changes {
			if c.Action == contactsync.ActionRemove && c.Result == contactsync.ResultHeld && strings.Contains(c.Detail, "sweep") {
				put++
			}
		}
		if run.Summary.Remove != 0 || loss.Removals != put {
			rt.Fatalf("loss %+v, put back %d, summary %+v", loss, put, run.Summary)
		}
		for id, orgs := range w.before {
			if slices.Contains(orgs, "42") && !w.desk.people[id].orgs["42"] {
				rt.Fatalf("person %s was removed", id)
			}
			if w.protected[id] && w.desk.touched[id] {
				rt.Errorf("protected person %s was touched", id)
			}
		}
		if made(run) > 0 && w.desk.resolved != 1 || len(run.Changes)+len(run.Conflicts) == 0 && w.desk.resolved != 0 {
			rt.Errorf("the organization was looked up %d times for %+v", w.desk.resolved, run.Summary)
		}
		after := w.sync(t)
		if after.Summary.Held > 0 {
			after = w.pipeline().Approve(t.Context(), "7", after.Digest, "ops")
		}
		if after.Status == contactsync.StatusFailed || after.Summary.Held > 0 {
			rt.Fatalf("afterwards: %s %+v %+v", after.Status, after.Error, after.Summary)
		}
		writes := len(w.desk.writes)
		if again, loss := w.resync(t); made(again) != 0 || loss.Removals != 0 || len(w.desk.writes) != writes {
			rt.Fatalf("the next sweep finds %+v", again)
		}
	})
}

// A sweep costs two requests for each organization of up to two hundred contacts that needs nothing, once the process
// has signed in: its pages of members, and nothing else.
func TestRequestsOfAResync(t *testing.T) {
	account := fake.New(fake.Options{ClientID: "contacts", ClientSecret: "not a secret"})
	server := httptest.NewServer(account)
	t.Cleanup(server.Close)
	desk, err := zendesk.New(zendesk.Options{URL: server.URL, ClientID: "contacts", ClientSecret: "not a secret"})
	if err != nil {
		t.Fatal(err)
	}
	b := newBench()
	id := account.AddOrganization(fake.Organization{Name: "Example", Fields: map[string]any{"cmp_id": "7"}})
	var addresses []contactsync.Email
	for i := range 200 {
		address := fmt.Sprintf("member%03d@example.com", i)
		account.AddUser(fake.User{Name: address, Email: address, Organizations: []int64{id}})
		addresses = append(addresses, contactsync.Email(address))
	}
	b.list(addresses...)
	pipeline := b.pipeline()
	pipeline.Desk = desk
	org := contactsync.Organization{ID: strconv.FormatInt(id, 10), Name: "Example"}
	ctx := contactsync.InBackground(t.Context())
	if run, _ := pipeline.Resync(ctx, "7", org); run.Status != contactsync.StatusUnchanged {
		t.Fatalf("%s %+v %+v", run.Status, run.Error, run.Changes)
	}
	account.ResetRequests()
	run, loss := pipeline.Resync(ctx, "7", org)
	wantStatus(t, run, contactsync.StatusUnchanged)
	if loss != (sync.Loss{Members: 200}) {
		t.Errorf("loss %+v", loss)
	}
	if got := account.Requests(); len(got) != 2 || run.Requests.Desk != 2 {
		t.Errorf("%d requests, %d counted: %+v", len(got), run.Requests.Desk, got)
	}
}

// steps remembers what it saw.
type steps struct{ seen []string }

func (s *steps) Step(name string)  { s.seen = append(s.seen, name) }
func (s *steps) Progress(int, int) {}

// Runs that make their way side by side have a watcher each, and nobody watches the pipeline that they were made from.
func TestWatched(t *testing.T) {
	b := newBench()
	b.list("new@example.com")
	pipeline := b.pipeline()
	var one, other steps
	pipeline.Watched(&one).Sync(context.Background(), "7", contactsync.TriggerHook)
	if len(one.seen) == 0 || pipeline.Observer != nil {
		t.Errorf("seen %v; the pipeline's own observer is %v", one.seen, pipeline.Observer)
	}
	pipeline.Watched(&other).Plan(context.Background(), "7")
	if len(other.seen) == 0 || slices.Equal(one.seen, other.seen) {
		t.Errorf("one saw %v, the other %v", one.seen, other.seen)
	}
}
