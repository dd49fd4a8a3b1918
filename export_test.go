package pyexec

import (
	"context"
	"time"

	"github.com/go-pyexec/pyexec/internal/kernel"
)

// For benchmarks: CPython has one main interpreter in a process, so to measure two configurations side by side one
// Executor has to change between them.

// BenchEval runs n bare PyEval_EvalCode of code, each with a fresh dict, in a C loop, and returns how long they took.
func (e *Executor) BenchEval(code string, n int) (time.Duration, error) {
	w, err := e.acquire(context.Background())
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
	w, err := e.acquire(context.Background())
	if err != nil {
		panic(err) // closed: the benchmark is wrong
	}
	e.config.RecycleEvery = n
	w.executions = 0
	e.put(w)
}
