//go:build cgo

package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/go-pyexec/pyexec"
)

func leaksCommand() *cli.Command {
	flags := commonFlags()
	for _, f := range flags {
		if s, ok := f.(*cli.StringFlag); ok && s.Name == "isolation" && runtime.GOOS == "linux" {
			s.Value = "process" // it may be anybody's script
		}
	}
	return &cli.Command{
		Name:      "leaks",
		Usage:     "run a file and tell what it would leave behind in an interpreter",
		ArgsUsage: "FILE|-",
		Description: `Runs the file and reports all interpreter state that it has changed and not changed back: what
the next code in the same process would find. That is sys.path, the environment, patched
modules and classes, handlers, settings, threads, child processes, open files, and all else in
RESET.md. Imported modules stay, too, which is seldom a problem; they are listed apart. Files on
disk, and what went over the network, are not looked at.

The report goes to standard output, what the file prints to standard error. Exit status 0: it
leaves nothing but imports behind; 1: it does. That it raises an exception is no leak.

Examples:
   pyexec leaks script.py
   pyexec leaks plugin.py --vars sample.json && echo 'safe to run in process'`,
		Flags: append(flags, &cli.BoolFlag{Name: "quiet", Usage: "do not show what the file prints"}),
		Action: func(ctx context.Context, c *cli.Command) error {
			s, err := snippet(c)
			if err != nil {
				return err
			}
			config, err := config(c, c.Args().First())
			if err != nil {
				return err
			}
			config.RecycleEvery = pyexec.RecycleNever
			ex, err := open(config)
			if err != nil {
				return err
			}
			defer ex.Close()
			s.Stdout, s.Stderr = c.Root().ErrWriter, c.Root().ErrWriter
			if c.Bool("quiet") {
				s.Stdout, s.Stderr = io.Discard, io.Discard
			}
			return leaks(ctx, c, ex, s)
		},
	}
}

func leaks(ctx context.Context, c *cli.Command, ex *pyexec.Executor, s pyexec.Snippet) error {
	w := c.Root().Writer
	before, err := modules(ctx, ex)
	if err != nil {
		return &failure{statusBroken, err}
	}
	res, err := ex.Run(ctx, s)
	code := ended(ctx, c.Root().ErrWriter, err)
	if res == nil {
		return exitWith(code) // it did not run
	}
	if err != nil {
		fmt.Fprintf(w, "%s ended with status %d; what it had done by then:\n", s.Name, code)
	}
	if len(res.Changes) == 0 && res.Tainted == "" {
		fmt.Fprintf(w, "%s leaves nothing behind.\n", s.Name)
	} else {
		fmt.Fprintf(w, "%s would leave behind:\n", s.Name)
	}
	width := 0
	for _, change := range res.Changes {
		width = max(width, len(change.State))
	}
	for _, change := range res.Changes {
		how := ""
		if !change.Undone {
			how = "    (cannot be undone in the process)"
		}
		text := strings.TrimPrefix(change.String(), change.State+": ")
		fmt.Fprintf(w, "  %-*s  %s%s\n", width, change.State, text, how)
	}
	if res.Tainted != "" {
		fmt.Fprintf(w, "  an interpreter that has to be replaced: %s\n", res.Tainted)
	} else if after, err := modules(ctx, ex); err == nil {
		after = slices.DeleteFunc(after, func(name string) bool { return slices.Contains(before, name) })
		if len(after) > 0 {
			fmt.Fprintf(w, "Modules that stay imported, as they were when their import was done: %s\n", strings.Join(after, ", "))
		}
	}
	if len(res.Changes) > 0 || res.Tainted != "" {
		return status(statusFailed)
	}
	return nil
}

// modules are those that are loaded.
func modules(ctx context.Context, ex *pyexec.Executor) ([]string, error) {
	res, err := ex.Execute(ctx, "import sys\nnames = sorted(sys.modules)", nil)
	if err != nil {
		return nil, err
	}
	var names []string
	return names, res.Decode("names", &names)
}
