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

var textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()

// part encodes a part of a value: by its type's own form, or by kind.
func (e *encoder) part(b []byte, v reflect.Value, depth int) ([]byte, error) {
	if depth <= 0 {
		return nil, ErrTooDeep
	}
	if isPlain(v.Type()) {
		return e.reflect(b, v, depth-1)
	}
	if v.CanAddr() && v.Type().Name() != "" && v.Kind() != reflect.Interface && !v.Type().Implements(textMarshaler) &&
		reflect.PointerTo(v.Type()).Implements(textMarshaler) {
		v = v.Addr() // the methods of the pointer count where there is one, as for encoding/json
	}
	return e.value(b, v.Interface(), depth)
}

// isPlain says that a type has no form but that of its kind.
func isPlain(t reflect.Type) bool {
	return t.PkgPath() == "" && (t.Kind() < reflect.Array || t.Kind() == reflect.String)
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
	var err error
	for i := range v.Len() {
		if len(b) > e.maxLen {
			return nil, ErrTooLong
		}
		if b, err = e.part(b, v.Index(i), depth); err != nil {
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
		b = appendText(b, f.name)
		if b, err = e.part(b, x, depth); err != nil {
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
	name, path          string // path: with the dot before it
	index               []int
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

type fields struct {
	list   []*field
	byName map[string]*field // lower-cased names stand in where they are not taken
}

var fieldCache sync.Map // reflect.Type -> *fields

// fieldsOf is the fields of a struct by the name in their cbor tag, else json tag, else their own, in order.
func fieldsOf(t reflect.Type) *fields {
	if m, ok := fieldCache.Load(t); ok {
		return m.(*fields)
	}
	all := &fields{byName: map[string]*field{}}
	for _, f := range reflect.VisibleFields(t) {
		if !f.IsExported() || hiddenByPointer(t, f.Index) {
			continue
		}
		x, tagged := parseTag(f)
		if x.name == "-" || (f.Anonymous && !tagged && indirect(f.Type).Kind() == reflect.Struct) {
			continue
		}
		if old, taken := all.byName[x.name]; !taken || len(old.index) > len(f.Index) {
			x.path = "." + x.name
			all.byName[x.name] = x
		}
	}
	lower := map[string]*field{}
	for name, f := range all.byName {
		all.list = append(all.list, f)
		lower[strings.ToLower(name)] = f
	}
	slices.SortFunc(all.list, func(a, b *field) int { return slices.Compare(a.index, b.index) })
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
