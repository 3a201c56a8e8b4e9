package sync

import (
	"context"

	"contactsync"
)

// Reporter is the forge, as far as it tells people what became of their commit, or would become of their merge request.
// What it is asked to write it writes once: whoever calls it again after an error does no harm.
//
// Errors: gitlab_refused for what will not work however often it is tried, such as a token that may not write;
// repository_unreachable for what may, with the time where the forge names one; invalid_project_id for a project that
// is gone.
type Reporter interface {
	// BranchHead returns the newest commit of a branch; "" where there is none.
	BranchHead(ctx context.Context, project int64, branch string) (string, error)
	// SetStatus sets a commit status. One that is so already is left alone.
	SetStatus(ctx context.Context, project int64, status contactsync.CommitStatus) error

	// FindNote looks for a note that CreateNote wrote in the thread, and returns false where there is none.
	FindNote(ctx context.Context, thread contactsync.Thread) (contactsync.Note, bool, error)
	// CreateNote writes a note of Markdown. After an error it may have been written: FindNote tells.
	CreateNote(ctx context.Context, thread contactsync.Thread, text string) (contactsync.Note, error)
	// UpdateNote rewords a note, and returns false where somebody has deleted it.
	UpdateNote(ctx context.Context, thread contactsync.Thread, note contactsync.Note, text string) (bool, error)
	// ResolveNote marks a note of a merge request as settled, or as open again; false where it has been deleted.
	ResolveNote(ctx context.Context, thread contactsync.Thread, note contactsync.Note, resolved bool) (bool, error)

	// SetBadge makes or changes the project's badge of that name.
	SetBadge(ctx context.Context, project int64, badge contactsync.Badge) error

	// MergeRequest returns a merge request of the project.
	MergeRequest(ctx context.Context, project, number int64) (contactsync.MergeRequest, error)
}
