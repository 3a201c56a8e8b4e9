package measure_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"contactsync/bench/measure"
)

// Arrivals are even, and all of them lie within the time.
func TestArrivals(t *testing.T) {
	got := measure.Arrivals(4, time.Second)
	want := []time.Duration{0, 250 * time.Millisecond, 500 * time.Millisecond, 750 * time.Millisecond}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := measure.Arrivals(0, time.Second); len(got) != 0 {
		t.Errorf("none: %v", got)
	}
}

// Arrivals wait for nobody: a server that stands still gets all of them at their time, and each latency counts from
// then, whatever the others take.
func TestOpenLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		released := make(chan struct{})
		sent := make(chan time.Duration, 10)
		time.AfterFunc(time.Minute, func() { close(released) })
		samples := measure.OpenLoop(t.Context(), measure.Arrivals(10, time.Second), func(i int) int { return i },
			func(_ context.Context, i int) error {
				sent <- time.Since(begin)
				<-released
				if i == 3 {
					return errors.New("refused")
				}
				return nil
			})
		for i, s := range samples {
			at := time.Duration(i) * 100 * time.Millisecond
			if got := <-sent; got != at {
				t.Errorf("arrival %d was sent after %v, want %v", i, got, at)
			}
			if want := time.Minute - at; s.Latency != want {
				t.Errorf("arrival %d took %v, want %v", i, s.Latency, want)
			}
		}
		if n, first := measure.Failed(samples); n != 1 || first == nil || first.Error() != "refused" {
			t.Errorf("%d failed, the first with %v", n, first)
		}
		if got := measure.Latencies(samples); len(got) != 9 {
			t.Errorf("%d latencies, want those of the 9 that did not fail", len(got))
		}
	})
}

// Where the sender itself is late, the latency counts from when the arrival was meant to be: that is what a closed loop
// would leave out.
func TestLateSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		samples := measure.OpenLoop(t.Context(), measure.Arrivals(3, 3*time.Second), func(i int) int {
			if i == 1 {
				<-time.After(10 * time.Second)
			}
			return i
		}, func(context.Context, int) error { return nil })
		for i, want := range []time.Duration{0, 9 * time.Second, 8 * time.Second} {
			if samples[i].Latency != want {
				t.Errorf("arrival %d took %v, want %v", i, samples[i].Latency, want)
			}
		}
	})
}

// When measuring is given up, what has not been sent counts as failed.
func TestOpenLoopEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		samples := measure.OpenLoop(ctx, measure.Arrivals(10, 10*time.Second), func(i int) int { return i },
			func(context.Context, int) error { return nil })
		if n, first := measure.Failed(samples); n != 7 || !errors.Is(first, context.DeadlineExceeded) {
			t.Errorf("%d failed, the first with %v", n, first)
		}
	})
}

// Percentiles are values that were measured, by their rank.
func TestSpreadOf(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(100-i))
	}
	for _, test := range []struct {
		durations []time.Duration
		want      measure.Spread
	}{
		{nil, measure.Spread{}},
		{[]time.Duration{7}, measure.Spread{N: 1, P50: 7, P95: 7, P99: 7, Max: 7}},
		{[]time.Duration{3, 1, 2}, measure.Spread{N: 3, P50: 2, P95: 3, P99: 3, Max: 3}},
		{hundred, measure.Spread{N: 100, P50: 50, P95: 95, P99: 99, Max: 100}},
		{append([]time.Duration{101}, hundred...), measure.Spread{N: 101, P50: 51, P95: 96, P99: 100, Max: 101}},
	} {
		if got := measure.SpreadOf(test.durations); got != test.want {
			t.Errorf("%d durations: got %+v, want %+v", len(test.durations), got, test.want)
		}
	}
}

// Whatever was measured: at least p per cent do not exceed the percentile, and it is the smallest such value.
func TestSpreadOfAnything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		durations := rapid.SliceOfN(rapid.Map(rapid.IntRange(-5, 20), func(n int) time.Duration { return time.Duration(n) }), 1, 300).Draw(t, "durations")
		got := measure.SpreadOf(durations)
		upTo := func(d time.Duration) (n int) {
			for _, other := range durations {
				if other <= d {
					n++
				}
			}
			return n
		}
		for p, d := range map[int]time.Duration{50: got.P50, 95: got.P95, 99: got.P99} {
			if !slices.Contains(durations, d) || upTo(d)*100 < p*len(durations) || upTo(d-1)*100 >= p*len(durations) {
				t.Errorf("p%d of %v is %d", p, durations, d)
			}
		}
		if got.Max != slices.Max(durations) || got.N != len(durations) {
			t.Errorf("%+v", got)
		}
	})
}
