package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/go-pyexec/pyexec/internal/doctor"
)

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "what is there of Python, what is missing, and the command that installs it",
		Description: `Looks at what pyexec is built with (Go, a C compiler, pkg-config, the headers and
library of Python), builds and runs a small C program with it, and looks at what a
program needs to run. Nothing is installed or changed. Exit status 1: something is missing.

   CGO_ENABLED=0 go run github.com/go-pyexec/pyexec/cmd/pyexec@latest doctor
                                    where pyexec itself does not build yet
   pyexec doctor --program ./service
                                    on a machine where that is to run
   pyexec doctor --system fedora    what to install there`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "venv", Usage: "look at this virtual environment, and not at that of VIRTUAL_ENV", TakesFile: true},
			&cli.StringFlag{Name: "program", Usage: "look at what this program, built with pyexec, needs to run here", TakesFile: true},
			&cli.StringFlag{Name: "system", Usage: "only say what to install on another system: " + strings.Join(doctor.Systems, ", ")},
		},
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usage("doctor takes no arguments, only flags; pyexec doctor --help explains")
			}
			if id := c.String("system"); id != "" {
				if !slices.Contains(doctor.Systems, id) {
					return usage("--system is one of %s", strings.Join(doctor.Systems, ", "))
				}
				fmt.Fprintln(c.Root().Writer, strings.Join(doctor.Commands(id), "\n"))
				return nil
			}
			machine := doctor.Here()
			report := machine.Examine(doctor.Options{Venv: c.String("venv"), Program: c.String("program")})
			if c.String("program") == "" {
				report.Sections = append(report.Sections, embedded(c.String("venv")))
			}
			fmt.Fprintf(c.Root().Writer, "pyexec doctor: %s on %s/%s\n", machine.Name(), machine.OS, machine.Arch)
			show(c.Root().Writer, report)
			if !report.Healthy() {
				return status(statusFailed)
			}
			return nil
		},
	}
}

func show(w io.Writer, r *doctor.Report) {
	for _, s := range r.Sections {
		fmt.Fprintf(w, "\n%s\n", s.Title)
		for _, f := range s.Findings {
			indent := "\n" + strings.Repeat(" ", 32)
			fmt.Fprintf(w, "  %-7s  %-19s  %s\n", f.State, f.What, strings.ReplaceAll(f.Detail, "\n", indent))
		}
	}
	switch {
	case len(r.Advice) > 0:
		fmt.Fprintf(w, "\nWhat to do\n  %s\n", strings.Join(slices.Compact(r.Advice), "\n  "))
	case r.Healthy():
		fmt.Fprintln(w, "\nNothing is missing.")
	}
}
