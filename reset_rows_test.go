package pyexec_test

// dirt is a way to change a piece of state. probe is an expression that is True in a clean interpreter; what it needs of
// the original objects, prepare keeps where no reset looks.
type dirt struct {
	name, code string
	changes    []string // nil: not checked
	probe      string   // empty: the row's
	onlyAll    bool     // with ResetNone it would wreck the interpreter for the tests after this one
	needs      string   // an expression that is True where the dirt is possible; empty: everywhere
}

func (d dirt) orElse(probe string) string {
	if d.probe != "" {
		return d.probe
	}
	return probe
}

// rowTest is a probe of a row of the kernel's table, and ways to make it dirty; or what is refused.
type rowTest struct {
	probe   string
	silent  bool   // undone without a report
	member  bool   // it hangs on a module: reported by the name that it has there, or not at all if that is a private one
	also    string // another row that the same dirt changes
	dirts   []dirt
	refused []string
	taints  []string
	stays   []dirt // in process this is left behind: the row says so
}

// rows has one for each row of the kernel's table.
var rows = map[string]rowTest{
	"ast": {
		probe: "not any(vars(n) for t in [__import__('ast').parse('a = a + -b; a and b; a < b')] for n in __import__('ast').walk(t) if not n._fields)",
		dirts: []dirt{
			{name: "parents", code: "import ast\nfor node in ast.walk(ast.parse('x = [a + b, c.d]')):\n    for child in ast.iter_child_nodes(node): child.parent = node"},
			{name: "operator", code: "import ast; ast.parse('-a').body[0].value.op.planted = 1", changes: []string{"ast: no attributes -> USub"}},
			{name: "not only parse", code: "compile('a < b', 'x', 'eval', 1024).body.ops[0].planted = 1"},
		},
	},
	"sys.path": {
		probe: "sys.path is keep.path and sys.path == keep.path_items and sys.path is not keep.path_items",
		dirts: []dirt{
			{name: "append", code: "sys.path.append('/fake1')", changes: []string{"sys.path: +/fake1"}},
			{name: "insert", code: "sys.path.insert(0, '/fake1')", changes: []string{"sys.path: +/fake1"}},
			{name: "remove", code: "del sys.path[0]"},
			{name: "same length", code: "sys.path[1] = '/other'"},
			{name: "equal item", code: "sys.path[1] = ''.join(list(sys.path[1])); sys.path[0] = 'x'"},
			{name: "reorder", code: "sys.path.append(sys.path.pop(0))"},
			{name: "clear", code: "sys.path.clear()"},
			{name: "rebind", code: "sys.path = list(sys.path)", changes: []string{"sys.path: replaced by another object"}},
			{name: "rebind to None", code: "sys.path = None"},
			{name: "rebind and change the original", code: "sys.path.append('/a'); sys.path = ['/b']"},
			{name: "del", code: "del sys.path"},
			{name: "alias", code: "alias = sys.path; sys.path = []; alias.append('/a')"},
			{name: "strange items", code: "sys.path[:] = [1, None, object(), '\\ud800', b'x', '\\x00']"},
			{name: "itself", code: "sys.path.append(sys.path)"},
			{name: "many", code: "sys.path.extend(str(i) for i in range(10000))"},
			{name: "finalizer", code: "class F:\n    def __del__(self): sys.path.append('/late')\nsys.path.append(F())"},
		},
	},
	"sys.argv": {
		probe: "sys.argv is keep.argv and sys.argv == keep.argv_items",
		dirts: []dirt{
			{name: "append", code: "sys.argv.append('x')", changes: []string{"sys.argv: +x"}},
			{name: "rebind", code: "sys.argv = ['prog', '-v']"},
			{name: "del", code: "del sys.argv"},
			{name: "clear", code: "sys.argv.clear()"},
		},
	},
	"os.environ": {
		probe: "os.environ is keep.environ and os.environ._data is keep.data and dict(os.environ) == keep.vars" +
			" and list(os.environ) == list(keep.vars) and os.environ.encodekey is keep.encodekey and not hasattr(os.environ, 'planted') and keep.c_vars() == keep.vars",
		dirts: []dirt{
			{name: "set", code: "os.environ['PYEXEC_NEW'] = 'v'", changes: []string{"os.environ: +PYEXEC_NEW=v"}},
			{name: "overwrite", code: "os.environ['PYEXEC_TEST'] = 'other'", changes: []string{"os.environ: ~PYEXEC_TEST=other"}},
			{name: "del", code: "del os.environ['PYEXEC_TEST']", changes: []string{"os.environ: -PYEXEC_TEST"}},
			{name: "del and set again", code: "v = os.environ.pop('PATH'); os.environ['PATH'] = v"},
			{name: "clear", code: "os.environ.clear()"},
			{name: "putenv", code: "os.putenv('PYEXEC_NEW', 'v')", changes: []string{"os.environ: +PYEXEC_NEW=v"}},
			{name: "unsetenv", code: "os.unsetenv('PYEXEC_TEST')", changes: []string{"os.environ: -PYEXEC_TEST"}},
			{name: "environb", code: "os.environb[b'\\xff'] = b'\\xfe'"},
			{name: "mapping only", code: "os.environ._data[b'PYEXEC_NEW'] = b'v'"},
			{name: "strange items", code: "os.environ._data[1] = object()"},
			{name: "rebind", code: "os.environ = {}"},
			{name: "rebind the data", code: "os.environ._data = {}"},
			{name: "rebind and change the original", code: "os.environ['PYEXEC_NEW'] = 'v'; os.environ = None"},
			{name: "del the name", code: "del os.environ"},
			{name: "its attributes", code: "os.environ.encodekey = str"},
			{name: "its dict", code: "os.environ.__dict__ = dict(os.environ.__dict__, planted=1)"},
			{name: "new attribute", code: "os.environ.planted = 1"},
			{name: "many", code: "for i in range(1000): os.environ['PYEXEC_%d' % i] = str(i)"},
		},
	},
	"sys.meta_path": {
		probe: "keep.same(sys.meta_path, 'meta_path')",
		dirts: []dirt{
			{name: "append", code: "sys.meta_path.append(object())"},
			{name: "clear", code: "sys.meta_path.clear()"},
			{name: "rebind", code: "sys.meta_path = []"},
		},
	},
	"sys.path_hooks": {
		probe: "keep.same(sys.path_hooks, 'path_hooks')",
		dirts: []dirt{
			{name: "insert", code: "sys.path_hooks.insert(0, print)"},
			{name: "rebind", code: "sys.path_hooks = None"},
		},
	},
	"sys.warnoptions": {
		probe: "keep.same(sys.warnoptions, 'warnoptions')",
		dirts: []dirt{{name: "append", code: "sys.warnoptions.append('error')"}, {name: "del", code: "del sys.warnoptions"}},
	},
	"gc.callbacks": {
		probe: "keep.same(__import__('gc').callbacks, 'callbacks')",
		dirts: []dirt{{name: "append", code: "import gc; gc.callbacks.append(lambda *a: None)"}},
	},
	"warnings.filters": {
		probe: "keep.same(__import__('warnings').filters, 'filters')",
		dirts: []dirt{
			{name: "simplefilter", code: "import warnings; warnings.simplefilter('error')"},
			{name: "filterwarnings", code: "import warnings; warnings.filterwarnings('ignore', 'x')"},
			{name: "resetwarnings", code: "import warnings; warnings.resetwarnings()"},
			{name: "rebind", code: "import warnings; warnings.filters = []"},
		},
	},
	"sys.getrecursionlimit": {
		probe: "sys.getrecursionlimit() == keep.recursion",
		dirts: []dirt{
			{name: "more", code: "sys.setrecursionlimit(3000)", changes: []string{"sys.getrecursionlimit: 1000 -> 3000"}},
			{name: "less", code: "sys.setrecursionlimit(300)"},
		},
	},
	"gc.isenabled": {
		probe: "__import__('gc').isenabled()",
		dirts: []dirt{{name: "disable", code: "import gc; gc.disable()"}},
	},
	"sys.gettrace": {
		probe: "sys.gettrace() is None",
		dirts: []dirt{{name: "settrace", code: "sys.settrace(lambda *a: None)"}},
	},
	"sys.getprofile": {
		probe: "sys.getprofile() is None",
		dirts: []dirt{{name: "setprofile", code: "sys.setprofile(lambda *a: None)"}},
	},
	"sys.get_asyncgen_hooks": {
		probe: "sys.get_asyncgen_hooks() == (None, None)",
		dirts: []dirt{
			{name: "first", code: "sys.set_asyncgen_hooks(firstiter=print)"},
			{name: "last", code: "sys.set_asyncgen_hooks(finalizer=print)"},
		},
	},
	"contextvars": {
		silent: true,
		probe:  "keep.var.get(None) is None",
		dirts: []dirt{
			{name: "set", code: "import keep; keep.var.set('secret')"},
			{name: "decimal", code: "import decimal; decimal.getcontext().prec = 5", probe: "__import__('decimal').getcontext().prec == 28"},
			{name: "decimal context", code: "import decimal; decimal.setcontext(decimal.Context(prec=3))", probe: "__import__('decimal').getcontext().prec == 28"},
		},
	},
	"os.getcwd": {
		probe: "os.getcwd() == keep.cwd",
		dirts: []dirt{
			{name: "chdir", code: "os.chdir('/')"},
			{name: "fchdir", code: "d = os.open('/', os.O_RDONLY); os.fchdir(d); os.close(d)"},
		},
	},
	"threads": {
		probe: "len(sys._current_frames()) == 1",
		dirts: []dirt{
			{name: "threading", code: "import threading, keep; keep.spawn(lambda f: threading.Thread(target=f, daemon=True).start())"},
			{name: "low level", code: "import _thread, keep; keep.spawn(lambda f: _thread.start_new_thread(f, ()))"},
		},
	},
	"linecache.cache": {
		silent: true,
		probe:  "not any('secret' in str(e) for e in __import__('linecache').cache.values())",
		dirts: []dirt{
			{name: "traceback", code: "import traceback\ntry: secret\nexcept NameError: traceback.format_exc()",
				probe: "'snippet.py' not in __import__('linecache').cache"},
			{name: "by hand", code: "import linecache; linecache.cache['x'] = (1, None, ['secret'], 'x')"},
		},
	},
	"sys.modules": {
		probe: "keep.modules() == keep.modules_were",
		dirts: []dirt{
			{name: "insert", code: "sys.modules['planted'] = object()", changes: []string{`sys.modules: +"planted=<object object>"`}},
			{name: "replace", code: "sys.modules['json'] = object()"},
			{name: "delete", code: "del sys.modules['os.path']"},
			{name: "main", code: "sys.modules['__main__'] = None"},
			{name: "clear", code: "sys.modules.clear()", onlyAll: true},
		},
	},
	"modules": {
		probe:  "keep.attributes() == keep.attributes_were",
		member: true,
		dirts: []dirt{
			{name: "builtins", code: "import builtins; builtins.planted = 1", changes: []string{"builtins.planted: (deleted) -> 1"}},
			{name: "builtins dict", code: "vars(__import__('builtins'))['planted'] = 1"},
			{name: "modules rebound", code: "sys.modules = {}", onlyAll: true},
		},
	},
	"objects": {
		member: true,
		dirts: []dirt{
			{name: "dict", code: "import copyreg; copyreg.dispatch_table[int] = 'secret'", probe: "int not in __import__('copyreg').dispatch_table",
				changes: []string{`copyreg.dispatch_table: {} -> {"<class int>": "secret"}`}},
			{name: "instance", code: "import logging; logging.root.level = 7", probe: "__import__('logging').root.level == 30",
				changes: []string{"logging.root.level: 30 -> 7"}},
			{name: "all of them", code: "import toys; toys.rattle()", probe: "len(__import__('toys').nested) == 1"},
		},
	},
	"classes": {
		member: true,
		dirts: []dirt{
			{name: "class", code: "import json; json.JSONEncoder.planted = 'secret'", probe: "not hasattr(__import__('json').JSONEncoder, 'planted')",
				changes: []string{"json.encoder.JSONEncoder.planted: (deleted) -> secret"}},
			{name: "function", code: "import json; json.dumps.planted = 'secret'", probe: "not hasattr(__import__('json').dumps, 'planted')",
				changes: []string{"json.dumps.planted: (deleted) -> secret"}},
			{name: "in a loop", code: "import json\nfor i in range(1000): setattr(json.JSONEncoder, 'planted', i)", probe: "not hasattr(__import__('json').JSONEncoder, 'planted')"},
			{name: "many", code: "import json\nfor i in range(1000): setattr(json.JSONEncoder, 'planted%d' % i, i)", probe: "not hasattr(__import__('json').JSONEncoder, 'planted7')"},
		},
	},
}
