package pyexec_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/go-pyexec/pyexec"
)

// The snippets of all benchmarks. The third runs in the form exec(code, {}, locals), too, so its function uses no names
// of the top level.
const (
	oneLine = "x = 100"
	oneCall = "x = 'text'.upper()" // unlike oneLine, code that the reset has to look after
	sysPath = "import sys; sys.path.append('/fake')"
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
	scalars = pyexec.Vars{"a": 1, "b": 2.5, "c": "text", "d": true, "e": nil}
	wantX   = []string{"x"}
)

func openBench(b *testing.B, config pyexec.Config) *pyexec.Executor {
	b.Helper()
	ex, err := pyexec.New(config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ex.Close() })
	return ex
}

// distinct are copies of code that a cache of 1024 takes for different ones, and never has when their turn comes again.
func distinct(code string) []string {
	all := make([]string, 4096)
	for i := range all {
		all[i] = fmt.Sprintf("%s\n# %d", code, i)
	}
	return all
}

// ---- one by one: for benchstat and profiles ----

func BenchmarkLimit(b *testing.B) {
	for _, c := range []struct{ name, code string }{{"one-line", oneLine}, {"sys.path", sysPath}, {"15-line", fifteen}} {
		b.Run(c.name, func(b *testing.B) {
			ex := openBench(b, pyexec.Config{})
			took, err := ex.BenchEval(c.code, b.N)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(took.Nanoseconds())/float64(b.N), "ns/op")
		})
	}
}

func BenchmarkExecute(b *testing.B) {
	for _, c := range []struct{ name, code string }{{"one-line", oneLine}, {"15-line", fifteen}} {
		for _, cached := range []string{"cached", "uncached"} {
			for _, vars := range []string{"bare", "vars"} {
				for _, reset := range []string{"reset", "noreset"} {
					b.Run(strings.Join([]string{c.name, cached, vars, reset}, "/"), func(b *testing.B) {
						config := pyexec.Config{RecycleEvery: pyexec.RecycleNever}
						if reset == "noreset" {
							config.Reset = pyexec.ResetNone
						}
						codes := []string{c.code}
						if cached == "uncached" {
							codes = distinct(c.code)
						}
						s := pyexec.Snippet{}
						if vars == "vars" {
							s.Vars, s.Want = scalars, wantX
						}
						benchRun(b, openBench(b, config), s, codes)
					})
				}
			}
		}
	}
	b.Run("sys.path/cached/bare/reset", func(b *testing.B) {
		benchRun(b, openBench(b, pyexec.Config{RecycleEvery: pyexec.RecycleNever}), pyexec.Snippet{}, []string{sysPath})
	})
}

func benchRun(b *testing.B, ex *pyexec.Executor, s pyexec.Snippet, codes []string) {
	b.Helper()
	s.Code = codes[0]
	if _, err := ex.Run(ctx, s); err != nil { // loads modules and fills the cache
		b.Fatal(err)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i = (i + 1) % len(codes)
		s.Code = codes[i]
		if _, err := ex.Run(ctx, s); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkProgram needs no hash of the source.
func BenchmarkProgram(b *testing.B) {
	for _, c := range []struct{ name, code string }{{"one-line", oneLine}, {"15-line", fifteen}} {
		b.Run(c.name, func(b *testing.B) {
			p, err := openBench(b, pyexec.Config{RecycleEvery: pyexec.RecycleNever}).Compile(ctx, pyexec.Snippet{Code: c.code})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Run(ctx, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkParallel is many goroutines at one interpreter: they take turns.
func BenchmarkParallel(b *testing.B) {
	ex := openBench(b, pyexec.Config{RecycleEvery: pyexec.RecycleNever})
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := ex.Execute(ctx, oneLine, nil); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkRecycleEvery1000(b *testing.B) {
	benchRun(b, openBench(b, pyexec.Config{}), pyexec.Snippet{}, []string{oneLine})
}

func BenchmarkDecode(b *testing.B) {
	res, err := openBench(b, pyexec.Config{}).Execute(ctx, fifteen, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		var x float64
		if err := res.Decode("x", &x); err != nil {
			b.Fatal(err)
		}
	}
}

// A variant is something to measure: run does it n times and says how long that took.
type variant struct {
	name  string
	run   func(n int) time.Duration
	n     int       // calls a round; 0 until calibrated
	times []float64 // ns a call, by round
}

// A line of the table compares a variant with another of the same run.
type line struct {
	what, against string
	target        string
	met           func(ns, ratio float64) bool // nil: no target
}

func atMost(limit float64) func(ns, ratio float64) bool {
	return func(_, ratio float64) bool { return ratio <= limit }
}

var (
	only      = flag.String("only", "", "regular expression: which lines of the table of BenchmarkRatios to measure")
	numRounds = flag.Int("rounds", 31, "rounds of BenchmarkRatios")
)

// slice is how long a variant runs in a round: short against the time in which the machine's speed drifts.
const slice = 2 * time.Millisecond

// BenchmarkRatios measures everything side by side: separate benchmarks drift apart on a busy machine. In each of many
// rounds every variant runs for a moment, next to what it is compared with and in changing order; a ratio is the median
// of the rounds' ratios. Its table is the comparison that the README quotes. A missed target is printed as missed, and is
// no failure: it depends on the machine.
func BenchmarkRatios(b *testing.B) {
	selected, err := regexp.Compile(*only)
	if err != nil {
		b.Fatal(err)
	}
	ls := slices.DeleteFunc(lines(), func(l line) bool { return !selected.MatchString(l.what + " : " + l.against) })
	ex := openBench(b, pyexec.Config{RecycleEvery: pyexec.RecycleNever})
	vs := slices.DeleteFunc(variants(b, ex), func(v *variant) bool {
		return !slices.ContainsFunc(ls, func(l line) bool { return l.what == v.name || l.against == v.name })
	})
	for _, v := range vs {
		calibrate(v)
	}
	for round := range *numRounds {
		for i := range vs {
			at := (i + round*7) % len(vs) // neighbours stay neighbours
			if round%2 == 1 {
				at = len(vs) - 1 - at
			}
			v := vs[at]
			v.times = append(v.times, float64(v.run(v.n).Nanoseconds())/float64(v.n))
		}
	}
	report(b, ls, vs)
}

func calibrate(v *variant) {
	if v.n != 0 {
		return
	}
	const probe = 20
	v.run(probe)
	each := min(v.run(probe), v.run(probe)) / probe
	v.n = max(10, int(slice/max(each, 1)))
}

func variants(b *testing.B, ex *pyexec.Executor) []*variant {
	var vs []*variant
	add := func(name string, n int, run func(n int) time.Duration) {
		vs = append(vs, &variant{name: name, n: n, run: run})
	}
	check := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	execute := func(code string) {
		_, err := ex.Execute(ctx, code, nil)
		check(err)
	}
	// configured runs f n times under a mode of reset, after one call that nobody times and that leaves all clean.
	configured := func(reset pyexec.ResetMode, code string, f func(i int)) func(n int) time.Duration {
		return func(n int) time.Duration {
			ex.SetReset(pyexec.ResetAll)
			execute(code)
			ex.SetReset(reset)
			start := time.Now()
			for i := range n {
				f(i)
			}
			took := time.Since(start)
			ex.SetReset(pyexec.ResetAll)
			execute("pass")
			return took
		}
	}
	limit := func(code string) func(n int) time.Duration {
		return func(n int) time.Duration {
			took, err := ex.BenchEval(code, n)
			check(err)
			execute("pass") // puts back what that left
			return took
		}
	}
	modes := []struct {
		name string
		mode pyexec.ResetMode
	}{{"reset on", pyexec.ResetAll}, {"reset off", pyexec.ResetNone}}

	for _, s := range []struct{ name, code string }{{"one line", oneLine}, {"15 lines", fifteen}} {
		add("C loop, "+s.name, 0, limit(s.code))
		for _, m := range modes {
			add("Execute, cached, "+s.name+", "+m.name, 0, configured(m.mode, s.code, func(int) { execute(s.code) }))
		}
		program, err := ex.Compile(ctx, pyexec.Snippet{Code: s.code})
		check(err)
		add("Program.Run, "+s.name, 0, configured(pyexec.ResetAll, s.code, func(int) {
			_, err := program.Run(ctx, nil)
			check(err)
		}))
		withVars := pyexec.Snippet{Code: s.code, Vars: scalars, Want: wantX}
		for _, m := range modes {
			add("Run, cached, variables, "+s.name+", "+m.name, 0, configured(m.mode, s.code, func(int) {
				_, err := ex.Run(ctx, withVars)
				check(err)
			}))
		}
		wanted := pyexec.Snippet{Code: s.code, Want: wantX}
		add("Run, cached, x wanted, "+s.name, 0, configured(pyexec.ResetAll, s.code, func(int) {
			_, err := ex.Run(ctx, wanted)
			check(err)
		}))
		limited := pyexec.Snippet{Code: s.code, Timeout: time.Hour}
		add("Run, cached, Timeout, "+s.name, 0, configured(pyexec.ResetAll, s.code, func(int) {
			_, err := ex.Run(ctx, limited)
			check(err)
		}))
		withContext, cancel := context.WithTimeout(ctx, time.Hour)
		b.Cleanup(cancel)
		add("Execute, cached, context with a deadline, "+s.name, 0, configured(pyexec.ResetAll, s.code, func(int) {
			_, err := ex.Execute(withContext, s.code, nil)
			check(err)
		}))
		codes, next := distinct(s.code), 0
		each := func() string {
			next = (next + 1) % len(codes)
			return codes[next]
		}
		for _, m := range modes {
			add("Execute, uncached, "+s.name+", "+m.name, 100, configured(m.mode, s.code, func(int) { execute(each()) }))
		}
		for _, m := range modes {
			add("Run, uncached, variables, "+s.name+", "+m.name, 100, configured(m.mode, s.code, func(int) {
				s := withVars
				s.Code = each()
				_, err := ex.Run(ctx, s)
				check(err)
			}))
		}
		recycling := configured(pyexec.ResetAll, s.code, func(int) { execute(s.code) })
		add("Execute, cached, "+s.name+", recycle every 1000", notesEvery, func(n int) time.Duration {
			ex.SetRecycleEvery(notesEvery)
			took := recycling(n)
			ex.SetRecycleEvery(pyexec.RecycleNever)
			return took
		})
	}
	add("C loop, one call", 0, limit(oneCall))
	for _, m := range modes {
		add("Execute, cached, one call, "+m.name, 0, configured(m.mode, oneCall, func(int) { execute(oneCall) }))
	}
	add("C loop, sys.path", 0, limit(sysPath))
	for _, m := range modes {
		add("Execute, cached, sys.path, "+m.name, 0, configured(m.mode, sysPath, func(int) { execute(sysPath) }))
	}

	res, err := ex.Execute(ctx, fifteen, nil)
	check(err)
	add("Decode of one variable", 0, func(n int) time.Duration {
		start := time.Now()
		for range n {
			var x float64
			check(res.Decode("x", &x))
		}
		return time.Since(start)
	})

	worker := startNotes(b, pythonOf(b, ex))
	for _, s := range []struct{ name, code string }{{"one line", oneLine}, {"15 lines", fifteen}, {"sys.path", sysPath}} {
		add("notes' design, "+s.name, notesEvery, func(n int) time.Duration {
			start := time.Now()
			for range n {
				worker.execute(b, s.code)
			}
			return time.Since(start)
		})
	}
	crossings(b, ex, add)
	processes(b, ex, add)
	return vs
}

func lines() []line {
	const on, off = ", reset on", ", reset off"
	var ls []line
	add := func(l line) { ls = append(ls, l) }
	for _, s := range []string{"one line", "15 lines"} {
		loop, cached := "C loop, "+s, "Execute, cached, "+s
		add(line{what: loop})
		if s == "one line" {
			add(line{what: cached + on, against: loop, target: "<= 4x and < 1 µs",
				met: func(ns, ratio float64) bool { return ratio <= 4 && ns < 1000 }})
		} else {
			add(line{what: cached + on, against: loop, target: "<= 1.10x", met: atMost(1.10)})
		}
		add(line{what: cached + off, against: loop})
		add(line{what: cached + on, against: cached + off, target: "<= 1.05x", met: atMost(1.05)})
		for _, v := range []string{"Run, cached, Timeout, ", "Execute, cached, context with a deadline, "} {
			if s == "one line" {
				add(line{what: v + s, against: cached + on, target: "< 0.5 µs more"})
			} else {
				add(line{what: v + s, against: cached + on, target: "<= 1.05x", met: atMost(1.05)})
			}
		}
		add(line{what: "Program.Run, " + s, against: loop})
		add(line{what: "Run, cached, x wanted, " + s, against: loop})
		for _, v := range []string{"Run, cached, variables, ", "Execute, uncached, ", "Run, uncached, variables, "} {
			add(line{what: v + s + on, against: loop})
			add(line{what: v + s + on, against: v + s + off, target: "<= 1.05x", met: atMost(1.05)})
		}
		add(line{what: cached + ", recycle every 1000", against: cached + on})
	}
	add(line{what: "C loop, one call"})
	add(line{what: "Execute, cached, one call" + on, against: "C loop, one call"})
	add(line{what: "Execute, cached, one call" + on, against: "Execute, cached, one call" + off, target: "<= 1.05x",
		met: atMost(1.05)})
	add(line{what: "C loop, sys.path"})
	add(line{what: "Execute, cached, sys.path" + on, against: "C loop, sys.path"})
	add(line{what: "Execute, cached, sys.path" + on, against: "Execute, cached, sys.path" + off})
	add(line{what: "Decode of one variable"})
	add(line{what: "notes' design, one line", against: "Execute, cached, one line" + on, target: ">= 100x",
		met: func(_, ratio float64) bool { return ratio >= 100 }})
	add(line{what: "notes' design, one line", against: "Execute, cached, one line, recycle every 1000", target: ">= 100x",
		met: func(_, ratio float64) bool { return ratio >= 100 }})
	add(line{what: "notes' design, 15 lines", against: "Execute, cached, 15 lines" + on})
	add(line{what: "notes' design, 15 lines", against: "Execute, cached, 15 lines, recycle every 1000"})
	add(line{what: "notes' design, sys.path", against: "Execute, cached, sys.path" + on})
	return append(append(ls, crossingLines()...), processLines()...)
}

// report prints the table and gives its ratios to benchstat as sub-benchmarks.
func report(b *testing.B, ls []line, vs []*variant) {
	byName := map[string]*variant{}
	for _, v := range vs {
		byName[v.name] = v
	}
	fmt.Printf("\nMedians of %d interleaved rounds; ratios are medians of the rounds' ratios.\n", *numRounds)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "what\tmedian ns\tratio\tagainst\ttarget\tmet?")
	var metrics []line
	var values []float64
	for _, l := range ls {
		v := byName[l.what]
		ns := median(v.times)
		if l.against == "" {
			fmt.Fprintf(w, "%s\t%.0f\t\t\t\t\n", l.what, ns)
			continue
		}
		ratios := make([]float64, len(v.times))
		for i, t := range v.times {
			ratios[i] = t / byName[l.against].times[i]
		}
		ratio := median(ratios)
		metrics, values = append(metrics, l), append(values, ratio)
		met := ""
		if l.met != nil {
			met = "missed"
			if l.met(ns, ratio) {
				met = "met"
			}
		}
		fmt.Fprintf(w, "%s\t%.0f\t%.3f\t%s\t%s\t%s\n", l.what, ns, ratio, l.against, l.target, met)
	}
	w.Flush()
	fmt.Println()
	for i, l := range metrics {
		b.Run(l.what+" : "+l.against, func(b *testing.B) {
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(values[i], "ratio")
		})
	}
}

func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}
