package main

import (
	"cmp"
	"fmt"
	"os"
	"os/user"

	"github.com/spf13/cobra"

	"contactsync"
)

func (p *program) approveCommand() *cobra.Command {
	var by string
	cmd := &cobra.Command{
		Use:   "approve PROJECT DIGEST",
		Short: "Approves a plan's held changes, and syncs the project now",
		Long: `Records that the held changes of exactly the plan with that digest may be made, and syncs the project now. The digest
is in the plan, and in the answer of the sync that was held. When the plan has changed meanwhile, the approval is refused
(plan_changed) and the new digest is named.

Exit status: as of sync.`,
		Example: "  contactsync approve 123 sha256:6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
		Args:    arguments(2, 2, "PROJECT or DIGEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			watch := p.newProgress()
			defer watch.Close()
			systems, err := p.open(cmd.Context(), watch, readWrite)
			if err != nil {
				return err
			}
			defer systems.close()
			project, digest := contactsync.ProjectRef(args[0]), args[1]
			run := systems.pipeline.Approve(watch.watch(cmd.Context()), project, digest, cmp.Or(by, p.operator()))
			watch.Close()
			defer p.tell(cmd.Context(), systems, run)
			return p.report([]contactsync.Run{run}, projectSource)
		},
	}
	cmd.Flags().StringVar(&by, "by", "", "`NAME` of who approves, for the audit trail (default: the user who runs the command)")
	return cmd
}

// operator names who runs the command, as far as the environment or else the system tells: a claim for the audit trail,
// not a proof.
func (p *program) operator() string {
	for _, variable := range []string{"GITLAB_USER_LOGIN", "SUDO_USER", "USER", "LOGNAME"} {
		if name := p.env(variable); name != "" {
			return name
		}
	}
	if account, err := user.Current(); err == nil {
		return account.Username
	}
	if uid := os.Getuid(); uid >= 0 { // containers run under numbers that have no name
		return fmt.Sprintf("uid %d", uid)
	}
	return "unknown"
}
