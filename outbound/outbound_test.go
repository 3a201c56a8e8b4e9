package outbound_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"testing"
	"time"

	"contactsync/outbound"
)

// Credentials go to https addresses and to this machine alone, however the address is dressed up.
func TestSecure(t *testing.T) {
	for address, want := range map[string]bool{
		"https://example.com":               true,
		"http://127.0.0.1:8080":             true,
		"http://127.9.9.9":                  true,
		"http://[::1]:80":                   true,
		"http://localhost":                  true,
		"http://example.com":                false,
		"http://localhost.example.com":      false,
		"http://127.0.0.1.example.com":      false,
		"http://10.0.0.1":                   false,
		"http://0.0.0.0":                    false,
		"http://user@example.com@localhost": true, // the host is what follows the last @
		"ftp://localhost":                   false,
		"localhost":                         false,
	} {
		parsed, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		if got := outbound.Secure(parsed); got != want {
			t.Errorf("Secure(%s) = %v, want %v", address, got, want)
		}
	}
}

// Foreign text stays one short, valid line.
func TestClean(t *testing.T) {
	for _, tt := range []struct {
		text string
		most int
		want string
	}{
		{" plain ", 20, "plain"},
		{"two\r\nlines\x1b[", 20, "two  lines ["},
		{"bad \xff byte", 20, "bad \uFFFD byte"},
		{"élan vital", 8, "élan vit…"},
		{"élan vital", 10, "élan vital"},
	} {
		if got := outbound.Clean(tt.text, tt.most); got != tt.want {
			t.Errorf("Clean(%q, %d) = %q, want %q", tt.text, tt.most, got, tt.want)
		}
	}
}

// Both forms of Retry-After are understood, and nonsense is not taken for a time.
func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Time{
		"0":                             now,
		"30":                            now.Add(30 * time.Second),
		"Sat, 21 Nov 2026 12:01:00 GMT": now.Add(time.Minute),
		"":                              {},
		"-1":                            {},
		"soon":                          {},
		"99999999999":                   {},
	} {
		got, told := outbound.RetryAfter(http.Header{"Retry-After": {value}}, now)
		if told == want.IsZero() || told && !got.Equal(want) {
			t.Errorf("RetryAfter(%q) = %v, %v; want %v", value, got, told, want)
		}
	}
}

// A network error is told without the address that was requested.
func TestCause(t *testing.T) {
	refused := errors.New("connection refused")
	err := &url.Error{Op: "Get", URL: "https://example.com/?token=secret", Err: &net.OpError{Op: "dial", Net: "tcp", Err: refused}}
	if got := outbound.Cause(err); got != "connection refused" {
		t.Errorf("Cause = %q", got)
	}
}

// Waiting ends with the context.
func TestWait(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := outbound.Wait(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait = %v", err)
	}
	if err := outbound.Wait(t.Context(), 0); err != nil {
		t.Errorf("Wait = %v", err)
	}
}
