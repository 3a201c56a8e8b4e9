package zendesk

import (
	"context"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"contactsync"
	"contactsync/zendesk/internal/wire"
)

const (
	// markPrefix stands before the mark of a reply in the ticket's tags.
	markPrefix = "contactsync_"
	// replyWrites is how often a reply is sent when the ticket changes under it, and unclearWrites how often when nobody
	// knows what became of it.
	replyWrites   = 3
	unclearWrites = 2
	// unclearPause is waited before a ticket is read to see what became of an unclear write. Updates are told apart by
	// the second, so whichever comes later of the first one and another is refused.
	unclearPause = 2 * time.Second
)

// Ticket returns a ticket, in one request where the requester is told with it, else in two.
// https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/#show-ticket
func (d *Desk) Ticket(ctx context.Context, id string) (contactsync.Ticket, error) {
	number, err := ticketNumber(id)
	if err != nil {
		return contactsync.Ticket{}, err
	}
	t, users, err := d.readTicket(ctx, number, url.Values{"include": {"users"}})
	if err != nil {
		return contactsync.Ticket{}, err
	}
	told := contactsync.Ticket{ID: strconv.FormatInt(number, 10), Subject: t.Subject, Closed: closed(t)}
	if t.Organization != 0 {
		told.Organization = strconv.FormatInt(t.Organization, 10)
	}
	if t.Requester == 0 {
		return told, nil
	}
	at := slices.IndexFunc(users, func(u user) bool { return u.ID == t.Requester && u.Email.Given })
	if at < 0 {
		users, at = make([]user, 1), 0
		if users[0], err = d.readUser(ctx, t.Requester); err != nil {
			return contactsync.Ticket{}, reading(err, "the requester of ticket %d", number)
		}
	}
	told.Requester = users[at].person(0).Primary()
	return told, nil
}

// ticketNumber reads a ticket's number, as it stands in its address.
func ticketNumber(id string) (int64, error) {
	number, err := strconv.ParseInt(id, 10, 64)
	if err != nil || number <= 0 || strings.Trim(id, "0123456789") != "" {
		return 0, noTicket("%q is no number of a ticket at Zendesk", id)
	}
	return number, nil
}

func noTicket(format string, args ...any) error {
	err := contactsync.Errorf(contactsync.ClassTicketNotAnswered, format, args...)
	err.Remedy = "Give the number that stands in the ticket's address at the desk."
	return err
}

func closed(t wire.Ticket) bool { return t.Status == "closed" }

// readTicket reads a ticket as it is now.
func (d *Desk) readTicket(ctx context.Context, number int64, query url.Values) (wire.Ticket, []user, error) {
	var answer struct {
		Ticket wire.Ticket `json:"ticket"`
		Users  []user      `json:"users"`
	}
	err := d.get(ctx, fmt.Sprintf("/tickets/%d", number), query, &answer)
	t := answer.Ticket
	switch {
	case status(err) == http.StatusNotFound:
		return wire.Ticket{}, nil, noTicket("there is no ticket %d at the desk", number)
	case err != nil:
	case t.ID != number:
		err = unreadable("the answer for ticket %d is about %d", number, t.ID)
	case t.Status == "" || t.Updated == "" || t.Tags == nil:
		err = unreadable("the desk leaves out what answering takes of ticket %d", number)
	}
	return t, answer.Users, reading(err, "ticket %d", number)
}

// readUser reads one person.
func (d *Desk) readUser(ctx context.Context, id int64) (user, error) {
	var answer struct {
		User user `json:"user"`
	}
	if err := d.get(ctx, fmt.Sprintf("/users/%d", id), nil, &answer); err != nil {
		return user{}, err
	}
	if answer.User.ID != id {
		return user{}, unreadable("the answer for user %d is about %d", id, answer.User.ID)
	}
	return answer.User, nil
}

// Reply answers a ticket, once: the mark becomes a tag of the ticket in the write that adds the comment, and that write
// is refused by Zendesk when the ticket has changed since it was read (safe_update). What has no clear end is read, and
// sent once more where the mark is missing. It takes two requests with a text; with a macro one more to apply it, and
// one for each hundred of the account's active macros.
//
// A macro is found by its exact title among the active ones that the credentials can see. Of what it does, the comment
// and the changes of the ticket's own and custom fields are written; tags are added, and none is taken away but the
// former option of a drop-down. Without a comment of its own, the text is the comment. Whatever else macros do, such as
// side conversations, is left out.
//
// It relies on tags being enabled for tickets, and on no trigger taking the tags that begin with "contactsync_" away.
// https://developer.zendesk.com/documentation/ticketing/managing-tickets/creating-and-updating-tickets/#protecting-against-ticket-update-collisions
func (d *Desk) Reply(ctx context.Context, id string, reply contactsync.Reply) (contactsync.Replied, error) {
	number, err := ticketNumber(id)
	if err != nil {
		return contactsync.Replied{}, err
	}
	if !markable(reply.Mark) {
		return contactsync.Replied{}, contactsync.Errorf(contactsync.ClassInternal, "%q cannot be a tag of a ticket", reply.Mark)
	}
	r := replying{desk: d, number: number, reply: reply}
	replied, err := r.send(ctx)
	if err != nil {
		return contactsync.Replied{}, fmt.Errorf("answering ticket %d: %w", number, err)
	}
	return replied, nil
}

func markable(mark string) bool {
	return mark != "" && strings.Trim(mark, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

// replying is one call of Reply.
type replying struct {
	desk   *Desk
	number int64
	reply  contactsync.Reply
	macro  *macro // once it was looked for; without an id where there is not exactly one
}

func (r *replying) send(ctx context.Context) (contactsync.Replied, error) {
	var sent contactsync.Replied
	var unclear, clash error // what the last such write ended with
	for writes, unclears := 0, 0; ; writes++ {
		t, err := r.read(ctx, unclear)
		if err != nil {
			return contactsync.Replied{}, err
		}
		switch marked := slices.Contains(t.Tags, markPrefix+r.reply.Mark); {
		case marked && unclears > 0:
			return sent, nil
		case marked:
			return contactsync.Replied{Already: true}, nil
		case closed(t):
			return contactsync.Replied{}, contactsync.Errorf(contactsync.ClassTicketNotAnswered, "it is closed, and can be changed no more")
		case unclears == unclearWrites:
			return contactsync.Replied{}, contactsync.Errorf(contactsync.ClassTicketNotAnswered, "the reply is not there: %w", unclear)
		case writes == replyWrites:
			return contactsync.Replied{}, contactsync.Errorf(contactsync.ClassTicketNotAnswered,
				"the ticket changed each time before the reply was written: %w", clash)
		}
		change, replied, err := r.compose(ctx, t)
		if err != nil {
			return contactsync.Replied{}, err
		}
		sent = replied
		refused := r.desk.put(ctx, fmt.Sprintf("/tickets/%d", r.number), map[string]any{"ticket": change}, &struct{}{})
		switch {
		case refused == nil:
			return sent, nil
		case status(refused) == http.StatusConflict:
			clash = refused
		case isAmbiguous(refused):
			unclear = refused
			unclears++
			if err := r.desk.wait(ctx, unclearPause); err != nil {
				return contactsync.Replied{}, err
			}
		default:
			return contactsync.Replied{}, classed(refused, contactsync.ClassTicketNotAnswered)
		}
	}
}

// read reads the ticket; unclear is the end of an earlier write, about which this reading is to tell.
func (r *replying) read(ctx context.Context, unclear error) (wire.Ticket, error) {
	t, _, err := r.desk.readTicket(ctx, r.number, nil)
	if err != nil && unclear != nil {
		err = fmt.Errorf("finding out whether it was answered: %w", unchained(err, contactsync.ClassDeskUnreadable))
	}
	return t, err
}

// compose returns what to write to the ticket as it is now.
func (r *replying) compose(ctx context.Context, t wire.Ticket) (change map[string]any, replied contactsync.Replied, err error) {
	to, applied, err := r.apply(ctx)
	if err != nil {
		return nil, contactsync.Replied{}, err
	}
	replied.Public = r.reply.Public
	comment := wire.Comment{Body: r.reply.Text}
	change, tags := map[string]any{}, t.Tags
	if applied {
		replied.Macro = r.macro.Title
		change, tags = t.Changes(to)
		if to.Comment != nil {
			comment = *to.Comment
			if r.reply.AndText {
				comment.Body += r.afterMacro(comment.HTML)
			}
			if comment.Public != nil {
				replied.Public = *comment.Public
			}
		}
	}
	if strings.TrimSpace(comment.Body) == "" {
		empty := contactsync.Errorf(contactsync.ClassTicketNotAnswered, "there is no text to answer with, and no macro with a text and the title %q", r.reply.Macro)
		empty.Remedy = "Give the reply a text, or the macro a comment."
		return nil, contactsync.Replied{}, empty
	}
	kind := "body"
	if comment.HTML {
		kind = "html_body"
	}
	// Whatever the macro does to tags, what other replies were marked with must stay.
	for _, tag := range t.Tags {
		if strings.HasPrefix(tag, markPrefix) && !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	change["comment"] = map[string]any{kind: comment.Body, "public": replied.Public}
	change["tags"] = append(slices.Clone(tags), markPrefix+r.reply.Mark)
	change["updated_stamp"], change["safe_update"] = t.Updated, true
	return change, replied, nil
}

// afterMacro is the text as it follows the comment of a macro.
func (r *replying) afterMacro(asHTML bool) string {
	if !asHTML {
		return "\n\n" + r.reply.Text
	}
	return "<p>" + strings.ReplaceAll(html.EscapeString(r.reply.Text), "\n", "<br>") + "</p>"
}

// apply asks what the ticket would be after the macro; applied is false where there is no macro to apply.
func (r *replying) apply(ctx context.Context) (to wire.Ticket, applied bool, err error) {
	if r.macro == nil {
		found, err := r.desk.macroTitled(ctx, r.reply.Macro)
		if err != nil {
			return wire.Ticket{}, false, reading(err, "the desk's macros")
		}
		r.macro = &found
	}
	if r.macro.ID == 0 {
		return wire.Ticket{}, false, nil
	}
	var body json.RawMessage
	err = r.desk.get(ctx, fmt.Sprintf("/tickets/%d/macros/%d/apply", r.number, r.macro.ID), nil, &body)
	if status(err) == http.StatusNotFound { // deleted meanwhile
		r.macro = &macro{}
		return wire.Ticket{}, false, nil
	}
	if err == nil {
		if to, err = wire.ReadApplied(body); err != nil {
			err = unreadable("the answer cannot be read: %w", err)
		} else if to.ID != 0 && to.ID != r.number {
			err = unreadable("the answer for ticket %d is about %d", r.number, to.ID)
		}
	}
	return to, true, reading(err, "what the macro %q does", r.macro.Title)
}

// macro is a row of the list of macros.
type macro struct {
	ID     int64          `json:"id"`
	Title  string         `json:"title"`
	Active optional[bool] `json:"active"`
}

// macroTitled returns the one active macro with that title, or one without an id. The list is read and not the search,
// of which nobody documents how it matches titles.
// https://developer.zendesk.com/api-reference/ticketing/business-rules/macros/#list-active-macros
func (d *Desk) macroTitled(ctx context.Context, title string) (macro, error) {
	title = strings.TrimSpace(title)
	if title == "" {
		return macro{}, nil
	}
	pages, err := whole(ctx, d.activeMacros)
	if err != nil {
		return macro{}, err
	}
	var found []macro
	for _, p := range pages {
		for _, m := range p.Macros {
			if m.Title = strings.TrimSpace(m.Title); m.Title == title && (m.Active.Value || !m.Active.Given) {
				found = append(found, m)
			}
		}
	}
	if len(found) != 1 {
		return macro{}, nil
	}
	return found[0], nil
}

func (d *Desk) activeMacros(ctx context.Context) ([]*page, error) {
	pages, _, err := d.list(ctx, "/macros/active", nil, macroRows)
	if err == nil && len(pages[0].Macros) == 0 { // nothing else proves that there are none
		pages, _, err = d.list(ctx, "/macros/active", nil, macroRows)
	}
	return pages, err
}
