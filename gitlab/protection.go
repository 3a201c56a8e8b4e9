package gitlab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"contactsync"
)

// rule is how GitLab protects a branch. It is read here because client-go takes "no role" for the role "no one".
type rule struct {
	Name       string  `json:"name"`
	Push       []grant `json:"push_access_levels"`
	Merge      []grant `json:"merge_access_levels"`
	ForcePush  bool    `json:"allow_force_push"`
	CodeOwners bool    `json:"code_owner_approval_required"`
}

// grant lets a role do something, or one user, group or key.
type grant struct {
	ID    int64                    `json:"id"`
	Level *contactsync.AccessLevel `json:"access_level"`
	User  int64                    `json:"user_id"`
	Group int64                    `json:"group_id"`
	Key   int64                    `json:"deploy_key_id"`
}

// role returns the role that is let; false for anybody else.
func (g grant) role() (contactsync.AccessLevel, bool) {
	if g.Level == nil || g.User != 0 || g.Group != 0 || g.Key != 0 {
		return 0, false
	}
	return *g.Level, true
}

func (r rule) protection() contactsync.Protection {
	found := contactsync.Protection{Branch: r.Name, ForcePush: r.ForcePush, CodeOwners: r.CodeOwners}
	roles := func(grants []grant) []contactsync.AccessLevel {
		var levels []contactsync.AccessLevel
		for _, g := range grants {
			level, ok := g.role()
			if ok {
				levels = append(levels, level)
			} else {
				found.Others = true
			}
		}
		return ascending(levels)
	}
	found.Push, found.Merge = roles(r.Push), roles(r.Merge)
	return found
}

// ascending also says that nobody is what is left of no role at all.
func ascending(levels []contactsync.AccessLevel) []contactsync.AccessLevel {
	if len(levels) == 0 {
		return []contactsync.AccessLevel{contactsync.AccessNone}
	}
	return slices.Compact(slices.Sorted(slices.Values(levels)))
}

func (r rule) is(want contactsync.Protection) bool {
	p := r.protection()
	return slices.Equal(p.Push, ascending(want.Push)) && slices.Equal(p.Merge, ascending(want.Merge)) &&
		!p.Others && p.ForcePush == want.ForcePush && p.CodeOwners == want.CodeOwners
}

// Protection returns how the rule with exactly this name protects a branch, in one request; false where there is none. A
// rule that lets nobody do something has AccessNone there. Wildcards that fit the name are other rules.
//
// Errors: invalid_project_id as of Project; repository_unreachable.
// Source: docs.gitlab.com/api/protected_branches, "Get a single protected branch or wildcard protected branch".
func (c *Client) Protection(ctx context.Context, id int64, branch string) (contactsync.Protection, bool, error) {
	found, ok, err := c.rule(ctx, id, branch)
	if err != nil || !ok {
		return contactsync.Protection{}, false, err
	}
	return found.protection(), true, nil
}

func (c *Client) rule(ctx context.Context, id int64, branch string) (rule, bool, error) {
	var found rule
	_, err := c.read(ctx, rulePath(id, branch), nil, &found)
	switch {
	case errors.Is(err, ErrGone):
		return rule{}, false, nil
	case err == nil && found.Name != branch:
		err = senseless(fmt.Sprintf("it is about the branch %q", found.Name))
	}
	if err != nil {
		return rule{}, false, fmt.Errorf("reading the protection of the branch %q of project %d: %w", branch, id, err)
	}
	return found, true, nil
}

func rulePath(id int64, branch string) string {
	return fmt.Sprintf("projects/%d/protected_branches/%s", id, gitlab.PathEscape(branch))
}

// Protect makes the rule with exactly the branch's name so, whether there is one or not. One that is so already takes one
// request; a missing one three; one that differs three on GitLab Premium, and six on GitLab Free, which cannot change
// who may push or merge: there the rule is deleted and made anew, and what the caller's context says is not heard in
// between. Ten are the most, when answers get lost. Each write is sent once; only the one that would leave the branch
// unprotected is sent a second time, after reading has shown that the first was not done.
//
// Errors: invalid_project_id as of Project; gitlab_refused where GitLab says no, or yes and does not, and, when the rule
// could not be made anew, an error that says that the branch is not protected; repository_unreachable.
// Source: docs.gitlab.com/api/protected_branches.
func (c *Client) Protect(ctx context.Context, id int64, protection contactsync.Protection) error {
	if err := c.protect(ctx, id, protection); err != nil {
		return fmt.Errorf("protecting the branch %q of project %d: %w", protection.Branch, id, err)
	}
	return nil
}

func (c *Client) protect(ctx context.Context, id int64, want contactsync.Protection) error {
	if want.Branch == "" || want.Others {
		return contactsync.Errorf(contactsync.ClassInternal, "a protection takes a branch, and names roles alone")
	}
	present, found, err := c.rule(ctx, id, want.Branch)
	if err != nil {
		return err
	}
	if !found {
		unclear, made := c.addRule(ctx, id, want)
		if made != nil && !unclear && !errors.Is(made, errExists) {
			return made
		}
		if present, err = c.after(ctx, id, want.Branch, made); err != nil {
			return err
		}
	}
	if present.is(want) {
		return nil
	}
	unclear, changed := c.change(ctx, http.MethodPatch, rulePath(id, want.Branch), present.edit(want), nil)
	if changed != nil && !unclear {
		return changed
	}
	after, err := c.after(ctx, id, want.Branch, changed)
	switch {
	case err != nil:
		return err
	case after.is(want):
		return nil
	case changed != nil:
		return changed
	}
	return c.remake(ctx, id, want)
}

// addRule makes a rule. GitLab Free knows one level each, Premium further ones, too.
func (c *Client) addRule(ctx context.Context, id int64, want contactsync.Protection) (unclear bool, err error) {
	push, merge := ascending(want.Push), ascending(want.Merge)
	options := gitlab.ProtectRepositoryBranchesOptions{
		Name: &want.Branch, PushAccessLevel: levelOf(push[0]), MergeAccessLevel: levelOf(merge[0]),
		AllowForcePush: &want.ForcePush, CodeOwnerApprovalRequired: &want.CodeOwners,
		AllowedToPush: edits(nil, push[1:]), AllowedToMerge: edits(nil, merge[1:]),
	}
	return c.change(ctx, http.MethodPost, fmt.Sprintf("projects/%d/protected_branches", id), options, nil)
}

func levelOf(level contactsync.AccessLevel) *gitlab.AccessLevelValue {
	return new(gitlab.AccessLevelValue(level))
}

// edit is what makes the rule so.
func (r rule) edit(want contactsync.Protection) gitlab.UpdateProtectedBranchOptions {
	return gitlab.UpdateProtectedBranchOptions{
		AllowForcePush: &want.ForcePush, CodeOwnerApprovalRequired: &want.CodeOwners,
		AllowedToPush: edits(r.Push, ascending(want.Push)), AllowedToMerge: edits(r.Merge, ascending(want.Merge)),
	}
}

// edits removes from a list what is not wanted, and adds what is missing; nil for nothing.
func edits(present []grant, want []contactsync.AccessLevel) *[]*gitlab.BranchPermissionOptions {
	var list []*gitlab.BranchPermissionOptions
	missing := slices.Clone(want)
	for _, g := range present {
		level, ok := g.role()
		at := slices.Index(missing, level)
		if ok && at >= 0 {
			missing = slices.Delete(missing, at, at+1)
			continue
		}
		list = append(list, &gitlab.BranchPermissionOptions{ID: &g.ID, Destroy: new(true)})
	}
	for _, level := range missing {
		list = append(list, &gitlab.BranchPermissionOptions{AccessLevel: levelOf(level)})
	}
	if list == nil {
		return nil
	}
	return &list
}

// after reads what a write has led to. Where that is no rule, it returns what became of the write.
func (c *Client) after(ctx context.Context, id int64, branch string, written error) (rule, error) {
	after, found, err := c.rule(ctx, id, branch)
	if err != nil {
		return rule{}, err
	}
	if !found {
		return rule{}, cmp.Or(written, refusal(remedyAgain, "GitLab says that it was done, and has no rule"))
	}
	return after, nil
}

// remake deletes a rule and makes it anew, because this GitLab changes none. When the first request leaves, the second
// will: a caller who gives up is not heard until then.
func (c *Client) remake(ctx context.Context, id int64, want contactsync.Protection) error {
	if err := contactsync.CheckFence(ctx); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	unclear, removed := c.change(ctx, http.MethodDelete, rulePath(id, want.Branch), nil, nil)
	if removed != nil && !unclear && !errors.Is(removed, ErrGone) {
		return removed
	}
	var made, err error
	var after rule
	var found bool
	for range 2 {
		unclear, made = c.addRule(ctx, id, want)
		after, found, err = c.rule(ctx, id, want.Branch)
		if !unclear || found || err != nil {
			break
		}
	}
	switch {
	case found && after.is(want):
		return nil
	case found && removed != nil:
		return removed
	case found:
		return refusal("Set the rule by hand, under Settings > Repository > Protected branches, and look there whether a rule of the group above stands against it.",
			"GitLab keeps another rule than it was told: %s", after.words())
	}
	return unprotected(want, cmp.Or(made, err, refusal("", "GitLab says that the rule was made, and has none")))
}

// unprotected is the one error after which a branch lies open.
func unprotected(want contactsync.Protection, err error) error {
	return &contactsync.Error{
		Class: contactsync.ClassOf(err), Err: err,
		Detail: fmt.Sprintf("THE BRANCH IS NOT PROTECTED NOW, or GitLab does not tell: its rule was deleted to be made anew, and that failed: %v", err),
		Remedy: fmt.Sprintf("Run the same command again at once. If that fails, too, protect the branch %q by hand, under Settings > Repository > Protected branches.", want.Branch),
	}
}

func (r rule) words() string {
	p := r.protection()
	parts := []string{fmt.Sprintf("push from the levels %v, merge from the levels %v", p.Push, p.Merge)}
	for part, yes := range map[string]bool{"force push": p.ForcePush, "code owners approve": p.CodeOwners, "single people, groups or keys": p.Others} {
		if yes {
			parts = append(parts, part)
		}
	}
	slices.Sort(parts[1:])
	return strings.Join(parts, ", ")
}
