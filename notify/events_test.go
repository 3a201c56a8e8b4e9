package notify_test

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"contactsync"
	"contactsync/notify"
)

var noon = time.Date(2027, 1, 20, 12, 0, 0, 0, time.UTC)

// state draws a state of a few projects, so that the same one comes in several ways.
func state(t *rapid.T) notify.State {
	concerns := func(name string) []notify.Concern {
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) notify.Concern {
			return notify.Concern{
				Project: rapid.Int64Range(1, 4).Draw(t, "project"), Organization: rapid.String().Draw(t, "organization"),
				Since: noon.Add(-time.Duration(rapid.IntRange(0, 3).Draw(t, "hours")) * time.Hour),
				Run:   rapid.StringMatching(`[a-z0-9]{4}`).Draw(t, "run"), Changes: rapid.Int64Range(1, 9).Draw(t, "changes"),
				Class: contactsync.ClassNoOrgFound, Failures: rapid.Int64Range(10, 99).Draw(t, "failures"),
			}
		}), 0, 5).Draw(t, name)
	}
	return notify.State{
		Held: concerns("held"), Quarantined: concerns("quarantined"), HooksDisabled: concerns("hooks"),
		Sweep: notify.Sweep{ID: rapid.SampledFrom([]string{"", "s1", "s2"}).Draw(t, "sweep"), Removals: 5, Organizations: 2},
		Credentials: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) notify.Credential {
			return notify.Credential{
				System:  rapid.SampledFrom([]string{"gitlab", "desk"}).Draw(t, "system"),
				Expires: contactsync.DateOf(noon.AddDate(0, 0, rapid.IntRange(-3, 40).Draw(t, "left"))),
				Days:    rapid.SampledFrom([]int{0, 30}).Draw(t, "days"),
			}
		}), 0, 3).Draw(t, "credentials"),
	}
}

// Whoever remembers keys tells each event once: in one state no key comes twice, the same state has the same events,
// and what only counts on makes no new one.
func TestEventsProperty(t *testing.T) {
	form := regexp.MustCompile(`^[a-zA-Z0-9_/-]+$`)
	rapid.Check(t, func(t *rapid.T) {
		s := state(t)
		events := notify.Events(s, noon)
		keys := map[string]bool{}
		for _, e := range events {
			if keys[e.Key] {
				t.Fatalf("%s comes twice", e.Key)
			}
			keys[e.Key] = true
			if !form.MatchString(e.Key) || !slices.Contains(contactsync.NoticeEvents(), e.Event) || e.Command == "" {
				t.Fatalf("the event is %+v", e)
			}
			data, err := json.Marshal(e)
			var back notify.Event
			if err != nil || json.Unmarshal(data, &back) != nil {
				t.Fatalf("%s does not come back from the store", data)
			}
			if back.Key != e.Key || !back.Since.Equal(e.Since) || back.Detail != e.Detail {
				t.Fatalf("%+v comes back as %+v", e, back)
			}
		}
		if !reflect.DeepEqual(notify.Events(s, noon), events) {
			t.Fatal("the same state has other events")
		}
		for _, list := range [][]notify.Concern{s.Held, s.Partial, s.Quarantined, s.HooksDisabled} {
			for i := range list {
				list[i].Failures++
				list[i].Organization += "x"
				list[i].Changes++
			}
		}
		for _, e := range notify.Events(s, noon.Add(11*time.Hour)) {
			if !keys[e.Key] {
				t.Fatalf("%s is new although nothing happened", e.Key)
			}
		}
	})
}

// Each event says what it is about, and what to type next.
func TestEvents(t *testing.T) {
	since := noon.Add(-time.Hour)
	got := notify.Events(notify.State{
		Held:          []notify.Concern{{Project: 7, Organization: "Example", Since: since, Run: "abc", Changes: 12}},
		Partial:       []notify.Concern{{Project: 6, Since: since, Run: "def", Changes: 2, Set: "0123456789abcdef"}},
		Quarantined:   []notify.Concern{{Project: 8, Since: since, Class: contactsync.ClassNoOrgFound, Failures: 11}},
		HooksDisabled: []notify.Concern{{Project: 9, Since: since}},
		Sweep:         notify.Sweep{ID: "xyz", Removals: 70, Organizations: 6, Ended: since},
		Credentials:   []notify.Credential{{System: "gitlab", Expires: "2027-01-31", Advice: "Make a new one."}},
	}, noon)
	want := []notify.Event{
		{Key: "held/7/abc", Event: "held", Project: 7, Organization: "Example", Changes: 12, Since: since, Command: "contactsync plan 7"},
		{Key: "partial/6/0123456789abcdef", Event: "partial", Project: 6, Changes: 2, Since: since, Command: "contactsync runs show def"},
		{Key: "quarantined/8/20270120T110000Z", Event: "quarantined", Project: 8, Class: "no_org_found", Since: since,
			Detail: "11 runs in a row have failed.", Command: "contactsync runs 8"},
		{Key: "hook_disabled/9/20270120T110000Z", Event: "hook_disabled", Project: 9, Since: since, Command: "contactsync doctor 9"},
		{Key: "credential_expires/gitlab/2027-01-31/14d", Event: "credential_expires", System: "gitlab", Expires: "2027-01-31",
			Detail: "11 days are left. Make a new one.", Command: "contactsync config check"},
		{Key: "sweep_held/xyz", Event: "sweep_held", Changes: 70, Organizations: 6, Since: since, Command: "contactsync runs --status held"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if a, b := notify.Test("a", noon), notify.Test("b", noon); a.Key == b.Key || a.Detail == "" {
		t.Errorf("the tests are %+v and %+v", a, b)
	}
}

// A credential is told of at three stages, each once, and not before; one that never ends is not.
func TestCredentials(t *testing.T) {
	for _, test := range []struct {
		expires contactsync.Date
		days    int
		want    string // the stage; "" for nothing
	}{
		{"2027-02-04", 0, ""},
		{"2027-02-03", 0, "14d"},
		{"2027-01-24", 0, "14d"},
		{"2027-01-23", 0, "3d"},
		{"2027-01-21", 0, "3d"},
		{"2027-01-20", 0, "expired"},
		{"2026-12-31", 0, "expired"},
		{"2027-02-20", 30, ""},
		{"2027-02-19", 30, "30d"},
		{"", 0, ""},
		{"never", 0, ""},
	} {
		events := notify.Events(notify.State{Credentials: []notify.Credential{{System: "desk", Expires: test.expires, Days: test.days}}}, noon)
		var got string
		if len(events) > 0 {
			got = events[0].Key
		}
		want := ""
		if test.want != "" {
			want = "credential_expires/desk/" + string(test.expires) + "/" + test.want
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", test.expires, got, want)
		}
	}
}

// A target that fails is tried again after 1 minute, then more and more rarely up to once an hour, for a day; sooner
// given up where it is of no use, and never before the target wants.
func TestAgain(t *testing.T) {
	failed := notify.Outcome{Problem: "it answers 503"}
	var pauses []time.Duration
	at, tries := noon, 0
	for {
		tries++
		next, again := failed.Again(tries, noon, at)
		if !again {
			break
		}
		pauses, at = append(pauses, next.Sub(at)), next
	}
	want := []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour}
	if !slices.Equal(pauses[:len(want)], want) || len(pauses) != 28 || at.Sub(noon) > 24*time.Hour {
		t.Errorf("it is tried again after %v", pauses)
	}
	if _, again := (notify.Outcome{Problem: "it answers 404", Final: true}).Again(1, noon, noon); again {
		t.Error("what is final is tried again")
	}
	failed.After = noon.Add(3 * time.Hour)
	if next, again := failed.Again(1, noon, noon); !again || !next.Equal(failed.After) {
		t.Errorf("it is tried again at %v, %v", next, again)
	}
	failed.After = noon.Add(25 * time.Hour)
	if _, again := failed.Again(1, noon, noon); again {
		t.Error("it is tried again although the target wants nothing for a day")
	}
}
