package wire

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Limits is what the headers of one answer say about the account's requests.
type Limits struct {
	PerMinute int           // the account's limit; 0: not said
	Remaining int           // of it, now; -1: not said
	Reset     time.Duration // until the account's minute begins anew; 0: not said
	// Endpoint is how long the called endpoint is used up by a limit of its own; 0: it is not.
	Endpoint time.Duration
	// RetryAfter is how long the desk told us to stay away; 0: it did not.
	RetryAfter time.Duration
}

// inflightJobs counts background jobs, not requests.
const inflightJobs = "Zendesk-Ratelimit-Inflight-Jobs"

// maxWait bounds what a header can make anybody wait; limits renew by the minute, jobs within the hour.
const maxWait = 24 * time.Hour

// ReadLimits reads the rate limit headers: x-rate-limit(-remaining), ratelimit-limit, -remaining and -reset,
// zendesk-ratelimit-NAME ("total=…; remaining=…; resets=…"), and Retry-After as seconds or as an HTTP date.
// https://developer.zendesk.com/api-reference/introduction/rate-limits/
func ReadLimits(header http.Header, now time.Time) Limits {
	limits := Limits{Remaining: -1}
	if n, ok := count(header, "X-Rate-Limit", "Ratelimit-Limit"); ok {
		limits.PerMinute = n
	}
	if n, ok := count(header, "X-Rate-Limit-Remaining", "Ratelimit-Remaining"); ok {
		limits.Remaining = n
	}
	if n, ok := count(header, "Ratelimit-Reset"); ok {
		limits.Reset = seconds(n)
	}
	limits.RetryAfter = retryAfter(header.Get("Retry-After"), now)
	for name, values := range header {
		if !strings.HasPrefix(name, "Zendesk-Ratelimit-") || name == inflightJobs {
			continue
		}
		for _, value := range values {
			limits.Endpoint = max(limits.Endpoint, usedUp(value))
		}
	}
	return limits
}

// count returns the first of the headers that is a whole number.
func count(header http.Header, names ...string) (int, bool) {
	for _, name := range names {
		if n, err := strconv.Atoi(strings.TrimSpace(header.Get(name))); err == nil && n >= 0 {
			return n, true
		}
	}
	return 0, false
}

// usedUp reads "total=100; remaining=0; resets=41": 41 seconds, and 0 while anything remains.
func usedUp(value string) time.Duration {
	remaining, resets := -1, 0
	for _, part := range strings.FieldsFunc(value, func(r rune) bool { return r == ';' || r == ',' }) {
		key, text, _ := strings.Cut(strings.TrimSpace(part), "=")
		n, err := strconv.Atoi(text)
		if err != nil {
			continue
		}
		switch key {
		case "remaining":
			remaining = n
		case "resets":
			resets = n
		}
	}
	if remaining != 0 {
		return 0
	}
	return seconds(resets)
}

func retryAfter(value string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil {
		return seconds(n)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxWait)
}

func seconds(n int) time.Duration {
	return time.Duration(min(max(n, 0), int(maxWait/time.Second))) * time.Second
}
