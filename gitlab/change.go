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

// explainer turns what went wrong with a request into a classed error.
type explainer func(context.Context, *gitlab.Response, error) error

// read sends a request that only reads, and explains what goes wrong. Each may take as long as a call.
func (c *Client) read(ctx context.Context, path string, options, into any) (*gitlab.Response, error) {
	return c.reading(ctx, c.explainSetup, maxAnswer, path, options, into)
}

// reading is read, with an explainer and with the bytes that the answer may have.
func (c *Client) reading(ctx context.Context, explain explainer, most int64, path string, options, into any) (*gitlab.Response, error) {
	ctx, cancel := c.calling(ctx, most)
	defer cancel()
	response, err := c.send(ctx, http.MethodGet, path, options, into)
	if err != nil {
		return nil, explain(ctx, response, err)
	}
	return response, nil
}

// change asks the fence, sends a request that changes something, once, and explains what goes wrong. What GitLab refuses
// is gitlab_refused. unclear says that it may have been done all the same. None of the secrets is told.
func (c *Client) change(ctx context.Context, method, path string, options, into any, secrets ...string) (unclear bool, err error) {
	return c.changing(ctx, c.explainChange, method, path, options, into, secrets...)
}

// changing is change, with an explainer.
func (c *Client) changing(ctx context.Context, explain explainer, method, path string, options, into any, secrets ...string) (unclear bool, err error) {
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
		return unclear, explain(ctx, response, err)
	}
	return false, nil
}

// rows reads all pages of a list, of a hundred rows each, or fails.
func rows[T any](ctx context.Context, c *Client, path string) ([]T, error) {
	var all []T
	err := pages(ctx, c, listing{explain: c.explainSetup, most: maxAnswer, path: path}, func(page []T) bool {
		all = append(all, page...)
		return true
	})
	return all, err
}

// listing is how a list is read.
type listing struct {
	explain explainer
	most    int64 // bytes of a page
	path    string
	name    string // that rows must have, for the lists that know that filter; "" for all
}

// pages reads a list in pages of a hundred rows, as long as more are wanted, or fails.
func pages[T any](ctx context.Context, c *Client, of listing, more func([]T) bool) error {
	options := struct {
		gitlab.ListOptions
		Name string `url:"name,omitempty"`
	}{gitlab.ListOptions{PerPage: rowsPage, Page: 1}, of.name}
	read := 0
	for range maxRowsPages {
		var page []T
		response, err := c.reading(ctx, of.explain, of.most, of.path, options, &page)
		if err != nil {
			return err
		}
		if page == nil { // the answer was "null"
			return senseless("it is no list")
		}
		read += len(page)
		if !more(page) {
			return nil
		}
		if response.NextPage == 0 {
			// Rows that come or go between two pages shift the others. Very long lists have no total.
			if options.Page > 1 && response.TotalItems != 0 && response.TotalItems != int64(read) {
				return senseless(fmt.Sprintf("%d of %d rows were read", read, response.TotalItems))
			}
			return nil
		}
		options.Page = response.NextPage
	}
	return senseless("the list is longer than anybody's")
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

// explainReport is explainSetup for what tells people something, and for what is read for that: whatever GitLab itself
// refuses for good is refused. That something else is under way (409), or that there was too much (429), is not for good.
func (c *Client) explainReport(ctx context.Context, response *gitlab.Response, err error) error {
	explained := c.explainSetup(ctx, response, err)
	var classed *contactsync.Error
	if ctx.Err() != nil || !isJSON(response) || !errors.As(explained, &classed) || classed.Class == contactsync.ClassInvalidProjectID {
		return explained
	}
	switch status := response.StatusCode; {
	case status >= http.StatusInternalServerError:
		classed.Err = errBroken
		return explained
	case status < http.StatusBadRequest:
		return explained
	case status == http.StatusUnauthorized || status == http.StatusRequestTimeout || status == http.StatusTooManyRequests:
		return explained
	case status == http.StatusConflict:
		classed.Err = errBusy
		return explained
	case status == http.StatusForbidden:
		classed.Remedy = remedyTell
	case status != http.StatusNotFound:
		classed.Remedy = "Do what GitLab says. The sync itself does not depend on it."
	}
	if strings.Contains(classed.Detail, "Cannot transition status") {
		classed.Err = errAlready
	}
	classed.Class = contactsync.ClassGitLabRefused
	return explained
}

const remedyTell = "Give the service account the role Maintainer in the group, and its token the scope api, if people are to be told on GitLab what became of their commits. The sync itself does not depend on it."

var (
	// errBusy says that something else of the kind is under way.
	errBusy = errors.New("another update is under way")
	// errBroken says that GitLab itself broke.
	errBroken = errors.New("GitLab broke")
	// errAlready says that a status is so already, or cannot become so any more.
	errAlready = errors.New("it is so already")
)

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
