package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"contactsync"
	contacts "contactsync/sync"
	"contactsync/telemetry"
)

// A watch is what the pipeline wants of an observer.
var _ contacts.Observer = (*telemetry.Watch)(nil)

// scrape reads the metrics through their handler, as Prometheus does: `name{labels}` to value.
func scrape(t testing.TB, m *telemetry.Metrics) map[string]float64 {
	t.Helper()
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusOK {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	series := map[string]float64{}
	for line := range strings.Lines(answer.Body.String()) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name, text, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if text == "" {
			name, text, _ = strings.Cut(strings.TrimSpace(line), " ")
		} else {
			name += "}"
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			t.Fatalf("%v in %q", err, line)
		}
		series[name] = value
	}
	return series
}

// expect compares the series named with what a scrape shows; a missing one is a mistake, want it to be 0 or not.
func expect(t testing.TB, series, want map[string]float64) {
	t.Helper()
	for name, value := range want {
		if got, ok := series[name]; !ok || got != value {
			t.Errorf("%s is %v (there: %v), want %v", name, got, ok, value)
		}
	}
}

// sum adds up the series of a name.
func sum(series map[string]float64, name string) (total float64) {
	for key, value := range series {
		if strings.HasPrefix(key, name+"{") {
			total += value
		}
	}
	return total
}

func newMetrics() *telemetry.Metrics {
	return telemetry.NewMetrics(telemetry.Build{Version: "v1.2.3", Revision: "abc"}, newClock().Now)
}

// Runs are counted exactly, each by what it was and did.
func TestRunsAreCounted(t *testing.T) {
	m := newMetrics()
	began := newClock().Now()
	m.RunFinished(contactsync.Run{
		Status: contactsync.StatusPartial, Trigger: contactsync.TriggerHook, Started: began, Finished: began.Add(3 * time.Second),
		Requests: contactsync.Requests{Desk: 9, GitLab: 1, Git: 2},
		Changes: []contactsync.Change{
			{Action: contactsync.ActionCreate, Result: contactsync.ResultDone},
			{Action: contactsync.ActionCreate, Result: contactsync.ResultDone},
			{Action: contactsync.ActionRemove, Result: contactsync.ResultHeld, Error: contactsync.ClassRemovalsHeld},
			{Action: contactsync.ActionRename, Result: contactsync.ResultFailed, Error: contactsync.ClassSyncFailed},
		},
		Conflicts: []contactsync.Conflict{{Error: contactsync.ClassContactElsewhere}},
	})
	m.RunFinished(contactsync.Run{
		Status: contactsync.StatusFailed, Trigger: contactsync.TriggerSchedule, Started: began, Finished: began.Add(time.Minute),
		Requests: contactsync.Requests{Desk: 1},
		Error:    contactsync.FailureOf(contactsync.Errorf(contactsync.ClassNoOrgFound, "none")),
	})
	series := scrape(t, m)
	expect(t, series, map[string]float64{
		`contactsync_runs_total{class="none",status="partial",trigger="hook"}`:            1,
		`contactsync_runs_total{class="no_org_found",status="failed",trigger="schedule"}`: 1,
		`contactsync_run_duration_seconds_count{status="partial"}`:                        1,
		`contactsync_run_duration_seconds_sum{status="partial"}`:                          3,
		`contactsync_run_duration_seconds_bucket{status="failed",le="30"}`:                0,
		`contactsync_run_duration_seconds_bucket{status="failed",le="60"}`:                1,
		`contactsync_requests_total{system="desk"}`:                                       10,
		`contactsync_requests_total{system="gitlab"}`:                                     1,
		`contactsync_requests_total{system="git"}`:                                        2,
		`contactsync_changes_total{action="create",result="done"}`:                        2,
		`contactsync_changes_total{action="remove",result="held"}`:                        1,
		`contactsync_changes_total{action="rename",result="failed"}`:                      1,
		`contactsync_conflicts_total{class="contact_elsewhere"}`:                          1,
	})
	if total := sum(series, "contactsync_runs_total"); total != 2 {
		t.Errorf("%v runs, want 2", total)
	}
	if total := sum(series, "contactsync_changes_total"); total != 4 {
		t.Errorf("%v changes, want 4", total)
	}
}

// A counter that appears with 1 has not grown, so what alerts wait for is there before it happens.
func TestSeriesAreThereBefore(t *testing.T) {
	series := scrape(t, newMetrics())
	for _, info := range contactsync.Classes() {
		expect(t, series, map[string]float64{fmt.Sprintf(`contactsync_runs_total{class="%s",status="failed",trigger="hook"}`, info.Class): 0})
	}
	expect(t, series, map[string]float64{
		`contactsync_runs_total{class="none",status="held",trigger="approval"}`:     0,
		`contactsync_changes_total{action="remove",result="failed"}`:                0,
		`contactsync_requests_total{system="desk"}`:                                 0,
		`contactsync_notices_total{event="held",result="given_up",target="ticket"}`: 0,
	})
	if _, ok := series["process_start_time_seconds"]; !ok {
		t.Error("the process says nothing of itself")
	}
	if _, ok := series["go_goroutines"]; !ok {
		t.Error("Go says nothing of itself")
	}
	for name, value := range series {
		if strings.HasPrefix(name, "contactsync_build_info{") && (value != 1 || !strings.Contains(name, `revision="abc",version="v1.2.3"`)) {
			t.Errorf("%s %v", name, value)
		}
	}
}

// What operators were told is counted by event and kind of target, and never by a name that somebody gave.
func TestNotices(t *testing.T) {
	m := newMetrics()
	for _, target := range []string{"slack#1", "slack#2", "https://hooks.example.com/s3cret"} {
		m.NoticeTried(contactsync.NoticeHeld, target, "sent")
	}
	m.NoticeTried("lunch", "ticket", "eaten")
	series := scrape(t, m)
	expect(t, series, map[string]float64{
		`contactsync_notices_total{event="held",result="sent",target="slack"}`:    2,
		`contactsync_notices_total{event="held",result="sent",target="other"}`:    1,
		`contactsync_notices_total{event="other",result="other",target="ticket"}`: 1,
	})
	if total := sum(series, "contactsync_notices_total"); total != 4 {
		t.Errorf("%v tries are counted", total)
	}
}

// Deliveries are counted by what they were answered; values that nobody foresaw make no series of their own.
func TestDeliveries(t *testing.T) {
	m := newMetrics()
	before := len(scrape(t, m))
	for range 3 {
		m.Answered("hook", "accepted")
	}
	m.Answered("trigger", "unauthorized")
	for i := range 1000 {
		m.Answered(strconv.Itoa(i), "accepted")
		m.Answered("hook", strconv.Itoa(i))
	}
	series := scrape(t, m)
	expect(t, series, map[string]float64{
		`contactsync_deliveries_total{address="hook",answer="accepted"}`:        3,
		`contactsync_deliveries_total{address="hook",answer="unavailable"}`:     0,
		`contactsync_deliveries_total{address="trigger",answer="unauthorized"}`: 1,
		`contactsync_deliveries_total{address="other",answer="accepted"}`:       1000,
		`contactsync_deliveries_total{address="hook",answer="other"}`:           1000,
	})
	if more := len(series) - before; more != 2 {
		t.Errorf("%d more series, want 2", more)
	}
}

// state is a source that answers as it is told.
type state struct {
	mu    sync.Mutex
	state telemetry.State
	err   error
	hangs bool
}

func (s *state) State(ctx context.Context) (telemetry.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hangs {
		<-ctx.Done()
		return telemetry.State{}, ctx.Err()
	}
	return s.state, s.err
}

type budget struct{}

func (budget) Budget() (perMinute, left float64) { return 350, 12.5 }

// The state is what the source says at the scrape; where it does not answer, the last good state is shown with its age,
// and the store counts as down.
func TestState(t *testing.T) {
	clock := newClock()
	m := telemetry.NewMetrics(telemetry.Build{}, clock.Now)
	source := &state{err: errors.New("no such host db.example.com, password s3cret")}
	m.ReadBudget(budget{})
	m.ReadState(source)
	series := scrape(t, m)
	expect(t, series, map[string]float64{
		"contactsync_store_up": 0, "contactsync_desk_requests_per_minute": 350, "contactsync_desk_requests_left": 12.5,
	})
	if _, ok := series["contactsync_queue_depth"]; ok {
		t.Error("a queue is shown that nobody has seen")
	}

	source.err = nil
	source.state = telemetry.State{
		Waiting: 1, Running: 2, Retrying: 3, Held: 4, Quarantined: 5, HeldChanges: 6, OldestWaiting: 90 * time.Second,
		LastSweep: time.Unix(1000, 500e6), SweepHeld: true, SweepLeft: 7, HooksDisabled: 8, NoticesWaiting: 9, LastPrune: time.Unix(3000, 0),
	}
	good := map[string]float64{
		`contactsync_projects{state="waiting"}`:            1,
		`contactsync_projects{state="running"}`:            2,
		`contactsync_projects{state="retrying"}`:           3,
		`contactsync_projects{state="held"}`:               4,
		`contactsync_projects{state="quarantined"}`:        5,
		"contactsync_held_changes":                         6,
		"contactsync_queue_depth":                          4,
		"contactsync_queue_oldest_seconds":                 90,
		"contactsync_sweep_last_started_timestamp_seconds": 1000.5,
		"contactsync_sweep_held":                           1,
		"contactsync_sweep_projects_left":                  7,
		"contactsync_hooks_disabled":                       8,
		"contactsync_notices_waiting":                      9,
		"contactsync_prune_last_timestamp_seconds":         3000,
	}
	series = scrape(t, m)
	expect(t, series, good)
	expect(t, series, map[string]float64{"contactsync_store_up": 1, "contactsync_state_age_seconds": 0})
	if _, ok := series["contactsync_sweep_last_finished_timestamp_seconds"]; ok {
		t.Error("a sweep is shown as finished that never was")
	}

	clock.pass(time.Minute)
	source.err = errors.New("gone")
	series = scrape(t, m)
	expect(t, series, good)
	expect(t, series, map[string]float64{"contactsync_store_up": 0, "contactsync_state_age_seconds": 60})
}

// A store that hangs costs a scrape three seconds, and scrapes at the same time no more than that.
func TestStateHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := telemetry.NewMetrics(telemetry.Build{}, time.Now)
		m.ReadState(&state{hangs: true})
		handler := m.Handler()
		began := time.Now()
		var scrapes sync.WaitGroup
		for range 5 {
			scrapes.Go(func() {
				answer := httptest.NewRecorder()
				handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
				if !strings.Contains(answer.Body.String(), "\ncontactsync_store_up 0\n") {
					t.Error("the store is not down")
				}
			})
		}
		scrapes.Wait()
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// Names and units are as Prometheus wants them.
func TestMetricsLint(t *testing.T) {
	m := newMetrics()
	m.Answered("hook", "accepted")
	m.RunFinished(contactsync.Run{Status: contactsync.StatusPlanned, Conflicts: []contactsync.Conflict{{}}})
	m.ReadState(&state{state: telemetry.State{LastSweep: time.Unix(1, 0), LastSweepFinished: time.Unix(1, 0), LastPrune: time.Unix(1, 0)}})
	m.ReadBudget(budget{})
	m.NoticeTried(contactsync.NoticeHeld, "ticket", "sent")
	server := httptest.NewServer(m.Handler())
	defer server.Close()
	answer, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var text strings.Builder
	problems, err := promlint.New(io.TeeReader(answer.Body, &text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		if strings.HasPrefix(problem.Metric, "contactsync_") {
			t.Errorf("%s: %s", problem.Metric, problem.Text)
		}
	}
	if !strings.Contains(text.String(), "# TYPE contactsync_desk_requests_left gauge") {
		t.Error("little was checked")
	}
}

// Every step that the pipeline announces has a label of its own, and no sentence becomes one.
func TestSteps(t *testing.T) {
	sentences := slices.Compact(slices.Sorted(slices.Values(pipelineSteps(t)))) // some stand in several places
	if len(sentences) < 9 {
		t.Fatalf("only %q were found", sentences)
	}
	labels := map[string]string{}
	for _, sentence := range append(sentences, "removing ada@example.com", "") {
		clock := newClock()
		tel := telemetry.New(t.Context(), telemetry.Options{Now: clock.Now})
		_, watch := tel.Watch(t.Context(), contactsync.Run{Project: "1"})
		watch.Step(sentence)
		clock.pass(2 * time.Second)
		watch.Finish(contactsync.Run{Status: contactsync.StatusUnchanged})
		found := ""
		for name, value := range scrape(t, tel.Metrics) {
			if label, ok := strings.CutPrefix(name, `contactsync_run_step_duration_seconds_sum{step="`); ok {
				found = strings.TrimSuffix(label, `"}`)
				if value != 2 {
					t.Errorf("%s took %v, want 2", found, value)
				}
			}
		}
		labels[sentence] = found
	}
	seen := map[string]string{}
	for _, sentence := range sentences {
		label := labels[sentence]
		if label == "other" || seen[label] != "" {
			t.Errorf("%q has the label %q (as %q); give it one of its own in words.go", sentence, label, seen[label])
		}
		seen[label] = sentence
	}
	if labels["removing ada@example.com"] != "other" || labels[""] != "other" {
		t.Errorf("unknown steps are %q and %q", labels["removing ada@example.com"], labels[""])
	}
}

// pipelineSteps reads the sentences from the pipeline's source: arguments of step, and the field step of its tables.
func pipelineSteps(t *testing.T) (sentences []string) {
	t.Helper()
	files, err := filepath.Glob("../sync/*.go")
	if err != nil {
		t.Fatal(err)
	}
	take := func(expression ast.Expr) {
		if literal, ok := expression.(*ast.BasicLit); ok && literal.Kind == token.STRING {
			sentence, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			sentences = append(sentences, sentence)
		}
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.CallExpr:
				if method, ok := node.Fun.(*ast.SelectorExpr); ok && (method.Sel.Name == "step" || method.Sel.Name == "Step") && len(node.Args) == 1 {
					take(node.Args[0])
				}
			case *ast.CompositeLit:
				for _, row := range rowsWithStep(node) {
					take(row)
				}
			}
			return true
		})
	}
	return sentences
}

// rowsWithStep returns the first fields of a table whose rows begin with a field called step.
func rowsWithStep(table *ast.CompositeLit) (fields []ast.Expr) {
	array, ok := table.Type.(*ast.ArrayType)
	if !ok {
		return nil
	}
	row, ok := array.Elt.(*ast.StructType)
	if !ok || len(row.Fields.List) == 0 || len(row.Fields.List[0].Names) == 0 || row.Fields.List[0].Names[0].Name != "step" {
		return nil
	}
	for _, element := range table.Elts {
		if row, ok := element.(*ast.CompositeLit); ok && len(row.Elts) > 0 {
			fields = append(fields, row.Elts[0])
		}
	}
	return fields
}
