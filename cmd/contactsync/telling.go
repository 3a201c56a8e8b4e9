package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"contactsync"
	"contactsync/config"
	"contactsync/gitlab"
	"contactsync/gitrepo"
	"contactsync/schedule"
	"contactsync/store"
	"contactsync/sync"
	"contactsync/templates"
	"contactsync/web"
)

// The adapters are what telling people takes.
var (
	_ sync.Reporter  = (*gitlab.Client)(nil)
	_ sync.Ledger    = (*store.Store)(nil)
	_ sync.Words     = (*templates.Set)(nil)
	_ sync.Proposals = (*gitrepo.Repository)(nil)
)

// picturesOf is where badges have their pictures.
func picturesOf(c config.Config) sync.Pictures {
	base := c.Report.BadgeURL
	if base == "" {
		base = strings.TrimRight(c.Webhook.URL, "/")
	}
	switch {
	case c.Report.Badge == "pictures":
		return sync.Pictures{Synced: c.Report.BadgeSynced, Failed: c.Report.BadgeFailed}
	case c.Report.Badge == "drawn" && base != "":
		return sync.Pictures{Drawn: base + "/badges/"}
	}
	return sync.Pictures{}
}

// reportsOf names the way in which people are told, "" where they are told nothing: where it changes, all is told again.
func reportsOf(c config.Config) string {
	pictures := picturesOf(c)
	if r := c.Report; !r.Statuses && !r.Notes && !r.MergeRequests && pictures == (sync.Pictures{}) {
		return ""
	}
	way := fmt.Sprint(c.Report.Statuses, c.Report.Notes, c.Report.Names, pictures)
	sum := sha256.Sum256([]byte(way))
	return hex.EncodeToString(sum[:8])
}

// warning is something that needs no more than a look: everything works without.
type warning struct {
	Message string `json:"message"`
	Remedy  string `json:"remedy"`
}

// muteToken is the warning that people are to be told something and the token may not; nil where it may, or nobody is.
func muteToken(c config.Config, token gitlab.Token) *warning {
	if reportsOf(c) == "" || token.MayWrite() {
		return nil
	}
	return &warning{
		"the token for GitLab may not write there, so nobody is told on GitLab what became of a commit; the sync goes on",
		"Make a token with the scope api for the service account, give the account the role Maintainer in the projects, and set gitlab.token. If nobody is to be told, turn off what begins with report. in the configuration.",
	}
}

// noBadge is the warning that badges are to be drawn and nobody could fetch them; nil where somebody can, or none is.
func noBadge(c config.Config) *warning {
	if c.Report.Badge != "drawn" || picturesOf(c) != (sync.Pictures{}) {
		return nil
	}
	return &warning{
		"no project gets its badge, because nobody knows where browsers would find it",
		"Set report.badge_url, or webhook.url, to the address at which this service is reached, or report.badge to off.",
	}
}

// readTexts reads the texts that are configured.
func readTexts(c config.Config) (*templates.Set, error) {
	texts, err := templates.New(c.Templates.Dir)
	if err != nil {
		return nil, wrong("templates.dir", err)
	}
	return texts, nil
}

// newTeller returns nil where people are told nothing.
func newTeller(c config.Config, s *systems) *sync.Teller {
	if reportsOf(c) == "" {
		return nil
	}
	return sync.NewTeller(sync.TellerOptions{
		Reporter: s.forge, Ledger: s.store, Words: s.texts, Proposals: s.repository, Pipeline: s.pipeline,
		Branch: c.GitLab.Branch, File: c.GitLab.File,
		Statuses: c.Report.Statuses, Notes: c.Report.Notes, Requests: c.Report.MergeRequests, Names: c.Report.Names,
		Pictures: picturesOf(c),
	})
}

// tellTime bounds what a command spends on telling people, when its own work is done.
const tellTime = 20 * time.Second

// tell tells people on GitLab how runs of a command ended. It changes nothing about the command: what cannot be told now
// is told by the service, or by the next run.
func (p *program) tell(ctx context.Context, s *systems, runs ...contactsync.Run) {
	if s.teller == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tellTime)
	defer cancel()
	for _, run := range runs {
		project, ok := run.Project.ID()
		if !ok || run.ID == "" {
			continue
		}
		err := s.store.Report(ctx, project, 0, func(ctx context.Context) error { return s.teller.Tell(ctx, project) })
		if err != nil {
			failure := contactsync.FailureOf(err)
			p.log().Warn("nobody was told on GitLab how the run ended; the service tries again, or the next run", "project", project, "run", run.ID, "class", failure.Class, "remedy", failure.Remedy)
		}
	}
}

// badges serves the pictures of badges.
func badges(d *daemon, resync schedule.Schedule, now func() time.Time) web.BadgeOptions {
	return web.BadgeOptions{
		Sight: func(ctx context.Context, key string) (web.Sight, bool, error) {
			sight, found, err := d.store.Sight(ctx, key)
			return web.Sight(sight), found, err
		},
		Draw: d.texts.Badge, Schedule: resync, Spread: d.settings.Schedule.Spread, Now: now,
		Failed: func(err error) { d.log.Error("a badge could not be drawn", "class", contactsync.ClassOf(err)) },
	}
}
