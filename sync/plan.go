package sync

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"contactsync"
	"contactsync/contacts"
)

// PeopleElsewhere is what to do with a contact who belongs to another organization.
type PeopleElsewhere string

// The two answers; refusing is the default.
const (
	RefuseElsewhere PeopleElsewhere = "refuse" // a conflict, the others go on
	AddElsewhere    PeopleElsewhere = "add"    // only for desks where a person may have several organizations
)

// Names is whose name wins when file and desk differ.
type Names string

// The two sources of names; the file's is the default.
const (
	NamesFromFile Names = "file"
	NamesFromDesk Names = "desk" // names are set when a person is created, and then left alone
)

// Policy is what an operator decides about plans. The zero Policy is the most careful one: it refuses people of other
// organizations and holds every addition and removal.
type Policy struct {
	PeopleElsewhere PeopleElsewhere
	Names           Names
	Protected       []contactsync.Email // never touched
	MaxContacts     int                 // of an organization with a project; 0: no limit
	// MaxContactsWithout is that of one without a project. It matters to files of a machine alone.
	MaxContactsWithout int
	HoldRemovals       Threshold
	HoldAdditions      Threshold
}

// State is everything that a plan is made from.
type State struct {
	Organization contactsync.Organization
	Contacts     []contactsync.Contact // as the file lists them, valid
	Members      []contactsync.Member  // all of them
	// People are those who have an address of the file that no member's known addresses explain.
	People    []contactsync.Person
	Today     contactsync.Date // contacts whose last day is before it are no longer wanted
	CanRename bool             // the desk has Renamer
	Exclusive bool             // the desk lets nobody belong to several organizations
}

// Item is a change with what applying it takes. Exactly the part that belongs to its action is set.
type Item struct {
	contactsync.Change
	Addition contactsync.Addition // create, add
	Rename   contactsync.Rename   // rename
	Member   contactsync.Member   // rename, remove

	// replaces names the address whose addition makes this removal right: if that fails, the member stays.
	replacedBy contactsync.Email
	// newcomer says that a rename is of somebody whom the same plan adds.
	newcomer bool
	cause    error // why the item failed
}

// Plan is the difference between a file and an organization, in the order in which it is applied. The same State and
// Policy always give the same Plan, whatever the order of members and people.
type Plan struct {
	Organization contactsync.Organization
	Members      int // of the organization, before anything is done
	Items        []Item
	Conflicts    []contactsync.Conflict
	Unchanged    int // contacts that need nothing
	Wanted       int // contacts of the file whose last day has not passed

	digest string // of what Make planned: what becomes of the items does not change it
}

// wantedOf returns the contacts who are to be members today: those whose last day has not passed.
func wantedOf(list []contactsync.Contact, today contactsync.Date) []contactsync.Contact {
	wanted := make([]contactsync.Contact, 0, len(list))
	for _, c := range list {
		if c.Expires == "" || c.Expires >= today {
			wanted = append(wanted, c)
		}
	}
	return wanted
}

// Make plans what makes the members equal to the contacts. It fails when it cannot be sure: a member may be removed
// only if all addresses of theirs are known, or every contact is explained without them (internal); and somebody whose
// own record names the organization must be among its members (desk_unreadable).
func Make(state State, policy Policy) (Plan, error) {
	p := newPlanner(state, policy)
	wanted := wantedOf(state.Contacts, state.Today)
	p.plan.Wanted = len(wanted)
	for _, c := range wanted {
		p.place(c)
	}
	if p.contradiction != nil {
		return Plan{}, p.contradiction
	}
	p.rename()
	if err := p.removeOthers(); err != nil {
		return Plan{}, err
	}
	p.sort()
	p.plan.digest = p.plan.digestOf(func(Item) bool { return true })
	return p.plan, nil
}

// planner holds the indexes and the growing plan of one call of Make.
type planner struct {
	state     State
	policy    Policy
	protected map[contactsync.Email]bool
	members   []contactsync.Member // by id
	byAddress map[contactsync.Email]int
	byPerson  map[string]int
	people    map[contactsync.Email][]contactsync.Person

	claims    map[int][]claim            // member → the contacts that are this member
	heirs     map[int]contactsync.Email  // member → the contact that says it was this member before
	kept      map[int]contactsync.Change // member → why it stays although nobody lists it any more
	additions map[string]bool            // people who are being added already
	// contradiction is a sign that the list of members is not all there.
	contradiction error
	plan          Plan
}

// claim is a contact that a member answers to, and whether by an earlier address.
type claim struct {
	contact  contactsync.Contact
	previous bool
}

func newPlanner(state State, policy Policy) *planner {
	p := &planner{
		state: state, policy: policy,
		protected: make(map[contactsync.Email]bool),
		byAddress: make(map[contactsync.Email]int),
		byPerson:  make(map[string]int),
		people:    make(map[contactsync.Email][]contactsync.Person),
		claims:    make(map[int][]claim),
		heirs:     make(map[int]contactsync.Email),
		kept:      make(map[int]contactsync.Change),
		additions: make(map[string]bool),
		plan:      Plan{Organization: state.Organization, Members: len(state.Members)},
	}
	for _, address := range policy.Protected {
		p.protected[address] = true
	}
	p.members = slices.Clone(state.Members)
	slices.SortFunc(p.members, func(a, b contactsync.Member) int { return cmp.Compare(a.ID, b.ID) })
	for i, m := range p.members {
		p.byPerson[m.ID] = i
		for _, address := range m.Addresses {
			if _, taken := p.byAddress[address]; !taken {
				p.byAddress[address] = i
			}
		}
	}
	people := slices.Clone(state.People)
	slices.SortFunc(people, func(a, b contactsync.Person) int { return cmp.Compare(a.ID, b.ID) })
	for _, person := range people {
		for _, address := range person.Addresses {
			p.people[address] = append(p.people[address], person)
		}
	}
	return p
}

// place decides what one wanted contact needs.
func (p *planner) place(c contactsync.Contact) {
	if i, ok := p.byAddress[c.Email]; ok {
		p.claims[i] = append(p.claims[i], claim{contact: c})
		return
	}
	found := p.people[c.Email]
	for _, person := range found {
		if i, ok := p.byPerson[person.ID]; ok {
			p.claims[i] = append(p.claims[i], claim{contact: c})
			return
		}
	}
	before, hasBefore := p.byAddress[c.Previously]
	hasBefore = hasBefore && c.Previously != ""
	switch {
	case p.protected[c.Email]:
		p.conflict(c, contactsync.ClassContactProtected,
			fmt.Sprintf("%s is not a member, and the configuration protects the address (sync.protected), so it was not added", c.Email))
	case len(found) > 1:
		p.conflict(c, contactsync.ClassContactElsewhere,
			fmt.Sprintf("%d people at the desk have the address %s, so nobody was chosen", len(found), c.Email))
	case len(found) == 1:
		p.placeExisting(c, found[0])
	case hasBefore && p.state.CanRename:
		p.claims[before] = append(p.claims[before], claim{contact: c, previous: true})
		return
	default:
		p.add(contactsync.ActionCreate, c, contactsync.Person{})
	}
	if hasBefore {
		p.heirs[before] = c.Email
	}
}

// placeExisting adds a person whom the desk knows and who is no member yet, or says why not.
func (p *planner) placeExisting(c contactsync.Contact, person contactsync.Person) {
	if person.Here {
		p.contradiction = contactsync.Errorf(contactsync.ClassDeskUnreadable,
			"the desk's record of person %s (%s) names organization %s, but the list of its members lacks the person; nothing was changed",
			person.ID, c.Email, p.state.Organization.ID)
		return
	}
	if reason := p.protection(person); reason != "" {
		p.conflict(c, contactsync.ClassContactProtected,
			fmt.Sprintf("%s is not a member, and the person with that address %s, so nothing was changed", c.Email, reason))
		return
	}
	if person.Elsewhere != contactsync.ElsewhereNo && (p.policy.PeopleElsewhere != AddElsewhere || p.state.Exclusive) {
		p.conflict(c, contactsync.ClassContactElsewhere,
			fmt.Sprintf("the person with the address %s belongs to another organization and was not taken over", c.Email))
		return
	}
	if p.additions[person.ID] {
		p.plan.Unchanged++ // listed twice, by two addresses of one person
		return
	}
	p.additions[person.ID] = true
	p.add(contactsync.ActionAdd, c, person)
	if barred, _ := p.renameBar(person); barred == "" {
		if p.planRename(c, contactsync.Member{Person: person}, p.halfway(c, person)) {
			p.plan.Items[len(p.plan.Items)-1].newcomer = true
		}
	}
}

func (p *planner) add(action contactsync.Action, c contactsync.Contact, person contactsync.Person) {
	p.plan.Items = append(p.plan.Items, Item{
		Change: contactsync.Change{
			Action: action, Email: c.Email, Name: c.Name, Person: person.ID,
			Result: contactsync.ResultPlanned, Line: c.Line,
		},
		Addition: contactsync.Addition{Contact: c, Person: person.ID},
	})
}

func (p *planner) conflict(c contactsync.Contact, class contactsync.Class, detail string) {
	p.plan.Conflicts = append(p.plan.Conflicts,
		contactsync.Conflict{Email: c.Email, Error: class, Detail: detail, Line: c.Line})
}

// rename decides for every member that the file lists whether its name or address changes.
func (p *planner) rename() {
	for i, member := range p.members {
		claims := p.claims[i]
		if len(claims) == 0 {
			continue
		}
		// An address that the member has beats one that it had: a rename that was made is not made again.
		var current, previous []claim
		for _, c := range claims {
			if c.previous {
				previous = append(previous, c)
			} else {
				current = append(current, c)
			}
		}
		if len(current) == 0 {
			current, previous = previous[:1], previous[1:]
		}
		for _, other := range previous { // the member is taken, so this is somebody new
			p.add(contactsync.ActionCreate, other.contact, contactsync.Person{})
		}
		p.renameMember(member, i, current)
	}
}

func (p *planner) renameMember(member contactsync.Member, index int, claims []claim) {
	chosen := claims[0]
	for _, c := range claims {
		if c.contact.Email == member.Primary() {
			chosen = c
		}
	}
	contact := chosen.contact
	barred, class := p.renameBar(member.Person)
	if chosen.previous && barred != "" {
		p.conflict(contact, class,
			fmt.Sprintf("%s was to replace %s, but that person %s, so nothing was changed", contact.Email, contact.Previously, barred))
		p.kept[index] = contactsync.Change{Error: class, Detail: fmt.Sprintf("stays, because its new address %s is in conflict", contact.Email)}
		delete(p.claims, index)
		return
	}
	email := p.halfway(contact, member.Person)
	if chosen.previous {
		email = contact.Email
	}
	p.plan.Unchanged += len(claims)
	if barred == "" && p.planRename(contact, member, email) {
		p.plan.Unchanged--
	}
}

// halfway returns the contact's address where the person has it beside the former one, which is still the primary
// address: a change that ended there is to be finished. Otherwise "".
func (p *planner) halfway(contact contactsync.Contact, person contactsync.Person) contactsync.Email {
	if p.state.CanRename && contact.Previously != "" && contact.Previously == person.Primary() {
		return contact.Email
	}
	return ""
}

// planRename plans what makes a person's name the contact's, and the primary address email unless that is "".
// It reports whether there is anything to do.
func (p *planner) planRename(contact contactsync.Contact, member contactsync.Member, email contactsync.Email) bool {
	rename := contactsync.Rename{Member: member, Email: email}
	change := contactsync.Change{
		Action: contactsync.ActionRename, Email: contact.Email, Name: contact.Name, Person: member.ID,
		Result: contactsync.ResultPlanned, Line: contact.Line,
	}
	if email != "" {
		change.WasEmail = member.Primary()
	}
	nameDiffers := contact.Named() && strings.TrimSpace(member.Name) != contact.Name
	if nameDiffers && p.state.CanRename && p.policy.Names != NamesFromDesk {
		rename.Name, change.WasName = contact.Name, member.Name
	}
	if rename.Email == "" && rename.Name == "" {
		return false
	}
	p.plan.Items = append(p.plan.Items, Item{Change: change, Rename: rename, Member: member})
	return true
}

// renameBar tells why a person must not be renamed, in words that follow "that person", or "".
func (p *planner) renameBar(person contactsync.Person) (string, contactsync.Class) {
	if reason := p.protection(person); reason != "" {
		return reason, contactsync.ClassContactProtected
	}
	if len(p.protected) > 0 && !person.Complete {
		return "may have a protected address", contactsync.ClassContactProtected
	}
	if person.Elsewhere != contactsync.ElsewhereNo {
		return "belongs to another organization as well", contactsync.ClassContactElsewhere
	}
	return "", ""
}

// protection tells why a person is never touched, in words that follow "the person", or "".
func (p *planner) protection(person contactsync.Person) string {
	switch {
	case person.Role != contactsync.RoleContact:
		return fmt.Sprintf("is an %s of the desk", person.Role)
	case person.Suspended:
		return "is suspended at the desk"
	case person.Shared:
		return "is shared from another account of the desk"
	}
	for _, address := range person.Addresses {
		if p.protected[address] {
			return "is protected by the configuration (sync.protected)"
		}
	}
	return ""
}

// removeOthers plans the removal of every member whom no contact claims.
func (p *planner) removeOthers() error {
	// Contacts that members with unread addresses might explain, or addresses that protect them.
	open := len(p.plan.Conflicts) > 0 || len(p.protected) > 0
	for _, item := range p.plan.Items {
		open = open || item.Action == contactsync.ActionCreate || item.Action == contactsync.ActionAdd || item.Rename.Email != ""
	}
	for i, member := range p.members {
		if len(p.claims[i]) > 0 {
			continue
		}
		if open && !member.Complete {
			return contactsync.Errorf(contactsync.ClassInternal,
				"planning the removal of person %s from organization %s: not all addresses of the person were read", member.ID, p.state.Organization.ID)
		}
		item := Item{
			Change: contactsync.Change{
				Action: contactsync.ActionRemove, Email: member.Primary(), Name: member.Name, Person: member.ID,
				Result: contactsync.ResultPlanned,
			},
			Member:     member,
			replacedBy: p.heirs[i],
		}
		if kept, ok := p.kept[i]; ok {
			item.Result, item.Error, item.Detail = contactsync.ResultSkipped, kept.Error, kept.Detail
		} else if reason := p.staying(member); reason != "" {
			item.Result, item.Error = contactsync.ResultSkipped, contactsync.ClassContactProtected
			item.Detail = "stays: the person " + reason
		} else if conflict, ok := p.conflictOf(item.replacedBy); ok {
			item.Result, item.Error = contactsync.ResultSkipped, conflict.Error
			item.Detail = fmt.Sprintf("stays, because its new address %s is in conflict", conflict.Email)
		}
		p.plan.Items = append(p.plan.Items, item)
	}
	return nil
}

// staying tells why a member who is not in the file is not removed, or "".
func (p *planner) staying(member contactsync.Member) string {
	if reason := p.protection(member.Person); reason != "" {
		return reason
	}
	for _, address := range member.Addresses {
		if contacts.Listable(address) {
			return ""
		}
	}
	return "has no e-mail address that a contacts file could list"
}

func (p *planner) conflictOf(address contactsync.Email) (contactsync.Conflict, bool) {
	for _, conflict := range p.plan.Conflicts {
		if conflict.Email == address {
			return conflict, true
		}
	}
	return contactsync.Conflict{}, false
}

var actionOrder = []contactsync.Action{
	contactsync.ActionCreate, contactsync.ActionAdd, contactsync.ActionRename, contactsync.ActionRemove,
}

func (p *planner) sort() {
	slices.SortStableFunc(p.plan.Items, func(a, b Item) int {
		return cmp.Or(
			cmp.Compare(slices.Index(actionOrder, a.Action), slices.Index(actionOrder, b.Action)),
			cmp.Compare(a.Line, b.Line), cmp.Compare(a.Email, b.Email), cmp.Compare(a.Person, b.Person))
	})
	slices.SortStableFunc(p.plan.Conflicts, func(a, b contactsync.Conflict) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Email, b.Email))
	})
}

// Digest names exactly what the plan would write, held or not: "sha256:" and 64 hex digits. Skipped changes,
// conflicts, the order of the file and its commit do not enter into it.
func (p Plan) Digest() string { return p.digest }

// Remainder is the Digest that the next plan has once everything but the held changes is made; "" if nothing is held.
func (p Plan) Remainder() string {
	held := func(i Item) bool { return i.Result == contactsync.ResultHeld }
	if !slices.ContainsFunc(p.Items, held) {
		return ""
	}
	return p.digestOf(held)
}

func (p Plan) digestOf(include func(Item) bool) string {
	lines := []string{}
	for _, item := range p.Items {
		if item.Result == contactsync.ResultSkipped || !include(item) {
			continue
		}
		lines = append(lines, item.written())
	}
	slices.Sort(lines)
	sum := sha256.New()
	fmt.Fprintf(sum, "%q\n", p.Organization.ID)
	for _, line := range lines {
		fmt.Fprintln(sum, line)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

// written is one line that says what the item writes, and nothing else.
func (i Item) written() string {
	switch i.Action {
	case contactsync.ActionCreate:
		return fmt.Sprintf("%s %q %q", i.Action, i.Email, i.Name)
	case contactsync.ActionRename:
		return fmt.Sprintf("%s %q %q %q", i.Action, i.Person, i.Rename.Email, i.Rename.Name)
	default:
		return fmt.Sprintf("%s %q", i.Action, i.Person)
	}
}

// Changes returns the plan's changes as people and programs see them; never nil.
func (p Plan) Changes() []contactsync.Change {
	changes := make([]contactsync.Change, len(p.Items))
	for i, item := range p.Items {
		changes[i] = item.Change
	}
	return changes
}

// undecided returns the members whose renaming waits on what is not known of them: whether they belong elsewhere, and
// while addresses are protected, what other addresses they have. Make renames nobody before it knows.
func undecided(state State, policy Policy) ([]contactsync.Member, error) {
	hopeful := state
	hopeful.Members = slices.Clone(state.Members)
	open := make(map[string]contactsync.Member)
	for i, m := range state.Members {
		if m.Elsewhere == contactsync.ElsewhereUnknown || len(policy.Protected) > 0 && !m.Complete {
			open[m.ID] = m
		}
		if m.Elsewhere == contactsync.ElsewhereUnknown {
			hopeful.Members[i].Elsewhere = contactsync.ElsewhereNo
		}
		hopeful.Members[i].Complete = true
	}
	plan, err := Make(hopeful, policy)
	if err != nil {
		return nil, err
	}
	var members []contactsync.Member
	for _, item := range plan.Items {
		if m, ok := open[item.Person]; ok && item.Action == contactsync.ActionRename {
			members = append(members, m)
		}
	}
	return members, nil
}
