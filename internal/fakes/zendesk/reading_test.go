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

// walk reads a list to its end by the addresses that the answers give, and returns the pages.
func (w *world) walk(path string) []reply {
	w.t.Helper()
	var pages []reply
	for next := path; next != ""; {
		got := w.want(w.call("GET", next, nil), http.StatusOK)
		pages = append(pages, got)
		next, _ = got.get("next_page").(string)
		if got.get("meta", "has_more") == true {
			next, _ = got.get("links", "next").(string)
		}
	}
	return pages
}

func collect(pages []reply, list, field string) []int64 {
	var ids []int64
	for _, page := range pages {
		ids = append(ids, page.ids(list, field)...)
	}
	return ids
}

// Both styles of paging lead through every list completely, in order and without doubles.
func TestPagingIsComplete(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org, users := w.organization("One", 23)
	w.organization("Two", 4)
	for _, list := range []struct{ path, name, field string }{
		{organizationPath(org) + "/organization_memberships", "organization_memberships", "user_id"},
		{organizationPath(org) + "/users.json", "users", "id"},
	} {
		for paging, pages := range map[string]int{
			"": 1, "per_page=10": 3, "per_page=10&page=1": 3, "per_page=23": 1, "per_page=1000": 1,
			"page[size]=10": 3, "page[size]=23": 1, "page[size]=22": 2,
		} {
			got := w.walk(list.path + "?" + paging)
			if ids := collect(got, list.name, list.field); !slices.Equal(ids, users) || len(got) != pages {
				t.Errorf("%s?%s: %d pages, %v", list.path, paging, len(got), ids)
			}
		}
	}
	if got := w.walk("/api/v2/organization_memberships?page[size]=5"); len(collect(got, "organization_memberships", "id")) != 27 {
		t.Errorf("the account's memberships are incomplete")
	}
}

// A page has a hundred rows at most, whatever was asked for.
func TestPagesAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org, _ := w.organization("One", 101)
	for _, paging := range []string{"", "?per_page=1000", "?page[size]=1000"} {
		if got := w.call("GET", organizationPath(org)+"/users"+paging, nil); len(got.rows("users")) != 100 || !more(got) {
			t.Errorf("%q: got %d rows", paging, len(got.rows("users")))
		}
	}
}

// Offset answers carry the count, cursor answers do not.
func TestPagingStyles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org, _ := w.organization("One", 3)
	path := organizationPath(org) + "/organization_memberships?"
	offset := w.call("GET", path+"per_page=2", nil)
	if offset.id("count") != 3 || offset.get("meta") != nil || offset.get("next_page") == nil {
		t.Errorf("got %s", offset.text)
	}
	cursor := w.call("GET", path+"page[size]=2", nil)
	if cursor.get("count") != nil || cursor.get("meta", "has_more") != true || cursor.get("meta", "after_cursor") == nil {
		t.Errorf("got %s", cursor.text)
	}
	w.Configure(func(s *zendesk.Settings) { s.CursorPaging = false })
	if got := w.call("GET", path+"page[size]=2", nil); got.id("count") != 3 {
		t.Errorf("without cursor paging: %s", got.text)
	}
	w.Configure(func(s *zendesk.Settings) { s.CursorPaging, s.OffsetPaging = true, false })
	if got := w.call("GET", path+"per_page=2&page=1", nil); got.get("meta") == nil || got.get("count") != nil {
		t.Errorf("without offset paging: %s", got.text)
	}
}

// A cursor goes on behind its place although the row there is gone; what comes new meanwhile is seen.
func TestCursorSurvivesChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org, users := w.organization("One", 4)
	path := organizationPath(org) + "/organization_memberships?page[size]=2"
	first := w.call("GET", path, nil)
	w.Detach(users[1], org)
	late := w.person("Late", "late@example.com", org)
	next, _ := first.get("links", "next").(string)
	if got := w.call("GET", next, nil).ids("organization_memberships", "user_id"); !slices.Equal(got, users[2:]) {
		t.Errorf("second page %v", got)
	}
	all := collect(w.walk(path), "organization_memberships", "user_id")
	if want := []int64{users[0], users[2], users[3], late}; !slices.Equal(all, want) {
		t.Errorf("got %v, want %v", all, want)
	}
}

// Offset paging of memberships fails at page 101, and everywhere beyond ten thousand rows.
func TestOffsetDepth(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org, _ := w.organization("One", 1)
	for path, want := range map[string]int{
		organizationPath(org) + "/organization_memberships?per_page=1&page=100": 200,
		organizationPath(org) + "/organization_memberships?per_page=1&page=101": 400,
		"/api/v2/users?per_page=100&page=100":                                   200,
		"/api/v2/users?per_page=100&page=101":                                   400,
		"/api/v2/users?per_page=10&page=1000":                                   200,
		"/api/v2/users?page=none":                                               400,
		"/api/v2/users?page[size]=none":                                         400,
		"/api/v2/users?page[after]=none":                                        400,
	} {
		got := w.want(w.call("GET", path, nil), want)
		if strings.HasSuffix(path, "101") && got.get("errors", 0, "code") != "InvalidPaginationDepth" {
			t.Errorf("%s: got %s", path, got.text)
		}
	}
}

// Users come with an organization's memberships where the account answers that, as partial users, each once.
func TestSideLoadedUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org, users := w.organization("One", 3)
	path := organizationPath(org) + "/organization_memberships?include=users,organizations"
	got := w.call("GET", path, nil)
	if !slices.Equal(got.ids("users", "id"), users) || !slices.Equal(got.ids("organizations", "id"), []int64{org}) {
		t.Fatalf("got %s", got.text)
	}
	for _, field := range []string{"email", "role", "suspended", "active", "shared", "organization_id"} {
		if got.get("users", 0, field) == nil {
			t.Errorf("no %s in %s", field, got.text)
		}
	}
	if got.get("users", 0, "notes") != nil || got.get("users", 0, "user_fields") != nil {
		t.Errorf("the user is not partial: %s", got.text)
	}
	w.Configure(func(s *zendesk.Settings) { s.SideLoadFields = []string{"id", "name"} })
	if got := w.call("GET", path, nil); len(got.rows("users")[0]) != 2 {
		t.Errorf("got %s", got.text)
	}
	w.Configure(func(s *zendesk.Settings) { s.SideLoadUsers = false })
	if got := w.call("GET", path, nil); got.get("users") != nil {
		t.Errorf("side-loaded although off: %s", got.text)
	}
	other := userPath(users[0]) + "/organization_memberships?include=users"
	if got := w.call("GET", other, nil); len(got.rows("users")) != 1 {
		t.Errorf("the documented side-load is off, too: %s", got.text)
	}
}

// Identities come with lists of people, for a hundred people in one request.
func TestSideLoadedIdentities(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.AddUser(zendesk.User{Name: "Ada", Email: "ada@example.com", Secondary: []string{"ada@example.org"}})
	bob := w.person("Bob", "bob@example.com")
	path := fmt.Sprintf("/api/v2/users/show_many?include=identities&ids=%d,%d,1", ada, bob)
	got := w.call("GET", path, nil)
	if !slices.Equal(got.ids("identities", "user_id"), []int64{ada, ada, bob}) || len(got.rows("users")) != 2 {
		t.Errorf("got %s", got.text)
	}
	w.Configure(func(s *zendesk.Settings) { s.SideLoadIdentities = false })
	if got := w.call("GET", path, nil); got.get("identities") != nil {
		t.Errorf("got %s", got.text)
	}
}

// Single people and organizations are found by external id, exactly and without regard to case.
func TestExternalIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.AddUser(zendesk.User{Name: "Ada", Email: "ada@example.com", ExternalID: "U-1"})
	org := w.AddOrganization(zendesk.Organization{Name: "One", ExternalID: "O-1"})
	w.AddOrganization(zendesk.Organization{Name: "One and more", ExternalID: "O-12"})
	for path, list := range map[string]string{
		"/api/v2/users/show_many?external_ids=u-1":         "users",
		"/api/v2/users/search?external_id=u-1":             "users",
		"/api/v2/organizations/show_many?external_ids=o-1": "organizations",
		"/api/v2/organizations/search?external_id=o-1":     "organizations",
		"/api/v2/organizations/search?name=ONE":            "organizations",
	} {
		want := []int64{ada}
		if list == "organizations" {
			want = []int64{org}
		}
		if got := w.call("GET", path, nil); !slices.Equal(got.ids(list, "id"), want) {
			t.Errorf("%s: got %s", path, got.text)
		}
	}
	if got := w.call("GET", "/api/v2/organizations/autocomplete?name=one", nil); len(got.rows("organizations")) != 2 {
		t.Errorf("got %s", got.text)
	}
	w.want(w.call("GET", "/api/v2/organizations/search?name=One&external_id=o-1", nil), 400)
	refused := w.want(w.call("POST", "/api/v2/users",
		object{"user": object{"name": "Eve", "external_id": "u-1", "skip_verify_email": true}}), 422)
	if refused.get("details", "external_id", 0, "error") != "DuplicateValue" {
		t.Errorf("got %s", refused.text)
	}
}

func (w *world) find(query string) []int64 {
	w.t.Helper()
	return w.want(w.call("GET", "/api/v2/search?query="+url.QueryEscape(query), nil), 200).ids("results", "id")
}

func (w *world) findUsers(query string) []int64 {
	w.t.Helper()
	return w.want(w.call("GET", "/api/v2/users/search?query="+url.QueryEscape(query), nil), 200).ids("users", "id")
}

// A custom field matches when it contains the word: hits are candidates, not answers.
func TestSearchByCustomField(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	add := func(value any) int64 {
		return w.AddOrganization(zendesk.Organization{Name: "O", Fields: object{"cmp_id": value}})
	}
	text, number, among, dashed := add("42"), add(42), add("see 42 too"), add("x-42")
	add("421")
	add("142")
	empty := add(nil)
	want := []int64{text, number, among, dashed}
	for _, query := range []string{"type:organization cmp_id:42", `type:organization cmp_id:"42"`, "cmp_id:42 type:organization"} {
		if got := w.find(query); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
	}
	if got := w.find("type:organization cmp_id:none"); !slices.Equal(got, []int64{empty}) {
		t.Errorf("none: got %v", got)
	}
	if got := w.find("type:organization cmp_id:42 cmp_id:421"); len(got) != 5 {
		t.Errorf("a repeated key is an or: got %v", got)
	}
	if got := w.find("type:user cmp_id:42"); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

// An address finds all that begin with it or contain its words, secondary ones too; nothing makes it exact.
func TestSearchByAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	exact := w.person("Ada", "ada@example.com")
	longer := w.person("Ada B", "ada@example.com.au")
	within := w.person("Ada C", "c.ada@example.com")
	prefix := w.person("Ada D", "ada@example.community")
	second := w.AddUser(zendesk.User{Name: "E", Email: "e@example.org", Secondary: []string{"ada@example.com.br"}})
	other := w.person("Bob", "bob@example.com")
	for _, query := range []string{"type:user email:ada@example.com", `email:"ADA@Example.com"`} {
		if got := w.findUsers(query); !slices.Equal(got, []int64{exact, longer, within, prefix, second}) {
			t.Errorf("%s: got %v", query, got)
		}
	}
	if got := w.findUsers("type:user email:bob@example.com email:ada@example.com.au"); !slices.Equal(got, []int64{longer, other}) {
		t.Errorf("or: got %v", got)
	}
	if got := w.findUsers("ada"); len(got) != 5 {
		t.Errorf("free text: got %v", got)
	}
	w.Configure(func(s *zendesk.Settings) { s.SearchSecondary = false })
	if got := w.findUsers("email:ada@example.com.br"); len(got) != 0 {
		t.Errorf("secondary address found although off: %v", got)
	}
}

// What is new or changed appears in search after the lag, and what is gone stays in it as long; the database does
// not lag.
func TestSearchLag(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Configure(func(s *zendesk.Settings) { s.SearchLag = 3 * time.Minute })
	org := w.AddOrganization(zendesk.Organization{Name: "One", Fields: object{"cmp_id": "1"}})
	ada := w.person("Ada", "ada@example.com", org)
	if got := w.find("ada"); len(got) != 0 {
		t.Errorf("found at once: %v", got)
	}
	if got := w.find("type:organization cmp_id:1"); len(got) != 0 {
		t.Errorf("found at once: %v", got)
	}
	w.Reindex()
	if got := w.find("type:organization cmp_id:1"); !slices.Equal(got, []int64{org}) {
		t.Errorf("after Reindex: %v", got)
	}
	w.SetField(org, "cmp_id", "2")
	w.want(w.call("PUT", userPath(ada), object{"user": object{"name": "Countess"}}), 200)
	w.clock.Advance(3*time.Minute - time.Second)
	stale := w.call("GET", "/api/v2/search?query=type:organization+cmp_id:1", nil)
	if stale.get("results", 0, "organization_fields", "cmp_id") != "1" {
		t.Errorf("the index is not stale: %s", stale.text)
	}
	if got := w.call("GET", organizationPath(org), nil).get("organization", "organization_fields", "cmp_id"); got != "2" {
		t.Errorf("the database lags: %v", got)
	}
	if got := w.findUsers("name:countess"); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	w.clock.Advance(time.Second)
	if got := w.find("type:organization cmp_id:2"); !slices.Equal(got, []int64{org}) {
		t.Errorf("after the lag: %v", got)
	}
	if got := w.findUsers("name:countess"); !slices.Equal(got, []int64{ada}) {
		t.Errorf("after the lag: %v", got)
	}
	w.DeleteOrganization(org)
	if got := w.find("type:organization cmp_id:2"); !slices.Equal(got, []int64{org}) {
		t.Errorf("a deleted organization leaves the index at once")
	}
	w.clock.Advance(3 * time.Minute)
	if got := w.find("type:organization cmp_id:2"); len(got) != 0 {
		t.Errorf("a deleted organization stays in the index: %v", got)
	}
}

// Search takes 64 words, offset paging alone, and hands out a thousand results.
func TestSearchLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.organization("One", 3)
	addresses := func(n int) string {
		return "type:user" + strings.Repeat(" email:a@example.com", n) // three words each, and one for the type
	}
	for path, want := range map[string]int{
		"/api/v2/users/search?query=" + url.QueryEscape(addresses(21)):        200,
		"/api/v2/users/search?query=" + url.QueryEscape(addresses(21)+" one"): 422,
		"/api/v2/search?query=one&page[size]=10":                              400,
		"/api/v2/users/search?query=one&page[size]=10":                        400,
		"/api/v2/search?query=one&per_page=10&page=100":                       200,
		"/api/v2/search?query=one&per_page=10&page=101":                       422,
		"/api/v2/search?query=one&per_page=1&page=2":                          200,
		"/api/v2/search":       400,
		"/api/v2/users/search": 400,
	} {
		w.want(w.call("GET", path, nil), want)
	}
	got := w.walk("/api/v2/search?query=type:user+one&per_page=2")
	if len(got) != 2 || len(collect(got, "results", "id")) != 3 {
		t.Errorf("got %d pages", len(got))
	}
}

// The export of organizations pages by time, repeats the second where a page ended, keeps deleted ones, and leaves
// out the most recent minute.
func TestExportOrganizations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all []int64
	for i := range 5 {
		all = append(all, w.AddOrganization(zendesk.Organization{Name: fmt.Sprint(i), Fields: object{"cmp_id": fmt.Sprint(i)}}))
		if i%2 == 1 {
			w.clock.Advance(time.Second)
		}
	}
	path := "/api/v2/incremental/organizations.json?per_page=2&start_time=0"
	if got := w.call("GET", path, nil); len(got.rows("organizations")) != 0 || got.get("end_of_stream") != true {
		t.Errorf("the most recent minute is in it: %s", got.text)
	}
	w.clock.Advance(2 * time.Minute)
	w.DeleteOrganization(all[0])
	w.clock.Advance(time.Minute)
	seen, deleted := map[int64]int{}, 0
	pages := 0
	for next := path; ; pages++ {
		got := w.want(w.call("GET", next, nil), 200)
		for i, id := range got.ids("organizations", "id") {
			seen[id]++
			if got.get("organizations", i, "deleted_at") != nil {
				deleted++
			}
		}
		if got.get("end_of_stream") == true {
			break
		}
		next, _ = got.get("next_page").(string)
		if pages > 10 {
			t.Fatal("the export does not end")
		}
	}
	if len(seen) != len(all) || deleted == 0 || pages < 2 {
		t.Errorf("saw %v in %d pages, %d deleted", seen, pages, deleted)
	}
	w.want(w.call("GET", fmt.Sprintf("/api/v2/incremental/organizations?start_time=%d", w.clock.Now().Unix()), nil), 422)
	w.want(w.call("GET", "/api/v2/incremental/organizations", nil), 400)
}

// The export of people pages by cursor, shows deleted ones as inactive, and goes on from where it ended.
func TestExportUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, users := w.organization("One", 5)
	w.UpdateUser(users[4], func(u *zendesk.User) { u.Inactive = true })
	w.clock.Advance(2 * time.Minute)
	var got []int64
	var last reply
	for next := "/api/v2/incremental/users/cursor?start_time=0&per_page=2"; ; {
		last = w.want(w.call("GET", next, nil), 200)
		got = append(got, last.ids("users", "id")...)
		if last.get("end_of_stream") == true {
			break
		}
		next, _ = last.get("after_url").(string)
	}
	if !slices.Equal(got, users) || last.get("users", 0, "active") != false {
		t.Errorf("got %v, the last %s", got, last.text)
	}
	late := w.person("Late", "late@example.com")
	w.clock.Advance(2 * time.Minute)
	cursor, _ := last.get("after_cursor").(string)
	if got := w.call("GET", "/api/v2/incremental/users/cursor?cursor="+cursor, nil).ids("users", "id"); !slices.Equal(got, []int64{late}) {
		t.Errorf("later: %v", got)
	}
	w.want(w.call("GET", "/api/v2/incremental/users/cursor?cursor=nonsense", nil), 400)
}

// Exports are for administrators, and ten a minute; the eleventh is refused and noted.
func TestExportLimits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := "/api/v2/incremental/organizations?start_time=0"
	for range 10 {
		w.want(w.call("GET", path, nil), 200)
	}
	w.wantNoViolations()
	refused := w.want(w.call("GET", path, nil), 429)
	if refused.header.Get("Retry-After") != "60" || refused.header.Get("Zendesk-Ratelimit-Incremental-Exports") != "total=10; remaining=0; resets=60" {
		t.Errorf("got %v", refused.header)
	}
	w.wantViolation("more incremental exports")
	w.clock.Advance(time.Minute)
	w.want(w.call("GET", path, nil), 200)
	w.Configure(func(s *zendesk.Settings) { s.AdminAccess = false })
	w.want(w.call("GET", path, nil), 403)
}

// Organizations show their linking field, even when it is empty, and take a new value of it without losing others.
func TestOrganizationFields(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Configure(func(s *zendesk.Settings) { s.ProjectField = "project" })
	org := w.AddOrganization(zendesk.Organization{Name: "One", Domains: []string{"example.com"}, Fields: object{"tier": "gold"}})
	if got := w.call("GET", "/api/v2/organization_fields", nil); got.get("organization_fields", 0, "key") != "project" {
		t.Errorf("got %s", got.text)
	}
	got := w.want(w.call("PUT", organizationPath(org), object{"organization": object{"organization_fields": object{"project": "9"}}}), 200)
	if got.get("organization", "organization_fields", "project") != "9" || got.get("organization", "organization_fields", "tier") != "gold" {
		t.Errorf("got %s", got.text)
	}
	if o, ok := w.Organization(org); !ok || o.Fields["project"] != "9" || len(o.Domains) != 1 {
		t.Errorf("got %+v", o)
	}
	w.wantNoViolations()
	for range 4 {
		w.call("PUT", organizationPath(org), object{"organization": object{"notes": "n"}})
	}
	w.want(w.call("PUT", organizationPath(org), object{"organization": object{"notes": "n"}}), 429)
}

// Counts, related figures and the account's settings say what is so.
func TestSmallReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org, users := w.organization("One", 2)
	if got := w.call("GET", organizationPath(org)+"/users/count", nil).id("count", "value"); got != 2 {
		t.Errorf("count %d", got)
	}
	if got := w.call("GET", "/api/v2/organizations/count", nil).id("count", "value"); got != 1 {
		t.Errorf("count of organizations %d", got)
	}
	if got := w.call("GET", organizationPath(org)+"/related", nil).id("organization_related", "users_count"); got != 2 {
		t.Errorf("related %d", got)
	}
	if got := w.call("GET", userPath(users[0])+"/organizations", nil).ids("organizations", "id"); !slices.Equal(got, []int64{org}) {
		t.Errorf("organizations %v", got)
	}
	if got := w.call("GET", "/api/v2/account/settings", nil); got.get("settings", "user", "multiple_organizations") != false {
		t.Errorf("got %s", got.text)
	}
	w.Configure(multiple)
	if got := w.call("GET", "/api/v2/account/settings.json", nil); got.get("settings", "user", "multiple_organizations") != true {
		t.Errorf("got %s", got.text)
	}
	for _, path := range []string{"/api/v2/users/1", "/api/v2/users/x", "/api/v2/organizations/1", "/api/v2/organization_memberships/1", "/api/v2/job_statuses/x"} {
		if got := w.want(w.call("GET", path, nil), 404); got.get("error") != "RecordNotFound" {
			t.Errorf("%s: got %s", path, got.text)
		}
	}
	for _, path := range []string{"/api/v2/nothing", "/elsewhere", "/api/v2/"} {
		if got := w.want(w.call("GET", path, nil), 404); got.get("error") != "InvalidEndpoint" {
			t.Errorf("%s: got %s", path, got.text)
		}
	}
	if got := w.want(w.call("POST", "/api/v2/account/settings", object{}), 404); got.get("error") != "InvalidEndpoint" {
		t.Errorf("wrong verb: got %s", got.text)
	}
}
