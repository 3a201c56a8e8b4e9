package gitlab

import (
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Badge is a picture on a project's page.
type Badge struct {
	ID          int64
	Name        string
	Link, Image string // with placeholders such as %{project_path}
	// Group says that it is the group's, which shows on all of its projects.
	Group bool
}

// Badges returns the badges on a project's page, the oldest first.
func (s *Server) Badges(project int64) ([]Badge, error) {
	p, err := s.project(project)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(p.badges), nil
}

// AddBadge puts a badge on a project's page, as somebody else would, and returns its number.
func (s *Server) AddBadge(project int64, b Badge) (int64, error) {
	p, err := s.project(project)
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addBadge(p, b).ID, nil
}

// addBadge expects the lock to be held.
func (s *Server) addBadge(p *project, b Badge) Badge {
	s.badgeID++
	b.ID = s.badgeID
	p.badges = append(p.badges, b)
	return b
}

// listBadges answers with the project's badges and those of its group. The filter wants the whole name.
// Source: docs.gitlab.com/api/project_badges, "List all badges of a project".
func (s *Server) listBadges(w http.ResponseWriter, r *http.Request, p *project) {
	page, size := paging(r, 100)
	base := s.baseFor(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []Badge
	for _, b := range p.badges {
		if name := r.URL.Query().Get("name"); name == "" || name == b.Name {
			found = append(found, b)
		}
	}
	answerJSON(w, http.StatusOK, paged(w, found, page, size, func(b Badge) map[string]any { return p.describeBadge(b, base) }))
}

// sentBadge is what a client may send about a badge. A nil pointer was not sent.
type sentBadge struct {
	Link  *string `json:"link_url"`
	Image *string `json:"image_url"`
	Name  *string `json:"name"`
}

// problems are what GitLab refuses a badge for.
func (b sentBadge) problems() map[string][]string {
	problems := make(map[string][]string)
	for name, address := range map[string]*string{"link_url": b.Link, "image_url": b.Image} {
		if address == nil {
			continue
		}
		u, err := url.Parse(placeholders.Replace(*address))
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			problems[name] = []string{"is blocked: Only allowed schemes are http, https"}
		}
	}
	return problems
}

// placeholders are what a badge's addresses may name. None of them is anything for the check of an address.
var placeholders = strings.NewReplacer("%{project_path}", "x", "%{project_title}", "x", "%{project_name}", "x", "%{project_id}", "x",
	"%{project_namespace}", "x", "%{group_name}", "x", "%{gitlab_server}", "x", "%{gitlab_pages_domain}", "x", "%{default_branch}", "x",
	"%{commit_sha}", "x", "%{latest_tag}", "x")

// createBadge answers as docs.gitlab.com/api/project_badges, "Add a badge to a project".
func (s *Server) createBadge(w http.ResponseWriter, r *http.Request, p *project) {
	var sent sentBadge
	if !readJSON(w, r, &sent) {
		return
	}
	if sent.Link == nil || sent.Image == nil {
		answerJSON(w, http.StatusBadRequest, map[string]string{"error": "link_url is missing, image_url is missing"})
		return
	}
	if problems := sent.problems(); len(problems) > 0 {
		unacceptable(w, problems)
		return
	}
	base := s.baseFor(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	made := s.addBadge(p, Badge{Name: value(sent.Name), Link: *sent.Link, Image: *sent.Image})
	answerJSON(w, http.StatusCreated, p.describeBadge(made, base))
}

// onBadge finds the badge that a request is about, and holds the lock while it is handled.
func (s *Server) onBadge(w http.ResponseWriter, r *http.Request, p *project, handle func(at int)) {
	id, _ := strconv.ParseInt(r.PathValue("badge"), 10, 64)
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(p.badges, func(b Badge) bool { return b.ID == id })
	switch {
	case at < 0:
		message(w, http.StatusNotFound, "404 Not found")
	case p.badges[at].Group: // only the group's own address changes it
		message(w, http.StatusNotFound, "404 Badge Not Found")
	default:
		handle(at)
	}
}

// editBadge answers as docs.gitlab.com/api/project_badges, "Update a badge of a project".
func (s *Server) editBadge(w http.ResponseWriter, r *http.Request, p *project) {
	var sent sentBadge
	if !readJSON(w, r, &sent) {
		return
	}
	if problems := sent.problems(); len(problems) > 0 {
		unacceptable(w, problems)
		return
	}
	base := s.baseFor(r)
	s.onBadge(w, r, p, func(at int) {
		b := &p.badges[at]
		for field, sent := range map[*string]*string{&b.Name: sent.Name, &b.Link: sent.Link, &b.Image: sent.Image} {
			if sent != nil {
				*field = *sent
			}
		}
		answerJSON(w, http.StatusOK, p.describeBadge(*b, base))
	})
}

// deleteBadge answers as docs.gitlab.com/api/project_badges, "Delete a badge from a project".
func (s *Server) deleteBadge(w http.ResponseWriter, r *http.Request, p *project) {
	s.onBadge(w, r, p, func(at int) {
		p.badges = slices.Delete(slices.Clone(p.badges), at, at+1)
		w.WriteHeader(http.StatusNoContent)
	})
}

// describeBadge expects the lock to be held.
// Source: docs.gitlab.com/user/project/badges, "Placeholders".
func (p *project) describeBadge(b Badge, base string) map[string]any {
	host := strings.TrimPrefix(strings.TrimPrefix(base, "https://"), "http://")
	group, _, _ := strings.Cut(p.Path, "/")
	filled := strings.NewReplacer("%{project_path}", p.Path, "%{project_title}", p.Name, "%{project_name}", path.Base(p.Path),
		"%{project_id}", strconv.FormatInt(p.ID, 10), "%{project_namespace}", path.Dir(p.Path), "%{group_name}", group,
		"%{gitlab_server}", host, "%{default_branch}", p.DefaultBranch)
	kind := "project"
	if b.Group {
		kind = "group"
	}
	return map[string]any{"id": b.ID, "name": textOrNull(b.Name), "kind": kind, "link_url": b.Link, "image_url": b.Image,
		"rendered_link_url": filled.Replace(b.Link), "rendered_image_url": filled.Replace(b.Image)}
}
