package gitlab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"contactsync"
)

// hookOptions are client-go's, with what those leave out.
type hookOptions struct {
	gitlab.AddProjectHookOptions
	URLVariables []hookVariable `json:"url_variables,omitempty"`
}

type hookVariable struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// optionsFor asks for what the hook is to tell of, and for nothing else: GitLab has defaults.
func optionsFor(hook contactsync.NewHook) hookOptions {
	no := new(false)
	options := hookOptions{AddProjectHookOptions: gitlab.AddProjectHookOptions{
		URL: &hook.URL, EnableSSLVerification: new(true),
		PushEvents: new(true), PushEventsBranchFilter: &hook.Branch, BranchFilterStrategy: new("wildcard"),
		MergeRequestsEvents: &hook.MergeRequests,
		IssuesEvents:        no, ConfidentialIssuesEvents: no, NoteEvents: no, ConfidentialNoteEvents: no, TagPushEvents: no,
		JobEvents: no, PipelineEvents: no, WikiPageEvents: no, DeploymentEvents: no, FeatureFlagEvents: no, ReleasesEvents: no,
		MilestoneEvents: no, EmojiEvents: no, VulnerabilityEvents: no, ResourceAccessTokenEvents: no, ResourceDeployTokenEvents: no,
	}}
	if hook.Token != "" {
		options.Token = &hook.Token
	}
	if hook.SigningToken != "" {
		options.SigningToken = &hook.SigningToken
	}
	for _, name := range slices.Sorted(maps.Keys(hook.Variables)) {
		options.URLVariables = append(options.URLVariables, hookVariable{Key: name, Value: hook.Variables[name]})
	}
	return options
}

// CreateHook makes a hook, and returns it as GitLab tells of it: SigningTokenPresent says whether this GitLab knows
// signing tokens, which come with 19.0. A hook that is there already with the same address stays, and is another one.
//
// It takes two requests: the hooks are read first, so that the new one can be told from them when the answer gets lost.
// Then a third reads them again; the one that makes the hook is sent once.
//
// Errors: invalid_project_id as of Project; gitlab_refused, such as for an address that GitLab does not call;
// repository_unreachable, also where GitLab does not tell whether the hook was made.
// Source: docs.gitlab.com/api/project_webhooks, "Add a webhook to a project".
func (c *Client) CreateHook(ctx context.Context, project int64, hook contactsync.NewHook) (contactsync.Hook, error) {
	before, err := c.Hooks(ctx, project)
	if err != nil {
		return contactsync.Hook{}, err
	}
	made, err := c.createHook(ctx, project, hook, before)
	if err != nil {
		return contactsync.Hook{}, fmt.Errorf("making a hook of project %d: %w", project, err)
	}
	return made, nil
}

func (c *Client) createHook(ctx context.Context, project int64, hook contactsync.NewHook, before []contactsync.Hook) (contactsync.Hook, error) {
	secrets := append([]string{hook.Token, hook.SigningToken}, slices.Collect(maps.Values(hook.Variables))...)
	var made gitlab.ProjectHook
	unclear, err := c.change(ctx, http.MethodPost, fmt.Sprintf("projects/%d/hooks", project), optionsFor(hook), &made, secrets...)
	if err == nil && made.ID <= 0 {
		unclear, err = true, senseless("the hook has no number")
	}
	if err == nil {
		return hookOf(&made), nil
	}
	if !unclear {
		return contactsync.Hook{}, err
	}
	after, readErr := c.Hooks(ctx, project)
	if readErr != nil {
		return contactsync.Hook{}, unclearHook(err)
	}
	// What was there before, or leads elsewhere, is not the one.
	after = slices.DeleteFunc(after, func(h contactsync.Hook) bool {
		return h.Address != addressOf(hook.URL) || slices.ContainsFunc(before, func(old contactsync.Hook) bool { return old.ID == h.ID })
	})
	if len(after) != 1 {
		return contactsync.Hook{}, unclearHook(err)
	}
	return after[0], nil
}

func unclearHook(err error) error {
	var classed *contactsync.Error
	if errors.As(err, &classed) {
		classed.Remedy = "Look at the project's hooks before you run the same command again: GitLab may still be making it."
	}
	return err
}

// DeleteHook removes a hook, in one request that is sent once. One that is gone already is no error.
//
// Errors: invalid_project_id as of Project; gitlab_refused; repository_unreachable.
// Source: docs.gitlab.com/api/project_webhooks, "Delete a webhook from a project".
func (c *Client) DeleteHook(ctx context.Context, project, hook int64) error {
	if _, err := c.remove(ctx, fmt.Sprintf("projects/%d/hooks/%d", project, hook)); err != nil {
		return fmt.Errorf("deleting hook %d of project %d: %w", hook, project, err)
	}
	return nil
}
