package gitlab

import (
	"context"
	"fmt"
	"strings"

	"contactsync"
)

// requestRow is what is read of a merge request. Null is the source project of one whose fork is gone, and the
// differences of one that is not prepared yet.
type requestRow struct {
	Number       int64  `json:"iid"`
	Project      int64  `json:"project_id"`
	Source       int64  `json:"source_project_id"`
	Target       int64  `json:"target_project_id"`
	SourceBranch string `json:"source_branch"`
	TargetBranch string `json:"target_branch"`
	State        string `json:"state"`
	Head         string `json:"sha"`
	Refs         struct {
		Base string `json:"base_sha"`
	} `json:"diff_refs"`
	References struct {
		Full string `json:"full"`
	} `json:"references"`
}

// MergeRequest returns a merge request of the project, in one request. Of the project it has all but the default branch.
//
// Errors: invalid_project_id as of Project; gitlab_refused where there is no such merge request, or the token may not look;
// repository_unreachable.
// Source: docs.gitlab.com/api/merge_requests, "Get single MR".
func (c *Client) MergeRequest(ctx context.Context, project, number int64) (contactsync.MergeRequest, error) {
	found, err := c.mergeRequest(ctx, project, number)
	if err != nil {
		return contactsync.MergeRequest{}, fmt.Errorf("reading merge request %d of project %d: %w", number, project, err)
	}
	return found, nil
}

func (c *Client) mergeRequest(ctx context.Context, project, number int64) (contactsync.MergeRequest, error) {
	none := contactsync.MergeRequest{}
	path, err := projectAddress(project)
	if err != nil {
		return none, err
	}
	if number <= 0 {
		return none, contactsync.Errorf(contactsync.ClassGitLabRefused, "a merge request's number is above zero")
	}
	var row requestRow
	if _, err := c.reading(ctx, c.explainReport, maxAnswer, fmt.Sprintf("%s/merge_requests/%d", path, number), nil, &row); err != nil {
		return none, err
	}
	if row.Number != number || row.Project != project || row.Target != project {
		return none, senseless(fmt.Sprintf("it is about merge request %d of project %d, to project %d", row.Number, row.Project, row.Target))
	}
	place, named := strings.CutSuffix(row.References.Full, fmt.Sprintf("!%d", number))
	if !named || !projectPath.MatchString(place) {
		return none, senseless(fmt.Sprintf("it is about %q", row.References.Full))
	}
	if !commitName.MatchString(row.Head) || row.Refs.Base != "" && !commitName.MatchString(row.Refs.Base) {
		return none, senseless(fmt.Sprintf("its commits are %q and %q", row.Head, row.Refs.Base))
	}
	open := false
	switch row.State {
	case "opened", "locked": // it is locked while it is being merged
		open = true
	case "closed", "merged":
	default:
		return none, senseless(fmt.Sprintf("its state is %q", row.State))
	}
	if row.TargetBranch == "" {
		return none, senseless("it has no target branch")
	}
	return contactsync.MergeRequest{
		Project: contactsync.Project{ID: project, Path: place, CloneURL: c.ours("", place+".git"), WebURL: c.ours("", place)},
		Number:  number, Open: open, Fork: row.Source != project, Source: row.SourceBranch, Target: row.TargetBranch, Head: row.Head, Base: row.Refs.Base,
	}, nil
}
