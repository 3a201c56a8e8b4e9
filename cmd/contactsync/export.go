package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
			return p.export(cmd, flags, organization, members)
		},
	}
	flags.register(cmd)
	return cmd
}

func (p *program) export(cmd *cobra.Command, flags outFlags, organization contactsync.Organization, members []contactsync.Member) error {
	left := leftOut(members)
	if len(left) == len(members) {
		return nobodyToExport(organization, left)
	}
	if err := p.tellLeftOut(left); err != nil {
		return err
	}
	file := sync.Export(members)
	err := p.deliver(cmd, flags, file, fileDocument{Organization: organization.ID, Contacts: len(file.Contacts), LeftOut: left})
	return onTheSpot(err, "One file cannot list so many. Detach at the desk who is no contact any more, and export again.")
}

// leftOutMember is a member whom a contacts file cannot list.
type leftOutMember struct {
	Person string `json:"person"`
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

func (m leftOutMember) String() string {
	return fmt.Sprintf("person %s (%s) left out: %s", printable(m.Person), printable(m.Name), printable(m.Reason))
}

// leftOut returns those of the members whom sync.Export leaves out, in their order.
func leftOut(members []contactsync.Member) []leftOutMember {
	var left []leftOutMember
	for _, m := range members {
		if slices.ContainsFunc(m.Addresses, contacts.Listable) {
			continue
		}
		reason := "has no e-mail address"
		if len(m.Addresses) > 0 {
			reason = fmt.Sprintf("mail cannot reach %s", m.Primary())
		}
		left = append(left, leftOutMember{Person: m.ID, Name: m.Name, Reason: reason})
	}
	return left
}

func (p *program) tellLeftOut(left []leftOutMember) error {
	if len(left) == 0 || p.output == outputJSON { // the document has them
		return nil
	}
	var text strings.Builder
	for _, m := range left {
		fmt.Fprintf(&text, "%s\n", m)
	}
	fmt.Fprintf(&text, "%s not in the file. They stay members: a sync never removes them.\n",
		people(len(left), "member is", "members are"))
	return write(p.Stderr, text.String())
}

// nobodyToExport is the error for an organization that would give an empty file.
func nobodyToExport(organization contactsync.Organization, left []leftOutMember) error {
	detail := fmt.Sprintf("organization %s has no members to export", organization.ID)
	if len(left) > 0 {
		detail = fmt.Sprintf("organization %s has no members whom a contacts file can list", organization.ID)
	}
	for _, m := range left {
		detail += "\n" + m.String()
	}
	return &contactsync.Error{
		Class: contactsync.ClassFileEmpty, Detail: detail, Who: contactsync.WhoOperator, Retry: contactsync.RetryNo,
		Remedy: "Check the organization's id. If it is right, write contacts.yaml by hand, or import it from a CSV file.",
	}
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
