package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"contactsync"
	"contactsync/config"
	"contactsync/gitlab"
	"contactsync/gitrepo"
	"contactsync/store"
	"contactsync/sync"
	"contactsync/templates"
	"contactsync/zendesk"
)

// systems is what a command works with.
type systems struct {
	store      *store.Store
	desk       *zendesk.Desk
	forge      *gitlab.Client // nil when only the desk may be touched, as is repository
	repository *gitrepo.Repository
	pipeline   *sync.Pipeline
	texts      *templates.Set // of what may be written; nil where nothing may be
	teller     *sync.Teller   // nil where nobody is told anything, or nothing may be written
	transport  *http.Transport
	self       int64 // the account that the token for GitLab stands for, 0 while nobody has asked
}

func (s *systems) close() error {
	s.transport.CloseIdleConnections()
	return s.store.Close()
}

// access is what a command may touch.
type access int

const (
	deskOnly access = iota // reads the desk; GitLab is not needed
	readOnly               // reads both; writes nothing anywhere
	readWrite
)

func (a access) purpose() config.Purpose {
	if a == deskOnly {
		return config.ForDesk
	}
	return config.ForSync
}

// open reads the configuration and connects what the command may touch. Nothing is sent yet.
func (p *program) open(ctx context.Context, watch sync.Observer, a access) (*systems, error) {
	settings, err := p.configuration(a.purpose())
	if err != nil {
		return nil, err
	}
	return p.connect(ctx, settings, watch, a)
}

// configuration reads the configuration, and refuses one that lacks what the purpose needs.
func (p *program) configuration(purpose config.Purpose) (config.Config, error) {
	settings, err := config.Load(config.Sources{File: p.configFile, Env: p.Env})
	var problems config.Problems
	if err != nil && !errors.As(err, &problems) {
		return settings, err
	}
	for _, warning := range settings.Warnings() {
		p.log().Warn(warning.String())
	}
	missing := settings.Missing(purpose)
	if slices.ContainsFunc(problems, func(wrong config.Problem) bool { return wrong.Key == "" && wrong.File != "" }) {
		missing = nil // nothing of the file could be read, so what is in it is not known
	}
	for _, missing := range missing {
		// A key whose file cannot be read, say, is wrong and not missing.
		if !slices.ContainsFunc(problems, func(wrong config.Problem) bool { return strings.TrimSuffix(wrong.Key, "_file") == missing.Key }) {
			problems = append(problems, missing)
		}
	}
	if len(problems) > 0 {
		return settings, problems
	}
	return settings, nil
}

// connect brings the adapters together.
func (p *program) connect(ctx context.Context, c config.Config, watch sync.Observer, a access) (_ *systems, err error) {
	s := &systems{transport: newTransport()}
	transport := p.wrapped(s.transport)
	if s.store, err = p.openStore(ctx, c, a); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.desk, err = p.openDesk(c, s.store, transport); err != nil {
		return nil, err
	}
	options := sync.Options{
		Desk: s.desk, Memory: s.store, Policy: policyOf(c), Observer: watch, Now: p.Now, NewID: newRunID,
	}
	if a != deskOnly {
		if s.forge, err = p.openForge(c, transport); err != nil {
			return nil, err
		}
		options.Forge = s.forge
		if s.repository, err = gitrepo.New(gitrepo.Options{
			Branch: c.GitLab.Branch, File: c.GitLab.File, Token: c.GitLab.Token.Reveal(), Transport: transport,
		}); err != nil {
			return nil, wrong("gitlab", err)
		}
		options.Repository = s.repository
	}
	if a == readWrite {
		options.Store = s.store
	}
	s.pipeline = sync.New(options)
	if a == readWrite {
		if s.texts, err = readTexts(c); err != nil {
			return nil, err
		}
		s.teller = newTeller(c, s)
	}
	return s, nil
}

// openStore opens the store; only a command that may write gets more than a view of it.
func (p *program) openStore(ctx context.Context, c config.Config, a access) (*store.Store, error) {
	open := store.View
	if a == readWrite {
		open = store.Open
	}
	// Links found by another field are others, although the account is the same.
	desk := c.Zendesk.URL + " " + c.Zendesk.ProjectField
	options := store.Options{Desk: desk, LeaseTTL: c.Serve.Lease, NewID: newRunID, Reports: reportsOf(c)}
	if p.clocked {
		options.Now = p.Now
	}
	opened, err := open(ctx, c.Store, options)
	if errors.Is(err, store.ErrAddress) {
		return nil, wrong("store", err)
	}
	return opened, err
}

func (p *program) openDesk(c config.Config, links zendesk.Links, transport http.RoundTripper) (*zendesk.Desk, error) {
	z := c.Zendesk
	desk, err := zendesk.New(zendesk.Options{
		URL:      z.URL,
		ClientID: z.ClientID, ClientSecret: z.ClientSecret.Reveal(),
		Email: z.Email, Token: z.Token.Reveal(),
		ProjectField:      z.ProjectField,
		RequestsPerMinute: z.RequestsPerMinute,
		Budget:            z.Budget,
		Bulk:              zendesk.Bulk(z.Bulk),
		AddElsewhere:      c.Sync.PeopleElsewhere == string(sync.AddElsewhere),
		Links:             links,
		Transport:         transport,
		Now:               p.Remote.Now,
		Wait:              p.Remote.Wait,
		Warn:              func(text string) { p.log().Warn(text) },
		UserAgent:         userAgent(),
	})
	if err != nil {
		return nil, wrong("zendesk", err)
	}
	return desk, nil
}

func (p *program) openForge(c config.Config, transport http.RoundTripper) (*gitlab.Client, error) {
	forge, err := gitlab.New(gitlab.Options{
		URL: c.GitLab.URL, Token: c.GitLab.Token.Reveal(), Transport: transport, UserAgent: userAgent(), Wait: p.Remote.Wait,
		DeletionDays: c.GitLab.DeletionDays,
	})
	if err != nil {
		return nil, wrong("gitlab", err)
	}
	return forge, nil
}

// wrapped is the transport as the adapters get it.
func (p *program) wrapped(transport http.RoundTripper) http.RoundTripper {
	if p.Transport == nil {
		return transport
	}
	return p.Transport(transport)
}

// wrong names what an adapter does not accept of its configuration.
func wrong(key string, err error) error {
	problem := config.Problem{Key: key, Message: "cannot be used: " + err.Error()}
	var classed *contactsync.Error
	if errors.As(err, &classed) {
		problem.Remedy = classed.Remedy
	}
	return config.Problems{problem}
}

// newTransport carries all requests of the program: certificates are verified, proxies come from the environment,
// and nothing waits for ever.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  60 * time.Second,
		ExpectContinueTimeout:  time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    16,
		MaxResponseHeaderBytes: 256 << 10,
		ForceAttemptHTTP2:      true,
	}
}

// newRunID makes ids that are short enough to be read out, and yet never come twice.
func newRunID() string { return strings.ToLower(rand.Text()[:16]) }

func policyOf(c config.Config) sync.Policy {
	return sync.Policy{
		PeopleElsewhere: sync.PeopleElsewhere(c.Sync.PeopleElsewhere),
		Names:           sync.Names(c.Sync.Names),
		MaxContacts:     c.Limits.ContactsWithProject, MaxContactsWithout: c.Limits.ContactsWithoutProject,
		Protected:     c.Sync.Protected,
		HoldRemovals:  sync.Threshold(c.Sync.HoldRemovals),
		HoldAdditions: sync.Threshold(c.Sync.HoldAdditions),
	}
}

// missingStore returns where the store would be, if it is a file that is not there.
func (p *program) missingStore() (string, bool) {
	settings, err := p.configuration(config.ForNothing)
	path, isFile := strings.CutPrefix(settings.Store, "sqlite:")
	if err != nil || !isFile {
		return "", false
	}
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	_, err = os.Stat(path)
	return path, errors.Is(err, fs.ErrNotExist)
}

// openHistory opens the store for reading alone.
func (p *program) openHistory(ctx context.Context) (*store.Store, error) {
	settings, err := p.configuration(config.ForNothing)
	if err != nil {
		return nil, err
	}
	return p.openStore(ctx, settings, readOnly)
}
