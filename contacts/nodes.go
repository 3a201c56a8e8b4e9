package contacts

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

const bom = "\xef\xbb\xbf"

// The YAML library breaks lines at U+2028 and U+2029, as YAML 1.1 had it. YAML 1.2 and editors do not
// (https://yaml.org/spec/1.2.2/#54-line-break-characters), so these two stand in for them while the library reads:
// neither is allowed in the file, and they have the same length.
var (
	hideSeparators = strings.NewReplacer("\u2028", "\ufdd0", "\u2029", "\ufdd1")
	showSeparators = strings.NewReplacer("\ufdd0", "\u2028", "\ufdd1", "\u2029")
)

// readNodes returns the root of the only document, or nil after having found out why there is none.
func readNodes(content []byte, found *findings) *yaml.Node {
	content = bytes.TrimPrefix(content, []byte(bom))
	if encodingFaults(content, found) {
		return nil
	}
	hidden := bytes.Contains(content, []byte("\u2028")) || bytes.Contains(content, []byte("\u2029"))
	if hidden {
		content = []byte(hideSeparators.Replace(string(content)))
	}

	root, second, err := decode(bytes.NewReader(content))
	if err != nil {
		diagnose(content, err, found)
		return nil
	}
	if root == nil {
		root = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: 1, Column: 1}
	}
	if second != nil {
		found.add(RuleDocument, at(second), `A second YAML document begins here. Keep all contacts in one list, and delete the line "---" or "..." above.`)
		if isNull(root) {
			return nil // a stray "---" at the top, not an empty list
		}
	}
	if hidden {
		restore(root)
	}
	return root
}

func restore(n *yaml.Node) {
	n.Value = showSeparators.Replace(n.Value)
	for _, child := range n.Content {
		restore(child)
	}
}

// encodingFaults finds what cannot be text: at most one problem a line.
func encodingFaults(content []byte, found *findings) bool {
	start := position{1, 1}
	if isUTF16(content) {
		found.add(RuleEncoding, start, `The file is saved as UTF-16 (some programs call it "Unicode"). Save it as UTF-8.`)
		return true
	}
	faultyLine := 0
	place := start
	for i := 0; i < len(content); {
		r, size := rune(content[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRune(content[i:])
		}
		switch {
		case r == '\n' || r == '\r' && (i+1 == len(content) || content[i+1] != '\n'):
			place = position{place.line + 1, 0}
		case r == '\t' || r == '\r' || place.line == faultyLine:
		case r == utf8.RuneError && size == 1:
			faultyLine = place.line
			found.add(RuleEncoding, place, "The file is not saved as UTF-8: the octet 0x%02X means nothing there. Save it as UTF-8.", content[i])
		case r < ' ' || r >= 0x7f && r <= 0x9f || unusable(r):
			faultyLine = place.line
			found.add(RuleEncoding, place, "An invisible control character (U+%04X) is here. Delete it; if you cannot see it, type the line again.", r)
		}
		place.column++
		i += size
	}
	return faultyLine > 0
}

// isUTF16 recognises UTF-16 with a byte-order mark, or by the zero octet that each of the first two characters has.
func isUTF16(content []byte) bool {
	if len(content) < 2 {
		return false
	}
	if content[0] == 0xff && content[1] == 0xfe || content[0] == 0xfe && content[1] == 0xff {
		return true
	}
	return len(content) >= 4 && (content[0] == 0) != (content[1] == 0) &&
		(content[0] == 0) == (content[2] == 0) && (content[1] == 0) == (content[3] == 0)
}

var errGaveUp = errors.New("the library gave up")

// decode reads at most two documents; both are nil in a file of blanks and comments.
func decode(r io.Reader) (first, second *yaml.Node, err error) {
	// The library panics in states that it believes impossible. The file is a stranger's.
	defer func() {
		if recover() != nil {
			err = errGaveUp
		}
	}()
	decoder := yaml.NewDecoder(r)
	for _, node := range []**yaml.Node{&first, &second} {
		var document yaml.Node
		switch err := decoder.Decode(&document); {
		case errors.Is(err, io.EOF):
			return first, second, nil
		case err != nil:
			return nil, nil, err
		}
		*node = document.Content[0]
	}
	return first, second, nil
}

// diagnose finds the place of a syntax error and says what it means. The library names a line, but for errors of its
// scanner that line counts from 1, for others from 0, often it is where the surrounding block begins, and on the first
// line it is left out; columns it keeps to itself. A blank line put in front makes it name one always.
func diagnose(content []byte, err error, found *findings) {
	ends := lineEnds(content)
	again := &lineReader{content: append([]byte{'\n'}, content...)}
	if _, _, shifted := decode(again); shifted != nil {
		err = shifted
	}
	named, fault := splitError(err)
	// What the reader handed out, without the line in front: the error is there or, as the library looks ahead, before.
	reached := min(max(again.lines-1, 1), len(ends))

	if name, ok := strings.CutPrefix(fault, "unknown anchor '"); ok {
		name = strings.TrimSuffix(name, "' referenced")
		diagnoseAlias(content[:ends[reached-1]], name, found)
		return
	}
	rule, line := RuleSyntax, named-1
	switch {
	case strings.HasPrefix(fault, "exceeded max depth"):
		rule = RuleDepth
	case isFlowFault(fault), isDocumentFault(fault):
		line = named // for a bracket, where it was opened: that is what people look for
	case isBlockFault(fault):
		line = firstFaulty(content, ends, reached, fault)
	}
	place := position{min(max(line, 1), len(ends)), 1}
	if strings.Contains(fault, "tab character") {
		place = firstTab(content, ends, place, reached)
	}
	found.add(rule, place, "%s", syntaxHelp(fault))
}

// firstTab returns the first tab in an indentation from a place on: the library names the line where the value before
// it began.
func firstTab(content []byte, ends []int, from position, reached int) position {
	for line := from.line; line <= reached; line++ {
		start := 0
		if line > 1 {
			start = ends[line-2]
		}
		text := content[start:ends[line-1]]
		indent := text[:len(text)-len(bytes.TrimLeft(text, " \t"))]
		if tab := bytes.IndexByte(indent, '\t'); tab >= 0 {
			return position{line, tab + 1}
		}
	}
	return from
}

// diagnoseAlias reports the alias without an anchor that stopped the library: the last of its name that it had read.
func diagnoseAlias(content []byte, name string, found *findings) {
	offset := max(bytes.LastIndex(content, []byte("*"+name)), 0)
	before := content[:offset]
	start := bytes.LastIndexAny(before, "\r\n") + 1
	place := position{line: countLines(before), column: utf8.RuneCount(before[start:]) + 1}
	if merge := bytes.LastIndex(before[start:], []byte("<<:")); merge >= 0 {
		place.column = utf8.RuneCount(before[start:start+merge]) + 1
		found.add(RuleMerge, place, "The merge key << is not allowed here. Write the keys and values themselves.")
		return
	}
	found.add(RuleAnchor, place, "%s is read as a YAML alias, which is not allowed here. If it is meant as a text, put it between double quotes.", shown("*"+name))
}

// splitError takes the library's message apart into the line that it names, or 0, and the fault.
func splitError(err error) (line int, fault string) {
	fault = strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(fault, "line "); ok {
		if number, text, ok := strings.Cut(rest, ": "); ok {
			if n, err := strconv.Atoi(number); err == nil {
				return n, text
			}
		}
	}
	return 0, fault
}

func isFlowFault(fault string) bool {
	return strings.HasPrefix(fault, "did not find expected ',' or ")
}

func isDocumentFault(fault string) bool {
	return fault == faultDocumentStart || fault == faultVersion || strings.HasPrefix(fault, "found duplicate %")
}

func isBlockFault(fault string) bool {
	return fault == faultKey || fault == faultEntry || fault == faultContent || fault == faultTagHandle || fault == errGaveUp.Error()
}

// lookahead is how many lines with tokens the library reads beyond a fault before it reports it.
const lookahead = 4

// firstFaulty walks back from the last line read to the first one with which the file has the same fault.
func firstFaulty(content []byte, ends []int, reached int, fault string) int {
	line := reached
	for tries := 0; tries < lookahead && line > 1; {
		start := ends[line-2]
		text := bytes.TrimSpace(content[start:ends[line-1]])
		if len(text) > 0 && text[0] != '#' {
			tries++
			_, _, err := decode(bytes.NewReader(content[:start]))
			if err == nil {
				return line
			}
			if _, same := splitError(err); same != fault {
				return line
			}
		}
		line--
	}
	return line
}

// countLines returns the number of lines, the empty one after the last break included.
func countLines(content []byte) int {
	breaks := func(s string) int { return bytes.Count(content, []byte(s)) }
	return 1 + breaks("\n") + breaks("\r") - breaks("\r\n")
}

// lineEnds returns the offset after each line; the last is the length of the content.
func lineEnds(content []byte) []int {
	var ends []int
	for start := 0; ; {
		length := nextLine(content[start:])
		start += length
		ends = append(ends, start)
		if start == len(content) {
			if length > 0 && (content[start-1] == '\n' || content[start-1] == '\r') {
				ends = append(ends, start) // the empty line after the last break
			}
			return ends
		}
	}
}

// nextLine returns the length of the first line with its break, which is LF, CRLF or CR.
func nextLine(content []byte) int {
	i := bytes.IndexAny(content, "\r\n")
	switch {
	case i < 0:
		return len(content)
	case content[i] == '\r' && i+1 < len(content) && content[i+1] == '\n':
		return i + 2
	}
	return i + 1
}

// lineReader hands out one line at a time, so that its count tells how far a reader came.
type lineReader struct {
	content []byte
	rest    int // octets of the present line that are still to be handed out
	lines   int
}

func (r *lineReader) Read(p []byte) (int, error) {
	if len(r.content) == 0 {
		return 0, io.EOF
	}
	if r.rest == 0 {
		r.rest = nextLine(r.content)
		r.lines++
	}
	n := copy(p, r.content[:r.rest])
	r.content = r.content[n:]
	r.rest -= n
	return n, nil
}

// Faults as the library words them, where they need a treatment of their own.
const (
	faultKey           = "did not find expected key"
	faultEntry         = "did not find expected '-' indicator"
	faultContent       = "did not find expected node content"
	faultTagHandle     = "found undefined tag handle"
	faultDocumentStart = "did not find expected <document start>"
	faultVersion       = "found incompatible YAML document"
)

// syntaxHelp says in the words of somebody who writes a list of contacts what the library's fault means.
func syntaxHelp(fault string) string {
	switch {
	case fault == faultKey || fault == faultEntry:
		return `This line is not in line with those above. Begin each contact with "- " in the first column, put two blanks in front of its other keys, and nothing after a closing quote.`
	case strings.HasPrefix(fault, "mapping values are not allowed"):
		return `A colon is out of place here. Put a value that has a colon in it between double quotes, and the keys of a contact exactly below one another.`
	case strings.Contains(fault, "entries are not allowed") || strings.Contains(fault, "keys are not allowed"):
		return `A "-" or "?" is out of place here. Put a value that begins with one between double quotes, and begin each contact in the first column.`
	case fault == "could not find expected ':'":
		return `A key without a colon, or without the blank after it. Write "name: Ada Lovelace".`
	case strings.Contains(fault, "tab character"):
		return "The line is indented with a tab. Use blanks."
	case strings.HasPrefix(fault, "found character that cannot start"):
		return "A value cannot begin with @, `, % or a tab. Put it between double quotes, and use blanks instead of tabs."
	case fault == "found unexpected end of stream":
		return "A quote is opened here and never closed. Close it at the end of the value, and write a quote inside a value twice."
	case fault == "found unexpected document indicator":
		return `A quote is opened here and not closed before the line "---" or "...". Close it at the end of the value.`
	case strings.Contains(fault, "escape") || strings.Contains(fault, "hexdecimal"):
		return `After a backslash between double quotes comes a code, and this one is not known. Write \\ for a backslash, or use single quotes.`
	case isFlowFault(fault):
		return "A bracket or brace is opened here and not closed, or a comma is missing in it. Put a value that begins with one between double quotes."
	case fault == faultDocumentStart:
		return `The list ends above, so this line belongs to nothing. Begin each contact with "- " in the first column, and delete lines such as "...".`
	case fault == faultVersion || strings.Contains(fault, "directive"):
		return "A line that begins with % is not needed here. Delete it."
	case strings.Contains(fault, "tag"):
		return "A value cannot begin with !. Put it between double quotes."
	case strings.Contains(fault, "alphabetic or numeric"):
		return "A value cannot begin with & or *. Put it between double quotes."
	case strings.HasPrefix(fault, "exceeded max depth"):
		return fmt.Sprintf("This is nested more than %d deep. %s", MaxDepth, entryHelp)
	case strings.Contains(fault, "comment or line break") || strings.Contains(fault, "indentation indicator"):
		return "A value cannot begin with | or >. Put it between double quotes."
	}
	return `This line, or the one above it, is not YAML. Put values that have quotes, brackets or other signs in them between double quotes.`
}
