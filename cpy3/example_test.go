//go:build cpy3

package cpy3_test

import (
	"context"
	"errors"
	"fmt"

	python3 "github.com/go-python/cpy3"

	"github.com/go-pyexec/pyexec"
	"github.com/go-pyexec/pyexec/cpy3"
)

func ExampleDo() {
	ex, err := pyexec.New(pyexec.Config{})
	if err != nil {
		panic(err)
	}
	defer ex.Close()

	res, err := cpy3.Do(context.Background(), ex, func(globals *python3.PyObject) error {
		total := python3.PyLong_FromLong(42)
		defer total.DecRef()
		if python3.PyDict_SetItemString(globals, "total", total) != 0 {
			return errors.New("no total")
		}
		python3.PyRun_SimpleString("import sys; sys.path.append('/fake1'); print('total is', total)")
		return nil
	})
	fmt.Println(err)
	fmt.Print(res.Stdout)
	fmt.Println(res.Vars())
	fmt.Println(res.Changes[0])

	_, err = cpy3.Do(context.Background(), ex, func(globals *python3.PyObject) error {
		if python3.PyImport_ImportModule("no_such_module") == nil {
			return errors.New("cannot go on") // beside the exception
		}
		return nil
	})
	fmt.Println(errors.Is(err, pyexec.ErrType("ImportError")))
	// Output:
	// <nil>
	// total is 42
	// map[total:42]
	// sys.path: +/fake1
	// true
}
