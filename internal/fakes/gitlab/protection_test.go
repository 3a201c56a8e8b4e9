package gitlab_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"contactsync/internal/fakes/gitlab"
)

// status sends a request with the token, reads the answer into something, and returns its status.
func (h *house) status(t *testing.T, method, path string, body any, into any) int {
	t.Helper()
	status, answer := h.call(t, method, path, body)
	if into != nil {
		data, err := json.Marshal(answer)
		if err == nil {
			err = json.Unmarshal(data, into)
		}
		if err != nil {
			t.Fatalf("%s %s: %v in %v", method, path, err, answer)
		}
	}
	return status
}

func (h *house) rules(t *testing.T, id int64) string {
	t.Helper()
	rules, err := h.Protections(id)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(rules)
}

// TestDefaultBranchIsProtected guards that GitLab protects the default branch by itself once it comes into being, only
// where it is told to, only that one, and not over a rule that is there.
func TestDefaultBranchIsProtected(t *testing.T) {
	plain := newHouse(t, nil)
	id := plain.project(t, "support/a")
	plain.commit(t, id, gitlab.Commit{Files: map[string]string{"a": "1"}})
	if got := plain.rules(t, id); got != "[]" {
		t.Errorf("without being told: %s", got)
	}

	h := newHouse(t, func(o *gitlab.Options) { o.ProtectDefault = true })
	id = h.project(t, "support/a")
	h.commit(t, id, gitlab.Commit{Branch: "other", Files: map[string]string{"a": "1"}})
	if got := h.rules(t, id); got != "[]" {
		t.Errorf("after another branch: %s", got)
	}
	h.commit(t, id, gitlab.Commit{Files: map[string]string{"a": "1"}})
	const want = "[{master [{40 0 0 0}] [{40 0 0 0}] false false}]"
	if got := h.rules(t, id); got != want {
		t.Errorf("after the default branch: %s, want %s", got, want)
	}
	path := fmt.Sprintf("/projects/%d/protected_branches", id)
	if status := h.status(t, "POST", path, map[string]any{"name": "master", "push_access_level": 30}, nil); status != 409 {
		t.Errorf("protecting it answers %d", status)
	}
	if status := h.status(t, "DELETE", path+"/master", nil, nil); status != 204 {
		t.Errorf("unprotecting it answers %d", status)
	}
	h.commit(t, id, gitlab.Commit{Files: map[string]string{"a": "2"}})
	if got := h.rules(t, id); got != "[]" {
		t.Errorf("after a further commit: %s", got)
	}

	if err := plain.ProtectDefaultBranch(1); err != nil {
		t.Fatal(err)
	}
	if got := plain.rules(t, 1); got != want {
		t.Errorf("at once: %s, want %s", got, want)
	}
	later := plain.project(t, "support/b")
	if err := plain.ProtectDefaultBranch(later); err != nil || plain.rules(t, later) != "[]" {
		t.Errorf("too early: %s, %v", plain.rules(t, later), err)
	}
	plain.commit(t, later, gitlab.Commit{Files: map[string]string{"a": "1"}})
	if got := plain.rules(t, later); got != want {
		t.Errorf("at its first commit: %s, want %s", got, want)
	}

	early := h.project(t, "support/b")
	if err := h.Protect(early, gitlab.Protection{Branch: "master", Push: []gitlab.Grant{{Level: 30}}}); err != nil {
		t.Fatal(err)
	}
	h.commit(t, early, gitlab.Commit{Files: map[string]string{"a": "1"}})
	if got := h.rules(t, early); got != "[{master [{30 0 0 0}] [] false false}]" {
		t.Errorf("over a rule that was there: %s", got)
	}
}

// TestProtectionTiers guards what Premium does and Free ignores: lists of who may, and code owners.
func TestProtectionTiers(t *testing.T) {
	type rule struct {
		Push []struct {
			ID    int `json:"id"`
			Level int `json:"access_level"`
		} `json:"push_access_levels"`
		ForcePush  bool  `json:"allow_force_push"`
		CodeOwners *bool `json:"code_owner_approval_required"`
	}
	for _, free := range []bool{false, true} {
		h := newHouse(t, func(o *gitlab.Options) { o.Free = free })
		path := fmt.Sprintf("/projects/%d/protected_branches", h.project(t, "support/a"))
		var made, edited rule
		h.status(t, "POST", path, map[string]any{"name": "master", "allowed_to_push": []any{map[string]any{"access_level": 30}}, "code_owner_approval_required": true}, &made)
		want := 30
		if free {
			want = 40 // the default
		}
		if len(made.Push) != 1 || made.Push[0].Level != want || (made.CodeOwners == nil) != free {
			t.Errorf("Free %v: made %+v", free, made)
		}
		status := h.status(t, "PATCH", path+"/master", map[string]any{"allow_force_push": true, "allowed_to_push": []any{
			map[string]any{"access_level": 60}, map[string]any{"id": made.Push[0].ID, "_destroy": true}}}, &edited)
		if !free {
			want = 60
		}
		if status != 200 || len(edited.Push) != 1 || edited.Push[0].Level != want || !edited.ForcePush {
			t.Errorf("Free %v: edited %+v", free, edited)
		}
		if free {
			continue
		}
		twice := map[string]any{"allowed_to_push": []any{map[string]any{"access_level": 60}}}
		foreign := map[string]any{"allowed_to_push": []any{map[string]any{"id": 99, "_destroy": true}}}
		for status, body := range map[int]any{422: twice, 404: foreign} {
			if got := h.status(t, "PATCH", path+"/master", body, nil); got != status {
				t.Errorf("%v answers %d, want %d", body, got, status)
			}
		}
	}
}

// TestProtectionNeedsMaintainer guards who may change rules, and that levels which are none are refused.
func TestProtectionNeedsMaintainer(t *testing.T) {
	h := newHouse(t, func(o *gitlab.Options) { o.Access = gitlab.Developer })
	path := fmt.Sprintf("/projects/%d/protected_branches", h.project(t, "support/a"))
	if status := h.status(t, "POST", path, map[string]any{"name": "master"}, nil); status != 403 {
		t.Errorf("a developer gets %d", status)
	}
	h = newHouse(t, nil)
	path = fmt.Sprintf("/projects/%d/protected_branches", h.project(t, "support/a"))
	for _, body := range []any{map[string]any{}, map[string]any{"name": "a", "push_access_level": 50}, "text"} {
		if status := h.status(t, "POST", path, body, nil); status != 400 {
			t.Errorf("%v gets %d", body, status)
		}
	}
}

// TestOldHooks guards that a GitLab before 19.0 takes a signing token without a word, and does not tell of any.
func TestOldHooks(t *testing.T) {
	h := newHouse(t, func(o *gitlab.Options) { o.OldHooks = true })
	path := fmt.Sprintf("/projects/%d/hooks", h.project(t, "support/a"))
	var hook map[string]any
	if status := h.status(t, "POST", path, map[string]any{"url": "https://example.com", "signing_token": "of any form"}, &hook); status != 201 {
		t.Errorf("it answers %d", status)
	}
	if _, told := hook["signing_token_present"]; told || hook["token_present"] != false {
		t.Errorf("it tells %v", hook)
	}
}
