package pyexec_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
)

// What a process is like in which nothing has happened yet. The originals are the template's, at the same addresses in all
// workers.
func stateOfProcess(probe string) string {
	return `
def listed(l): return id(l), [id(x) for x in l]
state = repr([listed(sys.path), sys.path, listed(sys.argv), id(os.environ), dict(os.environ), os.getcwd(), keep.umask_now(),
      sys.getrecursionlimit(), sorted(sys.modules), keep.attributes(), listed(sys.meta_path), len(sys._current_frames())])
[state, ` + probe + `]`
}

// With a process for each snippet nothing survives, although nothing is put back: each dirt of each row, also of those that
// in process taint, or stay. The dirt must be there in the call that makes it, and must not in the next.
func TestAProcessPerSnippetUndoesEveryRow(t *testing.T) {
	t.Setenv("PYEXEC_TEST", "value")
	preload := []string{"asyncio", "bisect", "contextvars", "gc", "json", "string", "subprocess", "threading", "time", "warnings"}
	c := pyexec.Config{RecycleEvery: 1, Reset: pyexec.ResetNone, Workers: 2, Preload: append(preload, "numpy")}
	ex, err := openOrNot(t, c)
	if err != nil { // there is no numpy
		c.Preload = preload
		ex, err = openOrNot(t, c)
	}
	require.NoError(t, err)
	dir := t.TempDir()
	for name, code := range map[string]string{
		"keep": "KEEP = " + strconv.Quote(dir) + keepModule + keepMore + "modules_were = modules()\n", "toys": toysModule, "borrows": "from string import digits\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".py"), []byte(code), 0o600))
	}
	execute := func(code string) (any, error) {
		res, err := ex.Execute(ctx, "import os"+prepare+code, pyexec.Vars{"directory": dir})
		if err != nil {
			return nil, err
		}
		return res.Value, nil
	}
	pristine, err := execute(stateOfProcess("True"))
	require.NoError(t, err)

	var wg sync.WaitGroup
	turns := make(chan struct{}, 2)
	for row, r := range rows {
		if row == "files" {
			continue // they are not the process's, and stay
		}
		dirts := slices.Concat(r.dirts, r.stays)
		for _, code := range r.taints {
			dirts = append(dirts, dirt{name: code, code: code, probe: "False"}) // what it leaves is not for Python to see
		}
		for _, d := range dirts {
			turns <- struct{}{}
			wg.Go(func() {
				defer func() { <-turns }()
				if d.needs != "" {
					if v, err := execute(d.needs); err != nil || v != true {
						return
					}
				}
				name, probe := row+" "+d.name, d.orElse(r.probe)
				v, _ := execute(d.code + "\n" + probe)
				assert.NotEqual(t, true, v, "%s: there is no dirt to be undone", name)
				if probe == "False" {
					probe = "True"
				}
				v, err := execute(stateOfProcess(probe)) // in another process
				assert.NoError(t, err, name)
				if !reflect.DeepEqual(v, pristine) {
					assert.Equal(t, strings.Split(fmt.Sprint(pristine), ", "), strings.Split(fmt.Sprint(v), ", "), name)
				}
			})
		}
	}
	wg.Wait()
	s := ex.Stats()
	assert.Equal(t, s.Recycles, s.Replaced)
	assert.GreaterOrEqual(t, s.Recycles, s.Executions)
}

func openOrNot(t *testing.T, c pyexec.Config) (*pyexec.Executor, error) {
	c.Isolation = pyexec.Process
	ex, err := pyexec.New(c)
	if err == nil {
		t.Cleanup(func() { assert.NoError(t, ex.Close()) })
	}
	return ex, err
}
