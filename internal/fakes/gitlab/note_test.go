package gitlab_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"contactsync/internal/fakes/gitlab"
)

// TestDiscussions guards the life of a note about a commit and about a merge request, and what differs between them.
func TestDiscussions(t *testing.T) {
	h := newHouse(t, nil)
	id := h.project(t, "support/one")
	h.commit(t, id, gitlab.Commit{Files: map[string]string{"a": "1"}})
	head := h.commit(t, id, gitlab.Commit{Branch: "change", From: "master", Files: map[string]string{"a": "2"}})
	number, err := h.OpenMergeRequest(id, gitlab.MergeRequest{SourceBranch: "change"})
	if err != nil {
		t.Fatal(err)
	}
	hostile := "<!-- x -->\n```\n<script>\u202e \\ \" 🙂"
	for _, about := range []string{"repository/commits/" + head, fmt.Sprintf("merge_requests/%d", number)} {
		isRequest := strings.HasPrefix(about, "merge")
		path := fmt.Sprintf("/projects/%d/%s/discussions", id, about)
		status, answer := h.call(t, "POST", path, map[string]any{"body": strings.ReplaceAll(hostile, "\n", "\r\n") + " \n"})
		begun, _ := answer.(map[string]any)
		if status != 201 || len(fmt.Sprint(begun["id"])) != 40 {
			t.Fatalf("answered %d %v", status, answer)
		}
		first := begun["notes"].([]any)[0].(map[string]any)
		if first["body"] != hostile || first["author"].(map[string]any)["username"] != "service-account" || first["resolvable"] != isRequest || first["system"] != false {
			t.Errorf("the note is %v", first)
		}
		one := path + "/" + fmt.Sprint(begun["id"])
		note := fmt.Sprintf("%s/notes/%v", one, first["id"])
		wanted := gitlab.Note{Discussion: fmt.Sprint(begun["id"]), Commit: head, Author: gitlab.User{ID: 7, Username: "ada"}, Body: "Why?"}
		if isRequest {
			wanted.Commit, wanted.Request = "", number
		}
		if _, err := h.AddNote(id, wanted); err != nil {
			t.Fatal(err)
		}
		for _, step := range []struct {
			method, path string
			body         any
			commit, want int // statuses for a commit and for a merge request
		}{
			{"POST", path, map[string]any{}, 400, 400},
			{"POST", path, map[string]any{"body": " \n"}, 400, 400},
			{"POST", path, map[string]any{"body": strings.Repeat("a", 1_000_001)}, 400, 400},
			{"PUT", note, map[string]any{}, 400, 400},
			{"PUT", note, map[string]any{"body": "a", "resolved": true}, 400, 400},
			{"PUT", note, map[string]any{"body": ""}, 400, 400},
			{"PUT", note, map[string]any{"body": "Better."}, 200, 200},
			{"PUT", note, map[string]any{"body": "Better."}, 200, 200},
			{"PUT", note, map[string]any{"resolved": true}, 400, 200},
			{"PUT", one + "?resolved=false", nil, 404, 200},
			{"PUT", one, map[string]any{"resolved": true}, 404, 200},
			{"PUT", one, map[string]any{}, 404, 400},
			{"PUT", path + "/0123?resolved=true", nil, 404, 500},
			{"GET", path + "/0123", nil, 404, 404},
			{"GET", one, nil, 200, 200},
			{"PUT", one + "/notes/99", map[string]any{"body": "x"}, 404, 404},
		} {
			want := step.commit
			if isRequest {
				want = step.want
			}
			if status, answer := h.call(t, step.method, step.path, step.body); status != want {
				t.Errorf("%s %s %.60v answered %d %v, want %d", step.method, step.path, step.body, status, answer, want)
			}
		}
		notes, err := h.Notes(id, head)
		if isRequest {
			notes, err = h.RequestNotes(id, number)
		}
		if err != nil || len(notes) != 2 || notes[0].Body != "Better." || notes[0].Edits != 1 || notes[0].Resolved != isRequest || notes[1].Resolved != isRequest || notes[1].Author.Username != "ada" {
			t.Errorf("the notes are %+v, %v", notes, err)
		}
		if status, _ := h.call(t, "DELETE", note, nil); status != 204 {
			t.Errorf("deleting answered %d", status)
		}
		if err := h.DeleteNote(id, notes[1].ID); err != nil {
			t.Fatal(err)
		}
		if status, answer := h.call(t, "GET", path, nil); status != 200 || fmt.Sprint(answer) != "[]" {
			t.Errorf("once all is deleted, answered %d %v", status, answer)
		}
	}
	for _, missing := range []string{"repository/commits/" + strings.Repeat("1", 40), "repository/commits/master", "merge_requests/9"} {
		if status, _ := h.call(t, "GET", fmt.Sprintf("/projects/%d/%s/discussions", id, missing), nil); status != 404 {
			t.Errorf("%s answered %d", missing, status)
		}
	}
}

// TestQuickActions guards that lines which GitLab takes for commands are told, and are no part of the note; in code they are
// words like others.
func TestQuickActions(t *testing.T) {
	h := newHouse(t, nil)
	id := h.project(t, "support/one")
	head := h.commit(t, id, gitlab.Commit{Files: map[string]string{"a": "1"}})
	path := fmt.Sprintf("/projects/%d/repository/commits/%s/discussions", id, head)
	for body, want := range map[string]string{
		"Hello\n/close\n/Merge now \nthere": "Hello\nthere",
		"```\n/close\n```":                  "```\n/close\n```",
		" /close":                           " /close",
		"\\/close /close":                   "\\/close /close",
		"/path/to/something\n/closed":       "/path/to/something\n/closed",
	} {
		_, answer := h.call(t, "POST", path, map[string]any{"body": body})
		begun, _ := answer.(map[string]any)
		notes, _ := begun["notes"].([]any)
		if len(notes) != 1 || notes[0].(map[string]any)["body"] != want {
			t.Errorf("%q became %v, want %q", body, answer, want)
		}
	}
	if status, answer := h.call(t, "POST", path, map[string]any{"body": "/approve"}); status != 201 || answer.(map[string]any)["id"] != nil {
		t.Errorf("a command alone answered %d %v", status, answer)
	}
	done, err := h.QuickActions(id)
	if err != nil || strings.Join(done, "; ") != "/close; /Merge now; /approve" {
		t.Errorf("it did %q, %v", done, err)
	}
}

// TestNotesOfOthers guards who may change whose note: its author, and a maintainer; but resolve it whoever pushes.
func TestNotesOfOthers(t *testing.T) {
	for _, test := range []struct{ access, edit, resolve int }{{gitlab.Maintainer, 200, 200}, {gitlab.Developer, 403, 200}, {20, 403, 403}} {
		h := newHouse(t, func(o *gitlab.Options) { o.Access = test.access })
		id := h.project(t, "support/one")
		h.commit(t, id, gitlab.Commit{Files: map[string]string{"a": "1"}})
		h.commit(t, id, gitlab.Commit{Branch: "change", From: "master", Files: map[string]string{"a": "2"}})
		number, err := h.OpenMergeRequest(id, gitlab.MergeRequest{SourceBranch: "change"})
		if err != nil {
			t.Fatal(err)
		}
		said, err := h.AddNote(id, gitlab.Note{Request: number, Author: gitlab.User{ID: 7}, Body: "Mine"})
		if err != nil {
			t.Fatal(err)
		}
		one := fmt.Sprintf("/projects/%d/merge_requests/%d/discussions/%s", id, number, said.Discussion)
		note := fmt.Sprintf("%s/notes/%d", one, said.ID)
		if status, _ := h.call(t, "PUT", note, map[string]any{"body": "Yours"}); status != test.edit {
			t.Errorf("level %d, editing: %d", test.access, status)
		}
		if status, _ := h.call(t, "PUT", note, map[string]any{"resolved": true}); status != test.resolve {
			t.Errorf("level %d, resolving the note: %d", test.access, status)
		}
		if status, _ := h.call(t, "PUT", one, map[string]any{"resolved": false}); status != test.resolve {
			t.Errorf("level %d, resolving: %d", test.access, status)
		}
		if status, _ := h.call(t, "DELETE", note, nil); (status == 204) != (test.edit == 200) {
			t.Errorf("level %d, deleting: %d", test.access, status)
		}
	}
	h := newHouse(t, nil)
	id := h.project(t, "support/one")
	for _, n := range []gitlab.Note{{Body: "about nothing"}, {Request: 1}, {Commit: strings.Repeat("1", 40)}} {
		if _, err := h.AddNote(id, n); err == nil {
			t.Errorf("%+v was added", n)
		}
	}
	if err := h.DeleteNote(id, 1); err == nil {
		t.Error("a note that is not there was deleted")
	}
}

// TestNotesLimit guards GitLab's limit of notes: it counts new ones in each minute of the clock, and says when to come
// again.
func TestNotesLimit(t *testing.T) {
	now := time.Date(2026, 11, 21, 9, 0, 30, 0, time.UTC)
	h := newHouse(t, func(o *gitlab.Options) {
		o.NotesAMinute = 2
		o.Now = func() time.Time { return now }
	})
	id := h.project(t, "support/one")
	head := h.commit(t, id, gitlab.Commit{Files: map[string]string{"a": "1"}})
	path := fmt.Sprintf("/projects/%d/repository/commits/%s/discussions", id, head)
	say := func(want int) {
		t.Helper()
		if status, answer := h.call(t, "POST", path, map[string]any{"body": "x"}); status != want {
			t.Errorf("at %s: answered %d %v, want %d", now.Format(time.TimeOnly), status, answer, want)
		}
	}
	say(201)
	say(201)
	say(429)
	h.call(t, "GET", path, nil)
	now = now.Add(29 * time.Second)
	say(429)
	now = now.Add(time.Second)
	say(201)
	notes, err := h.Notes(id, head)
	if err != nil || len(notes) != 3 {
		t.Errorf("%d notes, %v", len(notes), err)
	}
}
