package gitlab_test

import (
	"fmt"
	"reflect"
	"testing"

	"contactsync/internal/fakes/gitlab"
)

type memberJSON struct {
	ID    int64  `json:"id"`
	Level int    `json:"access_level"`
	State string `json:"state"`
	Of    string `json:"membership_state"`
}

// TestProjectMembers guards who is listed where, with which level, and that direct members alone can be changed.
func TestProjectMembers(t *testing.T) {
	h := newHouse(t, nil)
	id := h.project(t, "support/a")
	h.AddUser(gitlab.User{ID: 8, Username: "grace"})
	for _, m := range []gitlab.Member{{User: 7, Level: 20, Waiting: true}, {User: 8, Level: 30, Inherited: true, Blocked: true}, {User: 8, Level: 40}} {
		if err := h.AddMember(id, m); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.AddMember(id, gitlab.Member{User: 99}); err == nil {
		t.Error("somebody who is not there became a member")
	}
	path := fmt.Sprintf("/projects/%d/members", id)
	list := func(path string) []memberJSON {
		var rows []memberJSON
		if status := h.status(t, "GET", path, nil, &rows); status != 200 {
			t.Fatalf("it answers %d", status)
		}
		return rows
	}
	ada, grace := memberJSON{7, 20, "active", "awaiting"}, memberJSON{8, 40, "active", "active"}
	if got, want := list(path), []memberJSON{ada, grace}; !reflect.DeepEqual(got, want) {
		t.Errorf("the direct members are %v, want %v", got, want)
	}
	if got, want := list(path+"/all"), []memberJSON{{1, 50, "active", "active"}, ada, grace}; !reflect.DeepEqual(got, want) {
		t.Errorf("all members are %v, want %v", got, want)
	}
	for _, step := range []struct {
		method, path string
		level, want  int
	}{
		{"PUT", "/8", 20, 400}, {"PUT", "/8", 30, 200}, {"PUT", "/7", 31, 400}, {"PUT", "/1", 30, 404},
		{"DELETE", "/1", 0, 404}, {"DELETE", "/8", 0, 204}, {"DELETE", "/8", 0, 404},
	} {
		if got := h.status(t, step.method, path+step.path, map[string]any{"access_level": step.level}, nil); got != step.want {
			t.Errorf("%s %s with %d answers %d, want %d", step.method, step.path, step.level, got, step.want)
		}
	}
	if got, want := list(path+"/all"), []memberJSON{{1, 50, "active", "active"}, ada, {8, 30, "blocked", "active"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("what is left is %v, want %v", got, want)
	}
}

// TestInvitations guards that inviting always answers 201, tells what it refused by address, does the rest, adds accounts
// at once, and takes addresses as a list and as one text.
func TestInvitations(t *testing.T) {
	h := newHouse(t, nil)
	id := h.project(t, "support/a")
	path := fmt.Sprintf("/projects/%d/invitations", id)
	invite := func(level, status int, email any) string {
		t.Helper()
		var answer map[string]any
		if got := h.status(t, "POST", path, map[string]any{"access_level": level, "email": email}, &answer); got != status {
			t.Errorf("inviting %v answers %d, want %d", email, got, status)
		}
		return fmt.Sprint(answer)
	}
	for _, step := range []struct {
		email any
		want  string
	}{
		{"mary@example.com, ADA@example.com", "map[status:success]"},
		{[]string{"MARY@example.com", "ada@example.com", "new@example.com,nobody"},
			"map[message:map[MARY@example.com:Invite email has already been taken ada@example.com:User already exists in source nobody:Invite email is invalid] status:error]"},
		{"service@example.com", "map[message:map[service@example.com:Access level should be greater than or equal to the inherited membership from the group] status:error]"},
		{"", "map[message:Emails cannot be blank status:error]"},
		{make([]string, 0), "map[message:Emails cannot be blank status:error]"},
	} {
		if got := invite(30, 201, step.email); got != step.want {
			t.Errorf("inviting %v says %s, want %s", step.email, got, step.want)
		}
	}
	var many []string
	for i := range 101 {
		many = append(many, fmt.Sprintf("user%d@example.com", i))
	}
	if got := invite(30, 201, many); got != "map[message:Too many users specified (limit is 100) status:error]" {
		t.Errorf("inviting too many says %s", got)
	}
	invite(31, 400, "x@example.com")
	invite(30, 400, 7)
	invitations, err := h.Invitations(id)
	if err != nil || len(invitations) != 2 || invitations[0].Address != "mary@example.com" || invitations[1].Address != "new@example.com" {
		t.Errorf("the invitations are %+v, %v", invitations, err)
	}
	if members, err := h.Members(id); err != nil || !reflect.DeepEqual(members, []gitlab.Member{{User: 7, Level: 30}}) {
		t.Errorf("the members are %+v, %v", members, err)
	}
	for _, step := range []struct {
		method, address string
		want            int
	}{
		{"PUT", "/mary@example.com", 200}, {"PUT", "/Mary@example.com", 404}, {"DELETE", "/Mary@example.com", 404},
		{"DELETE", "/mary@example.com", 204}, {"DELETE", "/mary@example.com", 404},
	} {
		if got := h.status(t, step.method, path+step.address, map[string]any{"access_level": 20}, nil); got != step.want {
			t.Errorf("%s %s answers %d, want %d", step.method, step.address, got, step.want)
		}
	}
	low := newHouse(t, func(o *gitlab.Options) { o.Access = gitlab.Developer })
	if got := low.status(t, "POST", fmt.Sprintf("/projects/%d/invitations", low.project(t, "support/a")), map[string]any{"access_level": 30, "email": "a@example.com"}, nil); got != 403 {
		t.Errorf("a developer who invites gets %d", got)
	}
}
