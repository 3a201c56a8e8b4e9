package store

import (
	"context"
	"encoding/json"
	"fmt"

	"contactsync"
)

// SaveProcedure keeps a procedure and raises its Revision. One of revision 0 is new; its id must be, too. Of one that
// is kept already, everything may change but its id, kind, organization and start.
//
// Errors: project_conflict when another process saved it meanwhile, or has one of the same kind for the organization
// that is not done; nothing is written then, and the Revision stays. ErrReadOnly in a view.
func (s *Store) SaveProcedure(ctx context.Context, procedure *contactsync.Procedure) error {
	p := *procedure
	subject := fmt.Sprintf("the %s of organization %s", p.Kind, p.Organization.ID)
	var texts [3]string
	for i, value := range []any{p.Command, p.Steps, p.Error} {
		text, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("recording %s: %w", subject, err)
		}
		texts[i] = string(text)
	}
	var saved int64
	err := s.write(ctx, "recording "+subject, func(tx tx) (err error) {
		if p.Revision == 0 {
			saved, err = tx.exec(ctx, `INSERT INTO procedure (id, seq, revision, desk, kind, organization, organization_name,
					project, commit_id, state, command, steps, error, asked_by, started_at, updated_at)
				VALUES ($1, (SELECT COALESCE(MAX(seq), 0) + 1 FROM procedure), 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
				ON CONFLICT DO NOTHING`,
				p.ID, s.options.Desk, string(p.Kind), p.Organization.ID, p.Organization.Name, p.Project, p.Commit, string(p.State),
				texts[0], texts[1], texts[2], p.By, millis(p.Started), millis(p.Updated))
			return err
		}
		saved, err = tx.exec(ctx, `UPDATE procedure SET revision = revision + 1, organization_name = $1, project = $2, commit_id = $3,
				state = $4, command = $5, steps = $6, error = $7, asked_by = $8, updated_at = $9
			WHERE id = $10 AND revision = $11`,
			p.Organization.Name, p.Project, p.Commit, string(p.State), texts[0], texts[1], texts[2], p.By, millis(p.Updated),
			p.ID, p.Revision)
		return err
	})
	if err != nil {
		return err
	}
	if saved == 0 {
		done := "continued"
		if p.Revision == 0 {
			done = "begun"
		}
		conflict := contactsync.Errorf(contactsync.ClassProjectConflict, "%s was %s by another process meanwhile", subject, done)
		conflict.Remedy = "Wait for it, then run the same command again."
		return conflict
	}
	procedure.Revision++
	return nil
}

// Unfinished returns the organization's procedure of that kind that is not done; false where there is none.
func (s *Store) Unfinished(ctx context.Context, kind contactsync.ProcedureKind, organization string) (contactsync.Procedure, bool, error) {
	found, err := s.Procedures(ctx, ProcedureFilter{Kind: kind, Organization: organization, Unfinished: true})
	if err != nil || len(found) == 0 {
		return contactsync.Procedure{}, false, err
	}
	return found[0], true, nil
}

// LastOfProject returns the newest procedure of that kind with the project, done or not; false where there is none.
func (s *Store) LastOfProject(ctx context.Context, kind contactsync.ProcedureKind, project int64) (contactsync.Procedure, bool, error) {
	found, err := s.Procedures(ctx, ProcedureFilter{Kind: kind, Project: project, Limit: 1})
	if err != nil || len(found) == 0 {
		return contactsync.Procedure{}, false, err
	}
	return found[0], true, nil
}

// ProcedureFilter picks procedures. The zero filter picks all.
type ProcedureFilter struct {
	Kind         contactsync.ProcedureKind
	Organization string // its id
	Project      int64
	Unfinished   bool // those alone that are not done
	Limit        int  // at most so many; 0 is all
}

// Procedures returns the procedures of this desk's organizations, those that began last first. Times are to the
// millisecond.
func (s *Store) Procedures(ctx context.Context, filter ProcedureFilter) (procedures []contactsync.Procedure, err error) {
	query := `SELECT id, revision, kind, organization, organization_name, project, commit_id, state, command, steps,
			error, asked_by, started_at, updated_at
		FROM procedure WHERE desk = $1 AND ($2 = '' OR kind = $2) AND ($3 = '' OR organization = $3) AND ($4 = 0 OR project = $4)`
	values := []any{s.options.Desk, string(filter.Kind), filter.Organization, filter.Project}
	if filter.Unfinished {
		query += ` AND state <> 'done'`
	}
	query += ` ORDER BY seq DESC`
	if filter.Limit > 0 {
		query += ` LIMIT $5`
		values = append(values, filter.Limit)
	}
	err = s.read(ctx, "reading procedures", func(tx tx) error {
		procedures = nil
		return queryAll(ctx, tx, query, values, func(row scanner) error {
			p, err := scanProcedure(row)
			procedures = append(procedures, p)
			return err
		})
	})
	return procedures, err
}

func scanProcedure(row scanner) (p contactsync.Procedure, err error) {
	var command, steps, failure string
	var started, updated int64
	if err := row.Scan(&p.ID, &p.Revision, &p.Kind, &p.Organization.ID, &p.Organization.Name, &p.Project, &p.Commit, &p.State,
		&command, &steps, &failure, &p.By, &started, &updated); err != nil {
		return p, err
	}
	for _, part := range []struct {
		text string
		into any
	}{{command, &p.Command}, {steps, &p.Steps}, {failure, &p.Error}} {
		if err := json.Unmarshal([]byte(part.text), part.into); err != nil {
			return p, fmt.Errorf("the record of procedure %s: %w", p.ID, err)
		}
	}
	p.Started, p.Updated = instant(started), instant(updated)
	return p, nil
}
