package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"contactsync"
	"contactsync/contacts"
	"contactsync/sync"
)

func (p *program) exportCommand() *cobra.Command {
	var flags outFlags
	cmd := &cobra.Command{
		Use:   "export ORGANIZATION",
		Short: "Writes an organization's present contacts as a contacts file",
		Long: `Writes the present contacts of an organization at the desk as a contacts file that syncs to no change: the way to
begin with an organization that has contacts already. ORGANIZATION is its id at the desk.`,
		Example: `  contactsync export 380989798980
  contactsync export 380989798980 --out contacts.yaml`,
		Args: arguments(1, 1, "ORGANIZATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			watch := p.newProgress()
			defer watch.Close()
			systems, err := p.open(cmd.Context(), watch, deskOnly)
			if err != nil {
				return err
			}
			defer systems.close()
			ctx := watch.watch(cmd.Context())
			watch.Step("reading the organization")
			organization, err := systems.desk.OrganizationByID(ctx, args[0])
			if err != nil {
				return fmt.Errorf("exporting organization %s: %w", args[0], err)
			}
			watch.Step("reading the members")
			members, err := listable(ctx, systems.desk, organization)
			if err != nil {
				return fmt.Errorf("exporting organization %s: %w", args[0], err)
			}
			watch.Close()
			file := sync.Export(members)
			return p.deliver(cmd, flags, file, fileDocument{Organization: organization.ID, Contacts: len(file.Contacts)})
		},
	}
	flags.register(cmd)
	return cmd
}

// listable reads the members, with all addresses of those whose main one a file cannot list: another one may do.
func listable(ctx context.Context, desk contactsync.Desk, organization contactsync.Organization) ([]contactsync.Member, error) {
	members, err := desk.Members(ctx, organization)
	if err != nil {
		return nil, err
	}
	var listed, others []contactsync.Member
	for _, m := range members {
		if m.Complete || contacts.Listable(m.Primary()) {
			listed = append(listed, m)
		} else {
			others = append(others, m)
		}
	}
	if len(others) == 0 {
		return listed, nil
	}
	others, err = desk.Addresses(ctx, organization, others)
	return append(listed, others...), err
}
