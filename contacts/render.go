package contacts

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"contactsync"
)

// Render writes the canonical contacts.yaml: the original form, or the extended one where a contact or the file has
// more than names and addresses. Parse reads back the same File, apart from the lines of its contacts; a file that
// was rendered, parsed and rendered again stays the same.
//
// What a contacts.yaml cannot hold is a *contactsync.Error of the class that Parse would give it: no contacts, too
// many, an address twice, a name with line breaks, control characters or surrounding blanks. CleanName makes names
// fit.
func Render(file File) ([]byte, error) {
	var out bytes.Buffer
	indent := ""
	if isExtended(file) {
		if file.Organization != "" {
			fmt.Fprintf(&out, "organization: %s\n", renderID(file.Organization))
		}
		out.WriteString("contacts:\n")
		indent = "  "
	}
	// Every value has one line, so the line of a problem tells its contact.
	owners := make([]int, bytes.Count(out.Bytes(), []byte("\n")), 2*len(file.Contacts)+2)
	for i := range owners {
		owners[i] = -1
	}
	for i, c := range file.Contacts {
		lead := indent + "- "
		write := func(key, value string) {
			fmt.Fprintf(&out, "%s%s: %s\n", lead, key, value)
			lead = indent + "  "
			owners = append(owners, i)
		}
		write("name", renderText(c.Name))
		write("email", renderText(string(c.Email)))
		if c.Previously != "" {
			write("previously", renderText(string(c.Previously)))
		}
		if c.Expires != "" {
			write("expires", renderDate(c.Expires))
		}
		if c.Position != "" {
			write("position", renderText(c.Position))
		}
		if c.Manager {
			write("manager", "true")
		}
		if c.Phone != "" {
			write("phone", renderText(c.Phone))
		}
	}
	if err := proveRendered(out.Bytes(), file, owners); err != nil {
		return nil, fmt.Errorf("rendering contacts.yaml: %w", err)
	}
	return out.Bytes(), nil
}

func isExtended(file File) bool {
	if file.Organization != "" {
		return true
	}
	for _, c := range file.Contacts {
		if c.Previously != "" || c.Expires != "" || c.Position != "" || c.Manager || c.Phone != "" {
			return true
		}
	}
	return false
}

// proveRendered reads the text back. What Parse does not give back unchanged is never handed out, whatever the reason.
func proveRendered(text []byte, file File, owners []int) error {
	back, problems := Parse(text)
	for _, p := range problems {
		if p.Severity != SeverityError {
			continue
		}
		if p.Line <= len(owners) && owners[p.Line-1] >= 0 {
			return contactsync.Errorf(p.Class, "contact %s: %s", ordinal(file, owners[p.Line-1]), p.Message)
		}
		return contactsync.Errorf(p.Class, "%s", p.Message)
	}
	if back.Organization != file.Organization || len(back.Contacts) != len(file.Contacts) {
		return contactsync.Errorf(contactsync.ClassInternal, "the text does not read back as the same file")
	}
	for i, c := range back.Contacts {
		c.Line = file.Contacts[i].Line
		if c != file.Contacts[i] {
			return contactsync.Errorf(contactsync.ClassContactInvalid,
				"contact %s: a value has surrounding blanks or is not in normal form, so it would not read back the same", ordinal(file, i))
		}
	}
	return nil
}

// ordinal names a contact by its place in the list and its address.
func ordinal(file File, i int) string {
	return fmt.Sprintf("%d (%s)", i+1, shown(string(file.Contacts[i].Email)))
}

// renderID leaves a number bare, as in the documentation, where every YAML reader takes it for the same digits.
func renderID(id string) string {
	if n, err := strconv.ParseInt(id, 10, 64); err == nil && strconv.FormatInt(n, 10) == id {
		return id
	}
	return renderText(id)
}

// renderDate leaves a date bare, as in the documentation.
func renderDate(date contactsync.Date) string {
	if validDate(string(date)) {
		return string(date)
	}
	return renderText(string(date))
}

// renderText writes a text so that every YAML reader, of version 1.1 or 1.2, gets the same text back.
func renderText(text string) string {
	if isPlain(text) {
		return text
	}
	var quoted strings.Builder
	quoted.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			quoted.WriteByte('\\')
			quoted.WriteRune(r)
		case !unreadable(r):
			quoted.WriteRune(r)
		case r <= 0xff:
			fmt.Fprintf(&quoted, `\x%02x`, r)
		default:
			fmt.Fprintf(&quoted, `\u%04x`, r) // all of them are in the basic plane
		}
	}
	quoted.WriteByte('"')
	return quoted.String()
}

// isPlain reports whether a text needs no quotes. It is stricter than YAML: letters first, then only characters that
// mean nothing anywhere, and no word that some reader takes for a truth value or for nothing.
func isPlain(text string) bool {
	switch strings.ToLower(text) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null":
		return false
	}
	for i, r := range text {
		switch {
		case unicode.IsLetter(r):
		case i > 0 && (unicode.IsDigit(r) || unicode.IsMark(r) || strings.ContainsRune(" .,'()&/+-_@", r)):
		default:
			return false
		}
	}
	return text != "" && !strings.HasSuffix(text, " ")
}
