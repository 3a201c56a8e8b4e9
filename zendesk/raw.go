package zendesk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"contactsync"
	"contactsync/zendesk/internal/wire"

	api "github.com/nukosuke/go-zendesk/zendesk"
)

// This file is where the client library ends. Its raw calls carry everything; what it lacks is done here: a DELETE
// that may answer 200 with a job, a PUT without a body, and one kind of error. Its typed writes are not used:
// they send fields that nobody set, such as organization_id, photo and years 0001.

// get reads path into the value. The error is a *failure, a *contactsync.Error, or the context's.
func (d *Desk) get(ctx context.Context, path string, query url.Values, into any) error {
	address := path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	body, err := d.client.Get(ctx, address)
	return finish(http.MethodGet, path, body, err, into)
}

// post sends a value and reads the answer.
func (d *Desk) post(ctx context.Context, path string, value, into any) error {
	body, err := d.client.Post(ctx, path, value)
	return finish(http.MethodPost, path, body, err, into)
}

// put sends a value and reads the answer.
func (d *Desk) put(ctx context.Context, path string, value, into any) error {
	body, err := d.client.Put(ctx, path, value)
	return finish(http.MethodPut, path, body, err, into)
}

// bare sends a request without a body: a deletion, or a change that its path says all about. Without into, the answer
// must be 204.
func (d *Desk) bare(ctx context.Context, method, path string, query url.Values, into any) error {
	address := d.endpoint + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		return err
	}
	resp, err := d.http.Do(req)
	if err != nil {
		return finish(method, path, nil, err, nil)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = api.NewError(body, resp)
	}
	if err == nil && into == nil && resp.StatusCode != http.StatusNoContent {
		return &failure{Method: method, Path: path, Status: resp.StatusCode, Sent: true, Reason: "that is not the desk's answer to such a request"}
	}
	return finish(method, path, body, err, into)
}

// finish turns the end of any call into a decoded answer or an error of ours.
func finish(method, path string, body []byte, err error, into any) error {
	var refused api.Error
	if errors.As(err, &refused) {
		text, readErr := io.ReadAll(refused.Body())
		if readErr != nil {
			return readErr
		}
		f := &failure{Method: method, Path: path, Status: refused.Status(), Sent: true}
		if refused.Status()/100 == 3 {
			// Never followed: the credentials are for the address that was configured.
			f.Reason = "it redirects to " + hostOf(refused.Headers().Get("Location")) + "; configure the desk's own address"
			return f
		}
		problem := wire.ReadProblem(text)
		f.Code, f.Reason, f.Duplicate = problem.Code, problem.Reason, problem.Duplicate
		return f
	}
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // it would repeat the address with its query
		}
		return err
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return &failure{Method: method, Path: path, Status: http.StatusOK, Sent: true, Err: err,
			Reason: "the answer cannot be read: " + readProblem(body, err)}
	}
	return nil
}

func readProblem(body []byte, err error) string {
	if !json.Valid(body) {
		return "it is not JSON"
	}
	return err.Error()
}

func hostOf(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Host
	}
	return "somewhere else"
}

// classed gives an error of a request its class: the one given, unless the answer says what it is.
func classed(err error, class contactsync.Class) *contactsync.Error {
	var named *contactsync.Error
	if errors.As(err, &named) {
		if named == err { //nolint:errorlint // the very error, not one that wraps it
			return named
		}
		outer := *named
		outer.Detail, outer.Err = err.Error(), err
		return &outer
	}
	var f *failure
	if errors.As(err, &f) {
		switch f.Status {
		case http.StatusUnauthorized, http.StatusForbidden:
			class = contactsync.ClassDeskUnauthorized
		case http.StatusTooManyRequests:
			class = contactsync.ClassRateLimited
		}
	}
	classed := &contactsync.Error{Class: class, Detail: err.Error(), Err: err}
	if f != nil && f.Status == 0 && !f.Sent {
		classed.Who = contactsync.WhoOperator
		classed.Remedy = "Check that zendesk.url is right, and that this machine can reach it. Nothing was sent."
	}
	return classed
}

// unchained classes the error of a request that served another one: the token's, or the reading that was to tell what
// became of a write. Its chain ends here, but for the caller's giving up, because what became of the serving request
// says nothing about the other.
func unchained(err error, class contactsync.Class) *contactsync.Error {
	ended := *classed(err, class)
	ended.Err = nil
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, cause) {
			ended.Err = cause
		}
	}
	return &ended
}

// unreadable is a read that cannot be trusted.
func unreadable(format string, args ...any) *contactsync.Error {
	return contactsync.Errorf(contactsync.ClassDeskUnreadable, format, args...)
}

// reading wraps the error of a read with what was being read.
func reading(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("reading %s: %w", fmt.Sprintf(format, args...), classed(err, contactsync.ClassDeskUnreadable))
}

// status returns the HTTP status of a failed request, or 0.
func status(err error) int {
	var f *failure
	if errors.As(err, &f) {
		return f.Status
	}
	return 0
}

// joinIDs writes ids as Zendesk's lists want them: 1,2,3.
func joinIDs(ids []int64) string {
	var text strings.Builder
	for i, id := range ids {
		if i > 0 {
			text.WriteByte(',')
		}
		fmt.Fprint(&text, id)
	}
	return text.String()
}
