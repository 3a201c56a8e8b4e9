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
	if err := j.nobodyAbove(ctx, members, waiting); err != nil {
		return outcome{}, err
	}
	missing := uninvited(j.maintainers, members, waiting)
	switch {
	case len(missing) == 0:
		return already("invited already: %s", list(j.maintainers)), nil
	case j.dry:
		return planned("would invite as developers: %s", list(missing)), nil
	}
	results, err := j.Forge.Invite(ctx, j.project.ID, missing)
	if err != nil {
		return outcome{}, err
	}
	result, refused := sortInvited(results)
	if len(refused) > 0 {
		return outcome{}, &contactsync.Error{
			Class: contactsync.ClassGitLabRefused, Detail: "GitLab did not invite " + strings.Join(refused, "; "),
			Remedy: "Correct the addresses, or see what GitLab says against them. Then run the same command again: the others are not invited twice.",
		}
	}
	// Somebody with an account was added at once, perhaps with more than was asked for.
	if members, err = j.Forge.Members(ctx, j.project.ID); err != nil {
		return outcome{}, err
	}
	if waiting, err = j.Forge.Invitations(ctx, j.project.ID); err != nil {
		return outcome{}, err
	}
	return result, j.nobodyAbove(ctx, members, waiting)
}

// nobodyAbove names everybody who may do more in the project than a developer.
func (j *job) nobodyAbove(ctx context.Context, members []contactsync.ProjectMember, waiting []contactsync.Invitation) error {
	if j.self == 0 {
		var err error
		if j.self, err = j.Forge.Self(ctx); err != nil {
			return err
		}
	}
	var above []string
	for _, m := range over(members, j.self) {
		above = append(above, memberAbove(m))
	}
	for _, i := range overInvited(waiting) {
		above = append(above, invitationAbove(i))
	}
	if len(above) == 0 {
		return nil
	}
	return conflict(fmt.Sprintf("Make them developers, or take them out of the project: contactsync doctor %d --fix. Then run the same command again.", j.project.ID),
		"in project %d, more than Developer: %s", j.project.ID, strings.Join(above, "; "))
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

// sortInvited tells those who were invited from those who did not need it, and returns who was refused, and why.
func sortInvited(results []contactsync.Invited) (result outcome, refused []string) {
	var fresh, known []contactsync.Email
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
	return result, refused
}
