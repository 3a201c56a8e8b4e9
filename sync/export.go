package sync

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"contactsync"
	"contactsync/contacts"
)

// Export returns the members as a contacts file that syncs to no change. People whom a file cannot list, because they
// have no address that mail reaches, are left out: a run never removes them. A name that a file cannot hold gives way
// to the address, which says that the name is the desk's.
func Export(members []contactsync.Member) contacts.File {
	var file contacts.File
	for _, m := range members {
		i := slices.IndexFunc(m.Addresses, contacts.Listable)
		if i < 0 {
			continue
		}
		address := m.Addresses[i]
		name := strings.TrimSpace(m.Name)
		if contacts.CleanName(name, address) != name {
			name = string(address)
		}
		file.Contacts = append(file.Contacts, contactsync.Contact{Name: name, Email: address})
	}
	slices.SortFunc(file.Contacts, func(a, b contactsync.Contact) int { return cmp.Compare(a.Email, b.Email) })
	return file
}

// Export reads what an organization's contacts file would be if it were made of its present members.
// Errors: as of the desk's OrganizationByID and Members.
func (p *Pipeline) Export(ctx context.Context, organization string) (contactsync.Exported, error) {
	p.step("reading the organization")
	org, err := p.Desk.OrganizationByID(ctx, organization)
	if err != nil {
		return contactsync.Exported{}, err
	}
	p.step("reading the members")
	exported := contactsync.Exported{Organization: org}
	if exported.Members, err = p.listable(ctx, org); err != nil {
		return exported, err
	}
	exported.Contacts = Export(exported.Members).Contacts
	for _, m := range exported.Members {
		if slices.ContainsFunc(m.Addresses, contacts.Listable) {
			continue
		}
		reason := "has no e-mail address"
		if len(m.Addresses) > 0 {
			reason = fmt.Sprintf("mail cannot reach %s", m.Primary())
		}
		exported.LeftOut = append(exported.LeftOut, contactsync.LeftOut{Person: m.ID, Name: m.Name, Reason: reason})
	}
	return exported, nil
}

// listable reads the members, with all addresses of those whose main one a file cannot list: another one may do.
func (p *Pipeline) listable(ctx context.Context, organization contactsync.Organization) ([]contactsync.Member, error) {
	members, err := p.members(ctx, organization)
	if err != nil {
		return nil, err
	}
	var listed, others []contactsync.Member
	for _, m := range members {
		if m.Complete || contacts.Listable(m.Primary()) {
			listed = append(listed, m)
		} else {
			others = append(others, m)
		}
	}
	if len(others) == 0 {
		return listed, nil
	}
	others, err = p.Desk.Addresses(p.progress(ctx), organization, others)
	return append(listed, others...), err
}
