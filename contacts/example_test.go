package contacts_test

import (
	"fmt"

	"contactsync"
	"contactsync/contacts"
)

func ExampleParse() {
	file, problems := contacts.Parse([]byte(`
- name: Ada Lovelace
  email: Ada@Example.com
- name: No
  email: no@example.com
`))
	if err := contacts.Err(problems); err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range file.Contacts {
		fmt.Printf("line %d: %s <%s>\n", c.Line, c.Name, c.Email)
	}
	// Output:
	// line 2: Ada Lovelace <ada@example.com>
	// line 4: No <no@example.com>
}

func ExampleErr() {
	_, problems := contacts.Parse([]byte(`
- name: Ada Lovelace
  emial: ada@example.com
- name: Bob
  email: bob@example
`))
	err := contacts.Err(problems)
	fmt.Println(contactsync.ClassOf(err))
	fmt.Println(err)
	// Output:
	// contact_incomplete
	// contacts.yaml line 2, column 3: This contact has no "email". Write the person's e-mail address, or delete the contact. (email-missing)
	// contacts.yaml line 3, column 3: The key "emial" is not known here. Did you mean "email"? (key-unknown)
	// contacts.yaml line 5, column 10: "bob@example" is not an address that mail can reach: there is no dot in "example", so it is no full domain name like example.com. (email-invalid)
}

func ExampleRender() {
	text, err := contacts.Render(contacts.File{Contacts: []contactsync.Contact{
		{Name: "Ada Lovelace", Email: "ada@example.com"},
		{Name: "No", Email: "no@example.com", Expires: "2027-01-31"},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(string(text))
	// Output:
	// contacts:
	//   - name: Ada Lovelace
	//     email: ada@example.com
	//   - name: "No"
	//     email: no@example.com
	//     expires: 2027-01-31
}

func ExampleReadCSV() {
	table, err := contacts.ReadCSV([]byte(`"Query: type:user organization:42"

"name","email"
"Lovelace, Ada","ada@example.com"
"Nobody",""
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range table.Contacts {
		fmt.Printf("%s <%s>\n", c.Name, c.Email)
	}
	for _, d := range table.Dropped {
		fmt.Printf("row %d, %s: %s\n", d.Row, d.Text, d.Reason)
	}
	// Output:
	// Lovelace, Ada <ada@example.com>
	// row 5, Nobody: It has no e-mail address. Add one if the person is to be a contact.
}
