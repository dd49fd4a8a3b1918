package pyexec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-pyexec/pyexec/internal/engine"
	"github.com/go-pyexec/pyexec/internal/wire"
)

// host is what one call can ask of the program: its functions and streams.
type host struct {
	executor  *Executor
	functions functionSet
	in        input
	out       [2]output       // standard output and standard errors
	own       guard           // for what the snippet's own thread asks
	native    bool            // a Go function is the snippet: it may lock its goroutine to its thread, which own must not see
	ctx       context.Context // the caller's
	deadline  time.Duration   // of the call; 0: none but that of ctx

	mu     sync.Mutex      // guards what follows
	inner  context.Context // what functions get; made for the first that wants one
	cancel context.CancelFunc
	turn   sync.Cond // waits for ticket
	ticket uint64
	last   uint64
	errs   map[uint64]error
	over   bool
}

// maxErrors is how many errors of a call are kept, to be found again when an exception leaves the snippet.
const maxErrors = 1024

// asks reports whether a snippet can ask for anything.
func (e *Executor) asks(s *Snippet) bool {
	return len(e.functions.list) != 0 || len(s.Functions) != 0 || s.Stdin != nil || s.Stdout != nil || s.Stderr != nil
}

// newHost makes the host of a call. A deadline of 0 is none.
func (e *Executor) newHost(ctx context.Context, deadline time.Duration, s *Snippet) (*host, error) {
	functions := e.functions
	if len(s.Functions) > 0 {
		var err error
		if functions, err = functions.with(s.Functions); err != nil {
			return nil, err
		}
	}
	h := &host{executor: e, functions: functions, ctx: ctx, deadline: deadline, native: s.native != nil}
	h.in = input{reader: s.Stdin, left: e.config.MaxInput}
	h.out = [2]output{{name: "Stdout", writer: s.Stdout}, {name: "Stderr", writer: s.Stderr}}
	h.turn.L = &h.mu
	return h, nil
}

// with adds a snippet's own functions to those of the Config.
func (set functionSet) with(more Functions) (functionSet, error) {
	own, name, err := newFunctionSet(more)
	if err != nil {
		return own, &InputError{Name: name, Function: true, Err: err}
	}
	switch {
	case len(own.list) == 0:
		return set, nil
	case len(set.list) == 0:
		return own, nil
	}
	var names []string
	both := functionSet{}
	for _, f := range set.list {
		if _, hidden := more[f.name]; !hidden {
			both.list = append(both.list, f)
		}
	}
	both.list = append(both.list, own.list...)
	for _, f := range both.list {
		names = append(names, f.name)
	}
	both.names = wire.AppendNames(nil, names)
	return both, nil
}

// fill tells a call what it can ask for.
func (h *host) fill(c *engine.Call) {
	c.Host = h.answer
	c.Functions = h.functions.names
	if h.in.reader != nil {
		c.Streams |= engine.Stdin
	}
	for i, s := range []engine.Streams{engine.Stdout, engine.Stderr} {
		if h.out[i].writer != nil {
			c.Streams |= s
		}
	}
}

// close says that the call is over.
func (h *host) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over = true
	h.turn.Broadcast()
	if h.cancel != nil {
		h.cancel()
	}
}

func (h *host) isOver() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.over
}

// context is what functions get: it ends with the call or at its deadline, and tells the Executor who waits for it.
func (h *host) context() context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.inner == nil {
		h.inner = context.WithValue(h.ctx, insideKey{h.executor}, h)
		if h.deadline == 0 {
			h.inner, h.cancel = context.WithCancel(h.inner)
		} else {
			h.inner, h.cancel = context.WithTimeout(h.inner, h.deadline-now())
		}
		if h.over {
			h.cancel()
		}
	}
	return h.inner
}

// result adds what went wrong with output to what went wrong with the snippet.
func (h *host) result(err error) error {
	for i := range h.out {
		switch lost := h.out[i].failed(); {
		case lost == nil || errors.Is(err, lost):
		case err == nil:
			err = lost
		default:
			err = errors.Join(err, lost)
		}
	}
	return err
}

// answer is an engine.Host.
func (h *host) answer(r engine.Request) engine.Answer {
	if r.Ask == engine.AskEnd {
		h.own.end() // also if the call has been left behind
		return engine.Answer{}
	}
	if h.isOver() {
		return engine.Answer{Outcome: engine.Over}
	}
	g := &h.own
	if !r.Own || h.native {
		g = &guard{}
		defer g.end()
	}
	return g.run(h, r)
}

// errOver is for what comes when the call has ended.
var errOver = errors.New("the call is over")

// outcome is the answer for what came of a request. It calls methods of the user's errors.
func (h *host) outcome(data []byte, err error) engine.Answer {
	var bad argumentError
	switch {
	case err == nil:
		return engine.Answer{Data: data}
	case err == errOver:
		return engine.Answer{Outcome: engine.Over}
	case errors.As(err, &bad):
		return engine.Answer{Outcome: engine.BadArguments, Data: []byte(bad)}
	}
	return engine.Answer{Outcome: engine.Failed, Data: h.remember(err)}
}

func (h *host) do(r engine.Request) ([]byte, error) {
	inside := &h.executor.inside
	inside.enter(r.Thread, h)
	defer inside.leave(r.Thread)
	switch r.Ask {
	case engine.AskCall:
		return h.call(r)
	case engine.AskWrite:
		return nil, h.write(r)
	case engine.AskRead:
		return h.in.read(h.ctx, r.Max)
	}
	return nil, fmt.Errorf("pyexec: unknown request %d", r.Ask) // a bug of pyexec
}

func (h *host) call(r engine.Request) ([]byte, error) {
	f := &h.functions.list[r.Index]
	b, err := f.call(h, r.Data, h.executor.config.MaxDepth, h.executor.config.MaxInput)
	return b, err
}

// write waits for its turn: threads give up the interpreter before they come here.
func (h *host) write(r engine.Request) error {
	h.mu.Lock()
	for h.ticket != r.Ticket && !h.over {
		h.turn.Wait()
	}
	over := h.over
	h.mu.Unlock()
	if over {
		return errOver
	}
	defer func() {
		h.mu.Lock()
		h.ticket++
		h.turn.Broadcast()
		h.mu.Unlock()
	}()
	return h.out[r.Index-1].write(r.Data, h.isOver)
}

// remember keeps an error, and encodes it for the exception that stands for it.
func (h *host) remember(err error) []byte {
	h.mu.Lock()
	h.last++
	id := h.last
	if h.errs == nil {
		h.errs = map[uint64]error{}
	}
	h.errs[id] = err
	delete(h.errs, id-maxErrors)
	h.mu.Unlock()
	shown := err
	if stream, ok := err.(*StreamError); ok {
		shown = stream.Err
	}
	return wire.AppendFailure(nil, id, fmt.Sprintf("%T", shown), strings.ToValidUTF8(message(shown), "\uFFFD"))
}

// message is the text of an error, whose method may panic.
func message(err error) (s string) {
	defer func() {
		if p := recover(); p != nil {
			s = fmt.Sprintf("%T, whose Error method panicked: %v", err, p)
		}
	}()
	return err.Error()
}

// recall finds an error that was remembered.
func (h *host) recall(id uint64) error {
	if h == nil || id == 0 {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.errs[id]
}

// A StreamError says that a Snippet's Stdout or Stderr could not be written to: it returned an error or panicked. What the
// snippet wrote from then on is lost. In Python it is the BrokenPipeError that a closed pipe raises; Run returns it also
// if the snippet does not see it, or does not care.
type StreamError struct {
	Stream string // "Stdout" or "Stderr"
	Err    error
}

func (e *StreamError) Error() string {
	return fmt.Sprintf("pyexec: writing to %s: %v", e.Stream, e.Err)
}

// Unwrap returns the writer's error.
func (e *StreamError) Unwrap() error { return e.Err }

type output struct {
	name   string
	writer io.Writer
	buf    []byte // what the writer sees: it may keep it, against the rules of io.Writer, and do no harm
	err    atomic.Pointer[StreamError]
}

const maxChunk = 64 << 10

func (o *output) write(p []byte, isOver func() bool) error {
	if err := o.failed(); err != nil {
		return err
	}
	if o.buf == nil {
		o.buf = make([]byte, 0, min(max(len(p), 512), maxChunk))
	}
	for len(p) > 0 {
		if isOver() { // the caller may look at what it got
			return errOver
		}
		if len(p) > cap(o.buf) && cap(o.buf) < maxChunk {
			o.buf = make([]byte, 0, maxChunk)
		}
		chunk := append(o.buf, p[:min(len(p), cap(o.buf))]...)
		n, err := o.writer.Write(chunk)
		if err == nil && n != len(chunk) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return o.fail(err)
		}
		p = p[len(chunk):]
	}
	return nil
}

func (o *output) fail(err error) error {
	o.err.CompareAndSwap(nil, &StreamError{Stream: o.name, Err: err})
	return o.failed()
}

func (o *output) failed() error {
	if err := o.err.Load(); err != nil {
		return err
	}
	return nil
}

type input struct {
	reader io.Reader
	mu     sync.Mutex
	buf    []byte
	left   int // of Config.MaxInput
	err    error
}

// maxEmpty is how often in a row a Reader may return nothing, as in package bufio.
const maxEmpty = 100

func (in *input) read(ctx context.Context, most int) ([]byte, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.buf == nil {
		in.buf = make([]byte, 4096)
	}
	for range maxEmpty {
		if in.err == io.EOF {
			return nil, nil
		}
		if in.err != nil {
			return nil, in.err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if n := in.next(min(most, len(in.buf))); n > 0 {
			return bytes.Clone(in.buf[:n]), nil // other threads may read, too
		}
	}
	in.err = io.ErrNoProgress
	return nil, in.err
}

// next reads once. One byte beyond the limit tells a longer input from one that ends there.
func (in *input) next(most int) int {
	in.err = errors.New("an earlier read panicked")
	n, err := in.reader.Read(in.buf[:min(most, in.left+1)])
	if n < 0 || n > most {
		n, err = 0, errors.New("the Reader returned an impossible count")
	}
	if n > in.left {
		n, err = in.left, fmt.Errorf("%w: Stdin has more bytes than Config.MaxInput", ErrTooLarge)
	}
	in.left -= n
	in.err = err
	return n
}

// A guard does what is asked on a thread whose stack has frames of C on it, which must not be unwound. What it runs is
// the user's, and may panic or end its goroutine. So that has a goroutine of its own, which takes the thread over while it
// runs, without the scheduler: that is what iter.Pull does. It is not for concurrent use.
type guard struct {
	host *host
	r    engine.Request
	a    engine.Answer
	next func() (ended bool, ok bool)
	stop func()
}

func (g *guard) run(h *host, r engine.Request) engine.Answer {
	if g.next == nil {
		g.next, g.stop = iter.Pull(g.loop)
	}
	g.host, g.r, g.a = h, r, engine.Answer{}
	if ended, _ := g.next(); ended {
		g.next, g.stop = nil, nil
		g.fail(ErrGoexit)
	}
	return g.a
}

func (g *guard) loop(yield func(ended bool) bool) {
	returned := false
	defer func() {
		if !returned {
			yield(true) // for good: to go on would end the goroutine of whoever asks for more
		}
	}()
	for more := true; more; more = yield(false) {
		g.do()
	}
	returned = true
}

func (g *guard) do() {
	defer func() {
		if p := recover(); p != nil {
			g.fail(&PanicError{Value: p, Stack: debug.Stack()})
		}
	}()
	g.a = g.host.outcome(g.host.do(g.r))
}

func (g *guard) fail(err error) {
	if g.r.Ask == engine.AskWrite {
		err = g.host.out[g.r.Index-1].fail(err)
	}
	g.a = engine.Answer{Outcome: engine.Failed, Data: g.host.remember(err)}
}

// end lets the goroutine go.
func (g *guard) end() {
	if g.stop != nil {
		g.stop()
		g.next, g.stop = nil, nil
	}
}

// insideKey marks the context that functions called by snippets of an Executor are given.
type insideKey struct{ executor *Executor }

// inside knows the OS threads on which functions, Writers and Readers are running. A goroutine that C called keeps its
// thread until it returns.
type inside struct {
	n       atomic.Int32
	mu      sync.Mutex
	threads map[int]visit
}

type visit struct {
	host *host // nil: the snippet itself is a Go function
	n    int
}

func (in *inside) enter(thread int, h *host) {
	in.n.Add(1)
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.threads == nil {
		in.threads = map[int]visit{}
	}
	in.threads[thread] = visit{host: h, n: in.threads[thread].n + 1}
}

func (in *inside) leave(thread int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	v := in.threads[thread]
	if v.n--; v.n == 0 {
		delete(in.threads, thread)
	} else {
		in.threads[thread] = v
	}
	in.n.Add(-1)
}

// here reports whether the goroutine that asks is in one of them, and its call goes on.
func (in *inside) here() bool {
	if in.n.Load() == 0 {
		return false
	}
	in.mu.Lock()
	v := in.threads[syscall.Gettid()]
	in.mu.Unlock()
	return v.n > 0 && (v.host == nil || !v.host.isOver())
}
