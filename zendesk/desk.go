// Package zendesk is the desk adapter for Zendesk Support: organizations, their members, the few writes that
// keep members equal to a list, and those that link an organization to a project and answer a ticket.
//
// It never writes organization_id to an existing user (that would remove every other membership), never changes a
// role, never deletes a person, and never sends an ambiguous write again without having looked what became of it.
// Behaviour relied upon is documented at https://developer.zendesk.com/api-reference/ticketing/introduction/; what is
// not documented there is found out at run time, with a fallback.
package zendesk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"contactsync"
	"contactsync/outbound"

	api "github.com/nukosuke/go-zendesk/zendesk"
)

// The defaults of Options.
const (
	DefaultProjectField = "cmp_id"
	DefaultBudget       = 0.5
	DefaultPatience     = 3 * time.Minute
	DefaultMaxWait      = 2 * time.Minute
	DefaultTimeout      = time.Minute
)

// parallel is how many requests one call sends side by side.
const parallel = 10

// Bulk says whether people are created by bulk jobs, which Zendesk enables per account and on request only.
type Bulk string

// The ways to create people.
const (
	BulkAuto Bulk = "auto" // try once, and remember a refusal for the process
	BulkOn   Bulk = "on"   // even for one or two people, and refused means failed over to single requests
	BulkOff  Bulk = "off"
)

// Options are what a Desk is made with. URL, one way to sign in, and nothing else is required.
type Options struct {
	URL string // https://example.zendesk.com; http for loopback alone

	ClientID     string // OAuth client credentials
	ClientSecret string
	Email        string // API token, which Zendesk retires on 2027-04-30
	Token        string

	ProjectField      string  // key of the organization field with the project's number
	RequestsPerMinute int     // the account's limit; 0: learnt from its answers
	Budget            float64 // share of that limit that may be used, up to 1
	Bulk              Bulk    // BulkAuto when empty
	// AddElsewhere lets Add take on people who belong to another organization, where the account lets a person have
	// several. Without it they are refused.
	AddElsewhere bool

	Links Links // what is remembered; MemoryLinks when nil

	Transport http.RoundTripper                          // a plain one when nil
	Now       func() time.Time                           // time.Now when nil
	Wait      func(context.Context, time.Duration) error // a timer when nil; returns the context's error when it ends first
	Timeout   time.Duration                              // of one attempt of one request
	// Patience is how long Add looks for a person whose creation had no clear end.
	Patience time.Duration
	// MaxWait is how long one request may wait for the limit before the call fails with rate_limited.
	MaxWait time.Duration

	Warn      func(string) // told what an operator should know; nil: nobody is
	UserAgent string       // "contactsync" when empty
}

// Desk is a Zendesk account as a contactsync.Desk, and as all that a desk may be beyond that. One Desk serves a process: it holds the
// account's only rate limiter. It is safe for concurrent use.
type Desk struct {
	endpoint string // with /api/v2
	client   *api.Client
	http     *http.Client
	limit    *limiter

	field        string
	bulk         Bulk
	addElsewhere bool
	links        Links
	now          func() time.Time
	wait         func(context.Context, time.Duration) error
	patience     time.Duration
	ends         contactsync.Date // see CredentialsEnd

	bulkRefused atomic.Bool  // users/create_many answered 403
	noSideLoad  atomic.Bool  // include=users is not answered on an organization's memberships
	words       atomic.Int64 // how many words of addresses a search query takes
	index       index
	settings    struct {
		sync.Mutex
		multiple bool
		until    time.Time
	}
}

var (
	_ contactsync.Desk          = (*Desk)(nil)
	_ contactsync.Renamer       = (*Desk)(nil)
	_ contactsync.Sharer        = (*Desk)(nil)
	_ contactsync.LinkLister    = (*Desk)(nil)
	_ contactsync.FieldReader   = (*Desk)(nil)
	_ contactsync.Linker        = (*Desk)(nil)
	_ contactsync.MemberCounter = (*Desk)(nil)
	_ contactsync.Replier       = (*Desk)(nil)
)

// New returns a desk. It sends nothing yet. Errors say which option is wrong.
func New(o Options) (*Desk, error) {
	base, err := checkURL(o.URL)
	if err != nil {
		return nil, err
	}
	if o.Budget == 0 {
		o.Budget = DefaultBudget
	}
	if o.Budget < 0 || o.Budget > 1 {
		return nil, fmt.Errorf("zendesk.budget is %v: it is a share, over 0 and up to 1", o.Budget)
	}
	if o.RequestsPerMinute < 0 {
		return nil, fmt.Errorf("zendesk.requests_per_minute is %d: it cannot be negative", o.RequestsPerMinute)
	}
	bulk := cmp.Or(o.Bulk, BulkAuto)
	if bulk != BulkAuto && bulk != BulkOn && bulk != BulkOff {
		return nil, fmt.Errorf("zendesk.bulk is %q: it is auto, on or off", o.Bulk)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wait == nil {
		o.Wait = outbound.Wait
	}
	if o.Links == nil {
		o.Links = MemoryLinks()
	}
	if o.Transport == nil {
		o.Transport = newBase()
	}

	t := &transport{
		base:    o.Transport,
		limit:   newLimiter(o.RequestsPerMinute, o.Budget, o.Now, o.Wait),
		wait:    o.Wait,
		maxWait: cmp.Or(o.MaxWait, DefaultMaxWait),
		timeout: cmp.Or(o.Timeout, DefaultTimeout),
		agent:   cmp.Or(o.UserAgent, "contactsync"),
	}
	var ends contactsync.Date
	switch {
	case o.ClientID != "" && o.ClientSecret != "":
		credentials := newClientCredentials(base, o.ClientID, o.ClientSecret, o.Now)
		credentials.send = t.send
		t.sign, t.forget = credentials.sign, credentials.forget
	case o.Email != "" && o.Token != "":
		value := authorization(api.NewAPITokenCredential(o.Email, o.Token))
		t.sign = func(context.Context) (string, error) { return value, nil }
		t.forget = func(context.Context, string) bool { return false }
		ends = legacyEnd
		if o.Warn != nil {
			o.Warn("signing in to Zendesk with an API token: Zendesk retires API tokens on " + legacyEnd +
				"; use an OAuth client (zendesk.client_id, zendesk.client_secret)")
		}
	case o.ClientID != "" || o.ClientSecret != "":
		return nil, errors.New("zendesk.client_id and zendesk.client_secret are needed together")
	case o.Email != "" || o.Token != "":
		return nil, errors.New("zendesk.email and zendesk.token are needed together")
	default:
		return nil, errors.New("zendesk needs credentials: zendesk.client_id and zendesk.client_secret, or zendesk.email and zendesk.token")
	}

	d := &Desk{
		endpoint: base + apiPath,
		http: &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		}},
		limit:        t.limit,
		field:        cmp.Or(o.ProjectField, DefaultProjectField),
		bulk:         bulk,
		addElsewhere: o.AddElsewhere,
		links:        o.Links,
		now:          o.Now,
		wait:         o.Wait,
		patience:     cmp.Or(o.Patience, DefaultPatience),
		ends:         ends,
	}
	d.words.Store(queryWords)
	d.index.turn = make(chan struct{}, 1)
	d.client, err = api.NewClient(d.http)
	if err != nil {
		return nil, fmt.Errorf("preparing the Zendesk client: %w", err)
	}
	if err := d.client.SetEndpointURL(d.endpoint); err != nil {
		return nil, fmt.Errorf("preparing the Zendesk client: %w", err)
	}
	return d, nil
}

// Check tries the credentials with one request that is refused to everybody but agents; it may be asked every minute.
// (GET /users/me would not do: it answers 200 to nobody in particular.)
// Errors: desk_unauthorized with what is missing, desk_unreadable, rate_limited.
func (d *Desk) Check(ctx context.Context) error {
	_, err := d.readMultiple(ctx)
	return err
}

// CredentialsEnd returns the day on which the kind of credentials that the desk was made with stops working; "" for
// never.
func (d *Desk) CredentialsEnd() contactsync.Date { return d.ends }

// Budget returns how many requests a minute contactsync may send to the account, and how many it may send now: for
// people who watch, since it has changed by the time that it is read.
func (d *Desk) Budget() (perMinute, left float64) { return d.limit.budgetNow() }

// checkURL returns scheme and host of the desk's address. Credentials travel over TLS, except on this machine.
func checkURL(text string) (string, error) {
	u, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" {
		return "", errors.New("zendesk.url is not an address like https://example.zendesk.com")
	}
	if outbound.Secure(u) {
		return u.Scheme + "://" + u.Host, nil
	}
	return "", errors.New("zendesk.url must begin with https:// (http:// is for loopback alone)")
}

// newBase keeps as many connections as we send requests side by side.
func newBase() http.RoundTripper {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: parallel,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
	}
}
