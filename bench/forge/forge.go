// Package forge is as much of a GitLab as a run needs, for any number of projects: it keeps no repository, but makes each
// up for the request that asks for it. The stand-in under internal/fakes serves real git, which takes several processes
// a run and some forty files a project; on the machine whose limits are measured they would be what is measured.
//
// The answers are those of docs.gitlab.com/api (projects, branches, commits, personal_access_tokens) and git's gitprotocol-http, as far as
// a run looks at them.
package forge

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/plumbing/transport/server"
	"github.com/go-git/go-git/v5/storage/memory"
)

// Forge is an http.Handler. It may be used by many goroutines.
type Forge struct {
	token string
	file  func(project int64) (content string, ok bool)
	mux   *http.ServeMux
}

// New returns a forge that lets the token in. Each project for which file says true exists, and has that contacts.yaml
// at the head of master.
func New(token string, file func(project int64) (content string, ok bool)) *Forge {
	f := &Forge{token: token, file: file, mux: http.NewServeMux()}
	f.mux.HandleFunc("GET /api/v4/personal_access_tokens/self", f.self)
	f.mux.HandleFunc("GET /api/v4/projects/{id}", f.project)
	f.mux.HandleFunc("GET /api/v4/projects/{id}/repository/branches/{branch}", f.branch)
	f.mux.HandleFunc("POST /api/v4/projects/{id}/statuses/{commit}", f.status)
	f.mux.HandleFunc("GET /contacts/{repository}/info/refs", f.references)
	f.mux.HandleFunc("POST /contacts/{repository}/git-upload-pack", f.uploadPack)
	return f
}

func (f *Forge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, password, _ := r.BasicAuth()
	if r.Header.Get("PRIVATE-TOKEN") != f.token && password != f.token {
		w.Header().Set("WWW-Authenticate", `Basic realm="GitLab"`)
		answer(w, http.StatusUnauthorized, map[string]string{"message": "401 Unauthorized"})
		return
	}
	f.mux.ServeHTTP(w, r)
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // a client that hung up is the client's business
}

func (f *Forge) self(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{
		"id": 1, "name": "contacts", "active": true, "revoked": false, "expires_at": nil, "scopes": []string{"api", "read_repository"},
	})
}

func (f *Forge) project(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err == nil {
		_, ok := f.file(id)
		if !ok {
			err = fmt.Errorf("no project %d", id)
		}
	}
	if err != nil {
		answer(w, http.StatusNotFound, map[string]string{"message": "404 Project Not Found"})
		return
	}
	path := fmt.Sprintf("contacts/%d", id)
	answer(w, http.StatusOK, map[string]any{
		"id": id, "name": strconv.FormatInt(id, 10), "path_with_namespace": path, "default_branch": "master",
		"http_url_to_repo": "http://" + r.Host + "/" + path + ".git", "web_url": "http://" + r.Host + "/" + path, "empty_repo": false,
	})
}

// branch answers with the head of master, whatever branch is asked for: there is no other.
func (f *Forge) branch(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	content, ok := f.file(id)
	if err != nil || !ok {
		answer(w, http.StatusNotFound, map[string]string{"message": "404 Project Not Found"})
		return
	}
	repository, err := commit(content)
	if err != nil {
		fail(w, err)
		return
	}
	head, err := repository.Reference(plumbing.NewBranchReferenceName("master"))
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, http.StatusOK, map[string]any{"name": r.PathValue("branch"), "commit": map[string]string{"id": head.Hash().String()}})
}

// status takes whatever is said about a commit, and keeps nothing of it.
func (f *Forge) status(w http.ResponseWriter, r *http.Request) {
	var sent struct {
		State string `json:"state"`
		Name  string `json:"name"`
	}
	if err := json.NewDecoder(r.Body).Decode(&sent); err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"message": "400 Bad Request"})
		return
	}
	answer(w, http.StatusCreated, map[string]any{"id": 1, "sha": r.PathValue("commit"), "status": sent.State, "name": sent.Name})
}

func (f *Forge) references(w http.ResponseWriter, r *http.Request) {
	session, ok := f.session(w, r)
	if !ok {
		return
	}
	refs, err := session.AdvertisedReferencesContext(r.Context())
	if err != nil {
		fail(w, err)
		return
	}
	refs.Prefix = [][]byte{[]byte("# service=git-upload-pack"), pktline.Flush}
	w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
	_ = refs.Encode(w) // a client that hung up is the client's business
}

func (f *Forge) uploadPack(w http.ResponseWriter, r *http.Request) {
	session, ok := f.session(w, r)
	if !ok {
		return
	}
	request := packp.NewUploadPackRequest()
	if err := request.Decode(r.Body); err != nil {
		fail(w, err)
		return
	}
	response, err := session.UploadPack(r.Context(), request)
	if err != nil {
		fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
	_ = response.Encode(w) // a client that hung up is the client's business
}

func fail(w http.ResponseWriter, err error) {
	http.Error(w, err.Error(), http.StatusInternalServerError)
}

// session serves the repository that a request is about, or answers that there is none.
func (f *Forge) session(w http.ResponseWriter, r *http.Request) (transport.UploadPackSession, bool) {
	name, _ := strings.CutSuffix(r.PathValue("repository"), ".git")
	id, err := strconv.ParseInt(name, 10, 64)
	content, ok := f.file(id)
	if err != nil || !ok {
		http.NotFound(w, r)
		return nil, false
	}
	repository, err := commit(content)
	if err != nil {
		fail(w, err)
		return nil, false
	}
	session, err := server.NewServer(one{repository}).NewUploadPackSession(&transport.Endpoint{}, nil)
	if err != nil {
		fail(w, err)
		return nil, false
	}
	return session, true
}

// one is a loader that knows one repository.
type one struct{ repository storer.Storer }

func (l one) Load(*transport.Endpoint) (storer.Storer, error) { return l.repository, nil }

// commit returns a repository whose master is one commit of one file: for the same content always the same.
func commit(content string) (storer.Storer, error) {
	repository := memory.NewStorage()
	blob := repository.NewEncodedObject()
	blob.SetType(plumbing.BlobObject)
	writer, err := blob.Writer()
	if err != nil {
		return nil, err
	}
	if _, err := writer.Write([]byte(content)); err != nil {
		return nil, err
	}
	file, err := repository.SetEncodedObject(blob)
	if err != nil {
		return nil, err
	}
	tree, err := save(repository, &object.Tree{Entries: []object.TreeEntry{{Name: "contacts.yaml", Mode: filemode.Regular, Hash: file}}})
	if err != nil {
		return nil, err
	}
	author := object.Signature{Name: "Ada Lovelace", Email: "ada@example.com", When: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	head, err := save(repository, &object.Commit{Author: author, Committer: author, Message: "Update the contacts\n", TreeHash: tree})
	if err != nil {
		return nil, err
	}
	return repository, repository.SetReference(plumbing.NewHashReference(plumbing.NewBranchReferenceName("master"), head))
}

func save(repository storer.EncodedObjectStorer, thing interface {
	Encode(plumbing.EncodedObject) error
}) (plumbing.Hash, error) {
	encoded := repository.NewEncodedObject()
	if err := thing.Encode(encoded); err != nil {
		return plumbing.ZeroHash, err
	}
	return repository.SetEncodedObject(encoded)
}
