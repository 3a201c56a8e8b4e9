package main

import (
	"context"
	"io"
	"log/slog"
	gosync "sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"contactsync"
)

const (
	// progressAfter is how long a command may take before it shows on a terminal how far it is.
	progressAfter = time.Second
	// standstillAfter is how long nothing may move elsewhere before a line tells what takes so long.
	standstillAfter = 5 * time.Second
)

// progress tells people how far a command is: a bar on a terminal, lines in the log elsewhere, where a step that stands
// still is a warning. It is the observer of a pipeline. Its methods may be called from several goroutines.
type progress struct {
	log *slog.Logger
	out io.Writer // nil: no terminal

	mu     gosync.Mutex
	timer  *time.Timer // of the bar on a terminal, of the warning elsewhere
	shown  bool        // progressAfter has passed
	closed bool
	step   string
	done   int
	total  int
	bar    *progressbar.ProgressBar
}

// newProgress starts the clock; Close must be called.
func (p *program) newProgress() *progress {
	watch := &progress{log: p.log()}
	if p.StderrIsTerminal && p.output == outputText {
		watch.out = p.Stderr
		watch.timer = time.AfterFunc(progressAfter, watch.show)
	} else {
		watch.timer = time.AfterFunc(standstillAfter, watch.warn)
	}
	return watch
}

// watch returns a context through which adapters report how far they are.
func (w *progress) watch(ctx context.Context) context.Context {
	return contactsync.WithProgress(ctx, w.Progress)
}

// Step says what is being done now.
func (w *progress) Step(name string) {
	w.log.Info("step", "name", name)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.step, w.done, w.total = name, 0, 0
	w.moved()
	w.draw()
}

// Progress says how much of the step is through.
func (w *progress) Progress(done, total int) {
	w.log.Debug("progress", "done", done, "total", total)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done, w.total = done, total
	w.moved()
	w.draw()
}

// Above lets lines be written that stay above the bar.
func (w *progress) Above(write func() error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.erase()
	defer w.draw()
	return write()
}

// Close takes the bar away. Nothing is drawn after it.
func (w *progress) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.timer.Stop()
	w.erase()
}

func (w *progress) show() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shown = true
	w.draw()
}

// moved gives the step time again before it is said to stand still.
func (w *progress) moved() {
	if w.out == nil && !w.closed {
		w.timer.Reset(standstillAfter)
	}
}

func (w *progress) warn() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.step != "" && !w.closed {
		w.log.Warn("still " + w.step)
	}
}

// draw brings the bar up to date. What the terminal makes of it is nobody's failure, so errors end here.
func (w *progress) draw() {
	if w.out == nil || !w.shown || w.closed {
		return
	}
	total := w.total
	if total <= 0 {
		total = -1 // a spinner
	}
	if w.bar == nil || w.bar.GetMax() != total {
		w.erase()
		w.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(w.out),
			progressbar.OptionSetWidth(30),
			progressbar.OptionShowCount(),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionClearOnFinish(),
			progressbar.OptionSetSpinnerChangeInterval(0), // no goroutine of its own: it turns when something happens
		)
	}
	w.bar.Describe(w.step)
	_ = w.bar.Set(min(w.done, max(w.total, 0)))
}

func (w *progress) erase() {
	if w.bar != nil {
		_ = w.bar.Clear()
		w.bar = nil
	}
}
