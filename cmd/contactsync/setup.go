package main

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"contactsync"
	"contactsync/config"
	"contactsync/eligibility"
	"contactsync/setup"
	"contactsync/store"
)

// setupFlags is what one project is set up with.
type setupFlags struct {
	eligibilityFlags
	maintainers    []string
	skip           string
	legacy, dryRun bool
}

func (p *program) setupCommand() *cobra.Command {
	var flags setupFlags
	var from string
	var resume bool
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Gives an organization its contact management project",
		Long: `Gives an organization its contact management project, in ten steps: eligibility, maintainers, project, settings, branch,
files, link, hook, invitations, ticket. Each step looks at what is there, changes what differs, and reads it back. At the end
GitLab has delivered a test, and a first sync has found nothing to do. After any failure the same command continues; nothing
is done twice. contactsync serve must be running, because the test is delivered to it.

Maintainers edit the file. They are invited as developers, which is the only level that there is.

--from reads many from a CSV file, whose first line names the columns: organization and maintainers (addresses with blanks or
commas between them), and if wanted requester, username, namespace, ticket, skip_eligibility.

Exit status: 0 all is set up, 1 failed or not_eligible, 2 wrong usage or configuration, 3 some of several failed.`,
		Example: `  contactsync setup --organization 380989798980 --maintainers ada@example.com --requester ada@example.com
  contactsync setup --organization 380989798980 --maintainers ada@example.com,alan@example.com --ticket 4711 --dry-run
  contactsync setup --from organizations.csv
  contactsync setup --resume`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case resume && (from != "" || flags.organization != "" || len(flags.maintainers) > 0):
				return usagef(cmd, "--resume only lists; to continue, give the command that it shows")
			case resume:
				return p.unfinished(cmd)
			case from != "":
				return p.setUpMany(cmd, from, flags)
			}
			if err := flags.check(); err != nil {
				return usagef(cmd, "%v", err)
			}
			return p.setUp(cmd, []setupFlags{flags}, false)
		},
	}
	cmd.Flags().StringVar(&flags.organization, "organization", "", "`ID` of the organization at the desk")
	cmd.Flags().StringSliceVar(&flags.maintainers, "maintainers", nil, "`ADDRESSES` of those who edit the file, with commas between them")
	cmd.Flags().StringVar(&flags.requester, "requester", "", "`ADDRESS` of who asks (default: the requester of the ticket)")
	cmd.Flags().StringVar(&flags.username, "username", "", "the requester's `NAME` on GitLab, as the requester says")
	cmd.Flags().StringVar(&flags.namespace, "namespace", "", "`PATH` of the organization's namespace on GitLab")
	cmd.Flags().StringArrayVar(&flags.attest, "attest", nil, "`CRITERION=EVIDENCE`: your word for a criterion that is unknown; may be repeated")
	cmd.Flags().StringVar(&flags.skip, "skip-eligibility", "", "do not judge eligibility, for this `REASON`, which is recorded")
	cmd.Flags().StringVar(&flags.ticket, "ticket", "", "`NUMBER` of the ticket that is answered at the end")
	cmd.Flags().BoolVar(&flags.legacy, "legacy-trigger", false, "make the hook for the original trigger address")
	cmd.Flags().BoolVar(&flags.dryRun, "dry-run", false, "only show what would be done")
	cmd.Flags().StringVar(&flags.by, "by", "", "`NAME` of who sets up, for the audit trail (default: the user who runs the command)")
	cmd.Flags().StringVar(&from, "from", "", "set up many: CSV `FILE`, or - for standard input")
	cmd.Flags().BoolVar(&resume, "resume", false, "only list the setups and removals that are not finished")
	return cmd
}

// check says what is missing or wrong in what one project is set up with.
func (f *setupFlags) check() error {
	switch {
	case f.organization == "":
		return fmt.Errorf("--organization is missing")
	case len(f.addresses()) == 0:
		return fmt.Errorf("--maintainers is missing")
	case f.requester == "" && f.ticket == "" && f.skip == "":
		return fmt.Errorf("--requester is missing: it takes that, or the --ticket whose requester it is, or --skip-eligibility")
	case f.requester != "" && !isAddress(f.requester):
		return fmt.Errorf("--requester %q is no e-mail address", f.requester)
	}
	seen := map[contactsync.Email]bool{}
	for _, address := range f.addresses() {
		switch {
		case !isAddress(string(address)):
			return fmt.Errorf("--maintainers: %q is no e-mail address", address)
		case seen[address]:
			return fmt.Errorf("--maintainers: %s is named twice", address)
		}
		seen[address] = true
	}
	return nil
}

func (f *setupFlags) addresses() (all []contactsync.Email) {
	for _, text := range f.maintainers {
		if text = strings.TrimSpace(text); text != "" {
			all = append(all, contactsync.NormalizeEmail(text))
		}
	}
	return all
}

// command is what continues a setup: the same, whoever wrote it in whatever way.
func (f *setupFlags) command() []string {
	var addresses []string
	for _, address := range f.addresses() {
		addresses = append(addresses, string(address))
	}
	words := []string{"setup", "--organization", f.organization, "--maintainers", strings.Join(addresses, ",")}
	for _, flag := range [][2]string{
		{"--requester", f.requester}, {"--username", f.username}, {"--namespace", f.namespace},
		{"--skip-eligibility", f.skip}, {"--ticket", f.ticket},
	} {
		if flag[1] != "" {
			words = append(words, flag[0], flag[1])
		}
	}
	for _, text := range f.attest {
		words = append(words, "--attest", text)
	}
	if f.legacy {
		words = append(words, "--legacy-trigger")
	}
	return words
}

// procedureDocument is how a procedure went.
type procedureDocument struct {
	contactsync.Procedure
	Requests contactsync.Requests `json:"requests"`
	Error    *contactsync.Failure `json:"error,omitempty"`
}

// dry reports whether a dry run would change something.
func (d procedureDocument) dry() bool {
	return slices.ContainsFunc(d.Steps, func(s contactsync.StepResult) bool { return s.State == contactsync.StepPlanned })
}

type proceduresDocument struct {
	Results []procedureDocument `json:"results"`
}

// setUp sets projects up, one after the other.
func (p *program) setUp(cmd *cobra.Command, all []setupFlags, many bool) error {
	settings, err := p.configuration(config.ForSetup)
	if err != nil {
		return err
	}
	policy, err := eligibility.NewPolicy(settings.Eligibility.Seats, settings.Eligibility.Criteria)
	if err != nil {
		return wrong("eligibility.criteria", err)
	}
	hook, err := hookMaker(settings)
	if err != nil {
		return err
	}
	judgments := make([]judgment, len(all))
	for i, flags := range all {
		if _, err := hook(1, flags.legacy); err != nil { // of whatever project: what it needs is there, or not
			return err
		}
		by := cmp.Or(flags.by, p.operator())
		attestations, err := attestationsOf(cmd, policy, flags.attest, by)
		if err != nil {
			return err
		}
		judgments[i] = judgment{policy, flags.eligibilityFlags, attestations, by}
	}
	return p.procedures(cmd.Context(), settings, many, len(all), func(ctx context.Context, s *systems, c *setup.Caretaker, i int) (contactsync.Procedure, error) {
		return p.setUpOne(ctx, s, settings, c, all[i], judgments[i])
	})
}

func (p *program) setUpOne(ctx context.Context, s *systems, settings config.Config, c *setup.Caretaker, flags setupFlags, j judgment) (contactsync.Procedure, error) {
	return c.SetUp(ctx, setup.Setup{
		Organization: flags.organization, Maintainers: flags.addresses(), Ticket: flags.ticket, Legacy: flags.legacy,
		DryRun: flags.dryRun, By: j.by, Command: p.withConfig(flags.command()), Unjudged: flags.skip,
		Ready: func(ctx context.Context) error { return answerable(ctx, s, &j.flags) },
		Judge: func(ctx context.Context) ([]string, error) {
			verdict, err := p.judge(ctx, s, settings, j)
			if err == nil {
				err = verdict.Err()
			}
			return []string{verdict.Summary()}, err
		},
	})
}

// withConfig adds to a command which configuration it takes.
func (p *program) withConfig(words []string) []string {
	if p.configFile == "" {
		return words
	}
	file, err := filepath.Abs(p.configFile)
	if err != nil {
		file = p.configFile
	}
	return append(words, "--config", file)
}

// answerable asks the ticket, and refuses one that cannot be answered any more. Of an organization that has its project the
// ticket may have had the answer, too: then the reply knows.
func answerable(ctx context.Context, s *systems, flags *eligibilityFlags) error {
	ticket, err := askTicket(ctx, s, flags)
	if err != nil || !ticket.Closed {
		return err
	}
	linked, err := s.desk.ProjectOf(ctx, contactsync.Organization{ID: flags.organization})
	if err != nil || linked != 0 {
		return err
	}
	return &contactsync.Error{
		Class: contactsync.ClassTicketNotAnswered, Detail: fmt.Sprintf("ticket %s is closed, and can be changed no more", ticket.ID),
		Remedy: "Give the number of a follow-up. To answer no ticket, leave out --ticket.",
	}
}

// procedures carries some procedures out, one after the other, and shows how each went.
func (p *program) procedures(ctx context.Context, settings config.Config, many bool, count int,
	one func(context.Context, *systems, *setup.Caretaker, int) (contactsync.Procedure, error)) error {
	watch := p.newProgress()
	defer watch.Close()
	systems, err := p.connect(ctx, settings, watch, readWrite)
	if err != nil {
		return err
	}
	defer systems.close()
	var telling error
	caretaker, err := p.newCaretaker(settings, systems, watch, func(n, of int, result contactsync.StepResult) {
		if p.output == outputJSON {
			return
		}
		if err := watch.Above(func() error { return write(p.Stdout, p.stepLine(n, of, result)) }); err != nil && telling == nil {
			telling = err
		}
	})
	if err != nil {
		return err
	}
	results := make([]procedureDocument, 0, count)
	failures := 0
	for i := range count {
		if ctx.Err() != nil {
			break
		}
		var tally contactsync.Tally
		procedure, err := one(contactsync.WithTally(watch.watch(ctx), &tally), systems, caretaker, i)
		document := procedureDocument{procedure, tally.Requests(), contactsync.FailureOf(err)}
		document.Procedure.Error = nil // it is the same
		results = append(results, document)
		if err != nil {
			failures++
		}
		if p.output == outputText {
			if err := watch.Above(func() error { return p.tellProcedure(document) }); err != nil {
				return err
			}
		}
	}
	watch.Close()
	if telling != nil {
		return telling
	}
	return p.endProcedures(results, failures, count, many)
}

func (p *program) endProcedures(results []procedureDocument, failures, count int, many bool) error {
	if p.output == outputJSON {
		var document any = proceduresDocument{results}
		if !many && len(results) == 1 {
			document = results[0]
		}
		if err := writeJSON(p.Stdout, document); err != nil {
			return err
		}
	} else if many {
		what := "are set up"
		if slices.ContainsFunc(results, procedureDocument.dry) {
			what = "could be set up: this was a dry run"
		}
		line := fmt.Sprintf("%d of %d %s, %d failed", len(results)-failures, count, what, failures)
		if left := count - len(results); left > 0 {
			line += fmt.Sprintf(", %d were not begun", left)
		}
		if err := write(p.Stdout, p.palette().bold(line+".")+"\n"); err != nil {
			return err
		}
	}
	switch {
	case failures == 0 && len(results) == count:
		return nil
	case failures < len(results):
		return exitStatus(statusPartial)
	default:
		return exitStatus(statusFailed)
	}
}

// stepLine is a step as people see it.
func (p *program) stepLine(n, of int, result contactsync.StepResult) string {
	on := p.palette()
	sign, paint := "+", on.green
	switch result.State {
	case contactsync.StepAlready:
		sign, paint = "=", func(text string) string { return text }
	case contactsync.StepSkipped:
		sign, paint = "-", on.dim
	case contactsync.StepPlanned:
		sign, paint = "~", on.cyan
	case contactsync.StepFailed:
		sign, paint = "x", on.red
	}
	details := slices.Clone(result.Details)
	if len(details) == 0 {
		details = []string{string(result.State)}
	}
	line := paint(fmt.Sprintf("  %s %2d/%d  %-12s", sign, n, of, result.Name)) + "  " + printable(details[0]) + "\n"
	for _, detail := range details[1:] {
		line += strings.Repeat(" ", 25) + on.dim(printable(detail)) + "\n"
	}
	return line
}

// tellProcedure says how a procedure ended.
func (p *program) tellProcedure(d procedureDocument) error {
	on := p.palette()
	subject := "organization " + printable(d.Organization.ID)
	switch {
	case d.Organization.ID == "" && d.Project != 0:
		subject = fmt.Sprintf("project %d", d.Project)
	case d.Organization.Name != "":
		subject = fmt.Sprintf("%s (organization %s)", on.bold(printable(d.Organization.Name)), printable(d.Organization.ID))
	}
	var w, failure strings.Builder
	switch {
	case d.Error != nil:
		writeFailure(&failure, d.Error)
		if len(d.Steps) > 0 && d.ID != "" {
			fmt.Fprintf(&failure, "  To continue: contactsync %s\n", printable(shellWords(d.Command)))
		}
		fmt.Fprintf(&w, "%s: %s\n", subject, on.bold("stopped."))
	case d.dry():
		fmt.Fprintf(&w, "%s: %s\n", subject, on.bold("nothing was changed: this was a dry run."))
	default:
		fmt.Fprintf(&w, "%s: %s\n", subject, on.bold("done."))
	}
	fmt.Fprintf(&w, "%s\n", on.dim(fmt.Sprintf("Requests: desk %d, GitLab %d, git %d", d.Requests.Desk, d.Requests.GitLab, d.Requests.Git)))
	if err := write(p.Stdout, w.String()); err != nil {
		return err
	}
	return write(p.Stderr, failure.String())
}

// shellWords writes arguments so that a shell reads them back.
func shellWords(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = word
		if word == "" || strings.ContainsFunc(word, func(r rune) bool {
			return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-", r)
		}) {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// unfinishedDocument is what is to be continued.
type unfinishedDocument struct {
	Procedures []contactsync.Procedure `json:"procedures"`
}

func (p *program) unfinished(cmd *cobra.Command) error {
	history, err := p.openHistory(cmd.Context())
	if err != nil {
		return err
	}
	defer history.Close()
	found, err := history.Procedures(cmd.Context(), store.ProcedureFilter{Unfinished: true})
	if err != nil {
		return err
	}
	return p.answer(unfinishedDocument{append([]contactsync.Procedure{}, found...)}, func(w *strings.Builder) {
		if len(found) == 0 {
			w.WriteString("Nothing is unfinished.\n")
		}
		for _, one := range found {
			fmt.Fprintf(w, "%s  %s of organization %s (%s), by %s: %s\n", one.Updated.UTC().Format("2006-01-02 15:04:05"), one.Kind,
				printable(one.Organization.ID), printable(one.Organization.Name), printable(one.By), reached(one))
			fmt.Fprintf(w, "    contactsync %s\n", printable(shellWords(one.Command)))
		}
	})
}

// reached says how far a procedure came.
func reached(one contactsync.Procedure) string {
	if len(one.Steps) == 0 {
		return "no step is done"
	}
	last := one.Steps[len(one.Steps)-1]
	if one.Error != nil {
		return fmt.Sprintf("stopped at %s: %s", last.Name, printable(one.Error.Title))
	}
	return fmt.Sprintf("%s is done; it goes on elsewhere, or its process ended", last.Name)
}
