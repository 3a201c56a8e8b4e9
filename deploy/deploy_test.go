// Package deploy_test holds what operators install against the program: a key, a metric or a page that is not there
// would be found at three in the morning.
package deploy_test

import (
	"context"
	"debug/elf"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"contactsync"
	"contactsync/config"
	"contactsync/telemetry"
)

// grace is what a daemon takes at most to come to a safe point. Whoever ends it by force must wait longer.
const grace = 30 * time.Second

func read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// files returns the names of what is deployed.
func files(t testing.TB) (names []string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS("."), ".", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !strings.HasSuffix(path, ".go") {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return append(names, "../.dockerignore")
}

// Every YAML is one document without a key that comes twice.
func TestYAML(t *testing.T) {
	checked := 0
	for _, name := range files(t) {
		if ext := filepath.Ext(name); ext != ".yaml" && ext != ".yml" {
			continue
		}
		checked++
		decoder := yaml.NewDecoder(strings.NewReader(read(t, name)))
		var document map[string]any
		if err := decoder.Decode(&document); err != nil || len(document) == 0 {
			t.Errorf("%s: %v", name, err)
		}
		if err := decoder.Decode(&document); err == nil {
			t.Errorf("%s has a second document", name)
		}
	}
	if checked != 3 {
		t.Errorf("%d files were checked, want 3", checked)
	}
}

type rule struct {
	Alert, Expr, For    string
	Labels, Annotations map[string]string
}

func rules(t testing.TB) []rule {
	t.Helper()
	var document struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "prometheus/alerts.yaml")), &document); err != nil {
		t.Fatal(err)
	}
	if len(document.Groups) != 1 || len(document.Groups[0].Rules) < 10 {
		t.Fatalf("the alerts are %+v", document)
	}
	return document.Groups[0].Rules
}

// everything is a source that has something to say about everything.
type everything struct{}

func (everything) State(context.Context) (telemetry.State, error) {
	at := time.Unix(1, 0)
	return telemetry.State{LastSweep: at, LastSweepFinished: at, LastPrune: at}, nil
}

func (everything) Budget() (perMinute, left float64) { return 1, 1 }

// series returns what a daemon offers to Prometheus, metrics with their labels: one that has done nothing yet, or one
// that has done a bit of everything.
func series(t testing.TB, worked bool) map[string][]string {
	t.Helper()
	watcher := telemetry.New(t.Context(), telemetry.Options{})
	metrics := watcher.Metrics
	metrics.ReadState(everything{})
	metrics.ReadBudget(everything{})
	if worked {
		_, watch := watcher.Watch(t.Context(), contactsync.Run{Project: "1"})
		watch.Step("adding contacts")
		watch.Finish(contactsync.Run{Status: contactsync.StatusPartial, Conflicts: make([]contactsync.Conflict, 1)})
	}
	answer := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	found := map[string][]string{}
	for line := range strings.Lines(answer.Body.String()) {
		if name := regexp.MustCompile(`^# TYPE (\w+) `).FindStringSubmatch(line); name != nil {
			found[name[1]] = nil
		}
		if sample := regexp.MustCompile(`^(\w+)(\{.*\})? `).FindStringSubmatch(line); sample != nil {
			found[sample[1]] = append(found[sample[1]], sample[2])
		}
	}
	return found
}

// Every metric in an alert is one that the program offers from its first moment, and every label in it has that value
// there: an alert on something else never fires.
func TestAlertMetrics(t *testing.T) {
	offered := series(t, false)
	offered["up"] = []string{`{job="contactsync"}`} // Prometheus's own
	selector := regexp.MustCompile(`\b(up|contactsync_\w+|process_\w+)(?:\{([^}]*)\})?`)
	matcher := regexp.MustCompile(`(\w+)(=~|=)"([^"]*)"`)
	checked := 0
	for _, rule := range rules(t) {
		for _, selected := range selector.FindAllStringSubmatch(rule.Expr, -1) {
			labels, ok := offered[selected[1]]
			if !ok || len(labels) == 0 {
				t.Errorf("%s asks for %s, which is not there", rule.Alert, selected[1])
				continue
			}
			checked++
			for _, match := range matcher.FindAllStringSubmatch(selected[2], -1) {
				if match[1] == "job" { // given by Prometheus
					continue
				}
				for value := range strings.SplitSeq(match[3], "|") {
					if !slices.ContainsFunc(labels, func(l string) bool { return strings.Contains(l, match[1]+`="`+value+`"`) }) {
						t.Errorf("%s asks for %s with %s=%q, which is not there", rule.Alert, selected[1], match[1], value)
					}
				}
			}
		}
	}
	if checked < 15 {
		t.Errorf("only %d metrics were checked", checked)
	}
}

// Every alert has its page, which begins with its name and has the same parts as all others, and no page is left over.
func TestAlertPages(t *testing.T) {
	index := read(t, "../docs/alerts/README.md")
	pages, err := filepath.Glob("../docs/alerts/*.md")
	if err != nil {
		t.Fatal(err)
	}
	left := map[string]bool{"README": true}
	for _, page := range pages {
		left[strings.TrimSuffix(filepath.Base(page), ".md")] = true
	}
	delete(left, "README")
	for _, rule := range rules(t) {
		if !left[rule.Alert] {
			t.Errorf("docs/alerts/%s.md is not there, or the alert is there twice", rule.Alert)
			continue
		}
		delete(left, rule.Alert)
		page := read(t, "../docs/alerts/"+rule.Alert+".md")
		if !strings.HasPrefix(page, "# "+rule.Alert+"\n") {
			t.Errorf("the page of %s begins with something else", rule.Alert)
		}
		for _, part := range []string{"What it means", "How to see more", "What to do", "What contactsync does meanwhile"} {
			if !strings.Contains(page, "\n## "+part+"\n") {
				t.Errorf("the page of %s lacks the part %q", rule.Alert, part)
			}
		}
		severity := rule.Labels["severity"]
		if severity != "page" && severity != "ticket" {
			t.Errorf("%s has the severity %q", rule.Alert, severity)
		}
		if row := "| [" + rule.Alert + "](" + rule.Alert + ".md) | " + severity + " | "; !strings.Contains(index, "\n"+row) {
			t.Errorf("docs/alerts/README.md lacks the row %q", row)
		}
		if want := "docs/alerts/" + rule.Alert + ".md"; rule.Annotations["runbook_url"] != want {
			t.Errorf("%s points to %q, want %q", rule.Alert, rule.Annotations["runbook_url"], want)
		}
		if rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
			t.Errorf("%s says too little", rule.Alert)
		}
	}
	for name := range left {
		t.Errorf("docs/alerts/%s.md is about no alert", name)
	}
}

// Somebody is told of every class of failed runs that an operator mends, and what is not tried again does not wait for
// a second failure.
func TestRunsFailingIsComplete(t *testing.T) {
	elsewhere := map[contactsync.Class]string{
		contactsync.ClassDeskUnauthorized: "ContactsyncDeskCredentialsRefused",
		contactsync.ClassRemovalsHeld:     "ContactsyncChangesHeld",
		contactsync.ClassAdditionsHeld:    "ContactsyncChangesHeld",
		contactsync.ClassPlanChanged:      "", // told to whoever approved, at once
		// Told to whoever sets up, repairs or removes a project, at once: no run fails with them.
		contactsync.ClassProjectConflict:   "",
		contactsync.ClassGitLabRefused:     "",
		contactsync.ClassTicketNotAnswered: "",
		contactsync.ClassContactElsewhere:  "", // of single contacts: in the run, which is partial
		contactsync.ClassContactProtected:  "",
	}
	all := rules(t)
	i := slices.IndexFunc(all, func(r rule) bool { return r.Alert == "ContactsyncRunsFailing" })
	for _, info := range contactsync.Classes() {
		if alert, ok := elsewhere[info.Class]; info.Who != contactsync.WhoOperator || ok {
			if alert != "" && !slices.ContainsFunc(all, func(r rule) bool { return r.Alert == alert }) {
				t.Errorf("%s has no alert %s", info.Class, alert)
			}
			continue
		}
		var line string
		for text := range strings.Lines(all[i].Expr) {
			if regexp.MustCompile(`\b` + string(info.Class) + `\b`).MatchString(text) {
				line = strings.TrimSpace(text)
			}
		}
		if once := strings.HasSuffix(line, "> 0"); line == "" || once != (info.Retry == contactsync.RetryNo) {
			t.Errorf("%s, tried again %q, is looked at by %q", info.Class, info.Retry, line)
		}
	}
}

// What the documentation says about metrics is complete.
func TestMetricsAreDocumented(t *testing.T) {
	page := read(t, "../docs/operations.md")
	offered := series(t, true)
	for name := range offered {
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if strings.HasPrefix(name, "contactsync_") && !strings.Contains(page, "| `"+base+"`") {
			t.Errorf("docs/operations.md does not explain %s", base)
		}
	}
	for _, match := range regexp.MustCompile("(?m)^\\| `(contactsync_\\w+)`").FindAllStringSubmatch(page, -1) {
		if _, ok := offered[match[1]]; !ok {
			t.Errorf("docs/operations.md explains %s, which is not there", match[1])
		}
	}
}

// Every variable that is set, or shown as a comment, is one that the program reads; and no secret is given in any other
// way than as a file.
func TestVariables(t *testing.T) {
	known := map[string]bool{"CONTACTSYNC_CONFIG": true}
	for _, key := range config.Reference() {
		if key.Secret {
			known[key.Variable+"_FILE"] = true
		} else {
			known[key.Variable] = true
		}
	}
	checked := 0
	for _, name := range append(files(t), "../docs/operations.md") {
		for _, variable := range regexp.MustCompile(`\bCONTACTSYNC_[A-Z0-9_]+`).FindAllString(read(t, name), -1) {
			checked++
			if !known[variable] {
				t.Errorf("%s sets %s, which is no key of the configuration, or a secret in the open", name, variable)
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d variables were checked", checked)
	}
}

// complete reports whether a daemon can start with these variables, once the files that they name are there.
func complete(t *testing.T, dir string, env map[string]string, secrets string) {
	t.Helper()
	var list []string
	for name, value := range env {
		if strings.HasSuffix(name, "_FILE") && strings.HasPrefix(name, "CONTACTSYNC_") {
			file, ok := strings.CutPrefix(value, secrets)
			if !ok {
				t.Errorf("%s is %s, not below %s", name, value, secrets)
			}
			value = filepath.Join(dir, file)
			content := "a secret"
			if strings.Contains(name, "SIGNING") {
				content = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
			}
			write(t, value, content)
		}
		list = append(list, name+"="+value)
	}
	settings, err := config.Load(config.Sources{Env: list, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range settings.Missing(config.ForServe) {
		t.Errorf("%s", problem)
	}
	for _, problem := range settings.Warnings() {
		t.Errorf("%s", problem)
	}
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// With the unit and the configuration that the documentation shows beside it, a daemon has all it needs; it is given
// time to stop; and the walls around it stand.
func TestUnit(t *testing.T) {
	unit := map[string][]string{}
	for line := range strings.Lines(read(t, "systemd/contactsync.service")) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			unit[name] = append(unit[name], value)
		}
	}
	dir := t.TempDir()
	_, after, ok := strings.Cut(read(t, "../docs/operations.md"), "```yaml\ngitlab:")
	example, _, end := strings.Cut(after, "```")
	if !ok || !end {
		t.Fatal("docs/operations.md shows no configuration")
	}
	write(t, filepath.Join(dir, "contactsync.yaml"), "gitlab:"+example)
	env := map[string]string{}
	for _, entry := range unit["Environment"] {
		name, value, _ := strings.Cut(entry, "=")
		if name == "CONTACTSYNC_CONFIG" {
			value = filepath.Join(dir, filepath.Base(value))
		}
		env[name] = value
		if credential, ok := strings.CutPrefix(value, "%d/"); ok {
			if !slices.ContainsFunc(unit["LoadCredential"], func(l string) bool { return strings.HasPrefix(l, credential+":/etc/contactsync/") }) {
				t.Errorf("%s names the credential %s, which is not loaded", name, credential)
			}
		}
	}
	complete(t, dir, env, "%d/")
	if stop, err := time.ParseDuration(strings.Join(unit["TimeoutStopSec"], "")); err != nil || stop <= grace {
		t.Errorf("it is ended by force after %v (%v)", stop, err)
	}
	for name, want := range map[string]string{
		"Restart": "always", "KillSignal": "SIGTERM", "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "ProtectSystem": "strict",
		"ProtectHome": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes", "MemoryDenyWriteExecute": "yes", "UMask": "0077",
		"SystemCallFilter": "@system-service ~@privileged @resources", "StateDirectory": "contactsync", "User": "contactsync",
	} {
		if got, ok := unit[name]; !ok || strings.Join(got, " ") != want {
			t.Errorf("%s=%s, want %s", name, got, want)
		}
	}
}

// The same for Compose; and each service has no more rights than it needs.
func TestCompose(t *testing.T) {
	var document struct {
		Services map[string]struct {
			Environment     map[string]string
			Secrets         []string
			User            string
			StopGracePeriod string   `yaml:"stop_grace_period"`
			ReadOnly        bool     `yaml:"read_only"`
			CapDrop         []string `yaml:"cap_drop"`
			SecurityOpt     []string `yaml:"security_opt"`
			Build           struct{ Context, Dockerfile string }
			Deploy          struct{ Replicas int }
		}
		Secrets map[string]struct{ File string }
	}
	if err := yaml.Unmarshal([]byte(read(t, "compose.yaml")), &document); err != nil {
		t.Fatal(err)
	}
	for name, service := range document.Services {
		if !service.ReadOnly || !slices.Equal(service.CapDrop, []string{"ALL"}) || !slices.Contains(service.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s has more rights than it needs: %+v", name, service)
		}
		for _, secret := range service.Secrets {
			if document.Secrets[secret].File != "secrets/"+secret {
				t.Errorf("%s wants the secret %s, which is not declared", name, secret)
			}
		}
		for _, value := range service.Environment {
			for _, file := range regexp.MustCompile(`/run/secrets/(\w+)`).FindAllStringSubmatch(value, -1) {
				if !slices.Contains(service.Secrets, file[1]) {
					t.Errorf("%s reads the secret %s, which it does not get", name, file[1])
				}
			}
		}
	}
	daemon := document.Services["contactsync"]
	complete(t, t.TempDir(), daemon.Environment, "/run/secrets/")
	if stop, err := time.ParseDuration(daemon.StopGracePeriod); err != nil || stop <= grace {
		t.Errorf("it is ended by force after %v (%v)", stop, err)
	}
	if daemon.Deploy.Replicas < 2 {
		t.Error("nothing is shown of several processes on one store")
	}
	if _, err := os.Stat(filepath.Join(daemon.Build.Context, daemon.Build.Dockerfile)); err != nil {
		t.Error(err)
	}
}

// The image is what its text promises: built by the Go that the module asks for, with a program that needs nothing
// from the image that it lies in, run by nobody in particular.
func TestContainerfile(t *testing.T) {
	text := read(t, "Containerfile")
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))[1]
	build := regexp.MustCompile(`CGO_ENABLED=0 (go build .*) -o \S+ (\S+)`).FindStringSubmatch(text)
	stages := strings.Split(text, "\nFROM ")
	last := stages[len(stages)-1]
	if !strings.Contains(text, "ARG GO_VERSION="+goVersion+"\n") || build == nil || !strings.HasPrefix(last, "scratch\n") ||
		!strings.Contains(last, "\nUSER 65532:65532\n") || !strings.Contains(last, "\nEXPOSE 8080\n") || !strings.Contains(last, "\nVOLUME /data\n") {
		t.Errorf("the Containerfile is not as it should be (Go %s)", goVersion)
	}

	program := filepath.Join(t.TempDir(), "contactsync")
	command := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w", "-buildvcs=false", "-o", program, build[2])
	command.Dir = ".."
	command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	binary, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	if libraries, err := binary.ImportedLibraries(); len(libraries) > 0 || slices.ContainsFunc(binary.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Errorf("the program needs %q (%v)", libraries, err)
	}
}

// Nothing here is a secret, or looks like one.
func TestNoSecrets(t *testing.T) {
	pattern := regexp.MustCompile(`glpat-\w|whsec_\w|-----BEGIN|://[^/@\s:]+:[^/@\s]+@|(?i)(password|token|secret)["']?\s*[:=]\s*["']?[A-Za-z0-9+]{16,}`)
	for _, name := range append(files(t), "../docs/operations.md") {
		if found := pattern.FindString(read(t, name)); found != "" {
			t.Errorf("%s holds %q", name, found)
		}
	}
	if !pattern.MatchString("postgres://u:p@db/x") || !pattern.MatchString("token: abcdefghijklmnop1") {
		t.Error("the pattern finds nothing")
	}
}
