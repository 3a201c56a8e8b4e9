package main_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	main "contactsync/bench"
)

// Wrong usage is told before anything is measured.
func TestUsage(t *testing.T) {
	for name, args := range map[string][]string{"an unknown part": {"--only", "hooks,speed"}, "an argument": {"hooks"}, "an unknown flag": {"--fast"}} {
		var stdout, stderr bytes.Buffer
		if status := main.Run(t.Context(), args, "", &stdout, &stderr); status != 2 || stderr.Len() == 0 || stdout.Len() > 0 {
			t.Errorf("%s: status %d, %q, %q", name, status, stdout.String(), stderr.String())
		}
	}
}

// A short run of one part starts the real service, sends it hooks, finds their runs, and writes the page. What it
// measured is not looked at: the machine may be busy.
func TestQuick(t *testing.T) {
	var stdout, stderr bytes.Buffer
	dir := t.TempDir()
	out := filepath.Join(dir, "performance.md")
	main.Run(t.Context(), []string{"--quick", "--only", "start", "--out", out, "--dir", dir}, "", &stdout, &stderr)
	page, err := os.ReadFile(out)
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	for _, want := range []string{
		"go run ./bench --quick --only start\n", "| from a hook's answer to the start of its run, idle machine, SQLite | p95 150.0 ms | p95 ",
		"| the same on PostgreSQL |  | " + main.Postgres + " was not set | not measured |", "idle, SQLite | 10 | ",
	} {
		if !strings.Contains(string(page), want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("it left %v behind (%v)", left, err)
	}
}
