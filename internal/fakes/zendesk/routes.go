package zendesk

import (
	"net/http"
	"strings"
)

// route is one endpoint. Resource is what a scope must name ("" needs the plain read or write scope).
type route struct {
	method    string
	path      string
	resource  string
	handle    func(*call) answer
	anonymous bool
	crowds    bool // shows of crowds at most that of the organization in its path, see AddCrowd
	segments  []string
}

const (
	get   = http.MethodGet
	post  = http.MethodPost
	put   = http.MethodPut
	erase = http.MethodDelete
)

// routes lists every endpoint there is; fixed words stand before the patterns that would swallow them.
var routes = compile([]route{
	{method: get, path: "account/settings", handle: (*call).accountSettings, crowds: true},
	{method: get, path: "organization_fields", resource: "organizations", handle: (*call).listOrganizationFields},
	{method: get, path: "search", handle: (*call).search},

	{method: get, path: "job_statuses", handle: (*call).listJobs},
	{method: get, path: "job_statuses/show_many", handle: (*call).showManyJobs},
	{method: get, path: "job_statuses/{job}", handle: (*call).showJob},

	{method: get, path: "incremental/organizations", handle: (*call).exportOrganizations, crowds: true},
	{method: get, path: "incremental/users/cursor", handle: (*call).exportUsers},

	{method: get, path: "deleted_users", resource: "users", handle: (*call).listDeletedUsers},
	{method: get, path: "users", resource: "users", handle: (*call).listUsers},
	{method: post, path: "users", resource: "users", handle: (*call).createUser},
	{method: get, path: "users/me", resource: "users", handle: (*call).showMe, anonymous: true},
	{method: get, path: "users/show_many", resource: "users", handle: (*call).showManyUsers},
	{method: get, path: "users/search", resource: "users", handle: (*call).searchUsers},
	{method: post, path: "users/create_or_update", resource: "users", handle: (*call).createOrUpdateUser},
	{method: post, path: "users/create_many", resource: "users", handle: (*call).createManyUsers},
	{method: post, path: "users/create_or_update_many", resource: "users", handle: (*call).createOrUpdateManyUsers},
	{method: put, path: "users/update_many", resource: "users", handle: (*call).updateManyUsers},
	{method: get, path: "users/{user}", resource: "users", handle: (*call).showUser},
	{method: put, path: "users/{user}", resource: "users", handle: (*call).updateUser},
	{method: erase, path: "users/{user}", resource: "users", handle: (*call).deleteUser},
	{method: get, path: "users/{user}/identities", resource: "users", handle: (*call).listIdentities},
	{method: post, path: "users/{user}/identities", resource: "users", handle: (*call).createIdentity},
	{method: put, path: "users/{user}/identities/{identity}/make_primary", resource: "users", handle: (*call).makePrimary},
	{method: put, path: "users/{user}/identities/{identity}/verify", resource: "users", handle: (*call).verifyIdentity},
	{method: get, path: "users/{user}/organizations", resource: "users", handle: (*call).listUserOrganizations},
	{method: erase, path: "users/{user}/organizations/{organization}", resource: "users", handle: (*call).unassignOrganization},
	{method: get, path: "users/{user}/organization_memberships", resource: "organizations", handle: (*call).listUserMemberships},
	{method: put, path: "users/{user}/organization_memberships/{membership}/make_default", resource: "organizations", handle: (*call).makeDefault},

	{method: get, path: "organizations", resource: "organizations", handle: (*call).listOrganizations, crowds: true},
	{method: get, path: "organizations/show_many", resource: "organizations", handle: (*call).showManyOrganizations},
	{method: get, path: "organizations/count", resource: "organizations", handle: (*call).countOrganizations},
	{method: get, path: "organizations/search", resource: "organizations", handle: (*call).searchOrganizations},
	{method: get, path: "organizations/autocomplete", resource: "organizations", handle: (*call).autocompleteOrganizations},
	{method: get, path: "organizations/{organization}", resource: "organizations", handle: (*call).showOrganization},
	{method: put, path: "organizations/{organization}", resource: "organizations", handle: (*call).updateOrganization},
	{method: get, path: "organizations/{organization}/users", resource: "users", handle: (*call).listOrganizationUsers},
	{method: get, path: "organizations/{organization}/users/count", resource: "users", handle: (*call).countOrganizationUsers, crowds: true},
	{method: get, path: "organizations/{organization}/related", resource: "organizations", handle: (*call).organizationRelated},
	{method: get, path: "organizations/{organization}/organization_memberships", resource: "organizations", handle: (*call).listOrganizationMemberships, crowds: true},

	{method: get, path: "macros/active", handle: (*call).listActiveMacros, crowds: true},
	{method: get, path: "tickets/{ticket}", resource: "tickets", handle: (*call).showTicket},
	{method: put, path: "tickets/{ticket}", resource: "tickets", handle: (*call).updateTicket},
	{method: get, path: "tickets/{ticket}/macros/{macro}/apply", handle: (*call).applyMacro},

	{method: get, path: "organization_memberships", resource: "organizations", handle: (*call).listMemberships},
	{method: post, path: "organization_memberships", resource: "organizations", handle: (*call).createMembership},
	{method: post, path: "organization_memberships/create_many", resource: "organizations", handle: (*call).createManyMemberships},
	{method: erase, path: "organization_memberships/destroy_many", resource: "organizations", handle: (*call).destroyManyMemberships},
	{method: get, path: "organization_memberships/{membership}", resource: "organizations", handle: (*call).showMembership},
	{method: erase, path: "organization_memberships/{membership}", resource: "organizations", handle: (*call).destroyMembership},
})

func compile(table []route) []route {
	for i := range table {
		table[i].segments = strings.Split(table[i].path, "/")
	}
	return table
}

// findRoute returns the endpoint for the call and fills in its parameters; nil when there is none. A known path with
// the wrong verb is an unknown endpoint, too.
func findRoute(c *call) *route {
	for i := range routes {
		candidate := &routes[i]
		if candidate.method != c.method || len(candidate.segments) != len(c.path) {
			continue
		}
		if params, ok := match(candidate.segments, c.path); ok {
			c.params = params
			return candidate
		}
	}
	return nil
}

func match(pattern, path []string) (map[string]string, bool) {
	var params map[string]string
	for i, segment := range pattern {
		if !strings.HasPrefix(segment, "{") {
			if segment != path[i] {
				return nil, false
			}
			continue
		}
		if params == nil {
			params = map[string]string{}
		}
		params[strings.Trim(segment, "{}")] = path[i]
	}
	return params, true
}
