package pyexec_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

func TestStuck(t *testing.T) {
	ex := openAt(t, pyexec.Config{Grace: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	d := newDeaf(t, ex)
	_, err := ex.Run(d.whenBegun(), pyexec.Snippet{Name: "deaf.py", Code: deafCode + "wait(1)", Vars: d.vars})
	var late *pyexec.StoppedError
	require.ErrorAs(t, err, &late)
	require.ErrorIs(t, err, context.Canceled)
	require.True(t, late.Stuck)
	s := ex.Stats()
	assert.Equal(t, 1, s.Stuck)
	require.Len(t, s.Running, 1)
	assert.Equal(t, "deaf.py", s.Running[0].Snippet)
	assert.Positive(t, s.Running[0].For)

	var blocked *pyexec.StuckError
	_, err = ex.Execute(ctx, "x = 1", nil) // has no deadline: does not wait
	require.ErrorAs(t, err, &blocked)
	assert.Equal(t, "deaf.py", blocked.Snippet)
	_, err = ex.Run(ctx, pyexec.Snippet{Code: "x = 1", Timeout: time.Millisecond})
	require.ErrorAs(t, err, &blocked)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, ex.Recycle(cancelled()), context.Canceled)

	d.end()
	res, err := ex.Run(ctx, pyexec.Snippet{Code: "1 + 1", Timeout: time.Hour}) // waits for its end
	require.NoError(t, err)
	assert.Equal(t, int64(2), res.Value)
	s = ex.Stats()
	assert.Zero(t, s.Stuck)
	assert.Equal(t, uint64(1), s.RecyclesBy[pyexec.RecycleTaint])
	assert.Empty(t, s.Running)
}

// What was left behind in an executor before, on a thread that had run for long, says nothing of a call in the next one.
func TestLeftBehindAfterAnother(t *testing.T) {
	taken := make(chan struct{})
	defer close(taken)
	for _, burn := range []int{2e8, 1} {
		ex, err := pyexec.New(pyexec.Config{Grace: 2 * time.Second, Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		d := newDeaf(t, ex)
		d.vars["n"] = burn
		_, err = ex.Run(d.whenBegun(), pyexec.Snippet{Vars: d.vars, Code: "sum(range(n))\n" + deafCode + "wait(1)"})
		var late *pyexec.StoppedError
		require.ErrorAs(t, err, &late)
		assert.Len(t, late.Frames, 2, "after %d", burn)
		d.end()
		require.NoError(t, ex.Close())
		for range 50 { // the next call is on another thread: these have all that there are
			begun := make(chan struct{})
			go func() {
				runtime.LockOSThread()
				close(begun)
				<-taken
			}()
			<-begun
		}
	}
}

// A call that is left behind brings what it has written so far, and where it is.
func TestLeftBehindWithOutputAndFrames(t *testing.T) {
	ex := openAt(t, pyexec.Config{MaxOutput: 10, Grace: 3 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	d := newDeaf(t, ex)
	res, err := ex.Run(d.whenBegun(), pyexec.Snippet{Vars: d.vars, Code: deafCode + `import sys
print('so far')
print('more than ten', file=sys.stderr)
wait(1)`})
	var late *pyexec.StoppedError
	require.ErrorAs(t, err, &late)
	require.True(t, late.Stuck)
	assert.Equal(t, "so far\n", res.Stdout)
	assert.Equal(t, "more than "+pyexec.CutMark, res.Stderr)
	assert.Equal(t, []pyexec.Frame{
		{File: "snippet.py", Function: "<module>", Line: 9, Source: "wait(1)"},
		{File: "snippet.py", Function: "wait", Line: 5, Source: "collections.deque(iter(functools.partial(operator.getitem, m, 0), n), 0)"},
	}, late.Frames)
	d.end()
	_, err = ex.Run(ctx, pyexec.Snippet{Code: "1", Timeout: time.Hour}) // waits for its end
	require.NoError(t, err)
}

func cancelled() context.Context {
	c, cancel := context.WithCancel(ctx)
	cancel()
	return c
}

func TestCloseStopsWhatRuns(t *testing.T) {
	for _, code := range []string{"while True: pass", "import time\ntime.sleep(1000)", "while True:\n    try:\n        while True: pass\n    except BaseException: pass"} {
		for _, c := range []context.Context{ctx, cancellable(t)} {
			ex, err := pyexec.New(pyexec.Config{Grace: 500 * time.Millisecond})
			require.NoError(t, err)
			done := make(chan error)
			go func() {
				_, err := ex.Execute(c, code, nil)
				done <- err
			}()
			require.Eventually(t, func() bool { return len(ex.Stats().Running) == 1 }, 10*time.Second, time.Millisecond)
			require.NoError(t, ex.Close())
			err = <-done
			require.ErrorIs(t, err, pyexec.ErrClosed)
			var stopped *pyexec.StoppedError
			require.ErrorAs(t, err, &stopped)
			require.NoError(t, ex.Close())
		}
	}
}

func cancellable(t *testing.T) context.Context {
	c, cancel := context.WithCancel(ctx)
	t.Cleanup(cancel)
	return c
}

func TestCloseSaysWhatBlocksIt(t *testing.T) {
	ex, err := pyexec.New(pyexec.Config{Grace: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	d := newDeaf(t, ex)
	done := make(chan error)
	go func() {
		_, err := ex.Run(ctx, pyexec.Snippet{Name: "deaf.py", Code: deafCode + "wait(1)", Vars: d.vars}) // cannot be left: Close does not wait for it
		done <- err
	}()
	require.Eventually(t, d.begun, 10*time.Second, time.Millisecond)
	var blocked *pyexec.StuckError
	require.ErrorAs(t, ex.Close(), &blocked)
	assert.Equal(t, "deaf.py", blocked.Snippet)
	_, err = pyexec.New(pyexec.Config{})
	require.ErrorIs(t, err, pyexec.ErrInUse)
	_, err = ex.Execute(ctx, "x = 1", nil)
	require.ErrorIs(t, err, pyexec.ErrClosed)
	d.end()
	require.ErrorIs(t, <-done, pyexec.ErrClosed)
	require.Eventually(t, func() bool { return ex.Close() == nil }, 10*time.Second, time.Millisecond, "it closes when the call has ended")
}

// Finalizers that do not end, in what is left when the interpreter is recycled or closed.
func TestRecycleStopsFinalizers(t *testing.T) {
	t.Cleanup(pyexec.SetGuardPatience(500 * time.Millisecond))
	for name, code := range map[string]string{
		"loop":          "import sys\nclass C:\n    def __del__(self):\n        while True: pass\nsys.leftover = C()",
		"fights back":   "import sys\nclass C:\n    def __del__(self):\n        while True:\n            try:\n                while True: pass\n            except BaseException: pass\nsys.leftover = C()",
		"sleep":         "import sys, time\nclass C:\n    def __del__(self, sleep=time.sleep): sleep(1000)\nsys.leftover = C()",
		"on its thread": "import threading\nclass C:\n    def __del__(self):\n        while True: pass\nx = threading.local()\nx.c = C()\nimport sys\nsys.leftover = x",
		"as a module":   "import sys\nclass C:\n    def __del__(self):\n        while True: pass\nsys.modules['leftover'] = C()",
	} {
		t.Run(name, func(t *testing.T) {
			ex := open(t, pyexec.Config{Reset: pyexec.ResetNone, Grace: 4 * time.Second})
			run(t, ex, code)
			require.NoError(t, ex.Recycle(ctx))
			assert.Equal(t, int64(2), run(t, ex, "1 + 1").Value)
			run(t, ex, code)
		})
	}
}

// Whoever waits without a deadline while calls are left behind, and come back, gets an interpreter or an error.
func TestWaitersAmongLeftCalls(t *testing.T) {
	ex := openAt(t, pyexec.Config{Grace: 2 * time.Millisecond, Functions: pyexec.Functions{"nap": func() { time.Sleep(8 * time.Millisecond) }}})
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				_, err := ex.Execute(ctx, "x = 1", nil)
				var stuck *pyexec.StuckError
				if err != nil && !errors.As(err, &stuck) {
					assert.NoError(t, err)
					return
				}
			}
		})
	}
	for range 50 {
		_, err := ex.Run(ctx, pyexec.Snippet{Code: "nap()", Timeout: 2 * time.Millisecond})
		assert.Error(t, err)
	}
	close(done)
	wg.Wait()
	_, err := ex.Run(ctx, pyexec.Snippet{Code: "x = 1", Timeout: time.Minute})
	require.NoError(t, err)
}

// A Logger may ask the Executor, and take its time: nobody waits for it.
func TestLoggerMayAsk(t *testing.T) {
	back, logged := make(chan struct{}), make(chan struct{})
	var ex *pyexec.Executor
	logger := slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		defer close(logged)
		_ = ex.Stats()
		<-back
		return len(p), nil
	}), nil))
	ex = openAt(t, pyexec.Config{Grace: 20 * time.Millisecond, Logger: logger, Functions: pyexec.Functions{"f": func() { <-back }}})
	_, err := ex.Run(ctx, pyexec.Snippet{Code: "f()", Timeout: time.Millisecond})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	close(back)
	<-logged
}

// Close gives up on a call that was left behind before, too.
func TestCloseAfterACallWasLeft(t *testing.T) {
	back := make(chan struct{})
	ex, err := pyexec.New(pyexec.Config{Grace: 20 * time.Millisecond, Functions: pyexec.Functions{"f": func() { <-back }}})
	require.NoError(t, err)
	_, err = ex.Run(ctx, pyexec.Snippet{Code: "f()", Timeout: time.Millisecond})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	var stuck *pyexec.StuckError
	require.ErrorAs(t, ex.Close(), &stuck)
	close(back)
	assert.Eventually(t, func() bool { return ex.Close() == nil }, 10*time.Second, time.Millisecond)
}

// What a call that ended by itself was to be stopped for is no reason of the next one's.
func TestReasonsAreOfOneCall(t *testing.T) {
	ex := openAt(t, pyexec.Config{MemoryLimit: 64 << 20})
	for range 20 {
		_, err := ex.Run(ctx, pyexec.Snippet{Code: "import itertools\nif 1 in itertools.repeat(0, 1000000): pass", Timeout: 5 * time.Millisecond})
		_ = err // whatever comes of it
		res, err := ex.Execute(ctx, "try: 'a' * (1 << 30)\nexcept MemoryError: x = 1", nil)
		require.NoError(t, err)
		assert.Equal(t, int64(1), res.Vars()["x"])
	}
}

// Once Run has returned, a Writer gets no more.
func TestWritersRestAfterTheCall(t *testing.T) {
	for name, open := range map[string]func(*testing.T, pyexec.Config) *pyexec.Executor{"in process": openAt, "worker process": openProcess} {
		t.Run(name, func(t *testing.T) {
			ex := open(t, pyexec.Config{Grace: 20 * time.Millisecond})
			var over atomic.Bool
			var late atomic.Int32
			back := make(chan struct{})
			_, err := ex.Run(ctx, pyexec.Snippet{Code: "print('x' * 1000000)", Timeout: 10 * time.Millisecond, Stdout: writerFunc(func(p []byte) (int, error) {
				if over.Load() {
					late.Add(1)
				}
				<-back
				return len(p), nil
			})})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			over.Store(true)
			close(back)
			_, err = ex.Run(ctx, pyexec.Snippet{Code: "x = 1", Timeout: time.Minute})
			require.NoError(t, err)
			assert.Zero(t, late.Load())
		})
	}
}

// A thread that catches everything is ended all the same: it could look into the next call, and change it.
func TestThreadsThatCatchEverything(t *testing.T) {
	ex := open(t, pyexec.Config{})
	for _, body := range []string{
		"time.sleep(.01)\n            d = vars(sys.modules['__main__'])\n            if 'balance' in d: d['balance'] = 0; print('got', d['balance'])",
		"pass",
		"sum(range(1000))",
	} {
		_, err := ex.Execute(ctx, `
import sys, threading, time
def run():
    while True:
        try:
            `+body+`
        except: pass
threading.Thread(target=run, daemon=True).start()
`, nil)
		require.NoError(t, err)
		for range 2 {
			res, err := ex.Execute(ctx, "import sys, time\nbalance = 100\ntime.sleep(0.03)\nn = len(sys._current_frames())", nil)
			require.NoError(t, err)
			assert.Equal(t, int64(100), res.Vars()["balance"])
			assert.Equal(t, int64(1), res.Vars()["n"])
			assert.Empty(t, res.Stdout)
			assert.Empty(t, res.Tainted)
		}
	}
}
