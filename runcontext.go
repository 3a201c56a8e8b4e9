package contactsync

import (
	"context"
	"sync/atomic"
)

// System is a system that a run sends requests to.
type System int

// The systems whose requests are counted.
const (
	SystemDesk System = iota
	SystemGitLab
	SystemGit
	systems
)

// Requests counts the HTTP requests of a run, each attempt once.
type Requests struct {
	Desk   int `json:"desk"`
	GitLab int `json:"gitlab"`
	Git    int `json:"git"`
}

// Tally counts requests as they are sent. The zero Tally is ready; it may be shared by goroutines.
type Tally struct{ counts [systems]atomic.Int64 }

// Requests returns the counts so far.
func (t *Tally) Requests() Requests {
	return Requests{
		Desk:   int(t.counts[SystemDesk].Load()),
		GitLab: int(t.counts[SystemGitLab].Load()),
		Git:    int(t.counts[SystemGit].Load()),
	}
}

type tallyKey struct{}

// counting is a tally of a context, and that of the context around it.
type counting struct {
	tally *Tally
	outer *counting
}

// WithTally returns a context whose requests are counted in the tally, and in that of the context around it.
func WithTally(ctx context.Context, tally *Tally) context.Context {
	outer, _ := ctx.Value(tallyKey{}).(*counting)
	return context.WithValue(ctx, tallyKey{}, &counting{tally, outer})
}

// CountRequest counts one request to the system in the tallies of the context. Adapters call it for each attempt.
func CountRequest(ctx context.Context, system System) {
	in, _ := ctx.Value(tallyKey{}).(*counting)
	for ; in != nil; in = in.outer {
		in.tally.counts[system].Add(1)
	}
}

// Fence tells, right before a write, whether the run may still write: nil, or why not.
type Fence func(context.Context) error

type fenceKey struct{}

// WithFence returns a context whose writes are let through by the fence alone.
func WithFence(ctx context.Context, fence Fence) context.Context {
	return context.WithValue(ctx, fenceKey{}, fence)
}

// CheckFence returns nil when a write may be sent now. Adapters call it before each request that changes something.
func CheckFence(ctx context.Context) error {
	if fence, ok := ctx.Value(fenceKey{}).(Fence); ok {
		return fence(ctx)
	}
	return ctx.Err()
}

type backgroundKey struct{}

// InBackground marks the context's requests as ones that can wait: nobody is looking. Adapters keep a share of
// their request budget free of them.
func InBackground(ctx context.Context) context.Context {
	return context.WithValue(ctx, backgroundKey{}, true)
}

// IsBackground reports whether the context was marked by InBackground.
func IsBackground(ctx context.Context) bool {
	marked, _ := ctx.Value(backgroundKey{}).(bool)
	return marked
}

type progressKey struct{}

// WithProgress returns a context through which long work reports how far it is.
func WithProgress(ctx context.Context, report func(done, total int)) context.Context {
	return context.WithValue(ctx, progressKey{}, report)
}

// ReportProgress says that done of total items are through, to whoever asked for it.
func ReportProgress(ctx context.Context, done, total int) {
	if report, ok := ctx.Value(progressKey{}).(func(done, total int)); ok {
		report(done, total)
	}
}
