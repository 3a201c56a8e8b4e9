package zendesk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"contactsync"
	"contactsync/zendesk/internal/wire"

	"golang.org/x/sync/errgroup"
)

// Rename changes names and primary addresses. Members who are not proven to belong to this organization alone are
// refused (contact_elsewhere), and so are protected people. The former address stays with the person as a further
// one. An address that another person has fails as contact_elsewhere.
//
// One name is one request, of which Zendesk takes one a second; several names are a job. An address is added as an
// identity and then made the primary one; writing it to the user would only add it.
// https://developer.zendesk.com/api-reference/ticketing/users/user_identities/
func (d *Desk) Rename(ctx context.Context, org contactsync.Organization, renames []contactsync.Rename) ([]contactsync.Outcome, error) {
	members := make([]contactsync.Member, len(renames))
	for i, r := range renames {
		members[i] = r.Member
	}
	members, err := d.Elsewhere(ctx, org, members)
	if err != nil {
		return nil, fmt.Errorf("renaming members: %w", err)
	}
	w := &renaming{desk: d, items: renames, users: make([]int64, len(renames)), errs: make([]error, len(renames))}
	var named, addressed []int
	for i, r := range renames {
		reason := protected(r.Member.Person)
		switch w.users[i], w.errs[i] = personID(r.Member.ID); {
		case w.errs[i] != nil:
		case reason != "":
			w.errs[i] = protectedError(r.Member.Person, reason)
		case members[i].Elsewhere != contactsync.ElsewhereNo:
			w.errs[i] = elsewhereError(r.Member.Primary(), w.users[i])
		default:
			if r.Email != "" {
				addressed = append(addressed, i)
			}
			if r.Name != "" {
				named = append(named, i)
			}
		}
	}
	w.addresses(ctx, addressed)
	// A name follows the address: where that one is refused, the change is reported as one that was not made.
	w.names(ctx, slices.DeleteFunc(named, func(i int) bool { return w.errs[i] != nil }))
	outcomes := make([]contactsync.Outcome, len(renames))
	for i, r := range renames {
		outcomes[i] = contactsync.Outcome{Person: r.Member.ID, Err: w.errs[i]}
	}
	return wholeCall(outcomes, "renaming members of organization "+org.ID)
}

// renaming is one call of Rename.
type renaming struct {
	desk  *Desk
	items []contactsync.Rename
	users []int64
	errs  []error
}

type newName struct {
	ID   int64  `json:"id,omitempty"`
	Name string `json:"name"`
}

func (w *renaming) names(ctx context.Context, items []int) {
	if len(items) == 0 {
		return
	}
	all := map[int]verdict{}
	if len(items) == 1 {
		i := items[0]
		err := w.desk.put(ctx, fmt.Sprintf("/users/%d", w.users[i]), map[string]newName{"user": {Name: w.items[i].Name}}, &struct{}{})
		all[i] = verdictOf(w.users[i], err, contactsync.ClassSyncFailed)
	} else {
		jobs := w.jobs(items)
		w.desk.runJobs(ctx, jobs, &gauge{total: len(w.items)})
		all = verdicts(jobs, contactsync.ClassSyncFailed)
	}
	w.settleNames(ctx, items, all)
}

func (w *renaming) jobs(items []int) []*job {
	var jobs []*job
	for part := range slices.Chunk(items, jobItems) {
		ids := make([]int64, len(part))
		people := make([]newName, len(part))
		for n, i := range part {
			ids[n], people[n] = w.users[i], newName{ID: w.users[i], Name: w.items[i].Name}
		}
		jobs = append(jobs, &job{items: part, ids: ids, start: func(ctx context.Context) (jobStatus, error) {
			var answer jobAnswer
			err := w.desk.put(ctx, "/users/update_many", map[string][]newName{"users": people}, &answer)
			return answer.JobStatus, err
		}})
	}
	return jobs
}

// settleNames reads the people whose new name has no clear end.
func (w *renaming) settleNames(ctx context.Context, items []int, all map[int]verdict) {
	var unknown []int64
	for _, i := range items {
		if all[i].state == wire.Unknown {
			unknown = append(unknown, w.users[i])
		} else {
			w.errs[i] = all[i].reason
		}
	}
	if len(unknown) == 0 {
		return
	}
	names := map[int64]string{}
	read, err := w.desk.readUsers(ctx, unknown, false)
	for _, u := range read {
		names[u.ID] = u.Name
	}
	for _, i := range items {
		switch {
		case all[i].state != wire.Unknown:
		case err != nil:
			w.errs[i] = fmt.Errorf("finding out whether the name was changed: %w", unchained(err, contactsync.ClassSyncFailed))
		case names[w.users[i]] != w.items[i].Name:
			w.errs[i] = unchanged("name", all[i].reason)
		}
	}
}

func unchanged(what string, cause error) error {
	if cause == nil {
		return contactsync.Errorf(contactsync.ClassSyncFailed, "the %s is as it was, and the desk did not say why", what)
	}
	return contactsync.Errorf(contactsync.ClassSyncFailed, "the %s is as it was: %w", what, cause)
}

func (w *renaming) addresses(ctx context.Context, items []int) {
	var group errgroup.Group
	group.SetLimit(parallel)
	for _, i := range items {
		group.Go(func() error {
			w.errs[i] = w.address(ctx, i)
			return nil
		})
	}
	_ = group.Wait() // each item keeps its own error
}

// address makes an address the person's primary one, adding it first where the person does not have it.
func (w *renaming) address(ctx context.Context, i int) error {
	user, wanted := w.users[i], w.items[i].Email
	have, err := w.identity(ctx, user, wanted)
	if err != nil {
		return err
	}
	added := have.ID == 0
	if added {
		have, err = w.addIdentity(ctx, user, wanted)
		var f *failure
		switch {
		case err == nil, isAmbiguous(err): // which of the two, reading tells
		case errors.As(err, &f) && (f.Duplicate || f.Status == http.StatusUnprocessableEntity && w.taken(ctx, user, wanted)):
			return contactsync.Errorf(contactsync.ClassContactElsewhere, "the address %s belongs to another person at the desk", wanted)
		default:
			return classed(err, contactsync.ClassSyncFailed)
		}
		if have.ID == 0 {
			if have, err = w.identity(ctx, user, wanted); err != nil {
				return unchained(err, contactsync.ClassSyncFailed)
			}
		}
		if have.ID == 0 {
			return unchanged("address", nil)
		}
	}
	if have.Primary {
		return nil
	}
	path := fmt.Sprintf("/users/%d/identities/%d/make_primary", user, have.ID)
	err = w.desk.bare(ctx, http.MethodPut, path, nil, &struct{}{})
	switch {
	case err == nil:
		return nil
	case !isAmbiguous(err) && added:
		return unchained(err, contactsync.ClassSyncFailed) // something was done, so this is no refusal at the door
	case !isAmbiguous(err):
		return classed(err, contactsync.ClassSyncFailed)
	}
	cause := err
	if have, err = w.identity(ctx, user, wanted); err != nil {
		return unchained(err, contactsync.ClassSyncFailed)
	}
	if !have.Primary {
		return unchanged("address", cause)
	}
	return nil
}

// identity returns the person's identity with that address; the zero identity where there is none.
func (w *renaming) identity(ctx context.Context, user int64, address contactsync.Email) (identity, error) {
	list, err := w.desk.identities(ctx, user)
	if err != nil {
		return identity{}, fmt.Errorf("reading the addresses of person %d: %w", user, classed(err, contactsync.ClassSyncFailed))
	}
	for _, i := range list {
		if i.Type == "email" && contactsync.NormalizeEmail(i.Value) == address {
			return i, nil
		}
	}
	return identity{}, nil
}

// addIdentity returns the new identity; the zero identity where the answer does not show it.
func (w *renaming) addIdentity(ctx context.Context, user int64, address contactsync.Email) (identity, error) {
	body := map[string]any{"identity": map[string]any{
		"type": "email", "value": string(address), "verified": true, "skip_verify_email": true,
	}}
	var answer struct {
		Identity identity `json:"identity"`
	}
	err := w.desk.post(ctx, fmt.Sprintf("/users/%d/identities", user), body, &answer)
	if err != nil || contactsync.NormalizeEmail(answer.Identity.Value) != address {
		return identity{}, err
	}
	return answer.Identity, nil
}

// taken looks whether somebody else has the address. The desk's words about it may be in any language.
func (w *renaming) taken(ctx context.Context, user int64, address contactsync.Email) bool {
	found, err := w.desk.find(ctx, []contactsync.Email{address})
	return err == nil && slices.ContainsFunc(found, func(m match) bool { return m.ID != user && m.has(address) })
}
