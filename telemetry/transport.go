package telemetry

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// transport wraps a transport so that requests of runs are spans. What the instrumentation puts into them beside their
// names meets the gate.
func (t *traces) transport(next http.RoundTripper) http.RoundTripper {
	if t.provider == nil {
		return next
	}
	return &stepTransport{plain: next, traced: otelhttp.NewTransport(next,
		otelhttp.WithTracerProvider(t.provider),
		otelhttp.WithMeterProvider(metricnoop.NewMeterProvider()),             // counted as contactsync_requests_total
		otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator()), // desks and forges are told nothing of it
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method + " " + route(r.URL) }),
	)}
}

// stepTransport puts a request below the step that is under way: steps cannot hand a context on.
type stepTransport struct{ plain, traced http.RoundTripper }

func (t *stepTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	watch := watchOf(r.Context())
	if watch == nil {
		return t.plain.RoundTrip(r) // a probe, say, every half minute
	}
	return t.traced.RoundTrip(r.WithContext(trace.ContextWithSpan(r.Context(), watch.present())))
}

var (
	apiVersion = regexp.MustCompile(`^v[0-9]+$`)
	apiWord    = regexp.MustCompile(`^[a-z][a-z_]{1,39}(\.json)?$`)
	// Words of addresses that belong to no versioned interface: git's, OAuth's and GraphQL's.
	plainWords = map[string]bool{
		"info": true, "refs": true, "git-upload-pack": true, "git-receive-pack": true,
		"oauth": true, "tokens": true, "token": true, "api": true, "graphql": true,
	}
)

// route is the kind of a URL: its path, with a star for everything that could name something, such as numbers, paths
// of projects, and addresses. The query has no part in it. What stays are words of small letters in a versioned
// interface, where our adapters put no names.
func route(u *url.URL) string {
	var kind strings.Builder
	inAPI, star := false, false
	segments := strings.Split(strings.Trim(u.EscapedPath(), "/"), "/")
	for i, segment := range segments {
		switch {
		case inAPI && apiWord.MatchString(segment), !inAPI && plainWords[segment]:
		case i > 0 && segments[i-1] == "api" && apiVersion.MatchString(segment):
			inAPI = true
		case star:
			continue // one star for all levels of groups
		default:
			kind.WriteString("/*")
			star = true
			continue
		}
		kind.WriteString("/" + segment)
		star = false
	}
	return kind.String()
}
