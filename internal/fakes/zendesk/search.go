package zendesk

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"unicode"
)

const searchDepth = 1000 // results that GET /search hands out at most

// term is one part of a query: key:value, or a bare word with an empty key.
type term struct{ key, value string }

// parseQuery splits a query as Zendesk's search reference describes it: blanks separate, quotes hold together.
func parseQuery(text string) []term {
	var terms []term
	for _, part := range splitOutsideQuotes(text) {
		key, value, ok := strings.Cut(part, ":")
		if !ok || strings.HasPrefix(part, `"`) {
			key, value = "", part
		}
		value = strings.ToLower(strings.Trim(value, `"`))
		if value != "" {
			terms = append(terms, term{strings.ToLower(key), value})
		}
	}
	return terms
}

func splitOutsideQuotes(text string) []string {
	quoted := false
	return strings.FieldsFunc(text, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && unicode.IsSpace(r)
	})
}

// words are the alphanumeric parts of a text, in lower case: what the index knows of it.
func words(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
}

// containsWords reports whether the wanted words stand in the text one after the other; of the last one a beginning
// is enough when prefix is set.
func containsWords(text string, wanted []string, prefix bool) bool {
	have := words(text)
	for from := 0; len(wanted) > 0 && from+len(wanted) <= len(have); from++ {
		if matchesAt(have[from:], wanted, prefix) {
			return true
		}
	}
	return false
}

func matchesAt(have, wanted []string, prefix bool) bool {
	for i, word := range wanted {
		if have[i] == word {
			continue
		}
		last := i == len(wanted)-1
		if !prefix || !last || !strings.HasPrefix(have[i], word) {
			return false
		}
	}
	return true
}

// query is a parsed search: every key must match, any of a key's values will do.
type query struct {
	kind   string // "user", "organization", or "" for both
	values map[string][]string
	bare   []string
}

// readQuery parses and checks the query parameter.
func (c *call) readQuery() (query, answer, bool) {
	if strings.TrimSpace(c.query.Get("query")) == "" {
		return query{}, failure(http.StatusBadRequest, "invalid", "query is missing"), false
	}
	q := query{values: map[string][]string{}}
	count := 0
	for _, t := range parseQuery(c.query.Get("query")) {
		count += max(len(words(t.value)), 1)
		switch t.key {
		case "type":
			q.kind = t.value
		case "":
			q.bare = append(q.bare, t.value)
		default:
			q.values[t.key] = append(q.values[t.key], t.value)
		}
	}
	if c.settings.MaxSearchWords > 0 && count > c.settings.MaxSearchWords {
		return query{}, failure(http.StatusUnprocessableEntity, "invalid", "Your search query has too many words."), false
	}
	return q, answer{}, true
}

// offsetOnly refuses cursor parameters.
func (c *call) offsetOnly() (answer, bool) {
	for key := range c.query {
		if strings.HasPrefix(key, "page[") {
			return listed(http.StatusBadRequest, "InvalidPaginationParameter", "page must be an integer"), false
		}
	}
	return answer{}, true
}

// search finds organizations and people in the index, which lags; the documents are as stale as the index.
func (c *call) search() answer {
	if bad, ok := c.offsetOnly(); !ok {
		return bad
	}
	q, bad, ok := c.readQuery()
	if !ok {
		return bad
	}
	number, ok := positive(c.query.Get("page"), 1)
	size, fine := positive(c.query.Get("per_page"), pageSize)
	if !ok || !fine {
		return listed(http.StatusBadRequest, "InvalidPaginationParameter", "page must be an integer")
	}
	if number*min(size, pageSize) > searchDepth {
		return failure(http.StatusUnprocessableEntity, "invalid",
			"Requested response size was greater than Search Response Limits")
	}
	organizations := c.findOrganizations(q)
	people := c.findUsers(q)
	ids := append(keysOf(organizations), keysOf(people)...)
	p, bad, ok := c.offsetPage(ids, 0)
	if !ok {
		return bad
	}
	rows := make([]any, 0, len(p.ids))
	for _, id := range p.ids {
		var row map[string]any
		if o := organizations[id]; o != nil {
			row = c.organizationJSON(o)
			row["result_type"] = "organization"
		} else {
			row = c.userJSON(people[id])
			row["result_type"] = "user"
		}
		rows = append(rows, row)
	}
	return p.list("results", rows, map[string]any{"facets": nil})
}

// searchUsers finds people: by query in the index, by external id exactly.
func (c *call) searchUsers() answer {
	if bad, ok := c.offsetOnly(); !ok {
		return bad
	}
	people := map[int64]*user{}
	if external := c.query.Get("external_id"); external != "" {
		for _, id := range c.activeUsers(c.s.account.userIDs) {
			if u := c.s.account.user(id); strings.EqualFold(u.externalID, external) {
				people[id] = u
			}
		}
	} else {
		q, bad, ok := c.readQuery()
		if !ok {
			return bad
		}
		people = c.findUsers(q)
	}
	p, bad, ok := c.offsetPage(keysOf(people), 0)
	if !ok {
		return bad
	}
	rows := make([]any, 0, len(p.ids))
	for _, id := range p.ids {
		rows = append(rows, c.userJSON(people[id]))
	}
	return p.list("users", rows, nil)
}

func keysOf[T any](m map[int64]T) []int64 {
	keys := make([]int64, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func (c *call) findUsers(q query) map[int64]*user {
	found := map[int64]*user{}
	if q.kind != "" && q.kind != "user" {
		return found
	}
	for id, r := range c.s.account.users {
		r.catchUp(c.now, c.settings.SearchLag)
		if u := r.indexed; u != nil && u.active && c.matchesUser(u, q) {
			found[id] = u
		}
	}
	return found
}

func (c *call) matchesUser(u *user, q query) bool {
	for key, values := range q.values {
		if !slices.ContainsFunc(values, func(value string) bool { return c.userHas(u, key, value) }) {
			return false
		}
	}
	for _, word := range q.bare {
		if !containsWords(u.name, words(word), true) && !c.userHas(u, "email", word) {
			return false
		}
	}
	return true
}

// userHas matches one condition. An address matches when its words contain those asked for, the last one as a
// prefix: neither quoting nor the whole address makes it exact (hive issue 6772).
func (c *call) userHas(u *user, key, value string) bool {
	switch key {
	case "email":
		addresses := []string{u.email()}
		if c.settings.SearchSecondary {
			addresses = u.addresses()
		}
		return slices.ContainsFunc(addresses, func(address string) bool {
			return containsWords(address, words(value), true)
		})
	case "name":
		return containsWords(u.name, words(value), true)
	case "role":
		return u.role == value
	case "external_id":
		return strings.EqualFold(u.externalID, value)
	case "phone":
		return containsWords(u.phone, words(value), false)
	case "organization", "organization_id":
		return value == "none" && u.home == 0 || decimal(u.home) == value
	}
	return false
}

func (c *call) findOrganizations(q query) map[int64]*organization {
	found := map[int64]*organization{}
	if q.kind != "" && q.kind != "organization" {
		return found
	}
	for id, r := range c.s.account.organizations {
		r.catchUp(c.now, c.settings.SearchLag)
		if o := r.indexed; o != nil && o.deleted.IsZero() && matchesOrganization(o, q) {
			found[id] = o
		}
	}
	return found
}

func matchesOrganization(o *organization, q query) bool {
	for key, values := range q.values {
		if !slices.ContainsFunc(values, func(value string) bool { return organizationHas(o, key, value) }) {
			return false
		}
	}
	for _, word := range q.bare {
		if !containsWords(o.name, words(word), true) {
			return false
		}
	}
	return true
}

// organizationHas matches one condition. A text field matches when it contains the word: "12 and 345" and "x-345"
// are hits for 345.
func organizationHas(o *organization, key, value string) bool {
	switch key {
	case "name":
		return containsWords(o.name, words(value), true)
	case "external_id":
		return strings.EqualFold(o.externalID, value)
	}
	text := fieldText(o.fields[key])
	if value == "none" {
		return text == ""
	}
	return containsWords(text, words(value), false)
}

// fieldText is a custom field as the index reads it.
func fieldText(value any) string {
	switch value := value.(type) {
	case nil:
		return ""
	case string:
		return value
	}
	text, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(text)
}
