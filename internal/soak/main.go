// Command soak shows that pyexec does not grow: it runs a great many executions in one process and watches the process
// from outside. With
//
//	go run ./internal/soak -n 1000000
//	go run ./internal/soak -n 200000 -snippets mixed
//	go run ./internal/soak -n 100000 -snippets json,classes   (to find out which snippet grows)
//
// it prints a line after the first 10,000 executions and at every tenth of the way, and at the end by how much the
// resident set grew since that first line. The exit status is 1 if that is more than 10 %.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-pyexec/pyexec"
)

type snippet struct {
	name, code string
	vars       pyexec.Vars
	raises     string // the exception it ends with, if any
}

var (
	bare  = []snippet{{name: "bare", code: "x = 100"}}
	mixed = []snippet{
		{name: "one-line", code: "x = 100"},
		{name: "json", code: "import json\nx = json.loads(json.dumps({'a': [1, 2.5, None, 'text'], 'b': {'c': True}}))"},
		{name: "re", code: "import re\nx = re.sub(r'(\\w+) (\\w+)', r'\\2 \\1', 'hello world')"},
		{name: "datetime", code: "import datetime\nx = str(datetime.date(2024, 1, 31) + datetime.timedelta(days=1))"},
		{name: "functions", code: "def f(n):\n    return n if n < 2 else f(n - 1) + f(n - 2)\ndef g():\n    return f(5)\nx = g()"},
		{name: "classes", code: "class A:\n    def __init__(self, v):\n        self.v = v\n        self.me = self\nclass B(A):\n    pass\nx = B(3).v"},
		{name: "cycles", code: "a = []\na.append(a)\nd = {'a': a}\nd['d'] = d\ndel a, d"},
		{name: "closures", code: "def make(n):\n    def add(x):\n        return x + n + k\n    k = 2\n    return add\nx = make(1)(2)"},
		{name: "generators", code: "def count():\n    i = 0\n    while True:\n        yield i\n        i += 1\ng = count()\nx = [next(g) for _ in range(5)]"},
		{name: "raises", code: "def f(d):\n    return d['missing']\nf({})", raises: "KeyError"},
		{name: "chained", code: "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('bad') from e", raises: "ValueError"},
		{name: "syntax", code: "x = = 1", raises: "SyntaxError"},
		{name: "path", code: "import sys\nsys.path.append('/fake')\nsys.path.insert(0, '/fake2')"},
		{name: "rebind", code: "import sys\nsys.path = ['/other']\nsys.argv = ['a', 'b']"},
		{name: "environ", code: "import os\nos.environ['PYEXEC_SOAK'] = '1'\nos.environ.pop('HOME', None)"},
		{name: "putenv", code: "import os\nos.putenv('PYEXEC_SOAK_2', 'x' * 100)"},
		{name: "print", code: "for i in range(10):\n    print('line', i)"},
		{name: "vars", code: "y = [v * 2 for v in values]\nz = {name: y}\nx = sum(y)",
			vars: pyexec.Vars{"values": []int{1, 2, 3, 4, 5}, "name": "double"}},
		{name: "large", code: "x = 'x' * 100_000\ny = list(range(1000))"},
		{name: "value", code: "[i * i for i in range(10)]"},
	}
)

func choose(names string) ([]snippet, error) {
	switch names {
	case "bare":
		return bare, nil
	case "mixed":
		return mixed, nil
	}
	var chosen []snippet
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(mixed, func(s snippet) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no snippet %q", name)
		}
		chosen = append(chosen, mixed[i])
	}
	return chosen, nil
}

func main() {
	var names []string
	for _, s := range mixed {
		names = append(names, s.name)
	}
	n := flag.Int("n", 1_000_000, "executions")
	recycle := flag.Int("recycle", 0, "executions between recycles: 0 for the default, -1 for never")
	which := flag.String("snippets", "bare", "bare, mixed, or some of "+strings.Join(names, ","))
	distinct := flag.Bool("distinct", false, "make each snippet's source a new one, so that all are compiled")
	flag.Parse()

	snippets, err := choose(*which)
	if err == nil {
		var ok bool
		ok, err = soak(snippets, *n, *recycle, *distinct)
		if err == nil && !ok {
			os.Exit(1)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(2)
	}
}

// firstLine is after how many executions everything is taken to be loaded and warm.
const firstLine = 10_000

func soak(snippets []snippet, n, recycle int, distinct bool) (ok bool, err error) {
	ex, err := pyexec.New(pyexec.Config{RecycleEvery: recycle})
	if err != nil {
		return false, err
	}
	defer ex.Close()
	ctx := context.Background()
	start := time.Now()
	var first, last usage
	next := min(firstLine, n)
	fmt.Printf("%12s %10s %6s %8s %11s %9s %11s %9s %9s\n",
		"executions", "RSS KB", "files", "threads", "goroutines", "recycles", "initialised", "purged", "calls/s")
	for i := 1; i <= n; i++ {
		s := &snippets[i%len(snippets)]
		code := s.code
		if distinct {
			code += "\n# " + strconv.Itoa(i)
		}
		_, err := ex.Execute(ctx, code, s.vars)
		if err := s.check(err); err != nil {
			return false, fmt.Errorf("execution %d: %w", i, err)
		}
		if i != next {
			continue
		}
		last = measure()
		if first.rss == 0 {
			first = last
		}
		st := ex.Stats()
		fmt.Printf("%12d %10d %6d %8d %11d %9d %11d %9d %9.0f\n", i, last.rss, last.files, last.threads, last.goroutines,
			st.Recycles, st.Reinitialized, st.Purged, float64(i)/time.Since(start).Seconds())
		next = (i*10/n + 1) * n / 10
	}
	st := ex.Stats()
	fmt.Printf("recycled by reason: %v; longest %v; Python errors %d; calls that something was put back after %d\n",
		st.RecyclesBy, st.LongestRecycle.Round(time.Microsecond), st.PythonErrors, st.Resets)
	growth := 100 * float64(last.rss-first.rss) / float64(first.rss)
	ok = growth <= 10
	answer := map[bool]string{true: "yes", false: "no"}[ok]
	fmt.Printf("growth since the first line %.1f %% (%d KB, %.3f KB per 1000 executions); within 10 %%: %s\n", growth,
		last.rss-first.rss, float64(last.rss-first.rss)*1000/float64(max(n-firstLine, 1)), answer)
	return ok, nil
}

// check holds a call's error against the one that the snippet is written to end with.
func (s *snippet) check(err error) error {
	var python *pyexec.PythonError
	switch {
	case s.raises == "" && err == nil:
		return nil
	case s.raises != "" && errors.As(err, &python) && strings.Contains(python.Type, s.raises):
		return nil
	case err == nil:
		return fmt.Errorf("the snippet %q did not raise %s", s.name, s.raises)
	}
	return fmt.Errorf("the snippet %q: %w", s.name, err)
}

type usage struct{ rss, files, threads, goroutines int }

func measure() usage {
	runtime.GC()
	debug.FreeOSMemory()
	u := usage{goroutines: runtime.NumGoroutine()}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return u
	}
	for l := range strings.SplitSeq(string(status), "\n") {
		name, value, _ := strings.Cut(l, ":")
		number, _, _ := strings.Cut(strings.TrimSpace(value), " ")
		switch name {
		case "VmRSS":
			u.rss, _ = strconv.Atoi(number)
		case "Threads":
			u.threads, _ = strconv.Atoi(number)
		}
	}
	files, _ := os.ReadDir("/proc/self/fd")
	u.files = len(files) - 1 // the listing itself holds one
	return u
}
