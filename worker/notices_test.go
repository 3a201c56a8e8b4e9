package worker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	gosync "sync"
	"testing"
	"time"

	"contactsync"
	"contactsync/notify"
	"contactsync/store"
	"contactsync/worker"
)

// plainWords tell an event as it is.
type plainWords struct{}

func (plainWords) Text(e notify.Event) (string, error) { return e.Key, nil }

func (plainWords) Body(_ string, e notify.Event) ([]byte, error) { return json.Marshal(e) }

// receiver is where operators are told: a server on loopback, whose address is a secret.
type receiver struct {
	t      *testing.T
	server *httptest.Server
	target notify.Target

	mu     gosync.Mutex
	told   []string // keys, as they came
	answer http.HandlerFunc
}

const secretPath = "/services/s3cret"

func newReceiver(t *testing.T, name string) *receiver {
	t.Helper()
	r := &receiver{t: t}
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if _, err := io.Copy(io.Discard, request.Body); err != nil {
			return
		}
		r.mu.Lock()
		r.told = append(r.told, request.Header.Get("Idempotency-Key"))
		answer := r.answer
		r.mu.Unlock()
		if answer != nil {
			answer(w, request)
		}
	}))
	t.Cleanup(r.server.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	var err error
	if r.target, err = notify.NewWebhook(notify.WebhookOptions{
		Name: name, Format: "json", Address: r.server.URL + secretPath, Words: plainWords{}, Transport: transport,
	}); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *receiver) answers(answer http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *receiver) keys() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.told)
}

// told is a try, as metrics count it.
type told struct {
	event          contactsync.NoticeEvent
	target, result string
}

// telling is how a worker tells operators, and what the test sees of it.
type telling struct {
	w      *world
	looks  chan struct{} // one for each look, as it begins
	tries  chan told
	notice worker.Notices
}

func (w *world) telling(targets ...notify.Target) *telling {
	t := &telling{w: w, looks: make(chan struct{}, 1000), tries: make(chan told, 1000)}
	t.notice = worker.Notices{
		Targets:     targets,
		Credentials: func(context.Context) []notify.Credential { t.looks <- struct{}{}; return nil },
		Told: func(event contactsync.NoticeEvent, target, result string) {
			t.tries <- told{event, target, result}
		},
	}
	return t
}

func (t *telling) configure(o *worker.Options) { o.Notices = &t.notice }

// look lets time pass, and returns once the look that is due then is over.
func (t *telling) look(r *running, after time.Duration) {
	t.w.t.Helper()
	t.w.clock.Advance(after)
	r.beat()
	t.over()
}

// over returns once the look that is due is over.
func (t *telling) over() {
	t.w.t.Helper()
	receive(t.w, t.looks)
	if err := t.w.HoldChore(t.w.t.Context(), store.ChoreNotices, func(context.Context) error { return nil }); err != nil {
		t.w.t.Fatal(err)
	}
}

func (t *telling) try() told { return receive(t.w, t.tries) }

func receive[T any](w *world, from chan T) T {
	w.t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(30 * time.Second):
		w.t.Fatalf("nothing happens; the log says\n%s", w.log.String())
		panic("unreachable")
	}
}

// keepsSecrets checks that the address of a receiver is neither in the log nor in the store.
func (w *world) keepsSecrets() {
	w.t.Helper()
	paths, err := filepath.Glob(strings.TrimPrefix(w.address, "sqlite:") + "*")
	if err != nil || len(paths) == 0 {
		w.t.Fatalf("the store is not there: %v", err)
	}
	all := w.log.String()
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			w.t.Fatal(err)
		}
		all += string(content)
	}
	if strings.Contains(all, "s3cret") {
		w.t.Error("the address of a receiver is in the log or in the store")
	}
}

// disabled makes hooks of so many projects disabled ones, each of which needs somebody.
func (w *world) disabled(projects int) {
	w.t.Helper()
	var links []contactsync.Link
	for project := int64(1); project <= int64(projects); project++ {
		links = append(links, contactsync.Link{Project: project, Organization: fmt.Sprint(1000 + project)})
		if err := w.SaveHook(w.t.Context(), store.Hook{Project: project, Looked: w.clock.Now(), Disabled: true}); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := w.SaveLinks(w.t.Context(), links, time.Time{}); err != nil {
		w.t.Fatal(err)
	}
}

// A plan that is held is told once to everybody, however often it is looked at and held again, also by a process that
// comes later. Another plan is told again.
func TestOperatorsAreToldOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.desk.set(7, []string{"ada", "alan", "bob", "eve", "ida", "kay"}, []string{"ada"})
	first, second := newReceiver(t, "slack#1"), newReceiver(t, "json#1")
	telling := w.telling(first.target, second.target)
	r := w.start(telling.configure)
	telling.over()
	for range 2 {
		w.push(7)
		if run := w.next(); run.Status != contactsync.StatusHeld {
			t.Fatalf("the run is %+v", run)
		}
		for range 3 {
			telling.look(r, time.Minute)
		}
	}
	r.stop()
	r = w.start(telling.configure)
	telling.over()
	telling.look(r, time.Minute)
	for _, rec := range []*receiver{first, second} {
		if keys := rec.keys(); len(keys) != 1 || !strings.HasPrefix(keys[0], "held/7/") {
			t.Errorf("told were %q", keys)
		}
	}
	for range 2 {
		if try := telling.try(); try.event != contactsync.NoticeHeld || try.result != "sent" {
			t.Errorf("it is counted as %+v", try)
		}
	}
	w.desk.set(7, []string{"ada", "alan", "bob", "eve", "ida", "kay"}, []string{"alan"})
	w.push(7)
	w.next()
	telling.look(r, time.Minute)
	telling.try()
	telling.look(r, time.Minute)
	r.stop()
	if keys := first.keys(); len(keys) != 2 || keys[0] == keys[1] {
		t.Errorf("told were %q", keys)
	}
	w.keepsSecrets()
}

// dying is a target whose process dies once, after it has told and before it could remember that.
type dying struct {
	notify.Target
	died *bool
}

func (d dying) Tell(ctx context.Context, event notify.Event) notify.Outcome {
	outcome := d.Target.Tell(ctx, event)
	if !*d.died {
		*d.died = true
		panic("the process dies")
	}
	return outcome
}

// A process that dies between telling and remembering leads to one more message, with the same key, and to no third.
func TestDeathAfterTelling(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.disabled(1)
	rec := newReceiver(t, "json#1")
	telling := w.telling(dying{rec.target, new(bool)})
	r := w.start(telling.configure)
	telling.over()
	telling.look(r, time.Minute)
	telling.try()
	for range 3 {
		telling.look(r, time.Minute)
	}
	r.stop()
	if keys := rec.keys(); len(keys) != 2 || keys[0] != keys[1] {
		t.Errorf("told were %q", keys)
	}
}

// A receiver that hangs holds up no run and no stop, and what it did not take is told by the next process.
func TestHangingReceiver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.disabled(1)
	w.desk.set(7, []string{"ada"}, []string{"ada"})
	rec := newReceiver(t, "json#1")
	hangs := make(chan struct{}, 10)
	rec.answers(func(_ http.ResponseWriter, r *http.Request) {
		hangs <- struct{}{}
		<-r.Context().Done()
	})
	telling := w.telling(rec.target)
	r := w.start(telling.configure)
	receive(w, hangs)
	w.push(7)
	if run := w.next(); run.Status != contactsync.StatusUnchanged {
		t.Errorf("the run is %+v", run)
	}
	r.stop()
	rec.answers(nil)
	r = w.start(telling.configure)
	if try := telling.try(); try.result != "sent" {
		t.Errorf("it is counted as %+v", try)
	}
	r.stop()
	if len(telling.tries) > 0 {
		t.Errorf("more is counted: %+v", <-telling.tries)
	}
	w.keepsSecrets()
}

// A receiver that is away is tried more and more rarely and given up after a day; one that refuses, at once. Both are
// seen, and neither keeps others from being told.
func TestGivingUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.disabled(1)
	away, refuses, well := newReceiver(t, "slack#1"), newReceiver(t, "slack#2"), newReceiver(t, "json#1")
	away.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	refuses.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) })
	telling := w.telling(away.target, refuses.target, well.target)
	r := w.start(telling.configure)
	telling.over()
	for range 30 {
		telling.look(r, time.Hour)
	}
	r.stop()
	close(telling.tries)
	results := map[string][]string{}
	for try := range telling.tries {
		results[try.target] = append(results[try.target], try.result)
	}
	if n := len(results["slack#1"]); n < 20 || n > 27 || results["slack#1"][n-1] != "given_up" || slices.Contains(results["slack#1"][:n-1], "given_up") {
		t.Errorf("who was away got %q", results["slack#1"])
	}
	if !slices.Equal(results["slack#2"], []string{"given_up"}) || !slices.Equal(results["json#1"], []string{"sent"}) {
		t.Errorf("the others got %q", results)
	}
	for _, want := range []string{"target=slack#1", "it answers 503", "target=slack#2", "it answers 403"} {
		if strings.Count(w.log.String(), want) != 1 {
			t.Errorf("the log should say %q once:\n%s", want, w.log.String())
		}
	}
	w.keepsSecrets()
}

// Much at once is told a little at a time, and after a failure the rest waits for the next look.
func TestManyNotices(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.disabled(45)
	rec := newReceiver(t, "json#1")
	rec.answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	telling := w.telling(rec.target)
	r := w.start(telling.configure)
	telling.over()
	rec.answers(nil)
	for _, want := range []int{1, 21, 41, 46, 46} {
		if n := len(rec.keys()); n != want {
			t.Errorf("told were %d, want %d", n, want)
		}
		telling.look(r, time.Minute)
	}
	r.stop()
	keys := rec.keys()
	if slices.Sort(keys); len(keys) != 46 || len(slices.Compact(keys)) != 45 {
		t.Errorf("told were %d", len(keys))
	}
}

// Who wants to hear of some events alone hears of those.
func TestSomeEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.disabled(1)
	rec := newReceiver(t, "json#1")
	telling := w.telling(rec.target)
	telling.notice.Events = []contactsync.NoticeEvent{contactsync.NoticeCredentialExpires}
	telling.notice.Credentials = func(context.Context) []notify.Credential {
		return []notify.Credential{{System: "gitlab", Expires: contactsync.DateOf(w.clock.Now().AddDate(0, 0, 10))}}
	}
	r := w.start(telling.configure)
	if try := telling.try(); try.event != contactsync.NoticeCredentialExpires {
		t.Errorf("told was %+v", try)
	}
	r.stop()
	if keys := rec.keys(); len(keys) != 1 {
		t.Errorf("told were %q", keys)
	}
}
