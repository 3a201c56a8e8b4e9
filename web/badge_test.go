package web_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"contactsync"
	"contactsync/schedule"
	"contactsync/templates"
	"contactsync/web"
)

func daily(t *testing.T) schedule.Schedule {
	t.Helper()
	s, err := schedule.Parse("17 3 * * *")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// What a badge shows: the last run's status, and grey once two nights went by without a successful sync, whatever the
// last run said.
func TestBadgeOf(t *testing.T) {
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	for name, test := range map[string]struct {
		sight web.Sight
		never bool
		want  string
	}{
		"never a run":                    {web.Sight{}, false, "unknown"},
		"a run that is the first":        {web.Sight{Status: contactsync.StatusRunning}, false, "unknown"},
		"succeeded":                      {web.Sight{Status: contactsync.StatusSucceeded, Synced: ago(time.Hour)}, false, "synced"},
		"nothing to do":                  {web.Sight{Status: contactsync.StatusUnchanged, Synced: ago(time.Hour)}, false, "synced"},
		"held":                           {web.Sight{Status: contactsync.StatusHeld, Synced: ago(time.Hour)}, false, "held"},
		"partial":                        {web.Sight{Status: contactsync.StatusPartial, Synced: ago(time.Hour)}, false, "partial"},
		"failed, and never good":         {web.Sight{Status: contactsync.StatusFailed}, false, "failed"},
		"one night missed":               {web.Sight{Status: contactsync.StatusUnchanged, Synced: ago(32 * time.Hour)}, false, "synced"},
		"two nights missed":              {web.Sight{Status: contactsync.StatusUnchanged, Synced: ago(60 * time.Hour)}, false, "stale"},
		"failing for two nights":         {web.Sight{Status: contactsync.StatusFailed, Synced: ago(60 * time.Hour)}, false, "stale"},
		"no schedule, so nothing is due": {web.Sight{Status: contactsync.StatusUnchanged, Synced: ago(9999 * time.Hour)}, true, "synced"},
	} {
		t.Run(name, func(t *testing.T) {
			resync := daily(t)
			if test.never {
				resync = schedule.Schedule{}
			}
			test.sight.Contacts = 7
			got := web.BadgeOf(test.sight, resync, 4*time.Hour, now)
			if got.State != test.want || got.Contacts != 7 || !got.Synced.Equal(test.sight.Synced) {
				t.Errorf("got %+v, want the state %s", got, test.want)
			}
		})
	}
}

// The moment at which a badge turns grey: after the second night, with all the hours that a sweep may take.
func TestTurnsGrey(t *testing.T) {
	synced := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	last := time.Date(2026, 11, 25, 3, 17, 0, 0, time.UTC).Add(4 * time.Hour)
	for at, want := range map[time.Time]string{last: "synced", last.Add(time.Second): "stale"} {
		got := web.BadgeOf(web.Sight{Status: contactsync.StatusSucceeded, Synced: synced}, daily(t), 4*time.Hour, at)
		if got.State != want {
			t.Errorf("at %s: %s, want %s", at, got.State, want)
		}
	}
}

// A badge is told to whoever knows its address, and nobody learns from the answer why another address is none.
func TestBadges(t *testing.T) {
	var failed []error
	mux := http.NewServeMux()
	mux.Handle(web.BadgeRoute, web.Badges(web.BadgeOptions{
		Sight: func(_ context.Context, key string) (web.Sight, bool, error) {
			switch key {
			case "broken":
				return web.Sight{}, false, errors.New("the store is away")
			case "secret":
				return web.Sight{Status: contactsync.StatusSucceeded, Contacts: 3}, true, nil
			}
			return web.Sight{}, false, nil
		},
		Draw: func(data templates.BadgeData) ([]byte, error) { return []byte("<svg>" + data.State + "</svg>"), nil },
		Now:  time.Now, Failed: func(err error) { failed = append(failed, err) },
	}))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	get := func(path string) (*http.Response, string) {
		response, err := server.Client().Get(server.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response, string(body)
	}
	response, body := get("/badges/secret.svg")
	if response.StatusCode != 200 || body != "<svg>synced</svg>" || response.Header.Get("Content-Type") != "image/svg+xml" ||
		response.Header.Get("Cache-Control") != "max-age=60" || response.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("got %d %v %q", response.StatusCode, response.Header, body)
	}
	_, first := get("/badges/unknown.svg")
	for _, path := range []string{"/badges/secret", "/badges/secret.png", "/badges/.svg", "/badges/unknown.svg", "/badges/Secret.svg", "/badges/%2e%2e.svg"} {
		if response, body := get(path); response.StatusCode != 404 || body != first {
			t.Errorf("%s: got %d %q", path, response.StatusCode, body)
		}
	}
	response, body = get("/badges/broken.svg")
	if response.StatusCode != 503 || strings.Contains(body, "store") || len(failed) != 1 {
		t.Errorf("got %d %q, and told %v", response.StatusCode, body, failed)
	}
}
