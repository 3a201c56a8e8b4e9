package gitlab_test

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"contactsync"
	"contactsync/gitlab"
	fake "contactsync/internal/fakes/gitlab"
	"contactsync/internal/fakes/gitlab/contract"
	"contactsync/sync"
)

// The client is what the sync tells people through.
var _ sync.Reporter = (*gitlab.Client)(nil)

// clock is a clock that stands still until somebody waits.
type clock struct {
	now    time.Time
	pauses []time.Duration
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time { return c.now }

func (c *clock) Wait(ctx context.Context, pause time.Duration) error {
	c.pauses = append(c.pauses, pause)
	c.now = c.now.Add(pause)
	return ctx.Err()
}

// office is a house with a commit on master, and a client whose clock goes on when it waits.
type office struct {
	*house
	*clock
	client *gitlab.Client
	head   string
	note   contactsync.Note // that writes change; there is none such unless a test writes it
}

func newOffice(t *testing.T, change func(*fake.Options)) *office {
	t.Helper()
	o := &office{clock: newClock(), note: contactsync.Note{Discussion: strings.Repeat("a", 40), ID: 99}}
	o.house = newHouse(t, func(options *fake.Options) {
		options.Now = o.Now
		if change != nil {
			change(options)
		}
	})
	o.head = o.push(t, fake.Commit{Files: map[string]string{"contacts.yaml": "- name: Ada\n"}})
	o.client = o.again(t)
	o.ForgetRequests()
	return o
}

// again is another client of the same GitLab.
func (o *office) again(t *testing.T) *gitlab.Client {
	t.Helper()
	return o.house.client(t, func(options *gitlab.Options) { options.Wait, options.Now = o.Wait, o.Now })
}

func (o *office) push(t *testing.T, c fake.Commit) string {
	t.Helper()
	head, err := o.Commit(o.id, c)
	if err != nil {
		t.Fatal(err)
	}
	return head
}

// request opens a merge request from a branch with one commit.
func (o *office) request(t *testing.T) int64 {
	t.Helper()
	o.push(t, fake.Commit{Branch: "change", From: "master", Files: map[string]string{"contacts.yaml": "- name: Grace\n"}})
	number, err := o.OpenMergeRequest(o.id, fake.MergeRequest{SourceBranch: "change"})
	if err != nil {
		t.Fatal(err)
	}
	o.ForgetRequests()
	return number
}

// wantRequests fails the test unless so many requests arrived since the last time.
func (o *office) wantRequests(t *testing.T, want int) {
	t.Helper()
	if got := o.Requests(); len(got) != want {
		t.Errorf("%d requests arrived, want %d: %+v", len(got), want, got)
	}
	o.ForgetRequests()
}

func (o *office) commitThread() contactsync.Thread {
	return contactsync.Thread{Project: o.id, Commit: o.head}
}

// writes are all calls that tell people something, and reads those that look.
func (o *office) writes(t *testing.T) map[string]func(int64) error {
	t.Helper()
	return map[string]func(int64) error{
		"status": func(project int64) error {
			return o.client.SetStatus(t.Context(), project, contactsync.CommitStatus{Commit: o.head, Ref: "master", Name: "contactsync", State: contactsync.CommitSuccess})
		},
		"note": func(project int64) error {
			_, err := o.client.CreateNote(t.Context(), contactsync.Thread{Project: project, Commit: o.head}, "text")
			return err
		},
		"changed note": func(project int64) error {
			_, err := o.client.UpdateNote(t.Context(), contactsync.Thread{Project: project, Commit: o.head}, o.note, "text")
			return err
		},
		"settled note": func(project int64) error {
			_, err := o.client.ResolveNote(t.Context(), contactsync.Thread{Project: project, Request: 1}, o.note, true)
			return err
		},
		"badge": func(project int64) error {
			_, err := o.client.SetBadge(t.Context(), project, contactsync.Badge{Name: "contacts", Link: "https://example.com", Image: "https://example.com/a.svg"})
			return err
		},
	}
}

func (o *office) reads(t *testing.T) map[string]func(int64) error {
	t.Helper()
	return map[string]func(int64) error{
		"branch": func(project int64) error { _, err := o.client.BranchHead(t.Context(), project, "master"); return err },
		"found note": func(project int64) error {
			_, _, err := o.client.FindNote(t.Context(), contactsync.Thread{Project: project, Commit: o.head})
			return err
		},
		"merge request": func(project int64) error { _, err := o.client.MergeRequest(t.Context(), project, 1); return err },
	}
}

// TestReportErrors guards, for every call alike, what is refused for good, what may work later, and what is about the
// project: only the second is tried again.
func TestReportErrors(t *testing.T) {
	tests := []struct {
		name   string
		status int
		body   string
		header string // Retry-After
		class  contactsync.Class
		retry  contactsync.Retry
		words  string
	}{
		{"bad request", 400, `{"message":"400 Bad request"}`, "", contactsync.ClassGitLabRefused, contactsync.RetryNo, "400 Bad request"},
		{"bad attribute", 400, `{"message":{"target_url":["is blocked"]}}`, "", contactsync.ClassGitLabRefused, contactsync.RetryNo, "target_url is blocked"},
		{"unknown token", 401, `{"message":"401 Unauthorized"}`, "", contactsync.ClassRepositoryUnreachable, contactsync.RetrySoon, "refuses the token"},
		{"no scope", 403, `{"error":"insufficient_scope"}`, "", contactsync.ClassGitLabRefused, contactsync.RetryNo, "does not let the token"},
		{"no project", 404, `{"message":"404 Project Not Found"}`, "", contactsync.ClassInvalidProjectID, contactsync.RetryNo, "no such project"},
		{"no such call", 404, `{"error":"404 Not Found"}`, "", contactsync.ClassGitLabRefused, contactsync.RetryNo, "does not have that call"},
		{"took long", 408, `{"message":"408 Request Timeout"}`, "", contactsync.ClassRepositoryUnreachable, contactsync.RetrySoon, "408"},
		{"busy", 409, `{"message":"Another update is in progress"}`, "30", contactsync.ClassRepositoryUnreachable, contactsync.RetryWhenTold, "Another update"},
		{"gone for good", 410, `{"message":"410 Gone"}`, "", contactsync.ClassGitLabRefused, contactsync.RetryNo, "410"},
		{"too large", 413, `{"message":"413 Request Entity Too Large"}`, "", contactsync.ClassGitLabRefused, contactsync.RetryNo, "413"},
		{"cannot be processed", 422, `{"message":"422 Unprocessable"}`, "", contactsync.ClassGitLabRefused, contactsync.RetryNo, "422"},
		{"too many", 429, `{"message":{"error":"This endpoint has been requested too many times."}}`, "60", contactsync.ClassRepositoryUnreachable, contactsync.RetryWhenTold, "429"},
		{"broken", 501, `{"message":"501"}`, "", contactsync.ClassRepositoryUnreachable, contactsync.RetrySoon, "501"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := newOffice(t, nil)
			header := jsonHeader.Clone()
			if test.header != "" {
				header.Set("Retry-After", test.header)
			}
			o.Inject(fake.Fault{Path: regexp.MustCompile("/projects/"), Status: test.status, Header: header, Body: test.body})
			for _, calls := range []map[string]func(int64) error{o.writes(t), o.reads(t)} {
				for name, call := range calls {
					err := call(o.id)
					wantClass(t, err, test.class, test.words)
					failure := contactsync.FailureOf(err)
					if failure.Retry != test.retry {
						t.Errorf("%s is tried again %s, want %s", name, failure.Retry, test.retry)
					}
					if pause := failure.RetryAt.Sub(o.Now()); test.retry == contactsync.RetryWhenTold && (pause < 30*time.Second || pause > time.Minute) {
						t.Errorf("%s is tried again in %s", name, pause)
					}
				}
			}
		})
	}
}

// TestReportNeedsGitLab guards that a page which something in between answers is neither believed nor a refusal, and that
// a project that is none of GitLab's is known as such by all calls.
func TestReportNeedsGitLab(t *testing.T) {
	o := newOffice(t, nil)
	for _, status := range []int{200, 403, 404, 502} {
		remove := o.Inject(fake.Fault{Path: regexp.MustCompile("/projects/"), Status: status, Header: http.Header{"Content-Type": {"text/html"}}, Body: "<html>sign in</html>"})
		for _, calls := range []map[string]func(int64) error{o.writes(t), o.reads(t)} {
			for name, call := range calls {
				if err := call(o.id); contactsync.ClassOf(err) != contactsync.ClassRepositoryUnreachable {
					t.Errorf("%s, answered %d by something else: %v", name, status, err)
				}
			}
		}
		remove()
	}
	for _, project := range []int64{-1, 0, 99} {
		for _, calls := range []map[string]func(int64) error{o.writes(t), o.reads(t)} {
			for name, call := range calls {
				if err := call(project); contactsync.ClassOf(err) != contactsync.ClassInvalidProjectID {
					t.Errorf("%s of project %d: %v", name, project, err)
				}
			}
		}
	}
}

// TestReportOnce guards that what tells people something is sent once, whatever becomes of its answer, and not at all once
// the fence is closed.
func TestReportOnce(t *testing.T) {
	for name := range newOffice(t, nil).writes(t) {
		t.Run(name, func(t *testing.T) {
			for _, fault := range []fake.Fault{{Reset: true}, {Reset: true, After: true}, {Status: 502}, {Status: 503, Header: jsonHeader, Body: `{}`}} {
				o := newOffice(t, nil)
				written, err := o.AddNote(o.id, fake.Note{Request: o.request(t), Author: fake.User{ID: 1}, Body: "text"})
				if err != nil {
					t.Fatal(err)
				}
				o.note = contactsync.Note{Discussion: written.Discussion, ID: written.ID}
				for _, fault.Method = range []string{"POST", "PUT"} {
					o.Inject(fault)
				}
				if err := o.writes(t)[name](o.id); contactsync.ClassOf(err) != contactsync.ClassRepositoryUnreachable {
					t.Errorf("the error is %v", err)
				}
				sent := 0
				for _, r := range o.Requests() {
					if r.Method != "GET" {
						sent++
					}
				}
				if sent != 1 {
					t.Errorf("it was sent %d times", sent)
				}
			}
		})
	}
	o := newOffice(t, nil)
	closed := errors.New("the run belongs to somebody else")
	ctx := contactsync.WithFence(t.Context(), func(context.Context) error { return closed })
	_, err := o.client.CreateNote(ctx, o.commitThread(), "text")
	if !errors.Is(err, closed) {
		t.Errorf("the error is %v", err)
	}
	if err := o.client.SetStatus(ctx, o.id, contactsync.CommitStatus{Commit: o.head, State: contactsync.CommitFailed}); !errors.Is(err, closed) {
		t.Errorf("the error is %v", err)
	}
	o.wantRequests(t, 0)
}

// TestMayWrite guards what can be said beforehand: a token that only reads is told apart, and is refused with a remedy.
func TestMayWrite(t *testing.T) {
	for _, test := range []struct {
		scopes []string
		may    bool
	}{{[]string{"api"}, true}, {[]string{"read_api", "read_repository"}, false}, {[]string{"read_api", "write_repository"}, false}} {
		o := newOffice(t, func(options *fake.Options) { options.Scopes = test.scopes })
		found, err := o.client.CheckToken(t.Context())
		if err != nil || found.MayWrite() != test.may {
			t.Errorf("a token with %v: %+v, %v", test.scopes, found, err)
		}
		err = o.client.SetStatus(t.Context(), o.id, contactsync.CommitStatus{Commit: o.head, Ref: "master", Name: "contactsync", State: contactsync.CommitPending})
		if test.may != (err == nil) {
			t.Errorf("a token with %v: %v", test.scopes, err)
		}
		if !test.may {
			wantClass(t, err, contactsync.ClassGitLabRefused, "insufficient_scope")
			if remedy := contactsync.FailureOf(err).Remedy; !strings.Contains(remedy, "scope api") {
				t.Errorf("the remedy is %q", remedy)
			}
		}
	}
}

// TestReportContract guards that what the client sends to tell people something is as GitLab describes it.
func TestReportContract(t *testing.T) {
	spec := contract.FromEnvironment(t)
	o := newOffice(t, nil)
	number := o.request(t)
	o.client = o.house.client(t, func(options *gitlab.Options) {
		options.Wait, options.Now = o.Wait, o.Now
		options.Transport = spec.Transport(http.DefaultTransport, func(err error) { t.Error(err) })
	})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	_, err := o.client.BranchHead(t.Context(), o.id, "change")
	must(err)
	_, err = o.client.MergeRequest(t.Context(), o.id, number)
	must(err)
	for range 2 {
		must(o.client.SetStatus(t.Context(), o.id, contactsync.CommitStatus{Commit: o.head, Ref: "master", Name: "contactsync",
			State: contactsync.CommitPending, Description: "Waits", Target: "https://example.com/runs/1"}))
	}
	for _, thread := range []contactsync.Thread{o.commitThread(), {Project: o.id, Request: number}} {
		note, err := o.client.CreateNote(t.Context(), thread, "text")
		must(err)
		_, err = o.client.UpdateNote(t.Context(), thread, note, "other text")
		must(err)
		if thread.Request != 0 {
			_, err = o.client.ResolveNote(t.Context(), thread, note, true)
			must(err)
		}
		found, there, err := o.client.FindNote(t.Context(), thread)
		must(err)
		if !there || found != note {
			t.Errorf("found %+v, want %+v", found, note)
		}
	}
	for _, image := range []string{"a", "a", "b"} {
		must(badgeError(o.client.SetBadge(t.Context(), o.id, contactsync.Badge{Name: "contacts", Link: "https://example.com/%{project_id}", Image: "https://example.com/" + image})))
	}
	o.wantRequests(t, 1+1+2+(3+4)+(2+1+2)) // whose the token is, a status tells
}
