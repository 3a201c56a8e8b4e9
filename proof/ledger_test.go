package proof_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ledger stands before the desk and writes down who changes what.
type ledger struct {
	world   *world
	arrived counter // writes, before anything of them is done

	mu     sync.Mutex // of writes there is one at a time, so that it is known what each of them did
	writes []write
	traps  []*trap
}

// write is a request that may change something.
type write struct {
	by           string // the process
	at           time.Time
	request      string // method and path
	project      int64  // 0 where it cannot be told
	joined, left []string
}

// trap holds the answer to a write. The desk has done it then, and the run that asked for it is certainly under way.
type trap struct {
	matches func(write) bool
	sprung  chan write    // gets the write
	release chan struct{} // closed by open
}

// hold sets a trap for the next write that matches.
func (l *ledger) hold(matches func(write) bool) *trap {
	t := &trap{matches: matches, sprung: make(chan write, 1), release: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.traps = append(l.traps, t)
	l.world.Cleanup(t.open)
	return t
}

// open lets the answer go. It may be called twice, though not at the same moment.
func (t *trap) open() {
	select {
	case <-t.release:
	default:
		close(t.release)
	}
}

// caught waits for the write.
func (t *trap) caught(w *world) write {
	w.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case caught := <-t.sprung:
		return caught
	case <-limit.C:
		w.Fatal("nobody wrote what should have been written")
		return write{}
	}
}

// ServeHTTP knows each process by the user that it signs in as. At the desk they are all the same.
func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	by := strings.TrimSuffix(user, "@example.com/token")
	r.SetBasicAuth(deskUser+"/token", password)
	if r.Method == http.MethodGet {
		l.world.desk.ServeHTTP(w, r)
		return
	}
	l.arrived.add()
	answer, held := l.serve(by, r)
	if held != nil {
		select {
		case <-held.release:
		case <-r.Context().Done():
			return
		}
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes()) // who asked may be dead
}

var organizationID = regexp.MustCompile(`"organization_id":\s*(\d+)`)

// serve lets the desk do the write, and notes it.
func (l *ledger) serve(by string, r *http.Request) (*httptest.ResponseRecorder, *trap) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return &httptest.ResponseRecorder{Code: http.StatusBadRequest, Body: new(bytes.Buffer)}, nil // it died while sending
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	l.mu.Lock()
	defer l.mu.Unlock()
	noted := write{by: by, at: time.Now(), request: r.Method + " " + r.URL.Path}
	organization := int64(0)
	if found := organizationID.FindSubmatch(body); found != nil {
		organization, _ = strconv.ParseInt(string(found[1]), 10, 64) // digits
	}
	before := l.members()
	answer := httptest.NewRecorder()
	l.world.desk.ServeHTTP(answer, r)
	for i, after := range l.members() {
		p := l.world.projects[i]
		joined, left := without(after, before[i]), without(before[i], after)
		if len(joined)+len(left) > 0 || p.org == organization {
			noted.project, noted.joined, noted.left = p.id, joined, left
		}
	}
	l.writes = append(l.writes, noted)
	for i, t := range l.traps {
		if t.matches(noted) {
			l.traps = slices.Delete(l.traps, i, i+1)
			t.sprung <- noted
			return answer, t
		}
	}
	return answer, nil
}

func (l *ledger) members() [][]string {
	members := make([][]string, len(l.world.projects))
	for i, p := range l.world.projects {
		members[i] = p.members()
	}
	return members
}

func without(list, other []string) (rest []string) {
	for _, one := range list {
		if !slices.Contains(other, one) {
			rest = append(rest, one)
		}
	}
	return rest
}

// all returns the writes so far.
func (l *ledger) all() []write {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.writes)
}

func (w write) String() string {
	return fmt.Sprintf("%s %s %s %d +%v -%v", w.at.Format("05.000"), w.by, w.request, w.project, w.joined, w.left)
}
