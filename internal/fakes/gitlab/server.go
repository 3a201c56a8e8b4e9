// Package gitlab is a stand-in for a GitLab: the few REST endpoints that matter to a program that reads and sets up
// projects, and tells people what became of their commits, real git over HTTP (the machine's own "git http-backend" on
// bare repositories), merge requests, and hooks of both. Faults can be switched on, see Fault.
//
// It answers as docs.gitlab.com/api/ (projects, project_webhooks, protected_branches, project_members, invitations,
// branches, commits, discussions, merge_requests, project_badges, groups, namespaces, group_members, users,
// personal_access_tokens, version) and
// docs.gitlab.com/user/project/integrations/webhook_events describe, and knows nothing of the programs that use it.
package gitlab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Options is how a Server is made. Only Dir is required.
type Options struct {
	Dir   string // where the bare repositories live; an existing folder that nobody else uses
	Token string // the service account's access token, for the API and for git; "" lets nobody in as the service
	// Scopes are the token's; none means api, read_repository and write_repository.
	Scopes       []string
	TokenExpires time.Time // the last day of the token, zero for never
	TokenRevoked bool
	// Access is the token's level in every project; 0 is 40, a maintainer's. Hooks are kept from all below.
	Access int

	// ImportPolls is how often a project that is made from a template must be asked for until its import is finished; 0 is
	// once. Below zero it goes on until FinishImport.
	ImportPolls int
	// ImportError makes imports fail, with these words.
	ImportError string

	// Users may use git, and only git, with a password of their own, on every project.
	Users []User
	// Anonymous lets git be used without credentials, as somebody called "anonymous".
	Anonymous bool

	// OnPush is told of every branch that a push changed, in order, after the pusher has the whole answer. It is
	// called by one goroutine, and hooks are delivered by the same: it should not take long.
	OnPush func(Push)
	// HookTransport carries the hooks; nil is http.DefaultTransport.
	HookTransport http.RoundTripper
	// KeepHooks leaves failing hooks enabled, as a self-managed GitLab does unless its administrator says otherwise
	// (feature flag auto_disabling_web_hooks).
	KeepHooks bool
	// OldHooks knows nothing of signing tokens, as GitLab before 19.0.
	OldHooks bool
	// Free answers as GitLab Free: of branch rules it ignores whatever is not a role.
	Free bool
	// ProtectDefault makes GitLab protect every default branch that comes into being, for maintainers alone.
	ProtectDefault bool
	// NotesAMinute is how many notes the token's user may write in a minute; 0 is any number. It is 60 on gitlab.com.
	NotesAMinute int
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// User is somebody who pushes.
type User struct {
	ID       int64
	Username string
	Name     string
	Email    string
	Password string
}

// Push is one branch that a push, or Commit, changed. Before is forty zeros for a new branch, After for a deleted one.
type Push struct {
	ProjectID     int64
	Ref           string // "refs/heads/master"
	Before, After string
	User          User
}

// Branch is the pushed branch's name.
func (p Push) Branch() string { return strings.TrimPrefix(p.Ref, "refs/heads/") }

// Request is one request that the server received.
type Request struct {
	Method string
	Path   string // decoded, without the query
	Query  url.Values
	Status int   // 0 while unanswered
	Sent   int64 // bytes of the answer's body so far
}

// Server is the stand-in: an http.Handler. Close it when done.
type Server struct {
	options Options
	service User // whom the token stands for
	git     string
	mux     *http.ServeMux

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	pushes *queue // pushes that OnPush and the hooks are still to be told of

	mu         sync.Mutex
	base       string // "" takes each request's Host
	projects   map[int64]*project
	namespaces []Namespace
	groups     []group
	people     []User
	nextID     int64
	hookID     int64
	eventID    int64
	ruleID     int // of protected branches, and of who may
	statusID   int64
	badgeID    int64
	noteID     int64
	mergeID    int64
	notesUsed  window
	faults     []*Fault

	logging  sync.Mutex // a lock of its own, because answers are written, and logged, under the other
	requests []*Request
}

// New returns a server without projects. It fails when the machine has no git that can serve HTTP.
func New(options Options) (*Server, error) {
	if options.Dir == "" {
		return nil, errors.New("the stand-in GitLab needs a folder for its repositories")
	}
	dir, err := filepath.Abs(options.Dir)
	if err != nil {
		return nil, fmt.Errorf("finding the folder of the repositories: %w", err)
	}
	options.Dir = dir
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, fmt.Errorf("the stand-in GitLab serves real git, so git must be installed: %w", err)
	}
	out, err := exec.Command(git, "--exec-path").Output()
	if err != nil {
		return nil, fmt.Errorf("asking git for its folder: %w", err)
	}
	if _, err := exec.LookPath(filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")); err != nil {
		return nil, fmt.Errorf("the stand-in GitLab needs \"git http-backend\", which comes with git on most systems: %w", err)
	}
	if options.Scopes == nil {
		options.Scopes = []string{"api", "read_repository", "write_repository"}
	}
	options.Access = cmp.Or(options.Access, maintainer)
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.HookTransport == nil {
		options.HookTransport = http.DefaultTransport
	}
	s := &Server{
		options:  options,
		service:  User{ID: 1, Username: "service-account", Name: "Service account", Email: "service@example.com"},
		git:      git,
		projects: make(map[int64]*project),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.pushes = startQueue(s.announce)
	s.mux = http.NewServeMux()
	s.routes()
	return s, nil
}

// Close waits until OnPush has been told of every push so far, gives up on hooks that are still to be delivered, and
// ends the server's goroutine. It is safe to call twice. The caller stops serving first.
func (s *Server) Close() {
	s.cancel()
	s.pushes.close()
}

// Settle waits until everything that was pushed so far has been announced: OnPush returned, hooks answered.
func (s *Server) Settle() { s.pushes.wait() }

// SetURL fixes the address that the server is reached at, such as "http://127.0.0.1:8929". Without it the server
// believes the Host of each request.
func (s *Server) SetURL(base string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.base = strings.TrimSuffix(base, "/")
}

// URL is what SetURL set.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.base
}

func (s *Server) baseFor(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return cmp.Or(s.URL(), scheme+"://"+r.Host)
}

// Requests returns what was received since the start, or since ForgetRequests, in order of arrival.
func (s *Server) Requests() []Request {
	s.logging.Lock()
	defer s.logging.Unlock()
	requests := make([]Request, len(s.requests))
	for i, r := range s.requests {
		requests[i] = *r
	}
	return requests
}

// ForgetRequests empties the list of requests.
func (s *Server) ForgetRequests() {
	s.logging.Lock()
	defer s.logging.Unlock()
	s.requests = nil
}

// ServeHTTP answers one request, or does to it what the first fitting fault says.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	entry := &Request{Method: r.Method, Path: r.URL.Path, Query: r.URL.Query()}
	s.logging.Lock()
	s.requests = append(s.requests, entry)
	s.logging.Unlock()
	fault := s.takeFault(r)

	answer := &answer{ResponseWriter: w, server: s, entry: entry, fault: fault}
	if fault.Wait != nil {
		if err := fault.Wait(r.Context()); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	switch {
	case fault.Status != 0 && fault.After:
		s.serve(&bufferedAnswer{header: make(http.Header)}, r)
		fault.answer(answer)
	case fault.Status != 0:
		fault.answer(answer)
	case fault.Reset && fault.After:
		s.serve(&bufferedAnswer{header: make(http.Header)}, r)
		panic(http.ErrAbortHandler)
	case fault.Reset:
		panic(http.ErrAbortHandler)
	default:
		s.serve(answer, r)
	}
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if path, action, ok := splitGit(r.URL.Path); ok {
		s.serveGit(w, r, path, action)
		return
	}
	s.mux.ServeHTTP(w, r)
}

// queue hands items to one function, in order, from one goroutine, without ever making the sender wait.
type queue struct {
	mu      sync.Mutex
	changed *sync.Cond
	items   []announcement
	coming  int // senders who have said that they will add something
	busy    bool
	closed  bool
	done    chan struct{}
}

func startQueue(handle func(announcement)) *queue {
	q := &queue{done: make(chan struct{})}
	q.changed = sync.NewCond(&q.mu)
	go func() {
		defer close(q.done)
		for {
			item, ok := q.next()
			if !ok {
				return
			}
			handle(item)
		}
	}()
	return q
}

// next blocks until there is an item, or until the queue is closed and empty.
func (q *queue) next() (announcement, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy = false
	q.changed.Broadcast()
	for len(q.items) == 0 {
		if q.closed {
			return announcement{}, false
		}
		q.changed.Wait()
	}
	item := q.items[0]
	q.items = q.items[1:]
	q.busy = true
	return item, true
}

// expect announces a sender who is about to add something: wait lasts until the function that it returns is called.
func (q *queue) expect() (added func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.coming++
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.coming--
		q.changed.Broadcast()
	}
}

func (q *queue) add(item announcement) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items = append(q.items, item)
	q.changed.Broadcast()
}

func (q *queue) wait() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) > 0 || q.busy || q.coming > 0 {
		q.changed.Wait()
	}
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.changed.Broadcast()
	q.mu.Unlock()
	<-q.done
}
