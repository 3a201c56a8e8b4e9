package main

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // for database/sql
	_ "modernc.org/sqlite"             // for database/sql

	"contactsync/bench/measure"
)

// onPostgres gives do the address of a database of its own.
func (b *bench) onPostgres(ctx context.Context, do func(address string) error) (err error) {
	address, err := url.Parse(b.postgres)
	if err != nil {
		return fmt.Errorf("%s is no address", Postgres)
	}
	server, err := sql.Open("pgx", b.postgres)
	if err != nil {
		return err
	}
	defer server.Close()
	name := "contactsync_bench_" + strings.ToLower(rand.Text()[:12])
	if _, err := server.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		return err
	}
	defer func() {
		_, dropped := server.ExecContext(context.WithoutCancel(ctx), "DROP DATABASE "+name+" WITH (FORCE)")
		err = errors.Join(err, dropped)
	}()
	address.Path = "/" + name
	return do(address.String())
}

// postgresVersion says which server it is, and refuses one that does not keep what it confirms.
func postgresVersion(ctx context.Context, address string) (string, error) {
	server, err := sql.Open("pgx", address)
	if err != nil {
		return "", err
	}
	defer server.Close()
	var version, fsync, commit string
	err = server.QueryRowContext(ctx, `SELECT current_setting('server_version'), current_setting('fsync'), current_setting('synchronous_commit')`).
		Scan(&version, &fsync, &commit)
	if err == nil && (fsync != "on" || commit != "on") {
		err = fmt.Errorf("the PostgreSQL has fsync %s and synchronous_commit %s: both must be on", fsync, commit)
	}
	return version, err
}

// ledger is the store of a service, read from outside.
type ledger struct{ *sql.DB }

func openLedger(address string) (ledger, error) {
	driver := "pgx"
	if path, ok := strings.CutPrefix(address, "sqlite:"); ok {
		driver, address = "sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: "mode=ro&_busy_timeout=5000"}).String()
	}
	db, err := sql.Open(driver, address)
	return ledger{db}, err
}

func (l ledger) count(ctx context.Context, query string, values ...any) (n int, err error) {
	err = l.QueryRowContext(ctx, query, values...).Scan(&n)
	return n, err
}

const (
	deliveries = `SELECT COUNT(*) FROM delivery`
	owed       = `SELECT COUNT(*) FROM project WHERE wanted > done OR retry_at > 0`
)

// settleTime is how long runs may take to come to an end once no more hooks arrive.
const settleTime = 2 * time.Minute

// settled waits until no run is owed.
func (l ledger) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	for {
		n, err := l.count(ctx, owed)
		if err == nil && n == 0 {
			return nil
		}
		if err == nil {
			err = wait(ctx, 50*time.Millisecond)
		}
		if err != nil {
			return fmt.Errorf("waiting for %d projects to be run: %w", n, err)
		}
	}
}

// wait lets time pass.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// runs returns the runs that began since, and how many there are of each status.
func (l ledger) runs(ctx context.Context, since time.Time) ([]measure.Span, map[string]int, error) {
	rows, err := l.QueryContext(ctx, `SELECT project, status, started_at, finished_at FROM run WHERE started_at >= $1 ORDER BY seq`, since.UnixMilli())
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	var spans []measure.Span
	statuses := map[string]int{}
	for rows.Next() {
		var project, status string
		var from, to int64
		if err := rows.Scan(&project, &status, &from, &to); err != nil {
			return nil, nil, err
		}
		id, err := strconv.ParseInt(project, 10, 64)
		if err != nil {
			return nil, nil, err
		}
		spans = append(spans, measure.Span{Project: id, From: time.UnixMilli(from), To: time.UnixMilli(to)})
		statuses[status]++
	}
	return spans, statuses, rows.Err()
}
