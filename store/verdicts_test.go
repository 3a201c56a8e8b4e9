package store_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"contactsync"
	"contactsync/store"
)

func verdictOf(id, organization string, at time.Time) contactsync.Verdict {
	return contactsync.Verdict{
		ID: id, Organization: contactsync.Organization{ID: organization, Name: "Example"}, Requester: "ada@example.com",
		Username: "ada", Namespace: "example", Eligible: true, JudgedBy: "grace", Judged: at,
		Criteria: []contactsync.CriterionResult{
			{ID: "seats", Title: "it has at least 50 seats", Expression: "seats >= 50", State: contactsync.CriterionMet,
				Evidence:    []contactsync.Evidence{{Fact: "seats", Unknown: "nobody says"}},
				Attestation: &contactsync.Attestation{Criterion: "seats", Evidence: "order 4711\n\x00", By: "grace", Needed: true}},
			{ID: "active", State: contactsync.CriterionNotMet, Evidence: []contactsync.Evidence{{Fact: "subscription", Value: "expired", Source: "the desk"}},
				Remedy: "Renew it."},
		},
	}
}

// A verdict comes back as it was given, attestations included, newest first, and of one's own desk alone.
func TestVerdicts(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now, Desk: "here"})
		other := mustOpen(t, address, store.Options{Now: c.Now, Desk: "elsewhere"})
		var want []contactsync.Verdict
		for i, organization := range []string{"1", "2", "1"} {
			v := verdictOf(string(rune('a'+i)), organization, c.Now())
			if err := s.SaveVerdict(t.Context(), v); err != nil {
				t.Fatal(err)
			}
			want = append([]contactsync.Verdict{v}, want...)
			c.Advance(time.Minute)
		}
		if err := other.SaveVerdict(t.Context(), verdictOf("x", "1", c.Now())); err != nil {
			t.Fatal(err)
		}
		if err := s.SaveVerdict(t.Context(), want[0]); err == nil {
			t.Error("a verdict was given twice")
		}
		for _, test := range []struct {
			organization string
			limit        int
			want         []contactsync.Verdict
		}{
			{"", 10, want}, {"1", 10, []contactsync.Verdict{want[0], want[2]}}, {"", 1, want[:1]}, {"3", 10, nil},
		} {
			got, err := s.Verdicts(t.Context(), test.organization, test.limit)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("verdicts of %q: %+v, %v; want %+v", test.organization, got, err, test.want)
			}
		}
	})
}

// Verdicts belong to the audit trail, and go with it; a view shows them and keeps none.
func TestVerdictsAreKept(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now})
		for _, id := range []string{"old", "new"} {
			if err := s.SaveVerdict(t.Context(), verdictOf(id, "1", c.Now())); err != nil {
				t.Fatal(err)
			}
			c.Advance(24 * time.Hour)
		}
		for _, keep := range []store.Retention{{}, {Runs: time.Hour}, {Audit: 36 * time.Hour}} {
			if _, err := s.Prune(t.Context(), keep); err != nil {
				t.Fatal(err)
			}
			want := 2
			if keep.Audit > 0 {
				want = 1
			}
			if got, err := s.Verdicts(t.Context(), "", 10); err != nil || len(got) != want || got[0].ID != "new" {
				t.Errorf("after %+v there are %+v, %v", keep, got, err)
			}
		}
		view := mustView(t, address, store.Options{Now: c.Now})
		if got, err := view.Verdicts(t.Context(), "1", 10); err != nil || len(got) != 1 {
			t.Errorf("a view shows %+v, %v", got, err)
		}
		if err := view.SaveVerdict(t.Context(), verdictOf("z", "1", c.Now())); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("a view keeps a verdict: %v", err)
		}
	})
}
