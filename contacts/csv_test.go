package contacts_test

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"

	"contactsync"
	"contactsync/contacts"
)

var (
	ada = contactsync.Contact{Name: "Ada Lovelace", Email: "ada@example.com"}
	bob = contactsync.Contact{Name: "Bob", Email: "bob@example.com"}
)

func encodeUTF16(text string, order binary.AppendByteOrder) []byte {
	var out []byte
	for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
		out = order.AppendUint16(out, unit)
	}
	return out
}

// Tables are read as the programs of this world write them.
func TestReadCSV(t *testing.T) {
	t.Parallel()
	comma := contactsync.Contact{Name: "Lovelace, Ada", Email: "ada@example.com"}
	both := []contactsync.Contact{ada, bob}
	for name, tc := range map[string]struct {
		content string
		want    []contactsync.Contact
	}{
		"plain":                   {"name,email\nAda Lovelace,ada@example.com\nBob,bob@example.com\n", both},
		"search export":           {"\"Query: type:user organization:42 email:*@example.com\"\n\n\"name\",\"email\"\n\"Ada Lovelace\",\"ada@example.com\"\n\"Bob\",\"bob@example.com\"\n", both},
		"search export, unquoted": {"Query: type:user \"Example Inc\"\r\n\r\n\"name\",\"email\"\r\n\"Ada Lovelace\",\"ada@example.com\"\r\n\r\n\"Bob\",\"bob@example.com\"\r\n", both},
		"search export, columns":  {"Query,type:user\nname,email\nAda Lovelace,ada@example.com\n", []contactsync.Contact{ada}},
		"more columns":            {"Id,Name,Role,Email,Tags\n1,Ada Lovelace,end-user,ada@example.com,\"a,b\"\n2,Bob,end-user,bob@example.com,\n", both},
		"semicolons":              {"Name;E-Mail\nLovelace, Ada;ada@example.com\n", []contactsync.Contact{comma}},
		"tabs":                    {"Full name\tE-mail address\nLovelace, Ada\tada@example.com\n", []contactsync.Contact{comma}},
		"commas in quotes":        {"name,email\n\"Lovelace, Ada\",ada@example.com\n", []contactsync.Contact{comma}},
		"quotes in quotes":        {"name,email\n\"Robert \"\"Bob\"\" Smith\",bob@example.com\n", []contactsync.Contact{{Name: `Robert "Bob" Smith`, Email: "bob@example.com"}}},
		"byte-order mark":         {"\ufeff\"name\",\"email\"\r\nAda Lovelace,ada@example.com\r\nBob,bob@example.com\r\n", both},
		"CR alone":                {"name,email\rAda Lovelace,ada@example.com\rBob,bob@example.com", both},
		"separator line":          {"sep=;\nname;email\nAda Lovelace;ada@example.com\n", []contactsync.Contact{ada}},
		"title above":             {"Contacts of Example Inc. \"2026\"\n\nname,email\nAda Lovelace,ada@example.com\n", []contactsync.Contact{ada}},
		"first and last name":     {"First Name,Middle Name,Last Name,E-mail Address,E-mail 2 Address\nAda,,Lovelace,ada@example.com,x@example.com\nBob,,,bob@example.com,\n", both},
		"full name preferred":     {"Given Name,Family Name,Display Name,Mail\nA,L,Ada Lovelace,ada@example.com\nBob,,,bob@example.com\n", both},
		"Google":                  {"Name,Given Name,Family Name,E-mail 1 - Type,E-mail 1 - Value\nAda Lovelace,Ada,Lovelace,*,ada@example.com\n", []contactsync.Contact{ada}},
		"addresses alone":         {"EMAIL\nada@example.com\n", []contactsync.Contact{{Name: "ada@example.com", Email: "ada@example.com"}}},
		"blank name":              {"name,email\n  ,Ada@Example.com\n", []contactsync.Contact{{Name: "ada@example.com", Email: "ada@example.com"}}},
		"blank rows":              {"name,email\n,\n\nAda Lovelace,ada@example.com\n , \n", []contactsync.Contact{ada}},
		"line break in a cell":    {"name,email\n\"Ada\nLovelace\",ada@example.com\n", []contactsync.Contact{ada}},
		"short and long rows":     {"email,name\nada@example.com\nbob@example.com,Bob,x\n", []contactsync.Contact{{Name: "ada@example.com", Email: "ada@example.com"}, bob}},
		"UTF-16 little":           {string(encodeUTF16("Name\tE-mail\r\nAda Lovelace\tada@example.com\r\n", binary.LittleEndian)), []contactsync.Contact{ada}},
		"UTF-16 big":              {string(encodeUTF16("Name\tE-mail\r\nJörg 🙂\tada@example.com\r\n", binary.BigEndian)), []contactsync.Contact{{Name: "Jörg 🙂", Email: "ada@example.com"}}},
	} {
		got, err := contacts.ReadCSV([]byte(tc.content))
		if err != nil || len(got.Dropped) > 0 || !reflect.DeepEqual(got.Contacts, tc.want) {
			t.Errorf("%s: got %+v %v, want %+v", name, got, err, tc.want)
		}
	}
}

// Rows that give no contact are named with their line and the reason; the order of the others stays.
func TestReadCSVDropped(t *testing.T) {
	t.Parallel()
	got, err := contacts.ReadCSV([]byte("Query: x\n\nname,email\nBob,bob@example.com\nNobody,\n\"Two\nLines\",two@example\nAda Lovelace,ada@example.com\nRobert,BOB@example.com\nname,email\nCat,Cat <cat@example.com>\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []contactsync.Contact{bob, ada}; !reflect.DeepEqual(got.Contacts, want) {
		t.Errorf("got %+v, want %+v", got.Contacts, want)
	}
	want := []struct {
		row          int
		text, reason string
	}{
		{5, "Nobody", "no e-mail address"},
		{6, "Two\nLines two@example", "there is no dot"},
		{9, "Robert BOB@example.com", "on row 4 already"},
		{10, "name email", `it has no "@"`},
		{11, "Cat Cat <cat@example.com>", `Write the address alone: "cat@example.com"`},
	}
	if len(got.Dropped) != len(want) {
		t.Fatalf("got %+v", got.Dropped)
	}
	for i, w := range want {
		if d := got.Dropped[i]; d.Row != w.row || d.Text != w.text || !strings.Contains(d.Reason, w.reason) {
			t.Errorf("got %+v, want %+v", d, w)
		}
	}
}

// What is no table of contacts is a named error with a remedy of its own, and never a shorter list.
func TestReadCSVErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		content string
		class   contactsync.Class
		want    string
	}{
		"empty":              {"", contactsync.ClassFileEmpty, "is empty"},
		"blank":              {"\ufeff \r\n", contactsync.ClassFileEmpty, "is empty"},
		"header alone":       {"name,email\n", contactsync.ClassFileEmpty, "no contacts below"},
		"every row dropped":  {"name,email\nAda,\n", contactsync.ClassFileEmpty, "row 2: It has no e-mail address"},
		"no header":          {"Ada,ada@example.com\nname,email\n", contactsync.ClassContactInvalid, "row 1"},
		"contact above":      {"Contacts\nAda,ada@example.com\nname,email\nBob,bob@example.com\n", contactsync.ClassContactInvalid, "row 2"},
		"no address column":  {"name,phone\nAda,1\n", contactsync.ClassContactInvalid, "no row"},
		"bare quote":         {"name,email\nAda,ada@example.com\nRobert \"Bob\" Smith,bob@example.com\n", contactsync.ClassContactInvalid, "row 3"},
		"quote never closed": {"name,email\nAda,ada@example.com\n\"Bob,bob@example.com\nCat,cat@example.com\n", contactsync.ClassContactInvalid, "row 3"},
		"text after a quote": {"Query: x\nname,email\n\"Bob\" Smith,bob@example.com\n", contactsync.ClassContactInvalid, "row 3"},
		"Latin-1":            {"name,email\nJ\xf6rg,joerg@example.com\n", contactsync.ClassContactInvalid, "row 2 of the CSV file is not UTF-8 (octet 0xF6)"},
		"UTF-16 unmarked":    {"n\x00a\x00m\x00e\x00", contactsync.ClassContactInvalid, "UTF-16"},
		"spreadsheet":        {"PK\x03\x04\x00\x00", contactsync.ClassContactInvalid, "no text"},
		"too large":          {strings.Repeat("x", contacts.MaxCSVBytes+1), contactsync.ClassFileTooLarge, "the limit is"},
	} {
		got, err := contacts.ReadCSV([]byte(tc.content))
		var classed *contactsync.Error
		if !errors.As(err, &classed) || classed.Class != tc.class || !strings.Contains(err.Error(), tc.want) || classed.Remedy == "" {
			t.Errorf("%s: got %v (%s), want %s with %q and a remedy", name, err, contactsync.ClassOf(err), tc.class, tc.want)
		}
		if len(got.Contacts) > 0 {
			t.Errorf("%s: got contacts with the error: %+v", name, got.Contacts)
		}
		if name == "every row dropped" && len(got.Dropped) != 1 {
			t.Errorf("%s: got %+v", name, got.Dropped)
		}
	}
}

// A table written with any separator, encoding and line ends gives the contacts that went in, in their order.
func TestReadCSVRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		file := anyFile().Draw(t, "file")
		var table bytes.Buffer
		table.WriteString(rapid.SampledFrom([]string{"", "Query: \"x\" a@example.com\n\n", "\n", "Title\n"}).Draw(t, "lead"))
		writer := csv.NewWriter(&table)
		writer.Comma = rapid.SampledFrom([]rune{',', ';', '\t'}).Draw(t, "separator")
		writer.UseCRLF = rapid.Bool().Draw(t, "CRLF")
		rows := [][]string{{"Id", rapid.SampledFrom([]string{"name", "Full Name", "display_name"}).Draw(t, "heading"), "E-Mail", "Notes"}}
		var want []contactsync.Contact
		for _, c := range file.Contacts {
			rows = append(rows, []string{"1", c.Name, strings.ToUpper(string(c.Email)), "x, \"y\"; z"})
			want = append(want, contactsync.Contact{Name: c.Name, Email: c.Email})
		}
		if err := writer.WriteAll(rows); err != nil {
			t.Fatal(err)
		}
		content := table.Bytes()
		switch rapid.IntRange(0, 2).Draw(t, "encoding") {
		case 1:
			content = append([]byte("\ufeff"), content...)
		case 2:
			content = encodeUTF16(string(content), binary.LittleEndian)
		}
		got, err := contacts.ReadCSV(content)
		if err != nil || len(got.Dropped) > 0 || !reflect.DeepEqual(got.Contacts, want) {
			t.Fatalf("got %+v %v, want %+v from\n%s", got, err, want, content)
		}
		if _, err := contacts.Render(contacts.File{Contacts: got.Contacts}); err != nil {
			t.Fatalf("what was read does not render: %v", err)
		}
	})
}
