// Package kernel is CPython embedded: the C files of this folder behind a few Go calls. It is the only package of the
// module that imports "C", but for package bench, which only tests use. A Kernel runs one call at a time; whoever owns it
// sees to that.
package kernel

/*
#include <stdlib.h>
#include "kernel.h"
#include "process.h"

extern char *pyexecHostGetenv(char *name);
extern void pyexecHostAsk(pyexec_request *r);

static inline pyexec_kernel *
start(pyexec_config c, pyexec_failure *failure)
{
    c.host_getenv = (char *(*)(const char *))pyexecHostGetenv;
    c.host_ask = pyexecHostAsk;
    return pyexec_start(&c, failure);
}
*/
import "C"

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/go-pyexec/pyexec/internal/engine"
)

// ErrInUse says that the process already has a Kernel: CPython's main interpreter is one per process.
var ErrInUse = errors.New("an in-process interpreter is already in use")

// Config bounds what a Kernel keeps; all fields must be set.
type Config struct {
	CacheEntries, CacheBytes uint64   // compiled snippets, and bytes of their source
	MaxOutput                uint64   // bytes of stdout, and of stderr, of one call
	MaxResult                uint64   // bytes of encoded variables of one call
	MaxDepth                 uint32   // nesting of values, either way
	MemoryLimit              uint64   // bytes Python may allocate in one call; 0: any number
	Preload                  []string // modules to import at each start
	Keep                     []string // names of what may persist
	Home, Venv               string   // where Python is, if not where it was built for; a virtual environment
	Paths                    []string // to put first on sys.path
}

// Kernel is an initialised interpreter. It implements engine.Worker.
type Kernel struct {
	c  *C.pyexec_kernel
	id uint64 // of the last recycle; those of calls are below ownIDs
}

const ownIDs = 1 << 63

var inUse atomic.Bool

// Start initialises the interpreter, or takes over the one that an earlier Close had to leave running.
func Start(c Config) (*Kernel, error) {
	if !inUse.CompareAndSwap(false, true) {
		return nil, ErrInUse
	}
	var failure C.pyexec_failure
	var texts [5]*C.char
	for i, text := range []string{strings.Join(c.Preload, "\n"), strings.Join(c.Keep, "\n"), c.Home, c.Venv, strings.Join(c.Paths, "\n")} {
		texts[i] = C.CString(text)
		defer C.free(unsafe.Pointer(texts[i]))
	}
	k := C.start(C.pyexec_config{
		cache_entries: C.uint64_t(c.CacheEntries), cache_bytes: C.uint64_t(c.CacheBytes),
		max_output: C.uint64_t(c.MaxOutput), max_result: C.uint64_t(c.MaxResult),
		max_depth: C.uint32_t(c.MaxDepth), memory_limit: C.uint64_t(c.MemoryLimit),
		preload: texts[0], keep: texts[1], home: texts[2], venv: texts[3], paths: texts[4],
	}, &failure)
	if k == nil {
		inUse.Store(false)
		return nil, &engine.StartError{What: "Python", Reason: C.GoString(&failure.message[0])}
	}
	return &Kernel{c: k}, nil
}

// Run carries out a call in one crossing into C. The reply's bytes are valid until the next Run.
func (k *Kernel) Run(c *engine.Call, r *engine.Reply) error {
	var flags C.uint32_t
	if c.Reset {
		flags |= C.PYEXEC_RESET
	}
	if c.Split {
		flags |= C.PYEXEC_SPLIT
	}
	if c.CompileOnly {
		flags |= C.PYEXEC_COMPILE_ONLY
	}
	var host uint64
	if c.Host != nil {
		host = register(c.Host)
		flags |= C.uint32_t(c.Streams) * C.PYEXEC_HOST_STDIN
	}
	var p *C.pyexec_reply
	if c.Native == nil {
		vars, varsLen := bytesOf(c.Vars)
		want, wantLen := bytesOf(c.Want)
		functions, functionsLen := bytesOf(c.Functions)
		p = C.pyexec_run(k.c, C.uint64_t(c.ID), C.int64_t(c.Since), flags, C.uint64_t(c.Hash), stringOf(c.Name), C.size_t(len(c.Name)),
			stringOf(c.Code), C.size_t(len(c.Code)), vars, varsLen, want, wantLen, C.uint64_t(host), functions, functionsLen)
	} else {
		p = k.native(c, flags, C.uint64_t(host))
	}
	runtime.KeepAlive(c)
	if host != 0 {
		unregister(host)
	}

	switch p.status {
	case C.PYEXEC_OK:
		r.Status = engine.OK
	case C.PYEXEC_EXCEPTION:
		r.Status = engine.Exception
	case C.PYEXEC_EXIT:
		r.Status = engine.Exit
	case C.PYEXEC_BAD_INPUT:
		r.Status = engine.BadInput
	case C.PYEXEC_NO_MEMORY:
		r.Memory = p.flags&C.PYEXEC_MEMORY != 0
		return engine.ErrNoMemory
	default:
		return engine.ErrNotRunning
	}
	r.Compiled = p.flags&C.PYEXEC_COMPILED != 0
	r.Brief, r.Cached, r.Evictions = engine.Brief(p.brief), uint64(p.cached), uint64(p.evictions)
	if p.flags&C.PYEXEC_MORE == 0 {
		if !r.Plain { // what the call before has left in r
			*r = engine.Reply{Plain: true, Status: r.Status, Compiled: r.Compiled, Brief: r.Brief, Cached: r.Cached, Evictions: r.Evictions}
		}
		r.Vars = view(p.vars)
		return nil
	}
	r.Plain = false
	r.Stopped = p.flags&C.PYEXEC_STOPPED != 0
	r.Memory = p.flags&C.PYEXEC_MEMORY != 0
	r.StdoutCut = p.flags&C.PYEXEC_STDOUT_CUT != 0
	r.StderrCut = p.flags&C.PYEXEC_STDERR_CUT != 0
	r.Vars, r.Value, r.Skipped = view(p.vars), view(p.value), view(p.skipped)
	r.Error, r.Changes, r.Taint = view(p.error), view(p.changes), view(p.taint)
	r.Stdout, r.Stderr = view(p.out), view(p.err)
	return nil
}

func bytesOf(b []byte) (*C.char, C.size_t) {
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(b))), C.size_t(len(b))
}

func stringOf(s string) *C.char { return (*C.char)(unsafe.Pointer(unsafe.StringData(s))) }

// view is C memory as a Go slice, not copied.
func view(b C.pyexec_bytes) []byte {
	if b.n == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(b.p)), int(b.n))
}

// Recycle replaces the interpreter as far as that is safe, and says how.
func (k *Kernel) Recycle() (engine.Method, error) {
	var failure C.pyexec_failure
	switch C.pyexec_recycle(k.c, k.ownID(), &failure) {
	case C.PYEXEC_REINITIALIZED:
		return engine.Reinitialized, nil
	case C.PYEXEC_PURGED:
		return engine.Purged, nil
	}
	return 0, &engine.StartError{What: "Python again", Reason: C.GoString(&failure.message[0])}
}

// Close finalises the interpreter, or where that is unsafe leaves it idle for the next Start.
func (k *Kernel) Close() {
	C.pyexec_stop(k.c, k.ownID())
	inUse.Store(false)
}

// Confined says whether code is proven to reach nothing that outlives it, so that its calls need no reset. For tests.
func (k *Kernel) Confined(code string) (bool, error) {
	switch C.pyexec_is_confined(k.c, stringOf(code), C.size_t(len(code))) {
	case 0:
		return false, nil
	case 1:
		return true, nil
	}
	return false, errors.New("the code does not compile")
}

// CheckConfined has calls of confined code checked like any other; one that changed something taints. For tests.
func (k *Kernel) CheckConfined(check bool) { C.pyexec_check_confined(k.c, C.bool(check)) }
func (k *Kernel) ownID() C.uint64_t {
	k.id++
	return C.uint64_t(ownIDs + k.id)
}

// Interrupt implements engine.Stopper.
func (k *Kernel) Interrupt(id uint64, force engine.Force) bool {
	return bool(C.pyexec_interrupt(k.c, C.uint64_t(id), C.int(force)))
}

// Current implements engine.Stopper.
func (k *Kernel) Current() (engine.Running, bool) {
	var r C.pyexec_running
	if !C.pyexec_current(k.c, &r) {
		return engine.Running{}, false
	}
	if r.id >= ownIDs {
		r.id = 0
	}
	return engine.Running{ID: uint64(r.id), Name: C.GoString(&r.name[0]), Since: time.Duration(r.since)}, true
}

// LeaveBehind implements engine.Stopper.
func (k *Kernel) LeaveBehind(id uint64, patience time.Duration) (engine.Left, bool) {
	var l C.pyexec_left
	if !C.pyexec_left_behind(k.c, C.uint64_t(id), C.int64_t(patience), &l) {
		return engine.Left{}, false
	}
	defer C.pyexec_left_free(&l)
	return engine.Left{
		Stdout: bytes.Clone(view(l.out)), Stderr: bytes.Clone(view(l.err)), StdoutCut: bool(l.out_cut), StderrCut: bool(l.err_cut),
		Report: string(view(l.report)),
	}, true
}

// BenchEval runs n bare PyEval_EvalCode of code, each with a fresh dict, in C, and returns the nanoseconds they took: the
// limit of what any embedder can do.
func (k *Kernel) BenchEval(code string, n int) (int64, error) {
	s := C.CString(code)
	defer C.free(unsafe.Pointer(s))
	ns := int64(C.pyexec_bench_eval(k.c, s, C.int64_t(n)))
	if ns < 0 {
		return 0, errors.New("the bench snippet failed")
	}
	return ns, nil
}

// AwaitMail waits, without sleeping, and for at most so long, until a worker process has changed a word of shared memory
// that says that somebody looks there: see mail.c.
func AwaitMail(word *uint32, most time.Duration) {
	C.pyexec_mail_wait((*C.uint32_t)(word), C.int64_t(most))
}

// Version is the interpreter's, as sys.version shows it.
func Version() string { return C.GoString(C.pyexec_version()) }

// BuiltVersion is that of the Python whose headers the kernel was built with, as in "3.13.1".
func BuiltVersion() string { return C.GoString(C.pyexec_built_version()) }

// A Row is a kind of interpreter state that is put back after each call.
type Row struct{ Name, Noticed, Undone, Cost, Level string }

// Rows is the reset table of the C kernel.
func Rows() []Row {
	rows := make([]Row, int(C.pyexec_row_count()))
	for i := range rows {
		var t C.pyexec_row_text
		C.pyexec_row_describe(C.size_t(i), &t)
		rows[i] = Row{C.GoString(t.name), C.GoString(t.noticed), C.GoString(t.undone), C.GoString(t.cost), C.GoString(t.level)}
	}
	return rows
}

// pyexecHostGetenv is how the kernel asks which value the host itself gave a variable: Go's own copy of the environment,
// which no snippet can reach.
//
//export pyexecHostGetenv
func pyexecHostGetenv(name *C.char) *C.char {
	v, ok := os.LookupEnv(C.GoString(name))
	if !ok {
		return nil
	}
	return C.CString(v)
}
