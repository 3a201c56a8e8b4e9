package webhook_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"contactsync"
)

// No credential, right or wrong, is ever in a log or an answer, nor is the address that may hold one.
func TestCredentialsStayOut(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.intake.accept = func(_ context.Context, d contactsync.Delivery) (contactsync.Receipt, error) {
		if d.Project == 42 {
			return contactsync.Receipt{ID: "d1"}, nil
		}
		return contactsync.Receipt{}, errors.New("the disk is full")
	}
	const wrong = "sesame-0123456789"
	var said strings.Builder
	other := hook("Push Hook", strings.ReplaceAll(sample(t, "push"), `"project_id": 42`, `"project_id": 43`))
	for _, d := range []delivery{push(t), other, hook("Note Hook", sample(t, "note")), hook("Push Hook", "{"), hook("Push Hook", `{"token":"`+wrong+`"}`)} {
		for _, d := range []delivery{
			d, d.token(s.token), d.token(wrong), d.token(s.first.Token(42)), d.token(s.first.Token(43)), d.signed(s.signing, now),
			d.signed(s.second.SigningToken(42), now), d.with("Webhook-Signature", "v1,"+wrong), d.triggered(s.trigger, "42"),
			d.triggered(s.trigger, "7"), d.triggered(wrong, "42"), d.triggered("", "42"), d.triggered(s.trigger, "42").with("Webhook-Signature", wrong),
		} {
			for _, method := range []string{"POST", "GET"} {
				d.method = method
				got := s.send(d)
				said.WriteString(got.body)
				for name, values := range got.header {
					said.WriteString(name + strings.Join(values, " "))
				}
			}
		}
	}
	if len(s.answered) < 9 {
		t.Errorf("only these were tried: %v", s.answered)
	}
	text := s.log.String() + said.String()
	for _, secret := range []string{s.signing, s.token, s.trigger, wrong, s.first.Token(42), s.first.Token(43), s.second.SigningToken(42), "token=", "variables"} {
		for _, form := range []string{secret, url.QueryEscape(secret), strings.TrimPrefix(secret, "whsec_")} {
			if strings.Contains(text, form) {
				t.Errorf("%q is in\n%s", form, text)
			}
		}
	}
}

// Each stored delivery is one line with what an operator looks for; what means nothing is a line for debugging.
func TestLogLines(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.send(push(t).token(s.token))
	s.send(push(t).triggered(s.trigger, "7"))
	s.send(hook("Note Hook", sample(t, "note")).token(s.token))
	lines := strings.Split(strings.TrimSpace(s.log.String()), "\n")
	for i, want := range []string{
		`level=INFO msg="hook stored" method=POST route=/hooks/gitlab answer=accepted project=42 delivery=d1 joined=false`,
		`level=WARN msg="hook refused" method=POST route=/api/v4/projects/{id}/ref/{ref}/trigger/pipeline answer=refused project=42 error="the hook of project 42 sends PROJECT_ID \"7\" instead of its own number"`,
		`level=DEBUG msg="hook ignored" method=POST route=/hooks/gitlab answer=ignored project=42 why=event`,
	} {
		if i >= len(lines) || !strings.HasSuffix(lines[i], want) {
			t.Errorf("line %d of\n%s\nis not %s", i, &s.log, want)
		}
	}
}

// A flood of wrong credentials, or of deliveries that a broken store cannot take, is one line a minute with their
// number, not a flood of lines.
func TestFloodsAreLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, nil)
		s.intake.accept = func(context.Context, contactsync.Delivery) (contactsync.Receipt, error) {
			return contactsync.Receipt{}, errors.New("the disk is full")
		}
		flood := func() {
			for range 500 {
				s.send(push(t).token("wrong"))
				s.send(push(t).triggered("wrong", "42"))
				s.send(push(t).token(s.token))
			}
		}
		flood()
		for _, want := range []string{`msg="hook with no credential or a wrong one"`, `msg="hook could not be stored"`} {
			if got := strings.Count(s.log.String(), want); got != 1 {
				t.Errorf("%d lines with %s", got, want)
			}
		}
		<-time.After(time.Minute)
		flood()
		for _, want := range []string{"others_since=999", "others_since=499"} {
			if got := strings.Count(s.log.String(), want); got != 1 {
				t.Errorf("%d lines with %s in\n%s", got, want, &s.log)
			}
		}
		if got := strings.Count(s.log.String(), "\n"); got != 4 {
			t.Errorf("%d lines", got)
		}
		if s.counted("hook unauthorized") != 1000 || s.counted("trigger unauthorized") != 1000 || s.counted("hook unavailable") != 1000 {
			t.Errorf("counted %v", s.answered)
		}
	})
}
