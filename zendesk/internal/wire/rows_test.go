package wire_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"contactsync/zendesk/internal/wire"

	"pgregory.net/rapid"
)

func done(id int64) wire.Row        { return wire.Row{State: wire.Done, ID: id} }
func failed(reason string) wire.Row { return wire.Row{State: wire.Failed, Reason: reason} }
func duplicate(reason string) wire.Row {
	return wire.Row{State: wire.Failed, Reason: reason, Duplicate: true}
}

// Every shape of rows that is documented or has been seen is read for what it says, and for no more.
func TestRows(t *testing.T) {
	unknown := wire.Row{}
	created := []int64{0, 0}   // items of a request without ids
	changed := []int64{51, 52} // items that the request named
	for name, test := range map[string]struct {
		results string
		ids     []int64
		want    []wire.Row
	}{
		"created":                    {`[{"id":7,"index":0},{"id":8,"index":1}]`, created, []wire.Row{done(7), done(8)}},
		"created, out of order":      {`[{"id":8,"index":1},{"id":7,"index":0}]`, created, []wire.Row{done(7), done(8)}},
		"created, one missing":       {`[{"id":8,"index":1}]`, created, []wire.Row{unknown, done(8)}},
		"created, no index":          {`[{"id":7,"status":"Created"},{"id":8,"status":"Created"}]`, created, []wire.Row{done(7), done(8)}},
		"created, no index, missing": {`[{"id":7,"status":"Created"}]`, created, []wire.Row{unknown, unknown}},
		"id as text":                 {`[{"id":"7","index":0},{"id":8,"index":1}]`, created, []wire.Row{done(7), done(8)}},
		"counted from one":           {`[{"id":7,"index":1},{"id":8,"index":2}]`, created, []wire.Row{unknown, unknown}},
		"negative index":             {`[{"id":7,"index":-1},{"id":8,"index":1}]`, created, []wire.Row{unknown, unknown}},
		"index with a fraction":      {`[{"id":7,"index":0.5},{"id":8,"index":1}]`, created, []wire.Row{unknown, done(8)}},
		"same index":                 {`[{"id":7,"index":0},{"id":8,"index":0}]`, created, []wire.Row{unknown, unknown}},
		"same id":                    {`[{"id":7,"index":0},{"id":7,"index":1}]`, created, []wire.Row{unknown, unknown}},
		"the odd id 1":               {`[{"id":1,"index":0},{"id":8,"index":1}]`, created, []wire.Row{unknown, done(8)}},
		"no id":                      {`[{"index":0},{"id":null,"index":1}]`, created, []wire.Row{unknown, unknown}},
		"failed, documented": {
			`[{"id":0,"action":"create","error":"UserCreateError","details":"Email: x is already being used by another user","success":false},{"id":8,"index":1}]`,
			created, []wire.Row{duplicate("UserCreateError: Email: x is already being used by another user"), done(8)},
		},
		"failed, index": {`[{"index":1,"error":"InvalidEmail","details":"Email: y is not valid."},{"id":7,"index":0}]`, created,
			[]wire.Row{done(7), failed("InvalidEmail: Email: y is not valid")}},
		"failed, errors": {`[{"index":0,"errors":[{"email":"DuplicateValue"}]},{"index":1,"errors":"no"}]`, created,
			[]wire.Row{duplicate("DuplicateValue"), failed("no")}},
		"failed, status alone":  {`[{"status":"Failed"},{"status":"Created","id":8}]`, created, []wire.Row{failed("no reason given"), done(8)}},
		"failed, success alone": {`[{"success":false,"index":0},{"success":true,"id":8,"index":1}]`, created, []wire.Row{failed("no reason given"), done(8)}},
		"unknown status":        {`[{"id":7,"status":"Postponed"},{"id":8,"status":"Created"}]`, created, []wire.Row{unknown, done(8)}},
		"empty row":             {`[{},{"id":8,"index":1}]`, created, []wire.Row{unknown, done(8)}},
		"row that is no object": {`[7,{"id":8,"index":1}]`, created, []wire.Row{unknown, done(8)}},

		"changed": {`[{"id":51,"action":"update","status":"Updated","success":true},{"id":52,"action":"update","status":"Updated","success":true}]`,
			changed, []wire.Row{done(51), done(52)}},
		"changed, out of order": {`[{"id":52,"status":"Deleted","success":true},{"id":51,"status":"Deleted","success":true}]`, changed, []wire.Row{done(51), done(52)}},
		"changed, one alone":    {`[{"id":52,"status":"Deleted","success":true}]`, changed, []wire.Row{unknown, done(52)}},
		"changed, a stranger":   {`[{"id":99,"status":"Deleted","success":true},{"id":52,"status":"Deleted","success":true}]`, changed, []wire.Row{unknown, done(52)}},
		"changed, id and index disagree": {`[{"id":52,"index":0,"success":true},{"id":52,"index":1,"success":true}]`, changed,
			[]wire.Row{unknown, done(52)}},
		"changed, failed": {`[{"id":51,"action":"update","error":"RecordNotFound","details":"gone","success":false},{"id":52,"success":true}]`, changed,
			[]wire.Row{failed("RecordNotFound: gone"), done(52)}},
		"changed, no ids, in order": {`[{"success":true},{"success":false,"error":"no"}]`, changed, []wire.Row{done(51), failed("no")}},

		"an object for all": {`{"success":true}`, created, []wire.Row{unknown, unknown}},
		"null":              {`null`, created, []wire.Row{unknown, unknown}},
		"nothing":           {``, created, []wire.Row{unknown, unknown}},
		"empty":             {`[]`, created, []wire.Row{unknown, unknown}},
		"too many":          {`[{"id":7},{"id":8},{"id":9}]`, created, []wire.Row{unknown, unknown}},
		"no items":          {`[{"id":7,"index":0}]`, nil, []wire.Row{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := wire.Rows([]byte(test.results), test.ids); !reflect.DeepEqual(got, test.want) {
				t.Errorf("Rows = %+v\nwant   %+v", got, test.want)
			}
		})
	}
}

// Whatever the order of the rows and whichever of them fail, each item gets the word that was meant for it.
func TestRowsOfAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 100).Draw(t, "items")
		want := make([]wire.Row, n)
		rows := make([]map[string]any, n)
		for i := range want {
			switch rapid.SampledFrom([]string{"done", "failed", "missing"}).Draw(t, "row") {
			case "done":
				want[i], rows[i] = done(int64(1000+i)), map[string]any{"id": 1000 + i, "index": i}
			case "failed":
				want[i], rows[i] = failed(fmt.Sprintf("reason %d", i)), map[string]any{"index": i, "error": fmt.Sprintf("reason %d", i)}
			}
		}
		kept := []map[string]any{}
		for _, i := range rapid.Permutation(indexes(n)).Draw(t, "order") {
			if rows[i] != nil {
				kept = append(kept, rows[i])
			}
		}
		text, err := json.Marshal(kept)
		if err != nil {
			t.Fatal(err)
		}
		if got := wire.Rows(text, make([]int64, n)); !reflect.DeepEqual(got, want) {
			t.Fatalf("Rows(%s) = %+v, want %+v", text, got, want)
		}
	})
}

func indexes(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// Of nothing that a desk could answer is an item called done without an id of its own, or a failure left unexplained.
func FuzzRows(f *testing.F) {
	for _, seed := range []string{
		`[{"id":7,"index":0},{"id":8,"index":1}]`, `[{"id":1,"index":0}]`, `{"success":true}`, `[{"status":"Failed","error":"x"}]`,
		`[{"id":51,"action":"delete","status":"Deleted","success":true}]`, `[{"index":1,"errors":[{"a":["b",{"c":1}]}]}]`, `[null,0,""]`,
	} {
		f.Add([]byte(seed), uint8(2), true)
		f.Add([]byte(seed), uint8(2), false)
	}
	f.Fuzz(func(t *testing.T, results []byte, items uint8, named bool) {
		ids := make([]int64, int(items)%101)
		if named {
			for i := range ids {
				ids[i] = int64(50 + i)
			}
		}
		rows := wire.Rows(results, ids)
		if len(rows) != len(ids) {
			t.Fatalf("%d rows for %d items", len(rows), len(ids))
		}
		seen := map[int64]bool{}
		for i, r := range rows {
			switch {
			case r.State == wire.Done && (r.ID <= 0 || r.Reason != "" || seen[r.ID]):
				t.Errorf("item %d: %+v", i, r)
			case r.State == wire.Done && named && r.ID != ids[i]:
				t.Errorf("item %d has the word of item %d", ids[i], r.ID)
			case r.State == wire.Failed && (r.Reason == "" || r.ID != 0):
				t.Errorf("item %d: %+v", i, r)
			case r.State == wire.Unknown && r != (wire.Row{}):
				t.Errorf("item %d: %+v", i, r)
			}
			seen[r.ID] = true
			if r.State == wire.Failed && (len([]rune(r.Reason)) > 301 || strings.ContainsAny(r.Reason, "\n\r\x00")) {
				t.Errorf("item %d: reason %q", i, r.Reason)
			}
		}
	})
}

// Any body of an error becomes one short line that says something.
func FuzzProblem(f *testing.F) {
	for _, seed := range []string{
		`{"error":"RecordInvalid","description":"Record validation errors","details":{"email":[{"description":"Email: x is already being used by another user","error":"DuplicateValue"}]}}`,
		`{"error":{"title":"t","message":"m"}}`, `{"errors":[{"code":"c","title":"t","detail":"d"}]}`, `{"error":"Couldn't authenticate you"}`,
		`{"detail":"d","status":"429","title":"Automated response"}`, `<html>`, ``, `{}`, `[]`, `{"errors":[]}`, `{"errors":[3]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p := wire.ReadProblem(body)
		if p.Reason == "" || len([]rune(p.Reason)) > 301 || strings.ContainsAny(p.Reason, "\n\r\x00") {
			t.Errorf("reason %q", p.Reason)
		}
	})
}

// A taken address is recognised by the desk's code, whatever language its sentence is in, and by the sentence.
func TestProblemDuplicate(t *testing.T) {
	for body, want := range map[string]bool{
		`{"error":"RecordInvalid","details":{"email":[{"description":"E-Mail: x wird bereits verwendet","error":"DuplicateValue"}]}}`: true,
		`{"error":"RecordInvalid","details":{"email":[{"description":"Email: x is already being used by another user"}]}}`:            true,
		`{"error":"RecordInvalid","details":{"email":[{"description":"Email: x is not properly formatted","error":"InvalidValue"}]}}`: false,
	} {
		if p := wire.ReadProblem([]byte(body)); p.Duplicate != want || p.Code != "RecordInvalid" {
			t.Errorf("%s: %+v, want duplicate %v", body, p, want)
		}
	}
}
