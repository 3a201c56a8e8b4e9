// Package desktest is the conformance suite of desks: what contactsync.Desk promises, tried against a desk's stand-in.
//
// Every adapter passes it. Its steps run twice where a run would: the second time finds nothing to do. What only one
// desk does belongs into that adapter's own tests; what every desk must do belongs here.
package desktest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"contactsync"
)

// Person is somebody at the desk, as a test states it and as the desk then holds it.
type Person struct {
	Name      string
	Addresses []contactsync.Email // the primary one first
	Role      contactsync.Role    // RoleContact when empty
	Suspended bool
	Shared    bool // from another account
	Deleted   bool // softly: kept by the desk, and in none of its lists
	// Organizations are ids, the person's main one first.
	Organizations []string
}

// Bench is a desk with a stand-in behind it, and a way to what that one holds.
type Bench interface {
	// Desk returns an adapter without any memory, as after a restart of the process.
	Desk() contactsync.Desk
	// AddOrganization adds an organization that is linked to the project; 0: to none.
	AddOrganization(name string, project int64) string
	// AddPerson adds a person, and says whether the desk can hold such a one at all.
	AddPerson(p Person) (id string, ok bool)
	// SetField gives one of the account's own fields of an organization a value: a text, a number, yes or no, or nil.
	SetField(organization, key string, value any)
	// Settle lets everything that lags behind at the desk, such as an index, catch up.
	Settle()
	// Person returns what the desk holds of a person; false when there is none with that id.
	Person(id string) (Person, bool)
	// People returns how many people there are, deleted ones not counted.
	People() int
	// Writes returns how many requests so far could change something at the desk.
	Writes() int
	// Mails returns who would have got mail from the desk so far.
	Mails() []string
	// Break makes everything unusable that the desk answers from now on.
	Break()
}

// TicketBench is a Bench whose desk has tickets.
type TicketBench interface {
	// AddTicket adds an open ticket of a person, in an organization.
	AddTicket(subject, requester, organization string) string
	CloseTicket(id string)
	// Comments returns what was said on a ticket since it was added.
	Comments(ticket string) []Comment
	// AddMacro adds a macro that says the text as an internal note, and solves the ticket.
	AddMacro(title, text string)
}

// Comment is a comment on a ticket.
type Comment struct {
	Text   string
	Public bool
}

// Capability is something that not every desk can do.
type Capability struct {
	Name string
	Has  bool
}

// Capabilities returns what a desk can do beyond the Desk interface, for the table in the documentation.
func Capabilities(desk contactsync.Desk) []Capability {
	_, rename := desk.(contactsync.Renamer)
	_, share := desk.(contactsync.Sharer)
	_, list := desk.(contactsync.LinkLister)
	_, fields := desk.(contactsync.FieldReader)
	_, link := desk.(contactsync.Linker)
	_, count := desk.(contactsync.MemberCounter)
	_, answer := desk.(contactsync.Replier)
	return []Capability{
		{Name: "rename members", Has: rename},
		{Name: "tell whether a person may belong to several organizations", Has: share},
		{Name: "list all linked projects at once", Has: list},
		{Name: "read the account's own fields of an organization", Has: fields},
		{Name: "link an organization to a project", Has: link},
		{Name: "count the contacts of all organizations at once", Has: count},
		{Name: "answer tickets", Has: answer},
	}
}

const project = int64(4711)

// Exercise runs the suite. open returns a new, empty bench for each test, and ends it with the test.
func Exercise(t *testing.T, open func(t *testing.T) Bench) {
	t.Helper()
	for _, test := range []struct {
		name string
		run  func(*testing.T, *bench)
	}{
		{"Organization", testOrganization},
		{"OrganizationByID", testOrganizationByID},
		{"Links", testLinks},
		{"Fields", testFields},
		{"Link", testLink},
		{"MemberCounts", testMemberCounts},
		{"Reply", testReply},
		{"Members", testMembers},
		{"MembersOfAnEmptyOrganization", testNoMembers},
		{"Addresses", testAddresses},
		{"People", testPeople},
		{"Add", testAdd},
		{"AddMany", testAddMany},
		{"AddExisting", testAddExisting},
		{"Remove", testRemove},
		{"RemoveProtected", testRemoveProtected},
		{"Present", testPresent},
		{"Rename", testRename},
		{"RenameRefused", testRenameRefused},
		{"Fence", testFence},
		{"Cancelled", testCancelled},
		{"Broken", testBroken},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := &bench{Bench: open(t), t: t}
			b.id = b.AddOrganization("Example", project)
			b.org = contactsync.Organization{ID: b.id, Name: "Example"}
			b.other = b.AddOrganization("Other", 0)
			b.Settle()
			test.run(t, b)
			if mails := b.Mails(); len(mails) > 0 {
				t.Errorf("mail would have gone to %q", mails)
			}
		})
	}
}

// bench is a Bench with an organization to work on, and another one.
type bench struct {
	Bench
	t     *testing.T
	org   contactsync.Organization
	id    string
	other string
}

// person adds somebody; ok is false, and the log says so, where the desk cannot hold such a person.
func (b *bench) person(p Person) (id string, ok bool) {
	b.t.Helper()
	id, ok = b.AddPerson(p)
	if !ok {
		b.t.Logf("not tried: this desk cannot hold %+v", p)
	}
	b.Settle()
	return id, ok
}

// plain adds an ordinary person.
func (b *bench) plain(address contactsync.Email, organizations ...string) string {
	b.t.Helper()
	id, ok := b.person(Person{Name: nameOf(address), Addresses: []contactsync.Email{address}, Organizations: organizations})
	if !ok {
		b.t.Fatalf("the desk cannot hold an ordinary person")
	}
	return id
}

// member adds somebody to the organization and returns what the desk says of them.
func (b *bench) member(address contactsync.Email) contactsync.Member {
	b.t.Helper()
	return b.read(b.plain(address, b.id))
}

// read returns one member by id.
func (b *bench) read(id string) contactsync.Member {
	b.t.Helper()
	for _, m := range b.members() {
		if m.ID == id {
			return m
		}
	}
	b.t.Fatalf("person %s is no member", id)
	return contactsync.Member{}
}

func (b *bench) members() []contactsync.Member {
	b.t.Helper()
	members, err := b.Desk().Members(b.t.Context(), b.org)
	if err != nil {
		b.t.Fatalf("Members: %v", err)
	}
	return members
}

// isMember looks past the adapter.
func (b *bench) isMember(id string) bool {
	p, ok := b.Person(id)
	return ok && slices.Contains(p.Organizations, b.id)
}

func nameOf(address contactsync.Email) string {
	local, _, _ := strings.Cut(string(address), "@")
	return "Name of " + local
}

func create(address contactsync.Email) contactsync.Addition {
	return contactsync.Addition{Contact: contactsync.Contact{Name: nameOf(address), Email: address}}
}

func wantClass(t *testing.T, what string, err error, class contactsync.Class) {
	t.Helper()
	if got := contactsync.ClassOf(err); got != class {
		t.Errorf("%s: class %q, want %q (%v)", what, got, class, err)
	}
}

// wantDone fails the test unless there is one outcome for each item, and none failed.
func wantDone(t *testing.T, what string, outcomes []contactsync.Outcome, err error, items int) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if len(outcomes) != items {
		t.Fatalf("%s: %d outcomes for %d items", what, len(outcomes), items)
	}
	for i, o := range outcomes {
		if o.Err != nil {
			t.Errorf("%s: item %d: %v", what, i, o.Err)
		}
	}
}

// twice runs a step two times.
func twice(t *testing.T, step func(t *testing.T, again bool)) {
	t.Helper()
	for _, again := range []bool{false, true} {
		t.Run(map[bool]string{false: "first", true: "again"}[again], func(t *testing.T) { step(t, again) })
	}
}

// The organization is the one that the desk links to the project, or an error that says why there is not one.
func testOrganization(t *testing.T, b *bench) {
	desk := b.Desk()
	twice(t, func(t *testing.T, _ bool) {
		org, err := desk.Organization(t.Context(), project)
		if err != nil || org != b.org {
			t.Errorf("Organization = %+v, %v; want %+v", org, err, b.org)
		}
		_, err = desk.Organization(t.Context(), project+1)
		wantClass(t, "a project that nobody is linked to", err, contactsync.ClassNoOrgFound)
		_, err = desk.Organization(t.Context(), project/10)
		wantClass(t, "a part of a project's number", err, contactsync.ClassNoOrgFound)
	})
	second := b.AddOrganization("Second", project)
	b.Settle()
	_, err := b.Desk().Organization(t.Context(), project)
	wantClass(t, "two organizations", err, contactsync.ClassTooManyOrgs)
	for _, id := range []string{b.id, second} {
		if err != nil && !strings.Contains(err.Error(), id) {
			t.Errorf("%v: does not name organization %s", err, id)
		}
	}
}

// An organization can be read by its id, and only if it is there.
func testOrganizationByID(t *testing.T, b *bench) {
	org, err := b.Desk().OrganizationByID(t.Context(), b.id)
	if err != nil || org != b.org {
		t.Errorf("OrganizationByID = %+v, %v; want %+v", org, err, b.org)
	}
	for _, id := range []string{b.id + "999", "", "../1", "-1"} {
		_, err := b.Desk().OrganizationByID(t.Context(), id)
		wantClass(t, fmt.Sprintf("id %q", id), err, contactsync.ClassNoOrgFound)
	}
}

// All links come at once, each organization with its project, and no organization without one.
func testLinks(t *testing.T, b *bench) {
	desk := b.Desk()
	lister, ok := desk.(contactsync.LinkLister)
	if !ok {
		t.Log("not tried: this desk cannot list links")
		return
	}
	want := map[contactsync.LinkedOrganization]bool{{Organization: b.org, Project: project}: true}
	for i := range 230 {
		link := contactsync.LinkedOrganization{Organization: contactsync.Organization{Name: fmt.Sprintf("Linked %d", i)}, Project: project + int64(i/2)}
		link.Organization.ID = b.AddOrganization(link.Organization.Name, link.Project)
		want[link] = true
	}
	twice(t, func(t *testing.T, _ bool) {
		links, err := lister.Links(t.Context())
		if err != nil || len(links) != len(want) {
			t.Fatalf("Links: %d of %d, %v", len(links), len(want), err)
		}
		for i, link := range links {
			if !want[link] {
				t.Errorf("link %+v is not what the desk holds", link)
			}
			if i > 0 && len(links[i-1].Organization.ID) == len(link.Organization.ID) && links[i-1].Organization.ID >= link.Organization.ID {
				t.Errorf("organizations %s and %s are out of order", links[i-1].Organization.ID, link.Organization.ID)
			}
		}
	})
}

// Fields come as text, and nothing is made of an empty one: an unanswered question is no answer.
func testFields(t *testing.T, b *bench) {
	desk := b.Desk()
	reader, ok := desk.(contactsync.FieldReader)
	if !ok {
		t.Log("not tried: this desk has no fields")
		return
	}
	for key, value := range map[string]any{"level": " Premium ", "seats": 120.0, "share": 0.25, "paid": true, "held": false, "empty": "", "blank": " ", "none": nil} {
		b.SetField(b.id, key, value)
	}
	want := map[string]string{"level": "Premium", "seats": "120", "share": "0.25", "paid": "true", "held": "false"}
	twice(t, func(t *testing.T, _ bool) {
		fields, err := reader.OrganizationFields(t.Context(), b.org)
		if err != nil {
			t.Fatalf("OrganizationFields: %v", err)
		}
		for _, key := range []string{"level", "seats", "share", "paid", "held", "empty", "blank", "none", "nowhere"} {
			got, told := fields[key]
			if value, wanted := want[key]; got != value || told != wanted {
				t.Errorf("field %s is %q, told %v; want %q, %v", key, got, told, value, wanted)
			}
		}
	})
	_, err := reader.OrganizationFields(t.Context(), contactsync.Organization{ID: b.id + "999"})
	wantClass(t, "fields of nobody", err, contactsync.ClassNoOrgFound)
}

// A link that was written is there at once, however much the desk's index lags, and so is its absence.
func testLink(t *testing.T, b *bench) {
	desk := b.Desk()
	linker, ok := desk.(contactsync.Linker)
	if !ok {
		t.Log("not tried: this desk's links cannot be written")
		return
	}
	other := contactsync.Organization{ID: b.other, Name: "Other"}
	for _, number := range []int64{project + 1, project + 2, 0} { // written, changed, taken away
		twice(t, func(t *testing.T, _ bool) {
			if err := linker.LinkProject(t.Context(), other, number); err != nil {
				t.Fatalf("LinkProject to %d: %v", number, err)
			}
			if got, err := linker.ProjectOf(t.Context(), other); err != nil || got != number {
				t.Errorf("ProjectOf = %d, %v; want %d", got, err, number)
			}
			if number == 0 {
				return
			}
			if org, err := desk.Organization(t.Context(), number); err != nil || org != other {
				t.Errorf("Organization = %+v, %v; want %+v", org, err, other)
			}
		})
	}
	if org, err := desk.Organization(t.Context(), project); err != nil || org != b.org {
		t.Errorf("another organization's link is %+v, %v now", org, err)
	}
	_, err := desk.Organization(t.Context(), project+2)
	wantClass(t, "a link that was taken away", err, contactsync.ClassNoOrgFound)
	gone := contactsync.Organization{ID: b.id + "999"}
	_, err = linker.ProjectOf(t.Context(), gone)
	wantClass(t, "project of nobody", err, contactsync.ClassNoOrgFound)
	wantClass(t, "linking nobody", linker.LinkProject(t.Context(), gone, project+3), contactsync.ClassNoOrgFound)
}

// The contacts of all organizations are counted, each once, and organizations without any are left out.
func testMemberCounts(t *testing.T, b *bench) {
	counter, ok := b.Desk().(contactsync.MemberCounter)
	if !ok {
		t.Log("not tried: this desk cannot count")
		return
	}
	for i := range 3 {
		b.plain(contactsync.Email(fmt.Sprintf("member%d@example.com", i)), b.id)
	}
	b.plain("stranger@example.com")
	b.person(Person{Name: "Gone", Addresses: []contactsync.Email{"gone@example.com"}, Deleted: true, Organizations: []string{b.id}})
	want := map[string]int{b.id: 3, b.AddOrganization("Third", 0): 1}
	for id := range want {
		if id != b.id {
			b.plain("neighbour@example.com", id)
		}
	}
	twice(t, func(t *testing.T, _ bool) {
		if counts, err := counter.MemberCounts(t.Context()); err != nil || !maps.Equal(counts, want) {
			t.Errorf("MemberCounts = %v, %v; want %v", counts, err, want)
		}
	})
}

// A reply is on its ticket once, as public as it was to be, and another one beside it.
func testReply(t *testing.T, b *bench) {
	replier, ok := b.Desk().(contactsync.Replier)
	tickets, can := b.Bench.(TicketBench)
	if !ok || !can {
		t.Log("not tried: this desk cannot answer tickets")
		return
	}
	requester := b.plain("requester@example.com", b.id)
	id := tickets.AddTicket("Set us up", requester, b.id)
	ticket := contactsync.Ticket{ID: id, Subject: "Set us up", Requester: "requester@example.com", Organization: b.id}
	if got, err := replier.Ticket(t.Context(), id); err != nil || got != ticket {
		t.Errorf("Ticket = %+v, %v; want %+v", got, err, ticket)
	}
	tickets.AddMacro("Ready", "It is ready.")
	for _, test := range []struct {
		reply contactsync.Reply
		want  contactsync.Replied
	}{
		{contactsync.Reply{Text: "Hello.", Public: true, Mark: "hello-1"}, contactsync.Replied{Public: true}},
		{contactsync.Reply{Text: "For us.", Mark: "note_1"}, contactsync.Replied{}},
		{contactsync.Reply{Macro: "Nowhere", Text: "Bye.", Public: true, Mark: "bye"}, contactsync.Replied{Public: true}},
		{contactsync.Reply{Macro: "Ready", Text: "Not this.", Public: true, Mark: "ready"}, contactsync.Replied{Macro: "Ready"}},
	} {
		twice(t, func(t *testing.T, again bool) {
			if again {
				test.want = contactsync.Replied{Already: true}
			}
			if got, err := replier.Reply(t.Context(), id, test.reply); err != nil || got != test.want {
				t.Errorf("Reply %q = %+v, %v; want %+v", test.reply.Mark, got, err, test.want)
			}
		})
	}
	want := []Comment{{"Hello.", true}, {"For us.", false}, {"Bye.", true}, {"It is ready.", false}}
	if got := tickets.Comments(id); !slices.Equal(got, want) {
		t.Errorf("the ticket has %+v, want %+v", got, want)
	}
	tickets.CloseTicket(id)
	_, err := replier.Reply(t.Context(), id, contactsync.Reply{Text: "Late.", Mark: "late"})
	wantClass(t, "a closed ticket", err, contactsync.ClassTicketNotAnswered)
	if got, err := replier.Ticket(t.Context(), id); err != nil || !got.Closed {
		t.Errorf("the closed ticket is %+v, %v", got, err)
	}
	for _, id := range []string{id + "999", "", "../1", "-1", "one"} {
		_, err := replier.Ticket(t.Context(), id)
		wantClass(t, fmt.Sprintf("ticket %q", id), err, contactsync.ClassTicketNotAnswered)
		_, err = replier.Reply(t.Context(), id, contactsync.Reply{Text: "Hello.", Mark: "hello"})
		wantClass(t, fmt.Sprintf("reply to ticket %q", id), err, contactsync.ClassTicketNotAnswered)
	}
}

// Every member is returned, once, in the order of ids, with flags and membership; nobody else is.
func testMembers(t *testing.T, b *bench) {
	want := map[string]bool{}
	for i := range 230 {
		want[b.plain(contactsync.Email(fmt.Sprintf("member%d@example.com", i)), b.id)] = true
	}
	b.plain("stranger@example.com")
	b.plain("neighbour@example.com", b.other)
	b.person(Person{Name: "Gone", Addresses: []contactsync.Email{"gone@example.com"}, Deleted: true, Organizations: []string{b.id}})
	special := map[string]func(contactsync.Member) bool{}
	add := func(p Person, holds func(contactsync.Member) bool) {
		p.Organizations = append([]string{b.id}, p.Organizations...)
		if id, ok := b.person(p); ok {
			want[id], special[id] = true, holds
		}
	}
	add(Person{Name: "Agent", Addresses: []contactsync.Email{"agent@example.com"}, Role: contactsync.RoleAgent},
		func(m contactsync.Member) bool { return m.Role == contactsync.RoleAgent })
	add(Person{Name: "Admin", Addresses: []contactsync.Email{"admin@example.com"}, Role: contactsync.RoleAdmin},
		func(m contactsync.Member) bool { return m.Role == contactsync.RoleAdmin })
	add(Person{Name: "Suspended", Addresses: []contactsync.Email{"suspended@example.com"}, Suspended: true},
		func(m contactsync.Member) bool { return m.Suspended && m.Role == contactsync.RoleContact })
	add(Person{Name: "Shared", Addresses: []contactsync.Email{"shared@example.com"}, Shared: true},
		func(m contactsync.Member) bool { return m.Shared })
	add(Person{Name: "No address"}, func(m contactsync.Member) bool { return m.Primary() == "" })
	add(Person{Name: "Both", Addresses: []contactsync.Email{"both@example.com"}, Organizations: []string{b.other}},
		func(m contactsync.Member) bool { return m.Elsewhere != contactsync.ElsewhereNo })
	b.Settle()

	desk := b.Desk()
	twice(t, func(t *testing.T, _ bool) {
		members, err := desk.Members(t.Context(), b.org)
		if err != nil {
			t.Fatalf("Members: %v", err)
		}
		if len(members) != len(want) {
			t.Errorf("%d members, want %d", len(members), len(want))
		}
		seen := map[string]bool{}
		for i, m := range members {
			if !want[m.ID] || seen[m.ID] {
				t.Errorf("member %s: unexpected or repeated", m.ID)
			}
			seen[m.ID] = true
			if holds := special[m.ID]; holds != nil && !holds(m) {
				t.Errorf("member %+v is not what the desk holds", m)
			}
			if i > 0 && len(members[i-1].ID) == len(m.ID) && members[i-1].ID >= m.ID {
				t.Errorf("members %s and %s are out of order", members[i-1].ID, m.ID)
			}
			if special[m.ID] == nil && (m.Role != contactsync.RoleContact || m.Suspended || m.Shared || m.Primary() == "" || m.Name == "") {
				t.Errorf("ordinary member %+v is not what the desk holds", m)
			}
		}
	})
}

// An organization without members is an empty list, not an error.
func testNoMembers(t *testing.T, b *bench) {
	if members := b.members(); len(members) != 0 {
		t.Errorf("%d members, want none", len(members))
	}
}

// Addresses gives every address of a member, the primary one first.
func testAddresses(t *testing.T, b *bench) {
	single := b.plain("single@example.com", b.id)
	all := []contactsync.Email{"first@example.com", "second@example.com", "third@example.org"}
	several, ok := b.person(Person{Name: "Several", Addresses: all, Organizations: []string{b.id}})
	b.Settle()
	desk := b.Desk()
	twice(t, func(t *testing.T, _ bool) {
		members, err := desk.Members(t.Context(), b.org)
		if err != nil {
			t.Fatalf("Members: %v", err)
		}
		completed, err := desk.Addresses(t.Context(), b.org, members)
		if err != nil || len(completed) != len(members) {
			t.Fatalf("Addresses: %d of %d members, %v", len(completed), len(members), err)
		}
		for i, m := range completed {
			if !m.Complete || m.ID != members[i].ID || m.Membership != members[i].Membership {
				t.Errorf("%+v is not member %s, completed", m, members[i].ID)
			}
			switch {
			case m.ID == single && !slices.Equal(m.Addresses, []contactsync.Email{"single@example.com"}):
				t.Errorf("addresses %q of the one with a single one", m.Addresses)
			case ok && m.ID == several && (m.Primary() != all[0] || !sameSet(m.Addresses, all)):
				t.Errorf("addresses %q, want %q", m.Addresses, all)
			}
		}
	})
	if none, err := desk.Addresses(t.Context(), b.org, nil); err != nil || len(none) != 0 {
		t.Errorf("addresses of nobody: %v, %v", none, err)
	}
}

func sameSet(a, b []contactsync.Email) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// People are found by any address of theirs, exactly and without regard to case; what only looks alike is not found.
func testPeople(t *testing.T, b *bench) {
	want := map[string]func(contactsync.Person) bool{}
	asked := []contactsync.Email{"nobody@example.com", "ada@example.com", "nobody+tag@example.com"}
	add := func(p Person, by contactsync.Email, holds func(contactsync.Person) bool) {
		if id, ok := b.person(p); ok {
			want[id], asked = holds, append(asked, by)
		}
	}
	anybody := func(contactsync.Person) bool { return true }
	add(Person{Name: "Plain", Addresses: []contactsync.Email{"Plain@Example.com"}}, "plain@example.com",
		func(p contactsync.Person) bool {
			return p.Elsewhere == contactsync.ElsewhereNo && p.Role == contactsync.RoleContact && p.Primary() == "plain@example.com"
		})
	add(Person{Name: "Secondary", Addresses: []contactsync.Email{"main@example.com", "further@example.com"}}, "further@example.com",
		func(p contactsync.Person) bool { return p.Has("further@example.com") })
	add(Person{Name: "Neighbour", Addresses: []contactsync.Email{"neighbour@example.com"}, Organizations: []string{b.other}},
		"neighbour@example.com", func(p contactsync.Person) bool { return p.Elsewhere == contactsync.ElsewhereYes })
	add(Person{Name: "Member", Addresses: []contactsync.Email{"member@example.com"}, Organizations: []string{b.id}},
		"member@example.com", func(p contactsync.Person) bool { return p.Elsewhere != contactsync.ElsewhereYes })
	add(Person{Name: "Agent", Addresses: []contactsync.Email{"agent@example.com"}, Role: contactsync.RoleAgent},
		"agent@example.com", func(p contactsync.Person) bool { return p.Role == contactsync.RoleAgent })
	add(Person{Name: "Suspended", Addresses: []contactsync.Email{"suspended@example.com"}, Suspended: true},
		"suspended@example.com", func(p contactsync.Person) bool { return p.Suspended })
	add(Person{Name: "Shared", Addresses: []contactsync.Email{"shared@example.com"}, Shared: true},
		"shared@example.com", func(p contactsync.Person) bool { return p.Shared })
	for i := range 60 {
		address := contactsync.Email(fmt.Sprintf("first.last%d+tag@sub-domain.example.com", i))
		add(Person{Name: "Many", Addresses: []contactsync.Email{address}}, address, anybody)
	}
	b.person(Person{Name: "Alike", Addresses: []contactsync.Email{"ada@example.com.example.org"}})
	b.person(Person{Name: "Longer", Addresses: []contactsync.Email{"nobody.else@example.com"}})
	if _, ok := b.person(Person{Name: "Gone", Addresses: []contactsync.Email{"gone@example.com"}, Deleted: true}); ok {
		asked = append(asked, "gone@example.com")
	}
	b.Settle()
	desk := b.Desk()
	twice(t, func(t *testing.T, _ bool) {
		people, err := desk.People(t.Context(), b.org, asked)
		if err != nil {
			t.Fatalf("People: %v", err)
		}
		seen := map[string]bool{}
		for _, p := range people {
			holds, ok := want[p.ID]
			if !ok || seen[p.ID] {
				t.Errorf("%+v was found without having an address that was asked for, or twice", p)
				continue
			}
			seen[p.ID] = true
			if !holds(p) {
				t.Errorf("%+v is not what the desk holds", p)
			}
		}
		if len(seen) != len(want) {
			t.Errorf("%d people were found, want %d", len(seen), len(want))
		}
	})
}

// Adding creates who is new, makes members of who is not, names everybody in order, and does nothing the second time.
func testAdd(t *testing.T, b *bench) {
	known := b.plain("known@example.com")
	additions := []contactsync.Addition{
		create("new1@example.com"),
		{Contact: contactsync.Contact{Name: "Known", Email: "known@example.com"}, Person: known},
		create("new2@example.com"),
	}
	desk := b.Desk()
	before := b.People()
	outcomes, err := desk.Add(t.Context(), b.org, additions)
	wantDone(t, "Add", outcomes, err, len(additions))
	for i, o := range outcomes {
		p, ok := b.Person(o.Person)
		if !ok || !slices.Contains(p.Addresses, additions[i].Contact.Email) || !slices.Contains(p.Organizations, b.id) {
			t.Errorf("item %d became %q: %+v", i, o.Person, p)
		}
	}
	if p, _ := b.Person(outcomes[0].Person); p.Role != contactsync.RoleContact || p.Name != nameOf("new1@example.com") {
		t.Errorf("the new person is %+v", p)
	}
	if p, _ := b.Person(known); p.Name != nameOf("known@example.com") {
		t.Errorf("adding changed the name of an existing person to %q", p.Name)
	}
	b.Settle()
	// A second run that does not know of the first: the new people exist now.
	again, err := desk.Add(t.Context(), b.org, additions)
	wantDone(t, "Add again", again, err, len(additions))
	for i, o := range again {
		if o.Person != outcomes[i].Person {
			t.Errorf("item %d was %q, and is %q the second time", i, outcomes[i].Person, o.Person)
		}
	}
	if after := b.People(); after != before+2 {
		t.Errorf("%d people more, want 2", after-before)
	}
	if none, err := desk.Add(t.Context(), b.org, nil); err != nil || len(none) != 0 {
		t.Errorf("adding nobody: %v, %v", none, err)
	}
}

// Hundreds are added and removed like a few.
func testAddMany(t *testing.T, b *bench) {
	var additions []contactsync.Addition
	for i := range 250 {
		address := contactsync.Email(fmt.Sprintf("person%d@example.com", i))
		additions = append(additions, create(address))
		if i%2 == 0 {
			additions[i].Person = b.plain(address)
		}
	}
	b.Settle()
	desk := b.Desk()
	outcomes, err := desk.Add(t.Context(), b.org, additions)
	wantDone(t, "Add", outcomes, err, len(additions))
	for i, o := range outcomes {
		p, _ := b.Person(o.Person)
		if !slices.Contains(p.Addresses, additions[i].Contact.Email) || !b.isMember(o.Person) {
			t.Errorf("item %d became %q: %+v", i, o.Person, p)
		}
	}
	members := b.members()
	if len(members) != len(additions) {
		t.Fatalf("%d members, want %d", len(members), len(additions))
	}
	outcomes, err = desk.Remove(t.Context(), b.org, members)
	wantDone(t, "Remove", outcomes, err, len(members))
	if left := b.members(); len(left) != 0 {
		t.Errorf("%d members are left", len(left))
	}
}

// A creation whose address is taken ends well for somebody free, and in a named refusal for everybody else; the other
// items go on.
func testAddExisting(t *testing.T, b *bench) {
	before := b.plain("free@example.com")
	additions := []contactsync.Addition{create("free@example.com"), create("fresh@example.com")}
	classes := []contactsync.Class{"", ""}
	untouched := map[string]Person{}
	add := func(p Person, class contactsync.Class) {
		if id, ok := b.person(p); ok {
			additions, classes = append(additions, create(p.Addresses[0])), append(classes, class)
			untouched[id], _ = b.Person(id)
		}
	}
	add(Person{Name: "Neighbour", Addresses: []contactsync.Email{"neighbour@example.com"}, Organizations: []string{b.other}},
		contactsync.ClassContactElsewhere)
	add(Person{Name: "Agent", Addresses: []contactsync.Email{"agent@example.com"}, Role: contactsync.RoleAgent},
		contactsync.ClassContactProtected)
	add(Person{Name: "Suspended", Addresses: []contactsync.Email{"suspended@example.com"}, Suspended: true},
		contactsync.ClassContactProtected)
	add(Person{Name: "Shared", Addresses: []contactsync.Email{"shared@example.com"}, Shared: true},
		contactsync.ClassContactProtected)
	b.Settle()
	desk := b.Desk()
	twice(t, func(t *testing.T, _ bool) {
		outcomes, err := desk.Add(t.Context(), b.org, additions)
		if err != nil || len(outcomes) != len(additions) {
			t.Fatalf("Add: %d outcomes, %v", len(outcomes), err)
		}
		for i, o := range outcomes {
			wantClass(t, string(additions[i].Contact.Email), o.Err, classes[i])
		}
		if outcomes[0].Person != before || !b.isMember(before) {
			t.Errorf("the free person is %s, want %s as a member", outcomes[0].Person, before)
		}
		b.Settle()
		for id, was := range untouched {
			if is, _ := b.Person(id); !slices.Equal(is.Organizations, was.Organizations) || is.Role != was.Role || is.Name != was.Name {
				t.Errorf("person %s was %+v and is %+v", id, was, is)
			}
		}
	})
}

// Removing detaches and nothing else; it is done the second time, too.
func testRemove(t *testing.T, b *bench) {
	var members []contactsync.Member
	for i := range 12 {
		b.plain(contactsync.Email(fmt.Sprintf("member%d@example.com", i)), b.id)
	}
	both, hasBoth := b.person(Person{Name: "Both", Addresses: []contactsync.Email{"both@example.com"}, Organizations: []string{b.id, b.other}})
	all := b.members()
	members = append(members, all[:5]...)
	if hasBoth {
		members = append(members, b.read(both))
	}
	for _, count := range []int{1, len(members)} { // one, then several, the first of whom is gone already
		desk := b.Desk()
		twice(t, func(t *testing.T, _ bool) {
			outcomes, err := desk.Remove(t.Context(), b.org, members[:count])
			wantDone(t, "Remove", outcomes, err, count)
		})
		for i, m := range members {
			p, ok := b.Person(m.ID)
			if !ok || p.Deleted || len(p.Addresses) == 0 {
				t.Errorf("person %s did not stay: %+v", m.ID, p)
			}
			if b.isMember(m.ID) != (i >= count) {
				t.Errorf("person %s: member %v", m.ID, b.isMember(m.ID))
			}
		}
	}
	if p, _ := b.Person(both); hasBoth && !slices.Equal(p.Organizations, []string{b.other}) {
		t.Errorf("the person of two organizations is in %q now", p.Organizations)
	}
	if left := b.members(); len(left) != len(all)-len(members) {
		t.Errorf("%d members are left, want %d", len(left), len(all)-len(members))
	}
}

// Protected people are not removed, whoever asks.
func testRemoveProtected(t *testing.T, b *bench) {
	for _, p := range []Person{
		{Name: "Agent", Role: contactsync.RoleAgent}, {Name: "Admin", Role: contactsync.RoleAdmin},
		{Name: "Suspended", Suspended: true}, {Name: "Shared", Shared: true},
	} {
		p.Addresses = []contactsync.Email{contactsync.Email(strings.ToLower(p.Name) + "@example.com")}
		p.Organizations = []string{b.id}
		id, ok := b.person(p)
		if !ok {
			continue
		}
		outcomes, err := b.Desk().Remove(t.Context(), b.org, []contactsync.Member{b.read(id)})
		if err == nil {
			err = outcomes[0].Err
		}
		wantClass(t, p.Name, err, contactsync.ClassContactProtected)
		if !b.isMember(id) {
			t.Errorf("%s was removed", p.Name)
		}
	}
}

// Present says of everybody, by either of its ways, whether they are members.
func testPresent(t *testing.T, b *bench) {
	want := map[string]bool{b.plain("in@example.com", b.id): true, b.plain("out@example.com"): false, b.plain("other@example.com", b.other): false}
	for main, organizations := range map[string][]string{"here@example.com": {b.id, b.other}, "there@example.com": {b.other, b.id}} {
		if id, ok := b.person(Person{Name: main, Addresses: []contactsync.Email{contactsync.Email(main)}, Organizations: organizations}); ok {
			want[id] = true
		}
	}
	if id, ok := b.person(Person{Name: "Gone", Addresses: []contactsync.Email{"gone@example.com"}, Deleted: true}); ok {
		want[id] = false
	}
	for i := range 110 {
		want[b.plain(contactsync.Email(fmt.Sprintf("further%d@example.com", i)))] = false
	}
	b.Settle()
	var people []string
	for id := range want {
		people = append(people, id)
	}
	slices.Sort(people)
	for _, members := range []int{3, 100000} { // the organization is small, so read it; it is large, so read the people
		present, err := b.Desk().Present(t.Context(), b.org, people, members)
		if err != nil {
			t.Fatalf("Present with %d members: %v", members, err)
		}
		for id, is := range want {
			if present[id] != is {
				t.Errorf("with %d members: person %s present = %v, want %v", members, id, present[id], is)
			}
		}
	}
}

// A renamed member has the new name and primary address, and keeps the former address.
func testRename(t *testing.T, b *bench) {
	desk := b.Desk()
	renamer, ok := desk.(contactsync.Renamer)
	if !ok {
		t.Log("not tried: this desk cannot rename")
		return
	}
	for i := range 4 {
		b.plain(contactsync.Email(fmt.Sprintf("old%d@example.com", i)), b.id)
	}
	members := b.members()
	renames := []contactsync.Rename{
		{Member: members[0], Name: "New Name 0"},
		{Member: members[1], Email: "new1@example.com"},
		{Member: members[2], Name: "New Name 2", Email: "new2@example.com"},
		{Member: members[3], Name: "New Name 3"},
	}
	twice(t, func(t *testing.T, _ bool) {
		outcomes, err := renamer.Rename(t.Context(), b.org, renames)
		wantDone(t, "Rename", outcomes, err, len(renames))
		for i, r := range renames {
			p, _ := b.Person(r.Member.ID)
			if r.Name != "" && p.Name != r.Name {
				t.Errorf("item %d: name %q, want %q", i, p.Name, r.Name)
			}
			if r.Email != "" && (p.Addresses[0] != r.Email || !slices.Contains(p.Addresses, r.Member.Primary())) {
				t.Errorf("item %d: addresses %q", i, p.Addresses)
			}
			if r.Name == "" && p.Name != r.Member.Name || r.Email == "" && p.Addresses[0] != r.Member.Primary() {
				t.Errorf("item %d: what was to be left alone is %+v", i, p)
			}
		}
	})
	again, err := desk.Addresses(t.Context(), b.org, members)
	if err != nil || again[2].Name != "New Name 2" || again[2].Primary() != "new2@example.com" {
		t.Errorf("read again: %+v, %v", again, err)
	}
	// One alone may take another way than several.
	outcomes, err := renamer.Rename(t.Context(), b.org, []contactsync.Rename{{Member: members[3], Name: "Newest Name"}})
	wantDone(t, "Rename one", outcomes, err, 1)
	if p, _ := b.Person(members[3].ID); p.Name != "Newest Name" {
		t.Errorf("name %q", p.Name)
	}
}

// People of several organizations, protected ones, and addresses of others are not to be had.
func testRenameRefused(t *testing.T, b *bench) {
	renamer, ok := b.Desk().(contactsync.Renamer)
	if !ok {
		t.Log("not tried: this desk cannot rename")
		return
	}
	b.plain("taken@example.com")
	renames := []contactsync.Rename{{Member: b.member("wants@example.com"), Email: "taken@example.com"}}
	classes := []contactsync.Class{contactsync.ClassContactElsewhere}
	add := func(p Person, class contactsync.Class) {
		p.Organizations = append(p.Organizations, b.id)
		if id, ok := b.person(p); ok {
			renames, classes = append(renames, contactsync.Rename{Member: b.read(id), Name: "Changed"}), append(classes, class)
		}
	}
	add(Person{Name: "Both", Addresses: []contactsync.Email{"both@example.com"}, Organizations: []string{b.other}}, contactsync.ClassContactElsewhere)
	add(Person{Name: "Agent", Addresses: []contactsync.Email{"agent@example.com"}, Role: contactsync.RoleAgent}, contactsync.ClassContactProtected)
	add(Person{Name: "Suspended", Addresses: []contactsync.Email{"suspended@example.com"}, Suspended: true}, contactsync.ClassContactProtected)
	add(Person{Name: "Shared", Addresses: []contactsync.Email{"shared@example.com"}, Shared: true}, contactsync.ClassContactProtected)
	both := renames[len(renames)-1].Member
	outcomes, err := renamer.Rename(t.Context(), b.org, renames)
	if err != nil || len(outcomes) != len(renames) {
		t.Fatalf("Rename: %d outcomes, %v", len(outcomes), err)
	}
	for i, o := range outcomes {
		wantClass(t, renames[i].Member.Name, o.Err, classes[i])
		if p, _ := b.Person(renames[i].Member.ID); p.Name != renames[i].Member.Name || p.Addresses[0] != renames[i].Member.Primary() {
			t.Errorf("person %s is %+v now", renames[i].Member.ID, p)
		}
	}
	resolved, err := renamer.Elsewhere(t.Context(), b.org, []contactsync.Member{both, renames[0].Member})
	if err != nil || resolved[0].Elsewhere == contactsync.ElsewhereUnknown || resolved[1].Elsewhere != contactsync.ElsewhereNo {
		t.Errorf("Elsewhere = %+v, %v", resolved, err)
	}
}

// No write passes a closed fence, and a fence that closes in the middle stops what follows.
func testFence(t *testing.T, b *bench) {
	lost := errors.New("the lease is lost")
	member := b.member("member@example.com")
	known := b.plain("known@example.com")
	for open := range 3 {
		var asked atomic.Int64
		ctx := contactsync.WithFence(t.Context(), func(context.Context) error {
			if asked.Add(1) > int64(open) {
				return lost
			}
			return nil
		})
		before := b.Writes()
		_, err := b.Desk().Remove(ctx, b.org, []contactsync.Member{member})
		if open == 0 && !errors.Is(err, lost) {
			t.Errorf("Remove behind a closed fence: %v", err)
		}
		outcomes, err := b.Desk().Add(ctx, b.org, []contactsync.Addition{
			create(contactsync.Email(fmt.Sprintf("new%d@example.com", open))), {Contact: contactsync.Contact{Name: "Known", Email: "known@example.com"}, Person: known},
		})
		if open == 0 && !errors.Is(err, lost) {
			t.Errorf("Add behind a closed fence: %v, %v", outcomes, err)
		}
		if linker, ok := b.Desk().(contactsync.Linker); ok {
			if err := linker.LinkProject(ctx, b.org, project); open == 0 && !errors.Is(err, lost) {
				t.Errorf("LinkProject behind a closed fence: %v", err)
			}
		}
		tickets, can := b.Bench.(TicketBench)
		if replier, ok := b.Desk().(contactsync.Replier); ok && can {
			_, err := replier.Reply(ctx, tickets.AddTicket("Help", member.ID, b.id), contactsync.Reply{Text: "Hello.", Mark: "hello"})
			if open == 0 && !errors.Is(err, lost) {
				t.Errorf("Reply behind a closed fence: %v", err)
			}
		}
		if wrote := b.Writes() - before; wrote > open {
			t.Errorf("%d writes were sent through a fence that let %d pass", wrote, open)
		}
	}
}

// A context that has ended stops every call before it writes, and its error says so.
func testCancelled(t *testing.T, b *bench) {
	member := b.member("member@example.com")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := b.Writes()
	desk := b.Desk()
	calls := map[string]func() error{
		"Organization":     func() error { _, err := desk.Organization(ctx, project); return err },
		"OrganizationByID": func() error { _, err := desk.OrganizationByID(ctx, b.id); return err },
		"Members":          func() error { _, err := desk.Members(ctx, b.org); return err },
		"Addresses":        func() error { _, err := desk.Addresses(ctx, b.org, []contactsync.Member{member}); return err },
		"People":           func() error { _, err := desk.People(ctx, b.org, []contactsync.Email{"a@example.com"}); return err },
		"Present":          func() error { _, err := desk.Present(ctx, b.org, []string{member.ID}, 1); return err },
		"Add":              func() error { return first(desk.Add(ctx, b.org, []contactsync.Addition{create("a@example.com")})) },
		"Remove":           func() error { return first(desk.Remove(ctx, b.org, []contactsync.Member{member})) },
	}
	if lister, ok := desk.(contactsync.LinkLister); ok {
		calls["Links"] = func() error { _, err := lister.Links(ctx); return err }
	}
	if reader, ok := desk.(contactsync.FieldReader); ok {
		calls["OrganizationFields"] = func() error { _, err := reader.OrganizationFields(ctx, b.org); return err }
	}
	if linker, ok := desk.(contactsync.Linker); ok {
		calls["ProjectOf"] = func() error { _, err := linker.ProjectOf(ctx, b.org); return err }
		calls["LinkProject"] = func() error { return linker.LinkProject(ctx, b.org, project) }
	}
	if counter, ok := desk.(contactsync.MemberCounter); ok {
		calls["MemberCounts"] = func() error { _, err := counter.MemberCounts(ctx); return err }
	}
	if replier, ok := desk.(contactsync.Replier); ok {
		calls["Ticket"] = func() error { _, err := replier.Ticket(ctx, "1"); return err }
		calls["Reply"] = func() error {
			_, err := replier.Reply(ctx, "1", contactsync.Reply{Text: "Hello.", Mark: "hello"})
			return err
		}
	}
	for name, call := range calls {
		if err := call(); !contactsync.IsCanceled(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if wrote := b.Writes() - before; wrote > 0 {
		t.Errorf("%d writes were sent", wrote)
	}
}

// first returns the error of a write of one item, wherever it is.
func first(outcomes []contactsync.Outcome, err error) error {
	if err == nil && len(outcomes) > 0 {
		err = outcomes[0].Err
	}
	return err
}

// From a desk whose answers are unusable comes an error, never a list, and never a success.
func testBroken(t *testing.T, b *bench) {
	member := b.member("member@example.com")
	b.Break()
	desk := b.Desk()
	if _, err := desk.Organization(t.Context(), project); err == nil {
		t.Error("Organization: no error")
	} else {
		wantClass(t, "Organization", err, contactsync.ClassDeskUnreadable)
	}
	members, err := desk.Members(t.Context(), b.org)
	wantClass(t, "Members", err, contactsync.ClassDeskUnreadable)
	completed, err := desk.Addresses(t.Context(), b.org, []contactsync.Member{member})
	wantClass(t, "Addresses", err, contactsync.ClassDeskUnreadable)
	people, err := desk.People(t.Context(), b.org, []contactsync.Email{"member@example.com"})
	wantClass(t, "People", err, contactsync.ClassDeskUnreadable)
	present, err := desk.Present(t.Context(), b.org, []string{member.ID}, 1)
	wantClass(t, "Present", err, contactsync.ClassDeskUnreadable)
	if len(members)+len(completed)+len(people)+len(present) > 0 {
		t.Errorf("something came with an error: %v %v %v %v", members, completed, people, present)
	}
	if reader, ok := desk.(contactsync.FieldReader); ok {
		fields, err := reader.OrganizationFields(t.Context(), b.org)
		wantClass(t, "OrganizationFields", err, contactsync.ClassDeskUnreadable)
		if len(fields) > 0 {
			t.Errorf("fields beside an error: %v", fields)
		}
	}
	if lister, ok := desk.(contactsync.LinkLister); ok {
		links, err := lister.Links(t.Context())
		wantClass(t, "Links", err, contactsync.ClassDeskUnreadable)
		if len(links) > 0 {
			t.Errorf("links came with an error: %v", links)
		}
	}
	if linker, ok := desk.(contactsync.Linker); ok {
		_, err := linker.ProjectOf(t.Context(), b.org)
		wantClass(t, "ProjectOf", err, contactsync.ClassDeskUnreadable)
		if err := linker.LinkProject(t.Context(), b.org, project); err == nil {
			t.Error("LinkProject: no error")
		}
	}
	if counter, ok := desk.(contactsync.MemberCounter); ok {
		counts, err := counter.MemberCounts(t.Context())
		wantClass(t, "MemberCounts", err, contactsync.ClassDeskUnreadable)
		if len(counts) > 0 {
			t.Errorf("counts came with an error: %v", counts)
		}
	}
	if replier, ok := desk.(contactsync.Replier); ok {
		_, err := replier.Ticket(t.Context(), "1")
		wantClass(t, "Ticket", err, contactsync.ClassDeskUnreadable)
		_, err = replier.Reply(t.Context(), "1", contactsync.Reply{Text: "Hello.", Mark: "hello"})
		wantClass(t, "Reply", err, contactsync.ClassDeskUnreadable)
	}
	if err := first(desk.Add(t.Context(), b.org, []contactsync.Addition{create("a@example.com")})); err == nil {
		t.Error("Add: no error")
	}
	if err := first(desk.Remove(t.Context(), b.org, []contactsync.Member{member})); err == nil {
		t.Error("Remove: no error")
	}
}
