package pyexec

import (
	"context"
	"time"

	"github.com/go-pyexec/pyexec/internal/engine"
	"github.com/go-pyexec/pyexec/internal/kernel"
)

// For benchmarks: CPython has one main interpreter in a process, so to measure two configurations side by side one
// Executor has to change between them.

// BenchEval runs n bare PyEval_EvalCode of code, each with a fresh dict, in a C loop, and returns how long they took.
func (e *Executor) BenchEval(code string, n int) (time.Duration, error) {
	w, err := e.acquire(context.Background(), 0)
	if err != nil {
		return 0, err
	}
	defer e.put(w)
	ns, err := w.worker.(*kernel.Kernel).BenchEval(code, n)
	return time.Duration(ns), err
}

// SetReset changes Config.Reset. No call may run or wait meanwhile.
func (e *Executor) SetReset(mode ResetMode) { e.config.Reset = mode }

// SetRecycleEvery changes Config.RecycleEvery, and counts executions from now. No call may run or wait meanwhile.
func (e *Executor) SetRecycleEvery(n int) {
	w, err := e.acquire(context.Background(), 0)
	if err != nil {
		panic(err) // closed: the benchmark is wrong
	}
	e.config.RecycleEvery = n
	w.executions = 0
	e.put(w)
}

// Confined says whether code is proven to need no reset.
func (e *Executor) Confined(code string) (bool, error) {
	w, err := e.acquire(context.Background(), 0)
	if err != nil {
		return false, err
	}
	defer e.put(w)
	return w.worker.(*kernel.Kernel).Confined(code)
}

// CheckConfined has calls of confined code looked at all the same; one that changed something taints.
func (e *Executor) CheckConfined(check bool) {
	w, err := e.acquire(context.Background(), 0)
	if err != nil {
		panic(err) // closed: the test is wrong
	}
	defer e.put(w)
	w.worker.(*kernel.Kernel).CheckConfined(check)
}

// RunRaw runs code with variables that are already encoded, whatever they are: for fuzzing the kernel's decoder.
func (e *Executor) RunRaw(code string, vars []byte) (*Result, error) {
	w, err := e.acquire(context.Background(), 0)
	if err != nil {
		return nil, err
	}
	defer e.release(w)
	s := &Snippet{Code: code}
	w.call = engine.Call{Name: s.name(), Code: code, Hash: e.hash(s.name(), code), Vars: vars, Reset: true}
	if err := w.worker.Run(&w.call, &w.reply); err != nil {
		return nil, err
	}
	return newResult(&w.reply, s, nil)
}

// BriefOf says what is known of the code of a snippet without a name.
func (e *Executor) BriefOf(code string) engine.Brief {
	w, err := e.acquire(context.Background(), 0)
	if err != nil {
		panic(err) // closed: the test is wrong
	}
	defer e.put(w)
	return w.briefs.kind(e.hash(defaultName, code))
}

// HandsOver says whether a call was handed to another goroutine so far.
func (e *Executor) HandsOver() bool {
	w, err := e.acquire(context.Background(), 0)
	if err != nil {
		panic(err) // closed: the test is wrong
	}
	defer e.put(w)
	return w.hand.start != nil
}

// SetGuardPatience changes how long a recycle may take before it is interfered with, and returns what changes it back.
func SetGuardPatience(d time.Duration) (restore func()) {
	before := guardPatience
	guardPatience = d
	return func() { guardPatience = before }
}

// CheckVersion is what New checks first.
func CheckVersion(built, found string) error { return checkVersion(built, found) }
