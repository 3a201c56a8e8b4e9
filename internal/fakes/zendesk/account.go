package zendesk

import (
	"slices"
	"strings"
	"time"
)

// The kinds of ids count in ranges of their own, above 32 bits as the real ones are, so that mixing two kinds up
// never hits by accident.
const (
	firstOrganization = 360_000_000_001
	firstUser         = 380_000_000_001
	firstMembership   = 400_000_000_001
	firstIdentity     = 420_000_000_001
	firstMacro        = 440_000_000_001
	firstTicket       = 100_001 // tickets are numbered by the account
)

const maxMemberships = 300 // organizations per user, support.zendesk.com article 4408838140314

// user, organization and membership are never changed once stored: a change stores a new copy. Search can then keep
// serving the old one.
type user struct {
	id         int64
	name       string
	identities []identity
	role       string
	customRole int64
	suspended  bool
	shared     bool
	active     bool
	externalID string
	phone      string
	alias      string
	notes      string
	details    string
	tags       []string
	fields     map[string]any
	home       int64 // default organization, 0 for none
	created    time.Time
	updated    time.Time
}

type identity struct {
	id       int64
	kind     string // "email", ...
	value    string
	primary  bool
	verified bool
	created  time.Time
	updated  time.Time
}

type organization struct {
	id         int64
	name       string
	externalID string
	domains    []string
	tags       []string
	fields     map[string]any
	notes      string
	details    string
	deleted    time.Time // zero: it is there
	created    time.Time
	updated    time.Time
}

type membership struct {
	id           int64
	user         int64
	organization int64
	home         bool // the user's default one
	created      time.Time
	updated      time.Time
}

// email is the primary address, "" for none.
func (u *user) email() string {
	for _, i := range u.identities {
		if i.kind == "email" && i.primary {
			return i.value
		}
	}
	return ""
}

func (u *user) addresses() []string {
	var all []string
	for _, i := range u.identities {
		if i.kind == "email" {
			all = append(all, i.value)
		}
	}
	return all
}

func (u *user) verified() bool {
	return slices.ContainsFunc(u.identities, func(i identity) bool { return i.verified })
}

// staff and the like are people whom no list of contacts may touch.
func (u *user) protected() string {
	switch {
	case u.role != "end-user" || u.customRole != 0:
		return "an " + u.role
	case u.suspended:
		return "a suspended person"
	case u.shared:
		return "a shared person"
	}
	return ""
}

// record is a thing as it is now, and as the search index still believes it to be.
type record[T any] struct {
	now     *T
	indexed *T
	pending []version[T]
}

type version[T any] struct {
	at    time.Time
	value *T // nil: gone
}

func (r *record[T]) store(at time.Time, value *T, lag time.Duration) {
	r.catchUp(at, lag)
	r.now = value
	r.pending = append(r.pending, version[T]{at: at, value: value})
}

// catchUp moves into the index what changed at least lag ago.
func (r *record[T]) catchUp(now time.Time, lag time.Duration) {
	for len(r.pending) > 0 && !r.pending[0].at.Add(lag).After(now) {
		r.indexed = r.pending[0].value
		r.pending = r.pending[1:]
	}
}

// account is everything the desk knows. Lists of ids are ascending.
type account struct {
	users   map[int64]*record[user]
	userIDs []int64

	organizations   map[int64]*record[organization]
	organizationIDs []int64

	memberships   map[int64]*membership
	membershipIDs []int64
	ofUser        map[int64][]int64 // membership ids
	roster        map[int64]*roster
	crowds        map[int64]crowd // by organization

	owner   map[string]int64 // of each address of an active user, in lower case
	blocked map[string]bool  // addresses that are taken although nobody has them

	tickets map[int64]*ticket
	macros  map[int64]*Macro

	users0, organizations0, memberships0, identities0, tickets0, macros0 int64
}

// roster is one organization's members, kept twice so that each list pages without sorting.
type roster struct {
	memberships []int64
	users       []int64
}

func newAccount() *account {
	return &account{
		users:          map[int64]*record[user]{},
		organizations:  map[int64]*record[organization]{},
		memberships:    map[int64]*membership{},
		ofUser:         map[int64][]int64{},
		roster:         map[int64]*roster{},
		crowds:         map[int64]crowd{},
		owner:          map[string]int64{},
		blocked:        map[string]bool{},
		tickets:        map[int64]*ticket{},
		macros:         map[int64]*Macro{},
		users0:         firstUser,
		organizations0: firstOrganization,
		memberships0:   firstMembership,
		identities0:    firstIdentity,
		tickets0:       firstTicket,
		macros0:        firstMacro,
	}
}

func next(counter *int64) int64 {
	id := *counter
	*counter++
	return id
}

// user returns the person as stored now, soft-deleted ones too, or nil.
func (a *account) user(id int64) *user {
	if r := a.users[id]; r != nil {
		return r.now
	}
	return nil
}

// organization returns an organization that is there, or nil.
func (a *account) organization(id int64) *organization {
	if r := a.organizations[id]; r != nil && r.now.deleted.IsZero() {
		return r.now
	}
	return nil
}

func (a *account) putUser(now time.Time, lag time.Duration, u *user) {
	r := a.users[u.id]
	if r == nil {
		r = &record[user]{}
		a.users[u.id] = r
		a.userIDs = append(a.userIDs, u.id) // ids only grow
	} else {
		for _, address := range r.now.addresses() {
			if a.owner[strings.ToLower(address)] == u.id {
				delete(a.owner, strings.ToLower(address))
			}
		}
	}
	if u.active {
		for _, address := range u.addresses() {
			a.owner[strings.ToLower(address)] = u.id
		}
	}
	u.updated = now
	r.store(now, u, lag)
}

func (a *account) putOrganization(now time.Time, lag time.Duration, o *organization) {
	r := a.organizations[o.id]
	if r == nil {
		r = &record[organization]{}
		a.organizations[o.id] = r
		a.organizationIDs = append(a.organizationIDs, o.id)
		a.roster[o.id] = &roster{}
	}
	o.updated = now
	r.store(now, o, lag)
}

// taken reports whether the address belongs to somebody, and to whom; 0 when that cannot be seen.
func (a *account) taken(address string) (owner int64, taken bool) {
	owner, taken = a.owner[strings.ToLower(address)]
	return owner, taken || a.blocked[strings.ToLower(address)]
}

// between returns the membership of the user in the organization, or nil.
func (a *account) between(user, organization int64) *membership {
	for _, id := range a.ofUser[user] {
		if m := a.memberships[id]; m.organization == organization {
			return m
		}
	}
	return nil
}

// attach adds a membership; the first one of a user is the default one. The caller has checked that it is new.
func (a *account) attach(now time.Time, lag time.Duration, user, organization int64) *membership {
	m := &membership{
		id: next(&a.memberships0), user: user, organization: organization,
		home: len(a.ofUser[user]) == 0, created: now, updated: now,
	}
	a.memberships[m.id] = m
	a.membershipIDs = append(a.membershipIDs, m.id)
	a.ofUser[user] = append(a.ofUser[user], m.id)
	list := a.roster[organization]
	list.memberships = append(list.memberships, m.id)
	list.users = insert(list.users, user)
	if m.home {
		a.setHome(now, lag, user, organization)
	}
	return m
}

// detach removes a membership. When it was the default one, the oldest of the others becomes it.
func (a *account) detach(now time.Time, lag time.Duration, m *membership) {
	delete(a.memberships, m.id)
	a.membershipIDs = remove(a.membershipIDs, m.id)
	a.ofUser[m.user] = remove(a.ofUser[m.user], m.id)
	list := a.roster[m.organization]
	list.memberships = remove(list.memberships, m.id)
	list.users = remove(list.users, m.user)
	if !m.home {
		return
	}
	if rest := a.ofUser[m.user]; len(rest) > 0 {
		a.makeHome(now, lag, a.memberships[rest[0]])
		return
	}
	a.setHome(now, lag, m.user, 0)
}

// makeHome makes the membership the user's default one.
func (a *account) makeHome(now time.Time, lag time.Duration, m *membership) {
	for _, id := range a.ofUser[m.user] {
		other := *a.memberships[id]
		if other.home != (id == m.id) {
			other.home, other.updated = id == m.id, now
			a.memberships[id] = &other
		}
	}
	a.setHome(now, lag, m.user, m.organization)
}

func (a *account) setHome(now time.Time, lag time.Duration, id, organization int64) {
	changed := *a.user(id)
	changed.home = organization
	a.putUser(now, lag, &changed)
}

func insert(ids []int64, id int64) []int64 {
	if len(ids) == 0 || ids[len(ids)-1] < id {
		return append(ids, id)
	}
	at, found := slices.BinarySearch(ids, id)
	if found {
		return ids
	}
	return slices.Insert(ids, at, id)
}

func remove(ids []int64, id int64) []int64 {
	at, found := slices.BinarySearch(ids, id)
	if !found {
		return ids
	}
	return slices.Delete(ids, at, at+1)
}

// leaveAll removes every membership of a user.
func (a *account) leaveAll(now time.Time, lag time.Duration, user int64) {
	for _, id := range slices.Clone(a.ofUser[user]) {
		a.detach(now, lag, a.memberships[id])
	}
}
