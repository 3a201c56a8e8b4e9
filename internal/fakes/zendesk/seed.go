package zendesk

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Organization is an organization as a test states it.
type Organization struct {
	ID         int64 // set by the server
	Name       string
	ExternalID string
	Domains    []string // new people with such addresses are added without being asked for
	Fields     map[string]any
}

// User is a person as a test states it.
type User struct {
	ID         int64 // set by the server
	Name       string
	Email      string   // primary address; may be empty
	Secondary  []string // further addresses
	Role       string   // "end-user" when empty, "agent", "admin"
	CustomRole int64    // not 0: an agent
	Suspended  bool
	Shared     bool // shared from another account: updates answer 403
	Inactive   bool // soft-deleted: has no memberships and is in no list
	ExternalID string
	Phone      string
	// Organizations are the ids of all organizations of the person, the default one first.
	Organizations []int64
}

// The methods below are what happens at the desk by other hands. Like any change they reach search only after the
// lag; Reindex brings the index up to date.

// AddOrganization adds an organization and returns its id.
func (s *Server) AddOrganization(o Organization) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	stored := &organization{
		id: next(&s.account.organizations0), name: o.Name, externalID: o.ExternalID,
		domains: slices.Clone(o.Domains), fields: maps.Clone(o.Fields), created: now,
	}
	s.account.putOrganization(now, s.settings.SearchLag, stored)
	return stored.id
}

// SetField writes one custom field of an organization, nil empties it. Unknown organizations are left alone.
func (s *Server) SetField(organization int64, key string, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.account.organization(organization)
	if o == nil {
		return
	}
	changed := *o
	changed.fields = maps.Clone(o.fields)
	if changed.fields == nil {
		changed.fields = map[string]any{}
	}
	changed.fields[key] = value
	s.account.putOrganization(s.clock(), s.settings.SearchLag, &changed)
}

// DeleteOrganization deletes an organization and with it its memberships.
func (s *Server) DeleteOrganization(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.settleCrowds()
	o := s.account.organization(id)
	if o == nil {
		return
	}
	now, lag := s.clock(), s.settings.SearchLag
	for _, m := range slices.Clone(s.account.roster[id].memberships) {
		s.account.detach(now, lag, s.account.memberships[m])
	}
	changed := *o
	changed.deleted = now
	s.account.putOrganization(now, lag, &changed)
}

// AddUser adds a person and returns the id. An address that is taken goes to the new person: tests state what is so.
func (s *Server) AddUser(u User) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, lag := s.clock(), s.settings.SearchLag
	stored := &user{id: next(&s.account.users0), created: now}
	s.fill(stored, u, now)
	s.account.putUser(now, lag, stored)
	if u.Inactive {
		return stored.id
	}
	for _, organization := range u.Organizations {
		if s.account.organization(organization) != nil && s.account.between(stored.id, organization) == nil {
			s.account.attach(now, lag, stored.id, organization)
		}
	}
	return stored.id
}

// UpdateUser changes a person as somebody at the desk would. Memberships stay as they are, see Attach and Detach;
// a person who becomes Inactive loses them.
func (s *Server) UpdateUser(id int64, change func(*User)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.settleCrowds()
	old := s.account.user(id)
	if old == nil {
		return
	}
	stated := s.state(old)
	change(&stated)
	now, lag := s.clock(), s.settings.SearchLag
	if stated.Inactive {
		s.account.leaveAll(now, lag, id)
	}
	changed := *s.account.user(id)
	s.fill(&changed, stated, now)
	s.account.putUser(now, lag, &changed)
}

// Attach adds a membership by hand; one that exists is left alone.
func (s *Server) Attach(user, organization int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.settleCrowds()
	u := s.account.user(user)
	if u == nil || !u.active || s.account.organization(organization) == nil || s.account.between(user, organization) != nil {
		return
	}
	s.account.attach(s.clock(), s.settings.SearchLag, user, organization)
}

// Detach removes a membership by hand, if it is there.
func (s *Server) Detach(user, organization int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.settleCrowds()
	if m := s.account.between(user, organization); m != nil {
		s.account.detach(s.clock(), s.settings.SearchLag, m)
	}
}

// BlockAddress makes an address taken although nobody can be found who has it, as happens after people were merged.
func (s *Server) BlockAddress(address string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.blocked[strings.ToLower(address)] = true
}

// Reindex brings search up to date at once.
func (s *Server) Reindex() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.account.users {
		r.indexed, r.pending = r.now, nil
	}
	for _, r := range s.account.organizations {
		r.indexed, r.pending = r.now, nil
	}
}

// User returns the person with that id; soft-deleted ones are Inactive.
func (s *Server) User(id int64) (User, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.settleCrowds()
	u := s.account.user(id)
	if u == nil {
		return User{}, false
	}
	return s.state(u), true
}

// UserByEmail returns the person who has the address, as a primary or a secondary one.
func (s *Server) UserByEmail(address string) (User, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.settleCrowds()
	id, ok := s.account.owner[strings.ToLower(address)]
	if !ok {
		return User{}, false
	}
	return s.state(s.account.user(id)), true
}

// Users returns everybody, soft-deleted people too, by id.
func (s *Server) Users() []User {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.settleCrowds()
	all := make([]User, 0, len(s.account.userIDs))
	for _, id := range s.account.userIDs {
		all = append(all, s.state(s.account.user(id)))
	}
	return all
}

// MembersOf returns the members of an organization, by id.
func (s *Server) MembersOf(organization int64) []User {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.account.settleCrowds()
	list := s.account.roster[organization]
	if list == nil {
		return nil
	}
	members := make([]User, 0, len(list.users))
	for _, id := range list.users {
		members = append(members, s.state(s.account.user(id)))
	}
	return members
}

// Organization returns the organization with that id, unless it was deleted.
func (s *Server) Organization(id int64) (Organization, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.account.organization(id)
	if o == nil {
		return Organization{}, false
	}
	return Organization{
		ID: o.id, Name: o.name, ExternalID: o.externalID,
		Domains: slices.Clone(o.domains), Fields: maps.Clone(o.fields),
	}, true
}

// OrganizationIDs returns the ids of all organizations that are there, ascending.
func (s *Server) OrganizationIDs() []int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []int64
	for _, id := range s.account.organizationIDs {
		if s.account.organization(id) != nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// state is the person as a test sees it.
func (s *Server) state(u *user) User {
	stated := User{
		ID: u.id, Name: u.name, Email: u.email(), Role: u.role, CustomRole: u.customRole,
		Suspended: u.suspended, Shared: u.shared, Inactive: !u.active, ExternalID: u.externalID, Phone: u.phone,
	}
	for _, i := range u.identities {
		if i.kind == "email" && !i.primary {
			stated.Secondary = append(stated.Secondary, i.value)
		}
	}
	for _, id := range s.account.ofUser[u.id] {
		m := s.account.memberships[id]
		if m.home {
			stated.Organizations = slices.Insert(stated.Organizations, 0, m.organization)
			continue
		}
		stated.Organizations = append(stated.Organizations, m.organization)
	}
	return stated
}

// fill writes what a test stated into a person.
func (s *Server) fill(u *user, stated User, now time.Time) {
	u.name, u.role, u.customRole = stated.Name, stated.Role, stated.CustomRole
	u.suspended, u.shared, u.active = stated.Suspended, stated.Shared, !stated.Inactive
	u.externalID, u.phone = stated.ExternalID, stated.Phone
	if u.role == "" {
		u.role = "end-user"
	}
	if u.customRole != 0 && u.role == "end-user" {
		u.role = "agent" // a custom role means agent
	}
	known := map[string]int64{}
	for _, i := range u.identities {
		known[strings.ToLower(i.value)] = i.id
	}
	u.identities = nil
	add := func(address string, primary bool) {
		id, ok := known[strings.ToLower(address)]
		if !ok {
			id = next(&s.account.identities0)
		}
		u.identities = append(u.identities, identity{
			id: id, kind: "email", value: address, primary: primary, verified: true, created: now, updated: now,
		})
	}
	if stated.Email != "" {
		add(stated.Email, true)
	}
	for _, address := range stated.Secondary {
		add(address, false)
	}
}
