package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"contactsync"
	"contactsync/contacts"
)

type planFlags struct {
	file         string
	organization string
	exitCode     bool
}

func (p *program) planCommand() *cobra.Command {
	var flags planFlags
	cmd := &cobra.Command{
		Use:   "plan PROJECT | plan --file FILE --organization ID",
		Short: "Shows what a sync would do; writes nothing anywhere",
		Long: `Shows what a sync of the project would do, and writes nothing anywhere: not at the desk, not in the repository, not
in the store. With --file and --organization it plans a file of this machine against an organization of the desk, under
the limit of contacts that holds for the organization as it is: with a project or without one.

  +  creates a new person        >  adds an existing person     ~  renames a contact
  -  removes a contact           =  held or skipped             !  conflict

Exit status: 0, or with --exit-code 5 when there are changes; 1 when there can be no plan.`,
		Example: `  contactsync plan 123
  contactsync plan --file contacts.yaml --organization 380989798980
  contactsync plan 123 --exit-code; test $? -eq 5 && echo "something would change"`,
		Args: func(cmd *cobra.Command, args []string) error {
			local := flags.file != "" || flags.organization != ""
			switch {
			case local && len(args) > 0:
				return usagef(cmd, "either PROJECT or --file and --organization")
			case local && flags.file == "":
				return usagef(cmd, "--organization needs --file")
			case local && flags.organization == "":
				return usagef(cmd, "--file needs --organization")
			case local:
				return nil
			default:
				return arguments(1, 1, "PROJECT")(cmd, args)
			}
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if flags.file != "" {
				return p.planFile(cmd, flags)
			}
			return p.plan(cmd, args[0], flags)
		},
	}
	cmd.Flags().StringVar(&flags.file, "file", "", "plan this `FILE` instead of a project's; - is standard input")
	cmd.Flags().StringVar(&flags.organization, "organization", "", "`ID` of the organization at the desk, with --file")
	cmd.Flags().BoolVar(&flags.exitCode, "exit-code", false, "exit with 5 when there are changes")
	return cmd
}

func (p *program) plan(cmd *cobra.Command, project string, flags planFlags) error {
	watch := p.newProgress()
	defer watch.Close()
	systems, err := p.open(cmd.Context(), watch, readOnly)
	if err != nil {
		return err
	}
	defer systems.close()
	run := systems.pipeline.Plan(watch.watch(cmd.Context()), contactsync.ProjectRef(project))
	watch.Close()
	return p.reportPlan(run, flags, projectSource)
}

func (p *program) planFile(cmd *cobra.Command, flags planFlags) error {
	content, err := p.readInput(flags.file, contacts.MaxBytes+1) // one more than allowed, so that too large shows
	if err != nil {
		return err
	}
	watch := p.newProgress()
	defer watch.Close()
	systems, err := p.open(cmd.Context(), watch, deskOnly)
	if err != nil {
		return err
	}
	defer systems.close()
	run := systems.pipeline.PlanFileAsIs(watch.watch(cmd.Context()), content, flags.organization)
	watch.Close()
	return p.reportPlan(run, flags, func(contactsync.Run) string { return printable(filepath.Base(flags.file)) })
}

func (p *program) reportPlan(run contactsync.Run, flags planFlags, source func(contactsync.Run) string) error {
	if err := p.report([]contactsync.Run{run}, source); err != nil {
		return err
	}
	if flags.exitCode && changes(run) {
		return exitStatus(statusChanges)
	}
	return nil
}

// changes reports whether a sync would change anything, now or once it is approved.
func changes(run contactsync.Run) bool {
	for _, change := range run.Changes {
		if change.Result == contactsync.ResultPlanned || change.Result == contactsync.ResultHeld {
			return true
		}
	}
	return false
}
