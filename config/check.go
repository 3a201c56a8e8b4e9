package config

import (
	"encoding/base64"
	"fmt"
	"net"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"contactsync"
	"contactsync/eligibility"
	"contactsync/outbound"
	"contactsync/schedule"
)

// Validate returns every value that cannot be right, whatever the configuration is for.
func (c Config) Validate() []Problem { return c.check(keysOf(&c)) }

// check judges each value by itself.
func (c Config) check(keys []key) (problems []Problem) {
	for _, k := range keys {
		if message, remedy := judge(k); message != "" {
			problems = append(problems, c.origins[k.path].problem(k, message, remedy))
		}
	}
	return problems
}

// tidy brings values into the one spelling that the rest of the program expects.
func (c *Config) tidy() {
	c.GitLab.URL = strings.TrimRight(c.GitLab.URL, "/")
	c.GitLab.Group = strings.Trim(c.GitLab.Group, "/")
	c.Zendesk.URL = strings.TrimRight(c.Zendesk.URL, "/")
	c.Report.BadgeURL = strings.TrimRight(c.Report.BadgeURL, "/")
}

// desksToCome are planned and not in this version.
var desksToCome = []string{"gitlabcrm", "jsm", "deskpro", "rt"}

// judge returns what is wrong with the value of a key, "" for nothing, and how to mend it.
func judge(k key) (message, remedy string) {
	switch value := k.field.Interface().(type) {
	case string:
		return judgeText(k.path, value)
	case int:
		return judgeNumber(k.path, value)
	case float64:
		if !(value > 0 && value <= 1) { // not the other way round, because of what is no number at all
			return "must be above 0 and at most 1", "Write 0.5 for one half."
		}
	case time.Duration:
		return judgeDuration(k.path, value)
	case Secret:
		return judgeSecret(k.path, value)
	case []Secret:
		for _, secret := range value {
			if message, remedy := judgeSecret(k.path, secret); message != "" {
				return message, remedy
			}
		}
		if k.path == "webhook.master_key" {
			return judgeMasterKeys(value)
		}
	case []string:
		if k.path == "notify.events" {
			return judgeEvents(value)
		}
		return judgeCriteria(value)
	case []contactsync.Email:
		for _, address := range value {
			if address.Domain() == "" || strings.HasPrefix(string(address), "@") || strings.ContainsAny(string(address), " \t\r\n") {
				return fmt.Sprintf("lists %q, which is no e-mail address", address), "Write addresses such as ada@example.com."
			}
		}
	}
	return "", ""
}

func judgeText(keyPath, value string) (message, remedy string) {
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "holds a control character or a line break", "Write it on one line."
	}
	switch keyPath {
	case "gitlab.url", "zendesk.url", "webhook.url", "report.badge_url", "report.badge_synced", "report.badge_failed":
		if value == "" && keyPath != "gitlab.url" {
			return "", "" // whether it is needed depends on the command
		}
		return judgeURL(value)
	case "gitlab.branch":
		if value == "" || strings.ContainsAny(value, " ~^:?*[\\") || strings.Contains(value, "..") || strings.HasPrefix(value, "-") {
			return "is no name of a branch", "Write the branch's name, such as master."
		}
	case "gitlab.file":
		if value == "" || path.Clean(value) != value || path.IsAbs(value) || value == "." || value == ".." || strings.HasPrefix(value, "../") {
			return "is no path within the repository", "Write the path from the root of the repository, such as contacts.yaml."
		}
	case "desk":
		if slices.Contains(desksToCome, value) {
			return fmt.Sprintf("is %s, which is not in this version", value), "Write desk: zendesk."
		}
		return oneOf(value, "zendesk")
	case "eligibility.fields.sold_to", "eligibility.fields.namespace", "eligibility.fields.support_level", "eligibility.fields.seats",
		"eligibility.fields.expires", "eligibility.fields.dotcom_premium", "eligibility.fields.dotcom_ultimate",
		"eligibility.fields.self_managed_premium", "eligibility.fields.self_managed_ultimate", "eligibility.fields.dedicated":
		if value == "" {
			return "", "" // the desk has no such field
		}
		fallthrough
	case "zendesk.project_field":
		if value == "" || strings.ContainsFunc(value, func(r rune) bool {
			return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		}) {
			return "is no key of an organization field", "Write the field's key as Zendesk shows it: letters, digits and underscores."
		}
	case "zendesk.bulk":
		return oneOf(value, "auto", "on", "off")
	case "sync.people_elsewhere":
		return oneOf(value, "refuse", "add")
	case "sync.names":
		return oneOf(value, "file", "desk")
	case "report.badge":
		return oneOf(value, "drawn", "pictures", "off")
	case "store":
		// The value may hold a password and is not repeated.
		if file, ok := strings.CutPrefix(value, "sqlite:"); (!ok || file == "") &&
			!strings.HasPrefix(value, "postgres://") && !strings.HasPrefix(value, "postgresql://") {
			return "is no address of a store", "Write store: sqlite:contactsync.db, with a path of your own, or postgres://USER@HOST/DATABASE."
		}
	case "webhook.listen":
		_, port, err := net.SplitHostPort(value)
		if number, invalid := strconv.Atoi(port); err != nil || invalid != nil || number < 0 || number > 65535 {
			return "is no address to listen on", "Write host and port, such as 127.0.0.1:8080."
		}
	case "notify.ticket":
		if number, err := strconv.ParseInt(value, 10, 64); value != "" && (err != nil || number <= 0 || strings.Trim(value, "0123456789") != "") {
			return "is no number of a ticket", "Write the number that stands in the ticket's address at the desk."
		}
	case "schedule.resync":
		if _, err := schedule.Parse(value); err != nil {
			return err.Error(), `Write minute, hour, day, month and weekday, such as "17 3 * * *" for 03:17 UTC each day.`
		}
	}
	return "", ""
}

// judgeCriteria reads the policy, so that a mistake in it is found before anybody asks.
func judgeCriteria(criteria []string) (message, remedy string) {
	if _, err := eligibility.NewPolicy(eligibility.DefaultSeats, criteria); err != nil {
		return outbound.Clean(err.Error(), 300), "Write built-in names, or NAME: EXPRESSION; docs/eligibility.md lists facts and functions."
	}
	return "", ""
}

func judgeEvents(events []string) (message, remedy string) {
	var known []string
	for _, event := range contactsync.NoticeEvents() {
		known = append(known, string(event))
	}
	for _, event := range events {
		if !slices.Contains(known, event) {
			return fmt.Sprintf("lists %q, which is no event", event), "The events are: " + strings.Join(known, ", ") + "."
		}
	}
	return "", ""
}

func judgeNumber(keyPath string, value int) (message, remedy string) {
	if value < 0 {
		return "must not be negative", "Write 0 or more."
	}
	if keyPath == "serve.runs" && (value < 1 || value > maxRuns) {
		return fmt.Sprintf("must be from 1 to %d", maxRuns), "Write 4 for a start: the desk's request limit is reached long before the machine's."
	}
	// More additions than members is what a small organization that grows looks like; more removals is impossible.
	if strings.HasSuffix(keyPath, ".percent") && keyPath != "sync.hold_additions.percent" && value > 100 {
		return "must be at most 100", "Write a percentage from 0 to 100."
	}
	return "", ""
}

// maxRuns is far more than any desk lets through.
const maxRuns = 100

func judgeDuration(keyPath string, value time.Duration) (message, remedy string) {
	least := map[string]time.Duration{"serve.grace": time.Second, "serve.lease": time.Second}[keyPath]
	most := map[string]time.Duration{"serve.grace": time.Hour, "serve.lease": time.Hour, "schedule.spread": 24 * time.Hour}[keyPath]
	switch {
	case value < 0:
		return "must not be negative", "Write 0 or more."
	case value < least:
		return "must be at least " + least.String(), "Write a duration such as 30s."
	case most > 0 && value > most:
		return "must be at most " + most.String(), "Write a duration such as 4h."
	case keyPath == "schedule.hooks" && value > 0 && value < time.Minute:
		return "must be at least a minute", "Write 6h, or 0 for never."
	}
	return "", ""
}

// judgeURL never repeats the address, which may hold a password.
func judgeURL(text string) (message, remedy string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return "is no address", "Write it in full, such as https://gitlab.example.com."
	case u.User != nil:
		return "holds credentials", "Write the address alone; credentials have keys of their own."
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "has a query or a fragment", "Write the address up to the first ? or #."
	case outbound.Secure(u):
		return "", ""
	case u.Scheme == "http":
		return "must begin with https://", "Plain http:// is taken for this machine alone (127.0.0.1, ::1, localhost)."
	}
	return "must begin with https://", "Write it in full, such as https://gitlab.example.com."
}

func judgeSecret(keyPath string, secret Secret) (message, remedy string) {
	text := secret.Reveal()
	if text != strings.TrimSpace(text) || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "begins or ends with blanks, or holds a line break", "Copy the secret again, without anything around it."
	}
	if strings.HasPrefix(keyPath, "notify.") {
		return judgeTarget(text)
	}
	// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md: 24 to 64 bytes.
	if keyPath == "webhook.signing_token" {
		encoded, ok := strings.CutPrefix(text, "whsec_")
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if !ok || err != nil || len(raw) < 24 || len(raw) > 64 {
			return "is no signing token", "Copy it from GitLab: whsec_ and the base64 form of 24 to 64 bytes."
		}
	}
	return "", ""
}

// judgeTarget never repeats the address, which is a secret as a whole.
func judgeTarget(text string) (message, remedy string) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "" || u.Fragment != "":
		return "is no address", "Copy the webhook's address again, in full: it begins with https://."
	case !outbound.Secure(u):
		return "must begin with https://", "Plain http:// is taken for this machine alone (127.0.0.1, ::1, localhost)."
	}
	return "", ""
}

// judgeMasterKeys wants what webhook.ParseMasterKey reads, and no number twice.
func judgeMasterKeys(keys []Secret) (message, remedy string) {
	numbers := map[int]bool{}
	for _, key := range keys {
		number, encoded, _ := strings.Cut(key.Reveal(), ":")
		n, err := strconv.Atoi(number)
		if err != nil || n <= 0 || strconv.Itoa(n) != number {
			return "does not begin with a number and a colon", "Write 1: and the key, and give the next key the number 2."
		}
		if numbers[n] {
			return fmt.Sprintf("has two keys with the number %d", n), "Give a new key a number that none had before."
		}
		numbers[n] = true
		if raw, err := base64.StdEncoding.DecodeString(encoded); err != nil || len(raw) < 32 {
			return fmt.Sprintf("has no key of at least 32 bytes in base64 under the number %d", n), "Make one with: openssl rand -base64 32."
		}
	}
	return "", ""
}

func oneOf(value string, allowed ...string) (message, remedy string) {
	if slices.Contains(allowed, value) {
		return "", ""
	}
	choice := strings.Join(allowed, ", ")
	if last := len(allowed) - 1; last > 0 {
		choice = strings.Join(allowed[:last], ", ") + " or " + allowed[last]
	}
	return "must be " + choice, "Write " + choice + "."
}

// Purpose is what a configuration has to be complete for.
type Purpose int

// The purposes.
const (
	ForNothing Purpose = iota // lint, import, runs, demo
	ForDesk                   // export, plan --file
	ForSync                   // plan, sync, approve
	ForServe                  // serve
	ForSetup                  // setup, doctor, remove, audit
)

// Missing returns the keys that the purpose needs and that are not given, or not so that they fit the others.
func (c Config) Missing(purpose Purpose) (problems []Problem) {
	var missing []string
	if purpose >= ForSync && !c.GitLab.Token.IsSet() {
		missing = append(missing, "gitlab.token")
	}
	if purpose >= ForDesk && c.Desk == "zendesk" {
		missing = append(missing, c.Zendesk.missing()...)
	}
	if w := c.Webhook; purpose >= ForServe && len(w.SigningToken)+len(w.Token)+len(w.TriggerToken)+len(w.MasterKey) == 0 {
		missing = append(missing, "webhook.signing_token")
	}
	if purpose >= ForSetup && c.Webhook.URL == "" {
		missing = append(missing, "webhook.url")
	}
	if c.Report.Badge == "pictures" && purpose >= ForSync {
		for path, picture := range map[string]string{"report.badge_synced": c.Report.BadgeSynced, "report.badge_failed": c.Report.BadgeFailed} {
			if picture == "" {
				missing = append(missing, path)
			}
		}
	}
	if r := c.Report; purpose >= ForSync && r.Gate && !(r.Statuses && r.MergeRequests) {
		problems = append(problems, Problem{Key: "report.gate", Message: "makes merges wait for a status that nobody sets",
			Remedy: "Set report.statuses and report.merge_requests to true, or report.gate to false."})
	}
	for _, k := range keysOf(&c) {
		if slices.Contains(missing, k.path) {
			remedy := howToGive(k)
			if k.path == "webhook.signing_token" {
				remedy += " webhook.token, webhook.trigger_token or webhook.master_key will do as well."
			}
			problems = append(problems, Problem{Key: k.path, Variable: k.variable(), Message: "is missing", Remedy: remedy})
		}
	}
	return problems
}

// missing returns the keys of the account's address and of one complete set of credentials. A set that was begun is
// the one that is meant; with none begun it is the OAuth client.
func (z Zendesk) missing() (paths []string) {
	if z.URL == "" {
		paths = append(paths, "zendesk.url")
	}
	token := z.Email != "" && z.Token.IsSet()
	switch begun := z.Email != "" || z.Token.IsSet(); {
	case z.UsesOAuth() || token:
	case begun && z.ClientID == "" && !z.ClientSecret.IsSet():
		if z.Email == "" {
			paths = append(paths, "zendesk.email")
		}
		if !z.Token.IsSet() {
			paths = append(paths, "zendesk.token")
		}
	default:
		if z.ClientID == "" {
			paths = append(paths, "zendesk.client_id")
		}
		if !z.ClientSecret.IsSet() {
			paths = append(paths, "zendesk.client_secret")
		}
	}
	return paths
}

func howToGive(k key) string {
	if k.isSecret() {
		return fmt.Sprintf("Set %s, or %s to the name of a file that holds it, or write %s into the configuration file.",
			k.variable(), k.fileVariable(), k.path)
	}
	return fmt.Sprintf("Set %s, or write %s into the configuration file.", k.variable(), k.path)
}

// UsesOAuth reports whether the OAuth client is complete, and therefore used.
func (z Zendesk) UsesOAuth() bool { return z.ClientID != "" && z.ClientSecret.IsSet() }
