package contactsync

import "time"

// Link says which organization on the desk carries a project's number. A project has one; finding two is an error
// that people must mend, so nothing here forbids it.
type Link struct {
	Project      int64 // 0: the organization carries none
	Organization string
}

// LinkedOrganization is an organization that carries a project's number, as a reading of all of them told.
type LinkedOrganization struct {
	Organization Organization
	Project      int64
}

// Baseline is the membership that the last good run of an organization left, and the yardstick for the next read.
type Baseline struct {
	Organization string
	Members      []string // ids of people
	At           time.Time
}

// Approval is an operator's word that certain held changes may be made.
type Approval struct {
	Digest  string   // of the plan that was approved
	Changes []string // keys of its held changes, see Change.Key
	By      string
	At      time.Time
}

// Key identifies what a change does and to whom, across plans: the same removal has the same key in each.
func (c Change) Key() string {
	who := c.Person
	if who == "" {
		who = string(c.Email)
	}
	return string(c.Action) + ":" + who
}
