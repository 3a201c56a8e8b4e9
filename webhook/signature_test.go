package webhook_test

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"contactsync/webhook"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"pgregory.net/rapid"
)

// The published vector of Standard Webhooks: libraries/go/webhook_test.go and its siblings of the other languages.
const (
	vectorToken     = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorTime      = 1614265330
	vectorBody      = `{"test": 2432232314}`
	vectorSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

// vector is a delivery with the published signature, and a receiver to which it is authentic.
func vector(t testing.TB) (*scene, delivery) {
	s := newScene(t, func(_ *scene, o *webhook.Options) {
		o.Credentials.SigningTokens = []string{vectorToken}
		o.Now = func() time.Time { return time.Unix(vectorTime, 0) }
	})
	d := hook("", vectorBody).with("Webhook-Id", vectorID).with("Webhook-Timestamp", strconv.Itoa(vectorTime))
	return s, d.with("Webhook-Signature", vectorSignature)
}

// The published vector verifies, alone and among other signatures, and its siblings from the specification's tests do
// not: something missing, another signature, an older or newer time.
func TestPublishedVectors(t *testing.T) {
	t.Parallel()
	const other = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc="
	s, d := vector(t)
	for name, test := range map[string]struct {
		delivery
		ok bool
	}{
		"the vector":                 {d, true},
		"among others":               {d.with("Webhook-Signature", other+" v2,"+other[3:]+" "+vectorSignature+" "+other), true},
		"at the end of many":         {d.with("Webhook-Signature", strings.Repeat(other+" ", 15)+vectorSignature), true},
		"too many":                   {d.with("Webhook-Signature", strings.Repeat(other+" ", 16)+vectorSignature), false},
		"blanks around":              {d.with("Webhook-Signature", " "+vectorSignature+"  "), true},
		"without id":                 {d.with("Webhook-Id", ""), false},
		"without timestamp":          {d.with("Webhook-Timestamp", ""), false},
		"without signature":          {d.with("Webhook-Signature", ""), false},
		"another signature":          {d.with("Webhook-Signature", other), false},
		"beginning of a signature":   {d.with("Webhook-Signature", "v1,"), false},
		"signature without version":  {d.with("Webhook-Signature", vectorSignature[3:]), false},
		"signature of another kind":  {d.with("Webhook-Signature", "v1a,"+vectorSignature[3:]), false},
		"signature in two":           {d.with("Webhook-Signature", strings.Replace(vectorSignature, "/", " ", 1)), false},
		"not quite base64":           {d.with("Webhook-Signature", strings.Replace(vectorSignature, "E=", "F=", 1)), false},
		"without padding":            {d.with("Webhook-Signature", strings.TrimSuffix(vectorSignature, "=")), false},
		"timestamp with a sign":      {d.with("Webhook-Timestamp", "+1614265330"), false},
		"timestamp with a fraction":  {d.with("Webhook-Timestamp", "1614265330.0"), false},
		"timestamp with zeros":       {d.with("Webhook-Timestamp", "01614265330"), false},
		"timestamp beyond all times": {d.with("Webhook-Timestamp", "99999999999999999999"), false},
		"timestamp at the far end":   {d.with("Webhook-Timestamp", "9223372036854775807"), false},
		"another id":                 {d.with("Webhook-Id", "msg_other"), false},
		"very long id":               {d.with("Webhook-Id", strings.Repeat("x", 300)), false},
		"another body":               {delivery{path: d.path, header: d.header, body: vectorBody + " "}, false},
	} {
		want := map[bool]int{true: 200, false: 401}[test.ok]
		if got := s.send(test.delivery); got.status != want {
			t.Errorf("%s: answered %d, want %d", name, got.status, want)
		}
	}
}

// Five minutes either way are taken, for clocks that are wrong, and not a second more, for what was recorded.
func TestSignatureTolerance(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	for age, want := range map[time.Duration]int{
		0: 202, 5 * time.Minute: 202, -5 * time.Minute: 202, 5*time.Minute + time.Second: 401, -5*time.Minute - time.Second: 401, 400 * 24 * time.Hour: 401,
	} {
		if got := s.send(push(t).signed(s.signing, now.Add(-age))); got.status != want {
			t.Errorf("%v old: answered %d, want %d", age, got.status, want)
		}
	}
}

// Where the id ends and the timestamp begins must not be a matter of opinion: an id with a full stop is refused even
// if what was signed is the same text.
func TestSignatureCannotBeShifted(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	stamp := strconv.FormatInt(now.Unix(), 10)
	// Signed with the id "a", the timestamp 1 and a body that begins with a timestamp.
	whole := signature(s.signing, "a", "1", stamp+"."+sample(t, "push"))
	d := push(t).with("Webhook-Id", "a.1").with("Webhook-Timestamp", stamp).with("Webhook-Signature", whole)
	if got := s.send(d); got.status != 401 {
		t.Errorf("answered %d", got.status)
	}
}

// What the reference library signs we take, and what it signs with another key we do not, for any id, time and body.
func TestLibraryAgrees(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(s *scene, o *webhook.Options) { o.Now = time.Now }) // the library verifies by the machine's clock
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[A-Za-z0-9_-]{1,64}`).Draw(t, "id")
		body := rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		at := time.Now().Add(time.Duration(rapid.IntRange(-600, 600).Draw(t, "seconds")) * time.Second)
		key, other := s.signing, "whsec_"+randomText(rapid.IntRange(24, 64).Draw(t, "bytes"))
		for token, own := range map[string]bool{key: true, other: false} {
			signer, err := standardwebhooks.NewWebhook(token)
			if err != nil {
				t.Fatal(err)
			}
			signed, err := signer.Sign(id, at, body)
			if err != nil {
				t.Fatal(err)
			}
			d := hook("", string(body)).with("Webhook-Id", id).with("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10)).with("Webhook-Signature", signed)
			verifier, err := standardwebhooks.NewWebhook(key)
			if err != nil {
				t.Fatal(err)
			}
			age := time.Since(at).Abs()
			if age > 5*time.Minute-2*time.Second && age < 5*time.Minute+2*time.Second {
				continue // the two read the clock one after the other
			}
			library := verifier.Verify(body, d.header) == nil
			ours := s.send(d).status != http.StatusUnauthorized
			if library != ours || library && !own {
				t.Errorf("the library says %t, we say %t, and the key is the right one: %t", library, ours, own)
			}
		}
	})
}

// Of an authentic delivery every byte counts: no change of one byte of body, id, timestamp or signature is taken,
// whichever key signed it.
func TestSignedBytesAreExact(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	rapid.Check(t, func(t *rapid.T) {
		project := rapid.Int64Range(1, 1<<40).Draw(t, "project")
		token := rapid.SampledFrom([]string{s.signing, s.first.SigningToken(project), s.second.SigningToken(project)}).Draw(t, "token")
		body := `{"object_kind":"push","project_id":` + strconv.FormatInt(project, 10) + `,"ref":"refs/heads/master"}`
		d := hook("Push Hook", body).signed(token, now.Add(time.Duration(rapid.IntRange(-299, 299).Draw(t, "age"))*time.Second))
		if got := s.send(d); got.status != 202 {
			t.Fatalf("the delivery itself: answered %d", got.status)
		}
		before := len(s.intake.accepted)
		change := func(text string) string {
			changed := []byte(text)
			i := rapid.IntRange(0, len(text)-1).Draw(t, "position")
			changed[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "change"))
			return string(changed)
		}
		switch what := rapid.SampledFrom([]string{"body", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"}).Draw(t, "what"); what {
		case "body":
			d.body = change(d.body)
		default:
			d = d.with(what, change(d.header.Get(what)))
		}
		if got := s.send(d); got.status != 401 || len(s.intake.accepted) != before {
			t.Errorf("answered %d: %v %s", got.status, d.header, d.body)
		}
	})
}

// A header of signatures of any content lets nobody in who has not the key, and does not keep out who has: the right
// signature among up to fifteen others always counts.
func FuzzSignatureHeader(f *testing.F) {
	for _, seed := range []string{"", "v1,", vectorSignature, "v1," + vectorSignature, vectorSignature + " " + vectorSignature, "v1a,x v1,y", ",", " ",
		"v1,\x00", strings.Repeat("v1,"+strings.Repeat("A", 44)+" ", 20), "V1," + vectorSignature[3:]} {
		f.Add(seed)
	}
	s, d := vector(f)
	f.Fuzz(func(t *testing.T, header string) {
		got := s.send(d.with("Webhook-Signature", header))
		entries := strings.Split(header, " ")
		authentic, candidates := false, 0
		for _, entry := range entries {
			authentic = authentic || entry == vectorSignature
			if encoded, ok := strings.CutPrefix(entry, "v1,"); ok && len(encoded) == base64.StdEncoding.EncodedLen(32) {
				candidates++
			}
		}
		want := 401
		if authentic && candidates <= 16 {
			want = 200
		}
		if got.status != want {
			t.Errorf("%q: answered %d, want %d", header, got.status, want)
		}
		if candidates < 16 {
			if got := s.send(d.with("Webhook-Signature", header+" "+vectorSignature)); got.status != 200 {
				t.Errorf("%q and the right signature: answered %d", header, got.status)
			}
		}
	})
}
