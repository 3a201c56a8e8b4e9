package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"contactsync"
	"contactsync/store"
)

// childVariable makes the test program act as another process on the store that it names.
const childVariable = "CONTACTSYNC_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if task := os.Getenv(childVariable); task != "" {
		if err := child(context.Background(), task); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const (
	crashProject = 5
	staying      = "stay" // the name of a child that does not get out of its first run
)

// child makes runs one after the other until it is killed, and says on its output what has been stored.
func child(ctx context.Context, task string) error {
	name, address, _ := strings.Cut(task, " ")
	s, err := store.Open(ctx, address, store.Options{})
	if err != nil {
		return err
	}
	for n := 0; ; n++ {
		err := s.Hold(ctx, crashProject, func(ctx context.Context) error {
			run := contactsync.Run{ID: fmt.Sprintf("%s-%d", name, n), Project: "5", Started: time.Now()}
			for i := range 40 {
				run.Changes = append(run.Changes, contactsync.Change{
					Email: contactsync.Email(fmt.Sprintf("p%d@example.com", i)), Result: contactsync.ResultPlanned})
			}
			if err := s.BeginRun(ctx, contactsync.Run{ID: run.ID, Project: run.Project, Started: run.Started}); err != nil {
				return err
			}
			fmt.Println("begun", run.ID)
			if name == staying {
				<-ctx.Done()
				return ctx.Err()
			}
			if err := s.PlanRun(ctx, run); err != nil {
				return err
			}
			fmt.Println("planned", run.ID)
			for i := range run.Changes {
				run.Changes[i].Result = contactsync.ResultDone
			}
			if err := s.RecordChanges(ctx, run.ID, run.Changes); err != nil {
				return err
			}
			fmt.Println("recorded", run.ID)
			run.Status, run.Finished = contactsync.StatusSucceeded, time.Now()
			if err := s.FinishRun(ctx, run); err != nil {
				return err
			}
			fmt.Println("finished", run.ID)
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// killedChild runs a child until it has said so many lines, kills it, and returns how far each run came.
func killedChild(t *testing.T, name, address string, lines int) map[string]string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program)
	command.Env = append(os.Environ(), childVariable+"="+name+" "+address)
	output, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	reached := map[string]string{}
	scanner := bufio.NewScanner(output)
	for n := 1; scanner.Scan(); n++ {
		step, id, _ := strings.Cut(scanner.Text(), " ")
		if step == "error" {
			t.Errorf("the child: %s", id)
		}
		reached[id] = step
		if n == lines {
			// What it still says until it is dead counts as well.
			if err := command.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := command.Wait(); err == nil || scanner.Err() != nil {
		t.Fatalf("the child ended by itself, or %v", scanner.Err())
	}
	return reached
}

// later is a clock by which every lease of a dead process has run out.
func later() time.Time { return time.Now().Add(2 * time.Minute) }

// A process that is killed at any moment leaves a sound file, in which everything is that it had been told is stored.
func TestKill(t *testing.T) {
	t.Parallel()
	address := newAddress(t)
	random := rand.New(rand.NewPCG(1, 2))
	reached := map[string]string{}
	for round := range 6 {
		if round > 0 {
			// The next process must not wait for the dead one's lease, so somebody takes it and gives it back.
			s := mustOpen(t, address, store.Options{Now: later})
			if err := s.Hold(t.Context(), crashProject, func(context.Context) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		for id, step := range killedChild(t, fmt.Sprint("r", round), address, 1+random.IntN(60)) {
			reached[id] = step
		}
	}
	checkIntegrity(t, address)
	s := mustOpen(t, address, store.Options{Now: later})
	err := s.Hold(t.Context(), crashProject, func(ctx context.Context) error {
		return s.BeginRun(ctx, contactsync.Run{ID: "last", Project: "5"})
	})
	if err != nil {
		t.Fatal(err)
	}
	runs, err := s.Runs(t.Context(), store.Filter{Project: "5"})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d runs", len(runs))
	known := map[string]bool{}
	for _, listed := range runs {
		run, err := s.Run(t.Context(), listed.ID)
		if err != nil {
			t.Fatal(err)
		}
		known[run.ID] = true
		done := 0
		for _, change := range run.Changes {
			if change.Result == contactsync.ResultDone {
				done++
			}
		}
		complete := len(run.Changes) == 40 && done == 40
		if step := reached[run.ID]; (step == "finished" && (run.Status != contactsync.StatusSucceeded || !complete)) ||
			(step == "recorded" && !complete) || (step == "planned" && len(run.Changes) != 40) {
			t.Errorf("run %s was %s, and is %s with %d changes, %d done", run.ID, step, run.Status, len(run.Changes), done)
		}
		if (len(run.Changes) != 0 && len(run.Changes) != 40) || (done != 0 && done != 40) {
			t.Errorf("run %s is in halves: %d changes, %d done", run.ID, len(run.Changes), done)
		}
		if (run.Status == contactsync.StatusRunning) != (run.ID == "last") {
			t.Errorf("run %s is %s", run.ID, run.Status)
		}
	}
	for id := range reached {
		if !known[id] {
			t.Errorf("run %s is not there any more", id)
		}
	}
}

func checkIntegrity(t *testing.T, address string) {
	t.Helper()
	db, err := sql.Open("sqlite", pathOf(address))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, pragma := range []string{"integrity_check", "foreign_key_check"} {
		var found string
		err := db.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&found)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			t.Fatal(err)
		}
		if found != "ok" && found != "" {
			t.Errorf("%s: %s", pragma, found)
		}
	}
}

// A view of what a killed process left behind reads it all, and leaves the mess to those who may write.
func TestViewAfterKill(t *testing.T) {
	t.Parallel()
	address := newAddress(t)
	reached := killedChild(t, "r", address, 20)
	before := files(t, address)
	v := mustView(t, address, store.Options{})
	for id := range reached {
		if _, err := v.Run(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if got := files(t, address); got != before {
		t.Errorf("files: %s, before: %s", got, before)
	}
}

// A project that another process holds is waited for, and taken over only when that process has been silent for long.
func TestTwoProcesses(t *testing.T) {
	t.Parallel()
	address := newAddress(t)
	killedChild(t, staying, address, 1)
	enough := errors.New("waited")
	s := mustOpen(t, address, store.Options{Wait: func(context.Context, time.Duration) error { return enough }})
	enter := func(context.Context) error { return nil }
	if err := s.Hold(t.Context(), crashProject, enter); !errors.Is(err, enough) {
		t.Errorf("while the other's lease counts: got %v", err)
	}
	after := mustOpen(t, address, store.Options{Now: later, Wait: noWait(t)})
	if err := after.Hold(t.Context(), crashProject, enter); err != nil {
		t.Error(err)
	}
}
