package setup

import (
	"context"
	"fmt"
	"slices"
	"time"

	"contactsync"
)

// The waiting for an import: a template is small, so it takes seconds, or somebody has to look.
var importPauses = []time.Duration{
	time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute,
}

// findOrMake finds the organization's project, or makes it.
func (j *job) findOrMake(ctx context.Context) (outcome, error) {
	place, name := j.Policy.place(j.org().ID)
	carried, err := j.Desk.ProjectOf(ctx, j.org())
	if err != nil {
		return outcome{}, err
	}
	found, there, err := j.Forge.FindProject(ctx, place)
	if err != nil {
		return outcome{}, err
	}
	if carried != 0 && (!there || found.ID != carried) {
		return outcome{}, conflict(
			fmt.Sprintf("Look at that project: contactsync doctor %d. If the organization has no project any more, clear its project field at the desk, then run the same command again.", carried),
			"organization %s is linked to project %d, which is not the project at %s", j.org().ID, carried, place)
	}
	j.linked = carried != 0
	result := already("%s was there: project %d", place, found.ID)
	switch {
	case there:
		if err := j.adopt(ctx, found, name, carried); err != nil {
			return outcome{}, err
		}
	case j.dry:
		return planned("would make the project %s", place), nil
	default:
		if found, err = j.Forge.CreateProject(ctx, contactsync.NewProject{
			Group: j.Policy.Group, Path: "organization-" + j.org().ID, Name: name, Template: j.Policy.Template,
			Settings: map[string]string{"visibility": "private"},
		}); err != nil {
			return outcome{}, err
		}
		result = done("made %s: project %d", found.Path, found.ID)
	}
	j.procedure.Project = found.ID
	j.project, err = j.imported(ctx, found)
	return result, err
}

// adopt refuses a project that has the right place and is not the right one.
func (j *job) adopt(ctx context.Context, found contactsync.ProjectDetails, name string, carried int64) error {
	const remedy = "Find out whose project it is. If it is nobody's, move or delete it, then run the same command again."
	switch {
	case found.Name != name:
		return conflict(remedy, "the project at %s (%d) is called %q and not %q", found.Path, found.ID, found.Name, name)
	case found.Deletion != "":
		return conflict(remedy, "the project at %s (%d) is to be deleted on %s", found.Path, found.ID, found.Deletion)
	case carried == found.ID:
		return nil
	}
	return j.unused(ctx, found.ID)
}

// unused refuses a project that another organization carries.
func (j *job) unused(ctx context.Context, project int64) error {
	other, err := j.Desk.Organization(ctx, project)
	switch {
	case contactsync.ClassOf(err) == contactsync.ClassNoOrgFound || err == nil && other.ID == j.org().ID:
		return nil
	case err != nil:
		return err
	}
	return conflict("Clear the project field of the organization that it does not belong to, then run the same command again.",
		"project %d is linked to another organization: %s %q", project, other.ID, other.Name)
}

// imported waits until a project that is made from a template is complete.
func (j *job) imported(ctx context.Context, project contactsync.ProjectDetails) (contactsync.ProjectDetails, error) {
	for _, pause := range append(slices.Clone(importPauses), 0) {
		switch project.Import {
		case "", "none", "finished":
			return project, nil
		case "failed":
			return project, &contactsync.Error{
				Class:  contactsync.ClassGitLabRefused,
				Detail: fmt.Sprintf("GitLab could not make project %d from its template: %s", project.ID, project.ImportError),
				Remedy: fmt.Sprintf("Check the template (gitlab.template_project), and delete %s, which has nothing in it. Then run the same command again.", project.Path),
			}
		}
		if j.dry || pause == 0 { // nothing more is waited for
			break
		}
		j.Step("waiting for GitLab to copy the template")
		if err := j.Wait(ctx, pause); err != nil {
			return project, err
		}
		var err error
		if project, err = j.Forge.ProjectDetails(ctx, project.ID); err != nil {
			return project, err
		}
	}
	if j.dry {
		return project, nil
	}
	return project, &contactsync.Error{
		Class:  contactsync.ClassGitLabRefused,
		Detail: fmt.Sprintf("GitLab is still copying the template into project %d (%s)", project.ID, project.Import),
		Remedy: "Wait until GitLab is done, then run the same command again: it continues.",
	}
}

// settings makes every setting as it is to be.
func (j *job) settings(ctx context.Context) (outcome, error) {
	if j.project.ID == 0 {
		return planned("would make %d settings", len(j.Policy.Settings())), nil
	}
	wrong := j.Policy.settingsOf(j.project)
	if len(wrong) == 0 {
		return already("%d settings are as they are to be", len(j.Policy.Settings())).with(j.Policy.byHand(j.project)...), nil
	}
	if j.dry {
		return planned("would change %d settings", len(wrong)).with(texts(wrong)...).with(j.Policy.byHand(j.project)...), nil
	}
	wanted := map[string]string{}
	for _, s := range j.Policy.Settings() { // all of them: GitLab refuses some that contradict what it has
		if _, told := j.project.Settings[s.Attribute]; told {
			wanted[s.Attribute] = s.Value
		}
	}
	if _, err := j.Forge.ChangeSettings(ctx, j.project.ID, wanted); err != nil {
		return outcome{}, err
	}
	var err error
	if j.project, err = j.Forge.ProjectDetails(ctx, j.project.ID); err != nil {
		return outcome{}, err
	}
	if left := j.Policy.settingsOf(j.project); len(left) > 0 {
		return outcome{}, &contactsync.Error{
			Class: contactsync.ClassGitLabRefused, Detail: fmt.Sprintf("GitLab kept %d settings as they were: %s", len(left), left[0]),
			Remedy: "Look in the settings of the project's group and of GitLab itself for what forbids it. Then run the same command again.",
		}
	}
	return done("changed %d settings", len(wrong)).with(j.Policy.byHand(j.project)...), nil
}

// protect protects the branch, and makes it the default one where there is any.
func (j *job) protect(ctx context.Context) (outcome, error) {
	wanted := j.Policy.protection()
	if j.project.ID == 0 {
		return planned("would protect %s", wanted.Branch), nil
	}
	present, there, err := j.Forge.Protection(ctx, j.project.ID, wanted.Branch)
	if err != nil {
		return outcome{}, err
	}
	wrong := protectionOf(present, there, wanted)
	switch {
	case wrong == "":
		return already("%s is protected as it is to be", wanted.Branch), nil
	case j.dry:
		return planned("would protect %s: %s", wanted.Branch, wrong), nil
	}
	if err := j.Forge.Protect(ctx, j.project.ID, wanted); err != nil {
		return outcome{}, err
	}
	if present, there, err = j.Forge.Protection(ctx, j.project.ID, wanted.Branch); err != nil {
		return outcome{}, err
	}
	if wrong := protectionOf(present, there, wanted); wrong != "" {
		return outcome{}, contactsync.Errorf(contactsync.ClassGitLabRefused, "GitLab does not protect %s as it was told: %s", wanted.Branch, wrong)
	}
	return done("protected %s: developers and maintainers may push and merge, nobody may force", wanted.Branch), nil
}

// link writes the project's number into the organization's field.
func (j *job) link(ctx context.Context) (outcome, error) {
	if j.project.ID == 0 {
		return planned("would link the organization to the project"), nil
	}
	carried, err := j.Desk.ProjectOf(ctx, j.org())
	switch {
	case err != nil:
		return outcome{}, err
	case carried == j.project.ID:
		return already("organization %s is linked to project %d", j.org().ID, carried), nil
	case carried != 0:
		return outcome{}, conflict("Find out which project belongs to the organization, then run the same command again.",
			"organization %s is linked to project %d since a moment ago", j.org().ID, carried)
	}
	if err := j.unused(ctx, j.project.ID); err != nil {
		return outcome{}, err
	}
	if j.dry {
		return planned("would link organization %s to project %d", j.org().ID, j.project.ID), nil
	}
	if err := j.Desk.LinkProject(ctx, j.org(), j.project.ID); err != nil {
		return outcome{}, err
	}
	return done("linked organization %s to project %d", j.org().ID, j.project.ID), nil
}
