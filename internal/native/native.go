// Package native lets package cpy3 into an Executor without a method that everybody sees.
package native

import (
	"context"
	"unsafe"
)

// Do runs f inside the isolation of an executor, which is a *pyexec.Executor; the result is a *pyexec.Result. f gets the
// namespace, a PyObject *, and holds the GIL. Package pyexec sets Do when it is initialised.
var Do func(ctx context.Context, executor any, f func(globals unsafe.Pointer) error) (result any, err error)
