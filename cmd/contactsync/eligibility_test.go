package main_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"contactsync"
	fakegitlab "contactsync/internal/fakes/gitlab"
	fakezendesk "contactsync/internal/fakes/zendesk"
)

// subscribed gives the world's organization a subscription that qualifies, but for the changes.
func (w *world) subscribed(changes map[string]any) {
	w.Helper()
	fields := map[string]any{"seats_decimal": 120.0, "sub_sm_ultimate": true, "sub_sm_premium": false, "support_level": "ultimate",
		"expiration_date": w.clock.Now().UTC().AddDate(0, 3, 0).Format(time.DateOnly)}
	maps.Copy(fields, changes)
	for key, value := range fields {
		w.desk.SetField(w.org, key, value)
	}
	w.desk.Reindex()
}

// customer gives the world's organization a namespace on GitLab with ada as Owner and grace as Maintainer.
func (w *world) customer(plan string, seats int) {
	w.Helper()
	w.forge.AddUser(fakegitlab.User{ID: 71, Username: "ada", Name: "Ada Lovelace"})
	w.forge.AddUser(fakegitlab.User{ID: 72, Username: "grace", Name: "Grace Hopper"})
	if _, err := w.forge.AddNamespace(fakegitlab.Namespace{Path: "engines",
		Subscription: &fakegitlab.Subscription{Plan: plan, Seats: seats, Ends: w.clock.Now().UTC().AddDate(1, 0, 0).Format(time.DateOnly)},
		Members:      []fakegitlab.Member{{User: 71, Level: fakegitlab.Owner}, {User: 72, Level: fakegitlab.Maintainer}},
	}); err != nil {
		w.Fatal(err)
	}
}

// judged is the document, as programs see it.
type judged struct {
	contactsync.Verdict
	Answered string               `json:"answered"`
	Requests contactsync.Requests `json:"requests"`
	Error    *contactsync.Failure `json:"error"`
}

func (j judged) states() string {
	var states []string
	for _, c := range j.Criteria {
		states = append(states, string(c.State))
	}
	return strings.Join(states, " ")
}

func (w *world) judge(more ...string) (judged, result) {
	w.Helper()
	var document judged
	args := append([]string{"eligibility", "--organization", fmt.Sprint(w.org)}, more...)
	return document, w.json(&document, args...)
}

// Facts of desk and GitLab meet in the verdict, which the exit status and the document tell alike.
func TestEligibility(t *testing.T) {
	t.Parallel()
	requester := func(address string, more ...string) []string {
		return append([]string{"--requester", address}, more...)
	}
	for _, test := range []struct {
		name    string
		arrange func(*world)
		args    []string
		want    string // the states of the five criteria
		who     contactsync.Who
	}{
		{name: "an Owner", args: requester("ada@example.com", "--namespace", "engines/sub", "--username", "ada"), want: "met met met met met",
			arrange: func(w *world) { w.customer("premium", 50) }},
		{name: "by the desk, attested", args: requester("ada@example.com", "--attest", "authorized = order 4711"), want: "met met met met met",
			arrange: func(w *world) { w.subscribed(nil) }},
		{name: "the sold-to", args: requester("ada@example.com"), want: "met met met met met", arrange: func(w *world) {
			w.subscribed(map[string]any{"buyer": "Ada@Example.com"})
			w.set("CONTACTSYNC_ELIGIBILITY_FIELDS_SOLD_TO=buyer")
		}},
		{name: "the namespace is in a field", args: requester("ada@example.com", "--username", "ada"), want: "met met met met met", arrange: func(w *world) {
			w.customer("premium", 50)
			w.desk.SetField(w.org, "group", "engines")
			w.set("CONTACTSYNC_ELIGIBILITY_FIELDS_NAMESPACE=group")
		}},
		{name: "nothing is known", args: requester("ada@example.com"), want: "met unknown unknown unknown unknown", who: contactsync.WhoOperator},
		{name: "secondary address", args: requester("ada@home.example.com"), want: "met unknown unknown unknown unknown", who: contactsync.WhoOperator},
		{name: "somebody else's", args: requester("emmy@example.org"), want: "not_met met met met unknown", who: contactsync.WhoRequester,
			arrange: func(w *world) {
				w.subscribed(nil)
				w.desk.AddUser(fakezendesk.User{Name: "Emmy", Email: "emmy@example.org", Organizations: []int64{w.organization("Other", 0)}})
			}},
		{name: "nobody", args: requester("nobody@example.com"), want: "not_met met met met unknown", who: contactsync.WhoRequester,
			arrange: func(w *world) { w.subscribed(nil) }},
		{name: "in grace", args: requester("ada@example.com", "--attest", "authorized=x"), want: "met not_met met met met", who: contactsync.WhoRequester,
			arrange: func(w *world) {
				w.subscribed(map[string]any{"expiration_date": w.clock.Now().UTC().AddDate(0, 0, -3).Format(time.DateOnly)})
			}},
		{name: "facts stand above words", args: requester("ada@example.com", "--attest", "seats=they said 500", "--attest", "authorized=x"),
			want: "met met met not_met met", who: contactsync.WhoRequester, arrange: func(w *world) { w.subscribed(map[string]any{"seats_decimal": "49.00"}) }},
		{name: "a Maintainer", args: requester("grace@example.com", "--namespace", "engines", "--username", "grace"), want: "met met met met unknown",
			who: contactsync.WhoOperator, arrange: func(w *world) { w.customer("ultimate", 60) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.desk.AddUser(fakezendesk.User{Name: "Ada", Email: "ada@example.com", Secondary: []string{"ada@home.example.com"}, Organizations: []int64{w.org}})
			w.member("Grace", "grace@example.com")
			if test.arrange != nil {
				test.arrange(w)
			}
			w.desk.Reindex()
			got, r := w.judge(test.args...)
			eligible := test.who == ""
			r.ends(map[bool]int{true: 0, false: 1}[eligible])
			if got.states() != test.want || got.Eligible != eligible || (got.Error == nil) != eligible {
				t.Errorf("the states are %s, eligible %v, error %+v; want %s:\n%s", got.states(), got.Eligible, got.Error, test.want, r.stdout)
			}
			if !eligible && (got.Error.Class != contactsync.ClassNotEligible || got.Error.Who != test.who) {
				t.Errorf("the error is %+v", got.Error)
			}
			if got.Requests.Desk == 0 || got.Requests.Desk > 8 || got.Requests.GitLab > 4 {
				t.Errorf("requests %+v", got.Requests)
			}
			w.isClean()
			var history struct{ Verdicts []contactsync.Verdict }
			w.json(&history, "eligibility", "history", fmt.Sprint(w.org)).ends(0)
			if len(history.Verdicts) != 1 || fmt.Sprint(history.Verdicts[0].Criteria) == "" || history.Verdicts[0].ID != got.ID ||
				history.Verdicts[0].JudgedBy != "tester" || len(history.Verdicts[0].Criteria) != len(got.Criteria) {
				t.Errorf("the audit trail has %+v", history.Verdicts)
			}
		})
	}
}

// A requester whom the search does not know yet is found among the members.
func TestEligibilityOfAFreshMember(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.desk.Reindex()
	w.desk.Configure(func(s *fakezendesk.Settings) { s.SearchLag = time.Hour })
	w.member("Ada", "ada@example.com")
	got, _ := w.judge("--requester", "ada@example.com")
	if got.Criteria[0].State != contactsync.CriterionMet {
		t.Errorf("the verdict is %+v", got.Criteria[0])
	}
}

// The policy is data: a changed number, a dropped and an added criterion need no code.
func TestEligibilityPolicy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.member("Ada", "ada@example.com")
	w.subscribed(map[string]any{"support_hold": false})
	w.set("CONTACTSYNC_ELIGIBILITY_SEATS=500", `CONTACTSYNC_ELIGIBILITY_CRITERIA=associated,seats,unheld: fields.support_hold != "true"`)
	got, r := w.judge("--requester", "ada@example.com")
	r.ends(1)
	if got.states() != "met not_met met" {
		t.Errorf("the states are %s", got.states())
	}
	w.run("eligibility", "--organization", fmt.Sprint(w.org), "--requester", "ada@example.com").ends(1).
		says("it has at least 500 seats", "Not eligible: 2 of 3 criteria met, 1 not met.", "(not_eligible)", "seats is 120 (the organization's field seats_decimal)")
}

// What cannot be meant is refused before anybody is asked, and what fails is no verdict.
func TestEligibilityRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	org := fmt.Sprint(w.org)
	for _, test := range []struct {
		args   []string
		status int
		says   string
	}{
		{[]string{"--requester", "ada@example.com"}, 2, "--organization is missing"},
		{[]string{"--organization", org}, 2, "--requester is missing"},
		{[]string{"--organization", org, "--requester", "ada"}, 2, "is no e-mail address"},
		{[]string{"--organization", org, "--requester", "ada@example.com", "--attest", "seats"}, 2, "is not CRITERION=EVIDENCE"},
		{[]string{"--organization", org, "--requester", "ada@example.com", "--attest", "seats= "}, 2, "is not CRITERION=EVIDENCE"},
		{[]string{"--organization", org, "--requester", "ada@example.com", "--attest", "sits=x"}, 2, "it has associated, active, qualifying, seats, authorized"},
		{[]string{"--organization", org, "--requester", "ada@example.com", "--attest", "seats=x", "--attest", "seats=y"}, 2, "is given twice"},
		{[]string{"histori"}, 2, "history"},
		{[]string{"history", "--limit", "0"}, 2, "--limit"},
	} {
		w.run(append([]string{"eligibility"}, test.args...)...).ends(test.status).says(test.says)
	}
	if n := len(w.desk.Requests()) + len(w.forge.Requests()); n > 0 {
		t.Errorf("%d requests were sent", n)
	}
	w.run("eligibility", "history").ends(0).says("No verdicts.")
	w.run("eligibility", "--organization", "999", "--requester", "ada@example.com").ends(1).says("(no_org_found)")
	w.forge.Inject(fakegitlab.Fault{Path: regexp.MustCompile(`/namespaces/`), Status: 503})
	w.run("eligibility", "--organization", org, "--requester", "ada@example.com", "--namespace", "engines").ends(1).says("(repository_unreachable)")
	w.run("eligibility", "history").ends(0).says("No verdicts.")
}

// What docs/eligibility.md shows is what the program really says. Run with -update-pages after a change.
func TestEligibilityPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.member("Ada Lovelace", "ada@example.com")
	w.subscribed(map[string]any{"seats_decimal": nil})
	w.customer("free", 0)
	const attested = "seats=120 in the contract of May"
	outputs := map[string]string{}
	show := func(name string, args ...string) {
		r := w.run(args...)
		outputs[name] = "$ " + strings.ReplaceAll(r.command(), attested, `"`+attested+`"`) + "\n" + r.stdout + r.stderr
	}
	ask := []string{"eligibility", "--organization", fmt.Sprint(w.org), "--requester", "ada@example.com"}
	show("unknown", ask...)
	show("attested", append(ask, "--namespace", "engines", "--username", "ada", "--attest", attested)...)
	show("history", "eligibility", "history")
	show("json", append(ask, "--output", "json")...)

	name := filepath.Join("..", "..", "docs", "eligibility.md")
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	page := string(content)
	for part, output := range outputs {
		mark := "<!-- run: " + part + " -->\n```\n"
		before, rest, found := strings.Cut(page, mark)
		shown, after, closed := strings.Cut(rest, "```\n")
		if !found || !closed {
			t.Errorf("docs/eligibility.md does not show %s", part)
			continue
		}
		if steadyVerdict(shown) == steadyVerdict(output) {
			continue
		}
		if !*updatePages {
			t.Errorf("docs/eligibility.md shows\n%s\nbut the program says\n%s", shown, output)
		}
		page = before + mark + output + "```\n" + after
	}
	if *updatePages && page != string(content) {
		if err := os.WriteFile(name, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func steadyVerdict(text string) string {
	text = regexp.MustCompile(`\b[0-9a-z]{16}\b|"judged": "[^"]*"`).ReplaceAllString(text, "#")
	return regexp.MustCompile(`"(desk|gitlab|git)": \d+|"value": "\d+"`).ReplaceAllString(steady(text), "#")
}

// A ticket is told the verdict, publicly and once, by the operator's own macro where there is one. As long as something
// is unknown nobody is told anything, and a ticket of another organization is not answered at all.
func TestEligibilityAnswersTheTicket(t *testing.T) {
	t.Parallel()
	const qualified = "--attest=authorized=order 4711"
	for _, test := range []struct {
		name    string
		arrange func(*world)
		args    []string
		status  int
		want    string // in the one comment; "" for none
	}{
		{name: "eligible", args: []string{qualified}, want: "contacts.yaml"},
		{name: "not eligible", args: []string{qualified}, status: 1, want: "50 seats",
			arrange: func(w *world) { w.subscribed(map[string]any{"seats_decimal": 49.0}) }},
		{name: "not known yet", status: 1},
		{name: "by the operator's macro", args: []string{qualified}, want: "Who may edit it, Ada Lovelace?",
			arrange: func(w *world) {
				w.desk.AddMacro(fakezendesk.Macro{Title: "Support::Support Ops::Contact management intro", Comment: "Who may edit it, {{ticket.requester.name}}?"})
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			ada := w.member("Ada Lovelace", "ada@example.com")
			w.subscribed(nil)
			if test.arrange != nil {
				test.arrange(w)
			}
			ticket := w.desk.AddTicket(fakezendesk.Ticket{Requester: ada, Organization: w.org})
			args := append([]string{"--ticket", fmt.Sprint(ticket)}, test.args...)
			for range 2 {
				if _, got := w.judge(args...); got.status != test.status {
					t.Fatalf("status %d\n%s%s", got.status, got.stdout, got.stderr)
				}
			}
			after, _ := w.desk.Ticket(ticket)
			if test.want == "" && len(after.Comments) == 0 {
				return
			}
			if len(after.Comments) != 1 || !after.Comments[0].Public || !strings.Contains(after.Comments[0].Body, test.want) {
				t.Errorf("want one public comment with %q, got %+v", test.want, after.Comments)
			}
		})
	}
	w := newWorld(t)
	w.subscribed(nil)
	ticket := w.desk.AddTicket(fakezendesk.Ticket{Requester: w.member("Ada", "ada@example.com"), Organization: w.organization("Other", 7)})
	_, got := w.judge("--ticket", fmt.Sprint(ticket), qualified)
	if after, _ := w.desk.Ticket(ticket); got.status != 1 || len(after.Comments) != 0 || !strings.Contains(got.stdout+got.stderr, "project_conflict") {
		t.Errorf("a ticket of another organization: status %d, %+v\n%s", got.status, after.Comments, got.stdout)
	}
}
