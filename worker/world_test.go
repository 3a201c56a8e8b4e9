package worker_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	gosync "sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"contactsync"
	"contactsync/store"
	"contactsync/sync"
	"contactsync/worker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a desk, a forge and repositories in memory, a real store, and a worker between them.
type world struct {
	t       *testing.T
	address string
	*store.Store
	desk  *desk
	clock *clock
	ended chan contactsync.Run
	log   *lines
}

type clock struct {
	mu  gosync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// newWorld begins at the real time, because the queue goes by the database's clock.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		t: t, address: "sqlite:" + filepath.Join(t.TempDir(), "store.db"),
		desk: newDesk(), clock: &clock{now: time.Now()}, ended: make(chan contactsync.Run, 1000), log: &lines{},
	}
	w.Store = w.open("")
	return w
}

// open opens the store of the world; reports is how people are told, "" for not at all.
func (w *world) open(reports string) *store.Store {
	w.t.Helper()
	opened, err := store.Open(w.t.Context(), w.address, store.Options{Now: w.clock.Now, Reports: reports})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := opened.Close(); err != nil {
			w.t.Errorf("closing: %v", err)
		}
	})
	return opened
}

// watch is a worker.Watch that sends the run when it has ended.
type watch struct{ ended chan contactsync.Run }

func (watch) Step(string)                  {}
func (watch) Progress(int, int)            {}
func (w watch) Finish(run contactsync.Run) { w.ended <- run }

// running is a worker whose beat goes on when the test says so.
type running struct {
	*worker.Worker
	world *world
	beats chan struct{} // gives one when the worker waits for its next beat
}

// start starts a worker; change may alter how it is made.
func (w *world) start(change func(*worker.Options)) *running {
	w.t.Helper()
	r := &running{world: w, beats: make(chan struct{})}
	options := worker.Options{
		Store: w.Store, Runs: 4, Linker: w.desk,
		Pipeline: sync.New(sync.Options{
			Forge: forge{}, Repository: w.desk, Desk: w.desk, Store: w.Store, Now: w.clock.Now, NewID: newID(),
			Policy: sync.Policy{HoldRemovals: sync.Threshold{Floor: 3, Percent: 30}, HoldAdditions: sync.Threshold{Floor: 100, Percent: 100}},
		}),
		Threshold: sync.SweepThreshold{Organizations: 3, Contacts: sync.Threshold{Floor: 50, Percent: 5}},
		Watch: func(ctx context.Context, _ contactsync.Run) (context.Context, worker.Watch) {
			return ctx, watch{w.ended}
		},
		Log: slog.New(slog.NewTextHandler(w.log, nil)), Now: w.clock.Now, Jitter: func() float64 { return 0.5 },
		Wait: func(ctx context.Context, _ time.Duration) error {
			select {
			case r.beats <- struct{}{}:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	}
	if change != nil {
		change(&options)
	}
	r.Worker = worker.New(options)
	if err := r.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	<-r.Started()
	w.t.Cleanup(r.stop)
	return r
}

// beat lets the worker look after the queue once more, and returns when it has done so.
func (r *running) beat() {
	<-r.beats // the beat before is over, and this one begins
	<-r.beats // this one is over
}

func (r *running) stop() {
	r.world.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := r.Stop(ctx, ctx); err != nil {
		r.world.t.Errorf("stopping: %v", err)
	}
}

// next returns the next run that ends.
func (w *world) next() contactsync.Run {
	w.t.Helper()
	select {
	case run := <-w.ended:
		return run
	case <-time.After(30 * time.Second):
		w.t.Fatalf("no run ended; the log says\n%s", w.log.String())
		return contactsync.Run{}
	}
}

func (w *world) push(project int64) {
	w.t.Helper()
	if _, err := w.Accept(w.t.Context(), contactsync.Delivery{Project: project, Event: "push"}); err != nil {
		w.t.Fatal(err)
	}
}

func newID() func() string {
	var mu gosync.Mutex
	n := time.Now().UnixNano()
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		n++
		return "run" + strconv.FormatInt(n, 10)
	}
}

// lines is a log that several goroutines write.
type lines struct {
	mu   gosync.Mutex
	text []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

type forge struct{}

func (forge) Project(_ context.Context, id int64) (contactsync.Project, error) {
	return contactsync.Project{ID: id, Path: fmt.Sprintf("support/organization-%d", 1000+id)}, nil
}

// desk has an organization 1000+n for each project n. It is the repositories' contents as well.
type desk struct {
	mu      gosync.Mutex
	members map[int64][]string // by project: names, which are the local parts of addresses
	files   map[int64][]string
	entered chan struct{}                   // takes one for each reading of members, when it is not nil
	block   func(ctx context.Context) error // what happens in each reading of members
}

func newDesk() *desk { return &desk{members: map[int64][]string{}, files: map[int64][]string{}} }

// set makes a project's members and file.
func (d *desk) set(project int64, members, file []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.members[project], d.files[project] = members, file
}

func (d *desk) of(project int64) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Sorted(slices.Values(d.members[project]))
}

func (d *desk) Read(_ context.Context, project contactsync.Project) (contactsync.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	text := ""
	for _, name := range d.files[project.ID] {
		text += fmt.Sprintf("- {name: %s, email: %s}\n", name, address(project.ID, name))
	}
	return contactsync.File{Content: []byte(text), Commit: fmt.Sprintf("%040d", project.ID)}, nil
}

func address(project int64, name string) contactsync.Email {
	return contactsync.Email(fmt.Sprintf("%s.%d@example.com", name, project))
}

func (d *desk) Links(context.Context) ([]contactsync.LinkedOrganization, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var links []contactsync.LinkedOrganization
	for project := range d.files {
		links = append(links, contactsync.LinkedOrganization{Project: project, Organization: organization(project)})
	}
	return links, nil
}

func organization(project int64) contactsync.Organization {
	return contactsync.Organization{ID: fmt.Sprint(1000 + project), Name: "Example"}
}

func (d *desk) Organization(_ context.Context, project int64) (contactsync.Organization, error) {
	return organization(project), nil
}

func (d *desk) OrganizationByID(_ context.Context, id string) (contactsync.Organization, error) {
	return contactsync.Organization{ID: id, Name: "Example"}, nil
}

func projectOf(org contactsync.Organization) int64 {
	id, _ := strconv.ParseInt(org.ID, 10, 64)
	return id - 1000
}

func (d *desk) Members(ctx context.Context, org contactsync.Organization) ([]contactsync.Member, error) {
	d.mu.Lock()
	entered, block := d.entered, d.block
	d.mu.Unlock()
	if entered != nil {
		entered <- struct{}{}
	}
	if block != nil {
		if err := block(ctx); err != nil {
			return nil, err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var members []contactsync.Member
	for _, name := range d.members[projectOf(org)] {
		members = append(members, contactsync.Member{Person: contactsync.Person{
			ID: fmt.Sprintf("%s-%s", org.ID, name), Name: name, Addresses: []contactsync.Email{address(projectOf(org), name)},
			Complete: true, Role: contactsync.RoleContact, Elsewhere: contactsync.ElsewhereNo, Here: true,
		}})
	}
	slices.SortFunc(members, func(a, b contactsync.Member) int { return slices.Compare([]byte(a.ID), []byte(b.ID)) })
	return members, nil
}

func (d *desk) Addresses(_ context.Context, _ contactsync.Organization, members []contactsync.Member) ([]contactsync.Member, error) {
	return members, nil
}

func (d *desk) People(context.Context, contactsync.Organization, []contactsync.Email) ([]contactsync.Person, error) {
	return nil, nil
}

func (d *desk) Add(_ context.Context, org contactsync.Organization, additions []contactsync.Addition) ([]contactsync.Outcome, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	outcomes := make([]contactsync.Outcome, len(additions))
	for i, a := range additions {
		d.members[projectOf(org)] = append(d.members[projectOf(org)], a.Contact.Name)
		outcomes[i].Person = fmt.Sprintf("%s-%s", org.ID, a.Contact.Name)
	}
	return outcomes, nil
}

func (d *desk) Remove(_ context.Context, org contactsync.Organization, members []contactsync.Member) ([]contactsync.Outcome, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range members {
		d.members[projectOf(org)] = slices.DeleteFunc(slices.Clone(d.members[projectOf(org)]), func(name string) bool { return name == m.Name })
	}
	return make([]contactsync.Outcome, len(members)), nil
}

func (d *desk) Present(_ context.Context, org contactsync.Organization, people []string, _ int) (map[string]bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	present := map[string]bool{}
	for _, name := range d.members[projectOf(org)] {
		id := fmt.Sprintf("%s-%s", org.ID, name)
		present[id] = slices.Contains(people, id)
	}
	return present, nil
}
