package contacts_test

import (
	"reflect"
	"testing"

	"contactsync"
	"contactsync/contacts"
)

// Whatever the octets, Parse does not panic, its problems lie in the file, and a file without errors is as documented
// and survives rendering. The corpus stands in testdata/fuzz/FuzzParse.
func FuzzParse(f *testing.F) {
	for _, tc := range problemCases {
		if len(tc.content) < 1000 {
			f.Add([]byte(tc.content))
		}
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		file, problems := contacts.Parse(content)
		checkProblems(t, content, problems)
		if contacts.Err(problems) != nil {
			return
		}
		checkFile(t, file)
		rendered, err := contacts.Render(file)
		if err != nil {
			// The canonical form can be longer than what was written.
			if contactsync.ClassOf(err) != contactsync.ClassFileTooLarge {
				t.Fatalf("Render: %v", err)
			}
			return
		}
		back, problems := contacts.Parse(rendered)
		if len(problems) > 0 || !reflect.DeepEqual(withoutLines(back), withoutLines(file)) {
			t.Fatalf("got %+v %v, want %+v, from\n%s", back, problems, file, rendered)
		}
	})
}

// Whatever the octets, ReadCSV does not panic, and what it reads makes a contacts.yaml, or an error says why not. The
// corpus stands in testdata/fuzz/FuzzReadCSV.
func FuzzReadCSV(f *testing.F) {
	f.Add([]byte("name,email\nAda,ada@example.com\n"))
	f.Fuzz(func(t *testing.T, content []byte) {
		table, err := contacts.ReadCSV(content)
		if (err == nil) != (len(table.Contacts) > 0) {
			t.Fatalf("%d contacts and %v", len(table.Contacts), err)
		}
		row := 0
		for _, d := range table.Dropped {
			if d.Row <= row || d.Reason == "" {
				t.Errorf("dropped %+v after row %d", d, row)
			}
			row = d.Row
		}
		if err != nil {
			return
		}
		if _, err := contacts.Render(contacts.File{Contacts: table.Contacts}); err != nil && contactsync.ClassOf(err) != contactsync.ClassFileTooLarge {
			t.Errorf("Render: %v", err)
		}
	})
}
