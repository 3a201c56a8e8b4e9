package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"contactsync"
	"contactsync/templates"
)

// auditedAtOnce is how many projects and organizations are looked at side by side, after the bulk reads.
const auditedAtOnce = 4

// Audit says what is audited. What is read is never written.
type Audit struct {
	Organization string // this one alone; "" audits all
	Ticket       string // of that organization, which is told the present contacts if they are too many; "" for none
	// Drift and Hooks ask for the parts that cost requests of each project.
	Drift, Hooks bool
	// Waiting tells the projects that wait for people.
	Waiting func(context.Context) ([]Waiting, error)
}

// Waiting is a project that waits for people.
type Waiting struct {
	Project     int64
	Held        int  // changes that wait for an approval
	Quarantined bool // its runs have failed for a day
	Since       time.Time
	Error       contactsync.Class // of its runs
}

// Audited is what an audit found.
type Audited struct {
	// Findings are in the order of their checks, then of organizations and projects.
	Findings      []contactsync.Finding
	Organizations int      // that have contacts or a project
	Projects      int      // that are linked or in the group
	Skipped       []string // what was not looked at, and why
	Answered      string   // what became of the ticket
	Requests      contactsync.Requests
}

// Audit goes over all organizations and projects. The bulk reads come first, and one that fails is the error of the whole
// audit: a part is no basis for a clean report. What fails later, about one project or organization, is a finding.
//
// What a bulk read tells is only a hint, so what it makes suspect is read itself before it is reported.
func (c *Caretaker) Audit(ctx context.Context, wanted Audit) (Audited, error) {
	var tally contactsync.Tally
	ctx = contactsync.WithTally(ctx, &tally)
	a := &audit{Caretaker: c, wanted: wanted}
	err := a.carryOut(ctx)
	a.result.Requests = tally.Requests()
	switch {
	case ctx.Err() != nil:
		return a.result, &contactsync.Error{
			Class: contactsync.ClassInternal, Detail: "the audit was stopped before its end", Err: ctx.Err(),
			Who: contactsync.WhoOperator, Retry: contactsync.RetryNo, Remedy: "Run the same command again. Nothing was changed.",
		}
	case err != nil:
		return a.result, fmt.Errorf("auditing: %w", err)
	}
	return a.result, nil
}

// audit is one under way.
type audit struct {
	*Caretaker
	wanted Audit
	result Audited

	carriers map[int64][]contactsync.Organization // by project
	carried  map[string]int64                     // by organization
	counts   map[string]int                       // of contacts, about, by organization
	projects map[int64]auditedProject             // those of the group that stay
}

// auditedProject is what is kept of a project: there may be thousands.
type auditedProject struct {
	path, name string
	deletion   contactsync.Date
}

func (a *audit) carryOut(ctx context.Context) error {
	gather := a.gather
	if a.wanted.Organization != "" {
		gather = a.gatherOne
	} else {
		ctx = contactsync.InBackground(ctx)
	}
	a.carriers, a.carried, a.counts = map[int64][]contactsync.Organization{}, map[string]int64{}, map[string]int{}
	a.projects = map[int64]auditedProject{}
	if err := gather(ctx); err != nil {
		return err
	}
	waiting, err := a.wanted.Waiting(ctx)
	if err != nil {
		return err
	}
	a.count()
	a.skip()
	found, err := a.lookAt(ctx, a.suspects())
	a.result.Findings = append(found, a.waiting(waiting)...)
	slices.SortStableFunc(a.result.Findings, compareAudited)
	if err != nil || a.wanted.Ticket == "" {
		return err
	}
	return a.answerOverLimit(ctx)
}

// gather reads in bulk, side by side: the desk lets some time pass in its two reads.
func (a *audit) gather(ctx context.Context) error {
	lister, ok := a.Desk.(contactsync.LinkLister)
	if !ok {
		return &contactsync.Error{
			Class: contactsync.ClassDeskUnreadable, Detail: "this desk does not tell all links at once",
			Remedy: "Audit the organizations one by one: contactsync audit --organization ID.", Retry: contactsync.RetryNo,
		}
	}
	counter, counts := a.Desk.(contactsync.MemberCounter)
	counts = counts && a.limited()
	a.Step("reading links, contacts and projects in bulk")
	group, reading := errgroup.WithContext(ctx)
	silent := contactsync.WithProgress(reading, func(int, int) {}) // the longest of the three is shown
	group.Go(func() error {
		links, err := lister.Links(silent)
		for _, link := range links {
			a.linked(link.Organization, link.Project)
		}
		return err
	})
	if counts {
		group.Go(func() (err error) {
			a.counts, err = counter.MemberCounts(reading)
			return err
		})
	}
	group.Go(func() error {
		listed, err := a.Forge.GroupProjects(silent, a.Policy.Group)
		for _, project := range listed {
			if project.Path != a.Policy.Template && strconv.FormatInt(project.ID, 10) != a.Policy.Template {
				a.projects[project.ID] = auditedProject{path: project.Path, name: project.Name}
			}
		}
		return err
	})
	return group.Wait()
}

// gatherOne reads what an audit of one organization takes, without bulk reads.
func (a *audit) gatherOne(ctx context.Context) error {
	a.Step("reading the organization and its project")
	org, err := a.Desk.OrganizationByID(ctx, a.wanted.Organization)
	if err != nil {
		return err
	}
	carried, err := a.Desk.ProjectOf(ctx, org)
	if err != nil {
		return err
	}
	if carried != 0 {
		a.linked(org, carried)
	}
	a.counts[org.ID] = math.MaxInt // nobody counted, so that the members are read
	place, _ := a.Policy.place(org.ID)
	found, there, err := a.Forge.FindProject(ctx, place)
	if there && found.Deletion == "" {
		a.projects[found.ID] = auditedProject{path: found.Path, name: found.Name}
	}
	return err
}

func (a *audit) linked(org contactsync.Organization, project int64) {
	a.carriers[project] = append(a.carriers[project], org)
	a.carried[org.ID] = project
}

func (a *audit) limited() bool { return a.Policy.ContactsWithout > 0 || a.Policy.ContactsWith > 0 }

// count says how many were looked at.
func (a *audit) count() {
	a.result.Organizations, a.result.Projects = len(a.counts), len(a.projects)
	for id := range a.carried {
		if _, known := a.counts[id]; !known {
			a.result.Organizations++
		}
	}
	for project := range a.carriers {
		if _, known := a.projects[project]; !known {
			a.result.Projects++
		}
	}
}

// skip names what is not looked at.
func (a *audit) skip() {
	_, counts := a.Desk.(contactsync.MemberCounter)
	for _, part := range []struct {
		left bool
		text string
	}{
		{!a.limited(), "limits: none is set"},
		{a.limited() && !counts && a.wanted.Organization == "", "limits: this desk does not count contacts in bulk"},
		{!a.wanted.Drift, "drift"}, {!a.wanted.Hooks, "hooks"},
	} {
		if part.left {
			a.result.Skipped = append(a.result.Skipped, part.text)
		}
	}
}

// suspect is one thing to be looked at. What fails in look is a finding about it.
type suspect struct {
	org     contactsync.Organization
	project int64
	look    func(context.Context) ([]contactsync.Finding, error)
}

// suspects returns what is to be looked at, in the order of ids.
func (a *audit) suspects() (all []suspect) {
	for _, id := range slices.Sorted(maps.Keys(a.counts)) {
		org, project := contactsync.Organization{ID: id}, a.carried[id]
		if beyondLimit(a.counts[id], a.limit(project)) {
			all = append(all, suspect{org, project, func(ctx context.Context) ([]contactsync.Finding, error) {
				return a.overLimit(ctx, org, project)
			}})
		}
	}
	for _, project := range slices.Sorted(maps.Keys(a.carriers)) {
		carriers := a.carriers[project]
		all = append(all, suspect{carriers[0], project, func(ctx context.Context) ([]contactsync.Finding, error) {
			return a.linkedProject(ctx, project, carriers)
		}})
	}
	for _, project := range slices.Sorted(maps.Keys(a.projects)) {
		if id, named := auditedName(a.projects[project].name); named && a.carriers[project] == nil {
			org := contactsync.Organization{ID: id}
			all = append(all, suspect{org, project, func(ctx context.Context) ([]contactsync.Finding, error) {
				return a.unlinked(ctx, project, org)
			}})
		}
	}
	return all
}

// lookAt looks at a few at a time.
func (a *audit) lookAt(ctx context.Context, suspects []suspect) ([]contactsync.Finding, error) {
	a.Step("looking at what is not clear from the bulk reads")
	results := make([][]contactsync.Finding, len(suspects))
	var counting sync.Mutex
	silent := contactsync.WithProgress(ctx, func(int, int) {}) // what is counted are suspects
	through := 0
	var group errgroup.Group
	group.SetLimit(auditedAtOnce)
	for i, s := range suspects {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			found, err := s.look(silent)
			if ctx.Err() != nil { // what it failed for is nothing about the project
				return nil
			}
			if err != nil {
				found = append(found, auditFailed(s.org, s.project, err))
			}
			results[i] = found
			counting.Lock()
			defer counting.Unlock()
			through++
			contactsync.ReportProgress(ctx, through, len(suspects))
			return nil
		})
	}
	err := errors.Join(group.Wait(), ctx.Err())
	return slices.Concat(results...), err
}

// auditFailed is the finding about what could not be looked at.
func auditFailed(org contactsync.Organization, project int64, err error) contactsync.Finding {
	failure := contactsync.FailureOf(err)
	found := auditFinding(contactsync.CheckUnaudited, org, project, failure.Remedy, "could not be looked at: %s", firstLine(failure.Detail))
	found.Error = failure
	return found
}

// auditFinding is a problem of an organization and its project.
func auditFinding(check contactsync.Check, org contactsync.Organization, project int64, remedy, format string, args ...any) contactsync.Finding {
	found := contactsync.Finding{
		Check: check, Severity: contactsync.SeverityProblem, Message: fmt.Sprintf(format, args...), Remedy: remedy, Fix: contactsync.FixNone, Project: project,
	}
	if org.ID != "" {
		found.Organization = &org
	}
	return found
}

func compareAudited(x, y contactsync.Finding) int {
	id := func(f contactsync.Finding) string {
		if f.Organization == nil {
			return ""
		}
		return f.Organization.ID
	}
	at := func(f contactsync.Finding) int { return slices.Index(contactsync.AuditChecks(), f.Check) }
	return cmp.Or(
		cmp.Compare(at(x), at(y)),
		cmp.Compare(len(id(x)), len(id(y))), cmp.Compare(id(x), id(y)), // as numbers
		cmp.Compare(x.Project, y.Project), cmp.Compare(x.Message, y.Message),
	)
}

// limit is how many contacts an organization may have, with that project or with none.
func (a *audit) limit(project int64) int {
	if project != 0 {
		return a.Policy.ContactsWith
	}
	return a.Policy.ContactsWithout
}

// beyondLimit compares with a limit, of which 0 is none.
func beyondLimit(count, limit int) bool { return limit > 0 && count > limit }

// overLimit reads the organization itself: a bulk count may count agents, and what was read a while ago.
func (a *audit) overLimit(ctx context.Context, org contactsync.Organization, project int64) ([]contactsync.Finding, error) {
	exported, err := a.Syncer.Export(ctx, org.ID)
	if contactsync.ClassOf(err) == contactsync.ClassNoOrgFound {
		return nil, nil // it is gone meanwhile
	}
	if err != nil {
		return nil, err
	}
	people := exported.People()
	if !beyondLimit(len(people), a.limit(project)) {
		return nil, nil
	}
	if project, err = a.Desk.ProjectOf(ctx, exported.Organization); err != nil || !beyondLimit(len(people), a.limit(project)) {
		return nil, err
	}
	key, without := "limits.contacts_with_project", "with"
	remedy := fmt.Sprintf("Have the customer shorten %s, or raise %s.", a.Policy.File, key)
	if project == 0 {
		key, without = "limits.contacts_without_project", "without"
		remedy = fmt.Sprintf("Give it a project (contactsync setup --organization %s --maintainers ADDRESSES), or have the list shortened.", org.ID)
	}
	found := auditFinding(contactsync.CheckOverLimit, exported.Organization, project,
		remedy+fmt.Sprintf(" To tell a ticket, with the list: contactsync audit --organization %s --ticket NUMBER", org.ID),
		"has %d contacts, and one %s a project may have %d (%s)", len(people), without, a.limit(project), key)
	found.Contacts, found.Limit, found.People = len(people), a.limit(project), people
	return []contactsync.Finding{found}, nil
}

// answerOverLimit tells the ticket who the contacts are, if they are too many.
func (a *audit) answerOverLimit(ctx context.Context) (err error) {
	at := slices.IndexFunc(a.result.Findings, func(f contactsync.Finding) bool { return f.Check == contactsync.CheckOverLimit })
	if at < 0 {
		a.result.Answered = fmt.Sprintf("ticket %s was not answered, because the organization is not known to be over its limit", a.wanted.Ticket)
		return nil
	}
	over := a.result.Findings[at]
	data := templates.OverLimitData{Organization: over.Organization.Name, Limit: over.Limit}
	if over.Project != 0 {
		data.File = a.Policy.File
	}
	for _, person := range over.People {
		data.Contacts = append(data.Contacts, templates.Contact{Name: person.Name, Email: string(person.Email)})
	}
	a.Step("answering the ticket")
	a.result.Answered, _, err = a.Answer(ctx, a.wanted.Ticket, templates.OverLimit, data, over.Organization.ID)
	return err
}

// waiting are the findings about projects that wait for people.
func (a *audit) waiting(all []Waiting) (found []contactsync.Finding) {
	for _, w := range all {
		var org contactsync.Organization
		if carriers := a.carriers[w.Project]; len(carriers) > 0 {
			org = carriers[0]
		} else if a.wanted.Organization != "" {
			continue // it is another's
		}
		since := ""
		if !w.Since.IsZero() {
			since = " since " + w.Since.UTC().Format("2006-01-02 15:04 UTC")
		}
		if w.Held > 0 {
			found = append(found, auditFinding(contactsync.CheckHeld, org, w.Project,
				fmt.Sprintf("Look at the plan (contactsync plan %d), and approve it or have the file corrected.", w.Project),
				"waits for an approval: held changes %d", w.Held))
		}
		if w.Quarantined {
			found = append(found, auditFinding(contactsync.CheckQuarantined, org, w.Project, w.Error.Info().Remedy,
				"runs have failed%s: %s (%s)", since, w.Error.Info().Title, w.Error))
		}
	}
	return found
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
