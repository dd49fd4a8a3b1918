package pyexec

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-pyexec/pyexec/internal/engine"
)

// Stats is a snapshot of what an Executor has done.
type Stats struct {
	Executions     uint64                   // calls that reached Python
	PythonErrors   uint64                   // of these, calls that ended in a *PythonError
	Exits          uint64                   // of these, calls that ended in an *ExitError
	Crashes        uint64                   // of these, calls that ended with their worker process
	Resets         uint64                   // of these, calls after which something had to be put back
	CacheHits      uint64                   // executions whose code was compiled already
	CacheMisses    uint64                   // calls whose code had to be compiled
	CacheEvictions uint64                   // compiled snippets dropped to make room, in all interpreters
	CacheEntries   uint64                   // compiled snippets in the caches of all interpreters
	Waiting        int64                    // callers waiting for their turn now
	Recycles       uint64                   // recycles so far
	RecyclesBy     map[RecycleReason]uint64 // the same, by reason; those that did not occur are not in it
	Reinitialized  uint64                   // of the recycles, those that finalised and initialised the interpreter
	Purged         uint64                   // of the recycles, those that put back and collected everything but kept loaded modules
	Replaced       uint64                   // of the recycles, those that replaced the worker process
	LastRecycle    time.Duration            // how long the last recycle took
	LongestRecycle time.Duration            // how long the longest recycle took
	LastTaint      string                   // why the interpreter was last tainted, if ever
	Timeouts       uint64                   // calls that were stopped at their deadline
	Cancellations  uint64                   // calls that were stopped because their context was cancelled
	MemoryStops    uint64                   // calls that ended because of Config.MemoryLimit
	LongestCall    time.Duration            // how long the longest call took
	Running        []Running                // what is under way, a call per interpreter
	Stuck          int                      // interpreters that are at something which could not be stopped: a call, a recycle, Close
}

type counters struct {
	executions, errors, exits, resets, evictions, cached atomic.Uint64
	crashes                                              atomic.Uint64
	misses, compiles                                     atomic.Uint64 // code compiled by executions, and by Compile
	waiting, longest                                     atomic.Int64
	timeouts, cancellations, memory                      atomic.Uint64

	mu      sync.Mutex // guards recycle
	recycle Stats      // only its fields about recycles
}

func (e *Executor) count(w *slot, err error, compileOnly bool) {
	s := &e.stats
	w.briefs.note(w.call.Hash, w.reply.Brief)
	if w.reply.Compiled {
		if compileOnly {
			s.compiles.Add(1)
		} else {
			s.misses.Add(1)
		}
		most := uint64(e.config.CacheEntries) // whatever a process says that a snippet has taken over
		cached, evicted := min(w.reply.Cached, most), max(w.reply.Evictions, w.evicted)
		s.cached.Add(cached - w.cached)
		s.evictions.Add(min(evicted-w.evicted, most))
		w.cached, w.evicted = cached, evicted
	}
	if compileOnly {
		return
	}
	w.executions++
	s.executions.Add(1)
	if err != nil && !w.reply.Stopped {
		switch w.reply.Status {
		case engine.Exception:
			s.errors.Add(1)
		case engine.Exit:
			s.exits.Add(1)
		}
	}
	if len(w.reply.Changes) > 0 {
		s.resets.Add(1)
	}
	if len(w.reply.Taint) > 0 {
		w.taint = string(w.reply.Taint)
		w.briefs = briefs{} // what taints may be a thread that holds the GIL
	}
}

// forgetCache is for an interpreter whose cache is empty again; anew says that it is another process, which counts from 0.
func (e *Executor) forgetCache(w *slot, anew bool) {
	e.stats.cached.Add(-w.cached)
	w.cached = 0
	if anew {
		w.evicted = 0
	}
}

// Stats returns a snapshot of the counters.
func (e *Executor) Stats() Stats {
	s := &e.stats
	s.mu.Lock()
	out := s.recycle
	out.RecyclesBy = make(map[RecycleReason]uint64, len(s.recycle.RecyclesBy))
	for reason, n := range s.recycle.RecyclesBy {
		out.RecyclesBy[reason] = n
	}
	s.mu.Unlock()
	out.Executions = s.executions.Load()
	out.PythonErrors = s.errors.Load()
	out.Exits = s.exits.Load()
	out.Resets = s.resets.Load()
	out.Crashes = s.crashes.Load()
	misses := s.misses.Load()
	out.CacheMisses = misses + s.compiles.Load()
	out.CacheHits = out.Executions - min(misses, out.Executions)
	out.CacheEvictions = s.evictions.Load()
	out.CacheEntries = s.cached.Load()
	out.Waiting = s.waiting.Load()
	out.Timeouts = s.timeouts.Load()
	out.Cancellations = s.cancellations.Load()
	out.MemoryStops = s.memory.Load()
	out.LongestCall = time.Duration(s.longest.Load())
	out.Running, out.Stuck = e.running()
	return out
}
