package gitrepo

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"contactsync"
)

// shortened is how many digits of a commit people are shown.
const shortened = 8

// Propose returns what a merge request would make of the file: the file at head, its newest commit, held against the one
// at base, where it began, and the one at the head of the branch. Both commits are 40 hex digits.
//
// It takes two requests; four when the files beside it are so many or so large that the second one is cut off. The server
// must let single commits be fetched, as GitLab's does. Errors: repository_unreachable, as of Read, also where one of the
// commits is not there any more.
func (r *Repository) Propose(ctx context.Context, project contactsync.Project, head, base string) (contactsync.Proposal, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.options.Timeout, errSlow)
	defer cancel()
	proposal, err := r.propose(ctx, project, head, base)
	if err != nil {
		return contactsync.Proposal{}, fmt.Errorf("reading %s of a merge request of %s: %w", r.options.File, nameOf(project), err)
	}
	return proposal, nil
}

func (r *Repository) propose(ctx context.Context, project contactsync.Project, head, base string) (contactsync.Proposal, error) {
	if !plumbing.IsHash(head) || !plumbing.IsHash(base) {
		return contactsync.Proposal{}, senseless("the commits of the merge request", errors.New("they are none"))
	}
	fetch, err := r.connect(project)
	if err != nil {
		return contactsync.Proposal{}, err
	}
	refs, err := fetch.references(ctx)
	if err != nil {
		return contactsync.Proposal{}, err
	}
	commits := []plumbing.Hash{plumbing.NewHash(head), plumbing.NewHash(base)}
	if tip := r.head(refs); !tip.IsZero() {
		commits = append(commits, tip)
	}
	filter := packp.FilterCombine(packp.FilterBlobLimit(uint64(r.options.MaxFile)+1, packp.BlobLimitPrefixNone), packp.FilterTreeDepth(2))
	if !refs.Capabilities.Supports(capability.Filter) {
		filter = ""
	}
	objects, err := fetch.objects(ctx, refs, filter, commits...)
	alone := errors.Is(err, errTooMuch) && filter != ""
	if alone {
		objects, err = fetch.objects(ctx, refs, packp.FilterTreeDepth(1), commits...)
	}
	if errors.Is(err, errTooMuch) {
		return contactsync.Proposal{}, tooMuch("the files of the merge request take more than %s", size(fetch.limit))
	}
	if err != nil {
		return contactsync.Proposal{}, err
	}

	there := r.at(head)
	commit, entry, err := there.find(objects, commits[0])
	var proposal contactsync.Proposal
	if proposal.Err = err; contactsync.ClassOf(err) == contactsync.ClassRepositoryUnreachable {
		return contactsync.Proposal{}, err
	}
	before, err := r.blob(objects, commits[1])
	if err != nil {
		return contactsync.Proposal{}, err
	}
	now, err := r.blob(objects, commits[len(commits)-1])
	if err != nil {
		return contactsync.Proposal{}, err
	}
	proposal.Changed = proposal.Err != nil || entry.Hash != before
	if proposal.Err != nil && before.IsZero() {
		proposal.Changed = false // neither has it
	}
	proposal.Behind = proposal.Changed && now != before && now != entry.Hash
	if proposal.Err != nil || !proposal.Changed {
		return proposal, nil
	}
	if alone {
		if objects, err = fetch.object(ctx, refs, entry.Hash); errors.Is(err, errTooMuch) {
			proposal.Err = there.tooLarge()
			return proposal, nil
		}
		if err != nil {
			return contactsync.Proposal{}, err
		}
	}
	proposal.File, proposal.Err = there.proposed(objects, commit, entry, filter != "" && !alone)
	if contactsync.ClassOf(proposal.Err) == contactsync.ClassRepositoryUnreachable {
		return contactsync.Proposal{}, proposal.Err
	}
	return proposal, nil
}

// proposed reads the file of a merge request. filtered says that the server left files out which are too large.
func (r *Repository) proposed(objects storer.EncodedObjectStorer, commit *object.Commit, entry object.TreeEntry, filtered bool) (contactsync.File, error) {
	content, err := r.content(objects, entry.Hash)
	switch {
	case errors.Is(err, plumbing.ErrObjectNotFound) && filtered:
		return contactsync.File{}, r.tooLarge()
	case errors.Is(err, plumbing.ErrObjectNotFound):
		return contactsync.File{}, senseless("the file", err)
	case err != nil:
		return contactsync.File{}, err
	}
	return r.file(commit, entry, content)
}

// blob returns what the file is at a commit; the zero hash where there is none, or something else in its place.
func (r *Repository) blob(objects storer.EncodedObjectStorer, commit plumbing.Hash) (plumbing.Hash, error) {
	_, entry, err := r.find(objects, commit)
	if contactsync.ClassOf(err) == contactsync.ClassFileMissing {
		return plumbing.ZeroHash, nil
	}
	return entry.Hash, err
}

// at returns the same Repository, which speaks of that commit.
func (r *Repository) at(commit string) *Repository {
	return &Repository{options: r.options, reading: commit[:shortened]}
}
