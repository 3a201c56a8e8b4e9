package telemetry_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"contactsync"
	"contactsync/telemetry"
)

// ready asks /readyz once.
func ready(t testing.TB, h *telemetry.Health) (status int, document readyDocument) {
	t.Helper()
	answer := httptest.NewRecorder()
	h.Ready().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
	if err := json.Unmarshal(answer.Body.Bytes(), &document); err != nil {
		t.Fatalf("%v in %s", err, answer.Body)
	}
	return answer.Code, document
}

type readyDocument struct {
	Status string
	Checks []struct {
		Name    string
		OK      bool
		Checked time.Time
		Error   struct{ Class, Title, Remedy string }
	}
}

// probe is a check's probe that counts its calls and answers as it is told.
type probe struct {
	calls atomic.Int32
	mu    sync.Mutex
	err   error
}

func (p *probe) try(context.Context) error {
	p.calls.Add(1)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

func (p *probe) set(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = err
}

// A probe each second for ten minutes costs a desk twenty requests, and a failure is looked at again after 5 seconds.
func TestReadyIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		desk := &probe{}
		health := telemetry.NewHealth(telemetry.HealthOptions{Checks: []telemetry.Check{{Name: "desk", Probe: desk.try}}})
		defer health.Close()
		everySecond := func(seconds, want int) {
			t.Helper()
			for range seconds {
				if status, _ := ready(t, health); status != want {
					t.Fatalf("status %d, want %d", status, want)
				}
				<-time.After(time.Second)
			}
		}
		everySecond(600, http.StatusOK)
		if calls := desk.calls.Load(); calls != 20 {
			t.Errorf("600 answers took %d checks, want 20", calls)
		}
		desk.set(contactsync.Errorf(contactsync.ClassDeskUnauthorized, "401"))
		everySecond(60, http.StatusServiceUnavailable)
		if calls := desk.calls.Load(); calls != 32 {
			t.Errorf("60 refusals took %d checks, want 12", calls-20)
		}
		desk.set(nil)
		<-time.After(5 * time.Second)
		everySecond(1, http.StatusOK)
	})
}

// Callers at the same time share one check, and checks run side by side: as long as the slowest, not as all of them.
func TestReadyIsShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		slow := func(ctx context.Context) error {
			calls.Add(1)
			select {
			case <-time.After(2 * time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		health := telemetry.NewHealth(telemetry.HealthOptions{Checks: []telemetry.Check{{Name: "store", Probe: slow}, {Name: "desk", Probe: slow}}})
		defer health.Close()
		began := time.Now()
		var callers sync.WaitGroup
		for range 50 {
			callers.Go(func() {
				if status, document := ready(t, health); status != http.StatusOK || len(document.Checks) != 2 {
					t.Errorf("status %d, %+v", status, document)
				}
			})
		}
		callers.Wait()
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("it took %v, want 2s", took)
		}
		if calls.Load() != 2 {
			t.Errorf("%d probes, want one for each of the 2 checks", calls.Load())
		}
	})
}

// A caller that goes away does not end the check for the others.
func TestReadyCallerGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		health := telemetry.NewHealth(telemetry.HealthOptions{Checks: []telemetry.Check{{Name: "desk", Probe: func(ctx context.Context) error {
			select {
			case <-release:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}}})
		defer health.Close()
		ctx, leave := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		callers.Go(func() {
			answer := httptest.NewRecorder()
			health.Ready().ServeHTTP(answer, httptest.NewRequestWithContext(ctx, http.MethodGet, "/readyz", nil))
			if answer.Code == http.StatusOK {
				t.Error("ready before anything was checked")
			}
		})
		callers.Go(func() {
			if status, _ := ready(t, health); status != http.StatusOK {
				t.Errorf("status %d", status)
			}
		})
		synctest.Wait()
		leave()
		synctest.Wait()
		close(release)
		callers.Wait()
	})
}

// A check that hangs is a failure after its own time-out, is not tried a second time while it hangs, and does not keep
// the others from being named.
func TestReadyTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var calls atomic.Int32
		health := telemetry.NewHealth(telemetry.HealthOptions{Checks: []telemetry.Check{
			{Name: "store", Probe: func(context.Context) error { return nil }},
			{Name: "desk", Timeout: time.Second, Probe: func(context.Context) error { calls.Add(1); <-release; return nil }},
		}})
		began := time.Now()
		for range 20 {
			status, document := ready(t, health)
			if status != http.StatusServiceUnavailable || !document.Checks[0].OK || document.Checks[1].OK {
				t.Fatalf("status %d, %+v", status, document)
			}
			if !strings.Contains(document.Checks[1].Error.Remedy, "in time") {
				t.Fatalf("the remedy is %q", document.Checks[1].Error.Remedy)
			}
			<-time.After(time.Second)
		}
		if took := time.Since(began); took != 21*time.Second {
			t.Errorf("it took %v, want 21s: one time-out, and 20 seconds between", took)
		}
		if calls.Load() != 1 {
			t.Errorf("%d probes, want 1", calls.Load())
		}
		close(release)
		synctest.Wait()
		if status, _ := ready(t, health); status != http.StatusOK {
			t.Errorf("status %d once it answers again", status)
		}
		health.Close()
		health.Close()
	})
}

// The answer names each check and what to do, and nothing of the details; the log says it once, and once when it is
// over.
func TestReadyTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := &logLines{}
		desk, store := &probe{}, &probe{}
		health := telemetry.NewHealth(telemetry.HealthOptions{
			Checks: []telemetry.Check{{Name: "store", Probe: store.try}, {Name: "desk", Probe: desk.try}},
			Log:    lines.logger(),
		})
		defer health.Close()
		desk.set(contactsync.Errorf(contactsync.ClassDeskUnauthorized, "ada@example.com was refused with %s", "s3cret"))
		store.set(&contactsync.Error{Class: contactsync.ClassInternal, Detail: "disk", Remedy: "Make room."})
		for range 3 {
			_, document := ready(t, health)
			info := contactsync.ClassDeskUnauthorized.Info()
			if e := document.Checks[1].Error; document.Status != "not_ready" || e.Class != string(info.Class) || e.Title != info.Title || e.Remedy != info.Remedy {
				t.Errorf("%+v", document)
			}
			if e := document.Checks[0].Error; e.Remedy != "Make room." {
				t.Errorf("%+v", document)
			}
			<-time.After(5 * time.Second)
		}
		desk.set(nil)
		store.set(errors.New("something else"))
		ready(t, health)
		var told []string
		for _, line := range lines.all(t) {
			told = append(told, line["level"].(string)+" "+line["msg"].(string)+" "+line["check"].(string))
		}
		slices.Sort(told) // checks run side by side
		if want := []string{"INFO ready again desk", "WARN not ready desk", "WARN not ready store"}; !slices.Equal(told, want) {
			t.Errorf("the log says %q, want %q", told, want)
		}
		if text := lines.text(); strings.Contains(text, "s3cret") || strings.Contains(text, "ada@") {
			t.Errorf("the log holds details: %s", text)
		}
	})
}

// A service that stops is not ready any more, yet alive; probes are not bothered, and a wrong method is told so.
func TestStopping(t *testing.T) {
	desk := &probe{}
	health := telemetry.NewHealth(telemetry.HealthOptions{Checks: []telemetry.Check{{Name: "desk", Probe: desk.try}}})
	defer health.Close()
	health.Stopping()
	if status, document := ready(t, health); status != http.StatusServiceUnavailable || document.Status != "stopping" {
		t.Errorf("status %d, %+v", status, document)
	}
	if desk.calls.Load() != 0 {
		t.Error("the desk was asked")
	}
	server := httptest.NewServer(health.Live())
	defer server.Close()
	answer, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(answer.Body)
	answer.Body.Close()
	if err != nil || answer.StatusCode != http.StatusOK || string(body) != "{\"status\":\"alive\"}\n" {
		t.Errorf("%d %s %v", answer.StatusCode, body, err)
	}
	if answer, err = http.Post(server.URL, "", nil); err != nil || answer.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %v %v", answer, err)
	}
	answer.Body.Close()
}
