package zendesk

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
)

const maxName = 255

// field is a value of a request's body that knows whether it was sent at all: null is not the same as absent.
type field[T any] struct {
	set   bool
	null  bool
	value T
}

func (f *field[T]) UnmarshalJSON(text []byte) error {
	f.set = true
	if bytes.Equal(bytes.TrimSpace(text), []byte("null")) {
		f.null = true
		return nil
	}
	return json.Unmarshal(text, &f.value)
}

// userInput is a user as requests write it.
type userInput struct {
	ID              int64                 `json:"id"`
	Name            field[string]         `json:"name"`
	Email           field[string]         `json:"email"`
	Role            field[string]         `json:"role"`
	CustomRole      field[int64]          `json:"custom_role_id"`
	Suspended       field[bool]           `json:"suspended"`
	ExternalID      field[string]         `json:"external_id"`
	Phone           field[string]         `json:"phone"`
	Alias           field[string]         `json:"alias"`
	Notes           field[string]         `json:"notes"`
	Details         field[string]         `json:"details"`
	Tags            field[[]string]       `json:"tags"`
	Fields          field[map[string]any] `json:"user_fields"`
	Organization    field[int64]          `json:"organization_id"`
	Organizations   field[[]int64]        `json:"organization_ids"`
	OrganizationOf  field[any]            `json:"organization"`
	Identities      []identityInput       `json:"identities"`
	Verified        bool                  `json:"verified"`
	SkipVerifyEmail bool                  `json:"skip_verify_email"`
}

type identityInput struct {
	Type            string `json:"type"`
	Value           string `json:"value"`
	Primary         bool   `json:"primary"`
	Verified        bool   `json:"verified"`
	SkipVerifyEmail bool   `json:"skip_verify_email"`
}

// movesOrganization reports whether the input writes the default organization, which on an existing user removes
// every other membership (USERS, "Organization ID").
func (in *userInput) movesOrganization() bool {
	return in.Organization.set || in.Organizations.set || in.OrganizationOf.set
}

// wantedOrganizations returns what a creation puts the user into, without doubles.
func (in *userInput) wantedOrganizations() []int64 {
	var ids []int64
	if in.Organization.value != 0 {
		ids = append(ids, in.Organization.value)
	}
	for _, id := range in.Organizations.value {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// activeUsers are those that lists show.
func (c *call) activeUsers(ids []int64) []int64 {
	var active []int64
	for _, id := range ids {
		if u := c.s.account.user(id); u != nil && u.active {
			active = append(active, id)
		}
	}
	return active
}

// userJSON is a user as answers show it to an administrator.
func (c *call) userJSON(u *user) map[string]any {
	out := c.partialUserJSON(u)
	out["alias"] = u.alias
	out["notes"] = u.notes
	out["details"] = u.details
	out["tags"] = emptyNotNull(u.tags)
	out["user_fields"] = emptyObject(u.fields)
	out["shared_agent"] = false
	out["restricted_agent"] = u.role == "end-user"
	return out
}

// partialUserJSON is a side-loaded user: Zendesk calls those partial.
func (c *call) partialUserJSON(u *user) map[string]any {
	var email any
	if address := u.email(); address != "" {
		email = address
	}
	return map[string]any{
		"id": u.id, "url": c.url("users", u.id), "name": u.name, "email": email, "role": u.role,
		"custom_role_id": orNull(u.customRole), "suspended": u.suspended, "active": u.active, "shared": u.shared,
		"verified": u.verified(), "external_id": textOrNull(u.externalID), "phone": textOrNull(u.phone),
		"organization_id": orNull(u.home), "created_at": stamp(u.created), "updated_at": stamp(u.updated),
		"locale": "en-US", "locale_id": 1, "time_zone": "UTC", "photo": nil,
	}
}

// userRows answers a page of users with the side-loads that were asked for.
func (c *call) userRows(p page) answer {
	rows := make([]any, 0, len(p.ids))
	identities := []any{}
	homes := map[int64]bool{}
	organizations := []any{}
	for _, id := range p.ids {
		u := c.s.account.user(id)
		rows = append(rows, c.userJSON(u))
		for _, i := range u.identities {
			identities = append(identities, c.identityJSON(id, i))
		}
		if o := c.s.account.organization(u.home); o != nil && !homes[o.id] {
			homes[o.id] = true
			organizations = append(organizations, c.organizationJSON(o))
		}
	}
	beside := map[string]any{}
	if c.includes("identities") && c.settings.SideLoadIdentities {
		beside["identities"] = identities
	}
	if c.includes("organizations") {
		beside["organizations"] = organizations
	}
	return p.list("users", rows, beside)
}

// listUsers knows filters by role. An "email" parameter is ignored, as in the real one: everybody comes back
// (zenpy issue 519).
func (c *call) listUsers() answer {
	ids := c.activeUsers(c.s.account.userIDs)
	roles := append(slices.Clone(c.query["role[]"]), c.query["role"]...)
	if len(roles) > 0 {
		ids = slices.DeleteFunc(ids, func(id int64) bool { return !slices.Contains(roles, c.s.account.user(id).role) })
	}
	if external := c.query.Get("external_id"); external != "" {
		ids = slices.DeleteFunc(ids, func(id int64) bool {
			return !strings.EqualFold(c.s.account.user(id).externalID, external)
		})
	}
	p, bad, ok := c.paginate(ids, 0)
	if !ok {
		return bad
	}
	return c.userRows(p)
}

func (c *call) listDeletedUsers() answer {
	var ids []int64
	for _, id := range c.s.account.userIDs {
		if !c.s.account.user(id).active {
			ids = append(ids, id)
		}
	}
	p, bad, ok := c.paginate(ids, 0)
	if !ok {
		return bad
	}
	rows := make([]any, 0, len(p.ids))
	for _, id := range p.ids {
		u := c.s.account.user(id)
		rows = append(rows, map[string]any{
			"id": id, "url": c.url("deleted_users", id), "name": u.name, "email": u.email(), "role": u.role,
			"active": false, "organization_id": orNull(u.home), "phone": textOrNull(u.phone), "photo": nil,
			"shared_phone_number": nil, "locale": "en-US", "locale_id": 1, "time_zone": "UTC",
			"created_at": stamp(u.created), "updated_at": stamp(u.updated),
		})
	}
	return p.list("deleted_users", rows, nil)
}

// showMe answers 200 without credentials, with a user that is nobody: no proof of anything.
func (c *call) showMe() answer {
	if c.nobody {
		return reply(http.StatusOK, map[string]any{"user": map[string]any{
			"id": nil, "name": "Anonymous user", "email": "invalid@example.com", "role": "end-user",
		}})
	}
	return reply(http.StatusOK, map[string]any{"user": map[string]any{
		"id": firstUser - 1, "name": "contacts integration", "email": "integration@example.com", "role": "admin",
		"active": true, "suspended": false, "verified": true,
	}})
}

func (c *call) showUser() answer {
	u := c.userOf()
	if u == nil {
		return recordNotFound()
	}
	body := map[string]any{"user": c.userJSON(u)}
	if c.includes("identities") && c.settings.SideLoadIdentities {
		identities := []any{}
		for _, i := range u.identities {
			identities = append(identities, c.identityJSON(u.id, i))
		}
		body["identities"] = identities
	}
	return reply(http.StatusOK, body)
}

// userOf is the user of the path, or nil.
func (c *call) userOf() *user {
	id, ok := c.id("user")
	if !ok {
		return nil
	}
	return c.s.account.user(id)
}

func (c *call) showManyUsers() answer {
	ids, bad, ok := c.idList()
	if !ok {
		return bad
	}
	externals, bad, ok := c.textList("external_ids")
	if !ok {
		return bad
	}
	if len(externals) > 0 {
		for _, id := range c.s.account.userIDs {
			if e := c.s.account.user(id).externalID; e != "" && containsFold(externals, e) {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	deleted := c.query.Get("include_deleted") == "true"
	ids = slices.DeleteFunc(ids, func(id int64) bool {
		u := c.s.account.user(id)
		return u == nil || !u.active && !deleted
	})
	return c.userRows(whole(ids))
}

// createUser answers 201, 404 for an unknown organization, 422 for what is invalid or taken.
func (c *call) createUser() answer {
	var body struct {
		User userInput `json:"user"`
	}
	if bad, ok := c.decode(&body); !ok {
		return bad
	}
	u, wrong, missing := c.create(&body.User)
	switch {
	case missing:
		return recordNotFound()
	case wrong != nil:
		return wrong.answer()
	}
	return c.userAnswer(http.StatusCreated, u.id)
}

func (c *call) userAnswer(status int, id int64) answer {
	a := reply(status, map[string]any{"user": c.userJSON(c.s.account.user(id))})
	a.header.Set("Location", c.url("users", id))
	return a
}

// create makes a user. Organizations are checked before anything else, so that nothing is half done.
func (c *call) create(in *userInput) (created *user, wrong *problem, missing bool) {
	account := c.s.account
	organizations := in.wantedOrganizations()
	for _, id := range organizations {
		if account.organization(id) == nil {
			return nil, nil, true
		}
	}
	if wrong := c.check(nil, in); wrong != nil {
		return nil, wrong, false
	}
	u := &user{id: next(&account.users0), role: "end-user", active: true, created: c.now}
	c.write(u, in)
	c.addAddresses(u, in, true)
	account.putUser(c.now, c.settings.SearchLag, u)
	for _, id := range c.joined(u, organizations) {
		account.attach(c.now, c.settings.SearchLag, u.id, id)
	}
	return account.user(u.id), nil, false
}

// joined adds, to the organizations asked for, those that claim the domain of the new user's address.
func (c *call) joined(u *user, asked []int64) []int64 {
	_, domain, _ := strings.Cut(u.email(), "@")
	for _, id := range c.s.account.organizationIDs {
		o := c.s.account.organization(id)
		if o != nil && domain != "" && containsFold(o.domains, domain) && !slices.Contains(asked, id) {
			asked = append(asked, id)
		}
	}
	if !c.settings.MultipleOrganizations && len(asked) > 1 {
		asked = asked[:1]
	}
	return asked
}

// check validates an input against the account; u is nil for a creation.
func (c *call) check(u *user, in *userInput) *problem {
	name := strings.TrimSpace(in.Name.value)
	if u == nil && name == "" || in.Name.set && name == "" {
		return blank("name", "Name")
	}
	if len([]rune(name)) > maxName {
		return &problem{"name", "Name: is too long (maximum is 255 characters)", "ValueTooLong"}
	}
	addresses := []string{in.Email.value}
	for _, i := range in.Identities {
		if i.Type == "email" {
			addresses = append(addresses, i.Value)
		}
	}
	for _, address := range addresses {
		if address == "" {
			continue
		}
		if !plausible(address) {
			return &problem{"email", "Email: " + address + " is not properly formatted", "InvalidFormat"}
		}
		if owner, taken := c.s.account.taken(address); taken && (u == nil || owner != u.id) {
			return duplicateAddress(address)
		}
	}
	if external := in.ExternalID.value; external != "" {
		for _, id := range c.s.account.userIDs {
			other := c.s.account.user(id)
			if other.active && (u == nil || other.id != u.id) && strings.EqualFold(other.externalID, external) {
				return &problem{"external_id", "External: " + external + " has already been taken", "DuplicateValue"}
			}
		}
	}
	return nil
}

// plausible is the little that Zendesk asks of an address.
func plausible(address string) bool {
	local, domain, ok := strings.Cut(address, "@")
	return ok && local != "" && strings.Contains(domain, ".") && !strings.ContainsAny(address, " \t\r\n,;<>") &&
		!strings.Contains(domain, "@") && !strings.HasPrefix(domain, ".") && !strings.HasSuffix(domain, ".")
}

// write puts the plain fields of an input into a user.
func (c *call) write(u *user, in *userInput) {
	if in.Name.set {
		u.name = strings.TrimSpace(in.Name.value)
	}
	if in.Role.value != "" {
		if in.Role.value != "end-user" || u.role != "end-user" {
			c.violation("a role written: " + in.Role.value)
		}
		u.role = in.Role.value
	}
	if in.CustomRole.value != 0 {
		c.violation("a custom role written")
		u.role, u.customRole = "agent", in.CustomRole.value
	}
	if in.Suspended.set {
		if in.Suspended.value != u.suspended {
			c.violation("a person suspended or unsuspended")
		}
		u.suspended = in.Suspended.value
	}
	if in.ExternalID.set {
		u.externalID = in.ExternalID.value
	}
	if in.Phone.set {
		u.phone = in.Phone.value
	}
	if in.Alias.set {
		u.alias = in.Alias.value
	}
	if in.Notes.set {
		u.notes = in.Notes.value
	}
	if in.Details.set {
		u.details = in.Details.value
	}
	if in.Tags.set {
		u.tags = in.Tags.value
	}
	if in.Fields.set {
		u.fields = maps.Clone(u.fields)
		if u.fields == nil {
			u.fields = map[string]any{}
		}
		maps.Copy(u.fields, in.Fields.value)
	}
}

// addAddresses adds what the user does not have yet. On an existing user an "email" becomes a secondary identity;
// only make_primary changes the primary one. Without skip_verify_email mail goes out.
func (c *call) addAddresses(u *user, in *userInput, fresh bool) {
	add := func(value string, primary, verified bool) {
		if value == "" || containsFold(u.addresses(), value) {
			return
		}
		u.identities = append(slices.Clone(u.identities), identity{
			id: next(&c.s.account.identities0), kind: "email", value: value,
			primary: primary, verified: verified, created: c.now, updated: c.now,
		})
		if !in.SkipVerifyEmail {
			c.mail(value)
		}
	}
	add(in.Email.value, fresh || u.email() == "", in.Verified)
	for _, i := range in.Identities {
		if i.Type == "email" {
			add(i.Value, u.email() == "", i.Verified || in.Verified)
		}
	}
}

// mail notes that somebody would have been written to.
func (c *call) mail(address string) {
	c.s.mails = append(c.s.mails, address)
	c.violation("mail sent to " + address)
}

// touch notes a write to somebody whom no list of contacts may change.
func (c *call) touch(u *user) {
	if who := u.protected(); who != "" {
		c.violation("a write to " + who)
	}
}

// change updates an existing user. A shared user refuses it.
func (c *call) change(u *user, in *userInput) (wrong *problem, refused, missing bool) {
	c.touch(u)
	if u.shared {
		return nil, true, false
	}
	if id := in.Organization.value; id != 0 && c.s.account.organization(id) == nil {
		return nil, false, true
	}
	if wrong := c.check(u, in); wrong != nil {
		return wrong, false, false
	}
	changed := *u
	c.write(&changed, in)
	c.addAddresses(&changed, in, false)
	c.s.account.putUser(c.now, c.settings.SearchLag, &changed)
	if in.movesOrganization() {
		c.moveTo(u.id, in)
	}
	return nil, false, false
}

// moveTo is the trap: writing the organization of an existing user removes all other memberships.
func (c *call) moveTo(user int64, in *userInput) {
	c.violation("organization written on an existing person")
	account, lag := c.s.account, c.settings.SearchLag
	wanted := in.wantedOrganizations()
	for _, id := range slices.Clone(account.ofUser[user]) {
		if m := account.memberships[id]; !slices.Contains(wanted, m.organization) {
			account.detach(c.now, lag, m)
		}
	}
	for _, organization := range wanted {
		if account.organization(organization) != nil && account.between(user, organization) == nil {
			account.attach(c.now, lag, user, organization)
		}
	}
	if len(wanted) > 0 {
		if m := account.between(user, wanted[0]); m != nil {
			account.makeHome(c.now, lag, m)
		}
	}
}

func (c *call) updateUser() answer {
	if denied, ok := c.updateLimit(c.params["user"]); !ok {
		return denied
	}
	u := c.userOf()
	if u == nil || !u.active {
		return recordNotFound()
	}
	var body struct {
		User userInput `json:"user"`
	}
	if bad, ok := c.decode(&body); !ok {
		return bad
	}
	wrong, refused, missing := c.change(u, &body.User)
	switch {
	case refused:
		return forbidden("You cannot update a shared user.")
	case missing:
		return recordNotFound()
	case wrong != nil:
		return wrong.answer()
	}
	return c.userAnswer(http.StatusOK, u.id)
}

// deleteUser is a soft delete: the person stays as inactive, leaves every list, and the addresses become free.
func (c *call) deleteUser() answer {
	u := c.userOf()
	if u == nil || !u.active {
		return recordNotFound()
	}
	c.violation("a person deleted")
	c.s.account.leaveAll(c.now, c.settings.SearchLag, u.id)
	changed := *c.s.account.user(u.id)
	changed.active = false
	c.s.account.putUser(c.now, c.settings.SearchLag, &changed)
	return c.userAnswer(http.StatusOK, u.id)
}

// existing finds the user that create_or_update means, by address or external id.
func (c *call) existing(in *userInput) *user {
	if id, ok := c.s.account.owner[strings.ToLower(in.Email.value)]; ok {
		return c.s.account.user(id)
	}
	if in.ExternalID.value != "" {
		for _, id := range c.s.account.userIDs {
			u := c.s.account.user(id)
			if u.active && strings.EqualFold(u.externalID, in.ExternalID.value) {
				return u
			}
		}
	}
	return nil
}

// createOrUpdateUser overwrites an existing user; it is no way to look somebody up.
func (c *call) createOrUpdateUser() answer {
	var body struct {
		User userInput `json:"user"`
	}
	if bad, ok := c.decode(&body); !ok {
		return bad
	}
	if denied, ok := c.updateLimit(strings.ToLower(body.User.Email.value)); !ok {
		return denied
	}
	found := c.existing(&body.User)
	if found == nil {
		if !body.User.Name.set {
			// A call with only an address creates a record, named after it (zendesk_api_client_rb issue 457).
			body.User.Name = field[string]{set: true, value: body.User.Email.value}
		}
		u, wrong, missing := c.create(&body.User)
		switch {
		case missing:
			return recordNotFound()
		case wrong != nil:
			return wrong.answer()
		}
		return c.userAnswer(http.StatusCreated, u.id)
	}
	wrong, refused, missing := c.change(found, &body.User)
	switch {
	case refused:
		return forbidden("You cannot update a shared user.")
	case missing:
		return recordNotFound()
	case wrong != nil:
		return wrong.answer()
	}
	return c.userAnswer(http.StatusOK, found.id)
}
