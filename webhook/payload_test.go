package webhook_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"contactsync/webhook"
)

// What GitLab's documented events come to: a push to the branch starts a run, and everything else that is authentic is
// a success all the same, because GitLab disables hooks that fail.
func TestDocumentedEvents(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ event, sample, ignored string }{
		{"Push Hook", "push", ""},
		{"", "push", ""}, // sent by hand
		{"System Hook", "push", ""},
		{"System Hook", "system_push", ""},
		{"Push Hook", "push_other_branch", "branch"},
		{"Push Hook", "push_branch_deleted", "deleted"},
		{"Push Hook", "push_test_empty_repository", "test"},
		{"Tag Push Hook", "tag_push", "tag"},
		{"System Hook", "tag_push", "tag"},
		{"Tag Push Hook", "push", "tag"}, // so are tag hooks tested by GitLab before 16.11
		{"Push Hook", "tag_push", "tag"},
		{"Merge Request Hook", "merge_request", "event"},
		{"Note Hook", "note", "event"},
		{"Pipeline Hook", "pipeline", "event"},
		{"Member Hook", "member", "event"},
		{"Merge Request Hook", "push", "event"}, // header and body differ
		{"Push Hook", "merge_request", "event"},
		{"Some New Hook", "push", "event"},
	} {
		name := test.event + ", " + test.sample
		s := newScene(t, nil)
		hookGot := s.send(hook(test.event, sample(t, test.sample)).token(s.token))
		triggerGot := s.send(hook(test.event, sample(t, test.sample)).triggered(s.trigger, "42"))
		pipeline := triggerGot.decode(t)
		if test.ignored == "" {
			if hookGot.status != 202 || triggerGot.status != 201 || pipeline["status"] != "created" || len(s.intake.accepted) != 2 {
				t.Errorf("%s: answered %d %s and %d %s", name, hookGot.status, hookGot.body, triggerGot.status, triggerGot.body)
			}
			continue
		}
		if hookGot.status != 200 || hookGot.body != fmt.Sprintf(`{"accepted":false,"ignored":%q}`, test.ignored) {
			t.Errorf("%s: answered %d %s", name, hookGot.status, hookGot.body)
		}
		if triggerGot.status != 201 || pipeline["ignored"] != test.ignored || pipeline["status"] != "skipped" {
			t.Errorf("%s: the trigger answered %d %s", name, triggerGot.status, triggerGot.body)
		}
		if s.counted("hook ignored") != 1 || s.counted("trigger ignored") != 1 {
			t.Errorf("%s: counted %v", name, s.answered)
		}
		s.untouched(t)
	}
}

// The branch is the configured one, to the letter.
func TestBranch(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(_ *scene, o *webhook.Options) { o.Branch = "support/contacts" })
	for ref, want := range map[string]int{
		"refs/heads/support/contacts": 202, "refs/heads/master": 200, "refs/heads/Support/contacts": 200, "support/contacts": 200,
		"refs/tags/support/contacts": 200, "refs/heads/support/contacts2": 200, "": 200,
	} {
		if got := s.send(hook("Push Hook", fmt.Sprintf(`{"project_id":42,"ref":%q}`, ref)).token(s.token)); got.status != want {
			t.Errorf("%q: answered %d %s", ref, got.status, got.body)
		}
	}
}

// Only the project's number is acted upon, so it must be one: a positive whole number of JSON, and the last one where
// there are several. The rest may be missing or of any type.
func TestBodies(t *testing.T) {
	t.Parallel()
	const ref = `"ref":"refs/heads/master"`
	deep := strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000)
	for body, want := range map[string]int{
		`{"project_id":42,` + ref + `}`:                               202,
		` {"project_id" : 9223372036854775807,` + ref + "}\n":         202,
		`{"project_id":42,` + ref + `,"checkout_sha":7,"after":[]}`:   202,
		`{"project_id":42,"project":"none","commits":5,` + ref + `}`:  202,
		`{"project_id":7,"project_id":42,` + ref + `}`:                202,
		`{"project_id":42,` + ref + `,"after":"` + sha256Zeros + `"}`: 200,
		`{"project_id":42,` + ref + `,"checkout_sha":null}`:           200,
		`{"project_id":42,"ref":7}`:                                   200,
		`{"object_kind":"issue","project_id":"none"}`:                 200,
		`{}`:                                              400, // the header calls it a push
		`{"project_id":0,` + ref + `}`:                    400,
		`{"project_id":-42,` + ref + `}`:                  400,
		`{"project_id":-0,` + ref + `}`:                   400,
		`{"project_id":"42",` + ref + `}`:                 400,
		`{"project_id":42.0,` + ref + `}`:                 400,
		`{"project_id":4.2e1,` + ref + `}`:                400,
		`{"project_id":9223372036854775808,` + ref + `}`:  400,
		`{"project_id":null,` + ref + `}`:                 400,
		`{"project_id":true,` + ref + `}`:                 400,
		`{"project_id":[42],` + ref + `}`:                 400,
		`{"project_id":{"id":42},` + ref + `}`:            400,
		`{"project_id":42,"project_id":"x",` + ref + `}`:  400,
		`{"project_id":42,"project_id":null,` + ref + `}`: 400,
		`{"project":{"id":42},` + ref + `}`:               400,
		`{` + ref + `}`:                                   400,
		`[{"project_id":42,` + ref + `}]`:                 400,
		`{"project_id":042,` + ref + `}`:                  400,
		`{"project_id":42,` + ref + `}{"project_id":43}`:  400,
		`{"project_id":42,` + ref + `,}`:                  400,
		`{"project_id":42,` + ref:                         400,
		"\ufeff" + `{"project_id":42,` + ref + `}`:        400,
		`project_id=42&ref=master`:                        400,
		`{"a":` + deep + `,"project_id":42,` + ref + `}`:  400,
		``:                                    400,
		`null`:                                400,
		`42`:                                  400,
		`"` + strings.Repeat("x", 1000) + `"`: 400,
		`{"project_id":42,` + ref + `,"x":"` + strings.Repeat("\\", 999): 400,
	} {
		s := newScene(t, nil)
		got := s.send(hook("Push Hook", body).token(s.token))
		name := body[:min(len(body), 80)]
		if got.status != want {
			t.Errorf("%s: answered %d %s, want %d", name, got.status, got.body, want)
		}
		if want == 400 && (s.counted("hook invalid") != 1 || got.decode(t)["error"] != "invalid" || got.decode(t)["detail"] == "") {
			t.Errorf("%s: answered %s, counted %v", name, got.body, s.answered)
		}
		if want != 202 {
			s.untouched(t)
		} else if len(s.intake.accepted) != 1 {
			t.Errorf("%s: stored %v", name, s.intake.accepted)
		}
	}
}

const sha256Zeros = "0000000000000000000000000000000000000000000000000000000000000000"

// A body of any content is answered and never more than one delivery; a run starts only for the positive number that
// the body itself names, only for the configured branch, and an answer is JSON. So it is with merge requests, of which two
// numbers are stored; where they are not looked at, everything else is answered alike.
func FuzzPayload(f *testing.F) {
	for _, name := range []string{"push", "push_other_branch", "push_branch_deleted", "push_test_empty_repository", "tag_push", "merge_request", "member"} {
		f.Add("Push Hook", []byte(sample(f, name)))
	}
	for _, seed := range []string{"", "{", "null", `{"project_id":1}`, `{"project_id":1e400}`, `{"project_id":42,"PROJECT_ID":43}`, `{"checkout_sha":{}}`} {
		f.Add("", []byte(seed))
	}
	for _, seed := range []string{
		`{"object_kind":"merge_request","project":{"id":42},"object_attributes":{"iid":7,"action":"update","oldrev":"a","source_project_id":42,"target_branch":"master"}}`,
		`{"object_kind":"merge_request","project_id":42,"object_attributes":{"iid":7,"action":"update","source_project_id":42},"changes":{"target_branch":[]}}`,
		`{"object_kind":"merge_request","object_attributes":[],"changes":7}`,
	} {
		f.Add("Merge Request Hook", []byte(seed))
	}
	f.Fuzz(func(t *testing.T, event string, body []byte) {
		s, without := newScene(t, requests), newScene(t, nil)
		got := s.send(hook(event, string(body)).token(s.token))
		object := got.decode(t)
		isObject := json.Valid(body) && bytes.HasPrefix(bytes.TrimSpace(body), []byte("{"))
		switch got.status {
		case 202:
			d := s.intake.accepted[0]
			// As texts, because the same number has one form only.
			if len(s.intake.accepted) != 1 || d.Project <= 0 || !bytes.Contains(body, fmt.Append(nil, d.Project)) || object["project"] == nil {
				t.Errorf("stored %+v", s.intake.accepted)
			}
			if !isObject {
				t.Errorf("stored for what is no JSON object")
			}
			switch d.Event {
			case "push":
				var read struct{ Ref string }
				_ = json.Unmarshal(body, &read) // what is of another type is skipped
				if d.Request != 0 || read.Ref != "refs/heads/master" {
					t.Errorf("a run was started for %q and request %d", read.Ref, d.Request)
				}
			case "merge_request":
				if d.Request <= 0 || !bytes.Contains(body, fmt.Append(nil, d.Request)) {
					t.Errorf("stored the request %d", d.Request)
				}
			default:
				t.Errorf("stored the event %q", d.Event)
			}
		case 200:
			if !isObject || object["accepted"] != false || object["ignored"] == "" {
				t.Errorf("ignored as %s", got.body)
			}
			s.untouched(t)
		case 400:
			s.untouched(t)
		default:
			t.Errorf("answered %d %s", got.status, got.body)
		}
		request := len(s.intake.accepted) == 1 && s.intake.accepted[0].Request > 0
		if plain := without.send(hook(event, string(body)).token(without.token)); request && plain.status != 200 || !request && plain.status != got.status {
			t.Errorf("answered %d, and %d where merge requests are not looked at", got.status, plain.status)
		}
		// The project's own credentials never open it for another project.
		if other := s.send(hook(event, string(body)).token(s.first.Token(1 << 60))); other.status == 202 && s.intake.accepted[len(s.intake.accepted)-1].Project != 1<<60 {
			t.Errorf("project %d's token started a run of %d", int64(1)<<60, s.intake.accepted[len(s.intake.accepted)-1].Project)
		}
	})
}
