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
	Macros        []macro        `json:"macros"`

	Count    *int    `json:"count"`
	NextPage *string `json:"next_page"`
	Meta     *struct {
		HasMore     bool   `json:"has_more"`
		AfterCursor string `json:"after_cursor"`
	} `json:"meta"`
}

// rows returns the ids of the rows that a list is about; nil: the page has no such list at all.
type rows func(*page) []int64

func idsOf[T any](list []T, id func(T) int64) []int64 {
	if list == nil {
		return nil
	}
	ids := make([]int64, len(list))
	for i, row := range list {
		ids[i] = id(row)
	}
	return ids
}

func membershipRows(p *page) []int64 {
	return idsOf(p.Memberships, func(m membership) int64 { return m.ID })
}
func userRows(p *page) []int64 { return idsOf(p.Users, func(u user) int64 { return u.ID }) }
func organizationRows(p *page) []int64 {
	return idsOf(p.Organizations, func(o organization) int64 { return o.ID })
}
func resultRows(p *page) []int64 {
	return idsOf(p.Results, func(o organization) int64 { return o.ID })
}
func identityRows(p *page) []int64 {
	return idsOf(p.Identities, func(i identity) int64 { return i.ID })
}

func macroRows(p *page) []int64 { return idsOf(p.Macros, func(m macro) int64 { return m.ID }) }

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
func (d *Desk) list(ctx context.Context, path string, query url.Values, ids rows) (pages []*page, counted bool, err error) {
	first, err := d.page(ctx, path, query, ids, "page", "1")
	if err != nil {
		return nil, false, err
	}
	return d.rest(ctx, path, query, ids, first)
}

// rest completes a list whose first page is there.
func (d *Desk) rest(ctx context.Context, path string, query url.Values, ids rows, first *page) (pages []*page, counted bool, err error) {
	if first.Count == nil {
		pages, err = d.walk(ctx, path, query, ids, first)
		return pages, false, err
	}
	total := *first.Count
	if total > offsetDepth {
		pages, err = d.walk(ctx, path, query, ids, nil)
	} else {
		pages, err = d.offsets(ctx, path, query, ids, first)
	}
	if err != nil {
		return nil, false, err
	}
	n, err := distinct(pages, ids)
	if err == nil && n != total {
		err = inconsistent("%d rows came of %d", n, total)
	}
	return pages, true, err
}

// offsets reads the pages after the first side by side.
func (d *Desk) offsets(ctx context.Context, path string, query url.Values, ids rows, first *page) ([]*page, error) {
	total := *first.Count
	pages := make([]*page, max(1, (total+pageSize-1)/pageSize))
	pages[0] = first
	var done atomic.Int64
	done.Add(int64(len(ids(first))))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := 1; i < len(pages); i++ {
		group.Go(func() error {
			p, err := d.page(ctx, path, query, ids, "page", strconv.Itoa(i+1))
			if err != nil {
				return err
			}
			if p.Count == nil || *p.Count != total {
				return inconsistent("page %d counts otherwise than the first", i+1)
			}
			pages[i] = p
			contactsync.ReportProgress(ctx, int(done.Add(int64(len(ids(p))))), total)
			return nil
		})
	}
	return pages, group.Wait()
}

// walk reads a list by cursors, one page after the other, from the page given where that is in cursor style already.
func (d *Desk) walk(ctx context.Context, path string, query url.Values, ids rows, first *page) ([]*page, error) {
	var pages []*page
	seen := map[string]bool{}
	after, done := "", 0
	for len(pages) < cursorPages {
		p := first
		if len(pages) > 0 || p == nil || p.Meta == nil {
			arguments := []string{"page[size]", strconv.Itoa(pageSize)}
			if after != "" {
				arguments = append(arguments, "page[after]", after)
			}
			var err error
			if p, err = d.page(ctx, path, query, ids, arguments...); err != nil {
				return nil, err
			}
		}
		pages = append(pages, p)
		done += len(ids(p))
		switch {
		case p.Meta == nil && p.Count != nil && *p.Count == done:
			_, err := distinct(pages, ids) // not in cursor style, and all of it
			return pages, err
		case p.Meta == nil:
			return nil, inconsistent("the answer says nothing about further pages")
		case !p.Meta.HasMore:
			_, err := distinct(pages, ids)
			return pages, err
		case p.Meta.AfterCursor == "" || seen[p.Meta.AfterCursor]:
			return nil, inconsistent("a page's cursor is missing or was seen before")
		case len(ids(p)) == 0:
			return nil, inconsistent("an empty page is followed by others")
		}
		after = p.Meta.AfterCursor
		seen[after] = true
		contactsync.ReportProgress(ctx, done, 0)
	}
	return nil, unreadable("the list does not end after %d pages", cursorPages)
}

// page reads one page with further arguments, given as pairs.
func (d *Desk) page(ctx context.Context, path string, query url.Values, ids rows, arguments ...string) (*page, error) {
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
	if ids(&p) == nil {
		return nil, inconsistent("the answer to GET %s has no list in it", path)
	}
	return &p, nil
}

// distinct counts the rows of all pages, of which none may come twice.
func distinct(pages []*page, ids rows) (int, error) {
	seen := map[int64]bool{}
	for _, p := range pages {
		for _, id := range ids(p) {
			if id <= 0 || seen[id] {
				return 0, inconsistent("row %d came twice", id)
			}
			seen[id] = true
		}
	}
	return len(seen), nil
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
