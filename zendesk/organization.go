package zendesk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"contactsync"

	api "github.com/nukosuke/go-zendesk/zendesk"
	"golang.org/x/sync/errgroup"
)

// searchPages is how far a search may be paged: 1,000 results.
const searchPages = 10

// organization is the library's, and what it lacks.
type organization struct {
	api.Organization
	DeletedAt *time.Time `json:"deleted_at"`
}

func (o organization) plain() contactsync.Organization {
	return contactsync.Organization{ID: strconv.FormatInt(o.ID, 10), Name: o.Name}
}

// project returns the number in the organization's project field, or 0.
func (d *Desk) project(o organization) int64 {
	if o.DeletedAt != nil {
		return 0
	}
	return projectNumber(o.OrganizationFields[d.field])
}

// projectNumber reads a project's number from a custom field, which may be a text, a number or empty. Only the plain
// decimal spelling counts: "007" and "7.0" are no project.
func projectNumber(value any) int64 {
	switch v := value.(type) {
	case string:
		text := strings.TrimSpace(v)
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n <= 0 || strconv.FormatInt(n, 10) != text {
			return 0
		}
		return n
	case float64:
		if v != math.Trunc(v) || v <= 0 || v > 1<<53 {
			return 0
		}
		return int64(v)
	}
	return 0
}

// Organization returns the organization whose project field holds the number.
//
// It is looked up in the search index, and where a link is remembered, there; every candidate is read before it is
// believed. A miss is not final, because the index lags by minutes: the organizations' own list is read then, the
// changes since the last time where possible, and remembered for all projects.
// https://developer.zendesk.com/api-reference/ticketing/ticket-management/search/
func (d *Desk) Organization(ctx context.Context, project int64) (contactsync.Organization, error) {
	org, err := d.findOrganization(ctx, project)
	if err != nil {
		return contactsync.Organization{}, fmt.Errorf("finding the organization of project %d: %w",
			project, classed(err, contactsync.ClassDeskUnreadable))
	}
	return org, nil
}

func (d *Desk) findOrganization(ctx context.Context, project int64) (contactsync.Organization, error) {
	remembered, err := d.remembered(ctx, project)
	if err != nil {
		return contactsync.Organization{}, err
	}
	var found, read []organization
	complete := true // the search answered with all that it counted
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		found, complete, err = d.searchOrganizations(groupCtx, project)
		return err
	})
	group.Go(func() (err error) {
		read, err = d.readOrganizations(groupCtx, remembered)
		return err
	})
	if err := group.Wait(); err != nil {
		return contactsync.Organization{}, err
	}

	var unread []int64
	for _, o := range found {
		if !slices.Contains(remembered, o.ID) && !slices.Contains(unread, o.ID) {
			unread = append(unread, o.ID)
		}
	}
	more, err := d.readOrganizations(ctx, unread)
	if err != nil {
		return contactsync.Organization{}, err
	}
	carriers, err := d.carriers(ctx, project, remembered, unread, append(read, more...))
	if err != nil {
		return contactsync.Organization{}, err
	}
	if len(carriers) > 0 && complete {
		return only(project, d.field, carriers)
	}
	return d.findInBulk(ctx, project, carriers)
}

// carriers returns those of the organizations read that carry the project. What is remembered of the organizations
// asked for is corrected, and written only where it was wrong.
func (d *Desk) carriers(ctx context.Context, project int64, remembered, others []int64, read []organization) ([]organization, error) {
	var carriers []organization
	links := map[int64]int64{}
	for _, o := range read {
		links[o.ID] = d.project(o)
		if links[o.ID] == project {
			carriers = append(carriers, o)
		}
	}
	var changed []contactsync.Link
	for _, id := range remembered {
		if links[id] != project {
			changed = append(changed, contactsync.Link{Project: links[id], Organization: strconv.FormatInt(id, 10)})
		}
	}
	for _, id := range others {
		changed = append(changed, contactsync.Link{Project: links[id], Organization: strconv.FormatInt(id, 10)})
	}
	if len(changed) == 0 {
		return carriers, nil
	}
	if err := d.links.SaveLinks(ctx, changed, time.Time{}); err != nil {
		return nil, fmt.Errorf("remembering links: %w", err)
	}
	return carriers, nil
}

// only returns the one organization, or the error that says why it is not one.
func only(project int64, field string, carriers []organization) (contactsync.Organization, error) {
	if len(carriers) == 1 {
		return carriers[0].plain(), nil
	}
	slices.SortFunc(carriers, func(a, b organization) int { return cmp.Compare(a.ID, b.ID) })
	names := make([]string, len(carriers))
	for i, o := range carriers {
		names[i] = fmt.Sprintf("%d %q", o.ID, o.Name)
	}
	return contactsync.Organization{}, contactsync.Errorf(contactsync.ClassTooManyOrgs,
		"%d organizations carry the number %d in their field %s: %s", len(carriers), project, field, strings.Join(names, ", "))
}

// remembered returns the ids of the organizations last seen with the project.
func (d *Desk) remembered(ctx context.Context, project int64) ([]int64, error) {
	texts, err := d.links.Linked(ctx, project)
	if err != nil {
		return nil, fmt.Errorf("looking up remembered links: %w", err)
	}
	ids := make([]int64, 0, len(texts))
	for _, text := range texts {
		if id, err := strconv.ParseInt(text, 10, 64); err == nil {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// searchOrganizations asks the search index, which matches words inside of texts: only exact hits are returned.
// complete is false when it gave fewer than it counted.
func (d *Desk) searchOrganizations(ctx context.Context, project int64) (found []organization, complete bool, err error) {
	query := url.Values{"query": {fmt.Sprintf("type:organization %s:%d", d.field, project)}}
	var pages []*page
	total := 0
	for n := 1; n <= searchPages; n++ {
		p, err := d.page(ctx, "/search", query, resultRows, "page", strconv.Itoa(n))
		if err != nil {
			if errors.Is(err, errInconsistent) {
				return nil, false, nil
			}
			return nil, false, fmt.Errorf("searching: %w", err)
		}
		for _, o := range p.Results {
			if d.project(o) == project {
				found = append(found, o)
			}
		}
		pages = append(pages, p)
		if p.Count != nil {
			total = max(total, *p.Count)
		}
		if p.NextPage == nil || len(p.Results) == 0 {
			break
		}
	}
	seen, err := distinct(pages, resultRows)
	return found, err == nil && seen >= total, nil
}

// readOrganizations reads organizations themselves, in the order of the ids. Those that are gone are left out.
func (d *Desk) readOrganizations(ctx context.Context, ids []int64) ([]organization, error) {
	if len(ids) == 1 {
		o, err := d.readOrganization(ctx, ids[0])
		if status(err) == http.StatusNotFound {
			return nil, nil
		}
		return []organization{o}, err
	}
	var all []organization
	for part := range slices.Chunk(ids, pageSize) {
		p, err := d.page(ctx, "/organizations/show_many", url.Values{"ids": {joinIDs(part)}}, organizationRows)
		if err != nil {
			return nil, fmt.Errorf("reading organizations %s: %w", joinIDs(part), err)
		}
		read := map[int64]organization{}
		for _, o := range p.Organizations {
			read[o.ID] = o
		}
		for _, id := range part {
			o, ok := read[id]
			if !ok {
				// Gone, or left out: the organization's own page knows.
				o, err = d.readOrganization(ctx, id)
				if status(err) == http.StatusNotFound {
					continue
				}
				if err != nil {
					return nil, err
				}
			}
			all = append(all, o)
		}
	}
	return all, nil
}

func (d *Desk) readOrganization(ctx context.Context, id int64) (organization, error) {
	var answer struct {
		Organization organization `json:"organization"`
	}
	if err := d.get(ctx, fmt.Sprintf("/organizations/%d", id), nil, &answer); err != nil {
		return organization{}, fmt.Errorf("reading organization %d: %w", id, err)
	}
	if answer.Organization.ID != id {
		return organization{}, unreadable("the answer for organization %d is about %d", id, answer.Organization.ID)
	}
	return answer.Organization, nil
}

// OrganizationByID returns the organization with that number.
func (d *Desk) OrganizationByID(ctx context.Context, id string) (contactsync.Organization, error) {
	number, err := strconv.ParseInt(id, 10, 64)
	if err != nil || number <= 0 {
		return contactsync.Organization{}, noOrganization("%q is no number of an organization at Zendesk", id)
	}
	o, err := d.existing(ctx, contactsync.Organization{ID: strconv.FormatInt(number, 10)})
	if err != nil {
		return contactsync.Organization{}, err
	}
	return o.plain(), nil
}

// noOrganization is for an id that somebody gave: unlike a project's missing link, waiting does not mend it.
func noOrganization(format string, args ...any) error {
	err := contactsync.Errorf(contactsync.ClassNoOrgFound, format, args...)
	err.Retry = contactsync.RetryNo
	err.Remedy = "Check the organization's id: it is the number in the organization's address at the desk."
	return err
}
