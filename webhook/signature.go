package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The scheme is Standard Webhooks, symmetric signatures alone, as GitLab signs since 19.0:
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md. Its Go library verifies
// with one key against the machine's clock; several keys while rotating and a clock that is handed in are the reason
// for these lines.
const (
	signingPrefix = "whsec_"
	minSigningKey = 24 // bytes
	maxSigningKey = 64

	signatureTolerance = 5 * time.Minute
	maxSignatures      = 16 // in one delivery; a sender that rotates sends two
	maxWebhookID       = 256
)

// readSigningToken returns the key of a signing token.
func readSigningToken(token string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(token, signingPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	if !ok || err != nil || len(key) < minSigningKey || len(key) > maxSigningKey {
		return nil, errors.New("a signing token must be whsec_ and the base64 form of 24 to 64 bytes")
	}
	return key, nil
}

// signature is what a delivery's headers say about its signing. It is true when a key says so.
type signature struct {
	id, timestamp string
	candidates    [][]byte // in base64, as sent
}

func isSigned(header http.Header) bool { return len(header["Webhook-Signature"]) > 0 }

// readSignature reports false where no key could make the headers true: something is missing, twice, misshapen, or
// more than five minutes away from now.
func readSignature(header http.Header, now time.Time) (signature, bool) {
	ids, timestamps := header["Webhook-Id"], header["Webhook-Timestamp"]
	if len(ids) != 1 || len(timestamps) != 1 {
		return signature{}, false
	}
	s := signature{id: ids[0], timestamp: timestamps[0]}
	// A full stop would make it unclear where the id ends in what was signed.
	if s.id == "" || len(s.id) > maxWebhookID || strings.Contains(s.id, ".") {
		return signature{}, false
	}
	seconds, err := strconv.ParseInt(s.timestamp, 10, 64)
	if err != nil {
		return signature{}, false
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > signatureTolerance || age < -signatureTolerance {
		return signature{}, false
	}
	for _, line := range header["Webhook-Signature"] {
		for entry := range strings.SplitSeq(line, " ") {
			encoded, ok := strings.CutPrefix(entry, "v1,")
			if ok && len(encoded) == base64.StdEncoding.EncodedLen(sha256.Size) {
				s.candidates = append(s.candidates, []byte(encoded))
			}
		}
	}
	return s, 0 < len(s.candidates) && len(s.candidates) <= maxSignatures
}

// madeWith reports whether one of the signatures was made with the key over this body. It compares all of them, each
// in constant time, and in base64, where every signature has one form only.
func (s signature) madeWith(key, body []byte) bool {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(s.id + "." + s.timestamp + "."))
	mac.Write(body)
	want := base64.StdEncoding.AppendEncode(nil, mac.Sum(nil))
	matches := 0
	for _, candidate := range s.candidates {
		matches |= subtle.ConstantTimeCompare(candidate, want)
	}
	return matches == 1
}
