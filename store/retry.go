package store

import (
	"cmp"
	"slices"
	"time"

	"contactsync"
)

// When a project that failed is tried again. See docs/errors/README.md.
const (
	soonFirst  = 30 * time.Second
	soonMost   = 15 * time.Minute
	laterMost  = 6 * time.Hour
	soonSteps  = 6 // soon becomes later after so many failures, where an operator must mend it
	quarantine = 24 * time.Hour
	// quarantineFailures: fewer say that the machine was off, not that the project cannot be helped.
	quarantineFailures = 10
)

// standing is how a project stands after a run.
type standing struct {
	class    contactsync.Class // why it is to be tried again; "" where all is well or nobody but people can go on
	failures int64             // runs in a row that ended with the class
	since    time.Time         // the first of them
	retryAt  time.Time         // zero: not by itself
}

// quarantined: the project has failed for the same reason for a day, and is left alone for hours at a time.
func (s standing) quarantined(now time.Time) bool {
	return s.failures >= quarantineFailures && !s.retryAt.IsZero() && now.Sub(s.since) >= quarantine
}

// after returns how a project stands after the run, given how it stood before. jitter is from 0 to 1.
func (s standing) after(run contactsync.Run, now time.Time, jitter float64) standing {
	class, retry, who, at := cause(run)
	if class == "" {
		return standing{}
	}
	next := standing{class: class, failures: 1, since: now}
	if s.class == class {
		next.failures, next.since = s.failures+1, s.since
	}
	switch {
	case at.After(now):
		next.retryAt = at.Add(time.Duration(jitter * float64(time.Second)))
		return next
	case !at.IsZero(): // it was stopped, and nothing stands in its way now
		next.retryAt = now
		return next
	}
	first, most, step := soonFirst, soonMost, next.failures
	switch retry {
	case contactsync.RetrySoon, contactsync.RetryWhenTold: // a time that nobody told is soon
		if who == contactsync.WhoOperator && step > soonSteps {
			first, most, step = soonMost, laterMost, step-soonSteps
		}
	case contactsync.RetryLater:
		first, most = soonMost, laterMost
	default:
		return next
	}
	pause := min(first<<min(step-1, 20), most)
	next.retryAt = now.Add(pause)
	if next.quarantined(now) {
		pause = laterMost
	}
	// From half of the pause on, so that what failed together does not come back together.
	next.retryAt = now.Add(pause/2 + time.Duration(jitter*float64(pause/2)))
	return next
}

// soonest orders the retry classes by how soon they let a run try again.
var soonest = []contactsync.Retry{contactsync.RetrySoon, contactsync.RetryWhenTold, contactsync.RetryLater}

// cause is why a run is to be tried again: the reason for its failure, or where only some changes failed, that of the
// one that can be tried soonest.
func cause(run contactsync.Run) (contactsync.Class, contactsync.Retry, contactsync.Who, time.Time) {
	if run.Error != nil {
		return run.Error.Class, run.Error.Retry, run.Error.Who, run.Error.RetryAt
	}
	var found contactsync.ClassInfo
	place := len(soonest)
	for _, change := range run.Changes {
		if change.Result != contactsync.ResultFailed {
			continue
		}
		info := cmp.Or(change.Error, contactsync.ClassInternal).Info()
		if i := slices.Index(soonest, info.Retry); i >= 0 && i < place {
			found, place = info, i
		}
	}
	return found.Class, found.Retry, found.Who, time.Time{}
}
