package pyexec

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-pyexec/pyexec/internal/engine"
)

// A StoppedError is returned for a call that had begun and was ended by a limit. errors.Is finds the reason:
// context.DeadlineExceeded, context.Canceled, ErrMemoryLimit, or ErrClosed. The Result beside it has the output so far.
type StoppedError struct {
	// Reason is why; a cause that the context was given (context.Cause) is in it, too.
	Reason error
	// Frames lead from the snippet's top level to where it was stopped, or left behind. Those of a call that was left behind
	// may be missing, if it waits for something in C code that does not look for signals.
	Frames []Frame
	// Stuck says that something of the call goes on: C code that nothing stops, or a Go function, Reader or Writer that has
	// not returned. In process the interpreter serves nobody until it ends.
	Stuck bool
	// Python is the exception that the snippet ended with instead of the one it was stopped by: a MemoryError, or one
	// raised in a finally block. Usually nil.
	Python *PythonError
}

// Error has the reason and the place.
func (e *StoppedError) Error() string {
	var b strings.Builder
	b.WriteString("pyexec: the call was stopped: " + strings.TrimPrefix(e.Reason.Error(), "pyexec: "))
	if e.Stuck {
		b.WriteString(" (it goes on in C or Go code that cannot be interrupted)")
	}
	if n := len(e.Frames); n > 0 && e.Frames[n-1].Line > 0 {
		f := e.Frames[n-1]
		fmt.Fprintf(&b, " (%s:%d, in %s)", f.File, f.Line, f.Function)
	}
	return b.String()
}

// Unwrap returns Reason, and Python if there is one.
func (e *StoppedError) Unwrap() []error {
	if e.Python != nil {
		return []error{e.Reason, e.Python}
	}
	return []error{e.Reason}
}

// A StuckError says that an interpreter is in a call that could not be stopped: C code that neither returns nor looks for
// signals, or a Go function that does not return. Calls that wait for it get this error at their deadline (errors.Is finds
// context.DeadlineExceeded or Canceled), those that have none at once, and Close after a while. As soon as the call ends, the
// executor goes on.
type StuckError struct {
	Snippet string        // its name, cut after 63 bytes; "(recycle)" or "(close)" if it is no snippet
	For     time.Duration // how long it has been running
	Err     error         // why waiting ended; nil for calls that have no deadline, and for Close
}

// Error names the call that is stuck.
func (e *StuckError) Error() string {
	s := fmt.Sprintf("pyexec: the interpreter is stuck in %s, for %v so far", e.Snippet, e.For.Round(time.Millisecond))
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns Err.
func (e *StuckError) Unwrap() error { return e.Err }

// Running is a call that an interpreter is at.
type Running struct {
	Snippet string // its name, cut after 63 bytes
	For     time.Duration
}

// causeOf is why ctx ended, with its cause if that says more.
func causeOf(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if cause == nil || errors.Is(err, cause) {
		return err
	}
	return fmt.Errorf("%w: %w", err, cause)
}

var errLeft = errors.New("left behind")

// stopped is the error of a call that was stopped, or that ran out of memory. err is what the snippet ended with.
func (e *Executor) stopped(w *slot, err error) error {
	reason := w.hand.cause
	w.hand.cause = nil
	var py *PythonError
	errors.As(err, &py)
	switch {
	case reason != nil:
	case w.reply.Stopped && w.reply.Memory:
		reason = ErrMemoryLimit
	case w.reply.Stopped:
		reason = ErrClosed
	case py != nil && py.Type == "MemoryError", w.reply.Status == engine.BadInput:
		reason = ErrMemoryLimit
	default:
		return err // it has coped with the MemoryError
	}
	e.stats.stop(reason)
	s := &StoppedError{Reason: reason}
	if py != nil {
		s.Frames = py.Frames
		if py.Type != "pyexec.Stop" {
			s.Python = py
		}
	}
	return s
}

// leave is what a caller gets whose call goes on without it.
func (e *Executor) leave(o outcome, s *Snippet, start time.Duration) (*Result, error) {
	e.stats.stop(o.cause)
	r := &Result{
		Stdout: captured(o.so.Stdout, o.so.StdoutCut), Stderr: captured(o.so.Stderr, o.so.StderrCut),
		StdoutTruncated: o.so.StdoutCut, StderrTruncated: o.so.StderrCut, Duration: now() - start,
	}
	return r, &StoppedError{Reason: o.cause, Stuck: true, Frames: reportFrames(o.so.Report, &sources{name: s.name(), code: s.Code, files: map[string][]string{}})}
}

func (s *counters) stop(reason error) {
	switch {
	case errors.Is(reason, context.DeadlineExceeded):
		s.timeouts.Add(1)
	case errors.Is(reason, context.Canceled):
		s.cancellations.Add(1)
	case errors.Is(reason, ErrMemoryLimit):
		s.memory.Add(1)
	}
}

func (s *counters) called(took time.Duration) {
	for {
		longest := s.longest.Load()
		if int64(took) <= longest || s.longest.CompareAndSwap(longest, int64(took)) {
			return
		}
	}
}

// running is what interpreters are at, and how many of them are stuck.
func (e *Executor) running() ([]Running, int) {
	select {
	case <-e.closed:
		return nil, 0
	default:
	}
	var all []Running
	for _, w := range e.slots {
		if w.stopper == nil {
			continue
		}
		if r, ok := w.stopper.Current(); ok && r.ID != 0 {
			all = append(all, Running{r.Name, now() - r.Since})
		}
	}
	return all, e.trouble.count()
}

// trouble is which workers are stuck.
type trouble struct {
	mu    sync.Mutex
	slots []*slot
	since []time.Duration
	names []string
	all   chan struct{} // closed while all workers are stuck
}

// stick notes that a worker is stuck, and returns what says so to the Logger: for when nobody waits for it.
func (e *Executor) stick(w *slot, id uint64) (log func()) {
	name, since := "a snippet", now()
	if w.stopper != nil {
		if r, ok := w.stopper.Current(); ok && (r.ID == id || id == 0) {
			name = r.Name
			if r.ID != 0 {
				since = r.Since
			}
		}
	}
	t := &e.trouble
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-e.closing:
		e.giveUp.Do(func() { close(e.gaveUp) })
	default:
	}
	if slices.Contains(t.slots, w) {
		return func() {}
	}
	t.slots, t.since, t.names = append(t.slots, w), append(t.since, since), append(t.names, name)
	if len(t.slots) == e.workers {
		close(t.all)
	}
	return func() {
		e.config.Logger.Warn("pyexec: an interpreter is stuck in code that cannot be interrupted", "snippet", name)
	}
}

func (e *Executor) unstick(w *slot) {
	t := &e.trouble
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, s := range t.slots {
		if s != w {
			continue
		}
		if len(t.slots) == e.workers {
			t.all = make(chan struct{})
		}
		last := len(t.slots) - 1
		t.slots[i], t.since[i], t.names[i] = t.slots[last], t.since[last], t.names[last]
		t.slots, t.since, t.names = t.slots[:last], t.since[:last], t.names[:last]
		return
	}
}

func (t *trouble) count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.slots)
}

func (t *trouble) allStuck() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all
}

// explain makes err, of somebody who waited in vain, say what for, if that is something stuck.
func (t *trouble) explain(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.slots) == 0 {
		return err
	}
	return &StuckError{Snippet: t.names[0], For: now() - t.since[0], Err: err}
}
