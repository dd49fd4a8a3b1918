package process

import (
	"bytes"
	"runtime"
	"sync/atomic"
	"syscall"

	"github.com/go-pyexec/pyexec/internal/engine"
)

// maxAsking is how many threads of a snippet can wait for answers at a time.
const maxAsking = 1024

// A conversation is a call whose snippet asks its Host for something. What its own thread asks is answered on one
// goroutine, locked to its thread, what other threads ask on others. None is the one that called Run, which leaves a Host
// behind that does not return once the process is killed.
type conversation struct {
	in        *reader
	host      engine.Host
	functions int
	streams   engine.Streams

	own     chan ask      // what the snippet's own thread asks, one at a time
	asks    atomic.Bool   // it waits for the answer
	quiet   chan struct{} // closed when it has its last one
	asking  chan struct{} // holds one for each of others
	held    atomic.Int64  // bytes of their questions
	freed   chan struct{} // tells that there are less
	answers atomic.Uint64 // the Host has given: what it did happens before what Run's caller does then

	ticket uint64         // of the write that is next
	early  map[uint64]ask // writes whose turn has not come
	ahead  uint64         // bytes of those

	ended chan struct{} // closed when there will be no more questions
	reply []byte        // its body
	err   error         // why there is none
}

// converse carries a call from its first question to its reply.
func converse(in *reader, c *engine.Call, first []byte) ([]byte, error) {
	t := &conversation{
		in: in, host: c.Host, functions: arrayLength(c.Functions), streams: c.Streams,
		own: make(chan ask, 1), quiet: make(chan struct{}), asking: make(chan struct{}, maxAsking), freed: make(chan struct{}, 1),
		early: map[uint64]ask{}, ended: make(chan struct{}),
	}
	go t.listen(bytes.Clone(first))
	go t.answerOwn()
	<-t.ended
	select {
	case <-t.quiet:
	case <-in.proc.left:
		select {
		case <-t.quiet:
		default:
			in.proc.leftHost = true
		}
	}
	return t.reply, t.err
}

// answerOwn answers the snippet's own thread.
func (t *conversation) answerOwn() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(t.quiet)
	thread := syscall.Gettid()
	over := false
	for a := range t.own {
		over = a.Ask == engine.AskEnd
		t.answer(a, thread)
	}
	if !over {
		t.host(engine.Request{Ask: engine.AskEnd, Thread: thread, Own: true})
	}
}

// listen takes questions until the reply comes.
func (t *conversation) listen(body []byte) {
	defer close(t.ended)
	defer close(t.own)
	for {
		a := decodeAsk(body)
		if !t.valid(a) {
			t.err = errGarbage
			return
		}
		if t.err = t.dispatch(a); t.err != nil {
			return
		}
		kind, next, err := t.in.next()
		switch {
		case err != nil:
			t.err = err
			return
		case kind == messageReply && t.asks.Load():
			t.err = errGarbage // it has not waited for its answer
			return
		case kind == messageReply:
			t.answers.Load()
			t.reply = next
			return
		}
		body = bytes.Clone(next)
	}
}

// valid says whether a Host can be asked that: it trusts who asks.
func (t *conversation) valid(a ask) bool {
	switch a.Ask {
	case engine.AskCall:
		return a.Index >= 0 && a.Index < t.functions
	case engine.AskWrite:
		_, taken := t.early[a.Ticket]
		return a.Ticket >= t.ticket && !taken &&
			(a.Index == 1 && t.streams&engine.Stdout != 0 || a.Index == 2 && t.streams&engine.Stderr != 0)
	case engine.AskRead:
		return t.streams&engine.Stdin != 0
	case engine.AskEnd:
		return a.Own
	}
	return false
}

// dispatch passes a question on; a write only when it is its turn, so that none waits for another in the Host.
func (t *conversation) dispatch(a ask) error {
	if a.Ask != engine.AskWrite {
		return t.pass(a)
	}
	t.early[a.Ticket] = a
	t.ahead += uint64(len(a.Data))
	for {
		next, ok := t.early[t.ticket]
		if !ok {
			if len(t.early) > maxAsking || t.ahead > t.in.limit {
				return errGarbage
			}
			return nil
		}
		delete(t.early, t.ticket)
		t.ticket++
		t.ahead -= uint64(len(next.Data))
		if err := t.pass(next); err != nil {
			return err
		}
	}
}

// pass never waits for a Host: nobody would notice meanwhile that the process is gone.
func (t *conversation) pass(a ask) error {
	if a.Own {
		if t.asks.Swap(true) {
			return errGarbage // it has not waited for the answer to the last one
		}
		t.own <- a
		return nil
	}
	for uint64(t.held.Load()) > t.in.limit {
		select {
		case <-t.freed:
		case <-t.in.proc.dead:
			return errHungUp
		}
	}
	select {
	case t.asking <- struct{}{}:
	case <-t.in.proc.dead:
		return errHungUp
	}
	size := int64(len(a.Data))
	t.held.Add(size)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer t.free(size)
		t.answer(a, syscall.Gettid())
	}()
	return nil
}

func (t *conversation) free(size int64) {
	<-t.asking
	t.held.Add(-size)
	select {
	case t.freed <- struct{}{}:
	default:
	}
}

func (t *conversation) answer(a ask, thread int) {
	a.Thread = thread
	out := t.host(a.Request)
	t.answers.Add(1)
	if a.Own {
		t.asks.Store(false) // before the answer, after which it may reply
	}
	_ = t.in.proc.answer(appendAnswer(make([]byte, 0, headSize+answerSize+len(out.Data)), a.id, out))
}

// answer sends an answer, unless the process is given up.
func (p *proc) answer(b []byte) error {
	p.sending.Lock()
	defer p.sending.Unlock()
	if p.given {
		return errHungUp
	}
	return p.transmit(b)
}

// arrayLength is the number of items of a CBOR array, or 0.
func arrayLength(b []byte) int {
	switch {
	case len(b) >= 1 && b[0] >= 0x80 && b[0] < 0x98:
		return int(b[0] - 0x80)
	case len(b) >= 2 && b[0] == 0x98:
		return int(b[1])
	case len(b) >= 3 && b[0] == 0x99:
		return int(b[1])<<8 | int(b[2])
	case len(b) >= 5 && b[0] == 0x9a:
		return int(b[1])<<24 | int(b[2])<<16 | int(b[3])<<8 | int(b[4])
	}
	return 0
}
