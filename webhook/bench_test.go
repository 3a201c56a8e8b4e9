package webhook_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"contactsync"
	"contactsync/webhook"
)

// storing is an Intake that costs nothing.
type storing struct{}

func (storing) Accept(context.Context, contactsync.Delivery) (contactsync.Receipt, error) {
	return contactsync.Receipt{ID: "d1"}, nil
}
func (storing) Refuse(context.Context, contactsync.Delivery, contactsync.ProjectRef, error) error {
	return nil
}

// forBenchmarks is a receiver as it runs: two shared and two derived credentials of each kind, informative logs.
func forBenchmarks(b *testing.B) *scene {
	return newScene(b, func(s *scene, o *webhook.Options) {
		o.Intake, o.Answered, o.Now = storing{}, nil, time.Now
		o.Logger = slog.New(slog.NewJSONHandler(struct{ io.Writer }{io.Discard}, nil)) // formatted, and written nowhere
		o.Credentials.SigningTokens = append(o.Credentials.SigningTokens, "whsec_"+randomText(32))
		o.Credentials.Tokens = append(o.Credentials.Tokens, randomText(16))
	})
}

// kinds are the deliveries that are measured, with bodies of about 1 kB.
func kinds(b *testing.B, s *scene) []struct {
	name string
	delivery
	status int
} {
	var small bytes.Buffer
	fmt.Fprintf(&small, `{"object_kind":"push","project_id":42,"ref":"refs/heads/master","after":"5f7a2a3d4c0f0e6b1a9d8c7b6a5f4e3d2c1b0a99","commits":[%s]}`,
		strings.TrimSuffix(strings.Repeat(`{"id":"5f7a2a3d4c0f0e6b1a9d8c7b6a5f4e3d2c1b0a99","message":"Add Grace","added":[],"modified":["contacts.yaml"]},`, 8), ","))
	d := hook("Push Hook", small.String())
	at := time.Now()
	return []struct {
		name string
		delivery
		status int
	}{
		{"RefusedWithoutCredential", d, 401},
		{"RefusedToken", d.token("wrong"), 401},
		{"RefusedDerivedToken", d.token(s.first.Token(42) + "x"), 401},
		{"RefusedOldSignature", d.signed(s.signing, at.Add(-time.Hour)), 401},
		{"RefusedSignature", d.signed("whsec_"+randomText(32), at), 401},
		{"RefusedTrigger", d.triggered("wrong", "42"), 404},
		{"AcceptedToken", d.token(s.token), 202},
		{"AcceptedSignature", d.signed(s.signing, at), 202},
		{"AcceptedDerivedSignature", d.signed(s.second.SigningToken(42), at), 202},
		{"AcceptedTrigger", d.triggered(s.trigger, "42"), 201},
	}
}

// What the handler itself costs, without a server around it.
func BenchmarkReceiver(b *testing.B) {
	s := forBenchmarks(b)
	for _, kind := range kinds(b, s) {
		b.Run(kind.name, func(b *testing.B) {
			request := kind.request()
			body := strings.NewReader(kind.body)
			request.Body = io.NopCloser(body)
			w := &discard{header: http.Header{}}
			b.SetBytes(int64(len(kind.body)))
			b.ReportAllocs()
			for b.Loop() {
				body.Reset(kind.body)
				clear(w.header)
				s.ServeHTTP(w, request)
				if w.status != kind.status {
					b.Fatalf("answered %d", w.status)
				}
			}
		})
	}
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header             { return d.header }
func (d *discard) WriteHeader(status int)          { d.status = status }
func (d *discard) Write(body []byte) (int, error)  { return len(body), nil }
func (d *discard) SetReadDeadline(time.Time) error { return nil }

// What a server answers over loopback, kept connections and the client's own cost included.
func BenchmarkLoopback(b *testing.B) {
	s := forBenchmarks(b)
	for _, kind := range kinds(b, s) {
		b.Run(kind.name, func(b *testing.B) {
			server := httptest.NewUnstartedServer(nil)
			server.Config = webhook.NewServer(s)
			server.Start()
			defer server.Close()
			var raw bytes.Buffer
			request := kind.request()
			request.Host = "example.com"
			if err := request.Write(&raw); err != nil {
				b.Fatal(err)
			}
			b.SetParallelism(8) // connections for each core
			b.SetBytes(int64(len(kind.body)))
			b.ReportAllocs()
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				conn, err := net.Dial("tcp", server.Listener.Addr().String())
				if err != nil {
					b.Error(err)
					return
				}
				defer conn.Close()
				answers := bufio.NewReader(conn)
				want := fmt.Sprintf("HTTP/1.1 %d ", kind.status)
				for pb.Next() {
					if _, err := conn.Write(raw.Bytes()); err != nil {
						b.Error(err)
						return
					}
					if err := readAnswer(answers, want); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
		})
	}
}

// readAnswer reads an answer as cheaply as that can be done, so that the server is what is measured.
func readAnswer(answers *bufio.Reader, want string) error {
	length := 0
	for first := true; ; first = false {
		line, err := answers.ReadSlice('\n')
		if err != nil {
			return err
		}
		switch {
		case first && !bytes.HasPrefix(line, []byte(want)):
			return fmt.Errorf("answered %q", line)
		case bytes.HasPrefix(line, []byte("Content-Length: ")):
			if _, err := fmt.Sscanf(string(line), "Content-Length: %d", &length); err != nil {
				return err
			}
		case len(line) == 2:
			_, err := answers.Discard(length)
			return err
		}
	}
}
