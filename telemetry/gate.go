package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// gate is the one way out for spans. Whatever instrumentation writes into them, only the attributes listed here leave,
// with no events and no words of errors: a search at a desk has e-mail addresses in its URL.
type gate struct {
	next   sdktrace.SpanExporter
	log    *slog.Logger
	failed atomic.Bool        // the last export did
	done   context.Context    // ends with close
	close  context.CancelFunc // gives up exports that are under way
}

// exported are the attributes that leave.
var exported = map[attribute.Key]bool{
	attrProject: true, attrRun: true, attrTrigger: true, attrStatus: true, attrClass: true, attrDone: true, attrTotal: true,
	"http.request.method": true, "http.response.status_code": true, "server.address": true, "server.port": true, "error.type": true,
}

func newGate(next sdktrace.SpanExporter, log *slog.Logger) *gate {
	g := &gate{next: next, log: log}
	g.done, g.close = context.WithCancel(context.Background())
	return g
}

// ExportSpans never returns an error: the library would hand it, with the collector's address and answer in it, to a
// global handler. The first failure and the next success are in the log.
func (g *gate) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.done, cancel)()
	clean := make([]sdktrace.ReadOnlySpan, len(spans))
	for i, span := range spans {
		clean[i] = cleanSpan{span}
	}
	err := g.next.ExportSpans(ctx, clean)
	switch failed := err != nil; {
	case failed && !g.failed.Swap(true):
		g.log.WarnContext(ctx, "traces do not reach the collector; they are dropped until they do", "reason", reason(err))
	case !failed && g.failed.Swap(false):
		g.log.InfoContext(ctx, "traces reach the collector again")
	}
	return nil
}

func (g *gate) Shutdown(ctx context.Context) error { return g.next.Shutdown(ctx) }

// reason says what is known of a failed export without the words of others.
func reason(err error) string {
	var network net.Error
	var operation *net.OpError
	switch {
	case errors.Is(err, context.Canceled):
		return "given up"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return "no answer in time"
	case errors.As(err, &operation):
		return "no connection"
	}
	return "the collector refused them, or its address or certificate is wrong"
}

// cleanSpan shows of a span what may leave.
type cleanSpan struct{ sdktrace.ReadOnlySpan }

func (s cleanSpan) Attributes() []attribute.KeyValue {
	var kept []attribute.KeyValue
	for _, a := range s.ReadOnlySpan.Attributes() {
		if exported[a.Key] {
			kept = append(kept, a)
		}
	}
	return kept
}

func (s cleanSpan) Events() []sdktrace.Event { return nil }

func (s cleanSpan) Status() sdktrace.Status {
	return sdktrace.Status{Code: s.ReadOnlySpan.Status().Code}
}
