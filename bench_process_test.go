package pyexec_test

import (
	"bufio"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-pyexec/pyexec"
	"github.com/go-pyexec/pyexec/internal/kernel"
)

// ---- worker processes ----

// busyCode keeps a processor busy for some milliseconds.
const busyCode = "t = 0\nfor i in range(100000): t += i"

// forkLoop is a fresh process for each snippet, as bare as Python has it: fork, run, reply, wait.
const forkLoop = `
import os, socket, sys, threading, time, warnings, gc
code = compile("x = 100", "snippet.py", "exec")
gc.collect(); gc.freeze()
for line in sys.stdin:
    start = time.perf_counter_ns()
    for _ in range(int(line)):
        here, there = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            exec(code, {})
            there.send(b"x" * 100)
            os._exit(0)
        here.recv(4096)
        os.waitpid(pid, 0)
        here.close(); there.close()
    print(time.perf_counter_ns() - start, flush=True)
`

// startForkLoop returns a function that has n processes forked and says how long that took.
func startForkLoop(b *testing.B, python string) func(n int) time.Duration {
	b.Helper()
	cmd := exec.Command(python, "-I", "-c", forkLoop)
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	lines := bufio.NewReader(out)
	return func(n int) time.Duration {
		fmt.Fprintln(in, n)
		line, err := lines.ReadString('\n')
		if err != nil {
			b.Fatal(err)
		}
		ns, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		return time.Duration(ns)
	}
}

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
		took, err := kernel.BenchPingPong(requestBytes, replyBytes, n)
		if err != nil {
			b.Fatal(err)
		}
		return took
	})
	never := openAt(1, pyexec.RecycleNever)
	add("Process, one line", 200, times(never, oneLine))
	add("Process, one line, recycle every 1000", 1000, times(openAt(1, 1000), oneLine))
	add("Process, one line, never recycled, 1000 calls", 1000, times(never, oneLine))
	add("Process, 15 lines", 200, times(never, fifteen))
	add("Process, a fresh process each", 50, times(openAt(1, 1), oneLine))
	add("bare fork, run, reply, wait", 50, startForkLoop(b, pythonOf(b, ex)))

	add("Process, one worker, busy", 8, times(never, busyCode))
	two := openAt(2, pyexec.RecycleNever)
	add("Process, two workers, busy", 8, func(n int) time.Duration {
		start := time.Now()
		var wg sync.WaitGroup
		for range 2 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				times(two, busyCode)(n / 2)
			}()
		}
		wg.Wait()
		return time.Since(start)
	})
}

func processLines() []line {
	return []line{
		{what: "bare ping-pong of the same bytes"},
		{what: "Process, one line", against: "bare ping-pong of the same bytes", target: "<= 1.5x", met: atMost(1.5)},
		{what: "Process, one line", against: "Execute, cached, one line, reset on"},
		{what: "Process, 15 lines", against: "Execute, cached, 15 lines, reset on"},
		{what: "Process, one line, recycle every 1000", against: "Process, one line, never recycled, 1000 calls", target: "<= 1.08x", met: atMost(1.08)},
		{what: "bare fork, run, reply, wait"},
		{what: "Process, a fresh process each", against: "bare fork, run, reply, wait", target: "<= 1.5x", met: atMost(1.5)},
		{what: "Process, one worker, busy", against: "Process, two workers, busy", target: ">= 1.9x",
			met: func(_, ratio float64) bool { return ratio >= 1.9 }},
		{what: "notes' design, one line", against: "Process, one line", target: ">= 5x",
			met: func(_, ratio float64) bool { return ratio >= 5 }},
		{what: "notes' design, one line", against: "Process, one line, recycle every 1000"},
	}
}

// BenchmarkLongestCall is how much longer than the median the longest of 2000 calls is, with and without recycles.
func BenchmarkLongestCall(b *testing.B) {
	for _, every := range []int{pyexec.RecycleNever, 100} {
		b.Run(fmt.Sprintf("recycle every %d", every), func(b *testing.B) {
			ex := openBench(b, pyexec.Config{Isolation: pyexec.Process, Workers: 1, RecycleEvery: every})
			took := make([]float64, 0, 2000)
			for range cap(took) {
				start := time.Now()
				if _, err := ex.Execute(ctx, oneLine, nil); err != nil {
					b.Fatal(err)
				}
				took = append(took, float64(time.Since(start).Nanoseconds()))
			}
			longest := 0.0
			for _, t := range took[10:] { // not the first process's first
				longest = max(longest, t)
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(median(took), "ns-median")
			b.ReportMetric(longest-median(took), "ns-longest-above")
		})
	}
}
