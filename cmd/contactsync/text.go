package main

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"contactsync"
)

// palette colours words for a terminal; the zero palette leaves them plain.
type palette bool

func (p *program) palette() palette {
	return palette(p.StdoutIsTerminal && !p.noColor && p.env("NO_COLOR") == "" && p.env("TERM") != "dumb")
}

func (on palette) paint(code, text string) string {
	if !on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (on palette) green(text string) string  { return on.paint("32", text) }
func (on palette) red(text string) string    { return on.paint("31", text) }
func (on palette) yellow(text string) string { return on.paint("33", text) }
func (on palette) cyan(text string) string   { return on.paint("36", text) }
func (on palette) bold(text string) string   { return on.paint("1", text) }
func (on palette) dim(text string) string    { return on.paint("2", text) }

// printable replaces what could move the cursor, colour the terminal or turn the reading direction: names come from
// customers and from the desk.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\u200d' || r == '\u200c' { // joiners belong to emoji and to some scripts
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

// writeRun shows a run, or a plan of one, to people. source names what was compared with the desk.
func writeRun(w *strings.Builder, run contactsync.Run, source string, on palette) {
	writeHeader(w, run, source, on)
	writeChanges(w, run, on)
	fmt.Fprintf(w, "%s\n", on.bold(summaryLine(run)))
	writeNext(w, run, on)
	writeFooter(w, run, on)
}

func writeHeader(w *strings.Builder, run contactsync.Run, source string, on palette) {
	var parts []string
	if run.Organization != nil {
		parts = append(parts, fmt.Sprintf("%s (organization %s)",
			on.bold(printable(run.Organization.Name)), printable(run.Organization.ID)))
	}
	parts = append(parts, source)
	if run.Commit != "" {
		commit := "commit " + run.Commit[:min(len(run.Commit), 8)]
		if run.Committer != "" {
			commit += " by " + printable(run.Committer)
		}
		parts = append(parts, commit)
	}
	fmt.Fprintf(w, "%s\n", strings.Join(parts, ", "))
}

// line is one row of a plan.
type line struct {
	sign, verb   string
	email, about string
	note         string
	paint        func(string) string
}

func writeChanges(w *strings.Builder, run contactsync.Run, on palette) {
	lines := make([]line, 0, len(run.Changes)+len(run.Conflicts))
	for _, change := range run.Changes {
		l := changeLine(change, on)
		if change.Result == contactsync.ResultPlanned && run.Status != contactsync.StatusPlanned {
			l.about = strings.TrimLeft(l.about+"  (planned)", " ") // apart from those that the run made
		}
		lines = append(lines, l)
	}
	for _, conflict := range run.Conflicts {
		lines = append(lines, line{
			sign: "!", verb: "conflict", email: printable(string(conflict.Email)),
			note:  because(conflict.Error, conflict.Detail),
			paint: on.yellow,
		})
	}
	if len(lines) == 0 {
		return
	}
	width := 0
	for _, l := range lines {
		width = max(width, utf8.RuneCountInString(l.email))
	}
	told := make(map[string]bool) // many changes are held for one reason
	for _, l := range lines {
		row := fmt.Sprintf("  %s %-8s  %-*s  %s", l.sign, l.verb, width, l.email, l.about)
		fmt.Fprintf(w, "%s\n", l.paint(strings.TrimRight(row, " ")))
		if l.note != "" && !told[l.note] {
			told[l.note] = true
			fmt.Fprintf(w, "      %s\n", on.dim(l.note))
		}
	}
}

func changeLine(change contactsync.Change, on palette) line {
	l := line{verb: string(change.Action), email: printable(string(change.Email)), about: printable(change.Name)}
	switch change.Action {
	case contactsync.ActionCreate:
		l.sign, l.paint = "+", on.green
	case contactsync.ActionAdd:
		l.sign, l.paint = ">", on.green
	case contactsync.ActionRename:
		l.sign, l.paint = "~", on.cyan
		l.about = renaming(change)
	default:
		l.sign, l.paint = "-", on.red
	}
	switch change.Result {
	case contactsync.ResultHeld, contactsync.ResultSkipped:
		l.sign, l.paint = "=", on.yellow
		l.about = strings.TrimLeft(l.about+"  ("+string(change.Result)+")", " ")
		l.note = because(change.Error, change.Detail)
	case contactsync.ResultFailed:
		l.sign, l.paint = "x", on.red
		l.about = strings.TrimLeft(l.about+"  (failed)", " ")
		l.note = because(change.Error, change.Detail)
	case contactsync.ResultPlanned, contactsync.ResultDone:
		l.note = printable(change.Detail)
	}
	return l
}

func renaming(change contactsync.Change) string {
	about := printable(change.Name)
	if change.WasName != "" {
		about = printable(change.WasName) + " -> " + about
	}
	if change.WasEmail != "" {
		about += " (was " + printable(string(change.WasEmail)) + ")"
	}
	return about
}

// because says why something was not done: the class's title, so that people can look it up, and the detail.
func because(class contactsync.Class, detail string) string {
	detail = printable(strings.Join(strings.Fields(detail), " "))
	if class == "" {
		return detail
	}
	reason := fmt.Sprintf("%s (%s)", class.Info().Title, class)
	if detail == "" {
		return reason
	}
	return reason + ": " + detail
}

// summaryLine says in one line how the run ended and what it did.
func summaryLine(run contactsync.Run) string {
	switch {
	case run.Status == contactsync.StatusRunning:
		return "Still running, or ended without a word."
	case endedSilently(run):
		return "Failed: the run ended without a word; changes marked (planned) may have been made."
	}
	s := run.Summary
	var parts []string
	add := func(count int, one, many string) {
		switch {
		case count == 1:
			parts = append(parts, "1 "+one)
		case count > 1:
			parts = append(parts, fmt.Sprintf("%d %s", count, many))
		}
	}
	if run.Status == contactsync.StatusPlanned {
		add(s.Create, "to create", "to create")
		add(s.Add, "to add", "to add")
		add(s.Rename, "to rename", "to rename")
		add(s.Remove, "to remove", "to remove")
	} else {
		add(s.Create, "created", "created")
		add(s.Add, "added", "added")
		add(s.Rename, "renamed", "renamed")
		add(s.Remove, "removed", "removed")
	}
	if run.Status == contactsync.StatusFailed && len(parts) == 0 && s.Failed == 0 {
		return "Failed: nothing was changed."
	}
	add(s.Held, "waits for approval", "wait for approval")
	add(s.Failed, "failed", "failed")
	add(s.Conflicts, "conflict", "conflicts")
	if len(parts) == 0 {
		return fmt.Sprintf("Nothing to do: %s as the file says.", people(s.Unchanged, "contact is", "contacts are"))
	}
	add(s.Unchanged, "unchanged", "unchanged")
	words := map[contactsync.Status]string{
		contactsync.StatusPlanned:   "Plan",
		contactsync.StatusSucceeded: "Done",
		contactsync.StatusUnchanged: "Nothing to do",
		contactsync.StatusPartial:   "Partly done",
		contactsync.StatusHeld:      "Held",
		contactsync.StatusFailed:    "Failed",
	}
	return words[run.Status] + ": " + strings.Join(parts, ", ") + "."
}

// endedSilently reports whether the run's process died under it: the changes that it was about to make are in the audit
// trail, but not what making the plan had cost, which a run writes down at its end.
func endedSilently(run contactsync.Run) bool {
	return run.Status == contactsync.StatusFailed && len(run.Changes) > 0 && run.Requests == contactsync.Requests{}
}

func people(count int, one, many string) string {
	if count == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", count, many)
}

// writeNext says what there is to do: for held changes the command that approves exactly these.
func writeNext(w *strings.Builder, run contactsync.Run, on palette) {
	if run.Summary.Held > 0 && run.Digest != "" {
		fmt.Fprintf(w, "What to do: ask whether the held changes are meant. If so:\n  %s\n",
			on.bold(fmt.Sprintf("contactsync approve %s %s", orProject(run.Project), run.Digest)))
	}
	for _, class := range troubles(run) {
		fmt.Fprintf(w, "What to do about %s: %s\n", class, class.Info().Remedy)
	}
}

func orProject(project contactsync.ProjectRef) string {
	if project == "" {
		return "PROJECT"
	}
	return string(project)
}

// troubles returns the classes of failed changes and conflicts, each once, in the order of the run.
func troubles(run contactsync.Run) []contactsync.Class {
	var classes []contactsync.Class
	seen := map[contactsync.Class]bool{"": true}
	if run.Error != nil {
		seen[run.Error.Class] = true // what to do stands with the error
	}
	note := func(class contactsync.Class) {
		if !seen[class] {
			seen[class] = true
			classes = append(classes, class)
		}
	}
	for _, change := range run.Changes {
		if change.Result == contactsync.ResultFailed {
			note(change.Error)
		}
	}
	for _, conflict := range run.Conflicts {
		note(conflict.Error)
	}
	return classes
}

func writeFooter(w *strings.Builder, run contactsync.Run, on palette) {
	if run.Digest != "" && len(run.Changes) > 0 {
		fmt.Fprintf(w, "%s\n", on.dim("Digest "+run.Digest))
	}
	requests := fmt.Sprintf("Requests: desk %d, GitLab %d, git %d", run.Requests.Desk, run.Requests.GitLab, run.Requests.Git)
	if run.ID != "" {
		requests = "Run " + run.ID + ". " + requests
	}
	fmt.Fprintf(w, "%s\n", on.dim(requests))
}
