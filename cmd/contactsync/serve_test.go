package main_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"contactsync"
	main "contactsync/cmd/contactsync"
	fakegitlab "contactsync/internal/fakes/gitlab"
	fakezendesk "contactsync/internal/fakes/zendesk"
	"contactsync/internal/postgrestest"
	"contactsync/store"
)

const hookToken = "token-of-the-hooks"

// service is contactsync serve in this process.
type service struct {
	w     *world
	url   string
	stop  context.CancelFunc
	ended chan int
	lines chan map[string]any // of its log
	log   strings.Builder     // what was read of them
}

// serve starts the service, and returns once it takes hooks.
func (w *world) serve(flags ...string) *service {
	w.Helper()
	ctx, stop := context.WithCancel(context.Background())
	reader, writer := io.Pipe()
	s := &service{w: w, stop: stop, ended: make(chan int, 1), lines: make(chan map[string]any, 10000)}
	env := append([]string{"CONTACTSYNC_WEBHOOK_TOKEN=" + hookToken, "CONTACTSYNC_WEBHOOK_LISTEN=127.0.0.1:0"}, w.env...)
	go func() {
		s.ended <- main.Main{
			Args: append([]string{"serve"}, flags...), Env: env, Stdout: writer, Stderr: writer, Now: w.now,
			Remote: main.Clock{Now: w.clock.Now, Wait: w.clock.Wait}, Transport: w.transport,
		}.Run(ctx)
		writer.Close()
	}()
	go func() {
		defer close(s.lines)
		for scanner := bufio.NewScanner(reader); scanner.Scan(); {
			var line map[string]any
			if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
				line = map[string]any{"msg": "no JSON: " + scanner.Text()}
			}
			s.lines <- line
		}
	}()
	w.Cleanup(func() { s.end(0) })
	s.url = "http://" + fmt.Sprint(s.until("serving")["address"])
	return s
}

// until reads the log up to a message.
func (s *service) until(message string) map[string]any {
	s.w.Helper()
	return s.hears(message)[0]
}

// hears reads the log until all messages have come, in whatever order, and returns their lines.
func (s *service) hears(messages ...string) []map[string]any {
	s.w.Helper()
	limit := time.After(30 * time.Second)
	heard := make([]map[string]any, len(messages))
	for left := len(messages); left > 0; {
		select {
		case line, more := <-s.lines:
			if !more {
				s.w.Fatalf("the service ended and never said all of %q:\n%s", messages, s.log.String())
			}
			text := s.keep(line)
			if strings.HasPrefix(fmt.Sprint(line["msg"]), "no JSON") || strings.Contains(text, secret) || strings.Contains(text, hookToken) {
				s.w.Errorf("a line of the log is no JSON, or tells a secret: %s", text)
			}
			for i, message := range messages {
				if heard[i] == nil && line["msg"] == message {
					heard[i] = line
					left--
					break
				}
			}
		case <-limit:
			s.w.Fatalf("the service never said all of %q:\n%s", messages, s.log.String())
		}
	}
	return heard
}

// rest reads what the log of a service that has ended still holds, and returns all of it.
func (s *service) rest() string {
	s.w.Helper()
	for line := range s.lines {
		s.keep(line)
	}
	return s.log.String()
}

func (s *service) keep(line map[string]any) string {
	text, _ := json.Marshal(line) //nolint:errchkjson // it was read as JSON
	s.log.Write(append(text, '\n'))
	return string(text)
}

// end tells the service to end, and checks the exit status. It is safe to call twice.
func (s *service) end(status int) {
	s.w.Helper()
	s.stop()
	select {
	case got := <-s.ended:
		s.ended <- got
		if got != status {
			s.w.Errorf("the service ended with status %d, want %d", got, status)
		}
	case <-time.After(40 * time.Second):
		s.w.Error("the service does not end")
	}
}

// get asks an address of the service.
func (s *service) get(path string) (int, string) {
	s.w.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.url+path, nil)
	if err != nil {
		s.w.Fatal(err)
	}
	answer, err := new(http.Client).Do(request)
	if err != nil {
		s.w.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		s.w.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

func (s *service) hook() {
	s.w.Helper()
	if _, err := s.w.forge.AddHook(project, fakegitlab.Hook{URL: s.url + "/hooks/gitlab", Token: hookToken, BranchFilter: "master"}); err != nil {
		s.w.Fatal(err)
	}
}

// A push leads to a run, on either store, and the history and the metrics tell of it.
func TestServe(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]func(testing.TB) string{"SQLite": nil, "PostgreSQL": postgrestest.New} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if address != nil {
				w.set("CONTACTSYNC_STORE=" + address(t))
			}
			w.member("Ada Lovelace", "ada@example.com")
			s := w.serve()
			s.hook()
			w.push([]contactsync.Contact{contact("Ada Lovelace", "ada@example.com"), contact("Mary Somerville", "mary@example.com")})
			line := s.until("run ended")
			if line["status"] != "succeeded" || fmt.Sprint(line["project"]) != fmt.Sprint(project) || line["run"] == nil || line["trigger"] != "hook" {
				t.Errorf("the log says %v", line)
			}
			w.hasExactly([]contactsync.Contact{contact("Ada Lovelace", "ada@example.com"), contact("Mary Somerville", "mary@example.com")})
			w.run("runs").ends(0).says("hook", "succeeded", "1 created")
			if status, body := s.get("/healthz"); status != http.StatusOK {
				t.Errorf("/healthz: %d %s", status, body)
			}
			if status, body := s.get("/readyz"); status != http.StatusOK {
				t.Errorf("/readyz: %d %s", status, body)
			}
			_, metrics := s.get("/metrics")
			for _, want := range []string{
				`contactsync_deliveries_total{address="hook",answer="accepted"} 1`,
				`contactsync_runs_total{class="none",status="succeeded",trigger="hook"} 1`,
				"contactsync_store_up 1", "contactsync_desk_requests_left",
			} {
				if !strings.Contains(metrics, want) {
					t.Errorf("/metrics does not say %s", want)
				}
			}
			s.end(0)
		})
	}
}

// The original's hooks need only another host.
func TestServeTakesTheOriginalTrigger(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.set("CONTACTSYNC_WEBHOOK_TRIGGER_TOKEN=" + hookToken)
	w.member("Ada Lovelace", "ada@example.com")
	s := w.serve()
	hook := fakegitlab.Hook{
		URL:       s.url + "/api/v4/projects/39250741/ref/master/trigger/pipeline?token={TOKEN}&variables[PROJECT_ID]=" + fmt.Sprint(project),
		Variables: map[string]string{"TOKEN": hookToken},
	}
	if _, err := w.forge.AddHook(project, hook); err != nil {
		t.Fatal(err)
	}
	w.push([]contactsync.Contact{contact("Ada Lovelace", "ada@example.com")})
	if line := s.until("run ended"); line["status"] != "unchanged" {
		t.Errorf("the log says %v", line)
	}
	s.end(0)
	if strings.Contains(s.log.String(), "token=") {
		t.Errorf("the log has an address with a token:\n%s", s.log.String())
	}
}

// What failed is tried again by itself, and seen until it is well; the history narrows by time.
func TestServeTriesAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.member("Ada Lovelace", "ada@example.com")
	s := w.serve()
	s.hook()
	w.desk.Inject(fakezendesk.Fault{Kind: fakezendesk.Error500Before, Match: func(r *http.Request, _ int) bool {
		return strings.Contains(r.URL.Path, "organization_memberships")
	}})
	w.push([]contactsync.Contact{contact("Ada Lovelace", "ada@example.com")})
	if line := s.until("run ended"); line["class"] != "desk_unreadable" {
		t.Errorf("the log says %v", line)
	}
	w.run("runs").ends(0).says("retrying", "desk_unreadable")
	var document runsDocument
	w.json(&document, "runs", fmt.Sprint(project)).ends(0)
	if len(document.Projects) != 1 || document.Projects[0].State != store.StateRetrying || document.Projects[0].Project != "101" || document.Projects[0].RetryAt.IsZero() {
		t.Errorf("the projects are %+v", document.Projects)
	}
	w.desk.ClearFaults()
	w.run("sync", fmt.Sprint(project)).ends(0)
	w.json(&document, "runs").ends(0)
	if len(document.Projects) != 0 || len(document.Runs) != 2 {
		t.Errorf("after a sync by hand: %+v", document)
	}
	w.json(&document, "runs", "--until", "2001-01-01").ends(0)
	if len(document.Runs) != 0 {
		t.Errorf("before 2001 there were %d runs", len(document.Runs))
	}
	w.run("runs", "--until", "tomorrow").ends(2).says("--until")
}

// Configuration that is missing ends the service. Credentials that are refused, and a system that does not answer, are
// named at once and keep nobody from taking hooks; the service is not ready then.
func TestServeChecksAtStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.env = nil
	w.run("serve").ends(2).says("CONTACTSYNC_GITLAB_TOKEN", "CONTACTSYNC_ZENDESK_CLIENT_SECRET", "CONTACTSYNC_WEBHOOK_SIGNING_TOKEN")

	w = newWorld(t)
	w.set("CONTACTSYNC_GITLAB_TOKEN=wrong", "CONTACTSYNC_ZENDESK_CLIENT_SECRET=wrong")
	s := w.serve()
	for _, want := range []string{"refuses the token", "desk_unauthorized", `"system":"desk"`, `"system":"gitlab"`} {
		if !strings.Contains(s.log.String(), want) {
			t.Errorf("the log does not say %s:\n%s", want, s.log.String())
		}
	}
	if status, body := s.get("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz with refused credentials: %d %s", status, body)
	}

	// What it warns of is in its log like everything else: until fails for a line that is no JSON.
	w = newWorldWithToken(t, "agent@example.com", secret)
	w.set("CONTACTSYNC_GITLAB_URL=http://127.0.0.1:1")
	s = w.serve()
	if status, body := s.get("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "gitlab") {
		t.Errorf("/readyz: %d %s", status, body)
	}
	if !strings.Contains(s.log.String(), "does not let us in") {
		t.Errorf("the log does not say that GitLab cannot be reached:\n%s", s.log.String())
	}
}

// What keeps people from being told on GitLab is said once at the start, with what to do, and keeps nothing from working.
func TestServeWarnsAtStart(t *testing.T) {
	t.Parallel()
	const mute, badge = "may not write there", "no project gets its badge"
	reading := func(o *fakegitlab.Options) { o.Scopes = []string{"read_api", "read_repository"} }
	for name, test := range map[string]struct {
		scopes      func(*fakegitlab.Options)
		env         []string
		mute, badge int
	}{
		"nothing set":         {nil, nil, 0, 1},
		"address of badges":   {nil, []string{"CONTACTSYNC_REPORT_BADGE_URL=https://sync.example.com"}, 0, 0},
		"address of hooks":    {nil, []string{"CONTACTSYNC_WEBHOOK_URL=https://sync.example.com"}, 0, 0},
		"own pictures":        {nil, []string{"CONTACTSYNC_REPORT_BADGE=pictures"}, 0, 0},
		"no badge":            {nil, []string{"CONTACTSYNC_REPORT_BADGE=off"}, 0, 0},
		"token that reads":    {reading, nil, 1, 1},
		"nobody is told":      {reading, silent, 0, 0},
		"token that is wrong": {nil, []string{"CONTACTSYNC_GITLAB_TOKEN=wrong"}, 0, 1}, // that is said already
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorldAround(t, newForge(t, func(o *fakegitlab.Options) {
				if test.scopes != nil {
					test.scopes(o)
				}
			}))
			w.set(test.env...)
			s := w.serve()
			log := s.log.String()
			if strings.Count(log, mute) != test.mute || strings.Count(log, badge) != test.badge {
				t.Errorf("the log says:\n%s", log)
			}
			if test.mute > 0 && (!strings.Contains(log, "scope api") || !strings.Contains(log, "role Maintainer")) {
				t.Errorf("the log has no remedy:\n%s", log)
			}
			if test.badge > 0 && !strings.Contains(log, "report.badge_url") {
				t.Errorf("the log has no remedy:\n%s", log)
			}
			if status, body := s.get("/readyz"); name != "token that is wrong" && status != http.StatusOK {
				t.Errorf("/readyz: %d %s", status, body)
			}
			s.end(0)
		})
	}
}

// Two services on one SQLite store would fight over it, so the second says so, and an address that is taken is named.
func TestServeAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.serve()
	w.set("CONTACTSYNC_WEBHOOK_TOKEN="+hookToken, "CONTACTSYNC_WEBHOOK_LISTEN=127.0.0.1:0")
	w.run("serve").ends(2).says("another process works on this store")
	w.set("CONTACTSYNC_WEBHOOK_LISTEN=" + strings.TrimPrefix(s.url, "http://"))
	w.run("serve").ends(2).says("address already in use", "webhook.listen")
}

// Pushes that GitLab could not deliver, until it disabled the hook, are made good, and the hook is enabled again.
func TestServeMakesGoodWhatNeverArrived(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.member("Ada Lovelace", "ada@example.com")
	ada, mary := contact("Ada Lovelace", "ada@example.com"), contact("Mary Somerville", "mary@example.com")
	w.push([]contactsync.Contact{ada})
	w.run("sync", fmt.Sprint(project)).ends(0) // from now on the link is known

	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	hook := fakegitlab.Hook{URL: "http://" + address + "/hooks/gitlab", Token: hookToken, BranchFilter: "master"}
	if _, err := w.forge.AddHook(project, hook); err != nil {
		t.Fatal(err)
	}
	if err := listener.Close(); err != nil { // nobody is there any more
		t.Fatal(err)
	}
	for range 4 {
		w.push([]contactsync.Contact{ada, mary})
		w.push([]contactsync.Contact{ada})
	}
	w.push([]contactsync.Contact{ada, mary})
	w.forge.Settle()

	w.set("CONTACTSYNC_WEBHOOK_LISTEN="+address, "CONTACTSYNC_WEBHOOK_URL=http://"+address)
	s := w.serve()
	s.until("GitLab has disabled a hook; a test delivery is sent to enable it")
	s.until("the hook is enabled again")
	if line := s.until("run ended"); line["status"] != "succeeded" && line["status"] != "unchanged" {
		t.Errorf("the log says %v", line)
	}
	w.hasExactly([]contactsync.Contact{ada, mary})
}
