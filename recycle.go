package pyexec

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/go-pyexec/pyexec/internal/engine"
)

// RecycleNever is a Config.RecycleEvery: no number of executions is a reason to recycle.
const RecycleNever = -1

// A RecycleReason says why an interpreter was recycled.
type RecycleReason string

// The reasons to recycle.
const (
	RecycleExecutions RecycleReason = "executions" // Config.RecycleEvery was reached
	RecycleAge        RecycleReason = "age"        // Config.RecycleAfter was reached
	RecycleTaint      RecycleReason = "taint"      // a snippet left something that could not be put back
	RecycleRequest    RecycleReason = "request"    // Executor.Recycle was called
	RecycleGrowth     RecycleReason = "growth"     // Config.RecycleOnGrowth was reached
	RecycleError      RecycleReason = "error"      // an earlier recycle had failed
	RecycleCrash      RecycleReason = "crash"      // a worker process ended, or was ended
)

// Recycle replaces the interpreter by a clean one, once the calls before it are done; of several Workers, one that is idle,
// and the others stay. Stats tells how it was done: where a full re-initialisation is known to be unsafe, because of the
// Python version, of a native module that was loaded, or of a thread that a snippet left running, everything is put back
// and collected, but loaded modules stay.
//
// It returns ErrClosed after Close, and ctx.Err() if ctx ends before it is done, within a *StuckError if a call that does not
// end is in the way; ErrBusy with Config.MaxWaiting; ErrReentrant in a function that a snippet called.
func (e *Executor) Recycle(ctx context.Context) error {
	w, err := e.acquire(ctx, 0)
	if err != nil {
		return err
	}
	if err := e.recycleFor(ctx, 0, w, RecycleRequest); err != nil {
		return err
	}
	e.put(w)
	return nil
}

// recycleFor recycles a worker that the caller owns, and stops waiting when ctx ends, or the deadline is over. If it
// returns an error the worker is no longer the caller's.
func (e *Executor) recycleFor(ctx context.Context, deadline time.Duration, w *slot, reason RecycleReason) error {
	done := make(chan error)
	gone := make(chan struct{})
	go func() {
		err := e.recycle(w, reason)
		if err != nil {
			e.put(w)
		}
		select {
		case done <- err:
		case <-gone:
			if err == nil {
				e.put(w)
			}
		}
	}()
	var expired <-chan time.Time
	if deadline != 0 {
		t := time.NewTimer(deadline - now())
		defer t.Stop()
		expired = t.C
	}
	var err error
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		err = ctx.Err()
	case <-expired:
		err = context.DeadlineExceeded
	}
	close(gone)
	return e.trouble.explain(err)
}

// due is the reason to recycle w now, or empty.
func (e *Executor) due(w *slot) RecycleReason {
	switch {
	case w.crashed:
		return RecycleCrash
	case w.taint != "":
		return RecycleTaint
	case e.config.RecycleEvery > 0 && w.executions >= e.config.RecycleEvery:
		return RecycleExecutions
	case e.workers > 1 && e.config.RecycleAfter > 0 && now()-w.born >= e.config.RecycleAfter:
		return RecycleAge
	case e.growth.limit != 0 && w.executions%growthEvery == 0 && e.grown(w):
		return RecycleGrowth
	}
	return ""
}

// recycle recycles a worker that the caller owns.
func (e *Executor) recycle(w *slot, reason RecycleReason) error {
	start := now()
	var method engine.Method
	var err error
	e.guarded(w, func() { method, err = w.worker.Recycle() })
	took := now() - start
	if err != nil {
		w.broken = fmt.Errorf("pyexec: %w", err)
		return w.broken
	}

	s := &e.stats
	s.mu.Lock()
	defer s.mu.Unlock()
	s.countRecycle(reason, method)
	if method != engine.Purged {
		e.forgetCache(w, method == engine.Replaced)
	}
	s.recycle.LastRecycle = took
	s.recycle.LongestRecycle = max(s.recycle.LongestRecycle, took)
	if w.taint != "" {
		s.recycle.LastTaint = w.taint
	}
	e.growth.begin()
	w.taint, w.broken, w.executions, w.crashed, w.born = "", nil, 0, false, now()
	return nil
}

// countRecycle is called with mu held.
func (s *counters) countRecycle(reason RecycleReason, method engine.Method) {
	if s.recycle.RecyclesBy == nil {
		s.recycle.RecyclesBy = map[RecycleReason]uint64{}
	}
	s.recycle.Recycles++
	s.recycle.RecyclesBy[reason]++
	switch method {
	case engine.Reinitialized:
		s.recycle.Reinitialized++
	case engine.Purged:
		s.recycle.Purged++
	case engine.Replaced:
		s.recycle.Replaced++
	}
}

// aging is the context of who waits because of an interpreter's age: it is no caller, of whom there may be too many.
var aging = context.WithValue(context.Background(), agingKey{}, true)

type agingKey struct{}

// startAging recycles by age in the background, so that no caller pays for it.
func (e *Executor) startAging() {
	if e.config.RecycleAfter == 0 {
		return
	}
	e.byAge = time.AfterFunc(math.MaxInt64, func() {
		if e.age() {
			e.byAge.Reset(e.config.RecycleAfter)
		}
	})
	e.byAge.Reset(e.config.RecycleAfter) // only now, when the function can see byAge
}

// age recycles the one interpreter, or of many those that are idle: the others are looked at when they are given back. It
// returns false when the Executor is closed.
func (e *Executor) age() bool {
	var all []*slot
	defer func() {
		for _, w := range all {
			e.put(w)
		}
	}()
	for e.workers > 1 {
		w := e.free.Swap(nil)
		if w == nil {
			select {
			case w = <-e.queue:
			default:
				return !e.isClosing()
			}
		}
		all = append(all, w)
		if e.due(w) == RecycleAge {
			e.recycleAged(w)
		}
	}
	w, err := e.acquire(aging, 0)
	if err != nil {
		return !e.isClosing() // all are stuck
	}
	e.recycleAged(w)
	e.put(w)
	return true
}

func (e *Executor) recycleAged(w *slot) {
	if err := e.recycle(w, RecycleAge); err != nil {
		e.config.Logger.Error("pyexec: the interpreter could not be recycled; the next call tries again", "error", err)
	}
}

func (e *Executor) isClosing() bool {
	select {
	case <-e.closing:
		return true
	default:
		return false
	}
}
