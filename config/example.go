package config

import (
	"bytes"
	_ "embed"
)

//go:embed example.yaml
var example []byte

// Example returns a configuration file with every key and what it is for. Its values are the defaults, besides the
// account's address and client; secrets are commented out.
func Example() []byte { return bytes.Clone(example) }
