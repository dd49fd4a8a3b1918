package wire

import (
	"encoding"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"time"
)

// isScalar says that a struct is a value of its own and not filled field by field.
func isScalar(t reflect.Type) bool {
	switch t {
	case bigInt, bigRat, typeTime, reflect.TypeFor[Date](), reflect.TypeFor[TimeOfDay](), reflect.TypeFor[DateTime](),
		reflect.TypeFor[TimeDelta](), reflect.TypeFor[Array](), reflect.TypeFor[Series](), reflect.TypeFor[DataFrame]():
		return true
	}
	return false
}

var typeTime = reflect.TypeFor[time.Time]()

func (d *decoder) taggedInto(v reflect.Value, tag uint64) error {
	switch tag {
	case tagBig, tagNegativeBig:
		x, err := d.big(tag == tagNegativeBig)
		if err != nil {
			return err
		}
		return d.bigInto(v, x)
	case tagTuple, tagSet, tagFrozenSet:
		return d.listInto(v, tag)
	case tagRecord:
		return d.recordInto(v)
	}
	x, err := d.tagged(tag)
	if err != nil {
		return err
	}
	return d.assign(v, x)
}

func (d *decoder) listInto(v reflect.Value, tag uint64) error {
	got := map[uint64]string{tagTuple: "tuple", tagSet: "set", tagFrozenSet: "frozenset"}[tag]
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

// recordInto decodes a namedtuple: into what has names by these, into slices and arrays by place.
func (d *decoder) recordInto(v reflect.Value) error {
	major, info, n, err := d.head()
	if err != nil {
		return err
	}
	if major != majorMap || info == indefinite {
		return ErrMalformed
	}
	if v.Type() == typeDict || (v.Kind() != reflect.Slice && v.Kind() != reflect.Array) {
		return d.mappingInto(v, info, n)
	}
	items := appendHead(nil, majorArray, n)
	if err := d.items(info, n, func(int) error {
		if _, err := d.skip(); err != nil {
			return err
		}
		item, err := d.skip()
		items = append(items, item...)
		return err
	}); err != nil {
		return err
	}
	return d.again(v, items)
}

// again decodes other bytes in the place of those that were read.
func (d *decoder) again(v reflect.Value, b []byte) error {
	rest := d.b
	d.b = b
	err := d.into(v)
	d.b = rest
	return err
}

// assign stores a value in its natural form, or in another that holds as much.
func (d *decoder) assign(v reflect.Value, x any) error {
	if x == nil { // pandas' and numpy's NaT
		return d.again(v, []byte{simpleNull})
	}
	if t := reflect.TypeOf(x); t.AssignableTo(v.Type()) {
		v.Set(reflect.ValueOf(x))
		return nil
	}
	switch x := x.(type) {
	case Decimal:
		return d.decimalInto(v, x)
	case *big.Rat:
		return d.ratInto(v, "Fraction", x)
	case complex128:
		if v.Kind() == reflect.Complex64 || v.Kind() == reflect.Complex128 {
			if v.OverflowComplex(x) {
				return d.fail("complex", v, "it is out of its range")
			}
			v.SetComplex(x)
			return nil
		}
		return d.fail("complex", v, "")
	case UUID:
		if v.Kind() == reflect.Array && v.Len() == len(x) && v.Type().Elem().Kind() == reflect.Uint8 {
			reflect.Copy(v, reflect.ValueOf(x[:]))
			return nil
		}
		return d.textInto(v, "UUID", x.String(), "")
	case Path:
		return d.textInto(v, "Path", string(x), "")
	case Date:
		return d.textInto(v, "date", x.String(), noZone(v))
	case TimeOfDay:
		return d.textInto(v, "time", x.String(), noZone(v))
	case DateTime:
		return d.textInto(v, "datetime", x.String(), noZone(v))
	case time.Time:
		return d.textInto(v, "datetime", x.Format(time.RFC3339Nano), "")
	case time.Duration:
		return d.fail("timedelta", v, "")
	case TimeDelta:
		return d.fail("timedelta", v, map[bool]string{true: "it is longer than 292 years"}[v.Type() == reflect.TypeFor[time.Duration]()])
	case Array:
		return d.arrayInto(v, x)
	case Series:
		return d.arrayInto(v, Array{Shape: []int{length(x.Values)}, Data: x.Values})
	case DataFrame:
		return d.frameInto(v, x)
	}
	return d.fail(fmt.Sprintf("%T", x), v, "")
}

func noZone(v reflect.Value) string {
	if v.Type() == typeTime {
		return "it is in no time zone, so it is no point in time: decode it into a pyexec type, and use In"
	}
	return ""
}

// textInto stores what has an exact text in a string, or in what unmarshals text.
func (d *decoder) textInto(v reflect.Value, got, s, why string) error {
	if why != "" {
		return d.fail(got, v, why)
	}
	if v.Kind() == reflect.String {
		v.SetString(s)
		return nil
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(s)); err != nil {
			return d.fail(got, v, err.Error())
		}
		return nil
	}
	return d.fail(got, v, "")
}

func (d *decoder) decimalInto(v reflect.Value, x Decimal) error {
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
	default:
		if v.Type() != bigInt && v.Type() != bigRat {
			return d.textInto(v, "Decimal", string(x), "")
		}
	}
	r, err := x.Rat()
	if err != nil {
		return d.fail("Decimal", v, fmt.Sprintf("%.40s: %v", string(x), err))
	}
	return d.ratInto(v, "Decimal", r)
}

func (d *decoder) ratInto(v reflect.Value, got string, x *big.Rat) error {
	switch {
	case v.Type() == bigRat:
		v.Addr().Interface().(*big.Rat).Set(x)
		return nil
	case v.Kind() == reflect.Float32 || v.Kind() == reflect.Float64:
		if f, exact := x.Float64(); exact && !v.OverflowFloat(f) && (v.Kind() == reflect.Float64 || float64(float32(f)) == f) {
			v.SetFloat(f)
			return nil
		}
		return d.fail(got, v, shortRat(x)+" is no number of binary digits that it keeps: decode it into a string or a "+exactType(got))
	case v.Kind() == reflect.String:
		return d.fail(got, v, "")
	}
	if !x.IsInt() {
		return d.fail(got, v, shortRat(x)+" is no whole number")
	}
	if n := x.Num(); n.IsInt64() {
		return d.integer(v, n.Sign() < 0, magnitude(n.Int64()))
	}
	return d.bigInto(v, x.Num())
}

func exactType(got string) string {
	if got == "Decimal" {
		return "pyexec.Decimal"
	}
	return "big.Rat"
}

func shortRat(x *big.Rat) string {
	if x.Num().BitLen()+x.Denom().BitLen() > 256 {
		return "a fraction of many digits"
	}
	return x.RatString()
}

// arrayInto decodes the items into lists in lists; a slice of the very type gets them at once.
func (d *decoder) arrayInto(v reflect.Value, a Array) error {
	if len(a.Shape) == 1 && reflect.TypeOf(a.Data).AssignableTo(v.Type()) {
		v.Set(reflect.ValueOf(a.Data))
		return nil
	}
	return d.natural(v, a.nested())
}

// natural decodes a value that is already decoded into another type.
func (d *decoder) natural(v reflect.Value, x any) error {
	e := encoder{maxLen: math.MaxInt, own: true}
	b, err := e.value(nil, x, maxDepth)
	if err != nil {
		return err
	}
	return d.again(v, b)
}

func (d *decoder) frameInto(v reflect.Value, f DataFrame) error {
	if v.Kind() == reflect.Slice && v.Type() != typeDict {
		return d.natural(v, f.rows())
	}
	return d.natural(v, f.columns())
}
