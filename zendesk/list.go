package zendesk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strconv"
	"sync/atomic"

	"contactsync"

	"golang.org/x/sync/errgroup"
)

const (
	pageSize = 100
	// offsetDepth is how many rows offset paging reaches; Zendesk refuses deeper pages (InvalidPaginationDepth).
	offsetDepth = 10000
	// cursorPages bounds a cursor walk: a list longer than this is broken, not long.
	cursorPages = 10000
)

// page is one answer of any list: the rows that were asked for, and what is said about the rest.
type page struct {
	Memberships   []membership   `json:"organization_memberships"`
	Users         []user         `json:"users"`
	Organizations []organization `json:"organizations"`
	Results       []organization `json:"results"`
	Identities    []identity     `json:"identities"`

	Count    *int    `json:"count"`
	NextPage *string `json:"next_page"`
	Meta     *struct {
		HasMore     bool   `json:"has_more"`
		AfterCursor string `json:"after_cursor"`
	} `json:"meta"`
}

// rows returns how many of the rows that a list is about the page has; -1: it has no such list at all.
type rows func(*page) int

func length[T any](list []T) int {
	if list == nil {
		return -1
	}
	return len(list)
}

func membershipRows(p *page) int   { return length(p.Memberships) }
func userRows(p *page) int         { return length(p.Users) }
func organizationRows(p *page) int { return length(p.Organizations) }
func identityRows(p *page) int     { return length(p.Identities) }
func resultRows(p *page) int       { return length(p.Results) }

// errInconsistent marks answers that contradict each other. One clean reading more is allowed, because somebody may
// have changed the list meanwhile.
var errInconsistent = errors.New("the pages contradict each other")

func inconsistent(format string, args ...any) error {
	return unreadable("%s: %w", fmt.Sprintf(format, args...), errInconsistent)
}

// whole calls read, and once more when it finds what may come from a change in between.
func whole[T any](ctx context.Context, read func(context.Context) (T, error)) (T, error) {
	value, err := read(ctx)
	if errors.Is(err, errInconsistent) {
		value, err = read(ctx)
	}
	return value, err
}

// list reads all pages of a list: the first by offset, whose count tells the others, and those side by side; by
// cursors where the answer gives no count or the list is deeper than offsets reach. The pages of a list that is not
// all there are never returned: the error is then desk_unreadable. counted is false when nothing said how long the
// list is.
func (d *Desk) list(ctx context.Context, path string, query url.Values, count rows) (pages []*page, counted bool, err error) {
	first, err := d.page(ctx, path, query, count, "page", "1")
	if err != nil {
		return nil, false, err
	}
	return d.rest(ctx, path, query, count, first)
}

// rest completes a list whose first page is there.
func (d *Desk) rest(ctx context.Context, path string, query url.Values, count rows, first *page) (pages []*page, counted bool, err error) {
	if first.Count == nil {
		pages, err = d.walk(ctx, path, query, count, first)
		return pages, false, err
	}
	total := *first.Count
	if total > offsetDepth {
		pages, err = d.walk(ctx, path, query, count, nil)
		if err == nil && sum(pages, count) != total {
			err = inconsistent("%d rows came of %d", sum(pages, count), total)
		}
		return pages, true, err
	}
	pages = make([]*page, max(1, (total+pageSize-1)/pageSize))
	pages[0] = first
	var done atomic.Int64
	done.Add(int64(count(first)))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := 1; i < len(pages); i++ {
		group.Go(func() error {
			p, err := d.page(ctx, path, query, count, "page", strconv.Itoa(i+1))
			if err != nil {
				return err
			}
			if p.Count == nil || *p.Count != total {
				return inconsistent("page %d counts otherwise than the first", i+1)
			}
			pages[i] = p
			contactsync.ReportProgress(ctx, int(done.Add(int64(count(p)))), total)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, false, err
	}
	if n := sum(pages, count); n != total {
		return nil, false, inconsistent("%d rows came of %d", n, total)
	}
	return pages, true, nil
}

// walk reads a list by cursors, one page after the other, from the page given where that is in cursor style already.
func (d *Desk) walk(ctx context.Context, path string, query url.Values, count rows, first *page) ([]*page, error) {
	var pages []*page
	seen := map[string]bool{}
	after := ""
	for len(pages) < cursorPages {
		p := first
		if len(pages) > 0 || p == nil || p.Meta == nil {
			arguments := []string{"page[size]", strconv.Itoa(pageSize)}
			if after != "" {
				arguments = append(arguments, "page[after]", after)
			}
			var err error
			if p, err = d.page(ctx, path, query, count, arguments...); err != nil {
				return nil, err
			}
		}
		pages = append(pages, p)
		switch {
		case p.Meta == nil:
			return nil, inconsistent("the answer says nothing about further pages")
		case !p.Meta.HasMore:
			return pages, nil
		case p.Meta.AfterCursor == "" || seen[p.Meta.AfterCursor]:
			return nil, inconsistent("a page's cursor is missing or was seen before")
		case count(p) == 0:
			return nil, inconsistent("an empty page is followed by others")
		}
		after = p.Meta.AfterCursor
		seen[after] = true
		contactsync.ReportProgress(ctx, sum(pages, count), 0)
	}
	return nil, unreadable("the list does not end after %d pages", cursorPages)
}

// page reads one page with further arguments, given as pairs.
func (d *Desk) page(ctx context.Context, path string, query url.Values, count rows, arguments ...string) (*page, error) {
	full := maps.Clone(query)
	if full == nil {
		full = url.Values{}
	}
	for i := 0; i+1 < len(arguments); i += 2 {
		full.Set(arguments[i], arguments[i+1])
		if arguments[i] == "page" {
			full.Set("per_page", strconv.Itoa(pageSize))
		}
	}
	var p page
	if err := d.get(ctx, path, full, &p); err != nil {
		return nil, err
	}
	if count(&p) < 0 {
		return nil, inconsistent("the answer to GET %s has no list in it", path)
	}
	return &p, nil
}

func sum(pages []*page, count rows) int {
	total := 0
	for _, p := range pages {
		total += count(p)
	}
	return total
}

// optional tells a field that is absent from one that is null or empty.
type optional[T any] struct {
	Given bool // the field is there
	Null  bool
	Value T
}

// UnmarshalJSON is called for fields that are there, null ones too.
func (o *optional[T]) UnmarshalJSON(data []byte) error {
	o.Given = true
	if string(data) == "null" {
		o.Null = true
		return nil
	}
	return json.Unmarshal(data, &o.Value)
}
