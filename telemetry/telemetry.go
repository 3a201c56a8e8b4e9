// Package telemetry shows operators how the service is: metrics for Prometheus, health, log lines, and traces over
// OTLP. What leaves through it names projects, runs and classes of errors. It never names people, addresses, queries
// or secrets: whoever may read the audit trail finds those there.
package telemetry

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"contactsync"
)

// Options are a Telemetry's parts. The zero value works: nothing is logged and nothing is traced.
type Options struct {
	Log   *slog.Logger
	Env   []string // as os.Environ gives it; of it the OTEL_ variables are read
	Build Build
	Now   func() time.Time // nil: time.Now
}

// Telemetry watches runs. It is safe for use by several goroutines.
type Telemetry struct {
	Metrics *Metrics

	log    *slog.Logger
	now    func() time.Time
	traces *traces
}

// New returns a telemetry. A tracing that cannot be set up is a warning in the log: the service is worth more than its
// traces. Shutdown must be called where Env asks for traces.
func New(ctx context.Context, o Options) *Telemetry {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	log := slog.New(LogHandler(o.Log.Handler()))
	return &Telemetry{
		Metrics: NewMetrics(o.Build, o.Now),
		log:     log,
		now:     o.Now,
		traces:  newTraces(ctx, o.Env, o.Build, log),
	}
}

// Transport carries requests of runs as spans below the step that sends them. A span holds the method, the host, the
// route without anything that names something in it, and the status; see route.
func (t *Telemetry) Transport(next http.RoundTripper) http.RoundTripper {
	return t.traces.transport(next)
}

// Shutdown sends the traces that are left, as long as the context lasts; what is left then is lost. It may be called
// twice.
func (t *Telemetry) Shutdown(ctx context.Context) error { return t.traces.shutdown(ctx) }

// Watch begins to watch a run: of it the ID, where it is known, the project and the trigger are read. The run must go
// on under the context that is returned, and end with the watch's Finish.
func (t *Telemetry) Watch(ctx context.Context, run contactsync.Run) (context.Context, *Watch) {
	ctx = WithRun(ctx, run.ID, run.Project)
	w := &Watch{telemetry: t, trigger: run.Trigger, began: t.now()}
	w.ctx, w.run = t.traces.begin(ctx, run)
	w.ctx = context.WithValue(w.ctx, watchKey{}, w)
	t.log.DebugContext(w.ctx, "run begins", "trigger", known(run.Trigger, triggers))
	return w.ctx, w
}
