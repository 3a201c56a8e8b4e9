package gitlab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"contactsync"
	"contactsync/outbound"
)

// Subscription returns what GitLab says of the subscription of a namespace, in two requests. A subscription belongs to
// the top-level namespace, so of a path the first part counts. Where GitLab has no such namespace or subscription to
// show, because there is none, or to owners only, or because this is no gitlab.com, Unknown says so.
//
// Errors: repository_unreachable when GitLab's API did not answer, refused the token, or not so that it could be
// understood. Source: docs.gitlab.com/api/namespaces, and GitLab's description of GET /namespaces/:id/gitlab_subscription.
func (c *Client) Subscription(ctx context.Context, namespace string) (contactsync.Subscription, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.options.Timeout, errSlow)
	defer cancel()
	subscription, err := c.subscription(ctx, topLevel(namespace))
	if err != nil {
		return contactsync.Subscription{}, fmt.Errorf("reading the subscription of namespace %s: %w", outbound.Clean(namespace, 100), err)
	}
	return subscription, nil
}

func topLevel(namespace string) string {
	top, _, _ := strings.Cut(strings.Trim(namespace, "/"), "/")
	return top
}

func (c *Client) subscription(ctx context.Context, namespace string) (contactsync.Subscription, error) {
	answer := contactsync.Subscription{Namespace: namespace}
	if namespace == "" {
		answer.Unknown = "no namespace was named"
		return answer, nil
	}
	found, response, err := c.api.Namespaces.GetNamespace(namespace, gitlab.WithContext(ctx))
	if withheld(response, err) {
		answer.Unknown = fmt.Sprintf("GitLab at %s has no namespace %s, or does not show it to the token", c.base.Host, namespace)
		return answer, nil
	}
	if err != nil {
		return answer, c.explain(ctx, response, err)
	}
	if found == nil || found.ID <= 0 || !strings.EqualFold(found.FullPath, namespace) {
		return answer, senseless(fmt.Sprintf("it is not about the namespace %s", namespace))
	}
	answer.Namespace = found.FullPath

	// client-go has no method for it.
	request, err := c.api.NewRequest(http.MethodGet, fmt.Sprintf("namespaces/%d/gitlab_subscription", found.ID), nil,
		[]gitlab.RequestOptionFunc{gitlab.WithContext(ctx)})
	if err != nil {
		return answer, err
	}
	var told subscription
	response, err = c.api.Do(request, &told)
	if withheld(response, err) {
		answer.Unknown = fmt.Sprintf("GitLab at %s does not show the subscription of %s: only gitlab.com has any, and shows them to Owners", c.base.Host, found.FullPath)
		return answer, nil
	}
	if err != nil {
		return answer, c.explain(ctx, response, err)
	}
	return told.plain(answer)
}

// withheld tells that GitLab itself says that there is no such thing, or none that the token may see.
func withheld(response *gitlab.Response, err error) bool {
	if err == nil || !isJSON(response) {
		return false
	}
	var refused *gitlab.ErrorResponse
	return errors.Is(err, gitlab.ErrNotFound) ||
		errors.As(err, &refused) && refused.StatusCode == http.StatusForbidden && !strings.Contains(refused.Message, "insufficient_scope")
}

// subscription is the answer. GitLab's description says that all its values are texts; its answers have numbers and
// booleans.
type subscription struct {
	Plan struct {
		Code  *string `json:"code"`
		Trial loose   `json:"trial"`
	} `json:"plan"`
	Usage struct {
		Seats loose `json:"seats_in_subscription"`
	} `json:"usage"`
	Billing struct {
		Ends *string `json:"subscription_end_date"`
	} `json:"billing"`
}

// loose is a text, a number or a boolean, as text; "" for null.
type loose string

// UnmarshalJSON takes any single value.
func (l *loose) UnmarshalJSON(data []byte) error {
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		return err
	}
	switch v := value.(type) {
	case nil:
	case string:
		*l = loose(v)
	case bool:
		*l = loose(strconv.FormatBool(v))
	case float64:
		*l = loose(strconv.FormatFloat(v, 'f', -1, 64))
	default:
		return errors.New("a single value was expected")
	}
	return nil
}

func (s subscription) plain(answer contactsync.Subscription) (contactsync.Subscription, error) {
	if s.Plan.Code != nil {
		answer.Plan = outbound.Clean(*s.Plan.Code, 100)
	}
	answer.Trial = s.Plan.Trial == "true"
	if s.Usage.Seats != "" {
		seats, err := strconv.Atoi(string(s.Usage.Seats))
		if err != nil || seats < 0 || seats > math.MaxInt32 {
			return answer, senseless(fmt.Sprintf("the number of seats is %q", s.Usage.Seats))
		}
		answer.Seats = &seats
	}
	if s.Billing.Ends != nil && *s.Billing.Ends != "" {
		if _, err := time.Parse(time.DateOnly, *s.Billing.Ends); err != nil {
			return answer, senseless(fmt.Sprintf("the subscription's end is %q", *s.Billing.Ends))
		}
		answer.Ends = contactsync.Date(*s.Billing.Ends)
	}
	return answer, nil
}

// owner is the access level of an Owner: docs.gitlab.com/api/access_requests, "Valid access levels".
const owner = gitlab.OwnerPermissions

// Ownership returns whether the user with that username is an Owner of the namespace, inherited or by himself, in at
// most two requests. Of a path the first part counts. Where GitLab has no such user, or shows the token no members,
// Unknown says so.
//
// Errors: as of Subscription. Source: docs.gitlab.com/api/users, "List users" with username (which is compared ignoring
// case), and docs.gitlab.com/api/group_members, members/all with user_ids; the address of a member is shown to owners of
// the group alone, and of enterprise users.
func (c *Client) Ownership(ctx context.Context, namespace, username string) (contactsync.Ownership, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, c.options.Timeout, errSlow)
	defer cancel()
	ownership, err := c.ownership(ctx, topLevel(namespace), strings.TrimPrefix(username, "@"))
	if err != nil {
		return contactsync.Ownership{}, fmt.Errorf("reading whether @%s owns namespace %s: %w",
			outbound.Clean(username, 100), outbound.Clean(namespace, 100), err)
	}
	return ownership, nil
}

func (c *Client) ownership(ctx context.Context, namespace, username string) (contactsync.Ownership, error) {
	answer := contactsync.Ownership{Namespace: namespace, Username: username}
	if namespace == "" || username == "" {
		answer.Unknown = "namespace and username are needed"
		return answer, nil
	}
	users, response, err := c.api.Users.ListUsers(&gitlab.ListUsersOptions{Username: &username}, gitlab.WithContext(ctx))
	if err != nil {
		return answer, c.explain(ctx, response, err)
	}
	var user *gitlab.User
	for _, u := range users {
		if u != nil && u.ID > 0 && strings.EqualFold(u.Username, username) {
			user = u
		}
	}
	if user == nil {
		answer.Unknown = fmt.Sprintf("GitLab at %s has no user @%s", c.base.Host, username)
		return answer, nil
	}
	answer.Username = user.Username
	if strings.EqualFold(user.Username, namespace) { // a user's own namespace has no members
		answer.Owner = true
		return answer, nil
	}
	// The list, and not the one member: there, 404 would stand for a group that cannot be seen as well as for nobody.
	members, response, err := c.api.Groups.ListAllGroupMembers(namespace,
		&gitlab.ListGroupMembersOptions{UserIDs: &[]int64{user.ID}}, gitlab.WithContext(ctx))
	if withheld(response, err) {
		answer.Unknown = fmt.Sprintf("GitLab at %s has no group %s, or does not show its members to the token", c.base.Host, namespace)
		return answer, nil
	}
	if err != nil {
		return answer, c.explain(ctx, response, err)
	}
	for _, member := range members {
		if member == nil || member.ID != user.ID {
			return answer, senseless(fmt.Sprintf("it is not about the user @%s", username))
		}
		answer.Owner = answer.Owner || member.AccessLevel >= owner && member.State == "active"
		answer.Address = contactsync.NormalizeEmail(member.Email)
	}
	return answer, nil
}
