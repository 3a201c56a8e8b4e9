package gitrepo_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"pgregory.net/rapid"

	"contactsync"
	"contactsync/gitrepo"
	"contactsync/internal/fakes/gitlab"
)

// change is a commit that writes the files.
func change(parent string, files map[string]string) gitrepo.Commit {
	c := gitrepo.Commit{
		Files: make(map[string][]byte), Message: "Set up contacts\n", AuthorName: "contactsync", AuthorEmail: "contactsync@example.com",
		When: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Parent: parent,
	}
	for name, content := range files {
		c.Files[name] = []byte(content)
	}
	return c
}

// wantFiles fails the test unless the default branch has these files, "" for one that must not be there.
func (h *house) wantFiles(t *testing.T, files map[string]string) {
	t.Helper()
	for name, want := range files {
		got, err := h.File(h.id, "", name)
		if want == "" && err == nil {
			t.Errorf("%s is there: %q", name, got)
		} else if want != "" && (err != nil || got != want) {
			t.Errorf("%s has %q, %v, want %q", name, got, err, want)
		}
	}
}

func (h *house) head(t *testing.T) string {
	t.Helper()
	head, err := h.Head(h.id, "")
	if err != nil {
		t.Fatal(err)
	}
	return head
}

var receivePack = regexp.MustCompile(`/git-receive-pack$`)

// TestCommit guards that files are written, that all others stay, and that writing the same again writes nothing.
func TestCommit(t *testing.T) {
	ctx := context.Background()
	for _, filters := range []string{"true", "false"} {
		h := newHouse(t)
		h.configure(t, "uploadpack.allowFilter", filters)
		repository := newRepository(t, gitrepo.Options{})

		first, err := repository.Commit(ctx, h.project, change("", map[string]string{"contacts.yaml": "- a\n", ".gitlab/templates/ask.md": "ask"}))
		if err != nil {
			t.Fatal(err)
		}
		if head := h.head(t); head != first {
			t.Errorf("the branch is at %s, want %s", head, first)
		}
		h.wantFiles(t, map[string]string{"contacts.yaml": "- a\n", ".gitlab/templates/ask.md": "ask"})
		if _, requests := h.received(); requests != 2 {
			t.Errorf("the first commit took %d requests, want 2", requests)
		}

		parent := h.commit(t, gitlab.Commit{Files: map[string]string{"docs/a.md": "a", "docs/b/c.md": "c", "docs.md": "d", "docs-a": "e"}, Links: map[string]string{"link": "docs.md"}})
		h.ForgetRequests()
		more := map[string]string{"docs/b/new.md": "new", "docs/a.md": "changed", "link": "a file now", "docs0": "sorts oddly"}
		second, err := repository.Commit(ctx, h.project, change(parent, more))
		if err != nil {
			t.Fatal(err)
		}
		if _, requests := h.received(); requests != 4 {
			t.Errorf("the second commit took %d requests, want 4", requests)
		}
		h.wantFiles(t, more)
		h.wantFiles(t, map[string]string{"contacts.yaml": "- a\n", ".gitlab/templates/ask.md": "ask", "docs/b/c.md": "c", "docs.md": "d", "docs-a": "e"})

		again, err := repository.Commit(ctx, h.project, change(second, more))
		if err != nil || again != second || h.head(t) != second {
			t.Errorf("writing the same again made %s, %v, want %s and nothing written", again, err, second)
		}
		file, err := read(t, gitrepo.Options{}, h.project)
		if err != nil || file.Commit != second || file.Committer != "contactsync <contactsync@example.com>" {
			t.Errorf("reading it back: %+v, %v", file, err)
		}
	}
}

// TestCommitNewBranch guards that a branch which is not there yet is made beside the others.
func TestCommitNewBranch(t *testing.T) {
	h := newHouse(t)
	parent := h.commit(t, gitlab.Commit{Files: map[string]string{"a": "1"}})
	hash, err := newRepository(t, gitrepo.Options{Branch: "team/new"}).Commit(context.Background(), h.project, change("", map[string]string{"b": "1"}))
	if err != nil {
		t.Fatal(err)
	}
	if head, err := h.Head(h.id, "team/new"); err != nil || head != hash {
		t.Errorf("the new branch is at %q, %v, want %s", head, err, hash)
	}
	if h.head(t) != parent {
		t.Error("another branch was changed")
	}
}

// TestCommitMoved guards the lock: whenever the branch is elsewhere, nothing is written and the caller is told so.
func TestCommitMoved(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	old := h.commit(t, gitlab.Commit{Files: map[string]string{"a": "1"}})
	head := h.commit(t, gitlab.Commit{Files: map[string]string{"a": "2"}})
	repository := newRepository(t, gitrepo.Options{})
	for name, parent := range map[string]string{"behind": old, "not there": "", "unknown": strings.Repeat("1", 40)} {
		_, err := repository.Commit(ctx, h.project, change(parent, map[string]string{"a": "mine"}))
		if !errors.Is(err, gitrepo.ErrMoved) {
			t.Errorf("%s: %v, want ErrMoved", name, err)
		}
		wantClass(t, err, contactsync.ClassRepositoryUnreachable, "branch master has moved", head[:8])
	}
	_, err := newRepository(t, gitrepo.Options{Branch: "other"}).Commit(ctx, h.project, change(head, map[string]string{"a": "mine"}))
	if !errors.Is(err, gitrepo.ErrMoved) {
		t.Errorf("a branch that is gone: %v, want ErrMoved", err)
	}

	// It moves between the last look at it and the write.
	var theirs string
	h.Inject(gitlab.Fault{Method: "POST", Path: receivePack, Times: 1, Wait: func(context.Context) error {
		theirs, err = h.Commit(h.id, gitlab.Commit{Files: map[string]string{"a": "theirs"}})
		return err
	}})
	_, err = repository.Commit(ctx, h.project, change(head, map[string]string{"a": "mine"}))
	if !errors.Is(err, gitrepo.ErrMoved) {
		t.Errorf("a race: %v, want ErrMoved", err)
	}
	if h.head(t) != theirs {
		t.Errorf("the race was won by %s, want %s", h.head(t), theirs)
	}
	h.wantFiles(t, map[string]string{"a": "theirs"})
}

// TestCommitLostAnswer guards that a write whose answer was lost is looked up, not sent again and not called a failure.
func TestCommitLostAnswer(t *testing.T) {
	tests := []struct {
		name    string
		fault   gitlab.Fault
		written bool
	}{
		{"cut after the write", gitlab.Fault{Reset: true, After: true}, true},
		{"500 after the write", gitlab.Fault{Status: 500, After: true}, true},
		{"cut answer after the write", gitlab.Fault{Truncate: 5}, true},
		{"empty answer after the write", gitlab.Fault{Status: 200, After: true}, true},
		{"cut before the write", gitlab.Fault{Reset: true}, false},
		{"502 before the write", gitlab.Fault{Status: 502}, false},
		{"empty answer without a write", gitlab.Fault{Status: 200}, false},
		{"refused", gitlab.Fault{Status: 403}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			parent := h.commit(t, gitlab.Commit{Files: map[string]string{"a": "1"}})
			test.fault.Method, test.fault.Path, test.fault.Times = "POST", receivePack, 1
			h.Inject(test.fault)
			hash, err := newRepository(t, gitrepo.Options{}).Commit(context.Background(), h.project, change(parent, map[string]string{"a": "2"}))
			if test.written {
				if err != nil || hash != h.head(t) {
					t.Errorf("it returned %q, %v, but the branch is at %s", hash, err, h.head(t))
				}
				return
			}
			wantClass(t, err, contactsync.ClassRepositoryUnreachable)
			if errors.Is(err, gitrepo.ErrMoved) || h.head(t) != parent {
				t.Errorf("%v, and the branch is at %s, want %s", err, h.head(t), parent)
			}
			posts := 0
			for _, r := range h.Requests() {
				if r.Method == "POST" && receivePack.MatchString(r.Path) {
					posts++
				}
			}
			if posts != 1 {
				t.Errorf("it was sent %d times", posts)
			}
		})
	}
}

// TestCommitRefused guards that a refusal comes with the server's reason.
func TestCommitRefused(t *testing.T) {
	h := newHouse(t)
	hooks := t.TempDir()
	script := "#!/bin/sh\necho 'GitLab: You are not allowed to push code to protected branches on this project.' >&2\nexit 1\n"
	if err := os.WriteFile(filepath.Join(hooks, "pre-receive"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	h.configure(t, "core.hooksPath", hooks)
	_, err := newRepository(t, gitrepo.Options{}).Commit(context.Background(), h.project, change("", map[string]string{"a": "1"}))
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "refuses the commit", "not allowed to push code to protected branches")

	_, err = newRepository(t, gitrepo.Options{Token: "swordfish-wrong"}).Commit(context.Background(), h.project, change("", map[string]string{"a": "1"}))
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "refuses the token")
}

// TestCommitFence guards that a run which lost its lease writes nothing.
func TestCommitFence(t *testing.T) {
	h := newHouse(t)
	lost := errors.New("the lease is lost")
	ctx := contactsync.WithFence(context.Background(), func(context.Context) error { return lost })
	_, err := newRepository(t, gitrepo.Options{}).Commit(ctx, h.project, change("", map[string]string{"a": "1"}))
	if !errors.Is(err, lost) || h.head(t) != "" {
		t.Errorf("%v, and the branch is at %q", err, h.head(t))
	}
}

// TestCommitImpossible guards that what git could not hold, or would be a trap, is refused before anything is sent.
func TestCommitImpossible(t *testing.T) {
	tests := map[string]func(*gitrepo.Commit){
		"no files":            func(c *gitrepo.Commit) { c.Files = nil },
		"path outside":        func(c *gitrepo.Commit) { c.Files["../a"] = nil },
		"absolute path":       func(c *gitrepo.Commit) { c.Files["/a"] = nil },
		"git's own path":      func(c *gitrepo.Commit) { c.Files["a/.GIT/config"] = nil },
		"no message":          func(c *gitrepo.Commit) { c.Message = " \n" },
		"no author":           func(c *gitrepo.Commit) { c.AuthorName = "" },
		"author of two lines": func(c *gitrepo.Commit) { c.AuthorName = "a\nb" },
		"no time":             func(c *gitrepo.Commit) { c.When = time.Time{} },
		"parent of no kind":   func(c *gitrepo.Commit) { c.Parent = "master" },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			c := change("", map[string]string{"a": "1"})
			spoil(&c)
			_, err := newRepository(t, gitrepo.Options{}).Commit(context.Background(), h.project, c)
			wantClass(t, err, contactsync.ClassInternal)
			if len(h.Requests()) != 0 {
				t.Errorf("%d requests were sent", len(h.Requests()))
			}
		})
	}

	h := newHouse(t)
	parent := h.commit(t, gitlab.Commit{Files: map[string]string{"file": "1", "folder/file": "1"}})
	for _, name := range []string{"file/inner", "folder"} {
		_, err := newRepository(t, gitrepo.Options{}).Commit(context.Background(), h.project, change(parent, map[string]string{name: "1"}))
		wantClass(t, err, contactsync.ClassRepositoryUnreachable, "a file in one place and a folder in the other")
	}
	_, err := newRepository(t, gitrepo.Options{}).Commit(context.Background(), h.project, change("", map[string]string{"a": "1", "a/b": "2"}))
	wantClass(t, err, contactsync.ClassRepositoryUnreachable)
}

// TestCommitProperty guards that, whatever is written over whatever is there, the branch has exactly the old files and
// the new ones, in trees that git itself finds in order.
func TestCommitProperty(t *testing.T) {
	h := newHouse(t)
	repositories := filepath.Join(h.dir, fmt.Sprintf("%d.git", h.id))
	// Names that sort differently as a file and as a folder.
	folder := rapid.SampledFrom([]string{"", "d/", "d-/", "d./", "d0/", "d/d/", "d-/d/"})
	file := rapid.SampledFrom([]string{"f", "f-", "f.", "e", "contacts.yaml", "ü ñ"})
	branches := 0
	rapid.Check(t, func(t *rapid.T) {
		branches++
		branch := fmt.Sprint("branch-", branches)
		repository, err := gitrepo.New(gitrepo.Options{Branch: branch, Token: token})
		if err != nil {
			t.Fatal(err)
		}
		head, want := "", make(map[string]string)
		for range rapid.IntRange(1, 2).Draw(t, "commits") {
			files := make(map[string]string)
			for range rapid.IntRange(1, 5).Draw(t, "files") {
				files[folder.Draw(t, "folder")+file.Draw(t, "file")] = rapid.StringN(0, 3, -1).Draw(t, "content")
			}
			if head, err = repository.Commit(context.Background(), h.project, change(head, files)); err != nil {
				t.Fatal(err)
			}
			for name, content := range files {
				want[name] = "100644 blob " + plumbing.ComputeHash(plumbing.BlobObject, []byte(content)).String()
			}
		}
		listed, err := exec.Command("git", "-C", repositories, "ls-tree", "-r", "-z", branch).Output()
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]string)
		for line := range strings.SplitSeq(strings.TrimSuffix(string(listed), "\x00"), "\x00") {
			entry, name, _ := strings.Cut(line, "\t")
			got[name] = entry
		}
		if !maps.Equal(got, want) {
			t.Fatalf("the branch has %v, want %v", got, want)
		}
	})
	if out, err := exec.Command("git", "-C", repositories, "fsck", "--strict").CombinedOutput(); err != nil {
		t.Errorf("git finds fault with what was written: %v\n%s", err, out)
	}
}
