package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"contactsync/config"
	"contactsync/webhook"

	"pgregory.net/rapid"
)

// What a master key makes is what the documentation says, so that anybody can make it by other means, and for ever the
// same: hooks that exist were set up with it. It has the forms that GitLab demands.
func TestDerivation(t *testing.T) {
	t.Parallel()
	secret := []byte(strings.Repeat("0123456789abcdef", 2))
	key, err := webhook.ParseMasterKey("2:" + base64.StdEncoding.EncodeToString(secret))
	if err != nil {
		t.Fatal(err)
	}
	by := func(text string) []byte {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	wantSigning := "whsec_" + base64.StdEncoding.EncodeToString(by("contactsync hook signing token 42"))
	wantToken := "cs1.2.42." + base64.RawURLEncoding.EncodeToString(by("contactsync hook token 42"))
	if got := key.SigningToken(42); got != wantSigning || !regexp.MustCompile(`^whsec_[A-Za-z0-9+/]{43}=$`).MatchString(got) {
		t.Errorf("the signing token is %s, want %s", got, wantSigning)
	}
	if got := key.Token(42); got != wantToken {
		t.Errorf("the token is %s, want %s", got, wantToken)
	}
}

// A master key is not shown by printing, logging or encoding it, or what it is in.
func TestMasterKeyIsNotShown(t *testing.T) {
	t.Parallel()
	encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("sesame..", 4)))
	key, err := webhook.ParseMasterKey("7:" + encoded)
	if err != nil {
		t.Fatal(err)
	}
	inJSON, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%v %+v %#v %s %x %v %+v %s", key, key, key, key, key, struct{ hidden webhook.MasterKey }{key},
		webhook.Credentials{MasterKeys: []webhook.MasterKey{key}}, inJSON)
	for _, leak := range []string{"sesame", encoded[:8], "736573616d65", "115 101 115"} {
		if strings.Contains(text, leak) {
			t.Errorf("%q is in %s", leak, text)
		}
	}
	if !strings.HasPrefix(text, "master key 7 ") {
		t.Errorf("it calls itself %s", text)
	}
}

// Whatever configuration takes for a credential, the receiver takes too, and nothing else: neither may be stricter.
func TestConfigurationAgrees(t *testing.T) {
	t.Parallel()
	encode := base64.StdEncoding.EncodeToString
	for _, text := range []string{
		"1:" + encode(make([]byte, 32)), "17:" + encode(make([]byte, 64)), "1:" + encode(make([]byte, 31)), "1:", ":", "1", "0:" + encode(make([]byte, 32)),
		"-1:" + encode(make([]byte, 32)), "+1:" + encode(make([]byte, 32)), "01:" + encode(make([]byte, 32)), "a:" + encode(make([]byte, 32)),
		"1:" + base64.RawStdEncoding.EncodeToString(make([]byte, 32)), "1:" + base64.URLEncoding.EncodeToString([]byte(strings.Repeat("\xff", 33))),
		"1: " + encode(make([]byte, 32)), encode(make([]byte, 32)), "99999999999999999999:" + encode(make([]byte, 32)),
	} {
		c := config.Default()
		c.Webhook.MasterKey = []config.Secret{config.NewSecret(text)}
		_, err := webhook.ParseMasterKey(text)
		if problems := c.Validate(); (len(problems) == 0) != (err == nil) {
			t.Errorf("master key %q: configuration says %v, the receiver %v", text, problems, err)
		}
		if err != nil && len(text) > 8 && strings.Contains(err.Error(), text[len(text)-8:]) {
			t.Errorf("the error repeats the key: %v", err)
		}
	}
	for _, text := range []string{
		"whsec_" + encode(make([]byte, 24)), "whsec_" + encode(make([]byte, 32)), "whsec_" + encode(make([]byte, 64)), "whsec_" + encode(make([]byte, 23)),
		"whsec_" + encode(make([]byte, 65)), encode(make([]byte, 32)), "whsec_", "whsk_" + encode(make([]byte, 32)), "whsec_?",
	} {
		c := config.Default()
		c.Webhook.SigningToken = []config.Secret{config.NewSecret(text)}
		_, err := webhook.New(webhook.Options{Intake: &intake{}, Credentials: webhook.Credentials{SigningTokens: []string{text}}})
		if problems := c.Validate(); (len(problems) == 0) != (err == nil) {
			t.Errorf("signing token %q: configuration says %v, the receiver %v", text, problems, err)
		}
	}
}

// Of a derived token every byte counts: no change of one byte lets anybody in, for this project or another.
func TestDerivedTokenIsExact(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil)
	rapid.Check(t, func(t *rapid.T) {
		project := rapid.Int64Range(1, 1<<62).Draw(t, "project")
		token := []byte(s.first.Token(project))
		body := fmt.Sprintf(`{"object_kind":"push","project_id":%d,"ref":"refs/heads/master"}`, project)
		if got := s.send(hook("Push Hook", body).token(string(token))); got.status != 202 {
			t.Fatalf("the token itself: answered %d", got.status)
		}
		i := rapid.IntRange(0, len(token)-1).Draw(t, "position")
		token[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "change"))
		if got := s.send(hook("Push Hook", body).token(string(token))); got.status != 401 {
			t.Errorf("%q: answered %d", token, got.status)
		}
	})
}
