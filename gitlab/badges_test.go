package gitlab_test

import (
	"slices"
	"testing"

	"contactsync"
	fake "contactsync/internal/fakes/gitlab"
)

// TestSetBadge guards that one badge of the name is made, or changed, in as few requests as that takes, and that nobody
// else's is touched.
func TestSetBadge(t *testing.T) {
	wanted := contactsync.Badge{Name: "contacts", Link: "https://example.com/%{project_path}", Image: "https://example.com/b.svg"}
	made := fake.Badge{Name: wanted.Name, Link: wanted.Link, Image: wanted.Image}
	old := fake.Badge{Name: "contacts", Link: wanted.Link, Image: "https://example.com/a.svg"}
	other := fake.Badge{Name: "Contacts", Link: "https://example.org", Image: "https://example.org/a.svg"}
	grouped := made
	grouped.Group = true
	tests := []struct {
		name     string
		before   []fake.Badge
		after    []fake.Badge
		requests int
	}{
		{"none", nil, []fake.Badge{made}, 2},
		{"as wanted", []fake.Badge{other, made}, []fake.Badge{other, made}, 1},
		{"an old one", []fake.Badge{old, other}, []fake.Badge{made, other}, 2},
		{"several", []fake.Badge{other, old, old}, []fake.Badge{other, made, old}, 2},
		{"several, the first as wanted", []fake.Badge{made, old}, []fake.Badge{made, old}, 1},
		{"the group's", []fake.Badge{grouped}, []fake.Badge{grouped, made}, 2},
		{"another's", []fake.Badge{other}, []fake.Badge{other, made}, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := newOffice(t, nil)
			for _, b := range test.before {
				if _, err := o.AddBadge(o.id, b); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := o.client.SetBadge(t.Context(), o.id, wanted); err != nil {
				t.Fatal(err)
			}
			o.wantRequests(t, test.requests)
			after, err := o.Badges(o.id)
			if err != nil {
				t.Fatal(err)
			}
			for i := range after {
				after[i].ID = 0
			}
			if !slices.Equal(after, test.after) {
				t.Errorf("the badges are %+v, want %+v", after, test.after)
			}
			if _, err := o.client.SetBadge(t.Context(), o.id, wanted); err != nil {
				t.Fatal(err)
			}
			o.wantRequests(t, 1)
		})
	}
}

// TestBadgeFilter guards that a GitLab which does not know the filter, or takes it for a part of the name, changes nothing.
func TestBadgeFilter(t *testing.T) {
	o := newOffice(t, nil)
	o.Inject(fake.Fault{Method: "GET", Status: 200, Header: jsonHeader, Body: `[
		{"id":3,"name":null,"kind":"project","link_url":"a","image_url":"b"},
		{"id":4,"name":"contacts of others","kind":"project","link_url":"a","image_url":"b"},
		{"id":6,"name":"contacts","kind":"project","link_url":"https://example.com","image_url":"https://example.com/a.svg"},
		{"id":5,"name":"contacts","kind":"project","link_url":"https://example.com","image_url":"https://example.com/b.svg"}]`})
	_, err := o.client.SetBadge(t.Context(), o.id, contactsync.Badge{Name: "contacts", Link: "https://example.com", Image: "https://example.com/b.svg"})
	if err != nil {
		t.Error(err)
	}
	o.wantRequests(t, 1)
}

// TestBadgeRefused guards that rights, addresses and names which will not do are refused for good, and that an answer about
// something else is no success.
func TestBadgeRefused(t *testing.T) {
	badge := contactsync.Badge{Name: "contacts", Link: "https://example.com", Image: "https://example.com/a.svg"}
	o := newOffice(t, func(options *fake.Options) { options.Access = fake.Developer })
	wantClass(t, badgeError(o.client.SetBadge(t.Context(), o.id, badge)), contactsync.ClassGitLabRefused, "badge contacts", "does not let")
	o = newOffice(t, nil)
	wantClass(t, badgeError(o.client.SetBadge(t.Context(), o.id, contactsync.Badge{Name: "contacts", Link: "ftp://example.com", Image: badge.Image})), contactsync.ClassGitLabRefused, "link_url is blocked")
	wantClass(t, badgeError(o.client.SetBadge(t.Context(), o.id, contactsync.Badge{Link: badge.Link, Image: badge.Image})), contactsync.ClassInternal)
	for _, answer := range []string{`null`, `{}`, `{"id":1,"name":"x"}`, `[]`} {
		remove := o.Inject(fake.Fault{Method: "POST", Status: 201, Header: jsonHeader, Body: answer})
		wantClass(t, badgeError(o.client.SetBadge(t.Context(), o.id, badge)), contactsync.ClassRepositoryUnreachable, "cannot be understood")
		remove()
	}
}

// badgeError is the error of setting a badge.
func badgeError(_ int64, err error) error { return err }

// A badge whose number is known is changed in one request; one that somebody deleted is told, and nothing is made.
func TestKnownBadge(t *testing.T) {
	o := newOffice(t, nil)
	badge := contactsync.Badge{Name: "contacts", Link: "https://example.com", Image: "https://example.com/a.svg"}
	made, err := o.client.SetBadge(t.Context(), o.id, badge)
	if err != nil || made == 0 {
		t.Fatalf("got %d, %v", made, err)
	}
	o.wantRequests(t, 2)
	badge.ID, badge.Image = made, "https://example.com/b.svg"
	if id, err := o.client.SetBadge(t.Context(), o.id, badge); err != nil || id != made {
		t.Errorf("got %d, %v", id, err)
	}
	o.wantRequests(t, 1)
	badge.ID = made + 1
	if id, err := o.client.SetBadge(t.Context(), o.id, badge); err != nil || id != 0 {
		t.Errorf("a badge that is gone: got %d, %v", id, err)
	}
	o.wantRequests(t, 1)
	after, err := o.Badges(o.id)
	if err != nil || len(after) != 1 || after[0].Image != badge.Image {
		t.Errorf("the badges are %+v, %v", after, err)
	}
}
