package webhook

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// Credentials are what a hook may show. Each kind may have several values, all of them valid, while one is replaced.
// At least one is needed.
type Credentials struct {
	SigningTokens []string // of GitLab's hooks: whsec_ and base64, see readSigningToken
	Tokens        []string // secret tokens of GitLab's hooks
	TriggerTokens []string // of hooks that use the original trigger address
	MasterKeys    []MasterKey
}

// keyring is the credentials made ready for comparing. Of tokens it keeps hashes, which compare in constant time
// whatever the lengths.
type keyring struct {
	signing  [][]byte
	tokens   []tokenHash
	triggers []tokenHash
	masters  []MasterKey
}

type tokenHash = [sha256.Size]byte

func newKeyring(c Credentials) (keyring, error) {
	var k keyring
	if len(c.SigningTokens)+len(c.Tokens)+len(c.TriggerTokens)+len(c.MasterKeys) == 0 {
		return k, errors.New("the receiver of hooks has no credentials, so it could let nobody in")
	}
	for _, token := range c.SigningTokens {
		key, err := readSigningToken(token)
		if err != nil {
			return k, err
		}
		k.signing = append(k.signing, key)
	}
	for _, token := range slices.Concat(c.Tokens, c.TriggerTokens) {
		if token == "" {
			return k, errors.New("an empty token would let everybody in")
		}
	}
	k.tokens, k.triggers = hashes(c.Tokens), hashes(c.TriggerTokens)
	for i, key := range c.MasterKeys {
		if key.secret == nil {
			return k, errors.New("a master key is empty")
		}
		if slices.ContainsFunc(c.MasterKeys[:i], func(other MasterKey) bool { return other.Number == key.Number }) {
			return k, fmt.Errorf("two master keys have the number %d", key.Number)
		}
	}
	k.masters = slices.Clone(c.MasterKeys)
	return k, nil
}

func hashes(tokens []string) (list []tokenHash) {
	for _, token := range tokens {
		list = append(list, sha256.Sum256([]byte(token)))
	}
	return list
}

// isAmong compares a token with all of the list, each in constant time.
func isAmong(list []tokenHash, token string) bool {
	hash := sha256.Sum256([]byte(token))
	matches := 0
	for i := range list {
		matches |= subtle.ConstantTimeCompare(hash[:], list[i][:])
	}
	return matches == 1
}

// claim is what a delivery's headers say of its sender, judged as far as that is possible before the body is read.
// Whether it holds for a body is for keyring.holds to say.
type claim struct {
	signature *signature // not nil: still to be verified
	project   int64      // the project whose derived token came along; 0 for none
}

// hook judges the headers of a hook and reports false where no body could make it authentic. A signature decides
// alone once it is there, whatever token comes with it.
func (k keyring) hook(header http.Header, now time.Time) (claim, bool) {
	token := header.Get("X-Gitlab-Token")
	if isSigned(header) {
		return k.signed(header, now, token)
	}
	if token == "" {
		return claim{}, false
	}
	shared := isAmong(k.tokens, token)
	project, derived := k.derivedFor(token)
	return claim{project: project}, shared || derived
}

// trigger judges the headers of a request whose trigger token is judged elsewhere. GitLab asks for nothing but that
// token at this address. A signature is no substitute for it; but where one came along and there are keys to verify
// it with, it must be right too. X-Gitlab-Token never counted here, and old hooks may carry anything in it.
func (k keyring) trigger(header http.Header, now time.Time) (claim, bool) {
	if !isSigned(header) || !k.verifies() {
		return claim{}, true
	}
	return k.signed(header, now, header.Get("X-Gitlab-Token"))
}

// verifies reports whether there is anything to verify signatures with.
func (k keyring) verifies() bool { return len(k.signing)+len(k.masters) > 0 }

func (k keyring) signed(header http.Header, now time.Time, token string) (claim, bool) {
	s, ok := readSignature(header, now)
	if !ok || !k.verifies() {
		return claim{}, false
	}
	project, _ := k.derivedFor(token)
	return claim{signature: &s, project: project}, true
}

// derivedFor returns the project for which a master key made the token, or false where none did.
func (k keyring) derivedFor(token string) (project int64, ok bool) {
	number, project, ok := readDerived(token)
	if !ok {
		return 0, false
	}
	for _, key := range k.masters {
		if key.Number == number && subtle.ConstantTimeCompare([]byte(key.Token(project)), []byte(token)) == 1 {
			return project, true
		}
	}
	return 0, false
}

// opensTrigger judges the token of a trigger address.
func (k keyring) opensTrigger(token string) bool { return token != "" && isAmong(k.triggers, token) }

// holds reports whether the claim is true of the body. A project's own credentials speak for that project alone;
// GitLab's sample for a repository without commits, which never names the project that it comes from, is the only
// exception. All keys are tried.
func (k keyring) holds(c claim, in *content) bool {
	if c.signature == nil {
		return c.project == 0 || c.project == in.payload().projectNumber() || in.payload().isSample()
	}
	holds := false
	for _, key := range k.signing {
		holds = c.signature.madeWith(key, in.body) || holds
	}
	if len(k.masters) == 0 {
		return holds
	}
	p := in.payload()
	projects := []int64{p.projectNumber()}
	if p.isSample() {
		projects = append(projects, c.project)
	}
	for _, project := range projects {
		for _, key := range k.masters {
			holds = project > 0 && c.signature.madeWith(key.signingKey(project), in.body) || holds
		}
	}
	return holds
}
