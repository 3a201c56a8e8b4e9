package zendesk

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"unicode"

	"contactsync"

	"golang.org/x/sync/errgroup"
)

const (
	// queryWords is how many words of addresses a search query takes. Zendesk allows 64 words a query and does not
	// say how an address counts: we count each of its alphanumeric parts, and keep a few back for the rest.
	queryWords = 60
	// queryAddresses bounds a query's length, which is a web address in the end.
	queryAddresses = 25
)

// People returns the people who have any of the addresses, compared exactly with every address of theirs. A person
// who was found by the primary address comes with that one alone, and Complete unset.
//
// Zendesk has no batch look-up by address. Its search knows OR by repeating a keyword, also hits prefixes, and lags
// by minutes: https://support.zendesk.com/hc/en-us/articles/4408886879258
func (d *Desk) People(ctx context.Context, org contactsync.Organization, addresses []contactsync.Email) ([]contactsync.Person, error) {
	id, err := organizationID(org)
	if err != nil {
		return nil, err
	}
	found, err := d.find(ctx, addresses)
	if err != nil {
		return nil, reading(err, "people by their addresses")
	}
	// Whoever asks knows the members already, so a hit that names this organization is either one of them, by another
	// address, or a document of the index from before the person was detached: the record itself decides.
	if found, err = d.refresh(ctx, id, found); err != nil {
		return nil, reading(err, "people by their addresses")
	}
	people := make([]contactsync.Person, len(found))
	for i, f := range found {
		people[i] = f.personOf(id)
	}
	return people, nil
}

// refresh reads those of the users again whom the search places in the organization.
func (d *Desk) refresh(ctx context.Context, org int64, found []match) ([]match, error) {
	var doubtful []int64
	for _, m := range found {
		if !m.complete && m.OrganizationID.Value == org {
			doubtful = append(doubtful, m.ID)
		}
	}
	if len(doubtful) == 0 {
		return found, nil
	}
	read, err := d.readUsers(ctx, doubtful, true)
	if err != nil {
		return nil, err
	}
	fresh := make(map[int64]known, len(read))
	for _, u := range read {
		fresh[u.ID] = u
	}
	refreshed := slices.DeleteFunc(slices.Clone(found), func(m match) bool {
		u, ok := fresh[m.ID]
		return slices.Contains(doubtful, m.ID) && (!ok || !u.Active.Value)
	})
	for i, m := range refreshed {
		if u, ok := fresh[m.ID]; ok {
			refreshed[i] = match{known: u, complete: true}
		}
	}
	return refreshed, nil
}

// match is a user found by an address.
type match struct {
	known
	complete bool // addresses are all of the user's
}

func (m match) personOf(org int64) contactsync.Person {
	p := m.person(org)
	p.Addresses, p.Complete = m.addresses, m.complete
	return p
}

func (m match) has(address contactsync.Email) bool { return slices.Contains(m.addresses, address) }

// find returns the users who have any of the addresses, in the order of their ids.
func (d *Desk) find(ctx context.Context, addresses []contactsync.Email) ([]match, error) {
	wanted := make(map[contactsync.Email]bool, len(addresses))
	var asked []contactsync.Email
	for _, a := range addresses {
		a = contactsync.NormalizeEmail(string(a))
		if a != "" && !wanted[a] {
			wanted[a] = true
			asked = append(asked, a)
		}
	}
	hits, err := d.search(ctx, asked)
	if err != nil {
		return nil, err
	}
	var matches []match
	var doubtful []int64 // found by something else than the primary address, perhaps by a prefix of it
	for _, u := range hits {
		if !u.told() {
			return nil, unreadable("the search leaves out what decisions need of user %d", u.ID)
		}
		if !u.Active.Value {
			continue
		}
		if primary := u.person(0).Primary(); wanted[primary] {
			matches = append(matches, match{known: known{user: u, addresses: []contactsync.Email{primary}}})
			continue
		}
		doubtful = append(doubtful, u.ID)
	}
	read, err := whole(ctx, func(ctx context.Context) ([]known, error) { return d.readUsers(ctx, doubtful, true) })
	if err != nil {
		return nil, err
	}
	for _, u := range read {
		if u.Active.Value && slices.ContainsFunc(u.addresses, func(a contactsync.Email) bool { return wanted[a] }) {
			matches = append(matches, match{known: u, complete: true})
		}
	}
	slices.SortFunc(matches, func(a, b match) int { return cmp.Compare(a.ID, b.ID) })
	return matches, nil
}

// search asks for all addresses, as many a query as it takes, side by side, and returns every hit once.
func (d *Desk) search(ctx context.Context, addresses []contactsync.Email) ([]user, error) {
	var mu sync.Mutex
	hits := map[int64]user{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, part := range pack(addresses, int(d.words.Load())) {
		group.Go(func() error {
			users, err := d.searchPart(ctx, part)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for _, u := range users {
				hits[u.ID] = u
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	users := make([]user, 0, len(hits))
	for _, u := range hits {
		users = append(users, u)
	}
	slices.SortFunc(users, func(a, b user) int { return cmp.Compare(a.ID, b.ID) })
	return users, nil
}

// searchPart asks one query. When the account refuses it as too long, halves are asked, and the size is remembered.
func (d *Desk) searchPart(ctx context.Context, addresses []contactsync.Email) ([]user, error) {
	var query strings.Builder
	query.WriteString("type:user")
	for _, a := range addresses {
		fmt.Fprintf(&query, " email:%s", a)
	}
	pages, err := whole(ctx, func(ctx context.Context) ([]*page, error) {
		pages, _, err := d.list(ctx, "/users/search", url.Values{"query": {query.String()}}, userRows)
		return pages, err
	})
	if refused := status(err); len(addresses) > 1 && (refused == http.StatusUnprocessableEntity || refused == http.StatusBadRequest) {
		half := len(addresses) / 2
		d.words.Store(min(d.words.Load(), int64(words(addresses[:half]))))
		var all []user
		for _, part := range [][]contactsync.Email{addresses[:half], addresses[half:]} {
			users, err := d.searchPart(ctx, part)
			if err != nil {
				return nil, err
			}
			all = append(all, users...)
		}
		return all, nil
	}
	if err != nil {
		return nil, fmt.Errorf("searching for %d addresses: %w", len(addresses), err)
	}
	var users []user
	for _, p := range pages {
		users = append(users, p.Users...)
	}
	return users, nil
}

// pack splits addresses into queries of at most so many words, with at least one address each.
func pack(addresses []contactsync.Email, limit int) [][]contactsync.Email {
	var parts [][]contactsync.Email
	used := 0
	for _, a := range addresses {
		n := words([]contactsync.Email{a})
		last := len(parts) - 1
		if last < 0 || used+n > limit || len(parts[last]) >= queryAddresses {
			parts, used = append(parts, nil), 0
			last++
		}
		parts[last] = append(parts[last], a)
		used += n
	}
	return parts
}

// words counts the alphanumeric parts of addresses: ada.l@example.com has four.
func words(addresses []contactsync.Email) int {
	n := 0
	for _, a := range addresses {
		n += len(strings.FieldsFunc(string(a), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }))
	}
	return n
}
