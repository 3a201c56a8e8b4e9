package contract

import "fmt"

// correction mends one gap of the description. Whatever is not listed here counts as described.
type correction struct {
	why string
	at  []string // the keys that lead there
	// become is what stands there afterwards; for a list of parameters, what is added to it.
	become any
}

func (c correction) apply(tree map[string]any) error {
	here := tree
	for _, key := range c.at[:len(c.at)-1] {
		child, ok := here[key].(map[string]any)
		if !ok {
			return fmt.Errorf("no %q there", key)
		}
		here = child
	}
	last := c.at[len(c.at)-1]
	added, isList := c.become.([]any)
	if !isList {
		here[last] = c.become
		return nil
	}
	present, _ := here[last].([]any)
	here[last] = append(present, added...)
	return nil
}

type object = map[string]any

func query(name string) object {
	return object{"name": name, "in": "query", "schema": object{"type": "string"}}
}

func jsonBody(schema object) object {
	return object{"required": true, "content": object{"application/json": object{"schema": schema}}}
}

var (
	bothPagings = []any{
		object{"$ref": "#/components/parameters/DualPaginationPage"},
		object{"$ref": "#/components/parameters/PerPage"},
		object{"$ref": "#/components/parameters/CursorPaginationSort"},
	}
	membership = object{
		"type": "object", "required": []any{"user_id", "organization_id"}, "additionalProperties": false,
		"properties": object{
			"user_id": object{"type": "integer"}, "organization_id": object{"type": "integer"},
			"default": object{"type": "boolean"}, "view_tickets": object{"type": "boolean"},
		},
	}
)

// wrapped is an object with one required key.
func wrapped(key string, value object) object {
	return object{"type": "object", "required": []any{key}, "additionalProperties": false, "properties": object{key: value}}
}

// corrections, in the order in which they are made. Sources are named where it is not the file that contradicts itself.
var corrections = []correction{
	// Requests: bodies that the file leaves out, though the reference pages describe them.
	{"the grant's parameters are listed in its text alone",
		[]string{"paths", "/oauth/tokens", "post", "requestBody"}, jsonBody(object{
			"type": "object", "required": []any{"grant_type", "client_id", "client_secret", "scope"},
			"properties": object{
				"grant_type": object{"type": "string", "enum": []any{"client_credentials"}},
				"client_id":  object{"type": "string"}, "client_secret": object{"type": "string"},
				"scope":      object{"type": "string"},
				"expires_in": object{"type": "integer", "minimum": 301, "maximum": 172_799},
			},
		})},
	{"reference page: Organization Memberships",
		[]string{"paths", "/api/v2/organization_memberships", "post", "requestBody"},
		jsonBody(wrapped("organization_membership", membership))},
	{"reference page: Organization Memberships",
		[]string{"paths", "/api/v2/organization_memberships/create_many", "post", "requestBody"},
		jsonBody(wrapped("organization_memberships", object{"type": "array", "maxItems": 100, "items": membership}))},
	{"reference page: User Identities",
		[]string{"paths", "/api/v2/users/{user_id}/identities", "post", "requestBody"},
		jsonBody(wrapped("identity", object{
			"type": "object", "required": []any{"type", "value"}, "additionalProperties": false,
			"properties": object{
				"type":  object{"type": "string"},
				"value": object{"type": "string"}, "verified": object{"type": "boolean"},
				"primary": object{"type": "boolean"}, "skip_verify_email": object{"type": "boolean"},
			},
		}))},
	{"the example in its text has a body",
		[]string{"paths", "/api/v2/organizations/{organization_id}", "put", "requestBody"},
		jsonBody(wrapped("organization", object{"type": "object"}))},

	// Requests: parameters.
	{"ids are comma separated, not repeated (ES.FX.Zendesk, list of errors)",
		[]string{"paths", "/api/v2/organization_memberships/destroy_many", "delete", "parameters"}, nil},
	{"as above",
		[]string{"paths", "/api/v2/organization_memberships/destroy_many", "delete", "parameters"}, []any{query("ids")}},
	{"external ids are texts, not integers (ES.FX.Zendesk)",
		[]string{"components", "parameters", "OrganizationExternalId", "schema"}, object{"type": "string"}},
	{"both kinds of paging are in its text, no parameter is",
		[]string{"paths", "/api/v2/organizations/{organization_id}/organization_memberships", "get", "parameters"}, bothPagings},
	{"side-loading users works there (third-party production code reads users[].email from it)",
		[]string{"paths", "/api/v2/organizations/{organization_id}/organization_memberships", "get", "parameters"},
		[]any{query("include")}},
	{"both kinds of paging are in its text, no parameter is",
		[]string{"paths", "/api/v2/users/{user_id}/organization_memberships", "get", "parameters"}, bothPagings},
	{"offset paging is in its text, no parameter is",
		[]string{"paths", "/api/v2/search", "get", "parameters"}, []any{query("page"), query("per_page")}},
	{"identities are among the side-loads of users (side-loading guide)",
		[]string{"paths", "/api/v2/organizations/{organization_id}/users", "get", "parameters"}, []any{query("include")}},

	{"its answer is paged, no parameter of paging is described",
		[]string{"paths", "/api/v2/macros/active", "get", "parameters"}, bothPagings},

	// Answers: what is null although the file says that it never is.
	{"a person may have no address", userProperty("email", "nullable"), true},
	{"users/me without credentials is a user without an id (csa-zendesk, live probe)", userProperty("id", "nullable"), true},
	{"a deleted person has no organization",
		[]string{"components", "schemas", "DeletedUserObject", "properties", "organization_id", "nullable"}, true},
	{"a job has no results until it is done",
		[]string{"components", "schemas", "JobStatusObject", "properties", "results", "nullable"}, true},
	{"an organization has every field, empty ones as null; check boxes are booleans",
		[]string{"components", "schemas", "OrganizationObject", "properties", "organization_fields", "additionalProperties"},
		object{"nullable": true}},
	{"an empty field of a ticket is null",
		[]string{"components", "schemas", "TicketFieldValueInput", "properties", "value", "oneOf"},
		[]any{object{"type": "string", "nullable": true, "enum": []any{nil}}}},
	{"a ticket may be nobody's", appliedTicket("assignee_id", "nullable"), true},
	{"as above", appliedTicket("group_id", "nullable"), true},
	{"a ticket has several fields, elsewhere described as a list", appliedTicket("fields"), object{}},
}

// appliedTicket leads into the ticket as it would be after a macro.
func appliedTicket(keys ...string) []string {
	return append([]string{"components", "schemas", "MacroApplyTicketResponse", "properties", "result", "properties",
		"ticket", "properties"}, keys...)
}

func userProperty(keys ...string) []string {
	return append([]string{"components", "schemas", "UserForAdmin", "properties"}, keys...)
}
