package gitlab

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// attribute is one that a project is created and changed with.
type attribute struct {
	initial any      // a bool, a number or a text
	values  []string // of a text; nil takes every one
}

// levels are those of a feature, from the lowest on.
var levels = []string{"disabled", "private", "enabled"}

// attributes are the settings that the API tells and takes, with the values of a new private project on gitlab.com.
// Visibility, description, name, path and default_branch are the project's own.
// Source: docs.gitlab.com/api/projects, "Update a project"; defaults: docs.gitlab.com/user/project/settings, and
// docs.gitlab.com/user/public_access.
var attributes = func() map[string]attribute {
	all := map[string]attribute{
		"security_and_compliance_access_level": {initial: "private", values: levels},
		"pages_access_level":                   {initial: "private", values: append(slices.Clone(levels), "public")},
		"package_registry_access_level":        {initial: "enabled", values: append(slices.Clone(levels), "public")},

		"lfs_enabled": {initial: true}, "request_access_enabled": {initial: true}, "service_desk_enabled": {initial: true},
		"shared_runners_enabled": {initial: true}, "group_runners_enabled": {initial: true}, "emails_enabled": {initial: true},
		"auto_devops_enabled": {initial: false}, "public_jobs": {initial: true}, "autoclose_referenced_issues": {initial: true},
		"remove_source_branch_after_merge": {initial: true}, "printing_merge_request_link_enabled": {initial: true},
		"only_allow_merge_if_pipeline_succeeds": {initial: false}, "allow_merge_on_skipped_pipeline": {initial: false},
		"only_allow_merge_if_all_discussions_are_resolved": {initial: false}, "resolve_outdated_diff_discussions": {initial: false},
		"warn_about_potentially_unwanted_characters": {initial: true}, "enforce_auth_checks_on_uploads": {initial: true},

		"merge_method":                  {initial: "merge", values: []string{"ff", "rebase_merge", "merge"}},
		"squash_option":                 {initial: "default_off", values: []string{"never", "always", "default_on", "default_off"}},
		"build_git_strategy":            {initial: "fetch", values: []string{"fetch", "clone"}},
		"auto_cancel_pending_pipelines": {initial: "enabled", values: []string{"disabled", "enabled"}},
		"auto_devops_deploy_strategy":   {initial: "continuous", values: []string{"continuous", "manual", "timed_incremental"}},
		"build_timeout":                 {initial: int64(3600)},
		"ci_config_path":                {initial: ""},
	}
	for _, feature := range []string{"issues", "repository", "merge_requests", "forking", "wiki", "builds", "snippets", "analytics",
		"container_registry", "releases", "environments", "feature_flags", "infrastructure", "monitor", "model_experiments",
		"model_registry", "requirements"} {
		all[feature+"_access_level"] = attribute{initial: "enabled", values: levels}
	}
	return all
}()

// switches are the old forms of levels.
var switches = map[string]string{
	"issues_enabled": "issues_access_level", "merge_requests_enabled": "merge_requests_access_level", "wiki_enabled": "wiki_access_level",
	"jobs_enabled": "builds_access_level", "snippets_enabled": "snippets_access_level", "packages_enabled": "package_registry_access_level",
	"container_registry_enabled": "container_registry_access_level",
}

func newSettings() map[string]any {
	values := make(map[string]any, len(attributes))
	for name, a := range attributes {
		values[name] = a.initial
	}
	return values
}

// told is what the API tells of settings, old forms included.
func told(settings map[string]any) map[string]any {
	all := maps.Clone(settings)
	for old, level := range switches {
		all[old] = settings[level] != "disabled"
	}
	all["emails_disabled"] = settings["emails_enabled"] == false
	return all
}

// take applies those of the values that are settings, and returns how many those were; the others it ignores, as GitLab
// does. A value that is none changes nothing at all: the problem is what GitLab says then.
func take(settings map[string]any, values map[string]any) (taken int, problem any) {
	wrong := func(name, what string) map[string]string { return map[string]string{"error": name + " " + what} }
	changed := maps.Clone(settings)
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values[name]
		if level, old := switches[name]; old || name == "emails_disabled" {
			on, ok := flag(value)
			switch {
			case !ok:
				return 0, wrong(name, "is invalid")
			case !old:
				changed["emails_enabled"] = !on
			case on:
				changed[level] = "enabled"
			default:
				changed[level] = "disabled"
			}
			taken++
			continue
		}
		a, known := attributes[name]
		if !known {
			continue
		}
		taken++
		switch a.initial.(type) {
		case bool:
			on, ok := flag(value)
			if !ok {
				return 0, wrong(name, "is invalid")
			}
			changed[name] = on
		case int64:
			n, err := strconv.ParseInt(fmt.Sprint(value), 10, 64)
			if err != nil {
				return 0, wrong(name, "is invalid")
			}
			changed[name] = n
		default:
			text := fmt.Sprint(value)
			if a.values != nil && !slices.Contains(a.values, text) {
				return 0, wrong(name, "does not have a valid value")
			}
			changed[name] = text
		}
	}
	rank := func(name string) int { return slices.Index(levels, fmt.Sprint(changed[name])) }
	for _, child := range []string{"builds_access_level", "merge_requests_access_level"} {
		if rank(child) > rank("repository_access_level") {
			return 0, map[string]any{"message": map[string][]string{
				"project_feature." + child: {"cannot have higher visibility level than repository access level"}}}
		}
	}
	maps.Copy(settings, changed)
	return taken, nil
}

// flag reads a boolean as GitLab's API does, which takes texts for them.
func flag(value any) (on, ok bool) {
	on, err := strconv.ParseBool(strings.ToLower(fmt.Sprint(value)))
	return on, err == nil
}
