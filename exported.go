package contactsync

import (
	"cmp"
	"slices"
)

// Exported is what an organization's contacts file would be if it were made of its present members.
type Exported struct {
	Organization Organization
	Members      []Member
	Contacts     []Contact // of the file, by address
	LeftOut      []LeftOut
}

// People returns the members who count where contacts are limited, by address: agents and admins of the desk do not, as no
// customer can take them out.
func (e Exported) People() []PresentPerson {
	people := []PresentPerson{}
	for _, m := range e.Members {
		if m.Role == RoleContact {
			people = append(people, PresentPerson{Name: m.Name, Email: m.Primary()})
		}
	}
	slices.SortFunc(people, func(x, y PresentPerson) int {
		return cmp.Or(cmp.Compare(x.Email, y.Email), cmp.Compare(x.Name, y.Name))
	})
	return people
}

// LeftOut is a member whom a contacts file cannot list. A sync never removes them.
type LeftOut struct {
	Person string `json:"person"`
	Name   string `json:"name"`
	Reason string `json:"reason"`
}
