package gitlab_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"testing"

	"contactsync"
	"contactsync/gitlab"
	fake "contactsync/internal/fakes/gitlab"
)

// TestMergeRequest guards what is read of a merge request through its life, in one request each.
func TestMergeRequest(t *testing.T) {
	o := newOffice(t, nil)
	number := o.request(t)
	read := func(number int64) contactsync.MergeRequest {
		t.Helper()
		o.ForgetRequests()
		got, err := o.client.MergeRequest(t.Context(), o.id, number)
		if err != nil {
			t.Fatal(err)
		}
		o.wantRequests(t, 1)
		return got
	}
	head, err := o.Head(o.id, "change")
	if err != nil {
		t.Fatal(err)
	}
	want := contactsync.MergeRequest{
		Project: contactsync.Project{ID: o.id, Path: "support/organization-42", CloneURL: o.URL() + "/support/organization-42.git", WebURL: o.URL() + "/support/organization-42"},
		Number:  number, Open: true, Source: "change", Target: "master", Head: head, Base: o.head,
	}
	if got := read(number); got != want {
		t.Errorf("read %+v, want %+v", got, want)
	}
	want.Head = o.push(t, fake.Commit{Branch: "change", Files: map[string]string{"contacts.yaml": "- name: Alan\n"}})
	if got := read(number); got != want {
		t.Errorf("after a push, read %+v, want %+v", got, want)
	}
	if err := o.CloseMergeRequest(o.id, number); err != nil {
		t.Fatal(err)
	}
	if got := read(number); got.Open {
		t.Errorf("once it is closed, read %+v", got)
	}
	if err := o.ReopenMergeRequest(o.id, number); err != nil {
		t.Fatal(err)
	}
	if got := read(number); got != want {
		t.Errorf("once it is open again, read %+v, want %+v", got, want)
	}
	if _, err := o.Merge(o.id, number, false); err != nil {
		t.Fatal(err)
	}
	want.Open = false
	if got := read(number); got != want {
		t.Errorf("once it is merged, read %+v, want %+v", got, want)
	}
}

// TestMergeRequestOfFork guards that a fork's is known as such, also once the fork is gone, and that its commit can be read
// from the project itself.
func TestMergeRequestOfFork(t *testing.T) {
	o := newOffice(t, nil)
	head, err := forked(o)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		got, err := o.client.MergeRequest(t.Context(), o.id, 1)
		if err != nil || !got.Fork || got.Project.ID != o.id || got.Head != head || got.Base != o.head {
			t.Errorf("read %+v, %v", got, err)
		}
		request, err := o.house.MergeRequest(o.id, 1)
		if err != nil {
			t.Fatal(err)
		}
		if request.Source != 0 {
			if err := o.PurgeProject(request.Source); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestMergeRequestAnswers guards that only what is about the merge request that was asked for is believed, and that what goes
// into addresses and is compared with commits looks like what it is.
func TestMergeRequestAnswers(t *testing.T) {
	o := newOffice(t, nil)
	o.request(t)
	whole := func(change map[string]any) string {
		answer := map[string]any{"iid": 1, "project_id": o.id, "target_project_id": o.id, "source_project_id": o.id, "target_branch": "master", "state": "opened",
			"sha": o.head, "diff_refs": map[string]any{"base_sha": o.head}, "references": map[string]any{"full": "support/organization-42!1"}}
		for name, value := range change {
			answer[name] = value
		}
		data, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	ask := func(answer string) (contactsync.MergeRequest, error) {
		defer o.Inject(fake.Fault{Status: 200, Header: jsonHeader, Body: answer})()
		return o.client.MergeRequest(t.Context(), o.id, 1)
	}
	for name, change := range map[string]map[string]any{
		"another number": {"iid": 2}, "another project": {"project_id": 8}, "another target": {"target_project_id": 8},
		"no path": {"references": nil}, "another number in the path": {"references": map[string]any{"full": "support/organization-42!2"}},
		"a path that leads away": {"references": map[string]any{"full": "support/../x!1"}}, "no commit": {"sha": nil},
		"a short commit": {"sha": o.head[:39]}, "a commit that leads away": {"sha": "../" + o.head[3:]},
		"a base that is none": {"diff_refs": map[string]any{"base_sha": "HEAD"}}, "an unknown state": {"state": "asleep"},
		"no target branch": {"target_branch": ""}, "a number as text": {"iid": "1"},
	} {
		_, err := ask(whole(change))
		if contactsync.ClassOf(err) != contactsync.ClassRepositoryUnreachable {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, answer := range map[string]string{"null": `null`, "a list": `[]`, "nothing": ``, "half": `{"iid":1`} {
		if _, err := ask(answer); contactsync.ClassOf(err) != contactsync.ClassRepositoryUnreachable {
			t.Errorf("%s: %v", name, err)
		}
	}
	long := "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	if got, err := ask(whole(map[string]any{"sha": long, "diff_refs": nil, "state": "locked", "source_project_id": nil})); err != nil || got.Head != long || got.Base != "" || !got.Open || !got.Fork {
		t.Errorf("read %+v, %v", got, err)
	}
	_, err := o.client.MergeRequest(t.Context(), o.id, 99)
	wantClass(t, err, contactsync.ClassGitLabRefused, "reading merge request 99", "does not have it")
	_, err = o.client.MergeRequest(t.Context(), o.id, 0)
	wantClass(t, err, contactsync.ClassGitLabRefused, "above zero")
}

// parroting is a transport that answers every request alike.
type parroting string

func (a parroting) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: jsonHeader.Clone(), Body: io.NopCloser(bytes.NewReader([]byte(a))), Request: r}, nil
}

// FuzzReportAnswers guards that no answer makes the client fall over, and that what it returns can be believed.
func FuzzReportAnswers(f *testing.F) {
	hash := "0123456789abcdef0123456789abcdef01234567"
	f.Add(`{"iid":1,"project_id":7,"target_project_id":7,"source_project_id":null,"target_branch":"master","state":"opened","sha":"` + hash + `","diff_refs":null,"references":{"full":"a/b!1"}}`)
	f.Add(`{"name":"master","commit":{"id":"` + hash + `"},"user_id":1}`)
	f.Add(`[{"id":"a","notes":[{"id":1,"author":{"id":1},"body":"<!-- contactsync -->"}]}]`)
	f.Add(`[{"id":1,"name":"contacts","kind":"project"}]`)
	f.Add(`null`)
	f.Add(`[null]`)
	commit := regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)
	f.Fuzz(func(t *testing.T, answer string) {
		client, err := gitlab.New(gitlab.Options{URL: "https://gitlab.example.com", Token: token, Transport: parroting(answer)})
		if err != nil {
			t.Fatal(err)
		}
		request, err := client.MergeRequest(t.Context(), 7, 1)
		if err == nil && (!commit.MatchString(request.Head) || request.Project.ID != 7 || request.Number != 1 || request.Project.CloneURL != "https://gitlab.example.com/"+request.Project.Path+".git") {
			t.Errorf("read %+v", request)
		}
		if head, err := client.BranchHead(t.Context(), 7, "master"); err == nil && !commit.MatchString(head) {
			t.Errorf("the branch is at %q", head)
		}
		thread := contactsync.Thread{Project: 7, Commit: hash}
		if note, there, err := client.FindNote(t.Context(), thread); err == nil && there != (note.ID > 0 && note.Discussion != "") {
			t.Errorf("found %+v, %v", note, there)
		}
		if note, err := client.CreateNote(t.Context(), thread, "text"); err == nil && (note.ID <= 0 || note.Discussion == "") {
			t.Errorf("wrote %+v", note)
		}
		// What these make of an answer is an error or nothing.
		_ = client.SetStatus(t.Context(), 7, contactsync.CommitStatus{Commit: hash, State: contactsync.CommitSuccess})
		_, _ = client.SetBadge(t.Context(), 7, contactsync.Badge{Name: "contacts"})
	})
}
