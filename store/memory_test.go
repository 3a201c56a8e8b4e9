package store_test

import (
	"reflect"
	"testing"
	"time"

	"contactsync"
	"contactsync/store"
)

// A baseline is replaced as a whole, and those of two accounts do not mix.
func TestBaseline(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Desk: "https://one.example.com"})
		other := mustOpen(t, address, store.Options{Desk: "https://two.example.com"})
		if got, err := s.Baseline(t.Context(), "42"); err != nil || !reflect.DeepEqual(got, contactsync.Baseline{}) {
			t.Errorf("before any: got %+v, %v", got, err)
		}
		for _, members := range [][]string{{"1", "2", "3"}, {"2"}} {
			want := contactsync.Baseline{Organization: "42", Members: members, At: c.Now()}
			if err := s.SaveBaseline(t.Context(), want); err != nil {
				t.Fatal(err)
			}
			if got, err := s.Baseline(t.Context(), "42"); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		}
		if got, err := other.Baseline(t.Context(), "42"); err != nil || got.Organization != "" {
			t.Errorf("the other account's: got %+v, %v", got, err)
		}
	})
}

// Approvals are given newest first, for a day, until they are spent, and for their project alone.
func TestApprovals(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now})
		approve := func(project int64, digest string) contactsync.Approval {
			t.Helper()
			approval := contactsync.Approval{Digest: digest, Changes: []string{"remove:12", "remove:13"}, By: "Grace", At: c.Now()}
			if err := s.Approve(t.Context(), project, approval); err != nil {
				t.Fatal(err)
			}
			return approval
		}
		check := func(project int64, want ...contactsync.Approval) {
			t.Helper()
			if got, err := s.Approvals(t.Context(), project); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("project %d: got %+v, %v; want %+v", project, got, err, want)
			}
		}
		check(5)
		first := approve(5, "sha256:a")
		other := approve(6, "sha256:a")
		second := approve(5, "sha256:b")
		check(5, second, first)
		c.Advance(24 * time.Hour)
		third := approve(5, "sha256:c")
		check(5, third, second, first)
		c.Advance(time.Millisecond)
		check(5, third)
		if err := s.SpendApprovals(t.Context(), 5); err != nil {
			t.Fatal(err)
		}
		check(5)
		c.Advance(-time.Millisecond)
		check(6, other)
		check(5)
		check(5)
		again := approve(5, "sha256:a")
		check(5, again)
	})
}
