package gitlab

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
)

// Protection is a rule for a branch, or for all branches that a wildcard fits.
// Source: docs.gitlab.com/api/protected_branches.
type Protection struct {
	Branch      string
	Push, Merge []Grant
	ForcePush   bool
	CodeOwners  bool
}

// Grant lets a role do something, or, where one of the other numbers is not zero, one user, group or deploy key alone.
type Grant struct {
	Level, User, Group, DeployKey int
}

type protection struct {
	Protection
	id          int
	push, merge []grant
}

type grant struct {
	Grant
	id int
}

// Protect gives a project a rule, or replaces the one for that branch.
func (s *Server) Protect(project int64, rule Protection) error {
	p, err := s.project(project)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p.unprotect(rule.Branch)
	s.protect(p, rule)
	return nil
}

// Protections returns the rules of a project, the oldest first.
func (s *Server) Protections(project int64) ([]Protection, error) {
	p, err := s.project(project)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	rules := make([]Protection, len(p.protections))
	for i, rule := range p.protections {
		rules[i] = rule.Protection
		rules[i].Push, rules[i].Merge = grants(rule.push), grants(rule.merge)
	}
	return rules, nil
}

func grants(from []grant) []Grant {
	plain := make([]Grant, len(from))
	for i, g := range from {
		plain[i] = g.Grant
	}
	return plain
}

// ProtectDefaultBranch makes GitLab protect one project's default branch by itself, as Options.ProtectDefault does for all.
func (s *Server) ProtectDefaultBranch(project int64) error {
	p, err := s.project(project)
	if err != nil {
		return err
	}
	s.protectDefaultBranch(p)
	return nil
}

// protectDefaultBranch makes GitLab protect the project's default branch by itself, for maintainers alone: at once when
// there is one, else as soon as there is. The caller does not hold the lock.
// Source: docs.gitlab.com/user/project/repository/branches/default, "Protect initial default branches".
func (s *Server) protectDefaultBranch(p *project) {
	// An unreadable repository has no branches to protect.
	refs, _ := s.refs(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	p.protectsDefault = true
	s.protectNewBranches(p, nil, refs)
}

// protectNewBranches protects the default branch if it came into being, where GitLab is to do that. It expects the lock
// to be held.
func (s *Server) protectNewBranches(p *project, before, after map[string]string) {
	ref := "refs/heads/" + p.DefaultBranch
	if !p.protectsDefault && !s.options.ProtectDefault || before[ref] != "" || after[ref] == "" || p.protectionOf(p.DefaultBranch) != nil {
		return
	}
	s.protect(p, Protection{Branch: p.DefaultBranch, Push: []Grant{{Level: Maintainer}}, Merge: []Grant{{Level: Maintainer}}})
}

// protect expects the lock to be held.
func (s *Server) protect(p *project, rule Protection) *protection {
	s.ruleID++
	made := &protection{Protection: rule, id: s.ruleID, push: s.numbered(rule.Push), merge: s.numbered(rule.Merge)}
	p.protections = append(p.protections, made)
	return made
}

func (s *Server) numbered(plain []Grant) []grant {
	var numbered []grant
	for _, g := range plain {
		s.ruleID++
		numbered = append(numbered, grant{Grant: g, id: s.ruleID})
	}
	return numbered
}

func (p *project) protectionOf(name string) *protection {
	i := slices.IndexFunc(p.protections, func(rule *protection) bool { return rule.Branch == name })
	if i < 0 {
		return nil
	}
	return p.protections[i]
}

func (p *project) unprotect(name string) {
	p.protections = slices.DeleteFunc(slices.Clone(p.protections), func(rule *protection) bool { return rule.Branch == name })
}

// sentProtection is what a client may send about a rule. A nil pointer was not sent.
type sentProtection struct {
	Name       *string     `json:"name"`
	Push       *int        `json:"push_access_level"`
	Merge      *int        `json:"merge_access_level"`
	ForcePush  *bool       `json:"allow_force_push"`
	CodeOwners *bool       `json:"code_owner_approval_required"`
	PushBy     []sentGrant `json:"allowed_to_push"`
	MergeBy    []sentGrant `json:"allowed_to_merge"`
}

type sentGrant struct {
	ID        int  `json:"id"`
	Level     *int `json:"access_level"`
	User      int  `json:"user_id"`
	Group     int  `json:"group_id"`
	DeployKey int  `json:"deploy_key_id"`
	Destroy   bool `json:"_destroy"`
}

func (g sentGrant) grant() Grant {
	return Grant{Level: value(g.Level), User: g.User, Group: g.Group, DeployKey: g.DeployKey}
}

// readProtection also leaves out what GitLab Free ignores.
func (s *Server) readProtection(w http.ResponseWriter, r *http.Request) (sentProtection, bool) {
	var sent sentProtection
	if !readJSON(w, r, &sent) {
		return sentProtection{}, false
	}
	if s.options.Free {
		sent.PushBy, sent.MergeBy, sent.CodeOwners = nil, nil, nil
	}
	for name, level := range map[string]*int{"push_access_level": sent.Push, "merge_access_level": sent.Merge} {
		if level != nil && !slices.Contains([]int{0, Developer, Maintainer, 60}, *level) {
			answerJSON(w, http.StatusBadRequest, map[string]string{"error": name + " does not have a valid value"})
			return sentProtection{}, false
		}
	}
	return sent, true
}

func readJSON(w http.ResponseWriter, r *http.Request, into any) bool {
	return readJSONFrom(w, io.LimitReader(r.Body, 1<<20), into)
}

func readJSONFrom(w http.ResponseWriter, body io.Reader, into any) bool {
	err := json.NewDecoder(body).Decode(into)
	if err != nil {
		answerJSON(w, http.StatusBadRequest, map[string]string{"error": "There was a problem in the JSON you submitted: " + err.Error()})
	}
	return err == nil
}

func (s *Server) listProtections(w http.ResponseWriter, r *http.Request, p *project) {
	page, size := paging(r, 100)
	s.mu.Lock()
	defer s.mu.Unlock()
	answerJSON(w, http.StatusOK, paged(w, p.protections, page, size, s.describeProtection))
}

// onProtection finds the rule that a request is about, and holds the lock while it is handled.
func (s *Server) onProtection(w http.ResponseWriter, r *http.Request, p *project, handle func(*protection)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rule := p.protectionOf(r.PathValue("name"))
	if rule == nil {
		message(w, http.StatusNotFound, "404 Not found")
		return
	}
	handle(rule)
}

func (s *Server) getProtection(w http.ResponseWriter, r *http.Request, p *project) {
	s.onProtection(w, r, p, func(rule *protection) { answerJSON(w, http.StatusOK, s.describeProtection(rule)) })
}

func (s *Server) createProtection(w http.ResponseWriter, r *http.Request, p *project) {
	sent, ok := s.readProtection(w, r)
	if !ok {
		return
	}
	if value(sent.Name) == "" {
		answerJSON(w, http.StatusBadRequest, map[string]string{"error": "name is missing"})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.protectionOf(*sent.Name) != nil {
		message(w, http.StatusConflict, "Protected branch '"+*sent.Name+"' already exists")
		return
	}
	rule := Protection{Branch: *sent.Name, ForcePush: value(sent.ForcePush), CodeOwners: value(sent.CodeOwners),
		Push: granted(sent.Push, sent.PushBy), Merge: granted(sent.Merge, sent.MergeBy)}
	for name, list := range map[string][]Grant{"Push": rule.Push, "Merge": rule.Merge} {
		if doubled(list) {
			message(w, http.StatusUnprocessableEntity, name+" access levels access level has already been taken")
			return
		}
	}
	answerJSON(w, http.StatusCreated, s.describeProtection(s.protect(p, rule)))
}

// granted is who may by a new rule: the level, and the list; maintainers where neither was sent.
func granted(level *int, by []sentGrant) []Grant {
	var list []Grant
	if level != nil {
		list = append(list, Grant{Level: *level})
	}
	for _, g := range by {
		list = append(list, g.grant())
	}
	if list == nil {
		list = []Grant{{Level: Maintainer}}
	}
	return list
}

func doubled(list []Grant) bool {
	for i, g := range list {
		if slices.Contains(list[:i], g) {
			return true
		}
	}
	return false
}

func (s *Server) editProtection(w http.ResponseWriter, r *http.Request, p *project) {
	sent, ok := s.readProtection(w, r)
	if !ok {
		return
	}
	s.onProtection(w, r, p, func(rule *protection) {
		push, found := s.edited(rule.push, sent.PushBy)
		merge, foundToo := s.edited(rule.merge, sent.MergeBy)
		switch {
		case !found || !foundToo:
			message(w, http.StatusNotFound, "404 Not found")
			return
		case doubled(grants(push)):
			message(w, http.StatusUnprocessableEntity, "Push access levels access level has already been taken")
			return
		case doubled(grants(merge)):
			message(w, http.StatusUnprocessableEntity, "Merge access levels access level has already been taken")
			return
		}
		rule.push, rule.merge = push, merge
		if sent.ForcePush != nil {
			rule.ForcePush = *sent.ForcePush
		}
		if sent.CodeOwners != nil {
			rule.CodeOwners = *sent.CodeOwners
		}
		answerJSON(w, http.StatusOK, s.describeProtection(rule))
	})
}

// edited returns a list after an edit: entries with a number change or, with _destroy, go; the others come in addition.
// It reports false for a number that is not there.
func (s *Server) edited(list []grant, sent []sentGrant) ([]grant, bool) {
	list = slices.Clone(list)
	for _, change := range sent {
		at := slices.IndexFunc(list, func(g grant) bool { return g.id == change.ID })
		switch {
		case change.ID == 0:
			list = append(list, s.numbered([]Grant{change.grant()})...)
		case at < 0:
			return nil, false
		case change.Destroy:
			list = slices.Delete(list, at, at+1)
		default:
			list[at].Grant = change.grant()
		}
	}
	return list, true
}

func (s *Server) deleteProtection(w http.ResponseWriter, r *http.Request, p *project) {
	s.onProtection(w, r, p, func(rule *protection) {
		p.unprotect(rule.Branch)
		w.WriteHeader(http.StatusNoContent)
	})
}

// describeProtection is what the API tells of a rule. What only Premium has, Free does not tell.
func (s *Server) describeProtection(rule *protection) map[string]any {
	described := map[string]any{
		"id": rule.id, "name": rule.Branch, "allow_force_push": rule.ForcePush,
		"push_access_levels": s.describeGrants(rule.push), "merge_access_levels": s.describeGrants(rule.merge),
	}
	if !s.options.Free {
		described["code_owner_approval_required"], described["unprotect_access_levels"] = rule.CodeOwners, []any{}
		described["inherited"] = false
	}
	return described
}

func (s *Server) describeGrants(list []grant) []map[string]any {
	described := []map[string]any{}
	for _, g := range list {
		row := map[string]any{"id": g.id, "access_level": g.Level, "access_level_description": roles[g.Level]}
		if !s.options.Free {
			for name, id := range map[string]int{"user_id": g.User, "group_id": g.Group, "deploy_key_id": g.DeployKey} {
				row[name] = nil
				if id != 0 {
					row[name], row["access_level"], row["access_level_description"] = id, nil, strings.TrimSuffix(name, "_id")
				}
			}
		}
		described = append(described, row)
	}
	return described
}

var roles = map[int]string{0: "No one", Developer: "Developers + Maintainers", Maintainer: "Maintainers", 60: "Instance admins"}
