package zendesk

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// FaultKind is what goes wrong.
type FaultKind int

// The kinds of faults. Those that spoil a list strike only where there is something to spoil, and are not used up by
// other answers.
const (
	// EmptyPage takes all rows out of a list, and says that there are no more: count 0, no next page.
	EmptyPage FaultKind = iota + 1
	// DroppedPage ends a list early: no next page although rows are missing. An offset count stays right.
	DroppedPage
	// RepeatedCursor names, as the next page of a list, the page that was just sent.
	RepeatedCursor
	// TruncatedBody sends half of the body under the full Content-Length, then cuts the connection.
	TruncatedBody
	// Error500Before answers 500 and has done nothing; Error500After has done everything.
	Error500Before
	Error500After
	// ResetBefore and ResetAfter cut the connection without an answer, before and after the work was done.
	ResetBefore
	ResetAfter
	// Unauthorized401 and Forbidden403 refuse; nothing was done.
	Unauthorized401
	Forbidden403
	// RateLimited429 is the account's own limit, EdgeRateLimit the one of the protection before it, with another body
	// and no Retry-After. Nothing was done.
	RateLimited429
	EdgeRateLimit
	// Conflict409 refuses because of a concurrent write; nothing was done.
	Conflict409
	// Slow does the work, then withholds the answer until the client gives up or Release is called.
	Slow
	// NotJSON answers 200 with an HTML page; nothing was done.
	NotJSON
	// JobRowFails makes rows of the job that a request starts fail (see Fault.Rows); the job completes all the same.
	JobRowFails
	// JobFails makes the whole job end as failed, with nothing done.
	JobFails
	// MalformedRow spoils the id of the first row of a list, or of the one thing that is shown.
	MalformedRow
	// ForeignRow makes the first membership of an organization's or a person's list one of another organization.
	ForeignRow
	// DuplicateRow sends the first row of a list again in place of the last.
	DuplicateRow
	// WrongCount adds one to the count of a list.
	WrongCount
	// MissingSideload leaves out one of the users that go with a list of memberships.
	MissingSideload
)

// Fault is something that goes wrong with requests.
type Fault struct {
	Name string // shown in Request.Fault
	Kind FaultKind
	// Match picks the requests; n counts all requests from 1. Nil picks any. It must not call the server.
	Match func(r *http.Request, n int) bool
	Times int // how often it strikes; 0: every time
	// RetryAfter is what RateLimited429 asks for; a second when 0.
	RetryAfter time.Duration
	// Rows picks the rows that JobRowFails fails, by their index in the request. Nil: all.
	Rows func(index int) bool
}

type armedFault struct {
	Fault
	left   int // -1: no end
	struck bool
}

// Inject arms a fault. Of several that match a request, the one injected first strikes.
func (s *Server) Inject(fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := fault.Times
	if left == 0 {
		left = -1
	}
	s.faults = append(s.faults, &armedFault{Fault: fault, left: left})
}

// ClearFaults disarms all faults.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// Release lets every request that a Slow fault holds go on, answered as if nothing had been.
func (s *Server) Release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.release)
	s.release = make(chan struct{})
}

// pickFault returns the fault that may strike the request, or nil.
func (s *Server) pickFault(r *http.Request, body []byte, n int) *armedFault {
	for _, fault := range s.faults {
		if fault.left == 0 {
			continue
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if fault.Match == nil || fault.Match(r, n) {
			fault.struck = false
			return fault
		}
	}
	return nil
}

// strike counts that the fault did something.
func (f *armedFault) strike() {
	f.struck = true
	if f.left > 0 {
		f.left--
	}
}

// instead returns the answer of a fault that strikes before anything is done.
func (f *armedFault) instead(now time.Time, settings Settings) (answer, bool) {
	if f == nil {
		return answer{}, false
	}
	var result answer
	switch f.Kind {
	case Error500Before:
		result = brokenServer()
	case ResetBefore:
		result = answer{cut: true}
	case Unauthorized401:
		result = unauthorized()
	case Forbidden403:
		result = forbidden("You do not have access to this page. Please contact the account owner of this help desk for further help.")
	case RateLimited429:
		wait := f.RetryAfter
		if wait == 0 {
			wait = time.Second
		}
		result = tooMany(now, settings, wait)
	case Conflict409:
		result = failure(http.StatusConflict, "DatabaseConflict", "The record was changed by another request.")
	case EdgeRateLimit:
		result = reply(http.StatusTooManyRequests, map[string]any{
			"detail": "Too many requests", "status": "429", "title": "Automated response",
		})
	case NotJSON:
		result = answer{
			status: http.StatusOK, header: http.Header{"Content-Type": {"text/html; charset=utf-8"}},
			body: []byte("<!DOCTYPE html><html><head><title>Maintenance</title></head><body>Back soon.</body></html>"),
		}
	default:
		return answer{}, false
	}
	f.strike()
	return result, true
}

// spoil returns what becomes of a finished answer.
func (f *armedFault) spoil(a answer, c *call) answer {
	if f == nil {
		return a
	}
	switch f.Kind {
	case Error500After:
		f.strike()
		return brokenServer()
	case ResetAfter:
		f.strike()
		return answer{cut: true}
	case TruncatedBody:
		if len(a.body) > 1 {
			f.strike()
			a.truncated = true
		}
		return a
	case Slow:
		f.strike()
		a.slow = true
		return a
	case EmptyPage, DroppedPage, RepeatedCursor, MalformedRow, ForeignRow, DuplicateRow, WrongCount,
		MissingSideload:
		if a.status != http.StatusOK && a.status != http.StatusCreated {
			return a
		}
		if spoilt, ok := rewrite(a, func(body map[string]any) bool { return f.rewrite(body, c) }); ok {
			f.strike()
			return spoilt
		}
	}
	return a
}

func brokenServer() answer {
	return answer{
		status: http.StatusInternalServerError, header: http.Header{"Content-Type": {"text/html; charset=utf-8"}},
		body: []byte("<html><body><h1>Something went wrong</h1></body></html>"),
	}
}

// rewrite changes an answer's JSON; false when it is none or the change did not apply.
func rewrite(a answer, change func(map[string]any) bool) (answer, bool) {
	decoder := json.NewDecoder(bytes.NewReader(a.body))
	decoder.UseNumber()
	var body map[string]any
	if err := decoder.Decode(&body); err != nil || !change(body) {
		return a, false
	}
	text, err := json.Marshal(body)
	if err != nil {
		return a, false
	}
	a.body = text
	return a, true
}

// lists are the names under which rows stand; the first that is there is the list itself, others are side-loaded.
var lists = []string{
	"organization_memberships", "results", "job_statuses", "deleted_users", "organization_fields",
	"macros", "users", "organizations", "identities",
}

func (f *armedFault) rewrite(body map[string]any, c *call) bool {
	name, rows := mainList(body)
	if name == "" {
		return f.Kind == MalformedRow && spoilOne(body)
	}
	switch f.Kind {
	case EmptyPage:
		for _, list := range lists {
			if _, ok := body[list].([]any); ok {
				body[list] = []any{}
			}
		}
		if body["count"] != nil {
			body["count"] = 0
		}
		endList(body)
		return len(rows) > 0
	case DroppedPage:
		return endList(body)
	case RepeatedCursor:
		return repeatCursor(body, c)
	case WrongCount:
		return miscount(body)
	}
	if len(rows) == 0 {
		return false
	}
	switch f.Kind {
	case MalformedRow:
		return spoilRow(rows[0])
	case ForeignRow:
		row, ok := rows[0].(map[string]any)
		if !ok || name != "organization_memberships" || len(c.params) == 0 {
			return false
		}
		row["organization_id"] = firstOrganization - 1
		return true
	case DuplicateRow:
		rows[len(rows)-1] = rows[0]
		return len(rows) > 1
	case MissingSideload:
		users, ok := body["users"].([]any)
		if !ok || name == "users" || len(users) == 0 {
			return false
		}
		body["users"] = users[:len(users)-1]
		return true
	}
	return false
}

func mainList(body map[string]any) (string, []any) {
	for _, name := range lists {
		if rows, ok := body[name].([]any); ok {
			return name, rows
		}
	}
	return "", nil
}

// endList says that nothing follows; false when nothing did.
func endList(body map[string]any) bool {
	ended := false
	if meta, ok := body["meta"].(map[string]any); ok && meta["has_more"] == true {
		meta["has_more"] = false
		if links, ok := body["links"].(map[string]any); ok {
			links["next"] = nil
		}
		ended = true
	}
	if more, ok := body["end_of_stream"].(bool); ok && !more {
		body["end_of_stream"] = true
		ended = true
	}
	if body["next_page"] != nil {
		body["next_page"] = nil
		ended = true
	}
	return ended
}

// repeatCursor makes the next page the present one; false when there is no next page.
func repeatCursor(body map[string]any, c *call) bool {
	same := c.with()
	if meta, ok := body["meta"].(map[string]any); ok && meta["has_more"] == true {
		cursor := c.query.Get("page[after]")
		if cursor == "" {
			cursor = writeCursor(0)
			same = c.with("page[after]", cursor)
		}
		meta["after_cursor"] = cursor
		if links, ok := body["links"].(map[string]any); ok {
			links["next"] = same
		}
		return true
	}
	if more, ok := body["end_of_stream"].(bool); ok && !more {
		if body["next_page"] != nil {
			body["next_page"], body["end_time"] = same, c.query.Get("start_time")
			if start, err := strconv.ParseInt(c.query.Get("start_time"), 10, 64); err == nil {
				body["end_time"] = start
			}
			return true
		}
		if cursor := c.query.Get("cursor"); cursor != "" {
			body["after_cursor"], body["after_url"] = cursor, same
			return true
		}
		return false
	}
	if body["next_page"] != nil {
		body["next_page"] = same
		return true
	}
	return false
}

func miscount(body map[string]any) bool {
	count, ok := body["count"].(json.Number)
	if !ok {
		return false
	}
	n, err := count.Int64()
	body["count"] = n + 1
	return err == nil
}

func spoilRow(row any) bool {
	object, ok := row.(map[string]any)
	if !ok || object["id"] == nil {
		return false
	}
	if _, text := object["id"].(string); text {
		object["id"] = 0 // ids of jobs are texts
		return true
	}
	object["id"] = "not a number"
	return true
}

func spoilOne(body map[string]any) bool {
	for _, value := range body {
		if spoilRow(value) {
			return true
		}
	}
	return false
}

// deliver sends the answer, or breaks the connection as the fault wants it.
func deliver(w http.ResponseWriter, r *http.Request, a answer, release <-chan struct{}) {
	if a.cut {
		reset(w)
	}
	if a.slow {
		select {
		case <-r.Context().Done():
			return
		case <-release:
		}
	}
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if a.status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	body := a.body
	if a.truncated {
		body = body[:len(body)/2]
	}
	_, _ = w.Write(body) // the client may have gone: nothing is owed to it
	if a.truncated {
		// Abort with the half on the wire, so that the client sees a short body and not a lost connection.
		_ = http.NewResponseController(w).Flush() // a writer that cannot flush has nothing on the wire
		panic(http.ErrAbortHandler)
	}
}

// reset cuts the connection with a TCP reset where it can, else just closes it.
func reset(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // best effort: without it the close is a plain one
		}
		_ = conn.Close()
	}
	panic(http.ErrAbortHandler)
}

// path is the request's path without /api/v2 and .json, for use in Fault.Match.
func path(r *http.Request) string {
	return strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/api/v2/"), ".json")
}

// On matches requests by verb and path: "organizations/*/users", where * stands for one part of the path; /api/v2
// and .json are left out. An empty verb matches any.
func On(method, pattern string) func(*http.Request, int) bool {
	want := strings.Split(pattern, "/")
	return func(r *http.Request, _ int) bool {
		if method != "" && r.Method != method {
			return false
		}
		have := strings.Split(strings.TrimPrefix(path(r), "/"), "/")
		if len(have) != len(want) {
			return false
		}
		for i := range want {
			if want[i] != "*" && want[i] != have[i] {
				return false
			}
		}
		return true
	}
}

// Nth matches the n-th request since the start or the last ResetRequests.
func Nth(n int) func(*http.Request, int) bool {
	return func(_ *http.Request, count int) bool { return count == n }
}
