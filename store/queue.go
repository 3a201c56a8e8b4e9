package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
)

// Kind is what a job is about.
type Kind string

// The kinds of jobs. Each has workers of its own, so that a sweep never makes a push wait.
const (
	KindSync   Kind = "sync"   // a run of a project that somebody or something asked for
	KindResync Kind = "resync" // a project's run within a scheduled sweep
	KindChore  Kind = "chore"  // something that happens by itself from time to time
	KindReport Kind = "report" // telling people on the forge
)

// Job is one piece of work, as the queue hands it out. It carries no state: whoever works on it reads the newest.
type Job struct {
	Kind    Kind
	Project int64  // sync, resync, report
	Request int64  // report: a merge request's number; 0: how runs ended
	Sweep   string // resync: the sweep's id
	Chore   string // chore: its name
}

// key names what two jobs that are the same have in common.
func (j Job) key() string {
	switch j.Kind {
	case KindChore:
		return j.Chore
	case KindResync:
		return fmt.Sprintf("%s/%d", j.Sweep, j.Project)
	case KindReport:
		return fmt.Sprintf("%d/%d", j.Project, j.Request)
	default:
		return fmt.Sprint(j.Project)
	}
}

// uniqueStates: at most one job of a key waits or runs. A retried one is not among them, so that new work need not
// wait until an old failure is due again.
var uniqueStates = []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning, rivertype.JobStateScheduled,
}

// maxAttempts is for jobs whose work could not be settled, because the store failed, say. What a run finds wrong is
// no failed attempt. Beat brings back what has used all of them up.
const maxAttempts = 25

// arguments are a Job as River keeps it. The kind is River's own, so one type serves them all.
type arguments struct {
	Key     string `json:"key" river:"unique"`
	Project int64  `json:"project,omitempty"`
	Request int64  `json:"request,omitempty"`
	Sweep   string `json:"sweep,omitempty"`
	Chore   string `json:"chore,omitempty"`

	kind Kind
}

// River finds the worker of a job by the kind, and the kind by the type of its arguments.
type (
	syncArguments   struct{ arguments }
	resyncArguments struct{ arguments }
	choreArguments  struct{ arguments }
	reportArguments struct{ arguments }
)

func (syncArguments) Kind() string   { return string(KindSync) }
func (resyncArguments) Kind() string { return string(KindResync) }
func (choreArguments) Kind() string  { return string(KindChore) }
func (reportArguments) Kind() string { return string(KindReport) }

func (a arguments) job() Job {
	return Job{Kind: a.kind, Project: a.Project, Request: a.Request, Sweep: a.Sweep, Chore: a.Chore}
}

// insertion is how a job is asked for.
type insertion struct {
	Job
	at time.Time // not before; zero: now
}

// due asks for a job at a time. River goes by the clock of its database, so what is due by ours is due at once.
func (s *Store) due(job Job, at time.Time) insertion {
	if !at.After(s.options.Now()) {
		at = time.Time{}
	}
	return insertion{Job: job, at: at}
}

func (i insertion) forRiver() river.InsertManyParams {
	a := arguments{Key: i.key(), Project: i.Project, Request: i.Request, Sweep: i.Sweep, Chore: i.Chore}
	var args river.JobArgs
	switch i.Kind {
	case KindResync:
		args = resyncArguments{a}
	case KindChore:
		args = choreArguments{a}
	case KindReport:
		args = reportArguments{a}
	default:
		args = syncArguments{a}
	}
	return river.InsertManyParams{Args: args, InsertOpts: &river.InsertOpts{
		Queue: string(i.Kind), ScheduledAt: i.at, MaxAttempts: maxAttempts,
		UniqueOpts: river.UniqueOpts{ByArgs: true, ByState: uniqueStates},
	}}
}

// queue is River on one of the two databases: what a Store needs of it, within transactions of the Store.
type queue interface {
	// insert asks for jobs. One that is there already is not asked for twice; where that one sleeps, and the new one
	// is wanted earlier, it is woken.
	insert(ctx context.Context, tx tx, jobs ...insertion) error
	// running lists jobs that are being worked on, here or elsewhere, and were begun before.
	running(ctx context.Context, tx tx, before time.Time) ([]runningJob, error)
	// requeue puts another job in the place of one whose worker is known to be dead.
	requeue(ctx context.Context, tx tx, job runningJob) error
	// work begins to hand jobs out, see Work. settle is called between a failure and what River makes of it.
	work(ctx context.Context, options WorkOptions, handle handler, settle func(ctx context.Context, id int64)) (*Workers, error)
}

type runningJob struct {
	Job
	id      int64
	attempt int
}

// handler does one job. It is given finish, which completes the job within a transaction of the store; after an error
// the job is tried again later.
type handler func(ctx context.Context, job Job, finish func(tx) error) error

// riverQueue is a queue by a driver and the type of its transactions.
type riverQueue[D riverdriver.Driver[T], T any] struct {
	driver func() D
	client *river.Client[T] // only inserts
	unwrap func(tx) T
	// exclusive is held while this process works, and nobody else does; nil where many may.
	exclusive func() (release func() error, err error)
	// revive is SQLite's: what a dead process left behind is made available.
	revive func(context.Context) error
}

func newSQLiteQueue(writer *sql.DB, path string) (queue, error) {
	q := &riverQueue[*riversqlite.Driver, *sql.Tx]{
		driver:    func() *riversqlite.Driver { return riversqlite.New(writer) },
		unwrap:    func(t tx) *sql.Tx { return t.(sqliteTx).Tx }, //nolint:errcheck // a queue serves its own store
		exclusive: func() (func() error, error) { return lockFile(path + ".lock") },
		revive:    func(ctx context.Context) error { return reviveSQLite(ctx, writer) },
	}
	return q, q.open()
}

func newPostgresQueue(pool *pgxpool.Pool) (queue, error) {
	q := &riverQueue[*riverpgxv5.Driver, pgx.Tx]{
		driver: func() *riverpgxv5.Driver { return riverpgxv5.New(pool) },
		unwrap: func(t tx) pgx.Tx { return t.(postgresTx).Tx }, //nolint:errcheck // a queue serves its own store
	}
	return q, q.open()
}

func (q *riverQueue[D, T]) open() (err error) {
	q.client, err = river.NewClient(q.driver(), &river.Config{Logger: slog.New(slog.DiscardHandler)})
	return err
}

// migrateQueue brings River's own tables to the version that this program was built with.
func migrateQueue[T any](ctx context.Context, driver riverdriver.Driver[T]) error {
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

// insertBatch bounds one statement.
const insertBatch = 500

func (q *riverQueue[D, T]) insert(ctx context.Context, t tx, jobs ...insertion) error {
	for len(jobs) > 0 {
		batch := jobs[:min(insertBatch, len(jobs))]
		jobs = jobs[len(batch):]
		params := make([]river.InsertManyParams, len(batch))
		for i, job := range batch {
			params[i] = job.forRiver()
		}
		results, err := q.client.InsertManyTx(ctx, q.unwrap(t), params)
		if err != nil {
			return fmt.Errorf("queueing: %w", err)
		}
		for i, result := range results {
			sleeps := result.UniqueSkippedAsDuplicate && result.Job.State == rivertype.JobStateScheduled
			if !sleeps || !batch[i].at.Before(result.Job.ScheduledAt) {
				continue
			}
			if _, err := q.client.JobRetryTx(ctx, q.unwrap(t), result.Job.ID); err != nil {
				return fmt.Errorf("waking a job: %w", err)
			}
		}
	}
	return nil
}

func (q *riverQueue[D, T]) running(ctx context.Context, t tx, before time.Time) ([]runningJob, error) {
	const most = 1000
	params := river.NewJobListParams().States(rivertype.JobStateRunning).First(most)
	list, err := q.client.JobListTx(ctx, q.unwrap(t), params)
	if err != nil {
		return nil, fmt.Errorf("listing jobs: %w", err)
	}
	var found []runningJob
	for _, row := range list.Jobs {
		var a arguments
		if row.AttemptedAt == nil || !row.AttemptedAt.Before(before) || json.Unmarshal(row.EncodedArgs, &a) != nil {
			continue
		}
		a.kind = Kind(row.Kind)
		found = append(found, runningJob{Job: a.job(), id: row.ID, attempt: row.Attempt})
	}
	return found, nil
}

// requeue puts another job in the place of one whose worker is known to be dead, because River itself waits for its own
// time-out, which is far longer than a lease. River's row is changed by hand. The attempt makes sure that nobody has taken
// the job up meanwhile. The old row gets a final state: should its worker come back to life after all, River takes any
// other one for a defect of its own, and ends the process.
func (q *riverQueue[D, T]) requeue(ctx context.Context, t tx, job runningJob) error {
	n, err := t.exec(ctx, `UPDATE river_job SET state = 'cancelled', finalized_at = CURRENT_TIMESTAMP
		WHERE id = $1 AND state = 'running' AND attempt = $2`, job.id, job.attempt)
	if err != nil || n == 0 {
		return err
	}
	return q.insert(ctx, t, insertion{Job: job.Job})
}

// reviveSQLite makes available what a dead process was working on, and gives back what it held. Only whoever holds the
// file's lock may do that: there is no other process that works then.
func reviveSQLite(ctx context.Context, writer *sql.DB) error {
	for _, statement := range []string{
		`UPDATE river_job SET state = 'available' WHERE state = 'running'`,
		`DELETE FROM river_leader`,
		`UPDATE lease SET expires_at = 0 WHERE holder LIKE '` + workHolder + `%'`,
	} {
		if _, err := writer.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// WorkOptions are how many jobs of each kind are worked on at once, and where River reports.
type WorkOptions struct {
	Runs    int // sync
	Resyncs int // resync
	Chores  int // chore
	Reports int // report; 0 where this process tells nobody anything
	// Timeout ends a job that hangs. It is well above what the longest run takes.
	Timeout time.Duration
	Log     *slog.Logger
}

// Workers hand out jobs until they are stopped.
type Workers struct {
	stop   func(ctx context.Context) error
	cancel func(ctx context.Context) error
	free   func() error
}

// Stop takes no further jobs and waits for those under way. When the context ends, theirs is cancelled; Stop still
// waits for them to come to their end, at most until the second context ends. It is safe to call twice.
func (w *Workers) Stop(soft, hard context.Context) error {
	err := w.stop(soft)
	if err != nil && soft.Err() != nil {
		err = w.cancel(hard)
	}
	return errors.Join(err, w.free())
}

func (q *riverQueue[D, T]) work(ctx context.Context, options WorkOptions, handle handler, settle func(context.Context, int64)) (_ *Workers, err error) {
	free := func() error { return nil }
	if q.exclusive != nil {
		if free, err = q.exclusive(); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, free())
		}
	}()
	if q.revive != nil {
		if err := q.revive(ctx); err != nil {
			return nil, fmt.Errorf("reviving jobs: %w", err)
		}
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &riverWorker[syncArguments, D, T]{handle: handle, unwrap: q.unwrap, settle: settle})
	river.AddWorker(workers, &riverWorker[resyncArguments, D, T]{handle: handle, unwrap: q.unwrap, settle: settle})
	river.AddWorker(workers, &riverWorker[choreArguments, D, T]{handle: handle, unwrap: q.unwrap, settle: settle})
	river.AddWorker(workers, &riverWorker[reportArguments, D, T]{handle: handle, unwrap: q.unwrap, settle: settle})
	queues := map[string]river.QueueConfig{
		string(KindSync):   {MaxWorkers: options.Runs},
		string(KindResync): {MaxWorkers: options.Resyncs},
		string(KindChore):  {MaxWorkers: options.Chores},
	}
	if options.Reports > 0 {
		queues[string(KindReport)] = river.QueueConfig{MaxWorkers: options.Reports}
	}
	client, err := river.NewClient(q.driver(), &river.Config{
		Workers:           workers,
		Queues:            queues,
		FetchCooldown:     fetchCooldown,
		FetchPollInterval: fetchPoll,
		JobTimeout:        options.Timeout,
		// Beat is quicker, by the leases. This is for what it cannot see.
		RescueStuckJobsAfter: 2 * options.Timeout,
		RetryPolicy:          retryPolicy{},
		Logger:               newRiverLog(options.Log),
	})
	if err != nil {
		return nil, err
	}
	// The context that River starts with would cancel every run at once when it ends. Stop does that, in its time.
	if err := client.Start(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	return &Workers{stop: client.Stop, cancel: client.StopAndCancel, free: free}, nil
}

const (
	// fetchCooldown is how soon after one look for jobs the next may follow: a hook's run begins within it.
	fetchCooldown = 20 * time.Millisecond
	// fetchPoll is how often is looked without being told.
	fetchPoll = time.Second
)

// riverLog lets of what River says only warnings through, and each of them once a minute: it repeats itself several
// times a second while the store is away.
type riverLog struct {
	slog.Handler
	mu   *sync.Mutex
	said map[string]time.Time // by message
}

func newRiverLog(log *slog.Logger) *slog.Logger {
	return slog.New(riverLog{log.Handler(), new(sync.Mutex), map[string]time.Time{}})
}

func (h riverLog) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

func (h riverLog) Handle(ctx context.Context, record slog.Record) error {
	h.mu.Lock()
	again := record.Time.Sub(h.said[record.Message]) < time.Minute
	if !again {
		h.said[record.Message] = record.Time
	}
	h.mu.Unlock()
	if again {
		return nil
	}
	return h.Handler.Handle(ctx, record)
}

// retryPolicy is for jobs that could not be settled: from one second, doubling to a minute.
type retryPolicy struct{}

func (retryPolicy) NextRetry(job *rivertype.JobRow) time.Time {
	pause := min(time.Second<<min(job.Attempt, 10), time.Minute)
	return time.Now().Add(pause/2 + rand.N(pause/2)) //nolint:gosec // jitter, not a secret
}

// argued are arguments of any kind.
type argued interface {
	river.JobArgs
	job() Job
}

func (a syncArguments) job() Job   { a.kind = KindSync; return a.arguments.job() }
func (a resyncArguments) job() Job { a.kind = KindResync; return a.arguments.job() }
func (a choreArguments) job() Job  { a.kind = KindChore; return a.arguments.job() }
func (a reportArguments) job() Job { a.kind = KindReport; return a.arguments.job() }

// riverWorker is what River calls.
type riverWorker[A argued, D riverdriver.Driver[T], T any] struct {
	river.WorkerDefaults[A]
	handle handler
	unwrap func(tx) T
	settle func(ctx context.Context, id int64)
}

func (w *riverWorker[A, D, T]) Work(ctx context.Context, job *river.Job[A]) error {
	err := w.work(ctx, job)
	if err != nil {
		w.settle(ctx, job.ID)
	}
	return err
}

func (w *riverWorker[A, D, T]) work(ctx context.Context, job *river.Job[A]) error {
	return w.handle(ctx, job.Args.job(), func(t tx) error {
		// A job that was given to somebody else meanwhile, because we were taken for dead, is theirs to complete.
		outlasting := context.WithoutCancel(ctx)
		var attempt int
		err := t.row(outlasting, `SELECT attempt FROM river_job WHERE id = $1 AND state = 'running'`, job.ID).Scan(&attempt)
		if errors.Is(err, sql.ErrNoRows) || err == nil && attempt != job.Attempt {
			return nil
		}
		if err != nil {
			return err
		}
		_, err = river.JobCompleteTx[D](outlasting, w.unwrap(t), job)
		return err
	})
}
