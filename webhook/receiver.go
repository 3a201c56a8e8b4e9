// Package webhook receives GitLab's hooks: it checks that a delivery is authentic, has it stored, and answers. It does
// nothing else, because GitLab waits ten seconds, does not deliver again, and disables hooks that fail
// (https://docs.gitlab.com/user/project/integrations/webhooks/).
//
// A delivery is a hint that something changed, so it is safe to ignore one, to be told twice, and to believe no more of
// it than the project's number.
package webhook

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"contactsync"
)

// Intake is where authentic deliveries go. Both methods must return when the context ends, which is after a few
// seconds; any error is answered 503.
type Intake interface {
	// Accept stores the delivery durably; a run of its project follows.
	Accept(ctx context.Context, delivery contactsync.Delivery) (contactsync.Receipt, error)
	// Refuse records a run that failed with the reason, of the project that the hook named wrongly: its PROJECT_ID as
	// it was given, or delivery.Project where it gave none. Nothing is synced.
	Refuse(ctx context.Context, delivery contactsync.Delivery, project contactsync.ProjectRef, reason error) error
}

// Options is how a Receiver is made. Credentials and Intake are required.
type Options struct {
	Credentials Credentials
	Intake      Intake
	Branch      string // whose pushes start runs; "" is DefaultBranch
	// MergeRequests has those that lead to the branch stored, too; else they mean nothing here.
	MergeRequests bool

	// Answered is told of every request to the two addresses: AddressHook or AddressTrigger, and one of the answers
	// below. It is called by many goroutines, before the answer is sent. nil is nobody.
	Answered func(address, answer string)
	Logger   *slog.Logger     // nil logs nothing
	Now      func() time.Time // nil is time.Now

	// Limits; zero is the default of the same name.
	BodyLimit    int64         // bytes
	ReadTimeout  time.Duration // for the body to arrive
	StoreTimeout time.Duration // for the Intake to answer
	Waiting      int           // deliveries that may be with the Intake at the same time
}

// The defaults. Reading and storing together never take longer than handlingTime, so that GitLab hears an answer.
const (
	DefaultBranch       = "master"
	DefaultBodyLimit    = 1 << 20
	DefaultReadTimeout  = 5 * time.Second
	DefaultStoreTimeout = 5 * time.Second
	DefaultWaiting      = 256

	handlingTime = 9 * time.Second
	retryAfter   = "30" // seconds
)

// The addresses that Answered is told, and the patterns of their routes.
const (
	AddressHook    = "hook"
	AddressTrigger = "trigger"

	HookRoute    = "/hooks/gitlab"
	TriggerRoute = "/api/v4/projects/{id}/ref/{ref}/trigger/pipeline"
)

// What became of a request.
const (
	AnswerAccepted     = "accepted"     // stored: a run follows
	AnswerJoined       = "joined"       // stored, and no further run follows
	AnswerIgnored      = "ignored"      // authentic, and means nothing here
	AnswerRefused      = "refused"      // PROJECT_ID is wrong: recorded as a run that failed
	AnswerUnauthorized = "unauthorized" // no credential, or a wrong one
	AnswerInvalid      = "invalid"      // not a hook: another method, not JSON, a push without a project
	AnswerTooLarge     = "too_large"    // the body is over the limit
	AnswerTimeout      = "timeout"      // the body did not arrive in time
	AnswerAborted      = "aborted"      // the sender broke off in the middle of the body
	AnswerUnavailable  = "unavailable"  // the Intake failed, or too many deliveries wait for it
)

// Receiver is the http.Handler for both addresses; it answers 404 for any other. Register puts the two into a larger
// ServeMux. It is safe for use by many goroutines.
type Receiver struct {
	options Options
	keys    keyring
	waiting chan struct{}
	mux     *http.ServeMux

	unauthorized, broken, unavailable gate
}

// New returns a receiver. It fails without an Intake, without any credential, and with one that cannot be right; the
// error never repeats a credential.
func New(options Options) (*Receiver, error) {
	if options.Intake == nil {
		return nil, errors.New("the receiver of hooks has nowhere to store them")
	}
	keys, err := newKeyring(options.Credentials)
	if err != nil {
		return nil, err
	}
	options.Credentials = Credentials{} // only what compares them is kept
	options.Branch = cmp.Or(options.Branch, DefaultBranch)
	options.BodyLimit = cmp.Or(options.BodyLimit, DefaultBodyLimit)
	options.ReadTimeout = cmp.Or(options.ReadTimeout, DefaultReadTimeout)
	options.StoreTimeout = cmp.Or(options.StoreTimeout, DefaultStoreTimeout)
	options.Waiting = cmp.Or(options.Waiting, DefaultWaiting)
	if options.BodyLimit < 0 || options.ReadTimeout < 0 || options.StoreTimeout < 0 || options.Waiting < 0 {
		return nil, errors.New("the limits of the receiver must not be negative")
	}
	if options.Answered == nil {
		options.Answered = func(string, string) {}
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	r := &Receiver{options: options, keys: keys, waiting: make(chan struct{}, options.Waiting), mux: http.NewServeMux()}
	r.Register(r.mux)
	r.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusNotFound, notFound) })
	return r, nil
}

// Routes is where handlers are registered; an http.ServeMux is one.
type Routes interface {
	Handle(pattern string, handler http.Handler)
}

// Register adds the two addresses, for every method, so that the mux's other routes cannot catch what is not a POST.
func (r *Receiver) Register(mux Routes) {
	mux.Handle(HookRoute, r.serve(AddressHook, r.hook, hookAnswer))
	mux.Handle(TriggerRoute, r.serve(AddressTrigger, r.trigger, triggerAnswer))
}

func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) { r.mux.ServeHTTP(w, req) }

// result is what became of a request.
type result struct {
	answer   string
	delivery contactsync.Delivery
	receipt  contactsync.Receipt // with accepted and joined
	ignored  string              // why
	err      error               // why, with the other answers that are none of these
}

// serve returns the handler of an address. It counts each request once, logs it, and answers what became of it.
func (r *Receiver) serve(address string, handle func(*incoming) result, answer func(*http.Request, result) (int, any)) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodPost {
			r.options.Answered(address, AnswerInvalid)
			w.Header().Set("Allow", http.MethodPost)
			write(w, http.StatusMethodNotAllowed, failed{Error: AnswerInvalid, Detail: "hooks are sent with POST"})
			return
		}
		in := &incoming{Request: req, w: w, arrived: time.Now(), received: r.options.Now()}
		// It bounds what the server reads after us, too, to keep the connection. Where it cannot be set, the server's
		// own limit holds.
		_ = http.NewResponseController(w).SetReadDeadline(in.arrived.Add(r.options.ReadTimeout))
		res := handle(in)
		r.options.Answered(address, res.answer)
		r.log(in, res)
		switch res.answer {
		case AnswerTooLarge, AnswerTimeout, AnswerAborted:
			w.Header().Set("Connection", "close") // the rest of the body is not waited for
		case AnswerUnavailable:
			w.Header().Set("Retry-After", retryAfter)
		}
		status, body := answer(req, res)
		write(w, status, body)
	}
}

// incoming is a request on its way through.
type incoming struct {
	*http.Request
	w        http.ResponseWriter
	arrived  time.Time // for what takes time
	received time.Time // by the clock that was handed in
}

// hook handles HookRoute.
func (r *Receiver) hook(in *incoming) result {
	claim, ok := r.keys.hook(in.Header, in.received)
	if !ok {
		return result{answer: AnswerUnauthorized}
	}
	body, failure := r.read(in)
	if failure != nil {
		return *failure
	}
	if claim, ok = r.keys.weigh(claim, body); !ok {
		return result{answer: AnswerUnauthorized}
	}
	p, isObject := parsePayload(in.Header.Get("X-Gitlab-Event"), body)
	if !r.keys.holds(claim, body, p) {
		return result{answer: AnswerUnauthorized}
	}
	delivery, decided := r.judge(in, p, isObject)
	if decided != nil {
		return *decided
	}
	return r.accept(in, delivery)
}

// read returns the body, or what became of the request without it.
func (r *Receiver) read(in *incoming) ([]byte, *result) {
	if in.ContentLength > r.options.BodyLimit {
		return nil, &result{answer: AnswerTooLarge, err: errTooLarge}
	}
	var body bytes.Buffer
	body.Grow(int(min(max(in.ContentLength, 0), 64<<10)) + bytes.MinRead) // more only once it is here
	_, err := body.ReadFrom(http.MaxBytesReader(in.w, in.Body, r.options.BodyLimit))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &result{answer: AnswerTooLarge, err: errTooLarge}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &result{answer: AnswerTimeout, err: errSlow}
	case err != nil:
		return nil, &result{answer: AnswerAborted, err: errAborted}
	}
	return body.Bytes(), nil
}

// judge returns what an authentic event asks for, or why it asks for nothing.
func (r *Receiver) judge(in *incoming, p payload, isObject bool) (contactsync.Delivery, *result) {
	delivery := contactsync.Delivery{
		Project: p.projectNumber(), Key: idempotencyKey(in.Header), Event: "push", Received: in.received,
	}
	if !isObject {
		return delivery, &result{answer: AnswerInvalid, err: errNotJSON}
	}
	if p.isPush() && delivery.Project == 0 {
		return delivery, &result{answer: AnswerInvalid, err: errNoProject}
	}
	if why := p.ignored(r.options.Branch, r.options.MergeRequests); why != "" {
		return delivery, &result{answer: AnswerIgnored, delivery: delivery, ignored: why}
	}
	if p.isRequest() {
		delivery.Event, delivery.Request = "merge_request", int64(p.Request.Number)
	}
	return delivery, nil
}

func (r *Receiver) accept(in *incoming, delivery contactsync.Delivery) result {
	var receipt contactsync.Receipt
	err := r.store(in, func(ctx context.Context) (err error) {
		receipt, err = r.options.Intake.Accept(ctx, delivery)
		return err
	})
	switch {
	case err != nil:
		return result{answer: AnswerUnavailable, delivery: delivery, err: err}
	case receipt.Joined:
		return result{answer: AnswerJoined, delivery: delivery, receipt: receipt}
	}
	return result{answer: AnswerAccepted, delivery: delivery, receipt: receipt}
}

// store lets the Intake do one thing, unless too many deliveries wait for it already. A sender that hung up does not
// come again, so what it said is stored all the same.
func (r *Receiver) store(in *incoming, do func(context.Context) error) error {
	select {
	case r.waiting <- struct{}{}:
		defer func() { <-r.waiting }()
	default:
		return errFull
	}
	// The server watches the connection while the store works, and that is no longer a matter of the body.
	_ = http.NewResponseController(in.w).SetReadDeadline(time.Time{})
	patience := min(r.options.StoreTimeout, time.Until(in.arrived.Add(handlingTime)))
	ctx, cancel := context.WithTimeout(context.WithoutCancel(in.Context()), patience)
	defer cancel()
	if err := do(ctx); err != nil {
		return fmt.Errorf("storing a delivery: %w", err)
	}
	return nil
}

var (
	errTooLarge  = errors.New("the body is too large")
	errSlow      = errors.New("the body did not arrive in time")
	errAborted   = errors.New("the body broke off")
	errNotJSON   = errors.New("the body is no JSON object")
	errNoProject = errors.New("project_id is no positive whole number")
	errFull      = errors.New("too many deliveries wait to be stored")
)

// maxKey bounds what the sender makes us store.
const maxKey = 255

// idempotencyKey is "" where the sender gave none, or none that anybody should keep.
func idempotencyKey(header http.Header) string {
	key := header.Get("Idempotency-Key")
	if len(key) > maxKey {
		return ""
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return ""
		}
	}
	return key
}
