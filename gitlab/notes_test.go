package gitlab_test

import (
	"fmt"
	"regexp"
	"strings"
	gosync "sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"contactsync"
	"contactsync/gitlab"
	fake "contactsync/internal/fakes/gitlab"
)

// noteMark is what our notes end with.
const noteMark = "\n\n<!-- contactsync -->"

var (
	service  = fake.User{ID: 1, Username: "service-account"}
	customer = fake.User{ID: 7, Username: "ada", Name: "Ada Lovelace"}
)

// threads are both kinds of them.
func (o *office) threads(t *testing.T) []contactsync.Thread {
	t.Helper()
	return []contactsync.Thread{o.commitThread(), {Project: o.id, Request: o.request(t)}}
}

// notes are those of a thread, as the stand-in has them.
func (o *office) notes(t *testing.T, thread contactsync.Thread) []fake.Note {
	t.Helper()
	notes, err := o.Notes(o.id, thread.Commit)
	if thread.Request != 0 {
		notes, err = o.RequestNotes(o.id, thread.Request)
	}
	if err != nil {
		t.Fatal(err)
	}
	return notes
}

// say writes a note as somebody, and returns it.
func (o *office) say(t *testing.T, thread contactsync.Thread, author fake.User, body string) fake.Note {
	t.Helper()
	n, err := o.AddNote(o.id, fake.Note{Commit: thread.Commit, Request: thread.Request, Author: author, Body: body})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestNote guards the life of a note: written, found again by another client, changed, settled and opened again, and known
// to be gone once somebody deleted it; each in one request.
func TestNote(t *testing.T) {
	o := newOffice(t, nil)
	for _, thread := range o.threads(t) {
		if _, there, err := o.client.FindNote(t.Context(), thread); err != nil || there {
			t.Fatalf("found a note that nobody wrote: %v", err)
		}
		o.ForgetRequests()
		note, err := o.client.CreateNote(t.Context(), thread, "Line 3 has no address.")
		if err != nil {
			t.Fatal(err)
		}
		o.wantRequests(t, 1)
		found, there, err := o.again(t).FindNote(t.Context(), thread)
		if err != nil || !there || found != note {
			t.Errorf("found %+v, %v, %v, want %+v", found, there, err, note)
		}
		o.wantRequests(t, 2) // whose the token is, and the list
		if there, err := o.client.UpdateNote(t.Context(), thread, note, "All is well."); err != nil || !there {
			t.Errorf("changing it: %v, %v", there, err)
		}
		o.wantRequests(t, 1)
		for _, resolved := range []bool{true, true, false} {
			there, err := o.client.ResolveNote(t.Context(), thread, note, resolved)
			if thread.Request == 0 {
				if contactsync.ClassOf(err) != contactsync.ClassInternal {
					t.Errorf("settling the note of a commit: %v", err)
				}
				o.wantRequests(t, 0)
				continue
			}
			if err != nil || !there || o.notes(t, thread)[0].Resolved != resolved {
				t.Errorf("settling it: %v, %v, %+v", there, err, o.notes(t, thread))
			}
			o.wantRequests(t, 1)
		}
		notes := o.notes(t, thread)
		if len(notes) != 1 || notes[0].Body != "All is well."+noteMark || notes[0].Edits != 1 || notes[0].Author.ID != 1 {
			t.Errorf("the notes are %+v", notes)
		}
		if err := o.DeleteNote(o.id, note.ID); err != nil {
			t.Fatal(err)
		}
		if there, err := o.client.UpdateNote(t.Context(), thread, note, "x"); err != nil || there {
			t.Errorf("changing a deleted note: %v, %v", there, err)
		}
		o.wantRequests(t, 1)
		if thread.Request != 0 {
			if there, err := o.client.ResolveNote(t.Context(), thread, note, true); err != nil || there {
				t.Errorf("settling a deleted note: %v, %v", there, err)
			}
			o.wantRequests(t, 2) // GitLab breaks, so it is looked for
		}
	}
}

// TestFindNoteOfOurs guards that only what the own user wrote with the mark is taken for ours: somebody who copies the mark
// does not get the note changed, nor keeps ours from being written.
func TestFindNoteOfOurs(t *testing.T) {
	o := newOffice(t, nil)
	for _, thread := range o.threads(t) {
		o.say(t, thread, customer, "Mine."+noteMark)
		o.say(t, thread, service, "Of another program of that account.")
		o.say(t, thread, service, "<!-- contactsync2 -->")
		if found, there, err := o.client.FindNote(t.Context(), thread); err != nil || there {
			t.Errorf("found %+v, %v", found, err)
		}
		// Ours, in a discussion that a customer began, before another one of ours.
		begun := o.say(t, thread, customer, "Why?")
		ours, err := o.AddNote(o.id, fake.Note{Discussion: begun.Discussion, Commit: thread.Commit, Request: thread.Request, Author: service, Body: "Because." + noteMark + "\n"})
		if err != nil {
			t.Fatal(err)
		}
		o.say(t, thread, service, "Again."+noteMark)
		found, there, err := o.client.FindNote(t.Context(), thread)
		if err != nil || !there || found != (contactsync.Note{Discussion: ours.Discussion, ID: ours.ID}) {
			t.Errorf("found %+v, %v, %v, want %+v", found, there, err, ours)
		}
	}
}

// TestFindNotePages guards that long threads are read to their end, and that a list which changed meanwhile is no answer:
// a note that was overlooked would be written twice.
func TestFindNotePages(t *testing.T) {
	o := newOffice(t, nil)
	thread := o.commitThread()
	for range 250 {
		o.say(t, thread, customer, "Hello")
	}
	if _, there, err := o.client.FindNote(t.Context(), thread); err != nil || there {
		t.Errorf("%v, %v", there, err)
	}
	o.wantRequests(t, 1+3)
	ours := o.say(t, thread, service, "Ours."+noteMark)
	for range 100 {
		o.say(t, thread, customer, "Hello")
	}
	found, there, err := o.client.FindNote(t.Context(), thread)
	if err != nil || !there || found.ID != ours.ID {
		t.Errorf("found %+v, %v, %v", found, there, err)
	}
	o.wantRequests(t, 3) // the fourth page is not needed

	defer o.Inject(fake.Fault{Times: 1, Status: 200, Header: jsonHeader, Body: `null`})()
	_, _, err = o.client.FindNote(t.Context(), thread)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "no list")
	header := jsonHeader.Clone()
	header.Set("X-Next-Page", "2")
	header.Set("X-Total", "101")
	remove := o.Inject(fake.Fault{Times: 1, Status: 200, Header: header, Body: `[]`})
	if err := o.DeleteNote(o.id, ours.ID); err != nil {
		t.Fatal(err)
	}
	_, _, err = o.client.FindNote(t.Context(), thread)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "rows were read")
	remove()
	o.ForgetRequests()
	o.Inject(fake.Fault{Status: 200, Header: header, Body: `[]`})
	_, _, err = o.client.FindNote(t.Context(), thread)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "longer than anybody's")
	o.wantRequests(t, 100)
}

// TestOwnUserIsAskedOnce guards that whose the token is is asked for once, also by many at once, and again after a failure.
func TestOwnUserIsAskedOnce(t *testing.T) {
	o := newOffice(t, nil)
	self := regexp.MustCompile("/self$")
	o.Inject(fake.Fault{Path: self, Times: 1, Status: 401, Header: jsonHeader, Body: `{"message":"401 Unauthorized"}`})
	_, _, err := o.client.FindNote(t.Context(), o.commitThread())
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "whose the token is")
	o.ForgetRequests()
	var group gosync.WaitGroup
	for range 8 {
		group.Go(func() {
			if _, _, err := o.client.FindNote(t.Context(), o.commitThread()); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	asked := 0
	for _, r := range o.Requests() {
		if self.MatchString(r.Path) {
			asked++
		}
	}
	if asked != 1 {
		t.Errorf("it was asked %d times", asked)
	}
}

// TestLostNote guards that a note whose answer is lost is found, so that nobody writes it twice.
func TestLostNote(t *testing.T) {
	o := newOffice(t, nil)
	for _, thread := range o.threads(t) {
		for _, fault := range []fake.Fault{{Reset: true}, {Status: 502}, {Status: 504, Header: jsonHeader, Body: `{}`}} {
			fault.Method, fault.Times, fault.After = "POST", 1, true
			o.Inject(fault)
			_, err := o.client.CreateNote(t.Context(), thread, "text")
			wantClass(t, err, contactsync.ClassRepositoryUnreachable, "writing a note about")
			notes := o.notes(t, thread)
			found, there, err := o.client.FindNote(t.Context(), thread)
			if err != nil || !there || len(notes) != 1 || found.ID != notes[0].ID || found.Discussion != notes[0].Discussion {
				t.Errorf("found %+v, %v, %v, of %+v", found, there, err, notes)
			}
			if err := o.DeleteNote(o.id, found.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestNoteOfSomethingGone guards that what cannot be written about is refused for good.
func TestNoteOfSomethingGone(t *testing.T) {
	o := newOffice(t, nil)
	for _, thread := range []contactsync.Thread{{Project: o.id, Commit: strings.Repeat("1", 40)}, {Project: o.id, Request: 99}} {
		_, err := o.client.CreateNote(t.Context(), thread, "text")
		wantClass(t, err, contactsync.ClassGitLabRefused, "does not have it")
		_, _, err = o.client.FindNote(t.Context(), thread)
		wantClass(t, err, contactsync.ClassGitLabRefused, "does not have it")
	}
	_, err := o.client.CreateNote(t.Context(), o.commitThread(), strings.Repeat("a", 1_000_001))
	wantClass(t, err, contactsync.ClassGitLabRefused, "too long")
	o.ForgetRequests()
	for _, thread := range []contactsync.Thread{{Project: o.id}, {Project: o.id, Commit: "master"}, {Project: o.id, Commit: "../" + o.head}, {Project: o.id, Commit: o.head, Request: 1}, {Project: o.id, Request: -1}} {
		_, err := o.client.CreateNote(t.Context(), thread, "text")
		wantClass(t, err, contactsync.ClassInternal)
	}
	for _, note := range []contactsync.Note{{}, {Discussion: "a"}, {ID: 1}, {Discussion: "a/../b", ID: 1}, {Discussion: "a?", ID: 1}} {
		_, err := o.client.UpdateNote(t.Context(), o.commitThread(), note, "text")
		wantClass(t, err, contactsync.ClassInternal)
	}
	o.wantRequests(t, 0)
}

// TestNoteAnswers guards that an answer which is not about what was written is no success.
func TestNoteAnswers(t *testing.T) {
	o := newOffice(t, nil)
	o.note = contactsync.Note{Discussion: "a", ID: 1}
	for _, answer := range []string{`null`, `{}`, `[]`, `{"id":"a"}`, `{"id":"a","notes":[]}`, `{"id":"a","notes":[{"id":0}]}`, `{"id":"../a","notes":[{"id":1}]}`, `{"id":7}`} {
		remove := o.Inject(fake.Fault{Status: 201, Header: jsonHeader, Body: answer})
		_, err := o.client.CreateNote(t.Context(), o.commitThread(), "text")
		wantClass(t, err, contactsync.ClassRepositoryUnreachable, "cannot be understood")
		_, err = o.client.UpdateNote(t.Context(), o.commitThread(), o.note, "text")
		wantClass(t, err, contactsync.ClassRepositoryUnreachable, "cannot be understood")
		remove()
		o.now = o.now.Add(time.Minute)
	}
	remove := o.Inject(fake.Fault{Path: regexp.MustCompile("/discussions$"), Status: 200, Header: jsonHeader, Body: `[{"id":"../a","notes":[{"id":1,"author":{"id":1},"body":"<!-- contactsync -->"}]}]`})
	_, _, err := o.client.FindNote(t.Context(), o.commitThread())
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "cannot be understood")
	remove()
	o.Inject(fake.Fault{Status: 200, Header: jsonHeader, Body: `{"id":"b"}`})
	_, err = o.client.ResolveNote(t.Context(), contactsync.Thread{Project: o.id, Request: 1}, o.note, true)
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "cannot be understood")
}

// TestHostileNotes guards that text arrives as it is, with our mark after it, whatever is in it.
func TestHostileNotes(t *testing.T) {
	o := newOffice(t, nil)
	thread := o.commitThread()
	rapid.Check(t, func(rt *rapid.T) {
		part := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"<!--", "-->", "<script>alert(1)</script>", "```\n", "\r\n", "\x00", "@all", "[x](javascript:1)",
			"\u202e", "%{x}", `\"`, "&amp;", "</details>", "🙂"}))
		text := strings.Join(rapid.SliceOfN(part, 1, 8).Draw(rt, "text"), "")
		o.now = o.now.Add(time.Minute)
		note, err := o.client.CreateNote(t.Context(), thread, text)
		if err != nil {
			rt.Fatal(err)
		}
		notes := o.notes(t, thread)
		// GitLab itself takes carriage returns out.
		if got, want := notes[len(notes)-1].Body, strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\r", "")+noteMark; got != want {
			rt.Errorf("%q arrived, want %q", got, want)
		}
		if found, there, err := o.client.FindNote(t.Context(), thread); err != nil || !there || found != note {
			rt.Errorf("found %+v, %v, %v", found, there, err)
		}
		if err := o.DeleteNote(o.id, note.ID); err != nil {
			rt.Fatal(err)
		}
	})
}

// TestNotesAMinute guards GitLab's limit: however many notes are to be written, and however eager the writers, no minute has
// more than sixty, and whoever would wait long is told when to come again. Changes count.
func TestNotesAMinute(t *testing.T) {
	o := newOffice(t, func(options *fake.Options) { options.NotesAMinute = 60 })
	thread := o.commitThread()
	var written []time.Time
	first, err := o.client.CreateNote(t.Context(), thread, "first")
	if err != nil {
		t.Fatal(err)
	}
	written = append(written, o.Now())
	for i := range 300 {
		if i%2 == 0 {
			_, err = o.client.CreateNote(t.Context(), thread, fmt.Sprint(i))
		} else {
			_, err = o.client.UpdateNote(t.Context(), thread, first, fmt.Sprint(i))
		}
		if err != nil {
			t.Fatal(err)
		}
		written = append(written, o.Now())
	}
	for i := range written {
		if i >= 60 && written[i].Sub(written[i-60]) <= time.Minute {
			t.Fatalf("61 notes from %s to %s", written[i-60], written[i])
		}
	}
	if spent := o.Now().Sub(written[0]); spent > 8*time.Minute {
		t.Errorf("it took %s", spent)
	}

	// Those who wait together are let in one after the other, the last of them not at all.
	o = newOffice(t, nil)
	client := o.house.client(t, func(options *gitlab.Options) {
		options.Now = o.Now // which stands still
	})
	var pauses []time.Duration
	for {
		_, err = client.CreateNote(t.Context(), o.commitThread(), "text")
		if err != nil {
			break
		}
		if len(o.house.pauses) > 60 {
			t.Fatal("nobody is kept out")
		}
	}
	pauses = o.house.pauses
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "within the minute")
	failure := contactsync.FailureOf(err)
	if wait := failure.RetryAt.Sub(o.Now()); failure.Retry != contactsync.RetryWhenTold || wait <= 10*time.Second || wait > time.Minute {
		t.Errorf("it is tried again %s, in %s", failure.Retry, wait)
	}
	if len(pauses) != 6 || pauses[0] != 1500*time.Millisecond || pauses[5] != 9*time.Second {
		t.Errorf("the pauses are %v", pauses)
	}
	o.wantRequests(t, 15+6)
}

// TestTooManyNotes guards what becomes of a note that GitLab would not take, because others of the account wrote too many:
// it is not written, and is told when it may be.
func TestTooManyNotes(t *testing.T) {
	o := newOffice(t, func(options *fake.Options) { options.NotesAMinute = 1 })
	if _, err := o.client.CreateNote(t.Context(), o.commitThread(), "one"); err != nil {
		t.Fatal(err)
	}
	o.ForgetRequests()
	_, err := o.client.CreateNote(t.Context(), o.commitThread(), "two")
	wantClass(t, err, contactsync.ClassRepositoryUnreachable, "429", "too many times")
	if failure := contactsync.FailureOf(err); failure.Retry != contactsync.RetryWhenTold || !failure.RetryAt.Equal(o.Now().Add(time.Minute)) {
		t.Errorf("it is tried again %s, at %s", failure.Retry, failure.RetryAt)
	}
	o.wantRequests(t, 1)
	if notes := o.notes(t, o.commitThread()); len(notes) != 1 {
		t.Errorf("the notes are %+v", notes)
	}
}
