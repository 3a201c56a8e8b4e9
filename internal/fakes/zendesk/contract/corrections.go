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
	offsetPaging = []any{query("page"), query("per_page")}
	membership   = object{
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

var corrections = []correction{
	{"ids are comma separated, not repeated (ES.FX.Zendesk, list of errors)",
		[]string{"paths", "/api/v2/organization_memberships/destroy_many", "delete", "parameters"}, nil},
	{"as above",
		[]string{"paths", "/api/v2/organization_memberships/destroy_many", "delete", "parameters"}, []any{query("ids")}},
	{"external ids are texts, not integers (ES.FX.Zendesk)",
		[]string{"components", "parameters", "OrganizationExternalId", "schema"}, object{"type": "string"}},
}
