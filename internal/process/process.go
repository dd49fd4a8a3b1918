// Package process runs calls in worker processes, forked from a warm template process, so that what a snippet does to its
// process ends with it. The other side, in C, is internal/kernel/template.c and worker.c; process.h there has the messages.
package process

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-pyexec/pyexec/internal/engine"
)

// ErrUnsupported says that worker processes need an operating system that this is not.
var ErrUnsupported = errors.New("worker processes need Linux 5.3 or newer")

// Config bounds what workers keep; the first five must be set.
type Config struct {
	CacheEntries, CacheBytes uint64 // compiled snippets, and bytes of their source
	MaxOutput                uint64 // bytes of stdout, and of stderr, of one call
	MaxResult                uint64 // bytes of encoded variables of one call
	MaxDepth                 uint32 // nesting of values, either way
	MemoryLimit              uint64 // bytes Python may allocate in one call; 0: any number
	Preload                  []string
	Keep                     []string
	Home, Venv               string   // where Python is, if not where it was built for; a virtual environment
	Paths                    []string // to put first on sys.path
	Limits                   []Limit  // of each worker
	Spares                   int      // workers forked ahead
	Logger                   *slog.Logger
}

// A Limit is a resource limit of a worker. That of CPU is for each call, in seconds.
type Limit struct {
	Resource int
	Value    uint64
}

// The resources, by numbers of our own, since those of setrlimit(2) are not the same everywhere.
const (
	AddressSpace = iota + 1
	CPU
	FileSize
	OpenFiles
	Processes
)

// A StartError says why a template process could not be started.
type StartError = engine.StartError

func startError(reason string) error {
	return &StartError{What: "the template process", Reason: reason}
}

// A Crash is the end of a worker in the midst of a call.
type Crash struct {
	Signal         int    // that ended it; 0: it ended by itself
	Stopped        int    // the signal that stopped it, for which it was killed
	ExitCode       int    // if it ended by itself
	Killed         bool   // by Worker.Kill
	Left           bool   // then: a Host had not returned
	Reason         string // if there is more to say
	Report         string // of Python's faulthandler
	Stdout, Stderr []byte // of the call, as far as it got
}

func (e *Crash) Error() string {
	switch {
	case e.Reason != "":
		return "the worker process was ended: " + e.Reason
	case e.Stopped != 0:
		return fmt.Sprintf("the worker process stopped itself by signal %d", e.Stopped)
	case e.Signal != 0:
		return fmt.Sprintf("the worker process died of signal %d", e.Signal)
	}
	return fmt.Sprintf("the worker process exited with status %d", e.ExitCode)
}

const (
	startTimeout = 60 * time.Second // for a template to import what it is to preload
	deathTimeout = 5 * time.Second  // for the template to report a worker that is as good as dead
	quitTimeout  = time.Second      // for a worker to leave by itself
)
