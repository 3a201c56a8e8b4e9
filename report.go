package contactsync

// CommitState is how a commit status stands.
type CommitState string

// The states that contactsync sets. Their names are GitLab's.
const (
	CommitPending CommitState = "pending"
	CommitSuccess CommitState = "success"
	CommitFailed  CommitState = "failed"
)

// CommitStatus is what a forge shows beside a commit, and what can gate a merge. The newest of a name counts.
type CommitStatus struct {
	Commit      string // 40 hex digits
	Ref         string // the branch that it is on; "" where that does not matter
	Name        string // "contactsync"
	State       CommitState
	Description string // one line of plain text, at most 255 characters
	Target      string // where it links to; "" for nowhere
}

// Thread is where notes stand: a commit of a project, or one of its merge requests.
type Thread struct {
	Project int64
	Commit  string // 40 hex digits; "" for a merge request
	Request int64  // the merge request's number in the project; 0 for a commit
}

// Note is where a note of ours was written, so that it can be changed.
type Note struct {
	Discussion string
	ID         int64
}

// Badge is a picture on a project's page. Its name is what it is found by.
type Badge struct {
	Name  string
	Link  string // where it leads
	Image string // where the picture is
}

// MergeRequest is a merge request as its contacts file is judged.
type MergeRequest struct {
	Project Project // that it would be merged into
	Number  int64   // in that project
	Open    bool    // neither merged nor closed
	Fork    bool    // it comes from another project
	Target  string  // the branch that it would be merged into
	Head    string  // its newest commit, 40 hex digits
	// Base is the commit of the target branch that it began with, 40 hex digits; "" where the forge does not tell yet.
	Base string
}

// FileProblem is something in a contacts file that has to be mended, as it is kept with a run and shown to people.
type FileProblem struct {
	Line    int    `json:"line"` // from 1
	Column  int    `json:"column"`
	Rule    string `json:"rule"`
	Class   Class  `json:"error"`
	Message string `json:"message"` // what is wrong, and how to mend it
	// Corrected is what the line should be, without its end; "" where that is not certain.
	Corrected string `json:"corrected,omitempty"`
}
