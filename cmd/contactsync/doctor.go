package main

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"contactsync"
	"contactsync/config"
	"contactsync/setup"
)

// doctorsAtOnce is how many projects are examined at the same time. Repairs are done one project after the other.
const doctorsAtOnce = 4

// doctorFlags is what doctor is to do.
type doctorFlags struct {
	all, fix, yes bool
	by            string
}

// diagnosisDocument is what doctor answers for one project.
type diagnosisDocument struct {
	Project      int64                     `json:"project"`
	Path         string                    `json:"path,omitempty"`
	Organization *contactsync.Organization `json:"organization,omitempty"`
	Findings     []contactsync.Finding     `json:"findings"`
	Requests     contactsync.Requests      `json:"requests"`
	Error        *contactsync.Failure      `json:"error,omitempty"` // why it could not be examined
	// Warnings are about all projects: with --all they are told once, beside the results.
	Warnings []warning `json:"warnings,omitempty"`
}

type diagnosesDocument struct {
	Results  []diagnosisDocument  `json:"results"`
	Requests contactsync.Requests `json:"requests"` // of all, and of finding them
	Warnings []warning            `json:"warnings,omitempty"`
}

func (p *program) doctorCommand() *cobra.Command {
	var flags doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor PROJECT | doctor --all",
		Short: "Compares projects with what they are to be, and repairs them",
		Long: `Compares a project with everything that setup does, and looks after its hook, its members, its link and its file. PROJECT is
the number of a project on GitLab; --all takes every project that an organization is linked to, and every one of the group.
It takes a minute at least, because Zendesk tells of all organizations that much late.

--fix repairs. What takes nothing from anybody is repaired at once: settings, branch, hook, and a sync for pushes that were
not heard. The rest takes your yes, one by one on a terminal, or --yes for everything: lowering the level of a person, who is
named, withdrawing an invitation, linking, renaming, writing files that are missing. Then everything is read back. What is
done is kept in the audit trail. Projects outside the group (gitlab.group), and those that are nobody's or named
after another organization, are never changed.

Exit status: 0 healthy, or everything is fixed, 1 failed with a named error, 2 wrong usage or configuration, 3 problems are
left. With --all, 1 is for nothing that could be examined; else projects that could not be are problems, too.`,
		Example: `  contactsync doctor 123
  contactsync doctor 123 --fix
  contactsync doctor --all --output json
  contactsync doctor --all --fix --yes`,
		Args: arguments(0, 1, ""),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case flags.all && len(args) > 0:
				return usagef(cmd, "--all takes no PROJECT")
			case !flags.all && len(args) == 0:
				return usagef(cmd, "PROJECT is missing; --all takes all of them")
			case flags.yes && !flags.fix:
				return usagef(cmd, "--yes says yes to repairs, which takes --fix")
			}
			return p.doctor(cmd.Context(), args, flags)
		},
	}
	cmd.Flags().BoolVar(&flags.all, "all", false, "examine all projects")
	cmd.Flags().BoolVar(&flags.fix, "fix", false, "repair what is safe, and ask for the rest")
	cmd.Flags().BoolVar(&flags.yes, "yes", false, "repair without asking, which takes --fix")
	cmd.Flags().StringVar(&flags.by, "by", "", "`NAME` of who repairs, for the audit trail (default: the user who runs the command)")
	return cmd
}

func (p *program) doctor(ctx context.Context, args []string, flags doctorFlags) error {
	settings, err := p.configuration(config.ForSetup)
	if err != nil {
		return err
	}
	a := readOnly
	if flags.fix {
		a = readWrite
	}
	watch := p.newProgress()
	defer watch.Close()
	systems, err := p.connect(ctx, settings, watch, a)
	if err != nil {
		return err
	}
	defer systems.close()
	var finding contactsync.Tally
	warnings := p.doctorWarnings(contactsync.WithTally(watch.watch(ctx), &finding), settings, systems)
	caretaker, err := p.newCaretaker(settings, systems, watch, nil)
	if err != nil {
		return err
	}
	checkups, err := rounds(contactsync.WithTally(watch.watch(ctx), &finding), caretaker, args)
	if err != nil {
		return err
	}
	ask := p.asker(watch, flags.yes)
	for i := range checkups {
		c := &checkups[i]
		c.Fix, c.Ask, c.By = flags.fix, ask, cmp.Or(flags.by, p.operator())
		c.Command = []string{"doctor", fmt.Sprint(c.Project), "--fix"}
		if flags.yes {
			c.Command = append(c.Command, "--yes")
		}
	}
	if !flags.all {
		document, err := examine(watch.watch(ctx), caretaker, checkups[0])
		watch.Close()
		if ctx.Err() != nil {
			return p.stopped()
		}
		if err != nil {
			return err
		}
		document.Requests = sum(finding.Requests(), document.Requests)
		document.Warnings = warnings
		return p.endDoctor(diagnosesDocument{[]diagnosisDocument{document}, document.Requests, warnings}, false)
	}
	caretaker.Step = func(string) {} // the bar counts projects
	watch.Step("examining projects")
	results := make([]diagnosisDocument, 0, len(checkups))
	abreast := doctorsAtOnce
	if flags.fix {
		abreast = 1
	}
	for part := range slices.Chunk(checkups, abreast) {
		if ctx.Err() != nil {
			break
		}
		found := make([]diagnosisDocument, len(part))
		var group errgroup.Group
		for i, checkup := range part {
			group.Go(func() error {
				document, err := examine(ctx, caretaker, checkup)
				document.Error = contactsync.FailureOf(err)
				found[i] = document
				return nil // the others go on
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
		results = append(results, found...)
		if p.output == outputText {
			if err := watch.Above(func() error { return p.tellDiagnoses(found) }); err != nil {
				return err
			}
		}
		watch.Progress(len(results), len(checkups))
	}
	watch.Close()
	total := finding.Requests()
	for _, d := range results {
		total = sum(total, d.Requests)
	}
	err = p.endDoctor(diagnosesDocument{results, total, warnings}, true)
	if ctx.Err() != nil {
		return p.stopped()
	}
	return err
}

func sum(a, b contactsync.Requests) contactsync.Requests {
	return contactsync.Requests{Desk: a.Desk + b.Desk, GitLab: a.GitLab + b.GitLab, Git: a.Git + b.Git}
}

// doctorWarnings asks GitLab about the token: whose it is, which every examination needs to know, and whether it may write.
// Where GitLab does not tell, the examination asks whose it is, and says why not.
func (p *program) doctorWarnings(ctx context.Context, settings config.Config, systems *systems) []warning {
	token, err := p.checkToken(ctx, systems.forge)
	if err != nil {
		return nil
	}
	systems.self = token.User
	if mute := muteToken(settings, token); mute != nil {
		return []warning{*mute}
	}
	return nil
}

// stopped ends a command that was told to.
func (p *program) stopped() error {
	if err := write(p.Stderr, "contactsync: stopped before its end. The same command goes on.\n"); err != nil {
		return err
	}
	return exitStatus(statusFailed)
}

// rounds returns what is to be examined: the project that is named, or all.
func rounds(ctx context.Context, caretaker *setup.Caretaker, args []string) ([]setup.Checkup, error) {
	if len(args) == 0 {
		return caretaker.Rounds(ctx)
	}
	id, ok := contactsync.ProjectRef(args[0]).ID()
	if !ok {
		return nil, contactsync.Errorf(contactsync.ClassInvalidProjectID, "%q is no number of a project", args[0])
	}
	return []setup.Checkup{{Project: id}}, nil
}

func examine(ctx context.Context, caretaker *setup.Caretaker, checkup setup.Checkup) (diagnosisDocument, error) {
	var tally contactsync.Tally
	d, err := caretaker.Doctor(contactsync.WithTally(ctx, &tally), checkup)
	if d.Findings == nil {
		d.Findings = []contactsync.Finding{}
	}
	return diagnosisDocument{
		Project: d.Project, Path: d.Path, Organization: d.Organization, Findings: d.Findings, Requests: tally.Requests(),
	}, err
}

// questions are what takes a yes.
var questions = map[contactsync.Check]string{
	contactsync.CheckMemberAbove:     "Make them a developer?",
	contactsync.CheckInvitationAbove: "Withdraw the invitation?",
	contactsync.CheckLinkMissing:     "Link the organization to the project?",
	contactsync.CheckMoved:           "Change the project's path?",
	contactsync.CheckName:            "Rename the project?",
	contactsync.CheckFileMissing:     "Write the present contacts into it?",
	contactsync.CheckGuideMissing:    "Write it?",
}

// asker asks on the terminal. Without one nobody can say yes.
func (p *program) asker(watch *progress, yes bool) func(context.Context, contactsync.Finding) (bool, error) {
	if yes || !p.StdinIsTerminal {
		return func(context.Context, contactsync.Finding) (bool, error) { return yes, nil }
	}
	input := bufio.NewReader(p.Stdin)
	return func(ctx context.Context, f contactsync.Finding) (yes bool, err error) {
		err = watch.Above(func() error {
			if err := write(p.Stderr, fmt.Sprintf("%s: %s\n  %s [y/N] ", f.Check, printable(f.Message), questions[f.Check])); err != nil {
				return err
			}
			// Who is asked may never answer, and give up instead. Then the process ends, and with it the reading.
			answered := make(chan string, 1)
			go func() {
				line, err := input.ReadString('\n')
				if err != nil {
					line = "" // half a word is no yes
				}
				answered <- line
			}()
			select {
			case line := <-answered:
				answer := strings.ToLower(strings.TrimSpace(line))
				yes = answer == "y" || answer == "yes"
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		return yes, err
	}
}

// doctorCount is how it stands with some projects.
type doctorCount struct {
	healthy, failed, problems, notes, fixed, waiting int
}

func countDiagnoses(results []diagnosisDocument) (c doctorCount) {
	for _, d := range results {
		problems := c.problems
		for _, f := range d.Findings {
			switch {
			case f.Fixed:
				c.fixed++
				continue
			case f.Severity == contactsync.SeverityNote:
				c.notes++
			default:
				c.problems++
			}
			if f.Fix == contactsync.FixAsk && f.Error == nil {
				c.waiting++
			}
		}
		switch {
		case d.Error != nil:
			c.failed++
		case c.problems == problems:
			c.healthy++
		}
	}
	return c
}

func (p *program) endDoctor(all diagnosesDocument, many bool) error {
	results := all.Results
	count := countDiagnoses(results)
	if p.output == outputJSON {
		var document any = all
		if !many {
			document = results[0]
		}
		if err := writeJSON(p.Stdout, document); err != nil {
			return err
		}
	} else {
		if !many {
			if err := p.tellDiagnoses(results); err != nil {
				return err
			}
		}
		if err := write(p.Stdout, warningLines(all.Warnings, p.palette())+p.doctorSummary(count, all, many)); err != nil {
			return err
		}
	}
	switch {
	case count.failed > 0 && count.failed == len(results):
		return exitStatus(statusFailed)
	case count.failed+count.problems > 0:
		return exitStatus(statusPartial)
	}
	return nil
}

func (p *program) doctorSummary(c doctorCount, all diagnosesDocument, many bool) string {
	var parts []string
	add := func(count int, one, many string) {
		if count > 0 {
			parts = append(parts, people(count, one, many))
		}
	}
	text := "Healthy"
	if many {
		text = fmt.Sprintf("%d of %d projects healthy", c.healthy, len(all.Results))
	} else if c.problems > 0 {
		text = "Not healthy"
	}
	add(c.fixed, "fixed", "fixed")
	add(c.problems, "problem left", "problems left")
	add(c.notes, "note", "notes")
	add(c.failed, "could not be examined", "could not be examined")
	text = p.palette().bold(strings.Join(append([]string{text}, parts...), ", ")+".") + "\n"
	if c.waiting > 0 {
		text += fmt.Sprintf("%s for your yes: run it with --fix on a terminal, or with --fix --yes.\n", people(c.waiting, "repair waits", "repairs wait"))
	}
	return text + p.palette().dim(fmt.Sprintf("Requests: desk %d, GitLab %d, git %d", all.Requests.Desk, all.Requests.GitLab, all.Requests.Git)) + "\n"
}

func warningLines(warnings []warning, on palette) string {
	var text strings.Builder
	for _, w := range warnings {
		fmt.Fprintf(&text, "%s %s.\n    What to do: %s\n", on.yellow("Warning:"), w.Message, w.Remedy)
	}
	return text.String()
}

// tellDiagnoses shows what was found: a line for a healthy project, and lines for each finding of others.
func (p *program) tellDiagnoses(results []diagnosisDocument) error {
	on := p.palette()
	var w strings.Builder
	for _, d := range results {
		name := fmt.Sprintf("project %d", d.Project)
		if d.Path != "" {
			name += " " + printable(d.Path)
		}
		if d.Organization != nil {
			name = fmt.Sprintf("%s (organization %s), %s", on.bold(printable(d.Organization.Name)), printable(d.Organization.ID), name)
		}
		switch {
		case d.Error != nil:
			fmt.Fprintf(&w, "%s: %s\n", name, on.red("could not be examined"))
			fmt.Fprintf(&w, "    %s\n    What to do: %s\n", because(d.Error.Class, d.Error.Detail), printable(d.Error.Remedy))
		case len(d.Findings) == 0:
			fmt.Fprintf(&w, "%s: %s\n", name, on.green("healthy"))
		default:
			fmt.Fprintf(&w, "%s:\n", name)
		}
		for _, f := range d.Findings {
			writeFinding(&w, f, on)
		}
	}
	return write(p.Stdout, w.String())
}

func writeFinding(w *strings.Builder, f contactsync.Finding, on palette) {
	sign, paint, end := "x", on.red, ""
	switch {
	case f.Fixed:
		sign, paint, end = "+", on.green, " (fixed)"
	case f.Severity == contactsync.SeverityNote:
		sign, paint = "!", on.yellow
	}
	fmt.Fprintf(w, "%s  %s%s\n", paint(fmt.Sprintf("  %s %-18s", sign, f.Check)), printable(f.Message), end)
	remedy := f.Remedy
	switch {
	case f.Fixed:
		return
	case f.Error != nil:
		fmt.Fprintf(w, "      the repair failed: %s\n", because(f.Error.Class, f.Error.Detail))
		remedy = f.Error.Remedy
	}
	fmt.Fprintf(w, "      What to do: %s\n", printable(remedy))
}
