package telemetry_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// otlp is a collector of traces on loopback. It takes what it is sent apart, and keeps it as it came, too.
type otlp struct {
	*httptest.Server

	mu       sync.Mutex
	raw      []byte
	spans    []*tracepb.Span
	resource map[string]string
	headers  http.Header
	path     string
	status   int           // of every answer; 0: 200
	gaveUp   chan struct{} // not nil: no answer comes, and it is closed once the exporter has given up
}

func newCollector(t testing.TB) *otlp {
	c := &otlp{resource: map[string]string{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			unpacked, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			body = unpacked
		}
		raw, err := io.ReadAll(body)
		if err != nil {
			return // the exporter gave up
		}
		c.mu.Lock()
		gaveUp, status := c.gaveUp, c.status
		c.mu.Unlock()
		if gaveUp != nil {
			<-r.Context().Done()
			close(gaveUp)
			return
		}
		if status != 0 {
			w.WriteHeader(status)
			return
		}
		c.take(t, r, raw)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *otlp) take(t testing.TB, r *http.Request, raw []byte) {
	var request collector.ExportTraceServiceRequest
	if err := proto.Unmarshal(raw, &request); err != nil {
		t.Errorf("no OTLP: %v", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw, c.headers, c.path = append(c.raw, raw...), r.Header, r.URL.Path
	for _, resource := range request.ResourceSpans {
		for name, value := range attributes(resource.Resource.Attributes) {
			c.resource[name] = value
		}
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
}

// named returns the spans of a name.
func (c *otlp) named(name string) (spans []*tracepb.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, span := range c.spans {
		if span.Name == name {
			spans = append(spans, span)
		}
	}
	return spans
}

func attributes(list []*common.KeyValue) map[string]string {
	found := map[string]string{}
	for _, a := range list {
		switch value := a.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			found[a.Key] = value.StringValue
		default:
			found[a.Key] = a.Value.String()
		}
	}
	return found
}
