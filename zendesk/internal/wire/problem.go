package wire

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// maxReason is how many characters of the desk's words are repeated.
const maxReason = 300

// Problem is an error body, reduced to what matters.
type Problem struct {
	// Code is the desk's own name of the error, such as RecordInvalid; "" where it has none.
	Code string
	// Reason is one plain sentence without a full stop; never empty.
	Reason string
	// Duplicate: the address is in use already.
	Duplicate bool
}

// ReadProblem reads any of the error bodies that Zendesk is known to send: {"error": "X", "description", "details"},
// {"error": {"title", "message"}}, {"errors": [{"code", "title", "detail"}]}, {"error": "some words"}, the
// {"detail", "status", "title"} of its edge protection, and pages that are no JSON at all.
func ReadProblem(body []byte) Problem {
	var fields map[string]any
	if err := json.Unmarshal(body, &fields); err != nil {
		if len(strings.TrimSpace(string(body))) == 0 {
			return Problem{Reason: "no reason given"}
		}
		return Problem{Reason: "the answer is not the desk's own: a page or a text instead of JSON"}
	}
	var problem Problem
	var spoken []string
	if code, ok := fields["error"].(string); ok && isCode(code) {
		problem.Code = code
	}
	if list, ok := fields["errors"].([]any); ok && len(list) > 0 {
		if first, ok := list[0].(map[string]any); ok {
			problem.Code, _ = first["code"].(string)
		}
	}
	for _, key := range []string{"error", "errors", "title", "description", "message", "detail", "details"} {
		spoken = append(spoken, sentences(fields[key])...)
	}
	problem.Reason = tidy(strings.Join(unique(spoken), ": "))
	if problem.Reason == "" {
		problem.Reason = "no reason given"
	}
	problem.Duplicate = saysDuplicate(problem.Reason)
	return problem
}

// JobsFull says that an error body is about the cap of queued and running jobs, which time alone does not lift.
// https://developer.zendesk.com/api-reference/introduction/rate-limits/#job-limit
func JobsFull(body []byte) bool {
	return strings.Contains(string(body), "TooManyJobs") && ReadProblem(body).Code == "TooManyJobs"
}

// isCode tells names such as RecordInvalid from sentences such as "Couldn't authenticate you".
func isCode(text string) bool { return text != "" && !strings.ContainsAny(text, " .") }

// sentences returns the texts inside a decoded JSON value, in a fixed order.
func sentences(value any) []string {
	switch v := value.(type) {
	case string:
		if strings.TrimSpace(v) != "" {
			return []string{strings.TrimSpace(v)}
		}
	case []any:
		var all []string
		for _, element := range v {
			all = append(all, sentences(element)...)
		}
		return all
	case map[string]any:
		keys := make([]string, 0, len(v))
		for key := range v {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		var all []string
		for _, key := range keys {
			all = append(all, sentences(v[key])...)
		}
		return all
	case float64, bool:
		return []string{fmt.Sprint(v)}
	}
	return nil
}

func unique(texts []string) []string {
	var kept []string
	for _, text := range texts {
		if !slices.Contains(kept, text) {
			kept = append(kept, text)
		}
	}
	return kept
}

// tidy makes one short line of foreign words: no control characters, no end of sentence.
func tidy(text string) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	text = strings.TrimRight(strings.Join(strings.Fields(text), " "), ".")
	if runes := []rune(text); len(runes) > maxReason {
		text = string(runes[:maxReason]) + "…"
	}
	return text
}

// saysDuplicate recognises an address that is in use. The code is not translated; the sentence is all that rows of
// jobs carry.
func saysDuplicate(text string) bool {
	text = strings.ToLower(text)
	return strings.Contains(text, "duplicatevalue") || strings.Contains(text, "already being used")
}
