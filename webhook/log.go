package webhook

import (
	"log/slog"
	"sync"
	"time"
)

// log writes at most one line about a request: method, route and project, never its address, which may hold a token.
// What anybody can cause at any rate is let through once a minute; counting is for Options.Answered.
func (r *Receiver) log(in *incoming, res result) {
	level, text := slog.LevelDebug, "hook not taken"
	var more []slog.Attr
	switch res.answer {
	case AnswerAccepted, AnswerJoined:
		level, text = slog.LevelInfo, "hook stored"
		more = append(more, slog.String("delivery", res.receipt.ID), slog.Bool("joined", res.receipt.Joined))
	case AnswerIgnored:
		text = "hook ignored"
		more = append(more, slog.String("why", res.ignored))
	case AnswerRefused:
		level, text = slog.LevelWarn, "hook refused"
	case AnswerUnauthorized:
		held, ok := r.unauthorized.pass(in.arrived)
		if !ok {
			return
		}
		level, text = slog.LevelWarn, "hook with no credential or a wrong one"
		more = append(more, slog.Int("others_since", held))
	case AnswerInvalid, AnswerTooLarge, AnswerTimeout, AnswerAborted:
		held, ok := r.broken.pass(in.arrived)
		if !ok {
			return
		}
		level = slog.LevelWarn
		more = append(more, slog.Int("others_since", held))
	case AnswerUnavailable:
		held, ok := r.unavailable.pass(in.arrived)
		if !ok {
			return
		}
		level, text = slog.LevelError, "hook could not be stored"
		more = append(more, slog.Int("others_since", held))
	}
	if !r.options.Logger.Enabled(in.Context(), level) {
		return
	}
	attrs := []slog.Attr{slog.String("method", in.Method), slog.String("route", in.Pattern), slog.String("answer", res.answer)}
	if res.delivery.Project != 0 {
		attrs = append(attrs, slog.Int64("project", res.delivery.Project))
	}
	if res.err != nil {
		attrs = append(attrs, slog.String("error", res.err.Error()))
	}
	r.options.Logger.LogAttrs(in.Context(), level, text, append(attrs, more...)...)
}

// gate lets one line a minute through, and counts those that it held back.
type gate struct {
	mu     sync.Mutex
	closed time.Time // until then
	held   int
}

const gateClosed = time.Minute

// pass reports whether a line may be written now, and how many were held back since the last one.
func (g *gate) pass(now time.Time) (held int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Before(g.closed) {
		g.held++
		return 0, false
	}
	held = g.held
	g.held, g.closed = 0, now.Add(gateClosed)
	return held, true
}
