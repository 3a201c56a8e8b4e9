package zendesk

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"contactsync"
)

const (
	// exportOverlap is read again with each export, against clocks and transactions that are a little apart.
	exportOverlap = 2 * time.Minute
	// exportLag is how long a change stays out of an export at most: a minute, by clocks that are a little apart.
	exportLag = 65 * time.Second
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
)

// errNoExport says that there is no export to go by: the desk keeps them for administrators.
var errNoExport = errors.New("the desk gives no export of organizations")

// index is the state of the bulk readings that all projects share.
type index struct {
	turn     chan struct{} // one reads at a time
	exported time.Time     // start of the last finished export
	pages    []time.Time   // when the last few pages of exports were asked for
	refused  bool          // exports answered 403: we are no administrator
	listed   time.Time     // start of the last finished listing
	relist   time.Time     // when the next one may begin
}

// lock waits until nobody else reads in bulk.
func (i *index) lock(ctx context.Context) error {
	select {
	case i.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (i *index) unlock() { <-i.turn }

// findInBulk reads what the search index may not know yet. known are organizations that carry the project already.
func (d *Desk) findInBulk(ctx context.Context, project int64, known []organization) (contactsync.Organization, error) {
	asked := d.now()
	if err := d.index.lock(ctx); err != nil {
		return contactsync.Organization{}, err
	}
	defer d.index.unlock()
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

// export reads the organizations that changed since the last time and remembers their links. It waits where the last
// export is too close. An export leaves out the changes of the last minute.
func (d *Desk) export(ctx context.Context, asked time.Time) (current bool, err error) {
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
	_, err = d.exportSince(ctx, start, until, func(organization) {})
	if errors.Is(err, errNoExport) {
		return false, nil
	}
	return err == nil, err
}

// exportSince reads the organizations that changed since start, the oldest change first and a thousand a page, and
// remembers their links: until is up to when links were read before. It returns the time of the last change that it
// saw, from which an export goes on; start when there was none. Errors: errNoExport, and those of requests.
// https://developer.zendesk.com/api-reference/ticketing/ticket-management/incremental_exports/#incremental-organization-export
func (d *Desk) exportSince(ctx context.Context, start int64, until time.Time, see func(organization)) (last int64, err error) {
	last = start
	if d.index.refused {
		return last, errNoExport
	}
	began := d.now()
	for range exportPages {
		var answer struct {
			page
			EndTime     *int64 `json:"end_time"`
			EndOfStream *bool  `json:"end_of_stream"`
		}
		if err := d.paceExport(ctx); err != nil {
			return last, err
		}
		query := url.Values{"start_time": {strconv.FormatInt(start, 10)}, "per_page": {strconv.Itoa(exportPage)}}
		err := d.get(ctx, "/incremental/organizations", query, &answer)
		if status(err) == http.StatusForbidden {
			d.index.refused = true
			return last, errNoExport
		}
		if err != nil {
			return last, fmt.Errorf("reading the export of organizations: %w", err)
		}
		rows, err := distinct([]*page{&answer.page}, organizationRows)
		if err != nil || answer.Organizations == nil || (answer.Count != nil && rows < min(*answer.Count, exportPage)) {
			return last, unreadable("the export of organizations lacks rows that it counts")
		}
		end := start
		if answer.EndTime != nil {
			end = *answer.EndTime
		}
		// A full page that is said to be the last is not believed, unless there is no way on from it.
		ended := rows < exportPage
		if answer.EndOfStream != nil {
			ended = *answer.EndOfStream && (ended || end <= start)
		}
		if rows > 0 { // an empty page proves nothing about the time that it names
			last = end
			read := time.Unix(end, 0)
			if !read.After(until) {
				read = time.Time{} // what was read before is not undone by an export that begins earlier
			}
			if err := d.remember(ctx, answer.Organizations, read); err != nil {
				return last, err
			}
		}
		for _, o := range answer.Organizations {
			see(o)
		}
		if ended {
			d.index.exported = began
			return last, nil
		}
		if end <= start {
			return last, unreadable("the export of organizations stands still at %d", end)
		}
		start = end
	}
	return last, unreadable("the export of organizations does not end")
}

// paceExport waits until another page of the export of organizations may be asked for.
func (d *Desk) paceExport(ctx context.Context) error {
	for {
		pause := d.index.slot(d.now(), exportsAMinute)
		if pause <= 0 {
			return nil
		}
		if err := d.wait(ctx, pause); err != nil {
			return err
		}
	}
}

// slot takes one of n pages of exports a minute, or returns how long to wait for it. The caller holds the index.
func (i *index) slot(now time.Time, n int) time.Duration {
	for len(i.pages) > 0 && now.Sub(i.pages[0]) >= time.Minute {
		i.pages = i.pages[1:]
	}
	if len(i.pages) < n {
		i.pages = append(i.pages, now)
		return 0
	}
	return i.pages[len(i.pages)-n].Add(time.Minute).Sub(now)
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
	return d.readList(ctx, d.index.refused, func(organization) {})
}

// readList reads the whole list of organizations and remembers their links: one that is longer than listFresh only
// where it must.
func (d *Desk) readList(ctx context.Context, must bool, see func(organization)) (all bool, err error) {
	began := d.now()
	first, err := d.page(ctx, "/organizations", nil, organizationRows, "page", "1")
	if err != nil {
		return false, fmt.Errorf("reading the list of organizations: %w", err)
	}
	if !must && (first.Count == nil || *first.Count > listFresh) {
		d.index.relist = began.Add(listEvery)
		return false, nil
	}
	pages, err := whole(ctx, func(ctx context.Context) ([]*page, error) {
		from := first
		first = nil // a second reading begins anew
		return d.restOfList(ctx, from)
	})
	if err != nil {
		return false, fmt.Errorf("reading the list of organizations: %w", err)
	}
	for _, p := range pages {
		if err := d.remember(ctx, p.Organizations, time.Time{}); err != nil {
			return false, err
		}
		for _, o := range p.Organizations {
			see(o)
		}
	}
	d.index.listed = began
	d.index.relist = began.Add(min(listEvery, max(exportEvery, time.Duration(len(pages))*listPageEvery)))
	return true, nil
}

// restOfList completes the list of organizations from its first page, or reads all of it.
func (d *Desk) restOfList(ctx context.Context, first *page) (pages []*page, err error) {
	if first == nil {
		if first, err = d.page(ctx, "/organizations", nil, organizationRows, "page", "1"); err != nil {
			return nil, err
		}
	}
	pages, counted, err := d.rest(ctx, "/organizations", nil, organizationRows, first)
	if err != nil {
		return nil, err
	}
	found, err := distinct(pages, organizationRows)
	if err != nil {
		return nil, err
	}
	return pages, d.crossCheck(ctx, "/organizations/count", found, counted)
}

// Links returns every organization that carries a project, in the order of ids: from an export of all of them, a
// thousand a request, or from their list, a hundred a request, where exports are refused or tell of nobody. An export
// leaves out what changed in the last minute, earlier state and all, so its end is read again a minute later.
//
// What was read is remembered, as after every bulk reading. Only one reads in bulk at a time, and waits for it.
func (d *Desk) Links(ctx context.Context) ([]contactsync.LinkedOrganization, error) {
	linked := map[int64]contactsync.LinkedOrganization{}
	see := func(o organization) { // the last word about an organization counts
		delete(linked, o.ID)
		if project := d.project(o); project != 0 {
			linked[o.ID] = contactsync.LinkedOrganization{Organization: o.plain(), Project: project}
		}
	}
	err := d.exportAll(ctx, see)
	if errors.Is(err, errNoExport) {
		clear(linked)
		err = d.listAll(ctx, see)
	}
	if err != nil {
		return nil, reading(err, "the organizations that carry a project")
	}
	ids := slices.Sorted(maps.Keys(linked))
	links := make([]contactsync.LinkedOrganization, len(ids))
	for i, id := range ids {
		links[i] = linked[id]
	}
	return links, nil
}

// exportAll exports everything there is. Errors: errNoExport, also for an export with nobody in it.
func (d *Desk) exportAll(ctx context.Context, see func(organization)) error {
	rows := 0
	last, err := d.exportMore(ctx, 0, func(o organization) { rows++; see(o) })
	if err == nil && rows == 0 {
		err = errNoExport
	}
	if err != nil {
		return err
	}
	if err := d.wait(ctx, exportLag); err != nil {
		return err
	}
	_, err = d.exportMore(ctx, last, see)
	return err
}

// exportMore is exportSince for whoever does not hold the index yet.
func (d *Desk) exportMore(ctx context.Context, start int64, see func(organization)) (last int64, err error) {
	if err := d.index.lock(ctx); err != nil {
		return start, err
	}
	defer d.index.unlock()
	until, err := d.links.LinksReadUntil(ctx)
	if err != nil {
		return start, fmt.Errorf("looking up remembered links: %w", err)
	}
	return d.exportSince(ctx, start, until, see)
}

// listAll reads the whole list of organizations, however long it is.
func (d *Desk) listAll(ctx context.Context, see func(organization)) error {
	if err := d.index.lock(ctx); err != nil {
		return err
	}
	defer d.index.unlock()
	_, err := d.readList(ctx, true, see)
	return err
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
