package contacts

import (
	_ "embed"
	"slices"
)

//go:embed schema.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of the file, for editors and other programs. It says all that a JSON
// Schema can: what it cannot is that addresses are unique, the size of the file, and the finer rules of international
// domain names.
func Schema() []byte { return slices.Clone(schema) }
