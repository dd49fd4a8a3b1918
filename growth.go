package pyexec

import (
	"bytes"
	"os"
	"strconv"
	"sync/atomic"
)

// growthEvery is after how many executions the memory of the process is looked at: reading it takes two microseconds.
const growthEvery = 64

// growth is how far the resident memory of the process has grown since the interpreter was last recycled.
type growth struct {
	limit int64 // bytes; 0: nobody wants to know
	statm *os.File
	first atomic.Int64
}

func (g *growth) start(limit int) {
	if limit == 0 {
		return
	}
	f, err := os.Open("/proc/self/statm")
	if err != nil {
		return // no such system: New has refused it
	}
	g.limit, g.statm = int64(limit), f
	g.begin()
}

func (g *growth) begin() {
	if g.limit != 0 {
		g.first.Store(g.resident())
	}
}

func (g *growth) stop() {
	if g.limit != 0 {
		g.statm.Close()
	}
}

func (g *growth) reached() bool { return g.resident()-g.first.Load() > g.limit }

// resident is the resident memory in bytes, or 0 if it cannot be read. See proc_pid_statm(5).
func (g *growth) resident() int64 {
	var b [128]byte
	n, _ := g.statm.ReadAt(b[:], 0)
	fields := bytes.Fields(b[:n])
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// grown says whether that of w's process has grown too far: of this one, or of a worker process.
func (e *Executor) grown(w *slot) bool {
	if w.process != nil {
		return w.process.Resident()-w.resident > e.growth.limit
	}
	return e.growth.reached()
}
