package zendesk

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxBody bounds what is read of a request; a hundred users are far below it.
const maxBody = 4 << 20

// Server is a Zendesk account over HTTP. Its methods may be called at any time, from any goroutine.
type Server struct {
	clock   func() time.Time
	options Options

	mu         sync.Mutex
	settings   Settings
	account    *account
	jobs       jobs
	tokens     map[string]token
	limits     limits
	faults     []*armedFault
	count      int // requests since the start or the last reset
	requests   []Request
	mails      []string
	violations []string
	release    chan struct{} // closed by Release
	minted     int
}

// Request is one request that was received.
type Request struct {
	N      int // from 1, in the order of arrival
	Method string
	Path   string
	Query  url.Values
	Status int    // 0 where the connection was cut without an answer
	Fault  string // name of the fault that hit it, or ""
}

// New returns an empty account with DefaultSettings.
func New(options Options) *Server {
	s := &Server{
		clock:    options.Clock,
		options:  options,
		settings: DefaultSettings(),
		account:  newAccount(),
		tokens:   map[string]token{},
		limits:   limits{},
		release:  make(chan struct{}),
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	return s
}

// Configure changes the settings; requests that are already being answered keep the old ones.
func (s *Server) Configure(change func(*Settings)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.settings)
}

// Requests returns what was received since the start or the last ResetRequests, in the order of arrival.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// ResetRequests empties the record of requests and begins to count at 1 again.
func (s *Server) ResetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.count = nil, 0
}

// Mails returns the addresses that would have got a welcome or verification mail, in order.
func (s *Server) Mails() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.mails...)
}

// Violations returns what no careful client does, in order: each with the request that did it.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.violations...)
}

// call is one request while it is answered. Handlers run under the server's lock.
type call struct {
	s        *Server
	settings Settings
	method   string
	target   string   // the path as it was sent
	path     []string // without /api/v2 and .json
	header   http.Header
	query    url.Values
	body     []byte
	base     string // scheme and host, for the addresses in answers
	now      time.Time
	params   map[string]string
	nobody   bool        // signed in as nobody, where that is let through
	fault    *armedFault // what may strike the request, or nil
}

// answer is what goes back.
type answer struct {
	status int
	header http.Header
	body   []byte

	cut, truncated, slow bool // what a fault does to the connection
}

// reply builds an answer from a value.
func reply(status int, value any) answer {
	body, err := json.Marshal(value)
	if err != nil {
		// Custom field values come from outside and might not be JSON (a NaN, say).
		return failure(http.StatusInternalServerError, "InternalError", err.Error())
	}
	return answer{status: status, header: http.Header{"Content-Type": {"application/json; charset=utf-8"}}, body: body}
}

func noContent() answer { return answer{status: http.StatusNoContent, header: http.Header{}} }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	latency := s.settings.Latency
	s.mu.Unlock()
	if latency != nil {
		latency(r)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return // the client is gone
	}

	s.mu.Lock()
	s.count++
	n := s.count
	fault := s.pickFault(r, body, n)
	result := s.answerLocked(r, body, fault)
	entry := Request{N: n, Method: r.Method, Path: r.URL.Path, Query: r.URL.Query(), Status: result.status}
	if fault != nil && fault.struck {
		entry.Fault = fault.Name
	}
	s.requests = append(s.requests, entry)
	release := s.release
	s.mu.Unlock()

	deliver(w, r, result, release)
}

// answerLocked works out the answer to a request, with what the fault does to it short of cutting the connection.
func (s *Server) answerLocked(r *http.Request, body []byte, fault *armedFault) answer {
	if early, ok := fault.instead(s.clock(), s.settings); ok {
		return early
	}
	c := &call{
		s: s, settings: s.settings, method: r.Method, target: r.URL.Path, header: r.Header, query: r.URL.Query(), body: body,
		base: baseOf(r), now: s.clock(), fault: fault,
	}
	result := s.route(c)
	return fault.spoil(result, c)
}

func (s *Server) route(c *call) answer {
	s.settle(c.now)
	if c.target == "/oauth/tokens" && c.method == http.MethodPost {
		return c.createToken()
	}
	rest, ok := strings.CutPrefix(c.target, "/api/v2/")
	if !ok {
		return c.unknownEndpoint()
	}
	c.path = strings.Split(strings.TrimSuffix(rest, ".json"), "/")
	found := findRoute(c)
	if found == nil {
		if denied, ok := c.authenticate("", false); !ok {
			return denied
		}
		return c.unknownEndpoint()
	}
	denied, ok := c.authenticate(found.resource, found.anonymous)
	if !ok {
		return denied
	}
	limited, header, ok := s.limits.account(c)
	if !ok {
		return limited
	}
	result := c.withCrowds(found)
	for name, values := range header {
		if result.header.Get(name) == "" {
			result.header[name] = values
		}
	}
	return result
}

func (c *call) unknownEndpoint() answer {
	c.violation("unknown endpoint")
	return failure(http.StatusNotFound, "InvalidEndpoint", "Not found")
}

// violation records what no careful client does.
func (c *call) violation(what string) {
	c.s.violations = append(c.s.violations, what+": "+c.method+" "+c.target)
}

func baseOf(r *http.Request) string {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}

// id reads a number of the path; false when it is none, which Zendesk answers like an unknown id.
func (c *call) id(name string) (int64, bool) {
	id, err := strconv.ParseInt(c.params[name], 10, 64)
	return id, err == nil
}

// decode reads the request's JSON body.
func (c *call) decode(into any) (answer, bool) {
	decoder := json.NewDecoder(bytes.NewReader(c.body))
	if err := decoder.Decode(into); err != nil {
		return failure(http.StatusUnprocessableEntity, "Unprocessable Entity",
			"The server could not process the attached message body. "+err.Error()), false
	}
	return answer{}, true
}
