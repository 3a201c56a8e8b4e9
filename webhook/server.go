package webhook

import (
	"net/http"
	"time"
)

// What NewServer's server keeps to. Its limits on whole requests are wider than the receiver's own, which hold within
// them.
const (
	HeaderLimit     = 64 << 10 // bytes
	HeaderTimeout   = 10 * time.Second
	requestTimeout  = 20 * time.Second
	responseTimeout = 30 * time.Second
	idleTimeout     = 2 * time.Minute
)

// NewServer returns a server for a handler that the receiver is a part of, with every limit set that bounds what a
// stranger can take up. The caller gives it a listener, and an ErrorLog if it wants one.
func NewServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler:           handler,
		MaxHeaderBytes:    HeaderLimit,
		ReadHeaderTimeout: HeaderTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      responseTimeout,
		IdleTimeout:       idleTimeout,
	}
}
