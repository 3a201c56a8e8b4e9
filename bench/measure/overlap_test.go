package measure_test

import (
	"testing"
	"time"

	"contactsync/bench/measure"
)

// Runs of one project overlap when one begins before another has ended; runs of two projects never do.
func TestOverlaps(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(ms) }
	run := func(project, from, to int64) measure.Span {
		return measure.Span{Project: project, From: at(from), To: at(to)}
	}
	for name, test := range map[string]struct {
		runs []measure.Span
		want int
	}{
		"none":                  {nil, 0},
		"one after the other":   {[]measure.Span{run(1, 30, 40), run(1, 0, 10), run(1, 20, 30)}, 0},
		"touching":              {[]measure.Span{run(1, 0, 10), run(1, 10, 20)}, 0},
		"at once":               {[]measure.Span{run(1, 0, 10), run(1, 9, 20)}, 1},
		"two projects":          {[]measure.Span{run(1, 0, 10), run(2, 5, 20)}, 0},
		"within":                {[]measure.Span{run(1, 0, 100), run(1, 10, 20), run(1, 30, 40)}, 2},
		"the same moment":       {[]measure.Span{run(1, 0, 10), run(1, 0, 10)}, 1},
		"projects out of order": {[]measure.Span{run(2, 5, 20), run(1, 0, 10), run(2, 0, 6), run(1, 10, 20)}, 1},
	} {
		if got := measure.Overlaps(test.runs); got != test.want {
			t.Errorf("%s: %d overlaps, want %d", name, got, test.want)
		}
	}
}

// At the desk two runs at once show by a question that comes twice before the last one is answered.
func TestTurns(t *testing.T) {
	type step struct {
		project int64
		kind    string // "end": the last one is answered
	}
	run := func(project int64) []step {
		return []step{{project, "search"}, {project, "read"}, {project, "members"}, {project, "end"}}
	}
	for name, test := range map[string]struct {
		steps          []step
		runs, overlaps int
	}{
		"one after the other": {append(run(1), run(1)...), 2, 0},
		"two projects":        {[]step{{1, "search"}, {2, "search"}, {2, "members"}, {1, "members"}, {1, "end"}, {2, "end"}}, 2, 0},
		"side by side":        {[]step{{1, "search"}, {1, "read"}, {1, "search"}, {1, "members"}, {1, "end"}}, 1, 1},
		"before the answer":   {[]step{{1, "search"}, {1, "members"}, {1, "search"}, {1, "end"}}, 1, 1},
		"members twice":       {[]step{{1, "members"}, {1, "members"}, {1, "end"}}, 2, 1},
	} {
		var turns measure.Turns
		ends := map[int64]func(){}
		for _, s := range test.steps {
			if s.kind == "end" {
				ends[s.project]()
				continue
			}
			ends[s.project] = turns.Begin(s.project, s.kind, s.kind == "members")
		}
		if runs, overlaps := turns.Count(); runs != test.runs || overlaps != test.overlaps {
			t.Errorf("%s: %d runs and %d overlaps, want %d and %d", name, runs, overlaps, test.runs, test.overlaps)
		}
	}
}
