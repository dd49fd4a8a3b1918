package pyexec_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

var tortureFlag = flag.Int("torture", 10_000, "good snippets that TestTorture runs among the hostile ones")

// ends are the kinds of errors that a hostile snippet may come to. Empty: none, it is only a nuisance.
type ends string

const (
	crashes ends = "*CrashError"
	hangs   ends = "context.DeadlineExceeded"
	exits   ends = "*ExitError"
	raises  ends = "*PythonError"
	starves ends = "ErrMemoryLimit"
	returns ends = ""
)

func endOf(err error) ends {
	var crash *pyexec.CrashError
	var exit *pyexec.ExitError
	var python *pyexec.PythonError
	switch {
	case err == nil:
		return returns
	case errors.Is(err, pyexec.ErrMemoryLimit):
		return starves
	case errors.As(err, &crash):
		return crashes
	case errors.Is(err, context.DeadlineExceeded):
		return hangs
	case errors.As(err, &exit):
		return exits
	case errors.As(err, &python):
		return raises
	}
	return ends(err.Error())
}

var hostile = []struct {
	name, code string
	want       ends
}{
	{"segfault", "import faulthandler; faulthandler._sigsegv()", crashes},
	{"null pointer", libc + "ctypes.string_at(0)", crashes},
	{"wild write", libc + "ctypes.memset(8, 1, 8)", crashes},
	{"wild call", libc + "ctypes.CFUNCTYPE(None)(16)()", crashes},
	{"abort", "import os; os.abort()", crashes},
	{"floating point", "import faulthandler; faulthandler._sigfpe()", crashes},
	{"C stack overflow", "import faulthandler; faulthandler._stack_overflow()", crashes},
	{"fatal error", "import faulthandler; faulthandler._fatal_error_c_thread()", crashes},
	{"double free", libc + "libc.malloc.restype = ctypes.c_void_p; libc.free.argtypes = [ctypes.c_void_p]\np = libc.malloc(2000); q = libc.malloc(2000)\nlibc.free(p); libc.free(p)\nos.abort()", crashes},
	{"kill 9", "import os; os.kill(os.getpid(), 9)", crashes},
	{"kill group", "import os; os.kill(0, 9)", crashes},
	{"kill everything", "import os; os.kill(-1, 9)", raises},
	{"kill the template", "import os; os.kill(os.getppid(), 9)", raises},
	{"stop the template", libc + "import os; libc.kill(os.getppid(), 19)", returns},
	{"stop", "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)", crashes},
	{"terminal stop", "import os, signal; os.kill(0, signal.SIGTSTP); os.abort()", crashes},
	{"SIGTERM", "import signal; signal.raise_signal(15)", crashes},
	{"SIGALRM", "import signal, time; signal.alarm(1); signal.setitimer(signal.ITIMER_REAL, 0.001); time.sleep(10)", crashes},
	{"exit", "import sys; sys.exit(3)", exits},
	{"os._exit", "import os; os._exit(3)", exits},
	{"exit in C", libc + "libc._exit(3)", crashes},
	{"exit handlers in C", libc + "libc.exit(0)", crashes},
	{"exec", "import os; os.execv('/bin/true', ['true'])", raises},
	{"exec in C", libc + "libc.execl(b'/bin/sleep', b'sleep', b'1000', None)", crashes},
	{"loop", "while True: pass", hangs},
	{"loop that catches", "while True:\n    try:\n        while True: pass\n    except BaseException: pass", hangs},
	{"loop in C", "sum(range(10 ** 12))", hangs},
	{"loop in re", "import re; re.match('(a+)+$', 'a' * 40 + 'b')", hangs},
	{"sleep", "import time; time.sleep(1000)", hangs},
	{"sleep in C", libc + "libc.sleep(1000)", hangs},
	{"deadlock", "import threading; l = threading.Lock(); l.acquire(); l.acquire()", hangs},
	{"ignores signals", "import signal\nfor n in (2, 10, 12, 15): signal.signal(n, signal.SIG_IGN)\nwhile True: pass", hangs},
	{"waits for a child", "import os, time\nif os.fork() == 0: time.sleep(1000)\nos.waitpid(-1, 0) if False else time.sleep(1000)", hangs},
	{"reads a pipe", "import os; r, w = os.pipe(); os.read(r, 1)", hangs},
	{"outlives its parent", libc + "libc.prctl(1, 0)\nwhile True: pass", hangs},
	{"no child to be", libc + "libc.prctl(36, 0)\nif os.fork() == 0:\n    if os.fork() == 0:\n        os.setsid()\n        while True: libc.sleep(1)\n    os._exit(0)\nlibc.usleep(20000)", returns},
	{"memory", "a = []\nwhile True: a.append(bytearray(1 << 20))", starves},
	{"memory at once", "bytearray(1 << 40)", starves},
	{"huge string", "'x' * (1 << 40)", starves},
	{"recursion", "def f(): f()\nf()", raises},
	{"fork bomb", "import os\nwhile True: os.fork()", raises},
	{"fork bomb in sessions", "import os\nwhile True:\n    if os.fork() == 0: os.setsid()", raises},
	{"shell in background", "import os; os.system('sleep 1000 &')", returns},
	{"daemon", "import os; os.system('setsid sleep 1000 >/dev/null 2>&1 &')", returns},
	{"threads", "import threading, time\nfor _ in range(5): threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()", returns},
	{"thread that writes", "import threading, sys\ndef f():\n    while True: sys.stdout.write('x')\nthreading.Thread(target=f, daemon=True).start()", returns},
	{"descriptors", "import os\nwhile True: os.open('/dev/null', 0)", raises},
	{"flood", "while True: print('x' * 1000)", hangs},
	{"flood at once", "print('x' * (100 << 20))", returns},
	{"descriptor 1", "import os\nfor _ in range(100): os.write(1, b'x' * 10000)", returns},
	{"closes all", libc + "for i in range(100): libc.close(i)", crashes},
	{"garbage", libc + "for i in range(3, 20): libc.write(i, b'x' * 1000, 1000)", crashes},
	{"a forged head", libc + "import struct\nfor i in range(3, 20): libc.write(i, struct.pack('=IIQQ', 0x70790002, 0, 1 << 40, 0), 24)", crashes},
	{"shuts down", libc + "for i in range(3, 20): libc.shutdown(i, 2)", crashes},
	{"full disk", "open('/dev/full', 'w').write('x' * 1000000)", raises},
	{"long file", "import tempfile\nwith tempfile.TemporaryFile() as f:\n    while True: f.write(b'x' * (1 << 20))", raises},
	{"shrinks its limits", "import resource; resource.setrlimit(resource.RLIMIT_AS, (1, 1))", raises},
	{"shrinks its limits in C", libc + "libc.setrlimit(7, (ctypes.c_ulong * 2)(3, 3))", returns},
	{"unloads everything", "import sys, builtins\nfor m in list(sys.modules): sys.modules.pop(m, None)\nvars(builtins).clear()", returns},
	{"lies about its size", "class L(list):\n    def __len__(self): return 1 << 60\nx = L([1])", returns},
}

// The torture test: hostile snippets of all kinds among good ones. Every good one is right, every hostile one ends in the
// error of its kind, and at the end nothing is left. go test -run TestTorture -torture 100000
func TestTorture(t *testing.T) {
	if sanitized {
		t.Skip("the address sanitizer itself takes terabytes of address space: under Limits.AddressSpace malloc fails at once")
	}
	descriptorsBefore := descriptors(t)
	ex := openProcess(t, pyexec.Config{
		Workers: 4, RecycleEvery: 100, MaxOutput: 1 << 16, Preload: []string{"json", "ctypes", "threading"},
		Limits: pyexec.Limits{AddressSpace: 1 << 30, FileSize: 4 << 20, OpenFiles: 64},
	})
	run(t, ex, "1")
	template := children(t, os.Getpid())
	require.Len(t, template, 1)
	rssBefore, templateBefore := rss(t), rssOf(t, template[0])

	const goroutines = 32
	var left, wrong atomic.Int64
	left.Store(int64(*tortureFlag))
	next := make(chan int, len(hostile)*2)
	for i := range cap(next) {
		next <- i % len(hostile)
	}
	close(next)
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; left.Add(-1) >= 0; i++ {
				if wrong.Load() < 20 && !good(t, ex, g*100_000+i) {
					wrong.Add(1)
				}
				if h, ok := <-next; ok {
					if !bad(t, ex, h) {
						wrong.Add(1)
					}
				}
			}
		}()
	}
	wg.Wait()
	for h := range next { // if there were too few good ones
		bad(t, ex, h)
	}

	s := ex.Stats()
	t.Logf("%d executions, %d crashes, recycles %v", s.Executions, s.Crashes, s.RecyclesBy)
	t.Logf("KiB, before and after: host %d, %d; template %d, %d", rssBefore, rss(t), templateBefore, rssOf(t, template[0]))
	assert.Equal(t, template, children(t, os.Getpid()), "the template has survived")
	assert.Eventually(t, func() bool { return len(tree(t, template[0])) <= 1+2*4 }, 20*time.Second, 10*time.Millisecond, "the template, workers and spares: %v", tree(t, template[0]))
	assert.Less(t, rssOf(t, template[0])-templateBefore, 1<<10, "KiB that the template grew")
	assert.Less(t, rss(t)-rssBefore, 32<<10, "KiB that the host grew")
	require.NoError(t, ex.Close())
	assert.Empty(t, children(t, os.Getpid()))
	assert.Eventually(t, func() bool { return descriptors(t) <= descriptorsBefore }, 10*time.Second, time.Millisecond)
}

func good(t *testing.T, ex *pyexec.Executor, n int) bool {
	res, err := ex.Execute(ctx, "import json, sys\nsys.path.append(str(n))\nprint(n)\nv = json.loads(json.dumps({'n': [n] * 3}))\nlen(sys.path)", pyexec.Vars{"n": n})
	return assert.NoError(t, err) && assert.Equal(t, fmt.Sprintln(n), res.Stdout) &&
		assert.Equal(t, map[string]any{"n": []any{int64(n), int64(n), int64(n)}}, res.Vars()["v"]) &&
		assert.Contains(t, texts(res.Changes), fmt.Sprintf("sys.path: +%d", n))
}

func bad(t *testing.T, ex *pyexec.Executor, i int) bool {
	h := hostile[i]
	limit := 60 * time.Second
	if h.want == hangs {
		limit = 300 * time.Millisecond
	}
	c, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	_, err := ex.Execute(c, h.code, nil)
	return assert.Equal(t, h.want, endOf(err), "%s: %v", h.name, err)
}
