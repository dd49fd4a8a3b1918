package pyexec_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

// What follows is about worker processes, whatever level the other tests run against.

func openProcess(t *testing.T, c pyexec.Config) *pyexec.Executor {
	t.Helper()
	c.Isolation = pyexec.Process
	if c.Workers == 0 {
		c.Workers = 1
	}
	return openAt(t, c)
}

func exists(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func gone(t *testing.T, what string, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		require.NotZero(t, pid)
		assert.Eventually(t, func() bool { return !exists(pid) }, 10*time.Second, time.Millisecond, "%s: process %d is still there", what, pid)
	}
}

func TestForks(t *testing.T) {
	ex := openProcess(t, pyexec.Config{})
	res := run(t, ex, `import os
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    os.close(r); os.write(w, b"child"); os._exit(7)
os.close(w)
data = os.read(r, 100)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])`)
	assert.Equal(t, []byte("child"), res.Vars()["data"])
	assert.Equal(t, int64(7), res.Vars()["status"])
	assert.Empty(t, res.Tainted)

	res = run(t, ex, "import os\npid = os.fork()\nif pid: status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])")
	assert.Equal(t, int64(0), res.Vars()["status"], "a child ends where the snippet does, and answers no calls")
	res = run(t, ex, "import os\npid = os.fork()\nif pid == 0: os.execv('/bin/sh', ['sh', '-c', 'exit 5'])\nstatus = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])")
	assert.Equal(t, int64(5), res.Vars()["status"])
	res = run(t, ex, "import multiprocessing as m\nc = m.get_context('fork')\nq = c.SimpleQueue()\np = c.Process(target=q.put, args=(41,))\np.start()\nv = q.get()\np.join()")
	assert.Equal(t, int64(41), res.Vars()["v"])

	for name, code := range map[string]string{
		"sleeps":        "import os, time\npid = os.fork()\nif pid == 0: time.sleep(1000)",
		"other session": "import os, time\npid = os.fork()\nif pid == 0:\n    os.setsid(); time.sleep(1000)",
		"orphan": "import os, time\nr, w = os.pipe()\nif os.fork() == 0:\n    if os.fork() == 0:\n        os.setsid(); os.write(w, b'%d' % os.getpid()); time.sleep(1000)\n    os._exit(0)\n" +
			"pid = int(os.read(r, 20))",
		"program":    "import subprocess\np = subprocess.Popen(['sleep', '1000'])\npid = p.pid",
		"background": "import subprocess\npid = int(subprocess.run('sleep 1000 >/dev/null 2>&1 & echo $!', shell=True, capture_output=True).stdout)",
		"daemon":     "import subprocess\npid = int(subprocess.run('setsid sleep 1000 >/dev/null 2>&1 & echo $!', shell=True, capture_output=True).stdout)",
		"holds on":   libc + "import time\npid = libc.fork()\nif pid == 0:\n    while True: time.sleep(1)",
		"stopped":    "import os, signal\npid = os.fork()\nif pid == 0: os.kill(os.getpid(), signal.SIGSTOP)",
	} {
		res := run(t, ex, code)
		pid, _ := res.Vars()["pid"].(int64)
		gone(t, name, int(pid))
		assert.Equal(t, int64(2), run(t, ex, "1 + 1").Value)
	}

	// Crashes with children that hold the connection open.
	res, err := ex.Execute(ctx, "import os, time\npid = os.fork()\nif pid == 0: time.sleep(1000)\nprint(pid, flush=True)\nos.kill(os.getpid(), 9)", nil)
	var crash *pyexec.CrashError
	require.ErrorAs(t, err, &crash)
	pid, err := strconv.Atoi(strings.TrimSpace(res.Stdout))
	require.NoError(t, err)
	gone(t, "child of a crashed worker", pid)

	_, err = ex.Execute(ctx, "import os\nwhile True: os.fork()", nil)
	require.ErrorIs(t, err, pyexec.ErrType("PermissionError"), "a fork bomb fizzles out")
	_, err = ex.Execute(ctx, "import os\nwhile True:\n    if os.fork() == 0: os.setsid()", nil)
	require.ErrorIs(t, err, pyexec.ErrType("PermissionError"))
	assert.Equal(t, int64(2), run(t, ex, "1 + 1").Value)
	left := children(t, os.Getpid())
	assert.Eventually(t, func() bool { return len(tree(t, left[0])) <= 3 }, 10*time.Second, time.Millisecond, "the template, a worker, a spare")
}

// children are the processes whose parent is pid.
func children(t *testing.T, pid int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	require.NoError(t, err)
	var all []int
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // gone meanwhile
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		fields := strings.Fields(rest)
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) && fields[0] != "Z" {
			n, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			require.NoError(t, err)
			all = append(all, n)
		}
	}
	return all
}

// tree is pid and all that descend from it.
func tree(t *testing.T, pid int) []int {
	t.Helper()
	all := []int{pid}
	for _, c := range children(t, pid) {
		all = append(all, tree(t, c)...)
	}
	return all
}

func descriptors(t *testing.T) int {
	t.Helper()
	r, w, err := os.Pipe() // from the first pipe on, Go has two descriptors more for waiting
	require.NoError(t, err)
	require.NoError(t, errors.Join(r.Close(), w.Close()))
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return len(entries)
}

func TestNothingLeaksIntoAWorkerOrOut(t *testing.T) {
	before := descriptors(t)
	leak, err := syscall.Open("/dev/null", syscall.O_RDWR, 0) // inheritable, as C code opens
	require.NoError(t, err)
	ex := openProcess(t, pyexec.Config{Workers: 2})
	list := "import os\n{n: os.readlink('/proc/self/fd/' + n) for n in os.listdir('/proc/self/fd') if os.path.exists('/proc/self/fd/' + n)}"
	fds, ok := run(t, ex, list).Value.(map[string]any)
	require.True(t, ok)
	delete(fds, "0")
	delete(fds, "1")
	delete(fds, "2")
	assert.Len(t, fds, 2, "its connection and its memory: %v", fds)
	child := run(t, ex, "import subprocess\nsubprocess.run('ls /proc/self/fd | wc -l', shell=True, capture_output=True, text=True).stdout.strip()").Value
	assert.Equal(t, "4", child, "0, 1, 2 and ls's own")

	for range 50 {
		_, err := ex.Execute(ctx, "import os; os.kill(os.getpid(), 9)", nil)
		require.Error(t, err)
		run(t, ex, "1")
		require.NoError(t, ex.Recycle(ctx))
	}
	require.NoError(t, ex.Close())
	require.NoError(t, syscall.Close(leak))
	assert.Eventually(t, func() bool { return descriptors(t) <= before }, 10*time.Second, time.Millisecond)
	assert.Empty(t, children(t, os.Getpid()))
}

func TestTemplateIsRestarted(t *testing.T) {
	ex := openProcess(t, pyexec.Config{Workers: 2})
	for range 3 {
		run(t, ex, "1")
		templates := children(t, os.Getpid())
		require.Len(t, templates, 1)
		all := tree(t, templates[0])
		require.NoError(t, syscall.Kill(templates[0], syscall.SIGKILL))
		gone(t, "the template and its workers", all...)
		require.Eventually(t, func() bool { // what it had forked last may still be about to die, with a call
			now := children(t, os.Getpid())
			return len(now) == 1 && now[0] != templates[0]
		}, 10*time.Second, time.Millisecond)
		assert.Equal(t, int64(2), run(t, ex, "1 + 1").Value)
	}
	// in the midst of a call
	template := children(t, os.Getpid())[0]
	started := make(chan error)
	go func() {
		_, err := ex.Execute(ctx, "while True: pass", nil)
		started <- err
	}()
	for ex.Stats().Waiting == 0 && len(busy(t, template)) == 0 {
		time.Sleep(time.Millisecond)
	}
	require.NoError(t, syscall.Kill(template, syscall.SIGKILL))
	var crash *pyexec.CrashError
	require.ErrorAs(t, <-started, &crash)
	require.Eventually(t, func() bool { // the others of that template may still be about to die, with a call
		now := children(t, os.Getpid())
		return len(now) == 1 && now[0] != template
	}, 10*time.Second, time.Millisecond)
	assert.Equal(t, int64(2), run(t, ex, "1 + 1").Value)
}

// A template that a signal has stopped goes on; until then whoever waits for a process of it does so no longer than it may.
func TestTemplateThatStands(t *testing.T) {
	ex := openProcess(t, pyexec.Config{RecycleEvery: 1, Workers: 1})
	template := children(t, os.Getpid())[0]
	require.NoError(t, syscall.Kill(template, syscall.SIGSTOP))
	for ended := false; !ended; { // those that are forked already serve
		_, err := ex.Run(ctx, pyexec.Snippet{Code: "x = 1", Timeout: 20 * time.Millisecond})
		ended = err != nil
		if ended {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
	}
	run(t, ex, "x = 1")
	assert.Equal(t, template, children(t, os.Getpid())[0], "it goes on")
	assert.Zero(t, ex.Stats().Crashes)
}

// One that hangs, in what a preloaded module does before a fork, is replaced. That takes some seconds.
func TestTemplateThatHangs(t *testing.T) {
	folder := t.TempDir()
	flag := filepath.Join(folder, "flag")
	module := fmt.Sprintf(`
import os, time
def before():
    if os.path.exists(%[1]q):
        os.remove(%[1]q)
        while True: time.sleep(1)
os.register_at_fork(before=before)
`, flag)
	require.NoError(t, os.WriteFile(filepath.Join(folder, "hangs.py"), []byte(module), 0o600))
	ex := openProcess(t, pyexec.Config{RecycleEvery: 1, Workers: 1, Paths: []string{folder}, Preload: []string{"hangs"}})
	template := children(t, os.Getpid())[0]
	require.NoError(t, os.WriteFile(flag, nil, 0o600))
	for slices.Contains(children(t, os.Getpid()), template) {
		run(t, ex, "x = 1")
	}
	assert.NoFileExists(t, flag)
	run(t, ex, "x = 1")
}

// busy are the workers of a template that use the processor.
func busy(t *testing.T, template int) []int {
	t.Helper()
	var all []int
	for _, pid := range children(t, template) {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err == nil && strings.Contains(string(b), ") R ") {
			all = append(all, pid)
		}
	}
	return all
}

// A template that cannot be started is an error of New, with the reason.
func TestStartError(t *testing.T) {
	_, err := pyexec.New(pyexec.Config{Isolation: pyexec.Process, Preload: []string{"json", "no_such_module"}})
	var start *pyexec.StartError
	require.ErrorAs(t, err, &start)
	assert.Contains(t, start.Reason, "Config.Preload: importing no_such_module: No module named 'no_such_module'")
	assert.Empty(t, children(t, os.Getpid()))
}

func TestProcessPerSnippet(t *testing.T) {
	ex := openProcess(t, pyexec.Config{RecycleEvery: 1, Reset: pyexec.ResetNone, Preload: []string{"json", "decimal"}})
	seen := map[any]bool{}
	for i := range 50 {
		res := run(t, ex, "import os, sys, json\nsys.path.append('/x'); json.dumps = None; os.environ['X'] = 'y'\nos.getpid(), len(sys.path), len(os.environ), hasattr(sys, 'planted')")
		v, _ := res.Value.(pyexec.Tuple)
		require.Len(t, v, 4)
		assert.False(t, seen[v[0]], "a new process each time")
		seen[v[0]] = true
		if i > 0 {
			assert.True(t, seen[[2]any{v[1], v[2]}], "and all that was left is gone")
		}
		seen[[2]any{v[1], v[2]}] = true
		run(t, ex, "import sys; sys.planted = 1; print(json) if 'json' in globals() else None")
	}
	s := ex.Stats()
	assert.Equal(t, uint64(100), s.RecyclesBy[pyexec.RecycleExecutions])
	assert.Equal(t, s.Recycles, s.Replaced)
}

// The state after a fork is no snippet's doing, and no fork's twin's.
func TestForkedStateIsFresh(t *testing.T) {
	needsInstalled(t, "numpy")
	ex := openProcess(t, pyexec.Config{RecycleEvery: 1, Preload: []string{"random", "numpy", "numpy.random", "uuid", "tempfile"}})
	numbers := map[any]bool{}
	for range 20 {
		res := run(t, ex, "import random, numpy\nstr([random.random(), numpy.random.rand(), random.SystemRandom().random()])")
		assert.Empty(t, res.Changes)
		assert.False(t, numbers[res.Value])
		numbers[res.Value] = true
		assert.NotContains(t, fmt.Sprint(res.Value), "nan")
	}
	one := map[string]bool{}
	for range 20 {
		one[fmt.Sprint(run(t, ex, "import numpy; numpy.random.rand()").Value)] = true
	}
	assert.Len(t, one, 20, "each process has its own random numbers")
}

// Each worker has a cache of its own, which ends with its process.
func TestCachesOfWorkersAreCounted(t *testing.T) {
	ex := openProcess(t, pyexec.Config{Workers: 2, CacheEntries: 2})
	inF, back := make(chan struct{}), make(chan struct{})
	done := make(chan error)
	go func() {
		_, err := ex.Run(ctx, pyexec.Snippet{Code: "f()", Functions: pyexec.Functions{"f": func() { close(inF); <-back }}})
		done <- err
	}()
	<-inF
	for _, code := range []string{"x = 1", "x = 2", "x = 3"} {
		run(t, ex, code)
	}
	close(back)
	require.NoError(t, <-done)
	assert.Equal(t, uint64(3), ex.Stats().CacheEntries)
	assert.Equal(t, uint64(1), ex.Stats().CacheEvictions)
	require.NoError(t, ex.Recycle(ctx))
	require.NoError(t, ex.Recycle(ctx))
	assert.Less(t, ex.Stats().CacheEntries, uint64(3))
	assert.Equal(t, uint64(1), ex.Stats().CacheEvictions)
}

// What threading does after a fork is left out where there is nothing to do, and only there.
func TestThreadsOfForks(t *testing.T) {
	const alone = "import os, threading\nmain = threading.main_thread()\n" +
		"alone = threading.enumerate() == [main] and main.is_alive() and main.ident == threading.get_ident()\n" +
		"number = main.native_id == os.getpid()\n" +
		"builtin = os.register_at_fork.__self__.__name__"
	folder := t.TempDir()
	module := "import threading\nthread = threading.Thread(target=threading.Event().wait, daemon=True)\nthread.start()"
	require.NoError(t, os.WriteFile(filepath.Join(folder, "busy.py"), []byte(module), 0o600))
	module = "import _thread, threading\nended = _thread.allocate_lock()\nended.acquire()\n" +
		"_thread.start_new_thread(lambda: (threading.current_thread(), ended.release()), ())\nended.acquire()\n" +
		"while _thread._count(): pass"
	require.NoError(t, os.WriteFile(filepath.Join(folder, "ghost.py"), []byte(module), 0o600))
	for name, c := range map[string]pyexec.Config{
		"one thread":         {RecycleEvery: 1},
		"a preloaded thread": {RecycleEvery: 1, Paths: []string{folder}, Preload: []string{"busy"}},
		"the trace of one":   {RecycleEvery: 1, Paths: []string{folder}, Preload: []string{"ghost"}},
	} {
		t.Run(name, func(t *testing.T) {
			ex := openProcess(t, c)
			for range 2 {
				res := run(t, ex, alone)
				assert.Equal(t, true, res.Vars()["alone"])
				assert.Equal(t, "posix", res.Vars()["builtin"])
				assert.Equal(t, true, res.Vars()["number"])
				if name == "a preloaded thread" {
					assert.Equal(t, false, run(t, ex, "import busy\nx = busy.thread.is_alive()").Vars()["x"])
				}
			}
			res := run(t, ex, `import os, threading
thread = threading.Thread(target=threading.Event().wait, daemon=True)
thread.start()
pid = os.fork()
if pid == 0:
    os._exit(threading.active_count() + 10 * thread.is_alive())
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])`)
			assert.Equal(t, int64(1), res.Vars()["status"])
		})
	}
}

// Snippets run on Python's main thread, and what they do with signals is undone.
func TestSignalHandlers(t *testing.T) {
	ex := openProcess(t, pyexec.Config{})
	res := run(t, ex, "import signal, os\ngot = []\nsignal.signal(signal.SIGUSR1, lambda *a: got.append(1))\nos.kill(os.getpid(), signal.SIGUSR1)\nimport threading\nmain = threading.current_thread() is threading.main_thread()\ngot")
	assert.Equal(t, []any{int64(1)}, res.Value)
	assert.Equal(t, true, res.Vars()["main"])
	pid := run(t, ex, "import os; os.getpid()").Value
	assert.Equal(t, true, run(t, ex, "import signal; signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL").Value)
	assert.Equal(t, pid, run(t, ex, "import os; os.getpid()").Value, "in place")
	res = run(t, ex, "import signal\ndef stop(*a): raise TimeoutError\nsignal.signal(signal.SIGALRM, stop)\nsignal.setitimer(signal.ITIMER_REAL, 0.01)\nimport time\ntry: time.sleep(1000)\nexcept TimeoutError: caught = True")
	assert.Equal(t, true, res.Vars()["caught"])
}

var importsFlag = flag.Int("imports", 10, "processes in which TestNativeModulesSurviveRecycles imports each module anew")

// Each process has had its predecessor's modules loaded before it, or loads them itself. go test -run TestNative -imports 100
func TestNativeModulesSurviveRecycles(t *testing.T) {
	for _, c := range []struct {
		module, use string
		want        any
	}{
		{"numpy", "import numpy; int(numpy.arange(1000).reshape(10, 100).sum(axis=0).sum())", int64(499500)},
		{"pandas", "import pandas; int(pandas.DataFrame({'a': [1, 2, 3]}).a.sum())", int64(6)},
	} {
		t.Run(c.module, func(t *testing.T) {
			needsInstalled(t, c.module)
			for _, preload := range [][]string{{c.module}, nil} {
				recycles, workers := 100, 2
				if preload == nil {
					recycles = *importsFlag
				}
				ex := openProcess(t, pyexec.Config{Preload: preload, RecycleEvery: 1, Workers: workers})
				var wg sync.WaitGroup
				for range workers {
					wg.Go(func() {
						for range recycles / workers {
							res, err := ex.Execute(ctx, c.use, nil)
							if !assert.NoError(t, err) {
								return
							}
							assert.Equal(t, c.want, res.Value)
						}
					})
				}
				wg.Wait()
				assert.Equal(t, uint64(recycles), ex.Stats().Replaced)
				require.NoError(t, ex.Close())
			}
		})
	}
}

// The host dies by kill -9, with workers in the midst of all kinds of things: nothing is left.
func TestHostIsKilled(t *testing.T) {
	if folder := os.Getenv("PYEXEC_TEST_VICTIM"); folder != "" {
		victim(t, folder)
	}
	cmd := reexecute(t, "TestHostIsKilled", "PYEXEC_TEST_VICTIM="+t.TempDir())
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var pids []int
	for len(pids) < 6 {
		var pid int
		_, err := fmt.Fscanf(out, "pid %d\n", &pid)
		require.NoError(t, err)
		pids = append(pids, pid)
	}
	pids = append(pids, tree(t, cmd.Process.Pid)[1:]...)
	killed := time.Now()
	require.NoError(t, cmd.Process.Kill())
	gone(t, "host killed", pids...)
	assert.Less(t, time.Since(killed), time.Second) // a promise of the documents, and some hundred times what it takes
	require.Error(t, cmd.Wait())
}

// reexecute is this test binary once more, to run one test in.
func reexecute(t *testing.T, test, env string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe, "-test.run", "^"+test+"$")
	cmd.Env = append(os.Environ(), env)
	cmd.Stderr = os.Stderr
	return cmd
}

func victim(t *testing.T, folder string) {
	ex := openProcess(t, pyexec.Config{Workers: 5})
	path := filepath.Join(folder, "pids")
	require.NoError(t, syscall.Mkfifo(path, 0o600))
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	for _, code := range []string{
		"while True: pass",
		"import time; time.sleep(1000)",
		libc + "libc.prctl(1, 0)\nwhile True: pass",
		"if os.fork() == 0:\n    os.setsid(); tell()\nimport time; time.sleep(1000)",
		"sum(range(10 ** 12))",
	} {
		go func() {
			_, err := ex.Execute(ctx, "import os\ndef tell():\n    with open(path, 'w') as f: f.write('pid %d\\n' % os.getpid())\ntell()\n"+code, pyexec.Vars{"path": path})
			panic(err)
		}()
	}
	buf := make([]byte, 100)
	for {
		n, err := f.Read(buf)
		if err != nil {
			return
		}
		_, _ = os.Stdout.Write(buf[:n])
	}
}

func TestFairness(t *testing.T) {
	ex := openProcess(t, pyexec.Config{Workers: 2})
	var wg sync.WaitGroup
	for range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 20 {
				c, cancel := context.WithTimeout(ctx, 20*time.Second)
				_, err := ex.Execute(c, "x = 1", nil)
				cancel()
				assert.False(t, errors.Is(err, context.DeadlineExceeded))
			}
		}()
	}
	wg.Wait()
	assert.Zero(t, ex.Stats().Waiting)
}

func TestLimits(t *testing.T) {
	if sanitized {
		t.Skip("the address sanitizer itself takes terabytes of address space: under Limits.AddressSpace malloc fails at once")
	}
	ex := openProcess(t, pyexec.Config{Limits: pyexec.Limits{
		AddressSpace: 512 << 20, CPU: time.Millisecond, FileSize: 1 << 20, OpenFiles: 40,
	}})
	for code, want := range map[string]string{
		"x = bytearray(1 << 30)": "MemoryError",
		"def f():\n    a = []\n    while True: a.append(bytearray(1 << 20))\nf()":                        "MemoryError",
		"import tempfile\nwith tempfile.TemporaryFile() as f:\n    f.write(b'x' * (2 << 20)); f.flush()": "OSError",
		"import os\nwhile True: os.open('/dev/null', 0)":                                                 "OSError",
		"import resource; resource.setrlimit(resource.RLIMIT_CPU, (100, 100))":                           "PermissionError",
	} {
		_, err := ex.Execute(ctx, code, nil)
		require.ErrorIs(t, err, pyexec.ErrType(want), code)
		assert.Equal(t, want == "MemoryError", errors.Is(err, pyexec.ErrMemoryLimit), code)
		assert.Equal(t, int64(2), run(t, ex, "1 + 1").Value)
	}
	_, err := ex.Execute(ctx, "a = []\nwhile True: a.append(bytearray(1 << 20))", nil)
	require.ErrorIs(t, err, pyexec.ErrMemoryLimit, "also if there is none left to report it with")
	for range 2 {
		_, err := ex.Execute(ctx, "while True: pass", nil)
		var crash *pyexec.CrashError
		require.ErrorAs(t, err, &crash)
		assert.Equal(t, syscall.SIGXCPU, crash.Signal)
		assert.Contains(t, crash.Reason, "Limits.CPU")
	}
}

func TestBusy(t *testing.T) {
	ex := open(t, pyexec.Config{MaxWaiting: 1})
	done, release := blocked(t, ex)
	waiting := make(chan error)
	go func() {
		_, err := ex.Execute(ctx, "1", nil)
		waiting <- err
	}()
	for ex.Stats().Waiting == 0 {
		time.Sleep(time.Millisecond)
	}
	_, err := ex.Execute(ctx, "1", nil)
	require.ErrorIs(t, err, pyexec.ErrBusy)
	release()
	require.NoError(t, <-done)
	require.NoError(t, <-waiting)
	run(t, ex, "1")
}

func TestAllWorkersAge(t *testing.T) {
	ex := openProcess(t, pyexec.Config{Workers: 3, RecycleAfter: 5 * time.Millisecond})
	require.Eventually(t, func() bool { return ex.Stats().RecyclesBy[pyexec.RecycleAge] >= 9 }, 10*time.Second, time.Millisecond)
	run(t, ex, "1")
}

func TestWorkersAreRecycledOnGrowth(t *testing.T) {
	ex := openProcess(t, pyexec.Config{RecycleOnGrowth: 16 << 20, RecycleEvery: pyexec.RecycleNever, Reset: pyexec.ResetNone})
	for range 70 {
		run(t, ex, "x = 1")
	}
	assert.Zero(t, ex.Stats().Recycles)
	run(t, ex, "import sys; sys.kept = bytearray(b'x') * (32 << 20)")
	for range 70 {
		run(t, ex, "x = 1")
	}
	assert.Equal(t, map[pyexec.RecycleReason]uint64{pyexec.RecycleGrowth: 1}, ex.Stats().RecyclesBy)
	assert.Equal(t, false, run(t, ex, "import sys; hasattr(sys, 'kept')").Value)
}
