package kernel

/*
#include <stdlib.h>
#include "kernel.h"
*/
import "C"

import (
	"sync"

	"github.com/go-pyexec/pyexec/internal/engine"
)

// hosts are those of the calls under way, by serial numbers that are never used again: a thread that a snippet left
// behind may ask for a call that is over.
var hosts struct {
	sync.RWMutex
	last uint64
	by   map[uint64]engine.Host
}

func register(h engine.Host) uint64 {
	hosts.Lock()
	defer hosts.Unlock()
	if hosts.by == nil {
		hosts.by = map[uint64]engine.Host{}
	}
	hosts.last++
	hosts.by[hosts.last] = h
	return hosts.last
}

func unregister(serial uint64) {
	hosts.Lock()
	delete(hosts.by, serial)
	hosts.Unlock()
}

// pyexecHostAsk is how the kernel asks a call's host. The GIL is not held.
//
//export pyexecHostAsk
func pyexecHostAsk(r *C.pyexec_request) {
	hosts.RLock()
	host := hosts.by[uint64(r.host)]
	hosts.RUnlock()
	if host == nil {
		r.answer = C.PYEXEC_ANSWER_OVER
		return
	}
	a := host(engine.Request{
		Ask: engine.Ask(r.what), Index: int(r.index), Data: view(r.in), Max: int(r.max), Ticket: uint64(r.ticket),
		Thread: int(r.thread), Own: bool(r.own),
	})
	r.answer = C.int32_t(a.Outcome)
	if len(a.Data) > 0 {
		r.out = (*C.uint8_t)(C.CBytes(a.Data))
		r.out_len = C.uint64_t(len(a.Data))
	}
}

// The numbers of package engine are those of kernel.h.
var (
	_ = [1]struct{}{}[engine.AskCall-C.PYEXEC_ASK_CALL+engine.AskWrite-C.PYEXEC_ASK_WRITE]
	_ = [1]struct{}{}[engine.AskRead-C.PYEXEC_ASK_READ+engine.AskEnd-C.PYEXEC_ASK_END]
	_ = [1]struct{}{}[engine.Failed-C.PYEXEC_ANSWER_ERROR+engine.BadArguments-C.PYEXEC_ANSWER_BAD_ARGUMENTS]
	_ = [1]struct{}{}[engine.Over-C.PYEXEC_ANSWER_OVER]
	_ = [1]struct{}{}[engine.Stdout*C.PYEXEC_HOST_STDIN-C.PYEXEC_HOST_STDOUT]
	_ = [1]struct{}{}[engine.Stderr*C.PYEXEC_HOST_STDIN-C.PYEXEC_HOST_STDERR]
)
