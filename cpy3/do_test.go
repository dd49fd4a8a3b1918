//go:build cpy3

package cpy3_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	python3 "github.com/go-python/cpy3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
	"github.com/go-pyexec/pyexec/cpy3"
)

var ctx = context.Background()

func open(t testing.TB, config pyexec.Config) *pyexec.Executor {
	t.Helper()
	ex, err := pyexec.New(config)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, ex.Close()) })
	return ex
}

// script is a function of cpy3's most used call.
func script(code string) func(*python3.PyObject) error {
	return func(*python3.PyObject) error {
		if python3.PyRun_SimpleString(code) != 0 {
			return fmt.Errorf("%q failed", code)
		}
		return nil
	}
}

// eval is the value of an expression in a snippet of its own.
func eval(t testing.TB, ex *pyexec.Executor, code string) any {
	t.Helper()
	res, err := ex.Execute(ctx, code, nil)
	require.NoError(t, err)
	return res.Value
}

// alive fails if ex does not run on, clean.
func alive(t testing.TB, ex *pyexec.Executor) {
	t.Helper()
	res, err := cpy3.Do(ctx, ex, script("import sys; x = sys.maxsize > 0"))
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"x": true}, res.Vars())
	assert.EqualValues(t, 42, eval(t, ex, "6 * 7"))
}

func TestDo(t *testing.T) {
	ex := open(t, pyexec.Config{})
	res, err := cpy3.Do(ctx, ex, func(globals *python3.PyObject) error {
		total := python3.PyLong_FromLong(42)
		defer total.DecRef()
		if python3.PyDict_SetItemString(globals, "total", total) != 0 {
			return errors.New("no total")
		}
		return script("import sys; print(total); print('and', file=sys.stderr); import math")(globals)
	})
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"total": int64(42)}, res.Vars())
	assert.Equal(t, "42\n", res.Stdout)
	assert.Equal(t, "and\n", res.Stderr)
	assert.Empty(t, res.Changes)
	assert.Equal(t, uint64(1), ex.Stats().Executions)
}

func TestNamespaceIsFresh(t *testing.T) {
	ex := open(t, pyexec.Config{})
	_, err := cpy3.Do(ctx, ex, script("class Mine: pass\nme = Mine(); me.me = me"))
	require.NoError(t, err)
	for range 2 {
		res, err := cpy3.Do(ctx, ex, func(globals *python3.PyObject) error {
			assert.Nil(t, python3.PyDict_GetItemString(globals, "me"))
			main := python3.PyImport_AddModule("__main__") // borrowed
			assert.True(t, python3.PyModule_GetDict(main) == globals)
			return script("names = [c.__name__ for c in object.__subclasses__()]")(globals)
		})
		require.NoError(t, err)
		assert.NotContains(t, res.Vars()["names"], "Mine")
	}
	assert.Equal(t, false, eval(t, ex, "'me' in globals()"))
}

// What cpy3 changes by the C API, and not by Python code.
func TestChangesArePutBack(t *testing.T) {
	ex := open(t, pyexec.Config{})
	_, err := ex.Execute(ctx, "import json", nil)
	require.NoError(t, err)
	probe := "import sys, json, os; str([sys.path, sys.argv, sys.getrecursionlimit(), json.dumps(1), os.environ.get('CPY3'), 'gone' in sys.modules, sys.warnoptions, sys.stdout is sys.__stdout__])"
	clean := eval(t, ex, probe)
	for state, f := range map[string]func(){
		"sys.path": func() {
			fake := python3.PyUnicode_FromString("/fake1")
			defer fake.DecRef()
			assert.Zero(t, python3.PyList_Append(python3.PySys_GetObject("path"), fake))
		},
		"sys.argv":   func() { assert.NoError(t, python3.PySys_SetArgvEx([]string{"a", "b"}, false)) },
		"json.dumps": func() { python3.PyImport_ImportModule("json").SetAttrString("dumps", python3.Py_None) },
		"sys.stdout": func() { python3.PySys_SetObject("stdout", python3.Py_None) },
		"gc.isenabled": func() {
			python3.PyImport_ImportModule("gc").CallMethodArgs("disable").DecRef()
		},
		"sys.modules": func() {
			gone := python3.PyUnicode_FromString("gone")
			defer gone.DecRef()
			python3.PyDict_SetItem(python3.PyImport_GetModuleDict(), gone, python3.Py_None)
		},
		"os.environ": func() {
			environ := python3.PyImport_ImportModule("os").GetAttrString("environ")
			name := python3.PyUnicode_FromString("CPY3")
			environ.SetItem(name, name)
		},
	} {
		t.Run(state, func(t *testing.T) {
			res, err := cpy3.Do(ctx, ex, func(*python3.PyObject) error {
				f()
				return nil
			})
			require.NoError(t, err)
			var states []string
			for _, c := range res.Changes {
				assert.True(t, c.Undone, c.State)
				states = append(states, c.State)
			}
			assert.Contains(t, states, state)
			assert.Empty(t, res.Tainted)
			assert.Equal(t, clean, eval(t, ex, probe))
		})
	}
	_, err = cpy3.Do(ctx, ex, func(*python3.PyObject) error { return python3.PySys_SetPath("/fake2") })
	require.NoError(t, err)
	assert.Equal(t, clean, eval(t, ex, probe))
}

func TestResetNone(t *testing.T) {
	ex := open(t, pyexec.Config{Reset: pyexec.ResetNone})
	res, err := cpy3.Do(ctx, ex, script("import sys; sys.path.append('/fake1')"))
	require.NoError(t, err)
	assert.Empty(t, res.Changes)
	assert.Equal(t, true, eval(t, ex, "import sys; '/fake1' in sys.path"))
	_, err = ex.Execute(ctx, "import sys; sys.path.remove('/fake1')", nil)
	require.NoError(t, err)
}

func TestThreadLeftBehindTaints(t *testing.T) {
	ex := open(t, pyexec.Config{})
	res, err := cpy3.Do(ctx, ex, script("import threading, time\nthreading.Thread(target=time.sleep, args=(1,), daemon=True).start()"))
	require.NoError(t, err)
	assert.Contains(t, res.Tainted, "thread")
	alive(t, ex)
	assert.Equal(t, uint64(1), ex.Stats().RecyclesBy[pyexec.RecycleTaint])
}

func TestErrors(t *testing.T) {
	ex := open(t, pyexec.Config{})
	mine := errors.New("mine")
	raise := func(*python3.PyObject) error {
		python3.PyErr_SetString(python3.PyExc_KeyError, "no such key")
		return nil
	}
	var py *pyexec.PythonError

	res, err := cpy3.Do(ctx, ex, func(globals *python3.PyObject) error {
		_ = script("x = 1; print('so far')")(globals)
		return mine
	})
	assert.Equal(t, mine, err)
	assert.Equal(t, "so far\n", res.Stdout)
	assert.Equal(t, map[string]any{"x": int64(1)}, res.Vars())

	res, err = cpy3.Do(ctx, ex, raise)
	require.ErrorAs(t, err, &py)
	require.ErrorIs(t, err, pyexec.ErrType("LookupError"))
	assert.Equal(t, "'no such key'", py.Message)
	assert.Equal(t, "KeyError: 'no such key'\n", py.Traceback())
	assert.NotNil(t, res)

	_, err = cpy3.Do(ctx, ex, func(globals *python3.PyObject) error {
		if json := python3.PyImport_ImportModule("jsonn"); json == nil {
			return mine
		}
		return nil
	})
	require.ErrorIs(t, err, mine)
	require.ErrorIs(t, err, pyexec.ErrType("ModuleNotFoundError"))
	assert.ErrorContains(t, err, "jsonn")

	_, err = cpy3.Do(ctx, ex, func(globals *python3.PyObject) error {
		require.Zero(t, python3.PyRun_SimpleString("import json\ndef f(): return json.loads('[')"))
		python3.PyDict_GetItemString(globals, "f").CallFunctionObjArgs()
		return nil
	})
	require.ErrorAs(t, err, &py)
	assert.Equal(t, "json.decoder.JSONDecodeError", py.Type)
	assert.Equal(t, "f", py.Frames[0].Function)

	_, err = cpy3.Do(ctx, ex, func(*python3.PyObject) error {
		python3.PyErr_SetObject(python3.PyExc_SystemExit, python3.PyLong_FromLong(3))
		return nil
	})
	var exit *pyexec.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 3, exit.Code)

	stats := ex.Stats()
	assert.Equal(t, uint64(3), stats.PythonErrors)
	assert.Equal(t, uint64(1), stats.Exits)
	alive(t, ex)
}

// PyErr_Print ends a process in which SystemExit is set, and PyRun_SimpleString calls it.
func TestPrintedExitDoesNotEndTheHost(t *testing.T) {
	ex := open(t, pyexec.Config{})
	res, err := cpy3.Do(ctx, ex, script("import sys; print(sys.flags.inspect); sys.exit(3)"))
	require.Error(t, err)
	assert.Contains(t, res.Stderr, "SystemExit: 3")
	assert.Equal(t, "0\n", res.Stdout)
	_, err = cpy3.Do(ctx, ex, func(*python3.PyObject) error {
		python3.PyErr_SetNone(python3.PyExc_SystemExit)
		python3.PyErr_Print()
		return nil
	})
	require.NoError(t, err)
	alive(t, ex)
}

func TestPanic(t *testing.T) {
	ex := open(t, pyexec.Config{})
	cause := errors.New("cause")
	for name, f := range map[string]func(*python3.PyObject) error{
		"plain": func(*python3.PyObject) error { panic(cause) },
		"without the GIL": func(*python3.PyObject) error {
			python3.PyEval_SaveThread()
			panic(cause)
		},
		"with an exception set": func(*python3.PyObject) error {
			python3.PyErr_SetString(python3.PyExc_KeyError, "x")
			panic(cause)
		},
		"locked to the thread": func(*python3.PyObject) error {
			runtime.LockOSThread()
			panic(cause)
		},
	} {
		t.Run(name, func(t *testing.T) {
			res, err := cpy3.Do(ctx, ex, func(globals *python3.PyObject) error {
				_ = script("import sys; print('so far'); sys.path.clear()")(globals)
				return f(globals)
			})
			var p *pyexec.PanicError
			require.ErrorAs(t, err, &p)
			require.ErrorIs(t, err, cause)
			assert.Contains(t, string(p.Stack), "do_test.go")
			assert.Equal(t, "so far\n", res.Stdout)
			assert.Len(t, res.Changes, 1)
			alive(t, ex)
		})
	}
	_, err := cpy3.Do(ctx, ex, nil)
	var p *pyexec.PanicError
	require.ErrorAs(t, err, &p)
	alive(t, ex)
}

func TestGoexit(t *testing.T) {
	ex := open(t, pyexec.Config{})
	for range 20 {
		res, err := cpy3.Do(ctx, ex, func(globals *python3.PyObject) error {
			_ = script("print('so far')")(globals)
			runtime.Goexit()
			return nil
		})
		require.ErrorIs(t, err, pyexec.ErrGoexit)
		assert.Equal(t, "so far\n", res.Stdout)
	}
	alive(t, ex)
}

// Code for cpy3 locks its goroutine to a thread, and may lose count.
func TestLockedThreads(t *testing.T) {
	ex := open(t, pyexec.Config{Functions: pyexec.Functions{"answer": func() int { return 42 }}})
	for _, f := range []func(){
		func() { runtime.LockOSThread() },
		func() { runtime.LockOSThread(); runtime.LockOSThread(); runtime.UnlockOSThread() },
		func() { runtime.UnlockOSThread() },
	} {
		for range 3 {
			res, err := cpy3.Do(ctx, ex, func(globals *python3.PyObject) error {
				err := script("a = answer()")(globals)
				f()
				return errors.Join(err, script("b = answer()")(globals))
			})
			require.NoError(t, err)
			assert.Equal(t, map[string]any{"a": int64(42), "b": int64(42)}, res.Vars())
		}
	}
	alive(t, ex)
}

func TestFunctionsAndErrors(t *testing.T) {
	ours := errors.New("ours")
	ex := open(t, pyexec.Config{Functions: pyexec.Functions{"fail": func() error { return ours }}})
	_, err := cpy3.Do(ctx, ex, func(globals *python3.PyObject) error {
		python3.PyDict_GetItemString(globals, "fail").CallFunctionObjArgs()
		return nil
	})
	require.ErrorIs(t, err, ours)
	require.ErrorIs(t, err, pyexec.ErrType("pyexec.GoError"))
}

func TestReentrant(t *testing.T) {
	var ex *pyexec.Executor
	ex = open(t, pyexec.Config{Functions: pyexec.Functions{"nested": func() error {
		_, err := cpy3.Do(ctx, ex, script("pass"))
		return err
	}}})
	_, err := cpy3.Do(ctx, ex, func(*python3.PyObject) error {
		_, err := ex.Execute(ctx, "1", nil)
		return err
	})
	require.ErrorIs(t, err, pyexec.ErrReentrant)
	_, err = cpy3.Do(ctx, ex, func(*python3.PyObject) error {
		_, err := cpy3.Do(ctx, ex, script("pass"))
		return err
	})
	require.ErrorIs(t, err, pyexec.ErrReentrant)
	_, err = ex.Execute(ctx, "nested()", nil)
	require.ErrorIs(t, err, pyexec.ErrReentrant)
	alive(t, ex)
}

func TestLostGIL(t *testing.T) {
	ex := open(t, pyexec.Config{})
	_, err := cpy3.Do(ctx, ex, func(*python3.PyObject) error {
		python3.PyEval_SaveThread()
		return nil
	})
	require.ErrorIs(t, err, pyexec.ErrType("RuntimeError"))
	assert.ErrorContains(t, err, "without the GIL")
	alive(t, ex)
	res, err := cpy3.Do(ctx, ex, func(*python3.PyObject) error {
		state := python3.PyGILState_Ensure() // it has it already
		defer python3.PyGILState_Release(state)
		assert.True(t, python3.PyGILState_Check())
		return nil
	})
	require.NoError(t, err)
	assert.Empty(t, res.Tainted)
}

// Other goroutines take the GIL while the function has given it up.
func TestGoroutines(t *testing.T) {
	ex := open(t, pyexec.Config{})
	for range 10 {
		res, err := cpy3.Do(ctx, ex, func(globals *python3.PyObject) error {
			state := python3.PyEval_SaveThread()
			defer python3.PyEval_RestoreThread(state)
			var wg sync.WaitGroup
			for i := range 8 {
				wg.Go(func() {
					runtime.LockOSThread()
					defer runtime.UnlockOSThread()
					gil := python3.PyGILState_Ensure()
					defer python3.PyGILState_Release(gil)
					n := python3.PyLong_FromGoInt(i)
					defer n.DecRef()
					assert.Zero(t, python3.PyDict_SetItemString(globals, fmt.Sprintf("n%d", i), n))
				})
			}
			wg.Wait()
			return nil
		})
		require.NoError(t, err)
		assert.Len(t, res.Vars(), 8)
		assert.Empty(t, res.Tainted)
		require.NoError(t, ex.Recycle(ctx))
	}
	alive(t, ex)
}

func TestManyCallers(t *testing.T) {
	ex := open(t, pyexec.Config{RecycleEvery: 50})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				if i%2 == 0 {
					assert.EqualValues(t, j+1, eval(t, ex, fmt.Sprint(j, "+ 1")))
					continue
				}
				res, err := cpy3.Do(ctx, ex, script(fmt.Sprintf("x = %d; print(x)", j)))
				if assert.NoError(t, err) {
					assert.Equal(t, fmt.Sprintln(j), res.Stdout)
				}
			}
		})
	}
	wg.Wait()
	assert.Equal(t, uint64(400), ex.Stats().Executions)
}

func TestContext(t *testing.T) {
	ex := open(t, pyexec.Config{Grace: time.Second})
	over, cancel := context.WithCancel(ctx)
	cancel()
	res, err := cpy3.Do(over, ex, func(*python3.PyObject) error {
		t.Error("it runs")
		return nil
	})
	require.Equal(t, context.Canceled, err)
	assert.Nil(t, res)

	loop := "print('so far')\ndef loop():\n while True:\n  try:\n   while True: pass\n  except BaseException: pass\n"
	for name, f := range map[string]func(*python3.PyObject) error{
		"printed": script(loop + "loop()"),
		"set": func(globals *python3.PyObject) error {
			_ = script(loop)(globals)
			if python3.PyDict_GetItemString(globals, "loop").CallFunctionObjArgs() == nil {
				return errors.New("called in vain")
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			defer cancel()
			res, err := cpy3.Do(short, ex, f)
			var stopped *pyexec.StoppedError
			require.ErrorAs(t, err, &stopped)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			assert.False(t, stopped.Stuck)
			assert.Equal(t, "so far\n", res.Stdout)
			alive(t, ex)
		})
	}
}

// Go code cannot be stopped: its caller leaves it behind.
func TestContextOfGoCode(t *testing.T) {
	ex := open(t, pyexec.Config{Grace: 20 * time.Millisecond})
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	release := make(chan struct{})
	_, err := cpy3.Do(short, ex, func(*python3.PyObject) error {
		<-release
		return nil
	})
	var stopped *pyexec.StoppedError
	require.ErrorAs(t, err, &stopped)
	assert.True(t, stopped.Stuck)
	assert.Equal(t, 1, ex.Stats().Stuck)
	close(release)
	long, cancel := context.WithTimeout(ctx, time.Minute) // a call without an end does not wait for what is stuck
	defer cancel()
	_, err = cpy3.Do(long, ex, script("pass"))
	require.NoError(t, err)
	alive(t, ex)
	assert.Equal(t, uint64(1), ex.Stats().RecyclesBy[pyexec.RecycleTaint])
}

func TestRecycledBetween(t *testing.T) {
	ex := open(t, pyexec.Config{RecycleEvery: 1})
	for i := range 20 {
		res, err := cpy3.Do(ctx, ex, script(fmt.Sprintf("import re; x = re.sub('a', 'b', 'a%d')", i)))
		require.NoError(t, err)
		assert.Equal(t, map[string]any{"x": fmt.Sprintf("b%d", i)}, res.Vars())
	}
	require.NoError(t, ex.Recycle(ctx))
	assert.GreaterOrEqual(t, ex.Stats().Recycles, uint64(20))
	alive(t, ex)
}

func TestInterpreterIsTheExecutors(t *testing.T) {
	ex := open(t, pyexec.Config{})
	_, err := cpy3.Do(ctx, ex, func(*python3.PyObject) error {
		python3.Py_Initialize()
		python3.Py_Finalize()
		assert.Equal(t, -1, python3.Py_FinalizeEx())
		status, err := python3.Py_Main([]string{"python3", "-c", "pass"})
		assert.Equal(t, -1, status)
		return errors.Join(err, python3.Py_SetPath("/fake1"), python3.Py_SetPythonHome("/fake2"), python3.Py_SetProgramName("/fake3"))
	})
	require.NoError(t, err)
	require.NoError(t, ex.Recycle(ctx))
	assert.Equal(t, false, eval(t, ex, "import sys; any('fake' in p for p in [*sys.path, sys.prefix, sys.executable])"))
	alive(t, ex)
}

func TestProcess(t *testing.T) {
	ex := open(t, pyexec.Config{Isolation: pyexec.Process, Workers: 1})
	res, err := cpy3.Do(ctx, ex, func(*python3.PyObject) error {
		t.Error("it runs")
		return nil
	})
	require.ErrorIs(t, err, pyexec.ErrUnsupported)
	assert.EqualError(t, err, "pyexec: Go code that uses Python's C API needs an Executor with Isolation: InProcess, not Process")
	assert.Nil(t, res)
}

func TestClosed(t *testing.T) {
	ex := open(t, pyexec.Config{})
	require.NoError(t, ex.Close())
	_, err := cpy3.Do(ctx, ex, script("pass"))
	require.ErrorIs(t, err, pyexec.ErrClosed)
}

// Nothing of a call's own is left behind, however it ends, and no reference to what was there before it.
func TestLeaks(t *testing.T) {
	ex := open(t, pyexec.Config{RecycleEvery: pyexec.RecycleNever})
	calls := []func(*python3.PyObject) error{
		script("x = [1, 2]; y = 'text'"),
		func(*python3.PyObject) error { return errors.New("an error") },
		func(*python3.PyObject) error { panic("a panic") },
		func(*python3.PyObject) error { runtime.Goexit(); return nil },
		func(*python3.PyObject) error {
			python3.PyErr_SetString(python3.PyExc_ValueError, "an exception")
			return nil
		},
		func(*python3.PyObject) error { python3.PyEval_SaveThread(); return nil },
	}
	all := func(n int) {
		for range n {
			for _, f := range calls {
				_, _ = cpy3.Do(ctx, ex, f)
			}
		}
	}
	measure := func() (blocks int, references [3]int64) {
		_, err := cpy3.Do(ctx, ex, func(*python3.PyObject) error {
			sys := python3.PyImport_ImportModule("sys")
			defer sys.DecRef()
			n := sys.CallMethodArgs("getallocatedblocks")
			defer n.DecRef()
			blocks = python3.PyLong_AsLong(n)
			main := python3.PyImport_AddModule("__main__") // borrowed
			for i, v := range []*python3.PyObject{main, python3.PySys_GetObject("modules"), python3.PySys_GetObject("path")} {
				r := sys.CallMethodArgs("getrefcount", v)
				references[i] = python3.PyLong_AsLongLong(r)
				r.DecRef()
			}
			return nil
		})
		require.NoError(t, err)
		return blocks, references
	}
	all(300) // until free lists and caches are as large as they get
	blocks, references := measure()
	least := int(^uint(0) >> 1)
	for range 3 { // a leak grows each time; a cache that happened to grow once does not
		all(500)
		more, after := measure()
		assert.Equal(t, references, after)
		least = min(least, more-blocks)
		blocks = more
	}
	assert.Less(t, least, 250, "blocks that 500 calls of each kind have left")
}
