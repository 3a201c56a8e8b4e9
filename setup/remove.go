package setup

import (
	"context"
	"fmt"
	"strings"

	"contactsync"
	"contactsync/templates"
)

// Removal says which project is to be removed.
type Removal struct {
	Project int64
	Ticket  string // that is answered; "" for none
	DryRun  bool   // only says what would be done
	By      string
	Command []string // that continues it
}

// Remove takes a project away from its organization, and marks it for deletion. It holds the project's lease, so that a
// run that is under way ends first, and none begins meanwhile. The hook goes before the link, and the link before the
// project: wherever it stops, the project either still syncs as it should, by the schedule, or not at all.
//
// Errors, among others: too_many_contacts while the organization has more contacts than one without a project may have;
// project_conflict for a project that belongs to nobody and does not look like a contact management project.
func (c *Caretaker) Remove(ctx context.Context, wanted Removal) (contactsync.Procedure, error) {
	j := &job{Caretaker: c, ticket: wanted.Ticket}
	j.procedure = contactsync.Procedure{
		Kind: contactsync.ProcedureRemoval, Project: wanted.Project, Steps: []contactsync.StepResult{}, By: wanted.By, Command: wanted.Command,
	}
	work := func(ctx context.Context) error {
		j.Step("looking whose project it is")
		found, err := j.findRemoved(ctx)
		if err != nil {
			return err
		}
		return j.carryOut(ctx, wanted.DryRun, []step{
			{"check", "looking whose project it is", func(context.Context) (outcome, error) { return found, nil }},
			{"limit", "counting the contacts", j.withinLimit},
			{"hook", "deleting the hook", j.deleteHooks},
			{"link", "unlinking the organization", j.unlink},
			{"project", "deleting the project", j.deleteProject},
			{"ticket", "answering the ticket", j.answerRemoved},
		})
	}
	var err error
	if wanted.DryRun {
		err = work(ctx)
	} else {
		j.Step("waiting for a run of the project, if one is under way")
		err = c.Lease.Hold(ctx, wanted.Project, work)
	}
	if err != nil {
		return j.procedure, fmt.Errorf("removing project %d: %w", wanted.Project, err)
	}
	return j.procedure, nil
}

// findRemoved finds the project and its organization. Nothing is kept of a removal that ends here.
func (j *job) findRemoved(ctx context.Context) (outcome, error) {
	id := j.procedure.Project
	before, known, err := j.Journal.LastOfProject(ctx, contactsync.ProcedureRemoval, id)
	if err != nil {
		return outcome{}, err
	}
	j.continued = known && before.State != contactsync.ProcedureDone
	j.project, err = j.Forge.ProjectDetails(ctx, id)
	if contactsync.ClassOf(err) == contactsync.ClassInvalidProjectID && j.continued {
		err = nil // a GitLab that keeps no deleted projects
	}
	if err != nil {
		return outcome{}, err
	}
	found, err := j.findOwner(ctx, before, known)
	if err != nil {
		return outcome{}, err
	}
	if j.ticket != "" {
		if _, _, err := TicketOf(ctx, j.Desk, j.ticket, j.org().ID); err != nil {
			return outcome{}, err
		}
	}
	if usual, _ := j.Policy.place(j.org().ID); j.project.ID != 0 && withoutSuffix(j.project.Path, id) != usual {
		found = found.with(fmt.Sprintf("it is at %s, and not at %s", j.project.Path, usual))
	}
	return found, nil
}

// findOwner finds the organization that a project belongs to: the one that is linked to it, else the one of its last
// removal, else the one that it is named after.
func (j *job) findOwner(ctx context.Context, removal contactsync.Procedure, known bool) (outcome, error) {
	id := j.procedure.Project
	org, err := j.Desk.Organization(ctx, id)
	found := already("project %d is the project of organization %s", id, org.ID)
	j.linked = err == nil
	switch {
	case err == nil:
	case contactsync.ClassOf(err) != contactsync.ClassNoOrgFound:
		return outcome{}, err
	case known:
		if org, err = j.Desk.OrganizationByID(ctx, removal.Organization.ID); err != nil {
			return outcome{}, err
		}
		found = already("project %d was the project of organization %s, and is linked to none", id, org.ID)
	default:
		if org, err = j.namesake(ctx); err != nil {
			return outcome{}, err
		}
		found = already("project %d is named after organization %s, and is linked to none", id, org.ID)
	}
	j.procedure.Organization = org
	return found, nil
}

// namesake returns the organization that a project which belongs to nobody is named after, if it has no other project.
func (j *job) namesake(ctx context.Context) (contactsync.Organization, error) {
	name, _ := strings.CutPrefix(withoutSuffix(j.project.Name, j.project.ID), namePrefix)
	place, full := j.Policy.place(name)
	if withoutSuffix(j.project.Name, j.project.ID) != full || !strings.EqualFold(withoutSuffix(j.project.Path, j.project.ID), place) {
		return contactsync.Organization{}, conflict(
			"Check the number. If it is right, write it into the project field of the organization that the project belongs to, then run the same command again.",
			"no organization is linked to project %d (%s), and its name %q at that place is not one that contactsync gives", j.project.ID, j.project.Path, j.project.Name)
	}
	org, err := j.Desk.OrganizationByID(ctx, name)
	if err != nil {
		return org, fmt.Errorf("looking for the organization that project %d is named after: %w", j.project.ID, err)
	}
	carried, err := j.Desk.ProjectOf(ctx, org)
	if err == nil && carried != 0 {
		err = conflict("Find out which of the two projects belongs to the organization. The other one is nobody's: delete it in GitLab by hand.",
			"project %d is named after organization %s, which is linked to project %d", j.project.ID, org.ID, carried)
	}
	return org, err
}

// withoutSuffix is a name or path as it was before the project was marked for deletion.
// Source: gitlab.com/gitlab-org/gitlab, merge request 205572; earlier versions said "deleted".
func withoutSuffix(text string, project int64) string {
	for _, word := range []string{"deletion_scheduled", "deleted"} {
		text = strings.TrimSuffix(text, fmt.Sprintf("-%s-%d", word, project))
	}
	return text
}

// withinLimit refuses an organization that has more contacts than one without a project may have. The removed project
// was the means to shorten the list, so it is not asked again once that is gone.
func (j *job) withinLimit(ctx context.Context) (outcome, error) {
	limit := j.Policy.ContactsWithout
	switch {
	case limit == 0:
		return skipped("there is no limit (limits.contacts_without_project)"), nil
	case j.continued && !j.linked:
		return skipped("the organization is unlinked already"), nil
	}
	exported, err := j.Syncer.Export(ctx, j.org().ID)
	if err != nil {
		return outcome{}, err
	}
	people := exported.People()
	if !beyondLimit(len(people), limit) {
		return already("organization %s has %d contacts, and may have %d without a project", j.org().ID, len(people), limit), nil
	}
	present := make([]templates.Contact, len(people))
	var lines strings.Builder
	for i, c := range people {
		present[i] = templates.Contact{Name: c.Name, Email: string(c.Email)}
		fmt.Fprintf(&lines, "\n%s <%s>", c.Name, c.Email)
	}
	over := contactsync.Errorf(contactsync.ClassTooManyContacts, "organization %s has %d contacts, and may have %d without a project (limits.contacts_without_project):%s",
		j.org().ID, len(present), limit, lines.String())
	over.Who, over.Retry = contactsync.WhoOperator, contactsync.RetryNo
	over.Remedy = fmt.Sprintf("The customer shortens %s to %d in the project itself; then run the same command again.", j.Policy.File, limit)
	data := templates.OverLimitData{Organization: j.org().Name, Limit: limit, File: j.Policy.File, Contacts: present}
	if !j.linked {
		over.Remedy = fmt.Sprintf("No project is linked that could shorten the list: remove contacts at the desk until %d are left, as the customer says; then run the same command again.", limit)
		data.File = ""
	}
	if j.ticket == "" {
		return outcome{}, over
	}
	told, err := j.answer(ctx, templates.OverLimit, data)
	if err != nil {
		over.Detail += fmt.Sprintf("\nticket %s could not be told: %v", j.ticket, err)
	}
	return told, over
}

// deleteHooks deletes every hook that leads to us. Without any, the schedule still syncs the project as it should.
func (j *job) deleteHooks(ctx context.Context) (outcome, error) {
	if err := j.supersede(ctx, contactsync.ProcedureSetup, contactsync.ProcedureRestore, contactsync.ProcedureRepair); err != nil {
		return outcome{}, err
	}
	switch {
	case j.project.ID == 0:
		return already(noProject), nil
	case j.project.Deletion != "":
		return already("the project is to be deleted: no hook of it tells of anything"), nil
	}
	hooks, err := j.Forge.Hooks(ctx, j.project.ID)
	if err != nil {
		return outcome{}, err
	}
	var ours []int64
	var left []string
	for _, hook := range hooks {
		if j.Policy.Ours(hook) {
			ours = append(ours, hook.ID)
		} else {
			left = append(left, fmt.Sprintf("hook %d leads elsewhere (%s), and is left alone", hook.ID, hook.Address))
		}
	}
	numbers := strings.Trim(fmt.Sprint(ours), "[]")
	switch {
	case len(ours) == 0:
		return already("no hook leads to contactsync").with(left...), nil
	case j.dry:
		return planned("would delete hook %s", numbers).with(left...), nil
	}
	for _, hook := range ours {
		if err := j.Forge.DeleteHook(ctx, j.project.ID, hook); err != nil {
			return outcome{}, err
		}
	}
	return done("deleted hook %s", numbers).with(left...), nil
}

// unlink takes the project's number away from the organization, and no other number.
func (j *job) unlink(ctx context.Context) (outcome, error) {
	carried, err := j.Desk.ProjectOf(ctx, j.org())
	switch {
	case err != nil:
		return outcome{}, err
	case carried == 0:
		return already("organization %s is linked to no project", j.org().ID), nil
	case carried != j.procedure.Project:
		return already("organization %s is linked to project %d, which is left alone", j.org().ID, carried), nil
	case j.dry:
		return planned("would take project %d away from organization %s", carried, j.org().ID), nil
	}
	if err := j.Desk.LinkProject(ctx, j.org(), 0); err != nil {
		return outcome{}, err
	}
	return done("organization %s is linked to no project any more", j.org().ID), nil
}

const noProject = "GitLab shows no such project any more"

// deleteProject marks the project for deletion.
func (j *job) deleteProject(ctx context.Context) (outcome, error) {
	id := j.procedure.Project
	until := func() string {
		return fmt.Sprintf("project %d is deleted on %s; before that day it can be restored: contactsync remove %d --restore", id, j.project.Deletion, id)
	}
	switch {
	case j.project.ID == 0:
		return already(noProject), nil
	case j.project.Deletion != "":
		return already("%s", until()), nil
	case j.dry:
		return planned("would delete project %d (%s), which GitLab keeps for some time, so that it can be restored", id, j.project.Path), nil
	}
	var err error
	if j.project.Deletion, err = j.Forge.DeleteProject(ctx, id); err != nil {
		return outcome{}, err
	}
	if j.project.Deletion == "" {
		return done("project %d is deleted, and this GitLab does not tell until when it can be restored", id), nil
	}
	return done("%s", until()), nil
}

// answerRemoved tells the ticket that the project is gone.
func (j *job) answerRemoved(ctx context.Context) (outcome, error) {
	return j.answer(ctx, templates.Removed, templates.RemovedData{
		Organization: j.org().Name, Limit: j.Policy.ContactsWithout, Until: string(j.project.Deletion),
	})
}

// supersede ends what was begun with the project and is undone now, so that nobody continues it.
func (j *job) supersede(ctx context.Context, kinds ...contactsync.ProcedureKind) error {
	if j.dry {
		return nil
	}
	for _, kind := range kinds {
		other, found, err := j.Journal.Unfinished(ctx, kind, j.org().ID)
		if err != nil {
			return err
		}
		if !found || other.Project != j.procedure.Project {
			continue
		}
		other.State, other.Error, other.Updated = contactsync.ProcedureDone, nil, j.Now().UTC()
		other.Steps = append(other.Steps, contactsync.StepResult{
			Name: "end", State: contactsync.StepSkipped, Details: []string{fmt.Sprintf("the %s %s came after it", j.procedure.Kind, j.procedure.ID)},
		})
		if err := j.Journal.SaveProcedure(ctx, &other); err != nil {
			return err
		}
	}
	return nil
}
