package webhook_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"contactsync/webhook"
)

const triggerPath = "/api/v4/projects/39250741/ref/master/trigger/pipeline"

// triggered turns a hook into one of the original trigger address.
func (d delivery) triggered(token, project string) delivery {
	d.path = triggerPath + "?token=" + url.QueryEscape(token) + "&variables[PROJECT_ID]=" + url.QueryEscape(project)
	return d
}

// Which credential decides, at both addresses. A wrong signature never falls back to a token, however right that is.
func TestWhichCredentialDecides(t *testing.T) {
	t.Parallel()
	const wrong = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	everything := func(*scene, *webhook.Options) {}
	tokensAlone := func(_ *scene, o *webhook.Options) {
		o.Credentials.SigningTokens, o.Credentials.MasterKeys = nil, nil
	}
	signaturesAlone := func(_ *scene, o *webhook.Options) {
		o.Credentials.Tokens, o.Credentials.TriggerTokens = nil, nil
	}
	for name, test := range map[string]struct {
		configured func(*scene, *webhook.Options)
		change     func(*scene, delivery) delivery
		hook       int // its status at the hook address
		trigger    int // and at the trigger address, beside the right trigger token
	}{
		"nothing":                           {everything, func(_ *scene, d delivery) delivery { return d }, 401, 201},
		"token":                             {everything, func(s *scene, d delivery) delivery { return d.token(s.token) }, 202, 201},
		"derived token":                     {everything, func(s *scene, d delivery) delivery { return d.token(s.first.Token(42)) }, 202, 201},
		"wrong token":                       {everything, func(_ *scene, d delivery) delivery { return d.token("wrong") }, 401, 201},
		"empty token":                       {everything, func(_ *scene, d delivery) delivery { return d.token("") }, 401, 201},
		"trigger token as token":            {everything, func(s *scene, d delivery) delivery { return d.token(s.trigger) }, 401, 201},
		"signing token as token":            {everything, func(s *scene, d delivery) delivery { return d.token(s.signing) }, 401, 201},
		"signature":                         {everything, func(s *scene, d delivery) delivery { return d.signed(s.signing, now) }, 202, 201},
		"derived signature":                 {everything, func(s *scene, d delivery) delivery { return d.signed(s.first.SigningToken(42), now) }, 202, 201},
		"signature, wrong token":            {everything, func(s *scene, d delivery) delivery { return d.signed(s.signing, now).token("wrong") }, 202, 201},
		"signature, another's token":        {everything, func(s *scene, d delivery) delivery { return d.signed(s.signing, now).token(s.first.Token(43)) }, 202, 201},
		"wrong signature":                   {everything, func(_ *scene, d delivery) delivery { return d.signed(wrong, now) }, 401, 404},
		"wrong signature, token":            {everything, func(s *scene, d delivery) delivery { return d.signed(wrong, now).token(s.token) }, 401, 404},
		"wrong signature, derived token":    {everything, func(s *scene, d delivery) delivery { return d.signed(wrong, now).token(s.first.Token(42)) }, 401, 404},
		"empty signature, token":            {everything, func(s *scene, d delivery) delivery { return d.with("Webhook-Signature", "").token(s.token) }, 401, 404},
		"signature of another scheme alone": {everything, func(s *scene, d delivery) delivery { return d.with("Webhook-Signature", "v1a,AAAA").token(s.token) }, 401, 404},
		"id and timestamp alone, token": {everything, func(s *scene, d delivery) delivery {
			return d.with("Webhook-Id", "x").with("Webhook-Timestamp", "1").token(s.token)
		}, 202, 201},
		"signature, no keys":           {tokensAlone, func(s *scene, d delivery) delivery { return d.signed(s.signing, now) }, 401, 201},
		"signature, no keys, token":    {tokensAlone, func(s *scene, d delivery) delivery { return d.signed(s.signing, now).token(s.token) }, 401, 201},
		"token, no tokens":             {signaturesAlone, func(s *scene, d delivery) delivery { return d.token(s.token) }, 401, 404},
		"signature, no trigger tokens": {signaturesAlone, func(s *scene, d delivery) delivery { return d.signed(s.signing, now) }, 202, 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, test.configured)
			d := test.change(s, push(t))
			if got := s.send(d); got.status != test.hook {
				t.Errorf("at the hook address: answered %d %s, want %d", got.status, got.body, test.hook)
			}
			if got := s.send(d.triggered(s.trigger, "42")); got.status != test.trigger {
				t.Errorf("at the trigger address: answered %d %s, want %d", got.status, got.body, test.trigger)
			}
			// Nothing replaces the trigger token at the trigger address.
			if got := s.send(d.triggered("wrong", "42")); got.status != 404 {
				t.Errorf("at the trigger address with a wrong token: answered %d %s", got.status, got.body)
			}
			if got := s.send(d.triggered("", "42")); got.status != 404 {
				t.Errorf("at the trigger address without a token: answered %d %s", got.status, got.body)
			}
			stored := 0
			for _, status := range []int{test.hook, test.trigger} {
				if status == 202 || status == 201 {
					stored++
				}
			}
			if len(s.intake.accepted) != stored {
				t.Errorf("%d deliveries were stored, want %d", len(s.intake.accepted), stored)
			}
		})
	}
}

// Whoever tries credentials learns nothing: each refusal is the same to the byte, whatever was wrong, and whatever the
// body is.
func TestRefusalsAreAlike(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	old := now.Add(-time.Hour)
	bodies := []string{sample(t, "push"), "", "{", "no JSON", `{"project_id":42}`, sample(t, "push_test_empty_repository"), strings.Repeat(" ", 2<<20)}
	var hooks, triggers []answer
	for _, body := range bodies {
		d := hook("Push Hook", body)
		wrong := []delivery{
			d, d.token("wrong"), d.token(s.token[:len(s.token)-1]), d.token(s.token + "x"), d.token("cs1.1.42.AAAA"), d.token("cs1.9.42.AAAA"),
			d.token(s.first.Token(42) + "A"), d.token(strings.Repeat("x", 60_000)),
		}
		if !strings.HasPrefix(body, " ") { // over the limit: nothing can be said of a signature
			wrong = append(wrong, d.signed("whsec_"+randomText(32), now), d.signed(s.first.SigningToken(7), now))
		}
		wrong = append(wrong, d.signed(s.signing, old), d.signed(s.signing, now).with("Webhook-Id", ""), d.with("Webhook-Signature", "v1,"))
		for _, d := range wrong {
			hooks = append(hooks, s.send(d))
			triggers = append(triggers, s.send(d.triggered("wrong", "42")), s.send(d.triggered(s.trigger[1:], "42")))
			if _, signed := d.header["Webhook-Signature"]; signed {
				triggers = append(triggers, s.send(d.triggered(s.trigger, "42")))
			}
		}
	}
	for _, group := range []struct {
		answers []answer
		status  int
		body    string
	}{{hooks, 401, `{"accepted":false,"error":"unauthorized"}`}, {triggers, 404, `{"message":"404 Not Found"}`}} {
		for i, got := range group.answers {
			if got.status != group.status || got.body != group.body || len(got.header) != len(group.answers[0].header) {
				t.Errorf("answer %d: %d %s %v", i, got.status, got.body, got.header)
			}
		}
	}
	if s.counted("hook unauthorized") != len(hooks) || s.counted("trigger unauthorized") != len(triggers) || len(s.answered) != 2 {
		t.Errorf("counted %v", s.answered)
	}
	s.untouched(t)
}

// While a credential is replaced both values open the receiver, and afterwards the old one does not.
func TestRotation(t *testing.T) {
	t.Parallel()
	before := newScene(t, nil)
	oldSigning, oldToken, oldTrigger := before.signing, before.token, before.trigger
	var newKey webhook.MasterKey
	during := newScene(t, func(s *scene, o *webhook.Options) {
		newKey = masterKey(t, 3)
		o.Credentials = webhook.Credentials{SigningTokens: []string{oldSigning, s.signing}, Tokens: []string{oldToken, s.token},
			TriggerTokens: []string{oldTrigger, s.trigger}, MasterKeys: []webhook.MasterKey{before.first, newKey}}
	})
	after := newScene(t, func(s *scene, o *webhook.Options) {
		s.signing, s.token, s.trigger = during.signing, during.token, during.trigger
		o.Credentials = webhook.Credentials{SigningTokens: []string{s.signing}, Tokens: []string{s.token}, TriggerTokens: []string{s.trigger},
			MasterKeys: []webhook.MasterKey{newKey}}
	})
	old := []delivery{push(t).signed(oldSigning, now), push(t).token(oldToken), push(t).triggered(oldTrigger, "42"),
		push(t).signed(before.first.SigningToken(42), now), push(t).token(before.first.Token(42))}
	fresh := []delivery{push(t).signed(during.signing, now), push(t).token(during.token), push(t).triggered(during.trigger, "42"),
		push(t).signed(newKey.SigningToken(42), now), push(t).token(newKey.Token(42))}
	for step, test := range []struct {
		*scene
		old, fresh bool
	}{{before, true, false}, {during, true, true}, {after, false, true}} {
		for i := range old {
			if ok := test.send(old[i]).status/100 == 2; ok != test.old {
				t.Errorf("step %d: the old credential %d opens it: %t", step, i, ok)
			}
			if ok := test.send(fresh[i]).status/100 == 2; ok != test.fresh {
				t.Errorf("step %d: the new credential %d opens it: %t", step, i, ok)
			}
		}
	}
}

// A project's own credentials speak for that project and for no other.
func TestDerivedCredentialsAreTheProjectsOwn(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	for _, d := range []delivery{
		push(t).token(s.first.Token(43)), push(t).signed(s.first.SigningToken(43), now), push(t).token(masterKey(t, 1).Token(42)),
		push(t).signed(masterKey(t, 1).SigningToken(42), now),
		hook("Merge Request Hook", sample(t, "merge_request")).token(s.first.Token(43)),
		hook("Member Hook", sample(t, "member")).token(s.first.Token(42)), // it names no project
		hook("Push Hook", `{"project_id":43,"project":{"id":42},"ref":"refs/heads/master"}`).token(s.first.Token(42)),
		hook("Push Hook", `{"project":{"id":42},"ref":"refs/heads/master"}`).token(s.first.Token(42)),
		hook("Push Hook", "{").token(s.first.Token(42)),
	} {
		if got := s.send(d); got.status != 401 {
			t.Errorf("%v: answered %d %s", d.header, got.status, got.body)
		}
	}
	for _, d := range []delivery{
		hook("Merge Request Hook", sample(t, "merge_request")).token(s.first.Token(42)),
		hook("Merge Request Hook", sample(t, "merge_request")).signed(s.second.SigningToken(42), now),
		hook("Note Hook", sample(t, "note")).signed(s.first.SigningToken(42), now),
	} {
		if got := s.send(d); got.status != 200 {
			t.Errorf("%v: answered %d %s", d.header, got.status, got.body)
		}
	}
	s.untouched(t)
}

// GitLab tests the hook of a repository without commits with a sample that names a project 15. Whichever credentials
// the hook has, that is answered as a success, so that a new hook is not counted as failing, and never runs anything.
func TestSampleOfAnEmptyRepository(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	d := hook("Push Hook", sample(t, "push_test_empty_repository"))
	for name, d := range map[string]delivery{
		"signing token": d.signed(s.signing, now), "token": d.token(s.token), "derived token": d.token(s.first.Token(42)),
		"project 15's token": d.token(s.first.Token(15)), "project 15's signing token": d.signed(s.first.SigningToken(15), now),
		"derived signing token beside the derived token": d.signed(s.first.SigningToken(42), now).token(s.first.Token(42)),
	} {
		if got := s.send(d); got.status != 200 || got.body != `{"accepted":false,"ignored":"test"}` {
			t.Errorf("%s: answered %d %s", name, got.status, got.body)
		}
	}
	if got := s.send(d.triggered(s.trigger, "42")); got.status != 201 || got.decode(t)["ignored"] != "test" {
		t.Errorf("trigger: answered %d %s", got.status, got.body)
	}
	// Of a signature alone nobody can tell which project made it.
	for name, d := range map[string]delivery{
		"derived signing token alone":          d.signed(s.first.SigningToken(42), now),
		"derived signing token, wrong token":   d.signed(s.first.SigningToken(42), now).token("cs1.1.42.AAAA"),
		"derived signing token, other project": d.signed(s.first.SigningToken(42), now).token(s.first.Token(43)),
		"nothing":                              d,
	} {
		if got := s.send(d); got.status != 401 {
			t.Errorf("%s: answered %d %s", name, got.status, got.body)
		}
	}
	s.untouched(t)

	// A real push of a project 15 is a push like any other.
	real := strings.NewReplacer("95790bf8", "00000bf8").Replace(d.body)
	if got := s.send(hook("Push Hook", real).token(s.first.Token(15))); got.status != 202 {
		t.Errorf("a real project 15: answered %d %s", got.status, got.body)
	}
}

// Header names and lines as proxies may rewrite them: what is ambiguous is refused, not guessed.
func TestDoubledSignatureHeaders(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp"} {
		d := push(t).signed(s.signing, now)
		d.header[name] = append(d.header[name], d.header[name][0])
		if got := s.send(d); got.status != 401 {
			t.Errorf("two of %s: answered %d", name, got.status)
		}
	}
	d := push(t).signed(s.signing, now)
	d.header["Webhook-Signature"] = append([]string{"v1," + strings.Repeat("A", 43) + "="}, d.header["Webhook-Signature"]...)
	if got := s.send(d); got.status != 202 {
		t.Errorf("signatures on two lines: answered %d", got.status)
	}
	if http.CanonicalHeaderKey("webhook-signature") != "Webhook-Signature" {
		t.Error("the header is kept under another name")
	}
}
