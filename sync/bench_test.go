package sync_test

import (
	"fmt"
	"testing"

	"contactsync"
	"contactsync/sync"
)

// BenchmarkPlan plans 5,000 contacts against 5,000 members, of whom 100 differ.
func BenchmarkPlan(b *testing.B) {
	state := sync.State{Organization: contactsync.Organization{ID: "42"}, CanRename: true}
	for i := range 5000 {
		listed := contactsync.Email(fmt.Sprintf("contact%04d@example.com", i))
		held := listed
		if i%50 == 0 {
			held = contactsync.Email(fmt.Sprintf("former%04d@example.com", i))
		}
		state.Contacts = append(state.Contacts, contactsync.Contact{Name: fmt.Sprintf("Contact %d", i), Email: listed, Line: 2*i + 1})
		state.Members = append(state.Members, contactsync.Member{Person: contactsync.Person{
			ID: fmt.Sprint(100000 + i), Name: fmt.Sprintf("Contact %d", i), Addresses: []contactsync.Email{held},
			Complete: true, Role: contactsync.RoleContact, Elsewhere: contactsync.ElsewhereNo,
		}})
	}
	policy := defaultPolicy()
	b.ReportAllocs()
	for b.Loop() {
		plan, err := sync.Make(state, policy)
		if err != nil {
			b.Fatal(err)
		}
		if guarded := sync.Guard(plan, policy, sync.Circumstances{}); len(guarded.Items) != 200 {
			b.Fatalf("items = %d", len(guarded.Items))
		}
	}
}
