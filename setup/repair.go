package setup

import (
	"context"
	"fmt"
	"path"
	"slices"

	"contactsync"
)

// repair is what mends a finding. They are done in this order: the link first, because the others are about the
// organization, and the hook after the branch that it tells of.
type repair int

const (
	byNobody repair = iota
	byLink
	byPath
	byName
	bySettings
	byProtection
	byFiles
	byDefaultBranch
	byHook
	byLowering
	byWithdrawing
)

// fix says who may do it. What takes something from somebody, or writes where customers write, takes a yes.
func (r repair) fix() contactsync.Fix {
	switch r {
	case byNobody:
		return contactsync.FixNone
	case bySettings, byProtection, byDefaultBranch, byHook:
		return contactsync.FixSafe
	}
	return contactsync.FixAsk
}

// Doctor compares a project with what it is to be, and repairs it where that is wanted. Repairs are kept in the journal,
// and afterwards the project is examined again: what is not found any more is fixed. One that fails keeps none of the
// others from being done; its finding says why.
//
// Nothing is repaired of a project that is not in the group, or whose organization is not known.
//
// Errors: invalid_project_id for a number that is no project, and no organization's; what the parts return that could not
// be read; project_conflict when another process repairs the same.
func (c *Caretaker) Doctor(ctx context.Context, w Checkup) (Diagnosis, error) {
	if w.Fix && w.known != nil && len(w.known.organizations) > 0 {
		w.known = nil // too old to be relied upon; linking asks again whether a project is nobody's
	}
	e, err := c.examine(ctx, w)
	if err == nil && w.Fix {
		err = c.mend(ctx, w, e)
	}
	if err != nil {
		return Diagnosis{Project: w.Project}, fmt.Errorf("examining project %d: %w", w.Project, err)
	}
	e.Findings = []contactsync.Finding{}
	for _, f := range e.findings {
		e.Findings = append(e.Findings, f.Finding)
	}
	return e.Diagnosis, nil
}

// mend does the repairs that may be done, and looks what became of them.
func (c *Caretaker) mend(ctx context.Context, w Checkup, e *exam) error {
	wanted, err := agreed(ctx, w, e.findings)
	if err != nil || e.is.owner.ID == "" {
		return err
	}
	_, interrupted, err := c.Journal.Unfinished(ctx, contactsync.ProcedureRepair, e.is.owner.ID)
	if err != nil || len(wanted) == 0 && !interrupted {
		return err
	}
	j := &job{Caretaker: c, project: e.is.project, self: e.is.self}
	j.procedure = contactsync.Procedure{
		Kind: contactsync.ProcedureRepair, Organization: e.is.owner, Project: w.Project, By: w.By, Command: w.Command,
	}
	failures := map[repair]error{}
	steps := []step{{"examination", "examining the project", func(context.Context) (outcome, error) {
		result := outcome{state: contactsync.StepAlready}
		for _, f := range e.findings {
			result = result.with(fmt.Sprintf("%s: %s", f.Check, f.Message))
		}
		return result, nil
	}}}
	for by, do := range j.repairs(wanted) {
		if !slices.ContainsFunc(wanted, func(f finding) bool { return f.by == repair(by) }) || do.do == nil {
			continue
		}
		steps = append(steps, step{do.name, do.does, func(ctx context.Context) (outcome, error) {
			result, err := do.do(ctx)
			if err != nil && ctx.Err() == nil {
				failures[repair(by)] = err
				return outcome{contactsync.StepFailed, []string{err.Error()}}, nil
			}
			return result, err
		}})
	}
	if err := j.carryOut(ctx, false, steps); err != nil {
		return err
	}
	if len(wanted) == 0 {
		return nil
	}
	again, err := c.examine(ctx, w)
	if err != nil {
		return fmt.Errorf("looking what became of the repairs: %w", err)
	}
	e.settle(again, wanted, failures)
	return nil
}

// agreed returns the findings whose repair is safe, or was said yes to.
func agreed(ctx context.Context, w Checkup, findings []finding) (wanted []finding, err error) {
	for _, f := range findings {
		yes := f.Fix == contactsync.FixSafe
		if f.Fix == contactsync.FixAsk && w.Ask != nil {
			if yes, err = w.Ask(ctx, f.Finding); err != nil {
				return nil, err
			}
		}
		if yes {
			wanted = append(wanted, f)
		}
	}
	return wanted, nil
}

// settle marks what is fixed, and takes the rest from the second examination.
func (e *exam) settle(again *exam, wanted []finding, failures map[repair]error) {
	has := func(list []finding, f finding) bool { return slices.ContainsFunc(list, f.same) }
	var settled []finding
	for _, f := range e.findings {
		if !has(wanted, f) || has(again.findings, f) {
			continue
		}
		f.Error = contactsync.FailureOf(failures[f.by])
		f.Fixed = f.Error == nil
		if f.Fixed || !slices.ContainsFunc(again.findings, func(g finding) bool { return g.by == f.by }) { // else that one says it
			settled = append(settled, f)
		}
	}
	for _, f := range again.findings {
		f.Error = contactsync.FailureOf(failures[f.by])
		settled = append(settled, f)
	}
	e.findings, e.Path, e.Organization = settled, again.Path, again.Organization
}

// repairs returns the steps, by what they mend.
func (j *job) repairs(wanted []finding) []step {
	return []step{
		byNobody:        {},
		byLink:          {"link", "linking the organization", j.link},
		byPath:          {"path", "moving the project to its path", j.movePath},
		byName:          {"name", "naming the project", j.rename},
		bySettings:      {"settings", "setting the project up", j.settings},
		byProtection:    {"branch", "protecting the branch", j.protect},
		byFiles:         {"files", "writing what is missing", func(ctx context.Context) (outcome, error) { return j.writeMissing(ctx, wanted) }},
		byDefaultBranch: {"default_branch", "making the branch the default one", j.mendDefaultBranch},
		byHook:          {"hook", "mending the hook", j.mendHook},
		byLowering:      {"members", "making members developers", func(ctx context.Context) (outcome, error) { return j.lower(ctx, wanted) }},
		byWithdrawing:   {"invitations", "withdrawing invitations", func(ctx context.Context) (outcome, error) { return j.withdraw(ctx, wanted) }},
	}
}

func (j *job) movePath(ctx context.Context) (outcome, error) {
	place, _ := j.Policy.place(j.org().ID)
	return j.call(ctx, "path", path.Base(place), func() string { return path.Base(j.project.Path) })
}

func (j *job) rename(ctx context.Context) (outcome, error) {
	_, name := j.Policy.place(j.org().ID)
	return j.call(ctx, "name", name, func() string { return j.project.Name })
}

// call changes the project's name or path.
func (j *job) call(ctx context.Context, attribute, wanted string, is func() string) (_ outcome, err error) {
	before := is()
	if j.project, err = j.Forge.ChangeSettings(ctx, j.project.ID, map[string]string{attribute: wanted}); err != nil {
		return outcome{}, err
	}
	if is() != wanted {
		return outcome{}, contactsync.Errorf(contactsync.ClassGitLabRefused, "GitLab kept the project's %s %q", attribute, is())
	}
	return done("the project's %s was %q, and is %q", attribute, before, wanted), nil
}

func (j *job) mendDefaultBranch(ctx context.Context) (outcome, error) {
	return done("made %s the default branch", j.Policy.Branch), j.defaultBranch(ctx)
}

// writeMissing writes those of the files that are not there, and touches no other.
func (j *job) writeMissing(ctx context.Context, wanted []finding) (outcome, error) {
	head, err := j.Files.Head(ctx, j.project.Project)
	if err != nil {
		return outcome{}, err
	}
	content := map[string]func() ([]byte, error){}
	for _, f := range wanted {
		switch f.Check {
		case contactsync.CheckFileMissing:
			if j.exported, err = j.Syncer.Export(ctx, j.org().ID); err != nil {
				return outcome{}, err
			}
			content[j.Policy.File] = j.contactsFile
		case contactsync.CheckGuideMissing:
			content[guideFile] = j.guide
		}
	}
	files := map[string][]byte{}
	for name, make := range content {
		if present, err := j.read(ctx, j.project.Project, name); err != nil {
			return outcome{}, err
		} else if present != nil { // since a moment ago
			continue
		}
		if files[name], err = make(); err != nil {
			return outcome{}, err
		}
	}
	if len(files) == 0 {
		return already("nothing is missing any more"), nil
	}
	commit, err := j.Files.Write(ctx, j.project.Project, head, "Write the missing "+names(files), files)
	if err != nil {
		return outcome{}, err
	}
	return done("wrote %s (commit %.8s)", names(files), commit).with(j.leftOut()...), j.readBack(ctx, files)
}

// mendHook makes the hook work, and syncs the project, because pushes may have gone unheard.
func (j *job) mendHook(ctx context.Context) (outcome, error) {
	is := examined{project: j.project}
	var err error
	if is.hooks, err = j.Forge.Hooks(ctx, j.project.ID); err != nil {
		return outcome{}, err
	}
	if err := j.sortOurs(&is); err != nil {
		return outcome{}, err
	}
	result, err := j.workingHook(ctx, is.hook, is.good, is.bad)
	if err != nil {
		return outcome{}, err
	}
	switch _, err := j.Desk.Organization(ctx, j.project.ID); contactsync.ClassOf(err) {
	case "":
	case contactsync.ClassNoOrgFound, contactsync.ClassTooManyOrgs:
		return result.with("not synced: it is not clear whose project it is"), nil
	default:
		return outcome{}, err
	}
	j.Step("syncing the project")
	run := j.Syncer.Sync(ctx, contactsync.ProjectRef(fmt.Sprint(j.project.ID)), contactsync.TriggerCommand)
	switch {
	case run.Error == nil:
		return result.with(fmt.Sprintf("synced the project: %s (run %s)", run.Status, run.ID)), nil
	case run.Error.Retry == contactsync.RetryOnCommit: // the file has a finding of its own
		return result.with(fmt.Sprintf("the sync failed: %s (run %s)", run.Error.Title, run.ID)), nil
	}
	return outcome{}, fmt.Errorf("syncing the project: %w", failed(run.Error))
}

// lower makes developers of those whom a yes was said to, if they still are more than that.
func (j *job) lower(ctx context.Context, wanted []finding) (outcome, error) {
	members, err := j.Forge.Members(ctx, j.project.ID)
	if err != nil {
		return outcome{}, err
	}
	result := outcome{state: contactsync.StepDone}
	for _, m := range over(members, j.self) {
		if !slices.ContainsFunc(wanted, func(f finding) bool { return f.by == byLowering && f.member == m.ID }) {
			continue
		}
		if err := j.Forge.MakeDeveloper(ctx, j.project.ID, m.ID); err != nil {
			return outcome{}, fmt.Errorf("making %s a developer: %w", nameOf(m), err)
		}
		result = result.with(fmt.Sprintf("made %s a developer, who was %s", nameOf(m), role(m.Level)))
	}
	return result, nil
}

// withdraw takes back the invitations that a yes was said to.
func (j *job) withdraw(ctx context.Context, wanted []finding) (outcome, error) {
	waiting, err := j.Forge.Invitations(ctx, j.project.ID)
	if err != nil {
		return outcome{}, err
	}
	result := outcome{state: contactsync.StepDone}
	for _, i := range overInvited(waiting) {
		if !slices.ContainsFunc(wanted, func(f finding) bool { return f.by == byWithdrawing && f.invited == i.Address }) {
			continue
		}
		if err := j.Forge.Withdraw(ctx, j.project.ID, i.Address); err != nil {
			return outcome{}, fmt.Errorf("withdrawing the invitation of %s: %w", i.Address, err)
		}
		result = result.with(fmt.Sprintf("withdrew the invitation of %s as %s", i.Address, role(i.Level)))
	}
	return result, nil
}
