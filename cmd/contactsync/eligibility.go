package main

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"contactsync"
	"contactsync/config"
	"contactsync/eligibility"
	"contactsync/setup"
	"contactsync/templates"
)

type eligibilityFlags struct {
	organization, requester, username, namespace, by string
	attest                                           []string
	ticket                                           string // that is answered with the verdict; "" for none
}

// verdictDocument is a verdict, with the error where it is not the good one.
type verdictDocument struct {
	contactsync.Verdict
	Answered string               `json:"answered,omitempty"` // what became of the ticket
	Requests contactsync.Requests `json:"requests"`
	Error    *contactsync.Failure `json:"error,omitempty"`
}

func (p *program) eligibilityCommand() *cobra.Command {
	var flags eligibilityFlags
	cmd := &cobra.Command{
		Use:   "eligibility",
		Short: "Tells whether an organization may have a contact management project",
		Long: `Tells whether an organization may have a contact management project when somebody asks for one: each criterion of the
policy with its evidence, and what would mend it. Facts come from the organization's fields at the desk, its members, and
GitLab. What no source can tell is unknown, and not met; an operator who knows better attests it. Verdicts and
attestations are kept in the audit trail.

GitLab does not tell usernames by address: --username is the requester's word, so ask for it where it can be trusted.

--ticket answers the ticket: who is eligible is asked who may edit the list, who is not is told why. An unknown criterion
is no answer yet, so then the ticket is left alone.

Exit status: 0 eligible, 1 not_eligible or failed, 2 wrong usage or configuration.`,
		Example: `  contactsync eligibility --organization 380989798980 --requester ada@example.com
  contactsync eligibility --organization 380989798980 --requester ada@example.com --username ada --namespace example
  contactsync eligibility --organization 380989798980 --requester ada@example.com --attest "authorized=order 4711 names her"`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return p.groupOnly(cmd, args)
			}
			return p.eligibility(cmd, flags)
		},
	}
	cmd.Flags().StringVar(&flags.organization, "organization", "", "`ID` of the organization at the desk")
	cmd.Flags().StringVar(&flags.requester, "requester", "", "`ADDRESS` of who asks")
	cmd.Flags().StringVar(&flags.username, "username", "", "the requester's `NAME` on GitLab, as the requester says")
	cmd.Flags().StringVar(&flags.namespace, "namespace", "", "`PATH` of the organization's namespace on GitLab (default: the field eligibility.fields.namespace)")
	cmd.Flags().StringArrayVar(&flags.attest, "attest", nil, "`CRITERION=EVIDENCE`: your word for a criterion that is unknown, and what it rests on; may be repeated")
	cmd.Flags().StringVar(&flags.ticket, "ticket", "", "`NUMBER` of the ticket that is answered with the verdict")
	cmd.Flags().StringVar(&flags.by, "by", "", "`NAME` of who judges and attests, for the audit trail (default: the user who runs the command)")
	cmd.AddCommand(p.eligibilityHistoryCommand())
	return cmd
}

func (p *program) eligibility(cmd *cobra.Command, flags eligibilityFlags) error {
	switch {
	case flags.organization == "":
		return usagef(cmd, "--organization is missing")
	case flags.requester == "" && flags.ticket == "":
		return usagef(cmd, "--requester is missing: it takes that, or the --ticket whose requester it is")
	case flags.requester != "" && !isAddress(flags.requester):
		return usagef(cmd, "--requester %q is no e-mail address", flags.requester)
	}
	settings, err := p.configuration(config.ForSync)
	if err != nil {
		return err
	}
	policy, err := eligibility.NewPolicy(settings.Eligibility.Seats, settings.Eligibility.Criteria)
	if err != nil {
		return wrong("eligibility.criteria", err)
	}
	by := cmp.Or(flags.by, p.operator())
	attestations, err := attestationsOf(cmd, policy, flags.attest, by)
	if err != nil {
		return err
	}

	watch := p.newProgress()
	defer watch.Close()
	systems, err := p.connect(cmd.Context(), settings, watch, readWrite)
	if err != nil {
		return err
	}
	defer systems.close()
	var tally contactsync.Tally
	ctx := contactsync.WithTally(watch.watch(cmd.Context()), &tally)
	if _, err := askTicket(ctx, systems, &flags); err != nil {
		return err
	}
	watch.Step("gathering facts")
	verdict, err := p.judge(ctx, systems, settings, judgment{policy, flags, attestations, by})
	if err != nil {
		return err
	}
	answered, err := p.answerVerdict(ctx, systems, settings, watch, flags.ticket, verdict)
	if err != nil {
		return err
	}
	watch.Close()
	return p.reportVerdict(verdictDocument{verdict, answered, tally.Requests(), contactsync.FailureOf(verdict.Err())})
}

// askTicket takes the requester from the ticket, if there is one, and refuses a ticket of another organization.
func askTicket(ctx context.Context, s *systems, flags *eligibilityFlags) (contactsync.Ticket, error) {
	ticket, known, err := setup.TicketOf(ctx, s.desk, flags.ticket, flags.organization)
	if err == nil && known && flags.requester == "" {
		flags.requester = string(ticket.Requester)
	}
	return ticket, err
}

// answerVerdict tells the ticket what the verdict means to the requester, and returns what became of that.
func (p *program) answerVerdict(ctx context.Context, s *systems, settings config.Config, watch *progress, ticket string, v contactsync.Verdict) (string, error) {
	if ticket == "" {
		return "", nil
	}
	reply, data := templates.Intro, templates.Data(templates.IntroData{
		Organization: v.Organization.Name, File: settings.GitLab.File, Limit: settings.Limits.Maintainers,
	})
	if !v.Eligible {
		var criteria []templates.Criterion
		known := false
		for _, c := range v.Criteria {
			if c.State != contactsync.CriterionMet {
				criteria = append(criteria, templates.Criterion{Title: c.Title, Unknown: c.State == contactsync.CriterionUnknown, Remedy: c.Remedy})
				known = known || c.State == contactsync.CriterionNotMet
			}
		}
		if !known {
			return "ticket " + ticket + " was not answered, because not everything is known", nil
		}
		reply, data = templates.NotQualified, templates.NotQualifiedData{Organization: v.Organization.Name, Criteria: criteria}
	}
	caretaker, err := p.newCaretaker(settings, s, watch, nil)
	if err != nil {
		return "", err
	}
	line, _, err := caretaker.Answer(ctx, ticket, reply, data, v.Organization.ID)
	return line, err
}

// judgment is what a verdict is asked for.
type judgment struct {
	policy       eligibility.Policy
	flags        eligibilityFlags
	attestations []contactsync.Attestation
	by           string
}

// judge gathers the facts, and keeps the verdict in the audit trail.
func (p *program) judge(ctx context.Context, s *systems, settings config.Config, j judgment) (contactsync.Verdict, error) {
	mapping := eligibility.Mapping(settings.Eligibility.Fields)
	organization, sources, err := gather(ctx, s, mapping, j.flags)
	if err != nil {
		return contactsync.Verdict{}, fmt.Errorf("judging organization %s: %w", j.flags.organization, err)
	}
	now := p.Now()
	verdict := j.policy.Judge(mapping.Facts(sources, contactsync.DateOf(now), settings.Eligibility.Grace), j.attestations)
	verdict.ID, verdict.Organization, verdict.Requester = newRunID(), organization, sources.Requester
	verdict.Username, verdict.Namespace = sources.Ownership.Username, sources.Subscription.Namespace
	verdict.JudgedBy, verdict.Judged = j.by, now.UTC().Truncate(time.Millisecond)
	return verdict, s.store.SaveVerdict(ctx, verdict)
}

// attestationsOf reads the flags. An attestation of what nobody asks for is a mistake, not a note.
func attestationsOf(cmd *cobra.Command, policy eligibility.Policy, texts []string, by string) ([]contactsync.Attestation, error) {
	var attestations []contactsync.Attestation
	seen := map[string]bool{}
	for _, text := range texts {
		criterion, evidence, _ := strings.Cut(text, "=")
		criterion, evidence = strings.TrimSpace(criterion), strings.TrimSpace(evidence)
		switch {
		case evidence == "":
			return nil, usagef(cmd, "--attest %q is not CRITERION=EVIDENCE", text)
		case !policy.Has(criterion):
			var known []string
			for _, c := range policy.Criteria() {
				known = append(known, c.ID)
			}
			return nil, usagef(cmd, "--attest %q: the policy has no such criterion; it has %s", criterion, strings.Join(known, ", "))
		case seen[criterion]:
			return nil, usagef(cmd, "--attest %s is given twice", criterion)
		}
		seen[criterion] = true
		attestations = append(attestations, contactsync.Attestation{Criterion: criterion, Evidence: evidence, By: by})
	}
	return attestations, nil
}

// forge is what eligibility asks of GitLab.
type forge interface {
	Subscription(ctx context.Context, namespace string) (contactsync.Subscription, error)
	Ownership(ctx context.Context, namespace, username string) (contactsync.Ownership, error)
}

// gather asks desk and forge. What they cannot tell is no error; that they do not answer is.
func gather(ctx context.Context, s *systems, mapping eligibility.Mapping, flags eligibilityFlags) (contactsync.Organization, eligibility.Sources, error) {
	sources := eligibility.Sources{Requester: contactsync.NormalizeEmail(flags.requester)}
	organization, err := s.desk.OrganizationByID(ctx, flags.organization)
	if err != nil {
		return organization, sources, err
	}
	if sources.Associated, err = associated(ctx, s.desk, organization, sources.Requester); err != nil {
		return organization, sources, err
	}
	if err := readFields(ctx, s.desk, organization, &sources); err != nil {
		return organization, sources, err
	}
	namespace := cmp.Or(flags.namespace, mapping.NamespaceIn(sources.Fields))
	return organization, sources, askForge(ctx, s.forge, namespace, flags.username, &sources)
}

func readFields(ctx context.Context, desk contactsync.Desk, organization contactsync.Organization, sources *eligibility.Sources) (err error) {
	reader, ok := desk.(contactsync.FieldReader)
	if !ok {
		sources.FieldsWhy = "this desk has no fields of organizations"
		return nil
	}
	sources.Fields, err = reader.OrganizationFields(ctx, organization)
	return err
}

func askForge(ctx context.Context, gitlab forge, namespace, username string, sources *eligibility.Sources) (err error) {
	const noNamespace = "no namespace on GitLab is known: --namespace"
	sources.Subscription = contactsync.Subscription{Unknown: noNamespace}
	sources.Ownership = contactsync.Ownership{Username: username, Unknown: noNamespace}
	if namespace == "" {
		return nil
	}
	if sources.Subscription, err = gitlab.Subscription(ctx, namespace); err != nil {
		return err
	}
	if username == "" {
		sources.Ownership.Unknown = "the requester's username on GitLab is not known: --username"
		return nil
	}
	sources.Ownership, err = gitlab.Ownership(ctx, namespace, username)
	return err
}

// associated looks the requester up by every address of theirs. Somebody who is not found so may be too new for the
// desk's index: then the members themselves are looked through.
func associated(ctx context.Context, desk contactsync.Desk, organization contactsync.Organization, requester contactsync.Email) (eligibility.Told[bool], error) {
	people, err := desk.People(ctx, organization, []contactsync.Email{requester})
	if err != nil {
		return eligibility.Told[bool]{}, err
	}
	if len(people) == 0 {
		members, err := desk.Members(ctx, organization)
		if err != nil {
			return eligibility.Told[bool]{}, err
		}
		for _, m := range members {
			if m.Has(requester) {
				return eligibility.Tell(true, "the organization's members"), nil
			}
		}
		return eligibility.Tell(false, "the desk, which finds nobody with that address"), nil
	}
	ids := make([]string, len(people))
	for i, person := range people {
		ids[i] = person.ID
	}
	present, err := desk.Present(ctx, organization, ids, -1)
	if err != nil {
		return eligibility.Told[bool]{}, err
	}
	for _, id := range ids {
		if present[id] {
			return eligibility.Tell(true, "the desk, person "+id), nil
		}
	}
	return eligibility.Tell(false, "the desk, person "+strings.Join(ids, " and ")), nil
}

func (p *program) reportVerdict(document verdictDocument) error {
	if err := p.answer(document, func(w *strings.Builder) { writeVerdict(w, document, p.palette()) }); err != nil {
		return err
	}
	if document.Error == nil {
		return nil
	}
	if p.output == outputText {
		var w strings.Builder
		writeFailure(&w, document.Error)
		if err := write(p.Stderr, w.String()); err != nil {
			return err
		}
	}
	return exitStatus(contactsync.ClassNotEligible.Info().ExitCode)
}

func writeVerdict(w *strings.Builder, d verdictDocument, on palette) {
	fmt.Fprintf(w, "%s (organization %s), asked for by %s\n", on.bold(printable(d.Organization.Name)),
		printable(d.Organization.ID), printable(string(d.Requester)))
	width := 0
	for _, c := range d.Criteria {
		width = max(width, len(c.ID))
	}
	for _, c := range d.Criteria {
		sign, word, paint := "?", "unknown", on.yellow
		switch c.State {
		case contactsync.CriterionMet:
			sign, word, paint = "+", "met", on.green
		case contactsync.CriterionNotMet:
			sign, word, paint = "-", "not met", on.red
		}
		fmt.Fprintf(w, "%s\n", paint(fmt.Sprintf("  %s %-7s  %-*s  %s", sign, word, width, c.ID, printable(c.Title))))
		for _, line := range reasons(c) {
			fmt.Fprintf(w, "      %s\n", on.dim(printable(line)))
		}
	}
	result := "Not eligible"
	if d.Eligible {
		result = "Eligible"
	}
	fmt.Fprintf(w, "%s\n", on.bold(result+": "+d.Summary()+"."))
	if d.Answered != "" {
		fmt.Fprintf(w, "%s\n", printable(strings.ToUpper(d.Answered[:1])+d.Answered[1:])+".")
	}
	fmt.Fprintf(w, "%s\n", on.dim(fmt.Sprintf("Verdict %s, judged by %s. Requests: desk %d, GitLab %d", d.ID, printable(d.JudgedBy), d.Requests.Desk, d.Requests.GitLab)))
}

// reasons are the lines below a criterion.
func reasons(c contactsync.CriterionResult) []string {
	var lines []string
	for _, e := range c.Evidence {
		if e.Unknown != "" {
			lines = append(lines, fmt.Sprintf("%s is unknown: %s", e.Fact, e.Unknown))
		} else {
			lines = append(lines, fmt.Sprintf("%s is %s (%s)", e.Fact, e.Value, e.Source))
		}
	}
	if a := c.Attestation; a != nil {
		line := fmt.Sprintf("attested by %s: %s", a.By, a.Evidence)
		if !a.Needed {
			line += " (kept, and not needed: the facts tell)"
		}
		lines = append(lines, line)
	}
	if c.Remedy != "" {
		lines = append(lines, "What to do: "+c.Remedy)
	}
	return lines
}

// verdictsDocument is the history of verdicts, newest first.
type verdictsDocument struct {
	Verdicts []contactsync.Verdict `json:"verdicts"`
}

func (p *program) eligibilityHistoryCommand() *cobra.Command {
	limit := defaultRunsLimit
	cmd := &cobra.Command{
		Use:   "history [ORGANIZATION]",
		Short: "Shows earlier verdicts, and what was attested",
		Long: `Lists the verdicts in the audit trail, newest first: all, or those about one organization. The attestations stand below
the verdicts that they belong to; --output json has everything else, too.`,
		Example: `  contactsync eligibility history
  contactsync eligibility history 380989798980 --output json`,
		Args: arguments(0, 1, "ORGANIZATION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if limit < 1 {
				return usagef(cmd, "--limit must be at least 1")
			}
			history, err := p.openHistory(cmd.Context())
			if err != nil {
				return err
			}
			defer history.Close()
			verdicts, err := history.Verdicts(cmd.Context(), strings.Join(args, ""), limit)
			if err != nil {
				return err
			}
			return p.answer(verdictsDocument{append([]contactsync.Verdict{}, verdicts...)}, func(w *strings.Builder) { writeVerdicts(w, verdicts) })
		},
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "at most `N` verdicts")
	return cmd
}

func writeVerdicts(w *strings.Builder, verdicts []contactsync.Verdict) {
	if len(verdicts) == 0 {
		w.WriteString("No verdicts.\n")
	}
	for _, v := range verdicts {
		result := "not eligible"
		if v.Eligible {
			result = "eligible"
		}
		fmt.Fprintf(w, "%s  %s  %-12s  organization %s (%s), asked for by %s, judged by %s: %s\n", v.ID,
			v.Judged.UTC().Format("2006-01-02 15:04:05"), result, printable(v.Organization.ID), printable(v.Organization.Name),
			printable(string(v.Requester)), printable(v.JudgedBy), v.Summary())
		for _, c := range v.Criteria {
			if a := c.Attestation; a != nil {
				fmt.Fprintf(w, "    %s attested by %s: %s\n", a.Criterion, printable(a.By), printable(a.Evidence))
			}
		}
	}
}

// isAddress reports whether a text can be an e-mail address at all.
func isAddress(text string) bool {
	address := contactsync.NormalizeEmail(text)
	return address.Domain() != "" && !strings.HasPrefix(string(address), "@")
}
