package gitlab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"contactsync"
	"contactsync/outbound"
)

// read sends a request that only reads, and explains what goes wrong. Each may take as long as a call.
func (c *Client) read(ctx context.Context, path string, options, into any) (*gitlab.Response, error) {
	ctx, cancel := c.calling(ctx, maxAnswer)
	defer cancel()
	response, err := c.send(ctx, http.MethodGet, path, options, into)
	if err != nil {
		return nil, c.explainSetup(ctx, response, err)
	}
	return response, nil
}

// change asks the fence, sends a request that changes something, once, and explains what goes wrong. What GitLab refuses
// is gitlab_refused. unclear says that it may have been done all the same. None of the secrets is told.
func (c *Client) change(ctx context.Context, method, path string, options, into any, secrets ...string) (unclear bool, err error) {
	if err := contactsync.CheckFence(ctx); err != nil {
		return false, err
	}
	ctx, cancel := c.calling(ctx, maxAnswer)
	defer cancel()
	callOf(ctx).secrets = secrets
	response, err := c.send(ctx, method, path, options, into)
	if err == nil && response.StatusCode != http.StatusNoContent && !isJSON(response) {
		return true, senseless("it is not GitLab's API that answers: check gitlab.url, and what stands in between")
	}
	if err != nil {
		unclear = response == nil || response.StatusCode >= http.StatusInternalServerError || response.StatusCode < http.StatusBadRequest
		return unclear, c.explainChange(ctx, response, err)
	}
	return false, nil
}

// rows reads all pages of a list, of a hundred rows each, or fails.
func rows[T any](ctx context.Context, c *Client, path string) ([]T, error) {
	options := gitlab.ListOptions{PerPage: rowsPage, Page: 1}
	var all []T
	for range maxRowsPages {
		var page []T
		response, err := c.read(ctx, path, options, &page)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if response.NextPage == 0 {
			// Rows that come or go between two pages shift the others. Very long lists have no total.
			if options.Page > 1 && response.TotalItems != 0 && response.TotalItems != int64(len(all)) {
				return nil, senseless(fmt.Sprintf("%d of %d rows were read", len(all), response.TotalItems))
			}
			return all, nil
		}
		options.Page = response.NextPage
	}
	return nil, senseless("the list is longer than anybody's")
}

const (
	// rowsPage is how many rows are asked for at once: as many as GitLab gives.
	rowsPage = 100
	// maxRowsPages bounds a list.
	maxRowsPages = 100
)

const (
	remedyRole  = "Give the service account the role Owner in the group, or Maintainer for all but making, deleting and restoring projects, and its token the scope api. Then run the same command again: it continues where it stopped."
	remedyAgain = "Do what GitLab says, then run the same command again: it continues where it stopped."
)

// explainSetup is explain, and tells apart what can be missing.
func (c *Client) explainSetup(ctx context.Context, response *gitlab.Response, err error) error {
	if missing := c.explainMissing(ctx, response, err, "Update GitLab to a version that is still maintained."); missing != nil {
		return missing
	}
	explained := c.explain(ctx, response, err)
	var classed *contactsync.Error
	if errors.As(explained, &classed) && errors.Is(explained, ErrNotAllowed) {
		classed.Remedy = remedyRole
	}
	return explained
}

// explainChange is explainSetup for what changes something: what GitLab itself says no to is refused. An answer that is
// not GitLab's, such as a proxy's, refuses nothing.
func (c *Client) explainChange(ctx context.Context, response *gitlab.Response, err error) error {
	explained := c.explainSetup(ctx, response, err)
	var classed *contactsync.Error
	if !errors.As(explained, &classed) || !isJSON(response) {
		return explained
	}
	switch response.StatusCode {
	case http.StatusForbidden:
		classed.Class = contactsync.ClassGitLabRefused
	case http.StatusNotFound:
		if classed.Class == contactsync.ClassRepositoryUnreachable {
			classed.Class = contactsync.ClassGitLabRefused
		}
	case http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusConflict, http.StatusUnprocessableEntity:
		classed.Class, classed.Remedy = contactsync.ClassGitLabRefused, remedyAgain
		if response.StatusCode == http.StatusConflict {
			classed.Err = errExists
		}
	}
	return explained
}

// errExists says that GitLab refused to make what there is already.
var errExists = errors.New("it is there already")

// wordsOf are GitLab's own about what went wrong, also of an answer such as {"message":{"name":["has already been
// taken"]}}; "" for none.
func (c *Client) wordsOf(ctx context.Context, answered *gitlab.ErrorResponse) string {
	said := answered.Message
	var body struct {
		Message json.RawMessage `json:"message"`
	}
	var text string
	var byAttribute map[string][]string
	switch {
	case json.Unmarshal(answered.Body, &body) != nil:
	case json.Unmarshal(body.Message, &text) == nil:
		said = text
	case json.Unmarshal(body.Message, &byAttribute) == nil:
		var parts []string
		for attribute, problems := range byAttribute {
			parts = append(parts, attribute+" "+strings.Join(problems, ", "))
		}
		slices.Sort(parts)
		said = strings.Join(parts, "; ")
	}
	return outbound.Clean(c.hide(ctx, said), 300)
}

// hide takes from foreign words what must not be told.
func (c *Client) hide(ctx context.Context, text string) string {
	for _, secret := range append([]string{c.options.Token}, callOf(ctx).secrets...) {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "[hidden]")
		}
	}
	return text
}

// refusal says that GitLab said yes and did something else.
func refusal(remedy, format string, args ...any) error {
	err := contactsync.Errorf(contactsync.ClassGitLabRefused, format, args...)
	err.Detail, err.Remedy = outbound.Clean(err.Detail, 500), remedy
	return err
}
