package worker

import (
	"context"
	"time"

	"contactsync"
	"contactsync/store"
)

const (
	// tellTime is the longest that telling may take. It is tried again then, like anything that went wrong.
	tellTime = 2 * time.Minute
	// settleTime is for how long further pushes to a merge request are waited for.
	settleTime = time.Second
)

// report tells people on the forge. An error is the store's to judge: it says when telling is tried again. No run waits for
// it, and it keeps no process from stopping: the next one tells.
func (w *Worker) report(ctx context.Context, job store.Job) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(w.life, cancel)()
	if job.Request != 0 {
		if err := w.Wait(ctx, settleTime); err != nil {
			return err
		}
	}
	var tally contactsync.Tally
	told, done := context.WithTimeout(contactsync.WithTally(ctx, &tally), tellTime)
	defer done()
	var err error
	if job.Request != 0 {
		err = w.Teller.Review(told, job.Project, job.Request)
	} else {
		err = w.Teller.Tell(told, job.Project)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	w.Reported(ctx, job.Project, job.Request, err, tally.Requests())
	return err
}
