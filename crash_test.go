package pyexec_test

import (
	"context"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

// libc is how a snippet gets around what pyexec refuses.
const libc = "import ctypes, os; libc = ctypes.CDLL(None)\n"

func TestCrash(t *testing.T) {
	ex := openProcess(t, pyexec.Config{})
	for name, c := range map[string]struct {
		code   string
		signal syscall.Signal
		exit   int
		reason string
		line   int // of the innermost frame; 0: Python could not tell
	}{
		"segfault":                {code: "import faulthandler\ndef f():\n    faulthandler._sigsegv()\nf()", signal: syscall.SIGSEGV, line: 4},
		"null pointer":            {code: libc + "ctypes.string_at(0)", signal: syscall.SIGSEGV, line: 3},
		"stack overflow in C":     {code: "import faulthandler\nfaulthandler._stack_overflow()", signal: syscall.SIGSEGV, line: 3},
		"floating point":          {code: "import faulthandler\nfaulthandler._sigfpe()", signal: syscall.SIGFPE, line: 3},
		"abort":                   {code: "import os\nos.abort()", signal: syscall.SIGABRT, line: 3},
		"kills itself":            {code: "import os\nos.kill(os.getpid(), 9)", signal: syscall.SIGKILL},
		"kills its group":         {code: "import os\nos.kill(0, 9)", signal: syscall.SIGKILL},
		"kills its group by name": {code: "import os\nos.killpg(os.getpgrp(), 9)", signal: syscall.SIGKILL},
		"terminates itself":       {code: "import signal\nsignal.raise_signal(15)", signal: syscall.SIGTERM},
		"signals its thread":      {code: "import signal, threading\nsignal.pthread_kill(threading.get_ident(), 9)", signal: syscall.SIGKILL},
		"signals its pidfd":       {code: "import os, signal\nsignal.pidfd_send_signal(os.pidfd_open(os.getpid()), 9)", signal: syscall.SIGKILL},
		"stops itself":            {code: "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", signal: syscall.SIGKILL, reason: "stopped by signal 19"},
		"second copy of a module": {code: "import sys; sys.modules.pop('posix'); import posix\nposix.abort()", signal: syscall.SIGABRT, line: 3},
		"exits in C":              {code: libc + "libc._exit(3)", exit: 3},
		"exits in C with 0":       {code: libc + "libc._exit(0)"},
		"closes everything":       {code: libc + "for i in range(3, 100): libc.close(i)", exit: 111, reason: "broke its connection"},
		"writes garbage":          {code: libc + "for i in range(3, 20): libc.write(i, b'x' * 1000, 1000)", signal: syscall.SIGKILL, reason: "no reply"},
		"writes a little garbage": {code: libc + "for i in range(3, 20): libc.write(i, b'x', 1)", signal: syscall.SIGKILL, reason: "no reply"},
		"replaces its connection": {code: libc + "n = os.open('/dev/null', os.O_RDWR)\nfor i in range(3, 20): libc.dup2(n, i)", exit: 111},
		"shuts its connection":    {code: libc + "for i in range(3, 20): libc.shutdown(i, 2)", exit: 111, reason: "broke its connection"},
		"becomes another program": {code: libc + "libc.execl(b'/bin/sleep', b'sleep', b'1000', None)", signal: syscall.SIGKILL, reason: "closed its connection"},
		"overwrites memory":       {code: libc + "ctypes.memset(id(None), 0xff, 16)\nimport gc; gc.collect(); x = [None] * 10\ndel x\ndict(a=None)[None]", signal: syscall.SIGSEGV, line: -1},
	} {
		t.Run(name, func(t *testing.T) {
			before := ex.Stats()
			res, err := ex.Execute(ctx, "import sys; print('before'); sys.stderr.write('oh')\n"+c.code, nil)
			var crash *pyexec.CrashError
			require.ErrorAs(t, err, &crash)
			assert.Equal(t, c.signal, crash.Signal, err)
			if c.signal == 0 {
				assert.Equal(t, c.exit, crash.ExitCode, err)
			}
			assert.Contains(t, crash.Reason, c.reason)
			if c.line > 0 && assert.NotEmpty(t, crash.Frames, crash.Report) {
				i := len(crash.Frames) - 1
				for i > 0 && crash.Frames[i].File != "snippet.py" {
					i-- // in ctypes
				}
				f := crash.Frames[i]
				assert.Equal(t, "snippet.py", f.File)
				assert.Equal(t, c.line, f.Line, crash.Report)
				assert.NotEmpty(t, f.Source)
			}
			require.NotNil(t, res)
			assert.Equal(t, "before\n", res.Stdout, "output of a call that crashed is not lost")
			assert.Equal(t, "oh", res.Stderr)
			assert.Equal(t, int64(2), run(t, ex, "1 + 1").Value, "the next call finds another process")
			after := ex.Stats()
			assert.Equal(t, before.Crashes+1, after.Crashes)
			assert.Equal(t, before.RecyclesBy[pyexec.RecycleCrash]+1, after.RecyclesBy[pyexec.RecycleCrash])
		})
	}
}

// A crash is that call's alone.
func TestCrashesDoNotTouchOthers(t *testing.T) {
	ex := openProcess(t, pyexec.Config{Workers: 3})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 40 {
				n := g*1000 + i
				if i%4 == g%4 {
					_, err := ex.Execute(ctx, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)", nil)
					var crash *pyexec.CrashError
					assert.ErrorAs(t, err, &crash)
					continue
				}
				res, err := ex.Execute(ctx, "import time; time.sleep(0.001); n * 2", pyexec.Vars{"n": n})
				if assert.NoError(t, err) {
					assert.Equal(t, int64(2*n), res.Value)
				}
			}
		}()
	}
	wg.Wait()
	assert.Equal(t, uint64(80), ex.Stats().Crashes)
}

func TestDeadlineEndsAWorker(t *testing.T) {
	ex := openProcess(t, pyexec.Config{})
	for name, code := range map[string]string{
		"loop":           "while True: pass",
		"catches it all": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
		"loop in C":      "sum(range(10 ** 12))",
		"sleep":          "import time; time.sleep(1000)",
		"ignores":        "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\nwhile True: pass",
		"asked not to":   libc + "libc.prctl(1, 0)\nwhile True: pass",
	} {
		c, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		res, err := ex.Execute(c, "print('before')\n"+code, nil)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded, name)
		require.NotNil(t, res, name)
		assert.Equal(t, "before\n", res.Stdout, name)
		assert.Equal(t, int64(2), run(t, ex, "1 + 1").Value)
	}
	c, cancel := context.WithCancel(ctx)
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err := ex.Execute(c, "while True: pass", nil)
	require.ErrorIs(t, err, context.Canceled)
}
