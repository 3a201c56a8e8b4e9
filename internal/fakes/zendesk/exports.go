package zendesk

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const exportSize = 1000

// exported is one row of an export: when it changed last, and which thing it is.
type exported struct {
	at int64
	id int64
}

func compareExported(a, b exported) int {
	return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.id, b.id))
}

// export checks what all exports have in common: the right, the limit, the start.
func (c *call) export() (start int64, header http.Header, denied answer, ok bool) {
	if !c.settings.AdminAccess {
		return 0, nil, forbidden("You do not have access to this page. Please contact the account owner of this help desk for further help."), false
	}
	if c.settings.ExportLimit > 0 {
		denied, header, ok = c.endpoint("incremental-exports", "", c.settings.ExportLimit, time.Minute)
		if !ok {
			c.violation("more incremental exports in a minute than allowed")
			return 0, nil, denied, false
		}
	}
	if c.query.Get("cursor") != "" {
		return 0, header, answer{}, true
	}
	start, err := strconv.ParseInt(c.query.Get("start_time"), 10, 64)
	if err != nil || start < 0 {
		return 0, nil, failure(http.StatusBadRequest, "InvalidValue", "start_time is invalid"), false
	}
	if start > c.now.Add(-time.Minute).Unix() {
		return 0, nil, failure(http.StatusUnprocessableEntity, "InvalidValue",
			"Too recent start_time. Use a start_time older than 60 seconds"), false
	}
	return start, header, answer{}, true
}

// settled keeps what changed long enough ago, in the order of change.
func (c *call) settled(rows []exported) []exported {
	newest := c.now.Add(-c.settings.ExportDelay).Unix()
	rows = slices.DeleteFunc(rows, func(r exported) bool { return r.at > newest })
	slices.SortFunc(rows, compareExported)
	return rows
}

// exportOrganizations is time based: the next page begins at the second where this one ended, so the rows of that
// second come twice. Deleted organizations are in it, with deleted_at.
func (c *call) exportOrganizations() answer {
	start, header, denied, ok := c.export()
	if !ok {
		return denied
	}
	size, fine := positive(c.query.Get("per_page"), exportSize)
	if !fine {
		return failure(http.StatusBadRequest, "InvalidValue", "per_page is invalid")
	}
	size = min(size, exportSize)
	var all []exported
	for _, id := range c.s.account.organizationIDs {
		if at := c.s.account.organizations[id].now.updated.Unix(); at >= start {
			all = append(all, exported{at, id})
		}
	}
	all = c.settled(all)
	take := min(size, len(all))
	// A page never ends in the second where it began: the next one would be this one again.
	for take < len(all) && all[take-1].at == start {
		take++
	}
	rows := []any{}
	end := start
	for _, row := range all[:take] {
		o := c.s.account.organizations[row.id].now
		out := c.organizationJSON(o)
		out["deleted_at"] = nil
		if !o.deleted.IsZero() {
			out["deleted_at"] = stamp(o.deleted)
		}
		rows = append(rows, out)
		end = row.at
	}
	a := reply(http.StatusOK, map[string]any{
		"organizations": rows, "count": len(rows), "end_time": end, "end_of_stream": take == len(all),
		"next_page": c.with("start_time", strconv.FormatInt(end, 10)),
	})
	copyHeader(a, header)
	return a
}

// exportUsers is cursor based and shows soft-deleted people as inactive.
func (c *call) exportUsers() answer {
	start, header, denied, ok := c.export()
	if !ok {
		return denied
	}
	size, fine := positive(c.query.Get("per_page"), exportSize)
	if !fine {
		return failure(http.StatusBadRequest, "InvalidValue", "per_page is invalid")
	}
	after := exported{at: start}
	if text := c.query.Get("cursor"); text != "" {
		if after, fine = readExportCursor(text); !fine {
			return failure(http.StatusBadRequest, "InvalidValue", "cursor is invalid")
		}
	}
	var all []exported
	for _, id := range c.s.account.userIDs {
		row := exported{c.s.account.user(id).updated.Unix(), id}
		if compareExported(row, after) > 0 {
			all = append(all, row)
		}
	}
	all = c.settled(all)
	rows := []any{}
	last := after
	for _, row := range all[:min(size, exportSize, len(all))] {
		rows = append(rows, c.userJSON(c.s.account.user(row.id)))
		last = row
	}
	cursor := writeExportCursor(last)
	a := reply(http.StatusOK, map[string]any{
		"users": rows, "end_of_stream": len(rows) == len(all), "before_cursor": nil, "before_url": nil,
		"after_cursor": cursor, "after_url": c.with("start_time", "", "cursor", cursor),
	})
	copyHeader(a, header)
	return a
}

func copyHeader(a answer, header http.Header) {
	for name, values := range header {
		a.header[name] = values
	}
}

func writeExportCursor(row exported) string {
	return base64.RawURLEncoding.EncodeToString([]byte(fmt.Sprintf("%d||%d", row.at, row.id)))
}

func readExportCursor(text string) (exported, bool) {
	plain, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return exported{}, false
	}
	left, right, ok := strings.Cut(string(plain), "||")
	if !ok {
		return exported{}, false
	}
	at, err := strconv.ParseInt(left, 10, 64)
	if err != nil {
		return exported{}, false
	}
	id, err := strconv.ParseInt(right, 10, 64)
	return exported{at, id}, err == nil
}
