package contacts_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"contactsync"
	"contactsync/contacts"
)

// finding is what a test expects of one problem.
type finding struct {
	line, column int
	rule         string
}

func findingsOf(problems []contacts.Problem) []finding {
	var found []finding
	for _, p := range problems {
		found = append(found, finding{p.Line, p.Column, p.Rule})
	}
	return found
}

// mustParse returns the file, and fails the test if it has a problem.
func mustParse(t *testing.T, content string) contacts.File {
	t.Helper()
	file, problems := contacts.Parse([]byte(content))
	if len(problems) > 0 {
		t.Fatalf("Parse(%q) found %v", content, problems)
	}
	return file
}

// problemCases holds at least one file for each rule, and for each way in which a file is known to go wrong.
var problemCases = []struct {
	name    string
	content string
	want    []finding
}{
	{"Latin-1", "- name: J\xf6rg\n  email: joerg@example.com\n", []finding{{1, 10, "yaml-encoding"}}},
	{"one encoding problem a line", "- name: \xf6\xf6\n  email: \xf6\n", []finding{{1, 9, "yaml-encoding"}, {2, 10, "yaml-encoding"}}},
	{"NUL", "- name: Ada\n  email: a\x00da@example.com\n", []finding{{2, 11, "yaml-encoding"}}},
	{"control character", "- name: Ada\x0b\n", []finding{{1, 12, "yaml-encoding"}}},
	{"NEL", "- name: A\u0085da\n", []finding{{1, 10, "yaml-encoding"}}},
	{"byte-order mark in the middle", "- name: Ada\n  email: ada@example.com\n\ufeff- name: Bob\n", []finding{{3, 1, "yaml-encoding"}}},
	{"noncharacter", "- name: A\ufdd0\n", []finding{{1, 10, "yaml-encoding"}}},
	{"UTF-16 with mark", "\xff\xfe-\x00 \x00", []finding{{1, 1, "yaml-encoding"}}},
	{"UTF-16 without mark", "-\x00 \x00n\x00", []finding{{1, 1, "yaml-encoding"}}},
	{"encoding after CR alone", "- name: Ada\r  email: \x01\r", []finding{{2, 10, "yaml-encoding"}}},

	{"entry out of line", "- name: A\n  email: a@example.com\n - name: B\n   email: b@example.com\n", []finding{{3, 1, "yaml-syntax"}}},
	{"key out of line", "- name: A\n email: a@example.com\n- name: B\n", []finding{{2, 1, "yaml-syntax"}}},
	{"key out of the list", "- name: A\n  email: a@example.com\nname: B\nemail: b@example.com\n- name: C\n", []finding{{3, 1, "yaml-syntax"}}},
	{"key too deep", "- name: A\n    email: a@example.com\n- name: B\n", []finding{{2, 1, "yaml-syntax"}}},
	{"no blank after the dash", "- name: A\n  email: a@example.com\n-name: B\n  email: b@example.com\n- name: C\n", []finding{{3, 1, "yaml-syntax"}}},
	{"no colon", "- name: A\n  email a@example.com\n- name: B\n", []finding{{2, 1, "yaml-syntax"}}},
	{"quote never closed", "- name: A\n  email: a@example.com\n- name: \"B\n  email: b@example.com\n- name: C\n", []finding{{3, 1, "yaml-syntax"}}},
	{"quote never closed on the first line", "- name: 'A\n  email: a@example.com\n- name: B\n", []finding{{1, 1, "yaml-syntax"}}},
	{"quote until a document mark", "- name: 'A\n---\n", []finding{{1, 1, "yaml-syntax"}}},
	{"text after a quote", "- name: \"Ada\" Lovelace\n  email: a@example.com\n- name: B\n", []finding{{1, 1, "yaml-syntax"}}},
	{"text after a quote, comments below", "- name: A\n  email: \"a\" b\n\n# one\n# two\n# three\n# four\n\n- name: B\n", []finding{{2, 1, "yaml-syntax"}}},
	{"bracket never closed", "- name: A\n  email: a@example.com\n- name: [B\n  email: b@example.com\n", []finding{{3, 1, "yaml-syntax"}}},
	{"stray brace", "- name: A\n  email: a@example.com\n  }\n- name: B\n", []finding{{3, 1, "yaml-syntax"}}},
	{"tab", "- name: A\n\temail: a@example.com\n", []finding{{2, 1, "yaml-syntax"}}},
	{"at sign first", "- name: A\n  email: @example.com\n", []finding{{2, 1, "yaml-syntax"}}},
	{"colon in a plain value", "- name: A: B\n  email: a@example.com\n", []finding{{1, 1, "yaml-syntax"}}},
	{"dash after a key", "- name: - A\n", []finding{{1, 1, "yaml-syntax"}}},
	{"unknown escape", "- name: \"A\\qB\"\n", []finding{{1, 1, "yaml-syntax"}}},
	{"text after the end", "- name: A\n  email: a@example.com\n...\nB\n", []finding{{4, 1, "yaml-syntax"}}},
	{"foreign directive", "%YAML 2.0\n---\n- name: A\n", []finding{{1, 1, "yaml-syntax"}}},
	{"unknown tag handle", "- name: A\n  email: !x!y b\n- name: C\n", []finding{{2, 1, "yaml-syntax"}}},
	{"block scalar with text behind", "- name: |A\n  B\n", []finding{{1, 1, "yaml-syntax"}}},
	{"anchor without a name", "- name: &\n", []finding{{1, 1, "yaml-syntax"}}},
	{"lines of CR alone", "- name: A\r  email: a@example.com\r  }\r- name: B\r", []finding{{3, 1, "yaml-syntax"}}},

	{"second document", "- name: A\n  email: a@example.com\n---\n- name: B\n", []finding{{4, 1, "yaml-document"}}},
	{"second document and another problem", "- name: A\n---\n- name: B\n", []finding{{1, 3, "email-missing"}, {3, 1, "yaml-document"}}},
	{"empty first document", "---\n---\n- name: B\n  email: b@example.com\n", []finding{{3, 1, "yaml-document"}}},

	{"anchor and alias", "- name: &a A\n  email: a@example.com\n- name: *a\n  email: b@example.com\n", []finding{{1, 9, "yaml-anchor"}, {3, 9, "yaml-anchor"}}},
	{"alias without an anchor", "- name: A\n  email: a@example.com\n- name: *Bob\n  email: b@example.com\n", []finding{{3, 9, "yaml-anchor"}}},
	{"merge", "- &a\n  name: A\n  email: a@example.com\n- <<: *a\n  email: b@example.com\n", []finding{{1, 3, "yaml-anchor"}, {4, 3, "yaml-merge"}}},
	{"merge at the top", "<<: {contacts: []}\n", []finding{{1, 1, "yaml-merge"}}},
	{"merge of nothing known", "- name: A\n  email: a@example.com\n  <<: *b\n", []finding{{3, 3, "yaml-merge"}}},
	{"tags", "- name: !x A\n  email: !!str a@example.com\n- !!map {name: B, email: b@example.com}\n- name: !!int 5\n  email: !!null c@example.com\n",
		[]finding{{1, 9, "yaml-tag"}, {3, 3, "yaml-tag"}, {4, 9, "yaml-tag"}, {5, 10, "yaml-tag"}}},
	{"text tag on a list", "- name: !!str [A]\n  email: a@example.com\n", []finding{{1, 9, "yaml-tag"}, {1, 9, "name-missing"}}},
	{"depth", "- name: A\n  email: a@example.com\n  phone: " + strings.Repeat("[", 20) + strings.Repeat("]", 20) + "\n",
		[]finding{{3, 10, "value-invalid"}, {3, 24, "yaml-depth"}}},
	{"depth beyond the library", strings.Repeat("[", 20000), []finding{{1, 1, "yaml-depth"}}},

	{"text", "hello\n", []finding{{1, 1, "shape"}}},
	{"one contact without a list", "name: A\nemail: a@example.com\n", []finding{{1, 1, "shape"}}},
	{"entries that are no sets of keys", "- a@example.com\n-\n- [name, email]\n- name:A\n", []finding{{1, 3, "shape"}, {2, 2, "shape"}, {3, 3, "shape"}, {4, 3, "shape"}}},
	{"contacts that are no list", "contacts:\n  name: A\n  email: a@example.com\n", []finding{{2, 3, "shape"}}},
	{"contacts that are a text", "contacts: none\n", []finding{{1, 11, "shape"}}},

	{"unknown keys", "- name: A\n  email: a@example.com\n  Name: B\n  emial: c\n  é: d\n  ? [x]\n  : y\n  ~: z\n",
		[]finding{{3, 3, "key-unknown"}, {4, 3, "key-unknown"}, {5, 3, "key-unknown"}, {6, 5, "key-unknown"}, {8, 3, "key-unknown"}}},
	{"lone unknown key at the top", "contact:\n  - name: A\n    email: a@example.com\n", []finding{{1, 1, "key-unknown"}}},
	{"unknown key beside the contacts", "name: A\ncontacts:\n  - name: A\n    email: a@example.com\n", []finding{{1, 1, "key-unknown"}}},
	{"duplicate keys", "- name: A\n  name: B\n  email: a@example.com\n  x: 1\n  x: 2\n", []finding{{2, 3, "key-duplicate"}, {4, 3, "key-unknown"}, {5, 3, "key-duplicate"}}},
	{"duplicate contacts", "contacts:\n- name: A\n  email: a@example.com\ncontacts:\n- name: B\n", []finding{{4, 1, "key-duplicate"}}},

	{"too large", strings.Repeat("#", contacts.MaxBytes+1), []finding{{1, 1, "file-too-large"}}},
	{"too many", manyContacts(contacts.MaxContacts + 7), []finding{{2*contacts.MaxContacts + 1, 3, "contacts-too-many"}}},

	{"empty file", "", []finding{{1, 1, "contacts-empty"}}},
	{"blank file", "\n \n", []finding{{1, 1, "contacts-empty"}}},
	{"comments alone", "# nobody\n", []finding{{1, 1, "contacts-empty"}}},
	{"null", "---\n~\n", []finding{{2, 1, "contacts-empty"}}},
	{"empty list", "\n[]\n", []finding{{2, 1, "contacts-empty"}}},
	{"empty set of keys", "{}\n", []finding{{1, 1, "contacts-empty"}}},
	{"contacts without entries", "organization: 42\ncontacts:\n", []finding{{2, 1, "contacts-empty"}}},
	{"contacts with an empty list", "contacts: []\n", []finding{{1, 11, "contacts-empty"}}},
	{"organization alone", "organization: 42\n", []finding{{1, 1, "contacts-empty"}}},

	{"missing names", "- email: a@example.com\n- name: ~\n  email: b@example.com\n- name:\n  email: c@example.com\n- name: ' '\n  email: d@example.com\n- name: {A: B}\n  email: e@example.com\n- name: Null\n  email: f@example.com\n",
		[]finding{{1, 3, "name-missing"}, {2, 3, "name-missing"}, {4, 3, "name-missing"}, {6, 9, "name-missing"}, {8, 9, "name-missing"}, {10, 3, "name-missing"}}},
	{"missing addresses", "- name: A\n- name: B\n  email:\n- name: C\n  email: \"\"\n- name: D\n  email: [d@example.com]\n- {}\n",
		[]finding{{1, 3, "email-missing"}, {3, 3, "email-missing"}, {5, 10, "email-missing"}, {7, 10, "email-missing"}, {8, 3, "name-missing"}, {8, 3, "email-missing"}}},

	{"invalid address", "- name: A\n  email: a@example\n", []finding{{2, 10, "email-invalid"}}},
	{"invalid earlier address", "contacts:\n- name: A\n  email: a@example.com\n  previously: a\n", []finding{{4, 15, "email-invalid"}}},
	{"listed twice", "- name: A\n  email: a@example.com\n- name: B\n  email: A@EXAMPLE.com\n", []finding{{4, 10, "email-duplicate"}}},
	{"listed twice in two spellings", "- name: A\n  email: a@bücher.example\n- name: B\n  email: a@xn--bcher-kva.example\n", []finding{{4, 10, "email-duplicate"}}},
	{"one earlier address for two", "- name: A\n  email: a@example.com\n  previously: c@example.com\n- name: B\n  email: b@example.com\n  previously: c@example.com\n", []finding{{6, 15, "email-duplicate"}}},

	{"earlier address of oneself", "- name: A\n  email: a@example.com\n  previously: A@example.com\n", []finding{{3, 15, "value-invalid"}}},
	{"earlier address of another", "- name: A\n  email: a@example.com\n  previously: b@example.com\n- name: B\n  email: b@example.com\n", []finding{{3, 15, "value-invalid"}}},
	{"line break in a name", "- name: \"A\\nB\"\n  email: a@example.com\n", []finding{{1, 9, "value-invalid"}}},
	{"line separator in a name", "- name: A\u2028B\n  email: a@example.com\n", []finding{{1, 9, "value-invalid"}}},
	{"control character in a name", "- name: \"A\\x07B\"\n  email: a@example.com\n", []finding{{1, 9, "value-invalid"}}},
	{"turned order in a name", "- name: A\u202eB\n  email: a@example.com\n", []finding{{1, 9, "value-invalid"}}},
	{"long name", "- name: " + strings.Repeat("é", 256) + "\n  email: a@example.com\n", []finding{{1, 9, "value-invalid"}}},
	{"no dates", "- name: A\n  email: a@example.com\n  expires: 2027-02-30\n- name: B\n  email: b@example.com\n  expires: 31.1.2027\n- name: C\n  email: c@example.com\n  expires:\n- name: D\n  email: d@example.com\n  expires: [2027-01-31]\n",
		[]finding{{3, 12, "value-invalid"}, {6, 12, "value-invalid"}, {9, 3, "value-invalid"}, {12, 12, "value-invalid"}}},
	{"neither true nor false", "- name: A\n  email: a@example.com\n  manager: yes\n- name: B\n  email: b@example.com\n  manager: True\n", []finding{{3, 12, "value-invalid"}, {6, 12, "value-invalid"}}},
	{"long position", "- name: A\n  email: a@example.com\n  position: " + strings.Repeat("x", 256) + "\n", []finding{{3, 13, "value-invalid"}}},
	{"blank phone", "- name: A\n  email: a@example.com\n  phone: ''\n", []finding{{3, 3, "value-invalid"}}},

	{"organization that is no id", "organization: Example Inc.\ncontacts:\n- name: A\n  email: a@example.com\n", []finding{{1, 15, "organization-invalid"}}},
	{"organization without a value", "organization:\ncontacts:\n- name: A\n  email: a@example.com\n", []finding{{1, 1, "organization-invalid"}}},
	{"organization that is a list", "organization: [1]\ncontacts:\n- name: A\n  email: a@example.com\n", []finding{{1, 15, "organization-invalid"}}},

	{"byte-order mark and CRLF", "\ufeff- name: A\r\n  emial: a@example.com\r\n  email: a@example.com\r\n", []finding{{2, 3, "key-unknown"}}},
	{"byte-order mark on the line", "\ufeffhello", []finding{{1, 1, "shape"}}},
	{"columns count characters", "- {name: \"日本🙂\", email: x}\n", []finding{{1, 24, "email-invalid"}}},
	{"lines after a line separator", "# a\u2028b\n- name: A\n", []finding{{2, 3, "email-missing"}}},
	{"all at once, in file order", "- name: \"\"\n  email: a@example\n  foo: x\n- 5\n- name: B\n  email: b@example.com\n  expires: never\n",
		[]finding{{1, 9, "name-missing"}, {2, 10, "email-invalid"}, {3, 3, "key-unknown"}, {4, 3, "shape"}, {7, 12, "value-invalid"}}},
}

func manyContacts(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "- name: Ada Lovelace %d\n  email: ada.%d@example.com\n", i, i)
	}
	return b.String()
}

// Every problem of a file is found, at its line and column, under its rule.
func TestParseProblems(t *testing.T) {
	t.Parallel()
	for _, tc := range problemCases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, problems := contacts.Parse([]byte(tc.content))
			if got := findingsOf(problems); !slices.Equal(got, tc.want) {
				t.Errorf("got %v, want %v\n%v", got, tc.want, problems)
			}
			checkProblems(t, []byte(tc.content), problems)
			if class := contactsync.ClassOf(contacts.Err(problems)); class != problems[0].Class {
				t.Errorf("Err has class %s, the first problem %s", class, problems[0].Class)
			}
		})
	}
}

// The cases above reach every rule, and every rule has the class that the contract gives it.
func TestRules(t *testing.T) {
	t.Parallel()
	want := map[string]contactsync.Class{
		"yaml-encoding": "yaml_unreadable", "yaml-syntax": "yaml_unreadable", "yaml-document": "yaml_unreadable",
		"yaml-anchor": "yaml_unreadable", "yaml-merge": "yaml_unreadable", "yaml-tag": "yaml_unreadable", "yaml-depth": "yaml_unreadable",
		"shape": "yaml_unreadable", "key-unknown": "yaml_unreadable", "key-duplicate": "yaml_unreadable",
		"file-too-large": "file_too_large", "contacts-too-many": "file_too_large", "contacts-empty": "file_empty",
		"name-missing": "contact_incomplete", "email-missing": "contact_incomplete", "email-invalid": "email_invalid",
		"email-duplicate": "contact_duplicate", "value-invalid": "contact_invalid", "organization-invalid": "organization_mismatch",
	}
	reached := make(map[string]bool)
	for _, tc := range problemCases {
		_, problems := contacts.Parse([]byte(tc.content))
		for _, p := range problems {
			reached[p.Rule] = true
			if p.Class != want[p.Rule] {
				t.Errorf("%s has class %s, want %s", p.Rule, p.Class, want[p.Rule])
			}
		}
	}
	got := make(map[string]contactsync.Class)
	for _, rule := range contacts.Rules() {
		got[rule.ID] = rule.Class
		if !reached[rule.ID] {
			t.Errorf("no case reaches %s", rule.ID)
		}
		if rule.What == "" {
			t.Errorf("%s says nothing", rule.ID)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("rules are %v, want %v", got, want)
	}
}

// Messages tell a customer what to do, and never show the library's own words.
func TestMessages(t *testing.T) {
	t.Parallel()
	for _, tc := range problemCases {
		_, problems := contacts.Parse([]byte(tc.content))
		for _, p := range problems {
			if sentences := strings.Count(p.Message, ". ") + strings.Count(p.Message, ": ") + strings.Count(p.Message, "; "); sentences < 1 {
				t.Errorf("%s: %q names a problem and no way out", tc.name, p.Message)
			}
			for _, jargon := range []string{"yaml:", "did not find", "mapping", "scalar", "sequence", "token", "node", "0xc0"} {
				if strings.Contains(p.Message, jargon) {
					t.Errorf("%s: %q has %q in it", tc.name, p.Message, jargon)
				}
			}
		}
	}

	for content, want := range map[string]string{
		"- name: A\n  email: a@example.com\n  emial: x\n":  `Did you mean "email"?`,
		"- name: A\n  email: a@example.com\n  Email: x\n":  `Write it "email"`,
		"- name: A\n  email: a@example.com\n  expire: x\n": `Did you mean "expires"?`,
		"- name: A\n  email: a@example.com\n  zodiac: x\n": `name, email, previously, expires, position, manager, phone`,
		"organisation: 1\n":                                                    `Did you mean "organization"?`,
		"Contacts: []\n":                                                       `Write it "contacts"`,
		"- name: Null\n  email: a@example.com\n":                               `"Null", put it between double quotes`,
		"- name: A\n  email: Ada <ada@example.com>\n":                          `Write the address alone: "ada@example.com"`,
		"- name: A\n  email: mailto:ada@example.com\n":                         `Write the address alone: "ada@example.com"`,
		"- name: A\n  email: ada@example.com,\n":                               `Write the address alone: "ada@example.com"`,
		"- name: A\n  email: a@example.com, b@example.com\n":                   `one address for each contact`,
		"- name: A\n  email: a@example.com\n- name: B\n  email: a@example.com": `on line 2 and again on line 4`,
		"- name: A\n  email: a@example.com\n  name: B\n":                       `already on line 1`,
		"- name:A\n":                                     `A blank is needed after each colon`,
		"- name: A\n  email: a@exa mple.com\n":           `a blank cannot be in a domain name`,
		"- name: A\u2028B\n  email: a@example.com\n":     `(U+2028)`,
		"- name: A\n  email: \"a\\u200b@example.com\"\n": `the invisible character U+200B`,
	} {
		_, problems := contacts.Parse([]byte(content))
		if err := contacts.Err(problems); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%q): %v, want %q in it", content, err, want)
		}
	}
}

// Both forms mean the same, with everything that the contract allows in them.
func TestParseForms(t *testing.T) {
	t.Parallel()
	original := mustParse(t, "- name: Ada Lovelace\n  email: Ada@Example.com\n- email: bob@example.com\n  name: bob@example.com\n")
	want := contacts.File{Contacts: []contactsync.Contact{
		{Name: "Ada Lovelace", Email: "ada@example.com", Line: 1},
		{Name: "bob@example.com", Email: "bob@example.com", Line: 3},
	}}
	if !reflect.DeepEqual(original, want) {
		t.Errorf("original form: got %+v, want %+v", original, want)
	}

	extended := mustParse(t, `# who may open tickets
organization: 380989798980     # optional
contacts:
  - name: Ada Lovelace
    email: ada@example.com
    previously: Ada@old.example.com
    expires: 2027-01-31
    position: CTO
    manager: true
    phone: "+44 20 7946 0000"
  - {name: Bob, email: bob@example.com, manager: "false"}
`)
	want = contacts.File{Organization: "380989798980", Contacts: []contactsync.Contact{
		{Name: "Ada Lovelace", Email: "ada@example.com", Previously: "ada@old.example.com", Expires: "2027-01-31",
			Position: "CTO", Manager: true, Phone: "+44 20 7946 0000", Line: 4},
		{Name: "Bob", Email: "bob@example.com", Line: 11},
	}}
	if !reflect.DeepEqual(extended, want) {
		t.Errorf("extended form: got %+v, want %+v", extended, want)
	}
}

// A value that YAML would turn into something else is taken as the text that was written.
func TestParseTakesTextAsWritten(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]string{
		"No": "No", "yes": "yes", "on": "on", "true": "true", "123": "123", "0123": "0123", "0x1F": "0x1F", "1e3": "1e3",
		"1_000": "1_000", ".inf": ".inf", "12:30:45": "12:30:45", "2024-01-01": "2024-01-01", "2024-01-01T10:00:00Z": "2024-01-01T10:00:00Z",
		`"null"`: "null", `'~'`: "~", `"~"`: "~", "!!str ~": "~", "!!str 123": "123", "=": "=",
		`"  Ada  "`: "Ada", "'O''Brien'": "O'Brien", `"a \"b\""`: `a "b"`, "O'Brien \"Bob\"": "O'Brien \"Bob\"", "Ada   Lovelace": "Ada   Lovelace",
		"Ada # CTO": "Ada", "Ada#CTO": "Ada#CTO", "|\n    Ada": "Ada", ">\n    Ada\n    Lovelace": "Ada Lovelace", "Ada\n    Lovelace": "Ada Lovelace",
		"👩\u200d🚀": "👩\u200d🚀", "دانش\u200cآموز": "دانش\u200cآموز", "\u200fعدا": "\u200fعدا", "e\u0301": "e\u0301",
		strings.Repeat("x", 255): strings.Repeat("x", 255),
	} {
		file := mustParse(t, "- name: "+written+"\n  email: ada@example.com\n")
		if got := file.Contacts[0].Name; got != want {
			t.Errorf("name: %s is read as %q, want %q", written, got, want)
		}
	}
	file := mustParse(t, "organization: 0123\ncontacts:\n- name: Ada\n  email: ada@example.com\n  phone: 0012\n  position: 1e3\n")
	if file.Organization != "0123" || file.Contacts[0].Phone != "0012" || file.Contacts[0].Position != "1e3" {
		t.Errorf("got %+v", file)
	}
}

// Addresses that mail can reach are taken, in normal form; others are refused.
func TestAddresses(t *testing.T) {
	t.Parallel()
	local64, label63 := strings.Repeat("l", 64), strings.Repeat("d", 63)
	long := func(n int) string { // an address of n octets
		rest := n - len(local64) - 1 - 2*(len(label63)+1)
		return local64 + "@" + label63 + "." + label63 + "." + strings.Repeat("c", rest)
	}
	for text, want := range map[string]contactsync.Email{
		"ada@example.com":                 "ada@example.com",
		" Ada.Lovelace+Tag@Example.COM ":  "ada.lovelace+tag@example.com",
		"o'brien@example.com":             "o'brien@example.com",
		"!#$%&'*+-/=?^_`{|}~@example.com": "!#$%&'*+-/=?^_`{|}~@example.com",
		"a@b-c.d2.example":                "a@b-c.d2.example",
		"a@1.example.com":                 "a@1.example.com",
		"a@ab--cd.example":                "a@ab--cd.example",
		"ada@BÜCHER.example":              "ada@xn--bcher-kva.example",
		"ada@xn--bcher-kva.example":       "ada@xn--bcher-kva.example",
		"jörg@例え.jp":                      "jörg@xn--r8jz45g.jp",
		long(254):                         contactsync.Email(long(254)),
		"Ada@Example.com\n":               "ada@example.com",
		"a@example.museum":                "a@example.museum",
		"a@example.xn--p1ai":              "a@example.xn--p1ai",
		"12345@example.com":               "12345@example.com",
	} {
		file, problems := contacts.Parse(entry("A", text))
		if err := contacts.Err(problems); err != nil {
			t.Errorf("%q: %v", text, err)
		} else if got := file.Contacts[0].Email; got != want {
			t.Errorf("%q is read as %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{
		"ada", "@example.com", "ada@", "ada@example", "ada@.com", "ada@example.", "ada@example..com", "ada@@example.com", "a@b@example.com",
		"ada lovelace@example.com", "ada@exam ple.com", "ada@-example.com", "ada@example-.com", "ada@exa_mple.com", "ada@example.com.",
		"ada@[127.0.0.1]", "ada@127.0.0.1", "ada@[IPv6:::1]", "ada@example.123", "ada@localhost",
		".ada@example.com", "ada.@example.com", "a..da@example.com", `"ada"@example.com`, `"a b"@example.com`, "a(b)@example.com", "a,b@example.com",
		"Ada <ada@example.com>", "<ada@example.com>", "mailto:ada@example.com", "ada@example.com;", "ada@example.com, bob@example.com",
		"l" + local64 + "@example.com", "ada@d" + label63 + ".com", long(255), strings.Repeat("ü", 33) + "@example.com",
		"ada@xn--a.example", "ada@\u00adexample.com", "ada\u200b@example.com", "ada@example.com\u200b", "🙂@example.com", "ada@🙂.example",
		"ada@例え。jp", "a\tb@example.com", "ada@example.com\nbob@example.com", "ada@ex\u202eample.com", "ada@" + strings.Repeat("ü", 60) + ".example",
	} {
		_, problems := contacts.Parse(entry("A", text))
		if len(problems) != 1 || problems[0].Rule != contacts.RuleEmailInvalid {
			t.Errorf("%q: got %v, want email-invalid", text, problems)
		}
	}
}

// entry writes a file of one contact; JSON strings are YAML strings.
func entry(name, email string) []byte {
	return fmt.Appendf(nil, "- name: %s\n  email: %s\n", quoted(name), quoted(email))
}

// quoted writes a text as a JSON string in which control characters are escaped, as YAML wants them.
func quoted(text string) string {
	encoded, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string always encodes
	}
	return strings.ReplaceAll(string(encoded), "\u0085", `\u0085`)
}

// A byte-order mark, CRLF and CR are read like plain lines, with the same positions, also beyond the library's buffers.
func TestLineBreaks(t *testing.T) {
	t.Parallel()
	content := manyContacts(4000)
	want := mustParse(t, content)
	for name, variant := range map[string]string{
		"byte-order mark": "\ufeff" + content,
		"CRLF":            strings.ReplaceAll(content, "\n", "\r\n"),
		"CR":              strings.ReplaceAll(content, "\n", "\r"),
		"marks":           "---\n" + content + "...\n",
	} {
		got := mustParse(t, variant)
		if name == "marks" {
			for i := range got.Contacts {
				got.Contacts[i].Line--
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: the file reads differently", name)
		}
	}
}

// The limit of contacts itself is allowed.
func TestMaxContacts(t *testing.T) {
	t.Parallel()
	file := mustParse(t, manyContacts(contacts.MaxContacts))
	if len(file.Contacts) != contacts.MaxContacts {
		t.Errorf("got %d contacts", len(file.Contacts))
	}
	padded := "- name: A\n  email: a@example.com\n#"
	mustParse(t, padded+strings.Repeat("x", contacts.MaxBytes-len(padded)))
}

// Thousands of problems are listed up to a limit, and beyond it counted for each rule.
func TestManyProblems(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for range 3000 {
		b.WriteString("- name: A\n  email: a@example\n  foo: x\n")
	}
	b.WriteString("- 5\n")
	_, problems := contacts.Parse([]byte(b.String()))
	checkProblems(t, []byte(b.String()), problems)
	// 500 entries of two problems each are listed; then the first of each rule stands for the rest.
	if len(problems) != 1003 {
		t.Fatalf("got %d problems", len(problems))
	}
	want := []struct {
		finding
		message string
	}{
		{finding{1502, 10, "email-invalid"}, "There are 2499 more problems of this kind further on."},
		{finding{1503, 3, "key-unknown"}, "There are 2499 more problems of this kind further on."},
		{finding{9001, 3, "shape"}, "This entry is not a set of keys."},
	}
	for i, w := range want {
		p := problems[1000+i]
		if (finding{p.Line, p.Column, p.Rule}) != w.finding || !strings.Contains(p.Message, w.message) {
			t.Errorf("got %v, want %v", p, w)
		}
	}
	// 20 lines and 100 problems, and the others of 3,000 × 2 + 1.
	err := contacts.Err(problems)
	if !strings.HasSuffix(err.Error(), "(key-unknown)\nand 5981 more") {
		t.Errorf("Err ends with %q", err.Error()[len(err.Error())-200:])
	}
	if failure := contactsync.FailureOf(err); len(failure.Problems) != 100 || failure.Unlisted != 5901 {
		t.Errorf("Err has %d problems, and %d more", len(failure.Problems), failure.Unlisted)
	}
}

// Err is nil without errors, has the class of the first error, and lists all of them with their places and corrections.
func TestErr(t *testing.T) {
	t.Parallel()
	if err := contacts.Err(nil); err != nil {
		t.Errorf("no problems: %v", err)
	}
	warning := contacts.Problem{Line: 1, Column: 1, Rule: "x", Severity: contacts.SeverityWarning, Class: contactsync.ClassInternal}
	if err := contacts.Err([]contacts.Problem{warning}); err != nil {
		t.Errorf("a warning: %v", err)
	}
	_, problems := contacts.Parse([]byte("- name: A\n  email: a@example\n  foo: x\n  manager: yes\n"))
	err := contacts.Err(append([]contacts.Problem{warning}, problems...))
	var classed *contactsync.Error
	if !errors.As(err, &classed) || classed.Class != contactsync.ClassEmailInvalid {
		t.Fatalf("got %v", err)
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 3 || !strings.HasPrefix(lines[0], "contacts.yaml line 2, column 10: ") || !strings.HasSuffix(lines[0], " (email-invalid)") ||
		!strings.HasPrefix(lines[1], "contacts.yaml line 3, column 3: ") || !strings.HasSuffix(lines[1], " (key-unknown)") {
		t.Errorf("got %q", err)
	}
	want := make([]contactsync.FileProblem, len(problems))
	for i, p := range problems {
		want[i] = contactsync.FileProblem{Line: p.Line, Column: p.Column, Rule: p.Rule, Class: p.Class, Message: p.Message, Corrected: p.Corrected}
	}
	if !slices.Equal(classed.Problems, want) || classed.Unlisted != 0 || want[2].Corrected != "  manager: true" {
		t.Errorf("got %+v and %d more, want %+v", classed.Problems, classed.Unlisted, want)
	}
}

// The JSON of a problem has the names that the contract fixes.
func TestProblemJSON(t *testing.T) {
	t.Parallel()
	_, problems := contacts.Parse([]byte("[]"))
	encoded, err := json.Marshal(problems[0])
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(encoded, &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "message")
	want := map[string]any{"line": 1.0, "column": 1.0, "rule": "contacts-empty", "severity": "error", "error": "file_empty"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}

	_, problems = contacts.Parse([]byte("- name: Ada\n  email: ada@example,com\n"))
	if encoded, err = json.Marshal(problems[0]); err != nil || !strings.Contains(string(encoded), `"corrected":"  email: ada@example.com"`) {
		t.Errorf("got %s %v", encoded, err)
	}
}

// Files made to be slow or large are answered all the same, with a bounded list of problems.
func TestBombs(t *testing.T) {
	t.Parallel()
	pieces := []string{
		"a:\n", "{", "[a, ", "{a: ", "? ", "- ", "-\n", "[", "a: b\n", ": ", "- &a x\n", "&a ", "- *a\n", "*a ", "!", "- a # b\n# c\n", "<<: x\n", "#\n", "!a ",
		"\n", "\r", " ", "\t", "\"", "'", "'a' ", "---\n", "...\n", "%a\n", "a", "ab\n", "[],", ",", "|\n", ">\n", "\\", "\u2028", "\x00", "\xff\n", "é", "}\n\n",
	}
	bomb := func(lead, piece string, size int) {
		content := []byte(lead + strings.Repeat(piece, (size-len(lead))/len(piece)))
		_, problems := contacts.Parse(content)
		if len(problems) == 0 || len(problems) > 1000+len(contacts.Rules()) {
			t.Errorf("%q after %q: %d problems", piece, lead, len(problems))
		}
		checkProblems(t, content, problems)
	}
	for i, piece := range pieces {
		size := contacts.MaxBytes / 16
		if i%5 == 0 {
			size = contacts.MaxBytes // some in full: all of them take too long with the race detector
		}
		bomb("", piece, size)
		for _, lead := range []string{"- &a x\n", "[", "- >\n ", "contacts:\n", "- name: A\n  email: \"a\" b\n", "- {<<: *a}\n"} {
			bomb(lead, piece, contacts.MaxBytes/64)
		}
	}
}

// checkProblems verifies what holds for the problems of any content.
func checkProblems(t interface {
	Helper()
	Errorf(string, ...any)
}, content []byte, problems []contacts.Problem,
) {
	t.Helper()
	text := strings.TrimPrefix(string(content), "\ufeff")
	lines := strings.Split(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n"), "\n")
	previous := contacts.Problem{}
	for _, p := range problems {
		switch {
		case p.Line < 1 || p.Line > len(lines):
			t.Errorf("%v is outside of the %d lines", p, len(lines))
		case p.Column < 1 || p.Column > utf8.RuneCountInString(lines[p.Line-1])+1:
			t.Errorf("%v is outside of its line %q", p, lines[p.Line-1])
		}
		if p.Line < previous.Line || p.Line == previous.Line && p.Column < previous.Column {
			t.Errorf("%v comes after %v", p, previous)
		}
		if p.Severity != contacts.SeverityError || p.Message == "" || !slices.ContainsFunc(contacts.Rules(), func(r contacts.Rule) bool { return r.ID == p.Rule && r.Class == p.Class }) {
			t.Errorf("%+v is not a problem as documented", p)
		}
		previous = p
	}
}
