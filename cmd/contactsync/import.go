package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"contactsync"
	"contactsync/contacts"
)

// maxCSV bounds what import reads. A CSV row says the same as a contact in the file with fewer characters, but exports
// bring many columns that are not wanted.
const maxCSV = 64 << 20

// fileDocument is what import and export answer: the file that they made.
type fileDocument struct {
	Organization string                `json:"organization,omitempty"` // that was exported
	Contacts     int                   `json:"contacts"`
	Dropped      []droppedRow          `json:"dropped,omitempty"`  // by import
	LeftOut      []contactsync.LeftOut `json:"left_out,omitempty"` // by export
	Out          string                `json:"out,omitempty"`      // where it was written to
	YAML         string                `json:"yaml,omitempty"`     // its text, where it was not written to a file
}

// droppedRow is a row of a CSV that gave no contact.
type droppedRow struct {
	Row    int    `json:"row"`
	Text   string `json:"text"`
	Reason string `json:"reason"`
}

// outFlags say where a contacts file goes.
type outFlags struct {
	out   string
	force bool
}

func (f *outFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.out, "out", "", "write to `FILE` instead of standard output")
	cmd.Flags().BoolVar(&f.force, "force", false, "replace FILE if it exists")
}

func (p *program) importCommand() *cobra.Command {
	var flags outFlags
	cmd := &cobra.Command{
		Use:   "import FILE.csv",
		Short: "Turns a CSV into a contacts file",
		Long: `Turns a CSV with name and e-mail columns into a contacts file, in the order of its rows. It reads what a desk's
search exports give, with commas, semicolons or tabs; "-" is standard input. Rows that give no contact are named on
standard error, with the reason. Needs no configuration and no network.`,
		Example: `  contactsync import export.csv --out contacts.yaml
  contactsync import - < export.csv`,
		Args: arguments(1, 1, "FILE.csv"),
		RunE: func(cmd *cobra.Command, args []string) error {
			content, err := p.readInput(args[0], maxCSV)
			if err != nil {
				return err
			}
			csv, err := contacts.ReadCSV(content)
			document := fileDocument{Contacts: len(csv.Contacts)}
			for _, dropped := range csv.Dropped {
				document.Dropped = append(document.Dropped, droppedRow(dropped))
			}
			if err != nil || p.output == outputText { // else the document has them
				if err := p.tellDropped(args[0], document.Dropped); err != nil {
					return err
				}
			}
			if err != nil {
				return onTheSpot(fmt.Errorf("reading %s: %w", args[0], err), "Correct the table, and import again.")
			}
			err = p.deliver(cmd, flags, contacts.File{Contacts: csv.Contacts}, document)
			return onTheSpot(err, "One file cannot list so many. Leave out of the table who is no contact any more, and import again.")
		},
	}
	flags.register(cmd)
	return cmd
}

func (p *program) tellDropped(name string, rows []droppedRow) error {
	var text strings.Builder
	for _, row := range rows {
		fmt.Fprintf(&text, "%s row %d (%s) dropped: %s\n", printable(name), row.Row, printable(row.Text), printable(row.Reason))
	}
	return write(p.Stderr, text.String())
}

// deliver renders a contacts file and writes it where the flags say.
func (p *program) deliver(cmd *cobra.Command, flags outFlags, file contacts.File, document fileDocument) error {
	rendered, err := contacts.Render(file)
	if err != nil {
		return fmt.Errorf("writing the contacts file: %w", err)
	}
	if flags.out == "" {
		document.YAML = string(rendered)
		return p.answer(document, func(w *strings.Builder) { w.Write(rendered) })
	}
	if err := writeFile(cmd, flags, rendered); err != nil {
		return err
	}
	document.Out = flags.out
	return p.answer(document, func(w *strings.Builder) {
		fmt.Fprintf(w, "%s: %s\n", printable(flags.out), people(document.Contacts, "contact", "contacts"))
	})
}
