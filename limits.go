package pyexec

import (
	"context"
	"sync"
	"time"

	"github.com/go-pyexec/pyexec/internal/engine"
)

// A call that can be cancelled, or has a deadline, runs on a goroutine of its worker's, so that its caller can leave it
// behind. Nobody watches it until it has lived for a tick: a timer per worker, which fires once a tick as long as there are
// calls, looks which one that is. Only then does a goroutine wait for its end, its deadline and its context.

const (
	tick       = 5 * time.Millisecond
	firstPause = time.Millisecond / 2 // between attempts to stop a call; each is twice as long as the one before
	longPause  = 10 * time.Millisecond
	stuckPause = 100 * time.Millisecond // when nobody waits for it any more
	leaving    = 16                     // the part of the grace in which a call is left behind
)

// A hand holds what a call that can be left behind shares with its caller and with whoever watches it.
type hand struct {
	done  chan outcome
	start chan struct{} // wakes the goroutine that runs such calls; nil: there is none yet

	mu       sync.Mutex // guards what follows
	ctx      context.Context
	deadline time.Duration // 0: none
	began    time.Duration
	id       uint64        // of the call that runs; 0: none
	ended    chan struct{} // of the call that runs, if it is watched: closed when it ends
	left     bool          // its caller is gone
	cause    error         // why it is to stop
	err      error         // of Worker.Run
	timer    *time.Timer
	armed    time.Duration // when timer fires; 0: it does not
}

// An outcome is what the caller of a call that can be left behind is told, once.
type outcome struct {
	left  bool        // the call goes on, and the worker is no longer the caller's
	cause error       // why it is left
	so    engine.Left // what it has come to so far
}

// runLeavable runs the slot's call. The error is that of Worker.Run; if the call was left, the worker is no longer the
// caller's.
func (e *Executor) runLeavable(ctx context.Context, deadline time.Duration, w *slot) (outcome, error) {
	h := &w.hand
	h.mu.Lock()
	h.ctx, h.deadline, h.began, h.id = ctx, deadline, w.call.Since, w.call.ID
	h.arm(e, w, h.began)
	h.mu.Unlock()
	if h.start == nil {
		h.start = make(chan struct{}, 1)
		go func() {
			for range h.start {
				e.carry(w)
			}
		}()
	}
	h.start <- struct{}{}
	o := <-h.done
	if o.left {
		return o, nil
	}
	return o, h.err
}

// arm has the timer fire when the call that runs has lived for a tick, or must end. h.mu is held.
func (h *hand) arm(e *Executor, w *slot, now time.Duration) {
	at := h.began + tick
	if h.deadline != 0 && h.deadline < at {
		at = h.deadline
	}
	if h.armed != 0 && h.armed <= at {
		return
	}
	h.armed = at
	if h.timer == nil {
		h.timer = time.AfterFunc(at-now, func() { e.onTick(w) })
	} else {
		h.timer.Reset(at - now)
	}
}

// onTick watches the call that runs, if it has lived long enough.
func (e *Executor) onTick(w *slot) {
	h := &w.hand
	t := now()
	h.mu.Lock()
	h.armed = 0
	if h.id == 0 || h.ended != nil { // none runs: the next one arms the timer; or it is watched already
		h.mu.Unlock()
		return
	}
	if t-h.began < tick/2 && (h.deadline == 0 || t < h.deadline) {
		h.arm(e, w, t)
		h.mu.Unlock()
		return
	}
	h.ended = make(chan struct{})
	ctx, deadline, id, ended := h.ctx, h.deadline, h.id, h.ended
	h.mu.Unlock()
	e.watch(ctx, deadline, w, id, ended)
}

// carry runs one call, on the goroutine that is there for it. A new one for each call would grow its stack each time.
func (e *Executor) carry(w *slot) {
	h := &w.hand
	err := w.worker.Run(&w.call, &w.reply)
	h.mu.Lock()
	left, ended := h.left, h.ended
	h.ctx, h.id, h.ended, h.left, h.err = nil, 0, nil, false, err
	h.mu.Unlock()
	if ended != nil {
		close(ended)
	}
	if !left {
		h.done <- outcome{}
		return
	}
	e.takeBack(w, err)
}

// takeBack makes a worker usable again whose caller has left it.
func (e *Executor) takeBack(w *slot, err error) {
	e.unstick(w)
	w.hand.cause = nil
	if err == nil {
		e.count(w, errLeft, false)
		e.stats.called(now() - w.call.Since)
	}
	if w.taint == "" {
		w.taint = "a call had been left behind in it"
	}
	w.call = engine.Call{}
	e.release(w)
}

func (e *Executor) watch(ctx context.Context, deadline time.Duration, w *slot, id uint64, ended chan struct{}) {
	var expired <-chan time.Time
	if deadline != 0 {
		t := time.NewTimer(deadline - now())
		defer t.Stop()
		expired = t.C
	}
	var cause error
	select {
	case <-ended:
		return
	case <-ctx.Done():
		cause = causeOf(ctx)
	case <-expired:
		cause = context.DeadlineExceeded
	case <-e.stopping:
		cause = ErrClosed
	}

	h := &w.hand
	h.mu.Lock()
	runs := h.id == id
	if runs {
		h.cause = cause
	}
	h.mu.Unlock()
	if !runs || e.interrupt(w, id, ended) {
		return
	}
	var so engine.Left
	h.mu.Lock() // if it ends now, it waits for that, so that no other call begins meanwhile
	runs = h.id == id
	if runs && w.stopper != nil {
		so, _ = w.stopper.LeaveBehind(id, e.config.Grace/leaving)
	}
	h.left = runs
	h.mu.Unlock()
	if !runs {
		return
	}
	log := e.stick(w, id)
	h.done <- outcome{left: true, cause: cause, so: so}
	log()
	e.interruptForEver(w, id, ended)
}

// interrupt tries for as long as Config.Grace to stop a call, with growing force, and says whether it has ended.
func (e *Executor) interrupt(w *slot, id uint64, ended <-chan struct{}) bool {
	grace, begin := e.config.Grace-e.config.Grace/leaving, now()
	t := time.NewTimer(0)
	defer t.Stop()
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		passed := now() - begin
		if passed >= grace {
			return false
		}
		if w.stopper != nil {
			w.stopper.Interrupt(id, forceAfter(passed, grace))
		}
		t.Reset(min(pause, grace-passed))
		select {
		case <-ended:
			return true
		case <-t.C:
		}
	}
}

// forceAfter leaves a quarter of the grace to the snippet's own finally blocks.
func forceAfter(passed, grace time.Duration) engine.Force {
	switch {
	case passed < grace/4:
		return engine.Raise
	case passed < grace/2:
		return engine.Trace
	}
	return engine.FailMemory
}

// interruptForEver goes on: what is stuck in C may come back to where it can be stopped.
func (e *Executor) interruptForEver(w *slot, id uint64, ended <-chan struct{}) {
	t := time.NewTicker(stuckPause)
	defer t.Stop()
	for {
		select {
		case <-ended:
			return
		case <-t.C:
			if w.stopper != nil {
				w.stopper.Interrupt(id, engine.FailMemory)
			}
		}
	}
}

// guarded runs f, which does something with an interpreter other than running a call, and stops what finalizers do in it
// if it takes longer than it ever should.
func (e *Executor) guarded(w *slot, f func()) {
	ended := make(chan struct{})
	t := time.AfterFunc(guardPatience, func() {
		if !e.interrupt(w, 0, ended) {
			e.stick(w, 0)()
			e.interruptForEver(w, 0, ended)
			e.unstick(w)
		}
	})
	f()
	t.Stop()
	close(ended)
}

// guardPatience is how long a recycle, or the end of an interpreter, may take before it is interfered with. On a machine with
// much else to do, one that takes 20 ms alone took over a second.
var guardPatience = 5 * time.Second // a variable for tests
