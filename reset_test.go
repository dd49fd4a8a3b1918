package pyexec_test

import (
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
		assert.True(t, len(test.dirts)+len(test.refused)+len(test.taints)+len(test.stays) > 0, "row %s needs dirt in reset_rows_test.go", r.Name)
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
					res, err := ex.Execute(ctx, variant.code, nil)
					require.NotNil(t, res, variant.name)
					if variant.name == "once" || variant.name == "twice" {
						require.NoError(t, err, "it must get to all that it is to change")
					}
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
// Modules of the snippet's own folders are the snippet's, also if C modules of the standard library came with them.
func TestModulesOfChangedPaths(t *testing.T) {
	for _, c := range []string{"_codecs_kr", "decimal", "datetime", "ctypes"} {
		t.Run(c, func(t *testing.T) {
			ex := open(t, pyexec.Config{})
			for _, who := range []string{"one", "two"} {
				folder := t.TempDir()
				for _, name := range []string{"helpers.py", "colorsys.py"} {
					text := fmt.Sprintf("import %s\nwho = %q\n", c, who)
					require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
				}
				res := runWith(t, ex, "import sys\nsys.path.insert(0, folder)\nimport helpers, colorsys\nh = helpers.who", pyexec.Vars{"folder": folder})
				assert.Equal(t, who, res.Vars()["h"])
				res = run(t, ex, "import sys, colorsys\nx = [hasattr(colorsys, 'who'), 'helpers' in sys.modules, colorsys.rgb_to_hsv(1, 0, 0)[0]]")
				assert.Equal(t, []any{false, false, 0.0}, res.Vars()["x"])
				run(t, ex, "import "+c)
			}
		})
	}
}

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
