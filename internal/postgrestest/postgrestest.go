// Package postgrestest gives tests a PostgreSQL database of their own, on the real server that ./script/test starts.
package postgrestest

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Variable names the environment variable that holds the server's address, as a URL of a database that may be used
// to make others.
const Variable = "CONTACTSYNC_TEST_POSTGRES"

// New returns the address of an empty database, which is dropped when the test ends. Without a server the test is
// skipped; where everything must run, in CI, it fails.
func New(t testing.TB) string {
	t.Helper()
	server := os.Getenv(Variable)
	if server == "" {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not set: run the tests with ./script/test", Variable)
		}
		t.Skipf("%s is not set: ./script/test starts a PostgreSQL and sets it", Variable)
	}
	address, err := url.Parse(server)
	if err != nil {
		t.Fatalf("%s is no address", Variable)
	}
	name := "contactsync_" + strings.ToLower(rand.Text()[:12])
	execute(t, server, "CREATE DATABASE "+name)
	t.Cleanup(func() { execute(t, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	address.Path = "/" + name
	return address.String()
}

func execute(t testing.TB, server, statement string) {
	t.Helper()
	ctx := context.Background() // cleaning up outlives the test's own
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatalf("connecting to PostgreSQL: %v", err)
	}
	_, err = conn.Exec(ctx, statement)
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}
