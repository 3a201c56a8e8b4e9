package zendesk

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
)

const (
	pageSize    = 100    // default and maximum of almost every list
	offsetDepth = 10_000 // rows that offset paging reaches, then 400 InvalidPaginationDepth
)

// page is one page of ids, and how the answer says where it stands.
type page struct {
	ids  []int64
	meta map[string]any // keys to merge into the answer
}

// paginate cuts a page out of ascending ids, in the style that was asked for. maxPage bounds offset paging by pages,
// 0 by rows alone.
func (c *call) paginate(ids []int64, maxPage int) (page, answer, bool) {
	cursorAsked := c.query.Has("page[size]") || c.query.Has("page[after]") || c.query.Has("page[before]")
	if cursorAsked && c.settings.CursorPaging || !c.settings.OffsetPaging {
		return c.cursorPage(ids)
	}
	return c.offsetPage(ids, maxPage)
}

func (c *call) cursorPage(ids []int64) (page, answer, bool) {
	size, ok := positive(c.query.Get("page[size]"), pageSize)
	if !ok {
		return page{}, listed(http.StatusBadRequest, "InvalidPaginationParameter", "page[size] is invalid"), false
	}
	size = min(size, pageSize)
	if sort := c.query.Get("sort"); sort == "-id" {
		ids = slices.Clone(ids)
		slices.Reverse(ids)
	} else if sort != "" && sort != "id" {
		return page{}, listed(http.StatusBadRequest, "InvalidPaginationParameter", "sort is not valid"), false
	}
	from := 0
	if text := c.query.Get("page[after]"); text != "" {
		last, ok := readCursor(text)
		if !ok {
			return page{}, listed(http.StatusBadRequest, "InvalidPaginationParameter", "page[after] is not valid"), false
		}
		descending := len(ids) > 1 && ids[0] > ids[1]
		// The row of the cursor may be gone by now; the page goes on behind its place.
		from = sort.Search(len(ids), func(i int) bool {
			if descending {
				return ids[i] < last
			}
			return ids[i] > last
		})
	}
	to := min(from+size, len(ids))
	rows := ids[from:to]
	meta := map[string]any{"has_more": to < len(ids), "after_cursor": nil, "before_cursor": nil}
	links := map[string]any{"next": nil, "prev": nil}
	if len(rows) > 0 {
		meta["after_cursor"] = writeCursor(rows[len(rows)-1])
		meta["before_cursor"] = writeCursor(rows[0])
	}
	if to < len(ids) {
		links["next"] = c.with("page[after]", writeCursor(rows[len(rows)-1]), "page[before]", "")
	}
	return page{ids: rows, meta: map[string]any{"meta": meta, "links": links}}, answer{}, true
}

func (c *call) offsetPage(ids []int64, maxPage int) (page, answer, bool) {
	number, ok := positive(c.query.Get("page"), 1)
	size, fine := positive(c.query.Get("per_page"), pageSize)
	if !ok || !fine {
		return page{}, listed(http.StatusBadRequest, "InvalidPaginationParameter", "page must be an integer"), false
	}
	size = min(size, pageSize)
	if number*size > offsetDepth || maxPage > 0 && number > maxPage {
		return page{}, listed(http.StatusBadRequest, "InvalidPaginationDepth",
			"Pagination requests using Offset Pagination are limited"), false
	}
	from := min((number-1)*size, len(ids))
	to := min(from+size, len(ids))
	meta := map[string]any{"count": len(ids), "next_page": nil, "previous_page": nil}
	if to < len(ids) {
		meta["next_page"] = c.with("page", strconv.Itoa(number+1))
	}
	if number > 1 {
		meta["previous_page"] = c.with("page", strconv.Itoa(number-1))
	}
	return page{ids: ids[from:to], meta: meta}, answer{}, true
}

// list answers with a page of rows under the name, and whatever goes beside them.
func (p page) list(name string, rows any, beside map[string]any) answer {
	body := map[string]any{name: rows}
	for key, value := range p.meta {
		body[key] = value
	}
	for key, value := range beside {
		body[key] = value
	}
	return reply(http.StatusOK, body)
}

// with is the address of the call with other parameters; an empty value takes one away.
func (c *call) with(pairs ...string) string {
	query := url.Values{}
	for key, values := range c.query {
		query[key] = values
	}
	for i := 0; i < len(pairs); i += 2 {
		query.Del(pairs[i])
		if pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
	return c.base + "/api/v2/" + strings.Join(c.path, "/") + ".json?" + query.Encode()
}

func positive(text string, fallback int) (int, bool) {
	if text == "" {
		return fallback, true
	}
	n, err := strconv.Atoi(text)
	return n, err == nil && n > 0
}

// Cursors are opaque to clients: the id of the last row that was seen.
func writeCursor(id int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte("id:" + strconv.FormatInt(id, 10)))
}

func readCursor(text string) (int64, bool) {
	plain, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return 0, false
	}
	digits, ok := strings.CutPrefix(string(plain), "id:")
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseInt(digits, 10, 64)
	return id, err == nil
}

// idList reads the parameter ids, at most 100 separated by commas; words that are no numbers are no ids.
func (c *call) idList() (ids []int64, denied answer, ok bool) {
	texts, denied, ok := c.textList("ids")
	if !ok {
		return nil, denied, false
	}
	for _, text := range texts {
		if id, err := strconv.ParseInt(text, 10, 64); err == nil {
			ids = append(ids, id)
		}
	}
	return ids, answer{}, true
}

func (c *call) textList(name string) (texts []string, denied answer, ok bool) {
	for _, text := range strings.Split(c.query.Get(name), ",") {
		if text = strings.TrimSpace(text); text != "" {
			texts = append(texts, text)
		}
	}
	if len(texts) > pageSize {
		return nil, c.tooManyItems(), false
	}
	return texts, answer{}, true
}

// tooManyItems refuses more than a hundred items in one request.
func (c *call) tooManyItems() answer {
	c.violation("more than 100 items in one request")
	return listed(http.StatusBadRequest, "TooManyItems", "The number of items exceeds the limit of 100")
}

// includes reports whether a side-load was asked for.
func (c *call) includes(name string) bool {
	return contains(strings.Split(c.query.Get("include"), ","), name)
}
