package zendesk_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"contactsync/internal/fakes/zendesk"
)

// direct asks a server without a network.
func direct(server *zendesk.Server, method, target, body string) *httptest.ResponseRecorder {
	recorder := httptest.NewRecorder()
	request := httptest.NewRequest(method, target, strings.NewReader(body))
	request.SetBasicAuth(agentEmail+"/token", agentToken)
	server.ServeHTTP(recorder, request)
	return recorder
}

// Whatever is done in whatever order, the lists agree with each other: members with memberships, defaults with
// organization_id, addresses with their only owners.
func TestAccountStaysConsistent(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		server := zendesk.New(zendesk.Options{Email: agentEmail, Token: agentToken})
		server.Configure(func(s *zendesk.Settings) {
			s.MultipleOrganizations = rapid.Bool().Draw(t, "several")
			s.BulkImport, s.UpdateLimit = true, false
		})
		var organizations, users []int64
		for i := range 3 {
			organizations = append(organizations, server.AddOrganization(zendesk.Organization{Name: fmt.Sprint(i)}))
		}
		for i := range 4 {
			users = append(users, server.AddUser(zendesk.User{Name: "U", Email: fmt.Sprintf("u%d@example.com", i)}))
		}
		user := func() int64 { return rapid.SampledFrom(users).Draw(t, "user") }
		organization := func() int64 { return rapid.SampledFrom(organizations).Draw(t, "organization") }
		address := func() string { return fmt.Sprintf("u%d@example.com", rapid.IntRange(0, 6).Draw(t, "address")) }
		t.Repeat(map[string]func(*rapid.T){
			"attach":   func(*rapid.T) { server.Attach(user(), organization()) },
			"detach":   func(*rapid.T) { server.Detach(user(), organization()) },
			"delete":   func(*rapid.T) { direct(server, "DELETE", userPath(user()), "") },
			"dissolve": func(*rapid.T) { server.DeleteOrganization(organization()) },
			"move": func(*rapid.T) {
				direct(server, "PUT", userPath(user()), fmt.Sprintf(`{"user":{"organization_id":%d}}`, organization()))
			},
			"address": func(*rapid.T) {
				direct(server, "PUT", userPath(user()), fmt.Sprintf(`{"user":{"email":%q}}`, address()))
			},
			"join": func(*rapid.T) {
				direct(server, "POST", "/api/v2/organization_memberships",
					fmt.Sprintf(`{"organization_membership":{"user_id":%d,"organization_id":%d,"default":true}}`, user(), organization()))
			},
			"create": func(*rapid.T) {
				direct(server, "POST", "/api/v2/users/create_many",
					fmt.Sprintf(`{"users":[{"name":"N","email":%q,"organization_id":%d}]}`, address(), organization()))
			},
			"": func(t *rapid.T) { checkAccount(t, server) },
		})
	})
}

func checkAccount(t *rapid.T, server *zendesk.Server) {
	fromUsers, owners := map[int64][]int64{}, map[string]int64{}
	for _, u := range server.Users() {
		if u.Inactive && len(u.Organizations) > 0 {
			t.Fatalf("a deleted person is a member: %+v", u)
		}
		for _, o := range u.Organizations {
			fromUsers[o] = append(fromUsers[o], u.ID)
		}
		if u.Inactive {
			continue
		}
		for _, address := range append(u.Secondary, u.Email) {
			if other, taken := owners[address]; taken && address != "" {
				t.Fatalf("%s belongs to %d and %d", address, other, u.ID)
			}
			owners[address] = u.ID
		}
		if len(u.Organizations) == 0 {
			continue
		}
		shown := reply{body: decode(t, direct(server, "GET", userPath(u.ID)+"/organization_memberships?include=users", ""))}
		var home int64
		for i, row := range shown.rows("organization_memberships") {
			if row["default"] == true {
				home += shown.id("organization_memberships", i, "organization_id")
			}
		}
		if home != u.Organizations[0] || shown.id("users", 0, "organization_id") != home {
			t.Fatalf("defaults of %+v: %v", u, shown.body)
		}
	}
	for _, o := range server.OrganizationIDs() {
		var members []int64
		for _, u := range server.MembersOf(o) {
			members = append(members, u.ID)
		}
		if !slices.Equal(members, fromUsers[o]) {
			t.Fatalf("members of %d: %v, by the people themselves %v", o, members, fromUsers[o])
		}
		paged := reply{body: decode(t, direct(server, "GET", organizationPath(o)+"/organization_memberships", ""))}
		ids := paged.ids("organization_memberships", "user_id")
		slices.Sort(ids)
		if !slices.Equal(ids, members) {
			t.Fatalf("memberships of %d: %v, want %v", o, ids, members)
		}
	}
}

// Any page size leads through a list completely and once, in both styles.
func TestAnyPageSize(t *testing.T) {
	t.Parallel()
	server := zendesk.New(zendesk.Options{Email: agentEmail, Token: agentToken})
	org := server.AddOrganization(zendesk.Organization{Name: "One"})
	var want []int64
	for i := range 40 {
		want = append(want, server.AddUser(zendesk.User{Name: "U", Email: fmt.Sprintf("u%d@example.com", i), Organizations: []int64{org}}))
	}
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 50).Draw(t, "size")
		style := rapid.SampledFrom([]string{"per_page=%d", "page[size]=%d"}).Draw(t, "style")
		var got []int64
		for next := organizationPath(org) + "/users?" + fmt.Sprintf(style, size); next != ""; {
			page := reply{body: decode(t, direct(server, "GET", next, ""))}
			got = append(got, page.ids("users", "id")...)
			next, _ = page.get("next_page").(string)
			if page.get("meta") != nil {
				next, _ = page.get("links", "next").(string)
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("got %d of %d rows", len(got), len(want))
		}
	})
}

// No query makes search fail otherwise than with a named refusal, and an address that is in a query alone finds its
// owner, whatever else it finds.
func FuzzSearch(f *testing.F) {
	server := zendesk.New(zendesk.Options{Email: agentEmail, Token: agentToken})
	server.AddOrganization(zendesk.Organization{Name: "One", Fields: object{"cmp_id": "42"}})
	server.AddUser(zendesk.User{Name: "Ada", Email: "ada@example.com"})
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"/api/v2/search", "/api/v2/users/search"} {
			got := direct(server, "GET", path+"?query="+url.QueryEscape(query), "")
			switch got.Code {
			case http.StatusOK, http.StatusBadRequest, http.StatusUnprocessableEntity:
			default:
				t.Errorf("%s %q: got %d %s", path, query, got.Code, got.Body)
			}
			if strings.EqualFold(query, "email:ada@example.com") && !strings.Contains(got.Body.String(), "ada@example.com") {
				t.Errorf("%s %q: not found", path, query)
			}
		}
	})
}

// No body makes a write fail otherwise than with a named refusal.
func FuzzWrites(f *testing.F) {
	targets := []struct{ method, path string }{
		{"POST", "/api/v2/users"}, {"PUT", userPath(380000000001)}, {"POST", "/api/v2/users/create_many"},
		{"POST", "/api/v2/users/create_or_update"}, {"POST", "/api/v2/users/create_or_update_many"}, {"PUT", "/api/v2/users/update_many"},
		{"POST", userPath(380000000001) + "/identities"}, {"POST", "/api/v2/organization_memberships"},
		{"POST", "/api/v2/organization_memberships/create_many"}, {"PUT", organizationPath(360000000001)}, {"POST", "/oauth/tokens"},
	}
	f.Fuzz(func(t *testing.T, target int, body string) {
		server := zendesk.New(zendesk.Options{Email: agentEmail, Token: agentToken})
		server.Configure(bulkImport)
		org := server.AddOrganization(zendesk.Organization{Name: "One"})
		server.AddUser(zendesk.User{Name: "Ada", Email: "ada@example.com", Organizations: []int64{org}})
		to := targets[uint(target)%uint(len(targets))]
		if got := direct(server, to.method, to.path, body); got.Code >= 500 {
			t.Errorf("%s %s %q: got %d %s", to.method, to.path, body, got.Code, got.Body)
		}
	})
}

// An organization of 5,000 is made and listed quickly: everything is indexed by organization.
func BenchmarkFiveThousandMembers(b *testing.B) {
	for b.Loop() {
		server := zendesk.New(zendesk.Options{Email: agentEmail, Token: agentToken})
		org := server.AddOrganization(zendesk.Organization{Name: "One"})
		for i := range 5000 {
			server.AddUser(zendesk.User{Name: "U", Email: fmt.Sprintf("u%d@example.com", i), Organizations: []int64{org}})
		}
		for page := 1; page <= 50; page++ {
			target := fmt.Sprintf("%s/organization_memberships?include=users&per_page=100&page=%d", organizationPath(org), page)
			if got := direct(server, "GET", target, ""); got.Code != http.StatusOK {
				b.Fatal(got.Body)
			}
		}
	}
}
