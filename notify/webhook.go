package notify

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"contactsync/outbound"
)

// WebhookOptions are a Webhook's parts. Name, Format, Address, Words and Transport are required.
type WebhookOptions struct {
	Name      string
	Format    string // that Words knows
	Address   string // https, or http within this machine; it is a secret
	Words     Words
	Transport http.RoundTripper
	UserAgent string
	Now       func() time.Time // nil: time.Now
	Timeout   time.Duration    // of one try; 10 s
}

// Webhook is a target that takes one POST of JSON for each event: Slack, Mattermost, Google Chat, or anything else that
// takes JSON. The event's key goes along as the header Idempotency-Key, because an event whose answer was lost is sent
// again.
type Webhook struct {
	options WebhookOptions
	client  *http.Client
}

const (
	webhookTimeout = 10 * time.Second
	mostAnswer     = 64 << 10 // bytes of an answer that are read, so that its connection can be used again
)

// NewWebhook returns a webhook. It sends nothing yet. Its error does not repeat the address.
func NewWebhook(o WebhookOptions) (*Webhook, error) {
	address, err := url.Parse(o.Address)
	if err != nil || address.Hostname() == "" || !outbound.Secure(address) {
		return nil, fmt.Errorf("the address of %s is none that can be told: it must begin with https://", o.Name)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Timeout <= 0 {
		o.Timeout = webhookTimeout
	}
	return &Webhook{options: o, client: &http.Client{
		Transport: o.Transport,
		// What follows a redirection would go to an address that nobody has configured.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Name is the webhook's name.
func (w *Webhook) Name() string { return w.options.Name }

// Tell sends the event once. Any 2xx is success. What a receiver may mend by itself is worth another try: no answer,
// 408, 425, 429 and 5xx. Every other status is final.
func (w *Webhook) Tell(ctx context.Context, event Event) Outcome {
	body, err := w.options.Words.Body(w.options.Format, event)
	if err != nil {
		return Outcome{Problem: "it cannot be put into words: " + err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, w.options.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.options.Address, bytes.NewReader(body))
	if err != nil {
		return Outcome{Problem: "its address cannot be used", Final: true}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", event.Key)
	if w.options.UserAgent != "" {
		request.Header.Set("User-Agent", w.options.UserAgent)
	}
	answer, err := w.client.Do(request)
	if err != nil {
		return Outcome{Problem: w.reason(err)}
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, mostAnswer)) // the status has said it
	switch status := answer.StatusCode; {
	case status >= 200 && status < 300:
		return Outcome{}
	case status >= 300 && status < 400:
		return Outcome{Problem: fmt.Sprintf("it answers %d, which leads elsewhere: configure the address that it leads to", status), Final: true}
	case status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout || status == http.StatusTooEarly:
		after, _ := outbound.RetryAfter(answer.Header, w.options.Now())
		return Outcome{Problem: fmt.Sprintf("it answers %d", status), After: after}
	default:
		return Outcome{Problem: fmt.Sprintf("it answers %d", status), Final: true}
	}
}

// reason says why there was no answer, in words of our own: those of the network name the host.
func (w *Webhook) reason(err error) string {
	var name *net.DNSError
	var number syscall.Errno
	var timeout net.Error
	switch {
	case errors.Is(err, context.Canceled):
		return "it was interrupted"
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("it does not answer within %s", w.options.Timeout)
	case errors.As(err, &name):
		return "its host is not known"
	case isUntrusted(err):
		return "its certificate is not trusted"
	case errors.As(err, &number):
		return "it cannot be reached: " + number.Error()
	}
	return "the connection broke"
}

func isUntrusted(err error) bool {
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &unknown) || errors.As(err, &host) || errors.As(err, &invalid)
}
