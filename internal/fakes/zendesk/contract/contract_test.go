package contract_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"contactsync/internal/fakes/zendesk/contract"
)

// probe is a test whose failures are collected instead of failing.
type probe struct {
	testing.TB
	failures []string
}

func (p *probe) Errorf(format string, args ...any) {
	p.failures = append(p.failures, fmt.Sprintf(format, args...))
}

// The checker lets good exchanges through untouched, and names what is wrong with bad ones.
func TestMiddleware(t *testing.T) {
	t.Parallel()
	const user = `{"user":{"id":1,"name":"Ada","email":"ada@example.com"}}`
	for _, test := range []struct {
		name, method, target, body string
		status                     int
		answer                     string
		want                       string // part of the failure; "" for none
	}{
		{"good", "GET", "/api/v2/users/1", "", 200, user, ""},
		{"with suffix", "GET", "/api/v2/users/1.json", "", 200, user, ""},
		{"good write", "POST", "/api/v2/users", `{"user":{"name":"Ada"}}`, 201, user, ""},
		{"cursor paging", "GET", "/api/v2/users?page[size]=100&page[after]=x", "", 200, `{"users":[]}`, ""},
		{"offset paging", "GET", "/api/v2/users?page=2&per_page=100", "", 200, `{"users":[]}`, ""},
		{"undescribed status", "GET", "/api/v2/users/1", "", 404, `{"error":"RecordNotFound"}`, ""},
		{"comma separated ids", "DELETE", "/api/v2/organization_memberships/destroy_many?ids=1,2", "", 200, `{"job_status":{"id":"x","results":null}}`, ""},

		{"unknown endpoint", "GET", "/api/v2/people", "", 200, `{}`, "not described"},
		{"wrong verb", "PATCH", "/api/v2/users/1", `{"user":{}}`, 200, user, "no PATCH is described"},
		{"id that is no number", "GET", "/api/v2/users/ada", "", 200, user, "user_id"},
		{"ignored filter", "GET", "/api/v2/users?email=ada@example.com", "", 200, `{"users":[]}`, `"email" is not described`},
		{"missing parameter", "GET", "/api/v2/search", "", 200, `{"results":[]}`, "query"},
		{"no wrapper", "POST", "/api/v2/users", `{"name":"Ada"}`, 201, user, "user"},
		{"no name", "POST", "/api/v2/users", `{"user":{"name":7}}`, 201, user, "at /user"},
		{"no body", "POST", "/api/v2/organization_memberships", "", 201, `{}`, "request"},
		{"unwanted field", "POST", "/api/v2/organization_memberships", `{"organization_membership":{"user_id":1,"organization_id":2,"id":3}}`, 201, `{}`, "id"},
		{"too many", "POST", "/api/v2/organization_memberships/create_many",
			`{"organization_memberships":[` + strings.Repeat(`{"user_id":1,"organization_id":2},`, 100) + `{"user_id":1,"organization_id":2}]}`, 200, `{"job_status":{"id":"x"}}`, "100"},
		{"body where none belongs", "DELETE", "/api/v2/organization_memberships/1", `{"ids":[1]}`, 204, "", "none is described"},
		{"token for too long", "POST", "/oauth/tokens", `{"grant_type":"client_credentials","client_id":"a","client_secret":"b","scope":"read","expires_in":172800}`, 201, `{}`, "expires_in"},

		{"answer of another type", "GET", "/api/v2/users/1", "", 200, `{"user":{"id":"1","name":"Ada"}}`, "answer 200"},
		{"answer without what is required", "GET", "/api/v2/organization_memberships/1", "", 200, `{"organization_membership":{"user_id":1}}`, "organization_id"},
		{"answer that is no JSON", "GET", "/api/v2/users/1", "", 200, `<html>`, "answer 200"},
		{"job row of no known kind", "GET", "/api/v2/job_statuses/x", "", 200, `{"job_status":{"results":[{"status":"Created"}]}}`, "results"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := &probe{TB: t}
			handler := contract.Middleware(p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if got, err := io.ReadAll(r.Body); err != nil || string(got) != test.body {
					t.Errorf("the handler got %q, %v", got, err)
				}
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(test.status)
				if test.answer != "" {
					_, _ = io.WriteString(w, test.answer)
				}
			}))
			request := httptest.NewRequest(test.method, test.target, strings.NewReader(test.body))
			request.Header.Set("Content-Type", "application/json")
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, request)
			if recorder.Code != test.status || recorder.Body.String() != test.answer {
				t.Errorf("the client got %d %q", recorder.Code, recorder.Body)
			}
			all := strings.Join(p.failures, "\n")
			if test.want == "" && all != "" || test.want != "" && !strings.Contains(all, test.want) {
				t.Errorf("failures %q, want %q", all, test.want)
			}
		})
	}
}
