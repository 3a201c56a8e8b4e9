package gitlab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"contactsync"
)

// noteMark is what our notes end with. GitLab shows no HTML comment.
const noteMark = "<!-- contactsync -->"

const (
	// notesBurst and notesEvery keep a client below the 60 notes that GitLab takes from a user in any minute: no minute
	// has more than 15 + 40. The rest is for requests that reach GitLab faster than those before, and for people.
	// Source: docs.gitlab.com/administration/settings/rate_limit_on_notes_creation, docs.gitlab.com/user/gitlab_com.
	notesBurst = 15
	notesEvery = 1500 * time.Millisecond
	// maxNoteWait is how long a call waits for its turn.
	maxNoteWait = 10 * time.Second
	// maxDiscussions bounds an answer with a hundred discussions. A note may have a million characters.
	maxDiscussions = 16 << 20
)

// discussionRow is a discussion as GitLab tells of one.
type discussionRow struct {
	ID    string    `json:"id"`
	Notes []noteRow `json:"notes"`
}

type noteRow struct {
	ID     int64  `json:"id"`
	Body   string `json:"body"`
	System bool   `json:"system"`
	Author struct {
		ID int64 `json:"id"`
	} `json:"author"`
}

// discussionName is what a discussion's id looks like: it goes into addresses.
var discussionName = regexp.MustCompile(`^[0-9A-Za-z]{1,100}$`)

// threadPath is the address of a thread's discussions.
func threadPath(thread contactsync.Thread) (string, error) {
	project, err := projectAddress(thread.Project)
	switch {
	case err != nil:
		return "", err
	case commitName.MatchString(thread.Commit) && thread.Request == 0:
		return project + "/repository/commits/" + thread.Commit + "/discussions", nil
	case thread.Commit == "" && thread.Request > 0:
		return fmt.Sprintf("%s/merge_requests/%d/discussions", project, thread.Request), nil
	}
	return "", contactsync.Errorf(contactsync.ClassInternal, "a thread is a commit's or a merge request's")
}

// notePath is the address of a note.
func notePath(thread contactsync.Thread, note contactsync.Note) (discussion, path string, err error) {
	discussions, err := threadPath(thread)
	if err == nil && (note.ID <= 0 || !discussionName.MatchString(note.Discussion)) {
		err = contactsync.Errorf(contactsync.ClassInternal, "a note has a discussion and a number")
	}
	discussion = discussions + "/" + note.Discussion
	return discussion, fmt.Sprintf("%s/notes/%d", discussion, note.ID), err
}

// wrapNote says what was being done.
func wrapNote(doing string, thread contactsync.Thread, err error) error {
	if err == nil {
		return nil
	}
	if thread.Commit != "" {
		return fmt.Errorf("%s commit %.8s of project %d: %w", doing, thread.Commit, thread.Project, err)
	}
	return fmt.Errorf("%s merge request %d of project %d: %w", doing, thread.Request, thread.Project, err)
}

// learn remembers the number of the token's own user, which some answers tell by the way.
func (c *Client) learn(own int64) {
	select {
	case known := <-c.own:
		c.own <- max(own, known)
	default: // somebody is asking for it
	}
}

// ownUser returns the number of the token's own user, which is asked for once, unless another answer told it.
func (c *Client) ownUser(ctx context.Context) (int64, error) {
	var own int64
	select {
	case own = <-c.own:
	case <-ctx.Done():
		return 0, c.explain(ctx, nil, ctx.Err())
	}
	defer func() { c.own <- own }()
	if own != 0 {
		return own, nil
	}
	found, err := c.Self(ctx)
	if err == nil {
		own = found
	}
	return found, err
}

// FindNote looks for our note in a thread: the oldest one that the token's own user wrote, and that has our mark. Somebody
// else's that has it, too, is not ours. It takes one request for a hundred discussions, and one more, once per client, to
// learn who the own user is, unless a status that was set or a look at the token has told.
//
// Errors: invalid_project_id as of Project; gitlab_refused, also where there is no such commit or merge request;
// repository_unreachable, also for a list that is not complete, or has more than 10,000 discussions.
// Source: docs.gitlab.com/api/discussions, "List project commit discussion items" and "List project merge request
// discussion items".
func (c *Client) FindNote(ctx context.Context, thread contactsync.Thread) (contactsync.Note, bool, error) {
	found, err := c.findNote(ctx, thread)
	if err != nil {
		return contactsync.Note{}, false, wrapNote("looking for our note about", thread, err)
	}
	return found, found != contactsync.Note{}, nil
}

func (c *Client) findNote(ctx context.Context, thread contactsync.Thread) (found contactsync.Note, err error) {
	path, err := threadPath(thread)
	if err != nil {
		return contactsync.Note{}, err
	}
	own, err := c.ownUser(ctx)
	if err != nil {
		return contactsync.Note{}, err
	}
	var odd error
	err = pages(ctx, c, listing{explain: c.explainReport, most: maxDiscussions, path: path}, func(page []discussionRow) bool {
		for _, d := range page {
			ours := slices.IndexFunc(d.Notes, func(n noteRow) bool {
				return n.Author.ID == own && !n.System && strings.Contains(n.Body, noteMark)
			})
			if ours >= 0 {
				found, odd = d.note(ours)
				return false
			}
		}
		return true
	})
	if err == nil {
		err = odd
	}
	return found, err
}

// note is one of the discussion's notes, by its place.
func (d discussionRow) note(at int) (contactsync.Note, error) {
	if len(d.Notes) <= at || d.Notes[at].ID <= 0 || !discussionName.MatchString(d.ID) {
		return contactsync.Note{}, senseless(fmt.Sprintf("the discussion %q has no name, or its note no number", d.ID))
	}
	return contactsync.Note{Discussion: d.ID, ID: d.Notes[at].ID}, nil
}

// sentNote is a note's text with our mark.
type sentNote struct {
	Body string `json:"body"`
}

func marked(text string) sentNote { return sentNote{text + "\n\n" + noteMark} }

// CreateNote writes a note as a new discussion of the thread, in one request that is sent once. Lines of the text that
// begin with a slash GitLab may take for quick actions: the caller writes none.
//
// After an error other than gitlab_refused it may have been written: FindNote tells. A client writes no more than 55 notes
// in a minute, changed ones counted: a call waits up to ten seconds for its turn.
//
// Errors: invalid_project_id as of Project; gitlab_refused, such as for a token without the scope api, or where there is
// no such commit or merge request; repository_unreachable, with the time where GitLab names one, or where it is not this
// note's turn soon.
// Source: docs.gitlab.com/api/discussions, "Create new commit thread" and "Create new merge request thread".
func (c *Client) CreateNote(ctx context.Context, thread contactsync.Thread, text string) (contactsync.Note, error) {
	note, err := c.createNote(ctx, thread, text)
	if err != nil {
		return contactsync.Note{}, wrapNote("writing a note about", thread, err)
	}
	return note, nil
}

func (c *Client) createNote(ctx context.Context, thread contactsync.Thread, text string) (contactsync.Note, error) {
	path, err := threadPath(thread)
	if err != nil {
		return contactsync.Note{}, err
	}
	var answer discussionRow
	if err := c.writeNote(ctx, http.MethodPost, path, marked(text), &answer); err != nil {
		return contactsync.Note{}, err
	}
	return answer.note(0)
}

// UpdateNote gives a note other words, in one request that is sent once, and returns false where the note has been deleted.
//
// Errors, and turns: as of CreateNote. Doing it again after an error does no harm.
// Source: docs.gitlab.com/api/discussions, "Modify a commit thread note" and "Modify an existing merge request thread
// note".
func (c *Client) UpdateNote(ctx context.Context, thread contactsync.Thread, note contactsync.Note, text string) (bool, error) {
	_, path, err := notePath(thread, note)
	if err == nil {
		var answer noteRow
		err = c.writeNote(ctx, http.MethodPut, path, marked(text), &answer)
		if err == nil && answer.ID != note.ID {
			err = senseless(fmt.Sprintf("it is about note %d", answer.ID))
		}
	}
	if errors.Is(err, ErrGone) {
		return false, nil
	}
	return err == nil, wrapNote("changing our note about", thread, err)
}

// ResolveNote marks the discussion of a note as settled, or as open again, in one request that is sent once, and returns
// false where it has been deleted. Only those of merge requests can be settled. GitLab breaks on a discussion that is not
// there, so that an answer of status 5xx takes a second request, which looks for it.
//
// Errors, and turns: as of CreateNote. Doing it again after an error does no harm.
// Source: docs.gitlab.com/api/discussions, "Resolve a merge request thread"; GitLab's lib/api/helpers/notes_helpers.rb.
func (c *Client) ResolveNote(ctx context.Context, thread contactsync.Thread, note contactsync.Note, resolved bool) (bool, error) {
	path, _, err := notePath(thread, note)
	if err == nil && thread.Request == 0 {
		err = contactsync.Errorf(contactsync.ClassInternal, "only the notes of a merge request can be settled")
	}
	if err == nil {
		err = c.resolve(ctx, path, note, resolved)
	}
	if errors.Is(err, ErrGone) {
		return false, nil
	}
	return err == nil, wrapNote("settling our note about", thread, err)
}

func (c *Client) resolve(ctx context.Context, path string, note contactsync.Note, resolved bool) error {
	options := struct {
		Resolved bool `json:"resolved"`
	}{resolved}
	var answer discussionRow
	err := c.writeNote(ctx, http.MethodPut, path, options, &answer)
	if errors.Is(err, errBroken) {
		if _, reading := c.reading(ctx, c.explainReport, maxDiscussions, path, nil, &answer); errors.Is(reading, ErrGone) {
			return reading
		}
	}
	if err == nil && answer.ID != note.Discussion {
		err = senseless(fmt.Sprintf("it is about the discussion %q", answer.ID))
	}
	return err
}

// writeNote sends a request that writes a note, once, when it is its turn.
func (c *Client) writeNote(ctx context.Context, method, path string, options, into any) error {
	if err := c.turn(ctx); err != nil {
		return err
	}
	_, err := c.changing(ctx, c.explainReport, method, path, options, into)
	return err
}

// turn waits until another note may be written.
func (c *Client) turn(ctx context.Context) error {
	now := c.options.Now()
	turn := c.notes.ReserveN(now, 1)
	pause := turn.DelayFrom(now)
	if pause == 0 {
		return nil
	}
	if pause > maxNoteWait {
		turn.CancelAt(now)
		return &contactsync.Error{
			Class: contactsync.ClassRepositoryUnreachable, Who: contactsync.WhoNobody, Retry: contactsync.RetryWhenTold, RetryAt: now.Add(pause),
			Detail: "so many notes were written that GitLab would take no more within the minute", Remedy: "Nothing to do: it goes on in a moment.",
		}
	}
	if err := c.options.Wait(ctx, pause); err != nil {
		turn.CancelAt(c.options.Now())
		return c.explain(ctx, nil, err)
	}
	return nil
}
