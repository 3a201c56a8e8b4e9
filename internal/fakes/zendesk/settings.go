package zendesk

import (
	"net/http"
	"time"
)

// Options are what a Server is made with. Each way of signing in works when both of its values are given; with none,
// every request but the one for the anonymous user is refused.
type Options struct {
	Clock func() time.Time // time.Now when nil

	ClientID     string // OAuth client credentials
	ClientSecret string
	// Scopes are what the OAuth client may be granted, separated by blanks. Empty: every scope that Zendesk knows.
	Scopes string

	Email string // API token: user "EMAIL/token"
	Token string
}

// RowStyle is how the rows of finished jobs are written. All of them have been seen; clients must read each.
type RowStyle int

const (
	// RowsDocumented: users {id, index}; memberships and changes {id, action, status, success}; failures
	// {id, action, error, details, success: false}. Only the first kind says which item of the request it answers.
	RowsDocumented RowStyle = iota
	// RowsIndexed: every row has index and status; failures are {index, error, details} without an id.
	RowsIndexed
	// RowsBare: {id, status}; failures are {status: "Failed", error, details}.
	RowsBare
	// RowsObject: one object {success} instead of rows, whatever became of the single items.
	RowsObject
)

// Settings are the account's ways, and how hard the stand-in makes life. Start from DefaultSettings.
type Settings struct {
	// MultipleOrganizations lets a person belong to several organizations (an account setting).
	MultipleOrganizations bool
	// MoveOnSecondMembership: with MultipleOrganizations off, a second membership silently replaces the first; false
	// refuses it with 422. Zendesk documents neither.
	MoveOnSecondMembership bool

	BulkImport  bool // users/create_many and users/create_or_update_many; off: 403, as in most accounts
	AdminAccess bool // off: the incremental exports answer 403

	// SideLoadUsers answers include=users on an organization's memberships, which works but is not documented, and on
	// tickets.
	SideLoadUsers bool
	// SideLoadFields are the only fields of side-loaded users. Nil: all that a partial user has.
	SideLoadFields []string
	// SideLoadIdentities answers include=identities on lists of users.
	SideLoadIdentities bool

	OffsetPaging bool // off: answers are in cursor style whatever was asked
	CursorPaging bool // off: cursor parameters are ignored and answers are in offset style

	// SearchLag is how long a change takes to appear in search. Stale documents are served until then.
	SearchLag time.Duration
	// SearchSecondary: search finds people by their secondary addresses, too.
	SearchSecondary bool
	// MaxSearchWords is how many words a query may have; more is a 422. An address counts as many words as it has
	// alphanumeric parts, which is the strictest reading of the documented 64 words.
	MaxSearchWords int
	// ExportDelay hides the most recent changes from incremental exports, as documented for start_time.
	ExportDelay time.Duration

	RateLimit      int  // requests a minute for the whole account; 0: none, and no headers
	RetryAfterDate bool // Retry-After as an HTTP date instead of seconds
	// UpdateLimit: PUT /users/{id} and create_or_update, one a second for the account and five a minute for a user.
	UpdateLimit bool
	ExportLimit int // incremental exports a minute; 0: none

	// JobPolls is how many polls of a job still find it unfinished, and undone; its work happens with the next one,
	// or after a minute by the clock. 0: a job's work is done at once, and the first poll finds it completed.
	JobPolls    int
	MaxJobs     int // unfinished jobs at a time; more is a 429 TooManyJobs
	JobRows     RowStyle
	JobLifetime time.Duration // job data are gone after that

	// Latency, if set, is called before a request is looked at, side by side for requests that arrive together.
	Latency func(*http.Request)

	ProjectField string // key of the organization field that links projects
	ProjectType  FieldType
}

// FieldType is what an organization field takes, and how it shows that.
type FieldType string

const (
	FieldText    FieldType = "text"    // keeps a number as its digits
	FieldInteger FieldType = "integer" // keeps a text of digits as a number
	FieldTagger  FieldType = "tagger"  // a drop-down: takes its options alone, and here it has none
)

// DefaultSettings are those of a Server after New: an ordinary account, answering as documented.
func DefaultSettings() Settings {
	return Settings{
		MoveOnSecondMembership: true,
		AdminAccess:            true,
		SideLoadUsers:          true,
		SideLoadIdentities:     true,
		OffsetPaging:           true,
		CursorPaging:           true,
		SearchSecondary:        true,
		MaxSearchWords:         64,
		ExportDelay:            time.Minute,
		UpdateLimit:            true,
		ExportLimit:            10,
		MaxJobs:                30,
		JobLifetime:            24 * time.Hour,
		ProjectField:           "cmp_id",
		ProjectType:            FieldText,
	}
}
