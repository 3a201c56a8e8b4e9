package telemetry

import (
	"context"
	"log/slog"

	"contactsync"
)

type runKey struct{}

// runOf is the run that a context belongs to, as far as it may be shown.
type runOf struct {
	id      string
	project slog.Value
}

// WithRun returns a context whose log lines name the run and its project, see LogHandler. An id that is not known yet
// is "". A project that is no number is named as "invalid": it is whatever somebody wrote.
func WithRun(ctx context.Context, id string, project contactsync.ProjectRef) context.Context {
	return context.WithValue(ctx, runKey{}, runOf{id: id, project: projectName(project)})
}

func projectName(project contactsync.ProjectRef) slog.Value {
	if id, ok := project.ID(); ok {
		return slog.Int64Value(id)
	}
	return slog.StringValue("invalid")
}

// LogHandler returns a handler that adds the context's run and project to every line, at the level where the logger's
// own attributes are. Wrapping twice is as wrapping once.
func LogHandler(next slog.Handler) slog.Handler {
	if _, ok := next.(logHandler); ok {
		return next
	}
	return logHandler{next}
}

type logHandler struct{ slog.Handler }

func (h logHandler) Handle(ctx context.Context, record slog.Record) error {
	if run, ok := ctx.Value(runKey{}).(runOf); ok {
		record = record.Clone()
		if run.id != "" {
			record.AddAttrs(slog.String("run", run.id))
		}
		record.AddAttrs(slog.Attr{Key: "project", Value: run.project})
	}
	return h.Handler.Handle(ctx, record)
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs)}
}
func (h logHandler) WithGroup(name string) slog.Handler { return logHandler{h.Handler.WithGroup(name)} }
