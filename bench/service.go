package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"contactsync/bench/measure"
)

const (
	startTime = 30 * time.Second
	stopTime  = 40 * time.Second // the service's own grace is shorter
)

// service is contactsync serve in a process of its own.
type service struct {
	cmd     *exec.Cmd
	address string
	ended   chan struct{} // closed when the process is gone
	err     error         // how it ended, once ended is closed

	mu    sync.Mutex
	told  map[string]chan line // by message: what somebody waits for
	wrong []string             // the first few warnings and errors
}

// line is what matters of a line of the log.
type line struct {
	Level   string `json:"level"`
	Message string `json:"msg"`
	Address string `json:"address"`
}

// What the log is watched for.
const (
	saidServing   = "serving"
	saidSweepOver = "a scheduled sweep is over"
	saidSweepHeld = "a scheduled sweep is held"
)

// serve starts the service on a configuration, and returns when it takes hooks.
func (b *bench) serve(ctx context.Context, configuration string) (*service, error) {
	file := filepath.Join(b.dir, "contactsync.yaml")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		return nil, err
	}
	s := &service{ended: make(chan struct{}), told: map[string]chan line{}}
	for _, message := range []string{saidServing, saidSweepOver, saidSweepHeld} {
		s.told[message] = make(chan line, 1)
	}
	// The context is for whoever waits: the process is stopped by stop, so that it can come to a good end.
	s.cmd = exec.CommandContext(context.WithoutCancel(ctx), b.program, "serve", "--config", file)
	s.cmd.Env = []string{"HOME=" + b.dir, "TMPDIR=" + b.dir, "GOMAXPROCS=" + strconv.Itoa(cores)}
	log, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(s.ended)
		s.follow(log)
		s.err = s.cmd.Wait()
	}()
	said, err := s.await(ctx, startTime, saidServing)
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	s.address = said.Address
	return s, nil
}

// follow reads the log to its end.
func (s *service) follow(log io.Reader) {
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		// Most lines tell of one hook or run each, at a rate that matters.
		if bytes.Contains(lines.Bytes(), []byte(`"msg":"hook stored"`)) {
			continue
		}
		var said line
		if json.Unmarshal(lines.Bytes(), &said) != nil || said.Level != "INFO" {
			s.mu.Lock()
			if len(s.wrong) < 5 {
				s.wrong = append(s.wrong, lines.Text())
			}
			s.mu.Unlock()
		}
		if waiting := s.told[said.Message]; waiting != nil {
			select {
			case waiting <- said:
			default:
			}
		}
	}
	_, _ = io.Copy(io.Discard, log) // behind a line that is too long to be one; else the service would stand still
}

// await waits until the log says one of the messages.
func (s *service) await(ctx context.Context, most time.Duration, message string, or ...string) (line, error) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	other := make(chan line)
	if len(or) > 0 {
		other = s.told[or[0]]
	}
	select {
	case said := <-s.told[message]:
		return said, nil
	case said := <-other:
		return said, nil
	case <-s.ended:
		return line{}, fmt.Errorf("the service ended: %w\n%s", s.err, s.troubles())
	case <-ctx.Done():
		return line{}, fmt.Errorf("waiting for the service to say %q: %w\n%s", message, ctx.Err(), s.troubles())
	}
}

// troubles are the warnings and errors that the log told first.
func (s *service) troubles() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := ""
	for _, line := range s.wrong {
		text += line + "\n"
	}
	return text
}

// memory returns how much the process takes, and took at its peak, in bytes.
func (s *service) memory() (now, peak int64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	if now, err = measure.Kilobytes(string(status), "VmRSS"); err != nil {
		return 0, 0, err
	}
	peak, err = measure.Kilobytes(string(status), "VmHWM")
	return now, peak, err
}

// processorTime is what a process has used of the processors until now.
func processorTime(process int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", process))
	if err != nil {
		return 0, err
	}
	return measure.ProcessorTime(string(stat))
}

// used calls do, and returns what the service and this process used of the processors meanwhile. Unlike the time that
// passes, it hardly depends on what else the machine does.
func (s *service) used(do func() error) (service, own time.Duration, err error) {
	before, err := processorTime(s.cmd.Process.Pid)
	if err != nil {
		return 0, 0, err
	}
	ownBefore, err := processorTime(os.Getpid())
	if err != nil {
		return 0, 0, err
	}
	if err := do(); err != nil {
		return 0, 0, err
	}
	after, err := processorTime(s.cmd.Process.Pid)
	if err != nil {
		return 0, 0, err
	}
	ownAfter, err := processorTime(os.Getpid())
	return after - before, ownAfter - ownBefore, err
}

// stop lets the process come to its end. It may be called twice.
func (s *service) stop() error {
	select {
	case <-s.ended:
		return s.err
	default:
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timer := time.NewTimer(stopTime)
	defer timer.Stop()
	select {
	case <-s.ended:
		return s.err
	case <-timer.C:
	}
	err := s.cmd.Process.Kill()
	<-s.ended
	return errors.Join(errors.New("the service did not end by itself"), err)
}
