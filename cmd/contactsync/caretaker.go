package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"contactsync"
	"contactsync/config"
	"contactsync/gitlab"
	"contactsync/gitrepo"
	"contactsync/outbound"
	"contactsync/setup"
	"contactsync/store"
	"contactsync/templates"
	"contactsync/webhook"
	"contactsync/zendesk"
)

// The adapters are what the life of a project takes.
var (
	_ setup.Forge         = caredFor{}
	_ setup.Desk          = (*zendesk.Desk)(nil)
	_ contactsync.Replier = (*zendesk.Desk)(nil)
)

// newCaretaker brings together what looks after projects.
func (p *program) newCaretaker(c config.Config, s *systems, watch *progress, told func(int, int, contactsync.StepResult)) (*setup.Caretaker, error) {
	texts, err := readTexts(c)
	if err != nil {
		return nil, err
	}
	hook, err := hookMaker(c)
	if err != nil {
		return nil, err
	}
	var receiver gitlab.Receiver // the zero one is nobody's: answering a ticket takes no hooks
	if c.Webhook.URL != "" {
		if receiver, err = gitlab.NewReceiver(c.Webhook.URL); err != nil {
			return nil, wrong("webhook.url", err)
		}
	}
	wait := p.Remote.Wait
	if wait == nil {
		wait = outbound.Wait
	}
	return setup.New(setup.Options{
		Forge: caredFor{s.forge, s.self}, Files: &files{s.repository, c.GitLab.URL, p.Now}, Desk: s.desk, Syncer: s.pipeline,
		Journal: journal{s.store}, Lease: s.store, Texts: texts,
		Policy: setup.Policy{
			Group: strings.Trim(c.GitLab.Group, "/"), Template: c.GitLab.TemplateProject, Branch: c.GitLab.Branch, File: c.GitLab.File,
			Gate: c.Report.Gate, Maintainers: c.Limits.Maintainers,
			ContactsWithout: c.Limits.ContactsWithoutProject, ContactsWith: c.Limits.ContactsWithProject,
			Hook: hook, Ours: receiver.At,
			Titles: map[templates.Reply]string{
				templates.Intro: c.Replies.Intro, templates.NotQualified: c.Replies.NotQualified, templates.SetUp: c.Replies.SetUp,
				templates.Removed: c.Replies.Removed, templates.OverLimit: c.Replies.OverLimit,
			},
		},
		Step: watch.Step, Told: told, Now: p.Now, NewID: newRunID, Wait: wait,
	}), nil
}

// caredFor is GitLab as looking after projects takes it.
type caredFor struct {
	*gitlab.Client
	self int64 // 0 where it is not known
}

// Self asks GitLab only where it is not known.
func (c caredFor) Self(ctx context.Context) (int64, error) {
	if c.self > 0 {
		return c.self, nil
	}
	return c.Client.Self(ctx)
}

// FailedDeliveries returns none where GitLab is too old to tell: it says then only whether a hook is disabled.
func (c caredFor) FailedDeliveries(ctx context.Context, project, hook int64, since time.Time) ([]contactsync.FailedDelivery, error) {
	failed, err := c.Client.FailedDeliveries(ctx, project, hook, since)
	if errors.Is(err, gitlab.ErrUnsupported) {
		return nil, nil
	}
	return failed, err
}

// journal is the store as looking after projects takes it.
type journal struct{ *store.Store }

// lookedBack is among how many runs of a project one is looked for that read its file.
const lookedBack = 20

func (j journal) LookedAt(ctx context.Context, project int64) (time.Time, error) {
	runs, err := j.Runs(ctx, store.Filter{Project: contactsync.ProjectRef(fmt.Sprint(project)), Limit: lookedBack})
	if err != nil {
		return time.Time{}, err
	}
	for _, run := range runs {
		if run.Commit != "" {
			return run.Started, nil
		}
	}
	return time.Time{}, nil
}

// hookMaker makes the hooks that lead to our receiver. The credentials are the newest of those that are configured: a
// project's own where there is a master key, else the shared ones.
func hookMaker(c config.Config) (func(project int64, legacy bool) (contactsync.NewHook, error), error) {
	w := c.Webhook
	base := strings.TrimSuffix(w.URL, "/")
	newest := func(secrets []config.Secret) string {
		if len(secrets) == 0 {
			return ""
		}
		return secrets[0].Reveal()
	}
	var keys []webhook.MasterKey
	for _, text := range revealed(w.MasterKey) {
		key, err := webhook.ParseMasterKey(text)
		if err != nil {
			return nil, wrong("webhook.master_key", err)
		}
		keys = append(keys, key)
	}
	return func(project int64, legacy bool) (contactsync.NewHook, error) {
		if legacy {
			if newest(w.TriggerToken) == "" {
				return contactsync.NewHook{}, fmt.Errorf("making a hook for the original trigger address: %w", missingKey("webhook.trigger_token"))
			}
			return contactsync.NewHook{
				URL: base + strings.NewReplacer("{id}", fmt.Sprint(project), "{ref}", url.PathEscape(c.GitLab.Branch)).Replace(webhook.TriggerRoute) +
					fmt.Sprintf("?token={TOKEN}&variables[PROJECT_ID]=%d", project),
				Variables: map[string]string{"TOKEN": newest(w.TriggerToken)}, Branch: c.GitLab.Branch,
			}, nil
		}
		made := contactsync.NewHook{
			URL: base + webhook.HookRoute, Branch: c.GitLab.Branch, MergeRequests: true,
			Token: newest(w.Token), SigningToken: newest(w.SigningToken),
		}
		if len(keys) > 0 {
			made.Token, made.SigningToken = keys[0].Token(project), keys[0].SigningToken(project)
		}
		if made.Token == "" && made.SigningToken == "" {
			return made, fmt.Errorf("making a hook: %w", missingKey("webhook.signing_token"))
		}
		return made, nil
	}, nil
}

func missingKey(key string) error {
	return config.Problems{{Key: key, Message: "is missing", Remedy: "Set it: contactsync makes hooks with it."}}
}

// files reads and writes the files of projects, in the name of contactsync.
type files struct {
	repository *gitrepo.Repository
	forge      string // the address of GitLab
	now        func() time.Time
}

func (f *files) Head(ctx context.Context, project contactsync.Project) (string, error) {
	return f.repository.Head(ctx, project)
}

func (f *files) Read(ctx context.Context, project contactsync.Project, name string) (contactsync.File, error) {
	return f.repository.At(name).Read(ctx, project)
}

func (f *files) Write(ctx context.Context, project contactsync.Project, parent, message string, content map[string][]byte) (string, error) {
	host := "localhost"
	if at, err := url.Parse(f.forge); err == nil && at.Hostname() != "" {
		host = at.Hostname()
	}
	return f.repository.Commit(ctx, project, gitrepo.Commit{
		Files: content, Message: message, AuthorName: "contactsync", AuthorEmail: "contactsync@noreply." + host, When: f.now(), Parent: parent,
	})
}
