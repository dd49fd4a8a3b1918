package wire

import (
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"time"
)

// ErrTooDeep says that a value is nested deeper than the limit, or contains itself.
var ErrTooDeep = errors.New("nested too deep, or contains itself")

// ErrTooLong says that the encoding is longer than the limit.
var ErrTooLong = errors.New("too large")

// An InputError names the variable that has no Python form, and where in it.
type InputError struct {
	Name, Path string // Path is empty, or as in [3].price
	Err        error
}

func (e *InputError) Error() string { return fmt.Sprintf("variable %q%s: %v", e.Name, e.Path, e.Err) }
func (e *InputError) Unwrap() error { return e.Err }

// partError is an error in a part of a value; parts add their own path on the way out.
type partError struct {
	path string
	err  error
}

func (e *partError) Error() string { return e.path + ": " + e.err.Error() }
func (e *partError) Unwrap() error { return e.err }

func within(path string, err error) error {
	if p, ok := err.(*partError); ok { //nolint:errorlint // never wrapped
		p.path = path + p.path
		return p
	}
	return &partError{path, err}
}

// encoder bounds what it writes: a small value that is shared very often can be endless written out.
type encoder struct {
	maxLen int
	own    bool // the bytes are for this package's decoder, not for Python: times may be finer and years farther
}

// AppendVars appends variables as one CBOR map of at most maxLen bytes.
func AppendVars(b []byte, vars map[string]any, maxDepth, maxLen int) ([]byte, error) {
	e := encoder{maxLen: maxLen}
	b = appendHead(b, majorMap, uint64(len(vars)))
	var err error
	for name, v := range vars {
		b = appendText(b, name)
		if b, err = e.value(b, v, maxDepth); err != nil {
			path := ""
			if p, ok := err.(*partError); ok { //nolint:errorlint // never wrapped
				path, err = p.path, p.err
			}
			if errors.Is(err, ErrTooLong) {
				return nil, ErrTooLong
			}
			return nil, &InputError{Name: name, Path: path, Err: err}
		}
	}
	if len(b) > maxLen {
		return nil, ErrTooLong
	}
	return b, nil
}

// AppendNames appends a CBOR array of names.
func AppendNames(b []byte, names []string) []byte {
	b = appendHead(b, majorArray, uint64(len(names)))
	for _, s := range names {
		b = appendText(b, s)
	}
	return b
}

// value encodes v. The types that user code passes most often need no reflection.
func (e *encoder) value(b []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, simpleNull), nil
	case bool:
		return appendBool(b, v), nil
	case int:
		return appendInt(b, int64(v)), nil
	case int64:
		return appendInt(b, v), nil
	case int32:
		return appendInt(b, int64(v)), nil
	case uint64:
		return appendHead(b, majorUint, v), nil
	case float64:
		return appendFloat(b, v), nil
	case string:
		return appendText(b, v), nil
	case []byte:
		if v == nil {
			return append(b, simpleNull), nil
		}
		return append(appendHead(b, majorBytes, uint64(len(v))), v...), nil
	}

	if depth <= 0 {
		return nil, ErrTooDeep
	}
	depth--
	switch v := v.(type) {
	case map[string]any:
		return e.stringMap(b, v, depth)
	case []any:
		return e.list(b, v, depth)
	case []float64:
		return appendSlice(b, v, appendFloat), nil
	case []int:
		return appendSlice(b, v, func(b []byte, n int) []byte { return appendInt(b, int64(n)) }), nil
	case []int64:
		return appendSlice(b, v, appendInt), nil
	case []string:
		return appendSlice(b, v, appendText), nil
	}
	if b, ok, err := e.known(b, v, depth); ok {
		return b, err
	}
	return e.reflect(b, reflect.ValueOf(v), depth)
}

// known encodes the types that have a form of their own, whatever their kind; ok is false if v is of none.
func (e *encoder) known(b []byte, v any, depth int) (_ []byte, ok bool, err error) {
	switch v := v.(type) {
	case Tuple:
		b, err = e.tagged(b, tagTuple, v, depth)
	case Set:
		b, err = e.tagged(b, tagSet, v, depth)
	case FrozenSet:
		b, err = e.tagged(b, tagFrozenSet, v, depth)
	case Dict:
		b, err = e.dict(b, v, depth)
	case time.Time:
		b, err = e.time(b, v)
	case time.Duration:
		b, err = e.duration(b, v)
	case Date:
		b, err = e.date(b, v)
	case TimeOfDay:
		b, err = e.timeOfDay(b, v)
	case DateTime:
		b, err = e.dateTime(b, v, zone{naive: true})
	case TimeDelta:
		b = appendDelta(b, v)
	case Decimal:
		b, err = appendDecimal(b, v)
	case *big.Int:
		if v == nil {
			return append(b, simpleNull), true, nil
		}
		b = appendBig(b, v)
	case *big.Rat:
		if v == nil {
			return append(b, simpleNull), true, nil
		}
		b = appendRat(b, v)
	case big.Int:
		b = appendBig(b, &v)
	case big.Rat:
		b = appendRat(b, &v)
	case UUID:
		b = append(appendHead(appendHead(b, majorTag, tagUUID), majorBytes, 16), v[:]...)
	case Path:
		b = appendText(appendHead(b, majorTag, tagPath), string(v))
	case Array:
		b, err = e.array(b, v, depth)
	case MemoryView:
		b, err = e.memoryView(b, v, depth)
	case Series, DataFrame:
		err = errors.New("pandas objects come out, but do not go in: pass the columns, as slices or pyexec.Arrays")
	case encoding.TextMarshaler:
		b, err = e.text(b, v)
	default:
		return b, false, nil
	}
	return b, true, err
}

func (e *encoder) text(b []byte, v encoding.TextMarshaler) ([]byte, error) {
	if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && r.IsNil() {
		return append(b, simpleNull), nil
	}
	text, err := v.MarshalText()
	if err != nil {
		return nil, fmt.Errorf("MarshalText of %T: %w", v, err)
	}
	return appendText(b, string(text)), nil
}

func appendHead(b []byte, major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n <= math.MaxUint8:
		return append(b, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, simpleTrue)
	}
	return append(b, simpleFalse)
}

func appendInt(b []byte, n int64) []byte {
	if n < 0 {
		return appendHead(b, majorNegative, uint64(-1-n))
	}
	return appendHead(b, majorUint, uint64(n))
}

func appendFloat(b []byte, f float64) []byte {
	return binary.BigEndian.AppendUint64(append(b, float64Head), math.Float64bits(f))
}

func appendText(b []byte, s string) []byte {
	return append(appendHead(b, majorText, uint64(len(s))), s...)
}

func appendSlice[T any](b []byte, v []T, item func([]byte, T) []byte) []byte {
	if v == nil {
		return append(b, simpleNull)
	}
	b = appendHead(b, majorArray, uint64(len(v)))
	for _, x := range v {
		b = item(b, x)
	}
	return b
}

func (e *encoder) list(b []byte, v []any, depth int) ([]byte, error) {
	if v == nil {
		return append(b, simpleNull), nil
	}
	b = appendHead(b, majorArray, uint64(len(v)))
	var err error
	for i, x := range v {
		if len(b) > e.maxLen {
			return nil, ErrTooLong
		}
		if b, err = e.value(b, x, depth); err != nil {
			return nil, within(fmt.Sprintf("[%d]", i), err)
		}
	}
	return b, nil
}

// tagged encodes the types that are empty, not None, when they are nil.
func (e *encoder) tagged(b []byte, tag uint64, v []any, depth int) ([]byte, error) {
	b = appendHead(b, majorTag, tag)
	if v == nil {
		v = []any{}
	}
	return e.list(b, v, depth)
}

func (e *encoder) stringMap(b []byte, v map[string]any, depth int) ([]byte, error) {
	if v == nil {
		return append(b, simpleNull), nil
	}
	b = appendHead(b, majorMap, uint64(len(v)))
	var err error
	for key, x := range v {
		if len(b) > e.maxLen {
			return nil, ErrTooLong
		}
		b = appendText(b, key)
		if b, err = e.value(b, x, depth); err != nil {
			return nil, within("."+key, err)
		}
	}
	return b, nil
}

func (e *encoder) dict(b []byte, v Dict, depth int) ([]byte, error) {
	b = appendHead(b, majorMap, uint64(len(v)))
	var err error
	for _, it := range v {
		if len(b) > e.maxLen {
			return nil, ErrTooLong
		}
		if b, err = e.value(b, it.Key, depth); err != nil {
			return nil, within(keyPath(it.Key), err)
		}
		if b, err = e.value(b, it.Value, depth); err != nil {
			return nil, within(keyPath(it.Key), err)
		}
	}
	return b, nil
}

// keyPath is how a key shows in a path: .price, [3].
func keyPath(key any) string {
	switch key := key.(type) {
	case string:
		return "." + key
	case int, int64, bool, float64, Decimal, Path, UUID, Date, DateTime, TimeOfDay:
		return fmt.Sprintf("[%v]", key)
	}
	return fmt.Sprintf("[%T]", key)
}
