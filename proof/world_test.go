package proof_test

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	fakegitlab "contactsync/internal/fakes/gitlab"
	fakezendesk "contactsync/internal/fakes/zendesk"
)

const (
	gitlabToken = "glpat-token-of-the-proof"
	deskUser    = "standin@example.com"
	deskToken   = "token-of-the-proof"
)

// world is the two stand-ins over HTTP, projects on both, and where processes find them.
type world struct {
	testing.TB
	dir      string
	store    string               // the address
	user     *syscall.SysProcAttr // of the processes; nil: ours
	forge    *fakegitlab.Server
	desk     *fakezendesk.Server
	ledger   *ledger
	projects []*project
	hooks    *hooks
}

// newWorld makes a world on the store at the address; "" is an SQLite file of its own.
func newWorld(t testing.TB, store string, projects int) *world {
	t.Helper()
	w := &world{TB: t, dir: t.TempDir(), store: store}
	if store == "" {
		w.store = "sqlite:" + filepath.Join(w.dir, "contactsync.db")
	}
	w.desk = fakezendesk.New(fakezendesk.Options{Email: deskUser, Token: deskToken})
	w.ledger = &ledger{world: w}
	desk := httptest.NewServer(w.ledger)
	t.Cleanup(desk.Close)

	repositories := filepath.Join(w.dir, "repositories")
	if err := os.Mkdir(repositories, 0o755); err != nil {
		t.Fatal(err)
	}
	forge, err := fakegitlab.New(fakegitlab.Options{Dir: repositories, Token: gitlabToken})
	if err != nil {
		t.Fatal(err)
	}
	w.forge = forge
	server := httptest.NewServer(forge)
	t.Cleanup(forge.Close)
	t.Cleanup(server.Close)
	forge.SetURL(server.URL)

	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	w.hooks = newHooks(key[:])
	t.Cleanup(w.hooks.close)
	// Nothing is held: what stops a removal here must be something better than the threshold.
	text := fmt.Sprintf(`gitlab:
  url: %s
  token: %s
zendesk:
  url: %s
  token: %s
  requests_per_minute: 1000000
  budget: 1
webhook:
  listen: 127.0.0.1:0
  signing_token: whsec_%s
sync:
  hold_removals: {floor: 1000}
schedule:
  resync: ""
  hooks: 0s
serve:
  grace: %s
  lease: %s
`, server.URL, gitlabToken, desk.URL, deskToken, base64.StdEncoding.EncodeToString(key[:]), grace, leaseTime)
	if err := os.WriteFile(filepath.Join(w.dir, "contactsync.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	for i := range projects {
		w.projects = append(w.projects, w.newProject(int64(101+i)))
	}
	return w
}

// project is an organization, the file that lists its people, and what the file has said so far.
type project struct {
	world *world
	id    int64
	org   int64

	mu      sync.Mutex
	version int
	now     []string                   // the addresses that the file lists
	said    map[string]map[string]bool // by commit
	ever    map[string]bool
}

// core is how many people every version of a file lists.
const core = 5

func (w *world) newProject(id int64) *project {
	w.Helper()
	p := &project{world: w, id: id, said: map[string]map[string]bool{}, ever: map[string]bool{}}
	p.org = w.desk.AddOrganization(fakezendesk.Organization{Name: fmt.Sprintf("Example %d", id), Fields: map[string]any{"cmp_id": id}})
	for n := range core {
		address := p.address("core", n)
		w.desk.AddUser(fakezendesk.User{Name: name(address), Email: address, Organizations: []int64{p.org}})
	}
	if _, err := w.forge.CreateProject(fakegitlab.Project{ID: id, Path: fmt.Sprintf("contacts/example-%d", id)}); err != nil {
		w.Fatal(err)
	}
	p.commit()
	return p
}

func (p *project) address(kind string, n int) string {
	return fmt.Sprintf("%s%d.%d@example.com", kind, n, p.id)
}

// name is what somebody with the address is called.
func name(address string) string {
	name, _, _ := strings.Cut(address, ".")
	return name
}

// commit changes the file: the core stays, two movers come and go, and the guest of the version before gives way to a
// new one.
func (p *project) commit() {
	p.world.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.version++
	var addresses []string
	for n := range core {
		addresses = append(addresses, p.address("core", n))
	}
	for n := range 2 {
		if p.version>>n&1 == 1 {
			addresses = append(addresses, p.address("mover", n))
		}
	}
	p.write(append(addresses, p.address("guest", p.version)))
}

// write commits a file that lists the addresses. The project's lock is held.
func (p *project) write(addresses []string) {
	p.world.Helper()
	var text strings.Builder
	said := map[string]bool{}
	for _, address := range addresses {
		fmt.Fprintf(&text, "- name: %s\n  email: %s\n", name(address), address)
		said[address], p.ever[address] = true, true
	}
	hash, err := p.world.forge.Commit(p.id, fakegitlab.Commit{Files: map[string]string{"contacts.yaml": text.String()}})
	if err != nil {
		p.world.Errorf("committing: %v", err)
		return
	}
	p.now, p.said[hash] = addresses, said
}

// members are the addresses of those who belong to the organization now, sorted.
func (p *project) members() []string {
	var addresses []string
	for _, user := range p.world.desk.MembersOf(p.org) {
		addresses = append(addresses, user.Email)
	}
	slices.Sort(addresses)
	return addresses
}

// wanted are the addresses that the file lists now, sorted.
func (p *project) wanted() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Sorted(slices.Values(p.now))
}

// deskIsRight checks that everybody is where the files say, once, and that nothing happened on the way that may never
// happen.
func (w *world) deskIsRight() {
	w.Helper()
	ever := map[string]bool{}
	for _, p := range w.projects {
		if got, want := p.members(), p.wanted(); !slices.Equal(got, want) {
			w.Errorf("project %d has the members\n%s\nand should have\n%s", p.id, strings.Join(got, " "), strings.Join(want, " "))
		}
		p.mu.Lock()
		maps.Copy(ever, p.ever)
		p.mu.Unlock()
	}
	people := map[string]int{}
	for _, user := range w.desk.Users() {
		people[strings.ToLower(user.Email)]++
		if user.Inactive {
			w.Errorf("%s was deleted", user.Email)
		}
	}
	for address, times := range people {
		if times > 1 || !ever[address] {
			w.Errorf("%s is at the desk %d times, and is or was in a file: %v", address, times, ever[address])
		}
	}
	for _, mail := range w.desk.Mails() {
		w.Errorf("mail was sent to %s", mail)
	}
	for _, violation := range w.desk.Violations() {
		w.Errorf("the desk saw what it never should: %s", violation)
	}
}

// waitFor waits for what must happen.
func (w *world) waitFor(what string, happened <-chan struct{}) {
	w.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-happened:
	case <-limit.C:
		w.Fatalf("waiting for %s took too long", what)
	}
}

// newClient returns a client that leaves nothing behind.
func newClient(t testing.TB) *http.Client {
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: patience}
}
