package gitlab

import (
	"bytes"
	"context"
	"net/http"
	"regexp"
)

// Fault is something that goes wrong, or is slow, on the requests that it fits.
type Fault struct {
	Method string         // "" fits every method
	Path   *regexp.Regexp // of the decoded path; nil fits every path
	Times  int            // how many requests it befalls; 0 is all of them

	// Wait is called first and may block; when it returns an error the connection is cut.
	Wait func(context.Context) error

	// Status, with Header and Body, is answered instead of what the server would say.
	Status int
	Header http.Header
	Body   string
	// Reset cuts the connection without an answer.
	Reset bool
	// After makes Status and Reset come only once the request has taken effect: an ambiguous write.
	After bool

	ContentType string // replaces the answer's own
	Truncate    int64  // cuts the connection after so many bytes of the answer's body
}

// Inject switches a fault on. Where several fit a request, the one injected first befalls it. The function that is
// returned switches it off again.
func (s *Server) Inject(fault Fault) (remove func()) {
	f := &fault
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, f)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.removeFault(f)
	}
}

// ClearFaults switches all faults off.
func (s *Server) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// removeFault expects the lock to be held.
func (s *Server) removeFault(fault *Fault) {
	for i, f := range s.faults {
		if f == fault {
			s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
			return
		}
	}
}

// takeFault returns the fault that befalls the request, the zero Fault for none.
func (s *Server) takeFault(r *http.Request) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if f.Method != "" && f.Method != r.Method || f.Path != nil && !f.Path.MatchString(r.URL.Path) {
			continue
		}
		taken := *f
		if f.Times > 0 {
			f.Times--
			if f.Times == 0 {
				s.removeFault(f)
			}
		}
		return taken
	}
	return Fault{}
}

func (f Fault) answer(w http.ResponseWriter) {
	for name, values := range f.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(f.Status)
	// A client that hung up is the client's business.
	_, _ = w.Write([]byte(f.Body))
}

// answer is a ResponseWriter that keeps the log of requests, and spoils what it writes as the fault says.
type answer struct {
	http.ResponseWriter
	server  *Server
	entry   *Request
	fault   Fault
	started bool
	sent    int64
}

func (a *answer) WriteHeader(status int) {
	if a.started {
		return
	}
	a.started = true
	if a.fault.ContentType != "" {
		a.Header().Set("Content-Type", a.fault.ContentType)
	}
	a.server.logging.Lock()
	a.entry.Status = status
	a.server.logging.Unlock()
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(data []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	cut := a.fault.Truncate > 0 && a.sent+int64(len(data)) > a.fault.Truncate
	if cut {
		data = data[:a.fault.Truncate-a.sent]
	}
	a.sent += int64(len(data))
	a.server.logging.Lock()
	a.entry.Sent = a.sent
	a.server.logging.Unlock()
	n, err := a.ResponseWriter.Write(data)
	if cut {
		a.Flush()
		panic(http.ErrAbortHandler)
	}
	return n, err
}

func (a *answer) Flush() {
	// A connection that cannot be flushed delivers later, which is all that a flush could change.
	_ = http.NewResponseController(a.ResponseWriter).Flush()
}

// bufferedAnswer is a ResponseWriter that keeps the answer instead of sending it.
type bufferedAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (b *bufferedAnswer) Header() http.Header { return b.header }

func (b *bufferedAnswer) WriteHeader(status int) {
	if b.status == 0 {
		b.status = status
	}
}

func (b *bufferedAnswer) Write(data []byte) (int, error) {
	b.WriteHeader(http.StatusOK)
	return b.body.Write(data)
}
