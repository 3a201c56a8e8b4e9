package gitlab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"contactsync"
	"contactsync/outbound"
)

// developer is the level of every request that gives somebody one. It has no other value.
type developer struct{}

func (developer) MarshalJSON() ([]byte, error) {
	return strconv.AppendInt(nil, int64(contactsync.AccessDeveloper), 10), nil
}

// memberRow is a member as GitLab tells of one. client-go leaves out the state of the membership.
type memberRow struct {
	ID          int64                   `json:"id"`
	Username    string                  `json:"username"`
	Name        string                  `json:"name"`
	State       string                  `json:"state"`
	Membership  string                  `json:"membership_state"` // "" before GitLab 14.6
	Level       contactsync.AccessLevel `json:"access_level"`
	Email       string                  `json:"email"`
	PublicEmail string                  `json:"public_email"`
	Bot         bool                    `json:"bot"` // not in every version
}

// botName is what the accounts of tokens, and service accounts, are called.
// Source: docs.gitlab.com/user/project/settings/project_access_tokens, "Bot users for projects", the same page for
// groups, and docs.gitlab.com/user/profile/service_accounts.
var botName = regexp.MustCompile(`^((project|group)_[0-9]+_bot|service_account_)`)

func (r memberRow) member() contactsync.ProjectMember {
	return contactsync.ProjectMember{
		ID: r.ID, Username: outbound.Clean(r.Username, 255), Name: outbound.Clean(r.Name, 255), Level: r.Level,
		Address: contactsync.NormalizeEmail(outbound.Clean(cmp.Or(r.Email, r.PublicEmail), 255)),
		Active:  r.State == "active" && (r.Membership == "" || r.Membership == "active"),
		Bot:     r.Bot || botName.MatchString(r.Username),
	}
}

// Members returns everybody who may do something in the project, by their numbers: direct members, and those of its
// groups and of groups that were invited. Somebody who is one in several ways is returned once, with the highest level.
// Bots are told by the names that GitLab gives them. It takes two requests for up to a hundred members, and one more for
// each further hundred of either kind.
//
// Errors: invalid_project_id as of Project; repository_unreachable, also for a list that is not complete.
// Source: docs.gitlab.com/api/project_members.
func (c *Client) Members(ctx context.Context, project int64) ([]contactsync.ProjectMember, error) {
	members, err := c.members(ctx, project)
	if err != nil {
		return nil, fmt.Errorf("reading the members of project %d: %w", project, err)
	}
	return members, nil
}

func (c *Client) members(ctx context.Context, project int64) ([]contactsync.ProjectMember, error) {
	path := fmt.Sprintf("projects/%d/members", project)
	all, err := rows[memberRow](ctx, c, path+"/all")
	if err != nil {
		return nil, err
	}
	direct, err := rows[memberRow](ctx, c, path)
	if err != nil {
		return nil, err
	}
	byID := make(map[int64]contactsync.ProjectMember)
	for i, row := range slices.Concat(all, direct) {
		if row.ID <= 0 || row.Username == "" {
			return nil, senseless("a member has no number or no name")
		}
		member, known := row.member(), byID[row.ID]
		member.Level = max(member.Level, known.Level)
		member.Active = member.Active || known.Active
		member.Address = cmp.Or(member.Address, known.Address)
		member.Direct = i >= len(all) || known.Direct
		byID[row.ID] = member
	}
	return slices.SortedFunc(maps.Values(byID), func(a, b contactsync.ProjectMember) int { return cmp.Compare(a.ID, b.ID) }), nil
}

// MakeDeveloper gives a direct member of the project the level of a developer, in one request that is sent once. There is
// no way to give another level.
//
// Errors: invalid_project_id as of Project; gitlab_refused where GitLab says no, such as to a level below the one that a
// group gives, or where there is no such direct member (then with ErrGone); repository_unreachable.
// Source: docs.gitlab.com/api/project_members, "Edit a member of a project".
func (c *Client) MakeDeveloper(ctx context.Context, project, member int64) error {
	var options struct {
		Level developer `json:"access_level"`
	}
	var answer memberRow
	_, err := c.change(ctx, http.MethodPut, fmt.Sprintf("projects/%d/members/%d", project, member), options, &answer)
	if err == nil && (answer.ID != member || answer.Level != contactsync.AccessDeveloper) {
		err = refusal("Look at the member under Manage > Members: an administrator may have to approve the change.",
			"GitLab says that it was done, and that the level of member %d is %d", answer.ID, answer.Level)
	}
	if err != nil {
		return fmt.Errorf("making member %d of project %d a developer: %w", member, project, err)
	}
	return nil
}

// invitationRow is an invitation as GitLab tells of one.
type invitationRow struct {
	Address string                  `json:"invite_email"`
	Level   contactsync.AccessLevel `json:"access_level"`
	Created time.Time               `json:"created_at"`
}

// Invitations returns the invitations to the project itself that nobody has taken yet, in one request for a hundred.
//
// Errors: as of Members. Source: docs.gitlab.com/api/invitations, "List all invitations pending for a group or project".
func (c *Client) Invitations(ctx context.Context, project int64) ([]contactsync.Invitation, error) {
	found, err := c.invitations(ctx, project)
	if err != nil {
		return nil, err
	}
	invitations := make([]contactsync.Invitation, len(found))
	for i, row := range found {
		invitations[i] = contactsync.Invitation{Address: contactsync.NormalizeEmail(outbound.Clean(row.Address, 255)), Level: row.Level, Created: row.Created.UTC()}
	}
	return invitations, nil
}

func (c *Client) invitations(ctx context.Context, project int64) ([]invitationRow, error) {
	found, err := rows[invitationRow](ctx, c, invitationsPath(project))
	if err == nil && slices.ContainsFunc(found, func(row invitationRow) bool { return row.Address == "" }) {
		err = senseless("an invitation has no address")
	}
	if err != nil {
		return nil, fmt.Errorf("reading the invitations to project %d: %w", project, err)
	}
	return found, nil
}

func invitationsPath(project int64) string { return fmt.Sprintf("projects/%d/invitations", project) }

// maxInvited is how many addresses GitLab takes at once.
const maxInvited = 100

// Invite invites addresses to the project as developers, and returns what became of each, in their order. There is no way
// to invite at another level. GitLab adds an account with that address at once; to others it sends mail. What it refuses,
// or holds until an administrator agrees, is the Problem of that address, in GitLab's words: also that somebody was
// invited, or is a member, already. Where GitLab speaks of an address that was not asked about, such as the first one of
// an account that was asked for by its second, its words are the Problem of each address that it says nothing else about.
//
// A request takes a hundred addresses, and is sent once. After an error some may have been invited: read Invitations and
// Members before asking again.
//
// Errors: invalid_project_id as of Project; gitlab_refused where GitLab refuses the request as a whole;
// repository_unreachable, also for an answer that cannot be understood.
// Source: docs.gitlab.com/api/invitations, "Add a member to a group or project"; GitLab's
// app/services/members/invite_service.rb.
func (c *Client) Invite(ctx context.Context, project int64, addresses []contactsync.Email) ([]contactsync.Invited, error) {
	problems := make(map[contactsync.Email]string)
	var good []contactsync.Email
	for _, address := range addresses {
		if !sendable(address) {
			problems[address] = "It is no address that GitLab can be asked about."
		} else if !slices.Contains(good, address) {
			good = append(good, address)
		}
	}
	for batch := range slices.Chunk(good, maxInvited) {
		if err := c.invite(ctx, project, batch, problems); err != nil {
			return nil, fmt.Errorf("inviting %d addresses to project %d: %w", len(batch), project, err)
		}
	}
	invited := make([]contactsync.Invited, len(addresses))
	for i, address := range addresses {
		invited[i] = contactsync.Invited{Address: address, Problem: problems[address]}
	}
	return invited, nil
}

// sendable tells an address from what GitLab would take for something else: it splits at commas.
func sendable(address contactsync.Email) bool {
	local, domain, found := strings.Cut(string(address), "@")
	return found && local != "" && domain != "" && len(address) <= 254 &&
		!strings.ContainsFunc(string(address), func(r rune) bool { return r <= ' ' || r == ',' || r == 0x7f })
}

// invitedAnswer is what GitLab says of invitations, always with status 201. client-go knows one form of it.
type invitedAnswer struct {
	Status  string          `json:"status"`
	Message json.RawMessage `json:"message"`
	Queued  json.RawMessage `json:"queued_users"`
}

func (c *Client) invite(ctx context.Context, project int64, addresses []contactsync.Email, problems map[contactsync.Email]string) error {
	options := struct {
		Addresses []contactsync.Email `json:"email"`
		Level     developer           `json:"access_level"`
	}{Addresses: addresses}
	var answer invitedAnswer
	unclear, err := c.change(ctx, http.MethodPost, invitationsPath(project), options, &answer)
	if err == nil {
		unclear, err = true, answer.read(addresses, problems)
	}
	var classed *contactsync.Error
	if unclear && errors.As(err, &classed) {
		classed.Remedy = "Some may have been invited. Run the same command again: it looks before it invites."
	}
	return err
}

// read notes what the answer says against the addresses.
func (a invitedAnswer) read(addresses []contactsync.Email, problems map[contactsync.Email]string) error {
	said, err := wordsFor(a.Queued, "waits for an administrator's approval")
	if err != nil {
		return err
	}
	switch a.Status {
	case "success":
	case "error":
		against, err := wordsFor(a.Message, "")
		if err != nil {
			return err
		}
		if len(against) == 0 {
			return senseless("inviting failed, and it does not say why")
		}
		said = append(said, against...)
	default:
		return senseless(fmt.Sprintf("inviting has the status %q", a.Status))
	}
	left := ""
	named := make(map[contactsync.Email]string)
	for _, s := range said {
		if slices.Contains(addresses, s.of) {
			named[s.of] = joined(named[s.of], s.words)
		} else {
			left = joined(left, s.words)
		}
	}
	for _, address := range addresses {
		if problem := cmp.Or(named[address], left); problem != "" {
			problems[address] = problem
		}
	}
	return nil
}

func joined(a, b string) string {
	if a == "" || a == b {
		return b
	}
	return outbound.Clean(a+"; "+b, 500)
}

// word is what is said of an address; of "" where no address is named.
type word struct {
	of    contactsync.Email
	words string
}

// wordsFor reads words in every form that GitLab has for them: one text about everybody, a text or a list of texts by
// address, or, where there are words already for what is said, a list of addresses.
func wordsFor(data json.RawMessage, words string) ([]word, error) {
	var value any
	if len(data) > 0 {
		if err := json.Unmarshal(data, &value); err != nil {
			return nil, senseless("what it says of invitations is no JSON")
		}
	}
	switch value := value.(type) {
	case nil:
		return nil, nil
	case string:
		if value == "" {
			return nil, nil
		}
		return []word{{words: clean(value)}}, nil
	case []any:
		var list []word
		for _, item := range value {
			address, ok := item.(string)
			if !ok || words == "" {
				return nil, senseless("what it says of invitations is a list of something")
			}
			list = append(list, word{contactsync.NormalizeEmail(address), words})
		}
		return list, nil
	case map[string]any:
		var list []word
		for _, address := range slices.Sorted(maps.Keys(value)) {
			text, ok := textOf(value[address])
			if !ok {
				return nil, senseless("what it says of an invitation is no text")
			}
			list = append(list, word{contactsync.NormalizeEmail(address), text})
		}
		return list, nil
	}
	return nil, senseless("what it says of invitations is neither text nor a list")
}

// textOf reads a text, or a list of texts, that says something.
func textOf(value any) (string, bool) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	all := ""
	for _, item := range list {
		text, ok := item.(string)
		if !ok {
			return "", false
		}
		all = joined(all, clean(text))
	}
	return all, all != ""
}

func clean(text string) string { return strings.TrimSpace(outbound.Clean(text, 200)) }

// Withdraw takes an invitation back. One that is gone already is no error. It takes one request; two more where GitLab has
// no invitation in that spelling, because it keeps the one in which somebody was invited.
//
// Errors: invalid_project_id as of Project; gitlab_refused; repository_unreachable.
// Source: docs.gitlab.com/api/invitations, "Delete an invitation to a group or project"; GitLab's
// lib/api/helpers/members_helpers.rb.
func (c *Client) Withdraw(ctx context.Context, project int64, address contactsync.Email) error {
	if err := c.withdraw(ctx, project, address); err != nil {
		return fmt.Errorf("withdrawing the invitation of %s to project %d: %w", address, project, err)
	}
	return nil
}

func (c *Client) withdraw(ctx context.Context, project int64, address contactsync.Email) error {
	if address == "" {
		return contactsync.Errorf(contactsync.ClassInternal, "there is no address")
	}
	gone, err := c.remove(ctx, invitationPath(project, string(address)))
	if err != nil || !gone {
		return err
	}
	others, err := c.invitations(ctx, project)
	if err != nil {
		return err
	}
	for _, other := range others {
		if contactsync.NormalizeEmail(other.Address) == address {
			if _, err := c.remove(ctx, invitationPath(project, other.Address)); err != nil {
				return err
			}
		}
	}
	return nil
}

func invitationPath(project int64, address string) string {
	return invitationsPath(project) + "/" + gitlab.PathEscape(address)
}

// remove deletes something, and tells whether it was gone already.
func (c *Client) remove(ctx context.Context, path string) (gone bool, err error) {
	_, err = c.change(ctx, http.MethodDelete, path, nil, nil)
	if errors.Is(err, ErrGone) {
		return true, nil
	}
	return false, err
}
