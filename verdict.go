package contactsync

import (
	"fmt"
	"strings"
	"time"
)

// CriterionState is whether a criterion of eligibility holds.
type CriterionState string

// The states of a criterion. What no source can tell is unknown, never met.
const (
	CriterionMet     CriterionState = "met"
	CriterionNotMet  CriterionState = "not_met"
	CriterionUnknown CriterionState = "unknown"
)

// Verdict is whether an organization may have a contact management project, and why. It is kept in the audit trail.
type Verdict struct {
	ID           string            `json:"verdict"`
	Organization Organization      `json:"organization"`
	Requester    Email             `json:"requester"`
	Username     string            `json:"username,omitempty"`  // of the requester on GitLab, as the operator was told
	Namespace    string            `json:"namespace,omitempty"` // the organization's on GitLab
	Eligible     bool              `json:"eligible"`            // every criterion is met
	Criteria     []CriterionResult `json:"criteria"`
	JudgedBy     string            `json:"judged_by"` // who asked: a claim, not a proof
	Judged       time.Time         `json:"judged"`
}

// CriterionResult is what became of one criterion.
type CriterionResult struct {
	ID          string         `json:"id"`
	Title       string         `json:"title"`
	Expression  string         `json:"expression"`
	State       CriterionState `json:"state"`
	Evidence    []Evidence     `json:"evidence"`
	Remedy      string         `json:"remedy,omitempty"` // what would mend it; "" where it is met
	Attestation *Attestation   `json:"attestation,omitempty"`
}

// Evidence is one fact that a criterion depends on: its value and who tells it, or why nobody does.
type Evidence struct {
	Fact    string `json:"fact"`
	Value   string `json:"value,omitempty"`
	Source  string `json:"source,omitempty"`
	Unknown string `json:"unknown,omitempty"` // why no source tells; "" where one does
}

// Attestation is an operator's word for a criterion that no source can tell.
type Attestation struct {
	Criterion string `json:"criterion"`
	Evidence  string `json:"evidence"`
	By        string `json:"by"`
	// Needed says that the criterion is met because of it. The facts stand above it: where they tell, it is only kept.
	Needed bool `json:"needed"`
}

// Err is nil for the eligible, else the error not_eligible that names what is missing. Where nothing speaks against the
// organization, but not everything is known, an operator can mend it.
func (v Verdict) Err() error {
	if v.Eligible {
		return nil
	}
	var parts []string
	failed := v.in(CriterionNotMet)
	if len(failed) > 0 {
		parts = append(parts, "not met: "+strings.Join(failed, ", "))
	}
	unknown := v.in(CriterionUnknown)
	if len(unknown) > 0 {
		parts = append(parts, "unknown: "+strings.Join(unknown, ", "))
	}
	err := Errorf(ClassNotEligible, "organization %s is not eligible; %s", v.Organization.ID, strings.Join(parts, "; "))
	if len(failed) == 0 {
		err.Who = WhoOperator
		err.Remedy = "Find out what is unknown, and attest it: --attest CRITERION=EVIDENCE."
	}
	return err
}

// in names the criteria in a state.
func (v Verdict) in(state CriterionState) (ids []string) {
	for _, c := range v.Criteria {
		if c.State == state {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// Summary counts the criteria by their states, for people.
func (v Verdict) Summary() string {
	text := fmt.Sprintf("%d of %d criteria met", len(v.in(CriterionMet)), len(v.Criteria))
	if n := len(v.in(CriterionNotMet)); n > 0 {
		text += fmt.Sprintf(", %d not met", n)
	}
	if n := len(v.in(CriterionUnknown)); n > 0 {
		text += fmt.Sprintf(", %d unknown", n)
	}
	return text
}

// Subscription is what a forge says of the subscription of a namespace.
type Subscription struct {
	Namespace string // the top-level one, which has the subscription
	Plan      string // its code: free, premium, ultimate and others; "" for none
	Trial     bool
	Seats     *int   // nil: not told
	Ends      Date   // "" for no end, or none that is told
	Unknown   string // why the forge does not tell, and nothing else is set; "" where it does
}

// Ownership is what a forge says of a user and a namespace.
type Ownership struct {
	Namespace string // the top-level one
	Username  string // as the forge spells it
	Owner     bool
	Address   Email  // that the forge shows of the user; "" where it shows none
	Unknown   string // why the forge does not tell; "" where it does
}
