package gitlab_test

import (
	"context"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"contactsync"
	fake "contactsync/internal/fakes/gitlab"
)

// customer adds namespaces of every kind, and people in them.
func (h *house) customer(t *testing.T) {
	t.Helper()
	for i, name := range []string{"ada", "grace", "eve", "mallory"} {
		h.AddUser(fake.User{ID: int64(71 + i), Username: name, Name: name})
	}
	for _, n := range []fake.Namespace{
		{Path: "example", Subscription: &fake.Subscription{Plan: "ultimate", Seats: 60, Ends: "2027-01-31"}, Members: []fake.Member{
			{User: 71, Level: fake.Owner, Address: "Ada@Example.com"}, {User: 72, Level: fake.Maintainer}, {User: 73, Level: fake.Owner, Blocked: true},
		}},
		{Path: "trial", Subscription: &fake.Subscription{Plan: "ultimate_trial", Trial: true, Seats: 100}},
		{Path: "free"}, {Path: "foreign", Foreign: true}, {Path: "hidden", Hidden: true},
	} {
		if _, err := h.AddNamespace(n); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSubscription guards what is read of a subscription, in two requests, and that what GitLab withholds is unknown.
func TestSubscription(t *testing.T) {
	h := newHouse(t, nil)
	h.customer(t)
	seats := func(n int) *int { return &n }
	for namespace, want := range map[string]contactsync.Subscription{
		"example":               {Namespace: "example", Plan: "ultimate", Seats: seats(60), Ends: "2027-01-31"},
		"/Example/sub/project/": {Namespace: "example", Plan: "ultimate", Seats: seats(60), Ends: "2027-01-31"},
		"trial":                 {Namespace: "trial", Plan: "ultimate_trial", Trial: true, Seats: seats(100)},
		"free":                  {Namespace: "free"},
		"foreign":               {Namespace: "foreign", Unknown: "does not show the subscription of foreign"},
		"hidden":                {Namespace: "hidden", Unknown: "has no namespace hidden"},
		"a b?c#d":               {Namespace: "a b?c#d", Unknown: "has no namespace a b?c#d"},
		"":                      {Unknown: "no namespace was named"},
	} {
		h.ForgetRequests()
		var tally contactsync.Tally
		got, err := h.client(t, nil).Subscription(contactsync.WithTally(context.Background(), &tally), namespace)
		if err != nil {
			t.Fatal(err)
		}
		if want.Unknown != "" && strings.Contains(got.Unknown, want.Unknown) {
			want.Unknown = got.Unknown
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, want %+v", namespace, got, want)
		}
		if n := len(h.Requests()); n > 2 || tally.Requests().GitLab != n {
			t.Errorf("%q took %d requests, and %d were counted", namespace, n, tally.Requests().GitLab)
		}
	}
}

// TestSubscriptionAnswers guards that numbers may come as texts, as GitLab's description says, and that nonsense is an
// error and never a fact.
func TestSubscriptionAnswers(t *testing.T) {
	for answer, want := range map[string]string{
		`{"plan":{"code":"premium","trial":"true"},"usage":{"seats_in_subscription":"70"},"billing":{"subscription_end_date":"2027-01-31"}}`: "",
		`{"plan":{"code":"premium","trial":true},"usage":{"seats_in_subscription":70.0},"billing":{"subscription_end_date":"2027-01-31"}}`:   "",
		`{"usage":{"seats_in_subscription":"many"}}`:                "the number of seats",
		`{"usage":{"seats_in_subscription":-1}}`:                    "the number of seats",
		`{"usage":{"seats_in_subscription":[1]}}`:                   "cannot be understood",
		`{"billing":{"subscription_end_date":"next year, <html>"}}`: "the subscription's end",
		`<html>`: "cannot be understood",
	} {
		h := newHouse(t, nil)
		h.customer(t)
		h.Inject(fake.Fault{Path: regexp.MustCompile(`gitlab_subscription$`), Status: 200, Body: answer, Header: http.Header{"Content-Type": {"application/json"}}})
		got, err := h.client(t, nil).Subscription(context.Background(), "example")
		if want != "" {
			if contactsync.ClassOf(err) != contactsync.ClassRepositoryUnreachable || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %+v, %v", answer, got, err)
			}
			continue
		}
		if err != nil || got.Plan != "premium" || !got.Trial || got.Seats == nil || *got.Seats != 70 || got.Ends != "2027-01-31" {
			t.Errorf("%s: %+v, %v", answer, got, err)
		}
	}
}

// TestOwnership guards who counts as an Owner, in at most two requests, and that what GitLab withholds is unknown.
func TestOwnership(t *testing.T) {
	h := newHouse(t, nil)
	h.customer(t)
	for _, test := range []struct {
		namespace, username string
		want                contactsync.Ownership
	}{
		{"example/sub", "@ADA", contactsync.Ownership{Namespace: "example", Username: "ada", Owner: true, Address: "ada@example.com"}},
		{"example", "grace", contactsync.Ownership{Namespace: "example", Username: "grace"}},
		{"example", "eve", contactsync.Ownership{Namespace: "example", Username: "eve"}},
		{"example", "mallory", contactsync.Ownership{Namespace: "example", Username: "mallory"}},
		{"mallory", "mallory", contactsync.Ownership{Namespace: "mallory", Username: "mallory", Owner: true}},
		{"example", "nobody", contactsync.Ownership{Namespace: "example", Username: "nobody", Unknown: "no user @nobody"}},
		{"foreign", "ada", contactsync.Ownership{Namespace: "foreign", Username: "ada", Unknown: "no group foreign"}},
		{"hidden", "ada", contactsync.Ownership{Namespace: "hidden", Username: "ada", Unknown: "no group hidden"}},
		{"", "ada", contactsync.Ownership{Username: "ada", Unknown: "are needed"}},
	} {
		h.ForgetRequests()
		got, err := h.client(t, nil).Ownership(context.Background(), test.namespace, test.username)
		if err != nil {
			t.Fatal(err)
		}
		if test.want.Unknown != "" && strings.Contains(got.Unknown, test.want.Unknown) {
			test.want.Unknown = got.Unknown
		}
		if got != test.want {
			t.Errorf("%s in %s: got %+v, want %+v", test.username, test.namespace, got, test.want)
		}
		if n := len(h.Requests()); n > 2 {
			t.Errorf("%s in %s took %d requests", test.username, test.namespace, n)
		}
	}
}

// TestOwnershipErrors guards that a GitLab which does not answer, or about others, is an error and no opinion.
func TestOwnershipErrors(t *testing.T) {
	json := http.Header{"Content-Type": {"application/json"}}
	for name, fault := range map[string]fake.Fault{
		"down":             {Status: 503},
		"refused":          {Status: 401, Header: json, Body: `{"message":"401 Unauthorized"}`},
		"no scope":         {Status: 403, Header: json, Body: `{"error":"insufficient_scope"}`},
		"not GitLab's 404": {Status: 404, Body: "<html>"},
		"about others":     {Path: regexp.MustCompile(`members/all$`), Status: 200, Header: json, Body: `[{"id":999,"access_level":50,"state":"active"}]`},
		"null":             {Path: regexp.MustCompile(`members/all$`), Status: 200, Header: json, Body: `[null]`},
	} {
		h := newHouse(t, nil)
		h.customer(t)
		h.Inject(fault)
		if got, err := h.client(t, nil).Ownership(context.Background(), "example", "ada"); contactsync.ClassOf(err) != contactsync.ClassRepositoryUnreachable {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if fault.Path != nil {
			continue
		}
		if got, err := h.client(t, nil).Subscription(context.Background(), "example"); contactsync.ClassOf(err) != contactsync.ClassRepositoryUnreachable {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
