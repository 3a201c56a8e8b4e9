package zendesk_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"contactsync"
	fake "contactsync/internal/fakes/zendesk"
	"contactsync/internal/fakes/zendesk/contract"
	"contactsync/zendesk"
)

// Lists deeper than offsets reach are read by cursors, and still counted.
func TestVeryLargeOrganization(t *testing.T) {
	w := newWorld(t)
	w.addMembers(10_050)
	w.ResetRequests()
	list, err := w.desk().Members(t.Context(), w.org)
	wantNoError(t, err)
	if len(list) != 10_050 {
		t.Errorf("%d members, want 10050", len(list))
	}
	w.Inject(fake.Fault{Kind: fake.DroppedPage, Match: fake.Nth(60)})
	w.ResetRequests()
	list, err = w.desk().Members(t.Context(), w.org)
	wantNoError(t, err) // the second reading is whole
	if len(list) != 10_050 {
		t.Errorf("%d members, want 10050", len(list))
	}
	w.clean()
}

// Somebody who joins or leaves while the pages are read costs a second reading, not the run.
func TestChangeWhileReading(t *testing.T) {
	var w *world
	var once bool
	w = newWorld(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			next.ServeHTTP(rw, r)
			if strings.HasSuffix(r.URL.Path, "/organization_memberships") && !once {
				once = true
				w.AddUser(fake.User{Name: "Late", Email: "late@example.com", Organizations: []int64{w.orgID}})
			}
		})
	})
	w.addMembers(150)
	list, err := w.desk().Members(t.Context(), w.org)
	wantNoError(t, err)
	if len(list) != 151 {
		t.Errorf("%d members, want 151", len(list))
	}
}

// Without side-loading the members cost two requests a hundred, and the first attempt is not repeated.
func TestMembersWithoutSideLoading(t *testing.T) {
	w := newWorld(t)
	w.Configure(func(s *fake.Settings) { s.SideLoadUsers = false })
	w.addMembers(1000)
	desk := w.desk()
	for call, want := range []int{21, 20} { // with the token at first
		n := w.counted(func(ctx context.Context) {
			list, err := desk.Members(ctx, w.org)
			wantNoError(t, err)
			if len(list) != 1000 {
				t.Errorf("%d members", len(list))
			}
		})
		if n != want {
			t.Errorf("call %d: %d requests, want %d", call, n, want)
		}
		for _, r := range w.Requests() {
			if call == 1 && r.Query.Get("include") == "users" {
				t.Errorf("side-loading was asked for again: %+v", r)
			}
		}
	}
	w.clean()
}

// Where nobody may have several organizations, one request settles who belongs elsewhere; else one a member does.
func TestElsewhereRequests(t *testing.T) {
	for multiple, want := range map[bool]int{false: 1, true: 4} {
		w := newWorld(t)
		w.Configure(func(s *fake.Settings) { s.MultipleOrganizations = multiple })
		w.addMembers(3)
		desk := w.desk()
		list, err := desk.Members(t.Context(), w.org)
		wantNoError(t, err)
		n := w.counted(func(ctx context.Context) {
			resolved, err := desk.Elsewhere(ctx, w.org, list)
			wantNoError(t, err)
			for _, m := range resolved {
				if m.Elsewhere != contactsync.ElsewhereNo {
					t.Errorf("member %s: %v", m.ID, m.Elsewhere)
				}
			}
		})
		if n != want {
			t.Errorf("several organizations %v: %d requests, want %d", multiple, n, want)
		}
	}
}

// A search that takes fewer words than documented is asked in smaller pieces, and the size is remembered.
func TestSearchLearnsItsSize(t *testing.T) {
	w := newWorld(t)
	w.Configure(func(s *fake.Settings) { s.MaxSearchWords = 16 })
	var addresses []contactsync.Email
	for i := range 40 {
		address := fmt.Sprintf("person%d@example.com", i)
		w.AddUser(fake.User{Name: address, Email: address})
		addresses = append(addresses, contactsync.Email(address))
	}
	w.Reindex()
	desk := w.desk()
	refused := func() int {
		w.ResetRequests()
		people, err := desk.People(t.Context(), w.org, addresses)
		wantNoError(t, err)
		if len(people) != 40 {
			t.Errorf("%d people, want 40", len(people))
		}
		n := 0
		for _, r := range w.Requests() {
			if r.Status == http.StatusUnprocessableEntity {
				n++
			}
		}
		return n
	}
	if first, again := refused(), refused(); first == 0 || again != 0 {
		t.Errorf("%d searches were refused, then %d; want some, then none", first, again)
	}
}

// What the adapter sends, in a run with everything in it, is what Zendesk's own description of its API allows.
func TestContract(t *testing.T) {
	for name, bulk := range map[string]bool{"jobs": true, "single requests": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(next http.Handler) http.Handler { return contract.Middleware(t, next) })
			w.Configure(func(s *fake.Settings) { s.BulkImport, s.MultipleOrganizations = bulk, true })
			other := w.Server.AddOrganization(fake.Organization{Name: "Other"})
			w.addMembers(150)
			w.addPerson(fake.User{Name: "Both", Email: "both@example.com", Organizations: []int64{other, w.orgID}})
			w.addPerson(fake.User{Name: "Taken", Email: "taken@example.com", Organizations: []int64{other}})
			w.addPerson(fake.User{Name: "Further", Email: "main@example.com", Secondary: []string{"further@example.com"}})
			wanted := []contactsync.Email{"further@example.com"}
			for i := range 6 {
				address := fmt.Sprintf("known%d@example.com", i)
				w.addPerson(fake.User{Name: address, Email: address})
				wanted = append(wanted, contactsync.Email(address), contactsync.Email(fmt.Sprintf("new%d@example.com", i)))
			}
			desk := w.desk()
			wantNoError(t, desk.Check(t.Context()))
			syncOnce(t, t.Context(), desk, wanted, 5)
			_, err := desk.Organization(t.Context(), 815)
			wantClass(t, err, contactsync.ClassNoOrgFound)
			list, err := desk.Members(t.Context(), w.org)
			wantNoError(t, err)
			outcomes, err := desk.Rename(t.Context(), w.org, []contactsync.Rename{
				{Member: list[0], Name: "New"}, {Member: list[1], Name: "New too", Email: "renamed@example.com"}, {Member: list[2], Email: "taken@example.com"},
			})
			wantNoError(t, err)
			wantNoError(t, outcomes[1].Err)
			wantClass(t, outcomes[2].Err, contactsync.ClassContactElsewhere)
			outcomes, err = desk.Rename(t.Context(), w.org, []contactsync.Rename{{Member: list[3], Name: "New alone"}})
			wantDone(t, outcomes, err)
			outcomes, err = desk.Add(t.Context(), w.org, []contactsync.Addition{creation("taken@example.com")})
			wantNoError(t, err)
			wantClass(t, outcomes[0].Err, contactsync.ClassContactElsewhere)
			outcomes, err = desk.Remove(t.Context(), w.org, list[4:6])
			wantDone(t, outcomes, err)
			w.clean()
		})
	}
}

// peakOf is the environment variable that makes this test's program read a desk and print its own peak of memory.
const peakOf = "CONTACTSYNC_TEST_PEAK_OF"

// A process that reads 5,000 members stays within the memory that the project allows for the whole program.
func TestMemoryOfALargeRun(t *testing.T) {
	if address := os.Getenv(peakOf); address != "" {
		desk, err := zendesk.New(zendesk.Options{URL: address, ClientID: clientID, ClientSecret: clientSecret})
		wantNoError(t, err)
		if n := len(readAll(t, t.Context(), desk)); n != 5000 {
			t.Errorf("%d members", n)
		}
		status, err := os.ReadFile("/proc/self/status")
		wantNoError(t, err)
		for line := range strings.Lines(string(status)) {
			if strings.HasPrefix(line, "VmHWM:") {
				fmt.Println(line)
			}
		}
		return
	}
	if runtime.GOOS != "linux" {
		t.Skip("skipped: the peak of a process is read from /proc, which only Linux has")
	}
	w := newWorld(t)
	w.addMembers(5000)
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestMemoryOfALargeRun$")
	command.Env = append(os.Environ(), peakOf+"="+w.url)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	_, rest, _ := strings.Cut(string(output), "VmHWM:")
	kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	t.Logf("peak of the process: %d MB", kilobytes>>10)
	if kilobytes > 64<<10 && !raceDetector {
		t.Errorf("the process took %d MB, want at most 64", kilobytes>>10)
	}
}

// BenchmarkMembers reads 5,000 members over HTTP.
func BenchmarkMembers(b *testing.B) {
	w := newWorld(b)
	w.addMembers(5000)
	desk := w.desk(func(o *zendesk.Options) { o.RequestsPerMinute = 1_000_000 })
	b.ReportAllocs()
	for b.Loop() {
		list, err := desk.Members(context.Background(), w.org)
		if err != nil || len(list) != 5000 {
			b.Fatalf("%d members, %v", len(list), err)
		}
	}
}
