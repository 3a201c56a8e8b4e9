package contacts_test

import (
	"strings"
	"testing"

	"contactsync/contacts"
)

// The figure to reach: parse and validate 5,000 contacts in at most 50 ms.
func BenchmarkParse5000(b *testing.B) {
	content := []byte(manyContacts(contacts.MaxContacts))
	b.ReportAllocs()
	for b.Loop() {
		if _, problems := contacts.Parse(content); len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}

func BenchmarkRender5000(b *testing.B) {
	file, _ := contacts.Parse([]byte(manyContacts(contacts.MaxContacts)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := contacts.Render(file); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadCSV5000(b *testing.B) {
	rows := strings.NewReplacer("- name: ", "", "\n  email: ", ",").Replace(manyContacts(contacts.MaxContacts))
	content := []byte("name,email\n" + rows)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := contacts.ReadCSV(content); err != nil {
			b.Fatal(err)
		}
	}
}

// A file that cannot be read at all is parsed several times to find the place.
func BenchmarkParseSyntaxError(b *testing.B) {
	content := []byte(manyContacts(contacts.MaxContacts) + "  }\n- name: A\n")
	b.ReportAllocs()
	for b.Loop() {
		if _, problems := contacts.Parse(content); len(problems) != 1 {
			b.Fatal(problems)
		}
	}
}
