package sync

import (
	"context"

	"contactsync"
)

// Resync is the run of one project in the first half of a scheduled sweep: its removals are put back (see PutBack),
// and the Loss says what they would have taken away. When all projects are through and SweepThreshold.Judge lets the
// Losses pass, Sync makes the removals of those that had any. A run that failed before it had a plan has a zero Loss.
//
// org is the project's organization as a reading of all links told, so that a run with nothing to do costs no more than
// its members. Links change while a sweep is under way: a run that finds something to do, or a file of another
// organization, asks the desk whose project it is, and begins again where the answer is another one. The zero
// Organization is asked for at once.
//
// Nobody looks at a sweep: give it a context that is contactsync.InBackground.
func (p *Pipeline) Resync(ctx context.Context, project contactsync.ProjectRef, org contactsync.Organization) (contactsync.Run, Loss) {
	var loss Loss
	run := p.run(ctx, project, contactsync.TriggerSchedule, func(ctx context.Context, id int64, run *contactsync.Run) (proposal, error) {
		proposed, err := p.proposeKnown(ctx, id, run, org)
		loss, proposed.plan = proposed.plan.Loss(), PutBack(proposed.plan)
		return proposed, err
	})
	return run, loss
}

// proposeKnown is propose for an organization that is taken for the project's only as long as nothing depends on it.
func (p *Pipeline) proposeKnown(ctx context.Context, project int64, run *contactsync.Run, known contactsync.Organization) (proposal, error) {
	if known.ID == "" {
		return p.propose(ctx, project, run, p.Desk.Organization)
	}
	is := func(org contactsync.Organization) resolver {
		return func(context.Context, int64) (contactsync.Organization, error) { return org, nil }
	}
	proposed, err := p.propose(ctx, project, run, is(known))
	if err == nil && proposed.plan.idle() || err != nil && contactsync.ClassOf(err) != contactsync.ClassOrganizationMismatch {
		return proposed, err
	}
	p.step("making sure of the organization")
	org, resolveErr := p.Desk.Organization(ctx, project)
	if resolveErr != nil {
		run.Organization = nil
		return proposal{}, resolveErr
	}
	if org.ID == known.ID {
		return proposed, err
	}
	return p.propose(ctx, project, run, is(org))
}

// idle reports whether there is nothing to do and nothing to tell, but perhaps somebody who is never touched.
func (p Plan) idle() bool {
	for _, item := range p.Items {
		if item.Result != contactsync.ResultSkipped {
			return false
		}
	}
	return len(p.Conflicts) == 0
}
