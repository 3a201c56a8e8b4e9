package eligibility_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"contactsync"
	"contactsync/eligibility"
)

var mapping = eligibility.Mapping{
	Level: "support_level", Seats: "seats_decimal", Expires: "expiration_date", DotComPremium: "sub_dotcom_premium",
	DotComUltimate: "sub_dotcom_ultimate", SelfManagedPremium: "sub_sm_premium", SelfManagedUltimate: "sub_sm_ultimate",
	Dedicated: "sub_gitlab_dedicated", SoldTo: "sold_to", Namespace: "namespace",
}

const today = contactsync.Date("2026-11-22")

const grace = 14 * 24 * time.Hour

// What desk and forge say becomes one set of facts: the subscription from one source as a whole, and the forge's word
// above the desk's where it can see.
func TestFactsOfTheSubscription(t *testing.T) {
	t.Parallel()
	type fields = map[string]string
	seats := func(n int) *int { return &n }
	dotCom := func(plan string, n int, end contactsync.Date) contactsync.Subscription {
		return contactsync.Subscription{Namespace: "example", Plan: plan, Seats: seats(n), Ends: end}
	}
	for name, test := range map[string]struct {
		fields fields
		forge  contactsync.Subscription
		want   string // plan, seats, subscription; "?" for unknown
	}{
		"nothing":                  {nil, contactsync.Subscription{}, "? ? ?"},
		"check box":                {fields{"sub_sm_premium": "true", "seats_decimal": "120.0", "expiration_date": "2027-01-31"}, contactsync.Subscription{}, "premium 120 active"},
		"level":                    {fields{"support_level": "Ultimate", "seats_decimal": "50", "expiration_date": "2026-11-22"}, contactsync.Subscription{}, "ultimate 50 active"},
		"former names":             {fields{"support_level": "silver", "sub_sm_premium": "false"}, contactsync.Subscription{}, "premium ? ?"},
		"gold":                     {fields{"support_level": "Gold"}, contactsync.Subscription{}, "ultimate ? ?"},
		"best box":                 {fields{"sub_dotcom_premium": "true", "sub_gitlab_dedicated": "true"}, contactsync.Subscription{}, "dedicated ? ?"},
		"other level":              {fields{"support_level": "starter"}, contactsync.Subscription{}, "starter ? ?"},
		"level says expired":       {fields{"support_level": "Expired", "sub_sm_premium": "true", "expiration_date": "2030-01-01"}, contactsync.Subscription{}, "premium ? expired"},
		"hold is no plan":          {fields{"support_level": "Hold"}, contactsync.Subscription{}, "? ? ?"},
		"grace begins":             {fields{"expiration_date": "2026-11-21"}, contactsync.Subscription{}, "? ? grace"},
		"grace ends":               {fields{"expiration_date": "2026-11-08T00:00:00Z"}, contactsync.Subscription{}, "? ? grace"},
		"after grace":              {fields{"expiration_date": "2026-11-07"}, contactsync.Subscription{}, "? ? expired"},
		"no day":                   {fields{"expiration_date": "31/01/2027", "seats_decimal": "many"}, contactsync.Subscription{}, "? ? ?"},
		"no number":                {fields{"seats_decimal": "-5"}, contactsync.Subscription{}, "? ? ?"},
		"forge alone":              {nil, dotCom("premium", 60, "2027-01-01"), "premium 60 active"},
		"forge above the desk":     {fields{"sub_sm_ultimate": "true", "seats_decimal": "10"}, dotCom("gold", 60, "2026-11-20"), "ultimate 60 grace"},
		"forge has none, self-mgd": {fields{"sub_sm_ultimate": "true", "seats_decimal": "80", "expiration_date": "2027-01-31"}, dotCom("free", 0, ""), "ultimate 80 active"},
		"forge knows gitlab.com":   {fields{"sub_dotcom_ultimate": "true", "seats_decimal": "80", "expiration_date": "2027-01-31"}, dotCom("free", 0, ""), "free 0 ?"},
		"no subscription":          {nil, contactsync.Subscription{Namespace: "example"}, "none ? ?"},
		"trial":                    {fields{"sub_dotcom_ultimate": "true"}, contactsync.Subscription{Namespace: "example", Plan: "ultimate", Trial: true}, "ultimate_trial ? ?"},
		"trial by name":            {nil, contactsync.Subscription{Namespace: "example", Plan: "ultimate_trial", Trial: true}, "ultimate_trial ? ?"},
		"forge does not tell":      {fields{"sub_dotcom_ultimate": "true"}, contactsync.Subscription{Namespace: "example", Unknown: "no rights"}, "ultimate ? ?"},
	} {
		f := mapping.Facts(eligibility.Sources{Fields: test.fields, Subscription: test.forge}, today, grace)
		got := []string{"?", "?", "?"}
		for i, evidence := range evidenceOf(t, f, "plan", "seats", "subscription") {
			if evidence.Unknown == "" {
				got[i] = evidence.Value
			}
			if (evidence.Source == "") == (evidence.Unknown == "") {
				t.Errorf("%s: neither a source nor a reason, or both: %+v", name, evidence)
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: got %v, want %s", name, got, test.want)
		}
	}
}

// evidenceOf returns what a verdict would show of the facts.
func evidenceOf(t testing.TB, f eligibility.Facts, facts ...string) []contactsync.Evidence {
	t.Helper()
	var all []contactsync.Evidence
	for _, name := range facts {
		expression := name + " == " + name
		all = append(all, policy(t, "own: "+expression).Judge(f, nil).Criteria[0].Evidence[0])
	}
	return all
}

// The requester is who the sources say: an address of the sold-to, an Owner, and nobody by silence.
func TestFactsOfTheRequester(t *testing.T) {
	t.Parallel()
	own := contactsync.Ownership{Namespace: "example", Username: "ada", Owner: true}
	with := func(change func(*contactsync.Ownership)) contactsync.Ownership {
		changed := own
		change(&changed)
		return changed
	}
	for name, test := range map[string]struct {
		soldTo string
		owner  contactsync.Ownership
		want   string // sold_to, owner
	}{
		"silence":          {"", contactsync.Ownership{}, "? ?"},
		"sold-to":          {"Ada@Example.com", contactsync.Ownership{Unknown: "not asked"}, "true ?"},
		"another":          {"grace@example.com", own, "false true"},
		"a name":           {"Ada Lovelace", with(func(o *contactsync.Ownership) { o.Owner = false }), "? false"},
		"her address":      {"", with(func(o *contactsync.Ownership) { o.Address = "ada@example.com" }), "? true"},
		"another address":  {"", with(func(o *contactsync.Ownership) { o.Address = "eve@example.com" }), "? ?"},
		"no Owner, either": {"", with(func(o *contactsync.Ownership) { o.Owner, o.Address = false, "eve@example.com" }), "? false"},
	} {
		f := mapping.Facts(eligibility.Sources{Requester: "ada@example.com", Fields: map[string]string{"sold_to": test.soldTo}, Ownership: test.owner}, today, grace)
		if test.soldTo == "" {
			f = mapping.Facts(eligibility.Sources{Requester: "ada@example.com", Ownership: test.owner}, today, grace)
		}
		got := []string{"?", "?"}
		for i, evidence := range evidenceOf(t, f, "sold_to", "owner") {
			if evidence.Unknown == "" {
				got[i] = evidence.Value
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s: got %v, want %s", name, got, test.want)
		}
	}
}

// A field that nobody configured is unknown, and a desk without fields says so everywhere.
func TestUnmappedFields(t *testing.T) {
	t.Parallel()
	f := eligibility.Mapping{}.Facts(eligibility.Sources{Fields: map[string]string{"": "true", "tier": "gold"}}, today, grace)
	for _, evidence := range evidenceOf(t, f, "plan", "seats", "subscription", "sold_to", "associated", "fields.nowhere") {
		if evidence.Unknown == "" {
			t.Errorf("%+v is told by a field without a name", evidence)
		}
	}
	if evidence := evidenceOf(t, f, "fields.tier")[0]; evidence.Value != "gold" {
		t.Errorf("a field of the desk is %+v", evidence)
	}
	f = mapping.Facts(eligibility.Sources{FieldsWhy: "the desk has none"}, today, grace)
	for _, evidence := range evidenceOf(t, f, "plan", "seats", "fields.tier") {
		if !strings.Contains(evidence.Unknown, "the desk has none") {
			t.Errorf("the reason is lost: %+v", evidence)
		}
	}
	if got := mapping.NamespaceIn(map[string]string{"namespace": "example"}); got != "example" {
		t.Errorf("the namespace is %q", got)
	}
	if got := (eligibility.Mapping{}).NamespaceIn(map[string]string{"": "example"}); got != "" {
		t.Errorf("the namespace is %q", got)
	}
}

// Whatever the desk holds, there are facts and no crash, and the default policy is met only by what it asks for.
func TestFactsOfAnything(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"true", "premium", "2027-01-31", "NaN", "Inf", "1e9", "0x10", "50"}))
		fields := map[string]string{}
		for _, key := range []string{"support_level", "seats_decimal", "expiration_date", "sub_dotcom_premium", "sold_to"} {
			if rapid.Bool().Draw(t, key) {
				fields[key] = value.Draw(t, "value")
			}
		}
		f := mapping.Facts(eligibility.Sources{Requester: "ada@example.com", Fields: fields}, today, grace)
		p, err := eligibility.NewPolicy(50, nil)
		if err != nil {
			t.Fatal(err)
		}
		if verdict := p.Judge(f, nil); verdict.Eligible { // nobody told whether she is associated
			t.Fatalf("eligible by %v", fields)
		}
		if f.Seats.Known() && f.Seats.Value < 0 {
			t.Fatalf("%d seats", f.Seats.Value)
		}
	})
}
