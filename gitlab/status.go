package gitlab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"
	"unicode/utf8"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"contactsync"
	"contactsync/outbound"
)

// commitName is what a commit is called: 40 hex digits, or 64 in a repository of SHA-256.
var commitName = regexp.MustCompile(`^([0-9a-f]{40}|[0-9a-f]{64})$`)

// BranchHead returns the newest commit of a branch, in one request; "" where there is no such branch, or no repository.
//
// Errors: invalid_project_id as of Project; gitlab_refused where the token may not look; repository_unreachable.
// Source: docs.gitlab.com/api/branches, "Get single repository branch".
func (c *Client) BranchHead(ctx context.Context, project int64, branch string) (string, error) {
	head, err := c.branchHead(ctx, project, branch)
	if err != nil {
		return "", fmt.Errorf("reading the branch %s of project %d: %w", outbound.Clean(branch, 200), project, err)
	}
	return head, nil
}

func (c *Client) branchHead(ctx context.Context, project int64, branch string) (string, error) {
	path, err := projectAddress(project)
	if err != nil || branch == "" {
		return "", err
	}
	var answer struct {
		Name   string `json:"name"`
		Commit struct {
			ID string `json:"id"`
		} `json:"commit"`
	}
	_, err = c.reading(ctx, c.explainReport, maxAnswer, path+"/repository/branches/"+gitlab.PathEscape(branch), nil, &answer)
	if errors.Is(err, ErrGone) {
		return "", nil
	}
	if err == nil && (answer.Name != branch || !commitName.MatchString(answer.Commit.ID)) {
		err = senseless(fmt.Sprintf("it is about the branch %q at %q", answer.Name, answer.Commit.ID))
	}
	return answer.Commit.ID, err
}

// maxStatusText is how long GitLab lets the description of a status, and its target, be, in characters.
const maxStatusText = 255

// SetStatus sets the status of a commit, in one request. One that is so already is left alone. What is too long for GitLab
// is cut (the description) or left out (the target). GitLab refuses while another status of the commit is being set: then
// it is tried again, twice, after a pause.
//
// The commit must be on a branch of the project, or Ref given: GitLab knows no status of a commit on none. An answer that
// got lost does no harm: set it again.
//
// Errors: invalid_project_id as of Project; gitlab_refused, such as for a token without the scope api, for an account that
// may neither push nor merge to a protected branch, or where there is no such commit; repository_unreachable.
// Source: docs.gitlab.com/api/commits, "Set commit pipeline status"; GitLab's app/services/ci/create_commit_status_service.rb.
func (c *Client) SetStatus(ctx context.Context, project int64, status contactsync.CommitStatus) error {
	if err := c.setStatus(ctx, project, status); err != nil {
		return fmt.Errorf("setting the status of commit %.8s of project %d: %w", status.Commit, project, err)
	}
	return nil
}

func (c *Client) setStatus(ctx context.Context, project int64, status contactsync.CommitStatus) error {
	path, err := projectAddress(project)
	if err != nil {
		return err
	}
	if !commitName.MatchString(status.Commit) {
		return contactsync.Errorf(contactsync.ClassInternal, "a status needs a commit's whole name")
	}
	options := struct {
		State       contactsync.CommitState `json:"state"`
		Ref         string                  `json:"ref,omitempty"`
		Name        string                  `json:"name"`
		Description string                  `json:"description,omitempty"`
		Target      string                  `json:"target_url,omitempty"`
	}{status.State, status.Ref, status.Name, cut(status.Description), status.Target}
	if utf8.RuneCountInString(options.Target) > maxStatusText {
		options.Target = ""
	}
	for attempt := 0; ; attempt++ {
		var answer struct {
			Commit string                  `json:"sha"`
			State  contactsync.CommitState `json:"status"`
			Author struct {
				ID int64 `json:"id"`
			} `json:"author"`
		}
		_, err := c.changing(ctx, c.explainReport, http.MethodPost, path+"/statuses/"+status.Commit, options, &answer)
		switch {
		case err == nil && (answer.Commit != status.Commit || answer.State != status.State):
			return senseless(fmt.Sprintf("it is about the status %q of %q", answer.State, answer.Commit))
		case err == nil || errors.Is(err, errAlready):
			c.learn(answer.Author.ID)
			return nil
		case !errors.Is(err, errBusy) || attempt == maxRetries:
			return err
		}
		pause := c.pauseAfter(err, attempt)
		if pause > maxWait {
			return err
		}
		if waiting := c.options.Wait(ctx, pause); waiting != nil {
			return c.explain(ctx, nil, waiting)
		}
	}
}

// cut makes a description fit.
func cut(description string) string {
	if whole := outbound.Clean(description, maxStatusText); utf8.RuneCountInString(whole) <= maxStatusText {
		return whole
	}
	return outbound.Clean(description, maxStatusText-1)
}

// pauseAfter is how long to wait before another attempt: as long as GitLab said, or else twice as long each time.
func (c *Client) pauseAfter(err error, attempt int) time.Duration {
	var classed *contactsync.Error
	if errors.As(err, &classed) && !classed.RetryAt.IsZero() {
		return max(classed.RetryAt.Sub(c.options.Now()), 0)
	}
	return firstWait << attempt
}
