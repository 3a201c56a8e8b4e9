// Package schedule tells when what happens by itself is due. It is pure.
package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule is a cron expression of five fields, in UTC. The zero Schedule never fires.
type Schedule struct{ spec cron.Schedule }

var errNoExpression = errors.New("is no cron expression of five fields")

// Parse reads a cron expression: minute, hour, day, month and weekday. "" is the zero Schedule. Further
// fields, such as a time zone, are refused, because everything here is UTC, and so is a date that never comes.
func Parse(text string) (_ Schedule, err error) {
	if text == "" {
		return Schedule{}, nil
	}
	if len(strings.Fields(text)) != 5 {
		return Schedule{}, errNoExpression
	}
	// The library takes a text apart without looking: "TZ=" and a blank make it panic.
	defer func() {
		if recover() != nil {
			err = errNoExpression
		}
	}()
	spec, err := cron.ParseStandard(text)
	if err != nil {
		return Schedule{}, fmt.Errorf("%w: %w", errNoExpression, err)
	}
	s := Schedule{spec}
	if s.Next(time.Unix(0, 0)).IsZero() {
		return Schedule{}, errors.New("names a date that never comes")
	}
	return s, nil
}

// Never reports whether the schedule never fires.
func (s Schedule) Never() bool { return s.spec == nil }

// Next returns the first moment of the schedule after a time, in UTC; the zero time where there is none.
func (s Schedule) Next(after time.Time) time.Time {
	if s.spec == nil {
		return time.Time{}
	}
	return s.spec.Next(after.UTC())
}

// Due returns the newest moment of the schedule after last and not after now: the one that counts when several were
// missed. It is the zero time when none is due.
func (s Schedule) Due(last, now time.Time) (due time.Time) {
	// Missed moments are looked for backwards in growing steps, because a process may have been away for years.
	for back := time.Hour; ; back *= 2 {
		from := now.Add(-back)
		if from.Before(last) || back <= 0 {
			from = last
		}
		next := s.Next(from)
		if next.IsZero() || next.After(now) {
			if from.Equal(last) {
				return time.Time{}
			}
			continue
		}
		for !next.IsZero() && !next.After(now) {
			due, next = next, s.Next(next)
		}
		return due
	}
}
