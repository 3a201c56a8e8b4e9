package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"time"

	"contactsync"
)

// When telling people on the forge is tried again, and until when.
const (
	reportFirst = 10 * time.Second
	reportMost  = 30 * time.Minute
	reportLong  = 24 * time.Hour
	// reportPatience is for how long a run may be owed before it is worth saying that it is still to come.
	reportPatience = 3 * time.Second
	// reportLease is above the numbers of all leases for telling, and below those of the chores.
	reportLease = -1000
)

// wish is what is to be told.
type wish struct {
	project, request int64
	telling          string // a fingerprint, "" where there is none
	pending          bool   // a run is still to come
}

// wantReport asks for telling, and reports whether that was owed already. It does nothing where nobody is told anything.
func (s *Store) wantReport(ctx context.Context, tx tx, w wish) (owed bool, err error) {
	if s.options.Reports == "" {
		return false, nil
	}
	now, pendingAt := millis(s.options.Now()), int64(0)
	if w.pending {
		pendingAt = now
	}
	var wanted, done int64
	err = tx.row(ctx, `INSERT INTO report (project, request, wanted, done, wanted_at, pending_at, telling, told, tries, since, retry_at, given_up, problem)
			VALUES ($1, $2, 1, 0, $3, $4, $5, '', 0, 0, 0, $6, '')
		ON CONFLICT (project, request) DO UPDATE SET wanted = report.wanted + 1,
			wanted_at = CASE WHEN report.wanted > report.done THEN report.wanted_at ELSE excluded.wanted_at END,
			pending_at = CASE WHEN excluded.pending_at > 0 THEN excluded.pending_at ELSE report.pending_at END,
			telling = CASE WHEN excluded.telling <> '' THEN excluded.telling ELSE report.telling END
		RETURNING wanted, done`, w.project, w.request, now, pendingAt, w.telling, false).Scan(&wanted, &done)
	if err != nil || wanted-done > 1 { // its job is there, or the one that is running asks for the next
		return wanted-done > 1, err
	}
	return false, s.queue.insert(ctx, tx, insertion{Job: Job{Kind: KindReport, Project: w.project, Request: w.request}})
}

// reportEnd asks for telling how a run ended, unless just that was told last.
func (s *Store) reportEnd(ctx context.Context, tx tx, project int64, run contactsync.Run) error {
	if s.options.Reports == "" || run.Error != nil && run.Error.Class == contactsync.ClassInvalidProjectID {
		return nil
	}
	if run.Status == contactsync.StatusHeld {
		// What a sweep has put back until it is judged is nothing that anybody could be asked about.
		back, err := s.putBack(ctx, tx, heldRun{Concern: Concern{Project: project}, trigger: run.Trigger, started: millis(run.Started)})
		if err != nil || back {
			return err
		}
	}
	telling, err := fingerprint(s.options.Reports, run)
	if err != nil {
		return err
	}
	var told string
	err = tx.row(ctx, `SELECT told FROM report WHERE project = $1 AND request = 0 AND wanted = done AND retry_at = 0`, project).Scan(&told)
	switch {
	case err == nil && told == telling:
		_, err = tx.exec(ctx, `UPDATE run SET report = $1 WHERE id = $2`, string(contactsync.ReportTold), run.ID)
		return err
	case err != nil && !errors.Is(err, sql.ErrNoRows):
		return err
	}
	_, err = s.wantReport(ctx, tx, wish{project: project, telling: telling})
	return err
}

// fingerprint is the same for two runs of which nothing different is told: a run that finds everything as another one
// left it, or that fails for the same reason.
func fingerprint(how string, run contactsync.Run) (string, error) {
	what := struct {
		How, Commit, Project, Remainder string
		Good                            bool
		Status                          contactsync.Status
		Error                           contactsync.Failure
		Conflicts                       []contactsync.Conflict
		Open                            []contactsync.Change
	}{How: how, Commit: run.Commit, Project: run.ProjectURL, Remainder: run.Remainder, Good: good(run.Status)}
	if !what.Good {
		what.Status, what.Conflicts = run.Status, run.Conflicts
	}
	for _, change := range run.Changes {
		if change.Result == contactsync.ResultFailed || change.Result == contactsync.ResultHeld {
			change.Detail = ""
			what.Open = append(what.Open, change)
		}
	}
	if failure := run.Error; failure != nil {
		what.Error = contactsync.Failure{Class: failure.Class, Who: failure.Who}
		if failure.Who == contactsync.WhoCustomer { // what others mend is not told in detail
			what.Error.Detail, what.Error.Problems = failure.Detail, failure.Problems
		}
	}
	text, err := json.Marshal(what)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), err
}

// reportWaits asks for telling that a run is still to come, where it is owed for longer than people should wonder.
func (s *Store) reportWaits(ctx context.Context, tx tx, now time.Time) error {
	if s.options.Reports == "" {
		return nil
	}
	var waiting []int64
	err := queryAll(ctx, tx, `SELECT p.project FROM project p LEFT JOIN report r ON r.project = p.project AND r.request = 0
			WHERE p.wanted > p.done AND p.wanted_at < $1 AND COALESCE(r.pending_at, 0) < p.wanted_at ORDER BY p.wanted_at LIMIT $2`,
		[]any{millis(now.Add(-reportPatience)), beatMost}, func(row scanner) error {
			var project int64
			err := row.Scan(&project)
			waiting = append(waiting, project)
			return err
		})
	for _, project := range waiting {
		if err == nil {
			_, err = s.wantReport(ctx, tx, wish{project: project, pending: true})
		}
	}
	return err
}

// reportsToBringBack lists the jobs of what was to be told before. Where a job is there, asking again does nothing.
func (s *Store) reportsToBringBack(ctx context.Context, tx tx, before int64) (owed []insertion, err error) {
	if s.options.Reports == "" {
		return nil, nil
	}
	err = queryAll(ctx, tx, `SELECT project, request FROM report WHERE wanted > done AND wanted_at < $1
			OR retry_at > 0 AND retry_at < $1 ORDER BY wanted_at LIMIT $2`, []any{before, beatMost}, func(row scanner) error {
		job := Job{Kind: KindReport}
		err := row.Scan(&job.Project, &job.Request)
		owed = append(owed, insertion{Job: job})
		return err
	})
	return owed, err
}

// telling is how a report stands.
type telling struct {
	wanted, done int64
	what         string // its fingerprint
	run          string // the project's last one
	owed         bool   // another run is to come
	tries        int64
	since        time.Time
	retryAt      time.Time
}

func (t telling) now(at time.Time) bool {
	return t.wanted > t.done || !t.retryAt.IsZero() && !t.retryAt.After(at)
}

// after returns how it stands once telling ended so, and whether it was given up: what will not work however often it is
// tried, at once; anything else after a day. jitter is from 0 to 1.
func (t telling) after(err error, now time.Time, jitter float64) (next telling, givenUp bool) {
	if err == nil {
		return telling{}, false
	}
	failure := contactsync.FailureOf(err)
	next = telling{tries: t.tries + 1, since: t.since}
	if t.tries == 0 {
		next.since = now
	}
	switch failure.Retry {
	case contactsync.RetrySoon, contactsync.RetryLater, contactsync.RetryWhenTold:
	default:
		return telling{}, true
	}
	if now.Sub(next.since) >= reportLong {
		return telling{}, true
	}
	pause := min(reportFirst<<min(t.tries, 20), reportMost)
	next.retryAt = now.Add(pause/2 + time.Duration(jitter*float64(pause/2)))
	if failure.RetryAt.After(next.retryAt) {
		next.retryAt = failure.RetryAt.Add(time.Duration(jitter * float64(time.Second)))
	}
	return next, false
}

func readTelling(ctx context.Context, tx tx, project, request int64) (t telling, err error) {
	var since, retryAt int64
	err = tx.row(ctx, `SELECT r.wanted, r.done, r.telling, COALESCE(p.run, ''), COALESCE(p.wanted > p.done, false), r.tries, r.since, r.retry_at
		FROM report r LEFT JOIN project p ON p.project = r.project WHERE r.project = $1 AND r.request = $2`, project, request).
		Scan(&t.wanted, &t.done, &t.what, &t.run, &t.owed, &t.tries, &since, &retryAt)
	if errors.Is(err, sql.ErrNoRows) {
		return telling{}, nil
	}
	t.since, t.retryAt = instant(since), instant(retryAt)
	return t, err
}

// Report tells people on the forge how the project's last run ended, or about one of its merge requests, if that is owed:
// tell does it, under a lease of its own. What tell returns decides whether it is tried again, and is returned; nothing
// else depends on it.
func (s *Store) Report(ctx context.Context, project, request int64, tell func(context.Context) error) error {
	job := Job{Kind: KindReport, Project: project, Request: request}
	var failed error
	err := s.doReport(ctx, job, func(ctx context.Context) error {
		failed = tell(ctx)
		return failed
	}, func(tx) error { return nil })
	return cmp.Or(err, failed)
}

// doReport does what is to be told, if anything is, and asks for the next try in the transaction that completes the job.
func (s *Store) doReport(ctx context.Context, job Job, do func(context.Context) error, finish func(tx) error) error {
	return s.Hold(ctx, job.lease(), func(ctx context.Context) error {
		var before telling
		if err := s.read(ctx, fmt.Sprintf("reading what is to be told about project %d", job.Project), func(tx tx) (err error) {
			before, err = readTelling(ctx, tx, job.Project, job.Request)
			return err
		}); err != nil {
			return err
		}
		due := before.now(s.options.Now())
		var failed error
		if due {
			// What was given up because the process stops is no try that failed: the next process goes on.
			if failed = do(ctx); ctx.Err() != nil || errors.Is(failed, context.Canceled) {
				return errors.Join(ctx.Err(), failed)
			}
		}
		return s.writeHeld(context.WithoutCancel(ctx), fmt.Sprintf("recording what was told about project %d", job.Project), func(tx tx) error {
			if err := finish(tx); err != nil {
				return err
			}
			if due {
				if err := s.settleReport(ctx, tx, job, before, failed); err != nil {
					return err
				}
			}
			after, err := readTelling(ctx, tx, job.Project, job.Request)
			switch {
			case err != nil:
				return err
			case after.wanted > after.done:
				return s.queue.insert(ctx, tx, insertion{Job: job})
			case !after.retryAt.IsZero():
				return s.queue.insert(ctx, tx, s.due(job, after.retryAt))
			}
			return nil
		})
	})
}

// settleReport writes how telling ended, into its own row and into that of the run.
func (s *Store) settleReport(ctx context.Context, tx tx, job Job, before telling, failed error) error {
	next, givenUp := before.after(failed, s.options.Now(), mathrand.Float64()) //nolint:gosec // jitter, not a secret
	now, err := readTelling(ctx, tx, job.Project, job.Request)
	if err != nil {
		return err
	}
	told, problem := before.what, ""
	if before.owed || now.owed {
		told = "" // that a run is to come may be what stands there, so its end is told whatever it is
	}
	if failed != nil {
		told, problem = "", contactsync.FailureOf(failed).Detail
	}
	_, err = tx.exec(ctx, `UPDATE report SET done = $3, told = $4, tries = $5, since = $6, retry_at = $7, given_up = $8, problem = $9
		WHERE project = $1 AND request = $2`, job.Project, job.Request, before.wanted, told, next.tries, millis(next.since), millis(next.retryAt),
		givenUp, problem)
	if err != nil || job.Request != 0 || !next.retryAt.IsZero() {
		return err
	}
	state := contactsync.ReportTold
	if givenUp {
		state = contactsync.ReportGivenUp
	}
	_, err = tx.exec(ctx, `UPDATE run SET report = $1, report_problem = $2 WHERE id = $3`, string(state), problem, before.run)
	return err
}

// countReports counts what is still to be told, and what was given up. Of merge requests only those of the last day count:
// nobody says when one is closed.
func (s *Store) countReports(ctx context.Context, tx tx, overview *Overview) error {
	if s.options.Reports == "" {
		return nil
	}
	return tx.row(ctx, `SELECT COALESCE(SUM(CASE WHEN wanted > done OR retry_at > 0 THEN 1 ELSE 0 END), 0),
			COALESCE(SUM(CASE WHEN given_up AND (request = 0 OR wanted_at > $1) THEN 1 ELSE 0 END), 0) FROM report`,
		millis(s.options.Now().Add(-reportLong))).Scan(&overview.Reports, &overview.ReportsLost)
}

// reportWaiting returns the report of a run that is still to be told; nil where it is not the last one, or nothing is owed.
func reportWaiting(ctx context.Context, tx tx, run string) (*contactsync.Report, error) {
	report := contactsync.Report{State: contactsync.ReportWaiting}
	err := tx.row(ctx, `SELECT r.problem FROM project p JOIN report r ON r.project = p.project AND r.request = 0
		WHERE p.run = $1 AND (r.wanted > r.done OR r.retry_at > 0)`, run).Scan(&report.Problem)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return &report, err
}

// Latest returns the last run of the project that ended, and whether another has been owed or under way for some seconds.
// Its id is "" where there is none.
func (s *Store) Latest(ctx context.Context, project int64) (run contactsync.Run, owed bool, err error) {
	err = s.read(ctx, fmt.Sprintf("reading the last run of project %d", project), func(tx tx) error {
		var id string
		run, owed = contactsync.Run{}, false
		err := tx.row(ctx, `SELECT run, wanted > done AND wanted_at < $2 FROM project WHERE project = $1`, project,
			millis(s.options.Now().Add(-reportPatience))).Scan(&id, &owed)
		if err == nil {
			run, err = scanRun(tx.row(ctx, `SELECT `+runColumns+` FROM run WHERE id = $1`, id))
		}
		if errors.Is(err, sql.ErrNoRows) {
			run = contactsync.Run{}
			return nil
		}
		if err != nil {
			return err
		}
		return complete(ctx, tx, &run)
	})
	return run, owed, err
}

// Told returns what stands on the forge beside a commit, or in a merge request (its number behind "!").
func (s *Store) Told(ctx context.Context, project int64, subject string) (told contactsync.Told, err error) {
	err = s.read(ctx, "reading what was told about "+subject, func(tx tx) error {
		err := tx.row(ctx, `SELECT run, status, discussion, note, noting, body, wrong, resolved, resolving FROM told WHERE project = $1 AND subject = $2`, project, subject).
			Scan(&told.Run, &told.Status, &told.Note.Discussion, &told.Note.ID, &told.Noting, &told.Text, &told.Wrong, &told.Resolved, &told.Resolving)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return told, err
}

// SaveTold remembers what stands on the forge.
func (s *Store) SaveTold(ctx context.Context, project int64, subject string, told contactsync.Told) error {
	return s.writeHeld(ctx, "remembering what was told about "+subject, func(tx tx) error {
		_, err := tx.exec(ctx, `INSERT INTO told (project, subject, run, status, discussion, note, noting, body, wrong, resolved, resolving, written_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
			ON CONFLICT (project, subject) DO UPDATE SET run = excluded.run, status = excluded.status, discussion = excluded.discussion,
				note = excluded.note, noting = excluded.noting, body = excluded.body, wrong = excluded.wrong, resolved = excluded.resolved,
				resolving = excluded.resolving, written_at = excluded.written_at`,
			project, subject, told.Run, told.Status, told.Note.Discussion, told.Note.ID, told.Noting, told.Text, told.Wrong, told.Resolved,
			told.Resolving, millis(s.options.Now()))
		return err
	})
}

// Again asks for another telling about the project, when the one under way has ended.
func (s *Store) Again(ctx context.Context, project int64) error {
	return s.writeHeld(ctx, fmt.Sprintf("asking for another telling about project %d", project), func(tx tx) error {
		_, err := s.wantReport(ctx, tx, wish{project: project})
		return err
	})
}

// Badge returns the part of the address of a project's badge that nobody can guess, and how it was last set on the
// forge, a zero one for never. The first call makes the former.
func (s *Store) Badge(ctx context.Context, project int64) (key string, shown contactsync.Badge, err error) {
	err = s.writeHeld(ctx, fmt.Sprintf("reading the badge of project %d", project), func(tx tx) error {
		return tx.row(ctx, `INSERT INTO badge (project, key, number, link, image) VALUES ($1, $2, 0, '', '')
			ON CONFLICT (project) DO UPDATE SET link = badge.link RETURNING key, number, link, image`, project, strings.ToLower(rand.Text())).
			Scan(&key, &shown.ID, &shown.Link, &shown.Image)
	})
	return key, shown, err
}

// SaveBadge remembers how a badge was set on the forge. Its name is not kept.
func (s *Store) SaveBadge(ctx context.Context, project int64, shown contactsync.Badge) error {
	return s.writeHeld(ctx, fmt.Sprintf("remembering the badge of project %d", project), func(tx tx) error {
		_, err := tx.exec(ctx, `UPDATE badge SET number = $1, link = $2, image = $3 WHERE project = $4`, shown.ID, shown.Link, shown.Image, project)
		return err
	})
}

// Sight is what a badge may tell of a project.
type Sight struct {
	Status   contactsync.Status // of the last run; "" where none has ended
	Contacts int                // after the last one that succeeded or found nothing to do
	Synced   time.Time          // when that ended; zero where there was none
}

// Sight returns what the badge with that key may tell, and false where there is none.
func (s *Store) Sight(ctx context.Context, key string) (sight Sight, found bool, err error) {
	err = s.read(ctx, "reading what a badge tells", func(tx tx) error {
		var synced int64
		err := tx.row(ctx, `SELECT COALESCE(p.status, ''), COALESCE(p.contacts, 0), COALESCE(p.synced_at, 0)
			FROM badge b LEFT JOIN project p ON p.project = b.project WHERE b.key = $1`, key).Scan(&sight.Status, &sight.Contacts, &synced)
		found = err == nil
		sight.Synced = instant(synced)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return sight, found, err
}
