package gitlab_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"contactsync/internal/fakes/gitlab"
)

// delivery is a hook as its receiver sees it.
type delivery struct {
	path   string
	header http.Header
	raw    []byte
	body   map[string]any
}

// receiver takes hooks and answers with the status.
func receiver(t *testing.T, status int) (address string, deliveries chan delivery) {
	t.Helper()
	deliveries = make(chan delivery, 16)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		d := delivery{path: r.URL.RequestURI(), header: r.Header, raw: raw}
		if err := json.Unmarshal(raw, &d.body); err != nil {
			t.Error(err)
		}
		deliveries <- d
		w.WriteHeader(status)
		io.WriteString(w, "thanks")
	}))
	t.Cleanup(server.Close)
	return server.URL, deliveries
}

// TestHookDelivery guards the documented push hook: its headers, its body, its signature, and the record of it.
func TestHookDelivery(t *testing.T) {
	h := newHouse(t, nil)
	id := h.project(t, "support/one")
	address, deliveries := receiver(t, 202)
	key := make([]byte, 32)
	signing := "whsec_" + base64.StdEncoding.EncodeToString(key)
	status, answer := h.call(t, "POST", fmt.Sprintf("/projects/%d/hooks", id), map[string]any{
		"url": address + "/{PATH}?token={TOKEN}", "token": "secret", "signing_token": signing,
		"push_events_branch_filter": "ma*",
		"url_variables":             []map[string]string{{"key": "PATH", "value": "hooks"}, {"key": "TOKEN", "value": "s3cret"}},
		"custom_headers":            []map[string]string{{"key": "X-Mine", "value": "yes"}, {"key": "X-Gitlab-Event", "value": "no"}},
	})
	if status != 201 {
		t.Fatalf("creating the hook answered %d %v", status, answer)
	}
	if text := fmt.Sprint(answer); strings.Contains(text, "secret") || strings.Contains(text, "s3cret") || strings.Contains(text, signing) {
		t.Errorf("the answer tells secrets: %s", text)
	}

	first := h.commit(t, id, gitlab.Commit{Files: map[string]string{"contacts.yaml": "1", "old": "1"}, Message: "Start\n\nBody"})
	<-deliveries
	second := h.commit(t, id, gitlab.Commit{Files: map[string]string{"contacts.yaml": "2", "new": "1"}, Deleted: []string{"old"}, Message: "Change"})
	got := <-deliveries
	h.commit(t, id, gitlab.Commit{Branch: "other", Files: map[string]string{"a": "1"}})
	h.Settle()
	if len(deliveries) != 0 {
		t.Error("a branch that the filter keeps out was delivered")
	}

	if got.path != "/hooks?token=s3cret" {
		t.Errorf("delivered to %s", got.path)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "GitLab/" + gitlab.Version, "X-Gitlab-Event": "Push Hook",
		"X-Gitlab-Instance": h.url, "X-Gitlab-Token": "secret", "X-Mine": "yes",
	} {
		if got.header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.header.Get(name), want)
		}
	}
	if got.header.Get("Idempotency-Key") == "" || got.header.Get("Idempotency-Key") != got.header.Get("webhook-id") {
		t.Errorf("the idempotency key is %q and the webhook-id %q", got.header.Get("Idempotency-Key"), got.header.Get("webhook-id"))
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", got.header.Get("webhook-id"), got.header.Get("webhook-timestamp"), got.raw)
	if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); got.header.Get("webhook-signature") != want {
		t.Errorf("the signature is %q, want %q", got.header.Get("webhook-signature"), want)
	}
	for key, want := range map[string]any{
		"object_kind": "push", "event_name": "push", "before": first, "after": second, "checkout_sha": second,
		"ref": "refs/heads/master", "project_id": float64(id), "total_commits_count": 1.0,
	} {
		if got.body[key] != want {
			t.Errorf("%s is %v, want %v", key, got.body[key], want)
		}
	}
	commits := got.body["commits"].([]any)
	if len(commits) != 1 {
		t.Fatalf("the commits are %v", commits)
	}
	commit := commits[0].(map[string]any)
	if fmt.Sprint(commit["added"], commit["modified"], commit["removed"]) != "[new] [contacts.yaml] [old]" || commit["title"] != "Change" {
		t.Errorf("the commit is %v", commit)
	}

	events, err := h.Events(id)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 2 || events[1].Status != 202 || string(events[1].ResponseBytes) != "thanks" || events[1].Push.After != second {
		t.Errorf("the record is %+v", events)
	}
	status, answer = h.call(t, "GET", fmt.Sprintf("/projects/%d/hooks/1/events", id), nil)
	if listed, ok := answer.([]any); status != 200 || !ok || len(listed) != 2 || listed[0].(map[string]any)["response_status"] != "202" {
		t.Errorf("the event log answered %d %v", status, answer)
	} else if strings.Contains(fmt.Sprint(answer), "secret") {
		t.Errorf("the event log tells secrets: %v", answer)
	}
}

// TestHookFailure guards that a receiver which fails is recorded and hears the next push all the same.
func TestHookFailure(t *testing.T) {
	h := newHouse(t, nil)
	id := h.project(t, "support/one")
	address, deliveries := receiver(t, 500)
	gone := httptest.NewServer(nil)
	gone.Close()
	for _, url := range []string{gone.URL, address} {
		if status, answer := h.call(t, "POST", fmt.Sprintf("/projects/%d/hooks", id), map[string]any{"url": url}); status != 201 {
			t.Fatalf("creating the hook answered %d %v", status, answer)
		}
	}
	h.commit(t, id, gitlab.Commit{Files: map[string]string{"a": "1"}})
	h.commit(t, id, gitlab.Commit{Files: map[string]string{"a": "2"}})
	h.Settle()
	if len(deliveries) != 2 {
		t.Errorf("%d pushes were delivered, want both", len(deliveries))
	}
	events, err := h.Events(id)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 4 || events[0].Error == "" || events[1].Status != 500 {
		t.Errorf("the record is %+v", events)
	}
}

// TestManyCommits guards that a hook lists the newest twenty commits and counts them all.
func TestManyCommits(t *testing.T) {
	h := newHouse(t, nil)
	id := h.project(t, "support/one")
	h.commit(t, id, gitlab.Commit{Files: map[string]string{"a": "0"}})
	dir := h.clone(t, "support/one", "ada", "engine")
	for i := range 22 {
		h.mustGit(t, dir, "commit", "--quiet", "--allow-empty", "-m", fmt.Sprint("Commit ", i))
	}
	address, deliveries := receiver(t, 200)
	if status, answer := h.call(t, "POST", fmt.Sprintf("/projects/%d/hooks", id), map[string]any{"url": address}); status != 201 {
		t.Fatalf("creating the hook answered %d %v", status, answer)
	}
	h.mustGit(t, dir, "push", "--quiet", "origin", "master")
	got := <-deliveries
	commits := got.body["commits"].([]any)
	if len(commits) != 20 || got.body["total_commits_count"] != 22.0 {
		t.Errorf("%d commits of %v were listed, want 20 of 22", len(commits), got.body["total_commits_count"])
	}
	if title := commits[19].(map[string]any)["title"]; title != "Commit 21" {
		t.Errorf("the last commit listed is %v", title)
	}
}

// TestHookSettings guards what the API accepts, refuses, forgets and never tells about a hook.
func TestHookSettings(t *testing.T) {
	h := newHouse(t, nil)
	id := h.project(t, "support/one")
	hooks := fmt.Sprintf("/projects/%d/hooks", id)
	refusals := []struct {
		name string
		body map[string]any
		want int
	}{
		{"no address", map[string]any{"name": "x"}, 400},
		{"not an address", map[string]any{"url": "mailto:ada@example.com"}, 422},
		{"missing variable", map[string]any{"url": "https://example.com/{TOKEN}"}, 422},
		{"not an expression", map[string]any{"url": "https://example.com", "branch_filter_strategy": "regex", "push_events_branch_filter": "("}, 422},
		{"not a signing token", map[string]any{"url": "https://example.com", "signing_token": "whsec_short"}, 422},
	}
	for _, test := range refusals {
		if status, answer := h.call(t, "POST", hooks, test.body); status != test.want {
			t.Errorf("%s: answered %d %v, want %d", test.name, status, answer, test.want)
		}
	}

	masked := map[string]any{"url": "https://example.com/{TOKEN}", "token": "secret",
		"url_variables": []map[string]string{{"key": "TOKEN", "value": "x"}}}
	if status, answer := h.call(t, "POST", hooks, masked); status != 201 {
		t.Fatalf("a masked hook answered %d %v", status, answer)
	}
	// The address of a masked hook cannot be changed, which is GitLab's own trap.
	if status, _ := h.call(t, "PUT", hooks+"/1", map[string]any{"url": "https://example.org/{TOKEN}"}); status != 422 {
		t.Errorf("a new address for a masked hook answered %d", status)
	}
	status, answer := h.call(t, "PUT", hooks+"/1", map[string]any{"push_events_branch_filter": "main"})
	if hook, _ := answer.(map[string]any); status != 200 || hook["push_events_branch_filter"] != "main" || hook["token_present"] != true {
		t.Errorf("a new filter answered %d %v", status, answer)
	}
	if status, answer := h.call(t, "PUT", hooks+"/1", map[string]any{"url": "https://example.org/plain"}); status != 200 || answer.(map[string]any)["token_present"] != false {
		t.Errorf("a new address must drop the token: %d %v", status, answer)
	}
	for range 20 {
		h.call(t, "POST", hooks, map[string]any{"url": "https://example.com"})
	}
	if status, answer := h.call(t, "GET", hooks+"?page=2", nil); status != 200 || len(answer.([]any)) != 1 {
		t.Errorf("the second page answered %d %v", status, answer)
	}
	if status, answer := h.call(t, "GET", hooks+"/1", nil); status != 200 || answer.(map[string]any)["id"] != 1.0 {
		t.Errorf("the hook answered %d %v", status, answer)
	}
	if status, _ := h.call(t, "DELETE", hooks+"/1", nil); status != 204 {
		t.Errorf("deleting answered %d", status)
	}
	if status, _ := h.call(t, "GET", hooks+"/1", nil); status != 404 {
		t.Errorf("the deleted hook answered %d", status)
	}
}
