package store_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"contactsync"
	"contactsync/store"
)

// linker is what both a store and a view remember of links.
func exerciseLinks(t *testing.T, s *store.Store) {
	t.Helper()
	check := func(project int64, want ...string) {
		t.Helper()
		if got, err := s.Linked(t.Context(), project); err != nil || !slices.Equal(got, want) {
			t.Errorf("project %d: got %v, %v; want %v", project, got, err, want)
		}
	}
	save := func(until time.Time, links ...contactsync.Link) {
		t.Helper()
		if err := s.SaveLinks(t.Context(), links, until); err != nil {
			t.Fatal(err)
		}
	}
	until := time.Date(2026, 5, 4, 3, 2, 1, 999_000_000, time.UTC)
	save(time.Time{}, contactsync.Link{Project: 1, Organization: "a"}, contactsync.Link{Project: 1, Organization: "b"},
		contactsync.Link{Project: 2, Organization: "c"})
	check(1, "a", "b")
	check(2, "c")
	check(3)
	if got, err := s.LinksReadUntil(t.Context()); err != nil || !got.IsZero() {
		t.Errorf("read until %v, %v", got, err)
	}
	// A moved number, a forgotten one, and an organization that is said twice.
	save(until, contactsync.Link{Project: 3, Organization: "b"}, contactsync.Link{Organization: "c"},
		contactsync.Link{Project: 8, Organization: "d"}, contactsync.Link{Project: 9, Organization: "d"},
		contactsync.Link{Organization: "never seen"})
	check(1, "a")
	check(2)
	check(3, "b")
	check(8)
	check(9, "d")
	check(0)
	save(time.Time{})
	if got, err := s.LinksReadUntil(t.Context()); err != nil || !got.Equal(until) {
		t.Errorf("read until %v, %v; want %v", got, err, until)
	}
}

// An organization carries the number that it was last seen with, and the watermark stays when none is given.
func TestLinks(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		exerciseLinks(t, mustOpen(t, address, store.Options{}))
	})
}

// The links of two accounts, or of two fields of one, do not mix.
func TestLinksOfTwoDesks(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		one := mustOpen(t, address, store.Options{Desk: "one"})
		two := mustOpen(t, address, store.Options{Desk: "two"})
		if err := one.SaveLinks(t.Context(), []contactsync.Link{{Project: 1, Organization: "a"}}, time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		if got, err := two.Linked(t.Context(), 1); err != nil || len(got) != 0 {
			t.Errorf("got %v, %v", got, err)
		}
		if got, err := two.LinksReadUntil(t.Context()); err != nil || !got.IsZero() {
			t.Errorf("got %v, %v", got, err)
		}
		exerciseLinks(t, two)
		if got, err := one.Linked(t.Context(), 1); err != nil || !slices.Equal(got, []string{"a"}) {
			t.Errorf("got %v, %v", got, err)
		}
	})
}

// All of many links are saved, whatever their number is to the rows that fit one statement.
func TestManyLinks(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		s := mustOpen(t, address, store.Options{})
		for _, n := range []int{0, 1, 32, 33, 34, 50, 51, 1000} {
			var links, gone []contactsync.Link
			for i := range n {
				links = append(links, contactsync.Link{Project: int64(n), Organization: fmt.Sprintf("%d-%d", n, i)})
				gone = append(gone, contactsync.Link{Organization: fmt.Sprintf("%d-%d", n, i)})
			}
			for _, step := range []struct {
				links []contactsync.Link
				want  int
			}{{links, n}, {links, n}, {gone, 0}} {
				if err := s.SaveLinks(t.Context(), step.links, time.Time{}); err != nil {
					t.Fatal(err)
				}
				if got, err := s.Linked(t.Context(), int64(n)); err != nil || len(got) != step.want {
					t.Errorf("%d links: got %d, %v", step.want, len(got), err)
				}
			}
		}
	})
}
