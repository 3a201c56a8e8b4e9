package gitlab

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Version is the GitLab version that the stand-in says it is.
const Version = "19.4.0-ee"

func (s *Server) routes() {
	s.mux.HandleFunc("POST /api/v4/projects", s.createProject)
	s.mux.HandleFunc("GET /api/v4/projects/{id}", s.onProject("read_api", s.getProject))
	s.mux.HandleFunc("PUT /api/v4/projects/{id}", s.onProject("api", s.editProject))
	s.mux.HandleFunc("DELETE /api/v4/projects/{id}", s.onProject("api", s.owned(s.removeProject)))
	s.mux.HandleFunc("POST /api/v4/projects/{id}/restore", s.onProject("api", s.owned(s.restoreProject)))
	s.mux.HandleFunc("GET /api/v4/groups/{id}/projects", s.listGroupProjects)
	s.mux.HandleFunc("GET /api/v4/projects/{id}/hooks", s.onProject("read_api", s.maintained(s.listHooks)))
	s.mux.HandleFunc("POST /api/v4/projects/{id}/hooks", s.onProject("api", s.maintained(s.createHook)))
	s.mux.HandleFunc("GET /api/v4/projects/{id}/hooks/{hook}", s.onProject("read_api", s.maintained(s.getHook)))
	s.mux.HandleFunc("PUT /api/v4/projects/{id}/hooks/{hook}", s.onProject("api", s.maintained(s.editHook)))
	s.mux.HandleFunc("DELETE /api/v4/projects/{id}/hooks/{hook}", s.onProject("api", s.maintained(s.deleteHook)))
	s.mux.HandleFunc("GET /api/v4/projects/{id}/hooks/{hook}/events", s.onProject("read_api", s.maintained(s.listEvents)))
	s.mux.HandleFunc("POST /api/v4/projects/{id}/hooks/{hook}/events/{event}/resend", s.onProject("api", s.maintained(s.resendEvent)))
	s.mux.HandleFunc("POST /api/v4/projects/{id}/hooks/{hook}/test/{trigger}", s.onProject("api", s.maintained(s.testHook)))

	s.mux.HandleFunc("GET /api/v4/projects/{id}/protected_branches", s.onProject("read_api", s.listProtections))
	s.mux.HandleFunc("POST /api/v4/projects/{id}/protected_branches", s.onProject("api", s.maintained(s.createProtection)))
	s.mux.HandleFunc("GET /api/v4/projects/{id}/protected_branches/{name}", s.onProject("read_api", s.getProtection))
	s.mux.HandleFunc("PATCH /api/v4/projects/{id}/protected_branches/{name}", s.onProject("api", s.maintained(s.editProtection)))
	s.mux.HandleFunc("DELETE /api/v4/projects/{id}/protected_branches/{name}", s.onProject("api", s.maintained(s.deleteProtection)))
	s.mux.HandleFunc("GET /api/v4/projects/{id}/members", s.onProject("read_api", s.listProjectMembers))
	s.mux.HandleFunc("GET /api/v4/projects/{id}/members/all", s.onProject("read_api", s.listAllProjectMembers))
	s.mux.HandleFunc("PUT /api/v4/projects/{id}/members/{user}", s.onProject("api", s.maintained(s.editMember)))
	s.mux.HandleFunc("DELETE /api/v4/projects/{id}/members/{user}", s.onProject("api", s.maintained(s.deleteMember)))
	s.mux.HandleFunc("GET /api/v4/projects/{id}/invitations", s.onProject("read_api", s.maintained(s.listInvitations)))
	s.mux.HandleFunc("POST /api/v4/projects/{id}/invitations", s.onProject("api", s.maintained(s.invite)))
	s.mux.HandleFunc("PUT /api/v4/projects/{id}/invitations/{email}", s.onProject("api", s.maintained(s.editInvitation)))
	s.mux.HandleFunc("DELETE /api/v4/projects/{id}/invitations/{email}", s.onProject("api", s.maintained(s.deleteInvitation)))

	s.mux.HandleFunc("GET /api/v4/projects/{id}/repository/branches/{branch}", s.onProject("read_api", s.getBranch))
	s.mux.HandleFunc("POST /api/v4/projects/{id}/statuses/{sha}", s.onProject("api", s.postStatus))
	s.mux.HandleFunc("GET /api/v4/projects/{id}/repository/commits/{sha}/statuses", s.onProject("read_api", s.getStatuses))
	s.mux.HandleFunc("GET /api/v4/projects/{id}/badges", s.onProject("read_api", s.listBadges))
	s.mux.HandleFunc("POST /api/v4/projects/{id}/badges", s.onProject("api", s.maintained(s.createBadge)))
	s.mux.HandleFunc("PUT /api/v4/projects/{id}/badges/{badge}", s.onProject("api", s.maintained(s.editBadge)))
	s.mux.HandleFunc("DELETE /api/v4/projects/{id}/badges/{badge}", s.onProject("api", s.maintained(s.deleteBadge)))
	s.mux.HandleFunc("GET /api/v4/projects/{id}/merge_requests/{request}", s.onProject("read_api", s.getMergeRequest))
	for _, about := range []string{"/api/v4/projects/{id}/repository/commits/{sha}", "/api/v4/projects/{id}/merge_requests/{request}"} {
		s.mux.HandleFunc("GET "+about+"/discussions", s.onProject("read_api", s.onTopic(s.listDiscussions)))
		s.mux.HandleFunc("POST "+about+"/discussions", s.onProject("api", s.onTopic(s.createDiscussion)))
		s.mux.HandleFunc("GET "+about+"/discussions/{discussion}", s.onProject("read_api", s.onTopic(s.getDiscussion)))
		s.mux.HandleFunc("PUT "+about+"/discussions/{discussion}/notes/{note}", s.onProject("api", s.onTopic(s.editNote)))
		s.mux.HandleFunc("DELETE "+about+"/discussions/{discussion}/notes/{note}", s.onProject("api", s.onTopic(s.deleteNote)))
	}
	s.mux.HandleFunc("PUT /api/v4/projects/{id}/merge_requests/{request}/discussions/{discussion}", s.onProject("api", s.onTopic(s.resolveDiscussion)))

	s.mux.HandleFunc("GET /api/v4/namespaces/{id}", s.getNamespace)
	s.mux.HandleFunc("GET /api/v4/namespaces/{id}/gitlab_subscription", s.getSubscription)
	s.mux.HandleFunc("GET /api/v4/groups/{id}/members/all", s.listMembers)
	s.mux.HandleFunc("GET /api/v4/users", s.listUsers)
	s.mux.HandleFunc("GET /api/v4/personal_access_tokens/self", s.getToken)
	s.mux.HandleFunc("GET /api/v4/version", s.getVersion)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answerJSON(w, http.StatusNotFound, map[string]string{"error": "404 Not Found"})
	})
}

func answerJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// A client that hung up is the client's business.
	_ = json.NewEncoder(w).Encode(value)
}

func message(w http.ResponseWriter, status int, text string) {
	answerJSON(w, status, map[string]string{"message": text})
}

// allowed answers for the server, and returns false, when the request's token is not good enough. A scope of "" lets
// every token in. given tells whether there was a token at all.
// Source: docs.gitlab.com/api/rest/authentication and docs.gitlab.com/api/rest/troubleshooting, status codes.
func (s *Server) allowed(w http.ResponseWriter, r *http.Request, scope string) bool {
	token := r.Header.Get("PRIVATE-TOKEN")
	if bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok && token == "" {
		token = bearer
	}
	switch s.tokenProblem(token) {
	case "unknown":
		message(w, http.StatusUnauthorized, "401 Unauthorized")
		return false
	case "revoked":
		answerJSON(w, http.StatusUnauthorized, map[string]string{
			"error": "invalid_token", "error_description": "Token was revoked. You have to re-authorize from the user."})
		return false
	case "expired":
		answerJSON(w, http.StatusUnauthorized, map[string]string{
			"error": "invalid_token", "error_description": "Token is expired. You can either do re-authorization or token refresh."})
		return false
	}
	has := func(scope string) bool { return slices.Contains(s.options.Scopes, scope) }
	if scope == "" || has("api") || has(scope) {
		return true
	}
	answerJSON(w, http.StatusForbidden, map[string]string{
		"error": "insufficient_scope", "scope": "api " + scope,
		"error_description": "The request requires higher privileges than provided by the access token."})
	return false
}

type projectHandler func(w http.ResponseWriter, r *http.Request, p *project)

// onProject finds the project that a request is about, by number or by path.
func (s *Server) onProject(scope string, handle projectHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !s.allowed(w, r, scope) {
			return
		}
		reference := r.PathValue("id")
		var p *project
		if id, err := strconv.ParseInt(reference, 10, 64); err == nil {
			p, _ = s.project(id)
		} else {
			p, _ = s.projectByPath(reference)
			if p == nil && s.moved(w, r, reference) {
				return
			}
		}
		if p == nil {
			message(w, http.StatusNotFound, "404 Project Not Found")
			return
		}
		handle(w, r, p)
	}
}

// maintained lets only those through who may see and change hooks.
// Source: docs.gitlab.com/user/permissions, "Manage webhooks".
func (s *Server) maintained(handle projectHandler) projectHandler {
	return func(w http.ResponseWriter, r *http.Request, p *project) {
		if s.options.Access < maintainer {
			message(w, http.StatusForbidden, "403 Forbidden")
			return
		}
		handle(w, r, p)
	}
}

func (s *Server) getProject(w http.ResponseWriter, r *http.Request, p *project) {
	if err := s.poll(p); err != nil {
		message(w, http.StatusInternalServerError, "500 Internal Server Error")
		return
	}
	described := s.describe(p, s.baseFor(r))
	described.Permissions = &permissionsJSON{GroupAccess: &accessJSON{AccessLevel: s.options.Access, NotificationLevel: 3}}
	answerJSON(w, http.StatusOK, described)
}

// projectJSON is what the API tells of a project, as far as anybody here asks.
// Source: docs.gitlab.com/api/projects, "Retrieve a project".
type projectJSON struct {
	ID                  int64            `json:"id"`
	Description         *string          `json:"description"`
	Name                string           `json:"name"`
	NameWithNamespace   string           `json:"name_with_namespace"`
	Path                string           `json:"path"`
	PathWithNamespace   string           `json:"path_with_namespace"`
	CreatedAt           time.Time        `json:"created_at"`
	DefaultBranch       *string          `json:"default_branch"`
	Topics              []string         `json:"topics"`
	SSHURLToRepo        string           `json:"ssh_url_to_repo"`
	HTTPURLToRepo       string           `json:"http_url_to_repo"`
	WebURL              string           `json:"web_url"`
	LastActivityAt      time.Time        `json:"last_activity_at"`
	Visibility          string           `json:"visibility"`
	Namespace           namespaceJSON    `json:"namespace"`
	EmptyRepo           bool             `json:"empty_repo"`
	Archived            bool             `json:"archived"`
	MarkedForDeletionAt *string          `json:"marked_for_deletion_at"`
	MarkedForDeletionOn *string          `json:"marked_for_deletion_on"`
	ImportStatus        string           `json:"import_status"`
	ImportType          *string          `json:"import_type"`
	ImportError         *string          `json:"import_error"`
	CreatorID           int64            `json:"creator_id"`
	RunnersToken        string           `json:"runners_token"`         // a secret, which real answers have
	Permissions         *permissionsJSON `json:"permissions,omitempty"` // where one project was asked for

	settings map[string]any
}

type namespaceJSON struct {
	ID       int64   `json:"id"`
	Name     string  `json:"name"`
	Path     string  `json:"path"`
	Kind     string  `json:"kind"`
	FullPath string  `json:"full_path"`
	ParentID *int64  `json:"parent_id"`
	Avatar   *string `json:"avatar_url"`
	WebURL   string  `json:"web_url"`
}

type permissionsJSON struct {
	ProjectAccess *accessJSON `json:"project_access"`
	GroupAccess   *accessJSON `json:"group_access"`
}

type accessJSON struct {
	AccessLevel       int `json:"access_level"`
	NotificationLevel int `json:"notification_level"`
}

func (s *Server) describe(p *project, base string) projectJSON {
	// An unreadable repository counts as an empty one, which is how GitLab shows it.
	refs, _ := s.refs(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	namespace := path.Dir(p.Path)
	host := strings.TrimPrefix(strings.TrimPrefix(base, "https://"), "http://")
	described := projectJSON{
		ID: p.ID, Name: p.Name, NameWithNamespace: strings.ReplaceAll(namespace, "/", " / ") + " / " + p.Name,
		Path: path.Base(p.Path), PathWithNamespace: p.Path,
		CreatedAt: p.CreatedAt.UTC(), LastActivityAt: p.CreatedAt.UTC(), Topics: []string{},
		SSHURLToRepo: "git@" + host + ":" + p.Path + ".git", HTTPURLToRepo: base + "/" + p.Path + ".git",
		WebURL: base + "/" + p.Path, Visibility: p.Visibility,
		Namespace: s.describeGroup(s.groupAt(namespace), base),
		EmptyRepo: len(refs) == 0, ImportStatus: cmp.Or(p.importing.status, "none"), CreatorID: s.service.ID,
		Archived: !p.MarkedForDeletion.IsZero(), RunnersToken: "GR1348941swordfish", settings: maps.Clone(p.settings),
	}
	if p.importing.status != "" {
		kind := "gitlab_custom_project_template"
		described.ImportType = &kind
	}
	if p.importing.problem != "" {
		problem := p.importing.problem
		described.ImportError = &problem
	}
	if p.Description != "" {
		described.Description = &p.Description
	}
	if len(refs) > 0 {
		described.DefaultBranch = &p.DefaultBranch
	}
	if !p.MarkedForDeletion.IsZero() {
		day := p.MarkedForDeletion.UTC().Format(time.DateOnly)
		described.MarkedForDeletionAt, described.MarkedForDeletionOn = &day, &day
	}
	return described
}

// getToken describes the token itself, whatever its scopes are.
// Source: docs.gitlab.com/api/personal_access_tokens, "Retrieve details on a personal access token", "self".
func (s *Server) getToken(w http.ResponseWriter, r *http.Request) {
	if !s.allowed(w, r, "") {
		return
	}
	described := map[string]any{
		"id": 1, "name": "contacts", "revoked": false, "active": true, "description": nil,
		"created_at": "2026-01-02T03:04:05.000Z", "last_used_at": nil,
		"scopes": s.options.Scopes, "user_id": s.service.ID, "expires_at": nil,
	}
	if !s.options.TokenExpires.IsZero() {
		described["expires_at"] = s.options.TokenExpires.Format(time.DateOnly)
	}
	answerJSON(w, http.StatusOK, described)
}

func (s *Server) getVersion(w http.ResponseWriter, r *http.Request) {
	if s.allowed(w, r, "read_api") {
		answerJSON(w, http.StatusOK, map[string]any{"version": Version, "revision": "0123456789a", "enterprise": true})
	}
}
