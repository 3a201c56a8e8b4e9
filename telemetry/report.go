package telemetry

import (
	"context"
	"log/slog"

	"contactsync"
)

// Reported says that people on GitLab were told about a run of the project, or about one of its merge requests where
// request is not 0; or that they were to be, and err is why not. used is what it took.
func (t *Telemetry) Reported(ctx context.Context, project, request int64, err error, used contactsync.Requests) {
	about, result := aboutRun, reportTold
	if request != 0 {
		about = aboutRequest
	}
	level := slog.LevelDebug
	attrs := []slog.Attr{slog.Int64("project", project), slog.String("about", about), slog.Int("gitlab_requests", used.GitLab)}
	if request != 0 {
		attrs = append(attrs, slog.Int64("merge_request", request))
	}
	if failure := contactsync.FailureOf(err); failure != nil {
		level, result = slog.LevelWarn, reportFailed
		class, remedy := explain(failure)
		attrs = append(attrs, slog.String("class", string(class)), slog.String("remedy", remedy))
	}
	t.Metrics.reports.WithLabelValues(about, result).Inc()
	t.Metrics.countRequests(used)
	t.log.LogAttrs(ctx, level, "told on GitLab", append(attrs, slog.String("result", result))...)
}
