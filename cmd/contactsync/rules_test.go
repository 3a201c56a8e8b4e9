package main_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"contactsync"
	main "contactsync/cmd/contactsync"
	"contactsync/contacts"
)

// breaking is, for each rule, a file that breaks it.
func breaking() map[string]string {
	const ada = "- name: Ada\n  email: ada@example.com\n"
	var many strings.Builder
	for i := range contacts.MaxContacts + 1 {
		fmt.Fprintf(&many, "- {name: P, email: p%d@example.com}\n", i)
	}
	return map[string]string{
		contacts.RuleEncoding:            "- name: Ad\xe9\n",
		contacts.RuleSyntax:              "- name: [\n",
		contacts.RuleDocument:            ada + "---\n" + ada,
		contacts.RuleAnchor:              "- name: &a Ada\n  email: ada@example.com\n",
		contacts.RuleMerge:               "- <<: {name: Ada}\n  email: ada@example.com\n",
		contacts.RuleTag:                 "- name: !secret Ada\n  email: ada@example.com\n",
		contacts.RuleDepth:               strings.Repeat("[", 17) + strings.Repeat("]", 17) + "\n",
		contacts.RuleShape:               "Ada\n",
		contacts.RuleKeyUnknown:          "- nam: Ada\n  email: ada@example.com\n",
		contacts.RuleKeyDuplicate:        "- name: Ada\n  name: Ada\n  email: ada@example.com\n",
		contacts.RuleTooLarge:            strings.Repeat("# large\n", 1<<18),
		contacts.RuleTooMany:             many.String(),
		contacts.RuleEmpty:               "",
		contacts.RuleNameMissing:         "- email: ada@example.com\n",
		contacts.RuleEmailMissing:        "- name: Ada\n",
		contacts.RuleEmailInvalid:        "- name: Ada\n  email: ada@localhost\n",
		contacts.RuleEmailDuplicate:      ada + ada,
		contacts.RuleValueInvalid:        "- name: Ada\n  email: ada@example.com\n  manager: perhaps\n",
		contacts.RuleOrganizationInvalid: "organization: \"4 2\"\ncontacts:\n" + ada,
	}
}

// Every rule of the file is reached through lint: with its class for programs, and its id for people.
func TestEveryRuleIsReached(t *testing.T) {
	t.Parallel()
	files := breaking()
	for _, rule := range contacts.Rules() {
		t.Run(rule.ID, func(t *testing.T) {
			t.Parallel()
			text, ok := files[rule.ID]
			if !ok {
				t.Fatalf("no file breaks the rule")
			}
			var document struct {
				Files []struct {
					File     string
					Valid    bool
					Contacts int
					Problems []contacts.Problem
				}
			}
			r := lint(t, text, "--output", "json")
			r.ends(1).decode(&document)
			if len(document.Files) != 1 || document.Files[0].Valid {
				t.Fatalf("one file should be invalid:\n%s", r.stdout)
			}
			broken := func(p contacts.Problem) bool {
				return p.Rule == rule.ID && p.Class == rule.Class && p.Severity == contacts.SeverityError &&
					p.Line > 0 && p.Column > 0 && p.Message != ""
			}
			if !slices.ContainsFunc(document.Files[0].Problems, broken) {
				t.Errorf("the rule is not reported with class %s:\n%s", rule.Class, r.stdout)
			}
			lint(t, text).ends(1).says("["+rule.ID+"]", "-:")
		})
	}
	if len(files) != len(contacts.Rules()) {
		t.Errorf("there are %d rules and %d files that break them", len(contacts.Rules()), len(files))
	}
}

// Every class that a rule leads to is one that people can look up.
func TestRulesHaveClasses(t *testing.T) {
	t.Parallel()
	for _, rule := range contacts.Rules() {
		if rule.Class.Info().Class != rule.Class || rule.Class == contactsync.ClassInternal {
			t.Errorf("%s has the class %q", rule.ID, rule.Class)
		}
	}
}

func lint(t *testing.T, text string, flags ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	args := append([]string{"lint", "-"}, flags...)
	status := main.Main{Args: args, Stdin: strings.NewReader(text), Stdout: &stdout, Stderr: &stderr}.Run(t.Context())
	return result{TB: t, args: args, status: status, stdout: stdout.String(), stderr: stderr.String()}
}
