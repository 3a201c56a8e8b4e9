package main_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	main "contactsync/cmd/contactsync"
)

// Every command explains itself: what it does, how it is called, and with an example.
func TestHelp(t *testing.T) {
	t.Parallel()
	listed := regexp.MustCompile(`(?m)^  ([a-z]+) +\S`)
	var explain func(command ...string) int
	explain = func(command ...string) int {
		var stdout, stderr bytes.Buffer
		status := main.Main{Args: append(command, "--help"), Stdout: &stdout, Stderr: &stderr}.Run(t.Context())
		name := "contactsync " + strings.Join(command, " ")
		if status != 0 || !strings.Contains(stdout.String(), "Usage:\n  contactsync") ||
			!strings.Contains(stdout.String(), "Examples:\n  ") || !strings.Contains(stdout.String(), "--output") {
			t.Errorf("%s --help ends with %d:\n%s%s", name, status, stdout.String(), stderr.String())
		}
		_, below, _ := strings.Cut(stdout.String(), "Available Commands:\n")
		below, _, _ = strings.Cut(below, "\n\n")
		count := 1
		for _, match := range listed.FindAllStringSubmatch(below, -1) {
			if match[1] != "help" {
				count += explain(append(command, match[1])...)
			}
		}
		return count
	}
	if count := explain(); count != 23 {
		t.Errorf("%d commands explain themselves, want 23", count)
	}
}
