package store

import (
	"context"
	"database/sql"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
)

// database is what stands behind a Store: one SQLite file, a view of it, or a PostgreSQL. The SQL is the same text
// for all.
type database interface {
	// read runs queries that see one state. It does not run them where there is no schema yet, and nothing to read.
	read(ctx context.Context, queries func(tx) error) error
	// write makes changes, all of them or none. A view refuses with ErrReadOnly.
	write(ctx context.Context, changes func(tx) error) error
	close() error
}

// tx is one transaction, of either database.
type tx interface {
	exec(ctx context.Context, query string, values ...any) (rowsAffected int64, err error)
	query(ctx context.Context, query string, values ...any) (rows, error)
	rower
}

// rower answers with one row; its Scan returns sql.ErrNoRows where there is none.
type rower interface {
	row(ctx context.Context, query string, values ...any) scanner
}

type scanner interface{ Scan(into ...any) error }

type rows interface {
	scanner
	Next() bool
	Err() error
	Close()
}

type sqliteTx struct{ *sql.Tx }

func (t sqliteTx) exec(ctx context.Context, query string, values ...any) (int64, error) {
	done, err := t.ExecContext(ctx, query, values...)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

func (t sqliteTx) query(ctx context.Context, query string, values ...any) (rows, error) {
	found, err := t.QueryContext(ctx, query, values...) //nolint:rowserrcheck // the caller closes what it is given, and asks it
	if err != nil {
		return nil, err
	}
	return sqliteRows{found}, nil
}

func (t sqliteTx) row(ctx context.Context, query string, values ...any) scanner {
	return t.QueryRowContext(ctx, query, values...)
}

type sqliteRows struct{ *sql.Rows }

func (r sqliteRows) Close() { _ = r.Rows.Close() } // Err has said what went wrong

type postgresTx struct{ pgx.Tx }

func (t postgresTx) exec(ctx context.Context, query string, values ...any) (int64, error) {
	done, err := t.Exec(ctx, query, storable(values)...)
	return done.RowsAffected(), err
}

func (t postgresTx) query(ctx context.Context, query string, values ...any) (rows, error) {
	return t.Query(ctx, query, storable(values)...) //nolint:sqlclosecheck // the caller closes what it is given
}

func (t postgresTx) row(ctx context.Context, query string, values ...any) scanner {
	return postgresRow{t.QueryRow(ctx, query, storable(values)...)}
}

type postgresRow struct{ pgx.Row }

func (r postgresRow) Scan(into ...any) error {
	err := r.Row.Scan(into...)
	if errors.Is(err, pgx.ErrNoRows) {
		return sql.ErrNoRows
	}
	return err
}

// storable takes out of texts what PostgreSQL refuses to keep: bytes that are no UTF-8, and NUL. Such things come from
// other systems, and a run must not be lost to the history for them.
func storable(values []any) []any {
	for i, value := range values {
		if text, ok := value.(string); ok {
			values[i] = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
		}
	}
	return values
}
