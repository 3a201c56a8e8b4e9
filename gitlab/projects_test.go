package gitlab_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"contactsync"
	"contactsync/gitlab"
	fake "contactsync/internal/fakes/gitlab"
)

// yard is a house whose token is an owner's, with a group for projects and a template below it.
type yard struct {
	*house
	t        *testing.T
	client   *gitlab.Client
	template int64
}

func newYard(t *testing.T, change func(*fake.Options)) *yard {
	t.Helper()
	h := newHouse(t, func(o *fake.Options) {
		o.Access = fake.Owner
		o.Now = func() time.Time { return time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC) }
		if change != nil {
			change(o)
		}
	})
	y := &yard{house: h, t: t, client: h.client(t, nil)}
	var err error
	if y.template, err = h.CreateProject(fake.Project{ID: 800, Path: "support/templates/contacts", DefaultBranch: "main"}); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Commit(y.template, fake.Commit{Files: map[string]string{"contacts.yaml": "contacts: []\n"}}); err != nil {
		t.Fatal(err)
	}
	h.ForgetRequests()
	return y
}

// took fails the test unless exactly these requests arrived, and forgets them.
func (y *yard) took(want ...string) {
	y.t.Helper()
	var got []string
	for _, r := range y.Requests() {
		got = append(got, r.Method+" "+strings.TrimPrefix(r.Path, "/api/v4/"))
	}
	if !reflect.DeepEqual(got, want) {
		y.t.Errorf("the requests were %q, want %q", got, want)
	}
	y.ForgetRequests()
}

func (y *yard) must(err error) {
	y.t.Helper()
	if err != nil {
		y.t.Fatal(err)
	}
}

var organization7 = contactsync.NewProject{Group: "support", Path: "organization-7", Name: "Organization 7",
	Settings: map[string]string{"lfs_enabled": "false", "wiki_access_level": "disabled", "visibility": "public", "of_the_future": "1"}}

// TestSelf guards whose number is told.
func TestSelf(t *testing.T) {
	y := newYard(t, nil)
	self, err := y.client.Self(context.Background())
	if err != nil || self != 1 {
		t.Errorf("it is %d, %v", self, err)
	}
	y.took("GET personal_access_tokens/self")
	y.Inject(fake.Fault{Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{}`})
	_, err = y.client.Self(context.Background())
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "whose the token is")
}

// TestProjectLife guards a project's whole life: each call takes the requests that are promised, and tells what is so.
func TestProjectLife(t *testing.T) {
	y := newYard(t, nil)
	ctx := context.Background()
	made, err := y.client.CreateProject(ctx, organization7)
	y.must(err)
	y.took("GET namespaces/support", "POST projects")
	if made.Path != "support/organization-7" || made.Name != "Organization 7" || made.Import != "none" || !made.Empty || made.Deletion != "" ||
		made.CloneURL != y.URL()+"/support/organization-7.git" {
		t.Errorf("made %+v", made)
	}
	for name, want := range map[string]string{"visibility": "private", "lfs_enabled": "false", "wiki_access_level": "disabled",
		"wiki_enabled": "false", "pages_access_level": "private", "jobs_enabled": "true", "build_timeout": "3600", "merge_method": "merge"} {
		if made.Settings[name] != want {
			t.Errorf("%s is %q, want %q", name, made.Settings[name], want)
		}
	}
	if _, known := made.Settings["of_the_future"]; known {
		t.Error("a setting that GitLab does not know was told")
	}

	changed, err := y.client.ChangeSettings(ctx, made.ID, map[string]string{"builds_access_level": "disabled", "request_access_enabled": "false",
		"build_timeout": "600", "of_the_future": "true"})
	y.must(err)
	y.took(fmt.Sprintf("PUT projects/%d", made.ID))
	if s := changed.Settings; s["builds_access_level"] != "disabled" || s["jobs_enabled"] != "false" || s["request_access_enabled"] != "false" ||
		s["build_timeout"] != "600" || s["of_the_future"] != "" || s["lfs_enabled"] != "false" {
		t.Errorf("changed to %v", s)
	}
	read, err := y.client.ProjectDetails(ctx, made.ID)
	y.must(err)
	y.took(fmt.Sprintf("GET projects/%d", made.ID))
	found, there, err := y.client.FindProject(ctx, "Support/organization-7")
	y.must(err)
	y.took("GET projects/Support/organization-7")
	if !there || !reflect.DeepEqual(read, changed) || !reflect.DeepEqual(found, changed) {
		t.Errorf("found %+v, read %+v, changed to %+v", found, read, changed)
	}

	gone, err := y.client.DeleteProject(ctx, made.ID)
	y.must(err)
	if gone != "2026-12-21" {
		t.Errorf("it is gone on %q", gone)
	}
	y.took(fmt.Sprintf("DELETE projects/%d", made.ID), fmt.Sprintf("GET projects/%d", made.ID))
	if read, err = y.client.ProjectDetails(ctx, made.ID); err != nil || read.Deletion != gone || read.Path == made.Path {
		t.Errorf("read %+v, %v", read, err)
	}
	if _, there, err := y.client.FindProject(ctx, made.Path); err != nil || there {
		t.Errorf("what is to be deleted is still at its path: %v, %v", there, err)
	}
	if _, err := y.client.Project(ctx, made.ID); contactsync.ClassOf(err) != contactsync.ClassInvalidProjectID || !strings.Contains(err.Error(), "was marked for deletion on 2026-11-21") {
		t.Errorf("a sync is told %v", err)
	}
	_, err = y.client.DeleteProject(ctx, made.ID)
	wantClass(t, err, contactsync.ClassGitLabRefused, "deleting project", "already been marked")
	y.ForgetRequests()

	restored, err := y.client.RestoreProject(ctx, made.ID)
	y.must(err)
	y.took(fmt.Sprintf("POST projects/%d/restore", made.ID))
	if !reflect.DeepEqual(restored, changed) {
		t.Errorf("restored %+v, want %+v", restored, changed)
	}
	_, err = y.client.RestoreProject(ctx, made.ID)
	wantClass(t, err, contactsync.ClassGitLabRefused, "restoring project", "not been marked")
}

// TestDeletionDays guards that the day follows what the instance was said to keep.
func TestDeletionDays(t *testing.T) {
	y := newYard(t, nil)
	client := y.house.client(t, func(o *gitlab.Options) { o.DeletionDays = 7 })
	if gone, err := client.DeleteProject(context.Background(), y.id); err != nil || gone != "2026-11-28" {
		t.Errorf("it is gone on %q, %v", gone, err)
	}
}

// TestTemplate guards how a project from a template is asked for, and what is told until it is finished.
func TestTemplate(t *testing.T) {
	for _, reference := range []string{"800", "support/templates/contacts"} {
		t.Run(reference, func(t *testing.T) {
			y := newYard(t, func(o *fake.Options) { o.ImportPolls = 2 })
			wanted := organization7
			wanted.Template = reference
			made, err := y.client.CreateProject(context.Background(), wanted)
			y.must(err)
			y.took("GET namespaces/support", "GET projects/"+reference, "POST projects")
			states := []string{made.Import}
			for range 2 {
				made, err = y.client.ProjectDetails(context.Background(), made.ID)
				y.must(err)
				states = append(states, made.Import)
			}
			if want := []string{"scheduled", "started", "finished"}; !reflect.DeepEqual(states, want) {
				t.Errorf("the states were %q, want %q", states, want)
			}
			if made.Empty || made.DefaultBranch != "main" || made.Settings["lfs_enabled"] != "true" {
				t.Errorf("it was imported as %+v", made)
			}
			if file, err := y.File(made.ID, "main", "contacts.yaml"); err != nil || file != "contacts: []\n" {
				t.Errorf("the file is %q, %v", file, err)
			}
		})
	}
	t.Run("failed", func(t *testing.T) {
		y := newYard(t, func(o *fake.Options) { o.ImportError = "out of\norder" })
		wanted := organization7
		wanted.Template = "800"
		made, err := y.client.CreateProject(context.Background(), wanted)
		y.must(err)
		made, err = y.client.ProjectDetails(context.Background(), made.ID)
		if err != nil || made.Import != "failed" || made.ImportError != "out of order" {
			t.Errorf("it was %+v, %v", made, err)
		}
	})
}

// TestGroupProjects guards that a group's own projects come from all pages, and no others.
func TestGroupProjects(t *testing.T) {
	y := newYard(t, nil)
	for id := int64(1); id <= 101; id++ {
		if _, err := y.CreateProject(fake.Project{ID: id, Path: "big/organization-" + strconv.FormatInt(id, 10)}); err != nil {
			t.Fatal(err)
		}
	}
	y.must(y.Server.DeleteProject(5))
	_, err := y.CreateProject(fake.Project{Path: "big/below/other"})
	y.must(err)
	var tally contactsync.Tally
	found, err := y.client.GroupProjects(contactsync.WithTally(context.Background(), &tally), "big")
	y.must(err)
	if len(found) != 100 || found[0].ID != 1 || found[4].ID != 6 || found[99].ID != 101 || found[99].Settings["visibility"] != "private" {
		t.Errorf("found %d", len(found))
	}
	if got := tally.Requests().GitLab; got != 2 {
		t.Errorf("%d requests were counted", got)
	}
	_, err = y.client.GroupProjects(context.Background(), "no/such")
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "no group no/such")
}

// TestSettingsAreNoSecrets guards that nothing secret, and nothing that is no setting, is told as one.
func TestSettingsAreNoSecrets(t *testing.T) {
	y := newYard(t, nil)
	y.Inject(fake.Fault{Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"id":4711,"path_with_namespace":"a/b",
		"runners_token":"swordfish","import_url":"https://a:swordfish@b","service_desk_address":"a@example.com","deploy_secret":"swordfish",
		"some_password":"swordfish","ci_push_repository_for_job_token_allowed":false,"visibility":"inter\nnal","star_count":3,
		"default_branch":"main","topics":["a"],"namespace":{"id":3},"description":null,"ci_default_git_depth":20,"open_issues_count":1}`})
	found, err := y.client.ProjectDetails(context.Background(), 4711)
	y.must(err)
	want := map[string]string{"ci_push_repository_for_job_token_allowed": "false", "visibility": "inter nal", "default_branch": "main", "ci_default_git_depth": "20"}
	if !reflect.DeepEqual(found.Settings, want) {
		t.Errorf("the settings are %q, want %q", found.Settings, want)
	}
}

// TestWritesInDoubt guards that no write is sent twice, and that what became of one whose answer was lost is told as it
// is.
func TestWritesInDoubt(t *testing.T) {
	lost := []struct {
		name  string
		fault fake.Fault
	}{
		{"broken", fake.Fault{Status: 502, Body: "<html>swordfish</html>"}},
		{"cut", fake.Fault{Reset: true}},
		{"a page in between", fake.Fault{Status: 200, Body: "<html>sign in</html>"}},
	}
	write := regexp.MustCompile(`^/api/v4/projects(/\d+(/restore)?)?$`)
	writes := []struct {
		name, method string
		call         func(*yard) error
		done         bool // whether it is told of as done when it was
		words        string
	}{
		{"create", "POST", func(y *yard) error {
			made, err := y.client.CreateProject(context.Background(), organization7)
			if err == nil && made.Path != "support/organization-7" {
				return fmt.Errorf("made %+v", made)
			}
			return err
		}, true, "nothing was made, as far as GitLab shows"},
		{"change", "PUT", func(y *yard) error {
			_, err := y.client.ChangeSettings(context.Background(), y.id, map[string]string{"lfs_enabled": "false"})
			return err
		}, false, "changing the settings of project 4711"},
		{"delete", "DELETE", func(y *yard) error {
			gone, err := y.client.DeleteProject(context.Background(), y.id)
			if err == nil && gone != "2026-12-21" {
				return fmt.Errorf("it is gone on %q", gone)
			}
			return err
		}, true, "deleting project 4711"},
		{"restore", "POST", func(y *yard) error {
			y.must(y.Server.DeleteProject(y.id))
			_, err := y.client.RestoreProject(context.Background(), y.id)
			return err
		}, true, "restoring project 4711"},
	}
	for _, w := range writes {
		for _, l := range lost {
			for _, after := range []bool{true, false} {
				t.Run(fmt.Sprint(w.name, ", ", l.name, ", took effect ", after), func(t *testing.T) {
					y := newYard(t, nil)
					fault := l.fault
					fault.Method, fault.Path, fault.After, fault.Times = w.method, write, after, 1
					y.Inject(fault)
					err := w.call(y)
					if after && w.done {
						y.must(err)
					} else {
						wantClass(t, err, contactsync.ClassRepositoryUnreachable, w.words)
					}
					sent := 0
					for _, r := range y.Requests() {
						if r.Method != http.MethodGet {
							sent++
						}
					}
					if sent != 1 {
						t.Errorf("%d writes were sent", sent)
					}
				})
			}
		}
	}
	t.Run("removed at once", func(t *testing.T) {
		y := newYard(t, nil)
		y.Inject(fake.Fault{Method: "DELETE", Status: 202, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"message":"202 Accepted"}`})
		y.must(y.PurgeProject(y.id))
		if gone, err := y.client.DeleteProject(context.Background(), y.id); err != nil || gone != "" {
			t.Errorf("it is gone on %q, %v", gone, err)
		}
	})
	t.Run("and no way to look", func(t *testing.T) {
		y := newYard(t, nil)
		y.Inject(fake.Fault{Method: "POST", Status: 502, After: true})
		y.Inject(fake.Fault{Path: regexp.MustCompile("organization-7$"), Status: 503})
		_, err := y.client.CreateProject(context.Background(), organization7)
		wantClass(t, err, contactsync.ClassRepositoryUnreachable, "not known whether it was made", "502", "503")
	})
}

// TestRefusedWrites guards what a refusal is told as: what GitLab said, and what is to be done.
func TestRefusedWrites(t *testing.T) {
	create := func(change func(*contactsync.NewProject)) func(*yard) error {
		return func(y *yard) error {
			wanted := organization7
			if change != nil {
				change(&wanted)
			}
			_, err := y.client.CreateProject(context.Background(), wanted)
			return err
		}
	}
	change := func(name, value string) func(*yard) error {
		return func(y *yard) error {
			_, err := y.client.ChangeSettings(context.Background(), y.id, map[string]string{name: value})
			return err
		}
	}
	remove := func(y *yard) error { _, err := y.client.DeleteProject(context.Background(), y.id); return err }
	tests := []struct {
		name    string
		options func(*fake.Options)
		fault   fake.Fault
		call    func(*yard) error
		class   contactsync.Class
		cause   error
		words   []string
	}{
		{name: "taken", call: create(func(p *contactsync.NewProject) { p.Path, p.Name = "organization-42", "organization-42" }),
			class: contactsync.ClassGitLabRefused, words: []string{"making the project support/organization-42", "name has already been taken; path has already been taken"}},
		{name: "no group", call: create(func(p *contactsync.NewProject) { p.Group = "nowhere" }), class: contactsync.ClassGitLabRefused, words: []string{"no group nowhere"}},
		{name: "no template", call: create(func(p *contactsync.NewProject) { p.Template = "support/none" }), class: contactsync.ClassGitLabRefused, words: []string{"no template support/none"}},
		{name: "a template of elsewhere", call: create(func(p *contactsync.NewProject) { p.Template = "4711" }), class: contactsync.ClassGitLabRefused, words: []string{"namespace is not a descendant"}},
		{name: "no path", call: create(func(p *contactsync.NewProject) { p.Path = "../x" }), class: contactsync.ClassGitLabRefused, words: []string{"no project can have"}},
		{name: "no value", call: change("wiki_access_level", "sometimes"), class: contactsync.ClassGitLabRefused, words: []string{"wiki_access_level does not have a valid value"}},
		{name: "no branch", call: change("default_branch", "none"), class: contactsync.ClassGitLabRefused, words: []string{"Do you have a branch named 'none'"}},
		{name: "above the repository", call: change("repository_access_level", "private"), class: contactsync.ClassGitLabRefused, words: []string{"higher visibility level"}},
		{name: "no owner", options: func(o *fake.Options) { o.Access = fake.Maintainer }, call: remove, class: contactsync.ClassGitLabRefused, cause: gitlab.ErrNotAllowed, words: []string{"403 Forbidden"}},
		{name: "no scope", options: func(o *fake.Options) { o.Scopes = []string{"read_api"} }, call: create(nil), class: contactsync.ClassGitLabRefused, cause: gitlab.ErrNotAllowed, words: []string{"insufficient_scope"}},
		{name: "no token", options: func(o *fake.Options) { o.TokenRevoked = true }, call: remove, class: contactsync.ClassRepositoryUnreachable, cause: gitlab.ErrTokenRefused, words: []string{"refuses the token"}},
		{name: "no project", call: func(y *yard) error { y.must(y.PurgeProject(y.id)); return change("lfs_enabled", "false")(y) }, class: contactsync.ClassInvalidProjectID, words: []string{"no such project"}},
		{name: "no number", call: func(y *yard) error { y.id = 0; return remove(y) }, class: contactsync.ClassInvalidProjectID, words: []string{"above zero"}},
		{name: "something in between", fault: fake.Fault{Method: "PUT", Status: 403, Body: "<html>no"}, call: change("lfs_enabled", "false"), class: contactsync.ClassRepositoryUnreachable},
		{name: "nothing there", fault: fake.Fault{Method: "PUT", Status: 404, Body: "<html>no"}, call: change("lfs_enabled", "false"), class: contactsync.ClassRepositoryUnreachable, words: []string{"check gitlab.url"}},
		{name: "a token repeated", fault: fake.Fault{Method: "PUT", Status: 409, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{"message":{"base":["` + token + `\nno"]}}`},
			call: change("lfs_enabled", "false"), class: contactsync.ClassGitLabRefused, words: []string{"base [hidden] no"}},
		{name: "without a word", fault: fake.Fault{Method: "PUT", Status: 422, Header: http.Header{"Content-Type": {"application/json"}}, Body: `{}`},
			call: change("lfs_enabled", "false"), class: contactsync.ClassGitLabRefused, words: []string{"status 422"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			y := newYard(t, test.options)
			if test.fault.Status != 0 {
				y.Inject(test.fault)
			}
			err := test.call(y)
			wantClass(t, err, test.class, test.words...)
			if test.cause != nil && !errors.Is(err, test.cause) {
				t.Errorf("the cause of %v is not %v", err, test.cause)
			}
		})
	}
	t.Run("busy", func(t *testing.T) {
		y := newYard(t, nil)
		y.Inject(fake.Fault{Method: "POST", Status: 429, Header: http.Header{"Retry-After": {"2"}, "Content-Type": {"application/json"}}, Body: `{}`})
		err := create(nil)(y)
		wantClass(t, err, contactsync.ClassRepositoryUnreachable, "429")
		if failure := contactsync.FailureOf(err); failure.Retry != contactsync.RetryWhenTold || failure.RetryAt.IsZero() {
			t.Errorf("it is %+v", failure)
		}
		y.took("GET namespaces/support", "POST projects")
	})
}

// TestFence guards that no write is sent once the run may not write any more.
func TestFence(t *testing.T) {
	y := newYard(t, nil)
	closed := errors.New("the lease is lost")
	ctx := contactsync.WithFence(context.Background(), func(context.Context) error { return closed })
	calls := map[string]func() error{
		"create":  func() error { _, err := y.client.CreateProject(ctx, organization7); return err },
		"change":  func() error { _, err := y.client.ChangeSettings(ctx, y.id, organization7.Settings); return err },
		"delete":  func() error { _, err := y.client.DeleteProject(ctx, y.id); return err },
		"restore": func() error { _, err := y.client.RestoreProject(ctx, y.id); return err },
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, closed) {
			t.Errorf("%s returned %v", name, err)
		}
	}
	y.took("GET namespaces/support")
}

// TestProjectReads guards that reading is tried again, and what answers that make no sense are told as.
func TestProjectReads(t *testing.T) {
	y := newYard(t, nil)
	y.Inject(fake.Fault{Status: 503, Times: 2})
	if _, there, err := y.client.FindProject(context.Background(), "support/organization-42"); err != nil || !there {
		t.Errorf("%v, %v", there, err)
	}
	if _, there, err := y.client.FindProject(context.Background(), "support/none"); err != nil || there {
		t.Errorf("%v, %v", there, err)
	}
	if _, there, err := y.client.FindProject(context.Background(), "../version"); err != nil || there {
		t.Errorf("%v, %v", there, err)
	}
	_, err := y.client.ProjectDetails(context.Background(), 99)
	wantClass(t, err, contactsync.ClassInvalidProjectID, "no such project")
	for _, body := range []string{`null`, `[]`, `{"id":1,"path_with_namespace":"a/b"}`, `{"id":4711}`, `{"id":4711,"path_with_namespace":"a/b","marked_for_deletion_on":"soon"}`, `<html>`} {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, body)
		}))
		client, err := gitlab.New(gitlab.Options{URL: web.URL, Token: token})
		y.must(err)
		_, err = client.ProjectDetails(context.Background(), 4711)
		wantClass(t, err, contactsync.ClassRepositoryUnreachable, "cannot be understood")
		web.Close()
	}
}
