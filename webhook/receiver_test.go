package webhook_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"contactsync"
	"contactsync/webhook"
)

// An authentic push is stored with what the vocabulary keeps of it, and answered 202, however it was authenticated.
func TestPushIsStored(t *testing.T) {
	t.Parallel()
	for name, authenticate := range map[string]func(*scene, delivery) delivery{
		"signing token":         func(s *scene, d delivery) delivery { return d.signed(s.signing, now) },
		"derived signing token": func(s *scene, d delivery) delivery { return d.signed(s.second.SigningToken(42), now) },
		"token":                 func(s *scene, d delivery) delivery { return d.token(s.token) },
		"derived token":         func(s *scene, d delivery) delivery { return d.token(s.first.Token(42)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, nil)
			got := s.send(authenticate(s, push(t)))
			if got.status != 202 || got.body != `{"accepted":true,"delivery":"d1","project":42,"joined":false}` {
				t.Errorf("answered %d %s", got.status, got.body)
			}
			if got.header.Get("Content-Type") != "application/json" {
				t.Errorf("the answer is called %q", got.header.Get("Content-Type"))
			}
			want := contactsync.Delivery{Project: 42, Key: "6c1f0cf7-5b9e-4d4c-9d2c-0a4f0a6f1f11", Event: "push", Received: now}
			if len(s.intake.accepted) != 1 || s.intake.accepted[0] != want {
				t.Errorf("stored %+v, want %+v", s.intake.accepted, want)
			}
			if s.counted("hook accepted") != 1 || len(s.answered) != 1 {
				t.Errorf("counted %v", s.answered)
			}
		})
	}
}

// A delivery that joins a run which is still to come is said to, and counted apart.
func TestJoined(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.intake.accept = func(context.Context, contactsync.Delivery) (contactsync.Receipt, error) {
		return contactsync.Receipt{ID: "d2", Joined: true}, nil
	}
	got := s.send(push(t).token(s.token))
	if got.status != 202 || got.body != `{"accepted":true,"delivery":"d2","project":42,"joined":true}` || s.counted("hook joined") != 1 {
		t.Errorf("answered %d %s, counted %v", got.status, got.body, s.answered)
	}
}

// The sender's key is kept where it is fit to be, so that a doubled delivery is known; nothing else is stored of it.
func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("k", 255)
	for given, want := range map[string]string{
		"": "", "a-b.c": "a-b.c", long: long, long + "k": "", "two words": "", "tab\t": "", "ümlaut": "", "del\x7f": "",
	} {
		s := newScene(t, nil)
		s.send(push(t).token(s.token).with("Idempotency-Key", given))
		if len(s.intake.accepted) != 1 || s.intake.accepted[0].Key != want {
			t.Errorf("%q: stored %+v, want the key %q", given, s.intake.accepted, want)
		}
	}
}

// The two addresses take POST alone, and everything else is not there. The receiver's routes stand beside others in a
// larger mux and are not shadowed by a route for everything.
func TestRoutes(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	mux := http.NewServeMux()
	s.Register(mux)
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	const trigger = "/api/v4/projects/1/ref/master/trigger/pipeline"
	for _, test := range []struct {
		method, path      string
		alone, beside     int
		allow, wantAnswer string
	}{
		{"GET", "/hooks/gitlab", 405, 405, "POST", "hook invalid"},
		{"PUT", "/hooks/gitlab", 405, 405, "POST", "hook invalid"},
		{"DELETE", trigger, 405, 405, "POST", "trigger invalid"},
		{"POST", "/hooks/gitlab", 401, 401, "", "hook unauthorized"},
		{"POST", trigger, 404, 404, "", "trigger unauthorized"},
		{"POST", "/hooks/gitlab/", 404, 418, "", ""},
		{"POST", "/hooks/github", 404, 418, "", ""},
		{"POST", "/api/v4/projects/1/trigger/pipeline", 404, 418, "", ""},
		{"GET", "/healthz", 404, 200, "", ""},
		{"GET", "/", 404, 418, "", ""},
	} {
		before := s.counted(test.wantAnswer)
		for handler, want := range map[http.Handler]int{s: test.alone, mux: test.beside} {
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, httptest.NewRequest(test.method, test.path, strings.NewReader("{}")))
			if recorder.Code != want || recorder.Header().Get("Allow") != test.allow {
				t.Errorf("%s %s: answered %d, allowing %q", test.method, test.path, recorder.Code, recorder.Header().Get("Allow"))
			}
		}
		if test.wantAnswer != "" && s.counted(test.wantAnswer) != before+2 {
			t.Errorf("%s %s: counted %v", test.method, test.path, s.answered)
		}
	}
	s.untouched(t)
}

// A receiver that could let nobody in, or everybody, or has nowhere to store is not made; the reason shows no secret.
func TestNewRefuses(t *testing.T) {
	t.Parallel()
	key := masterKey(t, 3)
	for name, change := range map[string]func(*webhook.Options){
		"no store":            func(o *webhook.Options) { o.Intake = nil },
		"no credentials":      func(o *webhook.Options) { o.Credentials = webhook.Credentials{} },
		"empty token":         func(o *webhook.Options) { o.Credentials.Tokens = []string{"sesame", ""} },
		"empty trigger token": func(o *webhook.Options) { o.Credentials.TriggerTokens = []string{""} },
		"signing token":       func(o *webhook.Options) { o.Credentials.SigningTokens = []string{"sesame"} },
		"short signing token": func(o *webhook.Options) { o.Credentials.SigningTokens = []string{"whsec_c2VzYW1l"} },
		"master keys alike":   func(o *webhook.Options) { o.Credentials.MasterKeys = []webhook.MasterKey{key, key} },
		"empty master key":    func(o *webhook.Options) { o.Credentials.MasterKeys = []webhook.MasterKey{{Number: 1}} },
		"negative limit":      func(o *webhook.Options) { o.BodyLimit = -1 },
	} {
		options := webhook.Options{Intake: &intake{}, Credentials: webhook.Credentials{Tokens: []string{"sesame"}}}
		if _, err := webhook.New(options); err != nil {
			t.Fatal(err)
		}
		change(&options)
		receiver, err := webhook.New(options)
		if err == nil || receiver != nil || strings.Contains(err.Error(), "sesame") || strings.Contains(err.Error(), "c2VzYW1l") {
			t.Errorf("%s: got %v, %v", name, receiver, err)
		}
	}
}

// With every option left at zero that may be, the receiver works: nobody is told, nothing is logged, the clock is real.
func TestZeroOptions(t *testing.T) {
	t.Parallel()
	var store intake
	receiver, err := webhook.New(webhook.Options{Intake: &store, Credentials: webhook.Credentials{Tokens: []string{"sesame"}}})
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{Receiver: receiver}
	if got := s.send(push(t).token("sesame")); got.status != 202 || len(store.accepted) != 1 || store.accepted[0].Received.IsZero() {
		t.Errorf("answered %d, stored %+v", got.status, store.accepted)
	}
	if got := s.send(push(t).token("other")); got.status != 401 {
		t.Errorf("answered %d", got.status)
	}
	if text := fmt.Sprintf("%+v %#v", receiver, receiver); strings.Contains(text, "sesame") {
		t.Error("printing the receiver shows a token")
	}
}
