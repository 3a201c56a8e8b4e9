package config_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"contactsync/config"
)

// However a secret is printed, logged or encoded, by itself or within something else, it is not shown.
func TestSecretIsNeverShown(t *testing.T) {
	t.Parallel()
	secret := config.NewSecret("sesame")
	type hiding struct{ secret config.Secret } // fmt cannot call methods of what is not exported
	holder := struct {
		Public config.Secret
		Many   []config.Secret
		Map    map[string]config.Secret
		hidden hiding
		Any    any
	}{secret, []config.Secret{secret}, map[string]config.Secret{"a": secret}, hiding{secret}, secret}
	loaded := mustLoad(t, "gitlab: {token: sesame}\nwebhook: {token: [sesame]}\n")

	var texts []string
	for _, value := range []any{secret, &secret, holder, &holder, loaded, &loaded, hiding{secret}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%10.3s"} {
			texts = append(texts, fmt.Sprintf(verb, value))
		}
		texts = append(texts, fmt.Sprint(value), fmt.Errorf("an error: %v", value).Error())
		for name, encode := range map[string]func(any) ([]byte, error){"JSON": json.Marshal, "YAML": yaml.Marshal} {
			encoded, err := encode(value)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			texts = append(texts, string(encoded))
		}
		for _, handler := range []func(*bytes.Buffer) slog.Handler{
			func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
			func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
		} {
			var log bytes.Buffer
			slog.New(handler(&log)).Info("message", "value", value)
			texts = append(texts, log.String())
		}
	}
	encoded, err := xml.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range append(texts, string(encoded)) {
		for _, shown := range []string{"sesame", fmt.Sprintf("%x", "sesame"), fmt.Sprintf("%X", "sesame"), "c2VzYW1l"} {
			if strings.Contains(text, shown) {
				t.Errorf("it is shown: %s", text)
			}
		}
	}
	if got := fmt.Sprintf("%s %v %+v %#v", secret, secret, secret, secret); got != strings.Repeat("[redacted] ", 3)+"[redacted]" {
		t.Errorf("got %s", got)
	}
	if encoded, err := json.Marshal(secret); err != nil || string(encoded) != `"[redacted]"` {
		t.Errorf("got %s, %v", encoded, err)
	}
	if secret.Reveal() != "sesame" || !secret.IsSet() {
		t.Error("it cannot be used")
	}
}

// That there is no secret can be seen.
func TestNoSecret(t *testing.T) {
	t.Parallel()
	for _, secret := range []config.Secret{{}, config.NewSecret("")} {
		if secret.IsSet() || secret.Reveal() != "" || fmt.Sprint(secret) != "" {
			t.Errorf("got %v", secret)
		}
	}
}
