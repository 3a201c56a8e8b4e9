package zendesk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"contactsync"
	"contactsync/zendesk/internal/wire"

	"golang.org/x/sync/errgroup"
)

// lookupPauses are the waits between look-ups of people whose creation had no clear end. The search index lags by
// one to ten minutes.
const (
	firstLookup = 2 * time.Second
	lastLookup  = 30 * time.Second
)

// newUser is a person to be created. organization_id is legal here alone: on an existing user it would remove every
// other membership.
type newUser struct {
	Name           string `json:"name"`
	Email          string `json:"email"`
	Role           string `json:"role"`
	OrganizationID int64  `json:"organization_id"`
	SkipVerify     bool   `json:"skip_verify_email"` // nobody gets mail
}

type newMembership struct {
	UserID         int64 `json:"user_id"`
	OrganizationID int64 `json:"organization_id"`
}

// Add makes people members. New people are created in the organization, by jobs of a hundred where the account allows
// them; existing ones get a membership more.
//
// A creation without a clear end is not repeated: the person is looked up, in the organization and then in the
// search, for as long as Options.Patience; after that the outcome is user_not_created. A creation that the desk
// refuses because the address is in use ends in a membership when the person belongs nowhere else, and in
// contact_elsewhere or contact_protected otherwise. Of people who are named by their id, the caller has made sure of
// that (see People); with Options.AddElsewhere they are refused where the account lets nobody have two organizations,
// because they would be moved.
func (d *Desk) Add(ctx context.Context, org contactsync.Organization, additions []contactsync.Addition) ([]contactsync.Outcome, error) {
	id, err := organizationID(org)
	if err != nil {
		return nil, err
	}
	a := &adding{desk: d, org: id, items: additions, users: make([]int64, len(additions)), verdicts: map[int]verdict{}}
	var create, join []int
	for i, item := range additions {
		if item.Person == "" {
			create = append(create, i)
			continue
		}
		if a.users[i], err = personID(item.Person); err != nil {
			a.fail(i, err)
			continue
		}
		join = append(join, i)
	}
	if join, err = a.refuseMoves(ctx, join); err != nil {
		return nil, reading(err, "whether people belong to another organization than %d", id)
	}
	a.send(ctx, create, join)
	a.settleMemberships(ctx, join)
	a.settleCreations(ctx, create)

	outcomes := make([]contactsync.Outcome, len(additions))
	for i, item := range additions {
		outcomes[i] = contactsync.Outcome{Person: item.Person, Err: a.verdicts[i].reason}
		if a.users[i] != 0 {
			outcomes[i].Person = strconv.FormatInt(a.users[i], 10)
		}
	}
	return wholeCall(outcomes, fmt.Sprintf("adding members to organization %d", id))
}

// adding is one call of Add.
type adding struct {
	desk     *Desk
	org      int64
	items    []contactsync.Addition
	users    []int64 // by item, 0 until known
	verdicts map[int]verdict
}

func (a *adding) fail(i int, err error) { a.verdicts[i] = verdict{state: wire.Failed, reason: err} }
func (a *adding) done(i int, user int64) {
	a.users[i], a.verdicts[i] = user, verdict{state: wire.Done, id: user}
}

// refuseMoves takes out people whose new membership would replace another one.
func (a *adding) refuseMoves(ctx context.Context, join []int) ([]int, error) {
	if !a.desk.addElsewhere || len(join) == 0 {
		return join, nil
	}
	multiple, err := a.desk.multiple(ctx)
	if err != nil || multiple {
		return join, err
	}
	users := make([]int64, len(join))
	for n, i := range join {
		users[n] = a.users[i]
	}
	read, err := a.desk.readUsers(ctx, users, false)
	if err != nil {
		return nil, err
	}
	elsewhere := map[int64]bool{}
	for _, u := range read {
		elsewhere[u.ID] = u.person(a.org).Elsewhere == contactsync.ElsewhereYes
	}
	return slices.DeleteFunc(join, func(i int) bool {
		if elsewhere[a.users[i]] {
			a.fail(i, elsewhereError(a.items[i].Contact.Email, a.users[i]))
		}
		return elsewhere[a.users[i]]
	}), nil
}

func elsewhereError(address contactsync.Email, user int64) error {
	return contactsync.Errorf(contactsync.ClassContactElsewhere, "%s (person %d) belongs to another organization", address, user)
}

// send makes the writes: jobs and single requests side by side, all jobs followed together. Creations that a refused
// job leaves over follow one by one.
func (a *adding) send(ctx context.Context, create, join []int) {
	bulk := a.desk.bulk == BulkOn || (a.desk.bulk == BulkAuto && len(create) > singles && !a.desk.bulkRefused.Load())
	var jobs []*job
	var single []int
	if bulk {
		jobs = append(jobs, a.creationJobs(create)...)
	} else {
		single = append(single, create...)
	}
	if len(join) > singles {
		jobs = append(jobs, a.membershipJobs(join)...)
	} else {
		single = append(single, join...)
	}
	refused := a.sendAll(ctx, jobs, single)
	if len(refused) > 0 {
		a.sendAll(ctx, nil, refused)
	}
}

func (a *adding) sendAll(ctx context.Context, jobs []*job, single []int) (refused []int) {
	results := make([]verdict, len(single))
	progress := &gauge{total: len(a.items)}
	var group errgroup.Group
	group.SetLimit(parallel)
	group.Go(func() error {
		a.desk.runJobs(ctx, jobs, progress)
		return nil
	})
	for n, i := range single {
		group.Go(func() error {
			if a.users[i] == 0 {
				results[n] = a.createOne(ctx, i)
			} else {
				results[n] = a.joinOne(ctx, i)
			}
			progress.one(ctx)
			return nil
		})
	}
	_ = group.Wait() // each item keeps its own error
	for n, i := range single {
		a.take(i, results[n])
	}
	for i, v := range verdicts(jobs, contactsync.ClassSyncFailed) {
		if errors.Is(v.reason, errBulkRefused) {
			refused = append(refused, i)
			continue
		}
		a.take(i, v)
	}
	slices.Sort(refused)
	return refused
}

// take keeps a verdict. That of a creation names the new person.
func (a *adding) take(i int, v verdict) {
	if v.state == wire.Done && a.users[i] == 0 {
		a.users[i] = v.id
	}
	a.verdicts[i] = v
}

func (a *adding) newUser(i int) newUser {
	c := a.items[i].Contact
	return newUser{Name: c.Name, Email: string(c.Email), Role: "end-user", OrganizationID: a.org, SkipVerify: true}
}

func (a *adding) createOne(ctx context.Context, i int) verdict {
	var answer struct {
		User user `json:"user"`
	}
	err := a.desk.post(ctx, "/users", map[string]newUser{"user": a.newUser(i)}, &answer)
	if err == nil && (answer.User.ID == 0 || contactsync.NormalizeEmail(answer.User.Email.Value) != a.items[i].Contact.Email) {
		return verdict{reason: contactsync.Errorf(contactsync.ClassSyncFailed, "the answer to the creation is about somebody else")}
	}
	return verdictOf(answer.User.ID, err, contactsync.ClassSyncFailed)
}

func (a *adding) joinOne(ctx context.Context, i int) verdict {
	body := map[string]newMembership{"organization_membership": {UserID: a.users[i], OrganizationID: a.org}}
	err := a.desk.post(ctx, "/organization_memberships", body, &struct{}{})
	return verdictOf(a.users[i], err, contactsync.ClassSyncFailed)
}

// errBulkRefused marks creations whose job the account does not allow.
var errBulkRefused = errors.New("the account does not allow people to be created in bulk")

// creationJobs needs bulk imports, which Zendesk enables on request: https://developer.zendesk.com/api-reference/ticketing/users/users/#create-many-users
func (a *adding) creationJobs(items []int) []*job {
	var jobs []*job
	for part := range slices.Chunk(items, jobItems) {
		people := make([]newUser, len(part))
		for n, i := range part {
			people[n] = a.newUser(i)
		}
		jobs = append(jobs, &job{items: part, ids: make([]int64, len(part)), start: func(ctx context.Context) (jobStatus, error) {
			if a.desk.bulkRefused.Load() {
				return jobStatus{}, errBulkRefused
			}
			var answer jobAnswer
			err := a.desk.post(ctx, "/users/create_many", map[string][]newUser{"users": people}, &answer)
			if status(err) == http.StatusForbidden {
				a.desk.bulkRefused.Store(true)
				return jobStatus{}, errBulkRefused
			}
			return answer.JobStatus, err
		}})
	}
	return jobs
}

func (a *adding) membershipJobs(items []int) []*job {
	var jobs []*job
	for part := range slices.Chunk(items, jobItems) {
		memberships := make([]newMembership, len(part))
		for n, i := range part {
			memberships[n] = newMembership{UserID: a.users[i], OrganizationID: a.org}
		}
		jobs = append(jobs, &job{items: part, ids: make([]int64, len(part)), start: func(ctx context.Context) (jobStatus, error) {
			var answer jobAnswer
			body := map[string][]newMembership{"organization_memberships": memberships}
			err := a.desk.post(ctx, "/organization_memberships/create_many", body, &answer)
			return answer.JobStatus, err
		}})
	}
	return jobs
}

// settleMemberships reads what became of memberships that did not clearly come about. "Already a member" is a refusal
// like any other here; reading tells it from the rest. What had no clear end is sent once more to those who are no
// members: a membership exists once, so a second one cannot come of it.
func (a *adding) settleMemberships(ctx context.Context, items []int) {
	for again := true; ; again = false {
		var open []int
		var users []int64
		for _, i := range items {
			if v := a.verdicts[i]; v.state == wire.Unknown || (v.state == wire.Failed && !nothingDone(v.reason)) {
				open, users = append(open, i), append(users, a.users[i])
			}
		}
		if len(open) == 0 {
			return
		}
		inside, err := a.desk.present(ctx, a.org, users, -1)
		var unknown []int
		for _, i := range open {
			v := a.verdicts[i]
			switch {
			case err != nil && v.state == wire.Unknown:
				a.fail(i, fmt.Errorf("finding out whether the person was added: %w", unchained(err, contactsync.ClassSyncFailed)))
			case err == nil && inside[a.users[i]]:
				a.done(i, a.users[i])
			case v.state == wire.Unknown && again:
				unknown = append(unknown, i)
			case v.state == wire.Unknown:
				a.fail(i, notAdded(v.reason))
			}
		}
		if len(unknown) == 0 {
			return
		}
		a.send(ctx, nil, unknown)
		items = unknown
	}
}

func notAdded(cause error) error {
	if cause == nil {
		return contactsync.Errorf(contactsync.ClassSyncFailed, "the desk did not say what became of it, and the person is no member")
	}
	return contactsync.Errorf(contactsync.ClassSyncFailed, "the person is no member: %w", cause)
}

// settleCreations finds out about creations that did not clearly succeed: those without a clear end, and those that
// the desk refused, which may be because the person exists.
func (a *adding) settleCreations(ctx context.Context, items []int) {
	var unknown, refused []int
	for _, i := range items {
		switch v := a.verdicts[i]; {
		case v.state == wire.Unknown:
			unknown = append(unknown, i)
		case v.state == wire.Failed && !nothingDone(v.reason):
			refused = append(refused, i)
		}
	}
	if len(unknown) > 0 {
		// A creation carries its organization, and the organization's list is exact and does not lag.
		unknown = a.settleByMembers(ctx, unknown)
	}
	var join []int
	pending := append(unknown, refused...)
	pause, waited := firstLookup, time.Duration(0)
	for len(pending) > 0 {
		var joins []int
		var err error
		pending, joins, err = a.lookUp(ctx, pending)
		join = append(join, joins...)
		if err == nil {
			pending = a.worthWaiting(pending)
		}
		if len(pending) == 0 {
			break
		}
		pause = min(pause, a.desk.patience-waited)
		if err == nil && pause > 0 {
			err = a.desk.wait(ctx, pause)
		}
		if err != nil || pause <= 0 {
			a.giveUp(ctx, pending, err)
			break
		}
		waited += pause
		pause = min(2*pause, lastLookup)
	}
	if len(join) > 0 {
		a.send(ctx, nil, join)
		a.settleMemberships(ctx, join)
	}
}

// worthWaiting keeps the items whose person may yet appear: those that exist by the desk's own word, and those whose
// creation may have been under way when it was looked for. The others are decided.
func (a *adding) worthWaiting(items []int) []int {
	return slices.DeleteFunc(items, func(i int) bool {
		v := a.verdicts[i]
		if v.state == wire.Unknown && v.reason == nil {
			a.fail(i, contactsync.Errorf(contactsync.ClassUserNotCreated,
				"the desk's job said nothing clear about %s, and there is nobody with that address", a.items[i].Contact.Email))
			return true
		}
		return v.state == wire.Failed && !v.duplicate
	})
}

// settleByMembers looks for new people among the members, and returns the items that were not found.
func (a *adding) settleByMembers(ctx context.Context, items []int) []int {
	members, err := a.desk.members(ctx, a.org)
	if err != nil {
		return items // the search may still find them
	}
	ids := make(map[contactsync.Email]string, len(members))
	for _, m := range members {
		ids[m.Primary()] = m.ID
	}
	return slices.DeleteFunc(slices.Clone(items), func(i int) bool {
		id, err := personID(ids[a.items[i].Contact.Email])
		if err == nil {
			a.done(i, id)
		}
		return err == nil
	})
}

// lookUp searches for the people of the items. It returns the items whose person was not found, and those whose
// person exists and is free to join.
func (a *adding) lookUp(ctx context.Context, items []int) (missing, join []int, err error) {
	addresses := make([]contactsync.Email, len(items))
	for n, i := range items {
		addresses[n] = a.items[i].Contact.Email
	}
	found, err := a.desk.find(ctx, addresses)
	if err != nil {
		return items, nil, err
	}
	for n, i := range items {
		var matches []match
		for _, m := range found {
			if m.has(addresses[n]) {
				matches = append(matches, m)
			}
		}
		switch {
		case len(matches) == 0:
			missing = append(missing, i)
		case len(matches) > 1:
			a.fail(i, contactsync.Errorf(contactsync.ClassSyncFailed, "%d people have the address %s", len(matches), addresses[n]))
		default:
			if a.judge(ctx, i, matches[0]) {
				join = append(join, i)
			}
		}
	}
	return missing, join, nil
}

// judge decides about an item whose person exists, contrary to what was known. True: the person may join.
func (a *adding) judge(ctx context.Context, i int, m match) bool {
	p := m.personOf(a.org)
	address := a.items[i].Contact.Email
	a.users[i] = m.ID
	if m.OrganizationID.Value == a.org {
		a.done(i, m.ID)
		return false
	}
	if reason := protected(p); reason != "" {
		a.fail(i, protectedError(p, reason))
		return false
	}
	if p.Elsewhere == contactsync.ElsewhereNo {
		return true
	}
	multiple, err := a.desk.multiple(ctx)
	if err != nil {
		a.fail(i, fmt.Errorf("finding out about %s: %w", address, unchained(err, contactsync.ClassSyncFailed)))
		return false
	}
	if !multiple {
		a.fail(i, elsewhereError(address, m.ID))
		return false
	}
	inside, err := a.desk.present(ctx, a.org, []int64{m.ID}, -1)
	switch {
	case err != nil:
		a.fail(i, fmt.Errorf("finding out about %s: %w", address, unchained(err, contactsync.ClassSyncFailed)))
	case inside[m.ID]:
		a.done(i, m.ID)
	case a.desk.addElsewhere:
		return true
	default:
		a.fail(i, elsewhereError(address, m.ID))
	}
	return false
}

// giveUp ends the search for people. What was unknown is looked for among the members a last time; what was refused
// for a reason of its own keeps that reason.
func (a *adding) giveUp(ctx context.Context, items []int, cause error) {
	unknown := slices.DeleteFunc(slices.Clone(items), func(i int) bool { return a.verdicts[i].state != wire.Unknown })
	if len(unknown) > 0 && ctx.Err() == nil {
		a.settleByMembers(ctx, unknown)
	}
	for _, i := range items {
		v := a.verdicts[i]
		if v.state == wire.Done || v.state == wire.Failed && !v.duplicate {
			continue
		}
		address := a.items[i].Contact.Email
		switch {
		case cause != nil:
			named := unchained(cause, contactsync.ClassUserNotCreated)
			named.Class = contactsync.ClassUserNotCreated // whatever kept us from looking, this is what is not known
			a.fail(i, fmt.Errorf("looking for %s: %w", address, named))
		case v.duplicate:
			a.fail(i, contactsync.Errorf(contactsync.ClassUserNotCreated,
				"the desk says that %s is in use, and shows nobody who has it (%w)", address, v.reason))
		default:
			a.fail(i, contactsync.Errorf(contactsync.ClassUserNotCreated,
				"%s was not found after a creation without a clear end (%w)", address, v.reason))
		}
	}
}
