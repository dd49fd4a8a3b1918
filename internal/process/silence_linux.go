package process

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
	"time"
)

// A template that has been asked for workers is looked at until it answers: a snippet may have stopped it by a signal, and
// what a module of Config.Preload does in a fork may hang.
const (
	silenceTick  = 100 * time.Millisecond
	silenceTicks = 50 // and not 5 s: a machine that stood still is no reason
)

type silence struct {
	timer *time.Timer // nil: never armed
	armed bool
	ticks int
}

// expect has the template watched, if it is not yet. p.mu is held.
func (p *Pool) expect() {
	if p.silence.armed {
		return
	}
	p.silence.armed = true
	if p.silence.timer == nil {
		p.silence.timer = time.AfterFunc(silenceTick, p.onSilence)
	} else {
		p.silence.timer.Reset(silenceTick)
	}
}

// heard notes that the template is alive. p.mu is held.
func (p *Pool) heard() { p.silence.ticks = 0 }

func (p *Pool) onSilence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.silence.armed = false
	if p.template == nil || p.pending == 0 {
		p.silence.ticks = 0
		return
	}
	process := p.template.cmd.Process
	p.silence.ticks++
	switch {
	case p.silence.ticks >= silenceTicks:
		p.config.Logger.Warn("pyexec: the template process does not answer; it is ended")
		_ = process.Kill()
		p.silence.ticks = 0
	case isStopped(process.Pid):
		p.config.Logger.Warn("pyexec: the template process had been stopped by a signal; it goes on")
		_ = process.Signal(syscall.SIGCONT)
	}
	p.expect()
}

// isStopped reads proc_pid_stat(5).
func isStopped(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	i := bytes.LastIndexByte(b, ')') // the name may hold anything
	return err == nil && bytes.HasPrefix(b[i+1:], []byte(" T"))
}
