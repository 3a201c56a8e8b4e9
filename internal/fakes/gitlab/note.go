package gitlab

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Note is something that was said about a commit or a merge request.
type Note struct {
	ID         int64
	Discussion string // in what is added: the one that it answers, "" begins one
	Commit     string // that it is about, "" for a merge request
	Request    int64  // the number of the merge request that it is about
	Author     User
	Body       string
	System     bool // GitLab's own
	Resolved   bool
	Edits      int // how often its words were changed
}

// discussion is a thread of notes. It is guarded by the server's lock.
type discussion struct {
	id    string
	about topic
	notes []*note
}

type note struct {
	Note
	created, updated time.Time
	resolvedBy       User
	resolvedAt       time.Time
}

// topic is what notes are about: a commit or a merge request.
type topic struct {
	commit  string
	request *mergeRequest
}

// Notes returns what was said about a commit, the oldest discussion first.
func (s *Server) Notes(project int64, commit string) ([]Note, error) {
	return s.notes(project, func(d *discussion) bool { return commit != "" && d.about.commit == commit })
}

// RequestNotes returns what was said about a merge request, the oldest discussion first.
func (s *Server) RequestNotes(project, number int64) ([]Note, error) {
	return s.notes(project, func(d *discussion) bool { return d.about.request != nil && d.about.request.Number == number })
}

func (s *Server) notes(project int64, match func(*discussion) bool) ([]Note, error) {
	p, err := s.project(project)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []Note
	for _, d := range p.discussions {
		if match(d) {
			for _, n := range d.notes {
				found = append(found, n.Note)
			}
		}
	}
	return found, nil
}

// AddNote says something as somebody else would, and returns the note with its numbers.
func (s *Server) AddNote(project int64, wanted Note) (Note, error) {
	p, err := s.project(project)
	if err != nil {
		return Note{}, err
	}
	if wanted.Commit != "" && !s.hasCommit(p, wanted.Commit) {
		return Note{}, fmt.Errorf("adding a note to project %d: there is no commit %s", project, wanted.Commit)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	about := topic{commit: wanted.Commit, request: p.mergeRequest(wanted.Request)}
	if about.commit == "" && about.request == nil {
		return Note{}, fmt.Errorf("adding a note to project %d: there is no merge request %d", project, wanted.Request)
	}
	d := p.discussion(about, wanted.Discussion)
	if wanted.Discussion != "" && d == nil {
		return Note{}, fmt.Errorf("adding a note to project %d: there is no discussion %s", project, wanted.Discussion)
	}
	return s.addNote(p, about, d, wanted).Note, nil
}

// DeleteNote takes a note away, and its discussion with the last one.
func (s *Server) DeleteNote(project, id int64) error {
	p, err := s.project(project)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !p.removeNote(id) {
		return fmt.Errorf("deleting a note of project %d: there is no note %d", project, id)
	}
	return nil
}

// removeNote expects the lock to be held.
func (p *project) removeNote(id int64) bool {
	for i, d := range p.discussions {
		at := slices.IndexFunc(d.notes, func(n *note) bool { return n.ID == id })
		if at < 0 {
			continue
		}
		d.notes = slices.Delete(slices.Clone(d.notes), at, at+1)
		if len(d.notes) == 0 {
			p.discussions = slices.Delete(slices.Clone(p.discussions), i, i+1)
		}
		return true
	}
	return false
}

// discussion finds one by its id, nil for none. It expects the lock to be held.
func (p *project) discussion(about topic, id string) *discussion {
	i := slices.IndexFunc(p.discussions, func(d *discussion) bool { return d.id == id && d.about == about })
	if i < 0 {
		return nil
	}
	return p.discussions[i]
}

// addNote adds a note to a discussion, or begins one with it. It expects the lock to be held.
func (s *Server) addNote(p *project, about topic, d *discussion, wanted Note) *note {
	now := s.options.Now().UTC()
	s.noteID++
	if d == nil {
		sum := sha256.Sum256(strconv.AppendInt(nil, s.noteID, 10))
		d = &discussion{id: hex.EncodeToString(sum[:20]), about: about}
		p.discussions = append(p.discussions, d)
	}
	n := &note{Note: wanted, created: now, updated: now}
	n.ID, n.Discussion, n.Commit, n.Request = s.noteID, d.id, about.commit, 0
	if about.request != nil {
		n.Request = about.request.Number
	}
	d.notes = append(d.notes, n)
	return n
}

// topicHandler answers a request about the notes of something.
type topicHandler func(w http.ResponseWriter, r *http.Request, p *project, about topic)

// onTopic finds what a request is about: a commit, or a merge request.
func (s *Server) onTopic(handle topicHandler) projectHandler {
	return func(w http.ResponseWriter, r *http.Request, p *project) {
		if commit := r.PathValue("sha"); commit != "" {
			if !s.hasCommit(p, commit) {
				message(w, http.StatusNotFound, "404 Commit Not Found")
				return
			}
			handle(w, r, p, topic{commit: commit})
			return
		}
		number, _ := strconv.ParseInt(r.PathValue("request"), 10, 64)
		s.mu.Lock()
		request := p.mergeRequest(number)
		s.mu.Unlock()
		if request == nil {
			message(w, http.StatusNotFound, "404 MergeRequest Not Found")
			return
		}
		handle(w, r, p, topic{request: request})
	}
}

// listDiscussions answers as docs.gitlab.com/api/discussions, "List project commit discussion items" and its like.
func (s *Server) listDiscussions(w http.ResponseWriter, r *http.Request, p *project, about topic) {
	page, size := paging(r, 100)
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*discussion
	for _, d := range p.discussions {
		if d.about == about {
			found = append(found, d)
		}
	}
	answerJSON(w, http.StatusOK, paged(w, found, page, size, func(d *discussion) map[string]any { return s.describeDiscussion(p, d) }))
}

// getDiscussion answers as docs.gitlab.com/api/discussions, "Get single commit discussion item" and its like.
func (s *Server) getDiscussion(w http.ResponseWriter, r *http.Request, p *project, about topic) {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := p.discussion(about, r.PathValue("discussion"))
	if d == nil {
		message(w, http.StatusNotFound, "404 Discussion Not Found")
		return
	}
	answerJSON(w, http.StatusOK, s.describeDiscussion(p, d))
}

// maxNote is how long a note may be, in characters.
const maxNote = 1_000_000

// noteProblem is what GitLab refuses the words of a note for, "" for nothing.
func noteProblem(body string) string {
	switch {
	case strings.TrimSpace(body) == "":
		return `Note {:note=>["can't be blank"]}`
	case utf8.RuneCountInString(body) > maxNote:
		return `Note {:note=>["is too long (maximum is 1000000 characters)"]}`
	}
	return ""
}

// commands are quick actions that an account with rights should not be made to do, of the many that GitLab knows.
// Source: docs.gitlab.com/user/project/quick_actions.
var commands = []string{"approve", "assign", "assign_reviewer", "close", "draft", "label", "lock", "merge", "ready", "rebase", "reopen",
	"request_review", "tag", "target_branch", "title", "unapprove", "unlabel"}

// QuickActions returns what notes that the token's user wrote made GitLab do. It is noted here, and not done.
func (s *Server) QuickActions(project int64) ([]string, error) {
	p, err := s.project(project)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(p.quickActions), nil
}

// take is what GitLab keeps of the words of a note: carriage returns go, and blanks at the end, and lines outside of code
// that begin with a slash and a command, which it does. It expects the lock to be held.
// Source: GitLab's lib/gitlab/quick_actions/extractor.rb.
func (p *project) take(body string) string {
	var kept strings.Builder
	code := false
	for line := range strings.Lines(strings.ReplaceAll(body, "\r", "")) {
		code = code != strings.HasPrefix(line, "```")
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !code && strings.HasPrefix(line, "/") && slices.Contains(commands, strings.ToLower(strings.TrimPrefix(name, "/"))) {
			p.quickActions = append(p.quickActions, strings.TrimSpace(line))
			continue
		}
		kept.WriteString(line)
	}
	return strings.TrimRight(kept.String(), " \t\n\v\f\x00")
}

// createDiscussion answers as docs.gitlab.com/api/discussions, "Create new commit thread" and its like.
func (s *Server) createDiscussion(w http.ResponseWriter, r *http.Request, p *project, about topic) {
	var sent struct {
		Body *string `json:"body"`
	}
	if !readNote(w, r, &sent) || s.notesLimited(w) {
		return
	}
	if sent.Body == nil {
		answerJSON(w, http.StatusBadRequest, map[string]string{"error": "body is missing"})
		return
	}
	if problem := noteProblem(*sent.Body); problem != "" {
		message(w, http.StatusBadRequest, "400 Bad request - "+problem)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	body := p.take(*sent.Body)
	if body == "" { // commands alone are done, and make no note
		answerJSON(w, http.StatusCreated, map[string]any{"id": nil, "individual_note": false, "notes": []any{}})
		return
	}
	n := s.addNote(p, about, nil, Note{Author: s.service, Body: body})
	answerJSON(w, http.StatusCreated, s.describeDiscussion(p, p.discussion(about, n.Discussion)))
}

// notesLimited answers for the server, and returns true, when the token's user has said too much within the minute of
// the clock.
// Source: docs.gitlab.com/administration/settings/rate_limit_on_notes_creation; GitLab's
// lib/gitlab/application_rate_limiter.rb.
func (s *Server) notesLimited(w http.ResponseWriter) bool {
	if s.options.NotesAMinute == 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if minute := s.options.Now().Truncate(time.Minute); !s.notesUsed.opened.Equal(minute) {
		s.notesUsed = window{opened: minute}
	}
	s.notesUsed.used++
	if s.notesUsed.used <= s.options.NotesAMinute {
		return false
	}
	w.Header().Set("Retry-After", "60")
	answerJSON(w, http.StatusTooManyRequests, map[string]any{"message": map[string]string{
		"error": "This endpoint has been requested too many times. Try again later."}})
	return true
}

// onNote finds the note that a request is about, and holds the lock while it is handled.
func (s *Server) onNote(w http.ResponseWriter, r *http.Request, p *project, about topic, handle func(*note)) {
	id, _ := strconv.ParseInt(r.PathValue("note"), 10, 64)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range p.discussions { // GitLab does not look at the discussion
		if d.about != about {
			continue
		}
		for _, n := range d.notes {
			if n.ID == id {
				handle(n)
				return
			}
		}
	}
	message(w, http.StatusNotFound, "404 Not found")
}

// mayEdit tells whether the token may change a note, or delete it: its author may, and a maintainer.
// Source: GitLab's app/policies/note_policy.rb.
func (s *Server) mayEdit(n *note) bool {
	return !n.System && (n.Author.ID == s.service.ID || s.options.Access >= maintainer)
}

// editNote answers as docs.gitlab.com/api/discussions, "Modify an existing merge request thread note" and its like.
func (s *Server) editNote(w http.ResponseWriter, r *http.Request, p *project, about topic) {
	var sent struct {
		Body     *string `json:"body"`
		Resolved *bool   `json:"resolved"`
	}
	if !readNote(w, r, &sent) {
		return
	}
	switch {
	case sent.Body == nil && sent.Resolved == nil:
		answerJSON(w, http.StatusBadRequest, map[string]string{"error": "body, resolved are missing, exactly one parameter must be provided"})
		return
	case sent.Body != nil && sent.Resolved != nil:
		answerJSON(w, http.StatusBadRequest, map[string]string{"error": "body, resolved are mutually exclusive"})
		return
	}
	s.onNote(w, r, p, about, func(n *note) {
		switch {
		case !s.mayEdit(n) && (sent.Resolved == nil || s.options.Access < Developer):
			message(w, http.StatusForbidden, "403 Forbidden")
			return
		case sent.Resolved != nil && (about.request == nil || n.System):
			message(w, http.StatusBadRequest, "400 Bad request - Note is not resolvable")
			return
		case sent.Resolved != nil:
			s.resolve(n, *sent.Resolved)
		default:
			if problem := noteProblem(*sent.Body); problem != "" {
				message(w, http.StatusBadRequest, "400 Bad request - "+problem)
				return
			}
			if body := p.take(*sent.Body); n.Body != body {
				n.Body, n.updated = body, s.options.Now().UTC()
				n.Edits++
			}
		}
		answerJSON(w, http.StatusOK, s.describeNote(p, about, n))
	})
}

// resolve expects the lock to be held.
func (s *Server) resolve(n *note, resolved bool) {
	if n.Resolved == resolved {
		return
	}
	n.Resolved, n.resolvedBy, n.resolvedAt = resolved, s.service, s.options.Now().UTC()
}

// deleteNote answers as docs.gitlab.com/api/discussions, "Delete a merge request thread note" and its like.
func (s *Server) deleteNote(w http.ResponseWriter, r *http.Request, p *project, about topic) {
	s.onNote(w, r, p, about, func(n *note) {
		if !s.mayEdit(n) {
			message(w, http.StatusForbidden, "403 Forbidden")
			return
		}
		p.removeNote(n.ID)
		w.WriteHeader(http.StatusNoContent)
	})
}

// resolveDiscussion answers as docs.gitlab.com/api/discussions, "Resolve a merge request thread". One that is not there
// breaks it, as it does GitLab's lib/api/helpers/notes_helpers.rb.
func (s *Server) resolveDiscussion(w http.ResponseWriter, r *http.Request, p *project, about topic) {
	var sent struct {
		Resolved *bool `json:"resolved"`
	}
	if !readNote(w, r, &sent) {
		return
	}
	if sent.Resolved == nil {
		answerJSON(w, http.StatusBadRequest, map[string]string{"error": "resolved is missing"})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := p.discussion(about, r.PathValue("discussion"))
	if d == nil {
		message(w, http.StatusInternalServerError, "500 Internal Server Error")
		return
	}
	// Whoever may push code may resolve.
	if s.options.Access < Developer && d.notes[0].Author.ID != s.service.ID {
		message(w, http.StatusForbidden, "403 Forbidden")
		return
	}
	for _, n := range d.notes {
		s.resolve(n, *sent.Resolved)
	}
	answerJSON(w, http.StatusOK, s.describeDiscussion(p, d))
}

// readNote reads a body, or, where there is none, what the address says of resolving, which GitLab takes as well.
func readNote(w http.ResponseWriter, r *http.Request, into any) bool {
	if r.ContentLength == 0 {
		data := "{}"
		if resolved, ok := flag(r.URL.Query().Get("resolved")); ok {
			data = fmt.Sprintf(`{"resolved":%t}`, resolved)
		}
		return readJSONFrom(w, strings.NewReader(data), into)
	}
	return readJSONFrom(w, http.MaxBytesReader(w, r.Body, 8<<20), into)
}

// describeDiscussion expects the lock to be held.
func (s *Server) describeDiscussion(p *project, d *discussion) map[string]any {
	notes := make([]map[string]any, len(d.notes))
	for i, n := range d.notes {
		notes[i] = s.describeNote(p, d.about, n)
	}
	return map[string]any{"id": d.id, "individual_note": false, "notes": notes}
}

// onKey begins the keys that say what a note is about.
const onKey = "noteable_" //nolint:misspell // GitLab's word

// describeNote expects the lock to be held.
// Source: GitLab's lib/api/entities/note.rb.
func (s *Server) describeNote(p *project, about topic, n *note) map[string]any {
	described := map[string]any{
		"id": n.ID, "type": "DiscussionNote", "body": n.Body, "author": s.describeUser(n.Author), "created_at": stamp(n.created),
		"updated_at": stamp(n.updated), "system": n.System, onKey + "id": nil, onKey + "type": "Commit", "project_id": p.ID,
		"resolvable": false, "confidential": false, "internal": false, "imported": false, "imported_from": "none",
		onKey + "iid": nil, "commands_changes": map[string]any{},
	}
	if about.request == nil {
		return described
	}
	described[onKey+"id"], described[onKey+"type"], described[onKey+"iid"] = about.request.id, "MergeRequest", about.request.Number
	if n.System {
		described["type"] = nil
		return described
	}
	described["resolvable"], described["resolved"], described["resolved_by"], described["resolved_at"] = true, n.Resolved, nil, nil
	if n.Resolved {
		described["resolved_by"], described["resolved_at"] = s.describeUser(n.resolvedBy), stamp(n.resolvedAt)
	}
	return described
}
