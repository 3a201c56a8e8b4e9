// Command contactsync keeps the support contacts of organizations at a desk equal to the contacts.yaml files in
// their Git repositories.
package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"golang.org/x/term"
)

func main() { os.Exit(Process()) }

// Process runs the program as this process was started, until it is done or a signal ends it, and returns the exit
// status.
func Process() int {
	debug.SetGCPercent(50) // a run's memory is short-lived: collecting it sooner costs little, and keeps a command small
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal is not caught: it ends the process at once
	return FromProcess().Run(ctx)
}

// Main is the program, apart from the process that it runs in, so that tests can run the real one.
// Only Stdout and Stderr are required.
type Main struct {
	Args           []string // without the name of the program
	Env            []string // "KEY=value"
	Stdin          io.Reader
	Stdout, Stderr io.Writer

	// Whether people look at the streams: colours on the one, progress on the other.
	StdoutIsTerminal, StderrIsTerminal bool
	// StdinIsTerminal says that somebody can be asked.
	StdinIsTerminal bool

	Now func() time.Time // nil: time.Now
	// Remote is the clock of the adapters to other systems, so that a test can let these be slow without a lease
	// running out meanwhile. Zero: Now, and real waiting.
	Remote Clock
	// Transport wraps the connections to other systems; nil leaves them as they are.
	Transport func(http.RoundTripper) http.RoundTripper
}

// Clock tells the time and lets it pass. Wait returns early, with the context's error, when the context ends.
type Clock struct {
	Now  func() time.Time
	Wait func(context.Context, time.Duration) error
}

// FromProcess is the program as the process was started.
func FromProcess() Main {
	return Main{
		Args: os.Args[1:], Env: os.Environ(),
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
		StdoutIsTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		StdinIsTerminal:  term.IsTerminal(int(os.Stdin.Fd())),
		StderrIsTerminal: term.IsTerminal(int(os.Stderr.Fd())),
	}
}

// Run runs one command and returns the exit status of the process: 0 done or nothing to do, 1 failed, 2 wrong usage
// or configuration, 3 partial, 4 held, 5 changes found by plan --exit-code.
func (m Main) Run(ctx context.Context) int {
	p := newProgram(m)
	err := p.root().ExecuteContext(ctx)
	var status exitStatus
	if errors.As(err, &status) {
		return int(status) // the command has said everything
	}
	return p.fail(err)
}

// exitStatus ends a command that has already reported its result.
type exitStatus int

func (exitStatus) Error() string { return "the command has reported its result" }
