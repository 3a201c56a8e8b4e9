package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"contactsync"
	"contactsync/config"
	"contactsync/setup"
	"contactsync/store"
)

// auditFlags is what is audited, and how it is told.
type auditFlags struct {
	organization, ticket  string
	noDrift, noHooks, csv bool
}

// auditDocument is what an audit answers.
type auditDocument struct {
	Findings      []contactsync.Finding `json:"findings"`
	Organizations int                   `json:"organizations"`
	Projects      int                   `json:"projects"`
	Skipped       []string              `json:"skipped,omitempty"`  // what was not looked at
	Answered      string                `json:"answered,omitempty"` // what became of the ticket
	Requests      contactsync.Requests  `json:"requests"`
	Error         *contactsync.Failure  `json:"error,omitempty"`
}

func (p *program) auditCommand() *cobra.Command {
	var flags auditFlags
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Goes over all organizations and projects, and tells what is not in order",
		Long: `Goes over all organizations and projects, and writes nothing. It tells organizations over their limit of contacts, links that
are broken, files that differ from the desk or cannot be read, hooks that are missing or disabled, and projects that wait for
an approval or fail for a day.

It reads in bulk first, which takes a minute at least: Zendesk tells of changes a minute late. If that fails there is no
report. Then it looks at each project: --no-drift and --no-hooks leave that out, which in large accounts takes longest.

--organization audits one, without bulk reads. With --ticket it answers that ticket with the list of the present contacts, if
they are too many, and never twice.

Exit status: 0 clean, 1 failed with a named error, 2 wrong usage or configuration, 3 there are findings.`,
		Example: `  contactsync audit
  contactsync audit --no-drift --csv > audit.csv
  contactsync audit --organization 380989798980 --ticket 4711
  contactsync audit --output json`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case flags.csv && p.output == outputJSON:
				return usagef(cmd, "either --csv or --output json")
			case flags.ticket != "" && flags.organization == "":
				return usagef(cmd, "--ticket needs --organization")
			}
			return p.audit(cmd.Context(), flags)
		},
	}
	cmd.Flags().StringVar(&flags.organization, "organization", "", "audit the organization with this `ID` at the desk alone")
	cmd.Flags().StringVar(&flags.ticket, "ticket", "", "`NUMBER` of a ticket that is told the contacts, if they are too many")
	cmd.Flags().BoolVar(&flags.noDrift, "no-drift", false, "do not compare files with the desk")
	cmd.Flags().BoolVar(&flags.noHooks, "no-hooks", false, "do not look at hooks")
	cmd.Flags().BoolVar(&flags.csv, "csv", false, "write the findings as CSV, instead of text")
	return cmd
}

func (p *program) audit(ctx context.Context, flags auditFlags) error {
	settings, err := p.configuration(config.ForSetup)
	if err != nil {
		return err
	}
	watch := p.newProgress()
	defer watch.Close()
	// Its plans run side by side, so none of them tells its steps.
	systems, err := p.connect(ctx, settings, nil, readOnly)
	if err != nil {
		return err
	}
	defer systems.close()
	caretaker, err := p.newCaretaker(settings, systems, watch, nil)
	if err != nil {
		return err
	}
	var asking contactsync.Tally
	if _, err := askTicket(contactsync.WithTally(ctx, &asking), systems, &eligibilityFlags{organization: flags.organization, ticket: flags.ticket}); err != nil {
		return err
	}
	audited, err := caretaker.Audit(watch.watch(ctx), setup.Audit{
		Organization: flags.organization, Ticket: flags.ticket, Drift: !flags.noDrift, Hooks: !flags.noHooks,
		Waiting: func(ctx context.Context) ([]setup.Waiting, error) { return waitingIn(ctx, systems.store) },
	})
	watch.Close()
	audited.Requests.Desk += asking.Requests().Desk
	return p.reportAudit(auditDocument{
		Findings: append([]contactsync.Finding{}, audited.Findings...), Organizations: audited.Organizations, Projects: audited.Projects,
		Skipped: audited.Skipped, Answered: audited.Answered, Requests: audited.Requests, Error: contactsync.FailureOf(err),
	}, flags)
}

// waitingIn returns the projects that wait for people.
func waitingIn(ctx context.Context, history *store.Store) ([]setup.Waiting, error) {
	standings, err := history.Standings(ctx, "")
	if err != nil {
		return nil, err
	}
	var waiting []setup.Waiting
	for _, s := range standings {
		project, ok := s.Project.ID()
		if !ok || s.Held == 0 && s.State != store.StateQuarantined {
			continue
		}
		waiting = append(waiting, setup.Waiting{
			Project: project, Held: int(s.Held), Quarantined: s.State == store.StateQuarantined, Since: s.Since, Error: s.Error,
		})
	}
	return waiting, nil
}

func (p *program) reportAudit(document auditDocument, flags auditFlags) error {
	text := func(w *strings.Builder) { writeAudit(w, document, flags.organization != "", p.palette()) }
	if flags.csv {
		text = func(w *strings.Builder) { writeAuditCSV(w, document.Findings) }
	}
	if document.Error != nil && len(document.Findings) == 0 {
		text = func(*strings.Builder) {} // no table, which would look clean
	}
	if err := p.answer(document, text); err != nil {
		return err
	}
	var failure strings.Builder
	switch {
	case document.Error != nil:
		writeFailure(&failure, document.Error)
	case flags.csv && document.Answered != "":
		fmt.Fprintf(&failure, "contactsync: %s\n", printable(document.Answered))
	}
	if p.output == outputText {
		if err := write(p.Stderr, failure.String()); err != nil {
			return err
		}
	}
	switch {
	case document.Error != nil:
		return exitStatus(statusFailed)
	case len(document.Findings) > 0:
		return exitStatus(statusPartial)
	}
	return nil
}

func writeAudit(w *strings.Builder, d auditDocument, withPeople bool, on palette) {
	for _, f := range d.Findings {
		fmt.Fprintf(w, "%s  %s: %s\n", on.red(fmt.Sprintf("  x %-13s", f.Check)), auditSubject(f, on), printable(f.Message))
		if withPeople {
			for _, person := range f.People {
				fmt.Fprintf(w, "        %s <%s>\n", printable(person.Name), printable(string(person.Email)))
			}
		}
		fmt.Fprintf(w, "      %s\n", on.dim("What to do: "+printable(f.Remedy)))
	}
	result := "Clean"
	if len(d.Findings) > 0 {
		result = people(len(d.Findings), "finding", "findings")
	}
	if d.Error != nil {
		result += ", but the audit failed"
	}
	fmt.Fprintf(w, "%s Looked at %s and %s.\n", on.bold(result+"."), people(d.Organizations, "organization", "organizations"),
		people(d.Projects, "project", "projects"))
	if len(d.Skipped) > 0 {
		fmt.Fprintf(w, "Not looked at: %s.\n", strings.Join(d.Skipped, "; "))
	}
	if d.Answered != "" {
		fmt.Fprintf(w, "%s.\n", printable(strings.ToUpper(d.Answered[:1])+d.Answered[1:]))
	}
	fmt.Fprintf(w, "%s\n", on.dim(fmt.Sprintf("Requests: desk %d, GitLab %d, git %d", d.Requests.Desk, d.Requests.GitLab, d.Requests.Git)))
}

// auditSubject is what a finding is about.
func auditSubject(f contactsync.Finding, on palette) string {
	var about []string
	if o := f.Organization; o != nil {
		about = append(about, "organization "+printable(o.ID))
		if o.Name != "" {
			about[0] = fmt.Sprintf("%s (organization %s)", on.bold(printable(o.Name)), printable(o.ID))
		}
	}
	if f.Project != 0 {
		about = append(about, fmt.Sprintf("project %d", f.Project))
	}
	return strings.Join(about, ", ")
}

// writeAuditCSV writes a table for spreadsheets.
func writeAuditCSV(w *strings.Builder, findings []contactsync.Finding) {
	table := csv.NewWriter(w)
	rows := [][]string{{"check", "severity", "project", "organization", "name", "contacts", "limit", "message", "remedy"}}
	number := func(n int64) string {
		if n == 0 {
			return ""
		}
		return strconv.FormatInt(n, 10)
	}
	for _, f := range findings {
		var org contactsync.Organization
		if f.Organization != nil {
			org = *f.Organization
		}
		row := []string{
			string(f.Check), string(f.Severity), number(f.Project), org.ID, org.Name,
			number(int64(f.Contacts)), number(int64(f.Limit)), f.Message, f.Remedy,
		}
		for i, text := range row {
			row[i] = cell(text)
		}
		rows = append(rows, row)
	}
	_ = table.WriteAll(rows) // into memory
}

// cell makes a text of others safe for spreadsheets, which take it for a formula if it begins like one.
// Source: owasp.org/www-community/attacks/CSV_Injection.
func cell(text string) string {
	text = printable(text)
	first, _ := utf8.DecodeRuneInString(strings.TrimSpace(text))
	if strings.ContainsRune("=+-@＝＋－＠", first) { // the wide ones are the same to some of them
		return "'" + text
	}
	return text
}
