package pyexec_test

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

// What would end or double the host raises instead. In a worker process what harms only that may happen.
func TestHostIsGuarded(t *testing.T) {
	ex := open(t, pyexec.Config{})
	for code, onlyHost := range map[string]bool{
		"import os; os.fork()":                                                       true,
		"import os; os.forkpty()":                                                    true,
		"import os; os.execv('/bin/true', ['true'])":                                 false,
		"import os; os.kill(os.getpid(), 9)":                                         true,
		"import os\nfor t in os.listdir('/proc/self/task'): os.kill(int(t), 9)":      true,
		"import os; os.kill(0, 9)":                                                   true,
		"import os; os.kill(-1, 9)":                                                  false,
		"import os; os.killpg(os.getpgrp(), 9)":                                      true,
		"import os; os.abort()":                                                      true,
		"import signal; signal.raise_signal(15)":                                     true,
		"import faulthandler; faulthandler._sigsegv()":                               true,
		"import faulthandler; faulthandler.enable()":                                 false,
		"import signal, threading; signal.pthread_kill(threading.get_ident(), 9)":    true,
		"import signal, os; signal.pidfd_send_signal(os.pidfd_open(os.getpid()), 9)": true,
		"import sys; sys.modules.pop('posix'); import posix; posix.abort()":          true,
		"import faulthandler; faulthandler.dump_traceback_later(0.2, exit=True)":     false,
		"import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 1))":           false,
	} {
		if onlyHost && level == pyexec.Process {
			continue // TestCrash and TestForks
		}
		_, err := ex.Execute(ctx, code, nil)
		assert.ErrorContains(t, err, "PermissionError", code)
	}
	_, err := ex.Execute(ctx, "import sys\nsys.setrecursionlimit(10**8)\nclass A:\n    def __getattr__(self, n): return getattr(self, n)\nA().x", nil)
	assert.ErrorContains(t, err, "ValueError")
	res := run(t, ex, "import subprocess, os\nout = subprocess.run(['echo', 'child'], capture_output=True).stdout\nos.kill(os.getpid(), 0)")
	assert.Equal(t, []byte("child\n"), res.Vars()["out"])
}

func TestHostileInput(t *testing.T) {
	ex := open(t, pyexec.Config{})
	deep := any(1)
	for range 50_000 {
		deep = []any{deep}
	}
	loop := map[string]any{}
	loop["self"] = loop
	type node struct{ Next *node }
	ring := &node{}
	ring.Next = ring
	var python *pyexec.PythonError
	var input *pyexec.InputError

	for name, c := range map[string]struct {
		code string
		vars pyexec.Vars
		as   any
		is   error
	}{
		"NUL in source":             {code: "x = '\x00'", as: &python},
		"invalid UTF-8 in source":   {code: "x = '\xff'", as: &python},
		"surrogate in source":       {code: "x = '\xed\xa0\x80'", as: &python},
		"10 MB of source":           {code: strings.Repeat("x = 1\n", 10<<20/6), is: pyexec.ErrTooLarge},
		"nested parentheses":        {code: strings.Repeat("(", 100_000), as: &python},
		"closed parentheses":        {code: strings.Repeat("(", 100_000) + strings.Repeat(")", 100_000), as: &python},
		"nested unary operators":    {code: strings.Repeat("-", 100_000) + "1", as: &python},
		"deep Go list":              {code: "1", vars: pyexec.Vars{"deep": deep}, as: &input},
		"Go map in itself":          {code: "1", vars: pyexec.Vars{"loop": loop}, as: &input},
		"Go pointers in a ring":     {code: "1", vars: pyexec.Vars{"ring": ring}, as: &input},
		"invalid UTF-8 in variable": {code: "1", vars: pyexec.Vars{"s": "\xff"}, as: &input},
		"invalid UTF-8 in name":     {code: "1", vars: pyexec.Vars{"\xff": 1}, as: &input},
		"a channel":                 {code: "1", vars: pyexec.Vars{"c": make(chan int)}, as: &input},
		"a list as a dict's key":    {code: "1", vars: pyexec.Vars{"d": pyexec.Dict{{Key: []any{}, Value: 1}}}, as: &input},
		"a dict in a set":           {code: "1", vars: pyexec.Vars{"s": pyexec.Set{map[string]any{}}}, as: &input},
		"a time that is too fine":   {code: "1", vars: pyexec.Vars{"t": time.Unix(0, 1)}, as: &input},
	} {
		_, err := ex.Execute(ctx, c.code, c.vars)
		if c.is != nil {
			require.ErrorIs(t, err, c.is, name)
		} else {
			require.ErrorAs(t, err, c.as, name)
		}
		require.Equal(t, int64(2), run(t, ex, "1 + 1").Value, "the call after: "+name)
	}

	res := run(t, ex, "a = []\nfor _ in range(50000): a = [a]\nb = []\nb.append(b)\nc = 'x' * (65 << 20)\nd = {'k': [b]}\ne = 10 ** 100000")
	reasons := map[string]string{}
	for _, s := range res.Skipped() {
		reasons[s.Name] = s.Reason
	}
	assert.Contains(t, reasons["a"], "nested too deep")
	assert.Contains(t, reasons["b"], "nested too deep")
	assert.Contains(t, reasons["c"], "limit")
	assert.Contains(t, reasons["d"], "nested too deep")
	assert.Equal(t, 100001, len(res.Vars()["e"].(*big.Int).String()))
	res = run(t, ex, "class Liar(list):\n    def __iter__(self): raise SystemExit\n    def __len__(self): return -1\n    def __getitem__(self, i): 1/0\nx = Liar([1, 2])\nclass D(dict):\n    def keys(self): 1/0\n    def items(self): 1/0\ny = D(a=1)")
	assert.Equal(t, []any{int64(1), int64(2)}, res.Vars()["x"])
	assert.Equal(t, map[string]any{"a": int64(1)}, res.Vars()["y"])
}

// Snippets that arrange for their code to run while the kernel works with what they made.
func TestHostileTiming(t *testing.T) {
	ex := open(t, pyexec.Config{})
	for name, code := range map[string]string{
		"callback while encoding":   "import gc\nx = [set() for _ in range(3000)]\ndef cb(p, i): x[:] = []; gc.callbacks.clear()\ngc.callbacks.append(cb)\ngc.set_threshold(1)",
		"callback in the next call": "import gc\ndef cb(p, i):\n    for o in gc.get_objects():\n        if type(o) is list and len(o) == 2000: o.clear()\ngc.callbacks.append(cb)\ngc.set_threshold(1)",
		"finalizer while encoding":  "import gc\ngc.disable()\nx = [set() for _ in range(3000)]\nclass F:\n    def __del__(self): x[:] = []\nf = F(); f.f = f; del f\ngc.set_threshold(1)\ngc.enable()",
		"str enables the collector": "import gc\nx = [set() for _ in range(3000)]\nclass E(Exception):\n    def __str__(self):\n        gc.enable(); gc.set_threshold(1); return 'e'\nraise E",
		"the source hook is kept":   "import io, builtins\nclass E(Exception):\n    def __str__(self):\n        builtins.leak = io.open; return 'x'\nraise E",
		"keys with an __eq__":       "import gc\nclass K:\n    def __hash__(self): return hash('__module__')\n    def __eq__(self, o): gc.collect(); return False\nX = type('X', (), {K(): 1})\nx = X()",
		"long traceback":            "raise ValueError('x' * 2000000)",
		"long type name":            "import sys\nsys.path.append(type('a' + 'é' * 150, (), {})())",
	} {
		res, err := ex.Execute(ctx, code, nil)
		require.NotNil(t, res, "%s: %v", name, err)
		many := make([]any, 2000)
		for i := range many {
			many[i] = []any{i}
		}
		res, err = ex.Execute(ctx, "n = len(many)\nsum(m[0] for m in many)", pyexec.Vars{"many": many})
		require.NoError(t, err, "after: "+name)
		assert.Equal(t, int64(1999000), res.Value)
		_, err = ex.Execute(ctx, "leak('snippet.py')", nil)
		assert.ErrorContains(t, err, "leak")
		_, err = ex.Run(ctx, pyexec.Snippet{Code: "1/0", Name: "a.py"})
		var py *pyexec.PythonError
		require.ErrorAs(t, err, &py)
		assert.Contains(t, py.Traceback(), `File "a.py", line 1`)
	}
}

// 64 goroutines call, recycle and close at once: every call ends in its own result or a typed error.
func TestHammer(t *testing.T) {
	for round := range 3 {
		ex, err := pyexec.New(at(pyexec.Config{RecycleEvery: 50, RecycleAfter: 3 * time.Millisecond}))
		require.NoError(t, err)
		var wg sync.WaitGroup
		for g := range 64 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := range 60 {
					hammer(t, ex, g, i)
				}
				if round > 0 && g%16 == 0 {
					assert.NoError(t, ex.Close())
				}
			}()
		}
		wg.Wait()
		require.NoError(t, ex.Close())
	}
}

func hammer(t *testing.T, ex *pyexec.Executor, g, i int) {
	n := g*1000 + i
	call := ctx
	if i%7 == 0 {
		c, cancel := context.WithTimeout(ctx, time.Duration(i)*100*time.Microsecond)
		defer cancel()
		call = c
	}
	var err error
	switch i % 10 {
	case 3:
		err = ex.Recycle(call)
	case 5:
		_, err = ex.Execute(call, "raise ValueError(n)", pyexec.Vars{"n": n})
		var py *pyexec.PythonError
		if errors.As(err, &py) {
			assert.Equal(t, fmt.Sprint(n), py.Message)
			return
		}
	default:
		var res *pyexec.Result
		res, err = ex.Execute(call, "import sys\nsys.path.append(str(n))\nprint(n)\nm = [n] * 3\nlen(sys.path)", pyexec.Vars{"n": n})
		if err == nil {
			assert.Equal(t, fmt.Sprintln(n), res.Stdout)
			assert.Equal(t, []any{int64(n), int64(n), int64(n)}, res.Vars()["m"])
			if assert.Len(t, res.Changes, 1) {
				assert.Equal(t, fmt.Sprintf("sys.path: +%d", n), res.Changes[0].String())
			}
		}
	}
	if err != nil && !errors.Is(err, pyexec.ErrClosed) && !errors.Is(err, context.DeadlineExceeded) {
		assert.NoError(t, err)
	}
}
