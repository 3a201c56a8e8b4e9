package gitlab

import "fmt"

// Hook is a hook as AddHook makes it: one for pushes.
type Hook struct {
	URL           string
	BranchFilter  string // "" lets every branch through
	MergeRequests bool   // it is told of merge requests, too
	Token         string
	SigningToken  string
	Variables     map[string]string // for the placeholders of the URL
}

// AddHook gives a project a hook, as its API would, and returns the hook's number.
func (s *Server) AddHook(project int64, wanted Hook) (int64, error) {
	p, err := s.project(project)
	if err != nil {
		return 0, err
	}
	made := settings{URL: &wanted.URL, BranchFilter: &wanted.BranchFilter, MergeRequests: &wanted.MergeRequests, Token: &wanted.Token, SigningToken: &wanted.SigningToken}
	if s.options.OldHooks {
		made.SigningToken = nil
	}
	for name, value := range wanted.Variables {
		made.URLVariables = append(made.URLVariables, variable{Key: name, Value: value})
	}
	if problem := made.problem(); problem != "" {
		return 0, fmt.Errorf("adding a hook to project %d: %s", project, problem)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hookID++
	p.hooks = append(p.hooks, &hook{id: s.hookID, created: s.options.Now(), old: s.options.OldHooks, settings: made})
	return s.hookID, nil
}
