package contract

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"go.yaml.in/yaml/v3"
)

// Variable names the folder of the description.
const Variable = "CONTACTSYNC_SPECS"

const fileName = "zendesk-oas.yaml"

// prefixes are the parts of the API that are checked; the rest, hundreds of endpoints, is not even loaded.
var prefixes = []string{
	"/oauth/tokens", "/api/v2/account/settings", "/api/v2/deleted_users", "/api/v2/incremental/organizations",
	"/api/v2/incremental/users", "/api/v2/job_statuses", "/api/v2/organization_fields",
	"/api/v2/organization_memberships", "/api/v2/organizations", "/api/v2/search", "/api/v2/users",
	"/api/v2/macros/active", "/api/v2/tickets",
}

type description struct {
	doc   *openapi3.T
	paths []string // fixed words before parameters
}

// route finds the described operation of a request.
func (d *description) route(method, path string) (*routers.Route, map[string]string, error) {
	have := strings.Split(path, "/")
	for _, template := range d.paths {
		params, ok := match(strings.Split(template, "/"), have)
		if !ok {
			continue
		}
		item := d.doc.Paths.Value(template)
		operation := item.GetOperation(method)
		if operation == nil {
			return nil, nil, fmt.Errorf("no %s is described for %s", method, template)
		}
		return &routers.Route{Spec: d.doc, Path: template, PathItem: item, Method: method, Operation: operation}, params, nil
	}
	return nil, nil, errors.New("the endpoint is not described")
}

func match(template, path []string) (map[string]string, bool) {
	if len(template) != len(path) {
		return nil, false
	}
	params := map[string]string{}
	for i, segment := range template {
		name, ok := strings.CutPrefix(segment, "{")
		if !ok && segment != path[i] {
			return nil, false
		}
		if ok {
			params[strings.TrimSuffix(name, "}")] = path[i]
		}
	}
	return params, true
}

// load reads the description once in a test binary, which takes a second or two. Nil: there is none.
var load = sync.OnceValues(func() (*description, error) {
	folder := os.Getenv(Variable)
	if folder == "" {
		return nil, nil
	}
	text, err := os.ReadFile(filepath.Join(folder, fileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parse(text)
})

func parse(text []byte) (*description, error) {
	var node yaml.Node
	if err := yaml.Unmarshal(text, &node); err != nil {
		return nil, err
	}
	plainScalars(&node)
	var tree map[string]any
	if err := node.Decode(&tree); err != nil {
		return nil, err
	}
	if err := prune(tree); err != nil {
		return nil, err
	}
	for _, c := range corrections {
		if err := c.apply(tree); err != nil {
			return nil, fmt.Errorf("correcting %s (%s): %w", strings.Join(c.at, " "), c.why, err)
		}
	}
	text, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	doc, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return nil, err
	}
	return &description{doc: doc, paths: doc.Paths.InMatchingOrder()}, nil
}

// plainScalars turns what YAML would read as something else into text: the bare "=" of examples, and dates.
func plainScalars(node *yaml.Node) {
	if node.Kind == yaml.ScalarNode && (node.Value == "=" || node.ShortTag() == "!!timestamp") {
		node.SetString(node.Value)
	}
	for _, child := range node.Content {
		plainScalars(child)
	}
}

// prune keeps the paths that are checked.
func prune(tree map[string]any) error {
	paths, ok := tree["paths"].(map[string]any)
	if !ok {
		return errors.New("no paths in it")
	}
	for path := range paths {
		kept := false
		for _, prefix := range prefixes {
			kept = kept || path == prefix || strings.HasPrefix(path, prefix+"/")
		}
		if !kept {
			delete(paths, path)
		}
	}
	return nil
}
