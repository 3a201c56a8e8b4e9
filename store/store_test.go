package store_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"contactsync"
	"contactsync/internal/postgrestest"
	"contactsync/store"
)

// clock is a clock that moves when it is told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// noWait is for tests in which nothing ever has to wait.
func noWait(t *testing.T) func(context.Context, time.Duration) error {
	return func(ctx context.Context, _ time.Duration) error {
		<-ctx.Done() // the heartbeat waits for the end of the hold
		return ctx.Err()
	}
}

func mustOpen(t testing.TB, address string, options store.Options) *store.Store {
	t.Helper()
	return must(t, store.Open, address, options)
}

func mustView(t testing.TB, address string, options store.Options) *store.Store {
	t.Helper()
	return must(t, store.View, address, options)
}

func must(t testing.TB, open func(context.Context, string, store.Options) (*store.Store, error), address string, options store.Options) *store.Store {
	t.Helper()
	s, err := open(t.Context(), address, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return s
}

func newAddress(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "store.db") }

// onEach runs a test on an empty SQLite store, and on an empty PostgreSQL one.
func onEach(t *testing.T, test func(t *testing.T, address string)) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) { t.Parallel(); test(t, newAddress(t)) })
	t.Run("PostgreSQL", func(t *testing.T) { t.Parallel(); test(t, postgrestest.New(t)) })
}

func pathOf(address string) string { return strings.TrimPrefix(address, "sqlite:") }

// files lists the folder of the store.
func files(t *testing.T, address string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(pathOf(address)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return strings.Join(names, " ")
}

// Addresses that cannot be used are named as such, and their passwords are not repeated.
func TestOpenRefusesAddresses(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for address, want := range map[string]string{
		"":                                    "it must be sqlite:PATH or postgres://",
		"contactsync.db":                      "it must be sqlite:PATH",
		"sqlite:":                             "it must be sqlite:PATH",
		"sqlite::memory:":                     "it must be sqlite:PATH",
		"mysql://ada:sesame@db.example.com/x": "it must be sqlite:PATH",
		"postgres://ada:sesame@db.example.com:port/x":              "cannot be understood",
		"postgresql://ada:sesame@db.example.com/x?sslmode=perhaps": "cannot be understood",
		"sqlite:" + folder:                           "is a folder, not a file",
		"sqlite:" + filepath.Join(folder, "no", "x"): "does not exist",
	} {
		for name, open := range map[string]func(context.Context, string, store.Options) (*store.Store, error){
			"Open": store.Open, "View": store.View,
		} {
			_, err := open(t.Context(), address, store.Options{})
			if !errors.Is(err, store.ErrAddress) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s(%q): got %v, want ErrAddress with %q", name, address, err, want)
			}
			if err != nil && strings.Contains(err.Error(), "sesame") {
				t.Errorf("%s(%q) repeats the password: %v", name, address, err)
			}
		}
	}
}

// A relative address is relative to the working directory, whatever characters are in it.
func TestOpenTakesOddPaths(t *testing.T) {
	t.Chdir(t.TempDir())
	const name = "a b%20?mode=memory#ä&x=1.db"
	s, err := store.Open(t.Context(), "sqlite:"+name, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(name); err != nil {
		t.Errorf("the file is not where it should be: %v", err)
	}
}

// The file, and the log beside it, are for their owner's eyes, and one complete file is left at the end.
func TestFilesAreForTheOwnerAlone(t *testing.T) {
	t.Parallel()
	address := newAddress(t)
	s, err := store.Open(t.Context(), address, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(files(t, address)) {
		info, err := os.Stat(filepath.Join(filepath.Dir(pathOf(address)), name))
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o, want 600", name, mode)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if got := files(t, address); got != "store.db" {
		t.Errorf("files left behind: %s", got)
	}
}

// What was stored is there after the store was closed and opened again.
func TestOpenAgain(t *testing.T) {
	t.Parallel()
	address := newAddress(t)
	for range 2 {
		s, err := store.Open(t.Context(), address, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SaveLinks(t.Context(), []contactsync.Link{{Project: 7, Organization: "42"}}, time.Time{}); err != nil {
			t.Fatal(err)
		}
		if err := s.Ping(t.Context()); err != nil {
			t.Errorf("ping: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := mustOpen(t, address, store.Options{}).Linked(t.Context(), 7)
	if err != nil || len(got) != 1 || got[0] != "42" {
		t.Errorf("got %v, %v", got, err)
	}
}

// Processes that open the same new store at the same moment all end up with a usable one.
func TestOpenTogether(t *testing.T) {
	t.Parallel()
	address := newAddress(t)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			s, err := store.Open(t.Context(), address, store.Options{})
			if err != nil {
				t.Errorf("opening: %v", err)
				return
			}
			err = s.SaveLinks(t.Context(), []contactsync.Link{{Project: int64(i + 1), Organization: string(rune('a' + i))}}, time.Time{})
			if err := errors.Join(err, s.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	s := mustOpen(t, address, store.Options{})
	for i := range 8 {
		if got, err := s.Linked(t.Context(), int64(i+1)); err != nil || len(got) != 1 {
			t.Errorf("project %d: got %v, %v", i+1, got, err)
		}
	}
}

// A file that is not a store of ours is refused with a remedy, and not a byte of it changes.
func TestOpenRefusesForeignFiles(t *testing.T) {
	t.Parallel()
	execute := func(t *testing.T, path string, statements ...string) {
		t.Helper()
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range statements {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]struct {
		prepare func(t *testing.T, path string)
		want    string
		remedy  string
	}{
		"a text": {
			func(t *testing.T, path string) {
				if err := os.WriteFile(path, []byte(strings.Repeat("- name: Ada Lovelace\n", 100)), 0o600); err != nil {
					t.Fatal(err)
				}
			}, "not a database", "The file is no database",
		},
		"another program's database": {
			func(t *testing.T, path string) { execute(t, path, `CREATE TABLE recipe (name TEXT)`) },
			"database of another program", "Name another file",
		},
		"a newer version's": {
			func(t *testing.T, path string) {
				s, err := store.Open(t.Context(), "sqlite:"+path, store.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				execute(t, path, `INSERT INTO contactsync_schema (version_id, is_applied) VALUES (999, 1)`)
			}, "made by a newer version of contactsync: schema 999", "Use that version",
		},
		"a damaged one": {
			func(t *testing.T, path string) {
				s, err := store.Open(t.Context(), "sqlite:"+path, store.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				content, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				for i := 100; i < 4096; i++ {
					content[i] = 0xA5
				}
				if err := os.WriteFile(path, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}, "malformed", "The store is damaged",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := newAddress(t)
			test.prepare(t, pathOf(address))
			before, err := os.ReadFile(pathOf(address))
			if err != nil {
				t.Fatal(err)
			}
			for _, open := range []func(context.Context, string, store.Options) (*store.Store, error){store.View, store.Open} {
				_, err := open(t.Context(), address, store.Options{})
				if err == nil {
					t.Fatal("it was taken")
				}
				failure := contactsync.FailureOf(err)
				if failure.Class != contactsync.ClassInternal || failure.Who != contactsync.WhoOperator ||
					!strings.Contains(failure.Detail, test.want) || !strings.Contains(failure.Remedy, test.remedy) {
					t.Errorf("got %+v", failure)
				}
			}
			after, err := os.ReadFile(pathOf(address))
			if err != nil {
				t.Fatal(err)
			}
			if string(before) != string(after) {
				t.Error("the file was changed")
			}
			if got := files(t, address); got != "store.db" {
				t.Errorf("files: %s", got)
			}
		})
	}
}

// A folder in which no file can be made is named with what to do about it.
func TestOpenInReadOnlyFolder(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	if err := os.Chmod(folder, 0o500); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		folder = "/sys" // not even root can make a file there
	}
	_, err := store.Open(t.Context(), "sqlite:"+filepath.Join(folder, "contactsync.db"), store.Options{})
	if err == nil {
		t.Fatal("it was opened")
	}
	failure := contactsync.FailureOf(err)
	if failure.Who != contactsync.WhoOperator || !strings.HasPrefix(failure.Remedy, "Let the user that runs contactsync") {
		t.Errorf("got %+v", failure)
	}
}

// A caller that gave up gets its own word back, not a failure of the store.
func TestGivingUpIsNoFailure(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, newAddress(t), store.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Ping(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Runs(ctx, store.Filter{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A store that another process writes to is waited for, and whoever waits may give up.
func TestBusyStore(t *testing.T) {
	t.Parallel()
	address := newAddress(t)
	ctx, giveUp := context.WithCancel(t.Context())
	waits := 0
	s := mustOpen(t, address, store.Options{Wait: func(ctx context.Context, _ time.Duration) error {
		waits++
		giveUp()
		return ctx.Err()
	}})
	other, err := sql.Open("sqlite", "file:"+pathOf(address)+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	tx, err := other.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(ctx); !errors.Is(err, context.Canceled) || waits != 1 {
		t.Errorf("while the other writes: got %v after %d waits", err, waits)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := s.Ping(t.Context()); err != nil || waits != 1 {
		t.Errorf("afterwards: got %v after %d waits", err, waits)
	}
}
