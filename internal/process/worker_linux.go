package process

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-pyexec/pyexec/internal/engine"
)

// A Worker is a place for one process at a time. It implements engine.Worker.
type Worker struct {
	pool  *Pool
	buf   []byte // what is sent, and then what comes back
	proc  *proc  // nil: none yet
	dirty bool   // it is to be killed, and what it may have left looked for

	mu      sync.Mutex // guards what follows
	running engine.Running
	runner  *proc // nil: nothing runs
}

// keepBuffer is the size up to which a buffer is kept for the next call.
const keepBuffer = 1 << 20

// Worker makes another worker of the pool. The pool is closed when the last of its workers is.
func (p *Pool) Worker() *Worker {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.workers++
	return &Worker{pool: p}
}

// Prepare sees to it that there is a process that can take a call; it says whether the one before was found dead.
func (w *Worker) Prepare(ctx context.Context) (lost bool, err error) {
	if w.proc != nil {
		if w.proc.fit() {
			return false, nil
		}
		lost = true
		w.drop(true)
	}
	pr := w.pool.take()
	if pr == nil {
		pr, err = w.pool.wait(ctx)
	}
	w.proc = pr
	return lost, err
}

// drop gives up the process; hard is how.
func (w *Worker) drop(hard bool) {
	pr := w.proc
	if pr == nil {
		return
	}
	w.proc = nil
	if hard {
		pr.kill(false)
	} else {
		time.AfterFunc(quitTimeout, func() { pr.kill(false) })
	}
	pr.close()
}

// Run implements engine.Worker. Prepare must have been called before. Its error may be a *Crash.
func (w *Worker) Run(c *engine.Call, r *engine.Reply) error {
	pr := w.proc
	if pr == nil {
		return engine.ErrNotRunning
	}
	w.mu.Lock()
	w.runner, w.running = pr, engine.Running{ID: c.ID, Name: c.Name, Since: c.Since}
	w.mu.Unlock()
	err := w.exchange(pr, c, r)
	w.mu.Lock()
	w.runner = nil
	w.mu.Unlock()
	if err != nil && !errors.Is(err, engine.ErrNoMemory) {
		return w.autopsy(pr, err)
	}
	return err
}

// smallCall is what is copied to be sent at once.
const smallCall = 1 << 16

func (w *Worker) exchange(pr *proc, c *engine.Call, r *engine.Reply) error {
	if cap(w.buf) > keepBuffer || w.buf == nil {
		w.buf = make([]byte, 0, smallCall)
	}
	n := nonce()
	looking := pr.mail.open()
	if err := pr.sendCall(appendCall(w.buf[:0], c, n), c); err != nil {
		return err
	}
	in := reader{proc: pr, nonce: n, limit: w.pool.maxReply(), buf: w.buf[:cap(w.buf)]}
	byMail := looking && in.look()
	kind, body, err := in.next()
	if kind == messageReply && byMail { // what a snippet has done to its connection would not be seen
		err = pr.silent()
	}
	if kind == messageAsk && err == nil && c.Host != nil {
		body, err = converse(&in, c, body)
	} else if kind != messageReply && err == nil {
		err = errGarbage
	}
	w.buf = in.buf
	if err != nil {
		return err
	}
	pr.mess = in.start != in.end
	err = decodeReply(body, r)
	w.dirty = len(r.Taint) > 0
	return err
}

// A reader takes one message after the other from a connection.
type reader struct {
	proc       *proc
	nonce      uint64
	limit      uint64
	buf        []byte
	start, end int // of what was read and not yet taken
}

// look takes a message that comes through memory, if one does before sleeping is better.
func (r *reader) look() bool {
	r.end = r.proc.mail.look(r.buf)
	return r.end > 0
}

// next waits for a message; its body holds until the next one is asked for.
func (r *reader) next() (kind uint32, body []byte, err error) {
	if err := r.fill(headSize); err != nil {
		return 0, nil, err
	}
	h := decodeHead(r.buf[r.start:])
	least := uint64(replySize)
	if h.kind == messageAsk {
		least = askSize
	}
	if (h.kind != messageReply && h.kind != messageAsk) || h.nonce != r.nonce || h.length < least || h.length > r.limit {
		return 0, nil, errGarbage
	}
	n := headSize + int(h.length)
	if err := r.fill(n); err != nil {
		return 0, nil, err
	}
	body = r.buf[r.start+headSize : r.start+n : r.start+n]
	r.start += n
	return h.kind, body, nil
}

// fill reads until there are n bytes. The buffer grows as bytes arrive, not because somebody said that they would.
func (r *reader) fill(n int) error {
	if r.start == r.end {
		r.start, r.end = 0, 0
	}
	for r.end-r.start < n {
		if r.end == len(r.buf) {
			if r.start > 0 {
				r.end = copy(r.buf, r.buf[r.start:r.end])
				r.start = 0
			}
			r.buf = append(r.buf, make([]byte, max(0, min(n, 2*len(r.buf))-len(r.buf)))...)
		}
		got, err := r.proc.receive(r.buf[r.end:])
		if err != nil {
			return err
		}
		r.end += got
	}
	return nil
}

// maxReply bounds a reply: what the kernel keeps to, and room for an exception and a report of changes.
func (p *Pool) maxReply() uint64 { return p.config.MaxResult + 2*p.config.MaxOutput + 64<<20 }

// autopsy finds out what became of a process that gave no reply.
func (w *Worker) autopsy(pr *proc, err error) error {
	c := &Crash{}
	if errors.Is(err, errGarbage) {
		c.Reason = err.Error()
		pr.kill(false)
	}
	select {
	case <-pr.dead:
	case <-time.After(quitTimeout): // it hung up, and lives on
		if c.Reason == "" {
			c.Reason = "it closed its connection"
		}
		pr.kill(false)
		select {
		case <-pr.dead:
		case <-time.After(deathTimeout):
		}
	}
	pr.mu.Lock()
	c.Killed = pr.killed
	if pr.known {
		c.Stopped = pr.stopped
		if pr.status.Signaled() {
			c.Signal = int(pr.status.Signal())
		} else {
			c.ExitCode = pr.status.ExitStatus()
		}
	} else if c.Reason == "" {
		c.Reason = "its template process ended"
	}
	pr.mu.Unlock()
	if c.ExitCode == lostConnection && c.Signal == 0 && c.Reason == "" {
		c.Reason = "the snippet broke its connection"
	}
	c.Left = pr.leftHost
	c.Report, c.Stdout, c.Stderr = w.remains(pr)
	w.drop(true)
	return c
}

const (
	lostConnection = 111               // PYEXEC_LOST
	reportSize     = 1 << 16           // PYEXEC_REPORT_SIZE
	sharedHead     = reportSize + 4096 // of pyexec_shared, before its mail
	leastOutput    = 1 << 14           // of pyexec_output_area
)

// remains reads what a process has left in shared memory.
func (w *Worker) remains(pr *proc) (report string, stdout, stderr []byte) {
	b := make([]byte, sharedHead)
	if n, err := syscall.Pread(pr.memory, b, 0); err != nil || n < len(b) {
		return "", nil, nil
	}
	text, _, _ := bytes.Cut(b[:reportSize], []byte{0})
	limit := w.pool.config.MaxOutput
	output := func(n, from uint64) []byte {
		out := make([]byte, min(n, limit))
		got, err := syscall.Pread(pr.memory, out, int64(sharedHead+2*mailSize+from))
		if err != nil {
			return nil
		}
		return out[:got]
	}
	return string(text), output(order.Uint64(b[reportSize:]), 0), output(order.Uint64(b[reportSize+8:]), max(limit, leastOutput))
}

// Interrupt implements engine.Stopper.
func (w *Worker) Interrupt(id uint64, force engine.Force) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.runner == nil || w.running.ID != id {
		return false
	}
	w.runner.interrupt(id, force)
	return true
}

// Current implements engine.Stopper.
func (w *Worker) Current() (engine.Running, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.running
	r.Name = r.Name[:min(len(r.Name), 63)]
	return r, w.runner != nil
}

// LeaveBehind implements engine.Stopper: no call is left behind, since its process can be killed.
func (*Worker) LeaveBehind(uint64, time.Duration) (engine.Left, bool) { return engine.Left{}, false }

var _ engine.Stopper = (*Worker)(nil)

// Resident is the memory that the process has for itself, in bytes, or 0 if it cannot be read. See proc_pid_statm(5).
func (w *Worker) Resident() int64 {
	if w.proc == nil {
		return 0
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(w.proc.pid) + "/statm")
	fields := strings.Fields(string(b))
	if err != nil || len(fields) < 3 {
		return 0
	}
	resident, err1 := strconv.ParseInt(fields[1], 10, 64)
	shared, err2 := strconv.ParseInt(fields[2], 10, 64)
	if err1 != nil || err2 != nil {
		return 0
	}
	return (resident - shared) * int64(os.Getpagesize())
}

// Kill ends the process that runs the call of that ID, whatever it is at. Run then returns a *Crash that says so. It may
// be called at any time by anybody.
func (w *Worker) Kill(id uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.runner != nil && w.running.ID == id {
		w.runner.kill(true)
	}
}

// Recycle implements engine.Worker: the process is left to die, and the next one is at hand if there is a spare; Prepare
// waits for one if not.
func (w *Worker) Recycle() (engine.Method, error) {
	w.drop(w.dirty)
	w.dirty = false
	w.proc = w.pool.take()
	return engine.Replaced, nil
}

// Close implements engine.Worker.
func (w *Worker) Close() {
	w.drop(false)
	w.pool.mu.Lock()
	w.pool.workers--
	last := w.pool.workers == 0
	w.pool.mu.Unlock()
	if last {
		w.pool.close()
	}
}
