package store_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"contactsync"
	"contactsync/store"
)

// A file that does not exist is an empty store, and looking at it creates nothing.
func TestViewOfNothing(t *testing.T) {
	t.Parallel()
	address := newAddress(t)
	v := mustView(t, address, store.Options{})
	if err := v.Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if got, err := v.Runs(t.Context(), store.Filter{}); err != nil || got == nil || len(got) != 0 {
		t.Errorf("runs: %v, %v", got, err)
	}
	if got, err := v.Baseline(t.Context(), "42"); err != nil || got.Organization != "" {
		t.Errorf("baseline: %v, %v", got, err)
	}
	if got, err := v.Approvals(t.Context(), 5); err != nil || len(got) != 0 {
		t.Errorf("approvals: %v, %v", got, err)
	}
	if got, err := v.RemainderOf(t.Context(), 5, "sha256:a"); err != nil || got != "" {
		t.Errorf("remainder: %v, %v", got, err)
	}
	if _, err := v.Run(t.Context(), "x"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("run: %v", err)
	}
	exerciseLinks(t, v)
	if got := files(t, address); got != "" {
		t.Errorf("files: %s", got)
	}
	// One that comes into being meanwhile is seen.
	s := mustOpen(t, address, store.Options{})
	if err := s.FinishRun(t.Context(), contactsync.Run{ID: "x"}); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Run(t.Context(), "x"); err != nil {
		t.Errorf("run: %v", err)
	}
}

// An empty file is an empty store, too.
func TestViewOfEmptyFile(t *testing.T) {
	t.Parallel()
	address := newAddress(t)
	if err := os.WriteFile(pathOf(address), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := mustView(t, address, store.Options{}).Runs(t.Context(), store.Filter{}); err != nil || len(got) != 0 {
		t.Errorf("runs: %v, %v", got, err)
	}
	if got := files(t, address); got != "store.db" {
		t.Errorf("files: %s", got)
	}
}

// Looking at a store changes not a byte of it and leaves nothing behind, and what is refused is named.
func TestViewWritesNothing(t *testing.T) {
	t.Parallel()
	address := newAddress(t)
	s, err := store.Open(t.Context(), address, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		s.SaveLinks(t.Context(), []contactsync.Link{{Project: 1, Organization: "x"}, {Project: 7, Organization: "y"}}, time.Unix(7, 0)),
		s.SaveBaseline(t.Context(), contactsync.Baseline{Organization: "42", Members: []string{"1"}}),
		s.Approve(t.Context(), 5, contactsync.Approval{Digest: "sha256:a"}),
		s.FinishRun(t.Context(), contactsync.Run{ID: "run", Project: "5", Digest: "sha256:a", Remainder: "sha256:b"}),
		s.Close())
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(pathOf(address))
	if err != nil {
		t.Fatal(err)
	}
	v := mustView(t, address, store.Options{})
	if got, err := v.Runs(t.Context(), store.Filter{}); err != nil || len(got) != 1 {
		t.Errorf("runs: %v, %v", got, err)
	}
	if got, err := v.Baseline(t.Context(), "42"); err != nil || len(got.Members) != 1 {
		t.Errorf("baseline: %v, %v", got, err)
	}
	if got, err := v.Approvals(t.Context(), 5); err != nil || len(got) != 1 {
		t.Errorf("approvals: %v, %v", got, err)
	}
	if got, err := v.RemainderOf(t.Context(), 5, "sha256:a"); err != nil || got != "sha256:b" {
		t.Errorf("remainder: %v, %v", got, err)
	}
	if got, err := v.LinksReadUntil(t.Context()); err != nil || !got.Equal(time.Unix(7, 0)) {
		t.Errorf("read until %v, %v", got, err)
	}
	// Links are remembered in memory, over what the file says.
	if err := v.SaveLinks(t.Context(), []contactsync.Link{{Organization: "x"}, {Project: 7, Organization: "z"}}, time.Time{}); err != nil {
		t.Fatal(err)
	}
	if got, err := v.Linked(t.Context(), 1); err != nil || len(got) != 0 {
		t.Errorf("links: %v, %v", got, err)
	}
	if got, err := v.Linked(t.Context(), 7); err != nil || !slices.Equal(got, []string{"y", "z"}) {
		t.Errorf("links: %v, %v", got, err)
	}
	for name, write := range map[string]func() error{
		"BeginRun":       func() error { return v.BeginRun(t.Context(), contactsync.Run{ID: "n"}) },
		"PlanRun":        func() error { return v.PlanRun(t.Context(), contactsync.Run{ID: "n"}) },
		"RecordChanges":  func() error { return v.RecordChanges(t.Context(), "run", nil) },
		"FinishRun":      func() error { return v.FinishRun(t.Context(), contactsync.Run{ID: "n"}) },
		"SaveBaseline":   func() error { return v.SaveBaseline(t.Context(), contactsync.Baseline{}) },
		"Approve":        func() error { return v.Approve(t.Context(), 5, contactsync.Approval{}) },
		"SpendApprovals": func() error { return v.SpendApprovals(t.Context(), 5) },
		"Hold":           func() error { return v.Hold(t.Context(), 5, func(context.Context) error { return nil }) },
	} {
		if err := write(); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	after, err := os.ReadFile(pathOf(address))
	if err != nil || string(before) != string(after) {
		t.Errorf("the file was changed, or %v", err)
	}
	if got := files(t, address); got != "store.db" {
		t.Errorf("files: %s", got)
	}
}

// While another process writes, a view sees what is committed and nothing else, and does not hinder it to tidy up.
func TestViewBesideWriter(t *testing.T) {
	t.Parallel()
	address := newAddress(t)
	v := mustView(t, address, store.Options{})
	for round := 1; round <= 5; round++ {
		s, err := store.Open(t.Context(), address, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range []string{"a", "b"} {
			if err := s.FinishRun(t.Context(), contactsync.Run{ID: id + string(rune('0'+round))}); err != nil {
				t.Fatal(err)
			}
			if _, err := v.Run(t.Context(), id+string(rune('0'+round))); err != nil {
				t.Errorf("while it is open: %v", err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if got := files(t, address); got != "store.db" {
			t.Errorf("files after closing: %s", got)
		}
		if got, err := v.Runs(t.Context(), store.Filter{}); err != nil || len(got) != 2*round {
			t.Errorf("after it was closed: %d, %v", len(got), err)
		}
	}
}

// A view that reads while others open, write and close all the time is never told nonsense.
func TestViewUnderFire(t *testing.T) {
	t.Parallel()
	address := newAddress(t)
	mustOpenAndClose := func(round int) {
		s, err := store.Open(t.Context(), address, store.Options{})
		if err != nil {
			t.Error(err)
			return
		}
		run := contactsync.Run{ID: string(rune('a' + round%26)), Changes: make([]contactsync.Change, 20)}
		if err := errors.Join(s.FinishRun(t.Context(), run), s.Close()); err != nil {
			t.Error(err)
		}
	}
	mustOpenAndClose(0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for round := range 60 {
			mustOpenAndClose(round)
		}
	}()
	v := mustView(t, address, store.Options{})
	for reads := 0; ; reads++ {
		select {
		case <-done:
			t.Logf("%d reads", reads)
			return
		default:
			if run, err := v.Run(t.Context(), "a"); err != nil || len(run.Changes) != 20 {
				t.Errorf("got %d changes, %v", len(run.Changes), err)
			}
		}
	}
}
