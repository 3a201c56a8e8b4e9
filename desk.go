package contactsync

import "context"

// Organization is a customer's organization on a desk.
type Organization struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Role is what a person may do on a desk.
type Role string

// The roles that decisions depend on. A desk's own finer roles map to the nearest of these, upwards.
const (
	RoleContact Role = "contact" // opens tickets
	RoleAgent   Role = "agent"   // answers tickets
	RoleAdmin   Role = "admin"   // configures the desk
)

// Elsewhere says whether a person belongs to an organization other than the one that was asked about.
type Elsewhere int

// The zero value is ElsewhereUnknown, so that an adapter that does not know never says "no".
const (
	ElsewhereUnknown Elsewhere = iota
	ElsewhereNo
	ElsewhereYes
)

// Person is somebody the desk knows, member or not. Soft-deleted people are never reported.
type Person struct {
	ID        string // the desk's own, stable
	Name      string
	Addresses []Email // the primary address first
	// Complete says that Addresses holds every address of the person, not the primary one alone.
	Complete  bool
	Role      Role
	Suspended bool
	Shared    bool // shared from another account: the desk refuses to change it
	Elsewhere Elsewhere
	// Here says that the desk's record of the person names the organization that was asked about. It need not: a person
	// of several organizations may have another one there.
	Here bool
}

// Has reports whether the address is one of those known of the person.
func (p Person) Has(address Email) bool {
	for _, a := range p.Addresses {
		if a == address {
			return true
		}
	}
	return false
}

// Primary returns the person's main address, or "" for a person without any.
func (p Person) Primary() Email {
	if len(p.Addresses) == 0 {
		return ""
	}
	return p.Addresses[0]
}

// Member is a person who belongs to the organization that was read.
type Member struct {
	Person
	// Membership is what the desk needs to detach the member: the membership's own id, where it has one.
	Membership string
}

// Addition asks a desk to make somebody a member: the person if there is one, else a new one made from the contact.
type Addition struct {
	Contact Contact
	Person  string // id of the existing person; "" creates one
}

// Rename asks a desk to change a member's name, primary address, or both.
type Rename struct {
	Member Member
	Name   string // "" leaves it
	Email  Email  // "" leaves it; the former address stays as a further one
}

// Outcome is what became of one item of a write. A nil Err means that the desk accepted it.
type Outcome struct {
	Person string // id of the person, where it is known; for a creation, the new one
	Err    error  // classed; an ambiguous write that looking could not settle is a class of its own, never a success
}

// Desk is a ticketing backend, reduced to what keeping an organization's members equal to a list takes.
//
// Errors are classed (see Error) and say what was being done and about whom. Every write asks CheckFence first, so that a run that lost its lease stops.
// An adapter never sends an ambiguous write again: it reads what became of it.
type Desk interface {
	// Organization returns the one organization linked to the project.
	// Errors: no_org_found, too_many_orgs, desk_unreadable, desk_unauthorized, rate_limited.
	Organization(ctx context.Context, project int64) (Organization, error)

	// OrganizationByID returns the organization with that id.
	// Errors: no_org_found, desk_unreadable, desk_unauthorized, rate_limited.
	OrganizationByID(ctx context.Context, id string) (Organization, error)

	// Members returns all members of the organization, in the order of their ids, or an error: never some of them.
	// Where that saves requests, a member may come with its primary address alone and Complete unset; Addresses
	// tells the rest. Errors: desk_unreadable, desk_unauthorized, rate_limited.
	Members(ctx context.Context, org Organization) ([]Member, error)

	// Addresses returns the same members with every address of theirs, Complete set.
	Addresses(ctx context.Context, org Organization, members []Member) ([]Member, error)

	// People returns the people who have any of the addresses, matched exactly on every address of a person.
	// Elsewhere is as seen from org. That somebody is missing here does not prove that they do not exist:
	// desks look addresses up in an index that lags.
	People(ctx context.Context, org Organization, addresses []Email) ([]Person, error)

	// Add makes people members, creating those who do not exist, and returns one outcome per item in its order.
	// An error is returned only when nothing was done. Nobody gets mail from it.
	Add(ctx context.Context, org Organization, additions []Addition) ([]Outcome, error)

	// Remove detaches members and returns one outcome per item in its order. The person stays.
	// An error is returned only when nothing was done.
	Remove(ctx context.Context, org Organization, members []Member) ([]Outcome, error)

	// Present reads which of the people are members of org now, by the cheapest way that is sure: the people
	// themselves, or the organization again. It is the proof of a run. members is how many org has, about.
	Present(ctx context.Context, org Organization, people []string, members int) (map[string]bool, error)
}

// Sharer is a desk that knows whether a person may belong to several organizations. Desks that are no Sharer let them.
type Sharer interface {
	// SharesPeople errors: desk_unreadable, desk_unauthorized, rate_limited.
	SharesPeople(ctx context.Context) (bool, error)
}

// Renamer is a desk that can change a member's name and primary address. A person who belongs to several
// organizations is nobody's to rename, so the pipeline asks Elsewhere first and renames only those who belong here alone.
type Renamer interface {
	// Elsewhere returns the same members with Elsewhere known: ElsewhereUnknown is no answer here.
	// Errors: desk_unreadable, desk_unauthorized, rate_limited.
	Elsewhere(ctx context.Context, org Organization, members []Member) ([]Member, error)

	// Rename returns one outcome per item in its order; an error only when nothing was done.
	Rename(ctx context.Context, org Organization, renames []Rename) ([]Outcome, error)
}

// LinkLister is a desk that tells the links of all projects at once, for far fewer requests than looking up each.
type LinkLister interface {
	// Links returns every organization that carries a project, in the order of ids, or an error: never some of them.
	// Two with one project are both there. It may take minutes, and what it returns is only a hint by the time that it
	// is used: a write must be preceded by Organization.
	// Errors: desk_unreadable, desk_unauthorized, rate_limited.
	Links(ctx context.Context) ([]LinkedOrganization, error)
}

// FieldReader is a desk whose organizations have fields of the account's own, such as those about a subscription.
type FieldReader interface {
	// OrganizationFields returns what the organization's fields hold, as text and by key. Yes and no are "true" and
	// "false", numbers are plain decimals. Empty fields are left out.
	// Errors: no_org_found, desk_unreadable, desk_unauthorized, rate_limited.
	OrganizationFields(ctx context.Context, org Organization) (map[string]string, error)
}

// Linker is a desk that keeps which project an organization belongs to, and lets it be written.
type Linker interface {
	// ProjectOf returns the number of the project that the organization itself carries, 0 for none.
	// Errors: no_org_found, desk_unreadable, desk_unauthorized, rate_limited.
	ProjectOf(ctx context.Context, org Organization) (int64, error)

	// LinkProject writes the number, 0 takes it away, and reads it back. Whether the number is in use elsewhere is the
	// caller's question. It asks CheckFence before it writes.
	// Errors: as ProjectOf, and sync_failed when the desk did not take the number.
	LinkProject(ctx context.Context, org Organization, project int64) error
}

// MemberCounter is a desk that counts the contacts of all organizations at once, for far fewer requests than reading
// each.
type MemberCounter interface {
	// MemberCounts returns how many contacts each organization has, by id. Those without any are left out. It is a hint, as
	// Links is: an organization that matters is read before anything is said about it.
	// Errors: desk_unreadable, desk_unauthorized, rate_limited.
	MemberCounts(ctx context.Context) (map[string]int, error)
}

// Ticket is a ticket at the desk, as far as answering it takes.
type Ticket struct {
	ID        string
	Subject   string
	Requester Email
	// Organization is the id of the ticket's organization, "" for none.
	Organization string
	Closed       bool // can be changed no more
}

// Reply is an answer to a ticket.
type Reply struct {
	// Macro is the title of the desk's own macro that is applied where there is exactly one active one, with what it
	// says and changes; "" or one that is not there takes Text.
	Macro string
	Text  string // plain text
	// AndText makes the text follow the macro's own comment, because it says what no macro can know.
	AndText bool
	// Public replies go to the requester; others are internal notes. A macro's own comment keeps its own mode.
	Public bool
	// Mark names the reply. It stays on the ticket with it, in the same write, and a ticket that has it already is not
	// answered again. It consists of lower-case letters, digits, "_" and "-".
	Mark string
}

// Replied is what became of a reply.
type Replied struct {
	Already bool   // the ticket had its mark: nothing was written
	Macro   string // the title of the macro that was applied, "" for the text
	Public  bool
}

// Replier is a desk whose tickets can be answered.
type Replier interface {
	// Ticket returns a ticket. Errors: ticket_not_answered for a number that is no ticket, desk_unreadable, desk_unauthorized, rate_limited.
	Ticket(ctx context.Context, id string) (Ticket, error)

	// Reply answers a ticket, once: whatever became of an earlier try, the same mark is never there twice. It asks
	// CheckFence before it writes.
	// Errors: as Ticket; ticket_not_answered also for a ticket that is closed, or whose change the desk refused.
	Reply(ctx context.Context, id string, reply Reply) (Replied, error)
}
