package gitlab

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"contactsync"
	"contactsync/outbound"
)

// Why a request ended, where its status does not tell.
var (
	errSlow     = errors.New("the time limit of a call to GitLab")
	errTooMuch  = errors.New("the answer is over the limit")
	errRedirect = errors.New("the server points elsewhere")
)

const (
	// maxAnswer bounds an answer. A project takes about 10 KiB.
	maxAnswer = 1 << 20
	// maxWords bounds what is kept of an answer that says that something is not there.
	maxWords = 4 << 10
	// maxRetries is how often a request is sent again.
	maxRetries = 2
	// maxWait is the longest pause that GitLab may ask for and get within a call; a run waits for longer ones.
	maxWait = 5 * time.Second
	// firstWait is the pause where GitLab names none. It doubles.
	firstWait = 300 * time.Millisecond
)

// call is what the requests of one call may have, and what they bring beside the answer.
type call struct {
	most    int64    // bytes of an answer; 0 is maxAnswer
	missing []byte   // what the last answer of status 404 said: client-go does not keep it
	secrets []string // that were sent, and must not come back in an error
}

type callKey struct{}

func withCall(ctx context.Context, c *call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

func callOf(ctx context.Context) *call {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c
	}
	return new(call)
}

func (c *call) limit() int64 { return cmp.Or(c.most, maxAnswer) }

// keep reads the words of an answer that says that something is not there.
func (c *call) keep(response *http.Response) {
	if response.StatusCode != http.StatusNotFound {
		return
	}
	// What was cut off on the way says as little as what was not said.
	c.missing, _ = io.ReadAll(io.LimitReader(response.Body, maxWords))
	response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(c.missing))
}

// courier carries requests: it counts each attempt, bounds the answers, and sends again what may be sent again.
type courier struct {
	next http.RoundTripper
	wait func(context.Context, time.Duration) error
}

func (c *courier) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx := request.Context()
	for attempt := 0; ; attempt++ {
		contactsync.CountRequest(ctx, contactsync.SystemGitLab)
		response, err := c.next.RoundTrip(request)
		pause, again := again(request, response, err, attempt)
		if !again || ctx.Err() != nil {
			if err != nil {
				return nil, err
			}
			call := callOf(ctx)
			call.keep(response)
			response.Body = &bounded{ReadCloser: response.Body, left: call.limit()}
			return response, nil
		}
		if err == nil {
			response.Body.Close()
		}
		if err := c.wait(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// again tells whether, and after which pause, a request may be sent once more: only reading is, and only when the
// answer says that GitLab is busy or broken, or there was none.
func again(request *http.Request, response *http.Response, err error, attempt int) (time.Duration, bool) {
	if attempt == maxRetries || request.Method != http.MethodGet && request.Method != http.MethodHead {
		return 0, false
	}
	pause := firstWait << attempt
	if err != nil {
		return pause, true
	}
	switch response.StatusCode {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
	default:
		return 0, false
	}
	now := time.Now()
	if at, told := outbound.RetryAfter(response.Header, now); told {
		pause = max(at.Sub(now), 0)
	}
	return pause, pause <= maxWait
}

// bounded is an answer that ends with errTooMuch when it is over the limit.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		return int(b.left), errTooMuch
	}
	b.left -= int64(n)
	return n, err
}
