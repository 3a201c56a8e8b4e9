package gitlab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"contactsync"
	"contactsync/outbound"
)

// What a call about hooks can be refused for, beside the classes of its error; for errors.Is.
var (
	// ErrNotAllowed: the token may not do that. Hooks take the role of a maintainer.
	ErrNotAllowed = errors.New("the token may not do that")
	// ErrUnsupported: this GitLab is too old to have the call.
	ErrUnsupported = errors.New("this GitLab has no such call")
	// ErrGone: the hook, or its event, is not there any more.
	ErrGone = errors.New("it is not there any more")
	// ErrNotDelivered: GitLab did not deliver what it was told to, or the receiver did not answer 2xx.
	ErrNotDelivered = errors.New("it was not delivered")
)

const (
	// hooksPage is how many hooks, and eventsPage how many events, are asked for at once: as many as GitLab gives.
	hooksPage, eventsPage = 100, 20
	// maxPages bounds both lists.
	maxPages = 10
	// maxEvents bounds an answer with events, which come with everything that was sent.
	maxEvents = 8 << 20
)

// Hooks returns a project's hooks, in one request for a hundred.
//
// Errors: invalid_project_id as of Project; repository_unreachable, with ErrNotAllowed where the token is no
// maintainer's. Source: docs.gitlab.com/api/project_webhooks, "List webhooks for a project".
func (c *Client) Hooks(ctx context.Context, project int64) ([]contactsync.Hook, error) {
	ctx, cancel := c.calling(ctx, maxAnswer)
	defer cancel()
	options := &gitlab.ListProjectHooksOptions{ListOptions: gitlab.ListOptions{PerPage: hooksPage, Page: 1}}
	var hooks []contactsync.Hook
	for range maxPages {
		found, response, err := c.api.Projects.ListProjectHooks(project, options, gitlab.WithContext(ctx))
		if err != nil {
			return nil, fmt.Errorf("reading the hooks of project %d: %w", project, c.explainHook(ctx, response, err))
		}
		for _, h := range found {
			if h == nil || h.ID <= 0 {
				return nil, fmt.Errorf("reading the hooks of project %d: %w", project, senseless("a hook has no number"))
			}
			hooks = append(hooks, hookOf(h))
		}
		if response.NextPage == 0 {
			return hooks, nil
		}
		options.Page = response.NextPage
	}
	return nil, fmt.Errorf("reading the hooks of project %d: %w", project, senseless("there are more than a thousand"))
}

func hookOf(h *gitlab.ProjectHook) contactsync.Hook {
	hook := contactsync.Hook{
		ID: h.ID, Address: addressOf(h.URL), PushEvents: h.PushEvents, MergeRequests: h.MergeRequestsEvents, VerifyTLS: h.EnableSSLVerification,
		BranchFilter: outbound.Clean(h.PushEventsBranchFilter, 200), BranchStrategy: outbound.Clean(h.BranchFilterStrategy, 20),
		AlertStatus:  outbound.Clean(h.AlertStatus, 40),
		TokenPresent: h.TokenPresent, SigningTokenPresent: h.SigningTokenPresent,
	}
	if h.DisabledUntil != nil {
		hook.DisabledUntil = h.DisabledUntil.UTC()
	}
	return hook
}

// addressOf takes from a URL what can hold secrets. It is not parsed: variables stand in places where a URL has none.
func addressOf(url string) string {
	url, _, _ = strings.Cut(url, "?")
	url, _, _ = strings.Cut(url, "#")
	scheme, rest, found := strings.Cut(url, "://")
	if !found {
		return ""
	}
	host, path, _ := strings.Cut(rest, "/")
	host = host[strings.LastIndex(host, "@")+1:]
	return outbound.Clean(scheme+"://"+host+"/"+path, 500)
}

// FailedDeliveries returns the deliveries of a hook that failed at or after since, the newest first: answered 4xx or 5xx, or
// not at all. GitLab remembers a week; of more than 200 failures the newest are returned. Where GitLab does not tell
// when they were, all that it remembers are.
//
// Errors: as of Hooks; repository_unreachable with ErrUnsupported before GitLab 17.3, with ErrGone for a hook that is
// not there. Source: docs.gitlab.com/api/project_webhooks, "List project webhook events".
func (c *Client) FailedDeliveries(ctx context.Context, project, hook int64, since time.Time) ([]contactsync.FailedDelivery, error) {
	ctx, cancel := c.calling(ctx, maxEvents)
	defer cancel()
	options := struct {
		Status  string `url:"status"`
		PerPage int    `url:"per_page"`
		Page    int64  `url:"page"`
	}{"client_failure,server_failure", eventsPage, 1}
	path := fmt.Sprintf("projects/%d/hooks/%d/events", project, hook)
	var failures []contactsync.FailedDelivery
	for range maxPages {
		var events []event
		response, err := c.send(ctx, http.MethodGet, path, options, &events)
		if err != nil {
			return nil, fmt.Errorf("reading the events of hook %d of project %d: %w", hook, project, c.explainHook(ctx, response, err))
		}
		for _, e := range events {
			failure, ok := e.failure()
			if !ok {
				return nil, fmt.Errorf("reading the events of hook %d of project %d: %w", hook, project, senseless("an event has no number or no status"))
			}
			if !failure.At.IsZero() && failure.At.Before(since) {
				return failures, nil
			}
			failures = append(failures, failure)
		}
		if response.NextPage == 0 {
			break
		}
		options.Page = response.NextPage
	}
	return failures, nil
}

// event is what is read of a delivery. What was sent and answered is left aside.
type event struct {
	ID        int64             `json:"id"`
	Status    string            `json:"response_status"`
	Headers   map[string]string `json:"request_headers"`
	CreatedAt *time.Time        `json:"created_at"` // not in every version
}

// failure is the event as a failure; false when it makes no sense. A status that is no number, such as "internal
// error", says that there was no answer.
func (e event) failure() (contactsync.FailedDelivery, bool) {
	failure := contactsync.FailedDelivery{ID: e.ID, Key: outbound.Clean(e.Headers["Idempotency-Key"], 100)}
	if code, err := strconv.Atoi(e.Status); err == nil {
		failure.Status = code
	}
	if e.CreatedAt != nil {
		failure.At = e.CreatedAt.UTC()
	}
	return failure, e.ID > 0 && e.Status != ""
}

// TestHook makes GitLab send the hook a push event as a test, and waits for the receiver's answer. A 2xx enables a hook
// that was disabled. The event is made from the newest commits, under an Idempotency-Key of its own; for a repository
// without commits it is about project 15, whoever's that is. A project allows five tests a minute.
//
// It is sent once. Errors: as of FailedDeliveries, ErrUnsupported before GitLab 16.11; repository_unreachable with
// ErrNotDelivered when the receiver did not answer 2xx.
// Source: docs.gitlab.com/api/project_webhooks, "Trigger a test project webhook".
func (c *Client) TestHook(ctx context.Context, project, hook int64) error {
	ctx, cancel := c.calling(ctx, maxAnswer)
	defer cancel()
	response, err := c.api.Projects.TriggerTestProjectHook(project, hook, gitlab.ProjectHookEventPush, gitlab.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("testing hook %d of project %d: %w", hook, project, c.explainHook(ctx, response, err))
	}
	return nil
}

// Resend makes GitLab send an event of a hook again, with its body and its Idempotency-Key, and returns the status that
// the receiver answered, whatever it is. A project allows five resends a minute.
//
// It is sent once. Errors: as of FailedDeliveries, ErrUnsupported before GitLab 17.4; repository_unreachable with
// ErrNotDelivered when the hook is disabled, leads to another address by now, or the receiver did not answer.
// Source: docs.gitlab.com/api/project_webhooks, "Resend a project webhook event".
func (c *Client) Resend(ctx context.Context, project, hook, event int64) (status int, err error) {
	ctx, cancel := c.calling(ctx, maxAnswer)
	defer cancel()
	var answer struct {
		Status int `json:"response_status"`
	}
	response, err := c.send(ctx, http.MethodPost, fmt.Sprintf("projects/%d/hooks/%d/events/%d/resend", project, hook, event), nil, &answer)
	if err != nil {
		return 0, fmt.Errorf("resending event %d of hook %d of project %d: %w", event, hook, project, c.explainHook(ctx, response, err))
	}
	return answer.Status, nil
}

// calling begins a call whose answers may have so many bytes.
func (c *Client) calling(ctx context.Context, most int64) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(withCall(ctx, &call{most: most}), c.options.Timeout, errSlow)
}

// send is for what client-go has no method for.
func (c *Client) send(ctx context.Context, method, path string, options, into any) (*gitlab.Response, error) {
	request, err := c.api.NewRequest(method, path, options, []gitlab.RequestOptionFunc{gitlab.WithContext(ctx)})
	if err != nil {
		return nil, err
	}
	return c.api.Do(request, into)
}

// explainMissing is the error of a request to which GitLab itself answers that something is not there; nil for any other.
func (c *Client) explainMissing(ctx context.Context, response *gitlab.Response, err error, update string) error {
	if !errors.Is(err, gitlab.ErrNotFound) || !isJSON(response) {
		return nil
	}
	unreachable := func(cause error, remedy, words string) error {
		return &contactsync.Error{Class: contactsync.ClassRepositoryUnreachable, Detail: fmt.Sprintf("GitLab at %s %s", c.base.Host, words), Err: cause, Remedy: remedy}
	}
	var said struct {
		Error   string `json:"error"`   // of a call that is not there
		Message string `json:"message"` // of a thing that is not there
	}
	// What cannot be read says nothing, and is then taken for a thing that is gone.
	_ = json.Unmarshal(callOf(ctx).missing, &said)
	switch {
	case said.Error != "":
		return unreachable(ErrUnsupported, update, "does not have that call")
	case strings.HasPrefix(said.Message, "404 Project"):
		return c.noProject()
	}
	return unreachable(ErrGone, "Nothing to do, unless it should be there.", "does not have it any more")
}

// explainHook is explain, and tells what hooks can be refused for.
func (c *Client) explainHook(ctx context.Context, response *gitlab.Response, err error) error {
	if missing := c.explainMissing(ctx, response, err, "Update GitLab: hooks' events can be read since 17.3, and sent again since 17.4."); missing != nil {
		return missing
	}
	var refused *gitlab.ErrorResponse
	if errors.As(err, &refused) && refused.StatusCode == http.StatusUnprocessableEntity {
		return &contactsync.Error{
			Class: contactsync.ClassRepositoryUnreachable, Err: ErrNotDelivered,
			Detail: strings.TrimSuffix("GitLab could not deliver it: "+c.wordsOf(ctx, refused), ": "),
			Remedy: "Check that GitLab can reach the hook's address, and that the receiver there answers 2xx.",
		}
	}
	explained := c.explain(ctx, response, err)
	var classed *contactsync.Error
	if errors.As(explained, &classed) && errors.Is(explained, ErrNotAllowed) {
		classed.Remedy = "Give the service account the role of a maintainer in the project, and its token the scope api."
	}
	return explained
}
