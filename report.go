package contactsync

// CommitState is how a commit status stands.
type CommitState string

// The states that contactsync sets. Their names are GitLab's.
const (
	CommitPending CommitState = "pending"
	CommitSuccess CommitState = "success"
	CommitFailed  CommitState = "failed"
	// CommitCanceled is of a commit that nobody read, because a newer one came.
	CommitCanceled CommitState = "canceled"
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

// Badge is a picture on a project's page.
type Badge struct {
	ID    int64 // 0: it is found by its name, or made
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
	Source  string  // its branch
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

// ReportState is how far telling people on the forge is.
type ReportState string

// The states of a report.
const (
	ReportWaiting ReportState = "waiting" // it is still to be told, or is tried again
	ReportTold    ReportState = "told"
	ReportGivenUp ReportState = "given_up"
)

// Report is what became of telling people on the forge about a run.
type Report struct {
	State   ReportState `json:"state"`
	Problem string      `json:"problem,omitempty"` // why it is tried again, or was given up
}

// Told is what stands on the forge beside a commit, or in a merge request, as we left it.
type Told struct {
	Run    string // whose end was told last
	Status string // the commit status, as text that is compared; "" for none
	Note   Note   // zero for none, or where it is not known
	Noting bool   // a note was about to be written: it may be there although Note is zero
	Text   string // what the note says, as text that is compared
	Wrong  bool   // the note tells of something to be mended
	// Resolved says that the note was marked as settled; Resolving, that it was about to be, or about to be opened again,
	// and that it is not known whether it was.
	Resolved, Resolving bool
}

// Proposal is what a merge request would make of the contacts file.
type Proposal struct {
	File File
	// Err is why there is no such file in the request: file_missing or file_too_large. The rest holds all the same.
	Err     error
	Changed bool // the request changes the file
	Behind  bool // the branch that is read has changed it, too, since the request began
}
