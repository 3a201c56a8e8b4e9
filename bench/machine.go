package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"contactsync/bench/measure"
)

// machine tells what the figures depend on. It refuses a folder where syncing a file does nothing.
func (b *bench) machine(ctx context.Context) (m measure.Machine, err error) {
	var failed error
	read := func(name string) string {
		text, err := os.ReadFile(name)
		failed = errors.Join(failed, err)
		return string(text)
	}
	m.CPU = measure.CPUModel(read("/proc/cpuinfo"))
	m.Cores, m.Go = runtime.NumCPU(), runtime.Version()
	m.OS, m.Kernel = measure.OSName(read("/etc/os-release")), strings.TrimSpace(read("/proc/sys/kernel/osrelease"))
	if m.Memory, err = measure.Kilobytes(read("/proc/meminfo"), "MemTotal"); err != nil {
		return m, err
	}
	real, err := filepath.EvalSymlinks(b.dir)
	if err != nil {
		return m, err
	}
	m.FileSystem = measure.FileSystem(read("/proc/mounts"), real)
	if m.FileSystem == "tmpfs" {
		return m, fmt.Errorf("%s is in memory, where syncing a file does nothing: name a folder on a disk with --dir", filepath.Dir(b.dir))
	}
	if failed != nil {
		return m, failed
	}
	if m.Fsync, err = b.fsync(); err != nil {
		return m, err
	}
	if m.LoadBefore, err = loadAverage(); err != nil {
		return m, err
	}
	if b.postgres != "" {
		m.PostgreSQL, err = postgresVersion(ctx, b.postgres)
	}
	return m, err
}

// fsync measures what the disk takes to keep four kilobytes.
func (b *bench) fsync() (measure.Spread, error) {
	file, err := os.CreateTemp(b.dir, "fsync-") // which is removed with the folder
	if err != nil {
		return measure.Spread{}, err
	}
	defer file.Close()
	block := make([]byte, 4096)
	took := make([]time.Duration, pick(b, 1000, 100))
	for i := range took {
		begin := time.Now()
		if _, err := file.Write(block); err != nil {
			return measure.Spread{}, err
		}
		if err := file.Sync(); err != nil {
			return measure.Spread{}, err
		}
		took[i] = time.Since(begin)
	}
	return measure.SpreadOf(took), nil
}

func loadAverage() (float64, error) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, err
	}
	return measure.LoadAverage(string(text))
}
