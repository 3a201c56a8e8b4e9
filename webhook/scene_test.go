package webhook_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"contactsync"
	"contactsync/webhook"
)

// now is when everything happens, unless a test says otherwise.
var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// intake remembers what the receiver hands over.
type intake struct {
	accept func(context.Context, contactsync.Delivery) (contactsync.Receipt, error) // nil stores
	refuse error

	mu       sync.Mutex
	accepted []contactsync.Delivery
	refused  []refusal
}

type refusal struct {
	delivery contactsync.Delivery
	project  contactsync.ProjectRef
	reason   error
}

func (i *intake) Accept(ctx context.Context, d contactsync.Delivery) (contactsync.Receipt, error) {
	i.mu.Lock()
	i.accepted = append(i.accepted, d)
	i.mu.Unlock()
	if i.accept != nil {
		return i.accept(ctx, d)
	}
	return contactsync.Receipt{ID: "d1"}, nil
}

func (i *intake) Refuse(_ context.Context, d contactsync.Delivery, project contactsync.ProjectRef, reason error) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.refused = append(i.refused, refusal{d, project, reason})
	return i.refuse
}

// scene is a receiver with everything around it.
type scene struct {
	*webhook.Receiver
	intake intake
	log    bytes.Buffer

	mu       sync.Mutex
	answered map[string]int // "hook accepted" to how often

	// The credentials that open it.
	signing, token, trigger string
	first, second           webhook.MasterKey // numbers 1 and 2
}

func newScene(t testing.TB, change func(*scene, *webhook.Options)) *scene {
	t.Helper()
	s := &scene{
		answered: map[string]int{}, signing: "whsec_" + randomText(32), token: "shared-" + randomText(12), trigger: "trigger-" + randomText(12),
		first: masterKey(t, 1), second: masterKey(t, 2),
	}
	options := webhook.Options{
		Credentials: webhook.Credentials{SigningTokens: []string{s.signing}, Tokens: []string{s.token}, TriggerTokens: []string{s.trigger},
			MasterKeys: []webhook.MasterKey{s.first, s.second}},
		Intake: &s.intake,
		Answered: func(address, answer string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.answered[address+" "+answer]++
		},
		Logger: slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:    func() time.Time { return now },
	}
	if change != nil {
		change(s, &options)
	}
	receiver, err := webhook.New(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Receiver = receiver
	return s
}

func randomText(bytes int) string {
	secret := make([]byte, bytes)
	_, _ = rand.Read(secret) // never fails
	return base64.StdEncoding.EncodeToString(secret)
}

func masterKey(t testing.TB, number int) webhook.MasterKey {
	t.Helper()
	key, err := webhook.ParseMasterKey(strconv.Itoa(number) + ":" + randomText(32))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// delivery is a request to be made.
type delivery struct {
	method string // "" is POST
	path   string // "" is the hook address
	header http.Header
	body   string
}

// hook is a delivery as GitLab makes it, without credentials.
func hook(event, body string) delivery {
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	header.Set("X-Gitlab-Event", event)
	header.Set("Idempotency-Key", "6c1f0cf7-5b9e-4d4c-9d2c-0a4f0a6f1f11")
	return delivery{path: webhook.HookRoute, header: header, body: body}
}

// push is a delivery of a push to master of project 42.
func push(t testing.TB) delivery { return hook("Push Hook", sample(t, "push")) }

// sample is a documented body.
func sample(t testing.TB, name string) string {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "gitlab", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func (d delivery) with(name, value string) delivery {
	d.header = d.header.Clone()
	d.header.Set(name, value)
	return d
}

func (d delivery) token(token string) delivery { return d.with("X-Gitlab-Token", token) }

// signed signs as the Standard Webhooks specification says, at the time.
func (d delivery) signed(token string, at time.Time) delivery {
	stamp := strconv.FormatInt(at.Unix(), 10)
	id := d.header.Get("Idempotency-Key")
	return d.with("Webhook-Id", id).with("Webhook-Timestamp", stamp).with("Webhook-Signature", signature(token, id, stamp, d.body))
}

func signature(token, id, stamp, body string) string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(token, "whsec_"))
	if err != nil {
		panic(err) // the test's own token
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + stamp + "." + body))
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func (d delivery) request() *http.Request {
	method := d.method
	if method == "" {
		method = http.MethodPost
	}
	request := httptest.NewRequest(method, d.path, strings.NewReader(d.body))
	request.Header = d.header.Clone()
	return request
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (s *scene) send(d delivery) answer {
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, d.request())
	return answer{recorder.Code, recorder.Header(), recorder.Body.String()}
}

// decode reads an answer's body as a JSON object.
func (a answer) decode(t testing.TB) map[string]any {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal([]byte(a.body), &object); err != nil {
		t.Fatalf("the answer %q: %v", a.body, err)
	}
	return object
}

// counted returns how often something was answered.
func (s *scene) counted(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered[what]
}

// untouched fails the test when anything reached the store.
func (s *scene) untouched(t testing.TB) {
	t.Helper()
	s.intake.mu.Lock()
	defer s.intake.mu.Unlock()
	if len(s.intake.accepted)+len(s.intake.refused) > 0 {
		t.Errorf("the store was touched: %v, %v", s.intake.accepted, s.intake.refused)
	}
}
