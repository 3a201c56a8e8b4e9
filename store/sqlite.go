package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"

	"contactsync"
)

//go:embed migrations/*.sql
var migrations embed.FS

// schemaTable is where goose notes the migrations that were made. Its name tells our files from other programs'.
const schemaTable = "contactsync_schema"

// What writing and reading connections are told. Synchronous FULL: what was answered survives a power cut.
const (
	busyTimeout = "_busy_timeout=1000"
	writing     = busyTimeout + "&_txlock=immediate&_journal_mode=WAL&_synchronous=FULL&_foreign_keys=1"
	reading     = busyTimeout + "&mode=ro"
)

// sqlitePath returns the absolute path of the database, or an ErrAddress.
func sqlitePath(address string) (string, error) {
	refused := func(format string, args ...any) error {
		detail := fmt.Sprintf("the store's address %q: ", address) + fmt.Sprintf(format, args...)
		return &contactsync.Error{
			Class: contactsync.ClassInternal, Detail: detail, Err: ErrAddress,
			Who: contactsync.WhoOperator, Retry: contactsync.RetryNo,
			Remedy: "Write store: sqlite:PATH, where the folder of PATH exists, or store: postgres://…",
		}
	}
	path, ok := strings.CutPrefix(address, "sqlite:")
	if !ok || path == "" || strings.HasPrefix(path, ":") || strings.ContainsRune(path, 0) {
		if scheme, _, ok := strings.Cut(address, "://"); ok {
			address = scheme + "://…"
		}
		return "", refused("it must be sqlite:PATH or postgres://…")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", refused("%v", err)
	}
	folder, err := os.Stat(filepath.Dir(path))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", refused("the folder %s does not exist", filepath.Dir(path))
	case err != nil:
		return "", refused("%v", err)
	case !folder.IsDir():
		return "", refused("%s is no folder", filepath.Dir(path))
	}
	if file, err := os.Stat(path); err == nil && file.IsDir() {
		return "", refused("%s is a folder, not a file", path)
	}
	return path, nil
}

// dsn names the file so that no character of its path can be taken for a parameter.
func dsn(path, parameters string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(path), RawQuery: parameters}).String()
}

// sqliteFile is one file: one connection that writes, because SQLite has one writer, and some that read.
type sqliteFile struct {
	writer, reader *sql.DB
	// turn is held by whoever writes. Its waiters are served in their order; database/sql would pick one at random, and
	// a hook that is unlucky again and again would wait long behind runs that are not in a hurry.
	turn chan struct{}
}

func openSQLite(ctx context.Context, address string, options Options) (*Store, error) {
	path, err := sqlitePath(address)
	if err != nil {
		return nil, err
	}
	file := &sqliteFile{turn: make(chan struct{}, 1)}
	if err := file.open(ctx, path, options); err != nil {
		return nil, errors.Join(explain("opening the store "+address, err), file.close())
	}
	s := &Store{options: options, db: file}
	s.queue, err = newSQLiteQueue(file.writer, path)
	return s, explain("opening the queue of the store "+address, err)
}

func viewSQLite(address string) (database, error) {
	path, err := sqlitePath(address)
	return view{path}, err
}

func (f *sqliteFile) open(ctx context.Context, path string, options Options) (err error) {
	// Looked at before anything is written, so that a file that is not ours is not even turned into WAL mode.
	version, err := view{path}.version(ctx)
	if err != nil {
		return err
	}
	// SQLite would create the file for everyone to read; its log and index take the file's mode over.
	if err := createPrivate(path); err != nil {
		return err
	}
	if f.writer, err = openConnections(path, writing); err != nil {
		return err
	}
	f.writer.SetMaxOpenConns(1)
	if f.reader, err = openConnections(path, reading); err != nil {
		return err
	}
	f.reader.SetMaxOpenConns(4)
	f.reader.SetMaxIdleConns(4)
	if err := patiently(ctx, options.Wait, func() error { return f.writer.PingContext(ctx) }); err != nil {
		return err
	}
	if version == newestVersion() {
		return nil
	}
	return migrateSQLite(ctx, f.writer)
}

func openConnections(path, parameters string) (*sql.DB, error) {
	connector, err := sqlite.NewConnector(dsn(path, parameters))
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(statements{connector}), nil
}

func (f *sqliteFile) read(ctx context.Context, queries func(tx) error) error {
	return readOnce(ctx, f.reader, queries)
}

func readOnce(ctx context.Context, db *sql.DB, queries func(tx) error) error {
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	return queries(sqliteTx{tx})
}

func (f *sqliteFile) write(ctx context.Context, changes func(tx) error) error {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	tx, err := f.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing; before, the first error says more
	if err := changes(sqliteTx{tx}); err != nil {
		return err
	}
	return tx.Commit()
}

func (f *sqliteFile) close() error {
	var errs []error
	// The reader first: SQLite folds its log into the file when the last connection that may write is closed.
	for _, db := range []*sql.DB{f.reader, f.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

func createPrivate(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return file.Close()
}

// migrateSQLite brings the schema to the newest version. Each migration is one transaction, so where two processes
// open a new file at the same moment, one of them fails at a step that the other has made, looks again and goes on.
// The queue's own tables come first: where our version is the newest, they are there.
func migrateSQLite(ctx context.Context, db *sql.DB) error {
	for tries := newestVersion() + 3; ; tries-- {
		err := migrateQueue(ctx, riversqlite.New(db))
		if err == nil {
			err = migrate(ctx, goose.DialectSQLite3, db)
		}
		if err == nil || tries == 0 || contactsync.IsCanceled(err) {
			return err
		}
	}
}

// migrate makes those of our migrations that are still to be made.
func migrate(ctx context.Context, dialect goose.Dialect, db *sql.DB) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(dialect, db, files,
		goose.WithTableName(schemaTable), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}

// newestVersion is the number of the last migration that this program brings.
func newestVersion() int64 {
	entries, err := migrations.ReadDir("migrations")
	if err != nil || len(entries) == 0 {
		return 0
	}
	number, _, _ := strings.Cut(entries[len(entries)-1].Name(), "_")
	version, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return 0
	}
	return version
}

// Why a file is refused.
var (
	errForeign = errors.New("the file is the database of another program")
	errNewer   = errors.New("the store was made by a newer version of contactsync")
	errOlder   = errors.New("the store is of an earlier version of contactsync")
)

// schemaVersion returns the version of the schema, 0 where there is none yet.
func schemaVersion(ctx context.Context, tx tx) (int64, error) {
	var tables, ours int64
	err := tx.row(ctx, `SELECT COUNT(*), COUNT(CASE WHEN name = $1 THEN 1 END) FROM sqlite_master
		WHERE type = 'table' AND name NOT GLOB 'river_*' AND name NOT GLOB 'sqlite_*'`, schemaTable).Scan(&tables, &ours)
	if err != nil || tables == 0 {
		return 0, err
	}
	if ours == 0 {
		return 0, errForeign
	}
	return ourVersion(ctx, tx)
}

// ourVersion returns the version of a schema that is ours.
func ourVersion(ctx context.Context, from rower) (version int64, err error) {
	if err := from.row(ctx, `SELECT COALESCE(MAX(version_id), 0) FROM `+schemaTable).Scan(&version); err != nil {
		return 0, err
	}
	if version > newestVersion() {
		return 0, fmt.Errorf("%w: schema %d, known are those up to %d", errNewer, version, newestVersion())
	}
	return version, nil
}

// resultCode is SQLite's primary result code, 0 for an error of another origin.
// Source: https://www.sqlite.org/rescode.html
func resultCode(err error) int {
	var failure *sqlite.Error
	if errors.As(err, &failure) {
		return failure.Code() & 0xff
	}
	return 0
}

// isForeign reports whether the file is not one of ours, or not yet.
func isForeign(err error) bool {
	return resultCode(err) == codes.SQLITE_NOTADB || errors.Is(err, errForeign) || errors.Is(err, errNewer)
}

func isBusy(err error) bool {
	code := resultCode(err)
	return code == codes.SQLITE_BUSY || code == codes.SQLITE_LOCKED || isPostgresBusy(err)
}

// Remedies that several errors share.
const (
	makeRoom   = "The disk of the store is full. Make room; nothing that was stored is lost."
	giveRights = "Let the user that runs contactsync read and write the store's file and its folder."
)

// remedyFor tells an operator how to mend what went wrong, "" where only a developer could.
func remedyFor(err error) string {
	switch resultCode(err) {
	case codes.SQLITE_BUSY, codes.SQLITE_LOCKED:
		return "Another process has been writing to the store for long. Look for one that hangs; the next try waits again."
	case codes.SQLITE_FULL:
		return makeRoom
	case codes.SQLITE_READONLY, codes.SQLITE_CANTOPEN, codes.SQLITE_PERM, codes.SQLITE_AUTH:
		return giveRights
	case codes.SQLITE_IOERR:
		return "The disk of the store does not answer as it should. Check it, and that the store is not on a network drive."
	case codes.SQLITE_NOTADB:
		return "The file is no database. Nothing was changed in it. Name another file under store, or move it away."
	case codes.SQLITE_CORRUPT:
		return "The store is damaged. Move the file away and start with a backup, or without: runs and approvals are lost then, contacts are not."
	}
	switch {
	case errors.Is(err, errForeign):
		return "Nothing was changed in it. Name another file under store."
	case errors.Is(err, errNewer):
		return "Nothing was changed in it. Use that version of contactsync, or newer, or name another file under store."
	case errors.Is(err, errOlder):
		return "Run contactsync sync once: it upgrades the store."
	case errors.Is(err, syscall.ENOSPC):
		return makeRoom
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return giveRights
	}
	return postgresRemedy(err)
}
