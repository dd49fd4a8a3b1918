package pyexec

import (
	"context"
	"errors"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"unsafe"

	hook "github.com/go-pyexec/pyexec/internal/native"
)

func init() {
	hook.Do = func(ctx context.Context, executor any, f func(unsafe.Pointer) error) (any, error) {
		return executor.(*Executor).runNative(ctx, f)
	}
}

// native is the code of a call that is a Go function which uses Python's C API. See package cpy3.
type native struct {
	executor *Executor
	f        func(globals unsafe.Pointer) error
	err      atomic.Pointer[error] // what came of it; nil: it has not returned
}

func (e *Executor) runNative(ctx context.Context, f func(globals unsafe.Pointer) error) (*Result, error) {
	if e.config.Isolation != InProcess {
		return nil, unsupported("Go code that uses Python's C API needs an Executor with Isolation: InProcess, not " + e.config.Isolation.String())
	}
	n := &native{executor: e, f: f}
	r, err := e.run(ctx, &Snippet{Name: "(Go function)", native: n}, 0, false)
	if own := n.err.Load(); own != nil && *own != nil {
		if err == nil {
			return r, *own
		}
		err = errors.Join(*own, err)
	}
	return r, err
}

// run is an engine.Call's Native.
func (n *native) run(globals unsafe.Pointer) {
	thread := syscall.Gettid()
	n.executor.inside.enter(thread, nil)
	err := ErrGoexit
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{Value: p, Stack: debug.Stack()}
		}
		n.executor.inside.leave(thread)
		n.err.Store(&err)
	}()
	err = n.f(globals)
}
