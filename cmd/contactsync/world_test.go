package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"contactsync"
	main "contactsync/cmd/contactsync"
	"contactsync/contacts"
	fakegitlab "contactsync/internal/fakes/gitlab"
	fakezendesk "contactsync/internal/fakes/zendesk"
	"contactsync/internal/storetest"
	"contactsync/store"
)

const (
	project = 101 // of every world, unless a test makes others
	token   = "glpat-token-of-the-world"
	client  = "client-of-the-world"
	secret  = "client-secret-of-the-world"
)

// world is the two stand-ins over HTTP, and the configuration of the program between them.
type world struct {
	testing.TB
	desk  *fakezendesk.Server
	forge *fakegitlab.Server
	clock *clock

	deskURL string
	dir     string
	env     []string
	org     int64 // the organization of project

	now       func() time.Time
	terminal  bool      // standard output is one
	answers   io.Reader // on a terminal at standard input; nil is none
	transport func(http.RoundTripper) http.RoundTripper
	patient   bool     // see impatient
	underWay  sync.Map // from the numbers of requests to what ends them, see impatient
}

// newWorld makes a world with one organization, linked to one project whose repository is empty.
func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldAround(t, newForge(t))
}

// newWorldAround makes a world with a GitLab that it may share with others.
func newWorldAround(t testing.TB, forge *fakegitlab.Server) *world {
	t.Helper()
	return newWorldOf(t, forge, fakezendesk.Options{ClientID: client, ClientSecret: secret},
		"CONTACTSYNC_ZENDESK_CLIENT_ID="+client, "CONTACTSYNC_ZENDESK_CLIENT_SECRET="+secret)
}

// newWorldWithToken makes a world whose desk is signed in to with an API token.
func newWorldWithToken(t testing.TB, email, token string) *world {
	t.Helper()
	return newWorldOf(t, newForge(t), fakezendesk.Options{Email: email, Token: token},
		"CONTACTSYNC_ZENDESK_EMAIL="+email, "CONTACTSYNC_ZENDESK_TOKEN="+token)
}

func newWorldOf(t testing.TB, forge *fakegitlab.Server, options fakezendesk.Options, credentials ...string) *world {
	t.Helper()
	w := &world{TB: t, forge: forge, clock: newClock(), dir: t.TempDir()}
	options.Clock = w.clock.Now
	w.desk = fakezendesk.New(options)
	server := httptest.NewServer(w.desk)
	t.Cleanup(server.Close)
	t.Cleanup(w.desk.Release) // before Close, which waits for requests that are held
	w.deskURL = server.URL
	w.env = append(credentials,
		"CONTACTSYNC_GITLAB_URL="+forge.URL(), "CONTACTSYNC_GITLAB_TOKEN="+token,
		"CONTACTSYNC_ZENDESK_URL="+w.deskURL,
		"CONTACTSYNC_STORE=sqlite:"+filepath.Join(w.dir, "contactsync.db"),
		"USER=tester",
	)
	storetest.Write(t, filepath.Join(w.dir, "contactsync.db"))
	w.org = w.organization("Example", project)
	return w
}

// newForge starts a GitLab with one project, whose repository is empty.
func newForge(t testing.TB, change ...func(*fakegitlab.Options)) *fakegitlab.Server {
	t.Helper()
	options := fakegitlab.Options{Dir: t.TempDir(), Token: token}
	for _, c := range change {
		c(&options)
	}
	forge, err := fakegitlab.New(options)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(forge)
	t.Cleanup(forge.Close)
	t.Cleanup(server.Close)
	forge.SetURL(server.URL)
	if _, err := forge.CreateProject(fakegitlab.Project{ID: project, Path: "contacts/example"}); err != nil {
		t.Fatal(err)
	}
	return forge
}

func (w *world) organization(name string, project int64) int64 {
	return w.desk.AddOrganization(fakezendesk.Organization{Name: name, Fields: map[string]any{"cmp_id": project}})
}

// member adds a person who belongs to the world's organization.
func (w *world) member(name, address string) int64 {
	return w.desk.AddUser(fakezendesk.User{Name: name, Email: address, Organizations: []int64{w.org}})
}

// members adds count people, and returns them as contacts.
func (w *world) members(count int) []contactsync.Contact {
	list := numbered(count)
	for _, c := range list {
		w.member(c.Name, string(c.Email))
	}
	return list
}

// numbered returns count contacts.
func numbered(count int) []contactsync.Contact {
	list := make([]contactsync.Contact, count)
	for i := range list {
		list[i] = contact(fmt.Sprintf("Person %04d", i), fmt.Sprintf("p%04d@example.com", i))
	}
	return list
}

func contact(name, address string) contactsync.Contact {
	return contactsync.Contact{Name: name, Email: contactsync.Email(address)}
}

// push commits a file that lists the contacts.
func (w *world) push(list []contactsync.Contact) {
	w.Helper()
	text, err := contacts.Render(contacts.File{Contacts: list})
	if err != nil {
		w.Fatal(err)
	}
	w.pushText(string(text))
}

func (w *world) pushText(text string) {
	w.Helper()
	w.commit(fakegitlab.Commit{Files: map[string]string{"contacts.yaml": text}})
}

func (w *world) commit(c fakegitlab.Commit) {
	w.Helper()
	if _, err := w.forge.Commit(project, c); err != nil {
		w.Fatal(err)
	}
}

// set adds environment variables for the program.
func (w *world) set(pairs ...string) { w.env = append(w.env, pairs...) }

// silent has nobody told on GitLab how runs end.
func (w *world) silent() {
	w.set("CONTACTSYNC_REPORT_STATUSES=false", "CONTACTSYNC_REPORT_NOTES=false", "CONTACTSYNC_REPORT_MERGE_REQUESTS=false", "CONTACTSYNC_REPORT_BADGE=off")
}

// result is what one run of the program left.
type result struct {
	testing.TB
	args           []string
	status         int
	stdout, stderr string
}

// run runs the program in this process.
func (w *world) run(args ...string) result {
	w.Helper()
	return w.runFor(context.Background(), args...)
}

func (w *world) runFor(ctx context.Context, args ...string) result {
	w.Helper()
	var stdout, stderr bytes.Buffer
	status := main.Main{
		Args: args, Env: w.env, Stdout: &stdout, Stderr: &stderr, StdoutIsTerminal: w.terminal, Now: w.now,
		Stdin: w.answers, StdinIsTerminal: w.answers != nil,
		Remote: main.Clock{Now: w.clock.Now, Wait: w.clock.Wait}, Transport: w.transport,
	}.Run(ctx)
	r := result{TB: w, args: args, status: status, stdout: stdout.String(), stderr: stderr.String()}
	for _, text := range []string{r.stdout, r.stderr} {
		if strings.Contains(text, token) || strings.Contains(text, secret) {
			w.Errorf("%s shows a secret:\n%s%s", r.command(), r.stdout, r.stderr)
		}
	}
	return r
}

// json runs a command with --output json and decodes its document, in which every key must be known.
func (w *world) json(into any, args ...string) result {
	w.Helper()
	r := w.run(append(slices.Clone(args), "--output", "json")...)
	r.decode(into)
	return r
}

// sync syncs the world's project and returns what the program says about it.
func (w *world) sync() (contactsync.Run, int) {
	w.Helper()
	var run contactsync.Run
	r := w.json(&run, "sync", fmt.Sprint(project))
	return run, r.status
}

func (r result) command() string { return "contactsync " + strings.Join(r.args, " ") }

func (r result) decode(into any) {
	r.Helper()
	decoder := json.NewDecoder(strings.NewReader(r.stdout))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		r.Fatalf("%s: no document: %v\n%s%s", r.command(), err, r.stdout, r.stderr)
	}
	if decoder.More() {
		r.Errorf("%s: more than one document:\n%s", r.command(), r.stdout)
	}
}

// decodeLoosely reads the keys that are asked for, and leaves the others.
func (r result) decodeLoosely(into any) {
	r.Helper()
	if err := json.Unmarshal([]byte(r.stdout), into); err != nil {
		r.Fatalf("%s: no document: %v\n%s%s", r.command(), err, r.stdout, r.stderr)
	}
}

// ends checks the exit status.
func (r result) ends(status int) result {
	r.Helper()
	if r.status != status {
		r.Errorf("%s: exit status %d, want %d\n%s%s", r.command(), r.status, status, r.stdout, r.stderr)
	}
	return r
}

// says checks that the output holds the texts.
func (r result) says(texts ...string) result {
	r.Helper()
	for _, text := range texts {
		if !strings.Contains(r.stdout+r.stderr, text) {
			r.Errorf("%s does not say %q:\n%s%s", r.command(), text, r.stdout, r.stderr)
		}
	}
	return r
}

// keepsQuietOf checks that the output holds none of the texts.
func (r result) keepsQuietOf(texts ...string) result {
	r.Helper()
	for _, text := range texts {
		if strings.Contains(r.stdout+r.stderr, text) {
			r.Errorf("%s says %q:\n%s%s", r.command(), text, r.stdout, r.stderr)
		}
	}
	return r
}

// record puts a run into the history that has begun.
func (w *world) record(run contactsync.Run) {
	w.Helper()
	history, err := store.Open(w.Context(), "sqlite:"+filepath.Join(w.dir, "contactsync.db"), store.Options{})
	if err != nil {
		w.Fatal(err)
	}
	if err := errors.Join(history.BeginRun(w.Context(), run), history.Close()); err != nil {
		w.Fatal(err)
	}
}

// atDesk lists the members of the organization, sorted: "Name <address>".
func (w *world) atDesk() []string {
	var lines []string
	for _, user := range w.desk.MembersOf(w.org) {
		lines = append(lines, fmt.Sprintf("%s <%s>", user.Name, user.Email))
	}
	slices.Sort(lines)
	return lines
}

func listed(list []contactsync.Contact) []string {
	lines := make([]string, 0, len(list))
	for _, c := range list {
		lines = append(lines, fmt.Sprintf("%s <%s>", c.Name, c.Email))
	}
	slices.Sort(lines)
	return lines
}

// hasExactly checks that the organization's members are the contacts, and that nothing happened on the way that may
// never happen.
func (w *world) hasExactly(list []contactsync.Contact) {
	w.Helper()
	if want, got := listed(list), w.atDesk(); !slices.Equal(want, got) {
		w.Errorf("the desk has %d members, want %d:\n got %s\nwant %s", len(got), len(want), strings.Join(got, ", "), strings.Join(want, ", "))
	}
	w.isClean()
}

// isClean checks that nobody got mail, and that nothing was asked of the desk that no careful client asks.
func (w *world) isClean() {
	w.Helper()
	for _, mail := range w.desk.Mails() {
		w.Errorf("mail was sent to %s", mail)
	}
	for _, violation := range w.desk.Violations() {
		w.Errorf("the desk saw what it never should: %s", violation)
	}
}

// clock is the desk's: it stands still but for waiting, which takes no time.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Wait(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return nil
}
