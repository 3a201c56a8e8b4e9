package gitlab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"contactsync/internal/fakes/gitlab"
)

const token = "glpat-0123456789"

// house is a running server, and a folder to clone into.
type house struct {
	*gitlab.Server
	url  string
	work string

	mu     sync.Mutex
	pushes []gitlab.Push
}

func newHouse(t *testing.T, change func(*gitlab.Options)) *house {
	t.Helper()
	h := &house{work: t.TempDir()}
	options := gitlab.Options{
		Dir: t.TempDir(), Token: token,
		Users: []gitlab.User{{ID: 7, Username: "ada", Name: "Ada Lovelace", Email: "ada@example.com", Password: "engine"}},
		OnPush: func(p gitlab.Push) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.pushes = append(h.pushes, p)
		},
	}
	if change != nil {
		change(&options)
	}
	server, err := gitlab.New(options)
	if err != nil {
		t.Fatal(err)
	}
	h.Server = server
	web := httptest.NewServer(server)
	t.Cleanup(func() { web.Close(); server.Close() })
	server.SetURL(web.URL)
	h.url = web.URL
	return h
}

func (h *house) seen() []gitlab.Push {
	h.Settle()
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.pushes)
}

func (h *house) project(t *testing.T, path string) int64 {
	t.Helper()
	id, err := h.CreateProject(gitlab.Project{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (h *house) commit(t *testing.T, id int64, c gitlab.Commit) string {
	t.Helper()
	hash, err := h.Commit(id, c)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

// git runs the git of the machine as a customer would, away from the configuration of whoever runs the tests.
func (h *house) git(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Ada Lovelace", "GIT_AUTHOR_EMAIL=ada@example.com", "GIT_AUTHOR_DATE=2026-01-02T03:04:05Z",
		"GIT_COMMITTER_NAME=Ada Lovelace", "GIT_COMMITTER_EMAIL=ada@example.com", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (h *house) mustGit(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := h.git(t, dir, args...)
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// clone clones a project as a user with a password, and returns the folder.
func (h *house) clone(t *testing.T, path, user, password string) string {
	t.Helper()
	address, err := url.Parse(h.url + "/" + path + ".git")
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword(user, password)
	dir := filepath.Join(h.work, fmt.Sprintf("clone%d", len(h.Requests())))
	h.mustGit(t, "", "clone", "--quiet", address.String(), dir)
	return dir
}

func (h *house) write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// call sends an API request with the token and returns the status and the decoded answer.
func (h *house) call(t *testing.T, method, path string, body any) (int, any) {
	t.Helper()
	return h.callAs(t, token, method, path, body)
}

func (h *house) callAs(t *testing.T, as, method, path string, body any) (int, any) {
	t.Helper()
	var sent io.Reader
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		sent = bytes.NewReader(data)
	}
	request, err := http.NewRequest(method, h.url+"/api/v4"+path, sent)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("PRIVATE-TOKEN", as)
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer any
	if len(data) > 0 {
		if err := json.Unmarshal(data, &answer); err != nil {
			t.Fatalf("%s %s answered no JSON: %s", method, path, data)
		}
	}
	return response.StatusCode, answer
}

// TestCloneAndPush guards the reason for the stand-in: a customer's own git can clone, push, and is heard.
func TestCloneAndPush(t *testing.T) {
	h := newHouse(t, nil)
	id := h.project(t, "support/organization-42")
	first := h.commit(t, id, gitlab.Commit{Files: map[string]string{"contacts.yaml": "- name: Ada\n"}, Message: "Start"})

	dir := h.clone(t, "support/organization-42", "ada", "engine")
	h.write(t, dir, "contacts.yaml", "- name: Grace\n")
	h.mustGit(t, dir, "commit", "--quiet", "-am", "Change")
	h.mustGit(t, dir, "push", "--quiet", "origin", "master")

	head, err := h.Head(id, "")
	if err != nil {
		t.Fatal(err)
	}
	content, err := h.File(id, "", "contacts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if content != "- name: Grace\n" {
		t.Errorf("the server has %q after the push", content)
	}
	pushes := h.seen()
	if len(pushes) != 2 {
		t.Fatalf("%d pushes were announced, want the server's own commit and the customer's: %v", len(pushes), pushes)
	}
	if got := pushes[1]; got.Before != first || got.After != head || got.Branch() != "master" || got.User.Username != "ada" {
		t.Errorf("the push was announced as %v by %q, want %.8s..%.8s by ada", got, got.User.Username, first, head)
	}
}

// TestPushOfBigBody guards that a push whose length git does not know beforehand arrives whole.
func TestPushOfBigBody(t *testing.T) {
	h := newHouse(t, nil)
	id := h.project(t, "support/big")
	dir := h.clone(t, "support/big", "oauth2", token)
	noise := make([]byte, 3<<20)
	state := uint64(1)
	for i := range noise {
		state = state*6364136223846793005 + 1442695040888963407
		noise[i] = byte(state >> 56)
	}
	h.write(t, dir, "noise", string(noise))
	h.mustGit(t, dir, "checkout", "--quiet", "-B", "master")
	h.mustGit(t, dir, "add", "noise")
	h.mustGit(t, dir, "commit", "--quiet", "-m", "Noise")
	h.mustGit(t, dir, "push", "--quiet", "origin", "master")
	content, err := h.File(id, "", "noise")
	if err != nil {
		t.Fatal(err)
	}
	if content != string(noise) {
		t.Errorf("%d bytes arrived, want the %d that were pushed", len(content), len(noise))
	}
}

// TestGitCredentials guards who may use git, and what GitLab answers to the others.
func TestGitCredentials(t *testing.T) {
	tests := []struct {
		name           string
		change         func(*gitlab.Options)
		user, password string
		path           string
		service        string
		want           int
	}{
		{name: "token with any name", user: "whoever", password: token, want: 200},
		{name: "token without a name", password: token, want: 401},
		{name: "a user's own password", user: "ada", password: "engine", want: 200},
		{name: "somebody else's password", user: "grace", password: "engine", want: 401},
		{name: "wrong password", user: "ada", password: "difference", want: 401},
		{name: "nothing", want: 401},
		{name: "nothing, where that is allowed", change: func(o *gitlab.Options) { o.Anonymous = true }, want: 200},
		{name: "missing project", user: "ada", password: "engine", path: "support/none", want: 404},
		{name: "missing project, nothing", path: "support/none", want: 401},
		{name: "revoked token", change: func(o *gitlab.Options) { o.TokenRevoked = true }, user: "oauth2", password: token, want: 401},
		{name: "expired token", change: func(o *gitlab.Options) { o.TokenExpires = time.Unix(0, 0) }, user: "oauth2", password: token, want: 401},
		{name: "token that may not use git", change: func(o *gitlab.Options) { o.Scopes = []string{"read_api"} }, user: "oauth2", password: token, want: 403},
		{name: "token that may read, pushing", change: func(o *gitlab.Options) { o.Scopes = []string{"read_repository"} }, user: "oauth2", password: token, service: "git-receive-pack", want: 403},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t, test.change)
			h.project(t, "support/one")
			path, service := test.path, test.service
			if path == "" {
				path = "support/one"
			}
			if service == "" {
				service = "git-upload-pack"
			}
			request, err := http.NewRequest("GET", h.url+"/"+path+".git/info/refs?service="+service, nil)
			if err != nil {
				t.Fatal(err)
			}
			if test.user != "" || test.password != "" {
				request.SetBasicAuth(test.user, test.password)
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != test.want {
				t.Errorf("answered %d, want %d", response.StatusCode, test.want)
			}
			if challenge := response.Header.Get("WWW-Authenticate"); (challenge != "") != (test.want == 401) {
				t.Errorf("the challenge is %q with status %d", challenge, response.StatusCode)
			}
		})
	}
}

// TestManyBranchesSendNothing guards GitLab's rule that a push of more than three branches is not announced.
func TestManyBranchesSendNothing(t *testing.T) {
	h := newHouse(t, nil)
	id := h.project(t, "support/one")
	h.commit(t, id, gitlab.Commit{Files: map[string]string{"a": "1"}})
	dir := h.clone(t, "support/one", "ada", "engine")
	start := len(h.seen())

	h.mustGit(t, dir, "push", "--quiet", "origin", "master:one", "master:two", "master:three", "master:refs/tags/v1")
	if got := h.seen()[start:]; len(got) != 3 {
		t.Errorf("a push of three branches and a tag was announced as %v", got)
	}
	h.mustGit(t, dir, "push", "--quiet", "origin", "master:four", "master:five", "master:six", ":one")
	if got := h.seen()[start+3:]; len(got) != 0 {
		t.Errorf("a push of four branches was announced as %v", got)
	}
	h.mustGit(t, dir, "push", "--quiet", "origin", ":two")
	got := h.seen()[start+3:]
	if len(got) != 1 || got[0].After != strings.Repeat("0", 40) {
		t.Errorf("a deleted branch was announced as %v", got)
	}
}

// TestOnPushComesAfterTheAnswer guards that nobody hears of a push before the pusher's git is done with it.
func TestOnPushComesAfterTheAnswer(t *testing.T) {
	release, called := make(chan struct{}), make(chan gitlab.Push, 8)
	h := newHouse(t, func(o *gitlab.Options) {
		o.OnPush = func(p gitlab.Push) { <-release; called <- p }
	})
	h.project(t, "support/one")
	dir := h.clone(t, "support/one", "ada", "engine")
	h.mustGit(t, dir, "checkout", "--quiet", "-B", "master")
	h.mustGit(t, dir, "commit", "--quiet", "--allow-empty", "-m", "One")
	// Both pushes end although OnPush of the first is still waiting.
	h.mustGit(t, dir, "push", "--quiet", "origin", "master")
	h.mustGit(t, dir, "commit", "--quiet", "--allow-empty", "-m", "Two")
	h.mustGit(t, dir, "push", "--quiet", "origin", "master")
	close(release)
	first, second := <-called, <-called
	if first.After != second.Before {
		t.Errorf("pushes were announced as %v, then %v", first, second)
	}
}

// TestProject guards what the API tells of a project, by number and by path, and who may know.
func TestProject(t *testing.T) {
	h := newHouse(t, nil)
	id := h.project(t, "support/organization-42")
	h.commit(t, id, gitlab.Commit{Files: map[string]string{"a": "1"}})
	for _, reference := range []string{fmt.Sprint(id), "support%2Forganization-42"} {
		status, answer := h.call(t, "GET", "/projects/"+reference, nil)
		if status != 200 {
			t.Fatalf("project %s: status %d", reference, status)
		}
		project := answer.(map[string]any)
		for key, want := range map[string]any{
			"id": float64(id), "path_with_namespace": "support/organization-42", "default_branch": "master",
			"http_url_to_repo": h.url + "/support/organization-42.git", "marked_for_deletion_on": nil, "empty_repo": false,
		} {
			if project[key] != want {
				t.Errorf("project %s: %s is %v, want %v", reference, key, project[key], want)
			}
		}
	}
	if status, answer := h.call(t, "GET", "/projects/999", nil); status != 404 || fmt.Sprint(answer) != "map[message:404 Project Not Found]" {
		t.Errorf("a missing project answered %d %v", status, answer)
	}
	if status, answer := h.callAs(t, "wrong", "GET", "/projects/1", nil); status != 401 || fmt.Sprint(answer) != "map[message:401 Unauthorized]" {
		t.Errorf("a wrong token answered %d %v", status, answer)
	}
	if status, _ := h.call(t, "GET", "/nothing", nil); status != 404 {
		t.Errorf("an unknown address answered %d", status)
	}

	if err := h.DeleteProject(id); err != nil {
		t.Fatal(err)
	}
	status, answer := h.call(t, "GET", fmt.Sprintf("/projects/%d", id), nil)
	if project, ok := answer.(map[string]any); status != 200 || !ok || project["marked_for_deletion_on"] == nil || project["path"] == "organization-42" {
		t.Errorf("a project marked for deletion answered %d %v", status, answer)
	}
	if err := h.PurgeProject(id); err != nil {
		t.Fatal(err)
	}
	if status, _ := h.call(t, "GET", fmt.Sprintf("/projects/%d", id), nil); status != 404 {
		t.Errorf("a removed project answered %d", status)
	}
}

// TestToken guards what the API tells of a token, and what each kind of bad one is told.
func TestToken(t *testing.T) {
	h := newHouse(t, func(o *gitlab.Options) {
		o.Scopes = []string{"read_repository"}
		o.TokenExpires = time.Date(2999, 1, 2, 0, 0, 0, 0, time.UTC)
	})
	status, answer := h.call(t, "GET", "/personal_access_tokens/self", nil)
	self, _ := answer.(map[string]any)
	if status != 200 || self["expires_at"] != "2999-01-02" || fmt.Sprint(self["scopes"]) != "[read_repository]" || self["active"] != true {
		t.Errorf("the token answered %d %v", status, answer)
	}
	status, answer = h.call(t, "GET", "/projects/1", nil)
	if refusal, _ := answer.(map[string]any); status != 403 || refusal["error"] != "insufficient_scope" {
		t.Errorf("a token without the scope answered %d %v", status, answer)
	}
	h = newHouse(t, func(o *gitlab.Options) { o.TokenRevoked = true })
	if status, answer := h.call(t, "GET", "/personal_access_tokens/self", nil); status != 401 || answer.(map[string]any)["error"] != "invalid_token" {
		t.Errorf("a revoked token answered %d %v", status, answer)
	}
	h = newHouse(t, nil)
	if status, answer := h.call(t, "GET", "/version", nil); status != 200 || answer.(map[string]any)["version"] != gitlab.Version {
		t.Errorf("the version answered %d %v", status, answer)
	}
}

// TestFaults guards each switch: what the client sees, and how often.
func TestFaults(t *testing.T) {
	h := newHouse(t, nil)
	h.project(t, "support/one")
	get := func() (*http.Response, []byte, error) {
		request, err := http.NewRequest("GET", h.url+"/api/v4/projects/1", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("PRIVATE-TOKEN", token)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return nil, nil, err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return response, body, err
	}
	projects := regexp.MustCompile(`^/api/v4/projects/\d+$`)

	h.Inject(gitlab.Fault{Path: projects, Times: 2, Status: 503, Header: http.Header{"Retry-After": {"7"}}, Body: "busy"})
	for range 2 {
		if response, body, err := get(); err != nil || response.StatusCode != 503 || string(body) != "busy" || response.Header.Get("Retry-After") != "7" {
			t.Errorf("with the fault: %v %s %v", response, body, err)
		}
	}
	if response, _, err := get(); err != nil || response.StatusCode != 200 {
		t.Errorf("after the fault: %v %v", response, err)
	}

	remove := h.Inject(gitlab.Fault{Method: "GET", Truncate: 10})
	if _, body, err := get(); !errors.Is(err, io.ErrUnexpectedEOF) || len(body) != 10 {
		t.Errorf("a cut answer: %q %v", body, err)
	}
	remove()
	remove = h.Inject(gitlab.Fault{Reset: true})
	if _, _, err := get(); err == nil {
		t.Error("a cut connection was no error")
	}
	remove()
	remove = h.Inject(gitlab.Fault{ContentType: "text/html"})
	if response, _, err := get(); err != nil || response.Header.Get("Content-Type") != "text/html" {
		t.Errorf("another content type: %v %v", response, err)
	}
	remove()
	waited := make(chan struct{}, 1)
	remove = h.Inject(gitlab.Fault{Wait: func(context.Context) error { waited <- struct{}{}; return nil }})
	if response, _, err := get(); err != nil || response.StatusCode != 200 || len(waited) != 1 {
		t.Errorf("a slow answer: %v %v", response, err)
	}
	remove()
	remove = h.Inject(gitlab.Fault{Method: "POST"})
	defer remove()
	if response, _, err := get(); err != nil || response.StatusCode != 200 {
		t.Errorf("a fault for another method: %v %v", response, err)
	}
}

// TestAmbiguousPush guards that a push whose answer is lost has happened, and is announced.
func TestAmbiguousPush(t *testing.T) {
	h := newHouse(t, nil)
	id := h.project(t, "support/one")
	dir := h.clone(t, "support/one", "ada", "engine")
	h.mustGit(t, dir, "checkout", "--quiet", "-B", "master")
	h.mustGit(t, dir, "commit", "--quiet", "--allow-empty", "-m", "One")
	h.Inject(gitlab.Fault{Method: "POST", Reset: true, After: true, Times: 1})
	if out, err := h.git(t, dir, "push", "--quiet", "origin", "master"); err == nil {
		t.Fatalf("the push did not notice that its answer was lost: %s", out)
	}
	head, err := h.Head(id, "")
	if err != nil || head == "" {
		t.Errorf("the lost push left the branch at %q, %v", head, err)
	}
	if pushes := h.seen(); len(pushes) != 1 {
		t.Errorf("the lost push was announced as %v", pushes)
	}
}

// TestRequests guards the log that callers count their requests with: it is complete when the answer arrives.
func TestRequests(t *testing.T) {
	h := newHouse(t, nil)
	h.call(t, "GET", "/projects/5?license=true", nil)
	got := h.Requests()
	if len(got) != 1 || got[0].Path != "/api/v4/projects/5" || got[0].Query.Get("license") != "true" || got[0].Status != 404 || got[0].Sent == 0 {
		t.Errorf("the log is %+v", got)
	}
	h.ForgetRequests()
	if got := h.Requests(); len(got) != 0 {
		t.Errorf("after forgetting, the log is %+v", got)
	}
}

// TestCreateProjectRefuses guards that two projects never share a number, a path or a repository.
func TestCreateProjectRefuses(t *testing.T) {
	h := newHouse(t, nil)
	h.project(t, "support/one")
	for _, p := range []gitlab.Project{{}, {ID: 1, Path: "support/two"}, {Path: "Support/One"}} {
		if _, err := h.CreateProject(p); err == nil {
			t.Errorf("%+v was created", p)
		}
	}
	if _, err := gitlab.New(gitlab.Options{}); err == nil {
		t.Error("a server without a folder was made")
	}
}
