package store_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"contactsync"
	"contactsync/store"
)

// exampleRun has every field set, so that a field that is not stored shows.
func exampleRun(id string, project contactsync.ProjectRef, started time.Time) contactsync.Run {
	return contactsync.Run{
		ID: id, Project: project, Status: contactsync.StatusPartial, Trigger: contactsync.TriggerHook,
		Commit: strings.Repeat("c0", 20), Committer: "Ada Lovelace <ada@example.com>", ApprovedBy: "ops",
		Digest: "sha256:d1", Remainder: "sha256:d2",
		Organization: &contactsync.Organization{ID: "42", Name: "Example"},
		Changes: []contactsync.Change{
			{Action: contactsync.ActionCreate, Email: "bob@example.com", Name: "Bob", Person: "11", Result: contactsync.ResultDone, Line: 3},
			{Action: contactsync.ActionRename, Email: "ada@example.com", Name: "Ada", Person: "12", WasEmail: "a@example.com",
				WasName: "A", Result: contactsync.ResultFailed, Error: contactsync.ClassSyncFailed, Detail: "the desk said no", Line: 5},
		},
		Conflicts: []contactsync.Conflict{
			{Email: "eve@example.org", Error: contactsync.ClassContactElsewhere, Detail: "of Other", Line: 9},
		},
		Summary:  contactsync.Summary{Create: 1, Add: 2, Rename: 3, Remove: 4, Unchanged: 5, Held: 6, Conflicts: 7, Failed: 8},
		Requests: contactsync.Requests{Desk: 9, GitLab: 1, Git: 2},
		Contacts: 12, ProjectURL: "https://gitlab.example.com/support/organization-42",
		Error: &contactsync.Failure{Class: contactsync.ClassRateLimited, Title: "The desk's request limit is reached",
			Detail: "wait", Remedy: "Nothing to do", Who: contactsync.WhoNobody, Retry: contactsync.RetryWhenTold,
			RetryAt: started.Add(time.Hour), Unlisted: 7, Problems: []contactsync.FileProblem{{Line: 2, Column: 10, Rule: "email-invalid",
				Class: contactsync.ClassEmailInvalid, Message: "it has something around it", Corrected: "  email: 'ada@example.com' # é"}}},
		Started: started, Finished: started.Add(1500 * time.Millisecond),
	}
}

// zeroFields names the fields of a struct that have their zero value.
func zeroFields(value any) (names []string) {
	v := reflect.ValueOf(value)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			names = append(names, v.Type().Field(i).Name)
		}
	}
	return names
}

// Every field of a run, its changes and conflicts comes back as it was given.
func TestRunRoundTrip(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now})
		want := exampleRun("run-1", "123", c.Now())
		// Whether people were told is not the run's to say.
		if missing := zeroFields(want); !slices.Equal(missing, []string{"Report"}) {
			t.Fatalf("the example says nothing about %v", missing)
		}
		if missing := zeroFields(want.Changes[1]); missing != nil {
			t.Fatalf("the example says nothing about a change's %v", missing)
		}
		for _, save := range []func() error{
			func() error { return s.BeginRun(t.Context(), contactsync.Run{ID: "run-1", Project: "123"}) },
			func() error { return s.FinishRun(t.Context(), want) },
		} {
			if err := save(); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.Run(t.Context(), "run-1")
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
		list, err := s.Runs(t.Context(), store.Filter{})
		want.Changes, want.Conflicts = nil, nil
		if err != nil || len(list) != 1 || !reflect.DeepEqual(list[0], want) {
			t.Errorf("got  %+v, %v\nwant %+v", list, err, want)
		}
	})
}

// A run that says little comes back saying as little.
func TestRunWithoutAnything(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		s := mustOpen(t, address, store.Options{})
		if err := s.BeginRun(t.Context(), contactsync.Run{ID: "run-1"}); err != nil {
			t.Fatal(err)
		}
		got, err := s.Run(t.Context(), "run-1")
		want := contactsync.Run{ID: "run-1", Status: contactsync.StatusRunning,
			Changes: []contactsync.Change{}, Conflicts: []contactsync.Conflict{}}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

// What a run planned and did so far is in the trail before it ends, and nothing that was recorded is ever lost.
func TestRunGrows(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now})
		var changes []contactsync.Change
		for i := range 100 {
			changes = append(changes, contactsync.Change{Action: contactsync.ActionAdd,
				Email: contactsync.Email(fmt.Sprintf("p%d@example.com", i)), Result: contactsync.ResultPlanned})
		}
		run := contactsync.Run{ID: "run-1", Project: "5", Started: c.Now()}
		if err := s.BeginRun(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		run.Status, run.Digest, run.Changes = contactsync.StatusPlanned, "sha256:d1", changes
		if err := s.PlanRun(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		check := func(status contactsync.Status, done int) {
			t.Helper()
			got, err := s.Run(t.Context(), "run-1")
			if err != nil {
				t.Fatal(err)
			}
			made := 0
			for i, change := range got.Changes {
				if change.Email != changes[i].Email {
					t.Fatalf("change %d is of %s", i, change.Email)
				}
				if change.Result == contactsync.ResultDone {
					made++
				}
			}
			if got.Status != status || got.Digest != "sha256:d1" || len(got.Changes) != 100 || made != done {
				t.Errorf("got %s %s with %d changes, %d done; want %s with 100, %d done",
					got.Status, got.Digest, len(got.Changes), made, status, done)
			}
		}
		check(contactsync.StatusRunning, 0)
		for i := range 40 {
			changes[i].Result = contactsync.ResultDone
		}
		if err := s.RecordChanges(t.Context(), "run-1", changes); err != nil {
			t.Fatal(err)
		}
		check(contactsync.StatusRunning, 40)
		run.Status, run.Changes = contactsync.StatusFailed, changes[:10] // a run that lost count
		if err := s.FinishRun(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		check(contactsync.StatusFailed, 40)
	})
}

// Changes of a run that nobody began are refused: they would be in no history.
func TestRecordChangesOfNoRun(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		s := mustOpen(t, address, store.Options{})
		if err := s.RecordChanges(t.Context(), "run-9", []contactsync.Change{{Action: contactsync.ActionAdd}}); err == nil {
			t.Error("they were taken")
		}
	})
}

// A run that its process left unfinished is closed by the project's next run, and those of other projects are not.
func TestBeginRunClosesDeadRuns(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now})
		for id, project := range map[string]contactsync.ProjectRef{"dead": "5", "other": "6"} {
			if err := s.BeginRun(t.Context(), contactsync.Run{ID: id, Project: project, Started: c.Now()}); err != nil {
				t.Fatal(err)
			}
		}
		c.Advance(time.Hour)
		if err := s.BeginRun(t.Context(), contactsync.Run{ID: "next", Project: "05", Started: c.Now()}); err != nil {
			t.Fatal(err)
		}
		dead, err := s.Run(t.Context(), "dead")
		if err != nil {
			t.Fatal(err)
		}
		if dead.Status != contactsync.StatusFailed || !dead.Finished.Equal(c.Now()) || dead.Error == nil ||
			dead.Error.Class != contactsync.ClassInternal || dead.Error.Detail != "the process ended before the run finished" {
			t.Errorf("the dead run: %+v, %+v", dead, dead.Error)
		}
		for _, id := range []string{"other", "next"} {
			if run, err := s.Run(t.Context(), id); err != nil || run.Status != contactsync.StatusRunning {
				t.Errorf("run %s: %s, %v", id, run.Status, err)
			}
		}
		if failed, err := s.Runs(t.Context(), store.Filter{Class: contactsync.ClassInternal}); err != nil || len(failed) != 1 {
			t.Errorf("by class: %v, %v", failed, err)
		}
	})
}

// An id may be shortened while it is clear which run is meant; the whole id always is.
func TestRunByPrefix(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		s := mustOpen(t, address, store.Options{})
		for _, id := range []string{"abc", "abcd", "abx%_", "b"} {
			if err := s.FinishRun(t.Context(), contactsync.Run{ID: id}); err != nil {
				t.Fatal(err)
			}
		}
		for prefix, want := range map[string]string{"abc": "abc", "abcd": "abcd", "abx": "abx%_", "abx%": "abx%_", "b": "b"} {
			if run, err := s.Run(t.Context(), prefix); err != nil || run.ID != want {
				t.Errorf("%q: got %q, %v; want %q", prefix, run.ID, err, want)
			}
		}
		for prefix, want := range map[string]error{
			"": store.ErrNotFound, "c": store.ErrNotFound, "%": store.ErrNotFound, "a_c": store.ErrNotFound, "ABC": store.ErrNotFound,
			"abcde": store.ErrNotFound, "ab": store.ErrAmbiguous, "a": store.ErrAmbiguous,
		} {
			if run, err := s.Run(t.Context(), prefix); !errors.Is(err, want) {
				t.Errorf("%q: got %q, %v; want %v", prefix, run.ID, err, want)
			}
		}
	})
}

// Runs come newest first, also those that began in the same instant, and each field of the filter narrows them.
func TestRunsFilter(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		start := c.Now()
		s := mustOpen(t, address, store.Options{Now: c.Now})
		for _, run := range []contactsync.Run{
			{ID: "z", Project: "1", Status: contactsync.StatusSucceeded, Started: start},
			{ID: "y", Project: "2", Status: contactsync.StatusFailed, Started: start, Error: &contactsync.Failure{Class: contactsync.ClassNoOrgFound}},
			{ID: "x", Project: "1", Status: contactsync.StatusHeld, Started: start.Add(time.Minute)},
			{ID: "w", Project: "not a number", Status: contactsync.StatusFailed, Started: start.Add(2 * time.Minute),
				Error: &contactsync.Failure{Class: contactsync.ClassInvalidProjectID}},
		} {
			if err := s.FinishRun(t.Context(), run); err != nil {
				t.Fatal(err)
			}
		}
		for _, test := range []struct {
			filter store.Filter
			want   string
		}{
			{store.Filter{}, "w x y z"},
			{store.Filter{Limit: 2}, "w x"},
			{store.Filter{Project: "1"}, "x z"},
			{store.Filter{Project: "001"}, "x z"},
			{store.Filter{Project: "not a number"}, "w"},
			{store.Filter{Project: "' OR 1=1 --"}, ""},
			{store.Filter{Status: contactsync.StatusFailed}, "w y"},
			{store.Filter{Class: contactsync.ClassNoOrgFound}, "y"},
			{store.Filter{Since: start.Add(time.Minute)}, "w x"},
			{store.Filter{Until: start.Add(time.Minute)}, "y z"},
			{store.Filter{Since: start.Add(time.Minute), Until: start.Add(2 * time.Minute)}, "x"},
			{store.Filter{Project: "1", Status: contactsync.StatusHeld, Since: start, Limit: 5}, "x"},
		} {
			runs, err := s.Runs(t.Context(), test.filter)
			var ids []string
			for _, run := range runs {
				ids = append(ids, run.ID)
			}
			if got := strings.Join(ids, " "); err != nil || got != test.want {
				t.Errorf("%+v: got %q, %v; want %q", test.filter, got, err, test.want)
			}
		}
	})
}

// What is left of a plan is what its newest run of that project said.
func TestRemainderOf(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		s := mustOpen(t, address, store.Options{})
		for _, run := range []contactsync.Run{
			{ID: "1", Project: "5", Digest: "sha256:a", Remainder: "sha256:old"},
			{ID: "2", Project: "5", Digest: "sha256:a", Remainder: "sha256:new"},
			{ID: "3", Project: "6", Digest: "sha256:a", Remainder: "sha256:other"},
			{ID: "4", Project: "5", Digest: "sha256:b"},
		} {
			if err := s.FinishRun(t.Context(), run); err != nil {
				t.Fatal(err)
			}
		}
		for digest, want := range map[string]string{"sha256:a": "sha256:new", "sha256:b": "", "sha256:c": ""} {
			if got, err := s.RemainderOf(t.Context(), 5, digest); err != nil || got != want {
				t.Errorf("%s: got %q, %v; want %q", digest, got, err, want)
			}
		}
	})
}
