package pyexec

import (
	"time"
)

// Close ends the interpreter, and makes calls that wait, or come later, return ErrClosed. Calls that run have Config.Grace
// to end by themselves; then they are stopped, and end with a StoppedError that is ErrClosed.
//
// Close returns nil when the Executor is closed. If a call cannot be stopped, or the finalizers of what is left in the
// interpreter cannot, it returns a *StuckError that says which; the Executor then closes as soon as that ends, and until
// then New returns ErrInUse. Close may be called more than once and by several goroutines.
//
// In a function that a snippet of the Executor called it would wait for itself, so there it closes nothing, and returns
// ErrReentrant.
func (e *Executor) Close() error {
	if e.inside.here() {
		return ErrReentrant
	}
	e.once.Do(func() {
		close(e.closing)
		if e.byAge != nil {
			e.byAge.Stop()
		}
		go e.shutDown()
	})
	select {
	case <-e.closed:
		return nil
	case <-e.gaveUp:
	}
	for {
		if err := e.trouble.explain(nil); err != nil {
			return err
		}
		select {
		case <-e.closed:
			return nil
		case <-time.After(longPause): // what was stuck has just ended
		}
	}
}

func (e *Executor) shutDown() {
	idle := make(chan *slot)
	ended := make(chan struct{}) // closed when no call runs any more
	go func() {
		for range e.workers {
			idle <- e.awaitIdle()
		}
	}()
	patience := time.AfterFunc(e.config.Grace, func() {
		close(e.stopping)
		for _, w := range e.slots {
			go e.stopForClose(w, ended)
		}
	})
	slots := make([]*slot, e.workers)
	for i := range slots {
		slots[i] = <-idle
	}
	patience.Stop()
	close(ended)
	for _, w := range slots {
		e.guarded(w, w.worker.Close)
		if w.hand.start != nil {
			close(w.hand.start)
		}
	}
	e.growth.stop()
	close(e.closed)
}

// stopForClose stops what a worker is at, also if its caller cannot leave it.
func (e *Executor) stopForClose(w *slot, ended <-chan struct{}) {
	if w.stopper == nil {
		return
	}
	r, ok := w.stopper.Current()
	if !ok || r.ID == 0 || e.interrupt(w, r.ID, ended) {
		return
	}
	if w.process != nil {
		w.process.Kill(r.ID)
		return
	}
	if r, ok = w.stopper.Current(); !ok || r.ID == 0 {
		return // it has ended; another worker's has not
	}
	e.stick(w, r.ID)()
	e.interruptForEver(w, r.ID, ended)
	e.unstick(w)
}

func (e *Executor) awaitIdle() *slot {
	e.stats.waiting.Add(1)
	defer e.stats.waiting.Add(-1)
	if w := e.free.Swap(nil); w != nil {
		return w
	}
	return <-e.queue
}
