package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
)

// writeFile writes a file as a whole or not at all: nobody ever sees half of it.
func writeFile(cmd *cobra.Command, flags outFlags, content []byte) error {
	if !flags.force {
		// The empty file keeps the name free of others until the full one takes its place.
		claim, err := os.OpenFile(flags.out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if errors.Is(err, fs.ErrExist) {
			return usagef(cmd, "%s exists already; --force replaces it", flags.out)
		}
		if err != nil {
			return usagef(cmd, "--out %s cannot be written: %v", flags.out, err)
		}
		if err := claim.Close(); err != nil {
			return fmt.Errorf("writing %s: %w", flags.out, err)
		}
	}
	if err := replaceFile(flags.out, content); err != nil {
		if !flags.force {
			err = errors.Join(err, os.Remove(flags.out))
		}
		return fmt.Errorf("writing %s: %w", flags.out, err)
	}
	return nil
}

func replaceFile(name string, content []byte) error {
	temporary, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = temporary.Write(content)
	err = errors.Join(err, temporary.Sync(), temporary.Chmod(0o644), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temporary.Name()))
	}
	return nil
}
