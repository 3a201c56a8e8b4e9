package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// hookPath is where hooks are taken.
const hookPath = "/hooks/gitlab"

// hookTime is how long GitLab waits for an answer (docs.gitlab.com/administration/instance_limits, webhook timeout).
const hookTime = 10 * time.Second

// push is the body of a push hook of about two kilobytes, with four commits, as GitLab writes one.
// Source: docs.gitlab.com/user/project/integrations/webhook_events, "Push events".
func push(project int64) []byte {
	commits := make([]string, 4)
	for i := range commits {
		commits[i] = fmt.Sprintf(`{"id":"%040x","message":"Update the contacts\n","title":"Update the contacts",`+
			`"timestamp":"2026-11-25T17:45:00+00:00","url":"https://gitlab.example.com/contacts/%d/-/commit/%040x",`+
			`"author":{"name":"Ada Lovelace","email":"ada@example.com"},"added":[],"modified":["contacts.yaml"],"removed":[]}`, i+1, project, i+1)
	}
	return fmt.Appendf(nil, `{"object_kind":"push","event_name":"push","before":"%040x","after":"%040x","ref":"refs/heads/master",`+
		`"ref_protected":true,"checkout_sha":"%040x","message":null,"user_id":7,"user_name":"Ada Lovelace","user_username":"ada",`+
		`"user_email":"","user_avatar":null,"project_id":%d,"project":{"id":%d,"name":"Contacts","description":"","web_url":`+
		`"https://gitlab.example.com/contacts/%d","namespace":"contacts","visibility_level":0,"path_with_namespace":"contacts/%d",`+
		`"default_branch":"master"},"commits":[%s],"total_commits_count":4,"push_options":{}}`,
		1, 4, 4, project, project, project, project, strings.Join(commits, ","))
}

// signed returns a hook of the project, signed as GitLab signs (Standard Webhooks), with an id of its own.
func signed(ctx context.Context, address string, key []byte, project int64, id string) (*http.Request, error) {
	body := push(project)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+hookPath, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	at := strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	r.Header = http.Header{
		"Content-Type": {"application/json"}, "User-Agent": {"GitLab/19.4.0-ee"}, "X-Gitlab-Event": {"Push Hook"},
		"Idempotency-Key": {id}, "Webhook-Id": {id}, "Webhook-Timestamp": {at},
		"Webhook-Signature": {"v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))},
	}
	return r, nil
}

// sender sends hooks over connections that are kept, as a proxy in front of the service would.
type sender struct{ client *http.Client }

func newSender() sender {
	const most = 512
	return sender{&http.Client{Timeout: hookTime, Transport: &http.Transport{MaxIdleConns: most, MaxIdleConnsPerHost: most}}}
}

func (s sender) close() { s.client.CloseIdleConnections() }

// send returns when the hook has been answered 202 with the whole body, which says that it is stored.
func (s sender) send(r *http.Request) error {
	response, err := s.client.Do(r) //nolint:gosec // to the service that was started here
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusAccepted {
		err = fmt.Errorf("answered %s: %s", response.Status, body)
	}
	return err
}

// signingToken is the key as GitLab shows it.
func signingToken(key []byte) string { return "whsec_" + base64.StdEncoding.EncodeToString(key) }
