//go:build !linux

package process

import (
	"context"
	"time"

	"github.com/go-pyexec/pyexec/internal/engine"
)

// A Pool cannot be had here.
type Pool struct{}

// Start returns ErrUnsupported.
func Start(Config) (*Pool, error) { return nil, ErrUnsupported }

// A Worker cannot be had here.
type Worker struct{}

// Worker is never called: there is no Pool.
func (*Pool) Worker() *Worker { return &Worker{} }

// Prepare returns ErrUnsupported.
func (*Worker) Prepare(context.Context) (bool, error) { return false, ErrUnsupported }

// Run returns ErrUnsupported.
func (*Worker) Run(*engine.Call, *engine.Reply) error { return ErrUnsupported }

// Kill does nothing.
func (*Worker) Kill(uint64) {}

// Resident returns 0.
func (*Worker) Resident() int64 { return 0 }

// Interrupt does nothing.
func (*Worker) Interrupt(uint64, engine.Force) bool { return false }

// Current finds nothing.
func (*Worker) Current() (engine.Running, bool) { return engine.Running{}, false }

// LeaveBehind finds nothing.
func (*Worker) LeaveBehind(uint64, time.Duration) (engine.Left, bool) { return engine.Left{}, false }

// Recycle returns ErrUnsupported.
func (*Worker) Recycle() (engine.Method, error) { return 0, ErrUnsupported }

// Close does nothing.
func (*Worker) Close() {}
