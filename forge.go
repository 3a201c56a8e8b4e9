package contactsync

import "time"

// ProjectDetails is a project as setting it up and verifying it needs to know it.
type ProjectDetails struct {
	Project
	Name string // "Organization 42"
	// Settings are what the forge tells of the project's settings, by the forge's own attribute names and as text. What
	// this forge does not tell is absent.
	Settings map[string]string
	// Import is how far making the project from a template is: none, scheduled, started, finished or failed.
	Import      string
	ImportError string // as the forge says it; "" unless failed
	Empty       bool   // the repository has no commit
	Deletion    Date   // the day on which the project is deleted; "" for one that stays
}

// NewProject is a project to be made, private and in a group.
type NewProject struct {
	Group    string // the full path of the group that it is made in
	Path     string // below the group: "organization-42"
	Name     string
	Template string            // id or path of a project in the group's template group; "" makes an empty project
	Settings map[string]string // as in ProjectDetails
}

// AccessLevel is what somebody may do in a project. Its numbers are GitLab's.
// Source: docs.gitlab.com/api/access_requests, "Valid access levels".
type AccessLevel int

// The levels that decisions depend on.
const (
	AccessNone       AccessLevel = 0
	AccessDeveloper  AccessLevel = 30
	AccessMaintainer AccessLevel = 40
	AccessOwner      AccessLevel = 50
)

// Protection is what may be done to a protected branch.
type Protection struct {
	Branch string
	// Push and Merge are the roles that may, ascending: AccessDeveloper stands for developers and everybody above. Where
	// single people, groups or keys may, Others says so.
	Push, Merge []AccessLevel
	Others      bool
	ForcePush   bool
	CodeOwners  bool // a code owner must approve
}

// ProjectMember is somebody who may do something in a project, of themselves or by a group above.
type ProjectMember struct {
	ID       int64
	Username string
	Name     string
	Level    AccessLevel
	Address  Email // that the forge shows, which is seldom; "" else
	Active   bool  // neither blocked nor waiting
	// Direct says that it is a member of the project itself, so that the project's setup can have made it.
	Direct bool
	Bot    bool // stands for a token, not for a person
}

// Invitation waits for somebody who has no account on the forge, or has not accepted.
type Invitation struct {
	Address Email
	Level   AccessLevel
	Created time.Time
}

// Invited is what became of inviting one address.
type Invited struct {
	Address Email
	// Problem is what the forge says against it; "" for an address that was invited, or whose account was added.
	Problem string
}

// Hook is one of a project's webhooks.
type Hook struct {
	ID int64
	// Address is scheme, host and path of its URL, with {names} where variables are. What follows can hold a token
	// that is not masked, so it is not kept.
	Address       string
	PushEvents    bool
	MergeRequests bool
	VerifyTLS     bool
	BranchFilter  string // of push events, "" for all branches; BranchStrategy says how to read it
	// BranchStrategy is wildcard, regex or all_branches.
	BranchStrategy string
	// AlertStatus is executable, temporarily_disabled or disabled; "" where GitLab does not tell.
	AlertStatus string
	// DisabledUntil is when a hook that failed returns, or returned. It is zero once a delivery succeeded.
	DisabledUntil time.Time

	TokenPresent        bool
	SigningTokenPresent bool
}

// Disabled reports whether the forge sends the hook nothing now.
func (h Hook) Disabled() bool { return h.AlertStatus != "" && h.AlertStatus != "executable" }

// NewHook is a hook to be made: it tells of pushes to one branch, and of merge requests, to an address whose
// certificate is checked.
type NewHook struct {
	URL       string            // with {names} for what Variables mask
	Variables map[string]string // secret
	Branch    string            // of pushes; a wildcard
	// MergeRequests asks for these, too.
	MergeRequests bool
	// Token and SigningToken are secrets that deliveries carry, or are signed with. "" leaves one out.
	Token, SigningToken string
}

// FailedDelivery is a delivery of a hook that failed.
type FailedDelivery struct {
	ID     int64
	Status int       // of the receiver's answer, 0 when there was none
	Key    string    // its Idempotency-Key, "" where GitLab does not tell
	At     time.Time // zero where GitLab does not tell
}
