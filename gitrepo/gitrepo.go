// Package gitrepo reads one file at the head of a branch over git's smart HTTP protocol, and commits files, without a
// clone: nothing is written to disk, and what is received and kept in memory is bounded whatever the repository holds.
//
// The repository is a customer's, so it is untrusted: a huge file beside the one that is wanted costs nothing, and a
// link, a folder or a submodule in its place is refused. What is relied upon is described in git's own documentation,
// gitprotocol-http, gitprotocol-pack (protocol version 0) and git-rev-list --filter; GitLab's servers allow filters and
// the fetching of single objects.
package gitrepo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/storer"

	"contactsync"
	"contactsync/outbound"
)

// What Options leave open.
const (
	DefaultBranch   = "master"
	DefaultFile     = "contacts.yaml"
	DefaultUsername = "oauth2" // GitLab takes any name that is not blank beside a token
	DefaultMaxBytes = 16 << 20
	DefaultMaxFile  = 1<<20 + 1
	DefaultTimeout  = time.Minute
)

// Options is what a Repository reads and how. The zero value reads contacts.yaml on master without credentials.
type Options struct {
	Branch   string
	File     string // a name at the root of the repository, not a path
	Username string
	Token    string // sent to the host of each project's CloneURL; "" sends no credentials

	// MaxBytes bounds what is received for one read or commit. A single answer may use a quarter of it.
	MaxBytes int64
	// MaxFile is the size of the largest file that is returned. The default lets one byte more through than a contacts
	// file may have, so that whoever reads the file can say so.
	MaxFile int64
	// Timeout bounds one read or commit.
	Timeout time.Duration
	// Transport carries the requests; nil is http.DefaultTransport.
	Transport http.RoundTripper
}

// Repository reads and writes repositories. It keeps nothing between calls, and may be used by many goroutines.
type Repository struct {
	options Options
	reading string // the commit that is read, shortened; "" for the head of the branch
}

// place is where a file is read, for people.
func (r *Repository) place() string {
	if r.reading != "" {
		return "commit " + r.reading
	}
	return "branch " + r.options.Branch
}

// New returns a Repository, or an error that names the option which cannot be.
func New(options Options) (*Repository, error) {
	options.Branch = cmp.Or(options.Branch, DefaultBranch)
	options.File = cmp.Or(options.File, DefaultFile)
	options.Username = cmp.Or(options.Username, DefaultUsername)
	options.MaxBytes = cmp.Or(options.MaxBytes, DefaultMaxBytes)
	options.MaxFile = cmp.Or(options.MaxFile, DefaultMaxFile)
	options.Timeout = cmp.Or(options.Timeout, DefaultTimeout)
	if options.Transport == nil {
		options.Transport = http.DefaultTransport
	}
	if err := plumbing.NewBranchReferenceName(options.Branch).Validate(); err != nil {
		return nil, fmt.Errorf("the branch %q cannot be the name of a branch", options.Branch)
	}
	if strings.ContainsAny(options.File, "/\\\x00") || options.File == "." || options.File == ".." {
		return nil, fmt.Errorf("the file %q must be a name at the root of the repository, without a folder", options.File)
	}
	if options.MaxBytes < 0 || options.MaxFile < 0 || options.Timeout < 0 {
		return nil, errors.New("limits of size and time must be above zero")
	}
	return &Repository{options: options}, nil
}

// Read returns the file at the head of the branch of the repository at project.CloneURL.
//
// It takes two requests; three when the file is too large or a folder has a copy of it; four when the files beside it are
// so many or so large that the second one is cut off. Errors:
//   - file_missing: the repository is empty, the branch or the file is not there, or it is a symbolic link, a folder, a
//     submodule or kept in Git LFS.
//   - file_too_large: it is larger than MaxFile.
//   - repository_unreachable: anything else, such as the network, refused credentials, a missing repository, an answer
//     that is too large, too slow or makes no sense. When the context ended, the error wraps its error.
//
// With an error, the File has the commit alone, where the branch has one: whoever pushed it is told beside it.
func (r *Repository) Read(ctx context.Context, project contactsync.Project) (contactsync.File, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.options.Timeout, errSlow)
	defer cancel()
	file, err := r.read(ctx, project)
	if err != nil {
		return contactsync.File{Commit: file.Commit}, fmt.Errorf("reading %s of %s: %w", r.options.File, nameOf(project), err)
	}
	return file, nil
}

func (r *Repository) read(ctx context.Context, project contactsync.Project) (contactsync.File, error) {
	fetch, err := r.connect(project)
	if err != nil {
		return contactsync.File{}, err
	}
	refs, err := fetch.references(ctx)
	if errors.Is(err, errEmpty) {
		return contactsync.File{}, contactsync.Errorf(contactsync.ClassFileMissing, "the repository is empty: nothing has been pushed yet")
	}
	if err != nil {
		return contactsync.File{}, err
	}
	head, ok := refs.References[plumbing.NewBranchReferenceName(r.options.Branch).String()]
	if !ok {
		return contactsync.File{}, r.noBranch(refs)
	}

	file, err := r.readAt(ctx, fetch, refs, head)
	file.Commit = head.String()
	return file, err
}

func (r *Repository) readAt(ctx context.Context, fetch *connection, refs *packp.AdvRefs, head plumbing.Hash) (contactsync.File, error) {
	objects, err := r.roots(ctx, fetch, refs, head)
	if err != nil {
		return contactsync.File{}, err
	}
	commit, entry, err := r.find(objects, head)
	if err != nil {
		return contactsync.File{}, err
	}
	return r.load(ctx, fetch, refs, objects, commit, entry)
}

// roots fetches the roots of the commits' trees, and of the files in them those that are not too large. What lies in
// folders stays away, and every file does where they are too much together.
func (r *Repository) roots(ctx context.Context, fetch *connection, refs *packp.AdvRefs, commits ...plumbing.Hash) (storer.EncodedObjectStorer, error) {
	var filter packp.Filter
	if refs.Capabilities.Supports(capability.Filter) {
		filter = packp.FilterCombine(packp.FilterBlobLimit(uint64(r.options.MaxFile)+1, packp.BlobLimitPrefixNone), packp.FilterTreeDepth(2))
	}
	objects, err := fetch.objects(ctx, refs, filter, commits...)
	what := "without its history, it"
	if errors.Is(err, errTooMuch) && leavesOut(refs) {
		what = "the list of the files at its root alone"
		objects, err = fetch.objects(ctx, refs, packp.FilterTreeDepth(1), commits...)
	}
	if errors.Is(err, errTooMuch) {
		return nil, tooMuch("%s takes more than %s", what, size(fetch.limit))
	}
	return objects, err
}

// leavesOut reports whether the server leaves files out, and gives each of them when it is asked for.
func leavesOut(refs *packp.AdvRefs) bool {
	return refs.Capabilities.Supports(capability.Filter) && refs.Capabilities.Supports(capability.AllowReachableSHA1InWant)
}

// load returns the file. Where it is not among the objects, it is asked for by itself: files were left out, or that one
// was because it is large, or because the same content is in a folder, too. A combined filter of git's leaves out what it
// met too deep first (list-objects-filter.c: the limit of size marks it as seen).
func (r *Repository) load(ctx context.Context, fetch *connection, refs *packp.AdvRefs, objects storer.EncodedObjectStorer, commit *object.Commit, entry object.TreeEntry) (contactsync.File, error) {
	content, err := r.content(objects, entry.Hash)
	if errors.Is(err, plumbing.ErrObjectNotFound) && leavesOut(refs) {
		objects, err = fetch.object(ctx, refs, entry.Hash)
		if errors.Is(err, errTooMuch) {
			return contactsync.File{}, r.tooLarge()
		}
		if err == nil {
			content, err = r.content(objects, entry.Hash)
		}
	} else if errors.Is(err, plumbing.ErrObjectNotFound) && refs.Capabilities.Supports(capability.Filter) {
		return contactsync.File{}, r.tooLarge()
	}
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		err = senseless("the file", err)
	}
	if err != nil {
		return contactsync.File{}, err
	}
	return r.file(commit, entry, content)
}

// find returns the commit, and the file's entry in the root of its tree.
func (r *Repository) find(objects storer.EncodedObjectStorer, head plumbing.Hash) (*object.Commit, object.TreeEntry, error) {
	commit, err := object.GetCommit(objects, head)
	if err != nil {
		return nil, object.TreeEntry{}, senseless("the newest commit", err)
	}
	tree, err := object.GetTree(objects, commit.TreeHash)
	if err != nil {
		return nil, object.TreeEntry{}, senseless("the list of files", err)
	}
	at := slices.IndexFunc(tree.Entries, func(e object.TreeEntry) bool { return e.Name == r.options.File })
	if at < 0 {
		return nil, object.TreeEntry{}, r.noFile(tree.Entries)
	}
	entry := tree.Entries[at]
	var what string
	switch entry.Mode {
	case filemode.Regular, filemode.Executable, filemode.Deprecated:
		return commit, entry, nil
	case filemode.Symlink:
		what = "a symbolic link"
	case filemode.Dir:
		what = "a folder"
	case filemode.Submodule:
		what = "a submodule"
	default:
		what = "of a kind that git does not know"
	}
	return nil, object.TreeEntry{}, contactsync.Errorf(contactsync.ClassFileMissing,
		"%s on %s is %s, not an ordinary file", r.options.File, r.place(), what)
}

// lfsPointer is how a file begins that is kept in Git LFS.
// Source: github.com/git-lfs/git-lfs, docs/spec.md.
const lfsPointer = "version https://git-lfs.github.com/spec/"

func (r *Repository) file(commit *object.Commit, entry object.TreeEntry, content []byte) (contactsync.File, error) {
	if bytes.HasPrefix(content, []byte(lfsPointer)) {
		return contactsync.File{}, contactsync.Errorf(contactsync.ClassFileMissing,
			"%s on %s is kept in Git LFS: only a pointer to it is in the repository", r.options.File, r.place())
	}
	return contactsync.File{
		Content: content, Commit: commit.Hash.String(), Blob: entry.Hash.String(),
		Committer:   outbound.Clean(commit.Committer.Name+" <"+commit.Committer.Email+">", 320),
		CommittedAt: commit.Committer.When.UTC(),
	}, nil
}

func (r *Repository) tooLarge() error {
	return contactsync.Errorf(contactsync.ClassFileTooLarge, "%s on %s is larger than %s", r.options.File, r.place(), size(r.options.MaxFile))
}

// tooMuch is for a repository that holds much beside the file. Waiting does not mend it, a commit does.
func tooMuch(format string, args ...any) error {
	err := contactsync.Errorf(contactsync.ClassRepositoryUnreachable, "the repository is too large to be read: "+format, args...)
	err.Who, err.Retry = contactsync.WhoCustomer, contactsync.RetryOnCommit
	err.Remedy = "Remove the other files from the branch and push. The repository needs to hold no more than the contacts file."
	return err
}

// noBranch tells which branches there are, as long as that helps.
func (r *Repository) noBranch(refs *packp.AdvRefs) error {
	var branches []string
	for ref := range refs.References {
		if name, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
			branches = append(branches, outbound.Clean(name, 60))
		}
	}
	slices.Sort(branches)
	there := fmt.Sprintf("there are %d others", len(branches))
	switch {
	case len(branches) == 0:
		there = "there is none at all"
	case len(branches) == 1:
		there = "there is only " + branches[0]
	case len(branches) <= 5:
		there = "there are " + strings.Join(branches, ", ")
	}
	err := contactsync.Errorf(contactsync.ClassFileMissing, "the repository has no branch %s; %s", r.options.Branch, there)
	err.Remedy = fmt.Sprintf("Push %s to the branch %s. If all projects use another branch, an operator sets gitlab.branch.", r.options.File, r.options.Branch)
	return err
}

// noFile points out a file that was probably meant.
func (r *Repository) noFile(entries []object.TreeEntry) error {
	stem := func(name string) string { return strings.ToLower(strings.TrimSuffix(name, path.Ext(name))) }
	for _, entry := range entries {
		ext := strings.ToLower(path.Ext(entry.Name))
		if stem(entry.Name) == stem(r.options.File) && (ext == ".yaml" || ext == ".yml") {
			return contactsync.Errorf(contactsync.ClassFileMissing, "%s has no %s at its root; it has %s, which is another name",
				r.place(), r.options.File, outbound.Clean(entry.Name, 60))
		}
	}
	return contactsync.Errorf(contactsync.ClassFileMissing, "%s has no %s at its root", r.place(), r.options.File)
}

// content returns a blob's content. The error is plumbing.ErrObjectNotFound when it was not received.
func (r *Repository) content(objects storer.EncodedObjectStorer, hash plumbing.Hash) ([]byte, error) {
	blob, err := object.GetBlob(objects, hash)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return nil, err
	}
	if err != nil {
		return nil, senseless("the file", err)
	}
	if blob.Size > r.options.MaxFile {
		return nil, r.tooLarge()
	}
	reader, err := blob.Reader()
	if err != nil {
		return nil, senseless("the file", err)
	}
	defer reader.Close()
	content, err := io.ReadAll(reader)
	if err != nil {
		return nil, senseless("the file", err)
	}
	return content, nil
}

func nameOf(project contactsync.Project) string {
	if project.Path != "" {
		return project.Path
	}
	return fmt.Sprintf("project %d", project.ID)
}

// size writes a limit for people: in whole MiB where it is about that, else in KiB.
func size(bytes int64) string {
	if mib := bytes >> 20; mib > 0 && bytes-mib<<20 < 1<<10 {
		return fmt.Sprintf("%d MiB", mib)
	}
	return fmt.Sprintf("%d KiB", bytes>>10)
}

// Head returns the commit at the head of the branch, "" where the repository has no such branch, in one request.
// Errors: repository_unreachable, as of Read.
func (r *Repository) Head(ctx context.Context, project contactsync.Project) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.options.Timeout, errSlow)
	defer cancel()
	connection, err := r.connect(project)
	if err != nil {
		return "", err
	}
	refs, err := connection.references(ctx)
	if err != nil && !errors.Is(err, errEmpty) {
		return "", fmt.Errorf("reading the branch %s of %s: %w", r.options.Branch, nameOf(project), err)
	}
	if head := r.head(refs); !head.IsZero() {
		return head.String(), nil
	}
	return "", nil
}

// At returns the same Repository for another file at the root.
func (r *Repository) At(file string) *Repository {
	options := r.options
	options.File = file
	return &Repository{options: options}
}
