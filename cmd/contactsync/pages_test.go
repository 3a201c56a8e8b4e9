package main_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"contactsync"
)

var updatePages = flag.Bool("update-pages", false, "write the output into docs/errors anew where it differs")

// onPages are the ways to a class that its page shows, where there are several and the first is not the usual one.
var onPages = map[contactsync.Class]string{
	contactsync.ClassInvalidProjectID: "unknown to GitLab",
	contactsync.ClassContactProtected: "listed",
	contactsync.ClassDeskUnreadable:   "everybody gone",
}

// What the page of an error class shows is what the program really says. Run with -update-pages after a change.
func TestErrorPages(t *testing.T) {
	t.Parallel()
	shown := make(map[contactsync.Class]bool)
	for _, r := range reaches() {
		if name, chosen := onPages[r.class]; shown[r.class] || chosen && name != r.name {
			continue
		}
		shown[r.class] = true
		t.Run(string(r.class), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for _, c := range founders() {
				w.member(c.Name, string(c.Email))
			}
			w.push(founders())
			if r.arrange != nil {
				r.arrange(w)
			}
			args := r.args
			if args == nil {
				args = []string{"sync", fmt.Sprint(project)}
			}
			got := w.run(args...)
			text := "$ " + got.command() + "\n" + got.stdout + got.stderr
			comparePage(t, r.class, strings.ReplaceAll(abridged(text), w.dir, "/var/lib/contactsync"))
		})
	}
	for _, info := range contactsync.Classes() {
		if !shown[info.Class] {
			t.Errorf("the output of %s is not held against its page", info.Class)
		}
	}
}

func comparePage(t *testing.T, class contactsync.Class, output string) {
	t.Helper()
	name := filepath.Join("..", "..", "docs", "errors", string(class)+".md")
	page, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, shown, _ := strings.Cut(string(page), "\n## What it looks like\n\n```\n")
	shown, after, _ := strings.Cut(shown, "```\n")
	if steady(shown) == steady(output) {
		return
	}
	if !*updatePages {
		t.Fatalf("docs/errors/%s.md shows\n%s\nbut the program says\n%s", class, shown, output)
	}
	text := before + "\n## What it looks like\n\n```\n" + output + "```\n" + after
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// abridged leaves out the middle of a long list of changes, which says nothing that its beginning does not.
func abridged(text string) string {
	const enough = 6
	var kept []string
	changes := 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "  = ") {
			if changes++; changes == enough+1 {
				kept = append(kept, "  …\n")
			}
			if changes > enough {
				continue
			}
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "")
}

// steady replaces what is different in every run: ids, digests, times, ports and how often the desk was asked.
func steady(text string) string {
	for _, part := range []string{
		`commit [0-9a-f]{8}`, `([Rr]un|Verdict) [0-9a-z]{16}`, `sha256:[0-9a-f]{64}`, `127\.0\.0\.1:\d+`,
		`\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}:\d{2})?`, `Requests: .*`,
	} {
		text = regexp.MustCompile(part).ReplaceAllString(text, "#")
	}
	return text
}
