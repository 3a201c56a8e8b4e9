package zendesk_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"contactsync"
	fake "contactsync/internal/fakes/zendesk"
	"contactsync/zendesk"
)

// sent counts the requests of one kind since the last reset.
func (w *world) sent(method, path string) int {
	n := 0
	for _, r := range w.Requests() {
		if r.Method == method && r.Path == "/api/v2"+path {
			n++
		}
	}
	return n
}

func creations(n int) []contactsync.Addition {
	all := make([]contactsync.Addition, n)
	for i := range all {
		all[i] = creation(fmt.Sprintf("new%d@example.com", i))
	}
	return all
}

// A creation whose answer was lost is found where it was made, at once, and is not sent again.
func TestLostCreationIsFound(t *testing.T) {
	for _, test := range []struct {
		name   string
		people int
		bulk   bool
		path   string
	}{{"single", 2, false, "users"}, {"job", 5, true, "users/create_many"}} {
		for name, kind := range map[string]fake.FaultKind{"reset": fake.ResetAfter, "500": fake.Error500After, "cut": fake.TruncatedBody} {
			t.Run(test.name+"/"+name, func(t *testing.T) {
				w := newWorld(t)
				w.Configure(func(s *fake.Settings) { s.BulkImport, s.SearchLag = test.bulk, time.Hour })
				w.Inject(fake.Fault{Kind: kind, Times: 1, Match: fake.On(http.MethodPost, test.path)})
				outcomes, err := w.desk().Add(t.Context(), w.org, creations(test.people))
				wantDone(t, outcomes, err)
				for i, o := range outcomes {
					u, _ := w.UserByEmail(fmt.Sprintf("new%d@example.com", i))
					if o.Person != fmt.Sprint(u.ID) || !w.isMember(u.ID) {
						t.Errorf("outcome %d is person %q, want %d", i, o.Person, u.ID)
					}
				}
				if n := w.sent(http.MethodPost, "/users") + w.sent(http.MethodPost, "/users/create_many"); n != 2 && test.people == 2 || n != 1 && test.people == 5 {
					t.Errorf("%d creations were sent:\n%s", n, w.log())
				}
				if w.clock.Waited() > 5*time.Second {
					t.Errorf("waited %v for what the organization knows at once", w.clock.Waited())
				}
				w.clean()
			})
		}
	}
}

// A creation that never took place is looked for with patience, and then named; it is not sent again.
func TestLostCreationIsNotFound(t *testing.T) {
	w := newWorld(t)
	w.Inject(fake.Fault{Kind: fake.ResetBefore, Times: 1, Match: fake.On(http.MethodPost, "users")})
	outcomes, err := w.desk().Add(t.Context(), w.org, creations(2))
	wantNoError(t, err)
	var lost []contactsync.Outcome
	for _, o := range outcomes {
		if o.Err != nil {
			lost = append(lost, o)
		}
	}
	if len(lost) != 1 || lost[0].Person != "" {
		t.Fatalf("outcomes %+v, want one lost", outcomes)
	}
	wantClass(t, lost[0].Err, contactsync.ClassUserNotCreated)
	if n := w.sent(http.MethodPost, "/users"); n != 2 {
		t.Errorf("%d creations were sent, want 2", n)
	}
	if waited := w.clock.Waited(); waited < 170*time.Second || waited > 190*time.Second {
		t.Errorf("looked for %v, want three minutes", waited)
	}
}

// Somebody who came into being just before, and whom the index does not know yet, becomes a member all the same.
func TestExistingPersonIsFoundDespiteTheLag(t *testing.T) {
	w := newWorld(t)
	w.Configure(func(s *fake.Settings) { s.SearchLag = 100 * time.Second })
	ids := map[string]int64{}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		ids[name] = w.AddUser(fake.User{Name: name, Email: name + "@example.com"})
	}
	additions := []contactsync.Addition{creation("a@example.com"), creation("b@example.com"), creation("c@example.com"),
		creation("d@example.com"), creation("e@example.com"), creation("new@example.com")}
	outcomes, err := w.desk().Add(t.Context(), w.org, additions)
	wantDone(t, outcomes, err)
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		if outcomes[i].Person != fmt.Sprint(ids[name]) || !w.isMember(ids[name]) {
			t.Errorf("%s is person %q, want %d as a member", name, outcomes[i].Person, ids[name])
		}
	}
	if waited := w.clock.Waited(); waited < 90*time.Second || waited > 140*time.Second {
		t.Errorf("waited %v for an index that lags 100 s", waited)
	}
	if searches := w.sent(http.MethodGet, "/users/search"); searches > 9 {
		t.Errorf("%d searches for five people, who are to be looked up together", searches)
	}
	w.clean()
}

// An address that is in use by nobody who can be found, as after a merge, is named; the others go on.
func TestBlockedAddress(t *testing.T) {
	for name, bulk := range map[string]bool{"jobs": true, "single requests": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Configure(func(s *fake.Settings) { s.BulkImport = bulk })
			w.BlockAddress("new1@example.com")
			outcomes, err := w.desk().Add(t.Context(), w.org, creations(4))
			wantNoError(t, err)
			for i, o := range outcomes {
				if i != 1 {
					wantNoError(t, o.Err)
				}
			}
			wantClass(t, outcomes[1].Err, contactsync.ClassUserNotCreated)
			if !strings.Contains(outcomes[1].Err.Error(), "in use") {
				t.Errorf("%v: does not say that the address is in use", outcomes[1].Err)
			}
			w.clean()
		})
	}
}

// A job's row for an address that the desk does not like looks like a success, as person 1; it is not believed, and
// is decided without long waiting.
func TestOddRowIsNotBelieved(t *testing.T) {
	w := newWorld(t)
	w.Configure(func(s *fake.Settings) { s.BulkImport = true })
	additions := creations(5)
	additions[2] = creation("no address")
	outcomes, err := w.desk().Add(t.Context(), w.org, additions)
	wantNoError(t, err)
	for i, o := range outcomes {
		if i != 2 {
			wantNoError(t, o.Err)
		}
	}
	if outcomes[2].Err == nil || outcomes[2].Person != "" {
		t.Errorf("the odd row became person %q, %v", outcomes[2].Person, outcomes[2].Err)
	}
	if w.clock.Waited() > 10*time.Second {
		t.Errorf("waited %v", w.clock.Waited())
	}
}

// The desk's reason for refusing one person is in that person's outcome, in one sentence.
func TestRefusalsCarryTheReason(t *testing.T) {
	w := newWorld(t)
	outcomes, err := w.desk().Add(t.Context(), w.org, []contactsync.Addition{creation("no address"), creation("new@example.com")})
	wantNoError(t, err)
	wantNoError(t, outcomes[1].Err)
	wantClass(t, outcomes[0].Err, contactsync.ClassSyncFailed)
	if text := outcomes[0].Err.Error(); !strings.Contains(text, "422") || !strings.Contains(text, "no address") {
		t.Errorf("%q does not say why", text)
	}
}

// A job that fails as a whole has done nothing that could be believed, for creations, memberships and removals.
func TestFailedJobs(t *testing.T) {
	w := newWorld(t)
	w.Configure(func(s *fake.Settings) { s.BulkImport = true })
	w.addMembers(5)
	members, err := w.desk().Members(t.Context(), w.org)
	wantNoError(t, err)
	w.Inject(fake.Fault{Kind: fake.JobFails})
	outcomes, err := w.desk().Add(t.Context(), w.org, creations(4))
	wantNoError(t, err)
	for _, o := range outcomes {
		wantClass(t, o.Err, contactsync.ClassUserNotCreated)
	}
	outcomes, err = w.desk().Remove(t.Context(), w.org, members)
	wantNoError(t, err)
	for _, o := range outcomes {
		wantClass(t, o.Err, contactsync.ClassRemovalFailed)
	}
	var joins []contactsync.Addition
	for i := range 4 {
		address := fmt.Sprintf("known%d@example.com", i)
		joins = append(joins, joining(address, w.addPerson(fake.User{Name: address, Email: address})))
	}
	outcomes, err = w.desk().Add(t.Context(), w.org, joins)
	wantNoError(t, err)
	for _, o := range outcomes {
		wantClass(t, o.Err, contactsync.ClassSyncFailed)
	}
	if n := len(w.MembersOf(w.orgID)); n != 5 {
		t.Errorf("%d members, want 5", n)
	}
}

// A completed job with failed rows fails those items alone.
func TestFailedRows(t *testing.T) {
	for name, style := range map[string]fake.RowStyle{"documented": fake.RowsDocumented, "indexed": fake.RowsIndexed, "bare": fake.RowsBare} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Configure(func(s *fake.Settings) { s.BulkImport, s.JobRows = true, style })
			w.Inject(fake.Fault{Kind: fake.JobRowFails, Rows: func(i int) bool { return i%3 == 0 }})
			outcomes, err := w.desk().Add(t.Context(), w.org, creations(7))
			wantNoError(t, err)
			for i, o := range outcomes {
				u, exists := w.UserByEmail(fmt.Sprintf("new%d@example.com", i))
				if exists != (i%3 != 0) || exists && (o.Err != nil || o.Person != fmt.Sprint(u.ID)) || !exists && contactsync.ClassOf(o.Err) != contactsync.ClassSyncFailed {
					t.Errorf("outcome %d: %+v", i, o)
				}
			}
		})
	}
}

// Whether bulk creation is used follows the setting, and a refusal is found out once for the process.
func TestBulkCreation(t *testing.T) {
	for _, test := range []struct {
		bulk    zendesk.Bulk
		allowed bool
		people  int
		jobs    int // creation jobs asked for, in two calls
	}{
		{zendesk.BulkAuto, true, 4, 2}, {zendesk.BulkAuto, true, 3, 0}, {zendesk.BulkAuto, false, 4, 1},
		{zendesk.BulkOn, true, 1, 2}, {zendesk.BulkOff, true, 4, 0},
	} {
		t.Run(fmt.Sprintf("%s/allowed %v/%d people", test.bulk, test.allowed, test.people), func(t *testing.T) {
			w := newWorld(t)
			w.Configure(func(s *fake.Settings) { s.BulkImport = test.allowed })
			desk := w.desk(func(o *zendesk.Options) { o.Bulk = test.bulk })
			for call := range 2 {
				additions := creations(test.people)
				for i := range additions {
					additions[i] = creation(fmt.Sprintf("call%d-person%d@example.com", call, i))
				}
				outcomes, err := desk.Add(t.Context(), w.org, additions)
				wantDone(t, outcomes, err)
			}
			if n := w.sent(http.MethodPost, "/users/create_many"); n != test.jobs {
				t.Errorf("%d creation jobs were asked for, want %d", n, test.jobs)
			}
			if n := len(w.MembersOf(w.orgID)); n != 2*test.people {
				t.Errorf("%d members, want %d", n, 2*test.people)
			}
			w.clean()
		})
	}
}

// All jobs of a call, of whatever kind, are followed in one request a round.
func TestJobsAreFollowedTogether(t *testing.T) {
	w := newWorld(t)
	w.Configure(func(s *fake.Settings) { s.BulkImport, s.JobPolls = true, 3 })
	additions := creations(250)
	for i := range 250 {
		address := fmt.Sprintf("known%d@example.com", i)
		additions = append(additions, joining(address, w.AddUser(fake.User{Name: address, Email: address})))
	}
	outcomes, err := w.desk().Add(t.Context(), w.org, additions)
	wantDone(t, outcomes, err)
	if n := w.sent(http.MethodGet, "/job_statuses/show_many"); n != 4 {
		t.Errorf("%d polls of six jobs that three polls find unfinished, want 4:\n%s", n, w.log())
	}
	w.clean()
}

// With people_elsewhere: add, somebody of another organization is taken on where the account allows several, and
// refused, not moved, where it does not.
func TestAddElsewhere(t *testing.T) {
	for name, multiple := range map[string]bool{"several organizations": true, "one organization": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.Configure(func(s *fake.Settings) { s.MultipleOrganizations = multiple })
			other := w.Server.AddOrganization(fake.Organization{Name: "Other"})
			first := w.addPerson(fake.User{Name: "First", Email: "first@example.com", Organizations: []int64{other}})
			second := w.addPerson(fake.User{Name: "Second", Email: "second@example.com", Organizations: []int64{other}})
			free := w.addPerson(fake.User{Name: "Free", Email: "free@example.com"})
			desk := w.desk(func(o *zendesk.Options) { o.AddElsewhere = true })
			// The second is believed to be new, and turns out to exist.
			outcomes, err := desk.Add(t.Context(), w.org, []contactsync.Addition{
				joining("first@example.com", first), creation("second@example.com"), joining("free@example.com", free),
			})
			wantNoError(t, err)
			wantNoError(t, outcomes[2].Err)
			for i, id := range []int64{first, second} {
				u, _ := w.User(id)
				if multiple {
					wantNoError(t, outcomes[i].Err)
				} else {
					wantClass(t, outcomes[i].Err, contactsync.ClassContactElsewhere)
				}
				if w.isMember(id) != multiple || u.Organizations[0] != other {
					t.Errorf("person %d is in %v", id, u.Organizations)
				}
			}
			w.clean()
		})
	}
}

// A membership whose answer was lost is read; only where it is not there it is asked for once more.
func TestLostMembership(t *testing.T) {
	for name, test := range map[string]struct {
		kind  fake.FaultKind
		posts int
	}{"after": {fake.ResetAfter, 1}, "before": {fake.ResetBefore, 2}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			id := w.addPerson(fake.User{Name: "Known", Email: "known@example.com"})
			w.Inject(fake.Fault{Kind: test.kind, Times: 1, Match: fake.On(http.MethodPost, "organization_memberships")})
			outcomes, err := w.desk().Add(t.Context(), w.org, []contactsync.Addition{joining("known@example.com", id)})
			wantDone(t, outcomes, err)
			if n := w.sent(http.MethodPost, "/organization_memberships"); n != test.posts || !w.isMember(id) {
				t.Errorf("%d memberships were asked for, want %d; member: %v", n, test.posts, w.isMember(id))
			}
		})
	}
}

// A write that clashes with another one is tried once more, and only once.
func TestClashesAreTriedOnceMore(t *testing.T) {
	for clashes, want := range map[int32]contactsync.Class{1: "", 2: contactsync.ClassSyncFailed} {
		var left atomic.Int32
		left.Store(clashes)
		w := newWorld(t, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost && r.URL.Path == "/api/v2/users" && left.Add(-1) >= 0 {
					http.Error(w, `{"error":"Conflict","description":"Another write was first"}`, http.StatusConflict)
					return
				}
				next.ServeHTTP(w, r)
			})
		})
		outcomes, err := w.desk().Add(t.Context(), w.org, creations(1))
		wantNoError(t, err)
		wantClass(t, outcomes[0].Err, want)
	}
}

// What was detached by hand meanwhile is as good as detached by us, and members can be named without a membership.
func TestRemoveWhatIsGone(t *testing.T) {
	w := newWorld(t)
	ids := w.addMembers(8)
	members, err := w.desk().Members(t.Context(), w.org)
	wantNoError(t, err)
	w.Detach(ids[0], w.orgID)
	w.Detach(ids[3], w.orgID)
	members[1].Membership, members[4].Membership = "", ""
	outcomes, err := w.desk().Remove(t.Context(), w.org, members[:2])
	wantDone(t, outcomes, err)
	outcomes, err = w.desk().Remove(t.Context(), w.org, members[2:])
	wantDone(t, outcomes, err)
	if n := len(w.MembersOf(w.orgID)); n != 0 {
		t.Errorf("%d members are left", n)
	}
	w.clean()
}

// A name alone costs one request more than knowing that the person belongs here alone; addresses keep the former one.
func TestRenameRequests(t *testing.T) {
	w := newWorld(t)
	w.addMembers(3)
	desk := w.desk()
	members, err := desk.Members(t.Context(), w.org)
	wantNoError(t, err)
	n := w.counted(func(ctx context.Context) {
		outcomes, err := desk.Rename(ctx, w.org, []contactsync.Rename{{Member: members[0], Name: "New"}})
		wantDone(t, outcomes, err)
	})
	if n != 2 {
		t.Errorf("%d requests, want the settings and the change:\n%s", n, w.log())
	}
	n = w.counted(func(ctx context.Context) {
		outcomes, err := desk.Rename(ctx, w.org, []contactsync.Rename{{Member: members[1], Email: "new@example.com"}})
		wantDone(t, outcomes, err)
	})
	if n != 3 {
		t.Errorf("%d requests, want the addresses, the new one, and making it the primary one:\n%s", n, w.log())
	}
	u, _ := w.UserByEmail("new@example.com")
	if u.Email != "new@example.com" || len(u.Secondary) != 1 || u.Secondary[0] != "member1@example.com" {
		t.Errorf("user %+v", u)
	}
	w.clean()
}

// A fence that closes while items are under way fails the rest of them, with the fence's own error.
func TestFenceClosesInTheMiddle(t *testing.T) {
	lost := errors.New("the lease is lost")
	w := newWorld(t)
	var asked atomic.Int32
	ctx := contactsync.WithFence(t.Context(), func(context.Context) error {
		if asked.Add(1) > 1 {
			return lost
		}
		return nil
	})
	outcomes, err := w.desk().Add(ctx, w.org, creations(3))
	wantNoError(t, err)
	done := 0
	for _, o := range outcomes {
		if o.Err == nil {
			done++
		} else if !errors.Is(o.Err, lost) {
			t.Errorf("%v does not come from the fence", o.Err)
		}
	}
	if n := w.sent(http.MethodPost, "/users"); n != 1 || done != 1 {
		t.Errorf("%d creations were sent, %d are done; want 1", n, done)
	}
}

// A caller who gives up in the middle gets outcomes that say so, and never a success that is none.
func TestGivenUpInTheMiddle(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.Inject(fake.Fault{Kind: fake.Slow, Match: func(r *http.Request, _ int) bool {
		if r.Method == http.MethodPost && r.URL.Path == "/api/v2/users" {
			cancel()
			return true
		}
		return false
	}})
	outcomes, err := w.desk().Add(ctx, w.org, creations(1))
	wantNoError(t, err) // something was sent, so there are outcomes
	wantClass(t, outcomes[0].Err, contactsync.ClassUserNotCreated)
	if !contactsync.IsCanceled(outcomes[0].Err) {
		t.Errorf("%v does not say that the caller gave up", outcomes[0].Err)
	}
}

// Long reads and writes say how far they are.
func TestProgress(t *testing.T) {
	w := newWorld(t)
	w.Configure(func(s *fake.Settings) { s.BulkImport = true })
	w.addMembers(450)
	var last, total atomic.Int64
	ctx := contactsync.WithProgress(t.Context(), func(done, of int) {
		for seen := last.Load(); int64(done) > seen && !last.CompareAndSwap(seen, int64(done)); seen = last.Load() {
		}
		total.Store(int64(of))
	})
	_, err := w.desk().Members(ctx, w.org)
	wantNoError(t, err)
	if last.Load() != 450 || total.Load() != 450 {
		t.Errorf("the last progress was %d of %d, want 450 of 450", last.Load(), total.Load())
	}
	last.Store(0)
	outcomes, err := w.desk().Add(ctx, w.org, creations(150))
	wantDone(t, outcomes, err)
	if last.Load() != 150 || total.Load() != 150 {
		t.Errorf("the last progress was %d of %d, want 150 of 150", last.Load(), total.Load())
	}
}

// When the search is down, too, a creation without a clear end is named as such, and a refusal keeps its reason.
func TestLostCreationAndNoSearch(t *testing.T) {
	w := newWorld(t)
	w.Configure(func(s *fake.Settings) { s.BulkImport = true })
	w.Inject(fake.Fault{Kind: fake.NotJSON, Match: fake.On(http.MethodGet, "users/search")})
	additions := append(creations(4), creation("no address"))
	w.Inject(fake.Fault{Kind: fake.JobRowFails, Rows: func(i int) bool { return i == 0 }, Match: fake.On(http.MethodPost, "users/create_many")})
	outcomes, err := w.desk().Add(t.Context(), w.org, additions)
	wantNoError(t, err)
	wantClass(t, outcomes[0].Err, contactsync.ClassSyncFailed)
	wantClass(t, outcomes[4].Err, contactsync.ClassUserNotCreated)
	for _, o := range outcomes[1:4] {
		wantNoError(t, o.Err)
	}
}

// A job queue that holds one job at a time still takes hundreds of people, one job after the other.
func TestJobsWaitForRoom(t *testing.T) {
	w := newWorld(t)
	w.Configure(func(s *fake.Settings) { s.BulkImport, s.JobPolls, s.MaxJobs = true, 1, 1 })
	outcomes, err := w.desk().Add(t.Context(), w.org, creations(430))
	wantDone(t, outcomes, err)
	if n := len(w.MembersOf(w.orgID)); n != 430 {
		t.Errorf("%d members, want 430", n)
	}
	w.clean()
}
