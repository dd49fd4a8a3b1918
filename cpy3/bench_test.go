//go:build cpy3

package cpy3_test

import (
	"flag"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	python3 "github.com/go-python/cpy3"

	"github.com/go-pyexec/pyexec"
	"github.com/go-pyexec/pyexec/cpy3"
)

// A bare is an executor as one writes it with cpy3: a crossing from Go to C for each call of the C API. cpy3 has neither
// Py_CompileString nor PyEval_EvalCode, so code is compiled and run by the functions compile and exec. Of all that a
// snippet can leave behind it puts back what is appended to sys.path.
type bare struct {
	compile, exec, path *python3.PyObject
	code                map[string]*python3.PyObject // nil: it is compiled each time
}

// within runs f with a bare, whose interpreter is the Executor's, and without the GIL, as it is between calls.
func within(b *testing.B, ex *pyexec.Executor, cached bool, f func(*bare)) {
	_, err := cpy3.Do(ctx, ex, func(*python3.PyObject) error {
		builtins := python3.PyImport_ImportModule("builtins")
		defer builtins.DecRef()
		e := &bare{
			compile: builtins.GetAttrString("compile"), exec: builtins.GetAttrString("exec"),
			path: python3.PySys_GetObject("path"), // borrowed
		}
		defer e.compile.DecRef()
		defer e.exec.DecRef()
		if cached {
			e.code = map[string]*python3.PyObject{}
		}
		func() {
			state := python3.PyEval_SaveThread()
			defer python3.PyEval_RestoreThread(state)
			f(e)
		}()
		for _, code := range e.code {
			code.DecRef()
		}
		return nil
	})
	if err != nil {
		b.Error(err)
	}
}

func (e *bare) compiled(source string) *python3.PyObject { // new
	if code := e.code[source]; code != nil {
		code.IncRef()
		return code
	}
	args := []*python3.PyObject{
		python3.PyUnicode_FromString(source), python3.PyUnicode_FromString("snippet.py"), python3.PyUnicode_FromString("exec"),
	}
	code := e.compile.CallFunctionObjArgs(args...)
	for _, a := range args {
		a.DecRef()
	}
	if e.code != nil {
		code.IncRef()
		e.code[source] = code
	}
	return code
}

// execute runs a snippet that does not fail, and returns its variables.
func (e *bare) execute(source string, vars pyexec.Vars) map[string]any {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	gil := python3.PyGILState_Ensure()
	defer python3.PyGILState_Release(gil)
	globals := python3.PyDict_New()
	defer globals.DecRef()
	for name, v := range vars {
		o := toPython(v)
		python3.PyDict_SetItemString(globals, name, o)
		o.DecRef()
	}
	before := python3.PyList_Size(e.path)
	code := e.compiled(source)
	defer code.DecRef()
	res := e.exec.CallFunctionObjArgs(code, globals)
	if res == nil {
		python3.PyErr_Print()
		panic("the bench snippet failed")
	}
	res.DecRef()
	if n := python3.PyList_Size(e.path); n > before {
		python3.PyList_SetSlice(e.path, before, n, nil)
	}
	out := map[string]any{}
	var pos int
	var key, value *python3.PyObject // borrowed
	for python3.PyDict_Next(globals, &pos, &key, &value) {
		if name := python3.PyUnicode_AsUTF8(key); name != "__builtins__" {
			if v, ok := toGo(value); ok {
				out[name] = v
			}
		}
	}
	return out
}

func toPython(v any) *python3.PyObject { // new
	switch v := v.(type) {
	case []float64:
		list := python3.PyList_New(len(v))
		for i, f := range v {
			python3.PyList_SetItem(list, i, python3.PyFloat_FromDouble(f)) // stolen
		}
		return list
	case int:
		return python3.PyLong_FromGoInt(v)
	case string:
		return python3.PyUnicode_FromString(v)
	}
	panic(fmt.Sprintf("the bench has no %T", v))
}

func toGo(o *python3.PyObject) (any, bool) {
	switch {
	case python3.PyLong_Check(o):
		return int64(python3.PyLong_AsLongLong(o)), true
	case python3.PyFloat_Check(o):
		return python3.PyFloat_AsDouble(o), true
	case python3.PyUnicode_Check(o):
		return python3.PyUnicode_AsUTF8(o), true
	case python3.PyList_Check(o):
		list := make([]any, python3.PyList_Size(o))
		for i := range list {
			list[i], _ = toGo(python3.PyList_GetItem(o, i))
		}
		return list, true
	case python3.PyDict_Check(o):
		m := map[string]any{}
		var pos int
		var key, value *python3.PyObject // borrowed
		for python3.PyDict_Next(o, &pos, &key, &value) {
			m[python3.PyUnicode_AsUTF8(key)], _ = toGo(value)
		}
		return m, true
	}
	return nil, false
}

const (
	oneLine = "x = 100"
	fifteen = `import json

def total(orders):
    sums = {}
    for order in orders:
        name = order["name"]
        sums[name] = sums.get(name, 0) + order["price"] * order["count"]
    return sums

text = '[{"name": "ada", "price": 2.5, "count": 2}, {"name": "bob", "price": 4, "count": 1}]'
totals = total(json.loads(text))
best = max(totals, key=totals.get)
worst = min(totals, key=totals.get)
x = totals[best] - totals[worst]
message = f"{best} is {x} ahead of {worst}"
`
)

var (
	rounds = flag.Int("rounds", 31, "rounds of BenchmarkRatios")
	prices = make([]float64, 1000)
)

// BenchmarkRatios compares what a bare executor takes with what pyexec takes for the same, in turns: a ratio is the
// median of the rounds' ratios, as in the benchmark of the same name of package pyexec.
func BenchmarkRatios(b *testing.B) {
	ex := open(b, pyexec.Config{RecycleEvery: pyexec.RecycleNever})
	ours := func(code string, vars pyexec.Vars) func(n int) time.Duration {
		return func(n int) time.Duration {
			start := time.Now()
			for range n {
				res, err := ex.Execute(ctx, code, vars)
				if err != nil {
					b.Fatal(err)
				}
				res.Vars()
			}
			return time.Since(start)
		}
	}
	theirs := func(cached bool, code string, vars pyexec.Vars) func(n int) time.Duration {
		return func(n int) (took time.Duration) {
			within(b, ex, cached, func(e *bare) {
				e.execute(code, vars)
				start := time.Now()
				for range n {
					e.execute(code, vars)
				}
				took = time.Since(start)
			})
			return took
		}
	}
	do := func(f func(*python3.PyObject) error) func(n int) time.Duration {
		return func(n int) time.Duration {
			start := time.Now()
			for range n {
				if _, err := cpy3.Do(ctx, ex, f); err != nil {
					b.Fatal(err)
				}
			}
			return time.Since(start)
		}
	}
	thousand := pyexec.Vars{"prices": prices}
	for _, c := range []struct {
		what          string
		bare, measure func(n int) time.Duration
	}{
		{"one line, compiled once, and all variables", theirs(true, oneLine, nil), ours(oneLine, nil)},
		{"one line, which the other compiles each time", theirs(false, oneLine, nil), ours(oneLine, nil)},
		{"15 lines, compiled once, and all variables", theirs(true, fifteen, nil), ours(fifteen, nil)},
		{"15 lines, which the other compiles each time", theirs(false, fifteen, nil), ours(fifteen, nil)},
		{"a thousand floats in, and a thousand out", theirs(true, "y = [p * 2 for p in prices]; del prices", thousand), ours("y = [p * 2 for p in prices]; del prices", thousand)},
		{"one line by the other, and an empty Do", theirs(true, oneLine, nil), do(func(*python3.PyObject) error { return nil })},
	} {
		n := max(1, int(2*time.Millisecond/(c.bare(20)/20)))
		var a, m, ratio []float64
		for range *rounds {
			x, y := float64(c.bare(n))/float64(n), float64(c.measure(n))/float64(n)
			a, m, ratio = append(a, x), append(m, y), append(ratio, x/y)
		}
		fmt.Printf("%-50s cpy3 %8.0f ns   pyexec %8.0f ns   ratio %6.2f\n", c.what, median(a), median(m), median(ratio))
	}
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}
