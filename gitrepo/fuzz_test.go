package gitrepo_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/storage/memory"

	"contactsync"
	"contactsync/gitrepo"
	"contactsync/internal/fakes/gitlab"
)

// scripted answers the list of references with one text, and everything else with another.
type scripted struct{ references, pack []byte }

func (s scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	body := s.pack
	if r.Method == http.MethodGet {
		body = s.references
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(body)), Request: r, Header: make(http.Header)}, nil
}

// recorder keeps what a real server answered.
type recorder struct{ scripted }

func (c *recorder) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	if r.Method == http.MethodGet {
		c.references = body
	} else {
		c.pack = body
	}
	return response, err
}

// record returns what a real server answers to a read, with the pack taken out of its packets.
func record(t testing.TB) (references, answer, pack []byte) {
	h := newHouse(t)
	h.commit(t, gitlab.Commit{When: time.Unix(1, 0), Files: map[string]string{
		"contacts.yaml": strings.Repeat("- name: Ada Lovelace\n  email: ada@example.com\n", 20),
		"copy.yaml":     strings.Repeat("- name: Ada Lovelace\n  email: ada@example.com\n", 21), // so that git makes a delta
		"folder/file":   "content",
	}})
	kept := &recorder{}
	if _, err := read(t, gitrepo.Options{Transport: kept}, h.project); err != nil {
		t.Fatal(err)
	}
	rest := kept.pack
	for len(rest) >= 4 {
		var size int
		if _, err := fmt.Sscanf(string(rest[:4]), "%04x", &size); err != nil {
			t.Fatal(err)
		}
		if size == 0 {
			rest = rest[4:]
			continue
		}
		if rest[4] == 1 {
			pack = append(pack, rest[5:size]...)
		}
		rest = rest[size:]
	}
	return kept.references, kept.pack, pack
}

// wantSane fails the test unless the read ended in a file within limits or in one of the three classes, and a merge request
// of the same commit is read as sanely.
func wantSane(t *testing.T, transport http.RoundTripper) {
	repository, err := gitrepo.New(gitrepo.Options{Token: token, Transport: transport, MaxFile: 1 << 10, MaxBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	project := contactsync.Project{ID: 1, CloneURL: "https://example.com/a.git"}
	file, err := repository.Read(context.Background(), project)
	switch contactsync.ClassOf(err) {
	case "":
		if len(file.Content) > 1<<10 || len(file.Commit) != 40 || len(file.Blob) != 40 {
			t.Errorf("read %+v", file)
		}
	case contactsync.ClassFileMissing, contactsync.ClassFileTooLarge, contactsync.ClassRepositoryUnreachable:
		if strings.ContainsAny(err.Error(), "\n\r\x00") {
			t.Errorf("the error is not fit for a line of text: %q", err)
		}
	default:
		t.Errorf("the error %v has the class %q", err, contactsync.ClassOf(err))
	}

	head, err := repository.Head(context.Background(), project)
	if err != nil || head == "" {
		return
	}
	proposal, err := repository.Propose(context.Background(), project, head, head)
	if proposal.Changed || proposal.Behind || proposal.File.Commit != "" {
		t.Errorf("a commit changes itself: %+v", proposal)
	}
	if class := contactsync.ClassOf(err); class != "" && class != contactsync.ClassRepositoryUnreachable {
		t.Errorf("the error %v of a merge request has the class %q", err, class)
	}
	if class := contactsync.ClassOf(proposal.Err); class != "" && class != contactsync.ClassFileMissing {
		t.Errorf("the error %v of the proposed file has the class %q", proposal.Err, class)
	}
}

// FuzzAnswers guards that no answer of a server, to either request, can make a read panic or lie.
func FuzzAnswers(f *testing.F) {
	references, answer, _ := record(f)
	f.Add(references, answer)
	f.Add(references, []byte("0000"))
	f.Add([]byte("001e# service=git-upload-pack\n0000"), answer)
	f.Fuzz(func(t *testing.T, references, answer []byte) {
		wantSane(t, scripted{references, answer})
	})
}

// FuzzPack guards the same for what a customer has most influence on: the objects of the repository.
func FuzzPack(f *testing.F) {
	references, _, pack := record(f)
	if file, err := read(f, gitrepo.Options{Transport: scripted{references, framed(pack)}}, contactsync.Project{CloneURL: "https://example.com/a.git"}); err != nil || len(file.Content) == 0 {
		f.Fatalf("the pack to start from is read as %q, %v", file.Content, err)
	}
	f.Add(pack)
	f.Add([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, pack []byte) {
		wantSane(t, scripted{references, framed(pack)})
	})
}

// FuzzTree guards the same for the list of files at the root, byte for byte as a client can make it up.
func FuzzTree(f *testing.F) {
	blob := plumbing.ComputeHash(plumbing.BlobObject, []byte("- name: Ada\n"))
	f.Add(append([]byte("100644 contacts.yaml\x00"), blob[:]...))
	f.Add(append([]byte("120000 contacts.yaml\x00"), blob[:]...))
	f.Add([]byte("100644 contacts.yaml\x00short"))
	f.Fuzz(func(t *testing.T, tree []byte) {
		store := memory.NewStorage()
		keep := func(kind plumbing.ObjectType, content []byte) plumbing.Hash {
			o := store.NewEncodedObject()
			o.SetType(kind)
			w, err := o.Writer()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(content); err != nil {
				t.Fatal(err)
			}
			hash, err := store.SetEncodedObject(o)
			if err != nil {
				t.Fatal(err)
			}
			return hash
		}
		root := keep(plumbing.TreeObject, tree)
		commit := keep(plumbing.CommitObject, fmt.Appendf(nil, "tree %s\nauthor A <a@example.com> 1 +0000\ncommitter A <a@example.com> 1 +0000\n\nMessage\n", root))
		hashes := []plumbing.Hash{root, commit, keep(plumbing.BlobObject, []byte("- name: Ada\n"))}
		var pack bytes.Buffer
		if _, err := packfile.NewEncoder(&pack, store, false).Encode(hashes, 0); err != nil {
			t.Fatal(err)
		}
		line := fmt.Sprintf("%s refs/heads/master\x00shallow filter side-band-64k\n", commit)
		references := fmt.Sprintf("001e# service=git-upload-pack\n0000%04x%s0000", len(line)+4, line)
		wantSane(t, scripted{[]byte(references), framed(pack.Bytes())})
	})
}

// framed puts a pack into the packets that a server sends it in.
func framed(pack []byte) []byte {
	var answer bytes.Buffer
	answer.WriteString("00000008NAK\n")
	for len(pack) > 0 {
		n := min(len(pack), 60000)
		fmt.Fprintf(&answer, "%04x\x01", n+5)
		answer.Write(pack[:n])
		pack = pack[n:]
	}
	answer.WriteString("0000")
	return answer.Bytes()
}
