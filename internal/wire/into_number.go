package wire

import (
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strconv"
)

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

func (d *decoder) float(v reflect.Value, f float64) error {
	switch v.Kind() {
	case reflect.Float64:
		v.SetFloat(f)
		return nil
	case reflect.Float32:
		if v.OverflowFloat(f) {
			return d.fail("float", v, strconv.FormatFloat(f, 'g', -1, 64)+" is out of its range")
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
