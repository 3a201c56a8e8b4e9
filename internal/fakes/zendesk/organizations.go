package zendesk

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (c *call) organizationJSON(o *organization) map[string]any {
	out := map[string]any{
		"id": o.id, "url": c.url("organizations", o.id), "name": o.name, "external_id": textOrNull(o.externalID),
		"domain_names": emptyNotNull(o.domains), "tags": emptyNotNull(o.tags), "details": o.details, "notes": o.notes,
		"group_id": nil, "shared_tickets": false, "shared_comments": false,
		"organization_fields": c.organizationFieldsOf(o), "created_at": stamp(o.created), "updated_at": stamp(o.updated),
	}
	return out
}

// organizationFieldsOf shows the linking field even where it is empty: every organization has every field.
func (c *call) organizationFieldsOf(o *organization) map[string]any {
	fields := map[string]any{c.settings.ProjectField: nil}
	maps.Copy(fields, o.fields)
	return fields
}

func (c *call) existingOrganizations() []int64 {
	var ids []int64
	for _, id := range c.s.account.organizationIDs {
		if c.s.account.organization(id) != nil {
			ids = append(ids, id)
		}
	}
	return ids
}

func (c *call) organizationRows(p page) answer {
	rows := make([]any, 0, len(p.ids))
	for _, id := range p.ids {
		rows = append(rows, c.organizationJSON(c.s.account.organization(id)))
	}
	return p.list("organizations", rows, nil)
}

// organizationOf is the organization of the path, or nil.
func (c *call) organizationOf() *organization {
	id, ok := c.id("organization")
	if !ok {
		return nil
	}
	return c.s.account.organization(id)
}

func (c *call) listOrganizations() answer {
	p, bad, ok := c.paginate(c.existingOrganizations(), 0)
	if !ok {
		return bad
	}
	return c.organizationRows(p)
}

func (c *call) showOrganization() answer {
	o := c.organizationOf()
	if o == nil {
		return recordNotFound()
	}
	return reply(http.StatusOK, map[string]any{"organization": c.organizationJSON(o)})
}

func (c *call) showManyOrganizations() answer {
	ids, bad, ok := c.idList()
	if !ok {
		return bad
	}
	externals, bad, ok := c.textList("external_ids")
	if !ok {
		return bad
	}
	for _, id := range c.existingOrganizations() {
		if e := c.s.account.organization(id).externalID; e != "" && containsFold(externals, e) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	ids = slices.DeleteFunc(slices.Compact(ids), func(id int64) bool { return c.s.account.organization(id) == nil })
	return c.organizationRows(whole(ids))
}

// whole is a list that comes in one page.
func whole(ids []int64) page {
	return page{ids: ids, meta: map[string]any{"count": len(ids), "next_page": nil, "previous_page": nil}}
}

// searchOrganizations is exact, ignoring case, and reads the database: nothing lags here.
func (c *call) searchOrganizations() answer {
	external, name := c.query.Get("external_id"), c.query.Get("name")
	if external != "" && name != "" || external == "" && name == "" {
		return listed(http.StatusBadRequest, "InvalidQuery", "Either external_id or name is needed, not both")
	}
	var ids []int64
	for _, id := range c.existingOrganizations() {
		o := c.s.account.organization(id)
		if external != "" && strings.EqualFold(o.externalID, external) || name != "" && strings.EqualFold(o.name, name) {
			ids = append(ids, id)
		}
	}
	p, bad, ok := c.offsetPage(ids, 0)
	if !ok {
		return bad
	}
	return c.organizationRows(p)
}

func (c *call) autocompleteOrganizations() answer {
	name := strings.ToLower(c.query.Get("name"))
	if len(name) < 2 {
		return listed(http.StatusBadRequest, "QueryError", "name is too short")
	}
	var ids []int64
	for _, id := range c.existingOrganizations() {
		if strings.HasPrefix(strings.ToLower(c.s.account.organization(id).name), name) {
			ids = append(ids, id)
		}
	}
	p, bad, ok := c.offsetPage(ids, 0)
	if !ok {
		return bad
	}
	return c.organizationRows(p)
}

// updateOrganization writes custom fields, which are merged, and a few texts. What a careless client would wipe by
// sending it empty (domain_names, tags, group, sharing) is wiped, and noted.
func (c *call) updateOrganization() answer {
	o := c.organizationOf()
	if o == nil {
		return recordNotFound()
	}
	if _, _, ok := c.s.limits.take("organization "+decimal(o.id), c.now, 5, time.Minute); !ok {
		return listed(http.StatusTooManyRequests, "TooManyRequests", "Too many requests to update")
	}
	var body struct {
		Organization struct {
			Name           field[string]         `json:"name"`
			ExternalID     field[string]         `json:"external_id"`
			Notes          field[string]         `json:"notes"`
			Details        field[string]         `json:"details"`
			Fields         field[map[string]any] `json:"organization_fields"`
			Domains        field[[]string]       `json:"domain_names"`
			Tags           field[[]string]       `json:"tags"`
			Group          field[int64]          `json:"group_id"`
			SharedTickets  field[bool]           `json:"shared_tickets"`
			SharedComments field[bool]           `json:"shared_comments"`
		} `json:"organization"`
	}
	if bad, ok := c.decode(&body); !ok {
		return bad
	}
	in := body.Organization
	changed := *o
	if in.Name.set {
		if strings.TrimSpace(in.Name.value) == "" {
			return blank("name", "Name").answer()
		}
		changed.name = strings.TrimSpace(in.Name.value)
	}
	if in.ExternalID.set {
		changed.externalID = in.ExternalID.value
	}
	if in.Notes.set {
		changed.notes = in.Notes.value
	}
	if in.Details.set {
		changed.details = in.Details.value
	}
	if in.Fields.set {
		changed.fields = maps.Clone(o.fields)
		if changed.fields == nil {
			changed.fields = map[string]any{}
		}
		for key, value := range in.Fields.value {
			if !c.knownField(key) {
				continue // without a word, as Zendesk does
			}
			kept, wrong := c.fieldValue(key, value)
			if wrong != nil {
				return wrong.answer()
			}
			changed.fields[key] = kept
		}
	}
	if in.Domains.set {
		changed.domains = in.Domains.value
	}
	if in.Tags.set {
		changed.tags = in.Tags.value
	}
	if in.Domains.set || in.Tags.set || in.Group.set || in.SharedTickets.set || in.SharedComments.set {
		c.violation("an organization's settings overwritten")
	}
	c.s.account.putOrganization(c.now, c.settings.SearchLag, &changed)
	return reply(http.StatusOK, map[string]any{"organization": c.organizationJSON(&changed)})
}

// knownField says whether organizations have a field: the one that links projects, and whichever a test has filled.
func (c *call) knownField(key string) bool {
	if key == c.settings.ProjectField {
		return true
	}
	for _, r := range c.s.account.organizations {
		if _, ok := r.now.fields[key]; ok {
			return true
		}
	}
	return false
}

// fieldValue is what a field keeps of a value that was written, of which only the linking field is particular.
func (c *call) fieldValue(key string, value any) (any, *problem) {
	if key != c.settings.ProjectField || value == nil {
		return value, nil
	}
	number, isNumber := value.(float64)
	text, isText := value.(string)
	switch c.settings.ProjectType {
	case FieldTagger:
		return nil, &problem{"organization_fields", key + " is not a valid option", "InvalidValue"}
	case FieldInteger:
		if n, err := strconv.ParseInt(text, 10, 64); isText && err == nil {
			return float64(n), nil
		}
		if !isNumber {
			return nil, &problem{"organization_fields", key + " is not a number", "InvalidValue"}
		}
	case FieldText:
		if isNumber {
			return strconv.FormatFloat(number, 'f', -1, 64), nil
		}
	}
	return value, nil
}

func (c *call) listOrganizationUsers() answer {
	o := c.organizationOf()
	if o == nil {
		return recordNotFound()
	}
	ids := c.s.account.roster[o.id].users
	roles := append(slices.Clone(c.query["role[]"]), c.query["role"]...)
	if len(roles) > 0 {
		ids = slices.DeleteFunc(slices.Clone(ids), func(id int64) bool {
			return !slices.Contains(roles, c.s.account.user(id).role)
		})
	}
	p, bad, ok := c.paginate(ids, 0)
	if !ok {
		return bad
	}
	return c.userRows(p)
}

func (c *call) countOrganizationUsers() answer {
	o := c.organizationOf()
	if o == nil {
		return recordNotFound()
	}
	return c.counted(len(c.s.account.roster[o.id].users))
}

func (c *call) countOrganizations() answer { return c.counted(len(c.existingOrganizations())) }

// counted is a count, all of which are documented as approximate.
func (c *call) counted(value int) answer {
	return reply(http.StatusOK, map[string]any{"count": map[string]any{"value": value, "refreshed_at": stamp(c.now)}})
}

func (c *call) organizationRelated() answer {
	o := c.organizationOf()
	if o == nil {
		return recordNotFound()
	}
	return reply(http.StatusOK, map[string]any{"organization_related": map[string]any{
		"users_count": len(c.s.account.roster[o.id].users), "tickets_count": 0,
	}})
}

func (c *call) listUserOrganizations() answer {
	u := c.userOf()
	if u == nil {
		return recordNotFound()
	}
	var ids []int64
	for _, id := range c.s.account.ofUser[u.id] {
		ids = append(ids, c.s.account.memberships[id].organization)
	}
	slices.Sort(ids)
	p, bad, ok := c.paginate(ids, 0)
	if !ok {
		return bad
	}
	return c.organizationRows(p)
}

func (c *call) listOrganizationFields() answer {
	return reply(http.StatusOK, map[string]any{
		"organization_fields": []any{map[string]any{
			"id": 1, "url": c.url("organization_fields", 1), "key": c.settings.ProjectField, "type": c.settings.ProjectType,
			"title": "Contact management project", "description": "", "position": 1, "active": true, "system": false,
			"created_at": stamp(time.Unix(0, 0)), "updated_at": stamp(time.Unix(0, 0)),
		}},
		"count": 1, "next_page": nil, "previous_page": nil,
	})
}

func (c *call) accountSettings() answer {
	return reply(http.StatusOK, map[string]any{"settings": map[string]any{
		"user": map[string]any{
			"multiple_organizations": c.settings.MultipleOrganizations, "agent_created_welcome_emails": true,
			"tagging": true, "time_zone_selection": true, "language_selection": true, "have_gravatars_enabled": false,
			"end_user_phone_number_validation": false,
		},
	}})
}
