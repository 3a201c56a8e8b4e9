// Package contract checks HTTP exchanges with Zendesk, or with a stand-in for it, against Zendesk's own description of
// its API. The description is no part of this project: tests read it from the folder that the environment variable
// CONTACTSYNC_SPECS names (file zendesk-oas.yaml), and are skipped without it.
package contract

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// Middleware fails the test for every request and every answer that passes through it and that the description
// refuses: unknown endpoints, parameters that are not in it, bodies of another shape. Answers whose status the
// description does not have, as most errors, and connections that are cut are let through.
//
// It skips the test when the description is not there. Known gaps of the description are mended first, see corrections.
func Middleware(t testing.TB, next http.Handler) http.Handler {
	t.Helper()
	description, err := load()
	if err != nil {
		t.Fatalf("reading the description of Zendesk's API: %v", err)
	}
	if description == nil {
		t.Skipf("skipped: %s does not name a folder with %s, so nothing can be checked against it", Variable, fileName)
	}
	return &checker{t: t, next: next, description: description}
}

type checker struct {
	t           testing.TB
	next        http.Handler
	description *description

	mu sync.Mutex // testing.TB may be used by many goroutines, but messages of one exchange belong together
}

func (c *checker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.report(r, "request", err)
		return
	}
	input, err := c.description.checkRequest(r, body)
	if err != nil {
		c.report(r, "request", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	recorder := &recorder{ResponseWriter: w, status: http.StatusOK}
	c.next.ServeHTTP(recorder, r) // a cut connection panics, and is not looked at
	if input == nil {
		return
	}
	if err := checkAnswer(input, recorder); err != nil {
		c.report(r, fmt.Sprintf("answer %d", recorder.status), err)
	}
}

func (c *checker) report(r *http.Request, what string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t.Errorf("%s %s: %s: %v", r.Method, r.URL.RequestURI(), what, err)
}

// checkRequest returns what checkAnswer needs, or nil where the endpoint is not described.
func (d *description) checkRequest(r *http.Request, body []byte) (*openapi3filter.RequestValidationInput, error) {
	plain := r.Clone(context.Background()) // the check must not end with the client's patience
	plain.URL.Path = strings.TrimSuffix(r.URL.Path, ".json")
	plain.URL.RawPath = ""
	plain.Body = io.NopCloser(bytes.NewReader(body))
	route, params, err := d.route(plain.Method, plain.URL.Path)
	if err != nil {
		return nil, err
	}
	input := &openapi3filter.RequestValidationInput{
		Request: plain, PathParams: params, Route: route,
		Options: options(),
	}
	if err := unknownParameters(route, r.URL.Query()); err != nil {
		return input, err
	}
	if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
		return input, err
	}
	if len(body) > 0 && route.Operation.RequestBody == nil {
		return input, fmt.Errorf("a body where none is described: %s", body)
	}
	return input, nil
}

// unknownParameters is stricter than the library, which takes any: servers ignore what they do not know, and a
// filter that is ignored lists everything.
func unknownParameters(route *routers.Route, query url.Values) error {
	var known []string
	for _, list := range []openapi3.Parameters{route.PathItem.Parameters, route.Operation.Parameters} {
		for _, parameter := range list {
			if parameter.Value.In == openapi3.ParameterInQuery {
				known = append(known, parameter.Value.Name)
			}
		}
	}
	for name := range query {
		plain, _, _ := strings.Cut(name, "[")
		if !slices.Contains(known, name) && !slices.Contains(known, plain) {
			return fmt.Errorf("the parameter %q is not described", name)
		}
	}
	return nil
}

func checkAnswer(input *openapi3filter.RequestValidationInput, answer *recorder) error {
	if answer.status == http.StatusNoContent && answer.body.Len() > 0 {
		return fmt.Errorf("a body with status 204")
	}
	output := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: answer.status, Header: answer.Header(),
		Options: options(),
	}
	output.SetBodyBytes(answer.body.Bytes())
	return openapi3filter.ValidateResponse(context.Background(), output)
}

// options leave credentials alone, and say what is wrong without printing the whole schema and value.
func options() *openapi3filter.Options {
	o := &openapi3filter.Options{MultiError: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}
	o.WithCustomSchemaErrorFunc(func(err *openapi3.SchemaError) string {
		return "at /" + strings.Join(err.JSONPointer(), "/") + ": " + err.Reason
	})
	return o
}

// recorder keeps what is sent. Unwrap lets the stand-in reach the connection in order to cut it.
type recorder struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(text []byte) (int, error) {
	r.body.Write(text)
	return r.ResponseWriter.Write(text)
}
