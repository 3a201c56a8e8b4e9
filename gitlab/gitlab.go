// Package gitlab is the forge: what contactsync asks of a GitLab through its REST API.
//
// Endpoints and answers are those of docs.gitlab.com/api/ (projects, groups, namespaces, project_webhooks,
// protected_branches, project_members, invitations, branches, commits, discussions, merge_requests, project_badges,
// personal_access_tokens, rest/troubleshooting).
package gitlab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"
	"golang.org/x/time/rate"

	"contactsync"
	"contactsync/outbound"
)

// DefaultTimeout bounds one call, with the requests that are sent again.
const DefaultTimeout = 30 * time.Second

// Options is which GitLab is asked, and how. URL and Token are required.
type Options struct {
	URL   string // "https://gitlab.example.com", with a path where GitLab is not at the root; http for loopback only
	Token string // of the service account

	// DeletionDays is for how many days this GitLab keeps a project that is marked for deletion; 0 is
	// DefaultDeletionDays. An administrator can choose from 1 to 90, and GitLab's REST API tells it to nobody else.
	DeletionDays int

	UserAgent string            // "" is contactsync
	Timeout   time.Duration     // of one call; 0 is DefaultTimeout
	Transport http.RoundTripper // nil is http.DefaultTransport
	// Wait waits before a request is sent again, or until the context ends. Nil waits by the clock.
	Wait func(context.Context, time.Duration) error
	Now  func() time.Time // nil is time.Now
}

// Client asks one GitLab. It may be used by many goroutines.
type Client struct {
	options Options
	base    *url.URL
	api     *gitlab.Client
	notes   *rate.Limiter // of writing them
	own     chan int64    // holds the number of the token's own user, 0 while it is not known
}

// New returns a client, or an error that names the option which cannot be. It sends nothing.
func New(options Options) (*Client, error) {
	base, err := baseAddress(options.URL)
	if err != nil {
		return nil, err
	}
	if options.Token == "" {
		return nil, errors.New("the token for GitLab is missing")
	}
	if strings.ContainsFunc(options.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the token for GitLab has blanks or characters that no token has")
	}
	options.UserAgent = cmp.Or(options.UserAgent, "contactsync")
	options.Timeout = cmp.Or(options.Timeout, DefaultTimeout)
	options.DeletionDays = cmp.Or(options.DeletionDays, DefaultDeletionDays)
	if options.Transport == nil {
		options.Transport = http.DefaultTransport
	}
	if options.Wait == nil {
		options.Wait = outbound.Wait
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	// Retries and limits are the courier's: client-go's own would also repeat what must not be sent twice.
	api, err := gitlab.NewClient(options.Token,
		gitlab.WithBaseURL(base.String()),
		gitlab.WithHTTPClient(&http.Client{Transport: &courier{next: options.Transport, wait: options.Wait}, CheckRedirect: sameHost}),
		gitlab.WithoutRetries(),
		gitlab.WithCustomLimiter(rate.NewLimiter(rate.Inf, 1)),
		gitlab.WithUserAgent(options.UserAgent),
		gitlab.WithURLWarningLogger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		return nil, errors.New("the address of GitLab is none that its client understands")
	}
	client := &Client{options: options, base: base, api: api, notes: rate.NewLimiter(rate.Every(notesEvery), notesBurst), own: make(chan int64, 1)}
	client.own <- 0
	return client, nil
}

func baseAddress(raw string) (*url.URL, error) {
	base, err := url.Parse(raw)
	if err != nil || base.Host == "" {
		// The address is not repeated, because it could not be searched for credentials.
		return nil, errors.New("the address of GitLab is not one such as https://gitlab.com")
	}
	if !outbound.Secure(base) {
		return nil, fmt.Errorf("the address of GitLab at %s must begin with https://", base.Host)
	}
	if base.User != nil || base.RawQuery != "" || base.Fragment != "" {
		return nil, fmt.Errorf("the address of GitLab at %s must have neither credentials nor ? nor #", base.Host)
	}
	base.Path = strings.TrimSuffix(strings.TrimSuffix(base.Path, "/"), "/api/v4")
	return base, nil
}

// sameHost lets only those redirects through that stay on the host: the token goes along.
func sameHost(request *http.Request, via []*http.Request) error {
	from, to := via[0].URL, request.URL
	if from.Scheme == to.Scheme && from.Host == to.Host && len(via) < 5 {
		return nil
	}
	return fmt.Errorf("%w: %s", errRedirect, to.Host)
}

// Project returns the project with that number, in one request.
//
// Errors: invalid_project_id when it is no project, none that GitLab shows to the token, or one that is to be deleted;
// repository_unreachable when GitLab's API did not answer, or not so that it could be understood.
// Source: docs.gitlab.com/api/projects, "Retrieve a project".
func (c *Client) Project(ctx context.Context, id int64) (contactsync.Project, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.options.Timeout, errSlow)
	defer cancel()
	project, err := c.project(ctx, id)
	if err != nil {
		return contactsync.Project{}, fmt.Errorf("reading project %d: %w", id, err)
	}
	return project, nil
}

func (c *Client) project(ctx context.Context, id int64) (contactsync.Project, error) {
	if id <= 0 {
		return contactsync.Project{}, contactsync.Errorf(contactsync.ClassInvalidProjectID, "a project's number is above zero")
	}
	found, response, err := c.api.Projects.GetProject(id, nil, gitlab.WithContext(ctx))
	if errors.Is(err, gitlab.ErrNotFound) && isJSON(response) {
		return contactsync.Project{}, c.noProject()
	}
	if err != nil {
		return contactsync.Project{}, c.explain(ctx, response, err)
	}
	if found == nil { // the answer was "null"
		return contactsync.Project{}, senseless("it is empty")
	}
	if found.ID != id || !projectPath.MatchString(found.PathWithNamespace) {
		return contactsync.Project{}, senseless(fmt.Sprintf("it is about project %d at %q", found.ID, found.PathWithNamespace))
	}
	if found.MarkedForDeletionOn != nil {
		marked := contactsync.Errorf(contactsync.ClassInvalidProjectID,
			"the project %s was marked for deletion on %s", found.PathWithNamespace, found.MarkedForDeletionOn)
		marked.Remedy = fmt.Sprintf("Nothing to do, if it was removed. If it is to stay: contactsync remove %d --restore.", id)
		return contactsync.Project{}, marked
	}
	return contactsync.Project{
		ID: found.ID, Path: found.PathWithNamespace,
		CloneURL: c.ours(found.HTTPURLToRepo, found.PathWithNamespace+".git"),
		WebURL:   c.ours(found.WebURL, found.PathWithNamespace), DefaultBranch: found.DefaultBranch,
	}, nil
}

func (c *Client) noProject() error {
	return contactsync.Errorf(contactsync.ClassInvalidProjectID, "GitLab at %s has no such project, or does not show it to the token", c.base.Host)
}

// projectPath is what a project's path may look like.
// Source: docs.gitlab.com/user/reserved_names, "Rules for usernames, project and group names, and slugs".
var projectPath = regexp.MustCompile(`^[\pL\pN_][\pL\pN_.-]*(/[\pL\pN_][\pL\pN_.-]*)+$`)

// ours returns the address if it is on the configured GitLab, else the one that it must have there: requests to it
// carry the token, and an answer must not send them elsewhere.
func (c *Client) ours(address, path string) string {
	parsed, err := url.Parse(address)
	if err != nil || parsed.Scheme != c.base.Scheme || parsed.Host != c.base.Host {
		return c.base.JoinPath(path).String()
	}
	parsed.User, parsed.RawQuery, parsed.Fragment = nil, "", ""
	return parsed.String()
}

// Token is what GitLab says of the token.
type Token struct {
	User    int64 // the number of the account that it stands for, 0 where GitLab does not say
	Name    string
	Scopes  []string
	Active  bool
	Expires contactsync.Date // its last day, "" for never
}

// ErrTokenRefused marks the error of a request whose token GitLab does not know, or no more.
var ErrTokenRefused = errors.New("the token was refused")

// CheckToken asks GitLab about the token itself, in one request. An unknown, expired or revoked one is an error of the
// class repository_unreachable, as is a GitLab that does not answer.
// Source: docs.gitlab.com/api/personal_access_tokens, "Retrieve details on a personal access token"; it serves project
// and group access tokens, too.
func (c *Client) CheckToken(ctx context.Context) (Token, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.options.Timeout, errSlow)
	defer cancel()
	found, response, err := c.api.PersonalAccessTokens.GetSinglePersonalAccessToken(gitlab.WithContext(ctx))
	if err != nil {
		return Token{}, fmt.Errorf("checking the token for GitLab: %w", c.explain(ctx, response, err))
	}
	if found == nil { // the answer was "null"
		return Token{}, fmt.Errorf("checking the token for GitLab: %w", senseless("it is empty"))
	}
	token := Token{User: found.UserID, Name: outbound.Clean(found.Name, 100), Scopes: found.Scopes, Active: found.Active && !found.Revoked}
	c.learn(token.User)
	if found.ExpiresAt != nil {
		token.Expires = contactsync.DateOf(time.Time(*found.ExpiresAt))
	}
	return token, nil
}

// MayWrite reports whether the token's scopes let it write through the API: without, nobody is told on GitLab what became
// of a commit.
func (t Token) MayWrite() bool { return slices.Contains(t.Scopes, "api") }

// warning is how many days before its end a token is worth a word.
const warning = 14

// Problems says what keeps the token from reading projects and their repositories, or soon will; none is a good token.
// Source: docs.gitlab.com/user/profile/personal_access_tokens, "Personal access token scopes".
func (t Token) Problems(today contactsync.Date) []string {
	has := func(scopes ...string) bool {
		return slices.ContainsFunc(scopes, func(s string) bool { return slices.Contains(t.Scopes, s) })
	}
	var problems []string
	if !t.Active {
		problems = append(problems, "the token is not active any more: make a new one")
	}
	if !has("api", "read_api") {
		problems = append(problems, "the token has neither the scope read_api nor api, so projects cannot be read")
	}
	if !has("api", "read_repository", "write_repository") {
		problems = append(problems, "the token has neither the scope read_repository nor api, so repositories cannot be read")
	}
	if t.Expires == "" {
		return problems
	}
	now, err := time.Parse(time.DateOnly, string(today))
	switch {
	case t.Expires <= today:
		problems = append(problems, fmt.Sprintf("the token expired on %s: make a new one", t.Expires))
	case err == nil && t.Expires <= contactsync.DateOf(now.AddDate(0, 0, warning)):
		problems = append(problems, fmt.Sprintf("the token expires on %s: make a new one before", t.Expires))
	}
	return problems
}

// isJSON tells GitLab's own answers from those of something in between, or of something else altogether.
func isJSON(response *gitlab.Response) bool {
	return response != nil && strings.HasPrefix(response.Header.Get("Content-Type"), "application/json")
}

// explain turns what went wrong with a request into a classed error.
func (c *Client) explain(ctx context.Context, response *gitlab.Response, err error) error {
	unreachable := func(format string, args ...any) *contactsync.Error {
		return &contactsync.Error{Class: contactsync.ClassRepositoryUnreachable, Detail: c.hide(ctx, fmt.Sprintf(format, args...))}
	}
	switch {
	case errors.Is(context.Cause(ctx), errSlow):
		return unreachable("GitLab's API did not answer within %s", c.options.Timeout)
	case ctx.Err() != nil:
		given := unreachable("it was given up: %v", ctx.Err())
		given.Err = ctx.Err()
		return given
	case errors.Is(err, errRedirect):
		return unreachable("GitLab's API points to another host, which is not followed: %s", outbound.Clean(lastPart(err), 100))
	case errors.Is(err, errTooMuch):
		return unreachable("GitLab's API answered with more than %d KiB", callOf(ctx).limit()>>10)
	case errors.Is(err, gitlab.ErrNotFound):
		return unreachable("%s answers with status 404, and not as GitLab's API does: check gitlab.url", c.base.Host)
	}
	var refused *gitlab.ErrorResponse
	if !errors.As(err, &refused) {
		if response == nil {
			return unreachable("GitLab's API cannot be reached: %s", outbound.Clean(outbound.Cause(err), 200))
		}
		return unreachable("what GitLab's API answered cannot be understood: %s", outbound.Clean(err.Error(), 200))
	}
	words := ""
	if said := c.wordsOf(ctx, refused); said != "" && isJSON(response) {
		words = ": " + said
	}
	switch refused.StatusCode {
	case http.StatusUnauthorized:
		refusal := unreachable("GitLab's API refuses the token%s", words)
		refusal.Err = ErrTokenRefused
		return refusal
	case http.StatusForbidden:
		refusal := unreachable("GitLab's API does not let the token do that%s", words)
		refusal.Err = ErrNotAllowed
		return refusal
	}
	answered := unreachable("GitLab's API answers with status %d%s", refused.StatusCode, words)
	if at, told := outbound.RetryAfter(response.Header, c.options.Now()); told {
		answered.Retry, answered.RetryAt = contactsync.RetryWhenTold, at
	}
	return answered
}

func senseless(why string) error {
	return contactsync.Errorf(contactsync.ClassRepositoryUnreachable, "what GitLab's API answered cannot be understood: %s", outbound.Clean(why, 200))
}

func lastPart(err error) string {
	text := err.Error()
	return text[strings.LastIndex(text, ": ")+1:]
}
