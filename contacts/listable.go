package contacts

import "contactsync"

// Listable reports whether a contacts.yaml can hold the address: one that mail can reach. Desks know others too.
func Listable(email contactsync.Email) bool {
	_, fault := address(string(email))
	return fault == ""
}
