package notify

import (
	"context"
	"time"
)

// Words puts events into words.
type Words interface {
	// Text is what a ticket is told, as plain text.
	Text(event Event) (string, error)
	// Body is what a webhook of that format is sent, as JSON.
	Body(format string, event Event) ([]byte, error)
}

// Target is where operators are told.
type Target interface {
	// Name is what logs, metrics and the store know the target by. It is never its address.
	Name() string
	// Tell tells the target of an event. It returns soon, and at once where the context ends.
	Tell(ctx context.Context, event Event) Outcome
}

// Outcome is what became of telling a target.
type Outcome struct {
	Problem string    // why it failed, for operators and without anything secret; "": it was told
	Final   bool      // with a problem: it would fail again
	After   time.Time // with a problem: when the target wants to be asked again; zero: it does not say
}

// When a target is tried again that was not told.
const (
	pauseFirst = time.Minute
	pauseMost  = time.Hour
	patience   = 24 * time.Hour
)

// Again returns when to try again after a failed try, given how many there were with it and when the first was. It
// reports false where it is to be given up: a day after the first, or when trying again is of no use.
func (o Outcome) Again(tries int, began, now time.Time) (time.Time, bool) {
	at := now.Add(min(pauseFirst<<min(tries-1, 10), pauseMost))
	if o.After.After(at) {
		at = o.After
	}
	return at, !o.Final && !at.After(began.Add(patience))
}
