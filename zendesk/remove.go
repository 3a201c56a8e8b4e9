package zendesk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"contactsync"
	"contactsync/zendesk/internal/wire"

	"golang.org/x/sync/errgroup"
)

// singles is up to how many items single requests are used for what a job could do: a job takes two requests.
const singles = 3

// Remove detaches members by deleting their memberships, one by one or by jobs of a hundred. Whatever has no clear
// end is read, and sent once more to those who are still members: deleting a membership twice does nothing.
//
// Zendesk then takes the organization off the person's open tickets, and does not put it back when the person is
// added again: https://developer.zendesk.com/api-reference/ticketing/organizations/organization_memberships/#delete-membership
func (d *Desk) Remove(ctx context.Context, org contactsync.Organization, members []contactsync.Member) ([]contactsync.Outcome, error) {
	id, err := organizationID(org)
	if err != nil {
		return nil, err
	}
	r := removal{desk: d, org: id, users: make([]int64, len(members)), memberships: make([]int64, len(members)),
		verdicts: map[int]verdict{}, total: len(members)}
	var todo []int
	for i, m := range members {
		if r.users[i], err = personID(m.ID); err != nil {
			r.verdicts[i] = verdict{state: wire.Failed, reason: err}
			continue
		}
		if reason := protected(m.Person); reason != "" {
			r.verdicts[i] = verdict{state: wire.Failed, reason: protectedError(m.Person, reason)}
			continue
		}
		// A membership that is not known by its id is deleted by the pair of user and organization.
		r.memberships[i], _ = strconv.ParseInt(m.Membership, 10, 64)
		todo = append(todo, i)
	}
	r.send(ctx, todo)
	r.settle(ctx, todo)
	outcomes := make([]contactsync.Outcome, len(members))
	for i, m := range members {
		outcomes[i] = contactsync.Outcome{Person: m.ID, Err: r.verdicts[i].reason}
	}
	return wholeCall(outcomes, fmt.Sprintf("removing members of organization %d", id))
}

// removal is one call of Remove.
type removal struct {
	desk        *Desk
	org         int64
	users       []int64
	memberships []int64
	verdicts    map[int]verdict
	total       int
}

func (r *removal) send(ctx context.Context, items []int) {
	var one, many []int
	for _, i := range items {
		if r.memberships[i] == 0 || len(items) <= singles {
			one = append(one, i)
		} else {
			many = append(many, i)
		}
	}
	errs := make([]error, len(one))
	progress := &gauge{total: r.total}
	var group errgroup.Group
	group.SetLimit(parallel)
	for n, i := range one {
		group.Go(func() error {
			errs[n] = r.deleteOne(ctx, i)
			progress.one(ctx)
			return nil
		})
	}
	jobs := r.jobs(many)
	group.Go(func() error {
		r.desk.runJobs(ctx, jobs, progress)
		return nil
	})
	_ = group.Wait() // each item keeps its own error
	for n, i := range one {
		r.verdicts[i] = verdictOf(0, errs[n], contactsync.ClassRemovalFailed)
	}
	for i, v := range verdicts(jobs, contactsync.ClassRemovalFailed) {
		r.verdicts[i] = v
	}
}

func (r *removal) deleteOne(ctx context.Context, i int) error {
	path := fmt.Sprintf("/organization_memberships/%d", r.memberships[i])
	if r.memberships[i] == 0 {
		path = fmt.Sprintf("/users/%d/organizations/%d", r.users[i], r.org)
	}
	err := r.desk.bare(ctx, http.MethodDelete, path, nil, nil)
	var f *failure
	if errors.As(err, &f) && f.Status == http.StatusNotFound && f.Code != "InvalidEndpoint" {
		return nil // gone already
	}
	return err
}

func (r *removal) jobs(items []int) []*job {
	var jobs []*job
	for part := range slices.Chunk(items, jobItems) {
		ids := make([]int64, len(part))
		for n, i := range part {
			ids[n] = r.memberships[i]
		}
		jobs = append(jobs, &job{items: part, ids: ids, start: func(ctx context.Context) (jobStatus, error) {
			var answer jobAnswer
			err := r.desk.bare(ctx, http.MethodDelete, "/organization_memberships/destroy_many", url.Values{"ids": {joinIDs(ids)}}, &answer)
			return answer.JobStatus, err
		}})
	}
	return jobs
}

// settle reads what became of the items that did not clearly succeed.
func (r *removal) settle(ctx context.Context, items []int) {
	for again := true; ; again = false {
		var open []int
		var users []int64
		for _, i := range items {
			if v := r.verdicts[i]; v.state == wire.Unknown || (v.state == wire.Failed && !nothingDone(v.reason)) {
				open, users = append(open, i), append(users, r.users[i])
			}
		}
		if len(open) == 0 {
			return
		}
		inside, err := r.desk.present(ctx, r.org, users, -1)
		var unknown []int
		for _, i := range open {
			v := r.verdicts[i]
			switch {
			case err != nil && v.state == wire.Unknown:
				r.verdicts[i] = verdict{state: wire.Failed, reason: fmt.Errorf("finding out whether the person was detached: %w",
					unchained(err, contactsync.ClassRemovalFailed))}
			case err == nil && !inside[r.users[i]]:
				r.verdicts[i] = verdict{state: wire.Done}
			case v.state == wire.Unknown && again:
				unknown = append(unknown, i)
			case v.state == wire.Unknown:
				r.verdicts[i] = verdict{state: wire.Failed, reason: stillThere(v.reason)}
			}
		}
		if len(unknown) == 0 {
			return
		}
		r.send(ctx, unknown)
		items = unknown
	}
}

func stillThere(cause error) error {
	if cause == nil {
		return contactsync.Errorf(contactsync.ClassRemovalFailed, "the desk did not say what became of it, and the person is a member still")
	}
	return contactsync.Errorf(contactsync.ClassRemovalFailed, "the person is a member still: %w", cause)
}

func protectedError(p contactsync.Person, reason string) error {
	return contactsync.Errorf(contactsync.ClassContactProtected, "%s (person %s) is %s at the desk", p.Primary(), p.ID, reason)
}

// wholeCall turns outcomes into an error of the call when the desk was not even asked about a single item.
func wholeCall(outcomes []contactsync.Outcome, doing string) ([]contactsync.Outcome, error) {
	var first error
	for _, o := range outcomes {
		if o.Err == nil || !nothingDone(o.Err) {
			return outcomes, nil
		}
		if first == nil {
			first = o.Err
		}
	}
	if first == nil {
		return outcomes, nil
	}
	return nil, fmt.Errorf("%s: %w", doing, first)
}
