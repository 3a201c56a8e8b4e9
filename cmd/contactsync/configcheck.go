package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"contactsync"
	"contactsync/config"
	"contactsync/gitlab"
	"contactsync/zendesk"
)

// checkDocument is what config check found. What is wrong with the configuration itself is an errorDocument.
type checkDocument struct {
	Valid  bool    `json:"valid"` // everything worked that was tried
	Checks []check `json:"checks"`
}

// check is one thing that was tried.
type check struct {
	Name   string               `json:"name"`
	OK     bool                 `json:"ok"`
	Detail string               `json:"detail,omitempty"`
	Error  *contactsync.Failure `json:"error,omitempty"`
}

func (p *program) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "config",
		Short:   "Checks the configuration",
		Example: "  contactsync config check",
		Args:    cobra.ArbitraryArgs,
		RunE:    p.groupOnly,
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "check",
		Short: "Checks configuration and credentials",
		Long: `Names everything that is missing or wrong in the configuration at once. When nothing is, it tries the store, the
token of GitLab, with its scopes and its expiry, and the credentials of the desk. Who is told what needs a person is
listed; "contactsync notify test" tries it.

Exit status: 0 all is well, 1 something did not work when it was tried, 2 the configuration is wrong.`,
		Example: `  contactsync config check
  contactsync config check --config /etc/contactsync.yaml --output json`,
		Args: arguments(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error { return p.configCheck(cmd.Context()) },
	})
	return cmd
}

func (p *program) configCheck(ctx context.Context) error {
	settings, err := p.configuration(config.ForSync)
	if err != nil {
		return err
	}
	if _, err := readTexts(settings); err != nil {
		return err
	}
	watch := p.newProgress()
	defer watch.Close()
	checks, err := p.tryAll(ctx, settings, watch)
	if err != nil {
		return err
	}
	watch.Close()
	document := checkDocument{Valid: true, Checks: checks}
	for _, c := range checks {
		document.Valid = document.Valid && c.OK
	}
	if err := p.answer(document, func(w *strings.Builder) { writeChecks(w, document, p.palette()) }); err != nil {
		return err
	}
	if !document.Valid {
		return exitStatus(statusFailed)
	}
	return nil
}

// tryAll tries everything that a sync needs, even when something fails: people want to mend all of it at once.
func (p *program) tryAll(ctx context.Context, settings config.Config, watch *progress) ([]check, error) {
	storing := p.tryStore(ctx, settings)
	if errors.As(storing, new(config.Problems)) {
		return nil, storing // an address that nothing can be tried at
	}
	transport := newTransport()
	defer transport.CloseIdleConnections()
	forge, err := p.openForge(settings, p.wrapped(transport))
	if err != nil {
		return nil, err
	}
	desk, err := p.openDesk(settings, zendesk.MemoryLinks(), p.wrapped(transport))
	if err != nil {
		return nil, err
	}
	watch.Step("trying GitLab")
	token, err := p.checkToken(ctx, forge)
	watch.Step("trying the desk")
	checks := []check{tried("store", "can be written", storing), tried("gitlab", p.tokenDetail(settings, token), err), tried("zendesk", "lets us in", desk.Check(ctx))}
	return append(append(checks, webhookCheck(settings)...), notifyCheck(settings.Notify)...), nil
}

// webhookCheck tells what the service would still need. It is nothing wrong where nobody means to run it.
func webhookCheck(settings config.Config) []check {
	var lacking []string
	for _, missing := range settings.Missing(config.ForServe) {
		lacking = append(lacking, missing.Key+" "+missing.Message+": "+missing.Remedy)
	}
	detail := "hooks can be received"
	if len(lacking) > 0 {
		detail = "contactsync serve would not start: " + strings.Join(lacking, " ")
	} else if settings.Webhook.URL == "" {
		detail += "; without webhook.url, projects cannot be set up, examined, audited or removed, deliveries that never arrive are not looked for, and without report.badge_url either no badge is drawn"
	}
	return []check{tried("webhook", detail, nil)}
}

func (p *program) tryStore(ctx context.Context, settings config.Config) error {
	opened, err := p.openStore(ctx, settings, readWrite)
	if err != nil {
		return err
	}
	return errors.Join(opened.Ping(ctx), opened.Close())
}

// tokenChecker is the forge, as far as its token goes.
type tokenChecker interface {
	CheckToken(ctx context.Context) (gitlab.Token, error)
}

// errTokenUnfit marks a token that has expired or lacks rights.
var errTokenUnfit = errors.New("the token is unfit")

// tokenWorks asks GitLab about the token. One that is about to expire still works.
func (p *program) tokenWorks(ctx context.Context, forge tokenChecker) error {
	_, err := p.checkToken(ctx, forge)
	return err
}

// checkToken returns what GitLab says of a token that works, and the zero Token beside an error.
func (p *program) checkToken(ctx context.Context, forge tokenChecker) (gitlab.Token, error) {
	token, err := forge.CheckToken(ctx)
	if err != nil {
		return gitlab.Token{}, err
	}
	today := contactsync.DateOf(p.Now())
	lasting := token
	lasting.Expires = ""
	if expired := token.Expires != "" && token.Expires <= today; expired || len(lasting.Problems(today)) > 0 {
		return gitlab.Token{}, &contactsync.Error{
			Class:  contactsync.ClassRepositoryUnreachable,
			Detail: strings.Join(token.Problems(today), "\n"), Err: errTokenUnfit,
			Remedy: "Make a token with the scopes api and read_repository for the service account, and set gitlab.token.",
		}
	}
	return token, nil
}

// tokenDetail is what is to be known of a token that works.
func (p *program) tokenDetail(c config.Config, token gitlab.Token) string {
	detail := append([]string{"the token has the scopes " + strings.Join(token.Scopes, ", ")}, token.Problems(contactsync.DateOf(p.Now()))...)
	if mute := muteToken(c, token); mute != nil {
		detail = append(detail, mute.Message+". "+mute.Remedy)
	}
	return strings.Join(detail, "; ")
}

func tried(name, detail string, err error) check {
	if err != nil {
		return check{Name: name, Error: contactsync.FailureOf(err)}
	}
	return check{Name: name, OK: true, Detail: detail}
}

func writeChecks(w *strings.Builder, document checkDocument, on palette) {
	for _, c := range document.Checks {
		if c.OK {
			fmt.Fprintf(w, "%-8s %s: %s\n", c.Name, on.green("ok"), printable(c.Detail))
			continue
		}
		fmt.Fprintf(w, "%-8s %s\n", c.Name, on.red("failed"))
		writeFailure(w, c.Error)
	}
}
