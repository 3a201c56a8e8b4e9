package gitlab_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"contactsync/internal/fakes/gitlab"
)

// ask calls the API and returns an object.
func (h *house) ask(t *testing.T, method, path, body string, status int) map[string]any {
	t.Helper()
	var sent any
	if body != "" {
		sent = json.RawMessage(body)
	}
	got, answer := h.call(t, method, path, sent)
	if got != status {
		t.Fatalf("%s %s answered %d %v, want %d", method, path, got, answer, status)
	}
	object, ok := answer.(map[string]any)
	if !ok {
		t.Fatalf("%s %s answered %v", method, path, answer)
	}
	return object
}

func newOwned(t *testing.T, change func(*gitlab.Options)) (h *house, support, templates, template int64) {
	t.Helper()
	h = newHouse(t, func(o *gitlab.Options) {
		o.Access = gitlab.Owner
		if change != nil {
			change(o)
		}
	})
	template, err := h.CreateProject(gitlab.Project{Path: "support/templates/contacts", DefaultBranch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	h.commit(t, template, gitlab.Commit{Files: map[string]string{"contacts.yaml": "[]"}})
	if templates, err = h.AddGroup("support/templates"); err != nil {
		t.Fatal(err)
	}
	if support, err = h.AddGroup("support"); err != nil {
		t.Fatal(err)
	}
	return h, support, templates, template
}

// TestGroups guards that groups have one number each, however they came to be.
func TestGroups(t *testing.T) {
	h, support, templates, _ := newOwned(t, nil)
	for reference, want := range map[string]int64{"support": support, "support%2Ftemplates": templates, fmt.Sprint(templates): templates} {
		if g := h.ask(t, "GET", "/namespaces/"+reference, "", 200); g["id"] != float64(want) || g["kind"] != "group" {
			t.Errorf("%s is %v, want number %d", reference, g, want)
		}
	}
	if g := h.ask(t, "GET", "/namespaces/support%2Ftemplates", "", 200); g["full_path"] != "support/templates" || g["parent_id"] != float64(support) {
		t.Errorf("the group is %v", g)
	}
	h.ask(t, "GET", "/namespaces/nowhere", "", 404)
	id := h.project(t, "example/sub/one")
	if _, err := h.AddNamespace(gitlab.Namespace{ID: 70, Path: "example"}); err != nil {
		t.Fatal(err)
	}
	if g := h.ask(t, "GET", "/namespaces/example%2Fsub", "", 200); g["parent_id"] != float64(70) {
		t.Errorf("the group is %v", g)
	}
	if _, err := h.AddGroup("a/../b"); err == nil {
		t.Error("a group was added at no path")
	}
	if _, answer := h.call(t, "GET", "/groups/example/projects", nil); fmt.Sprint(answer) != "[]" {
		t.Errorf("the group itself has %v", answer)
	}
	_, answer := h.call(t, "GET", "/groups/example/projects?include_subgroups=true", nil)
	if all, ok := answer.([]any); !ok || len(all) != 1 || !strings.Contains(fmt.Sprint(all[0]), fmt.Sprintf("id:%d", id)) {
		t.Errorf("the group and those below have %v", answer)
	}
}

// TestCreateProjectByAPI guards what can be created, what cannot and how that is said.
func TestCreateProjectByAPI(t *testing.T) {
	h, support, templates, template := newOwned(t, nil)
	made := h.ask(t, "POST", "/projects", fmt.Sprintf(`{"name":"Organization 7","path":"organization-7","namespace_id":%d,"nickname":"x","lfs_enabled":"false"}`, support), 201)
	for key, want := range map[string]any{"path_with_namespace": "support/organization-7", "visibility": "private", "lfs_enabled": false,
		"request_access_enabled": true, "builds_access_level": "enabled", "jobs_enabled": true, "emails_disabled": false, "import_status": "none", "empty_repo": true} {
		if made[key] != want {
			t.Errorf("%s is %v, want %v", key, made[key], want)
		}
	}
	if made["nickname"] != nil || made["permissions"] != nil {
		t.Errorf("it tells %v and %v", made["nickname"], made["permissions"])
	}
	refused := []struct{ body, want string }{
		{`{"name":"Organization 7","path":"organization-7","namespace_id":SUPPORT}`, "map[message:map[name:[has already been taken] path:[has already been taken]]]"},
		{`{"name":"organization 7","path":"other","namespace_id":SUPPORT}`, "map[message:map[name:[has already been taken]]]"},
		{`{"name":"x","path":"-x","namespace_id":SUPPORT}`, "can contain only"},
		{`{"name":"x","namespace_id":1}`, "map[message:map[namespace:[is not valid]]]"},
		{`{"namespace_id":SUPPORT}`, "name, path are missing"},
		{`{"name":"x","namespace_id":SUPPORT,"visibility":"none"}`, "visibility does not have a valid value"},
		{`{"name":"x","namespace_id":SUPPORT,"wiki_access_level":"public"}`, "wiki_access_level does not have a valid value"},
		{`{"name":"x","namespace_id":SUPPORT,"lfs_enabled":"maybe"}`, "lfs_enabled is invalid"},
		{`{"name":"x","namespace_id":SUPPORT,"use_custom_template":true,"template_project_id":TEMPLATE,"group_with_project_templates_id":SUPPORT}`, "is unknown or invalid"},
		{`{"name":"x","namespace_id":TEMPLATES,"use_custom_template":true,"template_project_id":TEMPLATE}`, "is unknown or invalid"},
		{`{"name":"x","namespace_id":OTHER,"use_custom_template":true,"template_project_id":TEMPLATE,"group_with_project_templates_id":TEMPLATES}`, "not a descendant"},
		{`{"name":`, "problem in the JSON"},
	}
	other, err := h.AddGroup("other")
	if err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("SUPPORT", fmt.Sprint(support), "TEMPLATES", fmt.Sprint(templates), "TEMPLATE", fmt.Sprint(template), "OTHER", fmt.Sprint(other))
	for _, r := range refused {
		request, err := http.NewRequest("POST", h.url+"/api/v4/projects", strings.NewReader(fill.Replace(r.body)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("PRIVATE-TOKEN", token)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		var answer any
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 400 || !strings.Contains(fmt.Sprint(answer), r.want) {
			t.Errorf("%s answered %d %v, want %s", r.body, response.StatusCode, answer, r.want)
		}
	}
}

// TestImport guards that a template comes in after the answer, with its settings over those that were given.
func TestImport(t *testing.T) {
	h, support, templates, template := newOwned(t, func(o *gitlab.Options) { o.ImportPolls = -1 })
	h.ask(t, "PUT", fmt.Sprintf("/projects/%d", template), `{"wiki_access_level":"private"}`, 200)
	create := func(name string) (id int64, path string) {
		made := h.ask(t, "POST", "/projects", fmt.Sprintf(`{"name":%q,"namespace_id":%d,"use_custom_template":true,"template_project_id":%d,
			"group_with_project_templates_id":%d,"wiki_access_level":"disabled"}`, name, support, template, templates), 201)
		if made["import_status"] != "scheduled" || made["wiki_access_level"] != "disabled" || made["empty_repo"] != true {
			t.Errorf("made %v", made)
		}
		number, _ := made["id"].(float64)
		return int64(number), fmt.Sprintf("/projects/%v", number)
	}
	id, path := create("one")
	for range 3 {
		if p := h.ask(t, "GET", path, "", 200); p["import_status"] != "started" || p["empty_repo"] != true {
			t.Errorf("it is %v", p["import_status"])
		}
	}
	if err := h.FinishImport(id, ""); err != nil {
		t.Fatal(err)
	}
	if p := h.ask(t, "GET", path, "", 200); p["import_status"] != "finished" || p["wiki_access_level"] != "private" || p["default_branch"] != "main" || p["import_error"] != nil {
		t.Errorf("it is %v", p)
	}
	if file, err := h.File(id, "", "contacts.yaml"); err != nil || file != "[]" {
		t.Errorf("the file is %q, %v", file, err)
	}
	if err := h.FinishImport(id, ""); err == nil {
		t.Error("an import was finished twice")
	}
	id, path = create("two")
	if err := h.FinishImport(id, "too large"); err != nil {
		t.Fatal(err)
	}
	if p := h.ask(t, "GET", path, "", 200); p["import_status"] != "failed" || p["import_error"] != "too large" || p["empty_repo"] != true {
		t.Errorf("it is %v", p)
	}
}

// TestEditProject guards what changing a project changes, ignores and refuses.
func TestEditProject(t *testing.T) {
	h, _, _, template := newOwned(t, nil)
	path := fmt.Sprintf("/projects/%d", template)
	p := h.ask(t, "PUT", path, `{"jobs_enabled":false,"emails_disabled":true,"build_timeout":60,"name":"Contacts","description":"d","visibility":"internal","nickname":1}`, 200)
	for key, want := range map[string]any{"builds_access_level": "disabled", "jobs_enabled": false, "emails_enabled": false, "build_timeout": 60.0,
		"name": "Contacts", "description": "d", "visibility": "internal", "nickname": nil} {
		if p[key] != want {
			t.Errorf("%s is %v, want %v", key, p[key], want)
		}
	}
	h.ask(t, "PUT", path, `{"jobs_enabled":true}`, 200)
	h.commit(t, template, gitlab.Commit{Branch: "next", Files: map[string]string{"a": "1"}})
	if p := h.ask(t, "PUT", path, `{"default_branch":"next"}`, 200); p["default_branch"] != "next" {
		t.Errorf("the default branch is %v", p["default_branch"])
	}
	for body, want := range map[string]string{
		`{"nickname":1}`:                           "at least one parameter",
		`{"default_branch":"none"}`:                "Do you have a branch named 'none'",
		`{"visibility":"none"}`:                    "visibility does not have a valid value",
		`{"build_timeout":"long"}`:                 "build_timeout is invalid",
		`{"jobs_enabled":2}`:                       "jobs_enabled is invalid",
		`{"repository_access_level":"private"}`:    "cannot have higher visibility level",
		`{"name":"Y","wiki_access_level":"never"}`: "wiki_access_level does not have a valid value",
	} {
		if answer := h.ask(t, "PUT", path, body, 400); !strings.Contains(fmt.Sprint(answer), want) {
			t.Errorf("%s answered %v, want %s", body, answer, want)
		}
	}
	if p := h.ask(t, "GET", path, "", 200); p["name"] != "Contacts" || p["repository_access_level"] != "enabled" {
		t.Errorf("what was refused changed the project to %v", p)
	}
}

// TestDeleteProjectByAPI guards that a deletion only marks, frees the path, can be taken back, and takes an owner.
func TestDeleteProjectByAPI(t *testing.T) {
	h, _, _, template := newOwned(t, func(o *gitlab.Options) {
		o.Now = func() time.Time { return time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC) }
	})
	path := fmt.Sprintf("/projects/%d", template)
	if answer := h.ask(t, "DELETE", path, "", 202); fmt.Sprint(answer) != "map[message:202 Accepted]" {
		t.Errorf("it answered %v", answer)
	}
	marked := fmt.Sprintf("support/templates/contacts-deletion_scheduled-%d", template)
	if p := h.ask(t, "GET", path, "", 200); p["path_with_namespace"] != marked || p["name"] != fmt.Sprintf("contacts-deletion_scheduled-%d", template) ||
		p["marked_for_deletion_on"] != "2026-11-21" || p["archived"] != true {
		t.Errorf("it is %v", p)
	}
	// The former path leads there, but for reading only.
	if p := h.ask(t, "GET", "/projects/support%2Ftemplates%2Fcontacts", "", 200); p["path_with_namespace"] != marked {
		t.Errorf("it is %v", p)
	}
	h.ask(t, "DELETE", "/projects/support%2Ftemplates%2Fcontacts", "", 405)
	h.ask(t, "DELETE", path, "", 400)
	h.ask(t, "DELETE", path+"?permanently_remove=true&full_path=support/templates/contacts", "", 400)
	if p := h.ask(t, "POST", path+"/restore", "", 201); p["path_with_namespace"] != "support/templates/contacts" || p["name"] != "contacts" ||
		p["marked_for_deletion_on"] != nil || p["archived"] != false {
		t.Errorf("it is %v", p)
	}
	h.ask(t, "POST", path+"/restore", "", 400)
	h.ask(t, "DELETE", path+"?permanently_remove=true&full_path=support/templates/contacts", "", 400)
	h.ask(t, "DELETE", path, "", 202)
	other := h.project(t, "support/templates/contacts")
	if p := h.ask(t, "GET", "/projects/support%2Ftemplates%2Fcontacts", "", 200); p["id"] != float64(other) {
		t.Errorf("the path leads to %v", p["id"])
	}
	h.ask(t, "POST", path+"/restore", "", 400) // the path has another
	h.ask(t, "DELETE", path+"?permanently_remove=true&full_path="+marked, "", 202)
	h.ask(t, "GET", path, "", 404)

	maintained := newHouse(t, nil)
	path = fmt.Sprintf("/projects/%d", maintained.project(t, "a/b"))
	maintained.ask(t, "DELETE", path, "", 403)
	maintained.ask(t, "POST", path+"/restore", "", 403)
	maintained.ask(t, "PUT", path, `{"lfs_enabled":false}`, 200)
}
