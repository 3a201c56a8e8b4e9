package store

import (
	"context"
	"encoding/json"
	"fmt"

	"contactsync"
)

// SaveVerdict enters a verdict into the audit trail, with the attestations in it. Its id must be new.
func (s *Store) SaveVerdict(ctx context.Context, v contactsync.Verdict) error {
	criteria, err := json.Marshal(v.Criteria)
	if err != nil {
		return fmt.Errorf("recording verdict %s: %w", v.ID, err)
	}
	return s.write(ctx, "recording verdict "+v.ID, func(tx tx) error {
		_, err := tx.exec(ctx, `INSERT INTO verdict (id, seq, desk, organization, organization_name, requester, username,
				namespace, eligible, criteria, judged_by, judged_at)
			VALUES ($1, (SELECT COALESCE(MAX(seq), 0) + 1 FROM verdict), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`,
			v.ID, s.options.Desk, v.Organization.ID, v.Organization.Name, string(v.Requester), v.Username, v.Namespace,
			v.Eligible, string(criteria), v.JudgedBy, millis(v.Judged))
		return err
	})
}

// Verdicts returns the verdicts of this desk's organizations, newest first and at most limit. An organization of ""
// is all of them.
func (s *Store) Verdicts(ctx context.Context, organization string, limit int) (verdicts []contactsync.Verdict, err error) {
	err = s.read(ctx, "reading verdicts", func(tx tx) error {
		verdicts = nil
		return queryAll(ctx, tx, `SELECT id, organization, organization_name, requester, username, namespace, eligible,
				criteria, judged_by, judged_at
			FROM verdict WHERE desk = $1 AND ($2 = '' OR organization = $2) ORDER BY seq DESC LIMIT $3`,
			[]any{s.options.Desk, organization, limit}, func(row scanner) error {
				var v contactsync.Verdict
				var criteria string
				var judged int64
				if err := row.Scan(&v.ID, &v.Organization.ID, &v.Organization.Name, &v.Requester, &v.Username, &v.Namespace,
					&v.Eligible, &criteria, &v.JudgedBy, &judged); err != nil {
					return err
				}
				if err := json.Unmarshal([]byte(criteria), &v.Criteria); err != nil {
					return fmt.Errorf("the criteria of verdict %s: %w", v.ID, err)
				}
				v.Judged = instant(judged)
				verdicts = append(verdicts, v)
				return nil
			})
	})
	return verdicts, err
}
