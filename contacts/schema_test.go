package contacts_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"

	"contactsync/contacts"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(contacts.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	if err := compiler.AddResource("urn:contactsync:schema:contacts", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("urn:contactsync:schema:contacts")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// document writes a value as JSON, which is YAML when control characters are escaped.
func document(value any) []byte {
	encoded, err := json.Marshal(value)
	if err != nil {
		panic(err) // the tests build their values from what encodes
	}
	for r := rune(0x7f); r <= 0x9f; r++ {
		encoded = bytes.ReplaceAll(encoded, []byte(string(r)), fmt.Appendf(nil, `\u%04x`, r))
	}
	return encoded
}

// judge returns what the schema and what the parser say about the same document.
func judge(t interface{ Fatalf(string, ...any) }, schema *jsonschema.Schema, content []byte) (bySchema, byParser error) {
	instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(content))
	if err != nil {
		t.Fatalf("%s: %v", content, err)
	}
	_, problems := contacts.Parse(content)
	return schema.Validate(instance), contacts.Err(problems)
}

type object = map[string]any

// The values that the table and the generator try for each key: those that are valid first.
var (
	lineValues  = []any{"Ada", " Ada ", "No", "null", "~", 123, 1.5, true, strings.Repeat("é", 255), "Ada\n", "a b  c", "🙂👩\u200d🚀", "עדה", "\u200fa", "a\u0085", "\u3000a\u2028"}
	lineFaults  = []any{nil, "", " ", "\n", "a\nb", "a\x00b", "a\u0085b", "a\u2028b", "\u202ea", "a\u2066", "\ufeffa", "a\ufeff", "a\ufdd0", strings.Repeat("é", 256), []any{}, []any{"Ada"}, object{}, object{"a": "b"}}
	emailFaults = []any{nil, "", " ", 5, true, []any{"a@example.com"}, object{}, "a", "@", "a@", "@example.com", "a@example", "a@b@example.com", "a b@example.com", "a@exa mple.com", "a@.com",
		"a@example.", "a@example..com", "a@-a.com", "a@a-.com", "a@a_b.com", "a@1.2.3.4", "a@[1.2.3.4]", "a@example.1com", ".a@example.com", "a.@example.com", "a..b@example.com", `"a"@example.com`,
		"Ada <a@example.com>", "mailto:a@example.com", "a@example.com,", "a\n@example.com", "a@example.com\nb", strings.Repeat("l", 65) + "@example.com", "a@" + strings.Repeat("d", 64) + ".com",
		"a@" + strings.Repeat("d.", 126) + "com", "🙂@example.com", "a@🙂.com", "a\u200b@example.com", "a@exam\u00adple.com"}
	dateValues         = []any{"2027-01-31", "2028-02-29", "0001-01-01"}
	dateFaults         = []any{nil, "", "2027-02-29", "2027-13-01", "2027-1-31", "31.01.2027", "2027-01-31T00:00:00Z", " 2027-01-31", "never", 20270131, true, []any{}, object{}}
	managerValues      = []any{true, false, "true", "false"}
	managerFaults      = []any{nil, "", "yes", "True", " true", 1, 0, []any{true}, object{}}
	organizationValues = []any{42, "42", "0123", "a-b_C", strings.Repeat("x", 64), 0, int64(380989798980), true}
	organizationFaults = []any{nil, "", " ", "a b", "-1", -1, "_a", "a.b", 1.5, strings.Repeat("x", 65), "ä", []any{1}, object{}}
)

// validEmails returns addresses that no other call with another number returns.
func validEmails(number int) []any {
	var emails []any
	for _, form := range []string{"a%d@example.com", " A%d@Example.COM ", "a.b+c%d@a-b.example.org", "o'brien%d@xn--bcher-kva.example", "%d@1.example.com", "jörg%d@example.com", "!#$%%&'*+-/=?^_`{|}~%d@example.com", "a%d@ab--cd.example"} {
		emails = append(emails, fmt.Sprintf(form, number))
	}
	return append(emails, fmt.Sprintf("%s@example.com", fmt.Sprintf("%064d", number)), fmt.Sprintf("a%d@%s.com", number, strings.Repeat("d", 63)))
}

// schemaTable holds documents by what both must say of them.
func schemaTable() (valid, invalid []any) {
	contact := func(key string, value any) object {
		c := object{"name": "Ada", "email": "ada@example.com"}
		c[key] = value
		return c
	}
	for key, values := range map[string][2][]any{
		"name": {lineValues, lineFaults}, "position": {lineValues, lineFaults}, "phone": {lineValues, lineFaults},
		"email": {validEmails(1), emailFaults}, "previously": {validEmails(2), emailFaults},
		"expires": {dateValues, dateFaults}, "manager": {managerValues, managerFaults},
	} {
		for _, value := range values[0] {
			valid = append(valid, []any{contact(key, value)}, object{"contacts": []any{contact(key, value)}})
		}
		for _, value := range values[1] {
			invalid = append(invalid, []any{contact(key, value)}, object{"contacts": []any{contact("name", "B"), contact(key, value)}})
		}
	}
	list := []any{contact("name", "Ada")}
	for _, value := range organizationValues {
		valid = append(valid, object{"organization": value, "contacts": list})
	}
	for _, value := range organizationFaults {
		invalid = append(invalid, object{"organization": value, "contacts": list})
	}
	full := make([]any, contacts.MaxContacts+1)
	for i := range full {
		full[i] = object{"name": "A", "email": fmt.Sprintf("a%d@example.com", i)}
	}
	valid = append(valid, full[1:])
	invalid = append(invalid, full,
		nil, "", "a", 1, true, []any{}, object{}, []any{nil}, []any{"a@example.com"}, []any{list}, []any{object{}}, list[0],
		[]any{object{"name": "Ada"}}, []any{object{"email": "ada@example.com"}}, []any{contact("Email", "x")}, []any{contact("organization", "1")},
		object{"contacts": nil}, object{"contacts": []any{}}, object{"contacts": list[0]}, object{"contacts": "a"}, object{"contacts": list, "name": "x"},
		object{"contact": list}, object{"organization": "1"}, object{"Contacts": list},
	)
	return valid, invalid
}

// Schema and parser agree about every document of a large table, and the table has it right.
func TestSchemaTable(t *testing.T) {
	t.Parallel()
	schema := compiledSchema(t)
	valid, invalid := schemaTable()
	for _, value := range valid {
		content := document(value)
		if bySchema, byParser := judge(t, schema, content); bySchema != nil || byParser != nil {
			t.Errorf("%.300s\nschema: %v\nparser: %v", content, bySchema, byParser)
		}
	}
	for _, value := range invalid {
		content := document(value)
		if bySchema, byParser := judge(t, schema, content); bySchema == nil || byParser == nil {
			t.Errorf("%.300s is not valid\nschema: %v\nparser: %v", content, bySchema, byParser)
		}
	}
}

// Schema and parser agree about any document that JSON can write, where addresses are distinct.
func TestSchemaAgreesWithParser(t *testing.T) {
	t.Parallel()
	schema := compiledSchema(t)
	rapid.Check(t, func(t *rapid.T) {
		number := 0
		// Mostly valid values, so that whole documents are valid often enough.
		draw := func(name string, values, faults []any) any {
			if rapid.IntRange(0, 19).Draw(t, name+" fault") == 0 {
				return rapid.SampledFrom(faults).Draw(t, name)
			}
			return rapid.SampledFrom(values).Draw(t, name)
		}
		email := func(name string) any {
			number++
			return draw(name, validEmails(number), emailFaults)
		}
		text := func(name string) any {
			if rapid.Bool().Draw(t, name+" free") {
				return rapid.String().Draw(t, name)
			}
			return draw(name, lineValues, lineFaults)
		}
		var list []any
		for range rapid.IntRange(0, 3).Draw(t, "size") {
			c := object{"name": text("name"), "email": email("email")}
			for _, optional := range []struct {
				key  string
				draw func() any
			}{
				{"previously", func() any { return email("previously") }},
				{"expires", func() any { return draw("expires", dateValues, dateFaults) }},
				{"manager", func() any { return draw("manager", managerValues, managerFaults) }},
				{"position", func() any { return text("position") }},
				{"phone", func() any { return text("phone") }},
			} {
				if rapid.IntRange(0, 3).Draw(t, optional.key+" there") == 0 {
					c[optional.key] = optional.draw()
				}
			}
			switch rapid.IntRange(0, 39).Draw(t, "shape") {
			case 0:
				delete(c, "name")
			case 1:
				delete(c, "email")
			case 2:
				c[rapid.SampledFrom([]string{"Name", "emial", "", "contacts"}).Draw(t, "key")] = "x"
			}
			list = append(list, c)
		}
		var value any = list
		if rapid.Bool().Draw(t, "extended") {
			top := object{"contacts": list}
			if rapid.Bool().Draw(t, "has organization") {
				top["organization"] = draw("organization", organizationValues, organizationFaults)
			}
			value = top
		}
		content := document(value)
		bySchema, byParser := judge(t, schema, content)
		if (bySchema == nil) != (byParser == nil) {
			t.Fatalf("%s\nschema: %v\nparser: %v", content, bySchema, byParser)
		}
	})
}

// What a JSON Schema cannot say is known and listed: here the two are meant to differ, and nowhere else.
func TestSchemaKnownDifferences(t *testing.T) {
	t.Parallel()
	schema := compiledSchema(t)
	ada := `{"name": "Ada", "email": "ada@example.com"}`
	for reason, content := range map[string]string{
		"addresses are compared in normal form":        `[` + ada + `, {"name": "B", "email": "ADA@example.com"}]`,
		"two contacts with one earlier address":        `[{"name": "A", "email": "a@example.com", "previously": "c@example.com"}, {"name": "B", "email": "b@example.com", "previously": "c@example.com"}]`,
		"an earlier address that is the present one":   `[{"name": "A", "email": "a@example.com", "previously": "A@example.com"}]`,
		"an earlier address that is another contact's": `[` + ada + `, {"name": "B", "email": "b@example.com", "previously": "ada@example.com"}]`,
		"octets of international addresses":            `[{"name": "A", "email": "` + strings.Repeat("ü", 33) + `@example.com"}]`,
		"octets of international domains":              `[{"name": "A", "email": "a@` + strings.Repeat("ü", 60) + `.example"}]`,
		"validity of international domains":            `[{"name": "A", "email": "a@xn--a.example"}]`,
		"length of numbers":                            `[{"name": 1` + strings.Repeat("0", 255) + `, "email": "a@example.com"}]`,
		"integers written as fractions":                `{"organization": 1.0, "contacts": [` + ada + `]}`,
		"keys written twice":                           `[{"name": "B", "name": "Ada", "email": "ada@example.com"}]`,
		"the size of the file":                         `[` + ada + `]` + strings.Repeat(" ", contacts.MaxBytes),
	} {
		bySchema, byParser := judge(t, schema, []byte(content))
		if bySchema != nil || byParser == nil {
			t.Errorf("%s: schema: %v, parser: %v", reason, bySchema, byParser)
		}
	}
}

// Nobody can change the schema for others.
func TestSchemaIsACopy(t *testing.T) {
	t.Parallel()
	contacts.Schema()[0] = 'x'
	if !json.Valid(contacts.Schema()) {
		t.Error("the schema was changed through what Schema returned")
	}
}
