package gitrepo

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/memory"
)

// objectCost is about what keeping an object costs beside its content.
const objectCost = 512

// unpack reads the objects of a pack into memory. The error is errTooMuch when that would take more than limit bytes,
// which is found out before anything is kept: a small pack can hold a great deal.
func unpack(pack []byte, limit int64) (objects storer.EncodedObjectStorer, err error) {
	// go-git is used on what customers push; a defect of it must cost one run and not the process.
	defer func() {
		if cause := recover(); cause != nil {
			objects, err = nil, fmt.Errorf("the pack is malformed: %v", cause)
		}
	}()
	if err := measure(pack, limit); err != nil {
		return nil, err
	}
	store := memory.NewStorage()
	if err := packfile.UpdateObjectStorage(store, bytes.NewReader(pack)); err != nil {
		return nil, fmt.Errorf("reading the pack: %w", err)
	}
	return store, nil
}

// measure adds up the sizes that a pack's objects have once they are unpacked.
func measure(pack []byte, limit int64) error {
	scanner := packfile.NewScanner(bytes.NewReader(pack))
	_, count, err := scanner.Header()
	if err != nil {
		return fmt.Errorf("reading the pack: %w", err)
	}
	for range count {
		header, err := scanner.NextObjectHeader()
		if err != nil {
			return fmt.Errorf("reading the pack: %w", err)
		}
		limit -= objectCost
		if header.Length < 0 || header.Length > limit {
			return errTooMuch
		}
		limit -= header.Length
		var start beginning
		if _, _, err := scanner.NextObject(&start); err != nil {
			return fmt.Errorf("reading the pack: %w", err)
		}
		if !header.Type.IsDelta() {
			continue
		}
		result := start.resultSize()
		if result > uint64(limit) {
			return errTooMuch
		}
		limit -= int64(result)
	}
	return nil
}

// beginning is a writer that keeps the first bytes it is given, enough for the header of a delta.
type beginning struct {
	kept [2 * binary.MaxVarintLen64]byte
	n    int
}

func (b *beginning) Write(data []byte) (int, error) {
	b.n += copy(b.kept[b.n:], data)
	return len(data), nil
}

// resultSize is the size of what a delta makes: the second number of the delta, after the size of what it changes.
// Source: gitformat-pack, "Deltified representation".
func (b *beginning) resultSize() uint64 {
	_, n := binary.Uvarint(b.kept[:b.n])
	if n <= 0 {
		return 0 // malformed, which unpacking will say
	}
	result, _ := binary.Uvarint(b.kept[n:b.n])
	return result
}
