package process

import (
	"errors"
	"io"
	"sync"
	"syscall"
	"unsafe"

	"github.com/go-pyexec/pyexec/internal/engine"
)

// A proc is a worker process. Whoever has it uses socket alone; Kill and the pool's own goroutine only what mu guards.
type proc struct {
	pid    int
	socket int
	memory int

	left     chan struct{} // closed when Kill was called: its call is to end
	leftHost bool          // a Host was still at something when it was
	dead     chan struct{} // closed when the template has said how it ended, or is gone itself
	status   syscall.WaitStatus
	stopped  int
	known    bool // status is
	mess     bool // there is more on its connection than the reply

	mail *mail // nil: it could not be mapped

	sending sync.Mutex // held while something is sent: calls, and answers from many goroutines
	given   bool       // up; guarded by sending

	mu      sync.Mutex
	pidfd   int // -1 once closed
	open    bool
	killed  bool
	leaving bool // left is closed
}

func newProc(m message) *proc {
	return &proc{
		pid: m.pid, socket: m.fds[0], memory: m.fds[1], pidfd: m.fds[2], mail: openMail(m.fds[1]), dead: make(chan struct{}), open: true,
		left: make(chan struct{}),
	}
}

const pidfdSendSignal = 424 // on all architectures

// kill ends the process by force, whatever it is at; by says that a caller asked for it.
func (p *proc) kill(by bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if by && !p.leaving {
		p.leaving = true
		close(p.left)
	}
	if p.pidfd >= 0 {
		p.killed = p.killed || by
		_, _, _ = syscall.Syscall6(pidfdSendSignal, uintptr(p.pidfd), uintptr(syscall.SIGKILL), 0, 0, 0, 0)
	}
}

// interrupt asks the process to stop a call: worker.c has the other end.
func (p *proc) interrupt(id uint64, force engine.Force) {
	const number, queued = 62, -1 // PYEXEC_INTERRUPT_SIGNAL, SI_QUEUE
	var info [128]byte            // siginfo_t
	code := int32(queued)
	order.PutUint32(info[0:], number)
	order.PutUint32(info[8:], uint32(code))
	if unsafe.Sizeof(uintptr(0)) == 8 {
		order.PutUint64(info[24:], id<<2|uint64(force))
	} else {
		order.PutUint32(info[20:], uint32(id<<2|uint64(force)))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pidfd >= 0 {
		_, _, _ = syscall.Syscall6(pidfdSendSignal, uintptr(p.pidfd), number, uintptr(unsafe.Pointer(&info)), 0, 0, 0)
	}
}

// buried notes how it ended. Its descendants may still hold its end of the socket open; who waits there waits no more.
func (p *proc) buried(status syscall.WaitStatus, stopped int, known bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pidfd >= 0 {
		syscall.Close(p.pidfd)
		p.pidfd = -1
	}
	if p.open {
		_ = syscall.Shutdown(p.socket, syscall.SHUT_RDWR)
	}
	p.status, p.stopped, p.known = status, stopped, known
	close(p.dead)
}

// close gives up the socket, which makes a process that waits for a call leave.
func (p *proc) close() {
	p.sending.Lock()
	p.given = true
	p.sending.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = false
	syscall.Close(p.socket)
	syscall.Close(p.memory)
	p.mail.close()
}

// fit says whether a process that has nothing to do is still there and has kept silent.
func (p *proc) fit() bool { return !p.mess && p.silent() == nil }

// silent says what is wrong with a connection that nothing is to come from.
func (p *proc) silent() error {
	var b [1]byte
	n, _, errno := syscall.Syscall6(syscall.SYS_RECVFROM, uintptr(p.socket), uintptr(unsafe.Pointer(&b)), 1,
		syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
	switch {
	case errno == syscall.EAGAIN:
		return nil
	case errno != 0:
		return errno
	case n == 0:
		return io.EOF
	}
	return errGarbage
}

// sendCall sends what b has of a call already, and its texts: at once, if b has the room.
func (p *proc) sendCall(b []byte, c *engine.Call) error {
	p.sending.Lock()
	defer p.sending.Unlock()
	texts := [5][]byte{bytesOf(c.Name), bytesOf(c.Code), c.Vars, c.Want, c.Functions}
	if p.mail.send(b, &texts) {
		return nil
	}
	for _, text := range texts {
		if len(b)+len(text) <= cap(b) {
			b = append(b, text...)
			continue
		}
		if err := p.transmit(b); err != nil {
			return err
		}
		b = b[:0]
		if err := p.transmit(text); err != nil {
			return err
		}
	}
	return p.transmit(b)
}

func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

func (p *proc) transmit(b []byte) error {
	for len(b) > 0 {
		n, _, errno := syscall.Syscall6(syscall.SYS_SENDTO, uintptr(p.socket), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
			uintptr(len(b)), syscall.MSG_NOSIGNAL, 0, 0)
		if errno == syscall.EINTR {
			continue
		}
		if errno != 0 {
			return errno
		}
		b = b[n:]
	}
	return nil
}

var errHungUp = errors.New("it hung up")

func (p *proc) receive(b []byte) (int, error) {
	for {
		n, err := syscall.Read(p.socket, b)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, err
		case n == 0:
			return 0, errHungUp
		default:
			return n, nil
		}
	}
}
