// Package measure is what measuring is made of: arrivals that wait for nobody, percentiles, runs that overlap, what a
// machine says of itself, and the report. All but OpenLoop is pure.
package measure

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Arrivals are n moments at an even distance, from the start of the load on.
func Arrivals(n int, over time.Duration) []time.Duration {
	moments := make([]time.Duration, n)
	for i := range moments {
		moments[i] = time.Duration(float64(over) * float64(i) / float64(n))
	}
	return moments
}

// Sample is how one arrival fared.
type Sample struct {
	Latency time.Duration // from when it was to arrive until it was answered
	Err     error
}

// OpenLoop calls send for each arrival at its time, however long the earlier ones take, and returns when all have ended.
// prepare is called in advance, in order, and its result given to send. An arrival that is late because the sender is
// busy counts from when it was meant to be: an overloaded server cannot hide by slowing the load down. When the context
// ends, what is left is not sent.
func OpenLoop[T any](ctx context.Context, arrivals []time.Duration, prepare func(i int) T, send func(context.Context, T) error) []Sample {
	samples := make([]Sample, len(arrivals))
	var sent sync.WaitGroup
	begin := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for i, at := range arrivals {
		request := prepare(i)
		due := begin.Add(at)
		timer.Reset(time.Until(due))
		select {
		case <-timer.C:
		case <-ctx.Done():
			samples[i].Err = ctx.Err()
			continue
		}
		sent.Go(func() {
			err := send(ctx, request)
			samples[i] = Sample{Latency: time.Since(due), Err: err}
		})
	}
	sent.Wait()
	return samples
}

// Failed counts the samples with an error, and returns the first one.
func Failed(samples []Sample) (n int, first error) {
	for _, s := range samples {
		if s.Err == nil {
			continue
		}
		if n++; first == nil {
			first = s.Err
		}
	}
	return n, first
}

// Spread is how durations are spread.
type Spread struct {
	N                  int
	P50, P95, P99, Max time.Duration
}

// SpreadOf returns the spread of some durations; the zero Spread of none.
func SpreadOf(durations []time.Duration) Spread {
	if len(durations) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(durations))
	return Spread{
		N: len(sorted), P50: percentile(sorted, 50), P95: percentile(sorted, 95), P99: percentile(sorted, 99), Max: sorted[len(sorted)-1],
	}
}

// Latencies are those of the samples without an error.
func Latencies(samples []Sample) []time.Duration {
	var latencies []time.Duration
	for _, s := range samples {
		if s.Err == nil {
			latencies = append(latencies, s.Latency)
		}
	}
	return latencies
}

// percentile is the smallest of the sorted values that p per cent of them do not exceed (nearest rank): a value that
// was measured, never one in between.
func percentile(sorted []time.Duration, p int) time.Duration {
	rank := (len(sorted)*p + 99) / 100
	return sorted[max(rank, 1)-1]
}
