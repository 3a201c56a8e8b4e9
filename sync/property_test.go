package sync_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"contactsync"
	"contactsync/contacts"
	"contactsync/sync"
)

// world is a random desk and a random file over the same few addresses, so that they meet in every way.
type world struct {
	*bench
	wanted    []contactsync.Contact
	protected map[string]bool     // people
	before    map[string][]string // person → organizations
}

func drawWorld(t *rapid.T) world {
	w := world{bench: newBench(), protected: map[string]bool{}, before: map[string][]string{}}
	w.desk.lazy = rapid.Bool().Draw(t, "lazy")
	names := rapid.SampledFrom([]string{"Ada", "Bob", "No", "0123", "Zoë 😀", "שלום"})
	for i := range rapid.IntRange(0, 14).Draw(t, "people") {
		addresses := []contactsync.Email{address(i)}
		if rapid.IntRange(0, 3).Draw(t, "secondary") == 0 {
			addresses = append(addresses, alias(i))
		}
		orgs := rapid.SampledFrom([][]string{{"42"}, {"42"}, {"42"}, {}, {"99"}, {"42", "99"}}).Draw(t, "orgs")
		p := w.desk.put(names.Draw(t, "name"), addresses, orgs...)
		switch rapid.IntRange(0, 12).Draw(t, "kind") {
		case 0:
			p.Role = contactsync.RoleAgent
		case 1:
			p.Suspended = true
		case 2:
			p.Shared = true
		case 3:
			w.policy.Protected = append(w.policy.Protected, addresses[len(addresses)-1])
		default:
			w.before[p.ID] = orgs
			continue
		}
		w.protected[p.ID] = true
		w.before[p.ID] = orgs
	}
	used := map[contactsync.Email]bool{}
	for i := range 18 {
		email := address(i)
		switch rapid.IntRange(0, 4).Draw(t, "listed") {
		case 0:
			continue
		case 1:
			email = alias(i)
		}
		c := contactsync.Contact{Name: names.Draw(t, "listed name"), Email: email}
		if rapid.IntRange(0, 5).Draw(t, "previously") == 0 {
			previous := address(rapid.IntRange(0, 17).Draw(t, "previous"))
			if previous != email && !used[previous] {
				c.Previously, used[previous] = previous, true
			}
		}
		w.wanted = append(w.wanted, c)
	}
	// A file in which an earlier address is also listed as a contact's own is refused as a mistake.
	for i := range w.wanted {
		if slices.ContainsFunc(w.wanted, func(c contactsync.Contact) bool { return c.Email == w.wanted[i].Previously }) {
			w.wanted[i].Previously = ""
		}
	}
	if len(w.wanted) == 0 {
		w.wanted = []contactsync.Contact{{Name: "Ada", Email: address(0)}}
	}
	content, err := contacts.Render(contacts.File{Contacts: w.wanted})
	if err != nil {
		t.Fatalf("rendering: %v", err)
	}
	w.file = string(content)
	if rapid.Bool().Draw(t, "add elsewhere") {
		w.policy.PeopleElsewhere = sync.AddElsewhere
	}
	if rapid.Bool().Draw(t, "names from desk") {
		w.policy.Names = sync.NamesFromDesk
	}
	if rapid.Bool().Draw(t, "low thresholds") {
		w.policy.HoldAdditions = sync.Threshold{Floor: rapid.IntRange(0, 5).Draw(t, "floor"), Percent: 50}
	}
	return w
}

func address(i int) contactsync.Email { return contactsync.Email(fmt.Sprintf("p%02d@example.com", i)) }
func alias(i int) contactsync.Email {
	return contactsync.Email(fmt.Sprintf("p%02d@alias.example.com", i))
}

func made(run contactsync.Run) int {
	return run.Summary.Create + run.Summary.Add + run.Summary.Rename + run.Summary.Remove
}

// For any file and any desk: a run, with its held changes approved, brings the organization to the file; the next run
// makes nothing; protected people and other organizations are never touched; and whoever the file lists stays.
func TestRunsConverge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		run := w.sync(t)
		if run.Status == contactsync.StatusFailed {
			rt.Fatalf("failed: %+v", run.Error)
		}
		if run.Summary.Held > 0 {
			if run.Remainder == "" {
				rt.Fatal("changes are held, but no remainder is named")
			}
			run = w.pipeline().Approve(t.Context(), "7", run.Digest, "ops")
			if run.Status == contactsync.StatusFailed || run.Summary.Held > 0 {
				rt.Fatalf("after the approval: %s %+v %+v", run.Status, run.Error, run.Summary)
			}
		}
		writes := len(w.desk.writes)
		again := w.sync(t)
		if again.Status == contactsync.StatusFailed || made(again) != 0 || again.Summary.Held != 0 || len(w.desk.writes) != writes {
			rt.Fatalf("the second run made changes: %+v\nfirst: %+v", again, run)
		}
		conflicts := map[contactsync.Email]bool{}
		for _, c := range again.Conflicts {
			conflicts[c.Email] = true
		}
		for _, c := range w.wanted {
			p := w.desk.holder(c.Email)
			if !conflicts[c.Email] && (p == nil || !p.orgs["42"]) {
				rt.Errorf("%s is listed, not in conflict, and no member", c.Email)
			}
		}
		for id, p := range w.desk.people {
			listed := slices.ContainsFunc(w.wanted, func(c contactsync.Contact) bool { return p.Has(c.Email) })
			kept := slices.ContainsFunc(w.wanted, func(c contactsync.Contact) bool { return conflicts[c.Email] && p.Has(c.Previously) })
			was, existed := w.before[id]
			if p.orgs["42"] && !listed && !w.protected[id] && !kept {
				rt.Errorf("person %s is a member, but nobody lists %v", id, p.Addresses)
			}
			if slices.Contains(was, "42") && listed && !p.orgs["42"] {
				rt.Errorf("person %s was a member and is listed, but was removed", id)
			}
			if w.protected[id] && w.desk.touched[id] {
				rt.Errorf("protected person %s was touched", id)
			}
			if existed && slices.Contains(was, "99") != p.orgs["99"] {
				rt.Errorf("the other organization's membership of %s changed", id)
			}
		}
	})
}

// Whatever fails while reading or proving, nobody is removed by that run.
func TestNoRemovalAfterAnUntrustworthyRead(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		unreadable := contactsync.Errorf(contactsync.ClassDeskUnreadable, "cut off")
		broken := brokenDesk{memoryDesk: w.desk, step: rapid.SampledFrom([]string{"Organization", "Members", "Addresses", "People", "Elsewhere", "Present"}).Draw(rt, "step"), err: unreadable}
		pipeline := w.pipeline()
		pipeline.Desk = &broken
		run := pipeline.Sync(t.Context(), "7", contactsync.TriggerCommand)
		if !broken.hit {
			return
		}
		if run.Status != contactsync.StatusFailed || run.Error.Class != contactsync.ClassDeskUnreadable {
			rt.Fatalf("status %s, error %+v", run.Status, run.Error)
		}
		for _, write := range w.desk.writes {
			// Present is also asked after the removals: then they were decided on good reads.
			if strings.HasPrefix(write, "remove") && !(broken.step == "Present" && !strings.HasPrefix(w.desk.writes[0], "add")) {
				rt.Errorf("%s, although %s failed", write, broken.step)
			}
		}
	})
}

// The plan does not depend on the order in which the desk or the file tells things.
func TestPlansAreDeterministic(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := drawWorld(rt)
		first := w.pipeline().Plan(t.Context(), "7")
		second := w.pipeline().Plan(t.Context(), "7") // the desk answers in the random order of a map
		if fmt.Sprint(first.Changes, first.Conflicts, first.Summary) != fmt.Sprint(second.Changes, second.Conflicts, second.Summary) {
			rt.Fatalf("two plans of one state differ:\n%+v\n%+v", first, second)
		}
		slices.Reverse(w.wanted)
		content, err := contacts.Render(contacts.File{Contacts: w.wanted})
		if err != nil {
			rt.Fatal(err)
		}
		w.file = string(content)
		if turned := w.pipeline().Plan(t.Context(), "7"); turned.Digest != first.Digest {
			rt.Fatalf("the order of the file changes the digest: %+v\n%+v", turned.Changes, first.Changes)
		}
	})
}
