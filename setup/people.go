package setup

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"contactsync"
)

// invite invites the maintainers as developers, and makes sure that nobody may do more than that.
func (j *job) invite(ctx context.Context) (outcome, error) {
	if j.project.ID == 0 {
		return planned("would invite as developers: %s", list(j.maintainers)), nil
	}
	members, err := j.Forge.Members(ctx, j.project.ID)
	if err != nil {
		return outcome{}, err
	}
	waiting, err := j.Forge.Invitations(ctx, j.project.ID)
	if err != nil {
		return outcome{}, err
	}
	if err := j.rightLevels(ctx, members, waiting); err != nil {
		return outcome{}, err
	}
	missing := uninvited(j.maintainers, members, waiting)
	switch {
	case len(missing) == 0:
		return already("invited already: %s", list(j.maintainers)).with(lower(members, waiting)...), nil
	case j.dry:
		return planned("would invite as developers: %s", list(missing)), nil
	}
	results, err := j.Forge.Invite(ctx, j.project.ID, missing)
	if err != nil {
		return outcome{}, err
	}
	result, fresh, refused := sortInvited(results)
	if len(refused) > 0 {
		return result, &contactsync.Error{
			Class: contactsync.ClassGitLabRefused, Detail: "GitLab did not invite " + strings.Join(refused, "; "),
			Remedy: "Correct the addresses, or see what GitLab says against them. Then run the same command again: the others are not invited twice.",
		}
	}
	before := members
	if members, err = j.Forge.Members(ctx, j.project.ID); err != nil {
		return result, err
	}
	if waiting, err = j.Forge.Invitations(ctx, j.project.ID); err != nil {
		return result, err
	}
	if err := j.rightLevels(ctx, members, waiting); err != nil {
		return result, err
	}
	return result.with(lower(members, waiting)...), arrived(fresh, before, members, waiting)
}

// arrived makes sure that everybody who was invited is there: as an invitation, or, because GitLab adds those with an
// account at once and does not tell their addresses, as one more member.
func arrived(fresh []contactsync.Email, before, members []contactsync.ProjectMember, waiting []contactsync.Invitation) error {
	lost := uninvited(fresh, members, waiting)
	for _, m := range members {
		was := slices.ContainsFunc(before, func(old contactsync.ProjectMember) bool { return old.ID == m.ID && old.Direct })
		if m.Direct && !was && m.Level == contactsync.AccessDeveloper && !slices.Contains(fresh, m.Address) && len(lost) > 0 {
			lost = lost[1:]
		}
	}
	if len(lost) == 0 {
		return nil
	}
	return &contactsync.Error{
		Class:  contactsync.ClassGitLabRefused,
		Detail: fmt.Sprintf("GitLab says that it invited %s, and shows %d developers and invitations too few", list(fresh), len(lost)),
		Remedy: "Look at Manage → Members in the project: an administrator may have to approve. Then run the same command again: nobody is invited twice.",
	}
}

// rightLevels names everybody who may do more in the project than a developer, and maintainers who may do less. Nobody's
// level is changed silently.
func (j *job) rightLevels(ctx context.Context, members []contactsync.ProjectMember, waiting []contactsync.Invitation) error {
	if j.self == 0 {
		var err error
		if j.self, err = j.Forge.Self(ctx); err != nil {
			return err
		}
	}
	var wrong []string
	for _, m := range over(members, j.self) {
		wrong = append(wrong, memberLevel(m))
	}
	for _, m := range members {
		if m.Direct && m.Level < contactsync.AccessDeveloper && slices.Contains(j.maintainers, m.Address) {
			wrong = append(wrong, memberLevel(m))
		}
	}
	for _, i := range waiting {
		if i.Level > contactsync.AccessDeveloper || i.Level < contactsync.AccessDeveloper && slices.Contains(j.maintainers, i.Address) {
			wrong = append(wrong, invitationLevel(i))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return conflict(fmt.Sprintf("Make them developers, or take them out of the project: contactsync doctor %d --fix. Then run the same command again.", j.project.ID),
		"in project %d, other than Developer: %s", j.project.ID, strings.Join(wrong, "; "))
}

// lower names those who may do less in the project than a developer: they cannot edit the file, and may be meant to.
func lower(members []contactsync.ProjectMember, waiting []contactsync.Invitation) (lines []string) {
	for _, m := range members {
		if m.Direct && !m.Bot && m.Level < contactsync.AccessDeveloper {
			lines = append(lines, fmt.Sprintf("%s is %s, which is left so", nameOf(m), role(m.Level)))
		}
	}
	for _, i := range waiting {
		if i.Level < contactsync.AccessDeveloper {
			lines = append(lines, fmt.Sprintf("%s is invited as %s, which is left so", i.Address, role(i.Level)))
		}
	}
	return lines
}

// uninvited returns the addresses that neither an invitation nor a member is known to have.
func uninvited(addresses []contactsync.Email, members []contactsync.ProjectMember, waiting []contactsync.Invitation) (missing []contactsync.Email) {
	for _, address := range addresses {
		invited := slices.ContainsFunc(waiting, func(i contactsync.Invitation) bool { return i.Address == address }) ||
			slices.ContainsFunc(members, func(m contactsync.ProjectMember) bool { return m.Address == address })
		if !invited {
			missing = append(missing, address)
		}
	}
	return missing
}

// isMember reports whether GitLab says that somebody need not be invited. It does not tell the addresses of members, so
// this is the only way to know.
// Source: GitLab's app/models/member.rb and app/services/members/invite_service.rb.
func isMember(problem string) bool {
	problem = strings.ToLower(problem)
	for _, words := range []string{"already exists in source", "already been taken", "already a member", "already been invited"} {
		if strings.Contains(problem, words) {
			return true
		}
	}
	return false
}

// sortInvited tells those who were invited from those who did not need it and those who were refused, and why.
func sortInvited(results []contactsync.Invited) (result outcome, fresh []contactsync.Email, refused []string) {
	var known []contactsync.Email
	for _, r := range results {
		switch {
		case r.Problem == "":
			fresh = append(fresh, r.Address)
		case isMember(r.Problem):
			known = append(known, r.Address)
		default:
			refused = append(refused, fmt.Sprintf("%s: %s", r.Address, r.Problem))
		}
	}
	result.state = contactsync.StepAlready
	if len(fresh) > 0 {
		result.state = contactsync.StepDone
		result = result.with("invited as developers: " + list(fresh))
	}
	if len(known) > 0 {
		result = result.with("members or invited already: " + list(known))
	}
	return result, fresh, refused
}
