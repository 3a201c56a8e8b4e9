package main_test

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	main "contactsync/cmd/contactsync"
)

// TestMain lets the test binary stand in for the program, in processes of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"contactsync": func() { os.Exit(main.Process()) },
		dyingProgram:  runUntilDeath,
	})
}

// Each script runs the real program in an empty directory, as somebody at a terminal would.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true, RequireUniqueNames: true})
}
