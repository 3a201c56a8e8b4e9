package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"contactsync"
)

// resultsDocument is sync's answer for several projects.
type resultsDocument struct {
	Results []contactsync.Run `json:"results"`
}

func (p *program) syncCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "sync [PROJECT...]",
		Short: "Makes organizations' contacts equal to their files, now",
		Long: `Reads the contacts file of each project and makes the contacts of the project's organization equal to it: first
creates and adds, then renames, and removes last. PROJECT is the number of a project on GitLab. Without PROJECT it takes
PROJECT_ID from the environment, so that it works as a CI job behind a trigger.

All projects are tried, even when one fails. Exit status: 1 when one failed, else 3 when one is partial, else 4 when one
is held, else 0.`,
		Example: `  contactsync sync 123
  contactsync sync 123 456 --output json
  PROJECT_ID=123 contactsync sync`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				project := p.env("PROJECT_ID")
				if project == "" {
					return usagef(cmd, "PROJECT is missing, and the environment variable PROJECT_ID is not set")
				}
				args = []string{project}
			}
			return p.sync(cmd, args)
		},
	}
}

func (p *program) sync(cmd *cobra.Command, projects []string) error {
	watch := p.newProgress()
	defer watch.Close()
	systems, err := p.open(cmd.Context(), watch, readWrite)
	if err != nil {
		return err
	}
	defer systems.close()
	ctx := watch.watch(cmd.Context())
	runs := make([]contactsync.Run, 0, len(projects))
	for _, project := range projects {
		runs = append(runs, systems.pipeline.Sync(ctx, contactsync.ProjectRef(project), contactsync.TriggerCommand))
	}
	watch.Close()
	defer p.tell(ctx, systems, runs...)
	return p.report(runs, projectSource)
}

// projectSource names what a run compared with the desk.
func projectSource(run contactsync.Run) string {
	return "project " + printable(string(run.Project))
}

// report shows runs and ends the command with the exit status that fits them all.
func (p *program) report(runs []contactsync.Run, source func(contactsync.Run) string) error {
	for i := range runs {
		runs[i] = complete(runs[i])
	}
	var document any = resultsDocument{runs}
	if len(runs) == 1 {
		document = runs[0]
	}
	if err := p.answer(document, func(w *strings.Builder) {
		for i, run := range runs {
			if i > 0 {
				w.WriteString("\n")
			}
			writeRun(w, run, source(run), p.palette())
		}
	}); err != nil {
		return err
	}
	if err := p.tellFailures(runs, source); err != nil {
		return err
	}
	if status := statusOf(runs); status != 0 {
		return exitStatus(status)
	}
	return nil
}

// tellFailures says on standard error why runs failed as a whole; in JSON the document has it.
func (p *program) tellFailures(runs []contactsync.Run, source func(contactsync.Run) string) error {
	if p.output == outputJSON {
		return nil
	}
	var w strings.Builder
	for _, run := range runs {
		if run.Error == nil {
			continue
		}
		failure := *run.Error
		failure.Detail = fmt.Sprintf("%s: %s", source(run), failure.Detail)
		writeFailure(&w, &failure)
	}
	return write(p.Stderr, w.String())
}

// statusOf is the exit status of the worst of the runs.
func statusOf(runs []contactsync.Run) int {
	seen := make(map[contactsync.Status]bool)
	for _, run := range runs {
		seen[run.Status] = true
	}
	switch {
	case seen[contactsync.StatusFailed]:
		return statusFailed
	case seen[contactsync.StatusPartial]:
		return statusPartial
	case seen[contactsync.StatusHeld]:
		return statusHeld
	default:
		return 0
	}
}

// complete makes lists that are missing empty ones, so that programs need not tell the two apart.
func complete(run contactsync.Run) contactsync.Run {
	if run.Changes == nil {
		run.Changes = []contactsync.Change{}
	}
	if run.Conflicts == nil {
		run.Conflicts = []contactsync.Conflict{}
	}
	return run
}
