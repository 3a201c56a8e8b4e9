package gitlab_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"contactsync"
	"contactsync/gitlab"
	fake "contactsync/internal/fakes/gitlab"
	"contactsync/internal/fakes/gitlab/contract"
)

// TestContract guards that what the client sends, and what the stand-in answers to it, is as GitLab describes it.
func TestContract(t *testing.T) {
	spec := contract.FromEnvironment(t)
	h := newHouse(t, func(o *fake.Options) { o.Access = fake.Owner })
	checked := 0
	client := h.client(t, func(o *gitlab.Options) {
		o.Transport = spec.Transport(http.DefaultTransport, func(err error) { t.Error(err) })
	})
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer receiver.Close()
	w := ward{t: t, house: h}
	w.hook(`{"url":"` + receiver.URL + `","push_events_branch_filter":"ma*"}`)
	if _, err := h.Commit(h.id, fake.Commit{Files: map[string]string{"a": "1"}}); err != nil {
		t.Fatal(err)
	}
	h.Settle()
	h.customer(t)
	h.ForgetRequests()
	calls := []func() error{
		func() error { _, err := client.Project(context.Background(), h.id); return err },
		func() error { _, err := client.CheckToken(context.Background()); return err },
		func() error { _, err := client.Hooks(context.Background(), h.id); return err },
		func() error {
			failures, err := client.FailedDeliveries(context.Background(), h.id, 1, time.Time{})
			if len(failures) != 1 {
				t.Errorf("the failures are %+v", failures)
			}
			return err
		},
		func() error { _, err := client.Resend(context.Background(), h.id, 1, 1); return err },
		func() error {
			if err := client.TestHook(context.Background(), h.id, 1); !errors.Is(err, gitlab.ErrNotDelivered) {
				return fmt.Errorf("the test of a hook whose receiver is down: %w", err)
			}
			return nil
		},
	}
	for _, call := range calls {
		if err := call(); err != nil {
			t.Error(err)
		}
		checked++
	}
	for _, call := range peopleAndProtection(h, client) {
		if err := call(); err != nil {
			t.Error(err)
		}
	}
	checked += 20
	for _, namespace := range []string{"example/sub", "free"} {
		if s, err := client.Subscription(context.Background(), namespace); err != nil || s.Unknown != "" {
			t.Errorf("%+v, %v", s, err)
		}
		checked += 2
	}
	if o, err := client.Ownership(context.Background(), "example", "ada"); err != nil || !o.Owner {
		t.Errorf("%+v, %v", o, err)
	}
	checked += 2
	template, err := h.CreateProject(fake.Project{Path: "support/templates/contacts"})
	if err != nil {
		t.Fatal(err)
	}
	wanted := contactsync.NewProject{Group: "support", Path: "organization-7", Name: "Organization 7", Template: strconv.FormatInt(template, 10),
		Settings: map[string]string{"lfs_enabled": "false", "wiki_access_level": "disabled"}}
	made, err := client.CreateProject(context.Background(), wanted)
	if err != nil {
		t.Fatal(err)
	}
	checked += 3
	lives := []func() error{
		func() error { _, err := client.Self(context.Background()); return err },
		func() error { _, err := client.ProjectDetails(context.Background(), made.ID); return err },
		func() error { _, _, err := client.FindProject(context.Background(), made.Path); return err },
		func() error { _, err := client.GroupProjects(context.Background(), "support"); return err },
		func() error {
			_, err := client.ChangeSettings(context.Background(), made.ID, map[string]string{"build_timeout": "600", "auto_devops_enabled": "false"})
			return err
		},
		func() error { checked++; _, err := client.DeleteProject(context.Background(), made.ID); return err },
		func() error { _, err := client.RestoreProject(context.Background(), made.ID); return err },
	}
	for _, call := range lives {
		if err := call(); err != nil {
			t.Error(err)
		}
		checked++
	}
	if _, err := client.Project(context.Background(), 1); err == nil {
		t.Error("a missing project was found")
	}
	if len(h.Requests()) != checked+1 {
		t.Errorf("%d requests were held against the description, want %d", len(h.Requests()), checked+1)
	}
}

// peopleAndProtection are the calls that setting up a project makes beside reading.
func peopleAndProtection(h *house, client *gitlab.Client) []func() error {
	h.AddUser(fake.User{ID: 70, Username: "grace", Email: "grace@example.com"})
	ctx := context.Background()
	crowded := fake.Protection{Branch: "master", Push: []fake.Grant{{Level: fake.Maintainer}, {User: 70}}, Merge: []fake.Grant{{DeployKey: 3}}}
	return []func() error{
		func() error {
			_, err := client.CreateHook(ctx, h.id, contactsync.NewHook{URL: "https://example.com/{PART}", Variables: map[string]string{"PART": "x"},
				Branch: "master", MergeRequests: true, Token: "secret", SigningToken: signing})
			return err
		},
		func() error { return client.DeleteHook(ctx, h.id, 2) },
		func() error { return client.DeleteHook(ctx, h.id, 2) },
		func() error { return client.Protect(ctx, h.id, wanted) },
		func() error { return h.Protect(h.id, crowded) },
		func() error { return client.Protect(ctx, h.id, wanted) },
		func() error { _, _, err := client.Protection(ctx, h.id, "release/1.*"); return err },
		func() error {
			_, err := client.Invite(ctx, h.id, []contactsync.Email{"grace@example.com", "mary+contacts@example.com"})
			return err
		},
		func() error { _, err := client.Invite(ctx, h.id, []contactsync.Email{"grace@example.com"}); return err },
		func() error { _, err := client.Members(ctx, h.id); return err },
		func() error { _, err := client.Invitations(ctx, h.id); return err },
		func() error { return client.MakeDeveloper(ctx, h.id, 70) },
		func() error { return client.Withdraw(ctx, h.id, "mary+contacts@example.com") },
		func() error { return client.Withdraw(ctx, h.id, "mary+contacts@example.com") },
	}
}
