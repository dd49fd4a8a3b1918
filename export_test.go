package pyexec

import (
	"time"

	"github.com/go-pyexec/pyexec/internal/kernel"
)

// For benchmarks: CPython has one main interpreter in a process, so to measure two configurations side by side one
// Executor has to change between them.

// BenchEval runs n bare PyEval_EvalCode of code, each with a fresh dict, in a C loop, and returns how long they took.
func (e *Executor) BenchEval(code string, n int) (time.Duration, error) {
	w := <-e.idle
	defer func() { e.idle <- w }()
	ns, err := w.worker.(*kernel.Kernel).BenchEval(code, n)
	return time.Duration(ns), err
}

// SetReset changes Config.Reset. No call may run or wait meanwhile.
func (e *Executor) SetReset(mode ResetMode) { e.config.Reset = mode }

// SetRecycleEvery changes Config.RecycleEvery, and counts executions from now. No call may run or wait meanwhile.
func (e *Executor) SetRecycleEvery(n int) {
	w := <-e.idle
	e.config.RecycleEvery = n
	w.executions = 0
	e.idle <- w
}
