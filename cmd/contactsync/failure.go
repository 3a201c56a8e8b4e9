package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"contactsync"
	"contactsync/config"
)

const (
	statusFailed  = 1
	statusWrong   = 2
	statusPartial = 3
	statusHeld    = 4
	statusChanges = 5
)

// The classes of what is wrong before anything runs. They are no run's, so the table of classes does not have them.
const (
	classUsage         contactsync.Class = "wrong_usage"
	classConfiguration contactsync.Class = "wrong_configuration"
)

// errorDocument is what a command without a run answers when it fails.
type errorDocument struct {
	Error    *contactsync.Failure `json:"error"`
	Problems []config.Problem     `json:"problems,omitempty"` // all that is wrong with the configuration
}

// fail tells why a command could not do its work, and returns the exit status.
func (p *program) fail(err error) int {
	if err == nil {
		return 0
	}
	document, status := describe(err)
	if p.output == outputJSON {
		if err := writeJSON(p.Stdout, document); err == nil {
			return status
		}
	}
	var text strings.Builder
	switch {
	case document.Error.Class == classUsage:
		fmt.Fprintf(&text, "contactsync: %s. %s\n", document.Error.Detail, document.Error.Remedy)
	default:
		writeFailure(&text, document.Error)
	}
	if err := write(p.Stderr, text.String()); err != nil {
		return statusFailed // nobody is left to tell
	}
	return status
}

func describe(err error) (errorDocument, int) {
	var usage *usageError
	var problems config.Problems
	switch {
	case errors.As(err, &usage):
		return errorDocument{Error: &contactsync.Failure{
			Class: classUsage, Title: "Wrong usage", Detail: usage.text, Remedy: usage.help(),
			Who: contactsync.WhoOperator, Retry: contactsync.RetryNo,
		}}, statusWrong
	case errors.As(err, &problems):
		return errorDocument{Problems: problems, Error: &contactsync.Failure{
			Class: classConfiguration, Title: "Wrong configuration", Detail: problems.Error(),
			Remedy: "Set what is named, then look again: contactsync config check",
			Who:    contactsync.WhoOperator, Retry: contactsync.RetryNo,
		}}, statusWrong
	default:
		return errorDocument{Error: contactsync.FailureOf(err)}, contactsync.ExitCode(err)
	}
}

// onTheSpot is an error of a file that this command reads or makes: nobody has pushed it, so whoever runs the command
// mends it. Errors that no push would mend, and remedies that say more, stay as they are.
func onTheSpot(err error, remedy string) error {
	var classed *contactsync.Error
	if !errors.As(err, &classed) || classed.Class.Info().Retry != contactsync.RetryOnCommit {
		return err
	}
	return &contactsync.Error{
		Class: classed.Class, Detail: err.Error(), Err: err,
		Who: contactsync.WhoOperator, Retry: contactsync.RetryNo, Remedy: cmp.Or(classed.Remedy, remedy),
	}
}

// writeFailure words a failure for people: what it is called, what happened, what to do.
func writeFailure(w *strings.Builder, failure *contactsync.Failure) {
	fmt.Fprintf(w, "contactsync: %s (%s)\n", failure.Title, failure.Class)
	for line := range strings.Lines(failure.Detail) {
		fmt.Fprintf(w, "  %s\n", printable(strings.TrimRight(line, "\r\n")))
	}
	fmt.Fprintf(w, "  What to do: %s\n", failure.Remedy)
	if !failure.RetryAt.IsZero() {
		fmt.Fprintf(w, "  Possible again at %s.\n", failure.RetryAt.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
}

// writeJSON writes one document.
func writeJSON(w io.Writer, document any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	return nil
}
