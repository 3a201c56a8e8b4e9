package webhook_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"contactsync"
	"contactsync/webhook"
)

// A hook of the original trigger address is answered as GitLab answers, whatever project and ref the address names:
// they are those of the original pipeline.
func TestTrigger(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]struct {
		project any
		ref     string
	}{
		"/api/v4/projects/39250741/ref/master/trigger/pipeline":        {39250741.0, "master"},
		"/api/v4/projects/support%2Fsync/ref/a%2Fb/trigger/pipeline":   {"support/sync", "a/b"},
		"/api/v4/projects/1/ref/%00%1b[31m" + "x/trigger/pipeline":     {1.0, "[31mx"},
		"/api/v4/projects/1/ref/" + strings.Repeat("x", 300) + trigger: {1.0, strings.Repeat("x", 255) + "…"},
	} {
		s := newScene(t, nil)
		d := push(t).triggered(s.trigger, "42")
		d.path = path + d.path[len(triggerPath):]
		got := s.send(d)
		pipeline := got.decode(t)
		if got.status != 201 || pipeline["project_id"] != want.project || pipeline["ref"] != want.ref || pipeline["status"] != "created" ||
			pipeline["source"] != "trigger" || pipeline["delivery"] != "d1" || pipeline["created_at"] != "2026-11-21T12:00:00Z" {
			t.Errorf("%s: answered %d %s", path, got.status, got.body)
		}
		var typed struct{ ID int64 }
		if err := json.Unmarshal([]byte(got.body), &typed); err != nil || typed.ID != now.UnixMicro() {
			t.Errorf("%s: the id is %v, %v", path, pipeline["id"], err)
		}
		if len(s.intake.accepted) != 1 || s.intake.accepted[0].Project != 42 || s.counted("trigger accepted") != 1 {
			t.Errorf("%s: stored %+v, counted %v", path, s.intake.accepted, s.answered)
		}
	}
}

const trigger = "/trigger/pipeline"

// Parameters may be in the query, with brackets as they are or escaped, or in the body: GitLab merges the two.
func TestTriggerParameters(t *testing.T) {
	t.Parallel()
	const fields = `"object_kind":"push","project_id":42,"ref":"refs/heads/master"`
	for name, test := range map[string]struct {
		query, body string
		want        int
		accepted    bool
	}{
		"in the query":          {"?token=TOKEN&variables[PROJECT_ID]=42", `{` + fields + `}`, 201, true},
		"escaped":               {"?token=TOKEN&variables%5BPROJECT_ID%5D=42", `{` + fields + `}`, 201, true},
		"in the body":           {"", `{"token":"TOKEN","variables":{"PROJECT_ID":"42"},` + fields + `}`, 201, true},
		"in both":               {"?token=TOKEN", `{"variables":{"PROJECT_ID":"42"},` + fields + `}`, 201, true},
		"wrong in the body":     {"", `{"token":"wrong","variables":{"PROJECT_ID":"42"},` + fields + `}`, 404, false},
		"no text in the body":   {"", `{"token":["TOKEN"],` + fields + `}`, 404, false},
		"wrong in query":        {"?token=wrong", `{"token":"TOKEN","variables":{"PROJECT_ID":"42"},` + fields + `}`, 404, false},
		"wrong project in body": {"?token=TOKEN&variables[PROJECT_ID]=42", `{"variables":{"PROJECT_ID":"7"},` + fields + `}`, 201, true},
		"empty in query":        {"?token=TOKEN&variables[PROJECT_ID]=", `{"variables":{"PROJECT_ID":"42"},` + fields + `}`, 201, false},
		"no token":              {"?variables[PROJECT_ID]=42", `{` + fields + `}`, 404, false},
		"no JSON":               {"?token=TOKEN&variables[PROJECT_ID]=42", `project_id=42`, 400, false},
		"no JSON, no token":     {"?variables[PROJECT_ID]=42", `project_id=42&token=TOKEN`, 404, false},
		"no project":            {"?token=TOKEN&variables[PROJECT_ID]=42", `{"object_kind":"push","ref":"refs/heads/master"}`, 400, false},
	} {
		s := newScene(t, func(s *scene, o *webhook.Options) {
			s.trigger = "TOKEN"
			o.Credentials.TriggerTokens = []string{"TOKEN"}
		})
		d := hook("Push Hook", test.body)
		d.path = triggerPath + test.query
		if got := s.send(d); got.status != test.want || len(s.intake.accepted) == 1 != test.accepted {
			t.Errorf("%s: answered %d %s, stored %v", name, got.status, got.body, s.intake.accepted)
		}
	}
}

// A hook speaks for its own project alone. One that names another is told the same 201 as ever and recorded as a run
// that failed, of the project that it named, with what to mend; nothing is synced.
func TestTriggerForAnotherProject(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]struct {
		project contactsync.ProjectRef
		detail  string
	}{
		"43":                    {"43", `the hook of project 42 sends PROJECT_ID "43" instead of its own number`},
		"PROJECT_ID":            {"PROJECT_ID", `the hook of project 42 sends PROJECT_ID "PROJECT_ID" instead of its own number`},
		"42 or 1":               {"42 or 1", `the hook of project 42 sends PROJECT_ID "42 or 1" instead of its own number`},
		"-42":                   {"-42", `the hook of project 42 sends PROJECT_ID "-42" instead of its own number`},
		"4\x1b[2J2":             {"4 [2J2", `the hook of project 42 sends PROJECT_ID "4 [2J2" instead of its own number`},
		strings.Repeat("9", 99): {contactsync.ProjectRef(strings.Repeat("9", 64) + "…"), `the hook of project 42 sends PROJECT_ID "` + strings.Repeat("9", 64) + `…" instead of its own number`},
		"":                      {"42", `the hook of project 42 sends no PROJECT_ID`},
		" \n":                   {"42", `the hook of project 42 sends no PROJECT_ID`},
	} {
		s := newScene(t, nil)
		got := s.send(push(t).triggered(s.trigger, given))
		pipeline := got.decode(t)
		if got.status != 201 || pipeline["status"] != "failed" || pipeline["detail"] != want.detail || s.counted("trigger refused") != 1 {
			t.Errorf("%q: answered %d %s, counted %v", given, got.status, got.body, s.answered)
		}
		if len(s.intake.accepted) != 0 || len(s.intake.refused) != 1 {
			t.Fatalf("%q: stored %v, refused %v", given, s.intake.accepted, s.intake.refused)
		}
		refused := s.intake.refused[0]
		delivery := contactsync.Delivery{Project: 42, Key: "6c1f0cf7-5b9e-4d4c-9d2c-0a4f0a6f1f11", Event: "push", Received: now}
		if refused.project != want.project || refused.delivery != delivery {
			t.Errorf("%q: refused %+v", given, refused)
		}
		if contactsync.ClassOf(refused.reason) != contactsync.ClassInvalidProjectID || refused.reason.Error() != want.detail {
			t.Errorf("%q: the reason is %v", given, refused.reason)
		}
	}
	// Blanks around the right number, and zeros before it, name the same project.
	for _, given := range []string{" 42 ", "042"} {
		s := newScene(t, nil)
		if got := s.send(push(t).triggered(s.trigger, given)); got.status != 201 || len(s.intake.accepted) != 1 {
			t.Errorf("%q: answered %d %s", given, got.status, got.body)
		}
	}
	// What means nothing is not refused for its PROJECT_ID: nothing would have been synced anyway.
	s := newScene(t, nil)
	if got := s.send(hook("Push Hook", sample(t, "push_other_branch")).triggered(s.trigger, "43")); got.status != 201 || got.decode(t)["ignored"] != "branch" {
		t.Errorf("another branch: answered %d %s", got.status, got.body)
	}
	s.untouched(t)
}

// A refusal that cannot be recorded is not answered as if it were.
func TestRefusalNotRecorded(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	s.intake.refuse = errors.New("the disk is full")
	got := s.send(push(t).triggered(s.trigger, "43"))
	if got.status != 503 || got.header.Get("Retry-After") == "" || strings.Contains(got.body, "disk") || s.counted("trigger unavailable") != 1 {
		t.Errorf("answered %d %s, counted %v", got.status, got.body, s.answered)
	}
}

// A signature beside the trigger token is verified with the project's own keys, too.
func TestTriggerWithDerivedSignature(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	for token, want := range map[string]int{s.second.SigningToken(42): 201, s.second.SigningToken(43): 404} {
		if got := s.send(push(t).signed(token, now).triggered(s.trigger, "42")); got.status != want {
			t.Errorf("answered %d %s, want %d", got.status, got.body, want)
		}
	}
	if got := s.send(push(t).signed(s.signing, now.Add(-time.Hour)).triggered(s.trigger, "42")); got.status != 404 {
		t.Errorf("an old signature: answered %d %s", got.status, got.body)
	}
	s.intake.accept = func(context.Context, contactsync.Delivery) (contactsync.Receipt, error) {
		return contactsync.Receipt{ID: "d7", Joined: true}, nil
	}
	got := s.send(push(t).triggered(s.trigger, "42"))
	if got.status != 201 || got.decode(t)["delivery"] != "d7" || s.counted("trigger joined") != 1 {
		t.Errorf("joined: answered %d %s, counted %v", got.status, got.body, s.answered)
	}
}
