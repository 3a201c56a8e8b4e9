package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"contactsync"
)

// State is what a project is waiting for.
type State string

// The states. A project that waits for nothing has none.
const (
	StateRunning     State = "running"     // a run is under way
	StateWaiting     State = "waiting"     // a run is owed and has not begun
	StateQuarantined State = "quarantined" // it has failed for the same reason for a day, and is tried every few hours
	StateRetrying    State = "retrying"    // it failed, and is tried again by itself
	StateHeld        State = "held"        // changes wait for an approval
)

// Standing is a project that waits for something.
type Standing struct {
	Project  contactsync.ProjectRef `json:"project"`
	State    State                  `json:"state"`
	Since    time.Time              `json:"since,omitzero"`     // waiting, failing or held
	Error    contactsync.Class      `json:"error,omitempty"`    // why it is tried again
	Failures int64                  `json:"failures,omitempty"` // runs in a row that ended so
	RetryAt  time.Time              `json:"retry_at,omitzero"`
	Held     int64                  `json:"held,omitempty"` // changes that wait for an approval
	Run      string                 `json:"run,omitempty"`  // the last one that ended
}

// Standings returns the projects that wait for something, the one with that number alone unless it is "".
func (s *Store) Standings(ctx context.Context, project contactsync.ProjectRef) ([]Standing, error) {
	standings := []Standing{}
	err := s.read(ctx, "reading how projects stand", func(tx tx) error {
		standings = standings[:0]
		clock, err := s.leaseClock(ctx, tx)
		if err != nil {
			return err
		}
		query := `SELECT p.project, p.wanted > p.done, p.wanted_at, p.run, p.error_class, p.ended_at, p.held, p.failures, p.failing_since,
				p.retry_at, COALESCE(l.expires_at, 0) > $1
			FROM project p LEFT JOIN lease l ON l.project = p.project
			WHERE (p.wanted > p.done OR p.retry_at > 0 OR p.held > 0 OR l.expires_at > $1)`
		values := []any{clock}
		if project != "" {
			id, _ := project.ID()
			query, values = query+` AND p.project = $2`, append(values, id)
		}
		return queryAll(ctx, tx, query+` ORDER BY p.project`, values, func(row scanner) error {
			var id, wantedAt, endedAt, failingSince, retryAt int64
			var owed, leased bool
			var found Standing
			if err := row.Scan(&id, &owed, &wantedAt, &found.Run, &found.Error, &endedAt, &found.Held, &found.Failures,
				&failingSince, &retryAt, &leased); err != nil {
				return err
			}
			found.Project, found.RetryAt = contactsync.ProjectRef(strconv.FormatInt(id, 10)), instant(retryAt)
			failing := standing{failures: found.Failures, since: instant(failingSince), retryAt: found.RetryAt}
			switch {
			case leased:
				found.State = StateRunning
			case owed:
				found.State, found.Since = StateWaiting, instant(wantedAt)
			case failing.quarantined(s.options.Now()):
				found.State, found.Since = StateQuarantined, failing.since
			case retryAt > 0:
				found.State, found.Since = StateRetrying, failing.since
			default:
				found.State, found.Since = StateHeld, instant(endedAt)
			}
			standings = append(standings, found)
			return nil
		})
	})
	return standings, err
}

// Overview counts what there is to see of the queue.
type Overview struct {
	Projects      map[State]int
	HeldChanges   int64
	OldestWaiting time.Duration // how long the run that is owed longest has been waiting
	Sweep         Sweep         // the newest
	SweepLeft     int64         // its projects that are still to be run
	SweepEnded    time.Time     // when the last one that came to its end did
	HooksDisabled int64
	Reports       int64     // that are still to be told on the forge, or are tried again
	ReportsLost   int64     // that were given up, and of which nothing was told since; merge requests of the last day alone
	Notices       int64     // deliveries to operators that wait
	Pruned        time.Time // when the last pruning ended
}

// Overview returns the counts of this moment.
func (s *Store) Overview(ctx context.Context) (Overview, error) {
	overview := Overview{Projects: map[State]int{}}
	standings, err := s.Standings(ctx, "")
	if err != nil {
		return overview, err
	}
	now := s.options.Now()
	for _, found := range standings {
		overview.Projects[found.State]++
		overview.HeldChanges += found.Held
		if found.State == StateWaiting {
			overview.OldestWaiting = max(overview.OldestWaiting, now.Sub(found.Since))
		}
	}
	err = s.read(ctx, "reading the state of the queue", func(tx tx) error {
		var err error
		if overview.Sweep, err = readSweep(ctx, tx, `desk = $1 ORDER BY tick DESC LIMIT 1`, s.options.Desk); err != nil {
			return err
		}
		var ended int64
		if err := tx.row(ctx, `SELECT COALESCE(MAX(finished_at), 0) FROM sweep WHERE desk = $1`, s.options.Desk).Scan(&ended); err != nil {
			return err
		}
		overview.SweepEnded = instant(ended)
		if err := tx.row(ctx, `SELECT COUNT(*) FROM sweep_project WHERE sweep = $1 AND NOT done`, overview.Sweep.ID).
			Scan(&overview.SweepLeft); err != nil {
			return err
		}
		if err := tx.row(ctx, `SELECT COUNT(*) FROM hook WHERE disabled`).Scan(&overview.HooksDisabled); err != nil {
			return err
		}
		if err := tx.row(ctx, `SELECT COUNT(*) FROM notice_delivery WHERE state = 'waiting'`).Scan(&overview.Notices); err != nil {
			return err
		}
		if err := s.countReports(ctx, tx, &overview); err != nil {
			return err
		}
		overview.Pruned, err = lastDone(ctx, tx, ChorePrune)
		return err
	})
	return overview, err
}

// settle writes into the project's row how it stands after a run that has ended under its lease.
func (s *Store) settle(ctx context.Context, tx tx, run contactsync.Run, generation int64) error {
	project, ok := run.Project.ID()
	if !ok {
		return nil
	}
	now := s.options.Now()
	var before standing
	var since, retryAt int64
	err := tx.row(ctx, `SELECT error_class, failures, failing_since, retry_at FROM project WHERE project = $1`, project).
		Scan(&before.class, &before.failures, &since, &retryAt)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	before.since, before.retryAt = instant(since), instant(retryAt)
	next := before.after(run, now, rand.Float64()) //nolint:gosec // jitter, not a secret
	var synced, contacts int64
	if good(run.Status) {
		synced, contacts = millis(run.Finished), int64(run.Contacts)
	}
	_, err = tx.exec(ctx, `INSERT INTO project (project, wanted, done, wanted_at, wanted_by, run, status, error_class, ended_at, held,
			failures, failing_since, retry_at, synced_at, contacts) VALUES ($1, $2, $2, 0, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
		ON CONFLICT (project) DO UPDATE SET done = CASE WHEN excluded.done > project.done THEN excluded.done ELSE project.done END,
			run = excluded.run, status = excluded.status, error_class = excluded.error_class, ended_at = excluded.ended_at,
			held = excluded.held, failures = excluded.failures, failing_since = excluded.failing_since, retry_at = excluded.retry_at,
			synced_at = CASE WHEN excluded.synced_at > 0 THEN excluded.synced_at ELSE project.synced_at END,
			contacts = CASE WHEN excluded.synced_at > 0 THEN excluded.contacts ELSE project.contacts END`,
		project, generation, string(run.Trigger), run.ID, string(run.Status), string(next.class), millis(run.Finished),
		run.Summary.Held, next.failures, millis(next.since), millis(next.retryAt), synced, contacts)
	if err != nil {
		return err
	}
	if err := s.reportEnd(ctx, tx, project, run); err != nil || next.retryAt.IsZero() {
		return err
	}
	return s.queue.insert(ctx, tx, s.due(Job{Kind: KindSync, Project: project}, next.retryAt))
}

// generationOf reads what is wanted of a project now.
func generationOf(ctx context.Context, tx tx, project contactsync.ProjectRef) (generation int64, err error) {
	id, ok := project.ID()
	if !ok {
		return 0, nil
	}
	err = tx.row(ctx, `SELECT wanted FROM project WHERE project = $1`, id).Scan(&generation)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return generation, err
}

// due is what a project's row says of its next run.
type due struct {
	wanted, done int64
	by           contactsync.Trigger
	retryAt      time.Time
}

// now tells whether a run is due.
func (d due) now(at time.Time) bool {
	return d.wanted > d.done || !d.retryAt.IsZero() && !d.retryAt.After(at)
}

const (
	lookDue = `SELECT wanted, done, wanted_by, retry_at FROM project WHERE project = $1`
	// lockDue keeps the row as it is until the transaction ends: who wants a run meanwhile waits.
	lockDue = `UPDATE project SET wanted = wanted WHERE project = $1 RETURNING wanted, done, wanted_by, retry_at`
)

func readDue(ctx context.Context, tx tx, query string, project int64) (due, error) {
	var d due
	var retryAt int64
	err := tx.row(ctx, query, project).Scan(&d.wanted, &d.done, &d.by, &retryAt)
	if errors.Is(err, sql.ErrNoRows) {
		return due{}, nil
	}
	d.retryAt = instant(retryAt)
	return d, err
}

// WantedBy returns what asked last for a run of the project.
func (s *Store) WantedBy(ctx context.Context, project int64) (contactsync.Trigger, error) {
	var d due
	err := s.read(ctx, fmt.Sprintf("reading who wants a run of project %d", project), func(tx tx) (err error) {
		d, err = readDue(ctx, tx, lookDue, project)
		return err
	})
	return cmp.Or(d.by, contactsync.TriggerHook), err
}
