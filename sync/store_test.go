package sync_test

import (
	"context"
	"slices"

	"contactsync"
)

// memoryStore is a history in maps, with a lease that a test can take away.
type memoryStore struct {
	runs      []contactsync.Run
	planned   []contactsync.Run // what PlanRun saw
	recorded  int
	baselines map[string]contactsync.Baseline
	approvals []contactsync.Approval
	fence     contactsync.Fence
	failPlan  error
}

func newMemoryStore() *memoryStore {
	return &memoryStore{baselines: map[string]contactsync.Baseline{}}
}

func (s *memoryStore) Hold(ctx context.Context, _ int64, work func(context.Context) error) error {
	if s.fence != nil {
		ctx = contactsync.WithFence(ctx, s.fence)
	}
	return work(ctx)
}

func (s *memoryStore) BeginRun(_ context.Context, run contactsync.Run) error {
	s.runs = append(s.runs, run)
	return nil
}

func (s *memoryStore) PlanRun(_ context.Context, run contactsync.Run) error {
	s.planned = append(s.planned, run)
	return s.failPlan
}

func (s *memoryStore) RecordChanges(context.Context, string, []contactsync.Change) error {
	s.recorded++
	return nil
}

func (s *memoryStore) FinishRun(_ context.Context, run contactsync.Run) error {
	s.runs[len(s.runs)-1] = run
	return nil
}

func (s *memoryStore) RemainderOf(_ context.Context, _ int64, digest string) (string, error) {
	for _, run := range slices.Backward(s.runs) {
		if run.Digest == digest {
			return run.Remainder, nil
		}
	}
	return "", nil
}

func (s *memoryStore) Baseline(_ context.Context, org string) (contactsync.Baseline, error) {
	return s.baselines[org], nil
}

func (s *memoryStore) SaveBaseline(_ context.Context, b contactsync.Baseline) error {
	s.baselines[b.Organization] = b
	return nil
}

func (s *memoryStore) Approve(_ context.Context, _ int64, a contactsync.Approval) error {
	s.approvals = append(s.approvals, a)
	return nil
}

func (s *memoryStore) Approvals(context.Context, int64) ([]contactsync.Approval, error) {
	return s.approvals, nil
}

func (s *memoryStore) SpendApprovals(context.Context, int64) error {
	s.approvals = nil
	return nil
}
