package wire

import (
	"encoding"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// A DecodeError says where a Python value does not fit the Go value it was to be decoded into.
type DecodeError struct {
	Path string // as in orders[3].price
	Got  string // the Python type
	Into reflect.Type
	Why  string // empty if the types just do not match
}

func (e *DecodeError) Error() string {
	s := fmt.Sprintf("%s: cannot decode %s into %s", e.Path, e.Got, e.Into)
	if e.Why != "" {
		s += ": " + e.Why
	}
	return s
}

// Into decodes one item into the value that target points to. Nothing is rounded, cut or wrapped silently, but for the
// precision of a float32. path is what errors call the item.
func Into(b []byte, path string, target any) error {
	v := reflect.ValueOf(target)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("decode into %T: the target must be a non-nil pointer", target)
	}
	d := decoder{reader{b: b}}
	return explained(d.into(v.Elem()), path)
}

// VarsInto decodes a sequence of names and values into the struct or map that target points to.
func VarsInto(b []byte, target any) error {
	v := reflect.ValueOf(target)
	if v.Kind() != reflect.Pointer || v.IsNil() || (v.Elem().Kind() != reflect.Struct && v.Elem().Kind() != reflect.Map) ||
		isScalar(v.Elem().Type()) {
		return fmt.Errorf("decode variables into %T: the target must be a non-nil pointer to a struct or a map", target)
	}
	open := append(append([]byte{majorMap<<5 | indefinite}, b...), breakByte)
	d := decoder{reader{b: open}}
	return explained(d.into(v.Elem()), "")
}

type decoder struct {
	reader
}

// A failure is a DecodeError on its way out, to which each value adds which of its parts it was. So a path costs nothing
// unless it is needed.
type failure struct {
	err  DecodeError
	path []part // the innermost first
}

// part is a step of a path.
type part struct {
	name  string // .name or [key]; empty: [index]
	index int
}

func (f *failure) Error() string { return f.err.Error() }

func (d *decoder) fail(got string, v reflect.Value, why string) error {
	return &failure{err: DecodeError{Got: got, Into: v.Type(), Why: why}}
}

// in says in which part of a value err was.
func in(p part, err error) error {
	if f, ok := err.(*failure); ok { //nolint:errorlint // never wrapped
		f.path = append(f.path, p)
	}
	return err
}

// explained is what the caller is told of err: a DecodeError for a failure.
func explained(err error, root string) error {
	f, ok := err.(*failure) //nolint:errorlint // never wrapped
	if !ok {
		return err
	}
	path := []byte(root)
	for _, p := range slices.Backward(f.path) {
		if p.name != "" {
			path = append(path, p.name...)
		} else {
			path = append(strconv.AppendInt(append(path, '['), int64(p.index), 10), ']')
		}
	}
	f.err.Path = strings.TrimPrefix(string(path), ".") // that of a variable of many begins with its name
	return &f.err
}

var (
	typeAny       = reflect.TypeFor[any]()
	typeBytes     = reflect.TypeFor[[]byte]()
	bigInt        = reflect.TypeFor[big.Int]()
	bigRat        = reflect.TypeFor[big.Rat]()
	typeDict      = reflect.TypeFor[Dict]()
	typeTuple     = reflect.TypeFor[Tuple]()
	typeSet       = reflect.TypeFor[Set]()
	typeFrozenSet = reflect.TypeFor[FrozenSet]()
)

func (d *decoder) into(v reflect.Value) error {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
		if len(d.b) > 0 && d.b[0] == simpleNull {
			d.b = d.b[1:]
			v.SetZero()
			return nil
		}
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			return d.into(v.Elem())
		}
		if v.Kind() == reflect.Interface && v.Type() == typeAny {
			x, err := d.value()
			if err == nil {
				setAny(v, x)
			}
			return err
		}
	}

	major, info, n, err := d.head()
	if err != nil {
		return err
	}
	switch major {
	case majorUint, majorNegative:
		return d.integer(v, major == majorNegative, n)
	case majorBytes:
		return d.byteString(v, info, n)
	case majorText:
		return d.string(v, info, n)
	case majorArray:
		return d.sequence(v, "list", info, n)
	case majorMap:
		return d.mappingInto(v, info, n)
	case majorTag:
		return d.taggedInto(v, n)
	}
	return d.simpleInto(v, info, n)
}

func setAny(v reflect.Value, x any) {
	if x == nil {
		v.SetZero()
		return
	}
	v.Set(reflect.ValueOf(x))
}

func (d *decoder) byteString(v reflect.Value, info byte, n uint64) error {
	s, err := d.bytes(info, n)
	if err != nil {
		return err
	}
	switch {
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		v.SetBytes(append([]byte{}, s...))
		return nil
	case v.Kind() == reflect.Array && v.Type().Elem().Kind() == reflect.Uint8:
		if len(s) != v.Len() {
			return d.fail("bytes", v, fmt.Sprintf("it has %d bytes", len(s)))
		}
		reflect.Copy(v, reflect.ValueOf(s))
		return nil
	}
	return d.fail("bytes", v, "")
}

func (d *decoder) string(v reflect.Value, info byte, n uint64) error {
	s, err := d.bytes(info, n)
	if err != nil {
		return err
	}
	if v.Kind() == reflect.String {
		v.SetString(string(s))
		return nil
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText(s); err != nil {
			return d.fail("str", v, err.Error())
		}
		return nil
	}
	return d.fail("str", v, "")
}

func (d *decoder) sequence(v reflect.Value, got string, info byte, n uint64) error {
	switch v.Kind() {
	case reflect.Slice:
		if v.Type() == typeDict || v.Type() == typeBytes {
			break
		}
		if done, err := d.plainSlice(v, info, n); done {
			return err
		}
		return d.slice(v, info, n)
	case reflect.Array:
		if n != uint64(v.Len()) {
			return d.fail(got, v, fmt.Sprintf("it has %d items", n))
		}
		return d.items(info, n, func(i int) error { return in(part{index: i}, d.into(v.Index(i))) })
	}
	return d.fail(got, v, "")
}

// slice makes room for as many items as are said to come, up to a bound, and for more as they come: of heads within heads
// each says so.
func (d *decoder) slice(v reflect.Value, info byte, n uint64) error {
	if err := d.enter(info, n); err != nil {
		return err
	}
	room := 0
	if info != indefinite {
		room = int(min(n, 1<<10))
	}
	s := reflect.New(v.Type()).Elem() // addressable, to grow
	s.Set(reflect.MakeSlice(v.Type(), room, room))
	i := 0
	for ; d.more(info, n, i); i++ {
		if i >= room {
			s.Grow(1)
			s.SetLen(i + 1)
			s.Index(i).SetZero()
		}
		if err := d.into(s.Index(i)); err != nil {
			return in(part{index: i}, err)
		}
	}
	d.leave()
	v.Set(s)
	return nil
}

func (d *decoder) mappingInto(v reflect.Value, info byte, n uint64) error {
	switch {
	case v.Type() == typeDict:
		x, err := d.dict(info, n)
		if err == nil {
			v.Set(reflect.ValueOf(x))
		}
		return err
	case v.Kind() == reflect.Map:
		return d.mapInto(v, info, n)
	case v.Kind() == reflect.Struct:
		if fields := fieldsOf(v.Type()); !fields.scalar {
			return d.structInto(v, fields, info, n)
		}
	}
	return d.fail("dict", v, "")
}

func (d *decoder) mapInto(v reflect.Value, info byte, n uint64) error {
	t := v.Type()
	m := reflect.MakeMapWithSize(t, int(min(n, uint64(len(d.b)), 1<<20)))
	err := d.items(info, n, func(int) error {
		again := reader{b: d.b}
		name, err := again.value() // for the path
		if err != nil {
			return err
		}
		at := part{name: keyPath(name)}
		key, value := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		if err := d.into(key); err != nil {
			return in(at, err)
		}
		if !key.Comparable() {
			return d.fail("dict", v, "a key of type "+fmt.Sprintf("%T", name)+" cannot be a map key in Go; use pyexec.Dict")
		}
		if err := d.into(value); err != nil {
			return in(at, err)
		}
		m.SetMapIndex(key, value)
		return nil
	})
	if err == nil {
		v.Set(m)
	}
	return err
}

func (d *decoder) structInto(v reflect.Value, fields *fields, info byte, n uint64) error {
	if err := d.enter(info, n); err != nil {
		return err
	}
	next := 0 // the field that comes next, if they come in order
	for i := 0; d.more(info, n, i); i++ {
		if len(d.b) == 0 || d.b[0]>>5 != majorText {
			return d.fail("dict", v, "its keys are not all str")
		}
		name, err := d.textBytes()
		if err != nil {
			return err
		}
		var f *field
		if next < len(fields.list) && string(name) == fields.list[next].name {
			f = fields.list[next]
		} else if f = fields.find(name); f == nil {
			if _, err := d.skip(); err != nil {
				return err
			}
			continue
		}
		next = f.place + 1
		if err := d.into(f.in(v)); err != nil {
			return in(part{name: "." + string(name)}, err)
		}
	}
	d.leave()
	return nil
}

func (d *decoder) simpleInto(v reflect.Value, info byte, n uint64) error {
	if info == float64Head&31 {
		return d.float(v, math.Float64frombits(n))
	}
	x, err := simple(info, n)
	if err != nil {
		return err
	}
	switch x := x.(type) {
	case nil:
		return d.fail("None", v, "")
	case bool:
		if v.Kind() == reflect.Bool {
			v.SetBool(x)
			return nil
		}
		return d.fail("bool", v, "")
	case float64:
		return d.float(v, x)
	}
	return ErrMalformed
}
