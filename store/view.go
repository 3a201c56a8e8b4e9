package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// view reads a database file without leaving a trace.
//
// A read-only connection to a database in WAL mode creates the log and its index next to the file and cannot take
// them away again (https://www.sqlite.org/wal.html#read_only_databases). So while there is no log, which means that
// nobody has the database open, the file is opened as immutable: no lock, no file. That is right only as long as
// nobody starts to write, hence the look at the file before and after each read, and the repetition. Each read opens
// the file anew, because a connection that stays keeps a writer's last one from tidying up.
type view struct{ path string }

// fileState is what tells whether somebody has written since.
type fileState struct {
	exists  bool
	logged  bool // the log is there: somebody has the database open, or died while having it
	size    int64
	written time.Time
}

func (v view) look() (fileState, error) {
	file, err := os.Stat(v.path)
	if errors.Is(err, fs.ErrNotExist) {
		return fileState{}, nil
	}
	if err != nil {
		return fileState{}, err
	}
	_, err = os.Stat(v.path + "-wal")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fileState{}, err
	}
	return fileState{exists: true, logged: err == nil, size: file.Size(), written: file.ModTime()}, nil
}

// read runs the queries against the newest state; it does not run them where there is no schema yet.
func (v view) read(ctx context.Context, queries func(tx) error) error {
	return v.readAny(ctx, func(tx tx, version int64) error {
		switch version {
		case 0:
			return nil
		case newestVersion():
			return queries(tx)
		default:
			return fmt.Errorf("%w: schema %d, needed is %d", errOlder, version, newestVersion())
		}
	})
}

func (view) write(context.Context, func(tx) error) error { return ErrReadOnly }

func (view) close() error { return nil }

// version returns the version of the schema, 0 where there is none yet.
func (v view) version(ctx context.Context) (found int64, err error) {
	err = v.readAny(ctx, func(_ tx, version int64) error {
		found = version
		return nil
	})
	return found, err
}

func (v view) readAny(ctx context.Context, queries func(tx tx, version int64) error) error {
	const tries = 5
	for n := 1; ; n++ {
		before, err := v.look()
		if err != nil || !before.exists || (before.size == 0 && !before.logged) {
			return err
		}
		failure := v.readState(ctx, before, queries)
		if before.logged && !isBusy(failure) {
			return failure // SQLite's own locks kept writers at bay
		}
		after, err := v.look()
		if err != nil {
			return err
		}
		if after == before && !isBusy(failure) {
			return failure
		}
		if n == tries {
			return errors.Join(errors.New("the file changed during each of several reads"), failure)
		}
	}
}

func (v view) readState(ctx context.Context, state fileState, queries func(tx, int64) error) error {
	parameters := reading
	if !state.logged {
		parameters += "&immutable=1"
	}
	db, err := sql.Open("sqlite", dsn(v.path, parameters))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	err = readOnce(ctx, db, func(tx tx) error {
		version, err := schemaVersion(ctx, tx)
		if err != nil {
			return err
		}
		return queries(tx, version)
	})
	return errors.Join(err, db.Close())
}
