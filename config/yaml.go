package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// parse reads the configuration file into values, and notes what is wrong with it. It goes through nodes, because
// decoding into a struct stops at the first problem and takes texts for numbers and back.
func (l *loader) parse(content []byte) {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document, further yaml.Node
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return // nothing but comments
	}
	if err == nil {
		if err = decoder.Decode(&further); err == nil {
			l.wrong(further.Line, "", "holds a second document", "Delete the line --- and what follows it.")
		} else if errors.Is(err, io.EOF) {
			err = nil
		}
	}
	if err != nil {
		line, message := yamlError(err)
		l.wrong(line, "", "is not YAML: "+message, "Mend that line; texts with special characters go between quotes.")
		return
	}
	if root := document.Content[0]; !isNull(root) {
		tree := treeOf(keysOf(new(Config)))
		l.group(root, "", tree)
	}
}

func (l *loader) wrong(line int, path, message, remedy string) {
	l.add(Problem{File: l.file, Line: line, Key: path, Message: message, Remedy: remedy})
}

// yamlError takes the parser's message apart. What stands between quotes in it comes from the file and may be a part
// of a secret, so it is left out.
func yamlError(err error) (line int, message string) {
	message = strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, ok := strings.CutPrefix(message, "line "); ok {
		number, text, _ := strings.Cut(rest, ": ")
		if n, err := strconv.Atoi(number); err == nil {
			line, message = n, text
		}
	}
	parts := strings.Split(message, "'")
	for i := 1; i < len(parts); i += 2 {
		if len(parts[i]) > 2 { // more than a punctuation mark
			parts[i] = "…"
		}
	}
	return line, strings.Join(parts, "'")
}

// tree is the keys by name, one level at a time. A leaf has a key, a group has names.
type tree struct {
	key    key
	secret bool // the leaf is the name of a file with the secret
	names  []string
	below  map[string]*tree
}

func treeOf(keys []key) *tree {
	root := &tree{}
	for _, k := range keys {
		root.put(k.path, &tree{key: k})
		if k.isSecret() {
			root.put(k.fileKey(), &tree{key: k, secret: true})
		}
	}
	return root
}

func (t *tree) put(path string, leaf *tree) {
	name, rest, deeper := strings.Cut(path, ".")
	if t.below == nil {
		t.below = map[string]*tree{}
	}
	next := t.below[name]
	switch {
	case !deeper:
		next = leaf
		t.names = append(t.names, name)
	case next == nil:
		next = &tree{}
		t.names = append(t.names, name)
	}
	t.below[name] = next
	if deeper {
		next.put(rest, leaf)
	}
}

// shown is a name from the file as it can be printed.
func shown(name string) string {
	if quoted := strconv.Quote(name); len(name) > 40 || quoted != `"`+name+`"` {
		return strconv.Quote(fmt.Sprintf("%.40s", name))
	}
	return name
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" }

// plain refuses what configuration has no use for.
func (l *loader) plain(node *yaml.Node, path string) bool {
	if node.Kind == yaml.AliasNode || node.Anchor != "" {
		l.wrong(node.Line, path, "uses an anchor or an alias", "Write the value itself; one that begins with & or * goes between quotes.")
		return false
	}
	if tag := node.ShortTag(); node.Style&yaml.TaggedStyle != 0 || !strings.HasPrefix(tag, "!!") {
		l.wrong(node.Line, path, "uses a tag", "Write the value itself; one that begins with ! goes between quotes.")
		return false
	}
	return true
}

func (l *loader) group(node *yaml.Node, path string, t *tree) {
	if !l.plain(node, path) {
		return
	}
	if node.Kind != yaml.MappingNode {
		l.wrong(node.Line, path, "must be a set of keys", "The keys are: "+strings.Join(t.names, ", ")+".")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		next := t.below[name.Value]
		below := strings.TrimPrefix(path+"."+shown(name.Value), ".")
		if !l.plain(name, path) {
			continue
		}
		if name.Kind != yaml.ScalarNode || next == nil {
			remedy := "Known here: " + strings.Join(t.names, ", ") + "."
			if meant := nearest(name.Value, t.names); meant != "" {
				remedy = "Did you mean " + meant + "?"
			}
			l.wrong(name.Line, below, "is no key that contactsync knows", remedy)
			continue
		}
		if line, twice := seen[name.Value]; twice {
			l.wrong(name.Line, below, fmt.Sprintf("is given twice, first in line %d", line), "Delete one of them.")
			continue
		}
		seen[name.Value] = name.Line
		switch {
		case isNull(value): // as if the key were not there
		case next.below != nil:
			l.group(value, below, next)
		default:
			l.leaf(value, below, next)
		}
	}
}

func (l *loader) leaf(node *yaml.Node, path string, t *tree) {
	if !l.plain(node, path) {
		return
	}
	found := given{origin: origin{file: l.file, line: node.Line}}
	kind, single := t.key.kind(), !t.key.isList() || t.secret
	if t.secret {
		kind = "text"
	}
	switch {
	case node.Kind == yaml.ScalarNode:
		found.texts = []string{node.Value}
	case node.Kind == yaml.SequenceNode && !single:
		for _, item := range node.Content {
			if !l.plain(item, path) {
				return
			}
			if text, ok := l.pair(item, path, kind); ok {
				found.texts = append(found.texts, text)
				continue
			}
			if item.Kind != yaml.ScalarNode || isNull(item) {
				l.add(origin{l.file, item.Line, ""}.problem(t.key, "must be a "+kind, "Write one value after each dash."))
				return
			}
			found.texts = append(found.texts, item.Value)
		}
	default:
		l.add(found.problem(t.key, "must be a "+kind, "Write the value behind the colon."))
		return
	}
	// A number between quotes is a text, and a text is no number.
	tag := node.ShortTag()
	if (kind == "whole number" && tag != "!!int") || (kind == "number" && tag != "!!int" && tag != "!!float") {
		l.add(found.problem(t.key, "must be a "+kind, "Write digits, without quotes."))
		return
	}
	// An empty text is a value where texts are asked for, and no secret and no address where those are.
	if (t.key.isSecret() || t.key.isList()) && len(found.texts) == 1 && found.texts[0] == "" {
		return
	}
	l.values[path] = found
}

// pair reads "name: text" without quotes, which YAML takes for a set of one key, where a list of texts is asked for.
func (l *loader) pair(item *yaml.Node, path, kind string) (text string, ok bool) {
	if kind != "list of texts" || item.Kind != yaml.MappingNode || len(item.Content) != 2 {
		return "", false
	}
	name, value := item.Content[0], item.Content[1]
	if name.Kind != yaml.ScalarNode || value.Kind != yaml.ScalarNode || isNull(value) || !l.plain(name, path) || !l.plain(value, path) {
		return "", false
	}
	return name.Value + ": " + value.Value, true
}
