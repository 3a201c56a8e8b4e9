package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// FileName is the configuration file that is read from the working directory when none is named.
const FileName = "contactsync.yaml"

// Limits on what is read.
const (
	maxFile   = 1 << 20
	maxSecret = 64 << 10
)

// Variables that begin like ours and are not keys: the name of the file, and what tests use: the folder of API
// specifications and the address of a PostgreSQL.
var otherVariables = []string{variablePrefix + "CONFIG", variablePrefix + "SPECS", variablePrefix + "TEST_POSTGRES"}

// Sources are where the configuration comes from.
type Sources struct {
	File string   // the file that was named on the command line; "" for none
	Env  []string // as os.Environ gives it
	Dir  string   // the working directory; "" for the process's own
}

// Load reads the configuration: the file that is named, else CONTACTSYNC_CONFIG, else contactsync.yaml in the working
// directory if it is there, and over it the environment. A variable that is empty counts as absent.
//
// A secret x may be given as x_file instead: the name of a file that holds it, relative to the configuration file or,
// in a variable, to the working directory. A list of secrets is one a line there.
//
// The error, if any, is Problems: everything that is wrong, at once. The Config is then what could be read, good for
// telling what is missing beside it and for nothing else.
func Load(sources Sources) (Config, error) {
	c := Default()
	l := loader{dir: sources.Dir, env: environment(sources.Env), values: map[string]given{}}

	if path, required := l.choose(sources.File); path != "" {
		l.readFile(path, required)
	}
	keys := keysOf(&c)
	c.origins = map[string]origin{}
	for _, k := range keys {
		value, ok := l.value(k)
		if !ok {
			continue
		}
		c.origins[k.path] = value.origin
		if err := k.set(value.texts); err != nil {
			l.add(value.problem(k, err.Error(), "Write a "+k.kind()+"."))
		}
	}
	c.tidy()
	// A value that could not be set is not judged again: what is there is its default.
	l.problems = append(l.problems, c.check(keys)...)
	c.warnings = l.strangeVariables(keys)
	return c, l.problems.orNil()
}

// Warnings are what is probably a mistake but cannot be refused: variables that begin like ours and mean nothing.
// Some are set by others, such as Kubernetes for a service that is called contactsync.
func (c Config) Warnings() []Problem { return c.warnings }

// given is a value as it was found. For a secret in a file, it is the file's content.
type given struct {
	texts []string
	origin
}

// loader collects values and problems.
type loader struct {
	dir      string
	env      map[string]string
	file     string           // the configuration file, as it was named
	values   map[string]given // from the configuration file, by path
	problems Problems
}

func (l *loader) add(p Problem) { l.problems = append(l.problems, p) }

func environment(entries []string) map[string]string {
	env := map[string]string{}
	for _, entry := range entries {
		name, value, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, variablePrefix) && value != "" {
			env[name] = value
		}
	}
	return env
}

// choose returns the file to read, and whether it must exist.
func (l *loader) choose(named string) (path string, required bool) {
	if named != "" {
		return named, true
	}
	if named := l.env[variablePrefix+"CONFIG"]; named != "" {
		return named, true
	}
	return FileName, false
}

func (l *loader) readFile(path string, required bool) {
	l.file = path
	content, err := readLimited(l.resolve(path), maxFile)
	if errors.Is(err, fs.ErrNotExist) && !required {
		return
	}
	if err != nil {
		l.add(Problem{File: path, Message: "cannot be read: " + reason(err),
			Remedy: "Name a configuration file with --config or CONTACTSYNC_CONFIG, or none at all."})
		return
	}
	l.parse(content)
}

// resolve makes a name relative to the working directory.
func (l *loader) resolve(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(l.dir, path)
}

func readLimited(path string, limit int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("it is larger than %d bytes", limit)
	}
	return content, nil
}

// reason is why a file cannot be read, without its name.
func reason(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// value returns what was given for a key, the environment before the file.
func (l *loader) value(k key) (given, bool) {
	var fromEnv, fileFromEnv given
	text, inEnv := l.env[k.variable()]
	if inEnv {
		fromEnv = given{split(k, text), origin{variable: k.variable()}}
	}
	fromFile, inFile := l.values[k.path]
	if !k.isSecret() {
		if inEnv {
			return fromEnv, true
		}
		return fromFile, inFile
	}
	name, byNameInEnv := l.env[k.fileVariable()]
	if byNameInEnv {
		fileFromEnv = given{[]string{name}, origin{variable: k.fileVariable()}}
	}
	nameFromFile, byNameInFile := l.values[k.fileKey()]
	switch {
	case inEnv && byNameInEnv:
		return l.twice(k, fileFromEnv, k.variable(), k.fileVariable())
	case inEnv:
		return fromEnv, true
	case byNameInEnv:
		return l.secretFile(k, fileFromEnv, l.dir)
	case inFile && byNameInFile:
		return l.twice(k, nameFromFile, k.path, k.fileKey())
	case byNameInFile:
		return l.secretFile(k, nameFromFile, filepath.Dir(l.resolve(l.file)))
	}
	return fromFile, inFile
}

func (l *loader) twice(k key, where given, one, other string) (given, bool) {
	l.add(where.problem(k, "is given twice: as "+one+" and as "+other, "Delete one of them."))
	return given{}, false
}

func (l *loader) secretFile(k key, name given, dir string) (given, bool) {
	path := name.texts[0]
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	refuse := func(why string) (given, bool) {
		l.add(name.problem(k, fmt.Sprintf("is to be read from %s, which %s", path, why),
			"Write the secret, and nothing else, into that file, readable by the user that runs contactsync."))
		return given{}, false
	}
	content, err := readLimited(path, maxSecret)
	if err != nil {
		return refuse("cannot be read: " + reason(err))
	}
	text := strings.TrimRight(string(content), "\r\n")
	if strings.TrimSpace(text) == "" {
		return refuse("is empty")
	}
	texts := []string{text}
	if k.isList() {
		texts = slices.DeleteFunc(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }),
			func(line string) bool { return strings.TrimSpace(line) == "" })
	} else if strings.ContainsAny(text, "\r\n") {
		return refuse("holds several lines")
	}
	return given{texts, name.origin}, true
}

// split takes the values of a variable apart.
func split(k key, text string) []string {
	if !k.isList() {
		return []string{text}
	}
	var values []string
	for value := range strings.SplitSeq(text, ",") {
		if value = strings.TrimSpace(value); value != "" {
			values = append(values, value)
		}
	}
	return values
}

// strangeVariables warns of variables that nobody reads.
func (l *loader) strangeVariables(keys []key) []Problem {
	known := slices.Clone(otherVariables)
	for _, k := range keys {
		known = append(known, k.variable())
		if k.isSecret() {
			known = append(known, k.fileVariable())
		}
	}
	var warnings []Problem
	for name := range l.env {
		if slices.Contains(known, name) {
			continue
		}
		remedy := "contactsync config check lists what it reads."
		if meant := nearest(name, known); meant != "" {
			remedy = "Did you mean " + meant + "?"
		}
		warnings = append(warnings, Problem{Variable: name, FromVariable: true, Message: "means nothing to contactsync", Remedy: remedy})
	}
	slices.SortFunc(warnings, func(a, b Problem) int { return strings.Compare(a.Variable, b.Variable) })
	return warnings
}
