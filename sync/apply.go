package sync

import (
	"context"
	"fmt"
	"slices"

	"contactsync"
)

// apply makes the plan's changes in the one safe order: create and add, prove it by reading, rename, prove it, remove
// last, prove it. It writes each item's result into the plan, and returns the ids of those who are members afterwards.
//
// The error is for the run as a whole: from then on nothing more was written. One contact's failure is in its item.
func (p *Pipeline) apply(ctx context.Context, run string, plan *Plan, before []contactsync.Member) ([]string, error) {
	a := &applier{Pipeline: p, run: run, plan: plan, members: make(map[string]bool)}
	for _, m := range before {
		a.members[m.ID] = true
	}
	err := a.all(ctx)
	if err != nil {
		// What was not reached stays planned in the audit trail, with the reason why it was not made.
		for i := range plan.Items {
			if plan.Items[i].Result == contactsync.ResultPlanned {
				plan.Items[i].Detail = "not tried: the run had ended"
			}
		}
	}
	members := make([]string, 0, len(a.members))
	for id := range a.members {
		members = append(members, id)
	}
	return members, err
}

type applier struct {
	*Pipeline
	run     string
	plan    *Plan
	members map[string]bool // who belongs to the organization, as proved so far
}

func (a *applier) all(ctx context.Context) error {
	for _, phase := range []struct {
		step string
		do   func(context.Context, []*Item) error
		of   []contactsync.Action
	}{
		{"adding contacts", a.add, []contactsync.Action{contactsync.ActionCreate, contactsync.ActionAdd}},
		{"renaming contacts", a.rename, []contactsync.Action{contactsync.ActionRename}},
		{"removing contacts", a.remove, []contactsync.Action{contactsync.ActionRemove}},
	} {
		items := a.planned(phase.of...)
		if len(items) == 0 {
			continue
		}
		if err := contactsync.CheckFence(ctx); err != nil {
			return fmt.Errorf("%s: %w", phase.step, err)
		}
		a.step(phase.step)
		err := phase.do(a.progress(ctx), items)
		recorded := a.Store.RecordChanges(context.WithoutCancel(ctx), a.run, a.plan.Changes())
		if err != nil {
			return fmt.Errorf("%s: %w", phase.step, err)
		}
		if recorded != nil {
			return fmt.Errorf("recording changes: %w", recorded)
		}
	}
	return nil
}

func (a *applier) planned(actions ...contactsync.Action) []*Item {
	var items []*Item
	for i := range a.plan.Items {
		item := &a.plan.Items[i]
		if item.Result != contactsync.ResultPlanned {
			continue
		}
		for _, action := range actions {
			if item.Action == action {
				items = append(items, item)
			}
		}
	}
	return items
}

func (a *applier) add(ctx context.Context, items []*Item) error {
	additions := make([]contactsync.Addition, len(items))
	for i, item := range items {
		additions[i] = item.Addition
	}
	outcomes, err := a.Desk.Add(ctx, a.plan.Organization, additions)
	if err := settle(items, outcomes, err); err != nil {
		return err
	}
	present, err := a.present(ctx, items)
	if err != nil {
		return unproven(items, err)
	}
	for _, item := range items {
		if item.Result != contactsync.ResultDone {
			continue
		}
		if present[item.Person] {
			a.members[item.Person] = true
			continue
		}
		item.fail(contactsync.Errorf(contactsync.ClassSyncFailed,
			"the desk accepted %s, but the person is not a member when the desk is read again", item.Email))
	}
	return nil
}

func (a *applier) rename(ctx context.Context, items []*Item) error {
	// Somebody who was to be added first, and was not, keeps the name as well.
	items = slices.DeleteFunc(items, func(item *Item) bool {
		if a.members[item.Person] {
			return false
		}
		item.Result, item.Detail = contactsync.ResultSkipped, "not renamed, because not added"
		return true
	})
	if len(items) == 0 {
		return nil
	}
	renames := make([]contactsync.Rename, len(items))
	for i, item := range items {
		renames[i] = item.Rename
	}
	renamer, ok := a.Desk.(contactsync.Renamer)
	if !ok {
		return contactsync.Errorf(contactsync.ClassInternal, "the desk cannot rename, but the plan does")
	}
	outcomes, err := renamer.Rename(ctx, a.plan.Organization, renames)
	if err := settle(items, outcomes, err); err != nil {
		return err
	}
	var done []contactsync.Member
	for _, item := range items {
		if item.Result == contactsync.ResultDone {
			done = append(done, item.Member)
		}
	}
	if len(done) == 0 {
		return nil
	}
	reread, err := a.Desk.Addresses(ctx, a.plan.Organization, done)
	if err != nil {
		return unproven(items, err)
	}
	now := make(map[string]contactsync.Member, len(reread))
	for _, m := range reread {
		now[m.ID] = m
	}
	for _, item := range items {
		m, read := now[item.Person]
		wrong := !read ||
			item.Rename.Name != "" && m.Name != item.Rename.Name ||
			item.Rename.Email != "" && m.Primary() != item.Rename.Email
		if item.Result == contactsync.ResultDone && wrong {
			item.fail(contactsync.Errorf(contactsync.ClassSyncFailed,
				"the desk accepted the change of %s, but it is not there when the person is read again", item.Email))
		}
	}
	return nil
}

func (a *applier) remove(ctx context.Context, items []*Item) error {
	failed := make(map[contactsync.Email]bool)
	for _, item := range a.plan.Items {
		if item.Result == contactsync.ResultFailed {
			failed[item.Email] = true
		}
	}
	var leaving []*Item
	var members []contactsync.Member
	for _, item := range items {
		if failed[item.replacedBy] {
			item.Result, item.Error = contactsync.ResultSkipped, contactsync.ClassSyncFailed
			item.Detail = fmt.Sprintf("stays until its new address %s is added", item.replacedBy)
			continue
		}
		leaving, members = append(leaving, item), append(members, item.Member)
	}
	if len(leaving) == 0 {
		return nil
	}
	outcomes, err := a.Desk.Remove(ctx, a.plan.Organization, members)
	if err := settle(leaving, outcomes, err); err != nil {
		return err
	}
	present, err := a.present(ctx, leaving)
	if err != nil {
		return unproven(leaving, err)
	}
	for _, item := range leaving {
		if item.Result != contactsync.ResultDone {
			continue
		}
		if !present[item.Person] {
			delete(a.members, item.Person)
			continue
		}
		item.fail(contactsync.Errorf(contactsync.ClassRemovalFailed,
			"the desk accepted the removal of %s, but the person is still a member when the desk is read again", item.Email))
	}
	return nil
}

// present proves a write: it reads who of those it claims to have touched belongs to the organization now.
func (a *applier) present(ctx context.Context, items []*Item) (map[string]bool, error) {
	var people []string
	for _, item := range items {
		if item.Result == contactsync.ResultDone {
			people = append(people, item.Person)
		}
	}
	if len(people) == 0 {
		return nil, nil
	}
	return a.Desk.Present(ctx, a.plan.Organization, people, len(a.members)+len(people))
}

// unproven takes back what the desk accepted and reading could not prove: nobody is to be told that it is done. The
// run ends there, and the next one reads what became of it.
func unproven(items []*Item, err error) error {
	named := *contactsync.Errorf(contactsync.ClassOf(err),
		"the desk accepted the changes, but they could not be proved by reading: %w", err)
	failure := contactsync.FailureOf(err)
	named.Who, named.Retry, named.RetryAt = failure.Who, failure.Retry, failure.RetryAt
	for _, item := range items {
		if item.Result == contactsync.ResultDone {
			item.fail(&named)
		}
	}
	return &named
}

// settle writes the desk's outcomes into their items. A call that failed as a whole did nothing, so its items fail
// one by one where the cause lies with them, and the run ends where it does not.
func settle(items []*Item, outcomes []contactsync.Outcome, err error) error {
	if err != nil {
		for _, item := range items {
			item.fail(err)
		}
		return err
	}
	if len(outcomes) != len(items) {
		return contactsync.Errorf(contactsync.ClassInternal, "the desk gave %d outcomes for %d changes", len(outcomes), len(items))
	}
	for i, outcome := range outcomes {
		if outcome.Person != "" {
			items[i].Person = outcome.Person
		}
		switch {
		case outcome.Err != nil:
			items[i].fail(outcome.Err)
		case items[i].Person == "":
			items[i].fail(contactsync.Errorf(contactsync.ClassUserNotCreated, "the desk did not say whom it created for %s", items[i].Email))
		default:
			items[i].Result = contactsync.ResultDone
		}
	}
	return nil
}

func (i *Item) fail(err error) {
	i.Result, i.cause = contactsync.ResultFailed, err
	i.Error, i.Detail = contactsync.ClassOf(err), err.Error()
}
