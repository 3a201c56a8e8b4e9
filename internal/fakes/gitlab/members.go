package gitlab

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Invitation waits for somebody without an account.
type Invitation struct {
	Address string
	Level   int
	Created time.Time
}

// AddMember makes a user who is known (Options.Users, AddUser) a member of a project, directly or, with Inherited, by the
// group.
func (s *Server) AddMember(project int64, m Member) error {
	p, err := s.project(project)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.known(func(u User) bool { return u.ID == m.User }); !ok {
		return fmt.Errorf("adding a member to project %d: nobody has the number %d", project, m.User)
	}
	p.members = append(p.members, m)
	return nil
}

// Members returns who is in a project, directly or by the group, without the service account itself.
func (s *Server) Members(project int64) ([]Member, error) {
	p, err := s.project(project)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(p.members), nil
}

// AddInvitation makes an invitation to a project, as somebody else would.
func (s *Server) AddInvitation(project int64, i Invitation) error {
	p, err := s.project(project)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.invitations = append(p.invitations, i)
	return nil
}

// Invitations returns the invitations of a project, the oldest first.
func (s *Server) Invitations(project int64) ([]Invitation, error) {
	p, err := s.project(project)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(p.invitations), nil
}

// known finds one of all users that there are. It expects the lock to be held.
func (s *Server) known(match func(User) bool) (User, bool) {
	all := slices.Concat([]User{s.service}, s.options.Users, s.people)
	i := slices.IndexFunc(all, match)
	if i < 0 {
		return User{}, false
	}
	return all[i], true
}

// everybody returns the project's members with what the group gives them: of several memberships of one user the
// highest. The service account owns the group. It expects the lock to be held.
// Source: docs.gitlab.com/api/project_members, "List all members of a project including inherited and invited members".
func (s *Server) everybody(p *project) []Member {
	all := []Member{{User: s.service.ID, Level: Owner, Inherited: true}}
	for _, m := range p.members {
		at := slices.IndexFunc(all, func(other Member) bool { return other.User == m.User })
		switch {
		case at < 0:
			all = append(all, m)
		case all[at].Level < m.Level:
			all[at] = m
		}
	}
	return all
}

func direct(members []Member) []Member {
	return slices.DeleteFunc(slices.Clone(members), func(m Member) bool { return m.Inherited })
}

// inheritedLevel is what a user has by the group, 0 for nothing. It expects the lock to be held.
func (s *Server) inheritedLevel(p *project, user int64) int {
	level := 0
	if user == s.service.ID {
		level = Owner
	}
	for _, m := range p.members {
		if m.Inherited && m.User == user {
			level = max(level, m.Level)
		}
	}
	return level
}

func (s *Server) listProjectMembers(w http.ResponseWriter, r *http.Request, p *project) {
	s.answerMembers(w, r, func() []Member { return direct(p.members) })
}

func (s *Server) listAllProjectMembers(w http.ResponseWriter, r *http.Request, p *project) {
	s.answerMembers(w, r, func() []Member { return s.everybody(p) })
}

func (s *Server) answerMembers(w http.ResponseWriter, r *http.Request, list func() []Member) {
	page, size := paging(r, 100)
	base := s.baseFor(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	answerJSON(w, http.StatusOK, paged(w, list(), page, size, func(m Member) map[string]any { return s.describeProjectMember(m, base) }))
}

// describeProjectMember expects the lock to be held.
func (s *Server) describeProjectMember(m Member, base string) map[string]any {
	u, _ := s.known(func(u User) bool { return u.ID == m.User })
	return describeMember(u, m, base)
}

func describeMember(u User, m Member, base string) map[string]any {
	row := map[string]any{
		"id": u.ID, "username": u.Username, "name": u.Name, "state": "active", "locked": false, "avatar_url": nil,
		"web_url": base + "/" + u.Username, "access_level": m.Level, "created_at": "2025-01-02T03:04:05.000Z",
		"expires_at": nil, "membership_state": "active",
	}
	if m.Blocked {
		row["state"] = "blocked"
	}
	if m.Waiting {
		row["membership_state"] = "awaiting"
	}
	if m.Address != "" {
		row["email"] = m.Address
	}
	return row
}

// memberLevels are the levels that somebody can be given.
// Source: docs.gitlab.com/api/access_requests, "Valid access levels".
var memberLevels = []int{5, 10, 15, 20, Developer, Maintainer, Owner}

// readLevel answers for the server, and returns false, where the level that was sent is none.
func readLevel(w http.ResponseWriter, level *int) bool {
	switch {
	case level == nil:
		answerJSON(w, http.StatusBadRequest, map[string]string{"error": "access_level is missing"})
	case !slices.Contains(memberLevels, *level):
		answerJSON(w, http.StatusBadRequest, map[string]string{"error": "access_level does not have a valid value"})
	default:
		return true
	}
	return false
}

// onMember finds the direct member that a request is about, and holds the lock while it is handled.
func (s *Server) onMember(w http.ResponseWriter, r *http.Request, p *project, handle func(at int)) {
	id, _ := strconv.ParseInt(r.PathValue("user"), 10, 64)
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(p.members, func(m Member) bool { return m.User == id && !m.Inherited })
	if at < 0 {
		message(w, http.StatusNotFound, "404 Not found")
		return
	}
	handle(at)
}

func (s *Server) editMember(w http.ResponseWriter, r *http.Request, p *project) {
	var sent struct {
		Level *int `json:"access_level"`
	}
	if !readJSON(w, r, &sent) || !readLevel(w, sent.Level) {
		return
	}
	base := s.baseFor(r)
	s.onMember(w, r, p, func(at int) {
		if *sent.Level < s.inheritedLevel(p, p.members[at].User) {
			answerJSON(w, http.StatusBadRequest, map[string]any{"message": map[string]any{"access_level": []string{tooLow}}})
			return
		}
		p.members[at].Level = *sent.Level
		answerJSON(w, http.StatusOK, s.describeProjectMember(p.members[at], base))
	})
}

// tooLow is what GitLab says against a level below that of a membership in the group.
const tooLow = "should be greater than or equal to the inherited membership from the group"

func (s *Server) deleteMember(w http.ResponseWriter, r *http.Request, p *project) {
	s.onMember(w, r, p, func(at int) {
		p.members = slices.Delete(slices.Clone(p.members), at, at+1)
		w.WriteHeader(http.StatusNoContent)
	})
}

// addresses are sent as a list, as one text with commas, or as a list of such texts.
type addresses []string

func (a *addresses) UnmarshalJSON(data []byte) error {
	var list []string
	if err := json.Unmarshal(data, &list); err != nil {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			return fmt.Errorf("neither a text nor a list of them: %w", err)
		}
		list = []string{text}
	}
	*a = nil
	for _, text := range list {
		for address := range strings.SplitSeq(text, ",") {
			if address = strings.TrimSpace(address); address != "" {
				*a = append(*a, address)
			}
		}
	}
	return nil
}

// maxInvited is how many addresses GitLab takes at once.
const maxInvited = 100

// invite always answers 201, and tells in the body what it refuses. The others are invited all the same.
// Source: docs.gitlab.com/api/invitations, "Add a member to a group or project"; GitLab's
// app/services/members/invite_service.rb.
func (s *Server) invite(w http.ResponseWriter, r *http.Request, p *project) {
	var sent struct {
		Level *int      `json:"access_level"`
		Email addresses `json:"email"`
	}
	if !readJSON(w, r, &sent) || !readLevel(w, sent.Level) {
		return
	}
	whole := ""
	switch {
	case len(sent.Email) == 0:
		whole = "Emails cannot be blank"
	case len(sent.Email) > maxInvited:
		whole = fmt.Sprintf("Too many users specified (limit is %d)", maxInvited)
	}
	if whole != "" {
		answerJSON(w, http.StatusCreated, map[string]string{"status": "error", "message": whole})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	problems := make(map[string]string)
	for _, address := range sent.Email {
		if named, problem := s.inviteOne(p, address, *sent.Level); problem != "" {
			problems[named] = problem
		}
	}
	if len(problems) > 0 {
		answerJSON(w, http.StatusCreated, map[string]any{"status": "error", "message": problems})
		return
	}
	answerJSON(w, http.StatusCreated, map[string]string{"status": "success"})
}

// inviteOne adds the account with that address, or else invites the address. It returns the address as GitLab names it,
// which is the account's own where there is one, and what speaks against it. It expects the lock to be held.
func (s *Server) inviteOne(p *project, address string, level int) (named, problem string) {
	user, ok := s.known(func(u User) bool { return u.Email != "" && strings.EqualFold(u.Email, address) })
	if !ok {
		local, domain, whole := strings.Cut(address, "@")
		switch {
		case !whole || local == "" || domain == "" || strings.ContainsAny(domain, "@ "):
			return address, "Invite email is invalid"
		case slices.ContainsFunc(p.invitations, func(i Invitation) bool { return strings.EqualFold(i.Address, address) }):
			return address, "Invite email has already been taken"
		}
		p.invitations = append(p.invitations, Invitation{Address: address, Level: level, Created: s.options.Now()})
		return address, ""
	}
	switch {
	case slices.ContainsFunc(direct(p.members), func(m Member) bool { return m.User == user.ID }):
		return user.Email, "User already exists in source"
	case level < s.inheritedLevel(p, user.ID):
		return user.Email, "Access level " + tooLow
	}
	p.members = append(p.members, Member{User: user.ID, Level: level})
	return user.Email, ""
}

func (s *Server) listInvitations(w http.ResponseWriter, r *http.Request, p *project) {
	page, size := paging(r, 100)
	s.mu.Lock()
	defer s.mu.Unlock()
	answerJSON(w, http.StatusOK, paged(w, p.invitations, page, size, s.describeInvitation))
}

func (s *Server) describeInvitation(i Invitation) map[string]any {
	return map[string]any{
		"access_level": i.Level, "created_at": i.Created.UTC(), "expires_at": nil, "invite_email": i.Address,
		"user_name": nil, "created_by_name": s.service.Name,
	}
}

// onInvitation finds the invitation that a request is about, whose address must be spelled as in the invitation, and
// holds the lock while it is handled. Source: GitLab's lib/api/helpers/members_helpers.rb.
func (s *Server) onInvitation(w http.ResponseWriter, r *http.Request, p *project, handle func(at int)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := slices.IndexFunc(p.invitations, func(i Invitation) bool { return i.Address == r.PathValue("email") })
	if at < 0 {
		message(w, http.StatusNotFound, "404 Not found")
		return
	}
	handle(at)
}

func (s *Server) editInvitation(w http.ResponseWriter, r *http.Request, p *project) {
	var sent struct {
		Level *int `json:"access_level"`
	}
	if !readJSON(w, r, &sent) || sent.Level != nil && !readLevel(w, sent.Level) {
		return
	}
	s.onInvitation(w, r, p, func(at int) {
		p.invitations[at].Level = cmp.Or(value(sent.Level), p.invitations[at].Level)
		answerJSON(w, http.StatusOK, s.describeInvitation(p.invitations[at]))
	})
}

func (s *Server) deleteInvitation(w http.ResponseWriter, r *http.Request, p *project) {
	s.onInvitation(w, r, p, func(at int) {
		p.invitations = slices.Delete(slices.Clone(p.invitations), at, at+1)
		w.WriteHeader(http.StatusNoContent)
	})
}
