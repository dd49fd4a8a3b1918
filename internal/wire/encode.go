package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

// ErrTooDeep says that a value is nested deeper than the limit, or contains itself.
var ErrTooDeep = errors.New("nested too deep, or contains itself")

// An InputError names the variable that has no Python form.
type InputError struct {
	Name string
	Err  error
}

func (e *InputError) Error() string { return fmt.Sprintf("variable %q: %v", e.Name, e.Err) }
func (e *InputError) Unwrap() error { return e.Err }

// mode encodes what the fast paths below do not: structs by their cbor or json tags, typed maps and slices, pointers.
// Times get their tag, so that the kernel sees a time and not a number.
var mode = must(cbor.EncOptions{
	BigIntConvert: cbor.BigIntConvertShortest,
	Time:          cbor.TimeRFC3339Nano,
	TimeTag:       cbor.EncTagRequired,
}.UserBufferEncMode())

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // options that are constants of this package contradict each other
	}
	return v
}

// AppendVars appends variables as one CBOR map.
func AppendVars(b []byte, vars map[string]any, maxDepth int) ([]byte, error) {
	b = appendHead(b, majorMap, uint64(len(vars)))
	var err error
	for name, v := range vars {
		b = appendText(b, name)
		if b, err = appendValue(b, v, maxDepth); err != nil {
			return nil, &InputError{Name: name, Err: err}
		}
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

// appendValue encodes v. The types that user code passes most often need no reflection.
func appendValue(b []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, simpleNull), nil
	case bool:
		if v {
			return append(b, simpleTrue), nil
		}
		return append(b, simpleFalse), nil
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
		return appendStringMap(b, v, depth)
	case []any:
		return appendList(b, v, depth)
	case Tuple:
		return appendTagged(b, tagTuple, v, depth)
	case Set:
		return appendTagged(b, tagSet, v, depth)
	case FrozenSet:
		return appendTagged(b, tagFrozenSet, v, depth)
	case Dict:
		return appendDict(b, v, depth)
	case []float64:
		return appendSlice(b, v, appendFloat), nil
	case []int:
		return appendSlice(b, v, func(b []byte, n int) []byte { return appendInt(b, int64(n)) }), nil
	case []int64:
		return appendSlice(b, v, appendInt), nil
	case []string:
		return appendSlice(b, v, appendText), nil
	}
	return appendOther(b, v, depth)
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

func appendList(b []byte, v []any, depth int) ([]byte, error) {
	if v == nil {
		return append(b, simpleNull), nil
	}
	b = appendHead(b, majorArray, uint64(len(v)))
	var err error
	for _, x := range v {
		if b, err = appendValue(b, x, depth); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// appendTagged encodes the types that are empty, not None, when they are nil.
func appendTagged(b []byte, tag uint64, v []any, depth int) ([]byte, error) {
	b = appendHead(b, majorTag, tag)
	if v == nil {
		v = []any{}
	}
	return appendList(b, v, depth)
}

func appendStringMap(b []byte, v map[string]any, depth int) ([]byte, error) {
	if v == nil {
		return append(b, simpleNull), nil
	}
	b = appendHead(b, majorMap, uint64(len(v)))
	var err error
	for key, x := range v {
		b = appendText(b, key)
		if b, err = appendValue(b, x, depth); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func appendDict(b []byte, v Dict, depth int) ([]byte, error) {
	b = appendHead(b, majorMap, uint64(len(v)))
	var err error
	for _, it := range v {
		if b, err = appendValue(b, it.Key, depth); err != nil {
			return nil, err
		}
		if b, err = appendValue(b, it.Value, depth); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// appendOther leaves everything else to the CBOR library, once it is known to end: the library follows a value that
// contains itself until the stack overflows, which nothing can recover from.
func appendOther(b []byte, v any, depth int) ([]byte, error) {
	if err := checkDepth(reflect.ValueOf(v), depth); err != nil {
		return nil, err
	}
	part, err := mode.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append(b, part...), nil
}

var bigInt = reflect.TypeFor[big.Int]()

func checkDepth(v reflect.Value, depth int) error {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice, reflect.Array, reflect.Struct:
	default:
		return nil
	}
	if depth <= 0 {
		return ErrTooDeep
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return checkDepth(v.Elem(), depth-1)
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if err := checkDepth(it.Value(), depth-1); err != nil {
				return err
			}
		}
	case reflect.Slice, reflect.Array:
		if isFlat(v.Type().Elem()) {
			return nil
		}
		for i := range v.Len() {
			if err := checkDepth(v.Index(i), depth-1); err != nil {
				return err
			}
		}
	case reflect.Struct:
		if v.Type() == bigInt {
			return nil
		}
		for i := range v.NumField() {
			if err := checkDepth(v.Field(i), depth-1); err != nil {
				return err
			}
		}
	}
	return nil
}

// isFlat reports that values of t hold no other values.
func isFlat(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice, reflect.Array, reflect.Struct:
		return false
	}
	return true
}

// MarshalCBOR makes the CBOR library encode a Tuple inside a struct or typed slice as one.
func (t Tuple) MarshalCBOR() ([]byte, error) { return appendTagged(nil, tagTuple, t, nestedDepth) }

// MarshalCBOR makes the CBOR library encode a Set inside a struct or typed slice as one.
func (s Set) MarshalCBOR() ([]byte, error) { return appendTagged(nil, tagSet, s, nestedDepth) }

// MarshalCBOR makes the CBOR library encode a FrozenSet inside a struct or typed slice as one.
func (s FrozenSet) MarshalCBOR() ([]byte, error) {
	return appendTagged(nil, tagFrozenSet, s, nestedDepth)
}

// MarshalCBOR makes the CBOR library encode a Dict inside a struct or typed slice as one.
func (d Dict) MarshalCBOR() ([]byte, error) { return appendDict(nil, d, nestedDepth) }

// nestedDepth is enough for whatever checkDepth has let through.
const nestedDepth = 10_000
