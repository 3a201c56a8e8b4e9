package sync

import (
	"context"
	"slices"

	"contactsync"
)

// Associate makes contacts members of an organization, under all rules of a sync, and renames and removes nobody. It is
// for an organization whose project is still to be made: in the history its run belongs to the project
// "organization-ID". Contacts who are members already, by any address of theirs, count as unchanged.
func (p *Pipeline) Associate(ctx context.Context, organization string, list []contactsync.Contact) contactsync.Run {
	ctx, tally := withTally(ctx)
	run := contactsync.Run{
		ID: p.NewID(), Project: contactsync.ProjectRef("organization-" + organization), Trigger: contactsync.TriggerCommand,
		Status: contactsync.StatusRunning, Started: p.Now().UTC(), Changes: []contactsync.Change{}, Conflicts: []contactsync.Conflict{},
	}
	if err := p.Store.BeginRun(ctx, run); err != nil {
		run.ID = "" // the history does not know it
		return conclude(run, Plan{}, interrupted(ctx, err), tally)
	}
	plan, err := p.associate(ctx, &run, organization, list)
	run = conclude(run, plan, interrupted(ctx, err), tally)
	run.Finished = p.Now().UTC()
	if err := p.Store.FinishRun(context.WithoutCancel(ctx), run); err != nil && run.Error == nil {
		run.Error, run.Status = contactsync.FailureOf(err), contactsync.StatusFailed
	}
	return run
}

func (p *Pipeline) associate(ctx context.Context, run *contactsync.Run, organization string, list []contactsync.Contact) (Plan, error) {
	state, err := p.newcomers(ctx, run, organization, list)
	if err != nil {
		return Plan{}, err
	}
	proposed, err := p.decide(ctx, 0, state)
	plan := proposed.plan
	if err != nil {
		return plan, err
	}
	for _, item := range plan.Items {
		if item.Action != contactsync.ActionCreate && item.Action != contactsync.ActionAdd && item.Result != contactsync.ResultSkipped {
			return plan, contactsync.Errorf(contactsync.ClassInternal, "associating people planned to %s %s", item.Action, item.Email)
		}
	}
	if len(plan.Items)+len(plan.Conflicts) == 0 {
		return plan, nil
	}
	run.Changes, run.Conflicts, run.Digest = plan.Changes(), plan.Conflicts, plan.Digest()
	if err := p.Store.PlanRun(ctx, *run); err != nil {
		return plan, err
	}
	_, err = p.apply(ctx, run.ID, &plan, state.Members)
	return plan, err
}

// newcomers is the state whose file lists the present members as they are, and those of the contacts who are none.
func (p *Pipeline) newcomers(ctx context.Context, run *contactsync.Run, organization string, list []contactsync.Contact) (State, error) {
	state := State{Today: contactsync.DateOf(p.Now())}
	exported, err := p.Export(ctx, organization)
	if err != nil {
		return state, err
	}
	state.Organization, state.Members, state.Contacts = exported.Organization, exported.Members, exported.Contacts
	run.Organization = &exported.Organization
	isMember := func(has func(contactsync.Member) bool) bool { return slices.ContainsFunc(state.Members, has) }
	var unknown []contactsync.Email
	for _, c := range list {
		if !isMember(func(m contactsync.Member) bool { return m.Has(c.Email) }) {
			unknown = append(unknown, c.Email)
		}
	}
	if len(unknown) == 0 {
		return state, nil
	}
	p.step("looking people up by address")
	if state.People, err = p.Desk.People(p.progress(ctx), state.Organization, unknown); err != nil {
		return state, err
	}
	if state.Exclusive, err = p.exclusive(ctx, state.People); err != nil {
		return state, err
	}
	for _, c := range list {
		known := slices.ContainsFunc(state.People, func(person contactsync.Person) bool {
			return person.Has(c.Email) && isMember(func(m contactsync.Member) bool { return m.ID == person.ID })
		})
		if slices.Contains(unknown, c.Email) && !known {
			state.Contacts = append(state.Contacts, c)
		}
	}
	if limit := p.Policy.MaxContacts; exceeds(len(state.Contacts), limit) {
		return state, contactsync.Errorf(contactsync.ClassTooManyContacts,
			"organization %s would have %d contacts, and its limit is %d; nothing was changed", organization, len(state.Contacts), limit)
	}
	return state, nil
}
