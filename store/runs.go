package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"contactsync"
)

// BeginRun enters a run into the audit trail, as running. Call it within Hold: earlier runs of the same project that
// still count as running are then known to be dead, and are closed as failed.
func (s *Store) BeginRun(ctx context.Context, run contactsync.Run) error {
	ended := contactsync.FailureOf(&contactsync.Error{
		Class: contactsync.ClassInternal, Detail: "the process ended before the run finished",
		Who: contactsync.WhoNobody, Retry: contactsync.RetrySoon,
		Remedy: "Nothing to do: the next run starts from what is there. Changes that still count as planned may have been made.",
	})
	reason, err := json.Marshal(ended)
	if err != nil {
		return err
	}
	run.Status = contactsync.StatusRunning
	return s.writeHeld(ctx, "recording the start of run "+run.ID, func(tx tx) error {
		generation, err := generationOf(ctx, tx, run.Project)
		if err != nil {
			return err
		}
		_, err = tx.exec(ctx, `UPDATE run SET status = $1, error_class = $2, error = $3, finished_at = $4
			WHERE project = $5 AND status = $6 AND id <> $7`,
			string(contactsync.StatusFailed), string(ended.Class), string(reason), millis(s.options.Now()),
			projectText(run.Project), string(contactsync.StatusRunning), run.ID)
		if err != nil {
			return err
		}
		if err := saveRun(ctx, tx, run); err != nil {
			return err
		}
		_, err = tx.exec(ctx, `UPDATE run SET generation = $1 WHERE id = $2`, generation, run.ID)
		return err
	})
}

// PlanRun records what the run is about to do, before it does it: a process that dies while writing leaves nothing
// out of the audit trail. The run counts as running still, whatever its status says.
func (s *Store) PlanRun(ctx context.Context, run contactsync.Run) error {
	run.Status = contactsync.StatusRunning
	return s.writeHeld(ctx, "recording the plan of run "+run.ID, func(tx tx) error { return saveRun(ctx, tx, run) })
}

// RecordChanges records the results so far. Changes are known by their position in the run.
func (s *Store) RecordChanges(ctx context.Context, runID string, changes []contactsync.Change) error {
	return s.write(ctx, "recording changes of run "+runID, func(tx tx) error {
		return saveChanges(ctx, tx, runID, changes)
	})
}

// FinishRun records how the run ended. Changes that were recorded before and are not in the run stay in the trail.
// Within Hold, while the lease is ours, it also settles how the project stands: that what was wanted when the run began
// has been done, and when it is tried again.
func (s *Store) FinishRun(ctx context.Context, run contactsync.Run) error {
	h, held := ctx.Value(holdKey{}).(*hold)
	return s.write(ctx, "recording the end of run "+run.ID, func(tx tx) error {
		if err := saveRun(ctx, tx, run); err != nil || !held {
			return err
		}
		if ours, err := h.check(ctx, tx); err != nil || !ours {
			return err // the run that came after it settles
		}
		var generation int64
		if err := tx.row(ctx, `SELECT generation FROM run WHERE id = $1`, run.ID).Scan(&generation); err != nil {
			return err
		}
		return s.settle(ctx, tx, run, generation)
	})
}

func saveRun(ctx context.Context, tx tx, run contactsync.Run) error {
	var organization contactsync.Organization
	if run.Organization != nil {
		organization = *run.Organization
	}
	var class contactsync.Class
	if run.Error != nil {
		class = run.Error.Class
	}
	var texts [3]string
	for i, value := range []any{run.Summary, run.Requests, run.Error} {
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		texts[i] = string(text)
	}
	_, err := tx.exec(ctx, `INSERT INTO run (id, seq, project, status, started_by, approved_by, commit_id, committer,
			digest, remainder, organization, organization_name, summary, requests, error_class, error, started_at, finished_at,
			contacts, project_url)
		VALUES ($1, (SELECT COALESCE(MAX(seq), 0) + 1 FROM run), $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14,
			$15, $16, $17, $18, $19)
		ON CONFLICT (id) DO UPDATE SET project = excluded.project, status = excluded.status,
			started_by = excluded.started_by, approved_by = excluded.approved_by, commit_id = excluded.commit_id, committer = excluded.committer,
			digest = excluded.digest, remainder = excluded.remainder, organization = excluded.organization,
			organization_name = excluded.organization_name, summary = excluded.summary, requests = excluded.requests,
			error_class = excluded.error_class, error = excluded.error, started_at = excluded.started_at,
			finished_at = excluded.finished_at, contacts = excluded.contacts, project_url = excluded.project_url`,
		run.ID, projectText(run.Project), string(run.Status), string(run.Trigger), run.ApprovedBy, run.Commit, run.Committer, run.Digest,
		run.Remainder, organization.ID, organization.Name, texts[0], texts[1], string(class), texts[2],
		millis(run.Started), millis(run.Finished), run.Contacts, run.ProjectURL)
	if err != nil {
		return err
	}
	if err := saveChanges(ctx, tx, run.ID, run.Changes); err != nil {
		return err
	}
	return saveConflicts(ctx, tx, run.ID, run.Conflicts)
}

// saveChanges writes the changes that are not yet as they are: a long run records its results many times over.
func saveChanges(ctx context.Context, tx tx, runID string, changes []contactsync.Change) error {
	known, err := readChanges(ctx, tx, runID)
	if err != nil {
		return err
	}
	var rows [][]any
	for i, c := range changes {
		if i < len(known) && known[i] == c {
			continue
		}
		rows = append(rows, []any{runID, i, string(c.Action), string(c.Email), c.Name, c.Person, string(c.WasEmail),
			c.WasName, string(c.Result), string(c.Error), c.Detail, c.Line})
	}
	return insertRows(ctx, tx, `INSERT INTO run_change (run, position, action, email, name, person, was_email, was_name,
		result, error_class, detail, line) VALUES `, rows, ` ON CONFLICT (run, position) DO UPDATE SET
		action = excluded.action, email = excluded.email, name = excluded.name, person = excluded.person,
		was_email = excluded.was_email, was_name = excluded.was_name, result = excluded.result,
		error_class = excluded.error_class, detail = excluded.detail, line = excluded.line`)
}

func saveConflicts(ctx context.Context, tx tx, runID string, conflicts []contactsync.Conflict) error {
	rows := make([][]any, len(conflicts))
	for i, c := range conflicts {
		rows[i] = []any{runID, i, string(c.Email), string(c.Error), c.Detail, c.Line}
	}
	return insertRows(ctx, tx, `INSERT INTO run_conflict (run, position, email, error_class, detail, line) VALUES `, rows,
		` ON CONFLICT (run, position) DO UPDATE SET email = excluded.email, error_class = excluded.error_class,
		detail = excluded.detail, line = excluded.line`)
}

// projectText is a project as it is stored: one spelling for each number.
func projectText(project contactsync.ProjectRef) string {
	if id, err := strconv.ParseInt(string(project), 10, 64); err == nil {
		return strconv.FormatInt(id, 10)
	}
	return string(project)
}

const runColumns = `id, project, status, started_by, approved_by, commit_id, committer, digest, remainder, organization,
	organization_name, summary, requests, error, started_at, finished_at, contacts, project_url, report, report_problem`

func scanRun(row scanner) (contactsync.Run, error) {
	var run contactsync.Run
	var organization contactsync.Organization
	var summary, requests, failure string
	var report contactsync.Report
	var started, finished int64
	err := row.Scan(&run.ID, &run.Project, &run.Status, &run.Trigger, &run.ApprovedBy, &run.Commit, &run.Committer, &run.Digest,
		&run.Remainder, &organization.ID, &organization.Name, &summary, &requests, &failure, &started, &finished, &run.Contacts,
		&run.ProjectURL, &report.State, &report.Problem)
	if err != nil {
		return run, err
	}
	if organization != (contactsync.Organization{}) {
		run.Organization = &organization
	}
	if report.State != "" {
		run.Report = &report
	}
	run.Started, run.Finished = instant(started), instant(finished)
	return run, errors.Join(json.Unmarshal([]byte(summary), &run.Summary),
		json.Unmarshal([]byte(requests), &run.Requests), json.Unmarshal([]byte(failure), &run.Error))
}

// Run returns a run with its changes and conflicts. The id may be shortened as long as one run alone begins with it.
// Errors: ErrNotFound, ErrAmbiguous.
func (s *Store) Run(ctx context.Context, id string) (contactsync.Run, error) {
	if id == "" {
		return contactsync.Run{}, fmt.Errorf("a run without an id: %w", ErrNotFound)
	}
	var found []contactsync.Run
	err := s.read(ctx, "reading run "+id, func(tx tx) error {
		found = nil
		err := queryAll(ctx, tx, `SELECT `+runColumns+` FROM run WHERE substr(id, 1, $1) = $2
			ORDER BY CASE WHEN id = $2 THEN 0 ELSE 1 END LIMIT 2`, []any{utf8.RuneCountInString(id), id}, func(row scanner) error {
			run, err := scanRun(row)
			found = append(found, run)
			return err
		})
		if err != nil || len(found) == 0 || (len(found) > 1 && found[0].ID != id) {
			return err
		}
		if found[0].Report == nil {
			if found[0].Report, err = reportWaiting(ctx, tx, found[0].ID); err != nil {
				return err
			}
		}
		return complete(ctx, tx, &found[0])
	})
	switch {
	case err != nil:
		return contactsync.Run{}, err
	case len(found) == 0:
		return contactsync.Run{}, fmt.Errorf("run %q: %w", id, ErrNotFound)
	case len(found) > 1 && found[0].ID != id:
		return contactsync.Run{}, fmt.Errorf("run %q: %w: give more of the id", id, ErrAmbiguous)
	}
	return found[0], nil
}

// complete adds the changes and conflicts of a run.
func complete(ctx context.Context, tx tx, run *contactsync.Run) (err error) {
	if run.Changes, err = readChanges(ctx, tx, run.ID); err != nil {
		return err
	}
	run.Conflicts, err = readConflicts(ctx, tx, run.ID)
	return err
}

// readChanges returns the run's changes; each stands at its position, because positions have no gaps.
func readChanges(ctx context.Context, tx tx, runID string) ([]contactsync.Change, error) {
	changes := []contactsync.Change{}
	err := queryAll(ctx, tx, `SELECT action, email, name, person, was_email, was_name, result, error_class, detail, line
		FROM run_change WHERE run = $1 ORDER BY position`, []any{runID}, func(row scanner) error {
		var c contactsync.Change
		err := row.Scan(&c.Action, &c.Email, &c.Name, &c.Person, &c.WasEmail, &c.WasName, &c.Result, &c.Error,
			&c.Detail, &c.Line)
		changes = append(changes, c)
		return err
	})
	return changes, err
}

func readConflicts(ctx context.Context, tx tx, runID string) ([]contactsync.Conflict, error) {
	conflicts := []contactsync.Conflict{}
	err := queryAll(ctx, tx, `SELECT email, error_class, detail, line FROM run_conflict WHERE run = $1 ORDER BY position`,
		[]any{runID}, func(row scanner) error {
			var c contactsync.Conflict
			err := row.Scan(&c.Email, &c.Error, &c.Detail, &c.Line)
			conflicts = append(conflicts, c)
			return err
		})
	return conflicts, err
}

// Filter selects runs. A zero field does not narrow the selection.
type Filter struct {
	Project contactsync.ProjectRef
	Status  contactsync.Status
	Class   contactsync.Class // of the error that a run failed with as a whole
	Since   time.Time         // started then or later
	Until   time.Time         // started before
	Limit   int               // the newest ones; 0: all
}

// Runs returns the runs that the filter selects, newest first, without their changes and conflicts.
func (s *Store) Runs(ctx context.Context, filter Filter) ([]contactsync.Run, error) {
	var where []string
	var values []any
	narrow := func(condition string, value any) {
		values = append(values, value)
		where = append(where, condition+" $"+strconv.Itoa(len(values)))
	}
	if filter.Project != "" {
		narrow("project =", projectText(filter.Project))
	}
	if filter.Status != "" {
		narrow("status =", string(filter.Status))
	}
	if filter.Class != "" {
		narrow("error_class =", string(filter.Class))
	}
	if !filter.Since.IsZero() {
		narrow("started_at >=", millis(filter.Since))
	}
	if !filter.Until.IsZero() {
		narrow("started_at <", millis(filter.Until))
	}
	query := `SELECT ` + runColumns + ` FROM run WHERE ` + cmp.Or(strings.Join(where, " AND "), "1 = 1") +
		` ORDER BY seq DESC, id DESC`
	if filter.Limit > 0 {
		query += ` LIMIT ` + strconv.Itoa(filter.Limit)
	}
	runs := []contactsync.Run{}
	err := s.read(ctx, "reading runs", func(tx tx) error {
		runs = runs[:0]
		return queryAll(ctx, tx, query, values, func(row scanner) error {
			run, err := scanRun(row)
			runs = append(runs, run)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return runs, nil
}

// RemainderOf returns what was left of the plan with that digest when it was last run for the project: the digest
// that the plan has since (Run.Remainder); "" if it was never run or nothing was left.
func (s *Store) RemainderOf(ctx context.Context, project int64, digest string) (string, error) {
	var remainder string
	err := s.read(ctx, fmt.Sprintf("reading what is left of a plan of project %d", project), func(tx tx) error {
		err := tx.row(ctx, `SELECT remainder FROM run WHERE project = $1 AND digest = $2
			ORDER BY seq DESC, id DESC LIMIT 1`, strconv.FormatInt(project, 10), digest).Scan(&remainder)
		if errors.Is(err, sql.ErrNoRows) {
			remainder = ""
			return nil
		}
		return err
	})
	return remainder, err
}
