package telemetry

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// State is what waits, and what the schedule has done. Processes that share a store have one state between them.
type State struct {
	Waiting     int // projects whose run is due and waits for a worker
	Running     int // projects that are being synced now
	Retrying    int // projects whose last run failed, and whose next try has its time
	Held        int // projects with changes that wait for an approval
	Quarantined int // projects that failed so often that they are tried at a slow beat alone

	HeldChanges   int           // changes that wait for an approval
	OldestWaiting time.Duration // how long the run has been due that waits longest

	// The sweep is the scheduled sync of every linked project. Zero times: never.
	LastSweep         time.Time // when the last one began
	LastSweepFinished time.Time // when the last one that came to its end did
	SweepHeld         bool      // the sweep's removals wait for an approval
	SweepLeft         int       // projects that the present sweep has still to sync

	HooksDisabled  int       // projects whose hook GitLab has disabled
	Reports        int       // what is still to be told on GitLab, or is tried again
	ReportsLost    int       // what was given up, and of which nothing was told since
	LastPrune      time.Time // when what is older than the retention was last deleted
	NoticesWaiting int       // messages to operators that are still to be sent
}

// StateSource knows the state. It must return when the context ends.
type StateSource interface {
	State(ctx context.Context) (State, error)
}

// BudgetSource knows how many requests the desk allows a minute to contactsync, and how many of them are left now.
type BudgetSource interface {
	Budget() (perMinute, left float64)
}

// stateTimeout leaves a scrape, for which Prometheus waits 10 s unless told otherwise, the time to answer without the
// state.
const stateTimeout = 3 * time.Second

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// The state's metrics.
var (
	storeUp  = describe("contactsync_store_up", "1 if the store answered at this scrape, 0 if not.")
	stateAge = describe("contactsync_state_age_seconds",
		"How old the numbers about projects, queue and sweeps are: 0 unless the store did not answer, and the last good ones are shown.")
	projects = describe("contactsync_projects",
		"Projects by what their next run waits for; one may count in several states.", "state")
	heldChanges   = describe("contactsync_held_changes", "Changes that wait for an approval.")
	queueDepth    = describe("contactsync_queue_depth", "Runs that are to come: due ones, and those that wait for their next try.")
	queueOldest   = describe("contactsync_queue_oldest_seconds", "How long the run has been due that waits longest; 0 if none waits.")
	sweepStarted  = describe("contactsync_sweep_last_started_timestamp_seconds", "When the last sweep began; absent if there was none.")
	sweepFinished = describe("contactsync_sweep_last_finished_timestamp_seconds", "When the last sweep that came to its end did; absent if none has.")
	sweepHeld     = describe("contactsync_sweep_held", "1 while the removals of a sweep wait for an approval.")
	sweepLeft     = describe("contactsync_sweep_projects_left", "Projects that the present sweep has still to sync.")
	hooksDisabled = describe("contactsync_hooks_disabled", "Projects whose hook GitLab has disabled.")
	reportsWait   = describe("contactsync_reports_waiting", "Runs and merge requests about which people on GitLab are still to be told.")
	reportsLost   = describe("contactsync_reports_given_up", "Projects and merge requests about which people on GitLab could not be told, and were not since.")
	waiting       = describe("contactsync_notices_waiting", "Messages to operators that are still to be sent, one for each target.")
	pruned        = describe("contactsync_prune_last_timestamp_seconds", "When old history was last deleted; absent if it never was.")
	deskPerMinute = describe("contactsync_desk_requests_per_minute", "Requests that contactsync may send to the desk in a minute.")
	deskLeft      = describe("contactsync_desk_requests_left", "How many of them are left now.")
)

var (
	stateMetrics = []*prometheus.Desc{
		storeUp, stateAge, projects, heldChanges, queueDepth, queueOldest,
		sweepStarted, sweepFinished, sweepHeld, sweepLeft, hooksDisabled, reportsWait, reportsLost, waiting, pruned,
	}
	budgetMetrics = []*prometheus.Desc{deskPerMinute, deskLeft}
)

// stateCollector asks for the state at each scrape, and shows the last good one where there is no answer.
type stateCollector struct {
	now    func() time.Time
	mu     sync.Mutex
	source StateSource
	last   State
	at     time.Time // when last was true; zero: never
}

func (c *stateCollector) read(source StateSource) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.source, c.last, c.at = source, State{}, time.Time{}
}

// Describe is for the registry.
func (c *stateCollector) Describe(into chan<- *prometheus.Desc) {
	for _, desc := range stateMetrics {
		into <- desc
	}
}

// Collect is for the registry.
func (c *stateCollector) Collect(into chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.source == nil {
		return
	}
	send := func(desc *prometheus.Desc, value float64, labels ...string) {
		into <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	asked := c.now()
	ctx, cancel := context.WithTimeout(context.Background(), stateTimeout)
	defer cancel()
	state, err := c.source.State(ctx)
	// What is wrong with the store, its users say: readiness, the receiver and the runs.
	send(storeUp, truth(err == nil))
	if err == nil {
		c.last, c.at = state, asked
	}
	if c.at.IsZero() {
		return
	}
	s := c.last
	send(stateAge, asked.Sub(c.at).Seconds())
	for name, count := range map[string]int{
		"waiting": s.Waiting, "running": s.Running, "retrying": s.Retrying, "held": s.Held, "quarantined": s.Quarantined,
	} {
		send(projects, float64(count), name)
	}
	send(heldChanges, float64(s.HeldChanges))
	send(queueDepth, float64(s.Waiting+s.Retrying))
	send(queueOldest, s.OldestWaiting.Seconds())
	send(sweepHeld, truth(s.SweepHeld))
	send(sweepLeft, float64(s.SweepLeft))
	send(hooksDisabled, float64(s.HooksDisabled))
	send(reportsWait, float64(s.Reports))
	send(reportsLost, float64(s.ReportsLost))
	send(waiting, float64(s.NoticesWaiting))
	for _, t := range []struct {
		desc *prometheus.Desc
		at   time.Time
	}{{sweepStarted, s.LastSweep}, {sweepFinished, s.LastSweepFinished}, {pruned, s.LastPrune}} {
		if !t.at.IsZero() {
			send(t.desc, float64(t.at.UnixMilli())/1000)
		}
	}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

// budgetCollector shows the desk's budget.
type budgetCollector struct {
	mu     sync.Mutex
	source BudgetSource
}

func (c *budgetCollector) read(source BudgetSource) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.source = source
}

// Describe is for the registry.
func (c *budgetCollector) Describe(into chan<- *prometheus.Desc) {
	for _, desc := range budgetMetrics {
		into <- desc
	}
}

// Collect is for the registry.
func (c *budgetCollector) Collect(into chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.source == nil {
		return
	}
	perMinute, left := c.source.Budget()
	into <- prometheus.MustNewConstMetric(deskPerMinute, prometheus.GaugeValue, perMinute)
	into <- prometheus.MustNewConstMetric(deskLeft, prometheus.GaugeValue, left)
}
