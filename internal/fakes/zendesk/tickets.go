package zendesk

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A ticket takes 30 updates in 10 minutes of one user, and this stand-in knows one user.
const (
	ticketUpdates = 30
	ticketWindow  = 10 * time.Minute
)

// Ticket is a ticket as a test states it, and as the desk then holds it.
type Ticket struct {
	ID           int64 // set by the server
	Subject      string
	Requester    int64  // id of a person, 0 for none
	Organization int64  // 0 for none
	Status       string // "open" when empty
	Priority     string // "" for none, as the following
	Type         string
	Assignee     int64
	Group        int64
	CustomStatus int64
	Tags         []string
	Fields       map[int64]any // custom fields, by id
	Comments     []Comment     // in the order in which they were made
}

// Comment is one comment of a ticket, the description not counted.
type Comment struct {
	Body   string // what was sent, be it plain or HTML
	HTML   bool
	Public bool
}

// Macro is a macro as a test states it. What is empty, it leaves alone.
type Macro struct {
	ID       int64 // set by the server
	Title    string
	Inactive bool
	// Comment may have placeholders: {{ticket.id}}, {{ticket.title}}, {{ticket.requester.name}}.
	Comment  string
	HTML     bool
	Public   *bool // nil: the macro says nothing about it
	Subject  string
	Status   string
	Priority string
	Type     string
	Assignee int64
	Group    int64
	// CustomStatus is the status of the account's own.
	CustomStatus int64
	AddTags      []string
	Fields       map[int64]any
}

// ticket is never changed once stored, as everything here.
type ticket struct {
	Ticket
	created time.Time
	updated time.Time
}

// AddTicket adds a ticket and returns its id.
func (s *Server) AddTicket(t Ticket) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.clock()
	t.ID = next(&s.account.tickets0)
	if t.Status == "" {
		t.Status = "open"
	}
	s.account.tickets[t.ID] = &ticket{Ticket: t.clone(), created: now, updated: now}
	return t.ID
}

// UpdateTicket changes a ticket as somebody at the desk would, closed ones too. Unknown ones are left alone.
func (s *Server) UpdateTicket(id int64, change func(*Ticket)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.account.tickets[id]
	if old == nil {
		return
	}
	changed := old.clone()
	change(&changed)
	s.account.putTicket(s.clock(), old, changed)
}

// Ticket returns the ticket with that id.
func (s *Server) Ticket(id int64) (Ticket, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.account.tickets[id]
	if t == nil {
		return Ticket{}, false
	}
	return t.clone(), true
}

// AddMacro adds a macro and returns its id.
func (s *Server) AddMacro(m Macro) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.ID = next(&s.account.macros0)
	m.AddTags, m.Fields = slices.Clone(m.AddTags), maps.Clone(m.Fields)
	s.account.macros[m.ID] = &m
	return m.ID
}

// DeleteMacro deletes a macro.
func (s *Server) DeleteMacro(id int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.account.macros, id)
}

func (t Ticket) clone() Ticket {
	t.Tags, t.Fields, t.Comments = slices.Clone(t.Tags), maps.Clone(t.Fields), slices.Clone(t.Comments)
	return t
}

// putTicket stores what a ticket has become. Its time is a second later than before at least, because updates are told
// apart by seconds, and a test's clock may stand still.
func (a *account) putTicket(now time.Time, old *ticket, changed Ticket) *ticket {
	stored := &ticket{Ticket: changed, created: old.created, updated: now}
	if earliest := old.updated.Add(time.Second); stored.updated.Before(earliest) {
		stored.updated = earliest
	}
	a.tickets[changed.ID] = stored
	return stored
}

// ticketOf is the ticket of the path, or nil.
func (c *call) ticketOf() *ticket {
	id, ok := c.id("ticket")
	if !ok {
		return nil
	}
	return c.s.account.tickets[id]
}

func (c *call) ticketJSON(t *ticket) map[string]any {
	fields := fieldRows(t.Fields)
	return map[string]any{
		"id": t.ID, "url": c.url("tickets", t.ID), "subject": t.Subject, "raw_subject": t.Subject, "description": t.Subject,
		"status": t.Status, "priority": textOrNull(t.Priority), "type": textOrNull(t.Type),
		"requester_id": orNull(t.Requester), "submitter_id": orNull(t.Requester), "organization_id": orNull(t.Organization),
		"assignee_id": orNull(t.Assignee), "group_id": orNull(t.Group), "custom_status_id": orNull(t.CustomStatus),
		"tags": emptyNotNull(t.Tags), "custom_fields": fields, "fields": fields, "has_incidents": false,
		"created_at": stamp(t.created), "updated_at": stamp(t.updated),
	}
}

// fieldRows are custom fields as Zendesk shows them, by id.
func fieldRows(fields map[int64]any) []any {
	rows := []any{}
	for _, id := range slices.Sorted(maps.Keys(fields)) {
		rows = append(rows, map[string]any{"id": id, "value": fields[id]})
	}
	return rows
}

func (c *call) showTicket() answer {
	t := c.ticketOf()
	if t == nil {
		return recordNotFound()
	}
	body := map[string]any{"ticket": c.ticketJSON(t)}
	if c.includes("users") && c.settings.SideLoadUsers {
		users := []any{}
		if u := c.s.account.user(t.Requester); u != nil {
			users = append(users, c.sideLoaded(u))
		}
		body["users"] = users
	}
	return reply(http.StatusOK, body)
}

type fieldInput struct {
	ID    int64 `json:"id"`
	Value any   `json:"value"`
}

// updateTicket writes what was sent, all or nothing. Tags replace those that are there.
func (c *call) updateTicket() answer {
	t := c.ticketOf()
	if t == nil {
		return recordNotFound()
	}
	denied, header, ok := c.endpoint("tickets-update", " "+decimal(t.ID), ticketUpdates, ticketWindow)
	if !ok {
		return denied
	}
	a := c.changeTicket(t)
	copyHeader(a, header)
	return a
}

func (c *call) changeTicket(t *ticket) answer {
	var body struct {
		Ticket struct {
			Comment *struct {
				Body   string      `json:"body"`
				HTML   string      `json:"html_body"`
				Public field[bool] `json:"public"`
			} `json:"comment"`
			Subject      field[string]   `json:"subject"`
			Status       field[string]   `json:"status"`
			Priority     field[string]   `json:"priority"`
			Type         field[string]   `json:"type"`
			Assignee     field[int64]    `json:"assignee_id"`
			Group        field[int64]    `json:"group_id"`
			CustomStatus field[int64]    `json:"custom_status_id"`
			Tags         field[[]string] `json:"tags"`
			Fields       []fieldInput    `json:"custom_fields"`
			Stamp        string          `json:"updated_stamp"`
			Safe         field[bool]     `json:"safe_update"`
		} `json:"ticket"`
	}
	if bad, ok := c.decode(&body); !ok {
		return bad
	}
	in := body.Ticket
	if !in.Safe.set || in.Stamp == "" {
		c.violation("a ticket updated without safe_update")
	}
	if in.Safe.set && in.Stamp != "" && in.Stamp != stamp(t.updated) { // false has the effect of true
		return failure(http.StatusConflict, "UpdateConflict", "Safe Update prevented since the ticket was updated after the given time")
	}
	if t.Status == "closed" {
		return (&problem{"status", "Status: closed prevents ticket update", "InvalidValue"}).answer()
	}
	changed := t.clone()
	write(&changed.Subject, in.Subject)
	write(&changed.Status, in.Status)
	write(&changed.Priority, in.Priority)
	write(&changed.Type, in.Type)
	write(&changed.Assignee, in.Assignee)
	write(&changed.Group, in.Group)
	write(&changed.CustomStatus, in.CustomStatus)
	if !slices.Contains([]string{"new", "open", "pending", "hold", "solved", "closed"}, changed.Status) {
		return (&problem{"status", "Status: " + changed.Status + " is not a valid status", "InvalidValue"}).answer()
	}
	if in.Tags.set {
		changed.Tags = nil
		for _, tag := range in.Tags.value {
			if tag = strings.ToLower(tag); !slices.Contains(changed.Tags, tag) {
				changed.Tags = append(changed.Tags, tag)
			}
		}
		slices.Sort(changed.Tags)
	}
	if len(in.Fields) > 0 && changed.Fields == nil {
		changed.Fields = map[int64]any{}
	}
	for _, f := range in.Fields {
		changed.Fields[f.ID] = f.Value
	}
	if comment := in.Comment; comment != nil {
		made := Comment{Body: comment.Body, Public: !comment.Public.set || comment.Public.value}
		if comment.HTML != "" {
			made.Body, made.HTML = comment.HTML, true
		}
		if !comment.Public.set {
			c.violation("a comment that does not say whether it is public")
		}
		if strings.TrimSpace(made.Body) == "" {
			return blank("base", "Description").answer()
		}
		changed.Comments = append(changed.Comments, made)
	}
	stored := c.s.account.putTicket(c.now, t, changed)
	return reply(http.StatusOK, map[string]any{
		"ticket": c.ticketJSON(stored),
		"audit":  map[string]any{"id": 1, "ticket_id": t.ID, "created_at": stamp(stored.updated), "events": []any{}},
	})
}

// write takes over a value that was sent; null empties.
func write[T any](to *T, sent field[T]) {
	if sent.set {
		*to = sent.value
	}
}

func (c *call) macroJSON(m *Macro) map[string]any {
	return map[string]any{
		"id": m.ID, "url": c.url("macros", m.ID), "title": m.Title, "raw_title": m.Title, "active": !m.Inactive,
		"actions": []any{}, "restriction": nil, "position": 9999, "default": false, "description": nil,
		"created_at": stamp(time.Unix(0, 0)), "updated_at": stamp(time.Unix(0, 0)),
	}
}

func (c *call) listActiveMacros() answer {
	var ids []int64
	for _, id := range slices.Sorted(maps.Keys(c.s.account.macros)) {
		if !c.s.account.macros[id].Inactive {
			ids = append(ids, id)
		}
	}
	p, bad, ok := c.paginate(ids, 0)
	if !ok {
		return bad
	}
	rows := make([]any, 0, len(p.ids))
	for _, id := range p.ids {
		rows = append(rows, c.macroJSON(c.s.account.macros[id]))
	}
	return p.list("macros", rows, nil)
}

// applyMacro shows the ticket as it would be, and changes nothing.
func (c *call) applyMacro() answer {
	t := c.ticketOf()
	id, ok := c.id("macro")
	m := c.s.account.macros[id]
	if t == nil || !ok || m == nil {
		return recordNotFound()
	}
	after := &ticket{Ticket: t.clone(), created: t.created, updated: t.updated}
	set(&after.Subject, m.Subject)
	set(&after.Status, m.Status)
	set(&after.Priority, m.Priority)
	set(&after.Type, m.Type)
	set(&after.Assignee, m.Assignee)
	set(&after.Group, m.Group)
	set(&after.CustomStatus, m.CustomStatus)
	for _, tag := range m.AddTags {
		if !slices.Contains(after.Tags, tag) {
			after.Tags = append(after.Tags, tag)
		}
	}
	if after.Fields == nil {
		after.Fields = map[int64]any{}
	}
	for id, value := range m.Fields {
		// The tag of a drop-down's option goes with the option.
		if old, ok := after.Fields[id].(string); ok && !reflect.DeepEqual(old, value) {
			after.Tags = slices.DeleteFunc(after.Tags, func(tag string) bool { return tag == old })
		}
		after.Fields[id] = value
	}
	shown := c.ticketJSON(after)
	if m.Comment != "" || m.Public != nil {
		shown["comment"] = c.render(m, t)
	}
	return reply(http.StatusOK, map[string]any{"result": map[string]any{"ticket": shown}})
}

// set takes over what a macro says.
func set[T comparable](to *T, value T) {
	var nothing T
	if value != nothing {
		*to = value
	}
}

// render is a macro's comment with its placeholders filled in.
func (c *call) render(m *Macro, t *ticket) map[string]any {
	name := ""
	if u := c.s.account.user(t.Requester); u != nil {
		name = u.name
	}
	text := strings.NewReplacer("{{ticket.id}}", strconv.FormatInt(t.ID, 10), "{{ticket.title}}", t.Subject,
		"{{ticket.requester.name}}", name).Replace(m.Comment)
	comment := map[string]any{"body": text, "scoped_body": [][]string{{"channel:all", text}}}
	if m.HTML {
		comment["html_body"] = text
		comment["body"] = fmt.Sprintf("%s, as plain text", m.Title)
	}
	if m.Public != nil {
		comment["public"] = *m.Public
	}
	return comment
}
