// Package sync is the pipeline that makes an organization's members equal to its contacts file:
//
//	resolve → fetch → parse → read → plan → guard → apply → verify → report
//
// plan and guard are pure and decide everything; the rest fetches what they need and does what they say.
package sync

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"contactsync"
	"contactsync/contacts"
)

// Forge knows projects.
type Forge interface {
	// Project returns the project with that number; invalid_project_id where it shows us none.
	Project(ctx context.Context, id int64) (contactsync.Project, error)
}

// Repository reads the contacts file of a project.
type Repository interface {
	// Read returns the configured file at the head of the configured branch; with an error, its commit where there is one.
	// Errors: file_missing, file_too_large, repository_unreachable.
	Read(ctx context.Context, project contactsync.Project) (contactsync.File, error)
}

// Memory is what a plan needs to know of earlier runs. It is only read.
type Memory interface {
	Baseline(ctx context.Context, organization string) (contactsync.Baseline, error)
	Approvals(ctx context.Context, project int64) ([]contactsync.Approval, error)
}

// Store is what a run needs to be durable: the lease that keeps two runs of a project apart, the history, and what
// the next run must know of this one.
type Store interface {
	Memory

	// Hold runs work while this process alone may write for the project. The context that work gets is cancelled
	// when the lease is lost, and its fence (contactsync.WithFence) fails from then on.
	Hold(ctx context.Context, project int64, work func(context.Context) error) error

	BeginRun(ctx context.Context, run contactsync.Run) error
	// PlanRun records what a run is about to write, before its first write.
	PlanRun(ctx context.Context, run contactsync.Run) error
	RecordChanges(ctx context.Context, run string, changes []contactsync.Change) error
	FinishRun(ctx context.Context, run contactsync.Run) error

	// RemainderOf returns the Remainder of the project's newest run with that digest, or "".
	RemainderOf(ctx context.Context, project int64, digest string) (string, error)
	Approve(ctx context.Context, project int64, approval contactsync.Approval) error
	SpendApprovals(ctx context.Context, project int64) error
	SaveBaseline(ctx context.Context, baseline contactsync.Baseline) error
}

// Observer follows a run for somebody who watches. Its methods may be called from several goroutines.
type Observer interface {
	Step(name string)         // a step begins
	Progress(done, total int) // of the present step
}

// Options are a Pipeline's parts. Store may be left out of a pipeline that only plans; Memory then stands in for it,
// and may be left out too.
type Options struct {
	Forge      Forge
	Repository Repository
	Desk       contactsync.Desk
	Store      Store
	Memory     Memory
	Policy     Policy
	Observer   Observer
	Now        func() time.Time
	NewID      func() string // ids of runs
}

// Pipeline plans and runs. It is safe for use by several goroutines; runs of one project wait for each other.
type Pipeline struct {
	Options
	parsing chan struct{} // held by whoever parses a file, see parse
}

// New returns a pipeline. Desk, Now and NewID are required; Forge and Repository unless only local files are planned.
func New(options Options) *Pipeline {
	if options.Memory == nil {
		options.Memory = options.Store
	}
	return &Pipeline{Options: options, parsing: make(chan struct{}, 1)}
}

// Watched returns the same pipeline with another observer. Runs of a process that make their way side by side have one
// each.
func (p *Pipeline) Watched(by Observer) *Pipeline {
	watched := *p
	watched.Observer = by
	return &watched
}

// Plan shows what Sync would do now. It writes nothing anywhere.
func (p *Pipeline) Plan(ctx context.Context, project contactsync.ProjectRef) contactsync.Run {
	return p.show(ctx, contactsync.Run{Project: project}, func(ctx context.Context, run *contactsync.Run) (proposal, error) {
		id, err := projectID(project)
		if err != nil {
			return proposal{}, err
		}
		return p.propose(ctx, id, run, p.Desk.Organization)
	})
}

// PlanFile shows what a contacts file would do to an organization that has a project, or is about to get one. It writes
// nothing anywhere.
func (p *Pipeline) PlanFile(ctx context.Context, content []byte, organization string) contactsync.Run {
	return p.planLocal(ctx, content, organization, p.checkLimitWith)
}

// PlanProposed shows what a contacts file would do that a merge request proposes for the project. It writes nothing
// anywhere. known is the organization of the project's last good run: where the desk says that it still carries the
// project, that is enough for a plan that nobody acts upon. The zero Organization is asked for as in a run.
func (p *Pipeline) PlanProposed(ctx context.Context, project int64, known contactsync.Organization, content []byte) contactsync.Run {
	run := contactsync.Run{Project: contactsync.ProjectRef(strconv.FormatInt(project, 10))}
	return p.show(ctx, run, func(ctx context.Context, run *contactsync.Run) (proposal, error) {
		state, err := p.readLocal(ctx, content, func(ctx context.Context) (contactsync.Organization, error) {
			if linker, ok := p.Desk.(contactsync.Linker); ok && known.ID != "" {
				if carried, err := linker.ProjectOf(ctx, known); err == nil && carried == project {
					return known, nil
				}
			}
			return p.Desk.Organization(ctx, project)
		}, p.checkLimitWith, run)
		if err != nil {
			return proposal{}, err
		}
		return p.decide(ctx, project, state)
	})
}

// PlanFileAsIs is PlanFile under the limit that holds for the organization as it is now, with a project or without one.
func (p *Pipeline) PlanFileAsIs(ctx context.Context, content []byte, organization string) contactsync.Run {
	return p.planLocal(ctx, content, organization, p.checkLimitAsIs)
}

// limiter refuses a file that lists more contacts than the organization may have.
type limiter func(ctx context.Context, org contactsync.Organization, wanted int) error

func (p *Pipeline) planLocal(ctx context.Context, content []byte, organization string, limited limiter) contactsync.Run {
	return p.show(ctx, contactsync.Run{}, func(ctx context.Context, run *contactsync.Run) (proposal, error) {
		state, err := p.readLocal(ctx, content, func(ctx context.Context) (contactsync.Organization, error) {
			return p.Desk.OrganizationByID(ctx, organization)
		}, limited, run)
		if err != nil {
			return proposal{}, err
		}
		return p.decide(ctx, 0, state)
	})
}

func (p *Pipeline) show(ctx context.Context, run contactsync.Run, propose func(context.Context, *contactsync.Run) (proposal, error)) contactsync.Run {
	ctx, tally := withTally(ctx)
	proposed, err := propose(ctx, &run)
	return conclude(run, proposed.plan, interrupted(ctx, err), tally)
}

// Sync makes the organization's members equal to the project's file now, as far as the safety rules allow.
func (p *Pipeline) Sync(ctx context.Context, project contactsync.ProjectRef, trigger contactsync.Trigger) contactsync.Run {
	return p.run(ctx, project, trigger, func(ctx context.Context, id int64, run *contactsync.Run) (proposal, error) {
		return p.propose(ctx, id, run, p.Desk.Organization)
	})
}

// Approve runs the project with the held changes of that plan let through. The plan may be the one that was shown, or
// what is left of it after a run that held changes. A plan that is neither is plan_changed, and nothing is written.
func (p *Pipeline) Approve(ctx context.Context, project contactsync.ProjectRef, digest, by string) contactsync.Run {
	return p.run(ctx, project, contactsync.TriggerApproval, func(ctx context.Context, id int64, run *contactsync.Run) (proposal, error) {
		proposed, err := p.propose(ctx, id, run, p.Desk.Organization)
		if err != nil {
			return proposed, err
		}
		if proposed.plan, err = p.consent(ctx, id, proposed, digest, by); err == nil {
			run.ApprovedBy = by
		}
		return proposed, err
	})
}

// run is one durable run of a project, from its begin to its finish. What it shall do is proposed under the lease.
func (p *Pipeline) run(ctx context.Context, project contactsync.ProjectRef, trigger contactsync.Trigger,
	propose func(ctx context.Context, project int64, run *contactsync.Run) (proposal, error)) contactsync.Run {
	ctx, tally := withTally(ctx)
	run := contactsync.Run{
		ID: p.NewID(), Project: project, Trigger: trigger, Status: contactsync.StatusRunning, Started: p.Now().UTC(),
		Changes: []contactsync.Change{}, Conflicts: []contactsync.Conflict{},
	}
	id, err := projectID(project)
	if err != nil {
		run = conclude(run, Plan{}, err, tally)
		return p.record(ctx, run)
	}
	p.step("waiting for another run of the project, if one is under way")
	begun := false
	// What goes wrong inside is in the run. Hold itself fails only where the lease or the history does.
	err = p.Store.Hold(ctx, id, func(ctx context.Context) error {
		if err := p.Store.BeginRun(ctx, run); err != nil {
			return err
		}
		begun = true
		proposed, err := propose(ctx, id, &run)
		if err == nil {
			err = p.carryOut(ctx, id, run, &proposed)
		}
		run = conclude(run, proposed.plan, interrupted(ctx, err), tally)
		run.Finished = p.Now().UTC()
		return p.Store.FinishRun(context.WithoutCancel(ctx), run)
	})
	if !begun {
		run.ID = "" // the history does not know it
	}
	if err != nil && run.Error == nil {
		run.Error, run.Status = contactsync.FailureOf(interrupted(ctx, err)), contactsync.StatusFailed
	}
	return run
}

// record keeps a run that ended before it could take its project's lease.
func (p *Pipeline) record(ctx context.Context, run contactsync.Run) contactsync.Run {
	run.Finished = p.Now().UTC()
	err := p.Store.BeginRun(ctx, run)
	if err == nil {
		err = p.Store.FinishRun(ctx, run)
	}
	if err != nil {
		run.Error.Detail += "; and the run could not be recorded: " + err.Error()
	}
	return run
}

// proposal is the guarded plan of a run, and what it was made from.
type proposal struct {
	plan     Plan
	members  []contactsync.Member // before anything is done
	baseline contactsync.Baseline // that the plan was guarded with
}

// resolver returns the organization of a project.
type resolver func(ctx context.Context, project int64) (contactsync.Organization, error)

// propose reads everything that a run of the project needs, and plans it.
func (p *Pipeline) propose(ctx context.Context, project int64, run *contactsync.Run, resolve resolver) (proposal, error) {
	state, err := p.read(ctx, project, run, resolve)
	if err != nil {
		return proposal{}, err
	}
	return p.decide(ctx, project, state)
}

// decide turns what was read into a guarded plan. project is 0 for a local file.
func (p *Pipeline) decide(ctx context.Context, project int64, state State) (proposal, error) {
	var baseline contactsync.Baseline
	var approvals []contactsync.Approval
	if p.Memory != nil {
		var err error
		if baseline, err = p.Memory.Baseline(ctx, state.Organization.ID); err != nil {
			return proposal{}, fmt.Errorf("reading the last good read of organization %s: %w", state.Organization.ID, err)
		}
		if project != 0 {
			if approvals, err = p.Memory.Approvals(ctx, project); err != nil {
				return proposal{}, fmt.Errorf("reading approvals of project %d: %w", project, err)
			}
		}
	}
	if err := CheckRead(state.Organization, len(state.Members), baseline); err != nil {
		return proposal{}, err
	}
	plan, err := Make(state, p.Policy)
	if err != nil {
		return proposal{}, err
	}
	plan = Guard(plan, p.Policy, Circumstances{Baseline: baseline, Approvals: approvals})
	return proposal{plan, state.Members, baseline}, nil
}

// consent approves the plan's held changes, if the operator's digest names this plan or what remained of it.
func (p *Pipeline) consent(ctx context.Context, project int64, proposed proposal, named, by string) (Plan, error) {
	plan := proposed.plan
	digest := plan.Digest()
	if named != digest {
		remainder, err := p.Store.RemainderOf(ctx, project, named)
		if err != nil {
			return plan, fmt.Errorf("looking up the approved plan: %w", err)
		}
		if remainder != digest {
			waiting := "nothing was changed"
			if len(plan.Held()) == 0 {
				waiting = "nothing waits for an approval now, and nothing was changed"
			}
			return plan, contactsync.Errorf(contactsync.ClassPlanChanged,
				"the approval names the plan %s, but the plan is now %s; %s", named, digest, waiting)
		}
	}
	if len(plan.Held()) == 0 {
		return plan, nil
	}
	approval := plan.Approve()
	approval.By, approval.At = by, p.Now().UTC()
	if err := p.Store.Approve(ctx, project, approval); err != nil {
		return plan, fmt.Errorf("recording the approval: %w", err)
	}
	return Guard(plan, p.Policy, Circumstances{Baseline: proposed.baseline, Approvals: []contactsync.Approval{approval}}), nil
}

// carryOut makes what is proposed so: the intent goes into the history, the changes to the desk, and what they left
// into the memory of the next run.
func (p *Pipeline) carryOut(ctx context.Context, project int64, run contactsync.Run, proposed *proposal) error {
	plan := &proposed.plan
	run.Changes, run.Conflicts, run.Digest, run.Remainder = plan.Changes(), plan.Conflicts, plan.Digest(), plan.Remainder()
	if len(run.Changes)+len(run.Conflicts) > 0 { // else there is no intent, and most runs of a sweep write one row less
		if err := p.Store.PlanRun(ctx, run); err != nil {
			return err
		}
	}
	members, err := p.apply(ctx, run.ID, plan, proposed.members)
	if err != nil {
		return err
	}
	return p.remember(ctx, project, *plan, members)
}

// remember leaves for the next run what this one proved. Held additions leave the old baseline: whoever restores
// what was lost at the desk must not trip on the loss itself.
func (p *Pipeline) remember(ctx context.Context, project int64, plan Plan, members []string) error {
	var heldAdditions bool
	for _, change := range plan.Held() {
		heldAdditions = heldAdditions || change.Error == contactsync.ClassAdditionsHeld
	}
	if !heldAdditions {
		baseline := contactsync.Baseline{Organization: plan.Organization.ID, Members: members, At: p.Now().UTC()}
		if err := p.Store.SaveBaseline(ctx, baseline); err != nil {
			return fmt.Errorf("keeping the members that were proved: %w", err)
		}
	}
	for _, item := range plan.Items {
		if item.Result == contactsync.ResultHeld || item.Result == contactsync.ResultFailed {
			return nil
		}
	}
	if err := p.Store.SpendApprovals(ctx, project); err != nil {
		return fmt.Errorf("closing the approval: %w", err)
	}
	return nil
}

func projectID(project contactsync.ProjectRef) (int64, error) {
	id, ok := project.ID()
	if !ok {
		return 0, contactsync.Errorf(contactsync.ClassInvalidProjectID, "%q is not the number of a project", string(project))
	}
	return id, nil
}

func withTally(ctx context.Context) (context.Context, *contactsync.Tally) {
	tally := new(contactsync.Tally)
	return contactsync.WithTally(ctx, tally), tally
}

func (p *Pipeline) step(name string) {
	if p.Observer != nil {
		p.Observer.Step(name)
	}
}

func (p *Pipeline) progress(ctx context.Context) context.Context {
	if p.Observer == nil {
		return ctx
	}
	return contactsync.WithProgress(ctx, p.Observer.Progress)
}

// parse reads a contacts file and checks that it lists somebody today. Of all runs of a process one parses at a time: a
// file that means harm can cost a hundred times its size while it is parsed.
func (p *Pipeline) parse(content []byte, today contactsync.Date) (file contacts.File, wanted int, err error) {
	p.parsing <- struct{}{}
	file, problems := contacts.Parse(content)
	<-p.parsing
	if err := contacts.Err(problems); err != nil {
		return contacts.File{}, 0, err
	}
	wanted = len(wantedOf(file.Contacts, today))
	if wanted == 0 {
		return contacts.File{}, 0, contactsync.Errorf(contactsync.ClassFileEmpty,
			"the last day of every contact in the file has passed, so it lists nobody; nobody was removed")
	}
	return file, wanted, nil
}

// checkOwner refuses a file that names another organization than the one its project is linked to.
func checkOwner(file contacts.File, org contactsync.Organization) error {
	if file.Organization != "" && file.Organization != org.ID {
		return contactsync.Errorf(contactsync.ClassOrganizationMismatch,
			"the file says \"organization: %s\", but the project belongs to organization %s; nothing was changed", file.Organization, org.ID)
	}
	return nil
}
