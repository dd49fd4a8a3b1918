package process

import (
	"bytes"
	"runtime"
	"syscall"

	"github.com/go-pyexec/pyexec/internal/engine"
)

// maxAsking is how many threads of a snippet can wait for answers at a time.
const maxAsking = 1024

// A conversation is a call whose snippet asks its Host for something. What its own thread asks is answered on the
// goroutine that called Run, locked to its thread, as in process; what its other threads ask, on others.
type conversation struct {
	in        *reader
	host      engine.Host
	functions int
	streams   engine.Streams

	own    chan ask      // what the snippet's own thread asks, one at a time
	done   chan []byte   // the reply's body; closed when there is none
	err    error         // why not
	asking chan struct{} // holds one for each of others

	ticket uint64         // of the write that is next
	early  map[uint64]ask // writes whose turn has not come
}

// converse carries a call from its first question to its reply.
func converse(in *reader, c *engine.Call, first []byte) ([]byte, error) {
	t := &conversation{
		in: in, host: c.Host, functions: arrayLength(c.Functions), streams: c.Streams,
		own: make(chan ask), done: make(chan []byte, 1), asking: make(chan struct{}, maxAsking), early: map[uint64]ask{},
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	thread := syscall.Gettid()
	ended := false
	go t.listen(bytes.Clone(first))
	for {
		select {
		case a := <-t.own:
			ended = ended || a.Ask == engine.AskEnd
			t.answer(a, thread)
		case body, ok := <-t.done:
			if !ended {
				t.host(engine.Request{Ask: engine.AskEnd, Thread: thread, Own: true})
			}
			if !ok {
				return nil, t.err
			}
			return body, nil
		}
	}
}

// listen takes questions until the reply comes.
func (t *conversation) listen(body []byte) {
	defer close(t.done)
	for {
		a := decodeAsk(body)
		if !t.valid(a) {
			t.err = errGarbage
			return
		}
		t.dispatch(a)
		kind, next, err := t.in.next()
		switch {
		case err != nil:
			t.err = err
			return
		case kind == messageReply:
			t.done <- next
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
func (t *conversation) dispatch(a ask) {
	if a.Ask != engine.AskWrite {
		t.pass(a)
		return
	}
	t.early[a.Ticket] = a
	for {
		next, ok := t.early[t.ticket]
		if !ok {
			return
		}
		delete(t.early, t.ticket)
		t.ticket++
		t.pass(next)
	}
}

func (t *conversation) pass(a ask) {
	if a.Own {
		t.own <- a
		return
	}
	t.asking <- struct{}{}
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer func() { <-t.asking }()
		t.answer(a, syscall.Gettid())
	}()
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
