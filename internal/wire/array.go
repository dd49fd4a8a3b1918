package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"slices"
	"unsafe"
)

// Array is a numpy array, row by row. As a variable it becomes one: its items are copied as they lie in memory, whatever
// their number. It imports numpy if that is not loaded yet.
type Array struct {
	// Shape is the length of each dimension. Nil: one dimension, as long as Data.
	Shape []int
	// Data is a slice of the items: of bool, an integer or float type, complex64 or complex128 as the array's dtype is
	// (float16 comes as float32), else []any: for objects and texts, and for datetime64 and timedelta64, whose items are
	// DateTime, or time.Time in a pandas column of UTC; time.Duration; and nil for NaT. As a variable, []any becomes an array of objects.
	Data any
}

// MemoryView is a variable that becomes a Python memoryview of its own memory, which can be written to. It needs no
// module. Data is a slice of bool, an integer type, float32 or float64. It is no form of what comes out: a memoryview
// comes out as an Array.
type MemoryView struct {
	Shape []int // nil: one dimension
	Data  any
}

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// raw is the memory of a slice.
func raw[T any](s []T) []byte {
	var x T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(x)))
}

// typedTag is the tag of numbers of that size in the host's byte order (RFC 8746 section 2.1).
func typedTag(float, signed bool, size int) uint64 {
	tag := uint64(tagTyped)
	for n := size; n > 1; n /= 2 {
		tag++
	}
	if littleEndian && size > 1 {
		tag += 4
	}
	if signed {
		tag += 8
	}
	if float {
		tag += 16 - 1 // which begin with two bytes
	}
	return tag
}

func appendRaw[T any](b []byte, s []T, tags ...uint64) ([]byte, int, bool) {
	for _, tag := range tags {
		b = appendHead(b, majorTag, tag)
	}
	bytes := raw(s)
	return append(appendHead(b, majorBytes, uint64(len(bytes))), bytes...), len(s), true
}

// appendTyped writes the items of a slice of numbers in one piece; ok is false if it is no such slice.
func appendTyped(b []byte, data any) (_ []byte, n int, ok bool) {
	switch s := data.(type) {
	case []float64:
		return appendRaw(b, s, typedTag(true, false, 8))
	case []float32:
		return appendRaw(b, s, typedTag(true, false, 4))
	case []int64:
		return appendRaw(b, s, typedTag(false, true, 8))
	case []int:
		return appendRaw(b, s, typedTag(false, true, int(unsafe.Sizeof(0))))
	case []int32:
		return appendRaw(b, s, typedTag(false, true, 4))
	case []int16:
		return appendRaw(b, s, typedTag(false, true, 2))
	case []int8:
		return appendRaw(b, s, typedTag(false, true, 1))
	case []uint64:
		return appendRaw(b, s, typedTag(false, false, 8))
	case []uint:
		return appendRaw(b, s, typedTag(false, false, int(unsafe.Sizeof(uint(0)))))
	case []uint32:
		return appendRaw(b, s, typedTag(false, false, 4))
	case []uint16:
		return appendRaw(b, s, typedTag(false, false, 2))
	case []uint8:
		return appendRaw(b, s, typedTag(false, false, 1))
	case []bool:
		return appendRaw(b, s, tagBools)
	case []complex128:
		return appendRaw(b, s, tagComplexes, typedTag(true, false, 8))
	case []complex64:
		return appendRaw(b, s, tagComplexes, typedTag(true, false, 4))
	}
	return b, 0, false
}

// sizeOf is what a shape holds, -1 if that is no number of items.
func sizeOf(shape []int) int {
	if slices.Contains(shape, 0) {
		return 0
	}
	n := 1
	for _, length := range shape {
		if length < 0 || n > math.MaxInt/length {
			return -1
		}
		n *= length
	}
	return n
}

func appendShape(b []byte, shape []int) []byte {
	b = appendHead(appendHead(b, majorTag, tagShaped), majorArray, 2)
	b = appendHead(b, majorArray, uint64(len(shape)))
	for _, n := range shape {
		b = appendHead(b, majorUint, uint64(n))
	}
	return b
}

func (e *encoder) array(b []byte, a Array, depth int) ([]byte, error) {
	objects, isObjects := a.Data.([]any)
	shape := a.Shape
	if isObjects && shape == nil {
		shape = []int{len(objects)}
	}
	if slices.ContainsFunc(shape, func(n int) bool { return n < 0 }) {
		return nil, fmt.Errorf("shape %v has a negative length", shape)
	}
	if shape != nil {
		b = appendShape(b, shape)
	}
	if isObjects {
		if sizeOf(shape) != len(objects) {
			return nil, fmt.Errorf("shape %v does not hold %d items", shape, len(objects))
		}
		return e.list(b, append([]any{}, objects...), depth)
	}
	b, n, ok := appendTyped(b, a.Data)
	if !ok {
		return nil, fmt.Errorf("an Array cannot have Data of type %T", a.Data)
	}
	if shape != nil && sizeOf(shape) != n {
		return nil, fmt.Errorf("shape %v does not hold %d items", shape, n)
	}
	return b, nil
}

func (e *encoder) memoryView(b []byte, m MemoryView, depth int) ([]byte, error) {
	if _, isObjects := m.Data.([]any); isObjects {
		return nil, fmt.Errorf("a MemoryView cannot have Data of type %T", m.Data)
	}
	return e.array(appendHead(b, majorTag, tagMemory), Array(m), depth)
}

// take copies items of size bytes out of b; swap: they are of the other byte order, in units of that size.
func take[T any](b []byte, little bool, unit int) (any, error) {
	var x T
	size := int(unsafe.Sizeof(x))
	if len(b)%size != 0 {
		return nil, ErrMalformed
	}
	s := make([]T, len(b)/size)
	to := raw(s)
	copy(to, b)
	if little != littleEndian {
		for i := 0; i+unit <= len(to); i += unit {
			slices.Reverse(to[i : i+unit])
		}
	}
	return s, nil
}

// typed reads numbers in one piece: a slice of the Go type that they are of.
func (r *reader) typed(tag uint64) (any, error) {
	complexes := tag == tagComplexes
	if complexes {
		major, _, n, err := r.head()
		if err != nil || major != majorTag {
			return nil, ErrMalformed
		}
		tag = n
	}
	major, info, n, err := r.head()
	if err != nil {
		return nil, err
	}
	b, err := r.bytes(info, n)
	if err != nil || major != majorBytes {
		return nil, ErrMalformed
	}
	if tag == tagBools {
		s := make([]bool, len(b))
		for i, x := range b {
			s[i] = x != 0
		}
		return s, nil
	}
	little := tag&4 != 0
	switch tag &^ 4 {
	case tagTyped + 17:
		if complexes {
			return take[complex64](b, little, 4)
		}
		return take[float32](b, little, 4)
	case tagTyped + 18:
		if complexes {
			return take[complex128](b, little, 8)
		}
		return take[float64](b, little, 8)
	}
	if complexes {
		return nil, ErrMalformed
	}
	switch tag &^ 4 {
	case tagTyped:
		return take[uint8](b, littleEndian, 1)
	case tagTyped + 1:
		return take[uint16](b, little, 2)
	case tagTyped + 2:
		return take[uint32](b, little, 4)
	case tagTyped + 3:
		return take[uint64](b, little, 8)
	case tagTyped + 8:
		return take[int8](b, littleEndian, 1)
	case tagTyped + 9:
		return take[int16](b, little, 2)
	case tagTyped + 10:
		return take[int32](b, little, 4)
	case tagTyped + 11:
		return take[int64](b, little, 8)
	case tagTyped + 16:
		halves, err := take[uint16](b, little, 2)
		if err != nil {
			return nil, err
		}
		s := make([]float32, len(b)/2)
		for i, h := range halves.([]uint16) {
			s[i] = half(h)
		}
		return s, nil
	}
	return nil, ErrMalformed
}

// half is an IEEE 754 number of 16 bits (RFC 8949 appendix D).
func half(h uint16) float32 {
	exponent, mantissa := int(h>>10&0x1f), float64(h&0x3ff)
	f := math.Ldexp(mantissa+1024, exponent-25)
	switch {
	case exponent == 0:
		f = math.Ldexp(mantissa, -24)
	case exponent == 31 && mantissa == 0:
		f = math.Inf(1)
	case exponent == 31:
		f = math.NaN()
	}
	if h&0x8000 != 0 {
		f = -f
	}
	return float32(f)
}

func isTyped(tag uint64) bool {
	return tag == tagBools || tag == tagComplexes || (tag >= tagTyped && tag < tagTyped+24)
}

// shaped reads an array behind tagShaped.
func (r *reader) shaped() (Array, error) {
	if err := r.fixed(2); err != nil {
		return Array{}, err
	}
	v, err := r.value()
	if err != nil {
		return Array{}, err
	}
	lengths, ok := v.([]any)
	if !ok || len(lengths) > 64 {
		return Array{}, ErrMalformed
	}
	shape := make([]int, len(lengths))
	for i, x := range lengths {
		n, ok := x.(int64)
		if !ok || n < 0 || n > math.MaxInt32<<24 {
			return Array{}, ErrMalformed
		}
		shape[i] = int(n)
	}
	data, err := r.value()
	if err != nil {
		return Array{}, err
	}
	n := 0
	switch d := data.(type) {
	case []any:
		n = len(d)
	case Array:
		if len(d.Shape) != 1 {
			return Array{}, ErrMalformed
		}
		data, n = d.Data, d.Shape[0]
	default:
		return Array{}, ErrMalformed
	}
	if sizeOf(shape) != n {
		return Array{}, ErrMalformed
	}
	return Array{Shape: shape, Data: data}, nil
}

func (r *reader) typedArray(tag uint64) (Array, error) {
	data, err := r.typed(tag)
	if err != nil {
		return Array{}, err
	}
	return Array{Shape: []int{length(data)}, Data: data}, nil
}

func length(data any) int {
	n := -1
	each(data, func(i int, _ any) { n = i })
	return n + 1
}

// each calls f for each item of a slice that typed or value can return, in the form that value gives it.
func each(data any, f func(i int, v any)) {
	switch s := data.(type) {
	case []any:
		for i, v := range s {
			f(i, v)
		}
	case []bool:
		for i, v := range s {
			f(i, v)
		}
	case []float64:
		for i, v := range s {
			f(i, v)
		}
	case []float32:
		for i, v := range s {
			f(i, float64(v))
		}
	case []complex128:
		for i, v := range s {
			f(i, v)
		}
	case []complex64:
		for i, v := range s {
			f(i, complex128(v))
		}
	case []int64:
		eachInt(s, f)
	case []int32:
		eachInt(s, f)
	case []int16:
		eachInt(s, f)
	case []int8:
		eachInt(s, f)
	case []uint64:
		for i, v := range s {
			if v > math.MaxInt64 {
				f(i, new(big.Int).SetUint64(v))
			} else {
				f(i, int64(v))
			}
		}
	case []uint32:
		eachInt(s, f)
	case []uint16:
		eachInt(s, f)
	case []uint8:
		eachInt(s, f)
	}
}

func eachInt[T int64 | int32 | int16 | int8 | uint32 | uint16 | uint8](s []T, f func(i int, v any)) {
	for i, v := range s {
		f(i, int64(v))
	}
}

func list(data any) []any {
	all := []any{}
	each(data, func(_ int, v any) { all = append(all, v) })
	return all
}

// nested is the array as lists in lists.
func (a Array) nested() any {
	items := list(a.Data)
	if len(a.Shape) == 0 {
		return items[0] // shaped has seen to it that there is one
	}
	for d := len(a.Shape) - 1; d > 0; d-- {
		outer := 1
		for _, n := range a.Shape[:d] {
			outer *= n
		}
		n := a.Shape[d]
		rows := make([]any, outer)
		for i := range rows {
			rows[i] = items[i*n : (i+1)*n : (i+1)*n]
		}
		items = rows
	}
	return items
}
