// Package web is what browsers are shown.
package web

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"contactsync"
	"contactsync/schedule"
	"contactsync/templates"
)

// BadgeRoute is where badges are.
const BadgeRoute = "GET /badges/{name}"

// Sight is what a badge may tell of a project.
type Sight struct {
	Status   contactsync.Status // of the last run; "" where none has ended
	Contacts int                // after the last one that succeeded or found nothing to do
	Synced   time.Time          // when that ended; zero where there was none
}

// BadgeOptions are what badges are drawn from. All are required but Schedule and Spread.
type BadgeOptions struct {
	// Sight returns what the badge with that key may tell, and false where there is none.
	Sight func(ctx context.Context, key string) (Sight, bool, error)
	// Draw draws a badge, as SVG.
	Draw func(templates.BadgeData) ([]byte, error)
	// Schedule is when every project is synced again, over Spread. A project that was not synced for two of its periods
	// has a grey badge; with the zero Schedule none turns grey by itself.
	Schedule schedule.Schedule
	Spread   time.Duration
	Now      func() time.Time
	// Failed is told why a badge could not be drawn.
	Failed func(error)
}

// badgeAge is for how long a picture may be shown without asking again, in seconds.
const badgeAge = 60

// Badges draws the badge whose key is in the address, as KEY.svg. An address that is not one of ours is answered 404,
// whatever is wrong with it, and a picture tells nothing but its project's status, the number of contacts and a time.
func Badges(options BadgeOptions) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, drawn := strings.CutSuffix(r.PathValue("name"), ".svg")
		if !drawn || key == "" {
			http.NotFound(w, r)
			return
		}
		sight, found, err := options.Sight(r.Context(), key)
		if err == nil && !found {
			http.NotFound(w, r)
			return
		}
		var picture []byte
		if err == nil {
			picture, err = options.Draw(BadgeOf(sight, options.Schedule, options.Spread, options.Now()))
		}
		if err != nil {
			if r.Context().Err() == nil {
				options.Failed(err)
			}
			http.Error(w, "The badge cannot be drawn now.", http.StatusServiceUnavailable)
			return
		}
		header := w.Header()
		header.Set("Content-Type", "image/svg+xml")
		header.Set("Cache-Control", "max-age="+strconv.Itoa(badgeAge))
		header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
		header.Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(picture) // a browser that is gone misses nothing
	})
}

// BadgeOf decides what a badge shows at a time.
func BadgeOf(sight Sight, resync schedule.Schedule, spread time.Duration, now time.Time) templates.BadgeData {
	data := templates.BadgeData{Contacts: sight.Contacts, Synced: sight.Synced}
	switch {
	case stale(sight.Synced, resync, spread, now):
		data.State = "stale"
	case sight.Status == contactsync.StatusSucceeded, sight.Status == contactsync.StatusUnchanged:
		data.State = "synced"
	case sight.Status == contactsync.StatusHeld, sight.Status == contactsync.StatusPartial, sight.Status == contactsync.StatusFailed:
		data.State = string(sight.Status)
	default:
		data.State = "unknown"
	}
	return data
}

// stale reports whether two whole periods of the schedule have passed since: the second time at which every project
// should have been synced is over, with the hours that a sweep takes.
func stale(synced time.Time, resync schedule.Schedule, spread time.Duration, now time.Time) bool {
	if synced.IsZero() || resync.Never() {
		return false
	}
	second := resync.Next(resync.Next(synced))
	return !second.IsZero() && now.After(second.Add(spread))
}
