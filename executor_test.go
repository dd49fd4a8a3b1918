package pyexec_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

var ctx = context.Background()

// open gives a test an Executor of its own; the process can have one at a time.
func open(t *testing.T, c pyexec.Config) *pyexec.Executor {
	t.Helper()
	ex, err := pyexec.New(c)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, ex.Close()) })
	return ex
}

// run executes code that must succeed.
func run(t *testing.T, ex *pyexec.Executor, code string) *pyexec.Result {
	t.Helper()
	res, err := ex.Execute(ctx, code, nil)
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

func TestValueOfTheLastExpression(t *testing.T) {
	ex := open(t, pyexec.Config{})
	for code, want := range map[string]any{
		"40 + 2":                             int64(42),
		"x = 1\nx + 1 # comment":             int64(2),
		"x = 1":                              nil,
		"'text'":                             "text",
		"5; 6":                               int64(6),
		"if True:\n    7":                    nil,
		"def f():\n    return 8\nf()":        int64(8),
		"(\n 1,\n 2)\n\n":                    pyexec.Tuple{int64(1), int64(2)},
		"None":                               nil,
		"":                                   nil,
		"# only a comment":                   nil,
		"from __future__ import annotations": nil,
		"'doc'\n3":                           int64(3),
		"f = dict\nf(\nb = '(')":             map[string]any{"b": "("},
		"x = 1; x":                           int64(1),
		"x = 1\nx == 1":                      true,
		"\"\"\"a\nb = 1\"\"\"":               "a\nb = 1",
		"[x\nfor x in (1, 2)]":               []any{int64(1), int64(2)},
		"import math; math.floor(1.5)":       int64(1),
		"x = 1 # ; y\n":                      nil,
		"iffy = 3\niffy":                     int64(3),
		"notes = 1\nnot notes":               false,
		"1 \\\nif True else 2":               int64(1),
		"x = 1\rx":                           int64(1),
		"x = 1\r\nx\r\n":                     int64(1),
		"\"a\\\nx = # \"":                    "ax = # ",
		"lambda_ = 2\nlambda_ + 1":           int64(3),
	} {
		assert.Equal(t, want, run(t, ex, code).Value, code)
	}
	res := run(t, ex, "len")
	assert.Nil(t, res.Value)
	require.Len(t, res.Skipped(), 1)
	assert.Equal(t, "builtin_function_or_method", res.Skipped()[0].Type)
}

func TestWantAndSkipped(t *testing.T) {
	ex := open(t, pyexec.Config{})
	code := "import json\na = 1\nb = 2\n_c = 3\n__d__ = 4\ndef f(): pass\nclass C: pass\ng = (i for i in a_list)\nbad = '\\ud800'"
	in := pyexec.Vars{"a_list": []int{}}
	res, err := ex.Execute(ctx, code, in)
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"a": int64(1), "b": int64(2), "_c": int64(3), "a_list": []any{}}, res.Vars())
	types := map[string]string{}
	for _, s := range res.Skipped() {
		types[s.Name] = s.Type
		assert.NotEmpty(t, s.Reason)
	}
	assert.Equal(t, map[string]string{"json": "module", "f": "function", "C": "type", "g": "generator", "bad": "str"}, types)

	res, err = ex.Run(ctx, pyexec.Snippet{Code: code, Vars: in, Want: []string{"b", "json", "nope"}})
	require.NoError(t, err)
	assert.Equal(t, map[string]any{"b": int64(2)}, res.Vars())
	assert.Len(t, res.Skipped(), 2)
	var missing *pyexec.MissingError
	require.ErrorAs(t, res.Decode("json", new(any)), &missing)
	assert.Equal(t, "module", missing.Type)
	require.ErrorAs(t, res.Decode("nope", new(any)), &missing)
	assert.Empty(t, missing.Type)
	require.ErrorAs(t, res.Decode("a", new(any)), &missing, "not wanted, so not there")
}

func TestValuesBothWays(t *testing.T) {
	ex := open(t, pyexec.Config{})
	huge := new(big.Int).Lsh(big.NewInt(1), 4000)
	type point struct {
		X    int `cbor:"x"`
		Name string
		Opt  *int `json:"opt"`
	}
	for _, c := range []struct {
		in     any
		python string // its repr
		out    any
	}{
		{nil, "None", nil},
		{true, "True", true},
		{false, "False", false},
		{0, "0", int64(0)},
		{-1, "-1", int64(-1)},
		{int8(-128), "-128", int64(-128)},
		{uint16(65535), "65535", int64(65535)},
		{int64(math.MaxInt64), "9223372036854775807", int64(math.MaxInt64)},
		{int64(math.MinInt64), "-9223372036854775808", int64(math.MinInt64)},
		{uint64(math.MaxUint64), "18446744073709551615", new(big.Int).SetUint64(math.MaxUint64)},
		{new(big.Int).Lsh(big.NewInt(-1), 64), "-18446744073709551616", new(big.Int).Lsh(big.NewInt(-1), 64)},
		{new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(-1), 63), big.NewInt(1)), "-9223372036854775809",
			new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(-1), 63), big.NewInt(1))},
		{huge, "1 << 4000", huge},
		{new(big.Int).Neg(huge), "-(1 << 4000)", new(big.Int).Neg(huge)},
		{1.5, "1.5", 1.5},
		{math.Inf(-1), "float('-inf')", math.Inf(-1)},
		{float32(0.25), "0.25", 0.25},
		{"", "''", ""},
		{"h\x00éllo 😀", `'h\x00\xe9llo \U0001f600'`, "h\x00éllo 😀"},
		{[]byte{0, 255}, `b'\x00\xff'`, []byte{0, 255}},
		{[]any{1, "a", nil}, "[1, 'a', None]", []any{int64(1), "a", nil}},
		{[]string{"a"}, "['a']", []any{"a"}},
		{[2]int{1, 2}, "[1, 2]", []any{int64(1), int64(2)}},
		{pyexec.Tuple{1, pyexec.Tuple{}}, "(1, ())", pyexec.Tuple{int64(1), pyexec.Tuple{}}},
		{pyexec.Set{1}, "{1}", pyexec.Set{int64(1)}},
		{pyexec.Set(nil), "set()", pyexec.Set{}},
		{pyexec.FrozenSet{"x"}, "frozenset({'x'})", pyexec.FrozenSet{"x"}},
		{map[string]any{"a": map[string]any{}}, "{'a': {}}", map[string]any{"a": map[string]any{}}},
		{map[string]int{"a": 1}, "{'a': 1}", map[string]any{"a": int64(1)}},
		{map[int]string{1: "a"}, "{1: 'a'}", pyexec.Dict{{Key: int64(1), Value: "a"}}},
		{pyexec.Dict{{Key: pyexec.Tuple{1}, Value: 2}, {Key: nil, Value: 3}}, "{(1,): 2, None: 3}",
			pyexec.Dict{{Key: pyexec.Tuple{int64(1)}, Value: int64(2)}, {Key: nil, Value: int64(3)}}},
		{point{X: 1, Name: "n"}, "{'x': 1, 'Name': 'n', 'opt': None}", map[string]any{"x": int64(1), "Name": "n", "opt": nil}},
		{[]any{pyexec.Set{1}, []pyexec.Tuple{{2}}}, "[{1}, [(2,)]]", []any{pyexec.Set{int64(1)}, []any{pyexec.Tuple{int64(2)}}}},
	} {
		t.Run(fmt.Sprintf("%T %.30s", c.in, c.python), func(t *testing.T) {
			res, err := ex.Execute(ctx, "same = v == "+c.python+" and type(v) is type("+c.python+")", pyexec.Vars{"v": c.in})
			require.NoError(t, err)
			assert.Equal(t, true, res.Vars()["same"])
			assert.Equal(t, c.out, res.Vars()["v"])
			var decoded any
			require.NoError(t, res.Decode("v", &decoded))
			assert.Equal(t, c.out, decoded)
		})
	}
	t.Run("NaN and -0.0", func(t *testing.T) {
		res, err := ex.Execute(ctx, "import math\nok = math.isnan(n) and math.copysign(1, z) == -1", pyexec.Vars{"n": math.NaN(), "z": math.Copysign(0, -1)})
		require.NoError(t, err)
		assert.Equal(t, true, res.Vars()["ok"])
		assert.True(t, math.IsNaN(res.Vars()["n"].(float64)))
		assert.True(t, math.Signbit(res.Vars()["z"].(float64)))
	})
	t.Run("subclasses come back as what they derive from", func(t *testing.T) {
		res := run(t, ex, "import collections\nclass I(int): pass\nclass S(str): pass\na = I(3)\nb = S('s')\nc = collections.Counter('aab')\nd = collections.namedtuple('P', 'x')(1)\ne = bytearray(b'b')")
		v := res.Vars()
		assert.Equal(t, []any{int64(3), "s", map[string]any{"a": int64(2), "b": int64(1)}, pyexec.Tuple{int64(1)}, []byte("b")},
			[]any{v["a"], v["b"], v["c"], v["d"], v["e"]})
	})
}

func TestDecode(t *testing.T) {
	ex := open(t, pyexec.Config{})
	res := run(t, ex, `orders = [{"id": 1, "price": 2.5, "tags": ("a", "b"), "extra": 1}, {"ID": 2, "price": 3, "tags": []}]
big = 300
half = 1.5
whole = 2.0
none = None
by_id = {1: "one", 2: "two"}
raw = b"ab"
n = 2**70`)
	type base struct{ ID int64 }
	type order struct {
		base
		Price float64 `json:"price"`
		Tags  []string
	}
	var orders []order
	require.NoError(t, res.Decode("orders", &orders))
	assert.Equal(t, []order{{base{1}, 2.5, []string{"a", "b"}}, {base{2}, 3, []string{}}}, orders)

	var byID map[int]string
	require.NoError(t, res.Decode("by_id", &byID))
	assert.Equal(t, map[int]string{1: "one", 2: "two"}, byID)
	var whole int
	require.NoError(t, res.Decode("whole", &whole))
	assert.Equal(t, 2, whole)
	var pointer = new(int)
	require.NoError(t, res.Decode("none", &pointer))
	assert.Nil(t, pointer)
	var raw [2]byte
	require.NoError(t, res.Decode("raw", &raw))
	assert.Equal(t, [2]byte{'a', 'b'}, raw)
	var n big.Int
	require.NoError(t, res.Decode("n", &n))
	assert.Equal(t, "1180591620717411303424", n.String())
	var ordered pyexec.Dict
	require.NoError(t, res.Decode("by_id", &ordered))
	two, ok := ordered.Get(2)
	assert.True(t, ok)
	assert.Equal(t, "two", two)

	for _, c := range []struct {
		name   string
		target any
		text   string
	}{
		{"big", new(int8), "big: cannot decode int into int8: 300 is out of its range"},
		{"half", new(int), "half: cannot decode float into int: 1.5 is no whole number"},
		{"none", new(int), "none: cannot decode None into int"},
		{"n", new(int64), "n: cannot decode int into int64: 1180591620717411303424 is out of its range"},
		{"raw", new(string), "raw: cannot decode bytes into string"},
		{"orders", new([]struct{ Price int }), "orders[0].price: cannot decode float into int: 2.5 is no whole number"},
		{"orders", new(map[string]int), "orders: cannot decode list into map[string]int"},
		{"orders", new([1]any), "orders: cannot decode list into [1]interface {}: it has 2 items"},
	} {
		err := res.Decode(c.name, c.target)
		var decodeError *pyexec.DecodeError
		require.ErrorAs(t, err, &decodeError)
		assert.EqualError(t, err, c.text)
	}
	assert.Error(t, res.Decode("big", nil))
	assert.Error(t, res.Decode("big", 3))
}

func TestOutput(t *testing.T) {
	ex := open(t, pyexec.Config{MaxOutput: 10})
	res := run(t, ex, "import sys\nprint('out')\nsys.stderr.write('err')\nsys.stdout.buffer.write(b'!')\nsys.__stdout__.write('?')")
	assert.Equal(t, "out\n!?", res.Stdout)
	assert.Equal(t, "err", res.Stderr)
	assert.False(t, res.StdoutTruncated)

	res = run(t, ex, "print('x' * 9 + 'é' + 'y')\nimport sys\nsys.stdout.close()")
	assert.Equal(t, "xxxxxxxxx", res.Stdout, "cut at a whole character")
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
	_, err = ex.Run(ctx, pyexec.Snippet{Code: "1", Stdin: strings.NewReader(strings.Repeat("x", 101))})
	assert.ErrorIs(t, err, pyexec.ErrTooLarge)
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
	assert.Same(t, py.Cause, errors.Unwrap(py))
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

// What would end or double the host raises instead.
func TestHostIsGuarded(t *testing.T) {
	ex := open(t, pyexec.Config{})
	for _, code := range []string{
		"import os; os.fork()",
		"import os; os.forkpty()",
		"import os; os.execv('/bin/true', ['true'])",
		"import os; os.kill(os.getpid(), 9)",
		"import os; os.kill(0, 9)",
		"import os; os.killpg(os.getpgrp(), 9)",
		"import os; os.abort()",
		"import signal; signal.raise_signal(15)",
		"import signal, threading; signal.pthread_kill(threading.get_ident(), 9)",
		"import signal, os; signal.pidfd_send_signal(os.pidfd_open(os.getpid()), 9)",
		"import sys; sys.modules.pop('posix'); import posix; posix.abort()",
		"import faulthandler; faulthandler.dump_traceback_later(0.2, exit=True)",
		"import faulthandler; faulthandler._sigsegv()",
		"import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 1))",
	} {
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
		"a time, which comes later": {code: "1", vars: pyexec.Vars{"t": time.Now()}, as: &input},
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

func TestOneExecutorInAProcess(t *testing.T) {
	ex := open(t, pyexec.Config{})
	_, err := pyexec.New(pyexec.Config{})
	require.ErrorIs(t, err, pyexec.ErrInUse)
	require.NoError(t, ex.Close())
	for range 3 {
		again, err := pyexec.New(pyexec.Config{})
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
	started, begun, err := os.Pipe()
	require.NoError(t, err)
	waits, released, err := os.Pipe()
	require.NoError(t, err)
	done = make(chan error, 1)
	go func() {
		_, err := ex.Execute(ctx, "import os\nos.write(begun, b'x')\nos.read(waits, 1)",
			pyexec.Vars{"begun": int(begun.Fd()), "waits": int(waits.Fd())})
		done <- err
	}()
	_, err = started.Read(make([]byte, 1))
	require.NoError(t, err)
	t.Cleanup(func() {
		for _, f := range []*os.File{started, begun, waits, released} {
			f.Close()
		}
	})
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
		_, err := pyexec.New(c)
		var e *pyexec.ConfigError
		require.ErrorAs(t, err, &e, field)
		assert.Equal(t, field, e.Field)
		assert.Contains(t, err.Error(), "Config."+field)
	}
}

func TestPreload(t *testing.T) {
	_, err := pyexec.New(pyexec.Config{Preload: []string{"json", "no_such_module"}})
	require.ErrorContains(t, err, "Config.Preload: importing no_such_module")
	ex := open(t, pyexec.Config{Preload: []string{"json", "xml.dom", "decimal"}})
	for range 3 {
		assert.Equal(t, []any{true, true, true}, run(t, ex, "import sys; [m in sys.modules for m in ('json', 'xml.dom', 'decimal')]").Value)
		res := run(t, ex, "import json; json.dumps = None")
		assert.Equal(t, []string{"json.dumps: <function object> -> None"}, texts(res.Changes))
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

// 64 goroutines call, recycle and close at once: every call ends in its own result or a typed error.
func TestHammer(t *testing.T) {
	for round := range 3 {
		ex, err := pyexec.New(pyexec.Config{RecycleEvery: 50, RecycleAfter: 3 * time.Millisecond})
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
