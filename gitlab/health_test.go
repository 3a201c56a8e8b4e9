package gitlab_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"contactsync"
	"contactsync/gitlab"
)

func mustReceiver(t *testing.T, address string) gitlab.Receiver {
	t.Helper()
	receiver, err := gitlab.NewReceiver(address)
	if err != nil {
		t.Fatal(err)
	}
	return receiver
}

// TestReceiver guards which hooks are ours: by host and path, in either form, and whatever their scheme.
func TestReceiver(t *testing.T) {
	tests := []struct {
		receiver, hook string
		want           bool
	}{
		{"https://contacts.example.com", "https://contacts.example.com/hooks/gitlab", true},
		{"https://contacts.example.com/", "https://CONTACTS.example.com:443/hooks/gitlab/", true},
		{"https://contacts.example.com:443", "http://contacts.example.com:80/hooks/gitlab", true},
		{"http://127.0.0.1:8080", "http://127.0.0.1:8080/hooks/gitlab", true},
		{"https://contacts.example.com", "https://contacts.example.com/api/v4/projects/77/ref/master/trigger/pipeline", true},
		{"https://contacts.example.com", "https://contacts.example.com/api/v4/projects/support%2Fsync/ref/a%2Fb/trigger/pipeline", true},
		{"https://contacts.example.com", "https://contacts.example.com/api/v4/projects/{ID}/trigger/pipeline", true},
		{"https://example.com/contacts/", "https://example.com/contacts/hooks/gitlab", true},
		{"https://example.com/contacts", "https://example.com/hooks/gitlab", false},
		{"https://contacts.example.com", "https://contacts.example.org/hooks/gitlab", false},
		{"https://contacts.example.com", "https://contacts.example.com:8443/hooks/gitlab", false},
		{"https://contacts.example.com", "https://contacts.example.com/hooks/gitlab/more", false},
		{"https://contacts.example.com", "https://contacts.example.com/hooks", false},
		{"https://contacts.example.com", "https://contacts.example.com/api/v4/projects/7/hooks", false},
		{"https://contacts.example.com", "https://{HOST}/hooks/gitlab", false},
		{"https://contacts.example.com", "https://contacts.example.com/{PATH}", false},
		{"https://contacts.example.com", "", false},
	}
	for _, test := range tests {
		receiver := mustReceiver(t, test.receiver)
		if got := receiver.Gets(contactsync.Hook{Address: test.hook, PushEvents: true}); got != test.want {
			t.Errorf("%s gets %s: %v, want %v", test.receiver, test.hook, got, test.want)
		}
		if receiver.Gets(contactsync.Hook{Address: test.hook}) {
			t.Errorf("a hook without push events is ours: %s", test.hook)
		}
		if got := receiver.At(contactsync.Hook{Address: test.hook}); got != test.want {
			t.Errorf("%s leads to %s: %v, want %v", test.hook, test.receiver, got, test.want)
		}
	}
	for _, address := range []string{"", "contacts.example.com", "https://", "://"} {
		if _, err := gitlab.NewReceiver(address); err == nil {
			t.Errorf("%q is taken for an address", address)
		}
	}
}

// TestExamine guards when a run makes up for pushes that went unheard, and which hooks are to be enabled.
func TestExamine(t *testing.T) {
	since := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	before, after := since.Add(-time.Hour), since.Add(time.Hour)
	ours := contactsync.Hook{ID: 1, Address: "https://contacts.example.com/hooks/gitlab", PushEvents: true, AlertStatus: "executable"}
	theirs := contactsync.Hook{ID: 2, Address: "https://example.org/hooks/gitlab", PushEvents: true, AlertStatus: "disabled"}
	with := func(status string, until time.Time) contactsync.Hook {
		h := ours
		h.AlertStatus, h.DisabledUntil = status, until
		return h
	}
	at := func(times ...time.Time) (failures []contactsync.FailedDelivery) {
		for i, t := range times {
			failures = append(failures, contactsync.FailedDelivery{ID: int64(i + 1), Status: 500, At: t})
		}
		return failures
	}
	tests := []struct {
		name     string
		hooks    []contactsync.Hook
		failures map[int64][]contactsync.FailedDelivery
		missed   bool
		disabled int
	}{
		{"all is well", []contactsync.Hook{ours, theirs}, nil, false, 0},
		{"no hook", nil, nil, false, 0},
		{"one of an older GitLab", []contactsync.Hook{with("", time.Time{})}, nil, false, 0},
		{"somebody else's failures", []contactsync.Hook{ours, theirs}, map[int64][]contactsync.FailedDelivery{2: at(after)}, false, 0},
		{"a failure since", []contactsync.Hook{ours}, map[int64][]contactsync.FailedDelivery{1: at(after, before)}, true, 0},
		{"a failure at that very moment", []contactsync.Hook{ours}, map[int64][]contactsync.FailedDelivery{1: at(since)}, true, 0},
		{"a failure before", []contactsync.Hook{ours}, map[int64][]contactsync.FailedDelivery{1: at(before)}, false, 0},
		{"a failure that nobody knows the time of", []contactsync.Hook{ours}, map[int64][]contactsync.FailedDelivery{1: at(time.Time{})}, true, 0},
		{"disabled for a while", []contactsync.Hook{theirs, with("temporarily_disabled", after)}, nil, true, 1},
		{"disabled for good", []contactsync.Hook{with("disabled", before)}, nil, true, 1},
		{"disabled in a way of the future", []contactsync.Hook{with("paused", time.Time{})}, nil, true, 1},
		{"returned since", []contactsync.Hook{with("executable", after)}, nil, true, 0},
		{"returned before", []contactsync.Hook{with("executable", before)}, nil, false, 0},
		{"two of ours", []contactsync.Hook{ours, with("disabled", time.Time{}), with("temporarily_disabled", after)}, nil, true, 2},
	}
	receiver := mustReceiver(t, "https://contacts.example.com")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			health := receiver.Examine(test.hooks, test.failures, since)
			if health.Missed != test.missed || len(health.Disabled) != test.disabled {
				t.Errorf("%+v, want missed %v and %d disabled", health, test.missed, test.disabled)
			}
		})
	}
}

// TestExamineProperties guards, for any hooks, that nothing which is not ours counts, that a disabled hook is never
// found well, and that looking further back never finds less.
func TestExamineProperties(t *testing.T) {
	receiver := mustReceiver(t, "https://contacts.example.com")
	start := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	rapid.Check(t, func(rt *rapid.T) {
		moment := rapid.Custom(func(rt *rapid.T) time.Time {
			if rapid.IntRange(0, 4).Draw(rt, "none") == 0 {
				return time.Time{}
			}
			return start.Add(time.Duration(rapid.IntRange(-10, 10).Draw(rt, "minutes")) * time.Minute)
		})
		var hooks []contactsync.Hook
		failures := map[int64][]contactsync.FailedDelivery{}
		for i := range rapid.IntRange(0, 5).Draw(rt, "hooks") {
			id := int64(i + 1)
			hooks = append(hooks, contactsync.Hook{
				ID: id, PushEvents: rapid.Bool().Draw(rt, "push"), DisabledUntil: moment.Draw(rt, "until"),
				Address:     rapid.SampledFrom([]string{"https://contacts.example.com/hooks/gitlab", "https://example.org/hooks/gitlab"}).Draw(rt, "address"),
				AlertStatus: rapid.SampledFrom([]string{"", "executable", "temporarily_disabled", "disabled"}).Draw(rt, "status"),
			})
			for range rapid.IntRange(0, 3).Draw(rt, "failures") {
				failures[id] = append(failures[id], contactsync.FailedDelivery{At: moment.Draw(rt, "at")})
			}
		}
		since := start.Add(time.Duration(rapid.IntRange(-10, 10).Draw(rt, "since")) * time.Minute)
		health := receiver.Examine(hooks, failures, since)
		mine := slices.DeleteFunc(slices.Clone(hooks), func(h contactsync.Hook) bool { return !receiver.Gets(h) })
		alone := receiver.Examine(mine, failures, since)
		if alone.Missed != health.Missed || !slices.Equal(alone.Disabled, health.Disabled) {
			rt.Fatalf("with others' hooks %+v, without %+v", health, alone)
		}
		if len(health.Disabled) > 0 && !health.Missed {
			rt.Fatalf("a disabled hook missed nothing: %+v", health)
		}
		for _, h := range health.Disabled {
			if !h.Disabled() || !receiver.Gets(h) {
				rt.Fatalf("to be enabled: %+v", h)
			}
		}
		if earlier := receiver.Examine(hooks, failures, since.Add(-5*time.Minute)); health.Missed && !earlier.Missed {
			rt.Fatalf("looking further back finds less: %+v", hooks)
		}
	})
}
