package schedule_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"contactsync/schedule"
)

// Only expressions that fire are accepted, and nothing makes the library panic.
func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"17 3 * * *":            "",
		"*/5 0-6,22 1 1-6 mon":  "",
		"@daily":                "no cron expression",
		"":                      "",
		"0 0 31 2 *":            "never comes",
		"0 0 30 feb *":          "never comes",
		"TZ=":                   "no cron expression",
		"TZ=UTC":                "no cron expression",
		"CRON_TZ=UTC":           "no cron expression",
		"CRON_TZ=UTC 0 0 * * *": "no cron expression",
		"@every 5s":             "no cron expression",
		"@":                     "no cron expression",
		"* * * *":               "no cron expression",
		"* * * * * *":           "no cron expression",
		"*/0 * * * *":           "no cron expression",
		"61 * * * *":            "no cron expression",
		"\x00":                  "no cron expression",
	} {
		_, err := schedule.Parse(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("Parse(%q): got %v, want an error with %q", text, err, want)
		}
	}
}

// FuzzParse guards that no text makes the parser panic, and that what it accepts fires.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"17 3 * * *", "TZ=UTC", "@every 1h", "0 0 31 2 *", "TZ= 1 2 3 4", "1-2/3 * * jan sun", "TZ=UTC 1 2 3 4", "CRON_TZ=  1 2 3 4"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := schedule.Parse(text)
		if err != nil || s.Never() {
			return
		}
		if next := s.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)); next.IsZero() {
			t.Errorf("%q never fires", text)
		}
	})
}

// Due is the newest missed moment, and none that was there before or is still to come.
func TestDueProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom([]string{"17 3 * * *", "*/7 * * * *", "0 0 29 2 *", "30 4 1,15 * 5", "0 0 * * 0"}).Draw(t, "schedule")
		s, err := schedule.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		last := time.Unix(rapid.Int64Range(1.6e9, 1.9e9).Draw(t, "last"), 0)
		now := last.Add(time.Duration(rapid.Int64Range(0, int64(400*24*time.Hour)).Draw(t, "gap")))
		due := s.Due(last, now)
		if due.IsZero() {
			if next := s.Next(last); !next.After(now) {
				t.Fatalf("nothing is due, but %v lies between %v and %v", next, last, now)
			}
			return
		}
		if !due.After(last) || due.After(now) || !s.Next(due).After(now) {
			t.Fatalf("%v is due between %v and %v; the one after it is %v", due, last, now, s.Next(due))
		}
	})
}

// The zero Schedule is never due.
func TestNever(t *testing.T) {
	t.Parallel()
	var s schedule.Schedule
	if due := s.Due(time.Unix(0, 0), time.Unix(1e9, 0)); !s.Never() || !due.IsZero() {
		t.Errorf("the zero schedule is due at %v", due)
	}
}
