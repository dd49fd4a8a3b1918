package process

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	templateEnv = "PYEXEC_PRIVATE_TEMPLATE"

	templateReady = iota // 1
	templateFailed
	templateWorker
	templateNoWorker
	templateDied

	templateMessageSize = 4 + 4 + 8 + 4 + 4 + 8 + 8 + 512
	templateMaxLimits   = 8
)

// A template is the process that workers are forked from, and that buries them.
type template struct {
	cmd     *exec.Cmd
	control int // the socket to it; written to under mu, read by one goroutine
	mu      sync.Mutex
	closed  bool
}

// A message is one from a template.
type message struct {
	kind    uint32
	pid     int
	id      uint64
	status  int32
	stopped int
	text    string
	fds     []int
}

// startTemplate starts this executable again, as a template, and waits until it can fork.
func startTemplate(c *Config) (*template, error) {
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, startError(fmt.Sprintf("socketpair: %v", err))
	}
	theirs := os.NewFile(uintptr(pair[1]), "template")
	t := &template{control: pair[0]}
	t.cmd = &exec.Cmd{
		Path:       "/proc/self/exe", // also when the file is gone, or another one by now
		Args:       []string{"pyexec-template"},
		Env:        environ(),
		ExtraFiles: []*os.File{theirs},
		SysProcAttr: &syscall.SysProcAttr{
			Setsid: true,
			// of this thread; while it starts it does not look at its socket
			Pdeathsig: syscall.SIGKILL,
		},
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = t.cmd.Start()
	theirs.Close() // or the template's death would not show on ours
	if err != nil {
		t.close()
		return nil, startError(err.Error())
	}
	if err := t.begin(c); err != nil {
		_ = t.cmd.Process.Kill()
		t.close()
		_ = t.cmd.Wait()
		return nil, err
	}
	return t, nil
}

// environ is the environment for a template: that of the process, with what makes it one.
func environ() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, templateEnv+"=") })
	return append(env, templateEnv+"=1")
}

func (t *template) begin(c *Config) error {
	if err := syscall.SetsockoptTimeval(t.control, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Sec: int64(startTimeout / time.Second)}); err != nil {
		return startError(err.Error())
	}
	if err := syscall.Sendto(t.control, appendConfig(nil, c), syscall.MSG_NOSIGNAL, nil); err != nil {
		return startError(fmt.Sprintf("telling it its configuration: %v", err))
	}
	m, err := t.receive()
	switch {
	case errors.Is(err, syscall.EAGAIN):
		return startError(fmt.Sprintf("it was not ready within %v", startTimeout))
	case err != nil:
		return startError("it ended before it was ready")
	case m.kind == templateFailed:
		return startError(m.text)
	case m.kind != templateReady:
		return startError("it does not speak the protocol")
	}
	return syscall.SetsockoptTimeval(t.control, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{})
}

func appendConfig(b []byte, c *Config) []byte {
	texts := [5]string{strings.Join(c.Preload, "\n"), strings.Join(c.Keep, "\n"), c.Home, c.Venv, strings.Join(c.Paths, "\n")}
	for _, n := range [5]uint64{c.CacheEntries, c.CacheBytes, c.MaxOutput, c.MaxResult, c.MemoryLimit} {
		b = order.AppendUint64(b, n)
	}
	b = order.AppendUint32(b, c.MaxDepth)
	b = order.AppendUint32(b, uint32(len(c.Limits)))
	for _, text := range texts {
		b = order.AppendUint32(b, uint32(len(text)))
	}
	b = order.AppendUint32(b, 0) // unused
	for i := range templateMaxLimits {
		var l Limit
		if i < len(c.Limits) {
			l = c.Limits[i]
		}
		b = order.AppendUint64(b, uint64(l.Resource))
		b = order.AppendUint64(b, l.Value)
	}
	for _, text := range texts {
		b = append(b, text...)
	}
	return b
}

// fork asks for a worker of that id.
func (t *template) fork(id uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return syscall.EPIPE
	}
	return retry(func() error { return syscall.Sendto(t.control, order.AppendUint64(nil, id), syscall.MSG_NOSIGNAL, nil) })
}

// receive waits for a message. An error means that the template is gone.
func (t *template) receive() (message, error) {
	var buf [templateMessageSize]byte
	oob := make([]byte, syscall.CmsgSpace(3*4))
	var n, oobn int
	err := retry(func() (err error) {
		n, oobn, _, _, err = syscall.Recvmsg(t.control, buf[:], oob, syscall.MSG_CMSG_CLOEXEC)
		return err
	})
	if err != nil {
		return message{}, err
	}
	if n != len(buf) {
		return message{}, syscall.EPIPE
	}
	m := message{
		kind: order.Uint32(buf[:]), pid: int(order.Uint32(buf[4:])), id: order.Uint64(buf[8:]),
		status: int32(order.Uint32(buf[16:])), stopped: int(order.Uint32(buf[20:])),
	}
	m.text, _, _ = strings.Cut(string(buf[40:]), "\x00")
	if oobn > 0 {
		parts, err := syscall.ParseSocketControlMessage(oob[:oobn])
		for i := 0; err == nil && i < len(parts); i++ {
			var fds []int
			fds, err = syscall.ParseUnixRights(&parts[i])
			m.fds = append(m.fds, fds...)
		}
		if err != nil {
			return message{}, err
		}
	}
	return m, nil
}

// hangUp tells the template to end everything, and its reader that it is over.
func (t *template) hangUp() { _ = syscall.Shutdown(t.control, syscall.SHUT_RDWR) }

func (t *template) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.closed = true
		syscall.Close(t.control)
	}
}

// bury waits for the end of the process itself.
func (t *template) bury() {
	kill := time.AfterFunc(deathTimeout, func() { _ = t.cmd.Process.Kill() })
	_ = t.cmd.Wait()
	kill.Stop()
	t.close()
}

func retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// nonce is a number that no snippet can guess.
func nonce() uint64 { return rand.Uint64() }
