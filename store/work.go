package store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// workHolder begins the holder of every lease that belongs to a process which works on jobs.
const workHolder = "serve:"

// errUnsettled makes River try a job again whose run left no trace.
var errUnsettled = errors.New("the run left no trace in the store")

// Work hands out jobs until it is stopped: first those that a dead process left behind. It calls do from several
// goroutines; a project's jobs are never handed out twice at once, and an error brings the job back later. After a
// run that was recorded, the store itself decides whether another follows, and when.
//
// On SQLite one process at a time may work; a second one gets an error that says so.
func (s *Store) Work(ctx context.Context, options WorkOptions, do func(context.Context, Job) error) (*Workers, error) {
	if s.queue == nil {
		return nil, explain("working on jobs", ErrReadOnly)
	}
	// By its name a lease tells that it is a working process's, see reviveSQLite.
	s.options.Holder = workHolder + s.options.Holder
	workers, err := s.queue.work(ctx, options, func(ctx context.Context, job Job, finish func(tx) error) error {
		switch job.Kind {
		case KindSync:
			return s.doSync(ctx, job, do, finish)
		case KindReport:
			return s.doReport(ctx, job, func(ctx context.Context) error { return do(ctx, job) }, finish)
		}
		if err := do(ctx, job); err != nil {
			return err
		}
		return s.write(context.WithoutCancel(ctx), "completing a job", finish)
	}, s.settleJob)
	return workers, explain("starting to work on jobs", err)
}

// settleJob waits until whatever was sent about a job has come to its end, also where its answer was lost. River completes
// jobs with a statement that sees a row as it was before a change that is just under way, takes that for a defect of its
// own, and ends the process (river_job.sql, JobSetStateIfRunningMany). It gives up when the context ends.
func (s *Store) settleJob(ctx context.Context, id int64) {
	for {
		// Changing nothing waits for everybody who is changing something.
		err := s.write(ctx, "settling a job", func(tx tx) error {
			_, err := tx.exec(ctx, `UPDATE river_job SET state = state WHERE id = $1`, id)
			return err
		})
		if err == nil || s.options.Wait(ctx, settlePause) != nil {
			return
		}
	}
}

// settlePause is between two tries to reach a store that is away.
const settlePause = time.Second

// doSync does a project's run, if one is due, and asks for the next one in the transaction that completes the job.
func (s *Store) doSync(ctx context.Context, job Job, do func(context.Context, Job) error, finish func(tx) error) error {
	doing := fmt.Sprintf("reading what is owed to project %d", job.Project)
	var before due
	if err := s.read(ctx, doing, func(tx tx) (err error) {
		before, err = readDue(ctx, tx, lookDue, job.Project)
		return err
	}); err != nil {
		return err
	}
	if before.now(s.options.Now()) {
		if err := do(ctx, job); err != nil {
			return err
		}
	}
	return s.write(context.WithoutCancel(ctx), fmt.Sprintf("completing the job of project %d", job.Project), func(tx tx) error {
		after, err := readDue(ctx, tx, lockDue, job.Project)
		if err != nil {
			return err
		}
		if after.done < before.wanted {
			return errUnsettled
		}
		if err := finish(tx); err != nil {
			return err
		}
		switch {
		case after.wanted > after.done:
			return s.queue.insert(ctx, tx, insertion{Job: job})
		case !after.retryAt.IsZero():
			return s.queue.insert(ctx, tx, s.due(job, after.retryAt))
		}
		return nil
	})
}

// beatLag is how long something may be owed before Beat looks after it: jobs are usually quicker.
const beatLag = 10 * time.Second

// beatMost bounds what one beat brings back.
const beatMost = 200

// Beat mends what the queue by itself would leave: it makes available the jobs of workers that are dead, which their
// leases tell, and asks again for runs that are owed and have no job. Any process may call it at any time; a few times
// a minute is right.
func (s *Store) Beat(ctx context.Context) error {
	return s.write(ctx, "looking after the queue", func(tx tx) error {
		now := s.options.Now()
		jobs, err := s.queue.running(ctx, tx, now.Add(-s.options.LeaseTTL))
		if err != nil {
			return err
		}
		clock, err := s.leaseClock(ctx, tx)
		if err != nil {
			return err
		}
		for _, job := range jobs {
			var alive int64
			if err := tx.row(ctx, `SELECT COUNT(*) FROM lease WHERE project = $1 AND expires_at > $2`, job.lease(), clock).
				Scan(&alive); err != nil {
				return err
			}
			if alive > 0 {
				continue
			}
			if err := s.queue.requeue(ctx, tx, job); err != nil {
				return err
			}
		}
		if err := s.reportWaits(ctx, tx, now); err != nil {
			return err
		}
		return s.bringBack(ctx, tx, millis(now.Add(-beatLag)))
	})
}

// bringBack asks for the jobs of runs that were owed before. Where a job is there, nothing happens.
func (s *Store) bringBack(ctx context.Context, tx tx, before int64) error {
	var owed []insertion
	err := queryAll(ctx, tx, `SELECT project FROM project WHERE wanted > done AND wanted_at < $1
			OR retry_at > 0 AND retry_at < $1 ORDER BY wanted_at LIMIT $2`, []any{before, beatMost}, func(row scanner) error {
		job := Job{Kind: KindSync}
		err := row.Scan(&job.Project)
		owed = append(owed, insertion{Job: job})
		return err
	})
	if err != nil {
		return err
	}
	err = queryAll(ctx, tx, `SELECT p.sweep, p.project FROM sweep_project p JOIN sweep w ON w.id = p.sweep AND w.state = $1
			WHERE NOT p.done AND p.due_at < $2 ORDER BY p.due_at LIMIT $3`,
		[]any{string(SweepRunning), before, beatMost}, func(row scanner) error {
			job := Job{Kind: KindResync}
			err := row.Scan(&job.Sweep, &job.Project)
			owed = append(owed, insertion{Job: job})
			return err
		})
	if err != nil {
		return err
	}
	reports, err := s.reportsToBringBack(ctx, tx, before)
	if owed = append(owed, reports...); err != nil || len(owed) == 0 {
		return err
	}
	return s.queue.insert(ctx, tx, owed...)
}

// What happens by itself.
const (
	ChoreSweep = "sweep" // find the linked projects of a sweep, and ask for their runs
	ChoreJudge = "judge" // all of them are through: decide about the removals
	ChoreHooks = "hooks" // look for deliveries that never arrived
	ChorePrune = "prune" // delete what is too old
	// ChoreNotices tells operators what needs a person.
	ChoreNotices = "notices"
)

// Chores are all of them, in the order of their leases.
var Chores = []string{ChoreSweep, ChoreJudge, ChoreHooks, ChorePrune, ChoreNotices}

// lease is the number under which a job is held while it is worked on: the project's, or one below zero for a chore and
// for what is told about a project.
func (j Job) lease() int64 {
	if j.Kind == KindReport {
		return reportLease - j.Project
	}
	for i, name := range Chores {
		if j.Kind == KindChore && j.Chore == name {
			return int64(-1 - i)
		}
	}
	return j.Project
}

// HoldChore is Hold for a chore: of all processes, one works on it.
func (s *Store) HoldChore(ctx context.Context, chore string, work func(context.Context) error) error {
	return s.Hold(ctx, Job{Kind: KindChore, Chore: chore}.lease(), work)
}

// AskFor queues a chore unless it is queued already.
func (s *Store) AskFor(ctx context.Context, chore string) error {
	return s.write(ctx, "queueing the chore "+chore, func(tx tx) error {
		return s.queue.insert(ctx, tx, insertion{Job: Job{Kind: KindChore, Chore: chore}})
	})
}

// LastDone returns when a chore was last done, the zero time for never.
func (s *Store) LastDone(ctx context.Context, chore string) (at time.Time, err error) {
	err = s.read(ctx, "reading when the chore "+chore+" was done", func(tx tx) (err error) {
		at, err = lastDone(ctx, tx, chore)
		return err
	})
	return at, err
}

// Done remembers that a chore was done.
func (s *Store) Done(ctx context.Context, chore string) error {
	return s.write(ctx, "remembering that the chore "+chore+" was done", func(tx tx) error {
		return saveDone(ctx, tx, chore, s.options.Now())
	})
}

func lastDone(ctx context.Context, tx tx, name string) (time.Time, error) {
	var at int64
	err := tx.row(ctx, `SELECT COALESCE(MAX(done_at), 0) FROM last_done WHERE name = $1`, name).Scan(&at)
	return instant(at), err
}

func saveDone(ctx context.Context, tx tx, name string, at time.Time) error {
	_, err := tx.exec(ctx, `INSERT INTO last_done (name, done_at) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET done_at = excluded.done_at`, name, millis(at))
	return err
}
