package sync_test

import (
	"fmt"
	"testing"

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

// A sweep in which the desk would take members from many organizations, or many members, removes nobody at all.
func TestSweepIsHeldAsAWhole(t *testing.T) {
	tests := []struct {
		name    string
		losses  []int // of 500 members each
		allHeld bool
	}{
		{"nobody", []int{0, 0, 0, 0, 0}, false},
		{"three organizations", []int{1, 1, 1, 0, 0}, false},
		{"four organizations", []int{1, 1, 1, 1, 0}, true},
		{"five percent", []int{125, 0, 0, 0, 0}, false},
		{"more than five percent", []int{126, 0, 0, 0, 0}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var plans []sync.Plan
			total := 0
			for i, lost := range tt.losses {
				plans = append(plans, losing(t, fmt.Sprint(i), 500, lost))
				total += lost
			}
			held := 0
			for _, plan := range sync.GuardSweep(plans, defaultSweep) {
				held += len(plan.Held())
			}
			want := 0
			if tt.allHeld {
				want = total
			}
			if held != want {
				t.Errorf("held = %d, want %d", held, want)
			}
			for _, plan := range plans {
				if len(plan.Held()) != 0 {
					t.Error("the plans that were given have changed")
				}
			}
		})
	}
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
