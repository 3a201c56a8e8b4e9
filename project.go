package contactsync

import "time"

// Project is a contact management project as the forge knows it.
type Project struct {
	ID            int64
	Path          string // with its namespace: "support/organization-42"
	CloneURL      string // over HTTP, without credentials
	WebURL        string
	DefaultBranch string
}

// File is one file at the head of a branch.
type File struct {
	Content     []byte
	Commit      string // 40 hex digits
	Blob        string // 40 hex digits; the same content always has the same
	Committer   string // "Name <address>", as the commit says: a claim, not a proof
	CommittedAt time.Time
}
