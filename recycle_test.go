package pyexec_test

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

// recycled waits for the recycle that a call set going in the background.
func recycled(t *testing.T, ex *pyexec.Executor, n uint64) pyexec.Stats {
	t.Helper()
	require.Eventually(t, func() bool { return ex.Stats().Recycles >= n }, 10*time.Second, time.Millisecond)
	s := ex.Stats()
	require.Equal(t, n, s.Recycles)
	return s
}

func TestRecycleEvery(t *testing.T) {
	ex := open(t, pyexec.Config{RecycleEvery: 10})
	for range 35 {
		run(t, ex, "x = 1")
	}
	s := recycled(t, ex, 3)
	assert.Equal(t, map[pyexec.RecycleReason]uint64{pyexec.RecycleExecutions: 3}, s.RecyclesBy)
	assert.Equal(t, s.Recycles, s.Reinitialized+s.Purged+s.Replaced)
	assert.Positive(t, s.LastRecycle)
	assert.GreaterOrEqual(t, s.LongestRecycle, s.LastRecycle)
	require.NoError(t, ex.Close())

	ex = open(t, pyexec.Config{RecycleEvery: 1})
	for i := range 20 {
		assert.Equal(t, int64(i), run(t, ex, fmt.Sprint(i)).Value)
	}
	recycled(t, ex, 20)
	require.NoError(t, ex.Close())

	ex = open(t, pyexec.Config{RecycleEvery: pyexec.RecycleNever})
	for range 1100 {
		run(t, ex, "x = 1")
	}
	assert.Zero(t, ex.Stats().Recycles)
	require.NoError(t, ex.Close())

	ex = open(t, pyexec.Config{})
	for range 1001 {
		run(t, ex, "x = 1")
	}
	recycled(t, ex, 1)
}

func TestRecycleOnRequest(t *testing.T) {
	ex := open(t, pyexec.Config{})
	run(t, ex, "import sys; sys.planted = 1")
	require.NoError(t, ex.Recycle(ctx))
	s := ex.Stats()
	assert.Equal(t, uint64(1), s.RecyclesBy[pyexec.RecycleRequest])
	if s.Reinitialized+s.Replaced == 1 {
		assert.Equal(t, false, run(t, ex, "import sys; hasattr(sys, 'planted')").Value)
	}
}

func TestRecycleByAge(t *testing.T) {
	ex := open(t, pyexec.Config{RecycleAfter: time.Millisecond})
	require.Eventually(t, func() bool { return ex.Stats().RecyclesBy[pyexec.RecycleAge] >= 3 }, 10*time.Second, time.Millisecond)
	run(t, ex, "x = 1")
}

// What re-initialising was measured to break, on one version or another, must go on working over recycles.
func TestRecycleSurvives(t *testing.T) {
	for name, code := range map[string]string{
		"datetime":  "import datetime\nok = datetime.datetime.strptime('2024-01-02', '%Y-%m-%d').year == 2024",
		"decimal":   "import decimal, numbers\nok = str(decimal.Decimal('1.1') + 1) == '2.1' and isinstance(decimal.Decimal(1), numbers.Number)",
		"asyncio":   "import asyncio\nasync def f(): return 1\nok = asyncio.run(f()) == 1",
		"ctypes":    "import ctypes\nok = ctypes.CDLL(None).abs(-3) == 3",
		"sqlite3":   "import sqlite3\nok = sqlite3.connect(':memory:').execute('select 1').fetchone() == (1,)",
		"ssl":       "import ssl\nok = bool(ssl.create_default_context())",
		"zoneinfo":  "import zoneinfo\nok = zoneinfo.ZoneInfo is not None",
		"threading": "import threading\nr = []\nt = threading.Thread(target=lambda: r.append(1))\nt.start()\nt.join()\nok = r == [1]",
		"futures":   "import concurrent.futures as c\nwith c.ThreadPoolExecutor(2) as p: ok = list(p.map(abs, [-1, -2])) == [1, 2]",
		"logging":   "import logging\nlogging.getLogger('x').warning('w')\nok = True",
		"names":     "ok = '\\xff'.encode('ascii', 'namereplace') + eval(r\"'\\N{DIGIT ONE}'\").encode() == b'\\\\N{LATIN SMALL LETTER Y WITH DIAERESIS}1'",
		"many": "import json, re, datetime, decimal, asyncio, threading, random, hashlib, pickle, csv, uuid, struct, zlib\n" +
			"ok = json.loads(json.dumps([1])) == [1] and bool(re.match('a+', 'aa'))",
	} {
		t.Run(name, func(t *testing.T) {
			ex := open(t, pyexec.Config{})
			for range 6 {
				for range 2 {
					assert.Equal(t, true, run(t, ex, code).Vars()["ok"])
				}
				require.NoError(t, ex.Recycle(ctx))
			}
		})
	}
}

// numpy cannot be imported a second time in a process (a segfault).
func TestRecycleSurvivesNumpy(t *testing.T) {
	needsInstalled(t, "numpy")
	ex := open(t, pyexec.Config{})
	use := "import numpy; int(numpy.arange(3).sum())"
	run(t, ex, "import numpy")
	for range 10 {
		assert.Equal(t, int64(3), run(t, ex, use).Value)
		require.NoError(t, ex.Recycle(ctx))
	}
	if level == pyexec.Process { // there it is another process's first time
		assert.Equal(t, uint64(10), ex.Stats().Replaced)
		return
	}
	assert.Equal(t, uint64(10), ex.Stats().Purged, "and Stats says that it was no full re-initialisation")
	require.NoError(t, ex.Close())

	ex = open(t, pyexec.Config{}) // nor does a new Executor import it again
	assert.Equal(t, int64(3), run(t, ex, use).Value)
	run(t, ex, "import sys\nfor name in [n for n in sys.modules if n.startswith('numpy')]: del sys.modules[name]")
	require.NoError(t, ex.Recycle(ctx), "hiding it does not fool the recycle")
	assert.Zero(t, ex.Stats().Reinitialized)
}

// Threads and exit handlers that would hang or crash a finalisation.
func TestRecycleSurvivesWhatIsLeftBehind(t *testing.T) {
	for name, code := range map[string]string{
		"daemon thread asleep":      "import threading, time\nthreading.Thread(target=time.sleep, args=(0.05,), daemon=True).start()",
		"daemon thread in a loop":   "import threading, time\ndef f():\n    end = time.monotonic() + 0.1\n    while time.monotonic() < end: pass\nthreading.Thread(target=f, daemon=True).start()",
		"thread that waits":         "import threading, time\nthreading.Thread(target=time.sleep, args=(0.05,)).start()",
		"low-level thread":          "import _thread, time\n_thread.start_new_thread(time.sleep, (0.05,))",
		"exit handler that exits":   "import atexit, os\natexit.register(os._exit, 7)",
		"exit handler that loops":   "import atexit\ndef f():\n    while True: pass\natexit.register(f)",
		"thread at the very end":    "import sys, _thread, time\ndef t(sleep=time.sleep): sleep(0.3)\nclass D:\n    def __del__(self, s=_thread.start_new_thread, t=t):\n        for _ in range(20): s(t, ())\nsys.modules['leftover'] = D()",
		"joinable at the very end":  "import sys, _thread, time\ndef t(sleep=time.sleep): sleep(0.3)\nclass D:\n    def __del__(self, s=getattr(_thread, 'start_joinable_thread', lambda t, s=_thread.start_new_thread: s(t, ())), t=t):\n        for _ in range(20): s(t)\nsys.modules['leftover'] = D()",
		"replaced functions":        "import atexit, threading, time\natexit._clear = lambda: None\nthreading._shutdown = lambda: time.sleep(1000)\natexit.register(lambda s=time.sleep: s(1000))",
		"finalizer at the very end": "import sys\nclass F:\n    def __del__(self): print(1 / 0)\nsys.modules['leftover'] = F()",
	} {
		t.Run(name, func(t *testing.T) {
			ex := open(t, pyexec.Config{})
			for range 3 {
				run(t, ex, code)
				require.NoError(t, ex.Recycle(ctx))
				assert.Equal(t, int64(2), run(t, ex, "1 + 1").Value)
			}
		})
	}
}

// A thread that a snippet left behind writes while no call runs, or into another's: it must not crash either.
func TestThreadsThatGoOnWriting(t *testing.T) {
	ex := open(t, pyexec.Config{})
	run(t, ex, "import threading, time, sys\ndef f():\n    end = time.monotonic() + 0.3\n    while time.monotonic() < end: sys.stdout.write('x' * 1000)\nfor _ in range(3): threading.Thread(target=f).start()")
	for range 200 {
		run(t, ex, "y = 1")
	}
}

func TestRecycleHidesNothingFromWaitingCalls(t *testing.T) {
	ex := open(t, pyexec.Config{RecycleEvery: 1})
	for range 10 {
		run(t, ex, "x = 1")
		c, cancel := context.WithTimeout(ctx, 10*time.Second)
		_, err := ex.Execute(c, "y = 2", nil) // waits for the recycle in the background
		cancel()
		require.NoError(t, err)
	}
}

// rss is the resident memory of the process, in KiB.
func rss(t testing.TB) int {
	t.Helper()
	debug.FreeOSMemory() // what earlier tests have left in Go's heap is not the question
	return rssOf(t, os.Getpid())
}

func rssOf(t testing.TB, pid int) int {
	t.Helper()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	require.NoError(t, err)
	for _, line := range strings.Split(string(b), "\n") {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.Atoi(strings.Fields(value)[0])
			require.NoError(t, err)
			return n
		}
	}
	require.Fail(t, "no VmRSS")
	return 0
}

// A short form of the soak (go run ./internal/soak): a leak of 1 KB a call, or 200 KB a recycle, would show.
func TestMemoryStaysFlat(t *testing.T) {
	if sanitized {
		t.Skip("the address sanitizer keeps freed memory back to see its use: what the process holds says nothing")
	}
	ex := open(t, pyexec.Config{RecycleEvery: 200})
	code := `import json, re, datetime, sys
class C:
    def method(self): return self
def f(n): return json.dumps({"n": n})
c = C()
c.me = c
sys.path.append(f(n))
m = re.sub("a+", "b", "aaa" * 10)
if n % 5 == 0:
    raise ValueError(c)
`
	cycle := func() {
		for i := range 2000 {
			_, _ = ex.Execute(ctx, code, pyexec.Vars{"n": i})
		}
	}
	cycle()
	cycle()
	before := rss(t)
	for range 3 {
		cycle()
	}
	assert.Less(t, rss(t)-before, 4096, "KiB grown over 6000 calls and 30 recycles")
}
