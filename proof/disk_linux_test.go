package proof_test

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// diskFault keeps a running process from writing its SQLite store, in the folder.
type diskFault struct {
	name string
	// prepare makes the folder ready, or says why this machine does not let us.
	prepare    func(t *testing.T, dir string) error
	begin, end func(w *world, p *process, dir string)
	// lasts is how long it does so; leaseTime where nothing is said.
	lasts time.Duration
}

// The limit on the size of files is a fault that every machine knows, whoever runs the tests: a write beyond it fails.
// A full disk and files that must not be changed are more like what happens to people, and take root.
//
// Taking the rights away does nothing to a process that has its files open, and a file system cannot be made read-only
// while it has; see TestRightsAreTaken.
var diskFaults = []diskFault{
	{name: "writes break off", begin: func(w *world, p *process, dir string) {
		refused := w.hooks.unavailable.more(1)
		limit(w, p, sizeOf(w, filepath.Join(dir, "contactsync.db-wal"))+3*4096) // in the middle of a transaction
		select {
		case <-refused:
		case <-time.After(leaseTime): // the log has begun anew, and everything fits
		}
		limit(w, p, 0)
	}, end: noLimit},
	{name: "nothing may be written", begin: func(w *world, p *process, _ string) { limit(w, p, 0) }, end: noLimit,
		// Within that the queue gives up on telling the database how its jobs ended.
		lasts: 10 * time.Second},
	{name: "the disk is full", prepare: func(t *testing.T, dir string) error {
		err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=32m")
		if err == nil {
			t.Cleanup(func() {
				if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
					t.Error(err)
				}
			})
		}
		return err
	}, begin: func(w *world, _ *process, dir string) {
		file, err := os.Create(filepath.Join(dir, "others"))
		if err != nil {
			w.Fatal(err)
		}
		for err == nil {
			_, err = file.Write(make([]byte, 64<<10))
		}
		if !errors.Is(err, syscall.ENOSPC) {
			w.Errorf("filling the disk: %v", err)
		}
		file.Close()
	}, end: func(w *world, _ *process, dir string) {
		if err := os.Remove(filepath.Join(dir, "others")); err != nil {
			w.Error(err)
		}
	}},
	{name: "files may not be changed", prepare: func(t *testing.T, dir string) error {
		path := filepath.Join(dir, "probe")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			return err
		}
		err := immutable(path, true)
		if err == nil {
			err = immutable(path, false)
			t.Cleanup(func() { unlockAll(t, dir) }) // before the folder is removed
		}
		return err
	}, begin: func(w *world, _ *process, dir string) {
		for _, path := range storeFiles(w, dir) {
			if err := immutable(path, true); err != nil {
				w.Fatal(err)
			}
		}
	}, end: func(w *world, _ *process, dir string) { unlockAll(w, dir) }},
}

// The store of a running process cannot be written for a while. Hooks are refused in a way that lets them come again,
// the process says that it is not ready, and once the fault is gone everything goes on by itself: nothing of what was
// answered before is lost.
func TestStoreCannotBeWritten(t *testing.T) {
	t.Parallel()
	for _, fault := range diskFaults {
		t.Run(fault.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if fault.prepare != nil {
				if err := fault.prepare(t, dir); err != nil {
					t.Skipf("this takes root, and a file system that knows it (%v)", err)
				}
			}
			w := newWorld(t, "sqlite:"+filepath.Join(dir, "contactsync.db"), 4)
			p := w.start("worker")
			load := w.load(rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0)), p)
			w.waitFor("hooks to be stored", w.hooks.stored.more(60))
			trap := w.ledger.hold(func(done write) bool { return len(done.joined) > 0 })
			trap.caught(w)
			fault.begin(w, p, dir)
			over := time.After(cmp.Or(fault.lasts, leaseTime))
			trap.open()
			w.waitFor("hooks to be refused", w.hooks.unavailable.more(30))
			if status, body := p.get(newClient(t), "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, `"store","ok":false`) {
				t.Errorf("/readyz: %d %s", status, body)
			}
			<-over // nothing tells when a fault has lasted long enough
			fault.end(w, p, dir)
			w.waitFor("hooks to be stored again", w.hooks.stored.more(30))
			load.stop()
			w.hooks.onlyUnavailable(t)
			w.recovers(p)
			w.allIsWell()
			p.stop()
			t.Logf("%d deliveries stored, refused: %v", len(w.hooks.all()), w.hooks.refused)
		})
	}
}

// limit lets no file of the process grow beyond the size, which is zero for no writing at all.
func limit(t testing.TB, p *process, size uint64) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, nil, &old); err != nil {
		t.Fatal(err)
	}
	old.Cur = min(size, old.Max)
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &old, nil); err != nil {
		t.Fatal(err)
	}
}

func noLimit(w *world, p *process, _ string) {
	w.Helper()
	limit(w, p, unix.RLIM_INFINITY)
}

func sizeOf(t testing.TB, path string) uint64 {
	t.Helper()
	file, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return uint64(file.Size())
}

func storeFiles(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func unlockAll(t testing.TB, dir string) {
	t.Helper()
	for _, path := range storeFiles(t, dir) {
		if err := immutable(path, false); err != nil {
			t.Error(err)
		}
	}
}

// immutable sets or clears the mark of a file that nobody may change, not even who has it open.
func immutable(path string, on bool) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	flags, err := unix.IoctlGetInt(int(file.Fd()), unix.FS_IOC_GETFLAGS)
	if err != nil {
		return err
	}
	flags &^= unix.STATX_ATTR_IMMUTABLE // the same bit as FS_IMMUTABLE_FL
	if on {
		flags |= unix.STATX_ATTR_IMMUTABLE
	}
	return unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, flags)
}

// The rights to the store's files are taken from a running process. It goes on, because it has them open; one that
// starts says what is missing; and once the rights are back, nothing is lost.
func TestRightsAreTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, "sqlite:"+filepath.Join(dir, "contactsync.db"), 2)
	if os.Getuid() == 0 {
		// Rights do not bind root, so the process is somebody else's.
		const nobody = 65534
		w.user = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		for _, path := range []string{dir, filepath.Dir(dir), w.dir, filepath.Dir(w.dir)} {
			if err := os.Chmod(path, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	p := w.start("worker")
	w.recovers(p)
	rights := func(folder, file os.FileMode) {
		t.Helper()
		for _, path := range storeFiles(t, dir) {
			if err := os.Chmod(path, file); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(dir, folder); err != nil {
			t.Fatal(err)
		}
	}
	rights(0o555, 0o444)
	t.Cleanup(func() { rights(0o755, 0o600) })
	w.recovers(p)
	p.kill()
	p = w.launch("worker")
	<-p.exited
	if status := p.cmd.ProcessState.ExitCode(); status != 1 || !strings.Contains(p.other.String(), "Let the user that runs contactsync read and write") {
		t.Errorf("a process without rights ends with status %d:\n%s", status, p.log())
	}
	rights(0o755, 0o600)
	p = w.start("worker")
	w.recovers(p)
	w.allIsWell()
	p.stop()
}
