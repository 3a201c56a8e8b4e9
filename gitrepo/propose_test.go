package gitrepo_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"contactsync"
	"contactsync/gitrepo"
	"contactsync/internal/fakes/gitlab"
)

// ada and bob are two contacts files.
const (
	ada = "- name: Ada\n"
	bob = "- name: Bob\n"
)

// lfs is what a repository has of a file in Git LFS.
const lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"

func propose(t testing.TB, options gitrepo.Options, h *house, head, base string) (contactsync.Proposal, error) {
	t.Helper()
	return newRepository(t, options).Propose(context.Background(), h.project, head, base)
}

// branched makes a branch from master, whose first commit is base, and returns its head.
func (h *house) branched(t testing.TB, c gitlab.Commit) string {
	t.Helper()
	c.Branch, c.From = "draft", "master"
	return h.commit(t, c)
}

// wantProposal fails the test unless the proposal is changed and behind as wanted, and its file or its error as wanted.
func wantProposal(t testing.TB, got contactsync.Proposal, err error, changed, behind bool, content string, class contactsync.Class) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if got.Changed != changed || got.Behind != behind {
		t.Errorf("changed %t, behind %t; want %t, %t", got.Changed, got.Behind, changed, behind)
	}
	if string(got.File.Content) != content {
		t.Errorf("the file is %.40q, want %.40q", got.File.Content, content)
	}
	if contactsync.ClassOf(got.Err) != class {
		t.Errorf("the file's error is %v, want the class %q", got.Err, class)
	}
}

// TestPropose guards what a merge request makes of the file, with the words for it, in two requests.
func TestPropose(t *testing.T) {
	ordinary := map[string]string{"contacts.yaml": ada, "README.md": "read me"}
	without := map[string]string{"README.md": "read me"}
	tests := []struct {
		name    string
		base    map[string]string
		head    gitlab.Commit
		target  *gitlab.Commit // what master became since
		changed bool
		behind  bool
		content string
		class   contactsync.Class
		words   string
	}{
		{name: "changed", base: ordinary, head: gitlab.Commit{Files: map[string]string{"contacts.yaml": bob}}, changed: true, content: bob},
		{name: "unchanged", base: ordinary, head: gitlab.Commit{Files: map[string]string{"README.md": "other"}}},
		{name: "emptied", base: ordinary, head: gitlab.Commit{Files: map[string]string{"contacts.yaml": ""}}, changed: true},
		{name: "new", base: without, head: gitlab.Commit{Files: map[string]string{"contacts.yaml": bob}}, changed: true, content: bob},
		{name: "deleted", base: ordinary, head: gitlab.Commit{Deleted: []string{"contacts.yaml"}}, changed: true,
			class: contactsync.ClassFileMissing, words: "has no contacts.yaml at its root"},
		{name: "renamed", base: ordinary, head: gitlab.Commit{Files: map[string]string{"contacts.yml": ada}, Deleted: []string{"contacts.yaml"}}, changed: true,
			class: contactsync.ClassFileMissing, words: "it has contacts.yml"},
		{name: "in neither", base: without, head: gitlab.Commit{Files: map[string]string{"README.md": "other"}},
			class: contactsync.ClassFileMissing, words: "has no contacts.yaml at its root"},
		{name: "symbolic link", base: ordinary, head: gitlab.Commit{Deleted: []string{"contacts.yaml"}, Links: map[string]string{"contacts.yaml": "README.md"}}, changed: true,
			class: contactsync.ClassFileMissing, words: "is a symbolic link"},
		{name: "folder", base: ordinary, head: gitlab.Commit{Deleted: []string{"contacts.yaml"}, Files: map[string]string{"contacts.yaml/a": ada}}, changed: true,
			class: contactsync.ClassFileMissing, words: "is a folder"},
		{name: "folder that becomes a file", base: map[string]string{"contacts.yaml/a": ada},
			head: gitlab.Commit{Deleted: []string{"contacts.yaml"}, Files: map[string]string{"contacts.yaml": bob}}, changed: true, content: bob},
		{name: "moved out of a folder", base: map[string]string{"archive/contacts.yaml": ada},
			head: gitlab.Commit{Deleted: []string{"archive"}, Files: map[string]string{"contacts.yaml": ada}}, changed: true, content: ada},
		{name: "Git LFS", base: ordinary, head: gitlab.Commit{Files: map[string]string{"contacts.yaml": lfs}}, changed: true,
			class: contactsync.ClassFileMissing, words: "is kept in Git LFS"},
		{name: "Git LFS already", base: map[string]string{"contacts.yaml": lfs}, head: gitlab.Commit{Files: map[string]string{"README.md": "other"}}},
		{name: "target changed since", base: ordinary, head: gitlab.Commit{Files: map[string]string{"contacts.yaml": bob}},
			target: &gitlab.Commit{Files: map[string]string{"contacts.yaml": "other"}}, changed: true, behind: true, content: bob},
		{name: "target changed alike", base: ordinary, head: gitlab.Commit{Files: map[string]string{"contacts.yaml": bob}},
			target: &gitlab.Commit{Files: map[string]string{"contacts.yaml": bob}}, changed: true, content: bob},
		{name: "target changed beside it", base: ordinary, head: gitlab.Commit{Files: map[string]string{"contacts.yaml": bob}},
			target: &gitlab.Commit{Files: map[string]string{"README.md": "other"}}, changed: true, content: bob},
		{name: "target changed, request not", base: ordinary, head: gitlab.Commit{Files: map[string]string{"README.md": "other"}},
			target: &gitlab.Commit{Files: map[string]string{"contacts.yaml": "other"}}},
		{name: "target deleted it", base: ordinary, head: gitlab.Commit{Files: map[string]string{"contacts.yaml": bob}},
			target: &gitlab.Commit{Deleted: []string{"contacts.yaml"}}, changed: true, behind: true, content: bob},
		{name: "both deleted it", base: ordinary, head: gitlab.Commit{Deleted: []string{"contacts.yaml"}},
			target: &gitlab.Commit{Deleted: []string{"contacts.yaml"}}, changed: true, class: contactsync.ClassFileMissing},
		{name: "deleted here, changed there", base: ordinary, head: gitlab.Commit{Deleted: []string{"contacts.yaml"}},
			target: &gitlab.Commit{Files: map[string]string{"contacts.yaml": "other"}}, changed: true, behind: true, class: contactsync.ClassFileMissing},
		{name: "target made it, too", base: without, head: gitlab.Commit{Files: map[string]string{"contacts.yaml": bob}},
			target: &gitlab.Commit{Files: map[string]string{"contacts.yaml": ada}}, changed: true, behind: true, content: bob},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			base := h.commit(t, gitlab.Commit{Files: test.base})
			when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			test.head.When, test.head.Author = when, gitlab.User{Name: "Ada Lovelace", Email: "ada@example.com"}
			head := h.branched(t, test.head)
			if test.target != nil {
				h.commit(t, *test.target)
			}
			h.ForgetRequests()
			var tally contactsync.Tally
			got, err := newRepository(t, gitrepo.Options{}).Propose(contactsync.WithTally(context.Background(), &tally), h.project, head, base)
			wantProposal(t, got, err, test.changed, test.behind, test.content, test.class)
			want := 2
			if test.name == "moved out of a folder" { // see TestReadBesideACopy
				want = 3
			}
			if _, requests := h.received(); requests != want || tally.Requests().Git != requests {
				t.Errorf("%d requests arrived and %+v were counted, want %d of git", requests, tally.Requests(), want)
			}
			if test.class != "" {
				wantClass(t, got.Err, test.class, test.words, "commit "+head[:8])
				if strings.Contains(got.Err.Error(), "branch") {
					t.Errorf("the error %q speaks of a branch", got.Err)
				}
			} else if test.changed && (got.File.Commit != head || got.File.Committer != "Ada Lovelace <ada@example.com>" || !got.File.CommittedAt.Equal(when)) {
				t.Errorf("the file is %+v", got.File)
			}
		})
	}
}

// TestProposeTooLarge guards that a file over the limit is named as such at the commit, by whichever way it is noticed,
// and that what the file was before does not matter.
func TestProposeTooLarge(t *testing.T) {
	tight := gitrepo.Options{MaxFile: 100 << 10, MaxBytes: 1600 << 10}
	crowd := map[string]string{"contacts.yaml": ada}
	for i := range 20 {
		crowd[fmt.Sprint(i)] = noise(uint64(i), 90<<10)
	}
	small := map[string]string{"contacts.yaml": ada}
	for _, test := range []struct {
		name    string
		base    map[string]string
		own     string
		filters bool
		class   contactsync.Class
	}{
		{"a little", small, noise(99, 100<<10+1), true, contactsync.ClassFileTooLarge},
		{"50 times", small, noise(99, 5<<20), true, contactsync.ClassFileTooLarge},
		{"among others that are too much", crowd, noise(99, 200<<10), true, contactsync.ClassFileTooLarge},
		{"50 times, among others that are too much", crowd, noise(99, 5<<20), true, contactsync.ClassFileTooLarge},
		{"a server without filters", small, noise(99, 200<<10), false, contactsync.ClassFileTooLarge},
		{"before", map[string]string{"contacts.yaml": noise(99, 5<<20)}, bob, true, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			base := h.commit(t, gitlab.Commit{Files: test.base})
			head := h.branched(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": test.own}})
			h.configure(t, "uploadpack.allowFilter", fmt.Sprint(test.filters))
			got, err := propose(t, tight, h, head, base)
			if test.class == "" {
				wantProposal(t, got, err, true, false, test.own, "")
				return
			}
			wantProposal(t, got, err, true, false, "", test.class)
			wantClass(t, got.Err, test.class, "contacts.yaml on commit "+head[:8], "100 KiB")
		})
	}
}

// TestProposeBesideBigFiles guards that what lies beside the file costs nothing, in any of the three commits.
func TestProposeBesideBigFiles(t *testing.T) {
	crowd := map[string]string{"contacts.yaml": ada}
	for i := range 24 {
		crowd[fmt.Sprint(i)] = noise(uint64(i), 900<<10)
	}
	deep := map[string]string{"contacts.yaml": ada}
	for i := range 2000 {
		deep[fmt.Sprintf("folder-%d/%d", i%10, i)] = noise(uint64(i), 1000)
	}
	for _, test := range []struct {
		name     string
		base     map[string]string
		head     map[string]string
		requests int
		bytes    int64
	}{
		{"a blob of 20 MB in each", map[string]string{"contacts.yaml": ada, "video": noise(1, 20<<20)}, map[string]string{"video": noise(2, 20<<20)}, 2, 10 << 10},
		{"2,000 files in folders", deep, nil, 2, 150 << 10},
		{"24 files of 900 KB", crowd, nil, 4, 16 << 20}, // as for Read
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			base := h.commit(t, gitlab.Commit{Files: test.base})
			files := map[string]string{"contacts.yaml": bob}
			for name, content := range test.head {
				files[name] = content
			}
			head := h.branched(t, gitlab.Commit{Files: files})
			h.commit(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": "other"}})
			h.ForgetRequests()
			got, err := propose(t, gitrepo.Options{}, h, head, base)
			wantProposal(t, got, err, true, true, bob, "")
			bytes, requests := h.received()
			t.Logf("%d bytes in %d requests", bytes, requests)
			if requests != test.requests || bytes > test.bytes {
				t.Errorf("it cost %d bytes in %d requests, want at most %d in %d", bytes, requests, test.bytes, test.requests)
			}
		})
	}
}

// TestProposeTooMuch guards that a repository which cannot be read within the limits is a reason of its own.
func TestProposeTooMuch(t *testing.T) {
	h := newHouse(t)
	base := h.commit(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": ada, "video": noise(1, 6<<20)}})
	head := h.branched(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": bob}})
	h.configure(t, "uploadpack.allowFilter", "false")
	_, err := propose(t, gitrepo.Options{}, h, head, base)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "too large to be read", "4 MiB", "merge request of support/organization-42")

	h = newHouse(t)
	files := map[string]string{"contacts.yaml": ada}
	for i := range 3000 {
		files[fmt.Sprintf("%06d", i)] = fmt.Sprint(i)
	}
	base = h.commit(t, gitlab.Commit{Files: files})
	head = h.branched(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": bob}})
	_, err = propose(t, gitrepo.Options{MaxBytes: 160 << 10}, h, head, base)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "list of the files")
}

// TestProposeWithoutFilters guards the way round a server that cannot leave files out.
func TestProposeWithoutFilters(t *testing.T) {
	h := newHouse(t)
	h.configure(t, "uploadpack.allowFilter", "false")
	base := h.commit(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": ada, "other": noise(1, 1<<20)}})
	head := h.branched(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": bob}})
	h.commit(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": "other"}})
	h.ForgetRequests()
	got, err := propose(t, gitrepo.Options{}, h, head, base)
	wantProposal(t, got, err, true, true, bob, "")
	if _, requests := h.received(); requests != 2 {
		t.Errorf("it took %d requests", requests)
	}
}

// TestProposeBranchGone guards that a request whose branches are gone is still judged by its commits: its own, which
// GitLab keeps under refs/merge-requests, and the one that is read, which then cannot have moved on.
func TestProposeBranchGone(t *testing.T) {
	h := newHouse(t)
	base := h.commit(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": ada}})
	head := h.branched(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": bob}})
	if _, err := h.OpenMergeRequest(h.id, gitlab.MergeRequest{SourceBranch: "draft"}); err != nil {
		t.Fatal(err)
	}
	// The commit of the target branch is then only in the request's history.
	if err := h.SetRefs(h.id, map[string]string{"refs/heads/draft": "", "refs/heads/master": ""}); err != nil {
		t.Fatal(err)
	}
	h.ForgetRequests()
	got, err := propose(t, gitrepo.Options{}, h, head, base)
	wantProposal(t, got, err, true, false, bob, "")
	if _, requests := h.received(); requests != 2 {
		t.Errorf("it took %d requests", requests)
	}
}

// TestProposeSameCommit guards a request without a commit of its own.
func TestProposeSameCommit(t *testing.T) {
	h := newHouse(t)
	base := h.commit(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": ada}})
	got, err := propose(t, gitrepo.Options{}, h, base, base)
	wantProposal(t, got, err, false, false, "", "")
}

// TestProposeUnreachable guards that what keeps the file from being judged is never taken for a judgement, and says which
// commit is gone.
func TestProposeUnreachable(t *testing.T) {
	h := newHouse(t)
	_, err := propose(t, gitrepo.Options{}, h, strings.Repeat("12345678", 5), strings.Repeat("abcdef12", 5))
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "the repository is empty")

	base := h.commit(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": ada}})
	head := h.branched(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": bob}})
	blob := "9fa19c0603aa18b1ca108b707848faad20492239" // of ada
	for _, test := range []struct{ head, base, words string }{
		{strings.Repeat("12345678", 5), base, "does not have commit 12345678 any more"},
		{head, strings.Repeat("abcdef12", 5), "does not have commit abcdef12 any more"},
		{"", base, "they are none"},
		{head, "", "they are none"},
		{"master", base, "they are none"},
		{head[:8], base, "they are none"},
		{head + head[:24], base, "they are none"},
		{strings.Repeat("g", 40), base, "they are none"},
		{head, base[:39] + "\n", "they are none"},
		{strings.Repeat("0", 40), base, "does not have commit 00000000 any more"},
		{blob, base, "cannot be understood"},
	} {
		got, err := propose(t, gitrepo.Options{}, h, test.head, test.base)
		wantClass(t, err, contactsync.ClassRepositoryUnreachable, test.words, "a merge request of support/organization-42")
		if got.Changed || got.Behind || got.Err != nil || got.File.Commit != "" {
			t.Errorf("%q, %q: proposed %+v beside the error", test.head, test.base, got)
		}
	}
	h.Inject(gitlab.Fault{Method: "POST", Status: 502})
	_, err = propose(t, gitrepo.Options{}, h, head, base)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "status 502")
}

// TestProposeOrder guards that head, base and the branch are never confused: go-git sorts the hashes that it asks for in
// place. Every three of five commits are tried, so that their hashes come in every order, whatever they are.
func TestProposeOrder(t *testing.T) {
	h := newHouse(t)
	repository := newRepository(t, gitrepo.Options{})
	type version struct{ commit, content string }
	var versions []version
	for i, content := range []string{ada, bob, ada, "- name: Eve\n", ""} { // "" is no file
		c := gitlab.Commit{Branch: fmt.Sprint("b", i), Files: map[string]string{"README.md": fmt.Sprint(i)}}
		if content != "" {
			c.Files["contacts.yaml"] = content
		}
		versions = append(versions, version{h.commit(t, c), content})
	}
	for _, tip := range versions {
		if err := h.SetRefs(h.id, map[string]string{"refs/heads/master": tip.commit}); err != nil {
			t.Fatal(err)
		}
		for _, head := range versions {
			for _, base := range versions {
				got, err := repository.Propose(context.Background(), h.project, head.commit, base.commit)
				if err != nil {
					t.Fatal(err)
				}
				changed := head.content != base.content
				behind := changed && tip.content != base.content && tip.content != head.content
				missing := contactsync.ClassOf(got.Err) == contactsync.ClassFileMissing
				if got.Changed != changed || got.Behind != behind || missing != (head.content == "") {
					t.Errorf("%v on %v, with %v at the branch: proposed %+v", head, base, tip, got)
				}
				if file := got.File; changed && !missing && (string(file.Content) != head.content || file.Commit != head.commit) {
					t.Errorf("%v on %v, with %v at the branch: the file is %+v", head, base, tip, file)
				}
			}
		}
	}
}
