package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"contactsync"
)

// variablePrefix begins the name of every variable that is read.
const variablePrefix = "CONTACTSYNC_"

// key is one thing that can be configured, found by walking the struct.
type key struct {
	path     string // "sync.hold_removals.floor"
	text     string
	fallback string // the default as text, "" for none
	field    reflect.Value
}

// keysOf returns the keys of the configuration in the order of the struct.
func keysOf(c *Config) []key { return walk("", "", reflect.ValueOf(c).Elem(), "") }

// walk lists the keys below a struct. A group of keys may say their defaults and the beginning of their texts in its
// own tag, because the same group serves several purposes.
func walk(path, text string, group reflect.Value, defaults reflect.StructTag) (keys []key) {
	for i := range group.NumField() {
		field := group.Type().Field(i)
		name := field.Tag.Get("key")
		if name == "" {
			continue
		}
		below := strings.TrimPrefix(path+"."+name, ".")
		if field.Type.Kind() == reflect.Struct && field.Type != reflect.TypeFor[Secret]() {
			keys = append(keys, walk(below, field.Tag.Get("text"), group.Field(i), field.Tag)...)
			continue
		}
		fallback := field.Tag.Get("default")
		if given, ok := defaults.Lookup(name); ok {
			fallback = given
		}
		keys = append(keys, key{
			path: below, text: strings.TrimSpace(text + " " + field.Tag.Get("text")),
			fallback: fallback, field: group.Field(i),
		})
	}
	return keys
}

func (k key) variable() string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(k.path, ".", "_"))
}

func (k key) isSecret() bool {
	switch k.field.Interface().(type) {
	case Secret, []Secret:
		return true
	}
	return false
}

func (k key) isList() bool { return k.field.Kind() == reflect.Slice }

// kind names what the key takes, for people.
func (k key) kind() string {
	switch k.field.Interface().(type) {
	case int:
		return "whole number"
	case bool:
		return "truth value"
	case float64:
		return "number"
	case time.Duration:
		return "duration"
	case Secret:
		return "secret"
	case []Secret:
		return "list of secrets"
	case []contactsync.Email:
		return "list of addresses"
	case []string:
		return "list of texts"
	}
	return "text"
}

// set gives the key its value; a list takes all values, anything else has exactly one. The error tells what is
// expected and never repeats the value.
func (k key) set(values []string) error {
	switch field := k.field.Addr().Interface().(type) {
	case *string:
		*field = values[0]
	case *int:
		number, err := strconv.Atoi(values[0])
		if err != nil {
			return fmt.Errorf("must be a whole number")
		}
		*field = number
	case *bool:
		if values[0] != "true" && values[0] != "false" {
			return fmt.Errorf("must be true or false")
		}
		*field = values[0] == "true"
	case *float64:
		number, err := strconv.ParseFloat(values[0], 64)
		if err != nil {
			return fmt.Errorf("must be a number")
		}
		*field = number
	case *time.Duration:
		duration, err := parseDuration(values[0])
		if err != nil {
			return err
		}
		*field = duration
	case *Secret:
		*field = NewSecret(values[0])
	case *[]Secret:
		*field = nil
		for _, value := range values {
			*field = append(*field, NewSecret(value))
		}
	case *[]contactsync.Email:
		*field = nil
		for _, value := range values {
			*field = append(*field, contactsync.NormalizeEmail(value))
		}
	case *[]string:
		*field = slices.Clone(values)
	default:
		return fmt.Errorf("cannot be set: unknown type %s", k.field.Type())
	}
	return nil
}

// parseDuration reads 90s, 15m, 4h or 30d.
func parseDuration(text string) (time.Duration, error) {
	wrong := errors.New("must be a duration such as 30s, 15m, 4h or 90d")
	if days, ok := strings.CutSuffix(text, "d"); ok {
		number, err := strconv.Atoi(days)
		if err != nil || number > maxDays {
			return 0, wrong
		}
		return time.Duration(number) * 24 * time.Hour, nil
	}
	duration, err := time.ParseDuration(text)
	if err != nil {
		return 0, wrong
	}
	return duration, nil
}

// maxDays is a century, which no retention needs and no arithmetic breaks.
const maxDays = 36500

// Key describes a key for the reference.
type Key struct {
	Path     string // in the file: "sync.hold_removals.floor"
	Variable string // in the environment: "CONTACTSYNC_SYNC_HOLD_REMOVALS_FLOOR"
	Type     string // "text", "whole number", "number", "truth value", "duration", "secret", or a list of some
	Default  string // as it would be written, "" for none
	Secret   bool   // can also be given as PATH_file and VARIABLE_FILE, the name of a file that holds it
	Text     string // what it is for
}

// Reference describes every key, in the order of the example.
func Reference() []Key {
	var reference []Key
	for _, k := range keysOf(new(Config)) {
		reference = append(reference, Key{
			Path: k.path, Variable: k.variable(), Type: k.kind(), Default: k.fallback, Secret: k.isSecret(), Text: k.text,
		})
	}
	return reference
}

// fileKey and fileVariable are where the name of a file that holds a secret is given.
func (k key) fileKey() string      { return k.path + "_file" }
func (k key) fileVariable() string { return k.variable() + "_FILE" }
