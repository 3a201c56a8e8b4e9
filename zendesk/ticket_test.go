package zendesk_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"contactsync"
	fake "contactsync/internal/fakes/zendesk"
	"contactsync/internal/fakes/zendesk/contract"
)

const tag = "contactsync_setup-1"

var intro = contactsync.Reply{Macro: "Support::Contact management intro", Text: "Hello.", Public: true, Mark: "setup-1"}

// ticketed adds a ticket.
func (w *world) ticketed() (id int64, text string) {
	w.t.Helper()
	requester := w.AddUser(fake.User{Name: "Ada", Email: "ada@example.com", Organizations: []int64{w.orgID}})
	id = w.AddTicket(fake.Ticket{
		Subject: "Set us up", Requester: requester, Organization: w.orgID, Priority: "high", Assignee: 5,
		Tags: []string{"vip", "blue"}, Fields: map[int64]any{8: "blue", 9: "left alone", 10: nil},
	})
	return id, fmt.Sprint(id)
}

func (w *world) held(id int64) fake.Ticket {
	w.t.Helper()
	t, ok := w.Server.Ticket(id)
	if !ok {
		w.t.Fatalf("no ticket %d", id)
	}
	return t
}

// introduce adds the macro that changes nearly everything.
func (w *world) introduce() int64 {
	return w.AddMacro(fake.Macro{
		Title: " " + intro.Macro + " ", Comment: "<p>Hello {{ticket.requester.name}}, this is {{ticket.id}}.</p>", HTML: true,
		Status: "pending", Type: "task", Group: 6, CustomStatus: 7, Subject: "Set up", AddTags: []string{"vip", "intro"},
		Fields: map[int64]any{8: "red", 10: true},
	})
}

// A ticket is read in one request, with the address of its requester, and in one more where that is not told with it.
func TestTicket(t *testing.T) {
	for _, sideLoads := range []bool{true, false} {
		w := newWorld(t)
		w.Configure(func(s *fake.Settings) { s.SideLoadUsers = sideLoads })
		_, id := w.ticketed()
		bare := fmt.Sprint(w.AddTicket(fake.Ticket{}))
		desk := warm(t, w.desk())
		want := contactsync.Ticket{ID: id, Subject: "Set us up", Requester: "ada@example.com", Organization: w.org.ID}
		n := w.counted(func(ctx context.Context) {
			if got, err := desk.Ticket(ctx, id); err != nil || got != want {
				t.Errorf("Ticket = %+v, %v", got, err)
			}
		})
		if most := map[bool]int{true: 1, false: 2}[sideLoads]; n != most {
			t.Errorf("%d requests, want %d:\n%s", n, most, w.log())
		}
		if got, err := desk.Ticket(t.Context(), bare); err != nil || got != (contactsync.Ticket{ID: bare}) {
			t.Errorf("Ticket = %+v, %v", got, err)
		}
	}
}

// A reply is one write with its comment, its mark and nothing else; a macro adds a request to find it and one to apply it.
func TestRequestsOfReplies(t *testing.T) {
	for _, test := range []struct {
		name   string
		reply  contactsync.Reply
		macros func(*world)
		want   int
	}{
		{"text", contactsync.Reply{Text: "Hello.", Public: true, Mark: "setup-1"}, (*world).clean, 2},
		{"macro", intro, func(w *world) { w.introduce() }, 4},
		{"no macro", intro, func(w *world) { w.AddMacro(fake.Macro{Title: intro.Macro + " 2", Comment: "No."}) }, 3},
		{"two macros", intro, func(w *world) { w.introduce(); w.introduce() }, 3},
		{"only a macro that is not active", intro, func(w *world) { w.AddMacro(fake.Macro{Title: intro.Macro, Inactive: true}) }, 4},
		{"macro among many", intro, func(w *world) {
			for i := range 250 {
				w.AddMacro(fake.Macro{Title: fmt.Sprintf("%s %d", intro.Macro, i)})
			}
			w.introduce()
		}, 6},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			id, text := w.ticketed()
			test.macros(w)
			desk := warm(t, w.desk())
			applied := ""
			if strings.HasPrefix(test.name, "macro") {
				applied = intro.Macro
			}
			n := w.counted(func(ctx context.Context) {
				replied, err := desk.Reply(ctx, text, test.reply)
				wantNoError(t, err)
				if want := (contactsync.Replied{Macro: applied, Public: true}); replied != want {
					t.Errorf("replied %+v, want %+v", replied, want)
				}
			})
			if n != test.want {
				t.Errorf("%d requests, want %d:\n%s", n, test.want, w.log())
			}
			got := w.held(id)
			want := fake.Ticket{
				ID: id, Subject: "Set us up", Requester: got.Requester, Organization: w.orgID, Status: "open", Priority: "high", Assignee: 5,
				Tags: []string{"blue", tag, "vip"}, Fields: map[int64]any{8: "blue", 9: "left alone", 10: nil},
				Comments: []fake.Comment{{Body: "Hello.", Public: true}},
			}
			if applied != "" {
				want.Subject, want.Status, want.Type, want.Group, want.CustomStatus = "Set up", "pending", "task", 6, 7
				want.Tags = []string{tag, "intro", "vip"}
				want.Fields = map[int64]any{8: "red", 9: "left alone", 10: true}
				want.Comments = []fake.Comment{{Body: "<p>Hello Ada, this is " + text + ".</p>", HTML: true, Public: true}}
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("the ticket is\n%+v, want\n%+v", got, want)
			}
			again := w.counted(func(ctx context.Context) {
				replied, err := desk.Reply(ctx, text, test.reply)
				wantNoError(t, err)
				if replied != (contactsync.Replied{Already: true}) {
					t.Errorf("replied %+v", replied)
				}
			})
			if again != 1 || len(w.held(id).Comments) != 1 {
				t.Errorf("%d requests and %d comments the second time", again, len(w.held(id).Comments))
			}
			w.clean()
		})
	}
}

// Whether the requester reads a reply is never left to the desk: a macro's comment keeps its mode, a text has the reply's.
func TestReplyModes(t *testing.T) {
	yes, no := true, false
	for _, test := range []struct {
		name     string
		macro    fake.Macro
		public   bool
		want     fake.Comment
		wantMode bool
	}{
		{"the macro's note", fake.Macro{Comment: "Note.", Public: &no}, true, fake.Comment{Body: "Note."}, false},
		{"the macro's answer", fake.Macro{Comment: "Answer.", Public: &yes}, false, fake.Comment{Body: "Answer.", Public: true}, true},
		{"a macro without a mode", fake.Macro{Comment: "Answer."}, false, fake.Comment{Body: "Answer."}, false},
		{"a macro without a text", fake.Macro{Status: "solved"}, true, fake.Comment{Body: "Hello.", Public: true}, true},
		{"a mode without a text", fake.Macro{Public: &yes}, false, fake.Comment{Body: "Hello."}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t)
			id, text := w.ticketed()
			test.macro.Title = intro.Macro
			w.AddMacro(test.macro)
			reply := intro
			reply.Public = test.public
			replied, err := w.desk().Reply(t.Context(), text, reply)
			wantNoError(t, err)
			got := w.held(id)
			if replied.Public != test.want.Public || replied.Macro != intro.Macro || !slices.Equal(got.Comments, []fake.Comment{test.want}) {
				t.Errorf("replied %+v, the ticket has %+v", replied, got.Comments)
			}
			if test.macro.Status != "" && got.Status != test.macro.Status {
				t.Errorf("status %s", got.Status)
			}
			w.clean()
		})
	}
}

// What cannot be answered is a named error, and leaves the ticket as it is.
func TestRepliesRefused(t *testing.T) {
	w := newWorld(t)
	id, text := w.ticketed()
	desk := w.desk()
	reply := func(r contactsync.Reply, class contactsync.Class, part string) {
		t.Helper()
		before := w.held(id)
		_, err := desk.Reply(t.Context(), text, r)
		wantClass(t, err, class)
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v: does not say %q", err, part)
		}
		if after := w.held(id); !reflect.DeepEqual(after, before) {
			t.Errorf("the ticket is %+v", after)
		}
	}
	for _, mark := range []string{"", "A", "a b", "a,b", "ä"} {
		reply(contactsync.Reply{Text: "Hello.", Mark: mark}, contactsync.ClassInternal, "tag")
	}
	reply(contactsync.Reply{Text: " \n", Mark: "a"}, contactsync.ClassTicketNotAnswered, "no text")
	refused := w.AddMacro(fake.Macro{Title: intro.Macro, Comment: "Hello.", Status: "nonsense"})
	reply(intro, contactsync.ClassTicketNotAnswered, "nonsense is not a valid status")
	w.DeleteMacro(refused)
	w.UpdateTicket(id, func(t *fake.Ticket) { t.Status = "closed" })
	reply(intro, contactsync.ClassTicketNotAnswered, "closed")

	_, text = w.ticketed()
	for range 30 { // Zendesk's own limit for one ticket
		_, err := desk.Reply(t.Context(), text, contactsync.Reply{Text: "Hello.", Mark: fmt.Sprint("m", len(w.Requests()))})
		wantNoError(t, err)
	}
	_, err := desk.Reply(t.Context(), text, intro)
	wantClass(t, err, contactsync.ClassRateLimited)
	if f := contactsync.FailureOf(err); !f.RetryAt.After(w.clock.Now()) {
		t.Errorf("failure %+v", f)
	}
	w.clean()
}

// A token without the right to write tickets can do all the rest.
func TestRepliesWithoutTheScope(t *testing.T) {
	w := newWorld(t)
	w.Inject(fake.Fault{Name: "scope", Kind: fake.Forbidden403, Match: fake.On(http.MethodPut, "tickets/*")})
	_, text := w.ticketed()
	_, err := w.desk().Reply(t.Context(), text, intro)
	wantClass(t, err, contactsync.ClassDeskUnauthorized)
}

// A ticket that changes between reading and writing is looked at again, up to three times, and what others write stays.
func TestRepliesToARestlessTicket(t *testing.T) {
	for _, test := range []struct {
		changes, want int // requests
		close, marked bool
	}{{changes: 1, want: 4}, {changes: 2, want: 6}, {changes: 3, want: 7}, {changes: 1, want: 3, close: true}, {changes: 1, want: 3, marked: true}} {
		t.Run(fmt.Sprintf("%+v", test), func(t *testing.T) {
			var w *world
			var id int64
			changes := 0
			w = newWorld(t, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPut && changes < test.changes {
						changes++
						w.UpdateTicket(id, func(t *fake.Ticket) {
							t.Tags = append(t.Tags, fmt.Sprint("other", changes))
							if test.close {
								t.Status = "closed"
							}
							if test.marked {
								t.Tags = append(t.Tags, tag)
							}
						})
					}
					next.ServeHTTP(rw, r)
				})
			})
			id, text := w.ticketed()
			desk := warm(t, w.desk())
			var replied contactsync.Replied
			var err error
			n := w.counted(func(ctx context.Context) {
				replied, err = desk.Reply(ctx, text, contactsync.Reply{Text: "Hello.", Mark: "setup-1"})
			})
			got := w.held(id)
			if n != test.want || !slices.Contains(got.Tags, fmt.Sprint("other", test.changes)) {
				t.Errorf("%d requests, tags %q:\n%s", n, got.Tags, w.log())
			}
			answered := test.changes < 3 && !test.close && !test.marked
			if (len(got.Comments) == 1) != answered || replied.Already != test.marked {
				t.Errorf("replied %+v, the ticket has %+v", replied, got.Comments)
			}
			if !answered && !test.marked {
				wantClass(t, err, contactsync.ClassTicketNotAnswered)
			} else {
				wantNoError(t, err)
			}
			w.clean()
		})
	}
}

// Whatever goes wrong at whichever request, and wherever the process dies: a reply that is called written is there, one
// that is not is a named error, and with the same call afterwards there is exactly one comment.
func TestFaultsOfReplies(t *testing.T) {
	open := func(t testing.TB) (*world, int64, string) {
		w := newWorld(t)
		id, text := w.ticketed()
		w.introduce()
		return w, id, text
	}
	w, _, text := open(t)
	_, err := w.desk().Reply(t.Context(), text, intro)
	wantNoError(t, err)
	once := func(t *testing.T, w *world, id int64, text string) {
		w.ClearFaults()
		wantNoError(t, w.clock.Wait(t.Context(), 10*time.Minute))
		_, err := w.desk().Reply(t.Context(), text, intro)
		wantNoError(t, err)
		if got := w.held(id); len(got.Comments) != 1 || got.Status != "pending" {
			t.Errorf("the ticket is %+v\n%s", got, w.log())
		}
		w.clean()
	}
	faultsOnce := func(t *testing.T, fault fake.Fault) {
		w, id, text := open(t)
		desk := w.desk(impatient(fault.Kind))
		w.Inject(fault)
		_, err := desk.Reply(t.Context(), text, intro)
		if comments := len(w.held(id).Comments); err == nil && comments != 1 || comments > 1 {
			t.Errorf("%d comments, %v\n%s", comments, err, w.log())
		}
		if contactsync.ClassOf(err) == contactsync.ClassInternal || contactsync.IsCanceled(err) {
			t.Errorf("an error without a name: %v", err)
		}
		once(t, w, id, text)
	}
	eachRequest(t, w.Requests(), true, faultsOnce)
	for n := range len(w.Requests()) {
		t.Run(fmt.Sprintf("conflict at %d", n+1), func(t *testing.T) {
			faultsOnce(t, fake.Fault{Name: "conflict", Kind: fake.Conflict409, Times: 1, Match: fake.Nth(n + 1)})
		})
		for _, kind := range []fake.FaultKind{fake.ResetBefore, fake.ResetAfter} {
			t.Run(fmt.Sprintf("killed at %d, kind %d", n+1, kind), func(t *testing.T) {
				w, id, text := open(t)
				ctx, kill := context.WithCancelCause(t.Context())
				defer kill(nil)
				w.Inject(fake.Fault{Name: "killed", Kind: kind, Times: 1, Match: func(_ *http.Request, count int) bool {
					if count == n+1 {
						kill(errors.New("killed"))
					}
					return count == n+1
				}})
				if _, err := w.desk().Reply(ctx, text, intro); !contactsync.IsCanceled(err) {
					t.Errorf("error %v", err)
				}
				once(t, w, id, text)
			})
		}
	}
}

// An answer that is lost costs one more reading, and a write that was lost one more of each: with two seconds between.
func TestRequestsOfLostReplies(t *testing.T) {
	for kind, want := range map[fake.FaultKind]int{fake.ResetAfter: 3, fake.Error500After: 3, fake.ResetBefore: 4, fake.NotJSON: 4} {
		w := newWorld(t)
		id, text := w.ticketed()
		desk := warm(t, w.desk())
		w.Inject(fake.Fault{Name: "lost", Kind: kind, Times: 1, Match: fake.On(http.MethodPut, "tickets/*")})
		n := w.counted(func(ctx context.Context) {
			replied, err := desk.Reply(ctx, text, contactsync.Reply{Text: "Hello.", Public: true, Mark: "setup-1"})
			wantNoError(t, err)
			if replied != (contactsync.Replied{Public: true}) {
				t.Errorf("replied %+v", replied)
			}
		})
		if n != want || len(w.held(id).Comments) != 1 || w.clock.Waited() < 2*time.Second {
			t.Errorf("kind %d: %d requests, want %d:\n%s", kind, n, want, w.log())
		}
		w.clean()
	}
}

// What is sent to link, count and answer is what Zendesk's own description of its API allows.
func TestContractOfTickets(t *testing.T) {
	for name, multiple := range map[string]bool{"export": false, "memberships": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(next http.Handler) http.Handler { return contract.Middleware(t, next) })
			w.Configure(func(s *fake.Settings) { s.MultipleOrganizations = multiple })
			w.crowded(1, 3)
			_, text := w.ticketed()
			w.introduce()
			desk := w.desk()
			for _, number := range []int64{815, 0} {
				wantNoError(t, desk.LinkProject(t.Context(), w.org, number))
			}
			_, err := desk.MemberCounts(t.Context())
			wantNoError(t, err)
			_, err = desk.Ticket(t.Context(), text)
			wantNoError(t, err)
			for _, reply := range []contactsync.Reply{intro, {Text: "Bye.", Mark: "bye"}} {
				_, err = desk.Reply(t.Context(), text, reply)
				wantNoError(t, err)
			}
			w.clean()
		})
	}
}
