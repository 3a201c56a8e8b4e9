package zendesk_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"contactsync"
	fake "contactsync/internal/fakes/zendesk"
	"contactsync/zendesk"
)

// The search index matches words inside of texts and knows numbers and texts alike: only the exact number counts.
func TestOrganizationIsComparedExactly(t *testing.T) {
	for _, test := range []struct {
		value any
		found bool
	}{
		{"815", true}, {815, true}, {" 815 ", true},
		{"815 816", false}, {"0815", false}, {"815.0", false}, {"-815", false}, {"", false}, {nil, false}, {8150, false}, {815.5, false},
	} {
		t.Run(fmt.Sprint(test.value), func(t *testing.T) {
			w := newWorld(t)
			id := w.AddOrganization(fake.Organization{Name: "Other", Fields: map[string]any{"cmp_id": test.value}})
			w.Reindex()
			org, err := w.desk().Organization(t.Context(), 815)
			if !test.found {
				wantClass(t, err, contactsync.ClassNoOrgFound)
				return
			}
			wantNoError(t, err)
			if org.ID != strconv.FormatInt(id, 10) || org.Name != "Other" {
				t.Errorf("organization %+v", org)
			}
		})
	}
}

// What the index still says is not believed: the organization itself is read.
func TestOrganizationIsConfirmedByReading(t *testing.T) {
	w := newWorld(t)
	w.Configure(func(s *fake.Settings) { s.SearchLag = time.Hour })
	next := w.AddOrganization(fake.Organization{Name: "Next"})
	w.Reindex()
	w.SetField(w.orgID, "cmp_id", nil)
	w.SetField(next, "cmp_id", project)
	org, err := w.desk().Organization(t.Context(), project)
	wantNoError(t, err)
	if org.Name != "Next" {
		t.Errorf("organization %+v, which carried the number before", org)
	}
	w.DeleteOrganization(next)
	_, err = w.desk().Organization(t.Context(), project)
	wantClass(t, err, contactsync.ClassNoOrgFound)
}

// Several organizations with one number are all named, by id and name.
func TestTooManyOrganizationsAreNamed(t *testing.T) {
	w := newWorld(t)
	second := w.AddOrganization(fake.Organization{Name: "Second", Fields: map[string]any{"cmp_id": project}})
	w.Reindex()
	_, err := w.desk().Organization(t.Context(), project)
	wantClass(t, err, contactsync.ClassTooManyOrgs)
	for _, part := range []string{w.org.ID, `"Example"`, strconv.FormatInt(second, 10), `"Second"`} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not name %s", err, part)
		}
	}
}

// A link written a second ago is found although neither the index nor the export knows it yet, and by the next
// process without looking for it again.
func TestFreshLinkIsFound(t *testing.T) {
	for name, admin := range map[string]bool{"administrator": true, "no administrator": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Configure(func(s *fake.Settings) { s.SearchLag, s.AdminAccess = time.Hour, admin })
			for i := range 250 {
				w.AddOrganization(fake.Organization{Name: fmt.Sprintf("Organization %d", i), Fields: map[string]any{"cmp_id": 1000 + i}})
			}
			w.Reindex()
			wantNoError(t, w.clock.Wait(t.Context(), time.Hour))
			w.AddOrganization(fake.Organization{Name: "Fresh", Fields: map[string]any{"cmp_id": 815}})
			wantNoError(t, w.clock.Wait(t.Context(), time.Second))
			links := zendesk.MemoryLinks()
			remember := func(o *zendesk.Options) { o.Links = links }
			org, err := w.desk(remember).Organization(t.Context(), 815)
			wantNoError(t, err)
			if org.Name != "Fresh" {
				t.Errorf("organization %+v", org)
			}
			n := w.counted(func(ctx context.Context) { _, err = w.desk(remember).Organization(ctx, 815) })
			wantNoError(t, err)
			if n != 3 { // token, search, and beside it the remembered organization
				t.Errorf("%d requests for a remembered link, want 3:\n%s", n, w.log())
			}
			n = w.counted(func(ctx context.Context) { _, err = w.desk(remember).Organization(ctx, 1007) })
			wantNoError(t, err)
			if n != 3 {
				t.Errorf("%d requests for a link that was remembered by the way, want 3:\n%s", n, w.log())
			}
			w.clean()
		})
	}
}

// In a large account the whole list is not read for one link: the export finds it a minute later.
func TestFreshLinkInALargeAccount(t *testing.T) {
	w := newWorld(t)
	w.Configure(func(s *fake.Settings) { s.SearchLag = time.Hour })
	for i := range 10100 {
		w.AddOrganization(fake.Organization{Name: fmt.Sprintf("Organization %d", i)})
	}
	w.Reindex()
	wantNoError(t, w.clock.Wait(t.Context(), time.Hour))
	w.AddOrganization(fake.Organization{Name: "Fresh", Fields: map[string]any{"cmp_id": 815}})
	desk := w.desk()
	var err error
	n := w.counted(func(ctx context.Context) { _, err = desk.Organization(ctx, 815) })
	wantClass(t, err, contactsync.ClassNoOrgFound)
	if n > 15 { // token, search, eleven pages of export and what is left over, one page of the list
		t.Errorf("%d requests:\n%s", n, w.log())
	}
	if !strings.Contains(err.Error(), "last minutes") {
		t.Errorf("%v: does not say that a fresh link may be missing", err)
	}
	wantNoError(t, w.clock.Wait(t.Context(), 2*time.Minute))
	org, err := desk.Organization(t.Context(), 815)
	wantNoError(t, err)
	if org.Name != "Fresh" {
		t.Errorf("organization %+v", org)
	}
	w.clean()
}

// Many misses in a row stay within the account's limit for exports, by waiting; they do not read everything again.
func TestMissesAreBounded(t *testing.T) {
	w := newWorld(t)
	for i := range 1500 {
		w.AddOrganization(fake.Organization{Name: fmt.Sprintf("Organization %d", i)})
	}
	w.Reindex()
	wantNoError(t, w.clock.Wait(t.Context(), time.Hour))
	desk := w.desk()
	n := w.counted(func(ctx context.Context) {
		for i := range 20 {
			_, err := desk.Organization(ctx, int64(900000+i))
			wantClass(t, err, contactsync.ClassNoOrgFound)
		}
	})
	// Once everything: 2 pages of export, 16 of the list, now and again. Then a search and a small export each.
	if n > 20*3+3*18 {
		t.Errorf("%d requests for 20 misses", n)
	}
	w.clean()
}

// The first export of a very large account keeps to the pages a minute that the desk allows, by waiting.
func TestLongExportIsPaced(t *testing.T) {
	w := newWorld(t)
	w.Configure(func(s *fake.Settings) { s.SearchLag = 24 * time.Hour })
	for i := range 21_000 {
		w.AddOrganization(fake.Organization{Name: fmt.Sprintf("Organization %d", i), Fields: map[string]any{"cmp_id": 100_000 + i}})
		if i%1000 == 0 {
			wantNoError(t, w.clock.Wait(t.Context(), time.Second))
		}
	}
	wantNoError(t, w.clock.Wait(t.Context(), time.Hour))
	org, err := w.desk().Organization(t.Context(), 120_500)
	wantNoError(t, err)
	if org.Name != "Organization 20500" {
		t.Errorf("organization %+v", org)
	}
	w.clean()
}

// Links are those of all organizations that there are, as they are at the end: whatever was changed, deleted or added
// before the reading, in the minute that an export leaves out, or while it goes on.
func TestLinksAreWhole(t *testing.T) {
	for name, setup := range map[string]func(*fake.Settings){
		"administrator":    func(*fake.Settings) {},
		"no administrator": func(s *fake.Settings) { s.AdminAccess = false },
		"cursors alone":    func(s *fake.Settings) { s.AdminAccess, s.OffsetPaging = false, false },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Configure(setup)
			w.linked(2050)
			ids := w.OrganizationIDs()
			edit := func(i int, value any) { w.SetField(ids[i], "cmp_id", value) }
			w.DeleteOrganization(ids[1])
			edit(2, "815")
			edit(3, "007")
			wantNoError(t, w.clock.Wait(t.Context(), 10*time.Second))
			edit(4, "816") // too fresh for an export, which does not show the former state either
			w.Configure(func(s *fake.Settings) {
				var pages atomic.Int32
				s.Latency = func(r *http.Request) {
					if strings.HasSuffix(r.URL.Path, "/incremental/organizations") && pages.Add(1) == 2 {
						edit(5, nil) // it was on the first page
						edit(6, "817")
						edit(2049, "818") // it would be on the last one
					}
				}
			})
			desk := w.desk()
			links, err := desk.Links(t.Context())
			wantNoError(t, err)
			var got, want []string
			for _, l := range links {
				got = append(got, fmt.Sprint(l.Organization.ID, " ", l.Organization.Name, " ", l.Project))
			}
			for _, id := range w.OrganizationIDs() {
				o, _ := w.Organization(id)
				if carried := o.Fields["cmp_id"]; carried != nil && carried != "007" {
					want = append(want, fmt.Sprint(id, " ", o.Name, " ", carried))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%d links, want %d", len(got), len(want))
				for i := range min(len(got), len(want)) {
					if got[i] != want[i] {
						t.Errorf("the first difference: %q, want %q", got[i], want[i])
						break
					}
				}
			}
			w.clean()
		})
	}
}

// What Links read is remembered: the next lookup needs nothing more than to be sure. A reading from the beginning
// does not undo what is known to be read already.
func TestLinksAreRemembered(t *testing.T) {
	w := newWorld(t)
	w.Configure(func(s *fake.Settings) { s.SearchLag = 24 * time.Hour })
	w.linked(1500)
	links := zendesk.MemoryLinks()
	read := w.clock.Now().Add(-time.Minute)
	wantNoError(t, links.SaveLinks(t.Context(), nil, read))
	desk := w.desk(func(o *zendesk.Options) { o.Links = links })
	_, err := desk.Links(t.Context())
	wantNoError(t, err)
	if until, _ := links.LinksReadUntil(t.Context()); until.Before(read) {
		t.Errorf("read until %v, but it had been %v", until, read)
	}
	n := w.counted(func(ctx context.Context) { _, err = desk.Organization(ctx, 100_500) })
	wantNoError(t, err)
	if n != 2 {
		t.Errorf("%d requests for a link that was listed, want a search and the organization:\n%s", n, w.log())
	}
}

// An account without organizations has no links; one that only shows none, although it counts some, is not believed.
func TestNoLinksAtAll(t *testing.T) {
	for _, admin := range []bool{true, false} {
		w := newWorld(t)
		w.Configure(func(s *fake.Settings) { s.AdminAccess = admin })
		w.Inject(fake.Fault{Kind: fake.EmptyPage})
		links, err := w.desk().Links(t.Context())
		wantClass(t, err, contactsync.ClassDeskUnreadable)
		if links != nil {
			t.Errorf("links %v came with the error", links)
		}
		w.ClearFaults()
		w.DeleteOrganization(w.orgID)
		links, err = w.desk().Links(t.Context())
		wantNoError(t, err)
		if len(links) != 0 {
			t.Errorf("links %v", links)
		}
	}
}

// Misses that come together share one reading.
func TestMissesShareAReading(t *testing.T) {
	w := newWorld(t)
	w.Configure(func(s *fake.Settings) { s.SearchLag = time.Hour })
	const together = 8
	for i := range together {
		w.AddOrganization(fake.Organization{Name: fmt.Sprintf("Organization %d", i), Fields: map[string]any{"cmp_id": 800 + i}})
	}
	desk := w.desk()
	n := w.counted(func(ctx context.Context) {
		errs := make(chan error, together)
		for i := range together {
			go func() {
				_, err := desk.Organization(ctx, int64(800+i))
				errs <- err
			}()
		}
		for range together {
			wantNoError(t, <-errs)
		}
	})
	// Each its search and its confirmation, the token, and hardly more than one export and one list.
	if n > 2*together+1+2*together/2 {
		t.Errorf("%d requests:\n%s", n, w.log())
	}
	w.clean()
}

// A search that hands out less than it counted may hide a second organization: the list is read instead.
func TestIncompleteSearchIsNotBelieved(t *testing.T) {
	w := newWorld(t)
	w.AddOrganization(fake.Organization{Name: "Second", Fields: map[string]any{"cmp_id": project}})
	w.Reindex()
	w.Inject(fake.Fault{Kind: fake.DuplicateRow, Match: fake.On(http.MethodGet, "search")})
	_, err := w.desk().Organization(t.Context(), project)
	wantClass(t, err, contactsync.ClassTooManyOrgs)
}

// The address of an organization that is gone, or of none, is answered with a name for it.
func TestOrganizationByID(t *testing.T) {
	w := newWorld(t)
	org, err := w.desk().OrganizationByID(t.Context(), w.org.ID)
	wantNoError(t, err)
	if org != w.org {
		t.Errorf("organization %+v, want %+v", org, w.org)
	}
	w.DeleteOrganization(w.orgID)
	_, err = w.desk().OrganizationByID(t.Context(), w.org.ID)
	wantClass(t, err, contactsync.ClassNoOrgFound)
}

// Links forget what is no longer so, and keep the time up to which was read.
func TestMemoryLinks(t *testing.T) {
	ctx := t.Context()
	links := zendesk.MemoryLinks()
	until, err := links.LinksReadUntil(ctx)
	if err != nil || !until.IsZero() {
		t.Errorf("LinksReadUntil = %v, %v; want never", until, err)
	}
	read := time.Unix(1000, 0)
	wantNoError(t, links.SaveLinks(ctx, []contactsync.Link{{Project: 1, Organization: "10"}, {Project: 1, Organization: "11"}, {Project: 2, Organization: "12"}}, read))
	wantNoError(t, links.SaveLinks(ctx, []contactsync.Link{{Project: 2, Organization: "11"}, {Organization: "12"}}, time.Time{}))
	for project, want := range map[int64]string{1: "[10]", 2: "[11]", 3: "[]"} {
		got, err := links.Linked(ctx, project)
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("Linked(%d) = %v, %v; want %s", project, got, err, want)
		}
	}
	if until, _ = links.LinksReadUntil(ctx); !until.Equal(read) {
		t.Errorf("LinksReadUntil = %v, want %v", until, read)
	}
}
