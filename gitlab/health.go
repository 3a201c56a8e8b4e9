package gitlab

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"contactsync"
)

// Receiver is where GitLab reaches our own receiver of hooks.
type Receiver struct {
	host string
	path string // before the receiver's own
}

// NewReceiver returns the receiver at an address such as https://contacts.example.com, below which its paths are.
func NewReceiver(address string) (Receiver, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return Receiver{}, fmt.Errorf("the address of the receiver is not one such as https://contacts.example.com")
	}
	return Receiver{host: hostOf(u), path: strings.TrimRight(u.EscapedPath(), "/")}, nil
}

// ours are the paths at which the receiver takes hooks: its own, and the original trigger's.
var ours = regexp.MustCompile(`^(?:/hooks/gitlab|/api/v4/projects/[^/]+/(?:ref/[^/]+/)?trigger/pipeline)/?$`)

// Gets reports whether the hook sends pushes to the receiver.
func (r Receiver) Gets(h contactsync.Hook) bool { return h.PushEvents && r.At(h) }

// At reports whether the hook leads to the receiver, by host and path. One whose host or path is masked by variables
// cannot be told, and does not.
func (r Receiver) At(h contactsync.Hook) bool {
	u, err := url.Parse(h.Address)
	if err != nil || hostOf(u) != r.host {
		return false
	}
	path, below := strings.CutPrefix(u.EscapedPath(), r.path)
	return below && ours.MatchString(path)
}

// hostOf is the host with its port, unless that is the scheme's own.
func hostOf(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		return strings.TrimSuffix(host, ":443")
	case "http":
		return strings.TrimSuffix(host, ":80")
	}
	return host
}

// Health is what is to be done about a project's hooks.
type Health struct {
	// Missed says that a push may have gone unheard: a delivery to the receiver failed, or was left out because the hook
	// was disabled. A run of the project makes up for it.
	Missed bool
	// Disabled are the hooks to the receiver that GitLab sends nothing now: to be reported, and enabled by TestHook.
	Disabled []contactsync.Hook
}

// Examine judges a project's hooks. failures are theirs by their numbers, as Client.FailedDeliveries returns them, and since is
// when they were last found well: a hook can be disabled and return without a trace between two looks.
func (r Receiver) Examine(hooks []contactsync.Hook, failures map[int64][]contactsync.FailedDelivery, since time.Time) Health {
	var health Health
	for _, h := range hooks {
		if !r.Gets(h) {
			continue
		}
		if h.Disabled() {
			health.Disabled = append(health.Disabled, h)
		}
		health.Missed = health.Missed || h.Disabled() || !h.DisabledUntil.Before(since) && !h.DisabledUntil.IsZero()
		for _, f := range failures[h.ID] {
			health.Missed = health.Missed || f.At.IsZero() || !f.At.Before(since)
		}
	}
	return health
}
