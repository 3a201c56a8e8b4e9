package sync_test

import (
	"context"

	"contactsync"
)

// brokenDesk fails at one step, every time.
type brokenDesk struct {
	*memoryDesk
	step string
	err  error
	hit  bool
}

func (d *brokenDesk) fails(step string) error {
	if d.step != step {
		return nil
	}
	d.hit = true
	return d.err
}

func (d *brokenDesk) Organization(ctx context.Context, project int64) (contactsync.Organization, error) {
	if err := d.fails("Organization"); err != nil {
		return contactsync.Organization{}, err
	}
	return d.memoryDesk.Organization(ctx, project)
}

func (d *brokenDesk) Members(ctx context.Context, org contactsync.Organization) ([]contactsync.Member, error) {
	if err := d.fails("Members"); err != nil {
		return nil, err
	}
	return d.memoryDesk.Members(ctx, org)
}

func (d *brokenDesk) Addresses(ctx context.Context, org contactsync.Organization, members []contactsync.Member) ([]contactsync.Member, error) {
	if len(d.writes) == 0 { // afterwards it proves renames
		if err := d.fails("Addresses"); err != nil {
			return nil, err
		}
	}
	return d.memoryDesk.Addresses(ctx, org, members)
}

func (d *brokenDesk) Elsewhere(ctx context.Context, org contactsync.Organization, members []contactsync.Member) ([]contactsync.Member, error) {
	if err := d.fails("Elsewhere"); err != nil {
		return nil, err
	}
	return d.memoryDesk.Elsewhere(ctx, org, members)
}

func (d *brokenDesk) People(ctx context.Context, org contactsync.Organization, addresses []contactsync.Email) ([]contactsync.Person, error) {
	if err := d.fails("People"); err != nil {
		return nil, err
	}
	return d.memoryDesk.People(ctx, org, addresses)
}

func (d *brokenDesk) Present(ctx context.Context, org contactsync.Organization, people []string, members int) (map[string]bool, error) {
	if err := d.fails("Present"); err != nil {
		return nil, err
	}
	return d.memoryDesk.Present(ctx, org, people, members)
}
