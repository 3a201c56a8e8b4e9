package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"contactsync/bench/measure"
)

const (
	// Postgres names the variable with the address of a PostgreSQL server on which databases may be made;
	// script/postgres sets it.
	Postgres = "CONTACTSYNC_TEST_POSTGRES"
	page     = "docs/performance.md"
	// cores are what both processes may use each, so that a larger machine says the same as the one that the limits are
	// for.
	cores = 2
)

type options struct {
	only     []string
	quick    bool
	out      string
	dir      string
	postgres string
}

// parts are what can be measured, in the order of the report.
var parts = []struct {
	name    string
	measure func(*bench, context.Context) error
}{
	{"hooks", (*bench).hooks},
	{"refuse", (*bench).refuse},
	{"start", (*bench).start},
	{"storm", (*bench).storm},
	{"sweep", (*bench).sweep},
}

// parse reads the command line. Errors have been told.
func parse(args []string, stderr io.Writer) (options, error) {
	var names []string
	for _, p := range parts {
		names = append(names, p.name)
	}
	var o options
	var only string
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&only, "only", "", "parts to measure, separated by commas: "+strings.Join(names, ", ")+"; all of them")
	flags.BoolVar(&o.quick, "quick", false, "a short run, whose figures say little")
	flags.StringVar(&o.out, "out", "", "file to write the report to; "+page+" for a whole run, else standard output")
	flags.StringVar(&o.dir, "dir", os.TempDir(), "where to put the stores, for an hour at most: on a real disk")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	wrong := func(format string, args ...any) (options, error) {
		err := fmt.Errorf(format, args...)
		fmt.Fprintln(stderr, "bench:", err)
		return o, err
	}
	if flags.NArg() > 0 {
		return wrong("unknown argument %q", flags.Arg(0))
	}
	if only != "" {
		o.only = strings.Split(only, ",")
	}
	for _, name := range o.only {
		if !slices.Contains(names, name) {
			return wrong("there is no part %q; there are %s", name, strings.Join(names, ", "))
		}
	}
	if o.out == "" && !o.quick && len(o.only) == 0 {
		o.out = page
	}
	return o, nil
}

// bench is one measuring: where it takes place, and what was found so far.
type bench struct {
	options
	program string // contactsync, as it is shipped
	stderr  io.Writer
	report  measure.Report
}

// Run measures and reports, and returns the exit status. The address is that of a PostgreSQL server, or "".
func Run(ctx context.Context, args []string, postgres string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	}
	o.postgres = postgres
	b := &bench{options: o, stderr: stderr}
	err = b.run(ctx, stdout)
	for _, f := range b.report.Figures {
		b.say("%-12s %s: %s (%s)", f.Verdict, f.Work, f.Measured, f.Limit)
	}
	if err != nil {
		b.say("bench: %v", err)
	}
	if err != nil || b.report.Missed() {
		return 1
	}
	return 0
}

func (b *bench) run(ctx context.Context, stdout io.Writer) (err error) {
	runtime.GOMAXPROCS(min(cores, runtime.NumCPU()))
	if b.dir, err = os.MkdirTemp(b.dir, "contactsync-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	b.report.Date, b.report.Command = time.Now(), b.command()
	if b.report.Machine, err = b.machine(ctx); err != nil {
		return fmt.Errorf("looking at the machine: %w", err)
	}
	b.program = filepath.Join(b.dir, "contactsync")
	b.say("building the program")
	if out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.program, "contactsync/cmd/contactsync").CombinedOutput(); err != nil {
		return fmt.Errorf("building the program: %w\n%s", err, out)
	}
	for _, p := range parts {
		if len(b.only) > 0 && !slices.Contains(b.only, p.name) {
			continue
		}
		if err := p.measure(b, ctx); err != nil {
			return fmt.Errorf("measuring %s: %w", p.name, err)
		}
	}
	if b.report.Machine.LoadAfter, err = loadAverage(); err != nil {
		return err
	}
	var text bytes.Buffer
	if err := b.report.Render(&text); err != nil {
		return err
	}
	if b.out == "" {
		_, err = stdout.Write(text.Bytes())
		return err
	}
	return os.WriteFile(b.out, text.Bytes(), 0o644)
}

// command is how the report was made, for people who want to make it again.
func (b *bench) command() string {
	command := "go run ./bench"
	if b.postgres != "" {
		command = "./script/postgres " + command
	}
	if b.quick {
		command += " --quick"
	}
	if len(b.only) > 0 {
		command += " --only " + strings.Join(b.only, ",")
	}
	return command
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.stderr, format+"\n", args...) }

// pick is the first value, or the second in a short run.
func pick[T any](b *bench, whole, quick T) T {
	if b.quick {
		return quick
	}
	return whole
}

func (b *bench) figure(work, limit, measured string, met bool) {
	b.report.Figures = append(b.report.Figures, measure.Figure{Work: work, Limit: limit, Measured: measured, Verdict: measure.VerdictOf(met)})
	b.say("  %s: %s (%s)", work, measured, limit)
}

func (b *bench) counted(what, format string, args ...any) {
	b.report.Counted = append(b.report.Counted, measure.Row{What: what, Value: fmt.Sprintf(format, args...)})
}

func (b *bench) rate(what, format string, args ...any) {
	b.report.Rates = append(b.report.Rates, measure.Row{What: what, Value: fmt.Sprintf(format, args...)})
}

func (b *bench) timed(what string, durations []time.Duration) measure.Spread {
	spread := measure.SpreadOf(durations)
	b.report.Timings = append(b.report.Timings, measure.Timing{What: what, Spread: spread})
	return spread
}

// onEachStore measures with a store of each kind. Without a PostgreSQL that is said instead of a figure.
func (b *bench) onEachStore(ctx context.Context, figure string, do func(ctx context.Context, kind, address string) error) error {
	if err := do(ctx, "SQLite", "sqlite:"+filepath.Join(b.dir, figure+".db")); err != nil {
		return err
	}
	if b.postgres == "" {
		b.report.Figures = append(b.report.Figures, measure.Figure{
			Work: "the same on PostgreSQL", Measured: Postgres + " was not set", Verdict: measure.NotMeasured,
		})
		return nil
	}
	return b.onPostgres(ctx, func(address string) error { return do(ctx, "PostgreSQL", address) })
}
