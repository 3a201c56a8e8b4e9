package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"contactsync"
	"contactsync/config"
	"contactsync/setup"
)

// removeFlags is with what a project is removed or restored.
type removeFlags struct {
	ticket, by                   string
	restore, yes, legacy, dryRun bool
}

func (p *program) removeCommand() *cobra.Command {
	var flags removeFlags
	cmd := &cobra.Command{
		Use:   "remove PROJECT",
		Short: "Removes a contact management project, or restores it",
		Long: `Removes a contact management project, in six steps: check, limit, hook, link, project, ticket. The contacts stay as they
are. It is refused while the organization has more contacts than one without a project may have. GitLab keeps the project for
some time; until then --restore undoes everything: check, project, contacts, settings, branch, link, hook. PROJECT is the
number of the project on GitLab.

Nothing is asked, because nothing is lost; --dry-run shows what would be done. After any failure the same command continues.
It waits for a run of the project that is under way.

--restore stops when contacts.yaml would change the organization's contacts, which may have changed without it. --yes lets
the next sync make these changes, under its usual safety rules. contactsync serve must be running: GitLab delivers a test.

Exit status: 0 done, 1 failed or too_many_contacts, 2 wrong usage or configuration.`,
		Example: `  contactsync remove 101 --ticket 4711 --dry-run
  contactsync remove 101 --ticket 4711
  contactsync remove 101 --restore`,
		Args: arguments(1, 1, "PROJECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			project, ok := contactsync.ProjectRef(args[0]).ID()
			switch {
			case !ok:
				return usagef(cmd, "PROJECT %q is not the number of a project", args[0])
			case flags.restore && flags.ticket != "":
				return usagef(cmd, "--ticket cannot be given beside --restore: there is no text for it")
			case !flags.restore && (flags.yes || flags.legacy):
				return usagef(cmd, "--yes and --legacy-trigger need --restore")
			}
			return p.remove(cmd.Context(), project, flags)
		},
	}
	cmd.Flags().StringVar(&flags.ticket, "ticket", "", "`NUMBER` of the ticket that is answered")
	cmd.Flags().BoolVar(&flags.restore, "restore", false, "undo a removal")
	cmd.Flags().BoolVar(&flags.yes, "yes", false, "restore although the next sync will change contacts")
	cmd.Flags().BoolVar(&flags.legacy, "legacy-trigger", false, "restore with a hook for the original trigger address")
	cmd.Flags().BoolVar(&flags.dryRun, "dry-run", false, "only show what would be done")
	cmd.Flags().StringVar(&flags.by, "by", "", "`NAME` of who removes or restores, for the audit trail (default: the user who runs the command)")
	return cmd
}

// command is what continues it.
func (f *removeFlags) command(project int64) []string {
	words := []string{"remove", fmt.Sprint(project)}
	if f.ticket != "" {
		words = append(words, "--ticket", f.ticket)
	}
	for _, flag := range []struct {
		given bool
		word  string
	}{{f.restore, "--restore"}, {f.yes, "--yes"}, {f.legacy, "--legacy-trigger"}} {
		if flag.given {
			words = append(words, flag.word)
		}
	}
	return words
}

func (p *program) remove(ctx context.Context, project int64, flags removeFlags) error {
	settings, err := p.configuration(config.ForSetup)
	if err != nil {
		return err
	}
	by, command := cmp.Or(flags.by, p.operator()), flags.command(project)
	return p.procedures(ctx, settings, false, 1, func(ctx context.Context, _ *systems, c *setup.Caretaker, _ int) (contactsync.Procedure, error) {
		if flags.restore {
			return c.Restore(ctx, setup.Restore{
				Project: project, Legacy: flags.legacy, Accept: flags.yes, DryRun: flags.dryRun, By: by, Command: command,
			})
		}
		return c.Remove(ctx, setup.Removal{Project: project, Ticket: flags.ticket, DryRun: flags.dryRun, By: by, Command: command})
	})
}
