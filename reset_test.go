package pyexec_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
	"github.com/go-pyexec/pyexec/internal/kernel"
)

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
			{name: "more", code: "sys.setrecursionlimit(5000)", changes: []string{"sys.getrecursionlimit: 1000 -> 5000"}},
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

const prepare = `
import sys
sys.path.insert(0, directory)
import keep
sys.path.remove(directory)
`

func openPrepared(t *testing.T, mode pyexec.ResetMode) (*pyexec.Executor, func()) {
	t.Helper()
	t.Setenv("PYEXEC_TEST", "value")
	runtime.LockOSThread() // some rows are of the thread; with ResetNone they show only there
	t.Cleanup(runtime.UnlockOSThread)
	ex := open(t, pyexec.Config{Reset: mode, RecycleEvery: pyexec.RecycleNever, Keep: []string{"keep"}})
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "keep.py"), []byte("KEEP = "+strconv.Quote(dir)+keepModule+keepMore+"modules_were = modules()\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "toys.py"), []byte(toysModule), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "borrows.py"), []byte("from string import digits\n"), 0o600))
	again := func() {
		_, err := ex.Execute(ctx, "import sys\nfor m in 'keep', 'toys', 'borrows': sys.modules.pop(m, None)\n"+prepare, pyexec.Vars{"directory": dir})
		require.NoError(t, err)
	}
	again()
	t.Cleanup(func() { _, _ = ex.Execute(ctx, "import keep; keep.finish()", nil) })
	return ex, again
}

func clean(t *testing.T, ex *pyexec.Executor, probe string) bool {
	t.Helper()
	res, err := ex.Execute(ctx, "import os, sys, keep\n"+probe, nil)
	if err != nil {
		return false // the state is so broken that the probe raises
	}
	ok, isBool := res.Value.(bool)
	require.True(t, isBool)
	return ok
}

func possible(t *testing.T, ex *pyexec.Executor, d dirt) bool {
	t.Helper()
	return d.needs == "" || run(t, ex, "import sys\n"+d.needs).Value == true
}

func TestEveryRowIsTested(t *testing.T) {
	for _, r := range kernel.Rows() {
		test := rows[r.Name]
		assert.True(t, len(test.dirts)+len(test.refused)+len(test.taints)+len(test.stays) > 0, "row %s needs dirt in reset_test.go", r.Name)
		for _, text := range []string{r.Noticed, r.Undone, r.Cost, r.Level} {
			assert.NotEmpty(t, text, r.Name)
		}
	}
	assert.Len(t, rows, len(kernel.Rows()))
}

// With ResetNone the probe sees the dirt: so it would see it with ResetAll, too, if it were there.
func TestResetNoneLeavesDirt(t *testing.T) {
	ex, again := openPrepared(t, pyexec.ResetNone)
	for row, r := range rows {
		for _, d := range r.dirts {
			t.Run(row+" "+d.name, func(t *testing.T) {
				runtime.LockOSThread() // and not unlocked: so the thread ends with this goroutine, and what is left on it
				if d.onlyAll || !possible(t, ex, d) {
					return
				}
				again()
				probe := d.orElse(r.probe)
				require.True(t, clean(t, ex, probe))
				res, _ := ex.Execute(ctx, "import os, sys\n"+d.code, nil)
				assert.Empty(t, res.Changes)
				assert.False(t, clean(t, ex, probe))
				_, _ = ex.Execute(ctx, "import keep; keep.finish()", nil)
				require.NoError(t, ex.Recycle(ctx)) // puts back what a recycle can
			})
		}
	}
}

func TestResetAllPutsBack(t *testing.T) {
	ex, _ := openPrepared(t, pyexec.ResetAll)
	for row, r := range rows {
		for _, d := range r.dirts {
			t.Run(row+" "+d.name, func(t *testing.T) {
				if !possible(t, ex, d) {
					return
				}
				probe := d.orElse(r.probe)
				require.True(t, clean(t, ex, probe))
				for _, variant := range []struct{ name, code string }{
					{"once", "import os, sys\n" + d.code},
					{"twice", "import os, sys\n" + d.code + "\ntry:\n    " + indent(d.code) + "\nexcept Exception: pass"},
					{"raising", "import os, sys\n" + d.code + "\nraise ValueError"},
					{"exiting", "import os, sys\n" + d.code + "\nraise SystemExit"},
				} {
					res, _ := ex.Execute(ctx, variant.code, nil)
					require.NotNil(t, res, variant.name)
					if !r.member {
						require.Equal(t, r.silent, len(res.Changes) == 0, variant.name)
					}
					for _, c := range res.Changes {
						if !r.member && (r.also == "" || !strings.HasPrefix(c.State, r.also)) {
							assert.Equal(t, row, c.State)
						}
						assert.True(t, c.Undone)
						assert.NotEmpty(t, c.String())
					}
					if d.changes != nil && variant.name == "once" {
						assert.Equal(t, d.changes, texts(res.Changes))
					}
					assert.Empty(t, res.Tainted)
					assert.True(t, clean(t, ex, probe), variant.name)
				}
			})
		}
	}
	assert.Zero(t, ex.Stats().Recycles, "all of it is undone in place")
	assert.Empty(t, run(t, ex, "x = 1").Changes)
}

// Each dirt with one of several other rows; over the rows of a table this long, each row has met many others.
func TestTwoRowsAtOnce(t *testing.T) {
	const others = 6
	ex, _ := openPrepared(t, pyexec.ResetAll)
	names := slices.Sorted(maps.Keys(rows))
	n := 0
	for i, a := range names {
		for _, da := range rows[a].dirts {
			for range others {
				n++
				b := names[(i+n*17)%len(names)]
				if len(rows[b].dirts) == 0 || a == b {
					continue
				}
				db := rows[b].dirts[n%len(rows[b].dirts)]
				if !possible(t, ex, da) || !possible(t, ex, db) {
					continue
				}
				_, err := ex.Execute(ctx, "import os, sys\n"+da.code+"\ntry:\n    "+indent(db.code)+"\nexcept Exception: pass", nil)
				require.NoError(t, err, "%s %s with %s %s", a, da.name, b, db.name)
				require.True(t, clean(t, ex, da.orElse(rows[a].probe)), "%s %s with %s %s", a, da.name, b, db.name)
				require.True(t, clean(t, ex, db.orElse(rows[b].probe)), "%s %s with %s %s", a, da.name, b, db.name)
			}
		}
	}
}

func indent(code string) string { return strings.ReplaceAll(code, "\n", "\n    ") }

func texts(changes []pyexec.Change) []string {
	var out []string
	for _, c := range changes {
		out = append(out, c.String())
	}
	return out
}

// What an import itself puts into one of the lists is the import's: numpy's filters, the finder of six.
func TestImportsMayChangeLists(t *testing.T) {
	ex := open(t, pyexec.Config{Keep: []string{"adds"}}) // kept, it may be imported from a changed path, and is adopted all the same
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "adds.py"), []byte(`
import copyreg, string, sys, warnings
string.planted = []
copyreg.dispatch_table["planted"] = {}
class Finder:
    @staticmethod
    def find_spec(name, path, target=None): return None
sys.meta_path.append(Finder)
warnings.filterwarnings("ignore", "planted by adds")
`), 0o600))
	res, err := ex.Execute(ctx, "import sys, warnings\nsys.path.insert(0, directory)\nimport adds\nsys.argv.append('x')", pyexec.Vars{"directory": dir})
	require.NoError(t, err)
	assert.Equal(t, []string{"sys.path: +" + dir, "sys.argv: +x"}, texts(res.Changes))
	res = run(t, ex, "import sys, warnings, adds\n[adds.Finder in sys.meta_path, any('planted' in str(f) for f in warnings.filters), len(sys.argv)]")
	assert.Equal(t, []any{true, true, int64(1)}, res.Value)
	assert.Empty(t, res.Changes)
	// and what it has put elsewhere is looked after from now on
	run(t, ex, "import copyreg, string; string.planted.append(1); copyreg.dispatch_table['planted'][1] = 1")
	assert.Equal(t, "[[], {}]", run(t, ex, "import copyreg, string; str([string.planted, copyreg.dispatch_table['planted']])").Value)
}

// What only the changed state had kept alive, and is a cycle, is collected with it.
func TestWhatTheStateKeptAliveIsGone(t *testing.T) {
	ex := open(t, pyexec.Config{RecycleEvery: pyexec.RecycleNever})
	for _, code := range []string{"sys.path.append(Secret())", "import contextvars; contextvars.ContextVar('v').set(Secret)", "import atexit; atexit.register(Secret)"} {
		run(t, ex, "import sys\nclass Secret: pass\n"+code)
		assert.Equal(t, []any{}, run(t, ex, "[c for c in object.__subclasses__() if c.__name__ == 'Secret']").Value, code)
	}
}

// Threads that wait for something are woken, and end.
func TestThreadsThatWaitEnd(t *testing.T) {
	ex := open(t, pyexec.Config{RecycleEvery: pyexec.RecycleNever})
	before := run(t, ex, "import sys; list(sys._current_frames())").Value // threads of other tests that were given up
	for _, code := range []string{
		"threading.Timer(1000, print).start()", "e = threading.Event(); threading.Thread(target=e.wait).start()",
		"q = queue.Queue(); threading.Thread(target=q.get).start()", "q = queue.SimpleQueue(); threading.Thread(target=q.get).start()",
		"l = threading.Lock(); l.acquire(); threading.Thread(target=l.acquire).start()",
		"e = threading.Event(); a = threading.Thread(target=e.wait); a.start(); threading.Thread(target=a.join).start()",
	} {
		res := run(t, ex, "import threading, queue\n"+code)
		assert.Empty(t, res.Tainted, code)
		assert.Equal(t, []string{"threads: none -> still running"}, texts(res.Changes), code)
		res = runWith(t, ex, "import sys, threading; len(set(sys._current_frames()) - {threading.get_ident()} - set(before))", pyexec.Vars{"before": before})
		assert.Equal(t, int64(0), res.Value, code)
	}
}

// One that cannot be woken taints once, and not each call after it.
func TestAThreadThatSleepsTaintsOnce(t *testing.T) {
	ex := open(t, pyexec.Config{})
	res := run(t, ex, "import threading, time\nthreading.Thread(target=time.sleep, args=(1,), daemon=True).start()")
	assert.Contains(t, res.Tainted, "thread")
	for range 3 {
		res = run(t, ex, "import threading\nt = threading.Thread(target=len, args=('',)); t.start(); t.join()")
		assert.Empty(t, res.Tainted)
		assert.Empty(t, res.Changes)
	}
	assert.Equal(t, uint64(1), ex.Stats().Recycles)
}

// Nor does a snippet find what another has frozen.
func TestFrozenGarbageIsGone(t *testing.T) {
	ex := open(t, pyexec.Config{RecycleEvery: pyexec.RecycleNever})
	for _, code := range []string{"gc.freeze()", "gc.unfreeze(); gc.freeze()", "gc.unfreeze()", "gc.freeze(); gc.unfreeze()"} {
		run(t, ex, "import gc\nclass Secret: pass\nx = [Secret()]; x.append(x)\n"+code)
		assert.Equal(t, int64(0), run(t, ex, "import gc; gc.unfreeze(); len([o for o in gc.get_objects() if isinstance(o, type) and o.__name__ == 'Secret'])").Value, code)
	}
}

// A finalizer that makes the state dirty each time it is put back cannot be undone: it taints.
func TestStateThatChangesBackTaints(t *testing.T) {
	ex := open(t, pyexec.Config{})
	res := run(t, ex, "import sys\nclass F:\n    def __del__(self, new=lambda: F()): sys.path.append(new())\nsys.path.append(F())")
	assert.Contains(t, res.Tainted, "sys.path")
	assert.Empty(t, run(t, ex, "x = 1").Changes)
	s := ex.Stats()
	assert.Equal(t, uint64(1), s.RecyclesBy[pyexec.RecycleTaint])
	assert.Contains(t, s.LastTaint, "sys.path")
}

func TestSnippetsDoNotChangeTheHostsEnvironment(t *testing.T) {
	t.Setenv("PYEXEC_TEST", "value")
	ex := open(t, pyexec.Config{})
	run(t, ex, "import os\nos.environ['PYEXEC_NEW'] = 'v'\nos.putenv('PYEXEC_TEST', 'other')\ndel os.environ['PATH']")
	_, set := os.LookupEnv("PYEXEC_NEW")
	assert.False(t, set)
	out, err := exec.Command("/bin/sh", "-c", "echo $PYEXEC_NEW $PYEXEC_TEST").Output()
	require.NoError(t, err)
	assert.Equal(t, "value\n", string(out), "a child of the host")
	res := run(t, ex, "import subprocess\nsubprocess.run(['/bin/sh', '-c', 'echo $PYEXEC_NEW $PYEXEC_TEST'], capture_output=True, text=True).stdout")
	assert.Equal(t, "value\n", res.Value, "a child of a later snippet")
}

func TestTheHostsOwnChangesAreKept(t *testing.T) {
	ex := openAt(t, pyexec.Config{})
	probe := "import os\nres = [os.environ.get('PYEXEC_HOST'), os.popen('echo $PYEXEC_HOST').read().strip()]\nres"
	assert.Equal(t, []any{nil, ""}, run(t, ex, probe).Value)

	t.Setenv("PYEXEC_HOST", "one") // between calls
	assert.Equal(t, []any{"one", "one"}, run(t, ex, probe).Value)
	res := run(t, ex, "import os\nos.environ['PYEXEC_HOST'] = 'snippet'")
	assert.Equal(t, []string{"os.environ: ~PYEXEC_HOST=snippet"}, texts(res.Changes))
	assert.Equal(t, []any{"one", "one"}, run(t, ex, probe).Value)

	done, release := blocked(t, ex) // while a call runs
	require.NoError(t, os.Setenv("PYEXEC_HOST", "two"))
	require.NoError(t, os.Setenv("PYEXEC_HOST2", "new"))
	release()
	require.NoError(t, <-done)
	assert.Equal(t, []any{"two", "two"}, run(t, ex, probe).Value)
	assert.Equal(t, "new", run(t, ex, "import os; os.environ['PYEXEC_HOST2']").Value)

	done, release = blocked(t, ex)
	require.NoError(t, os.Unsetenv("PYEXEC_HOST2"))
	release()
	require.NoError(t, <-done)
	assert.Nil(t, run(t, ex, "import os; os.environ.get('PYEXEC_HOST2')").Value)

	require.NoError(t, os.Unsetenv("PYEXEC_HOST"))
	assert.Equal(t, []any{nil, ""}, run(t, ex, probe).Value)
	require.NoError(t, os.Setenv("PYEXEC_HOST", "three"))
	require.NoError(t, ex.Recycle(ctx))
	assert.Equal(t, []any{"three", "three"}, run(t, ex, probe).Value)
}

// A worker process has the environment that the program had when it called New.
func TestWorkersInheritTheEnvironment(t *testing.T) {
	t.Setenv("PYEXEC_HOST", "one")
	ex := openAt(t, pyexec.Config{Isolation: pyexec.Process})
	probe := "import os; [os.environ.get('PYEXEC_HOST'), [n for n in os.environ if n.startswith('PYEXEC_P')]]"
	for range 3 {
		require.NoError(t, os.Setenv("PYEXEC_HOST", "two"))
		assert.Equal(t, []any{"one", []any{}}, run(t, ex, probe).Value)
		require.NoError(t, ex.Recycle(ctx))
	}
}

func TestAThousandAppendsLeaveNothing(t *testing.T) {
	ex := open(t, pyexec.Config{RecycleEvery: pyexec.RecycleNever})
	before := run(t, ex, "import sys; list(sys.path)").Value
	for i := range 1000 {
		run(t, ex, fmt.Sprintf("import sys; sys.path.append('/path%d')", i))
	}
	assert.Equal(t, before, run(t, ex, "import sys; list(sys.path)").Value)
	assert.Equal(t, uint64(1000), ex.Stats().Resets)
}

// Code that can only compute is not looked after (internal/kernel/code.c). Nothing that an operator can do may leave
// anything; what could must be looked after.
func TestCodeThatComputesLeavesNothing(t *testing.T) {
	ex := open(t, pyexec.Config{})
	in := pyexec.Vars{"a": []any{1}, "d": map[string]any{"k": []any{}}, "s": "text", "n": 7, "z": 0}
	for _, code := range []string{
		"x = n * 2 + 1", "a[0] - n", "x = [a, d, (n, s)]", "y = a if n > 3 else d", "x = -n", "not copyright", "x = print",
		"s in d", "x = a is d", "n / z", "undefined", "x = __builtins__", "list[int]", "x = exit == quit", "s % a",
		"max(3, 4)", "round(sum([n, 2.5]), 1)", "f'{s!r:>10} {n:.2f}'", "sorted(a, key=len)", "x = len; x(a)", "a[0:1]",
		"dict(a=a, d=d)", "list(zip(a, a))", "int(s)", "len = print; len(s)", "x = exec; x('import sys; sys.path.clear()')",
		"max(a, key=exec)", "eval('__import__(\"sys\").path.clear()')", "setattr(max, 'x', 1)", "str.x", "a.append(a)",
		"x = (lambda: __import__('sys').path.append(1))()", "vars()['len'] = 1", "globals().clear()", "s.format(max)",
		"a += [a]", "d |= {'me': d}", "x = n; x += 1", "a[0] = a", "[a.append(a)]", "del n", "x: int = 3", "f'{exit}'",
	} {
		for range 3 {
			_, _ = ex.Execute(ctx, code, in)
		}
		// an object that is tracked, young and not ours would be a survivor
		res := run(t, ex, "import gc\nlen([o for o in gc.get_objects() if type(o) in (list, dict) and (o == [1] or 'k' in o)])")
		assert.Equal(t, int64(0), res.Value, code)
		assert.Empty(t, res.Changes, code)
	}
}

func TestChangeReportsAreText(t *testing.T) {
	ex := open(t, pyexec.Config{})
	res := run(t, ex, "import sys\nsys.argv = ('a', 1)\nsys.path.append('x' * 100000)")
	require.Len(t, res.Changes, 2)
	assert.Less(t, len(res.Changes[0].After), 10_000, "long texts are cut")
	assert.Equal(t, pyexec.Change{State: "sys.argv", Before: `[""]`, After: `["a", "1"]`, Diff: []string{`-""`, "+a", "+1"}, Undone: true}, res.Changes[1])
	res = run(t, ex, "import sys; sys.argv = None")
	assert.Equal(t, `sys.argv: [""] -> None`, res.Changes[0].String())
	res = run(t, ex, "import sys; del sys.argv")
	assert.Equal(t, `sys.argv: [""] -> (deleted)`, res.Changes[0].String())
}

var update = flag.Bool("update", false, "write generated parts of documents")

// The table in RESET.md is the kernel's own.
func TestDocumentHasTheRows(t *testing.T) {
	var table strings.Builder
	table.WriteString("| state | noticed by | put back by | cost when clean | in process |\n|---|---|---|---|---|\n")
	for _, r := range kernel.Rows() {
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s | %s |\n", r.Name, r.Noticed, r.Undone, r.Cost, r.Level)
	}
	generated(t, "RESET.md", "rows", table.String())
}

// generated compares the part of a document that is made by the calling test with what it should be, or writes it.
func generated(t *testing.T, file, name, want string) {
	t.Helper()
	begin := "<!-- " + name + ": generated by go test -run " + t.Name() + " -update -->\n"
	want = "\n" + want + "\n"
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(b), begin)
	require.True(t, ok)
	old, after, ok := strings.Cut(rest, "<!-- /"+name+" -->")
	require.True(t, ok)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(before+begin+want+"<!-- /"+name+" -->"+after), 0o644))
		return
	}
	assert.Equal(t, want, old, "go test -run "+t.Name()+" -update .")
}
