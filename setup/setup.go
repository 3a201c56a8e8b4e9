// Package setup is the life of a contact management project: it is set up, verified and repaired, audited, and removed.
//
// Everything is done in steps. Each looks at what is there, changes what differs, and reads back what it changed, so that
// any of them can be done again: after a failure, or the death of the process, the same command goes on where it stopped,
// and nothing is there twice.
package setup

import (
	"context"
	"fmt"
	"path"
	"time"

	"contactsync"
	"contactsync/templates"
)

// Policy is what projects are to be like.
type Policy struct {
	Group    string // full path of the group that holds the projects
	Template string // id or path of a project in the group's template group; "" uses the embedded one
	Branch   string
	File     string // the contacts file
	Gate     bool   // a merge waits for the status of the plan

	Maintainers     int // at most; 0: no limit
	ContactsWithout int // of an organization without a project; 0: no limit
	ContactsWith    int // of one with a project; 0: no limit

	// Hook is the hook that a project is to have; the legacy one leads to the original trigger address.
	Hook func(project int64, legacy bool) (contactsync.NewHook, error)
	// Ours reports whether a hook leads to our receiver, be it at its own address or at the original trigger's.
	Ours func(contactsync.Hook) bool
	// Titles are the desk's own macros that answer tickets, instead of the texts.
	Titles map[templates.Reply]string
}

// Options are a Caretaker's parts. All are required, but Step.
type Options struct {
	Forge   Forge
	Files   Files
	Desk    Desk
	Syncer  Syncer
	Journal Journal
	Lease   Lease
	Texts   Texts
	Policy  Policy
	Step    func(name string)                              // is told what is being done
	Told    func(n, of int, result contactsync.StepResult) // is told what became of each step
	Now     func() time.Time
	NewID   func() string
	Wait    func(context.Context, time.Duration) error
}

// Caretaker looks after projects. It keeps nothing between calls.
type Caretaker struct{ Options }

// New returns a caretaker.
func New(options Options) *Caretaker {
	if options.Step == nil {
		options.Step = func(string) {}
	}
	if options.Told == nil {
		options.Told = func(int, int, contactsync.StepResult) {}
	}
	return &Caretaker{options}
}

// Setup says what is to be set up.
type Setup struct {
	Organization string
	Maintainers  []contactsync.Email
	Ticket       string // that is answered at the end; "" for none
	Legacy       bool   // the hook leads to the original trigger address
	DryRun       bool   // only says what would be done
	By           string
	Command      []string // that continues it

	// Ready is asked first: whether what was named beside the organization, such as the ticket, can be used. Nil asks nothing.
	Ready func(context.Context) error
	// Judge tells whether the organization may have a project: what was found, and the error of one that may not.
	Judge func(context.Context) ([]string, error)
	// Unjudged is the reason why it is not asked; "" asks.
	Unjudged string
}

// SetUp gives an organization its project. The procedure says how far that came, also beside an error.
func (c *Caretaker) SetUp(ctx context.Context, wanted Setup) (contactsync.Procedure, error) {
	j := &job{Caretaker: c, maintainers: wanted.Maintainers, legacy: wanted.Legacy, ticket: wanted.Ticket}
	j.procedure = contactsync.Procedure{Kind: contactsync.ProcedureSetup, By: wanted.By, Command: wanted.Command}
	organization, err := c.Desk.OrganizationByID(ctx, wanted.Organization)
	if err != nil {
		j.procedure.Organization.ID, j.procedure.Steps = wanted.Organization, []contactsync.StepResult{}
		return j.procedure, fmt.Errorf("setting up the project of organization %s: %w", wanted.Organization, err)
	}
	j.procedure.Organization = organization
	err = j.carryOut(ctx, wanted.DryRun, []step{
		{"eligibility", "judging eligibility", func(ctx context.Context) (outcome, error) { return judge(ctx, wanted) }},
		{"maintainers", "making the maintainers contacts", j.associate},
		{"project", "making the project", j.findOrMake},
		{"settings", "setting the project up", j.settings},
		{"branch", "protecting the branch", j.protect},
		{"files", "writing the files", j.writeFiles},
		{"link", "linking the organization", j.link},
		{"hook", "making the hook", j.makeHook},
		{"invitations", "inviting the maintainers", j.invite},
		{"ticket", "answering the ticket", j.answerSetUp},
	})
	if err != nil {
		return j.procedure, fmt.Errorf("setting up the project of organization %s: %w", wanted.Organization, err)
	}
	return j.procedure, nil
}

func judge(ctx context.Context, wanted Setup) (outcome, error) {
	if wanted.Ready != nil {
		if err := wanted.Ready(ctx); err != nil {
			return outcome{}, err
		}
	}
	if wanted.Unjudged != "" {
		return skipped("not judged: %s", wanted.Unjudged), nil
	}
	found, err := wanted.Judge(ctx)
	return outcome{contactsync.StepAlready, found}, err
}

// job is one procedure under way, and what its steps found so far.
type job struct {
	*Caretaker
	procedure contactsync.Procedure
	dry       bool

	maintainers []contactsync.Email
	legacy      bool
	ticket      string

	project contactsync.ProjectDetails // zero until it is found or made
	linked  bool                       // the organization carried the project's number before this process did anything
	// continued says that the procedure began in another process.
	continued bool
	// theirs says that the project was set up before: the file is the customer's.
	theirs   bool
	self     int64
	exported contactsync.Exported
}

// org is the organization that the procedure is about.
func (j *job) org() contactsync.Organization { return j.procedure.Organization }

const namePrefix = "Organization "

// place is where the organization's project belongs, and what it is called.
func (p Policy) place(organization string) (full, name string) {
	return path.Join(p.Group, "organization-"+organization), namePrefix + organization
}

// outcome is what a step tells when it did not fail.
type outcome struct {
	state   contactsync.StepState
	details []string
}

func done(format string, args ...any) outcome {
	return outcome{contactsync.StepDone, []string{fmt.Sprintf(format, args...)}}
}

func already(format string, args ...any) outcome {
	return outcome{contactsync.StepAlready, []string{fmt.Sprintf(format, args...)}}
}

func skipped(format string, args ...any) outcome {
	return outcome{contactsync.StepSkipped, []string{fmt.Sprintf(format, args...)}}
}

func planned(format string, args ...any) outcome {
	return outcome{contactsync.StepPlanned, []string{fmt.Sprintf(format, args...)}}
}

// with adds lines for people.
func (o outcome) with(lines ...string) outcome {
	o.details = append(o.details, lines...)
	return o
}
