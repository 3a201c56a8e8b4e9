package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"contactsync"
	"contactsync/contacts"
	"contactsync/eligibility"
	"contactsync/setup"
	"contactsync/sync"
)

// story is a demo that plays by itself and checks what it tells.
type story struct {
	*program
	*stage
	file     []contactsync.Contact // as it was last pushed in good order
	requests contactsync.Requests
}

// tellStory plays the story to the end. It fails when anything is not as the story has it.
func (p *program) tellStory(ctx context.Context, s *stage) error {
	t := &story{program: p, stage: s, file: firstContacts()}
	if err := p.say("%s", s.opening()); err != nil {
		return err
	}
	scenes := []struct {
		title string
		play  func(context.Context) error
	}{
		{"May the organization have a project?", t.judge},
		{"It may. One command sets the project up, and proves that it works.", t.setUp},
		{"Two people are added, one is renamed and one dropped, in a merge request. Everybody sees what it would do.", t.change},
		{"A push with two slips in it: an address has lost its end, and a word is misspelt.", t.slip},
		{"A push drops most of the people. Was that meant? The removals wait for somebody's word.", t.shrink},
		{"A push lists somebody who belongs to another organization.", t.conflict},
		{"The organization wants to go back to tickets. It has too many contacts for that.", t.tooMany},
		{"The list is shortened in the project itself, and then the project is removed.", t.remove},
	}
	for i, scene := range scenes {
		if err := p.say("\n%d. %s", i+1, p.palette().bold(scene.title)); err != nil {
			return err
		}
		if err := scene.play(ctx); err != nil {
			return fmt.Errorf("playing scene %d of the demo: %w", i+1, err)
		}
	}
	return t.end(ctx)
}

func (t *story) judge(ctx context.Context) error {
	flags := t.setupFlags().eligibilityFlags
	if err := t.prompt("eligibility", "--organization", flags.organization, "--requester", flags.requester, "--username", flags.username, "--namespace", flags.namespace); err != nil {
		return err
	}
	policy, err := eligibility.NewPolicy(t.settings.Eligibility.Seats, t.settings.Eligibility.Criteria)
	if err != nil {
		return err
	}
	var tally contactsync.Tally
	verdict, err := t.program.judge(contactsync.WithTally(ctx, &tally), t.daemon.systems, t.settings, judgment{policy: policy, flags: flags, by: "demo"})
	if err != nil {
		return err
	}
	if err := verdict.Err(); err != nil {
		return err
	}
	t.count(tally.Requests())
	var w strings.Builder
	writeVerdict(&w, verdictDocument{Verdict: verdict, Requests: tally.Requests()}, t.palette())
	return write(t.Stdout, indented(w.String()))
}

func (t *story) setUp(ctx context.Context) error {
	flags := t.setupFlags()
	if err := t.prompt(flags.command()...); err != nil {
		return err
	}
	document, err := t.stage.setUp(ctx, t.program)
	if err != nil {
		return err
	}
	t.count(document.Requests)
	file, err := t.forge.File(t.number, "", t.settings.GitLab.File)
	if err != nil {
		return err
	}
	if file != t.rendered() {
		return fmt.Errorf("the file should list the present contacts, but is\n%s", file)
	}
	return t.say("   File and desk agree, GitLab's hook leads to contactsync, and Ada and Grace are invited as developers.")
}

func (t *story) change(ctx context.Context) error {
	t.file = slices.Clone(t.file)
	t.drop("charles@example.com")
	t.find("grace@example.com").Name = "Grace Murray Hopper"
	t.file = append(t.file, person("Mary Somerville", "mary@example.com"), person("Dorothy Vaughan", "dorothy@example.com"))
	before := t.atDesk()
	if err := t.say("   $ %s   # and on GitLab, a merge request", t.palette().bold("git push origin welcome")); err != nil {
		return err
	}
	request, err := t.propose("welcome", "Welcome Mary and Dorothy", t.rendered())
	if err != nil {
		return err
	}
	comment, err := t.comment(ctx, request, "Merging would add 2 contacts, rename 1 and remove 1; 6 stay as they are.")
	if err != nil {
		return err
	}
	if err := t.quote(fmt.Sprintf("GitLab, a comment on merge request !%d", request), comment); err != nil {
		return err
	}
	plan := t.daemon.pipeline.PlanProposed(ctx, t.number, contactsync.Organization{}, []byte(t.rendered()))
	if !slices.Equal(before, t.atDesk()) {
		return fmt.Errorf("the comment changed something at the desk")
	}
	if err := t.say("\n   Nothing has changed so far. Then it is merged."); err != nil {
		return err
	}
	if _, err := t.forge.Merge(t.number, request, true); err != nil {
		return err
	}
	run, err := t.nextRun(ctx)
	if err != nil {
		return err
	}
	if err := t.reveal(run); err != nil {
		return err
	}
	if err := t.expect(run, contactsync.StatusSucceeded); err != nil {
		return err
	}
	want := contactsync.Summary{Create: 1, Add: 1, Rename: 1, Remove: 1, Unchanged: 6}
	if run.Summary != want || plan.Summary != want {
		return fmt.Errorf("plan and sync should count %+v, but count %+v and %+v", want, plan.Summary, run.Summary)
	}
	if run.Digest != plan.Digest {
		return fmt.Errorf("plan and sync of the same state have different digests")
	}
	if !t.knows("charles@example.com") {
		return fmt.Errorf("a person was deleted")
	}
	if err := t.shownOnGitLab(ctx, run, contactsync.CommitSuccess, "in step; 9 contacts"); err != nil {
		return err
	}
	return t.say("   Mary was known at the desk and was added, Dorothy was created. Charles is no contact any more; the person stays.")
}

// shownOnGitLab shows what stands beside a commit, and what the badge says.
func (t *story) shownOnGitLab(ctx context.Context, run contactsync.Run, state contactsync.CommitState, badge string) error {
	status, err := t.status(ctx, run.Commit, sync.StatusName)
	if err != nil {
		return err
	}
	if status.State != string(state) {
		return fmt.Errorf("the status of the commit should be %s, but is %s: %s", state, status.State, status.Description)
	}
	title, err := t.badge(ctx, badge)
	if err != nil {
		return err
	}
	return t.say("   GitLab, beside the commit: %s: %s\n   GitLab, the project's badge: %s", status.State, status.Description, title)
}

func (t *story) slip(ctx context.Context) error {
	slip := strings.Replace(t.rendered(), "ada@example.com", "ada@example", 1)
	slip = strings.Replace(slip, "email: emmy", "emial: emmy", 1)
	run, err := t.playPush(ctx, "Tidy up", slip, contactsync.StatusFailed)
	if err != nil {
		return err
	}
	if run.Error.Class != contactsync.ClassEmailInvalid {
		return fmt.Errorf("the error should be %s, but is %s", contactsync.ClassEmailInvalid, run.Error.Class)
	}
	note, err := t.commitNote(ctx, run.Commit)
	if err != nil {
		return err
	}
	if !strings.Contains(note, "email: emmy@example.com") {
		return fmt.Errorf("the note should give the corrected line, but is\n%s", note)
	}
	if err := t.quote("GitLab, a note on the commit", note); err != nil {
		return err
	}
	if err := t.shownOnGitLab(ctx, run, contactsync.CommitFailed, "failed"); err != nil {
		return err
	}
	return t.say("   A file with a mistake in it is not applied at all: nobody was removed.")
}

func (t *story) shrink(ctx context.Context) error {
	all := t.file
	small := slices.Clone(all[:3])
	held, err := t.playPush(ctx, "Fewer contacts", rendered(small), contactsync.StatusHeld)
	if err != nil {
		return err
	}
	if err := t.say("\n   It was meant, so somebody approves exactly that plan."); err != nil {
		return err
	}
	if err := t.prompt("approve", string(t.project), held.Digest); err != nil {
		return err
	}
	t.file = small
	approved := t.daemon.pipeline.Approve(ctx, t.project, held.Digest, "demo")
	if err := t.reveal(approved); err != nil {
		return err
	}
	return t.expect(approved, contactsync.StatusSucceeded)
}

func (t *story) conflict(ctx context.Context) error {
	elsewhere := person("Sophie Germain", "sophie@example.org")
	before := t.file
	t.file = append(slices.Clone(before), person("Rosalind Franklin", "rosalind@example.com"))
	listed := append(slices.Clone(t.file), elsewhere)
	run, err := t.playPush(ctx, "Welcome Rosalind and Sophie", rendered(listed), contactsync.StatusPartial)
	if err != nil {
		return err
	}
	if len(run.Conflicts) != 1 || run.Conflicts[0].Error != contactsync.ClassContactElsewhere {
		return fmt.Errorf("there should be one conflict, %s, but there is %v", contactsync.ClassContactElsewhere, run.Conflicts)
	}
	return t.say("   Sophie stays where she is; Rosalind was not made to wait for that.")
}

// tooMany lets the organization grow over the limit that it would have without a project.
func (t *story) tooMany(ctx context.Context) error {
	limit := t.settings.Limits.ContactsWithoutProject
	for i := len(t.file); i <= limit; i++ {
		t.file = append(t.file, person(fmt.Sprintf("Computer %02d", i), contactsync.Email(fmt.Sprintf("computer%02d@example.com", i))))
	}
	if err := t.say("   $ %s", t.palette().bold(`git commit -am "The whole computing room" && git push`)); err != nil {
		return err
	}
	run, err := t.push(ctx, "The whole computing room", t.rendered())
	if err != nil {
		return err
	}
	t.count(run.Requests)
	if err := t.expect(run, contactsync.StatusSucceeded); err != nil {
		return err
	}
	if err := t.say("   %s There are %d contacts now.", summaryLine(run), len(t.file)); err != nil {
		return err
	}
	err = t.removal(ctx)
	if contactsync.ClassOf(err) != contactsync.ClassTooManyContacts {
		return fmt.Errorf("the removal should be refused with %s: %w", contactsync.ClassTooManyContacts, err)
	}
	failure := contactsync.FailureOf(err)
	failure.Detail, _, _ = strings.Cut(failure.Detail, ":\n") // the list of them all is no part of the story
	var w strings.Builder
	writeFailure(&w, failure)
	return write(t.Stdout, indented(w.String()))
}

func (t *story) remove(ctx context.Context) error {
	t.file = t.file[:t.settings.Limits.ContactsWithoutProject]
	if _, err := t.playPush(ctx, "One less", t.rendered(), contactsync.StatusSucceeded); err != nil {
		return err
	}
	before := t.atDesk()
	if err := t.removal(ctx); err != nil {
		return err
	}
	if !slices.Equal(before, t.atDesk()) {
		return fmt.Errorf("removing the project removed contacts")
	}
	return t.say("   Everybody is still a contact; from now on the list changes by ticket.")
}

// removal plays the command that removes the project.
func (t *story) removal(ctx context.Context) error {
	if err := t.prompt("remove", string(t.project)); err != nil {
		return err
	}
	var tally contactsync.Tally
	_, err := t.cared(contactsync.WithTally(ctx, &tally), t.program, func(ctx context.Context, c *setup.Caretaker) (contactsync.Procedure, error) {
		return c.Remove(ctx, setup.Removal{Project: t.number, By: "demo", Command: []string{"remove", string(t.project)}})
	})
	t.count(tally.Requests())
	return err
}

// end says what it all took.
func (t *story) end(context.Context) error {
	if mails, violations := t.desk.Mails(), t.desk.Violations(); len(mails)+len(violations) > 0 {
		return fmt.Errorf("the desk saw what it never should: mails to %v, %v", mails, violations)
	}
	return t.say("\nAll of it took %d requests to the desk, %d to GitLab and %d to git. Nobody got mail, nobody was deleted.",
		t.requests.Desk, t.requests.GitLab, t.requests.Git)
}

// playPush pushes the file, shows the run that its hook leads to, and checks how it ended.
func (t *story) playPush(ctx context.Context, message, file string, status contactsync.Status) (contactsync.Run, error) {
	if err := t.say("   $ %s", t.palette().bold(fmt.Sprintf("git commit -am %q && git push", message))); err != nil {
		return contactsync.Run{}, err
	}
	run, err := t.push(ctx, message, file)
	if err != nil {
		return run, err
	}
	if err := t.reveal(run); err != nil {
		return run, err
	}
	return run, t.expect(run, status)
}

// prompt shows the command that does what comes next.
func (t *story) prompt(words ...string) error {
	return t.say("   $ %s", t.palette().bold("contactsync "+strings.Join(words, " ")))
}

func (t *story) reveal(run contactsync.Run) error {
	t.count(run.Requests)
	return t.show(run)
}

func (t *story) count(used contactsync.Requests) {
	t.requests.Desk += used.Desk
	t.requests.GitLab += used.GitLab
	t.requests.Git += used.Git
}

// expect checks the status, and that the desk has exactly the contacts of the last good file.
func (t *story) expect(run contactsync.Run, status contactsync.Status) error {
	if run.Status != status {
		return fmt.Errorf("the run should be %s, but is %s", status, run.Status)
	}
	if want, got := names(t.file), t.atDesk(); !slices.Equal(want, got) {
		return fmt.Errorf("the desk should have %q, but has %q", want, got)
	}
	return nil
}

func (t *story) drop(address contactsync.Email) {
	t.file = slices.DeleteFunc(t.file, func(c contactsync.Contact) bool { return c.Email == address })
}

func (t *story) find(address contactsync.Email) *contactsync.Contact {
	return &t.file[slices.IndexFunc(t.file, func(c contactsync.Contact) bool { return c.Email == address })]
}

func (t *story) rendered() string { return rendered(t.file) }

func rendered(list []contactsync.Contact) string {
	text, err := contacts.Render(contacts.File{Contacts: list})
	if err != nil {
		return "" // the contacts of the story can be written; if not, the next step of the story fails
	}
	return string(text)
}

func person(name string, address contactsync.Email) contactsync.Contact {
	return contactsync.Contact{Name: name, Email: address}
}

func firstContacts() []contactsync.Contact {
	return []contactsync.Contact{
		person("Ada Lovelace", "ada@example.com"),
		person("Alan Turing", "alan@example.com"),
		person("Annie Jump Cannon", "annie@example.com"),
		person("Charles Babbage", "charles@example.com"),
		person("Emmy Noether", "emmy@example.com"),
		person("Grace Hopper", "grace@example.com"),
		person("Hedy Lamarr", "hedy@example.com"),
		person("Katherine Johnson", "katherine@example.com"),
	}
}

// names lists contacts as the demo compares them: sorted, name and address.
func names(list []contactsync.Contact) []string {
	lines := make([]string, 0, len(list))
	for _, c := range list {
		lines = append(lines, fmt.Sprintf("%s <%s>", c.Name, c.Email))
	}
	slices.Sort(lines)
	return lines
}
