//go:build cpy3

package cpy3

import (
	"context"
	"unsafe"

	python3 "github.com/go-python/cpy3"

	"github.com/go-pyexec/pyexec"
	_ "github.com/go-pyexec/pyexec/cpy3/compat" // cpy3 is not compiled without it
	"github.com/go-pyexec/pyexec/internal/native"
)

// Do calls f, which may use cpy3, in ex's interpreter, once it is its turn: with the GIL held, with a fresh namespace that is
// also the module __main__ (where python3.PyRun_SimpleString runs its code) and has the functions of the Executor's Config,
// and with everything put back afterwards. It counts as an execution, and the interpreter is recycled as after a snippet.
// globals is borrowed.
//
// The Result is that of a snippet: the variables that f leaves in globals, output, changes. The error is nil, or
//
//   - what f returned;
//   - a *pyexec.PanicError if it panicked, pyexec.ErrGoexit if it called runtime.Goexit, as testing.T.FailNow does;
//   - a *pyexec.PythonError for an exception that f left set, or a *pyexec.ExitError; so after a call of cpy3's that failed,
//     f need do no more than return. If f also returned an error, errors.Is and errors.As find both. An exception that is
//     printed (PyErr_Print, PyRun_SimpleString) is on Result.Stderr and no error; not even SystemExit ends the process;
//   - a *pyexec.PythonError (RuntimeError) if f gave up the GIL and did not take it back;
//   - pyexec.ErrUnsupported, with Isolation: Process, where the interpreter is in another process;
//   - those of [pyexec.Executor.Run] for calls that did not get their turn, or had to be stopped.
//
// f runs on a goroutine of its own, locked to its thread. When ctx ends, Python code that f calls is stopped as in a snippet,
// and so are cpy3's next calls that run any. Go code is not: if f has not returned after Config.Grace, Do does, with a
// *pyexec.StoppedError that says Stuck, while f goes on, and the interpreter waits for it. So f should look at ctx, too.
//
// # What f must and must not do
//
// It must release what is its own (DecRef), as always with cpy3: what it forgets stays in memory, at most until the
// process ends. It must not keep a PyObject beyond its return: the interpreter that it belongs to may be replaced, and to touch
// it then is a crash, as is using an object after its DecRef. It must not use cpy3 on other goroutines unless it has given up the GIL
// (PyEval_SaveThread, PyEval_RestoreThread), and they are locked to their threads, take it (PyGILState_Ensure), and have
// released it (PyGILState_Release) when f returns. It must not call ex, which is pyexec.ErrReentrant where that would wait
// for f.
//
// Py_Initialize has nothing left to do. Py_Finalize, Py_FinalizeEx, Py_Main, Py_SetPath, Py_SetProgramName and
// Py_SetPythonHome do nothing while there is an Executor, and fail if they can.
func Do(ctx context.Context, ex *pyexec.Executor, f func(globals *python3.PyObject) error) (*pyexec.Result, error) {
	res, err := native.Do(ctx, ex, func(globals unsafe.Pointer) error {
		return f((*python3.PyObject)(globals))
	})
	return res.(*pyexec.Result), err
}
