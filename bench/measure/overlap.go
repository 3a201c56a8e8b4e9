package measure

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Span is one run of a project.
type Span struct {
	Project  int64
	From, To time.Time
}

// Overlaps counts the runs that began before an earlier run of the same project had ended. Runs that touch do not
// overlap.
func Overlaps(runs []Span) int {
	sorted := slices.SortedFunc(slices.Values(runs), func(a, b Span) int {
		return cmp.Or(cmp.Compare(a.Project, b.Project), a.From.Compare(b.From), a.To.Compare(b.To))
	})
	overlaps := 0
	var last Span // of this project, the one that ends last
	for _, run := range sorted {
		if run.Project == last.Project && run.From.Before(last.To) {
			overlaps++
		}
		if run.Project != last.Project || run.To.After(last.To) {
			last = run
		}
	}
	return overlaps
}

// Turns watches runs from the desk's side, where they are not named: the requests of a run that finds nothing to do are
// of several kinds, each of them sent once, and one kind is the last. Whatever is asked for twice before the last is
// answered was asked for by two runs at once. Its methods may be called from several goroutines.
type Turns struct {
	mu    sync.Mutex
	open  map[int64]map[string]bool // by project: the kinds that were asked for
	taken int
	twice int
}

// Begin is called when a request for a project arrives. The function that it returns is called before it is
// answered.
func (t *Turns) Begin(project int64, kind string, last bool) (end func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = map[int64]map[string]bool{}
	}
	kinds := t.open[project]
	if kinds == nil {
		kinds = map[string]bool{}
		t.open[project] = kinds
	}
	if kinds[kind] {
		t.twice++
	}
	kinds[kind] = true
	if !last {
		return func() {}
	}
	t.taken++
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.open, project)
	}
}

// Count returns how many runs were seen, and how often two were there at once.
func (t *Turns) Count() (runs, overlaps int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.taken, t.twice
}
