package zendesk

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"contactsync"

	"golang.org/x/sync/errgroup"
)

// Present reads which of the people are members now: the people themselves, a hundred a request, or the organization
// again, whichever is fewer requests. A person's default organization proves membership of it, and having none proves
// that there is no membership; of people whose default is another one, the memberships are read where the account
// lets people have several.
func (d *Desk) Present(ctx context.Context, org contactsync.Organization, people []string, members int) (map[string]bool, error) {
	id, err := organizationID(org)
	if err != nil {
		return nil, err
	}
	users := make([]int64, 0, len(people))
	for _, text := range people {
		user, err := personID(text)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(users, user) {
			users = append(users, user)
		}
	}
	inside, err := d.present(ctx, id, users, members)
	if err != nil {
		return nil, reading(err, "which people are members of organization %d", id)
	}
	present := make(map[string]bool, len(people))
	for _, text := range people {
		user, _ := personID(text) // read above
		present[text] = inside[user]
	}
	return present, nil
}

// present is Present by numbers. members is how many the organization has, about; negative: nobody knows.
func (d *Desk) present(ctx context.Context, org int64, users []int64, members int) (map[int64]bool, error) {
	if len(users) == 0 {
		return map[int64]bool{}, nil
	}
	if members >= 0 && requestsFor(members) < requestsFor(len(users)) {
		return d.presentByOrganization(ctx, org)
	}
	read, err := d.readUsers(ctx, users, false)
	if err != nil {
		return nil, err
	}
	inside := make(map[int64]bool, len(read))
	var elsewhere []known
	for _, u := range read {
		switch {
		case !u.Active.Value, u.OrganizationID.Null, u.OrganizationID.Value == 0:
		case u.OrganizationID.Value == org:
			inside[u.ID] = true
		default:
			elsewhere = append(elsewhere, u)
		}
	}
	if len(elsewhere) == 0 {
		return inside, nil
	}
	multiple, err := d.multiple(ctx)
	if err != nil || !multiple {
		return inside, err
	}
	if members >= 0 && requestsFor(members) < len(elsewhere) {
		return d.presentByOrganization(ctx, org)
	}
	belongs := make([]bool, len(elsewhere))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, user := range elsewhere {
		group.Go(func() error {
			organizations, err := d.organizationsOf(ctx, user.ID, user.OrganizationID.Value)
			belongs[i] = slices.Contains(organizations, org)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, user := range elsewhere {
		inside[user.ID] = belongs[i]
	}
	return inside, nil
}

// requestsFor is how many requests a list of so many rows takes.
func requestsFor(n int) int { return max(1, (n+pageSize-1)/pageSize) }

func (d *Desk) presentByOrganization(ctx context.Context, org int64) (map[int64]bool, error) {
	members, err := whole(ctx, func(ctx context.Context) ([]contactsync.Member, error) { return d.members(ctx, org) })
	if err != nil {
		return nil, fmt.Errorf("reading the members: %w", err)
	}
	inside := make(map[int64]bool, len(members))
	for _, m := range members {
		user, err := strconv.ParseInt(m.ID, 10, 64)
		if err != nil {
			return nil, err
		}
		inside[user] = true
	}
	return inside, nil
}
