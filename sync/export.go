package sync

import (
	"cmp"
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
