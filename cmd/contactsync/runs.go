package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"contactsync"
	"contactsync/store"
)

const defaultRunsLimit = 50

// runsDocument is the history, newest first, and the projects that wait for something.
type runsDocument struct {
	Runs     []listedRun      `json:"runs"`
	Projects []store.Standing `json:"projects"`
}

// listedRun is a run without its changes.
type listedRun struct {
	ID       string                 `json:"run"`
	Project  contactsync.ProjectRef `json:"project"`
	Status   contactsync.Status     `json:"status"`
	Error    *contactsync.Failure   `json:"error,omitempty"`
	Trigger  contactsync.Trigger    `json:"trigger"`
	Commit   string                 `json:"commit,omitempty"`
	Started  time.Time              `json:"started"`
	Finished time.Time              `json:"finished,omitzero"`
	Summary  contactsync.Summary    `json:"summary"`
}

type runsFlags struct {
	status, class, since, until string
	limit                       int
}

func (p *program) runsCommand() *cobra.Command {
	var flags runsFlags
	cmd := &cobra.Command{
		Use:   "runs [PROJECT]",
		Short: "Shows the history of runs",
		Long: `Lists the projects that wait for something, and runs, newest first: all, or those of one project. "contactsync runs
show RUN" tells what one run changed, and why not everything.

A project is waiting for its run, running, retrying after a failure, held until somebody approves its changes, or
quarantined: it has failed for the same reason for a day, and is tried every few hours. It leaves by itself.`,
		Example: `  contactsync runs
  contactsync runs 123 --since 7d
  contactsync runs --since 2026-01-01 --until 2026-02-01 --output json
  contactsync runs --status failed --class no_org_found --limit 10
  contactsync runs show RUN`,
		Args: arguments(0, 1, "PROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := p.runsFilter(cmd, args, flags)
			if err != nil {
				return err
			}
			return p.runs(cmd, filter)
		},
	}
	cmd.Flags().StringVar(&flags.status, "status", "", "only runs that ended with this `STATUS`: succeeded, unchanged, partial, held, failed or running")
	cmd.Flags().StringVar(&flags.class, "class", "", "only runs that failed with this `CLASS` of error, such as no_org_found")
	cmd.Flags().StringVar(&flags.since, "since", "", "only runs since this `TIME`: 36h, 7d, 2026-01-31 or 2026-01-31T12:00:00Z")
	cmd.Flags().StringVar(&flags.until, "until", "", "only runs that started before this `TIME`")
	cmd.Flags().IntVar(&flags.limit, "limit", defaultRunsLimit, "at most `N` runs")
	cmd.AddCommand(p.runsShowCommand())
	return cmd
}

func (p *program) runsFilter(cmd *cobra.Command, args []string, flags runsFlags) (store.Filter, error) {
	filter := store.Filter{
		Status: contactsync.Status(flags.status), Class: contactsync.Class(flags.class), Limit: flags.limit,
	}
	if len(args) == 1 {
		filter.Project = contactsync.ProjectRef(args[0])
	}
	statuses := []contactsync.Status{
		"", contactsync.StatusSucceeded, contactsync.StatusUnchanged, contactsync.StatusPartial,
		contactsync.StatusHeld, contactsync.StatusFailed, contactsync.StatusRunning,
	}
	if !slices.Contains(statuses, filter.Status) {
		return filter, usagef(cmd, "%q is no status of a run: they are succeeded, unchanged, partial, held, failed and running", flags.status)
	}
	isClass := func(info contactsync.ClassInfo) bool { return info.Class == filter.Class }
	if filter.Class != "" && !slices.ContainsFunc(contactsync.Classes(), isClass) {
		return filter, usagef(cmd, "%q is no class of error", flags.class)
	}
	if flags.limit < 1 {
		return filter, usagef(cmd, "--limit must be at least 1")
	}
	for _, bound := range []struct {
		flag, text string
		at         *time.Time
	}{{"since", flags.since, &filter.Since}, {"until", flags.until, &filter.Until}} {
		if bound.text == "" {
			continue
		}
		at, ok := pointInTime(bound.text, p.Now())
		if !ok {
			return filter, usagef(cmd, "--%s %q is neither a duration (36h, 7d) nor a time (2026-01-31)", bound.flag, bound.text)
		}
		*bound.at = at
	}
	return filter, nil
}

// pointInTime reads a duration back from now, in days too, or a time in UTC.
func pointInTime(text string, now time.Time) (time.Time, bool) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if hours, err := time.ParseDuration(days + "h"); err == nil && hours >= 0 {
			return now.Add(-24 * hours), true
		}
	}
	if back, err := time.ParseDuration(text); err == nil && back >= 0 {
		return now.Add(-back), true
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if at, err := time.Parse(layout, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

func (p *program) runs(cmd *cobra.Command, filter store.Filter) error {
	history, err := p.openHistory(cmd.Context())
	if err != nil {
		return err
	}
	defer history.Close()
	runs, err := history.Runs(cmd.Context(), filter)
	if err != nil {
		return fmt.Errorf("reading the history: %w", err)
	}
	standings, err := history.Standings(cmd.Context(), filter.Project)
	if err != nil {
		return fmt.Errorf("reading how projects stand: %w", err)
	}
	document := runsDocument{Runs: make([]listedRun, 0, len(runs)), Projects: standings}
	for _, run := range runs {
		document.Runs = append(document.Runs, listedRun{
			ID: run.ID, Project: run.Project, Status: run.Status, Error: run.Error, Trigger: run.Trigger,
			Commit: run.Commit, Started: run.Started, Finished: run.Finished, Summary: run.Summary,
		})
	}
	return p.answer(document, func(w *strings.Builder) {
		writeStandings(w, standings)
		writeRuns(w, runs)
		if path, ok := p.missingStore(); ok {
			fmt.Fprintf(w, "There is no store at %s yet.\n", printable(path))
		}
	})
}

// standingsShown keeps the table from hiding the history below it.
const standingsShown = 20

func writeStandings(w *strings.Builder, standings []store.Standing) {
	if len(standings) == 0 {
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "PROJECT\tSTATE\tSINCE (UTC)\tNEXT TRY (UTC)\tWHY")
	for _, found := range standings[:min(len(standings), standingsShown)] {
		why := string(found.Error)
		if found.State == store.StateHeld {
			why = fmt.Sprintf("%s for approval, see run %s", waits(found.Held), found.Run)
		} else if found.Failures > 1 {
			why += fmt.Sprintf(", %d times in a row", found.Failures)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", found.Project, found.State, minute(found.Since), minute(found.RetryAt), why)
	}
	_ = table.Flush() // a strings.Builder takes everything
	if more := len(standings) - standingsShown; more > 0 {
		fmt.Fprintf(w, "and %d more; --output json lists all of them\n", more)
	}
	w.WriteString("\n")
}

func waits(changes int64) string {
	if changes == 1 {
		return "1 change waits"
	}
	return fmt.Sprintf("%d changes wait", changes)
}

// minute is a time for a table, "-" for none.
func minute(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.UTC().Format("2006-01-02 15:04")
}

func writeRuns(w *strings.Builder, runs []contactsync.Run) {
	if len(runs) == 0 {
		w.WriteString("No runs.\n")
		return
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "RUN\tSTARTED (UTC)\tPROJECT\tTRIGGER\tSTATUS\tWHAT")
	for _, run := range runs {
		what := strings.TrimSuffix(summaryLine(run), ".")
		if run.Error != nil {
			what = string(run.Error.Class)
		} else if _, counts, ok := strings.Cut(what, ": "); ok {
			what = counts
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", run.ID, run.Started.UTC().Format("2006-01-02 15:04:05"),
			printable(string(run.Project)), run.Trigger, run.Status, what)
	}
	_ = table.Flush() // a strings.Builder takes everything
}

func (p *program) runsShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "show RUN",
		Short:   "Shows one run: what it changed, and why not everything",
		Long:    "Shows one run from the audit trail. The beginning of its id is enough where no other run begins like it.",
		Example: "  contactsync runs show RUN",
		Args:    arguments(1, 1, "RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			history, err := p.openHistory(cmd.Context())
			if err != nil {
				return err
			}
			defer history.Close()
			run, err := history.Run(cmd.Context(), args[0])
			switch {
			case errors.Is(err, store.ErrNotFound):
				return usagef(cmd, "there is no run %q in the history", args[0])
			case errors.Is(err, store.ErrAmbiguous):
				return usagef(cmd, "several runs begin with %q: give more of the id", args[0])
			case err != nil:
				return fmt.Errorf("reading the history: %w", err)
			}
			run = complete(run)
			return p.answer(run, func(w *strings.Builder) {
				fmt.Fprintf(w, "Run %s, started by %s at %s", run.ID, run.Trigger, run.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
				if run.ApprovedBy != "" {
					fmt.Fprintf(w, ", approved by %s", printable(run.ApprovedBy))
				}
				if !run.Finished.IsZero() {
					fmt.Fprintf(w, ", took %s", run.Finished.Sub(run.Started).Round(time.Millisecond))
				}
				w.WriteString("\n")
				writeRun(w, run, projectSource(run), p.palette())
				if run.Error != nil {
					writeFailure(w, run.Error)
				}
				w.WriteString(reportLine(run.Report))
			})
		},
	}
}

// reportLine says how far telling people on GitLab is; "" where nobody was to be told.
func reportLine(report *contactsync.Report) string {
	if report == nil {
		return ""
	}
	line := "On GitLab: "
	switch report.State {
	case contactsync.ReportTold:
		line += "people were told how it ended"
	case contactsync.ReportGivenUp:
		line += "people were not told how it ended, and that was given up"
	default:
		line += "people are still to be told how it ended"
	}
	if report.Problem != "" {
		line += ": " + printable(strings.Join(strings.Fields(report.Problem), " "))
	}
	return line + ".\n"
}
