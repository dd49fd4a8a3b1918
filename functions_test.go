package pyexec_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

type searchOptions struct {
	Limit   int      `json:"limit"`
	Tags    []string `json:"tags"`
	Verbose *bool    `cbor:"verbose"`
}

var functions = pyexec.Functions{
	"nothing": func() {},
	"add":     func(a, b int) int { return a + b },
	"join":    func(sep string, parts ...string) string { return strings.Join(parts, sep) },
	"pair":    func(_ context.Context, x any) (any, string) { return x, fmt.Sprintf("%T", x) },
	"divmod": func(a, b *big.Int) (*big.Int, *big.Int, error) {
		return new(big.Int).Div(a, b), new(big.Int).Mod(a, b), nil
	},
	"search": func(q string, o searchOptions) string {
		return fmt.Sprintf("%s%d%v%v", q, o.Limit, o.Tags, o.Verbose != nil)
	},
	"optional": func(o *searchOptions) bool { return o == nil },
	"fail":     func(why string) error { return &fs.PathError{Op: "open", Path: why, Err: fs.ErrNotExist} },
	"panics":   func(v any) { panic(v) },
	"oops":     func() int { var p *int; return *p },
	"goexit":   func() { runtime.Goexit() },
	"channel":  func() any { return make(chan int) },
	"loop":     func() any { a := []any{nil}; a[0] = a; return a },
}

func TestFunctions(t *testing.T) {
	ex := open(t, pyexec.Config{Functions: functions})
	for code, want := range map[string]any{
		"nothing()":                                      nil,
		"add(40, 2)":                                     int64(42),
		"add(-1, 2.0)":                                   int64(1),
		"join('-')":                                      "",
		"join('-', 'a', 'b', *'cd')":                     "a-b-c-d",
		"pair(None)":                                     pyexec.Tuple{nil, "<nil>"},
		"pair({'a': [1, 2.5]})":                          pyexec.Tuple{map[string]any{"a": []any{int64(1), 2.5}}, "map[string]interface {}"},
		"pair((1,))[0]":                                  pyexec.Tuple{int64(1)},
		"divmod(10**30 + 7, 10**30)":                     pyexec.Tuple{int64(1), int64(7)},
		"search('q')":                                    "q0[]false",
		"search('q', limit=3, tags=['a', 'b'])":          "q3[a b]false",
		"search('q', **{'verbose': True})":               "q0[]true",
		"search('q', {'limit': 4})":                      "q4[]false",
		"optional()":                                     true,
		"optional(limit=1)":                              false,
		"optional(None)":                                 true,
		"sum(map(add, [1, 2], [3, 4]))":                  int64(10),
		"[repr(add), add.__name__, callable(add)]":       []any{"<Go function add>", "add", true},
		"def f(): return add(1, 1)\nf()":                 int64(2),
		"import functools\nfunctools.partial(add, 1)(2)": int64(3),
		"eval('add(1, 2)')":                              int64(3),
	} {
		res, err := ex.Execute(ctx, code, nil)
		if assert.NoError(t, err, code) {
			assert.Equal(t, want, res.Value, code)
			for _, s := range res.Skipped() {
				assert.NotEqual(t, "pyexec.Function", s.Type, "Go functions are not listed: %s", code)
			}
		}
	}
	res, err := ex.Run(ctx, pyexec.Snippet{Code: "f = add", Want: []string{"f"}})
	require.NoError(t, err)
	assert.Equal(t, []pyexec.Skipped{{Name: "f", Type: "pyexec.Function", Reason: "its type has no Go form"}}, res.Skipped(),
		"but they are if asked for")
	split := pyexec.Snippet{Code: "add(1, 2)", Functions: pyexec.Functions{"add": func(a, b int) string { return fmt.Sprint(a, b) }}}
	res, err = ex.Run(ctx, split)
	require.NoError(t, err)
	assert.Equal(t, "1 2", res.Value, "a snippet's own function goes before the Config's")
	split.Vars = pyexec.Vars{"add": 1}
	_, err = ex.Run(ctx, split)
	require.ErrorContains(t, err, "'int' object is not callable")
	p, err := ex.Compile(ctx, pyexec.Snippet{Code: "f(x)", Functions: pyexec.Functions{"f": func(x int) int { return -x }}})
	require.NoError(t, err)
	res, err = p.Run(ctx, pyexec.Vars{"x": 5})
	require.NoError(t, err)
	assert.Equal(t, int64(-5), res.Value)
}

func TestFunctionsInASplitNamespace(t *testing.T) {
	ex := open(t, pyexec.Config{Functions: functions, Namespace: pyexec.SplitNamespace})
	assert.Equal(t, int64(3), run(t, ex, "def f(): return add(1, 2)\nf()").Value)
}

func TestBadArguments(t *testing.T) {
	ex := open(t, pyexec.Config{Functions: functions})
	for code, want := range map[string]string{
		"add(1)":                        "add() missing 1 required positional argument",
		"add()":                         "add() missing 2 required positional arguments",
		"add(1, 2, 3)":                  "add() takes 2 positional arguments but 3 were given",
		"nothing(1)":                    "nothing() takes 0 positional arguments but 1 was given",
		"add(1, 'x')":                   "add() argument 2: cannot decode str into int",
		"add(1, 2.5)":                   "add() argument 2: cannot decode float into int: 2.5 is no whole number",
		"add(1, 2**70)":                 "add() argument 2: cannot decode int into int: 1180591620717411303424 is out of its range",
		"add(1, b=2)":                   "add() missing 1 required positional argument",
		"add(1, 2, b=2)":                "add() takes no keyword arguments",
		"join()":                        "join() missing 1 required positional argument",
		"join('', 'a', 1)":              "join() argument 3: cannot decode int into string",
		"search('q', limt=1)":           "search() got an unexpected keyword argument 'limt'",
		"search('q', limit='x')":        "search() keyword.limit: cannot decode str into int",
		"search('q', {}, limit=1)":      "search() got keyword arguments beside a dict of them",
		"search('q', 1)":                "search() argument 2: cannot decode int into pyexec_test.searchOptions",
		"add(1, object())":              "add() argument 2: its type has no Go form (object)",
		"search('q', limit=print)":      "search() argument 'limit': its type has no Go form (builtin_function_or_method)",
		"a = []\na.append(a)\npair(a)":  "pair() argument 1: it is nested too deep, or contains itself (list)",
		"join('\\ud800')":               "join() argument 1: it holds a lone surrogate, which UTF-8 cannot carry (str)",
		"search('q', **{'\\ud800': 1})": "search() got an unexpected keyword argument '\\ud800'",
		"type(add)()":                   "cannot create 'pyexec.Function' instances",
		"try:\n    add.x = 1\nexcept AttributeError as e:\n    raise TypeError(*e.args)": "'pyexec.Function' object has no attribute 'x'",
	} {
		_, err := ex.Execute(ctx, code, nil)
		var py *pyexec.PythonError
		if assert.ErrorAs(t, err, &py, code) {
			assert.Equal(t, "TypeError", py.Type, code)
			assert.Contains(t, py.Message, want, code)
		}
	}
}

func TestGoErrors(t *testing.T) {
	ex := open(t, pyexec.Config{Functions: functions})
	_, err := ex.Execute(ctx, "x = 1\nfail('f.txt')", nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	var path *fs.PathError
	require.ErrorAs(t, err, &path)
	assert.Equal(t, "f.txt", path.Path)
	var py *pyexec.PythonError
	require.ErrorAs(t, err, &py)
	assert.Equal(t, "pyexec.GoError", py.Type)
	assert.ErrorIs(t, err, pyexec.ErrType("RuntimeError"))
	assert.ErrorIs(t, err, pyexec.ErrType("pyexec.GoError"))
	assert.Equal(t, "open f.txt: file does not exist", py.Message)
	assert.Same(t, path, py.Err)
	assert.Equal(t, map[string]any{"function": "fail", "go_type": "*fs.PathError"}, py.Attrs)
	assert.Contains(t, py.Traceback(), "  File \"snippet.py\", line 2, in <module>\n    fail('f.txt')\n")
	assert.True(t, strings.HasSuffix(py.Traceback(), "\npyexec.GoError: open f.txt: file does not exist\n"))

	res := run(t, ex, `import pyexec
try:
    fail("f.txt")
except pyexec.GoError as e:
    seen = [str(e), e.function, e.go_type, isinstance(e, RuntimeError)]`)
	assert.Equal(t, []any{"open f.txt: file does not exist", "fail", "*fs.PathError", true}, res.Vars()["seen"])

	for _, code := range []string{
		"try:\n    fail('f')\nexcept RuntimeError as e:\n    raise KeyError from e",
		"try:\n    fail('f')\nexcept RuntimeError:\n    raise KeyError",
		"all = []\nfor x in 'ab':\n    try:\n        fail(x)\n    except RuntimeError as e:\n        all.append(e)\nraise ExceptionGroup('both', all)",
		"try:\n    fail('f')\nexcept RuntimeError as e:\n    kept = e\nfor i in range(1000):\n    try:\n        fail('g')\n    except RuntimeError:\n        pass\nraise kept",
	} {
		_, err := ex.Execute(ctx, code, nil)
		require.ErrorIs(t, err, fs.ErrNotExist, code)
	}
	_, err = ex.Execute(ctx, "try:\n    fail('f')\nexcept RuntimeError:\n    raise KeyError from None", nil)
	require.NotErrorIs(t, err, fs.ErrNotExist)
	for _, code := range []string{"import pyexec\nraise pyexec.GoError('mine')", "import pyexec\nclass E(pyexec.GoError): pass\nraise E"} {
		_, err = ex.Execute(ctx, code, nil)
		require.ErrorAs(t, err, &py)
		assert.ErrorIs(t, err, pyexec.ErrType("pyexec.GoError"))
		assert.NoError(t, py.Err, "Python code made it")
	}
	_, err = ex.Execute(ctx, "import pyexec\npyexec.GoError.x = 1", nil)
	require.ErrorContains(t, err, "immutable")
	res = run(t, ex, "import pyexec\npyexec.GoError = 1")
	assert.NotEmpty(t, res.Changes)
	assert.Equal(t, "<class 'pyexec.GoError'>", run(t, ex, "import pyexec\nrepr(pyexec.GoError)").Value)
}

func TestPanicsAndGoexit(t *testing.T) {
	ex := open(t, pyexec.Config{Functions: functions})
	_, err := ex.Execute(ctx, "panics('so what')", nil)
	var p *pyexec.PanicError
	require.ErrorAs(t, err, &p)
	assert.Equal(t, "so what", p.Value)
	assert.Contains(t, string(p.Stack), "functions_test.go")
	_, err = ex.Execute(ctx, "oops()", nil)
	var fault runtime.Error
	require.ErrorAs(t, err, &fault)
	_, err = ex.Execute(ctx, "panics(None)", nil)
	require.ErrorAs(t, err, &p)

	res, err := ex.Execute(ctx, "x = 0\nfor i in range(3):\n    try:\n        goexit()\n    except RuntimeError:\n        x += 1\n    x = add(x, 10)\ngoexit()", nil)
	require.ErrorIs(t, err, pyexec.ErrGoexit)
	assert.Equal(t, int64(33), res.Vars()["x"], "the call goes on")
	assert.Equal(t, int64(3), run(t, ex, "add(1, 2)").Value)

	_, err = ex.Execute(ctx, "channel()", nil)
	require.ErrorContains(t, err, "the result has no Python form")
	_, err = ex.Execute(ctx, "loop()", nil)
	require.ErrorContains(t, err, "contains itself")
}

type evilError struct{}

func (evilError) Error() string { panic("no text") }

func TestErrorsThatResist(t *testing.T) {
	ex := open(t, pyexec.Config{MaxInput: 100})
	s := pyexec.Snippet{Code: "f()", Functions: pyexec.Functions{"f": func() error { return evilError{} }}}
	_, err := ex.Run(ctx, s)
	var evil evilError
	require.ErrorAs(t, err, &evil)
	s.Functions["f"] = func() error { return errors.New("bad \xff utf-8 \x00") }
	_, err = ex.Run(ctx, s)
	require.ErrorContains(t, err, "bad \uFFFD utf-8 \x00")
	s.Functions["f"] = func() string { return strings.Repeat("x", 101) }
	_, err = ex.Run(ctx, s)
	require.ErrorIs(t, err, pyexec.ErrTooLarge)
	s.Functions["f"] = func() string { return "\xff" }
	_, err = ex.Run(ctx, s)
	require.ErrorContains(t, err, "f(): the result has no Python form: a string is not valid UTF-8")
}

func TestBadFunctions(t *testing.T) {
	var none func()
	for _, c := range []struct {
		name string
		fn   any
		why  string
	}{
		{"f", 1, "int is no function"},
		{"f", nil, "<nil> is no function"},
		{"f", none, "it is nil"},
		{"", func() {}, "empty"},
		{"1f", func() {}, "no Python identifier"},
		{"a b", func() {}, "no Python identifier"},
		{"lambda", func() {}, "keyword"},
		{"__import__", func() {}, "Python's own"},
		{"f", func(chan int) {}, "chan int"},
		{"f", func(int, map[string][]func()) {}, "parameter 2 of func(int, map[string][]func()): no Python value can be decoded into func()"},
		{"f", func(error) {}, "decoded into error"},
		{"f", func(int, context.Context) {}, "decoded into context.Context"},
		{"f", func(struct{ C chan int }) {}, "chan int"},
		{"f", func() (int, chan int) { return 0, nil }, "result 2"},
	} {
		_, err := pyexec.New(pyexec.Config{Functions: pyexec.Functions{c.name: c.fn, "ok": func() {}}})
		var bad *pyexec.ConfigError
		require.ErrorAs(t, err, &bad, "%v", c)
		assert.Equal(t, fmt.Sprintf("Functions[%q]", c.name), bad.Field)
		assert.Contains(t, bad.Reason, c.why)
	}
	ex := open(t, pyexec.Config{})
	_, err := ex.Run(ctx, pyexec.Snippet{Code: "1", Functions: pyexec.Functions{"f": func(chan int) {}}})
	var in *pyexec.InputError
	require.ErrorAs(t, err, &in)
	assert.True(t, in.Function)
	assert.ErrorContains(t, err, `pyexec: function "f": parameter 1 of func(chan int)`)
	type recursive struct {
		Next *recursive
		Skip func() `json:"-"`
		None *big.Rat
	}
	_, err = ex.Run(ctx, pyexec.Snippet{Code: "f(Next={'Next': {}})", Functions: pyexec.Functions{"größe": func() {}, "f": func(recursive) error { return nil }}})
	require.NoError(t, err)
}

func TestReentrancy(t *testing.T) {
	ex := open(t, pyexec.Config{})
	call := func(f any) error {
		_, err := ex.Run(ctx, pyexec.Snippet{Code: "f()", Functions: pyexec.Functions{"f": f}})
		return err
	}
	again := func(ctx context.Context) error {
		_, err := ex.Execute(ctx, "1", nil)
		return err
	}
	require.ErrorIs(t, call(again), pyexec.ErrReentrant)
	require.ErrorIs(t, call(func() error { return again(context.Background()) }), pyexec.ErrReentrant, "without the context")
	require.ErrorIs(t, call(func(ctx context.Context) error {
		result := make(chan error)
		go func() { result <- again(ctx) }()
		return <-result
	}), pyexec.ErrReentrant, "in another goroutine with the context")
	require.ErrorIs(t, call(func() error { return ex.Recycle(ctx) }), pyexec.ErrReentrant)
	require.ErrorIs(t, call(func() error { _, err := ex.Compile(ctx, pyexec.Snippet{Code: "1"}); return err }), pyexec.ErrReentrant)
	require.ErrorIs(t, call(func() error { return ex.Close() }), pyexec.ErrReentrant)
	require.NoError(t, again(ctx), "and it goes on")

	var group sync.WaitGroup
	inF := make(chan struct{})
	group.Go(func() {
		<-inF
		assert.NoError(t, again(ctx), "others wait as ever")
	})
	require.NoError(t, call(func() { close(inF); runtime.Gosched() }))
	group.Wait()
}

func TestFunctionContext(t *testing.T) {
	ex := open(t, pyexec.Config{})
	type key struct{}
	var kept context.Context
	cancelled, cancel := context.WithCancelCause(context.WithValue(ctx, key{}, "value"))
	_, err := ex.Run(cancelled, pyexec.Snippet{Code: "f()", Functions: pyexec.Functions{"f": func(ctx context.Context) error {
		assert.Equal(t, "value", ctx.Value(key{}))
		assert.NoError(t, ctx.Err())
		kept = ctx
		return nil
	}}})
	require.NoError(t, err)
	require.ErrorIs(t, kept.Err(), context.Canceled, "it ends with the call")

	_, err = ex.Run(cancelled, pyexec.Snippet{Code: "f()", Functions: pyexec.Functions{"f": func(ctx context.Context) error {
		cancel(nil)
		<-ctx.Done()
		return ctx.Err()
	}}})
	require.ErrorIs(t, err, context.Canceled)
}

// A Snippet's Timeout is a deadline like that of ctx; and printing what a function gives up with is not cut short by it.
func TestFunctionContextHasTheTimeout(t *testing.T) {
	ex := open(t, pyexec.Config{})
	res, err := ex.Run(ctx, pyexec.Snippet{Code: "f()", Timeout: 20 * time.Millisecond, Functions: pyexec.Functions{"f": func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}}})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	var py *pyexec.PythonError
	if errors.As(err, &py) { // it was faster than the call was stopped
		assert.Contains(t, py.Traceback(), "snippet.py")
	}
	require.NotNil(t, res)
	run(t, ex, "x = 1")
}

// Whoever calls Run does not wait for a function, Writer or Reader that does not return.
func TestFunctionsThatDoNotReturn(t *testing.T) {
	for name, code := range map[string]string{
		"function":      "f()",
		"in a thread":   "import threading\nfor _ in range(3): threading.Thread(target=f).start()\nf()",
		"caught":        "while True:\n    try: f()\n    except BaseException: pass",
		"output":        "print('x', flush=True)",
		"after another": "add(1, 2)\nf()",
	} {
		t.Run(name, func(t *testing.T) {
			ex := open(t, pyexec.Config{Functions: functions, Grace: 50 * time.Millisecond})
			goroutines := runtime.NumGoroutine()
			for range 8 {
				back := make(chan struct{})
				s := pyexec.Snippet{Code: code, Timeout: 20 * time.Millisecond, Functions: pyexec.Functions{"f": func() { <-back }}}
				if name == "output" {
					s.Stdout = writerFunc(func(p []byte) (int, error) { <-back; return len(p), nil })
				}
				result := make(chan error, 1)
				go func() { _, err := ex.Run(ctx, s); result <- err }()
				var err error
				select {
				case err = <-result:
				case <-time.After(time.Minute):
					t.Error("the caller waits")
				}
				close(back)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				_, err = ex.Run(ctx, pyexec.Snippet{Code: "x = 1", Timeout: time.Minute}) // in process it waits until f is back
				require.NoError(t, err)
			}
			assert.Eventually(t, func() bool { return runtime.NumGoroutine() <= goroutines+3 }, 10*time.Second, time.Millisecond,
				"itself two, and the one for calls that can be left")
		})
	}
}

func TestFunctionsInThreads(t *testing.T) {
	ex := open(t, pyexec.Config{Functions: functions})
	// Two functions at once: each waits for the other, so it must run while the other has not returned.
	meet := make(chan int)
	res, err := ex.Run(ctx, pyexec.Snippet{Code: `
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(2) as pool:
    a, b = pool.submit(give, 7), pool.submit(take)
    got = b.result()
    a.result()
    sums = list(pool.map(add, range(100), range(100)))
    try:
        pool.submit(fail, "f").result()
    except RuntimeError as e:
        why = str(e)
    try:
        pool.submit(goexit).result()
    except RuntimeError as e:
        exited = str(e)
`, Functions: pyexec.Functions{
		"give": func(x int) { meet <- x },
		"take": func() int { return <-meet },
	}})
	require.NoError(t, err)
	v := res.Vars()
	assert.Equal(t, int64(7), v["got"])
	assert.Len(t, v["sums"], 100)
	assert.Equal(t, "open f: file does not exist", v["why"])
	assert.Equal(t, pyexec.ErrGoexit.Error(), v["exited"])
}

// A thread that outlives its call keeps the functions of the call, which are dead then.
func TestFunctionsOfEarlierCalls(t *testing.T) {
	ex := open(t, pyexec.Config{Reset: pyexec.ResetNone, Functions: functions})
	entered, leave := make(chan struct{}), make(chan struct{})
	var late context.Context
	_, err := ex.Run(ctx, pyexec.Snippet{Code: `
import threading, sys
sys.kept = add, sys.stdout
sys.result = []
def work():
    try:
        slow()
    except Exception as e:
        sys.result.append(repr(e))
    for f in add, slow:
        try:
            f(1, 2)
        except Exception as e:
            sys.result.append(repr(e))
sys.thread = threading.Thread(target=work)
sys.thread.start()
entered()
`, Functions: pyexec.Functions{
		"slow":    func(ctx context.Context) { late = ctx; close(entered); <-leave },
		"entered": func() { <-entered },
	}})
	require.NoError(t, err)
	<-late.Done()
	close(leave)
	const over = "the call that it belongs to is over"
	res := run(t, ex, "import sys\nsys.thread.join()\ntry:\n    sys.kept[0](1, 2)\nexcept RuntimeError as e:\n    sys.result.append(repr(e))\nsys.result")
	assert.Equal(t, []any{"RuntimeError('add: " + over + "')", "RuntimeError('slow: " + over + "')", "RuntimeError('add: " + over + "')"}, res.Value)
	_, err = ex.Execute(ctx, "import sys\ndel sys.kept, sys.result, sys.thread\nadd.__self__", nil)
	require.ErrorContains(t, err, "AttributeError")
}

func TestFunctionsAndRecycling(t *testing.T) {
	ex := open(t, pyexec.Config{Functions: functions, RecycleEvery: 1})
	for range 10 {
		res := run(t, ex, "import pyexec\ntry:\n    fail('x')\nexcept pyexec.GoError:\n    pass\nadd(1, 2)")
		assert.Equal(t, int64(3), res.Value)
		assert.Empty(t, res.Changes)
	}
	require.NoError(t, ex.Recycle(ctx))
	assert.NotZero(t, ex.Stats().Recycles)
}

// Functions are called from wherever a snippet's code runs: finalizers, __str__ of what it raises, tracing, and while its
// namespace is taken down.
func TestFunctionsInOddPlaces(t *testing.T) {
	ex := open(t, pyexec.Config{Functions: functions})
	for code, want := range map[string][]any{
		"class C:\n    def __del__(self): note('del')\nc = C()":                                               {"del"},
		"class C:\n    def __del__(self): note('cycle')\nc = C()\nc.c = c":                                    {"cycle"},
		"class E(Exception):\n    def __str__(self): return note('str')\nraise E":                             {"str"},
		"import sys\ndef f(): pass\nsys.settrace(lambda *a: note('trace') and None)\nf()\nsys.settrace(None)": {"trace"},
		"def g():\n    try:\n        yield\n    finally:\n        note('finally')\nx = g()\nnext(x)":          {"finally"},
		"class K:\n    def __hash__(self): return note('hash') and 1\n{K(): 1}":                               {"hash"},
		"import atexit\natexit.register(note, 'never')":                                                       nil,
		"def f(n):\n    return f(n - 1) if n else note('deep')\nf(800)":                                       {"deep"},
		"import sys\nsys.stdout = type('W', (), {'write': lambda self, s: note(s)})()\nsys.stdout.write('x')": {"x"},
	} {
		var seen []any
		_, err := ex.Run(ctx, pyexec.Snippet{Code: code, Functions: pyexec.Functions{"note": func(s any) any {
			seen = append(seen, s)
			return s
		}}})
		if err != nil {
			require.ErrorIs(t, err, pyexec.ErrType("E"), code)
		}
		assert.Equal(t, want, slices.Compact(seen), code) // how often str() and a trace function are called depends on the version
	}
}

// Of very many errors the last ones are known; the others are exceptions as any.
func TestManyGoErrors(t *testing.T) {
	ex := open(t, pyexec.Config{Functions: functions})
	code := "kept = []\nfor i in range(3000):\n    try:\n        fail(str(i))\n    except RuntimeError as e:\n        kept.append(e)\nraise kept[%d]"
	_, err := ex.Execute(ctx, fmt.Sprintf(code, 2999), nil)
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = ex.Execute(ctx, fmt.Sprintf(code, 0), nil)
	var py *pyexec.PythonError
	require.ErrorAs(t, err, &py)
	assert.NoError(t, py.Err)
	assert.Equal(t, "open 0: file does not exist", py.Message)
}

func TestHostsOfManyGoroutines(t *testing.T) {
	ex := open(t, pyexec.Config{Functions: functions, RecycleEvery: 20})
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for j := range 25 {
				n := i*100 + j
				var out strings.Builder
				res, err := ex.Run(ctx, pyexec.Snippet{
					Code:      "x = add(mine(), int(input()))\nprint(x)\nif x % 3 == 0:\n    check(x)",
					Stdin:     strings.NewReader(fmt.Sprint(n)),
					Stdout:    &out,
					Functions: pyexec.Functions{"mine": func() int { return n }, "check": func(x int) error { return fmt.Errorf("%d: %w", x, fs.ErrInvalid) }},
				})
				assert.Equal(t, fmt.Sprintln(2*n), out.String())
				assert.Equal(t, int64(2*n), res.Vars()["x"])
				if n%3 == 0 {
					assert.ErrorIs(t, err, fs.ErrInvalid)
				} else {
					assert.NoError(t, err)
				}
			}
		})
	}
	group.Wait()
}
