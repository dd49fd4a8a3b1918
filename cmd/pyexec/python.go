//go:build cgo

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/go-pyexec/pyexec"
	"github.com/go-pyexec/pyexec/internal/doctor"
)

func pythonCommands() []*cli.Command {
	return []*cli.Command{runCommand(), benchCommand(), leaksCommand()}
}

// commonFlags say how the interpreter is set up, and what it is given.
func commonFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringSliceFlag{Name: "var", Usage: "a variable, `NAME=VALUE`; the value is JSON, or else text; may be repeated"},
		&cli.StringFlag{Name: "vars", Usage: "variables from a JSON object in this `FILE`; - is standard input"},
		&cli.StringFlag{Name: "isolation", Usage: "in-process, or process for a worker process (Linux)", Value: "in-process"},
		&cli.DurationFlag{Name: "timeout", Usage: "stop it after that long, as in 500ms or 10s; 0: never"},
		&cli.StringFlag{Name: "memory", Usage: "what Python may allocate, as in 64MiB or 1GiB; 0: any amount", Value: "0"},
		&cli.StringFlag{Name: "venv", Usage: "a virtual environment's `FOLDER`; - for none, whatever VIRTUAL_ENV says"},
		&cli.StringFlag{Name: "home", Usage: "the `FOLDER` that Python was installed to, as PYTHONHOME"},
		&cli.StringSliceFlag{Name: "path", Usage: "a `FOLDER` to import from, as in PYTHONPATH; may be repeated"},
		&cli.StringSliceFlag{Name: "preload", Usage: "a `MODULE` to import beforehand; may be repeated"},
	}
}

// config is what the flags say, for code that was read from file.
func config(c *cli.Command, file string) (pyexec.Config, error) {
	config := pyexec.Config{
		Venv: c.String("venv"), Home: c.String("home"), Paths: c.StringSlice("path"), Preload: c.StringSlice("preload"),
	}
	if c.String("isolation") == "process" {
		config.Isolation, config.Workers = pyexec.Process, 1
	} else if c.String("isolation") != "in-process" {
		return config, usage("--isolation is in-process or process, not %q", c.String("isolation"))
	}
	memory, err := size(c.String("memory"))
	if err != nil {
		return config, usage("--memory: %v", err)
	}
	config.MemoryLimit = memory
	if file != "-" { // as python3 does
		config.Paths = append([]string{filepath.Dir(file)}, config.Paths...)
	}
	return config, nil
}

// open is New with errors as the command reports them.
func open(config pyexec.Config) (*pyexec.Executor, error) {
	ex, err := pyexec.New(config)
	var bad *pyexec.ConfigError
	if errors.As(err, &bad) {
		return nil, &failure{statusUsage, err}
	}
	if err != nil {
		return nil, &failure{statusBroken, fmt.Errorf("%w\n(pyexec doctor looks at what is there)", err)}
	}
	return ex, nil
}

// snippet reads the file, and the variables that the flags name.
func snippet(c *cli.Command) (pyexec.Snippet, error) {
	var s pyexec.Snippet
	file, err := argument(c)
	if err != nil {
		return s, err
	}
	if file == "-" && c.String("vars") == "-" {
		return s, usage("standard input cannot be both the file and --vars")
	}
	code, err := read(c, file)
	if err != nil {
		return s, usage("%w", err)
	}
	s.Code, s.Name, s.Timeout = string(code), file, c.Duration("timeout")
	if file == "-" {
		s.Name = "stdin"
	} else if c.String("vars") != "-" {
		s.Stdin = c.Root().Reader
	}
	s.Vars, err = variables(c)
	return s, err
}

// argument is the one argument of a command.
func argument(c *cli.Command) (string, error) {
	switch c.Args().Len() {
	case 1:
		return c.Args().First(), nil
	case 0:
		return "", usage("%s needs a file, or - for standard input; pyexec %s --help explains", c.Name, c.Name)
	}
	return "", usage("%s takes one file, and %q is too much; variables are given by --var", c.Name, c.Args().Get(1))
}

func read(c *cli.Command, file string) ([]byte, error) {
	if file == "-" {
		return io.ReadAll(c.Root().Reader)
	}
	return os.ReadFile(file)
}

func variables(c *cli.Command) (pyexec.Vars, error) {
	vars := pyexec.Vars{}
	if file := c.String("vars"); file != "" {
		text, err := read(c, file)
		if err != nil {
			return nil, usage("--vars: %w", err)
		}
		v, err := fromJSON(text)
		object, ok := v.(map[string]any)
		if err != nil || !ok {
			return nil, usage("--vars: %s is no JSON object: %v", file, err)
		}
		vars = object
	}
	for _, v := range c.StringSlice("var") {
		name, text, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return nil, usage("--var is NAME=VALUE, not %q", v)
		}
		value, err := fromJSON([]byte(text))
		if err != nil {
			value = text
		}
		vars[name] = value
	}
	return vars, nil
}

// fromJSON decodes a JSON text with integers of any size, which encoding/json would take for floats.
func fromJSON(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more after the value")
	}
	return numbers(v)
}

func numbers(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case json.Number:
		if i, ok := new(big.Int).SetString(v.String(), 10); ok {
			if i.IsInt64() {
				return i.Int64(), nil
			}
			return i, nil
		}
		return v.Float64()
	case []any:
		for i := range v {
			if v[i], err = numbers(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for key := range v {
			if v[key], err = numbers(v[key]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// size reads a number of bytes.
func size(s string) (int, error) {
	digits := strings.TrimRight(s, "KMGiB")
	n, err := strconv.Atoi(digits)
	shift, ok := map[string]int{"": 0, "B": 0, "K": 10, "KiB": 10, "M": 20, "MiB": 20, "G": 30, "GiB": 30}[s[len(digits):]]
	if err != nil || !ok || n < 0 || n > 1<<(62-shift) {
		return 0, fmt.Errorf("%q is no size like 64MiB", s)
	}
	return n << shift, nil
}

// ended prints what went wrong, as python3 does, and says with which status to end.
func ended(ctx context.Context, w io.Writer, err error) int {
	var exit *pyexec.ExitError
	var python *pyexec.PythonError
	var crash *pyexec.CrashError
	var input *pyexec.InputError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		if exit.Message != "" {
			fmt.Fprintln(w, exit.Message)
		}
		return exit.Code & 0xff
	case ctx.Err() != nil:
		fmt.Fprintf(w, "pyexec: %v\n", context.Cause(ctx))
		return statusOf(ctx)
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Fprintln(w, "pyexec: stopped: --timeout is over")
		return statusTimeout
	case errors.As(err, &python):
		fmt.Fprint(w, python.Traceback())
		if errors.Is(err, pyexec.ErrType("KeyboardInterrupt")) {
			return statusSignal + int(syscall.SIGINT)
		}
		return statusFailed
	case errors.As(err, &crash) && crash.Signal != 0:
		fmt.Fprintln(w, err)
		return statusSignal + int(crash.Signal)
	case errors.As(err, &crash):
		fmt.Fprintln(w, err)
		return crash.ExitCode
	case errors.As(err, &input):
		fmt.Fprintln(w, err)
		return statusUsage
	case errors.Is(err, pyexec.ErrMemoryLimit):
		fmt.Fprintln(w, "pyexec: stopped: MemoryError: more than --memory")
		return statusFailed
	}
	fmt.Fprintln(w, err)
	return statusBroken
}

// statusOf is the status after a signal.
func statusOf(ctx context.Context) int {
	var s interrupted
	if errors.As(context.Cause(ctx), &s) {
		return statusSignal + int(s)
	}
	return statusBroken
}

// embedded tries each level, as a program would use it.
func embedded(venv string) doctor.Section {
	s := doctor.Section{Title: "This command, which was built with cgo"}
	for _, level := range []pyexec.Isolation{pyexec.InProcess, pyexec.Process} {
		f := doctor.Finding{What: level.String()}
		text, err := try(pyexec.Config{Isolation: level, Workers: 1, Venv: venv})
		f.Detail = text
		switch {
		case errors.Is(err, pyexec.ErrUnsupported):
			f.State, f.Detail = doctor.Note, err.Error()
		case err != nil:
			f.State, f.Detail = doctor.Missing, err.Error()
		}
		s.Findings = append(s.Findings, f)
	}
	return s
}

func try(config pyexec.Config) (string, error) {
	start := time.Now()
	ex, err := pyexec.New(config)
	if err != nil {
		return "", err
	}
	defer ex.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	res, err := ex.Execute(ctx, "import os, sys\nversion = '%d.%d.%d' % sys.version_info[:3]\nprefix, lib = sys.prefix, os.path.dirname(os.__file__)", nil)
	if err != nil {
		return "", err
	}
	began := time.Since(start)
	var python struct{ Version, Prefix, Lib string }
	if err := res.Into(&python); err != nil {
		return "", err
	}
	if err := ex.Recycle(ctx); err != nil {
		return "", err
	}
	stats := ex.Stats()
	how := "another process"
	if stats.Reinitialized > 0 {
		how = "re-initialised"
	} else if stats.Purged > 0 {
		how = "purged"
	}
	return fmt.Sprintf("Python %s, sys.prefix %s, standard library %s\nready in %d ms; recycled (%s) in %.1f ms",
		python.Version, python.Prefix, python.Lib, began.Milliseconds(), how, float64(stats.LastRecycle.Microseconds())/1000), nil
}
