package gitlab

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maintainer is the access level that hooks take.
// Source: docs.gitlab.com/api/access_requests, "Valid access levels".
const maintainer = 40

// What becomes of a hook that fails: from the fourth failure in a row on it is disabled, for a minute, then for twice
// as long each time, up to a day; the fortieth disables it until a test succeeds. A success ends all that.
// Source: docs.gitlab.com/user/project/integrations/webhooks, "Auto-disabled webhooks" (17.11).
const (
	graceFailures = 3
	lastFailure   = 40
	firstPause    = time.Minute
	longestPause  = 24 * time.Hour
)

// The alert statuses of a hook.
const (
	executable          = "executable"
	temporarilyDisabled = "temporarily_disabled"
	disabled            = "disabled"
)

func (h *hook) status(now time.Time) string {
	switch {
	case h.failures >= lastFailure:
		return disabled
	case h.failures > graceFailures && !h.disabled.Before(now):
		return temporarilyDisabled
	}
	return executable
}

// judge counts an attempt for or against its hook. A redirect, which is not followed, counts as success; failures of a
// hook that is disabled already do not count. It expects the lock to be held.
func (s *Server) judge(h *hook, event Event) {
	now := s.options.Now()
	switch {
	case s.options.KeepHooks:
	case event.Status >= 200 && event.Status < 400:
		h.failures, h.disabled = 0, time.Time{}
	case h.status(now) == executable:
		h.failures++
		if h.failures > graceFailures {
			pause := min(firstPause<<min(h.failures-graceFailures-1, 11), longestPause)
			h.disabled = now.Add(pause)
		}
	}
}

// keptFor is how long events are listed.
const keptFor = 7 * 24 * time.Hour

// listEvents lists what a hook delivered, the newest first.
// Source: docs.gitlab.com/api/project_webhooks, "List project webhook events".
func (s *Server) listEvents(w http.ResponseWriter, r *http.Request, p *project) {
	page, size := paging(r, 20)
	if asked, err := strconv.Atoi(r.URL.Query().Get("per_page")); err == nil && asked > 20 {
		invalid(w, "per_page")
		return
	}
	var filter []string
	if asked := r.URL.Query().Get("status"); asked != "" {
		filter = strings.Split(asked, ",")
	}
	for _, status := range filter {
		if code, err := strconv.Atoi(status); !slices.Contains(categories, status) && (err != nil || http.StatusText(code) == "") {
			invalid(w, "status")
			return
		}
	}
	s.onHook(w, r, p, func(h *hook) {
		var listed []Event
		for _, event := range slices.Backward(h.events) {
			if s.options.Now().Sub(event.DeliveredAt) <= keptFor && (filter == nil || slices.ContainsFunc(filter, event.is)) {
				listed = append(listed, event)
			}
		}
		answerJSON(w, http.StatusOK, paged(w, listed, page, size, Event.describe))
	})
}

func invalid(w http.ResponseWriter, parameter string) {
	answerJSON(w, http.StatusBadRequest, map[string]string{"error": parameter + " does not have a valid value"})
}

// categories are what events may be filtered by, beside single codes.
var categories = []string{"successful", "client_failure", "server_failure"}

// is reports whether the event is of a category, or has a code. One without an answer counts to the server's failures.
func (e Event) is(category string) bool {
	switch category {
	case "successful":
		return e.Status/100 == 2
	case "client_failure":
		return e.Status/100 == 4
	case "server_failure":
		return e.Status == 0 || e.Status/100 == 5
	}
	return e.status() == category
}

func (e Event) status() string {
	if e.Status == 0 {
		return "internal error"
	}
	return strconv.Itoa(e.Status)
}

func (e Event) describe() map[string]any {
	headers := make(map[string]string)
	for name := range e.Header {
		headers[name] = e.Header.Get(name)
	}
	if _, secret := headers["X-Gitlab-Token"]; secret {
		headers["X-Gitlab-Token"] = "[REDACTED]"
	}
	trigger := "push_hooks"
	if e.Kind == mergeHook {
		trigger = "merge_request_hooks"
	}
	return map[string]any{
		"id": e.ID, "url": e.URL, "trigger": trigger, "request_headers": headers,
		"request_data": json.RawMessage(e.Body), "response_headers": map[string]string{},
		"response_body": string(e.ResponseBytes), "response_status": e.status(), "execution_duration": 0.01,
		"created_at": e.DeliveredAt.UTC().Format("2006-01-02T15:04:05.000Z"),
	}
}

// window counts what was asked for within a minute of the first.
type window struct {
	opened time.Time
	used   int
}

// operationsAMinute is how many tests, and how many resends, a project allows each user.
// Source: docs.gitlab.com/administration/settings/rate-limit-on-webhook-operations.
const operationsAMinute = 5

// limited answers for the server, and returns true, when too much was asked for.
func (s *Server) limited(w http.ResponseWriter, count *window) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.options.Now(); now.Sub(count.opened) >= time.Minute {
		*count = window{opened: now}
	}
	count.used++
	if count.used <= operationsAMinute {
		return false
	}
	answerJSON(w, http.StatusTooManyRequests, map[string]any{"message": map[string]string{
		"error": "This endpoint has been requested too many times. Try again later."}})
	return true
}

// copyOf returns a copy of the hook that a request is about, to work on without the lock; it answers for the server
// when there is none.
func (s *Server) copyOf(w http.ResponseWriter, r *http.Request, p *project) (copied hook, found bool) {
	s.onHook(w, r, p, func(h *hook) { copied, found = *h, true })
	return copied, found
}

// testHook sends what the last three commits would have said, disabled or not, and waits for the receiver's answer.
// Source: docs.gitlab.com/api/project_webhooks, "Trigger a test project webhook".
func (s *Server) testHook(w http.ResponseWriter, r *http.Request, p *project) {
	if r.PathValue("trigger") != "push_events" {
		invalid(w, "trigger")
		return
	}
	h, found := s.copyOf(w, r, p)
	if !found || s.limited(w, &p.tests) {
		return
	}
	event := Event{Kind: pushHook}
	var err error
	event.Body, event.Push, err = s.sample(p)
	event = s.attempt(p, h, event, newUUID(), err)
	switch {
	case event.Status == 0:
		message(w, http.StatusUnprocessableEntity, event.Error)
	case event.Status/100 != 2:
		message(w, http.StatusUnprocessableEntity, string(event.ResponseBytes))
	default:
		message(w, http.StatusCreated, "201 Created")
	}
}

// sample is the body of a test: as if the last three commits of the default branch had just been pushed. For a
// repository without commits it is about a project that is somebody else's, 15, whatever the hook's own is.
// Source: docs.gitlab.com/user/project/integrations/webhooks, "Test a webhook".
func (s *Server) sample(p *project) ([]byte, Push, error) {
	refs, err := s.refs(p)
	if err != nil {
		return nil, Push{}, err
	}
	if len(refs) == 0 {
		before, after := strings.Repeat("1", 40), strings.Repeat("2", 40)
		body, err := json.Marshal(map[string]any{
			"object_kind": "push", "event_name": "push", "before": before, "after": after, "ref": "refs/heads/master",
			"checkout_sha": after, "message": "A sample", "user_id": 4, "user_name": "Sample", "user_email": "sample@example.com",
			"project_id": 15, "project": map[string]any{"id": 15, "name": "sample", "path_with_namespace": "sample/sample", "default_branch": "master"},
			"commits": []any{}, "total_commits_count": 1, "push_options": map[string]any{},
		})
		return body, Push{ProjectID: 15, Ref: "refs/heads/master", Before: before, After: after}, err
	}
	push := Push{ProjectID: p.ID, Ref: "refs/heads/" + p.DefaultBranch, Before: noCommit, After: noCommit, User: s.service}
	var commits []map[string]any
	if refs[push.Ref] != "" {
		if commits, err = s.log(p, 3, push.Ref); err != nil {
			return nil, push, err
		}
		push.After, _ = commits[0]["id"].(string)
		push.Before, _ = commits[len(commits)-1]["id"].(string)
	}
	body, err := json.Marshal(s.payload(p, push, commits, len(commits)))
	return body, push, err
}

// resendEvent sends an event again, as what it was: with its body and its key. A hook that is disabled, or leads
// elsewhere by now, is not served.
// Source: docs.gitlab.com/api/project_webhooks, "Resend a project webhook event".
func (s *Server) resendEvent(w http.ResponseWriter, r *http.Request, p *project) {
	h, found := s.copyOf(w, r, p)
	if !found || s.limited(w, &p.resends) {
		return
	}
	id, _ := strconv.ParseInt(r.PathValue("event"), 10, 64)
	i := slices.IndexFunc(h.events, func(e Event) bool { return e.ID == id })
	if i < 0 {
		message(w, http.StatusNotFound, "404 Not found")
		return
	}
	event := h.events[i]
	if address, _ := h.address(); address != event.address {
		message(w, http.StatusUnprocessableEntity, "The hook URL has changed, and this log entry cannot be retried")
		return
	}
	if h.status(s.options.Now()) != executable {
		message(w, http.StatusUnprocessableEntity, "Hook disabled")
		return
	}
	event = s.attempt(p, h, Event{Kind: event.Kind, Push: event.Push, Body: event.Body}, event.Header.Get("Idempotency-Key"), nil)
	if event.Status == 0 {
		message(w, http.StatusUnprocessableEntity, event.Error)
		return
	}
	answerJSON(w, http.StatusCreated, map[string]int{"response_status": event.Status})
}
