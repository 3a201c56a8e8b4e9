package zendesk_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"contactsync"
	fake "contactsync/internal/fakes/zendesk"
)

// crowded adds organizations with as many people each, changed one second after the other, and returns the truth.
func (w *world) crowded(organizations, people int) map[string]int {
	want := map[string]int{}
	for i := range organizations {
		id := w.Server.AddOrganization(fake.Organization{Name: fmt.Sprintf("Organization %d", i)})
		want[fmt.Sprint(id)] = people
		for n := range people {
			w.AddUser(fake.User{Name: "Somebody", Email: fmt.Sprintf("person%d@org%d.example.com", n, i), Organizations: []int64{id}})
		}
	}
	wantNoError(w.t, w.clock.Wait(w.t.Context(), time.Hour))
	return want
}

// Where people belong to one organization, counting costs a request for a thousand of them and four more: the token,
// the settings, and the end once more; else one for a hundred memberships. Two million contacts thus cost 2,003.
func TestRequestsOfCounting(t *testing.T) {
	for _, test := range []struct {
		name      string
		configure func(*fake.Settings)
		people    int // of each of 25 organizations
		want      int
	}{
		{"export", func(*fake.Settings) {}, 210, 2 + 6 + 1},
		{"export that ends with a full page", func(*fake.Settings) {}, 200, 2 + 5 + 1 + 1},
		{"no administrator", func(s *fake.Settings) { s.AdminAccess = false }, 210, 2 + 1 + 53},
		{"several organizations", func(s *fake.Settings) { s.MultipleOrganizations = true }, 210, 2 + 53},
		{"more than offsets reach", func(s *fake.Settings) { s.MultipleOrganizations = true }, 410, 2 + 1 + 103},
		{"cursors alone", func(s *fake.Settings) { s.MultipleOrganizations, s.OffsetPaging = true, false }, 200, 2 + 1 + 50 + 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Configure(test.configure)
			want := w.crowded(25, test.people)
			desk := w.desk()
			n := w.counted(func(ctx context.Context) {
				counts, err := desk.MemberCounts(ctx)
				wantNoError(t, err)
				if !maps.Equal(counts, want) {
					t.Errorf("counts %v, want %v", counts, want)
				}
			})
			if n != test.want {
				t.Errorf("%d requests, want %d:\n%s", n, test.want, w.log())
			}
			w.clean()
		})
	}
}

// Agents, people without an organization and deleted ones are no contacts; suspended people are.
func TestMemberCountsByRole(t *testing.T) {
	w := newWorld(t)
	for _, u := range []fake.User{
		{Email: "a@example.com"}, {Email: "b@example.com", Suspended: true}, {Email: "c@example.com", Role: "agent"},
		{Email: "d@example.com", CustomRole: 7}, {Email: "e@example.com", Role: "admin"}, {Email: "f@example.com", Inactive: true},
	} {
		u.Organizations = []int64{w.orgID}
		w.AddUser(u)
	}
	w.AddUser(fake.User{Email: "g@example.com"})
	counts, err := w.desk().MemberCounts(t.Context())
	wantNoError(t, err)
	if want := map[string]int{w.org.ID: 2}; !maps.Equal(counts, want) {
		t.Errorf("counts %v, want %v", counts, want)
	}
}

// Whoever changes while everybody is read counts once, whether they had been read before or not.
func TestMemberCountsOfTheRestless(t *testing.T) {
	w := newWorld(t)
	want := w.crowded(6, 250)
	pages := 0
	w.Configure(func(s *fake.Settings) {
		s.Latency = func(r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, "/incremental/users/cursor") {
				return
			}
			if pages++; pages == 2 { // a thousand have been read
				everybody := w.Users()
				for _, u := range slices.Concat(everybody[:300], everybody[1100:1300]) {
					w.UpdateUser(u.ID, func(u *fake.User) { u.Name += "!" })
				}
				w.UpdateUser(everybody[1400].ID, func(u *fake.User) { u.Inactive = true })
				want[fmt.Sprint(everybody[1400].Organizations[0])]--
			}
		}
	})
	desk := w.desk()
	n := w.counted(func(ctx context.Context) {
		counts, err := desk.MemberCounts(contactsync.InBackground(ctx))
		wantNoError(t, err)
		if !maps.Equal(counts, want) {
			t.Errorf("counts %v, want %v", counts, want)
		}
	})
	if n != 5 { // token, settings, two pages, and one with those who changed
		t.Errorf("%d requests, want 5:\n%s", n, w.log())
	}
}

// While people are counted for hours, whoever looks for an organization is not kept waiting for the export.
func TestCountingLeavesExportsToOthers(t *testing.T) {
	w := newWorld(t)
	w.crowded(7, 1000)
	desk := w.desk()
	looked := false
	w.clock.onWait = func() {
		if looked {
			return
		}
		looked = true
		late := w.Server.AddOrganization(fake.Organization{Name: "Late", Fields: map[string]any{"cmp_id": "815"}})
		before := w.clock.Waited()
		w.clock.onWait = nil
		org, err := desk.Organization(t.Context(), 815)
		if err != nil || org.ID != fmt.Sprint(late) || w.clock.Waited()-before > 10*time.Second {
			t.Errorf("Organization = %+v, %v after %s", org, err, w.clock.Waited()-before)
		}
	}
	_, err := desk.MemberCounts(t.Context())
	wantNoError(t, err)
	if !looked {
		t.Error("counting did not wait for its share of the exports")
	}
	w.clean()
}
