package pyexec_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

// writes records each Write.
type writes []string

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, string(p))
	return len(p), nil
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestStreaming(t *testing.T) {
	ex := open(t, pyexec.Config{MaxOutput: 10})
	for code, want := range map[string]writes{
		"print('a', 'b', 1)\nprint('c')":             {"a b 1\n", "c\n"},
		"print('no newline', end='')":                {"no newline"},
		"print('a', end='', flush=True)\nprint('b')": {"a", "b\n"},
		"import sys\nsys.stdout.write('a')\nsys.stdout.flush()\nsys.stdout.flush()\nsys.stdout.buffer.write(b'b')": {"a", "b"},
		"import sys\nsys.stdout.writelines(['1\\n', '2'])":                                                         {"1\n", "2"},
		"for i in range(1025): print('12345678', end='')":                                                          {strings.Repeat("12345678", 1024), "12345678"},
		"print('x' * 100_000)":          {strings.Repeat("x", 65536), strings.Repeat("x", 100_000-65536), "\n"},
		"print('é' * 5, end='\\udce9')": {"ééééé\xe9"},
		"class C:\n    def __del__(self): print('bye')\nc = C()\nc.c = c\nprint('hello')": {"hello\n", "bye\n"},
		"import sys\nsys.ok = sys.stdout.line_buffering":                                  nil,
		"": nil,
	} {
		var out writes
		res, err := ex.Run(ctx, pyexec.Snippet{Code: code, Stdout: &out})
		require.NoError(t, err, code)
		assert.Equal(t, want, out, code)
		assert.Empty(t, res.Stdout)
		assert.False(t, res.StdoutTruncated, "what is streamed is not cut")
	}

	var both writes
	_, err := ex.Run(ctx, pyexec.Snippet{Code: "import sys\nprint(1)\nprint(2, file=sys.stderr)\nprint(3)", Stdout: &both, Stderr: &both})
	require.NoError(t, err)
	assert.Equal(t, writes{"1\n", "2\n", "3\n"}, both)
	var out, errs bytes.Buffer
	res, err := ex.Run(ctx, pyexec.Snippet{Code: "import sys\nprint(1)\nprint(2, file=sys.stderr)\n1/0", Stdout: &out})
	require.ErrorIs(t, err, pyexec.ErrType("ZeroDivisionError"))
	assert.Equal(t, "1\n", out.String())
	assert.Equal(t, "2\n", res.Stderr, "one can be streamed and the other kept")
	_, err = ex.Run(ctx, pyexec.Snippet{Code: "import logging\nlogging.warning('careful')", Stderr: &errs})
	require.NoError(t, err)
	assert.Equal(t, "WARNING:root:careful\n", errs.String())
	assert.Equal(t, "kept\n", run(t, ex, "print('kept')").Stdout, "the next call has nothing of it")
}

// The snippet must not end before what it wrote was seen: output that came at the end only would deadlock here.
func TestOutputAsItHappens(t *testing.T) {
	ex := open(t, pyexec.Config{})
	in, inWriter := io.Pipe()
	outReader, out := io.Pipe()
	done := make(chan error)
	go func() {
		_, err := ex.Run(ctx, pyexec.Snippet{Code: "name = input('name? ')\nprint('hello', name)\nanswer = input()", Stdin: in, Stdout: out})
		done <- err
	}()
	p := make([]byte, 100)
	n, err := outReader.Read(p)
	require.NoError(t, err)
	assert.Equal(t, "name? ", string(p[:n]))
	_, err = io.WriteString(inWriter, "Ada\n")
	require.NoError(t, err)
	n, err = outReader.Read(p)
	require.NoError(t, err)
	assert.Equal(t, "hello Ada\n", string(p[:n]))
	_, err = io.WriteString(inWriter, "bye\n")
	require.NoError(t, err)
	require.NoError(t, <-done)
}

func TestWriterThatFails(t *testing.T) {
	ex := open(t, pyexec.Config{})
	full := errors.New("disk full")
	calls := 0
	fails := writerFunc(func(p []byte) (int, error) { calls++; return 0, full })

	res, err := ex.Run(ctx, pyexec.Snippet{Code: "x = 1\nprint('a')\nx = 2", Stdout: fails})
	require.ErrorIs(t, err, full)
	require.ErrorIs(t, err, pyexec.ErrType("BrokenPipeError"))
	var py *pyexec.PythonError
	require.ErrorAs(t, err, &py)
	assert.Equal(t, "[Errno 32] disk full", py.Message)
	assert.Equal(t, 2, py.Frames[0].Line, "where it was written")
	assert.Equal(t, "pyexec.GoError", py.Cause.Type)
	assert.Equal(t, int64(1), res.Vars()["x"])
	var stream *pyexec.StreamError
	require.ErrorAs(t, err, &stream)
	assert.Equal(t, "Stdout", stream.Stream)

	calls = 0
	res, err = ex.Run(ctx, pyexec.Snippet{Code: "n = 0\nfor i in range(3):\n    try:\n        print('a')\n    except OSError:\n        n += 1", Stdout: fails})
	require.EqualError(t, err, "pyexec: writing to Stdout: disk full", "the snippet does not care, but the caller must know")
	require.ErrorAs(t, err, &stream)
	assert.Equal(t, int64(3), res.Vars()["n"], "it is told each time")
	assert.Equal(t, 1, calls, "a Writer that failed is not called again")

	_, err = ex.Run(ctx, pyexec.Snippet{Code: "print('a', end='')", Stderr: fails, Stdout: fails})
	require.ErrorAs(t, err, &stream, "as the snippet ended")
	_, err = ex.Run(ctx, pyexec.Snippet{Code: "import sys\nsys.stdout.write('a')\n1/0", Stdout: fails})
	require.ErrorAs(t, err, &stream)
	require.ErrorIs(t, err, pyexec.ErrType("ZeroDivisionError"), "neither hides the other")
	_, err = ex.Run(ctx, pyexec.Snippet{Code: "class C:\n    def __del__(self): print('a')\nc = C()", Stdout: fails})
	require.ErrorAs(t, err, &stream, "in a finalizer, where Python cannot raise")

	for _, w := range []writerFunc{
		func(p []byte) (int, error) { return len(p) - 1, nil },
		func(p []byte) (int, error) { return len(p) + 1, nil },
	} {
		_, err = ex.Run(ctx, pyexec.Snippet{Code: "print('a')", Stdout: w})
		require.ErrorIs(t, err, io.ErrShortWrite)
	}
	var p *pyexec.PanicError
	_, err = ex.Run(ctx, pyexec.Snippet{Code: "print('a')\nprint('b')", Stdout: writerFunc(func([]byte) (int, error) { panic("p") })})
	require.ErrorAs(t, err, &p)
	require.ErrorAs(t, err, &stream)
	_, err = ex.Run(ctx, pyexec.Snippet{Code: "try:\n    print('a')\nexcept OSError: pass\nprint('b')", Stdout: writerFunc(func([]byte) (int, error) { runtime.Goexit(); return 0, nil })})
	require.ErrorIs(t, err, pyexec.ErrGoexit)
	require.ErrorAs(t, err, &stream)
	_, err = ex.Run(ctx, pyexec.Snippet{Code: "print('a')", Stdout: writerFunc(func([]byte) (int, error) { _, err := ex.Execute(ctx, "1", nil); return 0, err })})
	require.ErrorIs(t, err, pyexec.ErrReentrant)
	assert.Equal(t, "a\n", run(t, ex, "print('a')").Stdout)
}

// A Writer that keeps what it was given, against the rules, does harm to nobody.
func TestWriterThatKeeps(t *testing.T) {
	ex := open(t, pyexec.Config{})
	var kept [][]byte
	w := writerFunc(func(p []byte) (int, error) { kept = append(kept, p); return len(p), nil })
	_, err := ex.Run(ctx, pyexec.Snippet{Code: "for i in range(1000): print('x' * i)", Stdout: w})
	require.NoError(t, err)
	total := 0
	for _, p := range kept {
		total += len(p)
		for i := range p {
			p[i] = 'y'
		}
	}
	assert.Equal(t, 1000*999/2+1000, total)
}

func TestStreamsAndThreads(t *testing.T) {
	ex := open(t, pyexec.Config{})
	var out writes // of no type that could take two writes at a time: go test -race would see it
	_, err := ex.Run(ctx, pyexec.Snippet{Code: `
import threading
def work(c):
    for i in range(200): print(c * 10)
threads = [threading.Thread(target=work, args=(c,)) for c in "abcd"]
for t in threads: t.start()
for t in threads: t.join()`, Stdout: &out})
	require.NoError(t, err)
	all := strings.Join(out, "")
	for _, c := range "abcd" {
		assert.Equal(t, 2000, strings.Count(all, string(c)))
	}
	assert.Equal(t, 800, strings.Count(all, "\n"))
}

func TestInput(t *testing.T) {
	ex := open(t, pyexec.Config{})
	const text = "eins\nzwei\r\ndr\xc3\xa4i\n\xff"
	for code, want := range map[string]any{
		"len(sys.stdin.read())":                               int64(16),
		"sys.stdin.buffer.read()":                             []byte(text),
		"sys.stdin.buffer.raw.readall()":                      []byte(text),
		"[input(), input(), input()]":                         []any{"eins", "zwei", "dräi"},
		"sys.stdin.readline()":                                "eins\n",
		"[sys.stdin.read(2), sys.stdin.read(4)]":              []any{"ei", "ns\nz"},
		"[l[0] for l in sys.stdin][:3]":                       []any{"e", "z", "d"},
		"len(sys.stdin.readlines())":                          int64(4),
		"sys.stdin.buffer.readline()":                         []byte("eins\n"),
		"b = bytearray(3)\n(sys.stdin.buffer.readinto(b), b)": pyexec.Tuple{int64(3), []byte("ein")},
		"sys.stdin.buffer.raw.readinto(bytearray())":          int64(0),
		"sys.stdin.read()\n[sys.stdin.read(), sys.stdin.readline(), sys.stdin.buffer.read(1)]":                                             []any{"", "", []byte{}},
		"[sys.stdin.readable(), sys.stdin.writable(), sys.stdin.isatty(), sys.stdin.closed, sys.stdin.name, sys.stdin.encoding]":           []any{true, false, false, false, "<stdin>", "utf-8"},
		"raw = sys.stdin.buffer.raw\nwith sys.stdin: pass\ntry:\n    raw.readall()\nexcept ValueError:\n    done = sys.stdin.closed\ndone": true,
	} {
		for _, wrap := range []func(io.Reader) io.Reader{
			func(r io.Reader) io.Reader { return r }, iotest.OneByteReader, iotest.DataErrReader, iotest.HalfReader,
		} {
			res, err := ex.Run(ctx, pyexec.Snippet{Code: "import sys\n" + code, Stdin: wrap(strings.NewReader(text))})
			if assert.NoError(t, err, code) {
				assert.Equal(t, want, res.Value, code)
			}
		}
	}
	_, err := ex.Run(ctx, pyexec.Snippet{Code: "import sys\nsys.stdin.fileno()", Stdin: strings.NewReader("x")})
	require.ErrorContains(t, err, "fileno")
}

func TestInputIsReadAsNeeded(t *testing.T) {
	ex := open(t, pyexec.Config{})
	reads := 0
	r := readerFunc(func(p []byte) (int, error) { reads++; return copy(p, "line\n"), nil }) // it has no end
	_, err := ex.Run(ctx, pyexec.Snippet{Code: "1", Stdin: r})
	require.NoError(t, err)
	assert.Zero(t, reads)
	res, err := ex.Run(ctx, pyexec.Snippet{Code: "input() + input()", Stdin: r})
	require.NoError(t, err)
	assert.Equal(t, "lineline", res.Value)
	assert.Equal(t, 2, reads)
}

func TestReaderThatFails(t *testing.T) {
	ex := open(t, pyexec.Config{MaxInput: 100})
	broken := errors.New("connection reset")
	_, err := ex.Run(ctx, pyexec.Snippet{Code: "a = input()\nb = input()", Stdin: io.MultiReader(strings.NewReader("one\n"), iotest.ErrReader(broken))})
	require.ErrorIs(t, err, broken)
	var py *pyexec.PythonError
	require.ErrorAs(t, err, &py)
	assert.Equal(t, "OSError", py.Type)
	assert.Equal(t, int64(5), py.Attrs["errno"])
	assert.Equal(t, 2, py.Frames[0].Line)

	code := "import sys\na = sys.stdin.buffer.read(100)\nb = sys.stdin.read()"
	res, err := ex.Run(ctx, pyexec.Snippet{Code: code, Stdin: strings.NewReader(strings.Repeat("x", 100))})
	require.NoError(t, err)
	assert.Equal(t, "", res.Vars()["b"])
	res, err = ex.Run(ctx, pyexec.Snippet{Code: code, Stdin: strings.NewReader(strings.Repeat("x", 101))})
	require.ErrorIs(t, err, pyexec.ErrTooLarge)
	assert.Len(t, res.Vars()["a"], 100)

	for _, r := range []readerFunc{
		func([]byte) (int, error) { return 0, nil },
		func([]byte) (int, error) { return -1, nil },
		func(p []byte) (int, error) { return len(p) + 1, nil },
		func(p []byte) (int, error) { panic("p") },
		func(p []byte) (int, error) { runtime.Goexit(); return 0, nil },
	} {
		for _, code := range []string{"input()", "import sys\nsys.stdin.read()", "import sys\nsys.stdin.buffer.raw.readinto(bytearray(1))"} {
			_, err = ex.Run(ctx, pyexec.Snippet{Code: "try:\n    import sys\n    sys.stdin.read(1)\nexcept OSError: pass\n" + code, Stdin: r})
			require.ErrorIs(t, err, pyexec.ErrType("OSError"), code)
		}
	}
}

// The stdin of an earlier call reads nothing, whoever kept it.
func TestInputOfEarlierCalls(t *testing.T) {
	ex := open(t, pyexec.Config{Reset: pyexec.ResetNone})
	r := strings.NewReader("secret")
	_, err := ex.Run(ctx, pyexec.Snippet{Code: "import sys\nsys.kept = sys.stdin", Stdin: r})
	require.NoError(t, err)
	for _, code := range []string{"sys.kept.read()", "sys.kept.buffer.raw.readinto(bytearray(5))"} {
		_, err = ex.Run(ctx, pyexec.Snippet{Code: "import sys\n" + code, Stdin: strings.NewReader("other")})
		require.ErrorContains(t, err, "RuntimeError: <stdin>: the call that it belongs to is over")
	}
	run(t, ex, "import sys\ndel sys.kept")
	assert.Equal(t, 6, r.Len())
}

func TestHostsStayFlat(t *testing.T) {
	if raced {
		t.Skip("the race detector never forgets a goroutine that iter.Pull made")
	}
	if sanitized {
		t.Skip("the address sanitizer keeps freed memory back to see its use: what the process holds says nothing")
	}
	ex := open(t, pyexec.Config{RecycleEvery: 100, Functions: functions})
	cycle := func() {
		for range 500 {
			_, err := ex.Run(ctx, pyexec.Snippet{
				Code:   "import sys\nx = pair(['x' * 1000] * 3)\nprint(x, len(sys.stdin.read()))\nprint('p', end='')\ntry:\n    fail('a')\nexcept RuntimeError:\n    panics('b')",
				Stdin:  strings.NewReader(strings.Repeat("y", 10_000)),
				Stdout: io.Discard,
			})
			assert.ErrorIs(t, err, pyexec.ErrType("pyexec.GoError"))
		}
	}
	cycle()
	cycle()
	before, goroutines := rss(t), runtime.NumGoroutine()
	for range 3 {
		cycle()
	}
	assert.Less(t, rss(t)-before, 4096, "KiB grown over 1500 calls and 15 recycles")
	assert.Eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines+2 }, 10*time.Second, time.Millisecond) // itself two
}

func TestCutMark(t *testing.T) {
	ex := open(t, pyexec.Config{MaxOutput: 10})
	res := run(t, ex, "import sys\nprint('x' * 11)\nprint('y' * 9, file=sys.stderr)")
	assert.Equal(t, "xxxxxxxxxx"+pyexec.CutMark, res.Stdout)
	assert.Equal(t, "yyyyyyyyy\n", res.Stderr)
	assert.True(t, res.StdoutTruncated)
}

// What C code writes to descriptor 1 is the process's own output, in process: it is neither kept nor streamed.
func TestWritesToTheDescriptor(t *testing.T) {
	ex := openAt(t, pyexec.Config{})
	r, w, err := os.Pipe()
	require.NoError(t, err)
	var out bytes.Buffer
	res, err := ex.Run(ctx, pyexec.Snippet{Code: "import os\nos.write(fd, b'raw')\nprint('text')", Vars: pyexec.Vars{"fd": int(w.Fd())}, Stdout: &out})
	require.NoError(t, err)
	require.NoError(t, w.Close())
	raw, err := io.ReadAll(r)
	require.NoError(t, err)
	assert.Equal(t, "raw", string(raw))
	assert.Equal(t, "text\n", out.String())
	assert.Empty(t, res.Stdout)
}
