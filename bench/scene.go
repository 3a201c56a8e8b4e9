package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"contactsync/bench/forge"
	"contactsync/bench/measure"
	"contactsync/internal/fakes/zendesk"
)

// What the stand-ins let in. They are no secrets: both listen on this machine alone, for minutes.
const (
	forgeToken   = "bench-token"
	client       = "bench-client"
	clientSecret = "bench-client-secret"
)

// scene is what a service works between: a desk with an organization for each project, and a forge whose files say the
// same.
type scene struct {
	projects, contacts int

	desk          *zendesk.Server
	turns         measure.Turns
	organizations []int64          // by project, from project 1 on
	projectOf     map[string]int64 // by organization
	late          []atomic.Bool    // by project: somebody was added to the file
	lateIDs       []int64          // of these people

	deskURL, forgeURL string
	key               []byte // that hooks are signed with
	close             func() error
}

// newScene serves a desk and a forge. With crowds, the desk's people are made up when they are asked for.
func newScene(ctx context.Context, projects, contacts int, crowds bool) (_ *scene, err error) {
	s := &scene{
		projects: projects, contacts: contacts, projectOf: map[string]int64{}, late: make([]atomic.Bool, projects),
		key: make([]byte, 32),
	}
	_, _ = rand.Read(s.key) // never fails
	s.seed(crowds)
	var servers []*http.Server
	var serving sync.WaitGroup
	s.close = func() error {
		var err error
		for _, server := range servers {
			err = errors.Join(err, server.Close())
		}
		serving.Wait()
		return err
	}
	serve := func(handler http.Handler) (string, error) {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return "", err
		}
		server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
		servers = append(servers, server)
		serving.Go(func() { _ = server.Serve(listener) }) // until it is closed
		return "http://" + listener.Addr().String(), nil
	}
	if s.deskURL, err = serve(http.HandlerFunc(s.serveDesk)); err != nil {
		return nil, err
	}
	if s.forgeURL, err = serve(forge.New(forgeToken, s.file)); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// seed fills the desk as if it had been done over the last day: what is of one second comes in one page of an export.
func (s *scene) seed(crowds bool) {
	now := time.Now()
	var past atomic.Pointer[time.Time]
	s.desk = zendesk.New(zendesk.Options{ClientID: client, ClientSecret: clientSecret, Clock: func() time.Time {
		if at := past.Load(); at != nil {
			return *at
		}
		return time.Now()
	}})
	for i := range s.projects {
		project := int64(i + 1)
		at := now.Add(-24*time.Hour + time.Duration(i)*time.Second)
		past.Store(&at)
		organization := s.desk.AddOrganization(zendesk.Organization{
			Name: fmt.Sprintf("Organization %d", project), Fields: map[string]any{"cmp_id": strconv.FormatInt(project, 10)},
		})
		s.organizations = append(s.organizations, organization)
		s.projectOf[strconv.FormatInt(organization, 10)] = project
		if crowds {
			s.desk.AddCrowd(organization, s.contacts, func(n int) zendesk.User {
				name, address := person(project, n)
				return zendesk.User{Name: name, Email: address}
			})
			continue
		}
		for n := range s.contacts {
			name, address := person(project, n)
			s.desk.AddUser(zendesk.User{Name: name, Email: address, Organizations: []int64{organization}})
		}
		name, address := person(project, s.contacts)
		s.lateIDs = append(s.lateIDs, s.desk.AddUser(zendesk.User{Name: name, Email: address}))
	}
	past.Store(nil)
}

func person(project int64, n int) (name, address string) {
	return "Person " + strconv.Itoa(n), "person." + strconv.Itoa(n) + ".of." + strconv.FormatInt(project, 10) + "@example.com"
}

// file is a project's contacts.yaml: it lists whom the desk has and, once they are late, one more.
func (s *scene) file(project int64) (string, bool) {
	if project < 1 || project > int64(s.projects) {
		return "", false
	}
	n := s.contacts
	if s.late[project-1].Load() {
		n++
	}
	var text strings.Builder
	for i := range n {
		name, address := person(project, i)
		text.WriteString("- name: " + name + "\n  email: " + address + "\n")
	}
	return text.String(), true
}

// missed counts the projects whose last push has not reached the desk.
func (s *scene) missed() int {
	missed := 0
	for i := range s.organizations {
		user, _ := s.desk.User(s.lateIDs[i])
		if s.late[i].Load() && len(user.Organizations) != 1 {
			missed++
		}
	}
	return missed
}

// serveDesk lets the desk answer, and watches whose turn it is.
func (s *scene) serveDesk(w http.ResponseWriter, r *http.Request) {
	organization, kind, last := s.about(r)
	if organization == 0 {
		s.desk.ServeHTTP(w, r)
		return
	}
	end := s.turns.Begin(organization, kind, last)
	// Before the first byte of the answer, because the run may go on and end before the last one has been written here.
	s.desk.ServeHTTP(&watched{ResponseWriter: w, answer: sync.OnceFunc(end)}, r)
}

// about returns the project whose run sends such a request once: it looks for the organization, reads it, and reads the
// first page of the members when that is done.
func (s *scene) about(r *http.Request) (project int64, kind string, last bool) {
	if r.URL.Path == "/api/v2/search.json" || r.URL.Path == "/api/v2/search" {
		number, ok := strings.CutPrefix(r.URL.Query().Get("query"), "type:organization cmp_id:")
		if !ok {
			return 0, "", false
		}
		project, _ = strconv.ParseInt(number, 10, 64)
		return project, "search", false
	}
	id, rest, _ := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(r.URL.Path, ".json"), "/api/v2/organizations/"), "/")
	switch {
	case rest == "":
		return s.projectOf[id], "organization", false
	case rest == "organization_memberships" && r.URL.Query().Get("page") == "1":
		return s.projectOf[id], "members", true
	}
	return 0, "", false
}

type watched struct {
	http.ResponseWriter
	answer func()
}

func (w *watched) WriteHeader(status int) {
	w.answer()
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// configuration is the service's. resync is its schedule, "" for none.
func (s *scene) configuration(store, resync string) string {
	return fmt.Sprintf(`gitlab:
  url: %s
  token: %s
zendesk:
  url: %s
  client_id: %s
  client_secret: %s
  requests_per_minute: 10000000
  budget: 1
store: %s
webhook:
  listen: 127.0.0.1:0
  signing_token: %s
schedule:
  resync: %q
  spread: 0s
  hooks: 0s
`, s.forgeURL, forgeToken, s.deskURL, client, clientSecret, store, signingToken(s.key), resync)
}

// play starts a service between a desk and a forge, gives it to do, and stops all of it.
func (b *bench) play(ctx context.Context, s *scene, store, resync string, do func(*service, ledger) error) (err error) {
	defer func() { err = errors.Join(err, s.close()) }()
	service, err := b.serve(ctx, s.configuration(store, resync))
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, service.stop())
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, service.troubles())
		}
	}()
	books, err := openLedger(store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, books.Close()) }()
	if err := do(service, books); err != nil {
		return err
	}
	if violations := s.desk.Violations(); len(violations) > 0 {
		return fmt.Errorf("the desk was treated badly: %v", violations[:min(3, len(violations))])
	}
	return nil
}
