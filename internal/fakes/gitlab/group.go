package gitlab

import (
	"cmp"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

// group is a group, at the top level or below. Those that nobody added are there as soon as a project is in them.
type group struct {
	id   int64
	path string
}

// AddGroup adds a group, such as "support/templates", with those above it, and returns its number. One that is there
// already stays as it is.
func (s *Server) AddGroup(fullPath string) (int64, error) {
	fullPath = strings.Trim(fullPath, "/")
	if fullPath == "" || path.Clean(fullPath) != fullPath {
		return 0, fmt.Errorf("adding a group: %q is no path", fullPath)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.groupAt(fullPath).id, nil
}

const firstGroup = 5000

// groupAt returns the group at a path, which it makes where there is none. It expects the lock to be held.
func (s *Server) groupAt(fullPath string) group {
	if i := strings.LastIndex(fullPath, "/"); i > 0 {
		s.groupAt(fullPath[:i])
	}
	for _, g := range s.groups {
		if strings.EqualFold(g.path, fullPath) {
			return g
		}
	}
	g := group{id: firstGroup + int64(len(s.groups)), path: fullPath}
	for _, n := range s.namespaces {
		if strings.EqualFold(n.Path, fullPath) {
			g.id = n.ID
		}
	}
	s.groups = append(s.groups, g)
	return g
}

// findGroup finds a group by number or path, unless its namespace is hidden. It expects the lock to be held.
func (s *Server) findGroup(reference string) (group, bool) {
	for _, g := range s.groups {
		top, _, _ := strings.Cut(g.path, "/")
		hidden := slices.ContainsFunc(s.namespaces, func(n Namespace) bool { return n.Hidden && strings.EqualFold(n.Path, top) })
		if !hidden && (strconv.FormatInt(g.id, 10) == reference || strings.EqualFold(g.path, reference)) {
			return g, true
		}
	}
	return group{}, false
}

// describeGroup expects the lock to be held.
func (s *Server) describeGroup(g group, base string) namespaceJSON {
	described := namespaceJSON{ID: g.id, Name: path.Base(g.path), Path: path.Base(g.path), Kind: "group", FullPath: g.path,
		WebURL: base + "/groups/" + g.path}
	if i := strings.LastIndex(g.path, "/"); i > 0 {
		parent := s.groupAt(g.path[:i]).id
		described.ParentID = &parent
	}
	return described
}

// listGroupProjects answers with the projects of a group, those that are to be deleted among them.
// Source: docs.gitlab.com/api/groups, "List projects".
func (s *Server) listGroupProjects(w http.ResponseWriter, r *http.Request) {
	if !s.allowed(w, r, "read_api") {
		return
	}
	query := r.URL.Query()
	s.mu.Lock()
	g, ok := s.findGroup(r.PathValue("id"))
	var found []*project
	for _, p := range s.projects {
		in := path.Dir(p.Path)
		if strings.EqualFold(in, g.path) || query.Get("include_subgroups") == "true" && strings.HasPrefix(strings.ToLower(in), strings.ToLower(g.path)+"/") {
			found = append(found, p)
		}
	}
	s.mu.Unlock()
	if !ok {
		message(w, http.StatusNotFound, "404 Group Not Found")
		return
	}
	slices.SortFunc(found, func(a, b *project) int {
		if query.Get("sort") == "asc" {
			a, b = b, a
		}
		return cmp.Compare(b.ID, a.ID)
	})
	page, size := paging(r, 100)
	answerJSON(w, http.StatusOK, paged(w, found, page, size, func(p *project) projectJSON { return s.describe(p, s.baseFor(r)) }))
}
