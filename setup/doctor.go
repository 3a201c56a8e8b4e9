package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"contactsync"
	"contactsync/contacts"
)

// failuresFor is for how long failed deliveries matter: as long as GitLab remembers them.
const failuresFor = 7 * 24 * time.Hour

// Checkup says which project is to be examined. Rounds makes those of all of them.
type Checkup struct {
	Project int64
	// Fix repairs: what is safe at once, the rest when Ask says yes. Nil is a no to everything.
	Fix     bool
	Ask     func(context.Context, contactsync.Finding) (bool, error)
	By      string
	Command []string // that repairs again

	known *known // from reading all at once; nil asks the desk
	self  int64  // the account that works here, 0 asks GitLab
}

// known is what a reading of all links and projects told of one. A repair does not rely on it.
type known struct {
	organizations []contactsync.Organization
	listed        *contactsync.ProjectDetails // in the group; nil for a project elsewhere, or gone
}

// Diagnosis is what was found about a project.
type Diagnosis struct {
	Project      int64
	Path         string                    // "" for a project that is gone
	Organization *contactsync.Organization // nil where it is not known
	Findings     []contactsync.Finding
}

// finding is a finding with what repairs it.
type finding struct {
	contactsync.Finding
	by      repair
	member  int64             // whose level is lowered
	invited contactsync.Email // whose invitation is withdrawn
}

// same reports whether both are about the same thing.
func (f finding) same(other finding) bool {
	return f.Check == other.Check && f.member == other.member && f.invited == other.invited
}

// findings is a list that is written down as it is found.
type findings []finding

// add returns what it added, until the next is.
func (l *findings) add(check contactsync.Check, by repair, remedy, format string, args ...any) *finding {
	*l = append(*l, finding{by: by, Finding: contactsync.Finding{
		Check: check, Severity: contactsync.SeverityProblem, Message: fmt.Sprintf(format, args...), Remedy: remedy, Fix: by.fix(),
	}})
	return &(*l)[len(*l)-1]
}

// examined is what a project is.
type examined struct {
	project    contactsync.ProjectDetails
	owner      contactsync.Organization // whose project it is, or says to be
	protection contactsync.Protection
	protected  bool
	hooks      []contactsync.Hook
	failed     []contactsync.FailedDelivery // that no run made up for
	members    []contactsync.ProjectMember
	waiting    []contactsync.Invitation
	self       int64
	file       []byte // nil: there is none
	guide      bool
	stopped    *contactsync.Procedure // its setup, removal or restoring that did not come to its end; nil for none

	hook contactsync.NewHook // that it is to have
	good *contactsync.Hook   // that is as it is to be
	bad  []contactsync.Hook  // others that lead to us
}

// compare says in what a project is not as it is to be. It decides and does nothing.
func (p Policy) compare(is examined) findings {
	var found findings
	repairs := repairs(is.project.ID)

	p.comparePlace(is, &found)
	if state := is.project.Import; state != "" && state != "none" && state != "finished" {
		found.add(contactsync.CheckImport, byNobody, "Continue the setup: contactsync setup --resume lists how.",
			"GitLab has not made the project from its template: %s %s", state, is.project.ImportError)
	}
	if is.stopped != nil {
		found.add(contactsync.CheckSetup, byNobody, "Continue it: contactsync setup --resume lists how.", "the %s of the project was begun and is not finished", is.stopped.Kind)
	}
	if wrong := p.settingsOf(is.project); len(wrong) > 0 {
		found.add(contactsync.CheckSettings, bySettings, repairs, "%s", strings.Join(texts(wrong), "; "))
	}
	if is.project.DefaultBranch != p.Branch && !is.project.Empty {
		found.add(contactsync.CheckDefaultBranch, byDefaultBranch, repairs, "the default branch is %q, and is to be %s", is.project.DefaultBranch, p.Branch)
	}
	if wrong := protectionOf(is.protection, is.protected, p.protection()); wrong != "" {
		found.add(contactsync.CheckProtection, byProtection, repairs, "branch %s: %s", p.Branch, wrong)
	}
	p.compareHooks(is, &found)

	for _, m := range over(is.members, is.self) {
		found.add(contactsync.CheckMemberAbove, byLowering, repairs+", which makes them a developer, or take them out of the project.", "%s, and is to be Developer", memberLevel(m)).member = m.ID
	}
	for _, i := range overInvited(is.waiting) {
		found.add(contactsync.CheckInvitationAbove, byWithdrawing, repairs+", which withdraws it, then invite them as a developer.", "%s, and is to be invited as Developer", invitationLevel(i)).invited = i.Address
	}
	switch editors := editors(is); {
	case editors == 0:
		found.add(contactsync.CheckNobodyEdits, byNobody, fmt.Sprintf("Invite somebody: contactsync setup --organization %s --maintainers ADDRESSES.", is.owner.ID),
			"no member and no invitation lets anybody of the organization edit the file")
	case p.Maintainers > 0 && editors > p.Maintainers:
		found.add(contactsync.CheckManyEdit, byNobody, "Ask the organization who is to edit the file, and take the others out of the project.",
			"%d people edit the file or are invited to, and a project may have %d (limits.maintainers)", editors, p.Maintainers).Severity = contactsync.SeverityNote
	}

	switch parsed, problems := contacts.Parse(is.file); {
	case is.file == nil:
		found.add(contactsync.CheckFileMissing, byFiles, repairs+", which writes the organization's present contacts into it.", "branch %s has no %s: nothing can be synced", p.Branch, p.File)
	case contacts.Err(problems) != nil:
		found.add(contactsync.CheckFileInvalid, byNobody, contactsync.ClassOf(contacts.Err(problems)).Info().Remedy,
			"%s has mistakes: %s", p.File, strings.ReplaceAll(contacts.Err(problems).Error(), "\n", "; "))
	case parsed.Organization != "" && parsed.Organization != is.owner.ID:
		found.add(contactsync.CheckFileInvalid, byNobody, contactsync.ClassOrganizationMismatch.Info().Remedy,
			"%s says \"organization: %s\", but the project belongs to organization %s", p.File, parsed.Organization, is.owner.ID)
	}
	if !is.guide {
		found.add(contactsync.CheckGuideMissing, byFiles, repairs+", which writes it.", "branch %s has no %s", p.Branch, guideFile).Severity = contactsync.SeverityNote
	}
	var remedy string
	switch {
	case !p.inGroup(is.project): // somebody moved it on purpose, or a wrong number stands at the desk
		remedy = fmt.Sprintf("Mend it by hand, or move the project to %s, where contactsync mends it.", p.Group)
	case another(is.project, is.owner.ID):
		remedy = "Find out whose project it is first: its name says that it is another organization's."
	default:
		return found
	}
	for i := range found {
		if found[i].by != byNobody {
			found[i].by, found[i].Fix, found[i].Remedy = byNobody, contactsync.FixNone, remedy
		}
	}
	return found
}

func (p Policy) comparePlace(is examined, found *findings) {
	place, name := p.place(is.owner.ID)
	switch {
	case !p.inGroup(is.project):
		found.add(contactsync.CheckMoved, byNobody, "Find out whether it is the organization's project. If so, move it back; if not, correct the organization's project field.",
			"organization %s is linked to %s, and its project belongs at %s", is.owner.ID, is.project.Path, place)
	case !strings.EqualFold(is.project.Path, place):
		found.add(contactsync.CheckMoved, byPath, fmt.Sprintf("If it is the organization's project: %s. If not, correct the organization's project field.", repairs(is.project.ID)),
			"the project is at %s, and belongs at %s", is.project.Path, place)
	}
	if is.project.Name != name {
		found.add(contactsync.CheckName, byName, repairs(is.project.ID), "the project is called %q, and is to be called %q", is.project.Name, name)
	}
}

func (p Policy) compareHooks(is examined, found *findings) {
	repairs := repairs(is.project.ID)
	if is.good == nil && len(is.bad) == 0 {
		found.add(contactsync.CheckHookMissing, byHook, repairs, "no hook leads to contactsync: pushes are not heard")
	}
	for _, hook := range is.bad {
		if wrong := hookOf(hook, is.hook); wrong != "" && leadsTo(hook, is.hook) {
			found.add(contactsync.CheckHookDifferent, byHook, repairs+", which makes it anew.", "hook %d: %s", hook.ID, wrong)
		} else {
			found.add(contactsync.CheckHookDouble, byHook, repairs+", which deletes it.", "hook %d leads to contactsync, too: every push is told of twice", hook.ID)
		}
	}
	if is.good != nil && is.good.Disabled() {
		until := ""
		if !is.good.DisabledUntil.IsZero() {
			until = " until " + is.good.DisabledUntil.UTC().Format("2006-01-02 15:04 UTC")
		}
		found.add(contactsync.CheckHookDisabled, byHook, repairs+", which delivers a test: GitLab enables the hook when it arrives.",
			"GitLab has disabled hook %d%s (%s), because deliveries failed: pushes are not heard", is.good.ID, until, is.good.AlertStatus)
	}
	if len(is.failed) > 0 {
		found.add(contactsync.CheckHookFailing, byHook, fmt.Sprintf("Check that contactsync serve runs and that GitLab reaches it. Then: %s, which tests the hook and syncs the project (contactsync sync %d).", repairs, is.project.ID),
			"deliveries of hook %d failed, and nothing was synced since: %d, %s", is.good.ID, len(is.failed), latest(is.failed[0]))
	}
	for _, hook := range is.hooks {
		ours := is.good != nil && hook.ID == is.good.ID || slices.ContainsFunc(is.bad, func(b contactsync.Hook) bool { return b.ID == hook.ID })
		if !ours && hook.PushEvents {
			found.add(contactsync.CheckHookElsewhere, byNobody, "If nobody needs it any more, delete it.", "hook %d tells somebody else of pushes: %s", hook.ID, hostOf(hook)).Severity = contactsync.SeverityNote
		}
	}
}

// hostOf is where a hook leads. What follows may be all that keeps strangers out there.
func hostOf(hook contactsync.Hook) string {
	scheme, rest, _ := strings.Cut(hook.Address, "://")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}

func latest(f contactsync.FailedDelivery) string {
	text := "the last without an answer"
	if f.Status > 0 {
		text = fmt.Sprintf("the last with status %d", f.Status)
	}
	if !f.At.IsZero() {
		text += " at " + f.At.UTC().Format("2006-01-02 15:04 UTC")
	}
	return text
}

// editors counts who may edit the file, or is invited to, by the project itself.
func editors(is examined) int {
	count := 0
	for _, m := range is.members {
		if m.Direct && m.Active && !m.Bot && m.ID != is.self && m.Level >= contactsync.AccessDeveloper {
			count++
		}
	}
	for _, i := range is.waiting {
		if i.Level >= contactsync.AccessDeveloper {
			count++
		}
	}
	return count
}

func repairs(project int64) string { return fmt.Sprintf("contactsync doctor %d --fix", project) }

func (p Policy) inGroup(project contactsync.ProjectDetails) bool {
	return strings.EqualFold(path.Dir(project.Path), p.Group)
}

// said returns the organization that a project of the group is named after; sure says that both path and name say so.
func (p Policy) said(project contactsync.ProjectDetails) (organization string, sure bool) {
	if !p.inGroup(project) {
		return "", false
	}
	byPath, byName := says(project)
	return cmp.Or(byName, byPath), byName != "" && strings.EqualFold(byPath, byName)
}

// another reports whether a project's path or name is that of another organization than its owner's.
func another(project contactsync.ProjectDetails, owner string) bool {
	byPath, byName := says(project)
	return byPath != "" && !strings.EqualFold(byPath, owner) || byName != "" && !strings.EqualFold(byName, owner)
}

// says returns the organizations that a project's path and its name are those of, "" for none.
func says(project contactsync.ProjectDetails) (byPath, byName string) {
	byPath, inPath := strings.CutPrefix(strings.ToLower(path.Base(project.Path)), "organization-")
	byName, inName := strings.CutPrefix(project.Name, "Organization ")
	if !inPath {
		byPath = ""
	}
	if !inName {
		byName = ""
	}
	return byPath, byName
}

// exam is a project that was examined.
type exam struct {
	Diagnosis
	is       examined
	findings findings
}

// examine looks at a project. A healthy one takes eight requests to GitLab, two readings of its repository, and finding
// its organization.
func (c *Caretaker) examine(ctx context.Context, w Checkup) (*exam, error) {
	e := &exam{Diagnosis: Diagnosis{Project: w.Project}}
	c.Step(fmt.Sprintf("examining project %d", w.Project))
	gone := false
	listed := w.known != nil && len(w.known.organizations) == 0 // most of these are nobody's, so that no more need be read
	if listed {
		e.is.project = *w.known.listed
	} else {
		project, err := c.Forge.ProjectDetails(ctx, w.Project)
		gone = contactsync.ClassOf(err) == contactsync.ClassInvalidProjectID
		if err != nil && !gone {
			return nil, err
		}
		e.is.project = project
	}
	e.Path = e.is.project.Path
	if err := c.findOwner(ctx, w, e, gone); err != nil {
		return nil, err
	}
	if e.is.owner.ID != "" {
		e.Organization = &e.is.owner
	}
	switch {
	case gone:
		e.findings.add(contactsync.CheckGone, byNobody,
			"Check that contactsync's account sees the project. If it is gone, clear the organization's project field at the desk, and set a new one up if it is to have one: contactsync setup.",
			"an organization is linked to project %d, and GitLab shows no such project", w.Project)
		return e, nil
	case e.is.project.Deletion != "":
		f := e.findings.add(contactsync.CheckDeleted, byNobody,
			"If the organization is to keep its project, restore it in GitLab. If not, clear the organization's project field at the desk.",
			"the project is marked for deletion, and gone on %s", e.is.project.Deletion)
		if e.Organization == nil && len(e.findings) == 1 {
			f.Severity, f.Remedy = contactsync.SeverityNote, "Nothing to do: no organization is linked to it."
		}
		return e, nil
	case e.is.owner.ID == "": // whose settings would these be?
		return e, nil
	}
	if listed {
		var err error
		if e.is.project, err = c.Forge.ProjectDetails(ctx, w.Project); err != nil {
			return nil, err
		}
	}
	if err := c.look(ctx, w, &e.is); err != nil {
		return nil, err
	}
	e.findings = append(e.findings, c.Policy.compare(e.is)...)
	for i, f := range e.findings {
		if e.is.waits() && f.by != byNobody {
			e.findings[i].by, e.findings[i].Fix = byNobody, contactsync.FixNone
			e.findings[i].Remedy = fmt.Sprintf("First continue the %s of the project: contactsync setup --resume lists how.", e.is.stopped.Kind)
		}
	}
	return e, nil
}

// findOwner finds whose project it is: who is linked to it, or else who it is named after.
func (c *Caretaker) findOwner(ctx context.Context, w Checkup, e *exam, gone bool) error {
	var linking error
	switch k := w.known; {
	case k != nil && len(k.organizations) == 1 && !gone:
		e.is.owner = k.organizations[0]
		return nil
	case k != nil && len(k.organizations) == 0: // then it is in the group's list
		linking = contactsync.Errorf(contactsync.ClassNoOrgFound, "no organization carries the number %d", w.Project)
	default:
		if e.is.owner, linking = c.Desk.Organization(ctx, w.Project); linking == nil {
			return nil
		}
	}
	named, sure := c.Policy.said(e.is.project)
	switch class := contactsync.ClassOf(linking); {
	case class == contactsync.ClassTooManyOrgs:
		e.findings.add(contactsync.CheckLinkDouble, byNobody, class.Info().Remedy, "%s", linking)
	case class != contactsync.ClassNoOrgFound:
		return linking
	case gone:
		return contactsync.Errorf(contactsync.ClassInvalidProjectID, "GitLab shows no such project, and no organization is linked to it")
	case e.is.project.Deletion != "": // nobody's, and soon gone
		return nil
	case named == "":
		f := e.findings.add(contactsync.CheckLinkMissing, byNobody,
			"If it is a contact management project, write its number into the organization's project field at the desk. If not, leave it.",
			"no organization is linked to the project, and its name says of none")
		if w.known != nil { // one of many that are in the group
			f.Severity = contactsync.SeverityNote
		}
		return nil
	default:
		return c.nobodys(ctx, e, named, sure)
	}
	if sure {
		var err error
		if e.is.owner, err = c.Desk.OrganizationByID(ctx, named); contactsync.ClassOf(err) != contactsync.ClassNoOrgFound {
			return err
		}
	}
	return nil
}

// nobodys is about a project that no organization is linked to, and that is named after one.
func (c *Caretaker) nobodys(ctx context.Context, e *exam, named string, sure bool) error {
	const byHand = "Find out whose project it is, and write its number into that organization's project field at the desk. If it is nobody's, delete it."
	owner, err := c.Desk.OrganizationByID(ctx, named)
	if contactsync.ClassOf(err) == contactsync.ClassNoOrgFound {
		e.findings.add(contactsync.CheckLinkMissing, byNobody, byHand, "no organization is linked to the project, and the desk has no organization %s, which it is named after", named)
		return nil
	}
	if err != nil {
		return err
	}
	carried, err := c.Desk.ProjectOf(ctx, owner)
	switch {
	case err != nil:
		return err
	case carried == e.Project: // since a moment ago
		e.is.owner = owner
	case carried != 0:
		e.findings.add(contactsync.CheckLinkMissing, byNobody, byHand,
			"no organization is linked to the project; organization %s (%s), which it is named after, is linked to project %d", owner.ID, owner.Name, carried)
	case !sure:
		e.findings.add(contactsync.CheckLinkMissing, byNobody, byHand,
			"no organization is linked to the project; its name %q and its path do not both say that it is organization %s's (%s)", e.is.project.Name, owner.ID, owner.Name)
	default:
		e.is.owner = owner
		e.findings.add(contactsync.CheckLinkMissing, byLink, repairs(e.Project)+", which links the organization to it.",
			"no organization is linked to the project; it is named after organization %s (%s), which is linked to none", owner.ID, owner.Name)
	}
	return nil
}

// look reads everything that is compared.
func (c *Caretaker) look(ctx context.Context, w Checkup, is *examined) (err error) {
	id := w.Project
	if is.protection, is.protected, err = c.Forge.Protection(ctx, id, c.Policy.Branch); err != nil {
		return err
	}
	if is.hooks, err = c.Forge.Hooks(ctx, id); err != nil {
		return err
	}
	if err := c.sortOurs(is); err != nil {
		return err
	}
	if is.good != nil {
		if is.failed, err = c.failures(ctx, id, is.good.ID); err != nil {
			return err
		}
	}
	if is.members, err = c.Forge.Members(ctx, id); err != nil {
		return err
	}
	if is.waiting, err = c.Forge.Invitations(ctx, id); err != nil {
		return err
	}
	if is.self = w.self; is.self == 0 {
		if is.self, err = c.Forge.Self(ctx); err != nil {
			return err
		}
	}
	if is.file, err = c.read(ctx, is.project.Project, c.Policy.File); err != nil {
		return err
	}
	guide, err := c.read(ctx, is.project.Project, guideFile)
	if err != nil {
		return err
	}
	is.guide = guide != nil
	return c.findStopped(ctx, is)
}

// findStopped looks whether something was begun with the project and did not come to its end.
func (c *Caretaker) findStopped(ctx context.Context, is *examined) error {
	for _, kind := range []contactsync.ProcedureKind{contactsync.ProcedureRemoval, contactsync.ProcedureRestore, contactsync.ProcedureSetup} {
		stopped, found, err := c.Journal.Unfinished(ctx, kind, is.owner.ID)
		if err != nil {
			return err
		}
		if found && (stopped.Project == is.project.ID || kind == contactsync.ProcedureSetup) {
			is.stopped = &stopped
			return nil
		}
	}
	return nil
}

// waits says that nothing is to be repaired: a removal would be undone by it, and restoring goes on only when somebody
// has looked whom the file would remove.
func (is examined) waits() bool {
	return is.stopped != nil && is.stopped.Kind != contactsync.ProcedureSetup
}

// sortOurs finds the hook that is as it is to be: our own, or the one for the original trigger address.
func (c *Caretaker) sortOurs(is *examined) error {
	var unset error
	first := true
	for _, legacy := range []bool{false, true} {
		wanted, err := c.Policy.Hook(is.project.ID, legacy)
		if err != nil {
			unset = err
			continue
		}
		good, bad := sortHooks(is.hooks, wanted)
		if first || is.good == nil && (good != nil || len(is.bad) == 0 && len(bad) > 0) {
			is.hook, is.good = wanted, good
		} else if good != nil {
			bad = append(bad, *good)
		}
		is.bad = append(is.bad, bad...)
		first = false
	}
	if first {
		return unset
	}
	return nil
}

// failures returns the failed deliveries that no run has made up for.
func (c *Caretaker) failures(ctx context.Context, project, hook int64) ([]contactsync.FailedDelivery, error) {
	since := c.Now().Add(-failuresFor)
	looked, err := c.Journal.LookedAt(ctx, project)
	if err != nil {
		return nil, err
	}
	if looked.After(since) {
		since = looked
	}
	return c.Forge.FailedDeliveries(ctx, project, hook, since)
}

// Rounds returns the checkups of all projects: those that organizations are linked to, and those of the group. They are
// in the order of their numbers.
func (c *Caretaker) Rounds(ctx context.Context) ([]Checkup, error) {
	lister, ok := c.Desk.(contactsync.LinkLister)
	if !ok {
		return nil, errors.New("this desk does not tell all links at once: name the projects one by one")
	}
	c.Step("reading which organizations are linked")
	links, err := lister.Links(ctx)
	if err != nil {
		return nil, err
	}
	c.Step("reading the projects of " + c.Policy.Group)
	listed, err := c.Forge.GroupProjects(ctx, c.Policy.Group)
	if err != nil {
		return nil, err
	}
	self, err := c.Forge.Self(ctx)
	if err != nil {
		return nil, err
	}
	all := map[int64]*known{}
	at := func(project int64) *known {
		if all[project] == nil {
			all[project] = &known{}
		}
		return all[project]
	}
	for _, link := range links {
		k := at(link.Project)
		k.organizations = append(k.organizations, link.Organization)
	}
	for _, project := range listed {
		if strings.EqualFold(project.Path, c.Policy.Template) || strconv.FormatInt(project.ID, 10) == c.Policy.Template {
			continue
		}
		at(project.ID).listed = &contactsync.ProjectDetails{Project: project.Project, Name: project.Name}
	}
	rounds := make([]Checkup, 0, len(all))
	for project, k := range all {
		rounds = append(rounds, Checkup{Project: project, known: k, self: self})
	}
	slices.SortFunc(rounds, func(a, b Checkup) int { return int(min(max(a.Project-b.Project, -1), 1)) })
	return rounds, nil
}
