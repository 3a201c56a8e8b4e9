package setup

import (
	"context"
	"fmt"
	"strings"

	"contactsync"
)

// step is a part of a procedure. It may be done again whenever it was done before, or half done.
type step struct {
	name string // for programs
	does string // for people: "making the hook"
	do   func(context.Context) (outcome, error)
}

// carryOut does the steps in order, up to the first that fails. A dry run is not kept; of any other the journal knows
// before the first write, and after each step.
func (j *job) carryOut(ctx context.Context, dry bool, steps []step) error {
	j.dry = dry
	p := &j.procedure
	if err := j.begin(ctx); err != nil {
		return err
	}
	if !dry {
		ctx = contactsync.WithFence(ctx, j.fence(ctx))
	}
	for i, s := range steps {
		j.Step(s.does)
		found, err := s.do(ctx)
		result := contactsync.StepResult{Name: s.name, State: found.state, Details: found.details}
		if err != nil {
			result.State = contactsync.StepFailed
			err = fmt.Errorf("step %d of %d, %s: %w", i+1, len(steps), s.does, err)
			p.State, p.Error = contactsync.ProcedureFailed, contactsync.FailureOf(err)
		} else if i == len(steps)-1 {
			p.State = contactsync.ProcedureDone
		}
		p.Steps = append(p.Steps, result)
		j.Told(i+1, len(steps), result)
		// What became of the step is kept, whoever gave up meanwhile.
		if saveErr := j.save(context.WithoutCancel(ctx)); err == nil {
			err = saveErr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// begin continues the procedure that stopped, or begins a new one.
func (j *job) begin(ctx context.Context) error {
	p := &j.procedure
	before, found, err := j.Journal.Unfinished(ctx, p.Kind, p.Organization.ID)
	if err != nil {
		return err
	}
	if found && p.Project != 0 && before.Project != 0 && before.Project != p.Project {
		return conflict(fmt.Sprintf("Finish that one first: contactsync %s", strings.Join(before.Command, " ")),
			"the %s of another project of organization %s is not finished: project %d", p.Kind, p.Organization.ID, before.Project)
	}
	if found {
		p.ID, p.Started, p.Revision, p.Commit = before.ID, before.Started, before.Revision, before.Commit
		p.Project = max(p.Project, before.Project)
	} else {
		p.ID, p.Started = j.NewID(), j.Now().UTC()
	}
	p.State, p.Steps = contactsync.ProcedureRunning, []contactsync.StepResult{}
	return j.save(ctx)
}

func (j *job) save(ctx context.Context) error {
	if j.dry {
		return nil
	}
	j.procedure.Updated = j.Now().UTC()
	return j.Journal.SaveProcedure(ctx, &j.procedure)
}

// fence keeps this process from writing on when another one has taken the procedure over, or when the fence that is
// there, that of a lease, does.
func (j *job) fence(outer context.Context) contactsync.Fence {
	return func(ctx context.Context) error {
		if err := contactsync.CheckFence(outer); err != nil {
			return err
		}
		return j.notTaken(ctx)
	}
}

// notTaken fails when another process has taken the procedure over.
func (j *job) notTaken(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now, found, err := j.Journal.Unfinished(ctx, j.procedure.Kind, j.procedure.Organization.ID)
	if err != nil {
		return err
	}
	if !found || now.ID != j.procedure.ID || now.Revision != j.procedure.Revision {
		conflict := contactsync.Errorf(contactsync.ClassProjectConflict,
			"another process has taken the %s of organization %s over", j.procedure.Kind, j.procedure.Organization.ID)
		conflict.Remedy = "Wait for it, then run the same command again."
		return conflict
	}
	return nil
}

// conflict is the error for what contradicts the procedure.
func conflict(remedy, format string, args ...any) error {
	err := contactsync.Errorf(contactsync.ClassProjectConflict, format, args...)
	err.Remedy = remedy
	return err
}

// failed is the failure of a run as an error.
func failed(f *contactsync.Failure) error {
	return &contactsync.Error{Class: f.Class, Detail: f.Detail, Who: f.Who, Retry: f.Retry, Remedy: f.Remedy, RetryAt: f.RetryAt}
}
