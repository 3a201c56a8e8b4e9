package measure_test

import (
	"testing"
	"time"

	"contactsync/bench/measure"
)

// What Linux says of a machine and a process is read as it is written.
func TestMachine(t *testing.T) {
	if got := measure.CPUModel("processor\t: 0\nvendor_id\t: X\nmodel name\t: Example CPU @ 2.0: fast\nmodel name\t: other\n"); got != "Example CPU @ 2.0: fast" {
		t.Errorf("the CPU is %q", got)
	}
	if got := measure.OSName("NAME=\"Debian\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n"); got != "Debian GNU/Linux 12 (bookworm)" {
		t.Errorf("the system is %q", got)
	}
	if a, b := measure.CPUModel(""), measure.OSName(""); a != "unknown" || b != "unknown" {
		t.Errorf("of nothing: %q, %q", a, b)
	}
	if got, err := measure.LoadAverage("1.25 0.90 0.80 1/153 20406\n"); err != nil || got != 1.25 {
		t.Errorf("the load is %v, %v", got, err)
	}
	if _, err := measure.LoadAverage(""); err == nil {
		t.Error("no load at all was read")
	}
}

// A size is read from the line of its own name, in bytes; a missing or misshapen one is an error, never 0.
func TestKilobytes(t *testing.T) {
	const status = "Name:\tcontactsync\nVmHWM:\t   1024 kB\nVmRSS:\t     12 kB\nVmX:\tmany kB\n"
	for key, want := range map[string]int64{"VmHWM": 1 << 20, "VmRSS": 12 << 10} {
		if got, err := measure.Kilobytes(status, key); err != nil || got != want {
			t.Errorf("%s is %d, %v; want %d", key, got, err, want)
		}
	}
	for _, key := range []string{"VmX", "Vm", "RSS", ""} {
		if got, err := measure.Kilobytes(status, key); err == nil {
			t.Errorf("%q is %d, want an error", key, got)
		}
	}
}

// A process's time is the sum of its own and the kernel's for it, whatever the program is called.
func TestProcessorTime(t *testing.T) {
	const stat = "123 (a (strange) 1 2 name) S 1 123 123 0 -1 4194560 1000 0 0 0 250 75 9 9 20 0 8 0 100 1 2"
	if got, err := measure.ProcessorTime(stat); err != nil || got != 3250*time.Millisecond {
		t.Errorf("got %v, %v", got, err)
	}
	for _, stat := range []string{"", "123 (name) S 1 2 3", "123 (name) S 1 2 3 4 5 6 7 8 9 10 x 75"} {
		if got, err := measure.ProcessorTime(stat); err == nil {
			t.Errorf("%q: got %v, want an error", stat, got)
		}
	}
}

// A path is on the file system that is mounted closest to it.
func TestFileSystem(t *testing.T) {
	const mounts = `/dev/vda / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
/dev/vdb /tmp/disk xfs rw 0 0
/dev/vdc /var btrfs rw 0 0
overlay /var overlay rw 0 0
`
	for path, want := range map[string]string{
		"/": "ext4", "/home": "ext4", "/tmp": "tmpfs", "/tmp/x": "tmpfs", "/tmpfile": "ext4", "/tmp/disk/x": "xfs", "/var/lib": "overlay",
	} {
		if got := measure.FileSystem(mounts, path); got != want {
			t.Errorf("%s is on %s, want %s", path, got, want)
		}
	}
	if got := measure.FileSystem("", "/"); got != "unknown" {
		t.Errorf("without mounts: %s", got)
	}
}
