package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"contactsync"
	"contactsync/config"
	"contactsync/notify"
	"contactsync/templates"
	"contactsync/worker"
	"contactsync/zendesk"
)

// noticeWords puts events into the words of the templates.
type noticeWords struct{ set *templates.Set }

var _ notify.Words = noticeWords{}

func (w noticeWords) Text(e notify.Event) (string, error) { return w.set.Notice(noticeData(e)) }

func (w noticeWords) Body(format string, e notify.Event) ([]byte, error) {
	return w.set.NoticeBody(format, noticeData(e))
}

func noticeData(e notify.Event) templates.NoticeData {
	data := templates.NoticeData{
		Event: string(e.Event), Project: e.Project, Organization: e.Organization, Changes: e.Changes, Organizations: e.Organizations,
		Class: string(e.Class), Since: e.Since, System: e.System, Expires: string(e.Expires), Detail: e.Detail,
		Command: e.Command, Key: e.Key,
	}
	if e.Class != "" {
		data.Title = e.Class.Info().Title
	}
	return data
}

// webhookTarget is a webhook as it is configured, with the name that everybody knows it by but its receiver.
type webhookTarget struct {
	name, format string
	address      config.Secret
}

// webhookTargets lists the configured webhooks: each is named by its format, and its place among those of the format.
func webhookTargets(c config.Notify) (targets []webhookTarget) {
	for _, kind := range []struct {
		format    string
		addresses []config.Secret
	}{{"slack", c.Slack}, {"mattermost", c.Mattermost}, {"google_chat", c.GoogleChat}, {"json", c.JSON}} {
		for i, address := range kind.addresses {
			targets = append(targets, webhookTarget{fmt.Sprintf("%s#%d", kind.format, i+1), kind.format, address})
		}
	}
	return targets
}

// noticeTargets returns whom operators are told through; nobody where none is configured. The desk is used for a ticket.
func (p *program) noticeTargets(c config.Config, texts *templates.Set, desk notify.Replier, transport http.RoundTripper) (targets []notify.Target, err error) {
	webhooks := webhookTargets(c.Notify)
	if len(webhooks) == 0 && c.Notify.Ticket == "" {
		return nil, nil
	}
	words := noticeWords{texts}
	for _, w := range webhooks {
		target, err := notify.NewWebhook(notify.WebhookOptions{
			Name: w.name, Format: w.format, Address: w.address.Reveal(), Words: words, Transport: transport,
			UserAgent: userAgent(), Now: p.Now,
		})
		if err != nil {
			return nil, wrong("notify."+w.format, err)
		}
		targets = append(targets, target)
	}
	if c.Notify.Ticket != "" {
		targets = append(targets, &notify.Ticket{Number: c.Notify.Ticket, Desk: desk, Words: words})
	}
	return targets, nil
}

// newNotices brings together how the service tells operators; nil where nobody is told. Webhooks are not traced: a trace
// tells the host.
func (p *program) newNotices(d *daemon, forge tokenChecker) (*worker.Notices, error) {
	c := d.settings
	targets, err := p.noticeTargets(c, d.texts, d.desk, p.wrapped(d.transport))
	if err != nil || len(targets) == 0 {
		return nil, err
	}
	var events []contactsync.NoticeEvent
	for _, event := range c.Notify.Events {
		events = append(events, contactsync.NoticeEvent(event))
	}
	ours := &credentials{forge: forge, desk: d.desk.CredentialsEnd(), now: p.Now}
	return &worker.Notices{Targets: targets, Events: events, Credentials: ours.list, Told: d.telemetry.Metrics.NoticeTried}, nil
}

// credentials knows when the credentials of the service end.
type credentials struct {
	forge tokenChecker
	desk  contactsync.Date
	now   func() time.Time

	mu     sync.Mutex
	asked  time.Time        // when GitLab was
	gitlab contactsync.Date // as it last told: of a token that has expired it tells nothing any more
}

const (
	credentialsEvery = time.Hour        // GitLab is asked
	credentialsTime  = 20 * time.Second // the longest that may take
	// deskDays is how long before Zendesk retires a kind of credentials that is told: another kind takes some days to get.
	deskDays = 30
)

func (c *credentials) list(ctx context.Context) []notify.Credential {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.asked) >= credentialsEvery {
		c.asked = now
		ctx, cancel := context.WithTimeout(ctx, credentialsTime)
		defer cancel()
		// That GitLab does not answer, or refuses the token, is told by readiness and by runs.
		if token, err := c.forge.CheckToken(ctx); err == nil {
			c.gitlab = token.Expires
		}
	}
	return []notify.Credential{
		{System: "gitlab", Expires: c.gitlab, Advice: "Make a new token for the service account, and set gitlab.token."},
		{System: "desk", Expires: c.desk, Days: deskDays,
			Advice: "Zendesk retires API tokens on that day: make an OAuth client, and set zendesk.client_id and zendesk.client_secret."},
	}
}

// notifyCheck tells who would be told, without telling anybody.
func notifyCheck(c config.Notify) []check {
	var names []string
	for _, w := range webhookTargets(c) {
		names = append(names, w.name)
	}
	if c.Ticket != "" {
		names = append(names, "ticket "+c.Ticket)
	}
	if len(names) == 0 {
		return nil
	}
	return []check{tried("notify", "operators are told through "+strings.Join(names, ", ")+"; contactsync notify test tries it", nil)}
}

// notifyDocument is what became of a test.
type notifyDocument struct {
	Told    bool         `json:"told"` // all targets were
	Targets []toldTarget `json:"targets"`
}

type toldTarget struct {
	Target  string `json:"target"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
}

func (p *program) notifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "notify",
		Short:   "Tries how operators are told what needs a person",
		Example: "  contactsync notify test",
		Args:    cobra.ArbitraryArgs,
		RunE:    p.groupOnly,
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "test",
		Short: "Sends one test message to every target under notify",
		Long: `Sends one test message to every target that is configured under notify, whatever notify.events says, and tells which
of them took it. "contactsync serve" is who tells of real events.

Exit status: 0 all were told, 1 some were not, 2 the configuration is wrong, or nobody is configured.`,
		Example: `  contactsync notify test
  contactsync notify test --output json`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.notifyTest(cmd.Context()) },
	})
	return cmd
}

func (p *program) notifyTest(ctx context.Context) error {
	settings, err := p.configuration(config.ForNothing)
	if err != nil {
		return err
	}
	transport := newTransport()
	defer transport.CloseIdleConnections()
	var desk *zendesk.Desk
	if settings.Notify.Ticket != "" {
		if missing := settings.Missing(config.ForDesk); len(missing) > 0 {
			return config.Problems(missing)
		}
		if desk, err = p.openDesk(settings, zendesk.MemoryLinks(), p.wrapped(transport)); err != nil {
			return err
		}
	}
	texts, err := readTexts(settings)
	if err != nil {
		return err
	}
	targets, err := p.noticeTargets(settings, texts, desk, p.wrapped(transport))
	if err != nil {
		return err
	}
	if len(targets) == 0 {
		return config.Problems{{Key: "notify", Message: "names nobody who could be told",
			Remedy: "Set notify.slack, notify.mattermost, notify.google_chat, notify.json or notify.ticket."}}
	}
	watch := p.newProgress()
	defer watch.Close()
	document := notifyDocument{Told: true}
	event := notify.Test(newRunID(), p.Now())
	for _, target := range targets {
		watch.Step("telling " + target.Name())
		outcome := target.Tell(ctx, event)
		if err := ctx.Err(); err != nil {
			return err
		}
		told := toldTarget{Target: target.Name(), OK: outcome.Problem == "", Problem: outcome.Problem}
		document.Targets, document.Told = append(document.Targets, told), document.Told && told.OK
	}
	watch.Close()
	if err := p.answer(document, func(w *strings.Builder) { writeTold(w, document, p.palette()) }); err != nil {
		return err
	}
	if !document.Told {
		return exitStatus(statusFailed)
	}
	return nil
}

func writeTold(w *strings.Builder, document notifyDocument, on palette) {
	for _, t := range document.Targets {
		if t.OK {
			fmt.Fprintf(w, "%-14s %s\n", t.Target, on.green("told"))
			continue
		}
		fmt.Fprintf(w, "%-14s %s: %s\n", t.Target, on.red("failed"), printable(t.Problem))
	}
}
