package proof_test

import (
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
)

// wire carries connections to a server, until it is cut or held still.
type wire struct {
	listener net.Listener
	to       string
	// seen is told of what clients send, before the server gets it; nil is nobody.
	seen func([]byte)

	group sync.WaitGroup
	mu    sync.Mutex
	gone  bool
	still chan struct{}     // while nothing moves: closed when it moves again
	ends  map[net.Conn]bool // true: of a connection on which nothing ever moves again
	over  chan struct{}
}

// newWire leads to the server of a PostgreSQL's address, and returns the address that leads through the wire.
func newWire(t testing.TB, address string, seen func([]byte)) (*wire, string) {
	t.Helper()
	parsed, err := url.Parse(address)
	if err != nil {
		t.Fatal("the address of the PostgreSQL is none")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: listener, to: parsed.Host, seen: seen, ends: map[net.Conn]bool{}, over: make(chan struct{})}
	w.group.Go(w.accept)
	t.Cleanup(func() {
		listener.Close()
		close(w.over)
		w.cut()
		w.move()
		w.group.Wait()
	})
	parsed.Host = listener.Addr().String()
	return w, parsed.String()
}

func (w *wire) accept() {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		w.group.Go(func() { w.carry(client) })
	}
}

func (w *wire) carry(client net.Conn) {
	server, err := net.Dial("tcp", w.to)
	if err != nil || !w.keep(client, server) {
		client.Close()
		if err == nil {
			server.Close()
		}
		return
	}
	defer w.drop(client, server)
	var back sync.WaitGroup
	back.Go(func() {
		defer client.Close()
		w.pass(client, server, nil)
	})
	w.pass(server, client, w.seen)
	server.Close()
	back.Wait()
}

// pass copies until either end is closed.
func (w *wire) pass(to io.Writer, from net.Conn, seen func([]byte)) {
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && seen != nil {
			seen(buffer[:n])
		}
		w.mu.Lock()
		still := w.still
		if w.ends[from] {
			still = w.over
		}
		w.mu.Unlock()
		if still != nil {
			<-still
		}
		if n > 0 {
			if _, failed := to.Write(buffer[:n]); failed != nil {
				err = errors.Join(err, failed)
			}
		}
		if err != nil {
			return
		}
	}
}

// keep remembers a connection's ends, unless the wire is cut.
func (w *wire) keep(ends ...net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone {
		return false
	}
	for _, end := range ends {
		w.ends[end] = false
	}
	return true
}

func (w *wire) drop(ends ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, end := range ends {
		end.Close()
		delete(w.ends, end)
	}
}

// cut ends all connections, and lets no new ones come about until mend.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = true
	for end := range w.ends {
		end.Close()
	}
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = false
}

// stop holds everything that is on the way, as a network does that is broken somewhere, until move.
func (w *wire) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.still = make(chan struct{})
}

func (w *wire) move() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.still != nil {
		close(w.still)
		w.still = nil
	}
}

// strand lets nothing move ever again on the connections that there are, and tells nobody. New ones work.
func (w *wire) strand() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for end := range w.ends {
		w.ends[end] = true
	}
}
