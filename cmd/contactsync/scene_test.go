package main_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"contactsync"
	fakezendesk "contactsync/internal/fakes/zendesk"
)

// scene is a state of the desk and a file that asks for every kind of change. The matrices break its run at every
// point, and then ask of the desk what must hold whatever happened.
type scene struct {
	name                                         string
	bulk                                         bool // the account allows bulk imports
	stay, create, add, rename, readdress, remove int
}

// Two scenes, because few changes are asked of a desk in another way than many. In one of them members fill several
// pages.
func scenes() []scene {
	return []scene{
		{name: "one by one", stay: 12, create: 2, add: 2, rename: 1, readdress: 1, remove: 2},
		{name: "in bulk", bulk: true, stay: 103, create: 5, add: 5, rename: 3, readdress: 1, remove: 5},
	}
}

func (s scene) people(count int, kind string) []contactsync.Contact {
	list := make([]contactsync.Contact, count)
	for i := range list {
		list[i] = contact(fmt.Sprintf("%s %03d", kind, i), fmt.Sprintf("%s%03d@example.com", strings.ToLower(kind), i))
	}
	return list
}

// file is what the repository lists.
func (s scene) file() []contactsync.Contact {
	readdressed := s.people(s.readdress, "Readdress")
	for i := range readdressed {
		readdressed[i].Previously = "formerly-" + readdressed[i].Email
	}
	return slices.Concat(s.people(s.stay, "Stay"), s.people(s.rename, "Rename"), readdressed,
		s.people(s.create, "Create"), s.people(s.add, "Add"))
}

// played is a scene that was set up in a world.
type played struct {
	*world
	scene
	keep    []int64            // members whom the file lists, under whatever name: they never leave
	leave   []int64            // members whom it does not list
	outside []fakezendesk.User // people whom no run has to do with, as they were
	people  int                // everybody at the desk when all is done
}

// play sets the scene up at the desk. The repository must have the scene's file.
func (s scene) play(w *world) *played {
	p := &played{world: w, scene: s}
	w.desk.Configure(func(settings *fakezendesk.Settings) { settings.BulkImport = s.bulk })
	member := func(name string, address contactsync.Email) int64 { return w.member(name, string(address)) }
	for _, c := range s.people(s.stay, "Stay") {
		p.keep = append(p.keep, member(c.Name, c.Email))
	}
	for _, c := range s.people(s.rename, "Rename") {
		p.keep = append(p.keep, member("Formerly "+c.Name, c.Email))
	}
	for _, c := range s.people(s.readdress, "Readdress") {
		p.keep = append(p.keep, member(c.Name, "formerly-"+c.Email))
	}
	for _, c := range s.people(s.remove, "Remove") {
		p.leave = append(p.leave, member(c.Name, c.Email))
	}
	for _, c := range s.people(s.add, "Add") {
		w.desk.AddUser(fakezendesk.User{Name: c.Name, Email: string(c.Email)})
	}
	other := w.organization("Other", project+1)
	for _, user := range []fakezendesk.User{
		{Name: "Agent", Email: "agent@example.com", Role: "agent", Organizations: []int64{w.org}},
		{Name: "Other", Email: "create000@example.com.au", Organizations: []int64{other}}, // a search finds it, too
		{Name: "Nobody's", Email: "add000@example.com.au"},
	} {
		id := w.desk.AddUser(user)
		user, _ := w.desk.User(id)
		p.outside = append(p.outside, user)
	}
	p.people = len(w.desk.Users()) + s.create
	return p
}

// request is one of those that a run of the scene sends to the desk. Runs send the same ones, in an order that may vary.
type request struct {
	method     string
	target     string // path and query, "#" for each id
	occurrence int    // from 1: how often it was sent up to here
}

func (r request) is(method string, u *url.URL) bool {
	return r.method == method && r.target == target(u.Path, u.Query())
}

func (r request) String() string {
	return fmt.Sprintf("%s %s %d", r.method, strings.ReplaceAll(strings.TrimPrefix(r.target, "/api/v2/"), "/", "|"), r.occurrence)
}

func (r request) startsJob() bool {
	return r.method != http.MethodGet && strings.Contains(r.target, "_many")
}

// idsOf matches the ids of the stand-in, of jobs too.
var idsOf = regexp.MustCompile(`[0-9a-f]{32}|\d{12}`)

func target(path string, query url.Values) string {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return idsOf.ReplaceAllString(strings.ReplaceAll(path, "%2C", ","), "#")
}

// requestsOfACleanRun runs the scene without any fault, proves that it takes every kind of change, and returns what
// was sent to the desk.
func (s scene) requestsOfACleanRun(t *testing.T, w *world) []request {
	t.Helper()
	p := s.play(w)
	run, status := p.sync()
	if status != 0 || !p.isDone() {
		t.Fatalf("the scene does not work without any fault: %s, %+v %+v", run.Status, run.Error, run.Conflicts)
	}
	sum := run.Summary
	if sum.Create != s.create || sum.Add != s.add || sum.Rename != s.rename+s.readdress || sum.Remove != s.remove {
		t.Fatalf("the scene is not what it should be: %+v", sum)
	}
	var requests []request
	sent := make(map[request]int)
	for _, r := range w.desk.Requests() {
		same := request{method: r.Method, target: target(r.Path, r.Query)}
		sent[same]++
		requests = append(requests, request{same.method, same.target, sent[same]})
	}
	return requests
}

// isUnharmed checks what must hold at any moment: nobody has left whom the file lists, nobody is there twice, nobody
// was touched whom the run has nothing to do with, and nothing was done that may never be done.
func (p *played) isUnharmed() {
	p.Helper()
	var members []int64
	for _, user := range p.desk.MembersOf(p.org) {
		members = append(members, user.ID)
	}
	for _, id := range p.keep {
		if !slices.Contains(members, id) {
			user, _ := p.desk.User(id)
			p.Errorf("%s was removed", user.Email)
		}
	}
	if got := len(p.desk.Users()); got > p.people {
		p.Errorf("there are %d people, and never should be more than %d", got, p.people)
	}
	for _, id := range p.leave {
		if user, _ := p.desk.User(id); user.Inactive || user.Name == "" {
			p.Errorf("person %d was deleted", id)
		}
	}
	for _, was := range p.outside {
		if is, _ := p.desk.User(was.ID); fmt.Sprint(is) != fmt.Sprint(was) {
			p.Errorf("somebody was touched whom the run has nothing to do with: %v was %v", is, was)
		}
	}
	p.isClean()
}

// isDone reports whether the desk has what the file asks for: exactly its contacts, beside the agent.
func (p *played) isDone() bool {
	var members []string
	for _, user := range p.desk.MembersOf(p.org) {
		members = append(members, fmt.Sprintf("%s <%s>", user.Name, user.Email))
	}
	slices.Sort(members)
	want := append(listed(p.file()), "Agent <agent@example.com>")
	slices.Sort(want)
	return slices.Equal(want, members)
}

// converges runs without any fault, and checks that this mends everything.
func (p *played) converges() {
	p.Helper()
	run, status := p.sync()
	if status != 0 || !p.isDone() {
		p.Errorf("a clean run does not converge: %s, %+v\n%s", run.Status, run.Error, strings.Join(p.atDesk(), "\n"))
	}
	if got := len(p.desk.Users()); got != p.people {
		p.Errorf("there are %d people in the end, want %d", got, p.people)
	}
	p.isUnharmed()
}
