package store

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"contactsync"
)

// lockFile takes the lock that only one working process may have, and returns what gives it back. The system gives it
// back when the process dies, however that happens. The file itself stays: it means nothing.
func lockFile(path string) (release func() error, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = &contactsync.Error{
			Class: contactsync.ClassInternal, Detail: fmt.Sprintf("another process works on this store: it holds %s", path), Err: ErrTaken,
			Who: contactsync.WhoOperator, Retry: contactsync.RetryNo,
			Remedy: "Let one contactsync serve run on an SQLite store, or use a PostgreSQL for several.",
		}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file.Close, nil
}
