package process

import (
	"bytes"
	"runtime"
	"syscall"

	"github.com/go-pyexec/pyexec/internal/engine"
)

// maxAsking is how many threads of a snippet can wait for answers at a time.
const maxAsking = 1024

// A conversation is a call whose snippet asks its Host for something. What its own thread asks is answered on one
// goroutine, locked to its thread: the one that called Run, as in process, or, if that must be able to leave a Host behind
// that does not return, one made for it. What other threads ask is answered on others.
type conversation struct {
	in        *reader
	host      engine.Host
	functions int
	streams   engine.Streams

	own    chan ask      // what the snippet's own thread asks, one at a time
	asking chan struct{} // holds one for each of others

	ticket uint64         // of the write that is next
	early  map[uint64]ask // writes whose turn has not come

	ended chan struct{} // closed when there will be no more questions
	reply []byte        // its body
	err   error         // why there is none
}

// converse carries a call from its first question to its reply.
func converse(in *reader, c *engine.Call, first []byte) ([]byte, error) {
	t := &conversation{
		in: in, host: c.Host, functions: arrayLength(c.Functions), streams: c.Streams,
		own: make(chan ask, 1), asking: make(chan struct{}, maxAsking), early: map[uint64]ask{}, ended: make(chan struct{}),
	}
	go t.listen(bytes.Clone(first))
	if c.Leavable {
		go t.answerOwn()
	} else {
		t.answerOwn()
	}
	<-t.ended
	return t.reply, t.err
}

// answerOwn answers the snippet's own thread.
func (t *conversation) answerOwn() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread := syscall.Gettid()
	over := false
	for a := range t.own {
		over = over || a.Ask == engine.AskEnd
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
		case kind == messageReply:
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
	for {
		next, ok := t.early[t.ticket]
		if !ok {
			return nil
		}
		delete(t.early, t.ticket)
		t.ticket++
		if err := t.pass(next); err != nil {
			return err
		}
	}
}

// pass never waits for a Host: nobody would notice meanwhile that the process is gone.
func (t *conversation) pass(a ask) error {
	if a.Own {
		select {
		case t.own <- a:
			return nil
		default:
			return errGarbage // it has not waited for the answer to the last one
		}
	}
	select {
	case t.asking <- struct{}{}:
	case <-t.in.proc.dead:
		return errHungUp
	}
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer func() { <-t.asking }()
		t.answer(a, syscall.Gettid())
	}()
	return nil
}

func (t *conversation) answer(a ask, thread int) {
	a.Thread = thread
	out := t.host(a.Request)
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
