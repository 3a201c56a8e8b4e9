package eligibility_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"contactsync"
	"contactsync/eligibility"
)

const (
	met     = contactsync.CriterionMet
	notMet  = contactsync.CriterionNotMet
	unknown = contactsync.CriterionUnknown
)

func policy(t testing.TB, criteria ...string) eligibility.Policy {
	t.Helper()
	p, err := eligibility.NewPolicy(eligibility.DefaultSeats, criteria)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// good are facts that meet the default policy.
func good() eligibility.Facts {
	return eligibility.Facts{
		Associated:   eligibility.Tell(true, "desk"),
		Subscription: eligibility.Tell(eligibility.Active, "desk"),
		DaysLeft:     eligibility.Tell(100, "desk"),
		Plan:         eligibility.Tell(eligibility.Ultimate, "desk"),
		Seats:        eligibility.Tell(50, "desk"),
		SoldTo:       eligibility.Tell(true, "desk"),
		Owner:        eligibility.Tell(false, "forge"),
		Requester:    "ada@example.com",
		Fields:       map[string]eligibility.Told[string]{"hold": eligibility.Tell("false", "desk"), "size": eligibility.Tell("many", "desk")},
	}
}

func state(t testing.TB, verdict contactsync.Verdict, id string) contactsync.CriterionState {
	t.Helper()
	for _, c := range verdict.Criteria {
		if c.ID == id {
			return c.State
		}
	}
	t.Fatalf("there is no criterion %s in %+v", id, verdict)
	return ""
}

// The default policy is the original's, and each of its criteria alone decides.
func TestDefaultPolicy(t *testing.T) {
	t.Parallel()
	if verdict := policy(t).Judge(good(), nil); !verdict.Eligible || len(verdict.Criteria) != 5 {
		t.Fatalf("the good are not eligible: %+v", verdict)
	}
	for name, test := range map[string]struct {
		change    func(*eligibility.Facts)
		criterion string
		want      contactsync.CriterionState
	}{
		"not associated":       {func(f *eligibility.Facts) { f.Associated.Value = false }, "associated", notMet},
		"expired":              {func(f *eligibility.Facts) { f.Subscription.Value = eligibility.Expired }, "active", notMet},
		"in grace":             {func(f *eligibility.Facts) { f.Subscription.Value = eligibility.Grace }, "active", notMet},
		"premium":              {func(f *eligibility.Facts) { f.Plan.Value = eligibility.Premium }, "qualifying", met},
		"dedicated":            {func(f *eligibility.Facts) { f.Plan.Value = eligibility.Dedicated }, "qualifying", met},
		"free":                 {func(f *eligibility.Facts) { f.Plan.Value = "free" }, "qualifying", notMet},
		"a trial":              {func(f *eligibility.Facts) { f.Plan.Value = "ultimate_trial" }, "qualifying", notMet},
		"49 seats":             {func(f *eligibility.Facts) { f.Seats.Value = 49 }, "seats", notMet},
		"seats unknown":        {func(f *eligibility.Facts) { f.Seats = eligibility.Told[int]{Why: "nobody says"} }, "seats", unknown},
		"an Owner":             {func(f *eligibility.Facts) { f.SoldTo.Value, f.Owner.Value = false, true }, "authorized", met},
		"an Owner, no sold-to": {func(f *eligibility.Facts) { f.SoldTo, f.Owner.Value = eligibility.Told[bool]{}, true }, "authorized", met},
		"sold-to, no Owner":    {func(f *eligibility.Facts) { f.Owner = eligibility.Told[bool]{} }, "authorized", met},
		"neither":              {func(f *eligibility.Facts) { f.SoldTo.Value = false }, "authorized", notMet},
		"perhaps the sold-to":  {func(f *eligibility.Facts) { f.SoldTo = eligibility.Told[bool]{} }, "authorized", unknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			facts := good()
			test.change(&facts)
			verdict := policy(t).Judge(facts, nil)
			if got := state(t, verdict, test.criterion); got != test.want || verdict.Eligible != (test.want == met) {
				t.Errorf("%s is %s and eligible %v, want %s", test.criterion, got, verdict.Eligible, test.want)
			}
			for _, c := range verdict.Criteria {
				if (c.Remedy == "") != (c.State == met) || c.Title == "" || len(c.Evidence) == 0 {
					t.Errorf("the result is not complete: %+v", c)
				}
			}
			if err := verdict.Err(); (err == nil) != verdict.Eligible || err != nil && contactsync.ClassOf(err) != contactsync.ClassNotEligible {
				t.Errorf("the error is %v", err)
			}
		})
	}
	if verdict := policy(t).Judge(eligibility.Facts{}, nil); verdict.Eligible || slices.ContainsFunc(verdict.Criteria,
		func(c contactsync.CriterionResult) bool { return c.State != unknown }) {
		t.Errorf("of whom nothing is known, something is met or not: %+v", verdict)
	}
}

// An attestation answers what is unknown, and never overrules a fact.
func TestAttestations(t *testing.T) {
	t.Parallel()
	facts := good()
	facts.SoldTo, facts.Seats.Value = eligibility.Told[bool]{}, 10
	verdict := policy(t).Judge(facts, []contactsync.Attestation{
		{Criterion: "authorized", Evidence: "order 4711", By: "grace"}, {Criterion: "seats", Evidence: "they said so", By: "grace"},
		{Criterion: "nothing", By: "grace"},
	})
	if state(t, verdict, "authorized") != met || state(t, verdict, "seats") != notMet || verdict.Eligible {
		t.Errorf("the verdict is %+v", verdict)
	}
	for _, c := range verdict.Criteria {
		if a := c.Attestation; a != nil && (a.Needed != (c.ID == "authorized") || a.By != "grace" || a.Evidence == "") {
			t.Errorf("%s has the attestation %+v", c.ID, a)
		}
	}
	if !policy(t).Has("seats") || policy(t).Has("nothing") {
		t.Error("Has is wrong")
	}
}

// Expressions follow Kleene's logic; whatever cannot be computed is unknown.
func TestExpressions(t *testing.T) {
	t.Parallel()
	facts := good()
	facts.SoldTo, facts.DaysLeft = eligibility.Told[bool]{}, eligibility.Told[int]{} // unknown
	for expression, want := range map[string]contactsync.CriterionState{
		"associated": met, "not associated": notMet, "!owner": met, "seats >= 50 && seats < 51": met, "true": met, "1 > 2": notMet,
		"sold_to": unknown, "not sold_to": unknown, "sold_to or associated": met, "associated || sold_to": met,
		"sold_to or owner": unknown, "sold_to and owner": notMet, "owner && sold_to": notMet, "sold_to and associated": unknown,
		"days_left > 3": unknown, "days_left > 3 or seats > 3": met, "sold_to or not sold_to": unknown,
		"associated ? seats > 3 : sold_to": met, "sold_to ? associated : seats > 3": met, "sold_to ? associated : owner": unknown,
		"owner ? associated : sold_to": unknown, "(sold_to or owner) == true": unknown,
		`plan in ["premium", "ultimate"]`: met, `plan not in ["free"]`: met, `plan matches "^ult"`: met, `requester endsWith "@example.com"`: met,
		`domain not in ["gmail.com", "yahoo.com"]`: met, `upper(plan) == "ULTIMATE" and len(domain) > 3`: met,
		`fields.hold == "false"`: met, `fields["hold"] != "true"`: met, `fields.other == ""`: unknown, `fields.other == "" or associated`: met,
		"int(fields.size) > 3": unknown, `fields.size == "few" and int(fields.size) > 3`: notMet, "seats / 0 > 3": met,
		"10 % (seats - 50) == 1": unknown, `"ada" matches fields.size`: notMet,
	} {
		verdict := policy(t, "own: "+expression).Judge(facts, nil)
		if got := verdict.Criteria[0]; got.State != want {
			t.Errorf("%s is %s, want %s: %+v", expression, got.State, want, got.Evidence)
		}
	}
}

// What is no condition on facts is refused when the policy is made, and the error says why.
func TestPolicyErrors(t *testing.T) {
	t.Parallel()
	for criterion, want := range map[string]string{
		"": "is no name", "Seats": "is no name", "a b: true": "is no name",
		"paid":                              "without an expression",
		"own:":                              "is empty",
		"own: seats":                        "expected bool, but got int",
		"own: seats >":                      "unexpected token EOF (at character",
		"own: seats >= \"50\"":              "mismatched types",
		"own: plan == 3":                    "mismatched types",
		"own: owners":                       "unknown name owners (at character 1)",
		"own: $env.seats > 3":               "is no fact",
		`own: $env["seats"] > 3`:            "is no fact",
		"own: len(fields) > 3":              "uses fields as a whole",
		"own: fields == fields":             "uses fields as a whole",
		`own: "hold" in fields`:             "uses fields as a whole",
		"own: fields[plan] == \"x\"":        "only fields.KEY has parts",
		"own: now().Year() > 2000":          "now",
		"own: all([1], # > 0)":              "more than a condition",
		"own: seats in 1..1000000":          "uses a range",
		"own: let a = seats; a > 3":         "is no fact",
		"own: nil == nil":                   "more than a condition",
		"own: {\"a\": 1}.a == 1":            "",
		"own: repeat(\"a\", 100) == plan":   "repeat",
		"own: plan[0:1] == \"u\"":           "more than a condition",
		"own: associated | not()":           "",
		"own: \x00":                         "control character",
		"own: true\nfalse":                  "control character",
		"own: \xff":                         "UTF-8",
		"own: " + strings.Repeat("(", 1001): "longer than",
		"own: " + strings.Repeat("(", 900):  "",
		"own: " + strings.Repeat("!", 900):  "",
	} {
		_, err := eligibility.NewPolicy(50, []string{criterion})
		if err == nil || !strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("%.60q: %v, want %q", criterion, err, want)
		}
	}
	if _, err := eligibility.NewPolicy(50, []string{"seats", "seats: seats > 3"}); err == nil || !strings.Contains(err.Error(), "seats twice") {
		t.Errorf("twice the same: %v", err)
	}
	if _, err := eligibility.NewPolicy(50, slices.Repeat([]string{"seats"}, 51)); err == nil {
		t.Error("51 criteria are taken")
	}
}

// A policy is data: seats, the list, and expressions change without code, and a title never says what is not asked for.
func TestOwnPolicy(t *testing.T) {
	t.Parallel()
	p, err := eligibility.NewPolicy(500, []string{"seats", "authorized: sold_to", "company_address: domain != \"gmail.com\""})
	if err != nil {
		t.Fatal(err)
	}
	var titles []string
	for _, c := range p.Criteria() {
		titles = append(titles, c.Title)
	}
	if want := []string{"it has at least 500 seats", "authorized", "company address"}; !slices.Equal(titles, want) {
		t.Errorf("the titles are %q, want %q", titles, want)
	}
	facts := good()
	facts.Seats.Value = 499
	verdict := p.Judge(facts, nil)
	if state(t, verdict, "seats") != notMet || state(t, verdict, "company_address") != met || len(verdict.Criteria) != 3 {
		t.Errorf("the verdict is %+v", verdict)
	}
	if again := policy(t, `active: subscription == "active"`).Criteria()[0]; !strings.HasPrefix(again.Title, "the subscription is active") {
		t.Errorf("the same expression loses its title: %q", again.Title)
	}
	if zero := (eligibility.Policy{}).Judge(good(), nil); zero.Eligible {
		t.Error("without any criterion somebody is eligible")
	}
}

// condition draws an expression over the facts.
func condition(t *rapid.T, depth int) string {
	if depth == 0 {
		return rapid.SampledFrom([]string{
			"associated", "sold_to", "owner", "seats > 1", "seats == days_left", "days_left <= seats", `plan == "premium"`,
			`plan in ["a", "premium"]`, `fields.a == fields.b`, `fields.a == "x" `, "true", "false", `int(fields.a) > seats`,
		}).Draw(t, "leaf")
	}
	draw := func() string { return condition(t, depth-1) }
	switch rapid.IntRange(0, 6).Draw(t, "kind") {
	case 0:
		return "not (" + draw() + ")"
	case 1:
		return "(" + draw() + ") and (" + draw() + ")"
	case 2:
		return "(" + draw() + ") or (" + draw() + ")"
	case 3:
		return "(" + draw() + ") ? (" + draw() + ") : (" + draw() + ")"
	case 4:
		return "(" + draw() + ") == (" + draw() + ")"
	case 5:
		return "(" + draw() + ") && !(" + draw() + ")"
	}
	return draw()
}

// complete draws facts of which all are known.
func complete(t *rapid.T) eligibility.Facts {
	flag := func() eligibility.Told[bool] { return eligibility.Tell(rapid.Bool().Draw(t, "flag"), "x") }
	number := func() eligibility.Told[int] { return eligibility.Tell(rapid.IntRange(0, 3).Draw(t, "number"), "x") }
	text := func(of ...string) eligibility.Told[string] {
		return eligibility.Tell(rapid.SampledFrom(of).Draw(t, "text"), "x")
	}
	return eligibility.Facts{Associated: flag(), SoldTo: flag(), Owner: flag(), Seats: number(), DaysLeft: number(),
		Plan: text("premium", "free", "a"), Fields: map[string]eligibility.Told[string]{"a": text("x", "1", "2"), "b": text("x", "2")}}
}

// hide draws facts of which some are unknown.
func hide(t *rapid.T, f eligibility.Facts) eligibility.Facts {
	hidden := func() bool { return rapid.Bool().Draw(t, "hidden") }
	fields := map[string]eligibility.Told[string]{}
	for _, key := range []string{"a", "b"} {
		if !hidden() {
			fields[key] = f.Fields[key]
		}
	}
	f.Fields = fields
	for _, flag := range []*eligibility.Told[bool]{&f.Associated, &f.SoldTo, &f.Owner} {
		if hidden() {
			*flag = eligibility.Told[bool]{}
		}
	}
	for _, number := range []*eligibility.Told[int]{&f.Seats, &f.DaysLeft} {
		if hidden() {
			*number = eligibility.Told[int]{}
		}
	}
	if hidden() {
		f.Plan = eligibility.Told[string]{}
	}
	return f
}

// What is met or not met with some facts unknown is so whatever these are. Knowing more never turns one into the other.
func TestUnknownIsSound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := condition(t, rapid.IntRange(0, 3).Draw(t, "depth"))
		p, err := eligibility.NewPolicy(50, []string{"own: " + text})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		whole := complete(t)
		less := p.Judge(hide(t, whole), nil).Criteria[0]
		all := p.Judge(whole, nil).Criteria[0]
		if less.State != unknown && all.State != less.State {
			t.Fatalf("%s is %s with some facts, and %s with all: %+v", text, less.State, all.State, all.Evidence)
		}
		if all.State == unknown && !strings.Contains(text, "int(") {
			t.Fatalf("%s is unknown although everything is known", text)
		}
		if less.State == unknown && less.Remedy == "" {
			t.Fatalf("no remedy for %s", text)
		}
	})
}

// Any text is a policy or an error in one line, evaluates without harm, and means the same when it is read again.
func FuzzPolicy(f *testing.F) {
	for _, c := range eligibility.Default(50) {
		f.Add(c.Expression)
	}
	for _, seed := range []string{`fields.a == "\u00e9\x41'" or fields["b c"] in ['x', "y"]`, "int(fields.a) ** 9 > seats", "not (sold_to ? owner : !associated)",
		"$env", "let x = 1; x", "all(1..9, # > 1)", "1_000 > 0x10", "`raw` contains plan", `"a" matches "(((("`, "fields?.a ?? plan == \"x\"", "a.b.c()", "plan | lower() == \"a\""} {
		f.Add(seed)
	}
	facts := good()
	facts.SoldTo = eligibility.Told[bool]{}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := eligibility.NewPolicy(50, []string{"own: " + text})
		if err != nil {
			if strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("%q: the error has several lines: %q", text, err)
			}
			return
		}
		first := p.Judge(facts, nil)
		again, err := eligibility.NewPolicy(50, []string{"own: " + p.Criteria()[0].Expression})
		if err != nil {
			t.Fatalf("%q is not read again: %v", text, err)
		}
		if second := again.Judge(facts, nil); fmt.Sprint(first.Criteria) != fmt.Sprint(second.Criteria) {
			t.Errorf("%q is %+v, and then %+v", text, first, second)
		}
		if verdict := p.Judge(eligibility.Facts{}, nil); verdict.Criteria[0].State != unknown && len(first.Criteria[0].Evidence) > 0 {
			// Allowed only where the expression does not depend on what is unknown: the whole facts must agree.
			if first.Criteria[0].State != verdict.Criteria[0].State {
				t.Errorf("%q is %s of nothing, and %s of something", text, verdict.Criteria[0].State, first.Criteria[0].State)
			}
		}
	})
}
