package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"unicode/utf8"
)

// ErrMalformed says that bytes are not the CBOR that a kernel writes.
var ErrMalformed = errors.New("malformed encoding")

// maxDepth is beyond what a kernel writes, and far from what a goroutine's stack holds.
const maxDepth = 100_000

// reader walks over CBOR. Every length is checked against what is left before it is believed.
type reader struct {
	b     []byte
	depth int
}

// head reads an item's head: its major type, the low five bits, and the number that they stand for.
func (r *reader) head() (major, info byte, n uint64, err error) {
	if len(r.b) == 0 {
		return 0, 0, 0, ErrMalformed
	}
	major, info = r.b[0]>>5, r.b[0]&31
	r.b = r.b[1:]
	if info < 24 || info == indefinite {
		return major, info, uint64(info), nil
	}
	if info > 27 {
		return 0, 0, 0, ErrMalformed
	}
	size := 1 << (info - 24)
	if len(r.b) < size {
		return 0, 0, 0, ErrMalformed
	}
	switch size {
	case 1:
		n = uint64(r.b[0])
	case 2:
		n = uint64(binary.BigEndian.Uint16(r.b))
	case 4:
		n = uint64(binary.BigEndian.Uint32(r.b))
	case 8:
		n = binary.BigEndian.Uint64(r.b)
	}
	r.b = r.b[size:]
	return major, info, n, nil
}

// bytes takes the n bytes of a string.
func (r *reader) bytes(info byte, n uint64) ([]byte, error) {
	if info == indefinite || n > uint64(len(r.b)) {
		return nil, ErrMalformed
	}
	s := r.b[:n]
	r.b = r.b[n:]
	return s, nil
}

func (r *reader) text() (string, error) {
	s, err := r.textBytes()
	return string(s), err
}

func (r *reader) textBytes() ([]byte, error) {
	major, info, n, err := r.head()
	if err != nil {
		return nil, err
	}
	s, err := r.bytes(info, n)
	if err != nil || major != majorText {
		return nil, ErrMalformed
	}
	return s, nil
}

func (r *reader) atBreak() bool {
	if len(r.b) > 0 && r.b[0] == breakByte {
		r.b = r.b[1:]
		return true
	}
	return false
}

// items calls f for each of the n items (or pairs) of a container.
func (r *reader) items(info byte, n uint64, f func(i int) error) error {
	if err := r.enter(info, n); err != nil {
		return err
	}
	for i := 0; r.more(info, n, i); i++ {
		if err := f(i); err != nil {
			return err
		}
	}
	r.leave()
	return nil
}

// enter goes into a container of n items; leave comes out of it. After an error nothing more is read.
func (r *reader) enter(info byte, n uint64) error {
	if r.depth >= maxDepth {
		return ErrTooDeep
	}
	if info != indefinite && n > uint64(len(r.b)) {
		return ErrMalformed
	}
	r.depth++
	return nil
}

func (r *reader) leave() { r.depth-- }

// more says that there is an item i.
func (r *reader) more(info byte, n uint64, i int) bool {
	if info == indefinite {
		return !r.atBreak()
	}
	return uint64(i) < n
}

// skip passes over one item and returns its bytes.
func (r *reader) skip() ([]byte, error) {
	start := r.b
	major, info, n, err := r.head()
	if err != nil {
		return nil, err
	}
	switch major {
	case majorBytes, majorText:
		_, err = r.bytes(info, n)
	case majorArray:
		err = r.items(info, n, func(int) error { _, err := r.skip(); return err })
	case majorMap:
		err = r.items(info, n, func(int) error {
			if _, err := r.skip(); err != nil {
				return err
			}
			_, err := r.skip()
			return err
		})
	case majorTag:
		err = r.items(0, 1, func(int) error { _, err := r.skip(); return err })
	default:
		if info == indefinite {
			err = ErrMalformed
		}
	}
	if err != nil {
		return nil, err
	}
	return start[:len(start)-len(r.b)], nil
}

// value reads one item in its natural Go form.
func (r *reader) value() (any, error) {
	major, info, n, err := r.head()
	if err != nil {
		return nil, err
	}
	switch major {
	case majorUint:
		if n > math.MaxInt64 {
			return new(big.Int).SetUint64(n), nil
		}
		return int64(n), nil
	case majorNegative:
		if n > math.MaxInt64 {
			v := new(big.Int).SetUint64(n)
			return v.Not(v), nil
		}
		return -1 - int64(n), nil
	case majorBytes:
		s, err := r.bytes(info, n)
		return append([]byte{}, s...), err
	case majorText:
		s, err := r.bytes(info, n)
		if err == nil && !utf8.Valid(s) {
			err = ErrMalformed
		}
		return string(s), err
	case majorArray:
		return r.list(info, n)
	case majorMap:
		return r.mapping(info, n)
	case majorTag:
		return r.tagged(n)
	}
	return simple(info, n)
}

func simple(info byte, n uint64) (any, error) {
	switch info {
	case simpleFalse & 31:
		return false, nil
	case simpleTrue & 31:
		return true, nil
	case simpleNull & 31:
		return nil, nil
	case 26:
		return float64(math.Float32frombits(uint32(n))), nil
	case float64Head & 31:
		return math.Float64frombits(n), nil
	}
	return nil, ErrMalformed
}

func (r *reader) list(info byte, n uint64) ([]any, error) {
	list := make([]any, 0, min(n, uint64(len(r.b))))
	err := r.items(info, n, func(int) error {
		v, err := r.value()
		list = append(list, v)
		return err
	})
	return list, err
}

// mapping is a map[string]any if all keys are text, and else a Dict. It is known only at the end which, and decoding
// a second time would double the work at each level of nesting.
func (r *reader) mapping(info byte, n uint64) (any, error) {
	d, err := r.dict(info, n)
	if err != nil {
		return nil, err
	}
	m := make(map[string]any, len(d))
	for _, it := range d {
		key, ok := it.Key.(string)
		if !ok {
			return d, nil
		}
		m[key] = it.Value
	}
	return m, nil
}

func (r *reader) dict(info byte, n uint64) (Dict, error) {
	d := make(Dict, 0, min(n, uint64(len(r.b))))
	err := r.items(info, n, func(int) error {
		key, err := r.value()
		if err != nil {
			return err
		}
		v, err := r.value()
		d = append(d, Item{key, v})
		return err
	})
	return d, err
}

func (r *reader) tagged(tag uint64) (any, error) {
	if r.depth >= maxDepth {
		return nil, ErrTooDeep
	}
	r.depth++
	defer func() { r.depth-- }()
	switch tag {
	case tagBig, tagNegativeBig:
		return r.big(tag == tagNegativeBig)
	case tagDecimal:
		return r.decimal()
	case tagRational:
		return r.rational()
	case tagComplex:
		return r.complex()
	case tagUUID:
		return r.uuid()
	case tagPath:
		s, err := r.text()
		return Path(s), err
	case tagDateTime:
		return r.dateTime()
	case tagDate:
		return r.date()
	case tagTime:
		return r.timeOfDay()
	case tagDelta:
		return r.delta()
	case tagTuple, tagSet, tagFrozenSet:
		return r.taggedList(tag)
	case tagRecord:
		return r.record()
	}
	return r.taggedArray(tag)
}

func (r *reader) taggedArray(tag uint64) (any, error) {
	switch tag {
	case tagShaped:
		return r.shaped()
	case tagInstants, tagDeltas:
		return r.numpyTimes(tag, false)
	case tagUTC:
		major, _, n, err := r.head()
		if err != nil || major != majorTag || n != tagInstants {
			return nil, ErrMalformed
		}
		return r.numpyTimes(tagInstants, true)
	case tagSeries:
		return r.series()
	case tagFrame:
		return r.frame()
	case tagCategories:
		return r.categories()
	case tagMasked:
		return r.masked()
	}
	if isTyped(tag) {
		return r.typedArray(tag)
	}
	return nil, ErrMalformed
}

func (r *reader) taggedList(tag uint64) (any, error) {
	major, info, n, err := r.head()
	if err != nil {
		return nil, err
	}
	if major != majorArray {
		return nil, ErrMalformed
	}
	list, err := r.list(info, n)
	if err != nil {
		return nil, err
	}
	switch tag {
	case tagTuple:
		return Tuple(list), nil
	case tagSet:
		return Set(list), nil
	}
	return FrozenSet(list), nil
}

// record is a namedtuple: its items by name.
func (r *reader) record() (any, error) {
	major, info, n, err := r.head()
	if err != nil {
		return nil, err
	}
	if major != majorMap {
		return nil, ErrMalformed
	}
	return r.mapping(info, n)
}

func (r *reader) big(negative bool) (*big.Int, error) {
	major, info, n, err := r.head()
	if err != nil {
		return nil, err
	}
	s, err := r.bytes(info, n)
	if err != nil || major != majorBytes {
		return nil, ErrMalformed
	}
	v := new(big.Int).SetBytes(s)
	if negative {
		v.Not(v)
	}
	return v, nil
}

// Value decodes one item in its natural Go form.
func Value(b []byte) (any, error) {
	r := reader{b: b}
	return r.value()
}

// Vars decodes a sequence of names and values.
func Vars(b []byte) (map[string]any, error) {
	m := map[string]any{}
	r := reader{b: b}
	for len(r.b) > 0 {
		name, err := r.text()
		if err != nil {
			return nil, err
		}
		if m[name], err = r.value(); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Find returns the encoded value of name in a sequence of names and values, and whatever follows it.
func Find(b []byte, name string) (value []byte, ok bool, err error) {
	r := reader{b: b}
	for len(r.b) > 0 {
		s, err := r.textBytes()
		if err != nil {
			return nil, false, err
		}
		if string(s) == name {
			return r.b, true, nil
		}
		if _, err = r.skip(); err != nil {
			return nil, false, err
		}
	}
	return nil, false, nil
}

// Sequence decodes a CBOR sequence (RFC 8742), item by item, into values made by f's argument type.
func Sequence(b []byte, f func(item []byte) error) error {
	r := reader{b: b}
	for len(r.b) > 0 {
		item, err := r.skip()
		if err != nil {
			return err
		}
		if err := f(item); err != nil {
			return err
		}
	}
	return nil
}
