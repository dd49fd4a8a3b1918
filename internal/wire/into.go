package wire

import (
	"encoding"
	"fmt"
	"math/big"
	"reflect"
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
	d := decoder{reader: reader{b: b}, root: path}
	return d.into(v.Elem())
}

// VarsInto decodes a sequence of names and values into the struct or map that target points to.
func VarsInto(b []byte, target any) error {
	v := reflect.ValueOf(target)
	if v.Kind() != reflect.Pointer || v.IsNil() || (v.Elem().Kind() != reflect.Struct && v.Elem().Kind() != reflect.Map) ||
		isScalar(v.Elem().Type()) {
		return fmt.Errorf("decode variables into %T: the target must be a non-nil pointer to a struct or a map", target)
	}
	open := append(append([]byte{majorMap<<5 | indefinite}, b...), breakByte)
	d := decoder{reader: reader{b: open}}
	return d.into(v.Elem())
}

type decoder struct {
	reader
	root string
	path []part // where in the root it is
}

// part is a step of a path, which becomes text if there is an error.
type part struct {
	name  string // .name or [key]; empty: [index]
	index int
}

func (d *decoder) fail(got string, v reflect.Value, why string) error {
	path := []byte(d.root)
	for _, p := range d.path {
		if p.name != "" {
			path = append(path, p.name...)
		} else {
			path = append(strconv.AppendInt(append(path, '['), int64(p.index), 10), ']')
		}
	}
	// the path of a variable, of which there are many, begins with its name
	return &DecodeError{Path: strings.TrimPrefix(string(path), "."), Got: got, Into: v.Type(), Why: why}
}

// within decodes a part of the value that is decoded.
func (d *decoder) within(p part, v reflect.Value) error {
	d.path = append(d.path, p)
	err := d.into(v)
	d.path = d.path[:len(d.path)-1]
	return err
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
	if len(d.b) > 0 && d.b[0] == simpleNull {
		switch v.Kind() {
		case reflect.Pointer, reflect.Interface, reflect.Map, reflect.Slice:
			d.b = d.b[1:]
			v.SetZero()
			return nil
		}
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		return d.into(v.Elem())
	}
	if v.Type() == typeAny {
		x, err := d.value()
		if err == nil {
			setAny(v, x)
		}
		return err
	}

	start := d.b
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
	d.b = start
	return d.simpleInto(v)
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
		s := reflect.New(v.Type()).Elem() // addressable, to grow
		s.Set(reflect.MakeSlice(v.Type(), 0, int(min(n, uint64(len(d.b)), 1<<20))))
		err := d.items(info, n, func(i int) error {
			if i == s.Cap() {
				s.Grow(1)
			}
			s.SetLen(i + 1)
			s.Index(i).SetZero()
			return d.within(part{index: i}, s.Index(i))
		})
		if err == nil {
			v.Set(s)
		}
		return err
	case reflect.Array:
		if n != uint64(v.Len()) {
			return d.fail(got, v, fmt.Sprintf("it has %d items", n))
		}
		return d.items(info, n, func(i int) error { return d.within(part{index: i}, v.Index(i)) })
	}
	return d.fail(got, v, "")
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
	case v.Kind() == reflect.Struct && !isScalar(v.Type()):
		return d.structInto(v, info, n)
	}
	return d.fail("dict", v, "")
}

func (d *decoder) mapInto(v reflect.Value, info byte, n uint64) error {
	t := v.Type()
	m := reflect.MakeMapWithSize(t, int(min(n, uint64(len(d.b)), 1<<20)))
	err := d.items(info, n, func(int) error {
		at := reader{b: d.b}
		name, err := at.value() // for the path
		if err != nil {
			return err
		}
		suffix := part{name: keyPath(name)}
		key, value := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
		if err := d.within(suffix, key); err != nil {
			return err
		}
		if !key.Comparable() {
			return d.fail("dict", v, "a key of type "+fmt.Sprintf("%T", name)+" cannot be a map key in Go; use pyexec.Dict")
		}
		if err := d.within(suffix, value); err != nil {
			return err
		}
		m.SetMapIndex(key, value)
		return nil
	})
	if err == nil {
		v.Set(m)
	}
	return err
}

func (d *decoder) structInto(v reflect.Value, info byte, n uint64) error {
	fields := fieldsOf(v.Type())
	return d.items(info, n, func(int) error {
		if len(d.b) == 0 || d.b[0]>>5 != majorText {
			return d.fail("dict", v, "its keys are not all str")
		}
		name, err := d.textBytes()
		if err != nil {
			return err
		}
		to, ok := fields.byName[string(name)]
		if !ok {
			to, ok = fields.byName[strings.ToLower(string(name))]
		}
		if !ok {
			_, err := d.skip()
			return err
		}
		f := v
		for _, i := range to.index {
			if f.Kind() == reflect.Pointer {
				if f.IsNil() {
					f.Set(reflect.New(f.Type().Elem()))
				}
				f = f.Elem()
			}
			f = f.Field(i)
		}
		shown := to.path // saves making a text for each field that is decoded
		if string(name) != to.name {
			shown = "." + string(name)
		}
		return d.within(part{name: shown}, f)
	})
}

func (d *decoder) simpleInto(v reflect.Value) error {
	x, err := d.value()
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
