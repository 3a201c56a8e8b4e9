package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"contactsync"
	"contactsync/config"
	"contactsync/eligibility"
	fakegitlab "contactsync/internal/fakes/gitlab"
	fakezendesk "contactsync/internal/fakes/zendesk"
	"contactsync/setup"
)

// What the stand-ins of the demo let in. They are no secrets: both listen on this machine alone, for minutes.
const (
	demoToken        = "demo-token"
	demoClient       = "demo-client"
	demoClientSecret = "demo-client-secret" //nolint:gosec // no secret, see above
	demoGroup        = "contacts"
	demoStopTime     = 2 * time.Second
)

// stage is what a demo plays on: the two stand-ins, a store, and the real program between them.
type stage struct {
	dir          string // removed at the end
	desk         *fakezendesk.Server
	forge        *fakegitlab.Server
	servers      []*loopbackServer
	daemon       *daemon
	stopDaemon   func() error
	organization int64
	number       int64 // of the project, once it is set up
	project      contactsync.ProjectRef
	shown        string // the commit whose run was shown last
	signingKey   string
	settings     config.Config
	configFile   string
	ended        chan contactsync.Run // runs that a push led to
	told         chan struct{}        // something was told on GitLab since it was last looked at
}

func (p *program) newStage(ctx context.Context, listen string) (_ *stage, err error) {
	s := &stage{
		desk:       fakezendesk.New(fakezendesk.Options{ClientID: demoClient, ClientSecret: demoClientSecret}),
		signingKey: signingKey(),
		ended:      make(chan contactsync.Run, 100),
		told:       make(chan struct{}, 1),
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "contactsync-demo-"); err != nil {
		return nil, err
	}
	if err := s.startForge(ctx, listen); err != nil {
		return nil, err
	}
	desk, err := s.serve(ctx, "127.0.0.1:0", s.desk)
	if err != nil {
		return nil, err
	}
	if err := s.seed(p.Now()); err != nil {
		return nil, err
	}
	listener, err := takeAddress(ctx, "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if err := s.configure(desk, "http://"+listener.Addr().String()); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return s, s.startDaemon(ctx, p, listener)
}

// startDaemon starts the real service.
func (s *stage) startDaemon(ctx context.Context, p *program, listener net.Listener) (err error) {
	// What the service would tell operators is no part of the story, unless something goes wrong.
	log := slog.New(slog.NewTextHandler(p.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	if s.daemon, err = p.newDaemon(ctx, s.settings, log, audience{
		ended: func(run contactsync.Run) {
			select {
			case s.ended <- run:
			default: // nobody has looked at the last hundred
			}
		},
		told: func() {
			select {
			case s.told <- struct{}{}:
			default: // whoever waits looks at all there is
			}
		},
	}); err != nil {
		return errors.Join(err, listener.Close())
	}
	if err := s.daemon.start(ctx, listener); err != nil {
		return err
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- s.daemon.serve(serving) }()
	s.stopDaemon = func() error {
		stop()
		return <-served
	}
	return nil
}

func (s *stage) startForge(ctx context.Context, listen string) error {
	repositories := filepath.Join(s.dir, "repositories")
	if err := os.Mkdir(repositories, 0o700); err != nil {
		return err
	}
	forge, err := fakegitlab.New(fakegitlab.Options{
		Dir: repositories, Token: demoToken, Anonymous: true, Access: fakegitlab.Owner,
	})
	if errors.Is(err, exec.ErrNotFound) {
		return &contactsync.Error{
			Class: contactsync.ClassInternal, Detail: err.Error(), Err: err,
			Who: contactsync.WhoOperator, Retry: contactsync.RetryNo,
			Remedy: "Install git (on Debian: apt-get install git), then start the demo again.",
		}
	}
	if err != nil {
		return err
	}
	s.forge = forge
	url, err := s.serve(ctx, listen, forge)
	if err != nil {
		return err
	}
	forge.SetURL(url)
	return nil
}

// seed sets the scene: an organization with a subscription, its people, some others, and a group for the projects.
func (s *stage) seed(now time.Time) error {
	expires := now.UTC().AddDate(1, 0, 0).Format(time.DateOnly)
	s.organization = s.desk.AddOrganization(fakezendesk.Organization{Name: "Analytical Engines", Fields: map[string]any{
		"support_level": "premium", "sub_dotcom_premium": true, "seats_decimal": 120.0, "expiration_date": expires,
	}})
	for _, c := range firstContacts() {
		s.desk.AddUser(fakezendesk.User{Name: c.Name, Email: string(c.Email), Organizations: []int64{s.organization}})
	}
	s.desk.AddUser(fakezendesk.User{Name: "Mary Somerville", Email: "mary@example.com"})
	other := s.desk.AddOrganization(fakezendesk.Organization{Name: "Elastic Surfaces"})
	s.desk.AddUser(fakezendesk.User{Name: "Sophie Germain", Email: "sophie@example.org", Organizations: []int64{other}})

	s.forge.AddUser(fakegitlab.User{ID: 71, Username: "ada", Name: "Ada Lovelace"})
	if _, err := s.forge.AddNamespace(fakegitlab.Namespace{
		Path: "engines", Members: []fakegitlab.Member{{User: 71, Level: fakegitlab.Owner}},
		Subscription: &fakegitlab.Subscription{Plan: "premium", Seats: 120, Ends: expires},
	}); err != nil {
		return err
	}
	_, err := s.forge.AddGroup(demoGroup)
	return err
}

// setUp gives the organization its project, and returns how that went.
func (s *stage) setUp(ctx context.Context, p *program) (procedureDocument, error) {
	flags := s.setupFlags()
	policy, err := eligibility.NewPolicy(s.settings.Eligibility.Seats, s.settings.Eligibility.Criteria)
	if err != nil {
		return procedureDocument{}, err
	}
	var tally contactsync.Tally
	procedure, err := s.cared(contactsync.WithTally(ctx, &tally), p, func(ctx context.Context, c *setup.Caretaker) (contactsync.Procedure, error) {
		return p.setUpOne(ctx, s.daemon.systems, s.settings, c, flags, judgment{policy: policy, flags: flags.eligibilityFlags, by: "demo"})
	})
	s.number, s.project, s.shown = procedure.Project, contactsync.ProjectRef(fmt.Sprint(procedure.Project)), procedure.Commit
	return procedureDocument{procedure, tally.Requests(), nil}, err
}

// cared lets the caretaker do something, and shows its steps.
func (s *stage) cared(ctx context.Context, p *program, do func(context.Context, *setup.Caretaker) (contactsync.Procedure, error)) (contactsync.Procedure, error) {
	watch := p.newProgress()
	defer watch.Close()
	var telling error
	caretaker, err := p.newCaretaker(s.settings, s.daemon.systems, watch, func(n, of int, result contactsync.StepResult) {
		telling = cmp.Or(telling, write(p.Stdout, indented(p.stepLine(n, of, result))))
	})
	if err != nil {
		return contactsync.Procedure{}, err
	}
	procedure, err := do(ctx, caretaker)
	if err == nil {
		err = telling
	}
	return procedure, err
}

func (s *stage) setupFlags() setupFlags {
	return setupFlags{
		eligibilityFlags: eligibilityFlags{
			organization: fmt.Sprint(s.organization), requester: "ada@example.com", username: "ada", namespace: "engines",
		},
		maintainers: []string{"ada@example.com", "grace@example.com"},
	}
}

// configure writes the configuration for other terminals, and reads it back: the demo runs on what it shows. receiver is
// where GitLab reaches the service, "" before that is known.
func (s *stage) configure(desk, receiver string) (err error) {
	s.configFile = filepath.Join(s.dir, "contactsync.yaml")
	text := fmt.Sprintf(`gitlab:
  url: %s
  token: %s
  group: %s
zendesk:
  url: %s
  client_id: %s
  client_secret: %s
  requests_per_minute: 700
store: sqlite:%s
webhook:
  listen: 127.0.0.1:0
  url: %q
  signing_token: whsec_%s
schedule:
  resync: ""
  hooks: 0s
serve:
  grace: %s
`, s.forge.URL(), demoToken, demoGroup, desk, demoClient, demoClientSecret, filepath.Join(s.dir, "contactsync.db"), receiver, s.signingKey, demoStopTime)
	if err := os.WriteFile(s.configFile, []byte(text), 0o600); err != nil {
		return err
	}
	s.settings, err = config.Load(config.Sources{File: s.configFile})
	return err
}

// signingKey makes the secret that GitLab signs hooks with.
func signingKey() string {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	return base64.StdEncoding.EncodeToString(key[:])
}

func (s *stage) opening() string {
	return fmt.Sprintf(`A stand-in GitLab and a stand-in Zendesk now run on this machine; nothing leaves it.
At the desk, Analytical Engines (organization %d) has %d contacts. Ada asks to keep the list herself, on GitLab.
`, s.organization, len(firstContacts()))
}

func (s *stage) invitation() string {
	clone, err := s.forge.CloneURL(s.number)
	if err != nil {
		clone = s.forge.URL() // the project was made before the invitation
	}
	return fmt.Sprintf(`
Now it is your turn:

   git clone %s engines
   cd engines

Change contacts.yaml, commit, push, and look here. Try to
   - add a contact: mary@example.com is known at the desk, others are created
   - mistype an address
   - delete most of the contacts
   - add sophie@example.org, who belongs to another organization

In another terminal contactsync itself works too (install it with "go install ./cmd/contactsync"):

   export CONTACTSYNC_CONFIG=%s
   contactsync plan %d
   contactsync runs

Ctrl-C ends the demo and removes all of it.`, clone, s.configFile, s.number)
}

func (s *stage) commit(message, file string) (string, error) {
	return s.forge.Commit(s.number, fakegitlab.Commit{
		Message: message, Files: map[string]string{"contacts.yaml": file},
		Author: fakegitlab.User{Name: "Ada Lovelace", Email: "ada@example.com"},
	})
}

// propose commits the file to a branch of its own, and opens a merge request.
func (s *stage) propose(branch, message, file string) (request int64, err error) {
	if _, err := s.forge.Commit(s.number, fakegitlab.Commit{
		Branch: branch, From: s.settings.GitLab.Branch, Message: message, Files: map[string]string{"contacts.yaml": file},
		Author: fakegitlab.User{Name: "Ada Lovelace", Email: "ada@example.com"},
	}); err != nil {
		return 0, err
	}
	return s.forge.OpenMergeRequest(s.number, fakegitlab.MergeRequest{SourceBranch: branch, Title: message})
}

// push commits the file and returns the run that the push led to.
func (s *stage) push(ctx context.Context, message, file string) (contactsync.Run, error) {
	if _, err := s.commit(message, file); err != nil {
		return contactsync.Run{}, err
	}
	return s.nextRun(ctx)
}

// nextRun returns the next run of a commit that was not shown yet: a test delivery leads to one of the same.
func (s *stage) nextRun(ctx context.Context) (contactsync.Run, error) {
	for {
		select {
		case run := <-s.ended:
			if run.Commit == s.shown {
				continue
			}
			s.shown = run.Commit
			return run, nil
		case <-ctx.Done():
			return contactsync.Run{}, ctx.Err()
		}
	}
}

// onGitLab waits until people were told what is looked for, and returns it.
func onGitLab[T any](ctx context.Context, s *stage, look func() (found T, there bool, err error)) (T, error) {
	for {
		found, there, err := look()
		if err != nil || there {
			return found, err
		}
		select {
		case <-s.told:
		case <-ctx.Done():
			return found, ctx.Err()
		}
	}
}

// status waits for what is told beside a commit, other than that its run is still to come.
func (s *stage) status(ctx context.Context, commit, name string) (fakegitlab.Status, error) {
	return onGitLab(ctx, s, func() (fakegitlab.Status, bool, error) {
		statuses, err := s.forge.Statuses(s.number, commit)
		for _, status := range statuses {
			if status.Name == name && !status.Superseded && status.State != string(contactsync.CommitPending) {
				return status, true, err
			}
		}
		return fakegitlab.Status{}, false, err
	})
}

// commitNote waits for the note on a commit.
func (s *stage) commitNote(ctx context.Context, commit string) (string, error) {
	return s.note(ctx, "", func() ([]fakegitlab.Note, error) { return s.forge.Notes(s.number, commit) })
}

// comment waits for the comment on a merge request that says something.
func (s *stage) comment(ctx context.Context, request int64, says string) (string, error) {
	return s.note(ctx, says, func() ([]fakegitlab.Note, error) { return s.forge.RequestNotes(s.number, request) })
}

func (s *stage) note(ctx context.Context, says string, list func() ([]fakegitlab.Note, error)) (string, error) {
	return onGitLab(ctx, s, func() (string, bool, error) {
		notes, err := list()
		for _, note := range notes {
			if !note.System && strings.Contains(note.Body, says) {
				return strings.TrimSpace(strings.TrimSuffix(note.Body, "<!-- contactsync -->")), true, err
			}
		}
		return "", false, err
	})
}

// badge fetches the picture of the project's badge, as a browser does, and returns what it says.
func (s *stage) badge(ctx context.Context, says string) (string, error) {
	return onGitLab(ctx, s, func() (string, bool, error) {
		badges, err := s.forge.Badges(s.number)
		if err != nil || len(badges) == 0 {
			return "", false, err
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, badges[0].Image, nil)
		if err != nil {
			return "", false, err
		}
		response, err := s.daemon.transport.RoundTrip(request)
		if err != nil {
			return "", false, err
		}
		defer response.Body.Close()
		picture, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
		_, title, _ := strings.Cut(string(picture), "<title>")
		title, _, _ = strings.Cut(title, "</title>")
		return title, strings.Contains(title, says), err
	})
}

// atDesk lists the organization's contacts as the desk has them, see names.
func (s *stage) atDesk() []string {
	var lines []string
	for _, user := range s.desk.MembersOf(s.organization) {
		lines = append(lines, fmt.Sprintf("%s <%s>", user.Name, user.Email))
	}
	slices.Sort(lines)
	return lines
}

// knows reports whether the desk still has the person.
func (s *stage) knows(address string) bool {
	user, ok := s.desk.UserByEmail(address)
	return ok && !user.Inactive
}

// close takes the stage down, in the reverse order of its building. It is safe on one that is half built.
func (s *stage) close() error {
	var errs []error
	if s.stopDaemon != nil {
		errs = append(errs, s.stopDaemon())
	}
	if s.daemon != nil {
		errs = append(errs, s.daemon.close())
	}
	for _, server := range s.servers {
		errs = append(errs, server.close())
	}
	if s.forge != nil {
		s.forge.Close()
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// loopbackServer serves one handler until it is closed.
type loopbackServer struct {
	http.Server
	done chan error // the end of Serve
}

// serve starts a server and returns its address.
func (s *stage) serve(ctx context.Context, address string, handler http.Handler) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return "", err
	}
	server := &loopbackServer{
		Server: http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second},
		done:   make(chan error, 1),
	}
	go func() { server.done <- server.Serve(listener) }()
	s.servers = append(s.servers, server)
	return "http://" + listener.Addr().String(), nil
}

// close lets requests under way end, for a moment.
func (s *loopbackServer) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), demoStopTime)
	defer cancel()
	if s.Shutdown(ctx) != nil {
		if err := s.Close(); err != nil {
			return err
		}
	}
	if err := <-s.done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
