package zendesk

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"
)

// limits counts requests in fixed windows, by name. A window opens with its first request.
type limits map[string]*window

type window struct {
	opened time.Time
	used   int
}

// take uses one of per in the window; it returns how many are left and when the window ends.
func (l limits) take(name string, now time.Time, per int, length time.Duration) (left int, reset time.Duration, ok bool) {
	w := l[name]
	if w == nil || now.Sub(w.opened) >= length || now.Before(w.opened) {
		w = &window{opened: now}
		l[name] = w
	}
	reset = w.opened.Add(length).Sub(now)
	if w.used >= per {
		return 0, reset, false
	}
	w.used++
	return per - w.used, reset, true
}

// account applies the account's own limit, and returns the headers that every answer then carries.
func (l limits) account(c *call) (denied answer, header http.Header, ok bool) {
	if c.settings.RateLimit <= 0 {
		return answer{}, nil, true
	}
	left, reset, ok := l.take("account", c.now, c.settings.RateLimit, time.Minute)
	header = http.Header{}
	limit := strconv.Itoa(c.settings.RateLimit)
	header.Set("X-Rate-Limit", limit)
	header.Set("X-Rate-Limit-Remaining", strconv.Itoa(left))
	header.Set("Ratelimit-Limit", limit)
	header.Set("Ratelimit-Remaining", strconv.Itoa(left))
	header.Set("Ratelimit-Reset", strconv.Itoa(seconds(reset)))
	if ok {
		return answer{}, header, true
	}
	denied = tooMany(c.now, c.settings, reset)
	for name, values := range header {
		denied.header[name] = values
	}
	return denied, nil, false
}

// endpoint applies the limit of one endpoint; the account's own limit has been taken before.
func (c *call) endpoint(name, key string, per int, length time.Duration) (denied answer, header http.Header, ok bool) {
	left, reset, ok := c.s.limits.take(name+key, c.now, per, length)
	header = http.Header{}
	header.Set("Zendesk-Ratelimit-"+name, fmt.Sprintf("total=%d; remaining=%d; resets=%d", per, left, seconds(reset)))
	if ok {
		return answer{}, header, true
	}
	denied = tooMany(c.now, c.settings, reset)
	for name, values := range header {
		denied.header[name] = values
	}
	return denied, nil, false
}

// updateLimit is the shared limit of PUT /users/{id} and create_or_update.
func (c *call) updateLimit(user string) (denied answer, ok bool) {
	if !c.settings.UpdateLimit {
		return answer{}, true
	}
	denied, _, ok = c.endpoint("create-update-user", "", 1, time.Second)
	if ok {
		denied, _, ok = c.endpoint("create-update-user", " "+user, 5, time.Minute)
	}
	if !ok {
		c.violation("people updated faster than the documented limit")
	}
	return denied, ok
}

func tooMany(now time.Time, settings Settings, wait time.Duration) answer {
	a := failure(http.StatusTooManyRequests, "APIRateLimitExceeded",
		"Number of allowed API requests per minute exceeded")
	a.header.Set("Retry-After", retryAfter(now, settings, wait))
	return a
}

func retryAfter(now time.Time, settings Settings, wait time.Duration) string {
	if settings.RetryAfterDate {
		return now.Add(time.Duration(seconds(wait)) * time.Second).UTC().Format(http.TimeFormat)
	}
	return strconv.Itoa(seconds(wait))
}

// seconds rounds up: a client that waits so long has waited enough.
func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }
