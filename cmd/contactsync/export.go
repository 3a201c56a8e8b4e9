package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"contactsync"
	"contactsync/contacts"
)

func (p *program) exportCommand() *cobra.Command {
	var flags outFlags
	cmd := &cobra.Command{
		Use:   "export ORGANIZATION",
		Short: "Writes an organization's present contacts as a contacts file",
		Long: `Writes the present contacts of an organization at the desk as a contacts file that syncs to no change: the way to
begin with an organization that has contacts already. ORGANIZATION is its id at the desk. Members whom a file cannot
list are named on standard error, with the reason; a sync never removes them.`,
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
			exported, err := systems.pipeline.Export(watch.watch(cmd.Context()), args[0])
			if err != nil {
				return fmt.Errorf("exporting organization %s: %w", args[0], err)
			}
			watch.Close()
			return p.export(cmd, flags, exported)
		},
	}
	flags.register(cmd)
	return cmd
}

func (p *program) export(cmd *cobra.Command, flags outFlags, exported contactsync.Exported) error {
	organization, left := exported.Organization, exported.LeftOut
	if len(exported.Contacts) == 0 {
		return nobodyToExport(organization, left)
	}
	if err := p.tellLeftOut(left); err != nil {
		return err
	}
	file := contacts.File{Contacts: exported.Contacts}
	err := p.deliver(cmd, flags, file, fileDocument{Organization: organization.ID, Contacts: len(file.Contacts), LeftOut: left})
	return onTheSpot(err, "One file cannot list so many. Detach at the desk who is no contact any more, and export again.")
}

func leftOutLine(m contactsync.LeftOut) string {
	return fmt.Sprintf("person %s (%s) left out: %s", printable(m.Person), printable(m.Name), printable(m.Reason))
}

func (p *program) tellLeftOut(left []contactsync.LeftOut) error {
	if len(left) == 0 || p.output == outputJSON { // the document has them
		return nil
	}
	var text strings.Builder
	for _, m := range left {
		fmt.Fprintln(&text, leftOutLine(m))
	}
	fmt.Fprintf(&text, "%s not in the file. They stay members: a sync never removes them.\n",
		people(len(left), "member is", "members are"))
	return write(p.Stderr, text.String())
}

// nobodyToExport is the error for an organization that would give an empty file.
func nobodyToExport(organization contactsync.Organization, left []contactsync.LeftOut) error {
	detail := fmt.Sprintf("organization %s has no members to export", organization.ID)
	if len(left) > 0 {
		detail = fmt.Sprintf("organization %s has no members whom a contacts file can list", organization.ID)
	}
	for _, m := range left {
		detail += "\n" + leftOutLine(m)
	}
	return &contactsync.Error{
		Class: contactsync.ClassFileEmpty, Detail: detail, Who: contactsync.WhoOperator, Retry: contactsync.RetryNo,
		Remedy: "Check the organization's id. If it is right, write contacts.yaml by hand, or import it from a CSV file.",
	}
}
