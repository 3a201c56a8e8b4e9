package contactsync

// Action is what a change does to one contact.
type Action string

// The actions, in the order in which a run takes them.
const (
	ActionCreate Action = "create" // a new person on the desk, who becomes a member
	ActionAdd    Action = "add"    // an existing person becomes a member
	ActionRename Action = "rename" // a member's name or primary address changes
	ActionRemove Action = "remove" // a member is detached; the person stays
)

// Result is what became of a change, or in a plan what would.
type Result string

// The results of a change.
const (
	ResultPlanned Result = "planned"
	ResultDone    Result = "done"
	ResultHeld    Result = "held"    // waits for an approval
	ResultSkipped Result = "skipped" // not to be made, for the reason given
	ResultFailed  Result = "failed"
)

// Change is one difference between the file and the desk, as people and programs see it.
type Change struct {
	Action Action `json:"action"`
	Email  Email  `json:"email"`
	Name   string `json:"name"`
	Person string `json:"person,omitempty"` // the desk's id of the person, once there is one
	// WasEmail and WasName are what a rename replaces; absent where it leaves that one alone.
	WasEmail Email  `json:"was_email,omitempty"`
	WasName  string `json:"was_name,omitempty"`
	Result   Result `json:"result"`
	Error    Class  `json:"error,omitempty"`
	Detail   string `json:"detail,omitempty"`
	Line     int    `json:"line,omitempty"` // of the contact in the file
}

// Conflict is a contact of the file that cannot become, or stay, a member as it is written.
type Conflict struct {
	Email  Email  `json:"email"`
	Error  Class  `json:"error"`
	Detail string `json:"detail"`
	Line   int    `json:"line,omitempty"`
}
