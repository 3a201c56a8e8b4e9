package zendesk

import (
	"net/http"
	"slices"
	"time"
)

func (c *call) identityJSON(user int64, i identity) map[string]any {
	method := "none"
	if i.verified {
		method = "low"
	}
	return map[string]any{
		"id": i.id, "url": c.url("users", user, "identities", i.id), "user_id": user, "type": i.kind, "value": i.value,
		"primary": i.primary, "verified": i.verified, "verification_method": method, "deliverable_state": "deliverable",
		"undeliverable_count": 0, "created_at": stamp(i.created), "updated_at": stamp(i.updated),
	}
}

func (c *call) listIdentities() answer {
	u := c.userOf()
	if u == nil {
		return recordNotFound()
	}
	kinds := c.query["type[]"]
	byID := map[int64]identity{}
	var ids []int64
	for _, i := range u.identities {
		if len(kinds) == 0 || slices.Contains(kinds, i.kind) {
			byID[i.id] = i
			ids = append(ids, i.id)
		}
	}
	slices.Sort(ids)
	p, bad, ok := c.paginate(ids, 0)
	if !ok {
		return bad
	}
	rows := make([]any, 0, len(p.ids))
	for _, id := range p.ids {
		rows = append(rows, c.identityJSON(u.id, byID[id]))
	}
	return p.list("identities", rows, nil)
}

func (c *call) createIdentity() answer {
	u := c.userOf()
	if u == nil || !u.active {
		return recordNotFound()
	}
	var body struct {
		Identity        identityInput `json:"identity"`
		SkipVerifyEmail bool          `json:"skip_verify_email"`
	}
	if bad, ok := c.decode(&body); !ok {
		return bad
	}
	c.touch(u)
	if u.shared {
		return forbidden("You cannot update a shared user.")
	}
	in := body.Identity
	if in.Type == "" || in.Value == "" {
		return blank("value", "Value").answer()
	}
	if in.Type == "email" && !plausible(in.Value) {
		return (&problem{"value", "Value: is not properly formatted", "InvalidFormat"}).answer()
	}
	if _, taken := c.s.account.taken(in.Value); taken && in.Type == "email" {
		return (&problem{"value", "Value: " + in.Value + " is already being used by another user", "DuplicateValue"}).answer()
	}
	added := identity{
		id: next(&c.s.account.identities0), kind: in.Type, value: in.Value,
		verified: in.Verified, created: c.now, updated: c.now,
	}
	changed := *u
	changed.identities = append(slices.Clone(u.identities), added)
	if in.Primary || in.Type == "email" && u.email() == "" {
		changed.identities = withPrimary(changed.identities, added.id, c.now)
		added.primary = true
	}
	c.s.account.putUser(c.now, c.settings.SearchLag, &changed)
	if in.Type == "email" && !in.SkipVerifyEmail && !body.SkipVerifyEmail {
		c.mail(in.Value)
	}
	return reply(http.StatusCreated, map[string]any{"identity": c.identityJSON(u.id, added)})
}

// withPrimary makes one identity the primary one of its kind.
func withPrimary(identities []identity, id int64, now time.Time) []identity {
	out := slices.Clone(identities)
	var kind string
	for _, i := range out {
		if i.id == id {
			kind = i.kind
		}
	}
	for i := range out {
		if out[i].kind == kind && out[i].primary != (out[i].id == id) {
			out[i].primary, out[i].updated = out[i].id == id, now
		}
	}
	return out
}

// changeIdentity applies a change to the identity of the path.
func (c *call) changeIdentity(change func([]identity, int64) []identity) (*user, int64, answer, bool) {
	u := c.userOf()
	id, ok := c.id("identity")
	if u == nil || !u.active || !ok || !slices.ContainsFunc(u.identities, func(i identity) bool { return i.id == id }) {
		return nil, 0, recordNotFound(), false
	}
	c.touch(u)
	if u.shared {
		return nil, 0, forbidden("You cannot update a shared user."), false
	}
	changed := *u
	changed.identities = change(u.identities, id)
	c.s.account.putUser(c.now, c.settings.SearchLag, &changed)
	return c.s.account.user(u.id), id, answer{}, true
}

func (c *call) makePrimary() answer {
	u, _, bad, ok := c.changeIdentity(func(all []identity, id int64) []identity { return withPrimary(all, id, c.now) })
	if !ok {
		return bad
	}
	rows := []any{}
	for _, i := range u.identities {
		rows = append(rows, c.identityJSON(u.id, i))
	}
	return reply(http.StatusOK, map[string]any{
		"identities": rows, "count": len(rows), "next_page": nil, "previous_page": nil,
	})
}

func (c *call) verifyIdentity() answer {
	u, id, bad, ok := c.changeIdentity(func(all []identity, id int64) []identity {
		out := slices.Clone(all)
		for i := range out {
			if out[i].id == id {
				out[i].verified, out[i].updated = true, c.now
			}
		}
		return out
	})
	if !ok {
		return bad
	}
	for _, i := range u.identities {
		if i.id == id {
			return reply(http.StatusOK, map[string]any{"identity": c.identityJSON(u.id, i)})
		}
	}
	return recordNotFound()
}
