package zendesk_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"contactsync/internal/fakes/zendesk"
)

// A crowd cannot be told from people who were added one by one: not by reading, not after a write, and not by whoever
// looks into the account.
func TestCrowd(t *testing.T) {
	t.Parallel()
	person := func(i int) zendesk.User {
		return zendesk.User{Name: fmt.Sprintf("Person %d", i), Email: fmt.Sprintf("Person.%d@example.com", i)}
	}
	build := func(crowd bool) (*world, int64) {
		w := newWorld(t)
		org, _ := w.organization("One", 3)
		if crowd {
			w.AddCrowd(org, 150, person)
		} else {
			for i := range 150 {
				p := person(i)
				p.Organizations = []int64{org}
				w.AddUser(p)
			}
		}
		other, _ := w.organization("Two", 2)
		w.AddUser(zendesk.User{Name: "Last", Email: "last@example.com", Organizations: []int64{org, other}})
		return w, org
	}
	crowd, org := build(true)
	plain, same := build(false)
	if org != same {
		t.Fatalf("the worlds differ from the beginning: %d, %d", org, same)
	}
	path := organizationPath(org)
	compare := func(when string, paths ...string) {
		t.Helper()
		for _, path := range paths {
			answer := func(w *world) string {
				return strings.ReplaceAll(w.want(w.call("GET", path, nil), http.StatusOK).text, w.url, "")
			}
			if got, want := answer(crowd), answer(plain); got != want {
				t.Errorf("%s, %s: a crowd answers\n%.500s\nand people\n%.500s", when, path, got, want)
			}
		}
	}
	members := []string{
		path + "/organization_memberships?include=users", path + "/organization_memberships?include=users&page=2",
		path + "/organization_memberships?page[size]=70", path + "/users/count",
		"/api/v2/organizations", "/api/v2/account/settings", "/api/v2/incremental/organizations?start_time=0",
	}
	member := crowd.call("GET", members[1], nil).ids("organization_memberships", "user_id")[10]
	compare("before anybody looks closer", members...)
	compare("again", members...)
	others := []string{
		path + "/users?page=2", fmt.Sprintf("/api/v2/users/%d", member), fmt.Sprintf("/api/v2/users/show_many?ids=%d,%d&include=identities", member, member+1),
		fmt.Sprintf("/api/v2/users/%d/organization_memberships", member), "/api/v2/organization_memberships?page[size]=100",
		"/api/v2/users?page[size]=100", path + "/related",
	}
	compare("when somebody does", others...)
	compare("afterwards", members...)

	crowd, _ = build(true)
	for _, w := range []*world{crowd, plain} {
		w.want(w.call("PUT", fmt.Sprintf("/api/v2/users/%d", member), map[string]any{"user": map[string]any{"name": "Renamed"}}), http.StatusOK)
		w.Detach(member+1, org)
	}
	compare("after a write", slices.Concat(members, others)...)
	for _, look := range []func(w *world) any{
		func(w *world) any { return w.Users() },
		func(w *world) any { return w.MembersOf(org) },
		func(w *world) any { u, _ := w.UserByEmail("person.7@example.com"); return u },
	} {
		fresh, _ := build(true)
		if got, want := fmt.Sprint(look(crowd)), fmt.Sprint(look(plain)); got != want {
			t.Errorf("got\n%.300s\nwant\n%.300s", got, want)
		}
		other, _ := build(false)
		if got, want := fmt.Sprint(look(fresh)), fmt.Sprint(look(other)); got != want {
			t.Errorf("untouched: got\n%.300s\nwant\n%.300s", got, want)
		}
	}
	if v := crowd.Violations(); len(v) > 0 {
		t.Errorf("violations: %v", v)
	}
}
