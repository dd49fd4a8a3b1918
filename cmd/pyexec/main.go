// Command pyexec runs Python files as pyexec runs snippets, measures them, tells what they would leave behind, and looks
// at a machine: is there what pyexec is built with?
//
//	pyexec run FILE|-       run a file; variables in, result as JSON
//	pyexec bench FILE|-     what a call of it costs, beside other ways to run it
//	pyexec leaks FILE|-     what it would leave behind in an interpreter
//	pyexec doctor           what is there of Python, what is missing, and what installs it
//
// The doctor needs no cgo. Where pyexec does not build: CGO_ENABLED=0 go run github.com/go-pyexec/pyexec/cmd/pyexec doctor
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v3"
)

// Exit statuses beside those of Python itself; the last three are those of timeout(1) and of shells.
const (
	statusFailed  = 1   // an exception; the doctor found something missing; leaks found something
	statusUsage   = 2   // the command line is wrong, or the file cannot be read
	statusTimeout = 124 // --timeout
	statusBroken  = 125 // pyexec itself cannot do what it should
	statusSignal  = 128 // plus the signal's number: of a worker process that died, and of SIGINT and SIGTERM
)

// A status ends the command without another word.
type status int

func (s status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// A failure ends the command with a message.
type failure struct {
	status int
	err    error
}

func (f *failure) Error() string { return f.err.Error() }

func usage(format string, args ...any) error {
	return &failure{statusUsage, fmt.Errorf(format, args...)}
}

func main() {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		s, _ := (<-signals).(syscall.Signal)
		signal.Stop(signals) // a second one ends the command at once
		cancel(interrupted(s))
	}()
	os.Exit(command(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// interrupted is why the context of the command ends.
type interrupted syscall.Signal

func (s interrupted) Error() string { return "interrupted by signal: " + syscall.Signal(s).String() }

func command(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	app := &cli.Command{
		Name:  "pyexec",
		Usage: "run Python files as pyexec runs snippets, and look at what that needs and costs",
		Description: strings.TrimSpace(`
A first look:
   echo 'total = price * 1.19' | pyexec run - --var price=100 --json
   pyexec doctor

Exit status: that of Python (0; 1 after an exception; what sys.exit says), and
   2    the command line is wrong, or the file cannot be read
   124  --timeout was over
   125  pyexec itself could not do it
   128+N  signal N ended the worker process, or this command`),
		Reader: stdin, Writer: stdout, ErrWriter: stderr,
		ExitErrHandler: func(context.Context, *cli.Command, error) {},
		Commands:       append(pythonCommands(), doctorCommand()),
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usage("there is no command %q; pyexec help lists them", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, c := range append(app.Commands, app) {
		c.DisableSliceFlagSeparator = true // --var 'a=[1, 2]' is one
		c.OnUsageError = func(_ context.Context, c *cli.Command, err error, _ bool) error {
			return usage("%w; %s --help explains", err, c.FullName())
		}
	}
	err := app.Run(ctx, args)
	var code status
	var failed *failure
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &failed):
		fmt.Fprintf(stderr, "pyexec: %v\n", strings.TrimPrefix(failed.Error(), "pyexec: "))
		return failed.status
	}
	fmt.Fprintf(stderr, "pyexec: %v\n", err) // of urfave/cli
	return statusUsage
}
