package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"contactsync"
	"contactsync/config"
	fakegitlab "contactsync/internal/fakes/gitlab"
)

// checked is what config check answers.
type checked struct {
	Valid  bool
	Checks []struct {
		Name, Detail string
		OK           bool
		Error        *contactsync.Failure
	}
	Error    *contactsync.Failure
	Problems []config.Problem
}

// With nothing configured, everything that is missing is named at once, with the variable that sets it.
func TestConfigCheckNamesAllThatIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.env = nil
	variables := []string{
		"CONTACTSYNC_GITLAB_TOKEN", "CONTACTSYNC_ZENDESK_URL", "CONTACTSYNC_ZENDESK_CLIENT_ID", "CONTACTSYNC_ZENDESK_CLIENT_SECRET",
	}
	w.run("config", "check").ends(2).says(append(variables, "Wrong configuration (wrong_configuration)")...)
	var document checked
	w.json(&document, "config", "check").ends(2)
	if document.Error == nil || document.Error.Class != "wrong_configuration" || len(document.Problems) != len(variables) {
		t.Errorf("got %+v", document)
	}
	for _, command := range [][]string{{"sync", "1"}, {"plan", "1"}, {"export", "42"}} {
		w.run(command...).ends(2).says("CONTACTSYNC_ZENDESK_URL")
	}
	w.run("runs").ends(0)
}

// What is wrong in the file is named with its line.
func TestConfigCheckNamesLines(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := filepath.Join(w.dir, "contactsync.yaml")
	text := "gitlab:\n  url: http://gitlab.example.com\n  tokn: x\nsync:\n  names: nobody\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w.env = nil
	w.run("config", "check", "--config", file).ends(2).says(file+":2:", file+":3:", file+":5:", "https://")
	w.run("config", "check", "--config", file+".not").ends(2).says("cannot be read")
}

// A complete configuration is tried: the store, GitLab's token and the desk's credentials, all of them even when one
// does not work.
func TestConfigCheckTriesCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	try := func(status int, failing ...string) {
		t.Helper()
		var document checked
		w.json(&document, "config", "check").ends(status)
		if len(document.Checks) != 4 || document.Valid != (len(failing) == 0) {
			t.Fatalf("got %+v", document)
		}
		for _, c := range document.Checks {
			if want := !strings.Contains(strings.Join(failing, " "), c.Name); c.OK != want || (c.Error == nil) != want {
				t.Errorf("%s is %v, want %v: %+v", c.Name, c.OK, want, c.Error)
			}
		}
	}
	try(0)
	w.run("config", "check").ends(0).says("store    ok", "gitlab   ok", "scopes api", "zendesk  ok", "serve would not start", "webhook.master_key")
	w.set("CONTACTSYNC_GITLAB_TOKEN=wrong", "CONTACTSYNC_ZENDESK_CLIENT_SECRET=wrong")
	try(1, "gitlab", "zendesk")
	w.run("config", "check").ends(1).says("(repository_unreachable)", "(desk_unauthorized)")
	w.set("CONTACTSYNC_TEMPLATES_DIR=" + w.dir)
	w.run("config", "check").ends(2).says("templates.dir cannot be used", "contactsync.db")
	w.set("CONTACTSYNC_TEMPLATES_DIR=" + t.TempDir())
	other := filepath.Join(w.dir, "other.db")
	if err := os.WriteFile(other, []byte(strings.Repeat("no database ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	w.set("CONTACTSYNC_STORE=sqlite:" + other)
	w.run("config", "check").ends(2).says("store cannot be used", "file is not a database", "Name another file under store")
}

// A token that may only read works: config check says that nobody will be told on GitLab, where somebody is to be.
func TestConfigCheckTellsOfAMuteToken(t *testing.T) {
	t.Parallel()
	w := newWorldAround(t, newForge(t, func(o *fakegitlab.Options) { o.Scopes = []string{"read_api", "read_repository"} }))
	w.run("config", "check").ends(0).says("gitlab   ok", "scopes read_api, read_repository; ", "may not write", "scope api", "role Maintainer")
	w.set(silent...)
	w.run("config", "check").ends(0).says("scopes read_api, read_repository\n").keepsQuietOf("may not write")
}

// silent is the configuration of who tells nobody anything on GitLab.
var silent = []string{
	"CONTACTSYNC_REPORT_STATUSES=false", "CONTACTSYNC_REPORT_NOTES=false", "CONTACTSYNC_REPORT_MERGE_REQUESTS=false", "CONTACTSYNC_REPORT_BADGE=off",
}

// A store that this version cannot use is a matter of configuration, whichever command meets it.
func TestStoreOfAnotherVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("CONTACTSYNC_STORE=postgres://db.example.com:port/contactsync")
	for _, command := range [][]string{{"sync", "101"}, {"plan", "101"}, {"runs"}, {"config", "check"}} {
		w.run(command...).ends(2).says("store cannot be used", "postgres://USER@HOST")
	}
}

// An API token still works, and its end is told on standard error, where it disturbs no program.
func TestAPITokenWarns(t *testing.T) {
	t.Parallel()
	w := newWorldWithToken(t, "agent@example.com", secret)
	w.push(w.members(2))
	var run contactsync.Run
	r := w.json(&run, "sync", "101").ends(0)
	if !strings.Contains(r.stderr, "2027-04-30") {
		t.Errorf("standard error does not warn: %s", r.stderr)
	}
	if r := w.run("sync", "101", "--log-level", "error").ends(0); r.stderr != "" {
		t.Errorf("nothing was to be told, but standard error says %s", r.stderr)
	}
}
