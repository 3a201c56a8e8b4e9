package setup

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"contactsync"
	"contactsync/contacts"
)

// associate makes those of the maintainers contacts who are none, under the rules of a sync.
func (j *job) associate(ctx context.Context) (outcome, error) {
	if limit := j.Policy.Maintainers; limit > 0 && len(j.maintainers) > limit {
		return outcome{}, contactsync.Errorf(contactsync.ClassTooManyContacts,
			"%d maintainers are named, and a project may have %d (limits.maintainers)", len(j.maintainers), limit)
	}
	var err error
	if j.exported, err = j.Syncer.Export(ctx, j.org().ID); err != nil {
		return outcome{}, err
	}
	if count, limit := len(j.exported.People()), j.Policy.ContactsWith; beyondLimit(count, limit) {
		return outcome{}, contactsync.Errorf(contactsync.ClassTooManyContacts,
			"organization %s has %d contacts, and one with a project may have %d (limits.contacts_with_project)",
			j.org().ID, count, limit)
	}
	var missing []contactsync.Contact
	for _, address := range j.maintainers {
		at := slices.IndexFunc(j.exported.Members, func(m contactsync.Member) bool { return m.Has(address) })
		switch {
		case at < 0:
			missing = append(missing, contactsync.Contact{Name: string(address), Email: address})
		case j.exported.Members[at].Role != contactsync.RoleContact:
			return outcome{}, contactsync.Errorf(contactsync.ClassContactProtected,
				"%s is no contact of the organization, but an %s at the desk", address, j.exported.Members[at].Role)
		}
	}
	all := fmt.Sprintf("contacts already: %s", list(j.maintainers))
	switch {
	case len(missing) == 0:
		return already("%s", all), nil
	case j.dry:
		return planned("would be made contacts, unless they are by another address: %s", list(addresses(missing))), j.refuses(ctx, missing)
	}
	run := j.Syncer.Associate(ctx, j.org().ID, missing)
	if err := associated(run); err != nil {
		return outcome{}, err
	}
	if run.Status == contactsync.StatusUnchanged {
		return already("%s", all), nil
	}
	// What was exported above is not true any more.
	if j.exported, err = j.Syncer.Export(ctx, j.org().ID); err != nil {
		return outcome{}, err
	}
	return done("made contacts: %s (run %s)", list(changed(run)), run.ID), nil
}

// refuses is the error of making contacts of those whom the rules of a sync do not let in.
func (j *job) refuses(ctx context.Context, missing []contactsync.Contact) error {
	content, err := contacts.Render(contacts.File{Contacts: append(slices.Clone(j.exported.Contacts), missing...)})
	if err != nil {
		return err
	}
	run := j.Syncer.PlanFile(ctx, content, j.org().ID)
	if run.Error != nil {
		return failed(run.Error)
	}
	for _, conflicting := range run.Conflicts {
		// By another address of a member, somebody is listed twice here, and is a contact already.
		if conflicting.Error != contactsync.ClassContactDuplicate && slices.Contains(addresses(missing), conflicting.Email) {
			return noContact(conflicting)
		}
	}
	return nil
}

func noContact(c contactsync.Conflict) error {
	return contactsync.Errorf(c.Error, "%s cannot be a contact of the organization: %s", c.Email, c.Detail)
}

// associated is nil for a run that made everybody a contact.
func associated(run contactsync.Run) error {
	if run.Error != nil {
		return failed(run.Error)
	}
	for _, conflicting := range run.Conflicts {
		return noContact(conflicting)
	}
	for _, change := range run.Changes {
		if change.Result == contactsync.ResultHeld || change.Result == contactsync.ResultFailed {
			class := change.Error
			if class == "" {
				class = contactsync.ClassSyncFailed
			}
			return contactsync.Errorf(class, "%s was not made a contact: %s", change.Email, change.Detail)
		}
	}
	return nil
}

func addresses(list []contactsync.Contact) (all []contactsync.Email) {
	for _, c := range list {
		all = append(all, c.Email)
	}
	return all
}

func changed(run contactsync.Run) (all []contactsync.Email) {
	for _, change := range run.Changes {
		if change.Result == contactsync.ResultDone {
			all = append(all, change.Email)
		}
	}
	return all
}

func list(addresses []contactsync.Email) string {
	texts := make([]string, len(addresses))
	for i, address := range addresses {
		texts[i] = string(address)
	}
	return strings.Join(texts, ", ")
}
