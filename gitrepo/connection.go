package gitrepo

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"contactsync"
	"contactsync/outbound"
)

// Why a request ended, where the caller decides what that means.
var (
	errSlow     = errors.New("the time limit of the repository")
	errTooMuch  = errors.New("the answer is over the limit")
	errEmpty    = errors.New("the repository is empty")
	errRedirect = errors.New("the server points elsewhere")
)

// connection is one read or commit of one repository: its address, its credentials, and what was seen on the way.
type connection struct {
	endpoint *transport.Endpoint
	auth     transport.AuthMethod // nil for none
	secrets  []string             // never to be shown
	limit    int64                // bytes of one answer
	timeout  time.Duration
	client   transport.Transport
	wire     *wire
	session  transport.UploadPackSession
}

// connect prepares the requests to a project's repository; it sends none.
func (r *Repository) connect(project contactsync.Project) (*connection, error) {
	address, err := cloneAddress(project.CloneURL)
	if err != nil {
		return nil, err
	}
	endpoint, err := transport.NewEndpoint(address)
	if err != nil {
		return nil, contactsync.Errorf(contactsync.ClassRepositoryUnreachable, "the clone address is none that git understands")
	}
	c := &connection{
		endpoint: endpoint, limit: r.options.MaxBytes / 4, timeout: r.options.Timeout,
		wire: &wire{next: r.options.Transport, limit: r.options.MaxBytes / 4},
	}
	if r.options.Token != "" {
		c.auth = &githttp.BasicAuth{Username: r.options.Username, Password: r.options.Token}
		pair := r.options.Username + ":" + r.options.Token
		c.secrets = []string{base64.StdEncoding.EncodeToString([]byte(pair)), url.QueryEscape(r.options.Token), r.options.Token}
	}
	c.client = githttp.NewClient(&http.Client{Transport: c.wire, CheckRedirect: sameHost})
	c.session, err = c.client.NewUploadPackSession(endpoint, c.auth)
	if err != nil {
		return nil, c.explain(context.Background(), err)
	}
	return c, nil
}

// cloneAddress checks an address, and drops credentials in it: those of the options are sent, or none.
func cloneAddress(raw string) (string, error) {
	address, err := url.Parse(raw)
	if err != nil || address.Host == "" {
		// The address is not shown, because it could not be searched for credentials.
		return "", contactsync.Errorf(contactsync.ClassRepositoryUnreachable, "the project has no clone address over HTTP")
	}
	if !outbound.Secure(address) {
		return "", contactsync.Errorf(contactsync.ClassRepositoryUnreachable, "the clone address at %s must begin with https://", address.Host)
	}
	address.User, address.RawQuery, address.Fragment = nil, "", ""
	return address.String(), nil
}

// sameHost lets a redirect through that stays on the host: GitLab points from a renamed project to its new path.
func sameHost(request *http.Request, via []*http.Request) error {
	from, to := via[0].URL, request.URL
	upgrade := from.Scheme == "http" && to.Scheme == "https" && from.Port() == "" && to.Port() == ""
	if from.Hostname() == to.Hostname() && (from.Scheme == to.Scheme && from.Port() == to.Port() || upgrade) && len(via) < 5 {
		return nil
	}
	return fmt.Errorf("%w: %s", errRedirect, to.Host)
}

// wire carries the requests of one connection: it counts them, bounds their answers, and remembers the last one.
type wire struct {
	next  http.RoundTripper
	limit int64

	status   int // of the last answer; 0 when there was none
	header   http.Header
	exceeded bool   // the last answer was over the limit
	broken   error  // why the last request or its answer broke off
	begins   []byte // how the last answer does, as much as a refusal of git's takes
}

func (w *wire) RoundTrip(request *http.Request) (*http.Response, error) {
	*w = wire{next: w.next, limit: w.limit}
	contactsync.CountRequest(request.Context(), contactsync.SystemGit)
	response, err := w.next.RoundTrip(request)
	if err != nil {
		w.broken = err
		return nil, err
	}
	w.status, w.header = response.StatusCode, response.Header
	limit := w.limit
	if w.status < 200 || w.status > 299 {
		limit = min(limit, 4<<10) // only a line of it is ever shown
	}
	response.Body = &body{ReadCloser: response.Body, wire: w, left: limit}
	return response, nil
}

// body is an answer that ends with an error when it is over the limit.
type body struct {
	io.ReadCloser
	wire *wire
	left int64
}

func (b *body) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		b.wire.exceeded = true
		return int(b.left), errTooMuch
	}
	b.left -= int64(n)
	b.wire.begins = append(b.wire.begins, p[:min(n, refusalSize-len(b.wire.begins))]...)
	if err != nil && err != io.EOF {
		b.wire.broken = err
	}
	return n, err
}

// refusalSize is as much of a refusal as is ever shown, and a little more.
const refusalSize = 512

// refusal returns what git said instead of an answer, "" where it did not; go-git passes over it.
// Source: gitprotocol-pack, "Git Transport": error-line.
func (w *wire) refusal() string {
	if len(w.begins) < 8 || string(w.begins[4:8]) != "ERR " {
		return ""
	}
	words, _, _ := strings.Cut(string(w.begins[8:]), "\n")
	return outbound.Clean(words, 200)
}

// references lists what the repository has. The error is errEmpty when that is nothing.
func (c *connection) references(ctx context.Context) (*packp.AdvRefs, error) {
	refs, err := c.session.AdvertisedReferencesContext(ctx)
	if errors.Is(err, transport.ErrEmptyRemoteRepository) && c.wire.status == http.StatusOK {
		return nil, errEmpty
	}
	if err != nil {
		err := c.explain(ctx, err)
		if errors.Is(err, errTooMuch) {
			return nil, contactsync.Errorf(contactsync.ClassRepositoryUnreachable,
				"the repository has too many branches and tags: their list takes more than %s", size(c.limit))
		}
		return nil, err
	}
	return refs, nil
}

// objects fetches commits without their history, and of their files what the filter leaves; "" is no filter.
func (c *connection) objects(ctx context.Context, refs *packp.AdvRefs, filter packp.Filter, commits ...plumbing.Hash) (storer.EncodedObjectStorer, error) {
	request := c.request(refs, commits...)
	if refs.Capabilities.Supports(capability.Shallow) {
		request.Depth = packp.DepthCommits(1)
		if err := request.Capabilities.Set(capability.Shallow); err != nil {
			return nil, c.explain(ctx, err)
		}
	}
	if filter != "" {
		request.Filter = filter
		if err := request.Capabilities.Set(capability.Filter); err != nil {
			return nil, c.explain(ctx, err)
		}
	}
	return c.fetch(ctx, request)
}

// object fetches one object by its hash.
func (c *connection) object(ctx context.Context, refs *packp.AdvRefs, hash plumbing.Hash) (storer.EncodedObjectStorer, error) {
	return c.fetch(ctx, c.request(refs, hash))
}

func (c *connection) request(refs *packp.AdvRefs, wants ...plumbing.Hash) *packp.UploadPackRequest {
	request := packp.NewUploadPackRequestFromCapabilities(refs.Capabilities)
	request.Wants = slices.Clone(wants) // go-git sorts them in place
	if refs.Capabilities.Supports(capability.NoProgress) {
		// A flag without a value, which cannot be refused.
		_ = request.Capabilities.Set(capability.NoProgress)
	}
	return request
}

func (c *connection) fetch(ctx context.Context, request *packp.UploadPackRequest) (storer.EncodedObjectStorer, error) {
	response, err := c.session.UploadPack(ctx, request)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	defer response.Close()
	var pack io.Reader = response
	switch {
	case request.Capabilities.Supports(capability.Sideband64k):
		pack = sideband.NewDemuxer(sideband.Sideband64k, response)
	case request.Capabilities.Supports(capability.Sideband):
		pack = sideband.NewDemuxer(sideband.Sideband, response)
	}
	received, err := io.ReadAll(pack)
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	objects, err := unpack(received, 2*c.limit)
	if errors.Is(err, errTooMuch) {
		return nil, err
	}
	if err != nil {
		return nil, c.explain(ctx, err)
	}
	return objects, nil
}

// explain turns what went wrong with a request into a classed error. It goes by what was seen on the wire, because
// go-git does not keep the cause of all its errors. The error is errTooMuch when the answer was over the limit.
func (c *connection) explain(ctx context.Context, err error) error {
	unreachable := func(format string, args ...any) *contactsync.Error {
		return &contactsync.Error{Class: contactsync.ClassRepositoryUnreachable, Detail: c.hide(fmt.Sprintf(format, args...))}
	}
	var unexpected *plumbing.UnexpectedError
	if errors.As(err, &unexpected) {
		err = unexpected.Err // which go-git hides
	}
	switch {
	case errors.Is(context.Cause(ctx), errSlow):
		return unreachable("the repository was not read within %s", c.timeout)
	case ctx.Err() != nil:
		given := unreachable("it was given up: %v", ctx.Err())
		given.Err = ctx.Err()
		return given
	case c.wire.exceeded && c.wire.status < 300:
		return errTooMuch
	case errors.Is(err, errRedirect):
		return unreachable("GitLab points to another host, which is not followed: %s", outbound.Clean(lastPart(err), 100))
	}
	words := ""
	if said := c.said(err); said != "" {
		words = ": " + said
	}
	switch status := c.wire.status; {
	case status == http.StatusUnauthorized:
		return unreachable("GitLab refuses the token for git%s", words)
	case status == http.StatusForbidden:
		return unreachable("GitLab does not let the token use the repository%s", words)
	case status == http.StatusNotFound:
		return unreachable("GitLab shows the project but no repository of it%s", words)
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		busy := unreachable("GitLab answers git with status %d%s", status, words)
		if at, told := outbound.RetryAfter(c.wire.header, time.Now()); told {
			busy.Retry, busy.RetryAt = contactsync.RetryWhenTold, at
		}
		return busy
	case status >= 300:
		return unreachable("GitLab answers git with status %d%s", status, words)
	case c.wire.broken != nil:
		return unreachable("the connection broke: %s", outbound.Clean(outbound.Cause(c.wire.broken), 200))
	}
	if refusal := c.wire.refusal(); refusal != "" {
		if hash, ok := strings.CutPrefix(refusal, "upload-pack: not our ref "); ok && plumbing.IsHash(hash) {
			return unreachable("the repository does not have commit %s any more", hash[:shortened])
		}
		return unreachable("git on GitLab refuses: %s", refusal)
	}
	return senseless("what GitLab answered", errors.New(c.hide(err.Error())))
}

// senseless is for an answer that came whole but cannot be understood.
func senseless(what string, err error) error {
	return &contactsync.Error{Class: contactsync.ClassRepositoryUnreachable,
		Detail: fmt.Sprintf("%s cannot be understood: %s", what, outbound.Clean(err.Error(), 200))}
}

// hide removes the credentials from a text, should a server or a library ever repeat them.
func (c *connection) hide(text string) string {
	for _, secret := range c.secrets {
		text = strings.ReplaceAll(text, secret, "[hidden]")
	}
	return text
}

// said returns the server's own words to a refusal, as far as go-git passes them on; never those of a web page.
func (c *connection) said(err error) string {
	for _, known := range []error{transport.ErrAuthenticationRequired, transport.ErrAuthorizationFailed, transport.ErrRepositoryNotFound} {
		if words, ok := strings.CutPrefix(err.Error(), known.Error()+": "); ok && errors.Is(err, known) {
			return pageless(words)
		}
	}
	var refused *githttp.Err
	if errors.As(err, &refused) {
		return pageless(refused.Reason)
	}
	return ""
}

func pageless(words string) string {
	if strings.HasPrefix(strings.TrimSpace(words), "<") {
		return ""
	}
	return outbound.Clean(words, 200)
}

func lastPart(err error) string {
	text := err.Error()
	return text[strings.LastIndex(text, ": ")+1:]
}
