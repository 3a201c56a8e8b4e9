package gitlab

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/cgi"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What GitLab says, word for word, to a git that it does not let in.
const (
	gitDenied   = "HTTP Basic: Access denied. If a password was provided for Git authentication, the password was incorrect or you're required to use a token instead of a password.\n"
	gitNotFound = "The project you were looking for could not be found or you don't have permission to view it.\n"
	gitNoPush   = "You are not allowed to push code to this project.\n"
)

// splitGit tells the parts of a git address: the project's path, and what is asked of its repository.
func splitGit(path string) (project, action string, ok bool) {
	project, action, ok = strings.Cut(strings.TrimPrefix(path, "/"), ".git/")
	switch action {
	case "info/refs", "git-upload-pack", "git-receive-pack":
		return project, action, ok
	}
	return "", "", false
}

func (s *Server) serveGit(w http.ResponseWriter, r *http.Request, path, action string) {
	pushes := action == "git-receive-pack" || r.URL.Query().Get("service") == "git-receive-pack"
	user, ok := s.gitUser(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Basic realm="GitLab"`)
		answerText(w, http.StatusUnauthorized, gitDenied)
		return
	}
	if user.Username == s.service.Username && !s.mayUseGit(pushes) {
		answerText(w, http.StatusForbidden, gitNoPush)
		return
	}
	p, ok := s.projectByPath(path)
	if !ok {
		answerText(w, http.StatusNotFound, gitNotFound)
		return
	}
	if action == "git-receive-pack" {
		s.receivePack(w, r, p, user)
		return
	}
	s.backend(w, r, p, action)
}

// gitUser returns who the credentials of a git request belong to: the token with any user name, or a user's own.
func (s *Server) gitUser(r *http.Request) (User, bool) {
	name, password, given := r.BasicAuth()
	if !given {
		return User{Username: "anonymous", Name: "Anonymous"}, s.options.Anonymous
	}
	if name != "" && s.tokenProblem(password) == "" {
		return s.service, true
	}
	for _, user := range s.options.Users {
		if user.Username == name && same(user.Password, password) {
			return user, true
		}
	}
	return User{}, false
}

// mayUseGit tells whether the token's scopes let it fetch, or push.
// Source: docs.gitlab.com/user/profile/personal_access_tokens, "Personal access token scopes".
func (s *Server) mayUseGit(push bool) bool {
	has := func(scope string) bool { return slices.Contains(s.options.Scopes, scope) }
	return has("api") || has("write_repository") || !push && has("read_repository")
}

// tokenProblem is "" for a good token, else what GitLab calls the problem.
func (s *Server) tokenProblem(token string) string {
	switch {
	case s.options.Token == "" || !same(s.options.Token, token):
		return "unknown"
	case s.options.TokenRevoked:
		return "revoked"
	case !s.options.TokenExpires.IsZero() && !s.options.Now().Before(s.options.TokenExpires):
		return "expired"
	}
	return ""
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func answerText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	// A client that hung up is the client's business.
	_, _ = io.WriteString(w, text)
}

// backend lets git itself answer.
func (s *Server) backend(w http.ResponseWriter, r *http.Request, p *project, action string) {
	request := r.Clone(r.Context())
	request.URL.Path = "/" + strconv.FormatInt(p.ID, 10) + ".git/" + action
	request.URL.RawPath = ""
	if request.ContentLength < 0 {
		// CGI has no way to pass on a body of unknown length, which git sends when a push is large.
		body, size, err := spool(r.Body, s.options.Dir)
		if err != nil {
			answerText(w, http.StatusInternalServerError, "spooling the push: "+err.Error()+"\n")
			return
		}
		defer body.Close()
		request.Body, request.ContentLength, request.TransferEncoding = body, size, nil
	}
	handler := cgi.Handler{
		Path: s.git,
		Args: []string{"http-backend"},
		Dir:  s.options.Dir,
		Env: append(s.environment(),
			"GIT_PROJECT_ROOT="+s.options.Dir, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=git"),
		// What git complains about there it also tells the client, and clients that hang up are nothing to report.
		Stderr: io.Discard,
		Logger: log.New(io.Discard, "", 0),
	}
	handler.ServeHTTP(w, request)
}

// spool copies a body of unknown length to a file that disappears when it is closed.
func spool(body io.Reader, dir string) (io.ReadCloser, int64, error) {
	file, err := os.CreateTemp(dir, "push-*")
	if err != nil {
		return nil, 0, err
	}
	spooled := spooledBody{file}
	size, err := io.Copy(file, body)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		spooled.Close()
		return nil, 0, err
	}
	return spooled, size, nil
}

type spooledBody struct{ *os.File }

func (b spooledBody) Close() error {
	b.File.Close()
	return os.Remove(b.Name())
}

// receivePack takes a push, answers it whole, and then announces which branches it changed.
func (s *Server) receivePack(w http.ResponseWriter, r *http.Request, p *project, user User) {
	p.pushing.Lock()
	defer p.pushing.Unlock()
	before, err := s.refs(p)
	if err != nil {
		answerText(w, http.StatusNotFound, gitNotFound)
		return
	}
	kept := &bufferedAnswer{header: make(http.Header)}
	s.backend(kept, r, p, "git-receive-pack")
	after, err := s.refs(p)
	if err != nil {
		answerText(w, http.StatusInternalServerError, err.Error()+"\n")
		return
	}
	// The pusher may be done before the push is queued, and whoever asks then must be told to wait.
	defer s.pushes.expect()()
	// Deferred, because an answer that is cut on purpose must not lose the push.
	defer s.pushed(p, before, after, user)
	maps.Copy(w.Header(), kept.header)
	w.Header().Set("Content-Length", strconv.Itoa(kept.body.Len()))
	w.WriteHeader(kept.status)
	// A client that hung up has pushed all the same.
	_, _ = w.Write(kept.body.Bytes())
	_ = http.NewResponseController(w).Flush()
}

// maxBranches is how many branches a push may change and still be announced (push_event_hooks_limit).
// Source: docs.gitlab.com/user/project/integrations/webhook_events, "Push events".
const maxBranches = 3

// pushed does what GitLab does when refs have changed: it queues the announcements of the branches, protects the default
// one if it is new, and takes over what merge requests come from. Tags are not announced.
func (s *Server) pushed(p *project, before, after map[string]string, user User) {
	s.mu.Lock()
	s.protectNewBranches(p, before, after)
	s.mu.Unlock()
	var pushes []Push
	for _, ref := range slices.Sorted(maps.Keys(union(before, after))) {
		if !strings.HasPrefix(ref, "refs/heads/") || before[ref] == after[ref] {
			continue
		}
		push := Push{ProjectID: p.ID, Ref: ref, Before: noCommit, After: noCommit, User: user}
		if hash, ok := before[ref]; ok {
			push.Before = hash
		}
		if hash, ok := after[ref]; ok {
			push.After = hash
		}
		pushes = append(pushes, push)
	}
	defer s.refresh(p, before, after, user)
	if len(pushes) > maxBranches {
		return
	}
	for _, push := range pushes {
		s.pushes.add(announcement{project: p, push: push, at: s.options.Now()})
	}
}

// noCommit is the hash that stands for a branch which is not there.
var noCommit = strings.Repeat("0", 40)

func union(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// announcement is a push that OnPush and the hooks are to be told of, or something else that the hooks are.
type announcement struct {
	project *project
	push    Push
	merge   []byte // what is told of a merge request; nil for a push
	at      time.Time
}

func (s *Server) announce(a announcement) {
	if s.options.OnPush != nil && a.merge == nil {
		s.options.OnPush(a.push)
	}
	for _, h := range s.hooksFor(a) {
		s.deliver(h, a)
	}
}

// String is for messages of tests.
func (p Push) String() string {
	return fmt.Sprintf("project %d %s %.8s..%.8s", p.ProjectID, p.Ref, p.Before, p.After)
}
