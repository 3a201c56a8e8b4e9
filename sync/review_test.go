package sync_test

import (
	"context"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"contactsync"
	"contactsync/sync"
)

const request = 3

var inRequest = contactsync.Thread{Project: 7, Request: request}

// propose opens a merge request whose file lists these addresses.
func (r *told) propose(head string, addresses ...contactsync.Email) {
	r.list(addresses...)
	r.forge.requests[request] = contactsync.MergeRequest{
		Project: contactsync.Project{ID: 7, Path: "support/organization-42"}, Number: request, Open: true,
		Source: "change", Target: "master", Head: commit(head), Base: commit("0"),
	}
	r.forge.proposal = contactsync.Proposal{File: contactsync.File{Content: []byte(r.file), Commit: commit(head)}, Changed: true}
}

// review looks at the merge request, and returns how many requests that took.
func (r *told) review() int {
	r.t.Helper()
	before := r.forge.used
	if err := r.Review(r.t.Context(), 7, request); err != nil {
		r.t.Fatal(err)
	}
	return r.forge.used - before
}

func (r *told) planStatus(head string) contactsync.CommitStatus {
	return r.status(commit(head), sync.PlanStatusName)
}

// A merge request is told what merging it would do, in counts, and nothing is written to the desk.
func TestReview(t *testing.T) {
	r := newTold(t, nil)
	members := r.members(8)
	r.propose("a", append(members[1:], "new@example.com")...)
	r.desk.put("Elsewhere", []contactsync.Email{"elsewhere@example.com"}, "other")
	r.file += "- {name: Elsewhere, email: elsewhere@example.com}\n"
	r.forge.proposal.File.Content = []byte(r.file)
	r.review()
	note := r.note(inRequest)
	for _, want := range []string{"is valid", "add 1 contact and remove 1", "2026-11-21 12:00 UTC", "Belongs to another organization", "| 17 |", "`aaaaaaaa`"} {
		if note == nil || !strings.Contains(note.text, want) {
			t.Errorf("%q is not in %+v", want, note)
		}
	}
	for _, name := range []string{"new@example.com", string(members[0]), "elsewhere@example.com"} {
		if strings.Contains(note.text, name) {
			t.Errorf("the comment names %s", name)
		}
	}
	if status := r.planStatus("a"); status.State != contactsync.CommitSuccess || !strings.Contains(status.Description, "would add 1, remove 1; 1 contact needs support") || status.Ref != "change" {
		t.Errorf("the status is %+v", status)
	}
	if len(r.desk.writes) > 0 || len(r.store.runs) > 0 {
		t.Errorf("the review wrote %v and recorded %v", r.desk.writes, r.store.runs)
	}
}

// What would be held is said, with the reason; names are told where the operator wants it; the limit is told where there
// is one.
func TestReviewTellsMore(t *testing.T) {
	r := newTold(t, func(o *sync.TellerOptions) {
		o.Names = true
		o.Pipeline.Policy.MaxContacts = 30
	})
	members := r.members(8)
	r.propose("a", members[:3]...)
	r.forge.proposal.Behind = true
	r.review()
	note := r.note(inRequest)
	for _, want := range []string{"5 changes would wait", "5 at once, and the limit for 8 members is 3", "3 of 30 contacts", string(members[7]), "has changed `contacts.yaml` since"} {
		if !strings.Contains(note.text, want) {
			t.Errorf("%q is not in\n%s", want, note.text)
		}
	}
}

// A file that is wrong is told line by line, fails the status, and costs the desk nothing.
func TestReviewOfWrongFile(t *testing.T) {
	missing := contactsync.Errorf(contactsync.ClassFileMissing, "commit aaaaaaaa has no contacts.yaml at its root")
	for name, test := range map[string]struct {
		content string
		err     error
		limit   int
		want    string
	}{
		"a mistyped address":    {"- {name: Ada, email: ada@example}\n", nil, 0, "| 1 |"},
		"no YAML":               {"- {name: Ada\n", nil, 0, "Put a value that begins with one between double quotes. |"},
		"nobody":                {"[]\n", nil, 0, "is not valid"},
		"another's":             {"organization: 43\ncontacts: [{name: Ada, email: ada@example.com}]\n", nil, 0, "belongs to organization 42"},
		"too many":              {"- {name: A, email: a@example.com}\n- {name: B, email: b@example.com}\n", nil, 1, "the limit for this organization is 1"},
		"the file is taken out": {"", missing, 0, "has no `contacts.yaml` at its root"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newTold(t, func(o *sync.TellerOptions) { o.Pipeline.Policy.MaxContacts = test.limit })
			r.members(8)
			r.propose("a", "x@example.com")
			r.forge.proposal.File.Content, r.forge.proposal.Err = []byte(test.content), test.err
			r.review()
			if note := r.note(inRequest); note == nil || !strings.Contains(note.text, test.want) || !strings.Contains(note.text, "is not valid") {
				t.Errorf("the comment is %+v", note)
			}
			if status := r.planStatus("a"); status.State != contactsync.CommitFailed || !strings.Contains(status.Description, "not valid: see the comment") {
				t.Errorf("the status is %+v", status)
			}
		})
	}
}

// Requests that mean nothing here are left alone.
func TestReviewLeavesAlone(t *testing.T) {
	for name, change := range map[string]func(*contactsync.MergeRequest){
		"closed or merged": func(m *contactsync.MergeRequest) { m.Open = false },
		"a fork":           func(m *contactsync.MergeRequest) { m.Fork = true },
		"another branch":   func(m *contactsync.MergeRequest) { m.Target = "drafts" },
	} {
		r := newTold(t, nil)
		r.propose("a", "new@example.com")
		found := r.forge.requests[request]
		change(&found)
		r.forge.requests[request] = found
		if used := r.review(); used != 1 || len(r.forge.notes)+len(r.forge.statuses) > 0 {
			t.Errorf("%s: %d requests, notes %v, statuses %v", name, used, r.forge.notes, r.forge.statuses)
		}
	}
	r := newTold(t, func(o *sync.TellerOptions) { o.Requests = false })
	r.propose("a", "new@example.com")
	if used := r.review(); used != 0 {
		t.Errorf("switched off: %d requests", used)
	}
	r = newTold(t, nil)
	r.propose("a", "new@example.com")
	r.forge.proposal.Changed = false
	if r.review(); r.note(inRequest) != nil || r.planStatus("a").State != contactsync.CommitSuccess {
		t.Errorf("a request that does not change the file: %+v, %+v", r.forge.notes, r.planStatus("a"))
	}
}

// One comment goes with a request through all that can happen to it, in at most four requests each time.
func TestOneComment(t *testing.T) {
	r := newTold(t, nil)
	members := r.members(8)
	must := func(what string, holds bool) {
		t.Helper()
		if !holds {
			t.Errorf("%s: the comment is %+v", what, r.note(inRequest))
		}
	}
	look := func() *memoryNote {
		t.Helper()
		if used := r.review(); used > 4 {
			t.Errorf("%d requests", used)
		}
		return r.note(inRequest)
	}
	r.propose("a", append(members, "new@example.com")...)
	first := look()
	must("opened", !first.resolved && strings.Contains(first.text, "add 1 contact"))

	r.propose("b", append(members, "new@example.com", "newer@example.com")...)
	must("pushed", look() == first && first.edits == 1 && strings.Contains(first.text, "add 2 contacts"))

	r.propose("c")
	r.forge.proposal.Changed = false
	must("the file is left as it is", look() == first && first.resolved && strings.Contains(first.text, "does not change `contacts.yaml` any more"))
	calls := r.forge.calls
	look()
	if r.forge.calls != calls+1 {
		t.Errorf("what is settled is settled again: %d calls", r.forge.calls-calls)
	}

	r.propose("d", members...)
	must("changed again", look() == first && !first.resolved && strings.Contains(first.text, "change no contact"))

	r.propose("e", members...)
	elsewhere := r.forge.requests[request]
	elsewhere.Target = "drafts"
	r.forge.requests[request] = elsewhere
	must("it leads elsewhere", look() == first && first.resolved)

	delete(r.forge.notes, inRequest) // by somebody
	r.propose("f", members...)
	must("deleted", look() != nil)
}

// Where the desk cannot be read, the comment says so in words that whoever edits the file understands, and another try
// brings the plan.
func TestReviewWithoutDesk(t *testing.T) {
	r := newTold(t, nil)
	r.members(8)
	r.propose("a", "new@example.com")
	r.desk.failMembers = contactsync.Errorf(contactsync.ClassDeskUnreadable, "page 2 of 3 is missing")
	err := r.Review(t.Context(), 7, request)
	if contactsync.FailureOf(err).Retry != contactsync.RetrySoon {
		t.Errorf("got %v", err)
	}
	note := r.note(inRequest)
	if note == nil || strings.Contains(note.text, "page 2") || !strings.Contains(note.text, "You need not do anything") {
		t.Errorf("the comment is %+v", note)
	}
	if status := r.planStatus("a"); status.State != contactsync.CommitSuccess {
		t.Errorf("the status is %+v", status)
	}
	r.desk.failMembers = nil
	r.review()
	if note := r.note(inRequest); !strings.Contains(note.text, "Merging would") {
		t.Errorf("the comment is %+v", note)
	}
	// What only an operator can mend is not tried again and again.
	r.desk.orgs = map[int64]contactsync.Organization{}
	if err := r.Review(t.Context(), 7, request); contactsync.ClassOf(err) != contactsync.ClassNoOrgFound {
		t.Errorf("got %v", err)
	}
	r.forge.requests[request] = contactsync.MergeRequest{Open: true, Target: "master", Head: commit("a")}
	if err := r.Review(t.Context(), 7, request); contactsync.FailureOf(err).Retry != contactsync.RetrySoon {
		t.Errorf("a request whose beginning GitLab does not know yet: %v", err)
	}
}

// Whatever fails on the way, there is one comment in the end, it is right, and no look takes more than four requests.
func TestReviewsConverge(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := newTold(t, nil)
		members := r.members(4)
		changed := false
		look := func() {
			before := r.forge.used
			_ = r.Review(t.Context(), 7, request)
			if used := r.forge.used - before; used > 4 {
				rt.Fatalf("%d requests", used)
			}
		}
		for range rapid.IntRange(1, 6).Draw(rt, "pushes") {
			r.propose(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "head"), append(members, "new@example.com")...)
			changed = rapid.Bool().Draw(rt, "changed")
			r.forge.proposal.Changed = changed
			broken := rapid.SliceOfN(rapid.IntRange(0, 2), 0, 5).Draw(rt, "failures")
			base := r.forge.calls
			r.forge.fail = func(n int, _ string) (error, bool) {
				if i := n - base - 1; i < len(broken) && broken[i] > 0 {
					return errLost, broken[i] == 2
				}
				return nil, false
			}
			look()
		}
		r.forge.fail = nil
		look()
		note := r.note(inRequest)
		if changed && (note == nil || note.resolved || !strings.Contains(note.text, "Merging would add 1")) {
			rt.Fatalf("the comment is %+v", note)
		}
		if !changed && note != nil && !note.resolved {
			rt.Fatalf("the comment is %+v", note)
		}
	})
}

// linkedDesk also tells which project an organization carries.
type linkedDesk struct {
	*memoryDesk
	carries map[string]int64
	asked   int
}

func (d *linkedDesk) ProjectOf(_ context.Context, org contactsync.Organization) (int64, error) {
	d.asked++
	return d.carries[org.ID], nil
}

func (d *linkedDesk) LinkProject(context.Context, contactsync.Organization, int64) error { return nil }

// A plan for a merge request believes the last good run about the organization, where the desk confirms it; else it is
// looked for as in a run. The answer is the same.
func TestPlanProposedOfKnownOrganization(t *testing.T) {
	known := contactsync.Organization{ID: "42", Name: "Example"}
	for name, test := range map[string]struct {
		known    contactsync.Organization
		carries  map[string]int64
		resolved int
	}{
		"confirmed": {known, map[string]int64{"42": 7}, 0},
		"moved":     {known, map[string]int64{"42": 8}, 1},
		"unknown":   {contactsync.Organization{}, map[string]int64{"42": 7}, 1},
	} {
		b := newBench()
		members := b.members(3)
		b.list(members[1:]...)
		pipeline := b.pipeline()
		pipeline.Desk = &linkedDesk{memoryDesk: b.desk, carries: test.carries}
		run := pipeline.PlanProposed(t.Context(), 7, test.known, []byte(b.file))
		if run.Summary.Remove != 1 || run.Organization == nil || *run.Organization != known || b.desk.resolved != test.resolved {
			t.Errorf("%s: %+v %+v, the organization was looked for %d times", name, run.Summary, run.Error, b.desk.resolved)
		}
	}
}
