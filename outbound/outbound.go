// Package outbound is what every connection to another system keeps to, whichever system it is: credentials travel
// over TLS, foreign words are made fit to be shown, and whoever is asked to wait waits.
package outbound

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Secure reports whether credentials may travel to the address: over TLS, or within this machine.
func Secure(address *url.URL) bool {
	return address.Scheme == "https" || address.Scheme == "http" && IsLoopback(address.Hostname())
}

// IsLoopback reports whether a host, without its port, is this machine for certain.
func IsLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// Clean makes foreign text fit to be shown in a line: valid, without control characters, at most so many characters.
func Clean(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	text = strings.TrimSpace(text)
	if runes := []rune(text); len(runes) > most {
		text = string(runes[:most]) + "…"
	}
	return text
}

// Cause returns the innermost words of a network error, without the address that was requested: it may hold secrets.
func Cause(err error) string {
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	var operation *net.OpError
	if errors.As(err, &operation) {
		err = operation.Err
	}
	return err.Error()
}

// RetryAfter reads a Retry-After header in both of its forms, seconds and a date, as the time when another try is
// welcome. It reports false where the header is absent or makes no sense. Source: RFC 9110, 10.2.3.
func RetryAfter(header http.Header, now time.Time) (time.Time, bool) {
	value := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.Atoi(value); err == nil && seconds >= 0 && seconds < 1<<20 {
		return now.Add(time.Duration(seconds) * time.Second), true
	}
	at, err := http.ParseTime(value)
	return at, err == nil
}

// Wait lets the time pass. It returns early, with the context's error, when the context ends.
func Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
