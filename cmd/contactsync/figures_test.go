package main_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"contactsync"
	fakezendesk "contactsync/internal/fakes/zendesk"
)

const (
	noOpDesk     = 14 // 1,000 members, with the token and the account's settings
	changeBulk   = 16 // 200 members, 50 to add of whom 20 are new, 10 to remove
	changeNoBulk = 40
	bigDesk      = 110      // 5,000 members
	bigMemory    = 64 << 10 // KiB, at its peak, of the whole process
	startTime    = 50 * time.Millisecond
)

// A sync that finds nothing to do costs few requests, and takes a few rounds of them: what does not depend on one
// another is asked side by side.
func TestNoOpOfThousand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push(w.members(1000))
	rounds := new(rounds)
	w.transport = func(next http.RoundTripper) http.RoundTripper { return rounds.watch(next, 50*time.Millisecond) }
	started := time.Now()
	run, status := w.sync()
	took := time.Since(started)
	if status != 0 || run.Status != contactsync.StatusUnchanged || run.Summary.Unchanged != 1000 {
		t.Fatalf("status %d, %s, %+v %+v", status, run.Status, run.Summary, run.Error)
	}
	used := run.Requests
	if used.Desk > noOpDesk || used.GitLab != 1 || used.Git != 2 {
		t.Errorf("took %+v requests, at most %d, 1 and 2 are allowed", used, noOpDesk)
	}
	w.counted(used)
	total := used.Desk + used.GitLab + used.Git
	if got := rounds.count(); got*2 >= total {
		t.Errorf("%d requests took %d rounds, one after the other", total, got)
	}
	t.Logf("%+v in %d rounds; with 50 ms of latency %v, one after the other %v",
		used, rounds.count(), took.Round(time.Millisecond), time.Duration(total)*50*time.Millisecond)
}

// maxTelling is what telling people on GitLab how a run ended may take beside it.
const maxTelling = 5

// counted checks the run's own count against the stand-ins'. What tells people how it ended is not the run's.
func (w *world) counted(used contactsync.Requests) {
	w.Helper()
	if got := len(w.desk.Requests()); got != used.Desk {
		w.Errorf("the run counted %d requests to the desk, which had %d", used.Desk, got)
	}
	api, git, told := 0, 0, 0
	for _, r := range w.forge.Requests() {
		switch {
		case telling.MatchString(r.Path):
			told++
		case strings.HasPrefix(r.Path, "/api/"):
			api++
		default:
			git++
		}
	}
	if told == 0 || told > maxTelling {
		w.Errorf("telling people took %d requests", told)
	}
	if api != used.GitLab || git != used.Git {
		w.Errorf("the run counted %d requests to GitLab and %d to git, which had %d and %d", used.GitLab, used.Git, api, git)
	}
}

// An ordinary change costs few requests, with bulk imports and without.
func TestRequestsOfAChange(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		bulk bool
		most int
	}{{"bulk", true, changeBulk}, {"no bulk", false, changeNoBulk}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.desk.Configure(func(s *fakezendesk.Settings) { s.BulkImport = test.bulk })
			if !test.bulk {
				w.set("CONTACTSYNC_ZENDESK_BULK=off")
			}
			everybody := numbered(240)
			for i, c := range everybody {
				user := fakezendesk.User{Name: c.Name, Email: string(c.Email)}
				if i < 200 {
					user.Organizations = []int64{w.org}
				} else if i >= 230 {
					continue
				}
				w.desk.AddUser(user)
			}
			file := everybody[10:] // 190 stay, 30 are known, 10 are new
			for i := range 10 {
				file = append(file, contact("New", fmt.Sprintf("new%d@example.com", i)))
			}
			w.push(file)
			run, status := w.sync()
			want := contactsync.Summary{Create: 20, Add: 30, Remove: 10, Unchanged: 190}
			if status != 0 || run.Summary != want {
				t.Fatalf("status %d, %s, %+v, %+v", status, run.Status, run.Summary, run.Error)
			}
			if run.Requests.Desk > test.most {
				t.Errorf("took %d requests to the desk, at most %d are allowed", run.Requests.Desk, test.most)
				for _, r := range w.desk.Requests() {
					t.Logf("%3d %s %s %d", r.N, r.Method, r.Path, r.Status)
				}
			}
			w.counted(run.Requests)
			w.hasExactly(file)
			t.Logf("%+v", run.Requests)
		})
	}
}

// Five thousand members, the most that a file may list, fit into a small process.
func TestMemoryOfFiveThousand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.push(w.members(5000))
	w.set("CONTACTSYNC_ZENDESK_REQUESTS_PER_MINUTE=10000") // nothing is to be waited for
	output, peak := w.measure(buildProgram(t), "sync", fmt.Sprint(project), "--output", "json")
	var run contactsync.Run
	if err := json.Unmarshal(output, &run); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	if run.Status != contactsync.StatusUnchanged || run.Summary.Unchanged != 5000 {
		t.Fatalf("%s, %+v, %+v", run.Status, run.Summary, run.Error)
	}
	if run.Requests.Desk > bigDesk {
		t.Errorf("took %d requests to the desk, at most %d are allowed", run.Requests.Desk, bigDesk)
	}
	if peak > bigMemory {
		t.Errorf("took %d KiB of memory at its peak, at most %d are allowed", peak, bigMemory)
	}
	t.Logf("%+v, %d KiB", run.Requests, peak)
}

// The program starts at once.
func TestStart(t *testing.T) {
	program := buildProgram(t)
	best := time.Hour
	for range 5 { // the machine may be busy with other things
		started := time.Now()
		if output, err := exec.Command(program, "version").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, output)
		}
		best = min(best, time.Since(started))
	}
	if best > startTime {
		t.Errorf("contactsync version took %v, at most %v are allowed", best, startTime)
	}
	t.Logf("%v", best)
}

// buildProgram builds the program as it is shipped.
func buildProgram(t testing.TB) string { return build(t, ".") }

func build(t testing.TB, source string) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "program")
	if output, err := exec.Command("go", "build", "-o", program, source).CombinedOutput(); err != nil {
		t.Fatalf("building %s: %v\n%s", source, err, output)
	}
	return program
}

// measure runs a program in this world, and returns what it wrote and its peak memory in KiB.
func (w *world) measure(program string, args ...string) ([]byte, int64) {
	w.Helper()
	var stderr bytes.Buffer
	cmd := exec.Command(build(w, "./testdata/measure"), append([]string{program}, args...)...)
	cmd.Env = slices.Concat(os.Environ(), w.env)
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if err != nil {
		w.Fatalf("%v\n%s", err, stderr.String())
	}
	var report struct {
		Output       []byte
		Peak, Status int64
	}
	if err := json.Unmarshal(stdout, &report); err != nil {
		w.Fatal(err)
	}
	if report.Status != 0 {
		w.Fatalf("the program ended with %d\n%s%s", report.Status, report.Output, stderr.String())
	}
	return report.Output, report.Peak
}

// rounds counts how many requests had to wait for one another: the longest chain of requests each of which began
// after the one before had ended.
type rounds struct {
	mu    sync.Mutex
	spans []span
}

type span struct{ begin, end time.Time }

// watch delays each request, so that those that are sent together overlap.
func (c *rounds) watch(next http.RoundTripper, latency time.Duration) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		begin := time.Now()
		select {
		case <-time.After(latency):
		case <-r.Context().Done():
		}
		response, err := next.RoundTrip(r)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.spans = append(c.spans, span{begin, time.Now()})
		return response, err
	})
}

func (c *rounds) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	slices.SortFunc(c.spans, func(a, b span) int { return a.end.Compare(b.end) })
	count, last := 0, time.Time{}
	for _, s := range c.spans { // the one that ends first leaves most room for the others
		if !s.begin.Before(last) {
			count, last = count+1, s.end
		}
	}
	return count
}

// BenchmarkNoOp is a whole run that finds nothing to do, with the store and real git.
func BenchmarkNoOp(b *testing.B) {
	for _, members := range []int{100, 1000, 5000} {
		b.Run(strconv.Itoa(members), func(b *testing.B) {
			w := newWorld(b)
			w.push(w.members(members))
			var run contactsync.Run
			for b.Loop() {
				if run, _ = w.sync(); run.Status != contactsync.StatusUnchanged {
					b.Fatalf("%s, %+v", run.Status, run.Error)
				}
			}
			b.ReportMetric(float64(run.Requests.Desk), "desk-requests/op")
		})
	}
}
