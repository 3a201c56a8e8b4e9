// Package contacts is the file contacts.yaml: it is parsed with positions, validated, rendered, made from CSV, and
// described as a JSON Schema.
//
// Everything here is pure: bytes in, values and problems out.
package contacts

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"contactsync"
)

// The limits of the file.
const (
	MaxBytes    = 1 << 20 // size of the file, in bytes
	MaxContacts = 5000
	MaxDepth    = 16 // lists and sets of keys inside one another
)

// File is the content of a contacts.yaml.
type File struct {
	Organization string // the id of the organization as written, or ""
	Contacts     []contactsync.Contact
}

// Parse reads a contacts.yaml and returns all its problems at once, in file order. The File is only meaningful when
// none of them is an error: see Err.
//
// Content is UTF-8 YAML of at most MaxBytes; a byte-order mark before it is ignored. Line breaks are LF, CRLF and CR,
// as in YAML 1.2. In a valid File there are between 1 and MaxContacts contacts; each name is trimmed and has 1 to 255
// printable characters; each address can be reached by mail, is in normal form and occurs once.
//
// At most 1,000 problems are listed, then one for each further rule, with the number of its kind. Lines are corrected
// for 100 of them, and none that is longer than 1,024 octets.
func Parse(content []byte) (File, []Problem) {
	w := parse(content)
	w.correct(content)
	return w.file, w.found.list()
}

func parse(content []byte) *walker {
	w := &walker{lines: make(map[contactsync.Email]int), found: findings{lines: countLines(content)}}
	if len(content) > MaxBytes {
		w.found.add(RuleTooLarge, position{1, 1}, "The file has %d bytes; the limit is %d (1 MiB). Keep nothing but contacts in it.",
			len(content), MaxBytes)
		return w
	}
	if root := readNodes(content, &w.found); root != nil {
		w.structure(root, 0)
		w.root(root)
		w.claims()
	}
	return w
}

// The keys, in the order of the canonical form.
var (
	topKeys   = []string{"organization", "contacts"}
	entryKeys = []string{"name", "email", "previously", "expires", "position", "manager", "phone"}
)

// Indexes into topKeys.
const (
	keyOrganization = iota
	keyContacts
)

// Indexes into entryKeys.
const (
	keyName = iota
	keyEmail
	keyPreviously
	keyExpires
	keyPosition
	keyManager
	keyPhone
)

// field is a key and its value; both are nil where the key is absent.
type field struct{ key, value *yaml.Node }

// walker turns nodes into a File, and refuses what decoding into nodes lets through.
type walker struct {
	file  File
	found findings
	lines map[contactsync.Email]int // where each address is listed
	was   []claim
}

// claim is an entry's word that its person had another address before.
type claim struct {
	email contactsync.Email
	at    position
}

func at(n *yaml.Node) position { return position{n.Line, n.Column} }

// structure refuses, in the whole tree, the YAML that a list of contacts has no use for.
func (w *walker) structure(n *yaml.Node, depth int) {
	if n.Kind == yaml.AliasNode {
		w.found.add(RuleAnchor, at(n), "%s is a YAML alias, which is not allowed here. Write the value itself, between double quotes if it begins with *.", shown("*"+n.Value))
		return
	}
	if n.Anchor != "" {
		w.found.add(RuleAnchor, at(n), "%s is a YAML anchor, which is not allowed here. Delete it, or put the value between double quotes if it begins with &.", shown("&"+n.Anchor))
	}
	if wrongTag(n) {
		w.found.add(RuleTag, at(n), "%s is a YAML tag, which is not allowed here. Delete it, or put the value between double quotes if it begins with !.", shown(n.Tag))
	}
	if n.Kind == yaml.ScalarNode {
		return
	}
	if depth == MaxDepth {
		w.found.add(RuleDepth, at(n), "This is nested more than %d deep. %s", MaxDepth, entryHelp)
		return
	}
	if n.Kind == yaml.SequenceNode {
		for _, item := range n.Content {
			w.structure(item, depth+1)
		}
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if isMerge(key) {
			w.found.add(RuleMerge, at(key), "The merge key << is not allowed here. Write the keys and values themselves.")
			continue
		}
		w.structure(key, depth+1)
		w.structure(value, depth+1)
	}
}

// wrongTag reports whether the node carries a tag that is written out and is not the text tag.
func wrongTag(n *yaml.Node) bool {
	return n.Style&yaml.TaggedStyle != 0 && (n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str")
}

func isMerge(key *yaml.Node) bool {
	return key.Kind == yaml.ScalarNode && key.Style&yaml.TaggedStyle == 0 && key.Tag == "!!merge"
}

func hasMerge(n *yaml.Node) bool {
	for i := 0; i < len(n.Content); i += 2 {
		if isMerge(n.Content[i]) {
			return true
		}
	}
	return false
}

// refused reports whether structure has refused the node already, so that its value means nothing.
func refused(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || n.Kind == yaml.ScalarNode && wrongTag(n)
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

const entryHelp = `Write each contact as "- name: Ada Lovelace", and below it, under the n of name, "email: ada@example.com".`

func (w *walker) root(n *yaml.Node) {
	switch {
	case isNull(n):
		w.empty(n)
	case n.Kind == yaml.SequenceNode:
		w.contacts(n)
	case n.Kind == yaml.MappingNode:
		w.extended(n)
	case !refused(n):
		w.found.add(RuleShape, at(n), "The file is a single text, not a list of contacts. %s%s", entryHelp, colonHint(n))
	}
}

func (w *walker) empty(n *yaml.Node) {
	w.found.add(RuleEmpty, at(n), "No contacts are listed. An empty list is never applied, so it removes nobody. %s", entryHelp)
}

func (w *walker) extended(n *yaml.Node) {
	if looksLikeContact(n) {
		w.found.add(RuleShape, at(n), `This is one contact, but the file must be a list. Put "- " in front of its first line, and two blanks in front of its other lines.`)
		return
	}
	fields := w.fields(n, topKeys, fitsTop)
	organization, list := fields[keyOrganization], fields[keyContacts]
	if organization.key != nil {
		w.organization(organization)
	}
	if list.key != nil {
		w.list(list)
	} else if len(n.Content) == 0 || len(n.Content) == 2 && organization.key != nil {
		w.empty(n) // with any other key at the top, that key is the mistake, not the absence of contacts
	}
}

func (w *walker) list(list field) {
	switch {
	case isNull(list.value):
		w.empty(list.key)
	case list.value.Kind == yaml.SequenceNode:
		w.contacts(list.value)
	case !refused(list.value):
		w.found.add(RuleShape, at(list.value), `"contacts" must be a list. %s`, entryHelp)
	}
}

// looksLikeContact reports whether the top of the file has the keys of an entry.
func looksLikeContact(n *yaml.Node) bool {
	found := false
	for i := 0; i < len(n.Content); i += 2 {
		switch n.Content[i].Value {
		case topKeys[keyContacts]:
			return false
		case entryKeys[keyName], entryKeys[keyEmail]:
			found = true
		}
	}
	return found
}

func (w *walker) organization(f field) {
	const help = `Write the id of the organization, or delete the line: it is optional.`
	switch {
	case refused(f.value):
	case isNull(f.value):
		w.found.add(RuleOrganizationInvalid, at(f.key), `"organization" has no value. %s`, help)
	case f.value.Kind != yaml.ScalarNode:
		w.found.add(RuleOrganizationInvalid, at(f.value), `"organization" must be an id. %s`, help)
	case !validID(f.value.Value):
		p := w.found.add(RuleOrganizationInvalid, at(f.value), "%s cannot be the id of an organization: an id has 1 to %d letters, digits, - and _, and begins with a letter or a digit. %s",
			shown(f.value.Value), maxID, help)
		if id := strings.TrimSpace(f.value.Value); validID(id) {
			w.found.mend(p, f.value, id, "")
		}
	default:
		w.file.Organization = f.value.Value
	}
}

func (w *walker) contacts(n *yaml.Node) {
	if len(n.Content) == 0 {
		w.empty(n)
		return
	}
	w.file.Contacts = make([]contactsync.Contact, 0, min(len(n.Content), MaxContacts))
	for i, entry := range n.Content {
		if i == MaxContacts {
			w.found.add(RuleTooMany, at(entry), "The list has %d contacts; the limit is %d. Shorten it.", len(n.Content), MaxContacts)
			return
		}
		switch {
		case entry.Kind == yaml.MappingNode:
			w.file.Contacts = append(w.file.Contacts, w.contact(entry))
		case isNull(entry):
			w.found.add(RuleShape, at(entry), `This entry is empty. Delete the lone "-", or complete it. %s`, entryHelp)
		case !refused(entry):
			w.found.add(RuleShape, at(entry), "This entry is not a set of keys. %s%s", entryHelp, colonHint(entry))
		}
	}
}

// colonHint explains the commonest way in which keys become a text.
func colonHint(n *yaml.Node) string {
	for _, key := range entryKeys {
		if strings.HasPrefix(n.Value, key+":") {
			return " A blank is needed after each colon."
		}
	}
	return ""
}

func (w *walker) contact(entry *yaml.Node) contactsync.Contact {
	fields := w.fields(entry, entryKeys, fitsEntry)
	return contactsync.Contact{
		Name:       w.name(entry, fields[keyName]),
		Email:      w.email(entry, fields[keyEmail]),
		Previously: w.previously(fields[keyPreviously]),
		Expires:    w.expires(fields[keyExpires]),
		Position:   w.line(fields[keyPosition]),
		Manager:    w.manager(fields[keyManager]),
		Phone:      w.line(fields[keyPhone]),
		Line:       entry.Line,
	}
}

// stray is a key that is not known, and its value.
type stray struct {
	field
	problem  int
	meant    int // the index of the known key that it can only mean, or -1
	repeated bool
}

// fields sorts the pairs of a set of keys by what they are called: the result has the order of known. Unknown and
// repeated keys are problems; of repeated ones the first counts. fits tells of a known key whether its value is right.
func (w *walker) fields(n *yaml.Node, known []string, fits func(int, field) (contactsync.Email, bool)) []field {
	fields := make([]field, len(known))
	var strays []stray
	var unknown map[string]int // indexes into strays
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if isMerge(key) || refused(key) {
			continue
		}
		if key.Kind != yaml.ScalarNode {
			w.found.add(RuleKeyUnknown, at(key), "A key must be a text. The keys here are %s.", listed(known))
			continue
		}
		pair := field{key, n.Content[i+1]}
		which := slices.Index(known, key.Value)
		first, again := unknown[key.Value]
		switch {
		case which >= 0 && fields[which].key == nil:
			fields[which] = pair
		case which >= 0:
			w.duplicateKey(key, fields[which].key.Line)
		case again:
			strays[first].repeated = true
			w.duplicateKey(key, strays[first].key.Line)
		default:
			if unknown == nil {
				unknown = make(map[string]int)
			}
			unknown[key.Value] = len(strays)
			hint, meant := suggestion(key.Value, known)
			problem := w.found.add(RuleKeyUnknown, at(key), "The key %s is not known here. %s", shown(key.Value), hint)
			strays = append(strays, stray{pair, problem, meant, false})
		}
	}
	w.rename(strays, fields, known, fits)
	return fields
}

// rename gives keys that are not known the name that they can only mean, where no other key has it.
func (w *walker) rename(strays []stray, fields []field, known []string, fits func(int, field) (contactsync.Email, bool)) {
	if len(strays) == 0 {
		return
	}
	meant := make([]int, len(known)) // how many keys mean each
	for _, s := range strays {
		if s.meant >= 0 {
			meant[s.meant]++
		}
	}
	for _, s := range strays {
		if s.meant < 0 || s.repeated || meant[s.meant] > 1 || fields[s.meant].key != nil {
			continue
		}
		if brings, ok := fits(s.meant, s.field); ok {
			w.found.mend(s.problem, s.key, known[s.meant], brings)
		}
	}
}

// fitsTop reports whether the value is one of that key at the top of the file.
func fitsTop(which int, f field) (contactsync.Email, bool) {
	alone := walker{lines: make(map[contactsync.Email]int)}
	switch which {
	case keyOrganization:
		alone.organization(f)
	case keyContacts:
		alone.list(f)
		alone.claims()
	}
	return "", len(alone.found.problems) == 0
}

// fitsEntry reports whether the value is one of that key of a contact, and the address that it is.
func fitsEntry(which int, f field) (email contactsync.Email, ok bool) {
	alone := walker{lines: make(map[contactsync.Email]int)}
	switch which {
	case keyName:
		alone.name(nil, f)
	case keyEmail:
		email = alone.email(nil, f)
	case keyPreviously:
		email = alone.previously(f)
	case keyExpires:
		alone.expires(f)
	case keyPosition, keyPhone:
		alone.line(f)
	case keyManager:
		alone.manager(f)
	}
	return email, len(alone.found.problems) == 0
}

func (w *walker) duplicateKey(key *yaml.Node, first int) {
	w.found.add(RuleKeyDuplicate, at(key), `The key %s is already on line %d. Delete one of the two; a new contact begins with "- ".`, shown(key.Value), first)
}

func (w *walker) name(entry *yaml.Node, f field) string {
	const help = "Write the person's name; if you do not know it, repeat the address."
	text, ok := w.required(entry, f, RuleNameMissing, "name", help)
	if !ok {
		return ""
	}
	if fault := lineFault(text); fault != "" {
		w.found.add(RuleValueInvalid, at(f.value), "The name %s. %s", fault, lineHelp)
		return ""
	}
	return text
}

func (w *walker) email(entry *yaml.Node, f field) contactsync.Email {
	const help = "Write the person's e-mail address, or delete the contact."
	text, ok := w.required(entry, f, RuleEmailMissing, "email", help)
	if !ok {
		return ""
	}
	email, ok := w.address(f, text)
	if !ok {
		return ""
	}
	if line, again := w.lines[email]; again {
		w.found.add(RuleEmailDuplicate, at(f.value), "%s is on line %d and again on line %d. Delete one of the two contacts.", email, line, f.value.Line)
		return email
	}
	w.lines[email] = f.value.Line
	return email
}

func (w *walker) address(f field, text string) (contactsync.Email, bool) {
	email, fault := address(text)
	if fault == "" {
		return email, true
	}
	problem := w.found.add(RuleEmailInvalid, at(f.value), "%s", fault)
	if meant, email := mendAddress(text); meant != "" {
		w.found.mend(problem, f.value, meant, email)
	}
	return "", false
}

// required returns the trimmed text of a key that every entry must have.
func (w *walker) required(entry *yaml.Node, f field, rule, key, help string) (string, bool) {
	switch {
	case f.key == nil && hasMerge(entry): // it might come from there, and the merge key is refused anyway
	case f.key == nil:
		w.found.add(rule, at(entry), `This contact has no "%s". %s`, key, help)
	case refused(f.value):
	case isNull(f.value):
		hint := ""
		if f.value.Value != "" {
			hint = ` If it really is "` + f.value.Value + `", put it between double quotes.`
		}
		w.found.add(rule, at(f.key), `"%s" has no value. %s%s`, key, help, hint)
	case f.value.Kind != yaml.ScalarNode:
		w.found.add(rule, at(f.value), `"%s" is not a text. %s Put the text between double quotes if it has brackets or braces.`, key, help)
	default:
		text := strings.TrimSpace(f.value.Value)
		if text != "" {
			return text, true
		}
		w.found.add(rule, at(f.value), `"%s" is blank. %s`, key, help)
	}
	return "", false
}

// optional returns the text of a key that may be left out. A key that is there must say something.
func (w *walker) optional(f field) (string, bool) {
	switch {
	case f.key == nil || refused(f.value):
	case isNull(f.value) || f.value.Kind == yaml.ScalarNode && strings.TrimSpace(f.value.Value) == "":
		w.found.add(RuleValueInvalid, at(f.key), `"%s" has no value. Write one, or delete the line: it is optional.`, f.key.Value)
	case f.value.Kind != yaml.ScalarNode:
		w.found.add(RuleValueInvalid, at(f.value), `"%s" is not a text. Write one, or delete the line: it is optional.`, f.key.Value)
	default:
		return f.value.Value, true
	}
	return "", false
}

// line returns the value of a key that takes any line of text.
func (w *walker) line(f field) string {
	text, ok := w.optional(f)
	if !ok {
		return ""
	}
	text = strings.TrimSpace(text)
	if fault := lineFault(text); fault != "" {
		w.found.add(RuleValueInvalid, at(f.value), `"%s" %s. %s`, f.key.Value, fault, lineHelp)
		return ""
	}
	return text
}

func (w *walker) previously(f field) contactsync.Email {
	text, ok := w.optional(f)
	if !ok {
		return ""
	}
	email, ok := w.address(f, strings.TrimSpace(text))
	if !ok {
		return ""
	}
	w.was = append(w.was, claim{email, at(f.value)})
	return email
}

// claims checks the earlier addresses against all the addresses of the file, that of the same entry included.
func (w *walker) claims() {
	claimed := make(map[contactsync.Email]int, len(w.was))
	for _, c := range w.was {
		if line, listed := w.lines[c.email]; listed {
			w.found.add(RuleValueInvalid, c.at, `%s is given as an earlier address on line %d, and is a contact's address on line %d. It can only be one of the two: delete this line, or write another address there.`,
				c.email, c.at.line, line)
			continue
		}
		if line, again := claimed[c.email]; again {
			w.found.add(RuleEmailDuplicate, c.at, `%s is the earlier address of two contacts, on line %d and again on line %d. Delete one of the two lines.`,
				c.email, line, c.at.line)
			continue
		}
		claimed[c.email] = c.at.line
	}
}

func (w *walker) expires(f field) contactsync.Date {
	text, ok := w.optional(f)
	if ok && !validDate(text) {
		problem := w.found.add(RuleValueInvalid, at(f.value), "%s is not a date. Write year, month and day, like 2027-01-31.", shown(text))
		if meant := mendDate(text); meant != "" {
			w.found.mend(problem, f.value, meant, "")
		}
		return ""
	}
	return contactsync.Date(text)
}

func (w *walker) manager(f field) bool {
	text, ok := w.optional(f)
	if ok && text != "true" && text != "false" {
		problem := w.found.add(RuleValueInvalid, at(f.value), "%s is neither true nor false. Write true or false, in small letters.", shown(text))
		if meant := mendTruth(text); meant != "" {
			w.found.mend(problem, f.value, meant, "")
		}
	}
	return text == "true"
}
