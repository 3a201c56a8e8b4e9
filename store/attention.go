package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"contactsync"
)

// Attention is what needs a person now.
type Attention struct {
	Held        []Concern // plans with changes that wait for an approval
	Partial     []Concern // with contacts that could not be applied, and no other try to come
	Quarantined []Concern
	Hooks       []Concern // of linked projects: disabled, and could not be enabled
	Sweep       Sweep     // the last one that ended, if its removals are held; else the zero one
}

// Concern is a project that needs a person.
type Concern struct {
	Project      int64
	Organization string // its name, as the last run knew it; "" for none
	Since        time.Time
	Run          string            // held: the first of those runs, one after another, that left the same changes; partial: the last
	Changes      int64             // held: how many wait; partial: contacts
	Set          string            // partial: the same for the same contacts and reasons
	Class        contactsync.Class // quarantined: why it fails
	Failures     int64             // quarantined: how often in a row
}

// Attention returns what needs a person now. Plans that are just being run again are left out, and so are removals that
// a sweep has put back: it decides about them when all its projects are through, and where it is held, it is the concern.
func (s *Store) Attention(ctx context.Context) (Attention, error) {
	var found Attention
	err := s.read(ctx, "reading what needs a person", func(tx tx) (err error) {
		found = Attention{}
		if found.Held, err = s.heldPlans(ctx, tx); err != nil {
			return err
		}
		if found.Partial, err = s.partialRuns(ctx, tx); err != nil {
			return err
		}
		if found.Quarantined, err = s.inQuarantine(ctx, tx); err != nil {
			return err
		}
		if found.Hooks, err = s.disabledHooks(ctx, tx); err != nil {
			return err
		}
		last, err := readSweep(ctx, tx, `desk = $1 AND finished_at > 0 ORDER BY tick DESC LIMIT 1`, s.options.Desk)
		if last.State == SweepHeld {
			found.Sweep = last
		}
		return err
	})
	return found, err
}

// heldRun is a run that left held changes and was the last of its project.
type heldRun struct {
	Concern
	remainder string
	seq       int64
	started   int64
	trigger   contactsync.Trigger
}

func (s *Store) heldPlans(ctx context.Context, tx tx) (held []Concern, err error) {
	clock, err := s.leaseClock(ctx, tx)
	if err != nil {
		return nil, err
	}
	var runs []heldRun
	err = queryAll(ctx, tx, `SELECT p.project, p.held, r.organization_name, r.remainder, r.seq, r.started_at, r.started_by
		FROM project p JOIN run r ON r.id = p.run LEFT JOIN lease l ON l.project = p.project
		WHERE p.held > 0 AND p.wanted <= p.done AND COALESCE(l.expires_at, 0) <= $1 ORDER BY p.project`,
		[]any{clock}, func(row scanner) error {
			var r heldRun
			err := row.Scan(&r.Project, &r.Changes, &r.Organization, &r.remainder, &r.seq, &r.started, &r.trigger)
			runs = append(runs, r)
			return err
		})
	if err != nil {
		return nil, err
	}
	for _, r := range runs {
		ofSweep, err := s.putBack(ctx, tx, r)
		if err != nil {
			return nil, err
		}
		if ofSweep {
			continue
		}
		// A run that failed between two others says nothing about the plan.
		var since int64
		err = tx.row(ctx, `SELECT id, finished_at FROM run WHERE project = $1 AND remainder = $2 AND seq > COALESCE((
				SELECT MAX(seq) FROM run WHERE project = $1 AND remainder <> $2 AND seq < $3 AND status IN ($4, $5, $6, $7)), 0)
			ORDER BY seq LIMIT 1`, strconv.FormatInt(r.Project, 10), r.remainder, r.seq,
			string(contactsync.StatusSucceeded), string(contactsync.StatusUnchanged), string(contactsync.StatusPartial),
			string(contactsync.StatusHeld)).Scan(&r.Run, &since)
		if err != nil {
			return nil, err
		}
		r.Since = instant(since)
		held = append(held, r.Concern)
	}
	return held, nil
}

// putBack tells whether the run was one of a sweep that has not let removals through, and put removals back.
func (s *Store) putBack(ctx context.Context, tx tx, r heldRun) (bool, error) {
	if r.trigger != contactsync.TriggerSchedule {
		return false, nil
	}
	var state SweepState
	var done bool
	var removals int64
	err := tx.row(ctx, `SELECT w.state, p.done, p.removals FROM sweep_project p JOIN sweep w ON w.id = p.sweep
		WHERE p.project = $1 AND w.desk = $2 AND w.started_at <= $3 ORDER BY w.tick DESC LIMIT 1`,
		r.Project, s.options.Desk, r.started).Scan(&state, &done, &removals)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return state != SweepPassed && (!done || removals > 0), err
}

// partialRuns finds the projects whose last run left contacts undone, and which are not run again by themselves.
func (s *Store) partialRuns(ctx context.Context, tx tx) (found []Concern, err error) {
	err = queryAll(ctx, tx, `SELECT p.project, r.organization_name, r.id, r.finished_at FROM project p JOIN run r ON r.id = p.run
		WHERE p.status = $1 AND p.wanted <= p.done AND p.retry_at = 0 ORDER BY p.project`,
		[]any{string(contactsync.StatusPartial)}, func(row scanner) error {
			var c Concern
			var since int64
			err := row.Scan(&c.Project, &c.Organization, &c.Run, &since)
			c.Since = instant(since)
			found = append(found, c)
			return err
		})
	for i := range found {
		if err == nil {
			err = leftUndone(ctx, tx, &found[i])
		}
	}
	return found, err
}

// leftUndone counts the contacts that a run could not apply, and names them all in one.
func leftUndone(ctx context.Context, tx tx, c *Concern) error {
	set := sha256.New()
	err := queryAll(ctx, tx, `SELECT email, error_class FROM run_conflict WHERE run = $1
		UNION SELECT email, error_class FROM run_change WHERE run = $1 AND result = $2 ORDER BY 1, 2`,
		[]any{c.Run, string(contactsync.ResultFailed)}, func(row scanner) error {
			var email, class string
			err := row.Scan(&email, &class)
			fmt.Fprintf(set, "%q %q\n", email, class)
			c.Changes++
			return err
		})
	c.Set = hex.EncodeToString(set.Sum(nil)[:8])
	return err
}

func (s *Store) inQuarantine(ctx context.Context, tx tx) (found []Concern, err error) {
	now := s.options.Now()
	err = queryAll(ctx, tx, `SELECT p.project, COALESCE(r.organization_name, ''), p.error_class, p.failures, p.failing_since, p.retry_at
		FROM project p LEFT JOIN run r ON r.id = p.run WHERE p.retry_at > 0 AND p.failures >= $1 ORDER BY p.project`,
		[]any{quarantineFailures}, func(row scanner) error {
			var c Concern
			var since, retryAt int64
			err := row.Scan(&c.Project, &c.Organization, &c.Class, &c.Failures, &since, &retryAt)
			c.Since = instant(since)
			if (standing{failures: c.Failures, since: c.Since, retryAt: instant(retryAt)}).quarantined(now) {
				found = append(found, c)
			}
			return err
		})
	return found, err
}

func (s *Store) disabledHooks(ctx context.Context, tx tx) (found []Concern, err error) {
	err = queryAll(ctx, tx, `SELECT h.project, COALESCE(r.organization_name, ''), h.disabled_at
		FROM hook h LEFT JOIN project p ON p.project = h.project LEFT JOIN run r ON r.id = p.run
		WHERE h.disabled AND EXISTS (SELECT 1 FROM link l WHERE l.desk = $1 AND l.project = h.project) ORDER BY h.project`,
		[]any{s.options.Desk}, func(row scanner) error {
			var c Concern
			var since int64
			err := row.Scan(&c.Project, &c.Organization, &since)
			c.Since = instant(since)
			found = append(found, c)
			return err
		})
	return found, err
}
