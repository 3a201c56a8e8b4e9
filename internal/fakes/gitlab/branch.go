package gitlab

import (
	"net/http"
	"slices"
	"strings"
)

// getBranch answers as docs.gitlab.com/api/branches, "Get single repository branch".
func (s *Server) getBranch(w http.ResponseWriter, r *http.Request, p *project) {
	branch := r.PathValue("branch")
	refs, err := s.refs(p)
	if err != nil {
		message(w, http.StatusNotFound, "404 Repository Not Found")
		return
	}
	head := refs["refs/heads/"+branch]
	if head == "" {
		message(w, http.StatusNotFound, "404 Branch Not Found")
		return
	}
	commits, err := s.log(p, 1, head)
	if err != nil || len(commits) == 0 {
		message(w, http.StatusInternalServerError, "500 Internal Server Error")
		return
	}
	web := s.describe(p, s.baseFor(r)).WebURL
	newest := commits[0]
	author, _ := newest["author"].(map[string]string)
	s.mu.Lock()
	defer s.mu.Unlock()
	protected := slices.ContainsFunc(p.protections, func(rule *protection) bool { return fits(rule.Branch, branch) })
	answerJSON(w, http.StatusOK, map[string]any{
		"name": branch, "merged": false, "protected": protected, "default": branch == p.DefaultBranch,
		"developers_can_push": !protected, "developers_can_merge": !protected, "can_push": s.mayUpdate(p, branch),
		"web_url": web + "/-/tree/" + strings.ReplaceAll(branch, "#", "%23"),
		"commit": map[string]any{
			"id": head, "short_id": head[:8], "title": newest["title"], "message": newest["message"], "created_at": newest["timestamp"],
			"author_name": author["name"], "author_email": author["email"], "authored_date": newest["timestamp"],
			"committer_name": author["name"], "committer_email": author["email"], "committed_date": newest["timestamp"],
			"web_url": newest["url"],
		},
	})
}
