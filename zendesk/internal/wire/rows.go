// Package wire reads what Zendesk answers where its shapes vary: rows of finished jobs, error bodies, rate limit
// headers. It is pure; what to do about an answer is decided elsewhere.
package wire

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
)

// State is what a job's row says about its item.
type State int

// The states of an item. The zero State is the careful one.
const (
	Unknown State = iota // nothing trustworthy was said: look
	Done
	Failed
)

// Row is what a job says about one item of its request.
type Row struct {
	State State
	ID    int64 // of what was made or changed; only with Done
	// Reason is what the desk said, for people; only with Failed.
	Reason string
	// Duplicate: the item failed because it exists already, as far as the answer can be understood.
	Duplicate bool
}

// maxRows bounds how many rows are looked at; a job has at most 100 items.
const maxRows = 1000

// Rows reads the results of a finished job and returns one Row per item of its request. ids are the items' own ids
// where the request named some (changes, deletions), else zeros: creations.
//
// Zendesk documents three kinds of rows (JobStatusResultObject of its OpenAPI description) and an object in place of
// all of them; others have been seen. A row is matched by its index, else by its id, else by its place when there are
// as many rows as items. What is contradictory, or out of range, makes items Unknown, never Done.
func Rows(results []byte, ids []int64) []Row {
	rows := make([]Row, len(ids))
	var raw []json.RawMessage
	if err := json.Unmarshal(results, &raw); err != nil || len(raw) > maxRows {
		return rows // an object {success}, null, or something new: it says nothing about single items
	}
	parsed := make([]row, len(raw))
	for i, text := range raw {
		parsed[i] = parseRow(text)
		if index := parsed[i].index; index != nil && (*index < 0 || *index >= len(ids)) {
			return make([]Row, len(ids)) // counted in some other way: then no index can be believed
		}
	}
	places := map[int64]int{}
	for i, id := range ids {
		if id != 0 {
			places[id] = i
		}
	}
	hits := make([]int, len(ids))
	made := map[int64]int{}
	for i, r := range parsed {
		place, ok := r.place(i, len(parsed) == len(ids), places)
		if !ok {
			continue
		}
		hits[place]++
		rows[place] = r.judge(ids[place])
		if rows[place].State == Done {
			made[rows[place].ID]++
		}
	}
	for i := range rows {
		// Two rows for one item, or one id for two items: one of them is wrong, and nobody can say which.
		if hits[i] > 1 || (rows[i].State == Done && made[rows[i].ID] > 1) {
			rows[i] = Row{}
		}
	}
	return rows
}

type row struct {
	valid     bool
	index     *int
	id        int64
	success   *bool
	status    string
	problem   string
	duplicate bool
}

func parseRow(text []byte) row {
	var fields struct {
		Index   *json.Number    `json:"index"`
		ID      json.RawMessage `json:"id"`
		Success *bool           `json:"success"`
		Status  any             `json:"status"`
		Error   any             `json:"error"`
		Errors  any             `json:"errors"`
		Details any             `json:"details"`
	}
	if err := json.Unmarshal(text, &fields); err != nil {
		return row{}
	}
	r := row{valid: true, id: number(fields.ID), success: fields.Success}
	if fields.Index != nil {
		index, err := strconv.Atoi(fields.Index.String())
		if err != nil {
			return row{}
		}
		r.index = &index
	}
	r.status, _ = fields.Status.(string)
	spoken := append(sentences(fields.Error), sentences(fields.Errors)...)
	if len(spoken) > 0 || failedStatus(r.status) || (r.success != nil && !*r.success) {
		spoken = append(spoken, sentences(fields.Details)...)
		r.problem = tidy(strings.Join(unique(spoken), ": "))
		if r.problem == "" {
			r.problem = "no reason given"
		}
		r.duplicate = saysDuplicate(r.problem)
	}
	return r
}

// place says which item the row is about.
func (r row) place(at int, inOrder bool, places map[int64]int) (int, bool) {
	switch {
	case !r.valid:
		return 0, false
	case r.index != nil:
		return *r.index, true
	}
	if place, ok := places[r.id]; ok {
		return place, true
	}
	// A row with a foreign id, in a request whose items all have ids, is about something else.
	if len(places) > 0 && r.id != 0 && r.problem == "" {
		return 0, false
	}
	return at, inOrder
}

// judge says what the row means for an item, whose own id is given where it has one.
func (r row) judge(item int64) Row {
	switch {
	case r.problem != "":
		return Row{State: Failed, Reason: r.problem, Duplicate: r.duplicate}
	case r.success == nil && !doneStatus(r.status) && r.status != "":
		return Row{} // a status that we do not know
	case item != 0 && r.id != 0 && r.id != item:
		return Row{}
	case item == 0 && r.id <= 1:
		// A row for an invalid address was seen as "id: 1" without an error (zendesk-java-client issue 325).
		return Row{}
	case item != 0 && r.id == 0 && r.success == nil && r.status == "":
		return Row{}
	}
	id := r.id
	if id == 0 {
		id = item
	}
	return Row{State: Done, ID: id}
}

func failedStatus(status string) bool { return strings.EqualFold(status, "failed") }

func doneStatus(status string) bool {
	switch strings.ToLower(status) {
	case "created", "updated", "deleted":
		return true
	}
	return false
}

// number reads an id that is written as a number or as a text; 0 for anything else.
func number(raw json.RawMessage) int64 {
	text := string(bytes.Trim(raw, `"`))
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 0 {
		return 0
	}
	return id
}
