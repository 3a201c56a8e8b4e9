package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// versionDocument says which program this is.
type versionDocument struct {
	Version  string `json:"version"`            // of the module; "(devel)" for one built from a working tree
	Revision string `json:"revision,omitempty"` // commit that it was built from
	Modified bool   `json:"modified,omitempty"` // built from a tree with changes that are not committed
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Says which version this is",
		Example: "  contactsync version --output json",
		Args:    arguments(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			version := readVersion()
			return p.answer(version, func(w *strings.Builder) {
				fmt.Fprintf(w, "contactsync %s", version.Version)
				if version.Revision != "" {
					fmt.Fprintf(w, " (%s", version.Revision[:min(len(version.Revision), 12)])
					if version.Modified {
						w.WriteString(", modified")
					}
					w.WriteString(")")
				}
				fmt.Fprintf(w, " %s %s\n", version.Go, version.Platform)
			})
		},
	}
}

func readVersion() versionDocument {
	version := versionDocument{Version: "(devel)", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version
	}
	if info.Main.Version != "" {
		version.Version = info.Main.Version
	}
	for _, setting := range info.Settings {
		switch setting.Key {
		case "vcs.revision":
			version.Revision = setting.Value
		case "vcs.modified":
			version.Modified = setting.Value == "true"
		}
	}
	return version
}

// userAgent names the program to the systems that it talks to.
func userAgent() string {
	return "contactsync/" + strings.Trim(readVersion().Version, "()")
}
