package zendesk

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"contactsync"

	"golang.org/x/sync/errgroup"
)

// settingsLife is how long the account's settings are believed.
const settingsLife = 10 * time.Minute

// membership is a row of organization_memberships.
type membership struct {
	ID             int64 `json:"id"`
	UserID         int64 `json:"user_id"`
	OrganizationID int64 `json:"organization_id"`
}

// user is what decisions need of a user. The library's User cannot tell what is absent (as in side-loaded, "partial"
// users) from what is false or empty.
type user struct {
	ID             int64            `json:"id"`
	Name           string           `json:"name"`
	Email          optional[string] `json:"email"`
	Role           optional[string] `json:"role"`
	CustomRoleID   *int64           `json:"custom_role_id"`
	Suspended      optional[bool]   `json:"suspended"`
	Active         optional[bool]   `json:"active"`
	Shared         bool             `json:"shared"`
	SharedAgent    bool             `json:"shared_agent"`
	OrganizationID optional[int64]  `json:"organization_id"` // the default one
	UpdatedAt      string           `json:"updated_at"`
}

// told says whether the user carries all that decisions need.
func (u user) told() bool {
	return u.Email.Given && u.Role.Given && u.Suspended.Given && u.Active.Given && u.OrganizationID.Given
}

// identity is one address, or another way to reach a user.
type identity struct {
	ID      int64  `json:"id"`
	UserID  int64  `json:"user_id"`
	Type    string `json:"type"`
	Value   string `json:"value"`
	Primary bool   `json:"primary"`
}

// role is the user's role as the vocabulary has it.
func (u user) role() contactsync.Role {
	switch {
	case u.Role.Value == "admin":
		return contactsync.RoleAdmin
	case u.Role.Value == "end-user" && (u.CustomRoleID == nil || *u.CustomRoleID == 0):
		return contactsync.RoleContact
	}
	return contactsync.RoleAgent // also roles that we have never heard of
}

// person is the user as the vocabulary has it, as seen from an organization.
func (u user) person(org int64) contactsync.Person {
	p := contactsync.Person{
		ID:        strconv.FormatInt(u.ID, 10),
		Name:      u.Name,
		Role:      u.role(),
		Suspended: u.Suspended.Value,
		Shared:    u.Shared || u.SharedAgent,
	}
	if u.Email.Value != "" {
		p.Addresses = []contactsync.Email{contactsync.NormalizeEmail(u.Email.Value)}
	}
	switch {
	case !u.OrganizationID.Given:
	case u.OrganizationID.Null || u.OrganizationID.Value == 0:
		// Whoever has memberships has a default one: when it is removed, another takes its place.
		p.Elsewhere = contactsync.ElsewhereNo
	case u.OrganizationID.Value != org:
		p.Elsewhere = contactsync.ElsewhereYes
	default:
		p.Here = true
	}
	return p
}

// protected says why the person is nobody's to change, or "".
func protected(p contactsync.Person) string {
	switch {
	case p.Role == contactsync.RoleAdmin:
		return "an administrator"
	case p.Role != contactsync.RoleContact:
		return "an agent"
	case p.Suspended:
		return "suspended"
	case p.Shared:
		return "shared from another account"
	}
	return ""
}

// organizationID reads the number of an organization that Organization or OrganizationByID returned.
func organizationID(org contactsync.Organization) (int64, error) {
	id, err := strconv.ParseInt(org.ID, 10, 64)
	if err != nil || id <= 0 {
		return 0, contactsync.Errorf(contactsync.ClassInternal, "%q is no number of an organization at Zendesk", org.ID)
	}
	return id, nil
}

// Members returns all members of the organization in the order of their ids, with primary addresses alone. Elsewhere
// stays unknown for members whose default organization is this one, unless the account's settings have been read.
// Soft-deleted users are no members.
// https://developer.zendesk.com/api-reference/ticketing/organizations/organization_memberships/
func (d *Desk) Members(ctx context.Context, org contactsync.Organization) ([]contactsync.Member, error) {
	id, err := organizationID(org)
	if err != nil {
		return nil, err
	}
	members, err := whole(ctx, func(ctx context.Context) ([]contactsync.Member, error) { return d.members(ctx, id) })
	if err != nil {
		return nil, reading(err, "members of organization %d", id)
	}
	return members, nil
}

func (d *Desk) members(ctx context.Context, org int64) ([]contactsync.Member, error) {
	query := url.Values{}
	if !d.noSideLoad.Load() {
		query.Set("include", "users")
	}
	path := fmt.Sprintf("/organizations/%d/organization_memberships", org)
	pages, counted, err := d.list(ctx, path, query, membershipRows)
	if err != nil {
		return nil, err
	}
	memberships := map[int64]int64{} // by user
	users := map[int64]user{}
	for _, p := range pages {
		for _, m := range p.Memberships {
			if m.OrganizationID != org {
				return nil, unreadable("a membership of organization %d came for organization %d", m.OrganizationID, org)
			}
			if _, double := memberships[m.UserID]; double || m.UserID <= 0 {
				return nil, inconsistent("user %d came twice", m.UserID)
			}
			memberships[m.UserID] = m.ID
		}
		for _, u := range p.Users {
			if u.told() {
				users[u.ID] = u
			}
		}
	}
	if err := d.crossCheck(ctx, fmt.Sprintf("/organizations/%d/users/count", org), len(memberships), counted); err != nil {
		return nil, err
	}
	var lacking []int64
	for id := range memberships {
		if _, ok := users[id]; !ok {
			lacking = append(lacking, id)
		}
	}
	if len(lacking) > 0 {
		if len(users) == 0 {
			d.noSideLoad.Store(true) // this account does not answer it: ask without from now on
		}
		slices.Sort(lacking)
		read, err := d.readUsers(ctx, lacking, false)
		if err != nil {
			return nil, err
		}
		for _, u := range read {
			users[u.ID] = u.user
		}
		for _, id := range lacking {
			if _, ok := users[id]; !ok {
				return nil, inconsistent("user %d is a member and cannot be read", id)
			}
		}
	}
	alone := d.singleKnown()
	members := make([]contactsync.Member, 0, len(memberships))
	for id, m := range memberships {
		u := users[id]
		if !u.Active.Value {
			continue
		}
		member := contactsync.Member{Person: u.person(org), Membership: strconv.FormatInt(m, 10)}
		if u.OrganizationID.Null {
			member.Elsewhere = contactsync.ElsewhereUnknown // a member without a default organization: see for yourself
		}
		if alone && member.Elsewhere == contactsync.ElsewhereUnknown {
			member.Elsewhere = contactsync.ElsewhereNo
		}
		members = append(members, member)
	}
	slices.SortFunc(members, func(a, b contactsync.Member) int { return compareIDs(a.ID, b.ID) })
	return members, nil
}

// exactCount is up to where Zendesk counts at once; larger counts may be a day old.
const exactCount = 100_000

// crossCheck asks another page of the account for its count, where nothing else proves that a list is whole: when it is
// empty, and when it came without a count.
func (d *Desk) crossCheck(ctx context.Context, path string, found int, counted bool) error {
	if counted && found > 0 {
		return nil
	}
	var answer struct {
		Count struct {
			Value *int `json:"value"`
		} `json:"count"`
	}
	err := d.get(ctx, path, nil, &answer)
	if status(err) == http.StatusNotFound {
		return nil // this account has no such page; the last good read is still compared
	}
	if err != nil {
		return err
	}
	if value := answer.Count.Value; value == nil || *value > found && *value <= exactCount {
		return inconsistent("%d rows came, and GET %s says that there are more", found, path)
	}
	return nil
}

// compareIDs orders ids as the numbers that they are.
func compareIDs(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

// known is a user together with all of the user's addresses, where those were asked for.
type known struct {
	user
	addresses []contactsync.Email // the primary one first
}

// readUsers reads users a hundred at a time, side by side; with every address of theirs where identities is set.
// Soft-deleted users come with Active false. Users that do not exist are missing from the result; the caller decides
// what that means. https://developer.zendesk.com/api-reference/ticketing/users/users/#show-many-users
func (d *Desk) readUsers(ctx context.Context, ids []int64, identities bool) ([]known, error) {
	parts := slices.Collect(slices.Chunk(ids, pageSize))
	read := make([][]known, len(parts))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, part := range parts {
		group.Go(func() (err error) {
			read[i], err = d.readUsersOnce(ctx, part, identities)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(read...), nil
}

func (d *Desk) readUsersOnce(ctx context.Context, ids []int64, identities bool) ([]known, error) {
	query := url.Values{"ids": {joinIDs(ids)}, "include_deleted": {"true"}}
	if identities {
		query.Set("include", "identities")
	}
	p, err := d.page(ctx, "/users/show_many", query, userRows)
	if err != nil {
		return nil, err
	}
	of := map[int64][]identity{}
	for _, i := range p.Identities {
		of[i.UserID] = append(of[i.UserID], i)
	}
	read := make([]known, 0, len(p.Users))
	seen := map[int64]bool{}
	for _, u := range p.Users {
		switch {
		case !slices.Contains(ids, u.ID):
			return nil, unreadable("user %d came without having been asked for", u.ID)
		case !u.told():
			return nil, unreadable("the desk leaves out what decisions need of user %d", u.ID)
		case seen[u.ID]:
			continue
		}
		seen[u.ID] = true
		read = append(read, known{user: u, addresses: u.person(0).Addresses})
	}
	missing := slices.DeleteFunc(slices.Clone(ids), func(id int64) bool { return seen[id] })
	if len(missing) > singles && len(missing) < len(ids) {
		again, err := d.readUsersOnce(ctx, missing, identities)
		return append(read, again...), err
	}
	found, err := d.readOneByOne(ctx, missing)
	if err != nil {
		return nil, err
	}
	read = append(read, found...)
	if !identities {
		return read, nil
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := range read {
		group.Go(func() error {
			u := &read[i]
			list := of[u.ID]
			if addresses, ok := u.withIdentities(list); ok || !u.Active.Value {
				u.addresses = addresses
				return nil
			}
			// Not side-loaded, or without the primary address, which cannot be all of them.
			list, err := d.identities(ctx, u.ID)
			if err != nil {
				return err
			}
			addresses, ok := u.withIdentities(list)
			if !ok {
				return inconsistent("the addresses of user %d lack the primary one", u.ID)
			}
			u.addresses = addresses
			return nil
		})
	}
	return read, group.Wait()
}

// readOneByOne asks for users that a list left out. Who is answered 404 does not exist.
func (d *Desk) readOneByOne(ctx context.Context, ids []int64) ([]known, error) {
	found := make([]*known, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, id := range ids {
		group.Go(func() error {
			var answer struct {
				User user `json:"user"`
			}
			err := d.get(ctx, fmt.Sprintf("/users/%d", id), nil, &answer)
			if status(err) == http.StatusNotFound {
				return nil
			}
			if err != nil {
				return err
			}
			if answer.User.ID != id || !answer.User.told() {
				return unreadable("the answer for user %d is not about that user", id)
			}
			found[i] = &known{user: answer.User, addresses: answer.User.person(0).Addresses}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var read []known
	for _, u := range found {
		if u != nil {
			read = append(read, *u)
		}
	}
	return read, nil
}

// withIdentities returns the user's addresses, the primary one first, and whether they include it: identities that do
// not are not all of them. Identities of other kinds (phone, social networks) are no addresses.
func (u known) withIdentities(list []identity) (addresses []contactsync.Email, ok bool) {
	primary := u.person(0).Primary()
	if primary != "" {
		addresses = append(addresses, primary)
	}
	ok = primary == "" && list != nil
	for _, i := range list {
		if i.Type != "email" {
			continue
		}
		address := contactsync.NormalizeEmail(i.Value)
		if address == primary {
			ok = true
			continue
		}
		if !slices.Contains(addresses, address) {
			addresses = append(addresses, address)
		}
	}
	return addresses, ok
}

// identities reads all identities of one user.
// https://developer.zendesk.com/api-reference/ticketing/users/user_identities/
func (d *Desk) identities(ctx context.Context, user int64) ([]identity, error) {
	pages, err := d.walk(ctx, fmt.Sprintf("/users/%d/identities", user), nil, identityRows, nil)
	if err != nil {
		return nil, err
	}
	list := []identity{} // not nil: it was read
	for _, p := range pages {
		for _, i := range p.Identities {
			if i.UserID != 0 && i.UserID != user {
				return nil, unreadable("an identity of user %d came for user %d", i.UserID, user)
			}
			list = append(list, i)
		}
	}
	return list, nil
}

// Addresses returns the same members with every address of theirs, and all else about them read anew. It takes a
// request for a hundred members where the account side-loads identities, one a member otherwise.
func (d *Desk) Addresses(ctx context.Context, org contactsync.Organization, members []contactsync.Member) ([]contactsync.Member, error) {
	id, err := organizationID(org)
	if err != nil {
		return nil, err
	}
	completed, err := whole(ctx, func(ctx context.Context) ([]contactsync.Member, error) { return d.complete(ctx, id, members) })
	if err != nil {
		return nil, reading(err, "addresses of members of organization %s", org.ID)
	}
	return completed, nil
}

func (d *Desk) complete(ctx context.Context, org int64, members []contactsync.Member) ([]contactsync.Member, error) {
	ids := make([]int64, len(members))
	for i, m := range members {
		var err error
		if ids[i], err = personID(m.ID); err != nil {
			return nil, err
		}
	}
	distinct := slices.Clone(ids)
	slices.Sort(distinct)
	read, err := d.readUsers(ctx, slices.Compact(distinct), true)
	if err != nil {
		return nil, err
	}
	users := make(map[int64]known, len(read))
	for _, u := range read {
		users[u.ID] = u
	}
	completed := slices.Clone(members)
	for i := range completed {
		u, ok := users[ids[i]]
		if !ok || !u.Active.Value {
			return nil, unreadable("member %d is not there any more", ids[i])
		}
		elsewhere := completed[i].Elsewhere
		completed[i].Person = u.person(org)
		completed[i].Addresses, completed[i].Complete = u.addresses, true
		completed[i].Elsewhere = max(elsewhere, completed[i].Elsewhere)
	}
	return completed, nil
}

func personID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id <= 0 {
		return 0, contactsync.Errorf(contactsync.ClassInternal, "%q is no number of a person at Zendesk", text)
	}
	return id, nil
}

// multiple says whether a person may belong to several organizations. It costs a request every few minutes.
func (d *Desk) multiple(ctx context.Context) (bool, error) {
	d.settings.Lock()
	known, multiple := d.now().Before(d.settings.until), d.settings.multiple
	d.settings.Unlock()
	if known {
		return multiple, nil
	}
	return d.readMultiple(ctx)
}

// readMultiple reads from the account's settings, which every agent may see, whether a person may belong to several
// organizations. https://developer.zendesk.com/api-reference/ticketing/account-configuration/account_settings/
func (d *Desk) readMultiple(ctx context.Context) (bool, error) {
	var answer struct {
		Settings *struct {
			User struct {
				Multiple *bool `json:"multiple_organizations"`
			} `json:"user"`
		} `json:"settings"`
	}
	err := d.get(ctx, "/account/settings", nil, &answer)
	if err == nil && answer.Settings == nil {
		err = unreadable("the answer has no settings in it")
	}
	if err != nil {
		return false, reading(err, "the account's settings")
	}
	multiple := answer.Settings.User.Multiple
	if multiple == nil {
		return true, nil // the careful answer: it makes us look closer
	}
	d.settings.Lock()
	defer d.settings.Unlock()
	d.settings.multiple, d.settings.until = *multiple, d.now().Add(settingsLife)
	return *multiple, nil
}

// SharesPeople says whether a person may belong to several organizations, which is a setting of the account.
func (d *Desk) SharesPeople(ctx context.Context) (bool, error) {
	multiple, err := d.multiple(ctx)
	return multiple, reading(err, "whether people may belong to several organizations")
}

// singleKnown says whether it is known, without asking, that nobody belongs to several organizations.
func (d *Desk) singleKnown() bool {
	d.settings.Lock()
	defer d.settings.Unlock()
	return d.now().Before(d.settings.until) && !d.settings.multiple
}

// Elsewhere returns the same members with Elsewhere known. Where the account lets nobody have several organizations,
// that costs one request; otherwise one for each member in doubt.
func (d *Desk) Elsewhere(ctx context.Context, org contactsync.Organization, members []contactsync.Member) ([]contactsync.Member, error) {
	id, err := organizationID(org)
	if err != nil {
		return nil, err
	}
	resolved := slices.Clone(members)
	if !slices.ContainsFunc(resolved, inDoubt) {
		return resolved, nil
	}
	multiple, err := d.multiple(ctx)
	if err != nil {
		return nil, reading(err, "whether members of organization %d belong elsewhere", id)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := range resolved {
		m := &resolved[i]
		if !inDoubt(*m) {
			continue
		}
		if !multiple {
			m.Elsewhere = contactsync.ElsewhereNo
			continue
		}
		group.Go(func() error {
			user, err := personID(m.ID)
			if err != nil {
				return err
			}
			organizations, err := d.organizationsOf(ctx, user, id)
			if err != nil {
				return err
			}
			m.Elsewhere = contactsync.ElsewhereNo
			if slices.ContainsFunc(organizations, func(o int64) bool { return o != id }) {
				m.Elsewhere = contactsync.ElsewhereYes
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, reading(err, "whether members of organization %d belong elsewhere", id)
	}
	return resolved, nil
}

func inDoubt(m contactsync.Member) bool { return m.Elsewhere == contactsync.ElsewhereUnknown }

// organizationsOf returns the organizations that a user is a member of, of which one is known: a list without it is
// not all there.
func (d *Desk) organizationsOf(ctx context.Context, user, known int64) ([]int64, error) {
	organizations, err := whole(ctx, func(ctx context.Context) ([]int64, error) {
		pages, _, err := d.list(ctx, fmt.Sprintf("/users/%d/organization_memberships", user), nil, membershipRows)
		var organizations []int64
		for _, p := range pages {
			for _, m := range p.Memberships {
				if m.UserID != user {
					return nil, unreadable("a membership of user %d came for user %d", m.UserID, user)
				}
				organizations = append(organizations, m.OrganizationID)
			}
		}
		if err == nil && !slices.Contains(organizations, known) {
			err = inconsistent("the memberships of user %d lack the one in organization %d", user, known)
		}
		return organizations, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the memberships of user %d: %w", user, err)
	}
	return organizations, nil
}
