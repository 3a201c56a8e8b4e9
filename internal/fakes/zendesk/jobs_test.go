package zendesk_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"contactsync/internal/fakes/zendesk"
)

func (w *world) job(got reply) string {
	w.t.Helper()
	w.want(got, 200)
	id, _ := got.get("job_status", "id").(string)
	if id == "" || got.get("job_status", "status") != "queued" || got.get("job_status", "results") != nil {
		w.t.Fatalf("no queued job: %s", got.text)
	}
	return id
}

func (w *world) poll(ids ...string) reply {
	w.t.Helper()
	return w.want(w.call("GET", "/api/v2/job_statuses/show_many?ids="+strings.Join(ids, ","), nil), 200)
}

func memberships(organization int64, users ...int64) object {
	var list []any
	for _, user := range users {
		list = append(list, membershipOf(user, organization))
	}
	return object{"organization_memberships": list}
}

// Bulk imports are off in an ordinary account, with 403; bulk updates and memberships are not gated.
func TestBulkImportGate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for path, want := range map[string]int{"/api/v2/users/create_many": 403, "/api/v2/users/create_or_update_many": 403} {
		w.want(w.call("POST", path, object{"users": []any{}}), want)
	}
	w.want(w.call("PUT", "/api/v2/users/update_many", object{"users": []any{}}), 200)
	w.want(w.call("POST", "/api/v2/organization_memberships/create_many", memberships(1)), 200)
}

// A completed job can hold failed rows; each kind of job answers with the rows that are documented for it.
func TestJobRowsAsDocumented(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Configure(bulkImport)
	org, users := w.organization("One", 2)
	loner := w.person("Loner", "loner@example.com")
	list := w.call("GET", organizationPath(org)+"/organization_memberships", nil).ids("organization_memberships", "id")

	created := w.poll(w.job(w.call("POST", "/api/v2/users/create_many", object{"users": []any{
		object{"name": "New", "email": "new@example.com", "organization_id": org, "skip_verify_email": true},
		object{"name": "Double", "email": "one0@example.com", "organization_id": org, "skip_verify_email": true},
		object{"name": "Wrong", "email": "no address", "skip_verify_email": true},
		object{"name": "Lost", "email": "lost@example.com", "organization_id": 7, "skip_verify_email": true},
	}})))
	fresh, ok := w.UserByEmail("new@example.com")
	if !ok || !slices.Equal(fresh.Organizations, []int64{org}) {
		t.Fatalf("not created: %+v", fresh)
	}
	if created.get("job_statuses", 0, "status") != "completed" || created.id("job_statuses", 0, "total") != 4 {
		t.Errorf("got %s", created.text)
	}
	failed := func(id int64, action, code, details string) object {
		return object{"id": number(id), "action": action, "error": code, "details": details, "success": false}
	}
	w.wantResults(created,
		object{"id": number(fresh.ID), "index": number(0)},
		failed(0, "create", "UserCreateError", "Email: one0@example.com is already being used by another user"),
		object{"id": number(1), "index": number(2)}, // looks like a success, and is none
		failed(0, "create", "UserCreateError", "Organization: not found"),
	)

	added := w.poll(w.job(w.call("POST", "/api/v2/organization_memberships/create_many", memberships(org, loner, users[0]))))
	m := w.call("GET", userPath(loner)+"/organization_memberships", nil).id("organization_memberships", 0, "id")
	w.wantResults(added,
		object{"id": number(m), "action": "create", "status": "Created", "success": true},
		failed(0, "create", "RecordInvalid", "User: is already a member of this organization"),
	)

	removed := w.poll(w.job(w.call("DELETE", fmt.Sprintf("/api/v2/organization_memberships/destroy_many?ids=%d,%d", list[1], 7), nil)))
	w.wantResults(removed,
		object{"id": number(list[1]), "action": "delete", "status": "Deleted", "success": true},
		failed(7, "delete", "RecordNotFound", "Not found"),
	)
	w.wantOrganizations(users[1])

	updated := w.poll(w.job(w.call("PUT", "/api/v2/users/update_many", object{"users": []any{
		object{"id": users[0], "name": "Renamed"}, object{"id": 7, "name": "Nobody"},
	}})))
	w.wantResults(updated,
		object{"id": number(users[0]), "action": "update", "status": "Updated", "success": true},
		failed(7, "update", "UserNotFound", "User not found"),
	)
	if u, _ := w.User(users[0]); u.Name != "Renamed" {
		t.Errorf("got %+v", u)
	}
	w.wantNoViolations()
}

func (w *world) wantResults(got reply, want ...any) {
	w.t.Helper()
	if results := got.get("job_statuses", 0, "results"); !reflect.DeepEqual(results, want) {
		w.t.Errorf("got %v, want %v", results, want)
	}
}

// Changes in bulk fail one by one: a shared person, an unknown organization, an address that is taken.
func TestFailedChangesInBulk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, users := w.organization("One", 2)
	shared := w.AddUser(zendesk.User{Name: "Shared", Shared: true})
	got := w.poll(w.job(w.call("PUT", "/api/v2/users/update_many", object{"users": []any{
		object{"id": shared, "name": "X"}, object{"id": users[0], "organization_id": 7}, object{"id": users[1], "email": "one0@example.com"},
	}})))
	failed := func(id int64, details string) object {
		return object{"id": number(id), "action": "update", "error": "UserUpdateError", "details": details, "success": false}
	}
	w.wantResults(got, failed(shared, "You cannot update a shared user."), failed(users[0], "Organization: not found"),
		failed(users[1], "Email: one0@example.com is already being used by another user"))
}

// The other ways in which rows have been seen, with the same content.
func TestJobRowStyles(t *testing.T) {
	t.Parallel()
	for style, want := range map[zendesk.RowStyle]func(id int64) any{
		zendesk.RowsIndexed: func(id int64) any {
			return []any{
				object{"index": number(0), "id": number(id), "action": "create", "status": "Created", "success": true},
				object{"index": number(1), "error": "UserCreateError", "details": "Name: cannot be blank"},
			}
		},
		zendesk.RowsBare: func(id int64) any {
			return []any{
				object{"id": number(id), "status": "Created"},
				object{"status": "Failed", "error": "UserCreateError", "details": "Name: cannot be blank"},
			}
		},
		zendesk.RowsObject: func(int64) any { return object{"success": true} },
	} {
		w := newWorld(t)
		w.Configure(func(s *zendesk.Settings) { s.BulkImport, s.JobRows = true, style })
		got := w.poll(w.job(w.call("POST", "/api/v2/users/create_many", object{"users": []any{
			object{"name": "A", "email": "a@example.com", "skip_verify_email": true}, object{"email": "b@example.com"},
		}})))
		a, _ := w.UserByEmail("a@example.com")
		if results := got.get("job_statuses", 0, "results"); !reflect.DeepEqual(results, want(a.ID)) {
			t.Errorf("style %d: got %v", style, results)
		}
	}
}

// A job's work is done only after so many polls, or when time has passed; until then nothing is to be seen of it.
func TestJobsTakeTheirTime(t *testing.T) {
	t.Parallel()
	for name, finish := range map[string]func(w *world, id string){
		"polled": func(w *world, id string) { w.poll(id); w.poll(id) },
		"listed": func(w *world, _ string) {
			w.call("GET", "/api/v2/job_statuses", nil)
			w.call("GET", "/api/v2/job_statuses", nil)
		},
		"by time":  func(w *world, _ string) { w.clock.Advance(time.Minute) },
		"finished": func(w *world, _ string) { w.FinishJobs() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Configure(func(s *zendesk.Settings) { s.JobPolls = 2 })
			org, _ := w.organization("One", 0)
			loner := w.person("Loner", "loner@example.com")
			id := w.job(w.call("POST", "/api/v2/organization_memberships/create_many", memberships(org, loner)))
			w.wantOrganizations(loner)
			finish(w, id)
			if name == "polled" || name == "listed" {
				w.wantOrganizations(loner)
			}
			if got := w.poll(id); got.get("job_statuses", 0, "status") != "completed" {
				t.Errorf("got %s", got.text)
			}
			w.wantOrganizations(loner, org)
			w.wantNoViolations()
		})
	}
}

// Polling says working, without results, until the job is done; unknown jobs are left out.
func TestPolling(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Configure(func(s *zendesk.Settings) { s.JobPolls = 1 })
	id := w.job(w.call("POST", "/api/v2/organization_memberships/create_many", memberships(1, 1)))
	if got := w.poll(id, "unknown"); got.get("job_statuses", 0, "status") != "working" || got.get("job_statuses", 0, "results") != nil || len(got.rows("job_statuses")) != 1 {
		t.Errorf("got %s", got.text)
	}
	if got := w.want(w.call("GET", "/api/v2/job_statuses/"+id, nil), 200); got.get("job_status", "status") != "completed" {
		t.Errorf("got %s", got.text)
	}
	w.wantNoViolations()
}

// Job data are gone after a day.
func TestJobDataExpire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.job(w.call("POST", "/api/v2/organization_memberships/create_many", memberships(1, 1)))
	w.clock.Advance(24*time.Hour - time.Second)
	w.want(w.call("GET", "/api/v2/job_statuses/"+id, nil), 200)
	w.clock.Advance(time.Second)
	w.want(w.call("GET", "/api/v2/job_statuses/"+id, nil), 404)
	if got := w.poll(id); len(got.rows("job_statuses")) != 0 {
		t.Errorf("got %s", got.text)
	}
}

// Thirty jobs may be unfinished; the next is refused and names them. Polling several one by one is noted.
func TestJobCap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Configure(func(s *zendesk.Settings) { s.JobPolls = 1 })
	var ids []string
	for range 30 {
		ids = append(ids, w.job(w.call("POST", "/api/v2/organization_memberships/create_many", memberships(1, 1))))
	}
	refused := w.want(w.call("POST", "/api/v2/organization_memberships/create_many", memberships(1, 1)), 429)
	current, _ := refused.get("current_job_ids").([]any)
	if refused.get("error") != "TooManyJobs" || len(current) != 30 || refused.header.Get("Zendesk-Ratelimit-Inflight-Jobs") == "" {
		t.Errorf("got %s", refused.text)
	}
	w.poll(ids...)
	w.poll(ids[1:]...)
	w.wantNoViolations()
	w.job(w.call("POST", "/api/v2/organization_memberships/create_many", memberships(1, 1)))
	second := w.job(w.call("POST", "/api/v2/organization_memberships/create_many", memberships(1, 1)))
	w.call("GET", "/api/v2/job_statuses/"+second, nil)
	w.wantViolation("jobs polled one by one")
}

// More than a hundred items in one request are refused and noted.
func TestBulkLimit(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(w *world, n int) reply{
		"create users": func(w *world, n int) reply {
			return w.call("POST", "/api/v2/users/create_many", object{"users": make([]object, n)})
		},
		"update users": func(w *world, n int) reply {
			return w.call("PUT", "/api/v2/users/update_many", object{"users": make([]object, n)})
		},
		"create memberships": func(w *world, n int) reply {
			return w.call("POST", "/api/v2/organization_memberships/create_many", memberships(1, make([]int64, n)...))
		},
		"destroy memberships": func(w *world, n int) reply {
			return w.call("DELETE", "/api/v2/organization_memberships/destroy_many?ids="+strings.Repeat("1,", n), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Configure(bulkImport)
			w.want(send(w, 100), 200)
			w.wantNoViolations()
			w.want(send(w, 101), 400)
			w.wantViolation("more than 100 items")
		})
	}
}

// A job can fail as a whole with nothing done, or have rows that fail though nothing is wrong with them.
func TestJobFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org, _ := w.organization("One", 0)
	a, b := w.person("A", "a@example.com"), w.person("B", "b@example.com")
	path := "/api/v2/organization_memberships/create_many"
	w.Inject(zendesk.Fault{Name: "job", Kind: zendesk.JobFails, Match: zendesk.On("POST", "organization_memberships/create_many"), Times: 1})
	got := w.poll(w.job(w.call("POST", path, memberships(org, a, b))))
	if got.get("job_statuses", 0, "status") != "failed" || got.get("job_statuses", 0, "results") != nil {
		t.Errorf("got %s", got.text)
	}
	w.wantOrganizations(a)
	w.Inject(zendesk.Fault{Name: "row", Kind: zendesk.JobRowFails, Rows: func(i int) bool { return i == 1 }})
	got = w.poll(w.job(w.call("POST", path, memberships(org, a, b))))
	if got.get("job_statuses", 0, "status") != "completed" || got.get("job_statuses", 0, "results", 1, "success") != false {
		t.Errorf("got %s", got.text)
	}
	w.wantOrganizations(a, org)
	w.wantOrganizations(b)
	if log := w.Requests(); log[0].Fault != "job" || log[1].Fault != "" || log[2].Fault != "row" || log[3].Fault != "" {
		t.Errorf("got %+v", log)
	}
}
