package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// program is one invocation: where it came from and what its flags say.
type program struct {
	Main
	clocked  bool // Now was handed in
	jsonLogs bool // logs are JSON, whatever the output is

	configFile string
	output     outputMode
	logLevel   slog.Level
	noColor    bool
}

func newProgram(m Main) *program {
	if m.Stdin == nil {
		m.Stdin = strings.NewReader("")
	}
	clocked := m.Now != nil
	if !clocked {
		m.Now = time.Now
	}
	if m.Remote.Now == nil {
		m.Remote.Now = m.Now
	}
	return &program{Main: m, clocked: clocked, output: outputText, logLevel: slog.LevelWarn}
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "contactsync",
		Short: "Keeps support contacts at a desk equal to the contacts.yaml in a Git repository",
		Long: `contactsync keeps the support contacts of an organization at a desk (Zendesk) equal to the contacts.yaml in the
organization's Git repository (GitLab).

New here? "contactsync demo" shows everything on this machine alone: no account, no set-up.

Exit status: 0 done or nothing to do, 1 failed with a named error, 2 wrong usage or configuration, 3 partial (some
contacts not applied), 4 held (changes wait for approval), 5 "plan --exit-code" found changes.`,
		Example: `  contactsync demo
  contactsync lint contacts.yaml
  contactsync plan 123
  contactsync sync 123`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs, // so that an unknown command comes to RunE, which words it
		RunE:          p.groupOnly,
	}
	root.SetArgs(slices.Clone(p.Args))
	if p.Args == nil {
		root.SetArgs([]string{}) // nil would make cobra take the process's own
	}
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef(cmd, "%v", err)
	})
	root.CompletionOptions.DisableDefaultCmd = true

	flags := root.PersistentFlags()
	flags.StringVar(&p.configFile, "config", "", "configuration `FILE` (default contactsync.yaml, if it exists)")
	flags.Var(&p.output, "output", "text for people, or json for programs")
	flags.Var((*levelFlag)(&p.logLevel), "log-level", "debug, info, warn or error: how much is told on standard error")
	flags.BoolVar(&p.noColor, "no-color", false, "no colours (as does the environment variable NO_COLOR)")

	root.AddCommand(
		p.demoCommand(), p.serveCommand(), p.lintCommand(), p.planCommand(), p.syncCommand(), p.approveCommand(), p.runsCommand(),
		p.exportCommand(), p.importCommand(), p.eligibilityCommand(), p.setupCommand(), p.doctorCommand(), p.auditCommand(),
		p.removeCommand(), p.configCommand(), p.notifyCommand(), p.versionCommand(), completionCommand(),
	)
	return root
}

// outputMode is for whom a command writes.
type outputMode string

const (
	outputText outputMode = "text"
	outputJSON outputMode = "json"
)

func (o *outputMode) String() string { return string(*o) }
func (o *outputMode) Type() string   { return "text|json" }

func (o *outputMode) Set(text string) error {
	switch outputMode(text) {
	case outputText, outputJSON:
		*o = outputMode(text)
		return nil
	default:
		return fmt.Errorf("%q is neither text nor json", text)
	}
}

// levelFlag is a slog.Level by its lower-case name.
type levelFlag slog.Level

var levelNames = []string{"debug", "info", "warn", "error"}

func (l *levelFlag) name() string   { return strings.ToLower(slog.Level(*l).String()) }
func (l *levelFlag) String() string { return l.name() }
func (l *levelFlag) Type() string   { return "LEVEL" }

func (l *levelFlag) Set(text string) error {
	if !slices.Contains(levelNames, text) {
		return fmt.Errorf("%q is none of %s", text, strings.Join(levelNames, ", "))
	}
	return (*slog.Level)(l).UnmarshalText([]byte(text))
}

// log returns the logger of the invocation. It writes lines for people, or JSON where the output is JSON too.
func (p *program) log() *slog.Logger {
	options := &slog.HandlerOptions{Level: p.logLevel}
	if p.output == outputJSON || p.jsonLogs {
		return slog.New(slog.NewJSONHandler(p.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(p.Stderr, options))
}

// env returns the value of an environment variable, "" for none; the last one wins, as in a process.
func (p *program) env(name string) string {
	for _, pair := range slices.Backward(p.Env) {
		if key, value, ok := strings.Cut(pair, "="); ok && key == name {
			return value
		}
	}
	return ""
}

// usageError is a command line that cannot be meant; the command says which help to read.
type usageError struct {
	command string
	text    string
}

func (e *usageError) Error() string { return e.text }

func (e *usageError) help() string { return "Read: " + e.command + " --help" }

func usagef(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{command: cmd.CommandPath(), text: fmt.Sprintf(format, args...)}
}

// arguments checks how many there are, and says so in a sentence.
func arguments(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least {
			return usagef(cmd, "%s is missing", what)
		}
		if len(args) > most {
			return usagef(cmd, "unexpected argument %q", args[most])
		}
		return nil
	}
}

// groupOnly is what a command does that only has commands below it: help for people, or the error for an unknown one.
func (p *program) groupOnly(cmd *cobra.Command, args []string) error {
	switch {
	case len(args) == 0 && p.output == outputJSON:
		return usagef(cmd, "a command is missing")
	case len(args) == 0:
		return cmd.Help()
	}
	cmd.SuggestionsMinimumDistance = cmp.Or(cmd.SuggestionsMinimumDistance, 2)
	text := fmt.Sprintf("unknown command %q", args[0])
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += fmt.Sprintf(" (did you mean %q?)", near[0])
	}
	return usagef(cmd, "%s", text)
}

func write(w io.Writer, text string) error {
	_, err := io.WriteString(w, text)
	return err
}
