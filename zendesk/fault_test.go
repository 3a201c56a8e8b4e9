package zendesk_test

import (
	"context"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"contactsync"
	fake "contactsync/internal/fakes/zendesk"
	"contactsync/zendesk"
)

var faultKinds = map[string]fake.FaultKind{
	"empty page": fake.EmptyPage, "dropped page": fake.DroppedPage, "repeated cursor": fake.RepeatedCursor,
	"truncated body": fake.TruncatedBody, "500 before": fake.Error500Before, "500 after": fake.Error500After,
	"reset before": fake.ResetBefore, "reset after": fake.ResetAfter, "401": fake.Unauthorized401, "403": fake.Forbidden403,
	"429": fake.RateLimited429, "429 at the edge": fake.EdgeRateLimit, "slow": fake.Slow, "no JSON": fake.NotJSON,
	"job rows fail": fake.JobRowFails, "job fails": fake.JobFails, "malformed row": fake.MalformedRow,
	"foreign row": fake.ForeignRow, "row twice": fake.DuplicateRow, "missing side-load": fake.MissingSideload,
}

// impatient makes "slow" end soon, and only that. Should an ordinary answer take as long on a busy machine, it is one
// fault more, which these tests can stand.
func impatient(kind fake.FaultKind) func(*zendesk.Options) {
	return func(o *zendesk.Options) {
		if kind == fake.Slow {
			o.Timeout = 20 * time.Millisecond
		}
	}
}

// ofLists are the kinds that strike only where there is a list to spoil, and ofJobs where a job is asked for.
var (
	ofLists = []fake.FaultKind{fake.EmptyPage, fake.DroppedPage, fake.RepeatedCursor, fake.MalformedRow, fake.ForeignRow,
		fake.DuplicateRow, fake.MissingSideload}
	ofJobs = []fake.FaultKind{fake.JobRowFails, fake.JobFails}
)

// eachRequest runs a test for every kind of fault: once at every request of a call that it can strike, and lasting
// from the first one, or where downs is set, from every one: the desk goes down in the middle.
// requests are those that the call takes when nothing is wrong.
func eachRequest(t *testing.T, requests []fake.Request, downs bool, run func(t *testing.T, fault fake.Fault)) {
	t.Helper()
	for name, kind := range faultKinds {
		for _, r := range requests {
			if slices.Contains(ofLists, kind) && r.Method != http.MethodGet || slices.Contains(ofJobs, kind) && r.Method == http.MethodGet {
				continue
			}
			from := func(_ *http.Request, count int) bool { return count >= r.N }
			t.Run(fmt.Sprintf("%s/at %d", name, r.N), func(t *testing.T) {
				t.Parallel()
				run(t, fake.Fault{Name: name, Kind: kind, Times: 1, Match: from})
			})
			if r.N > 1 && (!downs || slices.Contains(ofLists, kind)) {
				continue
			}
			t.Run(fmt.Sprintf("%s/from %d on", name, r.N), func(t *testing.T) {
				t.Parallel()
				run(t, fake.Fault{Name: name, Kind: kind, Match: from})
			})
		}
	}
}

// Whatever goes wrong at whichever request, a read ends with the whole truth or with a named error: never with less.
func TestFaultsOfReads(t *testing.T) {
	type read struct {
		name  string
		setup func(*fake.Settings)
		do    func(ctx context.Context, w *world, desk *zendesk.Desk) (any, error)
	}
	links := func(organizations int) func(ctx context.Context, w *world, d *zendesk.Desk) (any, error) {
		return func(ctx context.Context, w *world, d *zendesk.Desk) (any, error) {
			w.linked(organizations - len(w.OrganizationIDs()))
			list, err := d.Links(ctx)
			if err != nil && len(list) > 0 {
				w.t.Errorf("%d links came with an error", len(list))
			}
			return list, err
		}
	}
	reads := []read{
		{"organization", nil, func(ctx context.Context, _ *world, d *zendesk.Desk) (any, error) {
			return d.Organization(ctx, project)
		}},
		{"members", nil, func(ctx context.Context, w *world, d *zendesk.Desk) (any, error) { return members(ctx, w, d) }},
		{"members by cursor", func(s *fake.Settings) { s.OffsetPaging = false },
			func(ctx context.Context, w *world, d *zendesk.Desk) (any, error) { return members(ctx, w, d) }},
		{"members without side-loading", func(s *fake.Settings) { s.SideLoadUsers = false },
			func(ctx context.Context, w *world, d *zendesk.Desk) (any, error) { return members(ctx, w, d) }},
		{"addresses", nil, func(ctx context.Context, w *world, d *zendesk.Desk) (any, error) {
			return d.Addresses(ctx, w.org, w.few)
		}},
		{"elsewhere", nil, func(ctx context.Context, w *world, d *zendesk.Desk) (any, error) {
			return d.Elsewhere(ctx, w.org, w.few)
		}},
		{"present", nil, func(ctx context.Context, w *world, d *zendesk.Desk) (any, error) {
			var people []string
			for _, u := range w.Users()[100:] {
				people = append(people, fmt.Sprint(u.ID))
			}
			return d.Present(ctx, w.org, people, 100000)
		}},
		{"project", nil, func(ctx context.Context, w *world, d *zendesk.Desk) (any, error) { return d.ProjectOf(ctx, w.org) }},
		{"ticket", nil, func(ctx context.Context, w *world, d *zendesk.Desk) (any, error) {
			_, id := w.ticketed()
			return d.Ticket(ctx, id)
		}},
		{"counts", nil, func(ctx context.Context, _ *world, d *zendesk.Desk) (any, error) { return d.MemberCounts(ctx) }},
		{"counts by cursor", func(s *fake.Settings) { s.OffsetPaging = false },
			func(ctx context.Context, _ *world, d *zendesk.Desk) (any, error) { return d.MemberCounts(ctx) }},
		{"counts by export", func(s *fake.Settings) { s.MultipleOrganizations = false },
			func(ctx context.Context, w *world, d *zendesk.Desk) (any, error) {
				for _, u := range w.Users() {
					if len(u.Organizations) > 1 { // which this account does not allow
						w.Detach(u.ID, u.Organizations[1])
					}
				}
				for i := range 950 {
					w.AddUser(fake.User{Email: fmt.Sprintf("more%d@example.com", i), Organizations: []int64{w.orgID}})
				}
				wantNoError(w.t, w.clock.Wait(ctx, time.Hour))
				return d.MemberCounts(ctx)
			}},
		{"links", nil, links(2100)},
		{"links without exports", func(s *fake.Settings) { s.AdminAccess = false }, links(250)},
		{"links without exports, by cursor", func(s *fake.Settings) { s.AdminAccess, s.OffsetPaging = false, false }, links(250)},
	}
	for _, r := range reads {
		t.Run(r.name, func(t *testing.T) {
			open := func(t *testing.T) *world {
				w := newWorld(t)
				w.Configure(func(s *fake.Settings) {
					s.MultipleOrganizations = true
					if r.setup != nil {
						r.setup(s)
					}
				})
				other := w.Server.AddOrganization(fake.Organization{Name: "Other"})
				w.addMembers(105)
				w.addPerson(fake.User{Name: "Both", Email: "both@example.com", Secondary: []string{"b@example.com"}, Organizations: []int64{other, w.orgID}})
				w.addPerson(fake.User{Name: "Out", Email: "out@example.com", Organizations: []int64{other}})
				everybody, err := w.desk().Members(t.Context(), w.org)
				wantNoError(t, err)
				w.few = everybody[len(everybody)-3:]
				w.ResetRequests()
				return w
			}
			w := open(t)
			truth, err := r.do(t.Context(), w, w.desk())
			wantNoError(t, err)
			eachRequest(t, w.Requests(), false, func(t *testing.T, fault fake.Fault) {
				w := open(t)
				desk := w.desk(impatient(fault.Kind))
				w.Inject(fault)
				got, err := r.do(t.Context(), w, desk)
				if err != nil {
					class := contactsync.ClassOf(err)
					known := []contactsync.Class{contactsync.ClassDeskUnreadable, contactsync.ClassDeskUnauthorized,
						contactsync.ClassRateLimited, contactsync.ClassNoOrgFound}
					if !slices.Contains(known, class) || contactsync.IsCanceled(err) {
						t.Errorf("class %q: %v", class, err)
					}
					if strings.Contains(err.Error(), clientSecret) {
						t.Errorf("the error tells the secret: %v", err)
					}
					return
				}
				if !reflect.DeepEqual(got, truth) {
					t.Errorf("got %v\nwant %v\n%s", got, truth, w.log())
				}
			})
		})
	}
}

func members(ctx context.Context, w *world, d *zendesk.Desk) (any, error) {
	list, err := d.Members(ctx, w.org)
	if err != nil && len(list) > 0 {
		w.t.Errorf("%d members came with an error", len(list))
	}
	return list, err
}

// Whatever goes wrong at whichever request of a write, what is called done is done, nobody is created twice, no
// careless request is sent, and the same call afterwards, undisturbed, brings about what was wanted.
func TestFaultsOfWrites(t *testing.T) {
	for name, bulk := range map[string]bool{"jobs": true, "single requests": false} {
		t.Run(name, func(t *testing.T) {
			open := func(t *testing.T) *writing {
				w := newWorld(t)
				w.Configure(func(s *fake.Settings) { s.MultipleOrganizations, s.BulkImport, s.JobPolls = true, bulk, 1 })
				w.addMembers(12)
				r := &writing{world: w}
				for i := range 4 {
					address := fmt.Sprintf("known%d@example.com", i)
					r.additions = append(r.additions, joining(address, w.addPerson(fake.User{Name: address, Email: address})))
					r.additions = append(r.additions, creation(fmt.Sprintf("new%d@example.com", i)))
				}
				if !bulk {
					r.additions = r.additions[:6] // three of each go without jobs
				}
				everybody, err := w.desk().Members(t.Context(), w.org)
				wantNoError(t, err)
				r.leaving, r.renamed = everybody[:5], everybody[5:8]
				if !bulk {
					r.leaving, r.renamed = everybody[:3], everybody[5:6]
				}
				w.ResetRequests()
				return r
			}
			for name, do := range map[string]func(*writing, context.Context, *zendesk.Desk) ([]contactsync.Outcome, error){
				"add": (*writing).add, "remove": (*writing).remove, "rename": (*writing).rename,
			} {
				t.Run(name, func(t *testing.T) {
					r := open(t)
					outcomes, err := do(r, t.Context(), r.desk())
					wantDone(t, outcomes, err)
					eachRequest(t, r.Requests(), true, func(t *testing.T, fault fake.Fault) {
						r := open(t)
						before := len(r.Users())
						r.Inject(fault)
						outcomes, err := do(r, t.Context(), r.desk(impatient(fault.Kind)))
						r.check(outcomes, err)
						r.ClearFaults()
						r.FinishJobs()
						r.Reindex()
						wantNoError(t, r.clock.Wait(t.Context(), time.Minute)) // the account's limits outlive the process
						outcomes, err = do(r, t.Context(), r.desk())
						wantDone(t, outcomes, err)
						r.check(outcomes, err)
						if grown := len(r.Users()) - before; name == "add" && grown != len(r.additions)/2 || name != "add" && grown != 0 {
							t.Errorf("there are %d people more", grown)
						}
						r.clean()
						if t.Failed() {
							t.Log(r.log())
						}
					})
				})
			}
		})
	}
}

// writing is a world with work to do in it.
type writing struct {
	*world
	additions []contactsync.Addition
	leaving   []contactsync.Member
	renamed   []contactsync.Member
	holds     func(i int, person string) bool // whether the desk's own state is what item i wanted
}

func (r *writing) add(ctx context.Context, d *zendesk.Desk) ([]contactsync.Outcome, error) {
	r.holds = func(i int, person string) bool {
		u, ok := r.UserByEmail(string(r.additions[i].Contact.Email))
		return ok && fmt.Sprint(u.ID) == person && r.isMember(u.ID)
	}
	return d.Add(ctx, r.org, r.additions)
}

func (r *writing) remove(ctx context.Context, d *zendesk.Desk) ([]contactsync.Outcome, error) {
	r.holds = func(i int, _ string) bool {
		u, ok := r.UserByEmail(string(r.leaving[i].Primary()))
		return ok && !r.isMember(u.ID)
	}
	return d.Remove(ctx, r.org, r.leaving)
}

func (r *writing) rename(ctx context.Context, d *zendesk.Desk) ([]contactsync.Outcome, error) {
	renames := make([]contactsync.Rename, len(r.renamed))
	for i, m := range r.renamed {
		renames[i] = contactsync.Rename{Member: m, Name: fmt.Sprintf("New %d", i), Email: contactsync.Email(fmt.Sprintf("renamed%d@example.com", i))}
	}
	r.holds = func(i int, _ string) bool {
		u, ok := r.UserByEmail(string(renames[i].Email))
		return ok && u.Name == renames[i].Name && u.Email == string(renames[i].Email) && fmt.Sprint(u.ID) == r.renamed[i].ID
	}
	return d.Rename(ctx, r.org, renames)
}

// check holds the outcomes against the desk's own state.
func (r *writing) check(outcomes []contactsync.Outcome, err error) {
	r.t.Helper()
	if err != nil {
		if contactsync.ClassOf(err) == contactsync.ClassInternal {
			r.t.Errorf("an error without a name: %v", err)
		}
		return
	}
	for i, o := range outcomes {
		if o.Err == nil && !r.holds(i, o.Person) {
			r.t.Errorf("item %d is called done, and is not (person %q)", i, o.Person)
		}
		if o.Err != nil && contactsync.ClassOf(o.Err) == contactsync.ClassInternal {
			r.t.Errorf("item %d: an error without a name: %v", i, o.Err)
		}
	}
}
