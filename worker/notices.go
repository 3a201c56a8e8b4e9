package worker

import (
	"context"
	"encoding/json"
	"slices"

	"contactsync"
	"contactsync/notify"
	"contactsync/store"
)

// Notices is how operators are told what needs a person. It has nothing to do with runs: whatever becomes of telling,
// none is held up, fails or is repeated for it.
type Notices struct {
	Targets []notify.Target           // with names that differ
	Events  []contactsync.NoticeEvent // that are told; none is all
	// Credentials returns those of our credentials that end. It is asked each time; nil knows none.
	Credentials func(ctx context.Context) []notify.Credential
	// Told is told what became of each try; nil is nobody. The result is sent, failed or given_up.
	Told func(event contactsync.NoticeEvent, target, result string)
}

// The results of a try.
const (
	noticeSent    = "sent"
	noticeFailed  = "failed" // it is tried again
	noticeGivenUp = "given_up"
)

// noticesAtOnce bounds how much a target is told at one look: what an operator can take in, and a chat lets through.
const noticesAtOnce = 20

func (w *Worker) askForNotices(ctx context.Context) error {
	if w.Notices == nil {
		return nil
	}
	return w.Store.AskFor(ctx, store.ChoreNotices)
}

// tellOperators remembers what needs a person now, and tells each target what it was not told yet.
func (w *Worker) tellOperators(ctx context.Context) error {
	if w.Notices == nil {
		return nil // another process has asked, with another configuration
	}
	found, err := w.findNotices(ctx)
	if err != nil {
		return err
	}
	targets := make([]string, len(w.Notices.Targets))
	for i, target := range w.Notices.Targets {
		targets[i] = target.Name()
	}
	if err := w.Store.SeeNotices(ctx, found, targets); err != nil {
		return err
	}
	for _, target := range w.Notices.Targets {
		if err := w.tellTarget(ctx, target); err != nil {
			return err
		}
	}
	return nil
}

// findNotices returns what needs a person now, as the store keeps it.
func (w *Worker) findNotices(ctx context.Context) ([]store.Notice, error) {
	attention, err := w.Store.Attention(ctx)
	if err != nil {
		return nil, err
	}
	state := notify.State{
		Held: concerns(attention.Held), Partial: concerns(attention.Partial), Quarantined: concerns(attention.Quarantined), HooksDisabled: concerns(attention.Hooks),
		Sweep: notify.Sweep{
			ID: attention.Sweep.ID, Removals: attention.Sweep.Losses.Removals,
			Organizations: attention.Sweep.Losses.Organizations, Ended: attention.Sweep.Finished,
		},
	}
	if w.Notices.Credentials != nil {
		state.Credentials = w.Notices.Credentials(ctx)
	}
	var notices []store.Notice
	for _, event := range notify.Events(state, w.Now()) {
		if len(w.Notices.Events) > 0 && !slices.Contains(w.Notices.Events, event.Event) {
			continue
		}
		data, err := json.Marshal(event)
		if err != nil {
			return nil, err
		}
		notices = append(notices, store.Notice{Key: event.Key, Event: event.Event, Project: event.Project, Data: data})
	}
	return notices, nil
}

func concerns(found []store.Concern) []notify.Concern {
	list := make([]notify.Concern, len(found))
	for i, c := range found {
		list[i] = notify.Concern(c)
	}
	return list
}

// tellTarget tells a target what is due. After a try that failed the others wait for the next look: the target is away.
func (w *Worker) tellTarget(ctx context.Context, target notify.Target) error {
	due, err := w.Store.NoticesDue(ctx, target.Name(), noticesAtOnce)
	if err != nil {
		return err
	}
	for _, notice := range due {
		if err := ctx.Err(); err != nil {
			return err
		}
		away, err := w.tell(ctx, target, notice)
		if err != nil || away {
			return err
		}
	}
	return nil
}

// tell tells a target of one notice, and remembers what became of it. A process that dies in between leads to its being
// told once more, with the same key.
func (w *Worker) tell(ctx context.Context, target notify.Target, notice store.NoticeDelivery) (away bool, err error) {
	try := store.NoticeTry{State: store.NoticeSent, At: w.Now()}
	var event notify.Event
	outcome := notify.Outcome{Problem: "what the store keeps of it cannot be read", Final: true}
	if json.Unmarshal(notice.Data, &event) == nil {
		outcome = target.Tell(ctx, event)
	}
	if outcome.Problem != "" && ctx.Err() != nil {
		return false, ctx.Err() // it was cut off, which is nobody's failure
	}
	result := noticeSent
	if outcome.Problem != "" {
		began := notice.Began
		if began.IsZero() {
			began = try.At
		}
		try.State, try.Problem, result = store.NoticeWaiting, outcome.Problem, noticeFailed
		if try.Next, away = outcome.Again(notice.Tries+1, began, w.Now()); !away {
			try.State, result = store.NoticeGivenUp, noticeGivenUp
			w.Log.Warn("operators could not be told of something; it is given up", "event", notice.Event, "key", notice.Key,
				"target", target.Name(), "tries", notice.Tries+1, "why", outcome.Problem)
		}
	}
	// What was told is remembered although the process is about to stop.
	if err := w.Store.TriedNotice(context.WithoutCancel(ctx), notice.Key, target.Name(), try); err != nil {
		return false, err
	}
	if w.Notices.Told != nil {
		w.Notices.Told(notice.Event, target.Name(), result)
	}
	return away, nil
}
