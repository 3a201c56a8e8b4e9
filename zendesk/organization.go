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

const (
	// exportOverlap is read again with each export, against clocks and transactions that are a little apart.
	exportOverlap = 2 * time.Minute
	// exportPage is the most that an export gives at once.
	exportPage = 1000
	// exportPages bounds an export; no account has ten million organizations.
	exportPages = 10000
	// exportEvery spaces exports, and exportsAMinute bounds their pages: ten a minute are allowed, and other
	// integrations want some of them.
	exportEvery    = 10 * time.Second
	exportsAMinute = 8
	// listPageEvery spaces readings of the whole list of organizations by what they cost, a request per hundred, and
	// listEvery is the most that it comes to.
	listPageEvery = 9 * time.Second
	listEvery     = 3 * time.Minute
	// listFresh is how many organizations are listed to find a link that is too new for the export: as many as offset
	// paging reaches, side by side. Larger accounts wait for the export, which lags by a minute.
	listFresh = offsetDepth
	// searchPages is how far a search may be paged: 1,000 results.
	searchPages = 10
)

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
	o, err := d.readOrganization(ctx, number)
	if status(err) == http.StatusNotFound || (err == nil && o.DeletedAt != nil) {
		return contactsync.Organization{}, noOrganization("there is no organization %d at the desk", number)
	}
	if err != nil {
		return contactsync.Organization{}, classed(err, contactsync.ClassDeskUnreadable)
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

// index is the state of the bulk readings that all projects share.
type index struct {
	turn     chan struct{} // one reads at a time
	exported time.Time     // start of the last finished export
	pages    []time.Time   // when the last few pages of exports were asked for
	refused  bool          // exports answered 403: we are no administrator
	listed   time.Time     // start of the last finished listing
	relist   time.Time     // when the next one may begin
}

// findInBulk reads what the search index may not know yet. known are organizations that carry the project already.
func (d *Desk) findInBulk(ctx context.Context, project int64, known []organization) (contactsync.Organization, error) {
	asked := d.now()
	select {
	case d.index.turn <- struct{}{}:
		defer func() { <-d.index.turn }()
	case <-ctx.Done():
		return contactsync.Organization{}, ctx.Err()
	}
	looked := "the search"
	recent := false
	var carriers []organization
	for _, source := range []struct {
		name   string
		read   func(context.Context, time.Time) (bool, error)
		recent bool // knows the changes of the last minute
	}{{"the export of organizations", d.export, false}, {"the list of organizations", d.relist, true}} {
		current, err := source.read(ctx, asked)
		if err != nil {
			return contactsync.Organization{}, err
		}
		if current {
			looked += ", " + source.name
			recent = recent || source.recent
		}
		if carriers, err = d.confirmRemembered(ctx, project, known); err != nil {
			return contactsync.Organization{}, err
		}
		// One that was known before proves nothing: a second one is what is looked for then.
		if len(carriers) > len(known) {
			break
		}
	}
	if len(carriers) > 0 {
		return only(project, d.field, carriers)
	}
	if !recent {
		looked += " (a link of the last minutes may be missing there)"
	}
	return contactsync.Organization{}, contactsync.Errorf(contactsync.ClassNoOrgFound,
		"no organization carries the number %d in its field %s; looked in %s", project, d.field, looked)
}

// confirmRemembered reads the organizations that are remembered for the project, apart from those known to carry it.
func (d *Desk) confirmRemembered(ctx context.Context, project int64, known []organization) ([]organization, error) {
	ids, err := d.remembered(ctx, project)
	if err != nil {
		return nil, err
	}
	ids = slices.DeleteFunc(ids, func(id int64) bool {
		return slices.ContainsFunc(known, func(o organization) bool { return o.ID == id })
	})
	read, err := d.readOrganizations(ctx, ids)
	if err != nil {
		return nil, err
	}
	carriers, err := d.carriers(ctx, project, ids, nil, read)
	return append(slices.Clone(known), carriers...), err
}

// export reads the organizations that changed since the last time, a thousand a page, and remembers their links. It
// waits where the last export is too close. An export leaves out the changes of the last minute.
// https://developer.zendesk.com/api-reference/ticketing/ticket-management/incremental_exports/#incremental-organization-export
func (d *Desk) export(ctx context.Context, asked time.Time) (current bool, err error) {
	if d.index.refused {
		return false, nil
	}
	if !d.index.exported.IsZero() && d.index.exported.After(asked) {
		return true, nil // somebody else's export began after we asked
	}
	if pause := d.index.exported.Add(exportEvery).Sub(d.now()); pause > 0 {
		if err := d.wait(ctx, pause); err != nil {
			return false, err
		}
	}
	until, err := d.links.LinksReadUntil(ctx)
	if err != nil {
		return false, fmt.Errorf("looking up remembered links: %w", err)
	}
	start := int64(0)
	if !until.IsZero() {
		start = max(0, until.Add(-exportOverlap).Unix())
	}
	began := d.now()
	for range exportPages {
		var answer struct {
			page
			EndTime     *int64 `json:"end_time"`
			EndOfStream *bool  `json:"end_of_stream"`
		}
		if err := d.paceExport(ctx); err != nil {
			return false, err
		}
		query := url.Values{"start_time": {strconv.FormatInt(start, 10)}, "per_page": {strconv.Itoa(exportPage)}}
		err := d.get(ctx, "/incremental/organizations", query, &answer)
		if status(err) == http.StatusForbidden {
			d.index.refused = true
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("reading the export of organizations: %w", err)
		}
		rows, err := distinct([]*page{&answer.page}, organizationRows)
		if err != nil || answer.Organizations == nil || (answer.Count != nil && rows < min(*answer.Count, exportPage)) {
			return false, unreadable("the export of organizations lacks rows that it counts")
		}
		end := start
		if answer.EndTime != nil {
			end = *answer.EndTime
		}
		ended := (answer.EndOfStream != nil && *answer.EndOfStream) || (answer.EndOfStream == nil && rows < exportPage)
		if rows > 0 { // an empty page proves nothing about the time that it names
			if err := d.remember(ctx, answer.Organizations, time.Unix(end, 0)); err != nil {
				return false, err
			}
		}
		if ended {
			d.index.exported = began
			return true, nil
		}
		if end <= start {
			return false, unreadable("the export of organizations stands still at %d", end)
		}
		start = end
	}
	return false, unreadable("the export of organizations does not end")
}

// paceExport waits until another page of an export may be asked for.
func (d *Desk) paceExport(ctx context.Context) error {
	if len(d.index.pages) == exportsAMinute {
		if pause := d.index.pages[0].Add(time.Minute).Sub(d.now()); pause > 0 {
			if err := d.wait(ctx, pause); err != nil {
				return err
			}
		}
		d.index.pages = d.index.pages[1:]
	}
	d.index.pages = append(d.index.pages, d.now())
	return nil
}

// relist reads the whole list of organizations, which is never late, when it is small enough to be read for a link
// of the last minute, or when there is no export to read.
func (d *Desk) relist(ctx context.Context, asked time.Time) (current bool, err error) {
	if d.index.listed.After(asked) {
		return true, nil
	}
	if pause := d.index.relist.Sub(d.now()); pause > exportEvery {
		return false, nil
	} else if pause > 0 {
		if err := d.wait(ctx, pause); err != nil {
			return false, err
		}
	}
	began := d.now()
	first, err := d.page(ctx, "/organizations", nil, organizationRows, "page", "1")
	if err != nil {
		return false, fmt.Errorf("reading the list of organizations: %w", err)
	}
	if !d.index.refused && (first.Count == nil || *first.Count > listFresh) {
		d.index.relist = began.Add(listEvery)
		return false, nil
	}
	pages, _, err := d.rest(ctx, "/organizations", nil, organizationRows, first)
	if errors.Is(err, errInconsistent) {
		pages, _, err = d.list(ctx, "/organizations", nil, organizationRows)
	}
	if err != nil {
		return false, fmt.Errorf("reading the list of organizations: %w", err)
	}
	for _, p := range pages {
		if err := d.remember(ctx, p.Organizations, time.Time{}); err != nil {
			return false, err
		}
	}
	d.index.listed = began
	d.index.relist = began.Add(min(listEvery, max(exportEvery, time.Duration(len(pages))*listPageEvery)))
	return true, nil
}

// remember keeps the links of organizations that were read in bulk. Those without a project are forgotten.
func (d *Desk) remember(ctx context.Context, organizations []organization, until time.Time) error {
	links := make([]contactsync.Link, len(organizations))
	for i, o := range organizations {
		links[i] = contactsync.Link{Project: d.project(o), Organization: strconv.FormatInt(o.ID, 10)}
	}
	if err := d.links.SaveLinks(ctx, links, until); err != nil {
		return fmt.Errorf("remembering links: %w", err)
	}
	return nil
}
