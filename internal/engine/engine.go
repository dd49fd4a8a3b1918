// Package engine is what stands between an Executor and its interpreters: a Worker runs one call at a time, whatever it
// is made of. The in-process worker is internal/kernel; others get packages of their own beside it.
package engine

import (
	"errors"
	"time"
	"unsafe"
)

// A Worker is one interpreter. Its methods are called by one goroutine at a time.
type Worker interface {
	// Run carries out c and fills r, whose bytes are the worker's own and valid until the next Run. An error means that
	// there is no reply; what a snippet did wrong is in r.
	Run(c *Call, r *Reply) error
	// Recycle replaces the interpreter by a clean one and says how.
	Recycle() (Method, error)
	// Close ends the interpreter.
	Close()
}

// A Stopper is a Worker that can be stopped. Its methods may be called at any time by any goroutine, and do not wait.
type Stopper interface {
	// Interrupt asks the call of that ID to stop, or a Recycle or Close if id is 0, and says whether it runs. It is to be
	// called again, with more force, as long as that has not come to its end.
	Interrupt(id uint64, force Force) bool
	// Current is what runs.
	Current() (Running, bool)
	// LeaveBehind is what the call of that ID has come to, if it still runs. It waits for that, about as long as patience.
	LeaveBehind(id uint64, patience time.Duration) (Left, bool)
}

// Left is what there is to tell of a call that goes on after its caller has left.
type Left struct {
	Stdout, Stderr       []byte // what it has written so far
	StdoutCut, StderrCut bool
	Report               string // where it is, as Python's faulthandler writes it; empty if that could not be found out
}

// Force is how hard an Interrupt tries; each includes those before.
type Force uint8

// The ways to stop a call.
const (
	Raise      Force = iota + 1 // an exception, once; system calls are interrupted
	Trace                       // an exception at every instruction
	FailMemory                  // an allocation fails, for code that looks for nothing else
)

// Running is what a worker is at: a call, or with ID 0 something of its own.
type Running struct {
	ID    uint64
	Name  string        // cut after 63 bytes
	Since time.Duration // Call.Since
}

// A Call is one execution, as it crosses to a worker.
type Call struct {
	ID          uint64        // unique in the life of a worker; not 0, and below 1<<63
	Since       time.Duration // when it began, for Running
	Name, Code  string
	Hash        uint64 // of Name and Code: the same in the whole life of a worker
	Vars        []byte // CBOR map, or empty
	Want        []byte // CBOR array of names; empty: all
	Functions   []byte // CBOR array of the names of the functions that Host calls; empty: none
	Host        Host   // nil: the snippet can ask for nothing
	Streams     Streams
	Reset       bool
	Split       bool
	CompileOnly bool
	// Native is what to run instead of Code: a function that uses Python's C API. It is given the namespace, a PyObject *,
	// and may end its goroutine, but not panic. Only the worker in this process can.
	Native func(globals unsafe.Pointer)
}

// Status says which kind of end a call came to.
type Status uint8

// The ends a call can come to.
const (
	OK        Status = iota
	Exception        // Reply.Error is an exception record
	Exit             // Reply.Error is an exit record
	BadInput         // Reply.Error names the variable and the reason
)

// Brief says of code which only computes whether it is over in no time.
type Brief uint8

// What makes code brief.
const (
	NotBrief         Brief = iota
	BriefWithNumbers       // it is, if each variable is nil, a bool, an integer of 64 bits, or a float
	BriefWithText          // the same, and short strings
)

// A Reply is what came of a call, still encoded.
type Reply struct {
	Status               Status
	Plain                bool   // of the bytes below, all but Vars are empty
	Compiled             bool   // the code was not in the worker's cache
	Brief                Brief  // of the call's code
	Cached, Evictions    uint64 // of that cache: snippets in it, and dropped from it since the worker began
	StdoutCut, StderrCut bool
	Stopped              bool   // by an Interrupt, or because it had used up its memory
	Memory               bool   // an allocation failed because of the limit
	Vars                 []byte // CBOR sequence: name, value, name, value
	Value                []byte // CBOR, or empty
	Skipped              []byte // CBOR sequence of [name, type, reason]
	Error                []byte // CBOR map, by Status
	Changes              []byte // CBOR sequence of [row, undone, before, after]
	Taint                []byte // why the interpreter must be recycled, or empty
	Stdout, Stderr       []byte
}

// Method is how a worker was recycled.
type Method uint8

// The ways to recycle.
const (
	Reinitialized Method = iota + 1 // finalised and initialised again
	Purged                          // put back and collected; loaded modules stay
	Replaced                        // by another process
)

// Errors of a worker itself.
var (
	ErrNoMemory   = errors.New("out of memory in the interpreter's kernel")
	ErrNotRunning = errors.New("the interpreter is not running")
)

// A StartError says why an interpreter, or what runs it, could not be started.
type StartError struct {
	What   string // "Python", or "the template process"
	Reason string
}

func (e *StartError) Error() string { return "starting " + e.What + ": " + e.Reason }
