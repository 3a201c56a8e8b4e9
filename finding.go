package contactsync

// Check is what was looked at. The ids are stable: programs branch on them.
type Check string

// The checks. docs/doctor.md tells what each is about.
const (
	CheckSettings      Check = "settings"
	CheckDefaultBranch Check = "default_branch"
	CheckProtection    Check = "branch_protection"
	CheckName          Check = "project_name"
	CheckMoved         Check = "project_moved"
	CheckGone          Check = "project_gone"
	CheckDeleted       Check = "project_deleted"
	CheckImport        Check = "project_import"
	CheckSetup         Check = "setup_unfinished"

	CheckHookMissing   Check = "hook_missing"
	CheckHookDifferent Check = "hook_different"
	CheckHookDouble    Check = "hook_double"
	CheckHookDisabled  Check = "hook_disabled"
	CheckHookFailing   Check = "hook_failing"
	CheckHookElsewhere Check = "hook_elsewhere"

	CheckMemberAbove     Check = "member_above"
	CheckInvitationAbove Check = "invitation_above"
	CheckNobodyEdits     Check = "nobody_edits"
	CheckManyEdit        Check = "many_edit"

	CheckLinkMissing Check = "link_missing"
	CheckLinkDouble  Check = "link_double"

	CheckFileMissing  Check = "file_missing"
	CheckFileInvalid  Check = "file_invalid"
	CheckGuideMissing Check = "guide_missing"
)

// The checks of an audit, beside those about links, hooks and files above. docs/audit.md tells what each is about.
const (
	CheckOverLimit   Check = "over_limit"
	CheckDrift       Check = "drift"
	CheckSyncFails   Check = "sync_fails"
	CheckHeld        Check = "held"
	CheckQuarantined Check = "quarantined"
	CheckUnaudited   Check = "not_audited"
)

// AuditChecks returns every check of an audit, in the order in which it tells them.
func AuditChecks() []Check {
	return []Check{
		CheckOverLimit, CheckLinkDouble, CheckLinkMissing, CheckGone, CheckDeleted, CheckMoved, CheckName,
		CheckDrift, CheckFileMissing, CheckFileInvalid, CheckSyncFails, CheckHookMissing, CheckHookDisabled,
		CheckHeld, CheckQuarantined, CheckUnaudited,
	}
}

// Checks returns every check, in the order of the documentation.
func Checks() []Check {
	return []Check{
		CheckLinkMissing, CheckLinkDouble,
		CheckGone, CheckDeleted, CheckMoved, CheckName, CheckImport, CheckSetup,
		CheckSettings, CheckDefaultBranch, CheckProtection,
		CheckHookMissing, CheckHookDifferent, CheckHookDouble, CheckHookDisabled, CheckHookFailing, CheckHookElsewhere,
		CheckMemberAbove, CheckInvitationAbove, CheckNobodyEdits, CheckManyEdit,
		CheckFileMissing, CheckFileInvalid, CheckGuideMissing,
	}
}

// Severity is how much a finding matters.
type Severity string

// The severities. A project with notes alone is healthy.
const (
	SeverityProblem Severity = "problem"
	SeverityNote    Severity = "note"
)

// Fix is who may repair a finding.
type Fix string

// The ways to a repair.
const (
	FixNone Fix = "none" // people do it
	FixSafe Fix = "safe" // takes nothing from anybody, so that nobody is asked
	FixAsk  Fix = "ask"  // only after a yes
)

// Finding is something about a project, or an organization, that is not as it is to be.
type Finding struct {
	Check    Check    `json:"check"`
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	Remedy   string   `json:"remedy"`
	Fix      Fix      `json:"fix"`
	Fixed    bool     `json:"fixed"`           // repaired, and read back
	Error    *Failure `json:"error,omitempty"` // why the repair failed, or what could not be looked at

	// What an audit adds, which is about many.
	Project      int64           `json:"project,omitempty"`
	Organization *Organization   `json:"organization,omitempty"`
	Contacts     int             `json:"contacts,omitempty"` // how many there are
	Limit        int             `json:"limit,omitempty"`    // how many there may be
	People       []PresentPerson `json:"people,omitempty"`   // the contacts of an organization that is over its limit
}

// PresentPerson is a contact as the desk has it.
type PresentPerson struct {
	Name  string `json:"name"`
	Email Email  `json:"email"` // the main address; "" for somebody without any
}
