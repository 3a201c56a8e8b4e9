package zendesk_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"contactsync/internal/fakes/zendesk"
)

func multiple(s *zendesk.Settings)   { s.MultipleOrganizations = true }
func bulkImport(s *zendesk.Settings) { s.BulkImport = true }

// Writing the organization of an existing person throws them out of all others, whichever way it is written.
func TestOrganizationIDRemovesOtherMemberships(t *testing.T) {
	t.Parallel()
	ways := map[string]func(w *world, user, organization int64) reply{
		"update": func(w *world, user, organization int64) reply {
			return w.call("PUT", userPath(user), object{"user": object{"organization_id": organization}})
		},
		"update by ids": func(w *world, user, organization int64) reply {
			return w.call("PUT", "/api/v2/users/update_many?ids="+fmt.Sprint(user),
				object{"user": object{"organization_id": organization}})
		},
		"update many": func(w *world, user, organization int64) reply {
			return w.call("PUT", "/api/v2/users/update_many",
				object{"users": []any{object{"id": user, "organization_id": organization}}})
		},
		"create or update": func(w *world, _, organization int64) reply {
			return w.call("POST", "/api/v2/users/create_or_update",
				object{"user": object{"name": "Ada", "email": "ada@example.com", "organization_id": organization}})
		},
		"create or update many": func(w *world, _, organization int64) reply {
			return w.call("POST", "/api/v2/users/create_or_update_many",
				object{"users": []any{object{"name": "Ada", "email": "ADA@example.com", "organization_id": organization}}})
		},
	}
	for name, write := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Configure(multiple)
			w.Configure(bulkImport)
			first, second, third := w.AddOrganization(zendesk.Organization{Name: "A"}),
				w.AddOrganization(zendesk.Organization{Name: "B"}), w.AddOrganization(zendesk.Organization{Name: "C"})
			ada := w.person("Ada", "ada@example.com", first, second)
			w.want(write(w, ada, third), http.StatusOK)
			w.wantOrganizations(ada, third)
			w.wantViolation("organization written on an existing person")
		})
	}
}

// A null organization is a write, too: it removes every membership.
func TestNullOrganizationRemovesAllMemberships(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org, users := w.organization("One", 1)
	w.want(w.call("PUT", userPath(users[0]), object{"user": object{"organization_id": nil}}), http.StatusOK)
	w.wantOrganizations(users[0])
	if got := w.MembersOf(org); len(got) != 0 {
		t.Errorf("members left: %v", got)
	}
	w.wantViolation("organization written")
}

// Removing the default membership makes the oldest other one the default.
func TestRemovingTheDefaultPromotesAnother(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(w *world, user, organization int64) reply{
		"by membership": func(w *world, user, _ int64) reply {
			list := w.call("GET", userPath(user)+"/organization_memberships", nil)
			return w.call("DELETE", fmt.Sprintf("/api/v2/organization_memberships/%d", list.id("organization_memberships", 0, "id")), nil)
		},
		"by organization": func(w *world, user, organization int64) reply {
			return w.call("DELETE", userPath(user)+fmt.Sprintf("/organizations/%d", organization), nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Configure(multiple)
			a, b, c := w.AddOrganization(zendesk.Organization{Name: "A"}), w.AddOrganization(zendesk.Organization{Name: "B"}),
				w.AddOrganization(zendesk.Organization{Name: "C"})
			ada := w.person("Ada", "ada@example.com", a, b, c)
			w.want(remove(w, ada, a), http.StatusNoContent)
			w.wantOrganizations(ada, b, c)
			if got := w.call("GET", userPath(ada), nil).id("user", "organization_id"); got != b {
				t.Errorf("the default organization is %d, want %d", got, b)
			}
			w.wantNoViolations()
		})
	}
}

// Another membership can be made the default; the list tells with true and null.
func TestMakeDefault(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Configure(multiple)
	a, _ := w.organization("A", 0)
	b, _ := w.organization("B", 0)
	ada := w.person("Ada", "ada@example.com", a, b)
	second := w.call("GET", userPath(ada)+"/organization_memberships", nil).id("organization_memberships", 1, "id")
	got := w.want(w.call("PUT", userPath(ada)+fmt.Sprintf("/organization_memberships/%d/make_default", second), nil), 200)
	if got.get("organization_memberships", 0, "default") != nil || got.get("organization_memberships", 1, "default") != true {
		t.Errorf("got %s", got.text)
	}
	w.wantOrganizations(ada, b, a)
	w.want(w.call("PUT", userPath(ada)+"/organization_memberships/7/make_default", nil), 404)
}

// The last membership leaves nothing behind but the person.
func TestRemovingTheLastMembershipKeepsThePerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org, users := w.organization("One", 1)
	w.want(w.call("DELETE", userPath(users[0])+fmt.Sprintf("/organizations/%d", org), nil), http.StatusNoContent)
	if got := w.call("GET", userPath(users[0]), nil); got.get("user", "organization_id") != nil || got.get("user", "active") != true {
		t.Errorf("got %s", got.text)
	}
	w.want(w.call("DELETE", userPath(users[0])+fmt.Sprintf("/organizations/%d", org), nil), http.StatusNotFound)
}

// An address that anybody has, as a primary or secondary one or invisibly, cannot be taken again; a deleted person's can.
func TestDuplicateAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.AddUser(zendesk.User{Name: "Ada", Email: "ada@example.com", Secondary: []string{"countess@example.com"}})
	w.AddUser(zendesk.User{Name: "Gone", Email: "gone@example.com", Inactive: true})
	w.BlockAddress("merged@example.com")
	for address, want := range map[string]int{
		"ada@example.com": 422, "ADA@Example.com": 422, "Countess@example.com": 422, "merged@example.com": 422,
		"gone@example.com": 201, "new@example.com": 201,
	} {
		got := w.want(w.call("POST", "/api/v2/users",
			object{"user": object{"name": "Somebody", "email": address, "skip_verify_email": true}}), want)
		if want == 422 && (got.get("error") != "RecordInvalid" || got.get("details", "email", 0, "error") != "DuplicateValue") {
			t.Errorf("%s: got %s", address, got.text)
		}
	}
	w.wantNoViolations()
}

// An address written on an existing person becomes a secondary one; only make_primary makes it the first.
func TestNewAddressIsSecondaryUntilMadePrimary(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.person("Ada", "ada@example.com")
	got := w.want(w.call("PUT", userPath(ada),
		object{"user": object{"email": "ada@example.org", "skip_verify_email": true}}), http.StatusOK)
	if email := got.get("user", "email"); email != "ada@example.com" {
		t.Errorf("the primary address became %v", email)
	}
	list := w.call("GET", userPath(ada)+"/identities", nil)
	second := list.id("identities", 1, "id")
	if list.get("identities", 1, "value") != "ada@example.org" || list.get("identities", 1, "primary") != false {
		t.Fatalf("got %s", list.text)
	}
	w.want(w.call("PUT", userPath(ada)+fmt.Sprintf("/identities/%d/make_primary", second), nil), http.StatusOK)
	if u, _ := w.User(ada); u.Email != "ada@example.org" || !slices.Equal(u.Secondary, []string{"ada@example.com"}) {
		t.Errorf("got %+v", u)
	}
	if u, ok := w.UserByEmail("ada@example.com"); !ok || u.ID != ada {
		t.Errorf("the former address is lost")
	}
	w.wantNoViolations()
}

// Identities are created verified or not, verified later, and refused where the address is somebody else's.
func TestIdentities(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada, bob := w.person("Ada", "ada@example.com"), w.person("Bob", "bob@example.com")
	made := w.want(w.call("POST", userPath(ada)+"/identities",
		object{"identity": object{"type": "email", "value": "ada@example.org", "skip_verify_email": true}}), http.StatusCreated)
	if made.get("identity", "verified") != false {
		t.Errorf("got %s", made.text)
	}
	path := fmt.Sprintf("/identities/%d", made.id("identity", "id"))
	if got := w.want(w.call("PUT", userPath(ada)+path+"/verify", nil), http.StatusOK); got.get("identity", "verified") != true {
		t.Errorf("got %s", got.text)
	}
	w.want(w.call("PUT", userPath(bob)+path+"/verify", nil), http.StatusNotFound)
	refused := w.want(w.call("POST", userPath(bob)+"/identities",
		object{"identity": object{"type": "email", "value": "ADA@example.org", "skip_verify_email": true}}), 422)
	if refused.get("details", "value", 0, "error") != "DuplicateValue" {
		t.Errorf("got %s", refused.text)
	}
	w.wantNoViolations()
}

// Every write that would send mail is noted: creations and new addresses without skip_verify_email.
func TestMailIsNoted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Configure(bulkImport)
	ada := w.person("Ada", "ada@example.com")
	w.call("POST", "/api/v2/users", object{"user": object{"name": "A", "email": "a@example.com"}})
	w.call("POST", "/api/v2/users", object{"user": object{"name": "B", "email": "b@example.com", "skip_verify_email": true}})
	w.call("POST", "/api/v2/users/create_many", object{"users": []any{object{"name": "C", "email": "c@example.com"}}})
	w.call("PUT", userPath(ada), object{"user": object{"email": "d@example.com"}})
	w.call("POST", userPath(ada)+"/identities", object{"identity": object{"type": "email", "value": "e@example.com"}})
	want := []string{"a@example.com", "c@example.com", "d@example.com", "e@example.com"}
	if got := w.Mails(); !slices.Equal(got, want) {
		t.Errorf("mail to %q, want %q", got, want)
	}
	w.wantViolation("mail sent to a@example.com")
}

// A membership cannot be added twice, nor to what does not exist.
func TestCreateMembership(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org, users := w.organization("One", 1)
	loner, gone := w.person("Loner", "loner@example.com"), w.AddUser(zendesk.User{Name: "Gone", Inactive: true})
	for _, test := range []struct {
		name    string
		user    int64
		org     int64
		status  int
		problem string
	}{
		{"new", loner, org, 201, ""},
		{"again", loner, org, 422, "user_id"},
		{"already a member", users[0], org, 422, "user_id"},
		{"no such organization", loner, org + 1, 422, "organization"},
		{"ids mixed up", org, loner, 422, "user"},
		{"deleted person", gone, org, 422, "user"},
	} {
		got := w.call("POST", "/api/v2/organization_memberships", object{"organization_membership": membershipOf(test.user, test.org)})
		if got.status != test.status || test.problem != "" && got.get("details", test.problem, 0, "error") == nil {
			t.Errorf("%s: got %d %s", test.name, got.status, got.text)
		}
	}
}

// With one organization per person, a second membership moves the person or is refused, as the test chooses.
func TestSecondMembership(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		configure func(*zendesk.Settings)
		status    int
		stays     bool // in the first organization
		arrives   bool // in the second
	}{
		{"one each, moving", func(s *zendesk.Settings) {}, 201, false, true},
		{"one each, refusing", func(s *zendesk.Settings) { s.MoveOnSecondMembership = false }, 422, true, false},
		{"several", multiple, 201, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Configure(test.configure)
			first, users := w.organization("First", 1)
			second, _ := w.organization("Second", 0)
			w.want(w.call("POST", "/api/v2/organization_memberships",
				object{"organization_membership": membershipOf(users[0], second)}), test.status)
			got := w.organizationsOf(users[0])
			if slices.Contains(got, first) != test.stays || slices.Contains(got, second) != test.arrives {
				t.Errorf("belongs to %v", got)
			}
		})
	}
}

// A creation with an unknown organization is a 404 and leaves nothing behind.
func TestCreateUserInUnknownOrganization(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.want(w.call("POST", "/api/v2/users",
		object{"user": object{"name": "Ada", "email": "ada@example.com", "organization_id": 7}}), http.StatusNotFound)
	if got.get("error") != "RecordNotFound" || len(w.Users()) != 0 {
		t.Errorf("got %s, users %v", got.text, w.Users())
	}
}

// Names and addresses are checked as the desk checks them.
func TestCreateUserValidation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, test := range map[string]struct {
		user object
		code string
	}{
		"no name":      {object{"email": "a@example.com"}, "BlankValue"},
		"blank name":   {object{"name": "  ", "email": "a@example.com"}, "BlankValue"},
		"long name":    {object{"name": strings.Repeat("é", 256)}, "ValueTooLong"},
		"no address":   {object{"name": "A", "email": "a.example.com"}, "InvalidFormat"},
		"two ats":      {object{"name": "A", "email": "a@b@example.com"}, "InvalidFormat"},
		"no dot":       {object{"name": "A", "email": "a@localhost"}, "InvalidFormat"},
		"space":        {object{"name": "A", "email": "a b@example.com"}, "InvalidFormat"},
		"bad identity": {object{"name": "A", "identities": []any{object{"type": "email", "value": "x"}}}, "InvalidFormat"},
	} {
		got := w.want(w.call("POST", "/api/v2/users", object{"user": test.user}), 422)
		if !strings.Contains(got.text, test.code) {
			t.Errorf("%s: got %s", name, got.text)
		}
	}
	if got := w.Users(); len(got) != 0 {
		t.Errorf("created: %v", got)
	}
}

// A person shared from another account refuses every update with 403.
func TestSharedUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shared := w.AddUser(zendesk.User{Name: "Shared", Email: "shared@example.com", Shared: true})
	w.want(w.call("PUT", userPath(shared), object{"user": object{"name": "Other"}}), http.StatusForbidden)
	w.want(w.call("POST", userPath(shared)+"/identities",
		object{"identity": object{"type": "email", "value": "x@example.com"}}), http.StatusForbidden)
	if u, _ := w.User(shared); u.Name != "Shared" || len(u.Secondary) != 0 {
		t.Errorf("got %+v", u)
	}
	w.wantViolation("a write to a shared person")
}

// Whoever writes to staff or to suspended people is told on, whatever the write.
func TestProtectedPeople(t *testing.T) {
	t.Parallel()
	kinds := map[string]zendesk.User{
		"an agent": {Role: "agent"}, "an admin": {Role: "admin"}, "a suspended person": {Suspended: true},
		"a shared person": {Shared: true},
	}
	for kind, user := range kinds {
		for name, write := range map[string]func(w *world, id, organization int64){
			"rename": func(w *world, id, _ int64) { w.call("PUT", userPath(id), object{"user": object{"name": "X"}}) },
			"add": func(w *world, id, organization int64) {
				w.Detach(id, organization)
				w.call("POST", "/api/v2/organization_memberships", object{"organization_membership": membershipOf(id, organization)})
			},
			"remove": func(w *world, id, organization int64) {
				w.call("DELETE", userPath(id)+fmt.Sprintf("/organizations/%d", organization), nil)
			},
			"address": func(w *world, id, _ int64) {
				w.call("POST", userPath(id)+"/identities", object{"identity": object{"type": "email", "value": "x@example.com"}})
			},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				org, _ := w.organization("One", 0)
				user.Name, user.Email, user.Organizations = "P", "p@example.com", []int64{org}
				id := w.AddUser(user)
				write(w, id, org)
				w.wantViolation("a write to " + kind)
			})
		}
	}
}

// Roles, deletions, wiped settings and unknown endpoints are noted too.
func TestOtherViolations(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		do   func(w *world, user, organization int64)
		want string
	}{
		"role":    {func(w *world, u, _ int64) { w.call("PUT", userPath(u), object{"user": object{"role": "agent"}}) }, "a role written"},
		"suspend": {func(w *world, u, _ int64) { w.call("PUT", userPath(u), object{"user": object{"suspended": true}}) }, "suspended"},
		"delete":  {func(w *world, u, _ int64) { w.call("DELETE", userPath(u), nil) }, "a person deleted"},
		"unknown": {func(w *world, u, _ int64) { w.call("GET", "/api/v2/people", nil) }, "unknown endpoint"},
		"too many": {func(w *world, u, _ int64) {
			w.call("GET", "/api/v2/users/show_many?ids="+strings.Repeat("1,", 101), nil)
		}, "more than 100"},
		"settings": {func(w *world, _, o int64) {
			w.call("PUT", organizationPath(o), object{"organization": object{"name": "One", "domain_names": nil, "tags": nil}})
		}, "settings overwritten"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			org, users := w.organization("One", 1)
			test.do(w, users[0], org)
			w.wantViolation(test.want)
		})
	}
}

// Deleted people are in no list, keep answering by id as inactive, and are listed as deleted.
func TestSoftDeletedPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org, users := w.organization("One", 2)
	w.want(w.call("DELETE", userPath(users[0]), nil), http.StatusOK)
	for _, path := range []string{
		"/api/v2/users", organizationPath(org) + "/users", "/api/v2/users/show_many?ids=" + fmt.Sprintf("%d,%d", users[0], users[1]),
		"/api/v2/users/search?query=" + url.QueryEscape("type:user name:one"),
	} {
		if got := w.call("GET", path, nil).ids("users", "id"); !slices.Equal(got, users[1:]) {
			t.Errorf("%s: got %v, want %v", path, got, users[1:])
		}
	}
	if got := w.call("GET", organizationPath(org)+"/organization_memberships", nil).ids("organization_memberships", "user_id"); !slices.Equal(got, users[1:]) {
		t.Errorf("memberships of %v", got)
	}
	if got := w.want(w.call("GET", userPath(users[0]), nil), 200); got.get("user", "active") != false {
		t.Errorf("got %s", got.text)
	}
	deleted := "/api/v2/users/show_many?include_deleted=true&ids=" + fmt.Sprint(users[0])
	if got := w.call("GET", deleted, nil).ids("users", "id"); !slices.Equal(got, users[:1]) {
		t.Errorf("with include_deleted: %v", got)
	}
	if got := w.call("GET", "/api/v2/deleted_users", nil).ids("deleted_users", "id"); !slices.Equal(got, users[:1]) {
		t.Errorf("deleted: %v", got)
	}
	w.want(w.call("PUT", userPath(users[0]), object{"user": object{"name": "X"}}), http.StatusNotFound)
	w.want(w.call("POST", "/api/v2/users",
		object{"user": object{"name": "Next", "email": "one0@example.com", "skip_verify_email": true}}), http.StatusCreated)
}

// A filter by address on the list of users is ignored: everybody comes back.
func TestUsersIgnoreTheEmailParameter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, users := w.organization("One", 3)
	if got := w.call("GET", "/api/v2/users?email=one0@example.com", nil).ids("users", "id"); !slices.Equal(got, users) {
		t.Errorf("got %v, want everybody", got)
	}
}

// create_or_update with nothing but an address makes a record: it is no way to look somebody up.
func TestCreateOrUpdateCreates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := object{"user": object{"email": "ada@example.com", "skip_verify_email": true}}
	first := w.want(w.call("POST", "/api/v2/users/create_or_update", body), http.StatusCreated)
	w.clock.Advance(time.Second)
	second := w.want(w.call("POST", "/api/v2/users/create_or_update", body), http.StatusOK)
	if first.id("user", "id") != second.id("user", "id") || len(w.Users()) != 1 {
		t.Errorf("got %s and %s", first.text, second.text)
	}
}

// People with an organization's domain are added to it without being asked for.
func TestDomainMapping(t *testing.T) {
	t.Parallel()
	for _, several := range []bool{false, true} {
		w := newWorld(t)
		w.Configure(func(s *zendesk.Settings) { s.MultipleOrganizations = several })
		asked, _ := w.organization("Asked", 0)
		mapped := w.AddOrganization(zendesk.Organization{Name: "Mapped", Domains: []string{"example.org"}})
		create := func(email string, extra object) int64 {
			user := object{"name": "A", "email": email, "skip_verify_email": true}
			for key, value := range extra {
				user[key] = value
			}
			return w.want(w.call("POST", "/api/v2/users", object{"user": user}), 201).id("user", "id")
		}
		w.wantOrganizations(create("a@Example.org", nil), mapped)
		both := create("b@example.org", object{"organization_id": asked})
		if several {
			w.wantOrganizations(both, asked, mapped)
		} else {
			w.wantOrganizations(both, asked)
		}
		w.wantOrganizations(create("c@sub.example.org", nil))
	}
}

// What people do by hand at the desk shows at once in every list.
func TestByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Configure(multiple)
	org, users := w.organization("One", 2)
	other, _ := w.organization("Two", 0)
	w.Attach(users[1], other)
	w.Detach(users[0], org)
	w.UpdateUser(users[1], func(u *zendesk.User) { u.Name, u.Suspended, u.Secondary = "New", true, []string{"more@example.com"} })
	w.wantOrganizations(users[0])
	w.wantOrganizations(users[1], org, other)
	got := w.call("GET", organizationPath(org)+"/users?include=identities", nil)
	if !slices.Equal(got.ids("users", "id"), users[1:]) || got.get("users", 0, "suspended") != true ||
		got.get("users", 0, "name") != "New" || len(got.rows("identities")) != 2 {
		t.Errorf("got %s", got.text)
	}
	w.DeleteOrganization(other)
	w.wantOrganizations(users[1], org)
	w.want(w.call("GET", organizationPath(other), nil), http.StatusNotFound)
	if got := w.OrganizationIDs(); !slices.Equal(got, []int64{org}) {
		t.Errorf("organizations %v", got)
	}
	w.UpdateUser(users[1], func(u *zendesk.User) { u.Inactive = true })
	if got := w.MembersOf(org); len(got) != 0 {
		t.Errorf("members %v", got)
	}
}
