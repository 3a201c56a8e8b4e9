package gitlab

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MergeRequest is a merge request. To open one only its branches are needed.
type MergeRequest struct {
	Project int64 // that it would be merged into
	Number  int64 // in that project: its iid
	// Source is the project that it comes from, another one for a fork. To open one, 0 is Project; it is 0 for one whose
	// fork was removed.
	Source       int64
	SourceBranch string
	TargetBranch string // "" is the default branch
	Title        string // "" is the source branch; a draft's begins with "Draft: "
	Description  string
	Author       User // the zero User is the service account

	State string // opened, closed or merged
	Head  string // the newest commit
	Base  string // where its history left the target branch's, "" for nowhere
	Start string // the target branch's commit when Base was found
	Merge string // the commit that merged it, "" for none
}

// mergeRequest is guarded by the server's lock.
type mergeRequest struct {
	MergeRequest
	id               int64
	created, updated time.Time
	ended            time.Time // merged or closed
	problem          error     // what went wrong when a push was taken over
}

// The states of a merge request, with the numbers that hooks have for them.
const (
	opened = "opened"
	closed = "closed"
	merged = "merged"
)

var stateNumbers = map[string]int{opened: 1, closed: 2, merged: 3}

// draft tells whether the title says that it is one.
func (m MergeRequest) draft() bool {
	title := strings.ToLower(m.Title)
	return strings.HasPrefix(title, "draft:") || strings.HasPrefix(title, "[draft]") || strings.HasPrefix(title, "(draft)")
}

// Fork makes a project that is a copy of another one's branches, and returns its number.
func (s *Server) Fork(project int64, into string) (int64, error) {
	p, err := s.project(project)
	if err != nil {
		return 0, err
	}
	id, err := s.CreateProject(Project{Path: into, DefaultBranch: p.DefaultBranch})
	if err != nil {
		return 0, err
	}
	fork, err := s.project(id)
	if err != nil {
		return 0, err
	}
	if _, err := s.run(nil, "-C", fork.dir, "fetch", "--quiet", p.dir, "+refs/heads/*:refs/heads/*"); err != nil {
		return 0, fmt.Errorf("forking project %d: %w", project, err)
	}
	return id, nil
}

// OpenMergeRequest opens a merge request to a project, and returns its number there. Its hooks are told.
func (s *Server) OpenMergeRequest(project int64, wanted MergeRequest) (int64, error) {
	p, err := s.project(project)
	if err != nil {
		return 0, err
	}
	wanted.Project, wanted.Source = project, cmp.Or(wanted.Source, project)
	source, err := s.project(wanted.Source)
	if err != nil {
		return 0, err
	}
	wanted.TargetBranch = cmp.Or(wanted.TargetBranch, p.DefaultBranch)
	wanted.Title, wanted.State = cmp.Or(wanted.Title, wanted.SourceBranch), opened
	if wanted.Author.ID == 0 {
		wanted.Author = s.service
	}
	head, err := s.Head(wanted.Source, wanted.SourceBranch)
	if err != nil {
		return 0, err
	}
	if wanted.SourceBranch == "" || head == "" {
		return 0, fmt.Errorf("opening a merge request to project %d: project %d has no branch %q", project, wanted.Source, wanted.SourceBranch)
	}
	now := s.options.Now().UTC()
	s.mu.Lock()
	s.mergeID++
	wanted.Number = int64(len(p.merges)) + 1
	m := &mergeRequest{MergeRequest: wanted, id: firstMerge + s.mergeID, created: now, updated: now}
	p.merges = append(p.merges, m)
	s.mu.Unlock()
	if err := s.follow(p, m, source, head); err != nil {
		return 0, err
	}
	return wanted.Number, s.tell(p, m, mergeEvent{action: "open", user: wanted.Author})
}

const firstMerge = 200_000

// follow takes over what a merge request's source branch is at, as refs/merge-requests/NUMBER/head of the target.
func (s *Server) follow(p *project, m *mergeRequest, source *project, head string) error {
	s.mu.Lock()
	request := m.MergeRequest
	s.mu.Unlock()
	ref := fmt.Sprintf("refs/merge-requests/%d/head", request.Number)
	args := []string{"update-ref", ref, head}
	if source != p {
		args = []string{"fetch", "--quiet", source.dir, "+" + head + ":" + ref}
	}
	if _, err := s.run(nil, append([]string{"-C", p.dir}, args...)...); err != nil {
		return fmt.Errorf("taking over merge request %d of project %d: %w", request.Number, p.ID, err)
	}
	start, err := s.Head(p.ID, request.TargetBranch)
	if err != nil {
		return err
	}
	base := ""
	if start != "" {
		// Histories without a common commit are the one reason for which git fails here.
		out, _ := s.run(nil, "-C", p.dir, "merge-base", start, head)
		base = strings.TrimSpace(string(out))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Head, m.Start, m.Base, m.updated = head, start, base, s.options.Now().UTC()
	return nil
}

// refresh takes a push over into the open merge requests that come from its branches, and tells their hooks.
func (s *Server) refresh(source *project, before, after map[string]string, user User) {
	type change struct {
		target *project
		m      *mergeRequest
		head   string
		old    string
	}
	var changes []change
	s.mu.Lock()
	for _, target := range s.projects {
		for _, m := range target.merges {
			ref := "refs/heads/" + m.SourceBranch
			if m.Source == source.ID && m.State == opened && after[ref] != "" && after[ref] != before[ref] {
				changes = append(changes, change{target, m, after[ref], m.Head})
			}
		}
	}
	s.mu.Unlock()
	slices.SortFunc(changes, func(a, b change) int { return cmp.Compare(a.m.id, b.m.id) })
	for _, c := range changes {
		err := s.follow(c.target, c.m, source, c.head)
		if err == nil {
			err = s.tell(c.target, c.m, mergeEvent{action: "update", old: c.old, user: user})
		}
		if err != nil {
			s.mu.Lock()
			c.m.problem = err
			s.mu.Unlock()
		}
	}
}

// mergeRequest finds one by its number, nil for none. It expects the lock to be held.
func (p *project) mergeRequest(number int64) *mergeRequest {
	i := slices.IndexFunc(p.merges, func(m *mergeRequest) bool { return m.Number == number })
	if i < 0 {
		return nil
	}
	return p.merges[i]
}

func (s *Server) findMergeRequest(project, number int64) (*project, *mergeRequest, error) {
	p, err := s.project(project)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := p.mergeRequest(number)
	if m == nil {
		return nil, nil, fmt.Errorf("project %d has no merge request %d", project, number)
	}
	return p, m, m.problem
}

// MergeRequest returns a merge request as it is.
func (s *Server) MergeRequest(project, number int64) (MergeRequest, error) {
	_, m, err := s.findMergeRequest(project, number)
	if err != nil {
		return MergeRequest{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return m.MergeRequest, nil
}

// CloseMergeRequest closes an open merge request. Its hooks are told, as of all that follows.
func (s *Server) CloseMergeRequest(project, number int64) error {
	return s.turn(project, number, "close", opened, closed)
}

// ReopenMergeRequest opens a closed merge request again, with what its source branch is at by now.
func (s *Server) ReopenMergeRequest(project, number int64) error {
	p, m, err := s.findMergeRequest(project, number)
	if err != nil {
		return err
	}
	s.mu.Lock()
	request := m.MergeRequest
	s.mu.Unlock()
	source, err := s.project(request.Source)
	if err != nil {
		return err
	}
	head, err := s.Head(request.Source, request.SourceBranch)
	if err != nil {
		return err
	}
	if head != "" {
		if err := s.follow(p, m, source, head); err != nil {
			return err
		}
	}
	return s.turn(project, number, "reopen", closed, opened)
}

// turn brings a merge request from one state into another, and tells the hooks.
func (s *Server) turn(project, number int64, action, from, to string) error {
	p, m, err := s.findMergeRequest(project, number)
	if err != nil {
		return err
	}
	s.mu.Lock()
	was := m.State
	if was == from {
		m.State, m.updated = to, s.options.Now().UTC()
		m.ended = m.updated
	}
	s.mu.Unlock()
	if was != from {
		return fmt.Errorf("merge request %d of project %d is %s", number, project, was)
	}
	return s.tell(p, m, mergeEvent{action: action, user: s.service,
		changes: map[string]any{"state_id": changed(stateNumbers[from], stateNumbers[to])}})
}

// RetitleMergeRequest gives a merge request another title: an edit that brings no commit.
func (s *Server) RetitleMergeRequest(project, number int64, title string) error {
	p, m, err := s.findMergeRequest(project, number)
	if err != nil {
		return err
	}
	s.mu.Lock()
	changes := map[string]any{"title": changed(m.Title, title)}
	was := m.draft()
	m.Title, m.updated = title, s.options.Now().UTC()
	if m.draft() != was {
		changes["draft"] = changed(was, !was)
	}
	s.mu.Unlock()
	return s.tell(p, m, mergeEvent{action: "update", user: s.service, changes: changes})
}

func changed(previous, current any) map[string]any {
	return map[string]any{"previous": previous, "current": current}
}

// Merge merges an open merge request into its target branch: by a merge commit, or, where that is wanted, by moving the
// branch to its head. It returns the branch's new commit. Hooks are told of the push, then of the merge.
func (s *Server) Merge(project, number int64, fastForward bool) (string, error) {
	p, m, err := s.findMergeRequest(project, number)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	request := m.MergeRequest
	s.mu.Unlock()
	if request.State != opened {
		return "", fmt.Errorf("merge request %d of project %d is %s", number, project, request.State)
	}
	if err := s.merge(p, request, fastForward); err != nil {
		return "", fmt.Errorf("merging merge request %d of project %d: %w", number, project, err)
	}
	tip, err := s.Head(project, request.TargetBranch)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	m.Merge = tip
	s.mu.Unlock()
	return tip, s.turn(project, number, "merge", opened, merged)
}

func (s *Server) merge(p *project, request MergeRequest, fastForward bool) error {
	p.pushing.Lock()
	defer p.pushing.Unlock()
	before, err := s.refs(p)
	if err != nil {
		return err
	}
	ref := "refs/heads/" + request.TargetBranch
	tip, target := request.Head, before[ref]
	if fastForward {
		if _, err := s.run(nil, "-C", p.dir, "merge-base", "--is-ancestor", target, tip); err != nil {
			return fmt.Errorf("%s cannot be fast-forwarded: %w", request.TargetBranch, err)
		}
	} else if tip, err = s.mergeCommit(p, request, target); err != nil {
		return err
	}
	if _, err := s.run(nil, "-C", p.dir, "update-ref", ref, tip, target); err != nil {
		return err
	}
	after, err := s.refs(p)
	if err != nil {
		return err
	}
	s.pushed(p, before, after, s.service)
	return nil
}

// mergeCommit makes the commit that merges, which no branch is at yet.
func (s *Server) mergeCommit(p *project, request MergeRequest, target string) (string, error) {
	tree, err := s.run(nil, "-C", p.dir, "merge-tree", "--write-tree", target, request.Head)
	if err != nil {
		return "", err
	}
	when := strconv.FormatInt(s.options.Now().Unix(), 10) + " +0000"
	out, err := s.runWith([]string{
		"GIT_AUTHOR_NAME=" + s.service.Name, "GIT_AUTHOR_EMAIL=" + s.service.Email, "GIT_AUTHOR_DATE=" + when,
		"GIT_COMMITTER_NAME=" + s.service.Name, "GIT_COMMITTER_EMAIL=" + s.service.Email, "GIT_COMMITTER_DATE=" + when,
	}, nil, "-C", p.dir, "commit-tree", strings.TrimSpace(string(tree)), "-p", target, "-p", request.Head,
		"-m", fmt.Sprintf("Merge branch '%s' into '%s'", request.SourceBranch, request.TargetBranch))
	return strings.TrimSpace(string(out)), err
}

// getMergeRequest answers as docs.gitlab.com/api/merge_requests, "Get single MR".
func (s *Server) getMergeRequest(w http.ResponseWriter, r *http.Request, p *project) {
	number, _ := strconv.ParseInt(r.PathValue("request"), 10, 64)
	base := s.baseFor(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	m := p.mergeRequest(number)
	if m == nil {
		message(w, http.StatusNotFound, "404 Not found")
		return
	}
	count := 0
	for _, d := range p.discussions {
		if d.about.request == m {
			count += len(d.notes)
		}
	}
	described := map[string]any{
		"id": m.id, "iid": m.Number, "project_id": p.ID, "title": m.Title, "description": textOrNull(m.Description), "state": m.State,
		"created_at": stamp(m.created), "updated_at": stamp(m.updated), "merged_by": nil, "merge_user": nil, "merged_at": nil,
		"closed_by": nil, "closed_at": nil, "target_branch": m.TargetBranch, "source_branch": m.SourceBranch, "user_notes_count": count,
		"upvotes": 0, "downvotes": 0, "author": s.describeUser(m.Author), "assignee": nil, "source_project_id": numberOrNull(m.Source),
		"target_project_id": p.ID, "draft": m.draft(), "work_in_progress": m.draft(), "merge_when_pipeline_succeeds": false,
		"merge_status": "can_be_merged", "detailed_merge_status": "mergeable", "sha": textOrNull(m.Head), "merge_commit_sha": textOrNull(m.Merge),
		"squash_commit_sha": nil, "web_url": fmt.Sprintf("%s/%s/-/merge_requests/%d", base, p.Path, m.Number),
		"references": map[string]string{"short": fmt.Sprintf("!%d", m.Number), "relative": fmt.Sprintf("!%d", m.Number),
			"full": fmt.Sprintf("%s!%d", p.Path, m.Number)},
		"has_conflicts": false, "blocking_discussions_resolved": true, "merge_error": nil, "diff_refs": nil,
	}
	if m.problem != nil {
		described["merge_error"] = m.problem.Error()
	}
	if m.Base != "" {
		described["diff_refs"] = map[string]string{"base_sha": m.Base, "head_sha": m.Head, "start_sha": m.Start}
	}
	switch m.State {
	case merged:
		described["merge_user"], described["merged_by"], described["merged_at"] = s.describeUser(s.service), s.describeUser(s.service), stamp(m.ended)
	case closed:
		described["closed_by"], described["closed_at"] = s.describeUser(s.service), stamp(m.ended)
	}
	answerJSON(w, http.StatusOK, described)
}

func numberOrNull(n int64) any {
	if n == 0 {
		return nil
	}
	return n
}

// mergeEvent is what happened to a merge request.
type mergeEvent struct {
	action  string // open, update, close, reopen or merge
	old     string // the head before a push
	user    User
	changes map[string]any
}

// tell queues what happened for the hooks that want to hear of merge requests. What they are told is how it is now.
func (s *Server) tell(p *project, m *mergeRequest, e mergeEvent) error {
	body, err := s.mergeBody(p, m, e)
	if err != nil {
		return err
	}
	s.pushes.add(announcement{project: p, at: s.options.Now(), merge: body})
	return nil
}

// mergeBody is the body of a merge request hook.
// Source: docs.gitlab.com/user/project/integrations/webhook_events, "Merge request events".
func (s *Server) mergeBody(p *project, of *mergeRequest, e mergeEvent) ([]byte, error) {
	s.mu.Lock()
	m := *of
	s.mu.Unlock()
	target := hookProject(s.describe(p, s.URL()))
	var source any
	if from, err := s.project(m.Source); err == nil {
		source = hookProject(s.describe(from, s.URL()))
	}
	newest, err := s.log(p, 1, m.Head)
	if err != nil {
		return nil, err
	}
	var last map[string]any
	if len(newest) > 0 {
		last = newest[0]
		for _, files := range []string{"added", "modified", "removed"} {
			delete(last, files)
		}
	}
	changes := map[string]any{}
	maps.Copy(changes, e.changes)
	if len(changes) > 0 {
		changes["updated_at"] = changed(stamp(m.created), stamp(m.updated))
	}
	attributes := map[string]any{
		"id": m.id, "iid": m.Number, "target_branch": m.TargetBranch, "source_branch": m.SourceBranch, "source_project_id": numberOrNull(m.Source),
		"target_project_id": p.ID, "author_id": m.Author.ID, "assignee_id": nil, "assignee_ids": []any{}, "reviewer_ids": []any{},
		"title": m.Title, "description": m.Description, "created_at": stamp(m.created), "updated_at": stamp(m.updated),
		"last_edited_at": nil, "last_edited_by_id": nil, "milestone_id": nil, "state_id": stateNumbers[m.State], "state": m.State,
		"blocking_discussions_resolved": true, "work_in_progress": m.draft(), "draft": m.draft(), "first_contribution": false,
		"merge_status": "can_be_merged", "detailed_merge_status": "mergeable", "merge_commit_sha": textOrNull(m.Merge),
		"url":    fmt.Sprintf("%s/%s/-/merge_requests/%d", s.URL(), target["path_with_namespace"], m.Number),
		"source": source, "target": target, "last_commit": last, "labels": []any{}, "action": e.action,
	}
	if e.old != "" {
		attributes["oldrev"] = e.old
	}
	return json.Marshal(map[string]any{
		"object_kind": "merge_request", "event_type": "merge_request",
		"user":    map[string]any{"id": e.user.ID, "name": e.user.Name, "username": e.user.Username, "avatar_url": nil, "email": "[REDACTED]"},
		"project": target, "object_attributes": attributes, "labels": []any{}, "changes": changes,
		"repository": map[string]any{"name": target["name"], "url": target["url"], "description": target["description"], "homepage": target["homepage"]},
	})
}
