package wire_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"contactsync/zendesk/internal/wire"

	"pgregory.net/rapid"
)

func ticketOf(t testing.TB, text string) wire.Ticket {
	t.Helper()
	var ticket wire.Ticket
	if err := json.Unmarshal([]byte(text), &ticket); err != nil {
		t.Fatal(err)
	}
	return ticket
}

// Every shape in which a macro's effect is documented or has been seen is read for what it says.
func TestApplied(t *testing.T) {
	const before = `{"id":7,"status":"open","priority":"low","assignee_id":5,"group_id":null,"subject":"S","updated_at":"x",
		"tags":["blue","vip"],"custom_fields":[{"id":8,"value":"blue"},{"id":9,"value":360000000000000001}]}`
	for name, test := range map[string]struct {
		result  string
		fields  string
		tags    []string
		comment wire.Comment
	}{
		"nothing":           {`{"ticket":{}}`, `{}`, []string{"blue", "vip"}, wire.Comment{}},
		"the same":          {`{"ticket":` + before + `}`, `{}`, []string{"blue", "vip"}, wire.Comment{}},
		"plain fields":      {`{"ticket":{"status":"solved","priority":"low","group_id":6}}`, `{"status":"solved","group_id":6}`, []string{"blue", "vip"}, wire.Comment{}},
		"emptied":           {`{"ticket":{"status":null,"subject":null,"priority":null,"assignee_id":null,"group_id":null}}`, `{"priority":null,"assignee_id":null}`, []string{"blue", "vip"}, wire.Comment{}},
		"read only":         {`{"ticket":{"requester_id":1,"updated_at":"y","url":"u","organization_id":3}}`, `{}`, []string{"blue", "vip"}, wire.Comment{}},
		"one custom field":  {`{"ticket":{"fields":{"id":9,"value":360000000000000002}}}`, `{"custom_fields":[{"id":9,"value":360000000000000002}]}`, []string{"blue", "vip"}, wire.Comment{}},
		"exact numbers":     {`{"ticket":{"fields":[{"id":9,"value":360000000000000001}]}}`, `{}`, []string{"blue", "vip"}, wire.Comment{}},
		"a drop-down":       {`{"ticket":{"tags":["red","vip"],"fields":[{"id":8,"value":"red"}]}}`, `{"custom_fields":[{"id":8,"value":"red"}]}`, []string{"vip", "red"}, wire.Comment{}},
		"tags alone":        {`{"ticket":{"tags":"red vip"}}`, `{}`, []string{"blue", "vip", "red"}, wire.Comment{}},
		"comment":           {`{"ticket":{"comment":{"body":"B","public":false}}}`, `{}`, []string{"blue", "vip"}, wire.Comment{Body: "B", Public: new(bool)}},
		"comment beside":    {`{"ticket":{},"comment":{"body":"B","html_body":"<p>"}}`, `{}`, []string{"blue", "vip"}, wire.Comment{Body: "<p>", HTML: true}},
		"comment of blanks": {`{"ticket":{"comment":{"body":" ","html_body":null}}}`, `{}`, []string{"blue", "vip"}, wire.Comment{}},
	} {
		t.Run(name, func(t *testing.T) {
			to, err := wire.ReadApplied([]byte(`{"result":` + test.result + `}`))
			if err != nil {
				t.Fatal(err)
			}
			fields, tags := ticketOf(t, before).Changes(to)
			if got, err := json.Marshal(fields); err != nil || !sameJSON(got, []byte(test.fields)) {
				t.Errorf("fields %s, %v; want %s", got, err, test.fields)
			}
			if !slices.Equal(tags, test.tags) {
				t.Errorf("tags %q, want %q", tags, test.tags)
			}
			if to.Comment == nil {
				to.Comment = &wire.Comment{}
			}
			if !reflect.DeepEqual(*to.Comment, test.comment) {
				t.Errorf("comment %+v, want %+v", *to.Comment, test.comment)
			}
		})
	}
	for _, text := range []string{``, `[]`, `{}`, `{"result":{}}`, `{"result":{"ticket":7}}`, `{"result":{"ticket":{"id":"x"}}}`} {
		if to, err := wire.ReadApplied([]byte(text)); err == nil {
			t.Errorf("%q is read as %+v", text, to)
		}
	}
}

// sameJSON compares as numbers are written, so that a long id that lost its end is noticed.
func sameJSON(a, b []byte) bool {
	var left, right map[string]json.RawMessage
	if json.Unmarshal(a, &left) != nil || json.Unmarshal(b, &right) != nil || len(left) != len(right) {
		return false
	}
	for key, value := range left {
		if string(value) != string(right[key]) {
			return false
		}
	}
	return true
}

// Writing what a macro changes makes the ticket what the macro makes of it, and takes no tag away but former options.
func TestChangesReachTheApplied(t *testing.T) {
	value := rapid.SampledFrom([]any{nil, "red", "blue", true, json.Number("7"), []any{"red", "blue"}})
	some := rapid.Custom(func(t *rapid.T) wire.Ticket {
		ticket := wire.Ticket{Plain: map[string]any{}, Custom: rapid.MapOf(rapid.Int64Range(1, 4), value).Draw(t, "custom")}
		for _, key := range []string{"assignee_id", "group_id", "priority", "type"} {
			if rapid.Bool().Draw(t, key) {
				ticket.Plain[key] = rapid.SampledFrom([]any{nil, "a", "b"}).Draw(t, "value")
			}
		}
		ticket.Tags = rapid.SliceOfDistinct(rapid.SampledFrom([]string{"red", "blue", "vip", "x"}), rapid.ID[string]).Draw(t, "tags")
		return ticket
	})
	rapid.Check(t, func(t *rapid.T) {
		from, to := some.Draw(t, "from"), some.Draw(t, "to")
		fields, tags := from.Changes(to)
		for key, value := range to.Plain {
			written, sent := fields[key]
			if old := from.Plain[key]; sent != !reflect.DeepEqual(old, value) || sent && !reflect.DeepEqual(written, value) {
				t.Fatalf("%s was %v, is to be %v, and %v is written (%v)", key, old, value, written, sent)
			}
		}
		for key := range fields {
			if _, wanted := to.Plain[key]; !wanted && key != "custom_fields" {
				t.Fatalf("%s is written, and the macro says nothing about it", key)
			}
		}
		for _, tag := range to.Tags {
			if !slices.Contains(tags, tag) {
				t.Fatalf("tag %s is not written", tag)
			}
		}
		for _, tag := range from.Tags {
			if !slices.Contains(tags, tag) && (tag == "vip" || tag == "x") {
				t.Fatalf("tag %s is taken away", tag)
			}
		}
		if len(slices.Compact(slices.Sorted(slices.Values(tags)))) != len(tags) {
			t.Fatalf("tags come twice: %q", tags)
		}
	})
}

// No answer makes reading a macro's effect panic, and whatever is read can be written.
func FuzzApplied(f *testing.F) {
	f.Add([]byte(`{"result":{"ticket":{"id":7,"tags":["a"],"fields":[{"id":8,"value":["x"]}],"comment":{"body":"B"}}}}`))
	f.Add([]byte(`{"result":{"ticket":{"tags":"a b","fields":{"id":8,"value":{}},"status":null},"comment":{"html_body":"<p>"}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		to, err := wire.ReadApplied(body)
		if err != nil {
			return
		}
		fields, _ := wire.Ticket{Tags: []string{"a"}, Custom: map[int64]any{8: "a"}}.Changes(to)
		if _, err := json.Marshal(fields); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
		if to.Comment != nil && to.Comment.Body == "" {
			t.Error("a comment without a text")
		}
	})
}
