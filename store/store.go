// Package store keeps what must outlive a process: which organization belongs to which project, the audit trail of
// runs, approvals, the membership that each good run left, and the leases that keep two runs of one project apart.
//
// It is also the queue of what is still to be run, so that what was accepted and what is to follow from it are written
// in one transaction.
//
// It is one SQLite file (https://www.sqlite.org/wal.html), which several processes on one machine may share, or a
// PostgreSQL for many machines; the SQL is one text for both. Nothing secret is ever stored, and of people only what
// the audit trail needs.
package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"time"

	"contactsync"
)

// Errors that callers branch on, beside the class.
var (
	ErrAddress   = errors.New("the store's address cannot be used")
	ErrNotFound  = errors.New("no such run")
	ErrAmbiguous = errors.New("several runs begin like this")
	ErrReadOnly  = errors.New("the store was opened for reading alone")
	ErrLeaseLost = errors.New("the project's lease was lost")
	ErrTaken     = errors.New("another process works on the store")
)

// Options are what a store takes from its surroundings. The zero Options are ready to use.
type Options struct {
	// Desk names the account that links and baselines belong to, such as its URL. Those of another account are
	// kept apart, so that pointing the configuration elsewhere never mixes the two up.
	Desk string

	// Now is the clock; nil is time.Now, and for leases on a PostgreSQL that one's own clock, because the clocks of
	// several machines need not agree.
	Now    func() time.Time
	Wait   func(context.Context, time.Duration) error // until the time has passed, or why not
	NewID  func() string                              // a random text that never comes twice
	Holder string                                     // who holds leases, for people; host, process and a random part

	// Reports names the way in which people on the forge are told how runs ended, such as a digest of what is configured
	// about it; "" tells nobody. Where it changes, everything is told again.
	Reports string

	// LeaseTTL is how long a project stays taken after its holder was last heard of; 60 seconds.
	LeaseTTL time.Duration

	ownClock bool // Now was not given
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now, o.ownClock = time.Now, true
	}
	if o.Wait == nil {
		o.Wait = wait
	}
	if o.NewID == nil {
		o.NewID = rand.Text
	}
	if o.Holder == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "unknown host"
		}
		o.Holder = fmt.Sprintf("%s:%d:%s", host, os.Getpid(), o.NewID())
	}
	if o.LeaseTTL <= 0 {
		o.LeaseTTL = time.Minute
	}
	return o
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// Store is the durable state. It may be used by several goroutines, and one database by several Stores and processes.
type Store struct {
	options Options
	db      database
	links   *linkMemory // of a view, which cannot save them; nil in a store
	queue   queue       // nil in a view
}

// Open opens the store, creating and upgrading it where needed. The address is "sqlite:PATH", PATH relative to the
// working directory, whose folder must exist, or a "postgres://" URL. A new file is readable by its owner alone.
//
// Errors: ErrAddress for an address that cannot be used, which that of another program's or a newer version's data is
// too: it is left as it is. Else internal, with a remedy for operators where one helps.
func Open(ctx context.Context, address string, options Options) (*Store, error) {
	options = options.withDefaults()
	if isPostgres(address) {
		return openPostgres(ctx, address, options)
	}
	return openSQLite(ctx, address, options)
}

// View opens the store for reading, and writes nothing: no file is created, upgraded or left behind. A file that does
// not exist, or a database without our tables, is an empty store. SaveLinks is kept in memory; every other write is
// refused with ErrReadOnly. Errors are those of Open.
func View(ctx context.Context, address string, options Options) (*Store, error) {
	s := &Store{options: options.withDefaults(), links: newLinkMemory()}
	var err error
	if isPostgres(address) {
		s.db, err = viewPostgres(ctx, address)
	} else {
		s.db, err = viewSQLite(address)
	}
	if err != nil {
		return nil, err
	}
	if err := s.Ping(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Close waits for queries under way. It leaves one complete SQLite file behind, when no other process uses it.
func (s *Store) Close() error { return explain("closing the store", s.db.close()) }

// Ping proves that the store can be used: that it can be written, or in a view that it can be read.
func (s *Store) Ping(ctx context.Context) error {
	if s.links != nil {
		return s.read(ctx, "reading the store", func(tx) error { return nil })
	}
	// Writing what is there already takes every step of a write without leaving a trace.
	return s.write(ctx, "writing to the store", func(tx tx) error {
		_, err := tx.exec(ctx, `INSERT INTO links_read (desk, read_until) VALUES ($1, 0)
			ON CONFLICT (desk) DO UPDATE SET read_until = links_read.read_until`, s.options.Desk)
		return err
	})
}

// read runs queries that see one state of the store. In a view of an empty store they are not run at all, so what
// they would have set keeps its zero value.
func (s *Store) read(ctx context.Context, doing string, queries func(tx) error) error {
	return explain(doing, s.patiently(ctx, func() error { return s.db.read(ctx, queries) }))
}

// write makes changes, all of them or none. They may be made again when the store was busy.
func (s *Store) write(ctx context.Context, doing string, changes func(tx) error) error {
	return explain(doing, s.patiently(ctx, func() error { return s.db.write(ctx, changes) }))
}

func (s *Store) patiently(ctx context.Context, try func() error) error {
	return patiently(ctx, s.options.Wait, try)
}

// patiently repeats what failed because somebody else was writing. SQLite itself waits busyTimeout each time but does
// not notice meanwhile that the caller gave up, so several short waits are better than a long one.
func patiently(ctx context.Context, wait func(context.Context, time.Duration) error, try func() error) error {
	const tries = 10
	pause := 5 * time.Millisecond
	for n := 1; ; n++ {
		err := try()
		if n == tries || !isBusy(err) {
			return err
		}
		if waited := wait(ctx, pause); waited != nil {
			return errors.Join(waited, err)
		}
		pause *= 2
	}
}

// millis is a time as it is stored.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// instant is a stored time.
func instant(millis int64) time.Time {
	if millis == 0 {
		return time.Time{}
	}
	return time.UnixMilli(millis).UTC()
}

// explain says what was being done, and gives what operators can mend a remedy. A caller that gave up is not a
// failure of the store, and stays what it is.
func explain(doing string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", doing, err)
	var classed *contactsync.Error
	if contactsync.IsCanceled(err) || errors.As(err, &classed) {
		return err
	}
	explained := &contactsync.Error{Class: contactsync.ClassInternal, Detail: err.Error(), Err: err}
	if remedy := remedyFor(err); remedy != "" {
		explained.Who, explained.Retry, explained.Remedy = contactsync.WhoOperator, contactsync.RetryLater, remedy
	}
	if isForeign(err) { // another file was meant
		explained.Err = errors.Join(ErrAddress, err)
	}
	return explained
}
