package pyexec_test

import (
	"errors"
	"io"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

// A snippet that has taken over its worker process, knows the protocol (process.h), and finds the number of its call in
// memory. It can say what it likes, and must do no more than end its own call.
const forge = `
import ctypes, os, struct, threading, time
libc = ctypes.CDLL(None)
CALL, REPLY, ASK = 0x70790001, 0x70790002, 0x70790003
nonces = []
for line in open('/proc/self/maps'):
    range_, access = line.split()[:2]
    low, high = (int(x, 16) for x in range_.split('-'))
    if 'rw' not in access or high - low > 64 << 20: continue
    memory = ctypes.string_at(low, high - low)
    at = memory.find(struct.pack('=II', CALL, 0))
    while at >= 0:
        _, _, length, nonce = struct.unpack_from('=IIQQ', memory, at)
        if 64 < length < 1 << 20 and nonce: nonces.append(nonce)
        at = memory.find(struct.pack('=II', CALL, 0), at + 1)
nonce = nonces[-1]
socket = [fd for fd in range(3, 40) if os.path.exists('/proc/self/fd/%d' % fd) and os.readlink('/proc/self/fd/%d' % fd).startswith('socket')][-1]
def message(kind, body): return struct.pack('=IIQQ', kind, 0, len(body), nonce) + body
def ask(id, what, index=0, own=0, ticket=0, data=b''):
    return message(ASK, struct.pack('=QQQIIII', id, ticket, 0, what, index, own, 0) + data)
def call(id): return ask(id, 1, own=1, data=b'\x82\x80\xa0')
def write(ticket, data=b'x', own=0): return ask(1000 + ticket, 2, index=1, own=own, ticket=ticket, data=data)
def end(id): return ask(id, 4, own=1)
reply = message(REPLY, struct.pack('=IIQQ8Q', 0, 0, 0, 0, *[0] * 8))
def send(b):
    while b:
        n = libc.send(socket, b, len(b), 0x4000)
        if n <= 0: break
        b = b[n:]
`

func TestForgedMessages(t *testing.T) {
	for name, code := range map[string]string{
		"a reply while its function runs": "send(call(1))\nwhile not os.path.exists(flag): pass\nsend(reply)\nlibc._exit(3)",
		"two questions at once":           "send(call(1) + call(2) + call(3))\ntime.sleep(1000)",
		"a write behind a function":       "send(call(1))\nb = write(0, own=1)\nfor i in range(1, 900): b += write(i)\nsend(b)\nlibc._exit(3)",
		"writes that wait for the first":  "b = b''\nfor i in range(1, 2000): b += write(i)\nsend(b)\ntime.sleep(1000)",
		"a flood of early writes":         "for i in range(1, 200): send(write(i, b'x' * (4 << 20)))\ntime.sleep(1000)",
		"the end, and more":               "send(end(1))\nsend(call(2))\ntime.sleep(0.01)\nsend(call(3))\nlibc._exit(3)",
	} {
		t.Run(name, func(t *testing.T) {
			ex := openProcess(t, pyexec.Config{Workers: 1, MaxResult: 1 << 20})
			goroutines, threads := runtime.NumGoroutine(), entries(t, "/proc/self/task")
			for range 3 {
				flag := t.TempDir() + "/flag"
				var inside atomic.Int32
				_, err := ex.Run(ctx, pyexec.Snippet{
					Code: forge + code, Vars: pyexec.Vars{"flag": flag}, Timeout: time.Minute,
					Stdout: writerFunc(func(p []byte) (int, error) { return len(p), nil }),
					Functions: pyexec.Functions{"f": func() {
						inside.Add(1)
						defer inside.Add(-1)
						_ = os.WriteFile(flag, nil, 0o600)
						for range 10_000 {
							runtime.Gosched()
						}
					}},
				})
				var crash *pyexec.CrashError
				if err != nil || name != "a reply while its function runs" { // it may come as the function has just returned
					require.ErrorAs(t, err, &crash)
				}
				assert.Zero(t, inside.Load(), "Run waits for a function that returns")
				run(t, ex, "x = 1")
			}
			assert.Eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines+2 }, 10*time.Second, time.Millisecond) // itself two
			assert.Less(t, entries(t, "/proc/self/task"), threads+1100, "what a process may ask at once, and Go keeps the threads of")
		})
	}
}

// A process that dies while a Writer is at work leaves that to end before Run returns: the caller may look at what was written.
func TestCrashWhileWriting(t *testing.T) {
	ex := openProcess(t, pyexec.Config{Workers: 1})
	for _, timeout := range []time.Duration{0, time.Minute} {
		inside, written := make(chan struct{}), 0
		_, err := ex.Run(ctx, pyexec.Snippet{
			Code:    "import os, threading\nthreading.Thread(target=lambda: (at_work(), os.kill(os.getpid(), 9)), daemon=True).start()\nprint('x', flush=True)",
			Timeout: timeout, Functions: pyexec.Functions{"at_work": func() { <-inside }},
			Stdout: writerFunc(func(p []byte) (int, error) {
				close(inside)
				for range 10_000 {
					runtime.Gosched()
				}
				written += len(p)
				return len(p), nil
			}),
		})
		var crash *pyexec.CrashError
		require.ErrorAs(t, err, &crash)
		assert.Equal(t, 2, written)
	}
}

// An error whose methods panic is the snippet's, and no end of the program.
type badError struct{ inner error }

func (e *badError) Error() string { return "bad" }
func (e *badError) Unwrap() error { return e.inner }

func TestErrorsWhoseMethodsPanic(t *testing.T) {
	ex := open(t, pyexec.Config{})
	for _, timeout := range []time.Duration{0, time.Minute} {
		res, err := ex.Run(ctx, pyexec.Snippet{
			Code:    "try: f()\nexcept RuntimeError as e: x = str(e)\ntry: print('x', flush=True)\nexcept OSError as e: y = type(e).__name__",
			Timeout: timeout, Functions: pyexec.Functions{"f": func() error { return (*badError)(nil) }},
			Stdout: writerFunc(func([]byte) (int, error) { return 0, (*badError)(nil) }),
		})
		var stream *pyexec.StreamError
		require.True(t, errors.As(err, &stream), err)
		assert.Contains(t, res.Vars()["x"], "nil pointer")
		assert.Equal(t, "BrokenPipeError", res.Vars()["y"])
	}
}

// Close ends a call in a worker process whose function does not return, deadline or not.
func TestCloseWhileAFunctionWaits(t *testing.T) {
	ex, err := pyexec.New(pyexec.Config{Isolation: pyexec.Process, Workers: 1, Grace: 50 * time.Millisecond})
	require.NoError(t, err)
	in, back, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		_, err := ex.Run(ctx, pyexec.Snippet{Code: "f()", Functions: pyexec.Functions{"f": func() { close(in); <-back }}})
		done <- err
	}()
	<-in
	require.NoError(t, ex.Close())
	err = <-done
	close(back)
	require.ErrorIs(t, err, pyexec.ErrClosed)
	var stopped *pyexec.StoppedError
	require.ErrorAs(t, err, &stopped)
	assert.True(t, stopped.Stuck, "the function had not returned")
}

// Several threads may read at once.
func TestThreadsThatRead(t *testing.T) {
	ex := open(t, pyexec.Config{})
	r, w := io.Pipe()
	go func() {
		for range 200 {
			_, _ = w.Write(make([]byte, 1000))
		}
		w.Close()
	}()
	res, err := ex.Run(ctx, pyexec.Snippet{Stdin: r, Code: `
import sys
from concurrent.futures import ThreadPoolExecutor
def read(_):
    n, b = 0, bytearray(500)
    while got := sys.stdin.buffer.raw.readinto(b): n += got
    return n
with ThreadPoolExecutor(4) as pool: total = sum(pool.map(read, range(4)))
`})
	require.NoError(t, err)
	assert.Equal(t, int64(200_000), res.Vars()["total"])
}
