package zendesk_test

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"contactsync/internal/fakes/zendesk"
)

func (w *world) stampOf(id int64) any {
	return w.call("GET", ticketPath(id), nil).get("ticket", "updated_at")
}

func (w *world) answer(id int64, stamp any) reply {
	return w.call("PUT", ticketPath(id), object{"ticket": object{
		"comment": object{"body": "Hello", "public": false}, "safe_update": true, "updated_stamp": stamp,
	}})
}

// A safe update is refused once the ticket has changed, however soon after it was read; false has the effect of true.
func TestSafeUpdate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.AddTicket(zendesk.Ticket{Subject: "Help"})
	before := w.stampOf(id)
	w.want(w.answer(id, before), 200)
	w.want(w.answer(id, before), 409)
	w.want(w.call("PUT", ticketPath(id), object{"ticket": object{"safe_update": false, "updated_stamp": before}}), 409)
	w.want(w.answer(id, w.stampOf(id)), 200)
	w.UpdateTicket(id, func(t *zendesk.Ticket) { t.Priority = "low" })
	got, _ := w.Ticket(id)
	if want := []zendesk.Comment{{Body: "Hello"}, {Body: "Hello"}}; !slices.Equal(got.Comments, want) || got.Priority != "low" {
		t.Errorf("got %+v", got)
	}
	w.wantNoViolations()
}

// What a careless client does to tickets is done, and noted.
func TestCarelessTicketUpdates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.AddTicket(zendesk.Ticket{Tags: []string{"vip"}})
	w.want(w.call("PUT", ticketPath(id), object{"ticket": object{"tags": []string{"NEW"}, "comment": object{"body": "Hello"}}}), 200)
	got, _ := w.Ticket(id)
	if !slices.Equal(got.Tags, []string{"new"}) || !got.Comments[0].Public {
		t.Errorf("got %+v", got)
	}
	w.wantViolation("without safe_update")
	w.wantViolation("does not say whether it is public")
}

// Closed tickets and invalid values are refused, and nothing of the update is made; unknown tickets are not found.
func TestRefusedTicketUpdates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.AddTicket(zendesk.Ticket{})
	for _, update := range []object{
		{"status": "nonsense", "subject": "New"}, {"comment": object{"body": " ", "public": true}, "subject": "New"},
	} {
		update["safe_update"], update["updated_stamp"] = true, w.stampOf(id)
		w.want(w.call("PUT", ticketPath(id), object{"ticket": update}), 422)
	}
	w.UpdateTicket(id, func(t *zendesk.Ticket) { t.Status = "closed" })
	if got := w.want(w.answer(id, w.stampOf(id)), 422); !strings.Contains(got.text, "closed prevents ticket update") {
		t.Errorf("got %s", got.text)
	}
	if got, _ := w.Ticket(id); got.Subject != "" || len(got.Comments) > 0 {
		t.Errorf("got %+v", got)
	}
	w.want(w.call("GET", ticketPath(id+1), nil), 404)
	w.want(w.call("PUT", ticketPath(id+1), object{"ticket": object{}}), 404)
	w.wantNoViolations()
}

// A ticket takes 30 updates in ten minutes, and other tickets are not bound by that.
func TestTicketLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id, other := w.AddTicket(zendesk.Ticket{}), w.AddTicket(zendesk.Ticket{})
	for range 30 {
		w.want(w.answer(id, w.stampOf(id)), 200)
	}
	if got := w.want(w.answer(id, w.stampOf(id)), 429); got.header.Get("Retry-After") != "600" {
		t.Errorf("Retry-After %q", got.header.Get("Retry-After"))
	}
	w.want(w.answer(other, w.stampOf(other)), 200)
	w.clock.Advance(10 * time.Minute)
	w.want(w.answer(id, w.stampOf(id)), 200)
}

// Applying a macro shows the ticket as it would be, with placeholders filled in, and writes nothing.
func TestApplyMacro(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ada := w.person("Ada", "ada@example.com")
	id := w.AddTicket(zendesk.Ticket{Subject: "Help", Requester: ada, Tags: []string{"red", "vip"}, Fields: map[int64]any{8: "red"}})
	macro := w.AddMacro(zendesk.Macro{
		Title: "Intro", Comment: "{{ticket.requester.name}}: {{ticket.title}} ({{ticket.id}})", Status: "solved",
		AddTags: []string{"blue", "vip"}, Fields: map[int64]any{8: "blue"},
	})
	before, _ := w.Ticket(id)
	got := w.want(w.call("GET", ticketPath(id)+"/macros/"+number(macro).String()+"/apply", nil), 200)
	for _, test := range []struct {
		want any
		path []any
	}{
		{"solved", []any{"status"}}, {"Help", []any{"subject"}}, {"blue", []any{"fields", 0, "value"}},
		{"Ada: Help (" + number(id).String() + ")", []any{"comment", "body"}}, {nil, []any{"comment", "public"}},
		{[]any{"vip", "blue"}, []any{"tags"}}, // the tag of the former option goes with it
	} {
		if value := got.get(append([]any{"result", "ticket"}, test.path...)...); !reflect.DeepEqual(value, test.want) {
			t.Errorf("%v is %v, want %v", test.path, value, test.want)
		}
	}
	if after, _ := w.Ticket(id); !reflect.DeepEqual(after, before) {
		t.Errorf("the ticket is %+v", after)
	}
	w.want(w.call("GET", ticketPath(id)+"/macros/1/apply", nil), 404)
	w.want(w.call("GET", ticketPath(id+1)+"/macros/"+number(macro).String()+"/apply", nil), 404)
	w.DeleteMacro(macro)
	if rows := w.call("GET", "/api/v2/macros/active", nil).rows("macros"); len(rows) != 0 {
		t.Errorf("got %v", rows)
	}
}

// Faults strike tickets as they do everything else: the write may be done although its answer is lost.
func TestFaultsOnTickets(t *testing.T) {
	t.Parallel()
	for kind, comments := range map[zendesk.FaultKind]int{
		zendesk.ResetAfter: 1, zendesk.Error500After: 1, zendesk.ResetBefore: 0, zendesk.Conflict409: 0, zendesk.RateLimited429: 0,
	} {
		w := newWorld(t)
		id := w.AddTicket(zendesk.Ticket{})
		stamp := w.stampOf(id)
		w.Inject(zendesk.Fault{Name: "fault", Kind: kind, Match: zendesk.On(http.MethodPut, "tickets/*")})
		got, err := w.try("PUT", ticketPath(id), object{"ticket": object{
			"comment": object{"body": "Hello", "public": true}, "safe_update": true, "updated_stamp": stamp,
		}})
		if err == nil && got.status == http.StatusOK {
			t.Errorf("kind %d: got %s", kind, got.text)
		}
		if held, _ := w.Ticket(id); len(held.Comments) != comments {
			t.Errorf("kind %d: %d comments, want %d", kind, len(held.Comments), comments)
		}
	}
}

// A field of an organization keeps what its type takes; one that is not there is ignored without a word.
func TestOrganizationFieldTypes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind        zendesk.FieldType
		value, want any
		status      int
	}{
		{zendesk.FieldText, 42, "42", 200}, {zendesk.FieldText, "42", "42", 200}, {zendesk.FieldText, nil, nil, 200},
		{zendesk.FieldInteger, 42, 42.0, 200}, {zendesk.FieldInteger, "42", 42.0, 200}, {zendesk.FieldInteger, nil, nil, 200},
		{zendesk.FieldInteger, "forty", "7", 422}, {zendesk.FieldTagger, 42, "7", 422}, {zendesk.FieldTagger, nil, nil, 200},
	} {
		w := newWorld(t)
		w.Configure(func(s *zendesk.Settings) { s.ProjectType = test.kind })
		org := w.AddOrganization(zendesk.Organization{Name: "One", Fields: object{"cmp_id": "7", "level": "gold"}})
		update := object{"organization": object{"organization_fields": object{"cmp_id": test.value, "nowhere": 1, "level": "silver"}}}
		w.want(w.call("PUT", organizationPath(org), update), test.status)
		held, _ := w.Organization(org)
		if _, there := held.Fields["nowhere"]; there || held.Fields["cmp_id"] != test.want {
			t.Errorf("%s: %v became %v", test.kind, test.value, held.Fields)
		}
		if done := held.Fields["level"] == "silver"; done != (test.status == 200) {
			t.Errorf("%s: %v: the other field is %v", test.kind, test.value, held.Fields["level"])
		}
	}
}
