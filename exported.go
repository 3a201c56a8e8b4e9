package contactsync

// Exported is what an organization's contacts file would be if it were made of its present members.
type Exported struct {
	Organization Organization
	Members      []Member
	Contacts     []Contact // of the file, by address
	LeftOut      []LeftOut
}

// LeftOut is a member whom a contacts file cannot list. A sync never removes them.
type LeftOut struct {
	Person string `json:"person"`
	Name   string `json:"name"`
	Reason string `json:"reason"`
}
