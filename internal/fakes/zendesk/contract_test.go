package zendesk_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"contactsync/internal/fakes/zendesk"
	"contactsync/internal/fakes/zendesk/contract"
)

// Every endpoint answers as it should to a client that makes no mistake.
func TestEveryEndpoint(t *testing.T) {
	t.Parallel()
	everyEndpoint(newWorld(t))
}

// Every endpoint, asked and answering as Zendesk's own description has it: the stand-in does not merely agree with
// the client that was written beside it.
func TestContract(t *testing.T) {
	everyEndpoint(newWorld(t, func(next http.Handler) http.Handler { return contract.Middleware(t, next) }))
}

func everyEndpoint(w *world) {
	w.Configure(func(s *zendesk.Settings) { s.MultipleOrganizations, s.BulkImport, s.ExportLimit = true, true, 0 })
	org := w.AddOrganization(zendesk.Organization{
		Name: "One", ExternalID: "o-1", Domains: []string{"example.net"},
		Fields: object{"cmp_id": "42", "seats": 7, "ratio": 1.5},
	})
	bare := w.AddOrganization(zendesk.Organization{Name: "Two"})
	ada := w.AddUser(zendesk.User{
		Name: "Ada", Email: "ada@example.com", Secondary: []string{"ada@example.org"}, ExternalID: "u-1",
		Phone: "+44 20 7946 0000", Organizations: []int64{org, bare},
	})
	nobody := w.AddUser(zendesk.User{Name: "Nobody"}) // neither address nor organization
	w.AddUser(zendesk.User{Name: "Agent", Email: "agent@example.com", CustomRole: 7, Organizations: []int64{org}})
	w.AddUser(zendesk.User{Name: "Suspended", Email: "suspended@example.com", Suspended: true, Organizations: []int64{org}})
	w.AddUser(zendesk.User{Name: "Gone", Email: "gone@example.com", Inactive: true})
	w.clock.Advance(time.Hour)

	w.want(w.token(object{"scope": "read write", "expires_in": 3600}), 201)
	w.want(w.bearer("", "GET", "/api/v2/users/me", nil), 200)

	membership := w.call("GET", userPath(ada)+"/organization_memberships", nil).id("organization_memberships", 0, "id")
	for _, path := range []string{
		"account/settings", "organization_fields", "users/me.json", "deleted_users",
		"users", "users?page[size]=2", "users?per_page=2&page=2", "users?role=agent",
		fmt.Sprintf("users/%d", ada), fmt.Sprintf("users/%d", nobody), fmt.Sprintf("users/%d?include=identities", ada),
		fmt.Sprintf("users/show_many?ids=%d,%d&include=identities,organizations", ada, nobody),
		"users/show_many?external_ids=u-1&include_deleted=true",
		"users/search?query=type:user+email:ada@example.com&per_page=100&page=1", "users/search?external_id=u-1",
		fmt.Sprintf("users/%d/identities", ada), fmt.Sprintf("users/%d/identities?page[size]=1", ada),
		fmt.Sprintf("users/%d/organizations", ada),
		fmt.Sprintf("users/%d/organization_memberships?include=users,organizations", ada),
		"organizations", "organizations/count", "organizations?page[size]=1&sort=id", "organizations?per_page=1&page=1",
		fmt.Sprintf("organizations/show_many?ids=%d,%d", org, bare), "organizations/show_many?external_ids=o-1",
		"organizations/search?external_id=o-1", "organizations/search?name=one", "organizations/autocomplete?name=one",
		fmt.Sprintf("organizations/%d", org), fmt.Sprintf("organizations/%d", bare),
		fmt.Sprintf("organizations/%d/users?include=identities&per_page=1", org),
		fmt.Sprintf("organizations/%d/users?page[size]=1", org),
		fmt.Sprintf("organizations/%d/users/count", org), fmt.Sprintf("organizations/%d/related", org),
		fmt.Sprintf("organizations/%d/organization_memberships?include=users&per_page=1&page=1", org),
		fmt.Sprintf("organizations/%d/organization_memberships?include=users&page[size]=1", org),
		"organization_memberships?page[size]=1&include=users", fmt.Sprintf("organization_memberships/%d", membership),
		"incremental/organizations?start_time=0&per_page=1", "incremental/users/cursor?start_time=0&per_page=1",
		"search?query=type:organization+cmp_id:42&per_page=100&page=1", "search?query=type:user+ada",
	} {
		w.want(w.call("GET", "/api/v2/"+path, nil), 200)
	}
	export := w.call("GET", "/api/v2/incremental/users/cursor?start_time=0&per_page=1", nil)
	cursor, _ := export.get("after_cursor").(string)
	w.want(w.call("GET", "/api/v2/incremental/users/cursor?cursor="+cursor, nil), 200)

	created := w.want(w.call("POST", "/api/v2/users", object{"user": object{
		"name": "New", "email": "new@example.com", "organization_id": org, "skip_verify_email": true, "verified": true,
	}}), 201).id("user", "id")
	w.want(w.call("POST", "/api/v2/users", object{"user": object{"name": "New", "email": "new@example.com"}}), 422)
	w.want(w.call("POST", "/api/v2/users/create_or_update", object{"user": object{
		"name": "Other", "email": "other@example.com", "skip_verify_email": true,
	}}), 201)
	w.clock.Advance(time.Second)
	w.want(w.call("POST", "/api/v2/users/create_or_update", object{"user": object{"name": "Otter", "email": "other@example.com"}}), 200)
	w.clock.Advance(time.Second)
	w.want(w.call("PUT", userPath(created), object{"user": object{"name": "Newer"}}), 200)
	identity := w.want(w.call("POST", userPath(created)+"/identities", object{"identity": object{
		"type": "email", "value": "newer@example.com", "skip_verify_email": true, "verified": true,
	}}), 201).id("identity", "id")
	w.want(w.call("PUT", fmt.Sprintf("%s/identities/%d/verify", userPath(created), identity), nil), 200)
	w.want(w.call("PUT", fmt.Sprintf("%s/identities/%d/make_primary", userPath(created), identity), nil), 200)

	made := w.want(w.call("POST", "/api/v2/organization_memberships",
		object{"organization_membership": membershipOf(nobody, org)}), 201).id("organization_membership", "id")
	w.want(w.call("PUT", fmt.Sprintf("%s/organization_memberships/%d/make_default", userPath(nobody), made), nil), 200)
	w.want(w.call("DELETE", fmt.Sprintf("/api/v2/organization_memberships/%d", made), nil), 204)
	w.want(w.call("DELETE", fmt.Sprintf("%s/organizations/%d", userPath(created), org), nil), 204)
	w.want(w.call("PUT", organizationPath(bare), object{"organization": object{"organization_fields": object{"cmp_id": "43"}}}), 200)

	everyTicketEndpoint(w, ada, org)

	w.Configure(func(s *zendesk.Settings) { s.JobPolls = 1 })
	jobs := []string{
		w.job(w.call("POST", "/api/v2/users/create_many", object{"users": []any{
			object{"name": "A", "email": "a@example.com", "organization_id": org, "skip_verify_email": true},
			object{"name": "A", "email": "a@example.com"}, object{"name": "B", "email": "no address"},
		}})),
		w.job(w.call("POST", "/api/v2/users/create_or_update_many", object{"users": []any{
			object{"name": "C", "email": "c@example.com", "skip_verify_email": true}, object{"name": "D", "email": "ada@example.com"},
		}})),
		w.job(w.call("PUT", "/api/v2/users/update_many", object{"users": []any{object{"id": ada, "name": "Ada L"}}})),
		w.job(w.call("PUT", fmt.Sprintf("/api/v2/users/update_many?ids=%d", ada), object{"user": object{"name": "Ada M"}})),
		w.job(w.call("POST", "/api/v2/organization_memberships/create_many", memberships(org, nobody, 1))),
		w.job(w.call("DELETE", fmt.Sprintf("/api/v2/organization_memberships/destroy_many?ids=%d,2", membership), nil)),
	}
	w.poll(jobs...) // working, without results
	if done := w.poll(jobs...); strings.Contains(done.text, "working") {
		w.t.Errorf("got %s", done.text)
	}
	w.want(w.call("GET", "/api/v2/job_statuses/"+jobs[0], nil), 200)
	w.want(w.call("GET", "/api/v2/job_statuses", nil), 200)
	w.want(w.call("DELETE", userPath(created), nil), 200)
	w.want(w.call("GET", userPath(created), nil), 200)
}

func everyTicketEndpoint(w *world, requester, org int64) {
	ticket := w.AddTicket(zendesk.Ticket{
		Subject: "Set us up", Requester: requester, Organization: org, Priority: "high", Type: "question",
		Assignee: 5, Group: 6, CustomStatus: 7, Tags: []string{"vip"}, Fields: map[int64]any{8: "yes", 9: nil, 10: true},
	})
	bare := w.AddTicket(zendesk.Ticket{})
	public := false
	macro := w.AddMacro(zendesk.Macro{Title: "Intro", Comment: "Hello {{ticket.requester.name}}", HTML: true, Public: &public,
		Status: "pending", AddTags: []string{"intro"}, Fields: map[int64]any{8: "no"}})
	silent := w.AddMacro(zendesk.Macro{Title: "Close", Status: "solved"})
	for _, path := range []string{
		"macros/active", "macros/active?per_page=1&page=2", "macros/active?page[size]=1",
		fmt.Sprintf("tickets/%d", ticket), fmt.Sprintf("tickets/%d?include=users", ticket), fmt.Sprintf("tickets/%d", bare),
		fmt.Sprintf("tickets/%d/macros/%d/apply", ticket, macro), fmt.Sprintf("tickets/%d/macros/%d/apply", bare, silent),
	} {
		w.want(w.call("GET", "/api/v2/"+path, nil), 200)
	}
	update := object{"ticket": object{
		"comment": object{"html_body": "<p>Hello</p>", "public": true}, "tags": []string{"vip", "answered"}, "status": "solved",
		"priority": nil, "type": "task", "assignee_id": nil, "group_id": 4, "custom_status_id": 3, "subject": "Done",
		"custom_fields": []any{object{"id": 8, "value": "no"}}, "safe_update": true,
		"updated_stamp": w.call("GET", ticketPath(ticket), nil).get("ticket", "updated_at"),
	}}
	w.want(w.call("PUT", ticketPath(ticket), update), 200)
	w.want(w.call("PUT", ticketPath(ticket), update), 409)
}

func ticketPath(id int64) string { return fmt.Sprintf("/api/v2/tickets/%d", id) }
