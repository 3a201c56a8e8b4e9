package gitlab

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Project is a project and its repository.
type Project struct {
	ID            int64  // 0 takes the next free number
	Path          string // with its namespace: "support/organization-42"
	Name          string // "" takes the last part of the path
	Description   string
	DefaultBranch string // "" is master
	Visibility    string // "" is private
	CreatedAt     time.Time
	// MarkedForDeletion is the day on which the project was marked for deletion, zero when it was not. It is deleted
	// once it was marked for as long as the instance keeps such projects: 30 days on gitlab.com.
	MarkedForDeletion time.Time
}

type project struct {
	Project // guarded by the server's lock, as is all that follows up to dir

	settings  map[string]any
	importing importing
	former    []string // paths

	hooks   []*hook
	tests   window // of hooks
	resends window // of their events
	dir     string // of the bare repository

	protections     []*protection
	protectsDefault bool // whether GitLab protects the default branch by itself, whatever the options say
	members         []Member
	invitations     []Invitation

	statuses    []*status
	badges      []Badge
	merges      []*mergeRequest // into the project
	discussions []*discussion

	quickActions []string // in the words of the notes that made them

	pushing sync.Mutex // held while refs change, so that each change is seen once
}

// CreateProject makes a project with an empty repository, and returns its number.
func (s *Server) CreateProject(p Project) (int64, error) {
	p.Path = strings.Trim(p.Path, "/")
	if p.Path == "" {
		return 0, fmt.Errorf("creating a project: the path is blank")
	}
	p.Name = cmp.Or(p.Name, path.Base(p.Path))
	p.DefaultBranch = cmp.Or(p.DefaultBranch, "master")
	p.Visibility = cmp.Or(p.Visibility, "private")
	if p.CreatedAt.IsZero() {
		p.CreatedAt = s.options.Now()
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if p.ID == 0 {
		p.ID = s.nextID + 1
	}
	if _, taken := s.projects[p.ID]; taken {
		return 0, fmt.Errorf("creating project %d: the number is taken", p.ID)
	}
	for _, other := range s.projects {
		if strings.EqualFold(other.Path, p.Path) {
			return 0, fmt.Errorf("creating project %d: %s is taken by project %d", p.ID, p.Path, other.ID)
		}
	}
	dir := filepath.Join(s.options.Dir, strconv.FormatInt(p.ID, 10)+".git")
	if _, err := s.run(nil, "init", "--bare", "--quiet", "--template=", "--initial-branch="+p.DefaultBranch, dir); err != nil {
		return 0, fmt.Errorf("creating the repository of project %d: %w", p.ID, err)
	}
	config, err := os.OpenFile(filepath.Join(dir, "config"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return 0, fmt.Errorf("configuring the repository of project %d: %w", p.ID, err)
	}
	_, err = config.WriteString(repositoryConfig)
	if err = cmp.Or(err, config.Close()); err != nil {
		return 0, fmt.Errorf("configuring the repository of project %d: %w", p.ID, err)
	}
	s.nextID = max(s.nextID, p.ID)
	s.projects[p.ID] = &project{Project: p, settings: newSettings(), dir: dir}
	s.groupAt(path.Dir(p.Path))
	return p.ID, nil
}

// repositoryConfig is what GitLab's own git server (Gitaly) sets, and nothing that would go on in the background.
const repositoryConfig = `[http]
	receivepack = true
[uploadpack]
	allowFilter = true
	allowAnySHA1InWant = true
[receive]
	fsckObjects = true
	advertisePushOptions = true
	autogc = false
	hideRefs = refs/merge-requests
[gc]
	auto = 0
[maintenance]
	auto = false
`

// Configure sets one key of a repository's git configuration, such as "uploadpack.allowFilter" to "false".
func (s *Server) Configure(id int64, key, value string) error {
	p, err := s.project(id)
	if err != nil {
		return err
	}
	if _, err := s.run(nil, "-C", p.dir, "config", "--local", key, value); err != nil {
		return fmt.Errorf("configuring project %d: %w", id, err)
	}
	return nil
}

// DeleteProject marks a project for deletion, as a DELETE does: name and path get a suffix, and it stays readable under
// its number.
// Source: docs.gitlab.com/user/project/working_with_projects, "Delete a project".
func (s *Server) DeleteProject(id int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.projects[id]
	if !ok {
		return fmt.Errorf("there is no project %d", id)
	}
	p.rename(p.Path + deletionSuffix(id))
	p.Name += deletionSuffix(id)
	p.MarkedForDeletion = s.options.Now()
	return nil
}

// PurgeProject removes a project and its repository at once.
func (s *Server) PurgeProject(id int64) error {
	p, err := s.project(id)
	if err != nil {
		return err
	}
	p.pushing.Lock()
	defer p.pushing.Unlock()
	s.mu.Lock()
	delete(s.projects, id)
	for _, other := range s.projects {
		for _, m := range other.merges {
			if m.Source == id {
				m.Source = 0
			}
		}
	}
	s.mu.Unlock()
	if err := os.RemoveAll(p.dir); err != nil {
		return fmt.Errorf("removing the repository of project %d: %w", id, err)
	}
	return nil
}

// RemoveRepository removes a project's repository but not the project.
func (s *Server) RemoveRepository(id int64) error {
	p, err := s.project(id)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(p.dir); err != nil {
		return fmt.Errorf("removing the repository of project %d: %w", id, err)
	}
	return nil
}

// CloneURL is where the project is cloned from; SetURL must have been called.
func (s *Server) CloneURL(id int64) (string, error) {
	p, err := s.project(id)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.base == "" {
		return "", fmt.Errorf("the address of the server is not known yet")
	}
	return s.base + "/" + p.Path + ".git", nil
}

func (s *Server) project(id int64) (*project, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.projects[id]
	if !ok {
		return nil, fmt.Errorf("there is no project %d", id)
	}
	return p, nil
}

func (s *Server) projectByPath(path string) (*project, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.projects {
		if strings.EqualFold(p.Path, path) {
			return p, true
		}
	}
	return nil, false
}

// Commit is a commit to be made on the server, as the web editor would.
type Commit struct {
	Branch  string // "" is the default branch
	Message string // "" is "Update"
	Author  User   // its Name and Email; the zero User is the service account
	When    time.Time

	Files      map[string]string // path to content; the other files of the branch stay
	Links      map[string]string // path to the target of a symbolic link
	Submodules map[string]string // path to a commit, 40 hex digits
	Deleted    []string          // paths of files or folders

	// From is the branch that a new branch starts from; "" starts from nothing.
	From string
	// Orphan starts from nothing and replaces the branch, as a forced push does.
	Orphan bool
}

// Commit makes a commit and returns its hash. OnPush and the hooks are told, as of any push.
func (s *Server) Commit(id int64, c Commit) (string, error) {
	p, err := s.project(id)
	if err != nil {
		return "", err
	}
	branch := cmp.Or(c.Branch, p.DefaultBranch)
	author := c.Author
	if author.Name == "" {
		author = s.service
	}
	when := c.When
	if when.IsZero() {
		when = s.options.Now()
	}

	p.pushing.Lock()
	defer p.pushing.Unlock()
	before, err := s.refs(p)
	if err != nil {
		return "", err
	}
	ref := "refs/heads/" + branch

	var stream bytes.Buffer
	fmt.Fprintf(&stream, "commit %s\n", ref)
	fmt.Fprintf(&stream, "committer %s <%s> %d %s\n", author.Name, author.Email, when.Unix(), when.Format("-0700"))
	writeData(&stream, cmp.Or(c.Message, "Update"))
	tip, exists := before[ref]
	if !exists {
		tip, exists = before["refs/heads/"+c.From]
	}
	if exists && !c.Orphan {
		fmt.Fprintf(&stream, "from %s\n", tip)
	}
	for _, name := range slices.Sorted(slices.Values(c.Deleted)) {
		fmt.Fprintf(&stream, "D %s\n", quotePath(name))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Files)) {
		fmt.Fprintf(&stream, "M 100644 inline %s\n", quotePath(name))
		writeData(&stream, c.Files[name])
	}
	for _, name := range slices.Sorted(maps.Keys(c.Links)) {
		fmt.Fprintf(&stream, "M 120000 inline %s\n", quotePath(name))
		writeData(&stream, c.Links[name])
	}
	for _, name := range slices.Sorted(maps.Keys(c.Submodules)) {
		fmt.Fprintf(&stream, "M 160000 %s %s\n", c.Submodules[name], quotePath(name))
	}
	if _, err := s.run(&stream, "-C", p.dir, "-c", "core.compression=1", "fast-import", "--quiet", "--force"); err != nil {
		return "", fmt.Errorf("committing to project %d: %w", id, err)
	}
	after, err := s.refs(p)
	if err != nil {
		return "", err
	}
	s.pushed(p, before, after, author)
	return after[ref], nil
}

func writeData(stream *bytes.Buffer, content string) {
	fmt.Fprintf(stream, "data %d\n%s\n", len(content), content)
}

// quotePath writes a path as git's fast-import wants one that may hold blanks, quotes or line breaks.
func quotePath(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(name) + `"`
}

// SetRefs points refs at commits in one go, "" deletes one, without telling anybody: for repositories with thousands.
func (s *Server) SetRefs(id int64, refs map[string]string) error {
	p, err := s.project(id)
	if err != nil {
		return err
	}
	p.pushing.Lock()
	defer p.pushing.Unlock()
	var stream bytes.Buffer
	for _, ref := range slices.Sorted(maps.Keys(refs)) {
		if refs[ref] == "" {
			fmt.Fprintf(&stream, "delete %s\n", ref)
		} else {
			fmt.Fprintf(&stream, "update %s %s\n", ref, refs[ref])
		}
	}
	if _, err := s.run(&stream, "-C", p.dir, "update-ref", "--stdin"); err != nil {
		return fmt.Errorf("setting refs of project %d: %w", id, err)
	}
	return nil
}

// Head is the hash that a branch is at, "" when there is no such branch. A branch of "" is the default one.
func (s *Server) Head(id int64, branch string) (string, error) {
	p, err := s.project(id)
	if err != nil {
		return "", err
	}
	refs, err := s.refs(p)
	if err != nil {
		return "", err
	}
	return refs["refs/heads/"+cmp.Or(branch, p.DefaultBranch)], nil
}

// File is the content of a file at the head of a branch; "" is the default branch.
func (s *Server) File(id int64, branch, name string) (string, error) {
	p, err := s.project(id)
	if err != nil {
		return "", err
	}
	object := "refs/heads/" + cmp.Or(branch, p.DefaultBranch) + ":" + name
	out, err := s.run(nil, "-C", p.dir, "cat-file", "blob", object)
	if err != nil {
		return "", fmt.Errorf("reading %s of project %d: %w", name, id, err)
	}
	return string(out), nil
}

// refs returns every ref of a repository and the hash that it is at.
func (s *Server) refs(p *project) (map[string]string, error) {
	out, err := s.run(nil, "-C", p.dir, "for-each-ref", "--format=%(objectname) %(refname)")
	if err != nil {
		return nil, fmt.Errorf("listing the refs of project %d: %w", p.ID, err)
	}
	refs := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		hash, ref, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		refs[ref] = hash
	}
	return refs, nil
}

// run runs git, shielded from the configuration of the machine and of the person who runs it.
func (s *Server) run(stdin *bytes.Buffer, args ...string) ([]byte, error) {
	return s.runWith(nil, stdin, args...)
}

// runWith is run, with more in the environment.
func (s *Server) runWith(more []string, stdin *bytes.Buffer, args ...string) ([]byte, error) {
	cmd := exec.Command(s.git, args...)
	cmd.Env = append(s.environment(), more...)
	if stdin != nil {
		cmd.Stdin = stdin
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("git: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}

func (s *Server) environment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.options.Dir, "LC_ALL=C", "TZ=UTC",
		"GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
	}
}
