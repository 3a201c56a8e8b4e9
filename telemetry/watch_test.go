package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"contactsync"
	"contactsync/telemetry"
)

// A run says two things in the log: that it begins, to whoever debugs, and how it ended. Each line names run and
// project, a run that needs somebody is a warning, and what happened to single contacts is counted by class.
func TestRunLog(t *testing.T) {
	lines, clock := &logLines{}, newClock()
	tel := telemetry.New(t.Context(), telemetry.Options{Log: lines.logger(), Now: clock.Now})
	ctx, watch := tel.Watch(t.Context(), contactsync.Run{ID: "abcd", Project: "101", Trigger: contactsync.TriggerHook})
	watch.Step("reading the file and the members")
	slog.New(telemetry.LogHandler(lines.logger().Handler())).WarnContext(ctx, "slow")
	clock.pass(1500 * time.Millisecond)
	watch.Finish(contactsync.Run{
		ID: "abcd", Project: "101", Status: contactsync.StatusPartial,
		Summary:  contactsync.Summary{Create: 1, Held: 1, Conflicts: 2},
		Requests: contactsync.Requests{Desk: 4, GitLab: 1, Git: 2},
		Changes: []contactsync.Change{
			{Action: contactsync.ActionCreate, Result: contactsync.ResultDone},
			{Action: contactsync.ActionRemove, Result: contactsync.ResultHeld, Error: contactsync.ClassRemovalsHeld},
		},
		Conflicts: []contactsync.Conflict{{Error: contactsync.ClassContactElsewhere}, {Error: contactsync.ClassContactElsewhere}},
	})
	ended := map[string]any{
		"level": "WARN", "msg": "run ended", "run": "abcd", "project": 101.0, "trigger": "hook", "status": "partial", "duration_ms": 1500.0,
		"changes":  map[string]any{"create": 1.0, "add": 0.0, "rename": 0.0, "remove": 0.0, "held": 1.0, "conflicts": 2.0, "failed": 0.0},
		"requests": map[string]any{"desk": 4.0, "gitlab": 1.0, "git": 2.0},
		"items":    map[string]any{"removals_held": 1.0, "contact_elsewhere": 2.0},
	}
	want := []map[string]any{
		{"level": "DEBUG", "msg": "run begins", "run": "abcd", "project": 101.0, "trigger": "hook"},
		{"level": "DEBUG", "msg": "step begins", "run": "abcd", "project": 101.0, "step": "read"},
		{"level": "WARN", "msg": "slow", "run": "abcd", "project": 101.0},
		ended,
	}
	if got := lines.all(t); !reflect.DeepEqual(got, want) {
		t.Errorf("the log says\n%v\nwant\n%v", got, want)
	}
}

// How a run ended decides how loudly it is told. A failure is told with class, title and remedy, not with its detail.
func TestRunLogLevels(t *testing.T) {
	failure := contactsync.Errorf(contactsync.ClassNoOrgFound, "ada@example.com")
	for status, level := range map[contactsync.Status]string{
		contactsync.StatusSucceeded: "INFO", contactsync.StatusUnchanged: "INFO", contactsync.StatusHeld: "WARN",
		contactsync.StatusPartial: "WARN", contactsync.StatusFailed: "WARN",
	} {
		lines := &logLines{}
		tel := telemetry.New(t.Context(), telemetry.Options{Log: lines.logger()})
		_, watch := tel.Watch(t.Context(), contactsync.Run{Project: "101", Trigger: contactsync.TriggerSchedule})
		run := contactsync.Run{ID: "late", Project: "101", Status: status}
		if status == contactsync.StatusFailed {
			run.Error = contactsync.FailureOf(failure)
		}
		watch.Finish(run)
		line := lines.all(t)[1]
		if line["level"] != level || line["status"] != string(status) || line["run"] != "late" {
			t.Errorf("%s: %v", status, line)
		}
		if info := contactsync.ClassNoOrgFound.Info(); status == contactsync.StatusFailed &&
			(line["class"] != string(info.Class) || line["title"] != info.Title || line["remedy"] != info.Remedy || line["detail"] != nil) {
			t.Errorf("%s: %v", status, line)
		}
	}
}

// A wrapped handler names the run once, however often it was wrapped and whatever was added to it, and says nothing of
// runs where there is none.
func TestLogHandler(t *testing.T) {
	lines := &logLines{}
	handler := telemetry.LogHandler(telemetry.LogHandler(lines.logger().Handler()))
	log := slog.New(handler).With("part", "worker")
	log.InfoContext(telemetry.WithRun(t.Context(), "", "7"), "one")
	log.InfoContext(telemetry.WithRun(t.Context(), "r", "no number"), "two")
	log.InfoContext(t.Context(), "three")
	want := []map[string]any{
		{"level": "INFO", "msg": "one", "part": "worker", "project": 7.0},
		{"level": "INFO", "msg": "two", "part": "worker", "project": "invalid", "run": "r"},
		{"level": "INFO", "msg": "three", "part": "worker"},
	}
	if got := lines.all(t); !reflect.DeepEqual(got, want) {
		t.Errorf("the log says %v, want %v", got, want)
	}
	if text := lines.text(); strings.Count(text, `"project"`) != 2 {
		t.Errorf("the log says %s", text)
	}
}

// The methods of a watch may be called from several goroutines, also while requests look for the present step.
func TestWatchIsSafe(t *testing.T) {
	to := newCollector(t)
	tel := telemetry.New(t.Context(), telemetry.Options{Env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + to.URL}})
	transport := tel.Transport(roundTripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	}))
	ctx, watch := tel.Watch(t.Context(), contactsync.Run{Project: "1"})
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for range 20 {
				watch.Step("adding contacts")
				watch.Progress(i, 8)
				get(ctx, t, transport, http.MethodGet, "http://example.com/api/v2/users/1")
			}
			watch.Finish(contactsync.Run{Status: contactsync.StatusUnchanged, Trigger: contactsync.TriggerHook})
		})
	}
	all.Wait()
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, scrape(t, tel.Metrics), map[string]float64{`contactsync_runs_total{class="none",status="unchanged",trigger="hook"}`: 1})
}

// Whatever hostile or personal value goes in anywhere, none of it comes out: not in metrics, the log, traces, health.
func TestNothingPersonalLeaves(t *testing.T) {
	const (
		person  = "Ada Lovelace"
		address = "ada@example.com"
		secret  = "glpat-s3cretTOKENx"
		dsn     = "postgres://user:s3cretpass@db.example.org/x"
	)
	poison := strings.Join([]string{person, address, secret, dsn, "line\nbreak"}, " ")
	lines := &logLines{}
	to := newCollector(t)
	desk := newDesk(t, nil)
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	tel := telemetry.New(t.Context(), telemetry.Options{Log: lines.logger(), Env: []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + to.URL, "OTEL_EXPORTER_OTLP_HEADERS=authorization=" + secret,
	}})
	broken := &contactsync.Error{Class: contactsync.ClassDeskUnreadable, Detail: poison, Remedy: poison, Err: errors.New(poison)}
	source := &state{err: errors.New(poison)}
	tel.Metrics.ReadState(source)
	health := telemetry.NewHealth(telemetry.HealthOptions{Log: lines.logger(), Checks: []telemetry.Check{
		{Name: "desk", Probe: func(context.Context) error { return broken }},
		{Name: "store", Probe: func(context.Context) error { return errors.New(poison) }},
		{Name: "forge", Probe: func(context.Context) error { return fmt.Errorf("%s: %w", poison, context.DeadlineExceeded) }},
	}})
	defer health.Close()

	hostile := contactsync.Run{
		ID: "abcd", Project: contactsync.ProjectRef(poison), Status: contactsync.Status(poison), Trigger: contactsync.Trigger(poison),
		ApprovedBy: person, Committer: person + " <" + address + ">", Commit: poison, Digest: poison,
		Organization: &contactsync.Organization{ID: poison, Name: poison},
		Changes: []contactsync.Change{
			{Action: contactsync.Action(poison), Email: address, Name: person, Result: contactsync.Result(poison), Error: contactsync.Class(poison), Detail: poison},
			{Action: contactsync.ActionAdd, Email: address, Name: person, Result: contactsync.ResultFailed, Error: contactsync.ClassSyncFailed, Detail: poison},
		},
		Conflicts: []contactsync.Conflict{{Email: address, Error: contactsync.ClassContactElsewhere, Detail: poison}, {Error: contactsync.Class(poison)}},
		Error:     &contactsync.Failure{Class: contactsync.Class(poison), Title: poison, Detail: poison, Remedy: poison, Who: contactsync.Who(poison)},
	}
	failed := contactsync.Run{ID: "abcd", Project: "101", Status: contactsync.StatusFailed, Trigger: contactsync.TriggerHook, Error: contactsync.FailureOf(broken)}
	for _, run := range []contactsync.Run{hostile, failed} {
		ctx, watch := tel.Watch(t.Context(), run)
		watch.Step(poison)
		get(ctx, t, tel.Transport(base), http.MethodGet, desk.URL+"/api/v2/search.json?query=email:ada%40example.com&token="+secret)
		get(ctx, t, tel.Transport(base), http.MethodGet, desk.URL+"/api/v2/users/"+address+"/"+secret)
		get(ctx, t, tel.Transport(roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New(poison) })),
			http.MethodGet, "https://user:"+secret+"@example.com/"+address)
		get(ctx, t, tel.Transport(roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Body: brokenBody{errors.New(poison)}, Header: http.Header{"X": {poison}}}, nil
		})), http.MethodGet, "https://example.com/x")
		watch.Finish(run)
	}
	tel.Metrics.Answered(poison, poison)
	tel.Metrics.Answered(address, secret)
	metrics := strings.Join(slices.Collect(maps.Keys(scrape(t, tel.Metrics))), "\n")
	answer := httptest.NewRecorder()
	health.Ready().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz?"+secret, nil))
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}

	out := map[string]string{"metrics": metrics, "log": lines.text(), "traces": string(to.raw), "readiness": answer.Body.String()}
	for where, text := range out {
		if len(text) < 100 {
			t.Errorf("%s: little was checked: %q", where, text)
		}
		for _, leak := range []string{"Ada", "Lovelace", "ada@", "ada%40", "glpat", "s3cret", "postgres://", "line\\nbreak", "line\nbreak"} {
			if strings.Contains(text, leak) {
				t.Errorf("%s holds %q:\n%s", where, leak, text)
			}
		}
	}
	if len(to.spans) != 12 {
		t.Errorf("%d spans, want 12: two runs of one step and four requests", len(to.spans))
	}
}

type brokenBody struct{ err error }

func (b brokenBody) Read([]byte) (int, error) { return 0, b.err }
func (b brokenBody) Close() error             { return nil }
