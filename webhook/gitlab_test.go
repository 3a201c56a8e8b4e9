package webhook_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"contactsync/internal/fakes/gitlab"
	"contactsync/webhook"
)

// The whole way over loopback: hooks are set up at a stand-in GitLab as an operator would, a real push is made, and
// what GitLab sends by itself is authentic, stored with the pushed project's number, and a success in GitLab's own log.
func TestPushOnGitLabIsStored(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(_ *scene, o *webhook.Options) {
		o.Now = time.Now // the clock that GitLab signs by
		o.Credentials.TriggerTokens = []string{"mask3d"}
	})
	receiver := httptest.NewServer(s)
	t.Cleanup(receiver.Close)

	forge, err := gitlab.New(gitlab.Options{Dir: t.TempDir(), Token: "service"})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(forge)
	t.Cleanup(func() { web.Close(); forge.Close() })
	forge.SetURL(web.URL)
	project, err := forge.CreateProject(gitlab.Project{ID: 4711, Path: "support/organization-42"})
	if err != nil {
		t.Fatal(err)
	}

	masked := []map[string]string{{"key": "TOKEN", "value": "mask3d"}}
	hooks := []map[string]any{
		{"url": receiver.URL + webhook.HookRoute, "signing_token": s.signing},
		{"url": receiver.URL + webhook.HookRoute, "signing_token": s.first.SigningToken(project), "token": s.first.Token(project)},
		{"url": receiver.URL + webhook.HookRoute, "token": s.second.Token(project)},
		{"url": receiver.URL + webhook.HookRoute, "signing_token": s.first.SigningToken(project + 1), "token": s.token},
		{"url": receiver.URL + fmt.Sprintf("/api/v4/projects/39250741/ref/master/trigger/pipeline?token={TOKEN}&variables[PROJECT_ID]=%d", project), "url_variables": masked},
		{"url": receiver.URL + "/api/v4/projects/39250741/ref/master/trigger/pipeline?token={TOKEN}&variables[PROJECT_ID]=1", "url_variables": masked},
	}
	for _, h := range hooks {
		create(t, fmt.Sprintf("%s/api/v4/projects/%d/hooks", web.URL, project), h)
	}

	if _, err := forge.Commit(project, gitlab.Commit{Files: map[string]string{"contacts.yaml": "- name: Ada\n  email: ada@example.com\n"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := forge.Commit(project, gitlab.Commit{Branch: "draft", Files: map[string]string{"contacts.yaml": ""}}); err != nil {
		t.Fatal(err)
	}
	forge.Settle()

	events, err := forge.Events(project)
	if err != nil {
		t.Fatal(err)
	}
	var statuses []int
	for _, event := range events {
		statuses = append(statuses, event.Status)
	}
	want := []int{202, 202, 202, 401, 201, 201, 200, 200, 200, 401, 201, 201}
	if !slices.Equal(statuses, want) {
		t.Errorf("GitLab was answered %v, want %v", statuses, want)
	}
	if len(s.intake.accepted) != 4 || len(s.intake.refused) != 1 || s.intake.refused[0].project != "1" {
		t.Fatalf("stored %v, refused %v", s.intake.accepted, s.intake.refused)
	}
	keys := map[string]bool{}
	for _, d := range s.intake.accepted {
		keys[d.Key] = true
		if d.Project != project || d.Event != "push" || d.Key == "" {
			t.Errorf("stored %+v", d)
		}
	}
	if len(keys) != 4 {
		t.Errorf("four deliveries have the keys %v", keys)
	}
}

func create(t *testing.T, address string, hook map[string]any) {
	t.Helper()
	body, err := json.Marshal(hook)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("PRIVATE-TOKEN", "service")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("creating the hook answered %d", response.StatusCode)
	}
}
