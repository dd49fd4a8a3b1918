//go:build !cgo

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/go-pyexec/pyexec/internal/doctor"
)

// pythonCommands are there, and say why they are not.
func pythonCommands() []*cli.Command {
	var all []*cli.Command
	for _, name := range strings.Fields("run bench leaks") {
		all = append(all, &cli.Command{
			Name: name, Usage: "not in this build, which is one without cgo: pyexec doctor says what cgo needs", SkipFlagParsing: true,
			Action: func(context.Context, *cli.Command) error {
				return &failure{statusBroken, fmt.Errorf("this build is one without cgo, and has the doctor only: pyexec doctor says what is missing; then build it with CGO_ENABLED=1")}
			},
		})
	}
	return all
}

func embedded(string) doctor.Section {
	return doctor.Section{Title: "This command", Findings: []doctor.Finding{{
		State: doctor.Note, What: "built without cgo", Detail: "it has the doctor only; built with cgo, it also tries each level",
	}}}
}
