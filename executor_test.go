package pyexec_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

var ctx = context.Background()

// level is the isolation that the tests run against: make check runs them against each.
var level = map[string]pyexec.Isolation{"process": pyexec.Process}[os.Getenv(levelVariable)]

const levelVariable = "PYEXEC_TEST_ISOLATION"

// at is c on the level that is tested, with one interpreter, as the tests expect that do not say otherwise.
func at(c pyexec.Config) pyexec.Config {
	_ = os.Getenv(levelVariable) // go test takes a result from its cache unless it has seen a test read the variable
	c.Isolation = level
	c.Workers = 1
	return c
}

// open gives a test an Executor of its own, on the level that is tested.
// What Executors log of hostile snippets would stand before a failure as if it were the reason. With -v it is shown.
func TestMain(m *testing.M) {
	flag.Parse()
	if !testing.Verbose() {
		slog.SetDefault(slog.New(slog.DiscardHandler))
	}
	os.Exit(m.Run())
}

func open(t *testing.T, c pyexec.Config) *pyexec.Executor {
	t.Helper()
	return openAt(t, at(c))
}

// openAt is for what is about one level; in process there can be one Executor at a time.
func openAt(t *testing.T, c pyexec.Config) *pyexec.Executor {
	t.Helper()
	ex, err := pyexec.New(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ex.Close()) })
	return ex
}

// run executes code that must succeed.
func run(t *testing.T, ex *pyexec.Executor, code string) *pyexec.Result {
	t.Helper()
	return runWith(t, ex, code, nil)
}

func runWith(t *testing.T, ex *pyexec.Executor, code string, vars pyexec.Vars) *pyexec.Result {
	t.Helper()
	res, err := ex.Execute(ctx, code, vars)
	var py *pyexec.PythonError
	if errors.As(err, &py) {
		require.Fail(t, "the snippet raised", "%s\n%s", code, py.Traceback())
	}
	require.NoError(t, err)
	return res
}

func TestExecute(t *testing.T) {
	ex := open(t, pyexec.Config{})
	res, err := ex.Execute(ctx, "total = sum(prices)", pyexec.Vars{"prices": []float64{1, 2.5}})
	require.NoError(t, err)
	var total float64
	require.NoError(t, res.Decode("total", &total))
	assert.Equal(t, 3.5, total)
	assert.Equal(t, map[string]any{"total": 3.5, "prices": []any{1.0, 2.5}}, res.Vars())
	assert.Positive(t, res.Duration)
}

func TestOutput(t *testing.T) {
	ex := open(t, pyexec.Config{MaxOutput: 10})
	res := run(t, ex, "import sys\nprint('out')\nsys.stderr.write('err')\nsys.stdout.buffer.write(b'!')\nsys.__stdout__.write('?')")
	assert.Equal(t, "out\n!?", res.Stdout)
	assert.Equal(t, "err", res.Stderr)
	assert.False(t, res.StdoutTruncated)

	res = run(t, ex, "print('x' * 9 + 'é' + 'y')\nimport sys\nsys.stdout.close()")
	assert.Equal(t, "xxxxxxxxx"+pyexec.CutMark, res.Stdout, "cut at a whole character")
	assert.True(t, res.StdoutTruncated)
	assert.False(t, res.StderrTruncated)
	assert.Equal(t, "", run(t, ex, "").Stdout)
	assert.Equal(t, "ok\n", run(t, ex, "print('ok')").Stdout, "close of an earlier snippet does nothing")

	res, err := ex.Execute(ctx, "print('before'); 1/0", nil)
	assert.Error(t, err)
	assert.Equal(t, "before\n", res.Stdout, "output of a snippet that raised is not lost")
	assert.Equal(t, true, run(t, ex, "import io, sys\nv = isinstance(sys.stdout, io.TextIOBase) and not sys.stdout.isatty() and sys.stdout.encoding == 'utf-8'").Vars()["v"])
	_, err = ex.Execute(ctx, "import sys; sys.stdout.fileno()", nil)
	assert.ErrorContains(t, err, "UnsupportedOperation")
	_, err = ex.Execute(ctx, "print('\\ud800')", nil)
	assert.ErrorContains(t, err, "UnicodeEncodeError")
}

func TestStdin(t *testing.T) {
	ex := open(t, pyexec.Config{MaxInput: 100})
	res, err := ex.Run(ctx, pyexec.Snippet{Code: "a = input()\nimport sys\nb = sys.stdin.read()", Stdin: strings.NewReader("one\ntwo\n")})
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"a": "one", "b": "two\n"}, res.Vars())

	_, err = ex.Execute(ctx, "input()", nil)
	var py *pyexec.PythonError
	require.ErrorAs(t, err, &py, "the host's stdin is never read, nor an earlier call's")
	assert.Equal(t, "EOFError", py.Type)
	_, err = ex.Run(ctx, pyexec.Snippet{Code: "input()", Stdin: strings.NewReader("")})
	require.ErrorAs(t, err, &py)
}

func TestFreshNamespace(t *testing.T) {
	ex := open(t, pyexec.Config{})
	run(t, ex, `import json, sys, __main__
secret = 12345
def function(): pass
class Secret:
    def method(self): return secret
cycle = [Secret()]
cycle.append(cycle)
__main__.planted = 1
try:
    raise ValueError("secret")
except ValueError:
    pass
`)
	_, err := ex.Execute(ctx, "secret2 = 1; class_ = type('Secret', (), {}); raise KeyError('secret')", nil)
	require.Error(t, err)
	res := run(t, ex, `import gc, sys, __main__
names = [n for n in ("json", "secret", "function", "Secret", "cycle", "planted", "secret2") if n in globals()]
main = [n for n in vars(__main__) if not n.startswith("__") and n not in ("gc", "sys", "__main__", "names", "main")]
classes = [c.__name__ for c in object.__subclasses__() if c.__name__ == "Secret"]
objects = [repr(type(o)) for o in gc.get_objects() if type(o).__name__ in ("Secret", "ValueError", "KeyError")]
last = [sys.exc_info()[0], getattr(sys, "last_value", None), getattr(sys, "last_exc", None)]
`)
	v := res.Vars()
	assert.Equal(t, []any{}, v["names"])
	assert.Equal(t, []any{}, v["main"])
	assert.Equal(t, []any{}, v["classes"])
	assert.Equal(t, []any{}, v["objects"])
	assert.Equal(t, []any{nil, nil, nil}, v["last"])
}

func TestModuleMainIsTheSnippet(t *testing.T) {
	ex := open(t, pyexec.Config{})
	res := run(t, ex, `import pickle, __main__
class P:
    def __init__(self, x): self.x = x
x = pickle.loads(pickle.dumps(P(3))).x
same = __main__.P is P and __name__ == "__main__"`)
	assert.Equal(t, map[string]any{"x": int64(3), "same": true}, res.Vars())
}

func TestFinalizersRunInTheirOwnCall(t *testing.T) {
	ex := open(t, pyexec.Config{})
	res := run(t, ex, `import json
class Noisy:
    def __del__(self): print("bye", json.dumps(1))
n = Noisy()
m = Noisy()
m.self = m`)
	assert.Equal(t, "bye 1\nbye 1\n", res.Stdout)
	assert.Empty(t, run(t, ex, "import gc; gc.collect()").Stdout)
}

func TestSplitNamespace(t *testing.T) {
	ex := open(t, pyexec.Config{Namespace: pyexec.SplitNamespace})
	res, err := ex.Execute(ctx, "y = x + 1\nsame = globals() is locals()", pyexec.Vars{"x": 1})
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"x": int64(1), "y": int64(2), "same": false}, res.Vars())
	_, err = ex.Execute(ctx, "import json\ndef f(): return json.dumps(1)\nf()", nil)
	assert.ErrorContains(t, err, "NameError: name 'json' is not defined")
}

func TestPythonError(t *testing.T) {
	ex := open(t, pyexec.Config{})
	res, err := ex.Run(ctx, pyexec.Snippet{Name: "rule.py", Code: `x = 1
def f(d):
    return d["missing"]
try:
    f({})
except KeyError as e:
    e.add_note("a note")
    raise RuntimeError("wrapped") from e
`})
	require.NotNil(t, res)
	assert.Equal(t, int64(1), res.Vars()["x"], "variables as far as the snippet got")
	var py *pyexec.PythonError
	require.ErrorAs(t, err, &py)
	assert.Equal(t, "RuntimeError", py.Type)
	assert.Equal(t, []string{"RuntimeError", "Exception", "BaseException", "object"}, py.Bases)
	assert.Equal(t, "wrapped", py.Message)
	assert.EqualError(t, err, "RuntimeError: wrapped (rule.py:8, in <module>)")
	require.Len(t, py.Frames, 1)
	assert.Equal(t, pyexec.Frame{File: "rule.py", Function: "<module>", Line: 8, Column: 5, EndLine: 8, EndColumn: 41,
		Source: `raise RuntimeError("wrapped") from e`}, py.Frames[0])
	require.NotNil(t, py.Cause)
	assert.Equal(t, "KeyError", py.Cause.Type)
	assert.Equal(t, []string{"a note"}, py.Cause.Notes)
	require.Len(t, py.Cause.Frames, 2)
	assert.Equal(t, "f", py.Cause.Frames[1].Function)
	assert.Equal(t, `return d["missing"]`, py.Cause.Frames[1].Source)
	assert.Equal(t, []error{py.Cause}, py.Unwrap())
	assert.Contains(t, py.Traceback(), "direct cause of the following exception")
	assert.Contains(t, py.Traceback(), `    raise RuntimeError("wrapped") from e`)
}

func TestSyntaxError(t *testing.T) {
	ex := open(t, pyexec.Config{})
	_, err := ex.Run(ctx, pyexec.Snippet{Name: "rule.py", Code: "x = 1\ny = = 2\n"})
	var py *pyexec.PythonError
	require.ErrorAs(t, err, &py)
	assert.Equal(t, "SyntaxError", py.Type)
	require.NotNil(t, py.Syntax)
	assert.Equal(t, pyexec.SyntaxDetail{Message: "invalid syntax", File: "rule.py", Line: 2, Column: 5, EndLine: 2, EndColumn: 6, Text: "y = = 2\n"}, *py.Syntax)
	_, err = ex.Run(ctx, pyexec.Snippet{Name: "rule.py", Code: "x = 1\nif x:\n  return 3\n"})
	require.ErrorAs(t, err, &py)
	assert.Equal(t, "  return 3\n", py.Syntax.Text, "the line is known also where the parser did not see it")
	_, err = ex.Compile(ctx, pyexec.Snippet{Code: "x = ("})
	require.ErrorAs(t, err, &py)
}

func TestExitError(t *testing.T) {
	ex := open(t, pyexec.Config{})
	for code, want := range map[string]pyexec.ExitError{
		"import sys; sys.exit()":            {},
		"import sys; sys.exit(3)":           {Code: 3},
		"import sys; sys.exit('too bad')":   {Code: 1, Message: "too bad"},
		"raise SystemExit(None)":            {},
		"import os; os._exit(7)":            {Code: 7},
		"exit(2)":                           {Code: 2},
		"import posix; posix._exit(2 ** 3)": {Code: 8},
		"import sys; del sys.modules['posix']; import posix; posix._exit(4)": {Code: 4},
	} {
		res, err := ex.Execute(ctx, "print('before')\n"+code, nil)
		var exit *pyexec.ExitError
		require.ErrorAs(t, err, &exit, code)
		assert.Equal(t, want, *exit, code)
		assert.Equal(t, "before\n", res.Stdout)
	}
}

func TestOneExecutorInAProcess(t *testing.T) {
	ex := open(t, pyexec.Config{})
	if level == pyexec.InProcess {
		_, err := pyexec.New(pyexec.Config{})
		require.ErrorIs(t, err, pyexec.ErrInUse)
	} else {
		other := open(t, pyexec.Config{}) // beside the first
		assert.Equal(t, int64(42), run(t, other, "6 * 7").Value)
	}
	require.NoError(t, ex.Close())
	for range 3 {
		again, err := pyexec.New(at(pyexec.Config{}))
		require.NoError(t, err)
		res, err := again.Execute(ctx, "6 * 7", nil)
		require.NoError(t, err)
		assert.Equal(t, int64(42), res.Value)
		require.NoError(t, again.Close())
	}
}

func TestClose(t *testing.T) {
	ex := open(t, pyexec.Config{})
	p, err := ex.Compile(ctx, pyexec.Snippet{Code: "1"})
	require.NoError(t, err)
	require.NoError(t, ex.Close())
	require.NoError(t, ex.Close())
	_, err = ex.Execute(ctx, "1", nil)
	require.ErrorIs(t, err, pyexec.ErrClosed)
	_, err = p.Run(ctx, nil)
	require.ErrorIs(t, err, pyexec.ErrClosed)
	require.ErrorIs(t, ex.Recycle(ctx), pyexec.ErrClosed)
}

// blocked starts a snippet that runs until release is called.
func blocked(t *testing.T, ex *pyexec.Executor) (done chan error, release func()) {
	t.Helper()
	pipe := func(name string) (string, *os.File) { // by name: a snippet may be in another process
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, syscall.Mkfifo(path, 0o600))
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		require.NoError(t, err)
		t.Cleanup(func() { f.Close() })
		return path, f
	}
	begun, started := pipe("begun")
	waits, released := pipe("waits")
	done = make(chan error, 1)
	go func() {
		_, err := ex.Execute(ctx, "with open(begun, 'w') as f: f.write('x')\nwith open(waits) as f: f.read(1)",
			pyexec.Vars{"begun": begun, "waits": waits})
		done <- err
	}()
	_, err := started.Read(make([]byte, 1))
	require.NoError(t, err)
	return done, func() { _, _ = released.Write([]byte("x")) }
}

func TestWaitingHonoursContext(t *testing.T) {
	ex := open(t, pyexec.Config{})
	done, release := blocked(t, ex)

	canceled, cancel := context.WithCancel(ctx)
	failed := make(chan error)
	go func() {
		_, err := ex.Execute(canceled, "1", nil)
		failed <- err
	}()
	for ex.Stats().Waiting == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	require.ErrorIs(t, <-failed, context.Canceled)
	expired, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	require.ErrorIs(t, ex.Recycle(expired), context.DeadlineExceeded)
	_, err := ex.Execute(canceled, "1", nil)
	require.ErrorIs(t, err, context.Canceled)

	release()
	require.NoError(t, <-done)
	_, err = ex.Execute(canceled, "1", nil)
	require.ErrorIs(t, err, context.Canceled, "also when the executor is free")
}

func TestCloseWaitsForRunningCalls(t *testing.T) {
	ex := open(t, pyexec.Config{})
	done, release := blocked(t, ex)
	waiting := make(chan error)
	go func() {
		_, err := ex.Execute(ctx, "1", nil)
		waiting <- err
	}()
	for ex.Stats().Waiting == 0 {
		time.Sleep(time.Millisecond)
	}
	closed := make(chan error)
	go func() { closed <- ex.Close() }()
	require.ErrorIs(t, <-waiting, pyexec.ErrClosed)
	select {
	case <-closed:
		require.Fail(t, "Close did not wait")
	default:
	}
	release()
	require.NoError(t, <-done, "a running call ends as ever")
	require.NoError(t, <-closed)
}

func TestProgram(t *testing.T) {
	ex := open(t, pyexec.Config{CacheEntries: 2})
	p, err := ex.Compile(ctx, pyexec.Snippet{Code: "n * 2", Vars: pyexec.Vars{"n": 1}, Name: "double.py"})
	require.NoError(t, err)
	for i := range 10 {
		run(t, ex, fmt.Sprintf("%d", i)) // drops the program from the cache
		res, err := p.Run(ctx, pyexec.Vars{"n": i})
		require.NoError(t, err)
		assert.Equal(t, int64(2*i), res.Value)
		if i%3 == 0 {
			require.NoError(t, ex.Recycle(ctx))
		}
	}
	res, err := p.Run(ctx, nil)
	require.NoError(t, err)
	assert.Equal(t, int64(2), res.Value)
	_, err = p.Run(ctx, pyexec.Vars{"n": nil})
	assert.ErrorContains(t, err, "double.py:1")
}

func TestCacheIsBoundedAndCounted(t *testing.T) {
	ex := open(t, pyexec.Config{CacheEntries: 10, RecycleEvery: pyexec.RecycleNever})
	for i := range 100 {
		run(t, ex, fmt.Sprintf("x = %d", i))
	}
	for range 5 {
		run(t, ex, "x = 99")
	}
	_, err := ex.Run(ctx, pyexec.Snippet{Code: "x = 99", Name: "other.py"})
	require.NoError(t, err, "the name is part of what is compiled")
	s := ex.Stats()
	assert.Equal(t, uint64(106), s.Executions)
	assert.Equal(t, uint64(5), s.CacheHits)
	assert.Equal(t, uint64(101), s.CacheMisses)
	assert.Equal(t, uint64(10), s.CacheEntries)
	assert.Equal(t, uint64(91), s.CacheEvictions)

	require.NoError(t, ex.Close())
	ex = open(t, pyexec.Config{CacheBytes: 1000})
	for i := range 100 {
		run(t, ex, fmt.Sprintf("x = '%0100d'", i))
	}
	assert.Equal(t, uint64(9), ex.Stats().CacheEntries)
	require.NoError(t, ex.Close())

	ex = open(t, pyexec.Config{})
	for range 3 {
		_, err := ex.Compile(ctx, pyexec.Snippet{Code: "y = 1"})
		require.NoError(t, err)
		run(t, ex, "y = 1")
	}
	assert.Equal(t, uint64(3), ex.Stats().CacheHits, "compiling alone is no execution")
	assert.Equal(t, uint64(1), ex.Stats().CacheMisses)
}

func TestConfigErrorsNameTheField(t *testing.T) {
	for field, c := range map[string]pyexec.Config{
		"Isolation":    {Isolation: 7},
		"Workers":      {Workers: 2}, // in process
		"MaxWaiting":   {MaxWaiting: -1},
		"Limits":       {Limits: pyexec.Limits{FileSize: 1}, Isolation: pyexec.InProcess, Workers: 1},
		"Reset":        {Reset: 7},
		"Namespace":    {Namespace: 7},
		"RecycleEvery": {RecycleEvery: -2},
		"RecycleAfter": {RecycleAfter: -1},
		"CacheEntries": {CacheEntries: -1},
		"CacheBytes":   {CacheBytes: -1},
		"MaxSource":    {MaxSource: -1},
		"MaxInput":     {MaxInput: -1},
		"MaxOutput":    {MaxOutput: -1},
		"MaxResult":    {MaxResult: -1},
		"MaxDepth":     {MaxDepth: 10_001},
		"Preload":      {Preload: []string{""}},
	} {
		if c.Workers == 0 && c.Isolation == 0 {
			c = at(c)
		}
		_, err := pyexec.New(c)
		var e *pyexec.ConfigError
		require.ErrorAs(t, err, &e, field)
		assert.Equal(t, field, e.Field)
		assert.Contains(t, err.Error(), "Config."+field)
	}
}

func TestPreload(t *testing.T) {
	_, err := pyexec.New(at(pyexec.Config{Preload: []string{"json", "no_such_module"}}))
	require.ErrorContains(t, err, "Config.Preload: importing no_such_module")
	ex := open(t, pyexec.Config{Preload: []string{"json", "xml.dom", "decimal"}})
	for range 3 {
		assert.Equal(t, []any{true, true, true}, run(t, ex, "import sys; [m in sys.modules for m in ('json', 'xml.dom', 'decimal')]").Value)
		res := run(t, ex, "import json; json.dumps = None")
		assert.Equal(t, []string{"json.dumps: <function dumps> -> None"}, texts(res.Changes))
		assert.Equal(t, "[1]", run(t, ex, "import json; json.dumps([1])").Value)
		require.NoError(t, ex.Recycle(ctx))
	}
}

func TestErrorsMatchByPythonType(t *testing.T) {
	ex := open(t, pyexec.Config{})
	_, err := ex.Execute(ctx, "import json\nclass Mine(LookupError): pass\ntry: json.loads('{')\nexcept ValueError as e: raise Mine from e", nil)
	for name, want := range map[string]bool{
		"Mine": true, "LookupError": true, "Exception": true, "BaseException": true,
		"json.decoder.JSONDecodeError": true, "ValueError": true, // the cause
		"KeyError": false, "Min": false, "": false,
	} {
		assert.Equal(t, want, errors.Is(err, pyexec.ErrType(name)), name)
	}
	assert.EqualError(t, pyexec.ErrType("KeyError"), "pyexec: a Python KeyError")
}
