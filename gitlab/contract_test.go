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
	if _, err := client.Project(context.Background(), 1); err == nil {
		t.Error("a missing project was found")
	}
	if len(h.Requests()) != checked+1 {
		t.Errorf("%d requests were held against the description, want %d", len(h.Requests()), checked+1)
	}
}
