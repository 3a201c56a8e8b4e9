package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"contactsync"
	main "contactsync/cmd/contactsync"
)

// What tells the program that stands in for contactsync when to die.
const (
	dyingProgram = "contactsync-dying"
	dieAtWrite   = "DIE_AT_WRITE"   // to the desk, from 1
	dieAtRequest = "DIE_AT_REQUEST" // of whatever kind, to whomever, from 1; instead
	dieAtTelling = "DIE_AT_TELLING" // write that tells people something on GitLab, from 1; instead
	dieAfter     = "DIE_AFTER"      // "true": once the answer is there, before anybody reads it
	diedStatus   = 137
)

// runUntilDeath is contactsync in a process that ends, without any goodbye, at one of its writes.
func runUntilDeath() {
	counts, variable := isWrite, dieAtWrite
	switch {
	case os.Getenv(dieAtRequest) != "":
		counts, variable = func(string, string) bool { return true }, dieAtRequest
	case os.Getenv(dieAtTelling) != "":
		counts, variable = func(method, path string) bool { return method != http.MethodGet && telling.MatchString(path) }, dieAtTelling
	}
	at, err := strconv.ParseInt(os.Getenv(variable), 10, 64)
	if err != nil {
		panic(err)
	}
	program := main.FromProcess()
	clock := newClock()
	program.Remote = main.Clock{Now: clock.Now, Wait: clock.Wait}
	var counted atomic.Int64 // by all transports together
	program.Transport = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			dies := counts(r.Method, r.URL.Path) && counted.Add(1) == at
			if dies && os.Getenv(dieAfter) != "true" {
				os.Exit(diedStatus)
			}
			response, err := next.RoundTrip(r)
			if dies {
				os.Exit(diedStatus)
			}
			return response, err
		})
	}
	os.Exit(program.Run(context.Background()))
}

// isWrite tells what changes something at the desk, at GitLab or in a repository; git reads with POST, and so do
// credentials.
func isWrite(method, path string) bool {
	return strings.HasSuffix(path, "/git-receive-pack") || method != http.MethodGet && path != "/oauth/tokens" && len(path) > 5 && path[:5] == "/api/"
}

// Stop at every step: the process dies before and after every write. The desk is unharmed, and the next run, once the
// dead one's lease is over, mends everything.
func TestStopAtEveryStep(t *testing.T) {
	t.Parallel()
	for _, s := range scenes() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			forge := newForge(t)
			newWorldAround(t, forge).push(s.file())
			for write := range s.writesOfACleanRun(t, newWorldAround(t, forge)) {
				for _, after := range []bool{false, true} {
					name := fmt.Sprintf("before write %d", write+1)
					if after {
						name = fmt.Sprintf("after write %d", write+1)
					}
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						s.dieAt(newWorldAround(t, forge), write+1, after)
					})
				}
			}
		})
	}
}

func (s scene) writesOfACleanRun(t *testing.T, w *world) int {
	t.Helper()
	writes := 0
	for _, r := range s.requestsOfACleanRun(t, w) {
		if isWrite(r.method, r.target) {
			writes++
		}
	}
	if writes < 4 {
		t.Fatalf("the scene takes only %d writes", writes)
	}
	return writes
}

func (s scene) dieAt(w *world, write int, after bool) {
	w.Helper()
	p := s.play(w)
	if status := w.runDying(write, after, "sync", fmt.Sprint(project)); status != diedStatus {
		p.Fatalf("the process should have died at write %d, but ended with %d", write, status)
	}
	p.isUnharmed()

	var history struct {
		Runs []struct{ Run, Status string }
	}
	p.run("runs", "--output", "json").ends(0).decodeLoosely(&history)
	if len(history.Runs) != 1 || history.Runs[0].Status != "running" {
		p.Errorf("the audit trail should hold the run that did not end: %+v", history)
	}
	p.now = func() time.Time { return time.Now().Add(2 * time.Minute) } // the lease of the dead is over
	p.converges()
	if run, status := p.sync(); status != 0 || run.Status != contactsync.StatusUnchanged {
		p.Errorf("a second clean run is %s, want unchanged: %+v", run.Status, run.Changes)
	}
	p.run("runs", "show", history.Runs[0].Run).ends(0).says("the process ended before the run finished")
}

// A run whose process died is never shown as a success, neither while it counts as running nor afterwards.
func TestRunWithoutAnEnd(t *testing.T) {
	t.Parallel()
	w, good := changing(t)
	if status := w.runDying(1, true, "sync", fmt.Sprint(project)); status != diedStatus {
		t.Fatalf("the process should have died, but ended with %d", status)
	}
	var history runsDocument
	w.json(&history, "runs").ends(0)
	id := history.Runs[0].ID
	w.run("runs").ends(0).says("Still running, or ended without a word").keepsQuietOf("Nothing to do", "as the file says")
	w.run("runs", "show", id).ends(0).says("Still running, or ended without a word.", "emmy@example.com", "Emmy Noether  (planned)").
		keepsQuietOf("Nothing to do", "as the file says")

	w.now = func() time.Time { return time.Now().Add(2 * time.Minute) } // the lease of the dead is over
	w.push(good)
	w.run("sync", fmt.Sprint(project)).ends(0)
	w.run("runs", "show", id).ends(0).says("changes marked (planned) may have been made", "Emmy Noether  (planned)").
		keepsQuietOf("nothing was changed", "as the file says")
}

// runDying runs a command in a process that dies at a write, and returns its exit status.
func (w *world) runDying(write int, after bool, args ...string) int {
	w.Helper()
	return w.runDyingAt(dieAtWrite, write, after, args...)
}

// runDyingAt is runDying for what the variable counts.
func (w *world) runDyingAt(variable string, at int, after bool, args ...string) int {
	w.Helper()
	self, err := os.Executable()
	if err != nil {
		w.Fatal(err)
	}
	var output bytes.Buffer
	cmd := exec.Command(self, args...)
	cmd.Args[0] = dyingProgram
	cmd.Env = slices.Concat(os.Environ(), w.env, []string{
		variable + "=" + strconv.Itoa(at), dieAfter + "=" + strconv.FormatBool(after),
	})
	cmd.Stdout, cmd.Stderr = &output, &output
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.Fatal(err)
	}
	if cmd.ProcessState.ExitCode() != diedStatus {
		w.Logf("%s", output.String())
	}
	return cmd.ProcessState.ExitCode()
}
