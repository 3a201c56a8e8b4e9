package contacts

import (
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"contactsync"
)

// MaxCSVBytes bounds what ReadCSV reads. Exports carry many columns that a contacts.yaml does not.
const MaxCSVBytes = 16 << 20

// CSV is what a table of people has for a contacts.yaml.
type CSV struct {
	Contacts []contactsync.Contact // in the order of the table
	Dropped  []Dropped             // rows that gave no contact
}

// Dropped is a row that gave no contact, and why.
type Dropped struct {
	Row    int    `json:"row"`    // the line of the CSV file, from 1, on which the row begins
	Text   string `json:"text"`   // its name and address, as far as it has them
	Reason string `json:"reason"` // and what to do, for people
}

// ReadCSV takes the names and addresses out of a CSV file: Zendesk's search exports, with their lines "Query …" above
// the header, and any other table whose header has a column for the address and at best one or two for the name.
// Separators are commas, semicolons and tabs; the text is UTF-8, or UTF-16 with a byte-order mark. Rows without an
// address that a contacts.yaml takes, and repeated addresses, are dropped with the reason. Blank rows do not count.
// Names are cleaned, see CleanName; where there is none, the address stands in.
//
// The error is a *contactsync.Error: file_too_large over MaxCSVBytes, file_empty without a single contact (the rows
// dropped are returned with it), and contact_invalid for what is no such table.
func ReadCSV(content []byte) (CSV, error) {
	if len(content) > MaxCSVBytes {
		return CSV{}, csvError(contactsync.ClassFileTooLarge, "Split the file, or leave out columns, and import again.",
			"the CSV file has %d bytes; the limit is %d", len(content), MaxCSVBytes)
	}
	text, err := decodeText(content)
	if err != nil {
		return CSV{}, err
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return CSV{}, csvError(contactsync.ClassFileEmpty, noContactsRemedy, "the CSV file is empty")
	}
	table, err := findHeader(text)
	if err != nil {
		return CSV{}, err
	}
	result, err := table.read()
	if err != nil {
		return CSV{}, err
	}
	if len(result.Contacts) == 0 {
		if len(result.Dropped) > 0 {
			first := result.Dropped[0]
			return result, csvError(contactsync.ClassFileEmpty, allDroppedRemedy,
				"no row of the CSV file gave a contact; row %d: %s", first.Row, first.Reason)
		}
		return result, csvError(contactsync.ClassFileEmpty, noContactsRemedy, "the CSV file has a header, and no contacts below it")
	}
	return result, nil
}

const (
	allDroppedRemedy = "Correct the rows that were dropped, each for its reason, and import the file again."
	noContactsRemedy = "Export again with a column for the name and one for the e-mail address, and import that file."
	encodingRemedy   = `Save the file as "CSV UTF-8", and import again.`
	headerRemedy     = `Write a first line that names the columns, such as "name,email", and import again.`
)

func csvError(class contactsync.Class, remedy, format string, args ...any) error {
	err := contactsync.Errorf(class, format, args...)
	err.Remedy = remedy
	return err
}

// decodeText returns the content as UTF-8 without a byte-order mark, in lines that end with LF or CRLF.
func decodeText(content []byte) ([]byte, error) {
	switch {
	case bytes.HasPrefix(content, []byte("\xff\xfe")):
		content = decodeUTF16(content[2:], binary.LittleEndian)
	case bytes.HasPrefix(content, []byte("\xfe\xff")):
		content = decodeUTF16(content[2:], binary.BigEndian)
	default:
		content = bytes.TrimPrefix(content, []byte(bom))
	}
	row := func(offset int) int { return countLines(content[:offset]) }
	if offset := bytes.IndexByte(content, 0); offset >= 0 {
		return nil, csvError(contactsync.ClassContactInvalid, encodingRemedy, "row %d of the CSV file has a zero octet: this is no text, or UTF-16 without its mark", row(offset))
	}
	for offset := 0; offset < len(content); {
		r, size := utf8.DecodeRune(content[offset:])
		if r == utf8.RuneError && size == 1 {
			return nil, csvError(contactsync.ClassContactInvalid, encodingRemedy, "row %d of the CSV file is not UTF-8 (octet 0x%02X)", row(offset), content[offset])
		}
		offset += size
	}
	if !bytes.ContainsRune(content, '\n') {
		content = bytes.ReplaceAll(content, []byte("\r"), []byte("\n")) // old Macs; the CSV reader knows LF and CRLF
	}
	return content, nil
}

func decodeUTF16(content []byte, order binary.ByteOrder) []byte {
	units := make([]uint16, len(content)/2)
	for i := range units {
		units[i] = order.Uint16(content[2*i:])
	}
	return []byte(string(utf16.Decode(units)))
}

// table is a CSV whose columns are known.
type table struct {
	body      []byte // what follows the header
	row       int    // the line on which the body begins
	separator rune
	columns   columns
}

// columns tells where things stand in a row, from 0; -1 stands for nowhere.
type columns struct{ name, first, last, email int }

// The headings, reduced to small letters and digits, the preferred one first.
var (
	emailHeadings = []string{"email", "emailaddress", "primaryemail", "primaryemailaddress", "useremail", "contactemail", "workemail", "email1", "email1value", "email1address", "mail", "mailaddress"}
	nameHeadings  = []string{"name", "fullname", "displayname", "username", "contactname", "realname", "contact"}
	firstHeadings = []string{"firstname", "givenname", "forename"}
	lastHeadings  = []string{"lastname", "surname", "familyname"}
)

var separators = []rune{',', ';', '\t'}

// findHeader looks for the line that names the columns. Above it there can be blank lines, lines that tell the query
// (Zendesk's "Advanced search", see https://handbook.gitlab.com/handbook/security/customer-support-operations/workflows/cmps)
// or the separator (Excel), and titles; but no address, for that would be a contact to be lost.
func findHeader(text []byte) (table, error) {
	rest := text
	for row := 1; len(rest) > 0; row++ {
		length := nextLine(rest)
		line := bytes.TrimSpace(rest[:length])
		rest = rest[length:]
		for _, separator := range separators {
			if found, ok := columnsOf(line, separator); ok {
				return table{body: rest, row: row + 1, separator: separator, columns: found}, nil
			}
		}
		if bytes.ContainsRune(line, '@') && !isQuery(line) {
			return table{}, csvError(contactsync.ClassContactInvalid, headerRemedy,
				"row %d of the CSV file has an address, but no row above it names the columns", row)
		}
	}
	return table{}, csvError(contactsync.ClassContactInvalid, headerRemedy,
		"no row of the CSV file names a column for the e-mail address")
}

func isQuery(line []byte) bool {
	return bytes.HasPrefix(bytes.ToLower(bytes.TrimLeft(line, `"' `)), []byte("query"))
}

// columnsOf reads a line as a header.
func columnsOf(line []byte, separator rune) (columns, bool) {
	reader := csv.NewReader(bytes.NewReader(line))
	reader.Comma = separator
	cells, err := reader.Read()
	if err != nil {
		return columns{}, false // a title with a quote in it
	}
	for i, cell := range cells {
		cells[i] = strings.Map(func(r rune) rune {
			if r = unicode.ToLower(r); unicode.IsLetter(r) || unicode.IsDigit(r) {
				return r
			}
			return -1
		}, cell)
	}
	find := func(headings []string) int {
		for _, heading := range headings {
			if i := slices.Index(cells, heading); i >= 0 {
				return i
			}
		}
		return -1
	}
	found := columns{name: find(nameHeadings), first: find(firstHeadings), last: find(lastHeadings), email: find(emailHeadings)}
	return found, found.email >= 0
}

func (t table) read() (CSV, error) {
	reader := csv.NewReader(bytes.NewReader(t.body))
	reader.Comma = t.separator
	reader.FieldsPerRecord = -1
	reader.ReuseRecord = true

	var result CSV
	rows := make(map[contactsync.Email]int)
	for {
		cells, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return result, nil
		}
		if err != nil {
			return CSV{}, t.unreadable(err)
		}
		if !slices.ContainsFunc(cells, func(cell string) bool { return strings.TrimSpace(cell) != "" }) {
			continue
		}
		line, _ := reader.FieldPos(0)
		row := t.row + line - 1
		name, text := t.columns.nameIn(cells), cellAt(cells, t.columns.email)
		email, reason := address(text)
		switch {
		case text == "":
			reason = "It has no e-mail address. Add one if the person is to be a contact."
		case reason == "" && rows[email] != 0:
			reason = fmt.Sprintf("%s is on row %d already. Nothing to do, unless one of the two rows should have another address.", email, rows[email])
		}
		if reason != "" {
			result.Dropped = append(result.Dropped, Dropped{Row: row, Text: strings.TrimSpace(short(name) + " " + short(text)), Reason: reason})
			continue
		}
		rows[email] = row
		result.Contacts = append(result.Contacts, contactsync.Contact{Name: CleanName(name, email), Email: email})
	}
}

func (t table) unreadable(err error) error {
	var fault *csv.ParseError
	if !errors.As(err, &fault) {
		return csvError(contactsync.ClassContactInvalid, encodingRemedy, "the CSV file cannot be read: %w", err)
	}
	const remedy = "Put quotes around the whole value, write a quote inside it twice, and import again."
	return csvError(contactsync.ClassContactInvalid, remedy, "row %d of the CSV file has a quote out of place (line %d, column %d)",
		t.row+fault.StartLine-1, t.row+fault.Line-1, fault.Column)
}

func (c columns) nameIn(cells []string) string {
	if name := cellAt(cells, c.name); name != "" {
		return name
	}
	return strings.TrimSpace(cellAt(cells, c.first) + " " + cellAt(cells, c.last))
}

// cellAt returns the trimmed text of a cell, "" where the row has no such cell.
func cellAt(cells []string, i int) string {
	if i < 0 || i >= len(cells) {
		return ""
	}
	return strings.TrimSpace(cells[i])
}
