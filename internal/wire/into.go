package wire

import (
	"encoding"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"sync"
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
	d := decoder{reader: reader{b: b}, path: []byte(path)}
	return d.into(v.Elem())
}

type decoder struct {
	reader
	path []byte
}

func (d *decoder) fail(got string, v reflect.Value, why string) error {
	return &DecodeError{Path: string(d.path), Got: got, Into: v.Type(), Why: why}
}

// within decodes a part whose path is suffix longer.
func (d *decoder) within(suffix string, v reflect.Value) error {
	n := len(d.path)
	d.path = append(d.path, suffix...)
	err := d.into(v)
	d.path = d.path[:n]
	return err
}

var (
	typeAny       = reflect.TypeFor[any]()
	typeBytes     = reflect.TypeFor[[]byte]()
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

func (d *decoder) integer(v reflect.Value, negative bool, n uint64) error {
	if v.Type() != bigInt && n <= math.MaxInt64 {
		i := int64(n)
		if negative {
			i = -1 - i
		}
		switch v.Kind() {
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			if v.OverflowInt(i) {
				return d.fail("int", v, strconv.FormatInt(i, 10)+" is out of its range")
			}
			v.SetInt(i)
			return nil
		case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			if i < 0 || v.OverflowUint(uint64(i)) {
				return d.fail("int", v, strconv.FormatInt(i, 10)+" is out of its range")
			}
			v.SetUint(uint64(i))
			return nil
		case reflect.Float32, reflect.Float64:
			if int64(float64(i)) != i || float64(i) == math.MaxInt64 {
				return d.fail("int", v, strconv.FormatInt(i, 10)+" has more digits than it keeps")
			}
			v.SetFloat(float64(i))
			return nil
		}
		return d.fail("int", v, "")
	}
	x := new(big.Int).SetUint64(n)
	if negative {
		x.Not(x)
	}
	return d.bigInto(v, x)
}

func (d *decoder) bigInto(v reflect.Value, x *big.Int) error {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == bigInt {
			v.Addr().Interface().(*big.Int).Set(x)
			return nil
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if x.IsUint64() && !v.OverflowUint(x.Uint64()) {
			v.SetUint(x.Uint64())
			return nil
		}
		return d.fail("int", v, short(x)+" is out of its range")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return d.fail("int", v, short(x)+" is out of its range")
	case reflect.Float32, reflect.Float64:
		if f, accuracy := new(big.Float).SetInt(x).Float64(); accuracy == big.Exact && !v.OverflowFloat(f) {
			v.SetFloat(f)
			return nil
		}
		return d.fail("int", v, short(x)+" has more digits than it keeps")
	}
	return d.fail("int", v, "")
}

func short(x *big.Int) string {
	if x.BitLen() > 256 {
		return fmt.Sprintf("a number of %d bits", x.BitLen())
	}
	return x.String()
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
		s := reflect.New(v.Type()).Elem() // addressable, to grow
		s.Set(reflect.MakeSlice(v.Type(), 0, int(min(n, uint64(len(d.b)), 1<<20))))
		err := d.items(info, n, func(i int) error {
			if i == s.Cap() {
				s.Grow(1)
			}
			s.SetLen(i + 1)
			s.Index(i).SetZero()
			return d.within("["+strconv.Itoa(i)+"]", s.Index(i))
		})
		if err == nil {
			v.Set(s)
		}
		return err
	case reflect.Array:
		if n != uint64(v.Len()) {
			return d.fail(got, v, fmt.Sprintf("it has %d items", n))
		}
		return d.items(info, n, func(i int) error { return d.within("["+strconv.Itoa(i)+"]", v.Index(i)) })
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
	case v.Kind() == reflect.Struct && v.Type() != bigInt:
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
		suffix := fmt.Sprintf("[%v]", name)
		if s, ok := name.(string); ok {
			suffix = "." + s
		}
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
		name, err := d.text()
		if err != nil {
			return err
		}
		index, ok := fields[name]
		if !ok {
			index, ok = fields[strings.ToLower(name)]
		}
		if !ok {
			_, err := d.skip()
			return err
		}
		f := v
		for _, i := range index {
			if f.Kind() == reflect.Pointer {
				if f.IsNil() {
					f.Set(reflect.New(f.Type().Elem()))
				}
				f = f.Elem()
			}
			f = f.Field(i)
		}
		return d.within("."+name, f)
	})
}

var fieldCache sync.Map // reflect.Type -> map[string][]int

// fieldsOf is the fields of a struct by the name in their cbor tag, else json tag, else their own; lower-cased names
// stand in where they are not taken.
func fieldsOf(t reflect.Type) map[string][]int {
	if m, ok := fieldCache.Load(t); ok {
		return m.(map[string][]int)
	}
	m := map[string][]int{}
	for _, f := range reflect.VisibleFields(t) {
		if !f.IsExported() || hiddenByPointer(t, f.Index) {
			continue
		}
		name, tagged := tagName(f)
		if name == "-" || (f.Anonymous && !tagged && indirect(f.Type).Kind() == reflect.Struct) {
			continue
		}
		if old, taken := m[name]; !taken || len(old) > len(f.Index) {
			m[name] = f.Index
		}
	}
	lower := map[string][]int{}
	for name, index := range m {
		lower[strings.ToLower(name)] = index
	}
	for name, index := range lower {
		if _, taken := m[name]; !taken {
			m[name] = index
		}
	}
	fieldCache.Store(t, m)
	return m
}

// hiddenByPointer reports that a field is reached through an embedded pointer to an unexported struct, which reflection
// cannot allocate.
func hiddenByPointer(t reflect.Type, index []int) bool {
	for _, i := range index[:len(index)-1] {
		f := indirect(t).Field(i)
		if f.Type.Kind() == reflect.Pointer && !f.IsExported() {
			return true
		}
		t = f.Type
	}
	return false
}

func indirect(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

func tagName(f reflect.StructField) (name string, tagged bool) {
	for _, key := range []string{"cbor", "json"} {
		if tag, ok := f.Tag.Lookup(key); ok {
			if name, _, _ := strings.Cut(tag, ","); name != "" {
				return name, true
			}
		}
	}
	return f.Name, false
}

func (d *decoder) taggedInto(v reflect.Value, tag uint64) error {
	if tag == tagBig || tag == tagNegativeBig {
		x, err := d.big(tag == tagNegativeBig)
		if err != nil {
			return err
		}
		return d.bigInto(v, x)
	}
	names := map[uint64]string{tagTuple: "tuple", tagSet: "set", tagFrozenSet: "frozenset"}
	got, ok := names[tag]
	if !ok {
		return ErrMalformed
	}
	want := map[reflect.Type]uint64{typeTuple: tagTuple, typeSet: tagSet, typeFrozenSet: tagFrozenSet}[v.Type()]
	if want != 0 && want != tag {
		return d.fail(got, v, "")
	}
	major, info, n, err := d.head()
	if err != nil {
		return err
	}
	if major != majorArray {
		return ErrMalformed
	}
	return d.sequence(v, got, info, n)
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

func (d *decoder) float(v reflect.Value, f float64) error {
	why := strconv.FormatFloat(f, 'g', -1, 64) + " is out of its range"
	switch v.Kind() {
	case reflect.Float64:
		v.SetFloat(f)
		return nil
	case reflect.Float32:
		if v.OverflowFloat(f) {
			return d.fail("float", v, why)
		}
		v.SetFloat(f)
		return nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if f != math.Trunc(f) || math.IsInf(f, 0) {
			return d.fail("float", v, strconv.FormatFloat(f, 'g', -1, 64)+" is no whole number")
		}
		x, _ := new(big.Float).SetFloat64(f).Int(nil)
		if x.IsInt64() {
			return d.integer(v, x.Sign() < 0, magnitude(x.Int64()))
		}
		return d.bigInto(v, x)
	}
	return d.fail("float", v, "")
}

// magnitude is n as CBOR counts it: n, or -1-n if it is negative.
func magnitude(n int64) uint64 {
	if n < 0 {
		return uint64(-1 - n)
	}
	return uint64(n)
}
