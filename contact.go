// Package contactsync is the vocabulary of contactsync: contacts as a file lists them, people and members as a
// desk knows them, the changes between the two, and the errors that tell each person what to do.
//
// Every other package speaks in these words. This one does no input or output.
package contactsync

import (
	"strings"
	"time"

	"golang.org/x/net/idna"
)

// Email is an e-mail address in normal form: lower case, the domain in its ASCII (IDNA) spelling, no surrounding
// blanks. Two addresses reach the same mailbox, as far as contactsync is concerned, when their Emails are equal;
// "+tags" are significant. Make one with NormalizeEmail.
type Email string

// NormalizeEmail brings an address into normal form. It never fails: whether text is an address at all is for the
// contacts package to judge, and a desk may hold things that are none.
func NormalizeEmail(text string) Email {
	text = strings.ToLower(strings.TrimSpace(text))
	at := strings.LastIndexByte(text, '@')
	if at < 0 {
		return Email(text)
	}
	domain, err := idna.Lookup.ToASCII(text[at+1:])
	if err != nil {
		return Email(text)
	}
	return Email(text[:at+1] + domain)
}

// Domain returns what follows the last "@", or "" where there is none.
func (e Email) Domain() string {
	at := strings.LastIndexByte(string(e), '@')
	if at < 0 {
		return ""
	}
	return string(e[at+1:])
}

// Date is a calendar day in UTC, written 2006-01-02. The zero Date is no day. Dates compare with < in time order.
type Date string

// DateOf returns the day of an instant, in UTC.
func DateOf(t time.Time) Date { return Date(t.UTC().Format(time.DateOnly)) }

// Contact is one entry of a contacts file: a person who may open support tickets for the organization.
type Contact struct {
	Name  string // never blank; equal to the address where the name is unknown
	Email Email

	Previously Email  // the same person's earlier address, or ""
	Expires    Date   // last day as a contact, or ""
	Position   string // for desks that know positions
	Manager    bool   // for desks that know managers of an organization
	Phone      string // for desks that know phone numbers

	Line int // where the entry starts in the file, from 1; 0 where there is no file
}

// Named reports whether the contact's name says more than its address does.
func (c Contact) Named() bool { return NormalizeEmail(c.Name) != c.Email }
