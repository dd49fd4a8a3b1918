package pyexec_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-pyexec/pyexec"
	"github.com/go-pyexec/pyexec/internal/bench"
)

// ---- worker processes ----

// busyCode keeps a processor busy for some milliseconds.
const busyCode = "t = 0\nfor i in range(100000): t += i"

// busyCount is what keeps it as busy in C.
const busyCount = 10_000_000

// What a call of oneLine sends, and what its reply does.
const requestBytes, replyBytes = 24 + 56 + 10 + 7, 24 + 88 + 5

func processes(b *testing.B, ex *pyexec.Executor, add func(name string, n int, run func(n int) time.Duration)) {
	openAt := func(workers, every int) *pyexec.Executor {
		return openBench(b, pyexec.Config{Isolation: pyexec.Process, Workers: workers, RecycleEvery: every})
	}
	times := func(ex *pyexec.Executor, code string) func(n int) time.Duration {
		return func(n int) time.Duration {
			start := time.Now()
			for range n {
				if _, err := ex.Execute(ctx, code, nil); err != nil {
					b.Fatal(err)
				}
			}
			return time.Since(start)
		}
	}
	add("bare ping-pong of the same bytes", 200, func(n int) time.Duration {
		took, err := bench.PingPong(requestBytes, replyBytes, n)
		if err != nil {
			b.Fatal(err)
		}
		return took
	})
	never := openAt(1, pyexec.RecycleNever)
	add("Process, one line", 200, times(never, oneLine))
	every := openBench(b, pyexec.Config{Isolation: pyexec.Process, Workers: 1, RecycleEvery: 1000, Preload: []string{"json"}})
	for _, s := range []struct{ name, code string }{{"one line", oneLine}, {"15 lines", fifteen}} {
		// several recycles a round, so that what they cost afterwards is in it, too
		add("Process, "+s.name+", recycle every 1000", 4000, times(every, s.code))
		add("Process, "+s.name+", never recycled, 4000 calls", 4000, times(never, s.code))
	}
	add("Process, 15 lines", 200, times(never, fifteen))
	add("Process, a fresh process each", 50, times(openAt(1, 1), oneLine))
	loop, err := bench.StartForkLoop()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = loop.Close() })
	add("bare fork, run, reply, wait", 50, func(n int) time.Duration {
		took, err := loop.Run(n)
		if err != nil {
			b.Fatal(err)
		}
		return took
	})

	// Twice the work for two at a time: with two processors it takes as long.
	twice := func(work func()) func(n int) time.Duration {
		return func(n int) time.Duration {
			start := time.Now()
			var wg sync.WaitGroup
			for range 2 {
				wg.Go(func() {
					for range n {
						work()
					}
				})
			}
			wg.Wait()
			return time.Since(start) / 2
		}
	}
	two := openAt(2, pyexec.RecycleNever)
	add("Process, one worker, busy", 8, times(never, busyCode))
	add("Process, two workers, busy", 8, twice(func() { times(two, busyCode)(1) }))
	add("counting in C, one thread", 8, func(n int) time.Duration { return bench.Spin(n * busyCount) })
	add("counting in C, two threads", 8, twice(func() { bench.Spin(busyCount) }))
}

func processLines() []line {
	return []line{
		{what: "bare ping-pong of the same bytes"},
		{what: "Process, one line", against: "bare ping-pong of the same bytes", target: "<= 1.5x", met: atMost(1.5)},
		{what: "Process, one line", against: "Execute, cached, one line, reset on"},
		{what: "Process, 15 lines", against: "Execute, cached, 15 lines, reset on"},
		{what: "Process, one line, recycle every 1000", against: "Process, one line, never recycled, 4000 calls", target: "<= 1.08x", met: atMost(1.08)},
		{what: "Process, 15 lines, recycle every 1000", against: "Process, 15 lines, never recycled, 4000 calls", target: "<= 1.08x", met: atMost(1.08)},
		{what: "bare fork, run, reply, wait"},
		{what: "Process, a fresh process each", against: "bare fork, run, reply, wait", target: "<= 1.5x", met: atMost(1.5)},
		{what: "Process, one worker, busy", against: "Process, two workers, busy", target: ">= 1.9x",
			met: func(_, ratio float64) bool { return ratio >= 1.9 }},
		{what: "counting in C, one thread", against: "counting in C, two threads"}, // what the machine has to give
		{what: "notes' design, one line", against: "Process, one line", target: ">= 5x",
			met: func(_, ratio float64) bool { return ratio >= 5 }},
		{what: "notes' design, one line", against: "Process, one line, recycle every 1000"},
	}
}

// BenchmarkLongestCall is how much longer than the median the longest calls around recycles are, and the longest of as many
// calls with no recycle in sight, which the machine, Go's collector and the like are to blame for. A recycle concerns the
// first calls of the new process, and those beside which the next one is forked.
func BenchmarkLongestCall(b *testing.B) {
	const rounds, around, between = 200, 10, 100
	ex := openBench(b, pyexec.Config{Isolation: pyexec.Process, Workers: 1, RecycleEvery: pyexec.RecycleNever})
	call := func() float64 {
		start := time.Now()
		if _, err := ex.Execute(ctx, oneLine, nil); err != nil {
			b.Fatal(err)
		}
		return float64(time.Since(start).Nanoseconds())
	}
	longest := func() float64 {
		most := 0.0
		for range around {
			most = max(most, call())
		}
		return most
	}
	var all, beside, elsewhere []float64
	for range rounds {
		for range between {
			all = append(all, call())
		}
		elsewhere = append(elsewhere, longest())
		for range between {
			all = append(all, call())
		}
		if err := ex.Recycle(ctx); err != nil {
			b.Fatal(err)
		}
		beside = append(beside, longest())
	}
	m := median(all)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(m, "ns-median")
	for _, c := range []struct {
		name  string
		times []float64
	}{{"recycle", beside[1:]}, {"none", elsewhere[1:]}} { // not the first process's first
		b.ReportMetric(median(c.times)-m, "ns-above-"+c.name)
		b.ReportMetric(slices.Max(c.times)-m, "ns-most-above-"+c.name)
	}
}
