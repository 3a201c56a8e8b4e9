package main_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"contactsync"
	fakegitlab "contactsync/internal/fakes/gitlab"
	fakezendesk "contactsync/internal/fakes/zendesk"
)

const homeGroup = "support/zd-global-orgs"

// home is a world in which projects are made: a group for them, an organization without a project, and a receiver that
// takes every delivery.
type home struct {
	*world
	delivered atomic.Int64
	refusing  atomic.Bool
	wanted    atomic.Value // the token that deliveries must carry; none takes every delivery
	receiver  string
}

func newHome(t testing.TB, change func(*fakegitlab.Options)) *home {
	t.Helper()
	options := fakegitlab.Options{Dir: t.TempDir(), Token: token, Access: fakegitlab.Owner}
	if change != nil {
		change(&options)
	}
	forge, err := fakegitlab.New(options)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(forge)
	t.Cleanup(forge.Close)
	t.Cleanup(server.Close)
	forge.SetURL(server.URL)
	if _, err := forge.AddGroup(homeGroup); err != nil {
		t.Fatal(err)
	}
	h := &home{world: newWorldAround(t, forge)}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if wanted := h.wanted.Load(); h.refusing.Load() || wanted != nil && wanted != r.Header.Get("X-Gitlab-Token") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.delivered.Add(1)
		w.WriteHeader(http.StatusAccepted)
	}))
	t.Cleanup(receiver.Close)
	h.receiver = receiver.URL
	h.set("CONTACTSYNC_WEBHOOK_URL="+receiver.URL, "CONTACTSYNC_WEBHOOK_TOKEN="+hookToken, "CONTACTSYNC_GITLAB_GROUP="+homeGroup)
	h.org = h.desk.AddOrganization(fakezendesk.Organization{Name: "Engines"})
	h.member("Ada Lovelace", "ada@example.com")
	h.member("Alan Turing", "alan@example.com")
	h.subscribed(nil)
	return h
}

// procedure is the document, as programs see it.
type procedure struct {
	contactsync.Procedure
	Requests contactsync.Requests `json:"requests"`
	Error    *contactsync.Failure `json:"error"`
}

func (p procedure) states() string {
	var states []string
	for _, s := range p.Steps {
		states = append(states, string(s.State))
	}
	return strings.Join(states, " ")
}

func (p procedure) told() string {
	var lines []string
	for _, s := range p.Steps {
		lines = append(lines, fmt.Sprintf("%s %s: %s", s.State, s.Name, strings.Join(s.Details, " / ")))
	}
	return strings.Join(lines, "\n")
}

func (h *home) setup(more ...string) (procedure, result) {
	h.Helper()
	var document procedure
	args := append([]string{"setup", "--organization", fmt.Sprint(h.org), "--maintainers", "ada@example.com,grace@example.com",
		"--requester", "ada@example.com", "--attest", "authorized=order 4711"}, more...)
	return document, h.json(&document, args...)
}

// Setting up makes everything that a project needs, and a second time finds everything there.
func TestSetup(t *testing.T) {
	t.Parallel()
	h := newHome(t, nil)
	first, got := h.setup()
	if got.status != 0 || first.State != contactsync.ProcedureDone {
		t.Fatalf("status %d\n%s\n%s%s", got.status, first.told(), got.stdout, got.stderr)
	}
	t.Logf("%s\n%+v", first.told(), first.Requests)
	if first.Requests.GitLab > 40 {
		t.Errorf("took %d requests to GitLab, at most 40 are allowed", first.Requests.GitLab)
	}
	second, got := h.setup()
	if got.status != 0 || slices.ContainsFunc(second.Steps, func(s contactsync.StepResult) bool { return s.State == contactsync.StepDone }) {
		t.Fatalf("status %d\n%s\n%s%s", got.status, second.told(), got.stdout, got.stderr)
	}
	t.Logf("%s\n%+v", second.told(), second.Requests)
}
