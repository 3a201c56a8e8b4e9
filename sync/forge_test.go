package sync_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"contactsync"
)

// memoryForge is a forge in maps that people are told things on. It counts requests as GitLab's adapter takes them, and
// each of them can fail, before or after it had its effect.
type memoryForge struct {
	head     string // of the branch
	statuses map[string]contactsync.CommitStatus
	settings []string // every status that was set: commit, name and state
	notes    map[contactsync.Thread][]*memoryNote
	badges   map[string]contactsync.Badge
	requests map[int64]contactsync.MergeRequest
	proposal contactsync.Proposal

	calls int
	used  int // requests, those that failed too
	// fail is asked before each call; after lets the call have its effect all the same.
	fail func(call int, name string) (err error, after bool)
}

type memoryNote struct {
	contactsync.Note
	text     string
	resolved bool
	edits    int
}

func newMemoryForge() *memoryForge {
	return &memoryForge{
		statuses: map[string]contactsync.CommitStatus{}, notes: map[contactsync.Thread][]*memoryNote{},
		badges: map[string]contactsync.Badge{}, requests: map[int64]contactsync.MergeRequest{},
	}
}

func (f *memoryForge) call(name string, requests int, effect func()) error {
	f.calls++
	f.used += requests
	var err error
	var after bool
	if f.fail != nil {
		err, after = f.fail(f.calls, name)
	}
	if err == nil || after {
		effect()
	}
	return err
}

func (f *memoryForge) BranchHead(context.Context, int64, string) (head string, err error) {
	err = f.call("head", 1, func() { head = f.head })
	return head, err
}

func (f *memoryForge) SetStatus(_ context.Context, _ int64, status contactsync.CommitStatus) error {
	return f.call("status", 1, func() {
		f.statuses[status.Commit+" "+status.Name] = status
		f.settings = append(f.settings, fmt.Sprintf("%.4s %s %s", status.Commit, status.Name, status.State))
	})
}

func (f *memoryForge) FindNote(_ context.Context, thread contactsync.Thread) (found contactsync.Note, there bool, err error) {
	err = f.call("find", 1, func() {
		if notes := f.notes[thread]; len(notes) > 0 {
			found, there = notes[0].Note, true
		}
	})
	if err != nil {
		return contactsync.Note{}, false, err
	}
	return found, there, nil
}

func (f *memoryForge) CreateNote(_ context.Context, thread contactsync.Thread, text string) (made contactsync.Note, err error) {
	err = f.call("create", 1, func() {
		note := &memoryNote{Note: contactsync.Note{Discussion: "d", ID: int64(100 + f.calls)}, text: text}
		f.notes[thread] = append(f.notes[thread], note)
		made = note.Note
	})
	if err != nil {
		return contactsync.Note{}, err
	}
	return made, nil
}

func (f *memoryForge) note(thread contactsync.Thread, note contactsync.Note) *memoryNote {
	i := slices.IndexFunc(f.notes[thread], func(n *memoryNote) bool { return n.Note == note })
	if i < 0 {
		return nil
	}
	return f.notes[thread][i]
}

func (f *memoryForge) UpdateNote(_ context.Context, thread contactsync.Thread, note contactsync.Note, text string) (there bool, err error) {
	err = f.call("update", 1, func() {
		if n := f.note(thread, note); n != nil {
			n.text, there = text, true
			n.edits++
		}
	})
	return there, err
}

func (f *memoryForge) ResolveNote(_ context.Context, thread contactsync.Thread, note contactsync.Note, resolved bool) (there bool, err error) {
	err = f.call("resolve", 1, func() {
		if n := f.note(thread, note); n != nil {
			n.resolved, there = resolved, true
		}
	})
	return there, err
}

func (f *memoryForge) SetBadge(_ context.Context, _ int64, badge contactsync.Badge) (id int64, err error) {
	requests := 2
	if badge.ID != 0 {
		requests = 1
	}
	err = f.call("badge", requests, func() {
		if badge.ID != 0 && f.badges[badge.Name].ID != badge.ID {
			return // it is gone
		}
		id = 5
		badge.ID = id
		f.badges[badge.Name] = badge
	})
	if err != nil {
		return 0, err
	}
	return id, nil
}

func (f *memoryForge) MergeRequest(_ context.Context, project, number int64) (found contactsync.MergeRequest, err error) {
	err = f.call("request", 1, func() { found = f.requests[number] })
	return found, err
}

func (f *memoryForge) Propose(context.Context, contactsync.Project, string, string) (contactsync.Proposal, error) {
	return f.proposal, nil
}

// memoryLedger is what was told, in maps.
type memoryLedger struct {
	run   contactsync.Run
	owed  bool
	told  map[string]contactsync.Told
	shown contactsync.Badge
	again int // how often another telling was asked for
}

func newMemoryLedger() *memoryLedger { return &memoryLedger{told: map[string]contactsync.Told{}} }

func (l *memoryLedger) Latest(context.Context, int64) (contactsync.Run, bool, error) {
	return l.run, l.owed, nil
}

func (l *memoryLedger) Told(_ context.Context, _ int64, subject string) (contactsync.Told, error) {
	return l.told[subject], nil
}

func (l *memoryLedger) SaveTold(_ context.Context, _ int64, subject string, told contactsync.Told) error {
	l.told[subject] = told
	return nil
}

func (l *memoryLedger) Badge(context.Context, int64) (key string, shown contactsync.Badge, err error) {
	return "key", l.shown, nil
}

func (l *memoryLedger) SaveBadge(_ context.Context, _ int64, shown contactsync.Badge) error {
	l.shown = shown
	return nil
}

var errLost = &contactsync.Error{Class: contactsync.ClassRepositoryUnreachable, Detail: "the answer was lost", Err: errors.New("lost")}

func commit(letter string) string { return strings.Repeat(letter, 40) }

func (l *memoryLedger) Again(context.Context, int64) error {
	l.again++
	return nil
}
