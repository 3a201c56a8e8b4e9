package gitlab

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"contactsync"
	"contactsync/outbound"
)

// badgeRow is a badge as GitLab tells of one. A project's list has its group's, too.
type badgeRow struct {
	ID    int64  `json:"id"`
	Name  string `json:"name"`
	Link  string `json:"link_url"`
	Image string `json:"image_url"`
	Kind  string `json:"kind"`
}

// sentBadge is a badge as GitLab takes one.
type sentBadge struct {
	Name  string `json:"name"`
	Link  string `json:"link_url"`
	Image string `json:"image_url"`
}

// SetBadge makes the project's badge of that name, or changes it, in two requests; in one where it is as wanted, or where
// its ID is given. Of several with that name the oldest is changed. Those of the project's group are left alone. The write
// is sent once: after an error, calling it again does no harm. It returns the badge's ID, and 0 where the one that was given
// is no badge any more: nothing was done then.
//
// Errors: invalid_project_id as of Project; gitlab_refused, such as for a token without the scope api, a role below
// Maintainer, or an address that GitLab does not take; repository_unreachable.
// Source: docs.gitlab.com/api/project_badges.
func (c *Client) SetBadge(ctx context.Context, project int64, badge contactsync.Badge) (id int64, err error) {
	id, err = c.setBadge(ctx, project, badge)
	if err != nil {
		return 0, fmt.Errorf("setting the badge %s of project %d: %w", outbound.Clean(badge.Name, 100), project, err)
	}
	return id, nil
}

func (c *Client) setBadge(ctx context.Context, project int64, badge contactsync.Badge) (int64, error) {
	path, err := projectAddress(project)
	if err != nil {
		return 0, err
	}
	if badge.Name == "" {
		return 0, contactsync.Errorf(contactsync.ClassInternal, "a badge is found by its name")
	}
	path += "/badges"
	wanted := sentBadge{badge.Name, badge.Link, badge.Image}
	old := badgeRow{ID: badge.ID}
	if old.ID == 0 {
		if old, err = c.findBadge(ctx, path, badge.Name); err != nil || old.ID != 0 && (sentBadge{old.Name, old.Link, old.Image}) == wanted {
			return old.ID, err
		}
	}
	method := http.MethodPost
	if old.ID != 0 {
		method, path = http.MethodPut, fmt.Sprintf("%s/%d", path, old.ID)
	}
	var answer badgeRow
	_, err = c.changing(ctx, c.explainReport, method, path, wanted, &answer)
	switch {
	case badge.ID != 0 && errors.Is(err, ErrGone):
		return 0, nil
	case err == nil && (answer.ID <= 0 || answer.Name != badge.Name):
		err = senseless(fmt.Sprintf("it is about badge %d, %q", answer.ID, answer.Name))
	}
	return answer.ID, err
}

// findBadge returns the project's own oldest badge of that name, a zero one where there is none.
func (c *Client) findBadge(ctx context.Context, path, name string) (old badgeRow, err error) {
	err = pages(ctx, c, listing{explain: c.explainReport, most: maxAnswer, path: path, name: name}, func(page []badgeRow) bool {
		for _, row := range page {
			// The filter is GitLab's, and not in every version.
			if row.Name == name && row.Kind == "project" && row.ID > 0 && (old.ID == 0 || row.ID < old.ID) {
				old = row
			}
		}
		return true
	})
	return old, err
}
