package zendesk

import (
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// The limits of expires_in, both ends excluded, and what a token lives without one (clients created since April 2026).
const (
	minTokenSeconds     = 300
	maxTokenSeconds     = 172_800
	defaultTokenSeconds = 1_800
)

type token struct {
	scopes  []string
	broken  bool // an unknown scope was asked for: every request answers 403
	expires time.Time
}

// RevokeTokens makes every token that was granted so far worthless.
func (s *Server) RevokeTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = map[string]token{}
}

// knownScope reports whether Zendesk knows the scope. Source: the list of resources in the description of the grant.
func knownScope(scope string) bool {
	switch scope {
	case "read", "write", "impersonate":
		return true
	}
	resource, access, ok := strings.Cut(scope, ":")
	if !ok || access != "read" && access != "write" {
		return false
	}
	switch resource {
	case "tickets", "users", "auditlogs", "organizations", "hc", "apps", "triggers", "automations", "targets", "webhooks":
		return true
	}
	return false
}

// createToken grants a token for client credentials.
func (c *call) createToken() answer {
	var input struct {
		GrantType    string `json:"grant_type"`
		ClientID     string `json:"client_id"`
		ClientSecret string `json:"client_secret"`
		Scope        string `json:"scope"`
		ExpiresIn    *int   `json:"expires_in"`
	}
	if bad, ok := c.decode(&input); !ok {
		return bad
	}
	if input.GrantType != "client_credentials" {
		return oauthError(http.StatusBadRequest, "unsupported_grant_type", "The authorization grant type is not supported.")
	}
	id, secret := c.s.options.ClientID, c.s.options.ClientSecret
	if id == "" || secret == "" || !equal(id, input.ClientID) || !equal(secret, input.ClientSecret) {
		return oauthError(http.StatusUnauthorized, "invalid_client", "Client authentication failed.")
	}
	life := defaultTokenSeconds
	if input.ExpiresIn != nil {
		life = *input.ExpiresIn
	}
	if life <= minTokenSeconds || life >= maxTokenSeconds {
		return oauthError(http.StatusBadRequest, "invalid_request", "expires_in is out of range.")
	}
	granted := token{expires: c.now.Add(time.Duration(life) * time.Second)}
	for _, scope := range strings.Fields(input.Scope) {
		if !knownScope(scope) {
			granted.broken = true
			continue
		}
		if allowed := strings.Fields(c.s.options.Scopes); len(allowed) == 0 || contains(allowed, scope) {
			granted.scopes = append(granted.scopes, scope)
		}
	}
	c.s.minted++
	text := fmt.Sprintf("stand-in-token-%d", c.s.minted)
	c.s.tokens[text] = granted
	return reply(http.StatusCreated, map[string]any{
		"access_token": text, "token_type": "bearer", "scope": strings.Join(granted.scopes, " "), "expires_in": life,
	})
}

func oauthError(status int, code, description string) answer {
	return reply(status, map[string]any{"error": code, "error_description": description})
}

// authenticate checks who is asking and whether they may. Anonymous endpoints degrade instead of refusing.
func (c *call) authenticate(resource string, anonymous bool) (answer, bool) {
	header := c.header.Get("Authorization")
	access := "write"
	if c.method == http.MethodGet {
		access = "read"
	}
	if text, ok := strings.CutPrefix(header, "Bearer "); ok {
		granted, ok := c.s.tokens[text]
		if !ok || !c.now.Before(granted.expires) {
			return unauthorized(), false
		}
		if !granted.allows(resource, access) {
			return forbidden("You do not have access to this page."), false
		}
		return answer{}, true
	}
	if text, ok := strings.CutPrefix(header, "Basic "); ok {
		user, password, ok := basic(text)
		if ok && c.s.options.Token != "" && equal(user, c.s.options.Email+"/token") && equal(password, c.s.options.Token) {
			return answer{}, true
		}
		if strings.HasSuffix(user, "/token") || !anonymous {
			return unauthorized(), false
		}
	}
	if !anonymous {
		return unauthorized(), false
	}
	c.nobody = true
	return answer{}, true
}

func (t token) allows(resource, access string) bool {
	if t.broken {
		return false
	}
	return contains(t.scopes, access) || resource != "" && contains(t.scopes, resource+":"+access)
}

func basic(text string) (user, password string, ok bool) {
	r := http.Request{Header: http.Header{"Authorization": {"Basic " + text}}}
	return r.BasicAuth()
}

func contains(list []string, one string) bool {
	for _, entry := range list {
		if entry == one {
			return true
		}
	}
	return false
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
