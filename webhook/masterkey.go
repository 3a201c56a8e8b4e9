package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// MasterKey makes the credentials of each project's hook from the project's number alone, so that none of them needs
// to be stored and none opens another project. Several keys are valid at once while one is replaced; the number tells
// them apart. Get one from ParseMasterKey.
type MasterKey struct {
	Number int
	secret *[]byte // behind a pointer, so that printing a struct that holds a key does not show it
}

// minMasterKey is in bytes: the width of the hash that is keyed with it.
const minMasterKey = sha256.Size

// ParseMasterKey reads NUMBER:KEY, the number above zero and the key in base64 and at least 32 bytes long. The error
// does not repeat the text.
func ParseMasterKey(text string) (MasterKey, error) {
	number, encoded, _ := strings.Cut(text, ":")
	n, err := strconv.Atoi(number)
	if err != nil || n <= 0 || strconv.Itoa(n) != number {
		return MasterKey{}, errors.New("a master key must be its number, a colon and the key")
	}
	secret, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(secret) < minMasterKey {
		return MasterKey{}, fmt.Errorf("master key %d must be the base64 form of at least %d random bytes", n, minMasterKey)
	}
	return MasterKey{Number: n, secret: &secret}, nil
}

// String names the key and does not show it.
func (k MasterKey) String() string { return fmt.Sprintf("master key %d", k.Number) }

// SigningToken returns the signing token of the project's hook: whsec_ and the base64 form of 32 bytes, which are
// HMAC-SHA256(key, "contactsync hook signing token PROJECT").
func (k MasterKey) SigningToken(project int64) string {
	return signingPrefix + base64.StdEncoding.EncodeToString(k.signingKey(project))
}

// Token returns the secret token of the project's hook: cs1.NUMBER.PROJECT.MAC, the MAC being the base64url form,
// without padding, of HMAC-SHA256(key, "contactsync hook token PROJECT").
func (k MasterKey) Token(project int64) string {
	return fmt.Sprintf("%s.%d.%d.%s", derivedPrefix, k.Number, project,
		base64.RawURLEncoding.EncodeToString(k.mac("contactsync hook token ", project)))
}

func (k MasterKey) signingKey(project int64) []byte {
	return k.mac("contactsync hook signing token ", project)
}

// mac keeps the kinds of credentials apart: what is derived for one purpose tells nothing about another.
func (k MasterKey) mac(purpose string, project int64) []byte {
	mac := hmac.New(sha256.New, *k.secret)
	mac.Write(strconv.AppendInt([]byte(purpose), project, 10))
	return mac.Sum(nil)
}

// derivedPrefix begins a token that a master key made, and tells the version of its form.
const derivedPrefix = "cs1"

// readDerived takes a token of a master key's form apart. Whether it is genuine is for the key to say.
func readDerived(token string) (number int, project int64, ok bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 4 || parts[0] != derivedPrefix {
		return 0, 0, false
	}
	number, wrongNumber := strconv.Atoi(parts[1])
	project, wrongProject := strconv.ParseInt(parts[2], 10, 64)
	return number, project, wrongNumber == nil && wrongProject == nil && project > 0
}
