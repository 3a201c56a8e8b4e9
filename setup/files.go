package setup

import (
	"bytes"
	"context"
	"fmt"
	"strconv"

	"contactsync"
	"contactsync/contacts"
	"contactsync/templates"
)

const guideFile = "CONTACTS.md"

// writeFiles writes the present contacts and the guide, in one commit, and makes the branch the default one.
func (j *job) writeFiles(ctx context.Context) (outcome, error) {
	if j.project.ID == 0 {
		return planned("would write %s and %s, with %d contacts", guideFile, j.Policy.File, len(j.exported.Contacts)), nil
	}
	head, err := j.Files.Head(ctx, j.project.Project)
	if err != nil {
		return outcome{}, err
	}
	if j.linked && head != "" && head != j.procedure.Commit {
		present, err := j.read(ctx, j.project.Project, j.Policy.File)
		if err != nil {
			return outcome{}, err
		}
		if j.theirs = present != nil; j.theirs {
			return j.leaveFiles(ctx, present)
		}
	}
	files, err := j.wantedFiles(ctx, head)
	if err != nil {
		return outcome{}, err
	}
	left := j.leftOut()
	result := already("%s lists exactly the %d present contacts", j.Policy.File, len(j.exported.Contacts)).with(left...)
	switch {
	case j.dry && len(files) > 0:
		return planned("would write %s", names(files)).with(left...), nil
	case len(files) == 0:
		j.procedure.Commit = head // as good as ours
	default:
		commit, err := j.Files.Write(ctx, j.project.Project, head, "List the present contacts", files)
		if err != nil {
			return outcome{}, err
		}
		j.procedure.Commit = commit
		if err := j.readBack(ctx, files); err != nil {
			return outcome{}, err
		}
		result = done("wrote %s, with the %d present contacts (commit %.8s)", names(files), len(j.exported.Contacts), commit).with(left...)
	}
	return result, j.defaultBranch(ctx)
}

// leaveFiles is for a project that is set up already: what is in it is the customer's.
func (j *job) leaveFiles(ctx context.Context, present []byte) (outcome, error) {
	result := already("%s is the customer's by now, and is left alone", j.Policy.File)
	if _, problems := contacts.Parse(present); contacts.Err(problems) != nil {
		result = already("%s is the customer's, and has mistakes: it is left alone", j.Policy.File)
	}
	return result, j.defaultBranch(ctx)
}

// wantedFiles returns what is to be written. A contacts file that nobody here knows is not written over.
func (j *job) wantedFiles(ctx context.Context, head string) (map[string][]byte, error) {
	wanted, err := j.contactsFile()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{j.Policy.File: wanted}
	guide := head == ""
	if head != "" {
		present, err := j.read(ctx, j.project.Project, j.Policy.File)
		if err != nil {
			return nil, err
		}
		switch known, err := j.ours(ctx, head, present); {
		case err != nil:
			return nil, err
		case present != nil && bytes.Equal(present, wanted):
			delete(files, j.Policy.File)
		case !known:
			return nil, conflict(
				fmt.Sprintf("If the list there is the right one, link the organization to project %d by hand. If not, delete %s from its branch %s. Then run the same command again.", j.project.ID, j.Policy.File, j.Policy.Branch),
				"%s of project %d is neither the template's nor what the desk has, so it is not written over", j.Policy.File, j.project.ID)
		}
		present, err = j.read(ctx, j.project.Project, guideFile)
		if err != nil {
			return nil, err
		}
		guide = present == nil
	}
	if guide {
		files[guideFile], err = j.guide()
	}
	return files, err
}

// contactsFile lists the present contacts.
func (j *job) contactsFile() ([]byte, error) {
	return contacts.Render(contacts.File{Contacts: j.exported.Contacts})
}

func (j *job) guide() ([]byte, error) {
	return j.Texts.Guide(templates.GuideData{
		Organization: j.org().ID, Name: j.org().Name, File: j.Policy.File, Branch: j.Policy.Branch,
	})
}

// ours tells whether a contacts file may be written over: there is none, this procedure wrote it, or it is the template's.
func (j *job) ours(ctx context.Context, head string, present []byte) (bool, error) {
	if present == nil || head == j.procedure.Commit {
		return true, nil
	}
	if j.Policy.Template == "" {
		return false, nil
	}
	template, err := j.template(ctx)
	if err != nil {
		return false, fmt.Errorf("reading the template %s: %w", j.Policy.Template, err)
	}
	copied, err := j.read(ctx, template.Project, j.Policy.File)
	return copied != nil && bytes.Equal(copied, present), err
}

func (j *job) template(ctx context.Context) (contactsync.ProjectDetails, error) {
	if id, err := strconv.ParseInt(j.Policy.Template, 10, 64); err == nil {
		return j.Forge.ProjectDetails(ctx, id)
	}
	template, there, err := j.Forge.FindProject(ctx, j.Policy.Template)
	if err == nil && !there {
		err = contactsync.Errorf(contactsync.ClassInvalidProjectID, "GitLab shows no such project to the token")
	}
	return template, err
}

// read returns a file, nil for one that is not there.
func (c *Caretaker) read(ctx context.Context, project contactsync.Project, name string) ([]byte, error) {
	file, err := c.Files.Read(ctx, project, name)
	if contactsync.ClassOf(err) == contactsync.ClassFileMissing {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return append([]byte{}, file.Content...), nil
}

func (j *job) readBack(ctx context.Context, files map[string][]byte) error {
	for name, wanted := range files {
		is, err := j.read(ctx, j.project.Project, name)
		if err != nil {
			return err
		}
		if !bytes.Equal(is, wanted) {
			return contactsync.Errorf(contactsync.ClassRepositoryUnreachable, "%s was written, and then read differently", name)
		}
	}
	return nil
}

// defaultBranch makes the branch the default one. It needs the branch, so it comes after the first commit.
func (j *job) defaultBranch(ctx context.Context) (err error) {
	if j.dry {
		return nil
	}
	if j.project, err = j.Forge.ProjectDetails(ctx, j.project.ID); err != nil || j.project.DefaultBranch == j.Policy.Branch {
		return err
	}
	if j.project, err = j.Forge.ChangeSettings(ctx, j.project.ID, map[string]string{"default_branch": j.Policy.Branch}); err != nil {
		return err
	}
	if j.project.DefaultBranch != j.Policy.Branch {
		return contactsync.Errorf(contactsync.ClassGitLabRefused, "GitLab did not make %s the default branch: it is %s", j.Policy.Branch, j.project.DefaultBranch)
	}
	return nil
}

func (j *job) leftOut() (lines []string) {
	for _, m := range j.exported.LeftOut {
		lines = append(lines, fmt.Sprintf("not in the file, and never removed by a sync: person %s (%s), who %s", m.Person, m.Name, m.Reason))
	}
	return lines
}

func names(files map[string][]byte) string {
	switch _, guide := files[guideFile]; {
	case guide && len(files) == 1:
		return guideFile
	case guide:
		for name := range files {
			if name != guideFile {
				return guideFile + " and " + name
			}
		}
	}
	for name := range files {
		return name
	}
	return ""
}
