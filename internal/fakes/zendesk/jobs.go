package zendesk

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// jobPatience is when a job's work happens although nobody polls: the desk's workers do not wait for clients.
const jobPatience = time.Minute

type jobs struct {
	byID       map[string]*job
	order      []string
	unfinished []*job
}

type job struct {
	id       string
	kind     string
	total    int
	created  time.Time
	finished time.Time // zero: not yet
	status   string
	results  any
	polls    int
	work     func(now time.Time) (status string, results any)
}

// row is what became of one item of a job.
type row struct {
	id      int64
	action  string // "create", "update", "delete"
	status  string // "Created", ...
	error   string // "": it went well
	details string
}

func failedRow(id int64, action, code, details string) row {
	return row{id: id, action: action, error: code, details: details}
}

// start queues a job over total items, and answers with its status. Each item is worked on by one call of do.
func (c *call) start(kind string, total int, do func(index int) row) answer {
	if c.settings.MaxJobs > 0 && len(c.s.jobs.unfinished) >= c.settings.MaxJobs {
		return c.tooManyJobs()
	}
	fault, settings := c.fault, c.settings
	j := &job{
		id: fmt.Sprintf("8b726e60%024x", len(c.s.jobs.order)+1), kind: kind, total: total,
		created: c.now, status: "queued",
	}
	j.work = func(now time.Time) (string, any) {
		c.now = now
		if fault != nil && fault.Kind == JobFails {
			return "failed", nil
		}
		rows := make([]row, 0, total)
		for index := range total {
			if fault != nil && fault.Kind == JobRowFails && (fault.Rows == nil || fault.Rows(index)) {
				rows = append(rows, failedRow(0, actionOf(kind), "InternalError", "The item could not be processed."))
				continue
			}
			rows = append(rows, do(index))
		}
		return "completed", writeRows(kind, rows, settings.JobRows)
	}
	if fault != nil && (fault.Kind == JobFails || fault.Kind == JobRowFails) {
		fault.strike()
	}
	if c.s.jobs.byID == nil {
		c.s.jobs.byID = map[string]*job{}
	}
	c.s.jobs.byID[j.id] = j
	c.s.jobs.order = append(c.s.jobs.order, j.id)
	c.s.jobs.unfinished = append(c.s.jobs.unfinished, j)
	shown := c.jobJSON(j)
	if settings.JobPolls == 0 {
		c.s.finish(j, c.now)
	}
	return reply(http.StatusOK, map[string]any{"job_status": shown})
}

// finish does a job's work.
func (s *Server) finish(j *job, now time.Time) {
	j.status, j.results = j.work(now)
	j.finished, j.work = now, nil
	s.jobs.unfinished = slices.DeleteFunc(s.jobs.unfinished, func(other *job) bool { return other == j })
}

// settle does what happens by itself as time passes.
func (s *Server) settle(now time.Time) {
	for _, j := range slices.Clone(s.jobs.unfinished) {
		if now.Sub(j.created) >= jobPatience {
			s.finish(j, now)
		}
	}
}

// FinishJobs does the work of all unfinished jobs, as if time had passed.
func (s *Server) FinishJobs() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range slices.Clone(s.jobs.unfinished) {
		s.finish(j, s.clock())
	}
}

// tooManyJobs names the jobs that are in the way, as documented; that the status is 429 is an assumption.
func (c *call) tooManyJobs() answer {
	var ids []string
	for _, j := range c.s.jobs.unfinished {
		ids = append(ids, j.id)
	}
	a := reply(http.StatusTooManyRequests, map[string]any{
		"error":           "TooManyJobs",
		"description":     "Too many jobs are queued or running. Wait until some of them have finished.",
		"current_job_ids": ids,
	})
	a.header.Set("Zendesk-Ratelimit-Inflight-Jobs",
		fmt.Sprintf("total=%d; remaining=0; resets=%d", c.settings.MaxJobs, seconds(jobPatience)))
	return a
}

// writeRows puts a finished job's rows into the style.
func writeRows(kind string, rows []row, style RowStyle) any {
	if style == RowsObject {
		return map[string]any{"success": true}
	}
	out := make([]any, 0, len(rows))
	for index, r := range rows {
		out = append(out, writeRow(kind, index, r, style))
	}
	return out
}

func writeRow(kind string, index int, r row, style RowStyle) map[string]any {
	failed := r.error != ""
	switch style {
	case RowsIndexed:
		if failed {
			return map[string]any{"index": index, "error": r.error, "details": r.details}
		}
		return map[string]any{"index": index, "id": r.id, "action": r.action, "status": r.status, "success": true}
	case RowsBare:
		if failed {
			return map[string]any{"status": "Failed", "error": r.error, "details": r.details}
		}
		return map[string]any{"id": r.id, "status": r.status}
	}
	switch {
	case failed:
		return map[string]any{"id": r.id, "action": r.action, "error": r.error, "details": r.details, "success": false}
	case kind == createUsersJob:
		return map[string]any{"id": r.id, "index": index}
	}
	return map[string]any{"id": r.id, "action": r.action, "status": r.status, "success": true}
}

func (c *call) jobJSON(j *job) map[string]any {
	out := map[string]any{
		"id": j.id, "url": c.url("job_statuses", j.id), "job_type": j.kind, "status": j.status, "total": j.total,
		"progress": nil, "message": nil, "results": nil,
	}
	if !j.finished.IsZero() {
		out["message"] = strings.ToUpper(j.status[:1]) + j.status[1:] + " at " + j.finished.UTC().Format("2006-01-02 15:04:05 +0000")
		out["progress"] = j.total
		out["results"] = j.results
	}
	return out
}

// poll looks at a job once: unfinished ones get on with it. Nil when there is no such job, or no longer.
func (c *call) poll(id string) *job {
	j := c.s.jobs.byID[id]
	if j == nil || c.now.Sub(j.created) >= c.settings.JobLifetime {
		return nil
	}
	if !j.finished.IsZero() {
		return j
	}
	if j.polls >= c.settings.JobPolls {
		c.s.finish(j, c.now)
		return j
	}
	j.polls++
	j.status = "working"
	return j
}

func (c *call) showJob() answer {
	if len(c.s.jobs.unfinished) > 1 {
		c.violation("jobs polled one by one")
	}
	j := c.poll(c.params["job"])
	if j == nil {
		return recordNotFound()
	}
	return reply(http.StatusOK, map[string]any{"job_status": c.jobJSON(j)})
}

func (c *call) showManyJobs() answer {
	ids, bad, ok := c.textList("ids")
	if !ok {
		return bad
	}
	return c.jobRows(ids)
}

// listJobs shows the youngest hundred.
func (c *call) listJobs() answer {
	ids := slices.Clone(c.s.jobs.order)
	slices.Reverse(ids)
	return c.jobRows(ids[:min(len(ids), pageSize)])
}

func (c *call) jobRows(ids []string) answer {
	rows := []any{}
	for _, id := range ids {
		if j := c.poll(id); j != nil {
			rows = append(rows, c.jobJSON(j))
		}
	}
	return reply(http.StatusOK, map[string]any{"job_statuses": rows, "count": len(rows), "next_page": nil, "previous_page": nil})
}

// Bulk requests.

const (
	createUsersJob       = "Bulk Create User"
	createOrUpdateJob    = "Bulk Create Or Update User"
	updateUsersJob       = "Bulk Update User"
	createMembershipsJob = "Bulk Create Organization Membership"
	deleteMembershipsJob = "Bulk Delete Organization Membership"
)

// actionOf is the verb of a kind of job: "create", "update" or "delete".
func actionOf(kind string) string { return strings.ToLower(strings.Fields(kind)[1]) }

// bulkUsers reads the users of a bulk request.
func (c *call) bulkUsers() ([]userInput, answer, bool) {
	if !c.settings.BulkImport {
		return nil, forbidden("Bulk user imports are not enabled for this account."), false
	}
	var body struct {
		Users []userInput `json:"users"`
	}
	if bad, ok := c.decode(&body); !ok {
		return nil, bad, false
	}
	if len(body.Users) > pageSize {
		return nil, c.tooManyItems(), false
	}
	return body.Users, answer{}, true
}

func (c *call) createManyUsers() answer {
	users, bad, ok := c.bulkUsers()
	if !ok {
		return bad
	}
	return c.start(createUsersJob, len(users), func(index int) row { return c.createRow(&users[index]) })
}

// createRow makes one user of a job. For an address that is none the row looks like a success with the id 1
// (zendesk-java-client issue 325).
func (c *call) createRow(in *userInput) row {
	if in.Email.value != "" && !plausible(in.Email.value) {
		return row{id: 1, action: "create", status: "Created"}
	}
	u, wrong, missing := c.create(in)
	switch {
	case missing:
		return failedRow(0, "create", "UserCreateError", "Organization: not found")
	case wrong != nil:
		return failedRow(0, "create", "UserCreateError", wrong.description)
	}
	return row{id: u.id, action: "create", status: "Created"}
}

func (c *call) createOrUpdateManyUsers() answer {
	users, bad, ok := c.bulkUsers()
	if !ok {
		return bad
	}
	return c.start(createOrUpdateJob, len(users), func(index int) row {
		in := &users[index]
		if found := c.existing(in); found != nil {
			return c.changeRow(found, in)
		}
		return c.createRow(in)
	})
}

func (c *call) changeRow(u *user, in *userInput) row {
	wrong, refused, missing := c.change(u, in)
	switch {
	case refused:
		return failedRow(u.id, "update", "UserUpdateError", "You cannot update a shared user.")
	case missing:
		return failedRow(u.id, "update", "UserUpdateError", "Organization: not found")
	case wrong != nil:
		return failedRow(u.id, "update", "UserUpdateError", wrong.description)
	}
	return row{id: u.id, action: "update", status: "Updated"}
}

// updateManyUsers takes {"users": [{id, ...}]}, or {"user": {...}} for all of ?ids= or ?external_ids=.
func (c *call) updateManyUsers() answer {
	var body struct {
		User  *userInput  `json:"user"`
		Users []userInput `json:"users"`
	}
	if bad, ok := c.decode(&body); !ok {
		return bad
	}
	inputs := body.Users
	if body.User != nil {
		ids, bad, ok := c.idList()
		if !ok {
			return bad
		}
		for _, id := range ids {
			in := *body.User
			in.ID = id
			inputs = append(inputs, in)
		}
	}
	if len(inputs) > pageSize {
		return c.tooManyItems()
	}
	return c.start(updateUsersJob, len(inputs), func(index int) row {
		in := &inputs[index]
		u := c.s.account.user(in.ID)
		if u == nil || !u.active {
			return failedRow(in.ID, "update", "UserNotFound", "User not found")
		}
		return c.changeRow(u, in)
	})
}

func (c *call) createManyMemberships() answer {
	var body struct {
		Memberships []membershipInput `json:"organization_memberships"`
	}
	if bad, ok := c.decode(&body); !ok {
		return bad
	}
	if len(body.Memberships) > pageSize {
		return c.tooManyItems()
	}
	return c.start(createMembershipsJob, len(body.Memberships), func(index int) row {
		m, wrong := c.join(body.Memberships[index])
		if wrong != nil {
			return failedRow(0, "create", "RecordInvalid", wrong.description)
		}
		return row{id: m.id, action: "create", status: "Created"}
	})
}

func (c *call) destroyManyMemberships() answer {
	ids, bad, ok := c.idList()
	if !ok {
		return bad
	}
	return c.start(deleteMembershipsJob, len(ids), func(index int) row {
		m := c.s.account.memberships[ids[index]]
		if m == nil {
			return failedRow(ids[index], "delete", "RecordNotFound", "Not found")
		}
		c.leave(m)
		return row{id: m.id, action: "delete", status: "Deleted"}
	})
}
