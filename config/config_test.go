package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"contactsync"
	"contactsync/config"
)

// load reads a configuration file with this content in a folder of its own; no content is no file.
func load(t testing.TB, content string, env ...string) (config.Config, error) {
	t.Helper()
	dir := t.TempDir()
	if content != "" {
		write(t, filepath.Join(dir, config.FileName), content)
	}
	return config.Load(config.Sources{Dir: dir, Env: env})
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustLoad(t testing.TB, content string, env ...string) config.Config {
	t.Helper()
	c, err := load(t, content, env...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// at returns the field that a path names, found by the struct's own tags.
func at(t testing.TB, c *config.Config, path string) reflect.Value {
	t.Helper()
	value := reflect.ValueOf(c).Elem()
next:
	for name := range strings.SplitSeq(path, ".") {
		for i := range value.NumField() {
			if value.Type().Field(i).Tag.Get("key") == name {
				value = value.Field(i)
				continue next
			}
		}
		t.Fatalf("the struct has no %s of %s", name, path)
	}
	return value
}

// shownAt is a field's value as text, secrets revealed.
func shownAt(t testing.TB, c config.Config, path string) string {
	t.Helper()
	switch value := at(t, &c, path).Interface().(type) {
	case config.Secret:
		return value.Reveal()
	case []config.Secret:
		var texts []string
		for _, secret := range value {
			texts = append(texts, secret.Reveal())
		}
		return fmt.Sprint(texts)
	case time.Duration: // as people write it
		if day := 24 * time.Hour; value > day && value%day == 0 {
			return fmt.Sprintf("%dd", value/day)
		}
		return strings.NewReplacer("h0m0s", "h", "m0s", "m").Replace(value.String())
	default:
		return fmt.Sprint(value)
	}
}

// Without a file and without variables, everything is as the contract says.
func TestDefaults(t *testing.T) {
	t.Parallel()
	got := mustLoad(t, "")
	want := config.Default()
	want.GitLab = config.GitLab{URL: "https://gitlab.com", Group: "support/zd-global-orgs", Branch: "master", File: "contacts.yaml", DeletionDays: 30}
	want.Desk = "zendesk"
	want.Zendesk = config.Zendesk{ProjectField: "cmp_id", Budget: 0.5, Bulk: "auto"}
	want.Store = "sqlite:contactsync.db"
	want.Webhook = config.Webhook{Listen: "127.0.0.1:8080"}
	want.Sync = config.Sync{HoldRemovals: config.Threshold{Floor: 3, Percent: 30},
		HoldAdditions: config.Threshold{Floor: 100, Percent: 100}, PeopleElsewhere: "refuse", Names: "file"}
	want.Limits = config.Limits{ContactsWithoutProject: 30, Maintainers: 5}
	want.Schedule = config.Schedule{Resync: "17 3 * * *", Spread: 4 * time.Hour, Hooks: 6 * time.Hour}
	want.Sweep = config.Sweep{Hold: config.SweepHold{Organizations: 3, Floor: 50, Percent: 5}}
	want.Serve = config.Serve{Runs: 4, Grace: 30 * time.Second, Lease: 30 * time.Second}
	want.Retention = config.Retention{Deliveries: 30 * 24 * time.Hour, Runs: 90 * 24 * time.Hour, Audit: 1095 * 24 * time.Hour}
	want.Eligibility = config.Eligibility{Seats: 50, Grace: 14 * 24 * time.Hour, Fields: config.EligibilityFields{
		Level: "support_level", Seats: "seats_decimal", Expires: "expiration_date", DotComPremium: "sub_dotcom_premium",
		DotComUltimate: "sub_dotcom_ultimate", SelfManagedPremium: "sub_sm_premium", SelfManagedUltimate: "sub_sm_ultimate",
		Dedicated: "sub_gitlab_dedicated"}}
	want.Replies = config.Replies{Intro: "Support::Support Ops::Contact management intro",
		NotQualified: "Support::Support-Ops::Not qualified for CMP", SetUp: "Support::Support Ops::Contact management project setup",
		OverLimit: "Support::Support Ops::Maximum contacts reached"}
	want.Report = config.Report{Statuses: true, Notes: true, MergeRequests: true, Badge: "drawn",
		BadgeSynced: "https://img.shields.io/badge/Sync%20Status-Success-green",
		BadgeFailed: "https://img.shields.io/badge/Sync%20Status-Failed-red"}
	for _, key := range config.Reference() {
		if got, want := shownAt(t, got, key.Path), shownAt(t, want, key.Path); got != want {
			t.Errorf("%s: got %q, want %q", key.Path, got, want)
		}
	}
	if problems := got.Validate(); len(problems) != 0 {
		t.Errorf("the defaults are wrong: %v", problems)
	}
}

// other is a valid value that is not the default, for every key.
var other = map[string]string{
	"gitlab.url":                               "https://gitlab.example.com",
	"gitlab.token":                             "glpat-sesame",
	"gitlab.group":                             "contacts",
	"gitlab.template_project":                  "4711",
	"gitlab.branch":                            "main",
	"gitlab.file":                              "support/contacts.yaml",
	"gitlab.deletion_days":                     "7",
	"desk":                                     "zendesk", // there is no other one yet
	"zendesk.url":                              "https://example.zendesk.com",
	"zendesk.client_id":                        "client",
	"zendesk.client_secret":                    "sesame",
	"zendesk.email":                            "agent@example.com",
	"zendesk.token":                            "0123",
	"zendesk.project_field":                    "project",
	"zendesk.requests_per_minute":              "400",
	"zendesk.budget":                           "0.25",
	"zendesk.bulk":                             "off",
	"store":                                    "sqlite:other.db",
	"webhook.listen":                           "[::1]:9090",
	"webhook.url":                              "https://contacts.example.com",
	"webhook.signing_token":                    "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz",
	"webhook.token":                            "sesame",
	"webhook.trigger_token":                    "sesame",
	"webhook.master_key":                       "1:MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
	"sync.hold_removals.floor":                 "0",
	"sync.hold_removals.percent":               "10",
	"sync.hold_additions.floor":                "5",
	"sync.hold_additions.percent":              "250",
	"sync.people_elsewhere":                    "add",
	"sync.names":                               "desk",
	"sync.protected":                           "ceo@example.com",
	"limits.contacts_without_project":          "0",
	"limits.contacts_with_project":             "500",
	"limits.maintainers":                       "7",
	"schedule.resync":                          "0 4 * * 1",
	"sweep.hold.organizations":                 "9",
	"sweep.hold.floor":                         "60",
	"sweep.hold.percent":                       "6",
	"schedule.spread":                          "1h30m",
	"schedule.hooks":                           "12h",
	"serve.runs":                               "8",
	"serve.grace":                              "1m",
	"serve.lease":                              "45s",
	"retention.deliveries":                     "2d",
	"retention.runs":                           "3d",
	"retention.audit":                          "365d",
	"eligibility.seats":                        "500",
	"eligibility.grace":                        "30d",
	"eligibility.criteria":                     "seats",
	"eligibility.fields.support_level":         "level",
	"eligibility.fields.seats":                 "seats",
	"eligibility.fields.expires":               "ends",
	"eligibility.fields.dotcom_premium":        "a",
	"eligibility.fields.dotcom_ultimate":       "b",
	"eligibility.fields.self_managed_premium":  "c",
	"eligibility.fields.self_managed_ultimate": "d",
	"eligibility.fields.dedicated":             "e",
	"eligibility.fields.sold_to":               "buyer",
	"eligibility.fields.namespace":             "group",
	"replies.intro":                            "Intro",
	"replies.not_qualified":                    "Not qualified",
	"replies.set_up":                           "Set up",
	"replies.removed":                          "Removed",
	"replies.over_limit":                       "Over limit",
	"report.statuses":                          "false",
	"report.notes":                             "false",
	"report.merge_requests":                    "false",
	"report.gate":                              "true",
	"report.names":                             "true",
	"report.badge":                             "off",
	"report.badge_url":                         "https://badges.example.com",
	"report.badge_synced":                      "https://example.com/good.svg",
	"report.badge_failed":                      "https://example.com/bad.svg",
	"templates.dir":                            "texts",
	"notify.slack":                             "https://hooks.slack.com/services/sesame",
	"notify.mattermost":                        "https://chat.example.com/hooks/sesame",
	"notify.google_chat":                       "https://chat.googleapis.com/v1/spaces/x/messages?key=sesame&token=sesame",
	"notify.json":                              "http://127.0.0.1:9000/sesame",
	"notify.ticket":                            "42",
	"notify.events":                            "sweep_held",
}

// inFile writes a path as nested keys.
func inFile(path, value string) string {
	var text strings.Builder
	names := strings.Split(path, ".")
	for depth, name := range names {
		text.WriteString(strings.Repeat("  ", depth) + name + ":")
		if depth < len(names)-1 {
			text.WriteString("\n")
		}
	}
	return text.String() + " " + value + "\n"
}

// Every key can be set by the file and by its variable, every secret by the name of a file, and the variable wins.
func TestEveryKey(t *testing.T) {
	t.Parallel()
	keys := config.Reference()
	if len(keys) != len(other) {
		t.Errorf("%d keys, and values for %d", len(keys), len(other))
	}
	for _, key := range keys {
		t.Run(key.Path, func(t *testing.T) {
			t.Parallel()
			value := other[key.Path]
			want := value
			if strings.HasPrefix(key.Type, "list") {
				want = "[" + value + "]"
			}
			if fallback := shownAt(t, config.Default(), key.Path); fallback == want && key.Path != "desk" {
				t.Fatalf("the value to try is the default, %q", fallback)
			}
			written := value
			if strings.HasPrefix(value, "[") {
				written = `"` + value + `"`
			}
			if got := shownAt(t, mustLoad(t, inFile(key.Path, written)), key.Path); got != want {
				t.Errorf("by file: got %q, want %q", got, want)
			}
			if got := shownAt(t, mustLoad(t, "", key.Variable+"="+value), key.Path); got != want {
				t.Errorf("by variable: got %q, want %q", got, want)
			}
			file := inFile(key.Path, map[string]string{"whole number": "42", "number": "0.75", "duration": "2m"}[key.Type])
			if got := shownAt(t, mustLoad(t, file, key.Variable+"="+value), key.Path); got != want {
				t.Errorf("by both: got %q, want the variable's %q", got, want)
			}
			if !key.Secret {
				return
			}
			dir := t.TempDir()
			write(t, filepath.Join(dir, "secret"), value+"\r\n")
			write(t, filepath.Join(dir, config.FileName), inFile(key.Path+"_file", "secret"))
			for name, sources := range map[string]config.Sources{
				"by the name of a file in the file":     {Dir: dir},
				"by the name of a file in the variable": {Dir: dir, File: filepath.Join(t.TempDir(), "none.yaml"), Env: []string{key.Variable + "_FILE=secret"}},
			} {
				if sources.File != "" {
					write(t, sources.File, "")
				}
				c, err := config.Load(sources)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if got := shownAt(t, c, key.Path); got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}
		})
	}
}

// The reference says of every key what it is for, and its names are unambiguous.
func TestReference(t *testing.T) {
	t.Parallel()
	variables := map[string]string{}
	for _, key := range config.Reference() {
		if !strings.HasSuffix(key.Text, ".") || len(key.Text) < 10 {
			t.Errorf("%s: %q is no sentence", key.Path, key.Text)
		}
		want := "CONTACTSYNC_" + strings.ToUpper(strings.ReplaceAll(key.Path, ".", "_"))
		if key.Variable != want {
			t.Errorf("%s: the variable is %s", key.Path, key.Variable)
		}
		names := []string{key.Variable}
		if key.Secret {
			names = append(names, key.Variable+"_FILE")
		}
		for _, name := range names {
			if taken := variables[name]; taken != "" {
				t.Errorf("%s stands for %s and for %s", name, taken, key.Path)
			}
			variables[name] = key.Path
		}
		if got := shownAt(t, config.Default(), key.Path); key.Default != "" && got != key.Default {
			t.Errorf("%s: the default is %q, the reference says %q", key.Path, got, key.Default)
		}
	}
	if variables["CONTACTSYNC_SYNC_HOLD_REMOVALS_FLOOR"] != "sync.hold_removals.floor" {
		t.Error("CONTACTSYNC_SYNC_HOLD_REMOVALS_FLOOR is not known")
	}
}

// The example loads, changes nothing but what it must, and mentions every key.
func TestExample(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, string(config.Example()))
	want := config.Default()
	want.Zendesk.URL, want.Zendesk.ClientID = "https://example.zendesk.com", "contactsync"
	for _, key := range config.Reference() {
		if got, want := shownAt(t, c, key.Path), shownAt(t, want, key.Path); got != want {
			t.Errorf("%s: got %q, want %q", key.Path, got, want)
		}
		name := key.Path[strings.LastIndexByte(key.Path, '.')+1:]
		if !strings.Contains(string(config.Example()), name+":") {
			t.Errorf("%s is not in the example", key.Path)
		}
	}
	// With the comments taken off, the secrets are where they belong.
	uncommented := strings.NewReplacer("# token: glpat-…", "token: glpat-…", "# client_secret:", "client_secret:", "# email:", "email:",
		"# token: …", "token: …", "# signing_token: whsec_…", "signing_token: "+other["webhook.signing_token"],
		"# trigger_token:", "trigger_token:", `# master_key: "1:…"`, "master_key: "+other["webhook.master_key"],
		"# slack:", "slack:", "# mattermost:", "mattermost:", "# google_chat:", "google_chat:", "# json:", "json:").Replace(string(config.Example()))
	c = mustLoad(t, uncommented)
	if missing := c.Missing(config.ForServe); len(missing) != 0 {
		t.Errorf("missing: %v", missing)
	}
	for _, key := range config.Reference() {
		if key.Secret && shownAt(t, c, key.Path) == shownAt(t, config.Default(), key.Path) {
			t.Errorf("%s is not where it belongs in the example", key.Path)
		}
	}
}

// Lists may be written as one value or as several, and in variables with commas.
func TestLists(t *testing.T) {
	t.Parallel()
	want := "[ada@example.com bob@xn--bcher-kva.example]"
	for _, file := range []string{
		"sync:\n  protected: [Ada@Example.com, bob@bücher.example]\n",
		"sync:\n  protected:\n  - ' Ada@Example.com '\n  - bob@bücher.example\n",
	} {
		if got := shownAt(t, mustLoad(t, file), "sync.protected"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	c := mustLoad(t, "", "CONTACTSYNC_SYNC_PROTECTED=Ada@Example.com, bob@bücher.example,")
	if got := shownAt(t, c, "sync.protected"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if !slices.Equal(c.Sync.Protected, []contactsync.Email{"ada@example.com", "bob@xn--bcher-kva.example"}) {
		t.Errorf("got %v", c.Sync.Protected)
	}
	c = mustLoad(t, "webhook:\n  token: [one, 'two, three']\n")
	if len(c.Webhook.Token) != 2 || c.Webhook.Token[1].Reveal() != "two, three" {
		t.Errorf("got %s", shownAt(t, c, "webhook.token"))
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "tokens"), "one\r\n\ntwo\n")
	c, err := config.Load(config.Sources{Dir: dir, Env: []string{"CONTACTSYNC_WEBHOOK_TOKEN_FILE=tokens"}})
	if err != nil || shownAt(t, c, "webhook.token") != "[one two]" {
		t.Errorf("got %s, %v", shownAt(t, c, "webhook.token"), err)
	}
}

// Texts are taken as they are written, and what is null or empty counts as absent.
func TestTextsAsWritten(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "gitlab:\n  branch: no\n  template_project: 0123\n  token: 12345678901234567890\n  group:\n"+
		"zendesk:\nwebhook:\n  token: ~\nschedule:\n  resync: ''\nreplies:\n  intro: \"\"\n  set_up:\n",
		"CONTACTSYNC_STORE=", "CONTACTSYNC_ZENDESK_REQUESTS_PER_MINUTE=", "PATH=/bin", "UNRELATED")
	for path, want := range map[string]string{
		"gitlab.branch": "no", "gitlab.template_project": "0123", "gitlab.token": "12345678901234567890",
		"gitlab.group": "support/zd-global-orgs", "zendesk.bulk": "auto", "webhook.token": "[]", "schedule.resync": "",
		"replies.intro": "", "replies.set_up": "Support::Support Ops::Contact management project setup",
		"store": "sqlite:contactsync.db",
	} {
		if got := shownAt(t, c, path); got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

// Addresses come without the slash that would double in every request.
func TestAddressesAreTidied(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "gitlab: {url: 'https://example.com/gitlab/', group: /a/b/}\nzendesk: {url: 'https://example.zendesk.com/'}\n")
	if c.GitLab.URL != "https://example.com/gitlab" || c.Zendesk.URL != "https://example.zendesk.com" || c.GitLab.Group != "a/b" {
		t.Errorf("got %s, %s, %s", c.GitLab.URL, c.Zendesk.URL, c.GitLab.Group)
	}
}

// The file is the one that is named, else that of the variable, else the one in the working directory.
func TestWhichFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"named.yaml", "variable.yaml", config.FileName} {
		write(t, filepath.Join(dir, name), "gitlab: {branch: "+name+"}\n")
	}
	variable := []string{"CONTACTSYNC_CONFIG=variable.yaml"}
	for _, test := range []struct {
		sources config.Sources
		want    string
	}{
		{config.Sources{Dir: dir, File: "named.yaml", Env: variable}, "named.yaml"},
		{config.Sources{Dir: dir, File: filepath.Join(dir, "named.yaml")}, "named.yaml"},
		{config.Sources{Dir: dir, Env: variable}, "variable.yaml"},
		{config.Sources{Dir: dir}, config.FileName},
		{config.Sources{Dir: t.TempDir()}, "master"},
	} {
		c, err := config.Load(test.sources)
		if err != nil || c.GitLab.Branch != test.want {
			t.Errorf("got %s, %v; want %s", c.GitLab.Branch, err, test.want)
		}
	}
	for _, sources := range []config.Sources{{Dir: dir, File: "none.yaml"}, {Dir: dir, Env: []string{"CONTACTSYNC_CONFIG=none.yaml"}}} {
		_, err := config.Load(sources)
		want := "none.yaml: cannot be read: no such file or directory. Name a configuration file with --config or CONTACTSYNC_CONFIG, or none at all."
		if err == nil || err.Error() != want {
			t.Errorf("got %v", err)
		}
	}
}

// Every problem is named at once, with its place, what is wrong, and how to mend it.
func TestProblems(t *testing.T) {
	t.Parallel()
	const f = config.FileName
	tests := map[string]struct {
		file string
		env  []string
		want []string
	}{
		"unknown key":             {"gitlab:\n  ulr: x\n", nil, []string{f + ":2: gitlab.ulr is no key that contactsync knows. Did you mean url?"}},
		"unknown key at top":      {"zendesc: {}\n", nil, []string{f + ":1: zendesc is no key that contactsync knows. Did you mean zendesk?"}},
		"unknown, far off":        {"limits:\n  unrelated: 1\n", nil, []string{f + ":2: limits.unrelated is no key that contactsync knows. Known here: contacts_without_project, contacts_with_project, maintainers."}},
		"odd key":                 {"\"a\\nb\": 1\n", nil, []string{f + `:1: "a\nb" is no key that contactsync knows. Known here: gitlab, desk, zendesk, store, webhook, sync, limits, schedule, sweep, serve, retention, eligibility, replies, report, templates, notify.`}},
		"duplicate key":           {"desk: zendesk\nstore: sqlite:x\ndesk: zendesk\n", nil, []string{f + ":3: desk is given twice, first in line 1. Delete one of them."}},
		"no group":                {"gitlab: https://gitlab.com\n", nil, []string{f + ":1: gitlab must be a set of keys. The keys are: url, token, token_file, group, template_project, branch, file, deletion_days."}},
		"list at top":             {"- gitlab\n", nil, []string{f + ":1: must be a set of keys. The keys are: gitlab, desk, zendesk, store, webhook, sync, limits, schedule, sweep, serve, retention, eligibility, replies, report, templates, notify."}},
		"second document":         {"desk: zendesk\n---\ndesk: zendesk\n", nil, []string{f + ":2: holds a second document. Delete the line --- and what follows it."}},
		"not YAML":                {"desk: [\n", nil, []string{f + ":1: is not YAML: did not find expected node content. Mend that line; texts with special characters go between quotes."}},
		"alias":                   {"gitlab: {branch: &b main}\nzendesk: {bulk: *b}\n", nil, []string{f + ":1: gitlab.branch uses an anchor or an alias. Write the value itself; one that begins with & or * goes between quotes.", f + ":2: zendesk.bulk uses an anchor or an alias. Write the value itself; one that begins with & or * goes between quotes."}},
		"merge":                   {"gitlab:\n  <<: {branch: main}\n", nil, []string{f + ":2: gitlab.<< is no key that contactsync knows. Known here: url, token, token_file, group, template_project, branch, file, deletion_days."}},
		"tag":                     {"desk: !x zendesk\n", nil, []string{f + ":1: desk uses a tag. Write the value itself; one that begins with ! goes between quotes."}},
		"text for number":         {"limits: {maintainers: '5'}\n", nil, []string{f + ":1: limits.maintainers must be a whole number. Write digits, without quotes."}},
		"fraction for whole":      {"limits: {maintainers: 5.5}\n", nil, []string{f + ":1: limits.maintainers must be a whole number. Write digits, without quotes."}},
		"hexadecimal":             {"limits: {maintainers: 0x10}\n", nil, []string{f + ":1: limits.maintainers must be a whole number. Write a whole number."}},
		"word for number":         {"", []string{"CONTACTSYNC_LIMITS_MAINTAINERS=five"}, []string{"CONTACTSYNC_LIMITS_MAINTAINERS: must be a whole number. Write a whole number."}},
		"list for text":           {"desk: [zendesk]\n", nil, []string{f + ":1: desk must be a text. Write the value behind the colon."}},
		"group for list":          {"sync: {protected: {a: b}}\n", nil, []string{f + ":1: sync.protected must be a list of addresses. Write the value behind the colon."}},
		"list in list":            {"sync:\n  protected:\n  - [a]\n", nil, []string{f + ":3: sync.protected must be a list of addresses. Write one value after each dash."}},
		"null in list":            {"sync:\n  protected:\n  -\n", nil, []string{f + ":3: sync.protected must be a list of addresses. Write one value after each dash."}},
		"negative":                {"sync: {hold_removals: {floor: -1}}\n", nil, []string{f + ":1: sync.hold_removals.floor must not be negative. Write 0 or more."}},
		"over 100 %":              {"sync: {hold_removals: {percent: 101}}\n", nil, []string{f + ":1: sync.hold_removals.percent must be at most 100. Write a percentage from 0 to 100."}},
		"budget 0":                {"zendesk: {budget: 0}\n", nil, []string{f + ":1: zendesk.budget must be above 0 and at most 1. Write 0.5 for one half."}},
		"budget not a number":     {"zendesk: {budget: .nan}\n", nil, []string{f + ":1: zendesk.budget must be a number. Write a number."}},
		"budget NaN":              {"", []string{"CONTACTSYNC_ZENDESK_BUDGET=NaN"}, []string{"CONTACTSYNC_ZENDESK_BUDGET: must be above 0 and at most 1. Write 0.5 for one half."}},
		"choice":                  {"zendesk: {bulk: of}\n", nil, []string{f + ":1: zendesk.bulk must be auto, on or off. Write auto, on or off."}},
		"choice, far off":         {"sync: {people_elsewhere: sometimes}\n", nil, []string{f + ":1: sync.people_elsewhere must be refuse or add. Write refuse or add."}},
		"names":                   {"sync: {names: both}\n", nil, []string{f + ":1: sync.names must be file or desk. Write file or desk."}},
		"desk to come":            {"desk: jsm\n", nil, []string{f + ":1: desk is jsm, which is not in this version. Write desk: zendesk."}},
		"desk unknown":            {"desk: fax\n", nil, []string{f + ":1: desk must be zendesk. Write zendesk."}},
		"plain http":              {"gitlab: {url: 'http://gitlab.example.com'}\n", nil, []string{f + ":1: gitlab.url must begin with https://. Plain http:// is taken for this machine alone (127.0.0.1, ::1, localhost)."}},
		"other scheme":            {"gitlab: {url: 'ssh://gitlab.example.com'}\n", nil, []string{f + ":1: gitlab.url must begin with https://. Write it in full, such as https://gitlab.example.com."}},
		"no scheme":               {"zendesk: {url: example.zendesk.com}\n", nil, []string{f + ":1: zendesk.url is no address. Write it in full, such as https://gitlab.example.com."}},
		"no address":              {"gitlab: {url: ''}\n", nil, []string{f + ":1: gitlab.url is no address. Write it in full, such as https://gitlab.example.com."}},
		"credentials in URL":      {"gitlab: {url: 'https://ada:sesame@gitlab.example.com'}\n", nil, []string{f + ":1: gitlab.url holds credentials. Write the address alone; credentials have keys of their own."}},
		"query in URL":            {"gitlab: {url: 'https://gitlab.example.com/?token=sesame'}\n", nil, []string{f + ":1: gitlab.url has a query or a fragment. Write the address up to the first ? or #."}},
		"branch":                  {"gitlab: {branch: 'a b'}\n", nil, []string{f + ":1: gitlab.branch is no name of a branch. Write the branch's name, such as master."}},
		"file outside":            {"gitlab: {file: ../contacts.yaml}\n", nil, []string{f + ":1: gitlab.file is no path within the repository. Write the path from the root of the repository, such as contacts.yaml."}},
		"project field":           {"zendesk: {project_field: 'a:b'}\n", nil, []string{f + ":1: zendesk.project_field is no key of an organization field. Write the field's key as Zendesk shows it: letters, digits and underscores."}},
		"store":                   {"store: 'mysql://ada:sesame@db.example.com'\n", nil, []string{f + ":1: store is no address of a store. Write store: sqlite:contactsync.db, with a path of your own, or postgres://USER@HOST/DATABASE."}},
		"listen":                  {"webhook: {listen: 8080}\n", nil, []string{f + ":1: webhook.listen is no address to listen on. Write host and port, such as 127.0.0.1:8080."}},
		"port":                    {"webhook: {listen: 'localhost:70000'}\n", nil, []string{f + ":1: webhook.listen is no address to listen on. Write host and port, such as 127.0.0.1:8080."}},
		"days":                    {"retention: {runs: 1.5d}\n", nil, []string{f + `:1: retention.runs must be a duration such as 30s, 15m, 4h or 90d. Write a duration.`}},
		"short lease":             {"serve: {lease: 5ms}\n", nil, []string{f + `:1: serve.lease must be at least 1s. Write a duration such as 30s.`}},
		"long spread":             {"schedule: {spread: 25h}\n", nil, []string{f + `:1: schedule.spread must be at most 24h0m0s. Write a duration such as 4h.`}},
		"no runs":                 {"serve: {runs: 0}\n", nil, []string{f + `:1: serve.runs must be from 1 to 100. Write 4 for a start: the desk's request limit is reached long before the machine's.`}},
		"expression":              {"eligibility:\n  criteria:\n  - seats\n  - rich: seats > 'x'\n", nil, []string{f + `:3: eligibility.criteria has a criterion rich whose expression invalid operation: > (mismatched types int and string) (at character 7). Write built-in names, or NAME: EXPRESSION; docs/eligibility.md lists facts and functions.`}},
		"no criterion":            {"", []string{"CONTACTSYNC_ELIGIBILITY_CRITERIA=seats,poor"}, []string{`CONTACTSYNC_ELIGIBILITY_CRITERIA: names the criterion poor without an expression. Write built-in names, or NAME: EXPRESSION; docs/eligibility.md lists facts and functions.`}},
		"criteria as a set":       {"eligibility: {criteria: {seats: seats > 3}}\n", nil, []string{f + `:1: eligibility.criteria must be a list of texts. Write the value behind the colon.`}},
		"two in one":              {"eligibility: {criteria: [{a: seats > 3, b: owner}]}\n", nil, []string{f + `:1: eligibility.criteria must be a list of texts. Write one value after each dash.`}},
		"field of a subscription": {"eligibility: {fields: {seats: 'a b'}}\n", nil, []string{f + `:1: eligibility.fields.seats is no key of an organization field. Write the field's key as Zendesk shows it: letters, digits and underscores.`}},
		"negative grace":          {"eligibility: {grace: -1d}\n", nil, []string{f + `:1: eligibility.grace must not be negative. Write 0 or more.`}},
		"no such day":             {"schedule: {resync: '0 0 31 2 *'}\n", nil, []string{f + `:1: schedule.resync names a date that never comes. Write minute, hour, day, month and weekday, such as "17 3 * * *" for 03:17 UTC each day.`}},
		"cron":                    {"schedule: {resync: '@daily'}\n", nil, []string{f + `:1: schedule.resync is no cron expression of five fields. Write minute, hour, day, month and weekday, such as "17 3 * * *" for 03:17 UTC each day.`}},
		"protected":               {"sync: {protected: [ada]}\n", nil, []string{f + `:1: sync.protected lists "ada", which is no e-mail address. Write addresses such as ada@example.com.`}},
		"control character":       {"gitlab: {group: \"a\\nb\"}\n", nil, []string{f + ":1: gitlab.group holds a control character or a line break. Write it on one line."}},
		"blanks around secret":    {"gitlab: {token: ' sesame'}\n", nil, []string{f + ":1: gitlab.token begins or ends with blanks, or holds a line break. Copy the secret again, without anything around it."}},
		"signing token":           {"webhook: {signing_token: [whsec_c2VzYW1l]}\n", nil, []string{f + ":1: webhook.signing_token is no signing token. Copy it from GitLab: whsec_ and the base64 form of 24 to 64 bytes."}},
		"master key":              {"webhook: {master_key: sesame}\n", nil, []string{f + ":1: webhook.master_key does not begin with a number and a colon. Write 1: and the key, and give the next key the number 2."}},
		"master key zero":         {"webhook: {master_key: '0:sesame'}\n", nil, []string{f + ":1: webhook.master_key does not begin with a number and a colon. Write 1: and the key, and give the next key the number 2."}},
		"master key short":        {"webhook: {master_key: '7:c2VzYW1l'}\n", nil, []string{f + ":1: webhook.master_key has no key of at least 32 bytes in base64 under the number 7. Make one with: openssl rand -base64 32."}},
		"master key hex":          {"webhook: {master_key: '7:sesame-0123456789abcdef0123456789abcdef0123456789abcdef'}\n", nil, []string{f + ":1: webhook.master_key has no key of at least 32 bytes in base64 under the number 7. Make one with: openssl rand -base64 32."}},
		"master keys alike":       {"webhook:\n  master_key: ['" + other["webhook.master_key"] + "', '1:sesame']\n", nil, []string{f + ":2: webhook.master_key has two keys with the number 1. Give a new key a number that none had before."}},
		"target in the open":      {"notify: {slack: 'http://hooks.example.com/sesame'}\n", nil, []string{f + ":1: notify.slack must begin with https://. Plain http:// is taken for this machine alone (127.0.0.1, ::1, localhost)."}},
		"no target":               {"notify: {json: sesame}\n", nil, []string{f + ":1: notify.json is no address. Copy the webhook's address again, in full: it begins with https://."}},
		"no ticket":               {"notify: {ticket: '+42'}\n", nil, []string{f + ":1: notify.ticket is no number of a ticket. Write the number that stands in the ticket's address at the desk."}},
		"no event":                {"notify: {events: [held, lunch]}\n", nil, []string{f + `:1: notify.events lists "lunch", which is no event. The events are: held, partial, quarantined, hook_disabled, credential_expires, sweep_held.`}},
		"secret twice in file":    {"gitlab: {token: sesame, token_file: x}\n", nil, []string{f + ":1: gitlab.token is given twice: as gitlab.token and as gitlab.token_file. Delete one of them."}},
		"secret twice in environment": {"", []string{"CONTACTSYNC_GITLAB_TOKEN=sesame", "CONTACTSYNC_GITLAB_TOKEN_FILE=x"},
			[]string{"CONTACTSYNC_GITLAB_TOKEN_FILE: is given twice: as CONTACTSYNC_GITLAB_TOKEN and as CONTACTSYNC_GITLAB_TOKEN_FILE. Delete one of them."}},
		"all at once, in the order of the file and then of the keys": {
			"limits: {maintainers: x}\nsinc: {}\ndesk: fax\n", []string{"CONTACTSYNC_SWEEP_HOLD_FLOOR=-1"},
			[]string{
				f + ":1: limits.maintainers must be a whole number. Write digits, without quotes.",
				f + ":2: sinc is no key that contactsync knows. Did you mean sync?",
				f + ":3: desk must be zendesk. Write zendesk.",
				"CONTACTSYNC_SWEEP_HOLD_FLOOR: must not be negative. Write 0 or more.",
			}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load(t, test.file, test.env...)
			var problems config.Problems
			if !errors.As(err, &problems) {
				t.Fatalf("got %v", err)
			}
			if got, want := err.Error(), strings.Join(test.want, "\n"); got != want {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			if strings.Contains(err.Error(), "sesame") {
				t.Error("a secret is repeated")
			}
			for _, problem := range problems {
				if problem.Message == "" || problem.Remedy == "" {
					t.Errorf("incomplete: %+v", problem)
				}
			}
		})
	}
}

// A criterion may be written as YAML's own "name: expression", and as a text.
func TestCriteria(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "eligibility:\n  criteria:\n  - seats\n  - own: seats > 3 or owner\n  - \"other: domain in ['a', 'b']\"\n")
	want := []string{"seats", "own: seats > 3 or owner", "other: domain in ['a', 'b']"}
	if !slices.Equal(c.Eligibility.Criteria, want) {
		t.Errorf("got %q, want %q", c.Eligibility.Criteria, want)
	}
}

// A parser's message never carries a part of a secret that it stumbled over.
func TestSyntaxErrorsKeepSecrets(t *testing.T) {
	t.Parallel()
	for _, file := range []string{
		"gitlab:\n  token: *sesame\n", "gitlab:\n  token: !sesame!x y\n", "gitlab:\n  token: @sesame\n",
		"gitlab:\n  token: \"sesame\\q\"\n", "gitlab:\n  token: sesame: sesame\n", "gitlab:\n  token: 'sesame\n", "%sesame\n---\n",
		"gitlab:\n  token: `sesame\n", "gitlab:\n  token: [sesame\n", "gitlab:\n  token: {sesame}\n", "gitlab:\n  - token: sesame\n",
		"gitlab:\n  token: |\n   a\n   sesame\n",
	} {
		_, err := load(t, file)
		if err == nil || strings.Contains(err.Error(), "sesame") {
			t.Errorf("%q: got %v", file, err)
		}
	}
}

// A file that should hold a secret and does not is named, and nothing of its content.
func TestSecretFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "empty"), "\n")
	write(t, filepath.Join(dir, "lines"), "a\nsesame\n")
	write(t, filepath.Join(dir, "large"), strings.Repeat("sesame", 20_000))
	write(t, filepath.Join(dir, "padded"), " sesame \n")
	const remedy = "Write the secret, and nothing else, into that file, readable by the user that runs contactsync."
	for name, why := range map[string]string{
		"none": "cannot be read: no such file or directory", "empty": "is empty", "lines": "holds several lines",
		"large": "cannot be read: it is larger than 65536 bytes", ".": "cannot be read: is a directory",
	} {
		_, err := config.Load(config.Sources{Dir: dir, Env: []string{"CONTACTSYNC_GITLAB_TOKEN_FILE=" + name}})
		want := "CONTACTSYNC_GITLAB_TOKEN_FILE: is to be read from " + filepath.Join(dir, name) + ", which " + why + ". " + remedy
		if err == nil || err.Error() != want {
			t.Errorf("%s: got  %v\nwant %s", name, err, want)
		}
	}
	_, err := config.Load(config.Sources{Dir: dir, Env: []string{"CONTACTSYNC_GITLAB_TOKEN_FILE=padded"}})
	if err == nil || strings.Contains(err.Error(), "sesame") {
		t.Errorf("padded: got %v", err)
	}
	// The variable stands above the file, whichever of its two forms it has.
	write(t, filepath.Join(dir, config.FileName), "gitlab: {token_file: none}\n")
	c, err := config.Load(config.Sources{Dir: dir, Env: []string{"CONTACTSYNC_GITLAB_TOKEN=sesame"}})
	if err != nil || c.GitLab.Token.Reveal() != "sesame" {
		t.Errorf("got %v", err)
	}
}

// A variable that nobody reads is a warning with what was probably meant: others set such variables, too.
func TestStrangeVariables(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "", "CONTACTSYNC_SYNC_HOLD_REMOVALS_FLOR=1", "CONTACTSYNC_PORT_8080_TCP_ADDR=10.0.0.1", "CONTACTSYNC_SPECS=x")
	var got []string
	for _, warning := range c.Warnings() {
		got = append(got, warning.String())
	}
	want := []string{
		"CONTACTSYNC_PORT_8080_TCP_ADDR: means nothing to contactsync. contactsync config check lists what it reads.",
		"CONTACTSYNC_SYNC_HOLD_REMOVALS_FLOR: means nothing to contactsync. Did you mean CONTACTSYNC_SYNC_HOLD_REMOVALS_FLOOR?",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// Plain HTTP is for this machine alone, however it is spelled.
func TestLoopback(t *testing.T) {
	t.Parallel()
	for address, ok := range map[string]bool{
		"http://127.0.0.1:8080": true, "http://127.9.9.9": true, "http://[::1]:80": true, "http://localhost:80": true,
		"https://10.0.0.1": true, "http://10.0.0.1": false, "http://localhost.example.com": false,
		"http://127.0.0.1.example.com": false, "http://[::2]": false, "http://0.0.0.0": false, "https://": false,
		"https:gitlab.example.com": false, "https://[::1": false,
	} {
		_, err := load(t, "", "CONTACTSYNC_GITLAB_URL="+address)
		if (err == nil) != ok {
			t.Errorf("%s: got %v", address, err)
		}
	}
}

// Each purpose names exactly the keys that it lacks, and how to give them.
func TestMissing(t *testing.T) {
	t.Parallel()
	account := "CONTACTSYNC_ZENDESK_URL=https://example.zendesk.com"
	for _, test := range []struct {
		purpose config.Purpose
		env     []string
		want    string
	}{
		{config.ForNothing, nil, ""},
		{config.ForDesk, nil, "zendesk.url zendesk.client_id zendesk.client_secret"},
		{config.ForSync, nil, "gitlab.token zendesk.url zendesk.client_id zendesk.client_secret"},
		{config.ForServe, nil, "gitlab.token zendesk.url zendesk.client_id zendesk.client_secret webhook.signing_token"},
		{config.ForDesk, []string{account, "CONTACTSYNC_ZENDESK_CLIENT_ID=x"}, "zendesk.client_secret"},
		{config.ForDesk, []string{account, "CONTACTSYNC_ZENDESK_CLIENT_SECRET=x"}, "zendesk.client_id"},
		{config.ForDesk, []string{account, "CONTACTSYNC_ZENDESK_CLIENT_ID=x", "CONTACTSYNC_ZENDESK_CLIENT_SECRET=x"}, ""},
		{config.ForDesk, []string{account, "CONTACTSYNC_ZENDESK_EMAIL=a@example.com"}, "zendesk.token"},
		{config.ForDesk, []string{account, "CONTACTSYNC_ZENDESK_TOKEN=x"}, "zendesk.email"},
		{config.ForDesk, []string{account, "CONTACTSYNC_ZENDESK_EMAIL=a@example.com", "CONTACTSYNC_ZENDESK_TOKEN=x"}, ""},
		{config.ForDesk, []string{account, "CONTACTSYNC_ZENDESK_EMAIL=a@example.com", "CONTACTSYNC_ZENDESK_CLIENT_ID=x"}, "zendesk.client_secret"},
		{config.ForServe, []string{account, "CONTACTSYNC_ZENDESK_EMAIL=a@example.com", "CONTACTSYNC_ZENDESK_TOKEN=x",
			"CONTACTSYNC_GITLAB_TOKEN=x", "CONTACTSYNC_WEBHOOK_TRIGGER_TOKEN=x"}, ""},
		{config.ForServe, []string{account, "CONTACTSYNC_ZENDESK_CLIENT_ID=x", "CONTACTSYNC_ZENDESK_CLIENT_SECRET=x",
			"CONTACTSYNC_GITLAB_TOKEN=x", "CONTACTSYNC_WEBHOOK_MASTER_KEY=" + other["webhook.master_key"]}, ""},
	} {
		var got []string
		for _, problem := range mustLoad(t, "", test.env...).Missing(test.purpose) {
			got = append(got, problem.Key)
			if problem.Message == "" || !strings.Contains(problem.Remedy, problem.Variable) {
				t.Errorf("%+v", problem)
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%v with %v: got %v, want %s", test.purpose, test.env, got, test.want)
		}
	}
	problem := config.Default().Missing(config.ForSync)[0]
	want := "gitlab.token is missing. Set CONTACTSYNC_GITLAB_TOKEN, or CONTACTSYNC_GITLAB_TOKEN_FILE to the name of a file that holds it, or write gitlab.token into the configuration file."
	if problem.String() != want {
		t.Errorf("got %s", problem)
	}
}

// A configuration that was made by hand is judged like one that was read.
func TestValidate(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Zendesk.Budget, c.GitLab.Branch = 2, ""
	var got []string
	for _, problem := range c.Validate() {
		got = append(got, problem.Key)
	}
	if !slices.Equal(got, []string{"gitlab.branch", "zendesk.budget"}) {
		t.Errorf("got %v", got)
	}
}

// A file of any content is taken, or refused with problems that have a message, a remedy and a line within the file.
func FuzzLoad(f *testing.F) {
	f.Add(config.Example())
	for _, seed := range []string{"", "- a", "gitlab: {url: x}", "a: &a [*a]", "desk: zendesk\n---\n", "sync: {protected: [a@b.c]}", "? [a]\n: b\n"} {
		f.Add([]byte(seed))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, content []byte) {
		write(t, filepath.Join(dir, config.FileName), string(content))
		c, err := config.Load(config.Sources{Dir: dir})
		if err == nil {
			if problems := c.Validate(); len(problems) != 0 {
				t.Errorf("what was loaded is wrong: %v", problems)
			}
			return
		}
		var problems config.Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("got %v", err)
		}
		lines := strings.Count(strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n").Replace(string(content)), "\n") + 1
		for _, problem := range problems {
			if problem.Message == "" || problem.Remedy == "" || problem.Line < 0 || problem.Line > lines+1 {
				t.Errorf("incomplete: %+v", problem)
			}
			if strings.ContainsFunc(problem.String(), func(r rune) bool { return r < ' ' }) {
				t.Errorf("control characters: %q", problem.String())
			}
		}
	})
}
