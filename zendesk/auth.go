package zendesk

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"contactsync"
	"contactsync/zendesk/internal/wire"

	api "github.com/nukosuke/go-zendesk/zendesk"
)

const (
	// scopes are what the OAuth token is asked for. Jobs, search, exports and settings have no scope of their own,
	// so reading is asked for whole, and writing for users and organizations (with their memberships) alone.
	scopes = "read users:write organizations:write"
	// answering is asked for beside them, and done without: only answering tickets needs it.
	answering = "tickets:write"
	// tokenLife is what is asked for; Zendesk allows 5 minutes to 2 days.
	tokenLife = 2 * time.Hour
	// tokenMargin is how long before its end a token is replaced, at most; short tokens live nine tenths.
	tokenMargin = 5 * time.Minute
	// legacyEnd is when API tokens stop working: https://developer.zendesk.com/documentation/api-basics/authentication/oauth-migration/
	legacyEnd = "2027-04-30"
)

// authorization is the header's value for a credential of the client library, which cannot renew one by itself.
func authorization(c api.Credential) string {
	if c.Bearer() {
		return "Bearer " + c.Secret()
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(c.Email()+":"+c.Secret()))
}

// clientCredentials mints OAuth tokens by the client credentials grant and keeps the last one, in memory alone.
// https://developer.zendesk.com/api-reference/ticketing/oauth/grant_type_tokens/
type clientCredentials struct {
	url, id, secret string
	now             func() time.Time
	send            func(*http.Request, mode) (*http.Response, error)

	turn    chan struct{} // one mints at a time; the others wait for its token
	current string
	renew   time.Time
}

func newClientCredentials(url, id, secret string, now func() time.Time) *clientCredentials {
	return &clientCredentials{url: url + "/oauth/tokens", id: id, secret: secret, now: now, turn: make(chan struct{}, 1)}
}

// sign returns the header's value, with a fresh token where there is none or the last one is about to end.
func (c *clientCredentials) sign(ctx context.Context) (string, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if c.current != "" && c.now().Before(c.renew) {
		return c.current, nil
	}
	token, life, err := c.mint(ctx)
	if err != nil {
		return "", err
	}
	c.current = authorization(api.NewBearerTokenCredential(token))
	c.renew = c.now().Add(life - min(tokenMargin, life/10))
	return c.current, nil
}

// forget drops a token that the desk refused, unless it has been replaced already.
func (c *clientCredentials) forget(ctx context.Context, refused string) bool {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return false
	}
	if c.current == refused {
		c.current = ""
	}
	return true
}

func (c *clientCredentials) mint(ctx context.Context) (token string, life time.Duration, err error) {
	body, err := json.Marshal(map[string]any{
		"grant_type": "client_credentials", "client_id": c.id, "client_secret": c.secret,
		"scope": scopes + " " + answering, "expires_in": int(tokenLife / time.Second),
	})
	if err != nil {
		return "", 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, bytes.NewReader(body))
	if err != nil {
		return "", 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.send(req, mode{read: true, open: true}) // asking twice does no harm
	if err != nil {
		return "", 0, unchained(err, contactsync.ClassDeskUnreadable)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", 0, err
	}
	if resp.StatusCode/100 != 2 {
		problem := wire.ReadProblem(answer)
		if resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests {
			return "", 0, contactsync.Errorf(contactsync.ClassDeskUnauthorized,
				"the desk gave no token for the OAuth client (%d): %s", resp.StatusCode, problem.Reason)
		}
		return "", 0, unchained(&failure{Method: http.MethodPost, Path: "/oauth/tokens", Status: resp.StatusCode, Reason: problem.Reason},
			contactsync.ClassDeskUnreadable)
	}
	var minted struct {
		AccessToken string `json:"access_token"`
		Scope       string `json:"scope"`
		ExpiresIn   int64  `json:"expires_in"`
	}
	if err := json.Unmarshal(answer, &minted); err != nil || minted.AccessToken == "" {
		// The cause could quote the token.
		return "", 0, contactsync.Errorf(contactsync.ClassDeskUnreadable, "the answer to POST /oauth/tokens has no token in it")
	}
	if missing := missingScopes(minted.Scope); len(missing) > 0 {
		return "", 0, contactsync.Errorf(contactsync.ClassDeskUnauthorized,
			"the OAuth client was not granted: %s (granted: %q)", strings.Join(missing, ", "), minted.Scope)
	}
	life = tokenLife
	if minted.ExpiresIn > 0 && time.Duration(minted.ExpiresIn)*time.Second < life {
		life = time.Duration(minted.ExpiresIn) * time.Second
	}
	return minted.AccessToken, life, nil
}

// missingScopes compares what was granted with what was asked for. Zendesk hands out a token even for scopes that it
// does not know, and then answers 403 to everything.
func missingScopes(granted string) []string {
	has := strings.Fields(granted)
	var missing []string
	for _, scope := range strings.Fields(scopes) {
		_, verb, _ := strings.Cut(scope, ":")
		if !slices.Contains(has, scope) && (verb == "" || !slices.Contains(has, verb)) {
			missing = append(missing, scope)
		}
	}
	return missing
}
