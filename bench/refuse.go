package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"contactsync"
	"contactsync/bench/measure"
	"contactsync/store"
	"contactsync/webhook"
)

const (
	refuseConnections = 128    // so many strangers at once that neither side waits for the other
	refuseLimit       = 20_000 // a second
)

// wrongs are the ways in which a credential can be wrong, by what they cost.
func wrongs(ctx context.Context, address string) (map[string]*http.Request, []string, error) {
	names := []string{"no credential", "a wrong secret token", "a wrong signature, over the whole body"}
	requests := map[string]*http.Request{}
	for _, name := range names {
		r, err := signed(ctx, address, bytes.Repeat([]byte("no key "), 5), 1, "refused")
		if err != nil {
			return nil, nil, err
		}
		requests[name] = r
	}
	for _, name := range names[:2] {
		for _, header := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
			requests[name].Header.Del(header)
		}
	}
	requests[names[1]].Header.Set("X-Gitlab-Token", "wrong")
	return requests, names, nil
}

// refuse measures how fast hooks with a wrong credential are turned away, and what one hook costs.
func (b *bench) refuse(ctx context.Context) error {
	b.say("refusals")
	s, err := newScene(ctx, 1, 1, false)
	if err != nil {
		return err
	}
	err = b.play(ctx, s, "sqlite:"+filepath.Join(b.dir, "refuse.db"), "", func(service *service, _ ledger) error {
		requests, names, err := wrongs(ctx, service.address)
		if err != nil {
			return err
		}
		slowest, slowestShared := 0.0, 0.0
		for i, name := range names {
			var raw bytes.Buffer
			if err := requests[name].Write(&raw); err != nil {
				return err
			}
			// A first second opens the connections and fills the caches.
			if _, err := flood(ctx, service.address, raw.Bytes(), time.Second); err != nil {
				return err
			}
			lasting := pick(b, 10*time.Second, 2*time.Second)
			var rate float64
			served, sent, err := service.used(func() (err error) {
				rate, err = flood(ctx, service.address, raw.Bytes(), lasting)
				return err
			})
			if err != nil {
				return err
			}
			n := rate * lasting.Seconds()
			// The client shares the cores. What it takes of them in the same seconds is no part of what they can refuse.
			alone := rate * float64(served+sent) / float64(served)
			b.rate("hooks refused over loopback, "+name, "%s/s; processor time of each: %.1f µs to refuse it, %.1f µs to send it",
				measure.Count(int64(rate)), micros(served, n), micros(sent, n))
			if i == 0 || alone < slowest {
				slowest, slowestShared = alone, rate
			}
		}
		b.figure(fmt.Sprintf("hooks with a wrong credential refused on %d cores, without what the client takes of them, the slowest kind", cores),
			measure.Count(refuseLimit)+"/s", fmt.Sprintf("%s/s (%s/s with the client)", measure.Count(int64(slowest)), measure.Count(int64(slowestShared))),
			slowest >= refuseLimit)
		return nil
	})
	if err != nil {
		return err
	}
	return b.handler(ctx)
}

// micros is a share of a duration, in microseconds.
func micros(of time.Duration, n float64) float64 { return float64(of) / float64(time.Microsecond) / n }

// flood sends the same request over some connections, each the next when the one before has been answered 401, and
// returns how many are answered a second.
func flood(ctx context.Context, address string, request []byte, lasting time.Duration) (float64, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var answered atomic.Int64
	var sending sync.WaitGroup
	begin := time.Now()
	for range refuseConnections {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err != nil {
			cancel(err)
			break
		}
		sending.Go(func() {
			defer conn.Close()
			if err := conn.SetDeadline(begin.Add(lasting + hookTime)); err != nil {
				cancel(err)
				return
			}
			answers := bufio.NewReader(conn)
			n := int64(0)
			for ctx.Err() == nil && time.Since(begin) < lasting {
				if _, err := conn.Write(request); err != nil {
					cancel(err)
					break
				}
				if err := readRefusal(answers); err != nil {
					cancel(err)
					break
				}
				n++
			}
			answered.Add(n)
		})
	}
	sending.Wait()
	took := time.Since(begin)
	return float64(answered.Load()) / took.Seconds(), context.Cause(ctx)
}

// readRefusal reads an answer as cheaply as that can be done, so that the server is what is measured.
func readRefusal(answers *bufio.Reader) error {
	length := 0
	for first := true; ; first = false {
		text, err := answers.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !bytes.HasPrefix(text, []byte("HTTP/1.1 401 ")) {
			return fmt.Errorf("answered %q", text)
		}
		if digits, ok := bytes.CutPrefix(text, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(strings.TrimSpace(string(digits))); err != nil {
				return err
			}
		}
		if len(text) == len("\r\n") {
			_, err := answers.Discard(length)
			return err
		}
	}
}

// handler measures what the receiver alone costs, without a server around it: time and allocations.
func (b *bench) handler(ctx context.Context) error {
	key := bytes.Repeat([]byte("a key "), 6)[:32]
	books, err := store.Open(ctx, "sqlite:"+filepath.Join(b.dir, "handler.db"), store.Options{})
	if err != nil {
		return err
	}
	defer books.Close()
	requests, names, err := wrongs(ctx, "example.com")
	if err != nil {
		return err
	}
	const taken, kept = "accepted, the store left out", "accepted and kept in SQLite"
	if requests[taken], err = signed(ctx, "example.com", key, 1, "accepted"); err != nil {
		return err
	}
	requests[kept] = requests[taken]
	for _, name := range append(names, taken, kept) {
		var intake webhook.Intake = nowhere{}
		if name == kept {
			intake = books
		}
		receiver, err := webhook.New(webhook.Options{
			Credentials: webhook.Credentials{SigningTokens: []string{signingToken(key)}, Tokens: []string{"right"}},
			Intake:      intake, Branch: "master", Answered: func(string, string) {}, Now: time.Now,
			Logger: slog.New(slog.NewJSONHandler(struct{ io.Writer }{io.Discard}, nil)), // formatted, and written nowhere
		})
		if err != nil {
			return err
		}
		b.handlerOf(receiver, name, requests[name])
	}
	return nil
}

func (b *bench) handlerOf(receiver http.Handler, name string, r *http.Request) {
	want := http.StatusUnauthorized
	if strings.HasPrefix(name, "accepted") {
		want = http.StatusAccepted
	}
	body := push(1)
	content := bytes.NewReader(body)
	r.Body = io.NopCloser(content)
	answer := &discard{header: http.Header{}}
	result := testing.Benchmark(func(t *testing.B) {
		for i := 0; t.Loop(); i++ {
			content.Reset(body)
			clear(answer.header)
			if want == http.StatusAccepted {
				r.Header["Idempotency-Key"][0] = strconv.Itoa(i) + name // each is new; it is no part of what is signed
			}
			receiver.ServeHTTP(answer, r)
			if answer.status != want {
				t.Fatalf("answered %d", answer.status)
			}
		}
	})
	b.counted("allocations of the handler for a hook with "+name, "%d, %s bytes", result.AllocsPerOp(), measure.Count(result.AllocedBytesPerOp()))
	b.rate("the handler alone, a hook with "+name, "%.1f µs", float64(result.NsPerOp())/1e3)
}

// nowhere is an Intake that costs nothing.
type nowhere struct{}

func (nowhere) Accept(context.Context, contactsync.Delivery) (contactsync.Receipt, error) {
	return contactsync.Receipt{ID: "d1"}, nil
}

func (nowhere) Refuse(context.Context, contactsync.Delivery, contactsync.ProjectRef, error) error {
	return nil
}

// discard is an answer that nobody reads.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header             { return d.header }
func (d *discard) WriteHeader(status int)          { d.status = status }
func (d *discard) Write(body []byte) (int, error)  { return len(body), nil }
func (d *discard) SetReadDeadline(time.Time) error { return nil }
