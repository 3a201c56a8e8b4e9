package setup

import (
	"context"
	"fmt"

	"contactsync"
	"contactsync/templates"
)

// answerSetUp tells the ticket that the project is there.
func (j *job) answerSetUp(ctx context.Context) (outcome, error) {
	invited := make([]string, len(j.maintainers))
	for i, address := range j.maintainers {
		invited[i] = string(address)
	}
	return j.answer(ctx, templates.SetUp, templates.SetUpData{
		Organization: j.org().Name, Project: j.project.WebURL, Invited: invited, File: j.Policy.File, Branch: j.Policy.Branch,
	})
}

func (j *job) answer(ctx context.Context, reply templates.Reply, data templates.Data) (outcome, error) {
	switch {
	case j.ticket == "":
		return skipped("no ticket is named"), nil
	case j.dry:
		return planned("would answer ticket %s", j.ticket), nil
	}
	line, state, err := j.Answer(ctx, j.ticket, reply, data, fmt.Sprint(j.procedure.Project))
	return outcome{state, []string{line}}, err
}

// Answer tells a ticket, publicly and once. about tells one reply from another of the same kind: the same is never there
// twice.
func (c *Caretaker) Answer(ctx context.Context, ticket string, reply templates.Reply, data templates.Data, about string) (string, contactsync.StepState, error) {
	replier, ok := c.Desk.(contactsync.Replier)
	if !ok {
		return "", "", &contactsync.Error{
			Class: contactsync.ClassTicketNotAnswered, Detail: "this desk's tickets cannot be answered by contactsync",
			Remedy: "Answer the ticket by hand, and run the command without --ticket.",
		}
	}
	text, err := c.Texts.Text(reply, data)
	if err != nil {
		return "", "", fmt.Errorf("wording the reply %s: %w", reply, err)
	}
	replied, err := replier.Reply(ctx, ticket, contactsync.Reply{
		Macro: c.Policy.Titles[reply], Text: text, Public: true, Mark: string(reply) + "-" + about,
		AndText: reply == templates.OverLimit, // no macro has the list
	})
	switch {
	case err != nil:
		return "", "", err
	case replied.Already:
		return fmt.Sprintf("ticket %s was answered already", ticket), contactsync.StepAlready, nil
	case replied.Macro != "":
		return fmt.Sprintf("answered ticket %s with the macro %q (%s)", ticket, replied.Macro, mode(replied)), contactsync.StepDone, nil
	}
	return fmt.Sprintf("answered ticket %s with the text of contactsync (%s)", ticket, mode(replied)), contactsync.StepDone, nil
}

// TicketOf returns a ticket, and refuses one of another organization. It is false for a desk whose tickets cannot be
// answered: answering says so.
func TicketOf(ctx context.Context, desk any, id, organization string) (contactsync.Ticket, bool, error) {
	replier, ok := desk.(contactsync.Replier)
	if !ok || id == "" {
		return contactsync.Ticket{}, false, nil
	}
	ticket, err := replier.Ticket(ctx, id)
	if err == nil && ticket.Organization != "" && ticket.Organization != organization {
		err = conflict("Check both numbers. To answer no ticket, leave out --ticket.",
			"ticket %s belongs to organization %s, not to %s", ticket.ID, ticket.Organization, organization)
	}
	return ticket, true, err
}

func mode(replied contactsync.Replied) string {
	if replied.Public {
		return "public"
	}
	return "internal"
}
