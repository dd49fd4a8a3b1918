// Package cpy3 runs Go code that uses github.com/go-python/cpy3 v0.2.0 inside the isolation of a [pyexec.Executor]: what
// it changes in the interpreter is put back as a snippet's changes are. It is there for programs that hold code written
// for cpy3; new code is simpler and faster with snippets, variables and [pyexec.Functions].
//
//	res, err := cpy3.Do(ctx, ex, func(globals *python3.PyObject) error {
//		total := python3.PyLong_FromLong(42)
//		defer total.DecRef()
//		if python3.PyDict_SetItemString(globals, "total", total) != 0 {
//			return errors.New("no total")
//		}
//		return nil
//	})
//
// # Building
//
// cpy3 as published compiles up to Python 3.8. With the folder compat of this package on PKG_CONFIG_PATH it compiles as it is
// on 3.11 to 3.14. What is here beside this page needs the build tag cpy3, so that nobody else's build depends on cpy3:
//
//	export PKG_CONFIG_PATH="$(go list -f '{{.Dir}}' github.com/go-pyexec/pyexec/cpy3/compat):$PKG_CONFIG_PATH"
//	go build -tags cpy3 ./...
package cpy3
