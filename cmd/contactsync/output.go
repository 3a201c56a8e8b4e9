package main

import (
	"strings"
)

// answer writes a command's result: the document for programs, or the text for people.
func (p *program) answer(document any, text func(*strings.Builder)) error {
	if p.output == outputJSON {
		return writeJSON(p.Stdout, document)
	}
	var w strings.Builder
	text(&w)
	return write(p.Stdout, w.String())
}
