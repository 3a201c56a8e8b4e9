package gitlab_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"contactsync/internal/fakes/gitlab"
	"contactsync/internal/fakes/gitlab/contract"
)

// TestContract guards that every answer of the stand-in's API is as GitLab describes it.
func TestContract(t *testing.T) {
	spec := contract.FromEnvironment(t)
	h := newHouse(t, func(o *gitlab.Options) { o.Access = gitlab.Owner })
	id := h.project(t, "support/organization-42")
	receiver, _ := receiver(t, 200)
	client := http.Client{Transport: spec.Transport(http.DefaultTransport, func(err error) { t.Error(err) })}
	call := func(method, path string, body map[string]any, want int) {
		t.Helper()
		data := []byte("")
		if body != nil {
			var err error
			if data, err = json.Marshal(body); err != nil {
				t.Fatal(err)
			}
		}
		request, err := http.NewRequest(method, h.url+"/api/v4"+path, bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("PRIVATE-TOKEN", token)
		if body != nil {
			request.Header.Set("Content-Type", "application/json")
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s %s answered %d, want %d", method, path, response.StatusCode, want)
		}
	}

	project := fmt.Sprintf("/projects/%d", id)
	call("GET", project, nil, 200) // empty
	h.commit(t, id, gitlab.Commit{Files: map[string]string{"a": "1"}})
	call("GET", project+"?license=true&statistics=false", nil, 200)
	call("GET", "/projects/support%2Forganization-42", nil, 200)
	call("GET", "/projects/99", nil, 404)
	call("GET", "/version", nil, 200)
	call("GET", "/personal_access_tokens/self", nil, 200)
	h.AddUser(gitlab.User{ID: 7, Username: "ada", Name: "Ada Lovelace"})
	for _, n := range []gitlab.Namespace{
		{ID: 70, Path: "example", Subscription: &gitlab.Subscription{Plan: "ultimate", Seats: 60, Ends: "2027-01-31"},
			Members: []gitlab.Member{{User: 7, Level: gitlab.Owner, Address: "ada@example.com"}}},
		{ID: 71, Path: "free"}, {ID: 72, Path: "foreign", Foreign: true}, {ID: 73, Path: "hidden", Hidden: true},
	} {
		if _, err := h.AddNamespace(n); err != nil {
			t.Fatal(err)
		}
	}
	call("GET", "/namespaces/example", nil, 200)
	call("GET", "/namespaces/hidden", nil, 404)
	call("GET", "/namespaces/70/gitlab_subscription", nil, 200)
	call("GET", "/namespaces/71/gitlab_subscription", nil, 200)
	call("GET", "/namespaces/72/gitlab_subscription", nil, 403)
	call("GET", "/groups/example/members/all?user_ids[]=7", nil, 200)
	call("GET", "/groups/foreign/members/all?user_ids[]=7", nil, 404)
	call("GET", "/users?username=Ada", nil, 200)
	call("GET", project+"/protected_branches", nil, 200)
	call("GET", project+"/protected_branches/master", nil, 404)
	call("POST", project+"/protected_branches", map[string]any{"name": "master"}, 201)
	call("POST", project+"/protected_branches", map[string]any{"name": "master"}, 409)
	call("POST", project+"/protected_branches", map[string]any{"name": "release/*", "push_access_level": 0, "merge_access_level": 30,
		"allowed_to_merge": []map[string]any{{"user_id": 7}}, "code_owner_approval_required": true}, 201)
	call("GET", project+"/protected_branches?per_page=1", nil, 200)
	call("GET", project+"/protected_branches/release%2F*", nil, 200)
	call("PATCH", project+"/protected_branches/master", map[string]any{"allow_force_push": true,
		"allowed_to_push": []map[string]any{{"access_level": 30}, {"id": 2, "_destroy": true}}}, 200)
	call("PATCH", project+"/protected_branches/master", map[string]any{"allowed_to_push": []map[string]any{{"access_level": 30}}}, 422)
	call("DELETE", project+"/protected_branches/master", nil, 204)
	call("POST", project+"/invitations", map[string]any{"email": []string{"grace@example.com", "nobody"}, "access_level": 30}, 201)
	call("POST", project+"/invitations", map[string]any{"email": []string{"alan@example.com"}, "access_level": 30}, 201)
	call("POST", project+"/invitations", map[string]any{"email": []string{"ada@example.com"}, "access_level": 30}, 201)
	call("POST", project+"/invitations", map[string]any{"email": []string{"ada@example.com"}}, 400)
	call("GET", project+"/invitations?per_page=100", nil, 200)
	call("PUT", project+"/invitations/alan@example.com", map[string]any{"access_level": 40}, 200)
	call("DELETE", project+"/invitations/grace@example.com", nil, 204)
	call("DELETE", project+"/invitations/grace@example.com", nil, 404)
	call("GET", project+"/members", nil, 200)
	call("GET", project+"/members/all?per_page=100&page=1", nil, 200)
	call("PUT", project+"/members/7", map[string]any{"access_level": 40}, 200)
	call("DELETE", project+"/members/7", nil, 204)
	call("DELETE", project+"/members/7", nil, 404)
	call("GET", project+"/hooks", nil, 200)
	call("POST", project+"/hooks", map[string]any{
		"url": receiver + "/{TOKEN}", "name": "contacts", "push_events": true, "push_events_branch_filter": "master",
		"branch_filter_strategy": "wildcard", "enable_ssl_verification": true, "token": "secret",
		"url_variables":  []map[string]string{{"key": "TOKEN", "value": "x"}},
		"custom_headers": []map[string]string{{"key": "X-Mine", "value": "yes"}},
	}, 201)
	call("POST", project+"/hooks", map[string]any{"url": "nowhere"}, 422)
	call("GET", project+"/hooks?page=1&per_page=50", nil, 200)
	call("GET", project+"/hooks/1", nil, 200)
	call("PUT", project+"/hooks/1", map[string]any{"url": receiver + "/{TOKEN}", "push_events_branch_filter": "ma*"}, 200)
	h.commit(t, id, gitlab.Commit{Files: map[string]string{"a": "2"}})
	h.Settle()
	call("GET", project+"/hooks/1/events?status=successful&per_page=20", nil, 200)
	call("GET", project+"/hooks/1/events?status=client_failure,server_failure", nil, 200)
	call("GET", project+"/hooks/1/events?status=failed", nil, 400)
	call("POST", project+"/hooks/1/events/1/resend", nil, 201)
	call("POST", project+"/hooks/1/events/99/resend", nil, 404)
	call("POST", project+"/hooks/1/test/push_events", nil, 201)
	call("POST", project+"/hooks/1/test/everything", nil, 400)
	for range 3 {
		call("POST", project+"/hooks/1/events/1/resend", nil, 201)
	}
	call("POST", project+"/hooks/1/events/1/resend", nil, 429)
	call("DELETE", project+"/hooks/1", nil, 204)
	committersView(t, h, id, call)
	if err := h.DeleteProject(id); err != nil {
		t.Fatal(err)
	}
	call("GET", project, nil, 200)
	templates, err := h.AddGroup("support/templates")
	if err != nil {
		t.Fatal(err)
	}
	template := h.project(t, "support/templates/contacts")
	h.commit(t, template, gitlab.Commit{Files: map[string]string{"a": "1"}})
	support, err := h.AddGroup("support")
	if err != nil {
		t.Fatal(err)
	}
	call("GET", "/namespaces/support%2Ftemplates", nil, 200)
	call("POST", "/projects", map[string]any{"name": "Organization 7", "path": "organization-7", "namespace_id": support, "visibility": "private",
		"use_custom_template": true, "template_project_id": template, "group_with_project_templates_id": templates, "lfs_enabled": false}, 201)
	call("POST", "/projects", map[string]any{"name": "Organization 7", "namespace_id": support}, 400)
	made := fmt.Sprintf("/projects/%d", template+1)
	call("GET", made, nil, 200)
	call("PUT", made, map[string]any{"builds_access_level": "disabled", "request_access_enabled": false, "build_timeout": 600}, 200)
	call("PUT", made, map[string]any{"builds_access_level": "sometimes"}, 400)
	call("DELETE", made, nil, 202)
	call("DELETE", made, nil, 400)
	call("GET", "/groups/support/projects?per_page=100&page=1&order_by=id&sort=asc&with_shared=false", nil, 200)
	call("GET", "/groups/nowhere/projects", nil, 404)
	call("GET", "/projects/support%2Forganization-7", nil, 200) // by way of where it is now
	call("POST", "/projects/support%2Forganization-7/restore", nil, 405)
	call("POST", made+"/restore", nil, 201)
	call("POST", made+"/restore", nil, 400)
	for _, r := range h.Requests() {
		if r.Status == 0 {
			t.Errorf("%s %s was not answered", r.Method, r.Path)
		}
	}
}

// committersView calls all that tells people what became of their commits.
func committersView(t *testing.T, h *house, id int64, call func(method, path string, body map[string]any, want int)) {
	t.Helper()
	project := fmt.Sprintf("/projects/%d", id)
	head := h.commit(t, id, gitlab.Commit{Branch: "feature/one", From: "master", Files: map[string]string{"b": "1"}})
	request, err := h.OpenMergeRequest(id, gitlab.MergeRequest{SourceBranch: "feature/one"})
	if err != nil {
		t.Fatal(err)
	}
	call("GET", project+"/repository/branches/feature%2Fone", nil, 200)
	call("GET", project+"/repository/branches/nothing", nil, 404)
	statuses := project + "/statuses/" + head
	call("POST", statuses, map[string]any{"state": "pending", "ref": "feature/one", "name": "contacts", "description": "Waits", "target_url": "https://example.com/1"}, 201)
	call("POST", statuses, map[string]any{"state": "pending", "ref": "feature/one", "name": "contacts"}, 400)
	call("POST", statuses, map[string]any{"state": "success", "ref": "feature/one", "name": "contacts"}, 201)
	call("GET", project+"/repository/commits/"+head+"/statuses?all=true&per_page=1", nil, 200)
	call("GET", project+"/merge_requests/1", nil, 200)
	call("GET", project+"/merge_requests/9", nil, 404)
	for _, about := range []string{"/repository/commits/" + head, fmt.Sprintf("/merge_requests/%d", request)} {
		discussions := project + about + "/discussions"
		call("POST", discussions, map[string]any{"body": "Line 3 has no address."}, 201)
		notes, err := h.Notes(id, head)
		if strings.HasPrefix(about, "/merge") {
			notes, err = h.RequestNotes(id, request)
		}
		if err != nil || len(notes) != 1 {
			t.Fatalf("the notes are %+v, %v", notes, err)
		}
		one := discussions + "/" + notes[0].Discussion
		call("GET", discussions+"?page=1&per_page=100", nil, 200)
		call("GET", one, nil, 200)
		if strings.HasPrefix(about, "/merge") {
			call("PUT", one, map[string]any{"resolved": true}, 200)
			call("GET", one, nil, 200)
		}
		note := fmt.Sprintf("%s/notes/%d", one, notes[0].ID)
		call("PUT", note, map[string]any{"body": "All is well."}, 200)
		call("DELETE", note, nil, 204)
		call("PUT", note, map[string]any{"body": "All is well."}, 404)
	}
	call("POST", project+"/badges", map[string]any{"name": "contacts", "link_url": "https://example.com/%{project_path}", "image_url": "https://example.com/a.svg"}, 201)
	call("POST", project+"/badges", map[string]any{"link_url": "javascript:1", "image_url": "https://example.com/a.svg"}, 400)
	call("GET", project+"/badges?name=contacts&page=1&per_page=100", nil, 200)
	call("PUT", project+"/badges/1", map[string]any{"image_url": "https://example.com/b.svg"}, 200)
	call("DELETE", project+"/badges/1", nil, 204)
	if err := h.CloseMergeRequest(id, request); err != nil {
		t.Fatal(err)
	}
	call("GET", project+"/merge_requests/1", nil, 200)
	if err := h.ReopenMergeRequest(id, request); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Merge(id, request, false); err != nil {
		t.Fatal(err)
	}
	call("GET", project+"/merge_requests/1", nil, 200)
}

// TestContractIsStrict guards the guard: what is not as described is reported.
func TestContractIsStrict(t *testing.T) {
	spec := contract.FromEnvironment(t)
	tests := []struct{ name, method, path, body, answer, part string }{
		{"a number as text", "GET", "/api/v4/projects/1", "", `{"id":"1"}`, "id"},
		{"an invented property", "GET", "/api/v4/projects/1", "", `{"id":1,"nickname":"x"}`, "nickname"},
		{"an invented property further in", "GET", "/api/v4/namespaces/1/gitlab_subscription", "", `{"plan":{"nickname":"x"}}`, "nickname"},
		{"not JSON", "GET", "/api/v4/projects/1", "", `<html>`, "invalid"},
		{"an unknown address", "GET", "/api/v4/nothing", "", `{}`, "no matching operation"},
		{"an unknown method", "PATCH", "/api/v4/projects/1", "", `{}`, "no matching operation"},
		{"a wrong kind of value", "POST", "/api/v4/projects/1/hooks", `{"url":1}`, `{}`, "url"},
		{"a missing value", "POST", "/api/v4/projects/1/hooks", `{"name":"x"}`, `{}`, "url"},
		{"an invented value", "POST", "/api/v4/projects/1/hooks", `{"url":"x","address":"y"}`, `{}`, "address"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				if r.Method == "POST" {
					w.WriteHeader(http.StatusCreated)
				}
				w.Write([]byte(test.answer))
			}))
			defer server.Close()
			var reported error
			client := http.Client{Transport: spec.Transport(http.DefaultTransport, func(err error) { reported = errors.Join(reported, err) })}
			request, err := http.NewRequest(test.method, server.URL+test.path, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Content-Type", "application/json")
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if reported == nil || !strings.Contains(reported.Error(), test.part) {
				t.Errorf("it reported %v, want something about %q", reported, test.part)
			}
		})
	}
}
