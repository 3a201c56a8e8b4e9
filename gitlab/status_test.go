package gitlab_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"contactsync"
	"contactsync/gitlab"
	fake "contactsync/internal/fakes/gitlab"
)

// TestBranchHead guards that a branch is found by its whole name, whatever is in it, that none is no error, and that it
// takes one request.
func TestBranchHead(t *testing.T) {
	o := newOffice(t, nil)
	odd := o.push(t, fake.Commit{Branch: "feature/a#b%2Fü", Files: map[string]string{"a": "1"}})
	o.ForgetRequests()
	for branch, want := range map[string]string{"master": o.head, "feature/a#b%2Fü": odd, "feature": "", "Master": "", "refs/heads/master": ""} {
		got, err := o.client.BranchHead(t.Context(), o.id, branch)
		if err != nil || got != want {
			t.Errorf("%q is at %q, %v, want %q", branch, got, err, want)
		}
		o.wantRequests(t, 1)
	}
	if got, err := o.client.BranchHead(t.Context(), o.id, ""); err != nil || got != "" {
		t.Errorf("no branch is at %q, %v", got, err)
	}
	for _, answer := range []string{`{}`, `null`, `[]`, `{"name":"other","commit":{"id":"` + o.head + `"}}`, `{"name":"master","commit":{"id":"../x"}}`} {
		remove := o.Inject(fake.Fault{Status: 200, Header: jsonHeader, Body: answer})
		_, err := o.client.BranchHead(t.Context(), o.id, "master")
		wantClass(t, err, contactsync.ClassRepositoryUnreachable, "cannot be understood")
		remove()
	}
}

// TestSetStatus guards the course of a commit: what is set arrives, in one request; a later state follows an earlier one;
// what is so already is left alone; and after an end it can begin anew.
func TestSetStatus(t *testing.T) {
	o := newOffice(t, nil)
	set := func(state contactsync.CommitState, description string) {
		t.Helper()
		err := o.client.SetStatus(t.Context(), o.id, contactsync.CommitStatus{Commit: o.head, Ref: "master", Name: "contactsync", State: state,
			Description: description, Target: "https://example.com/runs/1"})
		if err != nil {
			t.Fatal(err)
		}
		o.wantRequests(t, 1)
	}
	set(contactsync.CommitPending, "Waits")
	set(contactsync.CommitPending, "Waits")
	set(contactsync.CommitFailed, "Line 3 has no address")
	set(contactsync.CommitFailed, "Line 3 has no address")
	set(contactsync.CommitPending, "Waits")
	set(contactsync.CommitSuccess, "7 contacts")
	got, err := o.Statuses(o.id, o.head)
	if err != nil {
		t.Fatal(err)
	}
	var states []string
	for _, s := range got {
		states = append(states, s.State)
	}
	last := got[len(got)-1]
	if strings.Join(states, " ") != "failed failed success" || last.Description != "7 contacts" || last.Target != "https://example.com/runs/1" ||
		last.Name != "contactsync" || last.Ref != "master" || last.Superseded || !got[1].Superseded {
		t.Errorf("the statuses are %+v", got)
	}
}

// TestStatusFits guards that what is too long for GitLab is made to fit, by its characters and not its bytes.
func TestStatusFits(t *testing.T) {
	address := func(length int) string { return "https://example.com/" + strings.Repeat("a", length-20) }
	for _, test := range []struct{ description, target, wantDescription, wantTarget string }{
		{strings.Repeat("ü", 255), address(255), strings.Repeat("ü", 255), address(255)},
		{strings.Repeat("ü", 256), address(256), strings.Repeat("ü", 254) + "…", ""},
		{"two\nlines\x00", "", "two lines", ""},
		{"", "", "", ""},
	} {
		o := newOffice(t, nil)
		err := o.client.SetStatus(t.Context(), o.id, contactsync.CommitStatus{Commit: o.head, Ref: "master", Name: "contactsync",
			State: contactsync.CommitSuccess, Description: test.description, Target: test.target})
		if err != nil {
			t.Fatal(err)
		}
		got, err := o.Statuses(o.id, o.head)
		if err != nil || len(got) != 1 || got[0].Description != test.wantDescription || got[0].Target != test.wantTarget {
			t.Errorf("%d characters arrived as %+v, %v", utf8.RuneCountInString(test.description), got, err)
		}
	}
}

// TestStatusBusy guards that a status which meets another one is tried again as GitLab asks, a few times, within the call.
func TestStatusBusy(t *testing.T) {
	tests := []struct {
		name     string
		times    int
		after    string // Retry-After
		requests int
		pauses   []time.Duration
		retry    contactsync.Retry // "" where it works
	}{
		{"once", 1, "", 2, []time.Duration{300 * time.Millisecond}, ""},
		{"twice", 2, "", 3, []time.Duration{300 * time.Millisecond, 600 * time.Millisecond}, ""},
		{"on and on", 3, "", 3, []time.Duration{300 * time.Millisecond, 600 * time.Millisecond}, contactsync.RetrySoon},
		{"for some seconds", 1, "3", 2, []time.Duration{3 * time.Second}, ""},
		{"for long", 1, "60", 1, nil, contactsync.RetryWhenTold},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := newOffice(t, nil)
			if test.after == "" {
				o.BusyStatuses(test.times)
			} else {
				header := jsonHeader.Clone()
				header.Set("Retry-After", test.after)
				o.Inject(fake.Fault{Method: "POST", Times: test.times, Status: 409, Header: header, Body: `{"message":"Another update to this commit status is in progress"}`})
			}
			err := o.client.SetStatus(t.Context(), o.id, contactsync.CommitStatus{Commit: o.head, Ref: "master", Name: "contactsync", State: contactsync.CommitPending})
			if test.retry == "" && err != nil {
				t.Fatal(err)
			}
			if test.retry != "" {
				wantClass(t, err, contactsync.ClassRepositoryUnreachable, "in progress")
				if failure := contactsync.FailureOf(err); failure.Retry != test.retry {
					t.Errorf("it is tried again %s", failure.Retry)
				}
			}
			o.wantRequests(t, test.requests)
			if !slices.Equal(o.clock.pauses, test.pauses) {
				t.Errorf("the pauses are %v, want %v", o.clock.pauses, test.pauses)
			}
		})
	}

	o := newOffice(t, nil)
	o.BusyStatuses(1)
	ctx, cancel := context.WithCancel(t.Context())
	client := o.house.client(t, func(options *gitlab.Options) {
		options.Wait = func(ctx context.Context, _ time.Duration) error { cancel(); return ctx.Err() }
	})
	err := client.SetStatus(ctx, o.id, contactsync.CommitStatus{Commit: o.head, State: contactsync.CommitPending})
	if !contactsync.IsCanceled(err) {
		t.Errorf("given up while waiting: %v", err)
	}
}

// TestStatusRefused guards that what GitLab will never take is refused for good.
func TestStatusRefused(t *testing.T) {
	tests := []struct {
		name    string
		options func(*fake.Options)
		prepare func(*office) error
		status  func(*office) contactsync.CommitStatus
		words   string
	}{
		{name: "no such commit", status: func(*office) contactsync.CommitStatus {
			return contactsync.CommitStatus{Commit: strings.Repeat("0", 40), Ref: "master"}
		}, words: "does not have it"},
		{name: "a commit of a fork, without a branch", status: func(o *office) contactsync.CommitStatus {
			head, err := forked(o)
			if err != nil {
				panic(err)
			}
			return contactsync.CommitStatus{Commit: head}
		}, words: "does not have it"},
		{name: "a protected branch", prepare: func(o *office) error {
			return o.Protect(o.id, fake.Protection{Branch: "mas*", Push: []fake.Grant{{Level: 0}}, Merge: []fake.Grant{{User: 7}}})
		}, words: "does not let"},
		{name: "a guest", options: func(o *fake.Options) { o.Access = 10 }, words: "does not let"},
		{name: "an address that is none", status: func(o *office) contactsync.CommitStatus {
			return contactsync.CommitStatus{Commit: o.head, Ref: "master", Target: "javascript:1"}
		}, words: "target_url is blocked"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := newOffice(t, test.options)
			if test.prepare != nil {
				if err := test.prepare(o); err != nil {
					t.Fatal(err)
				}
			}
			status := contactsync.CommitStatus{Commit: o.head, Ref: "master"}
			if test.status != nil {
				status = test.status(o)
			}
			status.Name, status.State = "contactsync", contactsync.CommitSuccess
			err := o.client.SetStatus(t.Context(), o.id, status)
			wantClass(t, err, contactsync.ClassGitLabRefused, test.words)
		})
	}
	o := newOffice(t, nil)
	for _, commit := range []string{"", "master", "../../x", strings.ToUpper(o.head), o.head[:39]} {
		if err := o.client.SetStatus(t.Context(), o.id, contactsync.CommitStatus{Commit: commit}); contactsync.ClassOf(err) != contactsync.ClassInternal {
			t.Errorf("the commit %q: %v", commit, err)
		}
	}
	o.wantRequests(t, 0)
	// A fork's commit has a status where the branch is said.
	head, err := forked(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.client.SetStatus(t.Context(), o.id, contactsync.CommitStatus{Commit: head, Ref: "theirs", Name: "contactsync", State: contactsync.CommitSuccess}); err != nil {
		t.Error(err)
	}
	o.Inject(fake.Fault{Status: 201, Header: jsonHeader, Body: `{"sha":"` + head + `","status":"failed"}`})
	err = o.client.SetStatus(t.Context(), o.id, contactsync.CommitStatus{Commit: head, State: contactsync.CommitSuccess})
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "cannot be understood")
}

// forked opens a merge request from a fork, and returns its commit.
func forked(o *office) (string, error) {
	fork, err := o.Fork(o.id, "customer/organization-42")
	if err != nil {
		return "", err
	}
	head, err := o.Commit(fork, fake.Commit{Branch: "theirs", From: "master", Files: map[string]string{"contacts.yaml": "- name: Alan\n"}})
	if err != nil {
		return "", err
	}
	_, err = o.OpenMergeRequest(o.id, fake.MergeRequest{Source: fork, SourceBranch: "theirs"})
	return head, err
}
