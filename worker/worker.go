// Package worker does by itself what a person would do with contactsync sync: it takes jobs from the store's queue, runs
// the pipeline, keeps the schedule, looks after hooks that failed, and tells operators what needs a person.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	gosync "sync"
	"time"

	"contactsync"
	"contactsync/schedule"
	"contactsync/store"
	"contactsync/sync"
)

// Watch follows one run.
type Watch interface {
	sync.Observer
	Finish(run contactsync.Run)
}

// Options are a Worker's parts. Store, Pipeline, Log, Now and Wait are required.
type Options struct {
	Store    *store.Store
	Pipeline *sync.Pipeline
	Runs     int           // at once; sweeps have as many of their own
	RunTime  time.Duration // the longest that a run may take; 2 hours
	Keep     store.Retention

	// Schedule is when all linked projects are run again, over Spread. It needs Linker.
	Schedule  schedule.Schedule
	Spread    time.Duration
	Threshold sync.SweepThreshold
	Linker    contactsync.LinkLister // the desk, where it can tell

	// Hooks are looked at every HooksEvery; never where that is 0.
	Hooks      Hooks
	HooksEvery time.Duration

	// Teller tells people on the forge how runs ended; nil tells nobody. Reported is told how that went, and what it took;
	// request is 0 for runs.
	Teller   Teller
	Reported func(ctx context.Context, project, request int64, err error, used contactsync.Requests)
	// Notices is who is told what needs a person; nil tells nobody.
	Notices *Notices

	// Watch returns what follows a run, of which id, project and trigger are known, and the context that it is to have;
	// nil follows none.
	Watch func(ctx context.Context, run contactsync.Run) (context.Context, Watch)
	Log   *slog.Logger
	Now   func() time.Time
	Wait  func(context.Context, time.Duration) error
	// Jitter is a random number from 0 to 1.
	Jitter func() float64
}

// Worker does jobs until it is stopped. Several, in several processes, may share a store on PostgreSQL.
type Worker struct {
	Options
	started chan struct{}

	stopOnce gosync.Once
	stopErr  error
	life     context.Context // of the beat and of chores
	stop     context.CancelFunc
	beating  chan struct{} // closed when the beat has ended
	workers  *store.Workers
}

// How often the worker does what happens by itself.
const (
	beatEvery  = 5 * time.Second  // looks after the queue and the schedule
	nudgeEvery = time.Minute      // looks after a sweep under way, and asks for chores
	pruneEvery = time.Hour        // deletes what is too old
	beatTime   = 30 * time.Second // the longest that one beat may take
)

// runTime is the longest that a run may take: one that waits for a desk's limit, in turns, is not ended early.
const runTime = 2 * time.Hour

// New returns a worker that does nothing yet.
func New(options Options) *Worker {
	if options.RunTime <= 0 {
		options.RunTime = runTime
	}
	if options.Reported == nil {
		options.Reported = func(context.Context, int64, int64, error, contactsync.Requests) {}
	}
	if options.Watch == nil {
		options.Watch = func(ctx context.Context, _ contactsync.Run) (context.Context, Watch) { return ctx, unwatched{} }
	}
	return &Worker{Options: options, started: make(chan struct{})}
}

// Teller tells people on the forge what became of their commit, or would become of their merge request.
type Teller interface {
	Tell(ctx context.Context, project int64) error
	Review(ctx context.Context, project, request int64) error
}

type unwatched struct{}

func (unwatched) Step(string)            {}
func (unwatched) Progress(int, int)      {}
func (unwatched) Finish(contactsync.Run) {}

// Start begins to work. It returns once jobs are taken, and does not end when the context does: see Stop.
func (w *Worker) Start(ctx context.Context) error {
	w.life, w.stop = context.WithCancel(context.WithoutCancel(ctx))
	options := store.WorkOptions{Runs: w.Runs, Resyncs: w.Runs, Chores: len(store.Chores), Timeout: w.RunTime, Log: w.Log}
	if w.Teller != nil {
		options.Reports = w.Runs
	}
	workers, err := w.Store.Work(ctx, options, w.do)
	if err != nil {
		return err
	}
	w.workers = workers
	w.beating = make(chan struct{})
	go func() {
		defer close(w.beating)
		w.beat(w.life)
	}()
	close(w.started)
	return nil
}

// Started is closed once jobs are taken.
func (w *Worker) Started() <-chan struct{} { return w.started }

// Stop takes no further jobs, and lets those under way come to their end until soft ends. Their context is cancelled
// then: a run writes nothing more, says so in the history, and its job waits for the next process. Stop returns when
// all have ended, or hard does. It is safe to call twice, and before Start.
func (w *Worker) Stop(soft, hard context.Context) error {
	w.stopOnce.Do(func() {
		if w.workers == nil {
			return
		}
		w.stop()
		<-w.beating
		w.stopErr = w.workers.Stop(soft, hard)
	})
	return w.stopErr
}

// do does one job. An error brings it back.
func (w *Worker) do(ctx context.Context, job store.Job) error {
	switch job.Kind {
	case store.KindSync:
		return w.sync(ctx, job.Project)
	case store.KindResync:
		return w.resync(ctx, job)
	case store.KindReport:
		return w.report(ctx, job)
	default:
		// A chore may wait for minutes, and can be begun again at any time: it does not keep the process from stopping.
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(w.life, cancel)()
		return w.chore(ctx, job.Chore)
	}
}

// sync runs the project. Whatever the run found is in the history; when it is tried again is the store's to say.
func (w *Worker) sync(ctx context.Context, project int64) error {
	trigger, err := w.Store.WantedBy(ctx, project)
	if err != nil {
		return err
	}
	w.run(ctx, project, trigger, func(ctx context.Context, p *sync.Pipeline, ref contactsync.ProjectRef) contactsync.Run {
		return p.Sync(ctx, ref, trigger)
	})
	if ctx.Err() == nil {
		return nil
	}
	// The run was stopped with its process: the next one goes on at once.
	return errors.Join(ctx.Err(), w.Store.Want(context.WithoutCancel(ctx), trigger, project))
}

// run lets a run be followed, from before it has begun.
func (w *Worker) run(ctx context.Context, project int64, trigger contactsync.Trigger,
	do func(context.Context, *sync.Pipeline, contactsync.ProjectRef) contactsync.Run,
) {
	begun := contactsync.Run{ID: w.Pipeline.NewID(), Project: contactsync.ProjectRef(strconv.FormatInt(project, 10)), Trigger: trigger}
	ctx, watch := w.Watch(ctx, begun)
	pipeline := w.Pipeline.Watched(watch)
	pipeline.NewID = func() string { return begun.ID }
	watch.Finish(do(contactsync.WithProgress(ctx, watch.Progress), pipeline, begun.Project))
}

// chore does what happens by itself. Of all processes one does it.
func (w *Worker) chore(ctx context.Context, name string) error {
	do, known := map[string]func(context.Context) error{
		store.ChoreSweep: w.fillSweep,
		store.ChoreJudge: w.judgeSweep,
		store.ChoreHooks: w.lookAtHooks,
		store.ChorePrune: w.prune,

		store.ChoreNotices: w.tellOperators,
	}[name]
	if !known {
		return fmt.Errorf("there is no chore %q in this version", name)
	}
	return w.Store.HoldChore(ctx, name, do)
}

func (w *Worker) prune(ctx context.Context) error {
	deleted, err := w.Store.Prune(ctx, w.Keep)
	if err != nil {
		return err
	}
	if deleted > 0 {
		w.Log.Info("deleted what is too old", "rows", deleted)
	}
	return w.Store.Done(ctx, store.ChorePrune)
}

// beat does at intervals what happens by itself, until the context ends. What fails is told once, and tried again at
// the next beat.
func (w *Worker) beat(ctx context.Context) {
	var nudged time.Time
	var trouble string
	for {
		err := w.beatOnce(ctx, &nudged)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && trouble != "":
			w.Log.Info("the queue is looked after again")
			trouble = ""
		case err != nil && err.Error() != trouble:
			trouble = err.Error()
			w.Log.Error("looking after the queue failed; it is tried again", "error", trouble)
		}
		if w.Wait(ctx, beatEvery) != nil {
			return
		}
	}
}

func (w *Worker) beatOnce(ctx context.Context, nudged *time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, beatTime)
	defer cancel()
	if err := w.Store.Beat(ctx); err != nil {
		return err
	}
	err := w.beginSweep(ctx)
	now := w.Now()
	if now.Sub(*nudged) < nudgeEvery {
		return err
	}
	*nudged = now
	return errors.Join(err, w.Store.NudgeSweep(ctx), w.askForPruning(ctx), w.askForHooks(ctx), w.askForNotices(ctx))
}

func (w *Worker) askForPruning(ctx context.Context) error {
	last, err := w.Store.LastDone(ctx, store.ChorePrune)
	if err != nil || w.Now().Sub(last) < pruneEvery {
		return err
	}
	return w.Store.AskFor(ctx, store.ChorePrune)
}
