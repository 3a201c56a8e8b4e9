package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"contactsync"
)

// leasePoll is how often a run that waits for another one looks again: short, because somebody may be looking.
const leasePoll = 100 * time.Millisecond

// releaseTimeout bounds the end of a hold, which also happens when the caller has given up.
const releaseTimeout = 10 * time.Second

// Hold runs work while no other run of the project does, in this process or another. It waits while another holds
// the project, and takes over from a holder that was not heard of for Options.LeaseTTL.
//
// The context that work gets carries a fence (contactsync.CheckFence) that lets writes through only while the lease
// is proven to be ours for three more quarters of its time. It is cancelled when the lease is lost. A goroutine that
// ends with Hold renews the lease. The lease is given back at the end, also when work fails or panics.
//
// On SQLite the clocks of all processes are taken to agree, as they do on one machine. On PostgreSQL its own clock
// decides who may take over, and each process only measures how much time has passed since it asked.
//
// Errors: work's own; ErrLeaseLost, classed internal and worth a prompt retry; the context's while waiting.
func (s *Store) Hold(ctx context.Context, project int64, work func(context.Context) error) (err error) {
	h, err := s.acquire(ctx, project)
	if err != nil {
		return err
	}
	// Renewing and giving back go on when the caller has given up, for as long as work needs to come to an end.
	outlasting := context.WithoutCancel(ctx)
	ctx, h.cancel = context.WithCancelCause(ctx)
	defer h.cancel(nil)

	beating, stop := context.WithCancel(outlasting)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		h.keep(beating)
	}()
	defer func() {
		stop()
		<-stopped
		if failure := h.release(outlasting); failure != nil {
			err = errors.Join(err, failure)
		}
	}()

	err = work(contactsync.WithFence(context.WithValue(ctx, holdKey{}, h), h.fence))
	if lost := context.Cause(ctx); errors.Is(lost, ErrLeaseLost) && contactsync.IsCanceled(err) {
		return lost
	}
	return err
}

// hold is one lease that was taken.
type hold struct {
	store   *Store
	project int64
	number  int64 // of the fence: higher with each taking
	cancel  context.CancelCauseFunc

	mu      sync.Mutex
	renewed time.Time // just before the database was asked
	lost    error
	trouble error // why the last renewal failed
}

type holdKey struct{}

// writeHeld makes changes that only the holder of the project's lease may make. The lease is looked at in the same
// transaction, so that a run which was taken for dead changes nothing that belongs to the one after it. Outside of
// Hold it is a plain write.
func (s *Store) writeHeld(ctx context.Context, doing string, changes func(tx) error) error {
	h, held := ctx.Value(holdKey{}).(*hold)
	return s.write(ctx, doing, func(tx tx) error {
		if held {
			ours, err := h.check(ctx, tx)
			if err != nil {
				return err
			}
			if !ours {
				return h.loseTo("another process took the project over")
			}
		}
		return changes(tx)
	})
}

// check reports whether the lease is ours, and keeps it so until the transaction ends.
func (h *hold) check(ctx context.Context, tx tx) (bool, error) {
	now, err := h.store.leaseClock(ctx, tx)
	if err != nil {
		return false, err
	}
	n, err := tx.exec(ctx, `UPDATE lease SET expires_at = expires_at WHERE project = $1 AND fence = $2 AND expires_at > $3`,
		h.project, h.number, now)
	return n == 1, err
}

// leaseClock is the time that decides about leases, in milliseconds.
func (s *Store) leaseClock(ctx context.Context, tx tx) (now int64, err error) {
	if _, shared := tx.(postgresTx); !shared || !s.options.ownClock {
		return millis(s.options.Now()), nil
	}
	err = tx.row(ctx, `SELECT (EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint`).Scan(&now)
	return now, err
}

func (s *Store) acquire(ctx context.Context, project int64) (*hold, error) {
	doing := fmt.Sprintf("taking the lease of project %d", project)
	for {
		h := &hold{store: s, project: project, renewed: s.options.Now()}
		taken := false
		err := s.write(ctx, doing, func(tx tx) error {
			now, err := s.leaseClock(ctx, tx)
			if err != nil {
				return err
			}
			// One statement takes a free or expired lease; no row comes back while another holds it.
			err = tx.row(ctx, `INSERT INTO lease (project, holder, fence, expires_at) VALUES ($1, $2, 1, $3)
				ON CONFLICT (project) DO UPDATE
				SET holder = excluded.holder, fence = lease.fence + 1, expires_at = excluded.expires_at
				WHERE lease.expires_at <= $4
				RETURNING fence`, project, s.options.Holder, now+s.options.LeaseTTL.Milliseconds(), now).Scan(&h.number)
			taken = err == nil
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if taken {
			return h, nil
		}
		if err := s.options.Wait(ctx, leasePoll); err != nil {
			return nil, fmt.Errorf("waiting for the run of project %d that is under way: %w", project, err)
		}
	}
}

// fence lets a write through. It asks the database only when the last proof is getting old, so that a batch of
// writes costs nothing, and yet whoever is let through has three quarters of the lease's time left.
func (h *hold) fence(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return h.renew(ctx, h.store.options.LeaseTTL/4)
}

// keep renews the lease until the context ends or the lease is lost.
func (h *hold) keep(ctx context.Context) {
	for h.store.options.Wait(ctx, h.store.options.LeaseTTL/3) == nil {
		// Any other error is remembered as the trouble, and tried again at the next beat: the clock decides.
		if err := h.renew(ctx, 0); errors.Is(err, ErrLeaseLost) {
			h.cancel(err)
			return
		}
	}
}

// renew extends the lease if its last renewal is older than age, and says whether it is still ours.
func (h *hold) renew(ctx context.Context, age time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost != nil {
		return h.lost
	}
	ttl := h.store.options.LeaseTTL
	now := h.store.options.Now()
	if h.expired(now) {
		return h.lose("it was not renewed in time")
	}
	if now.Sub(h.renewed) < age {
		return nil
	}
	doing := fmt.Sprintf("renewing the lease of project %d", h.project)
	// A connection that is dead without anybody knowing must not cost the lease: there is time for another one.
	bounded, cancel := context.WithTimeout(ctx, ttl/3)
	defer cancel()
	var ours int64
	err := h.store.write(bounded, doing, func(tx tx) error {
		clock, err := h.store.leaseClock(bounded, tx)
		if err != nil {
			return err
		}
		ours, err = tx.exec(bounded, `UPDATE lease SET expires_at = $1 WHERE project = $2 AND fence = $3 AND expires_at > $4`,
			clock+ttl.Milliseconds(), h.project, h.number, clock)
		return err
	})
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = explain(doing, errSilent)
	}
	if err != nil {
		if !contactsync.IsCanceled(err) {
			h.trouble = err
		}
		return err
	}
	if ours == 0 {
		return h.lose("another process took the project over")
	}
	h.renewed, h.trouble = now, nil
	// The process may have been frozen just now, and the lease may be over already.
	if h.expired(h.store.options.Now()) {
		return h.lose("renewing it took too long")
	}
	return nil
}

// expired goes by both clocks: the one on the wall, which others see and which may be set back, and the one that
// only ever goes forward but stands still while a machine sleeps.
func (h *hold) expired(now time.Time) bool {
	ttl := h.store.options.LeaseTTL
	return now.Sub(h.renewed) >= ttl || now.Round(0).Sub(h.renewed.Round(0)) >= ttl // Round(0) leaves the wall's alone
}

// loseTo is lose for a caller without the lock.
func (h *hold) loseTo(why string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lost == nil {
		h.cancel(h.lose(why))
	}
	return h.lost
}

// lose notes that the lease is gone for good. The caller holds the lock.
func (h *hold) lose(why string) error {
	detail := fmt.Sprintf("the lease of project %d was lost: %s", h.project, why)
	if h.trouble != nil {
		detail += "; the last try to renew it failed: " + h.trouble.Error()
	}
	h.lost = &contactsync.Error{
		Class: contactsync.ClassInternal, Detail: detail, Err: ErrLeaseLost,
		Who: contactsync.WhoNobody, Retry: contactsync.RetrySoon,
		Remedy: "Nothing to do: the run wrote nothing more, and the next one starts from what is there. " +
			"If it keeps happening, the machine is overloaded or its clock jumps.",
	}
	return h.lost
}

func (h *hold) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, releaseTimeout)
	defer cancel()
	return h.store.write(ctx, fmt.Sprintf("giving back the lease of project %d", h.project), func(tx tx) error {
		_, err := tx.exec(ctx, `UPDATE lease SET expires_at = 0 WHERE project = $1 AND fence = $2`, h.project, h.number)
		return err
	})
}
