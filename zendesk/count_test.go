package zendesk_test

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
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

// All links of ten thousand organizations cost a request for a thousand and three more: the token, a page because each
// begins with the row that the last one ended with, and the end of the export once more. With two pages of members for
// each organization, a sweep of two million contacts stays at 20,000 requests and at most 100.
func TestRequestsOfASweep(t *testing.T) {
	const organizations, sample = 10_000, 5
	for _, test := range []struct {
		name  string
		admin bool
		want  int
	}{{"administrator", true, 13}, {"no administrator", false, 102}} { // token, refused export, a page for a hundred
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			w.Configure(func(s *fake.Settings) { s.AdminAccess = test.admin })
			w.linked(organizations - 1)
			for i := range sample * 200 {
				address := fmt.Sprintf("member%d@example.com", i)
				w.AddUser(fake.User{Name: address, Email: address, Organizations: []int64{w.OrganizationIDs()[2*(i%sample)]}})
			}
			desk := w.desk()
			var links []contactsync.LinkedOrganization
			var err error
			n := w.counted(func(ctx context.Context) { links, err = desk.Links(contactsync.InBackground(ctx)) })
			wantNoError(t, err)
			if n != test.want || len(links) != organizations/2+1 {
				t.Errorf("%d links for %d requests, want %d:\n%s", len(links), n, test.want, w.log())
			}
			pages := w.counted(func(ctx context.Context) {
				for _, id := range w.OrganizationIDs()[:2*sample] {
					members, err := desk.Members(ctx, contactsync.Organization{ID: strconv.FormatInt(id, 10)})
					wantNoError(t, err)
					if len(members) != 0 && len(members) != 200 {
						t.Errorf("%d members", len(members))
					}
				}
			})
			if empty := 2 * sample; pages != 2*sample+empty { // an empty list is looked at twice
				t.Errorf("%d requests for the members:\n%s", pages, w.log())
			}
			if total := n + 2*organizations; test.admin && total > 20_100 {
				t.Errorf("a sweep costs %d requests", total)
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
	const others = 9 // pages, after the first
	var arrived atomic.Int32
	all := make(chan struct{})
	w := newWorld(t)
	w.addMembers(1000)
	w.Configure(func(s *fake.Settings) {
		s.Latency = func(r *http.Request) {
			if page := r.URL.Query().Get("page"); page == "" || page == "1" {
				return
			}
			if arrived.Add(1) == others {
				close(all)
			}
			select {
			case <-all: // nobody is answered before everybody has asked
			case <-r.Context().Done():
			}
		}
	})
	if n := len(readAll(t, t.Context(), w.desk())); n != 1000 {
		t.Errorf("%d members", n)
	}
}

// BenchmarkLatency reads 1,000 members from a process that knows nothing, with 50 ms of latency in every request:
// 13 requests in five round trips.
func BenchmarkLatency(b *testing.B) {
	w := newWorld(b)
	w.addMembers(1000)
	w.Configure(func(s *fake.Settings) {
		s.Latency = func(r *http.Request) {
			timer := time.NewTimer(50 * time.Millisecond)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-r.Context().Done():
			}
		}
	})
	for b.Loop() {
		readAll(b, context.Background(), w.desk())
	}
}
