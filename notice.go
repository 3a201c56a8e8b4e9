package contactsync

// NoticeEvent is a kind of thing that operators are told of, because it needs a person.
type NoticeEvent string

// The events. Messages, metrics and the configuration have the same names.
const (
	NoticeHeld              NoticeEvent = "held"               // changes wait for an approval
	NoticePartial           NoticeEvent = "partial"            // contacts could not be applied, and no other try is to come
	NoticeQuarantined       NoticeEvent = "quarantined"        // a project fails so often that it is hardly tried any more
	NoticeHookDisabled      NoticeEvent = "hook_disabled"      // GitLab has disabled a hook, and could not be made to enable it
	NoticeCredentialExpires NoticeEvent = "credential_expires" //nolint:gosec // an event: a credential of ours is about to expire, or has
	NoticeSweepHeld         NoticeEvent = "sweep_held"         // the removals of a whole sweep wait for approvals
)

// NoticeEvents returns all of them, in the order of the documentation.
func NoticeEvents() []NoticeEvent {
	return []NoticeEvent{NoticeHeld, NoticePartial, NoticeQuarantined, NoticeHookDisabled, NoticeCredentialExpires, NoticeSweepHeld}
}
