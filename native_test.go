package pyexec_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/go-pyexec/pyexec"
	"github.com/go-pyexec/pyexec/internal/native"
)

// doNative runs f as package cpy3 does, whose own tests have what takes the C API.
func doNative(ctx context.Context, ex *pyexec.Executor, f func(unsafe.Pointer) error) (*pyexec.Result, error) {
	res, err := native.Do(ctx, ex, f)
	return res.(*pyexec.Result), err
}

func TestNative(t *testing.T) {
	ex := openAt(t, pyexec.Config{})
	own := errors.New("own")
	namespaces := map[unsafe.Pointer]bool{}
	for range 3 {
		res, err := doNative(ctx, ex, func(globals unsafe.Pointer) error {
			namespaces[globals] = true
			return nil
		})
		require.NoError(t, err)
		assert.Empty(t, res.Vars())
		assert.Empty(t, res.Changes)
		res, err = doNative(ctx, ex, func(unsafe.Pointer) error { return own })
		assert.Equal(t, own, err)
		assert.NotNil(t, res)
	}
	assert.NotContains(t, namespaces, unsafe.Pointer(nil))
	assert.Equal(t, uint64(6), ex.Stats().Executions)

	_, err := doNative(ctx, ex, func(unsafe.Pointer) error { panic(own) })
	var p *pyexec.PanicError
	require.ErrorAs(t, err, &p)
	require.ErrorIs(t, err, own)
	_, err = doNative(ctx, ex, func(unsafe.Pointer) error { runtime.Goexit(); return nil })
	require.ErrorIs(t, err, pyexec.ErrGoexit)
	_, err = doNative(ctx, ex, func(unsafe.Pointer) error {
		_, err := ex.Execute(ctx, "1", nil)
		return err
	})
	require.ErrorIs(t, err, pyexec.ErrReentrant)
	assert.Equal(t, map[string]any{"x": int64(1)}, run(t, ex, "x = 1").Vars())

	require.NoError(t, ex.Close())
	_, err = doNative(ctx, ex, func(unsafe.Pointer) error { return nil })
	require.ErrorIs(t, err, pyexec.ErrClosed)
}

// Go code cannot be stopped: its caller leaves it behind.
func TestNativeIsLeft(t *testing.T) {
	ex := openAt(t, pyexec.Config{Grace: 20 * time.Millisecond})
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	release := make(chan struct{})
	_, err := doNative(short, ex, func(unsafe.Pointer) error {
		<-release
		return nil
	})
	var stopped *pyexec.StoppedError
	require.ErrorAs(t, err, &stopped)
	assert.True(t, stopped.Stuck)
	assert.Equal(t, "(Go function)", ex.Stats().Running[0].Snippet)
	close(release)
	long, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	_, err = doNative(long, ex, func(unsafe.Pointer) error { return nil })
	require.NoError(t, err)
	assert.Equal(t, uint64(1), ex.Stats().RecyclesBy[pyexec.RecycleTaint])
}

func TestNativeNeedsThisProcess(t *testing.T) {
	ex := openAt(t, pyexec.Config{Isolation: pyexec.Process, Workers: 1})
	res, err := doNative(ctx, ex, func(unsafe.Pointer) error {
		t.Error("it runs")
		return nil
	})
	require.ErrorIs(t, err, pyexec.ErrUnsupported)
	assert.Nil(t, res)
}
