package contactsync

import (
	"encoding/json"
	"strconv"
	"time"
)

// Status is how a run ended.
type Status string

// The statuses of a run. Running is seen in the history alone.
const (
	StatusPlanned   Status = "planned"
	StatusSucceeded Status = "succeeded"
	StatusUnchanged Status = "unchanged"
	StatusPartial   Status = "partial"
	StatusHeld      Status = "held"
	StatusFailed    Status = "failed"
	StatusRunning   Status = "running"
)

// Trigger is what started a run.
type Trigger string

// The triggers of a run.
const (
	TriggerHook     Trigger = "hook"
	TriggerSchedule Trigger = "schedule"
	TriggerCommand  Trigger = "command"
	TriggerApproval Trigger = "approval"
)

// ProjectRef is a project as a person named it. It is a JSON number where it is one, else the text as given.
type ProjectRef string

// ID returns the project's number, and whether the reference is a positive number at all.
func (p ProjectRef) ID() (int64, bool) {
	id, err := strconv.ParseInt(string(p), 10, 64)
	return id, err == nil && id > 0
}

// MarshalJSON writes a number where the reference is one.
func (p ProjectRef) MarshalJSON() ([]byte, error) {
	if id, err := strconv.ParseInt(string(p), 10, 64); err == nil {
		return strconv.AppendInt(nil, id, 10), nil
	}
	return json.Marshal(string(p))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (p *ProjectRef) UnmarshalJSON(data []byte) error {
	var number json.Number
	if err := json.Unmarshal(data, &number); err == nil {
		*p = ProjectRef(number)
		return nil
	}
	return json.Unmarshal(data, (*string)(p))
}

// Summary counts a run's changes: by action those that were made (in a plan, those that would be), and what was not.
type Summary struct {
	Create    int `json:"create"`
	Add       int `json:"add"`
	Rename    int `json:"rename"`
	Remove    int `json:"remove"`
	Unchanged int `json:"unchanged"`
	Held      int `json:"held"`
	Conflicts int `json:"conflicts"`
	Failed    int `json:"failed"`
}

// Run is one passage through the pipeline, or a plan of one: what plan, sync and runs show.
type Run struct {
	ID         string     `json:"run,omitempty"`
	Project    ProjectRef `json:"project,omitempty"` // empty when a local file is planned
	Status     Status     `json:"status"`
	Trigger    Trigger    `json:"trigger,omitempty"`
	ApprovedBy string     `json:"approved_by,omitempty"` // whose word the held changes were made on
	Commit     string     `json:"commit,omitempty"`
	Committer  string     `json:"committer,omitempty"`
	Digest     string     `json:"digest,omitempty"` // "sha256:…" over exactly what would be written
	// Remainder is the digest that a plan has once everything but the held changes is made; "" where nothing is held.
	Remainder    string        `json:"remainder,omitempty"`
	Organization *Organization `json:"organization,omitempty"`
	Changes      []Change      `json:"changes"`
	Conflicts    []Conflict    `json:"conflicts"`
	Summary      Summary       `json:"summary"`
	Contacts     int           `json:"contacts,omitempty"` // that the file lists, and that are wanted today
	Requests     Requests      `json:"requests"`
	Error        *Failure      `json:"error,omitempty"`
	ProjectURL   string        `json:"project_url,omitempty"` // of the project's page on the forge
	Started      time.Time     `json:"started,omitzero"`
	Finished     time.Time     `json:"finished,omitzero"`
	// Report is whether the people around the project were told how it ended; nil where nobody was to be told.
	Report *Report `json:"report,omitempty"`
}
