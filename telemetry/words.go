package telemetry

import (
	"slices"
	"strings"

	"contactsync"
)

// other stands for every value that nobody foresaw, so that no value makes a series of its own, or leaves as it came.
const other = "other"

var (
	// Of the receiver: its two addresses, and what becomes of a request to one of them.
	addresses = []string{"hook", "trigger"}
	answers   = []string{
		"accepted", "joined", "ignored", "refused", "unauthorized", "invalid", "too_large", "timeout", "aborted", "unavailable",
	}
	// Of telling operators: the kinds of targets, and what becomes of a try.
	noticeTargets = []string{"slack", "mattermost", "google_chat", "json", "ticket"}
	noticeResults = []string{"sent", "failed", "given_up"}

	statuses = []contactsync.Status{
		contactsync.StatusSucceeded, contactsync.StatusUnchanged, contactsync.StatusPartial, contactsync.StatusHeld,
		contactsync.StatusFailed, contactsync.StatusPlanned, contactsync.StatusRunning,
	}
	triggers = []contactsync.Trigger{
		contactsync.TriggerHook, contactsync.TriggerSchedule, contactsync.TriggerCommand, contactsync.TriggerApproval,
	}
	actions = []contactsync.Action{
		contactsync.ActionCreate, contactsync.ActionAdd, contactsync.ActionRename, contactsync.ActionRemove,
	}
	results = []contactsync.Result{
		contactsync.ResultDone, contactsync.ResultHeld, contactsync.ResultSkipped, contactsync.ResultFailed, contactsync.ResultPlanned,
	}
)

// What people on GitLab are told about, and what becomes of it.
const (
	aboutRun, aboutRequest   = "run", "merge_request"
	reportTold, reportFailed = "told", "failed"
)

var (
	reportsAbout  = []string{aboutRun, aboutRequest}
	reportResults = []string{reportTold, reportFailed}
)

// steps are the pipeline's sentences as labels. A test reads the sentences from the pipeline's source.
var steps = map[string]string{
	"waiting for another run of the project, if one is under way":  "wait_for_turn",
	"reading the file and the members":                             "read",
	"reading the organization":                                     "read_organization",
	"reading the members":                                          "read_members",
	"reading all addresses of members whom the file does not list": "read_addresses",
	"looking people up by address":                                 "look_people_up",
	"checking whom a rename would touch":                           "check_renames",
	"making sure of the organization":                              "confirm_organization",
	"adding contacts":                                              "add",
	"renaming contacts":                                            "rename",
	"removing contacts":                                            "remove",
}

func stepLabel(sentence string) string {
	if label, ok := steps[sentence]; ok {
		return label
	}
	return other
}

// known returns the word if it is one of the vocabulary, else other.
func known[T ~string](word T, vocabulary []T) string {
	if slices.Contains(vocabulary, word) {
		return string(word)
	}
	return other
}

// classLabel returns the class as a label; "none" where there is no error.
func classLabel(class contactsync.Class) string {
	if class == "" {
		return "none"
	}
	return string(class.Info().Class)
}

// explain returns what of a failure may be shown to whoever reads logs and probes: its class, and how to mend it.
// Remedies are sentences of our own. One that holds an address or a link after all is replaced by that of the class.
func explain(f *contactsync.Failure) (contactsync.Class, string) {
	info := f.Class.Info()
	if f.Remedy == "" || strings.ContainsAny(f.Remedy, "@\n") || strings.Contains(f.Remedy, "://") {
		return info.Class, info.Remedy
	}
	return info.Class, f.Remedy
}
