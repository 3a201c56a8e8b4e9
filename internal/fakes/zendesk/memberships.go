package zendesk

import (
	"net/http"
	"slices"
)

// membershipPages is how far offset paging of memberships goes (airbyte issue 38595).
const membershipPages = 100

func (c *call) membershipJSON(m *membership) map[string]any {
	var home any // true or null, never false
	if m.home {
		home = true
	}
	return map[string]any{
		"id": m.id, "url": c.url("organization_memberships", m.id), "user_id": m.user,
		"organization_id": m.organization, "organization_name": c.s.account.organization(m.organization).name,
		"default": home, "view_tickets": true, "created_at": stamp(m.created), "updated_at": stamp(m.updated),
	}
}

// membershipRows answers a page of memberships; users may come with them where the endpoint side-loads them.
func (c *call) membershipRows(p page, sideLoadUsers bool) answer {
	rows := make([]any, 0, len(p.ids))
	users, seenUser := []any{}, map[int64]bool{}
	organizations, seenOrganization := []any{}, map[int64]bool{}
	for _, id := range p.ids {
		m := c.s.account.memberships[id]
		rows = append(rows, c.membershipJSON(m))
		if !seenUser[m.user] {
			seenUser[m.user] = true
			users = append(users, c.sideLoaded(c.s.account.user(m.user)))
		}
		if !seenOrganization[m.organization] {
			seenOrganization[m.organization] = true
			organizations = append(organizations, c.organizationJSON(c.s.account.organization(m.organization)))
		}
	}
	beside := map[string]any{}
	if c.includes("users") && sideLoadUsers {
		beside["users"] = users
	}
	if c.includes("organizations") {
		beside["organizations"] = organizations
	}
	return p.list("organization_memberships", rows, beside)
}

func (c *call) sideLoaded(u *user) map[string]any {
	all := c.partialUserJSON(u)
	if c.settings.SideLoadFields == nil {
		return all
	}
	some := map[string]any{}
	for _, name := range c.settings.SideLoadFields {
		if value, ok := all[name]; ok {
			some[name] = value
		}
	}
	return some
}

func (c *call) listMemberships() answer {
	p, bad, ok := c.paginate(c.s.account.membershipIDs, membershipPages)
	if !ok {
		return bad
	}
	return c.membershipRows(p, true)
}

func (c *call) listOrganizationMemberships() answer {
	o := c.organizationOf()
	if o == nil {
		return recordNotFound()
	}
	p, bad, ok := c.paginate(c.s.account.roster[o.id].memberships, membershipPages)
	if !ok {
		return bad
	}
	return c.membershipRows(p, c.settings.SideLoadUsers)
}

func (c *call) listUserMemberships() answer {
	u := c.userOf()
	if u == nil {
		return recordNotFound()
	}
	p, bad, ok := c.paginate(c.s.account.ofUser[u.id], membershipPages)
	if !ok {
		return bad
	}
	return c.membershipRows(p, true)
}

// membershipOf is the membership of the path, or nil.
func (c *call) membershipOf() *membership {
	id, ok := c.id("membership")
	if !ok {
		return nil
	}
	return c.s.account.memberships[id]
}

func (c *call) showMembership() answer {
	m := c.membershipOf()
	if m == nil {
		return recordNotFound()
	}
	return reply(http.StatusOK, map[string]any{"organization_membership": c.membershipJSON(m)})
}

type membershipInput struct {
	User         int64 `json:"user_id"`
	Organization int64 `json:"organization_id"`
	Default      bool  `json:"default"`
}

func (c *call) createMembership() answer {
	var body struct {
		Membership membershipInput `json:"organization_membership"`
	}
	if bad, ok := c.decode(&body); !ok {
		return bad
	}
	m, wrong := c.join(body.Membership)
	if wrong != nil {
		return wrong.answer()
	}
	a := reply(http.StatusCreated, map[string]any{"organization_membership": c.membershipJSON(m)})
	a.header.Set("Location", c.url("organization_memberships", m.id))
	return a
}

// join makes a user a member. That the organization is blank when its id is unknown is reported in
// zendesk_api_client_php issue 353; the wording for an existing membership is not documented.
func (c *call) join(in membershipInput) (*membership, *problem) {
	account, lag := c.s.account, c.settings.SearchLag
	u := account.user(in.User)
	switch {
	case u == nil || !u.active:
		return nil, blank("user", "User")
	case account.organization(in.Organization) == nil:
		return nil, blank("organization", "Organization")
	case account.between(u.id, in.Organization) != nil:
		return nil, &problem{"user_id", "User: is already a member of this organization", "DuplicateValue"}
	case len(account.ofUser[u.id]) >= maxMemberships:
		return nil, &problem{"user_id", "User: cannot belong to more than 300 organizations", "TooManyValues"}
	}
	c.touch(u)
	if !c.settings.MultipleOrganizations && len(account.ofUser[u.id]) > 0 {
		if !c.settings.MoveOnSecondMembership {
			return nil, &problem{"user_id", "User: cannot belong to more than one organization", "InvalidValue"}
		}
		account.leaveAll(c.now, lag, u.id)
	}
	m := account.attach(c.now, lag, u.id, in.Organization)
	if in.Default && !m.home {
		account.makeHome(c.now, lag, m)
	}
	return account.memberships[m.id], nil
}

// leave removes a membership.
func (c *call) leave(m *membership) {
	c.touch(c.s.account.user(m.user))
	c.s.account.detach(c.now, c.settings.SearchLag, m)
}

func (c *call) destroyMembership() answer {
	m := c.membershipOf()
	if m == nil {
		return recordNotFound()
	}
	c.leave(m)
	return noContent()
}

func (c *call) unassignOrganization() answer {
	user, ok := c.id("user")
	organization, fine := c.id("organization")
	if !ok || !fine {
		return recordNotFound()
	}
	m := c.s.account.between(user, organization)
	if m == nil {
		return recordNotFound()
	}
	c.leave(m)
	return noContent()
}

func (c *call) makeDefault() answer {
	u, m := c.userOf(), c.membershipOf()
	if u == nil || m == nil || m.user != u.id {
		return recordNotFound()
	}
	c.touch(u)
	c.s.account.makeHome(c.now, c.settings.SearchLag, m)
	return c.membershipRows(whole(slices.Clone(c.s.account.ofUser[u.id])), true)
}
