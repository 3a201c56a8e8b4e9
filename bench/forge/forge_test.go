package forge_test

import (
	"fmt"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"contactsync"
	"contactsync/bench/forge"
	"contactsync/gitlab"
	"contactsync/gitrepo"
)

func contacts(project int64) (string, bool) {
	return fmt.Sprintf("- {name: Ada Lovelace, email: ada.%d@example.com}\n", project), project <= 10
}

// What the product's own adapters read is what the forge was told, in the usual number of requests.
func TestAdapters(t *testing.T) {
	server := httptest.NewServer(forge.New("secret", contacts))
	defer server.Close()
	client, err := gitlab.New(gitlab.Options{URL: server.URL, Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	repository, err := gitrepo.New(gitrepo.Options{Token: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	if token, err := client.CheckToken(t.Context()); err != nil || len(token.Problems("2026-01-01")) > 0 {
		t.Errorf("the token is %+v, %v", token, err)
	}
	var commits []string
	for _, id := range []int64{1, 10, 1} {
		project, err := client.Project(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		tally := new(contactsync.Tally)
		file, err := repository.Read(contactsync.WithTally(t.Context(), tally), project)
		if want, _ := contacts(id); err != nil || string(file.Content) != want {
			t.Errorf("project %d: %q, %v", id, file.Content, err)
		}
		if used := tally.Requests(); used.Git != 2 {
			t.Errorf("reading took %+v requests", used)
		}
		commits = append(commits, file.Commit)
	}
	if commits[0] != commits[2] || commits[0] == commits[1] {
		t.Errorf("commits %v: they must differ by content, and by nothing else", commits)
	}
	if _, err := client.Project(t.Context(), 11); contactsync.ClassOf(err) != contactsync.ClassInvalidProjectID {
		t.Errorf("a project that is not there: %v", err)
	}
}

// It is git that is spoken: git itself can clone. Nobody gets in without the token.
func TestGit(t *testing.T) {
	server := httptest.NewServer(forge.New("secret", contacts))
	defer server.Close()
	dir := filepath.Join(t.TempDir(), "clone")
	clone := func(user string) (string, error) {
		address := strings.Replace(server.URL, "http://", "http://"+user, 1) + "/contacts/7.git"
		cmd := exec.CommandContext(t.Context(), "git", "-c", "credential.helper=", "clone", "--quiet", address, dir)
		cmd.Env = append(cmd.Environ(), "GIT_TERMINAL_PROMPT=0")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if _, err := clone(""); err == nil {
		t.Error("a clone without the token worked")
	}
	if out, err := clone("oauth2:secret@"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), "git", "-C", dir, "show", "origin/master:contacts.yaml").CombinedOutput()
	if want, _ := contacts(7); err != nil || string(out) != want {
		t.Errorf("%v: %s", err, out)
	}
}
