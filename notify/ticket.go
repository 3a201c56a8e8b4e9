package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"contactsync"
	"contactsync/outbound"
)

// Replier answers tickets, each reply once; see contactsync.Replier.
type Replier interface {
	Reply(ctx context.Context, id string, reply contactsync.Reply) (contactsync.Replied, error)
}

// Ticket is a target: a ticket at the desk that gets an internal note for each event, and never two for one.
type Ticket struct {
	Number string
	Desk   Replier
	Words  Words
}

// Name is the target's name.
func (*Ticket) Name() string { return "ticket" }

// markLength is how many digits of a key's hash mark its note: a ticket keeps the marks of all its notes.
const markLength = 12

// Tell adds the note. It waits for the desk's request limit behind whatever somebody waits for.
func (t *Ticket) Tell(ctx context.Context, event Event) Outcome {
	text, err := t.Words.Text(event)
	if err != nil {
		return Outcome{Problem: "it cannot be put into words: " + err.Error()}
	}
	hash := sha256.Sum256([]byte(event.Key))
	_, err = t.Desk.Reply(contactsync.InBackground(ctx), t.Number, contactsync.Reply{
		Text: text, Mark: "notice_" + hex.EncodeToString(hash[:])[:markLength],
	})
	if err == nil {
		return Outcome{}
	}
	outcome := Outcome{Problem: outbound.Clean(err.Error(), mostProblem)}
	var classed *contactsync.Error
	if errors.As(err, &classed) {
		outcome.After = classed.RetryAt
	}
	return outcome
}

// mostProblem bounds what is remembered of a desk's words.
const mostProblem = 300
