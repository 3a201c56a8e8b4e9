package webhook_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"contactsync"
	"contactsync/internal/fakes/gitlab"
	"contactsync/webhook"
)

// requests turns merge requests on.
func requests(_ *scene, o *webhook.Options) { o.MergeRequests = true }

const requestHook = "Merge Request Hook"

// requestBody is GitLab's documented body of a merge request of project 42 to master, with other attributes, of which nil
// takes one away, and with other parts beside them.
func requestBody(t testing.TB, attributes, parts map[string]any) string {
	t.Helper()
	var body map[string]any
	if err := json.Unmarshal([]byte(sample(t, "merge_request")), &body); err != nil {
		t.Fatal(err)
	}
	own, ok := body["object_attributes"].(map[string]any)
	if !ok {
		t.Fatal("the sample has no object_attributes")
	}
	absent := func(_ string, value any) bool { return value == nil }
	maps.Copy(own, attributes)
	maps.DeleteFunc(own, absent)
	maps.Copy(body, parts)
	maps.DeleteFunc(body, absent)
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What a merge request means where they are looked at: those with something new to judge are stored, with project and
// number and nothing else of the body, and all others are a success that means nothing, at both addresses.
func TestMergeRequests(t *testing.T) {
	t.Parallel()
	type object = map[string]any
	update := func(more object) object {
		attributes := object{"action": "update"}
		maps.Copy(attributes, more)
		return attributes
	}
	retargeted := object{"changes": object{"target_branch": object{"previous": "other", "current": "master"}}}
	left := object{"changes": object{"target_branch": object{"previous": "master", "current": "other"}}}
	retitled := object{"changes": object{"title": object{"previous": "Draft: Add Grace", "current": "Add Grace"}}}
	for _, test := range []struct {
		name              string
		header            string // "" is GitLab's own
		attributes, parts object
		ignored           string
	}{
		{name: "opened"},
		{name: "reopened", attributes: object{"action": "reopen"}},
		{name: "pushed to", attributes: update(object{"oldrev": "5f7a2a3d4c0f0e6b1a9d8c7b6a5f4e3d2c1b0a98"})},
		{name: "retargeted to the branch", attributes: update(nil), parts: retargeted},
		{name: "retargeted away from it", attributes: update(object{"target_branch": "other"}), parts: left},
		{name: "of a system hook", header: "System Hook"},
		{name: "sent by hand", header: "none"},
		{name: "without object_kind", parts: object{"object_kind": nil}},
		{name: "with event_name", parts: object{"event_name": "merge_request"}},
		{name: "project_id instead of project", parts: object{"project": nil, "project_id": 42}},
		{name: "attributes of other types", attributes: object{"title": 7, "state": []any{}, "last_commit": "none", "oldrev": false}},

		{name: "retitled", attributes: update(nil), parts: retitled, ignored: "nothing"},
		{name: "oldrev is empty", attributes: update(object{"oldrev": ""}), ignored: "nothing"},
		{name: "oldrev is null", attributes: update(object{"oldrev": json.RawMessage("null")}), ignored: "nothing"},
		{name: "no target in the changes", attributes: update(nil), parts: object{"changes": object{"target_branch": json.RawMessage("null")}}, ignored: "nothing"},
		{name: "no changes", attributes: update(nil), parts: object{"changes": json.RawMessage("null")}, ignored: "nothing"},
		{name: "closed", attributes: object{"action": "close"}, ignored: "nothing"},
		{name: "merged", attributes: object{"action": "merge"}, ignored: "nothing"},
		{name: "approved", attributes: object{"action": "approved"}, ignored: "nothing"},
		{name: "approval taken back", attributes: object{"action": "unapproval"}, ignored: "nothing"},
		{name: "no action", attributes: object{"action": nil}, ignored: "nothing"},
		{name: "action of another type", attributes: object{"action": 1}, ignored: "nothing"},
		{name: "closed, and retargeted", attributes: object{"action": "close"}, parts: retargeted, ignored: "nothing"},

		{name: "from a fork", attributes: object{"source_project_id": 43}, ignored: "fork"},
		{name: "from a fork that is gone", attributes: object{"source_project_id": json.RawMessage("null")}, ignored: "fork"},
		{name: "from nowhere", attributes: object{"source_project_id": nil}, ignored: "fork"},
		{name: "to another branch", attributes: object{"target_branch": "main"}, ignored: "branch"},
		{name: "to a branch spelled otherwise", attributes: object{"target_branch": "Master"}, ignored: "branch"},
		{name: "pushed to, to another branch", attributes: update(object{"target_branch": "main", "oldrev": "5f7a"}), ignored: "branch"},
		{name: "to no branch", attributes: object{"target_branch": nil}, ignored: "branch"},

		{name: "no number", attributes: object{"iid": nil}, ignored: "event"},
		{name: "number 0", attributes: object{"iid": 0}, ignored: "event"},
		{name: "number below 0", attributes: object{"iid": -1}, ignored: "event"},
		{name: "number as text", attributes: object{"iid": "1"}, ignored: "event"},
		{name: "number with a fraction", attributes: object{"iid": json.RawMessage("1.0")}, ignored: "event"},
		{name: "number too large", attributes: object{"iid": json.RawMessage("9223372036854775808")}, ignored: "event"},
		{name: "no project", parts: object{"project": nil}, ignored: "event"},
		{name: "project without a number", parts: object{"project": object{}}, ignored: "event"},
		{name: "project of another type", parts: object{"project": 42}, ignored: "event"},
		{name: "no attributes", parts: object{"object_attributes": nil}, ignored: "event"},
		{name: "attributes of another type", parts: object{"object_attributes": []any{1}}, ignored: "event"},
		{name: "header of a push", header: "Push Hook", ignored: "event"},
		{name: "header of a note", header: "Note Hook", ignored: "event"},
		{name: "body of a push", parts: object{"object_kind": "push"}, ignored: "event"},
		{name: "body of a system push", header: "System Hook", parts: object{"event_name": "push"}, ignored: "event"},
		{name: "body of a tag", parts: object{"object_kind": "tag_push"}, ignored: "tag"},
	} {
		header := test.header
		if header == "" {
			header = requestHook
		}
		d := hook(header, requestBody(t, test.attributes, test.parts))
		if header == "none" {
			d.header.Del("X-Gitlab-Event")
		}
		s := newScene(t, requests)
		hookGot, triggerGot := s.send(d.token(s.token)), s.send(d.triggered(s.trigger, "42"))
		if test.ignored != "" {
			if hookGot.status != 200 || hookGot.body != fmt.Sprintf(`{"accepted":false,"ignored":%q}`, test.ignored) {
				t.Errorf("%s: answered %d %s", test.name, hookGot.status, hookGot.body)
			}
			if pipeline := triggerGot.decode(t); triggerGot.status != 201 || pipeline["ignored"] != test.ignored || pipeline["status"] != "skipped" {
				t.Errorf("%s: the trigger answered %d %s", test.name, triggerGot.status, triggerGot.body)
			}
			if want := map[string]int{"hook ignored": 1, "trigger ignored": 1}; !maps.Equal(s.answered, want) {
				t.Errorf("%s: counted %v", test.name, s.answered)
			}
			s.untouched(t)
			continue
		}
		if hookGot.status != 202 || triggerGot.status != 201 || triggerGot.decode(t)["status"] != "created" {
			t.Errorf("%s: answered %d %s and %d %s", test.name, hookGot.status, hookGot.body, triggerGot.status, triggerGot.body)
		}
		if want := map[string]int{"hook accepted": 1, "trigger accepted": 1}; !maps.Equal(s.answered, want) {
			t.Errorf("%s: counted %v", test.name, s.answered)
		}
		want := contactsync.Delivery{Project: 42, Request: 1, Key: "6c1f0cf7-5b9e-4d4c-9d2c-0a4f0a6f1f11", Event: "merge_request", Received: now}
		if !slices.Equal(s.intake.accepted, []contactsync.Delivery{want, want}) {
			t.Errorf("%s: stored %+v", test.name, s.intake.accepted)
		}
	}
}

// Looking at merge requests changes nothing for any other event.
func TestOtherEventsBesideMergeRequests(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ event, sample, ignored string }{
		{"Push Hook", "push", ""},
		{"Push Hook", "push_other_branch", "branch"},
		{"Push Hook", "push_branch_deleted", "deleted"},
		{"Push Hook", "push_test_empty_repository", "test"},
		{"Tag Push Hook", "tag_push", "tag"},
		{"Merge Request Hook", "push", "event"},
		{"Note Hook", "note", "event"},
	} {
		s := newScene(t, requests)
		got := s.send(hook(test.event, sample(t, test.sample)).token(s.token))
		if test.ignored != "" {
			if got.status != 200 || got.decode(t)["ignored"] != test.ignored {
				t.Errorf("%s, %s: answered %d %s", test.event, test.sample, got.status, got.body)
			}
			s.untouched(t)
			continue
		}
		if got.status != 202 || len(s.intake.accepted) != 1 || s.intake.accepted[0].Event != "push" || s.intake.accepted[0].Request != 0 {
			t.Errorf("%s, %s: answered %d %s, stored %+v", test.event, test.sample, got.status, got.body, s.intake.accepted)
		}
	}
}

// The target branch is the configured one.
func TestMergeRequestBranch(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(_ *scene, o *webhook.Options) { o.MergeRequests, o.Branch = true, "support/contacts" })
	for branch, want := range map[string]int{"support/contacts": 202, "master": 200, "refs/heads/support/contacts": 200} {
		got := s.send(hook(requestHook, requestBody(t, map[string]any{"target_branch": branch}, nil)).token(s.token))
		if got.status != want {
			t.Errorf("%q: answered %d %s", branch, got.status, got.body)
		}
	}
}

// A project's own credentials speak for that project's merge requests alone, whatever else the body names.
func TestMergeRequestOfAnotherProject(t *testing.T) {
	t.Parallel()
	type object = map[string]any
	other := object{"project": object{"id": 43}}
	for name, test := range map[string]struct {
		attributes, parts object
		own               bool // the body is of project 42
	}{
		"own":                    {nil, nil, true},
		"other":                  {object{"source_project_id": 43, "target_project_id": 43}, other, false},
		"own as target only":     {object{"source_project_id": 43, "target_project_id": 42}, other, false},
		"own as project.id only": {nil, object{"project_id": 43}, false}, // project_id goes before
		"no project":             {nil, object{"project": nil}, false},
	} {
		body := requestBody(t, test.attributes, test.parts)
		s := newScene(t, requests)
		for credential, d := range map[string]delivery{
			"token":     hook(requestHook, body).token(s.second.Token(42)),
			"signature": hook(requestHook, body).signed(s.first.SigningToken(42), now),
		} {
			want := 401
			if test.own {
				want = 202
			}
			if got := s.send(d); got.status != want {
				t.Errorf("%s, %s: answered %d %s", name, credential, got.status, got.body)
			}
		}
		if !test.own {
			s.untouched(t)
		}
	}
}

// At the trigger address PROJECT_ID must be the project's own for merge requests as for pushes, and what means nothing is
// not refused.
func TestMergeRequestWithWrongProjectID(t *testing.T) {
	t.Parallel()
	s := newScene(t, requests)
	got := s.send(hook(requestHook, requestBody(t, nil, nil)).triggered(s.trigger, "43"))
	if got.status != 201 || got.decode(t)["status"] != "failed" || s.counted("trigger refused") != 1 || len(s.intake.refused) != 1 || len(s.intake.accepted) != 0 {
		t.Errorf("answered %d %s, stored %v, refused %v", got.status, got.body, s.intake.accepted, s.intake.refused)
	}
	s = newScene(t, requests)
	got = s.send(hook(requestHook, requestBody(t, map[string]any{"action": "close"}, nil)).triggered(s.trigger, "43"))
	if got.status != 201 || got.decode(t)["ignored"] != "nothing" {
		t.Errorf("answered %d %s", got.status, got.body)
	}
	s.untouched(t)
}

// The whole way over loopback: what GitLab sends by itself when a merge request is opened, pushed to, retitled, closed,
// reopened and merged.
func TestMergeRequestOnGitLabIsStored(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(s *scene, o *webhook.Options) { o.MergeRequests, o.Now = true, time.Now })
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
	commit := func(branch, from, content string) error {
		_, err := forge.Commit(project, gitlab.Commit{Branch: branch, From: from, Files: map[string]string{"contacts.yaml": content}})
		return err
	}
	if err := commit("", "", "- name: Ada\n"); err != nil {
		t.Fatal(err)
	}
	if err := commit("draft", "master", "- name: Bob\n"); err != nil {
		t.Fatal(err)
	}
	create(t, fmt.Sprintf("%s/api/v4/projects/%d/hooks", web.URL, project), map[string]any{
		"url": receiver.URL + webhook.HookRoute, "signing_token": s.first.SigningToken(project), "push_events": false, "merge_requests_events": true,
	})
	number, err := forge.OpenMergeRequest(project, gitlab.MergeRequest{SourceBranch: "draft"})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []func() error{
		func() error { return commit("draft", "", "- name: Eve\n") },
		func() error { return forge.RetitleMergeRequest(project, number, "Another title") },
		func() error { return forge.CloseMergeRequest(project, number) },
		func() error { return forge.ReopenMergeRequest(project, number) },
		func() error { _, err := forge.Merge(project, number, false); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
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
	if want := []int{202, 202, 200, 200, 202, 200}; !slices.Equal(statuses, want) { // opened, pushed to, …
		t.Errorf("GitLab was answered %v, want %v", statuses, want)
	}
	for _, d := range s.intake.accepted {
		if d.Project != project || d.Request != number || d.Event != "merge_request" || d.Key == "" {
			t.Errorf("stored %+v", d)
		}
	}
}
