package gitlab_test

import (
	"fmt"
	"strings"
	"testing"

	"contactsync/internal/fakes/gitlab"
)

// TestStatuses guards GitLab's course of a status: which states follow each other, whose status goes on, and which one
// stands for its name.
func TestStatuses(t *testing.T) {
	tests := []struct {
		name  string
		steps string // states; one that is refused has its event and former state behind it
		rows  string // what became of each row, the standing one marked
	}{
		{"to the end", "pending running success", "success*"},
		{"straight to the end", "success", "success*"},
		{"without running", "pending failed", "failed*"},
		{"pending twice", "pending pending/enqueue:pending", "pending*"},
		{"running twice", "running running/run:running", "running*"},
		{"back", "running pending/enqueue:running success", "success*"},
		{"skipped too late", "running skipped/skip:running", "running*"},
		{"anew", "failed success success pending", "failed success success pending*"},
		{"canceled", "pending canceled skipped", "canceled skipped*"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t, nil)
			id := h.project(t, "support/one")
			head := h.commit(t, id, gitlab.Commit{Files: map[string]string{"a": "1"}})
			path := fmt.Sprintf("/projects/%d/statuses/%s", id, head)
			for step := range strings.FieldsSeq(test.steps) {
				state, refused, _ := strings.Cut(step, "/")
				status, answer := h.call(t, "POST", path, map[string]any{"state": state, "name": "contacts", "description": "is " + state})
				if refused == "" {
					row, _ := answer.(map[string]any)
					if status != 201 || row["status"] != state || row["ref"] != "master" || row["sha"] != head || row["description"] != "is "+state {
						t.Fatalf("%s answered %d %v", step, status, answer)
					}
					continue
				}
				event, from, _ := strings.Cut(refused, ":")
				want := fmt.Sprintf(`map[message:Cannot transition status via :%s from :%s (Reason(s): Status cannot transition via "%s")]`, event, from, event)
				if status != 400 || fmt.Sprint(answer) != want {
					t.Fatalf("%s answered %d %v, want %s", step, status, answer, want)
				}
			}
			rows, err := h.Statuses(id, head)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, row := range rows {
				mark := "*"
				if row.Superseded {
					mark = ""
				}
				got = append(got, row.State+mark)
			}
			if strings.Join(got, " ") != test.rows {
				t.Errorf("the rows are %v, want %s", got, test.rows)
			}
		})
	}
}

// TestStatusesAreTheirAuthors guards that nobody goes on with somebody else's status, nor with that of another name or
// branch, and what the list shows.
func TestStatusesAreTheirAuthors(t *testing.T) {
	h := newHouse(t, nil)
	id := h.project(t, "support/one")
	head := h.commit(t, id, gitlab.Commit{Files: map[string]string{"a": "1"}})
	h.commit(t, id, gitlab.Commit{Branch: "other", From: "master", Files: map[string]string{"a": "2"}})
	path := fmt.Sprintf("/projects/%d/statuses/%s", id, head)
	if err := h.AddStatus(id, gitlab.Status{Ref: "master", Name: "contacts", State: "pending", Author: gitlab.User{ID: 7}}); err != nil {
		t.Fatal(err)
	}
	for _, body := range []map[string]any{{"name": "contacts"}, {"name": "build"}, {"context": "contacts", "ref": "other"}, {}} {
		body["state"] = "pending"
		if status, answer := h.call(t, "POST", path, body); status != 201 {
			t.Errorf("%v answered %d %v", body, status, answer)
		}
	}
	list := fmt.Sprintf("/projects/%d/repository/commits/%s/statuses", id, head)
	for query, want := range map[string]int{"": 4, "?all=true": 5, "?name=contacts": 2, "?ref=other": 1, "?name=contacts&ref=master": 1, "?per_page=3&page=2": 1} {
		_, answer := h.call(t, "GET", list+query, nil)
		if rows, _ := answer.([]any); len(rows) != want {
			t.Errorf("%q lists %v, want %d", query, answer, want)
		}
	}
	if err := h.AddStatus(id, gitlab.Status{Ref: "master", Name: "contacts", State: "success", Author: gitlab.User{ID: 7}}); err != nil {
		t.Error(err)
	}
}

// TestStatusRefusals guards what GitLab does not take, and from whom.
func TestStatusRefusals(t *testing.T) {
	long := strings.Repeat("ü", 256)
	nobody := gitlab.Protection{Branch: "mas*", Push: []gitlab.Grant{{Level: 0}}, Merge: []gitlab.Grant{{Level: 0}, {User: 7}}}
	merger := gitlab.Protection{Branch: "master", Merge: []gitlab.Grant{{Level: gitlab.Developer}}}
	tests := []struct {
		name    string
		options func(*gitlab.Options)
		rules   []gitlab.Protection
		commit  string
		body    map[string]any
		status  int
		words   string
	}{
		{name: "an unknown state", body: map[string]any{"state": "error"}, status: 400, words: "state does not have a valid value"},
		{name: "no state", body: map[string]any{}, status: 400, words: "state does not have a valid value"},
		{name: "a long description", body: map[string]any{"state": "success", "description": long}, status: 400, words: "description:[is too long"},
		{name: "a long address", body: map[string]any{"state": "success", "target_url": "https://example.com/" + long}, status: 400, words: "target_url:[is too long"},
		{name: "no address", body: map[string]any{"state": "success", "target_url": "javascript:1"}, status: 400, words: "is blocked"},
		{name: "no such commit", commit: strings.Repeat("1", 40), body: map[string]any{"state": "success"}, status: 404, words: "404 Commit Not Found"},
		{name: "no commit", commit: "nonsense", body: map[string]any{"state": "success"}, status: 404, words: "404 Commit Not Found"},
		{name: "a reporter", options: func(o *gitlab.Options) { o.Access = 20 }, body: map[string]any{"state": "success"}, status: 403, words: "403 Forbidden"},
		{name: "a token that reads", options: func(o *gitlab.Options) { o.Scopes = []string{"read_api"} }, body: map[string]any{"state": "success"}, status: 403, words: "insufficient_scope"},
		{name: "a protected branch", rules: []gitlab.Protection{nobody}, body: map[string]any{"state": "success"}, status: 403, words: "403 Forbidden"},
		{name: "another branch than the protected one", rules: []gitlab.Protection{nobody}, body: map[string]any{"state": "success", "ref": "other"}, status: 201},
		{name: "a protected branch that it may merge to", rules: []gitlab.Protection{nobody, merger}, body: map[string]any{"state": "success"}, status: 201},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t, test.options)
			id := h.project(t, "support/one")
			commit := h.commit(t, id, gitlab.Commit{Files: map[string]string{"a": "1"}})
			for _, rule := range test.rules {
				if err := h.Protect(id, rule); err != nil {
					t.Fatal(err)
				}
			}
			if test.commit != "" {
				commit = test.commit
			}
			status, answer := h.call(t, "POST", fmt.Sprintf("/projects/%d/statuses/%s", id, commit), test.body)
			if status != test.status || !strings.Contains(fmt.Sprint(answer), test.words) {
				t.Errorf("answered %d %v", status, answer)
			}
		})
	}
	h := newHouse(t, nil)
	id := h.project(t, "support/one")
	head := h.commit(t, id, gitlab.Commit{Files: map[string]string{"a": "1"}})
	h.BusyStatuses(2)
	for _, want := range []int{409, 409, 201} {
		if status, answer := h.call(t, "POST", fmt.Sprintf("/projects/%d/statuses/%s", id, head), map[string]any{"state": "success"}); status != want {
			t.Errorf("answered %d %v, want %d", status, answer, want)
		}
	}
}

// TestBranch guards what a branch is told to be.
func TestBranch(t *testing.T) {
	h := newHouse(t, nil)
	id := h.project(t, "support/one")
	path := fmt.Sprintf("/projects/%d/repository/branches/", id)
	if status, _ := h.call(t, "GET", path+"master", nil); status != 404 {
		t.Errorf("a branch of an empty repository answered %d", status)
	}
	head := h.commit(t, id, gitlab.Commit{Branch: "feature/a#b", Files: map[string]string{"a": "1"}, Message: "Start\n\nBody"})
	status, answer := h.call(t, "GET", path+"feature%2Fa%23b", nil)
	branch, _ := answer.(map[string]any)
	commit, _ := branch["commit"].(map[string]any)
	if status != 200 || branch["name"] != "feature/a#b" || commit["id"] != head || commit["title"] != "Start" || branch["protected"] != false {
		t.Errorf("answered %d %v", status, answer)
	}
	if status, answer := h.call(t, "GET", path+"feature", nil); status != 404 || fmt.Sprint(answer) != "map[message:404 Branch Not Found]" {
		t.Errorf("answered %d %v", status, answer)
	}
}

// TestBadges guards how badges are found, filled in and changed, and that only a maintainer changes them.
func TestBadges(t *testing.T) {
	h := newHouse(t, nil)
	id := h.project(t, "support/sub/one")
	path := fmt.Sprintf("/projects/%d/badges", id)
	if _, err := h.AddBadge(id, gitlab.Badge{Name: "group", Link: "https://example.com", Image: "https://example.com/a.svg", Group: true}); err != nil {
		t.Fatal(err)
	}
	status, answer := h.call(t, "POST", path, map[string]any{"name": "contacts", "link_url": "https://example.com/%{project_path}?id=%{project_id}", "image_url": "https://%{gitlab_server}/%{default_branch}.svg"})
	badge, _ := answer.(map[string]any)
	host := strings.TrimPrefix(h.url, "http://")
	if status != 201 || badge["kind"] != "project" || badge["rendered_link_url"] != fmt.Sprintf("https://example.com/support/sub/one?id=%d", id) ||
		badge["rendered_image_url"] != "https://"+host+"/master.svg" || badge["link_url"] != "https://example.com/%{project_path}?id=%{project_id}" {
		t.Errorf("answered %d %v", status, answer)
	}
	for query, want := range map[string]int{"": 2, "?name=contacts": 1, "?name=contact": 0, "?name=Contacts": 0} {
		_, answer := h.call(t, "GET", path+query, nil)
		if rows, _ := answer.([]any); len(rows) != want {
			t.Errorf("%q lists %v, want %d", query, answer, want)
		}
	}
	if status, answer := h.call(t, "PUT", path+"/2", map[string]any{"image_url": "https://example.com/b.svg"}); status != 200 {
		t.Errorf("answered %d %v", status, answer)
	}
	for _, refused := range []struct {
		method, path string
		body         map[string]any
		want         int
	}{
		{"POST", path, map[string]any{"name": "x", "link_url": "https://example.com"}, 400},
		{"POST", path, map[string]any{"link_url": "nowhere", "image_url": "https://example.com/a.svg"}, 400},
		{"PUT", path + "/2", map[string]any{"image_url": "ftp://example.com"}, 400},
		{"PUT", path + "/1", map[string]any{"name": "x"}, 404}, // the group's
		{"DELETE", path + "/99", nil, 404},
	} {
		if status, answer := h.call(t, refused.method, refused.path, refused.body); status != refused.want {
			t.Errorf("%s %s answered %d %v, want %d", refused.method, refused.path, status, answer, refused.want)
		}
	}
	badges, err := h.Badges(id)
	if err != nil || len(badges) != 2 || badges[1].Image != "https://example.com/b.svg" || badges[1].Name != "contacts" {
		t.Errorf("the badges are %+v, %v", badges, err)
	}
	if status, _ := h.call(t, "DELETE", path+"/2", nil); status != 204 {
		t.Errorf("deleting answered %d", status)
	}
	h = newHouse(t, func(o *gitlab.Options) { o.Access = gitlab.Developer })
	id = h.project(t, "support/one")
	if status, _ := h.call(t, "POST", fmt.Sprintf("/projects/%d/badges", id), map[string]any{"link_url": "https://example.com", "image_url": "https://example.com/a.svg"}); status != 403 {
		t.Errorf("a developer's badge answered %d", status)
	}
	if status, _ := h.call(t, "GET", fmt.Sprintf("/projects/%d/badges", id), nil); status != 200 {
		t.Errorf("a developer's look answered %d", status)
	}
}
