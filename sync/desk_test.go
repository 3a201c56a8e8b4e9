package sync_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"contactsync"
)

// person is somebody on the in-memory desk, and the organizations they belong to.
type person struct {
	contactsync.Person
	orgs map[string]bool
}

// memoryDesk is a desk in a map: exact, immediate, and able to fail where a test says so.
type memoryDesk struct {
	orgs    map[int64]contactsync.Organization
	people  map[string]*person
	nextID  int
	lazy    bool // Members gives primary addresses alone
	writes  []string
	touched map[string]bool // people that were written to

	refuse      map[contactsync.Email]error // additions and removals that the desk refuses
	failMembers error
	hide        bool            // Members answers with nobody
	lost        map[string]bool // people whom Members leaves out
	failAdd     error
	failPresent error
	denyPresent bool // Present says the opposite of what was written
	exclusive   bool // nobody can belong to several organizations
	resolved    int  // how often Organization was asked
}

func newMemoryDesk() *memoryDesk {
	return &memoryDesk{
		orgs:    map[int64]contactsync.Organization{7: {ID: "42", Name: "Example"}},
		people:  map[string]*person{},
		touched: map[string]bool{},
		refuse:  map[contactsync.Email]error{},
	}
}

// put adds a contact with these addresses, the first one primary, to the organizations.
func (d *memoryDesk) put(name string, addresses []contactsync.Email, orgs ...string) *person {
	d.nextID++
	p := &person{
		Person: contactsync.Person{
			ID: strconv.Itoa(1000 + d.nextID), Name: name, Addresses: addresses, Role: contactsync.RoleContact,
		},
		orgs: map[string]bool{},
	}
	for _, org := range orgs {
		p.orgs[org] = true
	}
	d.people[p.ID] = p
	return p
}

func (d *memoryDesk) seen(p *person, org string) contactsync.Person {
	out := p.Person
	out.Addresses, out.Complete = slices.Clone(p.Addresses), true
	out.Elsewhere, out.Here = contactsync.ElsewhereNo, p.orgs[org]
	for o := range p.orgs {
		if o != org {
			out.Elsewhere = contactsync.ElsewhereYes
		}
	}
	return out
}

func (d *memoryDesk) holder(address contactsync.Email) *person {
	for _, p := range d.people {
		if p.Has(address) {
			return p
		}
	}
	return nil
}

// membersOf returns the primary addresses of the organization's members, sorted.
func (d *memoryDesk) membersOf(org string) []contactsync.Email {
	var out []contactsync.Email
	for _, p := range d.people {
		if p.orgs[org] {
			out = append(out, p.Primary())
		}
	}
	slices.Sort(out)
	return out
}

func (d *memoryDesk) Organization(_ context.Context, project int64) (contactsync.Organization, error) {
	d.resolved++
	org, ok := d.orgs[project]
	if !ok {
		return org, contactsync.Errorf(contactsync.ClassNoOrgFound, "no organization is linked to project %d", project)
	}
	return org, nil
}

func (d *memoryDesk) OrganizationByID(_ context.Context, id string) (contactsync.Organization, error) {
	for _, org := range d.orgs {
		if org.ID == id {
			return org, nil
		}
	}
	return contactsync.Organization{}, contactsync.Errorf(contactsync.ClassNoOrgFound, "there is no organization %s", id)
}

func (d *memoryDesk) Members(_ context.Context, org contactsync.Organization) ([]contactsync.Member, error) {
	if d.failMembers != nil {
		return nil, d.failMembers
	}
	var out []contactsync.Member
	for _, p := range d.people {
		if !p.orgs[org.ID] || d.hide || d.lost[p.ID] {
			continue
		}
		m := contactsync.Member{Person: d.seen(p, org.ID), Membership: org.ID + "/" + p.ID}
		if d.lazy {
			m.Complete, m.Elsewhere = false, contactsync.ElsewhereUnknown
			m.Addresses = m.Addresses[:min(1, len(m.Addresses))]
		}
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b contactsync.Member) int { return len(a.ID) - len(b.ID) })
	return out, nil
}

func (d *memoryDesk) Addresses(_ context.Context, org contactsync.Organization, members []contactsync.Member) ([]contactsync.Member, error) {
	out := slices.Clone(members)
	for i, m := range out {
		out[i].Person = d.seen(d.people[m.ID], org.ID)
		if d.lazy {
			out[i].Elsewhere = contactsync.ElsewhereUnknown
		}
	}
	return out, nil
}

func (d *memoryDesk) Elsewhere(_ context.Context, org contactsync.Organization, members []contactsync.Member) ([]contactsync.Member, error) {
	out := slices.Clone(members)
	for i, m := range out {
		out[i].Person = d.seen(d.people[m.ID], org.ID)
	}
	return out, nil
}

func (d *memoryDesk) People(_ context.Context, org contactsync.Organization, addresses []contactsync.Email) ([]contactsync.Person, error) {
	var out []contactsync.Person
	for _, address := range addresses {
		if p := d.holder(address); p != nil {
			out = append(out, d.seen(p, org.ID))
		}
	}
	return out, nil
}

func (d *memoryDesk) write(ctx context.Context, format string, args ...any) error {
	if err := contactsync.CheckFence(ctx); err != nil {
		return err
	}
	d.writes = append(d.writes, fmt.Sprintf(format, args...))
	return nil
}

func (d *memoryDesk) SharesPeople(context.Context) (bool, error) { return !d.exclusive, nil }

func (d *memoryDesk) Add(ctx context.Context, org contactsync.Organization, additions []contactsync.Addition) ([]contactsync.Outcome, error) {
	if d.failAdd != nil {
		return nil, d.failAdd
	}
	out := make([]contactsync.Outcome, len(additions))
	for i, a := range additions {
		if err := d.refuse[a.Contact.Email]; err != nil {
			out[i].Err = err
			continue
		}
		if err := d.write(ctx, "add %s", a.Contact.Email); err != nil {
			out[i].Err = err
			continue
		}
		p := d.people[a.Person]
		if a.Person == "" {
			if d.holder(a.Contact.Email) != nil {
				out[i].Err = contactsync.Errorf(contactsync.ClassSyncFailed, "%s exists", a.Contact.Email)
				continue
			}
			p = d.put(a.Contact.Name, []contactsync.Email{a.Contact.Email})
		}
		p.orgs[org.ID] = true
		d.touched[p.ID] = true
		out[i].Person = p.ID
	}
	return out, nil
}

func (d *memoryDesk) Remove(ctx context.Context, org contactsync.Organization, members []contactsync.Member) ([]contactsync.Outcome, error) {
	out := make([]contactsync.Outcome, len(members))
	for i, m := range members {
		out[i].Person = m.ID
		if err := d.refuse[m.Primary()]; err != nil {
			out[i].Err = err
			continue
		}
		if out[i].Err = d.write(ctx, "remove %s", m.Primary()); out[i].Err == nil {
			delete(d.people[m.ID].orgs, org.ID)
			d.touched[m.ID] = true
		}
	}
	return out, nil
}

func (d *memoryDesk) Rename(ctx context.Context, _ contactsync.Organization, renames []contactsync.Rename) ([]contactsync.Outcome, error) {
	out := make([]contactsync.Outcome, len(renames))
	for i, r := range renames {
		out[i].Person = r.Member.ID
		if err := d.refuse[r.Member.Primary()]; err != nil {
			out[i].Err = err
			continue
		}
		if out[i].Err = d.write(ctx, "rename %s", r.Member.Primary()); out[i].Err != nil {
			continue
		}
		p := d.people[r.Member.ID]
		d.touched[p.ID] = true
		if r.Name != "" {
			p.Name = r.Name
		}
		if r.Email != "" {
			p.Addresses = append([]contactsync.Email{r.Email}, slices.DeleteFunc(p.Addresses, func(a contactsync.Email) bool { return a == r.Email })...)
		}
	}
	return out, nil
}

func (d *memoryDesk) Present(_ context.Context, org contactsync.Organization, people []string, _ int) (map[string]bool, error) {
	if d.failPresent != nil {
		return nil, d.failPresent
	}
	present := map[string]bool{}
	for _, id := range people {
		if p := d.people[id]; p != nil && p.orgs[org.ID] != d.denyPresent {
			present[id] = true
		}
	}
	return present, nil
}
