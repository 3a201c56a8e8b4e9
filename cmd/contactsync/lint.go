package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"contactsync"
	"contactsync/contacts"
)

// ruleFileMissing names a file that cannot be opened, beside the rules of its content.
const ruleFileMissing = "file-missing"

// lintedFile is one file of lint's answer.
type lintedFile struct {
	File     string             `json:"file"`
	Valid    bool               `json:"valid"`
	Contacts int                `json:"contacts"`
	Problems []contacts.Problem `json:"problems"`
}

type lintDocument struct {
	Files []lintedFile `json:"files"`
}

func (p *program) lintCommand() *cobra.Command {
	var schema bool
	cmd := &cobra.Command{
		Use:   "lint [FILE...]",
		Short: "Checks contacts files",
		Long: `Checks contacts files and names every problem at once: line, column, what is wrong, how to mend it, and the rule.
Where it is certain what was meant, it shows what the line should be.
Without FILE it checks contacts.yaml; "-" is standard input. Needs no configuration and no network.

Exit status: 0 all files are valid, 1 some file is not.`,
		Example: `  contactsync lint
  contactsync lint team-a.yaml team-b.yaml
  git show HEAD:contacts.yaml | contactsync lint -
  contactsync lint --schema > contacts.schema.json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if schema {
				if len(args) > 0 {
					return usagef(cmd, "--schema takes no FILE")
				}
				return write(p.Stdout, strings.TrimRight(string(contacts.Schema()), "\n")+"\n")
			}
			if len(args) == 0 {
				args = []string{"contacts.yaml"}
			}
			return p.lint(args)
		},
	}
	cmd.Flags().BoolVar(&schema, "schema", false, "print the JSON Schema of contacts files instead")
	return cmd
}

func (p *program) lint(names []string) error {
	var document lintDocument
	valid := true
	for _, name := range names {
		file := p.lintFile(name)
		valid = valid && file.Valid
		document.Files = append(document.Files, file)
	}
	if err := p.answer(document, func(w *strings.Builder) { writeLint(w, document, p.palette()) }); err != nil {
		return err
	}
	if !valid {
		return exitStatus(statusFailed)
	}
	return nil
}

func (p *program) lintFile(name string) lintedFile {
	content, err := p.readInput(name, contacts.MaxBytes+1) // one more than allowed, so that too large shows
	if err != nil {
		return lintedFile{File: name, Problems: []contacts.Problem{{
			Line: 1, Column: 1, Rule: ruleFileMissing, Severity: contacts.SeverityError,
			Message: err.Error() + "; name a file that can be read", Class: contactsync.ClassFileMissing,
		}}}
	}
	parsed, problems := contacts.Parse(content)
	file := lintedFile{File: name, Valid: contacts.Err(problems) == nil, Problems: problems}
	if file.Valid {
		file.Contacts = len(parsed.Contacts)
	}
	if file.Problems == nil {
		file.Problems = []contacts.Problem{}
	}
	return file
}

func writeLint(w *strings.Builder, document lintDocument, on palette) {
	for _, file := range document.Files {
		name := printable(file.File)
		for i, problem := range file.Problems {
			severity := on.red(string(problem.Severity))
			if problem.Severity != contacts.SeverityError {
				severity = on.yellow(string(problem.Severity))
			}
			fmt.Fprintf(w, "%s:%d:%d: %s: %s %s\n", name, problem.Line, problem.Column, severity,
				printable(problem.Message), on.dim("["+problem.Rule+"]"))
			if told := i+1 < len(file.Problems) && sameCorrection(problem, file.Problems[i+1]); problem.Corrected != "" && !told {
				fmt.Fprintf(w, "    line %d should be: %s\n", problem.Line, on.green(quotedLine(problem.Corrected)))
			}
		}
		if file.Valid {
			fmt.Fprintf(w, "%s: %s, %s\n", name, people(file.Contacts, "contact", "contacts"), on.green("valid"))
		}
	}
}

// sameCorrection reports whether one corrected line mends both problems, so that it is shown once.
func sameCorrection(a, b contacts.Problem) bool {
	return a.Line == b.Line && a.Corrected == b.Corrected
}

// quotedLine shows where a line begins and ends. What is between the quotes can be copied, unless a character in it
// cannot be shown: then all is escaped.
func quotedLine(line string) string {
	if printable(line) != line {
		return strconv.Quote(line)
	}
	return `"` + line + `"`
}

// readInput reads a file, or standard input for "-", up to a limit: what is longer is cut, for its reader to refuse.
// Whatever cannot be read is file_missing.
func (p *program) readInput(name string, limit int64) ([]byte, error) {
	if name == "-" {
		content, err := io.ReadAll(io.LimitReader(p.Stdin, limit))
		if err != nil {
			return nil, onTheSpot(contactsync.Errorf(contactsync.ClassFileMissing, "reading standard input: %w", err), "Look what the input comes from.")
		}
		return content, nil
	}
	content, err := readFile(name, limit)
	if err != nil {
		reason := err.Error()
		var path *fs.PathError
		if errors.As(err, &path) {
			reason = path.Err.Error()
		}
		return nil, &contactsync.Error{
			Class: contactsync.ClassFileMissing, Detail: fmt.Sprintf("reading %s: %s", name, reason), Err: err,
			Who: contactsync.WhoOperator, Retry: contactsync.RetryNo, Remedy: "Check the path: the file must exist, and you must be allowed to read it.",
		}
	}
	return content, nil
}

func readFile(name string, limit int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, limit))
}
