package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"contactsync"
)

const (
	// connections is how many a process keeps to a PostgreSQL, unless the address says pool_max_conns: the queue's
	// own, and one for each hook or run that reads or writes at the same moment.
	connections = 16
	// connectTimeout bounds one try to connect, unless the address says connect_timeout.
	connectTimeout = 5 * time.Second
	// pingTimeout bounds the question whether a connection that was idle is alive still, unless the address says
	// pool_ping_timeout.
	pingTimeout = 2 * time.Second
	// answerTime bounds one transaction. Nothing here takes nearly as long; a connection whose other end vanished without
	// a word does, for a quarter of an hour.
	answerTime = 10 * time.Second
	// idleLimit is how long a transaction of a process that is not heard of keeps what it has locked, unless the address
	// says idle_in_transaction_session_timeout. A process that is frozen in the middle of one would otherwise make every
	// other one refuse the hooks of that project for as long as it does not wake up. Shorter than hooks are waited for.
	idleLimit = "3s"
	idleName  = "idle_in_transaction_session_timeout"
	// migrationLock keeps two processes that start at the same moment from making the same migration.
	migrationLock = 0x636f6e74616374 // "contact"
)

func isPostgres(address string) bool {
	return strings.HasPrefix(address, "postgres://") || strings.HasPrefix(address, "postgresql://")
}

// postgres is a database on a server, which many processes share.
type postgres struct {
	pool *pgxpool.Pool
	view bool // it only reads
	// void: there are no tables of ours, so there is nothing to read.
	void bool
}

// openPool checks the address and connects. Neither the address nor an error that repeats it is shown: it may hold a
// password.
func openPool(ctx context.Context, address string, change func(*pgxpool.Config)) (*pgxpool.Pool, error) {
	settings, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, &contactsync.Error{
			Class: contactsync.ClassInternal, Detail: `the store's address "postgres://…" cannot be understood`, Err: ErrAddress,
			Who: contactsync.WhoOperator, Retry: contactsync.RetryNo,
			Remedy: "Write store: postgres://USER@HOST:PORT/DATABASE; the password may be in a file that the parameter passfile names.",
		}
	}
	if !strings.Contains(address, "pool_max_conns") {
		settings.MaxConns = connections
	}
	if settings.ConnConfig.ConnectTimeout == 0 {
		settings.ConnConfig.ConnectTimeout = connectTimeout
	}
	if settings.PingTimeout == 0 {
		settings.PingTimeout = pingTimeout
	}
	change(settings)
	return pgxpool.NewWithConfig(ctx, settings)
}

func openPostgres(ctx context.Context, address string, options Options) (_ *Store, err error) {
	pool, err := openPool(ctx, address, func(settings *pgxpool.Config) {
		settings.ConnConfig.RuntimeParams["application_name"] = "contactsync"
		if _, given := settings.ConnConfig.RuntimeParams[idleName]; given {
			return
		}
		// Not a parameter of the connection: poolers such as PgBouncer refuse those that they do not know.
		settings.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "SET "+idleName+" = '"+idleLimit+"'")
			return err
		}
	})
	if err != nil {
		return nil, err
	}
	s := &Store{options: options, db: &postgres{pool: pool}}
	if err := migratePostgres(ctx, pool); err != nil {
		return nil, errors.Join(explain("opening the store postgres://…", err), s.Close())
	}
	s.queue, err = newPostgresQueue(pool)
	return s, explain("opening the queue of the store postgres://…", err)
}

func viewPostgres(ctx context.Context, address string) (database, error) {
	pool, err := openPool(ctx, address, func(settings *pgxpool.Config) {
		settings.MaxConns = 2
		settings.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	})
	if err != nil {
		return nil, err
	}
	p := &postgres{pool: pool, view: true}
	err = p.read(ctx, func(tx tx) error {
		version, err := postgresVersion(ctx, tx)
		p.void = version == 0
		if err == nil && version != 0 && version != newestVersion() {
			err = fmt.Errorf("%w: schema %d, needed is %d", errOlder, version, newestVersion())
		}
		return err
	})
	if err != nil {
		pool.Close()
		return nil, explain("opening the store postgres://…", err)
	}
	return p, nil
}

func (p *postgres) read(ctx context.Context, queries func(tx) error) error {
	if p.void {
		return nil
	}
	return p.transact(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, queries)
}

func (p *postgres) write(ctx context.Context, changes func(tx) error) error {
	if p.view {
		return ErrReadOnly
	}
	return p.transact(ctx, pgx.TxOptions{}, changes)
}

var errSilent = errors.New("the database did not answer in time")

// transact closes the connection when its time is over: that wakes whoever waits for it, the queue's statements too.
func (p *postgres) transact(ctx context.Context, options pgx.TxOptions, do func(tx) error) error {
	conn, err := p.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	var silent atomic.Bool
	line := conn.Conn().PgConn().Conn()
	watchdog := time.AfterFunc(answerTime, func() {
		silent.Store(true)
		line.Close()
	})
	defer watchdog.Stop()
	err = pgx.BeginTxFunc(ctx, conn, options, func(tx pgx.Tx) error { return do(postgresTx{tx}) })
	if err != nil && silent.Load() {
		return errSilent
	}
	return err
}

func (p *postgres) close() error {
	p.pool.Close()
	return nil
}

// migratePostgres brings the schema to the newest version, one process at a time.
func migratePostgres(ctx context.Context, pool *pgxpool.Pool) (err error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, migrationLock); err != nil {
		return err
	}
	defer func() {
		_, unlocked := conn.Exec(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, migrationLock)
		err = errors.Join(err, unlocked)
	}()
	if _, err := postgresVersion(ctx, connection{conn}); err != nil {
		return err
	}
	if err := migrateQueue(ctx, riverpgxv5.New(pool)); err != nil {
		return err
	}
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	return migrate(ctx, goose.DialectPostgres, db)
}

// connection lets one connection be asked outside of a transaction.
type connection struct{ *pgxpool.Conn }

func (c connection) row(ctx context.Context, query string, values ...any) scanner {
	return postgresRow{c.QueryRow(ctx, query, values...)}
}

// postgresVersion returns the version of the schema, 0 where there is none yet. Other tables in the same database
// are others' business.
func postgresVersion(ctx context.Context, from rower) (int64, error) {
	var there bool
	if err := from.row(ctx, `SELECT to_regclass($1) IS NOT NULL`, schemaTable).Scan(&there); err != nil || !there {
		return 0, err
	}
	return ourVersion(ctx, from)
}

// sqlState is PostgreSQL's code of an error, "" for one of another origin.
// Source: https://www.postgresql.org/docs/15/errcodes-appendix.html
func sqlState(err error) string {
	var failure *pgconn.PgError
	if errors.As(err, &failure) {
		return failure.Code
	}
	return ""
}

// isPostgresBusy reports whether the same may simply be tried again: two transactions were in each other's way, or the
// connection was gone before anything was sent.
func isPostgresBusy(err error) bool {
	switch sqlState(err) {
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return true
	}
	return err != nil && !errors.Is(err, sql.ErrNoRows) && pgconn.SafeToRetry(err) && !isConnect(err)
}

// isConnect reports whether the server could not be reached at all, which a moment's patience does not mend.
func isConnect(err error) bool {
	var refused *pgconn.ConnectError
	return errors.As(err, &refused)
}

// postgresRemedy tells an operator how to mend what PostgreSQL said, "" where only a developer could.
func postgresRemedy(err error) string {
	state := sqlState(err)
	switch {
	case errors.Is(err, errSilent):
		return "Look whether the store's database is overloaded, or cannot be reached from here; nothing that was stored is lost."
	case strings.HasPrefix(state, "28"), state == "3D000":
		return "Check the user, the password and the name of the database in the store's address."
	case state == "42501", state == "25006":
		return "Let the store's user read and write its database: it needs the right to create tables there."
	case state == "53100":
		return makeRoom
	case isConnect(err), pgconn.Timeout(err), strings.HasPrefix(state, "57P"), strings.HasPrefix(state, "08"), strings.HasPrefix(state, "53"):
		return "Check that the PostgreSQL of the store is up and can be reached; nothing that was stored is lost."
	}
	return ""
}
