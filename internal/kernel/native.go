package kernel

/*
#include "kernel.h"
*/
import "C"

import (
	"runtime"

	"github.com/go-pyexec/pyexec/internal/engine"
)

// spareLocks is how often c.Native may unlock its goroutine from its thread more than it locks it.
const spareLocks = 16

// native runs a call whose code is a Go function, on a goroutine of its own. There is no frame of C below the function, so
// it may end that goroutine, and what it does to the lock between goroutine and thread ends with it.
func (k *Kernel) native(c *engine.Call, flags C.uint32_t, host C.uint64_t) *C.pyexec_reply {
	done := make(chan *C.pyexec_reply, 1)
	go func() {
		for range spareLocks {
			runtime.LockOSThread() // the GIL is held by a thread
		}
		defer func() {
			p := C.pyexec_native_end(k.c)
			for range 2 * spareLocks { // to be locked at its end would end the thread
				runtime.UnlockOSThread()
			}
			done <- p
		}()
		functions, functionsLen := bytesOf(c.Functions)
		globals := C.pyexec_native_begin(k.c, C.uint64_t(c.ID), C.int64_t(c.Since), flags, stringOf(c.Name), C.size_t(len(c.Name)),
			host, functions, functionsLen)
		if globals != nil {
			c.Native(globals)
		}
	}()
	return <-done
}
