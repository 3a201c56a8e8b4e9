package zendesk

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Zendesk's errors come in several envelopes; each is used where it has been seen.

// failure is {"error": code, "description": text}.
func failure(status int, code, description string) answer {
	return reply(status, map[string]any{"error": code, "description": description})
}

func recordNotFound() answer {
	return failure(http.StatusNotFound, "RecordNotFound", "Not found")
}

// unauthorized is the bare string.
func unauthorized() answer {
	return reply(http.StatusUnauthorized, map[string]any{"error": "Couldn't authenticate you"})
}

// forbidden is the object with title and message.
func forbidden(message string) answer {
	return reply(http.StatusForbidden, map[string]any{
		"error": map[string]any{"title": "Forbidden", "message": message},
	})
}

// listed is the array {"errors": [...]}.
func listed(status int, code, title string) answer {
	return reply(status, map[string]any{
		"errors": []map[string]any{{"code": code, "title": title}},
	})
}

// problem is one entry of a validation's details.
type problem struct {
	field       string
	description string
	code        string
}

func (p *problem) answer() answer {
	return reply(http.StatusUnprocessableEntity, map[string]any{
		"error":       "RecordInvalid",
		"description": "Record validation errors",
		"details": map[string]any{
			p.field: []map[string]any{{"description": p.description, "error": p.code}},
		},
	})
}

func duplicateAddress(address string) *problem {
	return &problem{"email", "Email: " + address + " is already being used by another user", "DuplicateValue"}
}

func blank(field, label string) *problem {
	return &problem{field, label + ": cannot be blank", "BlankValue"}
}

// Small pieces of answers.

// url is the address of a resource: url("users", 1, "identities", 2).
func (c *call) url(parts ...any) string {
	var text strings.Builder
	text.WriteString(c.base + "/api/v2")
	for _, part := range parts {
		fmt.Fprintf(&text, "/%v", part)
	}
	return text.String() + ".json"
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func orNull(id int64) any {
	if id == 0 {
		return nil
	}
	return id
}

func textOrNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func emptyNotNull(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func emptyObject(fields map[string]any) map[string]any {
	if fields == nil {
		return map[string]any{}
	}
	return fields
}

func containsFold(list []string, one string) bool {
	return slices.ContainsFunc(list, func(entry string) bool { return strings.EqualFold(entry, one) })
}

func decimal(id int64) string { return strconv.FormatInt(id, 10) }
