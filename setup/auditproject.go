package setup

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"contactsync"
)

// auditedName returns the id in the name of a project that setup made.
func auditedName(name string) (organization string, ok bool) {
	id, ok := strings.CutPrefix(name, "Organization ")
	return id, ok && id != "" && strings.Trim(id, "0123456789") == ""
}

// linkedProject looks at a project, as far as organizations are linked to it. Of the parts that need it to be there and to
// be one organization's, each that fails is a finding, and the others go on.
func (a *audit) linkedProject(ctx context.Context, project int64, carriers []contactsync.Organization) ([]contactsync.Finding, error) {
	details, there, err := a.auditedProject(ctx, project)
	if err != nil {
		return nil, err
	}
	found, carriers, err := a.lookAtLinks(ctx, project, details, there, carriers)
	if err != nil || !there || details.deletion != "" || len(carriers) != 1 {
		return found, err
	}
	for _, part := range []struct {
		wanted bool
		look   func(context.Context, int64, contactsync.Organization) ([]contactsync.Finding, error)
	}{{a.wanted.Drift, a.drift}, {a.wanted.Hooks, a.lookAtHooks}} {
		if !part.wanted {
			continue
		}
		more, err := part.look(ctx, project, carriers[0])
		if found = append(found, more...); err != nil {
			found = append(found, auditFailed(carriers[0], project, err))
		}
	}
	return found, nil
}

// lookAtLinks tells what is wrong with the organizations' links to a project, and returns those that carry it: none where
// not all of them are known.
func (a *audit) lookAtLinks(ctx context.Context, project int64, details auditedProject, there bool, carriers []contactsync.Organization) (
	found []contactsync.Finding, now []contactsync.Organization, err error) {
	wrong := func(org contactsync.Organization) (contactsync.Check, string, string) {
		return a.wrongLink(details, there, org)
	}
	if len(carriers) > 1 || slices.ContainsFunc(carriers, func(org contactsync.Organization) bool { check, _, _ := wrong(org); return check != "" }) {
		if carriers, err = a.stillCarrying(ctx, project, carriers); err != nil {
			return nil, nil, err
		}
	}
	for _, org := range carriers {
		if len(carriers) > 1 {
			found = append(found, auditFinding(contactsync.CheckLinkDouble, org, project, contactsync.ClassTooManyOrgs.Info().Remedy,
				"is linked to project %d, as is %s: nothing is synced", project, auditedOthers(carriers, org)))
		}
		if check, message, remedy := wrong(org); check != "" {
			found = append(found, auditFinding(check, org, project, remedy, "%s", message))
		}
	}
	if a.wanted.Organization == "" || len(carriers) == 0 {
		return found, carriers, nil
	}
	_, err = a.Desk.Organization(ctx, project) // the others were not read
	switch class := contactsync.ClassOf(err); {
	case class == contactsync.ClassTooManyOrgs:
		double := auditFinding(contactsync.CheckLinkDouble, carriers[0], project, class.Info().Remedy, "%s", firstLine(err.Error()))
		return append(found, double), nil, nil
	case err != nil && class != contactsync.ClassNoOrgFound: // which the desk's search may say of a new link
		return found, nil, err
	}
	return found, carriers, nil
}

// auditedProject returns a project; false where GitLab shows none with that number.
func (a *audit) auditedProject(ctx context.Context, project int64) (auditedProject, bool, error) {
	if known, there := a.projects[project]; there {
		return known, true, nil
	}
	details, err := a.Forge.ProjectDetails(ctx, project)
	if contactsync.ClassOf(err) == contactsync.ClassInvalidProjectID {
		return auditedProject{}, false, nil
	}
	return auditedProject{details.Path, details.Name, details.Deletion}, err == nil, err
}

// wrongLink says what is wrong with an organization's link to a project; no check for nothing.
func (a *audit) wrongLink(project auditedProject, there bool, org contactsync.Organization) (check contactsync.Check, message, remedy string) {
	named, isNamed := auditedName(project.name)
	switch {
	case !there:
		return contactsync.CheckGone, "is linked to a project that GitLab does not show: it is deleted, or the service account may not see it",
			"Find out which. If it is deleted, clear the organization's project field at the desk, and set up another one if it is wanted."
	case project.deletion != "":
		return contactsync.CheckDeleted, fmt.Sprintf("is linked to a project that is deleted on %s", project.deletion),
			"Restore the project on GitLab, or clear the organization's project field at the desk."
	case !strings.EqualFold(path.Dir(project.path), a.Policy.Group):
		return contactsync.CheckMoved, fmt.Sprintf("is linked to %s, which is not in the group %s", project.path, a.Policy.Group),
			"Find out whether it is the organization's project. If so, move it back; if not, correct the organization's project field."
	case isNamed && named != org.ID:
		return contactsync.CheckName, fmt.Sprintf("is linked to a project that is called %q: its contacts may be another organization's", project.name),
			"Find out whose project it is. Correct the organization's project field, or rename the project."
	}
	return "", "", ""
}

// stillCarrying returns the organizations that carry the project now.
func (a *audit) stillCarrying(ctx context.Context, project int64, carriers []contactsync.Organization) (now []contactsync.Organization, err error) {
	for _, org := range carriers {
		carried, err := a.Desk.ProjectOf(ctx, org)
		if err != nil && contactsync.ClassOf(err) != contactsync.ClassNoOrgFound {
			return nil, err
		}
		if carried == project {
			now = append(now, org)
		}
	}
	return now, nil
}

// auditedOthers names the other organizations, of which there can be any number.
func auditedOthers(all []contactsync.Organization, but contactsync.Organization) string {
	const most = 5
	var others []string
	for _, org := range all {
		if org.ID != but.ID && len(others) < most {
			others = append(others, "organization "+org.ID)
		}
	}
	if more := len(all) - 1 - len(others); more > 0 {
		others = append(others, fmt.Sprintf("%d more", more))
	}
	return strings.Join(others, ", ")
}

// unlinked reports a project that is named after an organization, and that no organization is linked to.
func (a *audit) unlinked(ctx context.Context, project int64, org contactsync.Organization) ([]contactsync.Finding, error) {
	const remedy = "Look for a setup to be continued: contactsync setup --resume. Else link the organization, or delete the project."
	carried, err := a.Desk.ProjectOf(ctx, org)
	message := "has the project %s, and is not linked to it"
	switch {
	case contactsync.ClassOf(err) == contactsync.ClassNoOrgFound:
		message = "is not there at the desk, but the project %s is named after it"
	case err != nil || carried == project:
		return nil, err
	case carried != 0:
		message += fmt.Sprintf(", but to project %d", carried)
	}
	return []contactsync.Finding{auditFinding(contactsync.CheckLinkMissing, org, project, remedy, message, a.projects[project].path)}, nil
}

// drift plans a sync, and reports what it would do.
func (a *audit) drift(ctx context.Context, project int64, org contactsync.Organization) ([]contactsync.Finding, error) {
	run := a.Syncer.Plan(ctx, contactsync.ProjectRef(fmt.Sprint(project)))
	if failure := run.Error; failure != nil {
		if failure.Class == contactsync.ClassNoOrgFound { // the link may have been taken away since it was read
			if now, err := a.stillCarrying(ctx, project, []contactsync.Organization{org}); err != nil || len(now) == 0 {
				return nil, err
			}
		}
		check := contactsync.CheckSyncFails
		switch {
		case failure.Class == contactsync.ClassFileMissing:
			check = contactsync.CheckFileMissing
		case failure.Class.Info().Retry == contactsync.RetryOnCommit:
			check = contactsync.CheckFileInvalid
		}
		found := auditFinding(check, org, project, failure.Remedy, "a sync would fail: %s (%s): %s", failure.Title, failure.Class, firstLine(failure.Detail))
		found.Error = failure
		return []contactsync.Finding{found}, nil
	}
	if run.Status == contactsync.StatusUnchanged {
		return nil, nil
	}
	s := run.Summary
	return []contactsync.Finding{auditFinding(contactsync.CheckDrift, org, project,
		fmt.Sprintf("Look at the plan (contactsync plan %d). If a push was not heard: contactsync sync %d", project, project),
		"the file and the desk differ: a sync would create %d, add %d, rename %d and remove %d, with %d held and %d in conflict",
		s.Create, s.Add, s.Rename, s.Remove, s.Held, s.Conflicts)}, nil
}

// lookAtHooks reports a project whose pushes are not heard.
func (a *audit) lookAtHooks(ctx context.Context, project int64, org contactsync.Organization) ([]contactsync.Finding, error) {
	hooks, err := a.Forge.Hooks(ctx, project)
	if err != nil {
		return nil, err
	}
	var wanted []contactsync.NewHook
	var unset error
	for _, legacy := range []bool{false, true} {
		hook, err := a.Policy.Hook(project, legacy)
		if err != nil {
			unset = err // a kind for which there are no credentials
			continue
		}
		wanted = append(wanted, hook)
	}
	if len(wanted) == 0 {
		return nil, unset
	}
	doctor := fmt.Sprintf("contactsync doctor %d --fix", project)
	missing := true
	var found []contactsync.Finding
	for _, hook := range hooks {
		if !hook.PushEvents || !slices.ContainsFunc(wanted, func(w contactsync.NewHook) bool { return leadsTo(hook, w) }) {
			continue
		}
		missing = false
		if !hook.Disabled() {
			continue
		}
		until := ""
		if !hook.DisabledUntil.IsZero() {
			until = " until " + hook.DisabledUntil.UTC().Format("2006-01-02 15:04 UTC")
		}
		found = append(found, auditFinding(contactsync.CheckHookDisabled, org, project, "Check that contactsync serve runs and that GitLab reaches it. Then: "+doctor,
			"GitLab has disabled hook %d%s (%s), because deliveries failed", hook.ID, until, hook.AlertStatus))
	}
	if missing {
		found = append(found, auditFinding(contactsync.CheckHookMissing, org, project, doctor, "no hook leads to contactsync: pushes are not heard"))
	}
	return found, nil
}
