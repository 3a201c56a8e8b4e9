package gitlab_test

import (
	"context"
	"net/http"
	"testing"

	"contactsync/gitlab"
	"contactsync/internal/fakes/gitlab/contract"
)

// TestContract guards that what the client sends, and what the stand-in answers to it, is as GitLab describes it.
func TestContract(t *testing.T) {
	spec := contract.FromEnvironment(t)
	h := newHouse(t, nil)
	checked := 0
	client := h.client(t, func(o *gitlab.Options) {
		o.Transport = spec.Transport(http.DefaultTransport, func(err error) { t.Error(err) })
	})
	h.customer(t)
	calls := []func() error{
		func() error { _, err := client.Project(context.Background(), h.id); return err },
		func() error { _, err := client.CheckToken(context.Background()); return err },
	}
	for _, call := range calls {
		if err := call(); err != nil {
			t.Error(err)
		}
		checked++
	}
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
	if _, err := client.Project(context.Background(), 1); err == nil {
		t.Error("a missing project was found")
	}
	if len(h.Requests()) != checked+1 {
		t.Errorf("%d requests were held against the description, want %d", len(h.Requests()), checked+1)
	}
}
