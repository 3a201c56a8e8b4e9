package sync

import (
	"fmt"
	"slices"

	"contactsync"
)

// Threshold is how many changes of a kind may happen without anybody being asked: max(Floor, Percent % of the
// members). A floor of its own keeps the percentage from tripping on small organizations.
type Threshold struct {
	Floor   int
	Percent int
}

// Exceeded reports whether count changes are too many for an organization of that many members.
func (t Threshold) Exceeded(count, members int) bool {
	return count > t.Floor && count*100 > t.Percent*members
}

// Circumstances are what a guard knows beside the plan.
type Circumstances struct {
	Baseline  contactsync.Baseline   // the last good read; zero if there was none
	Approvals []contactsync.Approval // in force
}

// CheckRead judges the members that were read against the last good read. A fall to zero is the accident that this
// whole field knows best: a list that could not be read, taken for an empty one. It is desk_unreadable.
func CheckRead(org contactsync.Organization, members int, baseline contactsync.Baseline) error {
	if members == 0 && len(baseline.Members) > 0 {
		return &contactsync.Error{
			Class: contactsync.ClassDeskUnreadable,
			Detail: fmt.Sprintf("the desk says that organization %s (%s) has no members, but it had %d when it was last read",
				org.ID, org.Name, len(baseline.Members)),
			Remedy: "Nothing was changed. If the organization really has no members any more, add one of the file's contacts at the desk by hand; the next run goes on from there.",
		}
	}
	return nil
}

// Guard returns the plan with the changes held that need somebody's approval: removals above their threshold, and
// with additions above theirs both. Renames are never held. Additions that only restore people of the baseline do
// not count. Held changes are let through when an approval names every one of them. Guarding a guarded plan again,
// with an approval that came in, judges it afresh.
func Guard(plan Plan, policy Policy, now Circumstances) Plan {
	plan.Items = slices.Clone(plan.Items)
	for i := range plan.Items {
		plan.Items[i].release()
	}
	known := make(map[string]bool, len(now.Baseline.Members))
	for _, person := range now.Baseline.Members {
		known[person] = true
	}
	var additions, removals int
	for _, item := range plan.Items {
		switch {
		case item.Result != contactsync.ResultPlanned:
		case item.Action == contactsync.ActionRemove:
			removals++
		case item.Action == contactsync.ActionCreate, item.Action == contactsync.ActionAdd && !known[item.Person]:
			additions++
		}
	}
	holdAdditions := policy.HoldAdditions.Exceeded(additions, plan.Members)
	holdRemovals := policy.HoldRemovals.Exceeded(removals, plan.Members)

	guarded := plan
	guarded.Items = slices.Clone(plan.Items)
	for i := range guarded.Items {
		item := &guarded.Items[i]
		if item.Result != contactsync.ResultPlanned {
			continue
		}
		switch {
		case item.Action == contactsync.ActionCreate, item.Action == contactsync.ActionAdd, item.newcomer:
			if holdAdditions {
				item.hold(contactsync.ClassAdditionsHeld, tooMany(additions, policy.HoldAdditions, plan.Members))
			}
		case item.Action == contactsync.ActionRemove:
			if holdRemovals {
				item.hold(contactsync.ClassRemovalsHeld, tooMany(removals, policy.HoldRemovals, plan.Members))
			} else if holdAdditions {
				item.hold(contactsync.ClassRemovalsHeld, "held together with the additions")
			}
		}
	}
	if held := guarded.Held(); len(held) > 0 && slices.ContainsFunc(now.Approvals, func(a contactsync.Approval) bool {
		return covers(a, held)
	}) {
		return plan
	}
	return guarded
}

func (i *Item) hold(class contactsync.Class, detail string) {
	i.Result, i.Error, i.Detail = contactsync.ResultHeld, class, detail
}

func (i *Item) release() {
	if i.Result == contactsync.ResultHeld {
		i.Result, i.Error, i.Detail = contactsync.ResultPlanned, "", ""
	}
}

func tooMany(count int, limit Threshold, members int) string {
	return fmt.Sprintf("%d at once, and the limit for %d members is %d, or %d %% of them where that is more",
		count, members, limit.Floor, limit.Percent)
}

// Held returns the changes that wait for approval.
func (p Plan) Held() []contactsync.Change {
	var held []contactsync.Change
	for _, item := range p.Items {
		if item.Result == contactsync.ResultHeld {
			held = append(held, item.Change)
		}
	}
	return held
}

// Approve returns the approval of exactly the plan's held changes.
func (p Plan) Approve() contactsync.Approval {
	approval := contactsync.Approval{Digest: p.Digest()}
	for _, change := range p.Held() {
		approval.Changes = append(approval.Changes, change.Key())
	}
	return approval
}

// covers reports whether every held change is one that was approved: what remains of an approved plan after a run
// that ended early is still approved, anything more is not.
func covers(approval contactsync.Approval, held []contactsync.Change) bool {
	approved := make(map[string]bool, len(approval.Changes))
	for _, key := range approval.Changes {
		approved[key] = true
	}
	return !slices.ContainsFunc(held, func(c contactsync.Change) bool { return !approved[c.Key()] })
}

// Loss is what the run of one organization would take away.
type Loss struct {
	Members  int // of the organization, before the run
	Removals int // that the organization's own guard lets through
}

// Loss counts the plan's removals that would be made now: those that are held already take nobody away.
func (p Plan) Loss() Loss {
	loss := Loss{Members: p.Members}
	for _, item := range p.Items {
		if item.Action == contactsync.ActionRemove && item.Result == contactsync.ResultPlanned {
			loss.Removals++
		}
	}
	return loss
}

// PutBack returns the plan with the removals held that its own guard let through: in a sweep they wait until every
// organization has been looked at. Everything else goes on, and no approval lets them through.
func PutBack(plan Plan) Plan {
	plan.Items = slices.Clone(plan.Items)
	for i := range plan.Items {
		if item := &plan.Items[i]; item.Action == contactsync.ActionRemove && item.Result == contactsync.ResultPlanned {
			item.hold(contactsync.ClassRemovalsHeld, "waits until the whole sweep has been looked at")
		}
	}
	return plan
}

// Losses is what the runs of a whole sweep would take away.
type Losses struct {
	Organizations int // that would lose members
	Removals      int
	Members       int // of all organizations of the sweep
}

// Plus adds one organization's loss.
func (l Losses) Plus(one Loss) Losses {
	if one.Removals > 0 {
		l.Organizations++
	}
	l.Removals += one.Removals
	l.Members += one.Members
	return l
}

// SweepThreshold is when the removals of a whole scheduled sweep are held: the desk is suspect.
type SweepThreshold struct {
	Organizations int       // that would lose members
	Contacts      Threshold // removals over all organizations, against all members
}

// Judge reports whether a sweep's losses are too many to be true, and why, for people.
func (t SweepThreshold) Judge(l Losses) (exceeded bool, why string) {
	if l.Organizations <= t.Organizations && !t.Contacts.Exceeded(l.Removals, l.Members) {
		return false, ""
	}
	return true, fmt.Sprintf("the sweep would remove %d of %d contacts, from %d organizations; "+
		"with more than %d organizations, or more than %d contacts and %d %% of all, the desk is suspect and nobody is removed",
		l.Removals, l.Members, l.Organizations, t.Organizations, t.Contacts.Floor, t.Contacts.Percent)
}
