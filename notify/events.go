// Package notify tells operators, once for each event, what needs a person. Which events there are is decided from the
// state alone; each has a key, so that whoever remembers the keys tells nothing twice.
package notify

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"contactsync"
)

// Event is one thing that needs a person. As JSON it is what the store keeps; nothing in it is secret, and nobody is
// named but the organization.
type Event struct {
	// Key names the event: the same event always has the same. It is made of letters, digits, "_", "-" and "/".
	Key           string                  `json:"key"`
	Event         contactsync.NoticeEvent `json:"event"`
	Project       int64                   `json:"project,omitempty"`       // 0 where it is about none
	Organization  string                  `json:"organization,omitempty"`  // its name, "" where it is not known
	Changes       int                     `json:"changes,omitempty"`       // held: how many wait; partial: contacts; sweep_held: removals
	Organizations int                     `json:"organizations,omitempty"` // sweep_held: that would lose members
	Class         contactsync.Class       `json:"class,omitempty"`         // quarantined: the error's
	Since         time.Time               `json:"since,omitzero"`
	System        string                  `json:"system,omitempty"`  // credential_expires: gitlab or desk
	Expires       contactsync.Date        `json:"expires,omitempty"` // credential_expires: the day on which it ends
	Detail        string                  `json:"detail,omitempty"`  // one sentence more
	Command       string                  `json:"command"`           // what an operator types next
}

// State is what events are found in.
type State struct {
	Held          []Concern
	Partial       []Concern
	Quarantined   []Concern
	HooksDisabled []Concern
	Sweep         Sweep // whose removals are held; without an ID there is none
	Credentials   []Credential
}

// Concern is a project that needs a person.
type Concern struct {
	Project      int64
	Organization string
	Since        time.Time
	Run          string            // held: the first run that left the same changes; partial: the last run
	Changes      int64             // held; partial: contacts that could not be applied
	Set          string            // partial: names these contacts
	Class        contactsync.Class // quarantined
	Failures     int64             // quarantined: runs in a row
}

// Sweep is a scheduled sweep.
type Sweep struct {
	ID            string
	Removals      int
	Organizations int // that would lose members
	Ended         time.Time
}

// Credential is a credential of ours that ends.
type Credential struct {
	System  string           // gitlab or desk
	Expires contactsync.Date // the day on which it ends; "" for never
	Days    int              // how many days before it is told of; 0: two weeks
	Advice  string           // what is to be done, where that is not obvious; a sentence
}

// A credential is told of so many days before its end, if it does not say when itself, and again so many.
const (
	credentialFirst = 14
	credentialAgain = 3
)

// Events returns what needs a person in the state, each once. The time counts for credentials alone.
func Events(state State, now time.Time) []Event {
	var events []Event
	for _, c := range state.Held {
		events = append(events, Event{
			Key: key(contactsync.NoticeHeld, c.Project, c.Run), Event: contactsync.NoticeHeld,
			Project: c.Project, Organization: c.Organization, Changes: int(c.Changes), Since: c.Since,
			Command: fmt.Sprintf("contactsync plan %d", c.Project),
		})
	}
	for _, c := range state.Partial {
		events = append(events, Event{
			Key: key(contactsync.NoticePartial, c.Project, c.Set), Event: contactsync.NoticePartial,
			Project: c.Project, Organization: c.Organization, Changes: int(c.Changes), Since: c.Since,
			Command: "contactsync runs show " + c.Run,
		})
	}
	for _, c := range state.Quarantined {
		events = append(events, Event{
			Key: key(contactsync.NoticeQuarantined, c.Project, moment(c.Since)), Event: contactsync.NoticeQuarantined,
			Project: c.Project, Organization: c.Organization, Class: c.Class, Since: c.Since,
			Detail:  fmt.Sprintf("%d runs in a row have failed.", c.Failures),
			Command: fmt.Sprintf("contactsync runs %d", c.Project),
		})
	}
	for _, c := range state.HooksDisabled {
		events = append(events, Event{
			Key: key(contactsync.NoticeHookDisabled, c.Project, moment(c.Since)), Event: contactsync.NoticeHookDisabled,
			Project: c.Project, Organization: c.Organization, Since: c.Since,
			Command: fmt.Sprintf("contactsync doctor %d", c.Project),
		})
	}
	for _, c := range state.Credentials {
		if event, ok := c.event(now); ok {
			events = append(events, event)
		}
	}
	if s := state.Sweep; s.ID != "" {
		events = append(events, Event{
			Key: key(contactsync.NoticeSweepHeld, s.ID), Event: contactsync.NoticeSweepHeld,
			Changes: s.Removals, Organizations: s.Organizations, Since: s.Ended, Command: "contactsync runs --status held",
		})
	}
	return once(events)
}

// event is what is to be told of the credential on that day: at each of three stages another one.
func (c Credential) event(now time.Time) (Event, bool) {
	end, err := time.Parse(time.DateOnly, string(c.Expires))
	if err != nil {
		return Event{}, false // it never ends, or nobody knows when
	}
	today := now.UTC().Truncate(24 * time.Hour)
	left := int(end.Sub(today) / (24 * time.Hour))
	first := cmp.Or(c.Days, credentialFirst)
	var stage, detail string
	switch {
	case left > first:
		return Event{}, false
	case left <= 0:
		stage, detail = "expired", "It has expired."
	case left <= credentialAgain:
		stage, detail = fmt.Sprintf("%dd", credentialAgain), remaining(left)
	default:
		stage, detail = fmt.Sprintf("%dd", first), remaining(left)
	}
	return Event{
		Key: key(contactsync.NoticeCredentialExpires, c.System, c.Expires, stage), Event: contactsync.NoticeCredentialExpires,
		System: c.System, Expires: c.Expires, Detail: strings.TrimSpace(detail + " " + c.Advice), Command: "contactsync config check",
	}, true
}

func remaining(days int) string {
	if days == 1 {
		return "1 day is left."
	}
	return fmt.Sprintf("%d days are left.", days)
}

// once leaves out what is there already.
func once(events []Event) []Event {
	seen := map[string]bool{}
	return slices.DeleteFunc(events, func(e Event) bool {
		again := seen[e.Key]
		seen[e.Key] = true
		return again
	})
}

func key(event contactsync.NoticeEvent, parts ...any) string {
	texts := []string{string(event)}
	for _, part := range parts {
		texts = append(texts, fmt.Sprint(part))
	}
	return strings.Join(texts, "/")
}

// moment is a time as part of a key.
func moment(t time.Time) string { return t.UTC().Format("20060102T150405Z") }

// Test returns an event that is none: whoever is told of it learns that telling works. No two have the same key.
func Test(id string, now time.Time) Event {
	return Event{
		Key: "test/" + id, Event: contactsync.NoticeHeld, Organization: "Example", Changes: 1, Since: now,
		Detail: "This is a test: nothing is held, and nobody has to do anything.", Command: "contactsync notify test",
	}
}
