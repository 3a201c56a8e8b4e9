package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// setupColumns are what a file of setups may have, and where each goes.
var setupColumns = map[string]func(*setupFlags, string){
	"organization":     func(f *setupFlags, text string) { f.organization = text },
	"maintainers":      func(f *setupFlags, text string) { f.maintainers = splitAddresses(text) },
	"requester":        func(f *setupFlags, text string) { f.requester = text },
	"username":         func(f *setupFlags, text string) { f.username = text },
	"namespace":        func(f *setupFlags, text string) { f.namespace = text },
	"ticket":           func(f *setupFlags, text string) { f.ticket = text },
	"skip_eligibility": func(f *setupFlags, text string) { f.skip = text },
}

func splitAddresses(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(", ;\t\n", r) })
}

// setUpMany sets up what a CSV file lists. Everything in it must be right before anything is done.
func (p *program) setUpMany(cmd *cobra.Command, from string, shared setupFlags) error {
	if shared.organization != "" || len(shared.maintainers) > 0 || shared.ticket != "" {
		return usagef(cmd, "--organization, --maintainers and --ticket are columns of the file, and cannot be given beside --from")
	}
	content, err := p.readInput(from, maxCSV)
	if err != nil {
		return err
	}
	all, err := readSetups(content, shared)
	if err != nil {
		return usagef(cmd, "%s: %v", from, err)
	}
	return p.setUp(cmd, all, true)
}

func readSetups(content []byte, shared setupFlags) ([]setupFlags, error) {
	rows := csv.NewReader(strings.NewReader(strings.TrimPrefix(string(content), "\ufeff")))
	rows.TrimLeadingSpace = true
	header, err := rows.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("the file is empty; its first line names the columns")
	}
	if err != nil {
		return nil, err
	}
	for i, name := range header {
		header[i] = strings.ToLower(strings.TrimSpace(name))
		switch {
		case setupColumns[header[i]] == nil:
			return nil, fmt.Errorf("line 1: the column %q is not known", name)
		case slices.Contains(header[:i], header[i]):
			return nil, fmt.Errorf("line 1: the column %q is there twice", name)
		}
	}
	var all []setupFlags
	var problems []error
	lines := map[string]int{}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil && !errors.Is(err, csv.ErrFieldCount) {
			return nil, errors.Join(append(problems, err)...)
		}
		line, _ := rows.FieldPos(0)
		if err != nil {
			problems = append(problems, fmt.Errorf("line %d: it has %d fields, and line 1 names %d columns", line, len(row), len(header)))
			continue
		}
		flags := shared
		for i, text := range row {
			if text = strings.TrimSpace(text); text != "" {
				setupColumns[header[i]](&flags, text)
			}
		}
		if err := flags.check(); err != nil {
			problems = append(problems, fmt.Errorf("line %d: %w", line, err))
		} else if before := lines[flags.organization]; before != 0 {
			problems = append(problems, fmt.Errorf("line %d: organization %s is in line %d, too", line, flags.organization, before))
		}
		lines[flags.organization] = line
		all = append(all, flags)
	}
	if len(all)+len(problems) == 0 {
		return nil, errors.New("the file lists nobody below its first line")
	}
	return all, errors.Join(problems...)
}
