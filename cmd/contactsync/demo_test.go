package main_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	main "contactsync/cmd/contactsync"
)

// The story plays to its end, checks itself, and leaves nothing behind.
func TestDemoOnce(t *testing.T) {
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	var stdout, stderr bytes.Buffer
	status := main.Main{Args: []string{"demo", "--once"}, Stdout: &stdout, Stderr: &stderr}.Run(t.Context())
	if status != 0 {
		t.Fatalf("exit status %d\n%s%s", status, stdout.String(), stderr.String())
	}
	for _, text := range []string{
		"+ create    dorothy@example.com", "> add       mary@example.com", "~ rename    grace@example.com",
		"- remove    charles@example.com", "= remove", "! conflict  sophie@example.org",
		"(email_invalid)", "line 2", "contactsync approve 1 sha256:", "Nobody got mail",
	} {
		if !strings.Contains(stdout.String(), text) {
			t.Errorf("the story does not say %q:\n%s", text, stdout.String())
		}
	}
	left, err := os.ReadDir(temporary)
	if err != nil || len(left) > 0 {
		t.Errorf("the demo left %v behind (%v)", left, err)
	}
}

// A newcomer follows the demo's own words: clones, pushes, and sees what comes of it.
func TestDemoReactsToAPush(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	reader, writer := io.Pipe()
	ended := make(chan int, 1)
	go func() {
		ended <- main.Main{Args: []string{"demo"}, Stdout: writer, Stderr: writer}.Run(ctx)
		writer.Close()
	}()
	lines := bufio.NewScanner(reader)
	until := func(text string) string {
		t.Helper()
		var said strings.Builder
		for lines.Scan() {
			said.WriteString(lines.Text() + "\n")
			if strings.Contains(lines.Text(), text) {
				return said.String()
			}
		}
		t.Fatalf("the demo does not say %q:\n%s", text, said.String())
		return ""
	}

	invitation := until("Ctrl-C")
	clone := regexp.MustCompile(`git clone (http://127\.0\.0\.1:\S+) `).FindStringSubmatch(invitation)
	if clone == nil {
		t.Fatalf("no git clone line:\n%s", invitation)
	}
	dir := filepath.Join(t.TempDir(), "engines")
	git(t, "", "clone", "--quiet", clone[1], dir)
	file := filepath.Join(dir, "contacts.yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	push := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		git(t, dir, "commit", "--quiet", "--all", "--message", "A change")
		git(t, dir, "push", "--quiet")
	}
	push(string(content) + "- name: Rosalind Franklin\n  email: rosalind@example.com\n")
	until("+ create    rosalind@example.com")
	until("Done: 1 created")

	push(string(content) + "- name: Rosalind Franklin\n  email: rosalind\n")
	until("(email_invalid)")

	// The other terminal that the demo speaks of.
	config := regexp.MustCompile(`CONTACTSYNC_CONFIG=(\S+)`).FindString(invitation)
	var stdout bytes.Buffer
	status := main.Main{Args: []string{"runs"}, Env: []string{config}, Stdout: &stdout, Stderr: &stdout}.Run(ctx)
	if status != 0 || !strings.Contains(stdout.String(), "1 created") || !strings.Contains(stdout.String(), "email_invalid") {
		t.Errorf("contactsync runs in another terminal ends with %d:\n%s", status, stdout.String())
	}

	stop()
	until("The demo is over")
	go io.Copy(io.Discard, reader)
	if status := <-ended; status != 0 {
		t.Errorf("exit status %d", status)
	}
}

// Nobody else can reach the demo.
func TestDemoStaysOnThisMachine(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:80", "example.com:80", "nonsense"} {
		var stdout, stderr bytes.Buffer
		status := main.Main{Args: []string{"demo", "--once", "--listen", address}, Stdout: &stdout, Stderr: &stderr}.Run(t.Context())
		if status != 2 || !strings.Contains(stderr.String(), "--listen") {
			t.Errorf("--listen %s: exit status %d\n%s%s", address, status, stdout.String(), stderr.String())
		}
	}
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Ada Lovelace", "GIT_AUTHOR_EMAIL=ada@example.com",
		"GIT_COMMITTER_NAME=Ada Lovelace", "GIT_COMMITTER_EMAIL=ada@example.com")
	if output, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, output)
	}
}
