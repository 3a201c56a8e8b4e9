package gitrepo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"contactsync"
	"contactsync/gitrepo"
	"contactsync/internal/fakes/gitlab"
)

const token = "glpat-swordfish"

// house is a stand-in GitLab, whose git is the machine's own, with one project.
type house struct {
	*gitlab.Server
	dir     string // of the repositories
	id      int64
	project contactsync.Project
}

func newHouse(t testing.TB) *house {
	t.Helper()
	dir := t.TempDir()
	server, err := gitlab.New(gitlab.Options{Dir: dir, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server)
	t.Cleanup(func() { web.Close(); server.Close() })
	server.SetURL(web.URL)
	h := &house{Server: server, dir: dir}
	h.id, err = server.CreateProject(gitlab.Project{Path: "support/organization-42"})
	if err != nil {
		t.Fatal(err)
	}
	clone, err := server.CloneURL(h.id)
	if err != nil {
		t.Fatal(err)
	}
	h.project = contactsync.Project{ID: h.id, Path: "support/organization-42", CloneURL: clone}
	return h
}

func (h *house) commit(t testing.TB, c gitlab.Commit) string {
	t.Helper()
	hash, err := h.Commit(h.id, c)
	if err != nil {
		t.Fatal(err)
	}
	return hash
}

func (h *house) configure(t testing.TB, key, value string) {
	t.Helper()
	if err := h.Configure(h.id, key, value); err != nil {
		t.Fatal(err)
	}
}

// received is what the server sent to git since the last call, in bytes of answers' bodies, and in how many requests.
func (h *house) received() (bytes int64, requests int) {
	for _, r := range h.Requests() {
		bytes += r.Sent
	}
	requests = len(h.Requests())
	h.ForgetRequests()
	return bytes, requests
}

func newRepository(t testing.TB, options gitrepo.Options) *gitrepo.Repository {
	t.Helper()
	if options.Token == "" {
		options.Token = token
	}
	repository, err := gitrepo.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return repository
}

func read(t testing.TB, options gitrepo.Options, project contactsync.Project) (contactsync.File, error) {
	t.Helper()
	return newRepository(t, options).Read(context.Background(), project)
}

// noise is text that does not compress.
func noise(seed uint64, size int) string {
	source := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	data := make([]byte, size)
	if _, err := source.Read(data); err != nil {
		panic(err)
	}
	return string(data)
}

// wantClass fails the test unless the error has the class and its text has all the words.
func wantClass(t testing.TB, err error, class contactsync.Class, words ...string) {
	t.Helper()
	if contactsync.ClassOf(err) != class {
		t.Fatalf("the error is %v, of class %q, want %q", err, contactsync.ClassOf(err), class)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error %q does not say %q", err, word)
		}
	}
	if strings.Contains(err.Error(), token) || strings.Contains(err.Error(), "swordfish") {
		t.Errorf("the error %q tells the token", err)
	}
}

// TestRead guards the everyday case: the newest content, the commit and the blob it came from, in two requests.
func TestRead(t *testing.T) {
	h := newHouse(t)
	h.commit(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": "old", "README.md": "read me"}})
	when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	commit := h.commit(t, gitlab.Commit{
		Files: map[string]string{"contacts.yaml": "- name: Ada\n", "docs/deep/page.md": "page"},
		When:  when, Author: gitlab.User{Name: "Ada Lovelace", Email: "ada@example.com"},
	})
	h.ForgetRequests()
	var tally contactsync.Tally
	file, err := newRepository(t, gitrepo.Options{}).Read(contactsync.WithTally(context.Background(), &tally), h.project)
	if err != nil {
		t.Fatal(err)
	}
	want := contactsync.File{
		Content: []byte("- name: Ada\n"), Commit: commit, Blob: "9fa19c0603aa18b1ca108b707848faad20492239",
		Committer: "Ada Lovelace <ada@example.com>", CommittedAt: when.UTC(),
	}
	if fmt.Sprintf("%+v", file) != fmt.Sprintf("%+v", want) {
		t.Errorf("read %+v, want %+v", file, want)
	}
	if !regexp.MustCompile(`^[0-9a-f]{40}$`).MatchString(file.Blob) {
		t.Errorf("the blob is %q", file.Blob)
	}
	if _, requests := h.received(); requests != 2 || tally.Requests().Git != 2 || tally.Requests().GitLab != 0 {
		t.Errorf("%d requests arrived and %+v were counted, want 2 of git", requests, tally.Requests())
	}

	// The same content has the same blob, whatever the commit.
	h.commit(t, gitlab.Commit{Files: map[string]string{"README.md": "changed"}})
	again, err := read(t, gitrepo.Options{}, h.project)
	if err != nil {
		t.Fatal(err)
	}
	if again.Blob != file.Blob || again.Commit == file.Commit {
		t.Errorf("after a commit beside it, the file is %+v", again)
	}
}

// TestReadContent guards that every byte comes through as it was pushed.
func TestReadContent(t *testing.T) {
	h := newHouse(t)
	for name, content := range map[string]string{
		"empty": "", "not UTF-8": "name: \xff\xfe\x00", "line ends": "a\r\nb\rc", "just at the limit": noise(1, 1<<20),
		"one byte over what a file may have": noise(2, 1<<20+1), "compresses well": strings.Repeat("a", 1<<20),
	} {
		h.commit(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": content}})
		file, err := read(t, gitrepo.Options{}, h.project)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if string(file.Content) != content {
			t.Errorf("%s: %d bytes were read, not the %d that were pushed", name, len(file.Content), len(content))
		}
	}
}

// TestReadBranches guards that the right branch is read, also one with slashes, after a forced push, and among 5,000.
func TestReadBranches(t *testing.T) {
	h := newHouse(t)
	first := h.commit(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": "first"}})
	h.commit(t, gitlab.Commit{Branch: "team/a/b", Files: map[string]string{"contacts.yaml": "slashes"}})
	file, err := read(t, gitrepo.Options{Branch: "team/a/b"}, h.project)
	if err != nil || string(file.Content) != "slashes" {
		t.Errorf("the branch with slashes has %q, %v", file.Content, err)
	}

	h.commit(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": "forced"}, Orphan: true})
	file, err = read(t, gitrepo.Options{}, h.project)
	if err != nil || string(file.Content) != "forced" {
		t.Errorf("after the forced push there is %q, %v", file.Content, err)
	}

	refs := make(map[string]string)
	for i := range 5000 {
		refs[fmt.Sprintf("refs/heads/branch-%d", i)] = first
	}
	if err := h.SetRefs(h.id, refs); err != nil {
		t.Fatal(err)
	}
	h.ForgetRequests()
	file, err = read(t, gitrepo.Options{}, h.project)
	if err != nil || string(file.Content) != "forced" {
		t.Errorf("among 5,000 branches there is %q, %v", file.Content, err)
	}
	bytes, requests := h.received()
	t.Logf("5,000 branches: %d bytes in %d requests", bytes, requests)
	if requests != 2 || bytes > 400<<10 {
		t.Errorf("5,000 branches cost %d bytes in %d requests", bytes, requests)
	}
	_, err = read(t, gitrepo.Options{MaxBytes: 256 << 10}, h.project)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "too many branches and tags", "64 KiB")
}

// TestReadBesideBigFiles guards the promise that what lies beside the file costs nothing: on the wire, and in requests.
func TestReadBesideBigFiles(t *testing.T) {
	small := func(from, n, size int) map[string]string {
		files := map[string]string{"contacts.yaml": "- name: Ada\n"}
		for i := range n {
			files[fmt.Sprintf("file-%d", i)] = noise(uint64(from+i), size)
		}
		return files
	}
	deep := map[string]string{"contacts.yaml": "- name: Ada\n"}
	for i := range 2000 {
		deep[fmt.Sprintf("folder-%d/%d", i%10, i)] = noise(uint64(i), 1000)
	}
	tests := []struct {
		name     string
		files    map[string]string
		requests int
		bytes    int64
		memory   uint64 // allocated, by the stand-in too
	}{
		{"a blob of 50 MB", map[string]string{"contacts.yaml": "- name: Ada\n", "video": noise(1, 50<<20)}, 2, 10 << 10, 2 << 20},
		{"2,000 files in folders", deep, 2, 150 << 10, 4 << 20},
		// 4 MiB, and what was under way when it was cut: on a busy machine all that the system's buffers hold.
		{"24 files of 900 KB", small(0, 24, 900<<10), 4, 16 << 20, 64 << 20},
		{"1 MB of nothing, 100 times", func() map[string]string {
			files := map[string]string{"contacts.yaml": "- name: Ada\n"}
			for i := range 100 {
				files[fmt.Sprint(i)] = fmt.Sprint(i) + strings.Repeat("\x00", 1000<<10)
			}
			return files
		}(), 4, 400 << 10, 40 << 20},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			h.commit(t, gitlab.Commit{Files: test.files})
			h.ForgetRequests()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			file, err := read(t, gitrepo.Options{}, h.project)
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Fatal(err)
			}
			if string(file.Content) != "- name: Ada\n" {
				t.Errorf("read %q", file.Content)
			}
			if allocated := after.TotalAlloc - before.TotalAlloc; allocated > test.memory {
				t.Errorf("%d bytes were allocated, want at most %d", allocated, test.memory)
			}
			bytes, requests := h.received()
			t.Logf("%d bytes in %d requests, %d bytes allocated", bytes, requests, after.TotalAlloc-before.TotalAlloc)
			if requests != test.requests || bytes > test.bytes {
				t.Errorf("it cost %d bytes in %d requests, want at most %d in %d", bytes, requests, test.bytes, test.requests)
			}
		})
	}
}

// TestReadTooLarge guards that a file over the limit is named as such, by whichever way it is noticed.
func TestReadTooLarge(t *testing.T) {
	// A tenth of the usual limits makes the same happen in a tenth of the time.
	tight := gitrepo.Options{MaxFile: 100 << 10, MaxBytes: 1600 << 10}
	crowd := func(own string) map[string]string {
		files := map[string]string{"contacts.yaml": own}
		for i := range 20 {
			files[fmt.Sprint(i)] = noise(uint64(i), 90<<10)
		}
		return files
	}
	tests := []struct {
		name    string
		options gitrepo.Options
		files   map[string]string
		filters bool
	}{
		{"one byte too much", gitrepo.Options{}, map[string]string{"contacts.yaml": noise(1, 1<<20+2)}, true},
		{"50 times too much", tight, map[string]string{"contacts.yaml": noise(1, 5<<20)}, true},
		{"among others that are too much", tight, crowd(noise(99, 200<<10)), true},
		{"50 times too much, among others that are too much", tight, crowd(noise(99, 5<<20)), true},
		{"compresses well, among others that are too much", tight, crowd(strings.Repeat("a", 5<<20)), true},
		{"a server without filters", tight, map[string]string{"contacts.yaml": noise(1, 200<<10)}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			h.commit(t, gitlab.Commit{Files: test.files})
			h.configure(t, "uploadpack.allowFilter", fmt.Sprint(test.filters))
			h.ForgetRequests()
			_, err := read(t, test.options, h.project)
			limit := "100 KiB"
			if test.options.MaxFile == 0 {
				limit = "1 MiB"
			}
			wantClass(t, err, contactsync.ClassFileTooLarge, "contacts.yaml", limit)
		})
	}
}

// TestReadWithoutFilters guards the way round a server that cannot leave files out: it works, and stays bounded.
func TestReadWithoutFilters(t *testing.T) {
	h := newHouse(t)
	h.configure(t, "uploadpack.allowFilter", "false")
	h.commit(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": "one"}})
	h.commit(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": "two", "other": noise(1, 1<<20)}})
	h.ForgetRequests()
	file, err := read(t, gitrepo.Options{}, h.project)
	if err != nil || string(file.Content) != "two" {
		t.Errorf("read %q, %v", file.Content, err)
	}
	if _, requests := h.received(); requests != 2 {
		t.Errorf("it took %d requests", requests)
	}

	h.commit(t, gitlab.Commit{Files: map[string]string{"video": noise(2, 6<<20)}})
	_, err = read(t, gitrepo.Options{}, h.project)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "too large", "4 MiB")

	// A small pack that unpacks to 30 MB.
	h.commit(t, gitlab.Commit{Files: map[string]string{"video": strings.Repeat("\x00", 30<<20)}})
	h.ForgetRequests()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = read(t, gitrepo.Options{}, h.project)
	runtime.ReadMemStats(&after)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "too large")
	if bytes, _ := h.received(); bytes > 2<<20 {
		t.Errorf("the pack was %d bytes, which is not what this test is about", bytes)
	}
	if allocated := (after.TotalAlloc - before.TotalAlloc) >> 20; allocated > 20 {
		t.Errorf("unpacking was given up after %d MB had been allocated", allocated)
	}
}

// TestReadBesideACopy guards a file of which a folder has a copy: git's combined filters leave it out as if it were large.
func TestReadBesideACopy(t *testing.T) {
	h := newHouse(t)
	h.commit(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": "- name: Ada\n", "archive/contacts.yaml": "- name: Ada\n", "video": noise(1, 5<<20)}})
	h.ForgetRequests()
	file, err := read(t, gitrepo.Options{}, h.project)
	if err != nil || string(file.Content) != "- name: Ada\n" {
		t.Errorf("read %q, %v", file.Content, err)
	}
	if bytes, requests := h.received(); requests != 3 || bytes > 10<<10 {
		t.Errorf("it cost %d bytes in %d requests", bytes, requests)
	}

	// Where single files cannot be asked for, nobody knows more than that it was left out.
	h.configure(t, "uploadpack.allowAnySHA1InWant", "false")
	_, err = read(t, gitrepo.Options{}, h.project)
	wantClass(t, err, contactsync.ClassFileTooLarge)
}

// TestReadHugeRoot guards that a list of files which is itself too large ends the read, and says so.
func TestReadHugeRoot(t *testing.T) {
	h := newHouse(t)
	files := map[string]string{"contacts.yaml": "- name: Ada\n"}
	for i := range 3000 {
		files[fmt.Sprintf("%06d", i)] = fmt.Sprint(i)
	}
	h.commit(t, gitlab.Commit{Files: files})
	_, err := read(t, gitrepo.Options{MaxBytes: 160 << 10}, h.project)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "list of the files")
}

// TestReadMissing guards that what a customer can mend is a missing file, each with its own words.
func TestReadMissing(t *testing.T) {
	ordinary := map[string]string{"README.md": "read me"}
	tests := []struct {
		name    string
		options gitrepo.Options
		commits []gitlab.Commit
		words   string
	}{
		{"empty repository", gitrepo.Options{}, nil, "the repository is empty"},
		{"one other branch", gitrepo.Options{Branch: "main"}, []gitlab.Commit{{Files: ordinary}}, "no branch main; there is only master"},
		{"a few other branches", gitrepo.Options{Branch: "main"}, []gitlab.Commit{{Files: ordinary}, {Branch: "a/b", Files: ordinary}}, "there are a/b, master"},
		{"no file", gitrepo.Options{}, []gitlab.Commit{{Files: ordinary}}, "branch master has no contacts.yaml at its root"},
		{"another spelling", gitrepo.Options{}, []gitlab.Commit{{Files: map[string]string{"Contacts.yml": "a"}}}, "it has Contacts.yml"},
		{"in a folder only", gitrepo.Options{}, []gitlab.Commit{{Files: map[string]string{"a/contacts.yaml": "a"}}}, "no contacts.yaml at its root"},
		{"folder", gitrepo.Options{}, []gitlab.Commit{{Files: map[string]string{"contacts.yaml/a": "a"}}}, "is a folder"},
		{"symbolic link", gitrepo.Options{}, []gitlab.Commit{{Files: ordinary, Links: map[string]string{"contacts.yaml": "README.md"}}}, "is a symbolic link"},
		{"submodule", gitrepo.Options{}, []gitlab.Commit{{Files: ordinary, Submodules: map[string]string{"contacts.yaml": strings.Repeat("1", 40)}}}, "is a submodule"},
		{"Git LFS", gitrepo.Options{}, []gitlab.Commit{{Files: map[string]string{"contacts.yaml": "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"}}}, "is kept in Git LFS"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			head := ""
			for _, c := range test.commits {
				head = h.commit(t, c)
			}
			if test.options.Branch != "" {
				head = "" // which is not there
			}
			file, err := read(t, test.options, h.project)
			wantClass(t, err, contactsync.ClassFileMissing, test.words, "support/organization-42")
			if want := (contactsync.File{Commit: head}); !reflect.DeepEqual(file, want) {
				t.Errorf("with the error came %+v, want %+v", file, want)
			}
		})
	}

	h := newHouse(t)
	commit := h.commit(t, gitlab.Commit{Files: ordinary})
	refs := make(map[string]string)
	for i := range 40 {
		refs[fmt.Sprintf("refs/heads/b%d", i)] = commit
	}
	if err := h.SetRefs(h.id, refs); err != nil {
		t.Fatal(err)
	}
	_, err := read(t, gitrepo.Options{Branch: "main"}, h.project)
	wantClass(t, err, contactsync.ClassFileMissing, "there are 41 others")
}

// TestReadUnreachable guards that everything an operator must mend is told apart, without any credentials.
func TestReadUnreachable(t *testing.T) {
	uploadPack := regexp.MustCompile(`git-upload-pack$`)
	tests := []struct {
		name    string
		options gitrepo.Options
		fault   gitlab.Fault
		prepare func(*house) error
		words   []string
	}{
		{name: "wrong token", options: gitrepo.Options{Token: "swordfish-wrong"}, words: []string{"refuses the token", "HTTP Basic: Access denied"}},
		{name: "not allowed", fault: gitlab.Fault{Status: 403, Body: "Your IP is banned\r\nfor " + token}, words: []string{"does not let the token", "Your IP is banned", "[hidden]"}},
		{name: "missing repository", prepare: func(h *house) error { return h.PurgeProject(h.id) }, words: []string{"no repository of it", "could not be found"}},
		{name: "broken server", fault: gitlab.Fault{Status: 502, Body: "<html>oops</html>"}, words: []string{"status 502"}},
		{name: "broken server, second request", fault: gitlab.Fault{Path: uploadPack, Status: 500, Body: "oops"}, words: []string{"status 500: oops"}},
		{name: "cut connection", fault: gitlab.Fault{Reset: true}, words: []string{"the connection broke"}},
		{name: "truncated list", fault: gitlab.Fault{Truncate: 20}, words: []string{"the connection broke"}},
		{name: "truncated pack", fault: gitlab.Fault{Path: uploadPack, Truncate: 60}, words: []string{"the connection broke"}},
		{name: "a web page", fault: gitlab.Fault{Status: 200, Body: "<html>Sign in</html>"}, words: []string{"cannot be understood"}},
		{name: "nothing", fault: gitlab.Fault{Status: 200}, words: []string{"cannot be understood"}},
		{name: "nothing for a pack", fault: gitlab.Fault{Path: uploadPack, Status: 200}, words: []string{"cannot be understood"}},
		{name: "a refusal for a pack", fault: gitlab.Fault{Path: uploadPack, Status: 200, Body: "0027ERR come back later for " + token}, words: []string{"git on GitLab refuses: come back later for [hidden]"}},
		{name: "the head is gone", fault: gitlab.Fault{Path: uploadPack, Status: 200, Body: "0044ERR upload-pack: not our ref 1234567890123456789012345678901234567890"}, words: []string{"does not have commit 12345678 any more"}},
		{name: "a web page for a pack", fault: gitlab.Fault{Path: uploadPack, Status: 200, Body: "<html>Sign in</html>"}, words: []string{"cannot be understood"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			h.commit(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": "- name: Ada\n"}})
			if test.prepare != nil {
				if err := test.prepare(h); err != nil {
					t.Fatal(err)
				}
			} else if test.options.Token == "" {
				h.Inject(test.fault)
			}
			_, err := read(t, test.options, h.project)
			wantClass(t, err, contactsync.ClassRepositoryUnreachable, test.words...)
			if strings.ContainsAny(err.Error(), "\r\n<") {
				t.Errorf("the error is not fit for a line of text: %q", err)
			}
		})
	}
}

// TestReadBusy guards that the time a busy server names is passed on.
func TestReadBusy(t *testing.T) {
	h := newHouse(t)
	h.Inject(gitlab.Fault{Status: 429, Header: http.Header{"Retry-After": {"120"}}})
	_, err := read(t, gitrepo.Options{}, h.project)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "status 429")
	failure := contactsync.FailureOf(err)
	if wait := time.Until(failure.RetryAt); failure.Retry != contactsync.RetryWhenTold || wait < time.Minute || wait > 2*time.Minute {
		t.Errorf("it is to be tried again %s, in %s", failure.Retry, wait)
	}
}

// TestReadSlow guards that a server that never ends costs the time limit, and that a caller who gives up is known as such.
func TestReadSlow(t *testing.T) {
	h := newHouse(t)
	h.Inject(gitlab.Fault{Wait: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }})
	_, err := read(t, gitrepo.Options{Timeout: 30 * time.Millisecond}, h.project)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "not read within 30ms")
	if contactsync.IsCanceled(err) {
		t.Errorf("a slow server counts as a caller who gave up: %v", err)
	}

	// An answer that drips on for ever.
	drip := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		io.WriteString(w, "001e# service=git-upload-pack\n0000")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer drip.Close()
	_, err = read(t, gitrepo.Options{Timeout: 30 * time.Millisecond}, contactsync.Project{ID: 1, CloneURL: drip.URL + "/a.git"})
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "project 1", "not read within 30ms")

	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = newRepository(t, gitrepo.Options{}).Read(ctx, h.project)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "given up")
	if !contactsync.IsCanceled(err) {
		t.Errorf("the caller gave up, but the error is %v", err)
	}
}

// TestReadRedirects guards that GitLab may point to a project's new path, and that nobody may point to another host.
func TestReadRedirects(t *testing.T) {
	var arrived atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { arrived.Add(1) }))
	defer other.Close()
	tests := []struct {
		name     string
		location func(h *house) string
		works    bool
	}{
		{"new path", func(h *house) string { return h.URL() + "/support/renamed.git/info/refs?service=git-upload-pack" }, true},
		{"new path, relative", func(*house) string { return "/support/renamed.git/info/refs?service=git-upload-pack" }, true},
		{"other port", func(*house) string { return other.URL + "/support/renamed.git/info/refs?service=git-upload-pack" }, false},
		{"other name", func(*house) string {
			return strings.Replace(other.URL, "127.0.0.1", "localhost", 1) + "/a.git/info/refs?service=git-upload-pack"
		}, false},
		{"round and round", func(h *house) string {
			return h.URL() + "/support/organization-42.git/info/refs?service=git-upload-pack"
		}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHouse(t)
			renamed, err := h.CreateProject(gitlab.Project{Path: "support/renamed"})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.Commit(renamed, gitlab.Commit{Files: map[string]string{"contacts.yaml": "new path"}}); err != nil {
				t.Fatal(err)
			}
			h.Inject(gitlab.Fault{Path: regexp.MustCompile(`/organization-42\.git/`), Status: 301, Header: http.Header{"Location": {test.location(h)}}})
			file, err := read(t, gitrepo.Options{}, h.project)
			if test.works {
				if err != nil || string(file.Content) != "new path" {
					t.Errorf("read %q, %v", file.Content, err)
				}
				return
			}
			wantClass(t, err, contactsync.ClassRepositoryUnreachable, "not followed")
		})
	}
	if arrived.Load() != 0 {
		t.Errorf("%d requests arrived at the other host", arrived.Load())
	}

	// The second request may not be sent elsewhere either: it carries the credentials, too.
	h := newHouse(t)
	h.commit(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": "a"}})
	h.Inject(gitlab.Fault{Method: "POST", Status: 307, Header: http.Header{"Location": {other.URL}}})
	_, err := read(t, gitrepo.Options{}, h.project)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable)
	if arrived.Load() != 0 {
		t.Errorf("%d requests arrived at the other host", arrived.Load())
	}
}

// TestReadAddress guards where requests may go: over https, or over http to this machine; credentials in an address are
// neither sent nor shown.
func TestReadAddress(t *testing.T) {
	for _, address := range []string{
		"", "support/organization-42.git", "ssh://git@example.com/a.git", "http://example.com/a.git", "file:///a.git",
		"http://user:swordfish@example.com/a.git", "ftp://user:swordfish@example.com/a", "http://user:swordfish@[::1/a.git",
		"https://user:swordfish@example.com:port/a.git",
	} {
		_, err := read(t, gitrepo.Options{}, contactsync.Project{ID: 1, CloneURL: address})
		wantClass(t, err, contactsync.ClassRepositoryUnreachable)
	}

	h := newHouse(t)
	h.commit(t, gitlab.Commit{Files: map[string]string{"contacts.yaml": "a"}})
	h.project.CloneURL = strings.Replace(h.project.CloneURL, "http://", "http://mallory:swordfish@", 1)
	if _, err := read(t, gitrepo.Options{}, h.project); err != nil {
		t.Errorf("with credentials in the address: %v", err)
	}
	h.Inject(gitlab.Fault{Reset: true})
	_, err := read(t, gitrepo.Options{}, h.project)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable)
}

// TestReadAnonymous guards that without a token no credentials are sent.
func TestReadAnonymous(t *testing.T) {
	h := newHouse(t)
	repository, err := gitrepo.New(gitrepo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = repository.Read(context.Background(), h.project)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "refuses the token")
}

// TestNew guards that options which cannot be are named at the start, not at the first run.
func TestNew(t *testing.T) {
	for _, options := range []gitrepo.Options{
		{Branch: "a..b"}, {Branch: "a b"}, {File: "a/b"}, {File: ".."}, {File: "a\x00"},
		{MaxBytes: -1}, {MaxFile: -1}, {Timeout: -1},
	} {
		if _, err := gitrepo.New(options); err == nil {
			t.Errorf("%+v was accepted", options)
		}
	}
}

// brokenTransport fails every request.
type brokenTransport struct{}

func (brokenTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	return nil, errors.New("no route to " + r.Header.Get("Authorization") + " " + token)
}

// TestReadHidesSecrets guards that not even a transport which repeats the credentials gets them into an error.
func TestReadHidesSecrets(t *testing.T) {
	_, err := read(t, gitrepo.Options{Transport: brokenTransport{}}, contactsync.Project{ID: 1, CloneURL: "https://example.com/a.git"})
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "no route to", "[hidden]")
	if strings.Contains(err.Error(), "b2F1dGgy") {
		t.Errorf("the error tells the encoded token: %v", err)
	}
}

// TestReadOtherHashes guards that a repository of git's newer kind, whose hashes are longer, is refused and not misread.
func TestReadOtherHashes(t *testing.T) {
	line := strings.Repeat("a", 64) + " refs/heads/master\x00shallow filter object-format=sha256\n"
	references := fmt.Sprintf("001e# service=git-upload-pack\n0000%04x%s0000", len(line)+4, line)
	_, err := read(t, gitrepo.Options{Transport: scripted{references: []byte(references)}}, contactsync.Project{ID: 1, CloneURL: "https://example.com/a.git"})
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "cannot be understood")
}

// BenchmarkRead measures the everyday read, and the one beside a blob of 50 MB, which must cost the same.
func BenchmarkRead(b *testing.B) {
	for name, files := range map[string]map[string]string{
		"alone":        {"contacts.yaml": "- name: Ada\n"},
		"beside 50 MB": {"contacts.yaml": "- name: Ada\n", "video": noise(1, 50<<20)},
	} {
		b.Run(name, func(b *testing.B) {
			h := newHouse(b)
			h.commit(b, gitlab.Commit{Files: files})
			repository := newRepository(b, gitrepo.Options{})
			h.ForgetRequests()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := repository.Read(context.Background(), h.project); err != nil {
					b.Fatal(err)
				}
			}
			bytes, requests := h.received()
			b.ReportMetric(float64(bytes)/float64(b.N), "wire-B/op")
			b.ReportMetric(float64(requests)/float64(b.N), "requests/op")
		})
	}
}
