package webhook

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"contactsync"
	"contactsync/outbound"
)

// trigger handles TriggerRoute, the address that hooks had before: GitLab's own "trigger a pipeline". The token in the
// query is required here whatever else comes along, as GitLab requires it; a signature that can be verified must be
// right besides. Project and ref of the address are those of the original pipeline and mean nothing.
// Source: docs.gitlab.com/api/pipeline_triggers and lib/api/ci/triggers.rb in GitLab's code.
func (r *Receiver) trigger(in *incoming) result {
	query := in.URL.Query()
	token := query.Get("token")
	if len(r.keys.triggers) == 0 || token != "" && !r.keys.opensTrigger(token) {
		return result{answer: AnswerUnauthorized}
	}
	claim, ok := r.keys.trigger(in.Header, in.received)
	if !ok {
		return result{answer: AnswerUnauthorized}
	}
	body, failure := r.read(in)
	if failure != nil {
		return *failure
	}
	said := &content{event: in.Header.Get("X-Gitlab-Event"), body: body}
	if token == "" && !r.keys.opensTrigger(said.payload().Token) || !r.keys.holds(claim, said) {
		return result{answer: AnswerUnauthorized}
	}
	delivery, decided := r.judge(in, said)
	if decided != nil {
		return *decided
	}
	given := query.Get("variables[PROJECT_ID]")
	if !query.Has("variables[PROJECT_ID]") {
		given = said.payload().Variables.ProjectID
	}
	if named, reason := checkProjectID(given, delivery.Project); reason != nil {
		return r.refuse(in, delivery, named, reason)
	}
	return r.accept(in, delivery)
}

// maxProjectID is how much of a PROJECT_ID that is no number is shown to people, in characters.
const maxProjectID = 64

// checkProjectID returns the project that PROJECT_ID names and, where that is not the hook's own, the reason to refuse
// it. The original pipeline synced whatever project it named; a hook speaks for its own.
func checkProjectID(given string, own int64) (contactsync.ProjectRef, error) {
	named := contactsync.ProjectRef(outbound.Clean(given, maxProjectID))
	if named == "" {
		return contactsync.ProjectRef(strconv.FormatInt(own, 10)), contactsync.Errorf(contactsync.ClassInvalidProjectID,
			"the hook of project %d sends no PROJECT_ID", own)
	}
	if id, ok := named.ID(); !ok || id != own {
		return named, contactsync.Errorf(contactsync.ClassInvalidProjectID,
			"the hook of project %d sends PROJECT_ID %q instead of its own number", own, string(named))
	}
	return named, nil
}

func (r *Receiver) refuse(in *incoming, delivery contactsync.Delivery, named contactsync.ProjectRef, reason error) result {
	err := r.store(in, func(ctx context.Context) error { return r.options.Intake.Refuse(ctx, delivery, named, reason) })
	if err != nil {
		return result{answer: AnswerUnavailable, delivery: delivery, err: err}
	}
	return result{answer: AnswerRefused, delivery: delivery, err: reason}
}

// pipeline is the answer of GitLab's trigger, as far as it makes sense where there is no pipeline.
type pipeline struct {
	ID        int64                  `json:"id"`         // unlike any other: when it was received, in microseconds
	ProjectID contactsync.ProjectRef `json:"project_id"` // of the address
	Ref       string                 `json:"ref"`        // of the address
	Status    string                 `json:"status"`
	Source    string                 `json:"source"`
	CreatedAt time.Time              `json:"created_at"`
	Delivery  string                 `json:"delivery,omitempty"`
	Ignored   string                 `json:"ignored,omitempty"`
	Detail    string                 `json:"detail,omitempty"`
}

// triggerAnswer is what GitLab would say: 201 for whatever has a right token, 404 for what has none.
func triggerAnswer(req *http.Request, res result) (int, any) {
	const most = 255 // characters of the address that are repeated
	p := pipeline{
		ID: res.delivery.Received.UnixMicro(), Source: "trigger", CreatedAt: res.delivery.Received.UTC(),
		ProjectID: contactsync.ProjectRef(outbound.Clean(req.PathValue("id"), most)), Ref: outbound.Clean(req.PathValue("ref"), most),
	}
	switch res.answer {
	case AnswerUnauthorized:
		return http.StatusNotFound, notFound
	case AnswerAccepted, AnswerJoined:
		p.Status, p.Delivery = "created", res.receipt.ID
	case AnswerIgnored:
		p.Status, p.Ignored = "skipped", res.ignored
	case AnswerRefused:
		p.Status, p.Detail = "failed", res.err.Error()
	default:
		return failure(res)
	}
	return http.StatusCreated, p
}
