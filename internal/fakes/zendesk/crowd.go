package zendesk

import (
	"slices"
	"strings"
	"time"
)

// crowd is people of one organization who are made up each time that somebody asks for them.
type crowd struct {
	organization                int64
	n                           int64
	person                      func(i int) User
	user, membership, identity0 int64 // of the first one; the others follow
	created                     time.Time
}

// AddCrowd adds n people to an organization, as n times AddUser would; person tells name and address of each, always
// the same, and the rest is not taken. They are made up for each answer that shows the organization's memberships or
// counts them, so that an account of millions fits into little memory. Whatever else is done with people makes all
// crowds ordinary people first. Unknown organizations are left alone.
func (s *Server) AddCrowd(organization int64, n int, person func(i int) User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.account
	if a.organization(organization) == nil {
		return
	}
	if _, another := a.crowds[organization]; another {
		a.settleCrowds()
	}
	made := crowd{
		organization: organization, n: int64(n), person: person, created: s.clock(),
		user: a.users0, membership: a.memberships0, identity0: a.identities0,
	}
	a.users0, a.memberships0, a.identities0 = a.users0+made.n, a.memberships0+made.n, a.identities0+made.n
	a.crowds[organization] = made
}

// withCrowds answers with as much of the crowds as the endpoint needs.
func (c *call) withCrowds(to *route) answer {
	a := c.s.account
	if !to.crowds {
		a.settleCrowds()
		return to.handle(c)
	}
	id, _ := c.id("organization")
	made, there := a.crowds[id]
	if !there {
		return to.handle(c)
	}
	without := *a.roster[id]
	a.gather(made)
	defer func() {
		*a.roster[id] = without
		for i := range made.n {
			delete(a.users, made.user+i)
			delete(a.memberships, made.membership+i)
			delete(a.ofUser, made.user+i)
		}
	}()
	return to.handle(c)
}

// gather makes the people of a crowd up.
func (a *account) gather(made crowd) {
	list := a.roster[made.organization]
	list.memberships, list.users = slices.Clone(list.memberships), slices.Clone(list.users)
	for i := range made.n {
		stated := made.person(int(i))
		u := &user{
			id: made.user + i, name: stated.Name, role: "end-user", active: true, home: made.organization,
			created: made.created, updated: made.created,
			identities: []identity{{
				id: made.identity0 + i, kind: "email", value: stated.Email, primary: true, verified: true,
				created: made.created, updated: made.created,
			}},
		}
		m := &membership{
			id: made.membership + i, user: u.id, organization: made.organization, home: true,
			created: made.created, updated: made.created,
		}
		a.users[u.id] = &record[user]{now: u, indexed: u}
		a.memberships[m.id] = m
		a.ofUser[u.id] = []int64{m.id}
		list.memberships = append(list.memberships, m.id)
		list.users = append(list.users, u.id)
	}
	slices.Sort(list.memberships)
	slices.Sort(list.users)
}

// settleCrowds makes everybody of all crowds an ordinary person.
func (a *account) settleCrowds() {
	if len(a.crowds) == 0 {
		return
	}
	for _, made := range a.crowds {
		a.gather(made)
		for i := range made.n {
			a.userIDs = append(a.userIDs, made.user+i)
			a.membershipIDs = append(a.membershipIDs, made.membership+i)
			address := strings.ToLower(a.user(made.user + i).email())
			if _, taken := a.owner[address]; !taken {
				a.owner[address] = made.user + i
			}
		}
	}
	clear(a.crowds)
	slices.Sort(a.userIDs)
	slices.Sort(a.membershipIDs)
}
