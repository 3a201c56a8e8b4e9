package gitlab

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// The access levels of members that a test needs.
// Source: docs.gitlab.com/api/access_requests, "Valid access levels".
const (
	Developer  = 30
	Maintainer = 40
	Owner      = 50
)

// Namespace is a customer's top-level group, with its subscription as gitlab.com has it.
type Namespace struct {
	ID      int64  // 0 takes the next free number
	Path    string // "example"
	Members []Member
	// Subscription is nil for a namespace that never had one.
	Subscription *Subscription
	// Hidden namespaces are not shown to the token at all; of those that it does not own it sees neither the
	// subscription nor, where the group is private, the members.
	Hidden, Foreign bool
}

// Member is somebody in a namespace, or above it, which the stand-in does not tell apart; or in a project.
type Member struct {
	User    int64
	Level   int
	Blocked bool
	Waiting bool   // the membership is to be approved
	Address string // that GitLab shows to owners, of enterprise users
	// Inherited members of a project are in it by a group.
	Inherited bool
}

// Subscription is what gitlab.com says of a subscription.
type Subscription struct {
	Plan  string // code
	Trial bool
	Seats int
	Ends  string // "2027-01-31", "" for never
}

// AddNamespace adds a namespace, and returns its number.
func (s *Server) AddNamespace(n Namespace) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.Path == "" || strings.Contains(n.Path, "/") {
		return 0, fmt.Errorf("adding a namespace: %q is no path at the top level", n.Path)
	}
	if n.ID == 0 {
		n.ID = firstNamespace + int64(len(s.namespaces))
	}
	for _, other := range s.namespaces {
		if other.ID == n.ID || strings.EqualFold(other.Path, n.Path) {
			return 0, fmt.Errorf("adding the namespace %s: number or path are taken", n.Path)
		}
	}
	n.Members = slices.Clone(n.Members)
	s.namespaces = append(s.namespaces, n)
	for i, g := range s.groups {
		if strings.EqualFold(g.path, n.Path) { // it was there because of a project
			s.groups[i].id = n.ID
		}
	}
	return n.ID, nil
}

const firstNamespace = 9000

// AddUser adds somebody who can be looked up by username, and need not be able to do anything.
func (s *Server) AddUser(u User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.people = append(s.people, u)
}

// namespace finds one by number or path, of those that are not hidden.
func (s *Server) namespace(reference string) (Namespace, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range s.namespaces {
		if !n.Hidden && (strconv.FormatInt(n.ID, 10) == reference || strings.EqualFold(n.Path, reference)) {
			return n, true
		}
	}
	return Namespace{}, false
}

func (s *Server) user(id int64) (User, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.people, func(u User) bool { return u.ID == id })
	if i < 0 {
		return User{}, false
	}
	return s.people[i], true
}

// getNamespace answers as docs.gitlab.com/api/namespaces, "Get details on a namespace".
func (s *Server) getNamespace(w http.ResponseWriter, r *http.Request) {
	if !s.allowed(w, r, "read_api") {
		return
	}
	n, ok := s.namespace(r.PathValue("id"))
	if !ok {
		base := s.baseFor(r)
		s.mu.Lock()
		defer s.mu.Unlock()
		if g, found := s.findGroup(r.PathValue("id")); found {
			answerJSON(w, http.StatusOK, s.describeGroup(g, base))
			return
		}
		message(w, http.StatusNotFound, "404 Namespace Not Found")
		return
	}
	described := map[string]any{
		"id": n.ID, "name": n.Path, "path": n.Path, "kind": "group", "full_path": n.Path, "parent_id": nil,
		"avatar_url": nil, "web_url": s.baseFor(r) + "/groups/" + n.Path,
	}
	if !n.Foreign && n.Subscription != nil {
		described["plan"], described["trial"], described["trial_ends_on"] = n.Subscription.Plan, n.Subscription.Trial, nil
		described["end_date"], described["max_seats_used"] = textOrNull(n.Subscription.Ends), 1
	}
	answerJSON(w, http.StatusOK, described)
}

// getSubscription answers to owners alone. A namespace without a subscription is described all the same, by nothing.
// Source: GitLab's description of GET /namespaces/:id/gitlab_subscription; the values are numbers and booleans in real
// answers, though it says that they are texts.
func (s *Server) getSubscription(w http.ResponseWriter, r *http.Request) {
	if !s.allowed(w, r, "read_api") {
		return
	}
	n, ok := s.namespace(r.PathValue("id"))
	switch {
	case !ok:
		message(w, http.StatusNotFound, "404 Namespace Not Found")
		return
	case n.Foreign:
		message(w, http.StatusForbidden, "403 Forbidden")
		return
	}
	plan := map[string]any{"code": nil, "name": nil, "trial": false, "auto_renew": nil, "upgradable": true, "exclude_guests": nil}
	usage := map[string]any{"seats_in_subscription": nil, "seats_in_use": nil, "max_seats_used": nil, "seats_owed": nil}
	billing := map[string]any{"subscription_start_date": nil, "subscription_end_date": nil, "trial_ends_on": nil}
	if sub := n.Subscription; sub != nil {
		plan["code"], plan["name"], plan["trial"] = sub.Plan, sub.Plan, sub.Trial
		usage["seats_in_subscription"], usage["seats_in_use"] = sub.Seats, 1
		billing["subscription_start_date"], billing["subscription_end_date"] = "2025-01-01", textOrNull(sub.Ends)
	}
	answerJSON(w, http.StatusOK, map[string]any{"plan": plan, "usage": usage, "billing": billing})
}

// listMembers answers as docs.gitlab.com/api/group_members, "members/all", with the filter user_ids.
func (s *Server) listMembers(w http.ResponseWriter, r *http.Request) {
	if !s.allowed(w, r, "read_api") {
		return
	}
	n, ok := s.namespace(r.PathValue("id"))
	if !ok || n.Foreign {
		message(w, http.StatusNotFound, "404 Group Not Found")
		return
	}
	wanted := append(r.URL.Query()["user_ids[]"], r.URL.Query()["user_ids"]...)
	rows := []any{}
	for _, m := range n.Members {
		if len(wanted) > 0 && !slices.Contains(wanted, strconv.FormatInt(m.User, 10)) {
			continue
		}
		u, ok := s.user(m.User)
		if !ok {
			continue
		}
		rows = append(rows, describeMember(u, m, s.baseFor(r)))
	}
	answerJSON(w, http.StatusOK, rows)
}

// listUsers finds by username, exactly and ignoring case; other users are told to nobody here.
// Source: docs.gitlab.com/api/users, "List users".
func (s *Server) listUsers(w http.ResponseWriter, r *http.Request) {
	if !s.allowed(w, r, "read_api") {
		return
	}
	s.mu.Lock()
	people := slices.Clone(s.people)
	s.mu.Unlock()
	rows := []any{}
	for _, u := range people {
		if strings.EqualFold(u.Username, r.URL.Query().Get("username")) {
			rows = append(rows, map[string]any{"id": u.ID, "username": u.Username, "name": u.Name, "state": "active",
				"locked": false, "avatar_url": nil, "web_url": s.baseFor(r) + "/" + u.Username})
		}
	}
	answerJSON(w, http.StatusOK, rows)
}

func textOrNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}
