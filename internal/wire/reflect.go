package wire

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// reflect encodes what value has no case for: by kind. depth counts pointers, too, so a ring of them ends.
func (e *encoder) reflect(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if len(b) > e.maxLen {
		return nil, ErrTooLong
	}
	switch v.Kind() {
	case reflect.Invalid:
		return append(b, simpleNull), nil
	case reflect.Bool:
		return appendBool(b, v.Bool()), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return appendInt(b, v.Int()), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return appendHead(b, majorUint, v.Uint()), nil
	case reflect.Float32, reflect.Float64:
		return appendFloat(b, v.Float()), nil
	case reflect.Complex64, reflect.Complex128:
		return appendComplex(b, v.Complex()), nil
	case reflect.String:
		return appendText(b, v.String()), nil
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return append(b, simpleNull), nil
		}
		return e.part(b, v.Elem(), depth)
	case reflect.Slice, reflect.Array:
		return e.sequence(b, v, depth)
	case reflect.Map:
		return e.mapping(b, v, depth)
	case reflect.Struct:
		return e.structure(b, v, depth)
	}
	return nil, fmt.Errorf("%s has no Python form", v.Type())
}

// A form is how the values of a type are encoded.
type form uint8

const (
	byValue   form = iota // as value knows; some values of its type have a form of their own
	byKind                // as its kind
	byAddress             // by the pointer's method MarshalText, where it has an address, as for encoding/json
)

var (
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	forms         sync.Map // reflect.Type -> form
)

func formOf(t reflect.Type) form {
	if isPlain(t) {
		return byKind
	}
	if f, ok := forms.Load(t); ok {
		return f.(form)
	}
	f := byValue
	if (t.Kind() == reflect.Struct || t.Kind() == reflect.Array) && !t.Implements(textMarshaler) {
		if _, known, _ := new(encoder).known(nil, reflect.Zero(t).Interface(), 1); !known {
			f = byKind
		}
	}
	if t.Name() != "" && t.Kind() != reflect.Interface && !t.Implements(textMarshaler) && reflect.PointerTo(t).Implements(textMarshaler) {
		f = byAddress
	}
	forms.Store(t, f)
	return f
}

// part encodes a part of a value: by its type's own form, or by kind.
func (e *encoder) part(b []byte, v reflect.Value, depth int) ([]byte, error) {
	return e.partOf(b, v, formOf(v.Type()), depth)
}

func (e *encoder) partOf(b []byte, v reflect.Value, f form, depth int) ([]byte, error) {
	if depth <= 0 {
		return nil, ErrTooDeep
	}
	if f == byKind {
		return e.reflect(b, v, depth-1)
	}
	if f == byAddress && v.CanAddr() {
		v = v.Addr()
	}
	return e.value(b, v.Interface(), depth)
}

// isPlain says that a type has no form but that of its kind.
func isPlain(t reflect.Type) bool {
	return (t.Kind() < reflect.Array || t.Kind() == reflect.String) && t.PkgPath() == ""
}

func (e *encoder) sequence(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if v.Kind() == reflect.Slice && v.IsNil() {
		return append(b, simpleNull), nil
	}
	if v.Type().Elem().Kind() == reflect.Uint8 {
		b = appendHead(b, majorBytes, uint64(v.Len()))
		if v.Kind() == reflect.Slice || v.CanAddr() {
			return append(b, v.Bytes()...), nil
		}
		for i := range v.Len() {
			b = append(b, byte(v.Index(i).Uint()))
		}
		return b, nil
	}
	b = appendHead(b, majorArray, uint64(v.Len()))
	form := formOf(v.Type().Elem())
	var err error
	for i := range v.Len() {
		if len(b) > e.maxLen {
			return nil, ErrTooLong
		}
		if b, err = e.partOf(b, v.Index(i), form, depth); err != nil {
			return nil, within(fmt.Sprintf("[%d]", i), err)
		}
	}
	return b, nil
}

func (e *encoder) mapping(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if v.IsNil() {
		return append(b, simpleNull), nil
	}
	b = appendHead(b, majorMap, uint64(v.Len()))
	var err error
	for it := v.MapRange(); it.Next(); {
		if len(b) > e.maxLen {
			return nil, ErrTooLong
		}
		if b, err = e.part(b, it.Key(), depth); err != nil {
			return nil, within(keyPath(it.Key().Interface()), err)
		}
		if b, err = e.part(b, it.Value(), depth); err != nil {
			return nil, within(keyPath(it.Key().Interface()), err)
		}
	}
	return b, nil
}

func (e *encoder) structure(b []byte, v reflect.Value, depth int) ([]byte, error) {
	b = append(b, majorMap<<5|indefinite)
	var err error
	for _, f := range fieldsOf(v.Type()).list {
		x, ok := f.of(v)
		if !ok || (f.omitEmpty && isEmpty(x)) || (f.omitZero && x.IsZero()) {
			continue
		}
		b = append(b, f.key...)
		if b, err = e.partOf(b, x, f.form, depth); err != nil {
			return nil, within("."+f.name, err)
		}
	}
	return append(b, breakByte), nil
}

// isEmpty is what encoding/json calls empty.
func isEmpty(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Array, reflect.Map, reflect.Slice, reflect.String:
		return v.Len() == 0
	case reflect.Struct:
		return false
	}
	return v.IsZero()
}

// ---- the fields of a struct, which encoder and decoder share ----

type field struct {
	name                string
	key                 []byte // the name, encoded
	place               int    // among the fields
	index               []int
	form                form
	omitEmpty, omitZero bool
}

// of is the field of v, unless it is in an embedded pointer that is nil.
func (f *field) of(v reflect.Value) (reflect.Value, bool) {
	for _, i := range f.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v, true
}

// in is the field of v, a place for it being made where there is none.
func (f *field) in(v reflect.Value) reflect.Value {
	for _, i := range f.index {
		if v.Kind() == reflect.Pointer {
			if v.IsNil() {
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(i)
	}
	return v
}

type fields struct {
	scalar bool // see isScalar
	list   []*field
	byName map[string]*field // lower-cased names stand in where they are not taken
}

// find returns the field of that name, or, if there is none, one whose name differs in case; or nil.
func (all *fields) find(name []byte) *field {
	if f, ok := all.byName[string(name)]; ok {
		return f
	}
	return all.byName[strings.ToLower(string(name))]
}

var fieldCache sync.Map // reflect.Type -> *fields

// fieldsOf is the fields of a struct by the name in their cbor tag, else json tag, else their own, in order.
func fieldsOf(t reflect.Type) *fields {
	if m, ok := fieldCache.Load(t); ok {
		return m.(*fields)
	}
	all := &fields{scalar: isScalar(t), byName: map[string]*field{}}
	for _, f := range reflect.VisibleFields(t) {
		if !f.IsExported() || hiddenByPointer(t, f.Index) {
			continue
		}
		x, tagged := parseTag(f)
		if x.name == "-" || (f.Anonymous && !tagged && indirect(f.Type).Kind() == reflect.Struct) {
			continue
		}
		if old, taken := all.byName[x.name]; !taken || len(old.index) > len(f.Index) {
			x.key, x.form = appendText(nil, x.name), formOf(f.Type)
			all.byName[x.name] = x
		}
	}
	lower := map[string]*field{}
	for name, f := range all.byName {
		all.list = append(all.list, f)
		lower[strings.ToLower(name)] = f
	}
	slices.SortFunc(all.list, func(a, b *field) int { return slices.Compare(a.index, b.index) })
	for i, f := range all.list {
		f.place = i
	}
	for name, f := range lower {
		if _, taken := all.byName[name]; !taken {
			all.byName[name] = f
		}
	}
	fieldCache.Store(t, all)
	return all
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

func parseTag(f reflect.StructField) (x *field, tagged bool) {
	x = &field{name: f.Name, index: f.Index}
	for _, key := range []string{"cbor", "json"} {
		tag, ok := f.Tag.Lookup(key)
		if !ok {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		for _, option := range strings.Split(options, ",") {
			x.omitEmpty = x.omitEmpty || option == "omitempty"
			x.omitZero = x.omitZero || option == "omitzero"
		}
		if name != "" {
			x.name = name
			return x, true
		}
	}
	return x, false
}
