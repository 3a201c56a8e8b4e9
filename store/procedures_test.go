package store_test

import (
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"contactsync"
	"contactsync/store"
)

func procedureOf(id, organization string, at time.Time) contactsync.Procedure {
	return contactsync.Procedure{
		ID: id, Kind: contactsync.ProcedureSetup, State: contactsync.ProcedureRunning, By: "grace", Started: at, Updated: at,
		Organization: contactsync.Organization{ID: organization, Name: "Example"},
		Commit:       "0123456789abcdef0123456789abcdef01234567", Command: []string{"setup", "--organization", organization, "--developers", "ada@example.com"},
	}
}

func mustSave(t *testing.T, s *store.Store, p *contactsync.Procedure) {
	t.Helper()
	before := p.Revision
	if err := s.SaveProcedure(t.Context(), p); err != nil || p.Revision != before+1 {
		t.Fatalf("saving %s: revision %d after %d, %v", p.ID, p.Revision, before, err)
	}
}

// isConflict checks that a procedure was refused because another process was faster, and that the caller's was left
// alone.
func isConflict(t *testing.T, s *store.Store, p contactsync.Procedure, want string) {
	t.Helper()
	given := p
	err := s.SaveProcedure(t.Context(), &p)
	failure := contactsync.FailureOf(err)
	if failure == nil || failure.Class != contactsync.ClassProjectConflict || failure.Detail != want ||
		failure.Remedy != "Wait for it, then run the same command again." {
		t.Errorf("got %+v, want a conflict that says %q", failure, want)
	}
	if !reflect.DeepEqual(p, given) {
		t.Errorf("the procedure became %+v", p)
	}
}

// A procedure comes back as it was saved last, with its steps, its command and its error, while it is unfinished and in
// the history, newest first, and of one's own desk alone.
func TestProcedures(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now, Desk: "here"})
		other := mustOpen(t, address, store.Options{Now: c.Now, Desk: "elsewhere"})

		first := procedureOf("a", "1", c.Now())
		mustSave(t, s, &first)
		c.Advance(time.Minute)
		first.State, first.Project, first.Updated, first.By = contactsync.ProcedureFailed, 101, c.Now(), "ada"
		first.Organization.Name = "Example Ltd."
		first.Command = append(first.Command, "--reason", "order 4711\n\x00")
		first.Steps = []contactsync.StepResult{
			{Name: "create", State: contactsync.StepDone, Details: []string{"project 101\x00", "private"}},
			{Name: "settings", State: contactsync.StepFailed},
		}
		first.Error = contactsync.FailureOf(&contactsync.Error{Class: contactsync.ClassGitLabRefused, Detail: "settings: 403",
			Retry: contactsync.RetryWhenTold, RetryAt: c.Now()})
		mustSave(t, s, &first)

		second := procedureOf("b", "2", c.Now())
		mustSave(t, s, &second)
		third := procedureOf("c", "1", c.Now())
		third.Kind, third.State = contactsync.ProcedureRemoval, contactsync.ProcedureDone
		mustSave(t, s, &third)
		foreign := procedureOf("x", "1", c.Now())
		mustSave(t, other, &foreign)

		for name, test := range map[string]struct {
			filter store.ProcedureFilter
			want   []contactsync.Procedure
		}{
			"all":             {store.ProcedureFilter{}, []contactsync.Procedure{third, second, first}},
			"newest":          {store.ProcedureFilter{Limit: 1}, []contactsync.Procedure{third}},
			"organization":    {store.ProcedureFilter{Organization: "1"}, []contactsync.Procedure{third, first}},
			"kind":            {store.ProcedureFilter{Kind: contactsync.ProcedureSetup}, []contactsync.Procedure{second, first}},
			"unfinished":      {store.ProcedureFilter{Unfinished: true}, []contactsync.Procedure{second, first}},
			"everything":      {store.ProcedureFilter{Kind: contactsync.ProcedureSetup, Organization: "1", Unfinished: true, Limit: 5}, []contactsync.Procedure{first}},
			"project":         {store.ProcedureFilter{Project: 101}, []contactsync.Procedure{first}},
			"nothing of them": {store.ProcedureFilter{Organization: "3"}, nil},
		} {
			if got, err := s.Procedures(t.Context(), test.filter); err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("%s: got %+v, %v; want %+v", name, got, err, test.want)
			}
		}
		if got, found, err := s.Unfinished(t.Context(), contactsync.ProcedureSetup, "1"); err != nil || !found || !reflect.DeepEqual(got, first) {
			t.Errorf("unfinished: %+v, %v, %v", got, found, err)
		}
		if got, found, err := s.LastOfProject(t.Context(), contactsync.ProcedureSetup, 101); err != nil || !found || !reflect.DeepEqual(got, first) {
			t.Errorf("the last with project 101: %+v, %v, %v", got, found, err)
		}
		if got, found, err := s.LastOfProject(t.Context(), contactsync.ProcedureRemoval, 101); err != nil || found {
			t.Errorf("a removal of project 101: %+v, %v", got, err)
		}
		for kind, organization := range map[contactsync.ProcedureKind]string{contactsync.ProcedureRemoval: "1", contactsync.ProcedureSetup: "3"} {
			if got, found, err := s.Unfinished(t.Context(), kind, organization); err != nil || found || got.ID != "" {
				t.Errorf("an unfinished %s of %s: %+v, %v", kind, organization, got, err)
			}
		}
	})
}

// Of two processes that go on with one procedure, or begin one, the second is told and writes nothing; what is done
// stands in nobody's way.
func TestProcedureConflicts(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now})
		p := procedureOf("a", "42", c.Now())
		mustSave(t, s, &p)
		late := p
		mustSave(t, s, &p)

		late.State, late.Project = contactsync.ProcedureDone, 999
		isConflict(t, s, late, "the setup of organization 42 was continued by another process meanwhile")
		missing := procedureOf("z", "43", c.Now())
		missing.Revision = 1
		isConflict(t, s, missing, "the setup of organization 43 was continued by another process meanwhile")
		const begun = "the setup of organization 42 was begun by another process meanwhile"
		isConflict(t, s, procedureOf("b", "42", c.Now()), begun)
		isConflict(t, s, procedureOf("a", "42", c.Now()), begun)
		if got, err := s.Procedures(t.Context(), store.ProcedureFilter{}); err != nil || !reflect.DeepEqual(got, []contactsync.Procedure{p}) {
			t.Errorf("what was refused was written: %+v, %v", got, err)
		}

		// Another organization, another kind, and the next one after it is done.
		removal := procedureOf("r", "42", c.Now())
		removal.Kind = contactsync.ProcedureRemoval
		mustSave(t, s, &removal)
		neighbour := procedureOf("n", "43", c.Now())
		mustSave(t, s, &neighbour)
		p.State = contactsync.ProcedureDone
		mustSave(t, s, &p)
		next := procedureOf("b", "42", c.Now())
		mustSave(t, s, &next)
	})
}

// Of many processes that save at the same moment exactly one wins, be it the beginning or a later step.
func TestProcedureRace(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		processes := make([]*store.Store, 4)
		for i := range processes {
			processes[i] = mustOpen(t, address, store.Options{Now: c.Now})
		}
		race := func(procedure func(process int) contactsync.Procedure) (winner contactsync.Procedure) {
			t.Helper()
			var group sync.WaitGroup
			saved := make([]contactsync.Procedure, len(processes))
			errs := make([]error, len(processes))
			for i, s := range processes {
				saved[i] = procedure(i)
				group.Go(func() { errs[i] = s.SaveProcedure(t.Context(), &saved[i]) })
			}
			group.Wait()
			won := 0
			for i, err := range errs {
				if err == nil {
					won++
					winner = saved[i]
				} else if contactsync.ClassOf(err) != contactsync.ClassProjectConflict {
					t.Errorf("process %d: %v", i, err)
				}
			}
			if won != 1 {
				t.Errorf("%d won, want 1", won)
			}
			return winner
		}
		winner := race(func(process int) contactsync.Procedure {
			return procedureOf(strings.Repeat("p", process+1), "42", c.Now())
		})
		for range 5 {
			winner = race(func(process int) contactsync.Procedure {
				p := winner
				p.Project = int64(process + 1)
				return p
			})
		}
		got, err := processes[0].Procedures(t.Context(), store.ProcedureFilter{})
		if err != nil || !reflect.DeepEqual(got, []contactsync.Procedure{winner}) {
			t.Errorf("got %+v, %v; want the winner %+v", got, err, winner)
		}
	})
}

// Procedures that are done go with the audit trail, counted from their end; one that is not is never forgotten. A view
// shows them and keeps none.
func TestProceduresAreKept(t *testing.T) {
	onEach(t, func(t *testing.T, address string) {
		c := newClock()
		s := mustOpen(t, address, store.Options{Now: c.Now})
		stopped := procedureOf("stopped", "1", c.Now())
		stopped.State = contactsync.ProcedureFailed
		mustSave(t, s, &stopped)
		for i, id := range []string{"old", "new"} {
			p := procedureOf(id, "2", c.Now())
			mustSave(t, s, &p)
			p.State, p.Updated = contactsync.ProcedureDone, c.Now().Add(time.Duration(i)*24*time.Hour)
			mustSave(t, s, &p)
		}
		c.Advance(48 * time.Hour)
		for _, keep := range []store.Retention{{}, {Runs: time.Hour, Deliveries: time.Hour}, {Audit: 36 * time.Hour}, {Audit: time.Hour}} {
			if _, err := s.Prune(t.Context(), keep); err != nil {
				t.Fatal(err)
			}
			want := map[time.Duration]string{0: "new old stopped", 36 * time.Hour: "new stopped", time.Hour: "stopped"}[keep.Audit]
			got, err := s.Procedures(t.Context(), store.ProcedureFilter{})
			var ids []string
			for _, p := range got {
				ids = append(ids, p.ID)
			}
			if err != nil || strings.Join(ids, " ") != want {
				t.Errorf("after %+v there are %v, %v; want %s", keep, ids, err, want)
			}
		}
		view := mustView(t, address, store.Options{Now: c.Now})
		if got, found, err := view.Unfinished(t.Context(), contactsync.ProcedureSetup, "1"); err != nil || !found || !reflect.DeepEqual(got, stopped) {
			t.Errorf("a view shows %+v, %v, %v", got, found, err)
		}
		for _, p := range []contactsync.Procedure{procedureOf("z", "3", c.Now()), stopped} {
			if err := view.SaveProcedure(t.Context(), &p); !errors.Is(err, store.ErrReadOnly) {
				t.Errorf("a view keeps a procedure: %v", err)
			}
		}
	})
}
