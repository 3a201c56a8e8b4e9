package wire

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
)

// Ticket is a ticket as it is, or as it would be after a macro, reduced to what answering it takes.
type Ticket struct {
	ID           int64
	Requester    int64 // 0 for nobody
	Organization int64 // 0 for none
	Subject      string
	Status       string
	Updated      string   // as the desk wrote it
	Tags         []string // nil: the answer says nothing about them
	// Plain holds those of the fields in plain that the answer has, Custom the custom ones by id. Empty ones are nil.
	Plain  map[string]any
	Custom map[int64]any
	// Comment is the one that a macro would add; nil: none, or none with a text in it.
	Comment *Comment
}

// Comment is a comment that is not written yet.
type Comment struct {
	Body   string
	HTML   bool
	Public *bool // nil: not said
}

// plain are the fields that a macro may change, and whether they can be emptied.
var plain = []struct {
	key   string
	empty bool
}{
	{"assignee_id", true}, {"custom_status_id", false}, {"group_id", true}, {"priority", true}, {"status", false},
	{"subject", false}, {"type", true},
}

// ReadApplied reads the answer to GET /tickets/{id}/macros/{id}/apply: {"result": {"ticket": …}}, with the comment in
// the ticket, as documented today, or beside it, as in older descriptions.
// https://developer.zendesk.com/api-reference/ticketing/business-rules/macros/#show-ticket-after-changes
func ReadApplied(body []byte) (Ticket, error) {
	var answer struct {
		Result struct {
			Ticket  *Ticket  `json:"ticket"`
			Comment *comment `json:"comment"`
		} `json:"result"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return Ticket{}, err
	}
	if answer.Result.Ticket == nil {
		return Ticket{}, errors.New("it has no ticket in it")
	}
	applied := *answer.Result.Ticket
	if applied.Comment == nil {
		applied.Comment = answer.Result.Comment.read()
	}
	return applied, nil
}

// UnmarshalJSON reads a ticket as the API shows it. Numbers of fields are kept as they are written.
func (t *Ticket) UnmarshalJSON(data []byte) error {
	var row struct {
		ID           int64       `json:"id"`
		Requester    int64       `json:"requester_id"`
		Organization int64       `json:"organization_id"`
		Subject      string      `json:"subject"`
		Status       string      `json:"status"`
		Updated      string      `json:"updated_at"`
		Tags         texts       `json:"tags"`
		Fields       fieldValues `json:"fields"`
		CustomFields fieldValues `json:"custom_fields"`
		Comment      *comment    `json:"comment"`
	}
	if err := json.Unmarshal(data, &row); err != nil {
		return err
	}
	var all map[string]any
	if err := decode(data, &all); err != nil {
		return err
	}
	*t = Ticket{ID: row.ID, Requester: row.Requester, Organization: row.Organization, Subject: row.Subject, Status: row.Status,
		Updated: row.Updated, Tags: row.Tags, Plain: map[string]any{}, Custom: map[int64]any{}, Comment: row.Comment.read()}
	for _, field := range plain {
		if value, given := all[field.key]; given {
			t.Plain[field.key] = value
		}
	}
	for _, field := range append(row.Fields, row.CustomFields...) { // the same twice, in most answers
		if field.ID > 0 {
			t.Custom[field.ID] = field.Value
		}
	}
	return nil
}

// Changes returns what to write to the ticket so that it becomes like the other one: those fields alone that differ.
// Tags are added and never taken away, but for those that are the former option of a drop-down that changes.
func (t Ticket) Changes(to Ticket) (fields map[string]any, tags []string) {
	fields = map[string]any{}
	for _, field := range plain {
		value, given := to.Plain[field.key]
		if given && (value != nil || field.empty) && !reflect.DeepEqual(value, t.Plain[field.key]) {
			fields[field.key] = value
		}
	}
	tags = slices.Clone(t.Tags)
	var custom []fieldValue
	for id, value := range to.Custom {
		old := t.Custom[id]
		if reflect.DeepEqual(value, old) {
			continue
		}
		custom = append(custom, fieldValue{ID: id, Value: value})
		if to.Tags != nil {
			options := optionsOf(old)
			tags = slices.DeleteFunc(tags, func(tag string) bool { return slices.Contains(options, tag) })
		}
	}
	if len(custom) > 0 {
		slices.SortFunc(custom, func(a, b fieldValue) int { return cmp.Compare(a.ID, b.ID) })
		fields["custom_fields"] = custom
	}
	for _, tag := range to.Tags {
		if !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
	}
	return fields, tags
}

// optionsOf are the options that a drop-down's value names, each of which is a tag, too.
func optionsOf(value any) []string {
	switch v := value.(type) {
	case string:
		return []string{v}
	case []any:
		var options []string
		for _, one := range v {
			options = append(options, optionsOf(one)...)
		}
		return options
	}
	return nil
}

// comment is a comment as macros show it.
type comment struct {
	Body   string `json:"body"`
	HTML   string `json:"html_body"`
	Public *bool  `json:"public"`
}

func (c *comment) read() *Comment {
	switch {
	case c == nil:
		return nil
	case strings.TrimSpace(c.HTML) != "":
		return &Comment{Body: c.HTML, HTML: true, Public: c.Public}
	case strings.TrimSpace(c.Body) != "":
		return &Comment{Body: c.Body, Public: c.Public}
	}
	return nil
}

// fieldValue is a custom field of a ticket.
type fieldValue struct {
	ID    int64 `json:"id"`
	Value any   `json:"value"`
}

// fieldValues is a list of them, or one alone, as the description of macros has it.
type fieldValues []fieldValue

func (f *fieldValues) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("{")) {
		var one fieldValue
		if err := decode(data, &one); err != nil {
			return err
		}
		*f = fieldValues{one}
		return nil
	}
	var list []fieldValue
	err := decode(data, &list)
	*f = list
	return err
}

// texts is a list of texts, or one text of words, as tags may come.
type texts []string

func (t *texts) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte(`"`)) {
		var words string
		err := json.Unmarshal(data, &words)
		*t = append(texts{}, strings.Fields(words)...)
		return err
	}
	var list []string
	err := json.Unmarshal(data, &list)
	*t = list
	return err
}

// decode keeps numbers as they are written: ids are longer than a float is exact.
func decode(data []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	return decoder.Decode(into)
}
