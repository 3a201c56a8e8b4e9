package telemetry

import (
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"contactsync"
)

// Build says which program it is.
type Build struct {
	Version  string // of the module
	Revision string // commit that it was built from, where known
}

// Metrics are what Prometheus scrapes. They have a registry of their own. Labels take words that are known here alone;
// everything else counts as "other". Series whose growth alerts wait for are there from the beginning, because a
// counter that appears with 1 has not grown.
type Metrics struct {
	registry *prometheus.Registry

	deliveries *prometheus.CounterVec
	runs       *prometheus.CounterVec
	durations  *prometheus.HistogramVec
	steps      *prometheus.HistogramVec
	requests   *prometheus.CounterVec
	changes    *prometheus.CounterVec
	conflicts  *prometheus.CounterVec
	reports    *prometheus.CounterVec
	notices    *prometheus.CounterVec
	state      stateCollector
	budget     budgetCollector
}

// Runs take a second where little is to be done, and as long as the desk's limit makes them otherwise.
var runBuckets = []float64{.1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800}

// NewMetrics returns metrics that say nothing yet.
func NewMetrics(build Build, now func() time.Time) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: runBuckets}, labels)
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		state:    stateCollector{now: now},
		deliveries: counter("contactsync_deliveries_total",
			"Requests to the addresses of the receiver, by address and what they were answered.", "address", "answer"),
		runs: counter("contactsync_runs_total",
			"Runs that ended, by status, class of the run's error (none where there is none), and trigger.", "status", "class", "trigger"),
		durations: histogram("contactsync_run_duration_seconds",
			"How long runs took, by status.", "status"),
		steps: histogram("contactsync_run_step_duration_seconds",
			"How long the steps of runs took.", "step"),
		requests: counter("contactsync_requests_total",
			"Requests that runs sent, and telling people on GitLab took, each attempt once, by the system they went to.", "system"),
		changes: counter("contactsync_changes_total",
			"Changes to single contacts, by action and what became of them.", "action", "result"),
		conflicts: counter("contactsync_conflicts_total",
			"Contacts that runs could not apply as they are written, by class.", "class"),
		reports: counter("contactsync_reports_total",
			"Times that people on GitLab were told about a run or a merge request, by what became of it: told, or failed and tried again or given up.", "about", "result"),
		notices: counter("contactsync_notices_total",
			"Tries to tell operators what needs a person, by event, kind of target and what became of it.", "event", "target", "result"),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "contactsync_build_info", Help: "Which program it is; always 1.",
		ConstLabels: prometheus.Labels{"version": build.Version, "revision": build.Revision, "goversion": runtime.Version()},
	})
	info.Set(1)
	m.registry.MustRegister(m.deliveries, m.runs, m.durations, m.steps, m.requests, m.changes, m.conflicts, m.reports, m.notices, &m.state, &m.budget, info,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.begin()
	return m
}

// begin makes the series that are there before anything happens.
func (m *Metrics) begin() {
	for _, address := range addresses {
		for _, answer := range answers {
			m.deliveries.WithLabelValues(address, answer)
		}
	}
	for _, trigger := range triggers {
		for _, status := range []contactsync.Status{
			contactsync.StatusSucceeded, contactsync.StatusUnchanged, contactsync.StatusPartial, contactsync.StatusHeld,
		} {
			m.runs.WithLabelValues(string(status), classLabel(""), string(trigger))
		}
		for _, info := range contactsync.Classes() {
			m.runs.WithLabelValues(string(contactsync.StatusFailed), string(info.Class), string(trigger))
		}
	}
	for _, action := range actions {
		for _, result := range results {
			if result != contactsync.ResultPlanned { // of runs that were stopped alone
				m.changes.WithLabelValues(string(action), string(result))
			}
		}
	}
	for _, about := range reportsAbout {
		for _, result := range reportResults {
			m.reports.WithLabelValues(about, result)
		}
	}
	for _, event := range contactsync.NoticeEvents() {
		for _, target := range noticeTargets {
			m.notices.WithLabelValues(string(event), target, "given_up")
		}
	}
	m.countRequests(contactsync.Requests{})
}

// Answered counts a request to an address of the receiver, and what it was answered. The words are those of the
// receiver, as words.go lists them.
func (m *Metrics) Answered(address, answer string) {
	m.deliveries.WithLabelValues(known(address, addresses), known(answer, answers)).Inc()
}

// NoticeTried counts a try to tell a target of an event: sent, failed and to be tried again, or given_up. Of the target's
// name only what stands before "#" counts.
func (m *Metrics) NoticeTried(event contactsync.NoticeEvent, target, result string) {
	kind, _, _ := strings.Cut(target, "#")
	m.notices.WithLabelValues(known(event, contactsync.NoticeEvents()), known(kind, noticeTargets), known(result, noticeResults)).Inc()
}

// RunFinished counts a run that ended, and what it did.
func (m *Metrics) RunFinished(run contactsync.Run) {
	var class contactsync.Class
	if run.Error != nil {
		class = run.Error.Class
	}
	status := known(run.Status, statuses)
	m.runs.WithLabelValues(status, classLabel(class), known(run.Trigger, triggers)).Inc()
	if took := run.Finished.Sub(run.Started); took >= 0 && !run.Started.IsZero() {
		m.durations.WithLabelValues(status).Observe(took.Seconds())
	}
	m.countRequests(run.Requests)
	for _, change := range run.Changes {
		m.changes.WithLabelValues(known(change.Action, actions), known(change.Result, results)).Inc()
	}
	for _, conflict := range run.Conflicts {
		m.conflicts.WithLabelValues(classLabel(conflict.Error)).Inc()
	}
}

func (m *Metrics) countRequests(r contactsync.Requests) {
	for system, count := range map[string]int{"desk": r.Desk, "gitlab": r.GitLab, "git": r.Git} {
		m.requests.WithLabelValues(system).Add(float64(count))
	}
}

// ReadState has the source asked for the state at every scrape. It takes the place of the source before it.
func (m *Metrics) ReadState(source StateSource) { m.state.read(source) }

// ReadBudget has the desk's budget read at every scrape. It takes the place of the one before it.
func (m *Metrics) ReadBudget(source BudgetSource) { m.budget.read(source) }

// Handler serves the metrics. Scrapes at the same time share one look at the state.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError, // what can be told is told: the rest may be what is looked for
		Registry:            m.registry,
		MaxRequestsInFlight: 8,
		CoalesceGather:      true,
	})
}
