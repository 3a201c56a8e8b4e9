package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"contactsync/bench/measure"
)

const (
	sweepOrganizations = 10_000
	sweepContacts      = 200
	sweepRequests      = 20_100
	sweepMemory        = 100_000_000 // bytes
	sweepTime          = 30 * time.Minute
	// idleTime is how long the service has nothing to do before its memory is read.
	idleTime = 10 * time.Second
)

// sweep measures what a scheduled sweep of a large account costs: requests to the desk, and memory.
func (b *bench) sweep(ctx context.Context) error {
	organizations := pick(b, sweepOrganizations, 300)
	b.say("sweep: %d organizations with %d contacts", organizations, sweepContacts)
	s, err := newScene(ctx, organizations, sweepContacts, true)
	if err != nil {
		return err
	}
	// The next full minute that the service has surely seen coming.
	due := time.Now().UTC().Add(startTime / 2).Truncate(time.Minute).Add(time.Minute)
	resync := fmt.Sprintf("%d %d %d %d *", due.Minute(), due.Hour(), due.Day(), due.Month())
	return b.play(ctx, s, "sqlite:"+filepath.Join(b.dir, "sweep.db"), resync, func(service *service, books ledger) error {
		_, atStart, err := service.memory()
		if err != nil {
			return err
		}
		before := len(s.desk.Requests())
		begin := time.Now()
		if _, err := service.await(ctx, sweepTime, saidSweepOver, saidSweepHeld); err != nil {
			return err
		}
		took := time.Since(begin)
		if err := books.settled(ctx); err != nil {
			return err
		}
		if err := wait(ctx, idleTime); err != nil {
			return err
		}
		now, peak, err := service.memory()
		if err != nil {
			return err
		}
		runs, statuses, err := books.runs(ctx, begin)
		if err != nil {
			return err
		}
		if len(runs) != organizations || statuses["unchanged"] != organizations {
			return fmt.Errorf("a sweep of %d organizations led to %s runs", organizations, tally(statuses))
		}
		pages, links, others := 0, 0, map[string]int{}
		requests := s.desk.Requests()[before:]
		for _, r := range requests {
			switch path := strings.TrimSuffix(r.Path, ".json"); {
			case strings.HasSuffix(path, "/organization_memberships"):
				pages++
			case path == "/api/v2/incremental/organizations" || path == "/api/v2/organizations":
				links++
			default:
				others[r.Method+" "+path]++
			}
		}
		first, last := span(runs)
		b.counted(fmt.Sprintf("a sweep of %s organizations with %d contacts: requests to the desk", measure.Count(int64(organizations)), sweepContacts),
			"%s: %s pages of members, %d pages of all organizations, %s others", measure.Count(int64(len(requests))), measure.Count(int64(pages)), links, tally(others))
		b.counted("runs of the sweep", "%s", tally(statuses))
		b.counted("runs of one project that overlapped", "%d", measure.Overlaps(runs))
		b.rate("memory of the service: when it has started, at the peak, after the sweep", "%s, %s, %s",
			measure.Megabytes(atStart), measure.Megabytes(peak), measure.Megabytes(now))
		b.rate("runs of the sweep, without the waiting for the schedule and for the desk's export", "%.0f s, %.0f runs/s",
			last.Sub(first).Seconds(), float64(len(runs))/last.Sub(first).Seconds())
		b.rate("the whole sweep, with that waiting", "%.0f s", took.Seconds())
		b.figure(fmt.Sprintf("serve idle, after a sweep of %s projects", measure.Count(int64(organizations))),
			measure.Megabytes(sweepMemory)+" peak memory", measure.Megabytes(peak), peak <= sweepMemory)
		limit := sweepRequests * organizations / sweepOrganizations
		b.figure(fmt.Sprintf("a sweep of %s organizations with %d contacts", measure.Count(int64(organizations)), sweepContacts),
			fmt.Sprintf("at most %s requests to the desk", measure.Count(int64(limit))), measure.Count(int64(len(requests))), len(requests) <= limit)
		return nil
	})
}

// span is from the begin of the first run to the end of the last.
func span(runs []measure.Span) (from, to time.Time) {
	from, to = runs[0].From, runs[0].To
	for _, run := range runs {
		if run.From.Before(from) {
			from = run.From
		}
		if run.To.After(to) {
			to = run.To
		}
	}
	return from, to
}
