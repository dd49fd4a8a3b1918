//go:build cgo

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/go-pyexec/pyexec"
	"github.com/go-pyexec/pyexec/internal/kernel"
)

func benchCommand() *cli.Command {
	return &cli.Command{
		Name:      "bench",
		Usage:     "what a call of a file costs, beside other ways to run it",
		ArgsUsage: "FILE|-",
		Description: `Measures calls of the file, compiled beforehand, side by side in rounds: with pyexec on each
level, with and without a reset, and in the ways that one would otherwise take: a bare C loop, a
Python worker that is sent code over a pipe, and a new python3 for each call. It prints the median
of the rounds. What the file prints is thrown away. --isolation is not looked at.

Examples:
   pyexec bench rule.py --vars sample.json
   echo 'x = 100' | pyexec bench - --rounds 9 --each 200ms`,
		Flags: append(commonFlags(),
			&cli.IntFlag{Name: "rounds", Usage: "how often each way is measured", Value: 5},
			&cli.DurationFlag{Name: "each", Usage: "how long each way is measured in a round, about", Value: 100 * time.Millisecond},
		),
		Action: func(ctx context.Context, c *cli.Command) error {
			s, err := snippet(c)
			if err != nil {
				return err
			}
			s.Stdin = nil
			config, err := config(c, c.Args().First())
			if err != nil {
				return err
			}
			for _, dir := range append([]*string{&config.Home, &config.Venv}, pointers(config.Paths)...) {
				if *dir == "" || *dir == pyexec.NoVenv {
					continue
				}
				if *dir, err = filepath.Abs(*dir); err != nil {
					return usage("%w", err)
				}
			}
			if c.Int("rounds") < 1 || c.Duration("each") <= 0 {
				return usage("--rounds and --each must be positive")
			}
			b := &bench{ctx: ctx, config: config, snippet: s, each: c.Duration("each")}
			return b.run(c)
		},
	}
}

func pointers(all []string) []*string {
	out := make([]*string, len(all))
	for i := range all {
		out[i] = &all[i]
	}
	return out
}

type bench struct {
	ctx     context.Context
	config  pyexec.Config
	snippet pyexec.Snippet
	each    time.Duration
	python  string // the executable that belongs to the interpreter
}

// A way is one to run the snippet: it runs it again and again, for about as long as it is told, and says how long a call took.
type way struct {
	name string
	run  func() (time.Duration, error)

	times []time.Duration // of a call, by round
	why   error           // that it cannot be measured
}

func (b *bench) run(c *cli.Command) error {
	res, err := b.first(c)
	if err != nil {
		return err
	}
	never := b.config
	never.Isolation, never.Workers, never.RecycleEvery = pyexec.InProcess, 0, pyexec.RecycleNever
	noReset := never
	noReset.Reset = pyexec.ResetNone
	usual := never
	usual.RecycleEvery = 0
	process := never
	process.Isolation, process.Workers = pyexec.Process, 1
	fresh := process
	fresh.RecycleEvery = 1
	ways := []*way{
		{name: "pyexec, in process", run: func() (time.Duration, error) { return b.calls(never) }},
		{name: "  without a reset", run: func() (time.Duration, error) { return b.calls(noReset) }},
		{name: "  recycled every 1000 calls", run: func() (time.Duration, error) { return b.calls(usual) }},
	}
	if runtime.GOOS == "linux" {
		ways = append(ways,
			&way{name: "pyexec, worker process", run: func() (time.Duration, error) { return b.calls(process) }},
			&way{name: "  a new one for each call", run: func() (time.Duration, error) { return b.calls(fresh) }})
	}
	if len(b.snippet.Vars) == 0 { // it has no way to give them
		ways = append(ways, &way{name: "a bare C loop of PyEval_EvalCode", run: b.loop})
	}
	ways = append(ways,
		&way{name: "a Python worker, code over a pipe", run: b.pipe},
		&way{name: "a new python3 for each call", run: b.script})
	for range c.Int("rounds") {
		for _, w := range ways {
			if b.ctx.Err() != nil {
				return status(statusOf(b.ctx))
			}
			if w.why != nil {
				continue
			}
			took, err := w.run()
			w.times, w.why = append(w.times, took), err
		}
	}
	b.show(c.Root().Writer, ways, res)
	return nil
}

// first runs the snippet once: it must work, and says what it does.
func (b *bench) first(c *cli.Command) (*pyexec.Result, error) {
	config := b.config
	config.Isolation, config.Workers = pyexec.InProcess, 0
	ex, err := open(config)
	if err != nil {
		return nil, err
	}
	defer ex.Close()
	res, err := ex.Run(b.ctx, b.snippet)
	if code := ended(b.ctx, c.Root().ErrWriter, err); err != nil {
		return nil, status(max(code, statusFailed)) // a snippet that exits is none to measure
	}
	python, err := ex.Execute(b.ctx, "import sys\npath = sys.executable", nil)
	if err == nil {
		err = python.Decode("path", &b.python)
	}
	if err != nil {
		return nil, &failure{statusBroken, err}
	}
	return res, nil
}

// measure repeats call until the time is over, and says how long one took.
func (b *bench) measure(call func() error) (time.Duration, error) {
	if err := call(); err != nil { // compiles, imports, fills caches
		return 0, err
	}
	start := time.Now()
	for n := 1; ; n++ {
		if err := call(); err != nil {
			return 0, err
		}
		if took := time.Since(start); took >= b.each {
			return took / time.Duration(n), nil
		}
	}
}

func (b *bench) calls(config pyexec.Config) (time.Duration, error) {
	ex, err := pyexec.New(config)
	if err != nil {
		return 0, err
	}
	defer ex.Close()
	p, err := ex.Compile(b.ctx, b.snippet)
	if err != nil {
		return 0, err
	}
	// Without a context that can end, a call stays on this goroutine, as most callers will have it.
	return b.measure(func() error {
		_, err := p.Run(context.WithoutCancel(b.ctx), b.snippet.Vars)
		return err
	})
}

func (b *bench) loop() (time.Duration, error) {
	k, err := kernel.Start(kernel.Config{
		CacheEntries: 1, CacheBytes: 1 << 20, MaxOutput: 1 << 10, MaxResult: 1 << 20, MaxDepth: 1000,
		Home: b.config.Home, Venv: b.venv(), Paths: b.config.Paths, // which must be those of the Executors
	})
	if err != nil {
		return 0, err
	}
	defer k.Close()
	for n := 1; ; n *= 2 {
		ns, err := k.BenchEval(b.snippet.Code, n)
		if err != nil {
			return 0, err
		}
		if time.Duration(ns) >= b.each {
			return time.Duration(ns / int64(n)), nil
		}
	}
}

// venv is the virtual environment as New settles it.
func (b *bench) venv() string {
	switch b.config.Venv {
	case pyexec.NoVenv:
		return ""
	case "":
		return os.Getenv("VIRTUAL_ENV")
	}
	return b.config.Venv
}

// worker is what one would write first: a line of JSON in, exec, a line of JSON out, and no reset.
const worker = `import io, json, sys
read, out = sys.stdin.buffer.readline, sys.stdout.buffer
while line := read():
    request = json.loads(line)
    names = request["vars"]
    sys.stdout = io.StringIO()
    exec(request["code"], names)
    result = {k: v for k, v in names.items() if isinstance(v, (int, float, str, list, dict)) and not k.startswith("_")}
    out.write(json.dumps(result, default=repr).encode() + b"\n")
    out.flush()
`

func (b *bench) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(b.ctx, b.python, append([]string{"-I"}, args...)...)
	cmd.Stderr = io.Discard
	return cmd
}

var errNoVars = errors.New("it has variables that are no JSON")

func (b *bench) pipe() (time.Duration, error) {
	request, err := json.Marshal(map[string]any{"code": b.path() + b.snippet.Code, "vars": b.snippet.Vars})
	if err != nil {
		return 0, errNoVars
	}
	request = append(request, '\n')
	cmd := b.command("-c", worker)
	in, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() {
		in.Close()
		_ = cmd.Wait() // a worker that has nothing to read ends
	}()
	replies := bufio.NewReader(out)
	return b.measure(func() error {
		if _, err := in.Write(request); err != nil {
			return err
		}
		_, err := replies.ReadBytes('\n')
		return err
	})
}

// path has the worker and the script import what the snippet can; a line of its own for neither.
func (b *bench) path() string {
	if len(b.config.Paths) == 0 {
		return ""
	}
	text, err := json.Marshal(b.config.Paths)
	if err != nil {
		return ""
	}
	return "import sys; sys.path[:0] = [p for p in " + string(text) + " if p not in sys.path]\n"
}

func (b *bench) script() (time.Duration, error) {
	vars, err := json.Marshal(b.snippet.Vars)
	if err != nil {
		return 0, errNoVars
	}
	code := b.path() + "import json, sys; globals().update(json.load(sys.stdin))\n" + b.snippet.Code
	return b.measure(func() error {
		cmd := b.command("-c", code)
		cmd.Stdin = bytes.NewReader(vars)
		return cmd.Run()
	})
}

func (b *bench) show(w io.Writer, ways []*way, res *pyexec.Result) {
	median := func(w *way) time.Duration {
		times := slices.Clone(w.times)
		slices.Sort(times)
		return times[len(times)/2]
	}
	fmt.Fprintf(w, "%s, lines: %d, Python %s\n\n", b.snippet.Name, strings.Count(strings.TrimSpace(b.snippet.Code), "\n")+1,
		strings.SplitN(kernel.Version(), " ", 2)[0])
	fmt.Fprintf(w, "%-36s %12s %14s %10s\n", "", "a call takes", "calls a second", "times")
	var base time.Duration
	for _, way := range ways {
		if way.why != nil {
			fmt.Fprintf(w, "%-36s not measured: %s\n", way.name, firstLine(way.why))
			continue
		}
		took := median(way)
		if base == 0 {
			base = took
		}
		fmt.Fprintf(w, "%-36s %12s %14.0f %10.2f\n", way.name, readable(took), float64(time.Second)/float64(max(took, 1)), float64(took)/float64(base))
	}
	fmt.Fprintln(w, "\nThe last column says how many times as long as the first line that is.")
	if len(res.Changes) > 0 {
		fmt.Fprintf(w, "A call changes interpreter state %d times, which is put back; pyexec leaks tells what.\n", len(res.Changes))
	}
	fmt.Fprintln(w, "On a busy machine, measure with more --rounds: ratios are steadier than times.")
}

func firstLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

// readable has three digits, and the unit that makes them short.
func readable(d time.Duration) string {
	switch ns := float64(d); {
	case ns < 1e3:
		return fmt.Sprintf("%.0f ns", ns)
	case ns < 1e6:
		return fmt.Sprintf("%.3g µs", ns/1e3)
	case ns < 1e9:
		return fmt.Sprintf("%.3g ms", ns/1e6)
	default:
		return fmt.Sprintf("%.3g s", ns/1e9)
	}
}
