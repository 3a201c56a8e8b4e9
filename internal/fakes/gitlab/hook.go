package gitlab

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// hook is a project's webhook. Its fields are guarded by the server's lock.
// Source: docs.gitlab.com/api/project_webhooks.
type hook struct {
	id      int64
	created time.Time
	old     bool // knows nothing of signing tokens
	settings
	events []Event // the oldest first

	failures int       // in a row
	disabled time.Time // until when; zero for a hook that never was, or has succeeded since
}

// settings are what a client may set of a hook. A nil pointer was not sent.
type settings struct {
	URL            *string    `json:"url"`
	Name           *string    `json:"name"`
	Description    *string    `json:"description"`
	PushEvents     *bool      `json:"push_events"`
	BranchFilter   *string    `json:"push_events_branch_filter"`
	BranchStrategy *string    `json:"branch_filter_strategy"`
	MergeRequests  *bool      `json:"merge_requests_events"`
	TagPushEvents  *bool      `json:"tag_push_events"`
	NoteEvents     *bool      `json:"note_events"`
	Verify         *bool      `json:"enable_ssl_verification"`
	Token          *string    `json:"token"`
	SigningToken   *string    `json:"signing_token"`
	URLVariables   []variable `json:"url_variables"`
	CustomHeaders  []variable `json:"custom_headers"`
}

type variable struct {
	Key   string `json:"key"`
	Value string `json:"value,omitempty"`
}

// Event is one delivery of a hook.
type Event struct {
	ID            int64
	Hook          int64
	URL           string // as configured: variables stay masked
	Header        http.Header
	Body          []byte
	Status        int    // 0 when there was no answer
	Error         string // why there was no answer
	Kind          string // "Push Hook" or "Merge Request Hook"
	Push          Push   // of a push
	DeliveredAt   time.Time
	ResponseBytes []byte // at most 8 KB

	address string // where it went, with the variables filled in
}

// Events returns the deliveries of a project's hooks, the oldest first.
func (s *Server) Events(id int64) ([]Event, error) {
	p, err := s.project(id)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var events []Event
	for _, h := range p.hooks {
		events = append(events, h.events...)
	}
	slices.SortFunc(events, func(a, b Event) int { return int(a.ID - b.ID) })
	return events, nil
}

// hookJSON is what the API tells of a hook: never its token, nor the values of its variables.
type hookJSON struct {
	ID               int64      `json:"id"`
	URL              string     `json:"url"`
	Name             *string    `json:"name"`
	Description      *string    `json:"description"`
	CreatedAt        time.Time  `json:"created_at"`
	ProjectID        int64      `json:"project_id"`
	PushEvents       bool       `json:"push_events"`
	TagPushEvents    bool       `json:"tag_push_events"`
	MergeRequests    bool       `json:"merge_requests_events"`
	NoteEvents       bool       `json:"note_events"`
	Verify           bool       `json:"enable_ssl_verification"`
	BranchFilter     *string    `json:"push_events_branch_filter"`
	BranchStrategy   string     `json:"branch_filter_strategy"`
	AlertStatus      string     `json:"alert_status"`
	DisabledUntil    *time.Time `json:"disabled_until"`
	URLVariables     []variable `json:"url_variables"`
	CustomHeaders    []variable `json:"custom_headers"`
	TokenPresent     bool       `json:"token_present"`
	SignTokenPresent *bool      `json:"signing_token_present,omitempty"`
}

func (h *hook) describe(projectID int64, now time.Time) hookJSON {
	described := hookJSON{
		ID: h.id, URL: value(h.URL), Name: h.Name, Description: h.Description, CreatedAt: h.created.UTC(),
		ProjectID: projectID, PushEvents: h.pushEvents(), TagPushEvents: value(h.TagPushEvents),
		MergeRequests: value(h.MergeRequests), NoteEvents: value(h.NoteEvents), Verify: h.Verify == nil || *h.Verify,
		BranchFilter: h.BranchFilter, BranchStrategy: h.strategy(), AlertStatus: h.status(now),
		URLVariables: keys(h.URLVariables), CustomHeaders: keys(h.CustomHeaders),
		TokenPresent: value(h.Token) != "",
	}
	if !h.old {
		signed := value(h.SigningToken) != ""
		described.SignTokenPresent = &signed
	}
	if !h.disabled.IsZero() {
		until := h.disabled.UTC()
		described.DisabledUntil = &until
	}
	return described
}

func (h *hook) pushEvents() bool { return h.PushEvents == nil || *h.PushEvents }

func (h *hook) strategy() string {
	if h.BranchStrategy == nil {
		return "wildcard"
	}
	return *h.BranchStrategy
}

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

func keys(variables []variable) []variable {
	masked := make([]variable, len(variables))
	for i, v := range variables {
		masked[i].Key = v.Key
	}
	return masked
}

func (s *Server) listHooks(w http.ResponseWriter, r *http.Request, p *project) {
	page, size := paging(r, 100)
	s.mu.Lock()
	defer s.mu.Unlock()
	answerJSON(w, http.StatusOK, paged(w, p.hooks, page, size, func(h *hook) hookJSON { return h.describe(p.ID, s.options.Now()) }))
}

// paging reads page and per_page, whose default is 20.
// Source: docs.gitlab.com/api/rest, "Offset-based pagination".
func paging(r *http.Request, most int) (page, size int) {
	page, _ = strconv.Atoi(r.URL.Query().Get("page"))
	size, _ = strconv.Atoi(r.URL.Query().Get("per_page"))
	if size <= 0 {
		size = 20
	}
	return max(page, 1), min(size, most)
}

func paged[T, J any](w http.ResponseWriter, all []T, page, size int, describe func(T) J) []J {
	pages := max(1, (len(all)+size-1)/size)
	header := w.Header()
	header.Set("X-Page", strconv.Itoa(page))
	header.Set("X-Per-Page", strconv.Itoa(size))
	header.Set("X-Total", strconv.Itoa(len(all)))
	header.Set("X-Total-Pages", strconv.Itoa(pages))
	header.Set("X-Next-Page", "")
	if page < pages {
		header.Set("X-Next-Page", strconv.Itoa(page+1))
	}
	start := min((page-1)*size, len(all))
	described := []J{}
	for _, item := range all[start:min(start+size, len(all))] {
		described = append(described, describe(item))
	}
	return described
}

// onHook finds the hook that a request is about, and holds the lock while it is handled.
func (s *Server) onHook(w http.ResponseWriter, r *http.Request, p *project, handle func(*hook)) {
	id, _ := strconv.ParseInt(r.PathValue("hook"), 10, 64)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range p.hooks {
		if h.id == id {
			handle(h)
			return
		}
	}
	message(w, http.StatusNotFound, "404 Not found")
}

func (s *Server) getHook(w http.ResponseWriter, r *http.Request, p *project) {
	s.onHook(w, r, p, func(h *hook) { answerJSON(w, http.StatusOK, h.describe(p.ID, s.options.Now())) })
}

func (s *Server) createHook(w http.ResponseWriter, r *http.Request, p *project) {
	sent, ok := s.readSettings(w, r)
	if !ok {
		return
	}
	if sent.URL == nil {
		answerJSON(w, http.StatusBadRequest, map[string]string{"error": "url is missing"})
		return
	}
	if problem := sent.problem(); problem != "" {
		answerJSON(w, http.StatusUnprocessableEntity, map[string]string{"error": problem})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hookID++
	h := &hook{id: s.hookID, created: s.options.Now(), old: s.options.OldHooks, settings: sent}
	p.hooks = append(p.hooks, h)
	answerJSON(w, http.StatusCreated, h.describe(p.ID, s.options.Now()))
}

func (s *Server) editHook(w http.ResponseWriter, r *http.Request, p *project) {
	sent, ok := s.readSettings(w, r)
	if !ok {
		return
	}
	s.onHook(w, r, p, func(h *hook) {
		edited := h.settings.with(sent)
		if problem := edited.problem(); problem != "" {
			answerJSON(w, http.StatusUnprocessableEntity, map[string]string{"error": problem})
			return
		}
		h.settings = edited
		answerJSON(w, http.StatusOK, h.describe(p.ID, s.options.Now()))
	})
}

// with returns the settings after an edit. A new address drops the token, the headers and the variables that were
// stored, so that nobody can send them elsewhere by editing: GitLab's app/models/hooks/web_hook.rb.
func (c settings) with(sent settings) settings {
	edited := c
	if sent.URL != nil && *sent.URL != value(c.URL) {
		edited.Token, edited.CustomHeaders = nil, nil
		if len(c.URLVariables) > 0 {
			edited.URLVariables, sent.URLVariables = nil, nil
		}
	}
	replace(&edited.URL, sent.URL)
	replace(&edited.Name, sent.Name)
	replace(&edited.Description, sent.Description)
	replace(&edited.PushEvents, sent.PushEvents)
	replace(&edited.BranchFilter, sent.BranchFilter)
	replace(&edited.BranchStrategy, sent.BranchStrategy)
	replace(&edited.MergeRequests, sent.MergeRequests)
	replace(&edited.TagPushEvents, sent.TagPushEvents)
	replace(&edited.NoteEvents, sent.NoteEvents)
	replace(&edited.Verify, sent.Verify)
	replace(&edited.Token, sent.Token)
	replace(&edited.SigningToken, sent.SigningToken)
	edited.URLVariables = merge(edited.URLVariables, sent.URLVariables)
	edited.CustomHeaders = merge(edited.CustomHeaders, sent.CustomHeaders)
	return edited
}

func replace[T any](field **T, sent *T) {
	if sent != nil {
		*field = sent
	}
}

func merge(old, sent []variable) []variable {
	merged := slices.Clone(old)
	for _, v := range sent {
		at := slices.IndexFunc(merged, func(m variable) bool { return m.Key == v.Key })
		if at < 0 {
			merged = append(merged, v)
		} else {
			merged[at] = v
		}
	}
	return merged
}

var (
	placeholder = regexp.MustCompile(`\{[A-Za-z]+[0-9]*(?:[._-][A-Za-z0-9]+)*\}`)
	signingKey  = regexp.MustCompile(`^whsec_[A-Za-z0-9+/]{43}=$`)
)

// problem is what GitLab refuses the settings for, "" for nothing.
func (c settings) problem() string {
	address, missing := c.address()
	parsed, err := url.Parse(address)
	if missing || err != nil || parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "" {
		return "Invalid url given"
	}
	if value(c.BranchStrategy) == "regex" {
		if _, err := regexp.Compile(value(c.BranchFilter)); err != nil {
			return "Invalid branch filter given"
		}
	}
	if value(c.SigningToken) != "" && !signingKey.MatchString(*c.SigningToken) {
		return "Signing token is invalid"
	}
	return ""
}

// address is the hook's address with its variables filled in; missing tells that one of them is not there.
func (c settings) address() (address string, missing bool) {
	address = placeholder.ReplaceAllStringFunc(value(c.URL), func(name string) string {
		for _, v := range c.URLVariables {
			if "{"+v.Key+"}" == name {
				return v.Value
			}
		}
		missing = true
		return name
	})
	return address, missing
}

func (s *Server) readSettings(w http.ResponseWriter, r *http.Request) (settings, bool) {
	var sent settings
	if !readJSON(w, r, &sent) {
		return settings{}, false
	}
	if s.options.OldHooks {
		sent.SigningToken = nil
	}
	return sent, true
}

func (s *Server) deleteHook(w http.ResponseWriter, r *http.Request, p *project) {
	s.onHook(w, r, p, func(h *hook) {
		p.hooks = slices.DeleteFunc(slices.Clone(p.hooks), func(other *hook) bool { return other == h })
		w.WriteHeader(http.StatusNoContent)
	})
}

// What hooks tell of.
const (
	pushHook  = "Push Hook"
	mergeHook = "Merge Request Hook"
)

// hooksFor returns copies of the hooks that want to hear of something, and are not disabled.
func (s *Server) hooksFor(a announcement) []hook {
	s.mu.Lock()
	defer s.mu.Unlock()
	var wanted []hook
	for _, h := range a.project.hooks {
		wants := h.pushEvents() && h.wants(a.push.Branch())
		if a.merge != nil {
			wants = value(h.MergeRequests)
		}
		if wants && h.status(s.options.Now()) == executable {
			wanted = append(wanted, *h)
		}
	}
	return wanted
}

// wants tells whether the hook's filter lets a branch through. No filter lets all through.
func (h *hook) wants(branch string) bool {
	filter := value(h.BranchFilter)
	if filter == "" {
		return true
	}
	switch h.strategy() {
	case "all_branches":
		return true
	case "regex":
		matched, err := regexp.MatchString(filter, branch)
		return err == nil && matched
	}
	return fits(filter, branch)
}

// hookTimeout is how long GitLab waits for an answer.
// Source: docs.gitlab.com/user/gitlab_com, "Webhooks".
const hookTimeout = 10 * time.Second

// deliver tells a hook of what happened.
func (s *Server) deliver(h hook, a announcement) {
	if a.merge != nil {
		s.attempt(a.project, h, Event{Kind: mergeHook, Body: a.merge}, newUUID(), nil)
		return
	}
	body, err := s.pushBody(a.project, a.push)
	s.attempt(a.project, h, Event{Kind: pushHook, Push: a.push, Body: body}, newUUID(), err)
}

// attempt sends one hook once, as GitLab does, and records what came of it; with an error it only does the latter.
func (s *Server) attempt(p *project, h hook, event Event, key string, err error) Event {
	event.Hook, event.URL, event.DeliveredAt = h.id, value(h.URL), s.options.Now()
	event.address, _ = h.address()
	if err == nil {
		err = s.send(h, key, &event)
	}
	if err != nil {
		event.Status, event.Error = 0, err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.eventID++
	event.ID = s.eventID
	for _, live := range p.hooks {
		if live.id == h.id {
			live.events = append(live.events, event)
			s.judge(live, event)
		}
	}
	return event
}

func (s *Server) send(h hook, key string, event *Event) error {
	ctx, cancel := context.WithTimeout(s.ctx, hookTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, event.address, bytes.NewReader(event.Body))
	if err != nil {
		return fmt.Errorf("addressing the hook: %w", err)
	}
	for _, header := range h.CustomHeaders {
		request.Header.Set(header.Key, header.Value)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "GitLab/"+Version)
	request.Header.Set("X-Gitlab-Event", event.Kind)
	request.Header.Set("X-Gitlab-Instance", s.URL())
	request.Header.Set("Idempotency-Key", key)
	request.Header.Set("X-Gitlab-Webhook-UUID", newUUID())
	request.Header.Set("X-Gitlab-Event-UUID", newUUID())
	if token := value(h.Token); token != "" {
		request.Header.Set("X-Gitlab-Token", token)
	}
	if token := value(h.SigningToken); token != "" {
		stamp := strconv.FormatInt(s.options.Now().Unix(), 10)
		request.Header.Set("webhook-id", key)
		request.Header.Set("webhook-timestamp", stamp)
		request.Header.Set("webhook-signature", sign(token, key+"."+stamp+"."+string(event.Body)))
	}
	event.Header = request.Header.Clone()
	client := http.Client{
		Transport: s.options.HookTransport,
		// GitLab does not follow a redirect; it counts as a success.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	response, err := client.Do(request)
	if err != nil {
		var refused *url.Error
		if errors.As(err, &refused) {
			err = refused.Err // without the address, which holds the values of the variables
		}
		return fmt.Errorf("delivering the hook: %w", err)
	}
	defer response.Body.Close()
	// The time-out covers the answer's body.
	if event.ResponseBytes, err = io.ReadAll(io.LimitReader(response.Body, 8<<10)); err != nil {
		return fmt.Errorf("reading the hook's answer: %w", err)
	}
	event.Status = response.StatusCode
	return nil
}

// sign makes a Standard Webhooks signature (github.com/standard-webhooks/standard-webhooks), as GitLab does since 19.0.
func sign(token, text string) string {
	// problem has let only well-formed tokens through.
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(token, "whsec_"))
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// pushBody is the body of a push hook.
func (s *Server) pushBody(p *project, push Push) ([]byte, error) {
	commits, total, err := s.commits(p, push)
	if err != nil {
		return nil, err
	}
	return json.Marshal(s.payload(p, push, commits, total))
}

// payload is what a push hook tells.
// Source: docs.gitlab.com/user/project/integrations/webhook_events, "Push events".
func (s *Server) payload(of *project, push Push, commits []map[string]any, total int) map[string]any {
	p := s.describe(of, s.URL())
	var checkout any
	if push.After != noCommit {
		checkout = push.After
	}
	described := hookProject(p)
	return map[string]any{
		"object_kind": "push", "event_name": "push", "before": push.Before, "after": push.After, "ref": push.Ref,
		"ref_protected": p.DefaultBranch != nil && push.Branch() == *p.DefaultBranch, "checkout_sha": checkout, "message": nil,
		"user_id": push.User.ID, "user_name": push.User.Name, "user_username": push.User.Username, "user_email": "",
		"user_avatar": nil, "project_id": p.ID, "project": described, "commits": commits,
		"total_commits_count": total, "push_options": map[string]any{},
		"repository": map[string]any{
			"name": p.Name, "url": p.SSHURLToRepo, "description": p.Description, "homepage": p.WebURL,
			"git_http_url": p.HTTPURLToRepo, "git_ssh_url": p.SSHURLToRepo, "visibility_level": described["visibility_level"],
		},
	}
}

// hookProject is a project as hooks tell of it.
func hookProject(p projectJSON) map[string]any {
	return map[string]any{
		"id": p.ID, "name": p.Name, "description": p.Description, "web_url": p.WebURL, "avatar_url": nil,
		"git_ssh_url": p.SSHURLToRepo, "git_http_url": p.HTTPURLToRepo, "namespace": path.Dir(p.PathWithNamespace),
		"visibility_level":    map[string]int{"private": 0, "internal": 10, "public": 20}[p.Visibility],
		"path_with_namespace": p.PathWithNamespace, "default_branch": p.DefaultBranch, "ci_config_path": nil,
		"homepage": p.WebURL, "url": p.SSHURLToRepo, "ssh_url": p.SSHURLToRepo, "http_url": p.HTTPURLToRepo,
	}
}

// maxCommits is how many commits a push hook lists, the newest ones.
const maxCommits = 20

// commits lists the commits that a push brought to its branch, and counts them all.
func (s *Server) commits(p *project, push Push) (listed []map[string]any, total int, err error) {
	listed = []map[string]any{}
	if push.After == noCommit {
		return listed, 0, nil
	}
	span := []string{push.After, "--not", push.Before}
	if push.Before == noCommit {
		span = []string{push.After, "--not", "--exclude=" + push.Ref, "--branches"}
	}
	out, err := s.run(nil, append([]string{"-C", p.dir, "rev-list", "--count"}, span...)...)
	if err != nil {
		return nil, 0, fmt.Errorf("counting the commits of a push: %w", err)
	}
	total, err = strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		return nil, 0, fmt.Errorf("counting the commits of a push: %w", err)
	}
	if listed, err = s.log(p, maxCommits, span...); err != nil {
		return nil, 0, err
	}
	slices.Reverse(listed)
	return listed, total, nil
}

// log lists commits, the newest first.
func (s *Server) log(p *project, most int, span ...string) ([]map[string]any, error) {
	const format = "--format=%x01%H%x00%cI%x00%an%x00%ae%x00%B%x00"
	out, err := s.run(nil, append([]string{"-C", p.dir, "log", "-z", "--name-status", "--no-renames", "--root", "-m", "--first-parent",
		"--max-count=" + strconv.Itoa(most), format}, span...)...)
	if err != nil {
		return nil, fmt.Errorf("listing the commits of a push: %w", err)
	}
	listed := []map[string]any{}
	web := s.describe(p, s.URL()).WebURL
	for _, record := range strings.Split(string(out), "\x01")[1:] {
		fields := strings.Split(record, "\x00")
		if len(fields) < 5 {
			return nil, fmt.Errorf("listing the commits of a push: git answered %q", record)
		}
		changed := map[string][]string{"A": {}, "M": {}, "D": {}}
		names := fields[5:]
		for len(names) >= 2 {
			kind := strings.TrimSpace(names[0])
			if kind == "" { // the separators between a message, its files and the next commit
				names = names[1:]
				continue
			}
			if _, known := changed[kind]; !known {
				kind = "M"
			}
			changed[kind] = append(changed[kind], names[1])
			names = names[2:]
		}
		title, _, _ := strings.Cut(fields[4], "\n")
		listed = append(listed, map[string]any{
			"id": fields[0], "message": fields[4], "title": title, "timestamp": fields[1],
			"url":    web + "/-/commit/" + fields[0],
			"author": map[string]string{"name": fields[2], "email": fields[3]},
			"added":  changed["A"], "modified": changed["M"], "removed": changed["D"],
		})
	}
	return listed, nil
}
