package contactsync_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"contactsync"
)

// Addresses that reach the same mailbox have one normal form, and others do not.
func TestNormalizeEmail(t *testing.T) {
	for text, want := range map[string]contactsync.Email{
		"ada@example.com":           "ada@example.com",
		" Ada.L@EXAMPLE.com\t":      "ada.l@example.com",
		"ada+tickets@example.com":   "ada+tickets@example.com",
		"ada@BÜCHER.example":        "ada@xn--bcher-kva.example",
		"ada@xn--bcher-kva.example": "ada@xn--bcher-kva.example",
		"no address":                "no address",
		"ada@":                      "ada@",
		"":                          "",
	} {
		if got := contactsync.NormalizeEmail(text); got != want {
			t.Errorf("NormalizeEmail(%q) = %q, want %q", text, got, want)
		}
	}
}

// Normalising what is normal changes nothing, whatever a desk holds.
func TestNormalFormIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		once := contactsync.NormalizeEmail(rapid.String().Draw(t, "text"))
		if twice := contactsync.NormalizeEmail(string(once)); twice != once {
			t.Fatalf("%q becomes %q", once, twice)
		}
	})
}

// A contact whose name is the address has no name of its own.
func TestNamed(t *testing.T) {
	for name, want := range map[string]bool{"Ada": true, "ada@example.com": false, "ADA@example.com": false} {
		c := contactsync.Contact{Name: name, Email: "ada@example.com"}
		if got := c.Named(); got != want {
			t.Errorf("Named with %q = %v, want %v", name, got, want)
		}
	}
}

// A project is a JSON number where it is one, and comes back as it was given.
func TestProjectRef(t *testing.T) {
	for ref, want := range map[contactsync.ProjectRef]struct {
		json string
		id   int64
		ok   bool
	}{
		"123":                  {`123`, 123, true},
		"0":                    {`0`, 0, false},
		"-5":                   {`-5`, -5, false},
		"abc":                  {`"abc"`, 0, false},
		"1.5":                  {`"1.5"`, 0, false},
		"":                     {`""`, 0, false},
		"99999999999999999999": {`"99999999999999999999"`, 9223372036854775807, false},
	} {
		text, err := json.Marshal(ref)
		if err != nil || string(text) != want.json {
			t.Errorf("%q in JSON: %s, %v; want %s", ref, text, err, want.json)
		}
		var back contactsync.ProjectRef
		if err := json.Unmarshal(text, &back); err != nil || back != ref {
			t.Errorf("%q came back as %q, %v", ref, back, err)
		}
		if id, ok := ref.ID(); id != want.id || ok != want.ok {
			t.Errorf("%q.ID() = %d, %v; want %d, %v", ref, id, ok, want.id, want.ok)
		}
	}
}

// Every class is described once and in full: its people, its retry, its exit status and a remedy.
func TestClassTable(t *testing.T) {
	seen := map[contactsync.Class]bool{}
	for _, info := range contactsync.Classes() {
		if seen[info.Class] {
			t.Errorf("%s stands twice in the table", info.Class)
		}
		seen[info.Class] = true
		if info.Title == "" || info.Who == "" || info.Retry == "" || info.ExitCode == 0 || info.HTTPStatus < 400 || info.Remedy == "" {
			t.Errorf("%s is not described in full: %+v", info.Class, info)
		}
		if info.Class.Info() != info {
			t.Errorf("%s.Info() is not its row", info.Class)
		}
	}
	if got := contactsync.Class("unheard_of").Info().Class; got != contactsync.ClassInternal {
		t.Errorf("an unknown class counts as %s", got)
	}
}

// An error keeps its class, its cause and what was being done, however deep it is wrapped; a foreign error is internal.
func TestErrors(t *testing.T) {
	cause := errors.New("connection refused")
	classed := contactsync.Errorf(contactsync.ClassDeskUnreadable, "page 3: %w", cause)
	classed.Who = contactsync.WhoOperator
	classed.Problems, classed.Unlisted = []contactsync.FileProblem{{Line: 2}}, 3
	err := fmt.Errorf("reading members of organization 42: %w", classed)
	if contactsync.ClassOf(err) != contactsync.ClassDeskUnreadable || !errors.Is(err, cause) {
		t.Errorf("class %s, cause kept: %v", contactsync.ClassOf(err), errors.Is(err, cause))
	}
	failure := contactsync.FailureOf(err)
	if failure.Detail != "reading members of organization 42: page 3: connection refused" ||
		failure.Who != contactsync.WhoOperator || failure.Retry != contactsync.RetrySoon || failure.Title == "" || failure.Remedy == "" ||
		len(failure.Problems) != 1 || failure.Problems[0].Line != 2 || failure.Unlisted != 3 {
		t.Errorf("failure = %+v", failure)
	}
	if contactsync.ClassOf(cause) != contactsync.ClassInternal || contactsync.ClassOf(nil) != "" || contactsync.FailureOf(nil) != nil {
		t.Error("foreign errors are internal, and no error is none")
	}
	if contactsync.ExitCode(nil) != 0 || contactsync.ExitCode(err) != 1 {
		t.Error("exit statuses")
	}
}

// Requests are counted where a tally is, writes are let through by the fence, and neither is needed.
func TestContext(t *testing.T) {
	ctx := t.Context()
	contactsync.CountRequest(ctx, contactsync.SystemDesk)
	contactsync.ReportProgress(ctx, 1, 2)
	if err := contactsync.CheckFence(ctx); err != nil || contactsync.IsBackground(ctx) {
		t.Errorf("a plain context: %v, %v", err, contactsync.IsBackground(ctx))
	}
	var tally contactsync.Tally
	lost := errors.New("lost")
	ctx = contactsync.WithTally(contactsync.InBackground(ctx), &tally)
	ctx = contactsync.WithFence(ctx, func(context.Context) error { return lost })
	contactsync.CountRequest(ctx, contactsync.SystemDesk)
	contactsync.CountRequest(ctx, contactsync.SystemDesk)
	contactsync.CountRequest(ctx, contactsync.SystemGit)
	if got := tally.Requests(); got != (contactsync.Requests{Desk: 2, Git: 1}) {
		t.Errorf("requests = %+v", got)
	}
	if err := contactsync.CheckFence(ctx); !errors.Is(err, lost) || !contactsync.IsBackground(ctx) {
		t.Errorf("fence = %v, background = %v", err, contactsync.IsBackground(ctx))
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := contactsync.CheckFence(canceled); !contactsync.IsCanceled(err) {
		t.Errorf("a cancelled context lets writes through: %v", err)
	}
}
