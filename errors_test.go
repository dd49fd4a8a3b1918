package pyexec_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

// raised runs code that must end in an exception.
func raised(t *testing.T, ex *pyexec.Executor, code string) *pyexec.PythonError {
	t.Helper()
	_, err := ex.Execute(ctx, code, nil)
	var py *pyexec.PythonError
	require.ErrorAs(t, err, &py, code)
	return py
}

func TestExceptionGroup(t *testing.T) {
	ex := open(t, pyexec.Config{})
	py := raised(t, ex, `
def one(): raise KeyError("k")
def group():
    caught = []
    try:
        one()
    except KeyError as e:
        caught.append(e)
    raise ExceptionGroup("several", [*caught, ExceptionGroup("inner", [OSError(2, "no", "f.txt"), ValueError("v")])])
group()`)
	assert.Equal(t, "ExceptionGroup", py.Type)
	assert.Equal(t, "several (2 sub-exceptions)", py.Message)
	require.Len(t, py.Exceptions, 2)
	assert.Equal(t, "KeyError", py.Exceptions[0].Type)
	require.Len(t, py.Exceptions[0].Frames, 2, "a member has its own frames")
	assert.Equal(t, `def one(): raise KeyError("k")`, py.Exceptions[0].Frames[1].Source)
	require.Len(t, py.Exceptions[1].Exceptions, 2)
	assert.Equal(t, "ValueError", py.Exceptions[1].Exceptions[1].Type)
	for _, name := range []pyexec.ErrType{"ExceptionGroup", "KeyError", "LookupError", "FileNotFoundError", "OSError", "ValueError"} {
		assert.ErrorIs(t, py, name)
	}
	assert.NotErrorIs(t, py, pyexec.ErrType("TypeError"))
	assert.Contains(t, py.Traceback(), "+-+---------------- 1 ----------------")
	assert.Nil(t, raised(t, ex, "1/0").Exceptions)
}

func TestGroupsOfManyAndOfThemselves(t *testing.T) {
	ex := open(t, pyexec.Config{})
	py := raised(t, ex, "raise ExceptionGroup('many', [ValueError(i) for i in range(1000)])")
	assert.Len(t, py.Exceptions, 255, "with itself 256, the most that are kept")
	py = raised(t, ex, "e = ValueError()\nraise ExceptionGroup('twice', [e, e])")
	assert.Len(t, py.Exceptions, 1, "each exception is there once")
	py = raised(t, ex, "e = ValueError()\ng = ExceptionGroup('loop', [e])\ne.__cause__ = g\nraise g")
	require.Len(t, py.Exceptions, 1)
	assert.Nil(t, py.Exceptions[0].Cause)
	py = raised(t, ex, "e = ValueError(0)\nfor i in range(300):\n    e = ExceptionGroup('g', [e])\nraise e")
	depth := 0
	for at := py; at != nil; depth++ {
		var next *pyexec.PythonError
		if len(at.Exceptions) > 0 {
			next = at.Exceptions[0]
		}
		at = next
	}
	assert.Equal(t, 256, depth)
}

func TestAttrs(t *testing.T) {
	ex := open(t, pyexec.Config{})
	py := raised(t, ex, `
class Rejected(Exception):
    __slots__ = ("slot", "unset")
    def __init__(self, code, details):
        super().__init__("no", code, object())
        self.code, self.details, self.function, self.slot = code, details, print, "s"
        self.__dict__["__hidden__"] = self.__dict__[1] = 0
        self.add_note("n")
    @property
    def evil(self): raise SystemError
    def __getattr__(self, name):
        if name in ('unset', 'code', 'slot'): raise SystemError
        raise AttributeError(name)
e = Rejected(429, {"retry": [1, 2.5]})
raise e`)
	assert.Equal(t, map[string]any{"code": int64(429), "details": map[string]any{"retry": []any{int64(1), 2.5}}, "slot": "s"}, py.Attrs)
	assert.Equal(t, []any{"no", int64(429), nil}, py.Args)
	assert.Equal(t, []string{"n"}, py.Notes)

	py = raised(t, ex, "open('/no/such/file')")
	assert.Equal(t, map[string]any{"errno": int64(2), "strerror": "No such file or directory", "filename": "/no/such/file"}, py.Attrs)
	assert.Equal(t, "no_such", raised(t, ex, "import no_such").Attrs["name"])
	assert.Equal(t, "no_such", raised(t, ex, "no_such").Attrs["name"])
	py = raised(t, ex, "try:\n    raise KeyError('k')\nexcept KeyError as e:\n    e.at = 3\n    raise RuntimeError from e")
	assert.Equal(t, map[string]any{}, py.Attrs)
	assert.Equal(t, map[string]any{"at": int64(3)}, py.Cause.Attrs, "causes have attributes, too")
	assert.Nil(t, raised(t, ex, "x = (").Attrs["text"], "what Syntax says is not said again")
}

func TestAttrsThatResist(t *testing.T) {
	ex := open(t, pyexec.Config{MaxResult: 1000})
	for _, code := range []string{
		"e = ValueError()\ne.x = e\ne.big = 'x' * 10000\ne.ok = 1\nraise e",
		"e = ValueError()\ne.x = []\ne.x.append(e.x)\ne.y = '\\ud800'\ne.ok = 1\nraise e",
		"class D(dict):\n    def __iter__(self): raise SystemError\n    def __getitem__(self, k): raise SystemError\ne = ValueError()\ne.__dict__ = D(ok=1)\nraise e",
		"class S(str):\n    def __hash__(self): return 1\n    def __eq__(self, other): raise SystemError\ne = ValueError()\ne.ok = 1\ne.__dict__[S('s')] = 2\nraise e",
		"class E(ValueError):\n    def __getattribute__(self, name):\n        if name == 'ok': raise SystemError\n        return super().__getattribute__(name)\ne = E()\nobject.__setattr__(e, 'ok', 1)\nraise e",
	} {
		py := raised(t, ex, code)
		assert.Equal(t, map[string]any{"ok": int64(1)}, py.Attrs, code)
		assert.ErrorIs(t, py, pyexec.ErrType("ValueError"))
	}
}

func TestUnwrap(t *testing.T) {
	ex := open(t, pyexec.Config{})
	py := raised(t, ex, "try:\n    1/0\nexcept ZeroDivisionError:\n    raise KeyError")
	assert.ErrorIs(t, py, pyexec.ErrType("ArithmeticError"))
	py = raised(t, ex, "try:\n    1/0\nexcept ZeroDivisionError:\n    raise KeyError from None")
	assert.NotErrorIs(t, py, pyexec.ErrType("ArithmeticError"), "a suppressed context is no reason")
	assert.NotNil(t, py.Context, "but it is there")
	assert.NotErrorIs(t, py, errors.New("KeyError"))
}

// A traceback has the innermost thousand frames, on each version, whatever sys.tracebacklimit is that is no int.
func TestTracebackIsBounded(t *testing.T) {
	ex := open(t, pyexec.Config{})
	for _, limit := range []string{"", "sys.tracebacklimit = None", "sys.tracebacklimit = 'x'"} {
		_, err := ex.Execute(ctx, "import sys\n"+limit+`
sys.setrecursionlimit(3000)
def f(n):
    if n == 0: raise ValueError('the innermost')
    g(n - 1)
def g(n):
    f(n)
f(1400)`, nil)
		var py *pyexec.PythonError
		require.ErrorAs(t, err, &py)
		assert.Equal(t, 1000, strings.Count(py.Traceback(), "  File "), limit)
		assert.Contains(t, py.Traceback(), "ValueError: the innermost", limit)
	}
	_, err := ex.Execute(ctx, "import sys\nsys.tracebacklimit = 1\ndef f(): 1/0\nf()", nil)
	var py *pyexec.PythonError
	require.ErrorAs(t, err, &py)
	assert.Equal(t, 1, strings.Count(py.Traceback(), "  File "))
}
