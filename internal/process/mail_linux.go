package process

import (
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/go-pyexec/pyexec/internal/kernel"
)

// A mail is the memory that a worker and its host share for messages, one box in each direction: see process.h. It is for
// the first message of a call in each, and only if the other side looks there just then.
type mail struct {
	memory       []byte
	calls        box // to the worker
	replies      box // from it
	misses, skip int
}

// A box is a pyexec_mail. The worker may write to both whatever and whenever it likes: a word is read once, and a message
// copied before anybody reads it.
type box struct {
	word  *uint32
	bytes []byte
}

const (
	mailSize    = 1 << 14 // PYEXEC_MAIL_SIZE
	mailHead    = 64
	mailLooking = 1 // PYEXEC_MAIL_LOOKING
)

// Many replies come before a thread that sleeps would be awake again. So there is a moment of looking before sleeping, of
// about what sleeping would cost, and less and less often where it was in vain.
const (
	lookTime  = 30 * time.Microsecond
	maxMisses = 7
)

// openMail maps the mail of a worker's shared memory, whose size the worker cannot change. Nil if that fails.
func openMail(memory int) *mail {
	b, err := syscall.Mmap(memory, sharedHead, 2*mailSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return nil
	}
	return &mail{memory: b, calls: newBox(b[:mailSize]), replies: newBox(b[mailSize:])}
}

func newBox(b []byte) box {
	return box{word: (*uint32)(unsafe.Pointer(unsafe.SliceData(b))), bytes: b[mailHead:]}
}

func (m *mail) close() {
	if m != nil {
		_ = syscall.Munmap(m.memory)
	}
}

// send hands a call over to a worker that looks, and says whether it could.
func (m *mail) send(b []byte, texts *[5][]byte) bool { return m != nil && m.calls.post(b, texts) }

// open begins to look, unless that has been in vain of late. It comes before the call is sent.
func (m *mail) open() bool {
	switch {
	case m == nil:
		return false
	case m.skip > 0:
		m.skip--
		return false
	}
	m.replies.open()
	return true
}

// look returns the number of bytes of a message that it has copied to b; 0: what comes, comes over the socket.
func (m *mail) look(b []byte) int {
	n := m.replies.look(b)
	if n == 0 {
		m.misses = min(m.misses+1, maxMisses)
		m.skip = 1<<m.misses - 1
		return 0
	}
	m.misses = 0
	return n
}

func (b *box) post(first []byte, more *[5][]byte) bool {
	if atomic.LoadUint32(b.word) != mailLooking {
		return false
	}
	length := len(first)
	for _, text := range more {
		length += len(text)
	}
	if length > len(b.bytes) {
		atomic.CompareAndSwapUint32(b.word, mailLooking, 0) // it is to look elsewhere
		return false
	}
	n := copy(b.bytes, first)
	for _, text := range more {
		n += copy(b.bytes[n:], text)
	}
	return atomic.CompareAndSwapUint32(b.word, mailLooking, uint32(length)*2)
}

func (b *box) open() { atomic.StoreUint32(b.word, mailLooking) }

func (b *box) look(into []byte) int {
	kernel.AwaitMail(b.word, lookTime)
	n := int(atomic.SwapUint32(b.word, 0) / 2)
	return copy(into, b.bytes[:min(n, len(b.bytes))])
}
