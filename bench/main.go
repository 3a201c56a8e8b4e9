// Command bench measures what contactsync promises of its speed, its memory and its requests, with the real program in
// a process of its own between stand-ins on loopback, and writes docs/performance.md. It ends by itself.
//
//	./script/postgres go run ./bench            # everything, about fifteen minutes
//	go run ./bench --quick --only hooks,refuse  # a look, on standard output
//
// Exit status: 0 all limits are met, 1 one is missed or could not be measured, 2 wrong usage.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// longest is when measuring is given up, whatever hangs.
const longest = time.Hour

func main() { os.Exit(process()) }

func process() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	return Run(ctx, os.Args[1:], os.Getenv(Postgres), os.Stdout, os.Stderr)
}
