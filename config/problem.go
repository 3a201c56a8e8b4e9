package config

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with the configuration, and how to mend it. It never repeats a secret.
type Problem struct {
	Key      string `json:"key,omitempty"`      // "zendesk.url"
	Variable string `json:"variable,omitempty"` // the environment variable for the same
	File     string `json:"file,omitempty"`     // where it was written, if it was in a file
	Line     int    `json:"line,omitempty"`     // from 1
	Message  string `json:"message"`            // follows the key
	Remedy   string `json:"remedy"`
	// FromVariable says that the value came from the variable rather than the file.
	FromVariable bool `json:"from_variable,omitempty"`
}

// String is the problem in one line.
func (p Problem) String() string {
	var text strings.Builder
	switch {
	case p.FromVariable:
		text.WriteString(p.Variable + ": ")
	case p.File != "" && p.Line > 0:
		fmt.Fprintf(&text, "%s:%d: ", p.File, p.Line)
	case p.File != "":
		text.WriteString(p.File + ": ")
	}
	if p.Key != "" && !p.FromVariable {
		text.WriteString(p.Key + " ")
	}
	text.WriteString(p.Message + ".")
	if p.Remedy != "" {
		text.WriteString(" " + p.Remedy)
	}
	return text.String()
}

// Problems is all that is wrong, as an error. There is at least one.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// orNil is the problems as an error, nil when there are none.
func (p Problems) orNil() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// origin is where a value was given.
type origin struct {
	file     string
	line     int
	variable string // "" when it was the file
}

func (o origin) problem(k key, message, remedy string) Problem {
	p := Problem{Key: k.path, Variable: k.variable(), File: o.file, Line: o.line, Message: message, Remedy: remedy}
	if o.variable != "" {
		p.Variable, p.FromVariable = o.variable, true
	}
	return p
}

// nearest returns the name that was probably meant, or "" when none is close.
func nearest(name string, names []string) string {
	best, distance := "", max(2, len(name)/4)+1
	for _, candidate := range names {
		if d := editDistance(name, candidate); d < distance {
			best, distance = candidate, d
		}
	}
	return best
}

// editDistance is the number of characters to insert, delete or replace to get from one text to the other.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
