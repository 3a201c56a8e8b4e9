package contactsync

import "time"

// ProcedureKind is what a procedure does with a project.
type ProcedureKind string

// The kinds of procedures.
const (
	ProcedureSetup   ProcedureKind = "setup"
	ProcedureRemoval ProcedureKind = "removal"
	ProcedureRestore ProcedureKind = "restore"
	ProcedureRepair  ProcedureKind = "repair"
)

// ProcedureState is how far a procedure is.
type ProcedureState string

// The states of a procedure.
const (
	ProcedureRunning ProcedureState = "running" // or stopped with its process
	ProcedureFailed  ProcedureState = "failed"  // the same command continues
	ProcedureDone    ProcedureState = "done"
)

// Procedure is the setup, removal or repair of one project, in steps of which each can be done again. It is kept in the
// audit trail from its first step on, so that one that stopped can be found and continued.
type Procedure struct {
	ID           string         `json:"procedure"`
	Kind         ProcedureKind  `json:"kind"`
	State        ProcedureState `json:"state"`
	Organization Organization   `json:"organization"`
	Project      int64          `json:"project,omitempty"` // 0 until there is one
	Commit       string         `json:"commit,omitempty"`  // of the files that it wrote last; "" for none
	Command      []string       `json:"command"`           // what continues it, without the program's name; no secrets
	Steps        []StepResult   `json:"steps"`
	Error        *Failure       `json:"error,omitempty"` // of the step that failed
	By           string         `json:"by"`              // who asked: a claim, not a proof
	Started      time.Time      `json:"started"`
	Updated      time.Time      `json:"updated"`
	// Revision counts the times that it was saved. Saving one that was saved by another meanwhile fails, so that of two
	// processes with the same procedure one stops.
	Revision int `json:"-"`
}

// StepState is what became of a step.
type StepState string

// The states of a step.
const (
	StepDone    StepState = "done"    // something was changed, and read back
	StepAlready StepState = "already" // everything was as it should be
	StepSkipped StepState = "skipped" // on purpose, for the reason in the detail
	StepPlanned StepState = "planned" // a dry run would change something
	StepFailed  StepState = "failed"
)

// StepResult is what became of one step of a procedure.
type StepResult struct {
	Name  string    `json:"step"`
	State StepState `json:"state"`
	// Details are lines for people: what was found and done, and what is left to them.
	Details []string `json:"details,omitempty"`
}
