package wire

import (
	"errors"
	"fmt"
	"reflect"
)

// A Call is the arguments of a function, still encoded: the kernel writes it as [[positional ...], {keyword: value ...}].
type Call struct {
	Positional [][]byte
	Keywords   []byte   // a map
	Names      []string // its keys
}

// ReadCall takes a call's arguments apart.
func ReadCall(b []byte) (Call, error) {
	r := reader{b: b}
	var c Call
	major, _, n, err := r.head()
	if err != nil || major != majorArray || n != 2 {
		return c, ErrMalformed
	}
	major, info, n, err := r.head()
	if err != nil || major != majorArray {
		return c, ErrMalformed
	}
	c.Positional = make([][]byte, 0, min(n, uint64(len(r.b))))
	err = r.items(info, n, func(int) error {
		item, err := r.skip()
		c.Positional = append(c.Positional, item)
		return err
	})
	if err != nil {
		return c, err
	}
	c.Keywords = r.b
	major, info, n, err = r.head()
	if err != nil || major != majorMap {
		return c, ErrMalformed
	}
	err = r.items(info, n, func(int) error {
		name, err := r.text()
		if err != nil {
			return err
		}
		c.Names = append(c.Names, name)
		_, err = r.skip()
		return err
	})
	return c, err
}

// HasField reports whether Into finds a field for name in a struct of type t.
func HasField(t reflect.Type, name string) bool {
	return fieldsOf(t).find([]byte(name)) != nil
}

// AppendValue appends one value, of at most maxLen bytes.
func AppendValue(b []byte, v any, maxDepth, maxLen int) ([]byte, error) {
	e := encoder{maxLen: len(b) + maxLen}
	b, err := e.value(b, v, maxDepth)
	if p, ok := err.(*partError); ok { //nolint:errorlint // never wrapped
		if p.path != "" && !errors.Is(p.err, ErrTooLong) {
			return nil, fmt.Errorf("%s: %w", p.path, p.err)
		}
		err = p.err
	}
	if err == nil && len(b) > e.maxLen {
		err = ErrTooLong
	}
	return b, err
}

// AppendFailure appends what a kernel makes an exception of: an error's number, its Go type and its message.
func AppendFailure(b []byte, id uint64, goType, message string) []byte {
	b = appendHead(b, majorArray, 3)
	b = appendHead(b, majorUint, id)
	b = appendText(b, goType)
	return appendText(b, message)
}
