package proof_test

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// hooks sends deliveries as GitLab does, and remembers what was answered.
type hooks struct {
	key                 []byte // that they are signed with
	client              *http.Client
	stored, unavailable counter // answered with success, and with 503

	mu      sync.Mutex
	taken   []taken
	unknown []delivery  // no answer came, so nobody can say
	refused map[int]int // any other answer, by its status
	final   int         // refused with 503 but without the time to come again
}

type delivery struct {
	project int64
	key     string
}

// taken is a delivery that was answered with success: from then on it may not be lost.
type taken struct {
	delivery
	id       string // what the answer calls it
	answered time.Time
}

// answerTime is how long GitLab waits for an answer.
const answerTime = 10 * time.Second

func newHooks(key []byte) *hooks {
	return &hooks{key: key, refused: map[int]int{}, client: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 16}, Timeout: answerTime,
	}}
}

func (h *hooks) close() { h.client.CloseIdleConnections() }

func hookFor(project int64) delivery { return delivery{project, rand.Text()} }

// send delivers once. The status is 0 where no answer came.
func (h *hooks) send(address string, d delivery) (status int, header http.Header) {
	body := fmt.Sprintf(`{"object_kind":"push","event_name":"push","project_id":%d,"ref":"refs/heads/master"}`, d.project)
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, h.key)
	mac.Write([]byte(d.key + "." + stamp + "." + body))
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, address+"/hooks/gitlab", strings.NewReader(body))
	if err != nil {
		panic(err) // the address is a process's own
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "X-Gitlab-Event": "Push Hook", "Idempotency-Key": d.key, "Webhook-Id": d.key,
		"Webhook-Timestamp": stamp, "Webhook-Signature": "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)),
	} {
		request.Header.Set(name, value)
	}
	answer, err := h.client.Do(request)
	var said struct{ Delivery string }
	if err == nil {
		defer answer.Body.Close()
		var content []byte
		if content, err = io.ReadAll(answer.Body); err == nil && answer.StatusCode/100 == 2 {
			err = json.Unmarshal(content, &said)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case err != nil:
		h.unknown = append(h.unknown, d)
		return 0, nil
	case answer.StatusCode/100 == 2:
		h.taken = append(h.taken, taken{d, said.Delivery, time.Now()})
		h.stored.add()
	default:
		h.refused[answer.StatusCode]++
		if answer.StatusCode == http.StatusServiceUnavailable {
			h.unavailable.add()
			if answer.Header.Get("Retry-After") == "" {
				h.final++
			}
		}
	}
	return answer.StatusCode, answer.Header
}

// again delivers once more, with the same keys, what was not answered, as a person would.
func (h *hooks) again(address string) {
	h.mu.Lock()
	unknown := h.unknown
	h.unknown = nil
	h.mu.Unlock()
	for _, d := range unknown {
		h.send(address, d)
	}
}

// onlyUnavailable checks that nothing was refused in any other way than with 503 and the time to come again, and that
// everything was answered.
func (h *hooks) onlyUnavailable(t testing.TB) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.refused) > 1 || h.refused[http.StatusServiceUnavailable] == 0 || h.final > 0 || len(h.unknown) > 0 {
		t.Errorf("refused: %v, without Retry-After: %d, not answered: %d; want 503 alone", h.refused, h.final, len(h.unknown))
	}
}

// all returns what was taken so far.
func (h *hooks) all() []taken {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]taken(nil), h.taken...)
}

// load is hooks and commits that come until stop is called, or until nobody is there to take them.
type load struct {
	quit  chan struct{}
	group sync.WaitGroup
}

const (
	hookSenders = 3
	hookEvery   = 8 * time.Millisecond   // of each sender
	commitEvery = 120 * time.Millisecond // to one project or another, with its hook
)

// load sends hooks about all projects to the processes, in turns, and commits now and then.
func (w *world) load(random *mathrand.Rand, processes ...*process) *load {
	l := &load{quit: make(chan struct{})}
	send := func(random *mathrand.Rand, p *project) (answered bool) {
		status, _ := w.hooks.send(processes[random.IntN(len(processes))].address, hookFor(p.id))
		return status != 0
	}
	for range hookSenders {
		l.every(hookEvery, mathrand.New(mathrand.NewPCG(random.Uint64(), 0)), func(random *mathrand.Rand) bool {
			return send(random, w.projects[random.IntN(len(w.projects))])
		})
	}
	l.every(commitEvery, mathrand.New(mathrand.NewPCG(random.Uint64(), 0)), func(random *mathrand.Rand) bool {
		p := w.projects[random.IntN(len(w.projects))]
		p.commit()
		return send(random, p)
	})
	return l
}

// every does something at intervals for as long as it says so.
func (l *load) every(interval time.Duration, random *mathrand.Rand, do func(*mathrand.Rand) bool) {
	l.group.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for goesOn := true; goesOn; {
			select {
			case <-l.quit:
				return
			case <-ticker.C:
				goesOn = do(random)
			}
		}
	})
}

// stop ends the load, once every hook under way has its answer or will never have one.
func (l *load) stop() {
	close(l.quit)
	l.group.Wait()
}
