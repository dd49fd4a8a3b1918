package pyexec_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

// Ways not to stop. Each is stopped within the grace, and the interpreter serves on.
var endless = map[string]string{
	"loop":                       "while True: pass",
	"loop that counts":           "n = 0\nwhile True: n += 1",
	"loop in a function":         "def f():\n    while True: pass\nf()",
	"for over an iterator":       "import itertools\nfor _ in itertools.repeat(1): pass",
	"comprehension":              "import itertools\n[None for _ in itertools.repeat(1) if False]",
	"generator that gets more":   "def g():\n    while True: yield 1\nsum(g())",
	"recursive calls":            "def f(n): return 1 if n < 2 else f(n - 1) + f(n - 2)\nf(200)",
	"catches all":                "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
	"catches all, one try":       "def f():\n    try:\n        while True: pass\n    except BaseException:\n        f()\nwhile True: f()",
	"finally goes on":            "def f():\n    while True:\n        try:\n            while True: pass\n        finally: continue\nf()",
	"finally loops":              "try:\n    while True: pass\nfinally:\n    while True: pass",
	"nested finally":             "def f():\n    while True:\n        try:\n            try:\n                while True: pass\n            finally:\n                while True: pass\n        except BaseException: continue\nf()",
	"with suppress":              "import contextlib\nwhile True:\n    with contextlib.suppress(BaseException):\n        while True: pass",
	"exit that loops":            "class C:\n    def __enter__(self): return self\n    def __exit__(self, *a):\n        while True: pass\nwith C():\n    while True: pass",
	"generator that fights back": "def g():\n    while True:\n        try:\n            yield 1\n        except BaseException: pass\n        while True:\n            try:\n                while True: pass\n            except BaseException: pass\nlist(g())",
	"untraces itself":            "import sys\nwhile True:\n    try:\n        while True: pass\n    except BaseException: sys.settrace(None)",
	"no trace events in frame":   "import sys\nsys._getframe().f_trace_lines = False\nwhile True:\n    try:\n        while True: pass\n    except BaseException: sys._getframe().f_trace_lines = False",
	"no lines in code":           "def f():\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass\nf.__code__ = f.__code__.replace(co_linetable=b'')\nf()",
	"in a trace function":        "import sys\ndef t(*a):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass\nsys.settrace(t)\ndef g(): pass\ng()",
	"in a profile function":      "import sys\ndef t(*a):\n    while True:\n        try:\n            while True: pass\n        except BaseException: pass\nsys.setprofile(t)\ndef g(): pass\ng()",
	"raises other exceptions":    "def f():\n    while True:\n        try:\n            while True: pass\n        except BaseException as e:\n            try: raise ValueError from e\n            except BaseException: pass\nf()",
	"sleep":                      "import time\ntime.sleep(1000)",
	"sleep caught":               "import time\nwhile True:\n    try: time.sleep(1000)\n    except BaseException: pass",
	"lock":                       "import threading\nl = threading.Lock()\nl.acquire()\nl.acquire()",
	"lock in with":               "import threading\nl = threading.Lock()\nl.acquire()\nwith l: pass",
	"event":                      "import threading\nthreading.Event().wait()",
	"queue":                      "import queue\nqueue.Queue().get()",
	"accept":                     "import socket\ns = socket.socket()\ns.bind(('127.0.0.1', 0))\ns.listen()\ns.accept()",
	"recv":                       "import socket\na, b = socket.socketpair()\na.recv(1)",
	"select":                     "import select\nselect.select([], [], [])",
	"poll":                       "import select\nselect.poll().poll()",
	"pipe":                       "import os\nr, w = os.pipe()\nos.read(r, 1)",
	"flock":                      "import fcntl, tempfile\na = tempfile.NamedTemporaryFile()\nb = open(a.name)\nfcntl.flock(a, fcntl.LOCK_EX)\nfcntl.flock(b, fcntl.LOCK_EX)",
	"child process":              "import subprocess\nsubprocess.run(['sleep', '1000'])",
	"asyncio":                    "import asyncio\nasyncio.run(asyncio.sleep(1000))",
	"asyncio that spins":         "import asyncio\nasync def f():\n    while True: await asyncio.sleep(0)\nasyncio.run(f())",
	"joins a thread":             "import threading, time\ndef f():\n    while True: time.sleep(0.001)\nt = threading.Thread(target=f)\nt.start()\nt.join()",
	"executor of futures":        "import concurrent.futures, time\ndef f():\n    while True: time.sleep(0.001)\nwith concurrent.futures.ThreadPoolExecutor(2) as p: p.submit(f).result()",
	"blocks signals":             "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, signal.NSIG))\ntime.sleep(1000)",
	"waits for a signal":         "import signal\nsignal.sigwait(range(34, 65))\nsignal.pause()",
	"regular expression":         "import re\nre.match('(a+)+$', 'a' * 50 + 'b')",
	"big power":                  "10 ** 10 ** 8",
	"big product":                "x = (1 << 400000000) - 1\nx * x",
	"sum of a range":             "sum(range(10 ** 12))",
	"sum of a range, caught":     "while True:\n    try: sum(range(10 ** 12))\n    except BaseException: pass",
	"max of a range":             "max(range(10 ** 12))",
	"in a range of floats":       "import itertools\n0.5 in itertools.count(1)",
	"consumes a count":           "import collections, itertools\ncollections.deque(itertools.count(10 ** 10), 0)",
	"product":                    "import itertools\nfor _ in itertools.product(range(1000), repeat=4): pass",
	"sort with a key":            "def key(x):\n    while True: pass\nsorted([1, 2], key=key)",
	"comparison":                 "class C:\n    def __eq__(self, o):\n        while True: pass\n    def __hash__(self): return 1\n{C(): 1, C(): 2}",
	"finalizer":                  "class C:\n    def __del__(self):\n        while True: pass\nC()",
	"finalizer that fights back": "class C:\n    def __del__(self):\n        while True:\n            try:\n                while True: pass\n            except BaseException: pass\nC()\nwhile True: pass",
	"finalizer of garbage":       "class C:\n    def __del__(self):\n        while True: pass\nc = C()\nc.c = c\ndel c",
	"finalizers without end":     "class C:\n    def __del__(self):\n        import sys\n        sys.path.append(C())\nimport sys\nsys.path.append(C())\nwhile True: pass",
	"finalizer in the reset":     "import sys\nclass C:\n    def __del__(self):\n        while True: pass\nsys.path.append(C())",
	"callback of the collector":  "import gc\ndef f(phase, info):\n    while True: pass\ngc.callbacks.append(f)\ngc.collect()",
	"weak reference's callback":  "import weakref\nclass C: pass\nc = C()\ndef f(r):\n    while True: pass\nr = weakref.ref(c, f)\ndel c",
	"str of what is raised":      "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E",
	"str of what stops it":       "class E(BaseException):\n    def __str__(self):\n        while True:\n            try:\n                while True: pass\n            except BaseException: pass\ntry:\n    while True: pass\nexcept BaseException as e: raise E from e",
	"excepthook of unraisables":  "import sys\ndef hook(u):\n    while True: pass\nsys.unraisablehook = hook\nclass C:\n    def __del__(self): 1 / 0\nC()",
	"metaclass":                  "class M(type):\n    def __instancecheck__(c, o):\n        while True: pass\nclass C(metaclass=M): pass\nisinstance(1, C)",
	"import":                     "import sys\nclass F:\n    def find_spec(self, *a):\n        while True: pass\nsys.meta_path.insert(0, F())\nimport nothing",
	"exec of source":             "while True: exec('x = 1')",
	"compiles for ever":          "s = 'x = (' + '+'.join(['a'] * 2000) + ')\\n'\nwhile True: compile(s * 200, 'c', 'exec')",
	"prints for ever":            "while True: print('x' * 1000)",
	"grows a string for ever":    "s = ''\nwhile True: s = s[:1000] + 'x'",
	"logging":                    "import logging\nwhile True: logging.getLogger().warning('x')",
}

func TestEndless(t *testing.T) {
	ex := open(t, pyexec.Config{Grace: 3 * time.Second})
	for name, code := range endless {
		t.Run(name, func(t *testing.T) {
			var res *pyexec.Result
			var err error
			for timeout := 30 * time.Millisecond; ; timeout *= 2 { // on a busy machine it may not have begun before its end
				res, err = ex.Run(ctx, pyexec.Snippet{Code: "print('begun')\n" + code, Timeout: timeout})
				if res == nil || strings.Contains(res.Stdout, "begun\n") || timeout > time.Minute {
					break
				}
			}
			var stopped *pyexec.StoppedError
			require.ErrorAs(t, err, &stopped)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotNil(t, res)
			assert.False(t, stopped.Stuck)
			assert.Contains(t, res.Stdout, "begun\n")
			require.Equal(t, int64(2), run(t, ex, "1 + 1").Value)
		})
	}
	s := ex.Stats()
	assert.Zero(t, s.Stuck)
	assert.GreaterOrEqual(t, s.Timeouts, uint64(len(endless)))
	assert.GreaterOrEqual(t, s.LongestCall, 30*time.Millisecond)
}

func TestStoppedErrorSaysWhere(t *testing.T) {
	ex := open(t, pyexec.Config{})
	_, err := ex.Run(ctx, pyexec.Snippet{Name: "rule.py", Code: "def wait():\n    while True:\n        pass\n\nwait()", Timeout: 20 * time.Millisecond})
	var stopped *pyexec.StoppedError
	require.ErrorAs(t, err, &stopped)
	require.Len(t, stopped.Frames, 2)
	assert.Equal(t, "wait()", stopped.Frames[0].Source)
	assert.Equal(t, "wait", stopped.Frames[1].Function)
	assert.Nil(t, stopped.Python)
	assert.Regexp(t, `deadline exceeded \(rule.py:[23], in wait\)`, err.Error())
	assert.Zero(t, ex.Stats().PythonErrors)

	res, err := ex.Run(ctx, pyexec.Snippet{Code: "import time\ntry:\n    time.sleep(1000)\nfinally:\n    print('cleaned up')\n    1 / 0", Timeout: 20 * time.Millisecond})
	require.ErrorAs(t, err, &stopped)
	assert.Equal(t, "cleaned up\n", res.Stdout, "finally blocks have their time")
	assert.Equal(t, "ZeroDivisionError", stopped.Python.Type)
	require.ErrorIs(t, err, pyexec.ErrType("ArithmeticError"))

	_, err = ex.Run(ctx, pyexec.Snippet{Code: "x = 1", Timeout: -1})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = ex.Run(ctx, pyexec.Snippet{Code: "x = 1", Timeout: time.Hour})
	require.NoError(t, err)
}

// The longest Timeout there is is none that has passed.
func TestLongTimeout(t *testing.T) {
	ex := open(t, pyexec.Config{RecycleAfter: math.MaxInt64, Grace: math.MaxInt64})
	res, err := ex.Run(ctx, pyexec.Snippet{Code: "import time; time.sleep(0.05)\nx = f(1)", Timeout: math.MaxInt64, Functions: pyexec.Functions{
		"f": func(ctx context.Context, x int) (int, error) { return x + 1, ctx.Err() },
	}})
	require.NoError(t, err)
	assert.Equal(t, int64(2), res.Vars()["x"])
	_, err = ex.Run(ctx, pyexec.Snippet{Code: "while True: pass", Timeout: 20 * time.Millisecond})
	require.ErrorIs(t, err, context.DeadlineExceeded, "nor one that keeps the next call's from being seen")
}

func TestCancel(t *testing.T) {
	ex := open(t, pyexec.Config{})
	why := errors.New("the client is gone")
	c, cancel := context.WithCancelCause(ctx)
	time.AfterFunc(20*time.Millisecond, func() { cancel(why) })
	_, err := ex.Execute(c, "while True: pass", nil)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, why)
	assert.Equal(t, uint64(1), ex.Stats().Cancellations)
	_, err = ex.Execute(c, "x = 1", nil)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, int64(2), run(t, ex, "1 + 1").Value)
}

// What a stopped call leaves is put back as after any other.
func TestStoppedCallsAreReset(t *testing.T) {
	ex := open(t, pyexec.Config{})
	for _, code := range []string{"while True: pass", "while True:\n    try:\n        while True: pass\n    except BaseException: pass"} {
		res, err := ex.Run(ctx, pyexec.Snippet{Code: "import sys\nsys.path.append('x')\nsys.planted = 1\n" + code, Timeout: 20 * time.Millisecond})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.NotEmpty(t, res.Changes)
		assert.Equal(t, []any{false, false, true, true}, run(t, ex, "import sys\n['x' in sys.path, hasattr(sys, 'planted'), sys.gettrace() is None, sys.getprofile() is None]").Value)
	}
}

// 32 goroutines call with deadlines and cancellations at any time: all return, the results that come are right, and no
// goroutine, thread or descriptor is left.
func TestHammerCancel(t *testing.T) {
	before := runtime.NumGoroutine()
	ex, err := pyexec.New(pyexec.Config{Grace: 20 * time.Second})
	require.NoError(t, err)
	run(t, ex, "import json, time")
	files := openFiles(t)
	codes := []string{
		"x = n + 1",
		"import json\nx = json.loads(json.dumps(n)) + 1",
		"x = sum(range(n, n + 2000)) - sum(range(n + 1, n + 2000)) + 1",
		"import time\ntime.sleep(0.0005)\nx = n + 1",
		"x = n\nfor i in range(5000): x += 1\nx -= 4999",
		"if n % 50 == 0:\n    while True: pass\nx = n + 1",
	}
	var wg sync.WaitGroup
	var right, stopped atomic.Int64
	for g := range 32 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			random := rand.New(rand.NewPCG(uint64(g), 5))
			for i := range 10_000 / 32 {
				c, cancel := context.WithCancel(ctx)
				s := pyexec.Snippet{Code: codes[random.IntN(len(codes))], Vars: pyexec.Vars{"n": g*1000 + i}}
				within := time.Duration(random.IntN(20_000)) * time.Microsecond
				switch random.IntN(3) {
				case 0:
					s.Timeout = within
				case 1:
					time.AfterFunc(within, cancel)
				case 2:
					cancel()
					c, cancel = context.WithTimeout(ctx, within)
				}
				res, err := ex.Run(c, s)
				cancel()
				var late *pyexec.StoppedError
				switch {
				case err == nil:
					assert.Equal(t, int64(g*1000+i+1), res.Vars()["x"])
					right.Add(1)
				case errors.As(err, &late):
					assert.False(t, late.Stuck)
					stopped.Add(1)
					fallthrough
				default:
					assert.True(t, errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled), "%v", err)
				}
			}
		}()
	}
	wg.Wait()
	t.Log("right:", right.Load(), "stopped:", stopped.Load())
	assert.Positive(t, right.Load())
	assert.Positive(t, stopped.Load())
	assert.Equal(t, int64(2), run(t, ex, "1 + 1").Value)
	assert.Equal(t, []any{int64(1), false}, run(t, ex, "import threading, sys\n[threading.active_count(), len(sys._current_frames()) > 50]").Value)
	assert.LessOrEqual(t, openFiles(t), files)
	require.NoError(t, ex.Close())
	assert.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+2 }, 10*time.Second, time.Millisecond) // itself two
}

func openFiles(t *testing.T) int { return entries(t, "/proc/self/fd") }

func entries(t *testing.T, folder string) int {
	t.Helper()
	all, err := os.ReadDir(folder)
	require.NoError(t, err)
	return len(all)
}

func TestMemoryLimit(t *testing.T) {
	ex := open(t, pyexec.Config{MemoryLimit: 64 << 20, MaxInput: 256 << 20, Grace: 10 * time.Second})
	for _, code := range []string{
		"'a' * 10**11",
		"[0] * 10**9",
		"bytearray(1 << 40)",
		"a = []\nwhile True: a.append('x' * 100 + str(len(a)))",
		"a = []\nwhile True: a.append(a[:])",
		"d = {}\nwhile True: d[len(d)] = len(d)",
		"s = set()\nwhile True: s.add(len(s))",
		"s = 'x'\nwhile True: s += s",
		"a = []\nwhile True: a.append(object())",
		"class C: pass\na = None\nwhile True:\n    b = C(); b.a = a; a = b",
		"1 << 10 ** 10",
		"def g(n): yield from g(n + 1)\na = []\nwhile True: a.append([1.5] * 10)",
		"try:\n    a = []\n    while True: a.append('x' * 1000)\nfinally:\n    b = []\n    while True: b.append(object())",
		"a = []\nwhile True:\n    try:\n        while True: a.append(object())\n    except BaseException: pass",
		"import io\nf = io.BytesIO()\nwhile True: f.write(b'x' * 100000)",
		"x = ' ' * (1 << 20)\neval('[' + x.join('1,' for _ in range(100)) + ']')",
		"exec('x = [' + '1+a,' * 400000 + ']', {'a': 1})",
	} {
		res, err := ex.Execute(ctx, code, nil)
		require.ErrorIs(t, err, pyexec.ErrMemoryLimit, code)
		require.NotNil(t, res, code)
		assert.Equal(t, int64(2), run(t, ex, "1 + 1").Value, code)
	}
	assert.Equal(t, uint64(17), ex.Stats().MemoryStops)
	res := run(t, ex, "try:\n    'a' * 10**11\nexcept MemoryError as e: x = str(type(e))\ny = len(b'x' * (32 << 20))")
	assert.Equal(t, "<class 'MemoryError'>", res.Vars()["x"], "a snippet may cope with it")
	for range 20 { // each call has all of it
		run(t, ex, "x = b'x' * (60 << 20)\ndel x")
	}
	_, err := ex.Execute(ctx, "1", pyexec.Vars{"a": strings.Repeat("x", 40<<20), "b": strings.Repeat("y", 40<<20)})
	require.ErrorIs(t, err, pyexec.ErrMemoryLimit)
	run(t, ex, "1")

	var bad *pyexec.ConfigError
	_, err = pyexec.New(pyexec.Config{MemoryLimit: 1000})
	require.ErrorAs(t, err, &bad)
	_, err = pyexec.New(pyexec.Config{Grace: -1})
	require.ErrorAs(t, err, &bad)
	_, err = pyexec.New(pyexec.Config{RecycleOnGrowth: -1})
	require.ErrorAs(t, err, &bad)
}

func TestRecycleOnGrowth(t *testing.T) {
	debug.FreeOSMemory() // or what follows is made of memory that the process has already
	ex := openAt(t, pyexec.Config{RecycleOnGrowth: 16 << 20, RecycleEvery: pyexec.RecycleNever})
	grown := make([]byte, 64<<20)
	for i := range grown {
		grown[i] = 1
	}
	for range 100 {
		run(t, ex, "x = 1")
	}
	s := recycled(t, ex, 1)
	assert.Equal(t, map[pyexec.RecycleReason]uint64{pyexec.RecycleGrowth: 1}, s.RecyclesBy)
	for range 200 {
		run(t, ex, "x = 1")
	}
	recycled(t, ex, 1) // what the recycle could not give back is no reason for another
	runtime.KeepAlive(grown)
}

// A thread of Go's has the stack that the system gives it; recursion must end before that does.
func TestRecursionOnAnyThread(t *testing.T) {
	ex := open(t, pyexec.Config{})
	codes := []string{
		"def f(): f()\nf()",
		"class A:\n    def __getattr__(self, n): return getattr(self, n)\nA().x",
		"class A:\n    def __repr__(self): return repr([self])\nrepr(A())",
		"class A:\n    def __eq__(self, o): return [self] == [o]\nA() == A()",
		"a = []\nfor _ in range(100000): a = [a]\nrepr(a)",
		"a = []\nfor _ in range(100000): a = [a]\nb = []\nfor _ in range(100000): b = [b]\na == b",
		"import json\na = []\nfor _ in range(100000): a = [a]\njson.dumps(a)",
		"import json\njson.loads('[' * 100000)",
		"import pickle\na = []\nfor _ in range(100000): a = [a]\npickle.dumps(a)",
		"import copy\na = []\nfor _ in range(100000): a = [a]\ncopy.deepcopy(a)",
		"f = lambda: 0\nimport functools\nfor _ in range(100000): f = functools.partial(lambda g: g(), f)\nf()",
		"compile('-' * 100000 + '1', 's', 'eval')",
		"def f(z=0): return sorted([1], key=f)\nf()",
		"class A:\n    def __lt__(s, o): return sorted([A(), A()])\nsorted([A(), A()])",
		"import threading\nerror = None\ndef f(z=0): return sorted([1], key=f)\ndef run():\n    global error\n    try: f()\n    except BaseException as e: error = e\nt = threading.Thread(target=run)\nt.start()\nt.join()\nraise error",
		"sorted([3, 1], key=lambda x: sorted([x, x], key=lambda y: f()) or 0) if (f := lambda: sorted([1, 2], key=lambda z: f())) else 0",
	}
	for _, limit := range []string{"", "import sys\nsys.setrecursionlimit(3000)\n"} {
		for _, code := range codes {
			for range 3 {
				done := make(chan error)
				go func() {
					runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
					_, err := ex.Execute(ctx, limit+code, nil)
					done <- err
				}()
				err := <-done
				require.True(t, errors.Is(err, pyexec.ErrType("RecursionError")) || errors.Is(err, pyexec.ErrType("MemoryError")), "%s%s: %v", limit, code, err)
			}
			require.Equal(t, int64(2), run(t, ex, "1 + 1").Value)
		}
	}
}

// Output, compiling and conversions are within the limits, too.
func TestBombs(t *testing.T) {
	ex := open(t, pyexec.Config{MaxOutput: 1000, Grace: 10 * time.Second})
	for name, code := range map[string]string{
		"output":        "while True: print('x' * 10000)",
		"output, bytes": "import sys\nwhile True: sys.stderr.buffer.write(b'x' * 10000)",
		"int to str":    "import sys\nsys.set_int_max_str_digits(0)\nstr(1 << 200000000)",
		"factorial":     "import math\nmath.factorial(3000000)",
		"format":        "for _ in iter(int, 1): f'{1.5:1000000.100000f}'",
		"fold":          "while True: compile('x = ' + '+'.join(['(1,2)*999'] * 1000), 's', 'exec')",
	} {
		res, err := ex.Run(ctx, pyexec.Snippet{Code: code, Timeout: 30 * time.Millisecond})
		require.ErrorIs(t, err, context.DeadlineExceeded, name)
		assert.LessOrEqual(t, len(res.Stdout)+len(res.Stderr), 2000, name)
		assert.Equal(t, int64(2), run(t, ex, "1 + 1").Value, name)
	}
}

// deaf is a snippet that is in C code which neither looks for signals nor allocates, from begun until end is called.
type deaf struct {
	vars pyexec.Vars
	path string
}

const deafCode = `import collections, functools, mmap, operator, os
m = mmap.mmap(os.open(path, os.O_RDWR), 2)
def wait(n):
    m[1] = 1
    collections.deque(iter(functools.partial(operator.getitem, m, 0), n), 0)
`

func newDeaf(t *testing.T, ex *pyexec.Executor) deaf {
	d := deaf{path: filepath.Join(t.TempDir(), "end")}
	d.vars = pyexec.Vars{"path": d.path}
	require.NoError(t, os.WriteFile(d.path, []byte{0, 0}, 0o600))
	t.Cleanup(d.end)
	run(t, ex, "import collections, functools, mmap, operator, os")
	return d
}

func (d deaf) begun() bool {
	b, err := os.ReadFile(d.path)
	return err == nil && b[1] == 1
}

func (d deaf) end() {
	f, err := os.OpenFile(d.path, os.O_WRONLY, 0)
	if err == nil {
		_, err = f.Write([]byte{1})
	}
	if err != nil || f.Close() != nil {
		panic(err) // the snippet would never end
	}
}

// whenBegun is a context that is cancelled once the snippet is in C.
func (d deaf) whenBegun() context.Context {
	c, cancel := context.WithCancel(ctx)
	go func() {
		for !d.begun() {
			runtime.Gosched()
		}
		cancel()
	}()
	return c
}
