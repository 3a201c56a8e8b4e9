package contactsync

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Class is the stable name of a kind of error. People search for it, programs branch on it, retries follow it.
type Class string

// The error classes. What each means, who mends it and when it is retried stands in the table below, and for people
// in docs/errors/.
const (
	ClassInvalidProjectID      Class = "invalid_project_id"
	ClassNoOrgFound            Class = "no_org_found"
	ClassTooManyOrgs           Class = "too_many_orgs"
	ClassYAMLUnreadable        Class = "yaml_unreadable"
	ClassContactIncomplete     Class = "contact_incomplete"
	ClassSyncFailed            Class = "sync_failed"
	ClassRemovalFailed         Class = "removal_failed"
	ClassUserNotCreated        Class = "user_not_created"
	ClassFileMissing           Class = "file_missing"
	ClassFileTooLarge          Class = "file_too_large"
	ClassFileEmpty             Class = "file_empty"
	ClassEmailInvalid          Class = "email_invalid"
	ClassContactDuplicate      Class = "contact_duplicate"
	ClassContactInvalid        Class = "contact_invalid"
	ClassOrganizationMismatch  Class = "organization_mismatch"
	ClassTooManyContacts       Class = "too_many_contacts"
	ClassContactElsewhere      Class = "contact_elsewhere"
	ClassContactProtected      Class = "contact_protected"
	ClassRemovalsHeld          Class = "removals_held"
	ClassAdditionsHeld         Class = "additions_held"
	ClassRepositoryUnreachable Class = "repository_unreachable"
	ClassDeskUnreadable        Class = "desk_unreadable"
	ClassDeskUnauthorized      Class = "desk_unauthorized"
	ClassRateLimited           Class = "rate_limited"
	ClassNotEligible           Class = "not_eligible"
	ClassPlanChanged           Class = "plan_changed"
	ClassProjectConflict       Class = "project_conflict"
	ClassGitLabRefused         Class = "gitlab_refused"
	ClassTicketNotAnswered     Class = "ticket_not_answered"
	ClassInternal              Class = "internal"
)

// Who is the person who can mend an error.
type Who string

// The people who mend things.
const (
	WhoOperator  Who = "operator"
	WhoCustomer  Who = "customer"
	WhoRequester Who = "requester"
	WhoDeveloper Who = "developer"
	WhoNobody    Who = "nobody" // it mends itself, or the next try does
)

// Retry is when a failed run is tried again.
type Retry string

// The retry classes.
const (
	RetryNo         Retry = "no"
	RetrySoon       Retry = "soon"        // first within 30 s, then doubling with jitter to 15 min
	RetryLater      Retry = "later"       // 15 min to 6 h
	RetryOnCommit   Retry = "on_commit"   // when the customer pushes
	RetryOnApproval Retry = "on_approval" // when an operator approves
	RetryWhenTold   Retry = "when_told"   // at the time that the other side named
)

// ClassInfo is what is fixed about a class.
type ClassInfo struct {
	Class      Class
	Title      string // for people; in the first block the original system's words
	Who        Who
	Retry      Retry
	ExitCode   int
	HTTPStatus int
	Remedy     string // what to do next, for the person who mends it
}

var classTable = []ClassInfo{
	{ClassInvalidProjectID, "Invalid project ID", WhoOperator, RetryNo, 1, 404,
		"Check the number, and that the service account can see the project. In the project's hook, PROJECT_ID must be the project's own number."},
	{ClassNoOrgFound, "No org found", WhoOperator, RetrySoon, 1, 404,
		"Write the project's number into the organization's project field on the desk. The next try finds it, in large accounts a minute or two later."},
	{ClassTooManyOrgs, "Too many orgs", WhoOperator, RetryNo, 1, 409,
		"Clear the project field of every organization but the right one, then sync again."},
	{ClassYAMLUnreadable, "Error reading YAML file", WhoCustomer, RetryOnCommit, 1, 422,
		"Mend the lines that are named and push again. Nobody was removed."},
	{ClassContactIncomplete, "Missing required information", WhoCustomer, RetryOnCommit, 1, 422,
		"Give every contact a name and an e-mail address. If you do not know the name, repeat the address."},
	{ClassSyncFailed, "Failed to sync contacts", WhoOperator, RetrySoon, 1, 502,
		"Read the detail of each contact. What the desk refused needs a change at the desk or in the file; the rest is tried again."},
	{ClassRemovalFailed, "Failed to remove users", WhoOperator, RetrySoon, 1, 502,
		"Read the detail of each contact. Nobody else was affected; the removal is tried again."},
	{ClassUserNotCreated, "Unable to create user", WhoNobody, RetrySoon, 1, 502,
		"Nothing to do now: the next try looks the person up again. If it keeps happening, look for the address at the desk, also among deleted and merged users."},
	{ClassFileMissing, "No contacts.yaml", WhoCustomer, RetryOnCommit, 1, 404,
		"Put contacts.yaml, as an ordinary file, at the root of the repository on the branch that is read, and push."},
	{ClassFileTooLarge, "contacts.yaml is too large", WhoCustomer, RetryOnCommit, 1, 413,
		"Keep the file under 1 MiB and 5,000 contacts, and push again."},
	{ClassFileEmpty, "contacts.yaml lists nobody", WhoCustomer, RetryOnCommit, 1, 422,
		"List at least one contact and push again. An empty file never removes anyone."},
	{ClassEmailInvalid, "Invalid e-mail address", WhoCustomer, RetryOnCommit, 1, 422,
		"Correct the address and push again."},
	{ClassContactDuplicate, "Listed twice", WhoCustomer, RetryOnCommit, 1, 422,
		"Delete one of the two entries and push again."},
	{ClassContactInvalid, "Invalid value", WhoCustomer, RetryOnCommit, 1, 422,
		"Correct the value and push again."},
	{ClassOrganizationMismatch, "Another organization's file", WhoCustomer, RetryOnCommit, 1, 409,
		"Delete the line \"organization:\", or write the id of the organization that this project belongs to."},
	{ClassTooManyContacts, "Too many contacts", WhoCustomer, RetryOnCommit, 1, 422,
		"Shorten the list to the limit and push again, or ask support to raise the limit."},
	{ClassContactElsewhere, "Belongs to another organization", WhoOperator, RetryNo, 1, 409,
		"Ask which organization the person belongs to, and move them at the desk. The customer can use another address instead."},
	{ClassContactProtected, "Protected person", WhoOperator, RetryNo, 1, 409,
		"contactsync never changes agents, admins, suspended or shared people, nor the addresses under sync.protected. Change them at the desk, if at all."},
	{ClassRemovalsHeld, "Removals held", WhoOperator, RetryOnApproval, 4, 409,
		"Ask the customer whether they meant it. If so, approve the plan: contactsync approve PROJECT DIGEST. If not, a corrected file releases it."},
	{ClassAdditionsHeld, "Additions held", WhoOperator, RetryOnApproval, 4, 409,
		"Check that the list is plausible, then approve the plan: contactsync approve PROJECT DIGEST. A smaller list releases it too."},
	{ClassRepositoryUnreachable, "Repository cannot be read", WhoOperator, RetrySoon, 1, 502,
		"Check that GitLab answers, and that the token may read the project's repository (scopes api and read_repository)."},
	{ClassDeskUnreadable, "The desk's answer cannot be trusted", WhoNobody, RetrySoon, 1, 502,
		"The next try reads again. If it keeps happening, compare the organization at the desk with the last run."},
	{ClassDeskUnauthorized, "The desk refused the credentials", WhoOperator, RetryLater, 1, 502,
		"Check the desk's credentials and their rights: contactsync config check."},
	{ClassRateLimited, "The desk's request limit is reached", WhoNobody, RetryWhenTold, 1, 503,
		"Nothing to do: it goes on when the desk allows. If it is frequent, look for other integrations that use up the account's limit."},
	{ClassNotEligible, "Not qualified", WhoRequester, RetryNo, 1, 403,
		"See which criterion is not met."},
	{ClassPlanChanged, "The plan has changed", WhoOperator, RetryNo, 1, 409,
		"Look at the new plan (contactsync plan PROJECT), and approve its digest if it is what you want."},
	{ClassProjectConflict, "Not the expected project", WhoOperator, RetryNo, 1, 409,
		"Find out which project belongs to the organization, and correct what is named: nothing was changed there."},
	{ClassGitLabRefused, "GitLab refused the change", WhoOperator, RetryNo, 1, 502,
		"Do what the detail says, then run the same command again: it continues where it stopped."},
	{ClassTicketNotAnswered, "The ticket was not answered", WhoOperator, RetryNo, 1, 502,
		"Check the ticket's number, and that it is not closed. Then run the same command again: nobody is answered twice."},
	{ClassInternal, "Internal error", WhoDeveloper, RetryLater, 1, 500,
		"This is a defect of contactsync. Please report it with the run's id and the detail."},
}

var classIndex = func() map[Class]ClassInfo {
	index := make(map[Class]ClassInfo, len(classTable))
	for _, info := range classTable {
		index[info.Class] = info
	}
	return index
}()

// Classes returns the whole table, in the order of the documentation.
func Classes() []ClassInfo { return append([]ClassInfo(nil), classTable...) }

// Info returns what is fixed about the class. An unknown class is treated as an internal error.
func (c Class) Info() ClassInfo {
	if info, ok := classIndex[c]; ok {
		return info
	}
	return classIndex[ClassInternal]
}

// Error is the one error type of contactsync. Detail says what happened and where; the cause, if any, follows it.
// Wrap it with what was being done: fmt.Errorf("reading members of organization %s: %w", id, err).
type Error struct {
	Class  Class
	Detail string
	Err    error // the cause, or nil

	// What differs from the class's own, where the cause says more; empty takes the table's.
	Who    Who
	Retry  Retry
	Remedy string

	RetryAt time.Time // with RetryWhenTold: when the other side allows it again

	// Problems are what is wrong with the file, where that is the reason: the first hundred in its order. Unlisted is how
	// many more there are.
	Problems []FileProblem
	Unlisted int
}

// Errorf returns a classed error; %w keeps the cause.
func Errorf(class Class, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Class: class, Detail: err.Error(), Err: errors.Unwrap(err)}
}

func (e *Error) Error() string {
	if e.Detail != "" {
		return e.Detail
	}
	if e.Err != nil {
		return e.Err.Error()
	}
	return e.Class.Info().Title
}

func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class of the first classed error in the chain, "" for nil, and internal for any other error.
func ClassOf(err error) Class {
	if err == nil {
		return ""
	}
	var classed *Error
	if errors.As(err, &classed) {
		return classed.Class
	}
	return ClassInternal
}

// IsCanceled reports whether the error comes from the caller giving up, which is nobody's failure.
func IsCanceled(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// Failure is an error as people and programs are shown it.
type Failure struct {
	Class   Class     `json:"class"`
	Title   string    `json:"title"`
	Detail  string    `json:"detail"`
	Remedy  string    `json:"remedy"`
	Who     Who       `json:"who"`
	Retry   Retry     `json:"retry"`
	RetryAt time.Time `json:"retry_at,omitzero"`
	// Problems are those of the file, see Error.
	Problems []FileProblem `json:"problems,omitempty"`
	Unlisted int           `json:"unlisted_problems,omitempty"`
}

// FailureOf describes an error for people; nil for nil.
func FailureOf(err error) *Failure {
	if err == nil {
		return nil
	}
	class := ClassOf(err)
	info := class.Info()
	failure := &Failure{
		Class: class, Title: info.Title, Detail: strings.TrimSpace(err.Error()),
		Remedy: info.Remedy, Who: info.Who, Retry: info.Retry,
	}
	var classed *Error
	if !errors.As(err, &classed) {
		return failure
	}
	if classed.Who != "" {
		failure.Who = classed.Who
	}
	if classed.Retry != "" {
		failure.Retry = classed.Retry
	}
	if classed.Remedy != "" {
		failure.Remedy = classed.Remedy
	}
	failure.RetryAt, failure.Problems, failure.Unlisted = classed.RetryAt, classed.Problems, classed.Unlisted
	return failure
}

// ExitCode is the process's exit status for the error: 0 for nil.
func ExitCode(err error) int {
	if err == nil {
		return 0
	}
	return ClassOf(err).Info().ExitCode
}
