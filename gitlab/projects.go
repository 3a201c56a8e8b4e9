package gitlab

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	gitlab "gitlab.com/gitlab-org/api/client-go/v2"

	"contactsync"
	"contactsync/outbound"
)

const (
	// projectsPage is how many projects are asked for at once: as many as GitLab gives.
	projectsPage = 100
	// maxProjects bounds an answer with so many, and maxProjectPages a list.
	maxProjects, maxProjectPages = 8 << 20, 100
	// maxSetting bounds the text of a setting.
	maxSetting = 500
)

// DefaultDeletionDays is how long gitlab.com keeps a project that is marked for deletion, and every other GitLab whose
// administrator chose nothing else.
// Source: docs.gitlab.com/user/gitlab_com, and docs.gitlab.com/administration/settings/visibility_and_access_controls,
// "Deletion protection".
const DefaultDeletionDays = 30

// Self returns the number of the account that the token stands for, in one request.
//
// Errors: repository_unreachable, as of CheckToken.
func (c *Client) Self(ctx context.Context) (int64, error) {
	ctx, cancel := c.calling(ctx, maxAnswer)
	defer cancel()
	found, response, err := c.api.PersonalAccessTokens.GetSinglePersonalAccessToken(gitlab.WithContext(ctx))
	switch {
	case err != nil:
		err = c.explain(ctx, response, err)
	case found == nil || found.UserID <= 0:
		err = senseless("it does not say whose the token is")
	default:
		return found.UserID, nil
	}
	return 0, fmt.Errorf("asking GitLab whose the token is: %w", err)
}

// FindProject returns the project at a full path, in one request; false where there is none that the token sees. One
// that was renamed, or is to be deleted and thereby was, is not at its former path any more: it takes a second request,
// because GitLab leads there.
//
// Errors: repository_unreachable.
func (c *Client) FindProject(ctx context.Context, path string) (contactsync.ProjectDetails, bool, error) {
	found, there, err := c.findProject(ctx, path)
	if err != nil {
		return contactsync.ProjectDetails{}, false, fmt.Errorf("looking for project %s: %w", outbound.Clean(path, 200), err)
	}
	return found, there, nil
}

func (c *Client) findProject(ctx context.Context, path string) (contactsync.ProjectDetails, bool, error) {
	if !projectPath.MatchString(path) { // so none has it
		return contactsync.ProjectDetails{}, false, nil
	}
	found, err := c.ask(ctx, http.MethodGet, "projects/"+gitlab.PathEscape(path), nil)
	if contactsync.ClassOf(err) == contactsync.ClassInvalidProjectID {
		return contactsync.ProjectDetails{}, false, nil
	}
	if err != nil || !strings.EqualFold(found.details.Path, path) {
		return contactsync.ProjectDetails{}, false, err
	}
	return found.details, true, nil
}

// ProjectDetails returns the project with that number, also one that is to be deleted, in one request.
//
// Errors: invalid_project_id, repository_unreachable.
func (c *Client) ProjectDetails(ctx context.Context, id int64) (contactsync.ProjectDetails, error) {
	found, err := c.details(ctx, http.MethodGet, id, "", nil)
	if err != nil {
		return contactsync.ProjectDetails{}, fmt.Errorf("reading project %d: %w", id, err)
	}
	return found, nil
}

// GroupProjects returns the projects of a group itself, without those to be deleted, by their numbers. It takes one
// request for a hundred, and Timeout holds for each. A group of more than 10,000 is refused.
//
// Errors: repository_unreachable, also where GitLab shows no such group.
// Source: docs.gitlab.com/api/groups, "List projects".
func (c *Client) GroupProjects(ctx context.Context, group string) ([]contactsync.ProjectDetails, error) {
	var all []contactsync.ProjectDetails
	for page := int64(1); page > 0; {
		found, next, err := c.groupProjects(ctx, group, page)
		if err == nil && next > maxProjectPages {
			err = senseless(fmt.Sprintf("there are more than %d projects", maxProjectPages*projectsPage))
		}
		if err != nil {
			return nil, fmt.Errorf("reading the projects of group %s: %w", outbound.Clean(group, 200), err)
		}
		all, page = append(all, found...), next
	}
	// One that was made or deleted meanwhile moves the others from page to page.
	slices.SortFunc(all, func(a, b contactsync.ProjectDetails) int { return cmp.Compare(a.ID, b.ID) })
	return slices.CompactFunc(all, func(a, b contactsync.ProjectDetails) bool { return a.ID == b.ID }), nil
}

func (c *Client) groupProjects(ctx context.Context, group string, page int64) (found []contactsync.ProjectDetails, next int64, err error) {
	ctx, cancel := c.calling(ctx, maxProjects)
	defer cancel()
	options := struct {
		PerPage    int    `url:"per_page"`
		Page       int64  `url:"page"`
		OrderBy    string `url:"order_by"`
		Sort       string `url:"sort"`
		WithShared bool   `url:"with_shared"`
	}{projectsPage, page, "id", "asc", false}
	var projects []projectAnswer
	response, err := c.send(ctx, http.MethodGet, "groups/"+gitlab.PathEscape(group)+"/projects", options, &projects)
	if errors.Is(err, gitlab.ErrNotFound) && isJSON(response) {
		return nil, 0, c.noGroup(contactsync.ClassRepositoryUnreachable, group)
	}
	if err != nil {
		return nil, 0, c.explain(ctx, response, err)
	}
	for _, p := range projects {
		if err := c.complete(&p); err != nil {
			return nil, 0, err
		}
		if p.details.Deletion == "" {
			found = append(found, p.details)
		}
	}
	if response.NextPage != 0 && response.NextPage <= page {
		return nil, 0, senseless("its pages go round in a circle")
	}
	return found, response.NextPage, nil
}

func (c *Client) noGroup(class contactsync.Class, group string) error {
	return &contactsync.Error{Class: class, Detail: fmt.Sprintf("GitLab at %s has no group %s, or does not show it to the token", c.base.Host, outbound.Clean(group, 200)),
		Remedy: "Check the path of the group, and give the service account a role in it."}
}

// CreateProject makes a private project, in two requests, and in three from a template. One from a template is
// not finished until its Import says so, and has the settings of the template then.
//
// The write is sent once. Where its answer leaves open what became of it, the project is looked for: one that is there
// now is returned, whoever made it. Errors: gitlab_refused, also where group or template are not to be seen, or the
// path or the name is taken; repository_unreachable.
// Source: docs.gitlab.com/api/projects, "Create a project".
func (c *Client) CreateProject(ctx context.Context, project contactsync.NewProject) (contactsync.ProjectDetails, error) {
	made, err := c.createProject(ctx, project)
	if err != nil {
		return contactsync.ProjectDetails{}, fmt.Errorf("making the project %s/%s: %w", outbound.Clean(project.Group, 200), outbound.Clean(project.Path, 200), err)
	}
	return made, nil
}

func (c *Client) createProject(ctx context.Context, project contactsync.NewProject) (contactsync.ProjectDetails, error) {
	none := contactsync.ProjectDetails{}
	path := project.Group + "/" + project.Path
	if !projectPath.MatchString(path) || strings.Contains(project.Path, "/") || strings.TrimSpace(project.Name) == "" {
		return none, contactsync.Errorf(contactsync.ClassGitLabRefused, "no project can have that path or that name")
	}
	body := attributes(project.Settings)
	body["visibility"] = "private" // whatever the settings say
	body["name"], body["path"] = project.Name, project.Path
	var err error
	if body["namespace_id"], err = c.groupNumber(ctx, project.Group); err != nil {
		return none, err
	}
	if project.Template != "" {
		template, err := c.ask(ctx, http.MethodGet, "projects/"+gitlab.PathEscape(project.Template), nil)
		if contactsync.ClassOf(err) == contactsync.ClassInvalidProjectID {
			return none, &contactsync.Error{Class: contactsync.ClassGitLabRefused,
				Detail: fmt.Sprintf("GitLab at %s has no template %s, or does not show it to the token", c.base.Host, outbound.Clean(project.Template, 200)),
				Remedy: "Check the template's path or number, and give the service account a role in its group."}
		}
		if err != nil {
			return none, fmt.Errorf("reading the template: %w", err)
		}
		body["use_custom_template"] = true
		body["template_project_id"], body["group_with_project_templates_id"] = template.details.ID, template.namespace
	}
	made, err := c.ask(ctx, http.MethodPost, "projects", body)
	if err == nil && !strings.EqualFold(made.details.Path, path) {
		err = unsure{senseless(fmt.Sprintf("it is about project %d at %q", made.details.ID, made.details.Path))}
	}
	if errors.As(err, new(unsure)) {
		return c.afterDoubt(ctx, path, err)
	}
	if contactsync.ClassOf(err) == contactsync.ClassInvalidProjectID { // what is not there is the group, or the template
		err = c.noGroup(contactsync.ClassGitLabRefused, project.Group)
	}
	return made.details, err
}

// afterDoubt looks what became of a write whose answer did not tell.
func (c *Client) afterDoubt(ctx context.Context, path string, doubt error) (contactsync.ProjectDetails, error) {
	found, there, err := c.findProject(ctx, path)
	switch {
	case err != nil:
		return found, fmt.Errorf("it is not known whether it was made, because looking for it failed, too (%w): %w", err, doubt)
	case !there:
		return found, fmt.Errorf("nothing was made, as far as GitLab shows: %w", doubt)
	}
	return found, nil
}

// groupNumber looks up a group.
func (c *Client) groupNumber(ctx context.Context, group string) (int64, error) {
	ctx, cancel := c.calling(ctx, maxAnswer)
	defer cancel()
	found, response, err := c.api.Namespaces.GetNamespace(group, gitlab.WithContext(ctx))
	if errors.Is(err, gitlab.ErrNotFound) && isJSON(response) {
		return 0, c.noGroup(contactsync.ClassGitLabRefused, group)
	}
	if err != nil {
		return 0, fmt.Errorf("reading the group: %w", c.explain(ctx, response, err))
	}
	if found == nil || found.ID <= 0 || found.Kind != "group" || !strings.EqualFold(found.FullPath, group) {
		return 0, senseless(fmt.Sprintf("it is not about the group %s", outbound.Clean(group, 200)))
	}
	return found.ID, nil
}

// ChangeSettings writes settings, and returns the project as it is then, in one request that is sent once. Settings that
// this GitLab does not know it ignores, so compare. Where the answer leaves open what became of it, writing them again
// does no harm.
//
// Errors: gitlab_refused, also for values that GitLab does not take, of which no setting changed then;
// invalid_project_id; repository_unreachable. Source: docs.gitlab.com/api/projects, "Update a project".
func (c *Client) ChangeSettings(ctx context.Context, id int64, settings map[string]string) (contactsync.ProjectDetails, error) {
	changed, err := c.details(ctx, http.MethodPut, id, "", attributes(settings))
	if err != nil {
		return contactsync.ProjectDetails{}, fmt.Errorf("changing the settings of project %d: %w", id, err)
	}
	return changed, nil
}

// DeleteProject marks a project for deletion, and never more than that, in one request that is sent once. A second one
// looks whether it is marked, and tells when it is gone: the day is "" where a GitLab before 18.0 removed it at once.
//
// Errors: gitlab_refused, also for a project that is marked already; invalid_project_id; repository_unreachable.
// Source: docs.gitlab.com/api/projects, "Delete a project".
func (c *Client) DeleteProject(ctx context.Context, id int64) (contactsync.Date, error) {
	gone, err := c.deleteProject(ctx, id)
	if err != nil {
		return "", fmt.Errorf("deleting project %d: %w", id, err)
	}
	return gone, nil
}

func (c *Client) deleteProject(ctx context.Context, id int64) (contactsync.Date, error) {
	path, err := projectAddress(id)
	if err != nil {
		return "", err
	}
	err = c.request(ctx, http.MethodDelete, path, nil, nil)
	doubt := errors.As(err, new(unsure))
	if err != nil && !doubt {
		return "", err
	}
	found, reading := c.details(ctx, http.MethodGet, id, "", nil)
	switch {
	case reading == nil && found.Deletion != "":
		return found.Deletion, nil
	case doubt:
		return "", err
	case contactsync.ClassOf(reading) == contactsync.ClassInvalidProjectID: // it was removed at once
		return "", nil
	case reading != nil:
		return "", fmt.Errorf("looking when it is gone: %w", reading)
	}
	return "", senseless("the project is not marked for deletion")
}

// RestoreProject takes the mark for deletion away, in one request that is sent once, and in a second one where its
// answer leaves open what became of it.
//
// Errors: gitlab_refused, also for a project that is not marked; invalid_project_id; repository_unreachable.
// Source: docs.gitlab.com/api/projects, "Restore a project".
func (c *Client) RestoreProject(ctx context.Context, id int64) (contactsync.ProjectDetails, error) {
	restored, err := c.details(ctx, http.MethodPost, id, "/restore", nil)
	if err == nil && restored.Deletion != "" {
		err = unsure{senseless("the project is still to be deleted")}
	}
	if errors.As(err, new(unsure)) {
		if found, reading := c.details(ctx, http.MethodGet, id, "", nil); reading == nil && found.Deletion == "" {
			return found, nil
		}
	}
	if err != nil {
		return contactsync.ProjectDetails{}, fmt.Errorf("restoring project %d: %w", id, err)
	}
	return restored, nil
}

func projectAddress(id int64) (string, error) {
	if id <= 0 {
		return "", contactsync.Errorf(contactsync.ClassInvalidProjectID, "a project's number is above zero")
	}
	return "projects/" + strconv.FormatInt(id, 10), nil
}

// details asks for something that is answered with the project, and checks that it is that project.
func (c *Client) details(ctx context.Context, method string, id int64, below string, body any) (contactsync.ProjectDetails, error) {
	path, err := projectAddress(id)
	if err != nil {
		return contactsync.ProjectDetails{}, err
	}
	found, err := c.ask(ctx, method, path+below, body)
	if err == nil && found.details.ID != id {
		err = unsure{senseless(fmt.Sprintf("it is about project %d at %q", found.details.ID, found.details.Path))}
	}
	if err != nil {
		return contactsync.ProjectDetails{}, err
	}
	return found.details, nil
}

// ask asks for something that is answered with a project.
func (c *Client) ask(ctx context.Context, method, path string, body any) (projectAnswer, error) {
	var found projectAnswer
	if err := c.request(ctx, method, path, body, &found); err != nil {
		return projectAnswer{}, err
	}
	if err := c.complete(&found); err != nil {
		return projectAnswer{}, unsure{err}
	}
	return found, nil
}

// unsure marks the error of a request of which its answer leaves open whether it took effect.
type unsure struct{ error }

func (u unsure) Unwrap() error { return u.error }

// request sends one request about a project: see read and change.
func (c *Client) request(ctx context.Context, method, path string, body, into any) error {
	if method == http.MethodGet {
		_, err := c.read(ctx, path, body, into)
		return err
	}
	unclear, err := c.change(ctx, method, path, body, into)
	if unclear {
		return unsure{err}
	}
	return err
}

// attributes are settings as GitLab takes them: what is a boolean or a number goes as one.
func attributes(settings map[string]string) map[string]any {
	body := make(map[string]any, len(settings))
	for name, value := range settings {
		body[name] = value
		if value == "true" || value == "false" {
			body[name] = value == "true"
		} else if n, err := strconv.ParseInt(value, 10, 64); err == nil && strconv.FormatInt(n, 10) == value {
			body[name] = n
		}
	}
	return body
}

// projectAnswer is a project as GitLab tells of it.
type projectAnswer struct {
	details   contactsync.ProjectDetails
	namespace int64
	marked    string // the day on which it was marked for deletion; "" for one that was not
}

// UnmarshalJSON takes from an answer what is known, and everything that may be a setting.
func (p *projectAnswer) UnmarshalJSON(data []byte) error {
	var known struct {
		ID        int64  `json:"id"`
		Name      string `json:"name"`
		Path      string `json:"path_with_namespace"`
		CloneURL  string `json:"http_url_to_repo"`
		WebURL    string `json:"web_url"`
		Branch    string `json:"default_branch"`
		Namespace struct {
			ID int64 `json:"id"`
		} `json:"namespace"`
		Import      string `json:"import_status"`
		ImportError string `json:"import_error"`
		Empty       bool   `json:"empty_repo"`
		MarkedOn    string `json:"marked_for_deletion_on"`
	}
	var all map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(data, &known), json.Unmarshal(data, &all)); err != nil {
		return err
	}
	p.namespace, p.marked = known.Namespace.ID, known.MarkedOn
	p.details = contactsync.ProjectDetails{
		Project: contactsync.Project{ID: known.ID, Path: known.Path, CloneURL: known.CloneURL, WebURL: known.WebURL,
			DefaultBranch: outbound.Clean(known.Branch, maxSetting)},
		Name: outbound.Clean(known.Name, 300), Settings: make(map[string]string),
		Import: cmp.Or(outbound.Clean(known.Import, 40), "none"), ImportError: outbound.Clean(known.ImportError, 300), Empty: known.Empty,
	}
	for name, value := range all {
		if text, ok := setting(name, value); ok {
			p.details.Settings[name] = text
		}
	}
	return nil
}

// The attributes of a project that are no settings: what it is and how it is doing, and what holds secrets. Only texts
// and numbers can be of the latter kind.
// Source: docs.gitlab.com/api/projects, "Retrieve a project".
var (
	noSetting = regexp.MustCompile(`^(id|name|path|archived|empty_repo|can_create_merge_request_in)$|_namespace$|_(at|on|id|count|html|prefix|address)$|^import_`)
	noText    = regexp.MustCompile(`url|token|secret|password|key`)
)

// setting is an attribute as the text of a setting; false for one that is none, or that has no value.
func setting(name string, value json.RawMessage) (string, bool) {
	if noSetting.MatchString(name) || len(value) == 0 {
		return "", false
	}
	switch value[0] {
	case 't', 'f':
		return string(value), true
	case '"':
		var text string
		if noText.MatchString(name) || json.Unmarshal(value, &text) != nil {
			return "", false
		}
		return outbound.Clean(text, maxSetting), true
	case '{', '[', 'n':
		return "", false
	}
	return string(value), !noText.MatchString(name)
}

// complete checks an answer, and adds to it what takes the client's options.
func (c *Client) complete(p *projectAnswer) error {
	d := &p.details
	if d.ID <= 0 || !projectPath.MatchString(d.Path) {
		return senseless(fmt.Sprintf("it is about project %d at %q", d.ID, d.Path))
	}
	d.CloneURL, d.WebURL = c.ours(d.CloneURL, d.Path+".git"), c.ours(d.WebURL, d.Path)
	if p.marked == "" {
		return nil
	}
	day, err := time.Parse(time.DateOnly, p.marked)
	if err != nil {
		return senseless(fmt.Sprintf("it was marked for deletion on %q", p.marked))
	}
	d.Deletion = contactsync.DateOf(day.AddDate(0, 0, c.options.DeletionDays))
	return nil
}
