package eligibility

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"contactsync"
)

// Mapping names the organization's fields at the desk. An empty name is a field that the desk does not have.
type Mapping struct {
	Level               string // of support: a plan, or "expired"
	Seats               string
	Expires             string // a day, such as 2027-01-31
	DotComPremium       string // check boxes
	DotComUltimate      string
	SelfManagedPremium  string
	SelfManagedUltimate string
	Dedicated           string
	SoldTo              string // the address of who bought the subscription
	Namespace           string // on GitLab
}

// Sources are what desk and forge said, before anything is made of it.
type Sources struct {
	Requester  contactsync.Email
	Associated Told[bool]
	Fields     map[string]string // of the organization, as the desk has them
	FieldsWhy  string            // why the desk tells no fields; "" where it does
	// Subscription and Ownership are the forge's words; where it was not asked, Unknown says why.
	Subscription contactsync.Subscription
	Ownership    contactsync.Ownership
}

// Facts makes facts of what the sources said. Today is the day of the verdict, in UTC, and grace how long a
// subscription that is over is in its grace period.
//
// What is said of the subscription comes from one source as a whole. The forge stands above the desk where it has a
// paid subscription for the namespace: it is first-hand, and the desk a copy. It cannot see subscriptions of self-managed
// GitLab and of Dedicated, so where it has none, the desk counts; but not its word that there is one on gitlab.com.
func (m Mapping) Facts(s Sources, today contactsync.Date, grace time.Duration) Facts {
	f := Facts{Associated: s.Associated, Requester: s.Requester, FieldsWhy: s.FieldsWhy, Fields: map[string]Told[string]{}}
	for key, value := range s.Fields {
		f.Fields[key] = Tell(value, fieldSource(key))
	}
	f.SoldTo = m.soldTo(f, s.Requester)
	f.Owner = ownerOf(s.Ownership, s.Requester)

	plan, onDotCom := m.plan(f)
	forge := forgePlan(s.Subscription)
	if forge.Known() && (paid(forge.Value) || onDotCom || !plan.Known()) {
		f.Plan = forge
		f.Seats = forgeSeats(s.Subscription)
		f.Subscription, f.DaysLeft = state(forgeEnd(s.Subscription), today, grace)
		return f
	}
	f.Plan = plan
	f.Seats = m.seats(f)
	f.Subscription, f.DaysLeft = state(m.end(f), today, grace)
	if level := m.field(f, m.Level); level.Known() && strings.EqualFold(level.Value, Expired) {
		f.Subscription = Tell(Expired, level.Source)
	}
	return f
}

func fieldSource(key string) string { return "the organization's field " + key }

// field returns a field of the mapping.
func (m Mapping) field(f Facts, key string) Told[string] {
	if key == "" {
		return Untold[string]("no field of the desk is configured for it")
	}
	if field, ok := f.Fields[key]; ok {
		return field
	}
	if f.FieldsWhy != "" {
		return Untold[string](f.FieldsWhy)
	}
	return Untold[string](fieldSource(key) + " is empty, or not there")
}

// plan returns the plan that the desk's fields tell, and whether they say no more than that it is one on gitlab.com.
func (m Mapping) plan(f Facts) (plan Told[string], onDotCom bool) {
	boxes := []struct{ key, plan string }{ // the best one first
		{m.Dedicated, Dedicated}, {m.SelfManagedUltimate, Ultimate}, {m.SelfManagedPremium, Premium},
		{m.DotComUltimate, Ultimate}, {m.DotComPremium, Premium},
	}
	for i, box := range boxes {
		if ticked := m.field(f, box.key); ticked.Known() && strings.EqualFold(ticked.Value, "true") {
			return Tell(box.plan, ticked.Source), i >= 3
		}
	}
	level := m.field(f, m.Level)
	if !level.Known() {
		return Untold[string]("no check box of a plan is ticked, and " + level.Why), false
	}
	// Neither is a plan: they say how support stands.
	if strings.EqualFold(level.Value, Expired) || strings.EqualFold(level.Value, "hold") {
		return Untold[string](fmt.Sprintf("%s says %q, which is no plan, and no check box of a plan is ticked", level.Source, level.Value)), false
	}
	return Tell(planName(level.Value), level.Source), false
}

// planName is the plan's name in our words. Silver and Gold are what Premium and Ultimate on gitlab.com were called
// until 2021: https://about.gitlab.com/blog/2021/01/26/new-gitlab-product-subscription-model/
func planName(name string) string {
	switch name = strings.ToLower(strings.TrimSpace(name)); name {
	case "silver":
		return Premium
	case "gold":
		return Ultimate
	}
	return name
}

func paid(plan string) bool { return plan == Premium || plan == Ultimate || plan == Dedicated }

func (m Mapping) seats(f Facts) Told[int] {
	field := m.field(f, m.Seats)
	if !field.Known() {
		return Untold[int](field.Why)
	}
	number, err := strconv.ParseFloat(field.Value, 64)
	if err != nil || number < 0 || number > math.MaxInt32 || math.IsNaN(number) {
		return Untold[int](fmt.Sprintf("%s says %q, which is no number of seats", field.Source, field.Value))
	}
	return Tell(int(number), field.Source)
}

// end is the subscription's last day as the desk has it: a day, or a time of which the day counts.
func (m Mapping) end(f Facts) Told[string] {
	field := m.field(f, m.Expires)
	if !field.Known() {
		return field
	}
	day, rest, timed := strings.Cut(strings.ReplaceAll(field.Value, " ", "T"), "T")
	_, err := time.Parse(time.DateOnly, day)
	if err != nil || timed && rest == "" {
		return Untold[string](fmt.Sprintf("%s says %q, which is no day such as 2027-01-31", field.Source, field.Value))
	}
	return Tell(day, field.Source)
}

func (m Mapping) soldTo(f Facts, requester contactsync.Email) Told[bool] {
	field := m.field(f, m.SoldTo)
	if !field.Known() {
		return Untold[bool](field.Why)
	}
	address := contactsync.NormalizeEmail(field.Value)
	if address.Domain() == "" {
		return Untold[bool](field.Source + " holds no address")
	}
	return Tell(address == requester, field.Source)
}

// NamespaceIn returns the namespace on GitLab that the organization's fields name, "" for none.
func (m Mapping) NamespaceIn(fields map[string]string) string {
	if m.Namespace == "" {
		return ""
	}
	return fields[m.Namespace]
}

// forgePlan is the plan as the forge has it; a trial is none of the paid ones.
func forgePlan(s contactsync.Subscription) Told[string] {
	if s.Unknown != "" || s.Namespace == "" {
		return Untold[string](s.Unknown)
	}
	plan := planName(s.Plan)
	switch {
	case plan == "":
		plan = "none"
	case s.Trial && !strings.HasSuffix(plan, "_trial"):
		plan += "_trial"
	}
	return Tell(plan, forgeSource(s))
}

func forgeSource(s contactsync.Subscription) string { return "GitLab, namespace " + s.Namespace }

func forgeSeats(s contactsync.Subscription) Told[int] {
	if s.Seats == nil {
		return Untold[int](forgeSource(s) + ", does not tell the seats")
	}
	return Tell(*s.Seats, forgeSource(s))
}

func forgeEnd(s contactsync.Subscription) Told[string] {
	if s.Ends == "" {
		return Untold[string](forgeSource(s) + ", tells no end")
	}
	return Tell(string(s.Ends), forgeSource(s))
}

// state is how a subscription stands today. The day on which it ends is its last one.
func state(end Told[string], today contactsync.Date, grace time.Duration) (Told[string], Told[int]) {
	if !end.Known() {
		return Untold[string](end.Why), Untold[int](end.Why)
	}
	last, err := time.Parse(time.DateOnly, end.Value)
	now, wrong := time.Parse(time.DateOnly, string(today))
	if err != nil || wrong != nil {
		why := fmt.Sprintf("%s says %q, which is no day such as 2027-01-31", end.Source, end.Value)
		return Untold[string](why), Untold[int](why)
	}
	source := fmt.Sprintf("%s: it ends on %s", end.Source, end.Value)
	over := now.Sub(last)
	days := Tell(int(-over.Hours()/24), source)
	switch {
	case over <= 0:
		return Tell(Active, source), days
	case over <= grace:
		return Tell(Grace, source), days
	}
	return Tell(Expired, source), days
}

// ownerOf says whether the requester owns the namespace, as far as the username is theirs. GitLab shows the addresses of
// few users; one that it shows and that is another counts against the username.
func ownerOf(o contactsync.Ownership, requester contactsync.Email) Told[bool] {
	if o.Unknown != "" || o.Namespace == "" {
		return Untold[bool](o.Unknown)
	}
	source := fmt.Sprintf("GitLab, members of %s: @%s", o.Namespace, o.Username)
	switch {
	case !o.Owner:
		return Tell(false, source)
	case o.Address == "":
		return Tell(true, source+", whose address GitLab does not show")
	case o.Address == requester:
		return Tell(true, source+", with the requester's address")
	}
	return Untold[bool](fmt.Sprintf("@%s is an Owner of %s, but GitLab shows another address for them: %s", o.Username, o.Namespace, o.Address))
}
