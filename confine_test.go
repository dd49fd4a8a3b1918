package pyexec_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

// confined is code that must be proven to reach nothing that outlives it: a reset costs it nothing.
var confined = map[string]string{
	"assignment":    "x = 100",
	"method":        "x = 'text'.upper()",
	"15 lines":      fifteen,
	"function":      "def f(n):\n    return 1 if n < 2 else n * f(n - 1)\nx = f(10)",
	"closure":       "def f():\n    n = 0\n    def g():\n        nonlocal n\n        n += 1\n        return n\n    return g\nx = f()()",
	"lambda":        "x = sorted([{'a': 2}, {'a': 1}], key=lambda o: o['a'])",
	"loops":         "x = []\nfor i in range(9):\n    if i % 2: continue\n    x.append(i)\nwhile x: x.pop()",
	"comprehension": "x = {k: [v for v in range(k) if v] for k in range(5)}; y = {a for a in x}; z = sum(i for i in x)",
	"f-string":      "n = 2.5\nx = f'{n:.2f} {n!r:>10} {n=}'",
	"format":        "x = '{:.2f} {0} {name!r:>{width}}'.format",
	"generator":     "def g():\n    got = yield 1\n    yield from range(got)\ni = g(); next(i); x = i.send(3); i.close()",
	"exception":     "try:\n    x = 1 / 0\nexcept ZeroDivisionError as e:\n    x = str(e)\nfinally:\n    y = 1\ntry:\n    raise ValueError('a') from None\nexcept (KeyError, ValueError) as e:\n    z = e.args",
	"own exception": "class Bad(Exception):\n    def __init__(self, code):\n        super().__init__(code)\n        self.code = code\ntry:\n    raise Bad(3)\nexcept Bad as e:\n    x = e.code",
	"class": `class Order:
    """One."""
    tax = 0.2
    def __init__(self, name, price):
        self.name = name
        self._price = price
    @property
    def price(self):
        return self._price * (1 + self.tax)
    @price.setter
    def price(self, value):
        self._price = value
    @classmethod
    def free(cls, name):
        return cls(name, 0)
    @staticmethod
    def kind():
        return 'order'
    def __repr__(self):
        return f'{self.__class__.__name__}({self.name!r})'
    def __eq__(self, other):
        return isinstance(other, Order) and self.name == other.name
o = Order('a', 5)
o.price = 7
x = repr(o)`,
	"inheritance": "class A:\n    def f(self): return 1\nclass B(A):\n    def f(self): return super().f() + 1\nx = B().f()",
	"type":        "x = type(1).__name__",
	"context":     "class C:\n    def __enter__(self): return self\n    def __exit__(self, *e): return True\nwith C() as c: x = 1 / 0",
	"slots":       "class P:\n    __slots__ = ('x', 'y')\n    def __init__(self): self.x = self.y = 1\nx = P().x",
	"match":       "def f(v):\n    match v:\n        case {'a': [1, *rest]}: return rest\n        case (a, b): return a + b\n        case _: return None\nx = f({'a': [1, 2]})",
	"star":        "def f(a, *b, c=1, **d): return a, b, c, d\nx = f(*[1, 2], **{'c': 3, 'e': 4})",
	"unpacking":   "a, (b, *c) = 1, (2, 3, 4); x = [*c, a]; y = {**{'a': 1}}",
	"global":      "n = 1\ndef f():\n    global n\n    n = 2\nf(); del n",
	"annotations": "n: int = 1\ndef f(a: int, b: 'str' = '') -> list[int]: return [a]\nx = f(n)",
	"assert":      "assert 1 < 2, 'no'",
	"walrus":      "x = [y for i in range(3) if (y := i * 2)]",
	"print":       "print('a', 1, sep='-', end='!')",
	"strings":     "x = ' a,b '.strip().split(','); y = '-'.join(x); z = 'ä'.encode('utf-8').decode(); w = '%s' % 1",
	"main":        "if __name__ == '__main__':\n    x = 1",
	"decorator":   "def twice(f):\n    def g(*a): return f(*a) * 2\n    return g\n@twice\ndef f(n): return n\nx = f(2)",
	"self made":   "class F:\n    def __call__(self, n): return n\nx = list(map(F(), range(3)))",
	"module name": "def f(): return f.__name__\nx = f()",
	"math":        "import math\nx = math.sqrt(math.pi)",
	"math as":     "import math as m\ndef f(): return m.floor(2.5)\nx = f()",
	"math from":   "from math import sqrt, pi as p\nx = sqrt(p)",
	"in function": "def f(n):\n    import math\n    return math.floor(n)\nx = f(2.5)",
	"deque":       "from collections import deque, defaultdict\nd = defaultdict(list)\nd['a'].append(1)\nx = deque([1], maxlen=2)\nx.appendleft(3)",
	"itertools":   "import itertools\nx = list(itertools.chain.from_iterable([[1], [2]]))",
	"reduce":      "from functools import reduce, partial\nimport operator\nx = reduce(operator.add, [1, 2]); y = partial(int, base=2)('11')",
	"datetime":    "from datetime import datetime, timedelta\nx = (datetime(2024, 1, 31) + timedelta(days=1)).isoformat()",
	"heapq":       "import heapq, bisect\nh = []\nheapq.heappush(h, 1)\nx = bisect.bisect([1, 2], 1)",
	"time":        "import time\nt = time.perf_counter()",
	"string":      "import string\nx = string.ascii_letters",
	"json kept":   "import json\nf = json.loads\nx = [*map(json.loads, ['1', '2'])], f(*['3'])",
	"json from":   "from json import loads, dumps\nx = loads(dumps([1]))",
	"json method": "import json\ndef f(s):\n    import json\n    return json.loads(s)\nx = f('1')",
	"json caught": "import json\ntry:\n    raise json.JSONDecodeError('', '', 0)\nexcept (json.JSONDecodeError, KeyError) as e: x = type(e).__name__",
	"json errors": "import json\ntry:\n    json.loads('{')\nexcept json.JSONDecodeError as e:\n    x = e.msg",
}

// escapes is code that may reach what outlives it, or that could if the proof had a hole.
var escapes = map[string]string{
	// by names of attributes
	"class":            "x = ().__class__.__base__.__subclasses__()",
	"self of builtin":  "x = print.__self__",
	"globals":          "def f(): pass\nx = f.__globals__",
	"builtins of f":    "def f(): pass\nx = f.__builtins__",
	"code":             "def f(): pass\nf.__code__ = (lambda: 1).__code__",
	"closure":          "def f():\n    n = 1\n    return lambda: n\nx = f().__closure__[0].cell_contents",
	"dict of class":    "class A: pass\nA.__dict__",
	"subclasses":       "object.__subclasses__()",
	"mro":              "int.mro()",
	"getattribute":     "x = object.__getattribute__",
	"setattr by class": "object.__setattr__(int, 'x', 1)",
	"reduce":           "x = (1).__reduce_ex__(2)",
	"generator frame":  "g = (i for i in [1])\nx = g.gi_frame",
	"generator code":   "g = (i for i in [1])\nx = g.gi_code",
	"traceback":        "try:\n    1 / 0\nexcept Exception as e:\n    x = e.__traceback__",
	"tb in exit":       "class C:\n    def __exit__(self, t, v, tb):\n        self.x = tb.tb_frame\n        return True\n    def __enter__(self): pass\nwith C(): 1 / 0",
	"f_back":           "def f(x): return x.f_back",
	"f_globals":        "def f(x): return x.f_globals",
	"context of e":     "try:\n    1 / 0\nexcept Exception as e:\n    x = e.__context__",
	"f-string":         "x = f'{print.__self__!r}'",
	"set class":        "class A: pass\na = A()\na.__class__ = int",
	"set dict":         "class A: pass\na = A()\na.__dict__ = {}",
	"del attribute":    "def f(): pass\ndel f.__globals__",
	"augmented":        "def f(): pass\nf.__defaults__ += (1,)",
	"for target":       "def f(): pass\nfor f.__code__ in []: pass",
	"in default":       "def f(a=print.__self__): pass",
	"in annotation":    "def f(a: print.__self__): pass",
	"in variable":      "x: print.__self__ = 1",
	"in decorator":     "@print.__self__.staticmethod\ndef f(): pass",
	"in base":          "class A(print.__self__.object): pass",
	"in lambda":        "f = lambda: print.__self__",
	"nested":           "def f():\n    def g():\n        class A:\n            def h(self): return [p.__self__ for p in [print]]\n",
	"tail":             "x = print\nx.__self__",
	"extended":         strings.Join(manyNames(300), "\n") + "\nx = print.__self__",

	// by attributes in strings
	"str.format":       "x = '{0.__self__}'.format(print)",
	"format of item":   "x = '{0[a]}'.format({'a': 1})",
	"format in spec":   "x = '{:{0.__self__}}'.format(print)",
	"format made":      "s = '{0.' + '__self__}'\nx = s.format(print)",
	"format of either": "s = '{0.__self__}'\nx = (s or '{}').format(print)",
	"format of other":  "s = '{0.__self__}'\nx = ('{}' if not s else s).format(print)",
	"format of first":  "s = '{0.__self__}'\nx = (s if s else '{}').format(print)",
	"format of const":  "s = 1\nx = ('{0.__self__}' if s else '{}').format(print)",
	"format unbound":   "x = str.format('{0.__self__}', print)",
	"format_map":       "x = '{a.__self__}'.format_map({'a': print})",
	"super().format":   "class S(str):\n    def f(self): return super().format(print)",
	"getattr":          "x = getattr(print, '__self__')",
	"setattr":          "setattr(print, 'x', 1)",
	"hasattr":          "hasattr(print, '__self__')",
	"delattr":          "delattr(print, 'x')",
	"map getattr":      "x = list(map(getattr, [print], ['__self__']))",
	"class getattr":    "class A:\n    __getattr__ = getattr",
	"match attribute":  "match (i for i in [1]):\n    case object(gi_frame=f): pass",
	"match args":       "class A:\n    __match_args__ = ('gi_frame',)\ndef f(x):\n    match x:\n        case A(y): return y",
	"attrgetter":       "import operator\nx = operator.attrgetter('__self__')(print)",
	"attrgetter from":  "from operator import attrgetter",
	"methodcaller":     "from operator import methodcaller",

	// by names
	"__builtins__":      "x = __builtins__",
	"set __builtins__":  "__builtins__ = {}",
	"own __import__":    "__builtins__ = {'__import__': lambda n, g, *a: g}\ndef f(): import math",
	"__loader__":        "x = __loader__",
	"__spec__":          "x = __spec__",
	"set __spec__":      "__spec__ = 1",
	"set __name__":      "__name__ = 'x'",
	"global dunder":     "def f():\n    global __loader__\n    __loader__ = 1",
	"builtins in class": "class A:\n    x = __builtins__",
	"global in class":   "class A:\n    global __builtins__\n    __builtins__ = {}",
	"del builtins":      "del __builtins__",
	"__import__":        "x = __import__('sys')",
	"__build_class__":   "x = __build_class__",
	"exec":              "exec('x = 1')",
	"eval":              "x = eval('1')",
	"compile":           "x = compile('1', '', 'eval')",
	"globals()":         "x = globals()",
	"locals()":          "x = locals()",
	"vars":              "x = vars()",
	"dir":               "x = dir()",
	"open":              "x = open",
	"input":             "x = input()",
	"breakpoint":        "breakpoint()",
	"help":              "help",
	"license":           "print(license)",
	"exit":              "exit()",
	"memoryview":        "x = memoryview(b'')",
	"exception group":   "ExceptionGroup.x = 1",
	"group base":        "type(BaseExceptionGroup('', [ValueError()])).x = 1",
	"except star":       "try:\n    raise ValueError\nexcept* ValueError as e:\n    type(e).x = 1",

	// by imports
	"sys":                "import sys",
	"os":                 "import os",
	"unknown":            "import nosuchmodule",
	"submodule":          "import collections.abc",
	"relative":           "from . import math",
	"star":               "from math import *",
	"module itself":      "import math\nx = math",
	"module in list":     "import math\nx = [math]",
	"module called":      "import math\nmath()",
	"module as argument": "import math\ndef f(m): m.pi = 3\nf(math)",
	"module as default":  "import math\ndef f(m=math): m.pi = 3",
	"module returned":    "def f():\n    import math\n    return math\nf().pi = 3",
	"module yielded":     "def f():\n    import math\n    yield math",
	"module attribute":   "import math\nmath.pi = 3",
	"module del":         "import math\ndel math.pi",
	"module item":        "import math\nmath['pi'] = 3",
	"module for":         "import math\nfor math.pi in [3]: pass",
	"module augmented":   "import math\nmath.pi += 3",
	"module walrus":      "import math\n(m := math)",
	"module chosen":      "import math\nx = 1\n(math if x else x).pi = 3",
	"module or":          "import math\n(math or 1).sqrt(4)",
	"module compared":    "import math\nx = math == 1",
	"module tail":        "import math\nmath",
	"module in class":    "class A:\n    import math\nA.math.pi = 3",
	"module global":      "def f():\n    global m\n    import math as m\nf()\nx = m",
	"module deleted":     "import math\ndel math.pi",
	"module nonlocal":    "def f():\n    m = 1\n    def g():\n        nonlocal m\n        import math as m\n    g()\n    return m",
	"module two":         "import math as m\nimport json as m\nm.loads = 1",
	"module dunder":      "import math\nmath.__dict__",
	"module init":        "import math\nmath.__init__('x')",
	"module private":     "import collections\ncollections._sys",
	"module inner":       "import json\njson.decoder",
	"module of string":   "import string\nstring._re",
	"python class":       "import string\nstring.Template.x = 1",
	"python function":    "from functools import wraps",
	"counter":            "from collections import Counter\nCounter.x = 1",
	"heapq python":       "import heapq\nheapq.merge.x = 1",
	"function itself":    "import json\njson.loads.x = 1",
	"function kept":      "import json\nf = json.loads\nf.x = 1",
	"function from":      "from json import loads\nloads.x = 1",
	"function given":     "import json\ndef f(g): g.x = 1\nf(json.loads)",
	"function del":       "import json\ndef f(g):\n    del g.x\nf(json.loads)",
	"function in class":  "import json\nclass A:\n    f = json.loads\nA.f.x = 1",
	"function spread":    "import json\nx = [*map(json.loads, ['1'])]\nclass A:\n    def f(self): self.x = 1",
	"class in tuple":     "import json\nfor c in (json.JSONDecodeError, KeyError): c.x = 1",
	"class raised":       "import json\nclass A:\n    def f(self): self.x = 1\nraise json.JSONDecodeError('', '', 0)",
	"class base":         "import json\nclass A(json.JSONDecodeError): pass\nsuper(A, A).__init__.x = 1",
	"class init":         "import json\njson.JSONDecodeError.__init__(json.loads, '', '', 0)",
	"class caught":       "from json import JSONDecodeError\nJSONDecodeError.x = 1",
	"class by type":      "import json\ntry:\n    json.loads('{')\nexcept ValueError as e:\n    type(e).x = 1",
	"class by class":     "import json\ntry:\n    json.loads('{')\nexcept ValueError as e:\n    e.__class__.x = 1",
	"class by exit":      "import json\nclass C:\n    def __enter__(self): pass\n    def __exit__(self, t, *e):\n        t.x = 1\n        return True\nwith C(): json.loads('{')",
	"type of partial":    "from functools import partial\ntype(partial(int)).x = 1",
	"strptime":           "from datetime import datetime\nx = datetime.strptime('1', '%d')",
	"future":             "from __future__ import annotations",
	"random":             "import random\nrandom.random()",
	"re":                 "import re\nre.match('a', 'a')",
	"decimal":            "from decimal import Decimal",

	// what has no meaning in the proof
	"async":           "async def f(): pass",
	"async generator": "async def f():\n    yield 1",
	"await":           "async def f(a):\n    await a",
	"async for":       "async def f(a):\n    return [i async for i in a]",
}

func manyNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = "v" + strings.Repeat("x", i) + " = 1"
	}
	return names
}

// loadAll loads the modules that confined code may use: before that, nothing is proven of their users. Nor is it while the
// interpreter is not known to be clean, as in the calls right after an import.
func loadAll(t *testing.T, ex *pyexec.Executor) {
	t.Helper()
	const all = "import math, cmath, collections, datetime, functools, itertools, json, operator, bisect, heapq, string, time"
	_, err := ex.Execute(ctx, all, nil)
	require.NoError(t, err)
	var proven bool
	for range 8 {
		proven, err = ex.Confined("x = 'text'.upper()")
		require.NoError(t, err)
	}
	require.True(t, proven)
}

func TestConfined(t *testing.T) {
	ex := openAt(t, pyexec.Config{})
	loadAll(t, ex)
	ex.CheckConfined(true)
	defer ex.CheckConfined(false)
	for name, code := range confined {
		t.Run(name, func(t *testing.T) {
			got, err := ex.Confined(code)
			require.NoError(t, err)
			assert.True(t, got, "not proven:\n%s", code)
			for range 3 {
				res, err := ex.Execute(ctx, code, nil)
				require.NoError(t, err)
				assert.Empty(t, res.Changes)
				assert.Empty(t, res.Tainted)
			}
		})
	}
}

func TestEscapesAreNotConfined(t *testing.T) {
	ex := openAt(t, pyexec.Config{})
	loadAll(t, ex)
	for name, code := range escapes {
		t.Run(name, func(t *testing.T) {
			got, err := ex.Confined(code)
			require.NoError(t, err)
			assert.False(t, got, "taken for confined:\n%s", code)
		})
	}
}

// TestConfinedCorpus runs each snippet of testdata that is confined, and looks for changes all the same.
func TestConfinedCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/*.py")
	require.NoError(t, err)
	ex := openAt(t, pyexec.Config{})
	loadAll(t, ex)
	ex.CheckConfined(true)
	defer ex.CheckConfined(false)
	n := 0
	for _, file := range files {
		code, err := os.ReadFile(file)
		require.NoError(t, err)
		if is, err := ex.Confined(string(code)); err != nil || !is {
			continue
		}
		n++
		for range 3 {
			res, err := ex.Execute(ctx, string(code), nil)
			require.NotNil(t, res)
			assert.Empty(t, res.Tainted, file)
			if err == nil { // printing a traceback can load modules
				assert.Empty(t, res.Changes, file)
			}
		}
	}
	t.Logf("%d of %d are confined", n, len(files))
	assert.Greater(t, n, len(files)/4)
}

// strays are confined, but C code does something on their behalf that byte code does not show.
var strays = map[string]string{
	"warning":        "class N:\n    def __int__(self): return True\nx = int(N())",
	"warned in del":  "class N:\n    def __int__(self): return True\nclass D:\n    def __del__(self): int(N())\nd = D(); d.me = d",
	"not awaited":    "def f():\n    yield\nx = f(); next(x)",
	"del raises":     "class D:\n    def __del__(self): raise ValueError('late')\nd = D(); d.me = d",
	"del revives":    "kept = []\nclass D:\n    def __del__(self): kept.append(self)\nd = D(); d.me = d",
	"finally":        "def g():\n    try: yield 1\n    finally: print('late')\ni = g(); next(i); me = [i]; me.append(me)",
	"codec":          "x = str(b'a', 'cp1252')",
	"unknown codec":  "try:\n    'a'.encode('nosuch')\nexcept LookupError: pass",
	"codec alias":    "x = bytes('a', 'WINDOWS-1252')",
	"codecs flooded": "for i in range(501):\n    b'a'.decode('cp' + '-' * i + '1252')",
	"error handler":  "x = 'ä'.encode('ascii', 'namereplace')",
	"escape":         "x = b'\\\\N{DIGIT ONE}\\\\d'.decode('unicode_escape')",
	"big division":   "x = len(hex((1 << 300000) // ((1 << 100000) + 1)))",
	"raises":         "raise ValueError('x')",
	"raises chained": "try:\n    1 / 0\nexcept ZeroDivisionError: raise KeyError('x')",
	"syntax error":   "raise SyntaxError('x')",
	"exits":          "raise SystemExit(3)",
	"recursion":      "def f(): return f()\ntry: f()\nexcept RecursionError as e: x = str(e)",
	"memory":         "kept = []\nfor i in range(40):\n    try: 'a' * (1 << 62)\n    except Exception as e:\n        e.tag = 1\n        kept.append(e)",
	"attributes":     "def f(): pass\nf.x = 1\nclass A: pass\nA.x = f",
	"number format":  "x = f'{1234567:n}'",
}

func TestConfinedCodeThatStrays(t *testing.T) {
	ex := openAt(t, pyexec.Config{})
	loadAll(t, ex)
	const look = "import sys"
	for name, code := range strays {
		t.Run(name, func(t *testing.T) {
			is, err := ex.Confined(code)
			require.NoError(t, err)
			require.True(t, is)
			for range 3 {
				res, _ := ex.Execute(ctx, code, nil)
				require.NotNil(t, res)
				assert.Empty(t, res.Tainted)
				res, err = ex.Execute(ctx, look, nil)
				require.NoError(t, err)
				assert.Empty(t, res.Changes, "left for the next call to find")
			}
			ex.CheckConfined(true)
			defer ex.CheckConfined(false)
			res, _ := ex.Execute(ctx, code, nil)
			assert.Empty(t, res.Tainted)
		})
	}
}
