package contacts_test

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"contactsync"
	"contactsync/contacts"
)

// hostile holds texts that YAML readers take for something else, or trip over.
var hostile = []string{
	"No", "no", "YES", "y", "N", "on", "Off", "true", "False", "null", "Null", "~", "0123", "123", "0x1F", "0o17", "1e3", "1_000", "-1", "+1", ".5", ".inf", ".NaN",
	"12:30:45", "2024-01-01", "2024-01-01T10:00:00Z", "=", "<<", "-", "--", "---", "...", "- a", "? a", "?", ":", ": a", "a:", "a: b", "a :b", "#", "# a", "a # b", "a#b",
	"&a", "*a", "!a", "!!str a", "|", ">", "|a", "%a", "@a", "`a`", "'", "''", "'a'", "a'b", `"`, `""`, `"a"`, `a"b`, `\`, `\n`, `a\`, `\\`, "[a]", "[", "]", "{a: b}", "{", "}", ",", "a, b",
	"Ada, Countess of Lovelace", "O'Brien", "Robert \"Bob\" Smith", "Ada (CTO)", "R&D", "a/b", "a  b", "Müller-Lüdenscheidt", "e\u0301a", "山田 太郎", "Ngũgĩ wa Thiong'o",
	"🙂", "👩\u200d👩\u200d👧", "عدا لوفلايس", "עדה", "\u200fעדה\u200f", "دانش\u200cآموز", "\u200badmin\u200b", "a\u00a0b", "a\u3000b", "\u00adAda", "\ufffd", "\U000e0041", "\U0010fffd",
	"key: &a [*b, !c {d}] # e", "Ada\u2060", strings.Repeat("é", 255), "contacts:", "- name: x", "%YAML 1.2", "!<tag:example.com>", "0", "0.0", "1:2",
}

// anyName draws names that a file can hold: hostile ones, and any letters, marks, numbers, signs and joiners.
func anyName() *rapid.Generator[string] {
	visible := rapid.RuneFrom([]rune("abcXYZ019 -:#'\"\\&*!|>%@`,[]{}?~=+.\u200d\u200f\u00a0🙂"), unicode.L, unicode.M, unicode.N, unicode.P, unicode.S)
	built := rapid.Custom(func(t *rapid.T) string {
		// Sized to end up with no blanks at the ends and at most 255 characters.
		return strings.TrimSpace(rapid.StringOfN(visible, 1, 60, -1).Draw(t, "text"))
	}).Filter(func(s string) bool { return s != "" })
	return rapid.OneOf(rapid.SampledFrom(hostile), built)
}

// anyFile draws valid files in normal form.
func anyFile() *rapid.Generator[contacts.File] {
	return rapid.Custom(func(t *rapid.T) contacts.File {
		locals := rapid.StringMatching("[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,12}")
		domains := rapid.SampledFrom([]string{"example.com", "example.org", "xn--bcher-kva.example", "a-b.example.com"})
		extended := rapid.Bool().Draw(t, "extended")
		var file contacts.File
		if extended {
			file.Organization = rapid.OneOf(rapid.Just(""), rapid.StringMatching("[A-Za-z0-9][A-Za-z0-9_-]{0,63}"), rapid.SampledFrom([]string{"42", "0123", "No", "1e3", "2024-01-01", "99999999999999999999"})).Draw(t, "organization")
		}
		for i := range rapid.IntRange(1, 6).Draw(t, "size") {
			address := func(kind string) contactsync.Email {
				return contactsync.Email(fmt.Sprintf("%s.%s%d@%s", locals.Draw(t, "local"), kind, i, domains.Draw(t, "domain")))
			}
			c := contactsync.Contact{Name: anyName().Draw(t, "name"), Email: address("now")}
			if extended && rapid.Bool().Draw(t, "more") {
				c.Previously = rapid.SampledFrom([]contactsync.Email{"", address("was")}).Draw(t, "previously")
				c.Expires = rapid.SampledFrom([]contactsync.Date{"", "2027-01-31", "2028-02-29"}).Draw(t, "expires")
				c.Position = rapid.OneOf(rapid.Just(""), anyName()).Draw(t, "position")
				c.Manager = rapid.Bool().Draw(t, "manager")
				c.Phone = rapid.OneOf(rapid.SampledFrom([]string{"", "+44 20 7946 0000", "0012"}), anyName()).Draw(t, "phone")
			}
			file.Contacts = append(file.Contacts, c)
		}
		return file
	})
}

func withoutLines(file contacts.File) contacts.File {
	file.Contacts = append([]contactsync.Contact(nil), file.Contacts...)
	for i := range file.Contacts {
		file.Contacts[i].Line = 0
	}
	return file
}

// What is rendered reads back as the same file, and rendering that again changes nothing.
func TestRenderReadsBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		file := anyFile().Draw(t, "file")
		text, err := contacts.Render(file)
		if err != nil {
			t.Fatalf("Render: %v", err)
		}
		back, problems := contacts.Parse(text)
		if len(problems) > 0 {
			t.Fatalf("%v in\n%s", problems, text)
		}
		if !reflect.DeepEqual(withoutLines(back), file) {
			t.Fatalf("got %+v, want %+v, from\n%s", back, file, text)
		}
		checkFile(t, back)
		again, err := contacts.Render(back)
		if err != nil || string(again) != string(text) {
			t.Fatalf("rendered again: %v\n%s\nfirst:\n%s", err, again, text)
		}
	})
}

// Every hostile name reads back as it is, and another YAML reader takes each rendered text for a text too.
func TestRenderHostileNames(t *testing.T) {
	t.Parallel()
	var file contacts.File
	for i, name := range hostile {
		file.Contacts = append(file.Contacts, contactsync.Contact{
			Name: name, Email: contactsync.Email(fmt.Sprintf("a%d@example.com", i)), Position: name, Phone: name,
		})
	}
	text, err := contacts.Render(file)
	if err != nil {
		t.Fatal(err)
	}
	back := mustParse(t, string(text))
	var generic struct{ Contacts []map[string]any }
	if err := yaml.Unmarshal(text, &generic); err != nil {
		t.Fatal(err)
	}
	for i, name := range hostile {
		if got := back.Contacts[i]; got.Name != name || got.Position != name || got.Phone != name {
			t.Errorf("%q reads back as %+v", name, got)
		}
		if got := generic.Contacts[i]; got["name"] != name || got["position"] != name {
			t.Errorf("%q is %#v to another reader", name, got["name"])
		}
	}
}

// Words that a reader of YAML 1.1 takes for truth values or for nothing are quoted, although our own reader does not mind.
func TestRenderQuotesWords(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"y", "Y", "n", "N", "yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF", "true", "True", "TRUE", "false", "False", "FALSE", "null", "Null", "NULL"} {
		text, err := contacts.Render(contacts.File{Contacts: []contactsync.Contact{{Name: word, Email: "a@example.com"}}})
		if want := "- name: \"" + word + "\"\n  email: a@example.com\n"; err != nil || string(text) != want {
			t.Errorf("got %v\n%s\nwant\n%s", err, text, want)
		}
	}
}

// The canonical form is fixed to the letter: people see it in their repositories, and its changes in their history.
func TestRenderForms(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		file contacts.File
		want string
	}{
		{
			contacts.File{Contacts: []contactsync.Contact{{Name: "Ada Lovelace", Email: "ada@example.com"}, {Name: "No", Email: "1@example.com"}}},
			"- name: Ada Lovelace\n  email: ada@example.com\n- name: \"No\"\n  email: \"1@example.com\"\n",
		},
		{
			contacts.File{Contacts: []contactsync.Contact{
				{Name: "Ada", Email: "ada@example.com", Previously: "a@example.org", Expires: "2027-01-31", Position: "CTO", Manager: true, Phone: "+44 20 7946 0000"},
				{Name: `Robert "Bob" \ Smith`, Email: "bob@example.com"},
			}},
			"contacts:\n  - name: Ada\n    email: ada@example.com\n    previously: a@example.org\n    expires: 2027-01-31\n    position: CTO\n    manager: true\n    phone: \"+44 20 7946 0000\"\n  - name: \"Robert \\\"Bob\\\" \\\\ Smith\"\n    email: bob@example.com\n",
		},
		{
			contacts.File{Organization: "380989798980", Contacts: []contactsync.Contact{{Name: "Ada", Email: "ada@example.com"}}},
			"organization: 380989798980\ncontacts:\n  - name: Ada\n    email: ada@example.com\n",
		},
		{
			contacts.File{Organization: "0123", Contacts: []contactsync.Contact{{Name: "Ada", Email: "ada@example.com"}}},
			"organization: \"0123\"\ncontacts:\n  - name: Ada\n    email: ada@example.com\n",
		},
	} {
		got, err := contacts.Render(tc.file)
		if err != nil || string(got) != tc.want {
			t.Errorf("got %v\n%s\nwant\n%s", err, got, tc.want)
		}
	}
}

// What a file cannot hold is an error of the class that reading it would give, and names the contact.
func TestRenderRefuses(t *testing.T) {
	t.Parallel()
	ada := contactsync.Contact{Name: "Ada", Email: "ada@example.com"}
	many := make([]contactsync.Contact, contacts.MaxContacts+1)
	for i := range many {
		many[i] = contactsync.Contact{Name: "A", Email: contactsync.Email(fmt.Sprintf("a%d@example.com", i))}
	}
	large := make([]contactsync.Contact, contacts.MaxContacts)
	for i := range large {
		large[i] = contactsync.Contact{Name: strings.Repeat("x", 255), Email: many[i].Email}
	}
	second := func(c contactsync.Contact) contacts.File {
		return contacts.File{Contacts: []contactsync.Contact{ada, c}}
	}
	for name, tc := range map[string]struct {
		file  contacts.File
		class contactsync.Class
		where string
	}{
		"nobody":               {contacts.File{}, contactsync.ClassFileEmpty, ""},
		"nobody, organization": {contacts.File{Organization: "1"}, contactsync.ClassFileEmpty, ""},
		"too many":             {contacts.File{Contacts: many}, contactsync.ClassFileTooLarge, ""},
		"too large":            {contacts.File{Contacts: large}, contactsync.ClassFileTooLarge, ""},
		"organization":         {contacts.File{Organization: "a b", Contacts: []contactsync.Contact{ada}}, contactsync.ClassOrganizationMismatch, ""},
		"blank name":           {second(contactsync.Contact{Name: " ", Email: "b@example.com"}), contactsync.ClassContactIncomplete, "contact 2"},
		"line break":           {second(contactsync.Contact{Name: "a\nb", Email: "b@example.com"}), contactsync.ClassContactInvalid, "contact 2"},
		"control character":    {second(contactsync.Contact{Name: "a\x00b", Email: "b@example.com"}), contactsync.ClassContactInvalid, "contact 2"},
		"NEL":                  {second(contactsync.Contact{Name: "a\u0085b", Email: "b@example.com"}), contactsync.ClassContactInvalid, "contact 2"},
		"line separator":       {second(contactsync.Contact{Name: "a\u2028b", Email: "b@example.com"}), contactsync.ClassContactInvalid, "contact 2"},
		"turned order":         {second(contactsync.Contact{Name: "a\u202eb", Email: "b@example.com"}), contactsync.ClassContactInvalid, "contact 2"},
		"byte-order mark":      {second(contactsync.Contact{Name: "\ufeffb", Email: "b@example.com"}), contactsync.ClassContactInvalid, "contact 2"},
		"not UTF-8":            {second(contactsync.Contact{Name: "a\xff", Email: "b@example.com"}), contactsync.ClassContactInvalid, "contact 2"},
		"surrounding blanks":   {second(contactsync.Contact{Name: "b ", Email: "b@example.com"}), contactsync.ClassContactInvalid, "contact 2"},
		"long name":            {second(contactsync.Contact{Name: strings.Repeat("b", 256), Email: "b@example.com"}), contactsync.ClassContactInvalid, "contact 2"},
		"no address":           {second(contactsync.Contact{Name: "b"}), contactsync.ClassContactIncomplete, "contact 2"},
		"bad address":          {second(contactsync.Contact{Name: "b", Email: "b@example"}), contactsync.ClassEmailInvalid, "contact 2"},
		"address as typed":     {second(contactsync.Contact{Name: "b", Email: "B@example.com"}), contactsync.ClassContactInvalid, "contact 2"},
		"twice":                {second(ada), contactsync.ClassContactDuplicate, "contact 2"},
		"no date":              {second(contactsync.Contact{Name: "b", Email: "b@example.com", Expires: "soon"}), contactsync.ClassContactInvalid, "contact 2"},
		"phone":                {second(contactsync.Contact{Name: "b", Email: "b@example.com", Phone: "1\t2"}), contactsync.ClassContactInvalid, "contact 2"},
	} {
		text, err := contacts.Render(tc.file)
		var classed *contactsync.Error
		if !errors.As(err, &classed) || classed.Class != tc.class || !strings.Contains(err.Error(), tc.where) || text != nil {
			t.Errorf("%s: got %v (%s), want %s", name, err, contactsync.ClassOf(err), tc.class)
		}
	}
}

// Whatever the values, rendering gives an error or a text that reads back the same.
func TestRenderAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom(hostile), rapid.SampledFrom([]string{"", " a", "a\n", "\x85", "a\u2029"}))
		file := contacts.File{
			Organization: rapid.OneOf(rapid.Just(""), text).Draw(t, "organization"),
			Contacts: []contactsync.Contact{{
				Name: text.Draw(t, "name"), Email: contactsync.Email(rapid.OneOf(rapid.Just("a@example.com"), text).Draw(t, "email")),
				Position: text.Draw(t, "position"), Expires: contactsync.Date(rapid.OneOf(rapid.Just(""), text).Draw(t, "expires")),
			}},
		}
		rendered, err := contacts.Render(file)
		if err != nil {
			if contactsync.ClassOf(err) == contactsync.ClassInternal {
				t.Fatalf("%+v: %v", file, err)
			}
			return
		}
		back, problems := contacts.Parse(rendered)
		if len(problems) > 0 || !reflect.DeepEqual(withoutLines(back), file) {
			t.Fatalf("got %+v %v, want %+v", back, problems, file)
		}
	})
}

// A cleaned name always fits into a file, and a name that fits is left alone.
func TestCleanName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"": "ada@example.com", " \n\t": "ada@example.com", "\u202e\x00": "ada@example.com", "  Ada ": "Ada", "Ada\r\nLovelace": "Ada Lovelace", "Ada\tLovelace": "Ada Lovelace",
		"Ada \n Lovelace": "Ada  Lovelace", "A\u202eda": "Ada", "\ufeffAda": "Ada", "a\xffb": "a\ufffdb",
		strings.Repeat("é", 300): strings.Repeat("é", 255), strings.Repeat("x", 254) + "\ny": strings.Repeat("x", 254),
	} {
		if got := contacts.CleanName(name, "ada@example.com"); got != want {
			t.Errorf("CleanName(%q) = %q, want %q", name, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "name")
		clean := contacts.CleanName(name, "ada@example.com")
		if _, err := contacts.Render(contacts.File{Contacts: []contactsync.Contact{{Name: clean, Email: "ada@example.com"}}}); err != nil {
			t.Fatalf("%q is cleaned to %q: %v", name, clean, err)
		}
		if again := contacts.CleanName(clean, "ada@example.com"); again != clean {
			t.Fatalf("%q is cleaned to %q and then to %q", name, clean, again)
		}
		if fitting := anyName().Draw(t, "fitting"); contacts.CleanName(fitting, "") != fitting {
			t.Fatalf("%q is not left alone", fitting)
		}
	})
}

// An address is listable exactly when a file with it is valid.
func TestListable(t *testing.T) {
	t.Parallel()
	for email, want := range map[contactsync.Email]bool{
		"ada@example.com": true, "a+b@xn--bcher-kva.example": true,
		"": false, "ada": false, "ada@localhost": false, " ada@example.com": false, `"a b"@example.com`: false, "ada@[127.0.0.1]": false,
	} {
		_, err := contacts.Render(contacts.File{Contacts: []contactsync.Contact{{Name: "A", Email: email}}})
		if got := contacts.Listable(email); got != want || (err == nil) != want {
			t.Errorf("Listable(%q) = %t, want %t; Render: %v", email, got, want, err)
		}
	}
}

// checkFile verifies what the documentation of Parse promises of a file without errors.
func checkFile(t interface {
	Helper()
	Errorf(string, ...any)
}, file contacts.File,
) {
	t.Helper()
	if n := len(file.Contacts); n < 1 || n > contacts.MaxContacts {
		t.Errorf("%d contacts", n)
	}
	seen := make(map[contactsync.Email]bool)
	line := 0
	for _, c := range file.Contacts {
		for _, text := range []string{c.Name, c.Position, c.Phone} {
			if strings.TrimSpace(text) != text || utf8.RuneCountInString(text) > 255 || strings.ContainsFunc(text, unicode.IsControl) || strings.ContainsAny(text, "\u2028\u2029\u202e") || !utf8.ValidString(text) {
				t.Errorf("%q is no line of visible text", text)
			}
		}
		email := string(c.Email)
		if c.Name == "" || seen[c.Email] || contactsync.NormalizeEmail(email) != c.Email || strings.Count(email, "@") != 1 ||
			!strings.Contains(c.Email.Domain(), ".") || len(email) > 254 || strings.ContainsAny(email, " \t\r\n<>,;") {
			t.Errorf("%+v is no contact", c)
		}
		if c.Previously != "" && (c.Previously == c.Email || contactsync.NormalizeEmail(string(c.Previously)) != c.Previously) {
			t.Errorf("%+v was somebody else", c)
		}
		if c.Line < line {
			t.Errorf("%+v begins before the contact above it", c)
		}
		seen[c.Email], line = true, c.Line
	}
	for _, c := range file.Contacts {
		if seen[c.Previously] {
			t.Errorf("%s is and was a contact", c.Previously)
		}
	}
}
