package sync_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"contactsync"
	"contactsync/sync"
)

// The thresholds let small changes and small organizations pass, and stop exactly above max(floor, percent).
func TestThresholds(t *testing.T) {
	removals, additions := defaultPolicy().HoldRemovals, defaultPolicy().HoldAdditions
	tests := []struct {
		threshold      sync.Threshold
		count, members int
		want           bool
	}{
		{removals, 3, 3, false},
		{removals, 3, 0, false},
		{removals, 4, 4, true},
		{removals, 4, 13, true},  // 30 % of 13 is 3.9
		{removals, 4, 14, false}, // of 14 it is 4.2
		{removals, 30, 100, false},
		{removals, 31, 100, true},
		{additions, 100, 0, false},
		{additions, 101, 0, true},
		{additions, 101, 100, true},
		{additions, 101, 101, false},
		{sync.Threshold{}, 1, 100, true},
		{sync.Threshold{}, 0, 100, false},
	}
	for _, tt := range tests {
		if got := tt.threshold.Exceeded(tt.count, tt.members); got != tt.want {
			t.Errorf("%+v.Exceeded(%d of %d) = %v, want %v", tt.threshold, tt.count, tt.members, got, tt.want)
		}
	}
}

func losing(t *testing.T, org string, members, removed int) sync.Plan {
	t.Helper()
	state := sync.State{Organization: contactsync.Organization{ID: org}}
	for i := range members {
		address := contactsync.Email(fmt.Sprintf("m%d@example.com", i))
		state.Members = append(state.Members, contactsync.Member{Person: contactsync.Person{
			ID: fmt.Sprint(i), Addresses: []contactsync.Email{address}, Complete: true, Role: contactsync.RoleContact,
		}})
		if i >= removed {
			state.Contacts = append(state.Contacts, contactsync.Contact{Name: string(address), Email: address})
		}
	}
	plan, err := sync.Make(state, defaultPolicy())
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// A sweep in which the desk would take members from many organizations, or many members, is told so with the figures.
func TestSweepIsJudgedAsAWhole(t *testing.T) {
	tests := []struct {
		name     string
		losses   []int // of 500 members each
		exceeded bool
	}{
		{"nobody", []int{0, 0, 0, 0, 0}, false},
		{"three organizations", []int{1, 1, 1, 0, 0}, false},
		{"four organizations", []int{1, 1, 1, 1, 0}, true},
		{"five percent", []int{125, 0, 0, 0, 0}, false},
		{"more than five percent", []int{126, 0, 0, 0, 0}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var losses sync.Losses
			lost := 0
			for i, removed := range tt.losses {
				losses = losses.Plus(losing(t, fmt.Sprint(i), 500, removed).Loss())
				lost += removed
			}
			exceeded, why := defaultSweep.Judge(losses)
			if exceeded != tt.exceeded || exceeded == (why == "") {
				t.Errorf("Judge(%+v) = %v, %q; want %v", losses, exceeded, why, tt.exceeded)
			}
			if figures := fmt.Sprintf("%d of 2500 contacts", lost); exceeded && !strings.Contains(why, figures) {
				t.Errorf("%q does not say %q", why, figures)
			}
		})
	}
	if exceeded, _ := (sync.SweepThreshold{}).Judge(sync.Losses{Members: 100}); exceeded {
		t.Error("a sweep without losses is suspect")
	}
}

// For any sweep: its judgement does not depend on the order of its projects, further losses do not make it pass again,
// and putting back leaves nobody to be removed, whoever had approved it, and touches nothing else.
func TestSweepProperties(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		threshold := sync.SweepThreshold{
			Organizations: rapid.IntRange(0, 4).Draw(rt, "organizations"),
			Contacts:      sync.Threshold{Floor: rapid.IntRange(0, 20).Draw(rt, "floor"), Percent: rapid.IntRange(0, 50).Draw(rt, "percent")},
		}
		var plans []sync.Plan
		for i := range rapid.IntRange(0, 8).Draw(rt, "plans") {
			members := rapid.IntRange(1, 12).Draw(rt, "members")
			plan := losing(t, fmt.Sprint(i), members, rapid.IntRange(0, members).Draw(rt, "removed"))
			var now sync.Circumstances
			if rapid.Bool().Draw(rt, "approved") {
				now.Approvals = []contactsync.Approval{sync.Guard(plan, sync.Policy{}, now).Approve()}
			}
			plans = append(plans, sync.Guard(plan, defaultPolicy(), now))
		}
		var losses, turned sync.Losses
		for i := range plans {
			losses, turned = losses.Plus(plans[i].Loss()), turned.Plus(plans[len(plans)-1-i].Loss())
		}
		worse := losses
		worse.Organizations++
		worse.Removals++
		before, _ := threshold.Judge(losses)
		if after, _ := threshold.Judge(worse); before && !after {
			rt.Fatalf("%+v is suspect under %+v, but %+v is not", losses, threshold, worse)
		}
		if losses != turned {
			rt.Fatalf("%+v in one order, %+v in the other", losses, turned)
		}
		for _, plan := range plans {
			before := fmt.Sprint(plan.Items)
			back := sync.PutBack(plan)
			if back.Loss() != (sync.Loss{Members: plan.Members}) || len(back.Held()) != len(plan.Held())+plan.Loss().Removals {
				rt.Fatalf("put back: %+v of %+v", back.Items, plan.Items)
			}
			if fmt.Sprint(plan.Items) != before || back.Digest() != plan.Digest() || fmt.Sprint(sync.PutBack(back)) != fmt.Sprint(back) {
				rt.Fatalf("putting back changes the plan that was given, its digest, or more when it is done twice: %+v", back)
			}
			for i, item := range back.Items {
				if was := plan.Items[i]; was.Result != contactsync.ResultPlanned && fmt.Sprint(item) != fmt.Sprint(was) {
					rt.Fatalf("putting back changed %+v to %+v", was, item)
				}
			}
		}
	})
}

// A member is not given up for removal while some of their addresses are unknown and a contact is unexplained.
func TestMakeRefusesToGuess(t *testing.T) {
	state := sync.State{
		Contacts: []contactsync.Contact{{Name: "Ada", Email: "ada@work.example.com"}},
		Members: []contactsync.Member{{Person: contactsync.Person{
			ID: "1", Addresses: []contactsync.Email{"ada@example.com"}, Role: contactsync.RoleContact,
		}}},
	}
	if plan, err := sync.Make(state, defaultPolicy()); err == nil {
		t.Errorf("planned %+v", plan.Items)
	}
}

// What remains of an approved plan stays approved; a change beyond it does not.
func TestApprovalsCoverWhatTheyName(t *testing.T) {
	policy := defaultPolicy()
	larger := sync.Guard(losing(t, "42", 20, 10), policy, sync.Circumstances{})
	approval := larger.Approve()
	for removed, wantHeld := range map[int]int{10: 0, 9: 0, 11: 11} {
		plan := sync.Guard(losing(t, "42", 20, removed), policy, sync.Circumstances{Approvals: []contactsync.Approval{approval}})
		if got := len(plan.Held()); got != wantHeld {
			t.Errorf("%d removals: %d held, want %d", removed, got, wantHeld)
		}
	}
}
