package gitrepo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/memory"

	"contactsync"
	"contactsync/outbound"
)

// ErrMoved says that the branch is no longer where the caller saw it. Nothing was written.
var ErrMoved = errors.New("the branch has moved")

// Commit is a change to be made: files that are written, while all others stay as they are.
type Commit struct {
	Files       map[string][]byte // by path, with slashes
	Message     string
	AuthorName  string
	AuthorEmail string
	When        time.Time
	Parent      string // the commit that the caller saw at the head of the branch, "" when there was no branch
}

// Commit writes a commit to the branch and returns its hash, if the branch is still at c.Parent. When the files already
// have that content it writes nothing and returns c.Parent.
//
// It takes four requests, two for a new branch, and one more to find out what became of a write whose answer was lost.
// The fence of the context is asked before the write. Errors are of the class repository_unreachable, with ErrMoved in
// the chain when the branch moved; a Commit that can never be written, such as one with a path outside the repository,
// is internal.
func (r *Repository) Commit(ctx context.Context, project contactsync.Project, c Commit) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.options.Timeout, errSlow)
	defer cancel()
	hash, err := r.commit(ctx, project, c)
	if err != nil {
		return "", fmt.Errorf("committing to %s: %w", nameOf(project), err)
	}
	return hash, nil
}

func (r *Repository) commit(ctx context.Context, project contactsync.Project, c Commit) (string, error) {
	if err := c.validate(); err != nil {
		return "", contactsync.Errorf(contactsync.ClassInternal, "%s", err)
	}
	connection, err := r.connect(project)
	if err != nil {
		return "", err
	}
	store := memory.NewStorage()
	var known storer.EncodedObjectStorer = store
	var base plumbing.Hash
	if c.Parent != "" {
		known, base, err = r.trees(ctx, connection, plumbing.NewHash(c.Parent))
		if err != nil {
			return "", err
		}
	}
	written := &writer{known: known, store: store}
	tree, err := written.tree(base, "", c.Files)
	if err != nil {
		return "", err
	}
	if tree == base {
		return c.Parent, nil
	}
	hash, err := written.commit(c, tree)
	if err != nil {
		return "", err
	}
	pack, err := written.pack()
	if err != nil {
		return "", err
	}
	return hash.String(), r.push(ctx, connection, plumbing.NewHash(c.Parent), hash, pack)
}

var fullHash = regexp.MustCompile(`^[0-9a-f]{40}$`)

func (c Commit) validate() error {
	for name := range c.Files {
		if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\\\x00") {
			return fmt.Errorf("the path %q is not one inside a repository", name)
		}
		for part := range strings.SplitSeq(name, "/") {
			if strings.EqualFold(part, ".git") {
				return fmt.Errorf("the path %q is git's own", name)
			}
		}
	}
	switch {
	case len(c.Files) == 0:
		return errors.New("a commit without files")
	case strings.TrimSpace(c.Message) == "" || strings.Contains(c.Message, "\x00"):
		return errors.New("a commit without a message")
	case c.AuthorName == "" || c.AuthorEmail == "" || strings.ContainsAny(c.AuthorName+c.AuthorEmail, "<>\n\x00"):
		return fmt.Errorf("%q <%q> cannot be the author of a commit", c.AuthorName, c.AuthorEmail)
	case c.When.IsZero():
		return errors.New("a commit without a time")
	case c.Parent != "" && !fullHash.MatchString(c.Parent):
		return fmt.Errorf("%q is not the hash of a commit", c.Parent)
	}
	return nil
}

// trees fetches the folders of the commit that the branch must be at, without any file, and returns its root.
func (r *Repository) trees(ctx context.Context, c *connection, parent plumbing.Hash) (storer.EncodedObjectStorer, plumbing.Hash, error) {
	refs, err := c.references(ctx)
	if err != nil && !errors.Is(err, errEmpty) {
		return nil, plumbing.ZeroHash, err
	}
	if err := r.unmoved(refs, parent); err != nil {
		return nil, plumbing.ZeroHash, err
	}
	filter := packp.Filter("")
	if refs.Capabilities.Supports(capability.Filter) {
		filter = packp.FilterBlobNone()
	}
	objects, err := c.objects(ctx, refs, filter, parent)
	if errors.Is(err, errTooMuch) {
		return nil, plumbing.ZeroHash, contactsync.Errorf(contactsync.ClassRepositoryUnreachable,
			"the repository is too large to be written to: the newest commit takes more than %s", size(c.limit))
	}
	if err != nil {
		return nil, plumbing.ZeroHash, err
	}
	commit, err := object.GetCommit(objects, parent)
	if err != nil {
		return nil, plumbing.ZeroHash, senseless("the newest commit", err)
	}
	return objects, commit.TreeHash, nil
}

// unmoved checks that the branch is where it should be; nil refs are those of an empty repository.
func (r *Repository) unmoved(refs *packp.AdvRefs, want plumbing.Hash) error {
	head := r.head(refs)
	if head == want {
		return nil
	}
	at := func(h plumbing.Hash) string {
		if h.IsZero() {
			return "not there"
		}
		return "at " + h.String()[:8]
	}
	return &contactsync.Error{Class: contactsync.ClassRepositoryUnreachable, Err: ErrMoved,
		Detail: fmt.Sprintf("branch %s has moved: it was %s and is %s", r.options.Branch, at(want), at(head))}
}

func (r *Repository) head(refs *packp.AdvRefs) plumbing.Hash {
	if refs == nil {
		return plumbing.ZeroHash
	}
	return refs.References[plumbing.NewBranchReferenceName(r.options.Branch).String()]
}

// push sends the commit. The server compares the branch with parent once more while it holds the lock on it.
func (r *Repository) push(ctx context.Context, c *connection, parent, commit plumbing.Hash, pack []byte) error {
	session, err := c.client.NewReceivePackSession(c.endpoint, c.auth)
	if err != nil {
		return c.explain(ctx, err)
	}
	refs, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return c.unwritten(ctx, err)
	}
	if err := r.unmoved(refs, parent); err != nil {
		return err
	}
	request := packp.NewReferenceUpdateRequestFromCapabilities(refs.Capabilities)
	request.Commands = []*packp.Command{{Name: plumbing.NewBranchReferenceName(r.options.Branch), Old: parent, New: commit}}
	request.Packfile = io.NopCloser(bytes.NewReader(pack))
	words := &remark{}
	if refs.Capabilities.Supports(capability.Sideband64k) {
		// A flag without a value, which cannot be refused.
		_ = request.Capabilities.Set(capability.Sideband64k)
		request.Progress = words
	}
	if err := contactsync.CheckFence(ctx); err != nil {
		return err
	}
	report, err := session.ReceivePack(ctx, request)
	if err == nil && report != nil {
		return nil
	}
	return r.settle(ctx, c, session, parent, commit, report, words, err)
}

// settle finds out what became of a push that the server refused, or did not answer, by looking at the branch.
func (r *Repository) settle(ctx context.Context, c *connection, session transport.ReceivePackSession, parent, commit plumbing.Hash,
	report *packp.ReportStatus, words *remark, cause error) error {
	var failure error
	switch {
	case report != nil:
		said := outbound.Clean(strings.Join([]string{cause.Error(), string(words.text)}, ": "), 300)
		failure = &contactsync.Error{Class: contactsync.ClassRepositoryUnreachable, Detail: c.hide("GitLab refuses the commit: " + said)}
	case cause == nil:
		failure = senseless("the answer to the commit", errors.New("it is empty"))
	default:
		failure = c.unwritten(ctx, cause)
	}
	if status := c.wire.status; status >= 400 && status < 500 || ctx.Err() != nil {
		return failure // it was refused before it could be written, or nobody waits for the answer
	}
	refs, err := session.AdvertisedReferencesContext(ctx)
	if err != nil {
		return failure
	}
	switch r.head(refs) {
	case commit:
		return nil
	case parent:
		return failure
	}
	return r.unmoved(refs, parent)
}

// unwritten explains a failed request of a push.
func (c *connection) unwritten(ctx context.Context, err error) error {
	err = c.explain(ctx, err)
	if errors.Is(err, errTooMuch) {
		return contactsync.Errorf(contactsync.ClassRepositoryUnreachable, "GitLab's answer takes more than %s", size(c.limit))
	}
	return err
}

// remark keeps the beginning of what a server says beside its answer: the reasons of its hooks.
type remark struct{ text []byte }

func (r *remark) Write(data []byte) (int, error) {
	r.text = append(r.text, data[:min(len(data), 1024-len(r.text))]...)
	return len(data), nil
}

// writer makes the objects of a commit.
type writer struct {
	known storer.EncodedObjectStorer // what the repository has
	store *memory.Storage            // what is new, and where known is nil also that
	fresh []plumbing.Hash
}

// tree writes a folder: what the base has, "zero" for nothing, with the files put in.
func (w *writer) tree(base plumbing.Hash, folder string, files map[string][]byte) (plumbing.Hash, error) {
	var entries []object.TreeEntry
	if !base.IsZero() {
		tree, err := object.GetTree(w.known, base)
		if err != nil {
			return plumbing.ZeroHash, senseless("the list of files", err)
		}
		entries = slices.Clone(tree.Entries)
	}
	folders := make(map[string]map[string][]byte)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		first, rest, deeper := strings.Cut(name, "/")
		if deeper {
			if folders[first] == nil {
				folders[first] = make(map[string][]byte)
			}
			folders[first][rest] = files[name]
			continue
		}
		blob, err := w.blob(files[name])
		if err != nil {
			return plumbing.ZeroHash, err
		}
		entries, err = put(entries, folder, object.TreeEntry{Name: first, Mode: filemode.Regular, Hash: blob})
		if err != nil {
			return plumbing.ZeroHash, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(folders)) {
		var inner plumbing.Hash
		if at := entryAt(entries, name); at >= 0 && entries[at].Mode == filemode.Dir {
			inner = entries[at].Hash
		}
		hash, err := w.tree(inner, folder+name+"/", folders[name])
		if err != nil {
			return plumbing.ZeroHash, err
		}
		entries, err = put(entries, folder, object.TreeEntry{Name: name, Mode: filemode.Dir, Hash: hash})
		if err != nil {
			return plumbing.ZeroHash, err
		}
	}
	sort.Sort(object.TreeEntrySorter(entries))
	return w.save(&object.Tree{Entries: entries})
}

func entryAt(entries []object.TreeEntry, name string) int {
	return slices.IndexFunc(entries, func(e object.TreeEntry) bool { return e.Name == name })
}

// put adds or replaces an entry. A folder never gives way to a file, nor a file to a folder; a link gives way to both.
func put(entries []object.TreeEntry, folder string, entry object.TreeEntry) ([]object.TreeEntry, error) {
	at := entryAt(entries, entry.Name)
	if at < 0 {
		return append(entries, entry), nil
	}
	old := entries[at]
	if old.Mode.IsFile() && old.Mode != filemode.Symlink && entry.Mode == filemode.Dir || old.Mode == filemode.Dir && entry.Mode != filemode.Dir {
		return nil, contactsync.Errorf(contactsync.ClassRepositoryUnreachable, "%s%s is a file in one place and a folder in the other", folder, entry.Name)
	}
	if old.Mode == filemode.Executable && entry.Mode == filemode.Regular {
		entry.Mode = filemode.Executable
	}
	entries[at] = entry
	return entries, nil
}

func (w *writer) blob(content []byte) (plumbing.Hash, error) {
	blob := w.store.NewEncodedObject()
	blob.SetType(plumbing.BlobObject)
	into, err := blob.Writer()
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("writing a file: %w", err)
	}
	if _, err := into.Write(content); err != nil {
		return plumbing.ZeroHash, fmt.Errorf("writing a file: %w", err)
	}
	return w.keep(blob)
}

func (w *writer) commit(c Commit, tree plumbing.Hash) (plumbing.Hash, error) {
	author := object.Signature{Name: c.AuthorName, Email: c.AuthorEmail, When: c.When}
	commit := &object.Commit{Author: author, Committer: author, Message: c.Message, TreeHash: tree}
	if c.Parent != "" {
		commit.ParentHashes = []plumbing.Hash{plumbing.NewHash(c.Parent)}
	}
	return w.save(commit)
}

// save writes a tree or a commit.
func (w *writer) save(o interface {
	Encode(plumbing.EncodedObject) error
}) (plumbing.Hash, error) {
	encoded := w.store.NewEncodedObject()
	if err := o.Encode(encoded); err != nil {
		return plumbing.ZeroHash, senseless("what is to be written", err)
	}
	return w.keep(encoded)
}

func (w *writer) keep(o plumbing.EncodedObject) (plumbing.Hash, error) {
	hash, err := w.store.SetEncodedObject(o)
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("keeping an object: %w", err)
	}
	w.fresh = append(w.fresh, hash)
	return hash, nil
}

// pack is what the server is sent.
func (w *writer) pack() ([]byte, error) {
	slices.SortFunc(w.fresh, func(a, b plumbing.Hash) int { return cmp.Compare(a.String(), b.String()) })
	var pack bytes.Buffer
	if _, err := packfile.NewEncoder(&pack, w.store, false).Encode(slices.Compact(w.fresh), 0); err != nil {
		return nil, fmt.Errorf("packing the commit: %w", err)
	}
	return pack.Bytes(), nil
}
