package zendesk_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"contactsync"
	fake "contactsync/internal/fakes/zendesk"
	"contactsync/zendesk"
)

// warm signs a desk in, so that its token is not counted.
func warm(t testing.TB, desk *zendesk.Desk) *zendesk.Desk {
	t.Helper()
	wantNoError(t, desk.Check(t.Context()))
	return desk
}

// A link costs a write and a reading, and the run that follows finds it without a bulk reading, although the search
// index has not heard of it; nothing else of the organization is touched.
func TestLinkProject(t *testing.T) {
	for name, kind := range map[string]fake.FieldType{"text": fake.FieldText, "number": fake.FieldInteger} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Configure(func(s *fake.Settings) { s.SearchLag, s.ProjectType = 1<<40, kind })
			id := w.Server.AddOrganization(fake.Organization{Name: "New", Domains: []string{"example.net"}, Fields: map[string]any{"level": "gold"}})
			org := contactsync.Organization{ID: fmt.Sprint(id), Name: "New"}
			desk := warm(t, w.desk())
			if n := w.counted(func(ctx context.Context) { wantNoError(t, desk.LinkProject(ctx, org, 815)) }); n != 2 {
				t.Errorf("%d requests to link, want 2:\n%s", n, w.log())
			}
			n := w.counted(func(ctx context.Context) {
				found, err := desk.Organization(ctx, 815)
				wantNoError(t, err)
				if found != org {
					t.Errorf("found %+v", found)
				}
			})
			if n != 2 { // the search, and the organization that is remembered
				t.Errorf("%d requests to find it, want 2:\n%s", n, w.log())
			}
			n = w.counted(func(ctx context.Context) {
				number, err := desk.ProjectOf(ctx, org)
				wantNoError(t, err)
				if number != 815 {
					t.Errorf("project %d", number)
				}
			})
			if n != 1 {
				t.Errorf("%d requests to read it, want 1", n)
			}
			if n := w.counted(func(ctx context.Context) { wantNoError(t, desk.LinkProject(ctx, org, 0)) }); n != 2 {
				t.Errorf("%d requests to unlink, want 2:\n%s", n, w.log())
			}
			held, _ := w.Server.Organization(id)
			if held.Fields["cmp_id"] != nil || held.Fields["level"] != "gold" || len(held.Domains) != 1 {
				t.Errorf("the organization is %+v", held)
			}
			w.clean()
		})
	}
}

// A link that the desk does not take is an error that says which field to mend.
func TestLinkProjectRefused(t *testing.T) {
	w := newWorld(t)
	w.Configure(func(s *fake.Settings) { s.ProjectType = fake.FieldTagger })
	err := w.desk().LinkProject(t.Context(), w.org, 815)
	wantClass(t, err, contactsync.ClassSyncFailed)
	if f := contactsync.FailureOf(err); !strings.Contains(f.Detail, "not a valid option") || !strings.Contains(f.Remedy, "cmp_id") {
		t.Errorf("failure %+v", f)
	}
	err = w.desk(func(o *zendesk.Options) { o.ProjectField = "nowhere" }).LinkProject(t.Context(), w.org, 815)
	wantClass(t, err, contactsync.ClassSyncFailed)
	if f := contactsync.FailureOf(err); !strings.Contains(f.Detail, "nowhere (zendesk.project_field)") || !strings.Contains(f.Remedy, "nowhere") {
		t.Errorf("failure %+v", f)
	}
	wantClass(t, w.desk().LinkProject(t.Context(), w.org, -1), contactsync.ClassInternal)
	w.clean()
}

// Whatever goes wrong at whichever request, a link that is called written is there and remembered, one that is not is
// a named error, and the same call afterwards succeeds.
func TestFaultsOfLinks(t *testing.T) {
	w := newWorld(t)
	desk := w.desk()
	wantNoError(t, desk.LinkProject(t.Context(), w.org, 815))
	eachRequest(t, w.Requests(), true, func(t *testing.T, fault fake.Fault) {
		w := newWorld(t)
		desk := w.desk(impatient(fault.Kind))
		w.Inject(fault)
		check := func(err error) {
			held, _ := w.Server.Organization(w.orgID)
			switch {
			case err == nil && held.Fields["cmp_id"] != "815":
				t.Errorf("the field holds %v", held.Fields["cmp_id"])
			case contactsync.ClassOf(err) == contactsync.ClassInternal || contactsync.IsCanceled(err):
				t.Errorf("an error without a name: %v", err)
			}
		}
		check(desk.LinkProject(t.Context(), w.org, 815))
		w.ClearFaults()
		wantNoError(t, w.clock.Wait(t.Context(), 10*zendesk.DefaultMaxWait))
		err := desk.LinkProject(t.Context(), w.org, 815)
		wantNoError(t, err)
		check(err)
		w.clean()
	})
}

// An answer that is lost leaves the link to be read, and is not sent again.
func TestLinkProjectAnswerLost(t *testing.T) {
	w := newWorld(t)
	desk := warm(t, w.desk())
	w.Inject(fake.Fault{Name: "lost", Kind: fake.ResetAfter, Match: fake.On(http.MethodPut, "organizations/*"), Times: 1})
	if n := w.counted(func(ctx context.Context) { wantNoError(t, desk.LinkProject(ctx, w.org, 815)) }); n != 2 {
		t.Errorf("%d requests, want 2:\n%s", n, w.log())
	}
}
