package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"contactsync"
	"contactsync/store"
)

// Opening a store is part of every command's start.
func BenchmarkOpen(b *testing.B) {
	address := newAddress(b)
	if s, err := store.Open(b.Context(), address, store.Options{}); err != nil || s.Close() != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		s, err := store.Open(b.Context(), address, store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// The first start makes the schema.
func BenchmarkOpenNew(b *testing.B) {
	for b.Loop() {
		s, err := store.Open(b.Context(), newAddress(b), store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// A plan reads a handful of things.
func BenchmarkViewBaseline(b *testing.B) {
	address := newAddress(b)
	s, err := store.Open(b.Context(), address, store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(s.SaveBaseline(b.Context(), contactsync.Baseline{Organization: "42"}), s.Close()); err != nil {
		b.Fatal(err)
	}
	v := mustView(b, address, store.Options{})
	for b.Loop() {
		if _, err := v.Baseline(b.Context(), "42"); err != nil {
			b.Fatal(err)
		}
	}
}

// A bulk read of a large account brings 10,000 links at a time; well under a second is asked for.
func BenchmarkSaveLinks10000(b *testing.B) {
	s := mustOpen(b, newAddress(b), store.Options{})
	links := make([]contactsync.Link, 10_000)
	for i := range links {
		links[i] = contactsync.Link{Project: int64(i + 1), Organization: fmt.Sprint(360_000_000_000 + i)}
	}
	for b.Loop() {
		if err := s.SaveLinks(b.Context(), links, time.Unix(1, 0)); err != nil {
			b.Fatal(err)
		}
	}
}

// A run of 5,000 changes records its results after each batch.
func BenchmarkRecordChanges5000(b *testing.B) {
	s := mustOpen(b, newAddress(b), store.Options{})
	if err := s.BeginRun(b.Context(), contactsync.Run{ID: "run"}); err != nil {
		b.Fatal(err)
	}
	changes := make([]contactsync.Change, 5_000)
	for i := range changes {
		changes[i] = contactsync.Change{Action: contactsync.ActionAdd, Name: "Ada Lovelace",
			Email: contactsync.Email(fmt.Sprintf("p%d@example.com", i)), Result: contactsync.ResultDone}
	}
	batch := 0
	for b.Loop() {
		batch++
		for i := range 100 {
			changes[(batch*100+i)%len(changes)].Detail = fmt.Sprint(batch)
		}
		if err := s.RecordChanges(b.Context(), "run", changes); err != nil {
			b.Fatal(err)
		}
	}
}

// Taking and giving back a lease is the price of every run.
func BenchmarkHold(b *testing.B) {
	s := mustOpen(b, newAddress(b), store.Options{})
	for b.Loop() {
		if err := s.Hold(b.Context(), 5, func(context.Context) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// Every hook is kept before it is answered.
func BenchmarkAccept(b *testing.B) {
	s := mustOpen(b, newAddress(b), store.Options{})
	for n := 0; b.Loop(); n++ {
		delivery := contactsync.Delivery{Project: int64(n%100) + 1, Key: fmt.Sprint(n), Event: "push"}
		if _, err := s.Accept(b.Context(), delivery); err != nil {
			b.Fatal(err)
		}
	}
}
