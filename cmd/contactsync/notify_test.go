package main_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"contactsync/config"
	fakegitlab "contactsync/internal/fakes/gitlab"
	fakezendesk "contactsync/internal/fakes/zendesk"
)

// chat takes messages, at an address that is a secret.
type chat struct {
	*httptest.Server
	address string
	status  int // of its answers; 0: 200

	mu       sync.Mutex
	keys     []string
	messages []string
	came     chan struct{}
}

const chatPath = "/services/s3cret"

func newChat(t testing.TB) *chat {
	t.Helper()
	c := &chat{came: make(chan struct{}, 100)}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != chatPath {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		c.mu.Lock()
		c.keys, c.messages = append(c.keys, r.Header.Get("Idempotency-Key")), append(c.messages, string(body))
		c.mu.Unlock()
		if c.status != 0 {
			w.WriteHeader(c.status)
		}
		c.came <- struct{}{}
	}))
	t.Cleanup(c.Close)
	c.address = c.URL + chatPath
	return c
}

func (c *chat) told() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.keys)
}

type told struct {
	Told    bool
	Targets []struct {
		Target  string
		OK      bool
		Problem string
	}
}

// The test tells every target one message, and says which of them took it without telling an address. The check of the
// configuration lists them and tells nobody.
func TestNotifyTest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.run("notify", "test").ends(2).says("notify names nobody", "notify.slack")
	good, bad := newChat(t), newChat(t)
	bad.status = http.StatusNotFound
	ticket := w.desk.AddTicket(fakezendesk.Ticket{Subject: "What contactsync needs", Organization: w.org})
	w.set("CONTACTSYNC_NOTIFY_SLACK="+good.address+","+good.address, "CONTACTSYNC_NOTIFY_JSON="+good.address)
	var document checked
	w.json(&document, "config", "check").ends(0)
	w.run("config", "check").ends(0).says("notify   ok", "slack#1, slack#2, json#1", "contactsync notify test").keepsQuietOf("s3cret", good.URL)
	if n := len(good.told()); n != 0 || len(document.Checks) != 5 {
		t.Errorf("the check told %d, and lists %+v", n, document.Checks)
	}
	w.run("notify", "test").ends(0).says("slack#1", "slack#2", "json#1", "told").keepsQuietOf("failed", "s3cret", good.URL)
	if keys := good.told(); len(keys) != 3 || !strings.HasPrefix(keys[0], "test/") || keys[0] != keys[2] {
		t.Errorf("told were %q", keys)
	}
	for _, message := range good.messages {
		if !strings.Contains(message, "This is a test") {
			t.Errorf("the message is %s", message)
		}
	}
	w.set("CONTACTSYNC_NOTIFY_MATTERMOST="+bad.address, fmt.Sprintf("CONTACTSYNC_NOTIFY_TICKET=%d", ticket))
	var result told
	w.json(&result, "notify", "test").ends(1).keepsQuietOf("s3cret", bad.URL)
	problems := map[string]string{}
	for _, target := range result.Targets {
		if problems[target.Target] = target.Problem; target.OK != (target.Problem == "") {
			t.Errorf("%+v", target)
		}
	}
	if result.Told || len(problems) != 5 || problems["mattermost#1"] != "it answers 404" || problems["ticket"] != "" {
		t.Errorf("%+v", result)
	}
	w.run("notify", "test").ends(1).says("mattermost#1", "failed: it answers 404").keepsQuietOf("s3cret", bad.URL)
	after, _ := w.desk.Ticket(ticket)
	if len(after.Comments) != 2 || after.Comments[0].Public || !strings.Contains(after.Comments[0].Body, "This is a test") {
		t.Errorf("the ticket has the comments %+v", after.Comments)
	}
	w.isClean()
	w.env = slices.DeleteFunc(w.env, func(pair string) bool { return strings.HasPrefix(pair, "CONTACTSYNC_ZENDESK_CLIENT_SECRET") })
	w.run("notify", "test").ends(2).says("zendesk.client_secret is missing")
	w.set("CONTACTSYNC_NOTIFY_SLACK=http://hooks.example.com" + chatPath)
	w.run("notify", "test").ends(2).says("CONTACTSYNC_NOTIFY_SLACK", "https://").keepsQuietOf("s3cret")
}

// shows returns once the metrics have a line.
func (s *service) shows(line string) {
	s.w.Helper()
	var body string
	for limit := time.Now().Add(30 * time.Second); time.Now().Before(limit); {
		if _, body = s.get("/metrics"); strings.Contains(body, "\n"+line+"\n") {
			return
		}
	}
	s.w.Fatalf("/metrics never said %s:\n%s", line, body)
}

// The service tells once what needs a person, through the chat and in the ticket, and a later process does not tell it
// again. How that fares is in the metrics.
func TestServeTellsOperators(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	list := w.members(10)
	w.push(list[:1])
	w.run("sync", fmt.Sprint(project)).ends(4)
	chat := newChat(t)
	ticket := w.desk.AddTicket(fakezendesk.Ticket{Subject: "What contactsync needs", Organization: w.org})
	w.set("CONTACTSYNC_NOTIFY_SLACK="+chat.address, fmt.Sprintf("CONTACTSYNC_NOTIFY_TICKET=%d", ticket))
	for range 2 {
		s := w.serve()
		s.hook()
		if len(chat.told()) == 0 {
			select {
			case <-chat.came:
			case <-time.After(30 * time.Second):
				t.Fatalf("nobody is told:\n%s", s.log.String())
			}
			s.shows(`contactsync_notices_total{event="held",result="sent",target="slack"} 1`)
			s.shows(`contactsync_notices_total{event="held",result="sent",target="ticket"} 1`)
		}
		w.push(list[:1]) // whatever is told, a hook leads to a run
		s.until("run ended")
		s.shows(`contactsync_notices_waiting 0`)
		s.end(0)
		if text := s.log.String(); strings.Contains(text, "s3cret") || strings.Contains(text, chat.URL) {
			t.Errorf("the log tells an address:\n%s", text)
		}
	}
	if keys := chat.told(); len(keys) != 1 || !strings.HasPrefix(keys[0], "held/101/") {
		t.Errorf("told were %q", keys)
	}
	if after, _ := w.desk.Ticket(ticket); len(after.Comments) != 1 || after.Comments[0].Public {
		t.Errorf("the ticket has the comments %+v", after.Comments)
	}
	w.isClean()
}

// A token of GitLab is told of some days before its end, and an API token, which Zendesk retires, a month.
func TestServeTellsWhenCredentialsEnd(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		day  time.Time // of the service
		ends time.Time // the token of GitLab
		want string
	}{
		"Zendesk": {time.Date(2027, 4, 10, 12, 0, 0, 0, time.UTC), time.Time{}, "credential_expires/desk/2027-04-30/30d"},
		"GitLab":  {time.Date(2027, 1, 10, 12, 0, 0, 0, time.UTC), time.Date(2027, 1, 12, 0, 0, 0, 0, time.UTC), "credential_expires/gitlab/2027-01-12/3d"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ahead := time.Until(test.day)
			forge := newForge(t, func(o *fakegitlab.Options) { o.TokenExpires = test.ends })
			w := newWorldOf(t, forge, fakezendesk.Options{Email: "agent@example.com", Token: secret},
				"CONTACTSYNC_ZENDESK_EMAIL=agent@example.com", "CONTACTSYNC_ZENDESK_TOKEN="+secret)
			w.now = func() time.Time { return time.Now().Add(ahead) }
			chat := newChat(t)
			w.set("CONTACTSYNC_NOTIFY_GOOGLE_CHAT=" + chat.address)
			s := w.serve()
			select {
			case <-chat.came:
			case <-time.After(30 * time.Second):
				t.Fatalf("nobody is told:\n%s", s.log.String())
			}
			s.end(0)
			if keys := chat.told(); len(keys) != 1 || keys[0] != test.want {
				t.Errorf("told were %q, want %q", keys, test.want)
			}
		})
	}
}

// Every format that can be configured has a target of its own name.
func TestNotifyFormats(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var want []string
	for _, key := range config.Reference() {
		if name, ok := strings.CutPrefix(key.Path, "notify."); ok && key.Secret {
			chat := newChat(t)
			w.set(key.Variable + "_FILE=" + filepath.Join(w.dir, name))
			if err := os.WriteFile(filepath.Join(w.dir, name), []byte(chat.address+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			want = append(want, name+"#1")
		}
	}
	var result told
	w.json(&result, "notify", "test").ends(0)
	var got []string
	for _, target := range result.Targets {
		got = append(got, target.Target)
	}
	if !slices.Equal(got, want) || len(want) != 4 {
		t.Errorf("the targets are %q, want %q", got, want)
	}
}
