// Package bench is what pyexec's benchmarks compare it with: the limits of what processes can do, in C, since cgo cannot be
// used in test files. Nothing but tests imports it.
package bench

/*
#cgo pkg-config: python3-embed
#cgo CFLAGS: -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra
#include "bench.h"
*/
import "C"

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"
)

// PingPong sends request bytes to another process, and gets reply bytes back, n times, and returns how long that took: the
// limit of what a worker process can be that is talked to over a socket.
func PingPong(request, reply, n int) (time.Duration, error) {
	ns := int64(C.bench_ping_pong(C.size_t(request), C.size_t(reply), C.int64_t(n)))
	if ns < 0 {
		return 0, errors.New("the bench's processes could not talk")
	}
	return time.Duration(ns), nil
}

// Spin counts to n and returns how long that took. Two at a time take as long, if there are two processors to be had.
func Spin(n int) time.Duration { return time.Duration(C.bench_spin(C.int64_t(n))) }

// A ForkLoop is a process that forks another for each snippet: the limit of what a fresh process for each can be.
type ForkLoop struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// StartForkLoop starts one.
func StartForkLoop() (*ForkLoop, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), C.BENCH_FORK_LOOP_ENV+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &ForkLoop{cmd: cmd, in: in, out: bufio.NewReader(out)}, cmd.Start()
}

// Run has n processes forked, one after the other, and returns how long that took.
func (l *ForkLoop) Run(n int) (time.Duration, error) {
	if _, err := fmt.Fprintln(l.in, n); err != nil {
		return 0, err
	}
	var ns int64
	_, err := fmt.Fscanln(l.out, &ns)
	return time.Duration(ns), err
}

// Close ends it.
func (l *ForkLoop) Close() error {
	l.in.Close()
	return l.cmd.Wait()
}
