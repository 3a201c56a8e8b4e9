package sync

import (
	"context"
	"fmt"

	"contactsync"
)

// checkLimit refuses a file that lists more contacts than an organization with a project may have.
func (p Policy) checkLimit(wanted int) error {
	if limit := p.MaxContacts; exceeds(wanted, limit) {
		return contactsync.Errorf(contactsync.ClassTooManyContacts,
			"the file lists %d contacts, and the limit for this organization is %d; nothing was changed", wanted, limit)
	}
	return nil
}

// checkLimitWith is for an organization that has a project, or is about to get one.
func (p *Pipeline) checkLimitWith(_ context.Context, _ contactsync.Organization, wanted int) error {
	return p.Policy.checkLimit(wanted)
}

// checkLimitAsIs asks the desk whether the organization has a project, where that matters.
func (p *Pipeline) checkLimitAsIs(ctx context.Context, org contactsync.Organization, wanted int) error {
	limit := p.Policy.MaxContactsWithout
	linker, ok := p.Desk.(contactsync.Linker)
	if !ok || !exceeds(wanted, limit) && !exceeds(wanted, p.Policy.MaxContacts) {
		return p.Policy.checkLimit(wanted)
	}
	project, err := linker.ProjectOf(ctx, org)
	if err != nil || project == 0 && !exceeds(wanted, limit) {
		return err
	}
	if project != 0 {
		return p.Policy.checkLimit(wanted)
	}
	return &contactsync.Error{
		Class:  contactsync.ClassTooManyContacts,
		Detail: fmt.Sprintf("the file lists %d contacts, and an organization without a project may have %d (limits.contacts_without_project)", wanted, limit),
		Remedy: fmt.Sprintf("Give the organization a project: contactsync setup --organization %s. Or shorten the list to %d.", org.ID, limit),
		Who:    contactsync.WhoOperator, Retry: contactsync.RetryNo,
	}
}

// exceeds compares with a limit, of which 0 is none.
func exceeds(count, limit int) bool { return limit > 0 && count > limit }
