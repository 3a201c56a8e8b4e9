package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"contactsync"
)

// joinAge is for how long a delivery that comes again is content with the successful run that it had.
const joinAge = time.Minute

// Accept stores a delivery, the wish for a run of its project, and the job that meets it: all of them or none. Once it
// returns, the run follows, whatever happens to this process.
//
// A delivery whose key is known joins the run that is still to come, or was successful within the last minute. In any
// other case it asks for a run of its own: somebody sent it again because they want one.
func (s *Store) Accept(ctx context.Context, delivery contactsync.Delivery) (contactsync.Receipt, error) {
	received := millis(cmp.Or(delivery.Received, s.options.Now()))
	if delivery.Request != 0 {
		return s.acceptRequest(ctx, delivery)
	}
	var receipt contactsync.Receipt
	err := s.write(ctx, fmt.Sprintf("storing a delivery for project %d", delivery.Project), func(tx tx) error {
		receipt = contactsync.Receipt{ID: s.options.NewID()}
		if delivery.Key != "" {
			joined, err := s.join(ctx, tx, delivery, &receipt)
			if err != nil || joined {
				return err
			}
		}
		generation, err := s.want(ctx, tx, delivery.Project, contactsync.TriggerHook)
		if err != nil {
			return err
		}
		_, err = tx.exec(ctx, `INSERT INTO delivery (id, project, key, event, generation, arrivals, received_at)
			VALUES ($1, $2, $3, $4, $5, 1, $6)
			ON CONFLICT (project, key) DO UPDATE SET generation = excluded.generation, arrivals = delivery.arrivals + 1`,
			receipt.ID, delivery.Project, cmp.Or(delivery.Key, receipt.ID), delivery.Event, generation, received)
		return err
	})
	return receipt, err
}

// acceptRequest stores the wish for a look at a merge request. Looking once more does no harm, so a delivery that comes
// again asks again; those that come before it was looked at are one wish.
func (s *Store) acceptRequest(ctx context.Context, delivery contactsync.Delivery) (contactsync.Receipt, error) {
	receipt := contactsync.Receipt{ID: s.options.NewID()}
	doing := fmt.Sprintf("storing a delivery for merge request %d of project %d", delivery.Request, delivery.Project)
	return receipt, s.write(ctx, doing, func(tx tx) error {
		owed, err := s.wantReport(ctx, tx, wish{project: delivery.Project, request: delivery.Request})
		receipt.Joined = owed
		return err
	})
}

// join answers for a delivery that is known and needs no run of its own.
func (s *Store) join(ctx context.Context, tx tx, delivery contactsync.Delivery, receipt *contactsync.Receipt) (bool, error) {
	var id, status string
	var generation, done, ended int64
	err := tx.row(ctx, `SELECT d.id, d.generation, p.done, p.status, p.ended_at FROM delivery d
		JOIN project p ON p.project = d.project WHERE d.project = $1 AND d.key = $2`, delivery.Project, delivery.Key).
		Scan(&id, &generation, &done, &status, &ended)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	receipt.ID = id
	waiting := generation > done
	if !waiting && (!good(contactsync.Status(status)) || ended < millis(s.options.Now().Add(-joinAge))) {
		return false, nil
	}
	receipt.Joined = true
	_, err = tx.exec(ctx, `UPDATE delivery SET arrivals = arrivals + 1 WHERE id = $1`, id)
	return true, err
}

// good reports whether a run left nothing to be done.
func good(status contactsync.Status) bool {
	return status == contactsync.StatusSucceeded || status == contactsync.StatusUnchanged
}

// Refuse records a delivery that names a project which is not its own, as a run of the project that it names. Nothing
// follows from it.
func (s *Store) Refuse(ctx context.Context, delivery contactsync.Delivery, project contactsync.ProjectRef, reason error) error {
	at := cmp.Or(delivery.Received, s.options.Now()).UTC()
	run := contactsync.Run{
		ID: s.options.NewID(), Project: project, Status: contactsync.StatusFailed, Trigger: contactsync.TriggerHook,
		Error: contactsync.FailureOf(reason), Started: at, Finished: at,
	}
	return s.write(ctx, "recording a refused delivery", func(tx tx) error { return saveRun(ctx, tx, run) })
}

// Want asks for a run of each project, as soon as a worker is free.
func (s *Store) Want(ctx context.Context, trigger contactsync.Trigger, projects ...int64) error {
	return s.write(ctx, "asking for runs", func(tx tx) error {
		for _, project := range projects {
			if _, err := s.want(ctx, tx, project, trigger); err != nil {
				return err
			}
		}
		return nil
	})
}

// want raises what is wanted of a project, and sees to it that a job meets it. The row is touched first: that makes
// the end of a run, which looks for newer wishes, wait for this transaction or be seen by it. Where a run was owed
// already, its job is there, or the job that is running asks for the next one: most hooks of a busy hour cost no more.
func (s *Store) want(ctx context.Context, tx tx, project int64, trigger contactsync.Trigger) (generation int64, err error) {
	now := millis(s.options.Now())
	var done int64
	err = tx.row(ctx, `INSERT INTO project (project, wanted, done, wanted_at, wanted_by, run, status, error_class, ended_at, held,
			failures, failing_since, retry_at) VALUES ($1, 1, 0, $2, $3, '', '', '', 0, 0, 0, 0, 0)
		ON CONFLICT (project) DO UPDATE SET wanted = project.wanted + 1, wanted_by = excluded.wanted_by,
			wanted_at = CASE WHEN project.wanted > project.done THEN project.wanted_at ELSE excluded.wanted_at END
		RETURNING wanted, done`, project, now, string(trigger)).Scan(&generation, &done)
	if err != nil || generation-done > 1 {
		return generation, err
	}
	return generation, s.queue.insert(ctx, tx, insertion{Job: Job{Kind: KindSync, Project: project}})
}
