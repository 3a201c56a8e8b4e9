package gitlab

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// importing is the making of a project from a template, which happens after the answer.
type importing struct {
	status   string // "", scheduled, started, finished or failed
	problem  string
	template int64
	polls    int // how often the project is still asked for before it is finished; below zero waits for FinishImport
}

// FinishImport ends the import of a project from its template: by an error where problem is not "".
func (s *Server) FinishImport(id int64, problem string) error {
	p, err := s.project(id)
	if err != nil {
		return err
	}
	p.pushing.Lock()
	defer p.pushing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.finishImport(p, problem)
}

// finishImport expects both locks to be held. The template's files come in, and with them its settings, over those that
// the project was created with.
// Source: docs.gitlab.com/development/project_templates, and docs.gitlab.com/user/project/settings/import_export.
func (s *Server) finishImport(p *project, problem string) error {
	if p.importing.status != "scheduled" && p.importing.status != "started" {
		return fmt.Errorf("project %d is not being imported", p.ID)
	}
	template, ok := s.projects[p.importing.template]
	if !ok {
		problem = cmp.Or(problem, "the template is gone")
	}
	if problem != "" {
		p.importing.status, p.importing.problem = "failed", problem
		return nil
	}
	if _, err := s.run(nil, "-C", p.dir, "fetch", "--quiet", template.dir, "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"); err != nil {
		return fmt.Errorf("importing project %d: %w", p.ID, err)
	}
	if err := s.setHead(p, template.DefaultBranch); err != nil {
		return err
	}
	p.settings = maps.Clone(template.settings)
	p.importing.status = "finished"
	return nil
}

// setHead makes a branch the default one. It expects the lock to be held.
func (s *Server) setHead(p *project, branch string) error {
	if _, err := s.run(nil, "-C", p.dir, "symbolic-ref", "HEAD", "refs/heads/"+branch); err != nil {
		return fmt.Errorf("setting the default branch of project %d: %w", p.ID, err)
	}
	p.DefaultBranch = branch
	return nil
}

// poll brings an import forward: a project that is asked for was scheduled, then started, then finished.
func (s *Server) poll(p *project) error {
	p.pushing.Lock()
	defer p.pushing.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	state := &p.importing
	if state.status != "scheduled" && state.status != "started" {
		return nil
	}
	state.status = "started"
	if state.polls--; state.polls != 0 {
		return nil
	}
	return s.finishImport(p, s.options.ImportError)
}

// decodeBody reads what was sent, or answers for the handler.
func decodeBody(w http.ResponseWriter, r *http.Request) (map[string]any, bool) {
	sent := make(map[string]any)
	decoder := json.NewDecoder(io.LimitReader(r.Body, 1<<20))
	decoder.UseNumber()
	if err := decoder.Decode(&sent); err != nil {
		answerJSON(w, http.StatusBadRequest, map[string]string{"error": "There was a problem in the JSON you submitted: " + err.Error()})
		return nil, false
	}
	return sent, true
}

// text is a value as text, "" for one that is missing or null.
func text(sent map[string]any, name string) string {
	if sent[name] == nil {
		return ""
	}
	return fmt.Sprint(sent[name])
}

// unacceptable answers as GitLab does when what was sent is none of what a project may be.
func unacceptable(w http.ResponseWriter, problems map[string][]string) {
	answerJSON(w, http.StatusBadRequest, map[string]any{"message": problems})
}

var validPath = regexp.MustCompile(`^[\pL\pN_][\pL\pN_.-]*$`)

// createProject answers as docs.gitlab.com/api/projects, "Create a project".
func (s *Server) createProject(w http.ResponseWriter, r *http.Request) {
	if !s.allowed(w, r, "api") {
		return
	}
	sent, ok := decodeBody(w, r)
	if !ok {
		return
	}
	made := Project{Name: cmp.Or(text(sent, "name"), text(sent, "path")), Description: text(sent, "description"), Visibility: text(sent, "visibility")}
	slug := cmp.Or(text(sent, "path"), strings.ReplaceAll(strings.ToLower(made.Name), " ", "-"))
	if made.Name == "" {
		answerJSON(w, http.StatusBadRequest, map[string]string{"error": "name, path are missing, at least one parameter must be provided"})
		return
	}
	if made.Visibility != "" && !slices.Contains(visibilities, made.Visibility) {
		answerJSON(w, http.StatusBadRequest, map[string]string{"error": "visibility does not have a valid value"})
		return
	}
	given := newSettings()
	if _, problem := take(given, sent); problem != nil {
		answerJSON(w, http.StatusBadRequest, problem)
		return
	}
	s.mu.Lock()
	in, found := s.findGroup(text(sent, "namespace_id"))
	if !found || s.options.Access < Developer {
		s.mu.Unlock()
		unacceptable(w, map[string][]string{"namespace": {"is not valid"}})
		return
	}
	problems := make(map[string][]string)
	if !validPath.MatchString(slug) {
		problems["path"] = []string{"can contain only letters, digits, '_', '-' and '.'. Cannot start with '-', end in '.git' or end in '.atom'"}
	}
	made.Path = in.path + "/" + slug
	for _, p := range s.projects {
		if !strings.EqualFold(path.Dir(p.Path), in.path) {
			continue
		}
		if strings.EqualFold(p.Path, made.Path) {
			problems["path"] = []string{"has already been taken"}
		}
		if strings.EqualFold(p.Name, made.Name) {
			problems["name"] = []string{"has already been taken"}
		}
	}
	state := importing{polls: cmp.Or(s.options.ImportPolls, 1)}
	if on, _ := flag(sent["use_custom_template"]); on {
		state.status = "scheduled"
		template, problem := s.template(sent, in)
		if problem != nil {
			maps.Copy(problems, problem)
		} else {
			state.template = template.ID
		}
	}
	s.mu.Unlock()
	if len(problems) > 0 {
		unacceptable(w, problems)
		return
	}
	id, err := s.CreateProject(made)
	if err != nil { // somebody was faster
		unacceptable(w, map[string][]string{"path": {"has already been taken"}, "name": {"has already been taken"}})
		return
	}
	s.mu.Lock()
	p := s.projects[id]
	p.settings, p.importing = given, state
	p.protectsDefault = true
	s.mu.Unlock()
	answerJSON(w, http.StatusCreated, s.describe(p, s.baseFor(r)))
}

var visibilities = []string{"private", "internal", "public"}

// template finds the template of a project that is to be in a group. It must lie in the group that is named as the one
// with the templates, which must be right below the new project's group, or below one above that. The lock is held.
// Source: docs.gitlab.com/user/group/custom_project_templates.
func (s *Server) template(sent map[string]any, in group) (*project, map[string][]string) {
	id, _ := strconv.ParseInt(text(sent, "template_project_id"), 10, 64)
	p, ok := s.projects[id]
	templates, found := s.findGroup(text(sent, "group_with_project_templates_id"))
	if !ok || !found || !strings.EqualFold(path.Dir(p.Path), templates.path) {
		return nil, map[string][]string{"template_name": {fmt.Sprintf("'%d' is unknown or invalid", id)}}
	}
	owner := path.Dir(templates.path)
	if !strings.EqualFold(in.path, owner) && !strings.HasPrefix(strings.ToLower(in.path), strings.ToLower(owner)+"/") {
		return nil, map[string][]string{"namespace": {"is not a descendant of the Group owning the template"}}
	}
	return p, nil
}

// editProject answers as docs.gitlab.com/api/projects, "Update a project": attributes that it does not know it ignores.
func (s *Server) editProject(w http.ResponseWriter, r *http.Request, p *project) {
	if s.options.Access < maintainer {
		message(w, http.StatusForbidden, "403 Forbidden")
		return
	}
	sent, ok := decodeBody(w, r)
	if !ok {
		return
	}
	refs, err := s.refs(p)
	if err != nil {
		message(w, http.StatusInternalServerError, "500 Internal Server Error")
		return
	}
	if status, problem := s.edit(p, sent, refs); problem != nil {
		answerJSON(w, status, problem)
		return
	}
	answerJSON(w, http.StatusOK, s.describe(p, s.baseFor(r)))
}

func (s *Server) edit(p *project, sent map[string]any, refs map[string]string) (int, any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	branch, visibility := text(sent, "default_branch"), text(sent, "visibility")
	if visibility != "" && !slices.Contains(visibilities, visibility) {
		return http.StatusBadRequest, map[string]string{"error": "visibility does not have a valid value"}
	}
	if branch != "" && branch != p.DefaultBranch && refs["refs/heads/"+branch] == "" {
		return http.StatusBadRequest, map[string]any{"message": map[string][]string{
			"base": {fmt.Sprintf("Could not set the default branch. Do you have a branch named '%s' in your repository?", branch)}}}
	}
	taken, problem := take(p.settings, sent)
	if problem != nil {
		return http.StatusBadRequest, problem
	}
	if name := text(sent, "name"); name != "" {
		p.Name = name
		taken++
	}
	if slug := text(sent, "path"); slug != "" {
		if place := path.Dir(p.Path) + "/" + slug; place != p.Path {
			p.rename(place)
		}
		taken++
	}
	if description, given := sent["description"]; given && description != nil {
		p.Description = text(sent, "description")
		taken++
	}
	if visibility != "" {
		p.Visibility = visibility
		taken++
	}
	if branch != "" {
		if err := s.setHead(p, branch); err != nil {
			return http.StatusInternalServerError, map[string]string{"message": "500 Internal Server Error"}
		}
		taken++
	}
	if taken == 0 {
		return http.StatusBadRequest, map[string]string{"error": "name, default_branch, visibility are missing, at least one parameter must be provided"}
	}
	return 0, nil
}

// owned lets only owners through.
// Source: docs.gitlab.com/user/permissions, "Delete project".
func (s *Server) owned(handle projectHandler) projectHandler {
	return func(w http.ResponseWriter, r *http.Request, p *project) {
		if s.options.Access < Owner {
			message(w, http.StatusForbidden, "403 Forbidden")
			return
		}
		handle(w, r, p)
	}
}

// removeProject marks a project for deletion. What is marked is deleted at once where that is asked for with its path.
// Source: docs.gitlab.com/api/projects, "Delete a project".
func (s *Server) removeProject(w http.ResponseWriter, r *http.Request, p *project) {
	permanently, _ := flag(r.URL.Query().Get("permanently_remove"))
	s.mu.Lock()
	marked, fullPath := !p.MarkedForDeletion.IsZero(), p.Path
	s.mu.Unlock()
	switch {
	case permanently && !marked:
		message(w, http.StatusBadRequest, "Project must be marked for deletion first.")
		return
	case permanently && r.URL.Query().Get("full_path") != fullPath:
		message(w, http.StatusBadRequest, "`full_path` is incorrect. You must enter the complete path for the project.")
		return
	case marked && !permanently:
		message(w, http.StatusBadRequest, "Project has already been marked for deletion")
		return
	}
	remove := s.DeleteProject
	if permanently {
		remove = s.PurgeProject
	}
	if err := remove(p.ID); err != nil {
		message(w, http.StatusInternalServerError, "500 Internal Server Error")
		return
	}
	message(w, http.StatusAccepted, "202 Accepted")
}

// restoreProject takes the mark away, and gives name and path back.
// Source: docs.gitlab.com/api/projects, "Restore a project".
func (s *Server) restoreProject(w http.ResponseWriter, r *http.Request, p *project) {
	s.mu.Lock()
	switch original := strings.TrimSuffix(p.Path, deletionSuffix(p.ID)); {
	case p.MarkedForDeletion.IsZero():
		s.mu.Unlock()
		message(w, http.StatusBadRequest, "Project has not been marked for deletion")
		return
	case slices.ContainsFunc(slices.Collect(maps.Values(s.projects)), func(other *project) bool { return strings.EqualFold(other.Path, original) }):
		s.mu.Unlock()
		message(w, http.StatusBadRequest, "Path has already been taken")
		return
	default:
		p.rename(original)
		p.Name = strings.TrimSuffix(p.Name, deletionSuffix(p.ID))
		p.MarkedForDeletion = time.Time{}
		s.mu.Unlock()
	}
	answerJSON(w, http.StatusCreated, s.describe(p, s.baseFor(r)))
}

func deletionSuffix(id int64) string { return fmt.Sprintf("-deletion_scheduled-%d", id) }

// rename expects the lock to be held.
func (p *project) rename(path string) {
	p.former = append(p.former, p.Path)
	p.Path = path
}

// moved leads those who ask for a project by a path that it had to the project, where no other has the path now. It
// returns false, and answers nothing, when there is none.
// Source: docs.gitlab.com/api/rest, "Redirects".
func (s *Server) moved(w http.ResponseWriter, r *http.Request, reference string) bool {
	s.mu.Lock()
	var to *project
	for _, p := range s.projects {
		if slices.ContainsFunc(p.former, func(path string) bool { return strings.EqualFold(path, reference) }) {
			to = p
		}
	}
	s.mu.Unlock()
	if to == nil {
		return false
	}
	if r.Method != http.MethodGet {
		message(w, http.StatusMethodNotAllowed, "Non GET methods are not allowed for moved projects")
		return true
	}
	const before = "/api/v4/projects/"
	_, rest, below := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), before), "/")
	address := s.baseFor(r) + before + strconv.FormatInt(to.ID, 10)
	if below {
		address += "/" + rest
	}
	if r.URL.RawQuery != "" {
		address += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", address)
	answerJSON(w, http.StatusMovedPermanently, map[string]string{"message": "This resource has been moved permanently to " + address})
	return true
}

// MarshalJSON writes the settings beside the rest.
func (p projectJSON) MarshalJSON() ([]byte, error) {
	type plain projectJSON
	first, err := json.Marshal(plain(p))
	if err != nil {
		return nil, err
	}
	second, err := json.Marshal(told(p.settings))
	if err != nil {
		return nil, err
	}
	return slices.Concat(bytes.TrimSuffix(first, []byte("}")), []byte(","), bytes.TrimPrefix(second, []byte("{"))), nil
}
