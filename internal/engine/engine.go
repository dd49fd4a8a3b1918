// Package engine is what stands between an Executor and its interpreters: a Worker runs one call at a time, whatever it
// is made of. The in-process worker is internal/kernel; others get packages of their own beside it.
package engine

import "errors"

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

// A Call is one execution, as it crosses to a worker.
type Call struct {
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

// A Reply is what came of a call, still encoded.
type Reply struct {
	Status               Status
	Plain                bool   // of the bytes below, all but Vars are empty
	Compiled             bool   // the code was not in the worker's cache
	Cached, Evictions    uint64 // of that cache: snippets in it, and dropped from it since the worker began
	StdoutCut, StderrCut bool
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
