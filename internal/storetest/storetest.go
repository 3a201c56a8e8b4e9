// Package storetest gives tests an empty store whose tables are made already. Making them takes a store longer than
// most tests do.
package storetest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"contactsync/store"
)

// Write makes an SQLite file of an empty store at path.
func Write(t testing.TB, path string) {
	t.Helper()
	content, err := empty()
	if err == nil {
		err = os.WriteFile(path, content, 0o600)
	}
	if err != nil {
		t.Fatalf("making an empty store: %v", err)
	}
}

var empty = sync.OnceValues(func() (content []byte, err error) {
	dir, err := os.MkdirTemp("", "contactsync-empty-store-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	path := filepath.Join(dir, "empty.db")
	made, err := store.Open(context.Background(), "sqlite:"+path, store.Options{})
	if err != nil {
		return nil, err
	}
	if err := made.Close(); err != nil { // brings everything into the one file
		return nil, err
	}
	return os.ReadFile(path)
})
