package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"contactsync"
)

// Baseline returns the membership that the last good run of the organization left; the zero Baseline if there was none.
func (s *Store) Baseline(ctx context.Context, organization string) (contactsync.Baseline, error) {
	var baseline contactsync.Baseline
	err := s.read(ctx, "reading the baseline of organization "+organization, func(tx tx) error {
		var members string
		var at int64
		err := tx.row(ctx, `SELECT members, taken_at FROM baseline WHERE desk = $1 AND organization = $2`,
			s.options.Desk, organization).Scan(&members, &at)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		baseline = contactsync.Baseline{Organization: organization, At: instant(at)}
		return json.Unmarshal([]byte(members), &baseline.Members)
	})
	if err != nil {
		return contactsync.Baseline{}, err
	}
	return baseline, nil
}

// SaveBaseline replaces the organization's baseline.
func (s *Store) SaveBaseline(ctx context.Context, baseline contactsync.Baseline) error {
	members, err := json.Marshal(baseline.Members)
	if err != nil {
		return err
	}
	return s.writeHeld(ctx, "saving the baseline of organization "+baseline.Organization, func(tx tx) error {
		_, err := tx.exec(ctx, `INSERT INTO baseline (desk, organization, members, taken_at) VALUES ($1, $2, $3, $4)
			ON CONFLICT (desk, organization) DO UPDATE SET members = excluded.members, taken_at = excluded.taken_at`,
			s.options.Desk, baseline.Organization, string(members), millis(baseline.At))
		return err
	})
}

// approvalAge is how long an approval counts: longer, and the operator approved of a world that has moved on.
const approvalAge = 24 * time.Hour

// Approve records an approval. Its time is the store's when it has none.
func (s *Store) Approve(ctx context.Context, project int64, approval contactsync.Approval) error {
	changes, err := json.Marshal(approval.Changes)
	if err != nil {
		return err
	}
	if approval.At.IsZero() {
		approval.At = s.options.Now()
	}
	id := s.options.NewID()
	return s.writeHeld(ctx, fmt.Sprintf("recording an approval for project %d", project), func(tx tx) error {
		_, err := tx.exec(ctx, `INSERT INTO approval (id, seq, project, digest, changes, approved_by, approved_at, spent_at)
			VALUES ($1, (SELECT COALESCE(MAX(seq), 0) + 1 FROM approval WHERE project = $2), $2, $3, $4, $5, $6, 0)`,
			id, project, approval.Digest, string(changes), approval.By, millis(approval.At))
		return err
	})
}

// Approvals returns the project's approvals that are neither spent nor older than 24 hours, newest first.
func (s *Store) Approvals(ctx context.Context, project int64) ([]contactsync.Approval, error) {
	var approvals []contactsync.Approval
	since := s.options.Now().Add(-approvalAge)
	err := s.read(ctx, fmt.Sprintf("reading the approvals of project %d", project), func(tx tx) error {
		approvals = nil
		return queryAll(ctx, tx, `SELECT digest, changes, approved_by, approved_at FROM approval
			WHERE project = $1 AND spent_at = 0 AND approved_at >= $2 ORDER BY seq DESC, id DESC`,
			[]any{project, millis(since)}, func(row scanner) error {
				var approval contactsync.Approval
				var changes string
				var at int64
				if err := row.Scan(&approval.Digest, &changes, &approval.By, &at); err != nil {
					return err
				}
				approval.At = instant(at)
				approvals = append(approvals, approval)
				return json.Unmarshal([]byte(changes), &approvals[len(approvals)-1].Changes)
			})
	})
	if err != nil {
		return nil, err
	}
	return approvals, nil
}

// SpendApprovals marks the project's approvals as used. They stay in the audit trail. Call it, like Approve, within
// Hold: an approval that is recorded between reading and marking would be used up unseen.
func (s *Store) SpendApprovals(ctx context.Context, project int64) error {
	return s.writeHeld(ctx, fmt.Sprintf("marking the approvals of project %d as used", project), func(tx tx) error {
		_, err := tx.exec(ctx, `UPDATE approval SET spent_at = $1 WHERE project = $2 AND spent_at = 0`,
			millis(s.options.Now()), project)
		return err
	})
}
