package pyexec

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-pyexec/pyexec/internal/engine"
	"github.com/go-pyexec/pyexec/internal/kernel"
	"github.com/go-pyexec/pyexec/internal/process"
	"github.com/go-pyexec/pyexec/internal/wire"
)

// Vars are the variables a snippet starts with, by name. README.md has the table of Go types and what they become.
type Vars map[string]any

// A Snippet is one execution. It may be run any number of times, by several goroutines at once, as long as nobody changes
// what it refers to.
type Snippet struct {
	// Code is Python source, in UTF-8. NUL bytes and invalid UTF-8 are errors.
	Code string
	// Name is the file name shown in tracebacks. Empty: "snippet.py". No such file need exist, and none is read. Python prints
	// no source lines for names in <angle brackets> before 3.13.
	Name string
	// Vars are the variables the snippet starts with.
	Vars Vars
	// Want names the variables that come back. Empty: all that convert.
	Want []string
	// Functions are Go functions that the snippet can call, beside those of the Config, or instead of one of the same
	// name. A variable of the same name hides a function.
	Functions Functions
	// Timeout bounds the call, from waiting for its turn to resetting what it changed, as a deadline of its context does.
	// Zero: none; negative: over already.
	Timeout time.Duration
	// Stdin is what the snippet reads from sys.stdin, as far as it reads, and when it does: a Reader that blocks makes
	// the snippet wait. Its error is an OSError in Python; past Config.MaxInput that is ErrTooLarge. Nil: empty.
	Stdin io.Reader
	// Stdout and Stderr are written to as the snippet writes to sys.stdout and sys.stderr: at the end of each line, at
	// flush, after some kilobytes, and when the snippet ends. Config.MaxOutput does not bound them. No two writes to them
	// happen at the same time. A Writer that fails gives a *StreamError. Nil: the output is in the Result.
	Stdout, Stderr io.Writer

	native *native // what to run instead of Code
}

// ErrInUse is returned by New while another in-process Executor of the process is open: CPython has one main interpreter
// in a process. After that one's Close, New works again.
var ErrInUse = kernel.ErrInUse

// An Executor runs snippets. It is safe for use by any number of goroutines; those that find it busy wait in Go, in
// order, and stop waiting when their context ends. Only New makes one: the zero Executor is of no use.
type Executor struct {
	config  Config // with its defaults filled in
	workers int
	// An idle worker is in free, where taking it costs one atomic exchange, or in queue, where callers wait in order. It
	// goes to queue if there are callers waiting, or if free is taken.
	free    atomic.Pointer[slot]
	queue   chan *slot
	closing chan struct{} // closed when Close begins
	closed  chan struct{} // closed when Close is done
	once    sync.Once
	seed    maphash.Seed
	byAge   *time.Timer
	stats   counters

	functions functionSet // of the Config
	inside    inside
	// Close has lost its patience: what still runs is to stop.
	stopping chan struct{}
	gaveUp   chan struct{} // closed when Close has waited in vain
	giveUp   sync.Once
	slots    []*slot
	trouble  trouble
	growth   growth
}

// A slot is a worker and what belongs to it while somebody holds it. Whoever took it owns it.
type slot struct {
	worker     engine.Worker
	process    *process.Worker // the same, if it is that
	stopper    engine.Stopper  // the same; nil if it cannot be stopped
	hand       hand
	briefs     briefs
	id         uint64 // of the last call
	call       engine.Call
	reply      engine.Reply
	executions int           // since the last recycle
	cached     uint64        // entries of its cache, as counted in the stats
	evicted    uint64        // the same, that had to make room, since its process began
	born       time.Duration // when that was
	crashed    bool          // there is no process any more
	resident   int64         // memory of the worker process when it was new
	taint      string        // why it must be recycled before the next call
	broken     error         // the last recycle failed
}

// epoch is what times within the process are counted from; a difference needs only the monotonic clock.
var epoch = time.Now()

func now() time.Duration { return time.Since(epoch) }

// New starts an Executor. A field of config that is out of range gives a *ConfigError; another open in-process Executor
// gives ErrInUse; a Python that cannot be started a *StartError, and one that is not the one that the program was built
// for a *VersionError. Where the operating system has no worker processes, Isolation: Process gives ErrUnsupported.
func New(config Config) (*Executor, error) {
	if err := checkVersion(kernel.BuiltVersion(), kernel.Version()); err != nil {
		return nil, err
	}
	if err := config.fill(); err != nil {
		return nil, err
	}
	functions, name, err := newFunctionSet(config.Functions)
	if err != nil {
		return nil, &ConfigError{Field: fmt.Sprintf("Functions[%q]", name), Value: fmt.Sprintf("a %T", config.Functions[name]), Reason: err.Error()}
	}
	if config.Isolation == Process {
		e, err := newProcessExecutor(config)
		if err == nil {
			e.functions = functions
		}
		return e, err
	}
	k, err := kernel.Start(kernel.Config{
		CacheEntries: uint64(config.CacheEntries),
		CacheBytes:   uint64(config.CacheBytes),
		MaxOutput:    uint64(config.MaxOutput),
		MaxResult:    uint64(config.MaxResult),
		MaxDepth:     uint32(config.MaxDepth),
		MemoryLimit:  uint64(config.MemoryLimit),
		Preload:      config.Preload,
		Keep:         config.Keep,
		Home:         config.Home,
		Venv:         config.Venv,
		Paths:        config.Paths,
	})
	if err != nil {
		return nil, fmt.Errorf("pyexec: %w", err)
	}
	e := newExecutor(config, k)
	e.functions = functions
	return e, nil
}

func newExecutor(config Config, workers ...engine.Worker) *Executor {
	e := &Executor{
		config:  config,
		workers: len(workers),
		queue:   make(chan *slot, len(workers)),
		closing: make(chan struct{}),
		closed:  make(chan struct{}),
		seed:    maphash.MakeSeed(),

		stopping: make(chan struct{}),
		gaveUp:   make(chan struct{}),
		trouble:  trouble{all: make(chan struct{})},
	}
	for _, worker := range workers {
		w := &slot{worker: worker}
		w.process, _ = worker.(*process.Worker)
		w.stopper, _ = worker.(engine.Stopper)
		w.hand.done = make(chan outcome, 1)
		e.slots = append(e.slots, w)
		e.put(w)
	}
	e.growth.start(config.RecycleOnGrowth)
	e.startAging()
	return e
}

// Execute runs code with the variables of in, and returns what came of it: short for Run with a Snippet of the two.
func (e *Executor) Execute(ctx context.Context, code string, in Vars) (*Result, error) {
	return e.run(ctx, &Snippet{Code: code, Vars: in}, e.hash(defaultName, code), false)
}

// Run executes a snippet and returns what came of it.
//
// The error is nil, or tells what went wrong. If the snippet ran, there is also a Result, as far as it got: with a
// *PythonError for an exception, an *ExitError for SystemExit, a *StoppedError for a call that had to be stopped, a
// *CrashError for the end of its worker process, and a *StreamError for output that its Writer did not take, alone or
// beside one of the others. Only if a worker process has no memory left to reply, which is ErrMemoryLimit, the Result is nil.
//
// The snippet did not run, and the Result is nil, with an *InputError for a variable that has no Python form or a function
// that cannot be called, ErrTooLarge for a Code or input over its limit, ErrClosed after Close, ErrBusy with
// Config.MaxWaiting, ErrReentrant in a function that a snippet called, or ctx.Err() if ctx ended before the call's turn came,
// within a *StuckError if that is because of a call that does not end. A call that cannot end early gets a *StuckError at
// once then. If worker processes cannot be started, it is a *StartError.
//
// A call whose ctx can end, or that has a Timeout, returns within Config.Grace after that, whatever the snippet does, and
// whatever functions, Readers and Writers do. A call without either stays on the caller's goroutine, and waits as long as
// the snippet takes. So does a formula on a few numbers or short strings, which takes microseconds.
func (e *Executor) Run(ctx context.Context, s Snippet) (*Result, error) {
	return e.run(ctx, &s, e.hash(s.name(), s.Code), false)
}

const (
	defaultName = "snippet.py"
	maxTimeout  = math.MaxInt64 / 2 // some 146 years: what is added to it does not overflow
)

func (s *Snippet) name() string {
	if s.Name == "" {
		return defaultName
	}
	return s.Name
}

// hash finds compiled code in a worker's cache, which compares the source itself, too.
func (e *Executor) hash(name, code string) uint64 {
	h := maphash.String(e.seed, code)
	if name != defaultName {
		h ^= maphash.String(e.seed, name) * 0x9e3779b97f4a7c15
	}
	return h
}

func (e *Executor) run(ctx context.Context, s *Snippet, hash uint64, compileOnly bool) (*Result, error) {
	vars, want, err := e.encodeInput(s)
	if err != nil {
		return nil, err
	}
	var deadline time.Duration
	if s.Timeout < 0 {
		return nil, context.DeadlineExceeded
	}
	if s.Timeout > 0 {
		deadline = now() + min(s.Timeout, maxTimeout)
		if e.config.Isolation == Process { // there is more to wait for
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, s.Timeout)
			defer cancel()
		}
	}
	var h *host
	if e.asks(s) && !compileOnly {
		if h, err = e.newHost(ctx, deadline, s); err != nil {
			return nil, err
		}
	}
	w, err := e.acquire(ctx, deadline)
	if err != nil {
		return nil, err
	}

	start := now()
	w.id++
	w.call = engine.Call{
		ID: w.id, Since: start, Name: s.name(), Code: s.Code, Hash: hash,
		Vars: vars, Want: want,
		Reset: e.config.Reset == ResetAll, Split: e.config.Namespace == SplitNamespace, CompileOnly: compileOnly,
	}
	if h != nil {
		h.fill(&w.call)
	}
	if s.native != nil {
		w.call.Native = s.native.run
	}
	w.hand.cause = nil // of a call that ended by itself at its deadline
	switch {
	case w.process != nil:
		err = e.runInWorker(ctx, w)
	case ctx.Done() == nil && deadline == 0, e.isBrief(w, s):
		err = w.worker.Run(&w.call, &w.reply)
	default:
		var o outcome
		if o, err = e.runLeavable(ctx, deadline, w); o.left {
			if h != nil {
				h.close()
			}
			return e.leave(o, s, start)
		}
	}
	defer e.finish(w, h)
	took := now() - start
	e.stats.called(took)
	if err != nil {
		return e.failed(ctx, w, err, start)
	}
	r, err := newResult(&w.reply, s, h)
	e.count(w, err, compileOnly)
	if h != nil {
		err = h.result(err)
	}
	if err != nil {
		err = e.config.Limits.starved(err)
	}
	w.call = engine.Call{} // keeps nothing of the caller's alive
	if r != nil {
		r.Duration = took
	}
	if w.reply.Stopped || w.reply.Memory {
		err = e.stopped(w, err)
		var stopped *StoppedError
		if r == nil && errors.As(err, &stopped) { // while its variables were decoded
			r = &Result{Duration: took}
		}
	}
	return r, err
}

// encodeInput turns what goes in into bytes, before the call takes its turn.
func (e *Executor) encodeInput(s *Snippet) (vars, want []byte, err error) {
	if len(s.Code) > e.config.MaxSource {
		return nil, nil, fmt.Errorf("%w: Code has %d bytes, Config.MaxSource is %d", ErrTooLarge, len(s.Code), e.config.MaxSource)
	}
	if len(s.Vars) > 0 {
		vars, err = wire.AppendVars(make([]byte, 0, 16+24*len(s.Vars)+16*len(s.Want)), s.Vars, e.config.MaxDepth, e.config.MaxInput)
		if errors.Is(err, wire.ErrTooLong) {
			return nil, nil, fmt.Errorf("%w: Vars have more bytes than Config.MaxInput, %d", ErrTooLarge, e.config.MaxInput)
		}
		if err != nil {
			return nil, nil, asInputError(err)
		}
	}
	if len(s.Want) > 0 {
		want = wire.AppendNames(vars, s.Want)[len(vars):] // in the same buffer, if it has the room
	}
	return vars, want, nil
}

// acquire waits for a worker's turn, and sees to it that the worker is fit to run. A deadline of 0 is none.
func (e *Executor) acquire(ctx context.Context, deadline time.Duration) (*slot, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := e.free.Swap(nil)
	if w == nil {
		var err error
		if w, err = e.wait(ctx, deadline); err != nil {
			return nil, err
		}
	}
	select {
	case <-e.closing: // Close wants the slot that was taken
		e.put(w)
		return nil, ErrClosed
	default:
	}
	if w.process != nil {
		if err := e.prepare(ctx, w); err != nil {
			e.put(w)
			return nil, err
		}
	}
	if w.broken != nil {
		if err := e.recycleFor(ctx, deadline, w, RecycleError); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// wait queues for a worker.
func (e *Executor) wait(ctx context.Context, deadline time.Duration) (*slot, error) {
	n := e.stats.waiting.Add(1) // from here on, put gives to the queue ...
	defer e.stats.waiting.Add(-1)
	if w := e.free.Swap(nil); w != nil { // ... but may just have given to free
		return w, nil
	}
	if h, _ := ctx.Value(insideKey{e}).(*host); (h != nil && !h.isOver()) || e.inside.here() {
		return nil, ErrReentrant
	}
	if limit := e.config.MaxWaiting; limit > 0 && n > int64(limit) && ctx != aging {
		select {
		case w := <-e.queue: // it was only just given back
			return w, nil
		default:
			return nil, ErrBusy
		}
	}
	select {
	case <-e.closing: // says more than that something is stuck
		return nil, ErrClosed
	default:
	}
	var expired <-chan time.Time
	if deadline != 0 {
		t := time.NewTimer(deadline - now())
		defer t.Stop()
		expired = t.C
	}
	for {
		var stuck <-chan struct{}
		if deadline == 0 && ctx.Done() == nil {
			stuck = e.trouble.allStuck() // it would wait for ever
		}
		select {
		case w := <-e.queue:
			return w, nil
		case <-ctx.Done():
			return nil, e.trouble.explain(ctx.Err())
		case <-expired:
			return nil, e.trouble.explain(context.DeadlineExceeded)
		case <-stuck:
			if err := e.trouble.explain(nil); err != nil {
				return nil, err
			} // else what was stuck has just ended
		case <-e.closing:
			return nil, ErrClosed
		}
	}
}

// put makes a worker idle.
func (e *Executor) put(w *slot) {
	if e.stats.waiting.Load() > 0 || !e.free.CompareAndSwap(nil, w) {
		e.queue <- w
		return
	}
	if e.stats.waiting.Load() > 0 { // somebody began to wait, and may not have seen it
		if w := e.free.Swap(nil); w != nil {
			e.queue <- w
		}
	}
}

// finish ends a call: one deferred function for all, since Go has a slow way for functions with many defers and returns.
func (e *Executor) finish(w *slot, h *host) {
	if h != nil {
		h.close()
	}
	e.release(w)
}

// release gives a worker back; if it is due to be recycled, that happens behind the caller's back.
func (e *Executor) release(w *slot) {
	reason := e.due(w)
	if reason == "" {
		e.put(w)
		return
	}
	if w.process != nil { // that is quick, and cannot fail
		_ = e.recycle(w, reason)
		e.put(w)
		return
	}
	go func() {
		if err := e.recycle(w, reason); err != nil {
			e.config.Logger.Error("pyexec: the interpreter could not be recycled; the next call tries again", "error", err)
		}
		e.put(w)
	}()
}

func asInputError(err error) error {
	var in *wire.InputError
	if errors.As(err, &in) {
		return &InputError{Name: in.Name, Path: in.Path, Err: in.Err}
	}
	return err
}
