package gitlab_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"io"
	"io/fs"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"contactsync"
	"contactsync/gitlab"
	fake "contactsync/internal/fakes/gitlab"
)

var jsonHeader = http.Header{"Content-Type": {"application/json"}}

// company is a house with people in it.
func company(t *testing.T) *house {
	t.Helper()
	h := newHouse(t, func(o *fake.Options) {
		o.Now = func() time.Time { return time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC) }
	})
	for _, u := range []fake.User{
		{ID: 7, Username: "ada", Name: "Ada Lovelace", Email: "Ada@example.com"},
		{ID: 8, Username: "grace", Name: "Grace\nHopper", Email: "grace@example.com"},
		{ID: 9, Username: "project_4711_bot_0a1b", Name: "contacts"},
		{ID: 10, Username: "service_account_group_12_0a1b", Name: "setup"},
		{ID: 11, Username: "alan", Email: "alan@example.org"},
		{ID: 12, Username: "group_9_bot", Name: "old token"},
		{ID: 13, Username: "project_bot", Name: "A person of that name"},
	} {
		h.AddUser(u)
	}
	return h
}

func (h *house) members(t *testing.T, members ...fake.Member) {
	t.Helper()
	for _, m := range members {
		if err := h.AddMember(h.id, m); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMembers guards that everybody is read once, with the highest level, and who is direct, who waits or is blocked, and
// who is no person; levels that have no name here stay what they are.
func TestMembers(t *testing.T) {
	h := company(t)
	h.members(t,
		fake.Member{User: 8, Level: 30, Inherited: true}, fake.Member{User: 8, Level: 40},
		fake.Member{User: 7, Level: 15, Address: "Ada@Example.com"}, fake.Member{User: 7, Level: 20, Inherited: true}, fake.Member{User: 9, Level: 40},
		fake.Member{User: 10, Level: 5, Inherited: true}, fake.Member{User: 11, Level: 30, Waiting: true},
		fake.Member{User: 12, Level: 20, Blocked: true}, fake.Member{User: 13, Level: 50, Inherited: true})
	got, err := h.client(t, nil).Members(t.Context(), h.id)
	if err != nil {
		t.Fatal(err)
	}
	want := []contactsync.ProjectMember{
		{ID: 1, Username: "service-account", Name: "Service account", Level: 50, Active: true},
		{ID: 7, Username: "ada", Name: "Ada Lovelace", Level: 20, Address: "ada@example.com", Active: true, Direct: true},
		{ID: 8, Username: "grace", Name: "Grace Hopper", Level: 40, Active: true, Direct: true},
		{ID: 9, Username: "project_4711_bot_0a1b", Name: "contacts", Level: 40, Active: true, Direct: true, Bot: true},
		{ID: 10, Username: "service_account_group_12_0a1b", Name: "setup", Level: 5, Active: true, Bot: true},
		{ID: 11, Username: "alan", Level: 30, Direct: true},
		{ID: 12, Username: "group_9_bot", Name: "old token", Level: 20, Direct: true, Bot: true},
		{ID: 13, Username: "project_bot", Name: "A person of that name", Level: 50, Active: true},
	}
	if !slices.Equal(got, want) {
		t.Errorf("read\n%+v, want\n%+v", got, want)
	}
	if h.methods() != "GET GET" {
		t.Errorf("it took %s", h.methods())
	}
}

// TestManyMembers guards that lists are read over all pages, that they end, and that a list which does not make sense is
// an error and no shorter list.
func TestManyMembers(t *testing.T) {
	h := company(t)
	for i := range int64(101) {
		h.AddUser(fake.User{ID: 1000 + i, Username: fmt.Sprint("user", i)})
		h.members(t, fake.Member{User: 1000 + i, Level: 30})
		if err := h.AddInvitation(h.id, fake.Invitation{Address: fmt.Sprintf("user%d@example.org", i), Level: 30}); err != nil {
			t.Fatal(err)
		}
	}
	client := h.client(t, nil)
	if members, err := client.Members(t.Context(), h.id); err != nil || len(members) != 102 || h.methods() != "GET GET GET GET" {
		t.Errorf("%d members, %v, for %s", len(members), err, h.methods())
	}
	h.ForgetRequests()
	if invitations, err := client.Invitations(t.Context(), h.id); err != nil || len(invitations) != 101 || h.methods() != "GET GET" {
		t.Errorf("%d invitations, %v, for %s", len(invitations), err, h.methods())
	}
	for name, fault := range map[string]fake.Fault{
		"no number":   {Status: 200, Header: jsonHeader, Body: `[{"id":0,"username":"ada"}]`},
		"null":        {Status: 200, Header: jsonHeader, Body: `[null]`},
		"no list":     {Status: 200, Header: jsonHeader, Body: `{"id":1}`},
		"a circle":    {Status: 200, Header: http.Header{"Content-Type": {"application/json"}, "X-Next-Page": {"1"}}, Body: `[]`},
		"HTML":        {Status: 200, Header: http.Header{"Content-Type": {"text/html"}}, Body: `<html>`},
		"half":        {Truncate: 5},
		"broken":      {Status: 500},
		"not allowed": {Status: 403, Header: jsonHeader, Body: `{"message":"403 Forbidden"}`},
	} {
		remove := h.Inject(fault)
		members, err := client.Members(t.Context(), h.id)
		wantClass(t, err, contactsync.ClassRepositoryUnreachable, "members of project 4711")
		if members != nil {
			t.Errorf("%s: %d members were read", name, len(members))
		}
		_, err = client.Invitations(t.Context(), h.id)
		wantClass(t, err, contactsync.ClassRepositoryUnreachable, "invitations to project 4711")
		remove()
	}
	h.Inject(fake.Fault{Times: 1}) // the first page is fine
	h.Inject(fake.Fault{Times: 1, Status: 200, Header: http.Header{"Content-Type": {"application/json"}, "X-Total": {"102"}}, Body: `[]`})
	_, err := client.Members(t.Context(), h.id)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "100 of 102 rows were read")
	_, err = client.Members(t.Context(), 99)
	wantClass(t, err, contactsync.ClassInvalidProjectID, "members of project 99")
}

// answers makes what Invite returns of pairs of an address and what is said against it.
func answers(pairs ...string) []contactsync.Invited {
	var all []contactsync.Invited
	for pair := range slices.Chunk(pairs, 2) {
		all = append(all, contactsync.Invited{Address: contactsync.Email(pair[0]), Problem: pair[1]})
	}
	return all
}

// TestInvite guards what becomes of each address: invited, added, refused or none, in the order that was asked, each sent
// once, and all as developers.
func TestInvite(t *testing.T) {
	h := company(t)
	h.members(t, fake.Member{User: 8, Level: 20}, fake.Member{User: 11, Level: 40, Inherited: true})
	if err := h.AddInvitation(h.id, fake.Invitation{Address: "Mary@example.com", Level: 30}); err != nil {
		t.Fatal(err)
	}
	client, wire := tapped(t, h)
	got, err := client.Invite(t.Context(), h.id, []contactsync.Email{
		"new@example.com", "ada@example.com", "grace@example.com", "mary@example.com", "alan@example.org", "a,eve@example.com",
		"nobody", "new@example.com", "two@at@example.com",
	})
	if err != nil {
		t.Fatal(err)
	}
	const none = "It is no address that GitLab can be asked about."
	want := answers(
		"new@example.com", "", "ada@example.com", "", "grace@example.com", "User already exists in source",
		"mary@example.com", "Invite email has already been taken",
		"alan@example.org", "Access level should be greater than or equal to the inherited membership from the group",
		"a,eve@example.com", none, "nobody", none, "new@example.com", "", "two@at@example.com", "Invite email is invalid",
	)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%+v, want\n%+v", got, want)
	}
	if len(wire.sent) != 1 || len(wire.sent[0].body["email"].([]any)) != 6 {
		t.Errorf("sent %+v", wire.sent)
	}
	invitations, err := client.Invitations(t.Context(), h.id)
	if want := []contactsync.Invitation{
		{Address: "mary@example.com", Level: 30}, {Address: "new@example.com", Level: 30, Created: time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)},
	}; err != nil || !slices.Equal(invitations, want) {
		t.Errorf("the invitations are %+v, %v", invitations, err)
	}
	members, err := h.Members(h.id)
	if err != nil || !slices.Contains(members, fake.Member{User: 7, Level: 30}) {
		t.Errorf("the members are %+v, %v", members, err)
	}
	if got, err := client.Invite(t.Context(), h.id, nil); len(got) != 0 || err != nil {
		t.Errorf("inviting nobody: %+v, %v", got, err)
	}
}

// TestInviteMany guards that no request has more addresses than GitLab takes.
func TestInviteMany(t *testing.T) {
	h := company(t)
	var addresses []contactsync.Email
	for i := range 201 {
		addresses = append(addresses, contactsync.Email(fmt.Sprintf("user%d@example.org", i)))
	}
	got, err := h.client(t, nil).Invite(t.Context(), h.id, addresses)
	if err != nil || len(got) != 201 || slices.ContainsFunc(got, func(i contactsync.Invited) bool { return i.Problem != "" }) {
		t.Errorf("%+v, %v", got, err)
	}
	invitations, err := h.Invitations(h.id)
	if err != nil || len(invitations) != 201 || h.methods() != "POST POST POST" {
		t.Errorf("%d invitations for %s, %v", len(invitations), h.methods(), err)
	}
}

// answering is a client whose every request is answered so, without a network.
func answering(t testing.TB, status int, contentType, body string) *gitlab.Client {
	t.Helper()
	client, err := gitlab.New(gitlab.Options{URL: "https://gitlab.example.com", Token: "glpat-x", Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// TestInviteAnswers guards that every form of the answer is understood, whose words are whose, and that what is not
// understood is an error.
func TestInviteAnswers(t *testing.T) {
	const bad = "an error"
	tests := []struct{ name, answer, ada, grace string }{
		{"success", `{"status":"success"}`, "", ""},
		{"success, and empty", `{"status":"success","queued_users":{},"message":null}`, "", ""},
		{"one", `{"status":"error","message":{"ada@example.com":"Invite email has already been taken"}}`, "Invite email has already been taken", ""},
		{"in another spelling", `{"status":"error","message":{"Ada@Example.com":"Taken"}}`, "Taken", ""},
		{"several words", `{"status":"error","message":{"ada@example.com":["Taken","Banned"],"grace@example.com":"Taken"}}`, "Taken; Banned", "Taken"},
		{"all", `{"status":"error","message":"No seats\nare left","reason":"seat_limit"}`, "No seats are left", "No seats are left"},
		{"another address", `{"status":"error","message":{"second@example.com":"User already exists in source"}}`, "User already exists in source", "User already exists in source"},
		{"one, and another address", `{"status":"error","message":{"ada@example.com":"Taken","second@example.com":"Exists"}}`, "Taken", "Exists"},
		{"queued by address", `{"status":"success","queued_users":{"grace@example.com":"Request queued for administrator approval."}}`, "", "Request queued for administrator approval."},
		{"queued in a list", `{"status":"success","queued_users":["grace@example.com"]}`, "", "waits for an administrator's approval"},
		{"queued and refused", `{"status":"error","message":{"ada@example.com":"Taken"},"queued_users":["grace@example.com"]}`, "Taken", "waits for an administrator's approval"},
		{"no reason", `{"status":"error"}`, bad, bad},
		{"nobody", `{"status":"error","message":{}}`, bad, bad},
		{"an empty reason", `{"status":"error","message":""}`, bad, bad},
		{"an empty reason of one", `{"status":"error","message":{"ada@example.com":" "}}`, bad, bad},
		{"a list", `{"status":"error","message":["Taken"]}`, bad, bad},
		{"numbers", `{"status":"error","message":{"ada@example.com":7}}`, bad, bad},
		{"a number", `{"status":"error","message":7}`, bad, bad},
		{"queued numbers", `{"status":"success","queued_users":[7]}`, bad, bad},
		{"an unknown status", `{"status":"queued"}`, bad, bad},
		{"no status", `{}`, bad, bad},
		{"an invitation", `{"access_level":30,"invite_email":"ada@example.com"}`, bad, bad},
		{"null", `null`, bad, bad},
		{"nothing", ``, bad, bad},
		{"text", `"success"`, bad, bad},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := answering(t, 201, "application/json", test.answer).Invite(t.Context(), 1, []contactsync.Email{"ada@example.com", "grace@example.com"})
			if test.ada == bad {
				wantClass(t, err, contactsync.ClassRepositoryUnreachable, "inviting 2 addresses to project 1", "cannot be understood")
				if failure := contactsync.FailureOf(err); got != nil || !strings.Contains(failure.Remedy, "may have been invited") {
					t.Errorf("%+v, %+v", got, failure)
				}
				return
			}
			if want := answers("ada@example.com", test.ada, "grace@example.com", test.grace); err != nil || !slices.Equal(got, want) {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

// TestInviteProperty guards that, whoever GitLab names and in whatever spelling, exactly those have a problem, and the
// others none.
func TestInviteProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		count := rapid.IntRange(1, 100).Draw(t, "count")
		refused := make(map[int]string)
		message := make(map[string]any)
		var addresses []contactsync.Email
		for i := range count {
			address := fmt.Sprintf("user%d@example.com", i)
			addresses = append(addresses, contactsync.Email(address))
			if !rapid.Bool().Draw(t, "refused") {
				continue
			}
			refused[i] = rapid.StringMatching(`[a-zA-Z]{1,20}`).Draw(t, "words")
			if rapid.Bool().Draw(t, "capitals") {
				address = strings.ToUpper(address)
			}
			message[address] = refused[i]
			if rapid.Bool().Draw(t, "as a list") {
				message[address] = []string{refused[i]}
			}
		}
		answer := map[string]any{"status": "success"}
		if len(message) > 0 {
			answer = map[string]any{"status": "error", "message": message}
		}
		body, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		client, err := gitlab.New(gitlab.Options{URL: "https://gitlab.example.com", Token: "x", Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 201, Header: jsonHeader, Body: io.NopCloser(strings.NewReader(string(body))), Request: r}, nil
		})})
		if err != nil {
			t.Fatal(err)
		}
		got, err := client.Invite(context.Background(), 1, addresses)
		if err != nil || len(got) != count {
			t.Fatalf("%d answers, %v", len(got), err)
		}
		for i, invited := range got {
			if invited.Address != addresses[i] || invited.Problem != refused[i] {
				t.Fatalf("%+v, want %q", invited, refused[i])
			}
		}
	})
}

// FuzzInviteAnswer guards that no answer, whatever it is, makes reading panic, is told in words that are unfit for a line,
// or is taken for an invitation unless it says that all went well or names somebody else.
func FuzzInviteAnswer(f *testing.F) {
	f.Add(`{"status":"success"}`)
	f.Add(`{"status":"error","message":{"ada@example.com":"Taken"}}`)
	f.Add(`{"status":"error","message":"Too many users specified (limit is 100)"}`)
	f.Add(`{"status":"success","queued_users":["grace@example.com"]}`)
	f.Fuzz(func(t *testing.T, answer string) {
		got, err := answering(t, 201, "application/json", answer).Invite(context.Background(), 1, []contactsync.Email{"ada@example.com", "grace@example.com"})
		if err != nil {
			if contactsync.ClassOf(err) != contactsync.ClassRepositoryUnreachable || got != nil {
				t.Errorf("%v, %+v", err, got)
			}
			return
		}
		lower := strings.ToLower(answer)
		for i, invited := range got {
			if strings.ContainsAny(invited.Problem, "\r\n\x00") || len(invited.Problem) > 4000 {
				t.Errorf("the problem is %q", invited.Problem)
			}
			other := got[1-i].Problem != ""
			if invited.Problem == "" && !strings.Contains(lower, "success") && !other {
				t.Errorf("%s was invited by %s", invited.Address, answer)
			}
		}
	})
}

// TestPeopleFaults guards that what changes people is sent once, that nothing but GitLab's own yes is one, and what each no
// is called.
func TestPeopleFaults(t *testing.T) {
	refusedAs := contactsync.ClassGitLabRefused
	unreachable := contactsync.ClassRepositoryUnreachable
	tests := []struct {
		name  string
		fault fake.Fault
		class contactsync.Class
		words string
	}{
		{"bad", fake.Fault{Status: 400, Header: jsonHeader, Body: `{"message":{"access_level":["is not included in the list"]}}`}, refusedAs, "not included"},
		{"not allowed", fake.Fault{Status: 403, Header: jsonHeader, Body: `{"message":"403 Forbidden"}`}, refusedAs, "403 Forbidden"},
		{"conflict", fake.Fault{Status: 409, Header: jsonHeader, Body: `{"message":"Member already exists"}`}, refusedAs, "already exists"},
		{"unprocessable", fake.Fault{Status: 422, Header: jsonHeader, Body: `{"message":"no more seats"}`}, refusedAs, "no more seats"},
		{"an old GitLab", fake.Fault{Status: 404, Header: jsonHeader, Body: `{"error":"404 Not Found"}`}, refusedAs, "does not have that call"},
		{"no project", fake.Fault{Status: 404, Header: jsonHeader, Body: `{"message":"404 Project Not Found"}`}, contactsync.ClassInvalidProjectID, "no such project"},
		{"a proxy has nothing", fake.Fault{Status: 404, Body: "<html>"}, unreachable, "check gitlab.url"},
		{"a proxy says no", fake.Fault{Status: 400, Body: "<html>"}, unreachable, "400"},
		{"a proxy says yes", fake.Fault{Status: 200, Header: http.Header{"Content-Type": {"text/html"}}, Body: "<html>"}, unreachable, "cannot be understood"},
		{"a proxy says yes, with status 201", fake.Fault{ContentType: "text/html"}, unreachable, "cannot be understood"},
		{"an unknown token", fake.Fault{Status: 401, Header: jsonHeader, Body: `{"message":"401 Unauthorized"}`}, unreachable, "refuses the token"},
		{"too often", fake.Fault{Status: 429, Header: http.Header{"Retry-After": {"1"}}}, unreachable, "429"},
		{"done, and lost", fake.Fault{Status: 502, After: true}, unreachable, "502"},
		{"done, and cut", fake.Fault{Reset: true, After: true}, unreachable, "cannot be reached"},
		{"elsewhere", fake.Fault{Status: 307, Header: http.Header{"Location": {"https://example.org/"}}}, unreachable, "another host"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := company(t)
			h.members(t, fake.Member{User: 8, Level: 20})
			if err := h.AddInvitation(h.id, fake.Invitation{Address: "mary@example.com", Level: 30}); err != nil {
				t.Fatal(err)
			}
			h.Inject(test.fault)
			client := h.client(t, nil)
			for name, call := range map[string]func() error{
				"Invite": func() error {
					_, err := client.Invite(t.Context(), h.id, []contactsync.Email{"new@example.com"})
					return err
				},
				"Withdraw":      func() error { return client.Withdraw(t.Context(), h.id, "mary@example.com") },
				"MakeDeveloper": func() error { return client.MakeDeveloper(t.Context(), h.id, 8) },
			} {
				if name == "Withdraw" && test.name == "a proxy says yes, with status 201" {
					continue // it is 204 there, which has no type
				}
				h.ForgetRequests()
				wantClass(t, call(), test.class, test.words, "project 4711")
				if len(h.Requests()) != 1 {
					t.Errorf("%s: it took %s", name, h.methods())
				}
			}
		})
	}
}

// TestWithdraw guards that an invitation is withdrawn in whatever spelling GitLab keeps it, that others stay, and that one
// that is gone is no error.
func TestWithdraw(t *testing.T) {
	h := company(t)
	for _, address := range []string{"ada+x@example.com", "Mary@Example.com", "mary@example.com.au", "plain@example.com"} {
		if err := h.AddInvitation(h.id, fake.Invitation{Address: address, Level: 30}); err != nil {
			t.Fatal(err)
		}
	}
	client := h.client(t, nil)
	for _, step := range []struct {
		address contactsync.Email
		takes   string
		left    int
	}{
		{"plain@example.com", "DELETE", 3},
		{"ada+x@example.com", "DELETE", 2},
		{"mary@example.com", "DELETE GET DELETE", 1},
		{"mary@example.com", "DELETE GET", 1},
	} {
		h.ForgetRequests()
		if err := client.Withdraw(t.Context(), h.id, step.address); err != nil || h.methods() != step.takes {
			t.Errorf("%s: %v for %s, want %s", step.address, err, h.methods(), step.takes)
		}
		if left, err := h.Invitations(h.id); err != nil || len(left) != step.left {
			t.Errorf("%s: %+v are left, %v", step.address, left, err)
		}
	}
	h.Inject(fake.Fault{Method: http.MethodGet, Status: 500})
	wantClass(t, client.Withdraw(t.Context(), h.id, "mary@example.com"), contactsync.ClassRepositoryUnreachable, "mary@example.com")
	wantClass(t, client.Withdraw(t.Context(), h.id, ""), contactsync.ClassInternal)
}

// TestMakeDeveloper guards that a level is raised and lowered alike, only of direct members, and that GitLab's word is
// not taken for a deed.
func TestMakeDeveloper(t *testing.T) {
	h := company(t)
	h.members(t, fake.Member{User: 7, Level: 20}, fake.Member{User: 8, Level: 50}, fake.Member{User: 11, Level: 40},
		fake.Member{User: 11, Level: 40, Inherited: true}, fake.Member{User: 13, Level: 20, Inherited: true})
	client := h.client(t, nil)
	for _, id := range []int64{7, 8, 8} {
		h.ForgetRequests()
		if err := client.MakeDeveloper(t.Context(), h.id, id); err != nil || h.methods() != "PUT" {
			t.Errorf("%v for %s", err, h.methods())
		}
	}
	members, err := client.Members(t.Context(), h.id)
	if err != nil || members[1].Level != 30 || members[2].Level != 30 {
		t.Errorf("%+v, %v", members, err)
	}
	wantClass(t, client.MakeDeveloper(t.Context(), h.id, 11), contactsync.ClassGitLabRefused, "greater than or equal")
	err = client.MakeDeveloper(t.Context(), h.id, 13)
	wantClass(t, err, contactsync.ClassGitLabRefused, "member 13")
	if !errors.Is(err, gitlab.ErrGone) {
		t.Errorf("an inherited member: %v", err)
	}
	for _, answer := range []string{`{"id":7,"access_level":20}`, `{"id":8,"access_level":30}`, `{}`, `null`, `{"message":"queued"}`} {
		wantClass(t, answering(t, 200, "application/json", answer).MakeDeveloper(t.Context(), 1, 7), contactsync.ClassGitLabRefused, "member 7")
	}
}

// TestOnlyDevelopersOnTheWire guards that no request of any method of the client gives anybody another level than
// Developer, or puts somebody into a project in another way than by an invitation. The methods are found by reflection,
// so that one that is added later is seen, and called with whatever values it takes.
func TestOnlyDevelopersOnTheWire(t *testing.T) {
	h := company(t)
	h.members(t, fake.Member{User: 1, Level: 20}) // 1 is what every number is below
	client, wire := tapped(t, h)
	value := reflect.ValueOf(client)
	for i := range value.NumMethod() {
		method := value.Method(i)
		for _, number := range []int64{1, 8, h.id} {
			arguments := []reflect.Value{}
			for j := range method.Type().NumIn() {
				arguments = append(arguments, argument(t, method.Type().In(j), number, h.id, j))
			}
			if method.Type().IsVariadic() {
				t.Fatalf("%s is variadic: teach the test to call it", value.Type().Method(i).Name)
			}
			method.Call(arguments)
		}
	}
	invites, edits := 0, 0
	for _, r := range wire.sent {
		switch {
		case r.method == http.MethodGet || r.method == http.MethodHead || r.method == http.MethodDelete:
		case r.method == http.MethodPost && strings.HasSuffix(r.path, "/invitations"):
			invites++
			if !reflect.DeepEqual(r.body, map[string]any{"access_level": 30.0, "email": []any{"ada@example.com"}}) {
				t.Errorf("invited with %v", r.body)
			}
		case r.method == http.MethodPut && regexp.MustCompile(`/projects/\d+/members/\d+$`).MatchString(r.path):
			edits++
			if !reflect.DeepEqual(r.body, map[string]any{"access_level": 30.0}) {
				t.Errorf("a member was edited with %v", r.body)
			}
		case strings.Contains(r.path, "member") || strings.Contains(r.path, "invit") || strings.Contains(r.path, "share"):
			t.Errorf("%s %s: there is another way", r.method, r.path)
		default:
			for _, key := range []string{"access_level", "email", "user_id", "member_role_id", "group_access"} {
				if _, ok := r.body[key]; ok {
					t.Errorf("%s %s sends %s: %v", r.method, r.path, key, r.body)
				}
			}
		}
	}
	if invites == 0 || edits == 0 {
		t.Errorf("%d invitations and %d edits were seen", invites, edits)
	}
}

// argument makes something to call a method with: the first number is the project's.
func argument(t *testing.T, kind reflect.Type, number, project int64, position int) reflect.Value {
	t.Helper()
	made := reflect.New(kind).Elem()
	switch {
	case kind == reflect.TypeFor[context.Context]():
		made.Set(reflect.ValueOf(t.Context()))
	case kind == reflect.TypeFor[[]contactsync.Email]():
		made.Set(reflect.ValueOf([]contactsync.Email{"ada@example.com"}))
	case kind == reflect.TypeFor[contactsync.Protection]():
		made.Set(reflect.ValueOf(wanted))
	case kind == reflect.TypeFor[contactsync.NewHook]():
		made.Set(reflect.ValueOf(contactsync.NewHook{URL: "https://example.com", Branch: "master"}))
	case kind == reflect.TypeFor[contactsync.CommitStatus]():
		made.Set(reflect.ValueOf(contactsync.CommitStatus{Commit: strings.Repeat("a", 40), State: contactsync.CommitSuccess}))
	case kind == reflect.TypeFor[contactsync.Thread]():
		made.Set(reflect.ValueOf(contactsync.Thread{Project: project, Request: number}))
	case kind == reflect.TypeFor[contactsync.Note]():
		made.Set(reflect.ValueOf(contactsync.Note{Discussion: "a", ID: number}))
	case kind == reflect.TypeFor[contactsync.Badge]():
		made.Set(reflect.ValueOf(contactsync.Badge{Name: "contacts"}))
	case kind.Kind() == reflect.Bool:
		made.SetBool(true)
	case kind.Kind() == reflect.Int64 && position == 1:
		made.SetInt(project)
	case kind.Kind() == reflect.Int64:
		made.SetInt(number)
	case kind.Kind() == reflect.String:
		made.SetString("ada@example.com")
	case kind.Kind() == reflect.Struct || kind.Kind() == reflect.Map:
	default:
		t.Fatalf("an argument of the type %s: teach the test to make one", kind)
	}
	return made
}

// TestOnlyDevelopersInTheSource guards the same in the source: the level stands in one place, addresses of members and
// invitations are made in one file, none of the library's own ways to give somebody a level is used, and no method that
// changes people has a level among its parameters.
func TestOnlyDevelopersInTheSource(t *testing.T) {
	files := gotoken.NewFileSet()
	constants, levels := 0, 0
	forbidden := regexp.MustCompile(`^(Add|Edit|Share|Invite|Update)\w*(Member|Group|Invit)\w*$|^(Project|Group)Invites$`)
	sources, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil || len(sources) == 0 {
		t.Fatal(sources, err)
	}
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(files, source, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			switch node := node.(type) {
			case *ast.SelectorExpr:
				switch name := node.Sel.Name; {
				case name == "AccessDeveloper":
					constants++
				case name == "AccessMaintainer" || name == "AccessOwner" || forbidden.MatchString(name):
					t.Errorf("%s uses %s", files.Position(node.Pos()), name)
				}
			case *ast.Field:
				if node.Tag != nil && strings.Contains(node.Tag.Value, `"access_level"`) {
					if name, ok := node.Type.(*ast.Ident); ok && name.Name == "developer" {
						levels++
					}
				}
			case *ast.BasicLit:
				if node.Kind == gotoken.STRING && source != "members.go" && regexp.MustCompile(`projects/.*(member|invit)`).MatchString(node.Value) {
					t.Errorf("%s is an address of people", files.Position(node.Pos()))
				}
			case *ast.FuncDecl:
				if source != "members.go" || node.Recv == nil || !node.Name.IsExported() {
					break
				}
				for _, parameter := range node.Type.Params.List {
					if selector, ok := parameter.Type.(*ast.SelectorExpr); ok && selector.Sel.Name == "AccessLevel" {
						t.Errorf("%s takes a level", node.Name.Name)
					}
				}
			}
			return true
		})
	}
	// One makes the number, one checks what GitLab answered.
	if constants != 2 || levels != 2 {
		t.Errorf("the constant is used %d times, and sent in %d requests", constants, levels)
	}
}
