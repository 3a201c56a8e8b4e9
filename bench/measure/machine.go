package measure

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Machine is what figures depend on.
type Machine struct {
	CPU        string
	Cores      int
	Memory     int64 // bytes
	OS         string
	Kernel     string
	Go         string
	FileSystem string // of the stores
	Fsync      Spread // of 4 KiB written and synced
	PostgreSQL string // "" where there was none
	// Load is the average of the last minute before and after: others who use the machine make timed figures worse.
	LoadBefore, LoadAfter float64
}

// CPUModel reads the model from /proc/cpuinfo; "unknown" where it says nothing.
func CPUModel(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// OSName reads the name from /etc/os-release; "unknown" where it says nothing.
func OSName(release string) string {
	for line := range strings.Lines(release) {
		if value, ok := strings.CutPrefix(line, "PRETTY_NAME="); ok {
			return strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return "unknown"
}

// Kilobytes reads one value of /proc/meminfo or /proc/PID/status, in bytes.
func Kilobytes(table, key string) (int64, error) {
	for line := range strings.Lines(table) {
		value, ok := strings.CutPrefix(line, key+":")
		if !ok {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading %s: %w", key, err)
		}
		return kb << 10, nil
	}
	return 0, fmt.Errorf("there is no %s", key)
}

// ticks is how many of them Linux counts a second, on every machine that Go knows (sysconf _SC_CLK_TCK).
const ticks = 100

// ProcessorTime reads from /proc/PID/stat how long the process has used processors, itself and for the kernel's work.
func ProcessorTime(stat string) (time.Duration, error) {
	// The second field is the program's name in brackets, which may hold anything.
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	if len(fields) < 13 {
		return 0, errors.New("the process's state is too short")
	}
	total := int64(0)
	for _, text := range fields[11:13] { // utime and stime, the 14th and 15th of all
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("reading the process's times: %w", err)
		}
		total += n
	}
	return time.Duration(total) * time.Second / ticks, nil
}

// LoadAverage reads the average of the last minute from /proc/loadavg.
func LoadAverage(loadavg string) (float64, error) {
	first, _, _ := strings.Cut(loadavg, " ")
	return strconv.ParseFloat(first, 64)
}

// FileSystem returns the type of the file system that holds a path, as /proc/mounts has it; "unknown" where it does
// not.
func FileSystem(mounts, path string) string {
	found, longest := "unknown", -1
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		point := strings.TrimSuffix(fields[1], "/")
		// A later mount hides an earlier one at the same place.
		if (path == point || strings.HasPrefix(path, point+"/")) && len(point) >= longest {
			found, longest = fields[2], len(point)
		}
	}
	return found
}
