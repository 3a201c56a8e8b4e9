package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

// payload is the little that is read of a hook's body. Only the numbers of the project and of the merge request are acted
// upon; the rest decides whether the event means anything here. What is missing or of another type is zero.
// Source: docs.gitlab.com/user/project/integrations/webhook_events.
type payload struct {
	ObjectKind  string   `json:"object_kind"`
	EventName   string   `json:"event_name"`
	ProjectID   number   `json:"project_id"`
	Ref         string   `json:"ref"`
	Before      string   `json:"before"`
	After       string   `json:"after"`
	CheckoutSHA nullable `json:"checkout_sha"`
	Project     struct {
		ID number `json:"id"` // where events other than pushes say it
	} `json:"project"`

	Request struct {
		Number       number `json:"iid"`
		Action       string `json:"action"`
		Before       string `json:"oldrev"` // of an update by a push
		Source       number `json:"source_project_id"`
		TargetBranch string `json:"target_branch"`
	} `json:"object_attributes"`
	Changes struct {
		TargetBranch *struct{} `json:"target_branch"`
	} `json:"changes"`

	// GitLab's trigger takes its parameters from the query and from the body.
	Token     string `json:"token"`
	Variables struct {
		ProjectID string `json:"PROJECT_ID"`
	} `json:"variables"`

	header string // X-Gitlab-Event
}

// number is a positive whole number of JSON; anything else is 0.
type number int64

// UnmarshalJSON never fails: what is wrong with a number is said by who needs it.
func (n *number) UnmarshalJSON(data []byte) error {
	id, err := strconv.ParseInt(string(data), 10, 64)
	if err != nil {
		id = 0
	}
	*n = number(max(id, 0))
	return nil
}

// nullable is true where the value is null; a value that is absent is not.
type nullable bool

// UnmarshalJSON never fails.
func (n *nullable) UnmarshalJSON(data []byte) error {
	*n = string(data) == "null"
	return nil
}

// parsePayload reads a body, and reports false where it is not a JSON object. Whatever it holds, nothing is trusted yet.
func parsePayload(event string, body []byte) (payload, bool) {
	p := payload{header: event}
	err := json.Unmarshal(body, &p)
	var otherType *json.UnmarshalTypeError // the rest was read all the same
	if err != nil && !errors.As(err, &otherType) {
		return payload{header: event}, false
	}
	return p, bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{"))
}

// projectNumber is the number of the project that the event is about, 0 where it names none.
func (p payload) projectNumber() int64 {
	if p.ProjectID == 0 && !p.isPush() {
		return int64(p.Project.ID)
	}
	return int64(p.ProjectID)
}

// GitLab's sample, which stands in for a push when the hook of a repository without commits is tested.
// Source: lib/gitlab/data_builder/push.rb in GitLab's code, and the documentation's example of a push.
const (
	sampleProject = 15
	sampleBefore  = "95790bf891e76fee5e1747ab589903a6a1f80f22"
	sampleAfter   = "da1560886d4f094c3e6c9ef40349f7d38b5d27d7"
)

func (p payload) isSample() bool {
	return p.ProjectID == sampleProject && p.Before == sampleBefore && p.After == sampleAfter
}

func (p payload) isPush() bool { return p.is("Push Hook", "push") }

func (p payload) isRequest() bool { return p.is("Merge Request Hook", "merge_request") }

// is reports whether everything that names the event calls it so. Header and body differ where a hook has a template of
// its own, and in tests of tag hooks by some GitLab versions; the header of a system hook says nothing.
func (p payload) is(header, kind string) bool {
	named := false
	for _, name := range []string{p.header, p.ObjectKind, p.EventName} {
		switch name {
		case header, kind:
			named = true
		case "", "System Hook":
		default:
			return false
		}
	}
	return named
}

// Why an authentic event means nothing here.
const (
	ignoredEvent   = "event" // neither a push nor a tag, nor a merge request
	ignoredTag     = "tag"
	ignoredBranch  = "branch"  // not the one that is read
	ignoredDeleted = "deleted" // the branch is gone
	ignoredTest    = "test"    // GitLab's sample
	ignoredFork    = "fork"    // a merge request from another project
	ignoredNothing = "nothing" // a merge request with nothing new to judge: closed, merged or renamed, say
)

// ignored tells why the event means nothing to who reads that branch, "" where it asks for a run, or for a look at a merge
// request, where those are looked at.
func (p payload) ignored(branch string, requests bool) string {
	switch {
	case requests && p.isRequest():
		return p.ignoredRequest(branch)
	case p.isSample():
		return ignoredTest
	case p.header == "Tag Push Hook" || p.ObjectKind == "tag_push" || p.EventName == "tag_push":
		return ignoredTag
	case !p.isPush():
		return ignoredEvent
	case p.Ref != "refs/heads/"+branch:
		return ignoredBranch
	case bool(p.CheckoutSHA) || p.After != "" && strings.Trim(p.After, "0") == "":
		return ignoredDeleted
	}
	return ""
}

// ignoredRequest is ignored for a merge request. What it is about is read from GitLab itself later.
func (p payload) ignoredRequest(branch string) string {
	retargeted := p.Changes.TargetBranch != nil
	switch r := p.Request; {
	case r.Number == 0 || p.projectNumber() == 0:
		return ignoredEvent
	case int64(r.Source) != p.projectNumber():
		return ignoredFork
	case r.TargetBranch != branch && !retargeted:
		return ignoredBranch
	case r.Action == "open", r.Action == "reopen", r.Action == "update" && (r.Before != "" || retargeted):
		return ""
	}
	return ignoredNothing
}
