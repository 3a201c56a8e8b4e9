package contacts

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"contactsync"
)

// Severity says whether a problem keeps the file from being applied.
type Severity string

// A file with any problem of severity error is not applied at all. No rule warns yet; readers of problems must be
// ready for one that does.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
)

// The rule ids: stable names that people search for and programs branch on. Rules tells what each is about.
const (
	RuleEncoding            = "yaml-encoding"
	RuleSyntax              = "yaml-syntax"
	RuleDocument            = "yaml-document"
	RuleAnchor              = "yaml-anchor"
	RuleMerge               = "yaml-merge"
	RuleTag                 = "yaml-tag"
	RuleDepth               = "yaml-depth"
	RuleShape               = "shape"
	RuleKeyUnknown          = "key-unknown"
	RuleKeyDuplicate        = "key-duplicate"
	RuleTooLarge            = "file-too-large"
	RuleTooMany             = "contacts-too-many"
	RuleEmpty               = "contacts-empty"
	RuleNameMissing         = "name-missing"
	RuleEmailMissing        = "email-missing"
	RuleEmailInvalid        = "email-invalid"
	RuleEmailDuplicate      = "email-duplicate"
	RuleValueInvalid        = "value-invalid"
	RuleOrganizationInvalid = "organization-invalid"
)

// Rule is what is fixed about a rule.
type Rule struct {
	ID    string            `json:"rule"`
	Class contactsync.Class `json:"error"`
	What  string            `json:"what"`
}

var ruleTable = []Rule{
	{RuleEncoding, contactsync.ClassYAMLUnreadable, "not UTF-8, or a NUL or other control character"},
	{RuleSyntax, contactsync.ClassYAMLUnreadable, "not YAML"},
	{RuleDocument, contactsync.ClassYAMLUnreadable, "a second YAML document"},
	{RuleAnchor, contactsync.ClassYAMLUnreadable, "an anchor (&) or an alias (*)"},
	{RuleMerge, contactsync.ClassYAMLUnreadable, "a merge key (<<)"},
	{RuleTag, contactsync.ClassYAMLUnreadable, "a tag (!) other than !!str"},
	{RuleDepth, contactsync.ClassYAMLUnreadable, "nesting deeper than 16"},
	{RuleShape, contactsync.ClassYAMLUnreadable, "neither a list of contacts nor the extended form, or an entry that is not a set of keys"},
	{RuleKeyUnknown, contactsync.ClassYAMLUnreadable, "a key that is not known"},
	{RuleKeyDuplicate, contactsync.ClassYAMLUnreadable, "a key written twice"},
	{RuleTooLarge, contactsync.ClassFileTooLarge, "over 1 MiB"},
	{RuleTooMany, contactsync.ClassFileTooLarge, "over 5,000 contacts"},
	{RuleEmpty, contactsync.ClassFileEmpty, "no contacts at all"},
	{RuleNameMissing, contactsync.ClassContactIncomplete, "a name that is absent, null, blank or not a text"},
	{RuleEmailMissing, contactsync.ClassContactIncomplete, "an address that is absent, null, blank or not a text"},
	{RuleEmailInvalid, contactsync.ClassEmailInvalid, "not an address that mail can reach"},
	{RuleEmailDuplicate, contactsync.ClassContactDuplicate, "an address listed twice"},
	{RuleValueInvalid, contactsync.ClassContactInvalid, "a value of the wrong kind"},
	{RuleOrganizationInvalid, contactsync.ClassOrganizationMismatch, "an organization that cannot be an id"},
}

// Rules returns every rule, in the order of the documentation.
func Rules() []Rule { return slices.Clone(ruleTable) }

func classOf(rule string) contactsync.Class {
	for _, r := range ruleTable {
		if r.ID == rule {
			return r.Class
		}
	}
	return contactsync.ClassInternal
}

// Problem is something in the file that has to be mended.
type Problem struct {
	Line     int               `json:"line"`   // from 1
	Column   int               `json:"column"` // from 1, in characters
	Rule     string            `json:"rule"`
	Severity Severity          `json:"severity"`
	Message  string            `json:"message"` // what is wrong and how to mend it, for the customer
	Class    contactsync.Class `json:"error"`
	// Corrected is what the whole line should be, without its end; "" where that is not certain. With it in place of the
	// line this problem is gone, with those of the same line that have a Corrected too, and there is no new one.
	Corrected string `json:"corrected,omitempty"`

	more int // further problems of this rule that are counted in the message but not listed
}

// String returns the problem in one line, without the file's name.
func (p Problem) String() string {
	return fmt.Sprintf("line %d, column %d: %s (%s)", p.Line, p.Column, p.Message, p.Rule)
}

// What bounds one error: its detail ends up in commit comments and in mail, its problems in the store.
const (
	maxInError   = 20
	maxWithError = 100
)

// Err returns nil when no problem is of severity error. Otherwise it returns a *contactsync.Error whose class is that
// of the first error in the file, and whose detail lists them one per line, up to 20 and then "and N more". Its
// Problems are the first 100, and Unlisted is how many more there are.
func Err(problems []Problem) error {
	var listed []contactsync.FileProblem
	var lines []string
	count := 0
	for _, p := range problems {
		if p.Severity != SeverityError {
			continue
		}
		if len(lines) < maxInError {
			lines = append(lines, "contacts.yaml "+p.String())
		}
		if len(listed) < maxWithError {
			listed = append(listed, contactsync.FileProblem{
				Line: p.Line, Column: p.Column, Rule: p.Rule, Class: p.Class, Message: p.Message, Corrected: p.Corrected,
			})
		}
		count += 1 + p.more
	}
	if count == 0 {
		return nil
	}
	if more := count - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return &contactsync.Error{
		Class: listed[0].Class, Detail: strings.Join(lines, "\n"), Problems: listed, Unlisted: count - len(listed),
	}
}

// maxListed bounds the problems that Parse lists. Beyond it there is one more for each rule, with the number of its kind.
const maxListed = 1000

// position is a place in the file: line and column from 1, the column in characters.
type position struct{ line, column int }

// findings gathers problems. Its size is bounded whatever the file does.
type findings struct {
	problems []Problem
	counts   map[string]int
	mends    []mend
	lines    int // of the file; the library puts what is missing at its end on a line after the last
}

// add returns the index of the problem, or -1 where it is only counted.
func (f *findings) add(rule string, at position, format string, args ...any) int {
	if f.counts == nil {
		f.counts = make(map[string]int)
	}
	f.counts[rule]++
	if at.line > f.lines {
		at = position{f.lines, 1}
	}
	// One beyond the limit, so that the first one not listed is known.
	if f.counts[rule] > maxListed+1 {
		return -1
	}
	f.problems = append(f.problems, Problem{
		Line: at.line, Column: at.column, Rule: rule, Severity: SeverityError,
		Message: fmt.Sprintf(format, args...), Class: classOf(rule),
	})
	return len(f.problems) - 1
}

// list returns the problems in file order.
func (f *findings) list() []Problem {
	slices.SortStableFunc(f.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if len(f.problems) <= maxListed {
		return f.problems
	}
	listed := f.problems[:maxListed:maxListed]
	left := f.counts
	for _, p := range listed {
		left[p.Rule]--
	}
	for _, p := range f.problems[maxListed:] {
		if left[p.Rule] == 0 {
			continue
		}
		p.more = left[p.Rule] - 1
		if p.more > 0 {
			p.Message = fmt.Sprintf("%s There are %d more problems of this kind further on.", p.Message, p.more)
		}
		left[p.Rule] = 0
		listed = append(listed, p)
	}
	return listed
}
