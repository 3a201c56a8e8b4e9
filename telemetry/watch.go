package telemetry

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"contactsync"
)

// Watch follows one run into metrics, traces and the log. It is the run's sync.Observer.
type Watch struct {
	telemetry *Telemetry
	ctx       context.Context // of the run, its span in it
	trigger   contactsync.Trigger
	began     time.Time
	run       trace.Span

	mu          sync.Mutex
	finished    bool
	step        string // "" before the first
	stepBegan   time.Time
	span        trace.Span // of the step
	done, total int
}

type watchKey struct{}

// watchOf returns the watch of the run that the context belongs to, or nil.
func watchOf(ctx context.Context) *Watch {
	watch, _ := ctx.Value(watchKey{}).(*Watch)
	return watch
}

// Step says that a step of the run begins, and thereby that the one before it is over.
func (w *Watch) Step(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.finished {
		return
	}
	w.endStep()
	w.step, w.stepBegan, w.done, w.total = stepLabel(name), w.telemetry.now(), 0, 0
	w.span = w.telemetry.traces.child(w.ctx, w.step)
	w.telemetry.log.DebugContext(w.ctx, "step begins", "step", w.step)
}

// Progress says how much of the step is through.
func (w *Watch) Progress(done, total int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done, w.total = done, total
}

// endStep needs the lock.
func (w *Watch) endStep() {
	if w.step == "" {
		return
	}
	w.telemetry.Metrics.steps.WithLabelValues(w.step).Observe(w.telemetry.now().Sub(w.stepBegan).Seconds())
	if w.total > 0 {
		w.span.SetAttributes(attribute.Int(attrDone, w.done), attribute.Int(attrTotal, w.total))
	}
	w.span.End()
}

// present is the span that is under way: the step's, or the run's between steps.
func (w *Watch) present() trace.Span {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.span != nil {
		return w.span
	}
	return w.run
}

// Finish says how the run ended. Only the first call counts.
func (w *Watch) Finish(run contactsync.Run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.finished {
		return
	}
	w.finished = true
	w.endStep()
	if run.Trigger == "" {
		run.Trigger = w.trigger
	}
	if run.Started.IsZero() || run.Finished.IsZero() {
		run.Started, run.Finished = w.began, w.telemetry.now()
	}
	w.telemetry.Metrics.RunFinished(run)
	w.telemetry.traces.end(w.run, run)
	w.log(run)
}

// log writes the one line about a run that ended. It leaves out everything in which a person could be named, above all
// the details of errors: "contactsync runs show" has them.
func (w *Watch) log(run contactsync.Run) {
	s, r := run.Summary, run.Requests
	attrs := []slog.Attr{
		slog.String("trigger", known(run.Trigger, triggers)),
		slog.String("status", known(run.Status, statuses)),
		slog.Int64("duration_ms", run.Finished.Sub(run.Started).Milliseconds()),
		slog.Group("changes", "create", s.Create, "add", s.Add, "rename", s.Rename, "remove", s.Remove,
			"held", s.Held, "conflicts", s.Conflicts, "failed", s.Failed),
		slog.Group("requests", "desk", r.Desk, "gitlab", r.GitLab, "git", r.Git),
	}
	if items := classesOf(run); len(items) > 0 {
		attrs = append(attrs, slog.GroupAttrs("items", items...))
	}
	if run.Error != nil {
		class, remedy := explain(run.Error)
		attrs = append(attrs, slog.String("class", string(class)), slog.String("title", class.Info().Title), slog.String("remedy", remedy))
	}
	level := slog.LevelInfo
	switch run.Status {
	case contactsync.StatusFailed, contactsync.StatusPartial, contactsync.StatusHeld:
		level = slog.LevelWarn
	}
	// The id may have been made by the pipeline, after the watch began.
	w.telemetry.log.LogAttrs(WithRun(w.ctx, run.ID, run.Project), level, "run ended", attrs...)
}

// classesOf counts the classes of what was not done to single contacts.
func classesOf(run contactsync.Run) []slog.Attr {
	counts := map[string]int{}
	for _, change := range run.Changes {
		if change.Error != "" {
			counts[classLabel(change.Error)]++
		}
	}
	for _, conflict := range run.Conflicts {
		counts[classLabel(conflict.Error)]++
	}
	var attrs []slog.Attr
	for class, count := range counts {
		attrs = append(attrs, slog.Int(class, count))
	}
	slices.SortFunc(attrs, func(a, b slog.Attr) int { return strings.Compare(a.Key, b.Key) })
	return attrs
}
