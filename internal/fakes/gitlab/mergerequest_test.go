package gitlab_test

import (
	"fmt"
	"strings"
	"testing"

	"contactsync/internal/fakes/gitlab"
)

// TestMergeRequests guards what is told of a merge request through its life: its commits follow its branch, whoever pushes,
// and end with it.
func TestMergeRequests(t *testing.T) {
	h := newHouse(t, nil)
	id := h.project(t, "support/one")
	base := h.commit(t, id, gitlab.Commit{Files: map[string]string{"contacts.yaml": "1"}})
	first := h.commit(t, id, gitlab.Commit{Branch: "change", From: "master", Files: map[string]string{"contacts.yaml": "2"}})
	number, err := h.OpenMergeRequest(id, gitlab.MergeRequest{SourceBranch: "change", Title: "Draft: A change", Author: gitlab.User{ID: 7, Username: "ada"}})
	if err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/projects/%d/merge_requests/%d", id, number)
	check := func(want map[string]any) {
		t.Helper()
		status, answer := h.call(t, "GET", path, nil)
		got, _ := answer.(map[string]any)
		for name, value := range want {
			if status != 200 || fmt.Sprint(got[name]) != fmt.Sprint(value) {
				t.Errorf("%s is %v, want %v", name, got[name], value)
			}
		}
	}
	refs := func(head, start string) map[string]any {
		return map[string]any{"base_sha": base, "head_sha": head, "start_sha": start}
	}
	check(map[string]any{"iid": number, "project_id": id, "source_project_id": id, "target_project_id": id, "state": "opened", "draft": true,
		"title": "Draft: A change", "source_branch": "change", "target_branch": "master", "sha": first, "diff_refs": refs(first, base),
		"web_url": fmt.Sprintf("%s/support/one/-/merge_requests/%d", h.url, number), "references": map[string]any{"full": "support/one!1", "relative": "!1", "short": "!1"}})

	dir := h.clone(t, "support/one", "ada", "engine")
	h.mustGit(t, dir, "fetch", "--quiet", "origin", "change")
	h.mustGit(t, dir, "checkout", "--quiet", "-b", "change", "FETCH_HEAD")
	h.write(t, dir, "contacts.yaml", "3")
	h.mustGit(t, dir, "commit", "--quiet", "-am", "More")
	h.mustGit(t, dir, "push", "--quiet", "origin", "change")
	h.Settle()
	second, err := h.Head(id, "change")
	if err != nil || second == first {
		t.Fatalf("the branch is at %s, %v", second, err)
	}
	moved := h.commit(t, id, gitlab.Commit{Files: map[string]string{"other": "1"}})
	check(map[string]any{"sha": second, "diff_refs": refs(second, base)})
	if err := h.RetitleMergeRequest(id, number, "A change"); err != nil {
		t.Fatal(err)
	}
	check(map[string]any{"title": "A change", "draft": false})
	if err := h.CloseMergeRequest(id, number); err != nil {
		t.Fatal(err)
	}
	third := h.commit(t, id, gitlab.Commit{Branch: "change", Files: map[string]string{"contacts.yaml": "4"}})
	check(map[string]any{"state": "closed", "sha": second})
	if _, err := h.Merge(id, number, false); err == nil {
		t.Error("a closed merge request was merged")
	}
	if err := h.ReopenMergeRequest(id, number); err != nil {
		t.Fatal(err)
	}
	check(map[string]any{"state": "opened", "sha": third, "diff_refs": refs(third, moved)})
	tip, err := h.Merge(id, number, false)
	if err != nil {
		t.Fatal(err)
	}
	check(map[string]any{"state": "merged", "sha": third, "merge_commit_sha": tip})
	if content, err := h.File(id, "master", "contacts.yaml"); err != nil || content != "4" {
		t.Errorf("the file is %q, %v", content, err)
	}
	parents := h.mustGit(t, dir, "ls-remote", "origin", "master")
	if !strings.HasPrefix(parents, tip) {
		t.Errorf("master is at %s", parents)
	}
	for _, end := range []func(int64, int64) error{h.CloseMergeRequest, h.ReopenMergeRequest} {
		if err := end(id, number); err == nil {
			t.Error("a merged merge request was closed or opened")
		}
	}
	if _, err := h.OpenMergeRequest(id, gitlab.MergeRequest{SourceBranch: "none"}); err == nil {
		t.Error("one was opened from a branch that is not there")
	}
}

// TestMergeRequestOfFork guards that a fork's commits are in the project, where git can fetch them by name and by hash, and
// where nobody can push to them; that its pushes count; and what is left once the fork is gone.
func TestMergeRequestOfFork(t *testing.T) {
	h := newHouse(t, nil)
	id := h.project(t, "support/one")
	base := h.commit(t, id, gitlab.Commit{Files: map[string]string{"contacts.yaml": "1"}})
	fork, err := h.Fork(id, "ada/one")
	if err != nil {
		t.Fatal(err)
	}
	h.commit(t, fork, gitlab.Commit{Files: map[string]string{"contacts.yaml": "2"}})
	number, err := h.OpenMergeRequest(id, gitlab.MergeRequest{Source: fork, SourceBranch: "master"})
	if err != nil {
		t.Fatal(err)
	}
	head := h.commit(t, fork, gitlab.Commit{Files: map[string]string{"contacts.yaml": "3"}})
	got, err := h.MergeRequest(id, number)
	if err != nil || got.Head != head || got.Base != base || got.Source != fork || got.State != "opened" {
		t.Errorf("it is %+v, %v", got, err)
	}
	dir := h.clone(t, "support/one", "ada", "engine")
	for _, wanted := range []string{"refs/merge-requests/1/head", head, got.Base} {
		h.mustGit(t, dir, "fetch", "--quiet", "origin", wanted)
	}
	if out, err := h.git(t, dir, "push", "--quiet", "origin", "master:refs/merge-requests/1/head"); err == nil {
		t.Errorf("the merge request's head was pushed to: %s", out)
	}
	if err := h.PurgeProject(fork); err != nil {
		t.Fatal(err)
	}
	_, answer := h.call(t, "GET", fmt.Sprintf("/projects/%d/merge_requests/%d", id, number), nil)
	if request, _ := answer.(map[string]any); request["source_project_id"] != nil || request["sha"] != head {
		t.Errorf("once the fork is gone: %v", answer)
	}
	if tip, err := h.Merge(id, number, true); err != nil || tip != head {
		t.Errorf("fast-forwarded to %s, %v", tip, err)
	}
}

// TestFastForwardNeedsAncestor guards that a target branch which went on is not thrown away.
func TestFastForwardNeedsAncestor(t *testing.T) {
	h := newHouse(t, nil)
	id := h.project(t, "support/one")
	h.commit(t, id, gitlab.Commit{Files: map[string]string{"a": "1"}})
	h.commit(t, id, gitlab.Commit{Branch: "change", From: "master", Files: map[string]string{"a": "2"}})
	tip := h.commit(t, id, gitlab.Commit{Files: map[string]string{"a": "3"}})
	number, err := h.OpenMergeRequest(id, gitlab.MergeRequest{SourceBranch: "change"})
	if err != nil {
		t.Fatal(err)
	}
	for _, fastForward := range []bool{true, false} { // the latter has a conflict
		if _, err := h.Merge(id, number, fastForward); err == nil {
			t.Error("it was merged")
		}
	}
	if head, err := h.Head(id, ""); err != nil || head != tip {
		t.Errorf("master is at %s, %v", head, err)
	}
	if got, err := h.MergeRequest(id, number); err != nil || got.State != "opened" {
		t.Errorf("it is %+v, %v", got, err)
	}
}

// TestMergeRequestHooks guards what hooks are told of a merge request, and in which order; that only those hear of it that
// want to; and that such a delivery can be sent again as what it was.
func TestMergeRequestHooks(t *testing.T) {
	h := newHouse(t, nil)
	id := h.project(t, "support/one")
	base := h.commit(t, id, gitlab.Commit{Files: map[string]string{"contacts.yaml": "1"}})
	fork, err := h.Fork(id, "ada/one")
	if err != nil {
		t.Fatal(err)
	}
	address, deliveries := receiver(t, 200)
	for _, body := range []map[string]any{
		{"url": address, "token": "secret", "push_events": false, "merge_requests_events": true},
		{"url": address + "/pushes", "push_events": true, "push_events_branch_filter": "master"},
	} {
		if status, answer := h.call(t, "POST", fmt.Sprintf("/projects/%d/hooks", id), body); status != 201 {
			t.Fatalf("creating a hook answered %d %v", status, answer)
		}
	}
	first := h.commit(t, fork, gitlab.Commit{Branch: "change", From: "master", Files: map[string]string{"contacts.yaml": "2"}, Message: "Change\n\nBody"})
	number, err := h.OpenMergeRequest(id, gitlab.MergeRequest{Source: fork, SourceBranch: "change", Author: gitlab.User{ID: 7, Username: "ada"}})
	if err != nil {
		t.Fatal(err)
	}
	second := h.commit(t, fork, gitlab.Commit{Branch: "change", Files: map[string]string{"contacts.yaml": "3"}})
	for _, step := range []func() error{
		func() error { return h.RetitleMergeRequest(id, number, "Draft: other") },
		func() error { return h.CloseMergeRequest(id, number) },
		func() error { return h.ReopenMergeRequest(id, number) },
		func() error { _, err := h.Merge(id, number, false); return err },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	h.Settle()
	tip, err := h.Head(id, "")
	if err != nil {
		t.Fatal(err)
	}
	want := []struct{ action, state, oldrev, last, changes string }{
		{"open", "opened", "", first, "map[]"},
		{"update", "opened", first, second, "map[]"},
		{"update", "opened", "", second, "title:map[current:Draft: other previous:change]"},
		{"close", "closed", "", second, "state_id:map[current:2 previous:1]"},
		{"reopen", "opened", "", second, "state_id:map[current:1 previous:2]"},
		{"push", "", "", "", ""},
		{"merge", "merged", "", second, "state_id:map[current:3 previous:1]"},
	}
	for _, w := range want {
		got := <-deliveries
		if w.action == "push" {
			if got.path != "/pushes" || got.body["after"] != tip || got.body["before"] != base {
				t.Errorf("the push of the merge is %s %v", got.path, got.body)
			}
			continue
		}
		attributes, _ := got.body["object_attributes"].(map[string]any)
		last, _ := attributes["last_commit"].(map[string]any)
		oldrev, _ := attributes["oldrev"].(string)
		if got.header.Get("X-Gitlab-Event") != "Merge Request Hook" || got.header.Get("X-Gitlab-Token") != "secret" || got.header.Get("Idempotency-Key") == "" ||
			got.body["object_kind"] != "merge_request" || attributes["action"] != w.action || attributes["state"] != w.state || oldrev != w.oldrev ||
			last["id"] != w.last || attributes["iid"] != float64(number) || attributes["source_project_id"] != float64(fork) ||
			attributes["target_project_id"] != float64(id) || attributes["source_branch"] != "change" || attributes["target_branch"] != "master" {
			t.Errorf("%s: told %v %v", w.action, got.header, got.body)
		}
		if changes := fmt.Sprint(got.body["changes"]); !strings.Contains(changes, w.changes) || strings.Contains(w.changes, "map[]") && changes != "map[]" {
			t.Errorf("%s: the changes are %s", w.action, changes)
		}
		if project, _ := got.body["project"].(map[string]any); project["id"] != float64(id) || project["path_with_namespace"] != "support/one" {
			t.Errorf("%s: the project is %v", w.action, got.body["project"])
		}
	}
	if len(deliveries) != 0 {
		t.Errorf("there was one more: %v", (<-deliveries).body)
	}
	events, err := h.Events(id)
	if err != nil || events[0].Kind != "Merge Request Hook" {
		t.Fatalf("the events are %+v, %v", events, err)
	}
	if status, _ := h.call(t, "POST", fmt.Sprintf("/projects/%d/hooks/1/events/%d/resend", id, events[0].ID), nil); status != 201 {
		t.Errorf("sending it again answered %d", status)
	}
	if again := <-deliveries; again.header.Get("X-Gitlab-Event") != "Merge Request Hook" || again.header.Get("Idempotency-Key") != events[0].Header.Get("Idempotency-Key") {
		t.Errorf("sent again as %v", again.header)
	}
	_, answer := h.call(t, "GET", fmt.Sprintf("/projects/%d/hooks/1/events", id), nil)
	if trigger := answer.([]any)[0].(map[string]any)["trigger"]; trigger != "merge_request_hooks" {
		t.Errorf("the trigger is %v", trigger)
	}
}
