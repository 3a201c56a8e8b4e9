package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	main "contactsync/cmd/contactsync"
	fakezendesk "contactsync/internal/fakes/zendesk"
	"contactsync/store"
)

// A command that takes more than a second shows on a terminal how far it is, and takes that away when it is done.
// Quick commands, pipes and programs are not bothered.
func TestProgress(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		latency  time.Duration
		terminal bool
		flags    []string
		want     bool
	}{
		{name: "slow, terminal", latency: 2 * time.Second, terminal: true, want: true},
		{name: "quick, terminal", terminal: true},
		{name: "slow, pipe", latency: 2 * time.Second},
		{name: "slow, json", latency: 2 * time.Second, terminal: true, flags: []string{"--output", "json"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				stderr := exportSlowly(t, test.latency, test.terminal, test.flags...)
				if got := strings.Contains(stderr, "reading the members"); got != test.want {
					t.Errorf("progress is shown: %v, want %v: %q", got, test.want, stderr)
				}
				if !test.want && stderr != "" {
					t.Errorf("standard error should be empty: %q", stderr)
				}
				if test.want && !strings.HasSuffix(strings.TrimRight(stderr, " "), "\r") {
					t.Errorf("the bar is still there: %q", stderr)
				}
			})
		})
	}
}

// On a pipe, --log-level info tells the steps, a line each.
func TestStepsInTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		stderr := exportSlowly(t, 0, false, "--log-level", "info")
		for _, step := range []string{"reading the organization", "reading the members"} {
			if strings.Count(stderr, step) != 1 {
				t.Errorf("%q should be told once: %s", step, stderr)
			}
		}
	})
}

// exportSlowly exports an organization, without a network, from a desk that takes its time for each answer, and
// returns what standard error says.
func exportSlowly(t *testing.T, latency time.Duration, terminal bool, flags ...string) string {
	t.Helper()
	desk := fakezendesk.New(fakezendesk.Options{ClientID: client, ClientSecret: secret})
	org := desk.AddOrganization(fakezendesk.Organization{Name: "Example"})
	for _, c := range numbered(450) {
		desk.AddUser(fakezendesk.User{Name: c.Name, Email: string(c.Email), Organizations: []int64{org}})
	}
	var stdout, stderr bytes.Buffer
	status := main.Main{
		Args: append([]string{"export", fmt.Sprint(org)}, flags...),
		Env: []string{
			"CONTACTSYNC_ZENDESK_URL=http://localhost", "CONTACTSYNC_ZENDESK_CLIENT_ID=" + client,
			"CONTACTSYNC_ZENDESK_CLIENT_SECRET=" + secret, "CONTACTSYNC_STORE=sqlite:" + t.TempDir() + "/none.db",
		},
		Stdout: &stdout, Stderr: &stderr, StderrIsTerminal: terminal,
		Transport: func(http.RoundTripper) http.RoundTripper {
			return roundTripper(func(r *http.Request) (*http.Response, error) {
				<-time.After(latency)
				received := r.Clone(r.Context())
				received.Host = r.URL.Host
				if received.Body == nil {
					received.Body = http.NoBody
				}
				answer := httptest.NewRecorder()
				desk.ServeHTTP(answer, received)
				return answer.Result(), nil
			})
		},
	}.Run(t.Context())
	if status != 0 || strings.Count(stdout.String(), "name:") != 450 {
		t.Fatalf("exit status %d\n%s%s", status, stdout.String(), stderr.String())
	}
	return stderr.String()
}

// A sync that waits for another run of its project says so, once: on a terminal in place of the bar, elsewhere with a
// line when that takes more than a few seconds.
func TestWaitingIsTold(t *testing.T) {
	t.Parallel()
	const waiting = "waiting for another run of the project"
	for _, test := range []struct {
		name     string
		lasts    time.Duration
		terminal bool
		flags    []string
		want     string
	}{
		{name: "terminal", lasts: 2 * time.Second, terminal: true, want: waiting},
		{name: "pipe", lasts: 20 * time.Second, want: `level=WARN msg="still ` + waiting},
		{name: "programs", lasts: 20 * time.Second, terminal: true, flags: []string{"--output", "json"}, want: `"msg":"still ` + waiting},
		{name: "pipe, not for long", lasts: 4 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				address := "sqlite:" + t.TempDir() + "/contactsync.db"
				var stderr bytes.Buffer
				holding(t, address, func(ctx context.Context) {
					ctx, stop := context.WithTimeout(ctx, test.lasts)
					defer stop()
					main.Main{
						Args: append([]string{"sync", fmt.Sprint(project)}, test.flags...),
						Env: []string{
							"CONTACTSYNC_GITLAB_URL=http://localhost", "CONTACTSYNC_GITLAB_TOKEN=" + token,
							"CONTACTSYNC_ZENDESK_URL=http://localhost", "CONTACTSYNC_ZENDESK_CLIENT_ID=" + client,
							"CONTACTSYNC_ZENDESK_CLIENT_SECRET=" + secret, "CONTACTSYNC_STORE=" + address,
						},
						Stdout: io.Discard, Stderr: &stderr, StderrIsTerminal: test.terminal,
					}.Run(ctx)
				})
				told, _, _ := strings.Cut(stderr.String(), "contactsync: ") // then comes how the run ended
				if test.want == "" && told != "" {
					t.Errorf("standard error should say nothing of it: %q", told)
				}
				if !strings.Contains(told, test.want) || !test.terminal && strings.Count(told, "level=") > 1 {
					t.Errorf("standard error should say %q once: %q", test.want, told)
				}
			})
		})
	}
}

// holding does something while the world's project is taken by another run.
func holding(t *testing.T, address string, do func(context.Context)) {
	t.Helper()
	other, err := store.Open(t.Context(), address, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = other.Hold(t.Context(), project, func(ctx context.Context) error {
		do(ctx)
		return nil
	})
	if err := errors.Join(err, other.Close()); err != nil {
		t.Fatal(err)
	}
}
