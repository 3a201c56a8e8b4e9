package store_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"contactsync"
	"contactsync/store"
)

// runOf is a whole run of a project, under its lease, that ended as given and at the clock's time. It returns its id.
func runOf(t *testing.T, s *store.Store, c *clock, project int64, run contactsync.Run) string {
	t.Helper()
	run.ID, run.Project = newID(), contactsync.ProjectRef(fmt.Sprint(project))
	run.Organization = &contactsync.Organization{ID: "42", Name: "Example"}
	run.Started, run.Finished = c.Now(), c.Now()
	if run.Trigger == "" {
		run.Trigger = contactsync.TriggerHook
	}
	if err := s.Hold(t.Context(), project, func(ctx context.Context) error {
		return errors.Join(s.BeginRun(ctx, run), s.FinishRun(ctx, run))
	}); err != nil {
		t.Fatal(err)
	}
	c.Advance(time.Minute)
	return run.ID
}

func held(remainder string) contactsync.Run {
	return contactsync.Run{Status: contactsync.StatusHeld, Remainder: remainder, Summary: contactsync.Summary{Held: 4}}
}

func attention(t *testing.T, s *store.Store) store.Attention {
	t.Helper()
	found, err := s.Attention(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A held plan is known by the first run that left it, however often it is held again, and whatever fails in between.
// Another plan is another one, and so is the same once it was settled.
func TestHeldPlansAreKnown(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now, Wait: noWait(t)})
		failed := contactsync.Run{Status: contactsync.StatusFailed, Error: contactsync.FailureOf(contactsync.Errorf(contactsync.ClassDeskUnreadable, "gone"))}
		var ids []string
		for i, step := range []struct {
			run  contactsync.Run
			want int // of ids; -1: nothing is held
		}{
			{held("a"), 0},
			{held("a"), 0},
			{failed, -1},
			{held("a"), 0},
			{held("b"), 4},
			{held("a"), 5},
			{contactsync.Run{Status: contactsync.StatusUnchanged}, -1},
			{held("a"), 7},
			{contactsync.Run{Status: contactsync.StatusPartial}, -1},
			{held("a"), 9},
		} {
			ids = append(ids, runOf(t, s, c, 7, step.run))
			found := attention(t, s).Held
			if step.want < 0 {
				if len(found) != 0 {
					t.Errorf("after run %d: %+v", i, found)
				}
				continue
			}
			since := newClock().Now().Add(time.Duration(step.want) * time.Minute)
			want := []store.Concern{{Project: 7, Organization: "Example", Since: since, Run: ids[step.want], Changes: 4}}
			if !reflect.DeepEqual(found, want) {
				t.Errorf("after run %d: %+v, want %+v", i, found, want)
			}
		}
		// A run that is owed or under way may change it in a moment.
		if err := s.Hold(t.Context(), 7, func(context.Context) error {
			if found := attention(t, s).Held; len(found) != 0 {
				t.Errorf("while a run is under way: %+v", found)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.Want(t.Context(), contactsync.TriggerHook, 7); err != nil {
			t.Fatal(err)
		}
		if found := attention(t, s).Held; len(found) != 0 {
			t.Errorf("while a run is owed: %+v", found)
		}
	})
}

// What a sweep puts back needs nobody until the sweep has been judged, and then it is the sweep that does. What is held
// besides needs somebody as ever.
func TestSweepsHoldAsAWhole(t *testing.T) {
	for name, pass := range map[string]bool{"passed": true, "held": false} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, address string) {
				c := newClock()
				s := mustOpen(t, address, store.Options{Now: c.Now, Wait: noWait(t)})
				sweep := fill(t, s, c, 3)
				bySchedule := held("a")
				bySchedule.Trigger = contactsync.TriggerSchedule
				runOf(t, s, c, 1, bySchedule)
				if found := attention(t, s).Held; len(found) != 0 {
					t.Errorf("before the run is through: %+v", found)
				}
				runOf(t, s, c, 2, bySchedule) // additions alone
				for project, removals := range map[int64]int{1: 4, 2: 0, 3: 0} {
					if err := s.ThroughSweep(t.Context(), sweep.ID, project, 10, removals); err != nil {
						t.Fatal(err)
					}
				}
				found := attention(t, s)
				if len(found.Held) != 1 || found.Held[0].Project != 2 || found.Sweep.ID != "" {
					t.Errorf("before the judgement: %+v", found)
				}
				if _, err := s.JudgeSweep(t.Context(), func(store.Losses) bool { return pass }); err != nil {
					t.Fatal(err)
				}
				found = attention(t, s)
				if len(found.Held) != 1 || found.Held[0].Project != 2 {
					t.Errorf("after the judgement: %+v", found)
				}
				want := store.Losses{Organizations: 1, Removals: 4, Members: 30}
				if pass != (found.Sweep.ID == "") || !pass && (found.Sweep.ID != sweep.ID || found.Sweep.Losses != want) {
					t.Errorf("the sweep is %+v", found.Sweep)
				}
				runOf(t, s, c, 1, bySchedule) // the regular run that follows a sweep that passed
				if n := len(attention(t, s).Held); (n == 2) != pass {
					t.Errorf("after one more scheduled run %d are held", n)
				}
				runOf(t, s, c, 1, held("a")) // a push in between
				if n := len(attention(t, s).Held); n != 2 {
					t.Errorf("after a push %d are held", n)
				}
			})
		})
	}
}

// Quarantine is one event as long as it lasts.
func TestQuarantineNeedsSomebody(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now, Wait: noWait(t)})
		failed := contactsync.Run{Status: contactsync.StatusFailed, Error: contactsync.FailureOf(contactsync.Errorf(contactsync.ClassNoOrgFound, "none"))}
		begun := c.Now()
		for range 9 {
			runOf(t, s, c, 7, failed)
		}
		if found := attention(t, s).Quarantined; len(found) != 0 {
			t.Errorf("on the first day: %+v", found)
		}
		c.Advance(25 * time.Hour)
		for n := int64(10); n < 12; n++ {
			runOf(t, s, c, 7, failed)
			want := []store.Concern{{Project: 7, Organization: "Example", Since: begun, Class: contactsync.ClassNoOrgFound, Failures: n}}
			if found := attention(t, s).Quarantined; !reflect.DeepEqual(found, want) {
				t.Errorf("%+v, want %+v", found, want)
			}
		}
	})
}

// Contacts that could not be applied need somebody, once for the same ones and the same reasons; not while another try is to
// come by itself, and not once they are applied.
func TestPartialRunsNeedSomebody(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now, Wait: noWait(t)})
		partial := func(conflicts ...contactsync.Email) contactsync.Run {
			run := contactsync.Run{Status: contactsync.StatusPartial}
			for _, address := range conflicts {
				run.Conflicts = append(run.Conflicts, contactsync.Conflict{Email: address, Error: contactsync.ClassContactElsewhere})
			}
			return run
		}
		set := func(run contactsync.Run, contacts int64) string {
			t.Helper()
			runOf(t, s, c, 7, run)
			found := attention(t, s).Partial
			if contacts == 0 {
				if len(found) != 0 {
					t.Errorf("%+v", found)
				}
				return ""
			}
			if len(found) != 1 || found[0].Project != 7 || found[0].Changes != contacts || found[0].Run == "" || found[0].Organization != "Example" {
				t.Fatalf("%+v, want %d contacts", found, contacts)
			}
			return found[0].Set
		}
		first := set(partial("a@example.com", "b@example.com"), 2)
		if again := set(partial("b@example.com", "a@example.com"), 2); again != first {
			t.Error("the same contacts in another order are another event")
		}
		if other := set(partial("a@example.com", "c@example.com"), 2); other == first {
			t.Error("other contacts are the same event")
		}
		retried := partial("a@example.com")
		retried.Changes = []contactsync.Change{{Action: contactsync.ActionAdd, Email: "d@example.com", Result: contactsync.ResultFailed, Error: contactsync.ClassSyncFailed}}
		set(retried, 0)
		set(contactsync.Run{Status: contactsync.StatusSucceeded}, 0)
	})
}

// A hook counts as disabled from the first look that found it so, as long as it is and its project is linked.
func TestDisabledHooksNeedSomebody(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now, Desk: "here"})
		look := func(disabled bool) time.Time {
			c.Advance(time.Hour)
			for _, project := range []int64{7, 8} {
				if err := s.SaveHook(t.Context(), store.Hook{Project: project, Looked: c.Now(), Seen: c.Now(), Disabled: disabled}); err != nil {
					t.Fatal(err)
				}
			}
			return c.Now()
		}
		if err := s.SaveLinks(t.Context(), []contactsync.Link{{Project: 7, Organization: "42"}}, time.Time{}); err != nil {
			t.Fatal(err)
		}
		look(false)
		if found := attention(t, s).Hooks; len(found) != 0 {
			t.Errorf("%+v", found)
		}
		for range 2 {
			since := look(true)
			for range 2 {
				want := []store.Concern{{Project: 7, Since: since}}
				if found := attention(t, s).Hooks; !reflect.DeepEqual(found, want) {
					t.Errorf("%+v, want %+v", found, want)
				}
				look(true)
			}
			look(false)
		}
	})
}

func notice(key string) store.Notice {
	return store.Notice{Key: key, Event: contactsync.NoticeHeld, Project: 7, Data: []byte(`{"key":"` + key + `"}`)}
}

func see(t *testing.T, s *store.Store, targets []string, keys ...string) {
	t.Helper()
	var notices []store.Notice
	for _, key := range keys {
		notices = append(notices, notice(key))
	}
	if err := s.SeeNotices(t.Context(), notices, targets); err != nil {
		t.Fatal(err)
	}
}

// due lists the keys that are to be told to a target now.
func due(t *testing.T, s *store.Store, target string) string {
	t.Helper()
	found, err := s.NoticesDue(t.Context(), target, 10)
	if err != nil {
		t.Fatal(err)
	}
	keys := ""
	for _, d := range found {
		if !reflect.DeepEqual(d.Notice, notice(d.Key)) {
			t.Errorf("the notice came back as %+v", d)
		}
		keys += d.Key
	}
	return keys
}

func tried(t *testing.T, s *store.Store, key, target string, try store.NoticeTry) {
	t.Helper()
	if err := s.TriedNotice(t.Context(), key, target, try); err != nil {
		t.Fatal(err)
	}
}

// Each event is told to each target once, however often it is seen and however long it lasts. What failed waits for its
// time, and keeps count.
func TestNoticesAreToldOnce(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now})
		both := []string{"slack#1", "ticket"}
		see(t, s, both, "a")
		c.Advance(time.Minute)
		see(t, s, both, "a", "b")
		if got := due(t, s, "slack#1") + due(t, s, "ticket"); got != "abab" {
			t.Fatalf("at first %q is due", got)
		}
		if found, err := s.NoticesDue(t.Context(), "slack#1", 1); err != nil || len(found) != 1 || found[0].Key != "a" {
			t.Errorf("the oldest is %+v, %v", found, err)
		}
		first := c.Now()
		tried(t, s, "a", "slack#1", store.NoticeTry{State: store.NoticeSent, At: first})
		tried(t, s, "b", "slack#1", store.NoticeTry{State: store.NoticeGivenUp, At: first, Problem: "it answers 404"})
		tried(t, s, "a", "ticket", store.NoticeTry{State: store.NoticeWaiting, At: first, Next: first.Add(time.Hour), Problem: "it answers 503"})
		see(t, s, both, "a", "b")
		if got := due(t, s, "slack#1") + due(t, s, "ticket"); got != "b" {
			t.Errorf("then %q is due", got)
		}
		if overview, err := s.Overview(t.Context()); err != nil || overview.Notices != 2 {
			t.Errorf("%d wait, %v", overview.Notices, err)
		}
		c.Advance(time.Hour)
		tried(t, s, "a", "ticket", store.NoticeTry{State: store.NoticeWaiting, At: c.Now(), Next: c.Now(), Problem: "it answers 503"})
		found, err := s.NoticesDue(t.Context(), "ticket", 10)
		if err != nil || len(found) != 2 || found[1].Key != "a" || found[1].Tries != 2 || !found[1].Began.Equal(first) {
			t.Errorf("what was tried twice is %+v, %v", found, err)
		}
		see(t, s, []string{"slack#1"}, "c") // the ticket is configured no more
		if got := due(t, s, "slack#1") + due(t, s, "ticket"); got != "c" {
			t.Errorf("at last %q is due", got)
		}
	})
}

// What is still so is not forgotten, or it would be told again. What is over goes with the runs.
func TestNoticesAreKept(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now})
		targets := []string{"slack#1"}
		see(t, s, targets, "a", "b")
		for _, key := range []string{"a", "b"} {
			tried(t, s, key, "slack#1", store.NoticeTry{State: store.NoticeSent, At: c.Now()})
		}
		c.Advance(48 * time.Hour)
		see(t, s, targets, "a")
		if gone, err := s.Prune(t.Context(), store.Retention{Runs: 24 * time.Hour}); err != nil || gone != 1 {
			t.Errorf("%d rows went, %v", gone, err)
		}
		see(t, s, targets, "a", "b")
		if got := due(t, s, "slack#1"); got != "b" {
			t.Errorf("%q is due", got)
		}
		view := mustView(t, address, store.Options{Now: c.Now})
		if err := view.SeeNotices(t.Context(), nil, targets); !errors.Is(err, store.ErrReadOnly) {
			t.Errorf("a view remembers: %v", err)
		}
	})
}
