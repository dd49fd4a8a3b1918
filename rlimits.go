package pyexec

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/go-pyexec/pyexec/internal/engine"
	"github.com/go-pyexec/pyexec/internal/process"
)

// ErrMemoryLimit is the reason of a *StoppedError for a call that wanted more than Config.MemoryLimit. For one that wanted
// more than Limits.AddressSpace it is returned itself, with the *PythonError of the MemoryError if there was memory left for
// one.
var ErrMemoryLimit = errors.New("pyexec: the call's memory limit was reached")

// Limits are bounds that the operating system sets to each worker process (setrlimit(2)). A zero field sets none. With
// Isolation: InProcess, where they would bind the program itself, New refuses them.
type Limits struct {
	// AddressSpace is the memory that a worker process may map, in bytes, that of Python and of Config.Preload included:
	// at least 64 MiB. What goes beyond is a MemoryError in Python, and ErrMemoryLimit if that ends the snippet; in C code
	// it is often the end of the process.
	AddressSpace uint64
	// CPU is the processor time of one call, all its threads together; it is rounded up to seconds, and up to one more
	// may pass. A call that uses more ends with a *CrashError of SIGXCPU.
	CPU time.Duration
	// FileSize is how long a file may become that a snippet writes to, in bytes. Beyond it Python raises OSError, EFBIG.
	FileSize uint64
	// OpenFiles is how many descriptors a worker process may have: at least 16. Beyond it Python raises OSError, EMFILE.
	OpenFiles uint64
	// Processes is how many processes and threads the user may have, all those of the user's other programs included, for
	// a worker to start one more. Beyond it Python raises BlockingIOError or RuntimeError. It does not bind root.
	Processes uint64
}

const (
	leastAddressSpace = 64 << 20
	leastOpenFiles    = 16
)

func (l *Limits) check(i Isolation) error {
	switch {
	case i == InProcess && *l != Limits{}:
		return &ConfigError{Field: "Limits", Value: fmt.Sprintf("%+v", *l), Reason: "they need Isolation: Process"}
	case l.AddressSpace != 0 && l.AddressSpace < leastAddressSpace:
		return &ConfigError{Field: "Limits.AddressSpace", Value: l.AddressSpace, Reason: "Python itself needs more"}
	case l.CPU < 0:
		return &ConfigError{Field: "Limits.CPU", Value: l.CPU, Reason: "it is negative"}
	case l.OpenFiles != 0 && l.OpenFiles < leastOpenFiles:
		return &ConfigError{Field: "Limits.OpenFiles", Value: l.OpenFiles, Reason: "Python itself needs more"}
	}
	return nil
}

// resources are the limits as a worker process is told.
func (l *Limits) resources() []process.Limit {
	var all []process.Limit
	add := func(resource int, value uint64) {
		if value != 0 {
			all = append(all, process.Limit{Resource: resource, Value: value})
		}
	}
	add(process.AddressSpace, l.AddressSpace)
	add(process.CPU, uint64(math.Ceil(l.CPU.Seconds())))
	add(process.FileSize, l.FileSize)
	add(process.OpenFiles, l.OpenFiles)
	add(process.Processes, l.Processes)
	return all
}

// starved is err, and ErrMemoryLimit if that is what err comes from.
func (l *Limits) starved(err error) error {
	var python *PythonError
	if l.AddressSpace != 0 && (errors.Is(err, engine.ErrNoMemory) || errors.As(err, &python) && python.Type == "MemoryError") {
		return fmt.Errorf("%w: %w", ErrMemoryLimit, err)
	}
	return err
}
