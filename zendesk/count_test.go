package zendesk_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"contactsync"
	fake "contactsync/internal/fakes/zendesk"
	"contactsync/zendesk"
)

// readAll is what a run that finds nothing to do asks of a desk.
func readAll(t testing.TB, ctx context.Context, desk *zendesk.Desk) []contactsync.Member {
	t.Helper()
	org, err := desk.Organization(ctx, project)
	wantNoError(t, err)
	members, err := desk.Members(ctx, org)
	wantNoError(t, err)
	return members
}

// A run without changes costs as few requests as the desk's documentation allows, from a process that knows nothing.
func TestRequestsOfARunWithoutChanges(t *testing.T) {
	for members, want := range map[int]int{1: 4, 1000: 13, 5000: 53} {
		t.Run(fmt.Sprint(members), func(t *testing.T) {
			w := newWorld(t)
			w.addMembers(members)
			desk := w.desk()
			var got []contactsync.Member
			n := w.counted(func(ctx context.Context) { got = readAll(t, ctx, desk) })
			if len(got) != members {
				t.Errorf("%d members, want %d", len(got), members)
			}
			if n != want {
				t.Errorf("%d requests, want %d:\n%s", n, want, w.log())
			}
			w.clean()
		})
	}
}

// A run that adds 50 people, of whom 20 are new, to 200 members and removes 10 stays within the budget of the
// project, whether the account allows bulk imports or not.
func TestRequestsOfARunWithChanges(t *testing.T) {
	for _, test := range []struct {
		name string
		bulk bool
		want int
	}{{"bulk on", true, 16}, {"bulk off", false, 36}} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.Configure(func(s *fake.Settings) { s.BulkImport = test.bulk })
			w.addMembers(200)
			var wanted []contactsync.Email
			for i := range 30 {
				address := fmt.Sprintf("known%d@example.com", i)
				w.addPerson(fake.User{Name: address, Email: address})
				wanted = append(wanted, contactsync.Email(address))
			}
			for i := range 20 {
				wanted = append(wanted, contactsync.Email(fmt.Sprintf("new%d@example.com", i)))
			}
			desk := w.desk()
			n := w.counted(func(ctx context.Context) { syncOnce(t, ctx, desk, wanted, 10) })
			if n != test.want {
				t.Errorf("%d requests, want %d:\n%s", n, test.want, w.log())
			}
			if got := len(w.MembersOf(w.orgID)); got != 240 {
				t.Errorf("%d members afterwards, want 240", got)
			}
			w.clean()
		})
	}
}

// syncOnce does what a run does: reads, adds the wanted, removes the first few members, and proves both.
func syncOnce(t testing.TB, ctx context.Context, desk *zendesk.Desk, wanted []contactsync.Email, remove int) {
	t.Helper()
	org, err := desk.Organization(ctx, project)
	wantNoError(t, err)
	members, err := desk.Members(ctx, org)
	wantNoError(t, err)
	leaving, err := desk.Addresses(ctx, org, members[:remove])
	wantNoError(t, err)
	people, err := desk.People(ctx, org, wanted)
	wantNoError(t, err)

	additions := make([]contactsync.Addition, len(wanted))
	for i, address := range wanted {
		additions[i].Contact = contact(string(address))
		for _, p := range people {
			if p.Has(address) {
				additions[i].Person = p.ID
			}
		}
	}
	outcomes, err := desk.Add(ctx, org, additions)
	wantDone(t, outcomes, err)
	proveAll(t, ctx, desk, org, outcomes, len(members), true)
	outcomes, err = desk.Remove(ctx, org, leaving)
	wantDone(t, outcomes, err)
	proveAll(t, ctx, desk, org, outcomes, len(members), false)
}

func proveAll(t testing.TB, ctx context.Context, desk *zendesk.Desk, org contactsync.Organization, outcomes []contactsync.Outcome, members int, want bool) {
	t.Helper()
	var people []string
	for _, o := range outcomes {
		people = append(people, o.Person)
	}
	present, err := desk.Present(ctx, org, people, members)
	wantNoError(t, err)
	for _, p := range people {
		if present[p] != want {
			t.Errorf("person %s: present = %v, want %v", p, present[p], want)
		}
	}
}

// Independent requests travel side by side: the pages of a list wait for the first one alone.
func TestPagesAreReadSideBySide(t *testing.T) {
	const latency = 50 * time.Millisecond
	w := newWorld(t)
	w.addMembers(1000)
	var flying, most atomic.Int32
	w.Configure(func(s *fake.Settings) {
		s.Latency = func(r *http.Request) {
			n := flying.Add(1)
			for seen := most.Load(); n > seen && !most.CompareAndSwap(seen, n); seen = most.Load() {
			}
			timer := time.NewTimer(latency)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-r.Context().Done():
			}
			flying.Add(-1)
		}
	})
	started := time.Now()
	n := w.counted(func(ctx context.Context) { readAll(t, ctx, w.desk()) })
	took := time.Since(started)
	t.Logf("%d requests of %v each took %v", n, latency, took)
	if most.Load() < 9 {
		t.Errorf("at most %d requests at a time, want the 9 pages after the first", most.Load())
	}
	if limit := time.Duration(n) * latency; took > limit {
		t.Errorf("took %v, one after the other they would have taken %v", took, limit)
	}
}
