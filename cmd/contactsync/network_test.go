package main_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"contactsync"
	fakezendesk "contactsync/internal/fakes/zendesk"
)

// toxic is what a network does to connections, on the way from the service (upstream) or back (downstream).
// Source: https://github.com/Shopify/toxiproxy#toxics. A narrow line is one of small slices here, because the toxic for
// bandwidth counts in kilobytes.
type toxic struct {
	name, way, kind, attributes string

	also where
}

// where a toxic is tried, beside all requests to the desk.
type where int

const (
	writing where = 1 << iota // from the first write of a run on
	onGit                     // between the service and GitLab
)

var toxics = []toxic{
	{"slow answers", "downstream", "latency", `"latency": 20, "jitter": 15`, onGit},
	{"no answer in time", "downstream", "latency", `"latency": 3000`, writing | onGit},
	{"requests that are held up", "upstream", "latency", `"latency": 3000`, writing},
	{"connections reset at once", "upstream", "reset_peer", `"timeout": 0`, writing},
	{"connections reset with the answer", "downstream", "reset_peer", `"timeout": 5`, writing | onGit},
	{"half-closed: answers vanish", "downstream", "timeout", `"timeout": 150`, writing | onGit},
	{"half-closed: requests vanish", "upstream", "timeout", `"timeout": 150`, writing},
	{"connections that do not close", "downstream", "slow_close", `"delay": 1000`, 0},
	{"a few bytes a second", "downstream", "slicer", `"average_size": 3, "size_variation": 1, "delay": 250000`, onGit},
	{"requests by a few bytes a second", "upstream", "slicer", `"average_size": 3, "size_variation": 1, "delay": 250000`, 0},
	{"answers end in the headers", "downstream", "limit_data", `"bytes": 100`, writing},
	{"answers end in the body", "downstream", "limit_data", `"bytes": 3000`, onGit},
	{"answers end in a later body", "downstream", "limit_data", `"bytes": 30000`, 0},
	{"requests end early", "upstream", "limit_data", `"bytes": 150`, 0},
}

// networkPatience is how long the service waits for a whole answer on a bad network, so that the test does not wait as
// long as it would in earnest.
const networkPatience = 120 * time.Millisecond

// Whatever the network does between the service and the desk or GitLab, nobody is removed whom the file lists and
// nobody is made twice; with the network well again, the next run does everything; and when the service has ended,
// nothing of it is left running. It runs alone, because goroutines are counted.
func TestServeOnABadNetwork(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		goleak.VerifyNone(t, before,
			// Toxiproxy's own do not all end when a toxic is taken away from a connection in use.
			goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
			goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
			goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).write"))
	})
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections) // which hooks are sent with
	w := newWorld(t)
	var bad atomic.Bool // the network is
	w.transport = func(next http.RoundTripper) http.RoundTripper { return hasty(next, &bad) }
	desk, forge := newLine(t, w.deskURL), newLine(t, w.forge.URL())
	w.set("CONTACTSYNC_ZENDESK_URL=http://"+desk.Listen, "CONTACTSYNC_GITLAB_URL=http://"+forge.Listen)
	stay := w.members(110) // two pages
	s := w.serve()
	s.hook()
	listed := func(version int) []contactsync.Contact {
		return append(slices.Clone(stay), contact(fmt.Sprintf("Guest %d", version), fmt.Sprintf("guest%d@example.com", version)))
	}
	version, statuses := 0, map[string]int{}
	push := func() { w.push(listed(version)); version++ }
	try := func(name string, line *toxiproxy.Proxy, poison func()) {
		poison()
		push()
		statuses[s.ends()]++
		w.keeps(name, stay)
		w.desk.Configure(func(settings *fakezendesk.Settings) { settings.Latency = nil })
		line.Toxics.ResetToxics(t.Context())
		bad.Store(false)
		want := listed(version)
		push()
		if status := s.ends(); status != "succeeded" && status != "unchanged" {
			t.Errorf("%s: the next run is %s\n%s", name, status, s.log.String())
		}
		w.hasExactly(want)
	}
	push()
	if status := s.ends(); status != "succeeded" {
		t.Fatalf("the run on a good network is %s\n%s", status, s.log.String())
	}
	for _, toxic := range toxics {
		begin := func(line *toxiproxy.Proxy) func() {
			return func() {
				bad.Store(true)
				toxic.add(t, line)
			}
		}
		try("desk, "+toxic.name, desk, begin(desk))
		if toxic.also&writing != 0 {
			try("desk, writing, "+toxic.name, desk, func() { w.atTheFirstWrite(begin(desk)) })
		}
		if toxic.also&onGit != 0 {
			try("GitLab, "+toxic.name, forge, begin(forge))
		}
	}
	if people := len(w.desk.Users()); people > len(stay)+version {
		t.Errorf("there are %d people, and never should be more than %d", people, len(stay)+version)
	}
	t.Logf("under toxics runs were %v", statuses)
	s.end(0)
}

// ends waits for the end of a run, and returns how it ended.
func (s *service) ends() string {
	s.w.Helper()
	return fmt.Sprint(s.until("run ended")["status"])
}

// add lets the toxic begin, also on connections that are there.
func (x toxic) add(t *testing.T, line *toxiproxy.Proxy) {
	if _, err := line.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"name": "it", "type": %q, "stream": %q, "attributes": {%s}}`, x.kind, x.way, x.attributes))); err != nil {
		t.Errorf("%s: %v", x.name, err)
	}
}

// atTheFirstWrite does something when the desk gets the next write, before it is done.
func (w *world) atTheFirstWrite(do func()) {
	var once sync.Once
	w.desk.Configure(func(settings *fakezendesk.Settings) {
		settings.Latency = func(r *http.Request) {
			if isWrite(r.Method, r.URL.Path) {
				once.Do(do)
			}
		}
	})
}

// keeps checks that everybody on the list is a member.
func (w *world) keeps(when string, list []contactsync.Contact) {
	w.Helper()
	members := map[string]bool{}
	for _, user := range w.desk.MembersOf(w.org) {
		members[user.Email] = true
	}
	for _, c := range list {
		if !members[string(c.Email)] {
			w.Errorf("%s: %s was removed", when, c.Email)
		}
	}
}

// newLine starts a proxy to a server, with nothing wrong yet.
func newLine(t *testing.T, server string) *toxiproxy.Proxy {
	t.Helper()
	proxies := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	line := toxiproxy.NewProxy(proxies, "line", "127.0.0.1:0", strings.TrimPrefix(server, "http://"))
	if err := line.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(line.Stop)
	return line
}

// hasty gives up on answers that are not whole in time while the network is bad.
func hasty(next http.RoundTripper, bad *atomic.Bool) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		if !bad.Load() {
			return next.RoundTrip(r)
		}
		ctx, cancel := context.WithTimeout(r.Context(), networkPatience)
		response, err := next.RoundTrip(r.WithContext(ctx))
		if err != nil {
			cancel()
			return nil, err
		}
		response.Body = cancellingBody{response.Body, cancel}
		return response, nil
	})
}
