package store

import (
	"context"
	"time"

	"contactsync"
)

// Retention is for how long things are kept; zero keeps them for ever.
type Retention struct {
	Deliveries time.Duration
	Runs       time.Duration // runs that changed nothing, and had nothing to change; sweeps; what was told on the forge, and to operators
	Audit      time.Duration // runs with changes or conflicts, approvals, verdicts of eligibility, and procedures that are done
}

// pruneBatch is how many rows one transaction deletes, so that nobody waits long for the store.
const pruneBatch = 200

// Prune deletes what is older than its time, a little at once. What the next run of a project needs stays: its last
// run, links, baselines, leases and how it stands; and procedures that are not done. It returns how many rows went.
func (s *Store) Prune(ctx context.Context, keep Retention) (deleted int64, err error) {
	now := s.options.Now()
	for _, old := range []struct {
		keep  time.Duration
		query string
	}{
		{keep.Deliveries, `DELETE FROM delivery WHERE id IN (SELECT d.id FROM delivery d WHERE d.received_at < $1 LIMIT $2)`},
		{keep.Runs, `DELETE FROM run WHERE id IN (SELECT r.id FROM run r WHERE r.started_at < $1
			AND r.id NOT IN (SELECT p.run FROM project p) AND r.status <> '` + string(contactsync.StatusRunning) + `'
			AND NOT EXISTS (SELECT 1 FROM run_change c WHERE c.run = r.id)
			AND NOT EXISTS (SELECT 1 FROM run_conflict c WHERE c.run = r.id) LIMIT $2)`},
		{keep.Audit, `DELETE FROM run WHERE id IN (SELECT r.id FROM run r WHERE r.started_at < $1
			AND r.id NOT IN (SELECT p.run FROM project p) AND r.status <> '` + string(contactsync.StatusRunning) + `' LIMIT $2)`},
		{keep.Audit, `DELETE FROM approval WHERE id IN (SELECT a.id FROM approval a WHERE a.approved_at < $1 LIMIT $2)`},
		{keep.Audit, `DELETE FROM verdict WHERE id IN (SELECT v.id FROM verdict v WHERE v.judged_at < $1 LIMIT $2)`},
		{keep.Audit, `DELETE FROM procedure WHERE id IN (SELECT p.id FROM procedure p WHERE p.state = 'done' AND p.updated_at < $1 LIMIT $2)`},
		{keep.Runs, `DELETE FROM told WHERE (project, subject) IN (SELECT t.project, t.subject FROM told t WHERE t.written_at < $1 LIMIT $2)`},
		{keep.Runs, `DELETE FROM report WHERE (project, request) IN (SELECT r.project, r.request FROM report r
			WHERE r.request > 0 AND r.wanted <= r.done AND r.retry_at = 0 AND r.wanted_at < $1 LIMIT $2)`},
		{keep.Runs, `DELETE FROM sweep_project WHERE (sweep, project) IN (SELECT p.sweep, p.project FROM sweep_project p
			JOIN sweep w ON w.id = p.sweep WHERE w.finished_at > 0 AND w.finished_at < $1 LIMIT $2)`},
		{keep.Runs, `DELETE FROM sweep WHERE id IN (SELECT w.id FROM sweep w WHERE w.finished_at > 0 AND w.finished_at < $1 LIMIT $2)`},
		{keep.Runs, `DELETE FROM notice WHERE key IN (SELECT n.key FROM notice n WHERE n.seen_at < $1 LIMIT $2)`},
	} {
		if old.keep <= 0 {
			continue
		}
		before := millis(now.Add(-old.keep))
		for gone := int64(pruneBatch); gone == pruneBatch; {
			if err := s.writeHeld(ctx, "deleting what is too old", func(tx tx) (err error) {
				gone, err = tx.exec(ctx, old.query, before, pruneBatch)
				return err
			}); err != nil {
				return deleted, err
			}
			deleted += gone
		}
	}
	return deleted, nil
}
