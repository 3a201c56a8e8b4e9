package proof_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for something that must happen: far above what it takes, because machines are busy.
const patience = 60 * time.Second

const (
	grace     = 5 * time.Second // what processes have to bring runs under way to their end
	flushTime = 5 * time.Second // what they may take beyond that
	leaseTime = 2 * time.Second // how long a project stays taken by a process that is not heard of
)

// line is one of a process's log.
type line map[string]any

func (l line) says(message string) bool { return l["msg"] == message }

func (l line) text(key string) string {
	text, _ := l[key].(string)
	return text
}

// ended tells of a run of the project; 0 is any.
func (l line) ended(project int64) bool {
	return l.says("run ended") && (project == 0 || l["project"] == float64(project))
}

// at is when the line was written.
func (l line) at() time.Time {
	at, err := time.Parse(time.RFC3339Nano, l.text("time"))
	if err != nil {
		panic(err) // every line has its time
	}
	return at
}

// process is contactsync serve in a process of its own. Its log is what tells how it fares.
type process struct {
	testing.TB
	name    string
	cmd     *exec.Cmd
	address string // where it takes hooks
	exited  chan struct{}
	runs    counter // that ended

	mu    sync.Mutex
	lines []line
	other strings.Builder // what is no JSON, such as the trace of a crash
	grown chan struct{}   // closed when there is one more
}

// launch starts a process that signs in to the desk under its name.
func (w *world) launch(name string, variables ...string) *process {
	w.Helper()
	p := &process{TB: w.TB, name: name, exited: make(chan struct{}), grown: make(chan struct{})}
	p.cmd = exec.Command(program, "serve", "--log-level", "info")
	p.cmd.Dir = w.dir
	p.cmd.Env = append(os.Environ(), "CONTACTSYNC_ZENDESK_EMAIL="+name+"@example.com", "CONTACTSYNC_STORE="+w.store)
	p.cmd.Env = append(p.cmd.Env, variables...)
	p.cmd.SysProcAttr = w.user
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		w.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		w.Fatal(err)
	}
	go p.follow(stderr)
	w.Cleanup(p.kill)
	return p
}

// start is launch, until the process takes hooks.
func (w *world) start(name string, variables ...string) *process {
	w.Helper()
	p := w.launch(name, variables...)
	serving, ok := p.await(0, func(l line) bool { return l.says("serving") })
	if !ok {
		w.Fatalf("%s does not serve:\n%s", name, p.log())
	}
	p.address = "http://" + serving.text("address")
	return p
}

// follow reads the log to its end.
func (p *process) follow(log io.Reader) {
	for scanner := bufio.NewScanner(log); scanner.Scan(); {
		var l line
		err := json.Unmarshal(scanner.Bytes(), &l)
		p.mu.Lock()
		if err != nil {
			p.other.WriteString(scanner.Text() + "\n")
		} else {
			p.lines = append(p.lines, l)
		}
		close(p.grown)
		p.grown = make(chan struct{})
		p.mu.Unlock()
		if l.ended(0) {
			p.runs.add()
		}
	}
	_ = p.cmd.Wait() // the status is looked at by who wants it
	close(p.exited)
}

// log is what the process has said, for who must find out what went wrong.
func (p *process) log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var text strings.Builder
	for _, l := range p.lines {
		if l.says("hook stored") {
			continue // there are hundreds
		}
		content, _ := json.Marshal(l) // it was read as JSON
		text.Write(append(content, '\n'))
	}
	return p.name + ":\n" + text.String() + p.other.String()
}

// mark is how many lines there are, see await.
func (p *process) mark() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.lines)
}

// await returns the first line from the mark on that matches, or false when the process ends or patience does.
func (p *process) await(mark int, matches func(line) bool) (line, bool) {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for over := false; ; {
		p.mu.Lock()
		for ; mark < len(p.lines); mark++ {
			if matches(p.lines[mark]) {
				defer p.mu.Unlock()
				return p.lines[mark], true
			}
		}
		grown := p.grown
		p.mu.Unlock()
		if over {
			return nil, false
		}
		select {
		case <-grown:
		case <-p.exited:
			over = true
		case <-limit.C:
			return nil, false
		}
	}
}

// all returns the lines that match.
func (p *process) all(matches func(line) bool) (found []line) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.lines {
		if matches(l) {
			found = append(found, l)
		}
	}
	return found
}

// kill ends the process as a power cut would. It may be called at any time.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be gone already
	<-p.exited
}

// freeze stops the process without its noticing, until thaw.
func (p *process) freeze() { p.signal(syscall.SIGSTOP) }
func (p *process) thaw()   { p.signal(syscall.SIGCONT) }

func (p *process) signal(signal os.Signal) {
	p.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.Errorf("sending %s to %s: %v", signal, p.name, err)
	}
}

// stop tells the process to end, and checks that it does so in its time and well. It returns how long that took.
func (p *process) stop() time.Duration {
	p.Helper()
	began := time.Now()
	p.signal(syscall.SIGTERM)
	limit := time.NewTimer(patience)
	defer limit.Stop()
	select {
	case <-p.exited:
	case <-limit.C:
		p.Fatalf("%s does not end:\n%s", p.name, p.log())
	}
	took := time.Since(began)
	if took > grace+flushTime {
		p.Errorf("%s needed %s to end, and had %s:\n%s", p.name, took, grace, p.log())
	}
	if status := p.cmd.ProcessState.ExitCode(); status != 0 || p.other.Len() > 0 {
		p.Errorf("%s ended with status %d:\n%s", p.name, status, p.log())
	}
	return took
}

// get asks the process something, and returns the status and the body.
func (p *process) get(client *http.Client, path string) (int, string) {
	p.Helper()
	answer, err := client.Get(p.address + path)
	if err != nil {
		p.Fatalf("%s does not answer: %v\n%s", p.name, err, p.log())
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		p.Fatal(err)
	}
	return answer.StatusCode, string(body)
}
