package main_test

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"contactsync"
	fakegitlab "contactsync/internal/fakes/gitlab"
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
	var text strings.Builder
	for _, c := range list {
		fmt.Fprintf(&text, "- name: %q\n  email: %q\n", c.Name, c.Email)
	}
	return w.commitText(branch, text.String())
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
				if way.state == contactsync.ReportWaiting {
					s.shows(`contactsync_reports_waiting 1`)
					s.shows(`contactsync_reports_given_up 0`)
				} else {
					s.shows(`contactsync_reports_waiting 0`)
					s.shows(`contactsync_reports_given_up 1`)
				}
				if !w.hanging.Load() {
					if line := s.until(toldLine); line["result"] != "failed" || line["class"] == nil || line["remedy"] == nil || line["level"] != "WARN" {
						t.Errorf("the log says %v", line)
					}
				}
			})
			if !slices.Equal(got, undisturbed) {
				t.Errorf("runs end as\n%+v, and without trouble as\n%+v", got, undisturbed)
			}
			if last.Report == nil || last.Report.State != way.state || !strings.Contains(last.Report.Problem, way.problem) || way.problem == "" && last.Report.Problem != "" {
				t.Errorf("the history has the report %+v", last.Report)
			}
			words := map[contactsync.ReportState]string{contactsync.ReportWaiting: "still to be told on GitLab", contactsync.ReportGivenUp: "could not be told on GitLab"}
			w.run("runs", "show", last.ID).ends(0).says(words[way.state], way.problem)
			if way.never {
				return
			}
			w.recovers(last, len(got))
		})
	}
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
	for _, c := range append(slices.Clone(w.people), list...) {
		for _, text := range []string{c.Name, string(c.Email), "Ada Lovelace"} {
			if strings.Contains(s.log.String(), text) {
				w.Errorf("the log tells %q:\n%s", text, s.log.String())
			}
		}
	}
	if all, last = w.outcomes(); last.Commit != wrong {
		w.Errorf("the last run read %s, want %s", last.Commit, wrong)
	}
	return all, last
}
