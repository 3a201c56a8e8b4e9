// Package eligibility decides who may have a contact management project. It is pure: facts that others gathered go in,
// a verdict with its reasons comes out.
//
// What no source can tell is unknown, never met. The policy is data: a list of criteria, each an expression over the
// facts in the language of https://expr-lang.org/docs/language-definition, as far as it is a plain condition.
package eligibility

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"contactsync"
)

// DefaultSeats is how many seats a subscription needs.
const DefaultSeats = 50

// maxCriteria is more than anybody can read.
const maxCriteria = 50

// Criterion is one condition.
type Criterion struct {
	ID         string // such as "seats"
	Title      string // for people
	Expression string
	Remedy     string // what to do where it is not met

	parsed expression
}

// Policy is what must hold, all of it. Make one with NewPolicy.
type Policy struct{ criteria []Criterion }

// Criteria returns the criteria in their order.
func (p Policy) Criteria() []Criterion { return slices.Clone(p.criteria) }

// Default returns the criteria of the original system, whose words the titles are, with so many seats.
func Default(seats int) []Criterion {
	return []Criterion{
		{ID: "associated", Title: "the requester is associated with an organization",
			Expression: "associated",
			Remedy:     "Add the requester to the organization at the desk, or let one of its contacts ask."},
		{ID: "active", Title: "the subscription is active: neither expired nor in its grace period",
			Expression: `subscription == "active"`,
			Remedy:     "Renew the subscription. If it was renewed, have the date corrected where it is kept."},
		{ID: "qualifying", Title: "it is GitLab Premium, Ultimate (self-managed or gitlab.com) or Dedicated",
			Expression: `plan in ["premium", "ultimate", "dedicated"]`,
			Remedy:     "Contacts of other plans are managed by ticket. If the plan is wrong, have it corrected where it is kept."},
		{ID: "seats", Title: fmt.Sprintf("it has at least %d seats", seats),
			Expression: fmt.Sprintf("seats >= %d", seats),
			Remedy:     "Contacts of smaller subscriptions are managed by ticket. If the number is wrong, have it corrected where it is kept."},
		{ID: "authorized", Title: "the requester is its sold-to, or an Owner of the gitlab.com namespace",
			Expression: "sold_to or owner",
			Remedy:     "Let the person who bought the subscription ask, or an Owner of the namespace."},
	}
}

// criterionID is what a criterion may be called.
var criterionID = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)

// NewPolicy makes a policy. Seats are what the criterion "seats" asks for. Criteria are the whole list: "ID" is one of
// the Default criteria, "ID: EXPRESSION" is one of your own, or one of the default with another expression; none at all
// is the Default. The error names the criterion, says what is wrong and never holds a line break.
func NewPolicy(seats int, criteria []string) (Policy, error) {
	defaults := Default(seats)
	if len(criteria) == 0 {
		for _, c := range defaults {
			criteria = append(criteria, c.ID)
		}
	}
	if len(criteria) > maxCriteria {
		return Policy{}, fmt.Errorf("lists more than %d criteria", maxCriteria)
	}
	var p Policy
	for _, text := range criteria {
		c, err := criterion(text, defaults)
		if err != nil {
			return Policy{}, err
		}
		if slices.ContainsFunc(p.criteria, func(other Criterion) bool { return other.ID == c.ID }) {
			return Policy{}, fmt.Errorf("lists %s twice", c.ID)
		}
		p.criteria = append(p.criteria, c)
	}
	return p, nil
}

func criterion(text string, defaults []Criterion) (Criterion, error) {
	id, own, isOwn := strings.Cut(text, ":")
	id = strings.TrimSpace(id)
	if !criterionID.MatchString(id) {
		return Criterion{}, fmt.Errorf("names a criterion %.60q, which is no name: lower-case letters, digits and underscores", id)
	}
	i := slices.IndexFunc(defaults, func(c Criterion) bool { return c.ID == id })
	var c Criterion
	switch {
	case i >= 0 && (!isOwn || strings.TrimSpace(own) == defaults[i].Expression):
		c = defaults[i]
	case !isOwn:
		return Criterion{}, fmt.Errorf("names the criterion %s without an expression", id)
	default:
		// The built-in title may not say what another expression asks for.
		c = Criterion{ID: id, Title: strings.ReplaceAll(id, "_", " "), Expression: strings.TrimSpace(own),
			Remedy: "The policy asks for: " + strings.TrimSpace(own) + ". If a fact is wrong, have it corrected where it is kept."}
	}
	var err error
	if c.parsed, err = parse(c.Expression); err != nil {
		return Criterion{}, fmt.Errorf("has a criterion %s whose expression %w", id, err)
	}
	return c, nil
}

// Judge holds the facts against the policy. The attestations are an operator's words for what the facts leave unknown;
// where they tell, the facts count. One for a criterion that the policy does not have is ignored: see Has.
//
// The verdict has Eligible and Criteria alone; the rest is the caller's to say.
func (p Policy) Judge(f Facts, attestations []contactsync.Attestation) contactsync.Verdict {
	verdict := contactsync.Verdict{Eligible: len(p.criteria) > 0, Criteria: []contactsync.CriterionResult{}}
	for _, c := range p.criteria {
		result := c.judge(f)
		for _, a := range attestations {
			if a.Criterion != c.ID {
				continue
			}
			a.Needed = result.State == unknown
			if a.Needed {
				result.State, result.Remedy = met, ""
			}
			result.Attestation = &a
		}
		verdict.Eligible = verdict.Eligible && result.State == met
		verdict.Criteria = append(verdict.Criteria, result)
	}
	return verdict
}

// Has reports whether the policy has a criterion with that id.
func (p Policy) Has(id string) bool {
	return slices.ContainsFunc(p.criteria, func(c Criterion) bool { return c.ID == id })
}

func (c Criterion) judge(f Facts) contactsync.CriterionResult {
	result := contactsync.CriterionResult{ID: c.ID, Title: c.Title, Expression: c.Expression, Evidence: []contactsync.Evidence{}}
	known := map[string]any{}
	var missing bool
	for _, name := range c.parsed.facts {
		value, evidence := f.look(name)
		if value == nil {
			missing = true
		} else {
			known[name] = value
		}
		result.Evidence = append(result.Evidence, evidence)
	}
	result.State = c.parsed.root.eval(known)
	switch result.State {
	case notMet:
		result.Remedy = c.Remedy
	case unknown:
		if !missing {
			result.Evidence = append(result.Evidence, contactsync.Evidence{Fact: "expression", Unknown: "it cannot be computed from these facts"})
		}
		result.Remedy = fmt.Sprintf("Find it out, and attest it: --attest %s=EVIDENCE.", c.ID)
	}
	return result
}
