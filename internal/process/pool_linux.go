package process

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// A Pool is a template and the processes forked from it, some of which wait for their turn.
type Pool struct {
	config Config
	ready  chan *proc

	mu       sync.Mutex
	template *template // nil while there is none
	procs    map[uint64]*proc
	lastID   uint64
	pending  int           // asked for and not yet there
	failure  error         // of the last attempt to start or to fork; nil after a success
	failed   chan struct{} // closed, and made anew, when failure is set
	closing  chan struct{} // closed when close begins
	done     chan struct{} // closed when the last template is gone
	workers  int
	silence  silence // of the template
}

// Start starts a template process.
func Start(c Config) (*Pool, error) {
	t, err := startTemplate(&c)
	if err != nil {
		return nil, err
	}
	p := &Pool{
		config: c, template: t, procs: map[uint64]*proc{}, ready: make(chan *proc, c.Spares),
		failed: make(chan struct{}), closing: make(chan struct{}), done: make(chan struct{}),
	}
	go p.look()
	p.refill()
	return p, nil
}

// look follows a template after the other until the pool is closed.
func (p *Pool) look() {
	const first, longest = 10 * time.Millisecond, 5 * time.Second
	delay := first
	for {
		p.mu.Lock()
		t := p.template
		p.mu.Unlock()
		if t != nil && p.follow(t) {
			delay = first // it was good for something
		}
		if p.isClosing() {
			close(p.done)
			return
		}
		if t != nil {
			p.config.Logger.Warn("pyexec: the template process ended; its workers with it; starting another", "after", delay)
		}
		select {
		case <-p.closing:
			continue
		case <-time.After(delay):
		}
		delay = min(2*delay, longest)
		t, err := startTemplate(&p.config)
		p.mu.Lock()
		p.template = t
		if err != nil {
			p.fail(err)
		} else if p.isClosing() {
			t.hangUp()
		}
		p.mu.Unlock()
		if err != nil {
			p.config.Logger.Error("pyexec: the template process could not be started", "error", err, "again", delay)
			continue
		}
		p.refill()
	}
}

// follow takes a template's messages until it is gone, and says whether it had forked anything.
func (p *Pool) follow(t *template) (useful bool) {
	for {
		m, err := t.receive()
		if err != nil {
			break
		}
		p.mu.Lock()
		p.heard()
		p.mu.Unlock()
		switch m.kind {
		case templateWorker:
			useful = true
			p.born(m)
		case templateNoWorker:
			p.mu.Lock()
			p.pending--
			p.fail(fmt.Errorf("forking a worker process: %w", syscall.Errno(m.status)))
			p.mu.Unlock()
		case templateDied:
			p.mu.Lock()
			pr := p.procs[m.id]
			delete(p.procs, m.id)
			p.mu.Unlock()
			if pr != nil {
				pr.buried(syscall.WaitStatus(m.status), m.stopped, true)
			}
		}
	}
	p.mu.Lock()
	p.template, p.pending = nil, 0
	orphans := p.procs
	p.procs = map[uint64]*proc{}
	p.mu.Unlock()
	for _, pr := range orphans { // they are to die with it, but a snippet may have asked the kernel not to
		pr.kill(false)
		pr.buried(0, 0, false)
	}
	t.bury()
	return useful
}

func (p *Pool) born(m message) {
	pr := newProc(m)
	p.mu.Lock()
	p.pending--
	p.failure = nil
	p.procs[m.id] = pr
	p.mu.Unlock()
	if p.isClosing() {
		pr.close()
		return
	}
	p.ready <- pr // there is room: no more are asked for than fit
}

// fail notes a failure and tells those who wait. mu is held.
func (p *Pool) fail(err error) {
	p.failure = err
	close(p.failed)
	p.failed = make(chan struct{})
}

func (p *Pool) isClosing() bool {
	select {
	case <-p.closing:
		return true
	default:
		return false
	}
}

// refill asks for what is missing of the spares.
func (p *Pool) refill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.template != nil && !p.isClosing() && len(p.ready)+p.pending < p.config.Spares {
		p.lastID++
		if p.template.fork(p.lastID) != nil {
			return // look will find out
		}
		p.pending++
		p.expect()
	}
}

// take gets a process that is fit, or nil if there is none yet.
func (p *Pool) take() *proc {
	for {
		select {
		case pr := <-p.ready:
			p.refill()
			if pr.fit() {
				return pr
			}
			pr.close()
		default:
			return nil
		}
	}
}

// patience is how long failures to start a process are not the caller's business.
const patience = 10 * time.Second

// wait waits for one. It gives up when ctx ends, or after some time if all that was tried meanwhile failed.
func (p *Pool) wait(ctx context.Context) (*proc, error) {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		p.refill()
		select {
		case pr := <-p.ready:
			p.refill()
			if pr.fit() {
				return pr, nil
			}
			pr.close()
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-p.failures():
			// a fork that failed for want of processes or memory may succeed when others are gone
			select {
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-time.After(10 * time.Millisecond):
			case <-limit.C:
				return nil, p.why()
			}
		case <-limit.C:
			return nil, p.why()
		}
	}
}

func (p *Pool) failures() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

func (p *Pool) why() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failure != nil {
		return p.failure
	}
	return errors.New("no worker process could be had in time")
}

// close ends the template, and with it everything.
func (p *Pool) close() {
	p.mu.Lock()
	close(p.closing)
	if p.template != nil {
		p.template.hangUp()
	}
	p.mu.Unlock()
	<-p.done
	for {
		select {
		case pr := <-p.ready:
			pr.close()
		default:
			return
		}
	}
}
