package telemetry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"contactsync"
)

// What spans say about runs.
const (
	attrProject = "contactsync.project"
	attrRun     = "contactsync.run"
	attrTrigger = "contactsync.trigger"
	attrStatus  = "contactsync.status"
	attrClass   = "contactsync.class"
	attrDone    = "contactsync.done" // of a step's items
	attrTotal   = "contactsync.total"
)

// serviceName is how the service is called in traces, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say
// otherwise.
const serviceName = "contactsync"

// traces makes spans. There is no global provider: whoever wants to trace is handed this.
type traces struct {
	tracer   trace.Tracer
	provider *sdktrace.TracerProvider // nil: nothing is traced
	gate     *gate
}

// newTraces sets tracing up as the variables say; see
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/ and
// https://opentelemetry.io/docs/specs/otel/protocol/exporter/.
func newTraces(ctx context.Context, env []string, build Build, log *slog.Logger) *traces {
	none := &traces{tracer: noop.NewTracerProvider().Tracer(serviceName)}
	settings, err := readSettings(env)
	if err != nil {
		log.WarnContext(ctx, "traces are off", "reason", err.Error())
		return none
	}
	if settings.endpoint == "" {
		return none
	}
	// The rest of OTEL_EXPORTER_OTLP_ (time-out, compression, certificates), OTEL_BSP_ and OTEL_TRACES_SAMPLER is read
	// by the libraries themselves, and from the process's own environment: they offer no other way.
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(settings.endpoint), otlptracehttp.WithHeaders(settings.headers))
	if err != nil {
		// The library's words may hold what the variables hold.
		log.WarnContext(ctx, "traces are off", "reason", "the OTEL_EXPORTER_OTLP_ variables do not fit together")
		return none
	}
	gate := newGate(exporter, log)
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(gate), sdktrace.WithResource(settings.resource(build)))
	return &traces{tracer: provider.Tracer(serviceName), provider: provider, gate: gate}
}

// begin starts the span of a run. It has no parent: what the caller does beside it is not the run's.
func (t *traces) begin(ctx context.Context, run contactsync.Run) (context.Context, trace.Span) {
	return t.tracer.Start(ctx, "run", trace.WithNewRoot(), trace.WithAttributes(
		attribute.String(attrProject, projectName(run.Project).String()),
		attribute.String(attrTrigger, known(run.Trigger, triggers)),
	))
}

// end ends the span of a run.
func (t *traces) end(span trace.Span, run contactsync.Run) {
	span.SetAttributes(attribute.String(attrRun, run.ID), attribute.String(attrStatus, known(run.Status, statuses)))
	if run.Error != nil {
		span.SetAttributes(attribute.String(attrClass, classLabel(run.Error.Class)))
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

// child starts a span below that of the context. The context stays as it is: a step does not hand one on.
func (t *traces) child(ctx context.Context, name string) trace.Span {
	_, span := t.tracer.Start(ctx, name)
	return span
}

func (t *traces) shutdown(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	// An export that outlasts the context is given up, and with it the goroutine that waits for it.
	defer t.gate.close()
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("sending the last traces: %w", err)
	}
	return nil
}

// settings are what is read here of the OTEL_ variables.
type settings struct {
	endpoint   string // "": nothing is traced
	headers    map[string]string
	attributes []attribute.KeyValue
}

// readSettings reads the variables. Its errors never repeat a value.
func readSettings(env []string) (settings, error) {
	values := map[string]string{}
	for _, entry := range env {
		if name, value, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "OTEL_") {
			values[name] = strings.TrimSpace(value)
		}
	}
	// A variable for traces alone goes before the one for all signals.
	otlp := func(name string) string {
		return cmp.Or(values["OTEL_EXPORTER_OTLP_TRACES_"+name], values["OTEL_EXPORTER_OTLP_"+name])
	}
	if strings.EqualFold(values["OTEL_SDK_DISABLED"], "true") || otlp("ENDPOINT") == "" {
		return settings{}, nil
	}
	switch values["OTEL_TRACES_EXPORTER"] {
	case "none":
		return settings{}, nil
	case "", "otlp":
	default:
		return settings{}, errors.New("OTEL_TRACES_EXPORTER must be otlp or none")
	}
	if protocol := otlp("PROTOCOL"); protocol != "" && protocol != "http/protobuf" {
		return settings{}, errors.New("OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf (the collector's port is usually 4318)")
	}
	var s settings
	var err error
	if s.endpoint, err = endpoint(values["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"], values["OTEL_EXPORTER_OTLP_ENDPOINT"]); err != nil {
		return settings{}, err
	}
	headers, err := pairs(otlp("HEADERS"))
	if err != nil {
		return settings{}, fmt.Errorf("OTEL_EXPORTER_OTLP_HEADERS %w", err)
	}
	s.headers = map[string]string{}
	for _, pair := range headers {
		s.headers[pair.name] = pair.value
	}
	attributes, err := pairs(values["OTEL_RESOURCE_ATTRIBUTES"])
	if err != nil {
		return settings{}, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES %w", err)
	}
	for _, pair := range attributes {
		s.attributes = append(s.attributes, attribute.String(pair.name, pair.value))
	}
	if name := values["OTEL_SERVICE_NAME"]; name != "" {
		s.attributes = append(s.attributes, attribute.String("service.name", name)) // the last one counts
	}
	return s, nil
}

// endpoint returns the address that traces go to: the one for traces as it is, or a path below the one for all signals.
func endpoint(traces, all string) (string, error) {
	name, text := "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", traces
	if text == "" {
		name, text = "OTEL_EXPORTER_OTLP_ENDPOINT", all
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("%s must be an address such as http://127.0.0.1:4318", name)
	}
	if traces == "" {
		u = u.JoinPath("v1/traces")
	}
	return u.String(), nil
}

type pair struct{ name, value string }

// pairs reads "name=value,name=value", the values percent-encoded.
func pairs(text string) (list []pair, err error) {
	for entry := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(entry) == "" {
			continue
		}
		name, encoded, ok := strings.Cut(entry, "=")
		name = strings.TrimSpace(name)
		value, err := url.PathUnescape(strings.TrimSpace(encoded))
		if err != nil || !ok || name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return nil, errors.New("must be name=value pairs, separated by commas and percent-encoded")
		}
		list = append(list, pair{name, value})
	}
	return list, nil
}

func (s settings) resource(build Build) *resource.Resource {
	return resource.NewSchemaless(append([]attribute.KeyValue{
		attribute.String("service.name", serviceName),
		attribute.String("service.version", build.Version),
	}, s.attributes...)...)
}
