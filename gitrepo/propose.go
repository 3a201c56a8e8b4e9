package gitrepo

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"contactsync"
)

// shortened is how many digits of a commit people are shown.
const shortened = 8

// Propose returns what a merge request would make of the file: the file at head, its newest commit, held against the one
// at base, where it began, and the one at the head of the branch. Both commits are 40 hex digits.
//
// It takes as many requests as Read. The server must let single commits be fetched, as GitLab's does. Errors:
// repository_unreachable, as of Read, also where one of the commits is not there any more.
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
	if errors.Is(err, errEmpty) {
		return contactsync.Proposal{}, contactsync.Errorf(contactsync.ClassRepositoryUnreachable, "the repository is empty: the commits of the merge request are gone")
	}
	if err != nil {
		return contactsync.Proposal{}, err
	}
	commits := []plumbing.Hash{plumbing.NewHash(head), plumbing.NewHash(base)}
	if tip := r.head(refs); !tip.IsZero() {
		commits = append(commits, tip)
	}
	objects, err := r.roots(ctx, fetch, refs, commits...)
	if err != nil {
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
	there := r.at(head)
	var proposal contactsync.Proposal
	commit, entry, err := there.find(objects, commits[0])
	proposal.Changed = entry.Hash != before // the zero hash where there is no file
	proposal.Behind = proposal.Changed && now != before && now != entry.Hash
	if err == nil && proposal.Changed {
		proposal.File, err = there.load(ctx, fetch, refs, objects, commit, entry)
	}
	if contactsync.ClassOf(err) == contactsync.ClassRepositoryUnreachable {
		return contactsync.Proposal{}, err
	}
	proposal.Err = err
	return proposal, nil
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
