// Package contract holds requests and answers of GitLab's API against GitLab's own description of it, so that a
// stand-in and a client cannot merely agree with each other.
//
// The description is the file gitlab-openapi.yaml that GitLab generates (Swagger 2.0). Where it is known to be wrong, or
// behind the documentation, it is mended here, each time with the reason.
package contract

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"go.yaml.in/yaml/v3"
)

// Environment is the variable that names the folder of the descriptions.
const Environment = "CONTACTSYNC_SPECS"

// Spec is the description, ready to be held against.
type Spec struct{ router routers.Router }

// once reads the description, which takes about 0.2 s, no more than once in a test binary.
var once = sync.OnceValues(func() (*Spec, error) {
	return Load(filepath.Join(os.Getenv(Environment), "gitlab-openapi.yaml"))
})

// FromEnvironment returns the description, or skips the test when the variable does not name its folder.
func FromEnvironment(t testing.TB) *Spec {
	t.Helper()
	if os.Getenv(Environment) == "" {
		t.Skipf("skipped: %s does not name the folder with gitlab-openapi.yaml, so nothing is held against GitLab's own description", Environment)
	}
	spec, err := once()
	if err != nil {
		t.Fatal(err)
	}
	return spec
}

// operations are the addresses that are kept of the 861 that GitLab describes.
var operations = []string{
	"/api/v4/projects/{id}", "/api/v4/projects/{id}/hooks", "/api/v4/projects/{id}/hooks/{hook_id}",
	"/api/v4/projects/{id}/hooks/{hook_id}/events", "/api/v4/projects/{id}/hooks/{hook_id}/events/{hook_log_id}/resend",
	"/api/v4/projects/{id}/hooks/{hook_id}/test/{trigger}", "/api/v4/personal_access_tokens/self", "/api/v4/version",
	"/api/v4/projects/{id}/protected_branches", "/api/v4/projects/{id}/protected_branches/{name}",
	"/api/v4/projects/{id}/members", "/api/v4/projects/{id}/members/all", "/api/v4/projects/{id}/members/{user_id}",
	"/api/v4/projects/{id}/invitations", "/api/v4/projects/{id}/invitations/{email}",
	"/api/v4/namespaces/{id}", "/api/v4/namespaces/{id}/gitlab_subscription", "/api/v4/groups/{id}/members/all",
	"/api/v4/projects", "/api/v4/projects/{id}/restore", "/api/v4/groups/{id}/projects",
	"/api/v4/projects/{id}/repository/branches/{branch}", "/api/v4/projects/{id}/statuses/{sha}",
	"/api/v4/projects/{id}/repository/commits/{sha}/statuses", "/api/v4/projects/{id}/badges",
	"/api/v4/projects/{id}/badges/{badge_id}", "/api/v4/projects/{id}/merge_requests/{merge_request_iid}",
}

// missing are addresses that GitLab's description leaves out; what is said there is held against nothing.
// Source: docs.gitlab.com/api/users, "List users".
var missing = []string{"/api/v4/users"}

// Load reads the description from a file.
func Load(file string) (*Spec, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading GitLab's description: %w", err)
	}
	var whole struct {
		Swagger     string                    `yaml:"swagger" json:"swagger"`
		Info        map[string]any            `yaml:"info" json:"info"`
		Paths       map[string]any            `yaml:"paths" json:"paths"`
		Definitions map[string]map[string]any `yaml:"definitions" json:"definitions"`
	}
	if err := yaml.Unmarshal(data, &whole); err != nil {
		return nil, fmt.Errorf("reading GitLab's description: %w", err)
	}
	paths := make(map[string]any)
	for _, path := range operations {
		if whole.Paths[path] == nil {
			return nil, fmt.Errorf("GitLab's description has no %s", path)
		}
		paths[path] = whole.Paths[path]
	}
	whole.Paths = paths
	if err := mendPaths(paths); err != nil {
		return nil, err
	}
	addDiscussions(paths, whole.Definitions)
	used := make(map[string]map[string]any)
	collect(paths, whole.Definitions, used)
	whole.Definitions = used
	for _, definition := range whole.Definitions {
		mend(definition)
	}
	if err := mendKnown(whole.Definitions); err != nil {
		return nil, err
	}
	if data, err = json.Marshal(whole); err != nil {
		return nil, fmt.Errorf("preparing GitLab's description: %w", err)
	}
	var old openapi2.T
	if err := json.Unmarshal(data, &old); err != nil {
		return nil, fmt.Errorf("preparing GitLab's description: %w", err)
	}
	described, err := openapi2conv.ToV3(&old)
	if err != nil {
		return nil, fmt.Errorf("converting GitLab's description: %w", err)
	}
	separate(described)
	strict(described)
	described.Servers = nil // the path alone decides
	router, err := legacy.NewRouter(described, openapi3.DisableExamplesValidation())
	if err != nil {
		return nil, fmt.Errorf("checking GitLab's description: %w", err)
	}
	return &Spec{router: router}, nil
}

// collect gathers the definitions that are referred to, directly or through others: some of the rest are malformed.
func collect(node any, from, into map[string]map[string]any) {
	switch node := node.(type) {
	case map[string]any:
		for key, child := range node {
			reference, _ := child.(string)
			name, ok := strings.CutPrefix(reference, "#/definitions/")
			if key == "$ref" && ok && into[name] == nil && from[name] != nil {
				into[name] = from[name]
				collect(from[name], from, into)
			}
			collect(child, from, into)
		}
	case []any:
		for _, child := range node {
			collect(child, from, into)
		}
	}
}

// mend repairs what the generator gets wrong throughout: lists without a type of their items, types of Ruby's.
func mend(node any) {
	switch node := node.(type) {
	case map[string]any:
		if node["type"] == "array" && node["items"] == nil {
			node["items"] = map[string]any{}
		}
		if node["type"] == "symbol" || node["type"] == "text" {
			node["type"] = "string"
		}
		for _, child := range node {
			mend(child)
		}
	case []any:
		for _, child := range node {
			mend(child)
		}
	}
}

// mendKnown repairs single properties, after the prose of the documentation and its samples.
func mendKnown(definitions map[string]map[string]any) error {
	number := map[string]any{"type": "integer"}
	flag := map[string]any{"type": "boolean"}
	text := map[string]any{"type": "string"}
	object := func(properties map[string]any) map[string]any {
		return map[string]any{"type": "object", "properties": properties}
	}
	known := []struct {
		definition, property string
		schema               map[string]any
	}{
		// docs.gitlab.com/api/project_webhooks shows numbers, and the properties that came with 17.1 and 19.0.
		{"API_Entities_ProjectHook", "id", number},
		{"API_Entities_ProjectHook", "project_id", number},
		{"API_Entities_ProjectHook", "token_present", flag},
		{"API_Entities_ProjectHook", "signing_token_present", flag},
		{"postApiV4ProjectsIdHooks", "signing_token", map[string]any{"type": "string"}},
		{"postApiV4ProjectsIdHooks", "resource_deploy_token_events", flag},
		// docs.gitlab.com/api/projects shows numbers.
		{"API_Entities_ProjectAccess", "access_level", number},
		{"API_Entities_ProjectAccess", "notification_level", number},
		{"API_Entities_GroupAccess", "access_level", number},
		{"API_Entities_GroupAccess", "notification_level", number},
		// docs.gitlab.com/api/personal_access_tokens shows a day.
		{"API_Entities_PersonalAccessTokenWithLastUsedIps", "expires_at", map[string]any{"type": "string", "format": "date"}},
		// docs.gitlab.com/api/group_members shows numbers.
		{"API_Entities_Member", "access_level", number},
		// docs.gitlab.com/api/invitations shows numbers, and what inviting is answered with: the description says that it is
		// an invitation.
		{"API_Entities_Invitation", "access_level", number},
		{"API_Entities_Invitation", "status", text},
		{"API_Entities_Invitation", "message", map[string]any{}},
		{"API_Entities_Invitation", "queued_users", map[string]any{}},
		// docs.gitlab.com/api/project_badges shows a number.
		{"API_Entities_Badge", "id", number},
		// docs.gitlab.com/api/merge_requests shows numbers and booleans.
		{"API_Entities_MergeRequest", "source_project_id", number},
		{"API_Entities_MergeRequest", "target_project_id", number},
		{"API_Entities_MergeRequest", "user_notes_count", number},
		{"API_Entities_MergeRequest", "upvotes", number},
		{"API_Entities_MergeRequest", "downvotes", number},
		{"API_Entities_MergeRequest", "draft", flag},
		{"API_Entities_MergeRequest", "work_in_progress", flag},
		{"API_Entities_MergeRequest", "merge_when_pipeline_succeeds", flag},
		{"API_Entities_MergeRequest", "has_conflicts", flag},
		{"API_Entities_MergeRequest", "blocking_discussions_resolved", flag},
		// Published answers show numbers and booleans.
		{"API_Entities_GitlabSubscription", "plan", object(map[string]any{"code": text, "name": text, "trial": flag,
			"auto_renew": flag, "upgradable": flag, "exclude_guests": flag})},
		{"API_Entities_GitlabSubscription", "usage", object(map[string]any{"seats_in_subscription": number, "seats_in_use": number,
			"max_seats_used": number, "seats_owed": number})},
	}
	for _, k := range known {
		properties, ok := definitions[k.definition]["properties"].(map[string]any)
		if !ok {
			return fmt.Errorf("GitLab's description has no %s any more", k.definition)
		}
		properties[k.property] = k.schema
	}
	return nil
}

// mendPaths repairs single operations.
func mendPaths(paths map[string]any) error {
	operation := func(path, method string) map[string]any {
		item, _ := paths[path].(map[string]any)
		found, _ := item[method].(map[string]any)
		return found
	}
	// docs.gitlab.com/api/branches: a branch is asked for by its name.
	named := false
	parameters, _ := operation("/api/v4/projects/{id}/repository/branches/{branch}", "get")["parameters"].([]any)
	for _, parameter := range parameters {
		if p, ok := parameter.(map[string]any); ok && p["name"] == "branch" {
			p["type"], named = "string", true
			delete(p, "format")
		}
	}
	// GitLab's lib/api/commit_statuses.rb answers as every other POST does, with 201.
	answers, ok := operation("/api/v4/projects/{id}/statuses/{sha}", "post")["responses"].(map[string]any)
	if !named || !ok {
		return errors.New("GitLab's description of branches or statuses is another one by now")
	}
	answers["201"] = answers["200"]
	return nil
}

// addDiscussions adds what GitLab's description leaves out altogether.
// Source: docs.gitlab.com/api/discussions; GitLab's lib/api/discussions.rb, lib/api/entities/discussion.rb and note.rb.
func addDiscussions(paths map[string]any, definitions map[string]map[string]any) {
	type object = map[string]any
	of := func(kind string) object { return object{"type": kind} }
	reference := func(name string) object { return object{"$ref": "#/definitions/" + name} }
	text, number, flag, person := of("string"), of("integer"), of("boolean"), reference("API_Entities_UserBasic")
	definitions["Note"] = object{"type": "object", "required": []any{"id", "body", "author", "system"}, "properties": object{
		"id": number, "type": text, "body": text, "author": person, "created_at": text, "updated_at": text, "system": flag,
		"project_id": number, "resolvable": flag, "resolved": flag, "resolved_by": person,
		"resolved_at": text, "confidential": flag, "internal": flag, "imported": flag, "imported_from": text,
		"commands_changes": of("object"), "noteable_id": number, "noteable_type": text, "noteable_iid": number, //nolint:misspell // GitLab's word
	}}
	definitions["Discussion"] = object{"type": "object", "required": []any{"id", "notes"}, "properties": object{
		"id": text, "individual_note": flag, "notes": object{"type": "array", "items": reference("Note")}}}
	definitions["postDiscussion"] = object{"type": "object", "required": []any{"body"}, "properties": object{"body": text, "created_at": text}}
	definitions["putNote"] = object{"type": "object", "properties": object{"body": text, "resolved": flag}}
	definitions["putDiscussion"] = object{"type": "object", "required": []any{"resolved"}, "properties": object{"resolved": flag}}

	operation := func(path string, in []any, status string, answer object) object {
		for part := range strings.SplitSeq(path, "/") {
			if name, ok := strings.CutPrefix(part, "{"); ok {
				in = append(in, object{"in": "path", "name": strings.TrimSuffix(name, "}"), "type": "string", "required": true})
			}
		}
		response := object{"description": "as documented"}
		if answer != nil {
			response["schema"] = answer
		}
		return object{"parameters": in, "consumes": []any{"application/json"}, "produces": []any{"application/json"}, "responses": object{status: response}}
	}
	body := func(name string) []any {
		return []any{object{"in": "body", "name": "body", "required": true, "schema": reference(name)}}
	}
	for _, about := range []string{"/api/v4/projects/{id}/repository/commits/{sha}", "/api/v4/projects/{id}/merge_requests/{merge_request_iid}"} {
		list, one, note := about+"/discussions", about+"/discussions/{discussion_id}", about+"/discussions/{discussion_id}/notes/{note_id}"
		paging := []any{object{"in": "query", "name": "page", "type": "integer"}, object{"in": "query", "name": "per_page", "type": "integer"}}
		paths[list] = object{
			"get":  operation(list, paging, "200", object{"type": "array", "items": reference("Discussion")}),
			"post": operation(list, body("postDiscussion"), "201", reference("Discussion")),
		}
		paths[note] = object{"put": operation(note, body("putNote"), "200", reference("Note")), "delete": operation(note, nil, "204", nil)}
		read := object{"get": operation(one, nil, "200", reference("Discussion"))}
		if strings.HasSuffix(about, "{merge_request_iid}") {
			read["put"] = operation(one, body("putDiscussion"), "200", reference("Discussion"))
		}
		paths[one] = read
	}
}

// separate says what the conversion forgets: lists in a query are separated by commas (Swagger 2.0, "collectionFormat").
func separate(described *openapi3.T) {
	together := false
	for _, path := range described.Paths.Map() {
		for _, operation := range path.Operations() {
			for _, parameter := range operation.Parameters {
				if parameter.Value.In == "query" && parameter.Value.Schema.Value.Type.Is("array") {
					parameter.Value.Style, parameter.Value.Explode = "form", &together
				}
			}
		}
	}
}

// strict lets null stand for every value, which the generator never says and GitLab often does, and refuses properties
// that are not described, which would be the stand-in's own inventions.
func strict(described *openapi3.T) {
	for _, schema := range described.Components.Schemas {
		strictly(schema)
	}
}

func strictly(schema *openapi3.SchemaRef) {
	if schema.Value == nil || !schema.Value.Type.Is("object") || len(schema.Value.Properties) == 0 {
		return
	}
	forbidden := false
	schema.Value.Nullable = true
	schema.Value.AdditionalProperties = openapi3.AdditionalProperties{Has: &forbidden}
	for _, property := range schema.Value.Properties {
		property.Value.Nullable = true
		if property.Ref == "" { // what is referred to has its own turn
			strictly(property)
		}
	}
}

// Transport is a RoundTripper that reports every request to the API, and every answer, which is not as described.
func (s *Spec) Transport(next http.RoundTripper, report func(error)) http.RoundTripper {
	return transport{spec: s, next: next, report: report}
}

type transport struct {
	spec   *Spec
	next   http.RoundTripper
	report func(error)
}

func (t transport) RoundTrip(request *http.Request) (*http.Response, error) {
	var body []byte
	if request.Body != nil {
		var err error
		if body, err = io.ReadAll(request.Body); err != nil {
			return nil, err
		}
		request = request.Clone(request.Context())
		request.Body = io.NopCloser(bytes.NewReader(body))
	}
	response, err := t.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(response.Body)
	response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(answer))
	if err != nil {
		return response, err
	}
	if err := t.spec.Check(request, body, response, answer); err != nil {
		t.report(fmt.Errorf("%s %s: %w", request.Method, request.URL.Path, err))
	}
	return response, nil
}

// Check holds one request and its answer against the description.
func (s *Spec) Check(request *http.Request, body []byte, response *http.Response, answer []byte) error {
	checked := request.Clone(context.Background())
	checked.Body = io.NopCloser(bytes.NewReader(body))
	// A project may be named by its encoded path, which the router must see as one part.
	checked.URL.Path, checked.URL.RawPath = strings.ReplaceAll(checked.URL.EscapedPath(), "%2F", "-"), ""
	if slices.Contains(missing, checked.URL.Path) {
		return nil
	}
	route, parameters, err := s.router.FindRoute(checked)
	if err != nil {
		return fmt.Errorf("the request: %w", err)
	}
	options := &openapi3filter.Options{
		AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, MultiError: true, IncludeResponseStatus: true,
	}
	input := &openapi3filter.RequestValidationInput{Request: checked, PathParams: parameters, Route: route, Options: options}
	if response.StatusCode < 400 { // what GitLab refuses need not be as it should
		if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
			return fmt.Errorf("the request: %w", err)
		}
	}
	if slices.Contains(undescribed, response.StatusCode) {
		return nil
	}
	output := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: response.StatusCode, Header: response.Header, Options: options}
	output.SetBodyBytes(answer)
	if err := openapi3filter.ValidateResponse(context.Background(), output); err != nil {
		return fmt.Errorf("the answer: %w", err)
	}
	return nil
}

// undescribed are statuses that the description leaves out for most operations.
// Source: docs.gitlab.com/api/rest/troubleshooting, "Status codes".
var undescribed = []int{
	http.StatusMovedPermanently, http.StatusMethodNotAllowed,
	http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound,
	http.StatusUnprocessableEntity, http.StatusTooManyRequests, http.StatusConflict, http.StatusInternalServerError,
}
