package pyexec

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-pyexec/pyexec/internal/engine"
	"github.com/go-pyexec/pyexec/internal/process"
)

// Isolation says what stands between snippets and the process of the program that runs them. README.md compares them.
type Isolation uint8

const (
	// InProcess runs snippets in this process: on the caller's own thread, or, if the call can end early, on one of the
	// Executor's.
	InProcess Isolation = iota
	// Process runs snippets in worker processes, forked from a template process that this program is started as once
	// more. What a snippet does to its process costs that call and that process. Linux only.
	Process
)

func (i Isolation) String() string {
	switch i {
	case InProcess:
		return "InProcess"
	case Process:
		return "Process"
	}
	return "Isolation(" + strconv.Itoa(int(i)) + ")"
}

// ErrUnsupported is returned by New for an Isolation that this operating system does not have, and for what cannot be done
// at the Isolation of an Executor.
var ErrUnsupported = process.ErrUnsupported

// unsupported is an ErrUnsupported that says what.
type unsupported string

func (e unsupported) Error() string { return "pyexec: " + string(e) }
func (e unsupported) Unwrap() error { return ErrUnsupported }

// A StartError is returned by New if the interpreter or worker processes could not be started: a module of Config.Preload
// that cannot be imported, no memory, no processes, an interpreter in this process that is not pyexec's.
// Its fields are What ("Python", or "the template process") and Reason.
type StartError = engine.StartError

// A CrashError is the end of a worker process in the midst of a call. The next call gets another process. The Result that
// comes with it has the output, as far as the snippet got.
type CrashError struct {
	// Signal ended the process; 0 if it ended by itself.
	Signal syscall.Signal
	// ExitCode is the process's own, if it ended by itself.
	ExitCode int
	// Reason says more, if there is more to say.
	Reason string
	// Frames are where Python was, if it could still tell: outermost first, with file, function and line.
	Frames []Frame
	// Report is what Python's faulthandler wrote of them. See https://docs.python.org/3/library/faulthandler.html.
	Report string
}

func (e *CrashError) Error() string {
	var b strings.Builder
	b.WriteString("pyexec: the worker process ")
	switch {
	case e.Signal != 0:
		fmt.Fprintf(&b, "died of signal %d (%v)", int(e.Signal), e.Signal)
	case e.Reason == "":
		fmt.Fprintf(&b, "exited with status %d", e.ExitCode)
	default:
		b.WriteString("ended")
	}
	if e.Reason != "" {
		b.WriteString(": " + e.Reason)
	}
	if n := len(e.Frames); n > 0 {
		f := e.Frames[n-1]
		fmt.Fprintf(&b, " (%s:%d, in %s)", f.File, f.Line, f.Function)
	}
	return b.String()
}

const maxWorkers = 1024

func (c *Config) fillIsolation() error {
	if c.Isolation > Process {
		return &ConfigError{Field: "Isolation", Value: c.Isolation, Reason: "it is neither InProcess nor Process"}
	}
	if c.Workers < 0 || c.Workers > maxWorkers {
		return &ConfigError{Field: "Workers", Value: c.Workers, Reason: fmt.Sprintf("it is not between 1 and %d", maxWorkers)}
	}
	if c.Isolation == InProcess && c.Workers > 1 {
		return &ConfigError{Field: "Workers", Value: c.Workers, Reason: "there can be one in process; Isolation: Process has more"}
	}
	if err := c.Limits.check(c.Isolation); err != nil {
		return err
	}
	if c.MaxWaiting < 0 {
		return &ConfigError{Field: "MaxWaiting", Value: c.MaxWaiting, Reason: "it is negative"}
	}
	if c.Workers == 0 {
		c.Workers = 1
		if c.Isolation != InProcess {
			c.Workers = min(runtime.GOMAXPROCS(0), maxWorkers)
		}
	}
	return nil
}

func newProcessExecutor(config Config) (*Executor, error) {
	pool, err := process.Start(process.Config{
		CacheEntries: uint64(config.CacheEntries),
		CacheBytes:   uint64(config.CacheBytes),
		MaxOutput:    uint64(config.MaxOutput),
		MaxResult:    uint64(config.MaxResult),
		MaxDepth:     uint32(config.MaxDepth),
		MemoryLimit:  uint64(config.MemoryLimit),
		Preload:      config.Preload,
		Keep:         config.Keep,
		Home:         config.Home,
		Venv:         config.Venv,
		Paths:        config.Paths,
		Limits:       config.Limits.resources(),
		Spares:       config.Workers,
		Logger:       config.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("pyexec: %w", err)
	}
	workers := make([]engine.Worker, config.Workers)
	for i := range workers {
		workers[i] = pool.Worker()
	}
	return newExecutor(config, workers...), nil
}

// prepare sees to it that a slot has a process.
func (e *Executor) prepare(ctx context.Context, w *slot) error {
	lost, err := w.process.Prepare(ctx)
	if lost {
		e.countLost()
		w.executions = 0
		e.forgetCache(w, true)
	}
	if e.growth.limit != 0 && w.executions == 0 {
		w.resident = w.process.Resident()
	}
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("pyexec: %w", err)
	}
	return err
}

// countLost counts a process that was found dead between calls.
func (e *Executor) countLost() {
	s := &e.stats
	s.mu.Lock()
	defer s.mu.Unlock()
	s.countRecycle(RecycleCrash, engine.Replaced)
}

// runInWorker runs a call in a worker process. The end of ctx stops it: first as in process, and after Config.Grace by
// the end of the process.
func (e *Executor) runInWorker(ctx context.Context, w *slot) error {
	if ctx.Done() == nil {
		return w.process.Run(&w.call, &w.reply)
	}
	ended, stopped := make(chan struct{}), make(chan struct{})
	id := w.call.ID
	forget := context.AfterFunc(ctx, func() {
		defer close(stopped)
		w.hand.cause = causeOf(ctx)
		if !e.interrupt(w, id, ended) {
			w.process.Kill(id)
		}
	})
	err := w.process.Run(&w.call, &w.reply)
	close(ended)
	if !forget() {
		<-stopped
		if err == nil && !w.reply.Stopped && !w.reply.Memory {
			w.hand.cause = nil // it was over before it was stopped
		}
	}
	return err
}

// failed makes a Result and an error of a call that got no reply.
func (e *Executor) failed(ctx context.Context, w *slot, err error, start time.Duration) (*Result, error) {
	var crash *process.Crash
	if !errors.As(err, &crash) {
		w.taint = err.Error()
		if w.reply.Memory {
			w.reply.Memory = false
			e.stats.stop(ErrMemoryLimit)
			return nil, fmt.Errorf("%w: %w", ErrMemoryLimit, err)
		}
		return nil, e.config.Limits.starved(fmt.Errorf("pyexec: %w", err))
	}
	w.crashed = true
	e.stats.executions.Add(1)
	e.stats.crashes.Add(1)
	r := &Result{
		Stdout: string(crash.Stdout), Stderr: string(crash.Stderr), Tainted: crash.Error(), Duration: now() - start, foreign: true,
	}
	if crash.Killed {
		reason := w.hand.cause
		w.hand.cause = nil
		if reason == nil {
			reason = ErrClosed
		}
		e.stats.stop(reason)
		return r, &StoppedError{Reason: reason, Stuck: crash.Left}
	}
	c := &CrashError{
		Signal: syscall.Signal(crash.Signal), ExitCode: crash.ExitCode, Reason: crash.Reason, Report: crash.Report,
		Frames: reportFrames(crash.Report, &sources{name: w.call.Name, code: w.call.Code, files: map[string][]string{}}),
	}
	if crash.Signal == int(syscall.SIGXCPU) && e.config.Limits.CPU != 0 {
		c.Reason = fmt.Sprintf("it had used up Config.Limits.CPU, %v", e.config.Limits.CPU)
	}
	if crash.Stopped != 0 {
		c.Reason = fmt.Sprintf("it had been stopped by signal %d", crash.Stopped)
	}
	return r, c
}

// reportFrames reads the frames of the thread that crashed, which faulthandler writes innermost first.
func reportFrames(report string, src *sources) []Frame {
	var frames []Frame
	for line := range strings.Lines(report) {
		if strings.HasPrefix(line, "Current thread's C stack") {
			break // from 3.14 on
		}
		if strings.HasPrefix(line, "Current thread") || strings.HasPrefix(line, "Stack (") {
			frames = nil
		}
		file, rest, ok := strings.Cut(strings.TrimPrefix(line, "  File \""), "\", line ")
		number, function, ok2 := strings.Cut(rest, " in ")
		n, err := strconv.Atoi(number)
		if !ok || !ok2 || err != nil || !strings.HasPrefix(line, "  File \"") {
			continue
		}
		frames = append([]Frame{{File: file, Function: strings.TrimSpace(function), Line: n, Source: strings.TrimSpace(src.line(file, n))}}, frames...)
	}
	return frames
}
