package zendesk

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"contactsync"
	"contactsync/zendesk/internal/wire"

	"golang.org/x/sync/errgroup"
)

const (
	// jobItems is how many items a bulk job takes.
	jobItems = 100
	// jobsAtOnce keeps us below the account's cap of 30 queued or running jobs, which others share.
	jobsAtOnce = 20
	// jobPatience is how long jobs are polled before what became of them is found out by reading.
	jobPatience = 10 * time.Minute
	// jobVanished is how many polls may not mention a job before it is given up: its data live for a day.
	jobVanished = 3

	firstPoll = 300 * time.Millisecond
	lastPoll  = 10 * time.Second
)

// job is one bulk request and what became of it.
type job struct {
	items []int   // what the rows are about: indexes that the job's owner understands
	ids   []int64 // ids of the items in the request, zeros where they have none
	start func(ctx context.Context) (jobStatus, error)

	id       string
	missed   int
	finished bool
	lost     bool       // its end was not seen
	err      error      // of the start; ambiguous ones leave the rows unknown
	rows     []wire.Row // one an item, once finished without err
}

// jobStatus is a background job as Zendesk shows it.
// https://developer.zendesk.com/api-reference/ticketing/ticket-management/job_statuses/
type jobStatus struct {
	ID      string          `json:"id"`
	Status  string          `json:"status"`
	Results json.RawMessage `json:"results"`
}

type jobAnswer struct {
	JobStatus jobStatus `json:"job_status"`
}

// runJobs starts the jobs and follows all of them with one request a round, until each has finished or nothing more
// can be learnt. It does not fail: whatever is not known of an item leaves its row Unknown.
func (d *Desk) runJobs(ctx context.Context, jobs []*job, progress *gauge) {
	waiting, flying := jobs, []*job(nil)
	pause, waited := firstPoll, time.Duration(0)
	for waited < jobPatience && ctx.Err() == nil {
		started := waiting[:min(len(waiting), jobsAtOnce-len(flying))]
		d.startJobs(ctx, started)
		// The account may have no room for them, and then they wait for those that fly, ours or others'.
		waiting = append(which(started, (*job).isWaiting), waiting[len(started):]...)
		flying = append(flying, which(started, (*job).isFlying)...)
		if len(waiting)+len(flying) == 0 {
			break
		}
		if err := d.wait(ctx, pause); err != nil {
			break
		}
		waited += pause
		pause = min(pause*3/2, lastPoll)
		if len(flying) == 0 {
			continue
		}
		d.pollJobs(ctx, flying)
		before := len(flying)
		if flying = which(flying, (*job).isFlying); len(flying) < before {
			pause = firstPoll
		}
		progress.inJobs(ctx, landed(jobs))
	}
	for _, j := range jobs {
		if j.isWaiting() {
			j.err = notStarted(ctx)
		}
		if j.rows == nil {
			j.lost = true
			j.rows = make([]wire.Row, len(j.items))
		}
	}
}

func (j *job) isFlying() bool  { return j.id != "" && !j.finished }
func (j *job) isWaiting() bool { return j.id == "" && !j.finished }

func which(jobs []*job, are func(*job) bool) []*job {
	var chosen []*job
	for _, j := range jobs {
		if are(j) {
			chosen = append(chosen, j)
		}
	}
	return chosen
}

// notStarted is why a job was never sent.
func notStarted(ctx context.Context) error {
	if ctx.Err() != nil {
		return unsentError{ctx.Err()}
	}
	return unsentError{errors.New("the desk was busy with earlier jobs for too long")}
}

func (d *Desk) startJobs(ctx context.Context, jobs []*job) {
	var group errgroup.Group
	group.SetLimit(parallel)
	for _, j := range jobs {
		group.Go(func() error {
			status, err := j.start(ctx)
			var f *failure
			if errors.As(err, &f) && f.Code == "TooManyJobs" {
				return nil
			}
			if err == nil && status.ID == "" {
				err = &failure{Method: "POST", Path: "job", Status: 200, Sent: true, Reason: "the answer names no job"}
			}
			j.id, j.err, j.finished = status.ID, err, err != nil
			j.take(status)
			return nil
		})
	}
	_ = group.Wait() // the jobs keep their errors themselves
}

// pollJobs asks for all jobs in one request. A failed poll is no news.
func (d *Desk) pollJobs(ctx context.Context, jobs []*job) {
	ids := make([]string, len(jobs))
	for i, j := range jobs {
		ids[i] = j.id
	}
	var answer struct {
		JobStatuses []jobStatus `json:"job_statuses"`
	}
	err := d.get(ctx, "/job_statuses/show_many", url.Values{"ids": {strings.Join(ids, ",")}}, &answer)
	statuses := make(map[string]jobStatus, len(jobs))
	if err == nil {
		for _, s := range answer.JobStatuses {
			statuses[s.ID] = s
		}
	}
	for _, j := range jobs {
		s, ok := statuses[j.id]
		if !ok {
			j.missed++
			j.finished = j.missed >= jobVanished
			continue
		}
		j.missed = 0
		j.take(s)
	}
}

// take looks whether the job has come to an end. A failed one may have done some of its work: its rows count as far
// as there are any.
func (j *job) take(s jobStatus) {
	if s.Status != "completed" && s.Status != "failed" {
		return
	}
	j.finished = true
	j.rows = wire.Rows(s.Results, j.ids)
}

// gauge reports how many items of a call are through, of those in jobs and those sent one by one.
type gauge struct {
	total        int
	jobs, single atomic.Int64
}

func (g *gauge) inJobs(ctx context.Context, done int) {
	g.jobs.Store(int64(done))
	contactsync.ReportProgress(ctx, done+int(g.single.Load()), g.total)
}

func (g *gauge) one(ctx context.Context) {
	contactsync.ReportProgress(ctx, int(g.single.Add(1)+g.jobs.Load()), g.total)
}

func landed(jobs []*job) int {
	n := 0
	for _, j := range jobs {
		if j.finished {
			n += len(j.items)
		}
	}
	return n
}

// verdict is what is known of one item of a write.
type verdict struct {
	state wire.State
	id    int64 // of what was made
	// reason is set with Failed. With Unknown it says why the end was not seen; nil: it was, and said nothing clear.
	reason error
	// duplicate: refused because it exists.
	duplicate bool
}

// verdicts spreads the jobs' rows over the items, of which there are n.
func verdicts(jobs []*job, class contactsync.Class) map[int]verdict {
	all := map[int]verdict{}
	for _, j := range jobs {
		for i, item := range j.items {
			switch {
			case j.err != nil:
				all[item] = verdictOf(0, j.err, class)
			case j.rows[i].State == wire.Failed:
				all[item] = verdict{
					state: wire.Failed, duplicate: j.rows[i].Duplicate,
					reason: contactsync.Errorf(class, "the desk refused it: %s", j.rows[i].Reason),
				}
			case j.lost:
				all[item] = verdict{reason: contactsync.Errorf(class, "the desk's job did not come to an end that could be seen")}
			default:
				all[item] = verdict{state: j.rows[i].State, id: j.rows[i].ID}
			}
		}
	}
	return all
}

// verdictOf judges a request that was about one item.
func verdictOf(id int64, err error, class contactsync.Class) verdict {
	var f *failure
	switch {
	case err == nil:
		return verdict{state: wire.Done, id: id}
	case isAmbiguous(err):
		return verdict{state: wire.Unknown, reason: classed(err, class)}
	case errors.As(err, &f):
		return verdict{state: wire.Failed, reason: classed(err, class), duplicate: f.Duplicate}
	}
	return verdict{state: wire.Failed, reason: classed(err, class)}
}
