package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/netutil"

	"contactsync"
	"contactsync/config"
	"contactsync/gitlab"
	"contactsync/outbound"
	"contactsync/schedule"
	"contactsync/store"
	"contactsync/sync"
	"contactsync/telemetry"
	"contactsync/web"
	"contactsync/webhook"
	"contactsync/worker"
)

// The service has more to do with its memory than to be small: most of what a hook needs is garbage a moment later, so it
// may pile up to twice of what lives, unless the whole comes near the limit, in bytes, which is only a wish.
const (
	serviceGarbage = 200 // per cent
	serviceMemory  = 96 << 20
)

func (p *program) serveCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Receives hooks and keeps every linked project in step",
		Long: `Receives GitLab's hooks, runs the projects that they are about, and runs all linked projects again on a schedule. What
was answered with success is in the store first, and leads to a run whatever happens to the process.

POST /hooks/gitlab takes hooks, and the address of the original trigger still works. GET /healthz says whether the
process is alive, /readyz whether the store can be written and the credentials are accepted, /metrics is for Prometheus.
Logs are JSON, on standard error. SIGTERM ends it: no further hooks are taken, and runs under way come to a safe point
within serve.grace.

Exit status: 0 it was told to end, 1 it could not do its work, 2 the configuration is wrong.`,
		Example: `  contactsync serve
  contactsync serve --config /etc/contactsync.yaml --log-level warn`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("log-level") {
				p.logLevel = slog.LevelInfo
			}
			p.jsonLogs = true
			debug.SetGCPercent(serviceGarbage)
			debug.SetMemoryLimit(serviceMemory)
			settings, err := p.configuration(config.ForServe)
			if err != nil {
				return err
			}
			return p.serve(cmd.Context(), settings)
		},
	}
}

// daemon is the service: hooks come in, runs go out.
type daemon struct {
	*systems
	settings  config.Config
	log       *slog.Logger
	telemetry *telemetry.Telemetry
	health    *telemetry.Health
	worker    *worker.Worker
	server    *http.Server
	stopping  atomic.Bool
	served    chan error // the end of serving
	address   string     // where hooks are taken, once started
}

func (p *program) serve(ctx context.Context, settings config.Config) error {
	log := slog.New(telemetry.LogHandler(p.log().Handler()))
	d, err := p.newDaemon(ctx, settings, log, audience{})
	if err != nil {
		return err
	}
	listener, err := takeAddress(ctx, settings.Webhook.Listen)
	if err == nil {
		err = d.start(ctx, listener)
	}
	if err == nil {
		err = d.serve(ctx)
	}
	return errors.Join(err, d.close())
}

// audience follows what the service does. What is nil is nobody.
type audience struct {
	ended func(contactsync.Run) // a run has
	told  func()                // people on GitLab were, or could not be
}

// newDaemon brings everything together and tries it, without beginning.
func (p *program) newDaemon(ctx context.Context, settings config.Config, log *slog.Logger, audience audience) (_ *daemon, err error) {
	version := readVersion()
	d := &daemon{settings: settings, log: log, telemetry: telemetry.New(ctx, telemetry.Options{
		Log: log, Env: p.Env, Now: p.Now,
		Build: telemetry.Build{Version: version.Version, Revision: version.Revision},
	})}
	// Requests of runs are traced.
	traced := *p
	traced.Transport = func(next http.RoundTripper) http.RoundTripper { return d.telemetry.Transport(p.wrapped(next)) }
	if d.systems, err = traced.connect(ctx, settings, nil, readWrite); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.close())
		}
	}()
	forge, err := traced.openForge(settings, d.transport)
	if err != nil {
		return nil, err
	}
	p.checkAtStart(ctx, d, forge)
	d.health = telemetry.NewHealth(telemetry.HealthOptions{Log: log, Now: p.Now, Checks: []telemetry.Check{
		{Name: "store", Probe: d.store.Ping},
		{Name: "gitlab", Probe: func(ctx context.Context) error { return p.tokenWorks(ctx, forge) }},
		{Name: "desk", Probe: d.desk.Check},
	}})
	d.telemetry.Metrics.ReadState(overview{d.store})
	d.telemetry.Metrics.ReadBudget(d.desk)
	resync, err := schedule.Parse(settings.Schedule.Resync)
	if err != nil {
		return nil, wrong("schedule.resync", err)
	}
	if d.worker, err = p.newWorker(d, forge, resync, audience); err != nil {
		return nil, err
	}
	receiver, err := newReceiver(d, p.Now)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	receiver.Register(stoppable{mux, d.unlessStopping}) // without a second mux on the way of a hook
	mux.Handle("/", d.unlessStopping(receiver))
	mux.Handle(web.BadgeRoute, web.Badges(badges(d, resync, p.Now)))
	mux.Handle("GET /healthz", d.health.Live())
	mux.Handle("GET /readyz", d.health.Ready())
	mux.Handle("GET /metrics", d.telemetry.Metrics.Handler())
	d.server = webhook.NewServer(mux)
	d.server.ErrorLog = slog.NewLogLogger(log.Handler(), slog.LevelWarn)
	return d, nil
}

// checkAtStart tries the credentials, and logs all that is wrong with them, and what keeps people from being told. It keeps
// nobody from starting: hooks can be taken meanwhile, and of those nothing is lost. The service is not ready until they
// work.
func (p *program) checkAtStart(ctx context.Context, d *daemon, forge tokenChecker) {
	var token gitlab.Token
	checkToken := func(ctx context.Context) (err error) {
		token, err = p.checkToken(ctx, forge)
		return err
	}
	for _, system := range []struct {
		name string
		try  func(context.Context) error
	}{{"gitlab", checkToken}, {"desk", d.desk.Check}} {
		if err := system.try(ctx); err != nil && ctx.Err() == nil {
			failure := contactsync.FailureOf(err)
			d.log.Error("a system does not let us in; hooks are taken, and runs wait", "system", system.name,
				"class", failure.Class, "error", failure.Detail, "remedy", failure.Remedy)
		}
	}
	warnings := []*warning{noBadge(d.settings)}
	if token.Active { // it works
		warnings = append(warnings, muteToken(d.settings, token))
	}
	for _, w := range warnings {
		if w != nil {
			d.log.Warn(w.Message, "remedy", w.Remedy)
		}
	}
}

// stoppable is a mux whose handlers are wrapped.
type stoppable struct {
	*http.ServeMux
	wrap func(http.Handler) http.Handler
}

func (s stoppable) Handle(pattern string, handler http.Handler) {
	s.ServeMux.Handle(pattern, s.wrap(handler))
}

// unlessStopping refuses hooks from the moment on that the process is to end; probes and metrics are answered to the last.
func (d *daemon) unlessStopping(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.stopping.Load() {
			w.Header().Set("Retry-After", "30")
			http.Error(w, `{"error":"stopping"}`, http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// newReceiver lets the configured credentials in.
func newReceiver(d *daemon, now func() time.Time) (*webhook.Receiver, error) {
	w := d.settings.Webhook
	credentials := webhook.Credentials{
		SigningTokens: revealed(w.SigningToken), Tokens: revealed(w.Token), TriggerTokens: revealed(w.TriggerToken),
	}
	for _, text := range revealed(w.MasterKey) {
		key, err := webhook.ParseMasterKey(text)
		if err != nil {
			return nil, wrong("webhook.master_key", err)
		}
		credentials.MasterKeys = append(credentials.MasterKeys, key)
	}
	receiver, err := webhook.New(webhook.Options{
		Credentials: credentials, Intake: d.store, Branch: d.settings.GitLab.Branch,
		MergeRequests: d.settings.Report.MergeRequests, Answered: d.telemetry.Metrics.Answered, Logger: d.log, Now: now,
	})
	if err != nil {
		return nil, wrong("webhook", err)
	}
	return receiver, nil
}

func revealed(secrets []config.Secret) []string {
	texts := make([]string, len(secrets))
	for i, secret := range secrets {
		texts[i] = secret.Reveal()
	}
	return texts
}

func (p *program) newWorker(d *daemon, forge *gitlab.Client, resync schedule.Schedule, audience audience) (_ *worker.Worker, err error) {
	c := d.settings
	options := worker.Options{
		Store: d.store, Pipeline: d.pipeline, Runs: c.Serve.Runs, Keep: store.Retention(c.Retention),
		Schedule: resync, Spread: c.Schedule.Spread, Linker: d.desk,
		Threshold: sync.SweepThreshold{
			Organizations: c.Sweep.Hold.Organizations,
			Contacts:      sync.Threshold{Floor: c.Sweep.Hold.Floor, Percent: c.Sweep.Hold.Percent},
		},
		HooksEvery: c.Schedule.Hooks,
		Watch: func(ctx context.Context, run contactsync.Run) (context.Context, worker.Watch) {
			ctx, watch := d.telemetry.Watch(ctx, run)
			return ctx, announcer{watch, audience.ended}
		},
		Reported: func(ctx context.Context, project, request int64, err error, used contactsync.Requests) {
			d.telemetry.Reported(ctx, project, request, err, used)
			if audience.told != nil {
				audience.told()
			}
		},
		Log: d.log, Now: p.Now, Wait: outbound.Wait, Jitter: rand.Float64,
	}
	if d.teller != nil { // a nil teller in the interface would be one
		options.Teller = d.teller
	}
	if options.Notices, err = p.newNotices(d, forge); err != nil {
		return nil, err
	}
	switch {
	case c.Schedule.Hooks == 0:
	case c.Webhook.URL == "":
		d.log.Warn("deliveries that never arrive are not looked for: set webhook.url to the address at which GitLab reaches this service")
	default:
		receiver, err := gitlab.NewReceiver(c.Webhook.URL)
		if err != nil {
			return nil, wrong("webhook.url", err)
		}
		options.Hooks = hooks{forge, receiver}
	}
	return worker.New(options), nil
}

// announcer is a watch that also tells somebody how a run ended.
type announcer struct {
	*telemetry.Watch
	ended func(contactsync.Run)
}

func (t announcer) Finish(run contactsync.Run) {
	t.Watch.Finish(run)
	if t.ended != nil {
		t.ended(run)
	}
}

// connections bounds what strangers can hold: a body that is still to be judged is kept in memory.
const connections = 1000

// takeAddress listens where hooks are to arrive.
func takeAddress(ctx context.Context, address string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, wrong("webhook.listen", &contactsync.Error{
			Class: contactsync.ClassInternal, Detail: err.Error(), Err: err,
			Remedy: "Set webhook.listen to an address of this machine that nobody else uses.",
		})
	}
	return netutil.LimitListener(listener, connections), nil
}

// start takes hooks and works on runs; serve must follow.
func (d *daemon) start(ctx context.Context, listener net.Listener) error {
	if err := d.worker.Start(ctx); err != nil {
		if errors.Is(err, store.ErrTaken) {
			err = wrong("store", err)
		}
		return errors.Join(err, listener.Close())
	}
	d.served, d.address = make(chan error, 1), listener.Addr().String()
	go func() { d.served <- d.server.Serve(listener) }()
	d.log.Info("serving", "address", d.address)
	return nil
}

// serve goes on until the context ends, and then lets everything come to its end.
func (d *daemon) serve(ctx context.Context) error {
	var failed error
	select {
	case <-ctx.Done():
	case failed = <-d.served:
		d.served <- http.ErrServerClosed
	}
	d.log.Info("stopping: no further hooks are taken", "grace", d.settings.Serve.Grace.String())
	d.stopping.Store(true)
	d.health.Stopping()
	soft, cancelSoft := context.WithTimeout(context.WithoutCancel(ctx), d.settings.Serve.Grace*3/4)
	defer cancelSoft()
	hard, cancelHard := context.WithTimeout(context.WithoutCancel(ctx), d.settings.Serve.Grace)
	defer cancelHard()
	if err := d.worker.Stop(soft, hard); err != nil {
		failed = errors.Join(failed, fmt.Errorf("waiting for runs under way: %w", err))
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
	defer cancel()
	if d.server.Shutdown(closing) != nil {
		failed = errors.Join(failed, d.server.Close())
	}
	if err := <-d.served; !errors.Is(err, http.ErrServerClosed) {
		failed = errors.Join(failed, err)
	}
	d.log.Info("stopped")
	return failed
}

// closeTime bounds the end of requests under way, and flushTime the sending of the last traces.
const (
	closeTime = 2 * time.Second
	flushTime = 5 * time.Second
)

func (d *daemon) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	err := d.telemetry.Shutdown(ctx)
	if d.health != nil {
		d.health.Close()
	}
	return errors.Join(err, d.systems.close())
}

// overview is the store as the metrics want it.
type overview struct{ *store.Store }

func (o overview) State(ctx context.Context) (telemetry.State, error) {
	found, err := o.Overview(ctx)
	if err != nil {
		return telemetry.State{}, err
	}
	return telemetry.State{
		Waiting: found.Projects[store.StateWaiting], Running: found.Projects[store.StateRunning],
		Retrying: found.Projects[store.StateRetrying], Held: found.Projects[store.StateHeld],
		Quarantined: found.Projects[store.StateQuarantined],
		HeldChanges: int(found.HeldChanges), OldestWaiting: found.OldestWaiting,
		LastSweep: found.Sweep.Started, LastSweepFinished: found.SweepEnded, SweepHeld: found.Sweep.State == store.SweepHeld,
		SweepLeft: int(found.SweepLeft), Reports: int(found.Reports), ReportsLost: int(found.ReportsLost), HooksDisabled: int(found.HooksDisabled), NoticesWaiting: int(found.Notices), LastPrune: found.Pruned,
	}, nil
}
