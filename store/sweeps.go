package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"contactsync"
)

// SweepState is how far a scheduled sweep is.
type SweepState string

// The states of a sweep, in their order; passed and held are its two ends.
const (
	SweepListing SweepState = "listing" // its projects are still to be found
	SweepRunning SweepState = "running"
	SweepPassed  SweepState = "passed" // removals were let through
	SweepHeld    SweepState = "held"   // removals wait for approvals: the desk is suspect
)

// Sweep is one scheduled passage over all linked projects.
type Sweep struct {
	ID       string
	Tick     time.Time // when the schedule wanted it
	State    SweepState
	Projects int64
	Losses   Losses
	Started  time.Time
	Finished time.Time
}

// Losses are what a sweep's runs would have removed.
type Losses struct {
	Organizations int // that would lose members
	Removals      int
	Members       int // of all organizations
}

// Linked is one project of a sweep: when it is due, and the organization that carries it. No organization: it is to be
// found out, because several carry it.
type Linked struct {
	Project      int64
	Organization contactsync.Organization
	Due          time.Time
}

// LastTick returns the last moment of the schedule that a sweep was begun for. Where there was none yet, it remembers
// and returns now: a new schedule begins with its next moment.
func (s *Store) LastTick(ctx context.Context) (tick time.Time, err error) {
	err = s.write(ctx, "reading the last sweep", func(tx tx) (err error) {
		if tick, err = lastDone(ctx, tx, s.scheduleName()); err != nil || !tick.IsZero() {
			return err
		}
		tick = s.options.Now()
		return saveDone(ctx, tx, s.scheduleName(), tick)
	})
	return tick, err
}

func (s *Store) scheduleName() string { return "schedule " + s.options.Desk }

// BeginSweep begins the sweep of that moment, unless it was begun already or another one is under way; the moment then
// stays due.
func (s *Store) BeginSweep(ctx context.Context, tick time.Time) (begun bool, err error) {
	err = s.write(ctx, "beginning a sweep", func(tx tx) error {
		begun = false
		var under int64
		if err := tx.row(ctx, `SELECT COUNT(*) FROM sweep WHERE desk = $1 AND (finished_at = 0 OR tick >= $2)`,
			s.options.Desk, millis(tick)).Scan(&under); err != nil || under > 0 {
			return err
		}
		n, err := tx.exec(ctx, `INSERT INTO sweep (id, desk, tick, state, projects, losing, removals, members, started_at, finished_at)
			VALUES ($1, $2, $3, $4, 0, 0, 0, 0, $5, 0) ON CONFLICT (desk, tick) DO NOTHING`,
			s.options.NewID(), s.options.Desk, millis(tick), string(SweepListing), millis(s.options.Now()))
		if err != nil || n == 0 {
			return err
		}
		begun = true
		if err := saveDone(ctx, tx, s.scheduleName(), tick); err != nil {
			return err
		}
		return s.queue.insert(ctx, tx, insertion{Job: Job{Kind: KindChore, Chore: ChoreSweep}})
	})
	return begun, err
}

// OpenSweep returns the sweep that has not ended; the zero Sweep where there is none.
func (s *Store) OpenSweep(ctx context.Context) (sweep Sweep, err error) {
	err = s.read(ctx, "reading the sweep under way", func(tx tx) (err error) {
		sweep, err = readSweep(ctx, tx, `desk = $1 AND finished_at = 0 ORDER BY tick LIMIT 1`, s.options.Desk)
		return err
	})
	return sweep, err
}

func readSweep(ctx context.Context, tx tx, where string, values ...any) (Sweep, error) {
	var sweep Sweep
	var tick, started, finished int64
	err := tx.row(ctx, `SELECT id, tick, state, projects, losing, removals, members, started_at, finished_at FROM sweep WHERE `+where,
		values...).Scan(&sweep.ID, &tick, &sweep.State, &sweep.Projects, &sweep.Losses.Organizations, &sweep.Losses.Removals,
		&sweep.Losses.Members, &started, &finished)
	if errors.Is(err, sql.ErrNoRows) {
		return Sweep{}, nil
	}
	sweep.Tick, sweep.Started, sweep.Finished = instant(tick), instant(started), instant(finished)
	return sweep, err
}

// sweepBatch is how many projects of a sweep are stored in one transaction, so that hooks need not wait long.
const sweepBatch = 200

// FillSweep stores the projects of a sweep and asks for their runs. After an error it may be called again, with the
// same projects or others; each is run once. A sweep without projects is at its end.
func (s *Store) FillSweep(ctx context.Context, sweep string, projects []Linked) error {
	doing := "storing the projects of sweep " + sweep
	for start := 0; start < len(projects); start += sweepBatch {
		batch := projects[start:min(start+sweepBatch, len(projects))]
		if err := s.writeHeld(ctx, doing, func(tx tx) error {
			rows := make([][]any, len(batch))
			jobs := make([]insertion, len(batch))
			for i, p := range batch {
				rows[i] = []any{sweep, p.Project, p.Organization.ID, p.Organization.Name, millis(p.Due), false, 0, 0}
				jobs[i] = s.due(Job{Kind: KindResync, Sweep: sweep, Project: p.Project}, p.Due)
			}
			if err := insertRows(ctx, tx, `INSERT INTO sweep_project (sweep, project, organization, organization_name, due_at, done,
				members, removals) VALUES `, rows, ` ON CONFLICT (sweep, project) DO NOTHING`); err != nil {
				return err
			}
			return s.queue.insert(ctx, tx, jobs...)
		}); err != nil {
			return err
		}
	}
	return s.writeHeld(ctx, doing, func(tx tx) error {
		if _, err := tx.exec(ctx, `UPDATE sweep SET state = $1, projects = (SELECT COUNT(*) FROM sweep_project WHERE sweep = $2)
			WHERE id = $2 AND state = $3`, string(SweepRunning), sweep, string(SweepListing)); err != nil {
			return err
		}
		return s.askToJudge(ctx, tx, sweep)
	})
}

// askToJudge queues the judgement of a sweep once all its projects are through. The sweep's row is touched first: of two
// projects that come through last at the same moment, one then sees the other.
func (s *Store) askToJudge(ctx context.Context, tx tx, sweep string) error {
	if _, err := tx.exec(ctx, `UPDATE sweep SET tick = tick WHERE id = $1`, sweep); err != nil {
		return err
	}
	var left int64
	err := tx.row(ctx, `SELECT COUNT(*) FROM sweep w LEFT JOIN sweep_project p ON p.sweep = w.id AND NOT p.done
		WHERE w.id = $1 AND (p.project IS NOT NULL OR w.state <> $2)`, sweep, string(SweepRunning)).Scan(&left)
	if err != nil || left > 0 {
		return err
	}
	return s.queue.insert(ctx, tx, insertion{Job: Job{Kind: KindChore, Chore: ChoreJudge}})
}

// NudgeSweep asks again for what the sweep under way waits for, in case a job got lost: its projects, or its judgement.
func (s *Store) NudgeSweep(ctx context.Context) error {
	return s.write(ctx, "looking after the sweep under way", func(tx tx) error {
		sweep, err := readSweep(ctx, tx, `desk = $1 AND finished_at = 0 ORDER BY tick LIMIT 1`, s.options.Desk)
		switch {
		case err != nil || sweep.ID == "":
			return err
		case sweep.State == SweepListing:
			return s.queue.insert(ctx, tx, insertion{Job: Job{Kind: KindChore, Chore: ChoreSweep}})
		default:
			return s.askToJudge(ctx, tx, sweep.ID)
		}
	})
}

// SweepProject returns a project of a sweep; done tells that its run is through, or that the sweep is over.
func (s *Store) SweepProject(ctx context.Context, sweep string, project int64) (linked Linked, done bool, err error) {
	err = s.read(ctx, fmt.Sprintf("reading project %d of sweep %s", project, sweep), func(tx tx) error {
		linked, done = Linked{Project: project}, true
		var due int64
		err := tx.row(ctx, `SELECT p.organization, p.organization_name, p.due_at, p.done OR w.finished_at > 0
			FROM sweep_project p JOIN sweep w ON w.id = p.sweep WHERE p.sweep = $1 AND p.project = $2`, sweep, project).
			Scan(&linked.Organization.ID, &linked.Organization.Name, &due, &done)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		linked.Due = instant(due)
		return err
	})
	return linked, done, err
}

// ThroughSweep remembers that a project's run within a sweep is through, and what it would have removed. The last one
// asks for the judgement.
func (s *Store) ThroughSweep(ctx context.Context, sweep string, project int64, members, removals int) error {
	return s.write(ctx, fmt.Sprintf("recording project %d of sweep %s", project, sweep), func(tx tx) error {
		if _, err := tx.exec(ctx, `UPDATE sweep_project SET done = true, members = $1, removals = $2
			WHERE sweep = $3 AND project = $4 AND NOT done`, members, removals, sweep, project); err != nil {
			return err
		}
		return s.askToJudge(ctx, tx, sweep)
	})
}

// JudgeSweep ends the sweep that is under way, if all its projects are through: pass is given what would be removed in
// all, and tells whether it may be. If so, the projects with removals are run again, in the regular way.
func (s *Store) JudgeSweep(ctx context.Context, pass func(Losses) bool) (ended Sweep, err error) {
	err = s.writeHeld(ctx, "judging a sweep", func(tx tx) error {
		ended = Sweep{}
		sweep, err := readSweep(ctx, tx, `desk = $1 AND state = $2 ORDER BY tick LIMIT 1`, s.options.Desk, string(SweepRunning))
		if err != nil || sweep.ID == "" {
			return err
		}
		var left int64
		if err := tx.row(ctx, `SELECT COUNT(CASE WHEN NOT done THEN 1 END), COUNT(CASE WHEN removals > 0 THEN 1 END),
				CAST(COALESCE(SUM(removals), 0) AS BIGINT), CAST(COALESCE(SUM(members), 0) AS BIGINT) FROM sweep_project WHERE sweep = $1`, sweep.ID).
			Scan(&left, &sweep.Losses.Organizations, &sweep.Losses.Removals, &sweep.Losses.Members); err != nil || left > 0 {
			return err
		}
		sweep.State, sweep.Finished = SweepHeld, s.options.Now()
		if pass(sweep.Losses) {
			sweep.State = SweepPassed
			if err := s.wantRemovals(ctx, tx, sweep.ID); err != nil {
				return err
			}
		}
		ended = sweep
		_, err = tx.exec(ctx, `UPDATE sweep SET state = $1, losing = $2, removals = $3, members = $4, finished_at = $5 WHERE id = $6`,
			string(sweep.State), sweep.Losses.Organizations, sweep.Losses.Removals, sweep.Losses.Members, millis(sweep.Finished), sweep.ID)
		return err
	})
	return ended, err
}

func (s *Store) wantRemovals(ctx context.Context, tx tx, sweep string) error {
	var projects []int64
	if err := queryAll(ctx, tx, `SELECT project FROM sweep_project WHERE sweep = $1 AND removals > 0 ORDER BY project`,
		[]any{sweep}, func(row scanner) error {
			var project int64
			err := row.Scan(&project)
			projects = append(projects, project)
			return err
		}); err != nil {
		return err
	}
	for _, project := range projects {
		if _, err := s.want(ctx, tx, project, contactsync.TriggerSchedule); err != nil {
			return err
		}
	}
	return nil
}
