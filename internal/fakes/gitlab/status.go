package gitlab

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Status is a commit status.
type Status struct {
	Commit      string // "" in what is added takes the head of Ref
	Ref         string
	Name        string
	State       string // pending, running, success, failed, canceled or skipped
	Description string
	Target      string
	Author      User
	// Superseded says that a newer one of its name stands for the commit.
	Superseded bool
}

// status is a row of statuses. It is guarded by the server's lock.
type status struct {
	Status
	id       int64
	pipeline int64
	created  time.Time
	started  time.Time
	finished time.Time
}

// The states of a commit status.
var states = []string{"pending", "running", "success", "failed", "canceled", "skipped"}

// BusyStatuses makes the next so many attempts to set a commit status meet another one that is under way.
// Source: GitLab's app/services/ci/create_commit_status_service.rb.
func (s *Server) BusyStatuses(times int) {
	s.Inject(Fault{Method: http.MethodPost, Path: regexp.MustCompile(`/statuses/[^/]+$`), Times: times, Status: http.StatusConflict,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   `{"message":"Another update to this commit status is in progress"}`})
}

// Statuses returns every status that was set on a commit, the oldest first.
func (s *Server) Statuses(project int64, commit string) ([]Status, error) {
	p, err := s.project(project)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []Status
	for _, row := range p.statuses {
		if row.Commit == commit {
			found = append(found, row.Status)
		}
	}
	return found, nil
}

// AddStatus sets a status as somebody else would.
func (s *Server) AddStatus(project int64, wanted Status) error {
	p, err := s.project(project)
	if err != nil {
		return err
	}
	if wanted.Commit == "" {
		if wanted.Commit, err = s.Head(project, wanted.Ref); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, problem := s.setStatus(p, wanted); problem != "" {
		return fmt.Errorf("setting a status of project %d: %s", project, problem)
	}
	return nil
}

// hasCommit tells whether a repository has a commit, whatever leads to it.
func (s *Server) hasCommit(p *project, commit string) bool {
	if !commitName.MatchString(commit) {
		return false
	}
	_, err := s.run(nil, "-C", p.dir, "cat-file", "-e", commit+"^{commit}")
	return err == nil
}

var commitName = regexp.MustCompile(`^[0-9a-f]{40}$`)

// branchOf is a branch that holds a commit, "" for none.
func (s *Server) branchOf(p *project, commit string) string {
	out, err := s.run(nil, "-C", p.dir, "for-each-ref", "--count=1", "--contains="+commit, "--format=%(refname)", "refs/heads/")
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out)), "refs/heads/")
}

// postStatus sets the status of a commit.
// Source: docs.gitlab.com/api/commits, "Set commit pipeline status"; GitLab's lib/api/commit_statuses.rb.
func (s *Server) postStatus(w http.ResponseWriter, r *http.Request, p *project) {
	var sent struct {
		State       string `json:"state"`
		Ref         string `json:"ref"`
		Name        string `json:"name"`
		Context     string `json:"context"`
		Target      string `json:"target_url"`
		Description string `json:"description"`
	}
	if !readJSON(w, r, &sent) {
		return
	}
	if s.options.Access < Developer {
		message(w, http.StatusForbidden, "403 Forbidden")
		return
	}
	if !slices.Contains(states, sent.State) {
		invalid(w, "state")
		return
	}
	wanted := Status{Commit: r.PathValue("sha"), Ref: sent.Ref, Name: cmp.Or(sent.Name, sent.Context, "default"), State: sent.State,
		Description: sent.Description, Target: sent.Target, Author: s.service}
	if !s.hasCommit(p, wanted.Commit) {
		message(w, http.StatusNotFound, "404 Commit Not Found")
		return
	}
	if wanted.Ref == "" {
		wanted.Ref = s.branchOf(p, wanted.Commit)
	}
	if wanted.Ref == "" {
		message(w, http.StatusNotFound, "404 References for commit Not Found")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.mayUpdate(p, wanted.Ref) {
		message(w, http.StatusForbidden, "403 Forbidden")
		return
	}
	if problems := wanted.problems(); len(problems) > 0 {
		unacceptable(w, problems)
		return
	}
	row, problem := s.setStatus(p, wanted)
	if problem != "" {
		message(w, http.StatusBadRequest, problem)
		return
	}
	answerJSON(w, http.StatusCreated, s.describeStatus(row))
}

// problems are what GitLab refuses a status for.
func (st Status) problems() map[string][]string {
	problems := make(map[string][]string)
	if utf8.RuneCountInString(st.Description) > 255 {
		problems["description"] = []string{"is too long (maximum is 255 characters)"}
	}
	if utf8.RuneCountInString(st.Target) > 255 {
		problems["target_url"] = []string{"is too long (maximum is 255 characters)"}
	}
	if u, err := url.Parse(st.Target); st.Target != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https") {
		problems["target_url"] = append(problems["target_url"], "is blocked: Only allowed schemes are http, https")
	}
	return problems
}

// mayUpdate tells whether the token may set statuses on a branch: on a protected one whoever may push or merge may. It
// expects the lock to be held.
// Source: GitLab's app/policies/ci/pipeline_policy.rb.
func (s *Server) mayUpdate(p *project, branch string) bool {
	protected, may := false, false
	for _, rule := range p.protections {
		if !fits(rule.Branch, branch) {
			continue
		}
		protected = true
		may = may || slices.ContainsFunc(slices.Concat(rule.push, rule.merge), func(g grant) bool {
			if g.User != 0 || g.Group != 0 || g.DeployKey != 0 {
				return int64(g.User) == s.service.ID
			}
			return g.Level > 0 && g.Level <= s.options.Access
		})
	}
	return may || !protected
}

// fits tells whether a rule's name, which may have wildcards, fits a branch.
func fits(pattern, branch string) bool {
	parts := strings.Split(pattern, "*")
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(part)
	}
	matched, err := regexp.MatchString("^"+strings.Join(parts, ".*")+"$", branch)
	return err == nil && matched
}

// transitions are the events that lead to a state, and the states that they lead there from, but for a new row's.
// Source: GitLab's app/models/commit_status.rb.
var transitions = map[string]struct {
	event string
	from  []string
}{
	"pending":  {"enqueue", nil},
	"running":  {"run", []string{"pending"}},
	"success":  {"success", []string{"pending", "running"}},
	"failed":   {"drop", []string{"pending", "running"}},
	"canceled": {"cancel", []string{"pending", "running"}},
	"skipped":  {"skip", []string{"pending"}},
}

// setStatus brings the author's unfinished status of that name to the new state, or makes a new one that stands for its
// name from then on. It expects the lock to be held.
func (s *Server) setStatus(p *project, wanted Status) (*status, string) {
	now := s.options.Now().UTC()
	var row *status
	pipeline := int64(0)
	for _, other := range p.statuses {
		if other.Commit != wanted.Commit || other.Ref != wanted.Ref {
			continue
		}
		pipeline = other.pipeline
		if other.Name == wanted.Name && other.Author.ID == wanted.Author.ID && (other.State == "pending" || other.State == "running") {
			row = other
		}
	}
	if row != nil {
		step := transitions[wanted.State]
		if !slices.Contains(step.from, row.State) {
			return nil, fmt.Sprintf("Cannot transition status via :%s from :%s (Reason(s): Status cannot transition via %q)", step.event, row.State, step.event)
		}
	} else {
		for _, other := range p.statuses {
			if other.Commit == wanted.Commit && other.Ref == wanted.Ref && other.Name == wanted.Name {
				other.Superseded = true
			}
		}
		s.statusID++
		if pipeline == 0 {
			pipeline = s.statusID + firstPipeline
		}
		row = &status{id: s.statusID, pipeline: pipeline, created: now, Status: wanted}
		p.statuses = append(p.statuses, row)
	}
	row.State = wanted.State
	// What is not sent stays.
	row.Description, row.Target = cmp.Or(wanted.Description, row.Description), cmp.Or(wanted.Target, row.Target)
	switch row.State {
	case "pending":
	case "running":
		row.started = now
	default:
		row.finished = now
	}
	return row, ""
}

const firstPipeline = 100_000

// getStatuses lists those that stand for their names, or all of them.
// Source: docs.gitlab.com/api/commits, "List commit statuses".
func (s *Server) getStatuses(w http.ResponseWriter, r *http.Request, p *project) {
	commit, query := r.PathValue("sha"), r.URL.Query()
	if !s.hasCommit(p, commit) {
		message(w, http.StatusNotFound, "404 Commit Not Found")
		return
	}
	all, _ := flag(query.Get("all"))
	page, size := paging(r, 100)
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*status
	for _, row := range p.statuses {
		if row.Commit == commit && (all || !row.Superseded) && (query.Get("ref") == "" || query.Get("ref") == row.Ref) &&
			(query.Get("name") == "" || query.Get("name") == row.Name) {
			found = append(found, row)
		}
	}
	answerJSON(w, http.StatusOK, paged(w, found, page, size, s.describeStatus))
}

// describeStatus expects the lock to be held.
func (s *Server) describeStatus(row *status) map[string]any {
	return map[string]any{
		"id": row.id, "sha": row.Commit, "ref": row.Ref, "status": row.State, "name": row.Name, "target_url": textOrNull(row.Target),
		"description": textOrNull(row.Description), "created_at": stamp(row.created), "started_at": timeOrNull(row.started),
		"finished_at": timeOrNull(row.finished), "allow_failure": false, "coverage": nil, "pipeline_id": row.pipeline,
		"author": s.describeUser(row.Author),
	}
}

// describeUser is somebody as answers name them.
func (s *Server) describeUser(u User) map[string]any {
	return map[string]any{"id": u.ID, "username": u.Username, "public_email": "", "name": u.Name, "state": "active", "locked": false,
		"avatar_url": nil, "web_url": s.base + "/" + u.Username}
}

// stamp is a time as answers have it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func timeOrNull(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return stamp(t)
}
