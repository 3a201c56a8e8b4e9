package eligibility

import (
	"strconv"

	"contactsync"
)

// Told is a fact as a source tells it. The zero Told is unknown.
type Told[T bool | int | string] struct {
	Value  T
	Source string // who tells it, for people; "" for nobody
	Why    string // where nobody tells it: why
}

// Tell is a fact that the source tells.
func Tell[T bool | int | string](value T, source string) Told[T] {
	return Told[T]{Value: value, Source: source}
}

// Untold is a fact that nobody tells, and why.
func Untold[T bool | int | string](why string) Told[T] { return Told[T]{Why: why} }

// Known reports whether a source tells the fact.
func (t Told[T]) Known() bool { return t.Source != "" }

// The states of a subscription.
const (
	Active  = "active"
	Grace   = "grace" // over, and not for longer than the grace period
	Expired = "expired"
)

// The plans that are one of GitLab's larger products. A plan may be any other word, too, such as free or ultimate_trial.
const (
	Premium   = "premium"
	Ultimate  = "ultimate"
	Dedicated = "dedicated"
)

// Facts are what expressions speak of. The zero Facts are all unknown.
type Facts struct {
	Associated   Told[bool]   // the requester is a member of the organization
	Subscription Told[string] // Active, Grace or Expired
	DaysLeft     Told[int]    // until the subscription ends; 0 on its last day, and negative afterwards
	Plan         Told[string] // Premium, Ultimate, Dedicated or another word
	Seats        Told[int]
	SoldTo       Told[bool]        // the requester bought the subscription
	Owner        Told[bool]        // the requester owns the namespace on GitLab
	Requester    contactsync.Email // always known
	// Fields are the organization's fields at the desk, by key; those that are not in it are unknown, for the reason
	// in FieldsWhy.
	Fields    map[string]Told[string]
	FieldsWhy string
}

// FactInfo describes a fact for the documentation.
type FactInfo struct {
	Name string // in expressions
	Kind string // "yes or no", "number", "text"
	Text string
}

// fact is one that expressions can name.
type fact struct {
	FactInfo
	zero any // tells the type that expressions are checked against
	get  func(Facts) (value any, evidence contactsync.Evidence)
}

// fields is the name before the key of one of the organization's fields.
const fields = "fields"

func told[T bool | int | string](pick func(Facts) Told[T]) func(Facts) (any, contactsync.Evidence) {
	return func(f Facts) (any, contactsync.Evidence) { return evidenceOf(pick(f)) }
}

func evidenceOf[T bool | int | string](t Told[T]) (any, contactsync.Evidence) {
	if !t.Known() {
		why := t.Why
		if why == "" {
			why = "no source tells it"
		}
		return nil, contactsync.Evidence{Unknown: why}
	}
	return t.Value, contactsync.Evidence{Value: textOf(t.Value), Source: t.Source}
}

func textOf(value any) string {
	switch v := value.(type) {
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case string:
		return v
	}
	return ""
}

// table is every fact but the organization's fields.
var table = []fact{
	{FactInfo{"associated", "yes or no", "The requester is a member of the organization at the desk."}, false,
		told(func(f Facts) Told[bool] { return f.Associated })},
	{FactInfo{"subscription", "text", "`\"active\"`; `\"grace\"`: over, within the grace period; `\"expired\"`: over for longer."}, "",
		told(func(f Facts) Told[string] { return f.Subscription })},
	{FactInfo{"days_left", "number", "Days until the subscription ends: 0 on its last day, negative afterwards."}, 0,
		told(func(f Facts) Told[int] { return f.DaysLeft })},
	{FactInfo{"plan", "text", "`\"premium\"`, `\"ultimate\"`, `\"dedicated\"`, or what the source says, in lower case, such as `\"free\"` or `\"ultimate_trial\"`."}, "",
		told(func(f Facts) Told[string] { return f.Plan })},
	{FactInfo{"seats", "number", "Seats of the subscription."}, 0,
		told(func(f Facts) Told[int] { return f.Seats })},
	{FactInfo{"sold_to", "yes or no", "The requester bought the subscription."}, false,
		told(func(f Facts) Told[bool] { return f.SoldTo })},
	{FactInfo{"owner", "yes or no", "The requester is an Owner of the namespace on GitLab."}, false,
		told(func(f Facts) Told[bool] { return f.Owner })},
	{FactInfo{"requester", "text", "The requester's address, in lower case."}, "",
		told(func(f Facts) Told[string] { return Tell(string(f.Requester), sourceRequest) })},
	{FactInfo{"domain", "text", "What follows the @ in the requester's address."}, "",
		told(func(f Facts) Told[string] { return Tell(f.Requester.Domain(), sourceRequest) })},
}

const sourceRequest = "the request"

// FactTable describes the facts that expressions can name.
func FactTable() []FactInfo {
	infos := make([]FactInfo, 0, len(table)+1)
	for _, f := range table {
		infos = append(infos, f.FactInfo)
	}
	return append(infos, FactInfo{fields + ".KEY", "text",
		"The organization's field with that key at the desk. A check box is `\"true\"` or `\"false\"`; numbers are text, too: `int(fields.KEY) >= 10`."})
}

// look returns the value of a fact that an expression names, nil where it is unknown, and the evidence.
func (f Facts) look(name string) (any, contactsync.Evidence) {
	var value any
	evidence := contactsync.Evidence{Unknown: "there is no such fact"}
	if key, isField := cutField(name); isField {
		field, ok := f.Fields[key]
		if !ok {
			field.Why = f.FieldsWhy
			if field.Why == "" {
				field.Why = "the field is empty, or not there"
			}
		}
		value, evidence = evidenceOf(field)
	} else {
		for _, known := range table {
			if known.Name == name {
				value, evidence = known.get(f)
			}
		}
	}
	evidence.Fact = name
	return value, evidence
}
