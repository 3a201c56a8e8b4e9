package setup

import (
	"context"
	"fmt"
	"strings"

	"contactsync"
)

// Restore says which project is to be restored.
type Restore struct {
	Project int64
	Legacy  bool // the hook leads to the original trigger address
	Accept  bool // whatever the next sync changes, under its safety rules
	DryRun  bool // only says what would be done
	By      string
	Command []string // that continues it
}

// Restore undoes a removal, be it complete or not. It invites nobody: GitLab keeps the members and the invitations.
//
// Errors, among others: project_conflict for a project that is not to be deleted, whose organization has another one by
// now, or whose file would change the organization's contacts.
func (c *Caretaker) Restore(ctx context.Context, wanted Restore) (contactsync.Procedure, error) {
	j := &job{Caretaker: c, legacy: wanted.Legacy, theirs: true}
	j.procedure = contactsync.Procedure{
		Kind: contactsync.ProcedureRestore, Project: wanted.Project, Steps: []contactsync.StepResult{}, By: wanted.By, Command: wanted.Command,
	}
	j.Step("looking whose project it is")
	found, err := j.findRestored(ctx)
	if err == nil {
		err = j.carryOut(ctx, wanted.DryRun, []step{
			{"check", "looking whose project it is", func(context.Context) (outcome, error) { return found, nil }},
			{"project", "restoring the project", j.restoreProject},
			{"contacts", "comparing the file with the contacts", func(ctx context.Context) (outcome, error) { return j.compare(ctx, wanted.Accept) }},
			{"settings", "setting the project up", j.settings},
			{"branch", "protecting the branch", j.protect},
			{"link", "linking the organization", j.link},
			{"hook", "making the hook", j.makeHook},
		})
	}
	if err != nil {
		return j.procedure, fmt.Errorf("restoring project %d: %w", wanted.Project, err)
	}
	return j.procedure, nil
}

// findRestored finds the project, which must be on its way out, and its organization, which must have no other one.
func (j *job) findRestored(ctx context.Context) (outcome, error) {
	id := j.procedure.Project
	var err error
	if j.project, err = j.Forge.ProjectDetails(ctx, id); err != nil {
		return outcome{}, err
	}
	removal, removed, err := j.Journal.LastOfProject(ctx, contactsync.ProcedureRemoval, id)
	if err != nil {
		return outcome{}, err
	}
	restore, restored, err := j.Journal.LastOfProject(ctx, contactsync.ProcedureRestore, id)
	if err != nil {
		return outcome{}, err
	}
	unfinished := removed && removal.State != contactsync.ProcedureDone || restored && restore.State != contactsync.ProcedureDone
	if j.project.Deletion == "" && !unfinished {
		return outcome{}, j.stays(ctx)
	}
	found, err := j.findOwner(ctx, removal, removed)
	if err != nil {
		return outcome{}, err
	}
	carried, err := j.Desk.ProjectOf(ctx, j.org())
	if err == nil && carried != 0 && carried != id {
		err = conflict(fmt.Sprintf("Look at that project: contactsync doctor %d. If this one is the right one, remove the other first, then run the same command again.", carried),
			"organization %s is linked to project %d by now", j.org().ID, carried)
	}
	return found, err
}

// stays says what a project is that is not to be deleted.
func (j *job) stays(ctx context.Context) error {
	org, err := j.Desk.Organization(ctx, j.project.ID)
	what := fmt.Sprintf("it is the project of organization %s (%s)", org.ID, org.Name)
	if contactsync.ClassOf(err) == contactsync.ClassNoOrgFound {
		what, err = "and no organization is linked to it", nil
	}
	if err != nil {
		return err
	}
	return conflict(fmt.Sprintf("There is nothing to restore. To look at the project: contactsync doctor %d", j.project.ID),
		"project %d (%s) is not to be deleted, %s", j.project.ID, j.project.Path, what)
}

// restoreProject takes the mark for deletion away.
func (j *job) restoreProject(ctx context.Context) (outcome, error) {
	const people = "its members and invitations are those that it had: nobody is invited"
	if j.dry && j.project.Deletion != "" {
		return planned("would restore project %d, which is deleted on %s else", j.project.ID, j.project.Deletion).with(people), nil
	}
	if err := j.supersede(ctx, contactsync.ProcedureRemoval); err != nil {
		return outcome{}, err
	}
	if j.project.Deletion == "" {
		return already("project %d (%s) is not to be deleted", j.project.ID, j.project.Path), nil
	}
	var err error
	if j.project, err = j.Forge.RestoreProject(ctx, j.project.ID); err != nil {
		return outcome{}, err
	}
	return done("restored project %d (%s)", j.project.ID, j.project.Path).with(people), nil
}

// compare refuses to link a file that changes the organization's contacts: they were looked after without it since the
// removal. A file that no sync accepts changes nobody.
func (j *job) compare(ctx context.Context, accept bool) (outcome, error) {
	if j.linked {
		return skipped("the organization is linked to the project already"), nil
	}
	file, err := j.Files.Read(ctx, j.project.Project, j.Policy.File)
	switch failure := contactsync.FailureOf(err); {
	case failure == nil:
	case failure.Who == contactsync.WhoCustomer:
		return already("%s changes nobody, because no sync accepts it: %s", j.Policy.File, failure.Detail), nil
	default:
		return outcome{}, err
	}
	run := j.Syncer.PlanFile(ctx, file.Content, j.org().ID)
	switch {
	case run.Error == nil:
	case run.Error.Who == contactsync.WhoCustomer && run.Error.Class != contactsync.ClassOrganizationMismatch:
		return already("%s changes nobody, because no sync accepts it: %s", j.Policy.File, run.Error.Detail), nil
	default:
		return outcome{}, failed(run.Error)
	}
	var lines []string
	for _, c := range run.Changes {
		lines = append(lines, fmt.Sprintf("%s %s <%s>", c.Action, c.Name, c.Email))
	}
	switch {
	case len(lines) == 0:
		return already("%s changes nobody", j.Policy.File), nil
	case accept:
		return already("%s changes %d contacts with the next sync, as was agreed to", j.Policy.File, len(lines)).with(lines...), nil
	}
	return outcome{}, conflict(
		fmt.Sprintf("Bring %s up to date (contactsync export %s shows the present contacts), then run the same command again. Or run it with --yes, to let the next sync make these changes under the usual safety rules.", j.Policy.File, j.org().ID),
		"%s of project %d is not what organization %s has by now. The next sync would change:\n%s", j.Policy.File, j.project.ID, j.org().ID, strings.Join(lines, "\n"))
}
