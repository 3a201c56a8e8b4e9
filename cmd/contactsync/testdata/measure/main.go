// Measure runs the program that its arguments name, and reports as JSON what it wrote and its peak memory.
//
// Linux counts the memory of the process that starts a program as that program's, so this one is small: a test, and
// one with the race detector above all, is not.
package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"syscall"
)

func main() {
	var stdout bytes.Buffer
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
	if err := cmd.Run(); cmd.ProcessState == nil {
		panic(err)
	}
	report := map[string]any{
		"output": stdout.Bytes(),
		"peak":   cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss, // KiB
		"status": cmd.ProcessState.ExitCode(),
	}
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		panic(err)
	}
}
