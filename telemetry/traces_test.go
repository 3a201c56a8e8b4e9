package telemetry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"contactsync"
	"contactsync/telemetry"
)

// get sends a request through the telemetry and reads the answer to its end.
func get(ctx context.Context, t testing.TB, transport http.RoundTripper, method, address string) {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader("a body"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer s3cret")
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(request)
	if err != nil {
		return
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
}

// newDesk is something that requests are sent to. It tells the headers that it was sent.
func newDesk(t testing.TB, headers chan<- http.Header) *httptest.Server {
	desk := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if headers != nil {
			headers <- r.Header
		}
		if strings.HasSuffix(r.URL.Path, "/broken") {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprint(w, "{}")
	}))
	t.Cleanup(desk.Close)
	return desk
}

// A run arrives at the collector as one span, its steps below it, and each request below the step that sent it; what
// identifies the run is on it.
func TestSpanTree(t *testing.T) {
	to := newCollector(t)
	headers := make(chan http.Header, 10)
	desk := newDesk(t, headers)
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	tel := telemetry.New(t.Context(), telemetry.Options{
		Env: []string{
			"OTEL_EXPORTER_OTLP_ENDPOINT=" + to.URL + "/base/",
			"OTEL_EXPORTER_OTLP_HEADERS=x-key=a%20b",
			"OTEL_RESOURCE_ATTRIBUTES=deployment.environment=test,service.name=no",
			"OTEL_SERVICE_NAME=contacts",
		},
		Build: telemetry.Build{Version: "v1.2.3"},
	})
	transport := tel.Transport(base)
	get(t.Context(), t, transport, http.MethodGet, desk.URL+"/api/v2/users/me.json") // of no run
	ctx, watch := tel.Watch(t.Context(), contactsync.Run{ID: "abcd", Project: "101", Trigger: contactsync.TriggerHook})
	watch.Step("reading the file and the members")
	get(ctx, t, transport, http.MethodGet, desk.URL+"/api/v2/organizations/360001/users.json?page=2")
	get(ctx, t, transport, http.MethodGet, desk.URL+"/api/v2/broken")
	watch.Progress(3, 8)
	watch.Step("adding contacts")
	get(ctx, t, transport, http.MethodPost, desk.URL+"/api/v2/users/create_many.json")
	watch.Progress(1, 1)
	watch.Finish(contactsync.Run{ID: "abcd", Project: "101", Trigger: contactsync.TriggerHook, Status: contactsync.StatusFailed,
		Error: contactsync.FailureOf(contactsync.Errorf(contactsync.ClassSyncFailed, "detail"))})
	watch.Finish(contactsync.Run{}) // counts no second time
	watch.Step("adding contacts")
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Errorf("the second time: %v", err)
	}

	one := func(name string) *tracepb.Span {
		t.Helper()
		spans := to.named(name)
		if len(spans) != 1 {
			t.Fatalf("%d spans are called %q", len(spans), name)
		}
		return spans[0]
	}
	run, read, add := one("run"), one("read"), one("add")
	parents := map[string]*tracepb.Span{
		"GET /api/v2/organizations/*/users.json": read, "GET /api/v2/broken": read, "POST /api/v2/users/create_many.json": add,
	}
	for name, parent := range parents {
		span := one(name)
		if !bytes.Equal(span.ParentSpanId, parent.SpanId) || !bytes.Equal(span.TraceId, run.TraceId) {
			t.Errorf("%q is not below %q", name, parent.Name)
		}
		keys := slices.Sorted(maps.Keys(attributes(span.Attributes)))
		want := []string{"http.request.method", "http.response.status_code", "server.address", "server.port"}
		if name == "GET /api/v2/broken" {
			want = []string{"error.type", "http.request.method", "http.response.status_code", "server.address", "server.port"}
		}
		if !slices.Equal(keys, want) {
			t.Errorf("%q says %q, want %q", name, keys, want)
		}
	}
	for _, step := range []*tracepb.Span{read, add} {
		if !bytes.Equal(step.ParentSpanId, run.SpanId) {
			t.Errorf("%q is not below the run", step.Name)
		}
	}
	if got := attributes(read.Attributes); got["contactsync.done"] != "int_value:3" || got["contactsync.total"] != "int_value:8" {
		t.Errorf("read says %q", got)
	}
	want := map[string]string{"contactsync.project": "101", "contactsync.run": "abcd", "contactsync.trigger": "hook",
		"contactsync.status": "failed", "contactsync.class": "sync_failed"}
	if got := attributes(run.Attributes); !maps.Equal(got, want) || run.Status.Code != tracepb.Status_STATUS_CODE_ERROR || len(run.ParentSpanId) > 0 {
		t.Errorf("the run says %q, %v", got, run.Status)
	}
	if len(to.spans) != 6 {
		t.Errorf("%d spans, want 6: the run, two steps, three requests", len(to.spans))
	}
	if to.resource["service.name"] != "contacts" || to.resource["service.version"] != "v1.2.3" || to.resource["deployment.environment"] != "test" {
		t.Errorf("the resource is %q", to.resource)
	}
	if to.headers.Get("X-Key") != "a b" || to.path != "/base/v1/traces" {
		t.Errorf("%s with %q", to.path, to.headers)
	}
	for range 4 {
		if sent := <-headers; sent.Get("Traceparent") != "" || sent.Get("Authorization") != "Bearer s3cret" {
			t.Errorf("the desk was sent %q", sent)
		}
	}
}

// Spans of requests are called by their kind: whatever could name something in a path is a star, and queries, users and
// passwords have no part in it.
func TestRoutes(t *testing.T) {
	to := newCollector(t)
	base := roundTripper(func(r *http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("asking %s for ada@example.com: s3cret", r.URL)
	})
	tel := telemetry.New(t.Context(), telemetry.Options{Env: []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=" + to.URL}})
	ctx, watch := tel.Watch(t.Context(), contactsync.Run{Project: "1"})
	paths := map[string]string{
		"/api/v2/search.json?query=email:ada@example.com":                 "/api/v2/search.json",
		"/api/v2/users/show_many.json?ids=1,2":                            "/api/v2/users/show_many.json",
		"/api/v2/users/123/identities.json":                               "/api/v2/users/*/identities.json",
		"/api/v2/job_statuses/82de0b0bd2d5.json":                          "/api/v2/job_statuses/*",
		"/api/v4/projects/group%2Fada-lovelace/repository/commits":        "/api/v4/projects/*/repository/commits",
		"/api/v4/projects/9/repository/files/ada%40example.com/raw?ref=x": "/api/v4/projects/*/repository/files/*/raw",
		"/gitlab/api/v4/projects/9":                                       "/*/api/v4/projects/*",
		"/contacts/deep/organization-360.git/info/refs?service=x":         "/*/info/refs",
		"/contacts/organization-360.git/git-upload-pack":                  "/*/git-upload-pack",
		"/oauth/tokens": "/oauth/tokens",
		"/ada@example.com/Ada%20Lovelace/glpat-abcdefgh": "/*",
		"/api/v2/users/ada@example.com":                  "/api/v2/users/*",
		"/":                                              "/*",
		"":                                               "/*",
	}
	for path := range paths {
		get(ctx, t, tel.Transport(base), http.MethodGet, "https://ada:s3cret@example.zendesk.com"+path)
	}
	watch.Finish(contactsync.Run{})
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	for path, route := range paths {
		if len(to.named("GET "+route)) == 0 {
			t.Errorf("%s is not called %q", path, route)
		}
	}
	if len(to.spans) != len(paths)+1 {
		t.Errorf("%d spans for %d requests", len(to.spans), len(paths))
	}
	for _, leak := range []string{"ada", "s3cret", "360", "82de", "email", "glpat", "query"} {
		if bytes.Contains(to.raw, []byte(leak)) {
			t.Errorf("%q left for the collector", leak)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The usual variables switch traces on and off. A mistake in them is told once, without any value, and never keeps the
// service from its work.
func TestTracesSettings(t *testing.T) {
	const address = "http://127.0.0.1:9/s3cret"
	for name, tt := range map[string]struct {
		env    []string
		traced bool
		warned string
	}{
		"nothing":           {},
		"all signals":       {env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + address}, traced: true},
		"traces alone":      {env: []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=" + address, "OTEL_TRACES_EXPORTER=otlp"}, traced: true},
		"disabled":          {env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + address, "OTEL_SDK_DISABLED=TRUE"}},
		"not disabled":      {env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + address, "OTEL_SDK_DISABLED=false"}, traced: true},
		"no exporter":       {env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + address, "OTEL_TRACES_EXPORTER=none"}},
		"another exporter":  {env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + address, "OTEL_TRACES_EXPORTER=s3cret"}, warned: "OTEL_TRACES_EXPORTER"},
		"another protocol":  {env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + address, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, warned: "OTEL_EXPORTER_OTLP_PROTOCOL"},
		"traces' protocol":  {env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + address, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf"}, traced: true},
		"no address":        {env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=s3cret:4318"}, warned: "OTEL_EXPORTER_OTLP_ENDPOINT"},
		"no traces address": {env: []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=ftp://s3cret"}, warned: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"},
		"headers":           {env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + address, "OTEL_EXPORTER_OTLP_HEADERS=Bearer s3cret"}, warned: "OTEL_EXPORTER_OTLP_HEADERS"},
		"resource":          {env: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + address, "OTEL_RESOURCE_ATTRIBUTES=a=%zz"}, warned: "OTEL_RESOURCE_ATTRIBUTES"},
	} {
		t.Run(name, func(t *testing.T) {
			lines := &logLines{}
			tel := telemetry.New(t.Context(), telemetry.Options{Env: tt.env, Log: lines.logger()})
			base := &http.Transport{}
			if traced := tel.Transport(base) != http.RoundTripper(base); traced != tt.traced {
				t.Errorf("traced: %v", traced)
			}
			if err := tel.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			text := lines.text()
			if (tt.warned == "") != (text == "") || !strings.Contains(text, tt.warned) || strings.Contains(text, "s3cret") {
				t.Errorf("the log says %q", text)
			}
		})
	}
}

// A collector that refuses or hangs is told once in the log, in words of our own, and shutting down takes no longer than
// it is given.
func TestCollectorTrouble(t *testing.T) {
	lines := &logLines{}
	to := newCollector(t)
	to.status = http.StatusUnauthorized
	env := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + to.URL + "/s3cret"}
	tel := telemetry.New(t.Context(), telemetry.Options{Env: env, Log: lines.logger()})
	_, watch := tel.Watch(t.Context(), contactsync.Run{Project: "1"})
	watch.Finish(contactsync.Run{})
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if text := lines.text(); strings.Count(text, "traces do not reach") != 1 || !strings.Contains(text, "refused") || strings.Contains(text, "s3cret") {
		t.Errorf("the log says %q", text)
	}

	to.mu.Lock()
	to.gaveUp = make(chan struct{})
	to.mu.Unlock()
	tel = telemetry.New(t.Context(), telemetry.Options{Env: env})
	_, watch = tel.Watch(t.Context(), contactsync.Run{Project: "1"})
	watch.Finish(contactsync.Run{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := tel.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("shutting down: %v", err)
	}
	<-to.gaveUp // nothing of it goes on
}
