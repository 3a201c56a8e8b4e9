package zendesk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"contactsync"
)

const (
	// countExports bounds the pages of people that are exported in a minute, of the exportsAMinute in all: whoever looks
	// for an organization meanwhile finds one free.
	countExports = exportsAMinute - 2
	// membershipWalk bounds the pages of all memberships: no account has ten million of them.
	membershipWalk = 100_000
	// lateKept bounds the people of whom it is remembered that they changed while everybody was read.
	lateKept = 200_000
)

// MemberCounts returns how many contacts each organization has: active end users, suspended ones too, by their only
// organization, from an export of everybody, a thousand a request and six requests a minute.
//
// Where the account lets people belong to several organizations, or refuses the export, all memberships are read
// instead, a hundred a request. Memberships have no role: agents who belong to an organization are counted then.
// https://developer.zendesk.com/api-reference/ticketing/ticket-management/incremental_exports/#incremental-user-export-cursor-based
func (d *Desk) MemberCounts(ctx context.Context) (map[string]int, error) {
	counts, err := d.memberCounts(ctx)
	if err != nil {
		return nil, reading(err, "how many contacts the organizations have")
	}
	told := make(map[string]int, len(counts))
	for organization, n := range counts {
		told[strconv.FormatInt(organization, 10)] = n
	}
	return told, nil
}

// memberCounts is MemberCounts by numbers.
func (d *Desk) memberCounts(ctx context.Context) (map[int64]int, error) {
	multiple, err := d.multiple(ctx)
	if err != nil {
		return nil, err
	}
	if !multiple {
		counts := newCounting(d.now())
		if err := d.countUsers(ctx, counts); !errors.Is(err, errNoExport) {
			return counts.of, err
		}
	}
	return d.countMemberships(ctx)
}

// counting is how many contacts were seen of each organization. Whoever changes during the reading, which takes hours in
// a large account, comes again at its end, and must count once. Only those who changed since it began can come again, so
// they alone are kept by id until the end; of the others eight bytes each, to know then who was counted before.
type counting struct {
	of      map[int64]int
	began   time.Time
	counted [][]int64       // by page
	late    map[int64]int64 // organization of those who changed since, 0 for no contact
}

func newCounting(began time.Time) *counting {
	// The desk's clock may be a little behind.
	return &counting{of: map[int64]int{}, began: began.Add(-exportOverlap), late: map[int64]int64{}}
}

// users takes in a page of the export.
func (c *counting) users(list []user) error {
	var counted []int64
	for _, u := range list {
		if !u.Role.Given || !u.Active.Given || !u.OrganizationID.Given {
			return unreadable("the export of people leaves out what counting takes")
		}
		organization := u.OrganizationID.Value
		if !u.Active.Value || u.role() != contactsync.RoleContact {
			organization = 0
		}
		_, again := c.late[u.ID]
		switch {
		case again, c.isLate(u) && len(c.late) < lateKept:
			c.late[u.ID] = organization
		case organization != 0:
			c.of[organization]++
			counted = append(counted, u.ID)
		}
	}
	c.counted = append(c.counted, slices.Clip(counted))
	return nil
}

// isLate says whether the person may have changed since the reading began.
func (c *counting) isLate(u user) bool {
	changed, err := time.Parse(time.RFC3339, u.UpdatedAt)
	return err != nil || !changed.Before(c.began)
}

// settle counts those who changed during the reading and had not been counted before.
func (c *counting) settle() {
	for _, page := range c.counted {
		for _, id := range page {
			delete(c.late, id)
		}
	}
	for _, organization := range c.late {
		if organization != 0 {
			c.of[organization]++
		}
	}
}

// countUsers counts by an export of everybody. The export leaves out who changed in the last minute, so its end is read
// again a minute later. Errors: errNoExport, also for an export with nobody in it.
func (d *Desk) countUsers(ctx context.Context, counts *counting) error {
	cursor, early, err := d.exportUsers(ctx, "", counts)
	if err != nil {
		return err
	}
	if err := d.wait(ctx, exportLag); err != nil {
		return err
	}
	_, late, err := d.exportUsers(ctx, cursor, counts)
	if err == nil && early+late == 0 {
		err = errNoExport
	}
	counts.settle()
	return err
}

// exportUsers counts the people behind a cursor, or all of them, and returns the cursor behind the last.
func (d *Desk) exportUsers(ctx context.Context, cursor string, counts *counting) (last string, rows int, err error) {
	asked := map[string]bool{cursor: true}
	for range exportPages {
		var answer struct {
			page
			AfterCursor *string `json:"after_cursor"`
			EndOfStream *bool   `json:"end_of_stream"`
		}
		if err := d.paceCounting(ctx); err != nil {
			return "", 0, err
		}
		query := url.Values{"start_time": {"0"}, "per_page": {strconv.Itoa(exportPage)}}
		if cursor != "" {
			query = url.Values{"cursor": {cursor}, "per_page": {strconv.Itoa(exportPage)}}
		}
		err := d.get(ctx, "/incremental/users/cursor", query, &answer)
		if status(err) == http.StatusForbidden {
			return "", 0, errNoExport
		}
		if err != nil {
			return "", 0, fmt.Errorf("reading the export of people: %w", err)
		}
		if answer.Users == nil || answer.EndOfStream == nil {
			return "", 0, unreadable("the export of people lacks its rows, or does not say whether it ends")
		}
		if _, err := distinct([]*page{&answer.page}, userRows); err != nil {
			return "", 0, err
		}
		if err := counts.users(answer.Users); err != nil {
			return "", 0, err
		}
		found := len(answer.Users)
		rows += found
		contactsync.ReportProgress(ctx, rows, 0)
		if found == 0 { // it proves nothing about the cursor that it names
			if !*answer.EndOfStream {
				return "", 0, unreadable("an empty page of the export of people is followed by others")
			}
			return cursor, rows, nil
		}
		if answer.AfterCursor == nil || *answer.AfterCursor == "" || asked[*answer.AfterCursor] {
			return "", 0, unreadable("a cursor of the export of people is missing or was seen before")
		}
		cursor = *answer.AfterCursor
		asked[cursor] = true
		if *answer.EndOfStream && found < exportPage { // a full page that is said to be the last is not believed
			return cursor, rows, nil
		}
	}
	return "", 0, unreadable("the export of people does not end")
}

// countMemberships counts by all memberships there are: by pages side by side, which must come to what the first one
// says, and by cursors beyond what offsets reach.
func (d *Desk) countMemberships(ctx context.Context) (map[int64]int, error) {
	const path = "/organization_memberships"
	return whole(ctx, func(ctx context.Context) (map[int64]int, error) {
		counts := map[int64]int{}
		first, err := d.page(ctx, path, nil, membershipRows, "page", "1")
		if err != nil {
			return nil, err
		}
		if first.Count == nil || *first.Count > offsetDepth {
			return counts, d.walkMemberships(ctx, path, counts)
		}
		if *first.Count == 0 { // nothing else proves that there is nobody
			if first, err = d.page(ctx, path, nil, membershipRows, "page", "1"); err != nil {
				return nil, err
			}
		}
		pages, _, err := d.rest(ctx, path, nil, membershipRows, first)
		if err != nil {
			return nil, err
		}
		for _, p := range pages {
			if err := countPage(counts, p); err != nil {
				return nil, err
			}
		}
		return counts, nil
	})
}

func countPage(counts map[int64]int, p *page) error {
	for _, m := range p.Memberships {
		if m.OrganizationID <= 0 {
			return unreadable("membership %d has no organization", m.ID)
		}
		counts[m.OrganizationID]++
	}
	return nil
}

// walkMemberships follows the cursors and keeps one page. No count proves the end, so a page that is full or empty and
// said to be the last is not believed before what follows it was asked for.
func (d *Desk) walkMemberships(ctx context.Context, path string, counts map[int64]int) error {
	after, done, doubted := "", 0, false
	asked := map[string]bool{}
	last := &page{}
	for range membershipWalk {
		arguments := []string{"page[size]", strconv.Itoa(pageSize)}
		if after != "" {
			arguments = append(arguments, "page[after]", after)
		}
		p, err := d.page(ctx, path, nil, membershipRows, arguments...)
		if err == nil {
			_, err = distinct([]*page{last, p}, membershipRows)
		}
		if err == nil {
			err = countPage(counts, p)
		}
		if err != nil {
			return err
		}
		last = p
		found := len(p.Memberships)
		done += found
		contactsync.ReportProgress(ctx, done, 0)
		switch {
		case p.Meta == nil:
			return inconsistent("the answer says nothing about further pages")
		case found == 0 && p.Meta.HasMore:
			return inconsistent("an empty page is followed by others")
		case found == 0 && doubted, found > 0 && found < pageSize && !p.Meta.HasMore:
			return nil
		case found == 0:
			doubted = true // asked for again, by the same cursor
			continue
		case p.Meta.AfterCursor == "" || asked[p.Meta.AfterCursor]:
			return inconsistent("a page's cursor is missing or was seen before")
		}
		doubted = !p.Meta.HasMore
		after = p.Meta.AfterCursor
		asked[after] = true
	}
	return unreadable("the list of memberships does not end after %d pages", membershipWalk)
}

// paceCounting waits until another page of people may be asked for, and lets others read in bulk meanwhile.
func (d *Desk) paceCounting(ctx context.Context) error {
	for {
		if err := d.index.lock(ctx); err != nil {
			return err
		}
		pause := d.index.slot(d.now(), countExports)
		d.index.unlock()
		if pause <= 0 {
			return nil
		}
		if err := d.wait(ctx, pause); err != nil {
			return err
		}
	}
}
