package measure_test

import (
	"strings"
	"testing"
	"time"

	"contactsync/bench/measure"
)

// The page has a row for all that was measured, in tables that stay tables whatever is in them.
func TestRender(t *testing.T) {
	r := measure.Report{
		Date: time.Date(2026, 11, 25, 18, 30, 0, 0, time.FixedZone("", 3600)), Command: "go run ./bench --quick",
		Machine: measure.Machine{
			CPU: "Example | CPU", Cores: 2, Memory: 25_000_000_000, OS: "Debian", Kernel: "6.1", Go: "go1.26", FileSystem: "ext4",
			Fsync: measure.Spread{P50: 180 * time.Microsecond, P95: time.Millisecond, P99: 6800 * time.Microsecond}, LoadBefore: 0.5, LoadAfter: 1.25,
		},
		Figures: []measure.Figure{
			{Work: "hooks", Limit: "p99 50.0 ms", Measured: "p99 12.3 ms", Verdict: measure.Met},
			{Work: "the same on PostgreSQL", Measured: "none", Verdict: measure.NotMeasured},
		},
		Counted: []measure.Row{{What: "requests", Value: "20,011"}},
		Rates:   []measure.Row{{What: "refused", Value: "31,000/s"}},
		Timings: []measure.Timing{{What: "hook to answer", Spread: measure.SpreadOf([]time.Duration{12_340 * time.Microsecond})}},
	}
	var page strings.Builder
	if err := r.Render(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"# Performance\n",
		"\n\n```\ngo run ./bench --quick\n```\n\n| | |\n",
		"\n| measured | 25 November 2026, 17:30 UTC |\n",
		"\n| machine | Example \\| CPU, 2 cores, 25.0 GB memory |\n",
		"p50 0.2 ms, p95 1.0 ms, p99 6.8 ms |\n",
		"\n| load average before and after | 0.50, 1.25 |\n",
		"\n| work | limit | measured | |\n|---|---|---|---|\n| hooks | p99 50.0 ms | p99 12.3 ms | met |\n| the same on PostgreSQL |  | none | not measured |\n\n",
		"\n\n| what | counted |\n|---|---|\n| requests | 20,011 |\n\n",
		"| hook to answer | 1 | 12.3 ms | 12.3 ms | 12.3 ms | 12.3 ms |\n\n",
		"\n\n| what | measured |\n|---|---|\n| refused | 31,000/s |\n\n",
	} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if text := page.String(); strings.Contains(text, "\n\n\n") || !strings.HasSuffix(text, "\n") || strings.Contains(text, "PostgreSQL 1") {
		t.Errorf("the page is out of shape:\n%s", text)
	}
}

// A report of a part has no empty tables.
func TestRenderNothing(t *testing.T) {
	var page strings.Builder
	if err := (measure.Report{}).Render(&page); err != nil {
		t.Fatal(err)
	}
	if text := page.String(); strings.Contains(text, "\n\n\n") || strings.Contains(text, "| what |") || strings.Contains(text, "| work |") || strings.Count(text, "\n## ") != 1 {
		t.Errorf("the page is out of shape:\n%s", text)
	}
}

// Only a figure that was measured can miss its limit.
func TestMissed(t *testing.T) {
	figure := func(v measure.Verdict) measure.Figure { return measure.Figure{Verdict: v} }
	if (measure.Report{Figures: []measure.Figure{figure(measure.Met), figure(measure.NotMeasured)}}).Missed() {
		t.Error("a figure that was not measured counts as missed")
	}
	if !(measure.Report{Figures: []measure.Figure{figure(measure.Met), figure(measure.VerdictOf(false))}}).Missed() {
		t.Error("a missed figure is not noticed")
	}
}

// Numbers are written for people.
func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 12: "12", 999: "999", 1000: "1,000", 20_100: "20,100", 1_234_567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := measure.Count(n); got != want {
			t.Errorf("%d is written %s", n, got)
		}
	}
	if got := measure.Milliseconds(1234 * time.Microsecond); got != "1.2 ms" {
		t.Error(got)
	}
	if got := measure.Megabytes(55_540_000); got != "55.5 MB" {
		t.Error(got)
	}
}
