package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"contactsync"
	main "contactsync/cmd/contactsync"
	fakegitlab "contactsync/internal/fakes/gitlab"
	fakezendesk "contactsync/internal/fakes/zendesk"
	"contactsync/store"
)

// telling matches the requests that tell people something, or look for what they were told: no run needs them.
var telling = regexp.MustCompile(`^/api/v4/projects/\d+/(statuses/|badges|repository/branches/|(repository/commits/[0-9a-f]+|merge_requests/\d+)/discussions)`)

// telledWorld is a world in which people are told on GitLab, by a service whose clock can be put forward.
type telledWorld struct {
	*world
	ahead   atomic.Int64  // of the real time
	hanging atomic.Bool   // requests that tell are answered by nobody
	hung    chan struct{} // gets one for each of those, as long as it has room
	people  []contactsync.Contact
}

func newTelledWorld(t testing.TB, change ...func(*fakegitlab.Options)) *telledWorld {
	t.Helper()
	w := &telledWorld{world: newWorldAround(t, newForge(t, change...)), hung: make(chan struct{}, 100)}
	w.now = func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }
	w.transport = func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			if !w.hanging.Load() || !telling.MatchString(r.URL.Path) {
				return next.RoundTrip(r)
			}
			select {
			case w.hung <- struct{}{}:
			default:
			}
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
	}
	// The service would have to be given a whole minute, if telling kept it from stopping.
	w.set("CONTACTSYNC_REPORT_BADGE_URL=https://contacts.example.com", "CONTACTSYNC_SERVE_GRACE=60s")
	w.people = w.members(5)
	return w
}

// listen starts the service, whose log tells of everything, and has it told of pushes and merge requests.
func (w *telledWorld) listen() *service {
	w.Helper()
	s := w.serve("--log-level", "debug")
	if _, err := w.forge.AddHook(project, fakegitlab.Hook{URL: s.url + "/hooks/gitlab", Token: hookToken, BranchFilter: "master", MergeRequests: true}); err != nil {
		w.Fatal(err)
	}
	return s
}

const toldLine = "told on GitLab"

// commitOf commits a list to a branch, and returns the commit.
func (w *telledWorld) commitOf(branch string, list []contactsync.Contact) string {
	w.Helper()
	return w.commitText(branch, w.text(list))
}

func (w *telledWorld) commitText(branch, text string) string {
	w.Helper()
	commit, err := w.forge.Commit(project, fakegitlab.Commit{Branch: branch, From: "master", Files: map[string]string{"contacts.yaml": text}})
	if err != nil {
		w.Fatal(err)
	}
	return commit
}

// stands returns the status of a name that counts for a commit: its state, "" for none.
func (w *telledWorld) stands(commit, name string) string {
	w.Helper()
	all, err := w.forge.Statuses(project, commit)
	if err != nil {
		w.Fatal(err)
	}
	var states []string
	for _, status := range all {
		if status.Name == name && !status.Superseded {
			states = append(states, status.State)
		}
	}
	if len(states) > 1 {
		w.Errorf("commit %.8s has the statuses %q", commit, states)
	}
	return strings.Join(states, " ")
}

// note returns the one note of ours among those, a zero one for none.
func (w *telledWorld) note(notes []fakegitlab.Note, err error) fakegitlab.Note {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
	notes = slices.DeleteFunc(notes, func(n fakegitlab.Note) bool { return n.Author.Username != "service-account" })
	switch len(notes) {
	case 0:
		return fakegitlab.Note{}
	case 1:
	default:
		w.Errorf("there are %d notes of ours: %+v", len(notes), notes)
	}
	return notes[0]
}

// isTold checks that all is told about a commit, once: its status, its note or that it has none, and the badge.
func (w *telledWorld) isTold(commit, state, note string) {
	w.Helper()
	if got := w.stands(commit, "contactsync"); got != state {
		w.Errorf("the status of commit %.8s is %q, want %q", commit, got, state)
	}
	if got := w.note(w.forge.Notes(project, commit)); (got.ID != 0) != (note != "") || !strings.Contains(got.Body, note) {
		w.Errorf("the note on commit %.8s is %q, want %q in it", commit, got.Body, note)
	}
	badges, err := w.forge.Badges(project)
	if err != nil || len(badges) != 1 || !strings.HasSuffix(badges[0].Link, commit) || !strings.HasPrefix(badges[0].Image, "https://contacts.example.com/badges/") {
		w.Errorf("the badges are %+v (%v), want one of commit %.8s", badges, err, commit)
	}
}

// outcome is what must be the same of a run, however telling people of it fares.
type outcome struct {
	Status   contactsync.Status
	Class    contactsync.Class
	Summary  contactsync.Summary
	Digest   string
	Requests contactsync.Requests
}

// outcomes are those of all runs in the history, the oldest first, and the newest one as it is in the history.
func (w *telledWorld) outcomes() (all []outcome, last contactsync.Run) {
	w.Helper()
	var document runsDocument
	w.json(&document, "runs").ends(0)
	for _, listed := range slices.Backward(document.Runs) {
		last = contactsync.Run{}
		w.json(&last, "runs", "show", listed.ID).ends(0)
		o := outcome{Status: last.Status, Summary: last.Summary, Digest: last.Digest, Requests: last.Requests}
		if last.Error != nil {
			o.Class = last.Error.Class
		}
		all = append(all, o)
	}
	return all, last
}

// untold is that GitLab answers so whatever would tell people something.
func untold(status int, header http.Header, body string) fakegitlab.Fault {
	if header == nil {
		header = http.Header{}
	}
	header.Set("Content-Type", "application/json")
	return fakegitlab.Fault{Path: telling, Status: status, Header: header, Body: body}
}

// ways are in which telling can fail, each from the first request on.
var ways = map[string]struct {
	begin   func(*telledWorld)
	options func(*fakegitlab.Options)
	state   contactsync.ReportState
	problem string // in it
	never   bool   // there is no end of it
}{
	"errors":     {begin: func(w *telledWorld) { w.forge.Inject(untold(500, nil, `{"message":"500 Internal Server Error"}`)) }, state: contactsync.ReportWaiting, problem: "status 500"},
	"forbidden":  {begin: func(w *telledWorld) { w.forge.Inject(untold(403, nil, `{"message":"403 Forbidden"}`)) }, state: contactsync.ReportGivenUp, problem: "403 Forbidden"},
	"only reads": {options: func(o *fakegitlab.Options) { o.Scopes = []string{"read_api", "read_repository"} }, state: contactsync.ReportGivenUp, problem: "insufficient_scope", never: true},
	"conflicts":  {begin: func(w *telledWorld) { w.forge.BusyStatuses(1000) }, state: contactsync.ReportWaiting, problem: "Another update to this commit status is in progress"},
	"too many requests": {begin: func(w *telledWorld) {
		w.forge.Inject(untold(429, http.Header{"Retry-After": {"3600"}}, `{"message":"Too Many Requests"}`))
	}, state: contactsync.ReportWaiting, problem: "status 429"},
	"hanging":      {begin: func(w *telledWorld) { w.hanging.Store(true) }, state: contactsync.ReportWaiting},
	"lost answers": {begin: func(w *telledWorld) { w.forge.Inject(fakegitlab.Fault{Path: telling, Reset: true, After: true}) }, state: contactsync.ReportWaiting, problem: "cannot be reached"},
}

// However telling people fares, a run ends as it would without: the same members, the same words in the history, the same
// requests. The next push is not kept waiting, the service stops, no run is repeated, and whoever looks is told. When the
// trouble is over everything is told, once.
func TestTellingNeverMatters(t *testing.T) {
	t.Parallel()
	var undisturbed []outcome
	calm := newTelledWorld(t)
	undisturbed, _ = calm.playTelling(func(s *service) { s.hears("run ended", toldLine) }, func(s *service) {
		s.shows(`contactsync_reports_total{about="run",result="failed"} 0`)
		s.shows(`contactsync_reports_waiting 0`)
	})
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTelledWorld(t, func(o *fakegitlab.Options) {
				if way.options != nil {
					way.options(o)
				}
			})
			if way.begin != nil {
				way.begin(w)
			}
			hung := false
			ended := func(s *service) {
				if s.until("run ended"); hung || !w.hanging.Load() {
					return
				}
				select {
				case <-w.hung: // from here on telling is under way, whatever is pushed
					hung = true
				case <-time.After(30 * time.Second):
					t.Fatal("nobody is told anything")
				}
			}
			got, last := w.playTelling(ended, func(s *service) {
				if way.state == contactsync.ReportGivenUp {
					s.shows(`contactsync_reports_given_up 1`)
					s.shows(`contactsync_reports_waiting 0`)
				} else {
					w.isReported(way.state, way.problem)
					s.shows(`contactsync_reports_given_up 0`)
					s.shows(`contactsync_reports_waiting 1`)
				}
				// What hangs has neither failed nor been told.
				_, metrics := s.get("/metrics")
				if none := strings.Contains(metrics, `contactsync_reports_total{about="run",result="failed"} 0`); none != w.hanging.Load() ||
					!strings.Contains(metrics, `contactsync_reports_total{about="run",result="told"} 0`) {
					t.Errorf("the metrics are\n%s", metrics)
				}
			})
			if !slices.Equal(got, undisturbed) {
				t.Errorf("runs end as\n%+v, and without trouble as\n%+v", got, undisturbed)
			}
			if w.isReported(way.state, way.problem); way.problem == "" && last.Report.Problem != "" {
				t.Errorf("the history has the report %+v", last.Report)
			}
			words := map[contactsync.ReportState]string{contactsync.ReportWaiting: "people are still to be told how it ended", contactsync.ReportGivenUp: "people were not told how it ended"}
			w.run("runs", "show", last.ID).ends(0).says(words[way.state], way.problem)
			if way.never {
				return
			}
			w.recovers(last, len(got))
		})
	}
}

// isReported waits until the history has that report of the last run.
func (w *telledWorld) isReported(state contactsync.ReportState, problem string) {
	w.Helper()
	var last contactsync.Run
	for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); {
		if _, last = w.outcomes(); last.Report != nil && last.Report.State == state && strings.Contains(last.Report.Problem, problem) {
			return
		}
	}
	w.Fatalf("the history has the report %+v", last.Report)
}

// recovers takes the trouble away, and checks that everything is told then, once, by the service alone where it is tried
// again, and with the next run where it was given up.
func (w *telledWorld) recovers(last contactsync.Run, runs int) {
	w.Helper()
	w.forge.ClearFaults()
	w.hanging.Store(false)
	w.ahead.Add(int64(2 * time.Hour))
	s := w.serve("--log-level", "debug")
	if last.Report.State == contactsync.ReportGivenUp {
		w.run("sync", fmt.Sprint(project)).ends(1)
		runs++
	} else if line := s.until(toldLine); line["result"] != "told" {
		w.Errorf("the log says %v", line)
	}
	s.shows(`contactsync_reports_waiting 0`)
	s.shows(`contactsync_reports_given_up 0`)
	s.end(0)
	w.isTold(last.Commit, "failed", "is not an e-mail address")
	all, now := w.outcomes()
	if len(all) != runs || now.Report == nil || now.Report.State != contactsync.ReportTold {
		w.Errorf("there are %d runs, want %d; the last one's report is %+v", len(all), runs, now.Report)
	}
}

// playTelling pushes a list that changes everything, one that changes nothing, and one that is wrong. ended is called when
// a run is to have ended, and atLast before the service stops.
func (w *telledWorld) playTelling(ended, atLast func(*service)) (all []outcome, last contactsync.Run) {
	w.Helper()
	list := slices.Concat(w.people[1:], []contactsync.Contact{contact("Mary Somerville", "mary@example.com")})
	list[0].Name = "Renamed Person"
	s := w.listen()
	w.commitOf("master", list)
	ended(s)
	w.commitOf("master", slices.Concat(list[1:], list[:1]))
	ended(s)
	wrong := w.commitText("master", "- {name: Ada Lovelace, email: ada.example.com}\n")
	ended(s)
	atLast(s)
	s.end(0)
	w.hasExactly(list)
	log := s.rest()
	for line := range strings.Lines(log) {
		if strings.Contains(line, `"result":"failed"`) && !(strings.Contains(line, `"class":"`) && strings.Contains(line, `"remedy":"`) && strings.Contains(line, `"level":"WARN"`)) {
			w.Errorf("the log says %s", line)
		}
	}
	for _, c := range append(slices.Clone(w.people), list...) {
		for _, text := range []string{c.Name, string(c.Email), "Ada Lovelace"} {
			if strings.Contains(log, text) {
				w.Errorf("the log tells %q:\n%s", text, log)
			}
		}
	}
	if all, last = w.outcomes(); last.Commit != wrong {
		w.Errorf("the last run read %s, want %s", last.Commit, wrong)
	}
	return all, last
}

// The process dies before and after each write that tells people something, and the next one goes on: there is never a
// second note, and in the end everything is told.
func TestDeathWhileTelling(t *testing.T) {
	t.Parallel()
	for _, about := range []struct {
		name   string
		writes int
		begin  func(*telledWorld, *store.Store) error
		isTold func(*telledWorld)
	}{
		{"a commit", 3, func(w *telledWorld, s *store.Store) error {
			w.commitText("master", "- {name: Ada Lovelace, email: ada.example.com}\n")
			return s.Want(w.Context(), contactsync.TriggerHook, project)
		}, func(w *telledWorld) { w.isTold(w.head("master"), "failed", "is not an e-mail address") }},
		{"a merge request", 2, func(w *telledWorld, s *store.Store) error {
			w.commitOf("master", w.people)
			w.open(w.people[1:])
			_, err := s.Accept(w.Context(), contactsync.Delivery{Project: project, Request: 1, Event: "merge_request"})
			return err
		}, func(w *telledWorld) { w.isReviewed("success", "remove 1") }},
	} {
		for write := range about.writes {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, write %d, %v", about.name, write+1, after), func(t *testing.T) {
					t.Parallel()
					w := newTelledWorld(t)
					w.set("CONTACTSYNC_WEBHOOK_TOKEN="+hookToken, "CONTACTSYNC_WEBHOOK_LISTEN=127.0.0.1:0")
					w.inStore(about.begin)
					if status := w.runDyingAt(dieAtTelling, write+1, after, "serve"); status != diedStatus {
						t.Fatalf("the process should have died, but ended with %d", status)
					}
					s := w.serve("--log-level", "debug")
					for s.until(toldLine)["result"] != "told" {
					}
					s.end(0)
					about.isTold(w)
					w.hasExactly(w.people)
				})
			}
		}
	}
}

// inStore does something with the store of the world, as another process would.
func (w *telledWorld) inStore(do func(*telledWorld, *store.Store) error) {
	w.Helper()
	s, err := store.Open(w.Context(), "sqlite:"+filepath.Join(w.dir, "contactsync.db"), store.Options{Reports: "another way", Now: w.now})
	if err != nil {
		w.Fatal(err)
	}
	if err := errors.Join(do(w, s), s.Close()); err != nil {
		w.Fatal(err)
	}
}

func (w *telledWorld) head(branch string) string {
	w.Helper()
	head, err := w.forge.Head(project, branch)
	if err != nil || head == "" {
		w.Fatalf("branch %s is at %q: %v", branch, head, err)
	}
	return head
}

// open proposes a list in a merge request, whose number is 1.
func (w *telledWorld) open(list []contactsync.Contact) {
	w.Helper()
	w.commitOf("change", list)
	number, err := w.forge.OpenMergeRequest(project, fakegitlab.MergeRequest{SourceBranch: "change", Title: "Change contacts"})
	if err != nil || number != 1 {
		w.Fatalf("merge request %d: %v", number, err)
	}
}

// isReviewed checks what is told in the merge request: its one comment, which is as open as it should be, and the status of
// its newest commit.
func (w *telledWorld) isReviewed(state, note string) fakegitlab.Note {
	w.Helper()
	request, err := w.forge.MergeRequest(project, 1)
	if err != nil {
		w.Fatal(err)
	}
	if got := w.stands(request.Head, "contactsync/plan"); got != state {
		w.Errorf("the status of the merge request is %q, want %q", got, state)
	}
	got := w.note(w.forge.RequestNotes(project, 1))
	if !strings.Contains(got.Body, note) || got.ID == 0 {
		w.Errorf("the comment is %q, want %q in it", got.Body, note)
	}
	return got
}

// asked returns what GitLab's API was asked for since ForgetRequests, without what tells one project, commit or note from
// another.
func (w *telledWorld) asked() []string {
	var asked []string
	for _, r := range w.forge.Requests() {
		if path, ok := strings.CutPrefix(r.Path, "/api/v4/"); ok {
			path = strings.TrimPrefix(path, fmt.Sprintf("projects/%d/", project))
			asked = append(asked, r.Method+" "+numbers.ReplaceAllString(path, "#"))
		}
	}
	return asked
}

// numbers matches commits, discussions and numbers of whatever kind.
var numbers = regexp.MustCompile(`[0-9a-f]{40}|\b[0-9]+\b`)

// costs checks what was asked for since ForgetRequests, and forgets it. The run's own requests, which come first, are left
// out.
func (w *telledWorld) costs(when string, own int, want ...string) {
	w.Helper()
	asked := w.asked()
	if own > len(asked) || !slices.Equal(asked[own:], want) {
		w.Errorf("%s: asked of GitLab, without the run's own %d:\n%q, want\n%q", when, own, asked, want)
	}
	w.forge.ForgetRequests()
}

// What telling costs, over the wire: three requests at most after a run that found nothing to do, five after any other, and
// none where there is nothing new.
func TestCostOfTelling(t *testing.T) {
	t.Parallel()
	const (
		status, note, reword = "POST statuses/#", "POST repository/commits/#/discussions", "PUT repository/commits/#/discussions/#/notes/#"
		badges, badge, again = "GET badges", "POST badges", "PUT badges/#"
		find                 = "GET repository/commits/#/discussions"
		wrong                = "- {name: Ada Lovelace, email: ada.example.com}\n"
	)
	t.Run("pushes", func(t *testing.T) {
		t.Parallel()
		for first, want := range map[string][]string{"unchanged": {status, badges, badge}, "succeeded": {status, badges, badge}, "failed": {status, find, note, badges, badge}} {
			w := newTelledWorld(t)
			s := w.listen()
			push := func(what, text string, want ...string) {
				t.Helper()
				w.forge.ForgetRequests()
				w.commitText("master", text)
				lines := s.hears("run ended", toldLine)
				_, run := w.outcomes()
				w.costs(first+", then "+what, run.Requests.GitLab, want...)
				if int(lines[1]["gitlab_requests"].(float64)) != len(want) || string(run.Status) != what {
					t.Errorf("the run is %s, and the log says %v", run.Status, lines[1])
				}
			}
			texts := map[string]string{"unchanged": w.text(w.people), "succeeded": w.text(w.people[:4]), "failed": wrong}
			push(first, texts[first], want...)
			push("failed", wrong+"#\n", status, find, note, again)
			push("succeeded", w.text(append(slices.Clone(w.people[1:]), contact("Mary Somerville", "mary@example.com"))), status, again)
			push("unchanged", w.text(append(slices.Clone(w.people[1:]), contact("Mary Somerville", "mary@example.com")))+"#\n", status, again)
			s.end(0)
		}
	})
	t.Run("the same commit", func(t *testing.T) {
		t.Parallel()
		w := newTelledWorld(t)
		w.commitOf("master", w.people)
		sync := func(when string, exit, limit int, want ...string) {
			t.Helper()
			w.set(fmt.Sprintf("CONTACTSYNC_LIMITS_CONTACTS_WITH_PROJECT=%d", limit))
			w.forge.ForgetRequests()
			run, status := w.sync()
			if status != exit {
				t.Errorf("%s: status %d, %+v", when, status, run.Error)
			}
			w.costs(when, run.Requests.GitLab, want...)
		}
		sync("the first run", 0, 9, status, badges, badge)
		sync("nothing new", 0, 9)
		sync("too many contacts", 1, 2, status, find, note)
		sync("too many contacts, still", 1, 2)
		sync("mended", 0, 9, status, reword)
		if err := w.forge.DeleteNote(project, w.note(w.forge.Notes(project, w.head("master"))).ID); err != nil {
			t.Fatal(err)
		}
		sync("too many again, without its note", 1, 3, status, reword, note)
		w.isTold(w.head("master"), "failed", "the limit")
		w.forge.Inject(fakegitlab.Fault{Method: http.MethodPost, Path: regexp.MustCompile(`/discussions$`), Times: 1, Reset: true, After: true})
		w.commitOf("master", append(slices.Clone(w.people), contact("Mary Somerville", "mary@example.com")))
		sync("a note that is in doubt", 1, 3, status, find, note, again)
		sync("looks for it", 1, 4, "GET personal_access_tokens/self", find, reword)
		w.isTold(w.head("master"), "failed", "the limit")
	})
}

// text is a file that lists the contacts.
func (w *telledWorld) text(list []contactsync.Contact) string {
	var text strings.Builder
	for _, c := range list {
		fmt.Fprintf(&text, "- name: %q\n  email: %q\n", c.Name, c.Email)
	}
	return text.String()
}

// looks counts the looks at a merge request since ForgetRequests.
func (w *telledWorld) looks() (looks int) {
	for _, asked := range w.asked() {
		if asked == "GET merge_requests/#" {
			looks++
		}
	}
	return looks
}

// isNothing checks that what was just done to a merge request is answered, and leads to nothing.
func (w *telledWorld) isNothing(s *service, what string) {
	w.Helper()
	w.forge.Settle() // the hook was answered, so that whatever is to be done about it is in the store
	events, err := w.forge.Events(project)
	if err != nil || len(events) == 0 {
		w.Fatalf("%s: no hook, %v", what, err)
	}
	if last := events[len(events)-1]; last.Kind != "Merge Request Hook" || last.Status != http.StatusOK && last.Status != http.StatusAccepted {
		w.Errorf("%s: the hook %s is answered %d: %s", what, last.Kind, last.Status, last.ResponseBytes)
	}
	s.shows(`contactsync_reports_waiting 0`)
	if asked := w.asked(); len(asked) > 0 {
		w.Errorf("%s: GitLab is asked %q", what, asked)
	}
}

// A merge request through its whole life: one comment that follows it and a status, at most four requests each time, and
// nothing at all for what changes nothing. The desk is only read; what names in the file say does nothing.
func TestServeReviews(t *testing.T) {
	t.Parallel()
	const (
		look, status, find   = "GET merge_requests/#", "POST statuses/#", "GET merge_requests/#/discussions"
		note, reword, settle = "POST merge_requests/#/discussions", "PUT merge_requests/#/discussions/#/notes/#", "PUT merge_requests/#/discussions/#"
	)
	var held sync.RWMutex // hooks, as long as it is locked
	w := newTelledWorld(t, func(o *fakegitlab.Options) {
		o.HookTransport = roundTripper(func(r *http.Request) (*http.Response, error) {
			held.RLock()
			defer held.RUnlock()
			return http.DefaultTransport.RoundTrip(r)
		})
	})
	w.set("CONTACTSYNC_REPORT_NAMES=true")
	s := w.listen()
	reviewed := func(what string, want ...string) {
		t.Helper()
		line := s.until(toldLine)
		if line["about"] != "merge_request" || line["result"] != "told" || int(line["gitlab_requests"].(float64)) != len(want) {
			t.Errorf("%s: the log says %v", what, line)
		}
		w.costs(what, 0, want...)
	}
	w.commitOf("master", w.people)
	s.hears("run ended", toldLine)
	read := len(w.desk.Requests())
	w.commitText("master", w.text(w.people)+"#\n")
	s.hears("run ended", toldLine)
	idle := len(w.desk.Requests()) - read // of a run of the same members that has nothing to write
	hostile := slices.Concat(w.people[1:], []contactsync.Contact{
		contact("/close", "close@example.com"), contact("@all", "all@example.com"),
		contact("/merge </details> <!-- contactsync -->", "merge@example.com"), contact("![x](https://example.org) !1 #1", "link@example.com"),
	})

	w.forge.ForgetRequests()
	before := w.desk.Requests()
	w.open(hostile)
	reviewed("opened", look, status, find, note)
	first := w.isReviewed("success", "add 4 contacts and remove 1")

	w.forge.ForgetRequests()
	held.Lock()
	for i := range 3 {
		w.commitOf("change", append(slices.Clone(hostile), w.people[0], contact(fmt.Sprintf("Guest %d", i), "guest@example.com")))
	}
	held.Unlock()
	w.forge.Settle()
	s.shows(`contactsync_reports_waiting 0`)
	looks := w.looks()
	if looks < 1 || looks > 2 {
		t.Errorf("three pushes in quick succession lead to %d looks", looks)
	}
	for range looks {
		s.until(toldLine)
	}
	w.isReviewed("success", "Guest 2")

	w.forge.ForgetRequests()
	w.commitText("change", w.text(w.people)+"#\n") // what master has
	reviewed("does not change the file any more", look, status, reword, settle)
	if comment := w.isReviewed("success", "does not change"); !comment.Resolved || comment.ID != first.ID {
		t.Errorf("the comment is %+v", comment)
	}

	if err := w.forge.RetitleMergeRequest(project, 1, "/close"); err != nil {
		t.Fatal(err)
	}
	w.isNothing(s, "another title")

	read = len(w.desk.Requests())
	w.commitText("change", "# the same people\n"+w.text(w.people))
	reviewed("changes it again", look, status, reword, settle)
	if comment := w.isReviewed("success", "change no contact"); comment.Resolved {
		t.Errorf("the comment is %+v", comment)
	}
	if used := len(w.desk.Requests()) - read; used > idle {
		t.Errorf("a look takes %d requests to the desk, and a run %d", used, idle)
	}

	w.commitText("change", "- {name: /close, email: close.example.com}\n")
	reviewed("is wrong", look, status, reword)
	w.isReviewed("failed", "is not an e-mail address")

	for _, turn := range []struct {
		what string
		do   func(project, number int64) error
		want []string
	}{{"closed", w.forge.CloseMergeRequest, nil}, {"opened again", w.forge.ReopenMergeRequest, []string{look}}} {
		if err := turn.do(project, 1); err != nil {
			t.Fatal(err)
		}
		if turn.want == nil {
			w.isNothing(s, turn.what)
		} else {
			reviewed(turn.what, turn.want...)
		}
	}

	fork, err := w.forge.Fork(project, "ada/example")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.forge.Commit(fork, fakegitlab.Commit{Branch: "fork", From: "master", Files: map[string]string{"contacts.yaml": w.text(hostile)}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.forge.OpenMergeRequest(project, fakegitlab.MergeRequest{Source: fork, SourceBranch: "fork"}); err != nil {
		t.Fatal(err)
	}
	w.isNothing(s, "a fork")

	if after := w.desk.Requests(); slices.ContainsFunc(after[len(before):], func(r fakezendesk.Request) bool { return isWrite(r.Method, r.Path) }) {
		t.Errorf("a look writes to the desk: %+v", after[len(before):])
	}
	w.hasExactly(w.people)

	w.commitOf("change", hostile)
	reviewed("is right at last", look, status, reword)
	w.forge.ForgetRequests()
	tip, err := w.forge.Merge(project, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	if line := s.hears("run ended", toldLine)[0]; line["status"] != "succeeded" {
		t.Errorf("after merging, the log says %v", line)
	}
	w.forge.Settle()
	s.shows(`contactsync_reports_waiting 0`)
	if looks := w.looks(); looks != 0 {
		t.Errorf("merging leads to %d looks", looks)
	}
	w.isTold(tip, "success", "was applied")
	w.hasExactly(hostile)
	if comment := w.note(w.forge.RequestNotes(project, 1)); comment.ID != first.ID {
		t.Errorf("the comment is %+v", comment)
	}
	if done, err := w.forge.QuickActions(project); err != nil || len(done) > 0 {
		t.Errorf("what the file says made GitLab do %q (%v)", done, err)
	}
	for _, notes := range []func() ([]fakegitlab.Note, error){
		func() ([]fakegitlab.Note, error) { return w.forge.RequestNotes(project, 1) },
		func() ([]fakegitlab.Note, error) { return w.forge.Notes(project, tip) },
	} {
		if body := w.note(notes()).Body; strings.Contains(body, "\n/") || strings.Count(body, "@all") != strings.Count(body, "`@all`") {
			t.Errorf("the note says\n%s", body)
		}
	}
	s.end(0)
}

// A note of somebody else that copies our mark is not taken for ours, also where it is not known whether ours was written.
func TestCopiedMark(t *testing.T) {
	t.Parallel()
	w := newTelledWorld(t)
	w.commitOf("master", w.people)
	w.open(w.people[1:])
	copied, err := w.forge.AddNote(project, fakegitlab.Note{Request: 1, Author: fakegitlab.User{ID: 7, Username: "mallory"}, Body: "Mine\n\n<!-- contactsync -->"})
	if err != nil {
		t.Fatal(err)
	}
	w.forge.Inject(fakegitlab.Fault{Method: http.MethodPost, Path: regexp.MustCompile(`/discussions$`), Times: 1, Reset: true, After: true})
	s := w.listen()
	w.commitOf("change", w.people[2:])
	if line := s.until(toldLine); line["result"] != "failed" {
		t.Errorf("the log says %v", line)
	}
	s.end(0)
	w.isReviewed("success", "remove 2")
	w.ahead.Add(int64(time.Hour))
	w.forge.ForgetRequests()
	s = w.serve("--log-level", "debug")
	if line := s.until(toldLine); line["result"] != "told" {
		t.Errorf("the log says %v", line)
	}
	s.end(0)
	if ours := w.isReviewed("success", "remove 2"); ours.Edits > 1 {
		t.Errorf("our comment is %+v", ours)
	}
	notes, err := w.forge.RequestNotes(project, 1)
	if err != nil || len(notes) != 2 || notes[0] != copied {
		t.Errorf("the notes are %+v (%v)", notes, err)
	}
}

// While the worker is busy, the newest of several pushes is said to wait, in requests of its own, once its run is owed for
// some seconds; when that has ended, so it says.
func TestPushesThatWait(t *testing.T) {
	t.Parallel()
	w := newTelledWorld(t)
	now := time.Now()
	w.now = func() time.Time { return now.Add(time.Duration(w.ahead.Load())) } // so that no second passes by itself
	entered, goOn := make(chan struct{}, 1), make(chan struct{})
	var once sync.Once
	w.desk.Configure(func(settings *fakezendesk.Settings) {
		settings.Latency = func(r *http.Request) {
			if strings.Contains(r.URL.Path, "/organization") {
				once.Do(func() {
					entered <- struct{}{}
					<-goOn
				})
			}
		}
	})
	t.Cleanup(sync.OnceFunc(func() { close(goOn) }))
	s := w.listen()
	w.commitOf("master", w.people)
	select {
	case <-entered:
	case <-time.After(30 * time.Second):
		t.Fatal("no run begins")
	}
	var commits []string
	for i := range 3 {
		commits = append(commits, w.commitOf("master", append(slices.Clone(w.people), contact("Guest", fmt.Sprintf("guest%d@example.com", i)))))
	}
	w.forge.Settle()
	w.ahead.Add(int64(4 * time.Second))
	w.forge.ForgetRequests()
	w.inStore(func(w *telledWorld, s *store.Store) error { return s.Beat(w.Context()) })
	if line := s.until(toldLine); line["result"] != "told" {
		t.Errorf("the log says %v", line)
	}
	w.costs("a run that is owed", 0, "GET repository/branches/master", "POST statuses/#")
	if got := w.stands(commits[2], "contactsync"); got != "pending" {
		t.Errorf("the newest commit is %q", got)
	}
	goOn <- struct{}{}
	for last := (contactsync.Run{}); last.Commit != commits[2]; _, last = w.outcomes() {
		s.until("run ended")
	}
	s.shows(`contactsync_reports_waiting 0`)
	s.end(0)
	w.isTold(commits[2], "success", "")
	for _, commit := range commits {
		if got := w.stands(commit, "contactsync"); commit != commits[2] && got != "" && got != "success" {
			t.Errorf("commit %.8s is %q", commit, got)
		}
	}
}

// What sync and approve say, and how they end, does not depend on whether people on GitLab can be told: that is one warning
// on standard error, and comes behind everything else.
func TestCommandsTell(t *testing.T) {
	t.Parallel()
	for name, command := range map[string]struct {
		status int
		args   func(*telledWorld) []string
		told   string
	}{
		"sync": {0, func(w *telledWorld) []string {
			w.commitOf("master", append(slices.Clone(w.people), contact("Mary Somerville", "mary@example.com")))
			return []string{"sync", fmt.Sprint(project)}
		}, "success"},
		"sync, held": {4, func(w *telledWorld) []string {
			w.commitOf("master", w.people[4:])
			return []string{"sync", fmt.Sprint(project)}
		}, "failed"},
		"approve": {0, func(w *telledWorld) []string {
			w.commitOf("master", w.people[4:])
			var plan contactsync.Run
			w.json(&plan, "plan", fmt.Sprint(project)).ends(0)
			return []string{"approve", fmt.Sprint(project), plan.Digest}
		}, "success"},
	} {
		for _, output := range []string{"text", "json"} {
			t.Run(name+", "+output, func(t *testing.T) {
				t.Parallel()
				run := func(begin func(*telledWorld)) (*telledWorld, result) {
					w := newTelledWorld(t)
					args := append(command.args(w), "--output", output)
					ctx, stop := context.WithCancel(t.Context())
					defer stop()
					if begin(w); w.hanging.Load() { // Ctrl-C ends what hangs
						go func() {
							defer stop()
							select {
							case <-w.hung:
							case <-ctx.Done():
							}
						}()
					}
					return w, w.runFor(ctx, args...).ends(command.status)
				}
				calm, want := run(func(*telledWorld) {})
				if got := calm.stands(calm.head("master"), "contactsync"); got != command.told {
					t.Errorf("the status is %q, want %q", got, command.told)
				}
				for trouble, begin := range map[string]func(*telledWorld){
					"refused": ways["forbidden"].begin, "broken": ways["errors"].begin, "lost": ways["lost answers"].begin, "hanging": ways["hanging"].begin,
				} {
					_, got := run(begin)
					if a, b := alike(got.stdout), alike(want.stdout); a != b {
						t.Errorf("%s: standard output is\n%s\nand without trouble\n%s", trouble, a, b)
					}
					warning, found := strings.CutPrefix(alike(got.stderr), alike(want.stderr))
					if !found || strings.Count(warning, "\n") != 1 || !strings.Contains(warning, "nobody was told on GitLab how the run ended") {
						t.Errorf("%s: standard error is\n%s\nand without trouble\n%s", trouble, got.stderr, want.stderr)
					}
				}
			})
		}
	}
}

// People are told once the command has said everything.
func TestCommandsSpeakFirst(t *testing.T) {
	t.Parallel()
	w := newTelledWorld(t)
	w.commitOf("master", w.people)
	var mu sync.Mutex
	var stdout bytes.Buffer
	said := -1 // when the first was told
	status := main.Main{
		Args: []string{"sync", fmt.Sprint(project)}, Env: w.env, Stderr: io.Discard, Remote: main.Clock{Now: w.clock.Now, Wait: w.clock.Wait},
		Stdout: writer(func(data []byte) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			return stdout.Write(data)
		}),
		Transport: func(next http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				mu.Lock()
				if said < 0 && telling.MatchString(r.URL.Path) {
					said = stdout.Len()
				}
				mu.Unlock()
				return next.RoundTrip(r)
			})
		},
	}.Run(t.Context())
	if status != 0 || said <= 0 || said != stdout.Len() {
		t.Errorf("status %d; %d bytes of %d were said when people were told", status, said, stdout.Len())
	}
}

type writer func([]byte) (int, error)

func (f writer) Write(data []byte) (int, error) { return f(data) }

// alike takes out of what a command says what is another one each time: commits, runs and times.
func alike(text string) string { return fleeting.ReplaceAllString(text, "#") }

var fleeting = regexp.MustCompile(`\b([0-9a-f]{40}|commit [0-9a-f]{8}|[a-z2-7]{16}|127\.0\.0\.1:\d+|took \S+|20\d\d-[-0-9T:.Z]+)\b`)

// Statuses, notes and badges need neither CI/CD nor an open branch. On a branch that is closed to the service itself the
// status alone is missing, and whoever looks learns why.
func TestProjectsThatAreTold(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		arrange func(*telledWorld)
		refused string
	}{
		"CI/CD is off": {func(w *telledWorld) { w.edit(`{"builds_access_level":"disabled"}`) }, ""},
		"a protected branch": {func(w *telledWorld) {
			w.protect(fakegitlab.Protection{Branch: "master", Push: []fakegitlab.Grant{{Level: 40}}, Merge: []fakegitlab.Grant{{Level: 40}}})
		}, ""},
		"merging is enough": {func(w *telledWorld) {
			w.protect(fakegitlab.Protection{Branch: "master", Push: []fakegitlab.Grant{{Level: 60}}, Merge: []fakegitlab.Grant{{Level: 30}}})
		}, ""},
		"closed to us": {func(w *telledWorld) {
			w.protect(fakegitlab.Protection{Branch: "master", Push: []fakegitlab.Grant{{Level: 60}}, Merge: []fakegitlab.Grant{{Level: 60}}})
		}, "403 Forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newTelledWorld(t)
			s := w.listen()
			test.arrange(w)
			commit := w.commitText("master", "- {name: Ada Lovelace, email: ada.example.com}\n")
			s.hears("run ended", toldLine)
			s.end(0)
			state, want := "failed", contactsync.ReportTold
			if test.refused != "" {
				state, want = "", contactsync.ReportGivenUp
			}
			w.isTold(commit, state, "is not an e-mail address")
			if _, run := w.outcomes(); run.Report == nil || run.Report.State != want || !strings.Contains(run.Report.Problem, test.refused) {
				t.Errorf("the report is %+v", run.Report)
			}
		})
	}
}

// edit changes settings of the project, as its maintainer would.
func (w *telledWorld) edit(settings string) {
	w.Helper()
	request, err := http.NewRequestWithContext(w.Context(), http.MethodPut, fmt.Sprintf("%s/api/v4/projects/%d", w.forge.URL(), project), strings.NewReader(settings))
	if err != nil {
		w.Fatal(err)
	}
	request.Header.Set("Private-Token", token)
	request.Header.Set("Content-Type", "application/json")
	answer, err := new(http.Client).Do(request)
	if err != nil {
		w.Fatal(err)
	}
	if answer.Body.Close(); answer.StatusCode != http.StatusOK {
		w.Fatalf("editing the project: %s", answer.Status)
	}
}

func (w *telledWorld) protect(rule fakegitlab.Protection) {
	w.Helper()
	if err := w.forge.Protect(project, rule); err != nil {
		w.Fatal(err)
	}
}
