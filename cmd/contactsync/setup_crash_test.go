package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"contactsync"
	fakegitlab "contactsync/internal/fakes/gitlab"
	fakezendesk "contactsync/internal/fakes/zendesk"
	"contactsync/store"
)

// setting is a way in which a project is set up.
type setting struct {
	name    string
	options func(*fakegitlab.Options)
	arrange func(*home)
	args    []string
	every   int // how many of the requests that read are broken: each, or one of so many
}

const doneMacro = "Support::Support Ops::Contact management project setup"

func settingsUp() []setting {
	return []setting{
		{name: "embedded template", every: 1},
		{name: "group template", every: 3, options: func(o *fakegitlab.Options) { o.ImportPolls = 3 },
			arrange: func(h *home) { h.template() }},
		{name: "ticket and macro, on Free", every: 3,
			options: func(o *fakegitlab.Options) { o.Free, o.ProtectDefault, o.OldHooks = true, true, true },
			arrange: func(h *home) { h.ticket(nil) }},
	}
}

// template makes a group template, with a list of its own, and has it used.
func (h *home) template() int64 {
	h.Helper()
	id, err := h.forge.CreateProject(fakegitlab.Project{ID: 77, Path: "support/templates/contact-management", Name: "Contact Management Project Template"})
	if err != nil {
		h.Fatal(err)
	}
	if _, err := h.forge.Commit(id, fakegitlab.Commit{Files: map[string]string{
		"CONTACTS.md": "# Contacts\n", "contacts.yaml": "- name: Your name\n  email: you@example.com\n",
	}}); err != nil {
		h.Fatal(err)
	}
	h.set(fmt.Sprintf("CONTACTSYNC_GITLAB_TEMPLATE_PROJECT=%d", id))
	return id
}

// ticket makes a ticket of ada's, and the macro that answers it.
func (h *home) ticket(change func(*fakezendesk.Ticket)) int64 {
	ada, _ := h.desk.UserByEmail("ada@example.com")
	t := fakezendesk.Ticket{Subject: "A project, please", Requester: ada.ID, Organization: h.org}
	if change != nil {
		change(&t)
	}
	yes := true
	h.desk.AddMacro(fakezendesk.Macro{Title: doneMacro, Comment: "It is there.", Public: &yes, Status: "solved", AddTags: []string{"cmp"}})
	h.asked = h.desk.AddTicket(t)
	return h.asked
}

func (s setting) home(t testing.TB) (*home, []string) {
	t.Helper()
	h := newHome(t, s.options)
	if s.arrange != nil {
		s.arrange(h)
	}
	args := slices.Clone(s.args)
	if h.asked != 0 {
		args = append(args, "--ticket", fmt.Sprint(h.asked))
	}
	return h, args
}

// counted counts the requests of a run, and cuts the connections to everybody for good at one of them: before it is
// sent, or once the answer is there. At 0 it cuts none.
type counted struct {
	mu     sync.Mutex
	at     int
	after  bool
	count  int
	writes []int // which of the requests those are
	last   string
}

var errCut = errors.New("the connection was cut")

func (c *counted) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		c.mu.Lock()
		c.count++
		n := c.count
		if isWrite(r.Method, r.URL.Path) {
			c.writes = append(c.writes, n)
		}
		if n == c.at {
			c.last = r.Method + " " + r.URL.Path
		}
		c.mu.Unlock()
		if c.at > 0 && (n > c.at || n == c.at && !c.after) {
			return nil, errCut
		}
		response, err := next.RoundTrip(r)
		if n != c.at || err != nil {
			return response, err
		}
		_, err = io.Copy(io.Discard, response.Body)
		return nil, errors.Join(errCut, err, response.Body.Close())
	})
}

// sampled is which of the cases the race detector sees: one of so many. The tests without it take all.
const sampled = 10

// Stop at every step: whatever request of a setup is the last one, sent or not, the same command then ends in exactly
// the state of a setup that nobody disturbed, with nothing there twice.
func TestSetupStopsAtEveryStep(t *testing.T) {
	t.Parallel()
	for _, s := range settingsUp() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			h, args := s.home(t)
			all := &counted{}
			h.transport = all.wrap
			if document, got := h.setup(args...); got.status != 0 {
				t.Fatalf("the setup does not work without any fault: %s\n%s%s", document.told(), got.stdout, got.stderr)
			}
			want := h.state()
			if all.count < 30 || len(all.writes) < 9 {
				t.Fatalf("a setup takes only %d requests, of which %d write", all.count, len(all.writes))
			}
			cases := 0
			for n := 1; n <= all.count; n++ {
				writes := slices.Contains(all.writes, n)
				if !writes && n%s.every != 0 {
					continue
				}
				for _, after := range []bool{false, true} {
					if after && !writes {
						continue // sent or not, nothing is changed
					}
					if cases++; raceDetector && cases%sampled != 0 {
						continue
					}
					t.Run(fmt.Sprintf("request %d, sent %v", n, after), func(t *testing.T) {
						t.Parallel()
						h, args := s.home(t)
						cut := &counted{at: n, after: after}
						h.transport = cut.wrap
						first, got := h.setup(args...)
						h.transport = nil
						if got.status == 0 || first.State != contactsync.ProcedureFailed && first.State != "" {
							t.Errorf("cut at %s, it should have failed: status %d, %s", cut.last, got.status, first.told())
						}
						h.continues(want, cut.last, args)
					})
				}
			}
		})
	}
}

// The same with real deaths of the process, at every write.
func TestSetupDiesAtEveryWrite(t *testing.T) {
	t.Parallel()
	s := settingsUp()[2] // one is enough, and that with a ticket makes most writes
	h, args := s.home(t)
	all := &counted{}
	h.transport = all.wrap
	if _, got := h.setup(args...); got.status != 0 {
		t.Fatalf("the setup does not work without any fault: %s%s", got.stdout, got.stderr)
	}
	want := h.state()
	for write := 1; write <= len(all.writes); write++ {
		if raceDetector && write%sampled != 0 {
			continue
		}
		t.Run(fmt.Sprintf("after write %d", write), func(t *testing.T) {
			t.Parallel()
			h, args := s.home(t)
			if status := h.runDying(write, true, h.setupArgs(args...)...); status != diedStatus {
				t.Fatalf("the process should have died at write %d, but ended with %d", write, status)
			}
			h.run("setup", "--resume").ends(0).says("setup of organization "+fmt.Sprint(h.org), "its process ended")
			h.continues(want, fmt.Sprintf("write %d", write), args)
		})
	}
}

// continues runs the command again, and compares what that leads to.
func (h *home) continues(want, at string, args []string) {
	h.Helper()
	second, got := h.setup(args...)
	if got.status != 0 || second.State != contactsync.ProcedureDone {
		h.Fatalf("after %s, the same command does not go on: status %d\n%s\n%s%s", at, got.status, second.told(), got.stdout, got.stderr)
	}
	if is := h.state(); is != want {
		h.Errorf("after %s, the state is\n%s\nand should be\n%s", at, is, want)
	}
	h.isClean()
}

var (
	moment  = regexp.MustCompile(`"\d{4}-\d\d-\d\dT[^"]*"`)
	address = regexp.MustCompile(`127\.0\.0\.1:\d+`)
)

// state is everything that a setup leaves, but for what is different each time: moments, ports, and the numbers of hooks
// and of rules.
func (h *home) state() string {
	h.Helper()
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	var projects []map[string]any
	h.ask("/groups/"+strings.ReplaceAll(homeGroup, "/", "%2F")+"/projects", &projects)
	for _, p := range projects {
		id := int64(p["id"].(float64))
		for _, key := range slices.Sorted(func(yield func(string) bool) {
			for key := range p {
				if !yield(key) {
					return
				}
			}
		}) {
			value, _ := json.Marshal(p[key]) //nolint:errchkjson // it was read as JSON
			say("project %d %s: %s", id, key, value)
		}
		rules, err := h.forge.Protections(id)
		say("protections %+v %v", rules, err)
		for _, file := range []string{"CONTACTS.md", "contacts.yaml"} {
			content, err := h.forge.File(id, "", file)
			say("%s: %q %v", file, content, err)
		}
		say("commits: %s", h.git(id, "rev-list", "--count", "--all"))
		say("branches: %s", h.git(id, "for-each-ref", "--format=%(refname)"))
		say("files: %s", h.git(id, "ls-tree", "-r", "--name-only", "HEAD"))
		var hooks []map[string]any
		h.ask(fmt.Sprintf("/projects/%d/hooks", id), &hooks)
		for _, hook := range hooks {
			delete(hook, "id")
			text, _ := json.Marshal(hook) //nolint:errchkjson // it was read as JSON
			say("hook %s", text)
		}
		members, err := h.forge.Members(id)
		say("members %+v %v", members, err)
		invitations, err := h.forge.Invitations(id)
		for _, i := range invitations {
			say("invitation %s %d %v", i.Address, i.Level, err)
		}
	}
	organization, _ := h.desk.Organization(h.org)
	say("linked to %v", organization.Fields["cmp_id"])
	say("contacts %v", h.atDesk())
	if t, ok := h.desk.Ticket(h.asked); ok {
		say("ticket %s %v %+v", t.Status, t.Tags, t.Comments)
	}
	history, err := store.Open(h.Context(), "sqlite:"+filepath.Join(h.dir, "contactsync.db"), store.Options{Desk: h.deskURL + " cmp_id"})
	if err != nil {
		h.Fatal(err)
	}
	procedures, err := history.Procedures(h.Context(), store.ProcedureFilter{})
	for _, p := range procedures {
		say("procedure %s %s of %s, project %d, by %s, %d steps, error %v: %v", p.Kind, p.State, p.Organization.ID, p.Project, p.By, len(p.Steps), p.Error, p.Command)
	}
	if err := errors.Join(err, history.Close()); err != nil {
		h.Fatal(err)
	}
	text := strings.Join(lines, "\n")
	return address.ReplaceAllString(moment.ReplaceAllString(text, "MOMENT"), "HOST")
}

// ask reads from the API.
func (h *home) ask(path string, into any) {
	h.Helper()
	request, err := http.NewRequestWithContext(h.Context(), http.MethodGet, h.forge.URL()+"/api/v4"+path, nil)
	if err != nil {
		h.Fatal(err)
	}
	request.Header.Set("Private-Token", token)
	response, err := new(http.Client).Do(request)
	if err != nil {
		h.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil || response.StatusCode != http.StatusOK {
		h.Fatalf("asking for %s: status %d, %v", path, response.StatusCode, err)
	}
}

// git asks the repository of a project.
func (h *home) git(id int64, args ...string) string {
	h.Helper()
	cmd := exec.CommandContext(h.Context(), "git", append([]string{"-C", filepath.Join(h.repositories, fmt.Sprintf("%d.git", id))}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return stderr.String()
	}
	return strings.TrimSpace(string(out))
}
