package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sort"
	"time"

	"contactsync/bench/measure"
)

const (
	hookProjects = 100
	hookContacts = 20
	hookRate     = 300 // a second
	hookLimit    = 50 * time.Millisecond

	startHooks = 100
	startLimit = 150 * time.Millisecond

	stormProjects = 20
	stormContacts = 20
	stormHooks    = 5000
	stormTime     = 10 * time.Second
	stormRuns     = 2000
)

// hooks measures how hooks are stored and answered while workers do the runs that follow from them.
func (b *bench) hooks(ctx context.Context) error {
	lasting := pick(b, 30*time.Second, 5*time.Second)
	n := int(lasting.Seconds()) * hookRate
	return b.onEachStore(ctx, "hooks", func(ctx context.Context, kind, store string) error {
		b.say("hooks: %d in %v, %s", n, lasting, kind)
		s, err := newScene(ctx, hookProjects, hookContacts, false)
		if err != nil {
			return err
		}
		return b.play(ctx, s, store, "", func(service *service, books ledger) error {
			if err := b.warmUp(ctx, s, service, books); err != nil {
				return err
			}
			before, err := books.count(ctx, deliveries)
			if err != nil {
				return err
			}
			begin := time.Now()
			var samples []measure.Sample
			used, _, err := service.used(func() (err error) {
				samples, err = b.load(ctx, s, service, measure.Arrivals(n, lasting), nil)
				return err
			})
			if err != nil {
				return err
			}
			if err := books.settled(ctx); err != nil {
				return err
			}
			stored, err := books.count(ctx, deliveries)
			if err != nil {
				return err
			}
			stored -= before
			_, statuses, err := books.runs(ctx, begin)
			if err != nil {
				return err
			}
			failed := b.failures(samples)
			spread := b.timed(fmt.Sprintf("hook to answer, %s, %d a second, from the moment it was meant to arrive", kind, hookRate), measure.Latencies(samples))
			b.rate(fmt.Sprintf("%s: processor time of the service while hooks arrive, their runs included", kind), "%.0f %% of one core", 100*used.Seconds()/lasting.Seconds())
			b.counted(fmt.Sprintf("%s: hooks sent, answered 202, in the store", kind), "%s, %s, %s",
				measure.Count(int64(n)), measure.Count(int64(n-failed)), measure.Count(int64(stored)))
			b.counted(fmt.Sprintf("%s: runs meanwhile, of %d projects", kind, hookProjects), "%s", tally(statuses))
			b.figure(fmt.Sprintf("authentic hooks stored durably and answered, %s, open loop at %d/s, workers running", kind, hookRate),
				fmt.Sprintf("p99 %s, none failed", measure.Milliseconds(hookLimit)),
				fmt.Sprintf("p99 %s, %d failed", measure.Milliseconds(spread.P99), failed+n-stored),
				spread.P99 <= hookLimit && failed == 0 && stored == n)
			return nil
		})
	})
}

// warmUp lets every project have one run, so that links are known and connections open.
func (b *bench) warmUp(ctx context.Context, s *scene, service *service, books ledger) error {
	if _, err := b.load(ctx, s, service, measure.Arrivals(s.projects, time.Second), nil); err != nil {
		return err
	}
	return books.settled(ctx)
}

// load sends hooks of one project after the other. before, if any, is called with each hook's number and project when it
// is about to be sent.
func (b *bench) load(ctx context.Context, s *scene, service *service, arrivals []time.Duration, before func(i int, project int64)) ([]measure.Sample, error) {
	sender := newSender()
	defer sender.close()
	var failed error
	id := rand.Uint64() //nolint:gosec // ids that have not come before, no secrets
	samples := measure.OpenLoop(ctx, arrivals, func(i int) *http.Request {
		project := int64(i%s.projects) + 1
		r, err := signed(ctx, service.address, s.key, project, fmt.Sprintf("%016x-%d", id, i))
		if err != nil && failed == nil {
			failed = err
		}
		if before != nil {
			before(i, project)
		}
		return r
	}, func(_ context.Context, r *http.Request) error { return sender.send(r) })
	if failed == nil {
		failed = ctx.Err()
	}
	return samples, failed
}

// failures counts the hooks that were not answered with success, and tells of the first.
func (b *bench) failures(samples []measure.Sample) int {
	failed, first := measure.Failed(samples)
	if failed > 0 {
		b.say("  %d hooks failed, the first with: %v", failed, first)
	}
	return failed
}

// tally writes counts for people, the word that comes first in the alphabet first.
func tally(counts map[string]int) string {
	words := make([]string, 0, len(counts))
	total := 0
	for word, n := range counts {
		words = append(words, fmt.Sprintf("%s %s", measure.Count(int64(n)), word))
		total += n
	}
	sort.Strings(words)
	text := measure.Count(int64(total))
	for i, word := range words {
		text += []string{": ", ", "}[min(i, 1)] + word
	}
	return text
}

// start measures how soon after its answer a hook's run begins, when there is nothing else to do.
func (b *bench) start(ctx context.Context) error {
	n := pick(b, startHooks, 10)
	return b.onEachStore(ctx, "start", func(ctx context.Context, kind, store string) error {
		b.say("start of runs: %d hooks one after the other, %s", n, kind)
		s, err := newScene(ctx, n, hookContacts, false)
		if err != nil {
			return err
		}
		return b.play(ctx, s, store, "", func(service *service, books ledger) error {
			if err := b.warmUp(ctx, s, service, books); err != nil {
				return err
			}
			begin := time.Now()
			answered := map[int64]time.Time{}
			sender := newSender()
			defer sender.close()
			for project := range int64(n) {
				// At random, because what the service does at intervals must not be met always at the same place.
				if err := wait(ctx, 200*time.Millisecond+rand.N(300*time.Millisecond)); err != nil { //nolint:gosec // no secret
					return err
				}
				r, err := signed(ctx, service.address, s.key, project+1, fmt.Sprintf("start-%d", project))
				if err != nil {
					return err
				}
				if err := sender.send(r); err != nil {
					return err
				}
				answered[project+1] = time.Now()
			}
			if err := books.settled(ctx); err != nil {
				return err
			}
			runs, _, err := books.runs(ctx, begin)
			if err != nil {
				return err
			}
			if len(runs) != n {
				return fmt.Errorf("%d hooks led to %d runs", n, len(runs))
			}
			delays := make([]time.Duration, len(runs))
			for i, run := range runs {
				delays[i] = run.From.Sub(answered[run.Project])
			}
			spread := b.timed("answer of a hook to the start of its run, idle, "+kind, delays)
			b.figure("from a hook's answer to the start of its run, idle machine, "+kind,
				"p95 "+measure.Milliseconds(startLimit), "p95 "+measure.Milliseconds(spread.P95), spread.P95 <= startLimit)
			return nil
		})
	})
}

// storm measures what becomes of many hooks for few projects.
func (b *bench) storm(ctx context.Context) error {
	n, lasting := pick(b, stormHooks, stormHooks/5), pick(b, stormTime, stormTime/5)
	limit := stormRuns * n / stormHooks
	return b.onEachStore(ctx, "storm", func(ctx context.Context, kind, store string) error {
		b.say("storm: %d hooks for %d projects in %v, %s", n, stormProjects, lasting, kind)
		s, err := newScene(ctx, stormProjects, stormContacts, false)
		if err != nil {
			return err
		}
		return b.play(ctx, s, store, "", func(service *service, books ledger) error {
			if err := b.warmUp(ctx, s, service, books); err != nil {
				return err
			}
			begin := time.Now()
			samples, err := b.load(ctx, s, service, measure.Arrivals(n, lasting), func(i int, project int64) {
				// With its last hook a project gets one contact more: a run that is left out cannot go unnoticed.
				if i >= n-stormProjects {
					s.late[project-1].Store(true)
				}
			})
			if err != nil {
				return err
			}
			failed := b.failures(samples)
			if err := books.settled(ctx); err != nil {
				return err
			}
			took := time.Since(begin)
			runs, statuses, err := books.runs(ctx, begin)
			if err != nil {
				return err
			}
			seen, atDesk := s.turns.Count()
			inStore, left := measure.Overlaps(runs), s.missed()
			b.counted(fmt.Sprintf("%s: runs that %s hooks for %d projects led to", kind, measure.Count(int64(n)), stormProjects), "%s", tally(statuses))
			b.counted(kind+": runs of one project that overlapped, at the desk and in the store", "%d and %d", atDesk, inStore)
			b.counted(kind+": times that the desk's members were read, the first runs included", "%s", measure.Count(int64(seen)))
			b.counted(kind+": projects whose last push did not reach the desk", "%d", left)
			b.rate(kind+": from the first hook to the end of the last run", "%.1f s", took.Seconds())
			b.timed(fmt.Sprintf("hook to answer, %s, storm of %d a second", kind, int(float64(n)/lasting.Seconds())), measure.Latencies(samples))
			b.figure(fmt.Sprintf("%s hooks over %d projects in %.0f s, %s", measure.Count(int64(n)), stormProjects, lasting.Seconds(), kind),
				fmt.Sprintf("no overlap, no project left behind, under %s runs", measure.Count(int64(limit))),
				fmt.Sprintf("%d overlaps, %d left behind, %s runs, %d hooks refused", atDesk+inStore, left, measure.Count(int64(len(runs))), failed),
				atDesk+inStore == 0 && left == 0 && len(runs) < limit && failed == 0)
			return nil
		})
	})
}
